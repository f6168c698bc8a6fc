// SPDX-License-Identifier: GPL-2.0
/*
 * What is copied, and whether it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define BUF_BYTES	(1024 * 1024)
#define WIPE_BYTE	0xa5

static void *buffer(void)
{
	void *buf;

	if (posix_memalign(&buf, 4096, BUF_BYTES))
		die("no memory");
	return buf;
}

static int open_direct(const char *dev, int mode)
{
	int fd = open(dev, mode | O_DIRECT);

	if (fd < 0)
		die("%s: %s", dev, strerror(errno));
	return fd;
}

static void read_all(int fd, void *buf, size_t len, __u64 off)
{
	ssize_t n = pread(fd, buf, len, off);

	if (n != (ssize_t)len)
		die("read %zu bytes at %llu: %s", len, off,
		    n < 0 ? strerror(errno) : "short");
}

static void write_all(int fd, const void *buf, size_t len, __u64 off)
{
	ssize_t n = pwrite(fd, buf, len, off);

	if (n != (ssize_t)len)
		die("write %zu bytes at %llu: %s", len, off,
		    n < 0 ? strerror(errno) : "short");
}

/**
 * data_fill - write data of which no two blocks are the same
 * @dev:	device
 * @off:	first byte
 * @len:	bytes, a multiple of the logical block size
 * @seed:	another seed makes other data
 */
void data_fill(const char *dev, __u64 off, __u64 len, __u64 seed)
{
	int fd = open_direct(dev, O_WRONLY);
	__u64 *buf = buffer();
	__u64 end = off + len;

	while (off < end) {
		size_t n = end - off < BUF_BYTES ? end - off : BUF_BYTES;
		size_t i;

		for (i = 0; i < n / 8; i++)
			buf[i] = (off / 8 + i + seed) * 0x9e3779b97f4a7c15ULL;
		write_all(fd, buf, n, off);
		off += n;
	}
	free(buf);
	close(fd);
}

/**
 * data_wipe - make sure that the destination is no copy before it is made
 * @c:	the contender
 */
void data_wipe(const struct contender *c)
{
	int fd = open_direct(c->dst, O_WRONLY);
	void *buf = buffer();
	__u64 pos;

	memset(buf, WIPE_BYTE, BUF_BYTES);
	for (pos = 0; pos < c->len; pos += BUF_BYTES)
		write_all(fd, buf, c->len - pos < BUF_BYTES ?
			  c->len - pos : BUF_BYTES, c->doff + pos);
	free(buf);
	close(fd);
}

/* As much of the source as lies together from @pos on */
static void read_source(const struct contender *c, int fd, char *buf,
			size_t len, __u64 pos)
{
	while (len) {
		__u64 left = c->range - pos % c->range;
		size_t n = left < len ? left : len;

		read_all(fd, buf, n, contender_source(c, pos));
		buf += n;
		pos += n;
		len -= n;
	}
}

/**
 * data_check - end the program unless the destination has the right data
 * @c:	the contender that has just run
 */
void data_check(const struct contender *c)
{
	int src = open_direct(c->src, O_RDONLY);
	int dst = open_direct(c->dst, O_RDONLY);
	char *want = buffer(), *got = buffer();
	__u64 pos;

	if (c->fill >= 0)
		memset(want, c->fill, BUF_BYTES);
	for (pos = 0; pos < c->len; pos += BUF_BYTES) {
		size_t n = c->len - pos < BUF_BYTES ? c->len - pos : BUF_BYTES;

		if (c->fill < 0)
			read_source(c, src, want, n, pos);
		read_all(dst, got, n, c->doff + pos);
		if (memcmp(want, got, n))
			die("%s: wrong data in %s from byte %llu on",
			    c->name, c->dst, c->doff + pos);
	}
	free(want);
	free(got);
	close(src);
	close(dst);
}
