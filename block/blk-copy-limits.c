// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: queue limits.
 *
 * A limit of 0 keeps copies away from a queue, and 0 is what every queue has
 * until its driver says otherwise.  Stacking does not inherit: a stacking
 * driver opts in with blk_copy_set_stacking_limits() first.
 */
#include <linux/export.h>
#include <linux/siphash.h>

#include "blk.h"
#include "blk-copy-internal.h"

static void blk_copy_zero_limits(struct blk_copy_limits *c)
{
	c->domain = BLK_COPY_DOMAIN_NONE;
	c->max_hw_sectors = 0;
	c->max_sectors = 0;
	c->max_segment_sectors = 0;
	c->opt_sectors = 0;
	c->max_segments = 0;
	c->protection = false;
}

/* Metadata would be lost or wrong but for a driver that keeps it right. */
static bool blk_copy_metadata_in_the_way(const struct queue_limits *lim)
{
	return lim->integrity.blk_copy_metadata_size &&
		!lim->copy.protection && !lim->copy.stackable;
}

/* Nothing here knows yet how to keep a write pointer right: only read zones. */
static void blk_copy_make_source(struct blk_copy_limits *c)
{
	c->max_hw_sectors = 0;
	c->max_sectors = 0;
	c->opt_sectors = 0;
	c->max_segments = 0;
}

/**
 * blk_copy_validate_limits - make the limits of a queue consistent
 * @lim:	limits about to be applied
 *
 * Devices with zones can only be copied from.  Those with metadata get copies only
 * from drivers that promise to keep it right; a stack leaves that to its leaves.
 */
void blk_copy_validate_limits(struct queue_limits *lim)
{
	unsigned int lbs = lim->logical_block_size >> SECTOR_SHIFT;
	bool zoned = lim->features & BLK_FEAT_ZONED;
	struct blk_copy_limits *c = &lim->copy;

	c->max_segment_sectors = min_not_zero(c->max_segment_sectors,
					      c->max_hw_sectors);
	if (!c->max_segments)
		c->max_segments = 1;
	c->max_hw_sectors = round_down(c->max_hw_sectors, lbs);
	c->max_segment_sectors = round_down(c->max_segment_sectors, lbs);
	c->opt_sectors = round_down(c->opt_sectors, lbs);
	c->max_segments = min_t(unsigned int, c->max_segments,
				BLK_COPY_TOKEN_ENTRIES);

	if (!c->max_segment_sectors || (!c->max_hw_sectors && !zoned) ||
	    blk_copy_metadata_in_the_way(lim)) {
		blk_copy_zero_limits(c);
		return;
	}
	if (zoned) {
		blk_copy_make_source(c);
		return;
	}
	c->max_sectors = round_down(min(c->max_hw_sectors, c->max_user_sectors),
				    lbs);
}

/**
 * blk_copy_stack_limits - take a component device into a stack
 * @t:		limits of the stack
 * @b:		limits of the component
 *
 * A component that cannot copy does not close the stack: pieces that reach the
 * others may still be offloaded, and each leaf has a gate of its own.
 */
void blk_copy_stack_limits(struct queue_limits *t, const struct queue_limits *b)
{
	struct blk_copy_limits *tc = &t->copy;
	const struct blk_copy_limits *bc = &b->copy;

	if (!tc->stackable || !blk_copy_is_source(bc))
		return;
	tc->max_hw_sectors = min_not_zero(tc->max_hw_sectors,
					  bc->max_hw_sectors);
	tc->max_segment_sectors = min_not_zero(tc->max_segment_sectors,
					       bc->max_segment_sectors);
	tc->max_segments = min_not_zero(tc->max_segments, bc->max_segments);
	tc->opt_sectors = max(tc->opt_sectors, bc->opt_sectors);
	if (tc->domain == BLK_COPY_DOMAIN_NONE)
		tc->domain = bc->domain;
	else if (tc->domain != bc->domain)
		tc->domain = BLK_COPY_DOMAIN_MIXED;
}

/**
 * blk_copy_set_stacking_limits - a stacking driver opts in
 * @lim:	limits of the stack, before component devices are stacked
 *
 * Promises that the driver checks each copy bio where it maps it, and leaves a
 * pin for each COPY_IN (blk_copy_pin_bio()).
 */
void blk_copy_set_stacking_limits(struct queue_limits *lim)
{
	lim->copy.stackable = true;
}
EXPORT_SYMBOL_GPL(blk_copy_set_stacking_limits);

/**
 * blk_copy_clear_limits - take the opting in back
 * @lim:	limits of the stack
 */
void blk_copy_clear_limits(struct queue_limits *lim)
{
	blk_copy_zero_limits(&lim->copy);
	lim->copy.stackable = false;
}
EXPORT_SYMBOL_GPL(blk_copy_clear_limits);

/**
 * blk_copy_domain - name a copy domain
 * @kind:	which driver gives the name, for example "nvme"
 * @id:		what the devices of the domain have in common
 * @len:	bytes of @id
 *
 * The same arguments give the same value after every boot.
 *
 * Return: the value for blk_copy_limits.domain.
 */
u64 blk_copy_domain(const char *kind, const void *id, size_t len)
{
	const siphash_key_t key = { { 0x636f7079, 0x646f6d61 } };
	u64 domain = siphash(id, len, &key);

	domain ^= siphash(kind, strlen(kind), &key);
	if (domain == BLK_COPY_DOMAIN_NONE || domain == BLK_COPY_DOMAIN_MIXED)
		domain = 1;
	return domain;
}
EXPORT_SYMBOL_GPL(blk_copy_domain);
