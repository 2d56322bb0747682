/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bivalve.h>
#include <stdint.h>

#include "config/config.h"

/*
 * The run directory: /run/bivalve/HASH/NAME (users: $XDG_RUNTIME_DIR/bivalve/..; BIVALVE_RUN overrides the root), where
 * HASH is of the real lxcpath (FNV-1a 64, hex). It has
 *   lock      OFD write lock: held by the monitor as long as it lives, by commands that change the instance
 *   state     lines "key value", replaced by rename at every change (what lxc-wait's inotify sees)
 *   config    the effective configuration of the run, 0600
 *   command   the monitor's socket, 0600
 *   cgroup, net   where they are, for the clean-up (cgroup.h, net.h)
 * Everything that a listing, a stop or a clean-up needs is here; nobody has to ask the monitor.
 */
struct bv_rundir {
	int fd;         /* O_PATH of RUN/NAME, or -1: there is none, so the instance is stopped */
	char path[160]; /* for the socket's address */
};

/* The state file. Missing keys are 0. */
struct bv_run_state {
	enum bv_state state;
	pid_t monitor_pid, init_pid;
	uint64_t monitor_start, init_start; /* clock ticks since boot: tells a recycled pid */
	bool survives_monitor;              /* lxc.monitor.signal.pdeath = 0 */
	bool ephemeral;
	unsigned int ttys;
	char engine[48];
	char label[256];
};

/* RUN/HASH for a lxcpath; -ENAMETOOLONG. Nothing is made. */
int bv_rundir_parent(const char *lxcpath, char *buf, size_t size, struct bv_error *err);

/* Open what is there: fd is -1 when there is none. */
int bv_rundir_open(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err);
/* Make it (0700) if need be and take the lock without waiting: *lock_fd. -EBUSY: somebody holds it. */
int bv_rundir_lock(struct bv_rundir *rd, const char *lxcpath, const char *name, int *lock_fd, struct bv_error *err);
/* Is the lock held by anybody? Takes nothing. 1, 0 or -errno. */
int bv_rundir_is_locked(const struct bv_rundir *rd);
/* Remove the directory and all in it; the caller holds the lock. */
int bv_rundir_remove(struct bv_rundir *rd, const char *lxcpath, const char *name);
void bv_rundir_close(struct bv_rundir *rd);

/* -ENOENT: no state. */
int bv_run_state_read(const struct bv_rundir *rd, struct bv_run_state *ret);
int bv_run_state_write(const struct bv_rundir *rd, const struct bv_run_state *st, struct bv_error *err);

/*
 * What is true now: a recorded state whose monitor is gone counts as STOPPED (unless the instance survives it and init
 * still lives), RUNNING whose cgroup is frozen as FROZEN.
 */
enum bv_state bv_run_state_effective(const struct bv_rundir *rd, const struct bv_run_state *st);
