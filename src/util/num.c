/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/num.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int bv_parse_u64(const char *text, uint64_t *ret)
{
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;

	char *end;
	errno = 0;
	unsigned long long v = strtoull(text, &end, 0);
	if (*end)
		return -EINVAL;
	if (errno)
		return -errno;
	*ret = v;
	return 0;
}

int bv_parse_u32(const char *text, uint32_t *ret)
{
	uint64_t v;
	int r = bv_parse_u64(text, &v);
	if (r < 0)
		return r;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int bv_parse_i64(const char *text, int64_t *ret)
{
	const char *digits = text[0] == '-' ? text + 1 : text;
	if (!isdigit((unsigned char)digits[0]))
		return -EINVAL;

	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 0);
	if (*end)
		return -EINVAL;
	if (errno)
		return -errno;
	*ret = v;
	return 0;
}

int bv_parse_int(const char *text, int *ret)
{
	int64_t v;
	int r = bv_parse_i64(text, &v);
	if (r < 0)
		return r;
	if (v < INT_MIN || v > INT_MAX)
		return -ERANGE;
	*ret = (int)v;
	return 0;
}

int bv_parse_bool(const char *text, int *ret)
{
	if ((text[0] != '0' && text[0] != '1') || text[1])
		return -EINVAL;
	*ret = text[0] - '0';
	return 0;
}

int bv_parse_size(const char *text, uint64_t unit, uint64_t *ret)
{
	static const char units[] = "BKMGT";
	char digits[32];
	size_t n = strspn(text, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return n ? -ERANGE : -EINVAL;
	memcpy(digits, text, n);
	digits[n] = '\0';

	errno = 0;
	uint64_t v = strtoull(digits, NULL, 10);
	if (errno)
		return -errno;

	const char *suffix = text + n;
	if (*suffix == ' ')
		suffix++;
	if (*suffix) {
		const char *u = strchr(units, toupper((unsigned char)suffix[0]));
		if (!u)
			return -EINVAL;
		unit = UINT64_C(1) << (10 * (u - units));
		const char *rest = suffix + 1;
		if (*rest && (u == units || (strcasecmp(rest, "B") != 0 && strcasecmp(rest, "iB") != 0)))
			return -EINVAL;
	}
	return __builtin_mul_overflow(v, unit, ret) ? -ERANGE : 0;
}
