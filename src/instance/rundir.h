/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bivalve.h>
#include <stdint.h>

#include "config/config.h"

/*
 * The run directory: /run/bivalve/ID/NAME (users: $XDG_RUNTIME_DIR/bivalve/..; BIVALVE_RUN overrides the root), where
 * ID is the lxcpath's device and inode in hex, so that every spelling of one lxcpath finds the same instances. It has
 *   lock      OFD write lock: held by the monitor as long as it lives, by commands that change the instance
 *   state     lines "key value", replaced by rename at every change (what lxc-wait's inotify sees)
 *   config    the effective configuration of the run, 0600
 *   command   the monitor's socket, 0600
 *   vm, guest of an instance that runs as a VM: its supervisor's socket, and what the guest told (engine/vm)
 * Everything that a listing, a stop or a clean-up needs is here; nobody has to ask the monitor.
 */
enum { BV_RUN_PATH_MAX = 256 };

struct bv_rundir {
	int fd;                     /* O_PATH of RUN/NAME, or -1: there is none, so the instance is stopped */
	char path[BV_RUN_PATH_MAX];
	bool found; /* by bv_rundir_lock: it was there, left by a start that was killed if nobody holds it */
};

/* The state file. Missing keys are 0. */
struct bv_run_state {
	enum bv_state state;
	pid_t monitor_pid, init_pid;
	uint64_t init_start; /* clock ticks since boot: tells a recycled pid */
	bool survives_monitor;              /* lxc.monitor.signal.pdeath = 0 */
	bool ephemeral;
	unsigned int ttys;
	int exit_status;                    /* wait status of init, once it ended */
	char engine[48];
	char label[256];
	char *cgroup, *net;                 /* bv_cgroup_describe() and bv_net_describe(); owned, NULL when empty */
};

void bv_run_state_clear(struct bv_run_state *st);

/* RUN/ID for a lxcpath; -ENAMETOOLONG. Nothing is made. */
int bv_rundir_parent(const char *lxcpath, char *buf, size_t size, struct bv_error *err);
/* Make RUN/ID, for somebody who wants to watch it. */
int bv_rundir_make_parent(const char *path, struct bv_error *err);

/* Open what is there: fd is -1 when there is none. */
int bv_rundir_open(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err);
/* Make it (0700) if need be and take the lock without waiting: *lock_fd. -EBUSY: somebody holds it. */
int bv_rundir_lock(struct bv_rundir *rd, const char *lxcpath, const char *name, int *lock_fd, struct bv_error *err);
/* Write one of its files, 0600. Not atomic: the holder of the lock writes what nobody reads yet. */
int bv_rundir_write(const struct bv_rundir *rd, const char *file, const void *data, size_t len, struct bv_error *err);
/* Is the lock held by anybody? Takes nothing. 1, 0 or -errno. */
int bv_rundir_is_locked(const struct bv_rundir *rd);
/*
 * Remove the directory and all in it, and what a removal that was killed left of one before; the caller holds the lock.
 */
int bv_rundir_remove(struct bv_rundir *rd);
/* Remove what a run left in it, but the lock, which the caller holds. */
void bv_rundir_clear(const struct bv_rundir *rd);
void bv_rundir_close(struct bv_rundir *rd);

/* -ENOENT: no state. The caller clears `ret`. */
int bv_run_state_read(const struct bv_rundir *rd, struct bv_run_state *ret);
int bv_run_state_write(const struct bv_rundir *rd, const struct bv_run_state *st, struct bv_error *err);

/*
 * What is true now: a recorded state whose monitor is gone counts as STOPPED unless init still lives, RUNNING whose
 * cgroup is frozen as FROZEN.
 */
enum bv_state bv_run_state_effective(const struct bv_rundir *rd, const struct bv_run_state *st);
