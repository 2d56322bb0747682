/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

/*
 * What a key of one cgroup version is called, and what its value says, in the other version.
 */

/* One file to write. `alt_*`: in its place where the kernel lacks `file` ("" none). */
struct cgroup_write {
	char file[128], value[192];
	char alt_file[64], alt_value[64];
	bool late; /* memory.memsw.limit_in_bytes must not be below memory.limit_in_bytes: after all others */
};

enum { CGROUP_WRITES_MAX = 4 }; /* io.max sets four v1 files */

/*
 * What the translation of one key wants to know of another one ("memory.limit_in_bytes" for a limit of memory and
 * swap): its value in the version that is translated from, or NULL. The text lives until the next call.
 */
struct cgroup_context {
	const char *(*lookup)(void *data, const char *key);
	void *data;
};

/*
 * The writes that say `key` = `value` on the other version: how many (0: it is so anyway), or a negative errno with
 * the reason and the key to use. `from_v1`: key is one of v1.
 */
int cgroup_translate(struct cgroup_write ret[CGROUP_WRITES_MAX], bool from_v1, const char *key, const char *value,
		     const struct cgroup_context *context, struct bv_error *err);

/* The other version's name of a file that reads the same, or NULL; `buf` is for names that are made up. */
const char *cgroup_translate_name(bool from_v1, const char *key, char *buf, size_t size);

/* What to say to a user whose key has no such file; the other version's key, or NULL. */
const char *cgroup_translate_hint(bool from_v1, const char *key);

/* "blkio" for "io", and so on: the v1 controller that keeps what the v2 file `key` is about, in `buf`. */
const char *cgroup_v1_controller(const char *key, char *buf, size_t size);
