/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config/config.h"
#include "util/error.h"

/* What the command line left open of where and how much to log, from lxc.log.*. */
int bv_log_configure(const struct bv_config *cfg, const char *instance, struct bv_error *err);

/* Close every fd beyond stderr but the log's own: what a caller let us inherit would live as long as the monitor. */
void bv_log_close_others(void);
