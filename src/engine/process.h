/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/environ.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The last things that a process of ours does before it becomes a program of the instance: init at a start, a command
 * at an attach, in a container and inside a VM. All of it runs in a single-threaded process.
 */

/*
 * Every signal at its default and none blocked. Which ones are ignored is read from /proc/self/status, so that no call
 * is made for the others (exec itself resets what has a handler): call it first, while /proc is the host's.
 */
int bv_process_reset_signals(struct bv_error *err);

/* lxc.init.groups as numbers; *ret is malloc'ed, NULL when there is none. */
int bv_process_groups(const struct bv_config *cfg, gid_t **ret, size_t *n, struct bv_error *err);

/*
 * Supplementary groups (none with n 0), then gid, then uid: real, effective and saved. Capabilities go as the kernel
 * takes them from a process that leaves uid 0. A user namespace that denies setgroups keeps the groups it came with.
 */
int bv_process_set_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n, struct bv_error *err);
int bv_process_set_groups(const gid_t *groups, size_t n, struct bv_error *err); /* the first part alone */

/* What the instance's own passwd file has of a user: no NSS, for its modules are the instance's. */
struct bv_account {
	char *text;
	const char *home, *shell; /* in `text`, absolute; NULL: there is none */
};
/* `passwd` is an fd of the file, or negative. What is no file of at most 1 MiB says nothing. */
void bv_account_find(struct bv_account *ret, int passwd, uid_t uid);
void bv_account_clear(struct bv_account *a); /* good as autoclean() */
/* The shell, or /bin/sh where it cannot be executed, here; borrowed. */
const char *bv_account_shell(const struct bv_account *a);

/* lxc.prlimit.* on process `pid` (0: the caller). The error names limit and values. */
int bv_process_prlimits(const struct bv_config *cfg, pid_t pid, struct bv_error *err);

/* lxc.sysctl.*, written below `proc_fd`, a proc file system that nothing is mounted over. */
int bv_process_sysctls(const struct bv_config *cfg, int proc_fd, struct bv_error *err);

/*
 * Execute argv[0], searched in the PATH of `env` (BV_PROCESS_PATH without one) when it has no slash. It returns only on
 * failure, with the reason; bv_process_exit_code of that is 127 (not found) or 126.
 */
int bv_process_exec(char *const *argv, char *const *env, struct bv_error *err);
int bv_process_exit_code(const struct bv_error *err);
