// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the copy token: done map, entries, pins, and what leaves call.
 *
 * Tables of cases where the rule is simple; a model of one element per sector
 * and a seeded stream of random operations where only the sum can go wrong.
 */
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/string.h>

#include "blk_copy_kunit.h"

#define NR_PINS		3
#define TOKEN_SECTS	64

struct token_test {
	struct blk_copy_token	*token;
	struct block_device	*bdev;
	struct blk_copy_pin	*pin[NR_PINS];
	struct bio		bio;
	struct blk_copy_hold	hold;
};

/* -------------------------------------------------------------- drivers */

/* What the fake drivers were asked to do; reset before each case */
static struct {
	unsigned int	prepared;
	void		*leaf[4];
	void		*fail_leaf;
	unsigned int	busy;
	unsigned int	released;
	u64		released_sum;
} driver_log;

static bool reach_all(void *dst, void *src, void *via)
{
	return true;
}

static bool reach_leaf_2(void *dst, void *src, void *via)
{
	return src == copy_test_leaf(2);
}

static void count_release(u64 priv)
{
	driver_log.released++;
	driver_log.released_sum += priv;
}

static blk_status_t make_ready(struct blk_copy_token *token, void *leaf)
{
	unsigned int i;

	driver_log.leaf[driver_log.prepared++ % 4] = leaf;
	for (i = 0; i < token->nr_pins; i++)
		driver_log.busy += token->pin[i].pin->busy;
	if (leaf == driver_log.fail_leaf)
		return BLK_STS_IOERR;
	for (i = 0; i < token->nr_entries; i++)
		if (token->entry[i].leaf == leaf)
			token->entry[i].state = BLK_COPY_READY;
	return BLK_STS_OK;
}

static const struct blk_copy_leaf_ops alone_ops = { .name = "alone" };

static const struct blk_copy_leaf_ops reach_ops = {
	.name = "reach", .reachable = reach_all,
};

static const struct blk_copy_leaf_ops partly_ops = {
	.name = "partly", .reachable = reach_leaf_2,
};

static const struct blk_copy_leaf_ops rod_ops = {
	.name = "rod", .prepare = make_ready, .release = count_release,
};

/* ------------------------------------------------------------- shorthand */

static blk_status_t fill(struct token_test *t, const struct copy_test_entry *e)
{
	return copy_test_fill(t->token, e, &alone_ops);
}

static void fill_all(struct kunit *test, const struct copy_test_entry *list,
		     unsigned int max, const struct blk_copy_leaf_ops *ops)
{
	struct token_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < max && list[i].len; i++)
		KUNIT_ASSERT_STATUS(test, copy_test_fill(t->token, &list[i], ops),
				    BLK_STS_OK);
}

static blk_status_t pin_range(struct token_test *t, unsigned int pin, u8 layer,
			      u32 off, u32 len)
{
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, layer, off, len);
	return blk_copy_pin_bio(&t->bio, t->pin[pin]);
}

/* Leaf 1 starts the command of a COPY_OUT. */
static blk_status_t begin(struct token_test *t,
			  const struct blk_copy_leaf_ops *ops, u32 off, u32 len)
{
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_OUT, 0, off, len);
	t->bio.bi_bdev = t->bdev;
	return blk_copy_out_begin(&t->bio, ops, copy_test_leaf(1),
				  COPY_TEST_NO_LIMIT, &t->hold);
}

static u64 stat(struct token_test *t, enum blk_copy_stat_item item)
{
	return atomic64_read(&t->bdev->bd_disk->copy_stats.item[item]);
}

static unsigned int total_busy(struct token_test *t)
{
	unsigned int i, busy = 0;

	for (i = 0; i < NR_PINS; i++)
		busy += t->pin[i]->busy;
	return busy;
}

static bool has_flag(struct token_test *t, unsigned int flag)
{
	return test_bit(flag, &t->token->flags);
}

/* The @k-th of the n! orders of 0 .. n - 1 */
static void nth_order(unsigned int n, unsigned int k, u8 *order)
{
	u8 left[8];
	unsigned int i, pick;

	for (i = 0; i < n; i++)
		left[i] = i;
	for (i = 0; i < n; i++) {
		pick = k % (n - i);
		k /= n - i;
		order[i] = left[pick];
		left[pick] = left[n - i - 1];
	}
}

/* -------------------------------------------------------------- done map */

struct map_slice {
	u32 off;
	u32 len;
};

struct map_add_case {
	const char		*desc;
	struct map_slice	add[5];
	struct map_slice	want[4];
	u32			prefix;
	u64			bytes;
};

static const struct map_add_case map_add_cases[] = {
	{ "nothing" },
	{ "one at the start", { {0, 8} }, { {0, 8} }, 8, 8 },
	{ "one behind a gap", { {4, 8} }, { {4, 8} }, 0, 8 },
	{ "two apart, ascending", { {0, 4}, {8, 4} }, { {0, 4}, {8, 4} }, 4, 8 },
	{ "two apart, descending", { {8, 4}, {0, 4} }, { {0, 4}, {8, 4} }, 4, 8 },
	{ "one byte apart", { {0, 4}, {5, 4} }, { {0, 4}, {5, 4} }, 4, 8 },
	{ "touches the end", { {0, 4}, {4, 4} }, { {0, 8} }, 8, 8 },
	{ "touches the start", { {4, 4}, {0, 4} }, { {0, 8} }, 8, 8 },
	{ "bridges two", { {0, 4}, {8, 4}, {4, 4} }, { {0, 12} }, 12, 12 },
	{ "between two, touches neither", { {0, 4}, {12, 4}, {6, 4} },
	  { {0, 4}, {6, 4}, {12, 4} }, 4, 12 },
	{ "overlaps an end", { {0, 8}, {4, 8} }, { {0, 12} }, 12, 16 },
	{ "overlaps a start", { {4, 8}, {0, 8} }, { {0, 12} }, 12, 16 },
	{ "inside another", { {0, 16}, {4, 4} }, { {0, 16} }, 16, 20 },
	{ "around another", { {4, 4}, {0, 16} }, { {0, 16} }, 16, 20 },
	{ "the same twice", { {4, 4}, {4, 4} }, { {4, 4} }, 0, 8 },
	{ "same start, longer", { {4, 4}, {4, 8} }, { {4, 8} }, 0, 12 },
	{ "same end, longer", { {8, 4}, {4, 8} }, { {4, 8} }, 0, 12 },
	{ "swallows three, not the fourth",
	  { {4, 2}, {8, 2}, {12, 2}, {20, 2}, {2, 14} },
	  { {2, 14}, {20, 2} }, 0, 22 },
	{ "up to 2 GiB", { {0x7ffff000, 0x1000}, {0, 0x1000} },
	  { {0, 0x1000}, {0x7ffff000, 0x1000} }, 0x1000, 0x2000 },
	{ "all of 2 GiB", { {0, 0x40000000}, {0x40000000, 0x40000000} },
	  { {0, 0x80000000} }, 0x80000000, 0x80000000 },
};

KUNIT_ARRAY_PARAM_DESC(map_add, map_add_cases, desc);

static void map_add(struct kunit *test)
{
	const struct map_add_case *c = test->param_value;
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	unsigned int i;

	blk_copy_map_init(map);
	for (i = 0; i < ARRAY_SIZE(c->add) && c->add[i].len; i++)
		blk_copy_map_add(map, c->add[i].off, c->add[i].len);
	for (i = 0; i < ARRAY_SIZE(c->want) && c->want[i].len; i++) {
		KUNIT_ASSERT_GT(test, map->nr, i);
		KUNIT_EXPECT_EQ(test, map->slice[i].off, c->want[i].off);
		KUNIT_EXPECT_EQ(test, map->slice[i].len, c->want[i].len);
	}
	KUNIT_EXPECT_EQ(test, map->nr, i);
	KUNIT_EXPECT_EQ(test, blk_copy_map_prefix(map), c->prefix);
	KUNIT_EXPECT_EQ(test, map->bytes, c->bytes);
	KUNIT_EXPECT_FALSE(test, map->lost);
}

/* Why a map is not the set of the bits, or NULL */
static const char *map_differs(const struct blk_copy_map *map,
			       const unsigned long *bits, unsigned int size)
{
	unsigned long start, end;
	unsigned int i = 0;

	for_each_set_bitrange(start, end, bits, size) {
		if (i == map->nr)
			return "a slice is missing";
		if (map->slice[i].off != start || map->slice[i].len != end - start)
			return "a slice is wrong";
		i++;
	}
	return i == map->nr ? NULL : "a slice too many";
}

static void map_any_order(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	DECLARE_BITMAP(bits, 32);
	unsigned int k, i;
	u8 order[5];

	for (k = 0; k < 120; k++) {
		nth_order(5, k, order);
		bitmap_zero(bits, 32);
		blk_copy_map_init(map);
		for (i = 0; i < 5; i++) {
			blk_copy_map_add(map, order[i] * 4, 4);
			bitmap_set(bits, order[i] * 4, 4);
			KUNIT_ASSERT_NULL_MSG(test, map_differs(map, bits, 32),
					      "order %u, slice %u", k, i);
		}
		KUNIT_ASSERT_EQ(test, blk_copy_map_prefix(map), 20);
	}
}

static void map_lost(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	struct blk_copy_map *before;
	unsigned int i;

	before = kunit_kzalloc(test, sizeof(*before), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, before);
	for (i = 0; i < BLK_COPY_MAP_SLICES; i++)
		blk_copy_map_add(map, 4 + i * 8, 4);
	KUNIT_EXPECT_EQ(test, map->nr, BLK_COPY_MAP_SLICES);
	KUNIT_EXPECT_FALSE(test, map->lost);

	/* No room, neither before, between nor behind: nothing moves. */
	*before = *map;
	blk_copy_map_add(map, 0, 2);
	blk_copy_map_add(map, 9, 2);
	blk_copy_map_add(map, 4 + i * 8, 4);
	KUNIT_EXPECT_TRUE(test, map->lost);
	KUNIT_EXPECT_EQ(test, map->nr, BLK_COPY_MAP_SLICES);
	KUNIT_EXPECT_MEMEQ(test, map->slice, before->slice, sizeof(map->slice));
	KUNIT_EXPECT_EQ(test, map->bytes, before->bytes + 8);

	/* What joins needs no room. */
	blk_copy_map_add(map, 0, 4);
	KUNIT_EXPECT_EQ(test, blk_copy_map_prefix(map), 8);
	blk_copy_map_add(map, 8, 4);
	KUNIT_EXPECT_EQ(test, blk_copy_map_prefix(map), 16);
	KUNIT_EXPECT_EQ(test, map->nr, BLK_COPY_MAP_SLICES - 1);

	/* A bridge makes room for one, but what was lost stays lost. */
	blk_copy_map_add(map, 4 + i * 8, 4);
	KUNIT_EXPECT_EQ(test, map->nr, BLK_COPY_MAP_SLICES);
	KUNIT_EXPECT_TRUE(test, map->lost);
}

/* A map that overflows knows too little, never too much. */
static void map_lost_model(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	DECLARE_BITMAP(bits, 1024);
	struct rnd_state rnd;
	unsigned int i, j;

	prandom_seed_state(&rnd, 1);
	bitmap_zero(bits, 1024);
	for (i = 0; i < 500; i++) {
		u32 off = copy_test_below(&rnd, 1020);
		u32 len = 1 + copy_test_below(&rnd, 2);

		blk_copy_map_add(map, off, len);
		bitmap_set(bits, off, len);
	}
	KUNIT_EXPECT_TRUE(test, map->lost);
	for (i = 0; i < map->nr; i++) {
		for (j = 0; j < map->slice[i].len; j++)
			KUNIT_ASSERT_TRUE(test, test_bit(map->slice[i].off + j, bits));
		if (i)
			KUNIT_ASSERT_LT(test, map->slice[i - 1].off +
					map->slice[i - 1].len, map->slice[i].off);
	}
}

struct map_hole_case {
	const char	*desc;
	u32		from;
	u32		end;
	u32		off;
	u32		len;	/* 0: no hole */
	u32		below;	/* done in [0, end) */
};

/* The map is [4, 8) and [12, 16). */
static const struct map_hole_case map_hole_cases[] = {
	{ "before the first", 0, 32, 0, 4, 8 },
	{ "before the first, from inside it", 2, 32, 2, 2, 8 },
	{ "before the first, cut short", 0, 3, 0, 3, 0 },
	{ "ends where the first starts", 0, 4, 0, 4, 0 },
	{ "from the start of a slice", 4, 32, 8, 4, 8 },
	{ "from inside a slice", 6, 32, 8, 4, 8 },
	{ "from the end of a slice", 8, 32, 8, 4, 8 },
	{ "between, cut short", 8, 10, 8, 2, 4 },
	{ "inside a slice only", 5, 7, 0, 0, 3 },
	{ "exactly a slice", 4, 8, 0, 0, 4 },
	{ "behind the last", 12, 32, 16, 16, 8 },
	{ "far behind the last", 20, 32, 20, 12, 8 },
	{ "ends inside the last", 13, 15, 0, 0, 7 },
	{ "empty range", 8, 8, 0, 0, 4 },
	{ "range turned around", 10, 9, 0, 0, 4 },
};

KUNIT_ARRAY_PARAM_DESC(map_hole, map_hole_cases, desc);

static void map_hole(struct kunit *test)
{
	const struct map_hole_case *c = test->param_value;
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	u32 off = 0, len = 0;

	blk_copy_map_add(map, 12, 4);
	blk_copy_map_add(map, 4, 4);
	KUNIT_EXPECT_EQ(test, blk_copy_map_next_hole(map, c->from, c->end,
						     &off, &len), !!c->len);
	KUNIT_EXPECT_EQ(test, off, c->off);
	KUNIT_EXPECT_EQ(test, len, c->len);
	KUNIT_EXPECT_EQ(test, blk_copy_map_below(map, c->end), c->below);
}

/* Holes, prefix and sums of a random map against a bitmap of the same */
static const char *map_queries_differ(const struct blk_copy_map *map,
				      const unsigned long *bits,
				      unsigned int size, struct rnd_state *rnd)
{
	u32 from = copy_test_below(rnd, size), end = copy_test_below(rnd, size + 1);
	u32 off, len, want;
	bool hole;

	if (blk_copy_map_prefix(map) != find_first_zero_bit(bits, size))
		return "prefix";
	if (blk_copy_map_below(map, end) != bitmap_weight(bits, end))
		return "below";
	want = from < end ? find_next_zero_bit(bits, end, from) : end;
	hole = want < end;
	if (blk_copy_map_next_hole(map, from, end, &off, &len) != hole)
		return "whether there is a hole";
	if (hole && off != want)
		return "where the hole starts";
	if (hole && off + len != find_next_bit(bits, end, want))
		return "where the hole ends";
	return NULL;
}

static void map_model(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_map *map = &t->token->done;
	DECLARE_BITMAP(bits, 256);
	struct rnd_state rnd;
	u64 bytes = 0;
	unsigned int i;

	prandom_seed_state(&rnd, 2);
	for (i = 0; i < 3000; i++) {
		u32 off = copy_test_below(&rnd, 250);
		u32 len = 1 + copy_test_below(&rnd, i & 1 ? 2 : 6);

		if (i % 60 == 0) {
			bitmap_zero(bits, 256);
			blk_copy_map_init(map);
			bytes = 0;
		}
		bitmap_set(bits, off, len);
		blk_copy_map_add(map, off, len);
		bytes += len;
		KUNIT_ASSERT_NULL_MSG(test, map_differs(map, bits, 256),
				      "step %u", i);
		KUNIT_ASSERT_NULL_MSG(test, map_queries_differ(map, bits, 256, &rnd),
				      "step %u", i);
		KUNIT_ASSERT_EQ(test, map->bytes, bytes);
	}
	KUNIT_EXPECT_FALSE(test, map->lost);
}

/* --------------------------------------------------------------- entries */

static void expect_entries(struct kunit *test, const struct copy_test_entry *want,
			   unsigned int max)
{
	struct token_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < max && want[i].len; i++) {
		const struct blk_copy_entry *e = &t->token->entry[i];

		KUNIT_ASSERT_GT(test, t->token->nr_entries, i);
		KUNIT_EXPECT_EQ(test, e->off, SECT(want[i].off));
		KUNIT_EXPECT_EQ(test, e->len, SECT(want[i].len));
		KUNIT_EXPECT_EQ(test, e->sector, want[i].sector);
		KUNIT_EXPECT_PTR_EQ(test, e->leaf, copy_test_leaf(want[i].leaf));
		KUNIT_EXPECT_EQ(test, e->layer, want[i].layer);
	}
	KUNIT_EXPECT_EQ(test, t->token->nr_entries, i);
}

static void fill_any_order(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int k, i;
	u8 order[4];

	for (k = 0; k < 24; k++) {
		nth_order(4, k, order);
		copy_test_token_reset(t->token, 1);
		for (i = 0; i < 4; i++) {
			/* Adjacent in the token, apart on the leaf */
			struct copy_test_entry e = {
				.off = order[i] * 8, .len = 8, .leaf = 1,
				.sector = 1000 - order[i] * 8,
			};

			KUNIT_ASSERT_STATUS(test, fill(t, &e), BLK_STS_OK);
		}
		KUNIT_ASSERT_EQ(test, t->token->nr_entries, 4);
		for (i = 0; i < 4; i++) {
			KUNIT_ASSERT_EQ(test, t->token->entry[i].off, SECT(i * 8));
			KUNIT_ASSERT_EQ(test, t->token->entry[i].sector, 1000 - i * 8);
		}
	}
}

static void fill_any_order_coalesces(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int k, i;
	u8 order[4];

	for (k = 0; k < 24; k++) {
		nth_order(4, k, order);
		copy_test_token_reset(t->token, 1);
		for (i = 0; i < 4; i++) {
			struct copy_test_entry e = {
				.off = order[i] * 8, .len = 8, .leaf = 1,
				.sector = 500 + order[i] * 8,
			};

			KUNIT_ASSERT_STATUS(test, fill(t, &e), BLK_STS_OK);
		}
		KUNIT_ASSERT_EQ(test, t->token->nr_entries, 1);
		KUNIT_ASSERT_EQ(test, t->token->entry[0].len, SECT(32));
		KUNIT_ASSERT_EQ(test, t->token->entry[0].sector, 500);
	}
}

struct coalesce_case {
	const char		*desc;
	struct copy_test_entry	second;
	bool			other_ops;
	bool			other_pins;
	u64			priv;
	unsigned int		want;
};

/* The first is { off 0, len 8, sector 100, leaf 1, max 32, layer 0, REF }. */
static const struct coalesce_case coalesce_cases[] = {
	{ "all agree", { 8, 8, 108, 1, 32 }, .want = 1 },
	{ "leaf differs", { 8, 8, 108, 2, 32 }, .want = 2 },
	{ "driver differs", { 8, 8, 108, 1, 32 }, .other_ops = true, .want = 2 },
	{ "pins differ", { 8, 8, 108, 1, 32 }, .other_pins = true, .want = 2 },
	{ "source limit differs", { 8, 8, 108, 1, 16 }, .want = 2 },
	{ "state differs", { 8, 8, 108, 1, 32, 0, BLK_COPY_READY }, .want = 2 },
	{ "layer differs", { 8, 8, 108, 1, 32, 1 }, .want = 2 },
	{ "sector does not follow", { 8, 8, 109, 1, 32 }, .want = 2 },
	{ "sector goes back", { 8, 8, 92, 1, 32 }, .want = 2 },
	{ "same sector again", { 8, 8, 100, 1, 32 }, .want = 2 },
	{ "gap in the token", { 9, 8, 108, 1, 32 }, .want = 2 },
	{ "a device's token hangs on it", { 8, 8, 108, 1, 32 }, .priv = 7, .want = 2 },
};

KUNIT_ARRAY_PARAM_DESC(coalesce, coalesce_cases, desc);

static void coalesce(struct kunit *test)
{
	static const struct copy_test_entry first = { 0, 8, 100, 1, 32 };
	const struct coalesce_case *c = test->param_value;
	const struct copy_test_entry *s = &c->second;
	struct token_test *t = test->priv;
	struct blk_copy_entry second = {
		.off = SECT(s->off), .len = SECT(s->len), .sector = s->sector,
		.leaf = copy_test_leaf(s->leaf), .max_bytes = SECT(s->max),
		.ops = c->other_ops ? &reach_ops : &alone_ops,
		.layer = s->layer, .state = s->state, .priv = c->priv,
	};

	copy_test_token_reset(t->token, 2);
	KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, 0, 32), BLK_STS_OK);
	KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 1, 0, 32), BLK_STS_OK);
	if (c->other_pins)
		KUNIT_ASSERT_STATUS(test, pin_range(t, 1, 0, 8, 8), BLK_STS_OK);
	KUNIT_ASSERT_STATUS(test, fill(t, &first), BLK_STS_OK);
	KUNIT_ASSERT_STATUS(test, blk_copy_token_fill(t->token, &second),
			    BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->nr_entries, c->want);
	KUNIT_EXPECT_EQ(test, t->token->entry[0].len,
			SECT(c->want == 1 ? 16 : 8));
}

struct replace_case {
	const char		*desc;
	struct copy_test_entry	fill[4];
	struct copy_test_entry	new;
	struct copy_test_entry	want[5];
};

static const struct replace_case replace_cases[] = {
	{ "exactly one",
	  { { 0, 16, 100, 1 } }, { 0, 16, 900, 2 }, { { 0, 16, 900, 2 } } },
	{ "its head",
	  { { 0, 16, 100, 1 } }, { 0, 4, 900, 2 },
	  { { 0, 4, 900, 2 }, { 4, 12, 104, 1 } } },
	{ "its tail",
	  { { 0, 16, 100, 1 } }, { 12, 4, 900, 2 },
	  { { 0, 12, 100, 1 }, { 12, 4, 900, 2 } } },
	{ "its middle",
	  { { 0, 16, 100, 1 } }, { 4, 4, 900, 2 },
	  { { 0, 4, 100, 1 }, { 4, 4, 900, 2 }, { 8, 8, 108, 1 } } },
	{ "more than it, both sides",
	  { { 4, 8, 100, 1 } }, { 0, 16, 900, 2 }, { { 0, 16, 900, 2 } } },
	{ "over its start, from a gap",
	  { { 8, 8, 100, 1 } }, { 4, 8, 900, 2 },
	  { { 4, 8, 900, 2 }, { 12, 4, 104, 1 } } },
	{ "over its end, into a gap",
	  { { 0, 8, 100, 1 } }, { 4, 8, 900, 2 },
	  { { 0, 4, 100, 1 }, { 4, 8, 900, 2 } } },
	{ "several, whole",
	  { { 0, 4, 100, 1 }, { 4, 4, 200, 1 }, { 8, 4, 300, 1 }, { 12, 4, 400, 1 } },
	  { 4, 8, 900, 2 },
	  { { 0, 4, 100, 1 }, { 4, 8, 900, 2 }, { 12, 4, 400, 1 } } },
	{ "several, the outer ones in part",
	  { { 0, 4, 100, 1 }, { 4, 4, 200, 1 }, { 8, 4, 300, 1 }, { 12, 4, 400, 1 } },
	  { 2, 12, 900, 2 },
	  { { 0, 2, 100, 1 }, { 2, 12, 900, 2 }, { 14, 2, 402, 1 } } },
	{ "several with a gap between",
	  { { 0, 4, 100, 1 }, { 10, 6, 300, 1 } }, { 2, 10, 900, 2 },
	  { { 0, 2, 100, 1 }, { 2, 10, 900, 2 }, { 12, 4, 302, 1 } } },
	{ "everything",
	  { { 0, 4, 100, 1 }, { 4, 4, 200, 1 }, { 12, 4, 400, 1 } },
	  { 0, 16, 900, 2 }, { { 0, 16, 900, 2 } } },
	{ "with the same again",
	  { { 0, 16, 100, 1 } }, { 0, 16, 100, 1 }, { { 0, 16, 100, 1 } } },
	{ "a middle with the same again",
	  { { 0, 16, 100, 1 } }, { 4, 4, 104, 1 }, { { 0, 16, 100, 1 } } },
	{ "what goes on where both neighbours are",
	  { { 0, 4, 100, 1 }, { 4, 4, 900, 2 }, { 8, 4, 108, 1 } },
	  { 4, 4, 104, 1 }, { { 0, 12, 100, 1 } } },
	{ "what goes on where the left one ends",
	  { { 0, 4, 100, 1 }, { 4, 4, 900, 2 }, { 8, 4, 300, 1 } },
	  { 4, 4, 104, 1 }, { { 0, 8, 100, 1 }, { 8, 4, 300, 1 } } },
	{ "what ends where the right one goes on",
	  { { 0, 4, 100, 1 }, { 4, 4, 900, 2 }, { 8, 4, 300, 1 } },
	  { 4, 4, 296, 1 }, { { 0, 4, 100, 1 }, { 4, 8, 296, 1 } } },
	{ "not the neighbours of other layers",
	  { { 0, 16, 100, 1, 0, 0 }, { 0, 16, 500, 1, 0, 1 } },
	  { 4, 8, 900, 2, 0, 1 },
	  { { 0, 16, 100, 1, 0, 0 }, { 0, 4, 500, 1, 0, 1 },
	    { 4, 8, 900, 2, 0, 1 }, { 12, 4, 512, 1, 0, 1 } } },
	{ "the first layer, under a second",
	  { { 0, 16, 500, 1, 0, 1 }, { 0, 16, 100, 1, 0, 0 } },
	  { 8, 8, 900, 2, 0, 0 },
	  { { 0, 8, 100, 1, 0, 0 }, { 8, 8, 900, 2, 0, 0 },
	    { 0, 16, 500, 1, 0, 1 } } },
};

KUNIT_ARRAY_PARAM_DESC(replace, replace_cases, desc);

static void replace(struct kunit *test)
{
	const struct replace_case *c = test->param_value;
	struct token_test *t = test->priv;

	copy_test_token_reset(t->token, 2);
	fill_all(test, c->fill, ARRAY_SIZE(c->fill), &alone_ops);
	KUNIT_ASSERT_STATUS(test, fill(t, &c->new), BLK_STS_OK);
	expect_entries(test, c->want, ARRAY_SIZE(c->want));
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
}

/* Replacing and releasing give each token of a device back once. */
static void entries_release_priv(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_entry e = {
		.len = SECT(8), .leaf = copy_test_leaf(1), .ops = &rod_ops,
		.max_bytes = COPY_TEST_NO_LIMIT, .state = BLK_COPY_READY,
	};

	for (e.priv = 1; e.priv <= 4; e.priv++) {
		blk_copy_token_fill(t->token, &e);
		e.off += SECT(8);
	}
	KUNIT_EXPECT_EQ(test, t->token->nr_entries, 4);
	KUNIT_EXPECT_EQ(test, driver_log.released, 0);

	e.off = SECT(8);
	e.len = SECT(16);
	e.priv = 100;
	blk_copy_token_fill(t->token, &e);
	KUNIT_EXPECT_EQ(test, driver_log.released, 2);
	KUNIT_EXPECT_EQ(test, driver_log.released_sum, 2 + 3);

	/* Where one is filled over in part, nothing is left of it. */
	e.off = SECT(26);
	e.len = SECT(2);
	e.priv = 1000;
	blk_copy_token_fill(t->token, &e);
	KUNIT_EXPECT_EQ(test, driver_log.released, 3);
	KUNIT_EXPECT_EQ(test, driver_log.released_sum, 2 + 3 + 4);
	KUNIT_EXPECT_NULL(test, blk_copy_token_find(t->token, 0, SECT(24)));
	KUNIT_EXPECT_NOT_NULL(test, blk_copy_token_find(t->token, 0, SECT(27)));
	KUNIT_EXPECT_NULL(test, blk_copy_token_find(t->token, 0, SECT(28)));

	blk_copy_token_release(t->token);
	KUNIT_EXPECT_EQ(test, driver_log.released, 6);
	KUNIT_EXPECT_EQ(test, driver_log.released_sum,
			2 + 3 + 4 + 1 + 100 + 1000);
	KUNIT_EXPECT_EQ(test, t->token->nr_entries, 0);
}

/* Entries that cannot coalesce, as many as fit */
static void fill_to_the_brim(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct copy_test_entry e = { .len = 4, .leaf = 1 };
	unsigned int i;

	for (i = 0; i < BLK_COPY_TOKEN_ENTRIES; i++) {
		e.off = 4 * i;
		e.sector = 100 * i;
		KUNIT_ASSERT_STATUS(test, fill(t, &e), BLK_STS_OK);
	}
	KUNIT_ASSERT_EQ(test, t->token->nr_entries, BLK_COPY_TOKEN_ENTRIES);
	KUNIT_ASSERT_EQ(test, t->token->flags, 0);
}

struct overflow_case {
	const char		*desc;
	struct copy_test_entry	new;
	bool			fits;
	unsigned int		nr;
};

/* Of 256 entries, number n is { off 4 n, len 4, sector 100 n, leaf 1 }. */
static const struct overflow_case overflow_cases[] = {
	{ "one more behind", { 1024, 4, 0, 1 }, false, 256 },
	{ "one more in another layer", { 0, 4, 0, 1, 0, 1 }, false, 256 },
	{ "a head becomes another", { 0, 2, 7, 2 }, false, 256 },
	{ "a middle becomes another", { 1, 2, 7, 2 }, false, 256 },
	{ "one is replaced", { 8, 4, 7, 2 }, true, 256 },
	{ "the last is replaced", { 1020, 4, 7, 2 }, true, 256 },
	{ "three become one", { 8, 12, 7, 2 }, true, 254 },
	{ "the tail of one, the head of the next, one between",
	  { 10, 8, 7, 2 }, true, 256 },
	{ "what goes on where the last ends", { 1024, 4, 25504, 1 }, true, 256 },
	{ "one is replaced by the rest of its neighbour", { 8, 4, 104, 1 }, true, 255 },
};

KUNIT_ARRAY_PARAM_DESC(overflow, overflow_cases, desc);

static void overflow(struct kunit *test)
{
	const struct overflow_case *c = test->param_value;
	struct token_test *t = test->priv;
	const struct blk_copy_entry *e;
	unsigned int i;

	copy_test_token_reset(t->token, 2);
	fill_to_the_brim(test);
	KUNIT_EXPECT_STATUS(test, fill(t, &c->new),
			    c->fits ? BLK_STS_OK : BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW), !c->fits);
	KUNIT_EXPECT_EQ(test, t->token->nr_entries, c->nr);

	/* Whatever happened, nothing else was touched. */
	for (i = 0; i < BLK_COPY_TOKEN_ENTRIES; i++) {
		if (!c->new.layer && 4 * i < c->new.off + c->new.len &&
		    c->new.off < 4 * i + 4)
			continue;
		e = blk_copy_token_find(t->token, 0, SECT(4 * i));
		KUNIT_ASSERT_NOT_NULL(test, e);
		KUNIT_ASSERT_EQ(test, e->sector + 4 * i - (e->off >> SECTOR_SHIFT),
				100 * i);
	}
}

/* Where a fill found no room there is a gap or the old, and no mixture. */
static void overflow_middle_split(struct kunit *test)
{
	static const struct copy_test_entry wide = { 2000, 8, 50000, 1 };
	static const struct copy_test_entry middle = { 2002, 2, 7, 2 };
	struct token_test *t = test->priv;
	const struct blk_copy_entry *e;

	fill_to_the_brim(test);
	/* 255 entries and a wide one: a split takes two more. */
	t->token->nr_entries = BLK_COPY_TOKEN_ENTRIES - 1;
	KUNIT_ASSERT_STATUS(test, fill(t, &wide), BLK_STS_OK);
	KUNIT_EXPECT_STATUS(test, fill(t, &middle), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_LE(test, t->token->nr_entries, BLK_COPY_TOKEN_ENTRIES);
	e = blk_copy_token_find(t->token, 0, SECT(2000));
	KUNIT_ASSERT_NOT_NULL(test, e);
	KUNIT_EXPECT_EQ(test, e->sector, 50000);
}

static void find_entry(struct kunit *test)
{
	static const struct copy_test_entry list[] = {
		{ 4, 4, 100, 1, 0, 0 }, { 8, 4, 300, 1, 0, 0 },
		{ 0, 8, 500, 2, 0, 2 }, { 16, 8, 700, 2, 0, 2 },
	};
	/* Per layer: the entry that covers each pair of sectors, -1 for none */
	static const s8 want[3][14] = {
		{ -1, -1, 0, 0, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1 },
		{ -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 },
		{ 2, 2, 2, 2, -1, -1, -1, -1, 3, 3, 3, 3, -1, -1 },
	};
	struct token_test *t = test->priv;
	unsigned int layer, i;

	copy_test_token_reset(t->token, 3);
	KUNIT_EXPECT_NULL(test, blk_copy_token_find(t->token, 0, 0));
	fill_all(test, list, ARRAY_SIZE(list), &alone_ops);
	for (layer = 0; layer < 3; layer++) {
		for (i = 0; i < 14; i++) {
			const struct blk_copy_entry *e;

			e = blk_copy_token_find(t->token, layer, SECT(2 * i));
			KUNIT_EXPECT_EQ(test, e ? e - t->token->entry : -1,
					want[layer][i]);
		}
	}
}

static void layers(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct bio_vec *bv;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, t->token->nr_layers, 1);
	for (i = 1; i < BLK_COPY_TOKEN_LAYERS; i++) {
		bv = blk_copy_token_new_layer(t->token);
		KUNIT_ASSERT_PTR_EQ(test, bv, &t->token->layer[i].bv);
	}
	KUNIT_EXPECT_NULL(test, blk_copy_token_new_layer(t->token));
	for (i = 0; i < BLK_COPY_TOKEN_LAYERS; i++) {
		copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, i, 8, 8);
		KUNIT_EXPECT_PTR_EQ(test, bio_copy_token(&t->bio), t->token);
		KUNIT_EXPECT_STATUS(test, __blk_copy_check_bio(&t->bio), BLK_STS_OK);
	}
	blk_copy_token_init(t->token, SECT(8));
	KUNIT_EXPECT_EQ(test, t->token->nr_layers, 1);
}

/* ---------------------------------------------------- model of the entries */

#define FILL_SECTS	64
#define FILL_LAYERS	3

struct fill_sect {
	u32	sector;
	u8	leaf;		/* 0: gap */
	u8	max;
	u8	state;
};

struct fill_model {
	struct fill_sect s[FILL_LAYERS][FILL_SECTS];
};

static bool fill_sect_matches(const struct fill_sect *s,
			      const struct blk_copy_entry *e, unsigned int i)
{
	return e->leaf == copy_test_leaf(s->leaf) && e->max_bytes == SECT(s->max) &&
		e->state == s->state && e->sector + i == s->sector;
}

static bool entries_should_be_one(const struct blk_copy_entry *a,
				  const struct blk_copy_entry *b)
{
	return a->layer == b->layer && a->off + a->len == b->off &&
		a->leaf == b->leaf && a->max_bytes == b->max_bytes &&
		a->state == b->state &&
		a->sector + (a->len >> SECTOR_SHIFT) == b->sector;
}

/* Sorted, disjoint, each sector as in the model, nothing left to coalesce */
static const char *entries_differ(const struct blk_copy_token *token,
				  const struct fill_model *model)
{
	unsigned int idx = 0, layer, i, n;

	for (layer = 0; layer < FILL_LAYERS; layer++) {
		for (i = 0; i < FILL_SECTS; i += n) {
			const struct fill_sect *s = &model->s[layer][i];
			const struct blk_copy_entry *e = &token->entry[idx];

			n = 1;
			if (idx == token->nr_entries || e->layer != layer ||
			    e->off > SECT(i)) {
				if (s->leaf)
					return "a sector is missing";
				continue;
			}
			if (e->off != SECT(i) || !e->len)
				return "entries overlap or are not sorted";
			for (n = 0; n < e->len >> SECTOR_SHIFT; n++)
				if (!fill_sect_matches(&s[n], e, n))
					return "a sector is wrong";
			if (idx && entries_should_be_one(e - 1, e))
				return "entries did not coalesce";
			idx++;
		}
	}
	return idx == token->nr_entries ? NULL : "an entry too many";
}

static void random_fill(struct kunit *test, struct fill_model *model,
			struct rnd_state *rnd)
{
	struct token_test *t = test->priv;
	struct copy_test_entry e = { .layer = copy_test_below(rnd, FILL_LAYERS) };
	unsigned int i;

	e.off = copy_test_below(rnd, FILL_SECTS);
	e.len = 1 + copy_test_below(rnd, min(FILL_SECTS - e.off, 14));
	e.leaf = 1 + copy_test_below(rnd, 2);
	/* Mostly where the neighbours are, so that much coalesces */
	e.sector = 1000 + e.off + (copy_test_below(rnd, 4) ? 0 : 5000);
	e.max = copy_test_below(rnd, 8) ? 64 : 32;
	e.state = copy_test_below(rnd, 8) ? BLK_COPY_REF : BLK_COPY_READY;
	for (i = 0; i < e.len; i++)
		model->s[e.layer][e.off + i] = (struct fill_sect) {
			e.sector + i, e.leaf, e.max, e.state,
		};
	KUNIT_ASSERT_STATUS(test, fill(t, &e), BLK_STS_OK);
}

static void fill_model(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct fill_model *model;
	struct rnd_state rnd;
	unsigned int i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 3);
	for (i = 0; i < 5000; i++) {
		u8 layer = copy_test_below(&rnd, FILL_LAYERS);
		u32 off = copy_test_below(&rnd, FILL_SECTS);

		if (i % 250 == 0) {
			copy_test_token_reset(t->token, FILL_LAYERS);
			memset(model, 0, sizeof(*model));
		}
		random_fill(test, model, &rnd);
		KUNIT_ASSERT_NULL_MSG(test, entries_differ(t->token, model),
				      "fill %u", i);
		KUNIT_ASSERT_EQ(test, !!blk_copy_token_find(t->token, layer, SECT(off)),
				!!model->s[layer][off].leaf);
	}
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
}

/* ------------------------------------------------------------ pins, spans */

static void pin_bio_basics(struct kunit *test)
{
	struct token_test *t = test->priv;

	/* A COPY_OUT leaves nothing behind, whatever the device has. */
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_OUT, 0, 0, 8);
	KUNIT_EXPECT_STATUS(test, blk_copy_pin_bio(&t->bio, t->pin[0]), BLK_STS_OK);
	KUNIT_EXPECT_STATUS(test, blk_copy_pin_bio(&t->bio, NULL), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, 0);
	KUNIT_EXPECT_EQ(test, t->token->nr_spans, 0);

	/* A device without a pin must not map a COPY_IN: no memory is no bug. */
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 0, 8);
	KUNIT_EXPECT_STATUS(test, blk_copy_pin_bio(&t->bio, NULL), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, t->token->nr_spans, 0);

	KUNIT_EXPECT_STATUS(test, pin_range(t, 0, 0, 4, 8), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, 1);
	KUNIT_EXPECT_PTR_EQ(test, t->token->pin[0].pin, t->pin[0]);
	KUNIT_ASSERT_EQ(test, t->token->nr_spans, 1);
	KUNIT_EXPECT_EQ(test, t->token->span[0].off, SECT(4));
	KUNIT_EXPECT_EQ(test, t->token->span[0].len, SECT(8));
}

static void pins_are_counted(struct kunit *test)
{
	struct token_test *t = test->priv;

	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[0]->ref), 1);
	pin_range(t, 0, 0, 0, 8);
	pin_range(t, 0, 0, 8, 8);
	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[0]->ref), 2);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	pin_range(t, 0, 0, 16, 8);
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, 2);
	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[0]->ref), 3);
	blk_copy_token_release(t->token);
	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[0]->ref), 1);
	blk_copy_pin_put(NULL);
	blk_copy_pin_invalidate(NULL, TASK_UNINTERRUPTIBLE);
}

struct span_case {
	const char	*desc;
	struct {
		u32	off;
		u32	len;
		u8	layer;
		u8	pin;
	} in[5];
	unsigned int	nr_spans;
};

static const struct span_case span_cases[] = {
	{ "pieces one after the other", { {0, 4}, {4, 4}, {8, 4} }, 1 },
	{ "pieces from the end", { {8, 4}, {4, 4}, {0, 4} }, 1 },
	{ "pieces apart", { {0, 4}, {8, 4} }, 2 },
	{ "other pin", { {0, 4, 0, 0}, {4, 4, 0, 1} }, 2 },
	{ "other layer", { {0, 4, 0, 0}, {4, 4, 1, 0} }, 2 },
	{ "the same again", { {0, 8}, {0, 8} }, 1 },
	{ "the head again", { {0, 8}, {0, 4} }, 1 },
	{ "the tail again", { {0, 8}, {4, 4} }, 1 },
	{ "more than before", { {4, 4}, {0, 12} }, 1 },
	{ "two pins over the same", { {0, 8, 0, 0}, {0, 8, 0, 1} }, 2 },
	{ "stripes of two pins",
	  { {0, 4, 0, 0}, {4, 4, 0, 1}, {8, 4, 0, 0}, {12, 4, 0, 1} }, 4 },
};

KUNIT_ARRAY_PARAM_DESC(span, span_cases, desc);

static void span(struct kunit *test)
{
	const struct span_case *c = test->param_value;
	struct token_test *t = test->priv;
	unsigned int i;

	copy_test_token_reset(t->token, 2);
	for (i = 0; i < ARRAY_SIZE(c->in) && c->in[i].len; i++)
		KUNIT_ASSERT_STATUS(test, pin_range(t, c->in[i].pin, c->in[i].layer,
						    c->in[i].off, c->in[i].len),
				    BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->nr_spans, c->nr_spans);
}

/* Generation that the only span of a sector was made under; 9: none or more */
static u64 span_gen(const struct blk_copy_token *token, u32 sect)
{
	unsigned int i, found = 0;
	u64 gen = 9;

	for (i = 0; i < token->nr_spans; i++) {
		const struct blk_copy_span *s = &token->span[i];

		if (s->off <= SECT(sect) && SECT(sect) < s->off + s->len) {
			gen = token->pin[s->slot].gen;
			found++;
		}
	}
	return found == 1 ? gen : 9;
}

struct requeue_case {
	const char	*desc;
	u32		off;
	u32		len;
	const char	*want;	/* generation of each of 16 sectors, 9: none */
};

/* Generation 0 passed [4, 12). */
static const struct requeue_case requeue_cases[] = {
	{ "all of it", 4, 8, "9999111111119999" },
	{ "its head", 4, 3, "9999111000009999" },
	{ "its tail", 9, 3, "9999000001119999" },
	{ "its middle", 6, 2, "9999001100009999" },
	{ "more than it", 2, 12, "9911111111111199" },
	{ "over its start", 0, 8, "1111111100009999" },
	{ "over its end", 8, 8, "9999000011111111" },
	{ "before it", 0, 4, "1111000000009999" },
	{ "behind it", 12, 4, "9999000000001111" },
};

KUNIT_ARRAY_PARAM_DESC(requeue, requeue_cases, desc);

static void requeue(struct kunit *test)
{
	const struct requeue_case *c = test->param_value;
	struct token_test *t = test->priv;
	unsigned int i;

	KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, 4, 8), BLK_STS_OK);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, c->off, c->len), BLK_STS_OK);
	for (i = 0; i < 16; i++)
		KUNIT_EXPECT_EQ_MSG(test, span_gen(t->token, i), c->want[i] - '0',
				    "sector %u", i);
}

/* What is filled takes the pins over its offsets, and only of its layer. */
static void entry_masks(struct kunit *test)
{
	static const struct copy_test_entry list[] = {
		{ 0, 8, 100, 1 }, { 8, 8, 200, 1 }, { 16, 8, 300, 1 },
		{ 24, 8, 400, 1 }, { 8, 8, 500, 1, 0, 1 },
	};
	static const u32 want[] = { 0x1, 0x3, 0x2, 0x0, 0x4 };
	struct token_test *t = test->priv;
	unsigned int i;

	copy_test_token_reset(t->token, 2);
	pin_range(t, 0, 0, 0, 16);
	pin_range(t, 1, 0, 15, 2);
	pin_range(t, 2, 1, 0, 32);
	fill_all(test, list, ARRAY_SIZE(list), &alone_ops);
	KUNIT_ASSERT_EQ(test, t->token->nr_entries, ARRAY_SIZE(want));
	for (i = 0; i < ARRAY_SIZE(want); i++)
		KUNIT_EXPECT_EQ_MSG(test, t->token->entry[i].pins, want[i],
				    "entry %u", i);
}

/* A COPY_IN that was requeued belongs to the new generation alone. */
static void requeue_new_generation(struct kunit *test)
{
	static const struct copy_test_entry old = { 0, 16, 100, 1, 0, 0, BLK_COPY_READY };
	static const struct copy_test_entry new = { 8, 8, 900, 1, 0, 0, BLK_COPY_READY };
	struct token_test *t = test->priv;

	pin_range(t, 0, 0, 0, 16);
	fill(t, &old);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	/* It has passed the device again, but not yet arrived. */
	pin_range(t, 0, 0, 8, 8);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 8, 8), BLK_STS_NOTSUPP);
	fill(t, &new);
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, 2);
	KUNIT_ASSERT_EQ(test, t->token->nr_entries, 2);
	KUNIT_EXPECT_EQ(test, t->token->entry[0].pins, BIT(0));
	KUNIT_EXPECT_EQ(test, t->token->entry[1].pins, BIT(1));
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 8, 8), BLK_STS_OK);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

static void pins_overflow(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int i;

	/* Each generation of a pin needs a slot of its own. */
	for (i = 0; i < BLK_COPY_TOKEN_PINS; i++) {
		KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, 4 * i, 4), BLK_STS_OK);
		blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	}
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, BLK_COPY_TOKEN_PINS);
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_STATUS(test, pin_range(t, 1, 0, 4 * i, 4), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_EQ(test, t->token->nr_pins, BLK_COPY_TOKEN_PINS);
	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[1]->ref), 1);
	blk_copy_token_release(t->token);
	KUNIT_EXPECT_EQ(test, kref_read(&t->pin[0]->ref), 1);
}

static void spans_overflow(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < BLK_COPY_TOKEN_SPANS; i++)
		KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, 8 * i, 4), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->nr_spans, BLK_COPY_TOKEN_SPANS);
	/* What joins or replaces needs no room. */
	KUNIT_EXPECT_STATUS(test, pin_range(t, 0, 0, 4, 1), BLK_STS_OK);
	KUNIT_EXPECT_STATUS(test, pin_range(t, 0, 0, 8, 4), BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_STATUS(test, pin_range(t, 0, 0, 8 * i, 4), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_EQ(test, t->token->nr_spans, BLK_COPY_TOKEN_SPANS);
}

/* A new generation in the middle of a span needs room for two more. */
static void spans_overflow_split(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < BLK_COPY_TOKEN_SPANS; i++)
		KUNIT_ASSERT_STATUS(test, pin_range(t, 0, 0, 8 * i, 4), BLK_STS_OK);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, pin_range(t, 0, 0, 9, 1), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_LE(test, t->token->nr_spans, BLK_COPY_TOKEN_SPANS);
}

/* ---------------------------------------------- model of pins and COPY_OUT */

#define PIN_SECTS	30
#define PIN_LAYERS	2
#define PIN_PINS	2
#define PIN_GENS	8

struct pin_sect {
	u32	passed;		/* bit pin * PIN_GENS + generation */
	u32	pins;		/* the same, of what was filled */
	u8	leaf;
	u8	state;
};

struct pin_model {
	u32		valid;
	struct pin_sect	s[PIN_LAYERS][PIN_SECTS];
};

static u32 pin_bit(struct token_test *t, const struct blk_copy_pin_ref *ref)
{
	return BIT((ref->pin == t->pin[1] ? PIN_GENS : 0) + ref->gen);
}

static u32 pin_bits(struct token_test *t, u32 slots)
{
	unsigned int i;
	u32 bits = 0;

	for (i = 0; i < t->token->nr_pins; i++)
		if (slots & BIT(i))
			bits |= pin_bit(t, &t->token->pin[i]);
	return bits;
}

static const char *pins_differ(struct token_test *t, const struct pin_model *model)
{
	unsigned int layer, i, j;

	for (layer = 0; layer < PIN_LAYERS; layer++) {
		for (i = 0; i < PIN_SECTS; i++) {
			const struct pin_sect *s = &model->s[layer][i];
			const struct blk_copy_entry *e;
			u32 passed = 0;

			for (j = 0; j < t->token->nr_spans; j++) {
				const struct blk_copy_span *sp = &t->token->span[j];

				if (sp->layer == layer && sp->off <= SECT(i) &&
				    SECT(i) < sp->off + sp->len)
					passed += pin_bit(t, &t->token->pin[sp->slot]);
			}
			if (passed != s->passed)
				return "spans";
			e = blk_copy_token_find(t->token, layer, SECT(i));
			if (!e != !s->leaf)
				return "an entry";
			if (e && pin_bits(t, e->pins) != s->pins)
				return "the pins of an entry";
		}
	}
	return NULL;
}

static void random_pass(struct kunit *test, struct pin_model *model,
			struct rnd_state *rnd)
{
	struct token_test *t = test->priv;
	u8 layer = copy_test_below(rnd, PIN_LAYERS);
	u32 off = copy_test_below(rnd, PIN_SECTS);
	u32 len = 1 + copy_test_below(rnd, PIN_SECTS - off);
	unsigned int pin = copy_test_below(rnd, PIN_PINS), i;
	u32 mine = GENMASK(PIN_GENS - 1, 0) << (pin * PIN_GENS);

	for (i = off; i < off + len; i++) {
		model->s[layer][i].passed &= ~mine;
		model->s[layer][i].passed |= model->valid & mine;
	}
	KUNIT_ASSERT_STATUS(test, pin_range(t, pin, layer, off, len), BLK_STS_OK);
}

static void random_pinned_fill(struct kunit *test, struct pin_model *model,
			       struct rnd_state *rnd)
{
	struct token_test *t = test->priv;
	struct copy_test_entry e = { .layer = copy_test_below(rnd, PIN_LAYERS) };
	unsigned int i;
	u32 pins = 0;

	e.off = copy_test_below(rnd, PIN_SECTS);
	e.len = 1 + copy_test_below(rnd, PIN_SECTS - e.off);
	e.sector = e.off;
	e.leaf = copy_test_below(rnd, 4) ? 1 : 2;
	e.state = copy_test_below(rnd, 8) ? BLK_COPY_READY : BLK_COPY_REF;
	for (i = e.off; i < e.off + e.len; i++)
		pins |= model->s[e.layer][i].passed;
	for (i = e.off; i < e.off + e.len; i++) {
		model->s[e.layer][i].pins = pins;
		model->s[e.layer][i].leaf = e.leaf;
		model->s[e.layer][i].state = e.state;
	}
	KUNIT_ASSERT_STATUS(test, copy_test_fill(t->token, &e, &reach_ops),
			    BLK_STS_OK);
}

/* What leaf 1 should do with a slice: read this layer, or -1; *stale is set */
static int model_layer(const struct pin_model *model, u32 off, u32 len, bool *stale)
{
	unsigned int leaf, layer, i;

	for (leaf = 1; leaf <= 2; leaf++) {
		for (layer = 0; layer < PIN_LAYERS; layer++) {
			u32 pins = 0;

			for (i = off; i < off + len; i++) {
				const struct pin_sect *s = &model->s[layer][i];

				if (s->leaf != leaf || s->state != BLK_COPY_READY)
					break;
				pins |= s->pins;
			}
			if (i < off + len)
				continue;
			if (!(pins & ~model->valid))
				return layer;
			*stale = true;
		}
	}
	return -1;
}

static void random_begin(struct kunit *test, struct pin_model *model,
			 struct rnd_state *rnd)
{
	struct token_test *t = test->priv;
	u32 off = copy_test_below(rnd, PIN_SECTS);
	u32 len = 1 + copy_test_below(rnd, min(PIN_SECTS - off, 8));
	bool stale = false;
	int layer = model_layer(model, off, len, &stale);

	clear_bit(BLK_COPY_TOKEN_STALE, &t->token->flags);
	KUNIT_ASSERT_STATUS(test, begin(t, &reach_ops, off, len),
			    layer < 0 ? BLK_STS_NOTSUPP : BLK_STS_OK);
	KUNIT_ASSERT_EQ(test, has_flag(t, BLK_COPY_TOKEN_STALE), stale);
	if (layer >= 0) {
		KUNIT_ASSERT_EQ(test, t->hold.layer, layer);
		blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	}
	KUNIT_ASSERT_NULL(test, t->hold.token);
	KUNIT_ASSERT_EQ(test, total_busy(t), 0);
}

/* Generations start from 0 again, so that a bit mask can name them all. */
static void pin_model_reset(struct kunit *test, struct pin_model *model)
{
	struct token_test *t = test->priv;
	unsigned int i;

	copy_test_token_reset(t->token, PIN_LAYERS);
	memset(model, 0, sizeof(*model));
	for (i = 0; i < PIN_PINS; i++) {
		t->pin[i]->gen = 0;
		model->valid |= BIT(i * PIN_GENS);
	}
}

static void pin_model_bump(struct token_test *t, struct pin_model *model,
			   unsigned int pin)
{
	u32 old = BIT(pin * PIN_GENS + t->pin[pin]->gen);

	if (t->pin[pin]->gen == PIN_GENS - 1)
		return;
	blk_copy_pin_invalidate(t->pin[pin], TASK_UNINTERRUPTIBLE);
	model->valid = (model->valid & ~old) | old << 1;
}

static void pin_model(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct pin_model *model;
	struct rnd_state rnd;
	unsigned int i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 4);
	for (i = 0; i < 2000; i++) {
		if (i % 80 == 0)
			pin_model_reset(test, model);
		if (!copy_test_below(&rnd, 8))
			pin_model_bump(t, model, copy_test_below(&rnd, PIN_PINS));
		else if (copy_test_below(&rnd, 2))
			random_pass(test, model, &rnd);
		else
			random_pinned_fill(test, model, &rnd);
		KUNIT_ASSERT_NULL_MSG(test, pins_differ(t, model), "step %u", i);
		random_begin(test, model, &rnd);
	}
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
}

/* ---------------------------------------------------- begin of a COPY_OUT */

struct begin_case {
	const char			*desc;
	struct copy_test_entry		fill[4];
	const struct blk_copy_leaf_ops	*ops;
	u32				off;
	u32				len;
	int				layer;	/* -1: refused */
	unsigned int			ranges;
};

#define READY BLK_COPY_READY

/* Leaf 1 executes; all entries are of the driver that it belongs to. */
static const struct begin_case begin_cases[] = {
	{ "own", { { 0, 16, 100, 1, 0, 0, READY } }, &alone_ops, 0, 16, 0, 1 },
	{ "a part of its own", { { 0, 16, 100, 1, 0, 0, READY } },
	  &alone_ops, 4, 8, 0, 1 },
	{ "own, four ranges",
	  { { 0, 4, 100, 1, 0, 0, READY }, { 4, 4, 300, 1, 0, 0, READY },
	    { 8, 4, 200, 1, 0, 0, READY }, { 12, 4, 400, 1, 0, 0, READY } },
	  &alone_ops, 0, 16, 0, 4 },
	{ "own, limited by the source",
	  { { 0, 16, 100, 1, 4, 0, READY } }, &alone_ops, 0, 16, 0, 4 },
	{ "nothing there", { }, &alone_ops, 0, 16, -1 },
	{ "gap at the start", { { 1, 15, 100, 1, 0, 0, READY } },
	  &alone_ops, 0, 16, -1 },
	{ "gap at the end", { { 0, 15, 100, 1, 0, 0, READY } },
	  &alone_ops, 0, 16, -1 },
	{ "gap in the middle",
	  { { 0, 7, 100, 1, 0, 0, READY }, { 8, 8, 200, 1, 0, 0, READY } },
	  &alone_ops, 0, 16, -1 },
	{ "gaps outside the slice",
	  { { 2, 4, 100, 1, 0, 0, READY }, { 6, 4, 200, 1, 0, 0, READY } },
	  &alone_ops, 3, 6, 0, 2 },
	{ "two layers that only together are whole",
	  { { 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 200, 1, 0, 1, READY } },
	  &alone_ops, 0, 16, -1 },
	{ "not filled in yet", { { 0, 16, 100, 1, 0, 0, BLK_COPY_REF } },
	  &alone_ops, 0, 16, -1 },
	{ "half of it not ready",
	  { { 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 108, 1, 0, 0, BLK_COPY_REF } },
	  &alone_ops, 0, 16, -1 },
	{ "the ready half",
	  { { 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 108, 1, 0, 0, BLK_COPY_REF } },
	  &alone_ops, 0, 8, 0, 1 },
	{ "other leaf, no reach at all", { { 0, 16, 100, 2, 0, 0, READY } },
	  &alone_ops, 0, 16, -1 },
	{ "other leaf in reach", { { 0, 16, 100, 2, 0, 0, READY } },
	  &partly_ops, 0, 16, 0, 1 },
	{ "other leaf out of reach", { { 0, 16, 100, 3, 0, 0, READY } },
	  &partly_ops, 0, 16, -1 },
	{ "own and other leaf mixed",
	  { { 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 100, 2, 0, 0, READY } },
	  &reach_ops, 0, 16, -1 },
	{ "two other leaves mixed",
	  { { 0, 8, 100, 2, 0, 0, READY }, { 8, 8, 100, 3, 0, 0, READY } },
	  &reach_ops, 0, 16, -1 },
	{ "own in the second layer, before one in reach",
	  { { 0, 16, 100, 2, 0, 0, READY }, { 0, 16, 300, 1, 0, 1, READY } },
	  &reach_ops, 0, 16, 1, 1 },
	{ "own in both layers: the first",
	  { { 0, 16, 100, 1, 0, 0, READY }, { 0, 16, 300, 1, 0, 1, READY } },
	  &reach_ops, 0, 16, 0, 1 },
	{ "in reach, second layer, as the own one has a gap",
	  { { 0, 15, 100, 1, 0, 0, READY }, { 0, 16, 300, 2, 0, 1, READY } },
	  &reach_ops, 0, 16, 1, 1 },
	{ "in reach, second layer, as the first is out of reach",
	  { { 0, 16, 100, 3, 0, 0, READY }, { 0, 16, 300, 2, 0, 1, READY } },
	  &partly_ops, 0, 16, 1, 1 },
	{ "second layer, as the first is mixed",
	  { { 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 100, 2, 0, 0, READY },
	    { 0, 16, 300, 1, 0, 1, READY } }, &reach_ops, 0, 16, 1, 1 },
};

KUNIT_ARRAY_PARAM_DESC(begin, begin_cases, desc);

static void out_begin(struct kunit *test)
{
	const struct begin_case *c = test->param_value;
	struct token_test *t = test->priv;

	copy_test_token_reset(t->token, 2);
	pin_range(t, 0, 0, 0, 16);
	pin_range(t, 1, 1, 0, 16);
	fill_all(test, c->fill, ARRAY_SIZE(c->fill), c->ops);
	if (c->layer < 0) {
		KUNIT_EXPECT_STATUS(test, begin(t, c->ops, c->off, c->len),
				    BLK_STS_NOTSUPP);
		KUNIT_EXPECT_NULL(test, t->hold.token);
		KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	} else {
		KUNIT_EXPECT_STATUS(test, begin(t, c->ops, c->off, c->len),
				    BLK_STS_OK);
		KUNIT_EXPECT_PTR_EQ(test, t->hold.token, t->token);
		KUNIT_EXPECT_EQ(test, t->hold.layer, c->layer);
		KUNIT_EXPECT_EQ(test, t->hold.nr_ranges, c->ranges);
		KUNIT_EXPECT_EQ(test, t->pin[c->layer]->busy, 1);
		KUNIT_EXPECT_EQ(test, t->pin[!c->layer]->busy, 0);
	}
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

/* A reference of another driver is no business of this one. */
static void begin_other_driver(struct kunit *test)
{
	static const struct copy_test_entry e = { 0, 16, 100, 1, 0, 0, READY };
	struct token_test *t = test->priv;

	copy_test_fill(t->token, &e, &alone_ops);
	KUNIT_EXPECT_STATUS(test, begin(t, &reach_ops, 0, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_OK);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
}

/* Two layers over [0, 16), each under a pin of its own, and a third over both */
static void fill_two_layers(struct kunit *test)
{
	static const struct copy_test_entry list[] = {
		{ 0, 16, 100, 1, 0, 0, READY }, { 0, 16, 300, 1, 0, 1, READY },
	};
	struct token_test *t = test->priv;

	copy_test_token_reset(t->token, 2);
	pin_range(t, 0, 0, 0, 16);
	pin_range(t, 2, 0, 0, 16);
	pin_range(t, 1, 1, 0, 16);
	fill_all(test, list, ARRAY_SIZE(list), &alone_ops);
}

static void begin_stale(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	/* Layer 0 is stale by its second pin: the first one is let go again. */
	blk_copy_pin_invalidate(t->pin[2], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->hold.layer, 1);
	KUNIT_EXPECT_EQ(test, t->pin[0]->busy, 0);
	KUNIT_EXPECT_EQ(test, t->pin[1]->busy, 1);
	KUNIT_EXPECT_EQ(test, t->pin[2]->busy, 0);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);

	blk_copy_pin_invalidate(t->pin[1], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_NULL(test, t->hold.token);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
}

static void begin_stale_elsewhere(struct kunit *test)
{
	static const struct copy_test_entry list[] = {
		{ 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 300, 1, 0, 0, READY },
	};
	struct token_test *t = test->priv;

	pin_range(t, 0, 0, 0, 8);
	pin_range(t, 1, 0, 8, 8);
	fill_all(test, list, ARRAY_SIZE(list), &alone_ops);
	blk_copy_pin_invalidate(t->pin[1], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 8), BLK_STS_OK);
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 9), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

static void commands_count_apart(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_hold first;
	struct bio bio;

	fill_two_layers(test);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 0, 8), BLK_STS_OK);
	first = t->hold;
	bio = t->bio;
	memset(&t->hold, 0, sizeof(t->hold));
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 8, 8), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->pin[0]->busy, 2);
	KUNIT_EXPECT_EQ(test, t->pin[2]->busy, 2);
	blk_copy_out_end(&bio, &first, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, t->pin[0]->busy, 1);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_EXPECT_EQ(test, blk_copy_map_prefix(&t->token->done), SECT(16));
}

static void dry_run(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	set_bit(BLK_COPY_TOKEN_DRY_RUN, &t->token->flags);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_NULL(test, t->hold.token);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_ASSERT_EQ(test, t->token->done.nr, 1);
	KUNIT_EXPECT_EQ(test, t->token->done.slice[0].off, SECT(4));
	KUNIT_EXPECT_EQ(test, t->token->done.slice[0].len, SECT(8));
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 0);
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_DEV_ERROR));
}

/* What a dry run answers is what a command would meet. */
static void dry_run_refused(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	set_bit(BLK_COPY_TOKEN_DRY_RUN, &t->token->flags);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 8, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	blk_copy_pin_invalidate(t->pin[1], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

/* ------------------------------------------------------ end of a COPY_OUT */

static void end_success(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_ASSERT_EQ(test, t->token->done.nr, 1);
	KUNIT_EXPECT_EQ(test, t->token->done.slice[0].off, SECT(4));
	KUNIT_EXPECT_EQ(test, t->token->done.slice[0].len, SECT(8));
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, SECT(8));
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 1);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_RANGES), 1);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_BYTES), SECT(8));
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_ERRORS), 0);

	/* Cleaning up once more changes nothing. */
	KUNIT_EXPECT_NULL(test, t->hold.token);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, SECT(8));
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 1);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
}

static void end_failure(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, 0);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_DEV_ERROR));
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 0);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_ERRORS), 1);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);

	/* A driver that tries again begins again. */
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, SECT(8));
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

/* Not sent, or the device cannot: the slice is open, and nothing is wrong. */
static void end_refused(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_REFUSED);
	KUNIT_EXPECT_NULL(test, t->hold.token);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, 0);
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 0);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_ERRORS), 0);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

/* A multipath node counts what its paths execute, and so do these. */
static void end_counts_node(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct gendisk *node = kunit_kzalloc(test, sizeof(*node), GFP_KERNEL);
	atomic64_t *item = node->copy_stats.item;

	KUNIT_ASSERT_NOT_NULL(test, node);
	fill_two_layers(test);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	KUNIT_EXPECT_NULL(test, t->hold.node);
	t->hold.node = node;
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 1);
	KUNIT_EXPECT_EQ(test, t->token->done.bytes, SECT(8));
	KUNIT_EXPECT_EQ(test, atomic64_read(&item[BLK_COPY_STAT_COMMANDS]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&item[BLK_COPY_STAT_RANGES]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&item[BLK_COPY_STAT_COMMAND_BYTES]),
			SECT(8));

	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 4, 8), BLK_STS_OK);
	KUNIT_EXPECT_NULL(test, t->hold.node);
	t->hold.node = node;
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	KUNIT_EXPECT_EQ(test, atomic64_read(&item[BLK_COPY_STAT_COMMANDS]), 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&item[BLK_COPY_STAT_COMMAND_ERRORS]),
			1);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_ERRORS), 1);
}

/* Cleanup paths call it without a begin, or after one that failed. */
static void end_of_nothing(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_two_layers(test);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 8, 16), BLK_STS_NOTSUPP);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_FAILED);
	KUNIT_EXPECT_EQ(test, t->token->done.nr, 0);
	KUNIT_EXPECT_EQ(test, t->token->flags, 0);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMANDS), 0);
	KUNIT_EXPECT_EQ(test, stat(t, BLK_COPY_STAT_COMMAND_ERRORS), 0);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

/* ---------------------------------------------------------- end of a COPY_IN */

static void count_end_io(struct bio *bio)
{
	(*(unsigned int *)bio->bi_private)++;
}

static void in_end(struct kunit *test)
{
	struct token_test *t = test->priv;
	const struct blk_copy_entry *e = t->token->entry;
	unsigned int ended = 0;

	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 8, 16);
	t->bio.bi_bdev = t->bdev;
	t->bio.bi_iter.bi_sector = 1234;
	t->bio.bi_end_io = count_end_io;
	t->bio.bi_private = &ended;
	blk_copy_in_end(&t->bio, &alone_ops, copy_test_leaf(1), SECT(4));
	KUNIT_EXPECT_STATUS(test, t->bio.bi_status, BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, ended, 1);
	KUNIT_ASSERT_EQ(test, t->token->nr_entries, 1);
	KUNIT_EXPECT_EQ(test, e->off, SECT(8));
	KUNIT_EXPECT_EQ(test, e->len, SECT(16));
	KUNIT_EXPECT_EQ(test, e->sector, 1234);
	KUNIT_EXPECT_EQ(test, e->max_bytes, SECT(4));
	KUNIT_EXPECT_EQ(test, e->priv, 0);
	KUNIT_EXPECT_EQ(test, e->state, BLK_COPY_READY);
	KUNIT_EXPECT_EQ(test, e->zone_shift, 0);

	/* A driver that prepares gives references only. */
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 8, 16);
	t->bio.bi_bdev = t->bdev;
	blk_copy_in_end(&t->bio, &rod_ops, copy_test_leaf(1), SECT(4));
	KUNIT_EXPECT_EQ(test, e->state, BLK_COPY_REF);
}

/* Stripes have chunks, too: only zones keep ranges apart. */
static void in_end_zones(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct queue_limits *lim = &t->bdev->bd_queue->limits;

	lim->chunk_sectors = 64;
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 8, 16);
	t->bio.bi_bdev = t->bdev;
	blk_copy_in_end(&t->bio, &alone_ops, copy_test_leaf(1), SECT(4));
	KUNIT_EXPECT_EQ(test, t->token->entry->zone_shift, 0);
	if (!IS_ENABLED(CONFIG_BLK_DEV_ZONED))
		return;
	lim->features = BLK_FEAT_ZONED;
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 8, 16);
	t->bio.bi_bdev = t->bdev;
	blk_copy_in_end(&t->bio, &alone_ops, copy_test_leaf(1), SECT(4));
	KUNIT_EXPECT_EQ(test, t->token->entry->zone_shift, 6);
}

static void in_end_overflow(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int ended = 0;

	fill_to_the_brim(test);
	copy_test_bio(&t->bio, t->token, REQ_OP_COPY_IN, 0, 1024, 4);
	t->bio.bi_bdev = t->bdev;
	t->bio.bi_end_io = count_end_io;
	t->bio.bi_private = &ended;
	blk_copy_in_end(&t->bio, &alone_ops, copy_test_leaf(1), SECT(4));
	KUNIT_EXPECT_STATUS(test, t->bio.bi_status, BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_OVERFLOW));
	KUNIT_EXPECT_EQ(test, ended, 1);
}

/* --------------------------------------------------------------- prepare */

/* Leaf 1 twice, leaf 2 once, and something that is ready already */
static void fill_for_prepare(struct kunit *test)
{
	static const struct copy_test_entry refs[] = {
		{ 0, 8, 100, 1 }, { 8, 8, 100, 2 }, { 16, 8, 300, 1 },
	};
	static const struct copy_test_entry ready = { 24, 8, 100, 3, 0, 0, READY };
	struct token_test *t = test->priv;

	pin_range(t, 0, 0, 0, 8);
	pin_range(t, 1, 0, 8, 8);
	pin_range(t, 2, 0, 16, 8);
	fill_all(test, refs, ARRAY_SIZE(refs), &rod_ops);
	copy_test_fill(t->token, &ready, &alone_ops);
}

static void prepare_once_per_leaf(struct kunit *test)
{
	struct token_test *t = test->priv;
	unsigned int i;

	fill_for_prepare(test);
	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, driver_log.prepared, 2);
	KUNIT_EXPECT_PTR_EQ(test, driver_log.leaf[0], copy_test_leaf(1));
	KUNIT_EXPECT_PTR_EQ(test, driver_log.leaf[1], copy_test_leaf(2));
	for (i = 0; i < t->token->nr_entries; i++)
		KUNIT_EXPECT_EQ(test, t->token->entry[i].state, BLK_COPY_READY);
	/* Two pins busy for leaf 1, one for leaf 2, none afterwards */
	KUNIT_EXPECT_EQ(test, driver_log.busy, 3);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);

	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, driver_log.prepared, 2);
}

static void prepare_stale(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_for_prepare(test);
	blk_copy_pin_invalidate(t->pin[2], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token),
			    BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
	KUNIT_EXPECT_EQ(test, driver_log.prepared, 0);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_EXPECT_EQ(test, t->token->entry[0].state, BLK_COPY_REF);
}

static void prepare_fails(struct kunit *test)
{
	struct token_test *t = test->priv;

	fill_for_prepare(test);
	driver_log.fail_leaf = copy_test_leaf(1);
	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token), BLK_STS_IOERR);
	KUNIT_EXPECT_EQ(test, driver_log.prepared, 1);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
	KUNIT_EXPECT_FALSE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
}

static void prepare_nothing(struct kunit *test)
{
	static const struct copy_test_entry ready = { 0, 8, 100, 1, 0, 0, READY };
	static const struct copy_test_entry ref = { 8, 8, 300, 1 };
	struct token_test *t = test->priv;

	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token), BLK_STS_OK);
	fill(t, &ready);
	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token), BLK_STS_OK);
	/* A reference that nobody can make ready */
	fill(t, &ref);
	KUNIT_EXPECT_STATUS(test, blk_copy_token_prepare(t->token),
			    BLK_STS_NOTSUPP);
	KUNIT_EXPECT_EQ(test, driver_log.prepared, 0);
}

/* ------------------------------------------------------------ invalidate */

struct invalidator {
	struct blk_copy_pin	*pin;
	unsigned int		task_state;
	int			err;
	struct completion	done;
};

static int invalidate_thread(void *data)
{
	struct invalidator *inv = data;

	allow_signal(SIGINT);
	inv->err = blk_copy_pin_invalidate(inv->pin, inv->task_state);
	complete(&inv->done);
	return 0;
}

static u64 pin_gen(struct blk_copy_pin *pin)
{
	u64 gen;

	spin_lock_irq(&pin->lock);
	gen = pin->gen;
	spin_unlock_irq(&pin->lock);
	return gen;
}

static void wait_for_gen(struct blk_copy_pin *pin, u64 gen)
{
	unsigned int i;

	for (i = 0; i < 1000 && pin_gen(pin) != gen; i++)
		usleep_range(1000, 2000);
}

/* For pin 0, which fill_two_layers() uses */
static struct invalidator *make_invalidator(struct kunit *test,
					    unsigned int task_state)
{
	struct token_test *t = test->priv;
	struct invalidator *inv;

	inv = kunit_kzalloc(test, sizeof(*inv), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, inv);
	inv->pin = t->pin[0];
	inv->task_state = task_state;
	init_completion(&inv->done);
	fill_two_layers(test);
	return inv;
}

static void invalidate_waits(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct blk_copy_hold late = { };
	struct invalidator *inv;
	struct task_struct *task;
	blk_status_t status;

	inv = make_invalidator(test, TASK_UNINTERRUPTIBLE);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_OK);

	task = kthread_run(invalidate_thread, inv, "blk_copy_kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	wait_for_gen(t->pin[0], 1);
	KUNIT_EXPECT_EQ(test, pin_gen(t->pin[0]), 1);
	msleep(20);
	KUNIT_EXPECT_FALSE(test, completion_done(&inv->done));

	/* Nobody new relies on the pin while it waits. */
	blk_copy_pin_invalidate(t->pin[1], TASK_UNINTERRUPTIBLE);
	status = blk_copy_out_begin(&t->bio, &alone_ops, copy_test_leaf(1),
				    COPY_TEST_NO_LIMIT, &late);
	KUNIT_EXPECT_STATUS(test, status, BLK_STS_NOTSUPP);
	KUNIT_EXPECT_NULL(test, late.token);
	KUNIT_EXPECT_FALSE(test, completion_done(&inv->done));

	/* The command that was there may still say that it has copied. */
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	KUNIT_EXPECT_GT(test, wait_for_completion_timeout(&inv->done, 5 * HZ), 0);
	KUNIT_EXPECT_EQ(test, blk_copy_map_prefix(&t->token->done), SECT(16));
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);
}

struct signal_case {
	const char	*desc;
	unsigned int	task_state;
	int		err;
};

static const struct signal_case signal_cases[] = {
	{ "interruptible", TASK_INTERRUPTIBLE, -ERESTARTSYS },
	{ "uninterruptible", TASK_UNINTERRUPTIBLE, 0 },
};

KUNIT_ARRAY_PARAM_DESC(signal, signal_cases, desc);

/* A signal while a command relies on the pin, which goes on in any case */
static void invalidate_signal(struct kunit *test)
{
	const struct signal_case *c = test->param_value;
	struct token_test *t = test->priv;
	struct invalidator *inv;
	struct task_struct *task;
	bool ended;

	inv = make_invalidator(test, c->task_state);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_OK);
	task = kthread_create(invalidate_thread, inv, "blk_copy_kunit");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	get_task_struct(task);
	wake_up_process(task);
	wait_for_gen(t->pin[0], 1);
	send_sig(SIGINT, task, 1);
	ended = wait_for_completion_timeout(&inv->done,
					    c->err ? 5 * HZ : HZ / 10);
	KUNIT_EXPECT_EQ(test, ended, c->err != 0);
	put_task_struct(task);

	/* The references are stale, but the command has not lost its hold. */
	KUNIT_EXPECT_EQ(test, pin_gen(t->pin[0]), 1);
	KUNIT_EXPECT_GT(test, total_busy(t), 0);
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
	if (!ended)
		wait_for_completion(&inv->done);
	KUNIT_EXPECT_EQ(test, inv->err, c->err);
	KUNIT_EXPECT_EQ(test, total_busy(t), 0);

	blk_copy_pin_invalidate(t->pin[1], TASK_UNINTERRUPTIBLE);
	KUNIT_EXPECT_STATUS(test, begin(t, &alone_ops, 0, 16), BLK_STS_NOTSUPP);
	KUNIT_EXPECT_TRUE(test, has_flag(t, BLK_COPY_TOKEN_STALE));
}

/* With no command there is nothing to wait for, signal or not. */
static void invalidate_idle(struct kunit *test)
{
	struct token_test *t = test->priv;

	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	blk_copy_pin_invalidate(t->pin[0], TASK_UNINTERRUPTIBLE);
	allow_signal(SIGINT);
	send_sig(SIGINT, current, 1);
	KUNIT_EXPECT_EQ(test, blk_copy_pin_invalidate(t->pin[0],
						      TASK_INTERRUPTIBLE), 0);
	flush_signals(current);
	disallow_signal(SIGINT);
	KUNIT_EXPECT_EQ(test, t->pin[0]->gen, 3);
	KUNIT_EXPECT_EQ(test, t->pin[0]->busy, 0);
}

/* ---------------------------------------------------------------- ranges */

struct range_case {
	const char		*desc;
	struct copy_test_entry	fill[4];
	u32			off;
	u32			len;
	u32			max;	/* of the destination, 0 = no limit */
	u8			layer;
	struct {
		u32		sector;
		u32		len;
	} want[6];
};

static const struct range_case range_cases[] = {
	{ "one entry", { { 0, 16, 100, 1 } }, 0, 16, .want = { {100, 16} } },
	{ "the middle of an entry", { { 0, 16, 100, 1 } }, 4, 8,
	  .want = { {104, 8} } },
	{ "two entries apart", { { 0, 8, 100, 1 }, { 8, 8, 300, 1 } }, 0, 16,
	  .want = { {100, 8}, {300, 8} } },
	{ "two entries, both in part", { { 0, 8, 100, 1 }, { 8, 8, 300, 1 } }, 6, 4,
	  .want = { {106, 2}, {300, 2} } },
	{ "entries that go on, of different limits, make one range",
	  { { 0, 8, 100, 1, 32 }, { 8, 8, 108, 1, 64 } }, 0, 16,
	  .want = { {100, 16} } },
	{ "cut by the destination", { { 0, 16, 100, 1 } }, 0, 16, 6,
	  .want = { {100, 6}, {106, 6}, {112, 4} } },
	{ "exactly the destination's limit", { { 0, 12, 100, 1 } }, 0, 12, 12,
	  .want = { {100, 12} } },
	{ "cut by the source", { { 0, 16, 100, 1, 6 } }, 0, 16, 12,
	  .want = { {100, 6}, {106, 6}, {112, 4} } },
	{ "cut by the smaller of both", { { 0, 16, 100, 1, 12 } }, 0, 16, 6,
	  .want = { {100, 6}, {106, 6}, {112, 4} } },
	{ "limits count from the start of the slice", { { 0, 16, 100, 1, 8 } }, 4, 12,
	  .want = { {104, 8}, {112, 4} } },
	{ "a stricter source goes on", { { 0, 8, 100, 1 }, { 8, 8, 108, 1, 4 } }, 0, 16,
	  .want = { {100, 4}, {104, 4}, {108, 4}, {112, 4} } },
	{ "a stricter source that is not reached",
	  { { 0, 8, 100, 1 }, { 8, 8, 108, 1, 4 } }, 0, 8, .want = { {100, 8} } },
	{ "source goes on elsewhere", { { 0, 8, 100, 1 }, { 8, 8, 108, 2 } }, 0, 16,
	  .want = { {100, 8}, {108, 8} } },
	{ "the same sectors again", { { 0, 8, 100, 1 }, { 8, 8, 100, 1 } }, 0, 16,
	  .want = { {100, 8}, {100, 8} } },
	{ "ends at a gap", { { 0, 8, 100, 1 }, { 12, 4, 112, 1 } }, 0, 16,
	  .want = { {100, 8} } },
	{ "starts in a gap", { { 4, 8, 100, 1 } }, 0, 16, .want = { } },
	{ "starts behind all", { { 0, 8, 100, 1 } }, 8, 8, .want = { } },
	{ "stays in its layer",
	  { { 0, 8, 100, 1, 0, 0 }, { 8, 8, 108, 1, 0, 1 } }, 0, 16,
	  .want = { {100, 8} } },
	{ "another layer",
	  { { 0, 16, 100, 1, 0, 0 }, { 0, 16, 300, 1, 0, 1 } }, 4, 8, .layer = 1,
	  .want = { {304, 8} } },
};

KUNIT_ARRAY_PARAM_DESC(range, range_cases, desc);

static void range(struct kunit *test)
{
	const struct range_case *c = test->param_value;
	struct token_test *t = test->priv;
	struct blk_copy_range_iter iter;
	unsigned int i;

	copy_test_token_reset(t->token, 2);
	fill_all(test, c->fill, ARRAY_SIZE(c->fill), &alone_ops);
	blk_copy_range_start(&iter, t->token, c->layer, SECT(c->off), SECT(c->len),
			     c->max ? SECT(c->max) : COPY_TEST_NO_LIMIT);
	for (i = 0; i < ARRAY_SIZE(c->want) && c->want[i].len; i++) {
		KUNIT_ASSERT_TRUE(test, blk_copy_range_iter_next(&iter));
		KUNIT_EXPECT_EQ(test, iter.sector, c->want[i].sector);
		KUNIT_EXPECT_EQ(test, iter.bytes, SECT(c->want[i].len));
	}
	KUNIT_EXPECT_FALSE(test, blk_copy_range_iter_next(&iter));
	KUNIT_EXPECT_FALSE(test, blk_copy_range_iter_next(&iter));
}

/* Entries of different pins are two entries, but one range on the medium. */
static void range_joins_pins(struct kunit *test)
{
	static const struct copy_test_entry list[] = {
		{ 0, 8, 100, 1, 0, 0, READY }, { 8, 8, 108, 1, 0, 0, READY },
	};
	struct token_test *t = test->priv;
	struct blk_copy_range_iter iter;

	pin_range(t, 0, 0, 0, 8);
	pin_range(t, 1, 0, 8, 8);
	fill_all(test, list, ARRAY_SIZE(list), &alone_ops);
	KUNIT_ASSERT_EQ(test, t->token->nr_entries, 2);
	KUNIT_ASSERT_STATUS(test, begin(t, &alone_ops, 2, 12), BLK_STS_OK);
	KUNIT_EXPECT_EQ(test, t->hold.nr_ranges, 1);
	KUNIT_EXPECT_EQ(test, total_busy(t), 2);
	blk_copy_range_iter_init(&iter, &t->bio, &t->hold, COPY_TEST_NO_LIMIT);
	KUNIT_ASSERT_TRUE(test, blk_copy_range_iter_next(&iter));
	KUNIT_EXPECT_EQ(test, iter.sector, 102);
	KUNIT_EXPECT_EQ(test, iter.bytes, SECT(12));
	KUNIT_EXPECT_FALSE(test, blk_copy_range_iter_next(&iter));
	blk_copy_out_end(&t->bio, &t->hold, BLK_COPY_DONE);
}

/* The length of the range that begins here, by the model; 0 at a gap */
static u32 model_range(const struct copy_test_model *model, u8 layer, u32 off,
		       u32 end, u32 max)
{
	const struct copy_test_sect *s = model->s[layer];
	u32 n;

	if (!s[off].leaf)
		return 0;
	max = min(max, model->max[s[off].leaf]);
	for (n = 1; off + n < end && n < max; n++)
		if (s[off + n].leaf != s[off].leaf ||
		    s[off + n].sector != s[off].sector + n)
			break;
	return n;
}

static void range_model(struct kunit *test)
{
	struct token_test *t = test->priv;
	struct copy_test_model *model;
	struct blk_copy_range_iter iter;
	struct rnd_state rnd;
	unsigned int i;

	model = kunit_kzalloc(test, sizeof(*model), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, model);
	prandom_seed_state(&rnd, 5);
	for (i = 0; i < 1000; i++) {
		u32 off, end, max, want;
		u8 layer;

		if (i % 5 == 0)
			copy_test_random_token(test, t->token, model, &alone_ops,
					       &rnd, i % 10);
		layer = copy_test_below(&rnd, COPY_TEST_LAYERS);
		off = copy_test_below(&rnd, COPY_TEST_SECTS);
		end = off + 1 + copy_test_below(&rnd, COPY_TEST_SECTS - off);
		max = 1 + copy_test_below(&rnd, 24);
		blk_copy_range_start(&iter, t->token, layer, SECT(off),
				     SECT(end - off), SECT(max));
		while (off < end &&
		       (want = model_range(model, layer, off, end, max))) {
			KUNIT_ASSERT_TRUE(test, blk_copy_range_iter_next(&iter));
			KUNIT_ASSERT_EQ(test, iter.bytes, SECT(want));
			KUNIT_ASSERT_EQ(test, iter.sector, model->s[layer][off].sector);
			KUNIT_ASSERT_PTR_EQ(test, iter.entry->leaf,
					    copy_test_leaf(model->s[layer][off].leaf));
			off += want;
		}
		KUNIT_ASSERT_FALSE(test, blk_copy_range_iter_next(&iter));
	}
}

/* ----------------------------------------------------------------- suite */

static void put_pin(void *pin)
{
	blk_copy_pin_put(pin);
}

static int token_test_init(struct kunit *test)
{
	struct token_test *t;
	unsigned int i;

	memset(&driver_log, 0, sizeof(driver_log));
	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	for (i = 0; i < NR_PINS; i++) {
		t->pin[i] = blk_copy_pin_alloc();
		KUNIT_ASSERT_NOT_NULL(test, t->pin[i]);
		KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_pin,
								   t->pin[i]));
	}
	t->token = copy_test_token(test, SECT(TOKEN_SECTS));
	t->bdev = kunit_kzalloc(test, sizeof(*t->bdev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->bdev);
	t->bdev->bd_disk = kunit_kzalloc(test, sizeof(*t->bdev->bd_disk), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->bdev->bd_disk);
	t->bdev->bd_queue = kunit_kzalloc(test, sizeof(*t->bdev->bd_queue), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t->bdev->bd_queue);
	test->priv = t;
	return 0;
}

static struct kunit_case token_test_cases[] = {
	KUNIT_CASE_PARAM(map_add, map_add_gen_params),
	KUNIT_CASE(map_any_order),
	KUNIT_CASE(map_lost),
	KUNIT_CASE(map_lost_model),
	KUNIT_CASE_PARAM(map_hole, map_hole_gen_params),
	KUNIT_CASE(map_model),
	KUNIT_CASE(fill_any_order),
	KUNIT_CASE(fill_any_order_coalesces),
	KUNIT_CASE_PARAM(coalesce, coalesce_gen_params),
	KUNIT_CASE_PARAM(replace, replace_gen_params),
	KUNIT_CASE(entries_release_priv),
	KUNIT_CASE_PARAM(overflow, overflow_gen_params),
	KUNIT_CASE(overflow_middle_split),
	KUNIT_CASE(find_entry),
	KUNIT_CASE(layers),
	KUNIT_CASE(fill_model),
	KUNIT_CASE(pin_bio_basics),
	KUNIT_CASE(pins_are_counted),
	KUNIT_CASE_PARAM(span, span_gen_params),
	KUNIT_CASE_PARAM(requeue, requeue_gen_params),
	KUNIT_CASE(entry_masks),
	KUNIT_CASE(requeue_new_generation),
	KUNIT_CASE(pins_overflow),
	KUNIT_CASE(spans_overflow),
	KUNIT_CASE(spans_overflow_split),
	KUNIT_CASE(pin_model),
	KUNIT_CASE_PARAM(out_begin, begin_gen_params),
	KUNIT_CASE(begin_other_driver),
	KUNIT_CASE(begin_stale),
	KUNIT_CASE(begin_stale_elsewhere),
	KUNIT_CASE(commands_count_apart),
	KUNIT_CASE(dry_run),
	KUNIT_CASE(dry_run_refused),
	KUNIT_CASE(end_success),
	KUNIT_CASE(end_failure),
	KUNIT_CASE(end_refused),
	KUNIT_CASE(end_counts_node),
	KUNIT_CASE(end_of_nothing),
	KUNIT_CASE(in_end),
	KUNIT_CASE(in_end_overflow),
	KUNIT_CASE(in_end_zones),
	KUNIT_CASE(prepare_once_per_leaf),
	KUNIT_CASE(prepare_stale),
	KUNIT_CASE(prepare_fails),
	KUNIT_CASE(prepare_nothing),
	KUNIT_CASE(invalidate_waits),
	KUNIT_CASE_PARAM(invalidate_signal, signal_gen_params),
	KUNIT_CASE(invalidate_idle),
	KUNIT_CASE_PARAM(range, range_gen_params),
	KUNIT_CASE(range_joins_pins),
	KUNIT_CASE(range_model),
	{}
};

static struct kunit_suite token_test_suite = {
	.name		= "blk_copy_token",
	.init		= token_test_init,
	.test_cases	= token_test_cases,
};

kunit_test_suite(token_test_suite);

MODULE_DESCRIPTION("KUnit tests of the copy token");
MODULE_LICENSE("GPL");
