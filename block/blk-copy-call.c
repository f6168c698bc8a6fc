// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: one call of a front door.
 *
 * A call copies ranges of one file to another.  Both are block devices, their
 * open modes are checked here, and so is the page cache kept coherent.  A door
 * takes its arguments apart, fills in a call, and runs it, which waits, or starts
 * it, which does not; the rest is left to blk-copy.c.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "blk.h"
#include "blk-copy-internal.h"
#include "blk-copy-call.h"

/*
 * A call is made in windows of this much, and the locks of the destination are
 * held for one at a time.  Enough to keep all chunks of a copy busy, little
 * enough that a page fault does not wait for long on a fast device.
 */
#define BLK_COPY_WINDOW_BYTES	(64ULL << 20)

/* Through the page cache a call goes in steps of this much */
#define BLK_COPY_CACHED_BYTES	SZ_64K

/* Calls that do not wait leave to these workers what may block */
static struct workqueue_struct *blk_copy_call_wq;

static void blk_copy_call_work(struct work_struct *work);
static void blk_copy_window_ended(struct blk_copy *copy);

/* --------------------------------------------------------------- arguments */

static struct block_device *blk_copy_file_bdev(struct file *file)
{
	struct inode *inode = file->f_mapping->host;

	return S_ISBLK(inode->i_mode) ? I_BDEV(inode) : NULL;
}

/**
 * blk_copy_call_files - look at both files of a call
 * @call:	the call, with its files
 *
 * Return: 0, -ENOTBLK if one is no block device, -EBADF for one opened in the
 * wrong mode, -EPERM for a destination that is read-only, -ETXTBSY for one that
 * the kernel swaps to.
 */
int blk_copy_call_files(struct blk_copy_call *call)
{
	call->dst = blk_copy_file_bdev(call->dst_file);
	call->src = blk_copy_file_bdev(call->src_file);
	if (!call->src || !call->dst)
		return -ENOTBLK;
	if (!(call->src_file->f_mode & FMODE_READ) ||
	    !(call->dst_file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (bdev_read_only(call->dst))
		return -EPERM;
	if (IS_SWAPFILE(call->dst->bd_mapping->host))
		return -ETXTBSY;
	return 0;
}

/* Who decides looks at the file; of a range this takes at most so much. */
static int blk_copy_verify_area(int rw, struct file *file, u64 off, u64 len)
{
	loff_t pos = off;

	return rw_verify_area(rw, file, &pos, min_t(u64, len, MAX_RW_COUNT));
}

static int blk_copy_verify_ranges(const struct blk_copy_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->nr_ranges; i++) {
		err = blk_copy_verify_area(READ, call->src_file,
					   call->ranges[i].offset,
					   call->ranges[i].length);
		if (err)
			return err;
	}
	return blk_copy_verify_area(WRITE, call->dst_file, call->dst_offset,
				    call->len);
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
				 call->dst_offset >> SECTOR_SHIFT,
				 call->len >> SECTOR_SHIFT);
}

/**
 * blk_copy_call_check - look at the ranges of a call
 * @call:	the call, with its ranges; blk_copy_call_files() was content
 *
 * The whole of the call is checked before the first byte is copied, though the
 * copy is made in windows that are checked again.
 *
 * Return: 0, or -EINVAL for a range that is empty, misaligned or not inside its
 * device, or that overlaps the destination.
 */
int blk_copy_call_check(struct blk_copy_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->nr_ranges; i++) {
		const struct blk_copy_range *r = &call->ranges[i];

		err = blk_copy_check_bytes(call->src, r->offset, r->length);
		if (err)
			return err;
		if (check_add_overflow(call->len, r->length, &call->len))
			return -EINVAL;
	}
	err = blk_copy_check_bytes(call->dst, call->dst_offset, call->len);
	if (err)
		return err;
	for (i = 0; i < call->nr_ranges; i++)
		if (blk_copy_range_overlaps(call, &call->ranges[i]))
			return -EINVAL;
	return 0;
}

static int blk_copy_get_ranges(struct blk_copy_call *call, void __user *user)
{
	unsigned int nr = call->nr_ranges;

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

/**
 * blk_copy_call_init - make a call of what a user wants
 * @call:	the call, zeroed
 * @file:	block device to copy to
 * @arg:	argument of BLKCOPY or of the io_uring command
 *
 * In any case blk_copy_call_exit() follows.
 *
 * Context: the task that asks.
 * Return: 0, -EINVAL for flags, reserved fields or a number of ranges that cannot
 * be, -EBADF for a bad descriptor, -EFAULT for bad ranges, -ENOMEM for many of them,
 * what a security module says, or as blk_copy_call_files() and blk_copy_call_check().
 */
int blk_copy_call_init(struct blk_copy_call *call, struct file *file,
		       const struct blk_copy_arg *arg)
{
	int err = blk_copy_check_arg(arg);

	if (err)
		return err;
	spin_lock_init(&call->lock);
	call->dst_file = file;
	call->src_file = arg->src_fd == -1 ? get_file(file) : fget(arg->src_fd);
	if (!call->src_file)
		return -EBADF;
	call->nr_ranges = arg->nr_ranges;
	call->dst_offset = arg->dst_offset;
	if (arg->flags & BLKCOPY_NO_EMULATION)
		call->flags |= BLK_COPY_NO_EMULATION;
	if (arg->flags & BLKCOPY_DRY_RUN)
		call->flags |= BLK_COPY_DRY_RUN;

	err = blk_copy_call_files(call);
	if (!err)
		err = blk_copy_get_ranges(call, u64_to_user_ptr(arg->ranges));
	if (!err)
		err = blk_copy_call_check(call);
	if (!err)
		err = blk_copy_verify_ranges(call);
	return err;
}

/**
 * blk_copy_call_exit - give back what a call holds
 * @call:	the call
 */
void blk_copy_call_exit(struct blk_copy_call *call)
{
	if (call->nr_ranges > BLK_COPY_INLINE_RANGES) {
		kvfree(call->ranges);
		kvfree(call->segs);
	}
	if (call->src_file)
		fput(call->src_file);
}

/* ----------------------------------------------------------------- windows */

/* Segments of the present window */
static unsigned int blk_copy_cut_window(struct blk_copy_call *call)
{
	u64 left = call->window, pos = call->pos;
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

/* What is left of the call, at most a window of it, becomes its copy. */
static void blk_copy_set_up(struct blk_copy_call *call)
{
	call->window = min(call->len - call->pos, BLK_COPY_WINDOW_BYTES);
	call->copy = (struct blk_copy) {
		.src		= call->src,
		.dst		= call->dst,
		.segs		= call->segs,
		.nr_segs	= blk_copy_cut_window(call),
		.dst_sector	= (call->dst_offset + call->pos) >> SECTOR_SHIFT,
		.flags		= call->flags,
		.hint		= call->hint,
	};
}

static u64 blk_copy_window_start(const struct blk_copy_call *call)
{
	return call->dst_offset + call->pos;
}

static u64 blk_copy_window_last(const struct blk_copy_call *call)
{
	return blk_copy_window_start(call) + call->window - 1;
}

static bool blk_copy_stopped(const struct blk_copy_call *call)
{
	return READ_ONCE(call->cancelled) || fatal_signal_pending(current);
}

/* What is copied by then is the result, unless the signal is fatal. */
static bool blk_copy_interrupted(const struct blk_copy_call *call)
{
	return call->interruptible && task_sigpending(current) &&
		!blk_copy_stopped(call);
}

/* ------------------------------------------- with the page cache out of the way */

static loff_t blk_copy_seg_start(const struct blk_copy_segment *seg)
{
	return (loff_t)seg->sector << SECTOR_SHIFT;
}

static loff_t blk_copy_seg_last(const struct blk_copy_segment *seg)
{
	return blk_copy_seg_start(seg) +
		((loff_t)seg->nr_sects << SECTOR_SHIFT) - 1;
}

/* Devices read what is on the medium: dirty pages of the source go there. */
static int blk_copy_clean_source(const struct blk_copy_call *call)
{
	unsigned int i;
	int err;

	for (i = 0; i < call->copy.nr_segs; i++) {
		const struct blk_copy_segment *seg = &call->segs[i];

		err = filemap_write_and_wait_range(call->src->bd_mapping,
						   blk_copy_seg_start(seg),
						   blk_copy_seg_last(seg));
		if (err)
			return err;
	}
	return 0;
}

/*
 * Unlike BLKDISCARD this writes dirty pages of the destination before it drops
 * them, as direct writes do: a copy that fails must leave alone what it did not
 * reach, and a page at either end may hold data that is not copied over.
 */
static int blk_copy_drop_ahead(const struct blk_copy_call *call)
{
	return filemap_invalidate_pages(call->dst->bd_mapping,
					blk_copy_window_start(call),
					blk_copy_window_last(call), false);
}

/*
 * What got into the page cache during the copy is dropped.  A page that cannot
 * be may hold what was there before the copy: readers would see that, and if it
 * is dirty it is going to be written.  Then nothing of the window is copied.
 */
static int blk_copy_drop_behind(struct blk_copy_call *call)
{
	pgoff_t start = blk_copy_window_start(call) >> PAGE_SHIFT;
	pgoff_t last = blk_copy_window_last(call) >> PAGE_SHIFT;
	struct blk_copy *copy = &call->copy;

	if (!invalidate_inode_pages2_range(call->dst->bd_mapping, start, last))
		return 0;
	copy->bytes_done = 0;
	copy->bytes_offloaded = 0;
	copy->bytes_emulated = 0;
	return -EBUSY;
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

static int blk_copy_uncached(struct blk_copy_call *call)
{
	int err, busy;

	err = blk_copy_clean_source(call);
	if (!err)
		err = blk_copy_lock(call);
	if (err)
		return err;
	err = blk_copy_drop_ahead(call);
	if (!err) {
		err = blkdev_issue_copy(&call->copy);
		busy = blk_copy_drop_behind(call);
		if (!err)
			err = busy;
	}
	blk_copy_unlock(call);
	return err;
}

/* ------------------------------------------------------ through the page cache */

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
	cond_resched();
	/* Nothing without an error: the device has become smaller. */
	return ret ? ret : -EIO;
}

static int blk_copy_fill_cache(struct blk_copy_call *call, void *buf)
{
	struct blk_copy *copy = &call->copy;
	loff_t dst = blk_copy_window_start(call);
	unsigned int i;

	for (i = 0; i < copy->nr_segs; i++) {
		loff_t src = blk_copy_seg_start(&copy->segs[i]);
		loff_t last = blk_copy_seg_last(&copy->segs[i]);

		while (src <= last) {
			ssize_t n;

			/* It makes reads and writes short, too. */
			if (blk_copy_stopped(call))
				return -EINTR;
			n = blk_copy_cached_piece(call, src,
						  dst + copy->bytes_done, buf,
						  min_t(u64, last - src + 1,
							BLK_COPY_CACHED_BYTES));
			if (n < 0)
				return n;
			copy->bytes_done += n;
			src += n;
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
static int blk_copy_cached(struct blk_copy_call *call)
{
	struct address_space *mapping = call->dst->bd_mapping;
	errseq_t since = filemap_sample_wb_err(mapping);
	struct blk_copy *copy = &call->copy;
	void *buf = kvmalloc(BLK_COPY_CACHED_BYTES, GFP_KERNEL_ACCOUNT);
	int err, wb_err;

	if (!buf)
		return -ENOMEM;
	err = blk_copy_fill_cache(call, buf);
	kvfree(buf);
	wb_err = blk_copy_write_back(mapping, blk_copy_window_start(call),
				     copy->bytes_done, since);
	if (wb_err) {
		copy->bytes_done = 0;
		err = wb_err;
	}
	copy->bytes_emulated = copy->bytes_done;
	copy->error = err;
	blk_copy_count_cached(copy);
	return err;
}

/**
 * blk_copy_call_cached - copy bytes through the page cache
 * @call:	a call that blk_copy_call_files() was content with
 * @src:	where to read, in bytes
 * @dst:	where to write, in bytes
 * @len:	bytes, both ranges inside their devices
 *
 * For what no device can copy, because it is less than a block or lies across
 * blocks.  What is written stays dirty, as after a write().
 *
 * Return: bytes copied, fewer than @len after a signal or an error; an error if
 * there are none.
 */
ssize_t blk_copy_call_cached(struct blk_copy_call *call, loff_t src, loff_t dst,
			     size_t len)
{
	size_t size = min_t(size_t, len, BLK_COPY_CACHED_BYTES), done = 0;
	ssize_t n = 0;
	void *buf;

	if (!len)
		return 0;
	buf = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	while (done < len && !(done && blk_copy_interrupted(call))) {
		n = -EINTR;
		if (!blk_copy_stopped(call))
			n = blk_copy_cached_piece(call, src + done, dst + done,
						  buf, min(len - done, size));
		if (n < 0)
			break;
		done += n;
	}
	kvfree(buf);
	return done ? done : n;
}

/* ------------------------------------------------------------- a whole call */

static bool blk_copy_gone(const struct blk_copy_call *call)
{
	return !bdev_nr_sectors(call->src) || !bdev_nr_sectors(call->dst);
}

/* May what could not go past the page cache go through it? */
static bool blk_copy_wants_cache(const struct blk_copy_call *call, int err)
{
	return err == -EBUSY && !call->copy.bytes_done &&
		!(call->flags & (BLK_COPY_NO_EMULATION | BLK_COPY_DRY_RUN));
}

/* A window is over: count it, and go on behind it unless it failed. */
static void blk_copy_settle(struct blk_copy_call *call, int err)
{
	call->bytes_copied += call->copy.bytes_done;
	call->bytes_offloaded += call->copy.bytes_offloaded;
	call->lost |= call->copy.lost;
	/* The range was good when the call began: it is the disk that went. */
	if (err == -EINVAL && blk_copy_gone(call))
		err = -EIO;
	call->error = err;
	call->pos += call->window;
	call->window = 0;
}

static int blk_copy_window_retry(struct blk_copy_call *call, int err)
{
	call->hint = call->copy.hint;
	if (!blk_copy_wants_cache(call, err))
		return err;
	blk_copy_set_up(call);
	return blk_copy_cached(call);
}

static void blk_copy_window(struct blk_copy_call *call)
{
	int err;

	blk_copy_set_up(call);
	if (call->flags & BLK_COPY_DRY_RUN)
		err = blkdev_issue_copy(&call->copy);
	else
		err = blk_copy_uncached(call);
	blk_copy_settle(call, blk_copy_window_retry(call, err));
}

/**
 * blk_copy_call_run - copy, and wait for the end
 * @call:	a call that blk_copy_call_check() was content with
 *
 * Context: process context, may sleep.
 * Return: 0 or a negative errno, as blkdev_issue_copy(); -EBUSY for pages of the
 * destination that cannot be dropped while emulation is forbidden.
 */
int blk_copy_call_run(struct blk_copy_call *call)
{
	while (call->pos < call->len && !call->error &&
	       !(call->pos && blk_copy_interrupted(call))) {
		if (blk_copy_stopped(call))
			call->error = -EINTR;
		else
			blk_copy_window(call);
		cond_resched();
	}
	return call->error;
}

/* ------------------------------------------------- a call that does not wait */

/* Nothing to write or to drop: the window can begin, or end, without waiting. */
static bool blk_copy_source_is_clean(const struct blk_copy_call *call)
{
	struct address_space *mapping = call->src->bd_mapping;
	unsigned int i;

	for (i = 0; i < call->copy.nr_segs; i++) {
		loff_t start = blk_copy_seg_start(&call->segs[i]);
		loff_t last = blk_copy_seg_last(&call->segs[i]);

		if (filemap_range_needs_writeback(mapping, start, last))
			return false;
	}
	return true;
}

static bool blk_copy_cache_is_empty(const struct blk_copy_call *call)
{
	return !filemap_range_has_page(call->dst->bd_mapping,
				       blk_copy_window_start(call),
				       blk_copy_window_last(call));
}

/*
 * Begin the copy of the window.  Returns 0 if it has begun: then another thread
 * may have ended the call by now.
 */
static int blk_copy_begin(struct blk_copy_call *call)
{
	int err;

	call->copy.end_io = blk_copy_window_ended;
	call->copy.private = call;
	err = blk_copy_prepare(&call->copy, &call->owner);
	if (err)
		return err;
	spin_lock_irq(&call->lock);
	call->running = true;
	blk_copy_go(&call->copy);
	if (call->cancelled)
		blk_copy_cancel(&call->copy);
	spin_unlock_irq(&call->lock);
	return 0;
}

/* Get both page caches ready for the window; -EAGAIN if that may block. */
static int blk_copy_make_way(struct blk_copy_call *call, bool may_block)
{
	int err;

	if (call->flags & BLK_COPY_DRY_RUN)
		return 0;
	if (blk_copy_source_is_clean(call) && blk_copy_cache_is_empty(call))
		return 0;
	if (!may_block)
		return -EAGAIN;
	err = blk_copy_clean_source(call);
	return err ? err : blk_copy_drop_ahead(call);
}

/* Begin the next window, or end the call, which then is gone. */
static void blk_copy_go_on(struct blk_copy_call *call, bool may_block)
{
	int err;

	while (call->pos < call->len && !call->error) {
		if (READ_ONCE(call->cancelled)) {
			call->error = -EINTR;
			break;
		}
		blk_copy_set_up(call);
		err = blk_copy_make_way(call, may_block);
		if (err == -EAGAIN && !may_block) {
			call->window = 0;
			queue_work(blk_copy_call_wq, &call->work);
			return;
		}
		if (err) {
			err = blk_copy_window_retry(call, err);
		} else {
			err = blk_copy_begin(call);
			if (!err)
				return;
		}
		blk_copy_settle(call, err);
	}
	blk_copy_put_owner(&call->owner);
	call->end(call);
}

/* A window has been copied, and what got into the page cache is to be dropped. */
static void blk_copy_window_over(struct blk_copy_call *call)
{
	int err = call->copy.error, busy = 0;

	if (!(call->flags & BLK_COPY_DRY_RUN))
		busy = blk_copy_drop_behind(call);
	err = blk_copy_window_retry(call, err ? err : busy);
	blk_copy_settle(call, err);
}

static void blk_copy_call_work(struct work_struct *work)
{
	struct blk_copy_call *call = container_of(work, struct blk_copy_call,
						  work);

	kthread_associate_blkcg(call->owner.css);
	if (call->window)
		blk_copy_window_over(call);
	blk_copy_go_on(call, true);
	kthread_associate_blkcg(NULL);
}

static void blk_copy_window_ended(struct blk_copy *copy)
{
	struct blk_copy_call *call = copy->private;

	spin_lock_irq(&call->lock);
	call->running = false;
	spin_unlock_irq(&call->lock);
	if (copy->error || (!(call->flags & BLK_COPY_DRY_RUN) &&
			    !blk_copy_cache_is_empty(call))) {
		queue_work(blk_copy_call_wq, &call->work);
		return;
	}
	call->hint = copy->hint;
	blk_copy_settle(call, 0);
	blk_copy_go_on(call, false);
}

/**
 * blk_copy_call_start - copy, and say later how it went
 * @call:	a call that blk_copy_call_check() was content with, with @end
 *
 * Unlike blk_copy_call_run() this holds no lock of the destination while it
 * copies: whatever somebody reads into the page cache meanwhile is dropped after
 * each window, and a page that cannot be is dealt with in the same way.
 *
 * What is charged for its bios and their priority are those of the caller, but for
 * what a worker does through the page cache, whose priority is the worker's.
 *
 * Context: process context; does not wait for I/O.  @end may be called before
 * this returns.
 */
void blk_copy_call_start(struct blk_copy_call *call)
{
	INIT_WORK(&call->work, blk_copy_call_work);
	blk_copy_get_owner(&call->owner);
	if (!blk_copy_call_wq)
		call->error = -ENOMEM;
	blk_copy_go_on(call, false);
}

/**
 * blk_copy_call_cancel - let a call end early
 * @call:	a call that was started, and whose @end is not over
 *
 * Nothing new is sent, what is in flight is waited for, and @end is called as
 * ever: with -EINTR if something was left out.
 *
 * Context: any but interrupt.
 */
void blk_copy_call_cancel(struct blk_copy_call *call)
{
	spin_lock_irq(&call->lock);
	WRITE_ONCE(call->cancelled, true);
	if (call->running)
		blk_copy_cancel(&call->copy);
	spin_unlock_irq(&call->lock);
}

static int __init blk_copy_call_module_init(void)
{
	blk_copy_call_wq = alloc_workqueue("blk_copy_call",
					   WQ_MEM_RECLAIM | WQ_UNBOUND, 0);
	return blk_copy_call_wq ? 0 : -ENOMEM;
}
subsys_initcall(blk_copy_call_module_init);
