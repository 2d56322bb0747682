/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/* What every hook of an instance is told (facts 2.8). Strings are borrowed. */
struct bv_hook_env {
	const char *name, *config_file, *rootfs_path, *rootfs_mount, *console_path, *console_log;
	const char *target;   /* LXC_TARGET: "stop" or "reboot", NULL else */
	const char *source;   /* LXC_SRC_NAME of a clone hook */
	pid_t pid;            /* LXC_PID of start-host, 0 else */
	const struct bv_strv *extra_args; /* version 0: appended ("mnt:/proc/PID/fd/N"); version 1: LXC_MNT_NS=.. */
};

/*
 * Run all hooks of one kind in order, each by /bin/sh -c "exec VALUE ..." with a clean environment of LXC_* variables,
 * lxc.environment and lxc.environment.hooks, PATH and HOME; stdout is logged line by line at DEBUG, stderr is the
 * caller's. The first that fails ends it: the error names hook, command and exit status. Fds beyond 2 are closed.
 */
int bv_hooks_run(const struct bv_config *cfg, enum bv_hook kind, const struct bv_hook_env *env, struct bv_error *err);

/* The part of the environment that comes from the config alone; strings are borrowed from it. */
void bv_hook_env_init(struct bv_hook_env *env, const char *name, const char *config_file, const struct bv_config *cfg);
