/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "net/link.h"
#include "sys/kernel.h"
#include "util/log.h"
#include "util/str.h"

enum {
	PAIR_WAIT_MS = 1000,  /* for a fixed pair name to become free */
	PAIR_TRIES = 8,       /* with random names */
	IN6_ADDR_GEN_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE, which only the kernel's own if_link.h has */
};

static int random_bytes(void *to, size_t len, struct bv_error *err)
{
	ssize_t n = getrandom(to, len, 0);

	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? bv_fail_errno(err, "cannot get random bytes") : bv_fail(err, EIO, "cannot get random bytes");
}

/* "veth" and six random letters or digits. */
static void random_name(char name[16], const uint8_t random[6])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

	memcpy(name, "veth", 5);
	for (int i = 0; i < 6; i++)
		name[4 + i] = letters[random[i] % (sizeof(letters) - 1)];
	name[10] = '\0';
}

static bool has_fixed_pair(const struct bv_nic *nic)
{
	return nic->veth_pair && *nic->veth_pair;
}

static bool is_openvswitch(const struct bv_net_link *l)
{
	return bv_streq(l->parent_facts.kind, "openvswitch");
}

static uint32_t mtu_of(const struct bv_nic *nic, const struct bv_net_link *l)
{
	return nic->mtu ? nic->mtu : l->parent_facts.mtu;
}

static bool is_bridged(const struct bv_nic *nic, const struct bv_net_link *l)
{
	return nic->veth_mode == BV_VETH_BRIDGE && l->parent_facts.index != 0;
}

/* What both ends have in common. */
static void put_end(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l, const char *name,
		    const uint8_t *mac)
{
	bv_nl_put_str(&h->nl, IFLA_IFNAME, name);
	if (mtu_of(nic, l))
		bv_nl_put_u32(&h->nl, IFLA_MTU, mtu_of(nic, l));
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
	if (is_bridged(nic, l) && !is_openvswitch(l))
		bv_nl_put_u32(&h->nl, IFLA_MASTER, (uint32_t)l->parent_facts.index);

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
 * A bridge port needs no IPv6 address of its own: without one it sends neither router solicitations nor duplicate
 * address detection into the bridge. A wish only: a kernel without IPv6 refuses it.
 */
static void queue_no_ipv6(struct bv_net_host *h, const struct bv_net_link *l)
{
	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "switch off IPv6 of", .link = l->host_name,
							       .tolerate = BV_NL_TOLERATE_ALL });

	(void)m;
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	size_t spec = bv_nl_nest(&h->nl, IFLA_AF_SPEC);
	size_t inet6 = bv_nl_nest(&h->nl, AF_INET6);
	bv_nl_put_u8(&h->nl, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_NONE);
	bv_nl_nest_end(&h->nl, inet6);
	bv_nl_nest_end(&h->nl, spec);
}

/*
 * One try. A request that follows a failed one runs all the same, so what goes to the host end by its name may share a
 * batch with its creation only while nobody else can have that name: with a random one.
 */
static int make_pair(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		     const uint8_t host_mac[6], struct bv_error *err)
{
	int rc = queue_pair(h, nic, l, host_mac, err);

	if (rc == 0 && has_fixed_pair(nic))
		rc = bv_nl_flush(&h->nl, err);
	if (rc < 0)
		return rc;
	if (is_bridged(nic, l))
		queue_no_ipv6(h, l);
	return bv_nl_flush(&h->nl, err);
}

static int make_pair_retrying(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
			      struct bv_error *cause)
{
	struct { uint8_t mac[6], name[6]; } random;
	int64_t deadline = 0;
	long pause_us = 2000;
	int rc;

	for (int tries = 1;; tries++) {
		rc = random_bytes(&random, sizeof(random), cause);
		if (rc < 0)
			return rc;
		if (has_fixed_pair(nic)) {
			rc = bv_link_name_set(l->host_name, nic->veth_pair, l->index, "veth.pair", cause);
			if (rc < 0)
				return rc;
		} else {
			random_name(l->host_name, random.name);
		}
		/* High, so that a bridge, which takes the lowest of its ports' addresses, keeps its own. */
		random.mac[0] = 0xfe;
		bv_error_clear(cause);
		rc = make_pair(h, nic, l, random.mac, cause);
		if (rc != -EEXIST)
			return rc;

		if (!has_fixed_pair(nic)) {
			if (tries == PAIR_TRIES)
				return rc;
			continue;
		}
		/* The pair of the instance's last run dies in the kernel's own time. */
		if (tries == 1)
			deadline = bv_now_ms() + PAIR_WAIT_MS;
		else if (bv_now_ms() >= deadline)
			return rc;
		nanosleep(&(struct timespec){ .tv_nsec = pause_us * 1000 }, NULL);
		pause_us = pause_us < 32000 ? pause_us * 2 : pause_us;
	}
}

/* A better sentence than the kernel's for what users meet. */
static int explain(const struct bv_nic *nic, const struct bv_net_link *l, const struct bv_error *cause, int rc,
		   struct bv_error *err)
{
	const struct bv_net_parent *p = &l->parent_facts;

	if (rc == -EEXIST && has_fixed_pair(nic)) {
		bv_fail(err, rc, "network link \"%s\" (lxc.net.%u.veth.pair) exists already", l->host_name, l->index);
		return bv_hint(err, "choose another name, or remove it: ip link delete %s", l->host_name);
	}
	if (is_bridged(nic, l) && !bv_streq(p->kind, "bridge") && !is_openvswitch(l)) {
		bv_fail(err, rc, "\"%s\" (lxc.net.%u.link) is no bridge, a veth cannot be attached to it: %s",
			l->parent, l->index, strerror(-rc));
		return bv_hint(err, "use a bridge, or lxc.net.%u.type = macvlan", l->index);
	}
	return bv_fail(err, rc, "lxc.net.%u (veth): %s", l->index, cause->what);
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

static bool wants_vlans(const struct bv_nic *nic)
{
	return nic->veth_vlan_id != -1 || nic->veth_vlan_tagged.n > 0;
}

/* What needs the pair to exist: VLANs, routes. */
static int finish_pair(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
		       struct bv_error *err)
{
	int rc = 0;

	if (is_bridged(nic, l) && is_openvswitch(l)) {
		rc = bv_openvswitch_add(nic, l, err);
		l->openvswitch = rc == 0;
	}
	if (rc == 0 && is_bridged(nic, l) && !is_openvswitch(l) && wants_vlans(nic))
		rc = bv_bridge_set_vlans(h, nic, l, bv_nl_link_index(&h->nl, l->host_name), err);
	if (rc == 0)
		rc = bv_hostside_add_routes(h, nic, l, err);
	return rc;
}

static int veth_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	struct bv_error cause = { 0 };
	int rc = make_pair_retrying(h, nic, l, &cause);

	if (rc < 0) {
		rc = explain(nic, l, &cause, rc, err);
		l->host_name[0] = '\0';
		return rc;
	}
	rc = finish_pair(h, nic, l, err);
	if (rc < 0)
		veth_undo(h, l);
	return rc;
}

static int veth_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	char name[16];

	(void)h;
	if (has_fixed_pair(nic) && bv_link_name_set(name, nic->veth_pair, l->index, "veth.pair", err) < 0)
		return -EINVAL;
	if (!wants_vlans(nic))
		return 0;
	if (!is_bridged(nic, l))
		return bv_fail(err, EINVAL, "lxc.net.%u.veth.vlan needs a bridge in lxc.net.%u.link", l->index,
			       l->index);
	if (bv_streq(l->parent_facts.kind, "bridge") && !l->parent_facts.vlan_filtering) {
		bv_fail(err, EINVAL, "bridge \"%s\" does not filter VLANs, which lxc.net.%u.veth.vlan needs", l->parent,
			l->index);
		return bv_hint(err, "ip link set %s type bridge vlan_filtering 1", l->parent);
	}
	return 0;
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
	.plan = veth_plan,
	.attach = veth_attach,
	.undo = veth_undo,
	.detach = veth_detach,
};
