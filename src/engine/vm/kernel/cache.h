/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>

#include "util/error.h"

/*
 * BV_CACHEDIR/vm, 0700: files under the name of their content's hash. Private to initramfs.c. Nothing here fails a
 * start: what cannot be kept is made again, and the log has why.
 */
struct bv_vm_cache {
	int dir; /* -1: there is none */
};

/* Makes the directory when it is not there. */
void bv_vm_cache_open(struct bv_vm_cache *c);
void bv_vm_cache_close(struct bv_vm_cache *c);

/* The file, marked as used today, and its size; -1: it is not there. */
int bv_vm_cache_get(const struct bv_vm_cache *c, const char *name, size_t *size);

/*
 * Keep the first `size` bytes of `from`. Files that nobody used for 30 days are removed before, and the oldest while
 * all are more than 1 GiB: the owner of a rootfs with a kernel in it can have a new one made with each start.
 */
void bv_vm_cache_put(const struct bv_vm_cache *c, const char *name, int from, size_t size);
