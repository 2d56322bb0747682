/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include "engine/vm/jail/jail.h"
#include "engine/vm/jail/share.h"
#include "util/cleanup.h"

static void check_line(const struct bv_share_how *how, const char *want)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	autoclean(bv_buf_clear) struct bv_buf line = { 0 };
	CHECK_INT(bv_share_command(&argv, how, 7), 0);
	for (size_t i = 0; i < argv.n; i++)
		bv_buf_printf(&line, "%s%s", i ? " " : "", argv.v[i]);
	autofree char *text = bv_buf_take(&line);
	CHECK_STR(text, want);
}

TEST(command_of_the_c_server)
{
	struct bv_share_how how = {
		.program = "/usr/lib/qemu/virtiofsd", .directory = "/stage/root", .cache = "always"
	};
	check_line(&how, "/usr/lib/qemu/virtiofsd --fd=7 --rlimit-nofile=0 -o source=/stage/root -o cache=always"
			 " -o log_level=err -o sandbox=namespace -o announce_submounts -o xattr -o posix_acl");
	how.cache = "none";
	how.readonly = true; /* by the mount */
	check_line(&how, "/usr/lib/qemu/virtiofsd --fd=7 --rlimit-nofile=0 -o source=/stage/root -o cache=none"
			 " -o log_level=err -o sandbox=namespace -o announce_submounts -o xattr -o posix_acl");
}

TEST(command_of_the_rust_server)
{
	struct bv_share_how how = {
		.program = "/usr/libexec/virtiofsd", .is_rust = true, .directory = "/stage/mounts", .cache = "auto"
	};
	check_line(&how, "/usr/libexec/virtiofsd --fd=7 --rlimit-nofile=0 --shared-dir=/stage/mounts --cache=auto"
			 " --log-level=error --sandbox=namespace --announce-submounts --xattr --posix-acl");
	how.cache = "none";
	check_line(&how, "/usr/libexec/virtiofsd --fd=7 --rlimit-nofile=0 --shared-dir=/stage/mounts --cache=never"
			 " --log-level=error --sandbox=namespace --announce-submounts --xattr --posix-acl");
}

TEST(the_user_is_of_the_range_and_stays_the_same)
{
	uid_t first = bv_jail_uid("/var/lib/lxc", "one");
	CHECK_INT(first, bv_jail_uid("/var/lib/lxc", "one"));
	CHECK(first != bv_jail_uid("/var/lib/lxc", "two"));
	CHECK(first != bv_jail_uid("/srv/lxc", "one"));
	for (char name[] = "a"; *name <= 'z'; name[0]++) {
		uid_t uid = bv_jail_uid("/var/lib/lxc", name);
		CHECK(uid >= 1879048192 && uid <= 1879113727);
	}
}

TEST_MAIN()
