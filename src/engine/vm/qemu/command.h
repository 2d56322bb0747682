/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/vm/spec.h"
#include "util/error.h"
#include "util/str.h"

/*
 * QEMU's command line. It has paths only of what the jail has, and the numbers of fds that QEMU inherits; with every fd
 * at -1 (lxc-start --print-command) placeholders stand in their place and the line is one to read.
 */
struct bv_qemu_files {
	const char *kernel, *initrd;          /* paths inside the jail: "/kernel", "/initrd" */
	int console;                          /* slave of the console's pty, -1 none */
	int ttys[BV_VM_TTYS_MAX];             /* slaves of tty1.. */
	int qmp, agent;                       /* our socket pairs' other ends */
	int share_root, share_mounts;         /* virtiofs: connected to the file server; -1 not wanted */
	const char *root_9p, *mounts_9p;      /* 9p: directories inside the jail; NULL not wanted */
	int disk;                             /* blk: the image or device; -1 */
	int taps[BV_VM_NICS_MAX][BV_VM_QUEUES_MAX];
	int vhosts[BV_VM_NICS_MAX][BV_VM_QUEUES_MAX];
};

/* A struct with every fd at -1. */
void bv_qemu_files_init(struct bv_qemu_files *files);

/* The program: "qemu-system-x86_64", in PATH's usual places. -ENOENT: the hint names the package. malloc'ed. */
int bv_qemu_find(const char *arch, char **ret, struct bv_error *err);

/*
 * argv, the program's path first. `print` gives the form to read: "fd=TAP0" in place of numbers. Everything is decided
 * by the spec; the same spec gives the same line.
 */
int bv_qemu_command(struct bv_strv *argv, const char *program, const struct bv_vm_spec *spec,
		    const struct bv_qemu_files *files, bool print, struct bv_error *err);
