/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/environ.h"
#include "engine/vm/client/control.h"
#include "engine/vm/client/streams.h"
#include "engine/vm/pty.h"
#include "sys/kernel.h"
#include "util/cleanup.h"

enum { KILLED_BY = 128 };

/* One attach. */
struct attach {
	const struct bv_run *run;
	const struct bv_engine_attach *how;
	int socket;
	struct bv_control_in in;
	int master, slave;      /* of the local pty, -1 */
	struct winsize size;    /* that the guest is told */
};

/* What the copying child tells its parent at the end. Smaller than PIPE_BUF: it is written at once or not at all. */
struct result {
	int status;
	struct bv_error err;
};

static void clear(struct attach *a)
{
	close_fd(&a->socket);
	close_fd(&a->master);
	close_fd(&a->slave);
	bv_control_in_clear(&a->in);
}

/* ---- what is asked for ---- */

static int check_options(const struct bv_engine_attach *how, struct bv_error *err)
{
	if (how->namespaces) {
		bv_fail(err, ENOTSUP, "--namespaces cannot be honoured: a VM has none of this host's to choose from");
		return bv_hint(err, "without it the command runs inside the VM");
	}
	if (how->remount_sys_proc) {
		bv_fail(err, ENOTSUP, "--remount-sys-proc cannot be honoured: a VM has its own /proc and /sys always");
		return bv_hint(err, "leave it out");
	}
	if (how->context) {
		bv_fail(err, ENOTSUP, "--context cannot be honoured: labels of this host mean nothing inside a VM");
		return bv_hint(err, "runcon(1) inside the VM, if its kernel has SELinux");
	}
	if (how->personality != ULONG_MAX) {
		bv_fail(err, ENOTSUP, "--arch cannot be honoured: a VM shows the architecture that it has");
		return bv_hint(err, "setarch(8) inside the VM");
	}
	return 0;
}

/*
 * As in a container, but for `container`, which is how programs find out that they are in one; who attaches may be in
 * one as well, and the command is not.
 */
static int make_environ(const struct attach *a, struct bv_strv *ret, struct bv_error *err)
{
	const struct bv_engine_attach *how = a->how;
	autoclean(bv_strv_clear) struct bv_strv all = { 0 };
	int r = bv_process_environ_attach(a->run->config, how->clear_env, how->keep_vars, how->set_vars, &all, err);
	bool keep = bv_process_env_get(how->set_vars, "container") != NULL;
	for (size_t i = 0; r == 0 && i < all.n; i++)
		if (keep || !bv_after(all.v[i], "container="))
			r = bv_strv_add(ret, all.v[i]) < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
	return r;
}

/* What the protocol has no room for. */
static int check_strings(const struct bv_strv *v, const char *what, struct bv_error *err)
{
	if (v->n > BV_EXEC_ARGS_MAX)
		return bv_fail(err, E2BIG, "%zu %s are more than the %d that can be passed to a VM", v->n, what,
			       BV_EXEC_ARGS_MAX);
	for (size_t i = 0; i < v->n; i++) {
		size_t len = strlen(v->v[i]);
		if (len > BV_EXEC_STRING_MAX)
			return bv_fail(err, E2BIG, "one of the %s (%.40s...) has %zu bytes, %d can be passed to a VM",
				       what, v->v[i], len, BV_EXEC_STRING_MAX);
	}
	return 0;
}

static int fill_exec(struct bv_exec *e, const struct attach *a, struct bv_error *err)
{
	static const uint32_t pty_bits[] = { BV_EXEC_PTY_STDIN, BV_EXEC_PTY_STDOUT, BV_EXEC_PTY_STDERR };
	const struct bv_engine_attach *how = a->how;
	char cwd[PATH_MAX];

	e->flags = (how->elevated & BV_ENTER_KEEP_CAPS ? BV_EXEC_KEEP_CAPS : 0U) | (how->pty_fds ? BV_EXEC_PTY : 0U);
	for (size_t i = 0; i < ARRAY_SIZE(pty_bits); i++)
		e->flags |= how->pty_fds & 1U << i ? pty_bits[i] : 0;
	e->uid = how->uid >= 0 ? (uint32_t)how->uid : 0;
	e->gid = how->gid >= 0 ? (uint32_t)how->gid : 0;
	e->rows = a->size.ws_row;
	e->columns = a->size.ws_col;

	/* The directory of the same name inside, else "/", as in a container. */
	e->cwd = strdup(getcwd(cwd, sizeof(cwd)) && cwd[0] == '/' ? cwd : "/");
	bool bad = !e->cwd;
	for (char *const *s = how->command; s && *s && !bad; s++)
		bad = bv_strv_add(&e->argv, *s) < 0;
	if (bad)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = make_environ(a, &e->env, err);
	if (r == 0)
		r = check_strings(&e->argv, "arguments", err);
	return r == 0 ? check_strings(&e->env, "environment variables", err) : r;
}

static int put_request(struct bv_buf *frame, const struct attach *a, struct bv_error *err)
{
	autoclean(bv_exec_clear) struct bv_exec e = { 0 };
	autoclean(bv_buf_clear) struct bv_buf payload = { 0 };
	int r = fill_exec(&e, a, err);
	if (r < 0)
		return r;
	bv_put_exec(&payload, &e);
	if (!payload.bad && payload.len > BV_FRAME_MAX) {
		bv_fail(err, E2BIG, "arguments and environment have %zu bytes together, %d can be passed to a VM",
			payload.len, BV_FRAME_MAX);
		return bv_hint(err, "--clear-env leaves the environment behind");
	}
	if (!payload.bad)
		bv_frame_put(frame, BV_FRAME_EXEC, 0, BV_STREAM_CHANNEL, payload.p, payload.len);
	return payload.bad || frame->bad ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

/* The agent's answer to EXEC. */
static int await_start(struct attach *a, int64_t deadline, int *exit_status, struct bv_error *err)
{
	struct bv_frame f;
	int r = bv_control_receive(a->socket, &a->in, &f, deadline);
	if (r == -ETIMEDOUT) {
		bv_fail(err, ETIMEDOUT, "the agent inside the VM did not answer within %d s",
			BV_CONTROL_TIMEOUT_MS / 1000);
		return bv_hint(err, "lxc-console -n %s -t 0 shows what the VM does", a->run->name);
	}
	if (r <= 0)
		return bv_control_explain(a->run, r, err);
	struct bv_cursor c = bv_cursor_of(&f);
	if (f.type == BV_FRAME_ERROR)
		return bv_control_error_of(&c, err);
	if (f.channel == BV_STREAM_CHANNEL && f.type == BV_FRAME_STARTED)
		return 0;
	if (f.channel != BV_STREAM_CHANNEL || f.type != BV_FRAME_REFUSED)
		return bv_control_explain(a->run, -EPROTO, err);

	r = bv_control_error_of(&c, err);
	uint32_t code = bv_get_u32(&c);
	*exit_status = code > 0 && code <= UINT8_MAX && !c.bad ? (int)code : 1;
	if (r == -EINPROGRESS)
		bv_hint(err, "wait until it does not: lxc-wait -n %s -s RUNNING", a->run->name);
	return r;
}

static int start_command(struct attach *a, int *exit_status, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf frame = { 0 };
	int r = put_request(&frame, a, err);
	if (r < 0)
		return r;
	a->socket = bv_control_connect(a->run, err);
	if (a->socket < 0)
		return a->socket;
	int64_t deadline = bv_now_ms() + BV_CONTROL_TIMEOUT_MS;
	r = bv_control_send(a->socket, &frame, deadline);
	/* Who hung up may have said why. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return bv_control_explain(a->run, r, err);
	return await_start(a, deadline, exit_status, err);
}

/* ---- the streams ---- */

static void fill_streams(struct bv_streams *s, struct attach *a)
{
	const struct bv_engine_attach *how = a->how;
	bv_streams_init(s);
	s->run = a->run;
	s->socket = a->socket;
	s->in = &a->in;
	s->pty = a->slave;
	s->rows = a->size.ws_row;
	s->columns = a->size.ws_col;
	s->source_is_pty = how->pty_fds & 1;
	s->source = s->source_is_pty ? a->slave : how->fds[0];

	/* stdout and stderr have a sink of their own, or that of the pty. */
	for (unsigned int i = BV_STREAM_OUT; i <= BV_STREAM_ERR; i++)
		if (!(how->pty_fds & 1U << i)) {
			bv_streams_sink(s, i - 1, how->fds[i]);
			s->sink_of[i] = &s->sinks[i - 1];
		}
	if (!how->pty_fds)
		return;
	bv_streams_sink(s, 2, a->slave);
	for (size_t i = BV_STREAM_OUT; i < BV_STREAMS; i++)
		if (!s->sink_of[i])
			s->sink_of[i] = &s->sinks[2];
}

/* ---- without a pty: here ---- */

/*
 * What is sent to us is meant for the command, unless the caller ignores it. SIGPIPE is blocked alone: a write says so.
 * A signalfd, or -1.
 */
static int catch_signals(sigset_t *old)
{
	static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	sigset_t blocked;
	sigemptyset(&blocked);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++) {
		struct sigaction action;
		if (sigaction(passed[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&blocked, passed[i]);
	}
	int fd = signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_BLOCK, &blocked, old);
	return fd;
}

static void leave_signals(const sigset_t *old)
{
	sigset_t pipe;
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	if (!sigismember(old, SIGPIPE))
		while (sigtimedwait(&pipe, NULL, &(struct timespec){ 0 }) < 0 && errno == EINTR)
			;
	sigprocmask(SIG_SETMASK, old, NULL);
}

static int copy_here(struct attach *a, int *exit_status, struct bv_error *err)
{
	sigset_t old;
	struct bv_streams s;
	fill_streams(&s, a);
	autoclose int signals = s.signals = catch_signals(&old);
	int r = signals < 0 ? bv_fail_errno(err, "cannot make a signalfd") : bv_streams_copy(&s, exit_status, err);
	bv_streams_clear(&s);
	leave_signals(&old);
	return r;
}

/* ---- with one: a child holds the local pty's slave ---- */

/* The pty has the size of the terminal whose place it takes; the guest's own does what a terminal does with lines. */
static int open_pty(struct attach *a, struct bv_error *err)
{
	for (int i = 0; i < 3; i++)
		if ((a->how->pty_fds & 1U << i) && ioctl(a->how->fds[i], TIOCGWINSZ, &a->size) == 0)
			break;
	int r = bv_vm_pty_open(&a->master, &a->slave, err);
	if (r < 0)
		return r;
	/* Nobody but the copying child has this open file. */
	if (fcntl(a->slave, F_SETFL, O_RDWR | O_NONBLOCK) < 0 || ioctl(a->slave, TIOCSWINSZ, &a->size) < 0)
		return bv_fail_errno(err, "cannot set up the pty");
	return 0;
}

/* A signalfd for SIGWINCH; SIGHUP, the end of the caller's terminal, ends us. -1 with errno. */
static int child_signals(void)
{
	sigset_t set;
	signal(SIGHUP, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigprocmask(SIG_SETMASK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void __attribute__((noreturn)) child(struct attach *a, int report)
{
	struct result result = { .status = 1 };
	struct bv_streams s;
	/* With our copy of the master the pty would outlive the caller. */
	close_fd(&a->master);
	fill_streams(&s, a);
	s.signals = child_signals();
	if (s.signals < 0 || setsid() < 0 || ioctl(a->slave, TIOCSCTTY, 0) < 0)
		bv_fail_errno(&result.err, "cannot take the pty as the terminal");
	else
		bv_streams_copy(&s, &result.status, &result.err);
	_exit(write(report, &result, sizeof(result)) == (ssize_t)sizeof(result) ? result.status : 1);
}

/* The child has ended, or will: the last it said. */
static int reap(pid_t pid, int report, int *exit_status, struct bv_error *err)
{
	int status;
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for the process that copies the streams");
	struct result result;
	if (read(report, &result, sizeof(result)) == (ssize_t)sizeof(result)) {
		*exit_status = result.status;
		if (result.err.code && err && !err->code)
			*err = result.err;
		return result.err.code ? -result.err.code : 0;
	}
	*exit_status = WIFSIGNALED(status) ? KILLED_BY + WTERMSIG(status) : 1;
	return 0;
}

static int copy_in_child(struct attach *a, int *exit_status, struct bv_error *err)
{
	int pipes[2];
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	autoclose int report = pipes[0], write_end = pipes[1];
	pid_t pid = fork();
	if (pid < 0)
		return bv_fail_errno(err, "cannot fork");
	if (pid == 0)
		child(a, write_end);
	close_fd(&write_end);
	close_fd(&a->slave);
	close_fd(&a->socket);

	autoclose int pidfd = bv_pidfd_open(pid, 0);
	int r = pidfd < 0 ? bv_fail(err, pidfd, "cannot open the process that copies the streams: %s",
				    strerror(-pidfd)) :
	        a->how->relay ? a->how->relay(a->how->relay_data, a->master, pidfd) : 0;
	/* Closed, it hangs up on the child, should it still run. */
	close_fd(&a->master);
	int end = reap(pid, report, exit_status, err);
	return r < 0 ? r : end;
}

int bv_vm_attach(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status, struct bv_error *err)
{
	struct bv_error own = { 0 };
	err = err ? err : &own;
	*exit_status = 1;

	autoclean(clear) struct attach a = { .run = run, .how = how, .socket = -1, .master = -1, .slave = -1 };
	int r = check_options(how, err);
	if (r == 0 && how->pty_fds)
		r = open_pty(&a, err);
	if (r == 0)
		r = start_command(&a, exit_status, err);
	if (r < 0)
		return r;
	return how->pty_fds ? copy_in_child(&a, exit_status, err) : copy_here(&a, exit_status, err);
}
