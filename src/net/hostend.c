/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "net/link.h"
#include "sys/kernel.h"
#include "util/str.h"

enum {
	NAME_WAIT_MS = 1000,   /* for a fixed name to become free */
	NAME_TRIES = 8,        /* with random ones */
	NAME_RANDOM = 6,       /* random characters of a name */
	IN6_ADDR_GEN_NONE = 1, /* IN6_ADDR_GEN_MODE_NONE, which only the kernel's own if_link.h has */
};

static int random_bytes(void *to, size_t len, struct bv_error *err)
{
	ssize_t n = getrandom(to, len, 0);

	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? bv_fail_errno(err, "cannot get random bytes") : bv_fail(err, EIO, "cannot get random bytes");
}

static void name_of(char name[16], const char *prefix, const uint8_t random[NAME_RANDOM])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char text[NAME_RANDOM + 1] = "";

	for (int i = 0; i < NAME_RANDOM; i++)
		text[i] = letters[random[i] % (sizeof(letters) - 1)];
	snprintf(name, 16, "%.9s%s", prefix, text);
}

int bv_hostend_random_name(char name[16], const char *prefix, struct bv_error *err)
{
	uint8_t random[NAME_RANDOM];
	int rc = random_bytes(random, sizeof(random), err);

	if (rc == 0)
		name_of(name, prefix, random);
	return rc;
}

bool bv_hostend_has_fixed_name(const struct bv_nic *nic)
{
	return nic->veth_pair && *nic->veth_pair;
}

static bool is_openvswitch(const struct bv_net_link *l)
{
	return bv_streq(l->parent_facts.kind, "openvswitch");
}

uint32_t bv_hostend_mtu(const struct bv_nic *nic, const struct bv_net_link *l)
{
	return nic->mtu ? nic->mtu : l->parent_facts.mtu;
}

bool bv_hostend_is_bridged(const struct bv_nic *nic, const struct bv_net_link *l)
{
	return nic->veth_mode == BV_VETH_BRIDGE && l->parent_facts.index != 0;
}

void bv_hostend_put_master(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l)
{
	if (bv_hostend_is_bridged(nic, l) && !is_openvswitch(l))
		bv_nl_put_u32(&h->nl, IFLA_MASTER, (uint32_t)l->parent_facts.index);
}

/*
 * A bridge port needs no IPv6 address of its own: without one it sends neither router solicitations nor duplicate
 * address detection into the bridge. A wish only: a kernel without IPv6 refuses it.
 */
void bv_hostend_queue_no_ipv6(struct bv_net_host *h, const struct bv_net_link *l)
{
	bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "switch off IPv6 of", .link = l->host_name,
					 .tolerate = BV_NL_TOLERATE_ALL });
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	size_t spec = bv_nl_nest(&h->nl, IFLA_AF_SPEC);
	size_t inet6 = bv_nl_nest(&h->nl, AF_INET6);
	bv_nl_put_u8(&h->nl, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_NONE);
	bv_nl_nest_end(&h->nl, inet6);
	bv_nl_nest_end(&h->nl, spec);
}

static int make_retrying(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
			 bv_hostend_make_fn make, void *data, struct bv_error *cause)
{
	struct { uint8_t mac[6], name[NAME_RANDOM]; } random;
	int64_t deadline = 0;
	long pause_us = 2000;
	int rc;

	for (int tries = 1;; tries++) {
		rc = random_bytes(&random, sizeof(random), cause);
		if (rc < 0)
			return rc;
		if (bv_hostend_has_fixed_name(nic)) {
			rc = bv_link_name_set(l->host_name, nic->veth_pair, l->index, "veth.pair", cause);
			if (rc < 0)
				return rc;
		} else {
			name_of(l->host_name, "veth", random.name);
		}
		/* High, so that a bridge, which takes the lowest of its ports' addresses, keeps its own. */
		random.mac[0] = 0xfe;
		bv_error_clear(cause);
		rc = make(h, nic, l, random.mac, data, cause);
		if (rc != -EEXIST)
			return rc;

		if (!bv_hostend_has_fixed_name(nic)) {
			if (tries == NAME_TRIES)
				return rc;
			continue;
		}
		/* The link of the instance's last run dies in the kernel's own time. */
		if (tries == 1)
			deadline = bv_now_ms() + NAME_WAIT_MS;
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
	if (rc == -EEXIST && bv_hostend_has_fixed_name(nic)) {
		bv_fail(err, rc, "network link \"%s\" (lxc.net.%u.veth.pair) exists already", l->host_name, l->index);
		return bv_hint(err, "choose another name, or remove it: ip link delete %s", l->host_name);
	}
	if (bv_hostend_is_bridged(nic, l) && !bv_streq(l->parent_facts.kind, "bridge") && !is_openvswitch(l)) {
		bv_fail(err, rc, "\"%s\" (lxc.net.%u.link) is no bridge, a veth cannot be attached to it: %s",
			l->parent, l->index, strerror(-rc));
		return bv_hint(err, "use a bridge, or lxc.net.%u.type = macvlan", l->index);
	}
	bv_fail(err, rc, "lxc.net.%u (veth): %s", l->index, cause->what);
	return cause->hint[0] ? bv_hint(err, "%s", cause->hint) : rc;
}

int bv_hostend_make(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, bv_hostend_make_fn make,
		    void *data, struct bv_error *err)
{
	struct bv_error cause = { 0 };
	int rc = make_retrying(h, nic, l, make, data, &cause);

	if (rc == 0)
		return 0;
	rc = explain(nic, l, &cause, rc, err);
	l->host_name[0] = '\0';
	return rc;
}

static bool wants_vlans(const struct bv_nic *nic)
{
	return nic->veth_vlan_id != -1 || nic->veth_vlan_tagged.n > 0;
}

int bv_hostend_finish(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	int rc = 0;

	if (bv_hostend_is_bridged(nic, l) && is_openvswitch(l)) {
		rc = bv_openvswitch_add(nic, l, err);
		l->openvswitch = rc == 0;
	}
	if (rc == 0 && bv_hostend_is_bridged(nic, l) && !is_openvswitch(l) && wants_vlans(nic))
		rc = bv_bridge_set_vlans(h, nic, l, bv_nl_link_index(&h->nl, l->host_name), err);
	if (rc == 0)
		rc = bv_hostside_add_routes(h, nic, l, err);
	return rc;
}

int bv_hostend_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	char name[16];

	(void)h;
	if (bv_hostend_has_fixed_name(nic) && bv_link_name_set(name, nic->veth_pair, l->index, "veth.pair", err) < 0)
		return -EINVAL;
	if (!wants_vlans(nic))
		return 0;
	if (!bv_hostend_is_bridged(nic, l))
		return bv_fail(err, EINVAL, "lxc.net.%u.veth.vlan needs a bridge in lxc.net.%u.link", l->index,
			       l->index);
	if (bv_streq(l->parent_facts.kind, "bridge") && !l->parent_facts.vlan_filtering) {
		bv_fail(err, EINVAL, "bridge \"%s\" does not filter VLANs, which lxc.net.%u.veth.vlan needs", l->parent,
			l->index);
		return bv_hint(err, "ip link set %s type bridge vlan_filtering 1", l->parent);
	}
	return 0;
}
