// SPDX-License-Identifier: GPL-2.0
/*
 * Time and CPU time of the whole guest.
 *
 * The guest cannot tell well how busy it was: ticks are too coarse, getrusage()
 * misses interrupts and workers, and idle time is wrong by whatever the host
 * took away.  The host knows exactly: a virtual CPU is one of its threads, and
 * /proc/<pid>/task/<tid>/schedstat counts the nanoseconds for which that ran,
 * and for which it wanted to.  These files are mounted into the guest.
 *
 * The host brings the count up to date when a thread stops running, else only
 * once per tick.  So everybody sleeps for a moment before the counts are read;
 * what that costs is the same each time, and is taken off with the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define MAX_CPUS	16
#define NSEC_PER_SEC	1000000000LL
#define SETTLE_NSEC	2000000
#define TSC_NSEC	300000000
#define SYSCALL_TRIES	200
#define SYSCALL_LOOPS	50

static int cpu_fds[MAX_CPUS];
static unsigned int nr_cpus;
static int uptime_fd = -1;

/**
 * clock_setup - open what tells the CPU time
 * @files:	schedstat of each virtual CPU, separated by commas
 */
void clock_setup(char *files)
{
	char *name;

	while ((name = strsep(&files, ","))) {
		if (nr_cpus == MAX_CPUS)
			die("more than %d CPUs", MAX_CPUS);
		cpu_fds[nr_cpus] = open(name, O_RDONLY);
		if (cpu_fds[nr_cpus++] < 0)
			die("%s: %s", name, strerror(errno));
	}
	uptime_fd = open("/proc/uptime", O_RDONLY);
	if (uptime_fd < 0)
		die("/proc/uptime: %s", strerror(errno));
}

/**
 * clock_now - the time in nanoseconds
 *
 * Return: what CLOCK_MONOTONIC says.
 */
__s64 clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

static void read_cpus(__s64 *cpu, __s64 *wait)
{
	unsigned int i;

	*cpu = 0;
	*wait = 0;
	for (i = 0; i < nr_cpus; i++) {
		long long ran, waited;
		char text[80];
		ssize_t n;

		n = pread(cpu_fds[i], text, sizeof(text) - 1, 0);
		if (n <= 0)
			die("CPU time: %s", n ? strerror(errno) : "no answer");
		text[n] = 0;
		if (sscanf(text, "%lld %lld", &ran, &waited) != 2)
			die("CPU time: cannot parse \"%s\"", text);
		*cpu += ran;
		*wait += waited;
	}
}

/* Idle time of all CPUs of the guest, by its own clock */
static __s64 read_idle(void)
{
	char text[80];
	ssize_t n = pread(uptime_fd, text, sizeof(text) - 1, 0);
	double up, idle;

	if (n <= 0)
		die("/proc/uptime: no answer");
	text[n] = 0;
	if (sscanf(text, "%lf %lf", &up, &idle) != 2)
		die("/proc/uptime: cannot parse \"%s\"", text);
	return idle * NSEC_PER_SEC;
}

static void settle(void)
{
	struct timespec nap = { .tv_nsec = SETTLE_NSEC };

	nanosleep(&nap, NULL);
}

/**
 * clock_start - before a run
 * @s:	where the readings are kept until clock_stop()
 */
void clock_start(struct sample *s)
{
	settle();
	s->busy = read_idle();
	read_cpus(&s->cpu, &s->wait);
	s->wall = clock_now();
}

/**
 * clock_stop - after a run
 * @s:	in: what clock_start() left there; out: the differences
 */
void clock_stop(struct sample *s)
{
	__s64 cpu, wait, whole = -s->wall;

	s->wall = clock_now() - s->wall;
	settle();
	whole += clock_now();
	read_cpus(&cpu, &wait);
	s->cpu = cpu - s->cpu;
	s->wait = wait - s->wait;
	s->busy = whole * sysconf(_SC_NPROCESSORS_ONLN) -
		(read_idle() - s->busy);
}

/**
 * clock_tsc_khz - rate of the time stamp counter of this machine
 *
 * A guest on a busy host measures it wrongly, by up to a factor, and has a wrong
 * clock then: it is told instead.
 *
 * Return: kHz, 0 if there is no such counter.
 */
unsigned int clock_tsc_khz(void)
{
#ifdef __x86_64__
	struct timespec nap = { .tv_nsec = TSC_NSEC };
	__s64 before = clock_now();
	__u64 first = __builtin_ia32_rdtsc(), ticks;

	nanosleep(&nap, NULL);
	ticks = __builtin_ia32_rdtsc() - first;
	return ticks * 1000000 / (clock_now() - before);
#else
	return 0;
#endif
}

/**
 * clock_syscall - how fast a kernel runs here
 *
 * A byte through a pipe, a few thousand instructions of ordinary kernel code:
 * done in the guest and on the host, it tells how much slower an emulated CPU
 * is.  The fastest of many tries, because others may take the CPU away.
 *
 * Return: nanoseconds for both system calls.
 */
__s64 clock_syscall(void)
{
	__s64 best = NSEC_PER_SEC, took;
	unsigned int try, i;
	int fds[2];
	char byte = 0;

	if (pipe(fds))
		die("pipe: %s", strerror(errno));
	for (try = 0; try < SYSCALL_TRIES; try++) {
		took = clock_now();
		for (i = 0; i < SYSCALL_LOOPS; i++)
			if (write(fds[1], &byte, 1) != 1 ||
			    read(fds[0], &byte, 1) != 1)
				die("pipe: %s", strerror(errno));
		took = (clock_now() - took) / SYSCALL_LOOPS;
		if (took < best)
			best = took;
	}
	close(fds[0]);
	close(fds[1]);
	return best;
}
