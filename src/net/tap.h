/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "net/net.h"

/*
 * The links of an instance that runs as a VM: of each lxc.net.N the host's side only, with a tap in place of the veth
 * pair. It is made under the pair's name (lxc.net.N.veth.pair, or random), with the MTU, the bridge, the VLANs, and
 * the host's routes of a veth; a macvlan becomes a macvtap. The address inside is the guest's: lxc.net.N.hwaddr. A tap
 * goes with its last fd, so nothing is left of it however the VM ends (a macvtap: bv_net_detach removes it).
 */
struct bv_net_tap {
	int *fds;         /* one a queue, non-blocking; owned */
	unsigned int queues;
	/*
	 * The guest's address, which a macvtap must have too. To be filled in by the caller; where it is zero,
	 * lxc.net.N.hwaddr or a random one is put in.
	 */
	uint8_t mac[6];
};

/*
 * As bv_net_attach, for a planned `net`. `queues[i]` for link i; `taps` has net->n places (of cfg->n_nics, when nothing
 * was planned yet) and is filled for links that have a device (others: queues 0). ipvlan, vlan and phys are refused by
 * name (-ENOTSUP). On failure nothing is left, and `net` is empty.
 */
int bv_net_attach_taps(struct bv_net *net, const struct bv_config *cfg, const unsigned int *queues,
		       struct bv_net_tap *taps, struct bv_error *err);
void bv_net_taps_close(struct bv_net_tap *taps, size_t n);
