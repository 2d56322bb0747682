/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>

#include "engine/vm/boot.h"
#include "engine/vm/protocol.h"
#include "util/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is an EXEC is written again as it was read. */
static void read_exec(const struct bv_frame *f)
{
	struct bv_exec e;
	struct bv_buf b = { 0 };
	if (bv_get_exec(f, &e) < 0)
		return;
	bv_put_exec(&b, &e);
	if (b.bad || b.len != f->len || memcmp(b.p, f->data, b.len) != 0)
		abort();
	bv_exec_clear(&e);
	bv_buf_clear(&b);
}

static void read_payloads(const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	struct bv_error err = { 0 };
	bv_get_error(&c, &err);
	if (!err.code || memchr(err.what, '\0', sizeof(err.what)) == NULL)
		abort();
	bv_get_u32(&c);
	if (bv_cursor_end(&c) == 0 && c.left)
		abort();

	c = bv_cursor_of(f);
	bv_get_u32(&c);
	char *s = bv_get_string(&c, BV_FRAME_MAX);
	if (c.bad != !s)
		abort();
	free(s);
	bv_get_u64(&c);
	bv_get_u16(&c);
	if (c.left > f->len)
		abort();
	read_exec(f);
}

/* Frames one after the other, as from the stream; what there is of the last one is a payload of each kind as well. */
static void read_frames(const uint8_t *data, size_t size)
{
	struct bv_frame f;
	for (;;) {
		int n = bv_frame_parse(&f, data, size);
		if (n <= 0)
			break;
		if ((size_t)n > size || (uint32_t)n != BV_FRAME_HEADER + f.len || f.data != data + BV_FRAME_HEADER)
			abort();
		read_payloads(&f);
		data += n;
		size -= (size_t)n;
	}
	f = (struct bv_frame){ .data = data, .len = (uint32_t)size };
	read_payloads(&f);
}

/* A text that is taken means the same when it is written and read again. */
static void read_boot(const uint8_t *data, size_t size)
{
	struct bv_boot b = { 0 }, again = { 0 };
	struct bv_error err = { 0 };
	autofree char *text = strndup((const char *)data, size);
	if (bv_boot_parse(&b, text, &err) < 0) {
		if (!err.what[0] || b.root_type || b.mounts.v)
			abort();
		return;
	}
	autofree char *once = bv_boot_format(&b);
	if (bv_boot_parse(&again, once, &err) < 0)
		abort();
	autofree char *twice = bv_boot_format(&again);
	if (!bv_streq(once, twice))
		abort();
	bv_boot_clear(&b);
	bv_boot_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4 * (size_t)BV_FRAME_MAX)
		return 0;
	read_frames(data, size);
	read_boot(data, size);
	return 0;
}
