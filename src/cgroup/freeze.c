/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/* Stop all, go on, end all: on v2 one write to cgroup.freeze or cgroup.kill, on v1 by the freezer and signals. */

struct cgroup_hier *cgroup_find_freezer(const struct bv_cgroup *cg)
{
	struct cgroup_hier *h = cgroup_find_v1(cg, "freezer");
	if (!h || !h->payload)
		h = cgroup_find_v2(cg);
	return h && h->payload ? h : NULL;
}

int64_t cgroup_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : bv_now_ms() + timeout_ms;
}

bool cgroup_nap(int *step_ms, int64_t deadline)
{
	if (deadline >= 0 && bv_now_ms() >= deadline)
		return false;
	*step_ms = *step_ms <= 0 ? 1 : *step_ms >= 16 ? 16 : 2 * *step_ms;
	struct timespec t = { .tv_nsec = *step_ms * 1000000L };
	nanosleep(&t, NULL);
	return true;
}

int bv_cgroup_is_frozen(struct bv_cgroup *cg)
{
	const struct cgroup_hier *h = cgroup_find_freezer(cg);
	return h ? h->backend->is_frozen(h) : -ENOENT;
}

int bv_cgroup_freeze(struct bv_cgroup *cg, bool freeze, int timeout_ms, struct bv_error *err)
{
	const struct cgroup_hier *h = cgroup_find_freezer(cg);
	if (!h)
		return bv_fail(err, ENOTSUP,
			       "this host has neither cgroup v2 nor the v1 freezer: processes cannot be frozen");

	const char *verb = freeze ? "freeze" : "thaw";
	int64_t deadline = cgroup_deadline(timeout_ms);
	int r, step = 0;
	do {
		/* v1 tries again only when it is told again (freezer-subsystem.rst: FREEZING). */
		r = h->backend->write_frozen(h, freeze);
		if (r == 0)
			r = h->backend->is_frozen(h);
		if (r == -ENOENT || r == -ENODEV)
			return bv_fail(err, ENOENT, "cannot %s %s/%s: the cgroup is gone", verb, h->mount, h->payload);
		if (r < 0)
			return bv_fail(err, r, "cannot %s %s/%s: %s", verb, h->mount, h->payload, strerror(-r));
		if (r == (int)freeze)
			return 0;
	} while (cgroup_nap(&step, deadline));

	if (freeze)
		h->backend->write_frozen(h, false);
	bv_fail(err, ETIMEDOUT, "not all processes of %s/%s could be %s in %d ms", h->mount, h->payload,
		freeze ? "frozen" : "thawed", timeout_ms);
	return bv_hint(err, freeze ? "a process waits in the kernel (state D): ps -eo pid,stat,wchan:30,args"
				   : "a cgroup above it is frozen");
}

static int kill_here(int dirfd, void *data)
{
	(void)data;
	autofree char *text = NULL;
	int r = bv_read_file(dirfd, "cgroup.procs", 0, &text, NULL);
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	for (char *save, *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		/* 0 is a process that our pid namespace does not show. */
		pid_t pid = (pid_t)strtol(line, NULL, 10);
		if (pid > 1 && pid != getpid())
			kill(pid, SIGKILL);
	}
	return r;
}

/* A frozen tree cannot fork away from the signals; a v1 task dies once it is thawed. */
static int kill_by_hand(const struct cgroup_hier *h, const struct cgroup_hier *freezer, int64_t deadline)
{
	char path[PATH_MAX];
	int step = 0, r = cgroup_path(path, h, h->payload, "");
	if (r < 0)
		return r;
	do {
		if (freezer)
			freezer->backend->write_frozen(freezer, true);
		r = cgroup_tree_visit(path, kill_here, NULL);
		if (freezer)
			freezer->backend->write_frozen(freezer, false);
		if (r == 0)
			r = h->backend->populated(h, h->payload);
		if (r <= 0)
			return r;
	} while (cgroup_nap(&step, deadline));
	return -ETIMEDOUT;
}

/*
 * cgroup.events wakes a poller when "populated" changes. What the v1 freezer holds does not die: it is thawed, and now
 * and then again, for a freeze that another process has begun may come after that.
 */
static int wait_empty(const struct cgroup_hier *h, const struct cgroup_hier *v1_freezer, int64_t deadline)
{
	enum { SLICE_MS = 100 };
	autoclose int fd = cgroup_open_file(h, h->payload, "cgroup.events", O_RDONLY);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	for (;;) {
		if (v1_freezer)
			v1_freezer->backend->write_frozen(v1_freezer, false);
		char events[256];
		ssize_t n = pread(fd, events, sizeof(events) - 1, 0);
		if (n < 0)
			return errno == ENODEV ? 0 : -errno;
		events[n] = '\0';
		if (strstr(events, "populated 0"))
			return 0;
		int64_t left = deadline < 0 ? -1 : deadline - bv_now_ms();
		if (deadline >= 0 && left <= 0)
			return -ETIMEDOUT;
		struct pollfd p = { .fd = fd, .events = POLLPRI };
		poll(&p, 1, v1_freezer && (left < 0 || left > SLICE_MS) ? SLICE_MS : (int)left);
	}
}

static struct cgroup_hier *first_payload(const struct bv_cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++) {
		if (cg->hiers[i].payload)
			return &cg->hiers[i];
	}
	return NULL;
}

int bv_cgroup_kill(struct bv_cgroup *cg, int timeout_ms, struct bv_error *err)
{
	int64_t deadline = cgroup_deadline(timeout_ms);
	const struct cgroup_hier *freezer = cgroup_find_freezer(cg), *v2 = cgroup_find_v2(cg);
	const struct cgroup_hier *h = v2 && v2->payload ? v2 : freezer ? freezer : first_payload(cg);
	if (!h)
		return 0;

	int r = h->backend->v2 ? cgroup_write(h, h->payload, "cgroup.kill", "1") : -ENOENT; /* Linux 5.14 */
	if (r == 0) {
		r = wait_empty(h, freezer && !freezer->backend->v2 ? freezer : NULL, deadline);
	} else {
		r = kill_by_hand(h, freezer, deadline);
	}
	if (r == -ETIMEDOUT) {
		bv_fail(err, r, "processes in %s/%s did not end in %d ms", h->mount, h->payload, timeout_ms);
		return bv_hint(err, "cat %s/%s/cgroup.procs; a process in state D ends when its device answers",
			       h->mount, h->payload);
	}
	if (r < 0)
		return bv_fail(err, r, "cannot end the processes in %s/%s: %s", h->mount, h->payload, strerror(-r));
	return 0;
}
