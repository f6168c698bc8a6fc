// SPDX-License-Identifier: GPL-2.0
/*
 * Thousands of random copies against a model of what they must do.
 *
 * The model keeps every byte of all leaves in memory and makes the stacks over
 * them itself.  It says for each copy what every sector holds afterwards, which
 * commands each leaf must have executed, and how far a copy that fails must have
 * come; between copies it changes limits and tables, and during some it suspends
 * what they read from.  Around the destination this is compared after each copy,
 * on all of each disk after every 50th, and through all stacks after every 150th.
 *
 * What kinds of copies there were is counted, and which disk was copied to which
 * one through what: a kind that never came up proves nothing, and the test says
 * so.  A seed draws the same copies again, whatever comes of them.
 */
#include <dirent.h>
#include <getopt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "model-count.h"
#include "model-map.h"
#include "model-predict.h"

#define TRACE_DIR	"/sys/kernel/tracing/instances/blk_copy_model"
#define CGROUP		"/sys/fs/cgroup"
#define OUR_CGROUP	CGROUP "/blk_copy_model"

/* Facts of the core: bytes of a chunk, of a window of the ioctl, of a unit */
#define CHUNK_BYTES		(16 * MIB)
#define CHUNK_BYTES_THROTTLED	(2 * MIB)
#define WINDOW_BYTES		(64 * MIB)
#define UNIT_BYTES		(512 * 1024ULL)
/* How often a stale token is filled where emulation is forbidden */
#define STALE_TRIES_FORBIDDEN	5
/* Slices that the core can remember */
#define MAP_SLICES		128

#define BATCH			150
/* All bytes of all disks are compared after so many copies */
#define WHOLE			50
/* Segments of a copy whose source is compared at once */
#define SEGS_COMPARED		64
/* The first so many copies have a digest, to be compared with another run */
#define DIGEST_COPIES		60
#define NEIGHBOURHOOD		(64 * 1024ULL)
#define MAX_SEGS		1024
/* Devices of so many bytes see copies of several chunks */
#define LARGE_BYTES		(20 * MIB)

/* ----------------------------------------------------- kinds of copies */

enum kind {
	SEGS_1, SEGS_8, SEGS_64, SEGS_256, SEGS_MORE,
	ENTRIES_1, ENTRIES_8, ENTRIES_64, ENTRIES_256,
	CUTS_TOTAL, CUTS_SEGMENTS, CUTS_SEGMENT_BYTES, CUTS_LEAF,
	CHUNKS_1, CHUNKS_4, CHUNKS_MORE,
	PATH_OFFLOAD, PATH_EMULATED, PATH_MIXED,
	TO_BARE, TO_LINEAR, TO_STRIPED, TO_NESTED,
	FROM_BARE, FROM_LINEAR, FROM_STRIPED, FROM_NESTED,
	M_TO_N, TO_ITSELF, ACROSS,
	TAIL_STRIPE, TAIL_COMMAND, TAIL_SEGMENT, TO_THE_END, FROM_THE_END,
	RESULT_WHOLE, RESULT_PARTIAL, RESULT_NOTSUPP, RESULT_EIO, RESULT_AGAIN,
	FORBIDDEN_WHOLE, BAD_SOURCE, BAD_DESTINATION,
	EVENT_STALE, EVENT_STALE_OFFLOADED, EVENT_OVERFLOW, EVENT_RELOAD,
	EVENT_TINY_LIMIT, EVENT_LIMIT_0,
	NR_KINDS,
};

static const char *const kind_names[NR_KINDS] = {
	[SEGS_1]	= "segments: 1",
	[SEGS_8]	= "segments: 2-8",
	[SEGS_64]	= "segments: 9-64",
	[SEGS_256]	= "segments: 65-256",
	[SEGS_MORE]	= "segments: more than 256",
	[ENTRIES_1]	= "entries per COPY_OUT: 1",
	[ENTRIES_8]	= "entries per COPY_OUT: 2-8",
	[ENTRIES_64]	= "entries per COPY_OUT: 9-64",
	[ENTRIES_256]	= "entries per COPY_OUT: 65-256",
	[CUTS_TOTAL]	= "cuts by the total",
	[CUTS_SEGMENTS]	= "cuts by the number of segments",
	[CUTS_SEGMENT_BYTES] = "cuts by the length of a segment",
	[CUTS_LEAF]	= "cuts where the source leaf changes",
	[CHUNKS_1]	= "chunks: 1",
	[CHUNKS_4]	= "chunks: 2-4",
	[CHUNKS_MORE]	= "chunks: more than 4",
	[PATH_OFFLOAD]	= "way: wholly offloaded",
	[PATH_EMULATED]	= "way: wholly emulated",
	[PATH_MIXED]	= "way: both within one token",
	[TO_BARE]	= "to a bare leaf",
	[TO_LINEAR]	= "to dm-linear",
	[TO_STRIPED]	= "to dm-striped",
	[TO_NESTED]	= "to a nested stack",
	[FROM_BARE]	= "from a bare leaf",
	[FROM_LINEAR]	= "from dm-linear",
	[FROM_STRIPED]	= "from dm-striped",
	[FROM_NESTED]	= "from a nested stack",
	[M_TO_N]	= "offloads with borders at both ends",
	[TO_ITSELF]	= "inside one device",
	[ACROSS]	= "offloaded from another namespace",
	[TAIL_STRIPE]	= "tail: no whole stripe of the destination",
	[TAIL_COMMAND]	= "tail: the last of several commands is shorter",
	[TAIL_SEGMENT]	= "tail: a segment is no multiple of what a range can be",
	[TO_THE_END]	= "to the last block of a disk",
	[FROM_THE_END]	= "from the last block of a disk",
	[RESULT_WHOLE]	= "result: whole",
	[RESULT_PARTIAL] = "result: error after some bytes",
	[RESULT_NOTSUPP] = "result: EOPNOTSUPP",
	[RESULT_EIO]	= "result: EIO",
	[RESULT_AGAIN]	= "result: EAGAIN",
	[FORBIDDEN_WHOLE] = "whole with emulation forbidden",
	[BAD_SOURCE]	= "bad block in the source",
	[BAD_DESTINATION] = "bad block in the destination",
	[EVENT_STALE]	= "stale",
	[EVENT_STALE_OFFLOADED] = "stale, and then offloaded",
	[EVENT_OVERFLOW] = "overflow",
	[EVENT_RELOAD]	= "table reloads",
	[EVENT_TINY_LIMIT] = "tiny limits set",
	[EVENT_LIMIT_0]	= "limits set to 0",
};

static u64 kinds[NR_KINDS];
/* Results from which a caller cannot go on: not at a block of the destination */
static u64 nr_odd_results;

/* ---------------------------------------------------- pairs of devices */

enum form { BARE, LINEAR, STRIPED, NR_FORMS };

static const char *const form_names[NR_FORMS] = {
	[BARE]		= "bare",
	[LINEAR]	= "linear",
	[STRIPED]	= "striped",
};

/*
 * Every disk to every disk, as it is or through a device of its own that has
 * borders within the copy; from one segment or gathered.  Their order is drawn
 * from the seed, and each copy that is for a cell takes the next one.
 */
static struct cell {
	enum form	from_form;
	enum form	to_form;
	unsigned int	from;
	unsigned int	to;
	int		gather;
	u64		copies;
} cells[MAX_LEAVES * MAX_LEAVES * NR_FORMS * NR_FORMS * 2];

static unsigned int nr_cells;
static unsigned int next_cell;

/* ---------------------------------------------------------- one copy */

/**
 * struct copy - a copy and what is to be expected of it
 * @src_runs:	its source on the leaves, joined
 * @dst_runs:	its destination on the leaves, cut at every border
 * @new:	what is copied
 * @old:	what the destination held
 * @bad:	sectors that fail, none if bad.leaf is NULL
 * @stale:	what it reads from is suspended meanwhile
 * @large:	it has several chunks
 * @cell:	which cell of pairs it is for, NULL: any devices
 * @stamp:	marks the sectors that it writes
 * @nr_borders:	of the source: pieces before joining, less segments
 */
struct copy {
	u32			nr;
	struct node		*src;
	struct node		*dst;
	u64			dst_off;
	u64			len;
	u32			nr_segs;
	u32			flags;
	int			stale;
	int			large;
	const struct cell	*cell;
	u32			stamp;
	struct blk_copy_range	segs[MAX_SEGS];
	struct runs		src_runs;
	struct runs		dst_runs;
	unsigned char		*new;
	unsigned char		*old;
	struct bad		bad;
	u32			nr_borders;

	/* what came of it */
	int			err;
	struct blk_copy_arg	res;
};

/* What the trace says about a copy */
struct seen {
	struct forecast	f;
	u64		base;		/* of the window that it is about */
	u64		tokens;
	u64		max_entries;
	u64		done;
	u64		offloaded;
	u64		emulated;
	u64		prefix;		/* first byte that no command moves */
};

static struct rng rng;
static u64 seed;
static u64 nr_copies = 1200;
/* Of what the first copies are, not of what came of them */
static u64 digest;
/* After the last copy, see that one wrong byte is noticed on each disk */
static int break_disks;
static unsigned int whole_every = WHOLE;
/* Number of the last copy after which all disks were compared */
static u32 last_whole;
static int verbose;
static u32 lines_max;
static unsigned char *io_buf;
static char *trace_buf;
#define TRACE_BUF_BYTES	65536
#define TRACE_RING_KIB	8192	/* per CPU */
static int trace_fd = -1;

/* All that makes the case, in few lines: the log of a test shows the last 40 */
static void print_copy(const struct copy *c)
{
	unsigned int i;

	printf("# SEED=%llu N=%llu copy %u: %s -> %s+%llu, %llu bytes in %u segments\n",
	       seed, nr_copies, c->nr, c->src->name, c->dst->name, c->dst_off,
	       c->len, c->nr_segs);
	printf("# segments:");
	for (i = 0; i < c->nr_segs && i < 16; i++)
		printf(" %llu+%llu", (u64)c->segs[i].offset,
		       (u64)c->segs[i].length);
	printf("%s\n", i < c->nr_segs ? " ..." : "");
	printf("# limits:");
	for (i = 0; i < nr_leaves; i++)
		printf(" %s=%llu", leaves[i].name, leaves[i].limit);
	printf("\n# %u pieces of the source, %u of the destination\n",
	       c->src_runs.nr, c->dst_runs.nr);
	printf("# flags %u%s: error %d copied %llu offloaded %llu\n", c->flags,
	       c->stale ? " (suspended)" : "", c->err,
	       (u64)c->res.bytes_copied, (u64)c->res.bytes_offloaded);
	if (c->bad.leaf)
		printf("# bad block: %s %llu+%llu\n", c->bad.leaf->name,
		       c->bad.pos, c->bad.len);
}

static void __noreturn __printf(2, 3)
wrong(const struct copy *c, const char *fmt, ...)
{
	va_list ap;

	print_copy(c);
	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	bed_cleanup();
	exit(1);
}

/* ------------------------------------------------------ leaves and nodes */

static void find_path_disk(struct leaf *l)
{
	unsigned int subsys, head, s, p, h;
	struct dirent *e;
	DIR *dir;

	memcpy(l->path_disk, l->disk, sizeof(l->path_disk));
	if (sscanf(l->disk, "nvme%un%u", &subsys, &head) != 2)
		return;
	dir = opendir("/sys/block");
	while (dir && (e = readdir(dir)))
		if (sscanf(e->d_name, "nvme%uc%un%u", &s, &p, &h) == 3 &&
		    s == subsys && h == head)
			snprintf(l->path_disk, sizeof(l->path_disk), "%.31s",
				 e->d_name);
	closedir(dir);
}

static void real_name(const char *path, char *name, size_t size)
{
	char *real = realpath(path, NULL);

	if (!real)
		die("no %s", path);
	snprintf(name, size, "%s", strrchr(real, '/') + 1);
	free(real);
}

static void fill_node(struct node *n, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		die("stat %s", n->path);
	n->dev = st.st_rdev;
	n->fd = fd;
	real_name(n->path, n->disk, sizeof(n->disk));
	n->lbs = queue_number(n->disk, "logical_block_size");
}

static void read_limits(struct leaf *l)
{
	l->limit = queue_number(l->disk, "copy_max_bytes");
	l->hw_limit = queue_number(l->disk, "copy_max_hw_bytes");
	l->max_ranges = queue_number(l->disk, "copy_max_segments");
	l->max_range_bytes = queue_number(l->disk, "copy_max_segment_bytes");
}

/* "name=path" */
static void add_leaf(const char *word)
{
	struct leaf *l = &leaves[nr_leaves];
	struct node *n = &nodes[nr_nodes];
	char path[128];

	if (nr_leaves == MAX_LEAVES ||
	    sscanf(word, "%15[^=]=%63[^=]", l->name, n->path) != 2)
		die("what is '%s'?", word);
	l->idx = nr_leaves++;
	nr_nodes++;
	snprintf(n->name, sizeof(n->name), "%s", l->name);
	fill_node(n, open_dev(n->path));
	snprintf(l->disk, sizeof(l->disk), "%s", n->disk);
	find_path_disk(l);
	snprintf(path, sizeof(path), "/sys/block/%s/nsid", l->disk);
	if (!access(path, R_OK))
		l->nsid = read_number(path);
	snprintf(path, sizeof(path), "/sys/kernel/config/nullb/%s", l->disk);
	if (!access(path, F_OK))
		snprintf(l->config, sizeof(l->config), "%.63s", path);
	l->fd = n->fd;
	if (ioctl(n->fd, BLKGETSIZE64, &l->size))
		die("size of %s", n->path);
	n->size = l->size;
	l->lbs = n->lbs;
	n->chunk = CHUNK_BYTES;
	n->leaf = l;
	l->mem = alloc_direct(l->size);
	l->stamp = calloc(l->size / SECTOR, sizeof(*l->stamp));
	if (!l->stamp)
		die("no memory");
	read_limits(l);
	snprintf(path, sizeof(path), "/sys/block/%s/queue/copy_domain", l->disk);
	if (read_text(path, l->domain, sizeof(l->domain)) <= 0)
		die("read %s", path);
}

/*
 * Those that share a device must not share a leaf: no byte is at two places.
 * Each leaf is the only one of a linear and of a striped device, lin-NAME and
 * str-NAME.  All are longer than that by a tail that is no multiple of anything.
 */
static const struct plan {
	const char	*name;
	enum form	form;
	unsigned int	mib;
	int		throttled;
	const char	*from[4];
} plans[] = {
	{ "lin-wide", LINEAR, 24, 0, { "wide" } },
	{ "lin-wide-thr", LINEAR, 24, 1, { "wide" } },
	{ "str-wide", STRIPED, 9, 0, { "wide" } },
	{ "lin-narrow", LINEAR, 8, 0, { "narrow" } },
	{ "str-narrow", STRIPED, 9, 0, { "narrow" } },
	{ "lin-big", LINEAR, 20, 0, { "big" } },
	{ "lin-big-thr", LINEAR, 20, 1, { "big" } },
	{ "str-big", STRIPED, 9, 0, { "big" } },
	{ "lin-tiny", LINEAR, 6, 0, { "tiny" } },
	{ "str-tiny", STRIPED, 9, 0, { "tiny" } },
	{ "lin-big2", LINEAR, 8, 0, { "big2" } },
	{ "str-big2", STRIPED, 9, 0, { "big2" } },
	{ "lin-4k", LINEAR, 8, 0, { "4k" } },
	{ "str-4k", STRIPED, 9, 0, { "4k" } },
	{ "lin-sda", LINEAR, 8, 0, { "sda" } },
	{ "str-sda", STRIPED, 9, 0, { "sda" } },
	{ "lin-nvme", LINEAR, 12, 0, { "big", "tiny", "big2" } },
	{ "lin-mix", LINEAR, 8, 0, { "wide", "narrow", "big" } },
	{ "str-mix", STRIPED, 9, 0, { "wide", "big", "big2" } },
	{ "mix-sda", LINEAR, 8, 0, { "big", "sda" } },
	{ "mix-4k", LINEAR, 8, 0, { "4k", "wide" } },
	{ "nest-wide", LINEAR, 8, 0, { "str-wide" } },
	{ "nest-mix", LINEAR, 10, 0, { "str-mix", "lin-tiny" } },
	{ "nest-str", STRIPED, 9, 0, { "lin-wide", "lin-big" } },
};

static struct node *find_node(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_nodes; i++)
		if (!strcmp(nodes[i].name, name))
			return &nodes[i];
	die("no device %s", name);
}

static const struct plan *plan_of(const struct node *n)
{
	return n->leaf ? NULL : &plans[n - nodes - nr_leaves];
}

static int is_nested(const struct node *n)
{
	return !n->leaf && !n->targets[0].leg[0].node->leaf;
}

/* Make up a table as planned; its shape is another one each time. */
static void new_table(struct node *n)
{
	const struct plan *plan = plan_of(n);
	struct node *from[4];
	struct pool pool;
	unsigned int i;
	u64 tail;

	n->nr_targets = 0;
	n->lbs = SECTOR;
	for (i = 0; i < 4 && plan->from[i]; i++) {
		from[i] = find_node(plan->from[i]);
		n->lbs = max(n->lbs, from[i]->lbs);
	}
	tail = 13 * n->lbs;
	n->size = plan->mib * MIB + tail;
	if (plan->form == LINEAR) {
		u64 part = 4096ULL << rng_range(&rng, 2, 6);

		while (n->size / part > MAX_TARGETS / 4)
			part *= 2;
		pool_make(&pool, &rng, from, i, part);
		make_linear(n, &rng, &pool);
	} else {
		/* Long enough for the fewest legs; or for the most. */
		pool_make(&pool, &rng, from, i, plan->mib * MIB / 2);
		if (pool.nr <= MAX_LEGS) {
			free(pool.part);
			pool_make(&pool, &rng, from, i,
				  plan->mib * MIB / MAX_LEGS);
			n->targets[0].nr_legs = MAX_LEGS;
		} else {
			n->targets[0].nr_legs = rng_range(&rng, 2, MAX_LEGS);
		}
		make_striped(n, &rng, &pool, tail);
	}
	free(pool.part);
	load_table(n);
}

static void throttle(const struct node *n)
{
	int err = write_text(OUR_CGROUP "/io.max",
			     "%u:%u rbps=1000000000000 wbps=1000000000000",
			     major(n->dev), minor(n->dev));

	errno = -err;
	if (err)
		die("limit the rate of %s", n->name);
}

static void make_stacks(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(plans); i++) {
		struct node *n = &nodes[nr_nodes++];

		snprintf(n->name, sizeof(n->name), "%s", plans[i].name);
		n->targets = calloc(MAX_TARGETS, sizeof(*n->targets));
		n->fd = -1;
		new_table(n);
		fill_node(n, n->fd);
		n->chunk = CHUNK_BYTES;
		if (plans[i].throttled)
			throttle(n);
	}
}

static void make_cgroup(void)
{
	if (write_text(CGROUP "/cgroup.subtree_control", "+io") ||
	    (mkdir(OUR_CGROUP, 0755) && errno != EEXIST) ||
	    write_text(OUR_CGROUP "/cgroup.procs", "%d", getpid()))
		die("make a cgroup");
}

static void open_trace(void)
{
	if ((mkdir(TRACE_DIR, 0755) && errno != EEXIST) ||
	    write_text(TRACE_DIR "/events/blk_copy/enable", "1"))
		die("make a trace instance");
	/* A copy in pieces of 4 KiB has more events than the default holds. */
	if (write_text(TRACE_DIR "/buffer_size_kb", "%d", TRACE_RING_KIB))
		die("size of the trace's buffer");
	trace_fd = open(TRACE_DIR "/trace_pipe",
			O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (trace_fd < 0)
		die("open trace_pipe");
}

static void cleanup(void)
{
	unsigned int i;

	write_text(PAUSE_MS, "0");
	for (i = nr_nodes; i-- > nr_leaves;) {
		if (nodes[i].fd >= 0)
			close(nodes[i].fd);
		dm_resume(nodes[i].name);
		dm_remove(nodes[i].name);
	}
	for (i = 0; i < nr_leaves; i++)
		if (leaves[i].hw_limit)
			set_copy_max(leaves[i].disk,
				     min(leaves[i].hw_limit, CHUNK_BYTES));
	if (trace_fd >= 0)
		close(trace_fd);
	rmdir(TRACE_DIR);
	write_text(CGROUP "/cgroup.procs", "%d", getpid());
	rmdir(OUR_CGROUP);
}

/* --------------------------------------------------------- comparisons */

/* Where does the model have such a sector? */
static void explain(const unsigned char *have)
{
	unsigned int i;
	u64 pos;

	for (i = 0; i < nr_leaves; i++)
		for (pos = 0; pos < leaves[i].size; pos += SECTOR)
			if (!memcmp(leaves[i].mem + pos, have, SECTOR))
				printf("#   it has what belongs at %s+%llu\n",
				       leaves[i].name, pos);
}

/*
 * Compare a range of a node with the model, which knows all of it; what a copy
 * that failed left undecided was settled before.
 */
static int compare(const struct node *n, u64 off, u64 len)
{
	unsigned int shown = 0;

	while (len) {
		u64 want = min(len, IO_BYTES), at = 0;

		read_dev(n->fd, io_buf, want, off);
		while (at < want) {
			u64 run = want - at, pos, i;
			const struct leaf *l = map(n, off + at, &run, &pos);

			for (i = 0; i < run && memcmp(io_buf + at, l->mem + pos,
						      run); i += SECTOR) {
				if (!memcmp(io_buf + at + i, l->mem + pos + i,
					    SECTOR) || shown++ > 3)
					continue;
				printf("# %s+%llu (%s+%llu) is wrong\n", n->name,
				       off + at + i, l->name, pos + i);
				explain(io_buf + at + i);
			}
			at += run;
		}
		off += want;
		len -= want;
	}
	return shown;
}

/* Every byte of the first devices; the leaves are in front. */
static void compare_first(unsigned int n, u32 nr)
{
	unsigned int i, bad = 0;

	for (i = 0; i < n; i++)
		bad += compare(&nodes[i], 0, nodes[i].size);
	if (bad) {
		printf("# SEED=%llu N=%llu: disks are wrong after copy %u,\n",
		       seed, nr_copies, nr);
		printf("# and were as the model says after copy %u.\n",
		       last_whole);
		printf("# With -w 1 they are compared after each copy\n");
		bed_cleanup();
		exit(1);
	}
	last_whole = nr;
}

/* One byte wrong on each disk, anywhere: it must be seen on each, and only it. */
static void check_comparison(void)
{
	unsigned int i;

	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];
		u64 pos = rng_below(&rng, l->size), block = pos - pos % l->lbs;
		int seen;

		memcpy(io_buf, l->mem + block, l->lbs);
		io_buf[pos - block] ^= 1 << rng_below(&rng, 8);
		write_dev(l->fd, io_buf, l->lbs, block);
		seen = compare(&nodes[i], 0, l->size);
		write_dev(l->fd, l->mem + block, l->lbs, block);
		if (seen != 1)
			die("%s: %d sectors of the disk are wrong, not 1",
			    l->name, seen);
	}
	printf("# one wrong byte was seen on each of %u disks\n", nr_leaves);
}

/* New content: or after many copies all devices are full of the same. */
static void refresh(void)
{
	unsigned int i;

	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];

		rng_fill(&rng, l->mem, l->size);
		write_dev(l->fd, l->mem, l->size, 0);
	}
}

/* --------------------------------------------------------------- trace */

static void see_token(struct copy *c, struct seen *s, u64 off, u64 len,
		      u64 entries)
{
	u64 prefix;

	off += s->base;
	if (off + len > c->len)
		wrong(c, "token %llu+%llu is outside of the copy", off, len);
	s->tokens++;
	s->max_entries = max(s->max_entries, entries);
	kinds[entries <= 1 ? ENTRIES_1 : entries <= 8 ? ENTRIES_8 :
	      entries <= 64 ? ENTRIES_64 : ENTRIES_256]++;
	prefix = forecast_token(&s->f, &c->src_runs, &c->dst_runs, off, len,
				&c->bad);
	if (prefix < len)
		s->prefix = min(s->prefix, off + prefix);
}

/* What follows a word in a line of an event; NULL: another event */
static const char *after(const char *line, const char *event, const char *word)
{
	const char *p = strstr(line, event);

	return p ? strstr(p + strlen(event), word) : NULL;
}

static void see_line(struct copy *c, struct seen *s, const char *line)
{
	const char *p;
	u64 x, y, z;

	if (strstr(line, "LOST"))
		die("the trace has lost events");
	p = after(line, "blk_copy_start: ", "sector ");
	if (p && sscanf(p, "sector %llu len %llu", &x, &y) == 2)
		s->base = x * SECTOR - c->dst_off;
	p = after(line, "blk_copy_token: ", "off ");
	if (p && sscanf(p, "off %llu len %llu entries %llu", &x, &y, &z) == 3)
		see_token(c, s, x, y, z);
	p = after(line, "blk_copy_fallback: ", "off ");
	/* Without a token sent, nothing of the step was moved. */
	if (p && sscanf(p, "off %llu", &x) == 1 &&
	    (strstr(p, "reason limit") || strstr(p, "reason copy_in") ||
	     strstr(p, "reason overflow")))
		s->prefix = min(s->prefix, s->base + x);
	p = after(line, "blk_copy_done: ", "done ");
	if (p && sscanf(p, "done %llu offloaded %llu emulated %llu",
			&x, &y, &z) == 3) {
		s->done += x;
		s->offloaded += y;
		s->emulated += z;
	}
}

/* Read what was traced since the last time; NULL: throw it away. */
static void read_trace(struct copy *c, struct seen *s)
{
	size_t have = 0;
	u32 lines = 0;
	ssize_t n;

	while ((n = read(trace_fd, trace_buf + have,
			 TRACE_BUF_BYTES - 1 - have)) > 0) {
		char *line = trace_buf, *end;

		have += n;
		trace_buf[have] = 0;
		while ((end = strchr(line, '\n'))) {
			lines++;
			*end = 0;
			if (verbose > 1)
				printf("# %s\n", line);
			if (c)
				see_line(c, s, line);
			line = end + 1;
		}
		have = strlen(line);
		memmove(trace_buf, line, have);
	}
	lines_max = max(lines_max, lines);
}

/* ------------------------------------------------------- making a copy */

static void stamp_runs(const struct runs *runs, u32 stamp)
{
	unsigned int i;
	u64 s;

	for (i = 0; i < runs->nr; i++)
		for (s = 0; s < runs->r[i].len / SECTOR; s++)
			runs->r[i].leaf->stamp[runs->r[i].pos / SECTOR + s] = stamp;
}

/* Would a source range read what this copy writes? */
static int is_stamped(const struct node *n, u64 off, u64 len, u32 stamp)
{
	while (len) {
		u64 run = len, pos, s;
		const struct leaf *l = map(n, off, &run, &pos);

		for (s = 0; s < run / SECTOR; s++)
			if (l->stamp[pos / SECTOR + s] == stamp)
				return 1;
		off += run;
		len -= run;
	}
	return 0;
}

static u64 pick_len(const struct copy *c)
{
	u64 most = min(c->src->size, c->dst->size), len;

	if (c->stale)
		len = rng_log(&rng, 4096, MIB);
	else if (c->large)
		len = rng_range(&rng, 3 * MIB, min(most, 34 * MIB));
	else if (rng_percent(&rng, 80))
		len = rng_log(&rng, c->dst->lbs, MIB / 2);
	else
		len = rng_log(&rng, 64 * 1024, 4 * MIB);
	len = min(len, c->src == c->dst ? most / 2 : most);
	return max(len - len % c->dst->lbs, (u64)c->dst->lbs);
}

static u32 pick_nr_segs(const struct copy *c)
{
	static const u32 most[] = { 1, 8, 64, 256, 1024 };
	static const u32 share[] = { 40, 68, 84, 93, 100 };
	u32 p = rng_below(&rng, 100), i;

	if (c->cell)
		return c->cell->gather ? rng_log(&rng, 2, 64) : 1;
	for (i = 0; p >= share[i]; i++)
		;
	return i ? rng_range(&rng, most[i - 1] + 1, most[i]) : 1;
}

static void add_seg(struct copy *c, u64 len)
{
	u32 lbs = c->src->lbs;
	unsigned int tries;

	for (tries = 0; tries < 20; tries++) {
		u64 off = rng_below(&rng, (c->src->size - len) / lbs + 1) * lbs;
		struct blk_copy_range *last = &c->segs[c->nr_segs - 1];

		/* Now and then what the one before goes on with */
		if (c->nr_segs && !tries && rng_percent(&rng, 15) &&
		    last->offset + last->length + len <= c->src->size)
			off = last->offset + last->length;
		else if (!tries && rng_percent(&rng, 5))
			off = c->src->size - len;
		if (is_stamped(c->src, off, len, c->stamp))
			continue;
		c->segs[c->nr_segs].offset = off;
		c->segs[c->nr_segs].length = len;
		c->nr_segs++;
		c->len += len;
		return;
	}
}

/* Segments whose sum suits the destination */
static void pick_segs(struct copy *c, u64 len, u32 nr)
{
	u32 lbs = c->src->lbs;

	c->nr_segs = 0;
	c->len = 0;
	for (; nr && len >= lbs; nr--) {
		u64 one = len / nr, n;

		/* nr = 1: all the rest; else around the average */
		if (nr > 1 && one > lbs)
			one = rng_range(&rng, 1, 2 * one);
		n = max(one - one % lbs, (u64)lbs);
		n = min(n, len - len % lbs);
		add_seg(c, n);
		len -= n;
	}
	while (c->nr_segs && c->len % c->dst->lbs) {
		struct blk_copy_range *last = &c->segs[c->nr_segs - 1];
		u64 n = min(c->len % c->dst->lbs, (u64)last->length);

		last->length -= n;
		c->len -= n;
		c->nr_segs -= !last->length;
	}
}

static int shares_leaf(const struct node *a, const struct node *b)
{
	u64 i, off, run, pos;

	for (i = 0; i < 8; i++) {
		const struct leaf *l;
		u64 j;

		run = 1;
		l = map(a, rng_below(&rng, a->size / SECTOR) * SECTOR, &run, &pos);
		for (j = 0; j < 4; j++) {
			run = 1;
			off = rng_below(&rng, b->size / SECTOR) * SECTOR;
			if (map(b, off, &run, &pos) == l)
				return 1;
		}
	}
	return 0;
}

static struct node *pick_node(const struct copy *c)
{
	struct node *n;

	do {
		n = &nodes[rng_below(&rng, nr_nodes)];
	} while (c->large && n->size < LARGE_BYTES);
	return n;
}

static struct node *cell_node(unsigned int leaf, enum form form)
{
	char name[24];

	if (form == BARE)
		return &nodes[leaf];
	snprintf(name, sizeof(name), "%s-%s", form == LINEAR ? "lin" : "str",
		 leaves[leaf].name);
	return find_node(name);
}

static void pick_nodes(struct copy *c)
{
	unsigned int tries = rng_percent(&rng, 75) ? 20 : 1;

	if (c->cell) {
		c->dst = cell_node(c->cell->to, c->cell->to_form);
		c->src = cell_node(c->cell->from, c->cell->from_form);
		return;
	}
	c->dst = pick_node(c);
	do {
		c->src = pick_node(c);
	} while ((c->stale && c->src->leaf) ||
		 (--tries && !shares_leaf(c->src, c->dst)));
}

/* Make up a copy; false if there is no room for one. */
static int pick_copy(struct copy *c)
{
	unsigned int i;
	u64 len;

	pick_nodes(c);
	len = pick_len(c);
	c->dst_off = rng_below(&rng, (c->dst->size - len) / c->dst->lbs + 1) *
		c->dst->lbs;
	if (rng_percent(&rng, 5))
		c->dst_off = c->dst->size - len;
	c->stamp++;
	c->dst_runs.nr = 0;
	add_runs(&c->dst_runs, c->dst, c->dst_off, len, 0);
	stamp_runs(&c->dst_runs, c->stamp);
	pick_segs(c, len, pick_nr_segs(c));
	if (!c->len)
		return 0;

	c->dst_runs.nr = 0;
	add_runs(&c->dst_runs, c->dst, c->dst_off, c->len, 0);
	c->src_runs.nr = 0;
	for (i = 0; i < c->nr_segs; i++)
		add_runs(&c->src_runs, c->src, c->segs[i].offset,
			 c->segs[i].length, 0);
	c->nr_borders = c->src_runs.nr - c->nr_segs;
	c->src_runs.nr = 0;
	for (i = 0; i < c->nr_segs; i++)
		add_runs(&c->src_runs, c->src, c->segs[i].offset,
			 c->segs[i].length, 1);
	c->new = realloc(c->new, c->len);
	c->old = realloc(c->old, c->len);
	if (!c->new || !c->old)
		die("no memory");
	runs_mem(&c->src_runs, 0, c->len, c->new, 0);
	runs_mem(&c->dst_runs, 0, c->len, c->old, 0);
	return 1;
}

static int has_borders(const struct copy *c)
{
	const struct cell *cell = c->cell;

	return (cell->from_form == BARE || c->nr_borders) &&
		(cell->to_form == BARE || c->dst_runs.nr > 1) &&
		cell->gather == (c->nr_segs > 1);
}

/* The same for a cell, which wants borders at ends that are no bare disks. */
static int pick_cell_copy(struct copy *c)
{
	unsigned int tries;

	for (tries = 0; tries < 100; tries++)
		if (pick_copy(c) && has_borders(c))
			return 1;
	return 0;
}

static void make_cells(void)
{
	unsigned int i, most = nr_leaves * nr_leaves * NR_FORMS * NR_FORMS * 2;

	for (nr_cells = 0; nr_cells < most; nr_cells++) {
		unsigned int left = nr_cells;
		struct cell *cell = &cells[nr_cells];

		cell->gather = left % 2;
		left /= 2;
		cell->from_form = left % NR_FORMS;
		left /= NR_FORMS;
		cell->to_form = left % NR_FORMS;
		left /= NR_FORMS;
		cell->from = left % nr_leaves;
		cell->to = left / nr_leaves;
	}
	for (i = nr_cells; i > 1; i--) {
		unsigned int j = rng_below(&rng, i);
		struct cell tmp = cells[j];

		cells[j] = cells[i - 1];
		cells[i - 1] = tmp;
	}
}

/* --------------------------------------------------- things that happen */

static void set_bad(const struct bad *bad, char sign)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), "%s/badblocks", bad->leaf->config);
	err = write_text(path, "%c%llu-%llu", sign, bad->pos / SECTOR,
			 (bad->pos + bad->len) / SECTOR - 1);
	errno = -err;
	if (err)
		die("set %s", path);
}

/* Make some sectors bad that the copy needs, if it needs any of a null_blk. */
static void pick_bad(struct copy *c)
{
	int source = rng_percent(&rng, 50);
	const struct runs *runs = source ? &c->src_runs : &c->dst_runs;
	const struct run *r = run_at(runs, rng_below(&rng, c->len));

	c->bad.leaf = NULL;
	if (!r->leaf->config[0])
		return;
	c->bad.leaf = r->leaf;
	c->bad.pos = r->pos + rng_below(&rng, r->len / SECTOR) * SECTOR;
	c->bad.len = min(r->pos + r->len - c->bad.pos,
			 rng_range(&rng, 1, 16) * SECTOR);
	kinds[source ? BAD_SOURCE : BAD_DESTINATION]++;
	set_bad(&c->bad, '+');
}

/* First byte of a copy that needs a bad sector */
static u64 first_bad(const struct copy *c)
{
	const struct runs *sides[] = { &c->src_runs, &c->dst_runs };
	u64 first = c->len;
	unsigned int i, j;

	for (i = 0; c->bad.leaf && i < 2; i++) {
		for (j = 0; j < sides[i]->nr; j++) {
			const struct run *r = &sides[i]->r[j];
			u64 at = r->off;

			if (!touches(&c->bad, r->leaf, r->pos, r->len))
				continue;
			if (c->bad.pos > r->pos)
				at += c->bad.pos - r->pos;
			first = min(first, at);
		}
	}
	return first;
}

static void restore_limits(void)
{
	unsigned int i;

	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];

		l->limit = min(l->hw_limit, CHUNK_BYTES);
		if (l->limit)
			set_copy_max(l->disk, l->limit);
	}
}

static void change_limit(void)
{
	struct leaf *l = &leaves[rng_below(&rng, nr_leaves)];
	u64 full = min(l->hw_limit, CHUNK_BYTES);

	if (!l->hw_limit)
		return;
	if (l->limit != full) {
		l->limit = full;
	} else if (rng_percent(&rng, 25)) {
		l->limit = 0;
		kinds[EVENT_LIMIT_0]++;
	} else {
		l->limit = rng_range(&rng, 1, 16) * l->lbs;
		kinds[EVENT_TINY_LIMIT]++;
	}
	l->limit = min(l->limit, l->hw_limit);
	set_copy_max(l->disk, l->limit);
}

/*
 * Another table; what lies above keeps its own, which says the same.  A leaf
 * that is closed at that time would close the device until its next table.
 */
static void change_table(void)
{
	restore_limits();
	new_table(&nodes[rng_range(&rng, nr_leaves, nr_nodes - 1)]);
	kinds[EVENT_RELOAD]++;
}

/* ----------------------------------------- suspends while a copy pauses */

static struct flapper {
	sem_t		go;
	sem_t		gone;
	atomic_int	stop;
	const struct node *node;
	unsigned int	times;
	u64		pauses;
} flapper;

/* Suspend what the copy reads from each time that it pauses, some times. */
static void flap(struct flapper *f)
{
	unsigned int i;

	for (i = 0; i < f->times; i++) {
		while (!f->stop && counter("pauses") == f->pauses + i)
			sleep_us(300);
		if (f->stop)
			return;
		if (dm_suspend(f->node->name, 0) || dm_resume(f->node->name))
			die("suspend %s", f->node->name);
	}
}

static void *flapper_main(void *arg)
{
	struct flapper *f = arg;

	for (;;) {
		sem_wait(&f->go);
		flap(f);
		sem_post(&f->gone);
	}
	return NULL;
}

/* The device itself, or one below it */
static const struct node *pick_flapped(const struct node *n)
{
	const struct target *t = &n->targets[rng_below(&rng, n->nr_targets)];

	if (is_nested(n) && rng_percent(&rng, 60))
		return t->leg[rng_below(&rng, t->nr_legs)].node;
	return n;
}

static void start_flapper(const struct copy *c)
{
	flapper.node = pick_flapped(c->src);
	/* A copy that must not be emulated gives up at the fifth. */
	flapper.times = rng_range(&rng, 1, STALE_TRIES_FORBIDDEN + 2);
	flapper.pauses = counter("pauses");
	flapper.stop = 0;
	set_pause(25);
	sem_post(&flapper.go);
}

static void stop_flapper(void)
{
	flapper.stop = 1;
	sem_wait(&flapper.gone);
	set_pause(0);
}

/* ------------------------------------------------------ what came of it */

/* Behind what was reported, each sector is old or new: see which. */
static void settle_rest(struct copy *c)
{
	u64 off = c->res.bytes_copied - c->res.bytes_copied % c->dst->lbs;

	while (off < c->len) {
		u64 n = min(c->len - off, IO_BYTES), i;

		read_dev(c->dst->fd, io_buf, n, c->dst_off + off);
		for (i = 0; i < n; i += SECTOR) {
			const unsigned char *have = io_buf + i;

			if (memcmp(have, c->old + off + i, SECTOR) &&
			    memcmp(have, c->new + off + i, SECTOR)) {
				explain(have);
				wrong(c, "byte %llu is neither old nor new",
				      off + i);
			}
		}
		runs_mem(&c->dst_runs, off, n, io_buf, 1);
		off += n;
	}
}

static u64 nr_chunks(const struct copy *c)
{
	u64 chunk = min(c->src->chunk, c->dst->chunk), left = c->len, n = 0;

	while (left) {
		u64 window = min(left, WINDOW_BYTES);

		n += (window + chunk - 1) / chunk;
		left -= window;
	}
	return n;
}

static void check_stopped(struct copy *c, const struct seen *s)
{
	u64 bad = first_bad(c), copied = c->res.bytes_copied;
	u64 whole = min(s->prefix, c->len), block = max(c->src->lbs, c->dst->lbs);

	if (copied >= c->len)
		wrong(c, "an error, and all is copied");
	if (c->flags & BLKCOPY_NO_EMULATION) {
		/* Not for one suspend, nor where nothing was stale. */
		if (c->stale && c->err == -EAGAIN &&
		    flapper.times >= STALE_TRIES_FORBIDDEN &&
		    s->tokens >= STALE_TRIES_FORBIDDEN)
			return;
		whole -= whole % block;
		if (copied != whole && !c->stale &&
		    s->f.max_commands <= MAP_SLICES)
			wrong(c, "the devices move the first %llu bytes",
			      whole);
		if (c->err != -EOPNOTSUPP && (c->err != -EIO || bad == c->len))
			wrong(c, "a wrong error");
		return;
	}
	if (bad == c->len || c->err != -EIO)
		wrong(c, "no reason for this error");
	if (copied > bad || copied + UNIT_BYTES <= bad)
		wrong(c, "the first bad byte is %llu", bad);
}

static void check_whole(struct copy *c, const struct seen *s)
{
	if (c->res.bytes_copied != c->len)
		wrong(c, "no error, and not all is copied");
	if (first_bad(c) < c->len)
		wrong(c, "a bad block was copied");
	if (c->flags & BLKCOPY_NO_EMULATION &&
	    c->res.bytes_offloaded != c->len)
		wrong(c, "emulation was forbidden");
	if (c->stale)
		return;
	if (c->res.bytes_offloaded == c->len && s->tokens < nr_chunks(c))
		wrong(c, "%llu tokens for %llu chunks", s->tokens, nr_chunks(c));
	if (c->res.bytes_offloaded > s->f.offloaded ||
	    (c->res.bytes_offloaded < s->f.offloaded &&
	     s->f.max_commands <= MAP_SLICES))
		wrong(c, "devices should have moved %llu bytes",
		      s->f.offloaded);
}

static void check_result(struct copy *c, const struct seen *s)
{
	if (c->res.bytes_copied > c->len ||
	    c->res.bytes_offloaded > c->res.bytes_copied)
		wrong(c, "impossible numbers");
	if (s->done != c->res.bytes_copied ||
	    s->offloaded != c->res.bytes_offloaded ||
	    s->offloaded + s->emulated != s->done)
		wrong(c, "traced: done %llu offloaded %llu emulated %llu",
		      s->done, s->offloaded, s->emulated);
	nr_odd_results += !!(c->res.bytes_copied % c->dst->lbs);
	if (c->err)
		check_stopped(c, s);
	else
		check_whole(c, s);
}

static void check_data(struct copy *c)
{
	u64 lo = c->dst_off - min(c->dst_off, NEIGHBOURHOOD);
	u64 hi = min(c->dst_off + c->len + NEIGHBOURHOOD, c->dst->size);
	unsigned int i, n = min(c->nr_segs, SEGS_COMPARED);

	runs_mem(&c->dst_runs, 0, c->res.bytes_copied, c->new, 1);
	settle_rest(c);
	if (compare(c->dst, lo, hi - lo))
		wrong(c, "wrong data around the destination");
	for (i = 0; i < n; i++)
		if (compare(c->src, c->segs[i].offset, c->segs[i].length))
			wrong(c, "the source has changed");
}

/* ------------------------------------------------------------ histogram */

static int ends_a_disk(const struct runs *runs)
{
	unsigned int i;

	for (i = 0; i < runs->nr; i++)
		if (runs->r[i].pos + runs->r[i].len == runs->r[i].leaf->size)
			return 1;
	return 0;
}

/* What is left over at the end of things that have a size */
static void count_tails(const struct copy *c, const struct seen *s)
{
	const struct leaf *to = c->dst_runs.r[0].leaf;
	const struct target *t = c->dst->targets;
	unsigned int i;

	kinds[TAIL_STRIPE] += t && t->chunk &&
		(c->dst_off + c->len) % t->chunk && c->len > t->chunk;
	kinds[TAIL_COMMAND] += s->f.cuts[CUT_TOTAL] && c->dst->leaf &&
		to->limit && c->len % to->limit;
	for (i = 0; i < c->nr_segs; i++)
		kinds[TAIL_SEGMENT] += s->f.cuts[CUT_SEGMENT_BYTES] &&
			c->segs[i].length > to->max_range_bytes &&
			c->segs[i].length % to->max_range_bytes;
}

static void count_ends(const struct copy *c, const struct seen *s)
{
	const struct plan *to = plan_of(c->dst), *from = plan_of(c->src);

	kinds[!to ? TO_BARE : is_nested(c->dst) ? TO_NESTED :
	      to->form == LINEAR ? TO_LINEAR : TO_STRIPED]++;
	kinds[!from ? FROM_BARE : is_nested(c->src) ? FROM_NESTED :
	      from->form == LINEAR ? FROM_LINEAR : FROM_STRIPED]++;
	kinds[TO_ITSELF] += c->src == c->dst;
	kinds[TO_THE_END] += ends_a_disk(&c->dst_runs);
	kinds[FROM_THE_END] += ends_a_disk(&c->src_runs);
	kinds[ACROSS] += c->res.bytes_offloaded == c->len && s->f.across;
	kinds[M_TO_N] += c->nr_borders && c->dst_runs.nr > 1 &&
		c->res.bytes_offloaded == c->len;
}

static void count_copy(const struct copy *c, const struct seen *s,
		       u64 stale, u64 overflow)
{
	u64 chunks = nr_chunks(c);

	kinds[c->nr_segs == 1 ? SEGS_1 : c->nr_segs <= 8 ? SEGS_8 :
	      c->nr_segs <= 64 ? SEGS_64 : c->nr_segs <= 256 ? SEGS_256 :
	      SEGS_MORE]++;
	kinds[chunks == 1 ? CHUNKS_1 : chunks <= 4 ? CHUNKS_4 : CHUNKS_MORE]++;
	kinds[CUTS_TOTAL] += s->f.cuts[CUT_TOTAL];
	kinds[CUTS_SEGMENTS] += s->f.cuts[CUT_SEGMENTS];
	kinds[CUTS_SEGMENT_BYTES] += s->f.cuts[CUT_SEGMENT_BYTES];
	kinds[CUTS_LEAF] += s->f.cuts[CUT_LEAF];
	kinds[PATH_OFFLOAD] += c->res.bytes_offloaded == c->len;
	kinds[PATH_EMULATED] += !c->err && !c->res.bytes_offloaded;
	kinds[PATH_MIXED] += !c->err && !c->stale && s->f.mixed;
	kinds[RESULT_WHOLE] += !c->err;
	kinds[RESULT_PARTIAL] += c->err && c->res.bytes_copied;
	kinds[RESULT_NOTSUPP] += c->err == -EOPNOTSUPP;
	kinds[RESULT_EIO] += c->err == -EIO;
	kinds[RESULT_AGAIN] += c->err == -EAGAIN;
	kinds[FORBIDDEN_WHOLE] += !c->err && (c->flags & BLKCOPY_NO_EMULATION);
	kinds[EVENT_STALE] += !!stale;
	kinds[EVENT_STALE_OFFLOADED] += stale &&
		c->res.bytes_offloaded == c->len;
	kinds[EVENT_OVERFLOW] += !!overflow;
	count_ends(c, s);
	count_tails(c, s);
	if (c->cell && !c->err)
		cells[c->cell - cells].copies++;
}

/* Of all pairs of disks, that which was copied least often */
static u64 fewest_copies(enum form from, enum form to, int gather)
{
	unsigned int i, told = 0;
	u64 fewest = ~0ULL;

	for (i = 0; i < nr_cells; i++) {
		const struct cell *cell = &cells[i];

		if (cell->from_form != from || cell->to_form != to ||
		    cell->gather != gather)
			continue;
		fewest = min(fewest, cell->copies);
		if (!cell->copies && told++ < 2)
			printf("# never: %s -> %s (%s, %s)\n",
			       leaves[cell->from].name, leaves[cell->to].name,
			       form_names[from], form_names[to]);
	}
	return fewest;
}

static void print_pairs(void)
{
	unsigned int i;

	for (i = 0; i < NR_FORMS * NR_FORMS * 2; i++) {
		enum form from = i / 2 % NR_FORMS, to = i / 2 / NR_FORMS;

		printf("class %8llu every pair of disks, %s -> %s, %s\n",
		       fewest_copies(from, to, i % 2), form_names[from],
		       form_names[to], i % 2 ? "gathered" : "one segment");
	}
}

/* What is wrong with these is for the caller to say. */
static void print_kinds(void)
{
	unsigned int i;

	for (i = 0; i < NR_KINDS; i++)
		printf("class %8llu %s\n", kinds[i], kind_names[i]);
	print_pairs();
	printf("odd %llu\n", nr_odd_results);
}

/* ----------------------------------------------------------------- main */

static void read_dst_stat(const struct copy *c, u64 *stale, u64 *overflow)
{
	char path[128], text[1024];

	snprintf(path, sizeof(path), "/sys/block/%s/copy_stat", c->dst->disk);
	if (read_text(path, text, sizeof(text)) <= 0 ||
	    find_field(text, "stale", stale) ||
	    find_field(text, "overflow", overflow))
		die("read %s", path);
}

static void issue(struct copy *c)
{
	/* -1: the same device, now and then */
	int src = c->src == c->dst && rng_percent(&rng, 50) ? -1 : c->src->fd;

	if (c->stale)
		start_flapper(c);
	c->err = blkcopy(c->dst->fd, c->dst_off, src, c->segs, c->nr_segs,
			 c->flags, &c->res);
	if (c->stale)
		stop_flapper();
}

static void digest_number(u64 n)
{
	digest = (digest ^ n) * 0x9e3779b97f4a7c15ULL;
	digest ^= digest >> 29;
}

/* What makes the copy, but for names that depend on the machine */
static void digest_copy(const struct copy *c)
{
	unsigned int i;

	if (c->nr > DIGEST_COPIES)
		return;
	digest_number(c->src - nodes);
	digest_number(c->dst - nodes);
	digest_number(c->dst_off);
	digest_number(c->len);
	digest_number(c->flags | c->stale << 8 | c->large << 9);
	for (i = 0; i < c->nr_segs; i++) {
		digest_number(c->segs[i].offset);
		digest_number(c->segs[i].length);
	}
	/* The tables below show in how it is cut */
	digest_number(c->src_runs.nr);
	digest_number(c->dst_runs.nr);
	if (c->bad.leaf)
		digest_number(c->bad.pos);
}

static void one_copy(struct copy *c, u32 nr)
{
	struct seen seen = { .prefix = ~0ULL };
	u64 stale, overflow, stale_now, overflow_now;

	c->nr = nr;
	c->stale = rng_percent(&rng, 3);
	c->large = !c->stale && rng_percent(&rng, 3);
	c->flags = rng_percent(&rng, c->stale ? 50 : 15) ?
		BLKCOPY_NO_EMULATION : 0;
	c->bad.leaf = NULL;
	c->cell = NULL;
	if (!c->stale && !c->large && rng_percent(&rng, 65)) {
		/* It must end well, or it does not count. */
		c->cell = &cells[next_cell++ % nr_cells];
		c->flags = 0;
	}
	if (!(c->cell ? pick_cell_copy(c) : pick_copy(c)))
		return;
	if (!c->stale && !c->cell && rng_percent(&rng, 8))
		pick_bad(c);
	digest_copy(c);
	read_dst_stat(c, &stale, &overflow);
	issue(c);
	if (c->bad.leaf)
		set_bad(&c->bad, '-');
	read_trace(c, &seen);
	if (verbose)
		printf("# %u: %s -> %s+%llu %llu/%u flags %u: %d %llu %llu, %llu tokens\n",
		       nr, c->src->name, c->dst->name, c->dst_off, c->len,
		       c->nr_segs, c->flags, c->err, (u64)c->res.bytes_copied,
		       (u64)c->res.bytes_offloaded, seen.tokens);
	read_dst_stat(c, &stale_now, &overflow_now);
	if (stale_now != stale && !c->stale)
		wrong(c, "stale, and nothing was suspended");
	check_result(c, &seen);
	if (check_layer_counts(seen.f.of, c->stale))
		wrong(c, "wrong numbers of commands");
	check_data(c);
	count_copy(c, &seen, stale_now - stale, overflow_now - overflow);
}

static int any_kind_is_missing(void)
{
	unsigned int i;

	for (i = 0; i < NR_KINDS; i++)
		if (!kinds[i])
			return 1;
	for (i = 0; i < nr_cells; i++)
		if (!cells[i].copies)
			return 1;
	return 0;
}

static void end_batch(u32 nr)
{
	restore_limits();
	compare_first(nr_nodes, nr);
	if (check_device_counts())
		die("SEED=%llu: wrong numbers after copy %u", seed, nr);
}

/* As many as wanted; more if there was no copy of some kind among them. */
static void run_copies(void)
{
	static struct copy copy;
	u32 nr = 0;

	while (nr < nr_copies || (nr < 3 * nr_copies && !break_disks &&
				  any_kind_is_missing())) {
		if (nr % BATCH == 0)
			refresh();
		if (rng_percent(&rng, 3))
			change_table();
		if (rng_percent(&rng, 6))
			change_limit();
		one_copy(&copy, ++nr);
		if (nr == DIGEST_COPIES)
			printf("# DIGEST=%016llx\n", digest);
		if (nr % BATCH == 0)
			end_batch(nr);
		else if (nr % whole_every == 0)
			compare_first(nr_leaves, nr);
	}
	end_batch(nr);
	if (break_disks)
		check_comparison();
}

static void parse(int argc, char **argv)
{
	int opt;

	seed = now_us() ^ (u64)getpid() << 32;
	seed = rng_next(&(struct rng){ seed }) % 1000000000;
	while ((opt = getopt(argc, argv, "n:s:w:xv")) != -1) {
		if (opt == 'n')
			nr_copies = strtoull(optarg, NULL, 0);
		else if (opt == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (opt == 'w')
			whole_every = max(1UL, strtoul(optarg, NULL, 0));
		else if (opt == 'x')
			break_disks = 1;
		else if (opt == 'v')
			verbose++;
		else
			die("model [-n COPIES] [-s SEED] [-w COPIES] [-x] [-v] NAME=PATH...");
	}
	printf("# SEED=%llu N=%llu\n", seed, nr_copies);
	fflush(stdout);
	rng.s = seed;
	for (; optind < argc; optind++)
		add_leaf(argv[optind]);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned int i;

	bed_cleanup = cleanup;
	parse(argc, argv);
	io_buf = alloc_direct(IO_BYTES);
	trace_buf = alloc_direct(TRACE_BUF_BYTES);
	sem_init(&flapper.go, 0, 0);
	sem_init(&flapper.gone, 0, 0);
	if (pthread_create(&thread, NULL, flapper_main, &flapper))
		die("no thread");
	make_cgroup();
	open_trace();
	make_stacks();
	make_cells();
	for (i = 0; i < nr_nodes; i++)
		if (plan_of(&nodes[i]) && plan_of(&nodes[i])->throttled)
			nodes[i].chunk = CHUNK_BYTES_THROTTLED;
	base_counts();
	run_copies();
	read_trace(NULL, NULL);
	i = check_gauges();
	printf("# at most %u events of one copy\n", lines_max);
	print_kinds();
	cleanup();
	return i;
}
