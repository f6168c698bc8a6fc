/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy offload: the attributes /sys/block/<disk>/queue/copy_*.
 *
 * Included once, by blk-sysfs.c, behind its macros: struct queue_sysfs_entry is
 * private to that file.
 */
#ifdef CONFIG_BLK_COPY

/* Older kernels have one kind of attributes that are read only. */
#ifndef QUEUE_LIM_RO_ENTRY
#define QUEUE_LIM_RO_ENTRY	QUEUE_RO_ENTRY
#endif

static ssize_t queue_copy_show(unsigned int sectors, char *page)
{
	return sysfs_emit(page, "%llu\n", (u64)sectors << SECTOR_SHIFT);
}

static ssize_t queue_copy_max_hw_bytes_show(struct gendisk *disk, char *page)
{
	return queue_copy_show(disk->queue->limits.copy.max_hw_sectors, page);
}

static ssize_t queue_copy_max_bytes_show(struct gendisk *disk, char *page)
{
	return queue_copy_show(disk->queue->limits.copy.max_sectors, page);
}

static ssize_t queue_copy_max_segment_bytes_show(struct gendisk *disk, char *page)
{
	return queue_copy_show(disk->queue->limits.copy.max_segment_sectors, page);
}

static ssize_t queue_copy_opt_bytes_show(struct gendisk *disk, char *page)
{
	return queue_copy_show(disk->queue->limits.copy.opt_sectors, page);
}

static ssize_t queue_copy_max_segments_show(struct gendisk *disk, char *page)
{
	return sysfs_emit(page, "%u\n", disk->queue->limits.copy.max_segments);
}

/* 0 switches offload off; what the device cannot do is clamped */
static int queue_copy_max_bytes_store(struct gendisk *disk, const char *page,
				      size_t count, struct queue_limits *lim)
{
	u64 bytes;

	if (kstrtou64(page, 10, &bytes))
		return -EINVAL;
	if (bytes & (lim->logical_block_size - 1))
		return -EINVAL;
	lim->copy.max_user_sectors = min_t(u64, bytes >> SECTOR_SHIFT, UINT_MAX);
	return 0;
}

static ssize_t queue_copy_domain_show(struct gendisk *disk, char *page)
{
	const struct queue_limits *lim = &disk->queue->limits;

	if (!lim->copy.max_segment_sectors ||
	    lim->copy.domain == BLK_COPY_DOMAIN_NONE)
		return sysfs_emit(page, "none\n");
	if (lim->copy.domain == BLK_COPY_DOMAIN_MIXED)
		return sysfs_emit(page, "mixed\n");
	return sysfs_emit(page, "%016llx-lba%u-pi%u\n", lim->copy.domain,
			  lim->logical_block_size,
			  lim->integrity.blk_copy_metadata_size);
}

QUEUE_LIM_RO_ENTRY(queue_copy_max_hw_bytes, "copy_max_hw_bytes");
QUEUE_LIM_RW_ENTRY(queue_copy_max_bytes, "copy_max_bytes");
QUEUE_LIM_RO_ENTRY(queue_copy_max_segments, "copy_max_segments");
QUEUE_LIM_RO_ENTRY(queue_copy_max_segment_bytes, "copy_max_segment_bytes");
QUEUE_LIM_RO_ENTRY(queue_copy_opt_bytes, "copy_opt_bytes");
QUEUE_LIM_RO_ENTRY(queue_copy_domain, "copy_domain");

#endif /* CONFIG_BLK_COPY */

static blk_copy_attr_t queue_copy_attrs[] = {
#ifdef CONFIG_BLK_COPY
	&queue_copy_max_hw_bytes_entry.attr,
	&queue_copy_max_bytes_entry.attr,
	&queue_copy_max_segments_entry.attr,
	&queue_copy_max_segment_bytes_entry.attr,
	&queue_copy_opt_bytes_entry.attr,
	&queue_copy_domain_entry.attr,
#endif
	NULL,
};

static const struct attribute_group queue_copy_attr_group = {
	.blk_copy_attrs	= queue_copy_attrs,
};
