// SPDX-License-Identifier: GPL-2.0
/*
 * A stand-in for a kernel with BLKCOPY, for LD_PRELOAD: what blkcopy asks for
 * is written to a log and done by pread and pwrite, as the environment says.
 *
 * FAKE_LOG=file	one line per call
 * FAKE_ERRNO=n		every call fails with n, nothing copied
 * FAKE_FAIL=at:n	the call that reaches byte @at of the run fails with n
 *			behind the bytes in front of it
 * FAKE_SHORT=n		a call copies at most n bytes and succeeds
 * FAKE_EMULATE=n	n bytes of each call count as emulated
 * FAKE_CORRUPT=off	one bit of the destination is wrong
 * FAKE_DELAY=ms	a call takes that long
 * FAKE_FLUSH=n		fdatasync() fails with n
 * FAKE_SYS=dir		copy attributes of disks are below dir instead of /
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/blk-copy.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Copied by all calls before */
static unsigned long long total;

static unsigned long long env(const char *name, unsigned long long none)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : none;
}

static FILE *open_log(void)
{
	const char *name = getenv("FAKE_LOG");

	return name ? fopen(name, "ae") : NULL;
}

static void write_log(const struct blk_copy_arg *arg,
		      const struct blk_copy_range *r)
{
	FILE *f = open_log();
	unsigned int i;

	if (!f)
		return;
	fprintf(f, "%s flags=%u dst=%llu", arg->src_fd < 0 ? "same" : "other",
		arg->flags, arg->dst_offset);
	for (i = 0; i < arg->nr_ranges && i < 4; i++)
		fprintf(f, " %llu+%llu", r[i].offset, r[i].length);
	if (i < arg->nr_ranges)
		fprintf(f, " ... %u", arg->nr_ranges);
	fputc('\n', f);
	fclose(f);
}

static void copy_bytes(int dst, struct blk_copy_arg *arg,
		       const struct blk_copy_range *r, unsigned long long limit)
{
	int src = arg->src_fd < 0 ? dst : arg->src_fd;
	unsigned long long done, len;
	char buf[4096];
	unsigned int i;

	for (i = 0; i < arg->nr_ranges; i++) {
		for (done = 0; done < r[i].length; done += len) {
			len = r[i].length - done;
			if (len > sizeof(buf))
				len = sizeof(buf);
			if (len > limit - arg->bytes_copied)
				len = limit - arg->bytes_copied;
			if (!len)
				return;
			if (pread(src, buf, len, r[i].offset + done) != (ssize_t)len ||
			    pwrite(dst, buf, len, arg->dst_offset +
				   arg->bytes_copied) != (ssize_t)len)
				abort();
			arg->bytes_copied += len;
		}
	}
}

static void corrupt(int dst, const struct blk_copy_arg *arg)
{
	unsigned long long off = env("FAKE_CORRUPT", ~0ULL);
	char c;

	if (off < arg->dst_offset || off - arg->dst_offset >= arg->bytes_copied)
		return;
	if (pread(dst, &c, 1, off) != 1)
		abort();
	c ^= 4;
	if (pwrite(dst, &c, 1, off) != 1)
		abort();
}

static int fake_copy(int dst, struct blk_copy_arg *arg)
{
	const struct blk_copy_range *r = (void *)(uintptr_t)arg->ranges;
	unsigned long long ms = env("FAKE_DELAY", 0), emulated, limit;
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };
	const char *fail = getenv("FAKE_FAIL");
	int error = env("FAKE_ERRNO", 0);
	unsigned int i;

	write_log(arg, r);
	while (ms && nanosleep(&ts, &ts) && errno == EINTR)
		;
	if (error) {
		errno = error;
		return -1;
	}
	if (arg->flags & BLKCOPY_DRY_RUN) {
		for (i = 0; i < arg->nr_ranges; i++)
			arg->bytes_offloaded += r[i].length;
		arg->bytes_offloaded -= env("FAKE_EMULATE", 0);
		return 0;
	}
	limit = env("FAKE_SHORT", ~0ULL);
	if (fail && limit > env("FAKE_FAIL", 0) - total) {
		limit = env("FAKE_FAIL", 0) - total;
		error = atoi(strchr(fail, ':') + 1);
	}
	copy_bytes(dst, arg, r, limit);
	corrupt(dst, arg);
	emulated = env("FAKE_EMULATE", 0);
	if (emulated > arg->bytes_copied)
		emulated = arg->bytes_copied;
	arg->bytes_offloaded = arg->bytes_copied - emulated;
	total += arg->bytes_copied;
	/* The end of the call was reached before the byte that fails */
	if (!error || arg->bytes_copied < limit)
		return 0;
	errno = error;
	return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (request == BLKCOPY)
		return fake_copy(fd, arg);
	return syscall(SYS_ioctl, fd, request, arg);
}

int fdatasync(int fd)
{
	FILE *f = open_log();

	if (f) {
		fputs("flush\n", f);
		fclose(f);
	}
	errno = env("FAKE_FLUSH", 0);
	return errno ? -1 : syscall(SYS_fdatasync, fd);
}

typedef FILE *open_fn(const char *path, const char *mode);

static FILE *fake_open(const char *symbol, const char *path, const char *mode)
{
	open_fn *real = (open_fn *)dlsym(RTLD_NEXT, symbol);
	const char *dir = getenv("FAKE_SYS");
	char other[PATH_MAX];

	if (!dir || strncmp(path, "/sys/", 5) || !strstr(path, "/queue/"))
		return real(path, mode);
	snprintf(other, sizeof(other), "%s%s", dir, path);
	return real(other, mode);
}

/* Under both names: which one a program asks for depends on its offsets. */
FILE *fake_fopen(const char *path, const char *mode) __asm__("fopen");
FILE *fake_fopen64(const char *path, const char *mode) __asm__("fopen64");

FILE *fake_fopen(const char *path, const char *mode)
{
	return fake_open("fopen", path, mode);
}

FILE *fake_fopen64(const char *path, const char *mode)
{
	return fake_open("fopen64", path, mode);
}
