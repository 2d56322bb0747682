/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Paths are taken relative to `dirfd` (AT_FDCWD for the working directory). All fds are O_CLOEXEC. */

/*
 * The whole file as a NUL-terminated string in *ret (malloc'ed); *ret_len, if given, is its length without the NUL.
 * Works on /proc, /sys and cgroup files, whose size says 0. -EFBIG beyond `max` bytes (0: 16 MiB), else -errno.
 */
int bv_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len);

/*
 * One small kernel file (a cgroup or /proc value) into `buf`, NUL-terminated, trailing newlines cut.
 * Returns the length or -errno. Three system calls.
 */
ssize_t bv_read_small(int dirfd, const char *path, char *buf, size_t size);

/* Write `text` to an existing file in one write(2) (kernel interfaces want that). 0 or -errno. */
int bv_write_small(int dirfd, const char *path, const char *text);

/*
 * Put `len` bytes into `path` so that a crash leaves either the old or the new content: a temporary file beside it,
 * fsync when `sync`, rename. `mode` is exact, whatever the umask is. 0 or -errno.
 */
int bv_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, bool sync);

/* write(2) until all is out. 0 or -errno. */
int bv_write_all(int fd, const void *data, size_t len);

/* mkdir -p. `path` is a host path that the administrator chose, never one inside a rootfs. 0 or -errno. */
int bv_mkdir_p(int dirfd, const char *path, mode_t mode);

/*
 * Remove the tree `path` below `dirfd`, itself included, by fd and without following links or leaving the file
 * system that it starts on (what is mounted below is an error, -EBUSY, never emptied). 0 or -errno; -ENOENT is 0.
 */
int bv_remove_tree(int dirfd, const char *path);
