// SPDX-License-Identifier: GPL-2.0
/*
 * blkcopy - copy between block devices without moving the data through memory
 *
 * Options, and the order of things: plan everything, refuse what would destroy,
 * copy, verify, report.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkcopy.h"

enum {
	OPT_PROGRESS = 256,
	OPT_SYSROOT,
};

/* The colon: a missing argument is told from an unknown option */
static const char short_opts[] = ":r:nEcfp:d:ibJqvhV";

static const struct option long_opts[] = {
	{ "range",		required_argument,	NULL, 'r' },
	{ "dry-run",		no_argument,		NULL, 'n' },
	{ "no-emulation",	no_argument,		NULL, 'E' },
	{ "verify",		no_argument,		NULL, 'c' },
	{ "force",		no_argument,		NULL, 'f' },
	{ "step",		required_argument,	NULL, 'p' },
	{ "queue-depth",	required_argument,	NULL, 'd' },
	{ "info",		no_argument,		NULL, 'i' },
	{ "bytes",		no_argument,		NULL, 'b' },
	{ "json",		no_argument,		NULL, 'J' },
	{ "progress",		optional_argument,	NULL, OPT_PROGRESS },
	{ "sysroot",		required_argument,	NULL, OPT_SYSROOT },
	{ "quiet",		no_argument,		NULL, 'q' },
	{ "verbose",		no_argument,		NULL, 'v' },
	{ "help",		no_argument,		NULL, 'h' },
	{ "version",		no_argument,		NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static const char usage_text[] =
"Usage:\n"
" blkcopy [options] <source>[:<offset>[:<length>]] <destination>[:<offset>]\n"
" blkcopy [options] -r <range> [-r <range>...] <source> <destination>\n"
" blkcopy --info [options] [<device>...]\n"
"\n"
"Copy between block devices; the devices move the data where they can.\n"
"\n"
"Options:\n"
" -r, --range <s:d:len>    copy this range; may be given many times\n"
" -n, --dry-run            copy nothing, tell how much the devices would do\n"
" -E, --no-emulation       fail where the devices cannot do it themselves\n"
" -c, --verify             read both sides back and compare them\n"
" -f, --force              disable all checks of what is on the destination\n"
" -p, --step <num>         bytes of one call (default: 64M)\n"
" -d, --queue-depth <num>  calls in flight, by io_uring (default: 1, at most 1024)\n"
" -i, --info               show limits and counters of devices\n"
" -b, --bytes              print sizes of --info in bytes\n"
"     --sysroot <dir>      with --info: read <dir>/sys instead of /sys\n"
" -J, --json               write results as JSON\n"
"     --progress[=<when>]  show progress (auto, always or never)\n"
" -q, --quiet              print nothing but errors\n"
" -v, --verbose            print every call; with --info every column\n"
"\n"
" -h, --help               display this help\n"
" -V, --version            display version\n"
"\n"
"Arguments:\n"
" <num>, offsets and lengths may be followed by the suffixes for\n"
"   KiB, MiB, GiB, TiB, PiB and EiB (the \"iB\" is optional), or KB, MB ...\n"
" <s:d:len> is source:destination:length; left out, an offset continues the\n"
"   range before it and a length is the rest of the source\n"
"\n"
"For more details see blkcopy(8).\n";

static int try_help(void)
{
	fputs("Try 'blkcopy --help' for more information.\n", stderr);
	return EXIT_FAILURE;
}

static int usage_error(const char *text)
{
	complain(EXIT_FAILURE, "%s", text);
	return try_help();
}

/* A full disk must not look like success */
static int close_stdout(int rc)
{
	if ((fflush(stdout) || ferror(stdout)) && !rc)
		rc = complain(EXIT_FAILURE, "cannot write to stdout: %s",
			      strerror(errno));
	return rc;
}

static void print_and_exit(const char *text)
{
	fputs(text, stdout);
	exit(close_stdout(EXIT_SUCCESS));
}

static int add_range(struct options *opt, const char *text)
{
	struct range_arg *v;

	v = realloc(opt->ranges, (opt->nr_ranges + 1) * sizeof(*v));
	if (!v)
		return complain(EXIT_FAILURE, "out of memory");
	opt->ranges = v;
	return parse_range(text, &v[opt->nr_ranges++]);
}

static int set_step(struct options *opt, const char *text)
{
	if (parse_size(text, &opt->step) || !opt->step ||
	    opt->step > INT64_MAX)
		return complain(EXIT_FAILURE, "--step: '%s' is not a size",
				text);
	return 0;
}

static int set_depth(struct options *opt, const char *text)
{
	char *end;
	unsigned long depth;

	errno = 0;
	depth = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || !depth ||
	    depth > DEPTH_MAX)
		return complain(EXIT_FAILURE,
				"--queue-depth: '%s' is not a number from 1 to %u",
				text, DEPTH_MAX);
	opt->depth = depth;
	return 0;
}

static int set_progress(struct options *opt, const char *when)
{
	if (!when || !strcmp(when, "always"))
		opt->progress = PROGRESS_ALWAYS;
	else if (!strcmp(when, "auto"))
		opt->progress = PROGRESS_AUTO;
	else if (!strcmp(when, "never"))
		opt->progress = PROGRESS_NEVER;
	else
		return complain(EXIT_FAILURE,
				"--progress: '%s' is not auto, always or never",
				when);
	return 0;
}

static int set_option(struct options *opt, int c)
{
	switch (c) {
	case 'r':
		return add_range(opt, optarg);
	case 'n':
		opt->dry_run = true;
		break;
	case 'E':
		opt->no_emulation = true;
		break;
	case 'c':
		opt->verify = true;
		break;
	case 'f':
		opt->force = true;
		break;
	case 'p':
		return set_step(opt, optarg);
	case 'd':
		return set_depth(opt, optarg);
	case 'i':
		opt->info = true;
		break;
	case 'b':
		opt->bytes = true;
		break;
	case 'J':
		opt->json = true;
		break;
	case OPT_PROGRESS:
		return set_progress(opt, optarg);
	case OPT_SYSROOT:
		opt->sysroot = optarg;
		break;
	case 'q':
		opt->quiet = true;
		break;
	case 'v':
		opt->verbose = true;
		break;
	case 'h':
		print_and_exit(usage_text);
		break;
	case 'V':
		print_and_exit("blkcopy " BLKCOPY_VERSION "\n");
		break;
	}
	return 0;
}

/* What getopt_long() has not understood: @c is what it returned */
static int option_error(int c, const char *word)
{
	const struct option *known;

	if (c == ':') {
		complain(EXIT_FAILURE, "option '%s' requires an argument", word);
		return try_help();
	}
	for (known = long_opts; known->name && known->val != optopt; known++)
		;
	if (!optopt)
		complain(EXIT_FAILURE, "unrecognized or ambiguous option '%s'",
			 word);
	else if (known->name)
		complain(EXIT_FAILURE, "option '%s' doesn't allow an argument",
			 word);
	else
		complain(EXIT_FAILURE, "invalid option -- '%c'", optopt);
	return try_help();
}

/*
 * The form of the result must be known before the first error.  On a copy, because
 * getopt_long() puts options first: one without its argument would take the next.
 */
static void find_form(struct options *opt, int argc, char **argv)
{
	char **copy = calloc(argc + 1, sizeof(*copy));
	int c;

	if (!copy)
		return;
	memcpy(copy, argv, argc * sizeof(*copy));
	while ((c = getopt_long(argc, copy, short_opts, long_opts, NULL)) != -1) {
		opt->json |= c == 'J';
		opt->info |= c == 'i';
	}
	free(copy);
	optind = 0;
}

static int check_options(const struct options *opt)
{
	bool copying = opt->dry_run || opt->no_emulation || opt->verify ||
		       opt->force || opt->nr_ranges || opt->depth;

	if (opt->info && copying)
		return usage_error("--info does not go with options of copying");
	if (!opt->info && (opt->sysroot || opt->bytes))
		return usage_error("--sysroot and --bytes only go with --info");
	if (opt->dry_run && opt->verify)
		return usage_error("--dry-run and --verify exclude each other");
	return 0;
}

static int parse_options(struct options *opt, int argc, char **argv)
{
	int c, rc;

	opterr = 0;
	find_form(opt, argc, argv);
	while ((c = getopt_long(argc, argv, short_opts, long_opts, NULL)) != -1) {
		rc = c == '?' || c == ':' ? option_error(c, argv[optind - 1]) :
		     set_option(opt, c);
		if (rc)
			return rc;
	}
	return check_options(opt);
}

static int open_devices(struct job *job, const struct dev_arg *src,
			const struct dev_arg *dst)
{
	bool claim = !job->opt->force && !job->opt->dry_run;
	__u64 lbs;

	job->same = dev_names_same(src->path, dst->path);
	/* The source first: a wrong name there must not touch the other one */
	if (!job->same && dev_open_source(&job->src, src->path))
		return EXIT_FAILURE;
	if (dev_open_destination(&job->dst, dst->path, claim))
		return EXIT_FAILURE;
	if (job->same) {
		job->src = job->dst;
		job->src.path = src->path;
	}
	lbs = job->src.lbs > job->dst.lbs ? job->src.lbs : job->dst.lbs;
	job->step = (job->opt->step + lbs - 1) / lbs * lbs;
	return 0;
}

static int run_job(struct job *job, const struct dev_arg *src,
		   const struct dev_arg *dst)
{
	const struct options *opt = job->opt;
	int rc;

	rc = open_devices(job, src, dst);
	if (rc)
		return rc;
	rc = plan_ranges(job, src, dst);
	if (rc)
		return rc;
	if (!opt->force && !opt->dry_run) {
		rc = dev_refuse_signature(&job->dst);
		if (rc)
			return rc;
	}
	obey_signals();
	rc = engine_copy(job);
	if (!rc && opt->verify)
		rc = verify_copy(job);
	return rc;
}

static int copy(struct job *job, char **args, int nr)
{
	struct dev_arg src, dst;

	if (nr != 2)
		return usage_error(nr < 2 ?
				   "a source and a destination are needed" :
				   "too many arguments");
	job->src.path = args[0];
	job->dst.path = args[1];
	if (parse_dev(args[0], true, &src) || parse_dev(args[1], false, &dst))
		return EXIT_FAILURE;
	if (job->opt->nr_ranges && (src.has_off || dst.has_off))
		return usage_error("offsets go into --range, not behind the devices");
	/* Until the end of the program: the report names them, too. */
	job->src.path = src.path;
	job->dst.path = dst.path;
	return run_job(job, &src, &dst);
}

/* Whatever happens, --json prints one object. */
int main(int argc, char **argv)
{
	struct options opt = { .step = STEP_DEFAULT };
	struct job job = { .opt = &opt };
	int rc;

	rc = parse_options(&opt, argc, argv);
	if (rc && opt.info && opt.json)
		info_print_error(rc);
	else if (!rc && opt.info)
		rc = info_print(&opt, argv + optind, argc - optind);
	if (opt.info)
		return close_stdout(rc);
	if (!rc)
		rc = copy(&job, argv + optind, argc - optind);
	if (opt.json)
		report_json(&job, rc);
	else if (job.calls || job.by_hand)
		report_text(&job, rc);
	free(job.ranges);
	free(opt.ranges);
	return close_stdout(rc);
}
