/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "util/str.h"

/* ---- the parent ---- */

static void read_bridge(const struct nlattr *data, struct bv_net_parent *p)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data)
	{
		if (mnl_attr_get_type(a) == IFLA_BR_VLAN_FILTERING && mnl_attr_validate(a, MNL_TYPE_U8) >= 0)
			p->vlan_filtering = mnl_attr_get_u8(a);
		if (mnl_attr_get_type(a) == IFLA_BR_VLAN_DEFAULT_PVID && mnl_attr_validate(a, MNL_TYPE_U16) >= 0)
			p->default_pvid = mnl_attr_get_u16(a);
	}
}

static void read_linkinfo(const struct nlattr *info, struct bv_net_parent *p)
{
	const struct nlattr *a, *data = NULL;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			snprintf(p->kind, sizeof(p->kind), "%s", mnl_attr_get_str(a));
		if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
			data = a;
	}
	if (data && bv_streq(p->kind, "bridge"))
		read_bridge(data, p);
}

static int read_parent(const struct nlmsghdr *h, void *to)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(h);
	struct bv_net_parent *p = to;
	const struct nlattr *a;

	p->index = info->ifi_index;
	mnl_attr_for_each(a, h, sizeof(*info))
	{
		if (mnl_attr_get_type(a) == IFLA_MTU && mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			p->mtu = mnl_attr_get_u32(a);
		if (mnl_attr_get_type(a) == IFLA_LINKINFO)
			read_linkinfo(a, p);
	}
	return 0;
}

int bv_link_parent_find(struct bv_nl *nl, const char *name, struct bv_net_parent *ret, struct bv_error *err)
{
	*ret = (struct bv_net_parent){ 0 };
	bv_nl_begin(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "look at the network link", .link = name, .preposition = NULL });
	bv_nl_put_str(nl, IFLA_IFNAME, name);
	bv_nl_put_u32(nl, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return bv_nl_get(nl, read_parent, ret, err);
}

/* ---- the link ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int bv_link_mac(const struct bv_nic *nic, uint8_t mac[6], struct bv_error *err)
{
	const char *s = nic->hwaddr;

	if (!s || !*s)
		return 0;
	for (int i = 0; i < 6; i++, s += 3) {
		int high = hex_digit(s[0]), low = high < 0 ? -1 : hex_digit(s[1]);
		if (low < 0 || s[2] != (i < 5 ? ':' : '\0'))
			return bv_fail(err, EINVAL, "lxc.net.%u.hwaddr = %s is no MAC address (six bytes in hex with "
				       "colons)", nic->index, nic->hwaddr);
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (mac[0] & 1) {
		bv_fail(err, EINVAL, "lxc.net.%u.hwaddr = %s is a multicast address, a link needs a unicast one",
			nic->index, nic->hwaddr);
		return bv_hint(err, "make the second digit even");
	}
	return 1;
}

void bv_link_put_target(struct bv_net_host *h)
{
	if (h->netns_fd >= 0)
		bv_nl_put_u32(&h->nl, IFLA_NET_NS_FD, (uint32_t)h->netns_fd);
	else
		bv_nl_put_u32(&h->nl, IFLA_NET_NS_PID, (uint32_t)h->pid);
}

int bv_link_begin(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err)
{
	uint8_t mac[6];
	int rc = bv_link_mac(nic, mac, err);

	if (rc < 0)
		return rc;
	bv_nl_begin(&h->nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "make a link", .preposition = "on", .link = l->parent });
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->name);
	bv_nl_put_u32(&h->nl, IFLA_LINK, (uint32_t)l->parent_facts.index);
	bv_link_put_target(h);
	if (nic->mtu)
		bv_nl_put_u32(&h->nl, IFLA_MTU, nic->mtu);
	if (rc > 0)
		bv_nl_put(&h->nl, IFLA_ADDRESS, mac, sizeof(mac));
	return 0;
}

int bv_link_commit(struct bv_net_host *h, const struct bv_net_link *l, const char *kind, const char *option,
		   struct bv_error *err)
{
	struct bv_error cause = { 0 };
	int rc = bv_nl_flush(&h->nl, &cause);

	if (rc == 0)
		return 0;
	if (rc == -EOPNOTSUPP && strstr(cause.what, "nknown device type")) {
		bv_fail(err, EOPNOTSUPP, "this kernel has no %s links (%s), which lxc.net.%u.type asks for", kind,
			option, l->index);
		return bv_hint(err, "try: modprobe %s; or use lxc.net.%u.type = veth",
			       l->type == BV_NET_VLAN ? "8021q" : kind, l->index);
	}
	bv_fail(err, rc, "lxc.net.%u (%s): %s", l->index, kind, cause.what);
	if (rc == -EBUSY && l->type != BV_NET_VLAN)
		return bv_hint(err, "\"%s\" may be a bridge port or carry a link of another kind; see: ip -d link "
			       "show %s", l->parent, l->parent);
	return rc;
}
