// SPDX-License-Identifier: GPL-2.0
/*
 * What devices can copy and have copied, as a table or as JSON.
 */
#include <dirent.h>
#include <errno.h>
#include <json-c/json.h>
#include <libsmartcols/libsmartcols.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blkcopy.h"

enum field_type {
	FIELD_NAME,
	FIELD_DISK_SIZE,	/* sectors of 512 bytes in /sys/block/<disk>/size */
	FIELD_QUEUE,		/* number in queue/<key> */
	FIELD_QUEUE_BYTES,
	FIELD_QUEUE_TEXT,
	FIELD_STAT,		/* line of copy_stat */
	FIELD_STAT_BYTES,
};

static const struct field {
	const char	*key;		/* also in JSON */
	const char	*column;
	enum field_type	type;
	bool		verbose;	/* only with -v */
} fields[] = {
	{ "name", "NAME", FIELD_NAME },
	{ "size", "SIZE", FIELD_DISK_SIZE },
	{ "copy_max_bytes", "COPY-MAX", FIELD_QUEUE_BYTES },
	{ "copy_max_hw_bytes", "HW-MAX", FIELD_QUEUE_BYTES },
	{ "copy_max_segments", "SEGS", FIELD_QUEUE },
	{ "copy_max_segment_bytes", "SEG-MAX", FIELD_QUEUE_BYTES },
	{ "copy_opt_bytes", "OPT", FIELD_QUEUE_BYTES },
	{ "copy_domain", "DOMAIN", FIELD_QUEUE_TEXT },
	{ "copies", "COPIES", FIELD_STAT },
	{ "offloaded_bytes", "OFFLOADED", FIELD_STAT_BYTES },
	{ "emulated_bytes", "EMULATED", FIELD_STAT_BYTES },
	{ "failed", "FAILED", FIELD_STAT },
	{ "stale", "STALE", FIELD_STAT, true },
	{ "overflow", "OVERFLOW", FIELD_STAT, true },
	{ "error_fallbacks", "FALLBACKS", FIELD_STAT, true },
	{ "commands", "COMMANDS", FIELD_STAT },
	{ "ranges", "RANGES", FIELD_STAT, true },
	{ "command_bytes", "CMD-BYTES", FIELD_STAT_BYTES, true },
	{ "command_errors", "CMD-ERRORS", FIELD_STAT, true },
};

#define NR_FIELDS	ARRAY_SIZE(fields)

struct disk {
	char	name[NAME_MAX + 1];
	char	text[NR_FIELDS][128];	/* empty = the kernel does not say */
	bool	has_copy;
	bool	is_path;		/* of the disk in front of it */
};

/* What the two disks of a command line are to each other */
struct pair_info {
	const char	*src;		/* NULL = there are not two of them */
	const char	*dst;
	enum pair	answer;
	char		why[PAIR_TEXT];
};

static FILE *open_attr(const struct options *opt, const char *disk,
		       const char *attr)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/sys/block/%s/%s",
		 opt->sysroot ? opt->sysroot : "", disk, attr);
	return fopen(path, "re");
}

static void read_attr(const struct options *opt, const char *disk,
		      const char *attr, char *buf, size_t len)
{
	FILE *f = open_attr(opt, disk, attr);

	*buf = '\0';
	if (!f)
		return;
	if (fgets(buf, len, f))
		buf[strcspn(buf, "\n")] = '\0';
	fclose(f);
}

/* Lines "key value"; keys of newer kernels are passed over */
static void read_stat(const struct options *opt, struct disk *disk)
{
	FILE *f = open_attr(opt, disk->name, "copy_stat");
	char key[64], value[64];
	unsigned int i;

	if (!f)
		return;
	while (fscanf(f, "%63s %63s", key, value) == 2) {
		for (i = 0; i < NR_FIELDS; i++) {
			if ((fields[i].type == FIELD_STAT ||
			     fields[i].type == FIELD_STAT_BYTES) &&
			    !strcmp(fields[i].key, key))
				snprintf(disk->text[i], sizeof(value), "%s",
					 value);
		}
	}
	fclose(f);
}

static void read_disk(const struct options *opt, struct disk *disk)
{
	char attr[64];
	unsigned int i;

	for (i = 0; i < NR_FIELDS; i++) {
		char *text = disk->text[i];
		size_t len = sizeof(disk->text[i]);

		switch (fields[i].type) {
		case FIELD_NAME:
			snprintf(text, len, "%.*s", (int)len - 1, disk->name);
			break;
		case FIELD_DISK_SIZE:
			read_attr(opt, disk->name, "size", text, len);
			if (*text)
				snprintf(text, len, "%llu",
					 strtoull(text, NULL, 10) * 512);
			break;
		case FIELD_QUEUE:
		case FIELD_QUEUE_BYTES:
		case FIELD_QUEUE_TEXT:
			snprintf(attr, sizeof(attr), "queue/%s", fields[i].key);
			read_attr(opt, disk->name, attr, text, len);
			if (*text)
				disk->has_copy = true;
			break;
		case FIELD_STAT:
		case FIELD_STAT_BYTES:
			break;
		}
	}
	read_stat(opt, disk);
}

static int wanted(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* All disks that have a size, in the order in which people count */
static int list_disks(const struct options *opt, struct disk **disks)
{
	struct dirent **list;
	char path[PATH_MAX], size[64];
	int i, nr, found = 0;

	snprintf(path, sizeof(path), "%s/sys/block",
		 opt->sysroot ? opt->sysroot : "");
	nr = scandir(path, &list, wanted, versionsort);
	if (nr < 0) {
		complain(EXIT_FAILURE, "%s: %s", path, strerror(errno));
		return -1;
	}
	*disks = calloc(nr + 1, sizeof(**disks));
	for (i = 0; i < nr; i++) {
		read_attr(opt, list[i]->d_name, "size", size, sizeof(size));
		if (*disks && strtoull(size, NULL, 10))
			snprintf((*disks)[found++].name, NAME_MAX + 1, "%s",
				 list[i]->d_name);
		free(list[i]);
	}
	free(list);
	return found;
}

/* The multipath NVMe disk that nvme0c1n2 is a path of: nvme0n2 */
static bool head_of(const char *name, char *head, size_t len)
{
	unsigned int subsys, ctrl, ns;
	int end = 0;

	if (sscanf(name, "nvme%uc%un%u%n", &subsys, &ctrl, &ns, &end) != 3 ||
	    name[end])
		return false;
	snprintf(head, len, "nvme%un%u", subsys, ns);
	return true;
}

/* The disk behind /dev/name, behind a partition, or of that name */
static int find_disk(const struct options *opt, const char *arg, char *name)
{
	char link[64], path[PATH_MAX], part[PATH_MAX + 16], size[64];
	struct stat st;

	if (!strchr(arg, '/') && strlen(arg) <= NAME_MAX) {
		read_attr(opt, arg, "size", size, sizeof(size));
		if (*size) {
			snprintf(name, NAME_MAX + 1, "%s", arg);
			return 0;
		}
	}
	if (opt->sysroot)
		return complain(EXIT_FAILURE, "%s: no such disk below %s", arg,
				opt->sysroot);
	if (stat(arg, &st))
		return complain_missing(arg);
	if (!S_ISBLK(st.st_mode))
		return complain_type(arg, st.st_mode);
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, path))
		return complain(EXIT_FAILURE, "%s: not in sysfs: %s", arg,
				strerror(errno));
	snprintf(part, sizeof(part), "%s/partition", path);
	if (!access(part, F_OK))
		*strrchr(path, '/') = '\0';
	snprintf(name, NAME_MAX + 1, "%s", strrchr(path, '/') + 1);
	return 0;
}

static bool is_bytes(enum field_type type)
{
	return type == FIELD_DISK_SIZE || type == FIELD_QUEUE_BYTES ||
	       type == FIELD_STAT_BYTES;
}

/* 64M as lsblk(8) writes it */
static void shorten(char *text)
{
	char *space = strchr(text, ' ');

	space[0] = space[1];
	space[1] = '\0';
}

static int add_line(const struct options *opt, struct libscols_table *tb,
		    const struct disk *disk, struct libscols_line **head)
{
	struct libscols_line *line =
		scols_table_new_line(tb, disk->is_path ? *head : NULL);
	unsigned int i, col = 0;
	char text[64];
	int rc = 0;

	if (!line)
		return -ENOMEM;
	if (!disk->is_path)
		*head = line;
	for (i = 0; i < NR_FIELDS && !rc; i++) {
		const char *data = disk->text[i];

		if (fields[i].verbose && !opt->verbose)
			continue;
		if (*data && is_bytes(fields[i].type) && !opt->bytes) {
			size_text(text, sizeof(text), strtoull(data, NULL, 10));
			shorten(text);
			data = text;
		}
		rc = scols_line_set_data(line, col++, data);
	}
	return rc;
}

static int print_table(const struct options *opt, const struct disk *disks,
		       int nr)
{
	struct libscols_line *head = NULL;
	struct libscols_table *tb;
	unsigned int i;
	int d, rc = -ENOMEM;

	scols_init_debug(0);
	tb = scols_new_table();
	if (!tb)
		goto out;
	for (i = 0; i < NR_FIELDS; i++) {
		int flags = fields[i].type == FIELD_NAME ? SCOLS_FL_TREE :
			    fields[i].type == FIELD_QUEUE_TEXT ? 0 :
			    SCOLS_FL_RIGHT;

		if (fields[i].verbose && !opt->verbose)
			continue;
		if (!scols_table_new_column(tb, fields[i].column, 0, flags))
			goto out_unref;
	}
	rc = 0;
	for (d = 0; d < nr && !rc; d++)
		rc = add_line(opt, tb, &disks[d], &head);
	if (!rc)
		rc = scols_print_table(tb);
out_unref:
	scols_unref_table(tb);
out:
	return rc ? complain(EXIT_FAILURE, "cannot print the table: %s",
			     strerror(-rc)) : 0;
}

static struct json_object *json_value(const struct field *field,
				      const char *text)
{
	if (!*text)
		return NULL;
	if (field->type == FIELD_NAME || field->type == FIELD_QUEUE_TEXT)
		return json_object_new_string(text);
	return json_object_new_uint64(strtoull(text, NULL, 10));
}

static struct json_object *json_disk(const struct disk *disk)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *stat = json_object_new_object();
	unsigned int i;

	for (i = 0; i < NR_FIELDS; i++) {
		bool is_stat = fields[i].type == FIELD_STAT ||
			       fields[i].type == FIELD_STAT_BYTES;

		json_object_object_add(is_stat ? stat : obj, fields[i].key,
				       json_value(&fields[i], disk->text[i]));
	}
	json_object_object_add(obj, "copy_stat", stat);
	return obj;
}

static void add_string(struct json_object *obj, const char *key,
		       const char *value)
{
	json_object_object_add(obj, key,
			       value ? json_object_new_string(value) : NULL);
}

/* What two disks that were asked for together are to each other */
static struct json_object *json_pair(const struct pair_info *pair)
{
	static const char *const words[] = {
		[PAIR_YES]	= "yes",
		[PAIR_PARTS]	= "parts",
		[PAIR_NO]	= "no",
	};
	struct json_object *obj = json_object_new_object();

	add_string(obj, "source", pair->src);
	add_string(obj, "destination", pair->dst);
	add_string(obj, "offload", words[pair->answer]);
	add_string(obj, "reason", *pair->why ? pair->why : NULL);
	return obj;
}

static void print_disks_json(const struct disk *disks, int nr, bool has_copy,
			     const struct pair_info *pair, int status)
{
	struct json_object *obj = json_object_new_object();
	struct json_object *list = json_object_new_array();
	struct json_object *disk, *head = NULL, *paths = NULL;
	int d;

	for (d = 0; d < nr; d++) {
		disk = json_disk(&disks[d]);
		if (!disks[d].is_path) {
			json_object_array_add(list, disk);
			head = disk;
			paths = NULL;
			continue;
		}
		if (!paths) {
			paths = json_object_new_array();
			json_object_object_add(head, "paths", paths);
		}
		json_object_array_add(paths, disk);
	}
	/* Null if nobody has asked the kernel */
	json_object_object_add(obj, "copy_offload", disks ?
			       json_object_new_boolean(has_copy) : NULL);
	json_object_object_add(obj, "blockdevices", list);
	if (pair->src)
		json_object_object_add(obj, "pair", json_pair(pair));
	json_object_object_add(obj, "exit_status", json_object_new_int(status));
	add_string(obj, "error", report_error());
	print_json(obj);
}

/**
 * info_print_error - the object of --json when there is nothing but an error
 * @status: exit status
 */
void info_print_error(int status)
{
	struct pair_info pair = { NULL };

	print_disks_json(NULL, 0, false, &pair, status);
}

/* Of two disks: could the first one be copied to the second one? */
static void find_pair(const struct options *opt, const char *src,
		      const char *dst, struct pair_info *pair)
{
	char a[PATH_MAX], b[PATH_MAX];

	pair->src = src;
	pair->dst = dst;
	snprintf(a, sizeof(a), "%s/sys/block/%s/queue",
		 opt->sysroot ? opt->sysroot : "", src);
	snprintf(b, sizeof(b), "%s/sys/block/%s/queue",
		 opt->sysroot ? opt->sysroot : "", dst);
	pair->answer = pair_explain(src, a, dst, b, pair->why,
				    sizeof(pair->why));
}

static void print_pair(const struct pair_info *pair)
{
	static const char *const words[] = {
		[PAIR_YES]	= "copies may be offloaded",
		[PAIR_PARTS]	= "parts of copies may be offloaded",
		[PAIR_NO]	= "copies are emulated",
	};

	if (pair->answer != PAIR_UNKNOWN)
		printf("%s to %s: %s%s%s\n", pair->src, pair->dst,
		       words[pair->answer], *pair->why ? "; " : "", pair->why);
}

/* A disk, and behind it the paths by which its commands go */
static int add_disk(const char *name, const struct disk *all, int nr_all,
		    struct disk *disks)
{
	char head[NAME_MAX + 1];
	int i, nr = 1;

	snprintf(disks[0].name, NAME_MAX + 1, "%s", name);
	for (i = 0; i < nr_all; i++) {
		if (!head_of(all[i].name, head, sizeof(head)) ||
		    strcmp(head, name))
			continue;
		disks[nr] = all[i];
		disks[nr++].is_path = true;
	}
	return nr;
}

static bool has_head(const char *name, const struct disk *all, int nr_all)
{
	char head[NAME_MAX + 1];
	int i;

	if (!head_of(name, head, sizeof(head)))
		return false;
	for (i = 0; i < nr_all; i++) {
		if (!strcmp(all[i].name, head))
			return true;
	}
	return false;
}

/* Names of the disks to print; -1 after a message */
static int find_disks(const struct options *opt, char **args, int nr_args,
		      struct disk **disks)
{
	char name[NAME_MAX + 1];
	struct disk *all = NULL;
	int i, nr = 0, nr_all = list_disks(opt, &all);

	/* An argument adds itself and at most all paths */
	if (nr_all >= 0)
		*disks = calloc((nr_args + 1) * (nr_all + 1), sizeof(**disks));
	if (nr_all < 0 || !*disks) {
		free(all);
		return -1;
	}
	for (i = 0; i < nr_args && nr >= 0; i++)
		nr = find_disk(opt, args[i], name) ? -1 :
		     nr + add_disk(name, all, nr_all, *disks + nr);
	for (i = 0; i < nr_all && !nr_args; i++) {
		if (!has_head(all[i].name, all, nr_all))
			nr += add_disk(all[i].name, all, nr_all, *disks + nr);
	}
	free(all);
	return nr;
}

/**
 * info_print - limits and counters of copy offload
 * @opt: how to print
 * @args: devices, or none for all
 * @nr: elements of @args
 *
 * Return: exit status; EXIT_NOTSUPP if the kernel has no copy offload.
 */
int info_print(const struct options *opt, char **args, int nr)
{
	struct pair_info pair = { NULL };
	struct disk *disks = NULL;
	bool has_copy = false, two = nr == 2;
	int d, rc = 0;

	nr = find_disks(opt, args, nr, &disks);
	if (nr < 0) {
		free(disks);
		if (opt->json)
			info_print_error(EXIT_FAILURE);
		return EXIT_FAILURE;
	}
	for (d = 0; d < nr; d++) {
		read_disk(opt, &disks[d]);
		has_copy |= disks[d].has_copy;
	}
	/* Behind the first one are its paths */
	for (d = 1; d < nr && disks[d].is_path; d++)
		;
	if (two)
		find_pair(opt, disks[0].name, disks[d].name, &pair);
	if (!has_copy && nr)
		rc = complain(EXIT_NOTSUPP,
			      "this kernel has no copy offload");
	else if (!nr)
		rc = complain(EXIT_NOTSUPP, "there are no block devices");
	else if (!opt->json)
		rc = print_table(opt, disks, nr);
	if (opt->json)
		print_disks_json(disks, nr, has_copy, &pair, rc);
	else if (!rc && two)
		print_pair(&pair);
	free(disks);
	return rc;
}
