/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/*
 * The only number parsers. The whole text must be the number: no blanks, no sign for unsigned, no rest. Base 0 rules
 * of C (0x.., leading 0 is octal), as LXC reads its config. 0, -EINVAL or -ERANGE; *ret is set on success only.
 */
int bv_parse_u64(const char *text, uint64_t *ret);
int bv_parse_u32(const char *text, uint32_t *ret);
int bv_parse_i64(const char *text, int64_t *ret);
int bv_parse_int(const char *text, int *ret);
/* "0" or "1" only. */
int bv_parse_bool(const char *text, int *ret);

/*
 * A size: number and an optional unit of B, K, M, G, T (KB, MB, .. and KiB, .. too; any case; 1024-based); a number
 * alone counts in `unit` bytes. -ERANGE when it does not fit.
 */
int bv_parse_size(const char *text, uint64_t unit, uint64_t *ret);
