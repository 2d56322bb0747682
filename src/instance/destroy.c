/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <bivalve.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/finish.h"
#include "instance/hidden.h"
#include "instance/internal.h"
#include "instance/rundir.h"
#include "rootfs/storage.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/*
 * A removal asks all questions first, then destroys storage that lies elsewhere, then takes LXCPATH/NAME out of sight
 * by one rename. A crash before the rename leaves an instance that can be destroyed again, after it one that is gone.
 */

/* ---- clones: pairs of lines, lxcpath and name (LXC's lxc_snapshots of a parent, lxc_rdepends of a clone) ---- */

static int read_pairs(const struct bv_instance *inst, const char *file, struct bv_strv *ret)
{
	autofree char *path = bv_instance_path(inst, file), *text = NULL;
	if (!path)
		return -ENOMEM;
	int r = bv_read_file(AT_FDCWD, path, 1 << 20, &text, NULL);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR ? 0 : r;
	r = bv_strv_split(ret, text, "\n");
	return r;
}

static int destroy_clones(const struct bv_strv *pairs, bool force, struct bv_error *err)
{
	for (size_t i = 0; i + 1 < pairs->n; i += 2) {
		autoclean(bv_instance_freep) struct bv_instance *clone = NULL;
		int r = bv_instance_open(&clone, pairs->v[i], pairs->v[i + 1], err);
		if (r < 0)
			return r;
		if (!bv_instance_is_defined(clone))
			continue;
		r = bv_instance_destroy(clone, force, false, err);
		if (r < 0)
			return bv_error_prefix(err, "the clone %s", pairs->v[i + 1]);
	}
	return 0;
}

/* Take `inst` off the list of clones that its parent keeps. A list that cannot be changed is a warning. */
static void forget_at_parent(const struct bv_instance *inst, const char *lxcpath, const char *name)
{
	autoclean(bv_instance_freep) struct bv_instance *parent = NULL;
	autoclean(bv_strv_clear) struct bv_strv pairs = { 0 };
	autoclean(bv_buf_clear) struct bv_buf left = { 0 };
	if (bv_instance_open(&parent, lxcpath, name, NULL) < 0 || read_pairs(parent, "lxc_snapshots", &pairs) < 0)
		return;
	for (size_t i = 0; i + 1 < pairs.n; i += 2)
		if (!bv_streq(pairs.v[i], inst->lxcpath) || !bv_streq(pairs.v[i + 1], inst->name))
			bv_buf_printf(&left, "%s\n%s\n", pairs.v[i], pairs.v[i + 1]);
	autofree char *path = bv_instance_path(parent, "lxc_snapshots");
	if (!path || left.bad || pairs.n < 2)
		return;
	int r = 0;
	if (left.len)
		r = bv_replace_file(AT_FDCWD, path, left.p, left.len, 0640, true);
	else if (unlink(path) < 0)
		r = -errno;
	if (r < 0)
		bv_warn("destroy", "cannot take %s off %s: %s", inst->name, path, strerror(-r));
}

static void forget_at_parents(const struct bv_instance *inst, const struct bv_strv *parents)
{
	for (size_t i = 0; i + 1 < parents->n; i += 2)
		forget_at_parent(inst, parents->v[i], parents->v[i + 1]);
}

static bool has_snapshots(const struct bv_instance *inst)
{
	autofree char *path = bv_instance_path(inst, "snaps");
	autodir DIR *dir = path ? opendir(path) : NULL;
	const struct dirent *e;
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			return true;
	return false;
}

/* ---- questions ---- */

static int check_family(const struct bv_instance *inst, bool force, bool snapshots, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv clones = { 0 };
	int r = read_pairs(inst, "lxc_snapshots", &clones);
	if (r < 0)
		return bv_fail(err, r, "cannot read %s/%s/lxc_snapshots: %s", inst->lxcpath, inst->name, strerror(-r));
	if (snapshots)
		return destroy_clones(&clones, force, err);
	if (clones.n > 1) {
		bv_fail(err, EBUSY, "%s has clones that need its rootfs, %s among them", inst->name, clones.v[1]);
		return bv_hint(err, "lxc-destroy -s -n %s destroys them too", inst->name);
	}
	if (has_snapshots(inst)) {
		bv_fail(err, EBUSY, "%s has snapshots", inst->name);
		return bv_hint(err, "lxc-destroy -s -n %s destroys them too", inst->name);
	}
	return 0;
}

/* Undo the octal escapes of mountinfo in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++, to++) {
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to = *s;
		}
	}
	*to = '\0';
}

/* Nothing that is mounted is ever emptied: name it instead. */
static int check_mounts(const struct bv_instance *inst, struct bv_error *err)
{
	autofree char *path = bv_instance_path(inst, NULL), *real = path ? realpath(path, NULL) : NULL, *text = NULL;
	if (!real)
		return 0;
	int r = bv_read_file(AT_FDCWD, "/proc/self/mountinfo", 0, &text, NULL);
	if (r < 0)
		return bv_fail(err, r, "cannot read /proc/self/mountinfo: %s", strerror(-r));
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		/* "ID PARENT MAJOR:MINOR ROOT TARGET ...", proc(5) */
		char *field = line;
		for (int i = 0; i < 4 && field; i++)
			strsep(&field, " ");
		char *target = field ? strsep(&field, " ") : NULL;
		if (!target)
			continue;
		unescape(target);
		const char *below = bv_after(target, real);
		if (below && (*below == '\0' || *below == '/')) {
			bv_fail(err, EBUSY, "%s cannot be removed: %s is mounted", inst->name, target);
			return bv_hint(err, "umount %s", target);
		}
	}
	return 0;
}

/* ---- storage ---- */

/* Is `path` below LXCPATH/NAME, so that it goes with the directory? */
static bool lies_inside(const struct bv_instance *inst, const char *path)
{
	autofree char *top = bv_instance_path(inst, "");
	autofree char *a = top ? realpath(top, NULL) : NULL, *b = realpath(path, NULL);
	const char *below = top ? bv_after(path, top) : NULL;
	if (a && b)
		below = bv_after(b, a);
	return below && *below && (below[0] == '/' || !(a && b));
}

static bool goes_with_directory(const struct bv_instance *inst, const struct bv_storage *s)
{
	autofree char *host = s->ops->host_path(s);
	return lies_inside(inst, host ? host : s->path);
}

/* 1: the storage stays, and it is inside of the directory. */
static int remove_storage(struct bv_instance *inst, struct bv_error *err)
{
	autoclean(bv_storage_clear) struct bv_storage s = { 0 };
	if (!inst->config)
		return 0;
	int r = bv_storage_open(&s, inst->config, err);
	if (r == -ENOENT) {
		bv_error_clear(err);
		return 0; /* no rootfs of its own */
	}
	if (r < 0)
		return r;
	bool inside = goes_with_directory(inst, &s);
	if (!inst->config->rootfs_managed)
		return inside;
	return inside ? 0 : s.ops->destroy(&s, err);
}

/* lxc.rootfs.managed = 0 with a rootfs in the directory: all but what holds the rootfs goes, the config first. */
static int remove_all_but_rootfs(const struct bv_instance *inst, struct bv_error *err)
{
	autofree char *path = bv_instance_path(inst, NULL);
	autodir DIR *dir = path ? opendir(path) : NULL;
	if (!dir)
		return bv_fail_errno(err, "cannot open %s/%s", inst->lxcpath, inst->name);
	if (unlinkat(dirfd(dir), "config", 0) < 0 && errno != ENOENT)
		return bv_fail_errno(err, "cannot remove %s/config", path);
	const struct dirent *e;
	while ((e = readdir(dir))) {
		autofree char *entry = bv_asprintf("%s/%s", path, e->d_name);
		const char *rootfs = strchr(inst->config->rootfs_path, '/');
		const char *below = entry && rootfs ? bv_after(rootfs, entry) : NULL;
		if (bv_streq(e->d_name, ".") || bv_streq(e->d_name, "..") || !entry ||
		    (below && (*below == '\0' || *below == '/')))
			continue;
		int r = bv_remove_tree(dirfd(dir), e->d_name);
		if (r < 0)
			return bv_fail(err, r, "cannot remove %s: %s", entry, strerror(-r));
	}
	return 0;
}

/* ---- the removal ---- */

static int run_hook(struct bv_instance *inst, struct bv_error *err)
{
	struct bv_hook_env env = { 0 };
	if (!inst->config || inst->config->hooks[BV_HOOK_DESTROY].n == 0)
		return 0;
	bv_instance_hook_env(inst, &env);
	return bv_hooks_run(inst->config, BV_HOOK_DESTROY, &env, err);
}

int bv_destroy_stopped(struct bv_instance *inst, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv parents = { 0 };
	struct bv_error broken = { 0 };
	/* A config that does not load must not make an instance immortal; what it says is not known then. */
	if (bv_instance_is_defined(inst) && !inst->config_is_own && bv_instance_load_config(inst, NULL, &broken) < 0) {
		bv_warn("destroy", "%s is removed without its hooks, and storage outside of it is left: %s", inst->name,
			broken.what);
		bv_config_free(inst->config);
		inst->config = NULL;
	}
	int r = check_mounts(inst, err);
	if (r == 0)
		r = run_hook(inst, err);
	if (r < 0)
		return r;
	if (read_pairs(inst, "lxc_rdepends", &parents) < 0)
		bv_warn("destroy", "cannot read what %s depends on", inst->name);
	int stays = remove_storage(inst, err);
	if (stays < 0)
		return stays;
	if (stays > 0) {
		r = remove_all_but_rootfs(inst, err);
	} else {
		autoclose int lxcpath = open(inst->lxcpath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (lxcpath < 0)
			return bv_fail_errno(err, "cannot open %s", inst->lxcpath);
		r = bv_hidden_retire(lxcpath, inst->name, err);
	}
	if (r < 0)
		return r;
	forget_at_parents(inst, &parents);
	bv_config_free(inst->config);
	inst->config = NULL;
	inst->config_is_own = false;
	return 0;
}

/* Kill what runs. The monitor lets the lock go a moment after the instance has ended. */
static int take_lock(struct bv_instance *inst, bool force, struct bv_rundir *rd, int *lock, struct bv_error *err)
{
	enum { PATIENCE_MS = 10000, NAP_US = 20000 };
	enum bv_state state = BV_STOPPED;
	int r = bv_instance_state(inst, &state, err);
	if (r < 0)
		return r;
	if (state != BV_STOPPED) {
		if (!force) {
			bv_fail(err, EBUSY, "%s is running", inst->name);
			return bv_hint(err, "lxc-stop -n %s first, or lxc-destroy -f -n %s", inst->name, inst->name);
		}
		struct bv_stop_options stop = { .kill = true, .timeout_s = -1 };
		r = bv_instance_stop(inst, &stop, err);
		if (r == -ESRCH)
			bv_error_clear(err);
		else if (r < 0)
			return r;
	}
	int64_t deadline = bv_now_ms() + PATIENCE_MS;
	for (;;) {
		struct bv_error inner = { 0 };
		r = bv_rundir_lock(rd, inst->lxcpath, inst->name, lock, &inner);
		if (r != -EBUSY || state == BV_STOPPED || bv_now_ms() > deadline) {
			if (r < 0 && err)
				*err = inner;
			return r;
		}
		bv_rundir_close(rd);
		usleep(NAP_US);
	}
}

static int not_there(const struct bv_instance *inst, struct bv_error *err)
{
	bv_fail(err, ENOENT, "there is no instance \"%s\" in %s", inst->name, inst->lxcpath);
	return bv_hint(err, "lxc-ls lists the instances");
}

int bv_instance_destroy(struct bv_instance *inst, bool force, bool snapshots, struct bv_error *err)
{
	autoclose int lxcpath = open(inst->lxcpath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool swept = lxcpath >= 0 && bv_hidden_sweep(lxcpath, inst->name);
	int r = bv_create_check_partial(inst, err);
	if (r > 0)
		return bv_fail(err, EBUSY, "%s is being created", inst->name);
	if (r < 0)
		return r;
	if (!bv_instance_is_defined(inst))
		return swept ? 0 : not_there(inst, err);

	struct bv_rundir rd = { .fd = -1 };
	autoclose int lock = -1;
	r = take_lock(inst, force, &rd, &lock, err);
	if (r < 0) {
		bv_rundir_close(&rd);
		return r;
	}
	r = bv_finish_stale(&rd, inst->lxcpath, inst->name, err);
	if (r < 0) {
		bv_rundir_close(&rd);
		return r;
	}
	/* An ephemeral instance went with its stop. */
	r = bv_instance_is_defined(inst) ? check_family(inst, force, snapshots, err) : 1;
	if (r == 0)
		r = bv_destroy_stopped(inst, err);
	bv_rundir_remove(&rd);
	bv_rundir_close(&rd);
	return r < 0 ? r : 0;
}
