/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

static int fail_unknown(const char *key, const char *name, struct bv_error *err)
{
	bv_fail(err, EINVAL, "%s: there is no capability \"%s\"", key, name);
	const char *near = bv_cap_nearest(name);
	return near ? bv_hint(err, "did you mean %s?", near)
		    : bv_hint(err, "capabilities(7) has the names; a newer one may be given by its number");
}

/* As many as the kernel's sets have room for. */
enum { CAP_BITS = 64 };

/* The bits of a list of words; "none", where it is allowed, forgets what stands before it. */
static int parse_list(const struct bv_strv *list, const char *key, bool none_allowed, uint64_t *ret,
		      struct bv_error *err)
{
	*ret = 0;
	for (size_t i = 0; i < list->n; i++) {
		autoclean(bv_strv_clear) struct bv_strv words = { 0 };
		if (bv_strv_split(&words, list->v[i], " \t") < 0)
			return bv_fail(err, ENOMEM, "out of memory");
		for (size_t j = 0; j < words.n; j++) {
			if (none_allowed && bv_streq(words.v[j], "none")) {
				*ret = 0;
				continue;
			}
			int cap = bv_cap_parse(words.v[j]);
			if (cap < 0)
				return fail_unknown(key, words.v[j], err);
			*ret |= UINT64_C(1) << cap;
		}
	}
	return 0;
}

int bv_caps_resolve(const struct bv_config *cfg, uint64_t *keep, struct bv_error *err)
{
	bool keep_set = cfg->cap_keep_set || cfg->cap_keep.n > 0;
	if (keep_set && cfg->cap_drop.n > 0) {
		bv_fail(err, EINVAL, "lxc.cap.keep and lxc.cap.drop are both set; only one of them can be");
		return bv_hint(err, "an empty \"lxc.cap.drop =\" clears what an included file has put there");
	}
	if (keep_set)
		return parse_list(&cfg->cap_keep, "lxc.cap.keep", true, keep, err);

	uint64_t drop;
	int r = parse_list(&cfg->cap_drop, "lxc.cap.drop", false, &drop, err);
	if (r == 0)
		*keep = ~drop;
	return r;
}

/* Everything outside `keep` leaves the bounding set; the kernel answers EINVAL to the first number it doesn't know. */
static int drop_bounding(uint64_t keep, struct bv_error *err)
{
	for (int cap = 0; cap < CAP_BITS; cap++) {
		if (keep & (UINT64_C(1) << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return 0;
		const char *name = bv_cap_name(cap);
		if (name)
			return bv_fail_errno(err, "cannot drop capability %s from the bounding set", name);
		return bv_fail_errno(err, "cannot drop capability %d from the bounding set", cap);
	}
	return 0;
}

static int get_caps(struct __user_cap_header_struct *header, struct __user_cap_data_struct *data, struct bv_error *err)
{
	header->version = _LINUX_CAPABILITY_VERSION_3;
	return syscall(SYS_capget, header, data) < 0
		       ? bv_fail_errno(err, "cannot read the capabilities of the process") : 0;
}

static int set_caps(struct __user_cap_header_struct *header, const struct __user_cap_data_struct *data,
		    struct bv_error *err)
{
	return syscall(SYS_capset, header, data) < 0
		       ? bv_fail_errno(err, "cannot set the capabilities of the process") : 0;
}

int bv_caps_raise_permitted(struct bv_error *err)
{
	struct __user_cap_header_struct header = { 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int r = get_caps(&header, data, err);
	for (int i = 0; r == 0 && i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted;
	return r < 0 ? r : set_caps(&header, data, err);
}

int bv_caps_apply_until_exec(uint64_t keep, uint64_t until_exec, struct bv_error *err)
{
	struct __user_cap_header_struct header = { 0 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	int r = get_caps(&header, data, err);
	if (r == 0)
		r = drop_bounding(keep, err);
	if (r < 0)
		return r;
	/* Linux 4.3; before that there is no ambient set to be cleared. */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return bv_fail_errno(err, "cannot clear the ambient capabilities");

	/* What the process never had cannot be kept: permitted only shrinks. */
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)((keep | until_exec) >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return set_caps(&header, data, err);
}

int bv_caps_apply(uint64_t keep, struct bv_error *err)
{
	return bv_caps_apply_until_exec(keep, 0, err);
}
