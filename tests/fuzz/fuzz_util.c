/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/error.h"
#include "util/num.h"
#include "util/str.h"

/* Strings and numbers of users. What holds for any input is asserted. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = strndup((const char *)data, size);
	must(text != NULL);

	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	if (bv_strv_split_quoted(&words, text) == 0)
		for (size_t i = 0; i < words.n; i++)
			must(strlen(words.v[i]) <= strlen(text));
	bv_strv_clear(&words);
	must(bv_strv_split(&words, text, ", \n") == 0);
	for (size_t i = 0; i < words.n; i++)
		must(words.v[i][0] != '\0' && !strpbrk(words.v[i], ", \n"));

	uint64_t u;
	int64_t i;
	int n;
	bv_parse_u64(text, &u);
	bv_parse_i64(text, &i);
	bv_parse_int(text, &n);
	if (bv_parse_bool(text, &n) == 0)
		must(n == 0 || n == 1);
	bv_parse_size(text, 1024, &u);

	static const char *const known[] = { "lxc.net.0.type", "lxc.rootfs.path", "memory" };
	const char *near = bv_nearest(text, known, ARRAY_SIZE(known));
	must(!near || strlen(near) > 0);

	struct bv_error err = { 0 };
	bv_fail(&err, EINVAL, "%s", text);
	bv_hint(&err, "%s", text);
	bv_error_prefix(&err, "%s", text);
	for (const char *s = err.what; *s; s++)
		must((unsigned char)*s >= ' ' && *s != 0x7f);

	char *stripped = bv_strip(text);
	must(stripped >= text);
	return 0;
}
