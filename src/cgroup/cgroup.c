/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

/* ---- the object ---- */

struct bv_cgroup *cgroup_new(const struct cgroup_place *place)
{
	struct bv_cgroup *cg = calloc(1, sizeof(*cg));
	if (!cg)
		return NULL;
	cg->place = place;
	cg->lock = -1;
	return cg;
}

struct cgroup_hier *cgroup_add_hier(struct bv_cgroup *cg, bool v2)
{
	struct cgroup_hier *hiers = reallocarray(cg->hiers, cg->n + 1, sizeof(*hiers));
	if (!hiers)
		return NULL;
	cg->hiers = hiers;
	struct cgroup_hier *h = v2 ? hiers : hiers + cg->n;
	memmove(h + 1, h, (size_t)(hiers + cg->n - h) * sizeof(*h));
	cg->n++;
	*h = (struct cgroup_hier){ .backend = v2 ? &cgroup_v2 : &cgroup_v1, .payload_fd = -1, .monitor_fd = -1 };
	return h;
}

struct cgroup_hier *cgroup_find_v1(const struct bv_cgroup *cg, const char *controller)
{
	for (size_t i = 0; i < cg->n; i++) {
		if (!cg->hiers[i].backend->v2 && cgroup_list_has(cg->hiers[i].controllers, controller))
			return &cg->hiers[i];
	}
	return NULL;
}

struct cgroup_hier *cgroup_find_v2(const struct bv_cgroup *cg)
{
	return cg->n > 0 && cg->hiers[0].backend->v2 ? &cg->hiers[0] : NULL;
}

void bv_cgroup_seal(struct bv_cgroup *cg)
{
	enum { FDS = 64 };
	int fds[FDS];
	size_t n = 0;
	for (size_t i = 0; i < cg->n; i++) {
		int *own[] = { &cg->hiers[i].payload_fd, &cg->hiers[i].monitor_fd };
		for (size_t k = 0; k < ARRAY_SIZE(own); k++) {
			if (*own[k] < 0)
				continue;
			if (n == FDS)
				close_fd(own[k]);
			else
				fds[n++] = take_fd(own[k]);
		}
	}
	bv_close_many(fds, n);
	close_fd(&cg->lock);
}

void bv_cgroup_free(struct bv_cgroup *cg)
{
	if (!cg)
		return;
	bv_cgroup_seal(cg);
	for (size_t i = 0; i < cg->n; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		char *const owned[] = { h->name,    h->mount, h->controllers, h->root, h->base,
					h->payload, h->inner, h->monitor,     h->made, h->pivot };
		for (size_t j = 0; j < ARRAY_SIZE(owned); j++)
			free(owned[j]);
	}
	free(cg->hiers);
	free(cg->view);
	free(cg);
}

void bv_cgroup_freep(struct bv_cgroup **cg)
{
	bv_cgroup_free(*cg);
}

/* ---- making directories ---- */

static int fail_make(const struct bv_cgroup *cg, const char *path, int r, struct bv_error *err)
{
	bv_fail(err, r, "cannot make the cgroup %s: %s", path, strerror(-r));
	if (r == -EROFS)
		return bv_hint(err, "the hierarchy is mounted read-only: mount -o remount,rw it, or let the outer "
				    "container have it");
	if ((r == -EACCES || r == -EPERM) && !cg->place->root)
		return bv_hint(
			err, "start in a cgroup of your own: systemd-run --user --scope -p Delegate=yes lxc-start ..");
	if (r == -EACCES || r == -EPERM)
		return bv_hint(err,
			       "root of a container needs its cgroups delegated: see ls -ld on the directory above");
	if (r == -EAGAIN)
		return bv_hint(err,
			       "the limit cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached");
	return r;
}

static int make_prepared(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel, struct bv_error *err)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, "");
	if (r == 0)
		r = cg->place->make_dir(path);
	if (r == 0) {
		r = h->backend->prepare(h, rel, err);
		if (r < 0)
			cg->place->remove_dir(AT_FDCWD, path);
	}
	return r;
}

/* The directories between the base and `rel`; the first one that had to be made is noted in h->made. */
static int make_parents(const struct bv_cgroup *cg, struct cgroup_hier *h, const char *rel, struct bv_error *err)
{
	const char *next = rel + strlen(h->base);
	for (;;) {
		next += strspn(next, "/");
		next += strcspn(next, "/");
		if (!*next)
			return 0;
		autofree char *level = strndup(rel, (size_t)(next - rel));
		if (!level)
			return -ENOMEM;
		int r = make_prepared(cg, h, level, err);
		if (r == 0 && !h->made)
			h->made = take_ptr(level);
		if (r < 0 && r != -EEXIST)
			return r;
	}
}

/*
 * The directory itself, new. One that is there is a left-over when no process is in it: it is removed first, so that
 * nothing of its limits stays. (Nor of its cgroup.kill: Linux 6.18 kills at birth whatever is cloned into a cgroup of
 * which all were killed before.) -EEXIST: it is in use.
 */
static int make_fresh(const struct bv_cgroup *cg, struct cgroup_hier *h, const char *rel, struct bv_error *err)
{
	int r = make_prepared(cg, h, rel, err);
	if (r == -ENOENT) {
		r = make_parents(cg, h, rel, err);
		if (r == 0)
			r = make_prepared(cg, h, rel, err);
	}
	if (r != -EEXIST)
		return r;

	char path[PATH_MAX];
	r = cgroup_path(path, h, rel, "");
	if (r == 0)
		r = h->backend->populated(h, rel);
	if (r > 0)
		return -EEXIST;
	/* Another start that has made it and not yet put a process in holds the lock. */
	autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -EEXIST;
	if (r == 0)
		r = cgroup_tree_remove(cg->place, path);
	if (r == -EBUSY || r == -ENOTEMPTY)
		return -EEXIST;
	return r < 0 ? r : make_prepared(cg, h, rel, err);
}

/* ---- removing ---- */

static void prune_parents(const struct bv_cgroup *cg, struct cgroup_hier *h, const char *rel)
{
	if (!h->made)
		return;
	size_t stop = strlen(h->made);
	autofree char *level = strdup(rel);
	for (char *slash; level && (slash = strrchr(level, '/')) && (size_t)(slash - level) >= stop;) {
		*slash = '\0';
		char path[PATH_MAX];
		if (cgroup_path(path, h, level, "") < 0 || cg->place->remove_dir(AT_FDCWD, path) < 0)
			return;
	}
}

/* A process that was just killed may count for a moment yet. */
enum { REMOVE_PATIENCE_MS = 400 };

static int remove_one(const struct bv_cgroup *cg, struct cgroup_hier *h, const char *rel, int64_t *deadline,
		      struct bv_error *err)
{
	char path[PATH_MAX];
	int step = 0, r = cgroup_path(path, h, rel, "");
	if (r < 0)
		return bv_fail(err, r, "the cgroup path of %s is too long", rel);
	for (;;) {
		r = cgroup_tree_remove(cg->place, path);
		if (r != -EBUSY)
			break;
		if (*deadline == 0)
			*deadline = cgroup_deadline(REMOVE_PATIENCE_MS);
		if (!cgroup_nap(&step, *deadline))
			break;
	}
	if (r == -EBUSY) {
		bv_fail(err, r, "cannot remove the cgroup %s: there are processes in it", path);
		return bv_hint(err, "find %s -name cgroup.procs -exec cat {} +", path);
	}
	if (r < 0)
		return bv_fail(err, r, "cannot remove the cgroup %s: %s", path, strerror(-r));
	prune_parents(cg, h, rel);
	return 0;
}

static int remove_all(struct bv_cgroup *cg, bool monitor, struct bv_error *err)
{
	int64_t deadline = 0;
	int first = 0;
	for (size_t i = 0; i < cg->n; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		const char *rel = monitor ? h->monitor : h->payload;
		if (!rel)
			continue;
		close_fd(monitor ? &h->monitor_fd : &h->payload_fd);
		int r = remove_one(cg, h, rel, &deadline, err);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

int bv_cgroup_remove_payload(struct bv_cgroup *cg, struct bv_error *err)
{
	close_fd(&cg->lock);
	return remove_all(cg, false, err);
}

int bv_cgroup_remove_monitor(struct bv_cgroup *cg, struct bv_error *err)
{
	return remove_all(cg, true, err);
}

/* Undo of make_all: forget what was made so far. */
static void unmake(struct bv_cgroup *cg)
{
	bv_cgroup_remove_payload(cg, NULL);
	bv_cgroup_remove_monitor(cg, NULL);
	for (size_t i = 0; i < cg->n; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		char **const paths[] = { &h->payload, &h->monitor, &h->inner, &h->made, &h->pivot };
		for (size_t j = 0; j < ARRAY_SIZE(paths); j++) {
			free(*paths[j]);
			*paths[j] = NULL;
		}
	}
}

/* ---- a start ---- */

struct making {
	const struct bv_cgroup_spec *spec;
	const struct cgroup_layout *layout;
	unsigned int suffix;
};

static char *place_of(const struct cgroup_hier *h, const struct making *m, const char *last)
{
	autofree char *above = cgroup_join(h->base, m->layout->prefix);
	autofree char *name = m->suffix ? bv_asprintf("%s-%u", last, m->suffix) : strdup(last);
	return above && name ? cgroup_join(above, name) : NULL;
}

/* One cgroup of one hierarchy; its path goes to *ret once it is made. */
static int make_one(struct bv_cgroup *cg, struct cgroup_hier *h, const struct making *m, char **ret,
		    struct bv_error *err)
{
	autofree char *rel = place_of(h, m, ret == &h->payload ? m->layout->payload : m->layout->monitor);
	if (!rel)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = make_fresh(cg, h, rel, err);
	if (r == 0) {
		*ret = take_ptr(rel);
		return 0;
	}
	/* An ordinary user owns no v1 hierarchy: the instance has no place there then. */
	if ((r == -EACCES || r == -EPERM) && !h->backend->v2 && !cg->place->root) {
		bv_info("cgroup", "no place in %s: %s", h->mount, strerror(-r));
		return 0;
	}
	if (r == -EEXIST)
		return r;
	char path[PATH_MAX] = "";
	cgroup_path(path, h, rel, "");
	return fail_make(cg, path, r, err);
}

/*
 * Guard the name until a process is in: the v2 directory's fd (which the clone needs anyway), or one of v1's, is
 * locked while it is open. All other hierarchies follow the first.
 */
static int lock_first(struct bv_cgroup *cg, struct cgroup_hier *h, struct bv_error *err)
{
	int *fd = h->backend->v2 ? &h->payload_fd : &cg->lock;
	char path[PATH_MAX];
	int r = cgroup_path(path, h, h->payload, "");
	if (r == 0) {
		*fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = *fd < 0 || flock(*fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
	}
	if (r == -ENOENT || r == -EWOULDBLOCK) {
		/* Another start took ours for a left-over before it was locked: what is there now is not ours. */
		close_fd(fd);
		free(h->payload);
		h->payload = NULL;
		return -EEXIST;
	}
	return r < 0 ? bv_fail(err, r, "cannot open the cgroup %s: %s", path, strerror(-r)) : 0;
}

static int make_inner(struct bv_cgroup *cg, struct cgroup_hier *h, const char *inner, struct bv_error *err)
{
	autofree char *rel = cgroup_join(h->payload, inner);
	if (!h->inner)
		h->inner = strdup(inner);
	if (!rel || !h->inner)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = make_prepared(cg, h, rel, err);
	if (r == 0) {
		/* The outer directory keeps the lock, the inner one is entered. */
		if (h->payload_fd >= 0)
			cg->lock = take_fd(&h->payload_fd);
		return 0;
	}
	char path[PATH_MAX] = "";
	cgroup_path(path, h, rel, "");
	return fail_make(cg, path, r, err);
}

/* -EEXIST without an error's sentence: the name is taken. */
static int make_all(struct bv_cgroup *cg, const struct making *m, struct bv_error *err)
{
	bool locked = false;
	int r = 0;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		r = make_one(cg, h, m, &h->payload, err);
		if (r == 0 && h->payload && !locked) {
			locked = true;
			r = lock_first(cg, h, err);
		}
		if (r == 0 && m->spec->with_monitor)
			r = make_one(cg, h, m, &h->monitor, err);
		if (r == 0 && h->monitor && m->layout->pivot && !(h->pivot = cgroup_join(h->base, m->layout->pivot)))
			r = bv_fail(err, ENOMEM, "out of memory");
		if (r == 0 && m->layout->inner && h->payload)
			r = make_inner(cg, h, m->layout->inner, err);
	}
	if (r == 0 && !locked) {
		bv_fail(err, EACCES, "no cgroup hierarchy of this host lets you make a cgroup");
		r = bv_hint(err,
			    "start in a cgroup of your own: systemd-run --user --scope -p Delegate=yes lxc-start ..");
	}
	return r;
}

enum { SUFFIX_MAX = 1000 };

static int make_named(struct bv_cgroup *cg, struct making *m, struct bv_error *err)
{
	for (m->suffix = 0; m->suffix < SUFFIX_MAX; m->suffix++) {
		int r = make_all(cg, m, err);
		if (r == 0)
			return 0;
		unmake(cg);
		if (r != -EEXIST)
			return r;
		if (m->layout->fixed)
			break;
	}
	bv_fail(err, EBUSY, "the cgroup %s is taken: there are processes in it", m->layout->payload);
	return bv_hint(err,
		       m->layout->fixed ? "choose another lxc.cgroup.dir.container and lxc.cgroup.dir.monitor"
					: "find /sys/fs/cgroup -name '%s*'",
		       m->layout->payload);
}

static char *entry_path(const struct cgroup_hier *h)
{
	return cgroup_join(h->payload, h->inner ? h->inner : "");
}

static int open_entry(const struct cgroup_hier *h, const char *rel, int *fd, struct bv_error *err)
{
	if (*fd >= 0)
		return 0;
	*fd = rel ? h->backend->open_entry(h, rel) : -ENOMEM;
	if (*fd >= 0)
		return 0;
	int r = *fd;
	*fd = -1;
	bv_fail(err, r, "cannot open the cgroup %s/%s to enter it: %s", h->mount, rel ? rel : "", strerror(-r));
	if (r == -EACCES || r == -EPERM)
		return bv_hint(
			err,
			"enter it as the user who started the instance, from a cgroup of the same session or scope");
	return r;
}

int bv_cgroup_prepare_enter(struct bv_cgroup *cg, struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		if (!h->payload)
			continue;
		autofree char *rel = entry_path(h);
		r = open_entry(h, rel, &h->payload_fd, err);
	}
	return r;
}

/* On a host of v2 alone the instance gets every controller; beside v1 only those that a key needs. */
static int enable_controllers(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err)
{
	const struct cgroup_hier *h = cgroup_find_v2(cg);
	if (!h || !h->payload)
		return 0;
	autofree char *wanted = cgroup_limits_controllers(cg, cfg);
	autofree char *rel = entry_path(h);
	if (!wanted || !rel)
		return bv_fail(err, ENOMEM, "out of memory");
	return cgroup_v2_enable(cg, h, rel, wanted, cg->n == 1, err);
}

static int apply_devices(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err)
{
	const struct cgroup_hier *h = cgroup_find_v1(cg, "devices");
	if (!h)
		h = cgroup_find_v2(cg);
	autoclean(cgroup_devices_clear) struct cgroup_devices list = { 0 };
	int r = cgroup_devices_from_config(&list, cfg, h && !h->backend->v2, err);
	if (r < 0)
		return r;
	if (!cgroup_devices_enforces(&list) && !list.reset)
		return 0;
	if (h && h->payload && h->backend->v2 && !cgroup_devices_enforces(&list))
		return 0;
	if (h && h->payload)
		return h->backend->apply_devices(h, &list, err);
	bv_fail(err, ENOTSUP, "lxc.cgroup2.devices.* is set, but no hierarchy here can restrict devices");
	return bv_hint(err, "remove the device rules from the config, or start as root of the host");
}

/* Root inside an id-mapped instance gets the directory, so that it can make cgroups below. */
static int delegate_to_mapped_root(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err)
{
	int64_t id[2] = { -1, -1 };
	for (size_t i = 0; i < cfg->n_idmaps; i++) {
		const struct bv_idmap *map = &cfg->idmaps[i];
		if (map->ns_id == 0)
			id[map->kind == 'g'] = map->host_id;
	}
	if (!cg->place->root || id[0] < 0 || id[1] < 0 || (id[0] == 0 && id[1] == 0))
		return 0;
	return bv_cgroup_delegate(cg, (uid_t)id[0], (gid_t)id[1], err);
}

/* What makes the new directories the instance's, and the fds to enter them. */
static int fill(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err)
{
	int r = enable_controllers(cg, cfg, err);
	if (r == 0 && !cg->without_devices)
		r = apply_devices(cg, cfg, err);
	if (r == 0)
		r = cgroup_limits_apply(cg, cfg, err);
	if (r == 0)
		r = delegate_to_mapped_root(cg, cfg, err);
	return r < 0 ? r : bv_cgroup_prepare_enter(cg, err);
}

static int open_monitor_entries(struct bv_cgroup *cg, struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		if (h->monitor)
			r = open_entry(h, h->monitor, &h->monitor_fd, err);
	}
	return r;
}

int cgroup_create_at(struct bv_cgroup **ret, const struct bv_cgroup_spec *spec, const struct cgroup_place *place,
		     struct bv_error *err)
{
	autoclean(cgroup_layout_clear) struct cgroup_layout layout = { 0 };
	int r = cgroup_layout_read(&layout, spec, err);
	if (r < 0)
		return r;
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = cgroup_new(place);
	if (!cg)
		return bv_fail(err, ENOMEM, "out of memory");
	r = cgroup_read_host(cg, spec->config->cgroup_relative || !place->root, err);
	if (r < 0)
		return r;
	r = make_named(cg, &(struct making){ .spec = spec, .layout = &layout }, err);
	if (r < 0)
		return r;
	cg->without_devices = spec->without_devices;
	r = fill(cg, spec->config, err);
	if (r == 0)
		r = open_monitor_entries(cg, err);
	if (r < 0) {
		unmake(cg);
		return r;
	}
	*ret = take_ptr(cg);
	return 0;
}

int bv_cgroup_create(struct bv_cgroup **ret, const struct bv_cgroup_spec *spec, struct bv_error *err)
{
	return cgroup_create_at(ret, spec, cgroup_place_here(), err);
}

/* ---- a reboot ---- */

static int renew_one(struct bv_cgroup *cg, struct cgroup_hier *h, bool first, struct bv_error *err)
{
	char path[PATH_MAX] = "";
	int r = cgroup_path(path, h, h->payload, "");
	if (r == 0)
		r = make_prepared(cg, h, h->payload, err);
	if (r == -ENOENT) {
		r = make_parents(cg, h, h->payload, err);
		if (r == 0)
			r = make_prepared(cg, h, h->payload, err);
	}
	if (r < 0)
		return fail_make(cg, path, r, err);
	if (first && lock_first(cg, h, err) < 0)
		return bv_fail(err, EBUSY, "the cgroup %s was taken by another start", path);
	return h->inner ? make_inner(cg, h, h->inner, err) : 0;
}

int bv_cgroup_renew(struct bv_cgroup *cg, const struct bv_config *cfg, bool without_devices, struct bv_error *err)
{
	enum { KILL_TIMEOUT_MS = 5000 };
	int r = bv_cgroup_kill(cg, KILL_TIMEOUT_MS, err);
	if (r == 0)
		r = bv_cgroup_remove_payload(cg, err);
	bool first = true;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		struct cgroup_hier *h = &cg->hiers[i];
		if (!h->payload)
			continue;
		r = renew_one(cg, h, first, err);
		first = false;
	}
	cg->without_devices = without_devices;
	if (r == 0)
		r = fill(cg, cfg, err);
	if (r < 0)
		bv_cgroup_remove_payload(cg, NULL);
	return r;
}
