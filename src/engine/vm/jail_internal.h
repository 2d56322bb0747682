/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "util/error.h"

/* Of the jail's files among themselves, and for share.c. */

/* QEMU's root, in the staging. */
#define BV_JAIL_QEMU_ROOT "qemu"

/* An O_PATH fd of the staging. */
int bv_jail_open_staging(struct bv_error *err);

/* A directory or an empty file to be mounted on, with its parents. The caller's umask is 022 or less. */
int bv_jail_make_place(int dir, const char *path, bool is_dir, struct bv_error *err);
