/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/listen.h"
#include "engine/vm/protocol.h"
#include "engine/vm/spec.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The agent in parts:
 *   agent.c    its process and its loop
 *   port.c     finding and opening the port; frames that init sends before there is an agent
 *   stream.c   frames in and out of the port's bytes
 *   channel.c  a command's streams: credit, end of file, exit
 *   command.c  the command's process, from fork to exec
 *   machine.c  channel 0: process 1, the terminals' sizes, the clock, addresses
 * The fuzzer has stream.c and channel.c, with command.c and machine.c left out.
 */
enum {
	AGENT_CHANNELS = 256,
	/* Of one DATA frame. A frame of up to 32 KiB is one write to a virtio port, whole or not at all. */
	AGENT_CHUNK = 16384,
	/* With so much waiting for the host no command's output is read. */
	AGENT_QUEUE_HIGH = 65536,
	/* With so much nothing is read from the host either: it asks and does not listen. */
	AGENT_QUEUE_MAX = 1 << 20,
	/* Signals that the protocol knows. */
	AGENT_SIGNALS = 64,
};

/* ---- streams of a command ---- */

/* What the host sent for a stream of the command and the command did not take yet. */
struct agent_input {
	int fd;             /* -1: there is none, or none any more */
	struct bv_buf data;
	size_t done;        /* of data, written */
	bool eof;           /* to be closed (a pty: sent its end-of-file character) behind data */
};

struct agent_output {
	int fd;
	uint16_t stream;
};

enum { AGENT_INPUT_STDIN, AGENT_INPUT_PTY, AGENT_INPUTS };
enum { AGENT_OUTPUT_STDOUT, AGENT_OUTPUT_STDERR, AGENT_OUTPUT_PTY, AGENT_OUTPUTS };

struct agent_channel {
	struct agent_channel *next;
	uint32_t id;
	pid_t pid;
	int report;              /* what the child has to say before its exec; -1: it was executed */
	bool pty_is_stdin;
	struct agent_input in[AGENT_INPUTS];     /* of a pty each direction has an fd of its own */
	struct agent_output out[AGENT_OUTPUTS];
	uint32_t may_send;       /* credit that the host gave */
	uint32_t may_come;       /* credit that the host has */
	uint32_t taken;          /* bytes the command took, for which credit was not given back yet */
	/* ---- after the process has ended ---- */
	bool ended;
	int code;
	int64_t quiet_since;     /* when output was there last; 0: it could not be sent */
	int64_t patience;        /* milliseconds */
	size_t late;             /* bytes that came since */
};

struct agent_out_frame;

struct agent {
	int port;
	bool connected;          /* false: wait for the host */
	bool broken;             /* no frame can be found any more in what comes: until the host connects anew */
	struct bv_buf in;        /* the beginning of a frame */
	struct agent_out_frame *first, **last;
	size_t queued;           /* bytes in them */
	struct agent_channel *channels;
	unsigned int n_channels;
	const struct bv_config *cfg;

	/* ---- machine.c ---- */
	struct {
		bool waits;      /* until process 1 takes signals */
		uint32_t what, signal;
		int64_t deadline, next;
	} init;
	int terminals[1 + BV_VM_TTYS_MAX]; /* the console, tty1 and on: those that have a size of the host; -1 */
	int netlink;
	int64_t addresses_due;   /* 0: nothing changed */
	char *addresses;         /* that the host knows */
};

/* ---- stream.c ---- */

void agent_stream_init(struct agent *a);
/* Queue a frame. Out of memory ends the agent's connection as a host that went does. */
void agent_send(struct agent *a, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len);
void agent_send_u32(struct agent *a, uint16_t type, uint32_t channel, uint32_t value);
void agent_send_buf(struct agent *a, uint16_t type, uint32_t channel, struct bv_buf *b); /* and clear it */
/* Bytes from the host. */
void agent_receive(struct agent *a, const void *data, size_t len);
/* The next bytes for the port, NULL when there are none; `agent_sent` of them are out. */
const void *agent_to_send(const struct agent *a, size_t *len);
void agent_sent(struct agent *a, size_t len);
/* The host has gone, or cannot be understood: everything that it asked for ends. */
void agent_forget_host(struct agent *a);

/* ---- channel.c ---- */

struct agent_channel *agent_channel_find(const struct agent *a, uint32_t id);
/* A frame that has a channel. */
void agent_channel_frame(struct agent *a, const struct bv_frame *f);
/* SIGHUP, and forget it. */
void agent_channel_close(struct agent *a, struct agent_channel *ch);
/* A child has ended. */
void agent_channel_reaped(struct agent *a, pid_t pid, int status);

enum { AGENT_CHANNEL_FDS = 1 + AGENT_INPUTS + AGENT_OUTPUTS };
/* What the channel waits for: AGENT_CHANNEL_FDS entries, -1 where it waits for nothing. */
void agent_channel_poll(const struct agent *a, const struct agent_channel *ch, struct pollfd *fds);
/* Serve what became ready. The channel may be gone afterwards. */
void agent_channel_serve(struct agent *a, struct agent_channel *ch, const struct pollfd *fds, int64_t now);
/* Is it over, `elapsed` ms after the last call? Then it is told and gone. The ms until the next look, -1 none. */
int agent_channel_age(struct agent *a, struct agent_channel *ch, int64_t now, int64_t elapsed);

/* ---- command.c ---- */

/* What the child says when it could not execute; smaller than PIPE_BUF. */
struct agent_report {
	struct bv_error err;
	int code;
};

/* Fork the command: fills pid and fds of `ch`, whose fds are all -1. */
int agent_command_start(struct agent_channel *ch, const struct bv_exec *e, const struct bv_config *cfg,
			struct bv_error *err);
/* A signal for the process group of a command that has not ended. */
void agent_command_signal(pid_t pid, int sig);
/* Called once, before the agent changes what a command is to have as it was. */
void agent_command_remember(void);

/* ---- machine.c ---- */

/* A frame of channel 0; -EPROTO when it does not parse. */
int agent_machine_frame(struct agent *a, const struct bv_frame *f);
/* Before all else: it opens the socket that tells of addresses. */
void agent_machine_open(struct agent *a);
/* The socket has something to say. */
void agent_machine_addresses_changed(struct agent *a, int64_t now);
/* What is due. The ms until something is, -1 nothing. */
int agent_machine_age(struct agent *a, int64_t now);
/* A host that connected anew knows nothing. */
void agent_machine_greet(struct agent *a);

enum agent_init_kind { AGENT_INIT_OTHER, AGENT_INIT_SYSTEMD, AGENT_INIT_BUSYBOX };

struct agent_init {
	enum agent_init_kind kind;
	struct bv_listen listen;
};

/*
 * What asks this init for it. Of `signal` (0: the init's own) that is kept which a VM would misunderstand: a kernel of
 * one's own halts and stays, where a container's end is what was wanted.
 */
int agent_init_signal(const struct agent_init *init, uint32_t what, uint32_t signal);

/* ---- port.c ---- */

/* The payload of BV_FRAME_HELLO. */
void agent_put_hello(struct bv_buf *b);
