// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: the BLKCOPY ioctl.
 *
 * Takes arguments and permissions apart, keeps the page cache coherent, and
 * leaves the rest to blkdev_issue_copy().
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/blk-copy.h>

#include "blk.h"

/*
 * The locks of the destination are held for this much at a time.  Enough to
 * keep all chunks of a copy busy, little enough that a page fault waits for
 * milliseconds on a real device.
 */
#define BLK_COPY_LOCK_BYTES	(64ULL << 20)

/* Calls with so few ranges allocate nothing, and cannot fail for that */
#define BLK_COPY_INLINE_RANGES	4

/* One call of the ioctl */
struct blk_copy_call {
	struct file			*dst_file;
	struct file			*src_file;
	struct block_device		*dst;
	struct block_device		*src;
	struct blk_copy_range		*ranges;
	struct blk_copy_segment		*segs;	/* of the present window */
	struct blk_copy_arg		arg;
	u64				len;
	struct blk_copy_hint		hint;
	struct blk_copy_range		inline_ranges[BLK_COPY_INLINE_RANGES];
	struct blk_copy_segment		inline_segs[BLK_COPY_INLINE_RANGES];
};

static struct block_device *blk_copy_file_bdev(struct file *file)
{
	struct inode *inode = file->f_mapping->host;

	return S_ISBLK(inode->i_mode) ? I_BDEV(inode) : NULL;
}

static int blk_copy_check_arg(const struct blk_copy_arg *arg)
{
	static_assert(sizeof(struct blk_copy_arg) == 64);

	if (arg->flags & ~(BLKCOPY_NO_EMULATION | BLKCOPY_DRY_RUN))
		return -EINVAL;
	if (arg->reserved0 || arg->reserved[0] || arg->reserved[1])
		return -EINVAL;
	if (!arg->nr_ranges || arg->nr_ranges > BLKCOPY_MAX_SEGMENTS)
		return -EINVAL;
	return 0;
}

/* Both files: kind, open mode, and what a security module thinks of it */
static int blk_copy_check_files(struct blk_copy_call *call)
{
	if (!call->src)
		return -ENOTBLK;
	if (!(call->src_file->f_mode & FMODE_READ) ||
	    !(call->dst_file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (bdev_read_only(call->dst))
		return -EPERM;
	return 0;
}

static int blk_copy_verify_area(int rw, struct file *file, u64 off, u64 len)
{
	loff_t pos = off;

	/* rw_verify_area() takes at most this much at a time. */
	while (len) {
		size_t n = min_t(u64, len, MAX_RW_COUNT);
		int err = rw_verify_area(rw, file, &pos, n);

		if (err < 0)
			return err;
		pos += n;
		len -= n;
	}
	return 0;
}

static int blk_copy_check_range(struct block_device *bdev, u64 off, u64 len)
{
	u64 end;

	if (!len || ((off | len) & (bdev_logical_block_size(bdev) - 1)))
		return -EINVAL;
	if (check_add_overflow(off, len, &end) || end > bdev_nr_bytes(bdev))
		return -EINVAL;
	return 0;
}

static bool blk_copy_ranges_overlap(const struct blk_copy_call *call,
				    const struct blk_copy_range *r)
{
	u64 src = (call->src->bd_start_sect << SECTOR_SHIFT) + r->offset;
	u64 dst = (call->dst->bd_start_sect << SECTOR_SHIFT) +
		call->arg.dst_offset;

	return call->src->bd_disk == call->dst->bd_disk &&
		src < dst + call->len && dst < src + r->length;
}

/*
 * The whole of the call is checked before the first byte is copied, though the
 * copy is made in windows that are checked again.
 */
static int blk_copy_check_ranges(struct blk_copy_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->arg.nr_ranges; i++) {
		const struct blk_copy_range *r = &call->ranges[i];

		err = blk_copy_check_range(call->src, r->offset, r->length);
		if (err)
			return err;
		if (check_add_overflow(call->len, r->length, &call->len))
			return -EINVAL;
	}
	err = blk_copy_check_range(call->dst, call->arg.dst_offset, call->len);
	if (err)
		return err;
	for (i = 0; i < call->arg.nr_ranges; i++)
		if (blk_copy_ranges_overlap(call, &call->ranges[i]))
			return -EINVAL;
	for (i = 0; i < call->arg.nr_ranges; i++) {
		err = blk_copy_verify_area(READ, call->src_file,
					   call->ranges[i].offset,
					   call->ranges[i].length);
		if (err)
			return err;
	}
	return blk_copy_verify_area(WRITE, call->dst_file,
				    call->arg.dst_offset, call->len);
}

/* Segments of the bytes from pos on, at most a window; returns their number */
static unsigned int blk_copy_cut_window(const struct blk_copy_call *call,
					u64 pos, u64 *len)
{
	u64 left = *len = min(call->len - pos, BLK_COPY_LOCK_BYTES);
	unsigned int i, n = 0;

	for (i = 0; left; i++) {
		const struct blk_copy_range *r = &call->ranges[i];
		u64 bytes;

		if (pos >= r->length) {
			pos -= r->length;
			continue;
		}
		bytes = min(r->length - pos, left);
		call->segs[n].sector = (r->offset + pos) >> SECTOR_SHIFT;
		call->segs[n].nr_sects = bytes >> SECTOR_SHIFT;
		n++;
		pos = 0;
		left -= bytes;
	}
	return n;
}

/* Devices read what is on the medium: dirty pages of the source go there. */
static int blk_copy_clean_source(const struct blk_copy_call *call,
				 unsigned int nr_segs)
{
	unsigned int i;
	int err;

	for (i = 0; i < nr_segs; i++) {
		const struct blk_copy_segment *seg = &call->segs[i];
		loff_t start = (loff_t)seg->sector << SECTOR_SHIFT;
		loff_t end = start + ((loff_t)seg->nr_sects << SECTOR_SHIFT);

		err = filemap_write_and_wait_range(call->src->bd_mapping, start,
						   end - 1);
		if (err)
			return err;
	}
	return 0;
}

/*
 * Copy one window with the destination's page cache out of the way.  Nobody can
 * fault pages in while the locks are held, and whatever slipped in around them
 * is dropped behind the copy.
 *
 * Unlike BLKDISCARD this writes dirty pages of the destination before it drops
 * them, as direct writes do: a copy that fails must leave alone what it did not
 * reach, and a page at either end may hold data that is not copied over.
 */
static int blk_copy_locked(struct blk_copy_call *call, struct blk_copy *copy,
			   u64 off, u64 len)
{
	struct address_space *mapping = call->dst->bd_mapping;
	u64 last = off + len - 1;
	int err;

	inode_lock(mapping->host);
	filemap_invalidate_lock(mapping);
	err = filemap_invalidate_pages(mapping, off, last, false);
	if (!err) {
		err = blkdev_issue_copy(copy);
		invalidate_inode_pages2_range(mapping, off >> PAGE_SHIFT,
					      last >> PAGE_SHIFT);
	}
	filemap_invalidate_unlock(mapping);
	inode_unlock(mapping->host);
	return err;
}

/*
 * Somebody writes to a page of the destination through a mapping, perhaps next
 * to the range that is copied, and it cannot be dropped.  Then the window goes
 * through the page cache, where such a writer is coherent with us; direct writes
 * fall back in the same way.
 */
static int blk_copy_cached(struct blk_copy_call *call, struct blk_copy *copy,
			   loff_t dst, void *buf, size_t size)
{
	unsigned int i;

	for (i = 0; i < copy->nr_segs; i++) {
		loff_t src = (loff_t)copy->segs[i].sector << SECTOR_SHIFT;
		u64 left = (u64)copy->segs[i].nr_sects << SECTOR_SHIFT;

		while (left) {
			size_t n = min_t(u64, left, size);
			ssize_t ret = kernel_read(call->src_file, buf, n, &src);

			if (ret == n)
				ret = kernel_write(call->dst_file, buf, n, &dst);
			if (ret != n)
				return ret < 0 ? ret : -EIO;
			copy->bytes_done += n;
			left -= n;
			if (fatal_signal_pending(current))
				return -EINTR;
			cond_resched();
		}
	}
	return 0;
}

static int blk_copy_busy(struct blk_copy_call *call, struct blk_copy *copy,
			 u64 off)
{
	void *buf;
	int err;

	if (copy->flags & BLK_COPY_NO_EMULATION)
		return -EBUSY;
	buf = kvmalloc(SZ_64K, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	err = blk_copy_cached(call, copy, off, buf, SZ_64K);
	kvfree(buf);
	copy->bytes_emulated = copy->bytes_done;
	copy->error = err;
	blk_copy_count_cached(copy);
	return err;
}

static unsigned int blk_copy_flags(const struct blk_copy_arg *arg)
{
	unsigned int flags = BLK_COPY_KILLABLE;

	if (arg->flags & BLKCOPY_NO_EMULATION)
		flags |= BLK_COPY_NO_EMULATION;
	if (arg->flags & BLKCOPY_DRY_RUN)
		flags |= BLK_COPY_DRY_RUN;
	return flags;
}

static int blk_copy_window(struct blk_copy_call *call, u64 pos, u64 *len)
{
	struct blk_copy_arg *arg = &call->arg;
	struct blk_copy copy = {
		.src		= call->src,
		.dst		= call->dst,
		.segs		= call->segs,
		.nr_segs	= blk_copy_cut_window(call, pos, len),
		.dst_sector	= (arg->dst_offset + pos) >> SECTOR_SHIFT,
		.flags		= blk_copy_flags(arg),
		.hint		= call->hint,
	};
	int err;

	if (arg->flags & BLKCOPY_DRY_RUN) {
		err = blkdev_issue_copy(&copy);
	} else {
		err = blk_copy_clean_source(call, copy.nr_segs);
		if (!err)
			err = blk_copy_locked(call, &copy,
					      arg->dst_offset + pos, *len);
		if (err == -EBUSY && !copy.bytes_done)
			err = blk_copy_busy(call, &copy, arg->dst_offset + pos);
	}
	call->hint = copy.hint;
	arg->bytes_copied += copy.bytes_done;
	arg->bytes_offloaded += copy.bytes_offloaded;
	return err;
}

static int blk_copy_all(struct blk_copy_call *call)
{
	u64 pos, len;
	int err = 0;

	for (pos = 0; pos < call->len; pos += len) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		err = blk_copy_window(call, pos, &len);
		if (err)
			break;
		cond_resched();
	}
	return err;
}

static int blk_copy_get_ranges(struct blk_copy_call *call)
{
	void __user *user = u64_to_user_ptr(call->arg.ranges);
	u32 nr = call->arg.nr_ranges;

	call->ranges = call->inline_ranges;
	call->segs = call->inline_segs;
	if (nr > BLK_COPY_INLINE_RANGES) {
		call->ranges = kvmalloc_array(nr, sizeof(*call->ranges),
					      GFP_KERNEL_ACCOUNT);
		call->segs = kvmalloc_array(nr, sizeof(*call->segs),
					    GFP_KERNEL_ACCOUNT);
	}
	if (!call->ranges || !call->segs)
		return -ENOMEM;
	if (copy_from_user(call->ranges, user, nr * sizeof(*call->ranges)))
		return -EFAULT;
	return 0;
}

static void blk_copy_put_ranges(struct blk_copy_call *call)
{
	if (call->arg.nr_ranges <= BLK_COPY_INLINE_RANGES)
		return;
	kvfree(call->ranges);
	kvfree(call->segs);
}

static int blk_copy_call(struct blk_copy_call *call)
{
	int err;

	call->dst = blk_copy_file_bdev(call->dst_file);
	call->src = blk_copy_file_bdev(call->src_file);
	err = blk_copy_check_files(call);
	if (err)
		return err;
	err = blk_copy_get_ranges(call);
	if (!err)
		err = blk_copy_check_ranges(call);
	if (!err)
		err = blk_copy_all(call);
	blk_copy_put_ranges(call);
	return err;
}

/**
 * blk_ioctl_copy - BLKCOPY
 * @file:	block device to copy to
 * @argp:	&struct blk_copy_arg of the caller
 *
 * The two results are written back whenever @argp could be read, so that a
 * caller learns how far a call that failed has come.
 *
 * Return: 0 or a negative errno: -EFAULT for a bad pointer, -EBADF for a file
 * opened in the wrong mode or a bad descriptor, -ENOTBLK if the source is no
 * block device, else as blkdev_issue_copy().
 */
int blk_ioctl_copy(struct file *file, void __user *argp)
{
	struct blk_copy_arg __user *uarg = argp;
	struct blk_copy_call call = { .dst_file = file, .src_file = file };
	int err;

	if (copy_from_user(&call.arg, uarg, sizeof(call.arg)))
		return -EFAULT;
	call.arg.bytes_copied = 0;
	call.arg.bytes_offloaded = 0;

	err = blk_copy_check_arg(&call.arg);
	if (!err && call.arg.src_fd == -1) {
		err = blk_copy_call(&call);
	} else if (!err) {
		call.src_file = fget(call.arg.src_fd);
		err = -EBADF;
		if (call.src_file) {
			err = blk_copy_call(&call);
			fput(call.src_file);
		}
	}

	if (put_user(call.arg.bytes_copied, &uarg->bytes_copied) ||
	    put_user(call.arg.bytes_offloaded, &uarg->bytes_offloaded))
		return -EFAULT;
	return err;
}
