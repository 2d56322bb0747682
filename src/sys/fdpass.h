/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* The most that one message carries here; the kernel's own limit is 253 (SCM_MAX_FD). */
enum { BV_FDS_MAX = 80 };

/* One message with `n` fds along (SCM_RIGHTS). Never raises SIGPIPE; `flags` as sendmsg. 0 or -errno. */
int bv_fds_send(int sock, const void *data, size_t len, const int *fds, size_t n, int flags);

/*
 * Receive one message of up to `len` bytes, and up to *n fds into `fds` (close-on-exec; more are closed): *n becomes
 * their number. The length, 0 at the end of the stream, or -errno (never -EINTR).
 */
ssize_t bv_fds_receive(int sock, void *data, size_t len, int *fds, size_t *n);
