/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/container/setup.h"

/*
 * lxc.mount.auto's cgroup entry. With a cgroup namespace and CAP_SYS_ADMIN, init mounts what it wants by itself and
 * nothing is done, unless :force or the host has v2 alone, where old inits need to find it mounted.
 */
int bv_setup_cgroup_mounts(struct bv_setup *s, struct bv_error *err);
