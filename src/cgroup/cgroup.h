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
	bool without_devices; /* don't apply devices.*: a VM's VMM opens /dev/kvm, the guest's devices are its own */
};

/*
 * Make the cgroups and apply the limits (devices rules first). A key of one version on a host of the other is
 * translated where a counterpart exists, else refused with the reason and the key to use; a controller or file that
 * the host does not have is an error that names both. All or nothing: on failure what was made is gone.
 */
int bv_cgroup_create(struct bv_cgroup **ret, const struct bv_cgroup_spec *spec, struct bv_error *err);

/*
 * The v2 payload directory for CLONE_INTO_CGROUP, or -1 when there is no v2 hierarchy. Owned by the cgroup.
 * (CLONE_NEWCGROUP in the same clone3 makes the caller's cgroup the root of the namespace, not the new one: the child
 * unshares its cgroup namespace itself, once it is in all hierarchies.)
 */
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
 * Give the payload cgroup to another user, so that a process of that user can make cgroups below it: the directory and
 * the files that delegation means, no limits. bv_cgroup_create does so itself when root starts an id-mapped instance.
 */
int bv_cgroup_delegate(struct bv_cgroup *cg, uid_t uid, gid_t gid, struct bv_error *err);

/*
 * Where the cgroups are, as text for the run directory's state, and back: everything below works on a cgroup that was
 * opened from such text by another process. A line for each hierarchy, v2 first: "NAME CONTROLLERS MOUNTPOINT PAYLOAD
 * MONITOR INNER MADE\n". CONTROLLERS is "unified" for v2; PAYLOAD and MONITOR are relative to the mount; INNER is
 * lxc.cgroup.dir.container.inner; MADE the topmost directory above them that was made for them; "-" is none.
 * bv_cgroup_open opens nothing and asks nothing of the host; a call opens what it needs when it needs it. From an empty
 * text it looks at the host and gives an object without an instance, for bv_cgroup_hierarchies alone; of v2,
 * `controllers` then are those that the host has there ("cpu io memory").
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
/*
 * As fork(2), but the child is outside of the monitor cgroups that the caller is in: born in the parent of the v2 one,
 * where leaving would wait for an RCU grace period, and moved out of those of v1, where it does not. -ENOTSUP where
 * that is no gain (no v2 monitor cgroup), else -errno.
 */
pid_t bv_cgroup_fork_outside(struct bv_cgroup *cg);

/* Freeze or thaw all processes and wait until it is so. `timeout_ms` as above. */
int bv_cgroup_freeze(struct bv_cgroup *cg, bool freeze, int timeout_ms, struct bv_error *err);
/* 1 frozen, 0 not, -errno. */
int bv_cgroup_is_frozen(struct bv_cgroup *cg);

/* UINT64_MAX: not asked for, the host cannot tell, or (limits) no limit. Bytes, nanoseconds, operations. */
struct bv_cgroup_stats {
	uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
	uint64_t memory, memory_limit, swap, kernel_memory;
	uint64_t blkio_read, blkio_write, blkio_total, blkio_ops;
	uint64_t pids, pids_limit;
};

/*
 * `what` are BV_STATS_* bits: nothing else is read. From v2: cpu.stat, memory.stat, memory.swap.current, io.stat,
 * pids.current. From v1, for the controllers that are there: cpuacct.usage, memory.usage_in_bytes,
 * memory.kmem.usage_in_bytes, memory.memsw.usage_in_bytes less the memory, blkio.throttle.* (with nested cgroups),
 * pids.current.
 * On v2 `memory` is anon + file of memory.stat, as LXC 7 prints it. That is less than memory.current, which counts the
 * kernel's memory too: of this, `kernel_memory` is kernel_stack + pagetables + sock + slab.
 */
enum {
	BV_STATS_CPU = 1,        /* cpu_ns */
	BV_STATS_MEMORY = 2,     /* memory, swap, kernel_memory */
	BV_STATS_BLKIO = 4,
	BV_STATS_PIDS = 8,       /* pids */
	BV_STATS_CPU_MODES = 16, /* cpu_user_ns, cpu_system_ns (of v1 a file more) */
	BV_STATS_LIMITS = 32,    /* memory_limit, pids_limit */
	BV_STATS_ALL = 63,
};
int bv_cgroup_stats(struct bv_cgroup *cg, unsigned int what, struct bv_cgroup_stats *ret);

/*
 * Read or write a cgroup file by its name ("memory.max", "memory.limit_in_bytes"): the hierarchy that has it is found
 * by the name. The other version's name for the same thing works too where there is one (table in cgroup/translate.c):
 * a value that is written is translated, one that is read is as the kernel gave it. `devices.allow` and `devices.deny`
 * rebuild the v2 program, whose rules "devices.list" shows. *ret is malloc'ed.
 */
int bv_cgroup_get(struct bv_cgroup *cg, const char *file, char **ret, struct bv_error *err);
int bv_cgroup_set(struct bv_cgroup *cg, const char *file, const char *value, struct bv_error *err);

/*
 * What lxc.mount.auto's cgroup entry needs: the mounted hierarchies of the host. `name` is "unified" or the v1
 * mount's directory name below /sys/fs/cgroup ("cpu,cpuacct"), `mountpoint` where it is on the host, `payload` the
 * instance's path in it, without a leading slash (NULL when the instance has none there).
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

/*
 * At a reboot: empty and make anew the payload cgroups under their old names, with the limits of `cfg`, ready to be
 * entered again (bv_cgroup_clone_fd, bv_cgroup_enter_self). The monitor's cgroups stay. `without_devices` as in the
 * spec.
 */
int bv_cgroup_renew(struct bv_cgroup *cg, const struct bv_config *cfg, bool without_devices, struct bv_error *err);
