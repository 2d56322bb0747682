/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/link.h"

/* All of it goes into one batch: two system calls for any number of links, addresses and routes. */

enum { IF_LOOPBACK = 1 };

static void queue_up(struct bv_nl *nl, int index, const char *name)
{
	struct ifinfomsg *m = bv_nl_begin(nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "bring up", .link = name });

	m->ifi_index = index;
	m->ifi_flags = m->ifi_change = IFF_UP;
}

/* A moved link has its old MTU and MAC: the others were made with the right ones. */
static int queue_phys(struct bv_nl *nl, const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err)
{
	uint8_t mac[6];
	int has_mac = bv_link_mac(nic, mac, err);

	if (has_mac <= 0 && !nic->mtu)
		return has_mac;
	struct ifinfomsg *m = bv_nl_begin(nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "set the MAC address or MTU of",
							       .link = l->name });
	m->ifi_index = l->ifindex;
	if (has_mac)
		bv_nl_put(nl, IFLA_ADDRESS, mac, sizeof(mac));
	if (nic->mtu)
		bv_nl_put_u32(nl, IFLA_MTU, nic->mtu);
	return 0;
}

static int queue_addresses(struct bv_nl *nl, const struct bv_address_list *list, const struct bv_net_link *l,
			   struct bv_error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct bv_address *a = &list->v[i];
		size_t size = bv_nl_address_size(a->family);
		int rc = bv_nl_room(nl, err);

		if (rc < 0)
			return rc;
		struct ifaddrmsg *m = bv_nl_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m),
						  (struct bv_nl_note){ .cannot = "add the address",
								       .address = a,
								       .preposition = "to",
								       .link = l->name });
		m->ifa_family = (uint8_t)a->family;
		m->ifa_prefixlen = a->prefix;
		m->ifa_scope = RT_SCOPE_UNIVERSE;
		m->ifa_index = (uint32_t)l->ifindex;
		bv_nl_put(nl, IFA_LOCAL, a->bytes, size);
		bv_nl_put(nl, IFA_ADDRESS, a->bytes, size);
		if (a->family == AF_INET && a->has_broadcast)
			bv_nl_put(nl, IFA_BROADCAST, a->broadcast, sizeof(a->broadcast));
	}
	return 0;
}

/* A family's default route. One that is reached through a gateway off the subnet needs a route to the gateway first. */
static int queue_gateway(struct bv_nl *nl, const struct bv_nic *nic, const struct bv_net_link *l, int family,
			 struct bv_error *err)
{
	bool v4 = family == AF_INET;
	enum bv_gateway kind = v4 ? nic->ipv4_gateway_kind : nic->ipv6_gateway_kind;
	const struct bv_address *found = v4 ? &l->ipv4_gateway : &l->ipv6_gateway;
	const struct bv_address *gateway = kind == BV_GATEWAY_ADDRESS ? (v4 ? &nic->ipv4_gateway : &nic->ipv6_gateway)
								      : found;
	struct bv_address any = { .family = family };
	struct bv_nl_note note = { .cannot = "add the default route through", .link = l->name };
	int rc;

	if (kind == BV_GATEWAY_UNSET)
		return 0;
	rc = bv_nl_room(nl, err);
	if (rc < 0)
		return rc;
	if (kind == BV_GATEWAY_DEVICE) {
		bv_route_put(nl, RTM_NEWROUTE, l->ifindex, &any, NULL, note);
		return 0;
	}
	note = (struct bv_nl_note){ .cannot = "add the default route by the gateway",
				    .address = gateway,
				    .bare = true,
				    .preposition = "through",
				    .link = l->name };
	if (!bv_gateway_on_link(gateway, v4 ? &nic->ipv4 : &nic->ipv6)) {
		struct bv_address host = *gateway;
		struct bv_nl_note host_note = note;
		host.prefix = v4 ? 32 : 128;
		host_note.cannot = "add the route to the gateway";
		bv_route_put(nl, RTM_NEWROUTE, l->ifindex, &host, NULL, host_note);
	}
	bv_route_put(nl, RTM_NEWROUTE, l->ifindex, &any, gateway, note);
	return 0;
}

static int queue_nic(struct bv_nl *nl, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	int rc = 0;

	l->ifindex = bv_nl_link_index(nl, l->name);
	if (l->ifindex == 0)
		return bv_fail(err, ENODEV, "link \"%s\" (lxc.net.%u) did not arrive in the instance's network "
			       "namespace", l->name, l->index);
	rc = bv_nl_room(nl, err);
	if (rc == 0 && l->type == BV_NET_PHYS)
		rc = queue_phys(nl, nic, l, err);
	if (rc == 0)
		rc = queue_addresses(nl, &nic->ipv4, l, err);
	if (rc == 0)
		rc = queue_addresses(nl, &nic->ipv6, l, err);
	if (rc == 0)
		rc = bv_nl_room(nl, err);
	if (rc == 0 && nic->up)
		queue_up(nl, l->ifindex, l->name);
	if (rc == 0)
		rc = queue_gateway(nl, nic, l, AF_INET, err);
	if (rc == 0)
		rc = queue_gateway(nl, nic, l, AF_INET6, err);
	return rc;
}

static bool any_up(const struct bv_config *cfg)
{
	for (size_t i = 0; i < cfg->n_nics; i++)
		if (cfg->nics[i].up)
			return true;
	return false;
}

int bv_net_configure(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err)
{
	struct bv_nl nl;
	int rc;

	if (cfg->n_nics == 0 || !bv_net_wants_namespace(cfg))
		return 0;
	/* A copy of the plan has a copy of the host's socket, which has no business here. */
	if (net->netlink > 0)
		close(net->netlink);
	net->netlink = -1;
	rc = net->n ? 0 : bv_net_plan_inside(net, cfg, err);
	if (rc < 0)
		return rc;
	if (net->n == 0 && !any_up(cfg))
		return 0;
	rc = bv_nl_open(&nl, err);
	if (rc < 0)
		return rc;

	/* As in LXC: lo comes up with the first link that does. */
	if (any_up(cfg))
		queue_up(&nl, IF_LOOPBACK, "lo");
	for (size_t i = 0; i < net->n && rc == 0; i++) {
		struct bv_net_link *l = &net->links[i];
		const struct bv_nic *nic = bv_config_nic(cfg, l->index);
		if (nic && l->name[0])
			rc = queue_nic(&nl, nic, l, err);
	}
	if (rc == 0)
		rc = bv_nl_flush(&nl, err);
	bv_nl_close(&nl);
	return rc;
}
