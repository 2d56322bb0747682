/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/vm/client/control.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The streams of one attached command that was started: between the control socket and the caller's files, with the
 * protocol's flow control. Neither side can block the other: no fd's flags are changed, for the caller shares its files
 * with others, and no more is written than what poll(2) promises to take.
 */
enum { BV_STREAM_CHANNEL = 1 };

/* Where output goes. Several streams may have one sink. */
struct bv_sink {
	int fd;
	size_t most;        /* bytes that a write takes without waiting, once poll says so */
	struct bv_buf data;
	size_t start;
};

enum { BV_STREAMS = BV_STREAM_PTY + 1, BV_SINKS = 3 };

struct bv_streams {
	const struct bv_run *run;
	int socket;
	struct bv_control_in *in;       /* what came behind STARTED is in it already */
	int source;                     /* becomes BV_STREAM_IN; -1: it is at its end */
	bool source_is_pty;             /* its end is a hang-up */
	int pty;                        /* the local pty's slave, whose size counts; -1 */
	uint16_t rows, columns;         /* that the guest knows */
	int signals;                    /* signalfd: SIGWINCH, and what is passed on */
	struct bv_sink sinks[BV_SINKS];
	struct bv_sink *sink_of[BV_STREAMS]; /* NULL: the guest must not send it */

	/* ---- private ---- */
	struct bv_buf out;              /* frames */
	size_t out_start;
	size_t credit;                  /* what may be sent */
	size_t owed, consumed;          /* what was received without credit; how much of it was written */
	bool ended;                     /* EXIT came */
	int status;
	int interrupts;                 /* of the user, in a row */
	int64_t interrupted_ms;
};

/* What keeps no fd yet. */
void bv_streams_init(struct bv_streams *s);
void bv_streams_clear(struct bv_streams *s); /* closes nothing */
/* A sink on `fd`. */
void bv_streams_sink(struct bv_streams *s, size_t i, int fd);

/*
 * Copy until the command has ended and all its output is written: 0 and *exit_status. 0 as well, for nobody is to be
 * told, when the reader of the output is gone (128 + SIGPIPE), or when the user or the end of the terminal wants it
 * over (128 + that signal). Else -errno with the reason.
 */
int bv_streams_copy(struct bv_streams *s, int *exit_status, struct bv_error *err);
