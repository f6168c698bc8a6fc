// SPDX-License-Identifier: GPL-2.0
/*
 * Opening block devices, and refusing those that hold something.
 */
#include <blkid/blkid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blkcopy.h"

/* One line of /sys/dev/block/<major>:<minor>/<name> */
static bool read_sysfs(dev_t rdev, const char *name, char *buf, int len)
{
	char path[128];
	bool ok;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(rdev),
		 minor(rdev), name);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(buf, len, f);
	fclose(f);
	return ok;
}

/* Where a partition lies, so that overlap is seen through every node */
static void find_disk(struct dev *dev)
{
	unsigned int maj, min;
	char text[64];

	dev->disk = dev->rdev;
	dev->start = 0;
	if (!read_sysfs(dev->rdev, "partition", text, sizeof(text)) ||
	    !read_sysfs(dev->rdev, "../dev", text, sizeof(text)) ||
	    sscanf(text, "%u:%u", &maj, &min) != 2 ||
	    !read_sysfs(dev->rdev, "start", text, sizeof(text)))
		return;
	dev->disk = makedev(maj, min);
	dev->start = strtoull(text, NULL, 10) * 512;
}

/* Where a device is mounted, or an empty string */
static void find_mount(dev_t rdev, char *where, size_t len)
{
	unsigned int maj, min;
	char dir[4096];
	char *line = NULL;
	size_t size = 0;
	FILE *f;

	*where = '\0';
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return;
	while (getline(&line, &size, f) > 0) {
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min,
			   dir) == 3 && makedev(maj, min) == rdev) {
			snprintf(where, len, "%s", dir);
			break;
		}
	}
	free(line);
	fclose(f);
}

/**
 * complain_missing - say what stat() or access() has against a name
 * @path: the name, as the user wrote it; errno says what is wrong
 *
 * Return: EXIT_FAILURE.
 */
int complain_missing(const char *path)
{
	int err = errno, len = strcspn(path, ":");
	char other[256];

	if (err != ENOENT && err != ENOTDIR)
		return complain(EXIT_FAILURE, "%s: %s", path, strerror(err));
	if (!*path)
		return complain(EXIT_FAILURE, "'': no such device");
	snprintf(other, sizeof(other), "/dev/%.*s", len, path);
	if (len && !strchr(path, '/') && !access(other, F_OK))
		return complain(EXIT_FAILURE,
				"%s: no such device; did you mean %s?", path,
				other);
	return complain(EXIT_FAILURE, "%s: no such device", path);
}

/**
 * complain_type - say what something is that is no block device
 * @path: its name
 * @mode: of it, as stat() tells
 *
 * Return: EXIT_FAILURE.
 */
int complain_type(const char *path, mode_t mode)
{
	const char *is = "", *instead = "";

	if (S_ISREG(mode)) {
		is = "a regular file, ";
		instead = "; for files use cp or copy_file_range(2)";
	} else if (S_ISDIR(mode)) {
		is = "a directory, ";
	} else if (S_ISCHR(mode)) {
		is = "a character device, ";
		instead = " (which /dev/nvme0n1 or /dev/sda would be)";
	}
	return complain(EXIT_FAILURE, "%s: is %snot a block device%s", path, is,
			instead);
}

static int complain_busy(const char *path, dev_t rdev)
{
	char where[4096];

	find_mount(rdev, where, sizeof(where));
	if (*where)
		return complain(EXIT_FAILURE,
				"%s: is mounted on %s; --force overwrites it",
				path, where);
	return complain(EXIT_FAILURE,
			"%s: is in use (a mounted partition, swap, dm, md or another program); --force overwrites it",
			path);
}

static int complain_open(const char *path, const struct stat *st, int flags)
{
	bool writing = (flags & O_ACCMODE) != O_RDONLY;

	if (errno == EBUSY)
		return complain_busy(path, st->st_rdev);
	return complain(EXIT_FAILURE, "%s: cannot open for %s: %s", path,
			writing ? "writing" : "reading", strerror(errno));
}

static int dev_open(struct dev *dev, const char *path, int flags)
{
	struct stat st;
	int lbs;

	dev->path = path;
	if (stat(path, &st))
		return complain_missing(path);
	if (!S_ISBLK(st.st_mode))
		return complain_type(path, st.st_mode);
	dev->fd = open(path, flags | O_CLOEXEC);
	if (dev->fd < 0)
		return complain_open(path, &st, flags);
	/* The name may mean something else by now */
	if (fstat(dev->fd, &st) || !S_ISBLK(st.st_mode))
		return complain_type(path, st.st_mode);
	dev->rdev = st.st_rdev;
	if (ioctl(dev->fd, BLKGETSIZE64, &dev->size) ||
	    ioctl(dev->fd, BLKSSZGET, &lbs))
		return complain(EXIT_FAILURE, "%s: cannot get its size: %s",
				path, strerror(errno));
	if (!dev->size)
		return complain(EXIT_FAILURE,
				"%s: has 0 bytes; is there a medium, or anything attached?",
				path);
	dev->lbs = lbs;
	find_disk(dev);
	return 0;
}

/**
 * dev_open_source - open for reading
 * @dev: filled in
 * @path: name of the device
 *
 * Return: 0, or the exit status after a message.
 */
int dev_open_source(struct dev *dev, const char *path)
{
	return dev_open(dev, path, O_RDONLY);
}

/**
 * dev_open_destination - open for reading and writing
 * @dev: filled in
 * @path: name of the device
 * @claim: refuse a device that somebody uses, and keep others out
 *
 * Return: 0, or the exit status after a message.
 */
int dev_open_destination(struct dev *dev, const char *path, bool claim)
{
	int rc, ro;

	rc = dev_open(dev, path, O_RDWR | (claim ? O_EXCL : 0));
	if (rc)
		return rc;
	if (!ioctl(dev->fd, BLKROGET, &ro) && ro)
		return complain(EXIT_FAILURE, "%s: is read-only", path);
	return 0;
}

/* Whether two names, maybe different nodes, mean one device */
bool dev_names_same(const char *a, const char *b)
{
	struct stat st_a, st_b;

	return !stat(a, &st_a) && !stat(b, &st_b) && S_ISBLK(st_a.st_mode) &&
	       S_ISBLK(st_b.st_mode) && st_a.st_rdev == st_b.st_rdev;
}

/* What libblkid has found, as an error; 0 if it is nothing to keep */
static int complain_signature(const struct dev *dev, blkid_probe pr)
{
	const char *type, *usage;

	if (!blkid_probe_lookup_value(pr, "PTTYPE", &type, NULL))
		return complain(EXIT_FAILURE,
				"%s: holds a %s partition table; --force overwrites it",
				dev->path, type);
	if (blkid_probe_lookup_value(pr, "TYPE", &type, NULL))
		return 0;
	if (blkid_probe_lookup_value(pr, "USAGE", &usage, NULL))
		usage = "data";
	return complain(EXIT_FAILURE,
			"%s: holds %s (%s); --force overwrites it", dev->path,
			type, usage);
}

/**
 * dev_refuse_signature - refuse a device with a file system or the like on it
 * @dev: an open device, not yet set to O_DIRECT
 *
 * Wherever the copy would go: whoever knows that it misses what is there can
 * say so by --force.
 *
 * Return: 0, or the exit status after a message.
 */
int dev_refuse_signature(const struct dev *dev)
{
	blkid_probe pr = blkid_new_probe();
	int rc;

	if (!pr || blkid_probe_set_device(pr, dev->fd, 0, 0)) {
		rc = complain(EXIT_FAILURE, "%s: cannot look for signatures",
			      dev->path);
		goto out_free;
	}
	blkid_probe_enable_superblocks(pr, true);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE |
					  BLKID_SUBLKS_USAGE);
	blkid_probe_enable_partitions(pr, true);
	rc = blkid_do_fullprobe(pr);
	if (rc < 0)
		rc = complain(EXIT_FAILURE,
			      "%s: cannot look for signatures; --force does without",
			      dev->path);
	else if (rc > 0)
		rc = 0;
	else
		rc = complain_signature(dev, pr);
out_free:
	blkid_free_probe(pr);
	return rc;
}

/* From here on past the page cache, where the device allows it */
int dev_set_direct(const struct dev *dev)
{
	int flags = fcntl(dev->fd, F_GETFL);

	if (flags < 0 || fcntl(dev->fd, F_SETFL, flags | O_DIRECT))
		return complain(EXIT_FAILURE, "%s: cannot set O_DIRECT: %s",
				dev->path, strerror(errno));
	return 0;
}

/**
 * dev_kernel_has_copy - whether the kernel knows BLKCOPY
 * @dev: any open device
 *
 * Some drivers answer EINVAL instead of ENOTTY to ioctls that nobody knows, so
 * the attribute decides.
 *
 * Return: false only if the kernel certainly does not.
 */
bool dev_kernel_has_copy(const struct dev *dev)
{
	char text[64];

	return read_sysfs(dev->disk, "queue/copy_max_hw_bytes", text,
			  sizeof(text)) ||
	       !read_sysfs(dev->disk, "queue/logical_block_size", text,
			   sizeof(text));
}
