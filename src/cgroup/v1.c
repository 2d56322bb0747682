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

/* cgroup v1: one hierarchy of one or more controllers. */

/* Copy one of cpuset's two files from the parent, whose own is filled first if it is empty. */
static int inherit_cpuset(const struct cgroup_hier *h, const char *rel, const char *file, struct bv_error *err)
{
	const char *slash = strrchr(rel, '/');
	autofree char *parent = slash ? strndup(rel, (size_t)(slash - rel)) : strdup("");
	if (!parent)
		return bv_fail(err, ENOMEM, "out of memory");

	char value[4096];
	ssize_t n = cgroup_read(h, parent, file, value, sizeof(value));
	if (n == 0 && *parent) {
		int r = inherit_cpuset(h, parent, file, err);
		if (r < 0)
			return r;
		n = cgroup_read(h, parent, file, value, sizeof(value));
	}
	int r = n < 0 ? (int)n : cgroup_write(h, rel, file, value);
	if (r < 0)
		return bv_fail(err, r, "cannot give %s/%s the %s of its parent: %s", h->mount, rel, file, strerror(-r));
	return 0;
}

/* A new cpuset is empty, and no process can enter it (ENOSPC). The parent's clone_children is the host's. */
static int v1_prepare(const struct cgroup_hier *h, const char *rel, struct bv_error *err)
{
	if (!cgroup_list_has(h->controllers, "cpuset"))
		return 0;
	int r = inherit_cpuset(h, rel, "cpuset.cpus", err);
	return r < 0 ? r : inherit_cpuset(h, rel, "cpuset.mems", err);
}

static int v1_open_entry(const struct cgroup_hier *h, const char *rel)
{
	return cgroup_open_file(h, rel, "tasks", O_WRONLY);
}

/* "0" into tasks moves the thread that writes, without the global lock that a pid takes (commit 9a3284fad42f). */
static int v1_enter(int entry, bool born_inside)
{
	(void)born_inside;
	return write(entry, "0", 1) < 0 ? -errno : 0;
}

static int v1_leave(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel)
{
	(void)cg;
	const char *slash = strrchr(rel, '/');
	autofree char *parent = slash ? strndup(rel, (size_t)(slash - rel)) : strdup("");
	return parent ? cgroup_write(h, parent, "tasks", "0") : -ENOMEM;
}

static int has_process(int dirfd, void *data)
{
	(void)data;
	char buf[32];
	ssize_t n = bv_read_small(dirfd, "cgroup.procs", buf, sizeof(buf));
	if (n == -ENODEV || n == -ENOENT)
		return 0;
	return n > 0 ? 1 : (int)n;
}

static int v1_populated(const struct cgroup_hier *h, const char *rel)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, "");
	return r < 0 ? r : cgroup_tree_visit(path, has_process, NULL);
}

static int v1_write_frozen(const struct cgroup_hier *h, bool freeze)
{
	return cgroup_write(h, h->payload, "freezer.state", freeze ? "FROZEN" : "THAWED");
}

static int v1_is_frozen(const struct cgroup_hier *h)
{
	char state[32];
	ssize_t n = cgroup_read(h, h->payload, "freezer.state", state, sizeof(state));
	return n < 0 ? (int)n : bv_streq(state, "FROZEN");
}

/* ---- devices ---- */

static bool overlaps(const struct cgroup_device *a, const struct cgroup_device *b)
{
	return (a->type == b->type || a->type == 'a' || b->type == 'a') && (a->access & b->access) &&
	       (a->major == b->major || a->major < 0 || b->major < 0) &&
	       (a->minor == b->minor || a->minor < 0 || b->minor < 0);
}

/*
 * v1 keeps a default and exceptions to it; an exception to an exception cannot be said (the kernel takes the write and
 * ignores it), unless it names the very same device, which cgroup_devices_add has dealt with.
 */
static void warn_unexpressible(const struct cgroup_devices *list, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (list->v[j].allow == list->v[i].allow || !overlaps(&list->v[j], &list->v[i]))
			continue;
		char rule[64], wider[64];
		cgroup_device_format(&list->v[i], rule);
		cgroup_device_format(&list->v[j], wider);
		bv_warn("cgroup", "cgroup v1 cannot %s device %s: the rule %s %s before it stays in force",
			list->v[i].allow ? "allow" : "deny", rule, list->v[j].allow ? "allow" : "deny", wider);
		return;
	}
}

static int write_device(const struct cgroup_hier *h, int fd, const char *file, const char *rule, struct bv_error *err)
{
	if (write(fd, rule, strlen(rule)) >= 0)
		return 0;
	int r = bv_fail_errno(err, "cannot write \"%s\" to %s/%s/%s", rule, h->mount, h->payload, file);
	if (r == -EPERM)
		bv_hint(err, "the parent cgroup does not allow that device (see its devices.list): remove the rule "
			     "from the config");
	return r;
}

static int v1_apply_devices(const struct cgroup_hier *h, const struct cgroup_devices *list, struct bv_error *err)
{
	if (!list->reset && !list->allowlist && list->n == 0)
		return 0;
	autoclose int allow = cgroup_open_file(h, h->payload, "devices.allow", O_WRONLY);
	autoclose int deny = cgroup_open_file(h, h->payload, "devices.deny", O_WRONLY);
	if (allow < 0 || deny < 0)
		return bv_fail(err, allow < 0 ? allow : deny, "cannot open devices.allow and devices.deny in %s/%s: %s",
			       h->mount, h->payload, strerror(allow < 0 ? -allow : -deny));

	int r = 0;
	if (list->allowlist)
		r = write_device(h, deny, "devices.deny", "a", err);
	else if (list->reset)
		r = write_device(h, allow, "devices.allow", "a", err);
	for (size_t i = 0; i < list->n && r == 0; i++) {
		if (list->v[i].allow != list->allowlist) {
			warn_unexpressible(list, i);
			continue;
		}
		char rule[64];
		cgroup_device_format(&list->v[i], rule);
		r = list->allowlist ? write_device(h, allow, "devices.allow", rule, err)
				    : write_device(h, deny, "devices.deny", rule, err);
	}
	return r;
}

/* ---- statistics ---- */

static uint64_t read_number(const struct cgroup_hier *h, const char *file)
{
	char buf[64];
	uint64_t v;
	if (cgroup_read(h, h->payload, file, buf, sizeof(buf)) <= 0 || bv_parse_u64(buf, &v) < 0)
		return UINT64_MAX;
	return v;
}

/* cpuacct.stat counts in USER_HZ ticks. */
static void read_cpu_modes(const struct cgroup_hier *h, struct bv_cgroup_stats *ret)
{
	char buf[256];
	uint64_t user, system;
	long hz = sysconf(_SC_CLK_TCK);
	if (cgroup_read(h, h->payload, "cpuacct.stat", buf, sizeof(buf)) <= 0 || hz <= 0 ||
	    sscanf(buf, "user %" SCNu64 " system %" SCNu64, &user, &system) != 2)
		return;
	ret->cpu_user_ns = user * (UINT64_C(1000000000) / (uint64_t)hz);
	ret->cpu_system_ns = system * (UINT64_C(1000000000) / (uint64_t)hz);
}

static void read_memory(const struct cgroup_hier *h, struct bv_cgroup_stats *ret)
{
	ret->memory = read_number(h, "memory.usage_in_bytes");
	ret->kernel_memory = read_number(h, "memory.kmem.usage_in_bytes");
	uint64_t with_swap = read_number(h, "memory.memsw.usage_in_bytes");
	/* Two reads at two moments: a process may have grown in between. */
	if (with_swap != UINT64_MAX && ret->memory != UINT64_MAX)
		ret->swap = with_swap > ret->memory ? with_swap - ret->memory : 0;
}

/* Lines "8:0 Read 4096" .. and "Total 4096". */
static void read_blkio(const struct cgroup_hier *h, const char *recursive, const char *own, uint64_t *reads,
		       uint64_t *writes, uint64_t *total)
{
	char buf[16384];
	ssize_t n = cgroup_read(h, h->payload, recursive, buf, sizeof(buf));
	if (n == -ENOENT)
		n = cgroup_read(h, h->payload, own, buf, sizeof(buf));
	if (n < 0)
		return;
	*reads = *writes = *total = 0;
	for (char *save, *line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		uint64_t v;
		if (sscanf(line, "%*u:%*u Read %" SCNu64, &v) == 1)
			*reads += v;
		else if (sscanf(line, "%*u:%*u Write %" SCNu64, &v) == 1)
			*writes += v;
		else if (sscanf(line, "Total %" SCNu64, &v) == 1)
			*total = v;
	}
}

/* The kernel's word for "no limit" is the largest multiple of the page size below 2^63. */
static uint64_t limit(uint64_t v)
{
	return v >= (UINT64_C(1) << 62) ? UINT64_MAX : v;
}

static unsigned int v1_stats(const struct cgroup_hier *h, unsigned int what, struct bv_cgroup_stats *ret)
{
	unsigned int done = 0;
	if (cgroup_list_has(h->controllers, "cpuacct")) {
		if (what & BV_STATS_CPU)
			ret->cpu_ns = read_number(h, "cpuacct.usage");
		if (what & BV_STATS_CPU_MODES)
			read_cpu_modes(h, ret);
		done |= BV_STATS_CPU | BV_STATS_CPU_MODES;
	}
	if (cgroup_list_has(h->controllers, "memory")) {
		if (what & BV_STATS_MEMORY)
			read_memory(h, ret);
		if (what & BV_STATS_LIMITS)
			ret->memory_limit = limit(read_number(h, "memory.limit_in_bytes"));
		done |= BV_STATS_MEMORY | BV_STATS_LIMITS;
	}
	if (cgroup_list_has(h->controllers, "blkio")) {
		uint64_t reads, writes;
		if (what & BV_STATS_BLKIO) {
			read_blkio(h, "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes",
				   &ret->blkio_read, &ret->blkio_write, &ret->blkio_total);
			read_blkio(h, "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced", &reads,
				   &writes, &ret->blkio_ops);
		}
		done |= BV_STATS_BLKIO;
	}
	if (cgroup_list_has(h->controllers, "pids")) {
		if (what & BV_STATS_PIDS)
			ret->pids = read_number(h, "pids.current");
		if (what & BV_STATS_LIMITS)
			ret->pids_limit = read_number(h, "pids.max"); /* "max" is no number */
		done |= BV_STATS_PIDS | BV_STATS_LIMITS;
	}
	return done;
}

static const char *const v1_delegated[] = { "tasks", "cgroup.procs", NULL };

const struct cgroup_backend cgroup_v1 = {
	.v2 = false,
	.procs = "cgroup.procs",
	.prepare = v1_prepare,
	.open_entry = v1_open_entry,
	.enter = v1_enter,
	.leave = v1_leave,
	.populated = v1_populated,
	.write_frozen = v1_write_frozen,
	.is_frozen = v1_is_frozen,
	.apply_devices = v1_apply_devices,
	.stats = v1_stats,
	.delegated = v1_delegated,
};
