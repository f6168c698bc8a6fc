/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BLK_COPY_CALL_H
#define BLK_COPY_CALL_H

#include <linux/blk-copy.h>
#include <uapi/linux/blk-copy.h>

/* Calls with so few ranges allocate nothing, and cannot fail for that */
#define BLK_COPY_INLINE_RANGES	4

/**
 * struct blk_copy_call - one call of a front door
 * @dst_file:	block device to copy to, held by the door
 * @src_file:	block device to copy from, held by the door
 * @ranges:	what to copy, in bytes
 * @nr_ranges:	elements of @ranges
 * @dst_offset:	where it goes, in bytes
 * @flags:	BLK_COPY_*
 * @interruptible: any signal ends the call after the first window, with success;
 *		otherwise only a fatal one does
 * @end:	for blk_copy_call_start(): called last, from process context
 * @bytes_copied: result: bytes proven copied, without a gap
 * @bytes_offloaded: result: how many of these the devices moved
 * @error:	result: 0 or a negative errno
 * @lost:	result: as in &struct blk_copy
 * @dst:	device of @dst_file
 * @src:	device of @src_file
 *
 * Zero the structure before use.  Everything below @src is private.
 */
struct blk_copy_call {
	struct file			*dst_file;
	struct file			*src_file;
	struct blk_copy_range		*ranges;
	unsigned int			nr_ranges;
	u64				dst_offset;
	unsigned int			flags;
	bool				interruptible;
	void	(*end)(struct blk_copy_call *call);

	u64				bytes_copied;
	u64				bytes_offloaded;
	int				error;
	bool				lost;
	struct block_device		*dst;
	struct block_device		*src;

	/* private: */
	u64				len;		/* bytes of all ranges */
	u64				pos;		/* where the window begins */
	u64				window;		/* its bytes */
	struct blk_copy_segment		*segs;		/* its source */
	struct blk_copy			copy;		/* of the window */
	struct blk_copy_hint		hint;
	struct blk_copy_range		inline_ranges[BLK_COPY_INLINE_RANGES];
	struct blk_copy_segment		inline_segs[BLK_COPY_INLINE_RANGES];
	/* of calls that do not wait */
	struct work_struct		work;
	struct blk_copy_owner		owner;
	spinlock_t			lock;		/* the two below */
	bool				running;
	bool				cancelled;	/* may be read without */
};

int blk_copy_call_init(struct blk_copy_call *call, struct file *file,
		       const struct blk_copy_arg *arg);
void blk_copy_call_exit(struct blk_copy_call *call);
int blk_copy_call_files(struct blk_copy_call *call);
int blk_copy_call_check(struct blk_copy_call *call);
int blk_copy_call_run(struct blk_copy_call *call);
void blk_copy_call_start(struct blk_copy_call *call);
void blk_copy_call_cancel(struct blk_copy_call *call);
ssize_t blk_copy_call_cached(struct blk_copy_call *call, loff_t src, loff_t dst,
			     size_t len);

#endif /* BLK_COPY_CALL_H */
