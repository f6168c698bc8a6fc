/* SPDX-License-Identifier: GPL-2.0 */
/*
 * As much of a C library as rawcopy needs, for 32-bit x86 on hosts that have no
 * 32-bit C library.  Numbers of system calls: arch/x86/entry/syscalls.
 */
#ifndef BLK_COPY_I386_H
#define BLK_COPY_I386_H

#include <stddef.h>

#define O_RDONLY	0
#define O_WRONLY	1
#define O_RDWR		2
#define O_ACCMODE	3
#define O_EXCL		0200
#define O_DIRECT	040000
#define O_LARGEFILE	0100000
#define O_PATH		010000000

#define PROT_NONE	0
#define PROT_READ	1
#define PROT_WRITE	2
#define MAP_SHARED	1
#define MAP_PRIVATE	2
#define MAP_ANONYMOUS	0x20
#define MAP_FAILED	((void *)-1)

#define EINTR		4

static int errno;

static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
	long args[2] = { nr, f };
	long ret;

	/* All seven registers are taken, so two values come through memory. */
	asm volatile("push %%ebp\n\t"
		     "mov 4(%%eax), %%ebp\n\t"
		     "mov (%%eax), %%eax\n\t"
		     "int $0x80\n\t"
		     "pop %%ebp"
		     : "=a" (ret)
		     : "a" (args), "b" (a), "c" (b), "d" (c), "S" (d), "D" (e)
		     : "memory");
	if (ret < 0 && ret > -4096) {
		errno = -ret;
		return -1;
	}
	return ret;
}

static int open(const char *path, int flags)
{
	return sys6(5, (long)path, flags | O_LARGEFILE, 0, 0, 0, 0);
}

static int close(int fd)
{
	return sys6(6, fd, 0, 0, 0, 0, 0);
}

static int pipe(int *fds)
{
	return sys6(42, (long)fds, 0, 0, 0, 0, 0);
}

static long write(int fd, const void *from, size_t len)
{
	return sys6(4, fd, (long)from, len, 0, 0, 0);
}

static long read(int fd, void *to, size_t len)
{
	return sys6(3, fd, (long)to, len, 0, 0, 0);
}

static int ioctl(int fd, unsigned long cmd, void *arg)
{
	return sys6(54, fd, cmd, (long)arg, 0, 0, 0);
}

static void *mmap(void *addr, size_t len, int prot, int flags, int fd, long off)
{
	return (void *)sys6(192, (long)addr, len, prot, flags, fd, off >> 12);
}

static int mprotect(void *addr, size_t len, int prot)
{
	return sys6(125, (long)addr, len, prot, 0, 0, 0);
}

static void __attribute__((noreturn)) _exit(int status)
{
	for (;;)
		sys6(1, status, 0, 0, 0, 0, 0);
}

static size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a - *b;
}

/* The compiler calls these two. */
void *memset(void *to, int c, size_t len);
void *memcpy(void *to, const void *from, size_t len);

void *memset(void *to, int c, size_t len)
{
	char *p = to;

	while (len--)
		*p++ = c;
	return to;
}

void *memcpy(void *to, const void *from, size_t len)
{
	char *p = to;
	const char *q = from;

	while (len--)
		*p++ = *q++;
	return to;
}

int main(int argc, char **argv, char **env);
void __attribute__((noreturn)) start_c(long *stack);

void __attribute__((noreturn)) start_c(long *stack)
{
	char **argv = (char **)(stack + 1);

	_exit(main(*stack, argv, argv + *stack + 1));
}

asm(".globl _start\n\t"
	"_start: xor %ebp, %ebp\n\t"
	"mov %esp, %eax\n\t"
	"and $-16, %esp\n\t"
	"sub $12, %esp\n\t"
	"push %eax\n\t"
	"call start_c\n");

#endif /* BLK_COPY_I386_H */
