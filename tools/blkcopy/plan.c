// SPDX-License-Identifier: GPL-2.0
/*
 * From what the user wrote to ranges that fit, are aligned, do not overlap.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkcopy.h"

static int check_align(const struct dev *dev, const char *what, __u64 value)
{
	__u64 rest = value % dev->lbs;
	char below[32] = "";

	if (!rest)
		return 0;
	/* An offset may be 0, but not a length. */
	if (value > rest || strcmp(what, "length"))
		snprintf(below, sizeof(below), "%llu or ", value - rest);
	return complain(EXIT_FAILURE,
			"%s: %s %llu is not a multiple of the logical block size %u (next: %s%llu)",
			dev->path, what, value, dev->lbs, below,
			value - rest + dev->lbs);
}

static int check_fit(const struct dev *dev, const char *what, __u64 off,
		     __u64 len)
{
	if (off <= dev->size && len <= dev->size - off)
		return 0;
	return complain(EXIT_FAILURE,
			"%s: %s of %llu bytes at %llu goes past the end, the device has %llu bytes",
			dev->path, what, len, off, dev->size);
}

static int check_range(const struct job *job, const struct range *r)
{
	if (check_fit(&job->src, "source range", r->src, r->len) ||
	    check_fit(&job->dst, "destination range", r->dst, r->len) ||
	    check_align(&job->src, "source offset", r->src) ||
	    check_align(&job->dst, "destination offset", r->dst) ||
	    check_align(&job->src, "length", r->len) ||
	    check_align(&job->dst, "length", r->len))
		return EXIT_FAILURE;
	return 0;
}

/* Without -r: one range from the two arguments */
static int plan_one(struct job *job, const struct dev_arg *src,
		    const struct dev_arg *dst)
{
	struct range *r = job->ranges;

	r->src = src->off;
	r->dst = dst->off;
	if (src->has_len) {
		r->len = src->len;
	} else if (src->off < job->src.size) {
		r->len = job->src.size - src->off;
	} else {
		return complain(EXIT_FAILURE,
				"%s: offset %llu leaves nothing to copy, the device has %llu bytes",
				job->src.path, src->off, job->src.size);
	}
	job->nr = 1;
	return check_range(job, r);
}

/* With -r: fill in what was left out */
static int plan_many(struct job *job)
{
	const struct options *opt = job->opt;
	const struct range_arg *arg;
	struct range *r;
	__u64 src = 0, dst = 0;
	size_t i;

	for (i = 0; i < opt->nr_ranges; i++) {
		arg = &opt->ranges[i];
		r = &job->ranges[i];
		*r = arg->r;
		if (arg->no_src)
			r->src = src;
		if (arg->no_dst)
			r->dst = dst;
		if (arg->no_len && r->src >= job->src.size)
			return complain(EXIT_FAILURE,
					"range '%s': nothing is left of %s to copy",
					arg->text, job->src.path);
		if (arg->no_len)
			r->len = job->src.size - r->src;
		if (check_range(job, r))
			return EXIT_FAILURE;
		src = r->src + r->len;
		dst = r->dst + r->len;
	}
	job->nr = i;
	return 0;
}

static int by_destination(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->dst < y->dst ? -1 : x->dst > y->dst;
}

/* The first of the ranges sorted by destination that ends behind @off */
static const struct range *first_behind(const struct range *v, size_t nr,
					__u64 off)
{
	size_t lo = 0, hi = nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (v[mid].dst + v[mid].len > off)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < nr ? &v[lo] : NULL;
}

static int complain_overlap(const struct job *job, const char *path,
			    __u64 off, __u64 len,
			    const struct range *hit)
{
	return complain(EXIT_FAILURE,
			"%s: %llu bytes at %llu overlap the destination range of %llu bytes at %llu on %s",
			path, len, off, hit->len, hit->dst - job->dst.start,
			job->dst.path);
}

/* @sorted: by destination, which counts from the start of the disk here */
static int check_sorted(const struct job *job, const struct range *sorted)
{
	const struct range *r, *hit;
	__u64 src;
	size_t i;

	for (i = 1; i < job->nr; i++) {
		r = &sorted[i];
		if (r->dst - sorted[i - 1].dst < sorted[i - 1].len)
			return complain_overlap(job, job->dst.path,
						r->dst - job->dst.start, r->len,
						&sorted[i - 1]);
	}
	if (job->src.disk != job->dst.disk)
		return 0;
	for (i = 0; i < job->nr; i++) {
		r = &job->ranges[i];
		src = r->src + job->src.start;
		hit = first_behind(sorted, job->nr, src);
		if (hit && hit->dst < src + r->len)
			return complain_overlap(job, job->src.path, r->src,
						r->len, hit);
	}
	return 0;
}

/*
 * Nothing may be read that the same run writes, and nothing be written twice:
 * the result would depend on the order in which devices work.
 */
static int check_overlap(const struct job *job)
{
	struct range *sorted = malloc(job->nr * sizeof(*sorted));
	size_t i;
	int rc;

	if (!sorted)
		return complain(EXIT_FAILURE, "out of memory");
	memcpy(sorted, job->ranges, job->nr * sizeof(*sorted));
	for (i = 0; i < job->nr; i++)
		sorted[i].dst += job->dst.start;
	qsort(sorted, job->nr, sizeof(*sorted), by_destination);
	rc = check_sorted(job, sorted);
	free(sorted);
	return rc;
}

/**
 * plan_ranges - fill in the ranges of a job whose devices are open
 * @job: gets ranges, their number and their sum
 * @src: the source argument
 * @dst: the destination argument
 *
 * Return: 0, or the exit status after a message.
 */
int plan_ranges(struct job *job, const struct dev_arg *src,
		const struct dev_arg *dst)
{
	size_t i;

	job->ranges = calloc(job->opt->nr_ranges + 1, sizeof(*job->ranges));
	if (!job->ranges)
		return complain(EXIT_FAILURE, "out of memory");
	if (job->opt->nr_ranges ? plan_many(job) : plan_one(job, src, dst))
		return EXIT_FAILURE;
	for (i = 0; i < job->nr; i++) {
		if (__builtin_add_overflow(job->total, job->ranges[i].len,
					   &job->total))
			return complain(EXIT_FAILURE, "the ranges are too long");
	}
	return check_overlap(job);
}
