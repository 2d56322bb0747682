/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/qemu/qmp.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sys/kernel.h"
#include "util/cleanup.h"

/* What is not sent yet of commands that QEMU does not take; and how much is read at a time. */
enum { UNSENT_MAX = 4 << 20, READ_CHUNK = 65536, READ_CHUNKS_AT_ONCE = 16 };

/* Our ids are strings, so that they can be found in a line and cut out of it: "bv-17". */
#define ID_PREFIX "bv-"
enum { ID_MAX = 32 };

struct command {
	uint64_t id;
	int64_t deadline;
	bv_qmp_answer_fn answer;
	void *data;
};

struct bv_qmp {
	int fd;
	int timeout_ms;
	bool greeted, ready;      /* the greeting came; qmp_capabilities was answered */
	struct bv_buf in, out;    /* what came of a line; what is to be sent */
	size_t scanned, sent;     /* of them */
	struct bv_buf early;      /* commands that wait for `ready` */
	struct command waiting[BV_QMP_PENDING_MAX]; /* in the order of their ids */
	size_t n_waiting;
	uint64_t next_id;
	bv_qmp_event_fn event;
	void *data;
	struct bv_error failure;
};

static void free_json(json_t **j)
{
	json_decref(*j);
}

struct bv_qmp *bv_qmp_new(int fd, bv_qmp_event_fn event, void *data)
{
	struct bv_qmp *q = calloc(1, sizeof(*q));
	if (!q)
		return NULL;
	q->fd = fd;
	q->timeout_ms = BV_QMP_TIMEOUT_MS;
	q->event = event;
	q->data = data;
	return q;
}

void bv_qmp_set_timeout(struct bv_qmp *q, int timeout_ms)
{
	q->timeout_ms = timeout_ms;
}

/* ---- the end of commands, and of all ---- */

static struct command take_command(struct bv_qmp *q, size_t i)
{
	struct command c = q->waiting[i];
	memmove(q->waiting + i, q->waiting + i + 1, (q->n_waiting - i - 1) * sizeof(c));
	q->n_waiting--;
	return c;
}

static void fail_commands(struct bv_qmp *q, const struct bv_error *err)
{
	/* An answer function may send the next command, which then fails at once. */
	while (q->n_waiting > 0) {
		struct command c = take_command(q, 0);
		c.answer(c.data, NULL, err);
	}
}

/* The peer is given up on. */
static void give_up(struct bv_qmp *q)
{
	close_fd(&q->fd);
	bv_buf_clear(&q->in);
	bv_buf_clear(&q->out);
	bv_buf_clear(&q->early);
	q->scanned = q->sent = 0;
	fail_commands(q, &q->failure);
}

void bv_qmp_free(struct bv_qmp *q)
{
	if (!q)
		return;
	bv_fail(&q->failure, ECANCELED, "the connection to QEMU is closed");
	give_up(q);
	free(q);
}

const struct bv_error *bv_qmp_failed(const struct bv_qmp *q)
{
	return q->failure.code ? &q->failure : NULL;
}

int bv_qmp_fd(const struct bv_qmp *q)
{
	return q->fd;
}

bool bv_qmp_wants_write(const struct bv_qmp *q)
{
	return q->fd >= 0 && q->out.len > q->sent;
}

int bv_qmp_timeout(const struct bv_qmp *q)
{
	int64_t first = INT64_MAX;
	for (size_t i = 0; i < q->n_waiting; i++)
		if (q->waiting[i].deadline < first)
			first = q->waiting[i].deadline;
	if (first == INT64_MAX)
		return -1;
	int64_t left = first - bv_now_ms();
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* ---- sending ---- */

static int parse_command(const char *text, json_t **ret, struct bv_error *err)
{
	json_error_t where;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	if (!j) {
		bv_fail(err, EINVAL, "the QMP command is no JSON object: %s (line %d, column %d)", where.text,
			where.line, where.column);
		bv_hint(err, "a command looks like {\"execute\": \"query-status\"}");
		return -EINVAL;
	}
	if (!json_is_object(j) || !json_is_string(json_object_get(j, "execute"))) {
		bv_fail(err, EINVAL, "the QMP command has no \"execute\" with the name of a command");
		json_decref(j);
		bv_hint(err, "a command looks like {\"execute\": \"query-status\"}");
		return -EINVAL;
	}
	*ret = j;
	return 0;
}

static const char *format_id(uint64_t id, char text[ID_MAX])
{
	snprintf(text, ID_MAX, ID_PREFIX "%" PRIu64, id);
	return text;
}

/* Append to what is sent, or to what is sent after the negotiation. */
static int queue(struct bv_qmp *q, json_t *j, uint64_t id, struct bv_error *err)
{
	char text[ID_MAX];
	if (json_object_set_new(j, "id", json_string(format_id(id, text))) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	autofree char *line = json_dumps(j, JSON_COMPACT);
	if (!line)
		return bv_fail(err, ENOMEM, "out of memory");

	struct bv_buf *to = q->ready ? &q->out : &q->early;
	size_t len = strlen(line);
	if (len > UNSENT_MAX || to->len - (q->ready ? q->sent : 0) > UNSENT_MAX - len)
		return bv_fail(err, EAGAIN, "QEMU does not take commands: %zu bytes wait to be sent", to->len);
	bv_buf_puts(to, line);
	bv_buf_putc(to, '\n');
	return to->bad ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

static int send_command(struct bv_qmp *q, json_t *j, bv_qmp_answer_fn answer, void *data, struct bv_error *err)
{
	if (q->failure.code) {
		if (err && !err->code)
			*err = q->failure;
		return -q->failure.code;
	}
	if (q->n_waiting == BV_QMP_PENDING_MAX)
		return bv_fail(err, EBUSY, "%d commands wait for QEMU's answer already", BV_QMP_PENDING_MAX);
	int r = queue(q, j, q->next_id, err);
	if (r < 0)
		return r;
	q->waiting[q->n_waiting++] = (struct command){
		.id = q->next_id++,
		.deadline = bv_now_ms() + q->timeout_ms,
		.answer = answer,
		.data = data,
	};
	return 0;
}

int bv_qmp_send(struct bv_qmp *q, const char *json, bv_qmp_answer_fn answer, void *data, struct bv_error *err)
{
	autoclean(free_json) json_t *j = NULL;
	int r = parse_command(json, &j, err);
	return r < 0 ? r : send_command(q, j, answer, data, err);
}

int bv_qmp_execute(struct bv_qmp *q, const char *name, const char *arguments, bv_qmp_answer_fn answer, void *data,
		   struct bv_error *err)
{
	json_error_t where;
	autoclean(free_json) json_t *j = json_pack("{s:s}", "execute", name);
	if (!j)
		return bv_fail(err, EINVAL, "a QMP command's name is not UTF-8");
	if (arguments) {
		json_t *a = json_loads(arguments, JSON_REJECT_DUPLICATES, &where);
		if (!a)
			return bv_fail(err, EINVAL, "the arguments of %s are no JSON: %s", name, where.text);
		if (json_object_set_new(j, "arguments", a) < 0)
			return bv_fail(err, ENOMEM, "out of memory");
	}
	return send_command(q, j, answer, data, err);
}

static int write_some(struct bv_qmp *q)
{
	while (q->sent < q->out.len) {
		ssize_t n = send(q->fd, q->out.p + q->sent, q->out.len - q->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return bv_fail_errno(&q->failure, "cannot send to QEMU");
		q->sent += (size_t)n;
	}
	bv_buf_clear(&q->out);
	q->sent = 0;
	return 0;
}

/* ---- what comes ---- */

/*
 * Numbers beyond 63 bits are valid, and QEMU sends them (qom-get of an address), but jansson has no integer for them:
 * as what a line says is passed on as text, it does for its envelope that they become reals.
 */
static json_t *parse_line(const char *line, size_t len)
{
	json_error_t where;
	json_t *j = json_loadb(line, len, JSON_ALLOW_NUL, &where);
	if (!j && json_error_code(&where) == json_error_numeric_overflow)
		j = json_loadb(line, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &where);
	return j;
}

/* The line without our id, else as it was sent. QEMU has the id at either end. */
static char *without_id(json_t *j, const char *line, size_t len, const char *id)
{
	char mark[ID_MAX + 32];
	size_t n = (size_t)snprintf(mark, sizeof(mark), ", \"id\": \"%s\"}", id);
	if (len > n && memcmp(line + len - n, mark, n) == 0)
		return bv_asprintf("%.*s}", (int)(len - n), line);
	n = (size_t)snprintf(mark, sizeof(mark), "{\"id\": \"%s\", ", id);
	if (len > n && memcmp(line, mark, n) == 0)
		return bv_asprintf("{%.*s", (int)(len - n), line + n);
	json_object_del(j, "id");
	return json_dumps(j, 0);
}

static int negotiated(struct bv_qmp *q, json_t *j)
{
	if (!json_object_get(j, "return"))
		return bv_fail(&q->failure, EPROTO, "QEMU refuses to negotiate QMP");
	q->ready = true;
	bv_buf_add(&q->out, q->early.p ? q->early.p : "", q->early.len);
	bv_buf_clear(&q->early);
	return q->out.bad ? bv_fail(&q->failure, ENOMEM, "out of memory") : 0;
}

/* The place of the command that the reply is for; n_waiting: of one that was not waited for any longer; or -EPROTO. */
static int find_command(struct bv_qmp *q, const char *id, size_t *ret)
{
	/* Only what QEMU could not read has no id in its answer, and answers come in order. */
	if (!id) {
		*ret = 0;
		return q->n_waiting > 0 ? 0 : -EPROTO;
	}
	const char *number = bv_after(id, ID_PREFIX);
	char *end;
	if (!number || *number < '0' || *number > '9')
		return -EPROTO;
	errno = 0;
	uint64_t n = strtoull(number, &end, 10);
	char text[ID_MAX];
	/* To the letter, for it is cut out of the line as well. */
	if (*end || errno || n >= q->next_id || !bv_streq(id, format_id(n, text)))
		return -EPROTO;
	for (*ret = 0; *ret < q->n_waiting; (*ret)++)
		if (q->waiting[*ret].id == n)
			break;
	return 0;
}

static int take_reply(struct bv_qmp *q, json_t *j, const char *line, size_t len)
{
	if (!q->ready)
		return negotiated(q, j);
	json_t *id_value = json_object_get(j, "id");
	const char *id = json_string_value(id_value);
	size_t i;
	if ((id_value && !id) || find_command(q, id, &i) < 0)
		return bv_fail(&q->failure, EPROTO, "QEMU answers a command that it was not sent");
	if (i == q->n_waiting)
		return 0;

	autofree char *text = id ? without_id(j, line, len, id) : strndup(line, len);
	struct command c = take_command(q, i);
	struct bv_error err = { 0 };
	if (!text)
		bv_fail(&err, ENOMEM, "out of memory");
	c.answer(c.data, text, text ? NULL : &err);
	return 0;
}

static void take_event(struct bv_qmp *q, json_t *j, const char *name, const char *line, size_t len)
{
	const char *reason = json_string_value(json_object_get(json_object_get(j, "data"), "reason"));
	autofree char *text = strndup(line, len);
	if (q->event && text)
		q->event(q->data, name, reason ? reason : "", text);
}

static int take_line(struct bv_qmp *q, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (len == 0)
		return 0;
	autoclean(free_json) json_t *j = parse_line(line, len);
	if (!json_is_object(j))
		return bv_fail(&q->failure, EPROTO, "what QEMU sent is not QMP: \"%.60s\"", line);

	if (!q->greeted) {
		if (!json_object_get(j, "QMP"))
			return bv_fail(&q->failure, EPROTO, "QEMU does not greet as QMP does: \"%.60s\"", line);
		q->greeted = true;
		bv_buf_puts(&q->out, "{\"execute\":\"qmp_capabilities\"}\n");
		return q->out.bad ? bv_fail(&q->failure, ENOMEM, "out of memory") : 0;
	}
	const char *event = json_string_value(json_object_get(j, "event"));
	if (event) {
		take_event(q, j, event, line, len);
		return 0;
	}
	if (json_object_get(j, "return") || json_object_get(j, "error"))
		return take_reply(q, j, line, len);
	return bv_fail(&q->failure, EPROTO, "what QEMU sent is neither answer nor event: \"%.60s\"", line);
}

/* All complete lines of the buffer. */
static int take_lines(struct bv_qmp *q)
{
	size_t start = 0;
	char *end;
	int r = 0;
	while (r == 0 && (end = memchr(q->in.p + q->scanned, '\n', q->in.len - q->scanned))) {
		*end = '\0';
		size_t len = (size_t)(end - (q->in.p + start));
		r = len > BV_QMP_LINE_MAX ? -E2BIG : take_line(q, q->in.p + start, len);
		q->scanned = start = (size_t)(end - q->in.p) + 1;
	}
	if (r == 0 && q->in.len - start > BV_QMP_LINE_MAX)
		r = -E2BIG;
	if (r == -E2BIG)
		return bv_fail(&q->failure, EPROTO, "QEMU sends a line of more than %d bytes", BV_QMP_LINE_MAX);
	if (r < 0)
		return r;

	size_t rest = q->in.len - start;
	if (rest == 0) {
		bv_buf_clear(&q->in); /* an answer can be of megabytes */
	} else if (start > 0) {
		memmove(q->in.p, q->in.p + start, rest);
		q->in.len = rest;
	}
	q->scanned = rest;
	return 0;
}

static int read_some(struct bv_qmp *q)
{
	char chunk[READ_CHUNK];
	for (int i = 0; i < READ_CHUNKS_AT_ONCE; i++) {
		ssize_t n = recv(q->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return bv_fail(&q->failure, EPIPE, "QEMU closed its QMP connection");
		if (n < 0)
			return bv_fail_errno(&q->failure, "cannot read from QEMU");
		bv_buf_add(&q->in, chunk, (size_t)n);
		if (q->in.bad)
			return bv_fail(&q->failure, ENOMEM, "out of memory");
		int r = take_lines(q);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * A command that QEMU has not answered is given up on, not QEMU: it may be busy with what was asked (a dump of the
 * guest's memory), and what it says later is known by its id.
 */
static void look_at_timeouts(struct bv_qmp *q)
{
	int64_t now = bv_now_ms();
	for (size_t i = 0; i < q->n_waiting;) {
		if (q->waiting[i].deadline > now) {
			i++;
			continue;
		}
		struct command c = take_command(q, i);
		struct bv_error err = { 0 };
		bv_fail(&err, ETIMEDOUT, "QEMU did not answer within %d.%d s", q->timeout_ms / 1000,
			q->timeout_ms % 1000 / 100);
		c.answer(c.data, NULL, &err);
		i = 0;
	}
}

void bv_qmp_serve(struct bv_qmp *q, bool readable, bool writable)
{
	if (q->fd < 0)
		return;
	int r = readable ? read_some(q) : 0;
	/* What answers brought about goes out at once. */
	if (r == 0 && (writable || readable))
		r = write_some(q);
	if (r < 0)
		give_up(q);
	else
		look_at_timeouts(q);
}

/* ---- answers ---- */

char *bv_qmp_returned_text(const char *json)
{
	autoclean(free_json) json_t *j = parse_line(json, strlen(json));
	const char *text = json_string_value(json_object_get(j, "return"));
	return text ? strdup(text) : NULL;
}

int bv_qmp_explain(const char *json, struct bv_error *err)
{
	autoclean(free_json) json_t *j = parse_line(json, strlen(json));
	json_t *error = json_object_get(j, "error");
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *text = json_string_value(json_object_get(error, "desc"));
	if (!class || !text)
		return -EPROTO;
	return bv_fail(err, bv_streq(class, "CommandNotFound") ? ENOSYS : EIO, "%s: %s", class, text);
}
