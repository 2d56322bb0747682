/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/title.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/* Fields of /proc/self/stat (proc(5)), counted from 1. */
enum { STAT_ARG_START = 48, STAT_ENV_END = 51, STAT_AFTER_NAME = 3 };

void bv_set_process_title(const char *title, const char *keep)
{
	char stat[1024];
	if (bv_read_small(AT_FDCWD, "/proc/self/stat", stat, sizeof(stat)) <= 0)
		return;
	char *rest = strrchr(stat, ')'), *field;
	if (!rest)
		return;
	rest += 2;
	uintptr_t begin = 0, end = 0;
	for (int i = STAT_AFTER_NAME; (field = strsep(&rest, " ")) && i <= STAT_ENV_END; i++) {
		if (i == STAT_ARG_START)
			begin = strtoull(field, NULL, 10);
		if (i == STAT_ENV_END)
			end = strtoull(field, NULL, 10);
	}
	if (!begin || end <= begin + 1)
		return;

	/* The kernel reads on into the environment's place when the arguments' last byte is not NUL. */
	struct bv_strv env = { 0 };
	for (char **e = environ; e && *e; e++)
		if (bv_after(*e, keep) && bv_strv_add(&env, *e) < 0)
			return;
	static char *empty[] = { NULL };
	environ = env.v ? env.v : empty;

	char *room = (char *)begin;
	size_t size = end - begin, n = strlen(title);
	if (n > size - 1)
		n = size - 1;
	memset(room, 0, size);
	memcpy(room, title, n);
}
