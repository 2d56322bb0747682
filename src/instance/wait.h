/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "instance/rundir.h"

/*
 * Wait until `reached` is true of the instance's state (zeroed, and BV_STOPPED, when it does not run). `timeout_s` as
 * bv_instance_wait. -ETIMEDOUT names the last state.
 */
typedef bool (*bv_reached_fn)(const struct bv_run_state *st, enum bv_state effective, const void *data);
int bv_wait_until(const struct bv_instance *inst, bv_reached_fn reached, const void *data, int timeout_s,
		  struct bv_error *err);

/*
 * Where init has ended and the monitor has not done with that (it cleans up, or reboots): wait until it has, 30 s at
 * most. True when there was that to wait for, and it is over.
 */
bool bv_wait_settled(const struct bv_instance *inst);

/* Wake those who wait for a state that the state file does not hold (FROZEN is read from the cgroup). */
void bv_state_touch(const struct bv_rundir *rd);
