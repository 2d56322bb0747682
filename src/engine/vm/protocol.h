/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"
#include "util/str.h"

/*
 * The agent's protocol: one stream of frames, the same on the virtio-serial port between supervisor and guest, and on
 * the control socket (RUN/NAME/vm) between a command and the supervisor. PROTOCOL.md is its description for people; a
 * frame that does not keep to it ends the stream (on the port: of that channel, or of the VM's agent).
 *
 *     u32 length of the payload | u16 type | u16 flags | u32 channel | payload         all little-endian
 *
 * Channel 0 belongs to the machine as a whole. Every other channel is one command that is run inside: the supervisor
 * numbers them, a client of the control socket uses any number other than 0 for its one channel.
 *
 * Flow control: each side of a channel may send BV_FRAME_WINDOW bytes of DATA payload; whoever consumes data gives
 * credit back with CREDIT. Guest to host, stdout and stderr share one window.
 */
enum {
	BV_PROTOCOL_VERSION = 2,
	BV_FRAME_HEADER = 12,
	BV_FRAME_MAX = 65536,   /* bytes of payload */
	BV_FRAME_WINDOW = 65536,
	BV_STRING_MAX = 256,    /* of the strings of HELLO and STAGE */
	BV_ADDRESSES_MAX = 256, /* lines of ADDRESSES */
};

enum bv_frame_type {
	/* ---- channel 0, guest to host ---- */
	BV_FRAME_HELLO = 1,     /* u32 version, string kernel release, string architecture: once, first */
	BV_FRAME_STAGE = 2,     /* string: what the guest's init does now, for the log */
	BV_FRAME_FAILED = 3,    /* error: the guest's init gives up; it powers off after this */
	BV_FRAME_READY = 4,     /* empty: the next thing is the exec of the instance's init (execute: of the command) */
	BV_FRAME_ADDRESSES = 5, /* string, lines "INTERFACE ADDRESS/PREFIX\n": the global ones, whenever they change */
	BV_FRAME_ENDED = 6,     /* u32 exit code: execute's command ended; it powers off after this */

	/* ---- channel 0, host to guest ---- */
	BV_FRAME_INIT = 16,     /* u32 enum bv_frame_init, u32 signal: for process 1 */
	BV_FRAME_TERMINAL = 17, /* u16 number (0: the console, N: ttyN), u16 rows, u16 columns: its size */
	BV_FRAME_CLOCK = 18,    /* u64 nanoseconds since 1970: the guest was stopped, this is the time now */

	/* ---- a channel, host to guest ---- */
	BV_FRAME_EXEC = 32,     /* struct bv_exec: opens the channel */
	BV_FRAME_SIZE = 33,     /* u16 rows, u16 columns: of the command's pty */
	BV_FRAME_SIGNAL = 34,   /* u32 signal: to the command's process group */
	BV_FRAME_CLOSE = 35,    /* empty: the client is gone; the command is sent SIGHUP and the channel is forgotten */

	/* ---- a channel, guest to host ---- */
	BV_FRAME_STARTED = 48,  /* u32 pid in the guest: the command was executed */
	BV_FRAME_REFUSED = 49,  /* error, u32 exit code (126, 127 or 1): it was not; the channel is closed */
	BV_FRAME_EXIT = 50,     /* u32 code, or 128 + signal: ended, all its output was sent; the channel is closed */

	/* ---- a channel, both ways ---- */
	/*
	 * bytes; flags: enum bv_stream. What is typed at the pty is BV_STREAM_IN when stdin is the pty, else
	 * BV_STREAM_PTY; what comes out of it is BV_STREAM_OUT when stdout is the pty, else BV_STREAM_PTY: the other
	 * one has data of its own.
	 */
	BV_FRAME_DATA = 64,
	BV_FRAME_EOF = 65,      /* empty; flags: the stream that has ended */
	BV_FRAME_CREDIT = 66,   /* u32 bytes that may be sent in addition */

	/* ---- control socket alone, client to supervisor, channel 0 ---- */
	BV_FRAME_ASK = 80,      /* string; flags: enum bv_ask */
	/* ---- and back ---- */
	BV_FRAME_ANSWER = 81,   /* part of the answer's text; flags 1: the last part */
	BV_FRAME_ERROR = 82,    /* error */
};

enum bv_stream { BV_STREAM_IN, BV_STREAM_OUT, BV_STREAM_ERR, BV_STREAM_PTY };

enum bv_frame_init { BV_INIT_HALT, BV_INIT_REBOOT, BV_INIT_SIGNAL };

enum bv_ask {
	BV_ASK_QMP,    /* string: a QMP command as JSON; the answer is its reply, {"return": ...} or {"error": ...} */
	BV_ASK_HMP,    /* string: a line for the human monitor; the answer is its text */
	BV_ASK_PAUSE,  /* the virtual CPUs stop; answers when they have */
	BV_ASK_RESUME, /* they run again, and the guest's clock is set */
};

struct bv_frame {
	uint16_t type, flags;
	uint32_t channel;
	const uint8_t *data; /* borrowed, not NUL-terminated */
	uint32_t len;
};

/* Append a frame to `b`; b->bad says that memory ran out. `len` is at most BV_FRAME_MAX. */
void bv_frame_put(struct bv_buf *b, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len);

/*
 * The first frame of `p`, `len` bytes: how many bytes it takes (BV_FRAME_HEADER + payload), 0 when it is not complete
 * yet, -EPROTO when its length is beyond BV_FRAME_MAX. Types are not looked at. `f->data` points into `p`.
 */
int bv_frame_parse(struct bv_frame *f, const void *p, size_t len);

/* ---- payloads: written into a buffer, read by a cursor that remembers a failure ---- */

void bv_put_u16(struct bv_buf *b, uint16_t v);
void bv_put_u32(struct bv_buf *b, uint32_t v);
void bv_put_u64(struct bv_buf *b, uint64_t v);
void bv_put_string(struct bv_buf *b, const char *s);                   /* u32 length, bytes; no NUL */
void bv_put_strings(struct bv_buf *b, char *const *v);                 /* u32 count, strings; NULL: none */
void bv_put_error(struct bv_buf *b, const struct bv_error *err);       /* u32 code, string what, string hint */

struct bv_cursor {
	const uint8_t *p;
	size_t left;
	bool bad; /* something did not fit or did not parse; everything read since is 0 or NULL */
};

struct bv_cursor bv_cursor_of(const struct bv_frame *f);
uint16_t bv_get_u16(struct bv_cursor *c);
uint32_t bv_get_u32(struct bv_cursor *c);
uint64_t bv_get_u64(struct bv_cursor *c);
/* malloc'ed and NUL-terminated; NULL and `bad` when it has a NUL byte or is longer than `max`. */
char *bv_get_string(struct bv_cursor *c, size_t max);
/* Appends; `bad` with more than `max` of them. */
void bv_get_strings(struct bv_cursor *c, struct bv_strv *ret, size_t max);
/* Texts are cut to what fits, control characters become '?'. */
void bv_get_error(struct bv_cursor *c, struct bv_error *err);
/* 0 when everything was read and nothing is left, else -EPROTO. */
int bv_cursor_end(const struct bv_cursor *c);

/* ---- BV_FRAME_EXEC ---- */

enum {
	BV_EXEC_PTY = 1,        /* a pty of the guest is the terminal; the three below say which streams it is */
	BV_EXEC_KEEP_CAPS = 2,  /* lxc.cap.drop is not applied to the command */
	BV_EXEC_PTY_STDERR = 4, /* with PTY: stderr is the pty as well, else a stream of its own */
	BV_EXEC_PTY_STDOUT = 8, /* with PTY: stdout is the pty, else a stream of its own */
	BV_EXEC_PTY_STDIN = 16, /* with PTY: stdin is the pty, else a stream of its own */
};

struct bv_exec {
	uint32_t flags;             /* BV_EXEC_* */
	uint32_t uid, gid;
	uint16_t rows, columns;     /* of the pty */
	/* NULL ("" on the wire): HOME of the user. "/" in place of one that is not there; that is no error. */
	char *cwd;
	struct bv_strv argv;        /* empty: the shell that the guest's /etc/passwd has for uid, else /bin/sh */
	struct bv_strv env;         /* K=V */
};

enum { BV_EXEC_ARGS_MAX = 4096, BV_EXEC_STRING_MAX = 32768 };

void bv_put_exec(struct bv_buf *b, const struct bv_exec *e);
/* 0, or -EPROTO with nothing to clear. */
int bv_get_exec(const struct bv_frame *f, struct bv_exec *ret);
void bv_exec_clear(struct bv_exec *e);
