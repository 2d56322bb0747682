/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "security/security.h"

/* A seccomp policy from anywhere: it is refused with a reason that names the file, or it gives a program. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const struct bv_error *err)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_seccomp: %s: %s\n", what, err->what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bv_error err = { 0 };
	struct bv_seccomp sc;
	int r = bv_seccomp_parse(&sc, (const char *)data, size, "policy", &err);
	if (r < 0) {
		require(r == -err.code && err.what[0] != '\0', "a refusal without a reason", &err);
		require(!sc.filter && sc.n == 0, "a refusal with a program", &err);
		return 0;
	}
	require(sc.filter && sc.n > 0 && sc.n <= BPF_MAXINSNS, "no program", &err);
	/* The last instruction of a program returns: the kernel refuses others. */
	require(BPF_CLASS(sc.filter[sc.n - 1].code) == BPF_RET, "a program without an end", &err);
	bv_seccomp_clear(&sc);
	return 0;
}
