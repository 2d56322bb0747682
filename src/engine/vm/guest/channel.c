/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "engine/vm/guest/agent_internal.h"
#include "util/cleanup.h"

enum {
	/* Credit is given back in lumps: the host may always send three of them meanwhile. */
	CREDIT_LUMP = BV_FRAME_WINDOW / 4,
	/*
	 * After the end of a command its output is what is in its pipes and its pty. What it left behind may hold these
	 * open for ever: the end is told once there was nothing for QUIET_MS; with one that goes on writing, after
	 * PATIENCE_MS or LATE_MAX bytes (pipes hold less). Time in which the host took nothing does not count.
	 */
	QUIET_MS = 100,
	PATIENCE_MS = 2000,
	LATE_MAX = 4 << 20,
	EXIT_FAILED = 1,
};

/* ---- the list ---- */

struct agent_channel *agent_channel_find(const struct agent *a, uint32_t id)
{
	struct agent_channel *ch = a->channels;
	while (ch && ch->id != id)
		ch = ch->next;
	return ch;
}

static void close_input(struct agent_input *in)
{
	close_fd(&in->fd);
	bv_buf_clear(&in->data);
	in->done = 0;
}

static void forget(struct agent *a, struct agent_channel *ch)
{
	struct agent_channel **p = &a->channels;
	while (*p != ch)
		p = &(*p)->next;
	*p = ch->next;
	a->n_channels--;
	close_fd(&ch->report);
	for (int i = 0; i < AGENT_INPUTS; i++)
		close_input(&ch->in[i]);
	for (int i = 0; i < AGENT_OUTPUTS; i++)
		close_fd(&ch->out[i].fd);
	free(ch);
}

void agent_channel_close(struct agent *a, struct agent_channel *ch)
{
	if (!ch->ended && ch->pid > 0) {
		agent_command_signal(ch->pid, SIGHUP);
		/* One that is stopped would hear of it only when somebody lets it go on. */
		agent_command_signal(ch->pid, SIGCONT);
	}
	forget(a, ch);
}

/* ---- the host asks ---- */

static void send_refused(struct agent *a, uint32_t id, const struct bv_error *err, int code)
{
	struct bv_buf b = { 0 };
	bv_put_error(&b, err);
	bv_put_u32(&b, (uint32_t)code);
	agent_send_buf(a, BV_FRAME_REFUSED, id, &b);
}

/* The host did not keep to the protocol on this channel: it ends, whatever it was at. */
static void end_misused(struct agent *a, struct agent_channel *ch, const char *why)
{
	struct bv_error err = { 0 };
	bv_fail(&err, EPROTO, "the agent in the guest was sent %s", why);
	send_refused(a, ch->id, &err, EXIT_FAILED);
	agent_channel_close(a, ch);
}

static int start(struct agent *a, const struct bv_frame *f, struct bv_error *err)
{
	struct bv_exec e;
	if (a->n_channels >= AGENT_CHANNELS)
		return bv_fail(err, EAGAIN, "%d commands are run by the agent in the guest already; it runs no more",
			       AGENT_CHANNELS);
	if (bv_get_exec(f, &e) < 0)
		return bv_fail(err, EPROTO, "the agent in the guest was sent a command that it cannot read");

	struct agent_channel *ch = calloc(1, sizeof(*ch));
	int r = ch ? 0 : bv_fail(err, ENOMEM, "the agent in the guest is out of memory");
	if (r == 0) {
		ch->id = f->channel;
		ch->report = -1;
		ch->may_send = ch->may_come = BV_FRAME_WINDOW;
		ch->pty_is_stdin = (e.flags & BV_EXEC_PTY) && (e.flags & BV_EXEC_PTY_STDIN);
		for (int i = 0; i < AGENT_INPUTS; i++)
			ch->in[i].fd = -1;
		for (int i = 0; i < AGENT_OUTPUTS; i++)
			ch->out[i].fd = -1;
		ch->next = a->channels;
		a->channels = ch;
		a->n_channels++;
		r = agent_command_start(ch, &e, a->cfg, err);
		if (r < 0)
			forget(a, ch);
	}
	bv_exec_clear(&e);
	return r;
}

static void take_exec(struct agent *a, const struct bv_frame *f)
{
	struct bv_error err = { 0 };
	if (start(a, f, &err) < 0)
		send_refused(a, f->channel, &err, EXIT_FAILED);
}

/* ---- input ---- */

/* The stream of the host as one of ours; NULL when the command has no such stream. */
static struct agent_input *input_of(struct agent_channel *ch, uint16_t stream)
{
	if (stream == BV_STREAM_IN)
		return &ch->in[ch->pty_is_stdin ? AGENT_INPUT_PTY : AGENT_INPUT_STDIN];
	return stream == BV_STREAM_PTY && !ch->pty_is_stdin ? &ch->in[AGENT_INPUT_PTY] : NULL;
}

static void give_credit(struct agent *a, struct agent_channel *ch, size_t n)
{
	ch->taken += (uint32_t)n;
	if (ch->taken < CREDIT_LUMP)
		return;
	agent_send_u32(a, BV_FRAME_CREDIT, ch->id, ch->taken);
	ch->may_come += ch->taken;
	ch->taken = 0;
}

static void end_of_input(struct agent_input *in, bool is_pty)
{
	struct termios t;
	/* A terminal stays open at an end of file: its reader is told by the character that stands for it. */
	if (is_pty && tcgetattr(in->fd, &t) == 0 && t.c_cc[VEOF] != _POSIX_VDISABLE) {
		bv_buf_add(&in->data, &t.c_cc[VEOF], 1);
		in->eof = false;
		return;
	}
	if (!is_pty)
		close_input(in);
}

/* Write what waits, as much as is taken. */
static void feed(struct agent *a, struct agent_channel *ch, struct agent_input *in)
{
	bool is_pty = in == &ch->in[AGENT_INPUT_PTY];
	while (in->fd >= 0 && in->done < in->data.len) {
		ssize_t n = write(in->fd, in->data.p + in->done, in->data.len - in->done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			/* Nobody reads it any more: it is swallowed, so that the host does not wait for ever. */
			give_credit(a, ch, in->data.len - in->done);
			in->data.len = in->done = 0;
			if (!is_pty)
				close_input(in);
			return;
		}
		in->done += (size_t)n;
		give_credit(a, ch, (size_t)n);
	}
	in->data.len = in->done = 0;
	if (in->eof && in->fd >= 0)
		end_of_input(in, is_pty);
}

static const char *take_data(struct agent *a, struct agent_channel *ch, const struct bv_frame *f)
{
	struct agent_input *in = input_of(ch, f->flags);
	if (!in || in->eof)
		return "data of a stream that is not open";
	if (f->len > ch->may_come)
		return "more data than it gave credit for";
	ch->may_come -= f->len;
	if (in->fd < 0 || ch->ended) {
		give_credit(a, ch, f->len);
		return NULL;
	}
	bv_buf_add(&in->data, f->data, f->len);
	if (in->data.bad)
		return "data that it has no memory for";
	feed(a, ch, in);
	return NULL;
}

static const char *take_eof(struct agent *a, struct agent_channel *ch, const struct bv_frame *f)
{
	struct agent_input *in = input_of(ch, f->flags);
	if (!in || f->len > 0)
		return "the end of a stream that is not open";
	in->eof = true;
	feed(a, ch, in);
	return NULL;
}

/* ---- the other frames ---- */

static const char *take_size(const struct agent_channel *ch, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	struct winsize size = { .ws_row = bv_get_u16(&c), .ws_col = bv_get_u16(&c) };
	if (bv_cursor_end(&c) < 0)
		return "a window's size that it cannot read";
	/* Without a pty, or one that has hung up, there is nothing to do. */
	if (ch->in[AGENT_INPUT_PTY].fd >= 0)
		ioctl(ch->in[AGENT_INPUT_PTY].fd, TIOCSWINSZ, &size);
	return NULL;
}

static const char *take_signal(const struct agent_channel *ch, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	uint32_t sig = bv_get_u32(&c);
	if (bv_cursor_end(&c) < 0 || sig < 1 || sig > AGENT_SIGNALS)
		return "a signal that there is not";
	if (!ch->ended)
		agent_command_signal(ch->pid, (int)sig);
	return NULL;
}

static const char *take_credit(struct agent_channel *ch, const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	uint32_t more = bv_get_u32(&c);
	if (bv_cursor_end(&c) < 0 || more > BV_FRAME_WINDOW - ch->may_send)
		return "credit for more than the window";
	ch->may_send += more;
	return NULL;
}

void agent_channel_frame(struct agent *a, const struct bv_frame *f)
{
	struct agent_channel *ch = agent_channel_find(a, f->channel);
	const char *wrong = NULL;
	if (!ch) {
		/* What crossed our EXIT on the way is of no interest. */
		if (f->type == BV_FRAME_EXEC)
			take_exec(a, f);
		return;
	}
	switch (f->type) {
	case BV_FRAME_DATA:
		wrong = take_data(a, ch, f);
		break;
	case BV_FRAME_EOF:
		wrong = take_eof(a, ch, f);
		break;
	case BV_FRAME_CREDIT:
		wrong = take_credit(ch, f);
		break;
	case BV_FRAME_SIZE:
		wrong = take_size(ch, f);
		break;
	case BV_FRAME_SIGNAL:
		wrong = take_signal(ch, f);
		break;
	case BV_FRAME_CLOSE:
		agent_channel_close(a, ch);
		return;
	case BV_FRAME_EXEC:
		wrong = "a second command for one channel";
		break;
	default:
		wrong = "a frame of a type that it does not know";
		break;
	}
	if (wrong)
		end_misused(a, ch, wrong);
}

/* ---- output ---- */

static void end_output(struct agent *a, struct agent_channel *ch, struct agent_output *out)
{
	/*
	 * The last fd of a pty's master hangs up its session. A command closes its side a moment before it ends, and
	 * must not die of that: the input's fd stays until the channel is forgotten.
	 */
	close_fd(&out->fd);
	agent_send(a, BV_FRAME_EOF, out->stream, ch->id, NULL, 0);
}

static bool may_read(const struct agent *a, const struct agent_channel *ch)
{
	return ch->may_send > 0 && a->queued < AGENT_QUEUE_HIGH;
}

static void read_output(struct agent *a, struct agent_channel *ch, struct agent_output *out, int64_t now)
{
	char bytes[AGENT_CHUNK];
	if (out->fd < 0 || !may_read(a, ch))
		return;
	ssize_t n = read(out->fd, bytes, ch->may_send < sizeof(bytes) ? ch->may_send : sizeof(bytes));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* EIO is a pty's end of file. */
	if (n <= 0) {
		end_output(a, ch, out);
		return;
	}
	agent_send(a, BV_FRAME_DATA, out->stream, ch->id, bytes, (size_t)n);
	ch->may_send -= (uint32_t)n;
	ch->quiet_since = now;
	if (ch->ended)
		ch->late += (size_t)n;
}

/* ---- beginning and end ---- */

/* What the child said before its exec; that it said nothing is what is hoped for. False when the channel is gone. */
static bool read_report(struct agent *a, struct agent_channel *ch)
{
	struct agent_report report;
	ssize_t n = read(ch->report, &report, sizeof(report));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == (ssize_t)sizeof(report)) {
		send_refused(a, ch->id, &report.err, report.code);
		forget(a, ch);
		return false;
	}
	close_fd(&ch->report);
	agent_send_u32(a, BV_FRAME_STARTED, ch->id, (uint32_t)ch->pid);
	return true;
}

void agent_channel_reaped(struct agent *a, pid_t pid, int status)
{
	struct agent_channel *ch = a->channels;
	while (ch && (ch->ended || ch->pid != pid))
		ch = ch->next;
	if (!ch || (ch->report >= 0 && !read_report(a, ch)))
		return;
	ch->ended = true;
	ch->code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	ch->patience = PATIENCE_MS;
	ch->quiet_since = 0;
}

static void tell_exit(struct agent *a, struct agent_channel *ch)
{
	for (int i = 0; i < AGENT_OUTPUTS; i++)
		if (ch->out[i].fd >= 0)
			end_output(a, ch, &ch->out[i]);
	agent_send_u32(a, BV_FRAME_EXIT, ch->id, (uint32_t)ch->code);
	forget(a, ch);
}

int agent_channel_age(struct agent *a, struct agent_channel *ch, int64_t now, int64_t elapsed)
{
	if (!ch->ended)
		return -1;
	bool open = false;
	for (int i = 0; i < AGENT_OUTPUTS; i++)
		open = open || ch->out[i].fd >= 0;
	if (open && !may_read(a, ch)) {
		ch->quiet_since = 0;
		return -1;
	}
	if (ch->quiet_since == 0)
		ch->quiet_since = now;
	else
		ch->patience -= elapsed;
	if (open && now - ch->quiet_since < QUIET_MS && ch->patience > 0 && ch->late <= LATE_MAX)
		return QUIET_MS / 4;
	tell_exit(a, ch);
	return -1;
}

/* ---- poll ---- */

void agent_channel_poll(const struct agent *a, const struct agent_channel *ch, struct pollfd *fds)
{
	/* What is not waited for must not be in the set: POLLHUP comes unasked, and again and again. */
	bool reads = ch->report < 0 && may_read(a, ch);
	*fds++ = (struct pollfd){ .fd = ch->report, .events = POLLIN };
	for (int i = 0; i < AGENT_INPUTS; i++) {
		bool waits = ch->in[i].done < ch->in[i].data.len;
		*fds++ = (struct pollfd){ .fd = waits ? ch->in[i].fd : -1, .events = POLLOUT };
	}
	for (int i = 0; i < AGENT_OUTPUTS; i++)
		*fds++ = (struct pollfd){ .fd = reads ? ch->out[i].fd : -1, .events = POLLIN };
}

void agent_channel_serve(struct agent *a, struct agent_channel *ch, const struct pollfd *fds, int64_t now)
{
	if (fds[0].fd >= 0 && fds[0].revents && ch->report >= 0 && !read_report(a, ch))
		return;
	for (int i = 0; i < AGENT_INPUTS; i++)
		if (fds[1 + i].fd >= 0 && fds[1 + i].revents)
			feed(a, ch, &ch->in[i]);
	for (int i = 0; i < AGENT_OUTPUTS; i++)
		if (fds[1 + AGENT_INPUTS + i].fd >= 0 && fds[1 + AGENT_INPUTS + i].revents)
			read_output(a, ch, &ch->out[i], now);
}
