/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "util/error.h"

/* The caller's terminal while it is connected to a tty of an instance. */

/* Raw mode, as cfmakeraw, with the old settings kept. 0: not a terminal, nothing done; 1: done; -errno. */
int bv_terminal_raw(int fd, struct termios *saved);
void bv_terminal_restore(int fd, const struct termios *saved);

/* Copy the window size of terminal `from` to pty master `to`; without a terminal nothing happens. */
void bv_terminal_copy_size(int from, int to);

/*
 * What travels between lxc-console and the monitor for /dev/console: SEQPACKET messages with one leading byte. A tty
 * whose master the client holds itself needs none of it.
 */
enum { BV_FRAME_DATA = 'd', BV_FRAME_SIZE = 'w' /* struct winsize */ };
enum { BV_FRAME_MAX = 4096 };

struct bv_relay {
	int in, out;     /* the caller's side */
	int peer;        /* a pty master, or the monitor's socket when `framed` */
	bool framed;
	int watch;       /* end when this fd is readable (and the peer is drained), -1: none. A pidfd or a socket. */
	int escape;      /* control character, 0: none */
	int log;         /* a copy of all output goes here, -1: none */
};

/*
 * Copy both ways until the escape sequence (escape, then q), the end of the peer, or `watch`. The end of `in` is passed
 * on to a peer that is a pty as its end-of-file character and does not end the relay. Sets raw mode and restores it;
 * follows SIGWINCH. 0, or -errno.
 */
int bv_terminal_relay(const struct bv_relay *r, struct bv_error *err);
