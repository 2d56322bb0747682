/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/log.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>

static const char *const level_names[] = { "TRACE", "DEBUG", "INFO",  "NOTICE", "WARN",
					   "ERROR", "CRIT",  "ALERT", "FATAL" };
enum { LEVELS = sizeof(level_names) / sizeof(level_names[0]) };

static bv_log_sink_fn sink_fn;
static void *sink_data;
static enum bv_log_level sink_level = BV_LOG_FATAL;

const char *bv_log_level_name(int level)
{
	return level >= 0 && level < LEVELS ? level_names[level] : NULL;
}

int bv_log_level_parse(const char *text)
{
	for (int i = 0; i < LEVELS; i++)
		if (strcasecmp(text, level_names[i]) == 0)
			return i;
	if (text[0] >= '0' && text[0] <= '8' && text[1] == '\0')
		return text[0] - '0';
	return -EINVAL;
}

void bv_log_set_sink(bv_log_sink_fn sink, void *data, enum bv_log_level level)
{
	sink_fn = sink;
	sink_data = data;
	sink_level = level;
}

int bv_log_enabled(enum bv_log_level level)
{
	return sink_fn && level >= sink_level;
}

void bv_log(enum bv_log_level level, const char *module, const char *fmt, ...)
{
	if (!bv_log_enabled(level))
		return;

	int saved = errno;
	char message[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	for (char *s = message; *s; s++)
		if ((unsigned char)*s < ' ' && *s != '\t')
			*s = '?';
	sink_fn(sink_data, level, module, message);
	errno = saved;
}
