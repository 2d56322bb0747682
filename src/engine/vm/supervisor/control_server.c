/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/vm/supervisor/internal.h"
#include "util/cleanup.h"
#include "util/log.h"

/*
 * The control socket RUN/NAME/vm. A client asks QEMU something, or opens one channel to the agent: frames of that go
 * to and fro with the channel's number rewritten, and the windows of both sides are looked after here, so that neither
 * a guest nor a client that is slow can fill our memory or keep others waiting.
 */

enum {
	BACKLOG = 16,
	EOFS_MAX = 4,           /* a channel has no more streams */
	UNREAD_MAX = 4 << 20,   /* of a client: windows allow for less, even in frames of one byte */
};

/* ---- the socket ---- */

int sv_control_listen(struct supervisor *s, struct bv_error *err)
{
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bv_fail_errno(err, "cannot make a socket");
	/* By the directory's fd: a socket's address has room for 107 bytes. */
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/vm", s->run_dir);
	int r = bind(fd, (struct sockaddr *)&a, sizeof(a));
	if (r < 0 && errno == EADDRINUSE) {
		/* Of a run that was killed, or that rebooted: by the instance's lock nobody has it. */
		unlinkat(s->run_dir, "vm", 0);
		r = bind(fd, (struct sockaddr *)&a, sizeof(a));
	}
	/* The directory is 0700, so nobody was faster. */
	if (r < 0 || fchmodat(s->run_dir, "vm", 0600, 0) < 0 || listen(fd, BACKLOG) < 0)
		return bv_fail_errno(err, "cannot listen on the run directory's vm");
	s->listener = take_fd(&fd);
	return 0;
}

static void put_error(struct sv_client *c, const struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_error(&b, err);
	c->stream.out.bad |= b.bad;
	bv_frame_put(&c->stream.out, BV_FRAME_ERROR, 0, 0, b.p, b.len);
}

/* A free place; else that of a client that has all it wanted, or has not asked for anything. */
static struct sv_client *find_place(struct supervisor *s)
{
	struct sv_client *idle = NULL;
	for (size_t i = 0; i < BV_SV_CLIENTS; i++) {
		struct sv_client *c = &s->clients[i];
		if (c->stream.fd < 0)
			return c;
		if (!c->channel && !c->asking && sv_stream_unsent(&c->stream) == 0)
			idle = c;
	}
	if (idle)
		sv_client_drop(s, idle);
	return idle;
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

void sv_control_accept(struct supervisor *s)
{
	autoclose int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 || !is_allowed(fd))
		return;
	struct sv_client *c = find_place(s), refused = { .stream.fd = fd };
	if (!c) {
		struct bv_error err = { 0 };
		bv_fail(&err, EBUSY, "%d commands are connected to this VM already", BV_SV_CLIENTS);
		put_error(&refused, &err);
		sv_stream_write(&refused.stream);
		bv_buf_clear(&refused.stream.out);
		return;
	}
	*c = (struct sv_client){ .stream.fd = take_fd(&fd), .serial = ++s->next_serial };
}

void sv_client_drop(struct supervisor *s, struct sv_client *c)
{
	if (c->channel)
		sv_agent_send(s, BV_FRAME_CLOSE, 0, c->channel, NULL, 0);
	sv_stream_close(&c->stream);
	*c = (struct sv_client){ .stream.fd = -1 };
}

/* Its channel is over; it gets to know why, and has to go. */
static void fail_client(struct supervisor *s, struct sv_client *c, const struct bv_error *err)
{
	if (c->channel)
		sv_agent_send(s, BV_FRAME_CLOSE, 0, c->channel, NULL, 0);
	c->channel = 0;
	c->ended = c->closing = true;
	put_error(c, err);
}

void sv_clients_fail(struct supervisor *s, const struct bv_error *err)
{
	for (size_t i = 0; i < BV_SV_CLIENTS; i++)
		if (s->clients[i].channel) {
			fail_client(s, &s->clients[i], err);
			sv_stream_write(&s->clients[i].stream);
		}
}

/* ---- questions ---- */

struct question {
	struct supervisor *s;
	uint64_t serial;
	enum bv_ask what;
};

static struct sv_client *client_of(const struct question *q)
{
	for (size_t i = 0; i < BV_SV_CLIENTS; i++)
		if (q->s->clients[i].stream.fd >= 0 && q->s->clients[i].serial == q->serial)
			return &q->s->clients[i];
	return NULL;
}

static void put_answer(struct sv_client *c, const char *text)
{
	size_t left = strlen(text);
	do {
		size_t n = left < BV_FRAME_MAX ? left : BV_FRAME_MAX;
		left -= n;
		bv_frame_put(&c->stream.out, BV_FRAME_ANSWER, left == 0, 0, text, n);
		text += n;
	} while (left > 0);
}

/* What QEMU said as the client is to hear it; NULL with the error. */
static char *translate(enum bv_ask what, const char *json, struct bv_error *err)
{
	char *text = NULL;
	if (what == BV_ASK_QMP)
		text = strdup(json);
	else if (what == BV_ASK_HMP && (text = bv_qmp_returned_text(json)))
		return text;
	else if (bv_qmp_explain(json, err) == -EPROTO)
		text = strdup("");
	if (!text)
		bv_fail(err, ENOMEM, "out of memory");
	return text;
}

static void answered(void *data, const char *json, const struct bv_error *failure)
{
	autofree struct question *q = data;
	struct sv_client *c = client_of(q);
	struct bv_error err = { 0 };
	if (failure)
		err = *failure;
	autofree char *text = json ? translate(q->what, json, &err) : NULL;
	if (q->what == BV_ASK_RESUME && text)
		sv_agent_clock(q->s);
	if (!c)
		return;
	c->asking = false;
	if (text)
		put_answer(c, text);
	else
		put_error(c, &err);
	/* The loop does the rest; an error there is found by the next poll. */
	sv_stream_write(&c->stream);
}

static int send_question(struct question *q, const char *text, struct bv_error *err)
{
	struct bv_qmp *qmp = q->s->qmp;
	switch (q->what) {
	case BV_ASK_QMP:
		return bv_qmp_send(qmp, text, answered, q, err);
	case BV_ASK_HMP: {
		json_t *j = json_pack("{s:s}", "command-line", text);
		autofree char *arguments = j ? json_dumps(j, JSON_COMPACT) : NULL;
		json_decref(j);
		if (!arguments)
			return bv_fail(err, EINVAL, "the command is not UTF-8");
		return bv_qmp_execute(qmp, "human-monitor-command", arguments, answered, q, err);
	}
	case BV_ASK_PAUSE:
		return bv_qmp_execute(qmp, "stop", NULL, answered, q, err);
	case BV_ASK_RESUME:
		return bv_qmp_execute(qmp, "cont", NULL, answered, q, err);
	}
	return bv_fail(err, EOPNOTSUPP, "the VM's supervisor does not know this question");
}

static int take_question(struct supervisor *s, struct sv_client *c, const struct bv_frame *f)
{
	struct bv_cursor cursor = bv_cursor_of(f);
	autofree char *text = bv_get_string(&cursor, BV_FRAME_MAX);
	if (bv_cursor_end(&cursor) < 0 || c->asking)
		return -EPROTO;
	struct bv_error err = { 0 };
	struct question *q = malloc(sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct question){ .s = s, .serial = c->serial, .what = f->flags };
	c->asking = true;
	if (send_question(q, text, &err) < 0) {
		free(q);
		c->asking = false;
		put_error(c, &err);
	}
	return 0;
}

/* ---- a channel ---- */

static void refuse(struct sv_client *c, uint32_t channel, const struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_error(&b, err);
	bv_put_u32(&b, 1);
	c->stream.out.bad |= b.bad;
	bv_frame_put(&c->stream.out, BV_FRAME_REFUSED, 0, channel, b.p, b.len);
	c->ended = true;
}

static int open_channel(struct supervisor *s, struct sv_client *c, const struct bv_frame *f)
{
	struct bv_exec exec;
	struct bv_error err = { 0 };
	if (f->type != BV_FRAME_EXEC || bv_get_exec(f, &exec) < 0)
		return -EPROTO;
	bv_exec_clear(&exec);
	c->own = f->channel;
	uint32_t channel = ++s->next_channel ? s->next_channel : ++s->next_channel;
	if (!s->ready)
		bv_fail(&err, EINPROGRESS, "the guest still boots");
	else if (!sv_agent_alive(s))
		bv_fail(&err, ENOTCONN, "the guest's agent has ended");
	else if (sv_agent_busy(s) || sv_agent_send(s, BV_FRAME_EXEC, f->flags, channel, f->data, f->len) < 0)
		bv_fail(&err, EAGAIN, "the guest's agent does not read what it is sent");
	if (err.code) {
		refuse(c, f->channel, &err);
		return 0;
	}
	c->channel = channel;
	c->to_guest = c->from_guest = BV_FRAME_WINDOW;
	return 0;
}

/* Credit for one side, which has `*window` left: the sum is never more than the whole window. */
static bool take_credit(const struct bv_frame *f, uint32_t *window)
{
	struct bv_cursor c = bv_cursor_of(f);
	uint32_t n = bv_get_u32(&c);
	if (bv_cursor_end(&c) < 0 || n == 0 || n > BV_FRAME_WINDOW - *window)
		return false;
	*window += n;
	return true;
}

static bool take_data(const struct bv_frame *f, uint32_t *window)
{
	if (f->len == 0 || f->len > *window)
		return false;
	*window -= f->len;
	return true;
}

/* Is the frame one that a client may send now? */
static bool check_client_frame(struct sv_client *c, const struct bv_frame *f)
{
	switch (f->type) {
	case BV_FRAME_SIZE:
	case BV_FRAME_SIGNAL:
		return f->len == sizeof(uint32_t);
	case BV_FRAME_CLOSE:
		return f->len == 0;
	case BV_FRAME_DATA:
		return take_data(f, &c->to_guest);
	case BV_FRAME_EOF:
		return f->len == 0 && c->eofs_to_guest++ < EOFS_MAX;
	case BV_FRAME_CREDIT:
		return take_credit(f, &c->from_guest);
	default:
		return false;
	}
}

static int take_client_frame(struct supervisor *s, struct sv_client *c, const struct bv_frame *f)
{
	if (f->channel == 0)
		return f->type == BV_FRAME_ASK ? take_question(s, c, f) : -EPROTO;
	if (c->ended) /* it may not know yet */
		return 0;
	if (!c->channel)
		return open_channel(s, c, f);
	if (f->channel != c->own || !check_client_frame(c, f))
		return -EPROTO;
	sv_agent_send(s, f->type, f->flags, c->channel, f->data, f->len);
	if (f->type == BV_FRAME_CLOSE) {
		c->channel = 0;
		c->ended = true;
	}
	return 0;
}

/* Is the frame one that the guest may send now? */
static bool check_guest_frame(struct sv_client *c, const struct bv_frame *f)
{
	struct bv_cursor cursor = bv_cursor_of(f);
	struct bv_error err = { 0 };
	switch (f->type) {
	case BV_FRAME_STARTED:
		if (c->started)
			return false;
		c->started = true;
		return f->len == sizeof(uint32_t);
	case BV_FRAME_REFUSED:
		bv_get_error(&cursor, &err);
		bv_get_u32(&cursor);
		return !c->started && bv_cursor_end(&cursor) == 0;
	case BV_FRAME_EXIT:
		return c->started && f->len == sizeof(uint32_t);
	case BV_FRAME_DATA:
		return take_data(f, &c->from_guest);
	case BV_FRAME_EOF:
		return f->len == 0 && c->eofs_from_guest++ < EOFS_MAX;
	case BV_FRAME_CREDIT:
		return take_credit(f, &c->to_guest);
	default:
		return false;
	}
}

void sv_client_deliver(struct supervisor *s, const struct bv_frame *f)
{
	struct sv_client *c = NULL;
	for (size_t i = 0; i < BV_SV_CLIENTS && !c; i++)
		if (s->clients[i].channel == f->channel)
			c = &s->clients[i];
	/* It was sent before the agent knew that its client is gone. */
	if (!c)
		return;
	if (!check_guest_frame(c, f)) {
		struct bv_error err = { 0 };
		bv_fail(&err, EPROTO, "the guest's agent sent what the protocol does not have");
		bv_warn("vm", "%s (frame of type %u): the command's channel is closed", err.what, f->type);
		fail_client(s, c, &err);
	} else {
		bv_frame_put(&c->stream.out, f->type, f->flags, c->own, f->data, f->len);
		if (f->type == BV_FRAME_REFUSED || f->type == BV_FRAME_EXIT) {
			c->channel = 0;
			c->ended = true;
		}
	}
	/* What cannot be sent now waits for poll, as does an error. */
	sv_stream_write(&c->stream);
	if (sv_stream_unsent(&c->stream) > UNREAD_MAX)
		sv_client_drop(s, c);
}

/* ---- the loop's part ---- */

/* One that waits for an answer, has not read the last one, or whose guest is busy, is not listened to. */
static bool wants_read(const struct supervisor *s, const struct sv_client *c)
{
	bool unread = sv_stream_unsent(&c->stream) > 0;
	return !c->asking && !c->closing && !(unread && !c->channel) && !(c->channel && sv_agent_busy(s));
}

short sv_client_events(const struct supervisor *s, const struct sv_client *c)
{
	bool writes = sv_stream_unsent(&c->stream) > 0 || c->closing;
	return (short)((wants_read(s, c) ? POLLIN : 0) | (writes ? POLLOUT : 0));
}

static int read_client(struct supervisor *s, struct sv_client *c)
{
	int r = sv_stream_read(&c->stream);
	struct bv_frame f;
	while (r >= 0 && !c->closing && (r = sv_stream_next(&c->stream, &f)) > 0)
		r = take_client_frame(s, c, &f);
	return r;
}

void sv_client_serve(struct supervisor *s, struct sv_client *c, short events)
{
	int r = 0;
	if ((events & (POLLIN | POLLHUP)) && wants_read(s, c))
		r = read_client(s, c);
	else if (events & (POLLHUP | POLLERR | POLLNVAL))
		r = -EPIPE;
	if (r == 0)
		r = sv_stream_write(&c->stream);
	if (r == -EPROTO)
		bv_warn("vm", "a client of the control socket sent what the protocol does not have");
	if (r < 0 || (c->closing && sv_stream_unsent(&c->stream) == 0))
		sv_client_drop(s, c);
}
