/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_link.h>

#include "net/link.h"

enum { VLAN_ID_MAX = 4094 }; /* 4095 is reserved (IEEE 802.1Q) */

static int vlan_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	(void)h;
	(void)l;
	if (nic->vlan_id >= 0 && nic->vlan_id <= VLAN_ID_MAX)
		return 0;
	if (nic->vlan_id < 0)
		return bv_fail(err, EINVAL, "lxc.net.%u.type is vlan, which needs lxc.net.%u.vlan.id", nic->index,
			       nic->index);
	return bv_fail(err, EINVAL, "lxc.net.%u.vlan.id = %d is beyond %d", nic->index, nic->vlan_id, VLAN_ID_MAX);
}

static int vlan_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	int rc = bv_link_begin(h, nic, l, err);

	if (rc < 0)
		return rc;
	size_t info = bv_nl_nest(&h->nl, IFLA_LINKINFO);
	bv_nl_put_str(&h->nl, IFLA_INFO_KIND, "vlan");
	size_t data = bv_nl_nest(&h->nl, IFLA_INFO_DATA);
	bv_nl_put_u16(&h->nl, IFLA_VLAN_ID, (uint16_t)nic->vlan_id);
	bv_nl_nest_end(&h->nl, data);
	bv_nl_nest_end(&h->nl, info);
	return bv_link_commit(h, l, "vlan", "CONFIG_VLAN_8021Q", err);
}

const struct bv_link_ops bv_link_vlan = {
	.parent = BV_PARENT_MUST,
	.has_link = true,
	.plan = vlan_plan,
	.attach = vlan_attach,
};
