/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>

#include "test.h"

TEST(namespaces)
{
	for (int ns = 0; ns < BV_NS_COUNT; ns++)
		CHECK_INT(bv_ns_parse(bv_ns_name(ns)), ns);
	CHECK_INT(bv_ns_parse("MOUNT"), BV_NS_MNT);
	CHECK_INT(bv_ns_parse("utsname"), BV_NS_UTS);
	CHECK_INT(bv_ns_parse("Network"), BV_NS_NET);
	CHECK_INT(bv_ns_parse("mnt "), -EINVAL);
	CHECK_INT(bv_ns_parse(""), -EINVAL);
	CHECK_INT(bv_ns_clone_flag(BV_NS_MNT), CLONE_NEWNS);
	CHECK(!bv_ns_name(BV_NS_COUNT));
}

TEST(signals)
{
	char buf[32];
	CHECK_INT(bv_signal_parse("SIGHUP"), SIGHUP);
	CHECK_INT(bv_signal_parse("hup"), SIGHUP);
	CHECK_INT(bv_signal_parse("SIGRTMIN+3"), SIGRTMIN + 3);
	CHECK_INT(bv_signal_parse("sigrtmax-1"), SIGRTMAX - 1);
	CHECK_INT(bv_signal_parse("RTMIN"), SIGRTMIN);
	CHECK_INT(bv_signal_parse("9"), 9);
	CHECK_INT(bv_signal_parse("0"), 0);
	CHECK_INT(bv_signal_parse("65"), -EINVAL);
	CHECK_INT(bv_signal_parse("SIGRTMIN-1"), -EINVAL);
	CHECK_INT(bv_signal_parse("SIGRTMIN+99"), -EINVAL);
	CHECK_INT(bv_signal_parse("SIGFOO"), -EINVAL);
	CHECK_INT(bv_signal_parse(""), -EINVAL);
	CHECK_INT(bv_signal_parse("-9"), -EINVAL);
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		CHECK_INT(bv_signal_parse(bv_signal_name(sig, buf, sizeof(buf))), sig);
	CHECK_STR(bv_signal_name(SIGCHLD, buf, sizeof(buf)), "SIGCHLD");
	CHECK_STR(bv_signal_name(SIGRTMIN + 3, buf, sizeof(buf)), "SIGRTMIN+3");
}

TEST(mac_templates)
{
	char seen_differ = 0, first[18] = "";
	for (int i = 0; i < 64; i++) {
		char mac[] = "xX:66:6a:xx:xx:xx";
		bv_mac_expand(mac);
		CHECK_INT(strspn(mac, "0123456789abcdef:"), 17);
		CHECK(strncmp(mac + 2, ":66:6a:", 7) == 0);
		CHECK(strchr("02468ace", mac[1]));
		if (i == 0)
			memcpy(first, mac, sizeof(first));
		seen_differ |= strcmp(first, mac) != 0;
	}
	CHECK(seen_differ);
	char plain[] = "01:16:3E:aa:bb:cc";
	bv_mac_expand(plain);
	CHECK_STR(plain, "01:16:3E:aa:bb:cc");
}

static const char *canonical(int family, const char *text)
{
	static char buf[160];
	char ip[64];
	struct bv_address a;
	struct bv_error err = { 0 };
	if (bv_address_parse(family, text, &a, &err) < 0) {
		snprintf(buf, sizeof(buf), "error");
		return err.code == EINVAL && err.what[0] ? buf : "error without sentence";
	}
	bv_address_format(&a, true, ip, sizeof(ip));
	if (a.has_broadcast)
		snprintf(buf, sizeof(buf), "%s %u.%u.%u.%u", ip, a.broadcast[0], a.broadcast[1], a.broadcast[2],
			 a.broadcast[3]);
	else
		snprintf(buf, sizeof(buf), "%s", ip);
	return buf;
}

TEST(addresses)
{
	static const struct {
		int family;
		const char *text, *want;
	} rows[] = {
		{ AF_INET, "10.0.3.5/24", "10.0.3.5/24 10.0.3.255" },
		{ AF_INET, "10.0.3.5/24 10.0.3.9", "10.0.3.5/24 10.0.3.9" },
		{ AF_INET, "10.0.3.5", "10.0.3.5/8 10.255.255.255" },
		{ AF_INET, "172.16.0.1", "172.16.0.1/16 172.16.255.255" },
		{ AF_INET, "192.168.1.2", "192.168.1.2/24 192.168.1.255" },
		{ AF_INET, "1.2.3.4/0", "1.2.3.4/0 255.255.255.255" },
		{ AF_INET, "1.2.3.4/31", "1.2.3.4/31" },
		{ AF_INET, "1.2.3.4/32", "1.2.3.4/32" },
		{ AF_INET, "1.2.3.4/33", "error" },
		{ AF_INET, "1.2.3/24", "error" },
		{ AF_INET, "1.2.3.4/", "error" },
		{ AF_INET, "1.2.3.4/24 nonsense", "error" },
		{ AF_INET, "", "error" },
		{ AF_INET6, "fd00::1/48", "fd00::1/48" },
		{ AF_INET6, "fd00:0::1", "fd00::1/64" },
		{ AF_INET6, "fd00::1/129", "error" },
		{ AF_INET6, "fd00::1/64 fd00::2", "error" },
		{ AF_INET6, "10.0.0.1", "error" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK_STR(canonical(rows[i].family, rows[i].text), rows[i].want);
}

TEST(names_of_types_and_hooks)
{
	CHECK_STR(bv_net_type_name(BV_NET_IPVLAN), "ipvlan");
	CHECK_STR(bv_hook_name(BV_HOOK_START_HOST), "start-host");
	for (int i = 0; i < BV_HOOK_COUNT; i++)
		CHECK(bv_hook_name(i) && bv_hook_name(i)[0]);
	for (int i = 0; i <= BV_NET_PHYS; i++)
		CHECK(bv_net_type_name(i) && bv_net_type_name(i)[0]);
}

TEST_MAIN()
