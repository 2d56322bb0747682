/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/error.h"

/*
 * A pty of the host that carries bytes as they are, for the terminal is the guest's: both ends, close-on-exec, nobody's
 * controlling terminal. What was opened before a failure is in *master and *slave, for the caller to close.
 */
int bv_vm_pty_open(int *master, int *slave, struct bv_error *err);
