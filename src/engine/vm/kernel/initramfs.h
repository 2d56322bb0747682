/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/vm/kernel/kernel.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The initramfs: a cpio archive ("newc") of our own making, in two parts that the kernel unpacks one after the other.
 *   the fixed part   /init (the guest's program, libexec/lxc/bivalve-guest-ARCH), /modules/NNN-NAME.ko in load order,
 *                    and the directories that init mounts on. Where modules are packed (.ko.xz, .ko.zst, .ko.gz), it
 *                    is kept in the cache directory (cache.h) under a name made of the kernel's version and a hash of
 *                    all that is in it, and so it never has to be invalidated. Where none is, to write it anew is
 *                    faster than to hash it. All files together are 256 MiB at most.
 *   the start's part /config and /boot (boot.h)
 */

/* ---- cpio.c ---- */

/* Append one entry. `mode` with its type (S_IFREG, S_IFDIR, S_IFLNK); mtime 0, owner 0, so that equal input gives equal
 * output. `path` without a leading slash. */
void bv_cpio_add(struct bv_buf *b, const char *path, unsigned int mode, const void *data, size_t len);
/*
 * The head of an entry alone: `len` bytes are to follow, padded to a multiple of 4. For a device node (S_IFCHR,
 * S_IFBLK) `major` and `minor` say which.
 */
void bv_cpio_head(struct bv_buf *b, const char *path, unsigned int mode, size_t len, unsigned int major,
		  unsigned int minor);
/* The trailer, padded to 512 bytes. */
void bv_cpio_end(struct bv_buf *b);

/* ---- initramfs.c ---- */

struct bv_initramfs {
	const char *arch;               /* of the guest's program */
	const struct bv_kernel *kernel;
	const struct bv_module_wish *modules;
	size_t n_modules;
	const char *config, *boot;      /* texts */
};

/*
 * The whole as a sealed memfd, readable from its start. -ENOENT: this build has no guest program for `arch` (the hint
 * says how to get one).
 */
int bv_initramfs_make(const struct bv_initramfs *what, struct bv_error *err);
