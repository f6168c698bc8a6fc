// SPDX-License-Identifier: GPL-2.0
/*
 * Copies under memory mappings of the devices: one scenario per run.
 *
 * mapcopy [-d] SCENARIO DEVICE [SOURCE]
 *	-d: the descriptors of the copies are opened with O_DIRECT
 *	SOURCE: another device with the same bytes, perhaps over the same disk
 *
 * The device holds seed 1.  Each scenario copies 1 MiB, less a sector at either
 * end, from FROM to TO, and compares what the mapping shows and what is on the
 * medium.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/blk-copy.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "seeded.h"

#define MIB		(1024UL * 1024)
#define FROM		(1 * MIB)
#define TO		(8 * MIB)
#define LEN		(MIB - 2 * SECTOR)
#define ROUNDS		40
#define RACED		10	/* at least */
#define RACE_SECONDS	180	/* the debug kernel takes more than a minute */
#define OLD		1
#define NEW		5
#define OTHER		6

static int fd, src_fd;			/* for mappings */
static int direct_fd;			/* the medium of the destination */
static int copy_fd, copy_src_fd = -1;	/* for BLKCOPY */
static unsigned int flags;
static u64 offloaded;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(1);
}

static unsigned char *map_of(int of, u64 off)
{
	void *at = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, of, off);

	if (at == MAP_FAILED)
		die("mmap: %m");
	return at;
}

static unsigned char *map(u64 off)
{
	return map_of(fd, off);
}

static unsigned char *map_source(void)
{
	return map_of(src_fd, FROM);
}

/* What the medium holds, past the page cache.  Flushes it, so look last. */
static void read_medium(unsigned char *buf, u64 off)
{
	if (pread(direct_fd, buf, MIB, off) != MIB)
		die("direct read: %m");
}

static void write_sectors(unsigned char *at, u64 off, u64 len, u64 seed)
{
	u64 i;

	for (i = 0; i < len; i += SECTOR)
		make_sector((u64 *)(at + i), seed, (off + i) / SECTOR);
}

static void compare(const char *what, const unsigned char *at, u64 off, u64 len,
		    u64 seed)
{
	u64 i;

	for (i = 0; i < len; i += SECTOR)
		if (!same_sector(at + i, seed, (off + i) / SECTOR))
			die("%s: byte %llu should be that of %llu, seed %llu",
			    what, i, off + i, seed);
}

/* The MiB at TO: its two outer sectors, and what was copied between them */
static void compare_copied(const char *what, const unsigned char *at,
			   u64 edge_seed, u64 seed)
{
	compare(what, at, TO, SECTOR, edge_seed);
	compare(what, at + SECTOR, FROM + SECTOR, LEN, seed);
	compare(what, at + MIB - SECTOR, TO + MIB - SECTOR, SECTOR, edge_seed);
}

static int copy_from(u64 from)
{
	struct blk_copy_range range = { .offset = from, .length = LEN };
	struct blk_copy_arg arg = {
		.ranges = (uintptr_t)&range, .nr_ranges = 1,
		.src_fd = copy_src_fd,
		.dst_offset = TO + SECTOR, .flags = flags,
	};

	if (ioctl(copy_fd, BLKCOPY, &arg))
		return errno;
	if (arg.bytes_copied != LEN)
		die("%llu bytes copied", arg.bytes_copied);
	offloaded += arg.bytes_offloaded;
	return 0;
}

static void copy(void)
{
	int err = copy_from(FROM + SECTOR);

	if (err)
		die("BLKCOPY: %s", strerror(err));
}

/* Written through a mapping and nowhere else yet: it must be copied. */
static void source_dirty(void)
{
	unsigned char *from = map_source(), *buf = NULL;

	write_sectors(from, FROM, MIB, NEW);
	copy();
	if (posix_memalign((void **)&buf, 4096, MIB))
		die("memory");
	read_medium(buf, TO);
	compare_copied("medium", buf, OLD, NEW);
	compare("source", from, FROM, MIB, NEW);
}

/* Mapped and read before the copy: it must not show old data after it. */
static void destination_read(void)
{
	unsigned char *to = map(TO);

	compare("mapping before", to, TO, MIB, OLD);
	copy();
	compare_copied("mapping", to, OLD, OLD);
}

/* Dirty where the copy goes and around: the copy wins, but only in its range. */
static void destination_dirty(void)
{
	unsigned char *to = map(TO), *buf = NULL;

	write_sectors(to, TO, MIB, OTHER);
	copy();
	compare_copied("mapping", to, OTHER, OLD);
	if (msync(to, MIB, MS_SYNC))
		die("msync: %m");
	if (posix_memalign((void **)&buf, 4096, MIB))
		die("memory");
	read_medium(buf, TO);
	compare_copied("medium", buf, OTHER, OLD);
}

/* A copy that is refused, before and after a look at the devices */
static void destination_kept(void)
{
	unsigned char *to = map(TO), *buf = NULL;

	write_sectors(to, TO, MIB, OTHER);
	flags = BLKCOPY_NO_EMULATION;
	if (copy_from(FROM + SECTOR) != EOPNOTSUPP)
		die("the copy was not refused");
	if (copy_from(TO) != EINVAL)
		die("the overlap was not refused");
	compare("mapping", to, TO, MIB, OTHER);
	if (msync(to, MIB, MS_SYNC))
		die("msync: %m");
	if (posix_memalign((void **)&buf, 4096, MIB))
		die("memory");
	read_medium(buf, TO);
	compare("medium", buf, TO, MIB, OTHER);
}

struct toucher {
	uint64_t *word;
	const unsigned char *pages;
	int stop;
	uint64_t last;
	uint64_t sum;
};

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* Write one word over and over, and fault the other pages in. */
static void *touch(void *arg)
{
	struct toucher *t = arg;
	unsigned int i;

	while (!__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST)) {
		for (i = 0; i < MIB; i += 4096) {
			__atomic_store_n(t->word, ++t->last, __ATOMIC_SEQ_CST);
			t->sum += __atomic_load_n(t->pages + i, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

static void start(pthread_t *thread, struct toucher *t)
{
	if (pthread_create(thread, NULL, touch, t))
		die("thread");
	/* It has begun before there is anything to race with. */
	while (!load(t->word))
		sched_yield();
}

static void stop(pthread_t thread, struct toucher *t)
{
	__atomic_store_n(&t->stop, 1, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
}

/*
 * Copy until the word has changed during RACED of the copies.  How many copies
 * that takes is up to the scheduler of a guest with few CPUs.
 */
static void copy_while_touched(const struct toucher *t,
			       u64 (*source)(unsigned int round))
{
	unsigned int round, raced = 0;
	time_t end = time(NULL) + RACE_SECONDS;
	uint64_t before;
	int err;

	for (round = 0; round < ROUNDS || raced < RACED || round & 1; round++) {
		if (time(NULL) > end)
			die("written during only %u of %u copies", raced, round);
		before = load(t->word);
		err = copy_from(source(round));
		if (err)
			die("BLKCOPY: %s", strerror(err));
		raced += load(t->word) != before;
	}
}

static u64 two_sources(unsigned int round)
{
	return round & 1 ? FROM + SECTOR : 3 * MIB;
}

/*
 * Somebody writes to the sector in front of the copy, on the page that the copy
 * begins with, and reads all others, all the time.
 */
static void destination_busy(void)
{
	unsigned char *to = map(TO), *buf = NULL;
	struct toucher t = { .word = (uint64_t *)to, .pages = to };
	pthread_t thread;

	*t.word = 0;
	start(&thread, &t);
	copy_while_touched(&t, two_sources);
	stop(thread, &t);
	if (load(t.word) != t.last)
		die("the word is %llu, %llu was written last",
		    (u64)load(t.word), (u64)t.last);
	compare("mapping", to + SECTOR, FROM + SECTOR, LEN, OLD);
	if (msync(to, MIB, MS_SYNC))
		die("msync: %m");
	if (posix_memalign((void **)&buf, 4096, MIB))
		die("memory");
	read_medium(buf, TO);
	if (memcmp(buf, to, MIB))
		die("mapping and medium differ");
}

/* The source is written during the copies; the last copy sees the last data. */
static u64 one_source(unsigned int round)
{
	return FROM + SECTOR;
}

static void source_busy(void)
{
	unsigned char *from = map_source(), *buf = NULL;
	struct toucher t = { .word = (uint64_t *)(from + SECTOR), .pages = from };
	pthread_t thread;
	uint64_t word;

	*t.word = 0;
	start(&thread, &t);
	copy_while_touched(&t, one_source);
	stop(thread, &t);
	copy();
	if (posix_memalign((void **)&buf, 4096, MIB))
		die("memory");
	read_medium(buf, TO);
	memcpy(&word, buf + SECTOR, sizeof(word));
	if (word != t.last)
		die("the copy has %llu, %llu was written last", (u64)word,
		    (u64)t.last);
	if (memcmp(buf + SECTOR, from + SECTOR, LEN))
		die("source and destination differ");
}

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
	{ "source-dirty", source_dirty },
	{ "source-busy", source_busy },
	{ "destination-read", destination_read },
	{ "destination-dirty", destination_dirty },
	{ "destination-kept", destination_kept },
	{ "destination-busy", destination_busy },
};

static int open_dev(const char *path, int oflags)
{
	int ret = open(path, oflags);

	if (ret < 0)
		die("%s: %m", path);
	return ret;
}

static void open_all(const char *dst, const char *src, int direct)
{
	fd = open_dev(dst, O_RDWR);
	src_fd = fd;
	direct_fd = open_dev(dst, O_RDONLY | O_DIRECT);
	copy_fd = open_dev(dst, O_RDWR | direct);
	if (!src)
		return;
	src_fd = open_dev(src, O_RDWR);
	copy_src_fd = open_dev(src, O_RDONLY | direct);
}

int main(int argc, char **argv)
{
	int direct = argc > 1 && !strcmp(argv[1], "-d");
	unsigned int i;

	argc -= direct;
	argv += direct;
	if (argc != 3 && argc != 4)
		die("mapcopy [-d] SCENARIO DEVICE [SOURCE]");
	open_all(argv[2], argv[3], direct ? O_DIRECT : 0);
	for (i = 0; i < ARRAY_SIZE(scenarios); i++) {
		if (!strcmp(argv[1], scenarios[i].name)) {
			scenarios[i].run();
			printf("%s\n", offloaded ? "offloaded" : "emulated");
			return 0;
		}
	}
	die("no scenario %s", argv[1]);
}
