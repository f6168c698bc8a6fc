// SPDX-License-Identifier: GPL-2.0
/*
 * A line of progress at most once a second, and the wish to stop.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "blkcopy.h"

static struct {
	const char	*what;
	__u64	total;
	double		start;
	double		last;
	bool		on;
	bool		tty;
	bool		shown;		/* the cursor is behind an unfinished line */
} progress;

static int stop;
static int asked;			/* for a line of progress */

/**
 * progress_start - begin to show how far something is
 * @opt: when it is wanted
 * @what: past participle, such as "copied"
 * @total: bytes
 */
void progress_start(const struct options *opt, const char *what,
		    __u64 total)
{
	memset(&progress, 0, sizeof(progress));
	progress.tty = isatty(STDERR_FILENO);
	progress.on = opt->progress == PROGRESS_ALWAYS ||
		      (opt->progress == PROGRESS_AUTO && progress.tty &&
		       !opt->quiet);
	progress.what = what;
	progress.total = total;
	progress.start = now_seconds();
	progress.last = progress.start;
}

static void print_line(__u64 done, double now)
{
	double speed = 0, left = 0;
	char a[32], b[32], c[32];

	progress.last = now;
	if (now > progress.start)
		speed = done / (now - progress.start);
	if (speed > 0)
		left = (progress.total - done) / speed;
	fprintf(stderr, "%s%5.1f%%  %s of %s %s, %s/s, %.0f s left%s",
		progress.tty ? "\r\033[K" : "",
		progress.total ? 100.0 * done / progress.total : 100.0,
		size_text(a, sizeof(a), done),
		size_text(b, sizeof(b), progress.total), progress.what,
		size_text(c, sizeof(c), speed), left,
		progress.tty && progress.on ? "" : "\n");
	fflush(stderr);
	progress.shown = progress.tty && progress.on;
}

/* Bytes that are finished; called as often as convenient */
void progress_update(__u64 done)
{
	double now;

	if (__atomic_exchange_n(&asked, 0, __ATOMIC_RELAXED)) {
		print_line(done, now_seconds());
		return;
	}
	if (!progress.on)
		return;
	now = now_seconds();
	if (now - progress.last >= 1)
		print_line(done, now);
}

/* Leaves the terminal at the start of an empty line */
void progress_end(void)
{
	if (progress.shown)
		fputs("\r\033[K", stderr);
	progress.shown = false;
}

static void handle_stop(int sig)
{
	(void)sig;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
}

static void handle_question(int sig)
{
	(void)sig;
	__atomic_store_n(&asked, 1, __ATOMIC_RELAXED);
}

/**
 * obey_signals - have signals do what users expect
 *
 * The first SIGINT or SIGTERM ends the copy after the calls that are running, a
 * second one at once.  SIGUSR1 asks for a line of progress.
 */
void obey_signals(void)
{
	struct sigaction question = {
		.sa_handler = handle_question,
		.sa_flags = SA_RESTART,
	};
	struct sigaction sa = {
		.sa_handler = handle_stop,
		.sa_flags = SA_RESETHAND,
	};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGUSR1, &question, NULL);
}

bool stop_requested(void)
{
	return __atomic_load_n(&stop, __ATOMIC_RELAXED);
}
