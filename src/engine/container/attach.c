/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/container/attach_internal.h"
#include "engine/process.h"
#include "sys/fdpass.h"
#include "sys/kernel.h"
#include "sys/pty.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* ---- messages ---- */

int bv_attach_send(int sock, const struct bv_attach_message *m, int fd)
{
	return bv_fds_send(sock, m, sizeof(*m), &fd, fd >= 0, 0);
}

int bv_attach_receive(int sock, struct bv_attach_message *m, int *fd)
{
	size_t n_fds = 1;
	*fd = -1;
	ssize_t n = bv_fds_receive(sock, m, sizeof(*m), fd, &n_fds);
	if (n <= 0)
		return (int)n;
	if (n == (ssize_t)sizeof(*m))
		return 1;
	close_fd(fd);
	return -EPROTO;
}

/* ---- what is made ready before ---- */

/*
 * All that the instance may have of its own. To enter one that it shares with the host changes nothing, so these need
 * not be looked up; a user namespace alone cannot be entered by who is in it.
 */
static unsigned int own_namespaces(const struct bv_config *cfg)
{
	unsigned int all = (1U << BV_NS_COUNT) - 1, optional = 1U << BV_NS_USER | 1U << BV_NS_TIME;
	unsigned int mask = all & ~optional;
	if (cfg->n_idmaps > 0 || cfg->ns_share[BV_NS_USER])
		mask |= 1U << BV_NS_USER;
	if (cfg->time_boot_set || cfg->time_monotonic_set || cfg->ns_share[BV_NS_TIME])
		mask |= 1U << BV_NS_TIME;
	if (cfg->ns_clone_set)
		mask |= cfg->ns_clone & optional;
	return mask;
}

static int prepare_label(struct bv_attach *a, struct bv_error *err)
{
	a->label = a->how->context ? a->how->context : a->run->label[0] ? a->run->label : NULL;
	if (!a->label || (a->how->elevated & BV_ENTER_NO_LSM)) {
		a->label = NULL;
		return 0;
	}
	if (bv_lsm_host() == BV_LSM_NONE) {
		bv_warn("attach", "no Linux security module is active here, the label %s is not set", a->label);
		a->label = NULL;
		return 0;
	}
	/* Opened now, while it is the host's; a /proc inside can be anything. */
	a->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return a->proc_fd < 0 ? bv_fail_errno(err, "cannot open /proc") : 0;
}

static int prepare(struct bv_attach *a, struct bv_error *err)
{
	const struct bv_engine_attach *how = a->how;
	const struct bv_config *cfg = a->run->config;

	a->namespaces = how->namespaces ? how->namespaces : own_namespaces(cfg);
	a->caps_keep = UINT64_MAX;
	int r = how->elevated & BV_ENTER_KEEP_CAPS ? 0 : bv_caps_resolve(cfg, &a->caps_keep, err);
	if (r == 0)
		r = prepare_label(a, err);
	if (r == 0 && !(how->elevated & BV_ENTER_NO_LSM) && (a->namespaces & 1U << BV_NS_MNT))
		r = bv_seccomp_prepare(&a->seccomp, cfg, err);
	if (r == 0)
		r = bv_process_environ_attach(cfg, how->clear_env, how->keep_vars, how->set_vars, &a->env, err);
	if (r == 0 && a->run->cgroup && !(how->elevated & BV_ENTER_NO_CGROUP)) {
		a->into_cgroup = true;
		r = bv_cgroup_prepare_enter(a->run->cgroup, err);
	}
	if (r < 0)
		return r;

	/* A caller whose directory is gone, or below a mount that is not its own, starts at "/". */
	if (!getcwd(a->cwd, sizeof(a->cwd)) || a->cwd[0] != '/')
		snprintf(a->cwd, sizeof(a->cwd), "/");

	int sock[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0)
		return bv_fail_errno(err, "cannot make a socket pair");
	a->parent_end = sock[0];
	a->child_end = sock[1];
	return 0;
}

static void clear(struct bv_attach *a)
{
	bv_strv_clear(&a->env);
	bv_seccomp_clear(&a->seccomp);
	close_fd(&a->proc_fd);
	close_fd(&a->parent_end);
	close_fd(&a->child_end);
}

/* ---- the child ---- */

struct child {
	pid_t pid;
	int pidfd, master;
	bool failed; /* it has said why, and ends by itself */
};

static void child_clear(struct child *c)
{
	close_fd(&c->pidfd);
	close_fd(&c->master);
}

pid_t bv_attach_clone(unsigned long flags, int cgroup_fd, int *pidfd)
{
	/*
	 * A copy of our memory that can be seen from inside must not be traced or read, nor its executable opened:
	 * it is born not dumpable (the flag is inherited), and the caller becomes again what it was.
	 */
	int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
	if (dumpable != 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;

	struct clone_args args = { .flags = flags | CLONE_CLEAR_SIGHAND | (pidfd ? CLONE_PIDFD : 0),
				   .pidfd = (uintptr_t)pidfd,
				   .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD };
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	pid_t pid = bv_clone3(&args, sizeof(args));
	if (pid == -ENOSYS && cgroup_fd < 0 && !(flags & CLONE_PARENT)) {
		pid = fork();
		if (pid > 0 && pidfd)
			*pidfd = bv_pidfd_open(pid, 0);
		else if (pid < 0)
			pid = -errno;
	}
	if (pid != 0 && dumpable == 1)
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return pid;
}

static int fail_clone(const struct bv_attach *a, int code, struct bv_error *err)
{
	bv_fail(err, code, "cannot make a process in %s: %s", a->run->name, strerror(abs(code)));
	switch (abs(code)) {
	case ENOMEM: /* what the kernel says when the pid namespace has lost its init */
		return bv_hint(err, "its init may just have ended: lxc-info -n %s", a->run->name);
	case EAGAIN:
		return bv_hint(err,
			       "the limit of processes is reached: pids.max of the instance, or lxc.prlimit.nproc");
	default:
		return code;
	}
}

/*
 * The v2 cgroup in which init is: a systemd inside has handed the controllers of the payload cgroup on to groups below,
 * so that the kernel takes no process in there any more. Only a place below the payload will do. fd or -errno.
 */
static int open_cgroup_of_init(const struct bv_attach *a)
{
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_cgroup_hierarchies(a->run->cgroup, &h);
	while (n > 0 && !h->v2)
		h++, n--;
	if (n == 0 || !h->payload)
		return -ENOENT;

	char proc[32], text[4096];
	snprintf(proc, sizeof(proc), "/proc/%d/cgroup", (int)a->run->pid);
	if (bv_read_small(AT_FDCWD, proc, text, sizeof(text)) < 0)
		return -ESRCH;
	const char *line = bv_after(text, "0::") ? text : strstr(text, "\n0::");
	if (!line)
		return -ENOENT;
	const char *path = strstr(line, "::/") + strlen("::/");
	const char *payload = h->payload + strspn(h->payload, "/");
	size_t inside = strlen(payload), len = strcspn(path, "\n");
	if (strncmp(path, payload, inside) != 0 || path[inside] != '/' || memmem(path, len, "..", strlen("..")))
		return -ENOENT;

	autofree char *dir = bv_asprintf("%s/%.*s", h->mountpoint, (int)len, path);
	int fd = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	return fd < 0 ? -errno : fd;
}

/* Born in the cgroup where v2 allows it, else it moves itself as on v1. */
static pid_t clone_child(struct bv_attach *a, int *pidfd)
{
	int cgroup_fd = a->into_cgroup ? bv_cgroup_clone_fd(a->run->cgroup) : -1;
	a->born_inside = cgroup_fd >= 0;
	pid_t pid = bv_attach_clone(0, cgroup_fd, pidfd);
	if (cgroup_fd >= 0 && (pid == -EBUSY || pid == -EOPNOTSUPP)) {
		autoclose int beside_init = open_cgroup_of_init(a);
		return beside_init < 0 ? pid : bv_attach_clone(0, beside_init, pidfd);
	}
	if (pid == -ENOSYS && cgroup_fd >= 0) {
		a->born_inside = false;
		pid = bv_attach_clone(0, -1, pidfd);
	}
	return pid;
}

/*
 * The caller's thread enters the pid namespace for its children only and leaves it at once. Returns in the caller: 0
 * with *c filled; the child does not return.
 */
static int start_child(struct bv_attach *a, struct child *c, struct bv_error *err)
{
	bool enter_pid = a->namespaces & 1U << BV_NS_PID, between = false;
	autoclose int own = enter_pid ? bv_pidfd_open(getpid(), 0) : -1;
	if (enter_pid) {
		a->pid_entered = own >= 0 && setns(a->run->pidfd, CLONE_NEWPID) == 0;
		between = !a->pid_entered;
	}

	pid_t pid = clone_child(a, &c->pidfd);
	if (pid == 0) {
		if (between)
			bv_attach_between(a);
		bv_attach_child(a);
	}
	if (a->pid_entered && setns(own, CLONE_NEWPID) < 0)
		bv_warn("attach", "cannot leave the pid namespace of %s again", a->run->name);
	if (pid < 0)
		return fail_clone(a, pid, err);

	close_fd(&a->child_end);
	c->pid = pid;
	return 0;
}

/* The process in between has said who the command's process is; it is our child as well. */
static int take_over(struct child *c, pid_t pid, struct bv_error *err)
{
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	close_fd(&c->pidfd);
	c->pid = pid;
	c->pidfd = bv_pidfd_open(pid, 0);
	return c->pidfd < 0 ? bv_fail(err, c->pidfd, "cannot open the command's process: %s", strerror(-c->pidfd)) : 0;
}

/* The instance has no devpts: a pty of the host's, whose slave the child gets. */
static int give_host_pty(struct bv_attach *a, struct child *c, struct bv_error *err)
{
	autoclose int slave = -1;
	int r = bv_pty_open(&c->master, &slave, err);
	if (r < 0)
		return r;
	struct bv_attach_message m = { .word = BV_ATTACH_WANT_PTY };
	r = bv_attach_send(a->parent_end, &m, slave);
	return r < 0 ? bv_fail(err, r, "cannot hand over the pty: %s", strerror(-r)) : 0;
}

/* Serve the child until the command is executed (0), or it says why it cannot be. */
static int listen_to(struct bv_attach *a, struct child *c, struct bv_error *err)
{
	for (;;) {
		struct bv_attach_message m;
		autoclose int fd = -1;
		int r = bv_attach_receive(a->parent_end, &m, &fd);
		if (r == 0)
			return 0;
		if (r < 0)
			return bv_fail(err, r, "cannot hear from the process in %s: %s", a->run->name, strerror(-r));

		switch (m.word) {
		case BV_ATTACH_PTY:
			close_fd(&c->master);
			c->master = take_fd(&fd);
			break;
		case BV_ATTACH_WANT_PTY:
			r = give_host_pty(a, c, err);
			break;
		case BV_ATTACH_PID:
			r = take_over(c, m.pid, err);
			break;
		case BV_ATTACH_FAILED:
		default:
			c->failed = true;
			*err = m.err;
			return m.err.code > 0 ? -m.err.code : -EIO;
		}
		if (r < 0)
			return r;
	}
}

static int reap(const struct child *c, struct bv_error *err)
{
	enum { KILLED_BY = 128 };
	int status;
	while (waitpid(c->pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for the command");
	return WIFSIGNALED(status) ? KILLED_BY + WTERMSIG(status) : WEXITSTATUS(status);
}

int bv_container_attach(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status,
			struct bv_error *err)
{
	struct bv_error own = { 0 };
	err = err ? err : &own;
	*exit_status = 1;

	autoclean(clear) struct bv_attach a = {
		.run = run, .how = how, .proc_fd = -1, .parent_end = -1, .child_end = -1
	};
	autoclean(child_clear) struct child c = { .pidfd = -1, .master = -1 };
	int r = prepare(&a, err);
	if (r == 0)
		r = start_child(&a, &c, err);
	if (r < 0)
		return r;

	r = listen_to(&a, &c, err);
	close_fd(&a.parent_end);
	if (r < 0) {
		if (!c.failed && c.pidfd >= 0)
			bv_pidfd_send_signal(c.pidfd, SIGKILL);
		int status = reap(&c, NULL);
		*exit_status = status > 0 ? status : 1;
		return r;
	}
	if (c.master >= 0 && how->relay)
		r = how->relay(how->relay_data, c.master, c.pidfd);
	/* With the master closed, the command's terminal is hung up, should it still run. */
	close_fd(&c.master);
	int status = reap(&c, err);
	if (status < 0)
		return status;
	*exit_status = status;
	return r < 0 ? r : 0;
}
