/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/*
 * cgroups, v2 first; v1 and hybrid hosts as well.
 *
 * A struct bv_cgroup is the place of one instance in every hierarchy of the host: its payload cgroup, where the
 * instance runs and is limited, and its monitor cgroup. Names as LXC's: lxc.payload.NAME and lxc.monitor.NAME below
 * the starter's cgroup root (`lxc.cgroup.dir*`, `lxc.cgroup.relative` and lxc.conf's lxc.cgroup.pattern change that;
 * -1, -2 .. is appended when the name is taken by a cgroup that has processes; an empty left-over is reused).
 *
 * Two back-ends, v2 and v1, are structs of function pointers in files of their own; a hybrid host uses both. A host is
 * looked at once (mounts from /proc/self/mountinfo or by statfs of /sys/fs/cgroup, own place from /proc/self/cgroup).
 *
 * Speed (facts/performance.md section 0): no pid of another process is ever written to cgroup.procs on the way to a
 * start. On v2 the child is born inside (clone3 with CLONE_INTO_CGROUP, fd from bv_cgroup_clone_fd); on v1 the
 * single-threaded child writes "0" into the `tasks` files whose fds were opened before the clone
 * (bv_cgroup_enter_self, async-signal-safe). Directories are opened once and used by fd.
 */
struct bv_cgroup;

struct bv_cgroup_spec {
	const struct bv_config *config;
	const char *name;    /* of the instance */
	const char *pattern; /* lxc.cgroup.pattern, or NULL */
	bool with_monitor;   /* make the monitor cgroup too */
};

/*
 * Make the cgroups and apply the limits (devices rules first). A key of one version on a host of the other is
 * translated where a counterpart exists, else refused with the reason and the key to use; a controller or file that
 * the host does not have is an error that names both. All or nothing: on failure what was made is gone.
 */
int bv_cgroup_create(struct bv_cgroup **ret, const struct bv_cgroup_spec *spec, struct bv_error *err);

/* The v2 payload directory for CLONE_INTO_CGROUP, or -1 when there is no v2 hierarchy. Owned by the cgroup. */
int bv_cgroup_clone_fd(const struct bv_cgroup *cg);
/* The same for the monitor's cgroup. */
int bv_cgroup_monitor_clone_fd(const struct bv_cgroup *cg);

/*
 * Move the calling, single-threaded process into the payload (monitor) cgroups of all v1 hierarchies, and on v2 too
 * unless `born_inside`. Only open fds and write(2): safe after fork. 0 or -errno.
 */
int bv_cgroup_enter_self(const struct bv_cgroup *cg, bool born_inside);
int bv_cgroup_enter_self_monitor(const struct bv_cgroup *cg, bool born_inside);

/* Close the fds that are needed for entering only, once the instance runs (the monitor keeps as few fds as it can). */
void bv_cgroup_seal(struct bv_cgroup *cg);

/*
 * Where the cgroups are, as lines "HIERARCHY PAYLOAD MONITOR\n" for the run directory's state, and back: everything
 * below works on a cgroup that was opened from such text by another process. HIERARCHY is "unified" or the v1
 * controller list; paths are relative to the hierarchy's mount; MONITOR is "-" when there is none.
 * bv_cgroup_open opens nothing but what a call needs, when it needs it.
 */
char *bv_cgroup_describe(const struct bv_cgroup *cg);
int bv_cgroup_open(struct bv_cgroup **ret, const char *description, struct bv_error *err);
void bv_cgroup_free(struct bv_cgroup *cg); /* closes; removes nothing */
void bv_cgroup_freep(struct bv_cgroup **cg);

/* Kill whatever is still in the payload (cgroup.kill, else freeze-kill-thaw), wait up to `timeout_ms`. 0 or -errno. */
int bv_cgroup_kill(struct bv_cgroup *cg, int timeout_ms, struct bv_error *err);

/* Remove the payload cgroups and all below them; what is gone already is fine. -EBUSY names the directory. */
int bv_cgroup_remove_payload(struct bv_cgroup *cg, struct bv_error *err);
int bv_cgroup_remove_monitor(struct bv_cgroup *cg, struct bv_error *err);
/* The single-threaded caller leaves the monitor cgroups for their parents, so that they can be removed. */
int bv_cgroup_leave_monitor(struct bv_cgroup *cg);

/* Freeze or thaw all processes and wait until it is so. `timeout_ms` as above. */
int bv_cgroup_freeze(struct bv_cgroup *cg, bool freeze, int timeout_ms, struct bv_error *err);
/* 1 frozen, 0 not, -errno. */
int bv_cgroup_is_frozen(struct bv_cgroup *cg);

/* UINT64_MAX: the host cannot tell. Bytes, nanoseconds, operations. */
struct bv_cgroup_stats {
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
	uint64_t memory, memory_limit, swap, kernel_memory;
	uint64_t blkio_read, blkio_write, blkio_total, blkio_ops;
	uint64_t pids, pids_limit;
};

/*
 * v2: cpu.stat, memory.current less inactive_file of memory.stat is NOT used: memory is anon+file as LXC 7 counts,
 * kernel memory is kernel_stack+pagetables+sock+slab, io.stat. v1: cpuacct.usage, memory.usage_in_bytes,
 * memory.kmem.usage_in_bytes, blkio.throttle.io_service_bytes. `what` are BV_STATS_* bits: nothing else is read.
 */
enum { BV_STATS_CPU = 1, BV_STATS_MEMORY = 2, BV_STATS_BLKIO = 4, BV_STATS_PIDS = 8, BV_STATS_ALL = 15 };
int bv_cgroup_stats(struct bv_cgroup *cg, unsigned int what, struct bv_cgroup_stats *ret);

/*
 * Read or write a cgroup file by its name ("memory.max", "memory.limit_in_bytes"): the hierarchy that has it is found
 * by the name. `devices.allow` and `devices.deny` rebuild the v2 program. *ret is malloc'ed, as the kernel gave it.
 */
int bv_cgroup_get(struct bv_cgroup *cg, const char *file, char **ret, struct bv_error *err);
int bv_cgroup_set(struct bv_cgroup *cg, const char *file, const char *value, struct bv_error *err);

/*
 * What lxc.mount.auto's cgroup entry needs: the mounted hierarchies of the host. `name` is "unified" or the v1
 * mount's directory name below /sys/fs/cgroup ("cpu,cpuacct"), `mountpoint` where it is on the host, `payload` the
 * instance's path in it (NULL when the instance has none there).
 */
struct bv_cgroup_hierarchy {
	const char *name, *mountpoint, *controllers, *payload;
	bool v2;
};
size_t bv_cgroup_hierarchies(const struct bv_cgroup *cg, const struct bv_cgroup_hierarchy **ret);

/* True when the host has v2 alone (mounted on /sys/fs/cgroup itself). */
bool bv_cgroup_host_is_v2_only(const struct bv_cgroup *cg);

/*
 * A process of another instance's caller (lxc-attach): the fds through which the child that is to be attached enters
 * the payload's cgroups are opened by this; then bv_cgroup_clone_fd and bv_cgroup_enter_self serve as at a start.
 */
int bv_cgroup_prepare_enter(struct bv_cgroup *cg, struct bv_error *err);
