/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __NULL_BLK_COPY_H
#define __NULL_BLK_COPY_H

#include <linux/atomic.h>
#include <linux/blk-copy.h>
#include <linux/blk-mq.h>

struct nullb;
struct nullb_cmd;
struct nullb_device;

/**
 * struct nullb_copy - the copy engine of one null_blk disk
 * @id:		identity of this disk; never used twice, unlike its address
 * @commands:	copy commands executed
 * @ranges:	source ranges of these
 * @bytes:	bytes moved by these
 * @errors:	copy commands that failed after they had been accepted
 *
 * Counted where the data is moved, apart from what the block layer counts, so
 * that tests can compare the two.
 */
struct nullb_copy {
	u64		id;
	atomic64_t	commands;
	atomic64_t	ranges;
	atomic64_t	bytes;
	atomic64_t	errors;
};

#ifdef CONFIG_BLK_COPY

extern const struct attribute_group *null_copy_groups[];

void null_copy_init_dev(struct nullb_device *dev);
int null_copy_validate(struct nullb_device *dev);
void null_copy_config(struct nullb *nullb, struct queue_limits *lim,
		      u64 max_bytes);
void null_copy_in(struct bio *bio);
blk_status_t null_handle_copy(struct nullb_cmd *cmd, unsigned int nr_sectors);
void __null_copy_start(struct nullb_cmd *cmd);
void __null_copy_done(struct nullb_cmd *cmd);

/* copy-pages.h */
int null_copy_pages(struct nullb *nullb, sector_t dst, sector_t src,
		    unsigned int bytes);

/* A command enters the device: what it relies on may not change until done. */
static inline void null_copy_start(struct nullb_cmd *cmd)
{
	if (req_op(blk_mq_rq_from_pdu(cmd)) == REQ_OP_COPY_OUT)
		__null_copy_start(cmd);
}

/* A command leaves the device; its request has not ended yet. */
static inline void null_copy_done(struct nullb_cmd *cmd)
{
	if (req_op(blk_mq_rq_from_pdu(cmd)) == REQ_OP_COPY_OUT)
		__null_copy_done(cmd);
}

#else /* CONFIG_BLK_COPY */

#define null_copy_groups	NULL
#define null_copy_in		NULL

static inline void null_copy_init_dev(struct nullb_device *dev)
{
}

static inline int null_copy_validate(struct nullb_device *dev)
{
	return 0;
}

static inline void null_copy_config(struct nullb *nullb,
				    struct queue_limits *lim, u64 max_bytes)
{
}

static inline blk_status_t null_handle_copy(struct nullb_cmd *cmd,
					    unsigned int nr_sectors)
{
	return BLK_STS_NOTSUPP;
}

static inline void null_copy_start(struct nullb_cmd *cmd)
{
}

static inline void null_copy_done(struct nullb_cmd *cmd)
{
}

#endif /* CONFIG_BLK_COPY */

#endif /* __NULL_BLK_COPY_H */
