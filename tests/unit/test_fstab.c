/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/mount.h>
#include <stdlib.h>

#include "config/fstab.h"
#include "test.h"
#include "util/cleanup.h"

static int parse(struct bv_mount_line *m, const char *line, struct bv_error *err)
{
	*err = (struct bv_error){ 0 };
	return bv_mount_line_parse(m, line, err);
}

TEST(fields)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "  /src\t dst  none  bind,ro,create=dir 0 0\n", &err), 1);
	CHECK_STR(m.source, "/src");
	CHECK_STR(m.target, "dst");
	CHECK_STR(m.type, "none");
	CHECK_STR(m.data, "");
	CHECK(m.bind && !m.recursive && m.create_dir && !m.create_file && !m.optional);
	CHECK_INT(m.flags.set, MOUNT_ATTR_RDONLY);
}

TEST(three_fields_are_enough)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "proc proc proc", &err), 1);
	CHECK_STR(m.data, "");
}

TEST(blanks_and_comments)
{
	struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "", &err), 0);
	CHECK_INT(parse(&m, " \t\r\n", &err), 0);
	CHECK_INT(parse(&m, "  # a b c d", &err), 0);
}

TEST(escapes)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "/a\\040b /c\\011d\\134e none bind,x=\\054 0 0", &err), 1);
	CHECK_STR(m.source, "/a b");
	CHECK_STR(m.target, "/c\td\\e");
	struct bv_mount_line bad;
	CHECK_INT(parse(&bad, "/a\\000b c none bind", &err), -EINVAL);
	CHECK_INT(parse(&bad, "/a\\777b c none bind", &err), -EINVAL);
	autoclean(bv_mount_line_clear) struct bv_mount_line odd;
	CHECK_INT(parse(&odd, "/a\\04 b\\x none bind", &err), 1);
	CHECK_STR(odd.source, "/a\\04");
	CHECK_STR(odd.target, "b\\x");
}

TEST(data_goes_to_the_file_system)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "t t tmpfs size=64k,nosuid,mode=755,noexec,sync,x-systemd.foo,_netdev,nofail", &err), 1);
	CHECK_STR(m.data, "size=64k,mode=755,sync");
	CHECK_INT(m.flags.set, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
	CHECK(m.optional);
}

TEST(later_flags_win)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "a b none bind,ro,nodev,rw,noatime,relatime,strictatime,dev,defaults", &err), 1);
	CHECK_INT(m.flags.set, MOUNT_ATTR_STRICTATIME);
	CHECK_INT(m.flags.clear, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR__ATIME);
}

TEST(propagation)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m, n;
	struct bv_error err;
	CHECK_INT(parse(&m, "a b none rbind,rslave", &err), 1);
	CHECK_INT(m.flags.propagation, 1 << 19);
	CHECK(m.flags.propagation_recursive && m.recursive);
	CHECK_INT(parse(&n, "a b none bind,shared", &err), 1);
	CHECK_INT(n.flags.propagation, 1 << 20);
	CHECK(!n.flags.propagation_recursive);
	CHECK_STR(n.data, "");
}

TEST(extras)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err;
	CHECK_INT(parse(&m, "a b none bind,relative,optional,create=file,idmap=container", &err), 1);
	CHECK(m.relative && m.optional && m.create_file);
	CHECK_STR(m.idmap, "container");
	autoclean(bv_mount_line_clear) struct bv_mount_line n;
	CHECK_INT(parse(&n, "a b none bind,idmap=container,idmap=/proc/1/ns/user", &err), 1);
	CHECK_STR(n.idmap, "/proc/1/ns/user");
}

TEST(refused)
{
	static const char *const bad[] = {
		"a",
		"a b",
		"a b none",
		"a b none ro",
		"a b auto defaults",
		"a b none bind,move",
		"a b none move,remount",
		"a b none bind,create=dir,create=file",
		"a b none bind,create=x",
		"a b none bind,idmap=1",
		"a b none bind 0 0 0",
		"/a b c none bind 0 0",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_mount_line m;
		struct bv_error err;
		CHECK_INT(parse(&m, bad[i], &err), -EINVAL);
		CHECK(err.what[0] != '\0' && m.source == NULL);
	}
}

TEST(options_of_the_rootfs)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m;
	struct bv_error err = { 0 };
	CHECK_INT(bv_mount_options_parse(&m, "ro,nosuid,idmap=container,compress=zstd", &err), 0);
	CHECK_STR(m.data, "compress=zstd");
	CHECK_INT(m.flags.set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
	CHECK_STR(m.idmap, "container");
	static const char *const bad[] = { "create=dir", "optional", "relative", "bind", "remount", "ro,rbind" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_mount_line n;
		err = (struct bv_error){ 0 };
		CHECK_INT(bv_mount_options_parse(&n, bad[i], &err), -EINVAL);
	}
	autoclean(bv_mount_line_clear) struct bv_mount_line empty;
	CHECK_INT(bv_mount_options_parse(&empty, "", NULL), 0);
	CHECK_STR(empty.data, "");
}

TEST_MAIN()
