// SPDX-License-Identifier: GPL-2.0
/*
 * Copies a job call by call: BLKCOPY, the same by io_uring if many calls are to
 * be in flight, or read and write where the kernel knows neither.
 */
#include <assert.h>
#include <errno.h>
#include <linux/blk-copy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "blkcopy.h"
#include "call.h"

static_assert(sizeof(struct blk_copy_arg) == 64, "BLKCOPY takes 64 bytes");

/* How far the job is */
struct cursor {
	size_t		idx;		/* range */
	__u64	off;		/* bytes of it that are done */
};

static void advance(const struct job *job, struct cursor *cur, __u64 bytes)
{
	__u64 left;

	while (bytes) {
		left = job->ranges[cur->idx].len - cur->off;
		if (bytes < left) {
			cur->off += bytes;
			return;
		}
		bytes -= left;
		cur->idx++;
		cur->off = 0;
	}
}

/* As many ranges with adjacent destinations as one call takes */
static void gather(const struct job *job, struct cursor cur, struct call *call)
{
	const struct range *r = &job->ranges[cur.idx];
	__u64 len;

	call->nr = 0;
	call->len = 0;
	call->done = 0;
	call->offloaded = 0;
	call->dst = r->dst + cur.off;
	while (call->len < job->step && call->nr < BLKCOPY_MAX_SEGMENTS) {
		len = r->len - cur.off;
		if (len > job->step - call->len)
			len = job->step - call->len;
		call->seg[call->nr].offset = r->src + cur.off;
		call->seg[call->nr].length = len;
		call->nr++;
		call->len += len;
		advance(job, &cur, len);
		r = &job->ranges[cur.idx];
		if (cur.idx == job->nr || r->dst + cur.off != call->dst + call->len)
			break;
	}
}

/**
 * call_fill_arg - what the kernel is asked for
 * @job: to which the call belongs
 * @call: planned
 */
void call_fill_arg(const struct job *job, struct call *call)
{
	call->arg = (struct blk_copy_arg) {
		.ranges = (uintptr_t)call->seg,
		.nr_ranges = call->nr,
		.src_fd = job->same ? -1 : job->src.fd,
		.dst_offset = call->dst,
	};
	if (job->opt->no_emulation)
		call->arg.flags |= BLKCOPY_NO_EMULATION;
	if (job->opt->dry_run)
		call->arg.flags |= BLKCOPY_DRY_RUN;
}

/* Returns 0 or a negative errno; what was done before an error counts */
static int call_ioctl(const struct job *job, struct call *call)
{
	int rc;

	call_fill_arg(job, call);
	rc = ioctl(job->dst.fd, BLKCOPY, &call->arg) ? -errno : 0;
	/* Without the ioctl nobody has written the results */
	if (rc == -ENOTTY)
		return rc;
	call->done = call->arg.bytes_copied;
	call->offloaded = call->arg.bytes_offloaded;
	return rc;
}

/* Fills the buffer from as many segments as it takes; bytes, or -1 */
static ssize_t fill_buffer(const struct job *job, const struct call *call,
			   unsigned int *seg, __u64 *off, char *buf)
{
	size_t filled = 0, len;

	while (*seg < call->nr && filled < BUF_BYTES) {
		len = BUF_BYTES - filled;
		if (len > call->seg[*seg].length - *off)
			len = call->seg[*seg].length - *off;
		if (io_read(&job->src, buf + filled, len,
			    call->seg[*seg].offset + *off) != (ssize_t)len)
			return -1;
		filled += len;
		*off += len;
		if (*off == call->seg[*seg].length) {
			*seg += 1;
			*off = 0;
		}
	}
	return filled;
}

/* Returns 0, or -EIO after a message */
static int call_readwrite(const struct job *job, struct call *call, void *buf)
{
	unsigned int seg = 0;
	__u64 off = 0;
	ssize_t filled, written;

	while (call->done < call->len && !stop_requested()) {
		filled = fill_buffer(job, call, &seg, &off, buf);
		if (filled < 0)
			return -EIO;
		written = io_write(&job->dst, buf, filled,
				   call->dst + call->done);
		call->done += written;
		if (written != filled)
			return -EIO;
		progress_update(job->bytes + call->done);
	}
	return 0;
}

/* Why a call failed, in words that say what to do */
static int complain_call(const struct job *job, const struct call *call)
{
	__u64 at = call->dst + call->done;
	int error = call->error;
	int status = error == -EOPNOTSUPP ? EXIT_NOTSUPP : EXIT_FAILURE;
	const char *why = strerror(-error);
	char reason[PAIR_TEXT];

	if (error == -EOPNOTSUPP && job->opt->no_emulation &&
	    pair_explain_devs(&job->src, &job->dst, reason,
			      sizeof(reason)) > PAIR_YES)
		return complain(status,
				"%s: cannot copy to offset %llu: %s; --no-emulation forbids the rest",
				job->dst.path, at, reason);
	if (error == -EOPNOTSUPP && job->opt->no_emulation)
		why = "the devices cannot do it, --no-emulation forbids the rest";
	else if (error == -EOPNOTSUPP)
		why = "not possible with these devices";
	else if (error == -EINVAL)
		why = "refused; do the devices overlap below, or have they changed?";
	else if (error == -EPERM)
		why = "is read-only";
	return complain(status, "%s: cannot copy to offset %llu: %s",
			job->dst.path, at, why);
}

/* The kernel has no BLKCOPY; 0 = go on with read and write */
static int fall_back(struct job *job)
{
	if (job->opt->no_emulation)
		return complain(EXIT_NOTSUPP,
				"this kernel has no copy offload (BLKCOPY), and --no-emulation forbids the rest");
	note(job->opt, "this kernel has no copy offload (BLKCOPY): %s by read and write",
	     job->opt->dry_run ? "would copy" : "copying");
	job->by_hand = true;
	if (job->opt->dry_run) {
		job->asked = job->total;
		return 0;
	}
	if (dev_set_direct(&job->dst))
		return EXIT_FAILURE;
	return job->same ? 0 : dev_set_direct(&job->src);
}

static bool is_unknown_ioctl(const struct job *job, int error)
{
	if (job->calls > 1)
		return false;
	return error == -ENOTTY ||
	       (error == -EINVAL && !dev_kernel_has_copy(&job->dst));
}

/* What follows from the result of a call; 0 or the exit status */
static int settle(struct job *job, const struct call *call)
{
	job->bytes += call->done;
	job->offloaded += call->offloaded;
	if (job->opt->dry_run && !call->error)
		job->asked += call->len;
	if (job->opt->verbose)
		note(job->opt,
		     "call %llu: %u range(s), %llu bytes to %llu: %llu done, %llu offloaded",
		     job->calls, call->nr, call->len, call->dst, call->done,
		     call->offloaded);
	if (call->error && (call->error != -EINTR || !call->done))
		return job->by_hand ? EXIT_FAILURE :
		       complain_call(job, call);
	if (!call->done && !job->opt->dry_run && !stop_requested())
		return complain(EXIT_FAILURE,
				"%s: the kernel copied nothing to offset %llu and gave no reason",
				job->dst.path, call->dst);
	return 0;
}

/* One call; 0 or the exit status */
static int do_call(struct job *job, struct call *call, void **buf)
{
	if (!job->by_hand) {
		job->calls++;
		call->error = call_ioctl(job, call);
		if (is_unknown_ioctl(job, call->error)) {
			job->calls--;
			return fall_back(job);
		}
	} else {
		if (!*buf)
			*buf = io_buffer();
		if (!*buf)
			return EXIT_FAILURE;
		job->calls++;
		call->error = call_readwrite(job, call, *buf);
	}
	return settle(job, call);
}

static int interrupted(void)
{
	return complain(EXIT_FAILURE, "interrupted");
}

/* One call after the other */
static int copy_in_turn(struct job *job, struct call *call)
{
	struct cursor cur = { 0 };
	void *buf = NULL;
	__u64 before;
	int rc = 0;

	while (cur.idx < job->nr && !rc) {
		if (stop_requested()) {
			rc = interrupted();
			break;
		}
		gather(job, cur, call);
		before = job->bytes + job->asked;
		rc = do_call(job, call, &buf);
		if (job->by_hand && job->opt->dry_run)
			break;
		advance(job, &cur, job->bytes + job->asked - before);
		progress_update(job->bytes);
	}
	free(buf);
	return rc;
}

/*
 * Many calls at once.  They end in any order, and count in the order in which they
 * began: behind one that failed, or did less than it should, none does.
 */
static int copy_at_depth(struct job *job, struct call *calls, unsigned int depth)
{
	struct cursor cur = { 0 };
	__u64 first = 0, next = 0;
	struct call *call;
	int rc = 0;

	while (first < next || (cur.idx < job->nr && !rc && !stop_requested())) {
		while (next - first < depth && cur.idx < job->nr && !rc &&
		       !stop_requested()) {
			call = &calls[next++ % depth];
			gather(job, cur, call);
			call_fill_arg(job, call);
			ring_begin(job->dst.fd, call);
			advance(job, &cur, call->len);
		}
		ring_wait();
		for (; first < next && calls[first % depth].over; first++) {
			call = &calls[first % depth];
			if (rc)
				continue;
			job->calls++;
			rc = settle(job, call);
			if (!rc && call->done < call->len && !job->opt->dry_run)
				rc = interrupted();
		}
		progress_update(job->bytes);
	}
	if (!rc && cur.idx < job->nr)
		rc = interrupted();
	return rc;
}

static int copy_all(struct job *job)
{
	unsigned int depth = job->opt->depth ? job->opt->depth : 1;
	struct call *calls;
	int rc;

	/* Whatever has no attributes for it has no command of io_uring, either. */
	if (depth > 1 && (!dev_kernel_has_copy(&job->dst) ||
			  !ring_open(job->opt, depth)))
		depth = 1;
	calls = calloc(depth, sizeof(*calls));
	if (!calls)
		return complain(EXIT_FAILURE, "out of memory");
	job->by_ring = depth > 1;
	rc = depth > 1 ? copy_at_depth(job, calls, depth) :
			 copy_in_turn(job, calls);
	if (depth > 1)
		ring_close();
	free(calls);
	return rc;
}

/* What a real copy would come to; 0 or the exit status */
static int judge_dry_run(const struct job *job)
{
	char reason[PAIR_TEXT];

	if (!job->opt->no_emulation || job->offloaded == job->total)
		return 0;
	pair_explain_devs(&job->src, &job->dst, reason, sizeof(reason));
	return complain(EXIT_NOTSUPP,
			"%s: the devices would copy %llu of %llu bytes, --no-emulation forbids the rest%s%s",
			job->dst.path, job->offloaded, job->total,
			*reason ? "; " : "", reason);
}

/**
 * engine_copy - copy all ranges of a job
 * @job: planned, with open devices; gets the results
 *
 * Whatever ends the copy, @job->bytes is what has reached the destination from
 * the start of the first range without a gap, and has been flushed.
 *
 * Return: 0, or the exit status after a message.
 */
int engine_copy(struct job *job)
{
	double start = now_seconds();
	int rc;

	progress_start(job->opt, "copied", job->total);
	rc = copy_all(job);
	if (job->bytes && fdatasync(job->dst.fd)) {
		job->bytes = 0;
		job->offloaded = 0;
		rc = complain(EXIT_FAILURE, "%s: cannot flush: %s",
			      job->dst.path, strerror(errno));
	}
	if (!rc && job->opt->dry_run)
		rc = judge_dry_run(job);
	job->seconds = now_seconds() - start;
	progress_end();
	return rc;
}
