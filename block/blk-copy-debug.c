// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: test hooks below /sys/kernel/debug/blk_copy.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/seq_file.h>

#include "blk-copy-internal.h"

static const char *const blk_copy_debug_names[BLK_COPY_DBG_NR] = {
	[BLK_COPY_DBG_RESERVE_USED]	= "reserve_used",
	[BLK_COPY_DBG_STARVED]		= "starved",
	[BLK_COPY_DBG_RECLAIMED]	= "pages_reclaimed",
	[BLK_COPY_DBG_PAUSES]		= "pauses",
	[BLK_COPY_DBG_STALE]		= "stale",
	[BLK_COPY_DBG_OUTS]		= "outs_inflight",
	[BLK_COPY_DBG_OUTS_MAX]		= "outs_inflight_max",
	[BLK_COPY_DBG_EMU_BIOS]		= "emulation_bios_inflight",
	[BLK_COPY_DBG_EMU_BIOS_MAX]	= "emulation_bios_inflight_max",
	[BLK_COPY_DBG_EMU_BYTES]	= "emulation_bytes",
	[BLK_COPY_DBG_EMU_BYTES_MAX]	= "emulation_bytes_max",
};

static atomic_long_t blk_copy_debug_items[BLK_COPY_DBG_NR];
static u32 blk_copy_debug_pause_ms;
static bool blk_copy_debug_hold;

/* Some items are gauges; the item behind such a one is its high-water mark. */
static bool blk_copy_debug_is_gauge(enum blk_copy_debug_item item)
{
	return item == BLK_COPY_DBG_OUTS || item == BLK_COPY_DBG_EMU_BIOS ||
		item == BLK_COPY_DBG_EMU_BYTES;
}

/**
 * blk_copy_debug_add - count an event, or move a gauge
 * @item:	which
 * @n:		by how much
 */
void blk_copy_debug_add(enum blk_copy_debug_item item, long n)
{
	long now = atomic_long_add_return(n, &blk_copy_debug_items[item]);
	atomic_long_t *mark = &blk_copy_debug_items[item + 1];
	long max;

	if (!blk_copy_debug_is_gauge(item))
		return;
	max = atomic_long_read(mark);
	while (now > max && !atomic_long_try_cmpxchg(mark, &max, now))
		;
}

/**
 * blk_copy_debug_pause - let a test act between COPY_IN and COPY_OUT
 *
 * Either for a while (pause_ms), or until the test is done (hold).
 *
 * Context: may sleep, for as long as the test asked for.
 */
void blk_copy_debug_pause(void)
{
	u32 ms = READ_ONCE(blk_copy_debug_pause_ms);

	if (!ms && !READ_ONCE(blk_copy_debug_hold))
		return;
	blk_copy_debug_add(BLK_COPY_DBG_PAUSES, 1);
	msleep(ms);
	while (READ_ONCE(blk_copy_debug_hold))
		msleep(20);
}

static int blk_copy_debug_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	for (i = 0; i < BLK_COPY_DBG_NR; i++)
		seq_printf(m, "%s %ld\n", blk_copy_debug_names[i],
			   atomic_long_read(&blk_copy_debug_items[i]));
	return 0;
}

static int blk_copy_debug_open(struct inode *inode, struct file *file)
{
	return single_open(file, blk_copy_debug_show, NULL);
}

/* Writing anything resets events and high-water marks, not the gauges. */
static ssize_t blk_copy_debug_write(struct file *file, const char __user *buf,
				    size_t count, loff_t *ppos)
{
	unsigned int i;

	for (i = 0; i < BLK_COPY_DBG_NR; i++)
		if (!blk_copy_debug_is_gauge(i))
			atomic_long_set(&blk_copy_debug_items[i], 0);
	return count;
}

static const struct file_operations blk_copy_debug_fops = {
	.open		= blk_copy_debug_open,
	.read		= seq_read,
	.write		= blk_copy_debug_write,
	.llseek		= seq_lseek,
	.release	= single_release,
};

static int __init blk_copy_debug_init(void)
{
	struct dentry *dir = debugfs_create_dir("blk_copy", NULL);

	debugfs_create_u32("pause_ms", 0600, dir, &blk_copy_debug_pause_ms);
	debugfs_create_bool("hold", 0600, dir, &blk_copy_debug_hold);
	debugfs_create_file("counters", 0600, dir, NULL, &blk_copy_debug_fops);
	return 0;
}
fs_initcall(blk_copy_debug_init);
