/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "util/error.h"

/*
 * The system configuration lxc.conf(5): SYSCONFDIR/lxc/lxc.conf for root, ~/.config/lxc/lxc.conf for others; unknown
 * keys are ignored as LXC does. Keys and defaults: facts 2.10.
 */
struct bv_system_config {
	char *lxcpath, *default_config;
	char *lvm_vg, *lvm_thin_pool, *zfs_root, *rbd_pool, *rbd_user;
	char *cgroup_use, *cgroup_pattern; /* NULL: not set */
};

/* Never fails for a missing file: the defaults hold then. The file's path may be forced by BIVALVE_LXC_CONF (tests). */
int bv_system_config_load(struct bv_system_config *sys, struct bv_error *err);
void bv_system_config_clear(struct bv_system_config *sys);

/* "lxc.lxcpath" and so on, in the order of lxc-config -l; *n is their number. */
const char *const *bv_system_config_keys(size_t *n);
/* The value of a key, or NULL: not set, or no such key (then *known is 0). */
const char *bv_system_config_get(const struct bv_system_config *sys, const char *key, int *known);
