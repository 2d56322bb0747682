/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/guest/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/vm/guest/agent_internal.h"
#include "sys/kernel.h"
#include "sys/title.h"
#include "util/cleanup.h"
#include "util/file.h"

enum {
	READ_SIZE = 32768,
	/* A port whose host has gone is looked at so often: poll does not wait for it to come. */
	HOST_EVERY_MS = 200,
	/* Should memory or fds run out. */
	TROUBLE_MS = 100,
	FDS_MAX = 4096,
	/* For what is still to be sent at the end, and for commands that are ended as well. */
	LEAVE_MS = 300,
};

enum { POLL_PORT, POLL_SIGNALS, POLL_NETLINK, POLL_CHANNELS };

/* ---- the process ---- */

static void close_others(int port)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fd != port)
			close(fd);
	/* The lowest free numbers are these three. */
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (open("/dev/null", O_RDWR) < 0)
			break;
	if (bv_close_range(STDERR_FILENO + 1, (unsigned int)port - 1, 0) == 0 || port == STDERR_FILENO + 1)
		if (bv_close_range((unsigned int)port + 1, ~0U, 0) == 0)
			return;
	for (int fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
		if (fd != port)
			close(fd);
}

/* As many fds as the kernel lets it have; never the one that dies when memory runs out. */
static void become_agent(void)
{
	struct rlimit files;
	agent_command_remember();
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	bv_write_small(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
	bv_set_process_title("bivalve-agent", "BIVALVE_");
	prctl(PR_SET_NAME, "bivalve-agent", 0, 0, 0);
	setsid();
	if (chdir("/") < 0)
		return;
}

/* The end of children comes by the fd, and so does process 1; every other signal that can be kept away is. */
static int open_signals(void)
{
	sigset_t all, taken;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&taken);
	sigaddset(&taken, SIGCHLD);
	sigaddset(&taken, SIGTERM);
	return signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* True: process 1 wants the agent to end. */
static bool reap(struct agent *a, int signals)
{
	bool leave = false;
	struct signalfd_siginfo info;
	while (read(signals, &info, sizeof(info)) > 0)
		leave = leave || (info.ssi_signo == SIGTERM && info.ssi_pid == 1);
	pid_t pid;
	int status;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		agent_channel_reaped(a, pid, status);
	return leave;
}

/* ---- the port ---- */

static void read_port(struct agent *a)
{
	char bytes[READ_SIZE];
	ssize_t n = read(a->port, bytes, sizeof(bytes));
	if (n > 0)
		agent_receive(a, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		agent_forget_host(a);
}

static void write_port(struct agent *a)
{
	const void *bytes;
	size_t len;
	while ((bytes = agent_to_send(a, &len))) {
		ssize_t n = write(a->port, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			agent_forget_host(a);
		if (n < 0)
			return;
		agent_sent(a, (size_t)n);
	}
}

static void look_for_host(struct agent *a)
{
	struct pollfd p = { .fd = a->port, .events = POLLOUT };
	if (poll(&p, 1, 0) < 0 || (p.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return;
	a->connected = true;
	agent_machine_greet(a);
}

static void serve_port(struct agent *a, short revents)
{
	if (!a->connected)
		look_for_host(a);
	else if (revents & POLLIN)
		read_port(a);
	else if (revents & (POLLHUP | POLLERR | POLLNVAL))
		agent_forget_host(a);
}

/* ---- the loop ---- */

static size_t fill_poll(const struct agent *a, struct pollfd *fds, int signals)
{
	short events = a->queued < AGENT_QUEUE_MAX ? POLLIN : 0;
	if (a->first)
		events |= POLLOUT;
	fds[POLL_PORT] = (struct pollfd){ .fd = a->connected ? a->port : -1, .events = events };
	fds[POLL_SIGNALS] = (struct pollfd){ .fd = signals, .events = POLLIN };
	fds[POLL_NETLINK] = (struct pollfd){ .fd = a->netlink, .events = POLLIN };
	size_t n = POLL_CHANNELS;
	for (struct agent_channel *ch = a->channels; ch; ch = ch->next, n += AGENT_CHANNEL_FDS)
		agent_channel_poll(a, ch, fds + n);
	return n;
}

/* Before anything else of a turn: what is in `fds` is for the channels as they are in the list now. */
static void serve_channels(struct agent *a, const struct pollfd *fds, int64_t now)
{
	for (struct agent_channel *ch = a->channels, *next; ch; ch = next, fds += AGENT_CHANNEL_FDS) {
		next = ch->next;
		agent_channel_serve(a, ch, fds, now);
	}
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int age(struct agent *a, int64_t now, int64_t elapsed)
{
	int wait = agent_machine_age(a, now);
	for (struct agent_channel *ch = a->channels, *next; ch; ch = next) {
		next = ch->next;
		wait = sooner(wait, agent_channel_age(a, ch, now, elapsed));
	}
	return a->connected ? wait : sooner(wait, HOST_EVERY_MS);
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

void bv_guest_agent_run(int port, const struct bv_config *cfg)
{
	static struct pollfd fds[POLL_CHANNELS + AGENT_CHANNELS * AGENT_CHANNEL_FDS];
	struct agent a = { .cfg = cfg, .netlink = -1 };

	/* Above 0, 1 and 2, which are to be /dev/null. */
	a.port = fcntl(port, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (a.port < 0)
		a.port = port;
	close_others(a.port);
	fcntl(a.port, F_SETFL, fcntl(a.port, F_GETFL) | O_NONBLOCK);
	become_agent();
	int signals = open_signals();
	agent_stream_init(&a);
	agent_machine_open(&a);

	int64_t last = bv_now_ms(), leave_by = 0;
	int wait = age(&a, last, 0);
	for (;;) {
		size_t n = fill_poll(&a, fds, signals);
		int64_t now;
		if (poll(fds, n, wait) < 0) {
			pause_ms(TROUBLE_MS);
			continue;
		}
		now = bv_now_ms();
		serve_channels(&a, fds + POLL_CHANNELS, now);
		if (fds[POLL_SIGNALS].revents && reap(&a, signals) && leave_by == 0)
			leave_by = now + LEAVE_MS;
		if (fds[POLL_NETLINK].revents)
			agent_machine_addresses_changed(&a, now);
		serve_port(&a, fds[POLL_PORT].revents);
		wait = age(&a, now, now - last);
		last = now;
		if (a.connected)
			write_port(&a);
		if (leave_by == 0)
			continue;
		if ((!a.first && !a.channels) || now >= leave_by)
			_exit(EXIT_SUCCESS);
		wait = sooner(wait, (int)(leave_by - now));
	}
}
