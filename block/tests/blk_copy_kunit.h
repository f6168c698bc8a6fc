/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the KUnit suites of copy offload share: tokens, bios, entries, and a
 * model of a token that says for each sector where it comes from.
 */
#ifndef BLK_COPY_KUNIT_H
#define BLK_COPY_KUNIT_H

#include <kunit/test.h>
#include <linux/prandom.h>

#include "../blk.h"
#include "../blk-copy-internal.h"

/* Tables count in sectors; the code under test counts in bytes. */
#define SECT(n)			((u32)(n) << SECTOR_SHIFT)
#define COPY_TEST_NO_LIMIT	BLK_COPY_BV_LEN

#define COPY_TEST_SECTS		96
#define COPY_TEST_LAYERS	2
#define COPY_TEST_LEAVES	3

#define KUNIT_EXPECT_STATUS(test, status, want) \
	KUNIT_EXPECT_EQ(test, (__force u8)(status), (__force u8)(want))

#define KUNIT_ASSERT_STATUS(test, status, want) \
	KUNIT_ASSERT_EQ(test, (__force u8)(status), (__force u8)(want))

/**
 * struct copy_test_entry - one row of a table of entries
 * @off:	sectors from the start of the token
 * @len:	sectors; 0 ends a list
 * @sector:	on the leaf
 * @leaf:	1 .. COPY_TEST_LEAVES - 1
 * @max:	sectors that the source takes as one range, 0 = no limit
 * @layer:	filling of the token
 * @state:	&enum blk_copy_entry_state
 */
struct copy_test_entry {
	u32	off;
	u32	len;
	u32	sector;
	u8	leaf;
	u32	max;
	u8	layer;
	u8	state;
};

/* Where one sector of a token comes from; leaf 0 is a gap */
struct copy_test_sect {
	u32	sector;
	u8	leaf;
};

struct copy_test_model {
	u32			max[COPY_TEST_LEAVES];
	struct copy_test_sect	s[COPY_TEST_LAYERS][COPY_TEST_SECTS];
};

static inline u32 copy_test_below(struct rnd_state *rnd, u32 n)
{
	return prandom_u32_state(rnd) % n;
}

/* A leaf is only compared, so any pointer will do. */
static inline void *copy_test_leaf(unsigned int n)
{
	return n ? (void *)(unsigned long)(0x1000 + n) : NULL;
}

static inline void copy_test_token_exit(void *token)
{
	blk_copy_token_release(token);
}

static inline struct blk_copy_token *copy_test_token(struct kunit *test, u32 len)
{
	struct blk_copy_token *token;
	int err;

	token = kunit_kzalloc(test, sizeof(*token), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, token);
	blk_copy_token_init(token, len);
	err = kunit_add_action_or_reset(test, copy_test_token_exit, token);
	KUNIT_ASSERT_EQ(test, err, 0);
	return token;
}

/* Empty a token for the next round; all layers are open for filling. */
static inline void copy_test_token_reset(struct blk_copy_token *token,
					 unsigned int nr_layers)
{
	blk_copy_token_release(token);
	blk_copy_token_init(token, token->len);
	while (token->nr_layers < nr_layers)
		blk_copy_token_new_layer(token);
}

static inline blk_status_t
copy_test_fill(struct blk_copy_token *token, const struct copy_test_entry *e,
	       const struct blk_copy_leaf_ops *ops)
{
	struct blk_copy_entry new = {
		.off		= SECT(e->off),
		.len		= SECT(e->len),
		.sector		= e->sector,
		.leaf		= copy_test_leaf(e->leaf),
		.ops		= ops,
		.max_bytes	= e->max ? SECT(e->max) : COPY_TEST_NO_LIMIT,
		.layer		= e->layer,
		.state		= e->state,
	};

	return blk_copy_token_fill(token, &new);
}

/* Without a device: what is tested here only looks at token and iterator. */
static inline void copy_test_bio(struct bio *bio, struct blk_copy_token *token,
				 blk_opf_t op, u8 layer, u32 off, u32 len)
{
	bio_init(bio, NULL, NULL, 0, op | REQ_NOMERGE);
	bio->bi_io_vec = &token->layer[layer].bv;
	bio->bi_iter.bi_size = SECT(len);
	bio->bi_iter.blk_copy_iter_off = SECT(off);
}

static inline void
copy_test_fill_layer(struct kunit *test, struct blk_copy_token *token,
		     struct copy_test_model *model,
		     const struct blk_copy_leaf_ops *ops, struct rnd_state *rnd,
		     u8 layer, bool gaps)
{
	struct copy_test_entry e = { .layer = layer, .leaf = 1 };
	unsigned int i;

	while (e.off < COPY_TEST_SECTS) {
		e.len = min(1 + copy_test_below(rnd, 12), COPY_TEST_SECTS - e.off);
		/* Go on where the last piece ended, or jump. */
		if (copy_test_below(rnd, 3))
			e.sector = 100000 * layer + copy_test_below(rnd, 90000);
		if (!copy_test_below(rnd, 8))
			e.leaf = 3 - e.leaf;
		e.max = model->max[e.leaf];
		if (!gaps || copy_test_below(rnd, 6)) {
			for (i = 0; i < e.len; i++) {
				model->s[layer][e.off + i].leaf = e.leaf;
				model->s[layer][e.off + i].sector = e.sector + i;
			}
			KUNIT_ASSERT_STATUS(test, BLK_STS_OK,
					    copy_test_fill(token, &e, ops));
		}
		e.off += e.len;
		e.sector += e.len;
	}
}

/* A token as a stack might fill it, and the same as an array of sectors */
static inline void
copy_test_random_token(struct kunit *test, struct blk_copy_token *token,
		       struct copy_test_model *model,
		       const struct blk_copy_leaf_ops *ops, struct rnd_state *rnd,
		       bool gaps)
{
	unsigned int layers = 1 + copy_test_below(rnd, COPY_TEST_LAYERS);
	unsigned int i;

	memset(model, 0, sizeof(*model));
	copy_test_token_reset(token, layers);
	for (i = 1; i < COPY_TEST_LEAVES; i++)
		model->max[i] = copy_test_below(rnd, 3) ?
			1 + copy_test_below(rnd, 20) : COPY_TEST_SECTS;
	for (i = 0; i < layers; i++)
		copy_test_fill_layer(test, token, model, ops, rnd, i,
				     gaps || i);
}

#endif /* BLK_COPY_KUNIT_H */
