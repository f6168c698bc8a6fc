/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One command at a time through io_uring, by its system calls: for rawcopy, which
 * has no library where it is built for 32 bits.
 */
#ifndef BLK_COPY_RING_H
#define BLK_COPY_RING_H

#include <linux/io_uring.h>

#ifdef NO_LIBC
#define ring_syscall(nr, a, b, c, d) \
	sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#else
#include <sys/syscall.h>
#define ring_syscall(nr, a, b, c, d)	syscall(nr, a, b, c, d, NULL, 0)
#endif

/* The same on all architectures */
#define RING_SETUP	425
#define RING_ENTER	426

static struct {
	int			fd;
	unsigned int		*sq_tail;
	unsigned int		*sq_array;
	unsigned int		*cq_head;
	unsigned int		*cq_tail;
	struct io_uring_cqe	*cqes;
	struct io_uring_sqe	*sqes;
} ring = { .fd = -1 };

static void *ring_map(size_t len, long off)
{
	return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, off);
}

/* Returns 0, or -1 with errno. */
static int ring_open(void)
{
	struct io_uring_params p = { 0 };
	char *rings;

	if (ring.fd >= 0)
		return 0;
	ring.fd = ring_syscall(RING_SETUP, 1, &p, 0, 0);
	if (ring.fd < 0)
		return -1;
	/* One mapping for both queues, since 5.4 */
	rings = ring_map(p.cq_off.cqes + p.cq_entries * sizeof(*ring.cqes),
			 IORING_OFF_SQ_RING);
	ring.sqes = ring_map(sizeof(*ring.sqes), IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring.sqes == MAP_FAILED)
		return -1;
	ring.sq_tail = (unsigned int *)(rings + p.sq_off.tail);
	ring.sq_array = (unsigned int *)(rings + p.sq_off.array);
	ring.cq_head = (unsigned int *)(rings + p.cq_off.head);
	ring.cq_tail = (unsigned int *)(rings + p.cq_off.tail);
	ring.cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
	return 0;
}

/* As ioctl(): returns the result, or -1 with errno. */
static int ring_command(int fd, unsigned int cmd, const void *arg)
{
	int res;

	if (ring_open())
		return -1;
	memset(ring.sqes, 0, sizeof(*ring.sqes));
	ring.sqes->opcode = IORING_OP_URING_CMD;
	ring.sqes->fd = fd;
	ring.sqes->cmd_op = cmd;
	ring.sqes->addr = (unsigned long)arg;
	*ring.sq_array = 0;
	__atomic_store_n(ring.sq_tail, *ring.sq_tail + 1, __ATOMIC_RELEASE);
	do {
		res = ring_syscall(RING_ENTER, ring.fd, 1, 1,
				   IORING_ENTER_GETEVENTS);
	} while (res < 0 && errno == EINTR);
	if (res < 0)
		return -1;
	while (__atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == *ring.cq_head)
		;
	/* The queue of completions has two entries. */
	res = ring.cqes[*ring.cq_head & 1].res;
	__atomic_store_n(ring.cq_head, *ring.cq_head + 1, __ATOMIC_RELEASE);
	if (res < 0)
		errno = -res;
	return res < 0 ? -1 : res;
}

#endif /* BLK_COPY_RING_H */
