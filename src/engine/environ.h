/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "util/error.h"
#include "util/str.h"

/* Environments of processes that belong to an instance: lists of K=V in which each K stands once. */

/* PATH of a process that was given none. */
#define BV_PROCESS_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The value of K in a NULL-terminated list, or NULL. */
const char *bv_process_env_get(char *const *env, const char *name);

/*
 * The environment of init: lxc.environment, lxc.environment.runtime, then container=lxc, then `extra` (K=V, may be
 * NULL). Appends to *ret, which need not be empty. PATH is not added.
 */
int bv_process_environ(const struct bv_config *cfg, const struct bv_strv *extra, struct bv_strv *ret,
		       struct bv_error *err);

/*
 * The environment of an attached command: the caller's, or with `clear` only `keep` (names, NULL-terminated) of it and
 * PATH; then as above, then `set` (K=V, NULL-terminated). Both lists may be NULL.
 */
int bv_process_environ_attach(const struct bv_config *cfg, bool clear, char *const *keep, char *const *set,
			      struct bv_strv *ret, struct bv_error *err);
