/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/*
 * The walls around the processes that serve a guest. The supervisor is the first process of a pid namespace (so that
 * with it all of them end), in a mount and an ipc namespace of its own; QEMU and the file servers are its children:
 *
 *   file server  an empty network namespace; sees the directory it serves and nothing else; only the capabilities that
 *                files need; with lxc.idmap in a user namespace that has the instance's maps
 *   QEMU         an empty network namespace; a root of its own: the host's /usr and libraries read-only, the kernel,
 *                the initramfs, a /dev of five nodes; a user of its own unless it serves the rootfs itself (9p); no
 *                capability; no_new_privs; its own seccomp sandbox
 *   supervisor   root, but without a network, a device or a file of the host that it could write besides those of
 *                RUN/NAME/guest and the log; two capabilities: to end QEMU, and itself by reboot(2); no_new_privs
 *
 * Everything here runs in the supervisor before it becomes one, or in a child of it between fork and exec; nothing of
 * it is seen outside of the supervisor's mount namespace.
 */

/*
 * The user that QEMU of this instance runs as: a number out of 1879048192..1879113727, by a hash of lxcpath and name.
 * No account, no subordinate range and no dynamic user of systemd lies there.
 */
uid_t bv_jail_uid(const char *lxcpath, const char *name);

/*
 * The caller's mount namespace becomes private, and a tmpfs is put on BV_JAIL_STAGING (made if need be), in which all
 * that follows is put together. -errno.
 */
int bv_jail_stage(struct bv_error *err);

/* A directory of the staging: mount the detached mount `mount_fd` there. `name` "root", "mounts/0", BV_JAIL_GUEST. */
#define BV_JAIL_GUEST "guest"
int bv_jail_put_mount(const char *name, int mount_fd, bool readonly, struct bv_error *err);
/* Its path for the processes that are spawned below ("/run/..."), static storage. */
const char *bv_jail_staging(void);

struct bv_jail_qemu {
	uid_t uid;             /* 0: it serves 9p */
	gid_t gid;
	int kernel, initrd;    /* fds, copied or bound to /kernel and /initrd */
	bool kvm;              /* /dev/kvm is there */
	bool root_9p, mounts_9p; /* the staging's root and mounts are /share/root and /share/mounts */
	const char *program;   /* path of QEMU on the host: its place must be in the jail */
};

/* Put QEMU's root together in the staging. */
int bv_jail_make_qemu_root(const struct bv_jail_qemu *jail, struct bv_error *err);

/*
 * In the child that is to be QEMU: enter it all, close every fd but those of `keep` (which lose close-on-exec), and
 * drop what it must not have. The caller executes next. SIGKILL at the supervisor's death comes with the pid namespace.
 */
int bv_jail_enter_qemu(const struct bv_jail_qemu *jail, const int *keep, size_t n_keep, struct bv_error *err);

/*
 * In the parent of a child that is to be QEMU or a file server: until its exec closes the pipe `failure`, which takes
 * milliseconds, or the child has written into it the struct bv_error that says why there was none.
 */
int bv_jail_wait_for_exec(int failure, struct bv_error *err);

/*
 * In the supervisor, when all that serves the guest is started: the staging becomes its root. *guest_dir is what was
 * put there as BV_JAIL_GUEST.
 */
int bv_jail_leave_host(int *guest_dir, struct bv_error *err);

/*
 * In the supervisor, after that, once the guest runs: the copies of kernel and initramfs go from QEMU's root, and their
 * memory with them. QEMU reads them at its start only.
 */
void bv_jail_forget_boot_files(void);
