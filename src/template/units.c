/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/recipe.h"

#include <errno.h>
#include <stdlib.h>

#include "util/cleanup.h"

int bv_recipe_expiry(const char *text, int64_t *ret)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	int64_t sum = 0;

	if (!*text)
		return -EINVAL;
	while (*text) {
		char *end;
		if (*text < '0' || *text > '9')
			return -EINVAL;
		errno = 0;
		long n = strtol(text, &end, 10);
		size_t i = 0;
		while (i < ARRAY_SIZE(units) && units[i].unit != *end)
			i++;
		int64_t part;
		if (errno || i == ARRAY_SIZE(units) || __builtin_mul_overflow((int64_t)n, units[i].seconds, &part) ||
		    __builtin_add_overflow(sum, part, &sum))
			return -EINVAL;
		text = end + 1;
	}
	*ret = sum;
	return 0;
}

/* uname -m and Debian's port names. */
static const char *const architectures[][2] = {
	{ "x86_64", "amd64" },  { "i686", "i386" },       { "aarch64", "arm64" },       { "armv7l", "armhf" },
	{ "armv5tel", "armel" }, { "ppc64le", "ppc64el" }, { "loongarch64", "loong64" }, { "mips64", "mips64el" },
};

const char *bv_arch_machine(const char *arch)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (bv_streq(arch, architectures[i][1]))
			return architectures[i][0];
	return arch;
}

const char *bv_arch_debian(const char *arch)
{
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		if (bv_streq(arch, architectures[i][0]))
			return architectures[i][1];
	return arch;
}

static bool matches(const struct bv_strv *list, const char *word)
{
	return list->n == 0 || bv_strv_has(list, word);
}

bool bv_recipe_applies(const struct bv_recipe *r, const struct bv_recipe_filter *f)
{
	bool arch = matches(&f->architectures, r->image.mapped) ||
		    matches(&f->architectures, bv_arch_machine(r->image.mapped));
	return arch && matches(&f->releases, r->image.release) && matches(&f->variants, r->image.variant) &&
	       matches(&f->types, r->type);
}
