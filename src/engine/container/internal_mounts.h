/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/container/setup.h"

/* What mounts.c, entries.c, automount.c and dev.c share. */

/* Where the rootfs is mounted before the pivot. */
const char *bv_setup_mount_point(const struct bv_config *cfg);

/* Flags and propagation of an entry or of lxc.rootfs.options on a detached mount; `what` is named in an error. */
int bv_setup_apply(int mnt, const struct bv_mount_line *m, bool recursive, const char *what, struct bv_error *err);

/* `idmap` is "container" (userns_fd) or the path of a user namespace. */
int bv_setup_idmap(int mnt, const char *idmap, int userns_fd, const char *what, struct bv_error *err);

/*
 * The directory NAME ("dev", "proc", "sys") at the top of the rootfs, made when missing. A link there is refused: what
 * the container's owner points elsewhere must not be mounted over. O_PATH fd.
 */
int bv_setup_open_top(const struct bv_setup *s, const char *name, struct bv_error *err);

/* True when /dev is autodev's tmpfs: an instance that shares the host's root keeps the host's /dev. */
bool bv_setup_makes_dev(const struct bv_setup *s);
