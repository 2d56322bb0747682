/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/*
 * The network of an instance over rtnetlink (libmnl).
 *
 * Each link type (veth, macvlan, ipvlan, vlan, phys, ...) is a struct of function pointers in its own file, found by
 * enum bv_net_type in one table. The host's part (bv_net_attach) is done by the monitor, which knows the instance's
 * network namespace; the part inside (bv_net_configure) by the instance's first process before it drops anything.
 *
 * Speed: one RTM_NEWLINK makes a veth pair, names it, brings the host end up, enslaves it and puts the peer into the
 * namespace; nobody waits for RTM_DELLINK, the pair goes with the namespace.
 */

/* What is known of lxc.net.N.link, from one RTM_GETLINK. Not part of the description. */
struct bv_net_parent {
	int index;             /* 0: no parent */
	uint32_t mtu;
	char kind[16];         /* "bridge", "openvswitch", ..., "" for hardware */
	bool vlan_filtering;   /* of a bridge */
	uint16_t default_pvid;
};

/* What becomes of a nic: what lxc-info, hooks, and the clean-up after a crash need. */
struct bv_net_link {
	unsigned int index;   /* lxc.net.N */
	enum bv_net_type type;
	char host_name[16];   /* veth: the host end, a VM's tap or macvtap; phys: the name it had; "" where none is */
	char name[16];        /* inside: the link is made under this name, or renamed while it moves */
	char parent[16];      /* lxc.net.N.link, "" when none */
	uint32_t host_mtu;    /* phys: to be restored */
	bool attached;        /* it was made or moved; of a plan: not yet */
	bool openvswitch;     /* the host end was given to ovs-vsctl, which has to forget it */
	int ifindex;          /* on the host: phys (the one it had), macvtap; others: inside, once known; 0 before */
	struct bv_net_parent parent_facts;
	struct bv_address ipv4_gateway, ipv6_gateway; /* what `auto` came to; family 0: none */
};

struct bv_net {
	struct bv_net_link *links;
	size_t n;
	/* The host's rtnetlink socket from plan to attach; <= 0: closed. The caller may close it after attach. */
	int netlink;
};

/* Must the instance have its own network namespace? False with a single nic of type none. */
bool bv_net_wants_namespace(const struct bv_config *cfg);

/*
 * Look at the host and decide all names: bridge and parent links exist (the error says how to make a missing bridge),
 * addresses and gateways make sense, `auto` gateways become addresses. Changes nothing on the host. `net` is zeroed or
 * cleared. To be called before the instance's first process is cloned, so that its copy of `net` serves
 * bv_net_configure() and nothing has to be sent to it.
 */
int bv_net_plan(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err);

/* bv_net_plan() without keeping the plan: can this config be started here? */
int bv_net_check(const struct bv_config *cfg, struct bv_error *err);

/*
 * Make the links, each in one request and under its final name, in the network namespace of process `pid` (whose
 * namespace is also open as `netns_fd`, may be -1), which is new and has none but lo. Plans first when `net` is empty.
 * Runs no scripts. On failure what is on the host is taken back (what is inside goes with the namespace). A fixed
 * lxc.net.N.veth.pair that still belongs to a namespace that is going away is retried for up to one second.
 */
int bv_net_attach(struct bv_net *net, const struct bv_config *cfg, pid_t pid, int netns_fd, struct bv_error *err);

/*
 * Inside the instance's network namespace: lo up, then of each nic MAC, MTU, up, addresses, gateways. Opens its own
 * socket. Fills in ifindex. An empty `net` (the caller did not plan) does where no gateway is `auto`.
 */
int bv_net_configure(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err);

/*
 * What must not wait for the namespace to die: phys nics get back their name and MTU (they are moved out of
 * `netns_fd`; with -1 the kernel has moved them already), host routes and l2proxy neighbours are removed, and the
 * macvtaps of a VM. Veth pairs and taps are left to the kernel. All nics are tried; the error is the first failure.
 */
int bv_net_detach(struct bv_net *net, const struct bv_config *cfg, int netns_fd, struct bv_error *err);

/*
 * One line a link, "INDEX TYPE HOSTNAME NAME PARENT MTU IFINDEX FLAGS\n" with - for empty: kept in the run directory's
 * state, and read back by the clean-up and by lxc-info. bv_net_open fills a zeroed struct.
 */
char *bv_net_describe(const struct bv_net *net);
int bv_net_open(struct bv_net *net, const char *description, struct bv_error *err);
void bv_net_clear(struct bv_net *net);

/* lxc.net.N.script.up or .down of all nics, told by lxc.hook.version. A failure of a down script is only logged. */
int bv_net_run_scripts(const struct bv_net *net, const struct bv_config *cfg, const char *instance, bool up,
		       struct bv_error *err);

/* One address as lxc-info prints it. */
struct bv_net_address {
	char interface[16];
	int family;
	uint8_t bytes[16];
	uint8_t prefix;
	bool link_local_or_loopback; /* lxc-info leaves these out */
};

/*
 * All addresses in the network namespace `netns_fd`: the calling thread enters it for the time of one dump and comes
 * back (no fork). `own_netns_fd` is an fd of the caller's namespace (/proc/self/ns/net), opened once for many calls.
 * *ret is malloc'ed.
 */
int bv_net_addresses(int netns_fd, int own_netns_fd, struct bv_net_address **ret, size_t *n, struct bv_error *err);
/* The same of the namespace that the caller is in. */
int bv_net_own_addresses(struct bv_net_address **ret, size_t *n, struct bv_error *err);

/* Counters of a host link from one RTM_GETLINK. -ENODEV when there is none. */
struct bv_net_counters {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
};
int bv_net_counters(const char *host_name, struct bv_net_counters *ret);
