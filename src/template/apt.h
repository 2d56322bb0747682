/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/error.h"

/* Where this host's apt gets a distribution from. NULL: not known. */
struct bv_apt_mirror {
	char *url, *security_url, *keyring;
};

/*
 * Looked up in /etc/apt/sources.list and sources.list.d, both formats (BIVALVE_APT overrides the directory). A source
 * is one of `distribution` when its path ends with that name, or when it has `release` among its suites.
 */
int bv_apt_find_mirror(const char *distribution, const char *release, struct bv_apt_mirror *ret, struct bv_error *err);
void bv_apt_mirror_clear(struct bv_apt_mirror *m);
