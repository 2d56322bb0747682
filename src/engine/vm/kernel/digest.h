/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * BLAKE2b (RFC 7693) without a key, 160 bits: the name of what is in the cache. A hash that can be steered would let
 * who owns a rootfs with a kernel in it put modules under the name of somebody else's.
 */
struct bv_digest {
	uint64_t h[8], total;
	uint8_t block[128];
	size_t used;
};

enum { BV_DIGEST_BYTES = 20, BV_DIGEST_HEX = 2 * BV_DIGEST_BYTES + 1 };

void bv_digest_begin(struct bv_digest *d);
void bv_digest_add(struct bv_digest *d, const void *data, size_t len);
void bv_digest_end(struct bv_digest *d, char hex[BV_DIGEST_HEX]);
