// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: /sys/block/<disk>/copy_stat.
 *
 * The attributes below queue/ need types that are private to blk-sysfs.c: they
 * are in blk-copy-sysfs.h, which that file includes.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "blk.h"
#include "blk-copy-internal.h"

static const char *const blk_copy_stat_names[BLK_COPY_NR_STATS] = {
	[BLK_COPY_STAT_COPIES]		= "copies",
	[BLK_COPY_STAT_OFFLOADED_BYTES]	= "offloaded_bytes",
	[BLK_COPY_STAT_EMULATED_BYTES]	= "emulated_bytes",
	[BLK_COPY_STAT_FAILED]		= "failed",
	[BLK_COPY_STAT_STALE]		= "stale",
	[BLK_COPY_STAT_OVERFLOW]	= "overflow",
	[BLK_COPY_STAT_ERROR_FALLBACKS]	= "error_fallbacks",
	[BLK_COPY_STAT_COMMANDS]	= "commands",
	[BLK_COPY_STAT_RANGES]		= "ranges",
	[BLK_COPY_STAT_COMMAND_BYTES]	= "command_bytes",
	[BLK_COPY_STAT_COMMAND_ERRORS]	= "command_errors",
};

static ssize_t copy_stat_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	struct gendisk *disk = dev_to_disk(dev);
	unsigned int i;
	int len = 0;

	for (i = 0; i < BLK_COPY_NR_STATS; i++)
		len += sysfs_emit_at(buf, len, "%s %llu\n",
				     blk_copy_stat_names[i],
				     (u64)atomic64_read(&disk->copy_stats.item[i]));
	return len;
}

static DEVICE_ATTR_RO(copy_stat);

static struct attribute *blk_copy_disk_attrs[] = {
	&dev_attr_copy_stat.attr,
	NULL,
};

const struct attribute_group blk_copy_disk_attr_group = {
	.attrs	= blk_copy_disk_attrs,
};
