/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/container/internal_mounts.h"
#include "rootfs/rootat.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* lxc.autodev: /dev as a tmpfs, all of it made by the tmpfs' own fd; no path of the rootfs is walked. */

/* Numbers from the kernel's admin-guide/devices.txt. */
static const struct {
	const char *name, *host;
	unsigned int major, minor;
} nodes[] = {
	{ "full", "/dev/full", 1, 7 },
	{ "null", "/dev/null", 1, 3 },
	{ "random", "/dev/random", 1, 8 },
	{ "tty", "/dev/tty", 5, 0 },
	{ "urandom", "/dev/urandom", 1, 9 },
	{ "zero", "/dev/zero", 1, 5 },
};

static const struct {
	const char *name, *text;
} links[] = {
	{ "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
};

bool bv_setup_makes_dev(const struct bv_setup *s)
{
	return s->has_rootfs && s->config->autodev;
}

int bv_setup_dev(struct bv_setup *s, struct bv_error *err)
{
	if (!bv_setup_makes_dev(s))
		return 0;
	autoclose int target = bv_setup_open_top(s, "dev", err);
	if (target < 0)
		return target;
	char options[64];
	snprintf(options, sizeof(options), "size=%" PRIu64 ",mode=755", s->config->autodev_tmpfs_size);
	char message[256];
	s->dev = bv_mount_new("tmpfs", NULL, options, MOUNT_ATTR_NOSUID, message, sizeof(message));
	if (s->dev < 0)
		return bv_fail(err, -s->dev, "cannot make a tmpfs for /dev: %s",
			       *message ? message : strerror(-s->dev));
	int r = bv_rootat_attach(s->dev, target);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount a tmpfs on /dev of the rootfs");
	}
	return 0;
}

static bool is_node(const struct stat *st, size_t i)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(nodes[i].major, nodes[i].minor);
}

/* In a user namespace, or without CAP_MKNOD: the host's node, if it is what its name says. */
static int bind_node(const struct bv_setup *s, size_t i, struct bv_error *err)
{
	if (mknodat(s->dev, nodes[i].name, S_IFREG | 0666, 0) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "cannot make /dev/%s", nodes[i].name);
	autoclose int mnt = bv_mount_clone(AT_FDCWD, nodes[i].host, false);
	struct stat st;
	if (mnt >= 0 && (fstat(mnt, &st) < 0 || !is_node(&st, i)))
		return bv_fail(err, ENODEV, "%s of the host is not the device %u:%u", nodes[i].host, nodes[i].major,
			       nodes[i].minor);
	int r = mnt < 0 ? mnt : bv_mount_attach(mnt, s->dev, nodes[i].name);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot bind %s of the host into the container", nodes[i].host);
	}
	return 0;
}

static int make_node(const struct bv_setup *s, size_t i, struct bv_error *err)
{
	if (mknodat(s->dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) == 0)
		return 0;
	if (errno == EPERM)
		return bind_node(s, i, err);
	struct stat st;
	if (errno != EEXIST)
		return bv_fail_errno(err, "cannot make /dev/%s", nodes[i].name);
	/* From a hook or a mount entry: good if it is the device, whatever mounts there. */
	if (fstatat(s->dev, nodes[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !is_node(&st, i))
		return bv_fail(err, EEXIST, "/dev/%s was made by a hook or a mount entry, and is not the device %u:%u",
			       nodes[i].name, nodes[i].major, nodes[i].minor);
	return 0;
}

/* ---- the boot id ---- */

enum { UUID_TEXT = 37 };

/* A random UUID of version 4, as text with a newline. */
static int new_uuid(char text[UUID_TEXT + 1])
{
	uint8_t b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return -errno;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	snprintf(text, UUID_TEXT + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n", b[0],
		 b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

/* Where the boot id is shown: below the procfs that an entry mounted on /proc, if lxc.mount.auto did not. */
static int open_proc(const struct bv_setup *s)
{
	autoclose int proc = bv_rootat_open_nolinks(s->root, "proc", O_PATH | O_DIRECTORY, 0);
	struct statfs st;
	if (proc < 0 || fstatfs(proc, &st) < 0 || st.f_type != PROC_SUPER_MAGIC)
		return -1;
	return take_fd(&proc);
}

/* Every start is a boot to the programs inside: they get a boot id of their own. Nothing depends on it. */
static int make_boot_id(const struct bv_setup *s)
{
	static const struct bv_mount_flags flags = {
		.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};
	char uuid[UUID_TEXT + 1];
	int r = new_uuid(uuid);
	if (r < 0)
		return r;
	autoclose int file = openat(s->dev, ".lxc-boot-id", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (file < 0)
		return -errno;
	r = bv_write_all(file, uuid, UUID_TEXT);
	if (r < 0)
		return r;
	autoclose int opened = s->proc >= 0 ? -1 : open_proc(s);
	int proc = s->proc >= 0 ? s->proc : opened;
	if (proc < 0)
		return 0;
	autoclose int mnt = bv_mount_clone(s->dev, ".lxc-boot-id", false);
	if (mnt < 0)
		return mnt;
	r = bv_mount_change(mnt, &flags, false);
	return r < 0 ? r : bv_mount_attach(mnt, proc, "sys/kernel/random/boot_id");
}

int bv_setup_dev_nodes(struct bv_setup *s, struct bv_error *err)
{
	if (!bv_setup_makes_dev(s))
		return 0;

	mode_t mask = umask(0);
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++)
		r = make_node(s, i, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].text, s->dev, links[i].name) < 0 && errno != EEXIST)
			r = bv_fail_errno(err, "cannot make the link /dev/%s", links[i].name);
	umask(mask);
	if (r < 0)
		return r;
	int boot_id = make_boot_id(s);
	if (boot_id < 0)
		bv_debug("dev", "no boot id of its own: %s", strerror(-boot_id));
	return 0;
}
