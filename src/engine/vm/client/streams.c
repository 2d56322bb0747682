/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/client/streams.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"

enum {
	INPUT_CHUNK = 32768,
	/* Credit is given back in lumps: each costs a frame through the guest. */
	CREDIT_LUMP = BV_FRAME_WINDOW / 4,
	KILLED_BY = 128,
	/* So many ^C within so long a time end us, whatever the guest makes of them. */
	INTERRUPTS = 3,
	INTERRUPTS_MS = 2000,
	/* The last frame on the way out is worth a moment, not more. */
	GOODBYE_MS = 200,
};

void bv_streams_init(struct bv_streams *s)
{
	*s = (struct bv_streams){ .socket = -1, .source = -1, .pty = -1, .signals = -1, .credit = BV_FRAME_WINDOW };
	for (size_t i = 0; i < BV_SINKS; i++)
		s->sinks[i].fd = -1;
}

void bv_streams_clear(struct bv_streams *s)
{
	for (size_t i = 0; i < BV_SINKS; i++)
		bv_buf_clear(&s->sinks[i].data);
	bv_buf_clear(&s->out);
}

void bv_streams_sink(struct bv_streams *s, size_t i, int fd)
{
	struct stat st;
	/* A pipe that is writable has room for this much; what is a file or refuses to wait takes it all. */
	bool waits = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
	s->sinks[i].fd = fd;
	s->sinks[i].most = waits ? PIPE_BUF : BV_FRAME_WINDOW;
}

/* ---- frames out ---- */

static void put(struct bv_streams *s, uint16_t type, const void *data, size_t len)
{
	bv_frame_put(&s->out, type, 0, BV_STREAM_CHANNEL, data, len);
}

static void put_number(struct bv_streams *s, uint16_t type, uint32_t n)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, n);
	put(s, type, b.p, b.len);
}

static int send_out(struct bv_streams *s)
{
	if (s->out.bad)
		return -ENOMEM;
	if (s->out_start == s->out.len)
		return 0;
	ssize_t n = send(s->socket, s->out.p + s->out_start, s->out.len - s->out_start, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* Somebody who hung up may have said why: reading finds it. */
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		n = (ssize_t)(s->out.len - s->out_start);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	s->out_start += (size_t)n;
	if (s->out_start == s->out.len)
		s->out_start = s->out.len = 0;
	return 0;
}

/* The window's size, when the guest has another one. */
static void put_size(struct bv_streams *s)
{
	struct winsize w;
	if (s->pty < 0 || ioctl(s->pty, TIOCGWINSZ, &w) < 0 || (w.ws_row == s->rows && w.ws_col == s->columns))
		return;
	s->rows = w.ws_row;
	s->columns = w.ws_col;
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u16(&b, s->rows);
	bv_put_u16(&b, s->columns);
	put(s, BV_FRAME_SIZE, b.p, b.len);
}

/* ---- the caller's side ---- */

/* Nobody wants the rest: 1, which no error is. */
static int give_up(struct bv_streams *s, int sig)
{
	s->status = KILLED_BY + sig;
	return 1;
}

static int read_source(struct bv_streams *s)
{
	char data[INPUT_CHUNK];
	ssize_t n = read(s->source, data, s->credit < sizeof(data) ? s->credit : sizeof(data));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n > 0) {
		s->credit -= (size_t)n;
		put(s, BV_FRAME_DATA, data, (size_t)n);
		return 0;
	}
	/* What cannot be read is at its end, as far as the command is concerned. */
	s->source = -1;
	if (!s->source_is_pty) {
		put(s, BV_FRAME_EOF, NULL, 0);
		return 0;
	}
	return give_up(s, SIGHUP);
}

static void give_credit(struct bv_streams *s, size_t written)
{
	s->consumed += written;
	if (s->consumed < CREDIT_LUMP)
		return;
	put_number(s, BV_FRAME_CREDIT, (uint32_t)s->consumed);
	s->owed -= s->consumed;
	s->consumed = 0;
}

static int write_sink(struct bv_streams *s, struct bv_sink *k, struct bv_error *err)
{
	size_t left = k->data.len - k->start;
	ssize_t n = write(k->fd, k->data.p + k->start, left < k->most ? left : k->most);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && s->ended && (errno == EPIPE || k->fd == s->pty)) {
		/* The command had written it, and ended as it did. */
		k->start = k->data.len = 0;
		return 0;
	}
	if (n < 0 && errno == EPIPE)
		return give_up(s, SIGPIPE);
	if (n < 0 && k->fd == s->pty)
		return give_up(s, SIGHUP);
	if (n < 0)
		return bv_fail_errno(err, "cannot write the command's output");
	k->start += (size_t)n;
	if (k->start == k->data.len)
		k->start = k->data.len = 0;
	give_credit(s, (size_t)n);
	return 0;
}

static bool wants_over(struct bv_streams *s, int sig)
{
	if (sig != SIGINT && sig != SIGTERM)
		return false;
	int64_t now = bv_now_ms();
	if (s->interrupts == 0 || now - s->interrupted_ms > INTERRUPTS_MS) {
		s->interrupts = 0;
		s->interrupted_ms = now;
	}
	return ++s->interrupts == INTERRUPTS;
}

static int take_signal(struct bv_streams *s)
{
	struct signalfd_siginfo info;
	if (read(s->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	int sig = (int)info.ssi_signo;
	if (sig == SIGWINCH) {
		put_size(s);
		return 0;
	}
	put_number(s, BV_FRAME_SIGNAL, (uint32_t)sig);
	return wants_over(s, sig) ? give_up(s, sig) : 0;
}

/* ---- the guest's side ---- */

static int take_data(struct bv_streams *s, const struct bv_frame *f)
{
	struct bv_sink *k = f->flags < BV_STREAMS ? s->sink_of[f->flags] : NULL;
	if (!k || f->len > BV_FRAME_WINDOW - s->owed)
		return -EPROTO;
	s->owed += f->len;
	bv_buf_add(&k->data, f->data, f->len);
	return k->data.bad ? -ENOMEM : 0;
}

static int take_frame(struct bv_streams *s, const struct bv_frame *f, struct bv_error *err)
{
	struct bv_cursor c = bv_cursor_of(f);
	uint32_t n;
	if (f->type == BV_FRAME_ERROR)
		return bv_control_error_of(&c, err);
	if (f->channel != BV_STREAM_CHANNEL)
		return -EPROTO;
	switch (f->type) {
	case BV_FRAME_DATA:
		return take_data(s, f);
	case BV_FRAME_EOF:
		return 0;
	case BV_FRAME_CREDIT:
		n = bv_get_u32(&c);
		if (bv_cursor_end(&c) < 0 || n > BV_FRAME_WINDOW - s->credit)
			return -EPROTO;
		s->credit += n;
		return 0;
	case BV_FRAME_EXIT:
		n = bv_get_u32(&c);
		if (bv_cursor_end(&c) < 0 || n > UINT8_MAX)
			return -EPROTO;
		s->ended = true;
		s->status = (int)n;
		return 0;
	default:
		return -EPROTO;
	}
}

/* 1: something may have come; 0 when there is nothing. The end of the stream is an error here: EXIT comes before it. */
static int take_frames(struct bv_streams *s, struct bv_error *err)
{
	for (;;) {
		struct bv_frame f;
		int r = bv_control_next(s->in, &f);
		if (r > 0)
			r = take_frame(s, &f, err);
		else if (r == 0)
			return 0;
		if (r < 0)
			return r == -EPROTO || r == -ENOMEM ? bv_control_explain(s->run, r, err) : r;
		if (s->ended)
			return 0;
	}
}

static int read_socket(struct bv_streams *s, struct bv_error *err)
{
	int r = bv_control_fill(s->socket, s->in);
	if (r == -EAGAIN)
		return 0;
	return r <= 0 ? bv_control_explain(s->run, r, err) : take_frames(s, err);
}

/* ---- the loop ---- */

enum { SOCKET, SOURCE, SIGNALS, SINK, FDS = SINK + BV_SINKS };

static bool has_output(const struct bv_streams *s)
{
	for (size_t i = 0; i < BV_SINKS; i++)
		if (s->sinks[i].data.len > 0)
			return true;
	return false;
}

/* An fd that is asked for nothing would still tell of a hang-up, again and again. */
static void choose_events(const struct bv_streams *s, struct pollfd *p)
{
	bool sending = s->out_start < s->out.len, reading = !s->ended && !sending && s->credit > 0;
	p[SOCKET] = (struct pollfd){ .fd = s->ended ? -1 : s->socket,
				     .events = (short)(POLLIN | (sending ? POLLOUT : 0)) };
	p[SOURCE] = (struct pollfd){ .fd = reading ? s->source : -1, .events = POLLIN };
	p[SIGNALS] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
	for (size_t i = 0; i < BV_SINKS; i++)
		p[SINK + i] = (struct pollfd){ .fd = s->sinks[i].data.len ? s->sinks[i].fd : -1, .events = POLLOUT };
}

/* 1: nobody wants the rest. */
static int copy_once(struct bv_streams *s, struct bv_error *err)
{
	struct pollfd p[FDS];
	choose_events(s, p);
	if (poll(p, FDS, -1) < 0)
		return errno == EINTR ? 0 : bv_fail_errno(err, "cannot wait for the command");

	int r = p[SIGNALS].revents ? take_signal(s) : 0;
	for (size_t i = 0; r == 0 && i < BV_SINKS; i++)
		if (p[SINK + i].revents)
			r = write_sink(s, &s->sinks[i], err);
	if (r == 0 && (p[SOCKET].revents & ~POLLOUT))
		r = read_socket(s, err);
	if (r == 0 && p[SOURCE].revents)
		r = read_source(s);
	int sent = r != 0 || s->ended ? 0 : send_out(s);
	return sent < 0 ? bv_control_explain(s->run, sent, err) : r;
}

/* We give up: the supervisor would see our end as well, but this is in order behind what we sent. */
static void say_goodbye(struct bv_streams *s)
{
	put(s, BV_FRAME_CLOSE, NULL, 0);
	autoclean(bv_buf_clear) struct bv_buf last = { 0 };
	bv_buf_add(&last, s->out.p + s->out_start, s->out.len - s->out_start);
	if (!s->out.bad)
		bv_control_send(s->socket, &last, bv_now_ms() + GOODBYE_MS);
}

int bv_streams_copy(struct bv_streams *s, int *exit_status, struct bv_error *err)
{
	if (s->source < 0)
		put(s, BV_FRAME_EOF, NULL, 0);
	/* The terminal's size may have changed since EXEC was sent. */
	put_size(s);
	int r = take_frames(s, err);
	if (r == 0 && !s->ended)
		r = send_out(s);
	while (r == 0 && (!s->ended || has_output(s)))
		r = copy_once(s, err);
	if (r != 0 && !s->ended)
		say_goodbye(s);
	*exit_status = r < 0 ? 1 : s->status;
	return r < 0 ? r : 0;
}
