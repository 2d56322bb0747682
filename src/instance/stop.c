/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <time.h>

#include "instance/finish.h"
#include "instance/handle.h"
#include "instance/wait.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"

/* How long init's death by SIGKILL and the clean-up after it may take before that is an error of its own. */
enum { KILL_GRACE_S = 30, FREEZE_TIMEOUT_MS = 10000 };
/* How long the start after a reboot may take: the engines give up by themselves, a VM's after two minutes. */
enum { REBOOT_GRACE_S = 150 };
/* How long a start may take to have an init before lxc-stop -k takes it for one that hangs. */
enum { START_GRACE_S = 3 };
/* How long init may take until it hears what it is asked, and how often to look whether it does. */
enum { DEAF_MS = 10000, DEAF_STEP_MS = 20 };
/* How long, and how often, to look for the end of the clean-up before waiting for it in earnest. */
enum { QUICK_MS = 50, QUICK_STEP_NS = 300000 };

/* A frozen instance cannot act on a signal. */
static void thaw(struct bv_handle *h)
{
	if (!h->cgroup || bv_cgroup_is_frozen(h->cgroup) != 1)
		return;
	bv_cgroup_freeze(h->cgroup, false, FREEZE_TIMEOUT_MS, NULL);
	if (h->engine->pause)
		h->engine->pause(&h->run, false, NULL);
}

static int to_ms(int seconds)
{
	return seconds < 0 ? -1 : seconds > INT_MAX / 1000 ? INT_MAX : seconds * 1000;
}

/* Stopped; or in another run already, which somebody started the moment this one had ended. */
static bool is_over(const struct bv_run_state *st, enum bv_state effective, const void *data)
{
	const struct bv_run_state *old = data;
	return effective == BV_STOPPED || st->monitor_pid != old->monitor_pid;
}

/* Init is gone: wait for the monitor's clean-up, or do it where there is no monitor. */
static int wait_stopped(struct bv_instance *inst, struct bv_handle *h, struct bv_error *err)
{
	if (bv_rundir_is_locked(&h->rd) <= 0)
		bv_finish_abandoned(inst->lxcpath, inst->name);

	/* It is a matter of a millisecond or two; the close of an inotify instance takes ten (it waits for SRCU). */
	for (int64_t end = bv_now_ms() + QUICK_MS; bv_now_ms() < end;) {
		if (bv_wait_until(inst, is_over, &h->state, 0, NULL) == 0)
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = QUICK_STEP_NS }, NULL);
	}
	return bv_wait_until(inst, is_over, &h->state, KILL_GRACE_S, err);
}

/*
 * Wait for the end of init, which was killed. A freeze that another command began before may come after our thaw, and
 * what is frozen by the v1 freezer does not even die: so we look again.
 */
static int wait_killed(struct bv_handle *h)
{
	enum { SLICE_MS = 100 };
	int r = -ETIMEDOUT;
	for (int64_t end = bv_now_ms() + KILL_GRACE_S * 1000; r == -ETIMEDOUT && bv_now_ms() < end;) {
		thaw(h);
		r = bv_pidfd_wait(h->run.pidfd, SLICE_MS);
	}
	return r;
}

static int kill_now(struct bv_instance *inst, struct bv_handle *h, struct bv_error *err)
{
	int r = h->engine->kill(&h->run, err);
	if (r < 0 && r != -ESRCH)
		return r;
	bv_error_clear(err);
	if (wait_killed(h) < 0) {
		/* lxc.signal.stop may be a signal that init ignores. */
		bv_pidfd_send_signal(h->run.pidfd, SIGKILL);
		if (wait_killed(h) < 0) {
			bv_fail(err, ETIMEDOUT, "init of %s (pid %d) does not die", inst->name, (int)h->run.pid);
			return bv_hint(err, "see what it waits for: cat /proc/%d/stack", (int)h->run.pid);
		}
	}
	return wait_stopped(inst, h, err);
}

/* Runs, with another init than the one that was told to reboot; or stopped instead. */
static bool has_rebooted(const struct bv_run_state *st, enum bv_state effective, const void *data)
{
	const struct bv_run_state *old = data;
	return effective == BV_STOPPED ||
	       (effective == BV_RUNNING && (st->init_pid != old->init_pid || st->init_start != old->init_start));
}

static int wait_reboot(struct bv_instance *inst, struct bv_handle *h, int left_ms, int timeout_s, struct bv_error *err)
{
	if (bv_pidfd_wait(h->run.pidfd, left_ms) < 0) {
		bv_fail(err, ETIMEDOUT, "init of %s did not reboot within %d s", inst->name, timeout_s);
		return bv_hint(err, "lxc-stop -n %s -k ends it, lxc-start starts it again", inst->name);
	}
	int r = bv_wait_until(inst, has_rebooted, &h->state, REBOOT_GRACE_S, err);
	enum bv_state state;
	if (r == 0 && bv_instance_state(inst, &state, NULL) == 0 && state == BV_STOPPED)
		r = bv_fail(err, EIO, "%s stopped where it was to reboot", inst->name);
	return r;
}

/*
 * An init that has just begun would never know that it was asked. One that hears nothing at all is asked in the end, as
 * we may be wrong about it. Of the `timeout_ms` (-1: no end) the rest.
 */
static int wait_until_it_listens(const struct bv_handle *h, bool reboot, int timeout_ms)
{
	const int64_t begin = bv_now_ms();
	int64_t passed = 0;
	while (h->engine->listens && (timeout_ms < 0 || passed < timeout_ms) && passed < DEAF_MS &&
	       !h->engine->listens(&h->run, reboot) && bv_pidfd_wait(h->run.pidfd, DEAF_STEP_MS) < 0)
		passed = bv_now_ms() - begin;
	return timeout_ms < 0 ? -1 : passed < timeout_ms ? timeout_ms - (int)passed : 0;
}

static int stop(struct bv_instance *inst, struct bv_handle *h, const struct bv_stop_options *o, struct bv_error *err)
{
	if (o->kill)
		return kill_now(inst, h, err);

	int left_ms = wait_until_it_listens(h, o->reboot, to_ms(o->timeout_s));
	int r = o->reboot ? h->engine->reboot(&h->run, err) : h->engine->halt(&h->run, err);
	/* It has just ended by itself. */
	if (r == -ESRCH)
		bv_error_clear(err);
	else if (r < 0)
		return r;
	thaw(h);
	if (o->timeout_s == 0)
		return 0;
	if (o->reboot)
		return wait_reboot(inst, h, left_ms, o->timeout_s, err);
	if (bv_pidfd_wait(h->run.pidfd, left_ms) == 0)
		return wait_stopped(inst, h, err);
	if (o->nokill) {
		bv_fail(err, ETIMEDOUT, "init of %s did not act on the halt signal for %d s", inst->name, o->timeout_s);
		return bv_hint(err, "lxc-stop -n %s -k ends it at once", inst->name);
	}
	bv_log(BV_LOG_ERROR, "stop", "init of %s did not act on the halt signal for %d s: killing it", inst->name,
	       o->timeout_s);
	return kill_now(inst, h, err);
}

/*
 * A start that hangs, in a hook say, has no init yet: its monitor is ended, and what it made is cleaned up here.
 * Whoever holds the lock wrote the state, so the monitor's pid is good as long as the lock is held. 1: done, 0: nothing
 * starts.
 */
static int kill_start(struct bv_instance *inst, struct bv_error *err)
{
	struct bv_rundir rd;
	struct bv_run_state st;
	int r = bv_rundir_open(&rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	bool starting = bv_run_state_read(&rd, &st) == 0 && st.state == BV_STARTING && st.monitor_pid > 0;
	autoclose int monitor = starting ? bv_pidfd_open(st.monitor_pid, 0) : -ESRCH;
	if (monitor >= 0 && bv_rundir_is_locked(&rd) == 1) {
		bv_pidfd_send_signal(monitor, SIGKILL);
		bv_pidfd_wait(monitor, KILL_GRACE_S * 1000);
		bv_finish_abandoned(inst->lxcpath, inst->name);
		r = 1;
	}
	bv_run_state_clear(&st);
	bv_rundir_close(&rd);
	return r;
}

static bool is_not_starting(const struct bv_run_state *st, enum bv_state effective, const void *data)
{
	(void)st;
	(void)data;
	return effective != BV_STARTING;
}

int bv_instance_stop(struct bv_instance *inst, const struct bv_stop_options *options, struct bv_error *err)
{
	struct bv_handle h;
	int r = bv_handle_open(&h, inst, err);
	if (r == -ESRCH && bv_wait_settled(inst)) {
		bv_error_clear(err);
		r = bv_handle_open(&h, inst, err);
	}
	if (r == -ESRCH && options->kill && bv_wait_until(inst, is_not_starting, NULL, 0, NULL) < 0) {
		/* It is about to have an init, unless it hangs. */
		bool hangs = bv_wait_until(inst, is_not_starting, NULL, START_GRACE_S, NULL) < 0;
		bv_error_clear(err);
		if (hangs && kill_start(inst, NULL) == 1)
			return 0;
		r = bv_handle_open(&h, inst, err);
	}
	if (r == -ESRCH)
		/* What a killed monitor left is tidied up on the way. */
		bv_finish_abandoned(inst->lxcpath, inst->name);
	if (r < 0)
		return r;
	r = stop(inst, &h, options, err);
	bv_handle_close(&h);
	return r;
}

static bool is_frozen(const struct bv_handle *h)
{
	return bv_cgroup_is_frozen(h->cgroup) == 1;
}

/* What is frozen already cannot be asked to pause. */
static int freeze_now(struct bv_handle *h, struct bv_error *err)
{
	bool pauses = h->engine->pause && !is_frozen(h);
	int r = pauses ? h->engine->pause(&h->run, true, err) : 0;
	if (r < 0)
		return r;
	r = bv_cgroup_freeze(h->cgroup, true, FREEZE_TIMEOUT_MS, err);
	if (r < 0 && pauses)
		h->engine->pause(&h->run, false, NULL);
	return r;
}

static int thaw_now(struct bv_handle *h, struct bv_error *err)
{
	int r = bv_cgroup_freeze(h->cgroup, false, FREEZE_TIMEOUT_MS, err);
	return r < 0 || !h->engine->pause ? r : h->engine->pause(&h->run, false, err);
}

int bv_instance_freeze(struct bv_instance *inst, bool freeze, struct bv_error *err)
{
	struct bv_handle h;
	int r = bv_handle_open(&h, inst, err);
	if (r < 0)
		return r;
	if (!h.cgroup)
		r = bv_fail(err, ENOTSUP, "%s has no cgroup, so it cannot be frozen", inst->name);
	else if (freeze)
		r = freeze_now(&h, err);
	else
		r = thaw_now(&h, err);
	/* Ended meanwhile: then the cgroup of that name may be the next run's, which nobody asked to freeze. */
	if (h.cgroup && bv_pidfd_wait(h.run.pidfd, 0) == 0) {
		if (freeze)
			bv_cgroup_freeze(h.cgroup, false, FREEZE_TIMEOUT_MS, NULL);
		bv_error_clear(err);
		r = bv_fail(err, ESRCH, "%s is not running", inst->name);
	}
	if (r == 0)
		bv_state_touch(&h.rd);
	bv_handle_close(&h);
	return r;
}
