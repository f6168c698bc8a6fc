// SPDX-License-Identifier: GPL-2.0
/*
 * Why two disks do not copy to each other, as their attributes tell.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "blkcopy.h"

/* One of the two, and what its queue says */
struct end {
	const char	*name;
	char		domain[64];
	char		zoned[32];
	__u64		segment_bytes;	/* 0 = it cannot be copied from */
	__u64		hw_bytes;	/* 0 = nor to */
	__u64		bytes;		/* 0 = and must not */
};

static bool read_line(const char *queue, const char *attr, char *buf, int len)
{
	char path[PATH_MAX];
	bool ok;
	FILE *f;

	*buf = '\0';
	snprintf(path, sizeof(path), "%s/%s", queue, attr);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(buf, len, f);
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

/* Returns false if the kernel has no such attributes */
static bool read_end(struct end *end, const char *name, const char *queue)
{
	char text[64];

	end->name = name;
	if (!read_line(queue, "copy_domain", end->domain, sizeof(end->domain)) ||
	    !read_line(queue, "copy_max_hw_bytes", text, sizeof(text)))
		return false;
	end->hw_bytes = strtoull(text, NULL, 10);
	if (!read_line(queue, "copy_max_bytes", text, sizeof(text)))
		return false;
	end->bytes = strtoull(text, NULL, 10);
	read_line(queue, "zoned", end->zoned, sizeof(end->zoned));
	read_line(queue, "copy_max_segment_bytes", text, sizeof(text));
	end->segment_bytes = strtoull(text, NULL, 10);
	return true;
}

static bool is_zoned(const struct end *end)
{
	return *end->zoned && strcmp(end->zoned, "none");
}

/* What keeps a disk from any offload; an empty text if nothing does */
static void explain_end(const struct end *end, bool is_source, char *why,
			size_t len)
{
	*why = '\0';
	if (end->bytes || (is_source && is_zoned(end) && end->segment_bytes))
		return;
	if (end->hw_bytes)
		snprintf(why, len,
			 "offload is switched off on %s (copy_max_bytes is 0)",
			 end->name);
	else if (is_zoned(end))
		snprintf(why, len, is_source ? "%s cannot copy" :
			 "%s is zoned and cannot be copied to", end->name);
	else
		snprintf(why, len, "%s cannot copy (copy_max_hw_bytes is 0)",
			 end->name);
}

/* The block size in a domain, 0 = it does not say */
static unsigned long block_size(const char *domain)
{
	const char *lba = strstr(domain, "-lba");

	return lba ? strtoul(lba + 4, NULL, 10) : 0;
}

static void explain_domains(const struct end *src, const struct end *dst,
			    char *why, size_t len)
{
	unsigned long a = block_size(src->domain), b = block_size(dst->domain);

	if (a && b && a != b)
		snprintf(why, len,
			 "%s and %s are in different copy domains (blocks of %lu and %lu bytes)",
			 src->name, dst->name, a, b);
	else
		snprintf(why, len, "%s and %s are in different copy domains",
			 src->name, dst->name);
}

static bool is_mixed(const struct end *end)
{
	return !strcmp(end->domain, "mixed");
}

/**
 * pair_explain - could a copy from one disk to another be offloaded?
 * @src: how to call the source
 * @src_queue: directory of its attributes
 * @dst: how to call the destination
 * @dst_queue: directory of its attributes
 * @why: what is against it, or an empty text
 * @len: size of @why
 *
 * Return: what the disks say; a dry run is more definite.
 */
enum pair pair_explain(const char *src, const char *src_queue, const char *dst,
		       const char *dst_queue, char *why, size_t len)
{
	bool same = !strcmp(src_queue, dst_queue);
	char a[512], b[512];
	struct end from, to;

	*why = '\0';
	if (!read_end(&from, src, src_queue) || !read_end(&to, dst, dst_queue))
		return PAIR_UNKNOWN;
	explain_end(&from, true, a, sizeof(a));
	explain_end(&to, false, b, sizeof(b));
	if (same && *a)
		*b = '\0';
	if (*a || *b) {
		snprintf(why, len, "%s%s%s", a, *a && *b ? "; " : "", b);
		return PAIR_NO;
	}
	if (is_mixed(&from) || is_mixed(&to)) {
		snprintf(why, len, "%s lies on more than one copy domain",
			 is_mixed(&from) ? src : dst);
		return PAIR_PARTS;
	}
	if (same || !strcmp(from.domain, to.domain))
		return PAIR_YES;
	explain_domains(&from, &to, why, len);
	return PAIR_NO;
}

/**
 * pair_explain_devs - the same for devices that are open
 * @src: the source
 * @dst: the destination
 * @why: what is against it, or an empty text
 * @len: size of @why
 *
 * Return: what the disks say.
 */
enum pair pair_explain_devs(const struct dev *src, const struct dev *dst,
			    char *why, size_t len)
{
	char src_queue[64], dst_queue[64];

	snprintf(src_queue, sizeof(src_queue), "/sys/dev/block/%u:%u/queue",
		 major(src->disk), minor(src->disk));
	snprintf(dst_queue, sizeof(dst_queue), "/sys/dev/block/%u:%u/queue",
		 major(dst->disk), minor(dst->disk));
	return pair_explain(src->path, src_queue, dst->path, dst_queue, why,
			    len);
}
