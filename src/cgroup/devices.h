/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "util/error.h"

/*
 * Which devices the payload may make, read and write.
 *
 * `deny = a` makes an allowlist (what no rule allows is denied), `allow = a` a denylist; either forgets the rules
 * before it. Rules are kept in order and the last one that names a device and an access decides: that is what a
 * reader of the config expects, and what v1 and LXC's program do for all lists without contradictions in them.
 */
enum {
	CGROUP_DEV_MKNOD = BPF_DEVCG_ACC_MKNOD,
	CGROUP_DEV_READ = BPF_DEVCG_ACC_READ,
	CGROUP_DEV_WRITE = BPF_DEVCG_ACC_WRITE,
	CGROUP_DEV_ALL = CGROUP_DEV_MKNOD | CGROUP_DEV_READ | CGROUP_DEV_WRITE,
};

enum { CGROUP_DEVICES_MAX = 2048 };

struct cgroup_device {
	bool allow;
	char type;            /* 'b', 'c', or 'a': both */
	uint8_t access;       /* CGROUP_DEV_* */
	int64_t major, minor; /* -1: any */
};

struct cgroup_devices {
	bool allowlist;
	bool reset; /* an `a` rule was seen: the mode is the user's word */
	struct cgroup_device *v;
	size_t n;
};

/* Add `text` ("a", "c 1:3 rwm", "b *:* m"). -EINVAL with the reason. */
int cgroup_devices_add(struct cgroup_devices *list, bool allow, const char *text, struct bv_error *err);
void cgroup_devices_clear(struct cgroup_devices *list);
/* Does it forbid anything? */
bool cgroup_devices_enforces(const struct cgroup_devices *list);

/*
 * The list of a config that may hold rules for either version. Where both have a list of their own (an `a` rule), the
 * host's version counts and the other is left aside; where one has, the other's rules are additions to it.
 */
int cgroup_devices_from_config(struct cgroup_devices *list, const struct bv_config *cfg, bool host_is_v1,
			       struct bv_error *err);

/* As text that cgroup_devices_parse reads: "deny a\nallow c 1:3 rwm\n"; malloc'ed. */
char *cgroup_devices_text(const struct cgroup_devices *list);
int cgroup_devices_parse(struct cgroup_devices *list, const char *text, struct bv_error *err);
/* "c 1:3 rwm" */
void cgroup_device_format(const struct cgroup_device *d, char buf[64]);

/*
 * bpf.c: the same list as a BPF_PROG_TYPE_CGROUP_DEVICE program (Linux 4.15).
 */
int cgroup_bpf_generate(const struct cgroup_devices *list, struct bpf_insn **ret, size_t *n);
/*
 * Put the list's program on the v2 cgroup `dirfd` in place of an earlier one of ours, and the list's text beside it
 * (an extended attribute), so that another process can add a rule. `path` is for messages.
 */
int cgroup_bpf_apply(int dirfd, const char *path, const struct cgroup_devices *list, struct bv_error *err);
/* The list that is in force on a v2 cgroup; empty when there is none. */
int cgroup_bpf_read(int dirfd, const char *path, struct cgroup_devices *list, struct bv_error *err);
