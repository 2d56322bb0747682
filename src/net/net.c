/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net/link.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

static const struct bv_link_ops link_empty = { .parent = BV_PARENT_NONE };

/* By enum bv_net_type; `none` and `empty` make nothing. */
static const struct bv_link_ops *const link_types[] = {
	[BV_NET_EMPTY] = &link_empty,
	[BV_NET_NONE] = &link_empty,
	[BV_NET_VETH] = &bv_link_veth,
	[BV_NET_MACVLAN] = &bv_link_macvlan,
	[BV_NET_IPVLAN] = &bv_link_ipvlan,
	[BV_NET_VLAN] = &bv_link_vlan,
	[BV_NET_PHYS] = &bv_link_phys,
};

static const struct bv_link_ops *ops_of(enum bv_net_type type)
{
	return (size_t)type < ARRAY_SIZE(link_types) ? link_types[type] : &link_empty;
}

bool bv_net_wants_namespace(const struct bv_config *cfg)
{
	bool none = false, other = false;

	for (size_t i = 0; i < cfg->n_nics; i++) {
		none |= cfg->nics[i].type == BV_NET_NONE;
		other |= cfg->nics[i].type != BV_NET_NONE;
	}
	return other || !none;
}

/* ---- plan ---- */

int bv_link_name_set(char dest[16], const char *name, unsigned int index, const char *key, struct bv_error *err)
{
	size_t len = strlen(name);

	if (len == 0 || len > 15 || strpbrk(name, "/: \t\n") || bv_streq(name, ".") || bv_streq(name, ".."))
		return bv_fail(err, EINVAL, "lxc.net.%u.%s = %s is no name for a network link (1 to 15 characters, no "
			       "blank, slash or colon)", index, key, name);
	memcpy(dest, name, len + 1);
	return 0;
}

static int plan_parent(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
		       const struct bv_link_ops *ops, struct bv_error *err)
{
	if (ops->parent == BV_PARENT_NONE)
		return 0;
	if (!nic->link || !*nic->link) {
		if (ops->parent == BV_PARENT_MAY)
			return 0;
		bv_fail(err, EINVAL, "lxc.net.%u.type is %s, which needs the name of a link on the host", nic->index,
			bv_net_type_name(nic->type));
		return bv_hint(err, "add a line: lxc.net.%u.link = eth0", nic->index);
	}

	/* phys accepts "eth+" and finds its link itself. */
	if (nic->type == BV_NET_PHYS)
		return 0;
	int rc = bv_link_name_set(l->parent, nic->link, nic->index, "link", err);
	/* In the instance's own namespace (nothing was planned on the host) there is no parent to look at. */
	if (rc < 0 || !h)
		return rc;

	struct bv_error cause = { 0 };
	rc = bv_link_parent_find(&h->nl, l->parent, &l->parent_facts, &cause);
	if (rc != -ENODEV) {
		if (rc < 0 && err)
			*err = cause;
		return rc;
	}
	if (nic->type != BV_NET_VETH)
		return bv_fail(err, ENODEV, "network link \"%s\" (lxc.net.%u.link) does not exist", l->parent,
			       nic->index);
	bv_fail(err, ENODEV, "bridge \"%s\" (lxc.net.%u.link) does not exist", l->parent, nic->index);
	if (bv_streq(l->parent, "lxcbr0"))
		return bv_hint(err, "start it with: " BV_LIBEXECDIR "/lxc/lxc-net start");
	return bv_hint(err, "make it with: ip link add %s type bridge && ip link set %s up", l->parent, l->parent);
}

/* One family's gateway: what can be wrong with it, and `auto`. */
static int plan_gateway(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, int family,
			struct bv_error *err)
{
	bool v4 = family == AF_INET;
	enum bv_gateway kind = v4 ? nic->ipv4_gateway_kind : nic->ipv6_gateway_kind;
	const char *key = v4 ? "ipv4" : "ipv6";

	if (kind == BV_GATEWAY_UNSET)
		return 0;
	if (!nic->up) {
		bv_fail(err, EINVAL, "lxc.net.%u.%s.gateway is set, but the link is not brought up", nic->index, key);
		return bv_hint(err, "add a line: lxc.net.%u.flags = up", nic->index);
	}
	if ((v4 ? nic->ipv4.n : nic->ipv6.n) == 0) {
		bv_fail(err, EINVAL, "lxc.net.%u.%s.gateway is set, but the link has no %s address", nic->index, key,
			v4 ? "IPv4" : "IPv6");
		return bv_hint(err, "add a line: lxc.net.%u.%s.address = %s", nic->index, key,
			       v4 ? "10.0.3.10/24" : "fd00::10/64");
	}
	if (kind != BV_GATEWAY_AUTO)
		return 0;
	if (!ops_of(nic->type)->may_auto_gateway || !l->parent[0])
		return bv_fail(err, EINVAL, "lxc.net.%u.%s.gateway = auto needs a veth, macvlan or ipvlan with "
			       "lxc.net.%u.link", nic->index, key, nic->index);
	if (!h)
		return bv_fail(err, EINVAL, "lxc.net.%u.%s.gateway = auto was not looked up before the instance's "
			       "namespace was entered", nic->index, key);
	return bv_gateway_of(&h->nl, family, l, v4 ? &l->ipv4_gateway : &l->ipv6_gateway, err);
}

static bool name_taken(const struct bv_net *net, const char *name)
{
	for (size_t i = 0; i < net->n; i++)
		if (bv_streq(net->links[i].name, name))
			return true;
	return false;
}

/*
 * The names inside. The namespace is new, so that what the kernel would choose for "eth%d" is known: the first number
 * that no link has. Nics with a name come first, as in LXC; a phys nic without one keeps its own.
 */
static int plan_names(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err)
{
	for (size_t i = 0; i < net->n; i++) {
		const char *name = cfg->nics[i].name;
		struct bv_net_link *l = &net->links[i];

		if (!ops_of(l->type)->has_link)
			continue;
		if (!name || !*name)
			name = l->type == BV_NET_PHYS ? l->host_name : NULL;
		if (!name || strchr(name, '%'))
			continue;
		if (name_taken(net, name))
			return bv_fail(err, EEXIST, "two links would have the name \"%s\" in the instance (lxc.net.%u)",
				       name, l->index);
		int rc = bv_link_name_set(l->name, name, l->index, "name", err);
		if (rc < 0)
			return rc;
	}

	for (size_t i = 0; i < net->n; i++) {
		struct bv_net_link *l = &net->links[i];
		const char *pattern = cfg->nics[i].name && *cfg->nics[i].name ? cfg->nics[i].name : "eth%d";
		const char *end = strstr(pattern, "%d");
		char name[16];

		if (!ops_of(l->type)->has_link || l->name[0])
			continue;
		if (!end || end[2] || strchr(pattern, '%') != end || end - pattern > 10)
			return bv_fail(err, EINVAL, "lxc.net.%u.name = %s is no name for a network link", l->index,
				       pattern);
		for (unsigned int k = 0; k <= net->n; k++) {
			snprintf(name, sizeof(name), "%.*s%u", (int)(end - pattern), pattern, k);
			if (!name_taken(net, name))
				break;
		}
		int rc = bv_link_name_set(l->name, name, l->index, "name", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int plan_link(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	const struct bv_link_ops *ops = ops_of(nic->type);
	uint8_t mac[6];
	int rc;

	l->index = nic->index;
	l->type = nic->type;
	if (!ops->has_link)
		return 0;
	rc = bv_link_mac(nic, mac, err);
	if (rc >= 0)
		rc = plan_parent(h, nic, l, ops, err);
	if (rc == 0 && ops->plan && (h || nic->type == BV_NET_PHYS))
		rc = ops->plan(h, nic, l, err);
	if (rc == 0)
		rc = plan_gateway(h, nic, l, AF_INET, err);
	if (rc == 0)
		rc = plan_gateway(h, nic, l, AF_INET6, err);
	if (rc == 0 && h && nic->l2proxy)
		rc = bv_hostside_check_l2proxy(nic, l, err);
	return rc;
}

/* `h` NULL: only what the config says. */
static int plan_all(struct bv_net *net, const struct bv_config *cfg, struct bv_net_host *h, struct bv_error *err)
{
	int rc = 0;

	net->links = calloc(cfg->n_nics, sizeof(*net->links));
	if (!net->links)
		return bv_fail(err, ENOMEM, "out of memory");
	net->n = cfg->n_nics;
	for (size_t i = 0; i < net->n && rc == 0; i++)
		rc = plan_link(h, &cfg->nics[i], &net->links[i], err);
	if (rc == 0)
		rc = plan_names(net, cfg, err);
	return rc;
}

int bv_net_plan(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err)
{
	autoclean(bv_net_clear) struct bv_net plan = { .netlink = -1 };
	struct bv_net_host h = { .netns_fd = -1 };
	int rc;

	bv_net_clear(net);
	if (cfg->n_nics == 0 || !bv_net_wants_namespace(cfg))
		return 0;
	rc = bv_nl_open(&h.nl, err);
	if (rc < 0)
		return rc;
	plan.netlink = h.nl.fd;
	rc = plan_all(&plan, cfg, &h, err);
	if (rc < 0)
		return rc;
	*net = plan;
	plan = (struct bv_net){ .netlink = -1 };
	return 0;
}

int bv_net_check(const struct bv_config *cfg, struct bv_error *err)
{
	autoclean(bv_net_clear) struct bv_net net = { .netlink = -1 };

	return bv_net_plan(&net, cfg, err);
}

/* The plan of a process that is inside already and was handed none. */
int bv_net_plan_inside(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err)
{
	int rc = plan_all(net, cfg, NULL, err);

	if (rc < 0)
		bv_net_clear(net);
	return rc;
}

/* ---- attach, detach ---- */

static void take_back(struct bv_net *net, const struct bv_config *cfg, struct bv_net_host *h)
{
	for (size_t i = net->n; i-- > 0;) {
		const struct bv_net_link *l = &net->links[i];
		const struct bv_nic *nic = bv_config_nic(cfg, l->index);
		const struct bv_link_ops *ops = ops_of(l->type);
		struct bv_error ignored = { 0 };

		if (!l->attached)
			continue;
		if (nic && nic->l2proxy)
			bv_hostside_set_l2proxy(h, nic, l, false, &ignored);
		if (ops->undo)
			ops->undo(h, l);
	}
	bv_net_clear(net);
}

static int attach_link(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	const struct bv_link_ops *ops = ops_of(l->type);
	int rc = ops->attach ? ops->attach(h, nic, l, err) : 0;

	if (rc < 0)
		return rc;
	l->attached = true;
	return nic->l2proxy ? bv_hostside_set_l2proxy(h, nic, l, true, err) : 0;
}

int bv_link_host_open(struct bv_net_host *h, struct bv_net *net, struct bv_error *err)
{
	if (net->netlink > 0) {
		bv_nl_init(&h->nl, net->netlink);
		return 0;
	}
	int rc = bv_nl_open(&h->nl, err);

	if (rc == 0)
		net->netlink = h->nl.fd;
	return rc;
}

int bv_net_attach(struct bv_net *net, const struct bv_config *cfg, pid_t pid, int netns_fd, struct bv_error *err)
{
	struct bv_net_host h = { .pid = pid, .netns_fd = netns_fd };
	int rc = net->n ? 0 : bv_net_plan(net, cfg, err);

	if (rc < 0 || net->n == 0)
		return rc;
	rc = bv_link_host_open(&h, net, err);
	if (rc < 0)
		return rc;

	/* phys first: its link keeps its index only while that is free inside. */
	for (size_t i = 0; i < net->n && rc == 0; i++)
		if (net->links[i].type == BV_NET_PHYS)
			rc = attach_link(&h, &cfg->nics[i], &net->links[i], err);
	for (size_t i = 0; i < net->n && rc == 0; i++)
		if (net->links[i].type != BV_NET_PHYS)
			rc = attach_link(&h, &cfg->nics[i], &net->links[i], err);
	if (rc < 0)
		take_back(net, cfg, &h);
	return rc;
}

/* Is there anything that the kernel does not do by itself? */
static bool needs_detach(const struct bv_net *net, const struct bv_config *cfg)
{
	for (size_t i = 0; i < net->n; i++) {
		const struct bv_net_link *l = &net->links[i];
		const struct bv_nic *nic = bv_config_nic(cfg, l->index);

		if (l->type == BV_NET_PHYS || l->openvswitch || (l->type == BV_NET_MACVLAN && l->host_name[0]) ||
		    (nic && (nic->l2proxy || bv_hostside_has_routes(nic))))
			return true;
	}
	return false;
}

int bv_net_detach(struct bv_net *net, const struct bv_config *cfg, int netns_fd, struct bv_error *err)
{
	struct bv_net_host h = { .netns_fd = netns_fd };
	int rc, first = 0;

	if (!needs_detach(net, cfg))
		return 0;
	rc = bv_nl_open(&h.nl, err);
	if (rc < 0)
		return rc;

	for (size_t i = net->n; i-- > 0;) {
		const struct bv_net_link *l = &net->links[i];
		const struct bv_nic *nic = bv_config_nic(cfg, l->index);
		const struct bv_link_ops *ops = ops_of(l->type);

		/* The config may have lost the nic since the start: what was made is undone all the same. */
		rc = nic && nic->l2proxy ? bv_hostside_set_l2proxy(&h, nic, l, false, err) : 0;
		first = first ? first : rc;
		rc = ops->detach ? ops->detach(&h, nic, l, err) : 0;
		first = first ? first : rc;
	}
	bv_nl_close(&h.nl);
	return first;
}
