/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/vm/supervisor/internal.h"
#include "util/cleanup.h"

/* What is left of a buffer moves to its front only when that much was taken from it. */
enum { COMPACT = 65536 };

int sv_stream_read(struct sv_stream *st)
{
	char chunk[BV_FRAME_MAX + BV_FRAME_HEADER];
	if (st->taken > 0) {
		memmove(st->in.p, st->in.p + st->taken, st->in.len - st->taken);
		st->in.len -= st->taken;
		st->taken = 0;
	}
	/* All complete frames were taken, so that what is there is shorter than the longest. */
	size_t room = sizeof(chunk) - (st->in.len < sizeof(chunk) ? st->in.len : sizeof(chunk));
	if (room == 0)
		return -EPROTO;
	ssize_t n = recv(st->fd, chunk, room, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	bv_buf_add(&st->in, chunk, (size_t)n);
	return st->in.bad ? -ENOMEM : 1;
}

int sv_stream_next(struct sv_stream *st, struct bv_frame *f)
{
	size_t left = st->in.len - st->taken;
	int n = left > 0 ? bv_frame_parse(f, st->in.p + st->taken, left) : 0;
	if (n > 0)
		st->taken += (size_t)n;
	if (left == 0) {
		/* A connection that is idle has no memory. */
		bv_buf_clear(&st->in);
		st->taken = 0;
	}
	return n < 0 ? n : n > 0;
}

int sv_stream_write(struct sv_stream *st)
{
	if (st->out.bad)
		return -ENOMEM;
	while (st->sent < st->out.len) {
		ssize_t n = send(st->fd, st->out.p + st->sent, st->out.len - st->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		if (n < 0)
			break;
		st->sent += (size_t)n;
	}
	if (st->sent == st->out.len) {
		bv_buf_clear(&st->out);
		st->sent = 0;
	} else if (st->sent >= COMPACT) {
		st->out.len -= st->sent;
		memmove(st->out.p, st->out.p + st->sent, st->out.len);
		st->sent = 0;
	}
	return 0;
}

size_t sv_stream_unsent(const struct sv_stream *st)
{
	return st->out.len - st->sent;
}

void sv_stream_close(struct sv_stream *st)
{
	close_fd(&st->fd);
	bv_buf_clear(&st->in);
	bv_buf_clear(&st->out);
	st->taken = st->sent = 0;
}
