/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * openat2(2) with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS (and RESOLVE_NO_SYMLINKS unless `links`) for kernels before
 * 5.6, in user space: one component after the other with O_NOFOLLOW, links read and resolved below the root, ".." by
 * going back to the directory that was come from. fd or -errno; -EAGAIN when something changed between two looks.
 */
int bv_walk_open(int root, const char *path, int flags, mode_t mode, bool links);
