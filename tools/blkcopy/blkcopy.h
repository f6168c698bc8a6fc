/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of blkcopy(8) share.
 */
#ifndef BLKCOPY_H
#define BLKCOPY_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct json_object;

#define EXIT_NOTSUPP	2

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PRINTF(a, b)	format(printf, a, b)
#define __printf(a, b)	__attribute__((PRINTF(a, b)))

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)

/* Bytes of one call: often enough for progress and for SIGINT */
#define STEP_DEFAULT	(64 * MIB)
/* Bytes of one read or write of our own */
#define BUF_BYTES	(4 * MIB)
/* Most calls in flight */
#define DEPTH_MAX	1024

/* One contiguous piece of the copy, offsets on the devices as opened */
struct range {
	__u64	src;
	__u64	dst;
	__u64	len;
};

/* A piece as the user wrote it */
struct range_arg {
	struct range	r;
	bool		no_src;		/* where the piece before it ended */
	bool		no_dst;
	bool		no_len;		/* the rest of the source */
	const char	*text;
};

/* SRC[:off[:len]] or DST[:off] */
struct dev_arg {
	char		*path;
	__u64	off;
	__u64	len;
	bool		has_off;
	bool		has_len;
};

struct dev {
	const char	*path;
	int		fd;
	dev_t		rdev;
	dev_t		disk;		/* rdev, of a partition that of its disk */
	__u64	start;		/* bytes from the start of @disk */
	__u64	size;		/* bytes */
	unsigned int	lbs;		/* logical block size */
};

enum progress_when {
	PROGRESS_AUTO,
	PROGRESS_ALWAYS,
	PROGRESS_NEVER,
};

struct options {
	bool			bytes;
	bool			dry_run;
	bool			force;
	bool			info;
	bool			json;
	bool			no_emulation;
	bool			quiet;
	bool			verbose;
	bool			verify;
	enum progress_when	progress;
	__u64		step;
	unsigned int		depth;		/* calls in flight; 0 = not said */
	const char		*sysroot;
	struct range_arg	*ranges;
	size_t			nr_ranges;
};

/* Room for what is against offload between two disks */
#define PAIR_TEXT	1024

/* What two disks say about copies from one to the other */
enum pair {
	PAIR_UNKNOWN,		/* the kernel does not say */
	PAIR_YES,
	PAIR_PARTS,		/* pieces of a stack may be offloaded */
	PAIR_NO,
};

struct job {
	const struct options	*opt;
	struct dev		src;
	struct dev		dst;
	bool			same;		/* src and dst are one device */
	struct range		*ranges;
	size_t			nr;
	__u64		total;
	__u64		step;		/* bytes of one call */

	/* results */
	__u64		bytes;		/* proven, without a gap */
	__u64		asked;		/* answered by a dry run */
	__u64		offloaded;
	__u64		calls;
	double			seconds;
	bool			by_hand;	/* read and written by us */
	bool			by_ring;	/* by io_uring */
	bool			verified;
};

/* parse.c */
int parse_size(const char *str, __u64 *res);
int parse_range(const char *str, struct range_arg *res);
int parse_dev(const char *str, bool with_len, struct dev_arg *res);

/* device.c */
int dev_open_source(struct dev *dev, const char *path);
int dev_open_destination(struct dev *dev, const char *path, bool claim);
bool dev_names_same(const char *a, const char *b);
int dev_refuse_signature(const struct dev *dev);
int dev_set_direct(const struct dev *dev);
int complain_type(const char *path, mode_t mode);
int complain_missing(const char *path);
bool dev_kernel_has_copy(const struct dev *dev);

/* plan.c */
int plan_ranges(struct job *job, const struct dev_arg *src,
		const struct dev_arg *dst);

/* engine.c */
int engine_copy(struct job *job);

/* verify.c */
int verify_copy(struct job *job);

/* io.c */
void *io_buffer(void);
ssize_t io_read(const struct dev *dev, void *buf, size_t len, __u64 off);
ssize_t io_write(const struct dev *dev, const void *buf, size_t len,
		 __u64 off);

/* info.c */
int info_print(const struct options *opt, char **devs, int nr);
void info_print_error(int status);

/* pair.c */
enum pair pair_explain(const char *src, const char *src_queue, const char *dst,
		       const char *dst_queue, char *why, size_t len);
enum pair pair_explain_devs(const struct dev *src, const struct dev *dst,
			    char *why, size_t len);

/* progress.c */
void progress_start(const struct options *opt, const char *what,
		    __u64 total);
void progress_update(__u64 done);
void progress_end(void);
void obey_signals(void);
bool stop_requested(void);

/* report.c */
double now_seconds(void);
char *size_text(char *buf, size_t len, __u64 bytes);
void print_json(struct json_object *obj);
int complain(int status, const char *fmt, ...)
	__printf(2, 3);
void note(const struct options *opt, const char *fmt, ...)
	__printf(2, 3);
void report_text(const struct job *job, int status);
void report_json(const struct job *job, int status);
const char *report_error(void);

#endif /* BLKCOPY_H */
