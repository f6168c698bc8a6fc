// SPDX-License-Identifier: GPL-2.0
/*
 * Many copies of one thread through io_uring, and what comes of each.
 */
#include <liburing.h>
#include <pthread.h>
#include <sys/mman.h>

#include "bed.h"
#include "spec.h"

static const char usage[] =
"uring [OPTION...] DST DOFF OFF LENGTH COUNT\n"
"	COUNT copies of LENGTH bytes, the nth from OFF + n * LENGTH to DOFF + n *\n"
"	LENGTH, all in flight together\n"
"  -s PATH	the source; otherwise DST\n"
"  -q DEPTH	most copies in flight, instead of all\n"
"  -t S		instead: the nth copy is again from OFF and to DOFF + n %% COUNT *\n"
"		LENGTH, as many as fit in S seconds, DEPTH in flight\n"
"  -r KIND	of ring: sqpoll, defer, iopoll\n"
"  -o HOW	links, drains, fixed (registered file), async (IOSQE_ASYNC)\n"
"  -f n		forbid emulation\n"
"  -b N		the nth copy is misaligned\n"
"  -z FIELD	of the nth SQE that must be 0 and is not: ioprio, len, flags, index,\n"
"		buffer, addr3, pad2; goes with -b\n"
"  -c		cancel all when they are submitted\n"
"  -u		unmap the arguments when they are submitted\n"
"  -w		when they are submitted say so, and wait for a line\n"
"  -x		then do not wait for the copies: end the ring and the program\n"
"  -e		then end the ring, say \"closed\", wait for a line, and count the\n"
"		arguments to which nothing was written\n"
"  -p		submit by a thread that then ends\n"
"\n"
"Prints how often each result came, bytes copied and offloaded of all, the most\n"
"copies in flight, and the microseconds that submission took of them and in all.\n"
"Exit status 2 if a completion is missing or comes twice.\n";

#define MAX_COPIES	65536
/* What a result is before it is written */
#define UNTOUCHED	0x5a5a5a5a5a5a5a5aULL

struct copy {
	struct blk_copy_arg	arg;
	struct blk_copy_range	range;
	int			state;	/* 1 in flight, 2 over */
};

static struct {
	const char *dst, *src, *how, *zero;
	u64 doff, off, len;
	u32 count, depth, flags, ring, seconds;
	long bad;
	int cancel, unmap, wait, leave, end, thread;
} o = { .how = "", .zero = "", .bad = -1 };

static struct io_uring ring;
static struct copy *copies;
static int dst_fd, src_fd = -1;
static u32 in_flight, most, submitted, completed;
static u64 copied, offloaded, submit_us;
static u32 results[4096];

static void __noreturn bad_usage(void)
{
	fputs(usage, stdout);
	exit(2);
}

static u64 number(const char *s)
{
	const char *p = s;
	u64 n = spec_number(&p);

	if (!p || *p)
		bad_usage();
	return n;
}

static u32 ring_flags(const char *kind)
{
	if (!strcmp(kind, "sqpoll"))
		return IORING_SETUP_SQPOLL;
	if (!strcmp(kind, "defer"))
		return IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER;
	if (!strcmp(kind, "iopoll"))
		return IORING_SETUP_IOPOLL;
	bad_usage();
}

static void parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "s:q:t:r:o:f:b:z:cuwxep")) >= 0) {
		switch (c) {
		case 's':
			o.src = optarg;
			break;
		case 'q':
			o.depth = number(optarg);
			break;
		case 't':
			o.seconds = number(optarg);
			break;
		case 'r':
			o.ring = ring_flags(optarg);
			break;
		case 'o':
			o.how = optarg;
			break;
		case 'f':
			o.flags = BLKCOPY_NO_EMULATION;
			break;
		case 'b':
			o.bad = number(optarg);
			break;
		case 'z':
			o.zero = optarg;
			break;
		case 'c':
			o.cancel = 1;
			break;
		case 'u':
			o.unmap = 1;
			break;
		case 'w':
			o.wait = 1;
			break;
		case 'x':
			o.wait = 1;
			o.leave = 1;
			break;
		case 'e':
			o.wait = 1;
			o.end = 1;
			break;
		case 'p':
			o.thread = 1;
			break;
		default:
			bad_usage();
		}
	}
	if (argc - optind != 5)
		bad_usage();
	o.dst = argv[optind];
	o.doff = number(argv[optind + 1]);
	o.off = number(argv[optind + 2]);
	o.len = number(argv[optind + 3]);
	o.count = number(argv[optind + 4]);
	if (!o.depth)
		o.depth = o.count;
	if (!o.count || o.count > MAX_COPIES)
		bad_usage();
}

static void set_up(void)
{
	struct io_uring_params p = {
		/* One SQE that is refused does not hold up those behind it. */
		.flags = o.ring | IORING_SETUP_SUBMIT_ALL,
	};
	int err;

	dst_fd = open_dev(o.dst);
	if (o.src)
		src_fd = open(o.src, O_RDONLY | O_CLOEXEC);
	if (o.src && src_fd < 0)
		die("open %s", o.src);
	copies = mmap(NULL, o.count * sizeof(*copies), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copies == MAP_FAILED)
		die("no memory for %u copies", o.count);
	err = io_uring_queue_init_params(min(o.depth, 4096U), &ring, &p);
	if (!err && !strcmp(o.how, "fixed"))
		err = io_uring_register_files(&ring, &dst_fd, 1);
	errno = -err;
	if (err)
		die("set up the ring");
}

static void spoil(struct io_uring_sqe *sqe)
{
	if (!strcmp(o.zero, "ioprio"))
		sqe->ioprio = 1;
	else if (!strcmp(o.zero, "len"))
		sqe->len = 1;
	else if (!strcmp(o.zero, "flags"))
		sqe->rw_flags = 1 << 5;
	else if (!strcmp(o.zero, "index"))
		sqe->file_index = 1;
	else if (!strcmp(o.zero, "buffer"))
		sqe->buf_index = 1;
	else if (!strcmp(o.zero, "addr3"))
		sqe->addr3 = 1;
	else if (!strcmp(o.zero, "pad2"))
		sqe->__pad2[0] = 1;
	else if (*o.zero)
		bad_usage();
}

/* @n: which copy; @place: which of those that are in flight together */
static void prepare(u32 n, u32 place)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
	struct copy *c = &copies[place];

	if (!sqe)
		die("no room for an SQE");
	if (c->state == 1)
		die("copy %u begins, and %u is not over", n, place);
	c->range.offset = o.off + (o.seconds ? 0 : place * o.len);
	c->range.length = o.len;
	c->arg = (struct blk_copy_arg) {
		.ranges		= (uintptr_t)&c->range,
		.nr_ranges	= 1,
		.src_fd		= src_fd,
		.dst_offset	= o.doff + place * o.len,
		.flags		= o.flags,
		.bytes_copied	= o.end ? UNTOUCHED : 0,
	};
	c->state = 1;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, dst_fd, &c->arg, 0, 0);
	sqe->cmd_op = BLOCK_URING_CMD_COPY;
	sqe->user_data = place;
	if (!strcmp(o.how, "fixed")) {
		sqe->fd = 0;
		sqe->flags |= IOSQE_FIXED_FILE;
	} else if (!strcmp(o.how, "async")) {
		sqe->flags |= IOSQE_ASYNC;
	} else if (!strcmp(o.how, "links") && n + 1 < o.count) {
		sqe->flags |= IOSQE_IO_LINK;
	} else if (!strcmp(o.how, "drains")) {
		sqe->flags |= IOSQE_IO_DRAIN;
	}
	if (n == o.bad && *o.zero)
		spoil(sqe);
	else if (n == o.bad)
		c->range.offset++;
	in_flight++;
	most = max(most, in_flight);
}

static void submit(u32 nr)
{
	u64 begin = now_us();
	int ret = io_uring_submit(&ring);

	submit_us += now_us() - begin;
	if (ret != (int)nr) {
		errno = ret < 0 ? -ret : 0;
		die("submitted %d of %u", ret, nr);
	}
	submitted += nr;
}

/* Returns the place of the copy that is over. */
static u32 reap(void)
{
	struct io_uring_cqe *cqe;
	struct copy *c;
	u32 place;
	int err;

	do {
		err = io_uring_wait_cqe(&ring, &cqe);
	} while (err == -EINTR);
	errno = -err;
	if (err)
		die("%u of %u have come, and the next does not", completed, submitted);
	place = cqe->user_data;
	if (place >= o.count || copies[place].state != 1)
		die("a completion of copy %u, which is not in flight", place);
	c = &copies[place];
	if (cqe->res > 0 || -cqe->res >= (int)ARRAY_SIZE(results))
		die("copy %u has the result %d", place, cqe->res);
	results[-cqe->res]++;
	c->state = 2;
	copied += c->arg.bytes_copied;
	offloaded += c->arg.bytes_offloaded;
	io_uring_cqe_seen(&ring, cqe);
	completed++;
	in_flight--;
	return place;
}

static void cancel_all(void)
{
	struct io_uring_sync_cancel_reg reg = {
		.fd = -1, .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
		.timeout = { -1, -1 },
	};
	int ret = io_uring_register_sync_cancel(&ring, &reg);

	/* There may be nothing that can be cancelled one by one. */
	if (ret < 0 && ret != -ENOENT && ret != -EALREADY) {
		errno = -ret;
		die("cancel");
	}
}

static void *submit_all(void *unused)
{
	u32 n;

	for (n = 0; n < o.count; n++)
		prepare(n, n);
	submit(o.count);
	return NULL;
}

static void by_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, submit_all, NULL);
	if (!errno)
		errno = pthread_join(thread, NULL);
	if (errno)
		die("a thread");
}

/* The memory is ours again. */
static void count_untouched(void)
{
	u32 n, untouched = 0;

	for (n = 0; n < o.count; n++)
		untouched += copies[n].arg.bytes_copied == UNTOUCHED;
	printf("untouched %u\n", untouched);
}

/* Until somebody says go on */
static void pause_at(const char *place)
{
	puts(place);
	fflush(stdout);
	if (getchar() == EOF)
		die("nobody says go on");
}

static void all_at_once(void)
{
	u32 n;

	if (o.thread)
		by_thread();
	else
		submit_all(NULL);
	if (o.unmap && mprotect(copies, o.count * sizeof(*copies), PROT_NONE))
		die("mprotect");
	if (o.cancel)
		cancel_all();
	if (o.wait)
		pause_at("submitted");
	if (o.end) {
		io_uring_queue_exit(&ring);
		pause_at("closed");
		count_untouched();
	}
	if (o.leave || o.end)
		exit(0);
	if (o.unmap) {
		sleep_us(1000000);
		if (mprotect(copies, o.count * sizeof(*copies), PROT_READ | PROT_WRITE))
			die("mprotect");
	}
	for (n = 0; n < o.count; n++)
		reap();
}

/* Never more than depth in flight, and each that ends makes room for the next. */
static void keep_busy(void)
{
	u64 end = now_us() + o.seconds * 1000000ULL;
	u32 n, place;

	for (n = 0; n < min(o.depth, o.count); n++)
		prepare(n, n);
	submit(n);
	while (in_flight) {
		place = reap();
		if (o.seconds ? now_us() >= end : n == o.count)
			continue;
		prepare(n, o.seconds ? place : n);
		submit(1);
		n++;
	}
}

int main(int argc, char **argv)
{
	u64 begin;
	u32 i;

	parse(argc, argv);
	set_up();
	begin = now_us();
	if (o.seconds || o.depth < o.count)
		keep_busy();
	else
		all_at_once();
	for (i = 0; i < ARRAY_SIZE(results); i++)
		if (results[i])
			printf("%u*%s ", results[i], i ? strerrorname_np(i) : "0");
	printf("copied %llu offloaded %llu most %u submit_us %llu us %llu\n",
	       copied, offloaded, most, submit_us, now_us() - begin);
	if (completed != submitted)
		die("%u of %u completions", completed, submitted);
	io_uring_queue_exit(&ring);
	return 0;
}
