/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/container.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/container/restrict.h"
#include "engine/init.h"
#include "engine/process.h"
#include "sys/fdpass.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/stepper.h"
#include "util/str.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE        62
#define PR_SCHED_CORE_CREATE 1
#endif

#define NS_BIT(ns) (1U << (ns))

/* The first process of a container between clone and exec. */
struct child {
	struct bv_run *run;
	struct container *c;
	const struct bv_config *cfg;
	int sync;
	bool born_inside;
	struct bv_setup setup;
	struct bv_hook_env hook_env;
	int mapped_entries[CHILD_MAPPED_MAX];
};

/* ---- talking to the monitor ---- */

static void tell_failure(void *data, const struct bv_error *err)
{
	const struct child *ch = data;
	struct child_message m = { .kind = CHILD_FAILED, .err = *err };
	send(ch->sync, &m, sizeof(m), MSG_NOSIGNAL);
}


/* Wait for `token`; what comes along with CHILD_GO_MAPPED is put into the setup. A monitor that is gone ends us. */
static int await(struct child *ch, char token, struct bv_error *err)
{
	struct child_token got = { 0 };
	int fds[CHILD_MAPPED_MAX + 1];
	size_t n_fds = ARRAY_SIZE(fds), next = 0;
	ssize_t n = bv_fds_receive(ch->sync, &got, sizeof(got), fds, &n_fds);
	if (n <= 0)
		_exit(EXIT_FAILURE);
	if (n != (ssize_t)sizeof(got) || got.token != token)
		return bv_fail(err, EPROTO, "the monitor and the container's first process disagree");
	if (token != CHILD_GO_MAPPED)
		return 0;

	if (got.has_root && next < n_fds)
		ch->setup.root = fds[next++];
	for (unsigned int i = 0; i < got.n_entries; i++)
		ch->mapped_entries[i] = got.has_entry[i] && next < n_fds ? fds[next++] : -1;
	ch->setup.mapped_entries = got.n_entries ? ch->mapped_entries : NULL;
	ch->setup.n_mapped_entries = got.n_entries;
	return 0;
}

/* Our copies of the masters close at the exec, or with what else lxc-execute's init gives up. */
static int send_ready(struct child *ch, struct bv_error *err)
{
	struct bv_setup *s = &ch->setup;
	struct child_message m = { .kind = CHILD_READY, .has_console = s->console >= 0, .n_ttys = s->n_ttys };
	int fds[BV_TTYS_MAX + 1];
	size_t n = 0;
	if (s->console >= 0)
		fds[n++] = s->console;
	for (unsigned int i = 0; i < s->n_ttys; i++)
		fds[n++] = s->ttys[i];

	int r = bv_fds_send(ch->sync, &m, sizeof(m), fds, n, 0);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot hand the ttys to the monitor");
	}
	return 0;
}

/* ---- steps: who and where we are ---- */

static int set_death_signal(struct child *ch, struct bv_error *err)
{
	int sig = ch->cfg->monitor_signal_pdeath;
	if (prctl(PR_SET_PDEATHSIG, sig < 0 ? SIGKILL : sig, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot tie init's life to the monitor's");
	return 0;
}

static int step_identity(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	close_fd(&ch->run->lock);
	int r = set_death_signal(ch, err);
	if (r < 0 || (r = bv_process_reset_signals(err)) < 0)
		return r;
	umask(022);

	r = bv_cgroup_enter_self(ch->run->cgroup, ch->born_inside);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot enter the container's cgroups");
	}
	if (ch->c->label || ch->cfg->selinux_context_keyring)
		ch->setup.host_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (!(ch->c->ns & NS_BIT(BV_NS_USER)))
		return 0;
	r = await(ch, CHILD_GO_MAPPED, err);
	if (r == 0)
		r = bv_process_set_ids(0, 0, NULL, 0, err);
	/* The change of ids cleared it. */
	return r < 0 ? r : set_death_signal(ch, err);
}

/* The offsets can be written only before somebody is in the new time namespace; then we follow. Linux 5.6. */
static int enter_time_namespace(struct child *ch, struct bv_error *err)
{
	char offsets[96] = "";
	const struct bv_config *cfg = ch->cfg;
	const int64_t s = 1000000000;
	size_t used = 0;
	if (cfg->time_boot_set)
		used = (size_t)snprintf(offsets, sizeof(offsets), "boottime %" PRId64 " %" PRId64 "\n",
		                        cfg->time_boot_ns / s - (cfg->time_boot_ns % s < 0),
		                        (cfg->time_boot_ns % s + s) % s);
	if (cfg->time_monotonic_set)
		snprintf(offsets + used, sizeof(offsets) - used, "monotonic %" PRId64 " %" PRId64 "\n",
		         cfg->time_monotonic_ns / s - (cfg->time_monotonic_ns % s < 0),
		         (cfg->time_monotonic_ns % s + s) % s);

	if (unshare(CLONE_NEWTIME) < 0)
		return bv_fail_errno(err, "cannot make a time namespace (lxc.time.offset)");
	int r = bv_write_small(AT_FDCWD, "/proc/self/timens_offsets", offsets);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot set lxc.time.offset");
	}
	autoclose int fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return bv_fail_errno(err, "cannot enter the time namespace (lxc.time.offset)");
	return 0;
}

static int step_namespaces(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	for (int i = 0; i < BV_NS_COUNT; i++) {
		int fd = ch->run->share_ns[i];
		if (fd >= 0 && i != BV_NS_PID && setns(fd, bv_ns_clone_flag(i)) < 0)
			return bv_fail_errno(err, "cannot share the %s namespace that lxc.namespace.share.%s names",
			                     bv_ns_name(i), bv_ns_name(i));
	}
	/* Only now: a cgroup namespace begins at the cgroups in which its maker is. */
	if ((ch->c->ns & NS_BIT(BV_NS_CGROUP)) && unshare(CLONE_NEWCGROUP) < 0)
		return bv_fail_errno(err, "cannot make a cgroup namespace");
	if (ch->c->ns & NS_BIT(BV_NS_TIME)) {
		int r = enter_time_namespace(ch, err);
		if (r < 0)
			return r;
	}
	const char *host = ch->cfg->uts_name;
	if (host && (ch->c->ns & NS_BIT(BV_NS_UTS)) && sethostname(host, strlen(host)) < 0)
		return bv_fail_errno(err, "cannot set the host name to \"%s\" (lxc.uts.name)", host);
	return 0;
}

/* ---- steps: the file system ---- */

static int run_hooks(struct child *ch, enum bv_hook kind, struct bv_error *err)
{
	return bv_hooks_run(ch->cfg, kind, &ch->hook_env, err);
}

static int step_rootfs(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	int r = run_hooks(ch, BV_HOOK_PRE_MOUNT, err);
	return r < 0 ? r : bv_setup_rootfs(&ch->setup, err);
}

static int step_dev(void *ctx, struct bv_error *err)
{
	return bv_setup_dev(&((struct child *)ctx)->setup, err);
}

static int step_automounts(void *ctx, struct bv_error *err)
{
	return bv_setup_automounts(&((struct child *)ctx)->setup, err);
}

static int step_mounts(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	int r = bv_setup_mount_entries(&ch->setup, err);
	if (r == 0)
		r = run_hooks(ch, BV_HOOK_MOUNT, err);
	if (r == 0 && ch->cfg->autodev)
		r = run_hooks(ch, BV_HOOK_AUTODEV, err);
	return r;
}

static int step_dev_nodes(void *ctx, struct bv_error *err)
{
	return bv_setup_dev_nodes(&((struct child *)ctx)->setup, err);
}

static int step_ptys(void *ctx, struct bv_error *err)
{
	return bv_setup_ptys(&((struct child *)ctx)->setup, err);
}

static int step_pivot(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	return ch->setup.has_rootfs ? bv_setup_pivot(&ch->setup, err) : 0;
}

/* ---- steps: network, sysctls ---- */

static int step_network(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	if (!(ch->c->ns & NS_BIT(BV_NS_NET)))
		return 0;
	if (ch->c->has_links) {
		int r = await(ch, CHILD_GO_NETWORK, err);
		if (r < 0)
			return r;
	}
	return ch->cfg->n_nics ? bv_net_configure(&ch->run->net, ch->cfg, err) : 0;
}

static int step_sysctls(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	if (ch->cfg->sysctl.n == 0)
		return 0;

	/* A procfs of our own: what is mounted on the instance's /proc may be anything. */
	autoclose int proc = bv_fs_mount("proc", "proc", NULL, 0, NULL, 0);
	if (proc < 0) {
		errno = -proc;
		return bv_fail_errno(err, "cannot mount a proc file system for lxc.sysctl");
	}
	return bv_process_sysctls(ch->cfg, proc, err);
}

static int step_ready(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	int r = send_ready(ch, err);
	return r < 0 || !ch->c->has_host_part ? r : await(ch, CHILD_GO_EXEC, err);
}

/* ---- the last steps ---- */

/*
 * The console becomes init's stdin, stdout and stderr; without one these are /dev/null. It is left to a getty as
 * controlling terminal (who may not take it from init without CAP_SYS_ADMIN), unless a command is run in init's place;
 * with lxc-execute it is that of the command (init.c). lxc-execute in the foreground keeps what is not a terminal, so
 * that redirections work.
 */
static int step_session(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	autoclose int null = -1;
	int fd = ch->setup.console_slave;

	setsid();
	if (fd >= 0 && ch->run->command && !ch->run->execute && ioctl(fd, TIOCSCTTY, 0) < 0)
		return bv_fail_errno(err, "cannot make the console the controlling terminal");
	if (fd < 0)
		fd = null = open("/dev/null", O_RDWR | O_CLOEXEC);
	/* The caller's terminal is the console's peer: init finds its size from the start. */
	struct winsize size;
	for (int i = 0; ch->run->foreground && i <= STDERR_FILENO; i++) {
		if (ioctl(i, TIOCGWINSZ, &size) == 0) {
			ioctl(fd, TIOCSWINSZ, &size);
			break;
		}
	}
	bool keep = ch->run->execute && ch->run->foreground;
	for (int i = 0; i <= STDERR_FILENO && fd >= 0; i++) {
		if (keep && !isatty(i))
			continue;
		if (dup2(fd, i) < 0)
			return bv_fail_errno(err, "cannot redirect the standard files to the console");
	}
	return 0;
}

static int step_process(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	const struct bv_config *cfg = ch->cfg;

	int r = run_hooks(ch, BV_HOOK_START, err);
	if (r < 0)
		return r;
	if (cfg->personality != (unsigned long)-1 && personality(cfg->personality) < 0)
		return bv_fail_errno(err, "cannot set the personality for lxc.arch = %s", cfg->arch);
	r = bv_lsm_apply_keyring(cfg, ch->setup.host_proc, err);
	if (r < 0)
		return r;
	/* KEYCTL_JOIN_SESSION_KEYRING is operation 1; a kernel without keyrings has nothing to separate. */
	if (cfg->keyring_disable != 1 && syscall(SYS_keyctl, 1, NULL) < 0 && errno != ENOSYS)
		bv_debug("start", "no new session keyring: %s", strerror(errno));
	if (cfg->sched_core && prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot make a core scheduling cookie (lxc.sched.core)");
	return 0;
}

static int step_cwd(void *ctx, struct bv_error *err)
{
	struct child *ch = ctx;
	const char *cwd = ch->cfg->init_cwd;
	if (!cwd)
		return 0;
	int r = bv_mkdir_p(AT_FDCWD, cwd, 0755);
	if (r < 0 || chdir(cwd) < 0) {
		if (r < 0)
			errno = -r;
		return bv_fail_errno(err, "cannot enter %s (lxc.init.cwd)", cwd);
	}
	return 0;
}

static const struct bv_step steps[] = {
	{ "child identity", step_identity, NULL },
	{ "child namespaces", step_namespaces, NULL },
	{ "child rootfs", step_rootfs, NULL },
	{ "child dev", step_dev, NULL },
	{ "child automounts", step_automounts, NULL },
	{ "child mounts", step_mounts, NULL },
	{ "child nodes", step_dev_nodes, NULL },
	{ "child ptys", step_ptys, NULL },
	{ "child pivot", step_pivot, NULL },
	{ "child network", step_network, NULL },
	{ "child sysctls", step_sysctls, NULL },
	{ "child ready", step_ready, NULL },
	{ "child session", step_session, NULL },
	{ "child process", step_process, NULL },
	{ "child cwd", step_cwd, NULL },
};

/* ---- exec ---- */

static int find_command(const struct child *ch, struct bv_strv *argv, struct bv_error *err)
{
	const struct bv_config *cfg = ch->cfg;
	if (ch->run->command && ch->run->command[0]) {
		for (char *const *a = ch->run->command; *a; a++)
			if (bv_strv_add(argv, *a) < 0)
				return bv_fail(err, ENOMEM, "out of memory");
		return 0;
	}

	const char *key = "lxc.init.cmd", *line = cfg->init_cmd;
	if (ch->run->execute && cfg->execute_cmd) {
		key = "lxc.execute.cmd";
		line = cfg->execute_cmd;
	}
	if (!line && !ch->run->execute)
		line = "/sbin/init";
	if (!line) {
		bv_fail(err, EINVAL, "Missing command to execute!");
		return bv_hint(err, "lxc-execute -n %s -- COMMAND, or set lxc.execute.cmd", ch->run->name);
	}
	int r = bv_strv_split_quoted(argv, line);
	if (r < 0 || argv->n == 0)
		return bv_fail(err, r ? -r : EINVAL, "%s = %s is not a command line", key, line);
	return 0;
}

static int build_environment(const struct child *ch, struct bv_strv *env, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv extra = { 0 };
	if (ch->setup.container_ttys[0] && bv_strv_addf(&extra, "container_ttys=%s", ch->setup.container_ttys) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_process_environ(ch->cfg, &extra, env, err);
	if (r == 0 && ch->run->execute && bv_env_put(env, "PATH=" BV_PROCESS_PATH) < 0)
		r = bv_fail(err, ENOMEM, "out of memory");
	return r;
}

static int run_as_init(struct child *ch, const struct bv_strv *argv, const struct bv_strv *env)
{
	struct bv_init how = {
		.argv = argv->v,
		.env = env->v,
		.uid = ch->run->exec_uid,
		.gid = ch->run->exec_gid,
		.failed = tell_failure,
		.data = ch,
	};
	return bv_init_run(&how);
}

static int become_init(struct child *ch, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 }, env = { 0 };
	autofree gid_t *groups = NULL;
	size_t n_groups = 0;
	const struct bv_config *cfg = ch->cfg;

	int r = find_command(ch, &argv, err);
	if (r == 0)
		r = build_environment(ch, &env, err);
	if (r == 0)
		r = bv_process_groups(cfg, &groups, &n_groups, err);
	if (r < 0)
		return r;

	struct bv_process_limits limits = {
		.uid = cfg->init_uid,
		.gid = cfg->init_gid,
		.groups = groups,
		.n_groups = n_groups,
		/* What the kernel told at exec still holds, or step_identity made us root of a user namespace. */
		.was_root = (ch->c->ns & NS_BIT(BV_NS_USER)) ||
		            (!getauxval(AT_UID) && !getauxval(AT_EUID) && !getauxval(AT_GID) && !getauxval(AT_EGID)),
		.set_caps = true,
		.caps_keep = ch->c->caps_keep,
		.no_new_privs = cfg->no_new_privs,
		.label = ch->c->label,
		.proc_fd = ch->setup.host_proc,
		.seccomp = ch->c->has_seccomp ? &ch->c->seccomp : NULL,
	};
	r = bv_process_restrict(&limits, err);
	/* A change of ids cleared it. */
	if (r == 0 && (cfg->init_uid || cfg->init_gid))
		r = set_death_signal(ch, err);
	if (r == 0)
		r = bv_cloexec_from(STDERR_FILENO + 1);
	if (r < 0)
		return bv_fail(err, -r, "cannot close inherited files");
	if (ch->run->execute)
		_exit(run_as_init(ch, &argv, &env));
	return bv_process_exec(argv.v, env.v, err);
}

void bv_container_child(struct bv_run *run, struct container *c, int sync, bool born_inside)
{
	struct child ch = {
		.run = run,
		.c = c,
		.cfg = run->config,
		.sync = sync,
		.born_inside = born_inside,
		.setup = {
			.run = run,
			.config = run->config,
			.userns_fd = -1,
			.has_rootfs = run->config->rootfs_path != NULL,
			.root = -1,
			.dev = -1,
			.proc = -1,
			.host_proc = -1,
			.caps_keep = c->caps_keep,
			.console = -1,
			.console_slave = -1,
		},
	};
	struct bv_error err = { 0 };
	bv_hook_env_init(&ch.hook_env, run->name, run->config_file, run->config);

	if (bv_steps_run("start", steps, ARRAY_SIZE(steps), &ch, &err) == 0)
		become_init(&ch, &err);
	tell_failure(&ch, &err);
	_exit(EXIT_FAILURE);
}
