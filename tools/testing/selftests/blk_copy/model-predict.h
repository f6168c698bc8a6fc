/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the devices must be asked to do for one token: a second, simple
 * description of how a COPY_OUT is cut into commands.
 */
#ifndef BLK_COPY_MODEL_PREDICT_H
#define BLK_COPY_MODEL_PREDICT_H

#include "model-map.h"

enum cut {
	CUT_TOTAL,		/* the command is as long as it may be */
	CUT_SEGMENTS,		/* it has as many ranges as it may */
	CUT_SEGMENT_BYTES,	/* a range is as long as it may be */
	CUT_LEAF,		/* the source continues on another leaf */
	NR_CUTS,
};

/* Sectors of a leaf that fail */
struct bad {
	struct leaf	*leaf;
	u64		pos;
	u64		len;
};

/**
 * struct forecast - the commands of some tokens
 * @of:		per leaf, commands that succeed, and how many fail
 * @offloaded:	bytes of the commands that succeed
 * @across:	how many of them come from another leaf
 * @max_commands: most commands of one token
 * @mixed:	tokens of which devices move a part
 * @cuts:	how often which limit has cut
 */
struct forecast {
	struct counts	of[MAX_LEAVES];
	u64		offloaded;
	u64		across;
	u64		max_commands;
	u64		mixed;
	u64		cuts[NR_CUTS];
};

static int touches(const struct bad *bad, const struct leaf *leaf, u64 pos,
		   u64 len)
{
	return bad->leaf == leaf && pos < bad->pos + bad->len &&
		bad->pos < pos + len;
}

static const struct run *run_at(const struct runs *runs, u64 off)
{
	unsigned int lo = 0, hi = runs->nr - 1;

	while (lo < hi) {
		unsigned int mid = (lo + hi + 1) / 2;

		if (runs->r[mid].off <= off)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &runs->r[lo];
}

/* Can this leaf copy from that one? */
static int reaches(const struct leaf *leaf, const struct leaf *from)
{
	return leaf->limit && from->limit && !strcmp(leaf->domain, from->domain);
}

/* One command on a leaf: returns its bytes, and fills in the rest */
static u64 forecast_command(struct forecast *f, const struct runs *src,
			    const struct leaf *leaf, u64 off, u64 len,
			    const struct bad *bad, u64 *ranges, int *fails)
{
	const struct leaf *from = run_at(src, off)->leaf;
	u64 most = min(leaf->max_range_bytes, from->max_range_bytes);
	u64 room = min(len, leaf->limit), bytes = 0;

	*ranges = 0;
	*fails = 0;
	while (bytes < room) {
		const struct run *s = run_at(src, off + bytes);
		u64 in = off + bytes - s->off, n = s->len - in;

		if (s->leaf != from) {
			f->cuts[CUT_LEAF]++;
			return bytes;
		}
		if (*ranges == leaf->max_ranges) {
			f->cuts[CUT_SEGMENTS]++;
			return bytes;
		}
		n = min(n, room - bytes);
		if (n > most) {
			n = most;
			f->cuts[CUT_SEGMENT_BYTES]++;
		}
		*fails |= touches(bad, from, s->pos + in, n);
		bytes += n;
		++*ranges;
	}
	if (bytes < len)
		f->cuts[CUT_TOTAL]++;
	return bytes;
}

/* Bytes from @off on, at most @len, that this leaf cannot copy */
static u64 foreign_bytes(const struct runs *src, const struct leaf *leaf,
			 u64 off, u64 len)
{
	u64 n = 0;

	while (n < len) {
		const struct run *s = run_at(src, off + n);

		if (reaches(leaf, s->leaf))
			break;
		n = s->off + s->len - off;
	}
	return min(n, len);
}

/**
 * forecast_token - add the commands of one token to a forecast
 * @f:		the forecast
 * @src:	source of the whole copy, joined
 * @dst:	its destination, cut at every border
 * @off:	first byte of the token
 * @len:	bytes
 * @bad:	what fails
 *
 * Return: bytes of the token before the first that no command moves.
 */
static u64 forecast_token(struct forecast *f, const struct runs *src,
			  const struct runs *dst, u64 off, u64 len,
			  const struct bad *bad)
{
	u64 end = off + len, at = off, prefix = len, commands = 0, good = 0;

	while (at < end) {
		const struct run *d = run_at(dst, at);
		u64 stop = min(end, d->off + d->len), n, ranges = 0;
		int fails = 0;

		n = foreign_bytes(src, d->leaf, at, stop - at);
		if (n) {
			prefix = min(prefix, at - off);
			at += n;
			continue;
		}
		n = forecast_command(f, src, d->leaf, at, stop - at, bad,
				     &ranges, &fails);
		fails |= touches(bad, d->leaf, d->pos + (at - d->off), n);
		if (fails) {
			f->of[d->leaf->idx].errors++;
			prefix = min(prefix, at - off);
		} else {
			struct counts *c = &f->of[d->leaf->idx];

			if (run_at(src, at)->leaf != d->leaf)
				f->across += n;

			c->commands++;
			c->ranges += ranges;
			c->bytes += n;
			good += n;
		}
		commands++;
		at += n;
	}
	f->offloaded += good;
	f->max_commands = max(f->max_commands, commands);
	f->mixed += good && good < len;
	return prefix;
}

#endif /* BLK_COPY_MODEL_PREDICT_H */
