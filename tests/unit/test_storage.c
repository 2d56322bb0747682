/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/backends.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static char top[] = "/tmp/test_storage.XXXXXX";

static int open_path(struct bv_storage *s, const char *path, struct bv_error *err)
{
	char copy[256];
	snprintf(copy, sizeof(copy), "%s", path);
	struct bv_config cfg = { .rootfs_path = copy };
	*err = (struct bv_error){ 0 };
	return bv_storage_open(s, &cfg, err);
}

TEST(types_by_prefix)
{
	static const struct {
		const char *path, *type, *rest;
	} good[] = {
		{ "dir:/a/b", "dir", "/a/b" },
		{ "/nonexistent/x", "dir", "/nonexistent/x" },
		{ "/nonexistent/a:b", "dir", "/nonexistent/a:b" },
		{ "overlay:/l:/u", "overlay", "/l:/u" },
		{ "overlayfs:/l:/u", "overlay", "/l:/u" },
		{ "none:/x", "dir", "/x" },
		{ "loop:/x/rootdev", "loop", "/x/rootdev" },
		{ "/dev/null", "dir", "/dev/null" },
		{ "/proc/self/exe", "loop", "/proc/self/exe" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		autoclean(bv_storage_clear) struct bv_storage s;
		struct bv_error err;
		CHECK_INT(open_path(&s, good[i].path, &err), 0);
		CHECK_STR(s.ops ? s.ops->name : NULL, good[i].type);
		CHECK_STR(s.path, good[i].rest);
	}
}

TEST(refused_with_a_reason)
{
	struct bv_storage s;
	struct bv_error err;
	CHECK_INT(open_path(&s, "zfs:pool/x", &err), -ENOTSUP);
	CHECK(strstr(err.what, "type zfs") != NULL);
	CHECK_INT(open_path(&s, "overly:/a:/b", &err), -EINVAL);
	CHECK(strstr(err.hint, "overlay") != NULL);
	CHECK_INT(open_path(&s, "dir:", &err), -EINVAL);
	struct bv_config none = { 0 };
	CHECK_INT(bv_storage_open(&s, &none, &err), -ENOENT);
	CHECK(s.ops == NULL);
	const char *names = NULL;
	CHECK(bv_storage_find("lvm", &names) == NULL);
	CHECK(names && strstr(names, "loop"));
}

TEST(options_for_the_file_system)
{
	autofree char *a = bv_storage_fs_options("ro,nosuid,idmap=container,compress=zstd,rslave,noatime");
	CHECK_STR(a, "ro,compress=zstd");
	autofree char *b = bv_storage_fs_options(NULL);
	CHECK_STR(b, "");
}

TEST(dir_and_overlay_are_made_and_destroyed)
{
	CHECK(mkdtemp(top) != NULL);
	static const char *const types[] = { "dir", "overlay" };
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct bv_storage_ops *ops = bv_storage_find(types[i], NULL);
		struct bv_storage_spec spec = { .type = types[i] };
		struct bv_error err = { 0 };
		autofree char *path = NULL;
		CHECK_INT(ops->create(top, &spec, &path, &err), 0);
		autoclean(bv_storage_clear) struct bv_storage s = { 0 };
		CHECK_INT(open_path(&s, path, &err), 0);
		CHECK(s.ops == ops);
		autofree char *host = ops->host_path(&s);
		CHECK((host != NULL) == (i == 0));
		CHECK_INT(ops->destroy(&s, &err), 0);
		CHECK(!host || access(host, F_OK) < 0);
	}
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
}

TEST(mistakes_at_creation)
{
	struct bv_error err = { 0 };
	char *path = NULL;
	struct bv_storage_spec spec = { .directory = "relative" };
	CHECK_INT(bv_storage_dir.create("/nonexistent", &spec, &path, &err), -EINVAL);
	err = (struct bv_error){ 0 };
	spec = (struct bv_storage_spec){ .fstype = "ext4;reboot" };
	CHECK_INT(bv_storage_loop.create("/nonexistent", &spec, &path, &err), -EINVAL);
	err = (struct bv_error){ 0 };
	spec = (struct bv_storage_spec){ .fstype = "squashfs" };
	CHECK_INT(bv_storage_loop.create("/nonexistent", &spec, &path, &err), -EINVAL);
	err = (struct bv_error){ 0 };
	spec = (struct bv_storage_spec){ .fstype = "ext4", .size = UINT64_MAX };
	CHECK_INT(bv_storage_loop.create("/tmp", &spec, &path, &err), -EFBIG);
	CHECK(path == NULL);
	struct bv_storage s;
	CHECK_INT(open_path(&s, "overlay:/only", &err), 0);
	err = (struct bv_error){ 0 };
	CHECK_INT(s.ops->mount(&s, &err), -EINVAL);
	CHECK(strstr(err.hint, "overlay:/LOWER:/UPPER") != NULL);
	bv_storage_clear(&s);
}

TEST_MAIN()
