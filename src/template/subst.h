/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "template/yaml.h"

/* Where "{{ dotted.key }}" is looked up. */
struct bv_subst {
	const struct bv_yaml *root;     /* image.*, source.*, login.* */
	const char *mapped;             /* image.architecture_mapped */
	const char *instance, *user, *password;
};

/*
 * `text` with its look-ups replaced; what was put in is not looked at again. "{%" is an error: there is no logic.
 * -ENODATA: a look-up is known but empty. `instance_ok`: instance.* and login.* may be used here.
 */
int bv_subst_expand(const struct bv_subst *s, const char *text, bool instance_ok, char **ret, struct bv_error *err);
