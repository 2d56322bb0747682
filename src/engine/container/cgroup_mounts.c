/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/cgroup_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "rootfs/rootat.h"
#include "sys/kernel.h"
#include "util/cleanup.h"

#define CGROUP_DIR "sys/fs/cgroup"

enum { PSEUDO = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

static const struct bv_mount_flags read_only = { .set = MOUNT_ATTR_RDONLY };

static bool has_namespace(const struct bv_setup *s, enum bv_ns ns)
{
	const struct bv_config *cfg = s->config;
	unsigned int bit = 1U << ns;
	if (s->run->share_ns[ns] >= 0)
		return true;
	if (cfg->ns_clone_set)
		return cfg->ns_clone & bit;
	return !cfg->ns_keep_set || !(cfg->ns_keep & bit);
}

static int fail_hierarchy(int code, const struct bv_cgroup_hierarchy *h, struct bv_error *err)
{
	errno = -code;
	return bv_fail_errno(err, "cannot mount the cgroup hierarchy %s", h->name);
}

/* The hierarchy as seen from the new cgroup namespace, whose root is the container's cgroup. */
static int mount_fresh(const struct bv_cgroup_hierarchy *h, enum bv_automount mode, int dir, const char *path,
		       struct bv_error *err)
{
	char message[256];
	autoclose int mnt =
		bv_mount_new(h->v2 ? "cgroup2" : "cgroup", NULL, h->v2 ? NULL : h->controllers,
			     PSEUDO | (mode == BV_AUTO_RO ? MOUNT_ATTR_RDONLY : 0), message, sizeof(message));
	if (mnt < 0 && *message)
		return bv_fail(err, -mnt, "cannot mount the cgroup hierarchy %s: %s", h->name, message);
	int r = mnt < 0 ? mnt : bv_mount_attach(mnt, dir, path);
	return r < 0 ? fail_hierarchy(r, h, err) : 0;
}

static int copy_of(const char *path, bool ro)
{
	int fd = bv_mount_clone(AT_FDCWD, path, false);
	int r = fd < 0 || !ro ? 0 : bv_mount_change(fd, &read_only, false);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/*
 * The whole hierarchy of the host on `path` below `dir`, read-only but for "rw", and with "mixed" the container's own
 * cgroup writable in it.
 */
static int mount_whole(const struct bv_cgroup_hierarchy *h, enum bv_automount mode, int dir, const char *path,
		       struct bv_error *err)
{
	const char *payload = h->payload ? h->payload + strspn(h->payload, "/") : "";
	autofree char *own = bv_asprintf("%s/%s", h->mountpoint, payload);
	if (!own)
		return bv_fail(err, ENOMEM, "out of memory");
	autoclose int whole = copy_of(h->mountpoint, mode != BV_AUTO_RW);
	int r = whole < 0 ? whole : bv_mount_attach(whole, dir, path);
	if (r == 0 && mode == BV_AUTO_MIXED && *payload) {
		autoclose int mine = copy_of(own, false);
		r = mine < 0 ? mine : bv_mount_attach(mine, whole, payload);
	}
	return r < 0 ? fail_hierarchy(r, h, err) : 0;
}

/* The container's own cgroup alone, at the path that /proc/self/cgroup says. */
static int mount_own(const struct bv_cgroup_hierarchy *h, enum bv_automount mode, int dir, struct bv_error *err)
{
	const char *payload = h->payload ? h->payload + strspn(h->payload, "/") : "";
	autofree char *own = bv_asprintf("%s/%s", h->mountpoint, payload);
	autofree char *path = bv_asprintf("%s/%s", h->name, payload);
	if (!own || !path)
		return bv_fail(err, ENOMEM, "out of memory");
	autoclose int target = bv_rootat_mkdir_p(dir, path, 0755);
	autoclose int mnt = target < 0 ? target : copy_of(own, mode == BV_AUTO_RO);
	int r = mnt < 0 ? mnt : bv_rootat_attach(mnt, target);
	return r < 0 ? fail_hierarchy(r, h, err) : 0;
}

/* "cpu,cpuacct" is found as cpu and as cpuacct too. */
static int link_controllers(int dir, const char *name, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv parts = { 0 };
	if (!strchr(name, ','))
		return 0;
	if (bv_strv_split(&parts, name, ",") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < parts.n; i++)
		if (symlinkat(name, dir, parts.v[i]) < 0 && errno != EEXIST)
			return bv_fail_errno(err, "cannot make the link /" CGROUP_DIR "/%s", parts.v[i]);
	return 0;
}

static int open_cgroup_dir(const struct bv_setup *s, struct bv_error *err)
{
	int target = bv_rootat_open_nolinks(s->root, CGROUP_DIR, O_PATH | O_DIRECTORY, 0);
	if (target == -ENOENT)
		target = bv_rootat_mkdir_p(s->root, CGROUP_DIR, 0755);
	if (target < 0) {
		errno = -target;
		bv_fail_errno(err, "cannot open /" CGROUP_DIR " of the rootfs");
		return bv_hint(err, "add sys:mixed to lxc.mount.auto");
	}
	return target;
}

/* One tmpfs with a directory for each hierarchy. */
static int mount_all(struct bv_setup *s, enum bv_automount mode, bool own_ns, int target, struct bv_error *err)
{
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_cgroup_hierarchies(s->run->cgroup, &h);
	const struct bv_mount_auto *a = &s->config->mount_auto;

	autoclose int dir = bv_mount_new("tmpfs", NULL, "size=10240k,mode=755", PSEUDO, NULL, 0);
	int r = dir < 0 ? dir : bv_rootat_attach(dir, target);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount a tmpfs on /" CGROUP_DIR);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (mkdirat(dir, h[i].name, 0755) < 0 && errno != EEXIST)
			return bv_fail_errno(err, "cannot make /" CGROUP_DIR "/%s", h[i].name);
		if (own_ns)
			r = mount_fresh(&h[i], mode, dir, h[i].name, err);
		else if (a->cgroup_full)
			r = mount_whole(&h[i], mode, dir, h[i].name, err);
		else
			r = mount_own(&h[i], mode, dir, err);
		if (r == 0)
			r = link_controllers(dir, h[i].name, err);
	}
	/* What is around the container's own cgroups cannot be changed; they themselves are other mounts. */
	if (r == 0 && !own_ns && !a->cgroup_full && mode != BV_AUTO_RW) {
		r = bv_mount_change(dir, &read_only, false);
		errno = -r;
		if (r < 0)
			bv_fail_errno(err, "cannot make /" CGROUP_DIR " read-only");
	}
	return r;
}

/* The v2 hierarchy on /sys/fs/cgroup itself. */
static int mount_unified(struct bv_setup *s, enum bv_automount mode, bool own_ns, int target, struct bv_error *err)
{
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_cgroup_hierarchies(s->run->cgroup, &h);
	for (size_t i = 0; i < n; i++)
		if (h[i].v2)
			return own_ns ? mount_fresh(&h[i], mode, target, "", err)
				      : mount_whole(&h[i], mode, target, "", err);
	return bv_fail(err, ENOENT, "the host has no cgroup2 hierarchy to mount (lxc.mount.auto)");
}

int bv_setup_cgroup_mounts(struct bv_setup *s, struct bv_error *err)
{
	const struct bv_mount_auto *a = &s->config->mount_auto;
	if (a->cgroup == BV_AUTO_NONE || !s->run->cgroup)
		return 0;
	bool own_ns = has_namespace(s, BV_NS_CGROUP);
	bool admin = s->caps_keep & (1ULL << CAP_SYS_ADMIN);
	bool v2_only = bv_cgroup_host_is_v2_only(s->run->cgroup);
	if (own_ns && admin && !a->cgroup_force && !v2_only)
		return 0;

	enum bv_automount mode = a->cgroup;
	if (mode == BV_AUTO_UNSPECIFIED)
		mode = admin ? BV_AUTO_RW : BV_AUTO_MIXED;
	autoclose int target = open_cgroup_dir(s, err);
	if (target < 0)
		return target;
	return v2_only || a->cgroup2 ? mount_unified(s, mode, own_ns, target, err)
				     : mount_all(s, mode, own_ns, target, err);
}
