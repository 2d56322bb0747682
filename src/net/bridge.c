/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "net/link.h"
#include "util/num.h"

enum { VLAN_ID_MAX = 4094 };

static void queue_vlan(struct bv_nl *nl, uint16_t type, const struct bv_net_link *l, int port, uint16_t id,
		       uint16_t flags)
{
	struct bridge_vlan_info vlan = { .flags = flags, .vid = id };
	struct ifinfomsg *m = bv_nl_begin(nl, type, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "set the VLANs of the bridge port",
							       .link = l->host_name });

	m->ifi_family = AF_BRIDGE;
	m->ifi_index = port;
	size_t spec = bv_nl_nest(nl, IFLA_AF_SPEC);
	bv_nl_put(nl, IFLA_BRIDGE_VLAN_INFO, &vlan, sizeof(vlan));
	bv_nl_nest_end(nl, spec);
}

int bv_bridge_set_vlans(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, int port,
			struct bv_error *err)
{
	uint16_t standard = l->parent_facts.default_pvid;
	int id = nic->veth_vlan_id; /* -1 unset, -2 "none" */
	int rc = 0;

	if (id != -1 && standard && standard != id)
		queue_vlan(&h->nl, RTM_DELLINK, l, port, standard, 0);
	if (id >= 0)
		queue_vlan(&h->nl, RTM_SETLINK, l, port, (uint16_t)id,
			   BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED);
	for (size_t i = 0; i < nic->veth_vlan_tagged.n && rc == 0; i++) {
		uint32_t tag;
		if (bv_parse_u32(nic->veth_vlan_tagged.v[i], &tag) < 0 || tag > VLAN_ID_MAX) {
			bv_nl_reset(&h->nl);
			return bv_fail(err, EINVAL, "lxc.net.%u.veth.vlan.tagged.id = %s is no VLAN (0 to %d)",
				       nic->index, nic->veth_vlan_tagged.v[i], VLAN_ID_MAX);
		}
		rc = bv_nl_room(&h->nl, err);
		if (rc == 0)
			queue_vlan(&h->nl, RTM_SETLINK, l, port, (uint16_t)tag, 0);
	}
	return rc ? rc : bv_nl_flush(&h->nl, err);
}
