/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/vm/guest/guest.h"
#include "rootfs/rootat.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE 4 /* Linux 5.17 */
#endif

#define NEW_ROOT "/newroot"
#define SHARE    "/share"

int guest_mount_kernel(struct guest *g, struct bv_error *err)
{
	static const struct {
		const char *type, *target, *options;
		unsigned long flags;
	} mounts[] = {
		{ "devtmpfs", "/dev", "mode=755", MS_NOSUID },
		{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
	};
	(void)g;
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		mkdir(mounts[i].target, 0755);
		if (mount(mounts[i].type, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0)
			return bv_fail_errno(err, "the guest cannot mount %s on %s of the initramfs", mounts[i].type,
					     mounts[i].target);
	}
	return guest_take_console(err);
}

/* ---- modules ---- */

static bool ends_in(const char *s, const char *suffix)
{
	size_t n = strlen(s), len = strlen(suffix);
	return n >= len && bv_streq(s + n - len, suffix);
}

static int load_module(int dir, const char *name, struct bv_error *err)
{
	bool compressed = ends_in(name, ".xz") || ends_in(name, ".zst") || ends_in(name, ".gz");
	autoclose int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return bv_fail_errno(err, "the guest cannot read /modules/%s of the initramfs", name);
	if (syscall(SYS_finit_module, fd, "", compressed ? MODULE_INIT_COMPRESSED_FILE : 0) == 0 || errno == EEXIST)
		return 0;
	/* A driver that finds nothing to drive says so; whoever needs its device will miss it by name. */
	if (errno == ENODEV) {
		bv_info("guest", "module %s: there is no such device", name);
		return 0;
	}
	int code = errno;
	bv_fail_errno(err, "the guest's kernel did not load the module %s", name);
	if (compressed && code == EINVAL)
		return bv_hint(err, "this kernel cannot decompress modules (CONFIG_MODULE_DECOMPRESS)");
	return -code;
}

static int is_module(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int guest_load_modules(struct guest *g, struct bv_error *err)
{
	struct dirent **names = NULL;
	(void)g;
	autoclose int dir = open("/modules", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : bv_fail_errno(err, "the guest cannot open /modules of the initramfs");
	int n = scandir("/modules", &names, is_module, alphasort);
	if (n < 0)
		return bv_fail_errno(err, "the guest cannot list /modules of the initramfs");
	int r = 0;
	for (int i = 0; i < n; i++) {
		if (r == 0)
			r = load_module(dir, names[i]->d_name, err);
		free(names[i]);
	}
	free(names);
	return r;
}

/* ---- the root ---- */

struct root_mount {
	const char *type, *source, *options, *target;
	unsigned long flags;
};

static const char *none_if_empty(const char *s)
{
	return s && *s ? s : NULL;
}

/* A device that is not there yet. virtiofs has EINVAL for a tag that it does not know, 9p ENOENT. */
static bool may_still_come(const char *type, int code)
{
	if (bv_streq(type, "virtiofs"))
		return code == EINVAL || code == ENOENT || code == ENODEV;
	return code == ENOENT || code == ENXIO;
}

static int try_mount(void *data)
{
	const struct root_mount *m = data;
	if (mount(m->source, m->target, m->type, m->flags, m->options) == 0)
		return 0;
	return may_still_come(m->type, errno) ? -EAGAIN : -errno;
}

static int mount_one(const struct root_mount *m, const char *what, struct bv_error *err)
{
	int r = guest_wait(try_mount, (void *)m);
	if (r == 0)
		return 0;
	if (r == -ETIMEDOUT) {
		bv_fail(err, ENODEV, "the guest found no %s \"%s\" for %s within 5 seconds",
			*m->source == '/' ? "disk" : m->type, m->source, what);
		return -ENODEV;
	}
	bv_fail(err, -r, "the guest cannot mount %s (%s) as %s: %s", m->source, m->type, what, strerror(-r));
	if (r == -ENODEV)
		return bv_hint(err, "its kernel has no %s, and neither has its initramfs", m->type);
	if (r == -EROFS || r == -EACCES)
		return bv_hint(err, "the disk is read-only: lxc.rootfs.options = ro");
	return r;
}

static int look_for(void *data)
{
	return access(data, F_OK) == 0 ? 0 : errno == ENOENT ? -EAGAIN : -errno;
}

/* What a disk may have; the last ones are read-only by nature. */
static const struct {
	const char *type;
	bool readonly;
} disk_types[] = {
	{ "ext4", false },    { "xfs", false },  { "btrfs", false },
	{ "squashfs", true }, { "erofs", true }, { "iso9660", true },
};

static int mount_by_trial(struct root_mount m, struct bv_error *err)
{
	int r = guest_wait(look_for, (void *)m.source);
	if (r < 0)
		return bv_fail(err, -r, "the guest found no disk %s for its root within 5 seconds", m.source);
	for (size_t i = 0; i < ARRAY_SIZE(disk_types); i++) {
		unsigned long flags = m.flags | (disk_types[i].readonly ? MS_RDONLY : 0);
		if (mount(m.source, m.target, disk_types[i].type, flags, m.options) == 0)
			return 0;
		/* EINVAL: of another type, ENODEV: not known to this kernel. */
		if (errno == EROFS || errno == EACCES) {
			bv_fail_errno(err, "the guest cannot mount %s (%s) as its root", m.source, disk_types[i].type);
			return bv_hint(err, "the disk is read-only: lxc.rootfs.options = ro");
		}
	}
	if (m.options)
		bv_fail(err, EINVAL, "the guest knows no file system on %s that takes the options \"%s\"", m.source,
			m.options);
	else
		bv_fail(err, EINVAL, "the guest knows no file system on %s", m.source);
	return bv_hint(err, "a disk is tried as ext4, xfs, btrfs, squashfs, erofs and iso9660, as far as the guest's "
			    "kernel has these");
}

int guest_mount_root(struct guest *g, struct bv_error *err)
{
	const struct bv_boot *b = &g->boot;
	struct root_mount root = {
		.type = b->root_type,
		.source = b->root_source,
		.options = none_if_empty(b->root_options),
		.target = NEW_ROOT,
		.flags = b->root_readonly ? MS_RDONLY : 0,
	};
	if (!root.type || !root.source)
		return bv_fail(err, EINVAL, "/boot of the initramfs does not say what the root is");
	mkdir(NEW_ROOT, 0755);
	int r = bv_streq(root.type, "auto") ? mount_by_trial(root, err) : mount_one(&root, "its root", err);
	if (r < 0 || !b->share_type || !b->share_source)
		return r;

	struct root_mount share = {
		.type = b->share_type,
		.source = b->share_source,
		.options = none_if_empty(b->share_options),
		.target = SHARE,
	};
	mkdir(SHARE, 0700);
	r = mount_one(&share, "what lxc.mount.entry shares", err);
	if (r < 0)
		return r;
	g->share = open(SHARE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return g->share < 0 ? bv_fail_errno(err, "the guest cannot open " SHARE " of the initramfs") : 0;
}

/* ---- the switch ---- */

static int move_into(int root, const char *name, struct bv_error *err)
{
	char path[16];
	snprintf(path, sizeof(path), "/%s", name);
	autoclose int from = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		return bv_fail_errno(err, "the guest cannot open %s of the initramfs", path);
	autoclose int to = bv_rootat_mkdir_p(root, name, 0755);
	if (to < 0) {
		bv_fail(err, -to, "the rootfs has no directory %s, and none can be made: %s", path, strerror(-to));
		return to == -EROFS ? bv_hint(err, "make it on the host") : to;
	}
	int r = bv_mount_attach(from, to, "");
	return r < 0 ? bv_fail(err, -r, "the guest cannot move %s into its root: %s", path, strerror(-r)) : 0;
}

/* What lies in the initramfs is memory; this program's own file goes when nobody executes it any more. */
static void free_initramfs(void)
{
	static const char *const files[] = { "/init", "/boot", "/config" };
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(files[i]);
	bv_remove_tree(AT_FDCWD, "/modules");
}

int guest_switch_root(struct guest *g, struct bv_error *err)
{
	/* /proc last: without the new mount calls a move goes by it. */
	static const char *const moved[] = { "dev", "sys", "proc" };
	(void)g;
	autoclose int root = open(NEW_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return bv_fail_errno(err, "the guest cannot open its root");
	for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
		int r = move_into(root, moved[i], err);
		if (r < 0)
			return r;
	}
	free_initramfs();
	/* The initramfs cannot be left by pivot_root(2): the new root is put over it. */
	if (fchdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return bv_fail_errno(err, "the guest cannot change to its root");
	return 0;
}
