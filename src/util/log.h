/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdarg.h>

/*
 * Log levels, LXC's names and numbers (facts: 0..8, lower is more verbose).
 * The library prints nothing: events go to the one sink of the process, which a command sets. Without a sink they are
 * dropped before they are formatted. This sink and the feature cache are the only global state of the library.
 */
enum bv_log_level {
	BV_LOG_TRACE,
	BV_LOG_DEBUG,
	BV_LOG_INFO,
	BV_LOG_NOTICE,
	BV_LOG_WARN,
	BV_LOG_ERROR,
	BV_LOG_CRIT,
	BV_LOG_ALERT,
	BV_LOG_FATAL,
};

/* "TRACE" ... "FATAL"; NULL when out of range. */
const char *bv_log_level_name(int level);

/* A level by its name (any case) or its number "0".."8"; -EINVAL else. */
int bv_log_level_parse(const char *text);

typedef void (*bv_log_sink_fn)(void *data, enum bv_log_level level, const char *module, const char *message);

/* From now on events of `level` and above go to `sink`. NULL: to nobody. */
void bv_log_set_sink(bv_log_sink_fn sink, void *data, enum bv_log_level level);

/* True when an event of this level would reach somebody. */
int bv_log_enabled(enum bv_log_level level);

/* `module` is the folder or file that speaks: "cgroup", "net", "start". errno is kept. */
void bv_log(enum bv_log_level level, const char *module, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define bv_trace(module, ...) bv_log(BV_LOG_TRACE, module, __VA_ARGS__)
#define bv_debug(module, ...) bv_log(BV_LOG_DEBUG, module, __VA_ARGS__)
#define bv_info(module, ...) bv_log(BV_LOG_INFO, module, __VA_ARGS__)
#define bv_notice(module, ...) bv_log(BV_LOG_NOTICE, module, __VA_ARGS__)
#define bv_warn(module, ...) bv_log(BV_LOG_WARN, module, __VA_ARGS__)
