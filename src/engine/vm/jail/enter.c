/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/jail/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/process.h"
#include "engine/vm/jail/internal.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"

#define CAP(c) (UINT64_C(1) << (c))
/*
 * What QEMU's own 9p server does to files as root of the guest. CAP_DAC_READ_SEARCH is none of it: it allows
 * open_by_handle_at(2), and thereby every file of the file system that the shared directory lies on.
 */
#define CAPS_9P                                                                                                      \
	(CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) | CAP(CAP_SETGID) |              \
	 CAP(CAP_SETUID) | CAP(CAP_MKNOD))

/* Files that QEMU has open: taps and eventfds by the dozen; with 9p those that the guest has. */
enum { FILES = 4096, FILES_9P = 1 << 20 };

/* All others are closed by the exec, so that a failure can still be told through one of them. */
static int keep_fds(const int *keep, size_t n, struct bv_error *err)
{
	int r = bv_cloexec_from(STDERR_FILENO + 1);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mark the files that QEMU must not have");
	}
	for (size_t i = 0; i < n; i++)
		if (keep[i] >= 0 && fcntl(keep[i], F_SETFD, 0) < 0)
			return bv_fail_errno(err, "cannot hand file %d to QEMU", keep[i]);
	return 0;
}

/* `root` of the staging becomes the caller's root; nothing of the old one is left. `whose` is for the errors. */
static int enter_root(const char *root, const char *whose, struct bv_error *err)
{
	autoclose int staging = bv_jail_open_staging(err);
	if (staging < 0)
		return staging;
	autoclose int dir = openat(staging, root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return bv_fail_errno(err, "cannot open %s root", whose);
	if (fchdir(dir) < 0)
		return bv_fail_errno(err, "cannot change to %s root", whose);

	/* The old root comes to lie over the new one, and is taken off with all that is mounted there. */
	int r = bv_pivot_root(".", ".");
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make %s root its root", whose);
	}
	if (umount2(".", MNT_DETACH) < 0)
		return bv_fail_errno(err, "cannot take the host's root from %s namespace", whose);
	return chdir("/") < 0 ? bv_fail_errno(err, "cannot change to %s root", whose) : 0;
}

static int enter_qemu_root(struct bv_error *err)
{
	int r = enter_root(BV_JAIL_QEMU_ROOT, "QEMU's", err);
	if (r < 0)
		return r;
	const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (mount(NULL, "/", NULL, flags, NULL) < 0)
		return bv_fail_errno(err, "cannot make QEMU's root read-only");
	if (chroot(BV_JAIL_QEMU_TOP) < 0 || chdir("/") < 0)
		return bv_fail_errno(err, "cannot change to QEMU's root");
	return 0;
}

/* Down to `max`, never up: a hard limit is raised with CAP_SYS_RESOURCE only. */
static int limit(__rlimit_resource_t resource, rlim_t max, const char *what, struct bv_error *err)
{
	struct rlimit l;
	if (getrlimit(resource, &l) < 0)
		return bv_fail_errno(err, "cannot read QEMU's limit of %s", what);
	if (l.rlim_max > max)
		l.rlim_max = max;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(resource, &l) < 0)
		return bv_fail_errno(err, "cannot limit %s of QEMU", what);
	return 0;
}

/* The bounding set goes while the process still may change it; the rest goes with uid 0. */
static int drop_root(const struct bv_jail_qemu *jail, struct bv_error *err)
{
	int r = bv_caps_apply_until_exec(0, CAP(CAP_SETUID) | CAP(CAP_SETGID), err);
	if (r == 0)
		r = bv_process_set_ids(jail->uid, jail->gid, NULL, 0, err);
	if (r < 0)
		return err && err->code == EINVAL
			       ? bv_hint(err, "in a user namespace: the VM's user, as others, has to be mapped")
			       : r;
	/* So it is with the usual securebits; with others it is so from now on. */
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
	if (syscall(SYS_capset, &header, none) < 0)
		return bv_fail_errno(err, "cannot drop QEMU's capabilities");
	return 0;
}

static int keep_root(const struct bv_jail_qemu *jail, struct bv_error *err)
{
	int r = bv_process_set_ids(0, jail->gid, NULL, 0, err);
	return r < 0 ? r : bv_caps_apply(CAPS_9P, err);
}

int bv_jail_enter_qemu(const struct bv_jail_qemu *jail, const int *keep, size_t n_keep, struct bv_error *err)
{
	enum { JOIN_SESSION_KEYRING = 1 };
	bool serves = jail->root_9p || jail->mounts_9p;
	/* What needs /proc comes first. */
	int r = bv_process_reset_signals(err);
	if (r == 0)
		r = keep_fds(keep, n_keep, err);
	if (r < 0)
		return r;
	/* Not the keys of whoever started it. A kernel without keyrings, or a filter, may refuse. */
	(void)syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return bv_fail_errno(err, "cannot make namespaces for QEMU");
	r = enter_qemu_root(err);
	if (r == 0)
		r = limit(RLIMIT_CORE, 0, "core dumps", err);
	if (r == 0)
		r = limit(RLIMIT_NOFILE, serves ? FILES_9P : FILES, "open files", err);
	if (r < 0)
		return r;
	umask(077);
	r = jail->uid == 0 ? keep_root(jail, err) : drop_root(jail, err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot set no_new_privs for QEMU");
	return r;
}

int bv_jail_wait_for_exec(int failure, struct bv_error *err)
{
	struct bv_error told;
	ssize_t n;
	while ((n = read(failure, &told, sizeof(told))) < 0 && errno == EINTR)
		;
	if (n != (ssize_t)sizeof(told))
		return 0;
	if (err)
		*err = told;
	return told.code > 0 ? -told.code : -EIO;
}

int bv_jail_leave_host(int *guest_dir, struct bv_error *err)
{
	int r = enter_root(".", "the supervisor's", err);
	if (r < 0)
		return r;
	*guest_dir = open("/" BV_JAIL_GUEST, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *guest_dir < 0 ? bv_fail_errno(err, "cannot open what the VM's supervisor may write") : 0;
}
