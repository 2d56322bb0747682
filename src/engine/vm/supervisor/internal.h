/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/vm/protocol.h"
#include "engine/vm/qemu/qmp.h"
#include "engine/vm/spec.h"
#include "engine/vm/supervisor/supervisor.h"
#include "util/error.h"
#include "util/str.h"

/*
 * What the supervisor's files share. supervisor.c has its life and the loop, spawn.c what comes before it; then each
 * thing that the loop waits for has a file: agent_link.c the guest, control_server.c commands of users, machine.c QEMU.
 *
 * Nothing here waits but the loop's one poll(2), and while nothing happens that waits for ever. All that comes from
 * elsewhere is bounded: what the guest sends for a client by the channel's window, what is to be sent to the guest by
 * BV_SV_AGENT_MAX.
 */
enum {
	BV_SV_CLIENTS = 64,
	BV_SV_AGENT_MAX = 8 << 20, /* bytes that the guest has not read, before clients are left waiting */
	BV_SV_LOGS = 3,
	BV_SV_LINE = 256,
	BV_SV_BROKEN_MS = 2000,    /* for QEMU to end, once it has hung up */
};

/* ---- frame_stream.c: frames over a non-blocking stream socket ---- */

struct sv_stream {
	int fd;                /* -1: closed */
	struct bv_buf in, out;
	size_t taken, sent;    /* of them */
};

/* Take what has come, at most about one frame: 1, 0 nothing, -EPIPE the end, -errno. */
int sv_stream_read(struct sv_stream *st);
/* The next complete frame of it: 1, 0, -EPROTO. It is good until the next call of either. */
int sv_stream_next(struct sv_stream *st, struct bv_frame *f);
/* Send what can be sent: 0 or -errno. */
int sv_stream_write(struct sv_stream *st);
/* Bytes that are not sent yet. */
size_t sv_stream_unsent(const struct sv_stream *st);
void sv_stream_close(struct sv_stream *st);

/* ---- */

/* What the guest was last heard to do with the machine. */
enum sv_shutdown { SV_RUNS, SV_POWER_OFF, SV_RESET, SV_PANIC, SV_HOST_ERROR };

enum sv_timer {
	SV_TIMER_LINGER, /* QEMU has to be gone by then */
	SV_TIMER_BROKEN, /* a file server or QMP has ended: so has QEMU to, or it is the cause */
	SV_TIMER_HALTED, /* look whether the guest's CPUs are halted */
	SV_TIMERS,
};

/* A connection to the control socket. */
struct sv_client {
	struct sv_stream stream;
	uint64_t serial;       /* never reused: whom a late answer is for */
	uint32_t own, channel; /* number of its channel with it, and with the guest; 0: none is open */
	uint32_t to_guest, from_guest; /* bytes that each side may still send */
	uint8_t eofs_to_guest, eofs_from_guest;
	bool started, ended;   /* the command was executed; the channel was closed by the guest */
	bool asking;           /* its question is with QEMU */
	bool closing;          /* when everything is sent */
};

struct sv_log {
	int fd;                /* read end of the process' stderr; -1 */
	const char *name;      /* "qemu", "virtiofsd" */
	char line[BV_SV_LINE]; /* that is not complete */
	size_t len;
	char last[BV_SV_LINE]; /* complete and not empty: what an end is explained with */
	bool is_reason;        /* `last` is an error of QEMU's own */
	unsigned int lines;
};

/* A pty whose size the guest is to know. */
struct sv_terminal {
	int fd;                 /* its slave; -1 */
	uint16_t rows, columns; /* that the guest was told; 0: none */
};

struct supervisor {
	/* ---- from the set-up ---- */
	const struct bv_config *config;
	int run_dir;              /* until it has left the host; -1 */
	int guest_dir;            /* RUN/NAME/guest */
	char arch[16];
	uint64_t memory, balloon; /* of the spec; balloon 0: none is wanted at the start */
	bool kvm, execute;
	bool jailed;              /* there is a staging: false in tests */
	int sync;                 /* to the monitor; -1 after the report */
	int signals;              /* signalfd */
	struct sv_terminal terminals[1 + BV_VM_TTYS_MAX]; /* the console, our controlling terminal; tty1 and on */
	int listener;             /* of RUN/NAME/vm */
	int high_watch, high;     /* inotify on memory.high, and that file; -1 */
	pid_t qemu;               /* 0: it has ended */
	pid_t servers[2];         /* of files; 0 */
	struct sv_log logs[BV_SV_LOGS]; /* the first is QEMU's */

	/* ---- QEMU (machine.c) ---- */
	struct bv_qmp *qmp;
	enum sv_shutdown shutdown;
	char shutdown_reason[32];
	bool looking;             /* at the CPUs */
	unsigned int looks, halted_looks; /* since it was begun; in a row in which all were halted */
	int look_interval;

	/* ---- the guest (agent_link.c) ---- */
	struct sv_stream agent;
	bool agent_open;          /* the guest has the port open, as far as is known */
	bool hello, ready;
	bool halt_wanted, reboot_wanted; /* before `ready` */
	bool halt_asked;          /* of its init */
	unsigned int logged;      /* lines for what the guest did; it may do it again and again */
	int exit_code;            /* execute's, -1 */
	char *addresses;
	struct bv_error guest_failure; /* after READY */

	/* ---- control_server.c ---- */
	struct sv_client clients[BV_SV_CLIENTS];
	uint64_t next_serial;
	uint32_t next_channel;

	/* ---- supervisor.c ---- */
	int64_t due[SV_TIMERS];   /* bv_now_ms; 0: off */
	int hurry;                /* times are divided by it: 1, but for tests */
	bool over;
	int result;               /* exit code, or SV_REBOOT */
	struct bv_error broken;   /* a file server ended; code 0: none has */
	bool server_killed;
};

enum { SV_REBOOT = -1 };

/* ---- supervisor.c ---- */

/* A struct with every fd at -1. */
void sv_init(struct supervisor *s);
void sv_clear(struct supervisor *s);
/* The loop, until all is over: the exit code, or SV_REBOOT. */
int sv_run(struct supervisor *s);
/* Before the report it is made with this error, afterwards it is logged; either way the VM's life is over. */
void sv_fail(struct supervisor *s, const struct bv_error *err);
void sv_report(struct supervisor *s, const struct bv_error *err);
void sv_set_timer(struct supervisor *s, enum sv_timer t, int ms); /* an earlier one stays */
void sv_kill_qemu(struct supervisor *s);

/* ---- spawn.c ---- */

/* All that is made before the loop: jail, file servers, QEMU, sockets. */
int sv_set_up(struct supervisor *s, struct bv_run *run, struct bv_vm *vm, struct bv_error *err);

/* ---- machine.c ---- */

int sv_machine_open(struct supervisor *s, int qmp_fd, struct bv_error *err); /* takes over the fd */
void sv_machine_serve(struct supervisor *s, bool readable, bool writable);
void sv_machine_ready(struct supervisor *s);  /* the guest's init runs */
/* Look from now on whether the guest's CPUs are halted for good: there is no event for it. */
void sv_machine_watch_halt(struct supervisor *s);
void sv_machine_look(struct supervisor *s);   /* SV_TIMER_HALTED */
void sv_machine_high_changed(struct supervisor *s);
/* Does "info registers -a" say that no CPU will ever wake? Of aarch64 it says only that none takes interrupts. */
bool sv_all_halted(const char *registers);
/* ACPI's power button, for a guest without agent. */
void sv_machine_powerdown(struct supervisor *s);

/* ---- agent_link.c ---- */

void sv_agent_serve(struct supervisor *s, bool readable, bool writable);
/* Queue a frame; -ENOTCONN when there is no agent, -EAGAIN when it does not read. */
int sv_agent_send(struct supervisor *s, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len);
void sv_agent_drain(struct supervisor *s);           /* take what is there, before something ends */
void sv_agent_port(struct supervisor *s, bool open); /* the guest opened or closed it */
bool sv_agent_alive(const struct supervisor *s);
bool sv_guest_may_log(struct supervisor *s); /* one more line; it must not fill the host's disk */
bool sv_agent_busy(const struct supervisor *s);
void sv_agent_init(struct supervisor *s, enum bv_frame_init what, int sig);
void sv_agent_sizes(struct supervisor *s); /* of the terminals, those that changed */
void sv_agent_clock(struct supervisor *s);

/* ---- control_server.c ---- */

int sv_control_listen(struct supervisor *s, struct bv_error *err);
void sv_control_accept(struct supervisor *s);
short sv_client_events(const struct supervisor *s, const struct sv_client *c);
void sv_client_serve(struct supervisor *s, struct sv_client *c, short events);
/* A frame of the guest for the channel of a client. */
void sv_client_deliver(struct supervisor *s, const struct bv_frame *f);
/* Every open channel ends with this error. */
void sv_clients_fail(struct supervisor *s, const struct bv_error *err);
void sv_client_drop(struct supervisor *s, struct sv_client *c);
