/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/vm/qemu/qmp.h"
#include "util/cleanup.h"

/*
 * What a QEMU that is no QEMU says. The first line of the input is a command of the user, the rest comes from the peer,
 * behind a greeting when the command's first character is 'g'.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

static void answer(void *data, const char *json, const struct bv_error *err)
{
	must(!json != !err);
	if (json) {
		must(strlen(json) > 0);
		free(bv_qmp_returned_text(json));
		bv_qmp_explain(json, NULL);
	}
	++*(int *)data;
}

static void event(void *data, const char *name, const char *reason, const char *json)
{
	(void)data;
	must(name && reason && json);
}

static void feed(struct bv_qmp *q, int peer, const char *p, size_t len)
{
	while (len > 0 && !bv_qmp_failed(q)) {
		ssize_t n = send(peer, p, len, MSG_NOSIGNAL);
		must(n > 0);
		p += n;
		len -= (size_t)n;
		bv_qmp_serve(q, true, true);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char greeting[] = "{\"QMP\": {}}\n{\"return\": {}}\n";
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	size_t first = end ? (size_t)(end - data) : size;
	autofree char *command = strndup((const char *)data, first);
	must(command != NULL);
	int pair[2], answers = 0, sent = 0;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
	struct bv_qmp *q = bv_qmp_new(pair[0], event, NULL);
	must(q != NULL);

	bool greeted = command[0] == 'g';
	sent += bv_qmp_send(q, greeted ? command + 1 : command, answer, &answers, NULL) == 0;
	sent += bv_qmp_execute(q, "query-status", NULL, answer, &answers, NULL) == 0;
	if (greeted)
		feed(q, pair[1], greeting, strlen(greeting));
	if (end)
		feed(q, pair[1], (const char *)end + 1, size - first - 1);
	must(answers <= sent);
	must(!bv_qmp_failed(q) || bv_qmp_fd(q) == -1);
	bv_qmp_free(q);
	/* Each exactly once. */
	must(answers == sent);
	close(pair[1]);
	return 0;
}
