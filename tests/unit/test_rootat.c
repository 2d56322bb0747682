/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/rootat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rootfs/walk.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

/* Both ways of resolving must answer the same: the kernel's, and the walk for kernels without openat2. */
typedef int (*open_fn)(int root, const char *path, int flags, mode_t mode, bool links);

static int by_kernel(int root, const char *path, int flags, mode_t mode, bool links)
{
	return links ? bv_rootat_open(root, path, flags, mode) : bv_rootat_open_nolinks(root, path, flags, mode);
}

static const open_fn ways[] = { by_kernel, bv_walk_open };

static char top[] = "/tmp/test_rootat.XXXXXX";
static int root = -1;

/* outside/secret beside the root; links that try to get there. */
static void make_tree(void)
{
	if (root >= 0)
		return;
	if (!mkdtemp(top) || chdir(top) < 0)
		abort();
	const char *const dirs[] = { "outside", "root", "root/a", "root/a/b", "root/run", "root/deep" };
	const char *const files[] = { "outside/secret", "root/file", "root/a/b/leaf" };
	const char *const links[][2] = {
		{ "../outside", "root/up" },
		{ "/outside", "root/abs" },
		{ "a/b", "root/in" },
		{ "../../../../a", "root/a/climb" },
		{ "loop2", "root/loop1" },
		{ "loop1", "root/loop2" },
		{ "/run", "root/a/run" },
		{ "nowhere", "root/dangling" },
		{ "/nowhere/x", "root/dangling2" },
		{ "file", "root/tofile" },
		{ "/", "root/a/top" },
		{ "..", "root/a/dots" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(dirs[i], 0755) < 0)
			abort();
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		autoclose int fd = open(files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0 || bv_write_all(fd, files[i], strlen(files[i])) < 0)
			abort();
	}
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			abort();
	if (mkfifo("root/fifo", 0600) < 0)
		abort();
	root = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* The same file as `want`, a path from the top. */
static bool same(int fd, const char *want)
{
	struct stat a, b;
	return fd >= 0 && fstat(fd, &a) == 0 && lstat(want, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static const struct {
	const char *path;
	int flags;
	const char *want; /* NULL: an error */
	int error, nolinks;
} cases[] = {
	{ "", O_PATH, "root", 0, 0 },
	{ "/", O_PATH, "root", 0, 0 },
	{ ".", O_PATH, "root", 0, 0 },
	{ "..", O_PATH, "root", 0, 0 },
	{ "../../..", O_PATH, "root", 0, 0 },
	{ "a/b/leaf", O_PATH, "root/a/b/leaf", 0, 0 },
	{ "/a//b/./leaf", O_RDONLY, "root/a/b/leaf", 0, 0 },
	{ "a/../a/b/../b/leaf", O_PATH, "root/a/b/leaf", 0, 0 },
	{ "../outside/secret", O_RDONLY, NULL, -ENOENT, -ENOENT },
	{ "up/secret", O_RDONLY, NULL, -ENOENT, -ELOOP },
	{ "abs/secret", O_RDONLY, NULL, -ENOENT, -ELOOP },
	{ "in/leaf", O_PATH, "root/a/b/leaf", 0, -ELOOP },
	{ "a/climb/b", O_PATH, "root/a/b", 0, -ELOOP },
	{ "a/run", O_PATH | O_DIRECTORY, "root/run", 0, -ELOOP },
	{ "a/top/a/b", O_PATH, "root/a/b", 0, -ELOOP },
	{ "a/dots/file", O_PATH, "root/file", 0, -ELOOP },
	{ "a/top/../file", O_PATH, "root/file", 0, -ELOOP },
	{ "loop1", O_PATH, NULL, -ELOOP, -ELOOP },
	{ "loop1/x", O_PATH, NULL, -ELOOP, -ELOOP },
	{ "tofile", O_RDONLY, "root/file", 0, -ELOOP },
	{ "tofile", O_PATH | O_NOFOLLOW, "root/tofile", 0, 0 },
	{ "tofile", O_RDONLY | O_NOFOLLOW, NULL, -ELOOP, -ELOOP },
	{ "tofile/", O_PATH, NULL, -ENOTDIR, -ELOOP },
	{ "file/", O_PATH, NULL, -ENOTDIR, -ENOTDIR },
	{ "file/x", O_PATH, NULL, -ENOTDIR, -ENOTDIR },
	{ "a/b", O_PATH | O_DIRECTORY, "root/a/b", 0, 0 },
	{ "a/b/", O_PATH, "root/a/b", 0, 0 },
	{ "file", O_PATH | O_DIRECTORY, NULL, -ENOTDIR, -ENOTDIR },
	{ "dangling", O_PATH, NULL, -ENOENT, -ELOOP },
	{ "missing", O_PATH, NULL, -ENOENT, -ENOENT },
	{ "missing/x", O_PATH, NULL, -ENOENT, -ENOENT },
	{ "fifo", O_PATH, "root/fifo", 0, 0 },
};

TEST(both_ways_resolve_below_the_root)
{
	make_tree();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
			for (int links = 0; links < 2; links++) {
				autoclose int fd = ways[w](root, cases[i].path, cases[i].flags, 0, links);
				int want = links ? cases[i].error : cases[i].nolinks;
				bool good = want ? fd == want : same(fd, cases[i].want);
				if (!good)
					printf("# \"%s\" way %zu links %d: %d\n", cases[i].path, w, links, fd);
				CHECK(good);
				CHECK(fd < 0 || (fcntl(fd, F_GETFD) & FD_CLOEXEC));
			}
		}
	}
}

TEST(files_are_made_inside_only)
{
	make_tree();
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		autoclose int fd = ways[w](root, "/dangling2", O_WRONLY | O_CREAT, 0600, true);
		CHECK_INT(fd, -ENOENT);
		/* A link to a name that does not exist: made where it leads, below the root. */
		autoclose int made = ways[w](root, "dangling", O_WRONLY | O_CREAT, 0600, true);
		CHECK(same(made, "root/nowhere"));
		CHECK_INT(ways[w](root, "dangling", O_WRONLY | O_CREAT | O_EXCL, 0600, true), -EEXIST);
		CHECK(unlink("root/nowhere") == 0);
		CHECK_INT(ways[w](root, "tofile", O_WRONLY | O_CREAT, 0600, false), -ELOOP);
	}
}

TEST(magic_links_are_refused)
{
	autoclose int slash = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		CHECK_INT(ways[w](slash, "proc/self/root/etc", O_PATH, 0, true), -ELOOP);
		CHECK_INT(ways[w](slash, "proc/self/exe", O_PATH, 0, true), -ELOOP);
		autoclose int plain = ways[w](slash, "proc/mounts", O_PATH, 0, true);
		CHECK(plain >= 0);
	}
}

TEST(long_and_deep_paths)
{
	make_tree();
	autofree char *text = malloc(PATH_MAX + 10);
	memset(text, 'x', PATH_MAX + 9);
	text[PATH_MAX + 9] = '\0';
	CHECK_INT(bv_rootat_open(root, text, O_PATH, 0), -ENAMETOOLONG);
	CHECK_INT(bv_rootat_mkdir_p(root, text, 0755), -ENAMETOOLONG);
	CHECK_INT(bv_rootat_touch(root, text, 0644), -ENAMETOOLONG);
	text[300] = '\0';
	CHECK_INT(bv_rootat_open(root, text, O_PATH, 0), -ENAMETOOLONG);
	CHECK_INT(bv_walk_open(root, text, O_PATH, 0, true), -ENAMETOOLONG);

	strcpy(text, "deep");
	for (int i = 0; i < 1900; i++)
		strcat(text, "/d");
	autoclose int fd = bv_rootat_mkdir_p(root, text, 0755);
	CHECK(fd >= 0);
	CHECK_INT(bv_walk_open(root, text, O_PATH, 0, true), -ENAMETOOLONG);
}

/* A device may do something when it is opened, a fifo waits: the kernel is asked whether anybody opened one. */
TEST(only_files_are_opened_to_be_read)
{
	make_tree();
	bool devices = mknod("root/device", S_IFCHR | 0600, makedev(1, 3)) == 0;
	autoclose int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	CHECK(inotify_add_watch(watch, "root/fifo", IN_OPEN) >= 0);
	CHECK(!devices || inotify_add_watch(watch, "root/device", IN_OPEN) >= 0);
	char event[sizeof(struct inotify_event) + NAME_MAX + 1];
	CHECK_INT(bv_rootat_open_file(root, "fifo"), -EINVAL);
	CHECK_INT(bv_rootat_open_file(root, "device"), devices ? -EINVAL : -ENOENT);
	CHECK_INT(bv_rootat_open_file(root, "a"), -EINVAL);
	CHECK(read(watch, event, sizeof(event)) < 0 && errno == EAGAIN);
	CHECK_INT(bv_rootat_open_file(root, "up/secret"), -ENOENT);

	autoclose int fd = bv_rootat_open_file(root, "tofile");
	char text[16] = "";
	CHECK(same(fd, "root/file") && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	CHECK_INT(read(fd, text, sizeof(text)), strlen("root/file"));
	CHECK_STR(text, "root/file");
}

TEST(mkdir_p_makes_what_is_missing)
{
	make_tree();
	autoclose int fd = bv_rootat_mkdir_p(root, "/n1/n2/n3/", 0755);
	CHECK(same(fd, "root/n1/n2/n3"));
	autoclose int again = bv_rootat_mkdir_p(root, "n1/n2/n3", 0755);
	CHECK(same(again, "root/n1/n2/n3"));
	autoclose int linked = bv_rootat_mkdir_p(root, "a/run/new", 0755);
	CHECK(same(linked, "root/run/new"));
	CHECK_INT(bv_rootat_mkdir_p(root, "abs/x", 0755), -ENOTDIR);
	CHECK(access("outside/x", F_OK) < 0);
	CHECK_INT(bv_rootat_mkdir_p(root, "up/x", 0755), -ENOTDIR);
	CHECK_INT(bv_rootat_mkdir_p(root, "file/x", 0755), -ENOTDIR);
	CHECK_INT(bv_rootat_mkdir_p(root, "new1/../../x", 0755), -ENOENT);
	autoclose int dots = bv_rootat_mkdir_p(root, "../../clamped", 0755);
	CHECK(same(dots, "root/clamped"));
	CHECK(access("clamped", F_OK) < 0);
}

TEST(touch_makes_an_empty_file)
{
	make_tree();
	autoclose int fd = bv_rootat_touch(root, "t1/t2/f", 0640);
	CHECK(same(fd, "root/t1/t2/f"));
	struct stat st;
	CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
	autoclose int kept = bv_rootat_touch(root, "file", 0640);
	CHECK(same(kept, "root/file"));
	autoclose int fifo = bv_rootat_touch(root, "fifo", 0640);
	CHECK(same(fifo, "root/fifo"));
	CHECK_INT(bv_rootat_touch(root, "a", 0640), -EISDIR);
	CHECK_INT(bv_rootat_touch(root, "t9/", 0640), -EISDIR);
	CHECK_INT(bv_rootat_touch(root, "t9/..", 0640), -EISDIR);
	CHECK_INT(bv_rootat_touch(root, "dangling2", 0640), -ELOOP);
	CHECK(access("outside/x", F_OK) < 0);
}

/* Somebody swaps a directory and a link to the outside while we resolve: never may we see the outside. */
TEST(a_racing_rename_never_leads_out)
{
	make_tree();
	pid_t pid = fork();
	if (pid == 0) {
		for (;;) {
			renameat2(AT_FDCWD, "root/a", AT_FDCWD, "root/up", RENAME_EXCHANGE);
			renameat2(AT_FDCWD, "root/abs", AT_FDCWD, "root/up", RENAME_EXCHANGE);
		}
	}
	struct stat secret;
	CHECK(pid > 0 && stat("outside", &secret) == 0);
	int out = 0, in = 0;
	for (int i = 0; i < 20000; i++) {
		autoclose int fd = ways[i % 2](root, i % 4 < 2 ? "a" : "a/../up/.", O_PATH, 0, true);
		struct stat st;
		if (fd >= 0 && fstat(fd, &st) == 0) {
			in++;
			out += st.st_ino == secret.st_ino && st.st_dev == secret.st_dev;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK_INT(out, 0);
	CHECK(in > 0);
}

TEST(the_tree_is_removed)
{
	CHECK(chdir("/") == 0);
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
}

TEST_MAIN()
