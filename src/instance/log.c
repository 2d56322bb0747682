/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/log.h"

#include <bivalve.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* Where the events of this process go; see util/log.h on why this is global. */
static struct {
	int fd;
	bool quiet;
	int level;
	char program[32], instance[80];
} out = { .fd = -1 };

/* LXC's line: program, instance, UTC time to the millisecond, level, category - file:function:line - message. */
static void write_line(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	char line[1400];

	if (out.fd >= 0 && (int)level >= out.level) {
		struct timespec now;
		struct tm tm;
		char stamp[32];
		clock_gettime(CLOCK_REALTIME, &now);
		gmtime_r(&now.tv_sec, &tm);
		strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S", &tm);
		int n = snprintf(line, sizeof(line), "%s %s %s.%03ld %-8s %s - %s\n", out.program, out.instance, stamp,
				 now.tv_nsec / 1000000, bv_log_level_name((int)level), module, message);
		if (n > 0)
			bv_write_all(out.fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	}
	if (level >= BV_LOG_ERROR && !out.quiet) {
		int n = snprintf(line, sizeof(line), "%s: %s: %s: %s\n", out.program, out.instance, module, message);
		if (n > 0)
			bv_write_all(STDERR_FILENO, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	}
}

static int open_file(const char *file, struct bv_error *err)
{
	autofree char *dir = strdup(file);
	if (!dir)
		return bv_fail(err, ENOMEM, "out of memory");
	char *slash = strrchr(dir, '/');
	if (slash && slash > dir) {
		*slash = '\0';
		bv_mkdir_p(AT_FDCWD, dir, 0755);
	}
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	return fd < 0 ? bv_fail_errno(err, "cannot open the log file %s", file) : fd;
}

int bv_log_open(const char *program, const char *instance, const char *file, int level, bool quiet, struct bv_error *err)
{
	if (file) {
		int fd = open_file(file, err);
		if (fd < 0)
			return fd;
		close_fd(&out.fd);
		out.fd = fd;
	}
	out.quiet = quiet;
	out.level = level;
	snprintf(out.program, sizeof(out.program), "%s", program);
	snprintf(out.instance, sizeof(out.instance), "%s", instance ? instance : "-");
	/* Without a file only what goes to stderr has to be formatted. */
	bv_log_set_sink(write_line, NULL, file ? (enum bv_log_level)level : BV_LOG_ERROR);
	return 0;
}

void bv_log_close_others(void)
{
	if (out.fd > STDERR_FILENO) {
		if (out.fd > STDERR_FILENO + 1)
			bv_close_range(STDERR_FILENO + 1, (unsigned int)out.fd - 1, 0);
		bv_close_range((unsigned int)out.fd + 1, ~0U, 0);
	} else {
		bv_close_range(STDERR_FILENO + 1, ~0U, 0);
	}
}
