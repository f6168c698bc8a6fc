/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DM_COPY_H
#define DM_COPY_H

#include <linux/blk-copy.h>

struct dm_table;
struct dm_target;
struct mapped_device;

#ifdef CONFIG_BLK_COPY

int dm_copy_init(struct mapped_device *md);
void dm_copy_exit(struct mapped_device *md);
int dm_copy_invalidate(struct mapped_device *md, unsigned int task_state);
void dm_copy_table_limits(struct dm_table *t, struct queue_limits *limits);
void dm_copy_target_limits(struct dm_target *ti, struct queue_limits *limits);
blk_status_t __dm_copy_map(struct mapped_device *md, struct dm_target *ti,
			   struct bio *clone);

/**
 * dm_copy_map - may this bio be mapped by this target?
 * @md:		the device
 * @ti:		the target that is about to map the bio
 * @clone:	any bio, its sector and length still those of the device
 *
 * Return: BLK_STS_OK, or the status that the bio must end with.
 */
static inline blk_status_t dm_copy_map(struct mapped_device *md,
				       struct dm_target *ti, struct bio *clone)
{
	if (likely(!op_is_copy(clone->bi_opf)))
		return BLK_STS_OK;
	return __dm_copy_map(md, ti, clone);
}

/* What moves nothing is not in the statistics: a COPY_IN, and all of a dry run. */
static inline bool dm_copy_unaccounted(const struct bio *bio)
{
	if (likely(!op_is_copy(bio->bi_opf)))
		return false;
	return bio_op(bio) == REQ_OP_COPY_IN ||
		test_bit(BLK_COPY_TOKEN_DRY_RUN, &bio_copy_token(bio)->flags);
}

#else /* CONFIG_BLK_COPY */

static inline int dm_copy_init(struct mapped_device *md)
{
	return 0;
}

static inline void dm_copy_exit(struct mapped_device *md)
{
}

static inline int dm_copy_invalidate(struct mapped_device *md,
				     unsigned int task_state)
{
	return 0;
}

static inline void dm_copy_table_limits(struct dm_table *t,
					struct queue_limits *limits)
{
}

static inline void dm_copy_target_limits(struct dm_target *ti,
					 struct queue_limits *limits)
{
}

static inline blk_status_t dm_copy_map(struct mapped_device *md,
				       struct dm_target *ti, struct bio *clone)
{
	return BLK_STS_OK;
}

static inline bool dm_copy_unaccounted(const struct bio *bio)
{
	return false;
}

#endif /* CONFIG_BLK_COPY */

#endif /* DM_COPY_H */
