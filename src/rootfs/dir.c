/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"

/* A directory of the host: nothing to make but the directory, nothing to mount but a copy of what is there. */

static int dir_detect(const char *path)
{
	return *path == '/';
}

static int dir_create(const char *instance_dir, const struct bv_storage_spec *spec, char **ret_path,
		      struct bv_error *err)
{
	autofree char *path = spec->directory ? strdup(spec->directory) : bv_asprintf("%s/rootfs", instance_dir);
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	if (*path != '/')
		return bv_fail(err, EINVAL, "the directory of a rootfs must be an absolute path, not \"%s\"", path);
	int r = bv_storage_make_dir(path, err);
	return r < 0 ? r : bv_storage_name(ret_path, "dir", path, err);
}

static int dir_mount(const struct bv_storage *s, struct bv_error *err)
{
	/* With what is mounted below: in a user namespace a part alone could show what a mount was to hide. */
	int fd = bv_mount_clone(AT_FDCWD, s->path, true);
	if (fd < 0) {
		errno = -fd;
		bv_fail_errno(err, "cannot use the rootfs %s", s->path);
		if (fd == -EACCES)
			return bv_hint(err, "every directory above it needs the x permission for the container's root: "
					    "chmod o+x or setfacl");
		return fd;
	}
	return fd;
}

static int dir_destroy(const struct bv_storage *s, struct bv_error *err)
{
	int r = bv_remove_tree(AT_FDCWD, s->path);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot remove the rootfs %s", s->path);
	}
	return 0;
}

static char *dir_host_path(const struct bv_storage *s)
{
	return strdup(s->path);
}

const struct bv_storage_ops bv_storage_dir = {
	.name = "dir",
	.detect = dir_detect,
	.create = dir_create,
	.mount = dir_mount,
	.destroy = dir_destroy,
	.host_path = dir_host_path,
};
