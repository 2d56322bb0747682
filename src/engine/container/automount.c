/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/container/cgroup_mounts.h"
#include "engine/container/internal_mounts.h"
#include "rootfs/rootat.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* lxc.mount.auto */

enum { PSEUDO = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

static const struct bv_mount_flags read_only = { .set = MOUNT_ATTR_RDONLY };

int bv_setup_open_top(const struct bv_setup *s, const char *name, struct bv_error *err)
{
	int fd = bv_rootat_open_nolinks(s->root, name, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT && (mkdirat(s->root, name, 0755) == 0 || errno == EEXIST))
		fd = bv_rootat_open_nolinks(s->root, name, O_PATH | O_DIRECTORY, 0);
	if (fd >= 0)
		return fd;
	if (fd == -ELOOP || fd == -ENOTDIR) {
		bv_fail(err, -fd, "/%s of the rootfs is not a directory, nothing is mounted there", name);
		return bv_hint(err, "look at %s in the rootfs: a link or file stands where a directory belongs", name);
	}
	errno = -fd;
	return bv_fail_errno(err, "cannot open /%s of the rootfs", name);
}

/*
 * The part `path` of the mount `mnt` gets flags of its own by a copy that lies on it. `mnt` is a fresh mount of the
 * kernel's own files, so a path below it leads nowhere else. What the kernel does not have needs no cover.
 */
static int cover(int mnt, const char *path, const struct bv_mount_flags *flags, struct bv_error *err)
{
	autoclose int part = bv_mount_clone(mnt, path, false);
	if (part == -ENOENT)
		return 0;
	int r = part < 0 ? part : bv_mount_change(part, flags, false);
	/* Where a user namespace locks a flag, the copy stays as strict as the whole. */
	if (r == -EPERM && part >= 0 && flags->clear)
		r = 0;
	if (r >= 0)
		r = bv_mount_attach(part, mnt, path);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot set the mount flags of %s", path);
	}
	return 0;
}

/*
 * Mount `fstype` on /NAME of the rootfs and return its fd. A user namespace that does not own the pid or network
 * namespace may not: it gets a copy of the host's, with all below it.
 */
static int mount_top(const struct bv_setup *s, const char *fstype, const char *name, uint64_t attributes,
		     struct bv_error *err)
{
	autoclose int target = bv_setup_open_top(s, name, err);
	if (target < 0)
		return target;
	char message[256] = "";
	autoclose int mnt = bv_mount_new(fstype, fstype, NULL, attributes, message, sizeof(message));
	if (mnt == -EPERM) {
		char host[16];
		snprintf(host, sizeof(host), "/%s", name);
		struct bv_mount_flags flags = { .set = attributes };
		mnt = bv_mount_clone(AT_FDCWD, host, true);
		int r = mnt < 0 ? mnt : bv_mount_change(mnt, &flags, true);
		if (r < 0) {
			close_fd(&mnt);
			mnt = r;
		}
	}
	int r = mnt < 0 ? mnt : bv_rootat_attach(mnt, target);
	if (r < 0)
		return bv_fail(err, -r, "cannot mount %s on /%s of the rootfs: %s", fstype, name,
			       *message ? message : strerror(-r));
	return take_fd(&mnt);
}

static int mount_proc(struct bv_setup *s, struct bv_error *err)
{
	enum bv_automount mode = s->config->mount_auto.proc;
	if (mode == BV_AUTO_NONE)
		return 0;
	s->proc = mount_top(s, "proc", "proc", PSEUDO, err);
	if (s->proc < 0)
		return s->proc;
	if (mode == BV_AUTO_RW)
		return 0;

	bool net_rw = s->caps_keep & (1ULL << CAP_NET_ADMIN);
	autoclose int net = net_rw ? bv_mount_clone(s->proc, "sys/net", false) : -1;
	int r = cover(s->proc, "sys", &read_only, err);
	if (r == 0)
		r = cover(s->proc, "sysrq-trigger", &read_only, err);
	if (r < 0 || net < 0)
		return r;
	r = bv_mount_attach(net, s->proc, "sys/net");
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot keep /proc/sys/net writable");
	}
	return 0;
}

static int mount_sys(struct bv_setup *s, struct bv_error *err)
{
	static const struct bv_mount_flags writable = { .set = PSEUDO, .clear = MOUNT_ATTR_RDONLY };
	/* LXC's "ro" and "rw" give no other flags. */
	static const uint64_t attributes[] = {
		[BV_AUTO_RO] = MOUNT_ATTR_RDONLY,
		[BV_AUTO_MIXED] = PSEUDO | MOUNT_ATTR_RDONLY,
		[BV_AUTO_RW] = 0,
	};
	enum bv_automount mode = s->config->mount_auto.sys;
	if (mode == BV_AUTO_NONE || (size_t)mode >= ARRAY_SIZE(attributes))
		return 0;
	autoclose int sys = mount_top(s, "sysfs", "sys", attributes[mode], err);
	if (sys < 0)
		return sys;
	return mode == BV_AUTO_MIXED ? cover(sys, "devices/virtual/net", &writable, err) : 0;
}

/*
 * A directory of the host through which mounts reach the running container. It propagates if the host's directory is a
 * shared mount, which only the host can make it.
 */
static int mount_tunnel(struct bv_setup *s, struct bv_error *err)
{
	static const struct bv_mount_flags slave = { .propagation = MS_SLAVE, .propagation_recursive = true };
	const struct bv_mount_auto *a = &s->config->mount_auto;
	if (!a->shmounts_host)
		return 0;
	const char *inside = a->shmounts_container ? a->shmounts_container : "/dev/.lxc-mounts";

	int r = bv_mkdir_p(AT_FDCWD, a->shmounts_host, 0711);
	autoclose int mnt = r < 0 ? r : bv_mount_clone(AT_FDCWD, a->shmounts_host, true);
	autoclose int target = mnt < 0 ? -1 : bv_rootat_mkdir_p(s->root, inside, 0711);
	r = mnt < 0 ? mnt : target;
	if (r >= 0)
		r = bv_mount_change(mnt, &slave, true);
	if (r >= 0)
		r = bv_rootat_attach(mnt, target);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount %s on %s (lxc.mount.auto = shmounts)", a->shmounts_host,
				     inside);
	}
	return 0;
}

/*
 * lxc.apparmor.allow_nesting: an uncovered proc and sysfs, without which the kernel lets no user namespace inside mount
 * its own. The profile keeps payloads from them, so without AppArmor they are not offered.
 */
static int mount_nesting(struct bv_setup *s, struct bv_error *err)
{
	static const struct {
		const char *fstype, *path;
	} mounts[] = { { "proc", "dev/.lxc/proc" }, { "sysfs", "dev/.lxc/sys" } };
	if (!s->config->apparmor_allow_nesting || bv_lsm_host() != BV_LSM_APPARMOR)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		autoclose int mnt = bv_mount_new(mounts[i].fstype, mounts[i].fstype, NULL, PSEUDO, NULL, 0);
		autoclose int target = mnt < 0 ? -1 : bv_rootat_mkdir_p(s->root, mounts[i].path, 0755);
		int r = mnt < 0 ? mnt : target < 0 ? target : bv_rootat_attach(mnt, target);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot mount %s on %s (lxc.apparmor.allow_nesting)",
					     mounts[i].fstype, mounts[i].path);
		}
	}
	return 0;
}

int bv_setup_automounts(struct bv_setup *s, struct bv_error *err)
{
	int (*const parts[])(struct bv_setup *, struct bv_error *) = {
		mount_proc, mount_sys, bv_setup_cgroup_mounts, mount_tunnel, mount_nesting,
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = parts[i](s, err);
	return r;
}
