/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "rootfs/backends.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"

/* The last one takes every path that no other recognises. */
static const struct bv_storage_ops *const table[] = {
	&bv_storage_overlay,
	&bv_storage_loop,
	&bv_storage_dir,
};

#define KNOWN "dir, overlay, loop"

static const struct {
	const char *alias, *name;
} aliases[] = {
	{ "overlayfs", "overlay" },
	{ "none", "dir" },
};

/* Types of LXC's that this build cannot serve: their prefix must not be taken for a part of a path. */
static const char *const foreign[] = { "btrfs", "zfs", "lvm", "nbd", "rbd", "aufs" };

const struct bv_storage_ops *bv_storage_find(const char *name, const char **names)
{
	if (names)
		*names = KNOWN;
	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (bv_streq(name, aliases[i].alias))
			name = aliases[i].name;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (bv_streq(name, table[i]->name))
			return table[i];
	return NULL;
}

/* The type that stands before the first ":" of `path`; *rest is what follows. NULL: there is none. */
static int find_prefix(const char *path, const struct bv_storage_ops **ops, const char **rest, struct bv_error *err)
{
	size_t len = strcspn(path, ":/");
	if (path[len] != ':' || len == 0)
		return 0;
	autofree char *type = strndup(path, len);
	if (!type)
		return bv_fail(err, ENOMEM, "out of memory");
	*rest = path + len + 1;
	*ops = bv_storage_find(type, NULL);
	if (*ops)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
		if (bv_streq(type, foreign[i]))
			return bv_fail(err, ENOTSUP,
			               "lxc.rootfs.path = %s: this build knows no storage of type %s, only %s", path,
			               type, KNOWN);
	bv_fail(err, EINVAL, "lxc.rootfs.path = %s: there is no storage type \"%s\"", path, type);
	return bv_hint(err, "known types: %s", KNOWN);
}

static const struct bv_storage_ops *detect(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i]->detect(path))
			return table[i];
	return &bv_storage_dir;
}

int bv_storage_open(struct bv_storage *ret, const struct bv_config *cfg, struct bv_error *err)
{
	memset(ret, 0, sizeof(*ret));
	if (!cfg->rootfs_path)
		return -ENOENT;

	const char *path = cfg->rootfs_path;
	const struct bv_storage_ops *ops = NULL;
	int r = find_prefix(cfg->rootfs_path, &ops, &path, err);
	if (r < 0)
		return r;
	if (!*path)
		return bv_fail(err, EINVAL, "lxc.rootfs.path = %s names no place", cfg->rootfs_path);
	ret->ops = ops ? ops : detect(path);
	ret->path = strdup(path);
	ret->options = cfg->rootfs_options ? strdup(cfg->rootfs_options) : NULL;
	if (!ret->path || (cfg->rootfs_options && !ret->options)) {
		bv_storage_clear(ret);
		return bv_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

void bv_storage_clear(struct bv_storage *s)
{
	free(s->path);
	free(s->options);
	memset(s, 0, sizeof(*s));
}

char *bv_storage_fs_options(const char *options)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	autoclean(bv_buf_clear) struct bv_buf out = { 0 };
	struct bv_mount_flags flags = { 0 };
	if (bv_strv_split(&words, options ? options : "", ",") < 0)
		return NULL;
	for (size_t i = 0; i < words.n; i++) {
		if (bv_after(words.v[i], "idmap="))
			continue;
		if (bv_mount_word(&flags, words.v[i]) && !bv_streq(words.v[i], "ro"))
			continue;
		bv_buf_printf(&out, "%s%s", out.len ? "," : "", words.v[i]);
	}
	return bv_buf_take(&out);
}

int bv_storage_name(char **ret, const char *type, const char *rest, struct bv_error *err)
{
	*ret = bv_asprintf("%s:%s", type, rest);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

int bv_storage_make_dir(const char *path, struct bv_error *err)
{
	int r = bv_mkdir_p(AT_FDCWD, path, 0755);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make the directory %s", path);
	}
	return 0;
}
