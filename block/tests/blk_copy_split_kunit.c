// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of splitting: where a COPY_OUT is cut, what bio_split() and its
 * like make of a copy bio, and what the gate lets in.
 */
#include <linux/blk-crypto.h>

#include "blk_copy_kunit.h"

static const struct blk_copy_leaf_ops split_ops = { .name = "split" };

struct split_test {
	struct blk_copy_token	*token;
	struct queue_limits	lim;
	struct copy_test_model	model;
	struct bio_set		bios;
};

static void set_limits(struct queue_limits *lim, u32 total, u32 segments,
		       u32 segment, u32 lbs)
{
	lim->logical_block_size = lbs;
	lim->copy.max_sectors = total;
	lim->copy.max_segments = segments;
	lim->copy.max_segment_sectors = segment;
}

/* ------------------------------------------------------------------ table */

struct split_case {
	const char		*desc;
	struct copy_test_entry	fill[8];
	u32			total;		/* of the destination, sectors */
	u32			segments;
	u32			segment;
	u32			lbs;		/* sectors, 0 = 1 */
	u32			off;
	u32			len;
	u32			want;
};

static const struct split_case split_cases[] = {
	{ "fits", { { 0, 64, 100, 1 } }, 64, 4, 64, 0, 0, 64, 64 },
	{ "fits, not from the start", { { 0, 64, 100, 1 } }, 64, 4, 64, 0, 16, 32, 32 },
	{ "total", { { 0, 64, 100, 1 } }, 40, 4, 64, 0, 0, 64, 40 },
	{ "total, not from the start", { { 0, 64, 100, 1 } }, 40, 4, 64, 0, 8, 56, 40 },
	{ "limit 0 cuts nothing: the gate and the leaf refuse",
	  { { 0, 64, 100, 1 } }, 0, 4, 64, 0, 0, 64, 64 },
	{ "segments, apart",
	  { { 0, 8, 100, 1 }, { 8, 8, 300, 1 }, { 16, 8, 500, 1 } },
	  64, 2, 64, 0, 0, 24, 16 },
	{ "one segment only",
	  { { 0, 8, 100, 1 }, { 8, 8, 300, 1 } }, 64, 1, 64, 0, 0, 16, 8 },
	{ "exactly as many segments as there may be",
	  { { 0, 8, 100, 1 }, { 8, 8, 300, 1 } }, 64, 2, 64, 0, 0, 16, 16 },
	{ "segments that go on count once",
	  { { 0, 8, 100, 1, 32 }, { 8, 8, 108, 1, 64 }, { 16, 8, 300, 1 } },
	  64, 2, 64, 0, 0, 24, 24 },
	{ "segment length and number", { { 0, 64, 100, 1 } }, 64, 3, 16, 0, 0, 64, 48 },
	{ "segment length, enough of them", { { 0, 64, 100, 1 } },
	  64, 4, 16, 0, 0, 64, 64 },
	{ "segment length, one of them", { { 0, 64, 100, 1 } },
	  64, 1, 16, 0, 0, 64, 16 },
	{ "segment length counts from the start of the piece",
	  { { 0, 64, 100, 1 } }, 64, 2, 16, 0, 8, 56, 32 },
	{ "the source's own limit", { { 0, 64, 100, 1, 10 } },
	  64, 3, 16, 0, 0, 64, 30 },
	{ "the source's own limit is larger", { { 0, 64, 100, 1, 32 } },
	  64, 3, 16, 0, 0, 64, 48 },
	{ "a segment that is cut, and one that is not",
	  { { 0, 24, 100, 1 }, { 24, 8, 300, 1 }, { 32, 8, 500, 1 } },
	  64, 3, 16, 0, 0, 40, 32 },
	{ "the source leaf changes",
	  { { 0, 8, 100, 1 }, { 8, 8, 108, 2 } }, 64, 4, 64, 0, 0, 16, 8 },
	{ "the source leaf changes behind the end",
	  { { 0, 8, 100, 1 }, { 8, 8, 108, 2 } }, 64, 4, 64, 0, 0, 8, 8 },
	{ "the source leaf changes and comes back",
	  { { 0, 8, 100, 1 }, { 8, 8, 100, 2 }, { 16, 8, 108, 1 } },
	  64, 4, 64, 0, 8, 16, 8 },
	{ "rounded down to the logical block", { { 0, 64, 100, 1 } },
	  44, 4, 64, 8, 0, 64, 40 },
	{ "segment length below the total, rounded down", { { 0, 64, 100, 1 } },
	  64, 3, 20, 8, 0, 64, 48 },
	{ "segments end inside a logical block: down to the one before",
	  { { 0, 12, 100, 1 }, { 12, 12, 300, 1 }, { 24, 8, 500, 1 } },
	  64, 2, 64, 8, 0, 32, 24 },
	{ "the leaf changes inside the second logical block",
	  { { 0, 12, 100, 1 }, { 12, 12, 300, 2 } }, 64, 4, 64, 8, 0, 24, 8 },
	{ "a logical block that cannot be done is a piece of its own",
	  { { 0, 4, 100, 1 }, { 4, 4, 300, 2 }, { 8, 8, 500, 1 } },
	  64, 4, 64, 8, 0, 16, 8 },
	{ "a segment limit below the logical block: one block, refused below",
	  { { 0, 64, 100, 1 } }, 64, 4, 4, 8, 0, 64, 8 },
	{ "less than a logical block is left whole",
	  { { 0, 4, 100, 1 }, { 4, 2, 300, 2 } }, 64, 4, 64, 8, 0, 6, 6 },
	{ "up to a gap", { { 0, 8, 100, 1 }, { 12, 8, 300, 1 } },
	  64, 4, 64, 0, 0, 20, 8 },
	{ "a gap at the start: the leaf refuses it",
	  { { 8, 8, 100, 1 } }, 64, 4, 64, 0, 0, 16, 16 },
	{ "a gap at the start, cut at the total", { { 8, 8, 100, 1 } },
	  10, 4, 64, 0, 0, 16, 10 },
	{ "two layers: the one with more segments decides",
	  { { 0, 32, 100, 1 }, { 0, 8, 100, 1, 0, 1 }, { 8, 8, 300, 1, 0, 1 },
	    { 16, 16, 500, 1, 0, 1 } }, 64, 2, 64, 0, 0, 32, 16 },
	{ "two layers: the first decides",
	  { { 0, 8, 100, 1 }, { 8, 24, 300, 2 }, { 0, 32, 100, 1, 0, 1 } },
	  64, 2, 64, 0, 0, 32, 8 },
	{ "two layers: the second has a gap later",
	  { { 0, 32, 100, 1 }, { 0, 8, 100, 2, 0, 1 } }, 64, 2, 64, 0, 0, 32, 8 },
	{ "two layers: the second has a gap here and does not count",
	  { { 0, 32, 100, 1 }, { 16, 4, 100, 2, 0, 1 } }, 64, 2, 64, 0, 0, 32, 32 },
	{ "two layers: only the second is filled",
	  { { 0, 8, 100, 1, 0, 1 }, { 8, 24, 300, 1, 0, 1 } },
	  64, 1, 64, 0, 0, 32, 8 },
	{ "more segments than a token has entries: no limit",
	  { { 0, 8, 100, 1 }, { 8, 8, 300, 1 } }, 64, 65535, 64, 0, 0, 16, 16 },
	{ "no limits at all", { { 0, 64, 100, 1 } },
	  UINT_MAX, 65535, UINT_MAX, 0, 0, 64, 64 },
	{ "no limits at all, large blocks", { { 0, 64, 100, 1 } },
	  UINT_MAX, 65535, UINT_MAX, 128, 0, 64, 64 },
};

KUNIT_ARRAY_PARAM_DESC(split, split_cases, desc);

static void split_case(struct kunit *test)
{
	const struct split_case *c = test->param_value;
	struct split_test *t = test->priv;
	unsigned int i;

	copy_test_token_reset(t->token, 2);
	for (i = 0; i < ARRAY_SIZE(c->fill) && c->fill[i].len; i++)
		KUNIT_ASSERT_STATUS(test, copy_test_fill(t->token, &c->fill[i],
							 &split_ops), BLK_STS_OK);
	set_limits(&t->lim, c->total, c->segments, c->segment,
		   SECT(c->lbs ? c->lbs : 1));
	KUNIT_EXPECT_EQ(test, blk_copy_split_bytes(t->token, SECT(c->off),
						   SECT(c->len), &t->lim),
			SECT(c->want));
}

/* Offsets and lengths close to 2 GiB, where 32 bits are nearly used up */
static void split_large(struct kunit *test)
{
	const u32 len = BLK_COPY_TOKEN_MAX_BYTES - SECTOR_SIZE;
	struct split_test *t = test->priv;
	struct blk_copy_entry e = {
		.len = len, .sector = 1ULL << 40, .leaf = copy_test_leaf(1),
		.ops = &split_ops, .max_bytes = UINT_MAX,
	};
	u32 off, bytes, pieces = 0;

	t->token->len = len;
	KUNIT_ASSERT_STATUS(test, blk_copy_token_fill(t->token, &e), BLK_STS_OK);
	set_limits(&t->lim, UINT_MAX, 1, UINT_MAX, SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, blk_copy_split_bytes(t->token, 0, len, &t->lim), len);
	KUNIT_EXPECT_EQ(test, blk_copy_split_bytes(t->token, len - SECTOR_SIZE,
						   SECTOR_SIZE, &t->lim),
			SECTOR_SIZE);
	set_limits(&t->lim, (1U << 30 >> SECTOR_SHIFT) - 1, 7, 1U << 18, SECTOR_SIZE);
	for (off = 0; off < len; off += bytes) {
		bytes = blk_copy_split_bytes(t->token, off, len - off, &t->lim);
		KUNIT_ASSERT_GT(test, bytes, 0);
		pieces++;
	}
	KUNIT_EXPECT_EQ(test, off, len);
	KUNIT_EXPECT_EQ(test, pieces, 3);
}

/* A range ends with its zone, and so does a single one that is short enough. */
static void split_zones(struct kunit *test)
{
	static const struct { u32 off, len, segments, want, ranges; } cases[] = {
		{ 0, 100, 1, 28, 1 }, { 28, 64, 1, 64, 1 },
		{ 28, 65, 1, 64, 1 }, { 27, 1, 1, 1, 1 },
		{ 27, 2, 1, 1, 1 }, { 0, 300, 3, 156, 3 },
		{ 0, 300, 128, 300, 6 },
	};
	struct split_test *t = test->priv;
	struct blk_copy_entry e = {
		.len = SECT(300), .sector = 100, .leaf = copy_test_leaf(1),
		.ops = &split_ops, .max_bytes = UINT_MAX, .zone_shift = 6,
	};
	struct blk_copy_range_iter iter;
	u32 i, n, bytes;

	t->token->len = SECT(300);
	KUNIT_ASSERT_STATUS(test, blk_copy_token_fill(t->token, &e), BLK_STS_OK);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		set_limits(&t->lim, UINT_MAX, cases[i].segments, UINT_MAX, SECTOR_SIZE);
		bytes = blk_copy_split_bytes(t->token, SECT(cases[i].off),
					     SECT(cases[i].len), &t->lim);
		KUNIT_EXPECT_EQ(test, bytes, SECT(cases[i].want));
		blk_copy_range_start(&iter, t->token, 0, SECT(cases[i].off),
				     SECT(cases[i].want), U32_MAX);
		for (n = 0; blk_copy_range_iter_next(&iter); n++)
			KUNIT_EXPECT_EQ(test, iter.sector >> 6,
					(iter.sector + (iter.bytes >> SECTOR_SHIFT) - 1) >> 6);
		KUNIT_EXPECT_EQ(test, n, cases[i].ranges);
	}
}

/* --------------------------------------------------------------- property */

/*
 * May one command that reads this layer carry [off, off + len)?  By the model,
 * sector by sector, with as few ranges as the limits allow.
 */
static bool layer_takes(const struct copy_test_model *model, u8 layer, u32 off,
			u32 len, const struct queue_limits *lim)
{
	const struct copy_test_sect *s = model->s[layer];
	u32 ranges = 0, in_range = 0, max, i;

	max = min(rounddown(lim->copy.max_segment_sectors,
			    lim->logical_block_size >> SECTOR_SHIFT),
		  model->max[s[off].leaf]);
	for (i = off; i < off + len; i++) {
		if (!s[i].leaf || s[i].leaf != s[off].leaf)
			return false;
		if (i > off && in_range < max && s[i].sector == s[i - 1].sector + 1) {
			in_range++;
			continue;
		}
		in_range = 1;
		ranges++;
	}
	return max && ranges <= lim->copy.max_segments;
}

/* The same for all layers that have something at the offset */
static bool all_take(const struct split_test *t, u32 off, u32 len)
{
	unsigned int layer;

	if (len > t->lim.copy.max_sectors)
		return false;
	for (layer = 0; layer < COPY_TEST_LAYERS; layer++)
		if (t->model.s[layer][off].leaf &&
		    !layer_takes(&t->model, layer, off, len, &t->lim))
			return false;
	return true;
}

/* Pieces cover everything, fit, and could not be longer. */
static void check_pieces(struct kunit *test, bool maximal)
{
	struct split_test *t = test->priv;
	u32 lbs = t->lim.logical_block_size >> SECTOR_SHIFT;
	u32 off, len, bytes;

	for (off = 0; off < COPY_TEST_SECTS; off += len) {
		u32 left = COPY_TEST_SECTS - off;

		bytes = blk_copy_split_bytes(t->token, SECT(off), SECT(left), &t->lim);
		len = bytes >> SECTOR_SHIFT;
		KUNIT_ASSERT_EQ(test, bytes, SECT(len));
		KUNIT_ASSERT_GT(test, len, 0);
		KUNIT_ASSERT_LE(test, len, left);
		if (len < left)
			KUNIT_ASSERT_EQ(test, len % lbs, 0);
		/* One block that cannot be done goes down alone. */
		if (len > lbs)
			KUNIT_ASSERT_TRUE_MSG(test, all_take(t, off, len),
					      "[%u, %u) does not fit", off, off + len);
		if (maximal && len < left)
			KUNIT_ASSERT_FALSE_MSG(test, all_take(t, off, len + lbs),
					       "[%u, %u) is too short", off, off + len);
		/* A piece is not cut again. */
		KUNIT_ASSERT_EQ(test, blk_copy_split_bytes(t->token, SECT(off),
							   bytes, &t->lim), bytes);
	}
	KUNIT_ASSERT_EQ(test, off, COPY_TEST_SECTS);
}

static void split_property(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 11);
	for (i = 0; i < 1500; i++) {
		if (i % 3 == 0)
			copy_test_random_token(test, t->token, &t->model, &split_ops,
					       &rnd, false);
		set_limits(&t->lim, 1 + copy_test_below(&rnd, 64),
			   1 + copy_test_below(&rnd, 6),
			   1 + copy_test_below(&rnd, 24), SECTOR_SIZE);
		check_pieces(test, true);
	}
}

/* Gaps anywhere: the pieces still end, cover everything, and keep to the total. */
static void split_property_gaps(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 12);
	for (i = 0; i < 400; i++) {
		copy_test_random_token(test, t->token, &t->model, &split_ops, &rnd,
				       true);
		set_limits(&t->lim, 1 + copy_test_below(&rnd, 64),
			   1 + copy_test_below(&rnd, 6),
			   1 + copy_test_below(&rnd, 24), SECTOR_SIZE);
		check_pieces(test, true);
	}
}

/* Sources cut at sectors, a destination of larger blocks */
static void split_property_blocks(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct rnd_state rnd;
	unsigned int i;

	prandom_seed_state(&rnd, 13);
	for (i = 0; i < 600; i++) {
		u32 lbs = 2 << (i % 3);

		copy_test_random_token(test, t->token, &t->model, &split_ops, &rnd,
				       false);
		set_limits(&t->lim, lbs * (1 + copy_test_below(&rnd, 16)),
			   1 + copy_test_below(&rnd, 6),
			   lbs * (1 + copy_test_below(&rnd, 4)), SECT(lbs));
		check_pieces(test, false);
	}
}

/* ------------------------------------------------------------------- bios */

static void random_bio(struct kunit *test, struct bio *bio, struct rnd_state *rnd)
{
	struct split_test *t = test->priv;

	copy_test_random_token(test, t->token, &t->model, &split_ops, rnd, false);
	set_limits(&t->lim, 1 + copy_test_below(rnd, 40), 1 + copy_test_below(rnd, 4),
		   1 + copy_test_below(rnd, 24), SECTOR_SIZE);
	copy_test_bio(bio, t->token, REQ_OP_COPY_OUT, 0, 0, COPY_TEST_SECTS);
	bio->bi_iter.bi_sector = 7000;
}

/* What the block layer does with a COPY_OUT that is too large */
static void bio_split_pieces(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct rnd_state rnd;
	struct bio bio, *split;
	unsigned int i;
	int sectors;
	u32 off;

	prandom_seed_state(&rnd, 14);
	for (i = 0; i < 50; i++) {
		random_bio(test, &bio, &rnd);
		off = 0;
		while ((sectors = bio_copy_split_sectors(&bio, &t->lim))) {
			KUNIT_ASSERT_LT(test, sectors, bio_sectors(&bio));
			split = bio_split(&bio, sectors, GFP_KERNEL, &t->bios);
			KUNIT_ASSERT_NOT_NULL(test, split);
			KUNIT_EXPECT_EQ(test, bio_copy_offset(split), SECT(off));
			KUNIT_EXPECT_EQ(test, split->bi_iter.bi_sector, 7000 + off);
			KUNIT_EXPECT_EQ(test, split->bi_iter.bi_size, SECT(sectors));
			KUNIT_EXPECT_PTR_EQ(test, bio_copy_token(split), t->token);
			KUNIT_EXPECT_EQ(test, bio_copy_split_sectors(split, &t->lim), 0);
			KUNIT_EXPECT_STATUS(test, __blk_copy_check_bio(split),
					    BLK_STS_OK);
			bio_put(split);
			off += sectors;
			KUNIT_EXPECT_EQ(test, bio_copy_offset(&bio), SECT(off));
			KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_sector, 7000 + off);
			KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_idx, 0);
		}
		KUNIT_EXPECT_EQ(test, off + bio_sectors(&bio), COPY_TEST_SECTS);
	}
}

/* A COPY_IN is never cut here: no command comes of it. */
static void bio_copy_in_stays_whole(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct bio bio;

	set_limits(&t->lim, 1, 1, 1, SECTOR_SIZE);
	copy_test_bio(&bio, t->token, REQ_OP_COPY_IN, 0, 0, 64);
	KUNIT_EXPECT_EQ(test, bio_copy_split_sectors(&bio, &t->lim), 0);
}

/* Clones, splits of splits and advances of a COPY_IN, as stacking drivers do */
static void bio_offset_follows(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct bio bio, *clone, *split;

	copy_test_bio(&bio, t->token, REQ_OP_COPY_IN, 0, 16, 64);
	clone = bio_alloc_clone(NULL, &bio, GFP_KERNEL, &t->bios);
	KUNIT_ASSERT_NOT_NULL(test, clone);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(clone), SECT(16));
	KUNIT_EXPECT_PTR_EQ(test, bio_copy_token(clone), t->token);

	split = bio_split(clone, 24, GFP_KERNEL, &t->bios);
	KUNIT_ASSERT_NOT_NULL(test, split);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(split), SECT(16));
	KUNIT_EXPECT_EQ(test, bio_copy_offset(clone), SECT(40));
	KUNIT_EXPECT_EQ(test, bio_sectors(clone), 40);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(&bio), SECT(16));

	bio_trim(clone, 8, 16);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(clone), SECT(48));
	KUNIT_EXPECT_EQ(test, bio_sectors(clone), 16);

	bio_advance(split, SECT(20));
	KUNIT_EXPECT_EQ(test, bio_copy_offset(split), SECT(36));
	KUNIT_EXPECT_EQ(test, bio_sectors(split), 4);
	KUNIT_EXPECT_EQ(test, split->bi_iter.bi_idx, 0);
	bio_put(split);
	bio_put(clone);
}

/* The iterator must not leave its bio_vec, whatever the offset. */
static void bio_offset_far(struct kunit *test)
{
	const u32 len = BLK_COPY_TOKEN_MAX_BYTES - SECTOR_SIZE;
	struct split_test *t = test->priv;
	struct bvec_iter saved;
	struct bio bio;

	copy_test_bio(&bio, t->token, REQ_OP_COPY_OUT, 0, 0, 0);
	bio.bi_iter.bi_size = len;
	saved = bio.bi_iter;
	bio_advance(&bio, len - SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(&bio), len - SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_size, SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_idx, 0);

	/* The steps below bio_advance(), here to the very end of a token */
	bio.bi_iter = saved;
	bio_advance_iter(&bio, &bio.bi_iter, len);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(&bio), len);
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_idx, 0);
	bio.bi_iter = saved;
	bio_advance_iter_single(&bio, &bio.bi_iter, len - SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, bio_copy_offset(&bio), len - SECTOR_SIZE);
	KUNIT_EXPECT_EQ(test, bio.bi_iter.bi_idx, 0);
}

/* A copy has no data, so nothing may look for pages. */
static void bio_has_no_data(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct bio bio;

	copy_test_bio(&bio, t->token, REQ_OP_COPY_OUT, 0, 0, 8);
	KUNIT_EXPECT_FALSE(test, bio_has_data(&bio));
	KUNIT_EXPECT_FALSE(test, bio_no_advance_iter(&bio));
	KUNIT_EXPECT_TRUE(test, op_is_copy(bio.bi_opf));
	KUNIT_EXPECT_TRUE(test, op_is_write(bio.bi_opf));
	copy_test_bio(&bio, t->token, REQ_OP_COPY_IN, 0, 0, 8);
	KUNIT_EXPECT_FALSE(test, bio_has_data(&bio));
	KUNIT_EXPECT_FALSE(test, bio_no_advance_iter(&bio));
	KUNIT_EXPECT_TRUE(test, op_is_copy(bio.bi_opf));
	KUNIT_EXPECT_FALSE(test, op_is_write(bio.bi_opf));
	KUNIT_EXPECT_FALSE(test, op_is_copy(REQ_OP_READ));
	KUNIT_EXPECT_FALSE(test, op_is_copy(REQ_OP_WRITE));
	KUNIT_EXPECT_FALSE(test, op_is_copy(REQ_OP_DISCARD));
	KUNIT_EXPECT_FALSE(test, op_is_copy(REQ_OP_ZONE_FINISH));
	KUNIT_EXPECT_FALSE(test, op_is_copy(REQ_OP_DRV_OUT));
}

/* ------------------------------------------------------------------- gate */

struct gate_case {
	const char	*desc;
	blk_opf_t	flags;
	u32		bv_len;		/* 0 = as it should be */
	bool		page;
	bool		no_vec;
	bool		vcnt;
	bool		empty;
	bool		crypt;
	bool		good;
};

static const struct gate_case gate_cases[] = {
	{ "as it should be", .good = true },
	{ "sync and idle hints are harmless", REQ_SYNC | REQ_IDLE, .good = true },
	{ "metadata and priority hints are harmless", REQ_META | REQ_PRIO,
	  .good = true },
	{ "no token", .no_vec = true },
	{ "a bio_vec with a page", .page = true },
	{ "a bio_vec that is not a token's", .bv_len = 4096 },
	{ "a count of bio_vecs", .vcnt = true },
	{ "nothing to copy", .empty = true },
	{ "FUA", REQ_FUA },
	{ "PREFLUSH", REQ_PREFLUSH },
	{ "ATOMIC", REQ_ATOMIC },
	{ "POLLED", REQ_POLLED },
	{ "NOWAIT", REQ_NOWAIT },
	{ "RAHEAD", REQ_RAHEAD },
	{ "a crypt context", .crypt = true },
};

KUNIT_ARRAY_PARAM_DESC(gate, gate_cases, desc);

static void gate_bio(struct kunit *test, struct bio *bio,
		     struct blk_copy_layer *layer, enum req_op op)
{
	const struct gate_case *c = test->param_value;
	struct split_test *t = test->priv;

	copy_test_bio(bio, t->token, op | c->flags, 0, 0, c->empty ? 0 : 8);
	layer->bv = *bio->bi_io_vec;
	layer->token = t->token;
	bio->bi_io_vec = c->no_vec ? NULL : &layer->bv;
	if (c->page)
		layer->bv.bv_page = ZERO_PAGE(0);
	if (c->bv_len)
		layer->bv.bv_len = c->bv_len;
	bio->bi_vcnt = c->vcnt;
#ifdef CONFIG_BLK_INLINE_ENCRYPTION
	if (c->crypt)
		bio->bi_crypt_context = (void *)t;
#endif
}

static void gate(struct kunit *test)
{
	const struct gate_case *c = test->param_value;
	struct request_queue *q;
	struct blk_copy_layer layer;
	struct bio bio;

	if (c->crypt && !IS_ENABLED(CONFIG_BLK_INLINE_ENCRYPTION))
		kunit_skip(test, "no inline encryption");
	q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);

	/* A queue of limit 0 takes neither good nor bad. */
	gate_bio(test, &bio, &layer, REQ_OP_COPY_IN);
	KUNIT_EXPECT_STATUS(test, blk_copy_check_bio(q, &bio), BLK_STS_NOTSUPP);
	gate_bio(test, &bio, &layer, REQ_OP_COPY_OUT);
	KUNIT_EXPECT_STATUS(test, blk_copy_check_bio(q, &bio), BLK_STS_NOTSUPP);

	/* A source only, for example one with zones */
	q->limits.copy.max_segment_sectors = 8;
	q->limits.copy.max_user_sectors = UINT_MAX;
	KUNIT_EXPECT_STATUS(test, blk_copy_check_bio(q, &bio), BLK_STS_NOTSUPP);

	q->limits.copy.max_sectors = 8;
	KUNIT_EXPECT_STATUS(test, blk_copy_check_bio(q, &bio),
			    c->good ? BLK_STS_OK : BLK_STS_INVAL);
	gate_bio(test, &bio, &layer, REQ_OP_COPY_IN);
	KUNIT_EXPECT_STATUS(test, blk_copy_check_bio(q, &bio),
			    c->good ? BLK_STS_OK : BLK_STS_INVAL);
	KUNIT_EXPECT_FALSE(test, bio_flagged(&bio, BIO_BPS_THROTTLED));
}

/* No bandwidth is charged where nothing moves. */
static void gate_dry_run(struct kunit *test)
{
	struct split_test *t = test->priv;
	struct bio bio;

	set_bit(BLK_COPY_TOKEN_DRY_RUN, &t->token->flags);
	copy_test_bio(&bio, t->token, REQ_OP_COPY_OUT, 0, 0, 8);
	KUNIT_EXPECT_STATUS(test, __blk_copy_check_bio(&bio), BLK_STS_OK);
	KUNIT_EXPECT_TRUE(test, bio_flagged(&bio, BIO_BPS_THROTTLED));
}

/* ------------------------------------------------------------------ suite */

static void exit_bios(void *bios)
{
	bioset_exit(bios);
}

static int split_test_init(struct kunit *test)
{
	struct split_test *t;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	t->token = copy_test_token(test, SECT(COPY_TEST_SECTS));
	KUNIT_ASSERT_EQ(test, 0, bioset_init(&t->bios, 4, 0, 0));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, exit_bios, &t->bios));
	test->priv = t;
	return 0;
}

static struct kunit_case split_test_cases[] = {
	KUNIT_CASE_PARAM(split_case, split_gen_params),
	KUNIT_CASE(split_large),
	KUNIT_CASE(split_zones),
	KUNIT_CASE(split_property),
	KUNIT_CASE(split_property_gaps),
	KUNIT_CASE(split_property_blocks),
	KUNIT_CASE(bio_split_pieces),
	KUNIT_CASE(bio_copy_in_stays_whole),
	KUNIT_CASE(bio_offset_follows),
	KUNIT_CASE(bio_offset_far),
	KUNIT_CASE(bio_has_no_data),
	KUNIT_CASE_PARAM(gate, gate_gen_params),
	KUNIT_CASE(gate_dry_run),
	{}
};

static struct kunit_suite split_test_suite = {
	.name		= "blk_copy_split",
	.init		= split_test_init,
	.test_cases	= split_test_cases,
};

kunit_test_suite(split_test_suite);

MODULE_DESCRIPTION("KUnit tests of splitting copy bios");
MODULE_LICENSE("GPL");
