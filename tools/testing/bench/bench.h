/* SPDX-License-Identifier: GPL-2.0 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/blk-copy.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

/**
 * struct sample - what one run of a contender has cost
 * @wall:	nanoseconds of time
 * @cpu:	nanoseconds that the virtual CPUs ran, as the host counts them
 * @wait:	nanoseconds that they would have run, had the host had a CPU free
 * @busy:	nanoseconds that the guest's CPUs were not idle, as the guest
 *		counts them; coarse
 */
struct sample {
	__s64	wall;
	__s64	cpu;
	__s64	wait;
	__s64	busy;
};

enum kind {
	KIND_IOCTL,	/* BLKCOPY */
	KIND_URING,	/* the io_uring command, many in flight */
	KIND_NVME,	/* the same Copy command by passthrough */
	KIND_LOOP,	/* pread, pwrite, one at a time */
	KIND_EXEC,	/* another program */
	KIND_IDLE,	/* nothing: what measuring and being there costs */
};

enum path {
	PATH_OFFLOAD,	/* all of it must be offloaded */
	PATH_EMULATE,	/* none of it may be */
	PATH_DRY,	/* nothing is moved, the sources are looked up */
};

/**
 * struct contender - one way to copy
 * @name:	how the results call it
 * @kind:	how it copies
 * @path:	of KIND_IOCTL and KIND_URING
 * @src:	device to read from
 * @dst:	device to write to
 * @knob:	copy_max_bytes of the device
 * @knob_value:	its value while this contender runs
 * @knob_text:	what it was before
 * @cmd:	words of KIND_EXEC
 * @soff:	first byte of the source
 * @doff:	first byte of the destination
 * @len:	bytes per run
 * @call:	bytes per system call
 * @range:	bytes per source range, @call bytes have one or more of these
 * @stride:	from one source range to the next
 * @reps:	runs per sample
 * @depth:	of KIND_URING: calls in flight
 * @ms:		of KIND_IDLE: milliseconds of sleep
 * @fill:	verify that the destination is full of this byte, -1 = verify
 *		that it is a copy of the source
 * @latency:	keep the time of each call
 * @src_fd:	@src, open
 * @dst_fd:	@dst, open
 * @ssize:	bytes per logical block of @dst
 * @nsid:	namespace of @dst, for KIND_NVME
 * @buf:	of KIND_LOOP
 * @list:	source ranges of one call
 * @ring:	of KIND_URING
 * @samples:	results
 * @nr_samples:	elements of @samples
 * @lat:	nanoseconds of single calls
 * @nr_lat:	elements of @lat
 * @ips:	instruction pointers seen by the profiler
 * @nr_ips:	elements of @ips
 */
struct contender {
	const char	*name;
	enum kind	kind;
	enum path	path;
	const char	*src;
	const char	*dst;
	const char	*knob;
	const char	*knob_value;
	char		knob_text[32];
	char		**cmd;
	__u64	soff;
	__u64	doff;
	__u64	len;
	__u64	call;
	__u64	range;
	__u64	stride;
	unsigned int	reps;
	unsigned int	depth;
	unsigned int	ms;
	int		fill;
	bool		latency;

	int		src_fd;
	int		dst_fd;
	unsigned int	ssize;
	unsigned int	nsid;
	void		*buf;
	void		*list;
	struct uring	*ring;

	struct sample	*samples;
	size_t		nr_samples;
	__u32	*lat;
	size_t		nr_lat;
	__u64	*ips;
	size_t		nr_ips;
};

/* bench.c */
void die(const char *fmt, ...) __noreturn __printf(1, 2);
void *grow(void *array, size_t nr, size_t size);
__u64 parse_size(const char *text);

/* clock.c */
void clock_setup(char *files);
__s64 clock_now(void);
void clock_start(struct sample *s);
void clock_stop(struct sample *s);
unsigned int clock_tsc_khz(void);
__s64 clock_syscall(void);

/* contender.c */
struct contender *contender_parse(char *spec);
void contender_run(struct contender *c, const char *out);
__u64 contender_source(const struct contender *c, __u64 pos);
extern const __u32 path_flags[];
void contender_check(const struct contender *c, const struct blk_copy_arg *arg);
int contender_knob(const struct contender *c, bool normal);

/* uring.c */
void uring_setup(struct contender *c);
void uring_run(struct contender *c);

/* data.c */
void data_fill(const char *dev, __u64 off, __u64 len, __u64 seed);
void data_wipe(const struct contender *c);
void data_check(const struct contender *c);

/* profile.c */
void profile_setup(unsigned int hertz);
void profile_start(void);
void profile_stop(struct contender *c);

#endif /* BENCH_H */
