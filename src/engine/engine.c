/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/engine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/hook.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/str.h"

const struct bv_engine *bv_engine_of(enum bv_engine_kind kind)
{
	return kind == BV_ENGINE_VM ? &bv_engine_vm : &bv_engine_container;
}

const struct bv_engine *bv_engine_described(const char *description)
{
	const char *rest = bv_after(description, bv_engine_vm.name);
	return rest && (*rest == '\0' || *rest == ' ') ? &bv_engine_vm : &bv_engine_container;
}

pid_t bv_engine_clone(struct bv_run *run, uint64_t flags, bool *born_inside)
{
	int cgroup_fd = bv_cgroup_clone_fd(run->cgroup);
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)&run->pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};

	*born_inside = cgroup_fd >= 0;
	pid_t pid = bv_clone3(&args, sizeof(args));
	if (pid == -ENOSYS || pid == -EINVAL || pid == -E2BIG) {
		*born_inside = false;
		pid = (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, &run->pidfd, NULL, NULL);
		if (pid < 0)
			pid = -errno;
	}
	return pid;
}

void bv_run_init(struct bv_run *run)
{
	*run = (struct bv_run){
		.run_dir = -1,
		.pidfd = -1,
		.vital = -1,
		.console = -1,
		.lock = -1,
		.rootfs_lock = -1,
		.exec_uid = -1,
		.exec_gid = -1,
	};
	for (int i = 0; i < BV_NS_COUNT; i++)
		run->share_ns[i] = -1;
	for (int i = 0; i < BV_TTYS_MAX; i++)
		run->ttys[i] = -1;
}

void bv_run_close(struct bv_run *run)
{
	close_fd(&run->pidfd);
	close_fd(&run->vital);
	close_fd(&run->console);
	for (unsigned int i = 0; i < run->n_ttys; i++)
		close_fd(&run->ttys[i]);
	run->n_ttys = 0;
	bv_net_clear(&run->net);
}

int bv_run_signal(const struct bv_run *run, int sig, const char *whom, struct bv_error *err)
{
	int r = bv_pidfd_send_signal(run->pidfd, sig);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot send signal %d to %s (pid %d)", sig, whom, (int)run->pid);
	}
	return 0;
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
