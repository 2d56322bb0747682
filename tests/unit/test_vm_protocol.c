/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/protocol.h"

#include "test.h"
#include "util/cleanup.h"

/* The bytes are the contract between builds: they are written out. */
TEST(frame_bytes)
{
	static const uint8_t want[] = { 3, 0, 0, 0, 64, 0, 1, 0, 7, 1, 0, 0, 'a', 'b', 'c' };
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_frame_put(&b, BV_FRAME_DATA, BV_STREAM_OUT, 0x107, "abc", 3);
	CHECK(!b.bad && b.len == sizeof(want) && memcmp(b.p, want, sizeof(want)) == 0);

	struct bv_frame f;
	CHECK_INT(bv_frame_parse(&f, b.p, b.len), sizeof(want));
	CHECK_INT(f.type, BV_FRAME_DATA);
	CHECK_INT(f.flags, BV_STREAM_OUT);
	CHECK_INT(f.channel, 0x107);
	CHECK_INT(f.len, 3);
	CHECK(memcmp(f.data, "abc", 3) == 0);
}

TEST(frame_incomplete)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_frame f;
	bv_frame_put(&b, BV_FRAME_READY, 0, 0, NULL, 0);
	bv_frame_put(&b, BV_FRAME_STAGE, 0, 0, "x", 1);
	for (size_t n = 0; n < BV_FRAME_HEADER; n++)
		CHECK_INT(bv_frame_parse(&f, b.p, n), 0);
	CHECK_INT(bv_frame_parse(&f, b.p, b.len), BV_FRAME_HEADER);
	CHECK_INT(f.type, BV_FRAME_READY);
	CHECK_INT(bv_frame_parse(&f, b.p + BV_FRAME_HEADER, BV_FRAME_HEADER), 0);
	CHECK_INT(bv_frame_parse(&f, b.p + BV_FRAME_HEADER, BV_FRAME_HEADER + 1), BV_FRAME_HEADER + 1);
}

TEST(frame_length)
{
	static const uint8_t most[BV_FRAME_MAX];
	static const uint8_t beyond[] = { 1, 0, 1, 0 };
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_frame f;
	bv_frame_put(&b, BV_FRAME_DATA, 0, 1, most, sizeof(most));
	CHECK_INT(bv_frame_parse(&f, b.p, b.len), BV_FRAME_HEADER + BV_FRAME_MAX);
	CHECK_INT(bv_frame_parse(&f, beyond, sizeof(beyond)), -EPROTO);
	CHECK_INT(bv_frame_parse(&f, beyond, 3), 0);
}

static struct bv_frame frame_of(const struct bv_buf *b)
{
	return (struct bv_frame){ .data = (const uint8_t *)b->p, .len = (uint32_t)b->len };
}

TEST(numbers)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u16(&b, 0x1234);
	bv_put_u32(&b, 0x89abcdef);
	bv_put_u64(&b, UINT64_C(0x0102030405060708));
	CHECK_INT(b.len, 14);
	CHECK_INT((uint8_t)b.p[0], 0x34);
	CHECK_INT((uint8_t)b.p[2], 0xef);
	CHECK_INT((uint8_t)b.p[6], 8);

	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK_INT(bv_get_u16(&c), 0x1234);
	CHECK_INT(bv_get_u32(&c), 0x89abcdef);
	CHECK(bv_get_u64(&c) == UINT64_C(0x0102030405060708));
	CHECK_INT(bv_cursor_end(&c), 0);
	/* Behind the end: nothing, and that is remembered. */
	CHECK_INT(bv_get_u16(&c), 0);
	CHECK(c.bad);
	CHECK_INT(bv_cursor_end(&c), -EPROTO);
}

TEST(left_over)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, 1);
	bv_put_u16(&b, 1);
	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK_INT(bv_get_u32(&c), 1);
	CHECK_INT(bv_cursor_end(&c), -EPROTO);
	CHECK_INT(bv_get_u32(&c), 0);
	CHECK(c.bad);
	/* After a failure nothing is read, not even what is there. */
	CHECK_INT(bv_get_u16(&c), 0);
}

TEST(strings)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_string(&b, "one");
	bv_put_string(&b, "");
	bv_put_string(&b, "four");
	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	autofree char *one = bv_get_string(&c, 3), *none = bv_get_string(&c, 0);
	CHECK_STR(one, "one");
	CHECK_STR(none, "");
	CHECK(!c.bad);
	autofree char *four = bv_get_string(&c, 3);
	CHECK(!four && c.bad);
}

TEST(string_with_nul)
{
	static const uint8_t bytes[] = { 3, 0, 0, 0, 'a', 0, 'b' };
	struct bv_frame f = { .data = bytes, .len = sizeof(bytes) };
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK(!bv_get_string(&c, 10));
	CHECK(c.bad);
}

TEST(string_that_ends_early)
{
	static const uint8_t bytes[] = { 255, 255, 255, 255, 'a' };
	struct bv_frame f = { .data = bytes, .len = sizeof(bytes) };
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK(!bv_get_string(&c, SIZE_MAX));
	CHECK(c.bad);
}

TEST(string_lists)
{
	char *words[] = { "a", "", "ccc", NULL };
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	autoclean(bv_strv_clear) struct bv_strv l = { 0 };
	bv_put_strings(&b, words);
	bv_put_strings(&b, NULL);
	bv_put_strings(&b, words);
	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	bv_get_strings(&c, &l, 3);
	bv_get_strings(&c, &l, 0);
	CHECK(!c.bad);
	CHECK_INT(l.n, 3);
	CHECK_STR(l.v[2], "ccc");
	bv_get_strings(&c, &l, 2);
	CHECK(c.bad);
	CHECK_INT(l.n, 3);
}

TEST(errors)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_error err = { 0 }, got = { 0 };
	bv_fail(&err, ENOENT, "cannot execute x");
	bv_hint(&err, "type y");
	bv_put_error(&b, &err);
	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	bv_get_error(&c, &got);
	CHECK_INT(bv_cursor_end(&c), 0);
	CHECK_INT(got.code, ENOENT);
	CHECK_STR(got.what, "cannot execute x");
	CHECK_STR(got.hint, "type y");
}

/* The guest is not believed: neither its code, nor its lengths, nor its bytes. */
TEST(error_from_nowhere)
{
	char longer[BV_ERROR_WHAT * 2];
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_error got = { 0 };
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	longer[0] = '\033';
	bv_put_u32(&b, 0x80000000);
	bv_put_string(&b, longer);
	bv_put_u32(&b, 2);
	bv_buf_add(&b, "\0a", 2);
	struct bv_frame f = frame_of(&b);
	struct bv_cursor c = bv_cursor_of(&f);
	bv_get_error(&c, &got);
	CHECK_INT(bv_cursor_end(&c), 0);
	CHECK_INT(got.code, EIO);
	CHECK_INT(strlen(got.what), BV_ERROR_WHAT - 1);
	CHECK_INT(got.what[0], '?');
	CHECK_STR(got.hint, "?a");
	bv_get_error(&c, &got);
	CHECK(c.bad && got.code == EIO && !got.what[0] && !got.hint[0]);
}

TEST(exec_there_and_back)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_exec e = {
		.flags = BV_EXEC_PTY | BV_EXEC_PTY_STDIN, .uid = 1000, .gid = 100, .rows = 24, .columns = 80,
	};
	struct bv_exec got;
	e.cwd = strdup("/tmp");
	bv_strv_add(&e.argv, "sh");
	bv_strv_add(&e.argv, "-c");
	bv_strv_add(&e.env, "A=b");
	bv_put_exec(&b, &e);
	struct bv_frame f = frame_of(&b);
	CHECK_INT(bv_get_exec(&f, &got), 0);
	CHECK(got.flags == e.flags && got.uid == 1000 && got.gid == 100 && got.rows == 24 && got.columns == 80);
	CHECK_STR(got.cwd, "/tmp");
	CHECK(got.argv.n == 2 && bv_streq(got.argv.v[1], "-c") && !got.argv.v[2]);
	CHECK(got.env.n == 1 && bv_streq(got.env.v[0], "A=b"));
	bv_exec_clear(&got);

	/* Each of its beginnings is refused, and leaves nothing to free. */
	for (uint32_t n = 0; n < f.len; n++) {
		struct bv_frame part = { .data = f.data, .len = n };
		CHECK_INT(bv_get_exec(&part, &got), -EPROTO);
	}
	bv_buf_putc(&b, 0);
	f = frame_of(&b);
	CHECK_INT(bv_get_exec(&f, &got), -EPROTO);
	bv_exec_clear(&e);
}

TEST(exec_of_nothing)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_exec e = { 0 }, got;
	bv_put_exec(&b, &e);
	struct bv_frame f = frame_of(&b);
	CHECK_INT(bv_get_exec(&f, &got), 0);
	CHECK(!got.cwd && got.argv.n == 0 && got.env.n == 0);
	bv_exec_clear(&got);
}

TEST_MAIN()
