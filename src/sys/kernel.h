/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Kernel interfaces that glibc 2.36 does not wrap, and those whose absence a test must be able to force. Each returns
 * what the system call returns with -errno in place of -1. The environment variable BIVALVE_NO_SYSCALL names calls,
 * separated by commas, that answer -ENOSYS as an older kernel would ("clone3,openat2,mount_setattr"); tests run the
 * fallbacks with it. It is read once, at the first call.
 */
pid_t bv_clone3(struct clone_args *args, size_t size);                            /* Linux 5.3 */
int bv_openat2(int dirfd, const char *path, const struct open_how *how);          /* Linux 5.6 */
int bv_open_tree(int dirfd, const char *path, unsigned int flags);                /* Linux 5.2 */
int bv_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags);
int bv_fsopen(const char *fstype, unsigned int flags);
int bv_fsconfig(int fs_fd, unsigned int cmd, const char *key, const void *value, int aux);
int bv_fsmount(int fs_fd, unsigned int flags, unsigned int attributes);
int bv_mount_setattr(int dirfd, const char *path, unsigned int flags, struct mount_attr *attr, size_t size); /* 5.12 */
int bv_pidfd_open(pid_t pid, unsigned int flags);                                 /* Linux 5.3 */
int bv_pidfd_send_signal(int pidfd, int sig);                                     /* Linux 5.1 */
int bv_close_range(unsigned int first, unsigned int last, unsigned int flags);    /* Linux 5.9 */
int bv_pivot_root(const char *new_root, const char *put_old);
int bv_seccomp(unsigned int operation, unsigned int flags, void *args);

/*
 * A mount of `fstype` that is attached nowhere yet. `options` is a comma-separated list for the file system
 * ("size=500000,mode=755"), `attributes` are MOUNT_ATTR_*. The mount's fd, or a negative errno; on failure the
 * kernel's own message, if it left one, is in `message` (may be NULL).
 */
int bv_fs_mount(const char *fstype, const char *source, const char *options, unsigned int attributes, char *message,
		size_t message_size);

/* Make every fd from `first` on close at exec; falls back to reading /proc/self/fd (before Linux 5.11). 0 or -errno. */
int bv_cloexec_from(int first);

/*
 * Close the `n` fds of `fds`, -1 among them passed over, with as few calls as neighbouring numbers allow; all are -1
 * afterwards.
 */
void bv_close_many(int *fds, size_t n);

/* Is the caller root (by its effective user id, as it was at exec: no system call)? */
bool bv_is_root(void);

/*
 * When process `pid` started, in clock ticks since boot (field 22 of /proc/PID/stat): with the pid it names a process
 * beyond reuse. 0 and *ret, or -ESRCH when there is no such process.
 */
int bv_process_start_time(pid_t pid, uint64_t *ret);

/* A pidfd of `pid` that is known to have started at `start_time`; -ESRCH when it is gone or is another one. */
int bv_pidfd_open_checked(pid_t pid, uint64_t start_time);

/* Wait until the process of `pidfd` ends; `timeout_ms` -1 is for ever. 0, -ETIMEDOUT or -errno. */
int bv_pidfd_wait(int pidfd, int timeout_ms);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t bv_now_ms(void);
