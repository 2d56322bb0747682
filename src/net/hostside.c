/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "net/link.h"
#include "util/cleanup.h"
#include "util/file.h"

enum { IF_LOOPBACK = 1 }; /* of lo in every network namespace (LOOPBACK_IFINDEX) */

/* One change of the host's tables for many addresses. */
struct change {
	struct bv_nl *nl;
	uint16_t type;      /* RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEIGH, RTM_DELNEIGH */
	int index;          /* of the link */
	struct bv_nl_note note;
};

static void sysctl_path(char *path, size_t size, int family, const char *link, const char *name)
{
	snprintf(path, size, "/proc/sys/net/%s/conf/%s/%s", family == AF_INET ? "ipv4" : "ipv6", link, name);
}

static int sysctl_on(int family, const char *link, const char *name, struct bv_error *err)
{
	char path[96];
	int rc;

	sysctl_path(path, sizeof(path), family, link, name);
	rc = bv_write_small(AT_FDCWD, path, "1");
	return rc < 0 ? bv_fail(err, rc, "cannot write 1 to %s: %s", path, strerror(-rc)) : 0;
}

static uint8_t full_prefix(int family)
{
	return family == AF_INET ? 32 : 128;
}

static int change_routes(const struct change *c, const struct bv_address_list *list, bool hosts, struct bv_error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		struct bv_address dest = list->v[i];
		struct bv_nl_note note = c->note;
		int rc = bv_nl_room(c->nl, err);

		if (rc < 0)
			return rc;
		if (hosts)
			dest.prefix = full_prefix(dest.family);
		note.address = &list->v[i];
		note.bare = hosts;
		bv_route_put(c->nl, c->type, c->index, &dest, NULL, note);
	}
	return 0;
}

static void put_proxy(const struct change *c, const struct bv_address *a)
{
	uint16_t flags = c->type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0;
	struct bv_nl_note note = c->note;

	note.address = a;
	note.bare = true;
	struct ndmsg *m = bv_nl_begin(c->nl, c->type, flags, sizeof(*m), note);
	m->ndm_family = (uint8_t)a->family;
	m->ndm_ifindex = c->index;
	m->ndm_flags = NTF_PROXY;
	m->ndm_type = NDA_DST;
	bv_nl_put(c->nl, NDA_DST, a->bytes, bv_nl_address_size(a->family));
}

/* ---- routes to the instance ---- */

static bool has_gateway(enum bv_gateway kind)
{
	return kind == BV_GATEWAY_ADDRESS || kind == BV_GATEWAY_AUTO;
}

bool bv_hostside_has_routes(const struct bv_nic *nic)
{
	return nic->type == BV_NET_VETH && (nic->veth_mode == BV_VETH_ROUTER || nic->veth_ipv4_routes.n > 0 ||
					    nic->veth_ipv6_routes.n > 0);
}

static const struct bv_address *gateway_of(const struct bv_nic *nic, const struct bv_net_link *l, int family)
{
	bool v4 = family == AF_INET;
	const struct bv_address *fixed = v4 ? &nic->ipv4_gateway : &nic->ipv6_gateway;
	const struct bv_address *found = v4 ? &l->ipv4_gateway : &l->ipv6_gateway;

	return (v4 ? nic->ipv4_gateway_kind : nic->ipv6_gateway_kind) == BV_GATEWAY_AUTO ? found : fixed;
}

/* Router mode: the host end forwards, and answers ARP and NDP for the gateway, an address that nobody has here. */
static int router_family(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, int family,
			 int index, struct bv_error *err)
{
	struct change c = {
		.nl = &h->nl,
		.type = RTM_NEWNEIGH,
		.index = index,
		.note = { .cannot = "add the proxy entry for the gateway", .preposition = "to", .link = l->host_name },
	};
	int rc;

	if (!has_gateway(family == AF_INET ? nic->ipv4_gateway_kind : nic->ipv6_gateway_kind))
		return 0;
	rc = sysctl_on(family, l->host_name, "forwarding", err);
	if (rc == 0 && family == AF_INET6)
		rc = sysctl_on(family, l->host_name, "proxy_ndp", err);
	if (rc == 0)
		put_proxy(&c, gateway_of(nic, l, family));
	return rc;
}

static int queue_routes(struct bv_net_host *h, const struct bv_nic *nic, const struct change *c, struct bv_error *err)
{
	int rc = change_routes(c, &nic->veth_ipv4_routes, false, err);

	(void)h;
	if (rc == 0)
		rc = change_routes(c, &nic->veth_ipv6_routes, false, err);
	if (rc == 0 && nic->veth_mode == BV_VETH_ROUTER)
		rc = change_routes(c, &nic->ipv4, true, err);
	if (rc == 0 && nic->veth_mode == BV_VETH_ROUTER)
		rc = change_routes(c, &nic->ipv6, true, err);
	return rc;
}

int bv_hostside_add_routes(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
			   struct bv_error *err)
{
	struct bv_net_parent host_end;
	struct bv_error cause = { 0 };
	int rc;

	if (!bv_hostside_has_routes(nic))
		return 0;
	/*
	 * The new link has no carrier before its peer is up. When the kernel notices that (linkwatch, a work queue) it
	 * drops the link's proxy entries (neigh_carrier_down). RTM_GETLINK lets it notice now (Linux 6.8).
	 */
	rc = bv_link_parent_find(&h->nl, l->host_name, &host_end, err);
	if (rc < 0)
		return rc;
	struct change c = {
		.nl = &h->nl,
		.type = RTM_NEWROUTE,
		.index = host_end.index,
		.note = { .cannot = "add the host's route to", .preposition = "through", .link = l->host_name },
	};
	if (nic->veth_mode == BV_VETH_ROUTER) {
		rc = router_family(h, nic, l, AF_INET, c.index, &cause);
		if (rc == 0)
			rc = router_family(h, nic, l, AF_INET6, c.index, &cause);
	}
	if (rc == 0)
		rc = queue_routes(h, nic, &c, &cause);
	if (rc == 0)
		rc = bv_nl_flush(&h->nl, &cause);
	if (rc == 0)
		return 0;
	bv_nl_reset(&h->nl);
	bv_fail(err, rc, "lxc.net.%u (veth): %s", l->index, cause.what);
	if (rc == -EEXIST)
		return bv_hint(err, "another link has that route already; see: ip route; ip -6 route");
	return rc;
}

int bv_hostside_remove_routes(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
			      struct bv_error *err)
{
	struct change c = {
		.nl = &h->nl,
		.type = RTM_DELROUTE,
		.note = { .cannot = "remove the host's route to",
			  .preposition = "through",
			  .link = l->host_name,
			  .tolerate = ESRCH },
	};

	if (!bv_hostside_has_routes(nic))
		return 0;
	c.index = bv_nl_link_index(&h->nl, l->host_name);
	if (c.index == 0)
		return 0; /* the link is gone, and its routes with it */
	int rc = queue_routes(h, nic, &c, err);
	return rc ? rc : bv_nl_flush(&h->nl, err);
}

/* ---- l2proxy ---- */

static int require_sysctl(const struct bv_net_link *l, int family, const char *name, struct bv_error *err)
{
	char path[96], value[8];

	sysctl_path(path, sizeof(path), family, l->parent, name);
	if (bv_read_small(AT_FDCWD, path, value, sizeof(value)) > 0 && value[0] == '1')
		return 0;
	bv_fail(err, EINVAL, "lxc.net.%u.l2proxy needs %s to be 1", l->index, path);
	return bv_hint(err, "echo 1 > %s", path);
}

int bv_hostside_check_l2proxy(const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err)
{
	int rc = 0;

	if (!l->parent_facts.index)
		return bv_fail(err, EINVAL, "lxc.net.%u.l2proxy needs lxc.net.%u.link", l->index, l->index);
	if (nic->type == BV_NET_IPVLAN && nic->ipvlan_mode == BV_IPVLAN_L2)
		return bv_fail(err, EINVAL, "lxc.net.%u.l2proxy needs lxc.net.%u.ipvlan.mode = l3 or l3s", l->index,
			       l->index);
	if (nic->ipv4.n)
		rc = require_sysctl(l, AF_INET, "forwarding", err);
	if (rc == 0 && nic->ipv6.n)
		rc = require_sysctl(l, AF_INET6, "proxy_ndp", err);
	if (rc == 0 && nic->ipv6.n)
		rc = require_sysctl(l, AF_INET6, "forwarding", err);
	return rc;
}

static int change_proxies(const struct change *c, const struct bv_address_list *list, struct bv_error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		int rc = bv_nl_room(c->nl, err);
		if (rc < 0)
			return rc;
		put_proxy(c, &list->v[i]);
	}
	return 0;
}

int bv_hostside_set_l2proxy(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, bool add,
			    struct bv_error *err)
{
	int index = l->parent_facts.index ? l->parent_facts.index : bv_nl_link_index(&h->nl, l->parent);
	struct change proxies = {
		.nl = &h->nl,
		.type = add ? RTM_NEWNEIGH : RTM_DELNEIGH,
		.index = index,
		.note = { .cannot = add ? "add the proxy entry for" : "remove the proxy entry for",
			  .preposition = add ? "to" : "from",
			  .link = l->parent,
			  .tolerate = add ? 0 : ENOENT },
	};
	/*
	 * The kernel answers ARP by proxy only for an address whose route leads to another link than the one asked on.
	 * An ipvlan address has no such route: one through lo does.
	 */
	struct change routes = {
		.nl = &h->nl,
		.type = add ? RTM_NEWROUTE : RTM_DELROUTE,
		.index = IF_LOOPBACK,
		.note = { .cannot = add ? "add the host's route to" : "remove the host's route to",
			  .tolerate = add ? 0 : ESRCH },
	};

	if (!index)
		return 0; /* the parent is gone, and its entries with it */
	int rc = change_proxies(&proxies, &nic->ipv4, err);
	if (rc == 0)
		rc = change_proxies(&proxies, &nic->ipv6, err);
	if (rc == 0 && nic->type == BV_NET_IPVLAN)
		rc = change_routes(&routes, &nic->ipv4, true, err);
	if (rc == 0 && nic->type == BV_NET_IPVLAN)
		rc = change_routes(&routes, &nic->ipv6, true, err);
	return rc ? rc : bv_nl_flush(&h->nl, err);
}
