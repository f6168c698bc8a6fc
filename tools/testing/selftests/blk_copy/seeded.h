/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Seeded data: each sector says where it was first written.
 */
#ifndef BLK_COPY_SEEDED_H
#define BLK_COPY_SEEDED_H

#include <string.h>

#include "spec.h"

#define SECTOR		512
#define WORDS		(SECTOR / 8)

static inline u64 mix(u64 x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 32;
	return x;
}

/* What sector nr of a seed holds; seed 0 means zeroes. */
static inline void make_sector(u64 *w, u64 seed, u64 nr)
{
	u64 x = mix(seed << 40 ^ nr);
	unsigned int i;

	if (!seed) {
		memset(w, 0, SECTOR);
		return;
	}
	w[0] = nr;
	w[1] = seed;
	for (i = 2; i < WORDS; i++)
		w[i] = x + i * 0xd1342543de82ef95ULL;
}

static inline int same_sector(const void *have, u64 seed, u64 nr)
{
	u64 good[WORDS];

	make_sector(good, seed, nr);
	return !memcmp(have, good, SECTOR);
}

#endif /* BLK_COPY_SEEDED_H */
