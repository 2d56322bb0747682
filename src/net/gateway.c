/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "net/link.h"

struct primary {
	int index;
	bool found, global;
	struct bv_address address;
};

/* The first address that is not a secondary one; a global one wins over link-local. */
static int read_primary(const struct nlmsghdr *h, void *to)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(h);
	struct primary *p = to;
	bool global = info->ifa_scope == RT_SCOPE_UNIVERSE;

	if ((int)info->ifa_index != p->index || info->ifa_family != p->address.family ||
	    (info->ifa_flags & IFA_F_SECONDARY && info->ifa_family == AF_INET) || (p->found && (p->global || !global)))
		return 0;
	const void *address = bv_nl_own_address(h);
	if (!address)
		return 0;
	memcpy(p->address.bytes, address, bv_nl_address_size(info->ifa_family));
	p->address.prefix = info->ifa_prefixlen;
	p->found = true;
	p->global = global;
	return 0;
}

int bv_gateway_of(struct bv_nl *nl, int family, const struct bv_net_link *l, struct bv_address *ret,
		  struct bv_error *err)
{
	struct primary p = { .index = l->parent_facts.index, .address.family = family };
	struct ifaddrmsg *m = bv_nl_begin(nl, RTM_GETADDR, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "list the addresses", .preposition = "of",
							       .link = l->parent });

	m->ifa_family = (uint8_t)family;
	int rc = bv_nl_dump(nl, read_primary, &p, err);
	if (rc < 0)
		return rc;
	if (!p.found)
		return bv_fail(err, ENOENT, "\"%s\" has no %s address that lxc.net.%u.%s.gateway = auto could take",
			       l->parent, family == AF_INET ? "IPv4" : "IPv6", l->index,
			       family == AF_INET ? "ipv4" : "ipv6");
	*ret = p.address;
	return 0;
}

static bool same_subnet(const uint8_t *a, const uint8_t *b, unsigned int prefix)
{
	unsigned int whole = prefix / 8, rest = prefix % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

bool bv_gateway_on_link(const struct bv_address *gateway, const struct bv_address_list *addresses)
{
	if (gateway->family == AF_INET6 && gateway->bytes[0] == 0xfe && (gateway->bytes[1] & 0xc0) == 0x80)
		return true;
	for (size_t i = 0; i < addresses->n; i++)
		if (same_subnet(gateway->bytes, addresses->v[i].bytes, addresses->v[i].prefix))
			return true;
	return false;
}

void bv_route_put(struct bv_nl *nl, uint16_t type, int index, const struct bv_address *dest,
		  const struct bv_address *gateway, struct bv_nl_note note)
{
	uint16_t flags = type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	struct rtmsg *m = bv_nl_begin(nl, type, flags, sizeof(*m), note);

	m->rtm_family = (uint8_t)dest->family;
	m->rtm_dst_len = dest->prefix;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = RTPROT_BOOT;
	m->rtm_scope = gateway || dest->family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	m->rtm_type = RTN_UNICAST;
	if (dest->prefix) {
		/* The kernel wants no bits beyond the prefix. */
		uint8_t net[16] = { 0 };
		memcpy(net, dest->bytes, (dest->prefix + 7) / 8);
		if (dest->prefix % 8)
			net[dest->prefix / 8] &= (uint8_t)(0xff << (8 - dest->prefix % 8));
		bv_nl_put(nl, RTA_DST, net, bv_nl_address_size(dest->family));
	}
	if (gateway)
		bv_nl_put(nl, RTA_GATEWAY, gateway->bytes, bv_nl_address_size(gateway->family));
	bv_nl_put_u32(nl, RTA_OIF, (uint32_t)index);
}
