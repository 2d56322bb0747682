/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/initramfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/vm/kernel/digest.h"
#include "engine/vm/kernel/kernel.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static char top[200];

static void fresh(void)
{
	if (!*top)
		snprintf(top, sizeof(top), "%s/test_vm_initramfs.%d", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
	CHECK_INT(mkdir(top, 0755), 0);
	setenv("BIVALVE_GUEST", top, 1);
}

static void put(const char *name, const char *text)
{
	autofree char *path = bv_asprintf("%s/%s", top, name);
	autofree char *dir = strdup(path);
	*strrchr(dir, '/') = '\0';
	CHECK_INT(bv_mkdir_p(AT_FDCWD, dir, 0755), 0);
	CHECK_INT(bv_replace_file(AT_FDCWD, path, text, strlen(text), 0644, false), 0);
}

/* `fmt` has a %s for the test's directory. */
static int shell(const char *fmt)
{
	char command[700];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(command, sizeof(command), fmt, top);
#pragma GCC diagnostic pop
	return system(command);
}

/* ---- an archive, read ---- */

struct entry {
	char name[100];
	unsigned int mode, size, rdev_major, rdev_minor, mtime, nlink;
	const char *data;
};

static unsigned int field(const char *head, int n)
{
	char digits[9] = { 0 };
	memcpy(digits, head + 6 + 8 * n, 8);
	return (unsigned int)strtoul(digits, NULL, 16);
}

/* Entries of all archives that follow one another; -1 when it is not well-formed. */
static int parse(const char *p, size_t len, struct entry *v, int max)
{
	int n = 0;
	for (size_t at = 0; at < len;) {
		if (p[at] == '\0') {
			at += 4;
			continue;
		}
		if (n == max || len - at < 110 || memcmp(p + at, "070701", 6) != 0)
			return -1;
		const char *h = p + at;
		struct entry e = { .mode = field(h, 1),
				   .nlink = field(h, 4),
				   .mtime = field(h, 5),
				   .size = field(h, 6),
				   .rdev_major = field(h, 9),
				   .rdev_minor = field(h, 10) };
		unsigned int name_size = field(h, 11);
		if (name_size > sizeof(e.name) || h[110 + name_size - 1] != '\0')
			return -1;
		memcpy(e.name, h + 110, name_size);
		size_t data = (at + 110 + name_size + 3) / 4 * 4;
		e.data = p + data;
		at = (data + e.size + 3) / 4 * 4;
		if (at > len)
			return -1;
		if (strcmp(e.name, "TRAILER!!!") == 0)
			at = (at + 511) / 512 * 512;
		else
			v[n++] = e;
	}
	return n;
}

static const struct entry *named(const struct entry *v, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return &v[i];
	return NULL;
}

static bool holds(const struct entry *e, const char *text)
{
	return e && e->size == strlen(text) && memcmp(e->data, text, e->size) == 0;
}

/* ---- tests ---- */

TEST(digest)
{
	/* Test vectors by another implementation; 128 and 129 bytes are a full block and one more. */
	static const struct {
		size_t len;
		const char *hex;
	} known[] = {
		{ 0, "3345524abf6bbe1809449224b5972c41790b6cf2" },
		{ 1, "948caa2db61bc4cdb4faf7740cd491f195043914" },
		{ 128, "353a80c4a604c3e7897991a345a45133f80c4a55" },
		{ 129, "eeff408d65ecf3235b2586586d331fea9014b8d8" },
		{ 1000, "0c8c64f74ac7d623cfbfc452aefb31d8b8dadad9" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct bv_digest d;
		char hex[BV_DIGEST_HEX];
		bv_digest_begin(&d);
		for (size_t k = 0; k < known[i].len; k++)
			bv_digest_add(&d, "a", 1);
		bv_digest_end(&d, hex);
		CHECK_STR(hex, known[i].hex);
	}
}

TEST(archive)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct entry v[8];
	bv_cpio_add(&b, "dir", S_IFDIR | 0755, NULL, 0);
	bv_cpio_add(&b, "dir/file", S_IFREG | 0640, "hello", 5);
	bv_cpio_add(&b, "empty", S_IFREG | 0600, NULL, 0);
	bv_cpio_add(&b, "link", S_IFLNK | 0777, "dir/file", 8);
	bv_cpio_head(&b, "null", S_IFCHR | 0666, 0, 1, 3);
	bv_cpio_end(&b);
	CHECK_INT(b.len % 512, 0);
	CHECK_INT(parse(b.p, b.len, v, 8), 5);
	CHECK(holds(&v[1], "hello") && holds(&v[3], "dir/file"));
	CHECK_INT(v[1].mode, S_IFREG | 0640);
	CHECK_INT(v[4].rdev_minor, 3);
	CHECK_INT(v[1].mtime, 0);

	fresh();
	autofree char *path = bv_asprintf("%s/a.cpio", top);
	CHECK_INT(bv_replace_file(AT_FDCWD, path, b.p, b.len, 0644, false), 0);
	if (shell("command -v cpio >/dev/null # %s") != 0)
		SKIP("there is no cpio");
	CHECK_INT(shell("cd '%s' && cpio --quiet -i dir dir/file empty link <a.cpio"), 0);
	CHECK_INT(shell("cd '%s' && test \"$(cat link)\" = hello -a ! -s empty -a \"$(stat -c %%a dir/file)\" = 640"),
		  0);
}

static int open_top(void)
{
	return open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static const struct bv_module_wish wishes[] = { { "b", true }, { "not_there", false } };

/* Make one and map it. */
static int make(const struct bv_kernel *k, const char *config, char **map, size_t *len, struct bv_error *err)
{
	struct bv_initramfs what = { .arch = "x86_64",
				     .kernel = k,
				     .modules = wishes,
				     .n_modules = ARRAY_SIZE(wishes),
				     .config = config,
				     .boot = "root_type 9p\n" };
	*err = (struct bv_error){ 0 };
	autoclose int fd = bv_initramfs_make(&what, err);
	if (fd < 0)
		return fd;
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_INT(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	*len = (size_t)lseek(fd, 0, SEEK_END);
	*map = malloc(*len);
	CHECK_INT(pread(fd, *map, *len, 0), *len);
	return 0;
}

TEST(whole)
{
	autofree char *first = NULL, *second = NULL, *third = NULL;
	size_t len, len2, len3;
	struct bv_error err;
	struct entry v[32];
	fresh();
	put("bivalve-guest-x86_64", "the program");
	put("modules.dep", "x/b.ko: x/a-1.ko\nx/a-1.ko:\n");
	put("x/b.ko", "module b, of 17 b");
	put("x/a-1.ko", "module a");
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)"6.1.0-test" };
	CHECK_INT(make(&k, "lxc.uts.name = x\n", &first, &len, &err), 0);
	CHECK_INT(len % 512, 0);
	int n = parse(first, len, v, 32);
	CHECK_INT(n, 12);
	CHECK(holds(named(v, n, "init"), "the program"));
	CHECK_INT(named(v, n, "init")->mode, S_IFREG | 0755);
	CHECK(holds(named(v, n, "modules/000-a-1.ko"), "module a"));
	CHECK(holds(named(v, n, "modules/001-b.ko"), "module b, of 17 b"));
	CHECK(holds(named(v, n, "config"), "lxc.uts.name = x\n"));
	CHECK_INT(named(v, n, "config")->mode, S_IFREG | 0600);
	CHECK(holds(named(v, n, "boot"), "root_type 9p\n"));
	const struct entry *console = named(v, n, "dev/console");
	CHECK(console && console->mode == (S_IFCHR | 0600) && console->rdev_major == 5 && console->rdev_minor == 1);
	static const char *const dirs[] = { "dev", "proc", "sys", "newroot", "share", "modules" };
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		CHECK(named(v, n, dirs[i]) && named(v, n, dirs[i])->mode == (S_IFDIR | 0755));

	/* Equal input, equal bytes; the start's part alone is another with another config. */
	put("x/b.ko", "module b, of 17 b");
	CHECK_INT(make(&k, "lxc.uts.name = x\n", &second, &len2, &err), 0);
	CHECK(len == len2 && memcmp(first, second, len) == 0);
	CHECK_INT(make(&k, "lxc.uts.name = y\n", &third, &len3, &err), 0);
	CHECK(len == len3 && memcmp(first, third, len) != 0 && memcmp(first, third, len / 2) == 0);
}

TEST(without_modules)
{
	autofree char *map = NULL;
	size_t len;
	struct bv_error err;
	struct entry v[32];
	fresh();
	put("bivalve-guest-x86_64", "the program");
	struct bv_kernel k = { .image = -1, .modules = -1, .version = (char *)"" };
	CHECK_INT(make(&k, "", &map, &len, &err), 0);
	CHECK_INT(map ? parse(map, len, v, 32) : -1, 10);
}

TEST(what_is_missing)
{
	autofree char *map = NULL;
	size_t len;
	struct bv_error err;
	fresh();
	put("modules.dep", "x/b.ko: x/a.ko\nx/a.ko:\n");
	put("x/b.ko", "module b");
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)"6.1.0-test" };
	CHECK_INT(make(&k, "", &map, &len, &err), -ENOENT);
	CHECK(strstr(err.what, "no guest program for x86_64") != NULL && *err.hint);
	put("bivalve-guest-x86_64", "the program");
	CHECK_INT(make(&k, "", &map, &len, &err), -ENOENT);
	CHECK(strstr(err.what, "x/a.ko") != NULL);
	put("modules.dep", "x/a.ko:\n");
	CHECK_INT(make(&k, "", &map, &len, &err), -ENOENT);
	CHECK(strstr(err.what, "no module b") != NULL);
	put("modules.dep", "../../../../../../../../etc/b.ko:\n");
	CHECK_INT(make(&k, "", &map, &len, &err), -ENOENT);
}

/* Files of `version` in the cache; `name` gets one of them. */
static int cached(const char *version, char *name, size_t size)
{
	int n = 0;
	autodir DIR *d = opendir(BV_CACHEDIR "/vm");
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		if (strncmp(e->d_name, version, strlen(version)) != 0)
			continue;
		n++;
		if (name)
			snprintf(name, size, "%s/%s", BV_CACHEDIR "/vm", e->d_name);
	}
	return n;
}

static const char *packed_version(void)
{
	static char version[64];
	snprintf(version, sizeof(version), "6.1.0-test%d", (int)getpid());
	return version;
}

TEST(packed_modules_are_kept)
{
	autofree char *first = NULL, *second = NULL, *third = NULL;
	size_t len, len2, len3;
	struct bv_error err;
	struct entry v[32];
	struct stat st;
	char file[4096] = "", old[4096];
	fresh();
	put("bivalve-guest-x86_64", "the program");
	put("modules.dep", "x/b.ko.gz: x/a.ko.xz x/c.ko.zst\nx/a.ko.xz: x/c.ko.zst\nx/c.ko.zst:\n");
	put("x/a.ko", "module a");
	put("x/b.ko", "module b");
	put("x/c.ko", "module c");
	if (shell("cd '%s/x' && xz a.ko 2>/dev/null && gzip b.ko && zstd -q --rm c.ko") != 0)
		SKIP("there is no xz, gzip or zstd");
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)packed_version() };
	CHECK_INT(make(&k, "", &first, &len, &err), 0);
	int n = first ? parse(first, len, v, 32) : 0;
	CHECK(holds(named(v, n, "modules/000-c.ko"), "module c"));
	CHECK(holds(named(v, n, "modules/001-a.ko"), "module a"));
	CHECK(holds(named(v, n, "modules/002-b.ko"), "module b"));
	if (access(BV_CACHEDIR "/vm", W_OK) < 0)
		SKIP("the cache directory of this build cannot be written");
	CHECK_INT(cached(packed_version(), file, sizeof(file)), 1);
	CHECK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0600);
	CHECK(stat(BV_CACHEDIR "/vm", &st) == 0 && (st.st_mode & 07777) == 0700);

	/* From the cache it is the same, and the file is marked as used; one that nobody used for long goes. */
	struct timespec ages[2] = { { .tv_sec = time(NULL) - 20 * 86400 }, { .tv_sec = time(NULL) - 20 * 86400 } };
	CHECK_INT(utimensat(AT_FDCWD, file, ages, 0), 0);
	CHECK_INT(make(&k, "", &second, &len2, &err), 0);
	CHECK(second && len == len2 && memcmp(first, second, len) == 0);
	CHECK(stat(file, &st) == 0 && time(NULL) - st.st_mtime < 1000);
	snprintf(old, sizeof(old), "%s/%s-old", BV_CACHEDIR "/vm", packed_version());
	CHECK_INT(rename(file, old), 0);
	ages[0].tv_sec = ages[1].tv_sec = time(NULL) - 31 * 86400;
	CHECK_INT(utimensat(AT_FDCWD, old, ages, 0), 0);
	CHECK_INT(make(&k, "", &third, &len3, &err), 0);
	CHECK(access(old, F_OK) < 0);

	/* Another content is another file. */
	put("bivalve-guest-x86_64", "a newer program");
	free(third);
	third = NULL;
	CHECK_INT(make(&k, "", &third, &len3, &err), 0);
	CHECK_INT(cached(packed_version(), NULL, 0), 2);
}

/* Small files that become large ones, each of them allowed: together they are not. */
TEST(all_of_it_has_a_limit)
{
	autofree char *map = NULL;
	size_t len;
	struct bv_error err;
	fresh();
	put("bivalve-guest-x86_64", "the program");
	put("modules.dep", "b.ko: a.ko c.ko\na.ko:\nc.ko:\n");
	if (shell("cd '%s' && truncate -s 100M a.ko b.ko c.ko") != 0)
		SKIP("there is no truncate");
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)packed_version() };
	CHECK_INT(make(&k, "", &map, &len, &err), -EFBIG);
	CHECK(strstr(err.what, "with b.ko the initramfs becomes larger than 256 MiB") != NULL);

	put("modules.dep", "b.ko.gz: a.ko.gz c.ko.gz\na.ko.gz:\nc.ko.gz:\n");
	if (shell("cd '%s' && gzip -1 a.ko && cp a.ko.gz b.ko.gz && cp a.ko.gz c.ko.gz") != 0)
		SKIP("there is no gzip");
	CHECK_INT(make(&k, "", &map, &len, &err), -EFBIG);
	CHECK(strstr(err.what, "b.ko.gz becomes too large when it is unpacked") != NULL);
}

/* Whoever owns the rootfs changes a module once it was read: what is kept is what the name says, in any case. */
TEST(what_is_kept_is_what_was_hashed)
{
	autofree char *first = NULL, *second = NULL;
	size_t len, len2;
	struct bv_error err;
	struct entry v[32];
	char path[300];
	fresh();
	put("bivalve-guest-x86_64", "the program");
	put("modules.dep", "b.ko.gz:\n");
	put("b.ko", "module b");
	put("evil.ko", "module e");
	if (shell("cd '%s' && gzip -n b.ko evil.ko && cp b.ko.gz good.gz") != 0)
		SKIP("there is no gzip");
	snprintf(path, sizeof(path), "%s/b.ko.gz", top);
	autoclose int watch = inotify_init1(IN_CLOEXEC);
	CHECK(inotify_add_watch(watch, path, IN_ACCESS) >= 0);
	pid_t pid = fork();
	if (pid == 0) {
		char event[sizeof(struct inotify_event) + NAME_MAX + 1];
		alarm(20);
		bool seen = read(watch, event, sizeof(event)) > 0;
		_exit(seen && shell("cat '%1$s/evil.ko.gz' >'%1$s/b.ko.gz'") == 0 ? 0 : 1);
	}
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)packed_version() };
	int r = make(&k, "", &first, &len, &err), status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	CHECK(r == 0 || strstr(err.what, "b.ko.gz") != NULL);
	CHECK_INT(shell("cat '%1$s/good.gz' >'%1$s/b.ko.gz'"), 0);
	CHECK_INT(make(&k, "", &second, &len2, &err), 0);
	int n = second ? parse(second, len2, v, 32) : 0;
	CHECK(holds(named(v, n, "modules/000-b.ko"), "module b"));
}

/* Sparse files stand for those of a guest that brings a new module with each of its starts. */
TEST(the_cache_does_not_grow_for_ever)
{
	enum { FILES = 3 };
	autofree char *map = NULL;
	size_t len;
	struct bv_error err;
	char file[4096];
	fresh();
	put("bivalve-guest-x86_64", "the newest program");
	put("modules.dep", "b.ko.gz:\n");
	put("b.ko", "module b");
	if (shell("cd '%s' && gzip b.ko") != 0)
		SKIP("there is no gzip");
	if (access(BV_CACHEDIR "/vm", W_OK) < 0)
		SKIP("the cache directory of this build cannot be written");
	for (int i = 0; i < FILES; i++) {
		const struct timespec age = { .tv_sec = time(NULL) - (20 - i) * 86400 }, ages[2] = { age, age };
		snprintf(file, sizeof(file), "%s/%s-old%d", BV_CACHEDIR "/vm", packed_version(), i);
		autoclose int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		CHECK(fd >= 0 && ftruncate(fd, 450 << 20) == 0 && futimens(fd, ages) == 0);
	}
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)packed_version() };
	CHECK_INT(make(&k, "", &map, &len, &err), 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(file, sizeof(file), "%s/%s-old%d", BV_CACHEDIR "/vm", packed_version(), i);
		CHECK_INT(access(file, F_OK), i == 0 ? -1 : 0);
		unlink(file);
	}
}

TEST(broken_packed_module)
{
	autofree char *map = NULL;
	size_t len;
	struct bv_error err;
	fresh();
	put("bivalve-guest-x86_64", "the program");
	put("modules.dep", "x/b.ko.gz:\n");
	put("x/b.ko.gz", "no gzip");
	autoclose int dir = open_top();
	struct bv_kernel k = { .image = -1, .modules = dir, .version = (char *)packed_version() };
	CHECK_INT(make(&k, "", &map, &len, &err), -EIO);
	CHECK(strstr(err.what, "x/b.ko.gz cannot be unpacked") != NULL);
}

TEST(clean_up)
{
	char file[4096];
	while (cached(packed_version(), file, sizeof(file)) > 0)
		if (unlink(file) < 0)
			break;
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
}

TEST_MAIN()
