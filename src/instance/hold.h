/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "instance/rundir.h"
#include "util/error.h"

/*
 * One rootfs, one engine at a time. Several containers may share a rootfs, as in LXC; an engine that caches what it
 * reads (a VM) must have it alone. So a VM holds an exclusive flock(2) on the rootfs' directory or image for as long as
 * any process of it lives, whatever instance it belongs to; a container only looks whether somebody does. The VM then
 * looks for containers that run from the same rootfs: each says so in its run directory before it looks for the lock,
 * and so at least one of two that start at once sees the other.
 */

/*
 * Take or test, for the run whose directory `own` is; *lock is the fd to keep (-1 for a container, or without a
 * rootfs). -EBUSY: somebody else uses it.
 */
int bv_hold_rootfs(const struct bv_rundir *own, const struct bv_config *cfg, bool exclusive, int *lock,
		   struct bv_error *err);
