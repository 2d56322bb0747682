/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include "net/link.h"
#include "util/log.h"

/* What both ends have in common. */
static void put_end(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, const char *name,
		    const uint8_t *mac)
{
	bv_nl_put_str(&h->nl, IFLA_IFNAME, name);
	if (bv_hostend_mtu(nic, l))
		bv_nl_put_u32(&h->nl, IFLA_MTU, bv_hostend_mtu(nic, l));
	if (nic->veth_rxqueues)
		bv_nl_put_u32(&h->nl, IFLA_NUM_RX_QUEUES, nic->veth_rxqueues);
	if (nic->veth_txqueues)
		bv_nl_put_u32(&h->nl, IFLA_NUM_TX_QUEUES, nic->veth_txqueues);
	if (mac)
		bv_nl_put(&h->nl, IFLA_ADDRESS, mac, 6);
}

/*
 * The whole pair in one request: the host end is up and in its bridge, the peer is in the instance's namespace under
 * its final name. The peer cannot be brought up here (-ENOTCONN): that is done from inside.
 */
static int queue_pair(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		      const uint8_t host_mac[6], struct bv_error *err)
{
	uint8_t mac[6];
	int has_mac = bv_link_mac(nic, mac, err);

	if (has_mac < 0)
		return has_mac;
	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "make the veth pair", .link = l->host_name });
	m->ifi_flags = m->ifi_change = IFF_UP;
	put_end(h, nic, l, l->host_name, host_mac);
	bv_hostend_put_master(h, nic, l);

	size_t info = bv_nl_nest(&h->nl, IFLA_LINKINFO);
	bv_nl_put_str(&h->nl, IFLA_INFO_KIND, "veth");
	size_t data = bv_nl_nest(&h->nl, IFLA_INFO_DATA);
	size_t peer = bv_nl_nest(&h->nl, VETH_INFO_PEER);
	bv_nl_put_header(&h->nl, sizeof(struct ifinfomsg));
	put_end(h, nic, l, l->name, has_mac ? mac : NULL);
	bv_link_put_target(h);
	bv_nl_nest_end(&h->nl, peer);
	bv_nl_nest_end(&h->nl, data);
	bv_nl_nest_end(&h->nl, info);
	return 0;
}

/*
 * One try. A request that follows a failed one runs all the same, so what goes to the host end by its name may share a
 * batch with its creation only while nobody else can have that name: with a random one.
 */
static int make_pair(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
		     const uint8_t host_mac[6], void *data, struct bv_error *err)
{
	int rc = queue_pair(h, nic, l, host_mac, err);

	(void)data;
	if (rc == 0 && bv_hostend_has_fixed_name(nic))
		rc = bv_nl_flush(&h->nl, err);
	if (rc < 0)
		return rc;
	if (bv_hostend_is_bridged(nic, l))
		bv_hostend_queue_no_ipv6(h, l);
	return bv_nl_flush(&h->nl, err);
}

static void veth_undo(struct bv_net_host *h, const struct bv_net_link *l)
{
	struct bv_error ignored = { 0 };

	if (l->openvswitch)
		bv_openvswitch_remove(l, NULL);
	bv_nl_begin(&h->nl, RTM_DELLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "remove", .link = l->host_name, .tolerate = ENODEV });
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	if (bv_nl_flush(&h->nl, &ignored) < 0)
		bv_warn("net", "%s", ignored.what);
}

static int veth_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	int rc = bv_hostend_make(h, nic, l, make_pair, NULL, err);

	if (rc < 0)
		return rc;
	rc = bv_hostend_finish(h, nic, l, err);
	if (rc < 0)
		veth_undo(h, l);
	return rc;
}

/* The pair itself goes with the namespace. */
static int veth_detach(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		       struct bv_error *err)
{
	int rc = l->openvswitch ? bv_openvswitch_remove(l, err) : 0;
	int routes = nic && l->host_name[0] ? bv_hostside_remove_routes(h, nic, l, err) : 0;

	return rc ? rc : routes;
}

const struct bv_link_ops bv_link_veth = {
	.parent = BV_PARENT_MAY,
	.has_link = true,
	.may_auto_gateway = true,
	.plan = bv_hostend_plan,
	.attach = veth_attach,
	.undo = veth_undo,
	.detach = veth_detach,
};
