// SPDX-License-Identifier: GPL-2.0
/*
 * Fill devices with seeded data, and compare every byte of them.
 *
 * Each sector says where it was first written: its content is a function of a
 * seed and of its number.  So the content of a device after copies is known
 * without having kept any of it, and a wrong sector tells where it came from.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seeded.h"

#define BUF_BYTES	(1024 * 1024)
#define MAX_PIECES	131072
#define MAX_SHOWN	8

static const char usage[] =
"pattern fill  [-b] [-o OFF] [-l LEN] DEV SEED\n"
"	write sector n of SEED to sector n, everywhere or in [OFF, OFF+LEN)\n"
"pattern check [-b] [-o OFF] [-l LEN] DEV SEED [@DOFF:SEED[:[~]DONE] RANGE...]...\n"
"	compare: DEV holds SEED, but from DOFF on, one after the other, the\n"
"	RANGEs (OFFSET:LENGTH[*COUNT+STRIDE]) of a device filled with the second\n"
"	SEED.  With DONE only so many bytes of them; behind ~DONE, up to the\n"
"	end of the RANGEs, each sector may be old or new.  Later ones win.\n"
"\n"
"SEED 0 means zeroes.  -b uses the page cache instead of O_DIRECT.  Numbers may\n"
"end in s (sectors), K, M, G.  Exit status 1: they differ, 2: trouble.\n";

/* Sectors [dst, dst + nr) hold sectors [src, ...) of a seed */
struct piece {
	u64 dst;
	u64 nr;
	u64 src;
	u64 seed;
	int maybe;
};

static struct piece *pieces;
static unsigned int nr_pieces;
static unsigned char *buf;
static unsigned int shown;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "pattern: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void __attribute__((noreturn)) bad_usage(const char *what)
{
	fprintf(stderr, "pattern: what is '%s'?\n%s", what, usage);
	exit(2);
}

static void explain(const char *who, const u64 *w)
{
	u64 good[WORDS];

	make_sector(good, w[1], w[0]);
	if (!memcmp(good, w, SECTOR) && w[1])
		printf("%s sector %llu of seed %llu", who, w[0], w[1]);
	else if (!w[1] && !memcmp(good, w, SECTOR))
		printf("%s zeroes", who);
	else
		printf("%s something else (%016llx %016llx ...)", who, w[0], w[1]);
}

static void add_piece(u64 dst, u64 src, u64 len, u64 seed, int maybe)
{
	if (!len)
		return;
	if (nr_pieces == MAX_PIECES || (dst | src | len) % SECTOR)
		bad_usage("RANGE");
	pieces[nr_pieces++] = (struct piece) {
		.dst = dst / SECTOR, .src = src / SECTOR, .nr = len / SECTOR,
		.seed = seed, .maybe = maybe,
	};
}

struct overlay {
	u64 dst;
	u64 seed;
	u64 left;
	int maybe;
	int open;
};

static void parse_overlay(const char *word, struct overlay *o)
{
	const char *s = word + 1;

	o->dst = spec_number(&s);
	o->seed = spec_after(&s, ':');
	o->left = ~0ULL;
	o->maybe = 0;
	o->open = 1;
	if (s && *s == ':') {
		s++;
		if (*s == '~') {
			o->maybe = 1;
			s++;
		}
		o->left = spec_number(&s);
	}
	if (!s || *s)
		bad_usage(word);
}

static void parse_range(const char *word, struct overlay *o)
{
	struct spec_range r;
	u64 i, done;

	if (!o->open || spec_range(word, &r))
		bad_usage(word);
	for (i = 0; i < r.count; i++, r.off += r.stride) {
		done = r.len < o->left ? r.len : o->left;
		add_piece(o->dst, r.off, done, o->seed, 0);
		if (o->maybe)
			add_piece(o->dst + done, r.off + done, r.len - done,
				  o->seed, 1);
		o->dst += r.len;
		o->left -= done;
	}
}

/* Returns the last piece that says something about a sector, for how long */
static const struct piece *find_piece(u64 sector, u64 *run)
{
	unsigned int i = nr_pieces;

	while (i--) {
		const struct piece *p = &pieces[i];

		if (sector >= p->dst && sector < p->dst + p->nr) {
			u64 left = p->dst + p->nr - sector;

			if (left < *run)
				*run = left;
			return p;
		}
		if (p->dst > sector && p->dst - sector < *run)
			*run = p->dst - sector;
	}
	return NULL;
}

static void show(u64 sector, const u64 *have, u64 seed, u64 src)
{
	u64 good[WORDS];

	if (shown++ >= MAX_SHOWN)
		return;
	make_sector(good, seed, src);
	printf("# sector %llu (byte %llu): ", sector, sector * SECTOR);
	explain("is", have);
	explain(", should be", good);
	printf("\n");
}

/* What lies below an undecided piece: the pieces before it, or the base */
static int same_as_before(const u64 *have, const struct piece *above,
			  u64 sector, u64 seed)
{
	const struct piece *p = above;

	while (p-- > pieces)
		if (sector >= p->dst && sector < p->dst + p->nr)
			return same_sector(have, p->seed,
					   p->src + sector - p->dst);
	return same_sector(have, seed, sector);
}

static unsigned int check_run(u64 sector, u64 run, u64 seed,
			      const struct piece *p, const unsigned char *have)
{
	u64 src = p ? p->src + sector - p->dst : sector;
	unsigned int bad = 0;

	for (; run; run--, sector++, src++, have += SECTOR) {
		const u64 *w = (const u64 *)have;

		if (same_sector(w, p ? p->seed : seed, src))
			continue;
		if (p && p->maybe && same_as_before(w, p, sector, seed))
			continue;
		show(sector, w, p ? p->seed : seed, src);
		bad++;
	}
	return bad;
}

static u64 check(int fd, u64 off, u64 end, u64 seed)
{
	u64 bad = 0;

	while (off < end) {
		size_t want = end - off < BUF_BYTES ? end - off : BUF_BYTES;
		ssize_t got = pread(fd, buf, want, off);
		u64 sector = off / SECTOR, stop;

		if (got <= 0 || got % SECTOR) {
			if (got == 0)
				errno = ENODATA;
			die("read");
		}
		stop = sector + got / SECTOR;
		while (sector < stop) {
			u64 run = stop - sector;
			const struct piece *p = find_piece(sector, &run);

			bad += check_run(sector, run, seed, p,
					 buf + (sector * SECTOR - off));
			sector += run;
		}
		off += got;
	}
	return bad;
}

static void fill(int fd, u64 off, u64 end, u64 seed)
{
	while (off < end) {
		size_t len = end - off < BUF_BYTES ? end - off : BUF_BYTES;
		size_t i;

		for (i = 0; i < len; i += SECTOR)
			make_sector((u64 *)(buf + i), seed, (off + i) / SECTOR);
		if (pwrite(fd, buf, len, off) != (ssize_t)len)
			die("write");
		off += len;
	}
}

static u64 size_of(int fd)
{
	struct stat st;
	uint64_t size;

	if (!ioctl(fd, BLKGETSIZE64, &size))
		return size;
	if (fstat(fd, &st))
		die("stat");
	return st.st_size;
}

static u64 number(const char *s)
{
	const char *p = s;
	u64 n = spec_number(&p);

	if (!p || *p)
		bad_usage(s);
	return n;
}

static int run(int fd, int filling, u64 off, u64 end, u64 seed)
{
	u64 bad;

	if (filling) {
		fill(fd, off, end, seed);
		/* Errors of a cached write show up here. */
		if (close(fd))
			die("close");
		return 0;
	}
	bad = check(fd, off, end, seed);
	if (bad)
		printf("# %llu of %llu sectors are wrong\n", bad,
		       (end - off) / SECTOR);
	return !!bad;
}

int main(int argc, char **argv)
{
	struct overlay o = { .open = 0 };
	int filling, opt, fd, direct = O_DIRECT;
	u64 off = 0, len = ~0ULL, end;

	if (argc < 2)
		bad_usage("nothing");
	filling = !strcmp(argv[1], "fill");
	if (!filling && strcmp(argv[1], "check"))
		bad_usage(argv[1]);
	argv++;
	argc--;
	while ((opt = getopt(argc, argv, "+bo:l:")) != -1) {
		if (opt == 'b')
			direct = 0;
		else if (opt == 'o')
			off = number(optarg);
		else if (opt == 'l')
			len = number(optarg);
		else
			bad_usage(argv[optind - 1]);
	}
	if (argc - optind < 2 || (filling && argc - optind > 2))
		bad_usage("the number of words");

	pieces = calloc(MAX_PIECES, sizeof(*pieces));
	if (!pieces || posix_memalign((void **)&buf, 4096, BUF_BYTES))
		die("memory");
	for (opt = optind + 2; opt < argc; opt++) {
		if (argv[opt][0] == '@')
			parse_overlay(argv[opt], &o);
		else
			parse_range(argv[opt], &o);
	}

	fd = open(argv[optind], (filling ? O_WRONLY : O_RDONLY) | direct);
	if (fd < 0)
		die(argv[optind]);
	end = size_of(fd);
	if (off > end)
		bad_usage("OFF");
	if (len < end - off)
		end = off + len;
	return run(fd, filling, off, end, number(argv[optind + 1]));
}
