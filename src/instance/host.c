/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "config/config.h"
#include "net/probe.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/*
 * What lxc-checkconfig shows: each fact is looked at on the running host (a namespace file, a file system's
 * registration, a link kind asked for by netlink), because a kernel configuration says nothing of a module that is not
 * installed or a hierarchy that is not mounted.
 */
struct report {
	struct bv_check *v;
	size_t n, room;
	bool bad;
};

static struct bv_check *add(struct report *r, const char *section, const char *name, int state)
{
	static struct bv_check lost;
	if (r->n == r->room) {
		size_t room = r->room ? r->room * 2 : 64;
		struct bv_check *v = reallocarray(r->v, room, sizeof(*v));
		if (!v) {
			r->bad = true;
			return &lost;
		}
		r->v = v;
		r->room = room;
	}
	r->v[r->n] = (struct bv_check){ .section = section, .name = name, .state = state };
	return &r->v[r->n++];
}

static void check_namespaces(struct report *r)
{
	static const struct {
		const char *name, *file, *limit;
		bool needed;
	} all[] = {
		{ "Utsname namespace", "uts", "max_uts_namespaces", true },
		{ "Ipc namespace", "ipc", "max_ipc_namespaces", true },
		{ "Pid namespace", "pid", "max_pid_namespaces", true },
		{ "Mount namespace", "mnt", "max_mnt_namespaces", true },
		{ "Network namespace", "net", "max_net_namespaces", false },
		{ "User namespace", "user", "max_user_namespaces", false },
		{ "Cgroup namespace", "cgroup", "max_cgroup_namespaces", false },
		{ "Time namespace", "time", "max_time_namespaces", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char path[64], limit[32] = "";
		snprintf(path, sizeof(path), "/proc/self/ns/%s", all[i].file);
		bool there = access(path, F_OK) == 0;
		struct bv_check *c = add(r, "Namespaces", all[i].name, there ? 1 : all[i].needed ? -1 : 0);
		snprintf(path, sizeof(path), "/proc/sys/user/%s", all[i].limit);
		if (bv_read_small(AT_FDCWD, path, limit, sizeof(limit)) > 0) {
			snprintf(c->detail, sizeof(c->detail), "at most %s", limit);
			if (bv_streq(limit, "0"))
				c->state = all[i].needed ? -1 : 0;
		}
	}
}

static bool has_controller(const struct bv_cgroup_hierarchy *h, size_t n, const char *name, const char **where)
{
	for (size_t i = 0; i < n; i++) {
		autoclean(bv_strv_clear) struct bv_strv names = { 0 };
		if (h[i].controllers && bv_strv_split(&names, h[i].controllers, ", ") == 0 &&
		    bv_strv_has(&names, name)) {
			*where = h[i].mountpoint;
			return true;
		}
	}
	return false;
}

static void check_cgroups(struct report *r)
{
	/* The v1 name, the v2 one where it differs; what a system container cannot do without is needed. */
	static const struct {
		const char *title, *v1, *v2;
	} all[] = {
		{ "Cgroup cpu controller", "cpu", "cpu" },
		{ "Cgroup cpuset controller", "cpuset", "cpuset" },
		{ "Cgroup memory controller", "memory", "memory" },
		{ "Cgroup pids controller", "pids", "pids" },
		{ "Cgroup io controller", "blkio", "io" },
		{ "Cgroup hugetlb controller", "hugetlb", "hugetlb" },
	};
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	const struct bv_cgroup_hierarchy *h = NULL;
	size_t n = bv_cgroup_open(&cg, "", NULL) == 0 ? bv_cgroup_hierarchies(cg, &h) : 0;

	size_t v1 = 0, v2 = 0;
	const char *unified = NULL;
	for (size_t i = 0; i < n; i++) {
		v1 += !h[i].v2;
		v2 += h[i].v2;
		unified = h[i].v2 ? h[i].mountpoint : unified;
	}
	struct bv_check *c = add(r, "Control groups", "Cgroups", n ? 1 : -1);
	snprintf(c->detail, sizeof(c->detail), "%s",
		 !n    ? "none is mounted"
		 : !v1 ? "v2"
		 : !v2 ? "v1"
		       : "hybrid: v1 and v2");
	c = add(r, "Control groups", "Cgroup v2 hierarchy", v2 > 0);
	snprintf(c->detail, sizeof(c->detail), "%s", unified ? unified : "");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		const char *where = NULL;
		bool there = has_controller(h, n, all[i].v1, &where) || has_controller(h, n, all[i].v2, &where);
		c = add(r, "Control groups", all[i].title, there);
		snprintf(c->detail, sizeof(c->detail), "%s", where ? where : "");
	}
}

static void check_links(struct report *r)
{
	static const char *const kinds[] = { "veth", "bridge", "macvlan", "ipvlan", "vlan" };
	static const char *const titles[] = { "Veth pair device", "Bridge", "Macvlan", "Ipvlan", "Vlan" };
	bool there[ARRAY_SIZE(kinds)] = { 0 };
	int p = bv_net_probe_kinds(kinds, there, ARRAY_SIZE(kinds));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct bv_check *c = add(r, "Network", titles[i], there[i]);
		if (p < 0)
			snprintf(c->detail, sizeof(c->detail), "cannot be asked for: %s", strerror(-p));
	}
	add(r, "Network", "Tun/tap device", access("/dev/net/tun", F_OK) == 0);
}

static void check_misc(struct report *r)
{
	static const char *const filesystems[] = { "overlay", "fuse", "squashfs", "ext4", "btrfs", "xfs" };
	autofree char *list = NULL;
	if (bv_read_file(AT_FDCWD, "/proc/filesystems", 0, &list, NULL) < 0)
		list = strdup("");
	for (size_t i = 0; list && i < ARRAY_SIZE(filesystems); i++) {
		char line[32];
		snprintf(line, sizeof(line), "\t%s\n", filesystems[i]);
		struct bv_check *c = add(r, "File systems", filesystems[i], strstr(list, line) != NULL);
		if (!c->state)
			snprintf(c->detail, sizeof(c->detail), "not registered (a module may bring it)");
	}
	add(r, "Misc", "Seccomp filters", prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0);
	static const char *const lsm[] = { "none is active", "AppArmor", "SELinux" };
	struct bv_check *c = add(r, "Misc", "Security module", bv_lsm_host() != BV_LSM_NONE);
	snprintf(c->detail, sizeof(c->detail), "%s", lsm[bv_lsm_host()]);

	struct open_how how = { .flags = O_PATH | O_CLOEXEC };
	autoclose int fd = bv_openat2(AT_FDCWD, "/", &how);
	add(r, "Misc", "openat2 (Linux 5.6)", fd >= 0);
	autoclose int mnt = bv_open_tree(AT_FDCWD, "/", OPEN_TREE_CLOEXEC);
	add(r, "Misc", "Mount API (Linux 5.2)", mnt >= 0);
	struct mount_attr attr = { 0 };
	add(r, "Misc", "mount_setattr, id-mapped mounts (Linux 5.12)",
	    bv_mount_setattr(-1, "", 0, &attr, sizeof(attr)) != -ENOSYS);
	autoclose int pidfd = bv_pidfd_open(getpid(), 0);
	add(r, "Misc", "pidfd (Linux 5.3)", pidfd >= 0);
	static const char *const tools[] = { "dnsmasq", "nft", "mmdebstrap", "debootstrap" };
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		static const char *const places[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };
		c = add(r, "Tools", tools[i], 0);
		for (size_t k = 0; k < ARRAY_SIZE(places) && !c->state; k++) {
			snprintf(c->detail, sizeof(c->detail), "%s/%s", places[k], tools[i]);
			c->state = access(c->detail, X_OK) == 0;
		}
		if (!c->state)
			snprintf(c->detail, sizeof(c->detail), "not installed");
	}
}

int bv_check_host(struct bv_check **ret, size_t *n, struct bv_error *err)
{
	struct report r = { 0 };
	check_namespaces(&r);
	check_cgroups(&r);
	check_links(&r);
	check_misc(&r);
	if (r.bad) {
		free(r.v);
		return bv_fail(err, ENOMEM, "out of memory");
	}
	*ret = r.v;
	*n = r.n;
	return 0;
}
