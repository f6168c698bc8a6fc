/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What was executed: as the devices themselves counted it, and as the block
 * layer did in copy_stat.  The two must agree, and with what was forecast.
 */
#ifndef BLK_COPY_MODEL_COUNT_H
#define BLK_COPY_MODEL_COUNT_H

#include "model-map.h"

#define QEMU_TRACE	"/run/vm/trace"

static void read_layer_counts(const struct leaf *l, struct counts *c)
{
	char path[128], text[1024];

	snprintf(path, sizeof(path), "/sys/block/%s/copy_stat", l->path_disk);
	if (read_text(path, text, sizeof(text)) <= 0 ||
	    find_field(text, "commands", &c->commands) ||
	    find_field(text, "ranges", &c->ranges) ||
	    find_field(text, "command_bytes", &c->bytes) ||
	    find_field(text, "command_errors", &c->errors))
		die("read %s", path);
}

static u64 null_count(const struct leaf *l, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/null_blk/copy_%s", l->disk,
		 name);
	return read_number(path);
}

/* QEMU tells of every Copy command; bytes are in no line */
static void read_qemu_counts(void)
{
	static u64 pos;
	char line[512];
	unsigned int i;
	FILE *f = fopen(QEMU_TRACE, "r");

	if (!f || fseek(f, pos, SEEK_SET))
		die("read " QEMU_TRACE);
	while (fgets(line, sizeof(line), f)) {
		const char *p = strstr(line, "pci_nvme_copy ");
		u32 nsid, nr;

		if (!strchr(line, '\n'))
			break;
		pos += strlen(line);
		p = p ? strstr(p, "nsid ") : NULL;
		if (!p || sscanf(p, "nsid %u nr %u", &nsid, &nr) != 2)
			continue;
		for (i = 0; i < nr_leaves; i++) {
			if (leaves[i].nsid != nsid)
				continue;
			leaves[i].device.commands++;
			leaves[i].device.ranges += nr;
		}
	}
	fclose(f);
}

static void read_device_counts(void)
{
	unsigned int i;

	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];

		if (!l->config[0])
			continue;
		l->device.commands = null_count(l, "commands");
		l->device.ranges = null_count(l, "ranges");
		l->device.bytes = null_count(l, "bytes");
	}
	read_qemu_counts();
}

/* The devices and the block layer must have counted the same. */
static int check_device_counts(void)
{
	unsigned int i;
	int bad = 0;

	read_device_counts();
	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];
		u64 commands = l->layer.commands - l->layer_base.commands;
		u64 ranges = l->layer.ranges - l->layer_base.ranges;
		u64 bytes = l->layer.bytes - l->layer_base.bytes;

		if (l->device.commands == commands &&
		    l->device.ranges == ranges &&
		    (!l->config[0] || l->device.bytes == bytes))
			continue;
		printf("# %s has counted %llu commands, %llu ranges, %llu bytes\n",
		       l->name, l->device.commands, l->device.ranges,
		       l->device.bytes);
		printf("# copy_stat %llu, %llu, %llu\n", commands, ranges,
		       bytes);
		bad = 1;
	}
	return bad;
}

/* Take what is counted already as the start. */
static void base_counts(void)
{
	unsigned int i;

	read_device_counts();
	for (i = 0; i < nr_leaves; i++) {
		struct leaf *l = &leaves[i];

		read_layer_counts(l, &l->layer);
		l->layer_base.commands = l->layer.commands - l->device.commands;
		l->layer_base.ranges = l->layer.ranges - l->device.ranges;
		l->layer_base.bytes = l->layer.bytes - l->device.bytes;
	}
}

/**
 * check_layer_counts - compare what was counted since the last time
 * @expected:	per leaf, what it should be
 * @anything:	do not compare
 *
 * Return: whether something is wrong.
 */
static int check_layer_counts(const struct counts *expected, int anything)
{
	unsigned int i;
	int bad = 0;

	for (i = 0; i < nr_leaves; i++) {
		const struct counts *e = &expected[i];
		struct leaf *l = &leaves[i];
		struct counts now, d;

		read_layer_counts(l, &now);
		d.commands = now.commands - l->layer.commands;
		d.ranges = now.ranges - l->layer.ranges;
		d.bytes = now.bytes - l->layer.bytes;
		d.errors = now.errors - l->layer.errors;
		l->layer = now;
		if (anything || (d.commands == e->commands &&
				 d.ranges == e->ranges && d.bytes == e->bytes &&
				 d.errors == e->errors))
			continue;
		printf("# %s: %llu commands, %llu ranges, %llu bytes, %llu errors\n",
		       l->name, d.commands, d.ranges, d.bytes, d.errors);
		printf("# expected %llu, %llu, %llu, %llu\n", e->commands,
		       e->ranges, e->bytes, e->errors);
		bad = 1;
	}
	return bad;
}

#endif /* BLK_COPY_MODEL_COUNT_H */
