/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/error.h"

/* Where a script lies inside, on a tmpfs that goes with its mount namespace. */
#define BV_INSIDE_SCRIPT "/tmp/action"

/*
 * For a process in fresh mount, pid, ipc and uts namespaces: make the rootfs at `root` its world (run.h says what it
 * has there), with `script`, if there is one, at BV_INSIDE_SCRIPT.
 */
int bv_inside_enter(const char *root, const char *script, struct bv_error *err);
