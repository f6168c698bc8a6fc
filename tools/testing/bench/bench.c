// SPDX-License-Identifier: GPL-2.0
/*
 * blk-copy-bench: run several ways to copy in turns, and say what each cost.
 *
 * A round runs each contender once; the next round begins with another one, so
 * that no contender always follows the same neighbour.  In the first round,
 * which does not count, and in the last one, the destination is wiped before
 * and compared after.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MAX_CONTENDERS	32
/* Times --time after which MIN rounds are not waited for any more */
#define HARD_LIMIT	1.5

static const char usage[] =
"Usage: blk-copy-bench [options] NAME:KIND[,KEY=VALUE]...\n"
"       blk-copy-bench --fill DEVICE OFFSET LENGTH SEED\n"
"       blk-copy-bench --speed\n"
"\n"
"Runs the contenders in turns and prints their samples as JSON.\n"
"--speed says how fast this machine is.\n"
"\n"
" -c, --cpus FILES     schedstat of the virtual CPUs, separated by commas\n"
" -n, --rounds MIN:MAX rounds that count\n"
" -t, --time SECONDS   after MIN rounds, stop when this is over; after half as\n"
"                      much again, stop\n"
" -o, --output DIR     for what programs print, one file per sample\n"
" -p, --profile HERTZ  sample where the CPU time goes\n"
"\n"
"KIND is ioctl, uring, nvme, loop, exec or idle; KEY is src, dst, soff, doff, len,\n"
"call, range, stride, reps, depth, path, knob, value, ms, fill, latency or cmd\n"
"(last).\n";

static struct contender *contenders[MAX_CONTENDERS];
static unsigned int nr_contenders;
static const char *out_dir = ".";

/**
 * die - end with a message and status 1
 * @fmt:	as for printf()
 */
void die(const char *fmt, ...)
{
	unsigned int i;
	va_list ap;

	fputs("blk-copy-bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	for (i = 0; i < nr_contenders; i++)
		contender_knob(contenders[i], true);
	exit(1);
}

/**
 * grow - make room for one more element
 * @array:	array, NULL if it has none yet
 * @nr:		elements in use
 * @size:	bytes of one
 *
 * Return: the array, perhaps moved.
 */
void *grow(void *array, size_t nr, size_t size)
{
	/* Room is doubled whenever it is used up: at powers of two. */
	if (nr & (nr - 1))
		return array;
	array = realloc(array, (nr ? nr * 2 : 1) * size);
	if (!array)
		die("no memory");
	return array;
}

/**
 * parse_size - a number with a suffix
 * @text:	digits, then perhaps K, M or G
 *
 * Return: bytes.
 */
__u64 parse_size(const char *text)
{
	unsigned int shift = 0;
	char *end;
	__u64 n;

	if (!text)
		die("a number is missing");
	n = strtoull(text, &end, 0);
	if (*end == 'K')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (end == text || (shift ? end[1] : end[0]))
		die("no number: %s", text);
	return n << shift;
}

static void set_knob(const struct contender *c, bool normal)
{
	int err = contender_knob(c, normal);

	if (err)
		die("%s: %s", c->knob, strerror(-err));
}

static void run_one(struct contender *c, unsigned int round, bool check,
		    bool counts)
{
	struct sample s;
	char *out;

	if (asprintf(&out, "%s/%s.%u", out_dir, c->name, round) < 0)
		die("no memory");
	check = check && c->len && c->path != PATH_DRY;
	if (check)
		data_wipe(c);
	set_knob(c, false);
	clock_start(&s);
	profile_start();
	contender_run(c, out);
	profile_stop(c);
	clock_stop(&s);
	set_knob(c, true);
	if (check)
		data_check(c);
	free(out);
	if (!counts) {
		c->nr_lat = 0;
		c->nr_ips = 0;
		return;
	}
	c->samples = grow(c->samples, c->nr_samples, sizeof(s));
	c->samples[c->nr_samples++] = s;
}

static void run_round(unsigned int round, bool check, bool counts)
{
	unsigned int i;

	for (i = 0; i < nr_contenders; i++)
		run_one(contenders[(i + round) % nr_contenders], round, check,
			counts);
}

/*
 * Round 0 warms up.  Whether a round is the last is decided before it runs, by
 * the time that the one before it took.
 */
static void run_rounds(unsigned int min, unsigned int max, double seconds)
{
	__s64 start = clock_now(), end = start + seconds * 1e9;
	__s64 hard_end = start + seconds * HARD_LIMIT * 1e9;
	unsigned int round = 0;
	bool last = false;

	run_round(0, true, false);
	while (!last) {
		__s64 now = clock_now(), took = now - start;

		start = now;
		last = ++round >= max || now + 2 * took > hard_end ||
			(round >= min && now + 2 * took > end);
		run_round(round, last, true);
	}
}

static int compare_u32(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static int compare_u64(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static void print_latency(struct contender *c)
{
	static const unsigned int percents[] = { 1, 10, 50, 90, 99, 100 };
	unsigned int i;

	qsort(c->lat, c->nr_lat, sizeof(*c->lat), compare_u32);
	printf(", \"latency_ns\": {");
	for (i = 0; i < sizeof(percents) / sizeof(*percents); i++)
		printf("%s\"%u\": %u", i ? ", " : "", percents[i],
		       c->lat[(c->nr_lat - 1) * percents[i] / 100]);
	printf("}");
}

static void print_profile(struct contender *c)
{
	size_t i, n;

	qsort(c->ips, c->nr_ips, sizeof(*c->ips), compare_u64);
	printf(", \"profile\": {");
	for (i = 0; i < c->nr_ips; i += n) {
		for (n = 1; i + n < c->nr_ips && c->ips[i + n] == c->ips[i]; n++)
			;
		printf("%s\"%llx\": %zu", i ? ", " : "", c->ips[i], n);
	}
	printf("}");
}

static void print_contender(struct contender *c)
{
	__u64 calls = c->call ? c->len / c->call : 0;
	size_t i;

	printf("\"%s\": {\"bytes\": %llu, \"calls\": %llu", c->name,
	       c->len * c->reps, calls * c->reps);
	printf(", \"wall_cpu_wait_busy_ns\": [");
	for (i = 0; i < c->nr_samples; i++)
		printf("%s[%lld, %lld, %lld, %lld]",
		       i ? ", " : "", c->samples[i].wall, c->samples[i].cpu,
		       c->samples[i].wait, c->samples[i].busy);
	printf("]");
	if (c->nr_lat)
		print_latency(c);
	if (c->nr_ips)
		print_profile(c);
	printf("}");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "cpus", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'n' },
		{ "time", required_argument, NULL, 't' },
		{ "output", required_argument, NULL, 'o' },
		{ "profile", required_argument, NULL, 'p' },
		{ "fill", no_argument, NULL, 'f' },
		{ "speed", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	unsigned int min = 1, max = 1, i;
	double seconds = 0;
	bool fill = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:n:t:o:p:h", options, NULL)) > 0) {
		switch (c) {
		case 'c':
			clock_setup(optarg);
			break;
		case 'n':
			if (sscanf(optarg, "%u:%u", &min, &max) != 2)
				die("--rounds wants MIN:MAX");
			break;
		case 't':
			seconds = strtod(optarg, NULL);
			break;
		case 'o':
			out_dir = optarg;
			break;
		case 'p':
			profile_setup(parse_size(optarg));
			break;
		case 'f':
			fill = true;
			break;
		case 's':
			printf("{\"tsc_khz\": %u, \"syscall_ns\": %lld}\n",
			       clock_tsc_khz(), clock_syscall());
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			return 1;
		}
	}
	argv += optind;
	argc -= optind;
	if (fill && argc == 4) {
		data_fill(argv[0], parse_size(argv[1]), parse_size(argv[2]),
			  parse_size(argv[3]));
		return 0;
	}
	if (fill || !argc || argc > MAX_CONTENDERS) {
		fputs(usage, stderr);
		return 1;
	}
	for (i = 0; i < (unsigned int)argc; i++) {
		struct contender *one = contender_parse(argv[i]);

		contenders[nr_contenders++] = one;
	}
	run_rounds(min, max, seconds);
	printf("{");
	for (i = 0; i < nr_contenders; i++) {
		printf("%s\n ", i ? "," : "");
		print_contender(contenders[i]);
	}
	printf("\n}\n");
	return 0;
}
