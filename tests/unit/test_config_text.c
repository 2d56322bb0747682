/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <fcntl.h>
#include <unistd.h>

#include "config/system.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static char *edit(const char *text, const char *const *edits, char **dump, struct bv_error *err)
{
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	if (bv_config_parse(cfg, text, strlen(text), "c", err) < 0)
		return NULL;
	for (; *edits; edits++)
		if (bv_config_set_line(cfg, *edits, err) < 0)
			return NULL;
	*dump = bv_config_dump(cfg);
	return bv_config_save_text(cfg);
}

/* What the saved text is after edits; it has to load into the same config as the edits made. */
static const char *edited(const char *text, const char *const *edits)
{
	static char ret[4096];
	struct bv_error err = { 0 };
	autofree char *dump = NULL, *dump_again = NULL, *saved = edit(text, edits, &dump, &err);
	autoclean(bv_config_freep) struct bv_config *again = bv_config_new();
	if (saved && bv_config_parse(again, saved, strlen(saved), "saved", &err) == 0) {
		dump_again = bv_config_dump(again);
		CHECK_STR(dump_again, dump);
		snprintf(ret, sizeof(ret), "%s", saved);
	} else {
		snprintf(ret, sizeof(ret), "error: %s", err.what);
	}
	return ret;
}

#define EDITS(...) ((const char *const[]){ __VA_ARGS__, NULL })

TEST(scalars_keep_their_place)
{
	CHECK_STR(edited("# a\nlxc.uts.name = x\n\nfoo bar\nlxc.tty.max = 4\n", EDITS("lxc.uts.name=y")),
		  "# a\nlxc.uts.name = y\n\nfoo bar\nlxc.tty.max = 4\n");
	CHECK_STR(edited("lxc.utsname = x\n", EDITS("lxc.uts.name=y")), "lxc.uts.name = y\n");
	CHECK_STR(edited("lxc.tty.max = 4\n#\nlxc.tty.max = 5", EDITS("lxc.tty.max = 6")), "#\nlxc.tty.max = 6\n");
	CHECK_STR(edited("#", EDITS("lxc.tty.max = 6", "vm.cpus = 2", "engine = vm")),
		  "#\nlxc.tty.max = 6\nvm.cpus = 2\nengine = vm\n");
	CHECK_STR(edited("", EDITS("lxc.utsname = y")), "lxc.uts.name = y\n");
	CHECK_STR(edited("lxc.sysctl.a = 1\nlxc.sysctl.b = 2\n", EDITS("lxc.sysctl.a = 3", "lxc.sysctl.c = 4")),
		  "lxc.sysctl.a = 3\nlxc.sysctl.b = 2\nlxc.sysctl.c = 4\n");
	CHECK_STR(edited("", EDITS("lxc.init.cmd = '/bin/x \" a '", "lxc.init.cwd = \"'x'\"")),
		  "lxc.init.cmd = \"/bin/x \" a \"\nlxc.init.cwd = \"'x'\"\n");
}

TEST(lists_append)
{
	CHECK_STR(edited("lxc.hook.start = a\nlxc.tty.max = 4\n", EDITS("lxc.hook.start = b", "lxc.hook.start = c")),
		  "lxc.hook.start = a\nlxc.hook.start = b\nlxc.hook.start = c\nlxc.tty.max = 4\n");
	/* The order of device rules counts, across the two keys. */
	CHECK_STR(edited("lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 r\nlxc.tty.max = 1\n",
			 EDITS("lxc.cgroup2.devices.deny = b 2:3 r", "lxc.cgroup2.memory.max = 5")),
		  "lxc.cgroup2.devices.deny = a\nlxc.cgroup2.devices.allow = c 1:3 r\n"
		  "lxc.cgroup2.devices.deny = b 2:3 r\nlxc.cgroup2.memory.max = 5\nlxc.tty.max = 1\n");
	CHECK_STR(edited("lxc.mount.auto = proc\n", EDITS("lxc.mount.auto = sys")),
		  "lxc.mount.auto = proc\nlxc.mount.auto = sys\n");
}

TEST(what_comes_later_cannot_undo_an_edit)
{
	CHECK_STR(edited("lxc.tty.max = 4\nlxc.include = /dev/null\n", EDITS("lxc.tty.max = 5")),
		  "lxc.include = /dev/null\nlxc.tty.max = 5\n");
	CHECK_STR(edited("lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net =\nlxc.net.0.type = veth\n",
			 EDITS("lxc.net.0.link = b")),
		  "lxc.net.0.type = veth\nlxc.net =\nlxc.net.0.type = veth\nlxc.net.0.link = b\n");
	CHECK_STR(edited("lxc.hook.start = a\nlxc.hook =\n", EDITS("lxc.hook.start = b")),
		  "lxc.hook.start = a\nlxc.hook =\nlxc.hook.start = b\n");
}

TEST(clearing_removes_lines)
{
	CHECK_STR(edited("#\nlxc.cap.drop = chown\nlxc.cap.drop = kill\n", EDITS("lxc.cap.drop =")), "#\n");
	CHECK_STR(edited("lxc.cap.drop = chown\nlxc.include = /dev/null\n", EDITS("lxc.cap.drop =")),
		  "lxc.include = /dev/null\nlxc.cap.drop =\n");
	CHECK_STR(edited("lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.01.type = phys\nlxc.net.1.link = b\n",
			 EDITS("lxc.net.0 =")),
		  "lxc.net.01.type = phys\nlxc.net.1.link = b\n");
	CHECK_STR(edited("lxc.hook.start = a\nlxc.hook.stop = b\n", EDITS("lxc.hook =")), "");
	CHECK_STR(edited("lxc.include = /dev/null\n", EDITS("lxc.include =")), "lxc.include = /dev/null\n");
}

TEST(link_types)
{
	CHECK_STR(edited("lxc.net.0.type = veth\nlxc.net.0.veth.pair = p\nlxc.net.0.link = a\nlxc.net.1.type = veth\n"
			 "lxc.net.1.veth.pair = q\n",
			 EDITS("lxc.net.0.type = macvlan")),
		  "lxc.net.0.type = macvlan\nlxc.net.0.link = a\nlxc.net.1.type = veth\nlxc.net.1.veth.pair = q\n");
}

TEST(legacy_networks_get_their_index_when_edited)
{
	static const char text[] =
		"lxc.network.type = veth\n# first\nlxc.network.link=a\nlxc.network.ipv4 = 10.0.0.1/24\n"
		"  lxc.network.type = phys\nlxc.network.link = b\nlxc.utsname = x\n";
	CHECK_STR(edited(text, EDITS("lxc.uts.name = y")),
		  "lxc.network.type = veth\n# first\nlxc.network.link=a\nlxc.network.ipv4 = 10.0.0.1/24\n"
		  "  lxc.network.type = phys\nlxc.network.link = b\nlxc.uts.name = y\n");
	CHECK_STR(edited(text, EDITS("lxc.net.0.link = c")),
		  "lxc.net.0.type = veth\n# first\nlxc.net.0.link = c\nlxc.net.0.ipv4.address = 10.0.0.1/24\n"
		  "lxc.net.1.type = phys\nlxc.net.1.link = b\nlxc.utsname = x\n");
	CHECK_STR(edited(text, EDITS("lxc.net.0 =", "lxc.network.mtu = 1400")),
		  "# first\nlxc.net.1.type = phys\nlxc.net.1.link = b\nlxc.utsname = x\nlxc.net.1.mtu = 1400\n");
	CHECK_STR(edited("lxc.rootfs = /r\nlxc.rootfs.backend = lvm\n", EDITS("lxc.rootfs.path = dir:/s")),
		  "lxc.rootfs.path = dir:/s\n");
}

TEST(mac_templates_are_kept)
{
	static const char before[] =
		"lxc.net.0.type = veth\n# x\nlxc.net.0.hwaddr = \"10:66:6a:xx:xx:xx\"\nlxc.net.0.flags = up\n";
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	CHECK_INT(bv_config_parse(cfg, before, strlen(before), "c", NULL), 0);
	autofree char *text = bv_config_save_text(cfg);
	CHECK(strstr(text, cfg->nics[0].hwaddr));
	CHECK(strstr(text, "# x\n") && !strstr(text, "xx"));
	CHECK_INT(strlen(text), strlen(before));
	CHECK_INT(bv_config_set(cfg, "lxc.net.0.hwaddr", "00:16:3e:xx:xx:xx", NULL), 0);
	autofree char *set = bv_config_save_text(cfg);
	CHECK(strstr(set, cfg->nics[0].hwaddr) && !strstr(set, "xx"));
	/* One of an included file stays a template there. */
	autoclean(bv_config_freep) struct bv_config *other = bv_config_new();
	char path[] = "/tmp/test_config_text.XXXXXX", line[64];
	close(mkstemp(path));
	CHECK_INT(bv_replace_file(AT_FDCWD, path, before, strlen(before), 0600, false), 0);
	snprintf(line, sizeof(line), "lxc.include = %s\n", path);
	CHECK_INT(bv_config_parse(other, line, strlen(line), "c", NULL), 0);
	CHECK(other->n_nics == 1 && !strpbrk(other->nics[0].hwaddr, "xX"));
	autofree char *kept = bv_config_save_text(other);
	CHECK_STR(kept, line);
	unlink(path);
}

TEST(lines_by_hand)
{
	struct bv_error err = { 0 };
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	CHECK_INT(bv_config_set_line(cfg, "lxc.uts.name=a", &err), 0);
	CHECK_INT(bv_config_set_line(cfg, " lxc.init.cmd = /x y=z ", &err), 0);
	CHECK_STR(cfg->init_cmd, "/x y=z");
	CHECK(bv_config_set_line(cfg, "lxc.uts.name", &err) < 0);
	CHECK_STR(err.what, "\"lxc.uts.name\" is not of the form KEY=VALUE");
	err = (struct bv_error){ 0 };
	CHECK(bv_config_set_line(cfg, "martian = x", &err) < 0);
	err = (struct bv_error){ 0 };
	CHECK(bv_config_set_line(cfg, "", &err) < 0);
	err = (struct bv_error){ 0 };
	CHECK(bv_config_set_line(cfg, "lxc.tty.max = x", &err) < 0);
	CHECK_STR(err.what, "lxc.tty.max: \"x\" is not a number from 0 to 4294967295");
}

/* ---- lxc.conf ---- */

TEST(system_config)
{
	struct bv_system_config sys;
	struct bv_error err = { 0 };
	char path[] = "/tmp/test_config_text.XXXXXX";
	int known;
	size_t n;

	setenv("BIVALVE_LXC_CONF", "/nonexistent/lxc.conf", 1);
	CHECK_INT(bv_system_config_load(&sys, &err), 0);
	if (geteuid() == 0) {
		CHECK_STR(sys.lxcpath, BV_LXCPATH);
		CHECK_STR(sys.default_config, BV_SYSCONFDIR "/lxc/default.conf");
	}
	CHECK_STR(sys.lvm_vg, "lxc");
	CHECK_STR(sys.rbd_user, "admin");
	CHECK(!sys.cgroup_pattern);
	bv_system_config_clear(&sys);

	static const char text[] =
		"# c\nlxc.lxcpath = /srv/lxc//\nlxc.bogus = x\nnonsense\n lxc.cgroup.pattern = lxc/%n\n"
		"lxc.bdev.lvm.vg=\nlxc.bdev.lvm.vg = vg0\nlxc.bdev.lvm.vg = vg1\n#lxc.cgroup.use = x";
	close(mkstemp(path));
	CHECK_INT(bv_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false), 0);
	setenv("BIVALVE_LXC_CONF", path, 1);
	CHECK_INT(bv_system_config_load(&sys, &err), 0);
	CHECK_STR(sys.lxcpath, "/srv/lxc");
	CHECK_STR(sys.cgroup_pattern, "lxc/%n");
	CHECK_STR(bv_system_config_get(&sys, "lxc.bdev.lvm.vg", &known), "vg1");
	CHECK(known);
	CHECK(!bv_system_config_get(&sys, "lxc.cgroup.use", &known) && known);
	CHECK(!bv_system_config_get(&sys, "lxc.bogus", &known) && !known);
	const char *const *keys = bv_system_config_keys(&n);
	CHECK_STR(keys[0], "lxc.default_config");
	for (size_t i = 0; i < n; i++) {
		bv_system_config_get(&sys, keys[i], &known);
		CHECK(known);
	}
	bv_system_config_clear(&sys);

	setenv("BIVALVE_LXC_CONF", "/tmp", 1);
	CHECK(bv_system_config_load(&sys, &err) < 0);
	CHECK(strstr(err.what, "cannot read /tmp"));
	CHECK(!sys.lxcpath);
	unlink(path);
}

TEST_MAIN()
