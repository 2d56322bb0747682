/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "instance/rundir.h"
#include "util/error.h"

/*
 * What is to be done after an instance has ended, from its run directory alone: by the monitor when init is gone, and
 * by lxc-start, lxc-stop or lxc-destroy when the monitor was killed. The caller holds the lock.
 *
 * The stop hook; down scripts, and phys nics go back; LSM profile; what is left in the cgroups is killed and they are
 * removed; the post-stop hook; an ephemeral instance is destroyed; at last the run directory goes, and with it the
 * state. Every part is tried whatever the others said: the first failure is in `err`.
 */
struct bv_finish {
	const char *lxcpath, *name;
	const char *target;             /* "stop" or "reboot" */
	const struct bv_config *config; /* of the run, where the caller has it; NULL: it is read */
	const struct bv_strv *ns_args;  /* for the stop hook, see engine/hook.h; NULL */
	bool keep;                      /* reboot: cgroups and run directory stay, and nothing is destroyed */
};

int bv_finish_run(const struct bv_rundir *rd, const struct bv_run_state *st, const struct bv_finish *how,
		  struct bv_error *err);

/*
 * Remove the run directory; the monitor's cgroup first. The last act: a monitor has to end after it, as a child may be
 * waiting for that. `now`: it is done at the return, even if that takes longer.
 */
int bv_finish_rundir(struct bv_rundir *rd, const struct bv_run_state *st, bool now, struct bv_error *err);

/*
 * With the lock held: a run that nobody watches any more is finished. An instance that outlives its monitor
 * (lxc.monitor.signal.pdeath = 0) and still has its init is left alone: -EBUSY. 0: nothing is left to be done.
 */
int bv_finish_stale(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err);

/* The same for a command that finds no monitor: takes the lock if nobody has it. Best effort. */
void bv_finish_abandoned(const char *lxcpath, const char *name);
