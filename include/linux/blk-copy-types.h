/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy offload: the two structures that other block layer structures embed.
 *
 * Kept apart from blk-copy.h because blkdev.h needs them before it can define
 * struct queue_limits and struct gendisk.
 */
#ifndef _LINUX_BLK_COPY_TYPES_H
#define _LINUX_BLK_COPY_TYPES_H

#include <linux/types.h>

/*
 * Default of the user limit, and so the largest command that is sent unless an
 * administrator asks for more: 16 MiB, in sectors.  Larger commands hold up
 * other I/O of the device, run into timeouts and are charged as one unit by
 * throttling.
 */
#define BLK_COPY_DEF_MAX_SECTORS	(16U << (20 - SECTOR_SHIFT))

/* Values of blk_copy_limits.domain that name no domain */
#define BLK_COPY_DOMAIN_NONE		0ULL
#define BLK_COPY_DOMAIN_MIXED		(~0ULL)

#ifdef CONFIG_BLK_COPY

/**
 * struct blk_copy_limits - what a queue can take as a copy, part of queue_limits
 * @domain:		copy domain; equal values may copy to each other
 * @max_hw_sectors:	most sectors one command can carry, 0 = the device cannot
 * @max_user_sectors:	what the administrator allows, 0 = offload is off
 * @max_sectors:	the smaller of the two; 0 closes the gate of the queue to
 *			COPY_OUT
 * @max_segment_sectors: most sectors of one source range of a command; 0 closes the
 *			gate of the queue to COPY_IN
 * @opt_sectors:	multiple of sectors that the device prefers, 0 = unknown
 * @max_segments:	most source ranges in one command
 * @stackable:		a stacking driver has opted in, see
 *			blk_copy_set_stacking_limits()
 * @protection:		the driver keeps protection information right that the
 *			blocks have; without it they get no copies
 *
 * Sectors are 512 bytes.  A queue where both are 0 never sees a copy operation: that
 * is the default, also of stacked queues.  One with zones has only @max_sectors 0.
 */
struct blk_copy_limits {
	u64			domain;
	unsigned int		max_hw_sectors;
	unsigned int		max_user_sectors;
	unsigned int		max_sectors;
	unsigned int		max_segment_sectors;
	unsigned int		opt_sectors;
	unsigned short		max_segments;
	bool			stackable;
	bool			protection;
};

enum blk_copy_stat_item {
	/* counted once per copy, on the disk named as its destination */
	BLK_COPY_STAT_COPIES,
	BLK_COPY_STAT_OFFLOADED_BYTES,
	BLK_COPY_STAT_EMULATED_BYTES,
	BLK_COPY_STAT_FAILED,
	BLK_COPY_STAT_STALE,
	BLK_COPY_STAT_OVERFLOW,
	BLK_COPY_STAT_ERROR_FALLBACKS,
	/* counted on the leaf that executed the command */
	BLK_COPY_STAT_COMMANDS,
	BLK_COPY_STAT_RANGES,
	BLK_COPY_STAT_COMMAND_BYTES,
	BLK_COPY_STAT_COMMAND_ERRORS,
	BLK_COPY_NR_STATS,
};

/**
 * struct blk_copy_stats - the counters behind /sys/block/<disk>/copy_stat
 * @item:	one counter per &enum blk_copy_stat_item
 */
struct blk_copy_stats {
	atomic64_t		item[BLK_COPY_NR_STATS];
};

#else /* CONFIG_BLK_COPY */

struct blk_copy_limits { };
struct blk_copy_stats { };

#endif /* CONFIG_BLK_COPY */

#endif /* _LINUX_BLK_COPY_TYPES_H */
