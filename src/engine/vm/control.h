/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "engine/engine.h"
#include "engine/vm/protocol.h"
#include "util/error.h"

/*
 * The side of a command (lxc-attach, lxc-vm-monitor, lxc-freeze) of the control socket RUN/NAME/vm, 0600 in a 0700
 * directory, whose other side is the supervisor.
 */
enum { BV_CONTROL_TIMEOUT_MS = 15000 };

/* Connect. The fd, blocking; -errno with the reason. */
int bv_control_connect(const struct bv_run *run, struct bv_error *err);

/*
 * Ask one thing and wait for the answer, at most BV_CONTROL_TIMEOUT_MS: *ret is malloc'ed (may be NULL: not wanted).
 * An error of the supervisor or of QEMU is in `err`.
 */
int bv_control_ask(const struct bv_run *run, enum bv_ask what, const char *text, char **ret, struct bv_error *err);

/* ---- attach.c ---- */

/*
 * bv_engine.attach: EXEC over the control socket. Nothing of the VMM is entered. Streams are copied by a child of ours,
 * whose pidfd, with the master of a pty that is between it and the caller, is what `relay` gets.
 */
int bv_vm_attach(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status, struct bv_error *err);
