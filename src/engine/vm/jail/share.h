/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/vm/probe.h"
#include "util/error.h"
#include "util/str.h"

/*
 * A virtiofs share: one file server, which listens on an fd that we bound (an autobound abstract socket is never
 * reachable from another network namespace; ours lies in the staging), and QEMU's end, connected by us.
 */
struct bv_share {
	pid_t pid;      /* child of the caller */
	int connection; /* for QEMU: -chardev socket,fd= */
	int log;        /* the server's stderr, non-blocking read end; -1 */
};

struct bv_share_how {
	const char *program;     /* bv_vm_host.virtiofsd */
	bool is_rust;
	const char *directory;   /* in the staging */
	const char *cache;       /* "always", "auto", "none" */
	bool readonly;
	const struct bv_config *config; /* lxc.idmap: the server runs in a user namespace with these maps */
};

/* Start the server and connect. -errno with the server's own last words where it has some. */
int bv_share_start(struct bv_share *ret, const struct bv_share_how *how, struct bv_error *err);

/* The server's command line; `fd` is the listening socket. 0 or -ENOMEM. */
int bv_share_command(struct bv_strv *argv, const struct bv_share_how *how, int fd);
