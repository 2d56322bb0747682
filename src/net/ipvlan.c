/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_link.h>

#include "net/link.h"

static int ipvlan_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	(void)h;
	(void)l;
	if (nic->hwaddr && *nic->hwaddr)
		return bv_fail(err, EINVAL, "lxc.net.%u.hwaddr cannot be set: an ipvlan link has the MAC address of "
			       "its parent", nic->index);
	return 0;
}

static int ipvlan_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
			 struct bv_error *err)
{
	int rc = bv_link_begin(h, nic, l, err);

	if (rc < 0)
		return rc;
	size_t info = bv_nl_nest(&h->nl, IFLA_LINKINFO);
	bv_nl_put_str(&h->nl, IFLA_INFO_KIND, "ipvlan");
	size_t data = bv_nl_nest(&h->nl, IFLA_INFO_DATA);
	bv_nl_put_u16(&h->nl, IFLA_IPVLAN_MODE, (uint16_t)nic->ipvlan_mode);
	/* Linux 4.15; 0 is what older kernels do, so it need not be said. */
	if (nic->ipvlan_isolation)
		bv_nl_put_u16(&h->nl, IFLA_IPVLAN_FLAGS, (uint16_t)nic->ipvlan_isolation);
	bv_nl_nest_end(&h->nl, data);
	bv_nl_nest_end(&h->nl, info);
	return bv_link_commit(h, l, "ipvlan", "CONFIG_IPVLAN", err);
}

const struct bv_link_ops bv_link_ipvlan = {
	.parent = BV_PARENT_MUST,
	.has_link = true,
	.may_auto_gateway = true,
	.plan = ipvlan_plan,
	.attach = ipvlan_attach,
};
