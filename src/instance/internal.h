/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bivalve.h>

#include "config/config.h"
#include "engine/engine.h"
#include "engine/hook.h"

/*
 * What the files of instance/ share. An instance is three places:
 *   LXCPATH/NAME       its directory: config, rootfs; `partial` while it is being created
 *   RUN/NAME           its run directory, there only while it runs or is to be cleaned up (rundir.h)
 *   the lock           RUN/NAME/lock, an OFD write lock that the monitor (or a command that changes the instance) holds
 */
struct bv_instance {
	char *name, *lxcpath;    /* lxcpath without trailing slashes */
	struct bv_config *config;
	char *config_file;       /* that was loaded; NULL: none */
	bool config_is_own;      /* config_file is LXCPATH/NAME/config */
};

/* The default lxcpath, from lxc.conf. malloc'ed. */
int bv_default_lxcpath(char **ret, struct bv_error *err);

/* LXCPATH/NAME/FILE, malloc'ed; NULL when out of memory. FILE NULL: the directory. */
char *bv_instance_path(const struct bv_instance *inst, const char *file);

/* Load the own config unless one is loaded. -ENOENT: there is no such instance; the hint says lxc-create or lxc-ls. */
int bv_instance_need_config(struct bv_instance *inst, struct bv_error *err);

/*
 * A creation that is going on or died (create.c): LXCPATH/NAME/partial. 1: somebody creates it now; 0: none;
 * a dead one is removed first. Start and destroy call it.
 */
int bv_create_check_partial(const struct bv_instance *inst, struct bv_error *err);

/* Hook environment of this instance; strings are borrowed from it. */
void bv_instance_hook_env(const struct bv_instance *inst, struct bv_hook_env *env);

/* Remove a stopped instance whose lock the caller holds (destroy.c): hook, storage, directory. No questions asked. */
int bv_destroy_stopped(struct bv_instance *inst, struct bv_error *err);

/* Open the namespaces that lxc.namespace.share names; -1 where none is. */
int bv_shared_namespaces(const char *lxcpath, const struct bv_config *cfg, int fds[BV_NS_COUNT], struct bv_error *err);

/* Free what one entry of a listing owns (list.c). */
void bv_list_free_entry(struct bv_list_entry *entry);

/* Execute the program anew with `argv` (BV_ARGV of bivalve.h), unless it is NULL or that was done. */
int bv_instance_protect(char *const *argv, struct bv_error *err);
