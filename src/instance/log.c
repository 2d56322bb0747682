/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/log.h"

#include <bivalve.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/* Where the events of this process go; see util/log.h on why this is global. */
static struct {
	int fd;
	bool quiet, no_file; /* no_file: the user wants none */
	bool level_given, syslog;
	int level;
	char program[32], instance[80];
} out = { .fd = -1, .quiet = true, .level = BV_LOG_ERROR };

/* syslog's priority for a level; LOG_EMERG would go to every terminal. */
static int syslog_priority(enum bv_log_level level)
{
	static const int priorities[] = { LOG_DEBUG, LOG_DEBUG, LOG_INFO,  LOG_NOTICE, LOG_WARNING,
					  LOG_ERR,   LOG_CRIT,	LOG_ALERT, LOG_ALERT };
	return priorities[level];
}

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
	if (out.syslog && (int)level >= out.level)
		syslog(syslog_priority(level), "%s %s - %s", out.instance, module, message);
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

static int set_file(const char *file, struct bv_error *err)
{
	int fd = open_file(file, err);
	if (fd < 0)
		return fd;
	close_fd(&out.fd);
	out.fd = fd;
	return 0;
}

/* Without a file only what goes to stderr has to be formatted. */
static void set_sink(void)
{
	bv_log_set_sink(write_line, NULL, out.fd >= 0 || out.syslog ? (enum bv_log_level)out.level : BV_LOG_ERROR);
}

int bv_log_open(const char *program, const char *instance, const char *file, int level, bool quiet,
		struct bv_error *err)
{
	out.no_file = file && bv_streq(file, "none");
	int r = file && !out.no_file ? set_file(file, err) : 0;
	if (r < 0)
		return r;
	out.quiet = quiet;
	out.level_given = level >= 0;
	out.level = out.level_given ? level : BV_LOG_ERROR;
	snprintf(out.program, sizeof(out.program), "%s", program);
	snprintf(out.instance, sizeof(out.instance), "%s", instance ? instance : "-");
	set_sink();
	return 0;
}

/* The connection is made now: later this may be a process whose /dev is the instance's. */
static void open_syslog(const char *facility)
{
	int number = bv_streq(facility, "daemon") ? LOG_DAEMON : LOG_LOCAL0 + ((facility[strlen("local")] - '0') << 3);
	if (access("/dev/log", W_OK) < 0)
		bv_warn("log", "lxc.log.syslog = %s: nobody listens at /dev/log", facility);
	openlog(out.program, LOG_PID | LOG_NDELAY, number);
	out.syslog = true;
}

int bv_log_configure(const struct bv_config *cfg, const char *instance, struct bv_error *err)
{
	if (!cfg->log_file && !cfg->log_syslog && cfg->log_level < 0)
		return 0;
	if (!out.program[0])
		snprintf(out.program, sizeof(out.program), "%s", program_invocation_short_name);
	snprintf(out.instance, sizeof(out.instance), "%s", instance);
	if (!out.level_given && cfg->log_level >= 0)
		out.level = cfg->log_level;
	if (cfg->log_file && out.fd < 0 && !out.no_file) {
		int r = set_file(cfg->log_file, err);
		if (r < 0)
			return bv_hint(err, "lxc.log.file names it");
	}
	set_sink();
	if (cfg->log_syslog) {
		open_syslog(cfg->log_syslog);
		set_sink();
	}
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
