/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/num.h"

/* The keys below lxc.net.N, and the types that only they have. */

/* ---- type ---- */

static int type_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	const char *names[BV_NET_PHYS + 1];
	for (int type = 0; type <= BV_NET_PHYS; type++) {
		names[type] = bv_net_type_name(type);
		if (!bv_streq(value, names[type]))
			continue;
		r->nic->type = type;
		r->nic->has_type = true;
		bv_nic_clear_foreign(r->cfg, r->nic);
		return 0;
	}
	int ret = bv_fail(err, EINVAL, "\"%s\" is none of %s", value, r->key->grammar);
	const char *near = bv_nearest(value, names, ARRAY_SIZE(names));
	if (near)
		bv_hint(err, "did you mean %s?", near);
	return ret;
}

static void type_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_puts(out, bv_net_type_name(r->nic->type));
}

static void type_clear(const struct bv_key_ref *r)
{
	r->nic->type = BV_NET_EMPTY;
	r->nic->has_type = false;
}

static const struct bv_key_type type_type = { type_set, type_get, type_clear, NULL, sizeof(enum bv_net_type), NULL };

/* ---- flags: any value means "up" ---- */

static int flags_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	(void)value, (void)err;
	r->nic->up = true;
	return 0;
}

static void flags_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	if (r->nic->up)
		bv_buf_puts(out, "up");
}

static void flags_clear(const struct bv_key_ref *r)
{
	r->nic->up = false;
}

static const struct bv_key_type type_flags = { flags_set, flags_get, flags_clear, NULL, sizeof(bool), NULL };

/* ---- names of interfaces: the kernel's dev_valid_name(), cut to IFNAMSIZ as LXC does ---- */

static int ifname_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	char name[IFNAMSIZ];
	for (const char *s = value; *s; s++)
		if (*s == '/' || *s == ':' || isspace((unsigned char)*s))
			return bv_fail(err, EINVAL, "\"%s\" cannot be the name of a network interface", value);
	if (bv_streq(value, ".") || bv_streq(value, ".."))
		return bv_fail(err, EINVAL, "\"%s\" cannot be the name of a network interface", value);
	if (strlen(value) >= sizeof(name))
		bv_warn("config", "lxc.net.%u.%s: \"%s\" is cut to %d characters", r->nic->index, r->key->name, value,
			IFNAMSIZ - 1);
	snprintf(name, sizeof(name), "%.*s", IFNAMSIZ - 1, value);
	return bv_string_replace(r, name, err);
}

static const struct bv_key_type type_ifname = { ifname_set, bv_string_get, bv_string_clear, bv_string_dump, 0, NULL };

/* ---- hwaddr: six bytes in hex, x is a random digit ---- */

static int hwaddr_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	char mac[18];
	size_t n = 0;
	const char *s = value;
	for (int byte = 0; byte < 6; byte++) {
		size_t digits = strspn(s, "0123456789abcdefABCDEFxX");
		if (digits < 1 || digits > 2 || s[digits] != (byte < 5 ? ':' : '\0'))
			return bv_fail(err, EINVAL, "\"%s\" is not a MAC address such as 10:66:6a:xx:xx:xx", value);
		mac[n++] = digits == 2 ? s[0] : '0';
		mac[n++] = s[digits - 1];
		mac[n++] = ':';
		s += digits + 1;
	}
	mac[sizeof(mac) - 1] = '\0';
	bv_mac_expand(mac);
	return bv_string_replace(r, mac, err);
}

static const struct bv_key_type type_hwaddr = { hwaddr_set, bv_string_get, bv_string_clear, bv_string_dump, 0, NULL };

/* ---- numbers for which 0 means unset ---- */

static void nonzero_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	uint32_t v = *(uint32_t *)bv_key_field(r);
	if (v)
		bv_buf_printf(out, "%" PRIu32, v);
}

static int number_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	return bv_type_u32.set(r, value, err);
}

static void number_clear(const struct bv_key_ref *r)
{
	*(uint32_t *)bv_key_field(r) = 0;
}

static const struct bv_key_type type_nonzero = { number_set, nonzero_get, number_clear, NULL, sizeof(uint32_t), NULL };

/* ---- addresses and routes: `arg` is the family; routes (BV_KEY_LIST with link_type) need a prefix ---- */

static int address_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_address_list *l = bv_key_field(r);
	struct bv_address a;
	if (r->key->link_type && !strchr(value, '/'))
		return bv_fail(err, EINVAL, "the route \"%s\" has no prefix: NETWORK/BITS", value);
	int ret = bv_address_parse(r->key->arg, value, &a, err);
	if (ret < 0)
		return ret;
	if (bv_array_grow(&l->v, l->n, sizeof(a)) < 0)
		return bv_no_memory(err);
	l->v[l->n++] = a;
	return 0;
}

static void address_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const struct bv_address_list *l = bv_key_field(r);
	size_t start = out->len;
	char buf[64];
	for (size_t i = 0; i < l->n; i++) {
		bv_buf_separate(out, start, '\n');
		bv_buf_puts(out, bv_address_format(&l->v[i], true, buf, sizeof(buf)));
	}
}

static void address_clear(const struct bv_key_ref *r)
{
	struct bv_address_list *l = bv_key_field(r);
	free(l->v);
	*l = (struct bv_address_list){ 0 };
}

static void address_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	const struct bv_address_list *l = bv_key_field(r);
	char buf[64];
	for (size_t i = 0; i < l->n; i++) {
		const struct bv_address *a = &l->v[i];
		bv_buf_printf(out, "%s = %s", name, bv_address_format(a, true, buf, sizeof(buf)));
		if (a->has_broadcast)
			bv_buf_printf(out, " %u.%u.%u.%u", a->broadcast[0], a->broadcast[1], a->broadcast[2],
				      a->broadcast[3]);
		bv_buf_putc(out, '\n');
	}
}

static const struct bv_key_type type_addresses = { address_set, address_get, address_clear, address_dump, 0, NULL };

/* ---- gateways: offset is the kind, offset2 the address, `arg` the family ---- */

static struct bv_address *gateway_address(const struct bv_key_ref *r)
{
	return (struct bv_address *)((char *)r->nic + r->key->offset2);
}

static int gateway_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	enum bv_gateway *kind = bv_key_field(r);
	if (bv_streq(value, "auto")) {
		*kind = BV_GATEWAY_AUTO;
		return 0;
	}
	if (bv_streq(value, "dev")) {
		*kind = BV_GATEWAY_DEVICE;
		return 0;
	}
	if (strpbrk(value, "/ \t"))
		return bv_fail(err, EINVAL, "\"%s\" is none of an address without prefix, auto, dev", value);
	int ret = bv_address_parse(r->key->arg, value, gateway_address(r), err);
	if (ret == 0)
		*kind = BV_GATEWAY_ADDRESS;
	return ret;
}

static void gateway_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	char buf[64];
	switch (*(enum bv_gateway *)bv_key_field(r)) {
	case BV_GATEWAY_UNSET:
		break;
	case BV_GATEWAY_ADDRESS:
		bv_buf_puts(out, bv_address_format(gateway_address(r), false, buf, sizeof(buf)));
		break;
	case BV_GATEWAY_AUTO:
		bv_buf_puts(out, "auto");
		break;
	case BV_GATEWAY_DEVICE:
		bv_buf_puts(out, "dev");
		break;
	}
}

static void gateway_clear(const struct bv_key_ref *r)
{
	*(enum bv_gateway *)bv_key_field(r) = BV_GATEWAY_UNSET;
	*gateway_address(r) = (struct bv_address){ 0 };
}

static void gateway_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	if (*(enum bv_gateway *)bv_key_field(r) == BV_GATEWAY_UNSET)
		return;
	bv_buf_printf(out, "%s = ", name);
	gateway_get(r, out);
	bv_buf_putc(out, '\n');
}

static const struct bv_key_type type_gateway = { gateway_set, gateway_get, gateway_clear, gateway_dump, 0, NULL };

/* ---- VLAN ids: -1 unset (reads as 0, as in LXC), -2 none; `arg` is the greatest, `offset2` 1 allows "none" ---- */

static int vlan_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint32_t id;
	if (r->key->offset2 && bv_streq(value, "none")) {
		*(int *)bv_key_field(r) = -2;
		return 0;
	}
	if (bv_parse_u32(value, &id) < 0 || id > (uint16_t)r->key->arg)
		return bv_fail(err, EINVAL, "\"%s\" is not a VLAN id from 0 to %u%s", value, (uint16_t)r->key->arg,
			       r->key->offset2 ? ", or none" : "");
	*(int *)bv_key_field(r) = (int)id;
	return 0;
}

static void vlan_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	int id = *(int *)bv_key_field(r);
	if (id == -2)
		bv_buf_puts(out, "none");
	else
		bv_buf_printf(out, "%d", id < 0 ? 0 : id);
}

static void vlan_clear(const struct bv_key_ref *r)
{
	*(int *)bv_key_field(r) = -1;
}

static const struct bv_key_type type_vlan = { vlan_set, vlan_get, vlan_clear, NULL, sizeof(int), NULL };

static int tagged_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint32_t id;
	if (bv_parse_u32(value, &id) < 0 || id > 4094)
		return bv_fail(err, EINVAL, "\"%s\" is not a VLAN id from 0 to 4094", value);
	return bv_strv_addf(bv_key_field(r), "%" PRIu32, id) < 0 ? bv_no_memory(err) : 0;
}

static void tagged_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const struct bv_strv *l = bv_key_field(r);
	size_t start = out->len;
	for (size_t i = 0; i < l->n; i++) {
		bv_buf_separate(out, start, '\n');
		bv_buf_puts(out, l->v[i]);
	}
}

static const struct bv_key_type type_tagged = { tagged_set, tagged_get, bv_lines_clear, bv_lines_dump, 0, NULL };

/* ---- the table ---- */

static const struct bv_word veth_modes[] = { { "bridge", BV_VETH_BRIDGE }, { "router", BV_VETH_ROUTER }, { NULL, 0 } };

static const struct bv_word macvlan_modes[] = {
	{ "private", BV_MACVLAN_PRIVATE },
	{ "vepa", BV_MACVLAN_VEPA },
	{ "bridge", BV_MACVLAN_BRIDGE },
	{ "passthru", BV_MACVLAN_PASSTHRU },
	{ NULL, 0 },
};

static const struct bv_word ipvlan_modes[] = {
	{ "l2", BV_IPVLAN_L2 },
	{ "l3", BV_IPVLAN_L3 },
	{ "l3s", BV_IPVLAN_L3S },
	{ NULL, 0 },
};

static const struct bv_word ipvlan_isolations[] = {
	{ "bridge", BV_IPVLAN_SHARED },
	{ "private", BV_IPVLAN_ISOLATED_PRIVATE },
	{ "vepa", BV_IPVLAN_ISOLATED_VEPA },
	{ NULL, 0 },
};

#define AT(field) .offset = offsetof(struct bv_nic, field)

/* Sorted by name. */
const struct bv_key bv_nic_keys[] = {
	{ "flags", &type_flags, AT(up), .grammar = "up", .text = "Bring the link up when the instance starts." },
	{ "hwaddr", &type_hwaddr, AT(hwaddr), .grammar = "XX:XX:XX:XX:XX:XX",
	  .text = "The MAC address. A digit given as x becomes a random one; the result is kept when the config is "
		  "saved." },
	{ "ipv4.address", &type_addresses, AT(ipv4), .arg = AF_INET, .flags = BV_KEY_LIST,
	  .grammar = "ADDRESS[/BITS] [BROADCAST]",
	  .text = "An IPv4 address for the link inside. May be given more than once." },
	{ "ipv4.gateway", &type_gateway, AT(ipv4_gateway_kind), .offset2 = offsetof(struct bv_nic, ipv4_gateway),
	  .arg = AF_INET, .grammar = "ADDRESS, auto, or dev",
	  .text = "The IPv4 default gateway. With auto it is the address of the link on the host, with dev the route "
		  "has no gateway but the link itself." },
	{ "ipv6.address", &type_addresses, AT(ipv6), .arg = AF_INET6, .flags = BV_KEY_LIST, .grammar = "ADDRESS[/BITS]",
	  .text = "An IPv6 address for the link inside. May be given more than once." },
	{ "ipv6.gateway", &type_gateway, AT(ipv6_gateway_kind), .offset2 = offsetof(struct bv_nic, ipv6_gateway),
	  .arg = AF_INET6, .grammar = "ADDRESS, auto, or dev",
	  .text = "The IPv6 default gateway, in the same forms as for IPv4." },
	{ "ipvlan.isolation", &bv_type_word, AT(ipvlan_isolation), .link_type = BV_NET_IPVLAN,
	  .data = ipvlan_isolations, .arg = BV_IPVLAN_SHARED, .grammar = "bridge, private, or vepa",
	  .text = "Whether links on the same parent may talk to each other." },
	{ "ipvlan.mode", &bv_type_word, AT(ipvlan_mode), .link_type = BV_NET_IPVLAN, .data = ipvlan_modes,
	  .arg = BV_IPVLAN_L2, .grammar = "l2, l3, or l3s",
	  .text = "On which layer the packets are switched. The default is l2, as LXC 5 has it." },
	{ "l2proxy", &bv_type_bool, AT(l2proxy), .grammar = "0 or 1",
	  .text = "Let the parent link answer ARP and neighbour requests for the addresses of this link. The sysctls "
		  "for "
		  "forwarding and proxying must be set on the host." },
	{ "link", &type_ifname, AT(link), .grammar = "INTERFACE",
	  .text = "The link on the host: the bridge of a veth, the parent of a macvlan, ipvlan or vlan, the interface "
		  "itself for phys (where a + at the end stands for any rest)." },
	{ "macvlan.mode", &bv_type_word, AT(macvlan_mode), .link_type = BV_NET_MACVLAN, .data = macvlan_modes,
	  .arg = BV_MACVLAN_PRIVATE, .grammar = "private, vepa, bridge, or passthru",
	  .text = "Which other macvlan links of the same parent can be reached. The default is private." },
	{ "mtu", &type_nonzero, AT(mtu), .grammar = "BYTES",
	  .text = "The MTU. The default is that of the link on the host." },
	{ "name", &type_ifname, AT(name), .grammar = "NAME",
	  .text = "The name of the link inside. The default is the first free one of eth0, eth1, and so on." },
	{ "script.down", &bv_type_string, AT(script_down), .grammar = "COMMAND",
	  .text = "Run on the host before the link goes away." },
	{ "script.up", &bv_type_string, AT(script_up), .grammar = "COMMAND",
	  .text = "Run on the host after the link was made." },
	{ "type", &type_type, AT(type), .grammar = "veth, macvlan, ipvlan, vlan, phys, empty, or none",
	  .text = "The kind of link. It comes before the other keys of this network. With empty there is only "
		  "loopback, "
		  "with none the network of the host is shared." },
	{ "veth.ipv4.route", &type_addresses, AT(veth_ipv4_routes), .link_type = BV_NET_VETH, .arg = AF_INET,
	  .flags = BV_KEY_LIST, .grammar = "NETWORK/BITS",
	  .text = "A route on the host to the host end of the pair. May be given more than once." },
	{ "veth.ipv6.route", &type_addresses, AT(veth_ipv6_routes), .link_type = BV_NET_VETH, .arg = AF_INET6,
	  .flags = BV_KEY_LIST, .grammar = "NETWORK/BITS", .text = "The same for IPv6." },
	{ "veth.mode", &bv_type_word, AT(veth_mode), .link_type = BV_NET_VETH, .data = veth_modes,
	  .arg = BV_VETH_BRIDGE, .grammar = "bridge or router",
	  .text = "With bridge the host end joins the bridge named by link. With router it stays alone, and static "
		  "routes "
		  "lead to the addresses of the instance." },
	{ "veth.n_rxqueues", &type_nonzero, AT(veth_rxqueues), .link_type = BV_NET_VETH, .arg = 1, .grammar = "NUMBER",
	  .text = "The number of receive queues." },
	{ "veth.n_txqueues", &type_nonzero, AT(veth_txqueues), .link_type = BV_NET_VETH, .arg = 1, .grammar = "NUMBER",
	  .text = "The number of transmit queues." },
	{ "veth.pair", &type_ifname, AT(veth_pair), .link_type = BV_NET_VETH, .grammar = "NAME",
	  .text = "The name of the host end. The default is a random one that begins with veth." },
	{ "veth.vlan.id", &type_vlan, AT(veth_vlan_id), .offset2 = 1, .link_type = BV_NET_VETH, .arg = 4094,
	  .grammar = "0 to 4094, or none",
	  .text = "The untagged VLAN of the bridge port; none takes the port out of the default VLAN." },
	{ "veth.vlan.tagged.id", &type_tagged, AT(veth_vlan_tagged), .link_type = BV_NET_VETH, .flags = BV_KEY_LIST,
	  .grammar = "0 to 4094", .text = "A tagged VLAN of the bridge port. May be given more than once." },
	{ "vlan.id", &type_vlan, AT(vlan_id), .link_type = BV_NET_VLAN, .arg = -1, .grammar = "0 to 65535",
	  .text = "The VLAN of the link." },
};

const size_t bv_n_nic_keys = ARRAY_SIZE(bv_nic_keys);
