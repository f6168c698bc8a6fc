// SPDX-License-Identifier: GPL-2.0
/*
 * Copies by io_uring, so many in flight as the contender has depth.
 */
#include <liburing.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* One call that is in flight */
struct slot {
	struct blk_copy_arg	arg;
	struct blk_copy_range	range;
};

struct uring {
	struct io_uring	ring;
	struct slot	slots[];
};

/**
 * uring_setup - make the ring of a contender
 * @c:		the contender, its devices open
 */
void uring_setup(struct contender *c)
{
	int err;

	if (!c->depth)
		die("%s: no depth", c->name);
	if (c->range != c->call || c->reps != 1)
		die("%s: one range and one run only", c->name);
	c->ring = calloc(1, sizeof(*c->ring) + c->depth * sizeof(struct slot));
	if (!c->ring)
		die("no memory");
	err = io_uring_queue_init(c->depth, &c->ring->ring, 0);
	if (err)
		die("%s: io_uring: %s", c->name, strerror(-err));
}

static void begin(struct contender *c, struct slot *slot, __u64 pos)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring->ring);

	if (!sqe)
		die("%s: the ring is full", c->name);
	slot->range.offset = contender_source(c, pos);
	slot->range.length = c->call;
	slot->arg = (struct blk_copy_arg) {
		.ranges		= (uintptr_t)&slot->range,
		.nr_ranges	= 1,
		.src_fd		= c->src_fd,
		.dst_offset	= c->doff + pos,
		.flags		= path_flags[c->path],
	};
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = c->dst_fd;
	sqe->cmd_op = BLOCK_URING_CMD_COPY;
	sqe->addr = (uintptr_t)&slot->arg;
	sqe->user_data = (uintptr_t)slot;
}

/* Returns the slot of a call that is over. */
static struct slot *reap(struct contender *c)
{
	struct io_uring_cqe *cqe;
	struct slot *slot;
	int err;

	err = io_uring_submit_and_wait(&c->ring->ring, 1);
	if (err >= 0)
		err = io_uring_peek_cqe(&c->ring->ring, &cqe);
	if (err)
		die("%s: io_uring: %s", c->name, strerror(-err));
	if (cqe->res)
		die("%s: copy: %s", c->name, strerror(-cqe->res));
	slot = (struct slot *)(uintptr_t)cqe->user_data;
	io_uring_cqe_seen(&c->ring->ring, cqe);
	contender_check(c, &slot->arg);
	return slot;
}

/**
 * uring_run - copy once, with as many calls in flight as there may be
 * @c:		the contender
 */
void uring_run(struct contender *c)
{
	unsigned int busy = 0;
	__u64 pos = 0;

	while (busy < c->depth && pos < c->len) {
		begin(c, &c->ring->slots[busy++], pos);
		pos += c->call;
	}
	while (busy) {
		struct slot *slot = reap(c);

		if (pos < c->len) {
			begin(c, slot, pos);
			pos += c->call;
		} else {
			busy--;
		}
	}
}
