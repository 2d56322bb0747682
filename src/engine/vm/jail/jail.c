/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/jail/internal.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/*
 * The staging: where the container engine puts a rootfs together, a directory that the installation made, that
 * everybody may pass, and that nobody else looks at. What is mounted there is in the supervisor's mount namespace
 * alone.
 *
 *   root, mounts/N   what the file servers serve (bv_jail_put_mount)
 *   qemu             QEMU's root (root.c)
 *   guest            what the supervisor may write, when all this has become its root (enter.c)
 */
#define BV_JAIL_STAGING BV_ROOTFSMOUNT

/* The staging holds directories, mount points and a socket: no data. */
#define STAGING_OPTIONS "size=256k,nr_inodes=4096,mode=711"

uid_t bv_jail_uid(const char *lxcpath, const char *name)
{
	enum { FIRST = 1879048192, COUNT = 65536 };
	uint32_t hash = 2166136261; /* FNV-1a */
	const char *const parts[] = { lxcpath, "/", name };
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		for (const char *s = parts[i]; *s; s++)
			hash = (hash ^ (uint8_t)*s) * 16777619;
	return (uid_t)FIRST + (hash ^ hash >> 16) % COUNT;
}

const char *bv_jail_staging(void)
{
	return BV_JAIL_STAGING;
}

int bv_jail_open_staging(struct bv_error *err)
{
	int fd = open(BV_JAIL_STAGING, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? bv_fail_errno(err, "cannot open %s", BV_JAIL_STAGING) : fd;
}

/*
 * The supervisor is the first process of a pid namespace, but the /proc that it came with is its parent's: there a pid
 * that it knows is another process. It gets its own, which a user namespace of a file server needs to see as well.
 */
static int own_proc(struct bv_error *err)
{
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0)
		return 0;
	bv_fail_errno(err, "cannot mount a proc file system of the VM's own on /proc");
	return bv_hint(err, "in a container it takes one whose own /proc has nothing mounted over it");
}

int bv_jail_stage(struct bv_error *err)
{
	/* What the host unmounts goes away here as well, and nothing that is mounted here is seen there. */
	if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return bv_fail_errno(err, "cannot keep the VM's mounts from the host");
	int r = own_proc(err);
	if (r < 0)
		return r;
	mode_t umask_before = umask(022);
	r = bv_mkdir_p(AT_FDCWD, BV_JAIL_STAGING, 0755);
	umask(umask_before);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make the directory %s", BV_JAIL_STAGING);
	}
	if (mount("tmpfs", BV_JAIL_STAGING, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, STAGING_OPTIONS) < 0)
		return bv_fail_errno(err, "cannot mount a tmpfs on %s", BV_JAIL_STAGING);
	return 0;
}

int bv_jail_make_place(int dir, const char *path, bool is_dir, struct bv_error *err)
{
	const char *slash = strrchr(path, '/');
	int r = 0;
	if (slash && slash > path) {
		autofree char *parent = strndup(path, (size_t)(slash - path));
		r = parent ? bv_mkdir_p(dir, parent, 0755) : -ENOMEM;
	}
	if (r == 0 && is_dir)
		r = mkdirat(dir, path, 0755) < 0 && errno != EEXIST ? -errno : 0;
	else if (r == 0)
		r = mknodat(dir, path, S_IFREG | 0444, 0) < 0 && errno != EEXIST ? -errno : 0;
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make %s in the VM's staging", path);
	}
	return 0;
}

int bv_jail_put_mount(const char *name, int mount_fd, bool readonly, struct bv_error *err)
{
	autoclose int staging = bv_jail_open_staging(err);
	if (staging < 0)
		return staging;
	struct stat st;
	if (fstat(mount_fd, &st) < 0)
		return bv_fail_errno(err, "cannot look at what is to be shared as %s", name);

	/* The guest's own kernel decides on set-id programs and devices; on the host nobody is to come to use them. */
	const struct bv_mount_flags flags = {
		.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (readonly ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_PRIVATE,
	};
	int r = bv_mount_change(mount_fd, &flags, true);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot set the mount options of what is shared as %s", name);
	}
	mode_t umask_before = umask(022);
	r = bv_jail_make_place(staging, name, S_ISDIR(st.st_mode), err);
	umask(umask_before);
	if (r < 0)
		return r;
	r = bv_mount_attach(mount_fd, staging, name);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount what is shared as %s on %s/%s", name, BV_JAIL_STAGING, name);
	}
	return 0;
}
