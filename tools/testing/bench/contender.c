// SPDX-License-Identifier: GPL-2.0
/*
 * The ways to copy that are compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/blk-copy.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define NVME_CMD_COPY	0x19
#define MAX_WORDS	64

/* NVM Command Set Specification 1.2, section 3.3.2: descriptor format 0h */
struct nvme_range {
	__u8		rsvd0[8];
	__u64	slba;
	__u16	nlb;
	__u8		rsvd18[14];
};

/**
 * contender_source - where a byte of the copy comes from
 * @c:		the contender
 * @pos:	offset from the start of the copy
 *
 * Return: offset on the source device.
 */
__u64 contender_source(const struct contender *c, __u64 pos)
{
	return c->soff + pos / c->range * c->stride + pos % c->range;
}

/**
 * contender_knob - set the limit of the device as the contender wants it
 * @c:		the contender; does nothing unless it names a knob
 * @normal:	set it as it was before
 *
 * Return: 0 or a negative errno.
 */
int contender_knob(const struct contender *c, bool normal)
{
	const char *text = normal ? c->knob_text : c->knob_value;
	int fd, err = 0;

	if (!c->knob)
		return 0;
	fd = open(c->knob, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void read_knob(struct contender *c)
{
	int fd = open(c->knob, O_RDONLY);
	ssize_t n = -1;

	if (fd >= 0)
		n = read(fd, c->knob_text, sizeof(c->knob_text) - 1);
	if (n < 0)
		die("%s: %s", c->knob, strerror(errno));
	close(fd);
}

/* ---------------------------------------------------------- one system call */

const __u32 path_flags[] = {
	[PATH_OFFLOAD]	= BLKCOPY_NO_EMULATION,
	[PATH_EMULATE]	= 0,
	[PATH_DRY]	= BLKCOPY_NO_EMULATION | BLKCOPY_DRY_RUN,
};

/**
 * contender_check - has a call copied all, in the way that it must?
 * @c:		the contender
 * @arg:	of a call that succeeded
 */
void contender_check(const struct contender *c, const struct blk_copy_arg *arg)
{
	if (arg->bytes_copied != (c->path == PATH_DRY ? 0 : c->call))
		die("%s: %llu of %llu bytes copied", c->name,
		    arg->bytes_copied, c->call);
	if (arg->bytes_offloaded != (c->path == PATH_EMULATE ? 0 : c->call))
		die("%s: %llu of %llu bytes offloaded", c->name,
		    arg->bytes_offloaded, c->call);
}

static void call_ioctl(struct contender *c, __u64 pos)
{
	unsigned int i, nr = c->call / c->range;
	struct blk_copy_range *ranges = c->list;
	struct blk_copy_arg arg = {
		.ranges		= (uintptr_t)ranges,
		.nr_ranges	= nr,
		.src_fd		= c->src_fd,
		.dst_offset	= c->doff + pos,
		.flags		= path_flags[c->path],
	};

	for (i = 0; i < nr; i++) {
		ranges[i].offset = contender_source(c, pos + i * c->range);
		ranges[i].length = c->range;
	}
	if (ioctl(c->dst_fd, BLKCOPY, &arg))
		die("%s: BLKCOPY: %s", c->name, strerror(errno));
	contender_check(c, &arg);
}

static void call_nvme(struct contender *c, __u64 pos)
{
	unsigned int i, nr = c->call / c->range;
	struct nvme_range *ranges = c->list;
	__u64 sdlba = (c->doff + pos) / c->ssize;
	struct nvme_passthru_cmd cmd = {
		.opcode		= NVME_CMD_COPY,
		.nsid		= c->nsid,
		.addr		= (uintptr_t)ranges,
		.data_len	= nr * sizeof(*ranges),
		.cdw10		= sdlba,
		.cdw11		= sdlba >> 32,
		.cdw12		= nr - 1,
	};
	int err;

	for (i = 0; i < nr; i++) {
		ranges[i].slba = contender_source(c, pos + i * c->range) /
			c->ssize;
		ranges[i].nlb = c->range / c->ssize - 1;
	}
	err = ioctl(c->dst_fd, NVME_IOCTL_IO_CMD, &cmd);
	if (err < 0)
		die("%s: NVME_IOCTL_IO_CMD: %s", c->name, strerror(errno));
	if (err)
		die("%s: Copy command: status 0x%x", c->name, err);
}

static void call_loop(struct contender *c, __u64 pos)
{
	ssize_t n = pread(c->src_fd, c->buf, c->call, contender_source(c, pos));

	if (n == (ssize_t)c->call)
		n = pwrite(c->dst_fd, c->buf, c->call, c->doff + pos);
	if (n != (ssize_t)c->call)
		die("%s: %s", c->name, n < 0 ? strerror(errno) : "short");
}

static void run_calls(struct contender *c,
		      void (*call)(struct contender *c, __u64 pos))
{
	__u64 pos;

	for (pos = 0; pos < c->len; pos += c->call) {
		__s64 start = c->latency ? clock_now() : 0;

		call(c, pos);
		if (!c->latency)
			continue;
		c->lat = grow(c->lat, c->nr_lat, sizeof(*c->lat));
		c->lat[c->nr_lat++] = clock_now() - start;
	}
}

static void run_program(struct contender *c, const char *out)
{
	posix_spawn_file_actions_t actions;
	int err, status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, out,
					 O_WRONLY | O_CREAT | O_TRUNC, 0644);
	posix_spawn_file_actions_adddup2(&actions, 1, 2);
	err = posix_spawnp(&pid, c->cmd[0], &actions, NULL, c->cmd, environ);
	if (err)
		die("%s: %s", c->cmd[0], strerror(err));
	if (waitpid(pid, &status, 0) != pid || status)
		die("%s: status 0x%x, see %s", c->name, status, out);
	posix_spawn_file_actions_destroy(&actions);
}

/**
 * contender_run - copy once, as often as one sample wants
 * @c:		the contender
 * @out:	file for what a program prints
 */
void contender_run(struct contender *c, const char *out)
{
	unsigned int i;

	for (i = 0; i < c->reps; i++) {
		switch (c->kind) {
		case KIND_IOCTL:
			run_calls(c, call_ioctl);
			break;
		case KIND_URING:
			uring_run(c);
			break;
		case KIND_NVME:
			run_calls(c, call_nvme);
			break;
		case KIND_LOOP:
			run_calls(c, call_loop);
			break;
		case KIND_EXEC:
			run_program(c, out);
			break;
		case KIND_IDLE:
			usleep(c->ms * 1000);
			break;
		}
	}
}

/* ------------------------------------------------------------------ parsing */

/* find_word: which of these a word is, @nr if none */
static unsigned int find_word(const char *word, const char *const *words,
			      unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr && strcmp(word, words[i]); i++)
		;
	return i;
}

static enum kind parse_kind(const char *word)
{
	static const char *const words[] = {
		[KIND_IOCTL]	= "ioctl",
		[KIND_URING]	= "uring",
		[KIND_NVME]	= "nvme",
		[KIND_LOOP]	= "loop",
		[KIND_EXEC]	= "exec",
		[KIND_IDLE]	= "idle",
	};
	const unsigned int nr = sizeof(words) / sizeof(*words);
	unsigned int i = find_word(word, words, nr);

	if (i < nr)
		return i;
	die("no kind of contender: %s", word);
}

static enum path parse_path(const char *word)
{
	static const char *const words[] = {
		[PATH_OFFLOAD]	= "offload",
		[PATH_EMULATE]	= "emulate",
		[PATH_DRY]	= "dry",
	};
	const unsigned int nr = sizeof(words) / sizeof(*words);
	unsigned int i = find_word(word, words, nr);

	if (i < nr)
		return i;
	die("no path: %s", word);
}

static char **split_words(char *text)
{
	char **words = calloc(MAX_WORDS + 1, sizeof(*words));
	unsigned int n = 0;
	char *word;

	if (!words)
		die("no memory");
	while ((word = strsep(&text, " "))) {
		if (n == MAX_WORDS)
			die("too many words");
		if (*word)
			words[n++] = word;
	}
	if (!n)
		die("exec without a command");
	return words;
}

static void parse_key(struct contender *c, const char *key, char *value)
{
	if (!strcmp(key, "src"))
		c->src = value;
	else if (!strcmp(key, "dst"))
		c->dst = value;
	else if (!strcmp(key, "knob"))
		c->knob = value;
	else if (!strcmp(key, "value"))
		c->knob_value = value;
	else if (!strcmp(key, "cmd"))
		c->cmd = split_words(value);
	else if (!strcmp(key, "path"))
		c->path = parse_path(value);
	else if (!strcmp(key, "soff"))
		c->soff = parse_size(value);
	else if (!strcmp(key, "doff"))
		c->doff = parse_size(value);
	else if (!strcmp(key, "len"))
		c->len = parse_size(value);
	else if (!strcmp(key, "call"))
		c->call = parse_size(value);
	else if (!strcmp(key, "range"))
		c->range = parse_size(value);
	else if (!strcmp(key, "stride"))
		c->stride = parse_size(value);
	else if (!strcmp(key, "reps"))
		c->reps = parse_size(value);
	else if (!strcmp(key, "depth"))
		c->depth = parse_size(value);
	else if (!strcmp(key, "ms"))
		c->ms = parse_size(value);
	else if (!strcmp(key, "fill"))
		c->fill = parse_size(value);
	else if (!strcmp(key, "latency"))
		c->latency = parse_size(value);
	else
		die("%s: no key %s", c->name, key);
}

static int open_device(const char *dev, int mode)
{
	int fd = open(dev, mode | O_DIRECT);

	if (fd < 0)
		die("%s: %s", dev, strerror(errno));
	return fd;
}

static void open_devices(struct contender *c)
{
	int id, ssize;

	if (!c->dst)
		die("%s: dst is missing", c->name);
	if (!c->src)
		c->src = c->dst;
	c->src_fd = open_device(c->src, O_RDONLY);
	c->dst_fd = open_device(c->dst, O_RDWR);
	if (ioctl(c->dst_fd, BLKSSZGET, &ssize))
		die("%s: %s", c->dst, strerror(errno));
	c->ssize = ssize;
	if (c->kind != KIND_NVME)
		return;
	id = ioctl(c->dst_fd, NVME_IOCTL_ID);
	if (id <= 0)
		die("%s: %s", c->dst, strerror(errno));
	c->nsid = id;
}

static void allocate(struct contender *c)
{
	if (posix_memalign(&c->buf, 4096, c->kind == KIND_LOOP ? c->call : 4096))
		die("no memory");
	/* Large enough for the ranges of either kind; in one page if possible. */
	if (posix_memalign(&c->list, 4096,
			   c->call / c->range * sizeof(struct nvme_range)))
		die("no memory");
	memset(c->list, 0, c->call / c->range * sizeof(struct nvme_range));
}

/**
 * contender_parse - make a contender of a word of the command line
 * @spec:	NAME:KIND[,KEY=VALUE]...; kept and altered
 *
 * A comma cannot be part of a value, except in the last one, cmd=.
 *
 * Return: the contender.
 */
struct contender *contender_parse(char *spec)
{
	struct contender *c = calloc(1, sizeof(*c));
	char *word, *key;

	if (!c)
		die("no memory");
	c->reps = 1;
	c->knob_value = "0";
	c->fill = -1;
	c->name = strsep(&spec, ":");
	if (!spec)
		die("%s: no kind", c->name);
	c->kind = parse_kind(strsep(&spec, ","));
	while (spec) {
		word = strncmp(spec, "cmd=", 4) ? strsep(&spec, ",") : spec;
		if (word == spec)
			spec = NULL;
		key = strsep(&word, "=");
		parse_key(c, key, word);
	}
	if (c->kind == KIND_EXEC && !c->cmd)
		die("%s: no cmd", c->name);
	if (c->knob)
		read_knob(c);
	if (c->kind == KIND_IDLE || !c->len)
		return c;
	if (!c->call)
		c->call = c->len;
	if (!c->range)
		c->range = c->call;
	if (!c->stride)
		c->stride = c->range;
	if (c->len % c->call || c->call % c->range)
		die("%s: sizes are no multiples of each other", c->name);
	open_devices(c);
	allocate(c);
	if (c->kind == KIND_URING)
		uring_setup(c);
	return c;
}
