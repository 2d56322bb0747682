/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/container/setup.h"
#include "engine/engine.h"
#include "engine/hook.h"
#include "security/security.h"
#include "util/error.h"

/*
 * The container engine: the monitor's side is container.c, the first process's side is child.c.
 *
 * They talk over one SOCK_SEQPACKET pair. The monitor sends struct child_token; the child sends struct child_message,
 * with the masters of the console and the ttys as SCM_RIGHTS. Nobody waits where nothing has to be waited for: the
 * child takes a token only if the config makes the monitor do something for it first. The pair closes at exec, and so
 * an end of file tells the monitor that init runs.
 *
 *   monitor                              child
 *   clone3  ---------------------------> enters its cgroups
 *   writes the id maps, mounts rootfs
 *   CHILD_GO_MAPPED (+ rootfs fd) -----> becomes root of its user namespace      (with lxc.idmap only)
 *   makes the links                      mounts, /dev, ptys, pivot
 *   CHILD_GO_NETWORK ------------------> configures them                         (with links only)
 *                    <------------------ CHILD_READY (+ console and tty fds)
 *   start-host hooks, prlimits, ...
 *   CHILD_GO_EXEC ---------------------> (with such things only)
 *                                        start hooks, capabilities, seccomp, exec
 *   (end of file: it runs) <------------ CHILD_FAILED (+ struct bv_error) instead
 */
enum { CHILD_GO_MAPPED = 'm', CHILD_GO_NETWORK = 'n', CHILD_GO_EXEC = 'x' };
enum { CHILD_READY = 1, CHILD_FAILED = 2 };

struct child_message {
	int kind;
	unsigned int n_ttys;
	bool has_console;
	struct bv_error err;
};

/* With CHILD_GO_MAPPED come the mounts that only the monitor can make: the rootfs, and entries with idmap=. */
enum { CHILD_MAPPED_MAX = 64 };

struct child_token {
	char token;
	bool has_root;
	unsigned int n_entries;
	bool has_entry[CHILD_MAPPED_MAX]; /* an optional one may be missing */
};

/* What the monitor's steps prepare; bv_run.engine_data. */
struct container {
	int sync;             /* our end of the pair */
	unsigned int ns;      /* new namespaces, bits 1 << BV_NS_* */
	bool has_links;       /* CHILD_GO_NETWORK will come */
	bool has_host_part;   /* CHILD_GO_EXEC will come */
	uint64_t caps_keep;
	struct bv_seccomp seccomp;
	bool has_seccomp;
	char *label;          /* LSM label for init, or NULL */
	int own_pidns;        /* while the clone is made into a shared pid namespace; -1 */
};

/* The life of the first process, up to the exec. Never returns. `sync` is its end of the pair. */
void bv_container_child(struct bv_run *run, struct container *c, int sync, bool born_inside) __attribute__((noreturn));
