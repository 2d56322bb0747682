/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "cgroup/cgroup.h"
#include "engine/engine.h"
#include "instance/console.h"
#include "instance/rundir.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The monitor: the process that stays as long as an instance runs. It starts it (start.c's table of steps), then holds
 * the lock, the pidfd of init, the masters of console and ttys, and a listening socket in one epoll loop. Once the
 * instance runs the configuration is dropped: at the end, or at a reboot, it is read again from the run directory.
 */
/* The console and every tty can have its client at once; some more may be about to ask. */
enum { BV_MONITOR_CLIENTS = BV_TTYS_MAX + 1 + 7 };

struct bv_monitor {
	const char *lxcpath, *name, *config_file; /* borrowed, for the life of the process */
	struct bv_rundir rd;
	int lock;
	int rootfs_lock;              /* of an engine that wants the rootfs for itself (hold.h), else -1 */
	struct bv_run_state state;
	const struct bv_engine *engine;
	struct bv_config *config;     /* while starting; owned */
	struct bv_cgroup *cgroup;
	struct bv_run run;
	struct bv_strv command;
	bool execute, foreground;
	int64_t exec_uid, exec_gid;
	char *pidfile;                /* NULL: none */
	int report;                   /* socket to lxc-start, which waits; -1 in the foreground */
	struct bv_console console;
	bool raw;                     /* console.in is a terminal, and was as `saved` */
	struct termios saved;
	int watched_out;              /* the terminal's output, while it has to catch up; -1 */
	bool console_watched;         /* its master is in the epoll set */
	bool terminal_taken;          /* open_terminal() was done, for this run and those after its reboots */
	uint32_t console_events;      /* what the console's master is watched for */
	int awaited;                  /* what a step of the engine waits for (bv_run.serve), -1 */
	bool given_up;                /* we were told to end while it waits */
	bool lost;                    /* run.vital has ended, and so has init to */
	bool typing;                  /* the console's input waits for the pty */
	int ns_fds[BV_NS_COUNT];      /* pinned for a stop hook, else -1 */
	int epoll, listener, signals;
	struct {
		int fd;               /* -1: free */
		int tty;              /* -1: has asked for nothing yet */
	} clients[BV_MONITOR_CLIENTS];
};

/* What the engine handed back goes into the state; that is not written yet. */
void bv_monitor_note_facts(struct bv_monitor *m);

/* For bv_run.serve and bv_run.forked (engine/engine.h); `data` is the struct bv_monitor. */
int bv_monitor_serve(void *data, int fd, int timeout_ms, char *last_line, size_t size, struct bv_error *err);
void bv_monitor_forked(void *data);

/* start.c: run the table of start steps; on failure everything is undone. */
int bv_monitor_start(struct bv_monitor *m, struct bv_error *err);

/*
 * monitor.c: from the start (reported to m->report or to `err`) to the end of the instance, reboots included, and the
 * clean-up. *wait_status is init's last one.
 */
int bv_monitor_run(struct bv_monitor *m, int *wait_status, struct bv_error *err);
