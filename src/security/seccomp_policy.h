/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

/* A seccomp policy file as it was written: read without libseccomp, compiled by seccomp.c. */

enum { BV_SECCOMP_ARGS = 6, BV_SECCOMP_ALL_ARCHES = 0 };

/* `op` is an enum scmp_compare; `mask` is used by SCMP_CMP_MASKED_EQ alone. */
struct bv_seccomp_arg {
	unsigned int index;
	int op;
	uint64_t value, mask;
};

struct bv_seccomp_rule {
	unsigned int line;
	uint32_t arch;	 /* SCMP_ARCH_* of the section, BV_SECCOMP_ALL_ARCHES for [all] */
	uint32_t action; /* SCMP_ACT_* */
	char *syscall;	 /* name; NULL in version 1 */
	int number;	 /* version 1 */
	unsigned int n_args;
	struct bv_seccomp_arg args[BV_SECCOMP_ARGS];
};

struct bv_seccomp_policy {
	int version;
	uint32_t default_action; /* for what no rule lists */
	struct bv_seccomp_rule *rules;
	size_t n, cap;
};

/* The error begins with "NAME:LINE: ". `ret` is zeroed by the caller; clear it after a failure too. */
int bv_seccomp_policy_parse(struct bv_seccomp_policy *ret, const char *text, size_t len, const char *name,
			    struct bv_error *err);
void bv_seccomp_policy_clear(struct bv_seccomp_policy *policy);
