/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* src/net without a kernel: names, descriptions, and the bytes of requests. tests/root/net.sh has the rest. */
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "net/link.h"
#include "net/net.h"
#include "net/tap.h"
#include "net/nl.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static struct bv_config *config(const char *text)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = bv_config_new();

	if (!cfg || bv_config_parse(cfg, text, strlen(text), "test", &err) < 0) {
		printf("# config: %s\n", err.what);
		abort();
	}
	return cfg;
}

/* ---- the plan ---- */

TEST(wants_namespace)
{
	static const struct {
		const char *text;
		bool wants;
	} cases[] = {
		{ "", true },
		{ "lxc.net.0.type = none\n", false },
		{ "lxc.net.0.type = empty\n", true },
		{ "lxc.net.0.type = veth\n", true },
		{ "lxc.net.0.type = none\nlxc.net.1.type = veth\n", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		autoclean(bv_config_freep) struct bv_config *cfg = config(cases[i].text);
		CHECK_INT(bv_net_wants_namespace(cfg), cases[i].wants);
	}
}

/* The names inside, with blanks between, or the error. */
static const char *names(const char *text)
{
	static char out[700];
	autoclean(bv_config_freep) struct bv_config *cfg = config(text);
	autoclean(bv_net_clear) struct bv_net net = { .netlink = -1 };
	struct bv_error err = { 0 };
	size_t used = 0;

	if (bv_net_plan_inside(&net, cfg, &err) < 0) {
		snprintf(out, sizeof(out), "%s", err.what);
		return out;
	}
	out[0] = '\0';
	for (size_t i = 0; i < net.n; i++)
		used += (size_t)snprintf(out + used, sizeof(out) - used, "%s%s", i ? " " : "",
					 net.links[i].name[0] ? net.links[i].name : "-");
	return out;
}

TEST(names_inside)
{
	CHECK_STR(names("lxc.net.0.type = veth\nlxc.net.1.type = veth\n"), "eth0 eth1");
	CHECK_STR(names("lxc.net.0.type = veth\nlxc.net.1.type = veth\nlxc.net.1.name = eth0\n"), "eth1 eth0");
	CHECK_STR(names("lxc.net.0.type = empty\nlxc.net.1.type = veth\n"), "- eth0");
	CHECK_STR(names("lxc.net.0.type = veth\nlxc.net.1.type = phys\nlxc.net.1.link = eth0\n"), "eth1 eth0");
	CHECK_STR(names("lxc.net.0.type = phys\nlxc.net.0.link = wan\nlxc.net.0.name = eth7\n"), "eth7");
	CHECK_STR(names("lxc.net.0.type = veth\nlxc.net.0.name = lan%d\nlxc.net.1.type = veth\n"
			"lxc.net.1.name = lan%d\n"), "lan0 lan1");
	CHECK_STR(names("lxc.net.0.type = veth\nlxc.net.0.name = a\nlxc.net.1.type = veth\nlxc.net.1.name = a\n"),
		  "two links would have the name \"a\" in the instance (lxc.net.1)");
	CHECK(strstr(names("lxc.net.0.type = veth\nlxc.net.0.name = a%s\n"), "is no name for a network link"));
}

/* The error and the hint of a config that cannot be. */
static void refused(const char *text, const char *what, const char *hint)
{
	autoclean(bv_config_freep) struct bv_config *cfg = config(text);
	autoclean(bv_net_clear) struct bv_net net = { .netlink = -1 };
	struct bv_error err = { 0 };

	CHECK(bv_net_plan_inside(&net, cfg, &err) < 0);
	CHECK_STR(err.what, what);
	CHECK_STR(err.hint, hint);
}

TEST(refused_configs)
{
	refused("lxc.net.0.type = macvlan\n", "lxc.net.0.type is macvlan, which needs the name of a link on the host",
		"add a line: lxc.net.0.link = eth0");
	refused("lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.3.5/24\nlxc.net.0.ipv4.gateway = 10.0.3.1\n",
		"lxc.net.0.ipv4.gateway is set, but the link is not brought up", "add a line: lxc.net.0.flags = up");
	refused("lxc.net.2.type = veth\nlxc.net.2.flags = up\nlxc.net.2.ipv6.gateway = fe80::1\n",
		"lxc.net.2.ipv6.gateway is set, but the link has no IPv6 address",
		"add a line: lxc.net.2.ipv6.address = fd00::10/64");
	refused("lxc.net.0.type = veth\nlxc.net.0.flags = up\nlxc.net.0.ipv4.address = 10.0.3.5/24\n"
		"lxc.net.0.ipv4.gateway = auto\n",
		"lxc.net.0.ipv4.gateway = auto needs a veth, macvlan or ipvlan with lxc.net.0.link", "");
}

TEST(mac)
{
	static const struct {
		const char *text;
		int result;
	} cases[] = {
		{ NULL, 0 },		   { "", 0 },
		{ "00:16:3e:01:aB:Ff", 1 }, { "00:16:3e:01:ab", -EINVAL },
		{ "00:16:3e:01:ab:cg", -EINVAL }, { "00-16-3e-01-ab-cd", -EINVAL },
		{ "00:16:3e:01:ab:cd:", -EINVAL }, { "01:16:3e:01:ab:cd", -EINVAL },
		{ "0", -EINVAL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bv_nic nic = { .hwaddr = (char *)cases[i].text };
		struct bv_error err = { 0 };
		uint8_t mac[6] = { 0 };
		CHECK_INT(bv_link_mac(&nic, mac, &err), cases[i].result);
		if (cases[i].result == 1)
			CHECK(memcmp(mac, "\x00\x16\x3e\x01\xab\xff", 6) == 0);
	}
}

/* ---- descriptions ---- */

TEST(description)
{
	struct bv_net_link links[] = {
		{ .index = 0, .type = BV_NET_VETH, .host_name = "vethAbCdEf", .name = "eth0", .parent = "lxcbr0" },
		{ .index = 3, .type = BV_NET_PHYS, .host_name = "wan", .name = "eth1", .parent = "wan",
		  .host_mtu = 9000, .ifindex = 7 },
		{ .index = 4, .type = BV_NET_EMPTY },
		{ .index = 5, .type = BV_NET_VETH, .host_name = "x", .name = "y", .parent = "ovs0",
		  .openvswitch = true },
		{ .index = 6, .type = BV_NET_MACVLAN, .host_name = "mtapAbCdEf", .name = "eth2", .parent = "wan",
		  .ifindex = 31 },
	};
	struct bv_net net = { .links = links, .n = ARRAY_SIZE(links), .netlink = -1 };
	autoclean(bv_net_clear) struct bv_net read = { .netlink = -1 };
	autofree char *text = bv_net_describe(&net);
	struct bv_error err = { 0 };

	CHECK_STR(text, "0 veth vethAbCdEf eth0 lxcbr0 0 0 -\n3 phys wan eth1 wan 9000 7 -\n4 empty - - - 0 0 -\n"
			"5 veth x y ovs0 0 0 ovs\n6 macvlan mtapAbCdEf eth2 wan 0 31 -\n");
	CHECK_INT(bv_net_open(&read, text, &err), 0);
	CHECK_INT(read.n, 5);
	autofree char *again = bv_net_describe(&read);
	CHECK_STR(again, text);
	CHECK_INT(bv_net_open(&read, "", &err), 0);
	CHECK_INT(read.n, 0);
}

TEST(bad_descriptions)
{
	static const char *const bad[] = {
		"0", "0 veth a b c 0 0", "x veth a b c 0 0 -", "0 wlan a b c 0 0 -", "0 veth a b c -1 0 -",
		"0 veth sixteen-letters- b c 0 0 -", "0 veth ../etc b c 0 0 -", "0 veth a b c 0 0 - -",
		"0 veth a b c 0 0 +",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_net net = { .netlink = -1 };
		struct bv_error err = { 0 };
		CHECK_INT(bv_net_open(&net, bad[i], &err), -EINVAL);
		CHECK(strstr(err.what, "does not describe a network link"));
		CHECK_INT(net.n, 0);
	}
}

/* ---- requests ---- */

/* A walk over attributes that does not use the code under test. */
static const struct nlattr *find(const void *at, size_t len, int type)
{
	const char *p = at;

	while (len >= sizeof(struct nlattr)) {
		const struct nlattr *a = (const void *)p;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		size_t step = NLA_ALIGN(a->nla_len);
		if (a->nla_len < sizeof(*a) || step > len)
			return NULL;
		p += step;
		len -= step;
	}
	return NULL;
}

static const void *data_of(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

static const struct nlattr *inner(const struct nlattr *a, int type)
{
	return a ? find(data_of(a), (size_t)a->nla_len - NLA_HDRLEN, type) : NULL;
}

static const struct nlattr *outer(const struct nlmsghdr *h, size_t header, int type)
{
	size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(header);

	return find((const char *)h + skip, h->nlmsg_len - skip, type);
}

static long long number(const struct nlattr *a)
{
	uint32_t v = 0;

	if (!a || a->nla_len - NLA_HDRLEN > (int)sizeof(v))
		return -1;
	memcpy(&v, data_of(a), (size_t)a->nla_len - NLA_HDRLEN); /* little endian or exact */
	return v;
}

static const char *text_of(const struct nlattr *a)
{
	return a ? data_of(a) : NULL;
}

/* What attaching the only nic of `text` would send: there is no socket, so that it stays in the buffer. */
static const struct nlmsghdr *request(struct bv_net_host *h, const struct bv_link_ops *ops, const char *text)
{
	autoclean(bv_config_freep) struct bv_config *cfg = config(text);
	struct bv_net_link l = { .type = cfg->nics[0].type, .name = "eth0", .parent = "lan", .parent_facts.index = 17 };
	struct bv_error err = { 0 };

	h->pid = 4321;
	h->netns_fd = -1;
	bv_nl_init(&h->nl, -1);
	CHECK_INT(ops->attach(h, &cfg->nics[0], &l, &err), -EBADF);
	return (const void *)h->nl.out;
}

TEST(vlan_request)
{
	struct bv_net_host h;
	const struct nlmsghdr *m = request(&h, &bv_link_vlan, "lxc.net.0.type = vlan\nlxc.net.0.link = lan\n"
							      "lxc.net.0.vlan.id = 300\nlxc.net.0.mtu = 1400\n");
	const struct nlattr *info = outer(m, sizeof(struct ifinfomsg), IFLA_LINKINFO);

	CHECK_INT(m->nlmsg_type, RTM_NEWLINK);
	CHECK_INT(m->nlmsg_flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
	CHECK_STR(text_of(outer(m, sizeof(struct ifinfomsg), IFLA_IFNAME)), "eth0");
	CHECK_INT(number(outer(m, sizeof(struct ifinfomsg), IFLA_LINK)), 17);
	CHECK_INT(number(outer(m, sizeof(struct ifinfomsg), IFLA_NET_NS_PID)), 4321);
	CHECK_INT(number(outer(m, sizeof(struct ifinfomsg), IFLA_MTU)), 1400);
	CHECK_STR(text_of(inner(info, IFLA_INFO_KIND)), "vlan");
	const struct nlattr *id = inner(inner(info, IFLA_INFO_DATA), IFLA_VLAN_ID);
	CHECK_INT(number(id), 300);
	CHECK_INT(id ? id->nla_len : 0, NLA_HDRLEN + 2);
}

TEST(ipvlan_request)
{
	static const struct {
		const char *lines;
		int mode, flags; /* -1: not said */
	} cases[] = {
		{ "lxc.net.0.ipvlan.mode = l3\n", IPVLAN_MODE_L3, -1 },
		{ "lxc.net.0.ipvlan.mode = l2\n", IPVLAN_MODE_L2, -1 },
		{ "lxc.net.0.ipvlan.mode = l3s\nlxc.net.0.ipvlan.isolation = private\n", IPVLAN_MODE_L3S,
		  IPVLAN_F_PRIVATE },
		{ "lxc.net.0.ipvlan.mode = l3\nlxc.net.0.ipvlan.isolation = vepa\n", IPVLAN_MODE_L3, IPVLAN_F_VEPA },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bv_net_host h;
		char text[200];
		snprintf(text, sizeof(text), "lxc.net.0.type = ipvlan\nlxc.net.0.link = lan\n%s", cases[i].lines);
		const struct nlmsghdr *m = request(&h, &bv_link_ipvlan, text);
		const struct nlattr *info = outer(m, sizeof(struct ifinfomsg), IFLA_LINKINFO);
		const struct nlattr *data = inner(info, IFLA_INFO_DATA);
		CHECK_STR(text_of(inner(info, IFLA_INFO_KIND)), "ipvlan");
		CHECK_INT(number(inner(data, IFLA_IPVLAN_MODE)), cases[i].mode);
		CHECK_INT(number(inner(data, IFLA_IPVLAN_FLAGS)), cases[i].flags);
	}
}

TEST(macvlan_request)
{
	struct bv_net_host h;
	const struct nlmsghdr *m = request(&h, &bv_link_macvlan,
					   "lxc.net.0.type = macvlan\nlxc.net.0.link = lan\n"
					   "lxc.net.0.macvlan.mode = passthru\nlxc.net.0.hwaddr = 02:00:00:00:00:09\n");
	const struct nlattr *info = outer(m, sizeof(struct ifinfomsg), IFLA_LINKINFO);
	const struct nlattr *mac = outer(m, sizeof(struct ifinfomsg), IFLA_ADDRESS);

	CHECK_STR(text_of(inner(info, IFLA_INFO_KIND)), "macvlan");
	CHECK_INT(number(inner(inner(info, IFLA_INFO_DATA), IFLA_MACVLAN_MODE)), MACVLAN_MODE_PASSTHRU);
	CHECK(mac && memcmp(data_of(mac), "\x02\0\0\0\0\x09", 6) == 0);
}

TEST(bridge_vlan_request)
{
	autoclean(bv_config_freep) struct bv_config *cfg =
		config("lxc.net.0.type = veth\nlxc.net.0.veth.vlan.id = 7\nlxc.net.0.veth.vlan.tagged.id = 8\n");
	struct bv_net_link l = { .parent_facts = { .index = 3, .default_pvid = 1 } };
	struct bv_net_host h = { .netns_fd = -1 };
	struct bridge { uint16_t type, flags, id; } want[] = { { RTM_DELLINK, 0, 1 }, { RTM_SETLINK, 6, 7 },
							       { RTM_SETLINK, 0, 8 } };
	struct bv_error err = { 0 };

	bv_nl_init(&h.nl, -1);
	CHECK_INT(bv_bridge_set_vlans(&h, &cfg->nics[0], &l, 5, &err), -EBADF);
	const struct nlmsghdr *m = (const void *)h.nl.out;
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		const struct ifinfomsg *info = NLMSG_DATA(m);
		const struct nlattr *vlan = inner(outer(m, sizeof(*info), IFLA_AF_SPEC), 2 /* IFLA_BRIDGE_VLAN_INFO */);
		uint16_t got[2] = { 0 };
		CHECK_INT(m->nlmsg_type, want[i].type);
		CHECK_INT(info->ifi_family, AF_BRIDGE);
		CHECK_INT(info->ifi_index, 5);
		CHECK(vlan != NULL);
		if (vlan)
			memcpy(got, data_of(vlan), sizeof(got));
		CHECK_INT(got[0], want[i].flags);
		CHECK_INT(got[1], want[i].id);
		m = (const void *)((const char *)m + NLMSG_ALIGN(m->nlmsg_len));
	}
}

static struct bv_address address(int family, const char *text)
{
	struct bv_address a = { 0 };

	CHECK_INT(bv_address_parse(family, text, &a, NULL), 0);
	return a;
}

TEST(route_request)
{
	struct bv_address dest = address(AF_INET, "192.168.77.200/20"), by = address(AF_INET, "10.0.0.1");
	struct bv_nl nl;

	bv_nl_init(&nl, -1);
	bv_route_put(&nl, RTM_NEWROUTE, 9, &dest, &by, (struct bv_nl_note){ .cannot = "x" });
	const struct nlmsghdr *m = (const void *)nl.out;
	const struct rtmsg *r = NLMSG_DATA(m);
	const struct nlattr *dst = outer(m, sizeof(*r), RTA_DST), *via = outer(m, sizeof(*r), RTA_GATEWAY);
	CHECK_INT(r->rtm_dst_len, 20);
	CHECK(dst && memcmp(data_of(dst), "\xc0\xa8\x40\x00", 4) == 0);
	CHECK(via && memcmp(data_of(via), "\x0a\x00\x00\x01", 4) == 0);
	CHECK_INT(number(outer(m, sizeof(*r), RTA_OIF)), 9);
}

TEST(gateway_on_link)
{
	static const struct {
		int family;
		const char *gateway, *own;
		bool on_link;
	} cases[] = {
		{ AF_INET, "10.0.3.1", "10.0.3.5/24", true },	 { AF_INET, "10.0.4.1", "10.0.3.5/24", false },
		{ AF_INET, "10.0.3.9", "10.0.3.5/29", false },	 { AF_INET, "10.0.3.5", "10.0.3.5/32", true },
		{ AF_INET, "169.254.0.1", "10.0.3.5/32", false }, { AF_INET, "1.2.3.4", "10.0.3.5/0", true },
		{ AF_INET6, "fe80::1", "fd00::5/64", true },	 { AF_INET6, "fd00::1", "fd00::5/64", true },
		{ AF_INET6, "fd00:0:0:1::1", "fd00::5/63", true }, { AF_INET6, "fd00:0:0:1::1", "fd00::5/64", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bv_address gateway = address(cases[i].family, cases[i].gateway);
		struct bv_address own = address(cases[i].family, cases[i].own);
		struct bv_address_list list = { .v = &own, .n = 1 };
		CHECK_INT(bv_gateway_on_link(&gateway, &list), cases[i].on_link);
	}
}

/* What does not fit is never sent, and nothing is written beyond the buffer (the sanitizers watch). */
TEST(overflow)
{
	static char big[BV_NL_OUT];
	struct bv_error err = { 0 };
	struct bv_nl nl;

	bv_nl_init(&nl, -1);
	bv_nl_begin(&nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), (struct bv_nl_note){ .cannot = "x" });
	bv_nl_put(&nl, IFLA_ADDRESS, big, sizeof(big));
	CHECK_INT(bv_nl_flush(&nl, &err), -EMSGSIZE);

	bv_error_clear(&err);
	for (int i = 0; i < BV_NL_BATCH + 3; i++) {
		bv_nl_begin(&nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), (struct bv_nl_note){ .cannot = "x" });
		size_t nest = bv_nl_nest(&nl, IFLA_LINKINFO);
		bv_nl_put_str(&nl, IFLA_INFO_KIND, "veth");
		bv_nl_nest_end(&nl, nest);
	}
	CHECK_INT(bv_nl_flush(&nl, &err), -EMSGSIZE);

	bv_nl_begin(&nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg), (struct bv_nl_note){ .cannot = "x" });
	for (int i = 0; i < BV_NL_OUT; i++) {
		size_t nest = bv_nl_nest(&nl, IFLA_LINKINFO);
		bv_nl_put_header(&nl, sizeof(struct ifinfomsg));
		bv_nl_put_u8(&nl, 1, 1);
		bv_nl_nest_end(&nl, nest);
	}
	CHECK_INT(bv_nl_flush(&nl, NULL), -EMSGSIZE);
}

/* ---- taps ---- */

/* Refused before anything is looked at or made. */
TEST(taps_refused)
{
	static const struct {
		const char *text, *what, *hint;
	} cases[] = {
		{ "lxc.net.0.type = veth\nlxc.net.3.type = phys\nlxc.net.3.link = eth0\n",
		  "lxc.net.3.type = phys cannot be had in a VM",
		  "use lxc.net.3.type = macvlan, or run it as a container" },
		{ "lxc.net.0.type = ipvlan\nlxc.net.0.link = eth0\n", "lxc.net.0.type = ipvlan cannot be had in a VM",
		  "use lxc.net.0.type = macvlan, or run it as a container" },
		{ "lxc.net.0.type = vlan\nlxc.net.0.link = eth0\nlxc.net.0.vlan.id = 5\n",
		  "lxc.net.0.type = vlan cannot be had in a VM",
		  "use lxc.net.0.type = veth, or run it as a container" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		autoclean(bv_config_freep) struct bv_config *cfg = config(cases[i].text);
		struct bv_net_tap taps[2];
		unsigned int queues[2] = { 1, 1 };
		struct bv_net net = { .netlink = -1 };
		struct bv_error err = { 0 };
		CHECK_INT(bv_net_attach_taps(&net, cfg, queues, taps, &err), -ENOTSUP);
		CHECK_STR(err.what, cases[i].what);
		CHECK_STR(err.hint, cases[i].hint);
		for (size_t k = 0; k < cfg->n_nics; k++)
			CHECK(!taps[k].fds && taps[k].queues == 0);
	}
}

/* `none` shares the host's network and makes nothing: no place for fds, no socket. */
TEST(taps_of_nothing)
{
	autoclean(bv_config_freep) struct bv_config *cfg = config("lxc.net.0.type = none\n");
	struct bv_net_tap taps[1];
	unsigned int queues[1] = { 1 };
	struct bv_net net = { .netlink = -1 };
	struct bv_error err = { 0 };

	CHECK_INT(bv_net_attach_taps(&net, cfg, queues, taps, &err), 0);
	CHECK_INT(taps[0].queues, 0);
	CHECK_INT(net.n, 0);
	bv_net_taps_close(taps, 1);
}

/* ---- Open vSwitch: a program of that name stands in for the real one ---- */

TEST(openvswitch)
{
	autoclean(bv_config_freep) struct bv_config *cfg =
		config("lxc.net.0.type = veth\nlxc.net.0.link = ovs0\nlxc.net.0.veth.vlan.id = 5\n"
		       "lxc.net.0.veth.vlan.tagged.id = 6\nlxc.net.0.veth.vlan.tagged.id = 7\n");
	struct bv_net_link l = { .parent = "ovs0", .host_name = "vethA" };
	char dir[] = "/tmp/bv-net-XXXXXX", tool[64], calls[64], script[200];
	autofree char *got = NULL, *old = strdup(getenv("PATH"));
	struct bv_error err = { 0 };

	CHECK(mkdtemp(dir) != NULL);
	snprintf(tool, sizeof(tool), "%s/ovs-vsctl", dir);
	snprintf(calls, sizeof(calls), "%s/calls", dir);
	snprintf(script, sizeof(script), "#!/bin/sh\necho \"$*\" >>%s\n[ \"$2\" != del-port ]\n", calls);
	CHECK_INT(bv_replace_file(AT_FDCWD, tool, script, strlen(script), 0755, false), 0);
	setenv("PATH", dir, 1);
	CHECK_INT(bv_openvswitch_add(&cfg->nics[0], &l, &err), 0);
	CHECK_INT(bv_openvswitch_remove(&l, &err), -EIO);
	CHECK_STR(err.what, "ovs-vsctl could not change the ports of the Open vSwitch bridge \"ovs0\" for \"vethA\"");
	unlink(tool);
	bv_error_clear(&err);
	CHECK_INT(bv_openvswitch_remove(&l, &err), -ENOENT);
	CHECK_STR(err.hint, "install the package openvswitch-switch");
	setenv("PATH", old, 1);
	CHECK_INT(bv_read_file(AT_FDCWD, calls, 0, &got, NULL), 0);
	CHECK_STR(got, "--may-exist add-port ovs0 vethA tag=5 vlan_mode=native-untagged trunks=6,7\n"
		       "--if-exists del-port ovs0 vethA\n");
	unlink(calls);
	rmdir(dir);
}

TEST_MAIN()
