/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/environ.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

#define HOOK_SHELL   "/bin/sh"
#define HOOK_SECTION "lxc"

/* One hook that runs. */
struct hook_process {
	pid_t pid;
	int pidfd;  /* -1 before Linux 5.3 */
	int output; /* read end of its stdout */
};

static void hook_process_clear(struct hook_process *p)
{
	close_fd(&p->pidfd);
	close_fd(&p->output);
}

/* ---- what a hook is told ---- */

static int add_variable(struct bv_strv *env, const char *name, const char *value)
{
	if (!value)
		return 0;
	autofree char *assignment = bv_asprintf("%s=%s", name, value);
	return assignment ? bv_env_put(env, assignment) : -ENOMEM;
}

static int add_variables(struct bv_strv *env, const struct bv_config *cfg, enum bv_hook kind,
			 const struct bv_hook_env *h)
{
	char pid[16], version[16];
	snprintf(pid, sizeof(pid), "%d", (int)h->pid);
	snprintf(version, sizeof(version), "%d", cfg->hook_version);
	const char *level = bv_log_level_name(cfg->log_level < 0 ? BV_LOG_ERROR : cfg->log_level);

	const struct {
		const char *name, *value;
	} variables[] = {
		{ "LXC_NAME", h->name },
		{ "LXC_CONFIG_FILE", h->config_file },
		{ "LXC_ROOTFS_PATH", h->rootfs_path },
		{ "LXC_ROOTFS_MOUNT", h->rootfs_mount },
		{ "LXC_CONSOLE", h->console_path },
		{ "LXC_CONSOLE_LOGPATH", h->console_log },
		{ "LXC_CGNS_AWARE", "1" },
		{ "LXC_LOG_LEVEL", level },
		{ "LXC_HOOK_VERSION", version },
		{ "LXC_HOOK_TYPE", cfg->hook_version >= 1 ? bv_hook_name(kind) : NULL },
		{ "LXC_HOOK_SECTION", cfg->hook_version >= 1 ? HOOK_SECTION : NULL },
		{ "LXC_TARGET", h->target },
		{ "LXC_SRC_NAME", h->source },
		{ "LXC_PID", h->pid > 0 ? pid : NULL },
	};
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(variables); i++)
		r = add_variable(env, variables[i].name, variables[i].value);
	return r;
}

/* LXC_* come last, so that no lxc.environment can change what a hook is told; PATH and HOME come first. */
static int build_environment(struct bv_strv *env, const struct bv_config *cfg, enum bv_hook kind,
			     const struct bv_hook_env *h)
{
	const char *path = getenv("PATH");
	int r = add_variable(env, "PATH", path && *path ? path : BV_PROCESS_PATH);
	if (r == 0)
		r = add_variable(env, "HOME", getenv("HOME"));
	if (r == 0)
		r = bv_env_put_all(env, &cfg->environment);
	if (r == 0)
		r = bv_env_put_all(env, &cfg->environment_hooks);
	if (r == 0 && cfg->hook_version >= 1 && h->extra_args)
		r = bv_env_put_all(env, h->extra_args);
	return r < 0 ? r : add_variables(env, cfg, kind, h);
}

static void add_quoted(struct bv_buf *b, const char *word)
{
	bv_buf_puts(b, " '");
	for (; *word; word++) {
		if (*word == '\'')
			bv_buf_puts(b, "'\\''");
		else
			bv_buf_putc(b, *word);
	}
	bv_buf_putc(b, '\'');
}

/* The words for sh -c; malloc'ed, NULL when out of memory. Version 1 gets no arguments. */
static char *build_command(const struct bv_config *cfg, enum bv_hook kind, const char *value,
			   const struct bv_hook_env *h)
{
	struct bv_buf b = { 0 };
	bv_buf_puts(&b, "exec ");
	bv_buf_puts(&b, value);
	if (cfg->hook_version == 0) {
		add_quoted(&b, h->name ? h->name : "");
		add_quoted(&b, HOOK_SECTION);
		add_quoted(&b, bv_hook_name(kind));
		for (size_t i = 0; h->extra_args && i < h->extra_args->n; i++)
			add_quoted(&b, h->extra_args->v[i]);
	}
	return bv_buf_take(&b);
}

/* ---- the process ---- */

static void __attribute__((noreturn)) run_child(const char *command, char **env, int input, int output)
{
	enum { CANNOT_EXECUTE = 126 };
	sigset_t none;
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setpgid(0, 0);
	/* A hook whose start was killed has nothing left to do, and would keep its cgroup in use. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);

	/* Both fds are above 2, or dup2 to itself would leave them close-on-exec. */
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	if (dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    bv_cloexec_from(STDERR_FILENO + 1) == 0)
		execve(HOOK_SHELL, argv, env);
	_exit(CANNOT_EXECUTE);
}

/* A pipe whose ends are not 0, 1 or 2, even if the caller had those closed. */
static int make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (fds[i] > STDERR_FILENO)
			continue;
		int high = fcntl(fds[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		int saved = errno;
		close(fds[i]);
		fds[i] = high;
		if (high < 0) {
			close_fd(&fds[1 - i]);
			return -saved;
		}
	}
	return 0;
}

/* Its stdin is at its end at once: a terminal would stop it, as it is in a process group of its own. */
static int spawn(struct hook_process *p, const char *command, char **env, struct bv_error *err)
{
	int fds[2], r;
	if ((r = make_pipe(fds)) < 0)
		return bv_fail(err, r, "cannot make a pipe for a hook: %s", strerror(-r));
	autoclose int input = fds[0], input_writer = fds[1];
	if ((r = make_pipe(fds)) < 0)
		return bv_fail(err, r, "cannot make a pipe for a hook: %s", strerror(-r));
	p->output = fds[0];
	autoclose int output = fds[1];
	close_fd(&input_writer);

	struct clone_args args = { .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
				   .pidfd = (uintptr_t)&p->pidfd,
				   .exit_signal = SIGCHLD };
	p->pid = bv_clone3(&args, sizeof(args));
	if (p->pid == -ENOSYS) {
		p->pid = fork();
		if (p->pid > 0)
			p->pidfd = bv_pidfd_open(p->pid, 0);
		else if (p->pid < 0)
			p->pid = -errno;
	}
	if (p->pid == 0)
		run_child(command, env, input, output);
	if (p->pid < 0)
		return bv_fail(err, p->pid, "cannot make a process for a hook: %s", strerror(-p->pid));
	return 0;
}

struct line {
	char text[1024];
	size_t len;
};

static void line_out(struct line *l, enum bv_hook kind)
{
	if (l->len > 0)
		bv_debug("hook", "%s: %.*s", bv_hook_name(kind), (int)l->len, l->text);
	l->len = 0;
}

/* A line that is longer than the buffer comes out in pieces. */
static void log_output(struct line *l, enum bv_hook kind, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] == '\n' || l->len == sizeof(l->text))
			line_out(l, kind);
		if (data[i] != '\n')
			l->text[l->len++] = data[i];
	}
}

/* Without a pidfd it is asked again and again. */
static bool has_ended(const struct hook_process *p, short pidfd_events)
{
	if (p->pidfd >= 0)
		return pidfd_events != 0;
	siginfo_t info = { .si_pid = 0 };
	return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == p->pid;
}

/*
 * Until the process has ended and nothing is left in the pipe. The pipe's end is not waited for: what the hook has
 * left running may hold it.
 */
static void relay_output(struct hook_process *p, enum bv_hook kind)
{
	enum {
		ASK_AGAIN_MS = 20,
		AFTER_THE_END_MAX = 64 * 1024, /* what a pipe holds: a daemon that goes on writing is not followed */
	};
	struct line line = { .len = 0 };
	size_t left = AFTER_THE_END_MAX;
	bool ended = false;
	for (;;) {
		struct pollfd fds[] = { { .fd = p->output, .events = POLLIN }, { .fd = p->pidfd, .events = POLLIN } };
		int n = poll(fds, ARRAY_SIZE(fds), ended ? 0 : p->pidfd < 0 ? ASK_AGAIN_MS : -1);
		if (n < 0 && errno != EINTR)
			break;
		if (n < 0)
			continue;
		if (!fds[0].revents) {
			if (ended)
				break;
			ended = has_ended(p, fds[1].revents);
			continue;
		}
		char data[4096];
		ssize_t got = read(p->output, data, sizeof(data));
		if (got <= 0)
			break;
		log_output(&line, kind, data, (size_t)got);
		if (ended && (left -= (size_t)got < left ? (size_t)got : left) == 0)
			break;
	}
	line_out(&line, kind);
}

static int wait_for(struct hook_process *p, enum bv_hook kind, const char *value, struct bv_error *err)
{
	int status;
	while (waitpid(p->pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for the %s hook \"%s\"", bv_hook_name(kind), value);
	if (WIFSIGNALED(status))
		return bv_fail(err, ECANCELED, "the %s hook \"%s\" was killed by signal %d", bv_hook_name(kind), value,
			       WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return bv_fail(err, ECANCELED, "the %s hook \"%s\" failed with exit status %d", bv_hook_name(kind),
			       value, WEXITSTATUS(status));
	return 0;
}

static int run_one(const struct bv_config *cfg, enum bv_hook kind, const char *value, const struct bv_hook_env *h,
		   struct bv_strv *env, struct bv_error *err)
{
	autofree char *command = build_command(cfg, kind, value, h);
	if (!command)
		return bv_fail(err, ENOMEM, "out of memory");
	bv_debug("hook", "%s: %s", bv_hook_name(kind), command);

	autoclean(hook_process_clear) struct hook_process p = { .pidfd = -1, .output = -1 };
	int r = spawn(&p, command, env->v, err);
	if (r < 0)
		return r;
	relay_output(&p, kind);
	return wait_for(&p, kind, value, err);
}

int bv_hooks_run(const struct bv_config *cfg, enum bv_hook kind, const struct bv_hook_env *env, struct bv_error *err)
{
	const struct bv_strv *hooks = &cfg->hooks[kind];
	if (hooks->n == 0)
		return 0;

	autoclean(bv_strv_clear) struct bv_strv variables = { 0 };
	int r = build_environment(&variables, cfg, kind, env);
	if (r < 0)
		return bv_fail(err, r, "out of memory");
	for (size_t i = 0; r == 0 && i < hooks->n; i++)
		r = run_one(cfg, kind, hooks->v[i], env, &variables, err);
	return r;
}
