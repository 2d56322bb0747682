/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/protocol.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/* ---- frames ---- */

void bv_frame_put(struct bv_buf *b, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	bv_put_u32(b, (uint32_t)len);
	bv_put_u16(b, type);
	bv_put_u16(b, flags);
	bv_put_u32(b, channel);
	bv_buf_add(b, data, len);
}

int bv_frame_parse(struct bv_frame *f, const void *p, size_t len)
{
	struct bv_cursor c = { .p = p, .left = len };
	if (len < sizeof(uint32_t))
		return 0;
	f->len = bv_get_u32(&c);
	/* Said at once: the rest of such a frame would never come, or for ever. */
	if (f->len > BV_FRAME_MAX)
		return -EPROTO;
	f->type = bv_get_u16(&c);
	f->flags = bv_get_u16(&c);
	f->channel = bv_get_u32(&c);
	f->data = c.p;
	return c.bad || c.left < f->len ? 0 : BV_FRAME_HEADER + (int)f->len;
}

/* ---- payloads: written ---- */

void bv_put_u16(struct bv_buf *b, uint16_t v)
{
	v = htole16(v);
	bv_buf_add(b, &v, sizeof(v));
}

void bv_put_u32(struct bv_buf *b, uint32_t v)
{
	v = htole32(v);
	bv_buf_add(b, &v, sizeof(v));
}

void bv_put_u64(struct bv_buf *b, uint64_t v)
{
	v = htole64(v);
	bv_buf_add(b, &v, sizeof(v));
}

void bv_put_string(struct bv_buf *b, const char *s)
{
	size_t len = strlen(s);
	bv_put_u32(b, (uint32_t)len);
	bv_buf_add(b, s, len);
}

void bv_put_strings(struct bv_buf *b, char *const *v)
{
	uint32_t n = 0;
	while (v && v[n])
		n++;
	bv_put_u32(b, n);
	for (uint32_t i = 0; i < n; i++)
		bv_put_string(b, v[i]);
}

void bv_put_error(struct bv_buf *b, const struct bv_error *err)
{
	bv_put_u32(b, (uint32_t)err->code);
	bv_put_string(b, err->what);
	bv_put_string(b, err->hint);
}

/* ---- payloads: read ---- */

struct bv_cursor bv_cursor_of(const struct bv_frame *f)
{
	return (struct bv_cursor){ .p = f->data, .left = f->len };
}

/* `n` bytes, or NULL and `bad`: from then on nothing is read any more. */
static const uint8_t *take(struct bv_cursor *c, size_t n)
{
	if (c->bad || c->left < n) {
		c->bad = true;
		return NULL;
	}
	const uint8_t *p = c->p;
	c->p += n;
	c->left -= n;
	return p;
}

uint16_t bv_get_u16(struct bv_cursor *c)
{
	uint16_t v = 0;
	const uint8_t *p = take(c, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t bv_get_u32(struct bv_cursor *c)
{
	uint32_t v = 0;
	const uint8_t *p = take(c, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t bv_get_u64(struct bv_cursor *c)
{
	uint64_t v = 0;
	const uint8_t *p = take(c, sizeof(v));
	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

char *bv_get_string(struct bv_cursor *c, size_t max)
{
	uint32_t len = bv_get_u32(c);
	const uint8_t *p = len <= max ? take(c, len) : NULL;
	char *s = NULL;
	if (p && !memchr(p, '\0', len))
		s = strndup((const char *)p, len);
	if (!s)
		c->bad = true;
	return s;
}

void bv_get_strings(struct bv_cursor *c, struct bv_strv *ret, size_t max)
{
	uint32_t n = bv_get_u32(c);
	if (n > max)
		c->bad = true;
	for (uint32_t i = 0; i < n && !c->bad; i++)
		if (bv_strv_take(ret, bv_get_string(c, BV_EXEC_STRING_MAX)) < 0)
			c->bad = true;
}

/* A text of the other side into a field: cut to what fits, and nothing in it steers a terminal. */
static void get_text(struct bv_cursor *c, char *to, size_t size)
{
	uint32_t len = bv_get_u32(c);
	const uint8_t *p = take(c, len);
	size_t n = len < size - 1 ? len : size - 1;
	for (size_t i = 0; p && i < n; i++)
		to[i] = p[i] < ' ' || p[i] == 0x7f ? '?' : (char)p[i];
	to[p ? n : 0] = '\0';
}

void bv_get_error(struct bv_cursor *c, struct bv_error *err)
{
	uint32_t code = bv_get_u32(c);
	/* An error is an error whatever its number is: no code of the kernel is above 4095. */
	err->code = code > 0 && code < 4096 ? (int)code : EIO;
	get_text(c, err->what, sizeof(err->what));
	get_text(c, err->hint, sizeof(err->hint));
}

int bv_cursor_end(const struct bv_cursor *c)
{
	return c->bad || c->left > 0 ? -EPROTO : 0;
}

/* ---- BV_FRAME_EXEC ---- */

void bv_put_exec(struct bv_buf *b, const struct bv_exec *e)
{
	bv_put_u32(b, e->flags);
	bv_put_u32(b, e->uid);
	bv_put_u32(b, e->gid);
	bv_put_u16(b, e->rows);
	bv_put_u16(b, e->columns);
	bv_put_string(b, e->cwd ? e->cwd : "");
	bv_put_strings(b, e->argv.v);
	bv_put_strings(b, e->env.v);
}

int bv_get_exec(const struct bv_frame *f, struct bv_exec *ret)
{
	struct bv_cursor c = bv_cursor_of(f);
	struct bv_exec e = { .flags = bv_get_u32(&c) };
	e.uid = bv_get_u32(&c);
	e.gid = bv_get_u32(&c);
	e.rows = bv_get_u16(&c);
	e.columns = bv_get_u16(&c);
	e.cwd = bv_get_string(&c, BV_EXEC_STRING_MAX);
	bv_get_strings(&c, &e.argv, BV_EXEC_ARGS_MAX);
	bv_get_strings(&c, &e.env, BV_EXEC_ARGS_MAX);
	int r = bv_cursor_end(&c);
	if (r < 0) {
		bv_exec_clear(&e);
		return r;
	}
	if (e.cwd[0] == '\0') {
		free(e.cwd);
		e.cwd = NULL;
	}
	*ret = e;
	return 0;
}

void bv_exec_clear(struct bv_exec *e)
{
	free(e->cwd);
	bv_strv_clear(&e->argv);
	bv_strv_clear(&e->env);
	*e = (struct bv_exec){ 0 };
}
