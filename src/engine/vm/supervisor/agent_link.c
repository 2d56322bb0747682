/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "engine/vm/jail/jail.h"
#include "engine/vm/supervisor/internal.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"

/*
 * The guest: its init while it boots, its agent afterwards. What it says about itself ends here, what it says on a
 * channel goes to the client of that channel (control_server.c). It is the least trusted of all that the supervisor
 * hears: whatever it sends can end its own agent's link, or keep the VM from starting, and nothing else.
 */

enum {
	ADDRESSES_MAX = 32768,
	LOG_MAX = 500, /* lines that a guest can make us log */
	DRAIN_MAX = 64,
	POWER_OFF_MS = 15000, /* what a guest may take for it that said that it does so */
};

bool sv_agent_alive(const struct supervisor *s)
{
	return s->agent.fd >= 0 && s->agent_open && s->ready;
}

bool sv_agent_busy(const struct supervisor *s)
{
	return sv_stream_unsent(&s->agent) > BV_SV_AGENT_MAX;
}

int sv_agent_send(struct supervisor *s, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	if (s->agent.fd < 0)
		return -ENOTCONN;
	/* What clients send is held back before it comes to this; what is left is a guest that does not read. */
	if (sv_stream_unsent(&s->agent) > 2 * (size_t)BV_SV_AGENT_MAX)
		return -EAGAIN;
	bv_frame_put(&s->agent.out, type, flags, channel, data, len);
	return s->agent.out.bad ? -ENOMEM : 0;
}

static void put_init(struct supervisor *s, enum bv_frame_init what, int sig)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, what);
	bv_put_u32(&b, (uint32_t)sig);
	if (b.bad || sv_agent_send(s, BV_FRAME_INIT, 0, 0, b.p, b.len) < 0)
		bv_warn("vm", "signal %d does not reach the guest's init: its agent does not read", sig);
}

void sv_agent_init(struct supervisor *s, enum bv_frame_init what, int sig)
{
	if (!s->ready) {
		s->halt_wanted |= what == BV_INIT_HALT;
		s->reboot_wanted |= what == BV_INIT_REBOOT;
	} else if (sv_agent_alive(s)) {
		put_init(s, what, sig);
	} else if (what == BV_INIT_HALT) {
		bv_warn("vm", "the guest's agent has ended: its power button is pressed in place of it");
		sv_machine_powerdown(s);
	} else {
		bv_warn("vm", "the guest's agent has ended: its init cannot be sent a signal");
	}
	if (what == BV_INIT_HALT && s->ready) {
		s->halt_asked = true;
		sv_machine_watch_halt(s);
	}
}

static void tell_size(struct supervisor *s, struct sv_terminal *t)
{
	struct winsize size;
	if (t->fd < 0 || ioctl(t->fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0 ||
	    (size.ws_row == t->rows && size.ws_col == t->columns))
		return;
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u16(&b, (uint16_t)(t - s->terminals));
	bv_put_u16(&b, size.ws_row);
	bv_put_u16(&b, size.ws_col);
	if (b.bad || sv_agent_send(s, BV_FRAME_TERMINAL, 0, 0, b.p, b.len) < 0)
		return;
	t->rows = size.ws_row;
	t->columns = size.ws_col;
}

void sv_agent_sizes(struct supervisor *s)
{
	for (size_t i = 0; sv_agent_alive(s) && i < ARRAY_SIZE(s->terminals); i++)
		tell_size(s, &s->terminals[i]);
}

void sv_agent_clock(struct supervisor *s)
{
	struct timespec now;
	if (!sv_agent_alive(s) || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u64(&b, (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec);
	if (!b.bad)
		sv_agent_send(s, BV_FRAME_CLOCK, 0, 0, b.p, b.len);
}

/* ---- what the guest says of itself ---- */

/* For the log, which is read on terminals. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

bool sv_guest_may_log(struct supervisor *s)
{
	return s->logged < LOG_MAX && ++s->logged;
}

static int take_hello(struct supervisor *s, struct bv_cursor *c)
{
	uint32_t version = bv_get_u32(c);
	autofree char *release = bv_get_string(c, BV_STRING_MAX), *arch = bv_get_string(c, BV_STRING_MAX);
	if (bv_cursor_end(c) < 0 || version != BV_PROTOCOL_VERSION)
		return -EPROTO;
	make_printable(release);
	make_printable(arch);
	if (sv_guest_may_log(s))
		bv_info("vm", "the guest runs Linux %s (%s)", release, arch);
	return 0;
}

static int take_stage(struct supervisor *s, struct bv_cursor *c)
{
	autofree char *stage = bv_get_string(c, BV_STRING_MAX);
	if (bv_cursor_end(c) < 0)
		return -EPROTO;
	make_printable(stage);
	if (sv_guest_may_log(s))
		bv_debug("vm", "guest: %s", stage);
	return 0;
}

static int take_failure(struct supervisor *s, struct bv_cursor *c)
{
	struct bv_error err = { 0 };
	bv_get_error(c, &err);
	if (bv_cursor_end(c) < 0)
		return -EPROTO;
	if (!s->ready) {
		sv_fail(s, &err);
		return 0;
	}
	/* It powers off now; that this was no power-off that somebody asked for is told at the end. */
	s->guest_failure = err;
	sv_set_timer(s, SV_TIMER_LINGER, POWER_OFF_MS);
	return 0;
}

static void take_ready(struct supervisor *s)
{
	if (s->ready)
		return;
	s->ready = true;
	sv_report(s, &(struct bv_error){ 0 });
	sv_agent_sizes(s);
	sv_machine_ready(s);
	if (s->jailed)
		bv_jail_forget_boot_files();
	/* Somebody was faster than the boot. */
	if (s->halt_wanted)
		sv_agent_init(s, BV_INIT_HALT, s->config->signal_halt);
	else if (s->reboot_wanted)
		sv_agent_init(s, BV_INIT_REBOOT, s->config->signal_reboot);
}

/* One line "INTERFACE ADDRESS/PREFIX" as it is to be in the file; false: it is none. */
static bool check_address(char *line, struct bv_buf *to)
{
	char *save = NULL, *name = strtok_r(line, " ", &save), *address = strtok_r(NULL, " ", &save);
	char *slash = address ? strchr(address, '/') : NULL;
	uint8_t bytes[16];
	uint32_t prefix;
	if (!slash || strtok_r(NULL, " ", &save) || strlen(name) >= IF_NAMESIZE)
		return false;
	for (const char *p = name; *p; p++)
		if (*p <= ' ' || *p >= 0x7f)
			return false;
	*slash = '\0';
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(family, address, bytes) != 1 || bv_parse_u32(slash + 1, &prefix) < 0 ||
	    prefix > (family == AF_INET ? 32 : 128))
		return false;
	bv_buf_printf(to, "%s %s/%u\n", name, address, prefix);
	return true;
}

static int take_addresses(struct supervisor *s, struct bv_cursor *c)
{
	autofree char *text = bv_get_string(c, ADDRESSES_MAX);
	if (bv_cursor_end(c) < 0)
		return -EPROTO;
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	size_t n = 0;
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (++n > BV_ADDRESSES_MAX || !check_address(line, &b))
			return -EPROTO;

	autofree char *checked = bv_buf_take(&b);
	if (!checked || (s->addresses && bv_streq(s->addresses, checked)))
		return 0;
	int r = bv_replace_file(s->guest_dir, "addresses", checked, strlen(checked), 0600, false);
	if (r < 0 && sv_guest_may_log(s))
		bv_warn("vm", "the guest's addresses cannot be written down: %s", strerror(-r));
	free(s->addresses);
	s->addresses = take_ptr(checked);
	return 0;
}

static int take_ended(struct supervisor *s, struct bv_cursor *c)
{
	uint32_t code = bv_get_u32(c);
	if (bv_cursor_end(c) < 0 || code > 255 || !s->execute)
		return -EPROTO;
	s->exit_code = (int)code;
	/* It powers off; a kernel that does not get that far has done what was asked of it all the same. */
	sv_set_timer(s, SV_TIMER_LINGER, POWER_OFF_MS);
	return 0;
}

static int take_machine_frame(struct supervisor *s, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	int r = 0;
	if (f->type == BV_FRAME_HELLO)
		r = take_hello(s, &c);
	else if (!s->hello)
		return -EPROTO;
	s->hello = true;

	switch (f->type) {
	case BV_FRAME_HELLO:
		return r;
	case BV_FRAME_STAGE:
		return take_stage(s, &c);
	case BV_FRAME_FAILED:
		return take_failure(s, &c);
	case BV_FRAME_READY:
		if (bv_cursor_end(&c) < 0)
			return -EPROTO;
		take_ready(s);
		return 0;
	case BV_FRAME_ADDRESSES:
		return take_addresses(s, &c);
	case BV_FRAME_ENDED:
		return take_ended(s, &c);
	default:
		return -EPROTO;
	}
}

/* ---- the link ---- */

/* The VM goes on without an agent; before it was ready, it does not. */
static void lose_agent(struct supervisor *s, int r)
{
	struct bv_error err = { 0 };
	bool hung_up = r == -EPIPE || r == -ECONNRESET;
	if (hung_up)
		bv_fail(&err, ECONNRESET, "QEMU closed the connection to the guest's agent");
	else if (r == -EPROTO)
		bv_fail(&err, EPROTO, "the guest's agent sent what the protocol does not have");
	else
		bv_fail(&err, r, "the connection to the guest's agent broke: %s", strerror(-r));

	sv_stream_close(&s->agent);
	sv_clients_fail(s, &err);
	/* QEMU that ends closes everything: its end says more. */
	if (hung_up)
		sv_set_timer(s, SV_TIMER_BROKEN, BV_SV_BROKEN_MS);
	else if (!s->ready)
		sv_fail(s, &err);
	else
		bv_log(BV_LOG_ERROR, "vm", "%s; the VM runs on without it", err.what);
}

static int take_frames(struct supervisor *s)
{
	struct bv_frame f;
	int r;
	while ((r = sv_stream_next(&s->agent, &f)) > 0 && !s->over) {
		if (f.channel != 0)
			sv_client_deliver(s, &f);
		else
			r = take_machine_frame(s, &f);
		if (r < 0)
			break;
	}
	return r < 0 ? r : 0;
}

/* 1 when something was read, else 0. */
static int read_frames(struct supervisor *s)
{
	int r = s->agent.fd >= 0 ? sv_stream_read(&s->agent) : 0;
	int t = r > 0 ? take_frames(s) : r;
	if (t < 0)
		lose_agent(s, t);
	return t >= 0 && r > 0;
}

void sv_agent_serve(struct supervisor *s, bool readable, bool writable)
{
	if (readable)
		read_frames(s);
	int r = s->agent.fd >= 0 && (writable || readable) ? sv_stream_write(&s->agent) : 0;
	if (r < 0)
		lose_agent(s, r);
}

/* What the guest sent before it closed its port; it may fill it faster than we read. */
void sv_agent_drain(struct supervisor *s)
{
	for (int i = 0; i < DRAIN_MAX && read_frames(s) > 0; i++)
		;
}

void sv_agent_port(struct supervisor *s, bool open)
{
	if (!open)
		sv_agent_drain(s);
	if (open == s->agent_open)
		return;
	s->agent_open = open;
	if (open)
		return;
	if (sv_guest_may_log(s))
		bv_info("vm", "the guest closed its agent's port");
	struct bv_error err = { 0 };
	bv_fail(&err, ECONNRESET, "the guest's agent ended");
	sv_clients_fail(s, &err);
	/* It lives as long as the guest's userland does: what has no userland may be halted. */
	if (s->ready)
		sv_machine_watch_halt(s);
}
