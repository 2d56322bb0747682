/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/boot.h"

#include "test.h"
#include "util/cleanup.h"

static const char least[] = "root.type virtiofs\nroot.source root\n";

static struct bv_boot full(void)
{
	struct bv_boot b = { .root_readonly = true, .ttys = 4, .execute = true, .uid = 0, .gid = 4294967294 };
	b.root_type = strdup("9p");
	b.root_source = strdup("root");
	b.root_options = strdup("trans=virtio,version=9p2000.L");
	b.console = strdup("ttyS0");
	bv_strv_add(&b.command, "sh");
	bv_strv_add(&b.command, "");
	bv_strv_add(&b.command, " two  blanks\n\t\\ \x7f\x01 \xc3\xa4 ");
	bv_strv_add(&b.mounts, "share:0 mnt none bind,ro 0 0");
	b.share_type = strdup("virtiofs");
	b.share_source = strdup("mounts");
	b.share_options = strdup("");
	return b;
}

TEST(there_and_back)
{
	autoclean(bv_boot_clear) struct bv_boot b = full(), got = { 0 };
	struct bv_error err = { 0 };
	autofree char *text = bv_boot_format(&b);
	CHECK(text);
	CHECK_INT(bv_boot_parse(&got, text, &err), 0);
	CHECK_STR(err.what, "");
	autofree char *again = bv_boot_format(&got);
	CHECK_STR(text, again);
	CHECK(got.root_readonly && got.execute && got.ttys == 4 && got.uid == 0 && got.gid == 4294967294);
	CHECK_INT(got.command.n, 3);
	CHECK_STR(got.command.v[1], "");
	CHECK_STR(got.command.v[2], b.command.v[2]);
	CHECK_STR(got.mounts.v[0], b.mounts.v[0]);
	CHECK_STR(got.share_options, "");
}

TEST(text)
{
	struct bv_boot b = { .root_type = "ext4", .root_source = "/dev/vda", .uid = -1, .gid = -1 };
	autofree char *text = bv_boot_format(&b);
	CHECK_STR(text, "root.type ext4\nroot.source /dev/vda\nroot.readonly 0\nttys 0\nexecute 0\nuid -1\ngid -1\n");
}

TEST(what_is_not_said)
{
	autoclean(bv_boot_clear) struct bv_boot b = { 0 };
	CHECK_INT(bv_boot_parse(&b, least, NULL), 0);
	CHECK(!b.root_options && !b.console && !b.share_type && b.uid == -1 && b.gid == -1 && b.command.n == 0);
}

static void refused(const char *line, const char *why)
{
	struct bv_boot b = { 0 };
	struct bv_error err = { 0 };
	autofree char *text = bv_asprintf("%s%s", least, line);
	CHECK_INT(bv_boot_parse(&b, text, &err), -EINVAL);
	CHECK_STR(err.what, why);
	CHECK(!b.root_type && b.command.n == 0);
}

TEST(refused_lines)
{
	refused("colour blue\n", "/boot:3: there is no key \"colour\"");
	refused("console\n", "/boot:3: \"console\" is not \"key value\"");
	refused("command a\n\nttys x\n", "/boot:5: \"x\" is no value for ttys");
	refused("ttys -1\n", "/boot:3: \"-1\" is no value for ttys");
	refused("execute 2\n", "/boot:3: \"2\" is no value for execute");
	refused("uid -2\n", "/boot:3: \"-2\" is no value for uid");
	refused("uid 4294967295\n", "/boot:3: \"4294967295\" is no value for uid");
	refused("root.type 9p\n", "/boot:3: root.type is there twice");
	refused("console a\\9\n", "/boot:3: \"a\\9\" is no value for console");
	refused("console a\\000\n", "/boot:3: \"a\\000\" is no value for console");
	refused("command a\\400\n", "/boot:3: \"a\\400\" is no value for command");
	refused("command a\\01", "/boot:3: \"a\\01\" is no value for command");
}

TEST(no_root)
{
	struct bv_boot b = { 0 };
	struct bv_error err = { 0 };
	CHECK_INT(bv_boot_parse(&b, "root.type 9p\n", &err), -EINVAL);
	CHECK_STR(err.what, "/boot: it does not say what the root file system is");
	CHECK(!b.root_type);
}

TEST_MAIN()
