/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/* Capabilities, id maps, seccomp and LSM labels: prepared by the monitor, applied by the instance's first process. */

/* ---- capabilities (caps.c) ---- */

/* The set an instance keeps: bit n is capability n. lxc.cap.drop and .keep; both given is an error. */
int bv_caps_resolve(const struct bv_config *cfg, uint64_t *keep, struct bv_error *err);

/*
 * Set all five sets of the calling process: what is not in `keep` leaves the bounding set, ambient and inheritable are
 * empty, permitted and effective are what the process had of `keep`. Async-signal-safe.
 */
int bv_caps_apply(uint64_t keep, struct bv_error *err);
/*
 * The same, but permitted and effective hold `until_exec` as well: what a process still needs on its way to the exec
 * (CAP_SYS_ADMIN for a seccomp filter without no_new_privs). As no other set has it, the exec takes it away.
 */
int bv_caps_apply_until_exec(uint64_t keep, uint64_t until_exec, struct bv_error *err);

/*
 * What is permitted becomes effective: after a uid other than 0 was taken with PR_SET_KEEPCAPS, permitted is still
 * there and effective is empty.
 */
int bv_caps_raise_permitted(struct bv_error *err);

/* ---- id maps (idmap.c) ---- */

/* Overlaps, zero ranges, wrap past 2^32, missing u or g part, no mapping for 0 or init's ids: each is an error. */
int bv_idmap_check(const struct bv_config *cfg, struct bv_error *err);
/*
 * Write /proc/PID/uid_map and gid_map (an ordinary user's go through newuidmap and newgidmap). The hint of an EPERM
 * names /etc/subuid.
 */
int bv_idmap_write(const struct bv_config *cfg, pid_t pid, struct bv_error *err);
/* A user namespace fd with the config's maps for MOUNT_ATTR_IDMAP; a helper process is forked and reaped. */
int bv_idmap_userns_fd(const struct bv_config *cfg, struct bv_error *err);
/* The host id of an id inside; UINT32_MAX when it is not mapped. kind 'u' or 'g'. Without id maps it is the same id. */
uint32_t bv_idmap_to_host(const struct bv_config *cfg, char kind, uint32_t ns_id);

/* ---- seccomp (seccomp.c, seccomp_policy.c) ---- */

/* A compiled policy: a BPF program ready for SECCOMP_SET_MODE_FILTER. Owned. */
struct bv_seccomp {
	struct sock_filter *filter;
	unsigned short n;
	bool wants_notify;
};

/* What lxc.seccomp.* asks for: `n` is 0 when there is no profile, or a filter is active already (allow_nesting = 0). */
int bv_seccomp_prepare(struct bv_seccomp *ret, const struct bv_config *cfg, struct bv_error *err);
/*
 * Read a policy file of version 1 or 2 (facts 2.7) and compile it with libseccomp for the native and the compat
 * architectures. The error names file and line. Unknown system call names are skipped with an INFO event.
 */
int bv_seccomp_load(struct bv_seccomp *ret, const char *path, struct bv_error *err);
int bv_seccomp_parse(struct bv_seccomp *ret, const char *text, size_t len, const char *name, struct bv_error *err);
/*
 * Install in the calling process; does not set no_new_privs. *notify_fd is the listener of a policy with notify, else
 * -1; with notify_fd NULL there is none, and the kernel answers ENOSYS to such calls.
 */
int bv_seccomp_apply(const struct bv_seccomp *sc, int *notify_fd, struct bv_error *err);
void bv_seccomp_clear(struct bv_seccomp *sc);

/* ---- Linux security modules (lsm.c) ---- */

enum bv_lsm { BV_LSM_NONE, BV_LSM_APPARMOR, BV_LSM_SELINUX };
/* The module that is active on this host; read once. */
enum bv_lsm bv_lsm_host(void);

/*
 * The label that init (or an attached process) gets, or NULL: unconfined, unchanged, or no LSM (then a key that asks
 * for one is warned about once). lxc.apparmor.profile = generated makes and loads a profile with apparmor_parser; the
 * name is as LXC's. *ret is malloc'ed. `name`, `lxcpath`: of the instance.
 */
int bv_lsm_prepare(const struct bv_config *cfg, const char *name, const char *lxcpath, char **ret,
		   struct bv_error *err);
/* lxc.selinux.context.keyring for the keyrings that the calling process makes; without SELinux nothing happens. */
int bv_lsm_apply_keyring(const struct bv_config *cfg, int proc_fd, struct bv_error *err);
/* Unload a generated profile after the stop. */
void bv_lsm_release(const struct bv_config *cfg, const char *name, const char *lxcpath);
/*
 * Set the label: AppArmor's at once, SELinux's at the next exec. Through `proc_fd`, an O_PATH fd of a procfs that the
 * caller knows to be the kernel's own (fstatfs PROC_SUPER_MAGIC is checked again): never a path inside the rootfs. A
 * parent-death signal is to be set after it.
 */
int bv_lsm_apply(const char *label, int proc_fd, struct bv_error *err);
