/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "security/security.h"
#include "util/error.h"

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
