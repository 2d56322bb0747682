/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "template/template.h"

/*
 * Run a program of the host, or one inside a rootfs that is being built.
 *
 * Either way it gets mount, pid, ipc and uts namespaces of its own (the network is the caller's, for package managers),
 * so nothing it mounts is seen by the host and nothing it starts outlives it; it dies with its caller. Inside a rootfs
 * it has that rootfs as its root (pivot_root, the host's tree is unmounted), /proc, a /dev of the harmless devices,
 * empty /run and /tmp, and only the capabilities that a package manager needs: none to mount, to make devices, to load
 * modules, to trace.
 */
struct bv_run {
	const char *what;             /* for messages: "mmdebstrap", "action 2 (post-packages)" */
	char *const *argv;            /* found by PATH; not used when there is a script */
	const char *script;           /* text to run inside, by its "#!" line or /bin/sh */
	const char *root;             /* path of the rootfs; NULL: the host's tree */
	char *const *env;             /* NULL-terminated: the whole environment */
	const char *input;            /* stdin; NULL: /dev/null */
	int in, out;                  /* stdin and stdout as fds in place of that; -1 */
	const struct bv_progress *progress; /* gets "I: ..." lines; may be NULL */
	size_t skip;                  /* leading characters of such a line to cut */
};

/* 0 when it ended with 0; else the error has the last line that looks like the cause. */
int bv_run(const struct bv_run *run, struct bv_error *err);

/* Is there such a program in PATH? */
bool bv_program_exists(const char *name);

/* K=V for programs of the host: PATH, HOME, a UTF-8 locale, proxies. */
int bv_run_host_env(struct bv_strv *env);
