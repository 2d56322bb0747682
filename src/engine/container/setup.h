/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "config/fstab.h"
#include "engine/engine.h"
#include "sys/mountfd.h"
#include "util/error.h"

/*
 * What the instance's first process builds for itself, in its new namespaces, before it executes init: the parts of
 * child.c's table of steps. All of it works on `struct bv_setup`. The process is single-threaded and a copy of the
 * monitor, so it may use the heap; it must not touch the monitor's log file lock or run directory.
 */
struct bv_setup {
	const struct bv_run *run;
	const struct bv_config *config;
	int userns_fd;       /* for MOUNT_ATTR_IDMAP, -1 without id maps */
	bool has_rootfs;     /* false: the host's root is shared, nothing is pivoted */
	int root;            /* fd of the rootfs' top directory (a detached mount until bv_setup_pivot) */
	int host_proc;       /* O_PATH fd of the host's /proc, for safe reads; -1 */
	uint64_t caps_keep;
	/* ptys made inside, to be sent to the monitor */
	int console;         /* master, -1 */
	int ttys[BV_TTYS_MAX];
	unsigned int n_ttys;
	int console_slave;   /* the slave by TIOCGPTPEER: init's stdin, stdout, stderr; -1 */
	char container_ttys[BV_TTYS_MAX * 8]; /* value of $container_ttys: "pts/1 pts/2" */
	/* From bv_setup_mapped_entries, in the entries' order; borrowed. NULL: idmap= of an entry is done in place. */
	const int *mapped_entries;
	size_t n_mapped_entries;
	/* Kept from one part to the next; bv_setup_rootfs sets them. */
	int dev;             /* the instance's /dev: the tmpfs of autodev, else the rootfs' own; -1 */
	bool dev_covered;    /* an entry was mounted on /dev itself */
	bool dev_is_hosts;   /* it is the host's (shared root, or bound): nothing may be made or removed there */
	int proc;            /* the procfs that lxc.mount.auto put on /proc; -1 */
	size_t next_mapped_entry;
};

/* ---- mounts.c ---- */

/*
 * The whole mount tree of the caller becomes private (slave first, so that nothing leaks out), the storage is mounted,
 * lxc.rootfs.options and the id map are applied: afterwards `root` is the fd of the rootfs as a mount that is attached
 * at lxc.rootfs.mount (or the compiled-in place) in this namespace, for hooks to see.
 */
int bv_setup_rootfs(struct bv_setup *s, struct bv_error *err);

/*
 * In the monitor, for a config with id maps: the rootfs as a detached mount, to be handed to the child as `root` before
 * bv_setup_rootfs. Its ids are mapped by `userns_fd` if lxc.rootfs.options says so or its top belongs to the host's
 * root. fd, or -ENOENT: the child does it by itself (no rootfs, a pre-mount hook, an unprivileged user).
 */
int bv_setup_mapped_rootfs(const struct bv_config *cfg, int userns_fd, struct bv_error *err);

/*
 * The same for mount entries with idmap=: one detached mount each, -1 for an optional one that failed. Made
 * before the clone or sent to the child; `userns_fd` may be -1, then a user namespace is made when one is needed. *ret
 * is malloc'ed. Their number, 0 for most configs (then *ret is NULL and nothing was opened), or -errno.
 */
int bv_setup_mapped_entries(const struct bv_config *cfg, int userns_fd, int **ret, struct bv_error *err);

/* lxc.mount.fstab, then lxc.mount.entry: targets by rootat only, options and extras of facts 2.5. */
int bv_setup_mount_entries(struct bv_setup *s, struct bv_error *err);

/* pivot_root into `root` by fd (".", "."), the old root detached; chdir("/"). */
int bv_setup_pivot(struct bv_setup *s, struct bv_error *err);

/* ---- automount.c: lxc.mount.auto (facts 2.5) ---- */

int bv_setup_automounts(struct bv_setup *s, struct bv_error *err);

/* ---- dev.c ---- */

/* With autodev: a tmpfs on /dev (detached first, then attached on a /dev that is no link), with pts and so on made. */
int bv_setup_dev(struct bv_setup *s, struct bv_error *err);
/* After the autodev hook: nodes (mknod, or bind from the host where that is EPERM), links, .lxc-boot-id. */
int bv_setup_dev_nodes(struct bv_setup *s, struct bv_error *err);
/*
 * devpts (newinstance, max= pty.max + tty.max), ptmx, the console and lxc.tty.max ttys by TIOCGPTPEER; bind mounts on
 * /dev/console, /dev/ttyN or below lxc.tty.dir. Fills console, ttys, console_slave, container_ttys.
 */
int bv_setup_ptys(struct bv_setup *s, struct bv_error *err);
