/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User interface of block device copy offload.
 *
 * The ioctl number is private to the out-of-tree series: upstream may assign
 * another one.  Probe for it: a kernel without it answers ENOTTY.
 */
#ifndef _UAPI_LINUX_BLK_COPY_H
#define _UAPI_LINUX_BLK_COPY_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Most segments that one call takes */
#define BLKCOPY_MAX_SEGMENTS	1024

/* Fail with EOPNOTSUPP where a device cannot do it, do not read and write */
#define BLKCOPY_NO_EMULATION	(1U << 0)
/* Copy nothing; say in bytes_offloaded how much the devices would do */
#define BLKCOPY_DRY_RUN		(1U << 1)

/**
 * struct blk_copy_range - one contiguous piece of the source
 * @offset:	byte offset on the source device
 * @length:	bytes, not 0
 *
 * Both are multiples of the logical block size of the source.
 */
struct blk_copy_range {
	__u64	offset;
	__u64	length;
};

/**
 * struct blk_copy_arg - argument of BLKCOPY
 * @ranges:		in: pointer to an array of &struct blk_copy_range
 * @nr_ranges:		in: elements of that array, 1 to BLKCOPY_MAX_SEGMENTS
 * @src_fd:		in: block device to read from, open for reading;
 *			-1 = the device that the ioctl is called on
 * @dst_offset:		in: byte offset on the destination, where the ranges
 *			are laid down one after the other
 * @flags:		in: BLKCOPY_*
 * @reserved0:		in: must be 0
 * @bytes_copied:	out: bytes that are proven copied, counted from
 *			@dst_offset without a gap; also set when the call fails
 * @bytes_offloaded:	out: how many of these the devices moved themselves;
 *			after a dry run: how many they would, or fewer if very
 *			many pieces would not be offloaded
 * @reserved:		in: must be 0
 *
 * No range may overlap the destination.  That is looked for on one whole disk
 * only: the same blocks reached by another name (a dm device and the disk below
 * it, a loop device, two nodes of one namespace without native multipath) are
 * not seen, and such a copy leaves undefined data, like any two that write the
 * same blocks.
 *
 * The same 64 bytes for 32-bit and 64-bit callers.
 */
struct blk_copy_arg {
	__u64	ranges;
	__u32	nr_ranges;
	__s32	src_fd;
	__u64	dst_offset;
	__u32	flags;
	__u32	reserved0;
	__u64	bytes_copied;
	__u64	bytes_offloaded;
	__u64	reserved[2];
};

#define BLKCOPY		_IOWR(0x12, 129, struct blk_copy_arg)

/*
 * The same for io_uring: IORING_OP_URING_CMD with this in sqe->cmd_op on the
 * destination, and the address of a struct blk_copy_arg in sqe->addr; all else
 * is 0.  The structure, its ranges and src_fd may not change before the completion,
 * nor go away: the two results are written there, and the result of the completion is
 * 0 or a negative errno as that of the ioctl.  It is ECANCELED if the ring or the
 * task that submitted it went away; then the results are not written.
 */
#define BLOCK_URING_CMD_COPY	_IO(0x12, 129)

#endif /* _UAPI_LINUX_BLK_COPY_H */
