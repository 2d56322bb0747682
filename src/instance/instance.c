/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "config/system.h"
#include "instance/rundir.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

enum { NAME_MAX_LENGTH = 64 };

static const char *const state_names[] = {
	[BV_STOPPED] = "STOPPED",   [BV_STARTING] = "STARTING", [BV_RUNNING] = "RUNNING", [BV_STOPPING] = "STOPPING",
	[BV_ABORTING] = "ABORTING", [BV_FREEZING] = "FREEZING", [BV_FROZEN] = "FROZEN",	  [BV_THAWED] = "THAWED",
};

const char *bv_state_name(enum bv_state state)
{
	return (unsigned int)state < BV_STATE_COUNT ? state_names[state] : "STOPPED";
}

int bv_state_parse(const char *name)
{
	for (int i = 0; i < BV_STATE_COUNT; i++)
		if (strcasecmp(name, state_names[i]) == 0)
			return i;
	return -EINVAL;
}

const char *bv_version(void)
{
	return BV_VERSION;
}

bool bv_name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-";
	size_t n = strlen(name);
	return n > 0 && n <= NAME_MAX_LENGTH && name[0] != '.' && name[0] != '-' && strspn(name, letters) == n;
}

int bv_default_lxcpath(char **ret, struct bv_error *err)
{
	struct bv_system_config sys = { 0 };
	int r = bv_system_config_load(&sys, err);
	if (r == 0) {
		*ret = take_ptr(sys.lxcpath);
		if (!*ret)
			r = bv_fail(err, ENOMEM, "out of memory");
	}
	bv_system_config_clear(&sys);
	return r;
}

static void strip_slashes(char *path)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

int bv_instance_open(struct bv_instance **ret, const char *lxcpath, const char *name, struct bv_error *err)
{
	if (!bv_name_valid(name)) {
		bv_fail(err, EINVAL, "\"%.80s\" is not a valid name for an instance", name);
		return bv_hint(
			err, "use 1 to 64 of letters, digits, '_', '+', '.', '-', beginning with none of '.' and '-'");
	}

	autoclean(bv_instance_freep) struct bv_instance *inst = calloc(1, sizeof(*inst));
	if (!inst)
		return bv_fail(err, ENOMEM, "out of memory");
	inst->name = strdup(name);
	if (lxcpath) {
		inst->lxcpath = strdup(lxcpath);
	} else {
		int r = bv_default_lxcpath(&inst->lxcpath, err);
		if (r < 0)
			return r;
	}
	if (!inst->name || !inst->lxcpath)
		return bv_fail(err, ENOMEM, "out of memory");
	strip_slashes(inst->lxcpath);
	*ret = take_ptr(inst);
	return 0;
}

void bv_instance_free(struct bv_instance *inst)
{
	if (!inst)
		return;
	bv_config_free(inst->config);
	free(inst->config_file);
	free(inst->lxcpath);
	free(inst->name);
	free(inst);
}

void bv_instance_freep(struct bv_instance **inst)
{
	bv_instance_free(*inst);
}

const char *bv_instance_name(const struct bv_instance *inst)
{
	return inst->name;
}

const char *bv_instance_lxcpath(const struct bv_instance *inst)
{
	return inst->lxcpath;
}

char *bv_instance_path(const struct bv_instance *inst, const char *file)
{
	return bv_asprintf("%s/%s%s%s", inst->lxcpath, inst->name, file ? "/" : "", file ? file : "");
}

bool bv_instance_is_defined(const struct bv_instance *inst)
{
	autofree char *config = bv_instance_path(inst, "config");
	if (!config || access(config, F_OK) < 0)
		return false;
	autofree char *partial = bv_instance_path(inst, "partial");
	return !partial || access(partial, F_OK) < 0;
}

int bv_instance_load_config(struct bv_instance *inst, const char *rcfile, struct bv_error *err)
{
	autofree char *path = rcfile ? strdup(rcfile) : bv_instance_path(inst, "config");
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	if (!path || !cfg)
		return bv_fail(err, ENOMEM, "out of memory");
	if (!rcfile && access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		bv_fail(err, ENOENT, "there is no instance \"%s\" in %s", inst->name, inst->lxcpath);
		return bv_hint(err, "lxc-ls lists the instances, lxc-create -n %s -t TEMPLATE makes one", inst->name);
	}

	int r = bv_config_load(cfg, AT_FDCWD, path, err);
	if (r < 0)
		return r;
	bv_config_free(inst->config);
	free(inst->config_file);
	inst->config = take_ptr(cfg);
	inst->config_file = take_ptr(path);
	inst->config_is_own = !rcfile;
	return 0;
}

int bv_instance_need_config(struct bv_instance *inst, struct bv_error *err)
{
	return inst->config ? 0 : bv_instance_load_config(inst, NULL, err);
}

/* For an instance without a config file: what lxc-start -s and lxc-execute build on. */
static int need_any_config(struct bv_instance *inst, struct bv_error *err)
{
	if (inst->config)
		return 0;
	if (bv_instance_is_defined(inst))
		return bv_instance_load_config(inst, NULL, err);
	inst->config = bv_config_new();
	return inst->config ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

int bv_instance_set(struct bv_instance *inst, const char *key, const char *value, struct bv_error *err)
{
	int r = need_any_config(inst, err);
	return r < 0 ? r : bv_config_set(inst->config, key, value, err);
}

int bv_instance_set_line(struct bv_instance *inst, const char *line, struct bv_error *err)
{
	int r = need_any_config(inst, err);
	return r < 0 ? r : bv_config_set_line(inst->config, line, err);
}

int bv_instance_get(struct bv_instance *inst, const char *key, char **ret, struct bv_error *err)
{
	int r = bv_instance_need_config(inst, err);
	return r < 0 ? r : bv_config_get(inst->config, key, ret, err);
}

int bv_instance_save_config(struct bv_instance *inst, struct bv_error *err)
{
	int r = bv_instance_need_config(inst, err);
	if (r < 0)
		return r;
	autofree char *text = bv_config_save_text(inst->config);
	autofree char *path = bv_instance_path(inst, "config");
	if (!text || !path)
		return bv_fail(err, ENOMEM, "out of memory");

	r = bv_replace_file(AT_FDCWD, path, text, strlen(text), 0640, true);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot write %s", path);
	}
	return 0;
}

int bv_instance_state(struct bv_instance *inst, enum bv_state *ret, struct bv_error *err)
{
	struct bv_rundir rd;
	struct bv_run_state st;

	*ret = BV_STOPPED;
	int r = bv_rundir_open(&rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	if (bv_run_state_read(&rd, &st) == 0) {
		*ret = bv_run_state_effective(&rd, &st);
		bv_run_state_clear(&st);
	}
	bv_rundir_close(&rd);
	return 0;
}

void bv_instance_hook_env(const struct bv_instance *inst, struct bv_hook_env *env)
{
	bv_hook_env_init(env, inst->name, inst->config_file, inst->config);
}

int bv_system_get(const char *key, char **ret, struct bv_error *err)
{
	struct bv_system_config sys = { 0 };
	int known = 0, r = bv_system_config_load(&sys, err);
	if (r < 0)
		return r;

	const char *value = bv_system_config_get(&sys, key, &known);
	*ret = value ? strdup(value) : NULL;
	if (!known)
		r = bv_fail(err, ENOENT, "Unknown configuration item: %s", key);
	else if (value && !*ret)
		r = bv_fail(err, ENOMEM, "out of memory");
	bv_system_config_clear(&sys);
	return r;
}

const char *const *bv_system_keys(size_t *n)
{
	return bv_system_config_keys(n);
}
