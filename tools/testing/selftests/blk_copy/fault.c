// SPDX-License-Identifier: GPL-2.0
/*
 * fault [-t THREADS] [-n COPIES] [-f] [-s] [-E] [-l LEN] [-r RANGES] SRC DST...:
 * copies that memory or requests are refused to, with -E without emulation.
 *
 * Each thread copies LEN bytes, in RANGES ranges, from its own place on SRC to its
 * own place on one of the DSTs, COPIES times; all together, but those to one DST
 * one after the other, because the kernel locks a destination.  Such a place has
 * 4 KiB on either side that nobody may touch.  With -f,
 * /proc/thread-self/make-it-fail is set during the ioctl and not a moment
 * longer, for the faults that look at it.  Prints how many copies ended with
 * which error, and what they had done:
 *
 *	errors <name> <number>
 *	copied <bytes>
 *	offloaded <bytes>
 *	wrong <sectors that do not have what they should>
 *
 * A sector that was reported as copied has the new data; one behind these has new
 * or old data, with -s old data; all others, and the source, have not changed.
 * The exit status only says whether the program itself worked.
 */
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "bed.h"

#define MAX_THREADS	64
#define MAX_RANGES	1024
#define GUARD		4096

static struct options {
	unsigned int	threads;
	unsigned int	copies;
	unsigned int	ranges;
	u64		len;
	int		fail;
	int		strict;
	u32		flags;
} opts = { .threads = 1, .copies = 1, .ranges = 1, .len = MIB };

struct worker {
	pthread_t	thread;
	unsigned int	idx;
	int		fail_fd;
	int		dst;
	u64		dst_off;
	unsigned char	*src_buf;
	unsigned char	*buf;
	unsigned char	old;
	u64		copied;
	u64		offloaded;
	u64		wrong;
	u32		errors[256];
};

static struct worker workers[MAX_THREADS];
static pthread_barrier_t ready;
static int src;

static void set_fail(const struct worker *w, char on)
{
	if (w->fail_fd >= 0 && pwrite(w->fail_fd, &on, 1, 0) != 1)
		die("set make-it-fail");
}

/* With what surrounds the place of a worker */
static u64 slot_bytes(void)
{
	return opts.len + 2 * GUARD;
}

static int is_old(const struct worker *w, const unsigned char *sector)
{
	return sector[0] == w->old && !memcmp(sector, sector + 1, SECTOR - 1);
}

/* pos: from the start of the destination, "negative" before it */
static int is_good(const struct worker *w, const unsigned char *sector, u64 pos,
		   u64 copied)
{
	if (pos < opts.len && (pos < copied || !opts.strict) &&
	    !memcmp(sector, w->src_buf + pos, SECTOR))
		return 1;
	return (pos >= opts.len || pos >= copied) && is_old(w, sector);
}

static u64 wrong_sectors(struct worker *w, u64 off, u64 copied)
{
	u64 bad = 0, i;

	read_dev(src, w->buf, opts.len, off);
	for (i = 0; i < opts.len; i += SECTOR)
		bad += !!memcmp(w->src_buf + i, w->buf + i, SECTOR);
	read_dev(w->dst, w->buf, slot_bytes(), w->dst_off);
	for (i = 0; i < slot_bytes(); i += SECTOR)
		bad += !is_good(w, w->buf + i, i - GUARD, copied);
	return bad;
}

static void one_copy(struct worker *w, struct rng *rng)
{
	u64 piece = opts.len / opts.ranges, off = w->idx * opts.len;
	struct blk_copy_range r[MAX_RANGES];
	struct blk_copy_arg res;
	unsigned int i;
	int err;

	for (i = 0; i < opts.ranges; i++)
		r[i] = (struct blk_copy_range){ off + i * piece, piece };
	rng_fill(rng, w->src_buf, opts.len);
	write_dev(src, w->src_buf, opts.len, off);
	memset(w->buf, ++w->old, slot_bytes());
	write_dev(w->dst, w->buf, slot_bytes(), w->dst_off);
	pthread_barrier_wait(&ready);
	set_fail(w, '1');
	err = -blkcopy(w->dst, w->dst_off + GUARD, src, r, opts.ranges,
		       opts.flags, &res);
	set_fail(w, '0');
	pthread_barrier_wait(&ready);
	w->errors[err & 255]++;
	w->copied += res.bytes_copied;
	w->offloaded += res.bytes_offloaded;
	if (!err && res.bytes_copied != opts.len)
		w->wrong++;
	w->wrong += wrong_sectors(w, off, res.bytes_copied);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct rng rng = { w->idx + 1 };
	unsigned int i;

	w->fail_fd = -1;
	if (opts.fail) {
		w->fail_fd = open("/proc/thread-self/make-it-fail", O_WRONLY);
		if (w->fail_fd < 0)
			die("open make-it-fail");
	}
	for (i = 0; i < opts.copies; i++)
		one_copy(w, &rng);
	return NULL;
}

static void print_sums(void)
{
	u64 copied = 0, offloaded = 0, wrong = 0;
	unsigned int i, j;
	u32 n;

	for (i = 0; i < opts.threads; i++) {
		copied += workers[i].copied;
		offloaded += workers[i].offloaded;
		wrong += workers[i].wrong;
	}
	for (j = 0; j < 256; j++) {
		for (i = 0, n = 0; i < opts.threads; i++)
			n += workers[i].errors[j];
		if (n)
			printf("errors %s %u\n",
			       j ? strerrorname_np(j) : "0", n);
	}
	printf("copied %llu\noffloaded %llu\nwrong %llu\n", copied, offloaded,
	       wrong);
}

static void set_up(const char *src_path, char **dst_paths, unsigned int nr_dst)
{
	int fds[MAX_THREADS];
	unsigned int i;

	nr_dst = min(nr_dst, opts.threads);
	src = open_dev(src_path);
	for (i = 0; i < nr_dst; i++)
		fds[i] = open_dev(dst_paths[i]);
	for (i = 0; i < opts.threads; i++) {
		struct worker *w = &workers[i];

		w->idx = i;
		w->dst = fds[i % nr_dst];
		w->dst_off = i / nr_dst * slot_bytes();
		if (!strcmp(src_path, dst_paths[i % nr_dst]))
			w->dst_off += opts.threads * opts.len;
		w->src_buf = alloc_direct(opts.len);
		w->buf = alloc_direct(slot_bytes());
	}
}

static void run(void)
{
	pthread_attr_t attr;
	unsigned int i;

	pthread_barrier_init(&ready, NULL, opts.threads);
	/* A page fault must not be what fails. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("mlockall");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	for (i = 0; i < opts.threads; i++)
		if (pthread_create(&workers[i].thread, &attr, worker_main,
				   &workers[i]))
			die("no thread");
	for (i = 0; i < opts.threads; i++)
		pthread_join(workers[i].thread, NULL);
}

int main(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "t:n:fsEl:r:")) != -1) {
		if (opt == 't')
			opts.threads = min(atoi(optarg), MAX_THREADS);
		else if (opt == 'n')
			opts.copies = atoi(optarg);
		else if (opt == 'f')
			opts.fail = 1;
		else if (opt == 's')
			opts.strict = 1;
		else if (opt == 'E')
			opts.flags = BLKCOPY_NO_EMULATION;
		else if (opt == 'l')
			opts.len = strtoull(optarg, NULL, 0);
		else if (opt == 'r')
			opts.ranges = min(atoi(optarg), MAX_RANGES);
		else
			die("what is -%c?", opt);
	}
	if (argc - optind < 2)
		die("fault [-t THREADS] [-n COPIES] [-f] [-s] [-E] [-l LEN]\n"
		    "      [-r RANGES] SRC DST...");
	set_up(argv[optind], argv + optind + 1, argc - optind - 1);
	run();
	print_sums();
	return 0;
}
