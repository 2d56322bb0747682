/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/restrict.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include "engine/process.h"

static int apply_caps(const struct bv_process_limits *l, bool has_filter, struct bv_error *err)
{
	if (!l->set_caps)
		return 0;
	bool filter_needs_admin = has_filter && !l->no_new_privs;
	return bv_caps_apply_until_exec(l->caps_keep, filter_needs_admin ? UINT64_C(1) << CAP_SYS_ADMIN : 0, err);
}

int bv_process_restrict(const struct bv_process_limits *l, struct bv_error *err)
{
	bool has_filter = l->seccomp && l->seccomp->n > 0;
	bool keep_caps = l->uid != 0 && (l->set_caps || has_filter);

	int r = l->label ? bv_lsm_apply(l->label, l->proc_fd, err) : 0;
	if (r < 0)
		return r;
	if (keep_caps && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot keep the capabilities over the change of the user");
	r = l->was_root && l->uid == 0 && l->gid == 0
			? bv_process_set_groups(l->groups, l->n_groups, err)
			: bv_process_set_ids(l->uid, l->gid, l->groups, l->n_groups, err);
	if (r == 0 && keep_caps)
		r = bv_caps_raise_permitted(err);
	if (r == 0)
		r = apply_caps(l, has_filter, err);
	if (r < 0)
		return r;
	if (l->death_signal && prctl(PR_SET_PDEATHSIG, l->death_signal, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot ask for a signal at the end of the parent");
	if (l->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot set no_new_privs");
	return has_filter ? bv_seccomp_apply(l->seccomp, l->notify_fd, err) : 0;
}
