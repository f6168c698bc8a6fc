// SPDX-License-Identifier: GPL-2.0
/*
 * Reads both sides back, past the page cache, and compares.
 */
#include <stdlib.h>
#include <string.h>

#include "blkcopy.h"

static int complain_differ(const struct job *job, const struct range *r,
			   __u64 off, const char *a, const char *b)
{
	size_t i = 0;

	while (a[i] == b[i])
		i++;
	off += i;
	return complain(EXIT_FAILURE,
			"%s at %llu and %s at %llu differ",
			job->src.path, r->src + off, job->dst.path,
			r->dst + off);
}

static int verify_range(const struct job *job, const struct range *r,
			__u64 before, char *a, char *b)
{
	__u64 off;
	size_t len;

	for (off = 0; off < r->len; off += len) {
		if (stop_requested())
			return complain(EXIT_FAILURE,
					"interrupted while verifying");
		len = r->len - off < BUF_BYTES ? r->len - off : BUF_BYTES;
		if (io_read(&job->src, a, len, r->src + off) != (ssize_t)len ||
		    io_read(&job->dst, b, len, r->dst + off) != (ssize_t)len)
			return EXIT_FAILURE;
		if (memcmp(a, b, len))
			return complain_differ(job, r, off, a, b);
		progress_update(before + off + len);
	}
	return 0;
}

/**
 * verify_copy - compare source and destination of a finished copy
 * @job: the copy
 *
 * Return: 0, or the exit status after a message.
 */
int verify_copy(struct job *job)
{
	char *a = io_buffer(), *b = io_buffer();
	__u64 before = 0;
	int rc = EXIT_FAILURE;
	size_t i;

	if (!a || !b || dev_set_direct(&job->src) || dev_set_direct(&job->dst))
		goto out_free;
	progress_start(job->opt, "verified", job->total);
	rc = 0;
	for (i = 0; i < job->nr && !rc; i++) {
		rc = verify_range(job, &job->ranges[i], before, a, b);
		before += job->ranges[i].len;
	}
	progress_end();
	job->verified = !rc;
out_free:
	free(a);
	free(b);
	return rc;
}
