/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "sys/mountfd.h"
#include "util/error.h"

/* One line of fstab as LXC extends it: lxc.mount.entry, a line of lxc.mount.fstab, lxc.rootfs.options. */
struct bv_mount_line {
	/* Owned; \040 and friends decoded; `data` is what the file system gets, or "". */
	char *source, *target, *type, *data;
	char *options;                        /* the fourth field as it was, "" when there is none */
	struct bv_mount_flags flags;
	bool bind, recursive, remount, move, optional, relative, create_dir, create_file;
	char *idmap;                          /* "container" or a path, NULL */
};

/* 1: a line, 0: blank or comment, -EINVAL with the reason. */
int bv_mount_line_parse(struct bv_mount_line *ret, const char *line, struct bv_error *err);
void bv_mount_line_clear(struct bv_mount_line *m);
/* Only options ("ro,nosuid,idmap=container"), for lxc.rootfs.options. */
int bv_mount_options_parse(struct bv_mount_line *ret, const char *options, struct bv_error *err);

/* As LXC: make the directories that an overlay's options (upperdir=, workdir=) name, where they are missing. */
int bv_mount_overlay_dirs(const char *data, struct bv_error *err);

/* Called for every line that is a mount; `where` names it in messages. */
typedef int (*bv_mount_line_fn)(void *ctx, const struct bv_mount_line *m, const char *where, struct bv_error *err);

/*
 * All lines of lxc.mount.fstab, then of lxc.mount.entry, in order, until `fn` fails. The failure of a line that is
 * `optional` is logged and passed over.
 */
int bv_mount_lines_each(const struct bv_config *cfg, bv_mount_line_fn fn, void *ctx, struct bv_error *err);

/*
 * The path of a mount's target inside the rootfs, a part of `target`. An absolute one is meant as seen from the host:
 * the rootfs' own path (LXCPATH/NAME/rootfs, lxc.rootfs.path, lxc.rootfs.mount) is cut off. NULL: it leads elsewhere.
 */
const char *bv_mount_target_inside(const struct bv_config *cfg, const char *lxcpath, const char *name,
				   const char *target);
