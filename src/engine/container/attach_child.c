/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/container/attach_internal.h"
#include "engine/container/restrict.h"
#include "engine/process.h"
#include "sys/kernel.h"
#include "sys/pty.h"
#include "util/cleanup.h"

enum {
	PTMX_MAJOR = 5,
	PTMX_MINOR = 2,
};

static bool enters(const struct bv_attach *a, enum bv_ns ns)
{
	return a->namespaces & (1U << ns);
}

/* ---- namespaces ---- */

/* Are both /proc/PID/ns/NAME the same namespace? Asked where one setns for all was refused. */
static bool is_same_namespace(pid_t pid, enum bv_ns ns)
{
	char theirs[48], ours[48];
	struct stat a, b;
	snprintf(theirs, sizeof(theirs), "/proc/%d/ns/%s", (int)pid, bv_ns_name(ns));
	snprintf(ours, sizeof(ours), "/proc/self/ns/%s", bv_ns_name(ns));
	return stat(theirs, &a) == 0 && stat(ours, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What is the same is left out; the rest is entered in one call: the user namespace has to come with the others. */
static int join_different(const struct bv_attach *a, int flags)
{
	int wanted = 0;
	for (enum bv_ns ns = 0; ns < BV_NS_COUNT; ns++)
		if ((flags & bv_ns_clone_flag(ns)) && !is_same_namespace(a->run->pid, ns))
			wanted |= bv_ns_clone_flag(ns);
	return wanted == 0 || setns(a->run->pidfd, wanted) == 0 ? 0 : -errno;
}

/* setns on a pidfd takes several namespaces since Linux 5.8. */
static int join_one_by_one(const struct bv_attach *a, int flags)
{
	int fds[BV_NS_COUNT], r = 0;
	for (enum bv_ns ns = 0; ns < BV_NS_COUNT; ns++) {
		char path[48];
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)a->run->pid, bv_ns_name(ns));
		bool wanted = (flags & bv_ns_clone_flag(ns)) && !is_same_namespace(a->run->pid, ns);
		fds[ns] = wanted ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		if (wanted && fds[ns] < 0)
			r = -errno;
	}
	for (enum bv_ns ns = 0; ns < BV_NS_COUNT; ns++) {
		if (r == 0 && fds[ns] >= 0 && setns(fds[ns], bv_ns_clone_flag(ns)) < 0)
			r = -errno;
		close_fd(&fds[ns]);
	}
	return r;
}

static int join_namespaces(const struct bv_attach *a, struct bv_error *err)
{
	int flags = 0;
	for (enum bv_ns ns = 0; ns < BV_NS_COUNT; ns++)
		if (enters(a, ns) && !(ns == BV_NS_PID && a->pid_entered))
			flags |= bv_ns_clone_flag(ns);
	if (flags == 0)
		return 0;

	int r = setns(a->run->pidfd, flags) < 0 ? -errno : 0;
	if (r == -EINVAL)
		r = join_different(a, flags);
	if (r == -EINVAL || r == -EBADF)
		r = join_one_by_one(a, flags);
	if (r < 0) {
		bv_fail(err, r, "cannot enter the namespaces of %s: %s", a->run->name, strerror(-r));
		return r == -ESRCH ? bv_hint(err, "its init has ended: lxc-info -n %s", a->run->name) : r;
	}
	/* Root of the instance from here on: until now the process has no id in its user namespace. */
	return enters(a, BV_NS_USER) ? bv_process_set_ids(0, 0, NULL, 0, err) : 0;
}

/* ---- the place ---- */

/*
 * The directory of the same name inside, else "/", where setns on a mount namespace leaves us. What is inside may be
 * a link to /proc/self/fd/N: such links are not followed.
 */
static void enter_directory(const struct bv_attach *a)
{
	if (!enters(a, BV_NS_MNT) || bv_streq(a->cwd, "/"))
		return;
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
	autoclose int fd = bv_openat2(AT_FDCWD, a->cwd, &how);
	if (fd >= 0 && fchdir(fd) == 0)
		return;
	if (fd != -ENOSYS)
		return;
	/* Without openat2: go there and see; the kernel says "(unreachable)" of what is not below our root. */
	char now[PATH_MAX];
	bool good = chdir(a->cwd) == 0 && getcwd(now, sizeof(now)) && now[0] == '/';
	if (!good && chdir("/") < 0)
		return;
}

/* The host's mounts with a /proc and a /sys of the namespaces that were entered; nobody else sees them. */
static int remount_sys_proc(const struct bv_attach *a, struct bv_error *err)
{
	if (!a->how->remount_sys_proc || enters(a, BV_NS_MNT))
		return 0;
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return bv_fail_errno(err, "cannot make a mount namespace for a fresh /proc and /sys");
	if (mount("proc", "/proc", "proc", flags, NULL) < 0)
		return bv_fail_errno(err, "cannot mount a fresh /proc");
	/* EBUSY: what is there already is the sysfs of this network namespace. */
	if (mount("sysfs", "/sys", "sysfs", flags, NULL) < 0 && errno != EBUSY)
		return bv_fail_errno(err, "cannot mount a fresh /sys");
	return 0;
}

/* ---- the terminal ---- */

static int open_no_crossing(int dirfd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)flags | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS };
	int fd = bv_openat2(dirfd, path, &how);
	if (fd != -ENOSYS)
		return fd;
	fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/*
 * The multiplexer of the instance's own devpts, or -1. The directory is looked at first: nothing but ptmx and ptys can
 * be in a devpts, so that no other device is opened in its place.
 */
static int open_instance_ptmx(void)
{
	autoclose int dir = open_no_crossing(AT_FDCWD, "/dev/pts", O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS);
	struct statfs fs;
	if (dir < 0 || fstatfs(dir, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return -1;
	autoclose int master = open_no_crossing(dir, "ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	struct stat st;
	if (master < 0 || fstat(master, &st) < 0 || !S_ISCHR(st.st_mode) ||
	    st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR))
		return -1;
	return take_fd(&master);
}

/* 1: *slave is open and the master is with the parent; 0: the instance has no devpts to take one from. */
static int make_instance_pty(struct bv_attach *a, int *slave, struct bv_error *err)
{
	autoclose int master = open_instance_ptmx();
	if (master < 0)
		return 0;
	*slave = bv_pty_slave(master);
	if (*slave < 0)
		return 0;
	struct bv_attach_message m = { .word = BV_ATTACH_PTY };
	int r = bv_attach_send(a->child_end, &m, master);
	return r < 0 ? bv_fail(err, r, "cannot hand over the pty: %s", strerror(-r)) : 1;
}

static int ask_for_host_pty(struct bv_attach *a, int *slave, struct bv_error *err)
{
	struct bv_attach_message m = { .word = BV_ATTACH_WANT_PTY };
	/* Our copy of the parent's end would hide that the parent has gone. */
	close_fd(&a->parent_end);
	int r = bv_attach_send(a->child_end, &m, -1);
	if (r == 0)
		r = bv_attach_receive(a->child_end, &m, slave);
	if (r <= 0 || *slave < 0)
		return bv_fail(err, r < 0 ? r : EIO, "there is no pty for the command");
	return 0;
}

/* The pty has the size of the terminal whose place it takes from the start. */
static void copy_size(const struct bv_attach *a, int slave)
{
	for (int i = 0; i < 3; i++) {
		struct winsize size;
		if ((a->how->pty_fds & (1U << i)) && ioctl(a->how->fds[i], TIOCGWINSZ, &size) == 0) {
			ioctl(slave, TIOCSWINSZ, &size);
			return;
		}
	}
}

static int make_terminal(struct bv_attach *a, int *slave, struct bv_error *err)
{
	int r = make_instance_pty(a, slave, err);
	if (r == 0)
		r = ask_for_host_pty(a, slave, err);
	if (r < 0)
		return r;
	copy_size(a, *slave);
	if (ioctl(*slave, TIOCSCTTY, 0) < 0)
		return bv_fail_errno(err, "cannot make the pty the controlling terminal");
	/* The user's to open again by /dev/pts/N; without a mapping of the id it stays root's. */
	if (a->how->uid > 0 && fchown(*slave, (uid_t)a->how->uid, (gid_t)-1) < 0 && errno != EINVAL && errno != EPERM)
		return bv_fail_errno(err, "cannot give the pty to user %u", (unsigned int)a->how->uid);
	return 0;
}

/* fds[] and the pty onto 0, 1, 2, in whatever order they are. */
static int place_fds(const struct bv_attach *a, int slave, struct bv_error *err)
{
	int from[3];
	bool in_place = true;
	for (int i = 0; i < 3; i++) {
		from[i] = a->how->pty_fds & (1U << i) ? slave : a->how->fds[i];
		in_place = in_place && (from[i] == i || from[i] > STDERR_FILENO);
	}
	for (int i = 0; i < 3 && !in_place; i++)
		if (from[i] <= STDERR_FILENO && (from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1)) < 0)
			return bv_fail_errno(err, "cannot duplicate a file descriptor");
	for (int i = 0; i < 3; i++)
		if (from[i] != i && dup2(from[i], i) < 0)
			return bv_fail_errno(err, "cannot set up file descriptor %d", i);
	int r = bv_cloexec_from(STDERR_FILENO + 1);
	return r < 0 ? bv_fail(err, r, "cannot close the file descriptors above 2: %s", strerror(-r)) : 0;
}

/* ---- the shell ---- */

/* Of `uid`, as the instance sees it; malloc'ed. */
static char *login_shell(uid_t uid)
{
	autoclose int fd = open_no_crossing(AT_FDCWD, "/etc/passwd", O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
	autoclean(bv_account_clear) struct bv_account account;
	bv_account_find(&account, fd, uid);
	return strdup(bv_account_shell(&account));
}

/* ---- all of it ---- */

static void __attribute__((noreturn)) fail_child(const struct bv_attach *a, const struct bv_error *err, int code)
{
	struct bv_attach_message m = { .word = BV_ATTACH_FAILED, .err = *err };
	bv_attach_send(a->child_end, &m, -1);
	_exit(code);
}

static int enter_cgroup(struct bv_attach *a, struct bv_error *err)
{
	if (!a->into_cgroup)
		return 0;
	int r = bv_cgroup_enter_self(a->run->cgroup, a->born_inside);
	return r < 0 ? bv_fail(err, r, "cannot enter the cgroups of %s: %s", a->run->name, strerror(-r)) : 0;
}

static int set_personality(const struct bv_attach *a, struct bv_error *err)
{
	unsigned long wanted = a->how->personality != ULONG_MAX ? a->how->personality : a->run->config->personality;
	if (wanted == ULONG_MAX || personality(wanted) >= 0)
		return 0;
	return bv_fail_errno(err, "cannot set the personality %lx", wanted);
}

/* All that comes before the restrictions: the host's rights are still there. */
static int enter(struct bv_attach *a, struct bv_error *err)
{
	int slave = -1;
	int r = enter_cgroup(a, err);
	if (r == 0)
		r = bv_process_reset_signals(err);
	if (r == 0 && !a->joined)
		r = join_namespaces(a, err);
	if (r < 0)
		return r;

	/* Away from the caller's terminal, whatever becomes of the fds. */
	setsid();
	enter_directory(a);
	r = remount_sys_proc(a, err);
	if (r == 0)
		r = set_personality(a, err);
	if (r == 0 && a->how->pty_fds)
		r = make_terminal(a, &slave, err);
	return r < 0 ? r : place_fds(a, slave, err);
}

void bv_attach_child(struct bv_attach *a)
{
	struct bv_error err = { 0 };
	if (enter(a, &err) < 0)
		fail_child(a, &err, 1);

	uid_t uid = a->how->uid >= 0 ? (uid_t)a->how->uid : 0;
	char *shell[] = { NULL, NULL };
	char *const *argv = a->how->command;
	if (!argv || !argv[0]) {
		shell[0] = login_shell(uid);
		argv = shell;
	}

	/* Without a pty nothing would tell the command that the caller was killed. */
	struct bv_process_limits limits = {
		.uid = uid,
		.gid = a->how->gid >= 0 ? (gid_t)a->how->gid : 0,
		.set_caps = true,
		.caps_keep = a->caps_keep,
		.no_new_privs = a->run->config->no_new_privs,
		.label = a->label,
		.proc_fd = a->proc_fd,
		.seccomp = &a->seccomp,
		.death_signal = a->how->pty_fds ? 0 : SIGHUP,
	};
	if (bv_process_restrict(&limits, &err) < 0)
		fail_child(a, &err, 1);
	bv_process_exec(argv, a->env.v, &err);
	fail_child(a, &err, bv_process_exit_code(&err));
}

void bv_attach_between(struct bv_attach *a)
{
	struct bv_error err = { 0 };
	if (enter_cgroup(a, &err) < 0 || join_namespaces(a, &err) < 0)
		fail_child(a, &err, 1);
	a->into_cgroup = false;
	a->joined = true;

	struct bv_attach_message m = { .word = BV_ATTACH_PID };
	pid_t pid = bv_attach_clone(CLONE_PARENT, -1, NULL);
	if (pid == 0)
		bv_attach_child(a);
	if (pid < 0) {
		bv_fail(&err, pid, "cannot make a process in %s: %s", a->run->name, strerror(-pid));
		fail_child(a, &err, 1);
	}
	m.pid = pid;
	_exit(bv_attach_send(a->child_end, &m, -1) < 0);
}
