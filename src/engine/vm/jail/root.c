/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/vm/jail/internal.h"
#include "rootfs/rootat.h"
#include "sys/kernel.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/*
 * QEMU's root: a tmpfs with what a program of the host needs in order to run, and with the files that it reads. It is
 * writable here, and read-only in QEMU's mount namespace (enter.c): what the boot alone needs can so be taken away
 * afterwards.
 */

static int fail(int r, struct bv_error *err, const char *what, const char *path)
{
	errno = -r;
	return bv_fail_errno(err, "QEMU's jail: cannot %s %s", what, path);
}

/* `path` of the host, at the same place below `root`, read-only. What the host does not have is left out. */
static int bind_host(int root, const char *path, struct bv_error *err)
{
	static const struct bv_mount_flags flags = {
		.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
		.propagation = MS_PRIVATE,
	};
	autoclose int mnt = bv_mount_clone(AT_FDCWD, path, true);
	if (mnt == -ENOENT)
		return 0;
	struct stat st;
	if (mnt < 0)
		return fail(mnt, err, "bind", path);
	if (fstat(mnt, &st) < 0)
		return fail(-errno, err, "look at", path);
	int r = bv_mount_change(mnt, &flags, true);
	if (r < 0)
		return fail(r, err, "make read-only", path);
	r = bv_jail_make_place(root, path + 1, S_ISDIR(st.st_mode), err);
	if (r < 0)
		return r;
	r = bv_mount_attach(mnt, root, path + 1);
	return r < 0 ? fail(r, err, "bind", path) : 0;
}

/* ---- the host's programs and libraries ---- */

/* With a merged /usr these are links into it, else directories. */
static int bind_top(int root, const char *name, struct bv_error *err)
{
	char path[16], target[PATH_MAX];
	snprintf(path, sizeof(path), "/%s", name);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return bind_host(root, path, err);
	target[n] = '\0';
	return symlinkat(target, root, name) < 0 ? fail(-errno, err, "make the link", path) : 0;
}

static int bind_system(int root, struct bv_error *err)
{
	static const char *const names[] = { "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32" };
	/* Where libraries lie that are in no default place, and which of several is meant. */
	static const char *const files[] = { "/etc/ld.so.cache", "/etc/alternatives" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(names); i++)
		r = bind_top(root, names[i], err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++)
		r = bind_host(root, files[i], err);
	return r;
}

static bool has(int root, const char *path)
{
	autoclose int fd = bv_rootat_open(root, path, O_PATH, 0);
	return fd >= 0;
}

/* A program outside of /usr: its directory, and with PREFIX/bin what belongs to it in the same prefix. */
static int bind_directory_of(int root, const char *program, struct bv_error *err)
{
	/* Systems without /usr, where a program's libraries are anywhere in the store. */
	static const char *const stores[] = { "/nix/store", "/gnu/store" };
	static const char *const siblings[] = { "share", "lib", "lib64", "libexec" };
	for (size_t i = 0; i < ARRAY_SIZE(stores); i++)
		if (bv_after(program, stores[i]))
			return bind_host(root, stores[i], err);

	const char *slash = strrchr(program, '/');
	if (!slash || slash == program)
		return bv_fail(err, EINVAL, "%s cannot be jailed, as it is in no directory", program);
	autofree char *dir = strndup(program, (size_t)(slash - program));
	if (!dir)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bind_host(root, dir, err);
	char *last = strrchr(dir, '/');
	if (last == dir || !bv_streq(last, "/bin"))
		return r;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(siblings); i++) {
		autofree char *path = bv_asprintf("%.*s/%s", (int)(last - dir), dir, siblings[i]);
		if (!path)
			return bv_fail(err, ENOMEM, "out of memory");
		r = bind_host(root, path, err);
	}
	return r;
}

static int bind_program(int root, const char *program, struct bv_error *err)
{
	if (*program != '/')
		return bv_fail(err, EINVAL, "QEMU's path has to be absolute, \"%s\" is not", program);
	autofree char *real = realpath(program, NULL);
	if (!real)
		return bv_fail_errno(err, "cannot find %s", program);
	int r = 0;
	if (!has(root, real))
		r = bind_directory_of(root, real, err);
	if (r == 0 && !has(root, program))
		r = bind_directory_of(root, program, err);
	if (r == 0 && !has(root, program)) {
		bv_fail(err, ENOENT, "%s leads through links that QEMU's jail does not have", program);
		return bv_hint(err, "its real place is %s", real);
	}
	return r;
}

/* ---- /dev ---- */

static int make_node(int dev, const char *name, mode_t mode, dev_t number, struct bv_error *err)
{
	if (mknodat(dev, name, S_IFCHR | mode, number) == 0)
		return 0;
	if (errno != EPERM)
		return fail(-errno, err, "make the device", name);

	/* In a user namespace there are only the nodes that are there. */
	autofree char *path = bv_asprintf("/dev/%s", name);
	int r = path ? bv_jail_make_place(dev, name, false, err) : -ENOMEM;
	if (r < 0)
		return r;
	autoclose int mnt = bv_mount_clone(AT_FDCWD, path, false);
	struct stat st;
	if (mnt >= 0 && (fstat(mnt, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != number))
		return fail(-ENODEV, err, "find the device", path);
	r = mnt < 0 ? mnt : bv_mount_attach(mnt, dev, name);
	return r < 0 ? fail(r, err, "bind", path) : 0;
}

/* The number is the kernel's to choose at boot (a misc device's minor), so it is the host's node that is copied. */
static int make_kvm(int dev, const struct bv_jail_qemu *jail, struct bv_error *err)
{
	struct stat st;
	if (stat("/dev/kvm", &st) < 0)
		return fail(-errno, err, "find", "/dev/kvm");
	if (!S_ISCHR(st.st_mode))
		return fail(-ENODEV, err, "use", "/dev/kvm");
	int r = make_node(dev, "kvm", 0600, st.st_rdev, err);
	if (r < 0)
		return r;
	/* A node that was bound is the host's own, whose owner stays. */
	struct stat made;
	if (fstatat(dev, "kvm", &made, AT_SYMLINK_NOFOLLOW) < 0 || made.st_dev == st.st_dev)
		return 0;
	return fchownat(dev, "kvm", jail->uid, jail->gid, AT_SYMLINK_NOFOLLOW) < 0
		       ? fail(-errno, err, "hand over", "/dev/kvm")
		       : 0;
}

static int make_dev(int root, const struct bv_jail_qemu *jail, struct bv_error *err)
{
	/* Numbers from the kernel's admin-guide/devices.txt. */
	static const struct {
		const char *name;
		unsigned int minor;
	} nodes[] = { { "null", 3 }, { "zero", 5 }, { "random", 8 }, { "urandom", 9 } };
	static const struct bv_mount_flags readonly = { .set = MOUNT_ATTR_RDONLY };

	autoclose int dev = bv_mount_new("tmpfs", "dev", "size=64k,nr_inodes=32,mode=755",
					 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, NULL, 0);
	if (dev < 0)
		return fail(dev, err, "make a tmpfs for", "/dev");
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(nodes); i++)
		r = make_node(dev, nodes[i].name, 0666, makedev(1, nodes[i].minor), err);
	if (r == 0 && jail->kvm)
		r = make_kvm(dev, jail, err);
	if (r == 0)
		r = bv_jail_make_place(root, "dev", true, err);
	if (r < 0)
		return r;
	r = bv_mount_change(dev, &readonly, false);
	if (r == 0)
		r = bv_mount_attach(dev, root, "dev");
	return r < 0 ? fail(r, err, "mount", "/dev") : 0;
}

/* ---- what 9p needs ---- */

/* QEMU's 9p server changes modes and attributes through /proc/self/fd; it gets to see processes and nothing else. */
static int make_proc(int root, struct bv_error *err)
{
	/* 4, only what may be traced, and subset: Linux 5.8. With 2 whose group is 0 sees all. */
	static const char *const options[] = { "hidepid=4,subset=pid", "hidepid=2,gid=65534" };
	int mnt = -EINVAL;
	for (size_t i = 0; mnt == -EINVAL && i < ARRAY_SIZE(options); i++)
		mnt = bv_mount_new("proc", "proc", options[i],
				   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL,
				   0);
	if (mnt < 0)
		return fail(mnt, err, "make", "/proc");
	autoclose int owned = mnt;
	int r = bv_jail_make_place(root, "proc", true, err);
	if (r < 0)
		return r;
	r = bv_mount_attach(owned, root, "proc");
	return r < 0 ? fail(r, err, "mount", "/proc") : 0;
}

static int make_share(int staging, int root, const char *name, const char *place, bool readonly, struct bv_error *err)
{
	const struct bv_mount_flags flags = { .set = readonly ? MOUNT_ATTR_RDONLY : 0 };
	autoclose int mnt = bv_mount_clone(staging, name, true);
	if (mnt < 0)
		return fail(mnt, err, "bind what is shared as", name);
	int r = bv_jail_make_place(root, place, true, err);
	if (r < 0)
		return r;
	r = bv_mount_change(mnt, &flags, false);
	if (r == 0)
		r = bv_mount_attach(mnt, root, place);
	return r < 0 ? fail(r, err, "mount", place) : 0;
}

static int make_9p(int staging, int root, const struct bv_jail_qemu *jail, struct bv_error *err)
{
	int r = jail->root_9p || jail->mounts_9p ? make_proc(root, err) : 0;
	if (r == 0 && jail->root_9p)
		r = make_share(staging, root, "root", "share/root", false, err);
	if (r == 0 && jail->mounts_9p)
		/* The directory that holds the mounts is ours, what is mounted there is shared. */
		r = make_share(staging, root, "mounts", "share/mounts", true, err);
	return r;
}

/* ---- kernel and initramfs ---- */

/*
 * A copy: the initramfs is a memfd and cannot be bound, and the kernel's fd is of a mount of another namespace. They
 * are in memory until bv_jail_forget_boot_files().
 */
static int copy_in(int root, int from, const char *name, struct bv_error *err)
{
	if (from < 0)
		return 0;
	autoclose int to = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (to < 0)
		return fail(-errno, err, "make", name);
	for (off_t at = 0;;) {
		ssize_t n = sendfile(to, from, &at, 1 << 30);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail(-errno, err, "copy", name) : 0;
	}
}

static int size_of(int fd, const char *name, uint64_t *sum, struct bv_error *err)
{
	struct stat st;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return fail(-errno, err, "look at", name);
	if (!S_ISREG(st.st_mode))
		return bv_fail(err, EINVAL, "the VM's %s is no regular file", name);
	*sum += (uint64_t)st.st_size;
	return 0;
}

static int mount_root(int staging, const struct bv_jail_qemu *jail, struct bv_error *err)
{
	enum { OWN = 512 << 10, INODES = 256 };
	uint64_t size = OWN;
	int r = size_of(jail->kernel, "kernel", &size, err);
	if (r == 0)
		r = size_of(jail->initrd, "initrd", &size, err);
	if (r == 0)
		r = bv_jail_make_place(staging, BV_JAIL_QEMU_ROOT, true, err);
	if (r < 0)
		return r;
	char options[80];
	snprintf(options, sizeof(options), "size=%llu,nr_inodes=%d,mode=755", (unsigned long long)size, INODES);
	autoclose int mnt = bv_mount_new("tmpfs", "qemu", options,
					 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, NULL, 0);
	r = mnt < 0 ? mnt : bv_mount_attach(mnt, staging, BV_JAIL_QEMU_ROOT);
	if (r < 0)
		return fail(r, err, "mount", "its root");
	return take_fd(&mnt);
}

static int make_all(const struct bv_jail_qemu *jail, struct bv_error *err)
{
	autoclose int staging = bv_jail_open_staging(err);
	if (staging < 0)
		return staging;
	autoclose int top = mount_root(staging, jail, err);
	if (top < 0)
		return top;
	int r = bv_jail_make_place(top, BV_JAIL_QEMU_TOP, true, err);
	if (r < 0)
		return r;
	autoclose int root = openat(top, BV_JAIL_QEMU_TOP, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (root < 0)
		return fail(-errno, err, "open", "its root");
	r = bind_system(root, err);
	if (r == 0)
		r = bind_program(root, jail->program, err);
	if (r == 0)
		r = make_dev(root, jail, err);
	if (r == 0)
		r = copy_in(root, jail->kernel, "kernel", err);
	if (r == 0)
		r = copy_in(root, jail->initrd, "initrd", err);
	return r < 0 ? r : make_9p(staging, root, jail, err);
}

int bv_jail_make_qemu_root(const struct bv_jail_qemu *jail, struct bv_error *err)
{
	/* Modes are what they say: QEMU's user is none of the owners. */
	mode_t umask_before = umask(0);
	int r = make_all(jail, err);
	umask(umask_before);
	return r;
}

void bv_jail_forget_boot_files(void)
{
	unlink("/" BV_JAIL_QEMU_ROOT "/" BV_JAIL_QEMU_TOP "/kernel");
	unlink("/" BV_JAIL_QEMU_ROOT "/" BV_JAIL_QEMU_TOP "/initrd");
}
