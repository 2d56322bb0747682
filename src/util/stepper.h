/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "util/error.h"

/*
 * A piece of work as a table of named steps, each with its undo. One function runs them: it logs each step with its
 * time (TRACE), puts nothing into the error but what the step said, and on failure undoes what was done, last first.
 * Tests inject a fault with BIVALVE_FAIL_STEP=NAME: that step is run and then made to fail.
 */
struct bv_step {
	const char *name;
	int (*run)(void *ctx, struct bv_error *err); /* 0 or -errno */
	void (*undo)(void *ctx);                     /* may be NULL; called only after a successful run */
};

/* Run `n` steps in order. `module` is for the log. 0, or the failed step's -errno after all undos. */
int bv_steps_run(const char *module, const struct bv_step *steps, size_t n, void *ctx, struct bv_error *err);
