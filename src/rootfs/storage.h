/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/*
 * Storage back-ends: where a rootfs lives. Each is a struct bv_storage_ops in its own file, found by name in one
 * table; a lxc.rootfs.path without "TYPE:" is recognised by looking at it. dir, overlay and loop are here now; btrfs,
 * zfs and lvm join the table later.
 */
struct bv_storage_spec {
	const char *type;     /* NULL: dir */
	const char *directory;/* --dir */
	const char *fstype;   /* loop: ext4 */
	uint64_t size;        /* loop: bytes */
};

struct bv_storage;

struct bv_storage_ops {
	const char *name;
	/* 1 when `path` (without type prefix) looks like this type's. */
	int (*detect)(const char *path);
	/* Make empty storage for LXCPATH/NAME at creation; *ret_path is the lxc.rootfs.path to store, malloc'ed. */
	int (*create)(const char *instance_dir, const struct bv_storage_spec *spec, char **ret_path,
		      struct bv_error *err);
	/*
	 * Make the rootfs available in the mount namespace of the caller as a detached mount; returns its fd (the top
	 * directory). Nothing is left on the host when the namespace and the fd go (loop devices with autoclear).
	 */
	int (*mount)(const struct bv_storage *s, struct bv_error *err);
	/* Remove it for good. */
	int (*destroy)(const struct bv_storage *s, struct bv_error *err);
	/*
	 * The directory on the host that holds the files while it is not mounted, or NULL (loop): malloc'ed. What
	 * LXC_ROOTFS_PATH hooks and a template of a dir container work on.
	 */
	char *(*host_path)(const struct bv_storage *s);
};

struct bv_storage {
	const struct bv_storage_ops *ops;
	char *path;    /* without the prefix */
	char *options; /* lxc.rootfs.options, or NULL */
};

/* From lxc.rootfs.path. -ENOENT when the config has none (the instance shares the host's root: *ret stays zeroed). */
int bv_storage_open(struct bv_storage *ret, const struct bv_config *cfg, struct bv_error *err);
void bv_storage_clear(struct bv_storage *s);
/* The file system on an image or a block device by its superblock, "ext4" for ext2 and ext3 too; NULL: unknown. */
const char *bv_storage_image_fs(int image);
/* A type by name ("overlayfs" and "none" too), or NULL; *names lists the known ones for a message. */
const struct bv_storage_ops *bv_storage_find(const char *name, const char **names);
