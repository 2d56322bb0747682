/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "rootfs/storage.h"

/* The back-ends of the table in storage.c, one file each, and what they share. */
extern const struct bv_storage_ops bv_storage_dir;
extern const struct bv_storage_ops bv_storage_overlay;
extern const struct bv_storage_ops bv_storage_loop;

/* The words of lxc.rootfs.options that a file system gets ("ro" too; no flags of a mount, no idmap=). malloc'ed. */
char *bv_storage_fs_options(const char *options);

/* "TYPE:" + rest, malloc'ed; -ENOMEM. */
int bv_storage_name(char **ret, const char *type, const char *rest, struct bv_error *err);

/* A new directory that the administrator's config names, its parents made; one that is there already is taken. */
int bv_storage_make_dir(const char *path, struct bv_error *err);
