/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/if_link.h>

#include "net/link.h"

static int macvlan_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
			  struct bv_error *err)
{
	int rc = bv_link_begin(h, nic, l, err);

	if (rc < 0)
		return rc;
	size_t info = bv_nl_nest(&h->nl, IFLA_LINKINFO);
	bv_nl_put_str(&h->nl, IFLA_INFO_KIND, "macvlan");
	size_t data = bv_nl_nest(&h->nl, IFLA_INFO_DATA);
	bv_nl_put_u32(&h->nl, IFLA_MACVLAN_MODE, nic->macvlan_mode);
	bv_nl_nest_end(&h->nl, data);
	bv_nl_nest_end(&h->nl, info);
	return bv_link_commit(h, l, "macvlan", "CONFIG_MACVLAN", err);
}

/* The link of a container goes with its namespace, the macvtap of a VM does not. */
static int macvlan_detach(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
			  struct bv_error *err)
{
	(void)nic;
	return bv_macvtap_remove(h, l, err);
}

const struct bv_link_ops bv_link_macvlan = {
	.parent = BV_PARENT_MUST,
	.has_link = true,
	.may_auto_gateway = true,
	.attach = macvlan_attach,
	.detach = macvlan_detach,
};
