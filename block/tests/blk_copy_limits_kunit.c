// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the copy limits: what a queue ends up with, and what a stack
 * makes of those of its components.
 */
#include <kunit/test.h>
#include <linux/prandom.h>

#include "../blk.h"
#include "../blk-copy-internal.h"

#define NONE	BLK_COPY_DOMAIN_NONE
#define MIXED	BLK_COPY_DOMAIN_MIXED

static void expect_limits(struct kunit *test, const struct blk_copy_limits *c,
			  const struct blk_copy_limits *want)
{
	KUNIT_EXPECT_EQ(test, c->max_hw_sectors, want->max_hw_sectors);
	KUNIT_EXPECT_EQ(test, c->max_user_sectors, want->max_user_sectors);
	KUNIT_EXPECT_EQ(test, c->max_sectors, want->max_sectors);
	KUNIT_EXPECT_EQ(test, c->max_segment_sectors, want->max_segment_sectors);
	KUNIT_EXPECT_EQ(test, c->max_segments, want->max_segments);
	KUNIT_EXPECT_EQ(test, c->opt_sectors, want->opt_sectors);
	KUNIT_EXPECT_EQ(test, c->domain, want->domain);
	KUNIT_EXPECT_EQ(test, c->stackable, want->stackable);
}

/* --------------------------------------------------------------- validate */

/* Limits in the order: hw, user, effective, segment, segments, opt, domain */
#define LIMITS(hw, user, max, seg, segs, opt, dom) {			\
	.max_hw_sectors = (hw), .max_user_sectors = (user),		\
	.max_sectors = (max), .max_segment_sectors = (seg),		\
	.max_segments = (segs), .opt_sectors = (opt), .domain = (dom),	\
}

struct validate_case {
	const char		*desc;
	unsigned int		lbs;
	blk_features_t		features;
	u8			tuple_size;
	struct blk_copy_limits	in;
	struct blk_copy_limits	want;
	bool			protects;
};

#define NOTHING(user)	LIMITS(0, user, 0, 0, 0, 0, NONE)

static const struct validate_case validate_cases[] = {
	{ "a driver that says nothing", 512, 0, 0,
	  LIMITS(0, 32768, 0, 0, 0, 0, NONE), NOTHING(32768) },
	{ "all as it was given", 512, 0, 0,
	  LIMITS(1024, 32768, 0, 256, 128, 8, 5),
	  LIMITS(1024, 32768, 1024, 256, 128, 8, 5) },
	{ "what was effective before does not count", 512, 0, 0,
	  LIMITS(1024, 512, 99999, 256, 128, 8, 5),
	  LIMITS(1024, 512, 512, 256, 128, 8, 5) },
	{ "segments default to one of any length", 512, 0, 0,
	  LIMITS(1024, 32768, 0, 0, 0, 0, 5),
	  LIMITS(1024, 32768, 1024, 1024, 1, 0, 5) },
	{ "a segment is no longer than a command", 512, 0, 0,
	  LIMITS(1024, 32768, 0, 4096, 2, 0, 5),
	  LIMITS(1024, 32768, 1024, 1024, 2, 0, 5) },
	{ "no more segments than a token has entries", 512, 0, 0,
	  LIMITS(1024, 32768, 0, 256, 65535, 0, 5),
	  LIMITS(1024, 32768, 1024, 256, BLK_COPY_TOKEN_ENTRIES, 0, 5) },
	{ "the administrator allows less", 512, 0, 0,
	  LIMITS(1024, 100, 0, 256, 2, 0, 5),
	  LIMITS(1024, 100, 100, 256, 2, 0, 5) },
	{ "the administrator allows more", 512, 0, 0,
	  LIMITS(1024, UINT_MAX, 0, 256, 2, 0, 5),
	  LIMITS(1024, UINT_MAX, 1024, 256, 2, 0, 5) },
	{ "the administrator switched it off", 512, 0, 0,
	  LIMITS(1024, 0, 1024, 256, 2, 8, 5),
	  LIMITS(1024, 0, 0, 256, 2, 8, 5) },
	{ "rounded to blocks of 4 KiB", 4096, 0, 0,
	  LIMITS(1030, 32770, 0, 260, 2, 12, 5),
	  LIMITS(1024, 32770, 1024, 256, 2, 8, 5) },
	{ "the administrator's limit is rounded, but kept", 4096, 0, 0,
	  LIMITS(1024, 101, 0, 256, 2, 0, 5),
	  LIMITS(1024, 101, 96, 256, 2, 0, 5) },
	{ "the administrator allows less than a block", 4096, 0, 0,
	  LIMITS(1024, 7, 0, 256, 2, 0, 5),
	  LIMITS(1024, 7, 0, 256, 2, 0, 5) },
	{ "a command is shorter than a block", 4096, 0, 0,
	  LIMITS(7, 32768, 0, 0, 2, 0, 5), NOTHING(32768) },
	{ "a segment is shorter than a block", 4096, 0, 0,
	  LIMITS(1024, 32768, 0, 7, 2, 0, 5), NOTHING(32768) },
	{ "exactly a block", 4096, 0, 0,
	  LIMITS(8, 8, 0, 8, 1, 8, 5), LIMITS(8, 8, 8, 8, 1, 8, 5) },
	{ "the optimum is less than a block", 4096, 0, 0,
	  LIMITS(1024, 32768, 0, 256, 2, 4, 5),
	  LIMITS(1024, 32768, 1024, 256, 2, 0, 5) },
	{ "no limit at all", 512, 0, 0,
	  LIMITS(UINT_MAX, UINT_MAX, 0, UINT_MAX, 65535, 0, 5),
	  LIMITS(UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, BLK_COPY_TOKEN_ENTRIES,
		 0, 5) },
	{ "zoned", 512, BLK_FEAT_ZONED, 0,
	  LIMITS(1024, 32768, 1024, 256, 128, 8, 5),
	  LIMITS(0, 32768, 0, 256, 0, 0, 5) },
	{ "protection information", 512, 0, 8,
	  LIMITS(1024, 32768, 1024, 256, 128, 8, 5), NOTHING(32768) },
	{ "protection information that the driver keeps right", 512, 0, 8,
	  LIMITS(1024, 32768, 1024, 256, 128, 8, 5),
	  LIMITS(1024, 32768, 1024, 256, 128, 8, 5), true },
	{ "a promise of a driver that cannot copy", 512, 0, 8,
	  NOTHING(32768), NOTHING(32768), true },
	{ "zoned, and the administrator switched it off", 512, BLK_FEAT_ZONED, 0,
	  LIMITS(1024, 0, 0, 256, 128, 8, 5), LIMITS(0, 0, 0, 256, 0, 0, 5) },
};

KUNIT_ARRAY_PARAM_DESC(validate, validate_cases, desc);

static void validate(struct kunit *test)
{
	const struct validate_case *c = test->param_value;
	struct queue_limits lim = { };

	lim.logical_block_size = c->lbs;
	lim.features = c->features;
	lim.integrity.blk_copy_metadata_size = c->tuple_size;
	lim.copy = c->in;
	lim.copy.protection = c->protects;
	blk_copy_validate_limits(&lim);
	expect_limits(test, &lim.copy, &c->want);
	KUNIT_EXPECT_EQ(test, lim.copy.protection,
			c->protects && c->want.max_segment_sectors);

	/* Limits are applied again and again: that must not change them. */
	blk_copy_validate_limits(&lim);
	expect_limits(test, &lim.copy, &c->want);
}

/* A stack that opted in stays so, even while nothing below can copy. */
static void validate_keeps_stackable(struct kunit *test)
{
	struct queue_limits lim = { .logical_block_size = 512 };

	blk_copy_set_stacking_limits(&lim);
	lim.copy.max_user_sectors = 77;
	blk_copy_validate_limits(&lim);
	KUNIT_EXPECT_TRUE(test, lim.copy.stackable);
	KUNIT_EXPECT_EQ(test, lim.copy.max_user_sectors, 77);
	KUNIT_EXPECT_EQ(test, lim.copy.max_sectors, 0);
}

/* What must hold whatever a driver and an administrator say */
static const char *inconsistent(const struct blk_copy_limits *c, unsigned int lbs)
{
	if (!c->max_hw_sectors)
		return c->max_sectors || c->max_segments || c->max_segment_sectors ||
			c->opt_sectors || c->domain ? "not all 0" : NULL;
	if (c->max_hw_sectors % lbs || c->max_sectors % lbs ||
	    c->max_segment_sectors % lbs || c->opt_sectors % lbs)
		return "not a multiple of the logical block";
	if (c->max_sectors > c->max_hw_sectors ||
	    c->max_sectors > c->max_user_sectors)
		return "more than is allowed";
	if (!c->max_segment_sectors || c->max_segment_sectors > c->max_hw_sectors)
		return "segment length";
	if (!c->max_segments || c->max_segments > BLK_COPY_TOKEN_ENTRIES)
		return "number of segments";
	return NULL;
}

static u32 any_size(struct rnd_state *rnd)
{
	u32 size = prandom_u32_state(rnd);

	return size >> (prandom_u32_state(rnd) % 32);
}

static void validate_property(struct kunit *test)
{
	struct queue_limits lim;
	struct rnd_state rnd;
	unsigned int i, lbs;

	prandom_seed_state(&rnd, 21);
	for (i = 0; i < 5000; i++) {
		memset(&lim, 0, sizeof(lim));
		lbs = 1 << (i % 8);
		lim.logical_block_size = lbs << SECTOR_SHIFT;
		lim.copy.max_hw_sectors = any_size(&rnd);
		lim.copy.max_user_sectors = any_size(&rnd);
		lim.copy.max_sectors = any_size(&rnd);
		lim.copy.max_segment_sectors = any_size(&rnd);
		lim.copy.max_segments = any_size(&rnd);
		lim.copy.opt_sectors = any_size(&rnd);
		lim.copy.domain = 5;
		blk_copy_validate_limits(&lim);
		KUNIT_ASSERT_NULL_MSG(test, inconsistent(&lim.copy, lbs),
				      "round %u", i);
	}
}

/* ------------------------------------------------------------------ stack */

struct stack_case {
	const char		*desc;
	bool			not_stackable;
	unsigned int		nr;
	struct blk_copy_limits	leg[3];
	struct blk_copy_limits	want;	/* its user limit: before */
};

#define LEG(hw, seg, segs, opt, dom)	LIMITS(hw, 32768, 0, seg, segs, opt, dom)
#define CANNOT				LIMITS(0, 32768, 0, 0, 0, 0, NONE)

static const struct stack_case stack_cases[] = {
	{ "a stack that has not opted in", true, 2,
	  { LEG(1024, 256, 128, 8, 5), LEG(1024, 256, 128, 8, 5) },
	  LEG(0, 0, 0, 0, NONE) },
	{ "nothing below", false, 0, { }, LEG(0, 0, 0, 0, NONE) },
	{ "one leg", false, 1,
	  { LEG(1024, 256, 128, 8, 5) }, LEG(1024, 256, 128, 8, 5) },
	{ "two legs alike", false, 2,
	  { LEG(1024, 256, 128, 8, 5), LEG(1024, 256, 128, 8, 5) },
	  LEG(1024, 256, 128, 8, 5) },
	{ "the smaller limits, the larger optimum", false, 2,
	  { LEG(1024, 128, 16, 8, 5), LEG(512, 256, 32, 16, 5) },
	  LEG(512, 128, 16, 16, 5) },
	{ "the other way round", false, 2,
	  { LEG(512, 256, 32, 16, 5), LEG(1024, 128, 16, 8, 5) },
	  LEG(512, 128, 16, 16, 5) },
	{ "a leg that cannot, first", false, 2,
	  { CANNOT, LEG(1024, 256, 128, 8, 5) }, LEG(1024, 256, 128, 8, 5) },
	{ "a leg that cannot, last", false, 2,
	  { LEG(1024, 256, 128, 8, 5), CANNOT }, LEG(1024, 256, 128, 8, 5) },
	{ "no leg can", false, 2, { CANNOT, CANNOT }, LEG(0, 0, 0, 0, NONE) },
	{ "a leg that is switched off", false, 2,
	  { LEG(1024, 256, 128, 8, 5), LIMITS(64, 0, 0, 8, 2, 0, 6) },
	  LEG(1024, 256, 128, 8, 5) },
	{ "two domains", false, 2,
	  { LEG(1024, 256, 128, 8, 5), LEG(1024, 256, 128, 8, 6) },
	  LEG(1024, 256, 128, 8, MIXED) },
	{ "two domains, then the first again", false, 3,
	  { LEG(1024, 256, 128, 8, 5), LEG(1024, 256, 128, 8, 6),
	    LEG(1024, 256, 128, 8, 5) },
	  LEG(1024, 256, 128, 8, MIXED) },
	{ "a stack of two domains and a disk", false, 2,
	  { LEG(1024, 256, 128, 8, MIXED), LEG(1024, 256, 128, 8, 5) },
	  LEG(1024, 256, 128, 8, MIXED) },
	{ "a disk and a stack of two domains", false, 2,
	  { LEG(1024, 256, 128, 8, 5), LEG(1024, 256, 128, 8, MIXED) },
	  LEG(1024, 256, 128, 8, MIXED) },
	{ "a leg with zones, first", false, 2,
	  { LEG(0, 128, 0, 0, 5), LEG(1024, 256, 128, 8, 5) },
	  LEG(1024, 128, 128, 8, 5) },
	{ "a leg with zones, last", false, 2,
	  { LEG(1024, 256, 128, 8, 5), LEG(0, 128, 0, 0, 5) },
	  LEG(1024, 128, 128, 8, 5) },
	{ "only legs with zones", false, 2,
	  { LEG(0, 128, 0, 0, 5), LEG(0, 256, 0, 0, 6) },
	  LEG(0, 128, 0, 0, MIXED) },
};

KUNIT_ARRAY_PARAM_DESC(stack, stack_cases, desc);

static void stack(struct kunit *test)
{
	const struct stack_case *c = test->param_value;
	struct blk_copy_limits want = c->want;
	struct queue_limits t = { }, b = { };
	unsigned int i;

	blk_copy_default_limits(&t);
	if (!c->not_stackable)
		blk_copy_set_stacking_limits(&t);
	for (i = 0; i < c->nr; i++) {
		b.copy = c->leg[i];
		blk_copy_stack_limits(&t, &b);
	}
	want.stackable = !c->not_stackable;
	expect_limits(test, &t.copy, &want);
}

/* Components bring their own blocks: the stack's are known at the end only. */
static void stack_then_validate(struct kunit *test)
{
	static const struct blk_copy_limits want = {
		.max_hw_sectors = 1000, .max_user_sectors = BLK_COPY_DEF_MAX_SECTORS,
		.max_sectors = 1000, .max_segment_sectors = 96, .max_segments = 4,
		.domain = 5, .stackable = true,
	};
	struct queue_limits t = { .logical_block_size = 4096 }, b = { };

	blk_copy_default_limits(&t);
	blk_copy_set_stacking_limits(&t);
	b.copy = (struct blk_copy_limits)LEG(1001, 256, 4, 0, 5);
	blk_copy_stack_limits(&t, &b);
	b.copy = (struct blk_copy_limits)LEG(2048, 100, 16, 4, 5);
	blk_copy_stack_limits(&t, &b);
	blk_copy_validate_limits(&t);
	expect_limits(test, &t.copy, &want);
}

/* The hooks: stacking limits start at 0, and blk_stack_limits() takes part. */
static void stack_by_the_block_layer(struct kunit *test)
{
	static const struct blk_copy_limits leg = LEG(1024, 256, 128, 8, 5);
	struct queue_limits *t, *b;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	KUNIT_ASSERT_NOT_NULL(test, b);

	blk_set_stacking_limits(b);
	b->copy = leg;
	blk_set_stacking_limits(t);
	KUNIT_EXPECT_FALSE(test, t->copy.stackable);
	KUNIT_EXPECT_EQ(test, t->copy.max_hw_sectors, 0);
	KUNIT_EXPECT_EQ(test, t->copy.max_sectors, 0);
	KUNIT_EXPECT_EQ(test, t->copy.max_user_sectors, BLK_COPY_DEF_MAX_SECTORS);
	blk_stack_limits(t, b, 0);
	KUNIT_EXPECT_EQ(test, t->copy.max_hw_sectors, 0);

	blk_copy_set_stacking_limits(t);
	blk_stack_limits(t, b, 0);
	KUNIT_EXPECT_EQ(test, t->copy.max_hw_sectors, 1024);
	KUNIT_EXPECT_EQ(test, t->copy.domain, 5);
}

static void clear(struct kunit *test)
{
	static const struct blk_copy_limits want = NOTHING(32768);
	struct queue_limits t = { }, b = { };

	t.copy = (struct blk_copy_limits)LIMITS(1024, 32768, 1024, 256, 8, 8, 5);
	blk_copy_set_stacking_limits(&t);
	blk_copy_clear_limits(&t);
	expect_limits(test, &t.copy, &want);

	/* What is stacked later does not open it again. */
	b.copy = (struct blk_copy_limits)LEG(1024, 256, 128, 8, 5);
	blk_copy_stack_limits(&t, &b);
	expect_limits(test, &t.copy, &want);
}

/* ----------------------------------------------------------------- domain */

static void domain(struct kunit *test)
{
	static const char a[] = "nqn.2014-08.org:a", b[] = "nqn.2014-08.org:b";
	u64 d = blk_copy_domain("nvme", a, sizeof(a));

	KUNIT_EXPECT_EQ(test, blk_copy_domain("nvme", a, sizeof(a)), d);
	KUNIT_EXPECT_NE(test, blk_copy_domain("nvme", b, sizeof(b)), d);
	KUNIT_EXPECT_NE(test, blk_copy_domain("scsi", a, sizeof(a)), d);
	KUNIT_EXPECT_NE(test, blk_copy_domain("nvme", a, sizeof(a) - 2), d);
	KUNIT_EXPECT_NE(test, d, NONE);
	KUNIT_EXPECT_NE(test, d, MIXED);
	/* Whatever the values are, none says "none" or "mixed". */
	d = blk_copy_domain("nvme", "nvme", 4);
	KUNIT_EXPECT_NE(test, d, NONE);
	KUNIT_EXPECT_NE(test, d, MIXED);
}

static struct kunit_case limits_test_cases[] = {
	KUNIT_CASE_PARAM(validate, validate_gen_params),
	KUNIT_CASE(validate_keeps_stackable),
	KUNIT_CASE(validate_property),
	KUNIT_CASE_PARAM(stack, stack_gen_params),
	KUNIT_CASE(stack_then_validate),
	KUNIT_CASE(stack_by_the_block_layer),
	KUNIT_CASE(clear),
	KUNIT_CASE(domain),
	{}
};

static struct kunit_suite limits_test_suite = {
	.name		= "blk_copy_limits",
	.test_cases	= limits_test_cases,
};

kunit_test_suite(limits_test_suite);

MODULE_DESCRIPTION("KUnit tests of the copy limits");
MODULE_LICENSE("GPL");
