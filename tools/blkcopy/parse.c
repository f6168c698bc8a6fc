// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes, ranges and device arguments as the user writes them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blkcopy.h"

/* K and KiB are 1024, KB is 1000; returns 0 for anything else */
static __u64 suffix_factor(const char *s)
{
	static const char letters[] = "KMGTPE";
	const char *hit;
	__u64 base, factor = 1;
	int i;

	if (!*s || !strcmp(s, "B"))
		return 1;
	hit = strchr(letters, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
	if (!hit)
		return 0;
	if (!s[1] || !strcmp(s + 1, "iB"))
		base = 1024;
	else if (!strcmp(s + 1, "B"))
		base = 1000;
	else
		return 0;
	for (i = hit - letters; i >= 0; i--)
		factor *= base;
	return factor;
}

/* The digits after the point, as bytes; they must come out whole */
static int parse_fraction(const char **str, __u64 *num, __u64 *den)
{
	const char *s = *str;

	*num = 0;
	*den = 1;
	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		if (*den > UINT64_MAX / 100)
			return -ERANGE;
		*num = *num * 10 + (*s - '0');
		*den *= 10;
	}
	*str = s;
	return 0;
}

/**
 * parse_size - bytes from text such as 4096, 0x1000, 4K, 4KiB, 4KB or 1.5G
 * @str: the text
 * @res: bytes
 *
 * Return: 0, -EINVAL for what is no size, -ERANGE for one that needs more than
 * 64 bit.
 */
int parse_size(const char *str, __u64 *res)
{
	__u64 num = 0, den = 1, factor, value;
	const char *rest;
	char *end;
	int rc;

	if (*str < '0' || *str > '9')
		return -EINVAL;
	errno = 0;
	/* A leading 0 is no octal: 010 bytes are ten */
	value = strtoull(str, &end,
			 str[0] == '0' && (str[1] | 32) == 'x' ? 16 : 10);
	if (errno)
		return -ERANGE;
	rest = end;
	if (*rest == '.') {
		rest++;
		rc = parse_fraction(&rest, &num, &den);
		if (rc)
			return rc;
	}
	factor = suffix_factor(rest);
	if (!factor)
		return -EINVAL;
	if ((__uint128_t)num * factor % den)
		return -EINVAL;
	num = (__uint128_t)num * factor / den;
	if (__builtin_mul_overflow(value, factor, &value) ||
	    __builtin_add_overflow(value, num, res))
		return -ERANGE;
	return 0;
}

/* A size that is a part of @whole; complains */
static int parse_part(const char *whole, const char *what, const char *str,
		      __u64 *res)
{
	switch (parse_size(str, res)) {
	case 0:
		return 0;
	case -ERANGE:
		return complain(EXIT_FAILURE, "%s: %s '%s' does not fit 64 bit",
				whole, what, str);
	default:
		return complain(EXIT_FAILURE, "%s: %s '%s' is not a size",
				whole, what, str);
	}
}

static int parse_length(const char *whole, const char *str, __u64 *res)
{
	if (parse_part(whole, "length", str, res))
		return EXIT_FAILURE;
	if (!*res)
		return complain(EXIT_FAILURE,
				"%s: length is 0; leave it out for the rest of the source",
				whole);
	return 0;
}

/**
 * parse_range - [source]:[destination]:[length], as copyfilerange(1) writes it
 * @str: the text, must live as long as @res
 * @res: what it says
 *
 * Return: 0, or EXIT_FAILURE after a message.
 */
int parse_range(const char *str, struct range_arg *res)
{
	char *src = strdup(str), *dst, *len;
	int rc = EXIT_FAILURE;

	if (!src)
		return complain(rc, "out of memory");
	memset(res, 0, sizeof(*res));
	res->text = str;
	dst = strchr(src, ':');
	len = dst ? strchr(dst + 1, ':') : NULL;
	if (!len || strchr(len + 1, ':')) {
		complain(rc, "range '%s' is not source:destination:length", str);
		goto out_free;
	}
	*dst++ = '\0';
	*len++ = '\0';
	res->no_src = !*src;
	res->no_dst = !*dst;
	res->no_len = !*len;
	if ((*src && parse_part(str, "source offset", src, &res->r.src)) ||
	    (*dst && parse_part(str, "destination offset", dst, &res->r.dst)) ||
	    (*len && parse_length(str, len, &res->r.len)))
		goto out_free;
	rc = 0;
out_free:
	free(src);
	return rc;
}

/*
 * Names of devices may contain colons (/dev/disk/by-path), so the longest
 * existing name wins and what follows it are numbers.
 */
static char *split_name(char *text)
{
	char *colon, *end = text + strlen(text);
	int max_colons = 2;

	if (!access(text, F_OK))
		return end;
	while (max_colons--) {
		for (colon = end - 1; colon > text && *colon != ':'; colon--)
			;
		if (colon <= text)
			return NULL;
		*colon = '\0';
		if (!access(text, F_OK))
			return colon;
		*colon = ':';
		end = colon;
	}
	return NULL;
}

/**
 * parse_dev - NAME[:offset] or NAME[:offset[:length]]
 * @str: the text
 * @with_len: whether a length may follow
 * @res: what it says; @res->path is allocated
 *
 * Return: 0, or EXIT_FAILURE after a message.
 */
int parse_dev(const char *str, bool with_len, struct dev_arg *res)
{
	char *text = strdup(str), *off, *len;

	memset(res, 0, sizeof(*res));
	if (!text)
		return complain(EXIT_FAILURE, "out of memory");
	res->path = text;
	off = split_name(text);
	if (!off)
		return complain_missing(str);
	if (!str[off - text])
		return 0;
	off++;
	res->has_off = true;
	len = strchr(off, ':');
	if (len) {
		*len++ = '\0';
		res->has_len = true;
		if (!with_len)
			return complain(EXIT_FAILURE,
					"%s: a destination has an offset, but no length",
					str);
		if (parse_length(str, len, &res->len))
			return EXIT_FAILURE;
	}
	if (len && !*off)
		return 0;
	return parse_part(str, "offset", off, &res->off);
}
