/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cgroup/cgroup.h"
#include "engine/engine.h"
#include "instance/internal.h"
#include "instance/rundir.h"

/*
 * A running instance as another process finds it: everything rebuilt from the run directory. What lxc-stop, lxc-attach,
 * lxc-freeze and lxc-info begin with.
 */
struct bv_handle {
	struct bv_rundir rd;
	struct bv_run_state state;
	const struct bv_engine *engine;
	struct bv_config *config;    /* the effective one of the run; an empty one when it is lost */
	struct bv_error lost; /* why it is lost, code 0 when it is not: good enough to stop it, not to enter it */
	struct bv_cgroup *cgroup;
	struct bv_run run;           /* pid, pidfd, config, cgroup, label */
};

/* -ESRCH: it is not running. The pidfd is checked against the recorded start time. */
int bv_handle_open(struct bv_handle *h, const struct bv_instance *inst, struct bv_error *err);
void bv_handle_close(struct bv_handle *h);
