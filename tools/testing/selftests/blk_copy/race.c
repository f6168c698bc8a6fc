// SPDX-License-Identifier: GPL-2.0
/*
 * Copies while the devices below them change.
 *
 * Every copy is compared with what it must have copied.  Each command counts
 * how often it really met a copy that was in flight, prints that as "hits N", and
 * fails if it never did: a race that was not run proves nothing.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "bed.h"

static const char usage[] =
"race reload [-n N] [-k STACK] [-o] LEAF\n"
"	swap the table of what a copy reads from between its halves, and destroy\n"
"	what the old table pointed at.  STACK: linear, nested, or inner: the\n"
"	table below the top one is swapped.  -o: while its command runs instead\n"
"race target [-n N] [-o] LEAF\n"
"	the same with the table of what a copy writes to\n"
"race again [-n N] [-k STACK] LEAF\n"
"	swap the source's table for ever between the halves of a copy\n"
"race interrupt [-n N] [-k STACK] LEAF\n"
"	a signal to a suspend that waits for a command\n"
"race suspend [-n N] [-k STACK] [-f FLAG] LEAF\n"
"	suspend and resume both ends under copies; FLAG: noflush, nolockfs\n"
"race kill [-n N] SRC DST\n"
"	kill the process that copies\n"
"race during [-n N] [-e ERRORS] [-g MS] [-l LEN] [-t N] SRC DST\n"
"	FILE=VALUE[,VALUE...]|!COMMAND\n"
"	write to a file, or run a command, under copies; -e EIO,...: the device\n"
"	goes, so all copies must end, with one of these errors; -t: threads\n"
"\n"
"SRC and DST may be one device; LEAF, SRC and DST lose their content.\n";

#define MAX_THREADS	8
#define OLD		0x4f4c44
#define POISON		0xdeadbeef
#define AREA_BYTES	(4 * MIB)
#define STRIPE_BYTES	(MIB / 16)

enum stack { LINEAR, NESTED, INNER };

static struct options {
	unsigned int	n;
	unsigned int	threads;
	unsigned int	gap_ms;
	u64		len;
	const char	*goes;
	int		running;
	u32		dm_flags;
	enum stack	stack;
} opts = { .n = 10, .threads = 2, .gap_ms = 20, .len = 2 * MIB };

/* The second: of these, while a COPY_OUT was at a device */
static unsigned int hits, outs;

/* ------------------------------------------------------------- content */

static u64 word_of(u64 tag, u64 sector)
{
	u64 z = (tag << 40) + sector * 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	return z ^ z >> 27;
}

static void make_content(void *buf, u64 len, u64 tag, u64 off)
{
	u64 *w = buf, i, j;

	for (i = 0; i < len / SECTOR; i++) {
		u64 x = word_of(tag, off / SECTOR + i);

		for (j = 0; j < SECTOR / 8; j++)
			*w++ = x + j;
	}
}

static int has_content(const void *sector, u64 tag, u64 off)
{
	const u64 *w = sector;
	u64 x = word_of(tag, off / SECTOR), j;

	for (j = 0; j < SECTOR / 8; j++)
		if (w[j] != x + j)
			return 0;
	return 1;
}

/* @off is where the content is written; it is that of @from. */
static void fill(int fd, u64 off, u64 len, u64 tag, u64 from)
{
	void *buf = alloc_direct(min(len, IO_BYTES));

	while (len) {
		u64 n = min(len, IO_BYTES);

		make_content(buf, n, tag, from);
		write_dev(fd, buf, n, off);
		off += n;
		from += n;
		len -= n;
	}
	free(buf);
}

/*
 * Compare with the content of @from under one of two tags; returns how many
 * sectors have neither, and how many have the first one.
 */
static u64 check(int fd, u64 off, u64 len, u64 tag, u64 tag2, u64 from,
		 u64 *nr_first)
{
	unsigned char *buf = alloc_direct(min(len, IO_BYTES));
	u64 bad = 0, i;

	*nr_first = 0;
	while (len) {
		u64 n = min(len, IO_BYTES);

		read_dev(fd, buf, n, off);
		for (i = 0; i < n; i += SECTOR) {
			if (has_content(buf + i, tag, from + i))
				++*nr_first;
			else if (!has_content(buf + i, tag2, from + i) &&
				 bad++ < 4)
				printf("# sector %llu is wrong%s\n",
				       (off + i) / SECTOR,
				       has_content(buf + i, POISON, from + i) ?
				       ", it was read too late" : "");
		}
		off += n;
		from += n;
		len -= n;
	}
	free(buf);
	return bad;
}

/* -------------------------------------------------------- one copier */

/**
 * struct copier - a thread that copies
 * @src, @dst:	descriptors; from 0 on @src holds tag 1
 * @slot:	where on @dst it may write
 * @src_bytes:	how much of @src there is
 * @err:	what ended it, if that is allowed
 */
struct copier {
	pthread_t	thread;
	int		src;
	int		dst;
	u64		slot;
	u64		src_bytes;
	unsigned int	idx;
	u64		copies;
	u64		offloaded;
	u64		emulated;
	u64		both;
	atomic_int	err;
	atomic_int	wrong;
};

static struct copier copiers[MAX_THREADS];
static atomic_int stopped;

static void check_copied(struct copier *c, u64 from,
			 const struct blk_copy_arg *res)
{
	u64 first;

	if (res->bytes_copied &&
	    check(c->dst, c->slot, res->bytes_copied, 1, 1, from, &first)) {
		printf("# wrong data in a copy of %llu bytes from %llu\n",
		       (u64)res->bytes_copied, from);
		c->wrong = 1;
	}
}

/* From one half of the slot to another, so that none looks like the last. */
static void *copier_main(void *arg)
{
	struct copier *c = arg;
	struct rng rng = { c->idx };
	struct blk_copy_arg res;
	struct blk_copy_range r;
	u64 last = ~0ULL;

	while (!stopped && !c->wrong) {
		r.length = opts.len;
		do {
			r.offset = rng_below(&rng, (c->src_bytes - opts.len) /
					     4096 + 1) * 4096;
		} while (r.offset == last);
		last = r.offset;
		c->err = -blkcopy(c->dst, c->slot, c->src, &r, 1, 0, &res);
		c->copies++;
		c->offloaded += res.bytes_offloaded;
		c->emulated += res.bytes_copied - res.bytes_offloaded;
		c->both += res.bytes_offloaded &&
			res.bytes_offloaded < res.bytes_copied;
		if (c->err && opts.goes) {
			/* A disk that is gone has no size: then none begins. */
			c->wrong = c->err == EINVAL && res.bytes_copied;
			return NULL;
		}
		if (c->err || res.bytes_copied != opts.len) {
			printf("# copy %llu: error %d after %llu bytes\n",
			       c->copies, c->err, (u64)res.bytes_copied);
			c->wrong = 1;
		}
		/* Once the device has gone, there is nothing to read. */
		if (!opts.goes)
			check_copied(c, r.offset, &res);
	}
	return NULL;
}

static void start_copiers(int src, int dst, u64 src_bytes, u64 dst_base)
{
	unsigned int i;

	stopped = 0;
	for (i = 0; i < opts.threads; i++) {
		struct copier *c = &copiers[i];

		memset(c, 0, sizeof(*c));
		c->idx = i;
		c->src = src;
		c->dst = dst;
		c->src_bytes = src_bytes;
		c->slot = dst_base + i * opts.len;
		if (pthread_create(&c->thread, NULL, copier_main, c))
			die("no thread");
	}
}

/* Is it one of those that the caller has named? */
static int is_expected(int err)
{
	const char *name = strerrorname_np(err), *p = opts.goes;

	while (name && p) {
		size_t len = strcspn(p, ",");

		if (strlen(name) == len && !strncmp(name, p, len))
			return 1;
		p = p[len] ? p + len + 1 : NULL;
	}
	return 0;
}

/* Returns whether something was wrong. */
static int join_copiers(void)
{
	struct copier sum = { 0 };
	unsigned int i;

	stopped = !opts.goes;
	for (i = 0; i < opts.threads; i++) {
		struct copier *c = &copiers[i];

		pthread_join(c->thread, NULL);
		sum.copies += c->copies;
		sum.offloaded += c->offloaded;
		sum.emulated += c->emulated;
		sum.both += c->both;
		sum.wrong |= c->wrong;
		if (c->err)
			printf("# ended with: %s\n", strerrorname_np(c->err));
		if (opts.goes && !is_expected(c->err))
			sum.wrong = 1;
	}
	printf("copies %llu\noffloaded %llu\nemulated %llu\nboth %llu\n",
	       sum.copies, sum.offloaded, sum.emulated, sum.both);
	return sum.wrong;
}

/* Wait for a copy that has commands or bios at the devices. */
static int in_flight(void)
{
	u64 end = now_us() + 20000000;
	unsigned int i, gone;

	do {
		if (counter("outs_inflight")) {
			outs++;
			return 1;
		}
		if (counter("emulation_bios_inflight"))
			return 1;
		sleep_us(200);
		for (i = 0, gone = 0; i < opts.threads; i++)
			gone += copiers[i].wrong || (opts.goes && copiers[i].err);
	} while (gone < opts.threads && now_us() < end);
	printf("# no copy is in flight\n");
	return 0;
}

/* ------------------------------------------------------------- stacks */

static char leaf_path[64];
static char src_path[64], dst_path[64], inner_path[64];

static void remove_stack(void)
{
	static const char *const names[] = { "race-src", "race-in", "race-dst" };
	unsigned int i;

	set_pause(0);
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		dm_resume(names[i]);
		dm_remove(names[i]);
	}
}

static const char *linear_table(u64 len, const char *path, u64 off)
{
	static char table[2][160];
	static int which;

	which = !which;
	sprintf(table[which], "0 %llu %s %s %llu\n", len / SECTOR, "linear",
		path, off / SECTOR);
	return table[which];
}

static const char *striped_table(u64 len, const char *path, u64 off)
{
	static char table[2][160];
	static int which;

	which = !which;
	sprintf(table[which], "0 %llu %s 2 %llu %s %llu %s %llu\n",
		len / SECTOR, "striped", STRIPE_BYTES / SECTOR,
		path, off / SECTOR, path, (off + len / 2) / SECTOR);
	return table[which];
}

/* What the copy reads from is area @off of the leaf, by way of the stack. */
static void make_source(u64 off)
{
	const char *top = leaf_path;

	if (opts.stack == INNER)
		dm_create("race-in", striped_table(AREA_BYTES, leaf_path, off),
			  inner_path);
	else if (opts.stack == NESTED)
		dm_create("race-in", linear_table(2 * AREA_BYTES, leaf_path, 0),
			  inner_path);
	if (opts.stack != LINEAR)
		top = inner_path;
	if (opts.stack == INNER)
		off = 0;
	dm_create("race-src", linear_table(AREA_BYTES, top, off), src_path);
}

static void point_source(u64 off)
{
	if (opts.stack == INNER)
		dm_reload("race-in", striped_table(AREA_BYTES, leaf_path, off));
	else if (opts.stack == NESTED)
		dm_reload("race-src", linear_table(AREA_BYTES, inner_path, off));
	else
		dm_reload("race-src", linear_table(AREA_BYTES, leaf_path, off));
}

/* Give an area of the leaf what the source shall hold when it is there. */
static void fill_area(int leaf, u64 area, u64 tag)
{
	u64 off, chunk;

	if (opts.stack != INNER) {
		fill(leaf, area, AREA_BYTES, tag, 0);
		return;
	}
	for (off = 0; off < AREA_BYTES; off += STRIPE_BYTES) {
		chunk = off / STRIPE_BYTES;
		fill(leaf, area + chunk % 2 * AREA_BYTES / 2 +
		     chunk / 2 * STRIPE_BYTES, STRIPE_BYTES, tag, off);
	}
}

/* ------------------------------------------------------------- reload */

/* A copy in a thread of its own, in pieces that it reads in another order */
struct one_copy {
	int			src;
	int			dst;
	u32			flags;
	u32			nr;
	struct blk_copy_range	r[16];
	struct blk_copy_arg	res;
	int			err;
	atomic_int		over;
};

static void *one_copy_main(void *arg)
{
	struct one_copy *c = arg;

	c->err = blkcopy(c->dst, 0, c->src, c->r, c->nr, c->flags, &c->res);
	c->over = 1;
	return NULL;
}

static void gather(struct one_copy *c)
{
	u64 piece = AREA_BYTES / ARRAY_SIZE(c->r);
	unsigned int i;

	c->nr = ARRAY_SIZE(c->r);
	for (i = 0; i < c->nr; i++) {
		c->r[i].offset = (i * 7 % c->nr) * piece;
		c->r[i].length = piece;
	}
}

#define LONGEST_PAUSE	1280	/* ms */

/*
 * For the next round, where a change did not come in the pause: with all the
 * checks of the debug kernel a new table takes longer than 40 ms.
 */
static void longer_pause(unsigned int *ms)
{
	if (*ms < LONGEST_PAUSE) {
		*ms *= 2;
		set_pause(*ms);
	}
}

/* With opts.running: until the command is at the device; else in the pause */
static int wait_for_middle(const struct one_copy *c, u64 pauses)
{
	while (!c->over) {
		if (opts.running ? counter("outs_inflight") :
		    counter("pauses") != pauses)
			return 1;
	}
	return 0;
}

/* One swap: the copy may see the old content or the new one, no third. */
static int reload_once(int leaf, int src, int dst, u64 old, u64 new,
		       unsigned int i)
{
	u64 pauses = counter("pauses"), bad = 0, nr_old = 0, first;
	struct one_copy c = { .src = src, .dst = dst };
	unsigned int j;
	pthread_t t;

	fill_area(leaf, old, 2 * i);
	fill_area(leaf, new, 2 * i + 1);
	gather(&c);
	c.flags = i % 2 ? BLKCOPY_NO_EMULATION : 0;
	pthread_create(&t, NULL, one_copy_main, &c);
	if (wait_for_middle(&c, pauses) && opts.running && !c.over)
		hits++;
	point_source(new);
	fill_area(leaf, old, POISON);
	pthread_join(t, NULL);
	if (c.err || c.res.bytes_copied != AREA_BYTES) {
		printf("# swap %u: error %d after %llu bytes\n", i, c.err,
		       (u64)c.res.bytes_copied);
		return 1;
	}
	for (j = 0; j < c.nr; j++) {
		bad += check(dst, j * c.r[0].length, c.r[0].length, 2 * i,
			     2 * i + 1, c.r[j].offset, &first);
		nr_old += first;
	}
	printf("# swap %u: %llu sectors before it, %llu after it, offloaded %llu\n",
	       i, nr_old, AREA_BYTES / SECTOR - nr_old - bad,
	       (u64)c.res.bytes_offloaded);
	return !!bad;
}

static int cmd_reload(char **argv)
{
	u64 stale = counter("stale"), old = 0, new = AREA_BYTES;
	unsigned int i, pause = 40;
	int leaf, src, dst, bad = 0;

	snprintf(leaf_path, sizeof(leaf_path), "%s", argv[0]);
	leaf = open_dev(leaf_path);
	bed_cleanup = remove_stack;
	make_source(old);
	dm_create("race-dst", linear_table(AREA_BYTES, leaf_path, 2 * AREA_BYTES),
		  dst_path);
	src = open_dev(src_path);
	dst = open_dev(dst_path);
	if (!opts.running)
		set_pause(pause);
	for (i = 1; i <= opts.n && !bad; i++) {
		u64 before = counter("stale");

		bad = reload_once(leaf, src, dst, old, new, i);
		if (!opts.running && counter("stale") == before)
			longer_pause(&pause);
		old = new;
		new = AREA_BYTES - new;
	}
	if (!opts.running)
		hits = counter("stale") - stale;
	close(src);
	close(dst);
	close(leaf);
	return bad;
}

/* ------------------------------------------------------------- target */

#define TARGET_STEP	(MIB / 4)

/* Small steps, so that a table can be swapped between them */
static void set_target_step(void)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/copy_max_bytes",
		 strrchr(dst_path, '/') + 1);
	err = write_text(path, "%llu", TARGET_STEP);
	errno = -err;
	if (err)
		die("write to %s", path);
}

/*
 * Each sector has been written to what the table pointed at, once: before the
 * swap to the old area, whose content of then is @before, or to the new one.
 */
static u64 check_target(int leaf, const struct one_copy *c, const char *before,
			u64 new, unsigned int i, u64 *nr_old, u64 *nr_new)
{
	char *after = alloc_direct(AREA_BYTES);
	u64 off, from, bad = 0;

	*nr_old = 0;
	*nr_new = 0;
	read_dev(leaf, after, AREA_BYTES, new);
	for (off = 0; off < AREA_BYTES; off += SECTOR) {
		const struct blk_copy_range *r = &c->r[off / c->r[0].length];
		int in_old, in_new;

		from = r->offset + off % r->length;
		in_old = has_content(before + off, i, from);
		in_new = has_content(after + off, i, from);
		*nr_old += in_old;
		*nr_new += in_new;
		if (in_old == in_new ||
		    (!in_old && !has_content(before + off, OLD, off)) ||
		    (!in_new && !has_content(after + off, OLD, off))) {
			if (bad++ < 4)
				printf("# sector %llu is wrong\n", off / SECTOR);
		}
	}
	free(after);
	return bad;
}

/* Nothing is written to the old area once it is not in the table any more. */
static int target_once(int leaf, int src, int dst, u64 old, u64 new,
		       unsigned int i)
{
	struct one_copy c = { .src = src, .dst = dst };
	u64 pauses = counter("pauses"), nr_old, nr_new, first, bad;
	char *before = alloc_direct(AREA_BYTES);
	int middle, waits;
	pthread_t t;

	fill(src, 0, AREA_BYTES, i, 0);
	fill(leaf, old, AREA_BYTES, OLD, 0);
	fill(leaf, new, AREA_BYTES, OLD, 0);
	gather(&c);
	c.flags = i % 2 ? BLKCOPY_NO_EMULATION : 0;
	pthread_create(&t, NULL, one_copy_main, &c);
	middle = wait_for_middle(&c, pauses);
	dm_reload("race-dst", linear_table(AREA_BYTES, leaf_path, new));
	waits = middle && !c.over && !counter("outs_inflight");
	read_dev(leaf, before, AREA_BYTES, old);
	fill(leaf, old, AREA_BYTES, POISON, 0);
	pthread_join(t, NULL);

	bad = c.err || c.res.bytes_copied != AREA_BYTES;
	if (bad)
		printf("# swap %u: error %d after %llu bytes\n", i, c.err,
		       (u64)c.res.bytes_copied);
	else
		bad = check_target(leaf, &c, before, new, i, &nr_old, &nr_new) +
			check(leaf, old, AREA_BYTES, POISON, POISON, 0, &first);
	if (!bad) {
		hits += opts.running ? nr_old && nr_new : waits && !nr_old;
		printf("# swap %u: %llu sectors before it, %llu after it, offloaded %llu\n",
		       i, nr_old, nr_new, (u64)c.res.bytes_offloaded);
	}
	free(before);
	return !!bad;
}

static int cmd_target(char **argv)
{
	u64 old = AREA_BYTES, new = 2 * AREA_BYTES;
	unsigned int i, pause = 100;
	int leaf, src, dst, bad = 0;

	snprintf(leaf_path, sizeof(leaf_path), "%s", argv[0]);
	leaf = open_dev(leaf_path);
	bed_cleanup = remove_stack;
	make_source(0);
	dm_create("race-dst", linear_table(AREA_BYTES, leaf_path, old), dst_path);
	src = open_dev(src_path);
	dst = open_dev(dst_path);
	if (opts.running)
		set_target_step();
	else
		set_pause(pause);
	for (i = 1; i <= opts.n && !bad; i++) {
		u64 before = hits;

		bad = target_once(leaf, src, dst, old, new, i);
		if (!opts.running && hits == before)
			longer_pause(&pause);
		old = new;
		new = 3 * AREA_BYTES - new;
	}
	close(src);
	close(dst);
	close(leaf);
	return bad;
}

/* -------------------------------------------------------------- again */

#define AGAIN_PAUSE	100	/* ms */
#define AGAIN_US	60000000

/*
 * One copy, and swaps for as long as it runs.  Both areas have the tag of their
 * own.  With emulation forbidden the copy gives up, and has written nothing.
 */
static int again_once(int src, int dst, unsigned int i)
{
	struct one_copy c = { .src = src, .dst = dst };
	u64 first, bad = 0, swaps = 0;
	unsigned int j;
	pthread_t t;

	fill(dst, 0, AREA_BYTES, OLD, 0);
	gather(&c);
	c.flags = i % 2 ? BLKCOPY_NO_EMULATION : 0;
	pthread_create(&t, NULL, one_copy_main, &c);
	while (!c.over)
		point_source(++swaps % 2 * AREA_BYTES);
	pthread_join(t, NULL);
	point_source(0);

	if (c.err == -EAGAIN && c.flags) {
		hits++;
		bad = c.res.bytes_copied || c.res.bytes_offloaded ||
			check(dst, 0, AREA_BYTES, OLD, OLD, 0, &first);
	} else if (c.err || c.res.bytes_copied != AREA_BYTES) {
		bad = 1;
	}
	for (j = 0; !c.err && j < c.nr; j++)
		bad += check(dst, j * c.r[0].length, c.r[0].length, 1, 2,
			     c.r[j].offset, &first);
	printf("# copy %u: %llu swaps, error %d after %llu bytes, offloaded %llu%s\n",
	       i, swaps, c.err, (u64)c.res.bytes_copied,
	       (u64)c.res.bytes_offloaded, bad ? ", WRONG" : "");
	return !!bad;
}

/* On, until as many copies as asked for have given up. */
static int cmd_again(char **argv)
{
	u64 end = now_us() + AGAIN_US;
	int leaf, src, dst, bad = 0;
	unsigned int i;

	snprintf(leaf_path, sizeof(leaf_path), "%s", argv[0]);
	leaf = open_dev(leaf_path);
	bed_cleanup = remove_stack;
	fill_area(leaf, 0, 1);
	fill_area(leaf, AREA_BYTES, 2);
	make_source(0);
	dm_create("race-dst", linear_table(AREA_BYTES, leaf_path, 2 * AREA_BYTES),
		  dst_path);
	src = open_dev(src_path);
	dst = open_dev(dst_path);
	set_pause(AGAIN_PAUSE);
	for (i = 1; !bad && (i <= opts.n || (!hits && now_us() < end)); i++)
		bad = again_once(src, dst, i);
	close(src);
	close(dst);
	close(leaf);
	return bad;
}

/* ---------------------------------------------------------- interrupt */

static void on_signal(int sig)
{
	(void)sig;
}

/* Its exit status is the errno. */
static pid_t start_suspend(const char *name)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid)
		_exit(-dm_suspend(name, DM_SKIP_LOCKFS_FLAG));
	return pid;
}

/* Until it waits for a command; false if the copy ended before that */
static int waits_for_command(pid_t pid, const struct one_copy *c)
{
	char path[64], where[128] = "";
	u64 end = now_us() + 20000000;

	snprintf(path, sizeof(path), "/proc/%d/wchan", pid);
	while (!c->over && now_us() < end) {
		if (read_text(path, where, sizeof(where)) > 0 &&
		    !strcmp(where, "blk_copy_pin_invalidate"))
			return 1;
		sleep_us(1000);
	}
	printf("# the suspend was last seen in '%s'\n", where);
	return 0;
}

/* The suspend ends before the command does, and the device goes on. */
static int interrupt_once(int src, int dst, const char *name, unsigned int i)
{
	struct one_copy c = { .src = src, .dst = dst };
	u64 first, bad = 0;
	int status, in_time;
	unsigned int j;
	pthread_t t;
	pid_t pid;

	fill(src, 0, AREA_BYTES, i, 0);
	gather(&c);
	c.flags = BLKCOPY_NO_EMULATION;
	pthread_create(&t, NULL, one_copy_main, &c);
	if (!wait_for_middle(&c, 0))
		printf("# no command was seen\n");
	pid = start_suspend(name);
	if (waits_for_command(pid, &c)) {
		kill(pid, SIGUSR1);
		if (waitpid(pid, &status, 0) != pid)
			die("waitpid");
		in_time = !c.over && counter("outs_inflight");
		printf("# suspend %u: status %#x, the command %s\n", i, status,
		       in_time ? "goes on" : "was over");
		bad = !in_time || !WIFEXITED(status) ||
			WEXITSTATUS(status) != EINTR;
		hits++;
	} else {
		waitpid(pid, &status, 0);
		bad = 1;
	}
	/* What is not suspended can be read at once, and the copy is whole. */
	if (!bad)
		bad = check(src, 0, SECTOR, i, i, 0, &first);
	pthread_join(t, NULL);
	if (c.err || c.res.bytes_offloaded != AREA_BYTES)
		bad = 1;
	for (j = 0; j < c.nr; j++)
		bad += check(dst, j * c.r[0].length, c.r[0].length, i, i,
			     c.r[j].offset, &first);
	return !!bad;
}

static int cmd_interrupt(char **argv)
{
	const char *name = opts.stack == LINEAR ? "race-src" : "race-in";
	struct sigaction sa = { .sa_handler = on_signal };
	int leaf, src, bad = 0;
	unsigned int i;

	sigaction(SIGUSR1, &sa, NULL);
	opts.running = 1;
	snprintf(leaf_path, sizeof(leaf_path), "%s", argv[0]);
	leaf = open_dev(leaf_path);
	bed_cleanup = remove_stack;
	make_source(2 * AREA_BYTES);
	src = open_dev(src_path);
	for (i = 1; i <= opts.n && !bad; i++)
		bad = interrupt_once(src, leaf, name, i);
	/* And a suspend that nobody interrupts succeeds. */
	if (!bad && (dm_suspend(name, 0) || dm_resume(name)))
		bad = 1;
	close(src);
	close(leaf);
	return bad;
}

/* ------------------------------------------------------------ suspend */

#define PAUSE		60	/* ms */
#define SUSPEND_US	60000000

/* Wait for a copy that is between COPY_IN and COPY_OUT. */
static void wait_for_pause(void)
{
	u64 pauses = counter("pauses"), end = now_us() + 20000000;

	set_pause(PAUSE);
	while (counter("pauses") == pauses)
		if (now_us() > end)
			die("no copy made a pause");
}

/* Suspend and resume one level; also between the halves of a copy. */
static void flap(const char *name, int paused, u64 gap_us)
{
	int err;

	if (paused)
		wait_for_pause();
	err = dm_suspend(name, opts.dm_flags);
	if (paused)
		set_pause(0);
	sleep_us(gap_us);
	if (!err)
		err = dm_resume(name);
	errno = -err;
	if (err)
		die("suspend and resume %s", name);
}

/* A third of the rounds in the pause: on, until references have become stale. */
static int cmd_suspend(char **argv)
{
	static const char *const names[] = { "race-src", "race-dst", "race-in" };
	unsigned int i, nr = opts.stack == LINEAR ? 2 : 3;
	u64 stale = counter("stale"), end;
	int leaf, src, dst, bad;

	snprintf(leaf_path, sizeof(leaf_path), "%s", argv[0]);
	leaf = open_dev(leaf_path);
	bed_cleanup = remove_stack;
	make_source(0);
	dm_create("race-dst", linear_table(2 * AREA_BYTES, leaf_path, 2 * AREA_BYTES),
		  dst_path);
	src = open_dev(src_path);
	dst = open_dev(dst_path);
	fill(src, 0, AREA_BYTES, 1, 0);
	start_copiers(src, dst, AREA_BYTES, 0);
	end = now_us() + SUSPEND_US;
	for (i = 0; i < opts.n || counter("stale") == stale; i++) {
		int paused = i % 3 == 2;

		if (now_us() > end || (!paused && !in_flight()))
			break;
		flap(names[(paused ? i / 3 : i) % nr], paused, i % 4 * 2000);
		hits++;
		sleep_us(i % 3 * 3000);
	}
	bad = join_copiers();
	printf("stale %llu\n", counter("stale") - stale);
	close(src);
	close(dst);
	close(leaf);
	return bad || i < opts.n;
}

/* --------------------------------------------------------------- kill */

#define KILL_BYTES	(64 * MIB)

/* The results of a process that dies are in memory that it shares. */
static pid_t start_copy(int src, int dst, u64 base, struct blk_copy_arg *arg,
			int *err)
{
	static struct blk_copy_range r = { .length = KILL_BYTES };
	pid_t pid;

	memset(arg, 0, sizeof(*arg));
	arg->ranges = (uintptr_t)&r;
	arg->nr_ranges = 1;
	arg->src_fd = src;
	arg->dst_offset = base;
	*err = 0;
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (ioctl(dst, BLKCOPY, arg))
			*err = errno;
		_exit(0);
	}
	return pid;
}

static int kill_once(int src, int dst, u64 base, struct blk_copy_arg *arg,
		     int *err, u64 delay, u64 tag)
{
	u64 first, done;
	pid_t pid;
	int bad;

	fill(src, 0, KILL_BYTES, tag, 0);
	fill(dst, base, KILL_BYTES, OLD, 0);
	pid = start_copy(src, dst, base, arg, err);
	sleep_us(delay);
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		die("waitpid");
	done = arg->bytes_copied;
	bad = done && check(dst, base, done, tag, tag, 0, &first);
	bad |= done < KILL_BYTES &&
		!!check(dst, base + done, KILL_BYTES - done, tag, OLD, done,
			&first);
	bad |= check_gauges();
	printf("# killed after %llu us: %llu bytes copied, %llu offloaded%s\n",
	       delay, done, (u64)arg->bytes_offloaded, bad ? ", WRONG" : "");
	hits += done && done < KILL_BYTES;
	return bad;
}

static int cmd_kill(char **argv)
{
	int src = open_dev(argv[0]), dst = open_dev(argv[1]), bad = 0, status;
	u64 base = strcmp(argv[0], argv[1]) ? 0 : KILL_BYTES, start, all, first;
	struct blk_copy_arg *arg;
	unsigned int i;
	int *err;

	arg = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (arg == MAP_FAILED)
		die("mmap");
	err = (int *)(arg + 1);
	/* How long does it take, when it is not the first time? */
	fill(src, 0, KILL_BYTES, 1, 0);
	waitpid(start_copy(src, dst, base, arg, err), &status, 0);
	start = now_us();
	waitpid(start_copy(src, dst, base, arg, err), &status, 0);
	all = now_us() - start;
	/* Longer than asked for, until it was in the middle once. */
	for (i = 1; !bad && (i <= opts.n || (!hits && i <= 6 * opts.n)); i++)
		bad = kill_once(src, dst, base, arg, err,
				all * (i % opts.n + 1) / (opts.n + 2), i + 1);
	/* And the device is as good as before. */
	waitpid(start_copy(src, dst, base, arg, err), &status, 0);
	if (*err || arg->bytes_copied != KILL_BYTES ||
	    check(dst, base, KILL_BYTES, i, i, 0, &first)) {
		printf("# the copy after all kills: error %d, %llu bytes\n",
		       *err, (u64)arg->bytes_copied);
		bad = 1;
	}
	return bad;
}

/* ------------------------------------------------------------- during */

/* FILE=VALUE,VALUE: the values in turn; or !COMMAND */
static void poke(const char *what, unsigned int turn)
{
	char word[512], *value, *next;
	int err;

	if (what[0] == '!') {
		if (system(what + 1))
			die("'%s' failed", what + 1);
		return;
	}
	snprintf(word, sizeof(word), "%s", what);
	value = strchr(word, '=');
	if (!value)
		die("what is '%s'?", what);
	*value++ = 0;
	next = strtok(value, ",");
	while (turn--) {
		next = strtok(NULL, ",");
		if (!next) {
			snprintf(word, sizeof(word), "%s", what);
			value = strchr(word, '=');
			*value++ = 0;
			next = strtok(value, ",");
		}
	}
	err = write_text(word, "%s", next);
	errno = -err;
	if (err)
		die("write %s to %s", next, word);
}

static int cmd_during(char **argv)
{
	int same = !strcmp(argv[0], argv[1]), src, dst, bad;
	u64 src_bytes = 2 * opts.len;
	unsigned int i;

	src = open_dev(argv[0]);
	dst = same ? src : open_dev(argv[1]);
	fill(src, 0, src_bytes, 1, 0);
	start_copiers(src, dst, src_bytes, same ? src_bytes : 0);
	for (i = 0; i < opts.n && in_flight(); i++) {
		hits++;
		poke(argv[2], i);
		if (!opts.goes)
			sleep_us(opts.gap_ms * 1000);
	}
	bad = join_copiers();
	return bad || i < opts.n;
}

/* --------------------------------------------------------------- main */

static void __noreturn bad_usage(void)
{
	fputs(usage, stderr);
	exit(2);
}

static void parse_stack(const char *name)
{
	if (!strcmp(name, "linear"))
		opts.stack = LINEAR;
	else if (!strcmp(name, "nested"))
		opts.stack = NESTED;
	else if (!strcmp(name, "inner"))
		opts.stack = INNER;
	else
		bad_usage();
}

static void parse_flag(const char *name)
{
	if (!strcmp(name, "noflush"))
		opts.dm_flags |= DM_NOFLUSH_FLAG;
	else if (!strcmp(name, "nolockfs"))
		opts.dm_flags |= DM_SKIP_LOCKFS_FLAG;
	else if (strcmp(name, "none"))
		bad_usage();
}

static void parse(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "+n:k:f:g:l:t:e:o")) != -1) {
		if (opt == 'n')
			opts.n = atoi(optarg);
		else if (opt == 'k')
			parse_stack(optarg);
		else if (opt == 'f')
			parse_flag(optarg);
		else if (opt == 'g')
			opts.gap_ms = atoi(optarg);
		else if (opt == 'l')
			opts.len = strtoull(optarg, NULL, 0);
		else if (opt == 't')
			opts.threads = min(atoi(optarg), MAX_THREADS);
		else if (opt == 'e')
			opts.goes = optarg;
		else if (opt == 'o')
			opts.running = 1;
		else
			bad_usage();
	}
}

static const struct {
	const char	*name;
	int		args;
	int		(*run)(char **argv);
} commands[] = {
	{ "reload", 1, cmd_reload },
	{ "target", 1, cmd_target },
	{ "again", 1, cmd_again },
	{ "interrupt", 1, cmd_interrupt },
	{ "suspend", 1, cmd_suspend },
	{ "kill", 2, cmd_kill },
	{ "during", 3, cmd_during },
};

int main(int argc, char **argv)
{
	unsigned int i;
	int bad;

	for (i = 0; argc > 1 && i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			break;
	if (argc < 2 || i == ARRAY_SIZE(commands))
		bad_usage();
	parse(argc - 1, argv + 1);
	if (argc - 1 - optind != commands[i].args)
		bad_usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	bad = commands[i].run(argv + 1 + optind);
	if (bed_cleanup)
		bed_cleanup();
	bad |= check_gauges();
	printf("hits %u\nouts %u\n", hits, outs);
	return bad || !hits;
}
