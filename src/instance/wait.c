/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/rundir.h"
#include "instance/wait.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/str.h"

/*
 * Waiting for a state: inotify on the directory above the run directory (it comes and goes) and on the run directory
 * (its state file is renamed into place at each change, and touched by a freeze). A monitor that is killed changes
 * nothing in either, so its lock is looked at once in a while.
 */
enum { LOOK_AGAIN_MS = 500 };

void bv_state_touch(const struct bv_rundir *rd)
{
	utimensat(rd->fd, "state", NULL, 0);
}

static int watch_places(int fd, const struct bv_instance *inst, struct bv_error *err)
{
	char parent[BV_RUN_PATH_MAX], own[BV_RUN_PATH_MAX + 80];
	int r = bv_rundir_parent(inst->lxcpath, parent, sizeof(parent), err);
	if (r < 0)
		return r;
	snprintf(own, sizeof(own), "%s/%s", parent, inst->name);

	/* Adding a watch again is harmless; a directory that is not there (yet) leaves the parent's. */
	inotify_add_watch(fd, own, IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
	if (inotify_add_watch(fd, parent, IN_CREATE | IN_MOVED_FROM | IN_ONLYDIR) < 0 && errno == ENOENT) {
		/* Nothing has run in this lxcpath yet. A user who may not make the directory polls. */
		if (bv_rundir_make_parent(parent, NULL) == 0)
			inotify_add_watch(fd, parent, IN_CREATE | IN_MOVED_FROM | IN_ONLYDIR);
	}
	return 0;
}

static int look(const struct bv_instance *inst, struct bv_run_state *st, enum bv_state *effective, struct bv_error *err)
{
	struct bv_rundir rd;
	*st = (struct bv_run_state){ 0 };
	*effective = BV_STOPPED;
	int r = bv_rundir_open(&rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	if (bv_run_state_read(&rd, st) == 0)
		*effective = bv_run_state_effective(&rd, st);
	bv_rundir_close(&rd);
	return 0;
}

int bv_wait_until(const struct bv_instance *inst, bv_reached_fn reached, const void *data, int timeout_s,
		  struct bv_error *err)
{
	int64_t deadline = timeout_s < 0 ? INT64_MAX : bv_now_ms() + (int64_t)timeout_s * 1000;
	autoclose int fd = timeout_s ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;

	for (;;) {
		/* Watch first, look then: no change falls between. */
		struct bv_run_state st;
		enum bv_state state;
		int r = fd >= 0 ? watch_places(fd, inst, err) : 0;
		if (r == 0)
			r = look(inst, &st, &state, err);
		if (r < 0)
			return r;
		bool done = reached(&st, state, data);
		bv_run_state_clear(&st);
		if (done)
			return 0;

		int64_t left = deadline - bv_now_ms();
		if (left <= 0)
			return bv_fail(err, ETIMEDOUT, "%s is %s, and %d s are over", inst->name, bv_state_name(state),
				       timeout_s);
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, left < LOOK_AGAIN_MS ? (int)left : LOOK_AGAIN_MS) > 0) {
			char events[4096];
			while (read(fd, events, sizeof(events)) > 0)
				;
		}
	}
}

static bool is_settled(const struct bv_run_state *st, enum bv_state effective, const void *data)
{
	(void)data;
	if (effective == BV_STOPPED || effective == BV_STARTING)
		return true;
	autoclose int init = bv_pidfd_open_checked(st->init_pid, st->init_start);
	return init >= 0 && bv_pidfd_wait(init, 0) < 0;
}

bool bv_wait_settled(const struct bv_instance *inst)
{
	enum { SETTLE_S = 30 };
	return bv_wait_until(inst, is_settled, NULL, 0, NULL) < 0 &&
	       bv_wait_until(inst, is_settled, NULL, SETTLE_S, NULL) == 0;
}

static bool one_of(const struct bv_run_state *st, enum bv_state effective, const void *data)
{
	(void)st;
	return *(const unsigned int *)data & (1U << effective);
}

int bv_instance_wait(struct bv_instance *inst, unsigned int states, int timeout_s, struct bv_error *err)
{
	return bv_wait_until(inst, one_of, &states, timeout_s, err);
}
