/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "security/security.h"
#include "util/error.h"

/* The profile that an instance gets which names none, where it is loaded; else one is generated. */
#define BV_APPARMOR_DEFAULT "lxc-container-default-cgns"

/* What the decisions depend on; looked at on the host by bv_lsm_prepare, given by hand in the tests. */
struct bv_lsm_facts {
	enum bv_lsm lsm;
	bool mount_rules; /* AppArmor mediates mounts */
	bool stacking;	  /* AppArmor stacks profiles, so that namespaces of it can be used inside */
	bool unconfined;  /* the caller itself is under no profile */
	bool has_default; /* BV_APPARMOR_DEFAULT is loaded, LXC's package having brought it */
	bool has_parser;  /* profiles can be generated */
};

/* The label as bv_lsm_prepare gives it, without anything being made or loaded. *generate: a profile has to be. */
int bv_lsm_decide(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *name, const char *lxcpath,
		  char **ret, bool *generate, struct bv_error *err);

/* "lxc-NAME_<-var-lib-lxc>": the profile and the namespace of a generated profile. malloc'ed. */
char *bv_apparmor_profile_name(const char *name, const char *lxcpath);
/* The profile's text, malloc'ed; NULL when out of memory. */
char *bv_apparmor_profile_text(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *profile);

void bv_apparmor_facts(struct bv_lsm_facts *facts);
int bv_apparmor_load(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *name,
		     const char *lxcpath, struct bv_error *err);
void bv_apparmor_unload(const struct bv_config *cfg, const char *name, const char *lxcpath);
