// SPDX-License-Identifier: GPL-2.0
/*
 * One BLKCOPY, or the same command of io_uring, with whatever the caller wants in
 * it, right or wrong, and what came of it.  Also built for 32 bits, see i386.h: so no stdio.
 */
#ifdef NO_LIBC
#include "i386.h"
#else
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <linux/blk-copy.h>

#include "spec.h"
#include "ring.h"

static const char usage[] =
"rawcopy [OPTION...] DST DOFF [RANGE...]\n"
"	RANGE: OFFSET:LENGTH, or OFFSET:LENGTH*COUNT+STRIDE for COUNT of them\n"
"  -s PATH	the source; without it src_fd is -1\n"
"  -S FD		src_fd, literally; -S pipe: the reading end of a pipe\n"
"  -m MODE	how DST is opened: r, w, rw (default), x (rw and O_EXCL), d (rw and\n"
"		O_DIRECT), 3 (for ioctls only), path (O_PATH)\n"
"  -M MODE	how the source is opened; r is the default\n"
"  -f FLAGS	letters n (no emulation), d (dry run), or a number\n"
"  -r N -1 N -2 N	reserved0, reserved[0], reserved[1]\n"
"  -n N		nr_ranges, other than the ranges given\n"
"  -p WHERE	ranges: null, bad, kernel, edge (the last one is unmapped), wrap\n"
"		(the end overflows), or high (a bit that is no part of an address)\n"
"  -a WHERE	the argument: null, bad, kernel, ro (read-only memory), edge, or a\n"
"		file or device, at the start of a shared mapping of it\n"
"  -c N		number of the ioctl, or of the command\n"
"\n"
"Prints ERROR BYTES_COPIED BYTES_OFFLOADED; ERROR is 0 or its name, - stands\n"
"for a result that was not written.  Exit status 0, 1 for an ioctl that failed,\n"
"2 for trouble before it.\n"
"\n"
"rawcopy -t\n"
"	one call per line of standard input, WANTED|OPTION... DST DOFF [RANGE...],\n"
"	where WANTED is what it must print; prints those that print something\n"
"	else.  Exit status 0 if there are none, else 1.\n"
"rawcopy -i\n"
"	print the size, the number and the offsets of the interface\n"
"\n"
"DOOR=uring in the environment: through io_uring instead of the ioctl\n";

#define NOT_WRITTEN	0xdeadbeefcafef00dULL
#define PAGE		4096
#define MAX_RANGES	8192
#define MAX_WORDS	64

static struct blk_copy_range ranges[MAX_RANGES];
static unsigned int nr_ranges;
static int through_ring;

static char input[1024 * 1024];
static char output[8192];
static unsigned int output_len;

static struct options {
	const char *src;
	const char *src_fd;
	const char *dst_mode;
	const char *src_mode;
	const char *flags;
	const char *range_at;
	const char *arg_at;
	u64 nr;
	int nr_given;
	u64 cmd;
	u64 reserved[3];
} opts;

static const struct options no_options = {
	.dst_mode = "rw", .src_mode = "r",
};

static void flush(void)
{
	if (output_len && write(1, output, output_len) < 0)
		_exit(2);
	output_len = 0;
}

static void put(const char *s)
{
	while (*s) {
		if (output_len == sizeof(output))
			flush();
		output[output_len++] = *s++;
	}
}

/* Decimal without division: 32-bit code has none for 64 bits. */
static void put_number(u64 n)
{
	char text[24];
	u64 ten[20];
	int i, len = 0;

	for (i = 0; i < 20; i++)
		ten[i] = i ? ten[i - 1] * 10 : 1;
	for (i = 19; i >= 0; i--) {
		char digit = '0';

		while (n >= ten[i]) {
			n -= ten[i];
			digit++;
		}
		if (digit != '0' || len || !i)
			text[len++] = digit;
	}
	text[len] = 0;
	put(text);
}

static void put_result(u64 n)
{
	put(" ");
	if (n == NOT_WRITTEN)
		put("-");
	else
		put_number(n);
}

static void put_error(int error)
{
	static const struct {
		int nr;
		const char *name;
	} names[] = {
		{ 0, "0" }, { 1, "EPERM" }, { 2, "ENOENT" }, { 4, "EINTR" },
		{ 5, "EIO" }, { 6, "ENXIO" }, { 9, "EBADF" }, { 11, "EAGAIN" },
		{ 12, "ENOMEM" }, { 13, "EACCES" }, { 14, "EFAULT" },
		{ 15, "ENOTBLK" }, { 16, "EBUSY" }, { 19, "ENODEV" },
		{ 21, "EISDIR" }, { 22, "EINVAL" }, { 25, "ENOTTY" },
		{ 26, "ETXTBSY" }, { 27, "EFBIG" }, { 28, "ENOSPC" }, { 30, "EROFS" },
		{ 32, "EPIPE" }, { 34, "ERANGE" }, { 52, "EBADE" },
		{ 61, "ENODATA" }, { 67, "ENOLINK" }, { 75, "EOVERFLOW" },
		{ 84, "EILSEQ" }, { 95, "EOPNOTSUPP" }, { 110, "ETIMEDOUT" },
		{ 121, "EREMOTEIO" }, { 125, "ECANCELED" },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].nr == error) {
			put(names[i].name);
			return;
		}
	}
	put("errno");
	put_number(error);
}

static void __attribute__((noreturn)) die(const char *what)
{
	put("rawcopy: ");
	put(what);
	put(": ");
	put_error(errno);
	put("\n");
	flush();
	_exit(2);
}

static void __attribute__((noreturn)) bad_usage(const char *what)
{
	put("rawcopy: what is '");
	put(what);
	put("'?\n");
	put(usage);
	flush();
	_exit(2);
}

static u64 number(const char *s)
{
	const char *p = s;
	u64 n = spec_number(&p);

	if (!p || *p)
		bad_usage(s);
	return n;
}

static void add_ranges(const char *word)
{
	struct spec_range r;

	if (spec_range(word, &r))
		bad_usage(word);
	for (; r.count; r.count--, r.off += r.stride) {
		if (nr_ranges == MAX_RANGES)
			bad_usage("so many ranges");
		ranges[nr_ranges].offset = r.off;
		ranges[nr_ranges].length = r.len;
		nr_ranges++;
	}
}

static int open_as(const char *path, const char *mode)
{
	int flags = O_RDWR, fd;

	if (!strcmp(mode, "r"))
		flags = O_RDONLY;
	else if (!strcmp(mode, "w"))
		flags = O_WRONLY;
	else if (!strcmp(mode, "x"))
		flags = O_RDWR | O_EXCL;
	else if (!strcmp(mode, "d"))
		flags = O_RDWR | O_DIRECT;
	else if (!strcmp(mode, "3"))
		flags = O_ACCMODE;
	else if (!strcmp(mode, "path"))
		flags = O_PATH;
	else if (strcmp(mode, "rw"))
		bad_usage(mode);
	fd = open(path, flags);
	if (fd < 0)
		die(path);
	return fd;
}

/* What is opened for the source goes to fds, to be closed after the call. */
static int source_fd(int *fds)
{
	const char *s = opts.src_fd;

	if (opts.src)
		return fds[0] = open_as(opts.src, opts.src_mode);
	if (!s)
		return -1;
	if (!strcmp(s, "pipe")) {
		if (pipe(fds))
			die("pipe");
		return fds[0];
	}
	return *s == '-' ? -(int)number(s + 1) : (int)number(s);
}

static unsigned int parse_flags(const char *s)
{
	unsigned int flags = 0;

	if (!s)
		return 0;
	if (*s >= '0' && *s <= '9')
		return number(s);
	for (; *s; s++) {
		if (*s == 'n')
			flags |= BLKCOPY_NO_EMULATION;
		else if (*s == 'd')
			flags |= BLKCOPY_DRY_RUN;
		else
			bad_usage(s);
	}
	return flags;
}

static void *place_in_file(const char *path, const void *from, size_t len)
{
	int fd = open_as(path, "rw");
	void *to = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (to == MAP_FAILED)
		die("mmap");
	close(fd);
	memcpy(to, from, len);
	return to;
}

/* Put an object where the caller wants it, perhaps where it cannot be. */
static void *place(const char *where, const void *from, size_t len, size_t cut)
{
	char *page, *to;
	size_t pages;

	if (!where)
		return (void *)from;
	if (!strcmp(where, "null"))
		return NULL;
	if (!strcmp(where, "kernel"))
		return (void *)-(long)(16 * PAGE);
	if (!strcmp(where, "wrap"))
		return (void *)-16L;
	if (*where == '/')
		return place_in_file(where, from, len);
	pages = (len + PAGE - 1) & ~(size_t)(PAGE - 1);
	page = mmap(NULL, pages + PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect(page + pages, PAGE, PROT_NONE))
		die("mmap");
	if (!strcmp(where, "bad"))
		return page + pages;
	/* The last bytes lie behind the end of what is mapped. */
	to = page;
	if (!strcmp(where, "edge"))
		to += pages - (len - cut);
	else if (strcmp(where, "ro"))
		bad_usage(where);
	memcpy(to, from, strcmp(where, "edge") ? len : len - cut);
	if (!strcmp(where, "ro") && mprotect(page, pages, PROT_READ))
		die("mprotect");
	return to;
}

static void show_interface(void)
{
	put_number(sizeof(struct blk_copy_arg));
	put(" ");
	put_number(BLKCOPY);
	put(" ");
	put_number(offsetof(struct blk_copy_arg, src_fd));
	put(" ");
	put_number(offsetof(struct blk_copy_arg, dst_offset));
	put(" ");
	put_number(offsetof(struct blk_copy_arg, bytes_copied));
	put(" ");
	put_number(offsetof(struct blk_copy_arg, reserved));
	put(" ");
	put_number(sizeof(struct blk_copy_range));
	put("\n");
}

static void parse_option(char opt, const char *value)
{
	switch (opt) {
	case 's':
		opts.src = value;
		break;
	case 'S':
		opts.src_fd = value;
		break;
	case 'm':
		opts.dst_mode = value;
		break;
	case 'M':
		opts.src_mode = value;
		break;
	case 'f':
		opts.flags = value;
		break;
	case 'r':
		opts.reserved[0] = number(value);
		break;
	case '1':
		opts.reserved[1] = number(value);
		break;
	case '2':
		opts.reserved[2] = number(value);
		break;
	case 'n':
		opts.nr = number(value);
		opts.nr_given = 1;
		break;
	case 'p':
		opts.range_at = value;
		break;
	case 'a':
		opts.arg_at = value;
		break;
	case 'c':
		opts.cmd = number(value);
		break;
	default:
		bad_usage(value);
	}
}

static int call(const char *dst, const char *dst_offset)
{
	struct blk_copy_arg arg = {
		.nr_ranges = opts.nr_given ? opts.nr : nr_ranges,
		.dst_offset = number(dst_offset),
		.flags = parse_flags(opts.flags),
		.reserved0 = opts.reserved[0],
		.bytes_copied = NOT_WRITTEN,
		.bytes_offloaded = NOT_WRITTEN,
		.reserved = { opts.reserved[1], opts.reserved[2] },
	};
	struct blk_copy_arg *at;
	int fd, ret, src[2] = { -1, -1 };

	if (opts.range_at && !strcmp(opts.range_at, "high"))
		arg.ranges = (unsigned long)ranges |
			1ULL << (sizeof(long) == 4 ? 32 : 63);
	else
		arg.ranges = (unsigned long)place(opts.range_at, ranges,
						  nr_ranges * sizeof(ranges[0]),
						  sizeof(ranges[0]));
	fd = open_as(dst, opts.dst_mode);
	arg.src_fd = source_fd(src);
	at = place(opts.arg_at, &arg, sizeof(arg), 8);

	if (through_ring)
		ret = ring_command(fd, opts.cmd, at);
	else
		ret = ioctl(fd, opts.cmd, at);
	put_error(ret ? errno : 0);
	if (!opts.arg_at || !strcmp(opts.arg_at, "ro") || *opts.arg_at == '/') {
		put_result(at->bytes_copied);
		put_result(at->bytes_offloaded);
	}
	if (ret > 0)
		put(" (returned a positive number)");
	close(fd);
	close(src[0]);
	close(src[1]);
	return ret ? 1 : 0;
}

static int run(int nr_words, char **words)
{
	int i, first;

	opts = no_options;
	opts.cmd = through_ring ? BLOCK_URING_CMD_COPY : BLKCOPY;
	nr_ranges = 0;
	for (i = 0; i < nr_words && words[i][0] == '-'; i += 2) {
		if (i + 1 == nr_words || !words[i][1] || words[i][2])
			bad_usage(words[i]);
		parse_option(words[i][1], words[i + 1]);
	}
	first = i;
	if (nr_words - first < 2)
		bad_usage("missing");
	for (i = first + 2; i < nr_words; i++)
		add_ranges(words[i]);
	return call(words[first], words[first + 1]);
}

/* Cut a text at a character; returns what follows it, or NULL. */
static char *cut(char *text, char at)
{
	for (; *text; text++) {
		if (*text == at) {
			*text = 0;
			return text + 1;
		}
	}
	return NULL;
}

/* One line of -t; returns whether it did as wanted. */
static int run_line(char *line)
{
	char *words[MAX_WORDS], *word = cut(line, '|'), *next;
	int i, nr = 0;

	if (!word)
		bad_usage(line);
	for (; word; word = next) {
		next = cut(word, ' ');
		if (*word && nr < MAX_WORDS)
			words[nr++] = word;
	}
	output_len = 0;
	run(nr, words);
	output[output_len] = 0;
	if (!strcmp(output, line)) {
		output_len = 0;
		return 1;
	}
	put(", should be ");
	put(line);
	put(":");
	for (i = 0; i < nr; i++) {
		put(" ");
		put(words[i]);
	}
	put("\n");
	flush();
	return 0;
}

static int run_lines(void)
{
	char *line = input, *next;
	unsigned int len = 0;
	int bad = 0;
	long got;

	while ((got = read(0, input + len, sizeof(input) - 1 - len)) > 0)
		len += got;
	if (got < 0 || len == sizeof(input) - 1)
		die("reading cases");
	for (; line; line = next) {
		next = cut(line, '\n');
		if (*line)
			bad |= !run_line(line);
	}
	return bad;
}

int main(int argc, char **argv, char **env)
{
	int ret;

	for (; *env; env++)
		through_ring |= !strcmp(*env, "DOOR=uring");
	if (argc == 2 && !strcmp(argv[1], "-i")) {
		show_interface();
		ret = 0;
	} else if (argc == 2 && !strcmp(argv[1], "-t")) {
		ret = run_lines();
	} else {
		ret = run(argc - 1, argv + 1);
		put("\n");
	}
	flush();
	return ret;
}
