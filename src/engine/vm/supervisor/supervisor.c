/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/supervisor/supervisor.h"

#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/process.h"
#include "engine/vm/jail/jail.h"
#include "engine/vm/supervisor/internal.h"
#include "security/security.h"
#include "sys/fdpass.h"
#include "sys/kernel.h"
#include "sys/title.h"
#include "util/cleanup.h"
#include "util/log.h"

enum {
	LOG_LINES_MAX = 500,     /* of one program that are logged: a guest may make its QEMU complain for ever */
	SERVER_GRACE_MS = 1000,  /* a file server that has ended: so may QEMU, and was the cause */
};

void sv_init(struct supervisor *s)
{
	memset(s, 0, sizeof(*s));
	s->run_dir = s->guest_dir = s->sync = s->signals = s->listener = s->high_watch = s->high = s->agent.fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(s->terminals); i++)
		s->terminals[i].fd = -1;
	for (size_t i = 0; i < BV_SV_CLIENTS; i++)
		s->clients[i].stream.fd = -1;
	for (size_t i = 0; i < BV_SV_LOGS; i++)
		s->logs[i].fd = -1;
	s->agent_open = true;
	s->hurry = 1;
	s->exit_code = -1;
}

void sv_clear(struct supervisor *s)
{
	bv_qmp_free(s->qmp);
	s->qmp = NULL;
	sv_stream_close(&s->agent);
	for (size_t i = 0; i < BV_SV_CLIENTS; i++)
		sv_stream_close(&s->clients[i].stream);
	for (size_t i = 0; i < BV_SV_LOGS; i++)
		close_fd(&s->logs[i].fd);
	for (size_t i = 0; i < ARRAY_SIZE(s->terminals); i++)
		close_fd(&s->terminals[i].fd);
	int *fds[] = { &s->guest_dir, &s->sync, &s->signals, &s->listener, &s->high_watch, &s->high };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	free(s->addresses);
	s->addresses = NULL;
}

/* ---- the end ---- */

void sv_report(struct supervisor *s, const struct bv_error *err)
{
	struct bv_supervisor_report report = { .err = *err };
	autoclose int qemu = err->code == 0 && s->qemu > 0 ? bv_pidfd_open(s->qemu, 0) : -1;
	if (s->sync >= 0 && bv_fds_send(s->sync, &report, sizeof(report), &qemu, qemu >= 0, 0) < 0)
		bv_warn("vm", "the monitor does not hear that the guest %s", err->code ? "failed" : "runs");
	close_fd(&s->sync);
}

void sv_kill_qemu(struct supervisor *s)
{
	if (s->qemu > 0)
		kill(s->qemu, SIGKILL);
}

void sv_fail(struct supervisor *s, const struct bv_error *err)
{
	if (s->over)
		return;
	if (s->sync >= 0)
		sv_report(s, err);
	else
		bv_log(BV_LOG_ERROR, "vm", "%s", err->what);
	sv_kill_qemu(s);
	s->over = true;
	s->result = BV_SUPERVISOR_FAILED;
}

/* How QEMU ended, in words, with the last that it said. */
static void explain_status(const struct supervisor *s, int status, const char *when, struct bv_error *err)
{
	const char *last = s->logs[0].last;
	const char *colon = *last ? ": " : "";
	/* Of a machine that it does not know QEMU says no name. */
	const char *machine = s->config->vm_machine;
	bool names_it = !s->ready && machine && !bv_streq(machine, "auto");
	if (!WIFSIGNALED(status)) {
		bv_fail(err, ECHILD, "QEMU%s%s ended %s%s%s", names_it ? " for vm.machine = " : "",
			names_it ? machine : "", when, colon, last);
		return;
	}
	bv_fail(err, ECHILD, "QEMU was killed by signal %d %s%s%s", WTERMSIG(status), when, colon, last);
	if (WTERMSIG(status) == SIGKILL)
		bv_hint(err, "the kernel may have killed it for want of memory (dmesg tells): raise "
			     "lxc.cgroup2.memory.max or lower vm.memory");
}

/*
 * Of QEMU and a file server each ends when the other does, and either may be seen to end first. Who was killed is the
 * cause, and of two that only ended the one that had something to say.
 */
static bool blames_server(const struct supervisor *s, int status)
{
	return s->broken.code && (s->server_killed || (!WIFSIGNALED(status) && !s->logs[0].last[0]));
}

static void fail_boot(struct supervisor *s, int status)
{
	struct bv_error err = { 0 };
	if (s->shutdown == SV_RUNS && blames_server(s, status))
		err = s->broken;
	else if (s->shutdown == SV_PANIC || s->shutdown == SV_RESET)
		/* ESHUTDOWN: the monitor adds the last line of the console, which knows why. */
		bv_fail(&err, ESHUTDOWN, "the guest's kernel stopped before the instance's init ran");
	else if (bv_streq(s->shutdown_reason, "guest-shutdown"))
		bv_fail(&err, ESHUTDOWN, "the guest powered off before the instance's init ran");
	else if (s->shutdown != SV_RUNS)
		bv_fail(&err, ECANCELED, "QEMU was told to end before the instance's init ran (%s)",
			s->shutdown_reason);
	else
		explain_status(s, status, "before the instance's init ran", &err);
	sv_fail(s, &err);
}

/* The guest was up, and QEMU has ended. */
static void conclude(struct supervisor *s, int status)
{
	struct bv_error err = { 0 };
	s->over = true;
	s->result = BV_SUPERVISOR_FAILED;
	if (s->guest_failure.code)
		err = s->guest_failure;
	else if (s->shutdown == SV_PANIC)
		bv_fail(&err, EIO, "the guest's kernel panicked");
	else if (s->exit_code >= 0)
		s->result = s->exit_code;
	else if (s->shutdown == SV_RESET)
		s->result = SV_REBOOT;
	else if (s->shutdown == SV_POWER_OFF)
		s->result = 0;
	else if (s->shutdown == SV_HOST_ERROR)
		bv_fail(&err, ECHILD, "QEMU stopped the guest (%s): %s", s->shutdown_reason, s->logs[0].last);
	else if (blames_server(s, status))
		err = s->broken;
	else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		s->result = 0;
	else
		explain_status(s, status, "while the guest ran", &err);
	if (err.code)
		bv_log(BV_LOG_ERROR, "vm", "%s", err.what);
}

/* ---- what QEMU and the file servers write to stderr ---- */

/* What QEMU says behind "qemu-system-x86_64: ", unless it is no more than a warning; NULL: the line is no error. */
static const char *qemu_error(const char *line)
{
	const char *colon = bv_after(line, "qemu-system-") ? strstr(line, ": ") : NULL;
	const char *text = colon ? colon + 2 : NULL;
	return text && !bv_after(text, "warning: ") && !bv_after(text, "info: ") ? text : NULL;
}

/*
 * The last line is the reason of an end; but of a QEMU that refuses to start it is the first error, what follows is
 * advice ("Use -machine help to list supported machines").
 */
static void remember_line(const struct supervisor *s, struct sv_log *l)
{
	if (l->is_reason && !s->ready)
		return;
	const char *error = qemu_error(l->line);
	l->is_reason = error != NULL;
	snprintf(l->last, sizeof(l->last), "%s", error ? error : l->line);
}

static void take_log_line(const struct supervisor *s, struct sv_log *l)
{
	l->line[l->len] = '\0';
	for (char *p = l->line; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (l->len > 0) {
		remember_line(s, l);
		/* That the others are gone is nothing to be warned of when the guest has ended. */
		if (l->lines++ < LOG_LINES_MAX)
			bv_log(s->shutdown == SV_RUNS ? BV_LOG_WARN : BV_LOG_DEBUG, "vm", "%s: %s", l->name, l->line);
	}
	l->len = 0;
}

/* 1 when something was read. */
static int read_log(const struct supervisor *s, struct sv_log *l)
{
	char chunk[1024];
	ssize_t n = l->fd >= 0 ? read(l->fd, chunk, sizeof(chunk)) : -1;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_fd(&l->fd);
	for (ssize_t i = 0; i < n; i++) {
		if (chunk[i] == '\n')
			take_log_line(s, l);
		else if (l->len < sizeof(l->line) - 1 && chunk[i] != '\r')
			l->line[l->len++] = chunk[i] ? chunk[i] : '?';
	}
	if (l->fd < 0 && l->len > 0)
		take_log_line(s, l);
	return n > 0;
}

/* All that its writer has left, which has ended; a child of it may hold on to the pipe, and so may go on. */
static void drain_log(const struct supervisor *s, struct sv_log *l)
{
	for (int i = 0; i < 64 && read_log(s, l); i++)
		;
	if (l->len > 0)
		take_log_line(s, l);
}

/* ---- children ---- */

static void qemu_ended(struct supervisor *s, int status)
{
	s->qemu = 0;
	/* What it said before it ended, QMP's SHUTDOWN above all, may still be unread. */
	for (int i = 0; i < 64 && bv_qmp_fd(s->qmp) >= 0 && !s->over; i++)
		sv_machine_serve(s, true, false);
	drain_log(s, &s->logs[0]);
	sv_agent_drain(s);
	if (s->over)
		return;
	if (s->ready)
		conclude(s, status);
	else
		fail_boot(s, status);
}

static void server_ended(struct supervisor *s, size_t i, int status)
{
	struct sv_log *l = &s->logs[1 + i];
	s->servers[i] = 0;
	drain_log(s, l);
	/* It ends when QEMU does; with a failure it has a reason of its own. */
	if (s->qemu == 0 || s->shutdown != SV_RUNS)
		return;
	s->server_killed |= WIFSIGNALED(status);
	if (!s->broken.code)
		bv_fail(&s->broken, ECHILD, "the file server %s%s%s",
			WIFSIGNALED(status) ? "was killed" : "ended", *l->last ? ": " : "", l->last);
	sv_set_timer(s, SV_TIMER_BROKEN, SERVER_GRACE_MS);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;
	/* Also of what others left behind: this is process 1 of its namespace. */
	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == s->qemu)
			qemu_ended(s, status);
		for (size_t i = 0; i < ARRAY_SIZE(s->servers); i++)
			if (pid == s->servers[i])
				server_ended(s, i, status);
	}
}

/* ---- signals ---- */

static void end_boot(struct supervisor *s, int sig)
{
	struct bv_error err = { 0 };
	bv_fail(&err, ECANCELED, "the start was ended by signal %d before the instance's init ran", sig);
	sv_fail(s, &err);
}

static void pass_signal(struct supervisor *s, const struct signalfd_siginfo *info)
{
	int sig = (int)info->ssi_signo;
	if (sig == SIGCHLD) {
		reap(s);
	} else if (sig == SIGWINCH) {
		sv_agent_sizes(s);
	} else if (sig == SIGPIPE || info->ssi_code == SI_KERNEL) {
		/* The console's pty, whose session this is, has hung up: the monitor is gone, and we may outlive it. */
		bv_debug("vm", "signal %d of the console is of no consequence", sig);
	} else if (sig == SIGPWR) {
		sv_agent_init(s, BV_INIT_HALT, s->config->signal_halt);
	} else if (sig == SIGINT) {
		sv_agent_init(s, BV_INIT_REBOOT, s->config->signal_reboot);
	} else if (s->ready) {
		sv_agent_init(s, BV_INIT_SIGNAL, sig);
	} else if (sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT) {
		end_boot(s, sig);
	}
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;
	while (!s->over && read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		pass_signal(s, &info);
}

/* ---- timers ---- */

void sv_set_timer(struct supervisor *s, enum sv_timer t, int ms)
{
	int64_t due = bv_now_ms() + ms / s->hurry;
	if (s->due[t] == 0 || due < s->due[t])
		s->due[t] = due;
}

static void fire(struct supervisor *s, enum sv_timer t)
{
	struct bv_error err = { 0 };
	switch (t) {
	case SV_TIMER_LINGER:
		bv_info("vm", "QEMU does not end: it is killed");
		sv_kill_qemu(s);
		break;
	case SV_TIMER_BROKEN:
		if (s->broken.code)
			err = s->broken;
		else
			bv_fail(&err, EPIPE, "QEMU closed its connections and did not end");
		sv_fail(s, &err);
		break;
	case SV_TIMER_HALTED:
		sv_machine_look(s);
		break;
	case SV_TIMERS:
		break;
	}
}

static void fire_timers(struct supervisor *s)
{
	for (int t = 0; t < SV_TIMERS && !s->over; t++)
		if (s->due[t] && s->due[t] <= bv_now_ms()) {
			s->due[t] = 0;
			fire(s, (enum sv_timer)t);
		}
}

static int poll_timeout(const struct supervisor *s)
{
	int64_t now = bv_now_ms(), left = bv_qmp_timeout(s->qmp);
	for (size_t t = 0; t < SV_TIMERS; t++) {
		int64_t more = s->due[t] > now ? s->due[t] - now : 0;
		if (s->due[t] && (left < 0 || more < left))
			left = more;
	}
	return (int)left;
}

/* ---- the loop ---- */

enum { AT_SIGNALS, AT_LISTENER, AT_QMP, AT_AGENT, AT_HIGH, AT_LOGS, AT_CLIENTS = AT_LOGS + BV_SV_LOGS };

static void fill(const struct supervisor *s, struct pollfd *p)
{
	p[AT_SIGNALS] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
	p[AT_LISTENER] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
	p[AT_QMP] = (struct pollfd){ .fd = bv_qmp_fd(s->qmp), .events = POLLIN };
	p[AT_AGENT] = (struct pollfd){ .fd = s->agent.fd, .events = POLLIN };
	p[AT_HIGH] = (struct pollfd){ .fd = s->high_watch, .events = POLLIN };
	if (bv_qmp_wants_write(s->qmp))
		p[AT_QMP].events |= POLLOUT;
	if (sv_stream_unsent(&s->agent) > 0)
		p[AT_AGENT].events |= POLLOUT;
	for (size_t i = 0; i < BV_SV_LOGS; i++)
		p[AT_LOGS + i] = (struct pollfd){ .fd = s->logs[i].fd, .events = POLLIN };
	for (size_t i = 0; i < BV_SV_CLIENTS; i++) {
		const struct sv_client *c = &s->clients[i];
		p[AT_CLIENTS + i] = (struct pollfd){ .fd = c->stream.fd, .events = sv_client_events(s, c) };
	}
}

/*
 * QMP before what a file server makes of QEMU's end, and so whether poll saw it or not: SHUTDOWN was sent before that.
 * QEMU before its end (signals), what it said before what commands want, and those that are here before new ones.
 */
static void handle(struct supervisor *s, const struct pollfd *p)
{
	enum { READABLE = POLLIN | POLLHUP | POLLERR };
	if (p[AT_AGENT].revents)
		sv_agent_serve(s, p[AT_AGENT].revents & READABLE, p[AT_AGENT].revents & POLLOUT);
	if (!s->over)
		sv_machine_serve(s, true, p[AT_QMP].revents & POLLOUT);
	for (size_t i = 0; i < BV_SV_LOGS; i++)
		if (p[AT_LOGS + i].revents)
			read_log(s, &s->logs[i]);
	if (p[AT_HIGH].revents && !s->over)
		sv_machine_high_changed(s);
	for (size_t i = 0; i < BV_SV_CLIENTS && !s->over; i++)
		if (p[AT_CLIENTS + i].revents && s->clients[i].stream.fd == p[AT_CLIENTS + i].fd)
			sv_client_serve(s, &s->clients[i], p[AT_CLIENTS + i].revents);
	if (p[AT_LISTENER].revents && !s->over)
		sv_control_accept(s);
	if (p[AT_SIGNALS].revents && !s->over)
		take_signals(s);
}

/* What those above queued goes out at once: the next poll is for what then is left. */
static void flush(struct supervisor *s)
{
	if (!s->over)
		sv_agent_serve(s, false, sv_stream_unsent(&s->agent) > 0);
	if (!s->over && bv_qmp_wants_write(s->qmp))
		sv_machine_serve(s, false, true);
}

int sv_run(struct supervisor *s)
{
	struct pollfd p[AT_CLIENTS + BV_SV_CLIENTS];
	/* Before the signals could be waited for somebody may have ended. */
	reap(s);
	while (!s->over) {
		flush(s);
		fill(s, p);
		int n = s->over ? 0 : poll(p, ARRAY_SIZE(p), poll_timeout(s));
		if (n < 0 && errno != EINTR && errno != EAGAIN) {
			struct bv_error err = { 0 };
			bv_fail_errno(&err, "the VM's supervisor cannot wait");
			sv_fail(s, &err);
		}
		if (n < 0)
			continue;
		handle(s, p);
		fire_timers(s);
	}
	return s->result;
}

/* ---- its life ---- */

/* All but those that a fault of our own raises; a signal that is blocked is kept even for process 1 of a namespace. */
static int open_signals(struct supervisor *s, struct bv_error *err)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
	sigset_t set;
	sigfillset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&set, faults[i]);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return bv_fail_errno(err, "cannot block the signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? bv_fail_errno(err, "cannot make a signalfd") : 0;
}

/* Who and where this process is. */
static int settle(struct supervisor *s, struct bv_run *run, struct bv_vm *vm, bool born_inside, struct bv_error *err)
{
	int sig = run->config->monitor_signal_pdeath;
	close_fd(&run->lock);
	if (prctl(PR_SET_PDEATHSIG, sig < 0 ? SIGKILL : sig, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot tie the supervisor's life to the monitor's");
	/* Killed before that it is not told of: its end of the pair is closed. */
	struct pollfd monitor = { .fd = s->sync };
	if (poll(&monitor, 1, 0) > 0)
		return bv_fail(err, ECANCELED, "the monitor has ended");
	int r = bv_process_reset_signals(err);
	if (r == 0)
		r = open_signals(s, err);
	if (r < 0)
		return r;
	umask(077);
	r = bv_cgroup_enter_self(run->cgroup, born_inside);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot enter the VM's cgroups");
	}
	autofree char *title = bv_asprintf("[lxc vm] %s %s", run->lxcpath, run->name);
	if (title)
		bv_set_process_title(title, "BIVALVE_");
	/* The console's pty tells its size to the session whose terminal it is. */
	setsid();
	if (vm->files.console >= 0 && ioctl(vm->files.console, TIOCSCTTY, 0) < 0)
		bv_debug("vm", "the console is nobody's terminal: the guest will not know its size");
	return 0;
}

/* What it needs no longer, for it listens to a guest; root's files are its own without any capability. */
static int retire(struct supervisor *s, struct bv_run *run, struct bv_error *err)
{
	bv_cgroup_seal(run->cgroup);
	if (unshare(CLONE_NEWNET) < 0)
		return bv_fail_errno(err, "cannot leave the host's network");
	int r = bv_jail_leave_host(&s->guest_dir, err);
	close_fd(&run->run_dir);
	s->run_dir = -1;
	const uint64_t keep = UINT64_C(1) << CAP_SYS_BOOT | UINT64_C(1) << CAP_KILL;
	if (r == 0)
		r = bv_caps_apply(keep, err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = bv_fail_errno(err, "cannot set no_new_privs for the supervisor");
	malloc_trim(0);
	return r;
}

/* reboot(2) of a pid namespace's first process ends it by SIGHUP. Of any other it would be the host's: never that. */
static void end_for_reboot(void)
{
	if (getpid() == 1 && getppid() == 0)
		reboot(RB_AUTOBOOT);
	sigset_t none;
	sigemptyset(&none);
	signal(SIGHUP, SIG_DFL);
	kill(getpid(), SIGHUP);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void bv_supervisor(struct bv_run *run, struct bv_vm *vm, int sync, bool born_inside)
{
	static struct supervisor s;
	struct bv_error err = { 0 };
	sv_init(&s);
	s.sync = sync;
	s.config = run->config;
	s.run_dir = run->run_dir;
	int r = settle(&s, run, vm, born_inside, &err);
	if (r == 0)
		r = sv_set_up(&s, run, vm, &err);
	if (r == 0)
		r = retire(&s, run, &err);
	if (r < 0) {
		sv_report(&s, &err);
		_exit(BV_SUPERVISOR_FAILED);
	}
	r = sv_run(&s);
	if (r == SV_REBOOT)
		end_for_reboot();
	_exit(r == SV_REBOOT ? BV_SUPERVISOR_FAILED : r);
}
