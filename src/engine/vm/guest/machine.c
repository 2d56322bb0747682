/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "engine/vm/guest/agent_internal.h"
#include "net/net.h"
#include "util/cleanup.h"
#include "util/file.h"

enum {
	/* An init that still begins ignores what it is asked: it is asked once it listens, or at last all the same. */
	INIT_PATIENCE_MS = 20000,
	INIT_EVERY_MS = 200,
	/* Addresses come in swarms. */
	ADDRESSES_DELAY_MS = 100,
};

/* ---- process 1 ---- */

static struct agent_init look_at_init(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/1/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	const char *name = strrchr(exe, '/');
	struct agent_init init = { .listen = bv_listen_look(1) };
	if (bv_after(name ? name + 1 : exe, "busybox"))
		init.kind = AGENT_INIT_BUSYBOX;
	else if (init.listen.systemd)
		init.kind = AGENT_INIT_SYSTEMD;
	return init;
}

static bool hears(const struct agent_init *init, int sig)
{
	return bv_listen_hears(&init->listen, sig);
}

static int power_off_signal(const struct agent_init *init)
{
	if (init->kind == AGENT_INIT_SYSTEMD)
		return SIGRTMIN + 4;
	if (init->kind == AGENT_INIT_BUSYBOX)
		return SIGUSR2;
	return hears(init, SIGPWR) || !hears(init, SIGTERM) ? SIGPWR : SIGTERM;
}

int agent_init_signal(const struct agent_init *init, uint32_t what, uint32_t signal)
{
	bool halts = (init->kind == AGENT_INIT_SYSTEMD && (int)signal == SIGRTMIN + 3) ||
		     (init->kind == AGENT_INIT_BUSYBOX && (int)signal == SIGUSR1);
	/* SIGPWR, lxc.signal.halt's default, is news about the mains to the one and unknown to the other. */
	bool is_default = what == BV_INIT_HALT && (int)signal == SIGPWR && init->kind != AGENT_INIT_OTHER;
	if (halts || is_default || (what == BV_INIT_HALT && signal == 0))
		return power_off_signal(init);
	if (signal != 0)
		return (int)signal;
	return init->kind == AGENT_INIT_BUSYBOX ? SIGTERM : SIGINT;
}

/* Ask for what waits, once it is heard. */
static int ask_init(struct agent *a, int64_t now)
{
	if (!a->init.waits)
		return -1;
	if (now < a->init.next)
		return (int)(a->init.next - now);
	struct agent_init init = look_at_init();
	int sig = agent_init_signal(&init, a->init.what, a->init.signal);
	if (hears(&init, sig) || now >= a->init.deadline) {
		kill(1, sig);
		a->init.waits = false;
		return -1;
	}
	a->init.next = now + INIT_EVERY_MS;
	return INIT_EVERY_MS;
}

static int take_init(struct agent *a, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	uint32_t what = bv_get_u32(&c), sig = bv_get_u32(&c);
	if (bv_cursor_end(&c) < 0 || what > BV_INIT_SIGNAL || sig > AGENT_SIGNALS || (what == BV_INIT_SIGNAL && !sig))
		return -EPROTO;
	if (what == BV_INIT_SIGNAL) {
		struct agent_init init = look_at_init();
		kill(1, agent_init_signal(&init, what, sig));
		return 0;
	}
	a->init.waits = true;
	a->init.what = what;
	a->init.signal = sig;
	a->init.next = 0;
	a->init.deadline = 0;
	return 0;
}

/* ---- terminals and clock ---- */

static int take_terminal(struct agent *a, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	unsigned int n = bv_get_u16(&c);
	struct winsize size = { .ws_row = bv_get_u16(&c) };
	size.ws_col = bv_get_u16(&c);
	if (bv_cursor_end(&c) < 0 || n > a->cfg->tty_max || n >= ARRAY_SIZE(a->terminals))
		return -EPROTO;
	char path[24] = "/dev/console";
	if (n > 0)
		snprintf(path, sizeof(path), "/dev/hvc%u", n - 1);
	autoclose int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ioctl(fd, TIOCSWINSZ, &size);
	/*
	 * With the last of its users a line forgets its size; a container's pty does not. So it is held open. After a
	 * hang-up (by a getty) that is all that the fd is good for: for the next size it is opened anew.
	 */
	close_fd(&a->terminals[n]);
	a->terminals[n] = take_fd(&fd);
	return 0;
}

static int take_clock(const struct bv_frame *f)
{
	const uint64_t second = 1000000000;
	struct bv_cursor c = bv_cursor_of(f);
	uint64_t ns = bv_get_u64(&c);
	if (bv_cursor_end(&c) < 0)
		return -EPROTO;
	struct timespec t = { .tv_sec = (time_t)(ns / second), .tv_nsec = (long)(ns % second) };
	clock_settime(CLOCK_REALTIME, &t);
	return 0;
}

int agent_machine_frame(struct agent *a, const struct bv_frame *f)
{
	switch (f->type) {
	case BV_FRAME_INIT:
		return take_init(a, f);
	case BV_FRAME_TERMINAL:
		return take_terminal(a, f);
	case BV_FRAME_CLOCK:
		return take_clock(f);
	default:
		return -EPROTO;
	}
}

/* ---- addresses ---- */

void agent_machine_open(struct agent *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->terminals); i++)
		a->terminals[i] = -1;
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	a->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (a->netlink >= 0 && bind(a->netlink, (struct sockaddr *)&address, sizeof(address)) < 0)
		close_fd(&a->netlink);
	a->addresses_due = 1;
}

/* What changed does not matter: all is asked for anew. */
void agent_machine_addresses_changed(struct agent *a, int64_t now)
{
	char bytes[8192];
	for (;;) {
		ssize_t n = recv(a->netlink, bytes, sizeof(bytes), 0);
		/* ENOBUFS: some were lost, which is a change too. */
		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			break;
	}
	if (a->addresses_due == 0)
		a->addresses_due = now + ADDRESSES_DELAY_MS;
}

/* "INTERFACE ADDRESS/PREFIX\n" for the global addresses; NULL when the kernel does not tell. */
static char *list_addresses(void)
{
	autofree struct bv_net_address *v = NULL;
	struct bv_buf b = { 0 };
	size_t n = 0;
	if (bv_net_own_addresses(&v, &n, NULL) < 0)
		return NULL;
	for (size_t i = 0, lines = 0; i < n && lines < BV_ADDRESSES_MAX; i++) {
		char text[INET6_ADDRSTRLEN];
		if (v[i].link_local_or_loopback || !inet_ntop(v[i].family, v[i].bytes, text, sizeof(text)))
			continue;
		/* To the kernel almost any byte may be part of a name. */
		for (char *c = v[i].interface; *c; c++)
			if (*c <= ' ' || *c >= 0x7f)
				*c = '?';
		bv_buf_printf(&b, "%s %s/%u\n", v[i].interface, text, v[i].prefix);
		lines++;
	}
	return bv_buf_take(&b);
}

static void tell_addresses(struct agent *a)
{
	autofree char *now = list_addresses();
	if (!now || bv_streq(now, a->addresses ? a->addresses : ""))
		return;
	struct bv_buf b = { 0 };
	bv_put_string(&b, now);
	agent_send_buf(a, BV_FRAME_ADDRESSES, 0, &b);
	free(a->addresses);
	a->addresses = take_ptr(now);
}

int agent_machine_age(struct agent *a, int64_t now)
{
	if (a->init.waits && a->init.deadline == 0)
		a->init.deadline = now + INIT_PATIENCE_MS;
	int wait = ask_init(a, now);
	if (a->addresses_due > now) {
		int left = (int)(a->addresses_due - now);
		return wait < 0 || left < wait ? left : wait;
	}
	if (a->addresses_due > 0 && a->connected) {
		a->addresses_due = 0;
		tell_addresses(a);
	}
	return wait;
}

void agent_machine_greet(struct agent *a)
{
	struct bv_buf b = { 0 };
	agent_put_hello(&b);
	agent_send_buf(a, BV_FRAME_HELLO, 0, &b);
	free(a->addresses);
	a->addresses = NULL;
	a->addresses_due = 1;
}
