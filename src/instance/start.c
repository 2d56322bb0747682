/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/system.h"
#include "instance/finish.h"
#include "instance/hold.h"
#include "instance/log.h"
#include "instance/monitor.h"
#include "instance/wait.h"
#include "sys/kernel.h"
#include "sys/selfexec.h"
#include "sys/title.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"
#include "util/stepper.h"

/*
 * How an instance starts:
 *   bv_instance_start    reads the config, takes the lock, finishes what a killed monitor left, makes the cgroups,
 *                        and becomes the monitor (foreground) or forks it and waits for its report
 *   bv_monitor_start     the monitor's table of steps below, the engine's own steps in the middle
 *   bv_monitor_run       (monitor.c) watches it
 */

/* ---- the monitor's steps ---- */

static int step_state(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	autofree char *text = bv_config_dump(m->config);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_rundir_write(&m->rd, "config", text, strlen(text), err);
	if (r < 0)
		return r;

	m->state.state = BV_STARTING;
	m->state.survives_monitor = m->config->monitor_signal_pdeath == 0;
	m->state.ephemeral = m->config->ephemeral;
	m->state.init_pid = 0;
	snprintf(m->state.engine, sizeof(m->state.engine), "%s", m->engine->name);
	return bv_run_state_write(&m->rd, &m->state, err);
}

static void undo_state(void *ctx)
{
	struct bv_monitor *m = ctx;
	m->state.state = BV_ABORTING;
	bv_run_state_write(&m->rd, &m->state, NULL);
}

static int step_pre_start(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	struct bv_hook_env env;
	bv_hook_env_init(&env, m->name, m->config_file, m->config);
	return bv_hooks_run(m->config, BV_HOOK_PRE_START, &env, err);
}

static int step_engine(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	m->run.rootfs_lock = m->rootfs_lock;
	int r = bv_steps_run(m->engine->name, m->engine->steps, m->engine->n_steps, &m->run, err);
	if (r < 0) {
		/* What was noted while it waited is undone. */
		m->state.init_pid = 0;
		free(m->state.net);
		m->state.net = NULL;
	}
	return r;
}

static void undo_engine(void *ctx)
{
	struct bv_monitor *m = ctx;
	bv_pidfd_send_signal(m->run.pidfd, SIGKILL);
	waitpid(m->run.pid, NULL, __WALL);
	m->engine->release(&m->run);
}

static int step_facts(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	bv_monitor_note_facts(m);
	/* Where the engine waited for a guest to boot, it is open. */
	return m->console_watched ? 0 : bv_console_open(&m->console, take_fd(&m->run.console), m->config, err);
}

static void undo_facts(void *ctx)
{
	bv_console_drain(&((struct bv_monitor *)ctx)->console);
}

static int step_rootfs(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	/* At a reboot it is ours already. */
	if (m->rootfs_lock >= 0)
		return 0;
	return bv_hold_rootfs(&m->rd, m->config, m->engine->exclusive, &m->rootfs_lock, err);
}

static void undo_rootfs(void *ctx)
{
	close_fd(&((struct bv_monitor *)ctx)->rootfs_lock);
}

/* A stop hook is given the namespaces after init is gone: they are pinned now. */
static int step_pin_namespaces(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	for (int i = 0; i < BV_NS_COUNT && m->config->hooks[BV_HOOK_STOP].n && !m->engine->own_kernel; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)m->run.pid, bv_ns_name(i));
		close_fd(&m->ns_fds[i]);
		m->ns_fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (m->ns_fds[i] < 0 && errno != ENOENT)
			return bv_fail_errno(err, "cannot open %s for lxc.hook.stop", path);
	}
	return 0;
}

static int step_pidfile(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	if (!m->pidfile)
		return 0;
	char text[16];
	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	struct stat st;
	bool special = stat(m->pidfile, &st) == 0 && !S_ISREG(st.st_mode);
	int r;
	if (special) {
		autoclose int fd = open(m->pidfile, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		r = fd < 0 ? -errno : bv_write_all(fd, text, strlen(text));
	} else {
		r = bv_replace_file(AT_FDCWD, m->pidfile, text, strlen(text), 0600, false);
	}
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot write the pid file %s", m->pidfile);
	}
	/* A device or a pipe was there before us, and stays. */
	if (special) {
		free(m->pidfile);
		m->pidfile = NULL;
	}
	return 0;
}

static int step_running(void *ctx, struct bv_error *err)
{
	struct bv_monitor *m = ctx;
	m->state.state = BV_RUNNING;
	return bv_run_state_write(&m->rd, &m->state, err);
}

/* clang-format off */
static const struct bv_step steps[] = {
	{ "state", step_state, undo_state },
	{ "pre-start", step_pre_start, NULL },
	{ "hold", step_rootfs, undo_rootfs },
	{ "engine", step_engine, undo_engine },
	{ "facts", step_facts, undo_facts },
	{ "namespaces", step_pin_namespaces, NULL },
	{ "pidfile", step_pidfile, NULL },
	{ "running", step_running, NULL },
};
/* clang-format on */

/* What is to be run, for the engine. */
static void describe_run(struct bv_monitor *m)
{
	bv_run_init(&m->run);
	m->run.name = m->name;
	m->run.lxcpath = m->lxcpath;
	m->run.config_file = m->config_file;
	m->run.config = m->config;
	m->run.command = m->command.v;
	m->run.execute = m->execute;
	m->run.exec_uid = m->exec_uid;
	m->run.exec_gid = m->exec_gid;
	m->run.foreground = m->foreground;
	m->run.serve = bv_monitor_serve;
	m->run.forked = bv_monitor_forked;
	m->run.monitor = m;
}

int bv_monitor_start(struct bv_monitor *m, struct bv_error *err)
{
	describe_run(m);
	m->run.run_dir = m->rd.fd;
	m->run.cgroup = m->cgroup;
	m->run.lock = m->lock;

	int shared[BV_NS_COUNT];
	int r = bv_shared_namespaces(m->lxcpath, m->config, shared, err);
	memcpy(m->run.share_ns, shared, sizeof(shared));
	if (r == 0)
		r = bv_steps_run("start", steps, ARRAY_SIZE(steps), m, err);
	for (int i = 0; i < BV_NS_COUNT; i++)
		close_fd(&m->run.share_ns[i]);
	return r;
}

/* ---- lxc.namespace.share ---- */

/* PID, NAME, or /lxcpath/NAME: the pid of the process whose namespace is meant. */
static int share_target(const char *lxcpath, const char *value, pid_t *ret, struct bv_error *err)
{
	int pid;
	if (bv_parse_int(value, &pid) == 0 && pid > 0) {
		*ret = pid;
		return 0;
	}
	const char *slash = strrchr(value, '/');
	autofree char *path = slash && slash > value ? strndup(value, (size_t)(slash - value)) : strdup(lxcpath);
	const char *name = slash ? slash + 1 : value;
	struct bv_rundir rd;
	struct bv_run_state st = { 0 };
	int r = path ? bv_rundir_open(&rd, path, name, err) : -ENOMEM;
	if (r < 0)
		return bv_fail(err, -r, "out of memory");
	if (bv_run_state_read(&rd, &st) == 0 && bv_run_state_effective(&rd, &st) != BV_STOPPED)
		*ret = st.init_pid;
	else
		r = bv_fail(err, ESRCH, "%s, whose namespace is to be shared, is not running", name);
	bv_run_state_clear(&st);
	bv_rundir_close(&rd);
	return r;
}

int bv_shared_namespaces(const char *lxcpath, const struct bv_config *cfg, int fds[BV_NS_COUNT], struct bv_error *err)
{
	for (int i = 0; i < BV_NS_COUNT; i++)
		fds[i] = -1;
	for (int i = 0; i < BV_NS_COUNT; i++) {
		if (!cfg->ns_share[i])
			continue;
		pid_t pid = 0;
		int r = share_target(lxcpath, cfg->ns_share[i], &pid, err);
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, bv_ns_name(i));
		if (r == 0 && (fds[i] = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			r = bv_fail_errno(err, "cannot open %s (lxc.namespace.share.%s)", path, bv_ns_name(i));
		if (r < 0) {
			for (int k = 0; k < i; k++)
				close_fd(&fds[k]);
			return r;
		}
	}
	return 0;
}

/* ---- the caller ---- */

static int apply_options(struct bv_instance *inst, const struct bv_start_options *o, struct bv_error *err)
{
	static const char *const shares[] = { "net", "ipc", "uts", "pid" };
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(shares); i++) {
		char key[64];
		snprintf(key, sizeof(key), "lxc.namespace.share.%s", shares[i]);
		if (o->share[i])
			r = bv_config_set(inst->config, key, o->share[i], err);
	}
	if (r == 0 && o->engine != BV_START_AS_CONFIGURED)
		r = bv_config_set(inst->config, "engine", o->engine == BV_START_AS_VM ? "vm" : "container", err);
	return r;
}

/* Without a config file only a command makes sense: /sbin/init of the host would harm it. */
static int find_config(struct bv_instance *inst, const struct bv_start_options *o, struct bv_error *err)
{
	int r = bv_create_check_partial(inst, err);
	if (r > 0) {
		bv_fail(err, EBUSY, "%s is being created by another command", inst->name);
		return bv_hint(err, "wait for lxc-create to end");
	}
	if (r < 0)
		return r;
	if (!inst->config) {
		r = bv_instance_load_config(inst, NULL, err);
		if (r == -ENOENT && o->execute && o->command) {
			bv_error_clear(err);
			inst->config = bv_config_new();
			r = inst->config ? 0 : bv_fail(err, ENOMEM, "out of memory");
		}
	}
	return r < 0 ? r : apply_options(inst, o, err);
}

int bv_instance_protect(char *const *argv, struct bv_error *err)
{
	int r = argv ? bv_selfexec_protected(argv) : 0;
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot protect this program from what runs inside the instance");
	}
	return 0;
}

/*
 * Will code of the instance run beside a process of ours, with the host's root? Our first process is gone once it
 * executed init; before that a hook of the instance runs, or others look in from a shared pid namespace.
 */
static bool needs_protection(const struct bv_config *cfg, bool execute)
{
	return !cfg->n_idmaps && (execute || cfg->hooks[BV_HOOK_START].n || cfg->ns_share[BV_NS_PID]);
}

/* A path that the monitor uses after it left the caller's working directory. Owned by the caller. */
static char *absolute_path(const char *path)
{
	autofree char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	return cwd ? bv_asprintf("%s/%s", cwd, path) : strdup(path);
}

static int make_paths_absolute(struct bv_monitor *m, struct bv_config *cfg, struct bv_error *err)
{
	char **paths[] = { &cfg->console_logfile, &cfg->console_path, &m->pidfile };
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		char *old = *paths[i];
		if (!old || bv_streq(old, "none"))
			continue;
		*paths[i] = absolute_path(old);
		free(old);
		if (!*paths[i])
			return bv_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

static int copy_command(struct bv_monitor *m, char *const *command, struct bv_error *err)
{
	for (; command && *command; command++)
		if (bv_strv_add(&m->command, *command) < 0)
			return bv_fail(err, ENOMEM, "out of memory");
	return 0;
}

static int make_cgroups(struct bv_monitor *m, struct bv_error *err)
{
	struct bv_system_config sys = { 0 };
	int r = bv_system_config_load(&sys, err);
	struct bv_cgroup_spec spec = {
		.config = m->config,
		.name = m->name,
		.pattern = sys.cgroup_pattern,
		/* In the foreground the caller stays where it is: a service manager that started us looks there. */
		.with_monitor = !m->foreground,
		.without_devices = m->engine->own_kernel,
	};
	if (r == 0)
		r = bv_cgroup_create(&m->cgroup, &spec, err);
	bv_system_config_clear(&sys);
	if (r == 0)
		m->state.cgroup = bv_cgroup_describe(m->cgroup);
	return r;
}

/* Scripts take that it runs for success. It is none for who said how it is to run, when it runs as something else. */
static int refuse_running(const struct bv_monitor *m, const struct bv_start_options *o, struct bv_error *err)
{
	const char *wanted = m->engine->name;
	struct bv_run_state st;
	bool other = false;
	if (o->engine != BV_START_AS_CONFIGURED && bv_run_state_read(&m->rd, &st) == 0) {
		other = st.engine[0] && strncmp(st.engine, wanted, strlen(wanted)) != 0;
		bv_run_state_clear(&st);
	}
	bv_error_clear(err);
	if (!other)
		return bv_fail(err, EALREADY, "Container is already running");
	bool vm = o->engine == BV_START_AS_VM;
	bv_fail(err, EBUSY, "%s already runs, as a %s", m->name, vm ? "container" : "VM");
	return bv_hint(err, "lxc-stop -n %s first, then lxc-start -n %s --%s", m->name, m->name, wanted);
}

/* Everything that must be true before a monitor is worth having. */
static int prepare(struct bv_monitor *m, struct bv_instance *inst, const struct bv_start_options *o,
		   struct bv_error *err)
{
	int r = find_config(inst, o, err);
	if (r == 0 && needs_protection(inst->config, o->execute))
		r = bv_instance_protect(o->argv, err);
	if (r == 0)
		r = bv_log_configure(inst->config, inst->name, err);
	if (r == 0)
		r = copy_command(m, o->command, err);
	if (r < 0)
		return r;
	m->config = take_ptr(inst->config);
	m->pidfile = o->pidfile ? strdup(o->pidfile) : NULL;
	r = make_paths_absolute(m, m->config, err);
	if (r < 0)
		return r;
	m->engine = bv_engine_of(m->config->engine);
	describe_run(m);
	r = m->engine->check(&m->run, err);
	if (r < 0)
		return r;

	r = bv_rundir_lock(&m->rd, m->lxcpath, m->name, &m->lock, err);
	if (r == -EBUSY && bv_wait_settled(inst)) {
		bv_rundir_close(&m->rd);
		bv_error_clear(err);
		r = bv_rundir_lock(&m->rd, m->lxcpath, m->name, &m->lock, err);
	}
	if (r == -EBUSY) {
		enum bv_state state;
		if (bv_instance_state(inst, &state, NULL) == 0 && state != BV_STOPPED)
			return refuse_running(m, o, err);
	}
	if (r == 0)
		r = bv_finish_stale(&m->rd, m->lxcpath, m->name, err);
	return r < 0 ? r : make_cgroups(m, err);
}

/* The monitor's report: an error by value, or one with code 0. */
static int await_report(int report, struct bv_error *err)
{
	struct bv_error got;
	ssize_t n;
	do {
		n = recv(report, &got, sizeof(got), 0);
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(got)) {
		bv_fail(err, ECHILD, "the monitor ended before the instance was running");
		return bv_hint(err, "look for its end in the kernel's log (dmesg): it may have been out of memory");
	}
	if (got.code && err)
		*err = got;
	return got.code ? -got.code : 0;
}

static pid_t fork_monitor(const struct bv_cgroup *cg, bool *born_inside)
{
	int fd = bv_cgroup_monitor_clone_fd(cg);
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t)fd };
	pid_t pid = fd >= 0 ? bv_clone3(&args, sizeof(args)) : -ENOSYS;
	*born_inside = pid >= 0;
	if (pid == -ENOSYS || pid == -EINVAL || pid == -E2BIG) {
		pid = fork();
		if (pid < 0)
			pid = -errno;
	}
	return pid;
}

static void monitor_process(struct bv_monitor *m, bool born_inside)
{
	autofree char *title = bv_asprintf("[lxc monitor] %s %s", m->lxcpath, m->name);
	/* Hooks get an environment of their own; what tests turn on and off stays. */
	if (title)
		bv_set_process_title(title, "BIVALVE_");
	setsid();
	if (chdir("/") < 0)
		bv_debug("start", "the monitor stays in its working directory");
	bv_cgroup_enter_self_monitor(m->cgroup, born_inside);

	struct bv_error err = { 0 };
	int status;
	bv_monitor_run(m, &status, &err);
	_exit(err.code != 0);
}

static int start_in_background(struct bv_monitor *m, struct bv_error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_fail_errno(err, "cannot make a socket pair");

	bool born_inside;
	pid_t pid = fork_monitor(m->cgroup, &born_inside);
	if (pid == 0) {
		close(pair[0]);
		m->report = pair[1];
		monitor_process(m, born_inside);
	}
	close(pair[1]);
	int r;
	if (pid < 0) {
		errno = -pid;
		r = bv_fail_errno(err, "cannot fork the monitor");
		bv_cgroup_remove_payload(m->cgroup, NULL);
		bv_cgroup_remove_monitor(m->cgroup, NULL);
		bv_rundir_remove(&m->rd);
		close_fd(&m->lock);
	} else {
		/* From here the lock is the monitor's alone. */
		close_fd(&m->lock);
		r = await_report(pair[0], err);
		if (r < 0)
			waitpid(pid, NULL, 0);
	}
	close(pair[0]);
	return r;
}

static void clear_monitor(struct bv_monitor *m)
{
	bv_config_free(m->config);
	bv_cgroup_free(m->cgroup);
	bv_strv_clear(&m->command);
	free(m->pidfile);
	bv_run_state_clear(&m->state);
	bv_rundir_close(&m->rd);
	close_fd(&m->rootfs_lock);
	close_fd(&m->lock);
}

int bv_instance_start(struct bv_instance *inst, const struct bv_start_options *options, int *exit_status,
		      struct bv_error *err)
{
	struct bv_monitor m = {
		.lxcpath = inst->lxcpath,
		.name = inst->name,
		.config_file = inst->config_file,
		.rd.fd = -1,
		.lock = -1,
		.execute = options->execute,
		.foreground = options->foreground,
		.exec_uid = options->uid,
		.exec_gid = options->gid,
		.report = -1,
		.epoll = -1,
		.listener = -1,
		.signals = -1,
		.watched_out = -1,
		.awaited = -1,
		.rootfs_lock = -1,
	};
	bv_console_init(&m.console);
	for (int i = 0; i < BV_NS_COUNT; i++)
		m.ns_fds[i] = -1;
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++)
		m.clients[i].fd = -1;
	if (!options->foreground || options->close_fds)
		bv_log_close_others();

	int status = 0, r = prepare(&m, inst, options, err);
	m.config_file = inst->config_file;
	if (r < 0 && m.lock >= 0)
		bv_rundir_remove(&m.rd);
	if (r == 0)
		r = options->foreground ? bv_monitor_run(&m, &status, err) : start_in_background(&m, err);
	if (exit_status)
		*exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	clear_monitor(&m);
	return r;
}

int bv_instance_command_line(struct bv_instance *inst, const struct bv_start_options *options, char **ret,
			     struct bv_error *err)
{
	struct bv_monitor m = { .lxcpath = inst->lxcpath, .name = inst->name };
	int r = find_config(inst, options, err);
	if (r == 0)
		r = copy_command(&m, options->command, err);
	if (r == 0) {
		m.execute = options->execute;
		m.config = inst->config;
		m.config_file = inst->config_file;
		m.engine = bv_engine_of(m.config->engine);
		describe_run(&m);
		r = m.engine->check(&m.run, err);
	}
	if (r == 0 && !m.engine->command_line) {
		bv_fail(err, ENOTSUP, "%s is started as a container, for which nothing is executed but its init",
			inst->name);
		r = bv_hint(err, "lxc-start -n %s --vm --print-command", inst->name);
	}
	if (r == 0)
		r = m.engine->command_line(&m.run, ret, err);
	bv_strv_clear(&m.command);
	return r;
}
