/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cgroup/cgroup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "cgroup/translate.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/* ---- a host in a directory ---- */

static char root[64];	   /* of the fake host */
static bool fake_occupied; /* new directories get a process */

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || bv_write_all(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static char *at(const char *rel)
{
	static char path[8][PATH_MAX];
	static int turn;
	turn = (turn + 1) % 8;
	snprintf(path[turn], PATH_MAX, "%s/%s", root, rel);
	return path[turn];
}

static const char *got(const char *rel)
{
	static char text[4096];
	ssize_t n = bv_read_small(AT_FDCWD, at(rel), text, sizeof(text));
	return n < 0 ? "(no file)" : text;
}

static bool exists(const char *rel)
{
	return access(at(rel), F_OK) == 0;
}

/* The files that a kernel puts into a new directory of that hierarchy. */
static int fake_make_dir(const char *path)
{
	static const char *const v2[] = {
		"cgroup.procs", "cgroup.subtree_control", "cgroup.freeze", "memory.max", "memory.low",
		"memory.high",	"memory.swap.max",	  "pids.max",	   "cpu.max",	 "cpu.weight",
		"io.max",	"io.bfq.weight",	  "cpuset.cpus",   NULL
	};
	static const char *const hybrid[] = { "cgroup.procs", "cgroup.subtree_control", "cgroup.freeze", NULL };
	static const char *const v1[] = { "tasks",
					  "cgroup.procs",
					  "memory.limit_in_bytes",
					  "memory.memsw.limit_in_bytes",
					  "memory.soft_limit_in_bytes",
					  "cpuset.cpus",
					  "cpuset.mems",
					  "devices.allow",
					  "devices.deny",
					  "freezer.state",
					  "pids.max",
					  "cpu.cfs_quota_us",
					  "cpu.cfs_period_us",
					  "cpu.shares",
					  "blkio.weight",
					  "blkio.throttle.read_bps_device",
					  "blkio.throttle.write_iops_device",
					  NULL };
	if (mkdir(path, 0755) < 0)
		return -errno;
	bool is_hybrid = strstr(path, "/cgroup/unified"),
	     is_v2 = is_hybrid || exists("sys/fs/cgroup/cgroup.controllers");
	for (const char *const *file = is_hybrid ? hybrid : is_v2 ? v2 : v1; *file; file++) {
		autofree char *name = bv_asprintf("%s/%s", path, *file);
		put(name, fake_occupied && bv_streq(*file, "cgroup.procs") ? "17\n" : "");
	}
	if (is_v2) {
		autofree char *name = bv_asprintf("%s/cgroup.events", path);
		put(name, fake_occupied ? "populated 1\nfrozen 0\n" : "populated 0\nfrozen 0\n");
	}
	return 0;
}

static int remove_files(int fd, void *data)
{
	(void)data;
	autodir DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_type != DT_DIR)
			unlinkat(fd, e->d_name, 0);
	}
	return 0;
}

/* As the kernel: not when a process or a cgroup is in it. */
static int fake_remove_dir(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	char procs[64];
	bool busy = bv_read_small(fd, "cgroup.procs", procs, sizeof(procs)) > 0;
	DIR *dir = fdopendir(fd);
	for (struct dirent *e; !busy && (e = readdir(dir));)
		busy = e->d_type == DT_DIR && !bv_streq(e->d_name, ".") && !bv_streq(e->d_name, "..");
	if (!busy)
		remove_files(fd, NULL);
	closedir(dir);
	if (busy)
		return -EBUSY;
	return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static struct cgroup_place place = { .root = true, .make_dir = fake_make_dir, .remove_dir = fake_remove_dir };

static void mount_line(struct bv_buf *buf, const char *dir, const char *subtree, const char *type, const char *options)
{
	bv_buf_printf(buf, "31 23 0:28 %s %s/sys/fs/cgroup%s rw,relatime shared:9 - %s cgroup rw,%s\n", subtree, root,
		      dir, type, options);
}

enum host { HOST_V2, HOST_V1, HOST_HYBRID };

static void fake_host(enum host kind)
{
	snprintf(root, sizeof(root), "/tmp/bv-cgroup.XXXXXX");
	if (!mkdtemp(root))
		abort();
	fake_occupied = false;
	place.root = true;
	bv_mkdir_p(AT_FDCWD, at("sys/fs/cgroup"), 0755);
	struct bv_buf mounts = { 0 };
	bv_buf_printf(&mounts, "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n24 22 0:22 / /proc rw shared:2 - proc proc rw\n");
	if (kind == HOST_V2) {
		mount_line(&mounts, "", "/", "cgroup2", "nsdelegate");
		put(at("sys/fs/cgroup/cgroup.controllers"), "cpuset cpu io memory pids\n");
		put(at("sys/fs/cgroup/cgroup.subtree_control"), "");
		put(at("proc_cgroup"), "0::/user.slice/run-7.scope\n");
	} else {
		static const char *const v1[] = { "cpu,cpuacct", "cpuset", "memory", "devices",
						  "freezer",	 "blkio",  "pids" };
		for (size_t i = 0; i < ARRAY_SIZE(v1); i++) {
			autofree char *dir = bv_asprintf("/%s", v1[i]), *path = bv_asprintf("sys/fs/cgroup/%s", v1[i]);
			mkdir(at(path), 0755);
			mount_line(&mounts, dir, "/", "cgroup", v1[i]);
		}
		mkdir(at("sys/fs/cgroup/systemd"), 0755);
		mount_line(&mounts, "/systemd", "/", "cgroup", "xattr,name=systemd");
		put(at("sys/fs/cgroup/cpuset/cpuset.cpus"), "0-1\n");
		put(at("sys/fs/cgroup/cpuset/cpuset.mems"), "0\n");
		put(at("proc_cgroup"), "4:cpuacct,cpu:/a\n3:memory:/b/c\n2:cpuset:/\n1:name=systemd:/s:1\n0::/u\n");
	}
	if (kind == HOST_HYBRID) {
		mkdir(at("sys/fs/cgroup/unified"), 0755);
		put(at("sys/fs/cgroup/unified/cgroup.subtree_control"), "");
		put(at("sys/fs/cgroup/unified/cgroup.controllers"), "hugetlb\n");
		mount_line(&mounts, "/unified", "/", "cgroup2", "");
	}
	autofree char *text = bv_buf_take(&mounts);
	put(at("mountinfo"), text);
	static char mountinfo[PATH_MAX], own[PATH_MAX];
	snprintf(mountinfo, sizeof(mountinfo), "%s/mountinfo", root);
	snprintf(own, sizeof(own), "%s/proc_cgroup", root);
	place.mountinfo = mountinfo;
	place.own = own;
}

static void fake_end(void)
{
	bv_remove_tree(AT_FDCWD, root);
}

/* A config without the config module's parser. */
static struct bv_pair pairs1[16], pairs2[16];
static struct bv_config cfg;
static struct bv_cgroup_spec spec;

static void config_start(void)
{
	cfg = (struct bv_config){ .cgroup1 = { .v = pairs1 }, .cgroup2 = { .v = pairs2 } };
	spec = (struct bv_cgroup_spec){ .config = &cfg, .name = "c1" };
}

static void key(int version, const char *name, const char *value)
{
	struct bv_pair_list *list = version == 1 ? &cfg.cgroup1 : &cfg.cgroup2;
	list->v[list->n++] = (struct bv_pair){ (char *)(uintptr_t)name, (char *)(uintptr_t)value };
}

static struct bv_cgroup *create(struct bv_error *err)
{
	struct bv_cgroup *cg = NULL;
	bv_error_clear(err);
	int r = cgroup_create_at(&cg, &spec, &place, err);
	if ((r == 0) != (cg != NULL))
		abort();
	if (r < 0 && !err->code)
		abort();
	return cg;
}

static void destroy(struct bv_cgroup *cg)
{
	CHECK_INT(bv_cgroup_remove_payload(cg, NULL), 0);
	CHECK_INT(bv_cgroup_remove_monitor(cg, NULL), 0);
	bv_cgroup_free(cg);
}

/* ---- the host ---- */

TEST(host_v2)
{
	fake_host(HOST_V2);
	struct bv_cgroup *cg = cgroup_new(&place);
	CHECK_INT(cgroup_read_host(cg, false, NULL), 0);
	CHECK_INT(cg->n, 1);
	CHECK(bv_cgroup_host_is_v2_only(cg));
	CHECK_STR(cg->hiers[0].name, "unified");
	CHECK_STR(cg->hiers[0].base, "");
	bv_cgroup_free(cg);
	cg = cgroup_new(&place);
	CHECK_INT(cgroup_read_host(cg, true, NULL), 0);
	CHECK_STR(cg->hiers[0].base, "user.slice/run-7.scope");
	bv_cgroup_free(cg);
	fake_end();
}

TEST(host_hybrid)
{
	fake_host(HOST_HYBRID);
	struct bv_cgroup *cg = cgroup_new(&place);
	CHECK_INT(cgroup_read_host(cg, true, NULL), 0);
	CHECK_INT(cg->n, 9);
	CHECK(!bv_cgroup_host_is_v2_only(cg));
	CHECK(cg->hiers[0].backend->v2);
	CHECK_STR(cg->hiers[0].base, "u");
	CHECK_STR(cgroup_find_v1(cg, "cpuacct")->name, "cpu,cpuacct");
	CHECK_STR(cgroup_find_v1(cg, "cpuacct")->base, "a");
	CHECK_STR(cgroup_find_v1(cg, "memory")->base, "b/c");
	CHECK_STR(cgroup_find_v1(cg, "name=systemd")->base, "s:1");
	CHECK_STR(cgroup_find_v1(cg, "name=systemd")->name, "systemd");
	CHECK_STR(cgroup_find_v1(cg, "cpuset")->base, "");
	CHECK_STR(cgroup_find_v1(cg, "pids")->base, ""); /* not in our list of own places */
	CHECK(!cgroup_find_v1(cg, "hugetlb"));
	bv_cgroup_free(cg);
	fake_end();
}

TEST(host_odd_mounts)
{
	fake_host(HOST_V2);
	struct bv_buf buf = { 0 };
	bv_buf_puts(
		&buf,
		"1 1 0:1 / /var/lib/lxc/c/sys/fs/memory rw - cgroup cgroup rw,memory\n" /* found first, not the usual */
		"2 1 0:1 /docker/7 /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup "
		"rw,clone_children,memory,release_agent=/x\n"
		"3 1 0:1 / /elsewhere rw - cgroup cgroup rw,memory\n"
		"4 1 0:1 / /x rw - cgroup cgroup rw\n"
		"5 1 0:1 / /short - cgroup2\n"
		"6 1 0:1\n"
		"7 1 0:1 / /y rw - cgroup3 cgroup rw,memory\n");
	put(at("mountinfo"), buf.p);
	bv_buf_clear(&buf);
	put(at("proc_cgroup"), "3:memory:/docker/7/inside\nnonsense\n0::\n");
	struct bv_cgroup *cg = cgroup_new(&place);
	CHECK_INT(cgroup_read_host(cg, true, NULL), 0);
	CHECK_INT(cg->n, 1);
	CHECK_STR(cg->hiers[0].mount, "/sys/fs/cgroup/mem ory");
	CHECK_STR(cg->hiers[0].controllers, "memory");
	CHECK_STR(cg->hiers[0].base, "inside");
	bv_cgroup_free(cg);

	put(at("mountinfo"), "1 1 0:1 / /proc rw - proc proc rw\n");
	cg = cgroup_new(&place);
	struct bv_error err = { 0 };
	CHECK_INT(cgroup_read_host(cg, false, &err), -ENOENT);
	CHECK(*err.hint);
	bv_cgroup_free(cg);
	fake_end();
}

/* ---- create ---- */

TEST(create_v2)
{
	fake_host(HOST_V2);
	config_start();
	spec.with_monitor = true;
	key(2, "memory.max", "64M");
	key(1, "memory.memsw.limit_in_bytes", "96M");
	key(1, "memory.limit_in_bytes", "32M"); /* the native memory.max wins */
	key(1, "cpu.shares", "512");
	key(1, "cpu.cfs_quota_us", "50000");
	key(1, "cpu.cfs_period_us", "200000");
	key(1, "blkio.weight", "250");
	key(1, "blkio.throttle.read_bps_device", "8:0 1048576");
	key(1, "pids.max", "33");
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	CHECK_STR(err.what, "");
	if (!cg)
		return;
	CHECK_STR(got("sys/fs/cgroup/cgroup.subtree_control"), "+memory +cpu +io +pids +cpuset");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/memory.max"), "64M");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/memory.swap.max"), "67108864");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/cpu.weight"), "50");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/cpu.max"), "50000 200000");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/io.bfq.weight"), "50");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/io.max"), "8:0 rbps=1048576");
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/pids.max"), "33");
	CHECK(exists("sys/fs/cgroup/lxc.monitor.c1"));
	CHECK(bv_cgroup_clone_fd(cg) >= 0 && bv_cgroup_monitor_clone_fd(cg) >= 0);

	destroy(cg);
	CHECK(!exists("sys/fs/cgroup/lxc.payload.c1") && !exists("sys/fs/cgroup/lxc.monitor.c1"));
	fake_end();
}

TEST(opened_from_text)
{
	fake_host(HOST_V2);
	config_start();
	spec.with_monitor = true;
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	if (!cg)
		return;
	autofree char *text = bv_cgroup_describe(cg), *again = NULL;
	struct bv_cgroup *copy;
	CHECK_INT(bv_cgroup_open(&copy, text, &err), 0);
	again = bv_cgroup_describe(copy);
	CHECK_STR(again, text);
	copy->place = &place;
	CHECK_INT(bv_cgroup_clone_fd(copy), -1);
	CHECK_INT(bv_cgroup_prepare_enter(copy, &err), 0);
	CHECK(bv_cgroup_clone_fd(copy) >= 0);
	CHECK_INT(bv_cgroup_enter_self(copy, false), 0);
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/cgroup.procs"), "0");
	put(at("sys/fs/cgroup/lxc.payload.c1/cgroup.procs"), "");
	bv_cgroup_seal(copy);
	CHECK_INT(bv_cgroup_clone_fd(copy), -1);

	/* A running instance's values. */
	CHECK_INT(bv_cgroup_set(copy, "memory.limit_in_bytes", "-1", &err), 0);
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/memory.max"), "max");
	put(at("sys/fs/cgroup/lxc.payload.c1/memory.max"), "1048576\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/memory.swap.max"), "");
	CHECK_INT(bv_cgroup_set(copy, "memory.memsw.limit_in_bytes", "3M", &err), 0);
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/memory.swap.max"), "2097152");
	put(at("sys/fs/cgroup/lxc.payload.c1/cpu.max"), "70000 100000");
	CHECK_INT(bv_cgroup_set(copy, "cpu.cfs_period_us", "500000", &err), 0);
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/cpu.max"), "70000 500000");
	autofree char *value = NULL;
	CHECK_INT(bv_cgroup_get(copy, "memory.limit_in_bytes", &value, &err), 0);
	CHECK_STR(value, "1048576\n");
	free(take_ptr(value));
	CHECK_INT(bv_cgroup_get(copy, "memory.swappiness", &value, &err), -ENOENT);
	CHECK(strstr(err.hint, "memory.swap.max"));
	bv_error_clear(&err);
	CHECK_INT(bv_cgroup_get(copy, "../x", &value, &err), -EINVAL);
	bv_cgroup_free(copy);
	destroy(cg);
	CHECK(!exists("sys/fs/cgroup/lxc.payload.c1") && !exists("sys/fs/cgroup/lxc.monitor.c1"));
	fake_end();
}

TEST(create_v1)
{
	fake_host(HOST_V1);
	config_start();
	cfg.cgroup_dir = (char *)(uintptr_t) "x/y";
	key(2, "memory.swap.max", "32M"); /* before memory.max: written after it all the same */
	key(2, "memory.max", "64M");
	key(2, "cpu.max", "max 200000");
	key(2, "io.max", "8:16 rbps=2097152 wiops=max");
	key(2, "io.weight", "default 100");
	key(2, "cpu.weight", "50");
	key(2, "devices.deny", "a");
	key(2, "devices.allow", "c 1:3 rwm");
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	CHECK_STR(err.what, "");
	if (!cg)
		return;
	CHECK_STR(got("sys/fs/cgroup/memory/x/y/lxc.payload.c1/memory.limit_in_bytes"), "64M");
	CHECK_STR(got("sys/fs/cgroup/memory/x/y/lxc.payload.c1/memory.memsw.limit_in_bytes"), "100663296");
	CHECK_STR(got("sys/fs/cgroup/cpu,cpuacct/x/y/lxc.payload.c1/cpu.cfs_quota_us"), "-1");
	CHECK_STR(got("sys/fs/cgroup/cpu,cpuacct/x/y/lxc.payload.c1/cpu.cfs_period_us"), "200000");
	CHECK_STR(got("sys/fs/cgroup/cpu,cpuacct/x/y/lxc.payload.c1/cpu.shares"), "512");
	CHECK_STR(got("sys/fs/cgroup/blkio/x/y/lxc.payload.c1/blkio.throttle.read_bps_device"), "8:16 2097152");
	CHECK_STR(got("sys/fs/cgroup/blkio/x/y/lxc.payload.c1/blkio.throttle.write_iops_device"), "8:16 0");
	CHECK_STR(got("sys/fs/cgroup/blkio/x/y/lxc.payload.c1/blkio.weight"), "500");
	CHECK_STR(got("sys/fs/cgroup/devices/x/y/lxc.payload.c1/devices.deny"), "a");
	CHECK_STR(got("sys/fs/cgroup/devices/x/y/lxc.payload.c1/devices.allow"), "c 1:3 rwm");
	/* cpuset is passed down through the directories that were made. */
	CHECK_STR(got("sys/fs/cgroup/cpuset/x/cpuset.cpus"), "0-1");
	CHECK_STR(got("sys/fs/cgroup/cpuset/x/y/lxc.payload.c1/cpuset.mems"), "0");
	CHECK_INT(bv_cgroup_clone_fd(cg), -1);
	CHECK_INT(bv_cgroup_enter_self(cg, true), 0);
	CHECK_STR(got("sys/fs/cgroup/pids/x/y/lxc.payload.c1/tasks"), "0");
	destroy(cg);
	CHECK(!exists("sys/fs/cgroup/memory/x"));

	/* A directory that was there stays. */
	fake_make_dir(at("sys/fs/cgroup/memory/x"));
	cg = create(&err);
	destroy(cg);
	CHECK(exists("sys/fs/cgroup/memory/x") && !exists("sys/fs/cgroup/memory/x/y") &&
	      !exists("sys/fs/cgroup/pids/x"));
	fake_end();
}

TEST(create_hybrid)
{
	fake_host(HOST_HYBRID);
	config_start();
	key(2, "memory.max", "64M");
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	CHECK_STR(err.what, "");
	if (!cg)
		return;
	CHECK_STR(got("sys/fs/cgroup/memory/lxc.payload.c1/memory.limit_in_bytes"), "64M");
	CHECK(exists("sys/fs/cgroup/unified/lxc.payload.c1") && exists("sys/fs/cgroup/systemd/lxc.payload.c1"));
	CHECK_STR(got("sys/fs/cgroup/unified/cgroup.subtree_control"), ""); /* nothing there is needed */
	const struct bv_cgroup_hierarchy *h;
	CHECK_INT(bv_cgroup_hierarchies(cg, &h), 9);
	CHECK_STR(h[0].payload, "lxc.payload.c1");
	destroy(cg);
	fake_end();
}

TEST(names_taken)
{
	fake_host(HOST_HYBRID);
	config_start();
	struct bv_error err = { 0 };
	fake_occupied = true;
	fake_make_dir(at("sys/fs/cgroup/pids/lxc.payload.c1"));
	fake_make_dir(at("sys/fs/cgroup/unified/lxc.payload.c1-1"));
	fake_occupied = false;
	struct bv_cgroup *cg = create(&err);
	CHECK(cg && bv_streq(cg->hiers[0].payload, "lxc.payload.c1-2"));
	CHECK(!exists("sys/fs/cgroup/memory/lxc.payload.c1") && !exists("sys/fs/cgroup/unified/lxc.payload.c1"));
	/* While nobody is in it, it is still ours. */
	struct bv_cgroup *second = create(&err);
	CHECK(second && bv_streq(second->hiers[0].payload, "lxc.payload.c1-3"));
	destroy(second);
	destroy(cg);
	put(at("sys/fs/cgroup/pids/lxc.payload.c1/cgroup.procs"), "");
	put(at("sys/fs/cgroup/pids/lxc.payload.c1/pids.max"), "5");
	fake_make_dir(at("sys/fs/cgroup/pids/lxc.payload.c1/nested"));
	cg = create(&err);
	CHECK(cg && bv_streq(cg->hiers[0].payload, "lxc.payload.c1"));
	CHECK_STR(got("sys/fs/cgroup/pids/lxc.payload.c1/pids.max"), ""); /* a new directory */
	CHECK(!exists("sys/fs/cgroup/pids/lxc.payload.c1/nested"));
	destroy(cg);

	cfg.cgroup_dir_container = (char *)(uintptr_t) "here";
	cfg.cgroup_dir_monitor = (char *)(uintptr_t) "there";
	fake_occupied = true;
	fake_make_dir(at("sys/fs/cgroup/pids/here"));
	fake_occupied = false;
	CHECK(!create(&err));
	CHECK_INT(err.code, EBUSY);
	CHECK(!exists("sys/fs/cgroup/unified/here"));
	fake_end();
}

TEST(relative_and_inner)
{
	fake_host(HOST_V2);
	config_start();
	fake_make_dir(at("sys/fs/cgroup/user.slice"));
	fake_make_dir(at("sys/fs/cgroup/user.slice/run-7.scope"));
	put(at("sys/fs/cgroup/user.slice/run-7.scope/cgroup.controllers"), "memory pids\n");
	place.root = false;
	cfg.cgroup_dir_container = (char *)(uintptr_t) "c";
	cfg.cgroup_dir_monitor = (char *)(uintptr_t) "m";
	cfg.cgroup_dir_inner = (char *)(uintptr_t) "in";
	key(2, "pids.max", "9");
	spec.with_monitor = true;
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	CHECK_STR(err.what, "");
	if (!cg)
		return;
	CHECK_STR(got("sys/fs/cgroup/user.slice/run-7.scope/cgroup.subtree_control"), "+pids +memory");
	CHECK_STR(got("sys/fs/cgroup/user.slice/run-7.scope/c/cgroup.subtree_control"), "+pids +memory");
	CHECK_STR(got("sys/fs/cgroup/user.slice/run-7.scope/c/pids.max"), "9");
	CHECK(exists("sys/fs/cgroup/user.slice/run-7.scope/c/in") && exists("sys/fs/cgroup/user.slice/run-7.scope/m"));
	CHECK(!exists("sys/fs/cgroup/c"));
	CHECK_INT(bv_cgroup_enter_self(cg, false), 0);
	CHECK_STR(got("sys/fs/cgroup/user.slice/run-7.scope/c/in/cgroup.procs"), "0");
	put(at("sys/fs/cgroup/user.slice/run-7.scope/c/in/cgroup.procs"), "");
	destroy(cg);
	fake_end();
}

TEST(failure_leaves_nothing)
{
	static const struct {
		int version;
		const char *name, *value, *what, *hint;
	} bad[] = {
		{ 1, "memory.swappiness", "10", "lxc.cgroup.memory.swappiness = 10 cannot be said in cgroup v2",
		  "lxc.cgroup2.memory.swap.max" },
		{ 1, "net_cls.classid", "1", "nft", "remove" },
		{ 2, "memory.nonsense", "1", "lxc.cgroup2.memory.nonsense: there is no such file",
		  "cgroup.controllers" },
		{ 2, "../../x", "1", "not the name of a cgroup file", "" },
		{ 1, "frob.x", "1", "lxc.cgroup.frob.x", "" },
		{ 1, "memory.memsw.limit_in_bytes", "10M", "a limit of memory must be set too", "" },
		{ 1, "cpu.shares", "many", "not a value", "" },
	};
	fake_host(HOST_V2);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		config_start();
		spec.with_monitor = true;
		key(bad[i].version, bad[i].name, bad[i].value);
		struct bv_error err = { 0 };
		CHECK(!create(&err));
		CHECK(strstr(err.what, bad[i].what) && strstr(err.hint, bad[i].hint));
		if (!strstr(err.what, bad[i].what) || !strstr(err.hint, bad[i].hint))
			printf("# %s | %s\n", err.what, err.hint);
		CHECK(!exists("sys/fs/cgroup/lxc.payload.c1") && !exists("sys/fs/cgroup/lxc.monitor.c1"));
	}
	fake_end();
}

TEST(both_versions_in_one_config)
{
	/* A key without a counterpart is no obstacle where the other version's key is there too. */
	fake_host(HOST_V1);
	config_start();
	key(2, "memory.high", "60M");
	key(2, "memory.max", "64M");
	key(1, "memory.limit_in_bytes", "32M");
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	CHECK_STR(err.what, "");
	CHECK_STR(got("sys/fs/cgroup/memory/lxc.payload.c1/memory.limit_in_bytes"), "32M");
	if (cg)
		destroy(cg);
	fake_end();
}

TEST(layout)
{
	static const struct {
		const char *dir, *container, *monitor, *inner, *pattern, *prefix, *payload; /* payload NULL: refused */
	} all[] = {
		{ NULL, NULL, NULL, NULL, NULL, "", "lxc.payload.c1" },
		{ "a/b", NULL, NULL, NULL, "p/%n", "a/b", "lxc.payload.c1" },
		{ NULL, NULL, NULL, NULL, "p/%n/%n", "p/c1/c1", "payload" },
		{ NULL, "c", "m/n", "i", NULL, "", "c" },
		{ "/a", NULL, NULL, NULL, NULL, NULL, NULL },
		{ "a/../b", NULL, NULL, NULL, NULL, NULL, NULL },
		{ "a//b", NULL, NULL, NULL, NULL, NULL, NULL },
		{ "a/", NULL, NULL, NULL, NULL, NULL, NULL },
		{ "", NULL, NULL, NULL, NULL, NULL, NULL },
		{ "a\n", NULL, NULL, NULL, NULL, NULL, NULL },
		{ NULL, "c", NULL, NULL, NULL, NULL, NULL },
		{ NULL, "c", "c", NULL, NULL, NULL, NULL },
		{ NULL, "c", "m", "i/j", NULL, NULL, NULL },
		{ NULL, NULL, NULL, "i", NULL, NULL, NULL },
		{ "a", "c", "m", NULL, NULL, NULL, NULL },
		{ NULL, NULL, NULL, NULL, "../%n", NULL, NULL },
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		config_start();
		cfg.cgroup_dir = (char *)(uintptr_t)all[i].dir;
		cfg.cgroup_dir_container = (char *)(uintptr_t)all[i].container;
		cfg.cgroup_dir_monitor = (char *)(uintptr_t)all[i].monitor;
		cfg.cgroup_dir_inner = (char *)(uintptr_t)all[i].inner;
		spec.pattern = all[i].pattern;
		struct cgroup_layout l = { 0 };
		struct bv_error err = { 0 };
		int r = cgroup_layout_read(&l, &spec, &err);
		CHECK_INT(r, all[i].payload ? 0 : -EINVAL);
		if (r == 0) {
			CHECK_STR(l.prefix, all[i].prefix);
			CHECK_STR(l.payload, all[i].payload);
		}
		cgroup_layout_clear(&l);
	}
}

TEST(damaged_descriptions)
{
	static const char *const bad[] = {
		"unified",
		"a b c d e f",
		"a memory /x p m - - - -",
		"u unified sys p - - - -",
		"u unified /x/../etc p - - - -",
		"u unified /x ../p - - - -",
		"u unified /x p .. - - -",
		"u unified /x p - a//b - -",
		"u unified /x /p - - - -",
		"- memory /x p - - - -",
		"u unified /x p\\0 - - - -",
		"u unified /x p\\777 - - - -",
		"u unified /x p - - - -\nu unified /x p - - - -",
	};
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_cgroup *cg = NULL;
		struct bv_error err = { 0 };
		CHECK_INT(bv_cgroup_open(&cg, bad[i], &err), -EINVAL);
		CHECK(!cg && err.code == EINVAL);
	}
	struct bv_cgroup *cg;
	CHECK_INT(bv_cgroup_open(&cg, "x\\040y memory /sys/mem\\134ory p\\055q - - - -\n", NULL), 0);
	CHECK_STR(cg->hiers[0].name, "x y");
	CHECK_STR(cg->hiers[0].mount, "/sys/mem\\ory");
	CHECK_STR(cg->hiers[0].payload, "p-q");
	bv_cgroup_free(cg);
}

/* ---- translation ---- */

static const char *no_other(void *data, const char *name)
{
	(void)data;
	(void)name;
	return NULL;
}

TEST(translate)
{
	static const struct {
		bool from_v1;
		const char *key, *value;
		int n;
		const char *file, *want;
	} all[] = {
		{ true, "memory.limit_in_bytes", "-1", 1, "memory.max", "max" },
		{ false, "memory.max", "max", 1, "memory.limit_in_bytes", "-1" },
		{ false, "memory.low", "0", 1, "memory.soft_limit_in_bytes", "-1" },
		{ true, "memory.soft_limit_in_bytes", "-1", 1, "memory.low", "0" },
		{ false, "memory.swap.max", "max", 1, "memory.memsw.limit_in_bytes", "-1" },
		{ true, "memory.use_hierarchy", "1", 0, NULL, NULL },
		{ true, "memory.use_hierarchy", "0", -ENOTSUP, NULL, NULL },
		{ true, "cpu.shares", "1024", 1, "cpu.weight", "100" },
		{ true, "cpu.shares", "2", 1, "cpu.weight", "1" },
		{ true, "cpu.shares", "262144", 1, "cpu.weight", "10000" },
		{ false, "cpu.weight", "100", 1, "cpu.shares", "1024" },
		{ true, "cpu.cfs_quota_us", "-1", 1, "cpu.max", "max" },
		{ true, "cpu.cfs_period_us", "50000", 1, "cpu.max", "max 50000" },
		{ false, "cpu.max", "70000", 1, "cpu.cfs_quota_us", "70000" },
		{ false, "cpu.max", "1 2 3", -EINVAL, NULL, NULL },
		{ true, "blkio.weight", "500", 1, "io.weight", "100" },
		{ false, "io.weight", "default 200", 1, "blkio.weight", "1000" },
		{ false, "io.weight", "8:0 200", -ENOTSUP, NULL, NULL },
		{ true, "blkio.throttle.write_iops_device", "8:0 0", 1, "io.max", "8:0 wiops=max" },
		{ true, "blkio.throttle.write_iops_device", "8:0", -EINVAL, NULL, NULL },
		{ false, "io.max", "8:0 rbps=1 wbps=2 riops=3 wiops=4", 4, "blkio.throttle.read_bps_device", "8:0 1" },
		{ false, "io.max", "8:0 rbps=1 wbps=2 riops=3 wiops=4 rbps=5", -EINVAL, NULL, NULL },
		{ false, "io.max", "8:0", -EINVAL, NULL, NULL },
		{ true, "freezer.state", "FROZEN", 1, "cgroup.freeze", "1" },
		{ false, "cgroup.freeze", "0", 1, "freezer.state", "THAWED" },
		{ true, "freezer.state", "1", -EINVAL, NULL, NULL },
		{ true, "hugetlb.2MB.limit_in_bytes", "-1", 1, "hugetlb.2MB.max", "max" },
		{ false, "hugetlb.1GB.max", "1073741824", 1, "hugetlb.1GB.limit_in_bytes", "1073741824" },
		{ false, "memory.high", "1", -ENOTSUP, NULL, NULL },
		{ true, "no.such", "1", -ENOTSUP, NULL, NULL },
		{ true, "cpuset.cpus", "0-3", 1, "cpuset.cpus", "0-3" },
	};
	const struct cgroup_context context = { no_other, NULL };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct cgroup_write w[CGROUP_WRITES_MAX];
		struct bv_error err = { 0 };
		int n = cgroup_translate(w, all[i].from_v1, all[i].key, all[i].value, &context, &err);
		if (n != all[i].n)
			printf("# %s = %s\n", all[i].key, all[i].value);
		CHECK_INT(n, all[i].n);
		CHECK_INT(err.code, n < 0 ? -n : 0);
		if (n > 0) {
			CHECK_STR(w[0].file, all[i].file);
			CHECK_STR(w[0].value, all[i].want);
		}
	}
}

/* ---- statistics, frozen ---- */

TEST(stats_v2)
{
	fake_host(HOST_V2);
	config_start();
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	put(at("sys/fs/cgroup/lxc.payload.c1/cpu.stat"), "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 0\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/memory.stat"),
	    "anon 1000\nfile 200\nkernel 999\nkernel_stack 16\npagetables 8\nsec_pagetables 5\npercpu 3\nsock 4\n"
	    "file_mapped 7777\nslab_reclaimable 1\nslab 2\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/memory.swap.current"), "77\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/memory.max"), "max\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/io.stat"),
	    "8:0 rbytes=100 wbytes=20 rios=3 wios=4 dbytes=50 dios=6\n8:16 rbytes=1 wbytes=2 rios=1 wios=1\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/pids.current"), "12\n");
	put(at("sys/fs/cgroup/lxc.payload.c1/pids.max"), "100\n");
	struct bv_cgroup_stats s;
	CHECK_INT(bv_cgroup_stats(cg, BV_STATS_ALL, &s), 0);
	CHECK_INT(s.cpu_ns, 30000);
	CHECK_INT(s.cpu_user_ns, 20000);
	CHECK_INT(s.memory, 1200);
	CHECK_INT(s.kernel_memory, 30);
	CHECK_INT(s.swap, 77);
	CHECK(s.memory_limit == UINT64_MAX);
	CHECK_INT(s.pids_limit, 100);
	CHECK_INT(s.blkio_read, 101);
	CHECK_INT(s.blkio_total, 123);
	CHECK_INT(s.blkio_ops, 9);
	CHECK_INT(s.pids, 12);
	CHECK_INT(bv_cgroup_stats(cg, BV_STATS_PIDS, &s), 0);
	CHECK(s.cpu_ns == UINT64_MAX && s.memory == UINT64_MAX && s.blkio_total == UINT64_MAX);
	CHECK_INT(bv_cgroup_is_frozen(cg), 0);
	put(at("sys/fs/cgroup/lxc.payload.c1/cgroup.events"), "populated 0\nfrozen 1\n");
	CHECK_INT(bv_cgroup_is_frozen(cg), 1);
	CHECK_INT(bv_cgroup_freeze(cg, true, 100, &err), 0);
	CHECK_STR(got("sys/fs/cgroup/lxc.payload.c1/cgroup.freeze"), "1");
	CHECK_INT(bv_cgroup_freeze(cg, false, 20, &err), -ETIMEDOUT);
	destroy(cg);
	fake_end();
}

TEST(stats_v1)
{
	fake_host(HOST_HYBRID);
	config_start();
	struct bv_error err = { 0 };
	struct bv_cgroup *cg = create(&err);
	put(at("sys/fs/cgroup/cpu,cpuacct/lxc.payload.c1/cpuacct.usage"), "123456789\n");
	put(at("sys/fs/cgroup/cpu,cpuacct/lxc.payload.c1/cpuacct.stat"), "user 7\nsystem 3\n");
	put(at("sys/fs/cgroup/memory/lxc.payload.c1/memory.usage_in_bytes"), "5000\n");
	put(at("sys/fs/cgroup/memory/lxc.payload.c1/memory.memsw.usage_in_bytes"), "5100\n");
	put(at("sys/fs/cgroup/memory/lxc.payload.c1/memory.kmem.usage_in_bytes"), "300\n");
	put(at("sys/fs/cgroup/memory/lxc.payload.c1/memory.limit_in_bytes"), "9223372036854771712\n");
	put(at("sys/fs/cgroup/blkio/lxc.payload.c1/blkio.throttle.io_service_bytes"),
	    "8:0 Read 4096\n8:0 Write 1024\n8:0 Sync 5120\n8:0 Total 5120\n8:16 Read 1\nTotal 5121\n");
	put(at("sys/fs/cgroup/blkio/lxc.payload.c1/blkio.throttle.io_serviced"), "8:0 Read 2\nTotal 2\n");
	put(at("sys/fs/cgroup/pids/lxc.payload.c1/pids.current"), "4\n");
	put(at("sys/fs/cgroup/pids/lxc.payload.c1/pids.max"), "max\n");
	struct bv_cgroup_stats s;
	CHECK_INT(bv_cgroup_stats(cg, BV_STATS_ALL, &s), 0);
	CHECK_INT(s.cpu_ns, 123456789);
	CHECK_INT(s.cpu_user_ns, 7 * (1000000000 / sysconf(_SC_CLK_TCK)));
	CHECK_INT(s.memory, 5000);
	CHECK_INT(s.swap, 100);
	CHECK_INT(s.kernel_memory, 300);
	CHECK(s.memory_limit == UINT64_MAX && s.pids_limit == UINT64_MAX);
	CHECK_INT(s.blkio_read, 4097);
	CHECK_INT(s.blkio_total, 5121);
	CHECK_INT(s.blkio_ops, 2);
	CHECK_INT(s.pids, 4);
	put(at("sys/fs/cgroup/freezer/lxc.payload.c1/freezer.state"), "FREEZING\n");
	CHECK_INT(bv_cgroup_is_frozen(cg), 0);
	put(at("sys/fs/cgroup/freezer/lxc.payload.c1/freezer.state"), "");
	CHECK_INT(bv_cgroup_freeze(cg, true, 100, &err), 0);
	destroy(cg);
	CHECK_INT(bv_cgroup_stats(&(struct bv_cgroup){ 0 }, BV_STATS_ALL, &s), -ENOENT);
	fake_end();
}

/* ---- trees ---- */

static int plain_remove(int dirfd, const char *path)
{
	return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int count(int dirfd, void *data)
{
	(void)dirfd;
	++*(int *)data;
	return 0;
}

TEST(deep_tree)
{
	enum { DEPTH = 3000 };
	char top[] = "/tmp/bv-cgroup.XXXXXX";
	if (!mkdtemp(top))
		abort();
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < DEPTH; i++) {
		mkdirat(fd, "a-name-that-is-not-short", 0755);
		mkdirat(fd, "b", 0755);
		int next = openat(fd, "a-name-that-is-not-short", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(fd);
	struct rlimit old, few = { 64, 64 };
	getrlimit(RLIMIT_NOFILE, &old);
	few.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	int n = 0;
	CHECK_INT(cgroup_tree_visit(top, count, &n), 0);
	CHECK_INT(n, 2 * DEPTH + 1);
	const struct cgroup_place plain = { .remove_dir = plain_remove };
	CHECK_INT(cgroup_tree_remove(&plain, top), 0);
	setrlimit(RLIMIT_NOFILE, &old);
	CHECK(access(top, F_OK) < 0);
	CHECK_INT(cgroup_tree_remove(&plain, top), 0);
}

TEST_MAIN()
