/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine.h"

#include <errno.h>

#include "engine/hook.h"

int bv_engine_find(const struct bv_engine **ret, enum bv_engine_kind kind, struct bv_error *err)
{
	if (kind == BV_ENGINE_VM) {
		bv_fail(err, ENOTSUP, "this build cannot run an instance as a VM");
		return bv_hint(err, "set engine = container in the instance's config");
	}
	*ret = &bv_engine_container;
	return 0;
}

void bv_run_init(struct bv_run *run)
{
	*run = (struct bv_run){
		.run_dir = -1,
		.pidfd = -1,
		.console = -1,
		.lock = -1,
		.exec_uid = -1,
		.exec_gid = -1,
	};
	for (int i = 0; i < BV_NS_COUNT; i++)
		run->share_ns[i] = -1;
	for (int i = 0; i < BV_TTYS_MAX; i++)
		run->ttys[i] = -1;
}

void bv_hook_env_init(struct bv_hook_env *env, const char *name, const char *config_file, const struct bv_config *cfg)
{
	*env = (struct bv_hook_env){
		.name = name,
		.config_file = config_file,
		.rootfs_path = cfg->rootfs_path,
		.rootfs_mount = cfg->rootfs_mount ? cfg->rootfs_mount : BV_ROOTFSMOUNT,
		.console_path = cfg->console_path,
		.console_log = cfg->console_logfile,
	};
}
