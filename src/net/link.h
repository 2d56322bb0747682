/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "net/net.h"
#include "net/nl.h"
#include "util/error.h"

/* Inside src/net: what the link types share. */

/* The host's side of one attach or detach. */
struct bv_net_host {
	struct bv_nl nl;
	pid_t pid;    /* whose network namespace the links go to */
	int netns_fd; /* the same as an fd, or -1 */
};

enum bv_link_parent { BV_PARENT_NONE, BV_PARENT_MAY, BV_PARENT_MUST };

/* A link type. Functions may be NULL where there is nothing to do. */
struct bv_link_ops {
	enum bv_link_parent parent; /* lxc.net.N.link */
	bool has_link;              /* there is a link inside, with a name and addresses */
	bool may_auto_gateway;
	/* What makes no sense with this type, before anything is made. `l` has its parent's facts. */
	int (*plan)(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err);
	int (*attach)(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err);
	/* After a failed start, of a link that was attached. */
	void (*undo)(struct bv_net_host *h, const struct bv_net_link *l);
	/* When the instance ends; h->netns_fd is -1 when its namespace is gone. */
	int (*detach)(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		      struct bv_error *err);
};

/* The plan of a process that is inside the namespace already and was handed none: from the config alone. */
int bv_net_plan_inside(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err);

extern const struct bv_link_ops bv_link_veth, bv_link_macvlan, bv_link_ipvlan, bv_link_vlan, bv_link_phys;

/* Fill l->parent_facts from `name`; -ENODEV with the sentence. */
int bv_link_parent_find(struct bv_nl *nl, const char *name, struct bv_net_parent *ret, struct bv_error *err);

/* Copy a link name of at most 15 characters; `key` is "link", "name" and so on. */
int bv_link_name_set(char dest[16], const char *name, unsigned int index, const char *key, struct bv_error *err);

/* lxc.net.N.hwaddr as bytes; 1: set, 0: unset, -EINVAL. */
int bv_link_mac(const struct bv_nic *nic, uint8_t mac[6], struct bv_error *err);

/*
 * Queue the head of a request that makes link `l` on top of its parent in the target namespace: name, parent, MTU and
 * MAC of the nic. The caller adds IFLA_LINKINFO.
 */
int bv_link_begin(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err);
/* IFLA_NET_NS_FD or IFLA_NET_NS_PID. */
void bv_link_put_target(struct bv_net_host *h);

/* Send it. A kernel without the `kind` gets a sentence that says so; `option` is its CONFIG_ name. */
int bv_link_commit(struct bv_net_host *h, const struct bv_net_link *l, const char *kind, const char *option,
		   struct bv_error *err);

/* The host's rtnetlink socket of a planned `net`; opened when it has none. */
int bv_link_host_open(struct bv_net_host *h, struct bv_net *net, struct bv_error *err);

/* ---- hostend.c: the host's end of a veth pair, and the tap of a VM, which stands in its place ---- */

bool bv_hostend_has_fixed_name(const struct bv_nic *nic); /* lxc.net.N.veth.pair */
bool bv_hostend_is_bridged(const struct bv_nic *nic, const struct bv_net_link *l);
uint32_t bv_hostend_mtu(const struct bv_nic *nic, const struct bv_net_link *l); /* 0: the kernel's default */

/* `prefix`, of at most 9 characters, and six random letters or digits. */
int bv_hostend_random_name(char name[16], const char *prefix, struct bv_error *err);

/* bv_link_ops.plan of both. */
int bv_hostend_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err);

/* IFLA_MASTER, where the kernel is to put the host end into its bridge. */
void bv_hostend_put_master(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l);
/* A request: no IPv6 address for the host end. */
void bv_hostend_queue_no_ipv6(struct bv_net_host *h, const struct bv_net_link *l);

/*
 * Choose name and MAC and call `make`, again while its name is taken (-EEXIST). On failure l->host_name is empty and
 * `err` has a sentence for users.
 */
typedef int (*bv_hostend_make_fn)(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
				  const uint8_t mac[6], void *data, struct bv_error *err);
int bv_hostend_make(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, bv_hostend_make_fn make,
		    void *data, struct bv_error *err);

/* What needs the host end to exist: Open vSwitch, VLANs, routes. */
int bv_hostend_finish(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err);

/* ---- tap.c ---- */

struct bv_net_tap;
/* Room for `queues` fds, all -1. */
int bv_tap_reserve(struct bv_net_tap *tap, unsigned int queues, struct bv_error *err);
/* TUNSETIFF of one queue of `name` (NULL: the fd has its link already); `flags` beside those that all have. -errno. */
int bv_tap_set(int fd, const char *name, unsigned int queues, int flags);

/* ---- macvtap.c: what a macvlan is for a VM ---- */

int bv_macvtap_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_net_tap *tap,
		      struct bv_error *err);
/* Nothing to do for a macvlan that is none. */
int bv_macvtap_remove(struct bv_net_host *h, const struct bv_net_link *l, struct bv_error *err);

/* ---- bridge.c ---- */

/* The host end of `l` becomes a member of the VLANs that the nic names. */
int bv_bridge_set_vlans(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, int port,
			struct bv_error *err);

/* ---- openvswitch.c ---- */

int bv_openvswitch_add(const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err);
int bv_openvswitch_remove(const struct bv_net_link *l, struct bv_error *err);

/* ---- hostside.c: what the host has to know to route to an instance ---- */

/* Does the nic make routes on the host? */
bool bv_hostside_has_routes(const struct bv_nic *nic);

/* lxc.net.N.veth.ipv[46].route, and in router mode the instance's addresses and the gateways' proxy entries. */
int bv_hostside_add_routes(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
			   struct bv_error *err);
int bv_hostside_remove_routes(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
			      struct bv_error *err);

/* lxc.net.N.l2proxy: the parent answers for the instance's addresses. */
int bv_hostside_check_l2proxy(const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err);
int bv_hostside_set_l2proxy(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, bool add,
			    struct bv_error *err);

/* ---- gateway.c ---- */

/* The first global address of family `family` of the link `index`; -ENOENT with the sentence when it has none. */
int bv_gateway_of(struct bv_nl *nl, int family, const struct bv_net_link *l, struct bv_address *ret,
		  struct bv_error *err);

/* Is `gateway` reachable on the link without a route of its own: in one of `addresses`, or link-local? */
bool bv_gateway_on_link(const struct bv_address *gateway, const struct bv_address_list *addresses);

/* Queue a route to `dest` (prefix 0 and no bytes: the default route) by `gateway` (NULL: the device itself). */
void bv_route_put(struct bv_nl *nl, uint16_t type, int index, const struct bv_address *dest,
		  const struct bv_address *gateway, struct bv_nl_note note);
