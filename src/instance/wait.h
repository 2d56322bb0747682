/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "instance/rundir.h"

/* Wake those who wait for a state that the state file does not hold (FROZEN is read from the cgroup). */
void bv_state_touch(const struct bv_rundir *rd);
