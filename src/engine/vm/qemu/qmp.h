/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"
#include "util/str.h"

/*
 * A client of QMP over a connected, non-blocking socket, for an event loop: it never waits. Commands are numbered, each
 * answer finds its command; events go to one function. A peer that hangs up, or sends what is not QMP or a line of more
 * than BV_QMP_LINE_MAX bytes, is given up on: every command that waits gets the error, bv_qmp_failed() tells it from
 * then on, and there is no fd any longer. A command that is not answered for BV_QMP_TIMEOUT_MS gets -ETIMEDOUT, and
 * nothing else happens: QEMU may be busy with it.
 */
enum { BV_QMP_LINE_MAX = 8 << 20, BV_QMP_TIMEOUT_MS = 10000, BV_QMP_PENDING_MAX = 64 };

struct bv_qmp;

/*
 * `json` is the whole reply as QEMU sent it, {"return": ...} or {"error": {"class": ..., "desc": ...}}; or NULL with
 * the reason in `err` when there will be none.
 */
typedef void (*bv_qmp_answer_fn)(void *data, const char *json, const struct bv_error *err);
/* name "SHUTDOWN"; `json` is the whole line; `reason` is the event's data.reason, or "". */
typedef void (*bv_qmp_event_fn)(void *data, const char *name, const char *reason, const char *json);

/* Takes over `fd`. Negotiates (qmp_capabilities) by itself. NULL when out of memory. */
struct bv_qmp *bv_qmp_new(int fd, bv_qmp_event_fn event, void *data);
/* Commands that wait get an error. Not to be called by one of the functions above. */
void bv_qmp_free(struct bv_qmp *q);
/* In place of BV_QMP_TIMEOUT_MS, for what is sent from now on. */
void bv_qmp_set_timeout(struct bv_qmp *q, int timeout_ms);

int bv_qmp_fd(const struct bv_qmp *q); /* -1 when it failed */
bool bv_qmp_wants_write(const struct bv_qmp *q);
/* The fd is readable or writable (or neither: the timeouts are looked at). */
void bv_qmp_serve(struct bv_qmp *q, bool readable, bool writable);
/* Milliseconds until a timeout is due, -1 none. */
int bv_qmp_timeout(const struct bv_qmp *q);
const struct bv_error *bv_qmp_failed(const struct bv_qmp *q); /* NULL: it works */

/*
 * Send a command given as JSON ({"execute": "query-kvm"}; an "id" in it is ours to set and is taken out of the reply).
 * -EINVAL with the place when it is no JSON object with "execute"; the answer function is called later, exactly once,
 * unless this call failed.
 */
int bv_qmp_send(struct bv_qmp *q, const char *json, bv_qmp_answer_fn answer, void *data, struct bv_error *err);
/* The same, made here: name, and arguments as a JSON object's text or NULL. */
int bv_qmp_execute(struct bv_qmp *q, const char *name, const char *arguments, bv_qmp_answer_fn answer, void *data,
		   struct bv_error *err);

/* The text inside {"return": "..."} of human-monitor-command, malloc'ed; NULL when it is something else. */
char *bv_qmp_returned_text(const char *json);
/* "class: desc" of {"error": ...} as an error; -EPROTO when it is none. */
int bv_qmp_explain(const char *json, struct bv_error *err);
