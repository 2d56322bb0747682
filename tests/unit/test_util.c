/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/error.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"
#include "util/stepper.h"
#include "util/str.h"

/* ---- error ---- */

TEST(error_first_failure_wins)
{
	struct bv_error err = { 0 };
	CHECK_INT(bv_fail(&err, ENOENT, "no %s", "file"), -ENOENT);
	CHECK_INT(bv_fail(&err, EIO, "later"), -ENOENT);
	CHECK_STR(err.what, "no file");
	CHECK_INT(err.code, ENOENT);
	bv_error_clear(&err);
	CHECK_INT(err.code, 0);
	CHECK_STR(err.what, "");
}

TEST(error_code_has_one_sign)
{
	struct bv_error err = { 0 };
	CHECK_INT(bv_fail(&err, -EPERM, "x"), -EPERM);
	bv_error_clear(&err);
	CHECK_INT(bv_fail(&err, 0, "x"), -EIO);
	CHECK_INT(bv_fail(NULL, EBUSY, "x"), -EBUSY);
}

TEST(error_errno_is_appended)
{
	struct bv_error err = { 0 };
	errno = EACCES;
	CHECK_INT(bv_fail_errno(&err, "cannot open %s", "/x"), -EACCES);
	CHECK_STR(err.what, "cannot open /x: Permission denied");
}

TEST(error_is_cut_never_overrun)
{
	struct bv_error err = { 0 };
	char longer[2 * BV_ERROR_WHAT];
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	errno = ENOSPC;
	bv_fail_errno(&err, "%s", longer);
	CHECK_INT(strlen(err.what), BV_ERROR_WHAT - 1);
	bv_error_prefix(&err, "file");
	CHECK(strncmp(err.what, "file: aaa", 9) == 0);
	CHECK_INT(strlen(err.what), BV_ERROR_WHAT - 1);
	bv_hint(&err, "%s", longer);
	CHECK_INT(strlen(err.hint), BV_ERROR_HINT - 1);
}

TEST(error_defuses_control_characters)
{
	struct bv_error err = { 0 };
	bv_fail(&err, EINVAL, "bad %s", "\033[2Jname\n\177");
	CHECK_STR(err.what, "bad ?[2Jname??");
	bv_hint(&err, "say %s", "\a");
	CHECK_STR(err.hint, "say ?");
	bv_hint(&err, "another");
	CHECK_STR(err.hint, "say ?");
}

TEST(error_travels_in_one_atomic_write)
{
	CHECK(sizeof(struct bv_error) < 4096); /* PIPE_BUF */
}

/* ---- numbers ---- */

TEST(num_u64)
{
	uint64_t v = 7;
	CHECK_INT(bv_parse_u64("0", &v), 0);
	CHECK(v == 0);
	CHECK_INT(bv_parse_u64("18446744073709551615", &v), 0);
	CHECK(v == UINT64_MAX);
	CHECK_INT(bv_parse_u64("0x10", &v), 0);
	CHECK(v == 16);
	CHECK_INT(bv_parse_u64("010", &v), 0);
	CHECK(v == 8);
	v = 7;
	CHECK_INT(bv_parse_u64("18446744073709551616", &v), -ERANGE);
	static const char *const bad[] = { "", " 1", "1 ", "-1", "+1", "1x", "x", "08", "0x" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(bv_parse_u64(bad[i], &v), -EINVAL);
	CHECK(v == 7);
}

TEST(num_narrower_types)
{
	uint32_t u = 1;
	CHECK_INT(bv_parse_u32("4294967295", &u), 0);
	CHECK(u == UINT32_MAX);
	CHECK_INT(bv_parse_u32("4294967296", &u), -ERANGE);
	int i = 1;
	CHECK_INT(bv_parse_int("-2147483648", &i), 0);
	CHECK_INT(i, INT32_MIN);
	CHECK_INT(bv_parse_int("2147483648", &i), -ERANGE);
	CHECK_INT(bv_parse_int("-2147483649", &i), -ERANGE);
	int64_t l = 1;
	CHECK_INT(bv_parse_i64("-9223372036854775808", &l), 0);
	CHECK(l == INT64_MIN);
	CHECK_INT(bv_parse_i64("9223372036854775808", &l), -ERANGE);
	CHECK_INT(bv_parse_i64("-", &l), -EINVAL);
	CHECK_INT(bv_parse_i64("--1", &l), -EINVAL);
}

TEST(num_bool)
{
	int b = 5;
	CHECK_INT(bv_parse_bool("1", &b), 0);
	CHECK_INT(b, 1);
	CHECK_INT(bv_parse_bool("0", &b), 0);
	CHECK_INT(b, 0);
	static const char *const bad[] = { "", "2", "01", "true", "1 " };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(bv_parse_bool(bad[i], &b), -EINVAL);
}

TEST(num_size)
{
	static const struct {
		const char *text;
		uint64_t unit, want;
	} good[] = {
		{ "1", 1, 1 },          { "3", 1024, 3072 },     { "5B", 1024, 5 },
		{ "1K", 1, 1024 },      { "1k", 1, 1024 },       { "2KB", 1, 2048 },
		{ "2KiB", 1, 2048 },    { "1 MB", 1, 1048576 },  { "4G", 1, UINT64_C(4) << 30 },
		{ "1t", 1, UINT64_C(1) << 40 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t v = 0;
		CHECK_INT(bv_parse_size(good[i].text, good[i].unit, &v), 0);
		CHECK(v == good[i].want);
	}
	static const char *const bad[] = { "", "K", "-1", "1X", "1KX", "1BB", "1.5G", "1KiBB", "0x10" };
	uint64_t v;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(bv_parse_size(bad[i], 1, &v), -EINVAL);
	CHECK_INT(bv_parse_size("18446744073709551616", 1, &v), -ERANGE);
	CHECK_INT(bv_parse_size("16777216T", 1, &v), -ERANGE);
	CHECK_INT(bv_parse_size("11111111111111111111111111111111111111111", 1, &v), -ERANGE);
}

/* ---- strings ---- */

TEST(strv_grows_and_stays_terminated)
{
	autoclean(bv_strv_clear) struct bv_strv l = { 0 };
	CHECK(l.v == NULL);
	for (int i = 0; i < 100; i++) {
		CHECK_INT(bv_strv_addf(&l, "%d", i), 0);
		CHECK_INT(l.n, i + 1);
		CHECK(l.v[l.n] == NULL);
	}
	CHECK_STR(l.v[0], "0");
	CHECK_STR(l.v[99], "99");
	CHECK(bv_strv_has(&l, "57") && !bv_strv_has(&l, "100"));
	autoclean(bv_strv_clear) struct bv_strv copy = { 0 };
	CHECK_INT(bv_strv_copy(&copy, &l), 0);
	CHECK_INT(copy.n, 100);
	CHECK(copy.v[3] != l.v[3]);
	CHECK_INT(bv_strv_addn(&copy, "abcdef", 3), 0);
	CHECK_STR(copy.v[100], "abc");
	CHECK_INT(bv_strv_take(&copy, NULL), -ENOMEM);
}

TEST(strv_split)
{
	autoclean(bv_strv_clear) struct bv_strv l = { 0 };
	CHECK_INT(bv_strv_split(&l, ",,a, b,,c ,", ", "), 0);
	CHECK_INT(l.n, 3);
	CHECK_STR(l.v[2], "c");
	bv_strv_clear(&l);
	CHECK_INT(bv_strv_split(&l, "", ","), 0);
	CHECK_INT(l.n, 0);
}

TEST(strv_split_quoted)
{
	autoclean(bv_strv_clear) struct bv_strv l = { 0 };
	CHECK_INT(bv_strv_split_quoted(&l, "  a 'b c'\t\"d \\\" \\x e\"f \\  '' $HOME *"), 0);
	static const char *const want[] = { "a", "b c", "d \" \\x ef", " ", "", "$HOME", "*" };
	CHECK_INT(l.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < l.n && i < ARRAY_SIZE(want); i++)
		CHECK_STR(l.v[i], want[i]);
	CHECK_INT(bv_strv_split_quoted(&l, "a 'b"), -EINVAL);
	CHECK_INT(bv_strv_split_quoted(&l, "a \"b"), -EINVAL);
}

TEST(buf_grows)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	for (int i = 0; i < 1000; i++)
		bv_buf_printf(&b, "%03d,", i);
	CHECK_INT(b.len, 4000);
	CHECK_INT(strlen(b.p), 4000);
	bv_buf_putc(&b, '!');
	bv_buf_puts(&b, "end");
	autofree char *s = bv_buf_take(&b);
	CHECK(s && strcmp(s + 3996, "999,!end") == 0);
	CHECK(b.p == NULL && b.len == 0);
	autofree char *empty = bv_buf_take(&b);
	CHECK_STR(empty, "");
}

TEST(buf_out_of_memory_sticks)
{
	struct bv_buf b = { .bad = true };
	bv_buf_puts(&b, "lost");
	CHECK(bv_buf_take(&b) == NULL);
	CHECK(!b.bad);
}

TEST(str_helpers)
{
	char s[] = " \t a b\r\n";
	CHECK_STR(bv_strip(s), "a b");
	char blank[] = " \n";
	CHECK_STR(bv_strip(blank), "");
	CHECK_STR(bv_after("lxc.net.0", "lxc."), "net.0");
	CHECK(bv_after("lx", "lxc.") == NULL);
	autofree char *f = bv_asprintf("%s-%d", "a", 1);
	CHECK_STR(f, "a-1");
}

TEST(nearest_suggests_only_what_is_near)
{
	static const char *const words[] = { "memory", "memory_swap", "cpus", "kernel" };
	CHECK_STR(bv_nearest("memroy", words, 4), "memory");
	CHECK_STR(bv_nearest("cpu", words, 4), "cpus");
	CHECK(bv_nearest("initialisation", words, 4) == NULL);
	CHECK(bv_nearest("x", words, 0) == NULL);
}

/* ---- files ---- */

/* A directory of our own, as an fd; removed by leave(). */
static int enter(char *path)
{
	strcpy(path, "/tmp/bv-test-XXXXXX");
	return mkdtemp(path) ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

static void leave(const char *path)
{
	CHECK_INT(bv_remove_tree(AT_FDCWD, path), 0);
	CHECK_INT(access(path, F_OK), -1);
}

TEST(file_replace_and_read)
{
	char path[32];
	autoclose int dir = enter(path);
	CHECK(dir >= 0);
	mode_t old = umask(077);
	CHECK_INT(bv_replace_file(dir, "f", "one\n", 4, 0644, true), 0);
	umask(old);
	struct stat st = { 0 };
	CHECK_INT(fstatat(dir, "f", &st, 0), 0);
	CHECK_INT(st.st_mode & 07777, 0644);
	ino_t first = st.st_ino;
	CHECK_INT(bv_replace_file(dir, "f", "two", 3, 0600, false), 0);
	CHECK_INT(fstatat(dir, "f", &st, 0), 0);
	CHECK(st.st_ino != first);

	autofree char *text = NULL;
	size_t len = 0;
	CHECK_INT(bv_read_file(dir, "f", 0, &text, &len), 0);
	CHECK_STR(text, "two");
	CHECK_INT(len, 3);
	autofree char *none = NULL;
	CHECK_INT(bv_read_file(dir, "f", 2, &none, NULL), -EFBIG);
	CHECK_INT(bv_read_file(dir, "missing", 0, &none, NULL), -ENOENT);
	CHECK(none == NULL);
	CHECK_INT(bv_replace_file(dir, "no/such/dir", "x", 1, 0600, false), -ENOENT);
	leave(path);
}

TEST(file_replace_leaves_no_temporary_behind)
{
	char path[32];
	autoclose int dir = enter(path);
	CHECK_INT(mkdirat(dir, "d", 0700), 0);
	CHECK_INT(mkdirat(dir, "d/x", 0700), 0);
	CHECK(bv_replace_file(dir, "d", "x", 1, 0600, false) < 0); /* a directory is there: rename fails */
	char tmp[32];
	snprintf(tmp, sizeof(tmp), "d.%d~", (int)getpid());
	CHECK_INT(faccessat(dir, tmp, F_OK, 0), -1);
	leave(path);
}

TEST(file_small)
{
	char path[32], buf[8];
	autoclose int dir = enter(path);
	CHECK_INT(bv_write_small(dir, "f", "x"), -ENOENT);
	CHECK_INT(bv_replace_file(dir, "f", "0123456789\n\n", 12, 0600, false), 0);
	CHECK_INT(bv_read_small(dir, "f", buf, sizeof(buf)), 7);
	CHECK_STR(buf, "0123456");
	CHECK_INT(bv_replace_file(dir, "f", "12\n\n", 4, 0600, false), 0);
	CHECK_INT(bv_read_small(dir, "f", buf, sizeof(buf)), 2);
	CHECK_STR(buf, "12");
	CHECK_INT(bv_write_small(dir, "f", "9"), 0);
	CHECK_INT(bv_read_small(dir, "f", buf, sizeof(buf)), 2);
	CHECK_STR(buf, "92"); /* written over, not truncated */
	autofree char *proc = NULL;
	CHECK_INT(bv_read_file(AT_FDCWD, "/proc/self/status", 0, &proc, NULL), 0);
	CHECK(proc && strstr(proc, "Pid:"));
	leave(path);
}

TEST(file_mkdir_p)
{
	char path[32];
	autoclose int dir = enter(path);
	CHECK_INT(bv_mkdir_p(dir, "a/b/c", 0755), 0);
	CHECK_INT(bv_mkdir_p(dir, "a/b/c", 0755), 0);
	CHECK_INT(bv_replace_file(dir, "f", "", 0, 0600, false), 0);
	CHECK(bv_mkdir_p(dir, "f/x", 0755) < 0);
	leave(path);
}

TEST(file_remove_tree_follows_no_links)
{
	char path[32], outside[32];
	autoclose int dir = enter(path);
	autoclose int other = enter(outside);
	CHECK_INT(bv_replace_file(other, "kept", "", 0, 0600, false), 0);
	CHECK_INT(bv_mkdir_p(dir, "t/u/v", 0700), 0);
	CHECK_INT(symlinkat(outside, dir, "t/u/link"), 0);
	CHECK_INT(symlinkat("/nowhere", dir, "t/dangling"), 0);
	CHECK_INT(bv_remove_tree(dir, "t"), 0);
	CHECK_INT(faccessat(dir, "t", F_OK, 0), -1);
	CHECK_INT(faccessat(other, "kept", F_OK, 0), 0);
	CHECK_INT(symlinkat(outside, dir, "top"), 0);
	CHECK_INT(bv_remove_tree(dir, "top"), 0); /* the link, not what it names */
	CHECK_INT(faccessat(other, "kept", F_OK, 0), 0);
	CHECK_INT(bv_remove_tree(dir, "t"), 0); /* gone already */
	leave(path);
	leave(outside);
}

/* ---- log ---- */

struct heard {
	int n;
	enum bv_log_level level;
	char module[16], message[1100];
};

static void hear(void *data, enum bv_log_level level, const char *module, const char *message)
{
	struct heard *h = data;
	h->n++;
	h->level = level;
	snprintf(h->module, sizeof(h->module), "%s", module);
	snprintf(h->message, sizeof(h->message), "%s", message);
	errno = EXDEV;
}

TEST(log_filters_and_keeps_errno)
{
	struct heard h = { 0 };
	bv_log_set_sink(hear, &h, BV_LOG_INFO);
	CHECK(bv_log_enabled(BV_LOG_INFO) && !bv_log_enabled(BV_LOG_DEBUG));
	bv_debug("m", "not heard");
	CHECK_INT(h.n, 0);
	errno = EPERM;
	bv_warn("net", "a\nb\033 %d", 1);
	CHECK_INT(errno, EPERM);
	CHECK_INT(h.n, 1);
	CHECK_INT(h.level, BV_LOG_WARN);
	CHECK_STR(h.module, "net");
	CHECK_STR(h.message, "a?b? 1");
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	CHECK(!bv_log_enabled(BV_LOG_FATAL));
}

TEST(log_level_names)
{
	for (int i = BV_LOG_TRACE; i <= BV_LOG_FATAL; i++)
		CHECK_INT(bv_log_level_parse(bv_log_level_name(i)), i);
	CHECK(bv_log_level_name(9) == NULL && bv_log_level_name(-1) == NULL);
	CHECK_INT(bv_log_level_parse("debug"), BV_LOG_DEBUG);
	CHECK_INT(bv_log_level_parse("4"), BV_LOG_WARN);
	CHECK_INT(bv_log_level_parse("9"), -EINVAL);
	CHECK_INT(bv_log_level_parse("44"), -EINVAL);
	CHECK_INT(bv_log_level_parse(""), -EINVAL);
}

/* ---- stepper ---- */

struct trail {
	char text[64];
	int fail_c;
};

static void mark(struct trail *t, char c)
{
	size_t n = strlen(t->text);
	if (n + 1 < sizeof(t->text)) {
		t->text[n] = c;
		t->text[n + 1] = '\0';
	}
}

static int step_a(void *ctx, struct bv_error *err)
{
	(void)err;
	mark(ctx, 'a');
	return 0;
}

static int step_c(void *ctx, struct bv_error *err)
{
	struct trail *t = ctx;
	mark(t, 'c');
	return t->fail_c ? bv_fail(err, EBUSY, "c failed") : 3;
}

static void undo_a(void *ctx)
{
	mark(ctx, 'A');
}

static void undo_c(void *ctx)
{
	mark(ctx, 'C');
}

static const struct bv_step steps[] = {
	{ "a", step_a, undo_a },
	{ "b", step_a, NULL },
	{ "c", step_c, undo_c },
	{ "d", step_a, undo_a },
};

TEST(steps_run_in_order)
{
	struct trail t = { 0 };
	struct bv_error err = { 0 };
	CHECK_INT(bv_steps_run("test", steps, ARRAY_SIZE(steps), &t, &err), 0);
	CHECK_STR(t.text, "aaca");
	CHECK_INT(err.code, 0);
}

TEST(steps_undo_what_was_done_last_first)
{
	struct trail t = { .fail_c = 1 };
	struct bv_error err = { 0 };
	CHECK_INT(bv_steps_run("test", steps, ARRAY_SIZE(steps), &t, &err), -EBUSY);
	CHECK_STR(t.text, "aacA"); /* c itself was not done, b has no undo */
	CHECK_STR(err.what, "c failed");
}

TEST(steps_inject_a_fault_after_the_step)
{
	struct trail t = { 0 };
	struct bv_error err = { 0 };
	setenv("BIVALVE_FAIL_STEP", "c", 1);
	CHECK_INT(bv_steps_run("test", steps, ARRAY_SIZE(steps), &t, &err), -ECANCELED);
	unsetenv("BIVALVE_FAIL_STEP");
	CHECK_STR(t.text, "aacCA");
	CHECK(strstr(err.what, "step c") != NULL);
}

TEST(steps_trace_their_time)
{
	struct trail t = { 0 };
	struct heard h = { 0 };
	bv_log_set_sink(hear, &h, BV_LOG_TRACE);
	CHECK_INT(bv_steps_run("test", steps, 2, &t, NULL), 0);
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	CHECK_INT(h.n, 2);
	CHECK(strstr(h.message, "step b") && strstr(h.message, " us"));
}

TEST_MAIN()
