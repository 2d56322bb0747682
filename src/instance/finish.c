/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/finish.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "config/config.h"
#include "config/system.h"
#include "engine/engine.h"
#include "engine/hook.h"
#include "instance/internal.h"
#include "net/net.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

enum { KILL_TIMEOUT_MS = 5000 };

/* One part of the clean-up failed: say so in the log, keep the first for the caller, go on. */
static void note(struct bv_error *first, struct bv_error *err)
{
	if (!err->code)
		return;
	bv_warn("finish", "%s", err->what);
	if (first && !first->code)
		*first = *err;
	bv_error_clear(err);
}

static void finish_network(const struct bv_config *cfg, const struct bv_run_state *st, const char *name,
			   struct bv_error *err)
{
	struct bv_net net = { 0 };
	if (!st->net || bv_net_open(&net, st->net, err) < 0)
		return;
	bv_net_run_scripts(&net, cfg, name, false, err);
	bv_net_detach(&net, cfg, -1, err);
	bv_net_clear(&net);
}

/* With a pid namespace nothing is left to be killed once init is dead, and one attempt shows it. */
static void remove_payload(struct bv_cgroup *cg, struct bv_error *err)
{
	if (bv_cgroup_remove_payload(cg, NULL) == 0)
		return;
	bv_cgroup_kill(cg, KILL_TIMEOUT_MS, err);
	bv_cgroup_remove_payload(cg, err);
}

static void destroy_ephemeral(const struct bv_finish *how, struct bv_error *err)
{
	autoclean(bv_instance_freep) struct bv_instance *inst = NULL;
	if (bv_instance_open(&inst, how->lxcpath, how->name, err) == 0)
		bv_destroy_stopped(inst, err);
}

int bv_finish_run(const struct bv_rundir *rd, const struct bv_run_state *st, const struct bv_finish *how,
		  struct bv_error *err)
{
	struct bv_error first = { 0 }, part = { 0 };
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	if (st->cgroup)
		bv_cgroup_open(&cg, st->cgroup, &part);
	note(&first, &part);

	autoclean(bv_config_freep) struct bv_config *own = how->config ? NULL : bv_config_new();
	const struct bv_config *cfg = how->config ? how->config : own;
	if (!cfg || (own && bv_config_load(own, rd->fd, "config", &part) < 0)) {
		/* Killed before it was written: nothing ran yet that hooks or scripts would have to undo. */
		bv_error_clear(&part);
		if (cg)
			remove_payload(cg, &part);
		note(&first, &part);
	} else {
		autofree char *config_file = bv_asprintf("%s/%s/config", how->lxcpath, how->name);
		struct bv_hook_env env;
		bv_hook_env_init(&env, how->name, config_file, cfg);
		env.target = how->target;
		env.extra_args = how->ns_args;
		bv_hooks_run(cfg, BV_HOOK_STOP, &env, &part);
		note(&first, &part);
		finish_network(cfg, st, how->name, &part);
		note(&first, &part);
		/* A VM has no label: a profile that is there is the container's of an earlier run. */
		if (!how->keep && !bv_engine_described(st->engine)->own_kernel)
			bv_lsm_release(cfg, how->name, how->lxcpath);
		if (cg && !how->keep)
			remove_payload(cg, &part);
		note(&first, &part);
		env.extra_args = NULL;
		if (bv_hooks_run(cfg, BV_HOOK_POST_STOP, &env, &part) < 0 && how->keep && err && !err->code)
			*err = part; /* a reboot becomes a stop */
		note(&first, &part);
	}
	if (st->ephemeral && !how->keep)
		destroy_ephemeral(how, &part);
	note(&first, &part);
	if (err && !err->code)
		*err = first;
	return first.code ? -first.code : 0;
}

static int remove_places(struct bv_rundir *rd, struct bv_cgroup *cg, struct bv_error *err)
{
	if (cg)
		bv_cgroup_remove_monitor(cg, NULL);
	int r = bv_rundir_remove(rd);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot remove the run directory %s", rd->path);
	}
	return 0;
}

/*
 * The monitor cannot remove the cgroup that it is in. A child outside of it waits for the monitor's end and does: it
 * shares the lock, so that the instance is not stopped before. False: to be done in another way.
 */
static bool leave_to_child(struct bv_rundir *rd, struct bv_cgroup *cg)
{
	autoclose int self = bv_pidfd_open(getpid(), 0);
	pid_t pid = self < 0 ? self : bv_cgroup_fork_outside(cg);
	if (pid != 0)
		return pid > 0;
	bv_pidfd_wait(self, KILL_TIMEOUT_MS);
	remove_places(rd, cg, NULL);
	_exit(EXIT_SUCCESS);
}

int bv_finish_rundir(struct bv_rundir *rd, const struct bv_run_state *st, bool now, struct bv_error *err)
{
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	if (st->cgroup)
		bv_cgroup_open(&cg, st->cgroup, NULL);
	if (cg && st->monitor_pid == getpid()) {
		if (!now && leave_to_child(rd, cg))
			return 0;
		bv_cgroup_leave_monitor(cg);
	}
	return remove_places(rd, cg, err);
}

/*
 * A start that was killed before it wrote its state has left cgroups that nobody noted, without processes. They are
 * what a start gets that finds them (bv_cgroup_create), so they are made once more, and removed.
 */
static void remove_unrecorded(const char *lxcpath, const char *name)
{
	autoclean(bv_instance_freep) struct bv_instance *inst = NULL;
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	struct bv_system_config sys = { 0 };
	if (bv_instance_open(&inst, lxcpath, name, NULL) < 0 || bv_instance_load_config(inst, NULL, NULL) < 0)
		return;
	if (bv_system_config_load(&sys, NULL) == 0) {
		struct bv_cgroup_spec spec = {
			.config = inst->config, .name = name, .pattern = sys.cgroup_pattern, .with_monitor = true,
		};
		if (bv_cgroup_create(&cg, &spec, NULL) == 0) {
			bv_cgroup_remove_payload(cg, NULL);
			bv_cgroup_remove_monitor(cg, NULL);
		}
	}
	bv_system_config_clear(&sys);
}

int bv_finish_stale(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err)
{
	if (!rd->found)
		return 0;
	struct bv_run_state st;
	int r = bv_run_state_read(rd, &st);
	if (r < 0 || !st.cgroup)
		remove_unrecorded(lxcpath, name);
	if (r < 0)
		return 0;

	autoclose int init = st.init_pid ? bv_pidfd_open_checked(st.init_pid, st.init_start) : -ESRCH;
	if (init >= 0 && st.survives_monitor) {
		r = bv_fail(err, EBUSY, "%s runs without its monitor, which died", name);
		bv_hint(err, "lxc-stop -n %s -k ends it", name);
	} else {
		bv_notice("finish", "%s: cleaning up after a monitor that was killed", name);
		if (init >= 0) {
			bv_pidfd_send_signal(init, SIGKILL);
			bv_pidfd_wait(init, KILL_TIMEOUT_MS);
		}
		struct bv_finish how = { .lxcpath = lxcpath, .name = name, .target = "stop" };
		bv_finish_run(rd, &st, &how, NULL);
		/* The directory stays: the caller holds its lock and goes on with it. */
		autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
		if (st.cgroup && bv_cgroup_open(&cg, st.cgroup, NULL) == 0)
			bv_cgroup_remove_monitor(cg, NULL);
		bv_rundir_clear(rd);
	}
	bv_run_state_clear(&st);
	return r;
}

void bv_finish_abandoned(const char *lxcpath, const char *name)
{
	struct bv_rundir rd;
	autoclose int lock = -1;
	if (bv_rundir_lock(&rd, lxcpath, name, &lock, NULL) < 0)
		return;
	if (bv_finish_stale(&rd, lxcpath, name, NULL) == 0)
		bv_rundir_remove(&rd);
	bv_rundir_close(&rd);
}
