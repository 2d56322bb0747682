/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/error.h"

/* Unlock the pty of `master` and open its slave, by the fd and no path: close-on-exec, or -errno. */
int bv_pty_slave(int master);

/*
 * A pty of the devpts that is on /dev/pts here: both ends, close-on-exec, nobody's controlling terminal. What was
 * opened before a failure is in *master and *slave, for the caller to close; else they are negative.
 */
int bv_pty_open(int *master, int *slave, struct bv_error *err);
