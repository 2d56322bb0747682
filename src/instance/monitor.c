/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "instance/command.h"
#include "instance/finish.h"
#include "instance/terminal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* What an epoll event is about; clients are TAG_CLIENT + their place. */
enum { TAG_INIT, TAG_VITAL, TAG_AWAITED, TAG_SIGNALS, TAG_LISTENER, TAG_CONSOLE, TAG_TERMINAL, TAG_OUT, TAG_CLIENT };

static int watch(struct bv_monitor *m, int fd, uint32_t tag)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = tag };
	/* A regular file or /dev/null as the terminal cannot be polled, and has nothing to say. */
	return epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &e) < 0 && errno != EPERM ? -errno : 0;
}

static void change_watch(struct bv_monitor *m, int fd, uint32_t tag, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u32 = tag };
	epoll_ctl(m->epoll, EPOLL_CTL_MOD, fd, &e);
}

static void unwatch(struct bv_monitor *m, int fd)
{
	epoll_ctl(m->epoll, EPOLL_CTL_DEL, fd, NULL);
}

/* ---- clients of the command socket ---- */

static void drop_client(struct bv_monitor *m, size_t i)
{
	if (m->console.client == m->clients[i].fd)
		m->console.client = -1;
	close_fd(&m->clients[i].fd);
	m->clients[i].tty = -1;
}

/* A free place; else that of somebody who has asked for nothing yet: such can only be more than the spare ones. */
static size_t find_place(struct bv_monitor *m)
{
	size_t idle = BV_MONITOR_CLIENTS;
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++) {
		if (m->clients[i].fd < 0)
			return i;
		if (m->clients[i].tty < 0)
			idle = i;
	}
	if (idle < BV_MONITOR_CLIENTS)
		drop_client(m, idle);
	return idle;
}

static void accept_client(struct bv_monitor *m)
{
	autoclose int fd = bv_command_accept(m->listener);
	if (fd < 0)
		return;
	size_t i = find_place(m);
	if (i < BV_MONITOR_CLIENTS && watch(m, fd, (uint32_t)(TAG_CLIENT + i)) == 0) {
		m->clients[i].tty = -1;
		m->clients[i].fd = take_fd(&fd);
	}
}

/* With the run its ttys end, and so must who is connected to them; the console goes on over a reboot. */
static void drop_tty_clients(struct bv_monitor *m)
{
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++)
		if (m->clients[i].fd >= 0 && m->clients[i].tty > 0)
			drop_client(m, i);
}

static bool tty_is_taken(const struct bv_monitor *m, int tty)
{
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++)
		if (m->clients[i].fd >= 0 && m->clients[i].tty == tty)
			return true;
	return tty == 0 && m->console.out >= 0 && m->console.mirror < 0;
}

static int pick_tty(const struct bv_monitor *m, int wanted)
{
	if (wanted < 0) {
		for (int tty = 1; tty <= (int)m->run.n_ttys; tty++)
			if (!tty_is_taken(m, tty))
				return tty;
		return m->run.n_ttys ? -EBUSY : -ENODEV;
	}
	if (wanted == 0 && m->console.master < 0)
		return -ENODEV;
	if (wanted > (int)m->run.n_ttys)
		return -ERANGE;
	return tty_is_taken(m, wanted) ? -EBUSY : wanted;
}

static void serve_console_client(struct bv_monitor *m, size_t i, uint32_t events)
{
	if (m->console.typed_len == 0 ? bv_console_client_input(&m->console) < 0 : events & (EPOLLHUP | EPOLLERR))
		drop_client(m, i);
}

static void serve_client(struct bv_monitor *m, size_t i, uint32_t events)
{
	int fd = m->clients[i].fd;
	if (m->clients[i].tty == 0) {
		serve_console_client(m, i, events);
		return;
	}
	struct bv_command command;
	int r = bv_command_receive(fd, &command);
	/* The event was for somebody who had this place before. */
	if (r == -EAGAIN || r == -EINTR)
		return;
	if (m->clients[i].tty > 0 || r < 0 || command.op != BV_COMMAND_CONSOLE) {
		/* A tty's client holds the master itself: here it can only hang up. */
		drop_client(m, i);
		return;
	}
	int tty = pick_tty(m, command.arg);
	if (bv_command_reply(fd, tty < 0 ? tty : 0, tty, tty > 0 ? m->run.ttys[tty - 1] : -1) < 0 || tty < 0) {
		drop_client(m, i);
		return;
	}
	m->clients[i].tty = tty;
	if (tty == 0)
		m->console.client = fd;
}

/* ---- signals ---- */

static int open_signals(struct bv_monitor *m, sigset_t *old, struct bv_error *err)
{
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP,   SIGQUIT, SIGUSR1,
				    SIGUSR2, SIGPWR, SIGWINCH, SIGCONT, SIGPIPE };
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		sigaddset(&set, ours[i]);
	sigprocmask(SIG_BLOCK, &set, old);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return m->signals < 0 ? bv_fail_errno(err, "cannot make a signalfd") : 0;
}

static void copy_size(const struct bv_monitor *m)
{
	int from = m->console.in >= 0 && isatty(m->console.in) ? m->console.in : m->console.out;
	if (from >= 0 && m->console.master >= 0)
		bv_terminal_copy_size(from, m->console.master);
}

static void pass_signal(struct bv_monitor *m)
{
	struct signalfd_siginfo info;
	if (read(m->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGPIPE: /* blocked, it is the EPIPE of a write */
		break;
	case SIGCONT: /* whoever stopped us has set the terminal as it likes */
		if (m->raw)
			bv_terminal_raw(m->console.in, NULL);
		__attribute__((fallthrough));
	case SIGWINCH:
		copy_size(m);
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		if (m->awaited >= 0) {
			m->given_up = true;
			break;
		}
		bv_pidfd_send_signal(m->run.pidfd, (int)info.ssi_signo);
		break;
	case SIGHUP:
		if (m->awaited >= 0) {
			m->given_up = true;
			break;
		}
		/* The terminal of a foreground start went away: that is no wish for a reboot, which SIGHUP would be. */
		bv_pidfd_send_signal(m->run.pidfd, SIGTERM);
		break;
	default:
		bv_pidfd_send_signal(m->run.pidfd, (int)info.ssi_signo);
	}
}

/* ---- the loop ---- */

static void handle(struct bv_monitor *m, uint32_t tag, uint32_t events)
{
	switch (tag) {
	case TAG_VITAL:
		m->lost = true;
		unwatch(m, m->run.vital);
		break;
	case TAG_SIGNALS:
		pass_signal(m);
		break;
	case TAG_LISTENER:
		accept_client(m);
		break;
	case TAG_CONSOLE:
		if (events & EPOLLOUT)
			bv_console_type(&m->console);
		if ((events & ~(uint32_t)EPOLLOUT) && bv_console_output(&m->console) < 0)
			unwatch(m, m->console.master);
		break;
	case TAG_TERMINAL:
		if (m->console.typed_len == 0 ? bv_console_terminal_input(&m->console) == 0
					      : events & (EPOLLHUP | EPOLLERR))
			unwatch(m, m->console.in);
		break;
	case TAG_OUT:
		bv_console_show(&m->console);
		break;
	default:
		if (tag - TAG_CLIENT < BV_MONITOR_CLIENTS && m->clients[tag - TAG_CLIENT].fd >= 0)
			serve_client(m, tag - TAG_CLIENT, events);
	}
}

/* Neither side of the console is read from while the other one has to catch up; a hang-up is told all the same. */
static void follow_flow(struct bv_monitor *m)
{
	const struct bv_console *c = &m->console;
	bool unseen = c->unseen.len > 0, typing = c->typed_len > 0;

	if (unseen != (m->watched_out >= 0)) {
		struct epoll_event e = { .events = EPOLLOUT, .data.u32 = TAG_OUT };
		if (unseen && epoll_ctl(m->epoll, EPOLL_CTL_ADD, c->out, &e) == 0) {
			m->watched_out = c->out;
		} else if (!unseen) {
			unwatch(m, m->watched_out);
			m->watched_out = -1;
		}
	}
	uint32_t events = (unseen ? 0 : (uint32_t)EPOLLIN) | (typing ? (uint32_t)EPOLLOUT : 0);
	if (events != m->console_events)
		change_watch(m, c->master, TAG_CONSOLE, events);
	m->console_events = events;
	if (typing == m->typing)
		return;
	m->typing = typing;
	events = typing ? 0 : (uint32_t)EPOLLIN;
	change_watch(m, c->in, TAG_TERMINAL, events);
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++)
		if (m->clients[i].fd >= 0 && m->clients[i].fd == c->client)
			change_watch(m, c->client, (uint32_t)(TAG_CLIENT + i), events);
}

/* Serve whatever comes within `timeout_ms`; true as soon as what has the tag `until` is there. */
static bool serve_once(struct bv_monitor *m, uint32_t until, int timeout_ms)
{
	struct epoll_event events[8];
	bool there = false;
	follow_flow(m);
	int n = epoll_wait(m->epoll, events, ARRAY_SIZE(events), timeout_ms);
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == until)
			there = true;
		else
			handle(m, events[i].data.u32, events[i].events);
	}
	return there;
}

/* What shrink() let go comes back from the run directory. */
static int remember(struct bv_monitor *m, struct bv_error *err)
{
	if (m->cgroup)
		return 0;
	int r = bv_run_state_read(&m->rd, &m->state);
	if (r == 0 && m->state.cgroup)
		r = bv_cgroup_open(&m->cgroup, m->state.cgroup, err);
	return r < 0 ? bv_fail(err, -r, "cannot read %s/state", m->rd.path) : 0;
}

/* Init cannot see that what it needs has ended while it is frozen, as SIGKILL does to what cgroup v2 has frozen. */
static void thaw(struct bv_monitor *m)
{
	if (remember(m, NULL) == 0 && m->cgroup)
		bv_cgroup_freeze(m->cgroup, false, 0, NULL);
}

/* Until init has ended; its wait status. */
static int loop(struct bv_monitor *m)
{
	/* A command that had begun to freeze may go on after the thaw. */
	enum { THAW_AGAIN_MS = 100 };
	while (!serve_once(m, TAG_INIT, m->lost ? THAW_AGAIN_MS : -1))
		if (m->lost)
			thaw(m);
	int status = 0;
	while (waitpid(m->run.pid, &status, __WALL) < 0 && errno == EINTR)
		;
	return status;
}

static int watch_console(struct bv_monitor *m)
{
	if (m->console_watched)
		return 0;
	m->console_watched = true;
	m->console_events = EPOLLIN;
	return m->console.master >= 0 ? watch(m, m->console.master, TAG_CONSOLE) : 0;
}

static int begin_watching(struct bv_monitor *m, struct bv_error *err)
{
	int r = watch(m, m->run.pidfd, TAG_INIT);
	m->lost = false;
	if (r == 0 && m->run.vital >= 0)
		r = watch(m, m->run.vital, TAG_VITAL);
	if (r == 0)
		r = watch_console(m);
	copy_size(m);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot watch the instance");
	}
	return 0;
}

static int open_loop(struct bv_monitor *m, struct bv_error *err)
{
	m->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (m->epoll < 0)
		return bv_fail_errno(err, "cannot make an epoll instance");
	m->listener = bv_command_listen(&m->rd, err);
	if (m->listener < 0)
		return m->listener;
	int r = watch(m, m->signals, TAG_SIGNALS);
	if (r == 0)
		r = watch(m, m->listener, TAG_LISTENER);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot watch the monitor's sockets");
	}
	return 0;
}

/* The terminal that the console's input comes from: raw, and as large as the console. */
static void take_terminal(struct bv_monitor *m)
{
	if (m->console.in >= 0) {
		watch(m, m->console.in, TAG_TERMINAL);
		m->raw = bv_terminal_raw(m->console.in, &m->saved) > 0;
	}
	copy_size(m);
}

/*
 * In the foreground the caller's terminal is the console's peer, unless lxc.console.path names another. lxc-execute
 * gives its command what is not a terminal as it is (child.c), and so the monitor must keep its hands off that.
 */
static void open_terminal(struct bv_monitor *m)
{
	if (m->console.master < 0 || m->terminal_taken)
		return;
	m->terminal_taken = true;
	if (m->foreground && m->console.mirror < 0) {
		bool has_own = m->execute && !m->engine->own_kernel;
		int in = !has_own || isatty(STDIN_FILENO) ? STDIN_FILENO : -1;
		int out = !has_own || isatty(STDOUT_FILENO) ? STDOUT_FILENO
			  : isatty(STDERR_FILENO)	       ? STDERR_FILENO
							       : -1;
		bv_console_use_terminal(&m->console, in, out);
	}
	take_terminal(m);
}

/* ---- while an engine's step waits ---- */

static void detach_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
		dup2(null, i);
	if (null > STDERR_FILENO)
		close(null);
}

void bv_monitor_note_facts(struct bv_monitor *m)
{
	m->state.init_pid = m->run.pid;
	/* Init may have ended already: then its start time does not matter any more. */
	if (bv_process_start_time(m->run.pid, &m->state.init_start) < 0)
		m->state.init_start = 0;
	m->state.ttys = m->run.n_ttys;
	snprintf(m->state.engine, sizeof(m->state.engine), "%s", m->run.description);
	snprintf(m->state.label, sizeof(m->state.label), "%s", m->run.label);
	free(m->state.net);
	m->state.net = m->run.net.n ? bv_net_describe(&m->run.net) : NULL;
}

/* The first time that a step of this start waits. */
static int begin_serving(struct bv_monitor *m, struct bv_error *err)
{
	/* Meanwhile others may want to end it; should we be killed, they have to find its processes and links. */
	bv_monitor_note_facts(m);
	int r = bv_run_state_write(&m->rd, &m->state, err);
	if (r == 0)
		r = bv_console_open(&m->console, take_fd(&m->run.console), m->config, err);
	if (r < 0)
		return r;
	r = watch_console(m);
	open_terminal(m);
	return r < 0 ? bv_fail(err, r, "cannot watch the console: %s", strerror(-r)) : 0;
}

int bv_monitor_serve(void *data, int fd, int timeout_ms, char *last_line, size_t size, struct bv_error *err)
{
	struct bv_monitor *m = data;
	*last_line = '\0';
	int r = m->console_watched ? 0 : begin_serving(m, err);
	if (r < 0)
		return r;
	bv_console_forget_line(&m->console);
	m->awaited = fd;
	m->given_up = false;
	r = watch(m, fd, TAG_AWAITED);
	if (r < 0)
		return bv_fail(err, r, "cannot watch what the engine waits for: %s", strerror(-r));
	int64_t end = bv_now_ms() + timeout_ms;
	for (int64_t left = timeout_ms; r == 0 && left > 0 && !m->given_up; left = end - bv_now_ms())
		r = serve_once(m, TAG_AWAITED, (int)left);
	unwatch(m, fd);
	m->awaited = -1;
	bv_console_last_line(&m->console, last_line, size);
	return m->given_up ? bv_fail(err, ECANCELED, "the start was given up, as a signal asked for it") : r;
}

void bv_monitor_forked(void *data)
{
	struct bv_monitor *m = data;
	int *fds[] = { &m->lock, &m->report, &m->epoll, &m->listener, &m->signals, &m->console.master,
		       &m->console.slave, &m->console.log, &m->console.mirror, &m->console.own_out };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	for (size_t i = 0; i < BV_MONITOR_CLIENTS; i++)
		close_fd(&m->clients[i].fd);
	for (int i = 0; i < BV_NS_COUNT; i++)
		close_fd(&m->ns_fds[i]);
	detach_stdio();
}

/* What a slow terminal has not shown at the end, it shows now, unless we are told to go. */
static void close_terminal(struct bv_monitor *m)
{
	struct pollfd p[] = { { .events = POLLOUT }, { .fd = m->signals, .events = POLLIN } };
	struct signalfd_siginfo info = { 0 };
	while (m->console.unseen.len && info.ssi_signo != SIGTERM && info.ssi_signo != SIGINT &&
	       info.ssi_signo != SIGHUP && info.ssi_signo != SIGQUIT) {
		p[0].fd = m->console.out;
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			break;
		if (p[1].revents && read(m->signals, &info, sizeof(info)) < 0)
			break;
		bv_console_show(&m->console);
	}
	if (m->raw)
		bv_terminal_restore(m->console.in, &m->saved);
	/* The EPIPE of a last write must not be ours. */
	while (read(m->signals, &info, sizeof(info)) > 0)
		;
}

/* ---- before and after ---- */

/* lxc.monitor.unshare: what hooks mount is the instance's alone, what the host mounts is still seen. */
static int unshare_mounts(const struct bv_monitor *m, struct bv_error *err)
{
	if (!m->config->monitor_unshare)
		return 0;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
		return bv_fail_errno(err, "cannot make a mount namespace for the monitor (lxc.monitor.unshare)");
	return 0;
}

static void report(struct bv_monitor *m, const struct bv_error *err)
{
	static const struct bv_error none;
	if (m->report < 0)
		return;
	send(m->report, err ? err : &none, sizeof(none), MSG_NOSIGNAL);
	close_fd(&m->report);
}

extern char __executable_start[], etext[]; /* the linker's: where the program's code begins and ends */

/*
 * What the start needed and the watching does not: the memory of a monitor counts once an instance. All of it is in the
 * run directory and comes back from there. The stack's pages below us, which the start has used, are given back too.
 */
static void shrink(struct bv_monitor *m)
{
	/* A foreground start is one process that its user waits for: speed is worth more to him. */
	if (m->foreground)
		return;
	bv_config_free(m->config);
	bv_cgroup_free(m->cgroup);
	bv_run_state_clear(&m->state);
	m->config = NULL;
	m->cgroup = NULL;
	m->run.config = NULL;
	m->run.cgroup = NULL;
	malloc_trim(0);

	/* Our own frame and the calls' below it are in use, and may lie on the next page already. */
	enum { DROP_PAGES = 32, IN_USE = 1024 };
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t here = ((uintptr_t)__builtin_frame_address(0) - IN_USE) & ~(page - 1);
	madvise((void *)(here - DROP_PAGES * page), DROP_PAGES * page, MADV_DONTNEED);
	/* The program's own pages stay in the page cache; the few that the loop runs on are mapped again as it does. */
	uintptr_t text = (uintptr_t)__executable_start & ~(page - 1);
	madvise((void *)text, ((uintptr_t)etext & ~(page - 1)) - text, MADV_DONTNEED);
}

static void add_ns_args(const struct bv_monitor *m, int hook_version, struct bv_strv *args)
{
	for (int i = 0; i < BV_NS_COUNT; i++) {
		if (m->ns_fds[i] < 0)
			continue;
		if (hook_version == 0) {
			bv_strv_addf(args, "%s:/proc/%d/fd/%d", bv_ns_name(i), (int)getpid(), m->ns_fds[i]);
			continue;
		}
		char upper[8] = "";
		for (size_t k = 0; bv_ns_name(i)[k] && k < sizeof(upper) - 1; k++)
			upper[k] = (char)(bv_ns_name(i)[k] - 'a' + 'A');
		bv_strv_addf(args, "LXC_%s_NS=/proc/%d/fd/%d", upper, (int)getpid(), m->ns_fds[i]);
	}
}

static int finish(struct bv_monitor *m, const char *target, bool keep, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv ns_args = { 0 };
	autoclean(bv_config_freep) struct bv_config *cfg = m->ns_fds[BV_NS_MNT] >= 0 ? bv_config_new() : NULL;
	if (cfg && bv_config_load(cfg, m->rd.fd, "config", NULL) == 0)
		add_ns_args(m, cfg->hook_version, &ns_args);
	struct bv_finish how = {
		.lxcpath = m->lxcpath,
		.name = m->name,
		.target = target,
		.config = m->config,
		.ns_args = &ns_args,
		.keep = keep,
	};
	int r = bv_finish_run(&m->rd, &m->state, &how, err);
	for (int i = 0; i < BV_NS_COUNT; i++)
		close_fd(&m->ns_fds[i]);
	/*
	 * Before the run directory goes: who finds the instance stopped may start another with this rootfs at once, and
	 * we, or the child that removes our cgroup, may take long.
	 */
	if (!keep)
		close_fd(&m->rootfs_lock);
	return r;
}

/* Start once more with the configuration of the run; the cgroups are made anew under their old names. */
static int start_again(struct bv_monitor *m, struct bv_error *err)
{
	bv_config_free(m->config);
	m->config = bv_config_new();
	if (!m->config)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_config_load(m->config, m->rd.fd, "config", err);
	if (r == 0)
		r = bv_cgroup_renew(m->cgroup, m->config, m->engine->own_kernel, err);
	if (r == 0)
		r = bv_monitor_start(m, err);
	if (r == 0)
		r = begin_watching(m, err);
	if (r == 0)
		shrink(m);
	return r;
}

static void record(struct bv_monitor *m, enum bv_state state, int status)
{
	m->state.state = state;
	m->state.exit_status = status;
	bv_run_state_write(&m->rd, &m->state, NULL);
}

/* Watch it through its reboots. The wait status of the last init. */
static int watch_runs(struct bv_monitor *m, struct bv_error *err)
{
	for (;;) {
		int status = loop(m);
		enum bv_ending ending = m->engine->ending(status);
		drop_tty_clients(m);
		bv_console_drain(&m->console);
		m->console_watched = false;
		m->engine->release(&m->run);
		remember(m, err);
		record(m, BV_STOPPING, status);
		if (ending != BV_END_REBOOT) {
			finish(m, "stop", false, err);
			return status;
		}
		bv_info("monitor", "%s reboots", m->name);
		struct bv_error failure = { 0 };
		int r = finish(m, "reboot", true, &failure);
		if (r == 0)
			r = start_again(m, &failure);
		if (r < 0) {
			bv_log(BV_LOG_ERROR, "monitor", "%s does not start again: %s", m->name, failure.what);
			if (err && !err->code)
				*err = failure;
			finish(m, "stop", false, NULL);
			return status;
		}
	}
}

int bv_monitor_run(struct bv_monitor *m, int *wait_status, struct bv_error *err)
{
	sigset_t old_mask;
	*wait_status = 0;
	m->state.monitor_pid = getpid();

	int r = open_signals(m, &old_mask, err);
	if (r == 0)
		r = open_loop(m, err);
	if (r == 0)
		r = unshare_mounts(m, err);
	if (r == 0)
		r = bv_monitor_start(m, err);
	if (r == 0)
		r = begin_watching(m, err);
	if (r < 0) {
		finish(m, "stop", false, NULL);
		bv_finish_rundir(&m->rd, &m->state, true, NULL);
		close_fd(&m->lock);
		report(m, err);
	} else {
		open_terminal(m);
		if (!m->foreground)
			detach_stdio();
		report(m, NULL);
		shrink(m);
		*wait_status = watch_runs(m, err);
		if (m->pidfile)
			unlink(m->pidfile);
		bv_finish_rundir(&m->rd, &m->state, m->foreground, NULL);
		close_fd(&m->lock);
		close_terminal(m);
	}
	bv_console_close(&m->console);
	close_fd(&m->listener);
	close_fd(&m->signals);
	close_fd(&m->epoll);
	sigprocmask(SIG_SETMASK, &old_mask, NULL);
	return r;
}
