// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: copy_file_range(2) between block devices.
 *
 * Takes any bytes, as for files.  Whole blocks of both devices are copied by
 * blk-copy.c; what is left at either end, or all if the blocks of the two do not
 * fall together, goes through the page cache.
 */
#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/pagemap.h>
#include <linux/sched/xacct.h>

#include "blk.h"
#include "blk-copy-internal.h"
#include "blk-copy-call.h"

/* Bytes, because unlike all else here these need not be whole sectors */
static bool blk_copy_bytes_overlap(const struct blk_copy_call *call, u64 src,
				   u64 dst, u64 len)
{
	src += (u64)call->src->bd_start_sect << SECTOR_SHIFT;
	dst += (u64)call->dst->bd_start_sect << SECTOR_SHIFT;
	return call->src->bd_disk == call->dst->bd_disk &&
		src < dst + len && dst < src + len;
}

/*
 * What can be copied of that: nothing behind the end of the source, and an error
 * behind that of the destination, as read() and write() have it.
 */
static int blk_copy_file_shorten(const struct blk_copy_call *call, u64 src,
				 u64 dst, size_t *len)
{
	u64 src_size = bdev_nr_bytes(call->src);
	u64 dst_size = bdev_nr_bytes(call->dst);

	*len = src < src_size ? min_t(u64, *len, src_size - src) : 0;
	if (!*len)
		return 0;
	if (dst >= dst_size)
		return -ENOSPC;
	*len = min_t(u64, *len, dst_size - dst);
	return 0;
}

/* In the order in which a copy between files is refused */
static int blk_copy_file_check(struct blk_copy_call *call, loff_t src,
			       loff_t dst, size_t *len)
{
	u64 end;
	int err;

	err = blk_copy_call_files(call);
	if (err)
		return err;
	if (call->dst_file->f_flags & O_APPEND)
		return -EBADF;
	if (IS_IMMUTABLE(file_inode(call->dst_file)))
		return -EPERM;
	if (IS_SWAPFILE(call->src->bd_mapping->host))
		return -ETXTBSY;
	/* What goes through the page cache is written later than what does not. */
	if (bdev_is_zoned(call->dst))
		return -EOPNOTSUPP;
	if (src < 0 || dst < 0)
		return -EINVAL;
	if (check_add_overflow((u64)src, (u64)*len, &end) ||
	    check_add_overflow((u64)dst, (u64)*len, &end))
		return -EOVERFLOW;
	err = blk_copy_file_shorten(call, src, dst, len);
	if (err)
		return err;
	if (blk_copy_bytes_overlap(call, src, dst, *len))
		return -EINVAL;
	*len = min_t(size_t, *len, MAX_RW_COUNT);
	err = rw_verify_area(READ, call->src_file, &src, *len);
	if (err)
		return err;
	return rw_verify_area(WRITE, call->dst_file, &dst, *len);
}

/* Whole blocks of both devices */
static ssize_t blk_copy_file_blocks(struct blk_copy_call *call, u64 src,
				    u64 dst, size_t len)
{
	int err;

	if (!len)
		return 0;
	call->ranges = call->inline_ranges;
	call->segs = call->inline_segs;
	call->nr_ranges = 1;
	call->ranges[0].offset = src;
	call->ranges[0].length = len;
	call->dst_offset = dst;
	err = blk_copy_call_check(call);
	if (!err)
		err = blk_copy_call_run(call);
	return call->bytes_copied && !call->lost ? call->bytes_copied : err;
}

/*
 * Go on behind what is done; false if there is nothing to go on with.  An error comes
 * with the next call, where there is something to say first; but not that of a command
 * that may still be executed, which the next call would write over.
 */
static bool blk_copy_file_add(const struct blk_copy_call *call, ssize_t *total,
			      ssize_t n, size_t want)
{
	if (n < 0) {
		if (!*total || call->lost)
			*total = n;
		return false;
	}
	*total += n;
	return n == want;
}

static ssize_t blk_copy_file_bytes(struct blk_copy_call *call, u64 src, u64 dst,
				   size_t len)
{
	unsigned int block = max(bdev_logical_block_size(call->src),
				 bdev_logical_block_size(call->dst));
	size_t head = len, blocks = 0;
	ssize_t total = 0, n;

	if (!((src ^ dst) & (block - 1))) {
		head = min_t(u64, len, round_up(src, block) - src);
		blocks = round_down(len - head, block);
	}
	n = blk_copy_call_cached(call, src, dst, head);
	if (!blk_copy_file_add(call, &total, n, head))
		return total;
	n = blk_copy_file_blocks(call, src + head, dst + head, blocks);
	if (!blk_copy_file_add(call, &total, n, blocks))
		return total;
	head += blocks;
	n = blk_copy_call_cached(call, src + head, dst + head, len - head);
	blk_copy_file_add(call, &total, n, len - head);
	return total;
}

static ssize_t blk_copy_file_sync(struct file *file, loff_t pos, ssize_t done)
{
	struct kiocb iocb;

	init_sync_kiocb(&iocb, file);
	iocb.ki_pos = pos + done;
	return generic_write_sync(&iocb, done);
}

/**
 * blkdev_copy_file_range - copy_file_range() between block devices
 * @file_in:	block device to copy from
 * @pos_in:	where, in bytes
 * @file_out:	block device to copy to; may be the same
 * @pos_out:	where, in bytes
 * @len:	bytes
 *
 * Fewer bytes are copied at the end of either device, after a signal, and where
 * an error comes behind bytes that are copied.
 *
 * Context: process context, may sleep.
 * Return: bytes copied, 0 at the end of the source, or a negative errno: -EBADF
 * for a file in the wrong mode or one that appends, -EPERM for a destination that
 * is read-only or immutable, -ETXTBSY for a swap device, -EOPNOTSUPP for a
 * destination with zones, -EINVAL if the two
 * overlap on a disk, -EOVERFLOW for an offset that is too large, -ENOSPC behind
 * the end of the destination, -EINTR if the task is killed, -ENOMEM, -ENOLINK for a
 * command that may still be executed, or what a device or a security module says.
 */
ssize_t blkdev_copy_file_range(struct file *file_in, loff_t pos_in,
			       struct file *file_out, loff_t pos_out,
			       size_t len)
{
	struct blk_copy_call call = {
		.src_file	= file_in,
		.dst_file	= file_out,
		.flags		= BLK_COPY_KILLABLE,
		.interruptible	= true,
	};
	ssize_t ret;

	ret = blk_copy_file_check(&call, pos_in, pos_out, &len);
	if (ret || !len)
		return ret;
	ret = file_update_time(file_out);
	if (!ret)
		ret = blk_copy_file_bytes(&call, pos_in, pos_out, len);
	if (ret > 0) {
		file_accessed(file_in);
		fsnotify_access(file_in);
		add_rchar(current, ret);
		fsnotify_modify(file_out);
		add_wchar(current, ret);
		ret = blk_copy_file_sync(file_out, pos_out, ret);
	}
	inc_syscr(current);
	inc_syscw(current);
	return ret;
}
