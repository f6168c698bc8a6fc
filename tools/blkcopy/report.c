// SPDX-License-Identifier: GPL-2.0
/*
 * Messages, the last line, and the same as JSON.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "blkcopy.h"

/* The first error, which is the cause of the others */
static char *first_error;

double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/**
 * complain - say on stderr what is wrong
 * @status: exit status that this means
 * @fmt: message without a line end
 *
 * Return: @status.
 */
int complain(int status, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	progress_end();
	if (len < 0) {
		fputs("blkcopy: out of memory\n", stderr);
		return status;
	}
	fprintf(stderr, "blkcopy: %s\n", text);
	if (first_error)
		free(text);
	else
		first_error = text;
	return status;
}

/* The text of the first error, or NULL */
const char *report_error(void)
{
	return first_error;
}

/* Something worth knowing that is no error */
void note(const struct options *opt, const char *fmt, ...)
{
	va_list ap;

	if (opt->quiet)
		return;
	progress_end();
	fputs("blkcopy: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/**
 * size_text - bytes for humans: 64 MiB, 1.5 GiB, 512 B
 * @buf: where to
 * @len: its size
 * @bytes: how many
 *
 * Return: @buf.
 */
char *size_text(char *buf, size_t len, __u64 bytes)
{
	static const char * const unit[] = {
		"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"
	};
	double value = bytes;
	unsigned int i = 0;
	bool whole;

	/* 1023.95 would be printed as 1024.0 */
	while (value >= 1023.95 && i < 6) {
		value /= 1024;
		i++;
	}
	whole = (__u64)(value * 10 + 0.5) % 10 == 0;
	snprintf(buf, len, "%.*f %s", whole ? 0 : 1, value, unit[i]);
	return buf;
}

static double rate(const struct job *job)
{
	return job->seconds > 0 ? job->bytes / job->seconds : 0;
}

static __u64 emulated(const struct job *job)
{
	return (job->opt->dry_run ? job->asked : job->bytes) - job->offloaded;
}

/* Why not all was offloaded, if the disks say it */
static bool find_reason(const struct job *job, int status, char *why,
			size_t len)
{
	*why = '\0';
	if (job->by_hand || (!emulated(job) && status != EXIT_NOTSUPP))
		return false;
	return pair_explain_devs(&job->src, &job->dst, why, len) > PAIR_YES;
}

/* How the bytes got there, or would */
static void print_path(const struct job *job)
{
	char off[32], emu[32], why[PAIR_TEXT];

	size_text(off, sizeof(off), job->offloaded);
	size_text(emu, sizeof(emu), emulated(job));
	if (job->by_hand) {
		printf("%s by read and write\n", emu);
		return;
	}
	printf("%s offloaded, %s emulated", off, emu);
	if (find_reason(job, 0, why, sizeof(why)))
		printf("; %s", why);
	putchar('\n');
}

/**
 * report_text - the last line
 * @job: what was copied
 * @status: exit status
 */
void report_text(const struct job *job, int status)
{
	char bytes[32], speed[32];

	if (job->opt->quiet)
		return;
	size_text(bytes, sizeof(bytes),
		  job->opt->dry_run ? job->total : job->bytes);
	if (job->opt->dry_run) {
		if (status)
			return;
		printf("%llu bytes (%s) would be copied: ", job->total,
		       bytes);
		print_path(job);
		return;
	}
	size_text(speed, sizeof(speed), rate(job));
	printf("%llu", job->bytes);
	if (job->bytes != job->total)
		printf(" of %llu", job->total);
	printf(" bytes (%s) copied in %.3f s, %s/s: ", bytes, job->seconds,
	       speed);
	print_path(job);
	if (job->verified)
		printf("verified: source and destination are equal\n");
}

static void add_u64(struct json_object *obj, const char *key, __u64 value)
{
	json_object_object_add(obj, key, json_object_new_uint64(value));
}

static void add_double(struct json_object *obj, const char *key,
		       const char *fmt, double value)
{
	char text[64];

	snprintf(text, sizeof(text), fmt, value);
	json_object_object_add(obj, key, json_object_new_double_s(value, text));
}

static void add_string(struct json_object *obj, const char *key,
		       const char *value)
{
	json_object_object_add(obj, key,
			       value ? json_object_new_string(value) : NULL);
}

static void add_bool(struct json_object *obj, const char *key, bool value)
{
	json_object_object_add(obj, key, json_object_new_boolean(value));
}

/* Prints and drops an object */
void print_json(struct json_object *obj)
{
	puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
}

/**
 * report_json - the same as an object on stdout, also after an error
 * @job: what was copied
 * @status: exit status
 */
void report_json(const struct job *job, int status)
{
	struct json_object *obj = json_object_new_object();
	char why[PAIR_TEXT];

	add_string(obj, "source", job->src.path);
	add_string(obj, "destination", job->dst.path);
	add_u64(obj, "ranges", job->nr);
	add_u64(obj, "requested_bytes", job->total);
	add_u64(obj, "bytes", job->bytes);
	add_u64(obj, "offloaded_bytes", job->offloaded);
	add_u64(obj, "emulated_bytes", emulated(job));
	add_u64(obj, "chunks", job->calls);
	add_double(obj, "seconds", "%.6f", job->seconds);
	add_double(obj, "bytes_per_second", "%.0f", rate(job));
	add_string(obj, "engine", job->by_hand ? "readwrite" :
		   job->by_ring ? "io_uring" : "blkcopy");
	add_string(obj, "reason",
		   find_reason(job, status, why, sizeof(why)) ? why : NULL);
	add_bool(obj, "dry_run", job->opt->dry_run);
	add_bool(obj, "verified", job->verified);
	json_object_object_add(obj, "exit_status", json_object_new_int(status));
	add_string(obj, "error", first_error);
	print_json(obj);
}
