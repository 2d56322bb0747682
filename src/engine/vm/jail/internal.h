/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "util/error.h"

/* Of the jail's files among themselves, and for share.c. */

/*
 * In the staging, the root of QEMU's mount namespace; and in that the directory that is its root directory: who has
 * been put below the namespace's root by chroot(2) can make no user namespace, and so never has a capability over
 * anything.
 */
#define BV_JAIL_QEMU_ROOT "qemu"
#define BV_JAIL_QEMU_TOP  "top"

/* An O_PATH fd of the staging. */
int bv_jail_open_staging(struct bv_error *err);

/* A directory or an empty file to be mounted on, with its parents. The caller's umask is 022 or less. */
int bv_jail_make_place(int dir, const char *path, bool is_dir, struct bv_error *err);
