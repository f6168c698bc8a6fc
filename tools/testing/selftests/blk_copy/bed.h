/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs that break things have in common: files of sysfs, seeded
 * numbers, direct I/O, BLKCOPY, and device-mapper without a process per call.
 */
#ifndef BLK_COPY_BED_H
#define BLK_COPY_BED_H

#include <errno.h>
#include <fcntl.h>
#include <linux/blk-copy.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef unsigned int u32;

#define SECTOR		512
#define MIB		(1024 * 1024ULL)
#define IO_BYTES	MIB
#define COUNTERS	"/sys/kernel/debug/blk_copy/counters"
#define PAUSE_MS	"/sys/kernel/debug/blk_copy/pause_ms"
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define __noreturn	__attribute__((__noreturn__))
#define __printf(a, b)	__attribute__((__format__(printf, a, b)))

#define min(x, y) ({			\
	__typeof__(x) _x = (x);		\
	__typeof__(y) _y = (y);		\
	_x < _y ? _x : _y; })
#define max(x, y) ({			\
	__typeof__(x) _x = (x);		\
	__typeof__(y) _y = (y);		\
	_x > _y ? _x : _y; })

/* Called before the end, also of a failure: the program sets it. */
static void (*bed_cleanup)(void);

static inline void __noreturn __printf(1, 2)
die(const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf(" (last errno: %s)\n", strerror(err));
	fflush(stdout);
	if (bed_cleanup)
		bed_cleanup();
	exit(2);
}

static inline void sleep_us(u64 us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

static inline u64 now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* -------------------------------------------------- small text files */

/* Returns the length, or -1; the text ends in 0. */
static inline int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	buf[n] = 0;
	return n;
}

/* Returns 0 or a negative errno. */
static inline int __printf(2, 3)
write_text(const char *path, const char *fmt, ...)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err = 0, n;
	char buf[256];
	va_list ap;

	if (fd < 0)
		return -errno;
	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (write(fd, buf, n) != n)
		err = -errno;
	close(fd);
	return err;
}

static inline u64 read_number(const char *path)
{
	char buf[64];

	if (read_text(path, buf, sizeof(buf)) <= 0)
		die("read %s", path);
	return strtoull(buf, NULL, 0);
}

static inline int find_field(const char *text, const char *name, u64 *value)
{
	size_t len = strlen(name);

	while (text && *text) {
		if (!strncmp(text, name, len) && text[len] == ' ') {
			*value = strtoull(text + len, NULL, 10);
			return 0;
		}
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return -1;
}

/* A line "name value" of a file of such lines */
static inline u64 read_field(const char *path, const char *name)
{
	char buf[1024];
	u64 value;

	if (read_text(path, buf, sizeof(buf)) <= 0 ||
	    find_field(buf, name, &value))
		die("no %s in %s", name, path);
	return value;
}

static inline u64 counter(const char *name)
{
	return read_field(COUNTERS, name);
}

static inline void set_pause(unsigned int ms)
{
	if (write_text(PAUSE_MS, "%u", ms))
		die("set " PAUSE_MS);
}

/* Everything that copies hold while they run must be back. */
static inline int check_gauges(void)
{
	static const char *const gauges[] = {
		"outs_inflight", "emulation_bios_inflight", "emulation_bytes",
	};
	unsigned int i;
	int bad = 0;

	for (i = 0; i < ARRAY_SIZE(gauges); i++) {
		u64 n = counter(gauges[i]);

		if (n) {
			printf("# %s is %llu, and nothing runs\n", gauges[i], n);
			bad = 1;
		}
	}
	return bad;
}

/* ----------------------------------------------------------- numbers */

struct rng {
	u64 s;
};

/* splitmix64 */
static inline u64 rng_next(struct rng *r)
{
	u64 z = r->s += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static inline u64 rng_below(struct rng *r, u64 n)
{
	return rng_next(r) % n;
}

static inline u64 rng_range(struct rng *r, u64 lo, u64 hi)
{
	return lo + rng_below(r, hi - lo + 1);
}

static inline int rng_percent(struct rng *r, unsigned int n)
{
	return rng_below(r, 100) < n;
}

/* As many small as large ones */
static inline u64 rng_log(struct rng *r, u64 lo, u64 hi)
{
	unsigned int bits = 0;

	while (lo << bits < hi)
		bits++;
	hi = min(hi, lo << rng_range(r, 0, bits));
	return rng_range(r, lo, hi);
}

static inline void rng_fill(struct rng *r, void *buf, size_t len)
{
	u64 *w = buf, x = rng_next(r);
	size_t i;

	for (i = 0; i < len / sizeof(*w); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		w[i] = x;
	}
}

/* ------------------------------------------------------- devices, I/O */

static inline void *alloc_direct(size_t len)
{
	void *p;

	if (posix_memalign(&p, 4096, len))
		die("no memory for %zu bytes", len);
	memset(p, 0, len);
	return p;
}

static inline int open_dev(const char *path)
{
	int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		die("open %s", path);
	return fd;
}

static inline void write_dev(int fd, const void *buf, size_t len, u64 off)
{
	while (len) {
		size_t n = min(len, IO_BYTES);

		if (pwrite(fd, buf, n, off) != (ssize_t)n)
			die("write %zu bytes at %llu of descriptor %d", n, off, fd);
		buf += n;
		off += n;
		len -= n;
	}
}

static inline void read_dev(int fd, void *buf, size_t len, u64 off)
{
	while (len) {
		size_t n = min(len, IO_BYTES);

		if (pread(fd, buf, n, off) != (ssize_t)n)
			die("read %zu bytes at %llu of descriptor %d", n, off, fd);
		buf += n;
		off += n;
		len -= n;
	}
}

/* Returns 0 or a negative errno; what it copied also if it fails. */
static inline int blkcopy(int dst, u64 dst_off, int src,
			  const struct blk_copy_range *ranges, u32 nr,
			  u32 flags, struct blk_copy_arg *result)
{
	struct blk_copy_arg arg = {
		.ranges		= (uintptr_t)ranges,
		.nr_ranges	= nr,
		.src_fd		= src,
		.dst_offset	= dst_off,
		.flags		= flags,
	};
	int err = 0;

	if (ioctl(dst, BLKCOPY, &arg))
		err = -errno;
	*result = arg;
	return err;
}

/* ----------------------------------------------------- device-mapper */

#define DM_BUF_BYTES	(256 * 1024)

struct dm_call {
	struct dm_ioctl	io;
	char		data[];
};

static inline int dm_control(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("open /dev/mapper/control");
	return fd;
}

static inline void dm_fill(struct dm_call *c, const char *name, u32 flags)
{
	memset(&c->io, 0, sizeof(c->io));
	c->io.version[0] = DM_VERSION_MAJOR;
	c->io.data_size = sizeof(c->io);
	c->io.data_start = offsetof(struct dm_call, data);
	c->io.flags = flags;
	snprintf(c->io.name, sizeof(c->io.name), "%s", name);
}

/* Returns 0 or a negative errno. */
static inline int dm_simple(unsigned long cmd, const char *name, u32 flags,
			    dev_t *dev)
{
	struct dm_call c;

	dm_fill(&c, name, flags);
	if (ioctl(dm_control(), cmd, &c))
		return -errno;
	if (dev)
		*dev = c.io.dev;
	return 0;
}

static inline char *dm_add_target(struct dm_call *c, char *p, const char *line,
				  size_t len)
{
	struct dm_target_spec *spec = (void *)p;
	char type[16], *params = p + sizeof(*spec);
	size_t room = (char *)c + DM_BUF_BYTES - params;
	u64 start, sectors;
	int used;

	memset(spec, 0, sizeof(*spec));
	if (room < len + 64 ||
	    sscanf(line, "%llu %llu %15s %n", &start, &sectors, type, &used) != 3)
		die("bad or too long table: %.60s", line);
	spec->sector_start = start;
	spec->length = sectors;
	memcpy(spec->target_type, type, sizeof(type));
	memcpy(params, line + used, len - used);
	params[len - used] = 0;
	p = params + (len - used + 8) / 8 * 8;
	spec->next = p - (char *)spec;
	c->io.target_count++;
	return p;
}

/* @table: lines "start length type arguments" as for dmsetup */
static inline int dm_load(const char *name, const char *table)
{
	struct dm_call *c = malloc(DM_BUF_BYTES);
	char *p = c->data;
	int err;

	dm_fill(c, name, 0);
	while (*table) {
		size_t len = strcspn(table, "\n");

		p = dm_add_target(c, p, table, len);
		table += len + (table[len] == '\n');
	}
	c->io.data_size = p - (char *)c;
	err = ioctl(dm_control(), DM_TABLE_LOAD, c) ? -errno : 0;
	free(c);
	return err;
}

/* @flags: DM_NOFLUSH_FLAG, DM_SKIP_LOCKFS_FLAG */
static inline int dm_suspend(const char *name, u32 flags)
{
	return dm_simple(DM_DEV_SUSPEND, name, DM_SUSPEND_FLAG | flags, NULL);
}

static inline int dm_resume(const char *name)
{
	return dm_simple(DM_DEV_SUSPEND, name, 0, NULL);
}

static inline int dm_remove(const char *name)
{
	return dm_simple(DM_DEV_REMOVE, name, 0, NULL);
}

/* Its node is @path, "/dev/dm-N". */
static inline void dm_create(const char *name, const char *table, char *path)
{
	dev_t dev;
	int err = dm_simple(DM_DEV_CREATE, name, 0, &dev);

	if (!err) {
		err = dm_load(name, table);
		if (!err)
			err = dm_resume(name);
		if (err)
			dm_remove(name);
	}
	errno = -err;
	if (err)
		die("make dm device %s", name);
	sprintf(path, "/dev/dm-%u", minor(dev));
}

static inline void dm_reload(const char *name, const char *table)
{
	int err = dm_load(name, table);

	if (!err)
		err = dm_suspend(name, 0);
	if (!err)
		err = dm_resume(name);
	errno = -err;
	if (err)
		die("reload dm device %s", name);
}

#endif /* BLK_COPY_BED_H */
