/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "config/config.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The monitor's end of /dev/console: always read, so that the instance never blocks on a console that nobody looks at;
 * kept in the ring buffer and the log file as the config wants; passed on to one client (lxc-console -t 0, or the
 * terminal of a foreground start), and to the device or file that lxc.console.path names.
 */
enum { BV_CONSOLE_TYPED_MAX = 4096 };

struct bv_console {
	int master;          /* of the pty; -1: the instance has no console. Owned. */
	int slave;           /* held open, so that the master does not hang up between two gettys; -1 */
	struct winsize size; /* of the pty before a reboot */
	int log;             /* lxc.console.logfile, -1 */
	char *log_path;      /* for the rotation; NULL unless wanted */
	uint64_t log_size, log_max;
	bool rotate;
	char *ring;          /* lxc.console.buffer.size bytes, NULL off; an anonymous mapping */
	size_t ring_size;
	uint64_t ring_total; /* bytes ever written to it */
	int client;          /* SEQPACKET connection, -1 */
	int in, out;         /* the terminal: the caller's in the foreground, or `mirror`; -1 */
	int mirror;          /* lxc.console.path, -1; owned */
	int own_out;         /* `out` in the foreground, where it could be opened anew (non-blocking); -1 */
	uint64_t dropped;    /* bytes a slow client did not get */
	char line[160];      /* the last line of output, cut at its end: what a guest said last */
	uint32_t line_len;
	bool line_ended;
	/* What the terminal has not taken yet: the master is not read until it has, as with a program of its own. */
	struct bv_buf unseen;
	/* What the pty has not taken yet: in and client are not read until it has. */
	size_t typed_start, typed_len;
	char typed[BV_CONSOLE_TYPED_MAX];
};

void bv_console_init(struct bv_console *c);
/* Take over `master`, open log and mirror, make the ring; what is open already from before a reboot stays. */
int bv_console_open(struct bv_console *c, int master, const struct bv_config *cfg, struct bv_error *err);
/* The caller's terminal, in the foreground: `in` and `out` or -1. */
void bv_console_use_terminal(struct bv_console *c, int in, int out);
/*
 * The instance ended: what is still in the pty is taken, then the pty is closed; log, ring and client stay, and so does
 * what the terminal has not taken.
 */
void bv_console_drain(struct bv_console *c);
void bv_console_close(struct bv_console *c);

/*
 * The last line that was written to it and was not blank, without control characters; "" none. A line that tells of a
 * kernel's panic stays the last one until it is forgotten, at the next boot.
 */
void bv_console_last_line(const struct bv_console *c, char *buf, size_t size);
void bv_console_forget_line(struct bv_console *c);

/* The master is readable. How much was taken, or -EIO when it is at its end for good. */
int bv_console_output(struct bv_console *c);
/* The terminal is writable again. */
void bv_console_show(struct bv_console *c);
/* The master is writable again. */
void bv_console_type(struct bv_console *c);
/*
 * The client sent something; -EPIPE when it is gone (the caller closes it). Not while typed_len is above 0: that goes
 * for the terminal's input, too.
 */
int bv_console_client_input(struct bv_console *c);
/* The foreground terminal is readable; 0 at its end. */
int bv_console_terminal_input(struct bv_console *c);
