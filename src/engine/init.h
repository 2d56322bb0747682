/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

/* lxc-execute's pid 1, in a container and inside a VM. */
struct bv_init {
	char *const *argv, *const *env;
	int64_t uid, gid; /* of the command; -1: as the caller */
	/*
	 * The command stays in the caller's session, of whose terminal it is the foreground: a leader that ends hangs
	 * up, and a serial line then forgets what it has not sent yet. Else it has a session of its own.
	 */
	bool keep_session;
	/* Told, in the command's process, what kept it from being executed (or, in the caller's, from being forked). */
	void (*failed)(void *data, const struct bv_error *err);
	void *data;
};

/*
 * Run the command as a child, pass signals on, reap what is left to us, and return the command's exit code, or 128 +
 * signal, once nothing is left. SIGTERM and SIGPWR end all, SIGKILL follows after a second. Every fd above 2 is closed
 * here; in the command they close at its exec.
 */
int bv_init_run(const struct bv_init *how);
