/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/vm/protocol.h"
#include "util/error.h"

/*
 * The side of a command (lxc-attach, lxc-vm-monitor, lxc-freeze) of the control socket RUN/NAME/vm, 0600 in a 0700
 * directory, whose other side is the supervisor.
 */
enum { BV_CONTROL_TIMEOUT_MS = 15000 };

/*
 * Connect. The fd, blocking; -errno with the reason. A frozen instance is refused (-EBUSY): its supervisor is frozen
 * with it and would let the caller wait.
 */
int bv_control_connect(const struct bv_run *run, struct bv_error *err);

/*
 * Ask one thing and wait for the answer, at most BV_CONTROL_TIMEOUT_MS: *ret is malloc'ed (may be NULL: not wanted).
 * An error of the supervisor or of QEMU is in `err`.
 */
int bv_control_ask(const struct bv_run *run, enum bv_ask what, const char *text, char **ret, struct bv_error *err);

/* ---- frames over that connection; none of these waits beyond `deadline` (bv_now_ms), -1 is for ever ---- */

/* What was received and not looked at yet. Zeroed at first. */
struct bv_control_in {
	uint8_t *data;
	size_t start, len;
};

void bv_control_in_clear(struct bv_control_in *in);

/* Take what has arrived, without waiting: 1, 0 at the end of the stream, -EAGAIN nothing, -errno. */
int bv_control_fill(int fd, struct bv_control_in *in);
/* The next frame of what was taken: 1, 0 none is complete, -EPROTO. It is good until the next bv_control_fill(). */
int bv_control_next(struct bv_control_in *in, struct bv_frame *f);
/* Both, until there is a frame: 1, 0 at the end of the stream, -ETIMEDOUT, -errno. */
int bv_control_receive(int fd, struct bv_control_in *in, struct bv_frame *f, int64_t deadline);
/* 0, -ETIMEDOUT or -errno. */
int bv_control_send(int fd, const struct bv_buf *frames, int64_t deadline);

/* Say what it means that one of these returned `r`, 0 or below. Returns -errno, never 0. */
int bv_control_explain(const struct bv_run *run, int r, struct bv_error *err);
/* Take the error out of a frame: -errno, never 0, whatever the other side has sent. */
int bv_control_error_of(struct bv_cursor *c, struct bv_error *err);

/* ---- attach.c ---- */

/*
 * bv_engine.attach: EXEC over the control socket. Nothing of the VMM is entered. With a pty, a pair of this host's is
 * between the caller and a child of ours that copies the streams: the master and the child's pidfd are what `relay`
 * gets. Without one the streams are copied here, and signals that end or poke a command (SIGHUP, SIGINT, SIGQUIT,
 * SIGTERM, SIGUSR1, SIGUSR2) are passed to the guest's meanwhile.
 */
int bv_vm_attach(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status, struct bv_error *err);
