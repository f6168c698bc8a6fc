// SPDX-License-Identifier: GPL-2.0
/*
 * Calls that are in flight together, by io_uring.
 */
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkcopy.h"
#include "call.h"

static struct io_uring ring;
static unsigned int in_flight;
/* Nothing can be begun any more: what the ring did not take is still in it. */
static int broken;

/**
 * ring_open - make room for calls
 * @opt: whether to say why not
 * @depth: how many are in flight at most
 *
 * Return: true, or false after a note that goes on without it.
 */
bool ring_open(const struct options *opt, unsigned int depth)
{
	int err = io_uring_queue_init(depth, &ring, 0);

	if (err)
		note(opt, "no io_uring (%s): one call at a time",
		     strerror(-err));
	return !err;
}

/**
 * ring_begin - begin a call
 * @fd: destination
 * @call: with its argument, left alone until it is over; one that cannot begin is
 *	over at once, with an error
 */
void ring_begin(int fd, struct call *call)
{
	struct io_uring_sqe *sqe = broken ? NULL : io_uring_get_sqe(&ring);
	int ret = broken ? broken : -EBUSY;

	if (sqe) {
		io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, &call->arg, 0, 0);
		sqe->cmd_op = BLOCK_URING_CMD_COPY;
		io_uring_sqe_set_data(sqe, call);
		do {
			ret = io_uring_submit(&ring);
		} while (ret == -EINTR || ret == -EAGAIN);
	}
	call->over = ret < 0;
	if (ret < 0) {
		broken = call->error = ret;
		call->done = call->offloaded = 0;
	} else {
		in_flight++;
	}
}

/**
 * ring_wait - wait until a call is over
 *
 * Also returns if there is none, and when a signal comes.
 */
void ring_wait(void)
{
	struct io_uring_cqe *cqe;
	struct call *call;

	if (!in_flight || io_uring_wait_cqe(&ring, &cqe))
		return;
	call = io_uring_cqe_get_data(cqe);
	call->error = cqe->res < 0 ? cqe->res : 0;
	call->done = call->arg.bytes_copied;
	call->offloaded = call->arg.bytes_offloaded;
	call->over = true;
	io_uring_cqe_seen(&ring, cqe);
	in_flight--;
}

/* All calls are over. */
void ring_close(void)
{
	io_uring_queue_exit(&ring);
}
