// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: the BLKCOPY ioctl.
 *
 * Takes the argument apart and writes the results back: blk-copy-call.c does the
 * rest.
 */
#include <linux/fs.h>
#include <linux/uaccess.h>

#include "blk-copy-internal.h"
#include "blk-copy-call.h"

/**
 * blk_ioctl_copy - BLKCOPY
 * @file:	block device to copy to
 * @argp:	&struct blk_copy_arg of the caller
 *
 * The two results are written back whenever @argp could be read, so that a
 * caller learns how far a call that failed has come.
 *
 * Return: 0 or a negative errno: -EFAULT for a bad pointer, -EINTR also while
 * waiting for locks of the destination, else as blk_copy_call_init() and
 * blk_copy_call_run().
 */
int blk_ioctl_copy(struct file *file, void __user *argp)
{
	struct blk_copy_arg __user *uarg = argp;
	struct blk_copy_call call = { .flags = BLK_COPY_KILLABLE };
	struct blk_copy_arg arg;
	int err;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	err = blk_copy_call_init(&call, file, &arg);
	if (!err)
		err = blk_copy_call_run(&call);
	blk_copy_call_exit(&call);
	if (put_user(call.bytes_copied, &uarg->bytes_copied) ||
	    put_user(call.bytes_offloaded, &uarg->bytes_offloaded))
		return -EFAULT;
	return err;
}
