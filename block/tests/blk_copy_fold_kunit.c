// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of folding: what a copy reports after its chunks have ended, some
 * of them in the middle.
 */
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/prandom.h>

#include "../blk.h"
#include "../blk-copy-internal.h"

#define MAX_CHUNKS	4
#define MAX_SLICES	4

struct fold_slice {
	u32 off;
	u32 len;
};

/* A chunk that has ended: settled bytes, and what is known of the step after */
struct fold_chunk {
	u32			cur;
	u32			offloaded;	/* of cur */
	u32			step;
	struct fold_slice	device[MAX_SLICES];
	struct fold_slice	emulated[MAX_SLICES];
	int			error;
};

struct fold_case {
	const char		*desc;
	unsigned int		flags;
	struct fold_chunk	chunk[MAX_CHUNKS];
	u64			done;
	u64			offloaded;
	u64			emulated;
	int			error;
	u64			stat_offloaded;
	u64			stat_emulated;
};

struct fold_test {
	struct blk_copy		copy;
	struct blk_copy_chunk	chunk;
};

static void add_slices(struct blk_copy_map *map, const struct fold_slice *slice)
{
	unsigned int i;

	for (i = 0; i < MAX_SLICES && slice[i].len; i++)
		blk_copy_map_add(map, slice[i].off, slice[i].len);
}

/* As the state machine leaves a chunk behind */
static void end_chunk(struct fold_test *t, const struct fold_chunk *c)
{
	struct blk_copy_chunk *chunk = &t->chunk;

	chunk->copy = &t->copy;
	chunk->state = BLK_COPY_CHUNK_ENDED;
	chunk->cur = c->cur;
	chunk->step = c->step;
	chunk->len = c->cur + c->step;
	chunk->offloaded = c->offloaded;
	chunk->emulated = t->copy.flags & BLK_COPY_DRY_RUN ?
		0 : c->cur - c->offloaded;
	chunk->error = c->error;
	blk_copy_map_init(&chunk->token.done);
	add_slices(&chunk->token.done, c->device);
	blk_copy_map_init(&chunk->done);
	add_slices(&chunk->done, c->emulated);
}

static const struct fold_case fold_cases[] = {
	{ "no chunk" },
	{ "one, offloaded", .chunk = { { 64, 64 } },
	  .done = 64, .offloaded = 64, .stat_offloaded = 64 },
	{ "one, emulated", .chunk = { { 64, 0 } },
	  .done = 64, .emulated = 64, .stat_emulated = 64 },
	{ "one, some of both", .chunk = { { 64, 48 } },
	  .done = 64, .offloaded = 48, .emulated = 16,
	  .stat_offloaded = 48, .stat_emulated = 16 },
	{ "three, sums", .chunk = { { 64, 64 }, { 64, 0 }, { 32, 8 } },
	  .done = 160, .offloaded = 72, .emulated = 88,
	  .stat_offloaded = 72, .stat_emulated = 88 },
	{ "fails at once", .chunk = { { 0, 0, 64, .error = -EIO } },
	  .error = -EIO },
	{ "fails in its second step, nothing of that done",
	  .chunk = { { 32, 32, 32, .error = -EIO } },
	  .done = 32, .offloaded = 32, .error = -EIO, .stat_offloaded = 32 },
	{ "fails, a prefix offloaded",
	  .chunk = { { 32, 32, 32, { { 0, 8 } }, .error = -EIO } },
	  .done = 40, .offloaded = 40, .error = -EIO, .stat_offloaded = 40 },
	{ "fails, a prefix of both kinds",
	  .chunk = { { 0, 0, 64, { { 0, 8 }, { 16, 8 } }, { { 8, 8 } }, -EIO } },
	  .done = 24, .offloaded = 16, .emulated = 8, .error = -EIO,
	  .stat_offloaded = 16, .stat_emulated = 8 },
	{ "fails, done behind the hole does not count",
	  .chunk = { { 16, 0, 48, { { 0, 8 }, { 32, 16 } }, { { 20, 8 } }, -EIO } },
	  .done = 24, .offloaded = 8, .emulated = 16, .error = -EIO,
	  .stat_offloaded = 24, .stat_emulated = 24 },
	{ "fails, done only behind the hole",
	  .chunk = { { 0, 0, 64, { { 8, 56 } }, .error = -ENOSPC } },
	  .error = -ENOSPC, .stat_offloaded = 56 },
	{ "the first fails, nothing behind it counts",
	  .chunk = { { 32, 16, 32, { { 0, 8 } }, .error = -EIO }, { 64, 64 },
		     { 64, 0 } },
	  .done = 40, .offloaded = 24, .emulated = 16, .error = -EIO,
	  .stat_offloaded = 88, .stat_emulated = 80 },
	{ "a middle one fails",
	  .chunk = { { 64, 64 }, { 0, 0, 64, .error = -EREMOTEIO }, { 64, 64 } },
	  .done = 64, .offloaded = 64, .error = -EREMOTEIO,
	  .stat_offloaded = 128 },
	{ "the first of two errors is told",
	  .chunk = { { 64, 64 }, { 8, 8, 8, .error = -EIO },
		     { 0, 0, 64, .error = -ENOSPC } },
	  .done = 72, .offloaded = 72, .error = -EIO, .stat_offloaded = 72 },
	{ "killed between steps", .chunk = { { 32, 32, 0, .error = -EINTR } },
	  .done = 32, .offloaded = 32, .error = -EINTR, .stat_offloaded = 32 },
	{ "killed before its first step",
	  .chunk = { { 64, 0 }, { 0, 0, 0, .error = -EINTR } },
	  .done = 64, .emulated = 64, .error = -EINTR, .stat_emulated = 64 },
	{ "killed in the emulation of what a device left over",
	  .chunk = { { 0, 0, 64, { { 16, 16 } }, { { 0, 16 }, { 40, 8 } }, -EINTR } },
	  .done = 32, .offloaded = 16, .emulated = 16, .error = -EINTR,
	  .stat_offloaded = 16, .stat_emulated = 24 },
	{ "killed, and a later one was through already",
	  .chunk = { { 0, 0, 64, .error = -EINTR }, { 64, 64 } },
	  .error = -EINTR, .stat_offloaded = 64 },
	{ "forbidden to emulate, in parts offloaded", BLK_COPY_NO_EMULATION,
	  .chunk = { { 64, 64 },
		     { 0, 0, 64, { { 0, 16 }, { 32, 8 } }, .error = -EOPNOTSUPP } },
	  .done = 80, .offloaded = 80, .error = -EOPNOTSUPP,
	  .stat_offloaded = 88 },
	{ "dry run, all of it", BLK_COPY_DRY_RUN, .chunk = { { 64, 64 }, { 64, 64 } },
	  .offloaded = 128, .stat_offloaded = 128 },
	{ "dry run, a part of it", BLK_COPY_DRY_RUN, .chunk = { { 64, 16 }, { 64, 0 } },
	  .offloaded = 16, .stat_offloaded = 16 },
	{ "dry run, killed", BLK_COPY_DRY_RUN,
	  .chunk = { { 64, 64 }, { 0, 0, 0, .error = -EINTR }, { 64, 64 } },
	  .offloaded = 64, .error = -EINTR, .stat_offloaded = 128 },
};

KUNIT_ARRAY_PARAM_DESC(fold, fold_cases, desc);

static void fold(struct kunit *test)
{
	const struct fold_case *c = test->param_value;
	struct fold_test *t = test->priv;
	struct blk_copy *copy = &t->copy;
	unsigned int i;

	copy->flags = c->flags;
	for (i = 0; i < MAX_CHUNKS; i++) {
		if (!c->chunk[i].cur && !c->chunk[i].step && !c->chunk[i].error)
			break;
		end_chunk(t, &c->chunk[i]);
		blk_copy_fold_chunk(copy, &t->chunk);
	}
	KUNIT_EXPECT_EQ(test, copy->bytes_done, c->done);
	KUNIT_EXPECT_EQ(test, copy->bytes_offloaded, c->offloaded);
	KUNIT_EXPECT_EQ(test, copy->bytes_emulated, c->emulated);
	KUNIT_EXPECT_EQ(test, copy->error, c->error);
	KUNIT_EXPECT_EQ(test, copy->stat_offloaded, c->stat_offloaded);
	KUNIT_EXPECT_EQ(test, copy->stat_emulated, c->stat_emulated);
}

/* ------------------------------------------------------------ lost slices */

/* Every second byte of a chunk is done, twice as many as the map remembers. */
static void fold_lost(struct kunit *test)
{
	struct fold_test *t = test->priv;
	struct blk_copy *copy = &t->copy;
	struct fold_chunk c = { .step = 4 * BLK_COPY_MAP_SLICES, .error = -EIO };
	unsigned int i;

	end_chunk(t, &c);
	for (i = 0; i < 2 * BLK_COPY_MAP_SLICES; i++)
		blk_copy_map_add(&t->chunk.token.done, 2 * i, 1);
	KUNIT_ASSERT_TRUE(test, t->chunk.token.done.lost);
	blk_copy_map_init(&t->chunk.done);
	blk_copy_fold_chunk(copy, &t->chunk);
	KUNIT_EXPECT_EQ(test, copy->bytes_done, 1);
	KUNIT_EXPECT_EQ(test, copy->bytes_offloaded, 1);
	KUNIT_EXPECT_EQ(test, copy->bytes_emulated, 0);
	KUNIT_EXPECT_EQ(test, copy->error, -EIO);
	/* Only what is remembered is counted. */
	KUNIT_EXPECT_EQ(test, copy->stat_offloaded, BLK_COPY_MAP_SLICES);
	KUNIT_EXPECT_EQ(test, copy->stat_emulated, 0);
}

/* The device did all of it, but the start of it got lost: it does not count. */
static void fold_lost_start(struct kunit *test)
{
	struct fold_test *t = test->priv;
	struct blk_copy *copy = &t->copy;
	struct fold_chunk c = { .step = 4096, .error = -EIO };
	unsigned int i;

	end_chunk(t, &c);
	for (i = 0; i < BLK_COPY_MAP_SLICES; i++)
		blk_copy_map_add(&t->chunk.token.done, 8 + 4 * i, 2);
	blk_copy_map_add(&t->chunk.token.done, 0, 4);
	KUNIT_ASSERT_TRUE(test, t->chunk.token.done.lost);
	blk_copy_map_init(&t->chunk.done);
	/* Emulation fills [0, 8), and all is known up to 10. */
	blk_copy_map_add(&t->chunk.done, 0, 8);
	blk_copy_fold_chunk(copy, &t->chunk);
	KUNIT_EXPECT_EQ(test, copy->bytes_done, 10);
	KUNIT_EXPECT_EQ(test, copy->bytes_offloaded, 2);
	KUNIT_EXPECT_EQ(test, copy->bytes_emulated, 8);
}

/* ------------------------------------------------------------------ model */

#define MODEL_BYTES	64

enum { HOW_NOT, HOW_DEVICE, HOW_EMULATED };

struct fold_model {
	u64	done;
	u64	offloaded;
	u64	emulated;
	u64	all_offloaded;
	u64	all_emulated;
	int	error;
};

/* One chunk: settled steps, then perhaps one that failed with holes in it */
static void random_chunk(struct fold_test *t, struct fold_model *m,
			 struct rnd_state *rnd, bool fails)
{
	struct fold_chunk c = { .cur = prandom_u32_state(rnd) % MODEL_BYTES };
	bool counts = !m->error, hole = false;
	u8 how[MODEL_BYTES];
	unsigned int i;

	c.offloaded = c.cur ? prandom_u32_state(rnd) % (c.cur + 1) : 0;
	c.step = fails ? MODEL_BYTES - c.cur : 0;
	c.error = fails ? -EIO - (int)(prandom_u32_state(rnd) % 3) : 0;
	end_chunk(t, &c);
	m->all_offloaded += c.offloaded;
	m->all_emulated += c.cur - c.offloaded;
	if (counts) {
		m->done += c.cur;
		m->offloaded += c.offloaded;
		m->emulated += c.cur - c.offloaded;
		m->error = c.error;
	}
	for (i = 0; i < c.step; i++) {
		how[i] = prandom_u32_state(rnd) % 16 ?
			(i && prandom_u32_state(rnd) % 4 ? how[i - 1] : HOW_DEVICE +
			 prandom_u32_state(rnd) % 2) : HOW_NOT;
		hole |= how[i] == HOW_NOT;
		m->all_offloaded += how[i] == HOW_DEVICE;
		m->all_emulated += how[i] == HOW_EMULATED;
		if (!counts || hole)
			continue;
		m->done++;
		m->offloaded += how[i] == HOW_DEVICE;
		m->emulated += how[i] == HOW_EMULATED;
	}
	for (i = 0; i < c.step; i++) {
		if (how[i] == HOW_DEVICE)
			blk_copy_map_add(&t->chunk.token.done, i, 1);
		if (how[i] == HOW_EMULATED)
			blk_copy_map_add(&t->chunk.done, i, 1);
	}
}

static void fold_model(struct kunit *test)
{
	struct fold_test *t = test->priv;
	struct blk_copy *copy = &t->copy;
	struct rnd_state rnd;
	unsigned int i, j, bad;

	prandom_seed_state(&rnd, 31);
	for (i = 0; i < 1000; i++) {
		struct fold_model m = { };

		memset(copy, 0, sizeof(*copy));
		bad = prandom_u32_state(&rnd) % 6;
		for (j = 0; j < 5; j++) {
			random_chunk(t, &m, &rnd, j == bad || (j > bad && i & 1));
			blk_copy_fold_chunk(copy, &t->chunk);
		}
		KUNIT_ASSERT_EQ(test, copy->bytes_done, m.done);
		KUNIT_ASSERT_EQ(test, copy->bytes_offloaded, m.offloaded);
		KUNIT_ASSERT_EQ(test, copy->bytes_emulated, m.emulated);
		KUNIT_ASSERT_EQ(test, copy->error, m.error);
		KUNIT_ASSERT_EQ(test, copy->stat_offloaded, m.all_offloaded);
		KUNIT_ASSERT_EQ(test, copy->stat_emulated, m.all_emulated);
	}
}

/* ------------------------------------------------------------------ proof */

struct proof_case {
	const char		*desc;
	blk_status_t		status;
	struct fold_slice	device[MAX_SLICES];
	bool			lost;
	u64			bytes;		/* 0 = as added */
	bool			whole_only;
	bool			proven;
};

/* The COPY_OUT is of 64 bytes. */
static const struct proof_case proof_cases[] = {
	{ "all reported", BLK_STS_OK, { { 0, 64 } }, .proven = true },
	{ "all reported, in pieces", BLK_STS_OK, { { 32, 32 }, { 0, 32 } },
	  .proven = true },
	{ "nothing reported", BLK_STS_OK },
	{ "the head is missing", BLK_STS_OK, { { 8, 56 } } },
	{ "the middle is missing", BLK_STS_OK, { { 0, 16 }, { 24, 40 } } },
	{ "the end is missing", BLK_STS_OK, { { 0, 63 } } },
	{ "one piece twice, another missing", BLK_STS_OK,
	  { { 0, 32 }, { 0, 32 } } },
	{ "all reported, but an error", BLK_STS_IOERR, { { 0, 64 } } },
	{ "all reported, but refused", BLK_STS_NOTSUPP, { { 0, 64 } } },
	{ "a slice lost, the sum is right", BLK_STS_OK, { { 0, 32 } },
	  .lost = true, .bytes = 64, .proven = true },
	{ "a slice lost, the sum is short", BLK_STS_OK, { { 0, 32 } },
	  .lost = true, .bytes = 63 },
	{ "a slice lost, an error", BLK_STS_IOERR, { { 0, 32 } },
	  .lost = true, .bytes = 64 },
	{ "a mirror, reported twice", BLK_STS_OK, { { 0, 64 }, { 0, 64 } },
	  .whole_only = true, .proven = true },
	{ "a mirror with an error", BLK_STS_IOERR, { { 0, 64 }, { 0, 64 } },
	  .whole_only = true },
};

KUNIT_ARRAY_PARAM_DESC(proof, proof_cases, desc);

static void proof(struct kunit *test)
{
	const struct proof_case *c = test->param_value;
	struct fold_test *t = test->priv;
	struct blk_copy_chunk *chunk = &t->chunk;

	chunk->copy = &t->copy;
	chunk->step = 64;
	chunk->status = c->status;
	chunk->token.flags = 0;
	if (c->whole_only)
		set_bit(BLK_COPY_TOKEN_WHOLE_ONLY, &chunk->token.flags);
	blk_copy_map_init(&chunk->token.done);
	add_slices(&chunk->token.done, c->device);
	chunk->token.done.lost = c->lost;
	if (c->bytes)
		chunk->token.done.bytes = c->bytes;
	KUNIT_EXPECT_EQ(test, blk_copy_chunk_proven(chunk), c->proven);
}

/* ------------------------------------------------------------------ suite */

static int fold_test_init(struct kunit *test)
{
	test->priv = kunit_kzalloc(test, sizeof(struct fold_test), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, test->priv);
	return 0;
}

static struct kunit_case fold_test_cases[] = {
	KUNIT_CASE_PARAM(fold, fold_gen_params),
	KUNIT_CASE_PARAM(proof, proof_gen_params),
	KUNIT_CASE(fold_lost),
	KUNIT_CASE(fold_lost_start),
	KUNIT_CASE(fold_model),
	{}
};

static struct kunit_suite fold_test_suite = {
	.name		= "blk_copy_fold",
	.init		= fold_test_init,
	.test_cases	= fold_test_cases,
};

kunit_test_suite(fold_test_suite);

MODULE_DESCRIPTION("KUnit tests of folding the results of a copy");
MODULE_LICENSE("GPL");
