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
 * namespace; nobody waits for RTM_DELLINK, the pair goes with the namespace. One netlink socket for all of a start.
 */

/* What became of a nic: what lxc-info, hooks, and the clean-up after a crash need. Strings are owned. */
struct bv_net_link {
	unsigned int index;   /* lxc.net.N */
	enum bv_net_type type;
	char host_name[16];   /* veth: the host end; phys: the name it had on the host; "" where there is none */
	char name[16];        /* inside, "" while the kernel chooses */
	char parent[16];      /* lxc.net.N.link, "" when none */
	uint32_t host_mtu;    /* phys: to be restored */
	int ifindex;          /* of the link inside, once known; 0 before */
	char temporary[16];   /* the name under which it was put into the namespace, renamed inside */
};

struct bv_net {
	struct bv_net_link *links;
	size_t n;
	int netlink; /* fd of the rtnetlink socket on the host, -1 when closed */
};

/* Must the instance have its own network namespace? False with a single nic of type none. */
bool bv_net_wants_namespace(const struct bv_config *cfg);

/*
 * Check what can be checked before anything is made: bridge and parent links exist, addresses and gateways make
 * sense. The error says how to make a missing bridge.
 */
int bv_net_check(const struct bv_config *cfg, struct bv_error *err);

/*
 * Make the links and move them into the network namespace of process `pid` (whose namespace is also open as
 * `netns_fd`, may be -1). Runs no scripts. On failure what was made is taken back. A fixed lxc.net.N.veth.pair that
 * still belongs to a namespace that is going away is retried for up to one second.
 */
int bv_net_attach(struct bv_net *net, const struct bv_config *cfg, pid_t pid, int netns_fd, struct bv_error *err);

/*
 * Inside the instance's network namespace: lo up, rename, MAC, MTU, addresses, up, gateways, in the order that LXC
 * does it (named nics first). Opens its own socket. Fills in name and ifindex.
 */
int bv_net_configure(struct bv_net *net, const struct bv_config *cfg, struct bv_error *err);

/*
 * What must not wait for the namespace to die: phys nics get back their name and MTU (they are moved out of
 * `netns_fd`; with -1 the kernel has moved them already), router-mode routes and l2proxy neighbours are removed. Veth
 * pairs are left to the kernel.
 */
int bv_net_detach(struct bv_net *net, const struct bv_config *cfg, int netns_fd, struct bv_error *err);

/*
 * One line a link, "INDEX TYPE HOSTNAME NAME PARENT MTU\n" with - for empty: kept in the run directory's state, and read
 * back by the clean-up and by lxc-info. bv_net_open fills a zeroed struct.
 */
char *bv_net_describe(const struct bv_net *net);
int bv_net_open(struct bv_net *net, const char *description, struct bv_error *err);
void bv_net_clear(struct bv_net *net);

/* lxc.net.N.script.up / .down of all nics (facts 2.3: arguments by hook version). `up` false: down, errors are logged. */
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
 * back (no fork). `own_netns_fd` is an open fd of the caller's namespace (/proc/self/ns/net), opened once for many calls.
 * *ret is malloc'ed.
 */
int bv_net_addresses(int netns_fd, int own_netns_fd, struct bv_net_address **ret, size_t *n, struct bv_error *err);

/* Counters of a host link from one RTM_GETLINK. -ENODEV when there is none. */
struct bv_net_counters {
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
};
int bv_net_counters(const char *host_name, struct bv_net_counters *ret);
