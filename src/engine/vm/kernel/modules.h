/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

/*
 * What a modules directory says of its kernel: modules.dep and modules.builtin in one table. Private to kernel.c and
 * modules.c. Names are compared with '-' and '_' equal.
 */
struct bv_module {
	const char *name; /* in `path`; ends at `len`, without ".ko" and what follows */
	size_t len;
	const char *path; /* relative to the directory */
	char *deps;       /* their paths, separated by blanks; NULL: built in */
	/* ---- bv_modules_resolve ---- */
	bool taken;       /* looked at: once is enough, whoever needs it */
	int result;       /* 0: it is in the list, or on its way there; -errno */
};

struct bv_modules {
	char *dep, *builtin; /* the files' texts, cut into pieces */
	struct bv_module *v; /* by name */
	size_t n;
};

/* -ENOENT without a word in `err`: there is no modules.dep. */
int bv_modules_read(struct bv_modules *ret, int dir, struct bv_error *err);
void bv_modules_clear(struct bv_modules *m);

/* NULL: the kernel has no such module, nor is it built in. */
struct bv_module *bv_modules_find(const struct bv_modules *m, const char *name);
