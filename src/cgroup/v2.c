/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"
#include "util/str.h"

/* cgroup v2: the unified hierarchy. */

static int v2_prepare(const struct cgroup_hier *h, const char *rel, struct bv_error *err)
{
	(void)h;
	(void)rel;
	(void)err;
	return 0;
}

/* ---- controllers ---- */

static bool words_have(const char *words, const char *word, size_t len)
{
	for (const char *p = words + strspn(words, " \n+"); *p; p += strspn(p, " \n+")) {
		size_t n = strcspn(p, " \n");
		if (n == len && strncmp(p, word, n) == 0)
			return true;
		p += n;
	}
	return false;
}

/* Add to " +a +b" those words of `from` ("a c" or " +a +c") that `but` does not have. */
static void add_controllers(struct bv_buf *to, const char *from, const char *but)
{
	for (const char *p = from + strspn(from, " \n+"); *p; p += strspn(p, " \n+")) {
		size_t n = strcspn(p, " \n");
		if (!words_have(but, p, n))
			bv_buf_printf(to, " +%.*s", (int)n, p);
		p += n;
	}
}

static pid_t parent_of(pid_t pid)
{
	char path[32], stat[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	const char *rest = bv_read_small(AT_FDCWD, path, stat, sizeof(stat)) > 0 ? strrchr(stat, ')') : NULL;
	int parent;
	return rest && sscanf(rest, ") %*c %d", &parent) == 1 ? parent : 0;
}

/*
 * We sit in the delegated cgroup itself, with the processes that led to us (the caller of lxc-start, its shell), and
 * v2 gives controllers to the children of a cgroup without processes only. Move down into a leaf.
 */
static int step_aside(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel)
{
	enum { ANCESTORS = 16 };
	autofree char *leaf = cgroup_join(rel, "lxc.pivot");
	char path[PATH_MAX];
	if (!leaf || cgroup_path(path, h, leaf, "") < 0)
		return -ENOMEM;
	int r = cg->place->make_dir(path);
	if (r < 0 && r != -EEXIST)
		return r;

	char procs[4096];
	ssize_t n = cgroup_read(h, rel, "cgroup.procs", procs, sizeof(procs));
	if (n < 0)
		return (int)n;
	pid_t pid = getppid();
	for (int i = 0; i < ANCESTORS && pid > 1; i++, pid = parent_of(pid)) {
		char text[16];
		snprintf(text, sizeof(text), "%d", (int)pid);
		r = words_have(procs, text, strlen(text)) ? cgroup_write(h, leaf, "cgroup.procs", text) : 0;
		if (r < 0)
			return r;
	}
	return cgroup_write(h, leaf, "cgroup.procs", "0");
}

static int fail_enable(const struct cgroup_hier *h, const char *rel, const char *names, int r, struct bv_error *err)
{
	bv_fail(err, r, "cannot enable %s in %s%s%s/cgroup.subtree_control: %s", names + strspn(names, " +"), h->mount,
		*rel ? "/" : "", rel, strerror(-r));
	if (r == -EBUSY)
		return bv_hint(
			err, "there are processes in that cgroup; move them into a cgroup below it, or start in one of "
			     "your own: systemd-run --scope -p Delegate=yes lxc-start ..");
	if (r == -ENOENT)
		return bv_hint(err, "the parent cgroup does not offer them: see %s%s%s/cgroup.controllers", h->mount,
			       *rel ? "/" : "", rel);
	if (r == -EACCES || r == -EPERM)
		return bv_hint(err, "systemd-run --user --scope -p Delegate=yes lxc-start ..");
	return r;
}

/* One level. What is not `wanted` is left out when it cannot be had: a controller may have reasons to refuse. */
static int enable_at(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel, const char *controllers,
		     const char *wanted, struct bv_error *err)
{
	char enabled[512];
	ssize_t n = cgroup_read(h, rel, "cgroup.subtree_control", enabled, sizeof(enabled));
	if (n < 0)
		return *wanted ? fail_enable(h, rel, wanted, (int)n, err) : 0;
	struct bv_buf buf = { 0 };
	add_controllers(&buf, controllers, enabled);
	autofree char *missing = bv_buf_take(&buf);
	if (!missing)
		return bv_fail(err, ENOMEM, "out of memory");
	if (!*missing)
		return 0;

	int r = cgroup_write(h, rel, "cgroup.subtree_control", missing + 1);
	if (r == -EBUSY && *rel && step_aside(cg, h, rel) == 0)
		r = cgroup_write(h, rel, "cgroup.subtree_control", missing + 1);
	for (char *save, *one = r < 0 ? strtok_r(missing, " ", &save) : NULL; one; one = strtok_r(NULL, " ", &save)) {
		r = cgroup_write(h, rel, "cgroup.subtree_control", one);
		if (r < 0 && words_have(wanted, one + 1, strlen(one + 1)))
			return fail_enable(h, rel, one + 1, r, err);
		if (r < 0)
			bv_info("cgroup", "controller %s stays off below %s/%s: %s", one + 1, h->mount, rel,
				strerror(-r));
	}
	return 0;
}

int cgroup_v2_enable(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel, const char *wanted,
		     bool all, struct bv_error *err)
{
	char offered[512];
	if (!all || cgroup_read(h, h->base, "cgroup.controllers", offered, sizeof(offered)) < 0)
		*offered = '\0';
	struct bv_buf buf = { 0 };
	bv_buf_puts(&buf, wanted);
	add_controllers(&buf, offered, wanted);
	autofree char *controllers = bv_buf_take(&buf);
	if (controllers && !*controllers)
		return 0;

	autofree char *level = strdup(h->base);
	for (const char *next = rel + strlen(h->base);;) {
		if (!level || !controllers)
			return bv_fail(err, ENOMEM, "out of memory");
		int r = enable_at(cg, h, level, controllers, wanted, err);
		if (r < 0)
			return r;
		next += strspn(next, "/");
		next += strcspn(next, "/");
		if (!*next)
			return 0;
		free(level);
		level = strndup(rel, (size_t)(next - rel));
	}
}

/* ---- processes ---- */

static int v2_open_entry(const struct cgroup_hier *h, const char *rel)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, "");
	if (r < 0)
		return r;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int v2_enter(int entry, bool born_inside)
{
	return born_inside ? 0 : bv_write_small(entry, "cgroup.procs", "0");
}

static int v2_leave(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel)
{
	const char *slash = strrchr(rel, '/');
	autofree char *parent = slash ? strndup(rel, (size_t)(slash - rel)) : strdup("");
	if (!parent)
		return -ENOMEM;
	int r = cgroup_write(h, parent, "cgroup.procs", "0");
	/* The parent gives controllers to its children: it may hold no processes, but a leaf beside us may. */
	return r == -EBUSY ? step_aside(cg, h, parent) : r;
}

static int v2_populated(const struct cgroup_hier *h, const char *rel)
{
	char events[256];
	ssize_t n = cgroup_read(h, rel, "cgroup.events", events, sizeof(events));
	if (n == -ENOENT || n == -ENODEV)
		return 0;
	return n < 0 ? (int)n : strstr(events, "populated 1") != NULL;
}

static int v2_write_frozen(const struct cgroup_hier *h, bool freeze)
{
	return cgroup_write(h, h->payload, "cgroup.freeze", freeze ? "1" : "0");
}

struct threads_seen {
	bool kernel; /* there is one of the kernel's */
	bool moving; /* another one is not stopped */
};

static int look_at_threads(int dirfd, void *data)
{
	enum { KERNEL_THREAD = 0x200000 }; /* PF_KTHREAD */
	struct threads_seen *seen = data;
	autofree char *text = NULL;
	int r = bv_read_file(dirfd, "cgroup.threads", 0, &text, NULL);
	for (char *save, *tid = r < 0 ? NULL : strtok_r(text, "\n", &save); tid; tid = strtok_r(NULL, "\n", &save)) {
		char path[48], stat[512], state;
		unsigned int flags;
		snprintf(path, sizeof(path), "/proc/%.16s/stat", tid);
		ssize_t n = bv_read_small(AT_FDCWD, path, stat, sizeof(stat));
		const char *rest = n > 0 ? strrchr(stat, ')') : NULL;
		if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
			seen->moving = true;
		else if (flags & KERNEL_THREAD)
			seen->kernel = true;
		else
			seen->moving |= state == 'R' || state == 'D';
	}
	return r;
}

/*
 * A thread that the kernel runs for a process, as vhost has them before Linux 6.4, is in its cgroup, never freezes, and
 * keeps "frozen" at 0. What it works for is stopped then all the same: whoever slept was woken when the freeze was
 * written, and sleeps again only as one that is frozen.
 */
static int is_frozen_but_for_kernel(const struct cgroup_hier *h)
{
	struct threads_seen seen = { 0 };
	char path[PATH_MAX], wanted[8];
	if (cgroup_read(h, h->payload, "cgroup.freeze", wanted, sizeof(wanted)) <= 0 || *wanted != '1')
		return 0;
	return cgroup_path(path, h, h->payload, "") == 0 && cgroup_tree_visit(path, look_at_threads, &seen) == 0 &&
	       seen.kernel && !seen.moving;
}

static int v2_is_frozen(const struct cgroup_hier *h)
{
	char events[256];
	ssize_t n = cgroup_read(h, h->payload, "cgroup.events", events, sizeof(events));
	if (n < 0)
		return (int)n;
	return strstr(events, "frozen 1") ? 1 : is_frozen_but_for_kernel(h);
}

static int v2_apply_devices(const struct cgroup_hier *h, const struct cgroup_devices *list, struct bv_error *err)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, h->payload, "");
	if (r < 0)
		return bv_fail(err, r, "the cgroup path of %s is too long", h->payload);
	/* At a start the directory is open already. */
	autoclose int own = h->payload_fd >= 0 && !h->inner ? -1 : v2_open_entry(h, h->payload);
	int dirfd = h->payload_fd >= 0 && !h->inner ? h->payload_fd : own;
	if (dirfd < 0)
		return bv_fail(err, dirfd, "cannot open %s: %s", path, strerror(-dirfd));
	return cgroup_bpf_apply(dirfd, path, list, err);
}

/* ---- statistics ---- */

/* The number behind "key " at the beginning of a line of a flat keyed file; 0 when the line is not there. */
static uint64_t keyed(const char *text, const char *key)
{
	size_t n = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && line[n] == ' ')
			return strtoull(line + n + 1, NULL, 10);
	}
	return 0;
}

static uint64_t read_number(const struct cgroup_hier *h, const char *file)
{
	char buf[64];
	uint64_t v;
	if (cgroup_read(h, h->payload, file, buf, sizeof(buf)) <= 0 || bv_parse_u64(buf, &v) < 0)
		return UINT64_MAX; /* "max" too */
	return v;
}

static void read_cpu(const struct cgroup_hier *h, struct bv_cgroup_stats *ret)
{
	char buf[2048];
	if (cgroup_read(h, h->payload, "cpu.stat", buf, sizeof(buf)) <= 0)
		return;
	ret->cpu_ns = keyed(buf, "usage_usec") * 1000;
	ret->cpu_user_ns = keyed(buf, "user_usec") * 1000;
	ret->cpu_system_ns = keyed(buf, "system_usec") * 1000;
}

static void read_memory(const struct cgroup_hier *h, struct bv_cgroup_stats *ret)
{
	char buf[16384];
	if (cgroup_read(h, h->payload, "memory.stat", buf, sizeof(buf)) > 0) {
		ret->memory = keyed(buf, "anon") + keyed(buf, "file");
		ret->kernel_memory =
			keyed(buf, "kernel_stack") + keyed(buf, "pagetables") + keyed(buf, "sock") + keyed(buf, "slab");
	}
	ret->swap = read_number(h, "memory.swap.current");
}

/* Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6". */
static void read_io(const struct cgroup_hier *h, struct bv_cgroup_stats *ret)
{
	char buf[16384];
	if (cgroup_read(h, h->payload, "io.stat", buf, sizeof(buf)) < 0)
		return;
	ret->blkio_read = ret->blkio_write = ret->blkio_total = ret->blkio_ops = 0;
	for (char *save, *word = strtok_r(buf, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
		char *equals = strchr(word, '=');
		uint64_t v = equals ? strtoull(equals + 1, NULL, 10) : 0;
		if (bv_after(word, "rbytes="))
			ret->blkio_read += v;
		else if (bv_after(word, "wbytes="))
			ret->blkio_write += v;
		else if (bv_after(word, "rios=") || bv_after(word, "wios="))
			ret->blkio_ops += v;
	}
	ret->blkio_total = ret->blkio_read + ret->blkio_write;
}

static unsigned int v2_stats(const struct cgroup_hier *h, unsigned int what, struct bv_cgroup_stats *ret)
{
	if (what & (BV_STATS_CPU | BV_STATS_CPU_MODES))
		read_cpu(h, ret);
	if (what & BV_STATS_MEMORY)
		read_memory(h, ret);
	if (what & BV_STATS_BLKIO)
		read_io(h, ret);
	if (what & BV_STATS_PIDS)
		ret->pids = read_number(h, "pids.current");
	if (what & BV_STATS_LIMITS) {
		ret->memory_limit = read_number(h, "memory.max");
		ret->pids_limit = read_number(h, "pids.max");
	}
	return BV_STATS_ALL;
}

/* As /sys/kernel/cgroup/delegate names them; a kernel that lacks one has no such file. */
static const char *const v2_delegated[] = { "cgroup.procs",	"cgroup.threads", "cgroup.subtree_control",
					    "memory.oom.group", "memory.reclaim", NULL };

const struct cgroup_backend cgroup_v2 = {
	.v2 = true,
	.procs = "cgroup.procs",
	.prepare = v2_prepare,
	.open_entry = v2_open_entry,
	.enter = v2_enter,
	.leave = v2_leave,
	.populated = v2_populated,
	.write_frozen = v2_write_frozen,
	.is_frozen = v2_is_frozen,
	.apply_devices = v2_apply_devices,
	.stats = v2_stats,
	.delegated = v2_delegated,
};
