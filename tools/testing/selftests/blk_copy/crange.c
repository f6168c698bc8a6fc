// SPDX-License-Identifier: GPL-2.0
/*
 * copy_file_range() between block devices: one call and what came of it, or many
 * random ones against a model that knows every byte.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "bed.h"
#include "spec.h"

static const char usage[] =
"crange [OPTION...] SRC OFF DST OFF LENGTH\n"
"  -M MODE	how SRC is opened: r (default), w, d (O_DIRECT), p (O_PATH)\n"
"  -m MODE	how DST is opened: w (default), r, d, a (O_APPEND), s (O_SYNC)\n"
"  -f N		flags\n"
"  -p		the offsets are positions of the files; they are printed, too\n"
"  -i MS	a signal that is caught comes after so long\n"
"		Prints the bytes copied, or the name of the error.\n"
"\n"
"crange -r SEED COUNT DEV...\n"
"	random calls between and within devices that share no bytes.  Devices of one\n"
"	disk stand next to each other, with '+' before all but the first; '-' stands\n"
"	before one that cannot copy.  Prints what was hit, and the bytes of whole\n"
"	blocks that a disk can copy by itself.\n";

static void __noreturn bad_usage(void)
{
	fputs(usage, stdout);
	exit(2);
}

static u64 number(const char *s)
{
	int minus = *s == '-';
	const char *p = s + minus;
	u64 n = spec_number(&p);

	if (!p || *p)
		bad_usage();
	return minus ? -n : n;
}

/* Not that of the library, which older ones do by reading and writing */
static long copy_range(int src, u64 *src_off, int dst, u64 *dst_off, size_t len,
		       unsigned int flags)
{
	long ret = syscall(SYS_copy_file_range, src, src_off, dst, dst_off, len,
			   flags);

	return ret < 0 ? -errno : ret;
}

/* ------------------------------------------------------------------ one call */

static int open_as(const char *path, char mode)
{
	static const struct {
		char mode;
		int flags;
	} modes[] = {
		{ 'r', O_RDONLY }, { 'w', O_WRONLY }, { 'd', O_RDWR | O_DIRECT },
		{ 'p', O_PATH }, { 'a', O_RDWR | O_APPEND }, { 's', O_RDWR | O_SYNC },
	};
	unsigned int i;
	int fd = -1;

	for (i = 0; i < ARRAY_SIZE(modes); i++)
		if (modes[i].mode == mode)
			fd = open(path, modes[i].flags | O_CLOEXEC);
	if (fd < 0)
		die("open %s as %c", path, mode);
	return fd;
}

static void caught(int sig)
{
	(void)sig;
}

static void signal_after(unsigned int ms)
{
	struct itimerval when = { .it_value = { ms / 1000, ms % 1000 * 1000 } };
	struct sigaction how = { .sa_handler = caught, .sa_flags = SA_RESTART };

	if (sigaction(SIGALRM, &how, NULL) || setitimer(ITIMER_REAL, &when, NULL))
		die("set a timer");
}

static int one_call(int argc, char **argv)
{
	char src_mode = 'r', dst_mode = 'w';
	unsigned int flags = 0;
	int c, src, dst, positions = 0, after = 0;
	u64 src_off, dst_off;
	long ret;

	/* Numbers may be negative. */
	while ((c = getopt(argc, argv, "+M:m:f:pi:")) >= 0) {
		switch (c) {
		case 'M':
			src_mode = *optarg;
			break;
		case 'm':
			dst_mode = *optarg;
			break;
		case 'f':
			flags = number(optarg);
			break;
		case 'p':
			positions = 1;
			break;
		case 'i':
			after = number(optarg);
			break;
		default:
			bad_usage();
		}
	}
	if (argc - optind != 5)
		bad_usage();
	argv += optind;
	src = open_as(argv[0], src_mode);
	src_off = number(argv[1]);
	dst = open_as(argv[2], dst_mode);
	dst_off = number(argv[3]);
	if (positions && (lseek(src, src_off, SEEK_SET) < 0 ||
			  lseek(dst, dst_off, SEEK_SET) < 0))
		die("seek");
	if (after)
		signal_after(after);
	ret = copy_range(src, positions ? NULL : &src_off, dst,
			 positions ? NULL : &dst_off, number(argv[4]), flags);
	if (positions) {
		src_off = lseek(src, 0, SEEK_CUR);
		dst_off = lseek(dst, 0, SEEK_CUR);
	}
	if (ret < 0)
		printf("%s\n", strerrorname_np(-ret));
	else if (positions)
		printf("%ld at %llu and %llu\n", ret, src_off, dst_off);
	else
		printf("%ld\n", ret);
	return ret < 0;
}

/* -------------------------------------------------------------- random calls */

#define MAX_DEVS	8

struct dev {
	const char	*path;
	int		disk;
	int		able;		/* to copy by itself */
	int		fd[2];		/* through the page cache, and O_DIRECT */
	u64		size;
	u32		block;
	unsigned char	*image;		/* what must be there */
};

enum class {
	WHOLE_BLOCKS, ENDS, INSIDE_A_BLOCK, SHIFTED, SHORT_SOURCE,
	SHORT_DESTINATION, SOURCE_END, DESTINATION_END, OVERLAP, NOTHING,
	NR_CLASSES
};

static const char *const class_names[] = {
	"whole blocks", "blocks with a head or tail", "inside a block", "shifted",
	"to the end of the source", "to the end of the destination",
	"behind the source", "behind the destination", "overlap", "no bytes",
};

static struct dev devs[MAX_DEVS];
static unsigned int nr_devs;
static unsigned int hits[2][NR_CLASSES];	/* two devices, one */
static u64 one_disk_bytes;
static unsigned char *have;
static struct rng rng;

static void add_dev(const char *arg)
{
	struct dev *d = &devs[nr_devs];
	unsigned int i;

	if (nr_devs == MAX_DEVS)
		bad_usage();
	d->path = arg + (*arg == '+' || *arg == '-');
	d->able = *arg != '-';
	d->disk = *arg == '+' && nr_devs ? d[-1].disk : (int)nr_devs;
	d->fd[0] = open(d->path, O_RDWR | O_CLOEXEC);
	d->fd[1] = open_dev(d->path);
	if (d->fd[0] < 0 || ioctl(d->fd[1], BLKGETSIZE64, &d->size) ||
	    ioctl(d->fd[1], BLKSSZGET, &d->block))
		die("open %s", d->path);
	d->image = alloc_direct(d->size);
	rng_fill(&rng, d->image, d->size);
	for (i = 0; i < d->size; i += 512)
		d->image[i] = nr_devs;
	write_dev(d->fd[1], d->image, d->size, 0);
	nr_devs++;
}

static u64 random_place(const struct dev *d, u32 align)
{
	u64 pos = rng_below(&rng, d->size);

	if (rng_percent(&rng, 8))
		pos = d->size - rng_below(&rng, min(d->size, 3ULL * align));
	if (rng_percent(&rng, 3))
		pos = d->size + rng_below(&rng, align);
	return pos;
}

struct call {
	struct dev	*src, *dst;
	int		src_kind, dst_kind;
	u64		from, to;
	u64		len, want;
	enum class	class;
	int		error;
};

static void make_call(struct call *c)
{
	u32 align;

	c->src = &devs[rng_below(&rng, nr_devs)];
	c->dst = rng_percent(&rng, 40) ? c->src : &devs[rng_below(&rng, nr_devs)];
	c->src_kind = rng_below(&rng, 2);
	c->dst_kind = rng_below(&rng, 2);
	align = max(c->src->block, c->dst->block);
	c->from = random_place(c->src, align);
	c->to = random_place(c->dst, align);
	c->len = rng_log(&rng, 1, 300000);
	if (rng_percent(&rng, 2))
		c->len = 0;
	if (rng_percent(&rng, 75))
		c->to = c->to / align * align + c->from % align;
	if (rng_percent(&rng, 30)) {
		c->from = c->from / align * align;
		c->to = c->to / align * align;
		c->len = (c->len + align - 1) / align * align;
	}
	if (c->src == c->dst && rng_percent(&rng, 10))
		c->to = c->from + rng_below(&rng, c->len + 1);
}

/* What must come of it, as of a copy between files */
static void predict(struct call *c)
{
	u32 align = max(c->src->block, c->dst->block);
	u64 n = c->len;

	c->error = 0;
	c->want = 0;
	c->class = NOTHING;
	if (!n)
		return;
	c->class = SOURCE_END;
	if (c->from >= c->src->size)
		return;
	n = min(n, c->src->size - c->from);
	if (c->to >= c->dst->size) {
		c->class = DESTINATION_END;
		c->error = -ENOSPC;
		return;
	}
	n = min(n, c->dst->size - c->to);
	if (c->src == c->dst && c->from < c->to + n && c->to < c->from + n) {
		c->class = OVERLAP;
		c->error = -EINVAL;
		return;
	}
	c->want = n;
	if (n < c->len)
		c->class = c->from + n == c->src->size ? SHORT_SOURCE :
						       SHORT_DESTINATION;
	else if ((c->from ^ c->to) & (align - 1))
		c->class = SHIFTED;
	else if (!((c->from | n) & (align - 1)))
		c->class = WHOLE_BLOCKS;
	else if ((c->from + n) / align * align <
		 (c->from + align - 1) / align * align + align)
		c->class = INSIDE_A_BLOCK;
	else
		c->class = ENDS;
	if (c->src->disk == c->dst->disk && c->src->able && !((c->from ^ c->to) & (align - 1))) {
		u64 first = (c->from + align - 1) / align * align;
		u64 end = (c->from + n) / align * align;

		one_disk_bytes += end > first ? end - first : 0;
	}
}

static void check_dev(const struct dev *d, int kind, const char *when)
{
	u64 i;

	read_dev(d->fd[kind], have, d->size, 0);
	if (!memcmp(have, d->image, d->size))
		return;
	for (i = 0; have[i] == d->image[i]; i++)
		;
	errno = 0;
	die("%s: %s: byte %llu is %02x, should be %02x", when, d->path, i, have[i],
	    d->image[i]);
}

static void make_one(unsigned int nr)
{
	char when[160];
	struct call c;
	u64 from, to;
	long ret;

	make_call(&c);
	predict(&c);
	snprintf(when, sizeof(when), "call %u: %llu bytes of %s at %llu to %s at %llu",
		 nr, c.len, c.src->path, c.from, c.dst->path, c.to);
	from = c.from;
	to = c.to;
	ret = copy_range(c.src->fd[c.src_kind], &from, c.dst->fd[c.dst_kind], &to,
			 c.len, 0);
	errno = ret < 0 ? -ret : 0;
	if (ret != (c.error ? c.error : (long)c.want))
		die("%s: returned %ld, should be %ld", when, ret,
		    c.error ? c.error : (long)c.want);
	if (from != c.from + c.want || to != c.to + c.want)
		die("%s: the offsets are %llu and %llu", when, from, to);
	memcpy(c.dst->image + c.to, c.src->image + c.from, c.want);
	check_dev(c.dst, rng_below(&rng, 2), when);
	hits[c.src == c.dst][c.class]++;
}

static int random_calls(int argc, char **argv)
{
	unsigned int i, n, count, empty = 0;
	u64 largest = 0;

	if (argc < 5)
		bad_usage();
	rng.s = number(argv[2]);
	count = number(argv[3]);
	for (i = 4; i < (unsigned int)argc; i++)
		add_dev(argv[i]);
	for (i = 0; i < nr_devs; i++)
		largest = max(largest, devs[i].size);
	have = alloc_direct(largest);
	for (n = 0; n < count; n++)
		make_one(n);
	for (i = 0; i < nr_devs; i++) {
		check_dev(&devs[i], 0, "at the end");
		check_dev(&devs[i], 1, "at the end");
	}
	printf("# %-30s %11s %10s\n", "calls", "two devices", "one device");
	for (i = 0; i < NR_CLASSES; i++) {
		printf("# %-30s %11u %10u\n", class_names[i], hits[0][i], hits[1][i]);
		/* A device does not overlap another one. */
		empty += !hits[1][i] + (i != OVERLAP && !hits[0][i]);
	}
	printf("%llu\n", one_disk_bytes);
	if (empty)
		die("%u kinds of calls were not hit", empty);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "-r"))
		return random_calls(argc, argv);
	return one_call(argc, argv);
}
