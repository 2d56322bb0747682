/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "util/error.h"

/* The caller's terminal while it is connected to a tty of an instance. */

/* Raw mode, as cfmakeraw, with the old settings kept in *saved (or NULL). 0: not a terminal, nothing done; 1: done;
 * -errno. */
int bv_terminal_raw(int fd, struct termios *saved);
void bv_terminal_restore(int fd, const struct termios *saved);

/* Copy the window size of terminal `from` to pty master `to`; without a terminal nothing happens. */
void bv_terminal_copy_size(int from, int to);

/*
 * The terminal or pipe of `fd` once more, non-blocking: O_NONBLOCK on `fd` itself would reach all who share it. -1: it
 * is something else (that does not block for long), or cannot be opened.
 */
int bv_terminal_own_output(int fd);

/*
 * Take the escape sequence out of what was typed: escape q ends, escape escape is one escape, escape with anything else
 * is that alone. *pending carries a lone escape over to the next read. True at the end: what was typed before it is
 * left in `data`. No `escape` (0): all is left as it is.
 */
bool bv_terminal_filter(char *data, size_t *len, int escape, bool *pending);

/*
 * What travels between lxc-console and the monitor for /dev/console: SEQPACKET messages with one leading byte. A tty
 * whose master the client holds itself needs none of it.
 */
enum { BV_CONSOLE_FRAME_DATA = 'd', BV_CONSOLE_FRAME_SIZE = 'w' /* struct winsize */ };
enum { BV_CONSOLE_FRAME_MAX = 4096 };

struct bv_relay {
	int in, out;     /* the caller's side */
	int peer;        /* a pty master, or the monitor's socket when `framed` */
	bool framed;
	int watch;       /* end when this fd is readable (and the peer is drained), -1: none. A pidfd or a socket. */
	int escape;      /* control character, 0: none */
	int log;         /* a copy of all output goes here, -1: none */
	void (*resized)(void *data); /* a pty that is the peer was given its size; NULL */
	void *data;
};

/*
 * Copy both ways until the escape sequence (escape, then q), the end of the peer, the hang-up of the caller's terminal,
 * or `watch`; then what the peer still has is shown. With `watch`, a hang-up of a pty that is the peer is no end: the
 * next getty opens it again. The end of an `in` that is no terminal is passed on to a peer that is a pty as its
 * end-of-file character and does not end the relay. Sets raw mode and restores it, whatever ends it; follows SIGWINCH.
 * A SIGHUP, SIGINT, SIGQUIT or SIGTERM (unless ignored) ends it too and is raised again once the terminal is restored.
 * Neither side can block it: the other one, signals and `watch` are always heard. 0, or -errno.
 */
int bv_terminal_relay(const struct bv_relay *r, struct bv_error *err);
