/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/environ.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *bv_process_env_get(char *const *env, const char *name)
{
	size_t n = strlen(name);
	for (; env && *env; env++)
		if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
			return *env + n + 1;
	return NULL;
}

static int put_vector(struct bv_strv *env, char *const *assignments)
{
	int r = 0;
	for (; r == 0 && assignments && *assignments; assignments++)
		r = bv_env_put(env, *assignments);
	return r;
}

static int put_configured(struct bv_strv *env, const struct bv_config *cfg)
{
	int r = bv_env_put_all(env, &cfg->environment);
	if (r == 0)
		r = bv_env_put_all(env, &cfg->environment_runtime);
	return r < 0 ? r : bv_env_put(env, "container=lxc");
}

int bv_process_environ(const struct bv_config *cfg, const struct bv_strv *extra, struct bv_strv *ret,
		       struct bv_error *err)
{
	int r = put_configured(ret, cfg);
	if (r == 0 && extra)
		r = bv_env_put_all(ret, extra);
	return r < 0 ? bv_fail(err, r, "out of memory") : 0;
}

/* The caller's environment is taken as it is: its order and even its doubles are the caller's. */
static int copy_callers(struct bv_strv *env)
{
	int r = 0;
	for (char *const *e = environ; r == 0 && e && *e; e++)
		r = bv_strv_add(env, *e);
	return r;
}

static int copy_kept(struct bv_strv *env, char *const *keep)
{
	int r = bv_env_put(env, "PATH=" BV_PROCESS_PATH);
	for (; r == 0 && keep && *keep; keep++) {
		size_t n = strlen(*keep);
		for (char *const *e = environ; r == 0 && e && *e; e++)
			if (strncmp(*e, *keep, n) == 0 && (*e)[n] == '=')
				r = bv_env_put(env, *e);
	}
	return r;
}

int bv_process_environ_attach(const struct bv_config *cfg, bool clear, char *const *keep, char *const *set,
			      struct bv_strv *ret, struct bv_error *err)
{
	int r = clear ? copy_kept(ret, keep) : copy_callers(ret);
	if (r == 0)
		r = put_configured(ret, cfg);
	if (r == 0)
		r = put_vector(ret, set);
	return r < 0 ? bv_fail(err, r, "out of memory") : 0;
}
