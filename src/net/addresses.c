/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/nl.h"
#include "util/cleanup.h"

struct address_list {
	struct bv_net_address *v;
	size_t n, cap;
	unsigned int *index; /* beside v: the link of each */
};

static void list_clear(struct address_list *l)
{
	free(l->v);
	free(l->index);
}

static int list_grow(struct address_list *l)
{
	size_t cap = l->cap ? l->cap * 2 : 16;
	struct bv_net_address *v = reallocarray(l->v, cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	l->v = v;
	unsigned int *index = reallocarray(l->index, cap, sizeof(*index));
	if (!index)
		return -ENOMEM;
	l->index = index;
	l->cap = cap;
	return 0;
}

static bool is_loopback(int family, const uint8_t *bytes)
{
	static const uint8_t six[16] = { [15] = 1 };

	return family == AF_INET ? bytes[0] == 127 : memcmp(bytes, six, sizeof(six)) == 0;
}

static int read_address(const struct nlmsghdr *h, void *to)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(h);
	struct address_list *l = to;

	if (h->nlmsg_type != RTM_NEWADDR || (info->ifa_family != AF_INET && info->ifa_family != AF_INET6))
		return 0;
	const void *address = bv_nl_own_address(h);
	if (!address)
		return 0;
	if (l->n == l->cap && list_grow(l) < 0)
		return -ENOMEM;

	struct bv_net_address *new = &l->v[l->n];
	*new = (struct bv_net_address){ .family = info->ifa_family, .prefix = info->ifa_prefixlen };
	memcpy(new->bytes, address, bv_nl_address_size(new->family));
	new->link_local_or_loopback = info->ifa_scope == RT_SCOPE_LINK || info->ifa_scope == RT_SCOPE_HOST ||
				      is_loopback(new->family, new->bytes);
	l->index[l->n++] = info->ifa_index;
	return 0;
}

/* A link's name costs one system call, so each is asked for once; the addresses of a link are mostly neighbours. */
static void fill_names(const struct bv_nl *nl, struct address_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct ifreq req = { .ifr_ifindex = (int)l->index[i] };
		size_t known = 0;

		while (known < i && l->index[known] != l->index[i])
			known++;
		if (known < i)
			memcpy(l->v[i].interface, l->v[known].interface, sizeof(l->v[i].interface));
		else if (ioctl(nl->fd, SIOCGIFNAME, &req) == 0)
			snprintf(l->v[i].interface, sizeof(l->v[i].interface), "%.15s", req.ifr_name);
	}
}

/* The calling thread is in the namespace. */
static int list_addresses(struct address_list *l, struct bv_error *err)
{
	struct bv_nl nl;
	int rc = bv_nl_open(&nl, err);

	if (rc < 0)
		return rc;
	bv_nl_begin(&nl, RTM_GETADDR, 0, sizeof(struct ifaddrmsg),
		    (struct bv_nl_note){ .cannot = "list the instance's addresses" });
	rc = bv_nl_dump(&nl, read_address, l, err);
	if (rc == 0)
		fill_names(&nl, l);
	bv_nl_close(&nl);
	return rc;
}

int bv_net_addresses(int netns_fd, int own_netns_fd, struct bv_net_address **ret, size_t *n, struct bv_error *err)
{
	autoclean(list_clear) struct address_list l = { 0 };
	int rc;

	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return bv_fail_errno(err, "cannot enter the instance's network namespace");
	rc = list_addresses(&l, err);
	if (setns(own_netns_fd, CLONE_NEWNET) < 0)
		return bv_fail_errno(err, "cannot return to the host's network namespace");
	if (rc < 0)
		return rc;
	*n = l.n;
	*ret = take_ptr(l.v);
	return 0;
}

int bv_net_own_addresses(struct bv_net_address **ret, size_t *n, struct bv_error *err)
{
	autoclean(list_clear) struct address_list l = { 0 };
	int rc = list_addresses(&l, err);

	if (rc < 0)
		return rc;
	*n = l.n;
	*ret = take_ptr(l.v);
	return 0;
}

static int read_counters(const struct nlmsghdr *h, void *to)
{
	struct bv_net_counters *c = to;
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
	{
		struct rtnl_link_stats64 stats = { 0 };
		size_t len = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) != IFLA_STATS64)
			continue;
		/* Older and newer kernels have shorter and longer structs; the first fields are always there. */
		memcpy(&stats, mnl_attr_get_payload(a), len < sizeof(stats) ? len : sizeof(stats));
		*c = (struct bv_net_counters){
			.rx_bytes = stats.rx_bytes,
			.tx_bytes = stats.tx_bytes,
			.rx_packets = stats.rx_packets,
			.tx_packets = stats.tx_packets,
		};
	}
	return 0;
}

int bv_net_counters(const char *host_name, struct bv_net_counters *ret)
{
	struct bv_net_counters found = { 0 };
	struct bv_nl nl;
	int rc = bv_nl_open(&nl, NULL);

	if (rc < 0)
		return rc;
	bv_nl_begin(&nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "read the counters of", .link = host_name });
	bv_nl_put_str(&nl, IFLA_IFNAME, host_name);
	rc = strlen(host_name) < IFNAMSIZ ? bv_nl_get(&nl, read_counters, &found, NULL) : -ENODEV;
	bv_nl_close(&nl);
	if (rc == 0)
		*ret = found;
	return rc;
}
