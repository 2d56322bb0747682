/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/container/attach.h"
#include "engine/listen.h"
#include "engine/process.h"
#include "rootfs/storage.h"
#include "sys/fdpass.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

#define NS_BIT(ns) (1U << (ns))

static struct container *data_of(const struct bv_run *run)
{
	return run->engine_data;
}

/* ---- prepare ---- */

/* Which namespaces are new: all but time (only with an offset) and user (only with id maps), or what the keys say. */
static unsigned int choose_namespaces(const struct bv_run *run)
{
	const struct bv_config *cfg = run->config;
	unsigned int ns = (NS_BIT(BV_NS_COUNT) - 1) & ~NS_BIT(BV_NS_USER) & ~NS_BIT(BV_NS_TIME);

	if (cfg->ns_clone_set)
		ns = cfg->ns_clone;
	else if (cfg->ns_keep_set)
		ns &= ~cfg->ns_keep;
	if (cfg->n_idmaps && !(cfg->ns_keep_set && (cfg->ns_keep & NS_BIT(BV_NS_USER))))
		ns |= NS_BIT(BV_NS_USER);
	if (cfg->time_boot_set || cfg->time_monotonic_set)
		ns |= NS_BIT(BV_NS_TIME);
	if (!bv_net_wants_namespace(cfg))
		ns &= ~NS_BIT(BV_NS_NET);
	for (int i = 0; i < BV_NS_COUNT; i++)
		if (run->share_ns[i] >= 0)
			ns &= ~NS_BIT(i);
	/* Mounts are ours to make, always: without this the host's tree would be changed. */
	return ns | NS_BIT(BV_NS_MNT);
}

static bool has_links(const struct bv_config *cfg)
{
	for (size_t i = 0; i < cfg->n_nics; i++)
		if (cfg->nics[i].type != BV_NET_EMPTY && cfg->nics[i].type != BV_NET_NONE)
			return true;
	return false;
}

static void free_container(struct container *c)
{
	if (!c)
		return;
	close_fd(&c->sync);
	close_fd(&c->own_pidns);
	bv_seccomp_clear(&c->seccomp);
	free(c->label);
	free(c);
}

static int prepare(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	const struct bv_config *cfg = run->config;
	struct container *c = calloc(1, sizeof(*c));
	if (!c)
		return bv_fail(err, ENOMEM, "out of memory");
	c->sync = c->own_pidns = -1;
	run->engine_data = c;

	c->ns = choose_namespaces(run);
	c->has_links = (c->ns & NS_BIT(BV_NS_NET)) && has_links(cfg);
	c->has_host_part = cfg->hooks[BV_HOOK_START_HOST].n || cfg->n_rlimits || cfg->proc.n;
	int r = bv_caps_resolve(cfg, &c->caps_keep, err);
	if (r == 0 && (c->ns & NS_BIT(BV_NS_USER)))
		r = bv_idmap_check(cfg, err);
	if (r == 0) {
		r = bv_seccomp_prepare(&c->seccomp, cfg, err);
		c->has_seccomp = r == 0 && c->seccomp.n > 0;
	}
	if (r == 0)
		r = bv_lsm_prepare(cfg, run->name, run->lxcpath, &c->label, err);
	if (r == 0 && c->has_links)
		r = bv_net_plan(&run->net, cfg, err);
	if (r < 0) {
		free_container(c);
		run->engine_data = NULL;
		return r;
	}
	if (c->label)
		snprintf(run->label, sizeof(run->label), "%s", c->label);
	snprintf(run->description, sizeof(run->description), "%s", bv_engine_container.name);
	return 0;
}

static void release(struct bv_run *run)
{
	free_container(data_of(run));
	run->engine_data = NULL;
	bv_run_close(run);
}

static void undo_prepare(void *ctx)
{
	/* A generated profile is unloaded by the clean-up, which follows a failed start as well. */
	release(ctx);
}

/* ---- spawn ---- */

/* Flags for the clone; cgroup and time namespaces are left to the child, which first has to be where they begin. */
static uint64_t clone_flags(const struct container *c)
{
	uint64_t flags = 0;
	for (int i = 0; i < BV_NS_COUNT; i++)
		if ((c->ns & NS_BIT(i)) && i != BV_NS_CGROUP && i != BV_NS_TIME)
			flags |= (uint64_t)(unsigned int)bv_ns_clone_flag(i);
	return flags;
}

static int enter_shared_pidns(struct bv_run *run, struct container *c, struct bv_error *err)
{
	if (run->share_ns[BV_NS_PID] < 0)
		return 0;
	c->own_pidns = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (c->own_pidns < 0 || setns(run->share_ns[BV_NS_PID], CLONE_NEWPID) < 0)
		return bv_fail_errno(err, "cannot share the pid namespace that lxc.namespace.share.pid names");
	return 0;
}

static int spawn(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct container *c = data_of(run);
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_fail_errno(err, "cannot make a socket pair");
	int r = enter_shared_pidns(run, c, err);
	if (r < 0) {
		close(pair[0]);
		close(pair[1]);
		return r;
	}

	bool born_inside;
	pid_t pid = bv_engine_clone(run, clone_flags(c), &born_inside);
	if (pid == 0) {
		close(pair[0]);
		bv_container_child(run, c, pair[1], born_inside);
	}
	close(pair[1]);
	c->sync = pair[0];
	if (c->own_pidns >= 0)
		setns(c->own_pidns, CLONE_NEWPID);
	if (pid < 0) {
		errno = -pid;
		bv_fail_errno(err, "cannot make the new namespaces");
		close_fd(&c->sync);
		if (pid == -ENOSPC || pid == -EUSERS)
			return bv_hint(err, "look at /proc/sys/user/max_*_namespaces");
		return pid;
	}
	run->pid = pid;
	return 0;
}

static void undo_spawn(void *ctx)
{
	struct bv_run *run = ctx;
	/* The end of the pair tells a child that still waits; the kill tells one that does not. */
	close_fd(&data_of(run)->sync);
	bv_pidfd_send_signal(run->pidfd, SIGKILL);
	waitpid(run->pid, NULL, __WALL);
	bv_cgroup_kill(run->cgroup, 2000, NULL);
	run->pid = 0;
}

/* ---- the child's messages ---- */

/* Take a message with its fds; 0 bytes (end of file) gives -EPIPE. */
static int receive(struct bv_run *run, struct container *c, struct child_message *m, struct bv_error *err)
{
	int fds[BV_TTYS_MAX + 1];
	size_t got = ARRAY_SIZE(fds), i = 0;
	ssize_t n = bv_fds_receive(c->sync, m, sizeof(*m), fds, &got);
	if (n == 0 || n == -ECONNRESET)
		return -EPIPE;
	if (n != (ssize_t)sizeof(*m))
		return bv_fail(err, EPROTO, "the container's first process sent something else than was expected");

	if (m->kind == CHILD_FAILED) {
		m->err.what[sizeof(m->err.what) - 1] = m->err.hint[sizeof(m->err.hint) - 1] = '\0';
		if (err)
			*err = m->err;
		return -m->err.code;
	}
	if (m->has_console && i < got)
		run->console = fds[i++];
	for (run->n_ttys = 0; run->n_ttys < m->n_ttys && i < got; run->n_ttys++)
		run->ttys[run->n_ttys] = fds[i++];
	return 0;
}

/* The child is gone without a word: say how it died. */
static int child_died(struct bv_run *run, struct bv_error *err)
{
	siginfo_t info = { 0 };
	if (waitid(P_PIDFD, (id_t)run->pidfd, &info, WEXITED | WNOWAIT | __WALL) == 0 && info.si_code != CLD_EXITED)
		return bv_fail(err, ECHILD, "the container's first process was killed by signal %d before init ran",
		               info.si_status);
	return bv_fail(err, ECHILD, "the container's first process ended before init ran");
}

/*
 * A step of ours failed: if the child has ended, because a step of its own did, what we met is the consequence (the
 * namespaces of a process that is gone) and what the child said is the cause.
 */
static int blame_child(struct bv_run *run, int r, struct bv_error *err)
{
	struct container *c = data_of(run);
	struct child_message m = { 0 };
	struct bv_error said = { 0 };
	struct pollfd p = { .fd = c->sync, .events = POLLIN };
	if (poll(&p, 1, 0) != 1)
		return r;
	int cause = receive(run, c, &m, &said);
	if (cause == -EPIPE)
		cause = child_died(run, &said);
	if (cause < 0 && err)
		*err = said;
	return cause < 0 ? cause : r;
}

static int send_fds(struct container *c, const struct child_token *t, const int *fds, size_t n, struct bv_error *err)
{
	int r = bv_fds_send(c->sync, t, sizeof(*t), fds, n, 0);
	/* A child that failed meanwhile has said why: its message is read by the step that waits for one. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		errno = -r;
		return bv_fail_errno(err, "cannot talk to the container's first process");
	}
	return 0;
}

static int send_token(struct container *c, char token, struct bv_error *err)
{
	struct child_token t = { .token = token };
	return send_fds(c, &t, NULL, 0, err);
}

/* ---- id maps ---- */

static int send_mapped(struct bv_run *run, struct container *c, int root, int userns, struct bv_error *err)
{
	struct child_token t = { .token = CHILD_GO_MAPPED, .has_root = root >= 0 };
	autofree int *entries = NULL;
	int made = bv_setup_mapped_entries(run->config, userns, &entries, err), fds[CHILD_MAPPED_MAX + 1];
	if (made < 0)
		return made;

	size_t n = 0;
	if (root >= 0)
		fds[n++] = root;
	int r = made > CHILD_MAPPED_MAX
	                ? bv_fail(err, E2BIG, "there are more than %d mount entries with idmap=", CHILD_MAPPED_MAX)
	                : 0;
	for (int i = 0; r == 0 && i < made; i++) {
		t.has_entry[t.n_entries++] = entries[i] >= 0;
		if (entries[i] >= 0)
			fds[n++] = entries[i];
	}
	if (r == 0)
		r = send_fds(c, &t, fds, n, err);
	for (int i = 0; i < made; i++)
		close_fd(&entries[i]);
	return r;
}

static int map_ids(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct container *c = data_of(run);
	if (!(c->ns & NS_BIT(BV_NS_USER)))
		return 0;

	int r = bv_idmap_write(run->config, run->pid, err);
	if (r < 0)
		return blame_child(run, r, err);
	/* Only here, with the right over the host's file systems, can the rootfs be mounted with mapped ids. */
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)run->pid);
	autoclose int userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		return bv_fail_errno(err, "cannot open %s", path);
	autoclose int root = bv_setup_mapped_rootfs(run->config, userns, err);
	if (root < 0 && root != -ENOENT)
		return root;
	return send_mapped(run, c, root, userns, err);
}

/* ---- network ---- */

static int make_links(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct container *c = data_of(run);
	if (!c->has_links)
		return 0;

	int r = bv_net_attach(&run->net, run->config, run->pid, -1, err);
	if (r == 0)
		r = bv_net_run_scripts(&run->net, run->config, run->name, true, err);
	if (r == 0)
		r = send_token(c, CHILD_GO_NETWORK, err);
	if (r < 0) {
		/* The namespace still lives: a phys link has to be fetched out of it. */
		char path[48];
		snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)run->pid);
		autoclose int netns = open(path, O_RDONLY | O_CLOEXEC);
		bv_net_detach(&run->net, run->config, netns, NULL);
		return blame_child(run, r, err);
	}
	return 0;
}

static void undo_links(void *ctx)
{
	struct bv_run *run = ctx;
	if (!data_of(run)->has_links)
		return;
	bv_net_run_scripts(&run->net, run->config, run->name, false, NULL);
	bv_net_detach(&run->net, run->config, -1, NULL);
}

/* ---- ready, host hooks, exec ---- */

static int wait_ready(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct child_message m = { 0 };
	int r = receive(run, data_of(run), &m, err);
	return r == -EPIPE ? child_died(run, err) : r;
}

/* lxc.proc.FILE: dots are slashes, written to /proc/INIT/FILE. */
static int write_proc_files(const struct bv_run *run, struct bv_error *err)
{
	const struct bv_pair_list *files = &run->config->proc;
	for (size_t i = 0; i < files->n; i++) {
		autofree char *path = bv_asprintf("/proc/%d/%s", (int)run->pid, files->v[i].name);
		if (!path)
			return bv_fail(err, ENOMEM, "out of memory");
		for (char *s = path; *s; s++)
			if (*s == '.')
				*s = '/';
		int r = strstr(path, "//") ? -EINVAL : bv_write_small(AT_FDCWD, path, files->v[i].value);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot write \"%s\" to %s (lxc.proc.%s)", files->v[i].value, path,
			                     files->v[i].name);
		}
	}
	return 0;
}

static int host_hooks(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct container *c = data_of(run);
	if (!c->has_host_part)
		return 0;
	struct bv_hook_env env;
	bv_hook_env_init(&env, run->name, run->config_file, run->config);
	env.pid = run->pid;

	int r = bv_process_prlimits(run->config, run->pid, err);
	if (r == 0)
		r = write_proc_files(run, err);
	if (r == 0)
		r = bv_hooks_run(run->config, BV_HOOK_START_HOST, &env, err);
	return r < 0 ? r : send_token(c, CHILD_GO_EXEC, err);
}

static int execute(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct container *c = data_of(run);
	struct child_message m = { 0 };
	int r = receive(run, c, &m, err);
	if (r != -EPIPE)
		return r < 0 ? r
		             : bv_fail(err, EPROTO,
		                       "the container's first process sent something else than was expected");
	/* Closed: init was executed. If it was killed on the way, the monitor sees that as the end of init. */
	close_fd(&c->sync);
	bv_seccomp_clear(&c->seccomp);
	return 0;
}

static const struct bv_step steps[] = {
	{ "prepare", prepare, undo_prepare },
	{ "spawn", spawn, undo_spawn },
	{ "idmap", map_ids, NULL },
	{ "network", make_links, undo_links },
	{ "setup", wait_ready, NULL },
	{ "start-host", host_hooks, NULL },
	{ "exec", execute, NULL },
};

/* ---- a running one ---- */

/* What asks init to halt, or to reboot. */
static int wish_signal(const struct bv_run *run, bool reboot, const struct bv_listen *init)
{
	int sig = reboot ? run->config->signal_reboot : run->config->signal_halt;
	if (sig)
		return sig;
	return reboot ? SIGINT : init->systemd ? SIGRTMIN + 3 : SIGPWR;
}

static bool listens(const struct bv_run *run, bool reboot)
{
	struct bv_listen init = bv_listen_look(run->pid);
	return bv_listen_hears(&init, wish_signal(run, reboot, &init));
}

static int halt(struct bv_run *run, struct bv_error *err)
{
	struct bv_listen init = bv_listen_look(run->pid);
	return bv_run_signal(run, wish_signal(run, false, &init), "init", err);
}

static int reboot(struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, wish_signal(run, true, NULL), "init", err);
}

static int kill_init(struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, run->config->signal_stop ? run->config->signal_stop : SIGKILL, "init", err);
}

static int addresses(int run_dir, pid_t pid, int own_netns, struct bv_net_address **ret, size_t *n)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	autoclose int netns = open(path, O_RDONLY | O_CLOEXEC);
	(void)run_dir;
	return netns < 0 ? -errno : bv_net_addresses(netns, own_netns, ret, n, NULL);
}

/* reboot(2) inside a pid namespace ends its init with SIGHUP for a restart and SIGINT for the rest (Linux 3.4). */
static enum bv_ending ending(int wait_status)
{
	return WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGHUP ? BV_END_REBOOT : BV_END_HALT;
}

/* Keys that cannot have their effect. */
static int check_keys(const struct bv_config *cfg, struct bv_error *err)
{
	if (cfg->ns_keep_set && (cfg->ns_keep & NS_BIT(BV_NS_MNT))) {
		bv_fail(err, ENOTSUP,
		        "lxc.namespace.keep = mnt: what is mounted for the instance would be mounted on the host");
		return bv_hint(err, "take mnt out of lxc.namespace.keep");
	}
	if (cfg->ns_share[BV_NS_MNT]) {
		bv_fail(err, ENOTSUP,
		        "lxc.namespace.share.mnt = %s: a mount namespace cannot be shared, as the rootfs is mounted in "
		        "it",
		        cfg->ns_share[BV_NS_MNT]);
		return bv_hint(err, "bind mount what both need: lxc.mount.entry");
	}
	if (cfg->seccomp_notify_proxy || cfg->seccomp_notify_cookie) {
		bool proxy = cfg->seccomp_notify_proxy;
		bv_fail(err, ENOTSUP, "lxc.seccomp.notify.%s = %s: system calls are not passed on to a proxy here",
		        proxy ? "proxy" : "cookie", proxy ? cfg->seccomp_notify_proxy : cfg->seccomp_notify_cookie);
		return bv_hint(err, "take it out; a rule with notify is answered with ENOSYS then");
	}
	if (cfg->ns_clone_set && !(cfg->ns_clone & NS_BIT(BV_NS_MNT)))
		bv_warn("start", "lxc.namespace.clone has no mnt: a mount namespace is made all the same");
	return 0;
}

static int check(const struct bv_run *run, struct bv_error *err)
{
	int r = check_keys(run->config, err);
	if (r < 0)
		return r;
	if (!run->config->rootfs_path && !run->command && !run->execute &&
	    (!run->config->init_cmd || bv_streq(run->config->init_cmd, "/sbin/init"))) {
		bv_fail(err, EINVAL, "%s has no lxc.rootfs.path, and /sbin/init of the host must not be started in it",
		        run->name);
		return bv_hint(err, "set lxc.rootfs.path, or name a command: lxc-execute -n %s -- COMMAND", run->name);
	}
	return 0;
}

const struct bv_engine bv_engine_container = {
	.name = "container",
	.check = check,
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.listens = listens,
	.halt = halt,
	.reboot = reboot,
	.kill = kill_init,
	.ending = ending,
	.addresses = addresses,
	.attach = bv_container_attach,
	.release = release,
};
