/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/vm/guest/agent_internal.h"
#include "util/cleanup.h"

/* ---- out ---- */

/* Frames stay apart, so that each is one write: when process 1 kills us, its own (ENDED) comes behind a whole one. */
struct agent_out_frame {
	struct agent_out_frame *next;
	size_t len, done;
	char bytes[];
};

void agent_stream_init(struct agent *a)
{
	a->connected = true;
	a->last = &a->first;
}

static void drop_first(struct agent *a)
{
	struct agent_out_frame *f = a->first;
	a->first = f->next;
	if (!a->first)
		a->last = &a->first;
	a->queued -= f->len;
	free(f);
}

void agent_send(struct agent *a, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	if (!a->connected || len > BV_FRAME_MAX)
		return;
	bv_frame_put(&b, type, flags, channel, data, len);
	struct agent_out_frame *f = b.bad ? NULL : malloc(sizeof(*f) + b.len);
	if (!f) {
		/* A gap would be misread: the host hears nothing more until it connects anew. */
		a->broken = true;
		return;
	}
	*f = (struct agent_out_frame){ .len = b.len };
	memcpy(f->bytes, b.p, b.len);
	*a->last = f;
	a->last = &f->next;
	a->queued += f->len;
}

void agent_send_u32(struct agent *a, uint16_t type, uint32_t channel, uint32_t value)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, value);
	agent_send_buf(a, type, channel, &b);
}

void agent_send_buf(struct agent *a, uint16_t type, uint32_t channel, struct bv_buf *b)
{
	if (b->bad)
		a->broken = true;
	else
		agent_send(a, type, 0, channel, b->p, b->len);
	bv_buf_clear(b);
}

const void *agent_to_send(const struct agent *a, size_t *len)
{
	if (!a->first)
		return NULL;
	*len = a->first->len - a->first->done;
	return a->first->bytes + a->first->done;
}

void agent_sent(struct agent *a, size_t len)
{
	a->first->done += len;
	if (a->first->done == a->first->len)
		drop_first(a);
}

/* ---- in ---- */

static void take_frame(struct agent *a, const struct bv_frame *f)
{
	if (f->channel != 0)
		agent_channel_frame(a, f);
	else if (agent_machine_frame(a, f) < 0)
		a->broken = true;
}

/* All whole frames of `data`; the bytes that were used. */
static size_t take_frames(struct agent *a, const char *data, size_t len)
{
	size_t used = 0;
	while (!a->broken) {
		struct bv_frame f;
		int n = bv_frame_parse(&f, data + used, len - used);
		if (n < 0)
			a->broken = true;
		if (n <= 0)
			break;
		take_frame(a, &f);
		used += (size_t)n;
	}
	return used;
}

void agent_receive(struct agent *a, const void *data, size_t len)
{
	if (!a->broken) {
		bv_buf_add(&a->in, data, len);
		a->broken = a->broken || a->in.bad;
	}
	if (!a->broken) {
		size_t used = take_frames(a, a->in.p, a->in.len);
		memmove(a->in.p, a->in.p + used, a->in.len - used);
		a->in.len -= used;
	}
	/* Where the next frame begins cannot be found. What was asked for ends; what comes now is not even kept. */
	if (a->broken) {
		bv_buf_clear(&a->in);
		while (a->channels)
			agent_channel_close(a, a->channels);
	}
}

void agent_forget_host(struct agent *a)
{
	a->connected = false;
	a->broken = false;
	while (a->channels)
		agent_channel_close(a, a->channels);
	while (a->first)
		drop_first(a);
	bv_buf_clear(&a->in);
}
