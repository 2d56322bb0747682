/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/digest.h"

#include <endian.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 12 };

static const uint64_t start_value[8] = {
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

/* Which word of the message goes where, round by round; rounds 10 and 11 are those of 0 and 1. */
static const uint8_t order[10][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
	{ 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 },
	{ 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
	{ 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 },
	{ 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
	{ 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 },
	{ 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
	{ 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 },
	{ 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static uint64_t rotate(uint64_t x, unsigned int n)
{
	return x >> n | x << (64 - n);
}

static void mix(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
	*a += *b + x;
	*d = rotate(*d ^ *a, 32);
	*c += *d;
	*b = rotate(*b ^ *c, 24);
	*a += *b + y;
	*d = rotate(*d ^ *a, 16);
	*c += *d;
	*b = rotate(*b ^ *c, 63);
}

static void compress(struct bv_digest *d, const uint8_t block[128], bool last)
{
	uint64_t m[16], v[16];
	for (size_t i = 0; i < 16; i++) {
		memcpy(&m[i], block + 8 * i, 8);
		m[i] = le64toh(m[i]);
	}
	memcpy(v, d->h, sizeof(d->h));
	memcpy(v + 8, start_value, sizeof(start_value));
	v[12] ^= d->total;
	if (last)
		v[14] = ~v[14];
	for (unsigned int r = 0; r < ROUNDS; r++) {
		const uint8_t *s = order[r % 10];
		for (unsigned int i = 0; i < 4; i++)
			mix(&v[i], &v[4 + i], &v[8 + i], &v[12 + i], m[s[2 * i]], m[s[2 * i + 1]]);
		for (unsigned int i = 0; i < 4; i++)
			mix(&v[i], &v[4 + (i + 1) % 4], &v[8 + (i + 2) % 4], &v[12 + (i + 3) % 4], m[s[8 + 2 * i]],
			    m[s[9 + 2 * i]]);
	}
	for (size_t i = 0; i < 8; i++)
		d->h[i] ^= v[i] ^ v[i + 8];
}

void bv_digest_begin(struct bv_digest *d)
{
	*d = (struct bv_digest){ 0 };
	memcpy(d->h, start_value, sizeof(d->h));
	d->h[0] ^= 0x01010000 ^ BV_DIGEST_BYTES;
}

void bv_digest_add(struct bv_digest *d, const void *data, size_t len)
{
	const uint8_t *p = data;
	while (len > 0) {
		/* The last block is compressed by bv_digest_end() alone, however full it is. */
		if (d->used == sizeof(d->block)) {
			d->total += sizeof(d->block);
			compress(d, d->block, false);
			d->used = 0;
		}
		size_t n = sizeof(d->block) - d->used;
		n = n < len ? n : len;
		memcpy(d->block + d->used, p, n);
		d->used += n;
		p += n;
		len -= n;
	}
}

void bv_digest_end(struct bv_digest *d, char hex[BV_DIGEST_HEX])
{
	memset(d->block + d->used, 0, sizeof(d->block) - d->used);
	d->total += d->used;
	compress(d, d->block, true);
	for (size_t i = 0; i < BV_DIGEST_BYTES; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned int)(d->h[i / 8] >> (8 * (i % 8)) & 0xff));
}
