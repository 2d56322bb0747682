/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/container/internal_mounts.h"
#include "rootfs/rootat.h"
#include "rootfs/storage.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

const char *bv_setup_mount_point(const struct bv_config *cfg)
{
	return cfg->rootfs_mount ? cfg->rootfs_mount : BV_ROOTFSMOUNT;
}

int bv_setup_apply(int mnt, const struct bv_mount_line *m, bool recursive, const char *what, struct bv_error *err)
{
	/* As LXC: what the source forbids stays forbidden, so "rw" on a read-only source changes nothing. */
	struct bv_mount_flags flags = m->flags;
	flags.clear &= MOUNT_ATTR__ATIME;
	int r = bv_mount_change(mnt, &flags, recursive);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot set the mount options of %s", what);
	}
	return 0;
}

int bv_setup_idmap(int mnt, const char *idmap, int userns_fd, const char *what, struct bv_error *err)
{
	autoclose int opened = -1;
	if (!bv_streq(idmap, "container")) {
		userns_fd = opened = open(idmap, O_RDONLY | O_CLOEXEC);
		if (opened < 0)
			return bv_fail_errno(err, "cannot open the user namespace %s", idmap);
	}
	if (userns_fd < 0) {
		bv_fail(err, EINVAL, "%s: idmap=container needs a container with lxc.idmap", what);
		return bv_hint(err, "add lxc.idmap lines, or use idmap=/proc/PID/ns/user");
	}

	/* One mount below that cannot be mapped must not keep the others from it. */
	int r = bv_mount_idmap(mnt, userns_fd, true);
	if (r == -EINVAL)
		r = bv_mount_idmap(mnt, userns_fd, false);
	if (r == 0)
		return 0;
	char name[24];
	const char *fs = bv_mount_fs_name(mnt, name, sizeof(name));
	if (r == -ENOSYS)
		return bv_fail(err, ENOSYS, "%s: id mapped mounts need Linux 5.12", what);
	if (r == -EINVAL)
		return bv_fail(err, EINVAL, "%s: its file system (%s) cannot be mounted with an id map", what, fs);
	errno = -r;
	return bv_fail_errno(err, "%s: cannot map the ids of its file system (%s)", what, fs);
}

/* ---- the rootfs ---- */

/* Files of the host's root below a user namespace in which it is nobody: an id map is what the owner needs. */
static bool wants_idmap(const struct bv_config *cfg, int root)
{
	struct stat st;
	return fstat(root, &st) == 0 && st.st_uid == 0 && bv_idmap_to_host(cfg, 'u', 0) != 0;
}

static int mount_rootfs(const struct bv_config *cfg, int userns_fd, bool in_monitor, struct bv_error *err)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m = { 0 };
	autoclean(bv_storage_clear) struct bv_storage storage = { 0 };

	int r = bv_mount_options_parse(&m, cfg->rootfs_options ? cfg->rootfs_options : "", err);
	if (r < 0)
		return bv_error_prefix(err, "lxc.rootfs.options = %s", cfg->rootfs_options);
	r = bv_storage_open(&storage, cfg, err);
	if (r < 0)
		return r;
	autoclose int root = storage.ops->mount(&storage, err);
	if (root < 0)
		return root;

	if (m.idmap) {
		r = bv_setup_idmap(root, m.idmap, userns_fd, cfg->rootfs_path, err);
	} else if (in_monitor && wants_idmap(cfg, root)) {
		struct bv_error why = { 0 };
		if (bv_setup_idmap(root, "container", userns_fd, cfg->rootfs_path, &why) < 0)
			bv_warn("mounts", "%s; its files belong to nobody inside", why.what);
	}
	if (r == 0)
		r = bv_setup_apply(root, &m, false, cfg->rootfs_path, err);
	return r < 0 ? r : take_fd(&root);
}

int bv_setup_mapped_rootfs(const struct bv_config *cfg, int userns_fd, struct bv_error *err)
{
	if (!cfg->rootfs_path)
		return -ENOENT;
	bool asked = cfg->rootfs_options && strstr(cfg->rootfs_options, "idmap=");
	/* What a pre-mount hook mounts on the rootfs' path is seen in the child alone. */
	bool hooked = cfg->hooks[BV_HOOK_PRE_MOUNT].n > 0;
	/* The monitor is in the host's mount namespace: nothing may be shown there. */
	bool shows = !bv_mount_detaches();
	if (!asked && (hooked || shows))
		return -ENOENT;
	if (shows)
		return bv_fail(err, ENOSYS, "lxc.rootfs.options: id mapped mounts need Linux 5.12");
	struct bv_error own = { 0 };
	int r = mount_rootfs(cfg, userns_fd, true, &own);
	/* An unprivileged user's monitor may mount nothing, its child may. */
	if (r == -EPERM && !asked)
		return -ENOENT;
	if (r < 0 && err && !err->code)
		*err = own;
	return r;
}

/* Where hooks look for the rootfs; in this mount namespace only. */
static int attach_rootfs(struct bv_setup *s, struct bv_error *err)
{
	const char *path = bv_setup_mount_point(s->config);
	autoclose int target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0 && errno == ENOENT && bv_mkdir_p(AT_FDCWD, path, 0755) == 0)
		target = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0) {
		bool closed = errno == EACCES;
		bv_fail_errno(err, "cannot open %s, where the rootfs is to be mounted (lxc.rootfs.mount)", path);
		if (closed)
			return bv_hint(err, "let the instance's root through: chmod o+x on the directories above");
		return bv_hint(err, "mkdir -p %s", path);
	}
	int r = bv_rootat_attach(s->root, target);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount the rootfs %s on %s", s->config->rootfs_path, path);
	}
	return 0;
}

int bv_setup_rootfs(struct bv_setup *s, struct bv_error *err)
{
	s->dev = s->proc = -1;
	s->dev_is_hosts = false;
	s->next_mapped_entry = 0;

	/*
	 * Slaves, not private mounts: what the host unmounts goes away here too instead of staying busy. Nothing goes
	 * the other way, and pivot_root(2) asks for mounts that are not shared.
	 */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return bv_fail_errno(err, "cannot detach the mounts of the container from those of the host");
	if (!s->has_rootfs) {
		s->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return s->root < 0 ? bv_fail_errno(err, "cannot open /") : 0;
	}
	if (s->root < 0)
		s->root = mount_rootfs(s->config, s->userns_fd, false, err);
	if (s->root < 0)
		return s->root;
	return attach_rootfs(s, err);
}

int bv_setup_pivot(struct bv_setup *s, struct bv_error *err)
{
	if (fchdir(s->root) < 0)
		return bv_fail_errno(err, "cannot enter the rootfs %s", s->config->rootfs_path);
	/* With "." twice the old root lies on the new one and "." is the old one: no directory is needed for it. */
	int r = bv_pivot_root(".", ".");
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make %s the root directory", s->config->rootfs_path);
	}
	if (umount2(".", MNT_DETACH) < 0)
		return bv_fail_errno(err, "cannot detach the host's root directory");
	if (chdir("/") < 0)
		return bv_fail_errno(err, "cannot enter the container's root directory");
	/* As LXC leaves it: mounts of a container's own services reach the namespaces of its other services. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		return bv_fail_errno(err, "cannot share the container's mounts among its own namespaces");
	close_fd(&s->root);
	close_fd(&s->dev);
	close_fd(&s->proc);
	return 0;
}
