// SPDX-License-Identifier: GPL-2.0
/*
 * Tell the kernel of a partition without writing a label to the disk, as
 * addpart and delpart do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "spec.h"

static int number(const char *s, long long *n)
{
	*n = spec_number(&s);
	return s && !*s;
}

int main(int argc, char **argv)
{
	struct blkpg_partition part = { 0 };
	struct blkpg_ioctl_arg arg = { .datalen = sizeof(part), .data = &part };
	long long nr;
	int fd;

	if (argc == 6 && !strcmp(argv[1], "add") &&
	    number(argv[4], &part.start) && number(argv[5], &part.length))
		arg.op = BLKPG_ADD_PARTITION;
	else if (argc == 4 && !strcmp(argv[1], "del"))
		arg.op = BLKPG_DEL_PARTITION;
	if (!arg.op || !number(argv[3], &nr)) {
		fprintf(stderr, "partition add DISK NUMBER OFFSET LENGTH\n"
			"partition del DISK NUMBER\n");
		return 2;
	}
	part.pno = nr;
	fd = open(argv[2], O_RDONLY);
	if (fd < 0 || ioctl(fd, BLKPG, &arg)) {
		fprintf(stderr, "partition: %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	close(fd);
	return 0;
}
