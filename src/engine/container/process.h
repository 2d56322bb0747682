/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/environ.h"
#include "security/security.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The last things that a process of ours does before it becomes a program of the instance: init at a start (child.c)
 * and a command at an attach (attach.c). All of it runs in a single-threaded process after a clone.
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

/* lxc.prlimit.* on process `pid` (0: the caller). The error names limit and values. */
int bv_process_prlimits(const struct bv_config *cfg, pid_t pid, struct bv_error *err);

/*
 * What restricts the process, done in the one order that works: the label for the exec (before no_new_privs), ids with
 * the capabilities kept, bounding and ambient sets, no_new_privs, then seccomp, whose filter needs CAP_SYS_ADMIN or
 * no_new_privs. What the process still holds of capabilities beyond `caps_keep` after that ends with the exec, as it is
 * in no inheritable, ambient or bounding set. Nothing but bv_process_exec may follow.
 */
struct bv_process_limits {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
	bool was_root;                    /* uid and gid are 0 in every set already: only groups are to be set */
	bool set_caps; /* false: all five sets are left alone */
	uint64_t caps_keep;
	bool no_new_privs;
	const char *label;		  /* LSM label, NULL none */
	int proc_fd;			  /* of the host's /proc, wanted with a label */
	const struct bv_seccomp *seccomp; /* NULL none */
	int death_signal;                 /* sent when the parent ends, 0 none; a change of the user would clear it */
	int *notify_fd;                   /* gets the listener of a notify policy; NULL: such calls get ENOSYS */
};
int bv_process_restrict(const struct bv_process_limits *limits, struct bv_error *err);

/*
 * Execute argv[0], searched in the PATH of `env` (BV_PROCESS_PATH without one) when it has no slash. It returns only on
 * failure, with the reason; bv_process_exit_code of that is 127 (not found) or 126.
 */
int bv_process_exec(char *const *argv, char *const *env, struct bv_error *err);
int bv_process_exit_code(const struct bv_error *err);
