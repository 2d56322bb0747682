/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "instance/rundir.h"
#include "util/error.h"

/*
 * The monitor's socket (RUN/NAME/command): SOCK_SEQPACKET, mode 0600, for root and the monitor's own user. One request
 * of fixed size a connection, one reply; anything of another size or magic ends the connection.
 */
enum { BV_COMMAND_MAGIC = 0x62763031 }; /* "bv01" */

enum bv_command_op {
	/*
	 * A tty, `arg` as bv_console_options.tty. The reply's `arg` is the tty; for ttyN its master comes along as
	 * SCM_RIGHTS, for 0 the connection goes on with frames (terminal.h). It is taken until the connection closes.
	 */
	BV_COMMAND_CONSOLE = 1,
};

struct bv_command {
	uint32_t magic, op;
	int32_t arg;
};

struct bv_reply {
	uint32_t magic;
	int32_t code; /* 0 or -errno */
	int32_t arg;
};

/* Connect, ask, and take the reply: the connection's fd, or -errno. *fd gets what came along (-1). */
int bv_command_ask(const struct bv_rundir *rd, enum bv_command_op op, int arg, int *ret_arg, int *fd,
		   struct bv_error *err);

/* The monitor's side: a listening socket in the run directory. */
int bv_command_listen(const struct bv_rundir *rd, struct bv_error *err);
/* Accept one peer that may command us; -EPERM for others. */
int bv_command_accept(int listener);
/* 0, or -errno: to be closed. */
int bv_command_receive(int fd, struct bv_command *ret);
int bv_command_reply(int fd, int code, int arg, int pass_fd);
