/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "sys/mountfd.h"
#include "util/error.h"

/* One line of fstab as LXC extends it: lxc.mount.entry, a line of lxc.mount.fstab, lxc.rootfs.options. */
struct bv_mount_line {
	/* Owned; \040 and friends decoded; `data` is what the file system gets, or "". */
	char *source, *target, *type, *data;
	struct bv_mount_flags flags;
	bool bind, recursive, remount, move, optional, relative, create_dir, create_file;
	char *idmap;                          /* "container" or a path, NULL */
};

/* 1: a line, 0: blank or comment, -EINVAL with the reason. */
int bv_mount_line_parse(struct bv_mount_line *ret, const char *line, struct bv_error *err);
void bv_mount_line_clear(struct bv_mount_line *m);
/* Only options ("ro,nosuid,idmap=container"), for lxc.rootfs.options. */
int bv_mount_options_parse(struct bv_mount_line *ret, const char *options, struct bv_error *err);
