/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"

/*
 * The only way to a path inside a rootfs. `root` is an fd of the rootfs' top directory; `path` is what the config or
 * the distribution says, absolute or not: it is resolved below `root` as if that were "/" (openat2 RESOLVE_IN_ROOT |
 * NO_MAGICLINKS; walked component by component with O_NOFOLLOW where openat2 is missing). EAGAIN of a racing rename is
 * retried a bounded number of times. Never a string path is handed to the kernel for a place inside a rootfs.
 */

/* open(2) below the root; `flags` gets O_CLOEXEC. fd or -errno. */
int bv_rootat_open(int root, const char *path, int flags, mode_t mode);

/* As above with RESOLVE_NO_SYMLINKS: any link on the way is -ELOOP. For /dev and for mount targets. */
int bv_rootat_open_nolinks(int root, const char *path, int flags, mode_t mode);

/*
 * A regular file, to be read. Who filled the rootfs may have put a fifo or a device in its place: nothing else is ever
 * opened, for the open alone of some devices does something (a watchdog starts). fd or -errno; -EINVAL: it is no file.
 */
int bv_rootat_open_file(int root, const char *path);

/* mkdir -p below the root, step by step by fd; existing links are followed inside it. O_PATH fd of the directory. */
int bv_rootat_mkdir_p(int root, const char *path, mode_t mode);

/* An empty file, its parents made (0755); an existing non-directory is fine. O_PATH fd. */
int bv_rootat_touch(int root, const char *path, mode_t mode);

/* Attach the detached mount `mnt` on the directory or file that the O_PATH fd `target` names. 0 or -errno. */
int bv_rootat_attach(int mnt, int target);
