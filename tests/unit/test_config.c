/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "config/internal.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static struct bv_error last_error;

static struct bv_config *parse(const char *text)
{
	struct bv_config *cfg = bv_config_new();
	last_error = (struct bv_error){ 0 };
	if (cfg && bv_config_parse(cfg, text, strlen(text), "c", &last_error) == 0)
		return cfg;
	bv_config_free(cfg);
	return NULL;
}

/* The value that `key` has after `text` (in which '|' stands for a line break), or what went wrong. */
static const char *value_after(const char *text, const char *key)
{
	static char ret[2048];
	char lines[1024];
	autofree char *value = NULL;
	snprintf(lines, sizeof(lines), "%s\n", text);
	for (char *s = lines; *s; s++)
		if (*s == '|')
			*s = '\n';
	autoclean(bv_config_freep) struct bv_config *cfg = parse(lines);
	if (!cfg)
		return "REJECT";
	if (bv_config_get(cfg, key, &value, &last_error) < 0)
		return last_error.code == ENOENT ? "INVALID" : "other error";
	snprintf(ret, sizeof(ret), "%s", value);
	return ret;
}

TEST(tables_are_sorted_and_complete)
{
	for (size_t i = 0; i < bv_config_n_keys + bv_n_nic_keys; i++) {
		bool nic = i >= bv_config_n_keys;
		const struct bv_key *k = nic ? &bv_nic_keys[i - bv_config_n_keys] : &bv_config_keys[i];
		CHECK(k->text && k->text[0] && k->text[strlen(k->text) - 1] == '.');
		CHECK(!strchr(k->text, '\\') && (!k->grammar || !strchr(k->grammar, '\\')));
		CHECK(k->type && k->type->set && k->type->clear && (k->type->get || k->type == &bv_type_include));
		CHECK(k->type->dump || k->type->size);
		CHECK(k->offset < (nic ? sizeof(struct bv_nic) : sizeof(struct bv_config)));
		if (i > 0 && i != bv_config_n_keys)
			CHECK(strcmp(k[-1].name, k->name) < 0);
	}
}

/* Seen from lxc-info -c of LXC 5.0.2, but for the rows that say otherwise. */
static const struct {
	const char *text, *key, *want;
} getters[] = {
	{ "", "lxc.uts.name", "" },
	{ "", "lxc.arch", "" },
	{ "", "lxc.autodev", "1" },
	{ "", "lxc.rootfs.managed", "1" },
	{ "", "lxc.log.level", "NOTSET" },
	{ "", "lxc.monitor.signal.pdeath", "9" },
	{ "", "lxc.time.offset.boot", "0 ns\n" },
	{ "", "lxc.time.offset.monotonic", "0ns\n" },
	{ "", "lxc.signal.halt", "0" },
	{ "", "lxc.net", "" },
	{ "", "lxc.cgroup.dir", "" }, /* LXC: (null) */
	{ "", "lxc.namespace.share.foo", "INVALID" },
	{ "", "lxc.prlimit.core", "" },
	{ "", "lxc.bogus", "INVALID" },
	{ "", "lxc.include", "INVALID" },
	{ "", "lxc.net.0.type", "INVALID" },
	{ "lxc.arch = x86", "lxc.arch", "i686" },
	{ "lxc.arch = arm64", "lxc.arch", "x86_64" },
	{ "lxc.init.uid = 0x10", "lxc.init.uid", "16" },
	{ "lxc.tty.max = 010", "lxc.tty.max", "8" },
	{ "lxc.tty.max = 5|lxc.tty.max = 6", "lxc.tty.max", "6" },
	{ "lxc.tty.max = 5|lxc.tty.max =", "lxc.tty.max", "0" },
	{ " \tlxc.tty.max=5", "lxc.tty.max", "5" },
	{ "lxc.tty.max = '5'", "lxc.tty.max", "5" },
	{ "lxc.tty.max = \"5'", "lxc.tty.max", "REJECT" },
	{ "lxc.tty.max = 5 # no comment", "lxc.tty.max", "REJECT" },
	{ "lxc.tty.max = -1", "lxc.tty.max", "REJECT" },
	{ "# lxc.tty.max = 5", "lxc.tty.max", "0" },
	{ "LXC.tty.max = 5", "lxc.tty.max", "0" },
	{ "foo bar", "lxc.tty.max", "0" },
	{ "lxc = 5", "lxc.tty.max", "0" },
	{ "lxc.", "lxc.tty.max", "REJECT" },
	{ "lxc.uts.name = ' a '", "lxc.uts.name", " a " },
	{ "lxc.uts.name = '", "lxc.uts.name", "'" },
	{ "lxc.uts.name = ''", "lxc.uts.name", "" },
	{ "lxc.execute.cmd = \"a b\" \"c d\"", "lxc.execute.cmd", "a b\" \"c d" },
	{ "lxc.init.groups = 1,2, 3|lxc.init.groups = 4", "lxc.init.groups", "1,2,3,4" },
	{ "lxc.init.groups = 5 6", "lxc.init.groups", "REJECT" },
	{ "lxc.signal.halt = sigterm", "lxc.signal.halt", "15" },
	{ "lxc.signal.stop = SIGRTMAX-1", "lxc.signal.stop", "63" },
	{ "lxc.signal.stop = SIGFOO", "lxc.signal.stop", "REJECT" },
	{ "lxc.time.offset.boot = 5 h", "lxc.time.offset.boot", "18000 s\n" },
	{ "lxc.time.offset.boot = 5ms", "lxc.time.offset.boot", "5000000 ns\n" },
	{ "lxc.time.offset.monotonic = 5s", "lxc.time.offset.monotonic", "5s\n" },
	{ "lxc.time.offset.boot = 5", "lxc.time.offset.boot", "REJECT" },
	{ "lxc.console.buffer.size = auto", "lxc.console.buffer.size", "131072" },
	{ "lxc.console.buffer.size = 5KB", "lxc.console.buffer.size", "8192" },
	{ "lxc.console.size = 1 GB", "lxc.console.size", "1073741824" },
	{ "lxc.console.size = 99999999999999GB", "lxc.console.size", "REJECT" },
	{ "lxc.log.level = 3", "lxc.log.level", "NOTICE" },
	{ "lxc.log.level = warn", "lxc.log.level", "WARN" },
	{ "lxc.log.level = 10", "lxc.log.level", "REJECT" },
	{ "lxc.log.syslog = local8", "lxc.log.syslog", "REJECT" },
	{ "lxc.cap.drop = mac_admin   sys_time|lxc.cap.drop = 3", "lxc.cap.drop", "mac_admin\nsys_time\n3\n" },
	{ "lxc.cap.drop = none", "lxc.cap.drop", "REJECT" },
	{ "lxc.cap.drop = chown|lxc.cap.keep = kill", "lxc.cap.keep", "REJECT" },
	{ "lxc.cap.keep = chown none", "lxc.cap.keep", "" },
	{ "lxc.cap.keep = none chown", "lxc.cap.keep", "chown\n" },
	{ "lxc.namespace.clone = net|lxc.namespace.clone = pid", "lxc.namespace.clone", "pid\nnet\n" },
	{ "lxc.namespace.keep = net|lxc.namespace.clone = pid", "lxc.namespace.clone", "REJECT" },
	{ "lxc.namespace.clone = network", "lxc.namespace.clone", "REJECT" },
	{ "lxc.namespace.share.pid = 55", "lxc.namespace.share.pid", "55" },
	{ "lxc.idmap = u  0\t100000  65536|lxc.idmap = g 0 1 2", "lxc.idmap", "u 0 100000 65536\ng 0 1 2" },
	{ "lxc.idmap = b 0 1 2", "lxc.idmap", "REJECT" },
	{ "lxc.prlimit.nofile = 5 : 10", "lxc.prlimit.nofile", "5:10" },
	{ "lxc.prlimit.nofile = 5|lxc.prlimit.core = unlimited", "lxc.prlimit",
	  "lxc.prlimit.nofile = 5\nlxc.prlimit.core = unlimited\n" },
	{ "lxc.prlimit.nofile = 0x5", "lxc.prlimit.nofile", "REJECT" },
	{ "lxc.prlimit.nofile = 5|lxc.prlimit.core = 6|lxc.prlimit.nofile =", "lxc.prlimit", "lxc.prlimit.core = 6\n" },
	{ "lxc.sysctl.a.b = 5|lxc.sysctl.a.b = 6", "lxc.sysctl.a.b", "6" },
	{ "lxc.sysctl.a = 5|lxc.sysctl.b = 6|lxc.sysctl.a =", "lxc.sysctl", "lxc.sysctl.b = 6\n" },
	{ "lxc.sysctl = 5", "lxc.sysctl", "REJECT" },
	{ "lxc.sysctl. = 5", "lxc.sysctl", "REJECT" },
	{ "lxc.cgroup2.a = 5|lxc.cgroup2.a = 6|lxc.cgroup2.b = 1", "lxc.cgroup2",
	  "lxc.cgroup2.a = 5\nlxc.cgroup2.a = 6\nlxc.cgroup2.b = 1\n" },
	{ "lxc.cgroup2.a.b = 5|lxc.cgroup2.a.b = 6", "lxc.cgroup2.a.b", "5\n6\n" },
	{ "lxc.cgroup2.a = 5|lxc.cgroup2.b = 6|lxc.cgroup2.a =", "lxc.cgroup2", "lxc.cgroup2.b = 6\n" },
	{ "lxc.cgroup2.a = 5|lxc.cgroup2 =", "lxc.cgroup2", "" },
	{ "lxc.cgroup.dir = a//b/", "lxc.cgroup.dir", "a/b" },
	{ "lxc.cgroup.dir = a/../b", "lxc.cgroup.dir", "REJECT" },
	{ "lxc.cgroup.dir.container.inner = a/b", "lxc.cgroup.dir.container.inner", "REJECT" },
	{ "lxc.hook.start = /a b|lxc.hook.start = /c", "lxc.hook.start", "/a b\n/c\n" },
	{ "lxc.hook.start = x|lxc.hook =", "lxc.hook.start", "" },
	{ "lxc.hook = x", "lxc.hook", "REJECT" },
	{ "lxc.mount.auto = proc sys cgroup", "lxc.mount.auto", "proc:mixed sys:mixed cgroup" },
	{ "lxc.mount.auto = cgroup:mixed cgroup-full:rw", "lxc.mount.auto", "cgroup-full:rw" },
	{ "lxc.mount.auto = proc|lxc.mount.auto = sys:rw", "lxc.mount.auto", "proc:mixed sys:rw" },
	{ "lxc.mount.auto = proc|lxc.mount.auto =", "lxc.mount.auto", "" },
	{ "lxc.mount.auto = proc:ro", "lxc.mount.auto", "REJECT" },
	{ "lxc.mount.auto = cgroup:force:mixed", "lxc.mount.auto", "REJECT" },
	{ "lxc.rootfs.path = overlay:/a:/b", "lxc.rootfs.path", "/a:/b" },
	{ "lxc.rootfs.path = /a", "lxc.rootfs.path", "/a" },
	{ "lxc.rootfs.options = create=dir", "lxc.rootfs.options", "REJECT" },
	{ "lxc.seccomp.notify.proxy = unix:@foo", "lxc.seccomp.notify.proxy", "foo" },
	{ "lxc.seccomp.notify.proxy = foo", "lxc.seccomp.notify.proxy", "REJECT" },
	{ "lxc.environment = A=b c|lxc.environment = BV_TEST_VARIABLE", "lxc.environment",
	  "A=b c\nBV_TEST_VARIABLE=v\n" },
	{ "lxc.environment = BV_TEST_NO_VARIABLE", "lxc.environment", "REJECT" },
	{ "lxc.apparmor.profile = x|lxc.selinux.context = a:b", "lxc.selinux.context", "a:b" },
	{ "lxc.net.1.type = veth|lxc.net.0.type = phys", "lxc.net", "phys\nveth\n" },
	{ "lxc.net.0.type = veth|lxc.net.1.type = phys|lxc.net.0 =", "lxc.net", "phys\n" },
	{ "lxc.net.0.type = veth|lxc.net =", "lxc.net", "" },
	{ "lxc.net.0 = x", "lxc.net", "REJECT" },
	{ "lxc.net = x", "lxc.net", "REJECT" },
	{ "lxc.net.a.type = veth", "lxc.net", "REJECT" },
	{ "lxc.net.2147483648.type = veth", "lxc.net", "REJECT" },
	{ "lxc.net.0..type = veth", "lxc.net", "REJECT" },
	{ "lxc.net.00.type = veth", "lxc.net.0.type", "veth" },
	{ "lxc.net.0.flags = down", "lxc.net.0.flags", "up" },
	{ "lxc.net.0.flags = up|lxc.net.0.flags =", "lxc.net.0.flags", "" },
	{ "lxc.net.0.link = 0123456789abcdefg", "lxc.net.0.link", "0123456789abcde" },
	{ "lxc.net.0.link = br0", "lxc.net.0.type", "empty" },
	{ "lxc.net.0.veth.pair = foo", "lxc.net.0.veth.pair", "REJECT" },
	{ "lxc.net.0.type=macvlan|lxc.net.0.veth.pair = foo", "lxc.net.0.veth.pair", "REJECT" },
	{ "lxc.net.0.type=macvlan", "lxc.net.0.veth.pair", "INVALID" },
	{ "lxc.net.0.type=macvlan", "lxc.net.0.macvlan.mode", "private" },
	{ "lxc.net.0.type=ipvlan", "lxc.net.0.ipvlan.mode", "l2" },
	{ "lxc.net.0.type=veth|lxc.net.0.veth.pair = a|lxc.net.0.type = macvlan|lxc.net.0.type = veth",
	  "lxc.net.0.veth.pair", "" },
	{ "lxc.net.0.ipv4.address = 10.0.3.5/24|lxc.net.0.ipv4.address = 10.0.3.6/24 10.0.3.99",
	  "lxc.net.0.ipv4.address", "10.0.3.5/24\n10.0.3.6/24" },
	{ "lxc.net.0.ipv6.address = fd00:0:0::1", "lxc.net.0.ipv6.address", "fd00::1/64" },
	{ "lxc.net.0.ipv4.gateway = dev", "lxc.net.0.ipv4.gateway", "dev" },
	{ "lxc.net.0.ipv4.gateway = foo", "lxc.net.0.ipv4.gateway", "REJECT" },
	{ "lxc.net.0.type=veth|lxc.net.0.veth.ipv4.route = 10.0.0.1", "lxc.net", "REJECT" },
	{ "lxc.net.0.type=veth|lxc.net.0.veth.vlan.id = 4095", "lxc.net", "REJECT" },
	{ "lxc.net.0.type=veth|lxc.net.0.veth.vlan.tagged.id = 5|lxc.net.0.veth.vlan.tagged.id = 6",
	  "lxc.net.0.veth.vlan.tagged.id", "5\n6" },
	{ "lxc.net.0.type=vlan|lxc.net.0.vlan.id = 65535", "lxc.net.0.vlan.id", "65535" },
	{ "lxc.net.0.hwaddr = 00:16:3e:AA:bb:cc", "lxc.net.0.hwaddr", "00:16:3e:AA:bb:cc" },
	/* ours: all lines below a prefix */
	{ "lxc.net.0.type=veth|lxc.net.0.veth.pair = a|lxc.net.0.link = b", "lxc.net.0",
	  "lxc.net.0.type = veth\nlxc.net.0.link = b\nlxc.net.0.veth.pair = a\n" },
	{ "lxc.net.0.type=veth|lxc.net.0.veth.pair = a|lxc.net.0.link = b", "lxc.net.0.veth",
	  "lxc.net.0.veth.pair = a\n" },
	{ "lxc.hook.start = x|lxc.hook.clone = y", "lxc.hook", "lxc.hook.clone = y\nlxc.hook.start = x\n" },
	{ "lxc.tty.max = 5|lxc.tty.dir = d", "lxc.tty.dir", "d" },
	{ "lxc.signal.halt = 5", "lxc.signal", "lxc.signal.halt = 5\n" },
	{ "engine = vm", "engine", "vm" },
	{ "vm.memory = 512M", "vm.memory", "536870912" },
	{ "vm.memory = 512", "vm.memory", "REJECT" },
	{ "vm.root.cache = sometimes", "vm.root.cache", "REJECT" },
	{ "vm.bogus = 1", "lxc.tty.max", "REJECT" },
	{ "engine.bogus = 1", "lxc.tty.max", "REJECT" },
	{ "engine", "lxc.tty.max", "REJECT" },
	{ "engines = 1", "lxc.tty.max", "0" },
	{ "vm = 1", "lxc.tty.max", "0" },
	/* what LXC gets wrong */
	{ "lxc.net.0.ipv4.address = 192.168.1.2", "lxc.net.0.ipv4.address", "192.168.1.2/24" },
	{ "lxc.mount.auto = cgroup:rw:force shmounts:/a", "lxc.mount.auto",
	  "cgroup:rw:force shmounts:/a:/dev/.lxc-mounts" },
	{ "lxc.console.buffer.size = 1M", "lxc.console.buffer.size", "1048576" },
};

TEST(getters_as_lxc)
{
	setenv("BV_TEST_VARIABLE", "v", 1);
	unsetenv("BV_TEST_NO_VARIABLE");
	for (size_t i = 0; i < ARRAY_SIZE(getters); i++) {
		const char *got = value_after(getters[i].text, getters[i].key);
		CHECK_STR(got, getters[i].want);
		if (strcmp(got, getters[i].want) != 0)
			printf("# \"%s\" %s (%s)\n", getters[i].text, getters[i].key, last_error.what);
	}
}

TEST(legacy_names)
{
	static const char text[] =
		"lxc.utsname = old|lxc.network.type = veth|lxc.network.link = br0|"
		"lxc.network.ipv4 = 10.0.0.2/24|lxc.network.type = macvlan|lxc.network.macvlan.mode = vepa|"
		"lxc.network.0.flags = up|lxc.pts = 7|lxc.rootfs.backend = btrfs|lxc.rootfs = /r|lxc.kmsg = 0|"
		"lxc.limit.nofile = 5|lxc.id_map = u 0 1 2|lxc.haltsignal = SIGUSR1|lxc.cgroup.a = 1";
	static const char *const want[][2] = {
		{ "lxc.uts.name", "old" },
		{ "lxc.utsname", "old" },
		{ "lxc.net", "veth\nmacvlan\n" },
		{ "lxc.network", "veth\nmacvlan\n" },
		{ "lxc.net.0.link", "br0" },
		{ "lxc.network.0.link", "br0" },
		{ "lxc.network.0.ipv4", "10.0.0.2/24" },
		{ "lxc.network.type", "macvlan" },
		{ "lxc.net.1.macvlan.mode", "vepa" },
		{ "lxc.net.0.flags", "up" },
		{ "lxc.pty.max", "7" },
		{ "lxc.rootfs", "/r" },
		{ "lxc.rootfs.backend", "btrfs" },
		{ "lxc.kmsg", "" },
		{ "lxc.prlimit.nofile", "5" },
		{ "lxc.limit.nofile", "5" },
		{ "lxc.idmap", "u 0 1 2" },
		{ "lxc.signal.halt", "10" },
		{ "lxc.cgroup.a", "1\n" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		CHECK_STR(value_after(text, want[i][0]), want[i][1]);
	CHECK_STR(value_after("lxc.rootfs = /r|lxc.rootfs.backend = lvm", "lxc.rootfs.backend"), "lvm");
	CHECK_STR(value_after("lxc.rootfs = overlayfs:/a:/b|lxc.rootfs.backend = lvm", "lxc.rootfs.backend"),
		  "overlayfs");
	CHECK_STR(value_after("lxc.network.link = br0", "lxc.net"), "REJECT");
	CHECK(strstr(last_error.hint, "lxc.network.type"));
	/* a legacy line after new ones, as old templates append it */
	CHECK_STR(value_after("lxc.net.0.type = veth|lxc.network.link = br0", "lxc.net.0.link"), "br0");
	CHECK_STR(value_after("lxc.net.3.type = veth|lxc.network.type = phys", "lxc.net.4.type"), "phys");
	CHECK_STR(value_after("lxc.network.type = veth|lxc.network =", "lxc.net"), "");
	CHECK_STR(value_after("lxc.network.bogus = veth", "lxc.net"), "REJECT");
}

static void check_error(const char *text, const char *what, const char *hint)
{
	autoclean(bv_config_freep) struct bv_config *cfg = parse(text);
	CHECK(!cfg);
	CHECK_STR(last_error.what, what);
	CHECK_STR(last_error.hint, hint);
}

TEST(errors_name_line_key_and_remedy)
{
	check_error("\n\nlxc.autodev = 7\n", "c:3: lxc.autodev: \"7\" is neither 0 nor 1", "");
	check_error("lxc.uts.nam = x", "c:1: there is no key \"lxc.uts.nam\"", "did you mean lxc.uts.name?");
	check_error("vm.memroy = 1G", "c:1: there is no key \"vm.memroy\"", "did you mean vm.memory?");
	check_error("lxc.net.0.lnik = x", "c:1: there is no key \"lxc.net.0.lnik\"", "did you mean lxc.net.0.link?");
	check_error("lxc.abcdefghijk = x", "c:1: there is no key \"lxc.abcdefghijk\"",
		    "lxc.container.conf(5) has all keys");
	check_error("#\nlxc.uts.name\n", "c:2: \"lxc.uts.name\" has no '='", "a line is KEY = VALUE");
	check_error("lxc.cap.drop = sys_amdin", "c:1: lxc.cap.drop: \"sys_amdin\" is not a capability",
		    "did you mean sys_admin?");
	check_error("lxc.prlimit.nofil = 1", "c:1: lxc.prlimit.nofil: \"nofil\" is not a resource limit",
		    "did you mean lxc.prlimit.nofile?");
	check_error("lxc.net.0.type = vet",
		    "c:1: lxc.net.0.type: \"vet\" is none of veth, macvlan, ipvlan, vlan, phys, empty, "
		    "or none",
		    "did you mean veth?");
	check_error("lxc.pts = x", "c:1: lxc.pts: \"x\" is not a number from 0 to 4294967295", "");

	struct bv_config *cfg = bv_config_new();
	struct bv_error err = { 0 };
	CHECK(bv_config_parse(cfg, "a\nb\0c", 5, "c", &err) < 0);
	CHECK_STR(err.what, "c:2: the file has a NUL byte");
	bv_config_free(cfg);

	autofree char *line = malloc(70001);
	memset(line, 'x', 70000);
	line[70000] = '\0';
	check_error(line, "c:1: the line has 70000 bytes, more than 65536", "");
	memcpy(line, "lxc.sysctl.", 11);
	memcpy(line + 1000, " = 1", 5);
	CHECK(!parse(line));
	/* No error object: still an error, nothing written. */
	cfg = bv_config_new();
	CHECK_INT(bv_config_parse(cfg, "lxc.x = 1", 9, "c", NULL), -EINVAL);
	CHECK_INT(bv_config_load(cfg, AT_FDCWD, "/nonexistent", NULL), -ENOENT);
	CHECK_INT(bv_config_load(cfg, AT_FDCWD, "/", NULL), -EISDIR);
	bv_config_free(cfg);
}

TEST(struct_fields)
{
	autoclean(bv_config_freep) struct bv_config *cfg =
		parse("lxc.arch = i686\nlxc.prlimit.nofile = 5:unlimited\nlxc.namespace.keep = net user\nlxc.cap.keep "
		      "= none\n"
		      "lxc.mount.auto = cgroup-full:force\nlxc.time.offset.boot = -5us\nlxc.net.0.type = veth\n"
		      "lxc.net.0.veth.vlan.id = none\nlxc.net.0.ipv4.gateway = 10.0.0.1\nlxc.keyring.session = 1\n");
	CHECK(cfg);
	if (!cfg)
		return;
	CHECK_INT(cfg->personality, PER_LINUX32);
	CHECK_STR(cfg->arch, "i686");
	CHECK_INT(cfg->rlimits[0].resource, RLIMIT_NOFILE);
	CHECK_INT(cfg->rlimits[0].soft, 5);
	CHECK(cfg->rlimits[0].hard == UINT64_MAX);
	CHECK(cfg->ns_keep_set && !cfg->ns_clone_set);
	CHECK_INT(cfg->ns_keep, (1 << BV_NS_NET) | (1 << BV_NS_USER));
	CHECK(cfg->cap_keep_set && cfg->cap_keep.n == 0);
	CHECK_INT(cfg->mount_auto.cgroup, BV_AUTO_UNSPECIFIED);
	CHECK(cfg->mount_auto.cgroup_full && cfg->mount_auto.cgroup_force && !cfg->mount_auto.cgroup2);
	CHECK(cfg->time_boot_set && cfg->time_boot_ns == -5000 && !cfg->time_monotonic_set);
	CHECK_INT(cfg->nics[0].veth_vlan_id, -2);
	CHECK_INT(cfg->nics[0].vlan_id, -1);
	CHECK_INT(cfg->nics[0].ipv4_gateway_kind, BV_GATEWAY_ADDRESS);
	CHECK_INT(cfg->nics[0].ipv4_gateway.bytes[0], 10);
	CHECK_INT(cfg->keyring_disable, 1);
	CHECK_INT(cfg->autodev_tmpfs_size, 500000);
	CHECK_INT(cfg->log_level, -1);
	CHECK_INT(cfg->monitor_signal_pdeath, -1);
	CHECK(cfg->autodev && cfg->rootfs_managed && cfg->vm_balloon);
	CHECK_STR(cfg->rootfs_mount, BV_ROOTFSMOUNT);
	CHECK(bv_config_nic(cfg, 0) == cfg->nics && !bv_config_nic(cfg, 1));
}

/* A value for every key, with what makes writing hard; a key without one fails the test below. */
static const struct {
	const char *type_or_key, *value;
} samples[] = {
	{ "engine", "vm" },
	{ "lxc.arch", "armhf" },
	{ "lxc.autodev", "0" },
	{ "lxc.cap.keep", "" }, /* excludes lxc.cap.drop: has a test of its own */
	{ "lxc.cap.drop", "chown sys_admin" },
	{ "lxc.cgroup", "" },
	{ "lxc.cgroup2", "" },
	{ "lxc.cgroup.dir.container.inner", "inner" },
	{ "lxc.console.buffer.size", "5KB" },
	{ "lxc.console.size", "auto" },
	{ "lxc.environment", "A= 'x' \"" },
	{ "lxc.environment.hooks", "B=" },
	{ "lxc.environment.runtime", "C==" },
	{ "lxc.hook", "" },
	{ "lxc.hook.version", "1" },
	{ "lxc.idmap", "u 0 100000 65536" },
	{ "lxc.include", "" },
	{ "lxc.init.groups", "5,6" },
	{ "lxc.keyring.session", "0" },
	{ "lxc.log.level", "DEBUG" },
	{ "lxc.log.syslog", "local3" },
	{ "lxc.mount.auto", "proc:rw sys cgroup2:ro:force shmounts:/a:/b" },
	{ "lxc.namespace.clone", "net time" },
	{ "lxc.namespace.keep", "" },
	{ "lxc.namespace.share", "" },
	{ "lxc.net", "" },
	{ "lxc.prlimit", "" },
	{ "lxc.proc", "" },
	{ "lxc.rootfs.managed", "0" },
	{ "lxc.rootfs.options", "ro,idmap=container" },
	{ "lxc.rootfs.path", "overlay:/a:/b" },
	{ "lxc.seccomp.notify.proxy", "unix:@x" },
	{ "lxc.start.order", "-5" },
	{ "lxc.sysctl", "" },
	{ "lxc.time.offset.boot", "-1ms" },
	{ "lxc.time.offset.monotonic", "0s" },
	{ "vm.accel", "tcg" },
	{ "vm.backend", "kvm" },
	{ "vm.balloon", "0" },
	{ "vm.memory", "1G" },
	{ "vm.root", "9p" },
	{ "vm.root.cache", "none" },
};

static const char *sample(const struct bv_key *k)
{
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
		if (bv_streq(samples[i].type_or_key, k->name))
			return samples[i].value;
	if (k->type == &bv_type_bool)
		return "1";
	if (k->type == &bv_type_u32 || k->type == &bv_type_id || k->type == &bv_type_size)
		return "77";
	if (k->type == &bv_type_signal)
		return "SIGRTMIN+3";
	if (k->type == &bv_type_relative_path)
		return "a/b";
	if (k->type == &bv_type_string || k->type == &bv_type_lines)
		return "  two  'words' # \"x\" ";
	if (k->type == &bv_type_words)
		return "two words";
	return NULL;
}

static const char families[] =
	"lxc.cgroup.memory.limit_in_bytes = 5M\nlxc.cgroup2.devices.allow = a\n"
	"lxc.cgroup2.devices.allow = c 1:3 rwm\nlxc.namespace.share.ipc = /a/b\n"
	"lxc.prlimit.nofile = 5:6\nlxc.prlimit.core = unlimited\nlxc.proc.oom_score_adj = 10\n"
	"lxc.sysctl.net.ipv4.ip_forward = 1\nlxc.net.0.type = veth\nlxc.net.0.flags = up\n"
	"lxc.net.0.link = br0\nlxc.net.0.hwaddr = 00:16:3e:xx:xx:xx\nlxc.net.0.mtu = 1400\n"
	"lxc.net.0.l2proxy = 1\nlxc.net.0.ipv4.address = 10.0.0.1/24 10.0.0.7\n"
	"lxc.net.0.ipv4.address = 10.0.0.2/31\nlxc.net.0.ipv4.gateway = 10.0.0.9\n"
	"lxc.net.0.ipv6.address = fd00::1\nlxc.net.0.ipv6.gateway = dev\nlxc.net.0.veth.mode = router\n"
	"lxc.net.0.veth.pair = p\nlxc.net.0.veth.n_rxqueues = 2\nlxc.net.0.veth.n_txqueues = 3\n"
	"lxc.net.0.veth.ipv4.route = 10.1.0.0/16\nlxc.net.0.veth.ipv6.route = fd01::/48\n"
	"lxc.net.0.veth.vlan.id = none\nlxc.net.0.veth.vlan.tagged.id = 9\n"
	"lxc.net.0.script.up = /bin/up x\nlxc.net.0.script.down = /bin/down\nlxc.net.0.name = eth0\n"
	"lxc.net.9.type = ipvlan\nlxc.net.9.ipvlan.mode = l3s\nlxc.net.9.ipvlan.isolation = vepa\n"
	"lxc.net.5.type = macvlan\nlxc.net.5.macvlan.mode = bridge\nlxc.net.7.type = vlan\n"
	"lxc.net.7.vlan.id = 65535\nlxc.net.8.flags = up\nlxc.net.8.flags =\n";

static void check_equal(const struct bv_config *a, const struct bv_config *b)
{
	autofree char *names = NULL;
	size_t size;
	FILE *f = open_memstream(&names, &size);
	bv_config_print_keys(f, "names");
	fputs("lxc\nvm\nlxc.net.0\nlxc.net.5\nlxc.net.7\nlxc.net.8\nlxc.net.9\n", f);
	fclose(f);
	char *rest = names, *name;
	while ((name = strsep(&rest, "\n")) && *name) {
		autofree char *va = NULL, *vb = NULL;
		int ra = bv_config_get(a, name, &va, NULL), rb = bv_config_get(b, name, &vb, NULL);
		CHECK_INT(ra, rb);
		if (ra == 0 && rb == 0)
			CHECK_STR(va, vb);
	}
}

TEST(dump_parses_back_equal)
{
	autoclean(bv_config_freep) struct bv_config *a = parse(families), *b = NULL;
	CHECK(a);
	for (size_t i = 0; a && i < bv_config_n_keys; i++) {
		const char *value = sample(&bv_config_keys[i]);
		struct bv_error err = { 0 };
		CHECK(value);
		if (!value || (*value && bv_config_set(a, bv_config_keys[i].name, value, &err) < 0)) {
			printf("# %s: %s\n", bv_config_keys[i].name, err.what);
			CHECK(0);
		}
	}
	autofree char *dump = bv_config_dump(a);
	b = parse(dump);
	if (!b)
		printf("# %s\n", last_error.what);
	CHECK(b);
	if (!b)
		return;
	autofree char *again = bv_config_dump(b);
	CHECK_STR(dump, again);
	check_equal(a, b);
	/* Each key that has a sample is in the dump: none is forgotten. */
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		char start[128];
		snprintf(start, sizeof(start), "\n%s", bv_config_keys[i].name);
		if (sample(&bv_config_keys[i])[0])
			CHECK(strstr(dump, start) || bv_after(dump, start + 1));
	}
	for (size_t i = 0; i < bv_n_nic_keys; i++) {
		char end[128];
		snprintf(end, sizeof(end), ".%s = ", bv_nic_keys[i].name);
		CHECK(strstr(dump, end));
	}
	/* The saved text is another way to the same config. */
	autofree char *text = bv_config_save_text(a);
	autoclean(bv_config_freep) struct bv_config *c = parse(text);
	CHECK(c);
	if (c)
		check_equal(a, c);
}

TEST(dump_of_defaults_and_odd_states)
{
	autoclean(bv_config_freep) struct bv_config *fresh = bv_config_new();
	autofree char *empty = bv_config_dump(fresh);
	CHECK_STR(empty, "");
	autoclean(bv_config_freep) struct bv_config *none =
		parse("lxc.cap.keep = chown none\nlxc.namespace.keep = ipc\n");
	autofree char *dump = bv_config_dump(none);
	CHECK_STR(dump, "lxc.cap.keep = none\nlxc.namespace.keep = ipc\n");
}

TEST(clear_restores_every_default)
{
	autoclean(bv_config_freep) struct bv_config *cfg = parse(families);
	for (size_t i = 0; i < bv_config_n_keys; i++)
		if (*sample(&bv_config_keys[i]))
			CHECK_INT(bv_config_set(cfg, bv_config_keys[i].name, sample(&bv_config_keys[i]), NULL), 0);
	for (size_t i = 0; i < bv_config_n_keys; i++)
		CHECK_INT(bv_config_clear(cfg, bv_config_keys[i].name, NULL), 0);
	autofree char *dump = bv_config_dump(cfg), *text = bv_config_save_text(cfg);
	CHECK_STR(dump, "");
	CHECK_STR(text, "");
}

TEST(a_failed_set_changes_nothing)
{
	static const char *const bad[][2] = {
		{ "lxc.cap.drop", "kill bogus" },
		{ "lxc.mount.auto", "sys:rw bogus" },
		{ "lxc.namespace.clone", "pid bogus" },
		{ "lxc.init.groups", "7,x" },
		{ "lxc.net.5.veth.pair", "x" },
		{ "lxc.net.0.type", "bogus" },
		{ "lxc.net.0.ipv4.gateway", "x" },
		{ "lxc.uts.name", "a\nlxc.hook.start = x" },
		{ "lxc.uts.name", "a\033[m" },
		{ "lxc.uts.name\nlxc.x", "a" },
		{ "lxc.uts.name = x", "a" },
		{ "lxc.network.type", "bogus" },
		{ "lxc.rootfs.backend", "lvm" },
		{ "", "x" },
		{ "foo", "x" },
		{ "lxc.include", "/nonexistent" },
		{ "lxc.prlimit.core", "6:5" },
	};
	autoclean(bv_config_freep) struct bv_config *cfg =
		parse("lxc.cap.drop = chown\nlxc.mount.auto = proc shmounts:/a:/b\nlxc.namespace.clone = "
		      "net\nlxc.init.groups = 4\n"
		      "lxc.net.0.type = veth\nlxc.uts.name = n\nlxc.prlimit.core = 1\n");
	autofree char *before = bv_config_dump(cfg), *text_before = bv_config_save_text(cfg);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_error err = { 0 };
		CHECK(bv_config_set(cfg, bad[i][0], bad[i][1], &err) < 0);
		CHECK(err.what[0]);
		autofree char *after = bv_config_dump(cfg), *text_after = bv_config_save_text(cfg);
		CHECK_STR(after, before);
		CHECK_STR(text_after, text_before);
	}
}

/* ---- files ---- */

static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_config.XXXXXX");
	if (!mkdtemp(dir))
		abort();
}

static const char *in_dir(const char *name)
{
	static char path[4][256];
	static int i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

__attribute__((format(printf, 2, 3))) static void put(const char *name, const char *fmt, ...)
{
	FILE *f = fopen(in_dir(name), "we");
	va_list ap;
	va_start(ap, fmt);
	if (!f || vfprintf(f, fmt, ap) < 0 || fclose(f) != 0)
		abort();
	va_end(ap);
}

static struct bv_config *load(const char *name)
{
	struct bv_config *cfg = bv_config_new();
	last_error = (struct bv_error){ 0 };
	if (bv_config_load(cfg, AT_FDCWD, in_dir(name), &last_error) == 0)
		return cfg;
	bv_config_free(cfg);
	return NULL;
}

/* What lxc.group is after loading the file, with spaces; or the error. */
static const char *groups_of(const char *name)
{
	static char ret[BV_ERROR_WHAT];
	autoclean(bv_config_freep) struct bv_config *cfg = load(name);
	autofree char *value = NULL;
	if (!cfg)
		return last_error.what;
	bv_config_get(cfg, "lxc.group", &value, NULL);
	for (char *s = value; *s; s++)
		if (*s == '\n')
			*s = ' ';
	snprintf(ret, sizeof(ret), "%s", value);
	return ret;
}

TEST(includes)
{
	char want[256];
	make_dir();
	CHECK(mkdir(in_dir("d"), 0700) == 0 && mkdir(in_dir("e"), 0700) == 0 && mkfifo(in_dir("fifo"), 0600) == 0);
	put("d/b.conf", "lxc.group = b\n");
	put("d/a.conf", "lxc.group = a\nlxc.include = ../one.conf\n");
	put("d/.conf", "lxc.bogus = 1\n");
	put("d/c.txt", "lxc.bogus = 1\n");
	put("one.conf", "lxc.group = one");
	put("main",
	    "lxc.group = x\nlxc.include = %s/d\nlxc.include = %s/missing/\nlxc.include = %s/e/\nlxc.include = "
	    "one.conf\n"
	    "lxc.include = /dev/null\nlxc.group = y\n",
	    dir, dir, dir);
	CHECK_STR(groups_of("main"), "x a one b one y ");

	put("bad", "\nlxc.include = bad2\n");
	put("bad2", "#\n#\nlxc.tty.max = x\n");
	snprintf(want, sizeof(want), "%s/bad2:3: lxc.tty.max: \"x\" is not a number from 0 to 4294967295", dir);
	CHECK_STR(groups_of("bad"), want);

	put("gone", "lxc.include = %s/missing\n", dir);
	snprintf(want, sizeof(want), "%s/gone:1: lxc.include: cannot open %s/missing: No such file or directory", dir,
		 dir);
	CHECK_STR(groups_of("gone"), want);

	put("fifos", "lxc.include = %s/fifo\n", dir);
	snprintf(want, sizeof(want), "%s/fifos:1: lxc.include: %s/fifo is not a regular file", dir, dir);
	CHECK_STR(groups_of("fifos"), want);
	put("device", "lxc.include = /dev/zero\n");
	CHECK(strstr(groups_of("device"), "/dev/zero is not a regular file"));

	CHECK_INT(bv_remove_tree(AT_FDCWD, dir), 0);
}

TEST(includes_have_limits)
{
	make_dir();
	CHECK(mkdir(in_dir("e"), 0700) == 0);
	put("loop", "lxc.include = loop2\n");
	put("loop2", "lxc.include = loop\n");
	CHECK(strstr(groups_of("loop"), "loop includes itself"));
	put("e/self.conf", "lxc.include = %s/e\n", dir);
	put("selfdir", "lxc.include = %s/e\n", dir);
	CHECK(strstr(groups_of("selfdir"), "includes itself") || strstr(groups_of("selfdir"), "levels deep"));

	for (int i = 0; i < 20; i++) {
		char name[16], next[16];
		snprintf(name, sizeof(name), "deep%d", i);
		snprintf(next, sizeof(next), "deep%d", i + 1);
		put(name, "lxc.include = %s\n", next);
	}
	put("deep20", "lxc.group = deep\n");
	CHECK(strstr(groups_of("deep0"), "more than 16 levels deep"));
	CHECK_STR(groups_of("deep4"), "deep ");
	/* each file twice: 2^16 files would be read */
	for (int i = 0; i < 15; i++) {
		char name[16];
		snprintf(name, sizeof(name), "bomb%d", i);
		put(name, "lxc.include = bomb%d\nlxc.include = bomb%d\n", i + 1, i + 1);
	}
	put("bomb15", "lxc.group = x\n");
	CHECK(strstr(groups_of("bomb0"), "more than 4096 files"));
	CHECK_INT(bv_remove_tree(AT_FDCWD, dir), 0);
}

TEST(relative_to_a_directory)
{
	char want[256];
	make_dir();
	put("bad2", "#\n#\nlxc.tty.max = x\n");
	put("one.conf", "lxc.group = one\n");
	CHECK(mkdir(in_dir("d"), 0700) == 0);
	put("d/a.conf", "lxc.group = a\nlxc.include = ../one.conf\n");
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct bv_config *cfg = bv_config_new();
	put("relative", "lxc.include = d\n");
	CHECK_INT(bv_config_load(cfg, fd, "relative", NULL), 0);
	CHECK_INT(cfg->groups.n, 2);
	last_error = (struct bv_error){ 0 };
	CHECK(bv_config_load(cfg, fd, "bad2", &last_error) < 0);
	snprintf(want, sizeof(want), "%s/bad2:3: ", dir);
	CHECK(bv_after(last_error.what, want));
	bv_config_free(cfg);
	close(fd);
	CHECK_INT(bv_remove_tree(AT_FDCWD, dir), 0);
}

TEST(the_file_itself)
{
	make_dir();
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	CHECK_INT(bv_config_load(cfg, AT_FDCWD, "/dev/null", NULL), 0);
	autofree char *text = bv_config_save_text(cfg);
	CHECK_STR(text, "");

	/* a pipe, longer than one read */
	int p[2];
	char path[64];
	CHECK(pipe2(p, O_CLOEXEC) == 0);
	for (int i = 0; i < 2000; i++)
		CHECK_INT(bv_write_all(p[1], "lxc.group = x\n", 14), 0);
	close(p[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", p[0]);
	CHECK_INT(bv_config_load(cfg, AT_FDCWD, path, NULL), 0);
	close(p[0]);
	CHECK_INT(cfg->groups.n, 2000);

	/* a second file is behind the first */
	put("a", "lxc.group = a");
	put("b", "lxc.group = b\n");
	autoclean(bv_config_freep) struct bv_config *both = bv_config_new();
	CHECK(bv_config_load(both, AT_FDCWD, in_dir("a"), NULL) == 0 &&
	      bv_config_load(both, AT_FDCWD, in_dir("b"), NULL) == 0);
	autofree char *two = bv_config_save_text(both);
	CHECK_STR(two, "lxc.group = a\nlxc.group = b\n");

	put("dos", "lxc.uts.name = a\r\nlxc.tty.max = 4\r\n\r\n# c\r\n");
	autoclean(bv_config_freep) struct bv_config *dos = load("dos");
	CHECK(dos && dos->tty_max == 4);
	if (dos)
		CHECK_STR(dos->uts_name, "a");
	CHECK_INT(truncate(in_dir("dos"), (8 << 20) + 1), 0);
	CHECK(!load("dos") && strstr(last_error.what, "larger than 8 MiB"));
	CHECK_INT(bv_remove_tree(AT_FDCWD, dir), 0);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

TEST(nothing_is_quadratic)
{
	static const char *const lines[] = {
		"lxc.tty.max=1\n",
		"lxc.uts.name=abc\n",
		"lxc.net.7.link=br0\n",
		"lxc.net.7.type=veth\n",
		"lxc.group=g\n",
		"lxc.sysctl.a.b=1\n",
		"lxc.prlimit.nofile=1\n",
		"lxc.mount.auto=proc sys\n",
		"lxc.hook.start=x\n",
		"lxc.cap.drop=chown\n",
		"lxc.idmap=u 0 1 2\n",
		"lxc.rootfs.path=/a\n",
		"# comment\n",
		"martian\n",
		"\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		size_t n = strlen(lines[i]), count = (8 << 20) / n;
		autofree char *text = malloc(n * count + 1);
		for (size_t j = 0; j < count; j++)
			memcpy(text + j * n, lines[i], n);
		double start = seconds();
		struct bv_config *cfg = bv_config_new();
		CHECK_INT(bv_config_parse(cfg, text, n * count, "c", NULL), 0);
		bv_config_free(cfg);
		double took = seconds() - start;
		/* some 0.2 s on a slow machine; with sanitizers ten times that */
		CHECK(took < 20);
		if (took > 2)
			printf("# %zu times %.*s: %.2f s\n", count, (int)n - 1, lines[i], took);
	}
	autofree char *many = malloc(4200 * 24);
	size_t n = 0;
	for (int i = 0; i < 4200; i++)
		n += (size_t)sprintf(many + n, "lxc.sysctl.a%d=1\n", i);
	CHECK(!parse(many) && strstr(last_error.what, "more than 4096"));
	n = 0;
	for (int i = 0; i < 1100; i++)
		n += (size_t)sprintf(many + n, "lxc.net.%d.flags=up\n", 5000 - i);
	CHECK(!parse(many) && strstr(last_error.what, "too many networks"));
}

TEST_MAIN()
