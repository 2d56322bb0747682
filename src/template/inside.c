/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "rootfs/rootat.h"
#include "sys/kernel.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/* What installing packages takes. Not among them: all that reaches the host past the namespaces. */
static const int kept_capabilities[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID,
	CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_SETFCAP, CAP_AUDIT_WRITE,
};

static int drop_capabilities(struct bv_error *err)
{
	uint64_t keep = 0;
	for (size_t i = 0; i < ARRAY_SIZE(kept_capabilities); i++)
		keep |= UINT64_C(1) << kept_capabilities[i];
	for (unsigned long cap = 0; cap < 64; cap++) {
		if (keep & (UINT64_C(1) << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* past the last one that this kernel knows */
			return bv_fail_errno(err, "cannot drop capability %lu", cap);
		}
	}
	/* What is inheritable would come back at the exec of root. */
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &header, data) < 0)
		return bv_fail_errno(err, "cannot read the capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(data); i++)
		data[i].inheritable = 0;
	if (syscall(SYS_capset, &header, data) < 0)
		return bv_fail_errno(err, "cannot set the capabilities");
	return 0;
}

/* Mount a new file system of `fstype` at `path` of the rootfs; *ret, if wanted, is its fd. */
static int mount_inside(int root, const char *path, const char *fstype, const char *options, int *ret,
			struct bv_error *err)
{
	char message[256] = "";
	autoclose int mnt = bv_mount_new(fstype, fstype, options, MOUNT_ATTR_NOSUID, message, sizeof(message));
	if (mnt < 0)
		return bv_fail(err, mnt, "cannot mount %s for %s: %s", fstype, path,
			       *message ? message : strerror(-mnt));
	autoclose int target = bv_rootat_mkdir_p(root, path, 0755);
	int r = target < 0 ? target : bv_rootat_attach(mnt, target);
	if (r < 0)
		return bv_fail(err, r, "cannot mount %s at %s of the rootfs: %s", fstype, path, strerror(-r));
	if (ret)
		*ret = take_fd(&mnt);
	return 0;
}

static int fill_dev(int dev, struct bv_error *err)
{
	static const struct {
		const char *name;
		unsigned int major, minor; /* Documentation/admin-guide/devices.txt */
	} nodes[] = { { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 },
		      { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
	static const char *const links[][2] = {
		{ "fd", "/proc/self/fd" }, { "stdin", "fd/0" }, { "stdout", "fd/1" }, { "stderr", "fd/2" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		if (mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0 ||
		    fchmodat(dev, nodes[i].name, 0666, 0) < 0)
			return bv_fail_errno(err, "cannot make /dev/%s of the rootfs", nodes[i].name);
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i][1], dev, links[i][0]) < 0)
			return bv_fail_errno(err, "cannot make /dev/%s of the rootfs", links[i][0]);
	if (mkdirat(dev, "shm", 01777) < 0 || fchmodat(dev, "shm", 01777, 0) < 0)
		return bv_fail_errno(err, "cannot make /dev/shm of the rootfs");
	return 0;
}

static int write_new(int dir, const char *name, const char *text, mode_t mode)
{
	autoclose int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -errno : bv_write_all(fd, text, strlen(text));
}

/* Names are found as the host finds them, if the rootfs' resolv.conf leads into the empty /run or is a file. */
static void give_resolv_conf(int root)
{
	autofree char *text = NULL;
	if (bv_read_file(AT_FDCWD, "/etc/resolv.conf", 1 << 16, &text, NULL) < 0)
		return;
	autoclose int etc = bv_rootat_open(root, "/etc", O_PATH | O_DIRECTORY, 0);
	if (etc < 0)
		return;
	char link[256];
	ssize_t n = readlinkat(etc, "resolv.conf", link, sizeof(link) - 1);
	if (n < 0) {
		autoclose int host = bv_mount_clone(AT_FDCWD, "/etc/resolv.conf", false);
		autoclose int file = bv_rootat_open_nolinks(root, "/etc/resolv.conf", O_PATH, 0);
		if (host >= 0 && file >= 0)
			bv_rootat_attach(host, file);
		return;
	}
	link[n] = '\0';
	const char *run = bv_after(link, "../run/");
	if (!run)
		run = bv_after(link, "/run/");
	const char *slash = run ? strrchr(run, '/') : NULL;
	if (!slash)
		return;
	autofree char *dir = bv_asprintf("/run/%.*s", (int)(slash - run), run);
	autoclose int parent = dir ? bv_rootat_mkdir_p(root, dir, 0755) : -1;
	if (parent >= 0)
		write_new(parent, slash + 1, text, 0644);
}

static int mount_all(int root, const char *script, struct bv_error *err)
{
	autoclose int dev = -1, tmp = -1;
	int r = mount_inside(root, "/proc", "proc", NULL, NULL, err);
	if (r == 0)
		r = mount_inside(root, "/dev", "tmpfs", "mode=755,size=65536k", &dev, err);
	if (r == 0)
		r = fill_dev(dev, err);
	if (r == 0)
		r = mount_inside(root, "/run", "tmpfs", "mode=755", NULL, err);
	if (r == 0)
		r = mount_inside(root, "/tmp", "tmpfs", "mode=1777", &tmp, err);
	if (r == 0 && script) {
		r = write_new(tmp, strrchr(BV_INSIDE_SCRIPT, '/') + 1, script, 0755);
		if (r < 0)
			r = bv_fail(err, r, "cannot write the script: %s", strerror(-r));
	}
	if (r == 0)
		give_resolv_conf(root);
	return r;
}

int bv_inside_enter(const char *path, const char *script, struct bv_error *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return bv_fail_errno(err, "cannot make the mounts private");
	if (mount(path, path, NULL, MS_BIND, NULL) < 0)
		return bv_fail_errno(err, "cannot bind %s", path);
	autoclose int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return bv_fail_errno(err, "cannot open %s", path);
	int r = mount_all(root, script, err);
	if (r < 0)
		return r;
	if (fchdir(root) < 0 || bv_pivot_root(".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return bv_fail_errno(err, "cannot make %s the root", path);
	if (sethostname("build", 5) < 0)
		return bv_fail_errno(err, "cannot set the host name");
	return drop_capabilities(err);
}
