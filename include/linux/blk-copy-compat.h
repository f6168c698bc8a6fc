/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows in which kernel the copy offload code is built.
 * Everything else is written for the newest supported kernel; what an older one
 * calls otherwise gets its present name here.
 */
#ifndef _LINUX_BLK_COPY_COMPAT_H
#define _LINUX_BLK_COPY_COMPAT_H

#include <linux/compiler_types.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/version.h>

/* Macros can be asked for. */
#ifndef timer_container_of
#define timer_container_of	from_timer
#endif

/* Not yet in each version of 6.12 */
#ifndef kzalloc_obj
#define kzalloc_obj(obj, gfp)	kzalloc(sizeof(obj), gfp)
#endif

#ifndef __guarded_by
#define __guarded_by(...)
#endif

#ifndef __context_unsafe
#define __context_unsafe(...)
#endif

/*
 * Members and types cannot:
 *
 * blk_copy_iter_off: the byte offset that an iterator has inside its bio_vec
 * blk_copy_metadata_size: the metadata of a block, a member of blk_integrity
 * blk_copy_bad_sectors_t: how badblocks_check() counts sectors
 * blk_copy_attr_t, blk_copy_attrs: an attribute in an attribute_group's list
 * blk_copy_tw_*: how io_uring calls back in the task, whether nobody waits for the
 * result any more, and how that ends
 * BLK_COPY_BIO_BYTES: size of struct bio with every option of an unpatched
 * kernel on; checked at build time
 */
#if KERNEL_VERSION(7, 3, 0) > LINUX_VERSION_CODE
#define blk_copy_iter_off	bi_bvec_done
#define blk_copy_metadata_size	tuple_size
#define blk_copy_bad_sectors_t	int
#define blk_copy_attr_t		struct attribute *
#define blk_copy_attrs		attrs
#define blk_copy_tw_t		struct io_uring_cmd *
#define blk_copy_tw_arg_t	unsigned int
#define blk_copy_tw_cmd(tw)	(tw)
#define blk_copy_tw_dead(arg)	((arg) & IO_URING_F_TASK_DEAD)
#define blk_copy_tw_done(cmd, res, arg) io_uring_cmd_done(cmd, res, 0, arg)
#define BLK_COPY_BIO_BYTES	136
#else
#define blk_copy_iter_off	bi_offset
#define blk_copy_metadata_size	metadata_size
#define blk_copy_bad_sectors_t	sector_t
#define blk_copy_attr_t		const struct attribute *const
#define blk_copy_attrs		attrs_const
#define blk_copy_tw_t		struct io_tw_req
#define blk_copy_tw_arg_t	io_tw_token_t
#define blk_copy_tw_cmd(tw)	io_uring_cmd_from_tw(tw)
#define blk_copy_tw_dead(arg)	((arg).cancel)
#define blk_copy_tw_done(cmd, res, arg) \
	io_uring_cmd_done(cmd, res, IO_URING_CMD_TASK_WORK_ISSUE_FLAGS)
#define BLK_COPY_BIO_BYTES	136
#endif

#endif /* _LINUX_BLK_COPY_COMPAT_H */
