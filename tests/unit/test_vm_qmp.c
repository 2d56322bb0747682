/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/qemu/qmp.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "test.h"
#include "util/cleanup.h"

/* A fake QEMU at the other end of a socket pair; what the client was told is kept as text. */
static int peer = -1;
static struct bv_qmp *q;
static char events[512], answers[1024];
static size_t answer_len;
static struct bv_error last;
static int n_answers;

static void on_event(void *data, const char *name, const char *reason, const char *json)
{
	(void)data;
	CHECK(json[0] == '{' && json[strlen(json) - 1] == '}');
	size_t n = strlen(events);
	snprintf(events + n, sizeof(events) - n, "%s(%s) ", name, reason);
}

static void on_answer(void *data, const char *json, const struct bv_error *err)
{
	n_answers++;
	answer_len = json ? strlen(json) : 0;
	CHECK(!json != !err);
	if (err)
		last = *err;
	size_t n = strlen(answers);
	snprintf(answers + n, sizeof(answers) - n, "%s=%.100s ", (const char *)data, json ? json : "-");
}

/* From inside an answer the next command is sent. */
static void on_answer_send(void *data, const char *json, const struct bv_error *err)
{
	struct bv_error e = { 0 };
	on_answer(data, json, err);
	int r = bv_qmp_execute(q, "second", NULL, on_answer, "second", &e);
	CHECK(json ? r == 0 : r < 0);
}

static void open_pair(void)
{
	int pair[2];
	CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	peer = pair[1];
	q = bv_qmp_new(pair[0], on_event, NULL);
	CHECK(q != NULL);
	events[0] = answers[0] = '\0';
	n_answers = 0;
	memset(&last, 0, sizeof(last));
}

static void close_pair(void)
{
	bv_qmp_free(q);
	q = NULL;
	close_fd(&peer);
}

static void serve(void)
{
	bv_qmp_serve(q, true, bv_qmp_wants_write(q));
}

static void say(const char *text)
{
	CHECK_INT(write(peer, text, strlen(text)), strlen(text));
	serve();
}

/* What the client sent. */
static const char *hear(void)
{
	static char buf[4096];
	serve();
	ssize_t n = read(peer, buf, sizeof(buf) - 1);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static void negotiate(void)
{
	say("{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n");
	CHECK_STR(hear(), "{\"execute\":\"qmp_capabilities\"}\n");
	say("{\"return\": {}}\r\n");
}

TEST(negotiation_and_order)
{
	open_pair();
	CHECK_INT(bv_qmp_timeout(q), -1);
	CHECK_INT(bv_qmp_execute(q, "query-status", NULL, on_answer, "a", NULL), 0);
	CHECK(bv_qmp_timeout(q) > 1000);
	/* Nothing goes out before the negotiation is over. */
	CHECK_STR(hear(), "");
	negotiate();
	CHECK_STR(hear(), "{\"execute\":\"query-status\",\"id\":\"bv-0\"}\n");
	const char *balloon = " {\"execute\": \"balloon\", \"arguments\": {\"value\": 5}, \"id\": 9}";
	CHECK_INT(bv_qmp_send(q, balloon, on_answer, "b", NULL), 0);
	CHECK_STR(hear(), "{\"execute\":\"balloon\",\"arguments\":{\"value\":5},\"id\":\"bv-1\"}\n");

	/* Both ends where QEMU puts the id, the wrong order, events between, and a cut line. */
	say("{\"event\": \"STOP\", \"timestamp\": {}}\n{\"id\": \"bv-1\", \"error\": {\"class\": \"X\", \"desc\"");
	CHECK_INT(n_answers, 0);
	say(": \"y\"}}\r\n\r\n{\"return\": {\"big\": 18446744073709551615}, \"id\": \"bv-0\"}\r\n"
	    "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n");
	CHECK_STR(answers, "b={\"error\": {\"class\": \"X\", \"desc\": \"y\"}} "
			   "a={\"return\": {\"big\": 18446744073709551615}} ");
	CHECK_STR(events, "STOP() SHUTDOWN(guest-reset) ");
	CHECK(!bv_qmp_failed(q));
	CHECK_INT(bv_qmp_timeout(q), -1);
	close_pair();
}

TEST(id_in_the_middle_and_unread_command)
{
	open_pair();
	negotiate();
	CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer, "a", NULL), 0);
	CHECK_INT(bv_qmp_execute(q, "b", NULL, on_answer, "b", NULL), 0);
	hear();
	say("{\"return\": 1, \"id\": \"bv-0\", \"more\": 2}\n"
	    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"z\"}}\n");
	CHECK_STR(answers, "a={\"return\": 1, \"more\": 2} "
			   "b={\"error\": {\"class\": \"GenericError\", \"desc\": \"z\"}} ");
	close_pair();
}

TEST(bad_commands)
{
	struct bv_error err = { 0 };
	open_pair();
	negotiate();
	CHECK_INT(bv_qmp_send(q, "{\"execute\": ", on_answer, "a", &err), -EINVAL);
	CHECK(strstr(err.what, "column") && strstr(err.hint, "query-status"));
	bv_error_clear(&err);
	CHECK_INT(bv_qmp_send(q, "[1]", on_answer, "a", &err), -EINVAL);
	CHECK_INT(bv_qmp_send(q, "{\"execute\": 3}", on_answer, "a", NULL), -EINVAL);
	CHECK_INT(bv_qmp_send(q, "", on_answer, "a", NULL), -EINVAL);
	CHECK_INT(bv_qmp_execute(q, "x", "{", on_answer, "a", NULL), -EINVAL);
	CHECK_STR(hear(), "");
	CHECK_INT(n_answers, 0);
	for (int i = 0; i < BV_QMP_PENDING_MAX; i++)
		CHECK_INT(bv_qmp_execute(q, "x", "{\"n\": 1}", on_answer, "x", NULL), 0);
	CHECK_INT(bv_qmp_execute(q, "x", NULL, on_answer, "x", NULL), -EBUSY);
	close_pair();
	CHECK_INT(n_answers, BV_QMP_PENDING_MAX);
	CHECK_INT(last.code, ECANCELED);
}

TEST(timeout)
{
	open_pair();
	negotiate();
	bv_qmp_set_timeout(q, 30);
	int64_t start = bv_now_ms();
	CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer, "a", NULL), 0);
	hear();
	for (int i = 0; i < 100 && n_answers == 0; i++) {
		struct pollfd p = { .fd = bv_qmp_fd(q), .events = POLLIN };
		bool readable = poll(&p, 1, bv_qmp_timeout(q)) > 0;
		bv_qmp_serve(q, readable, false);
	}
	CHECK(bv_now_ms() - start >= 30);
	CHECK_STR(answers, "a=- ");
	CHECK_INT(last.code, ETIMEDOUT);
	/* QEMU is not given up on; its late answer is nobody's. */
	CHECK(!bv_qmp_failed(q));
	bv_qmp_set_timeout(q, 60000);
	CHECK_INT(bv_qmp_execute(q, "b", NULL, on_answer, "b", NULL), 0);
	hear();
	say("{\"return\": \"late\", \"id\": \"bv-0\"}\n{\"return\": 1, \"id\": \"bv-1\"}\n");
	CHECK_STR(answers, "a=- b={\"return\": 1} ");
	close_pair();
}

TEST(never_greets)
{
	open_pair();
	bv_qmp_set_timeout(q, 10);
	CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer, "a", NULL), 0);
	usleep(20000);
	CHECK_INT(bv_qmp_timeout(q), 0);
	bv_qmp_serve(q, false, false);
	CHECK_INT(last.code, ETIMEDOUT);
	close_pair();
}

/* Each of these ends it, after a greeting or in place of one. */
TEST(garbage)
{
	static const char *const late[] = {
		"hello\n",
		"{\"return\": \n",
		"[]\n",
		"7\n",
		"{\"event\": 3}\n",
		"{\"return\": 1, \"id\": \"bv-1\"}\n",
		"{\"return\": 1, \"id\": \"bv--1\"}\n",
		"{\"return\": 1, \"id\": 0}\n",
		"{\"return\": 1, \"id\": \"x\"}\n",
		"{\"nothing\": 1}\n",
		"\x80\xff\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
		open_pair();
		negotiate();
		CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer_send, "a", NULL), 0);
		hear();
		say(late[i]);
		CHECK(bv_qmp_failed(q) && bv_qmp_failed(q)->code == EPROTO);
		CHECK_INT(bv_qmp_fd(q), -1);
		CHECK_STR(answers, "a=- ");
		CHECK_INT(last.code, EPROTO);
		CHECK_INT(bv_qmp_execute(q, "b", NULL, on_answer, "b", NULL), -EPROTO);
		serve();
		close_pair();
	}
	open_pair();
	say("{\"return\": {}}\n");
	CHECK(bv_qmp_failed(q) != NULL);
	close_pair();
	open_pair();
	say("{\"QMP\": {}}\n{\"error\": {\"class\": \"a\", \"desc\": \"b\"}}\n");
	CHECK(bv_qmp_failed(q) != NULL);
	close_pair();
}

/* Write `n` bytes of a line as fast as the client takes them. */
static void say_long(size_t n)
{
	static char block[65536];
	memset(block, 'x', sizeof(block));
	while (n > 0 && !bv_qmp_failed(q)) {
		ssize_t w = send(peer, block, n < sizeof(block) ? n : sizeof(block), MSG_NOSIGNAL);
		n -= w > 0 ? (size_t)w : 0;
		serve();
	}
}

TEST(long_lines)
{
	open_pair();
	negotiate();
	CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer, "a", NULL), 0);
	hear();
	say("{\"return\": \"");
	say_long(7 << 20);
	say("\", \"id\": \"bv-0\"}\n");
	CHECK(!bv_qmp_failed(q));
	CHECK_INT(answer_len, (7 << 20) + strlen("{\"return\": \"\"}"));

	CHECK_INT(bv_qmp_execute(q, "b", NULL, on_answer, "b", NULL), 0);
	say_long(9 << 20);
	CHECK(bv_qmp_failed(q) && strstr(bv_qmp_failed(q)->what, "more than 8388608 bytes"));
	CHECK_INT(last.code, EPROTO);
	close_pair();
}

TEST(hang_up)
{
	open_pair();
	negotiate();
	CHECK_INT(bv_qmp_execute(q, "a", NULL, on_answer_send, "a", NULL), 0);
	hear();
	/* Half a line, and the last event before it. */
	CHECK(write(peer, "{\"event\": \"SHUTDOWN\", \"data\": {}}\n{\"retu", 41) == 41);
	close_fd(&peer);
	serve();
	CHECK_STR(events, "SHUTDOWN() ");
	CHECK_STR(answers, "a=- ");
	CHECK_INT(last.code, EPIPE);
	CHECK(bv_qmp_failed(q) != NULL);
	close_pair();
}

TEST(peer_that_does_not_read)
{
	open_pair();
	negotiate();
	autofree char *big = malloc((1 << 20) + 64);
	int n = sprintf(big, "{\"execute\": \"x\", \"arguments\": {\"a\": \"");
	memset(big + n, 'a', 1 << 20);
	memcpy(big + n + (1 << 20), "\"}}", 4);
	int r = 0, sent = 0;
	for (; sent < 8 && r == 0; sent++) {
		r = bv_qmp_send(q, big, on_answer, "x", NULL);
		bv_qmp_serve(q, false, true);
	}
	CHECK_INT(r, -EAGAIN);
	CHECK(sent > 3 && bv_qmp_wants_write(q));
	close_pair();
}

TEST(answers_as_text)
{
	autofree char *text = bv_qmp_returned_text("{\"return\": \"VM status: running\\r\\n\"}");
	CHECK_STR(text, "VM status: running\r\n");
	CHECK(bv_qmp_returned_text("{\"return\": {}}") == NULL);
	CHECK(bv_qmp_returned_text("{\"error\": {}}") == NULL);
	CHECK(bv_qmp_returned_text("nonsense") == NULL);

	struct bv_error err = { 0 };
	CHECK_INT(bv_qmp_explain("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\u001b such\"}}", &err),
		  -EIO);
	CHECK_STR(err.what, "GenericError: no? such");
	bv_error_clear(&err);
	CHECK_INT(bv_qmp_explain("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"x\"}}", &err), -ENOSYS);
	CHECK_INT(bv_qmp_explain("{\"return\": {}}", NULL), -EPROTO);
	CHECK_INT(bv_qmp_explain("{\"error\": 1}", NULL), -EPROTO);
	CHECK_INT(bv_qmp_explain("", NULL), -EPROTO);
}

TEST_MAIN()
