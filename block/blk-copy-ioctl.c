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
#include <linux/uio.h>
#include <uapi/linux/blk-copy.h>

#include "blk.h"
#include "blk-copy-internal.h"

/*
 * A call is made in windows of this much, and the locks of the destination are
 * held for one at a time.  Enough to keep all chunks of a copy busy, little
 * enough that a page fault does not wait for long on a fast device.
 */
#define BLK_COPY_WINDOW_BYTES	(64ULL << 20)

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

/* Both files: kind and open mode */
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

static int blk_copy_check_bytes(struct block_device *bdev, u64 off, u64 len)
{
	if ((off | len) & (SECTOR_SIZE - 1))
		return -EINVAL;
	return blk_copy_check_range(bdev, off >> SECTOR_SHIFT,
				    len >> SECTOR_SHIFT);
}

static bool blk_copy_range_overlaps(const struct blk_copy_call *call,
				    const struct blk_copy_range *r)
{
	return blk_copy_overlaps(call->src, r->offset >> SECTOR_SHIFT,
				 r->length >> SECTOR_SHIFT, call->dst,
				 call->arg.dst_offset >> SECTOR_SHIFT,
				 call->len >> SECTOR_SHIFT);
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

		err = blk_copy_check_bytes(call->src, r->offset, r->length);
		if (err)
			return err;
		if (check_add_overflow(call->len, r->length, &call->len))
			return -EINVAL;
	}
	err = blk_copy_check_bytes(call->dst, call->arg.dst_offset, call->len);
	if (err)
		return err;
	for (i = 0; i < call->arg.nr_ranges; i++)
		if (blk_copy_range_overlaps(call, &call->ranges[i]))
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
	u64 left = *len = min(call->len - pos, BLK_COPY_WINDOW_BYTES);
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
 * Inside one disk nobody may fault pages of the destination in while it is
 * copied to.  Between two disks there is no such lock: the source may be one
 * that needs them to be read, a loop device over the destination or a disk that
 * a daemon serves from there.
 */
static bool blk_copy_locks(const struct blk_copy_call *call)
{
	return call->src->bd_disk == call->dst->bd_disk;
}

/* Killable, because whoever has the locks may wait for a device that is stuck */
static int blk_copy_lock(const struct blk_copy_call *call)
	__context_unsafe(/* which call has locks is not known before it runs */)
{
	struct address_space *mapping = call->dst->bd_mapping;

	if (!blk_copy_locks(call))
		return 0;
	if (down_write_killable(&mapping->host->i_rwsem))
		return -EINTR;
	if (down_write_killable(&mapping->invalidate_lock)) {
		inode_unlock(mapping->host);
		return -EINTR;
	}
	return 0;
}

static void blk_copy_unlock(const struct blk_copy_call *call)
	__context_unsafe(/* as blk_copy_lock() */)
{
	struct address_space *mapping = call->dst->bd_mapping;

	if (!blk_copy_locks(call))
		return;
	filemap_invalidate_unlock(mapping);
	inode_unlock(mapping->host);
}

/*
 * What got into the page cache during the copy is dropped.  A page that cannot
 * be may hold what was there before the copy: readers would see that, and if it
 * is dirty it is going to be written.  Then nothing of the window is copied.
 */
static int blk_copy_drop_behind(const struct blk_copy_call *call,
				struct blk_copy *copy, u64 off, u64 last)
{
	if (!invalidate_inode_pages2_range(call->dst->bd_mapping,
					   off >> PAGE_SHIFT,
					   last >> PAGE_SHIFT))
		return 0;
	copy->bytes_done = 0;
	copy->bytes_offloaded = 0;
	copy->bytes_emulated = 0;
	return -EBUSY;
}

/*
 * Copy one window with the destination's page cache out of the way.
 *
 * Unlike BLKDISCARD this writes dirty pages of the destination before it drops
 * them, as direct writes do: a copy that fails must leave alone what it did not
 * reach, and a page at either end may hold data that is not copied over.
 */
static int blk_copy_uncached(struct blk_copy_call *call, struct blk_copy *copy,
			     u64 off, u64 len)
{
	u64 last = off + len - 1;
	int err, busy;

	err = blk_copy_lock(call);
	if (err)
		return err;
	err = filemap_invalidate_pages(call->dst->bd_mapping, off, last, false);
	if (!err) {
		err = blkdev_issue_copy(copy);
		busy = blk_copy_drop_behind(call, copy, off, last);
		if (!err)
			err = busy;
	}
	blk_copy_unlock(call);
	return err;
}

/*
 * Read or write through the page cache, also where the file was opened with
 * O_DIRECT, which pages that cannot be dropped are of no use to.  The permission
 * was checked for the whole call.
 */
static ssize_t blk_copy_cached_io(struct file *file, unsigned int direction,
				  void *buf, size_t len, loff_t pos)
{
	struct kvec vec = { .iov_base = buf, .iov_len = len };
	struct iov_iter iter;
	struct kiocb iocb;

	init_sync_kiocb(&iocb, file);
	iocb.ki_flags &= ~(IOCB_DIRECT | IOCB_DSYNC | IOCB_SYNC | IOCB_APPEND);
	iocb.ki_pos = pos;
	iov_iter_kvec(&iter, direction, &vec, 1, len);
	if (direction == ITER_DEST)
		return file->f_op->read_iter(&iocb, &iter);
	return file->f_op->write_iter(&iocb, &iter);
}

/* Returns how much of it is in the page cache of the destination now */
static ssize_t blk_copy_cached_piece(const struct blk_copy_call *call,
				     loff_t src, loff_t dst, void *buf,
				     size_t len)
{
	ssize_t ret;

	ret = blk_copy_cached_io(call->src_file, ITER_DEST, buf, len, src);
	if (ret > 0)
		ret = blk_copy_cached_io(call->dst_file, ITER_SOURCE, buf, ret,
					 dst);
	/* Nothing without an error: the device has become smaller. */
	return ret ? ret : -EIO;
}

static int blk_copy_fill_cache(const struct blk_copy_call *call,
			       struct blk_copy *copy, loff_t dst, void *buf,
			       size_t size)
{
	unsigned int i;

	for (i = 0; i < copy->nr_segs; i++) {
		loff_t src = (loff_t)copy->segs[i].sector << SECTOR_SHIFT;
		u64 left = (u64)copy->segs[i].nr_sects << SECTOR_SHIFT;

		while (left) {
			ssize_t n;

			/* It makes reads and writes short, too. */
			if (fatal_signal_pending(current))
				return -EINTR;
			n = blk_copy_cached_piece(call, src,
						  dst + copy->bytes_done, buf,
						  min_t(u64, left, size));
			if (n < 0)
				return n;
			copy->bytes_done += n;
			src += n;
			left -= n;
			cond_resched();
		}
	}
	return 0;
}

/*
 * Write out what is in the page cache: only then is it copied.  The error may
 * have met the flusher, and have been reported to somebody else meanwhile; it is
 * still there for whoever calls fsync().
 */
static int blk_copy_write_back(struct address_space *mapping, u64 off, u64 len,
			       errseq_t since)
{
	int err;

	if (!len)
		return 0;
	err = filemap_write_and_wait_range(mapping, off, off + len - 1);
	return err ? err : filemap_check_wb_err(mapping, since);
}

/*
 * A page of the destination cannot be dropped: somebody writes to it through a
 * mapping, perhaps next to the range that is copied, or a file system holds it.
 * Then the window goes through the page cache, where all of them are coherent
 * with us; direct writes fall back in the same way.
 */
static int blk_copy_cached(const struct blk_copy_call *call,
			   struct blk_copy *copy, u64 off)
{
	struct address_space *mapping = call->dst->bd_mapping;
	errseq_t since = filemap_sample_wb_err(mapping);
	void *buf = kvmalloc(SZ_64K, GFP_KERNEL_ACCOUNT);
	int err, wb_err;

	if (!buf)
		return -ENOMEM;
	err = blk_copy_fill_cache(call, copy, off, buf, SZ_64K);
	kvfree(buf);
	wb_err = blk_copy_write_back(mapping, off, copy->bytes_done, since);
	if (wb_err) {
		copy->bytes_done = 0;
		err = wb_err;
	}
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

static void blk_copy_set_up(struct blk_copy_call *call, u64 pos, u64 *len,
			    struct blk_copy *copy)
{
	*copy = (struct blk_copy) {
		.src		= call->src,
		.dst		= call->dst,
		.segs		= call->segs,
		.nr_segs	= blk_copy_cut_window(call, pos, len),
		.dst_sector	= (call->arg.dst_offset + pos) >> SECTOR_SHIFT,
		.flags		= blk_copy_flags(&call->arg),
		.hint		= call->hint,
	};
}

static bool blk_copy_gone(const struct blk_copy_call *call)
{
	return !bdev_nr_sectors(call->src) || !bdev_nr_sectors(call->dst);
}

static int blk_copy_window(struct blk_copy_call *call, u64 pos, u64 *len)
{
	struct blk_copy_arg *arg = &call->arg;
	u64 off = arg->dst_offset + pos;
	struct blk_copy copy;
	int err;

	blk_copy_set_up(call, pos, len, &copy);
	if (arg->flags & BLKCOPY_DRY_RUN) {
		err = blkdev_issue_copy(&copy);
	} else {
		err = blk_copy_clean_source(call, copy.nr_segs);
		if (!err)
			err = blk_copy_uncached(call, &copy, off, *len);
	}
	call->hint = copy.hint;
	if (err == -EBUSY && !copy.bytes_done &&
	    !(arg->flags & (BLKCOPY_NO_EMULATION | BLKCOPY_DRY_RUN))) {
		blk_copy_set_up(call, pos, len, &copy);
		err = blk_copy_cached(call, &copy, off);
	}
	arg->bytes_copied += copy.bytes_done;
	arg->bytes_offloaded += copy.bytes_offloaded;
	/* The range was good when the call began: it is the disk that went. */
	if (err == -EINVAL && blk_copy_gone(call))
		err = -EIO;
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
 * block device, -EBUSY for pages of the destination that cannot be dropped while
 * emulation is forbidden, -EINTR also while waiting for its locks, -ENOMEM for a
 * list of ranges, else as blkdev_issue_copy().
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
