/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One call to the kernel, for the two ways to make it.
 */
#ifndef BLKCOPY_CALL_H
#define BLKCOPY_CALL_H

#include <linux/blk-copy.h>

#include "blkcopy.h"

/* What one call copies: pieces of the source for one piece of destination */
struct call {
	struct blk_copy_range	seg[BLKCOPY_MAX_SEGMENTS];
	unsigned int		nr;
	__u64		dst;
	__u64		len;
	struct blk_copy_arg	arg;
	/* results */
	__u64		done;
	__u64		offloaded;
	int			error;		/* 0 or a negative errno */
	bool			over;
};

void call_fill_arg(const struct job *job, struct call *call);

/* ring.c */
bool ring_open(const struct options *opt, unsigned int depth);
void ring_begin(int fd, struct call *call);
void ring_wait(void);
void ring_close(void);

#endif /* BLKCOPY_CALL_H */
