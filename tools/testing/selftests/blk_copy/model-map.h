/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The model's devices: leaves, whose whole content it keeps in memory, and
 * device-mapper devices over them, whose tables it makes and keeps.  Anything
 * that is known about a byte of a device is known about the leaf's byte below.
 */
#ifndef BLK_COPY_MODEL_MAP_H
#define BLK_COPY_MODEL_MAP_H

#include "bed.h"

#define MAX_LEAVES	8
#define MAX_NODES	40
#define MAX_LEGS	4
#define MAX_TARGETS	2048

/* What a leaf counts; the device's own count, or that of the block layer */
struct counts {
	u64 commands;
	u64 ranges;
	u64 bytes;
	u64 errors;
};

/**
 * struct leaf - a disk, all of it
 * @disk:	name below /sys/block
 * @path_disk:	where commands are counted: @disk, or the path below an NVMe
 *		multipath node
 * @config:	configfs directory of a null_blk, or ""
 * @nsid:	of an NVMe namespace, or 0
 * @mem:	what it holds
 * @stamp:	per sector, the number of the copy that last wrote to it
 * @domain:	leaves where this is the same copy to each other
 * @limit:	most bytes of a command now
 */
struct leaf {
	char		name[16];
	char		disk[32];
	char		path_disk[32];
	char		config[64];
	unsigned int	idx;
	unsigned int	nsid;
	int		fd;
	u64		size;
	u32		lbs;
	unsigned char	*mem;
	u32		*stamp;
	char		domain[64];
	u64		hw_limit;
	u64		limit;
	u64		max_ranges;
	u64		max_range_bytes;
	struct counts	device;		/* of the device itself, at the last look */
	struct counts	layer;		/* of the block layer, at the last look */
	struct counts	layer_base;	/* at the time of @device */
};

struct node;

struct leg {
	struct node	*node;
	u64		off;
};

/* A dm target; chunk is 0 for linear.  All in bytes. */
struct target {
	u64		start;
	u64		len;
	u64		chunk;
	unsigned int	nr_legs;
	struct leg	leg[MAX_LEGS];
};

/* What a copy can be made from or to: a leaf, or a dm device */
struct node {
	char		name[24];
	char		path[64];
	char		disk[32];
	dev_t		dev;
	int		fd;
	u64		size;
	u32		lbs;
	u64		chunk;		/* bytes in which the core chops copies to it */
	struct leaf	*leaf;		/* or targets: */
	unsigned int	nr_targets;
	struct target	*targets;
};

static struct leaf leaves[MAX_LEAVES];
static unsigned int nr_leaves;
static struct node nodes[MAX_NODES];
static unsigned int nr_nodes;

/* ------------------------------------------------------------- mapping */

static const struct target *find_target(const struct node *n, u64 off)
{
	unsigned int lo = 0, hi = n->nr_targets - 1;

	while (lo < hi) {
		unsigned int mid = (lo + hi + 1) / 2;

		if (n->targets[mid].start <= off)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &n->targets[lo];
}

/**
 * map - where a byte of a node is
 * @n:		the node
 * @off:	the byte
 * @run:	in: bytes of interest; out: how many of them go on from there
 *		before any device of the stack has a border
 * @pos:	out: its place on the leaf
 *
 * Return: the leaf.
 */
static struct leaf *map(const struct node *n, u64 off, u64 *run, u64 *pos)
{
	while (!n->leaf) {
		const struct target *t = find_target(n, off);
		u64 in = off - t->start;

		*run = min(*run, t->len - in);
		if (t->chunk) {
			u64 chunk = in / t->chunk, at = in % t->chunk;

			*run = min(*run, t->chunk - at);
			in = chunk / t->nr_legs * t->chunk + at;
			off = t->leg[chunk % t->nr_legs].off + in;
			n = t->leg[chunk % t->nr_legs].node;
		} else {
			off = t->leg[0].off + in;
			n = t->leg[0].node;
		}
	}
	*pos = off;
	return n->leaf;
}

/* A piece of a copy on a leaf; @off counts from the start of the copy */
struct run {
	u64		off;
	u64		len;
	struct leaf	*leaf;
	u64		pos;
};

struct runs {
	struct run	*r;
	unsigned int	nr;
	unsigned int	room;
};

static void add_run(struct runs *runs, const struct run *new, int join)
{
	struct run *last = runs->nr ? &runs->r[runs->nr - 1] : NULL;

	if (join && last && last->leaf == new->leaf &&
	    last->pos + last->len == new->pos) {
		last->len += new->len;
		return;
	}
	if (runs->nr == runs->room) {
		runs->room = runs->room * 2 + 64;
		runs->r = realloc(runs->r, runs->room * sizeof(*runs->r));
		if (!runs->r)
			die("no memory for runs");
	}
	runs->r[runs->nr++] = *new;
}

/**
 * add_runs - append the pieces that [@off, @off + @len) of a node consists of
 * @runs:	where to
 * @n:		the node
 * @off:	first byte
 * @len:	bytes
 * @join:	pieces that go on from each other on the leaf are one: so a copy
 *		sees its source, while its destination is cut at every border
 */
static void add_runs(struct runs *runs, const struct node *n, u64 off, u64 len,
		     int join)
{
	struct run new;
	u64 at = 0;

	if (runs->nr)
		at = runs->r[runs->nr - 1].off + runs->r[runs->nr - 1].len;
	while (len) {
		new.off = at;
		new.len = len;
		new.leaf = map(n, off, &new.len, &new.pos);
		add_run(runs, &new, join);
		at += new.len;
		off += new.len;
		len -= new.len;
	}
}

/* Copy a range of runs from the leaves' memory, or to it. */
static void runs_mem(const struct runs *runs, u64 off, u64 len,
		     unsigned char *buf, int to_leaves)
{
	unsigned int i;

	for (i = 0; i < runs->nr; i++) {
		const struct run *r = &runs->r[i];
		u64 lo = max(r->off, off), hi = min(r->off + r->len, off + len);
		unsigned char *mem = r->leaf->mem + r->pos + (lo - r->off);

		if (lo >= hi)
			continue;
		if (to_leaves)
			memcpy(mem, buf + (lo - off), hi - lo);
		else
			memcpy(buf + (lo - off), mem, hi - lo);
	}
}

/* -------------------------------------------------------------- tables */

/* Bytes of nodes that a new table may use: all of it in pieces, shuffled */
struct pool {
	struct leg	*part;
	unsigned int	nr;
	unsigned int	next;
	u64		part_bytes;
};

static void pool_make(struct pool *p, struct rng *rng, struct node **from,
		      unsigned int nr_from, u64 part_bytes)
{
	unsigned int i, nr = 0;
	u64 off;

	for (i = 0; i < nr_from; i++)
		nr += from[i]->size / part_bytes;
	p->part = malloc(nr * sizeof(*p->part));
	p->part_bytes = part_bytes;
	p->next = 0;
	p->nr = 0;
	for (i = 0; i < nr_from; i++)
		for (off = 0; off + part_bytes <= from[i]->size; off += part_bytes)
			p->part[p->nr++] = (struct leg) { from[i], off };
	for (i = p->nr; i > 1; i--) {
		unsigned int j = rng_below(rng, i);
		struct leg tmp = p->part[j];

		p->part[j] = p->part[i - 1];
		p->part[i - 1] = tmp;
	}
}

/* Linear: extents of up to a part each, in any order, cut at odd places */
static void make_linear(struct node *n, struct rng *rng, struct pool *p)
{
	u64 align = max(n->lbs, rng_percent(rng, 50) ? 4096U : 512U);
	u64 left = n->size, at = 0;

	while (left) {
		struct target *t = &n->targets[n->nr_targets];
		u64 len = rng_range(rng, 1, p->part_bytes / align) * align;

		if (n->nr_targets == MAX_TARGETS || p->next == p->nr)
			die("no room for a linear table");
		/* The last ones must be used fully, or there are too few. */
		if ((p->nr - p->next - 1) * p->part_bytes < left - min(left, len))
			len = p->part_bytes;
		t->start = at;
		t->len = min(len, left);
		t->chunk = 0;
		t->nr_legs = 1;
		t->leg[0] = p->part[p->next++];
		n->nr_targets++;
		left -= t->len;
		at += t->len;
	}
}

/*
 * Striped: the number of legs is set.  What is no whole row of stripes is a
 * linear target behind them.
 */
static void make_striped(struct node *n, struct rng *rng, struct pool *p,
			 u64 tail)
{
	static const u32 chunks[] = { 4, 8, 12, 16, 64, 128, 256 };
	struct target *t = n->targets, *last = &n->targets[1];
	unsigned int i;

	t->start = 0;
	t->chunk = chunks[rng_below(rng, ARRAY_SIZE(chunks))] * 1024;
	t->len = n->size - tail;
	last->start = t->len;
	last->len = tail;
	last->chunk = 0;
	last->nr_legs = 1;
	n->nr_targets = 2;
	if (p->nr <= t->nr_legs || p->part_bytes < t->len / t->nr_legs ||
	    p->part_bytes < tail || t->len % (t->chunk * t->nr_legs))
		die("no room for a striped table");
	for (i = 0; i < t->nr_legs; i++)
		t->leg[i] = p->part[i];
	last->leg[0] = p->part[i];
}

static char *table_text(const struct node *n)
{
	char *text = malloc(n->nr_targets * 160 + 1), *s = text;
	unsigned int i, j;

	for (i = 0; i < n->nr_targets; i++) {
		const struct target *t = &n->targets[i];

		s += sprintf(s, "%llu %llu ", t->start / SECTOR, t->len / SECTOR);
		if (t->chunk)
			s += sprintf(s, "striped %u %llu", t->nr_legs,
				     t->chunk / SECTOR);
		else
			s += sprintf(s, "linear");
		for (j = 0; j < t->nr_legs; j++)
			s += sprintf(s, " %s %llu", t->leg[j].node->path,
				     t->leg[j].off / SECTOR);
		s += sprintf(s, "\n");
	}
	*s = 0;
	return text;
}

/* Give a dm device its first or another table. */
static void load_table(struct node *n)
{
	char *text = table_text(n);

	if (n->fd < 0) {
		dm_create(n->name, text, n->path);
		n->fd = open_dev(n->path);
	} else {
		dm_reload(n->name, text);
	}
	free(text);
}

static u64 queue_number(const char *disk, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/%s", disk, name);
	return read_number(path);
}

static void set_copy_max(const char *disk, u64 bytes)
{
	char path[128];
	int err;

	snprintf(path, sizeof(path), "/sys/block/%s/queue/copy_max_bytes", disk);
	err = write_text(path, "%llu", bytes);
	errno = -err;
	if (err)
		die("set %s", path);
}

#endif /* BLK_COPY_MODEL_MAP_H */
