/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "util/num.h"

/* LXC's default when no prefix is given: the address's class, 32 for what belongs to none of A, B, C. */
static uint8_t classful_prefix(const uint8_t *bytes)
{
	if (bytes[0] < 128)
		return 8;
	if (bytes[0] < 192)
		return 16;
	return bytes[0] < 224 ? 24 : 32;
}

static void compute_broadcast(struct bv_address *a)
{
	uint32_t ip, host = a->prefix ? (UINT32_C(1) << (32 - a->prefix)) - 1 : UINT32_MAX;
	memcpy(&ip, a->bytes, sizeof(ip));
	ip |= htonl(host);
	memcpy(a->broadcast, &ip, sizeof(ip));
	a->has_broadcast = true;
}

static int parse_broadcast(const char *text, struct bv_address *a, struct bv_error *err)
{
	if (inet_pton(AF_INET, text, a->broadcast) != 1)
		return bv_fail(err, EINVAL, "\"%s\" is not an IPv4 broadcast address", text);
	a->has_broadcast = true;
	return 0;
}

int bv_address_parse(int family, const char *text, struct bv_address *ret, struct bv_error *err)
{
	const unsigned int max = family == AF_INET ? 32 : 128;
	const char *kind = family == AF_INET ? "IPv4" : "IPv6";
	struct bv_address a = { .family = family };
	char copy[128];

	size_t len = strlen(text);
	if (len >= sizeof(copy))
		return bv_fail(err, EINVAL, "\"%.60s...\" is not an %s address", text, kind);
	memcpy(copy, text, len + 1);

	char *broadcast = strpbrk(copy, " \t");
	if (broadcast) {
		*broadcast++ = '\0';
		broadcast += strspn(broadcast, " \t");
		if (family != AF_INET)
			return bv_fail(err, EINVAL, "\"%s\": an IPv6 address has no broadcast address", text);
	}
	char *prefix = strchr(copy, '/');
	if (prefix)
		*prefix++ = '\0';
	if (inet_pton(family, copy, a.bytes) != 1)
		return bv_fail(err, EINVAL, "\"%s\" is not an %s address", copy, kind);

	if (prefix) {
		uint32_t bits;
		if (bv_parse_u32(prefix, &bits) < 0 || bits > max)
			return bv_fail(err, EINVAL, "\"%s\": the prefix of an %s address is 0 to %u", text, kind, max);
		a.prefix = (uint8_t)bits;
	} else {
		a.prefix = family == AF_INET ? classful_prefix(a.bytes) : 64;
	}

	int r = 0;
	if (broadcast && *broadcast)
		r = parse_broadcast(broadcast, &a, err);
	else if (family == AF_INET && a.prefix < 31)
		compute_broadcast(&a);
	if (r == 0)
		*ret = a;
	return r;
}

char *bv_address_format(const struct bv_address *a, bool with_prefix, char *buf, size_t size)
{
	if (!inet_ntop(a->family, a->bytes, buf, (socklen_t)size)) {
		buf[0] = '\0';
		return buf;
	}
	size_t used = strlen(buf);
	if (with_prefix)
		snprintf(buf + used, size - used, "/%u", a->prefix);
	return buf;
}
