// SPDX-License-Identifier: GPL-2.0
/*
 * Reads and writes of our own: whole, aligned, with a message on errors.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blkcopy.h"

/* A buffer that every device takes with O_DIRECT; BUF_BYTES long */
void *io_buffer(void)
{
	void *buf;

	if (posix_memalign(&buf, 64 * KIB, BUF_BYTES)) {
		complain(EXIT_FAILURE, "out of memory");
		return NULL;
	}
	return buf;
}

/**
 * io_read - read all of a piece
 * @dev: from where
 * @buf: where to
 * @len: bytes
 * @off: byte offset on @dev
 *
 * Return: @len, or less after a message.
 */
ssize_t io_read(const struct dev *dev, void *buf, size_t len, __u64 off)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(dev->fd, (char *)buf + done, len - done, off + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain(EXIT_FAILURE, "%s: cannot read at %llu: %s",
				 dev->path, off + done,
				 n ? strerror(errno) : "end of device");
			break;
		}
		done += n;
	}
	return done;
}

/**
 * io_write - write all of a piece
 * @dev: to where
 * @buf: where from
 * @len: bytes
 * @off: byte offset on @dev
 *
 * Return: @len, or less after a message.
 */
ssize_t io_write(const struct dev *dev, const void *buf, size_t len,
		 __u64 off)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pwrite(dev->fd, (const char *)buf + done, len - done,
			   off + done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			complain(EXIT_FAILURE, "%s: cannot write at %llu: %s",
				 dev->path, off + done,
				 n ? strerror(errno) : "end of device");
			break;
		}
		done += n;
	}
	return done;
}
