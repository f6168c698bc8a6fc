// SPDX-License-Identifier: GPL-2.0
/*
 * Where the kernel spends the CPU time of a contender: samples of the
 * instruction pointer, on a timer, from CPUs that are not idle.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

#define MAX_CPUS	16
#define RING_PAGES	256

static struct perf_event_mmap_page *rings[MAX_CPUS];
static int fds[MAX_CPUS];
static unsigned int nr_rings;
static size_t page_bytes;

static void open_ring(unsigned int cpu, unsigned int hertz)
{
	struct perf_event_attr attr = {
		.type		= PERF_TYPE_SOFTWARE,
		.config		= PERF_COUNT_SW_CPU_CLOCK,
		.size		= sizeof(attr),
		.sample_period	= 1000000000 / hertz,
		.sample_type	= PERF_SAMPLE_IP,
		.disabled	= 1,
		.exclude_idle	= 1,
	};

	fds[cpu] = syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
			   PERF_FLAG_FD_CLOEXEC);
	if (fds[cpu] < 0)
		die("perf_event_open: %s", strerror(errno));
	rings[cpu] = mmap(NULL, (RING_PAGES + 1) * page_bytes,
			  PROT_READ | PROT_WRITE, MAP_SHARED, fds[cpu], 0);
	if (rings[cpu] == MAP_FAILED)
		die("perf ring: %s", strerror(errno));
}

/**
 * profile_setup - make the profiler ready
 * @hertz:	samples per second and CPU
 */
void profile_setup(unsigned int hertz)
{
	unsigned int cpus = sysconf(_SC_NPROCESSORS_ONLN);

	page_bytes = sysconf(_SC_PAGESIZE);
	if (cpus > MAX_CPUS)
		die("more than %d CPUs", MAX_CPUS);
	for (nr_rings = 0; nr_rings < cpus; nr_rings++)
		open_ring(nr_rings, hertz);
}

/**
 * profile_start - before a run; does nothing without profile_setup()
 */
void profile_start(void)
{
	unsigned int i;

	for (i = 0; i < nr_rings; i++)
		ioctl(fds[i], PERF_EVENT_IOC_ENABLE, 0);
}

static void drain(struct contender *c, struct perf_event_mmap_page *ring)
{
	size_t size = RING_PAGES * page_bytes;
	char *data = (char *)ring + page_bytes;
	__u64 head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	__u64 tail = ring->data_tail;

	while (tail < head) {
		struct perf_event_header hdr;

		/* Records are multiples of 8 bytes: a header is never cut. */
		memcpy(&hdr, data + tail % size, sizeof(hdr));
		if (hdr.type == PERF_RECORD_SAMPLE) {
			c->ips = grow(c->ips, c->nr_ips, sizeof(*c->ips));
			memcpy(&c->ips[c->nr_ips++],
			       data + (tail + sizeof(hdr)) % size, 8);
		}
		tail += hdr.size;
	}
	__atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
}

/**
 * profile_stop - after a run
 * @c:	the contender that gets the samples
 */
void profile_stop(struct contender *c)
{
	unsigned int i;

	for (i = 0; i < nr_rings; i++)
		ioctl(fds[i], PERF_EVENT_IOC_DISABLE, 0);
	for (i = 0; i < nr_rings; i++)
		drain(c, rings[i]);
}
