/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How the helpers read numbers and ranges from their command lines:
 *
 *   NUMBER	decimal or 0x..., then perhaps s (512 bytes), K, M, G or T
 *   RANGE	OFFSET:LENGTH, or OFFSET:LENGTH*COUNT+STRIDE for COUNT ranges
 *		that start STRIDE bytes apart
 *
 * No C library, because rawcopy32 has none.
 */
#ifndef BLK_COPY_SPEC_H
#define BLK_COPY_SPEC_H

typedef unsigned long long u64;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static inline int spec_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

/* A number; *s is moved behind it, or made NULL if there is none. */
static inline u64 spec_number(const char **s)
{
	const char *p = *s;
	unsigned int base = 10;
	u64 n = 0;

	if (p[0] == '0' && p[1] == 'x') {
		base = 16;
		p += 2;
	}
	if (spec_digit(*p) >= base) {
		*s = (void *)0;
		return 0;
	}
	while (spec_digit(*p) < base)
		n = n * base + spec_digit(*p++);
	switch (*p) {
	case 's':
		n <<= 9;
		p++;
		break;
	case 'K':
		n <<= 10;
		p++;
		break;
	case 'M':
		n <<= 20;
		p++;
		break;
	case 'G':
		n <<= 30;
		p++;
		break;
	case 'T':
		n <<= 40;
		p++;
		break;
	}
	*s = p;
	return n;
}

/* The number behind a certain character; the whole fails if it is not there. */
static inline u64 spec_after(const char **s, char c)
{
	if (!*s || **s != c) {
		*s = (void *)0;
		return 0;
	}
	++*s;
	return spec_number(s);
}

struct spec_range {
	u64 off;
	u64 len;
	u64 count;
	u64 stride;
};

/* Returns 0, or -1 if the word is no range. */
static inline int spec_range(const char *s, struct spec_range *r)
{
	r->count = 1;
	r->stride = 0;
	r->off = spec_number(&s);
	r->len = spec_after(&s, ':');
	if (s && *s == '*') {
		r->count = spec_after(&s, '*');
		r->stride = spec_after(&s, '+');
	}
	return s && !*s ? 0 : -1;
}

#endif /* BLK_COPY_SPEC_H */
