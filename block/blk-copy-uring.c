// SPDX-License-Identifier: GPL-2.0
/*
 * Copy offload: the io_uring command.
 *
 * The same structure as for BLKCOPY, and nobody waits: many copies of one thread
 * are in flight together.  All that the kernel needs of the caller is read when the
 * command is issued, which may be later than it is submitted; the results are written
 * back in the caller's task before the completion is posted.
 */
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/io_uring/cmd.h>
#include <linux/ktime.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "blk-copy-internal.h"
#include "blk-copy-call.h"

/* One command; io_uring's own memory for it holds a pointer to this. */
struct blk_copy_uring {
	struct io_uring_cmd		*cmd;
	struct blk_copy_arg __user	*uarg;
	struct blk_copy_call		call;
};

struct blk_copy_uring_pdu {
	struct blk_copy_uring		*uring;
};

static int blk_copy_uring_results(const struct blk_copy_uring *uring)
{
	if (put_user(uring->call.bytes_copied, &uring->uarg->bytes_copied) ||
	    put_user(uring->call.bytes_offloaded,
		     &uring->uarg->bytes_offloaded))
		return -EFAULT;
	return 0;
}

static void blk_copy_uring_free(struct blk_copy_uring *uring)
{
	blk_copy_call_exit(&uring->call);
	kfree(uring);
}

/*
 * In the caller's task, with the lock that also holds off a cancellation.  Where
 * the task or the ring is gone, the structure belongs to somebody else by now, and a
 * result without it would say that nothing is missing.
 */
static void blk_copy_uring_complete(blk_copy_tw_t tw, blk_copy_tw_arg_t arg)
{
	struct io_uring_cmd *cmd = blk_copy_tw_cmd(tw);
	struct blk_copy_uring *uring =
		io_uring_cmd_to_pdu(cmd, struct blk_copy_uring_pdu)->uring;
	int res = uring->call.error;

	if (blk_copy_tw_dead(arg) || (res == -EINTR && uring->call.cancelled))
		res = -ECANCELED;
	if (!blk_copy_tw_dead(arg))
		res = blk_copy_uring_results(uring) ?: res;
	blk_copy_uring_free(uring);
	blk_copy_tw_done(cmd, res, arg);
}

static void blk_copy_uring_end(struct blk_copy_call *call)
{
	struct blk_copy_uring *uring = container_of(call, struct blk_copy_uring,
						    call);

	io_uring_cmd_do_in_task_lazy(uring->cmd, blk_copy_uring_complete);
}

static int blk_copy_uring_issue(struct blk_copy_uring *uring,
				unsigned int issue_flags)
{
	struct io_uring_cmd *cmd = uring->cmd;
	struct blk_copy_arg arg;
	int err;

	if (copy_from_user(&arg, uring->uarg, sizeof(arg)))
		return -EFAULT;
	err = blk_copy_call_init(&uring->call, cmd->file, &arg);
	if (err) {
		/* As the ioctl does: a call that is refused has copied nothing. */
		return blk_copy_uring_results(uring) ?: err;
	}
	uring->call.end = blk_copy_uring_end;
	io_uring_cmd_to_pdu(cmd, struct blk_copy_uring_pdu)->uring = uring;
	/* A ring that goes away does not wait for more than is in flight. */
	io_uring_cmd_mark_cancelable(cmd, issue_flags);
	blk_copy_call_start(&uring->call);
	return -EIOCBQUEUED;
}

/*
 * io_uring asks again and again as long as there are commands that can be cancelled,
 * and ours end when the device has answered: until then it must not take a CPU.
 */
static int blk_copy_uring_cancel(struct io_uring_cmd *cmd)
{
	struct blk_copy_uring *uring =
		io_uring_cmd_to_pdu(cmd, struct blk_copy_uring_pdu)->uring;
	static u64 slept;

	if (!uring->call.cancelled) {
		blk_copy_call_cancel(&uring->call);
	} else if (ktime_get_ns() - READ_ONCE(slept) > 50 * NSEC_PER_USEC) {
		/* Once for those of a pass, not for each: the ring is locked. */
		usleep_range(500, 1000);
		WRITE_ONCE(slept, ktime_get_ns());
	}
	return 0;
}

/**
 * blk_uring_copy - BLOCK_URING_CMD_COPY
 * @cmd:	the command; its file is the block device to copy to, and sqe->addr
 *		points at a &struct blk_copy_arg, which stays there until the
 *		completion
 * @issue_flags: IO_URING_F_*
 *
 * Return: -EIOCBQUEUED, or a negative errno as blk_ioctl_copy(), which is also
 * what the completion brings; -ECANCELED if the ring went away.
 */
int blk_uring_copy(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	const struct io_uring_sqe *sqe = cmd->sqe;
	struct blk_copy_uring *uring;
	int err;

	if (issue_flags & IO_URING_F_CANCEL)
		return blk_copy_uring_cancel(cmd);
	if (READ_ONCE(sqe->ioprio) || READ_ONCE(sqe->len) ||
	    READ_ONCE(sqe->__pad1) || READ_ONCE(sqe->rw_flags) ||
	    READ_ONCE(sqe->buf_index) || READ_ONCE(sqe->file_index) ||
	    READ_ONCE(sqe->addr3) || READ_ONCE(sqe->__pad2[0]))
		return -EINVAL;
	uring = kzalloc_obj(*uring, GFP_KERNEL_ACCOUNT);
	if (!uring)
		return -ENOMEM;
	uring->cmd = cmd;
	uring->uarg = u64_to_user_ptr(READ_ONCE(sqe->addr));
	err = blk_copy_uring_issue(uring, issue_flags);
	if (err != -EIOCBQUEUED)
		blk_copy_uring_free(uring);
	return err;
}
