/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/fstab.h"
#include "engine/vm/guest/guest.h"
#include "rootfs/rootat.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* All of it after the switch: "/" is the instance's root, and so are the paths that an overlay's options have. */

/* ---- one line of boot.mounts ---- */

static int clone_source(const struct guest *g, const struct bv_mount_line *m, struct bv_error *err)
{
	const char *shared = bv_after(m->source, "share:");
	int r;
	if (shared && g->share < 0)
		return bv_fail(err, ENOENT, "cannot bind %s: nothing is shared with the guest", m->source);
	if (shared)
		r = bv_mount_clone(g->share, shared, m->recursive);
	else
		r = bv_mount_clone(AT_FDCWD, m->source, m->recursive);
	if (r < 0 && shared)
		return bv_fail(err, -r, "the guest cannot bind what the host shares for %s: %s", m->target,
			       strerror(-r));
	return r < 0 ? bv_fail(err, -r, "cannot bind %s: %s", m->source, strerror(-r)) : r;
}

static int mount_type(const struct bv_mount_line *m, struct bv_error *err)
{
	int r = bv_streq(m->type, "overlay") ? bv_mount_overlay_dirs(m->data, err) : 0;
	if (r < 0)
		return r;
	bool ro = m->flags.set & MOUNT_ATTR_RDONLY;
	autofree char *options = bv_asprintf("%s%s", ro ? "ro," : "", m->data);
	if (!options)
		return bv_fail(err, ENOMEM, "out of memory");
	char message[256];
	int fd = bv_mount_new(m->type, m->source, options, m->flags.set, message, sizeof(message));
	if (fd == -ENODEV)
		return bv_fail(err, ENODEV, "the guest's kernel knows no file system \"%s\"", m->type);
	if (fd < 0)
		return bv_fail(err, -fd, "the guest cannot mount %s of type %s: %s", m->source, m->type,
			       *message ? message : strerror(-fd));
	return fd;
}

static int make_mount(const struct guest *g, const struct bv_mount_line *m, struct bv_error *err)
{
	autoclose int fd = m->bind ? clone_source(g, m, err) : mount_type(m, err);
	if (fd < 0)
		return fd;
	/* A new mount got its flags with its birth. */
	struct bv_mount_flags flags = m->flags;
	if (!m->bind)
		flags.set = flags.clear = 0;
	int r = bv_mount_change(fd, &flags, m->recursive);
	if (r < 0)
		return bv_fail(err, -r, "cannot set the options of the mount on %s: %s", m->target, strerror(-r));
	return take_fd(&fd);
}

static int open_target(int root, const struct bv_mount_line *m, struct bv_error *err)
{
	int fd = m->create_dir	  ? bv_rootat_mkdir_p(root, m->target, 0755)
		 : m->create_file ? bv_rootat_touch(root, m->target, 0644)
				  : bv_rootat_open(root, m->target, O_PATH, 0);
	if (fd >= 0)
		return fd;
	bv_fail(err, -fd, "cannot open the mount's target %s in the rootfs: %s", m->target, strerror(-fd));
	return fd == -ENOENT ? bv_hint(err, "make it, or add the option create=dir or create=file") : fd;
}

static int change(const struct bv_mount_line *m, int target, struct bv_error *err)
{
	int r = m->bind ? bv_mount_change(target, &m->flags, m->recursive)
			: bv_mount_remount(target, &m->flags, m->data);
	return r < 0 ? bv_fail(err, -r, "cannot change the mount on %s: %s", m->target, strerror(-r)) : 0;
}

static int do_line(const struct guest *g, int root, const struct bv_mount_line *m, struct bv_error *err)
{
	autoclose int mnt = -1;
	if (m->move)
		mnt = open(m->source, O_PATH | O_CLOEXEC);
	else if (!m->remount)
		mnt = make_mount(g, m, err);
	if (mnt < 0 && m->move)
		return bv_fail_errno(err, "cannot open the mount's source %s", m->source);
	if (mnt < 0 && !m->remount)
		return mnt;
	autoclose int target = open_target(root, m, err);
	if (target < 0)
		return target;
	if (m->remount)
		return change(m, target, err);
	int r = bv_rootat_attach(mnt, target);
	if (r < 0) {
		bv_fail(err, -r, "cannot mount %s on %s: %s", m->source, m->target, strerror(-r));
		return r == -ENOTDIR ? bv_hint(err, "a directory goes on a directory, a file on a file") : r;
	}
	return 0;
}

static int do_lines(const struct guest *g, int root, struct bv_error *err)
{
	for (size_t i = 0; i < g->boot.mounts.n; i++) {
		const char *line = g->boot.mounts.v[i];
		autoclean(bv_mount_line_clear) struct bv_mount_line m = { 0 };
		struct bv_error own = { 0 };
		int r = bv_mount_line_parse(&m, line, &own);
		if (r > 0)
			r = do_line(g, root, &m, &own);
		if (r >= 0)
			continue;
		if (m.optional) {
			bv_info("guest", "no mount on %s, which is optional: %s", m.target, own.what);
			continue;
		}
		bv_error_prefix(&own, "the mount on %s of the configuration", m.target ? m.target : line);
		*err = own;
		return r;
	}
	return 0;
}

/* ---- what there is anyhow ---- */

/* A mount of ours, where the rootfs or the kernel has mounted nothing. */
static int mount_unless_there(int root, const char *path, const char *type, const char *options, uint64_t attributes,
			      struct bv_error *err)
{
	autofree char *above = bv_asprintf("%s/..", path);
	struct stat here, parent;
	if (!above)
		return bv_fail(err, ENOMEM, "out of memory");
	autoclose int target = bv_rootat_mkdir_p(root, path, 0755);
	if (target < 0) {
		bv_fail(err, -target, "the rootfs has no directory %s, and none can be made: %s", path,
			strerror(-target));
		return target == -EROFS ? bv_hint(err, "make it on the host") : target;
	}
	if (fstat(target, &here) == 0 && stat(above, &parent) == 0 && here.st_dev != parent.st_dev)
		return 0;
	char message[256];
	autoclose int mnt = bv_mount_new(type, type, options, attributes, message, sizeof(message));
	if (mnt == -ENODEV)
		return -ENODEV;
	int r = mnt < 0 ? mnt : bv_rootat_attach(mnt, target);
	return r < 0 ? bv_fail(err, -r, "the guest cannot mount %s on %s: %s", type, path,
			       mnt < 0 && *message ? message : strerror(-r)) : 0;
}

static int make_links(struct bv_error *err)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
			return bv_fail_errno(err, "the guest cannot make the link %s", links[i][1]);
	return 0;
}

static int mount_defaults(const struct guest *g, int root, struct bv_error *err)
{
	enum { QUIET = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };
	char pts[96] = "gid=5,mode=620,ptmxmode=666";
	size_t used = strlen(pts);
	/* The ttys of lxc.tty.max are no ptys here, and without lxc.pty.max there is still lxc-attach. */
	if (g->cfg->pty_max)
		snprintf(pts + used, sizeof(pts) - used, ",max=%u", g->cfg->pty_max);
	int r = mount_unless_there(root, "/dev/pts", "devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, err);
	if (r == 0)
		r = mount_unless_there(root, "/dev/shm", "tmpfs", "mode=1777", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
				       err);
	/* Not in every kernel, and nobody needs it to boot. */
	if (r == 0 && mount_unless_there(root, "/dev/mqueue", "mqueue", NULL, QUIET, NULL) < 0)
		bv_debug("guest", "no /dev/mqueue");
	/* systemd mounts this one as it wants it. */
	if (r == 0 && !g->systemd && mount_unless_there(root, "/sys/fs/cgroup", "cgroup2", NULL, QUIET, NULL) < 0)
		bv_debug("guest", "no /sys/fs/cgroup");
	return r < 0 ? r : make_links(err);
}

/* The share's own place is below the instance's root, where no path leads; what was bound from it stays. */
static void put_share_away(struct guest *g)
{
	char path[32];
	if (g->share < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->share);
	if (umount2(path, MNT_DETACH) < 0)
		bv_debug("guest", "the share stays mounted: %s", strerror(errno));
	close_fd(&g->share);
}

int guest_mount_all(struct guest *g, struct bv_error *err)
{
	autoclose int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return bv_fail_errno(err, "the guest cannot open its root");
	int r = mount_unless_there(root, "/run", "tmpfs", "mode=755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, err);
	if (r == 0)
		r = mount_defaults(g, root, err);
	if (r == 0)
		r = do_lines(g, root, err);
	put_share_away(g);
	return r;
}
