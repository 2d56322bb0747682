/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"
#include "instance/info.h"
#include "instance/rundir.h"
#include "rootfs/rootat.h"
#include "rootfs/storage.h"
#include "util/cleanup.h"
#include "util/str.h"

/*
 * A listing reads two directories: the lxcpath (what is defined) and its run directory (what runs). It opens the run
 * directory of an instance only if it has one, and the config only if somebody asked for what is in it.
 */
struct listing {
	const struct bv_list_options *options;
	const char *lxcpath;
	regex_t filter;
	bool has_filter;
	struct bv_strv groups;
	struct bv_strv names;	/* sorted */
	struct bv_strv running; /* have a run directory; sorted */
	struct bv_info_source source;
	struct bv_list_entry *entries;
	size_t n;
};

/* One more entry, zeroed but for its name; NULL when out of memory. */
static struct bv_list_entry *add_entry(struct listing *l, const char *name)
{
	/* Room is doubled whenever n is a power of two. */
	if ((l->n & (l->n - 1)) == 0) {
		struct bv_list_entry *v = reallocarray(l->entries, l->n ? l->n * 2 : 1, sizeof(*v));
		if (!v)
			return NULL;
		l->entries = v;
	}
	struct bv_list_entry *entry = &l->entries[l->n];
	*entry = (struct bv_list_entry){ .name = strdup(name) };
	bv_info_init(&entry->info);
	if (!entry->name)
		return NULL;
	l->n++;
	return entry;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct bv_strv *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_name);
}

static bool has_sorted(const struct bv_strv *l, const char *name)
{
	return l->n && bsearch(&name, l->v, l->n, sizeof(*l->v), by_name);
}

static int read_names(const char *path, struct bv_strv *names, struct bv_error *err)
{
	autodir DIR *dir = opendir(path);
	if (!dir)
		return errno == ENOENT || errno == ENOTDIR ? 0 : bv_fail_errno(err, "cannot read %s", path);
	struct dirent *e;
	while ((e = readdir(dir)))
		if ((e->d_type == DT_DIR || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN) &&
		    bv_name_valid(e->d_name) && bv_strv_add(names, e->d_name) < 0)
			return bv_fail(err, ENOMEM, "out of memory");
	sort(names);
	return 0;
}

/* The config of `entry`: which keys a listing shows. A config that does not load is shown as such, and hides nobody. */
static bool read_config(struct listing *l, struct bv_list_entry *entry)
{
	autofree char *path = bv_asprintf("%s/%s/config", l->lxcpath, entry->name);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	struct bv_error err = { 0 };
	if (!path || !cfg)
		return false;
	if (bv_config_load(cfg, AT_FDCWD, path, &err) < 0) {
		entry->broken = true;
		entry->problem = strdup(err.what);
		return !l->groups.n;
	}
	entry->autostart = cfg->start_auto;
	entry->unprivileged = cfg->n_idmaps > 0;
	for (size_t i = 0; i < l->groups.n; i++)
		if (!bv_strv_has(&cfg->groups, l->groups.v[i]))
			return false;
	struct bv_buf groups = { 0 };
	for (size_t i = 0; i < cfg->groups.n; i++)
		bv_buf_printf(&groups, "%s%s", i ? "," : "", cfg->groups.v[i]);
	entry->groups = bv_buf_take(&groups);
	return true;
}

static void join_links(struct bv_list_entry *entry)
{
	struct bv_buf names = { 0 };
	for (size_t i = 0; i < entry->info.n_links; i++)
		bv_buf_printf(&names, "%s%s", i ? "," : "", entry->info.links[i].name);
	entry->interfaces = bv_buf_take(&names);
}

/* Does the instance belong on the list? Fills the entry as far as was asked. */
static bool look(struct listing *l, struct bv_list_entry *entry)
{
	const struct bv_list_options *o = l->options;
	if (l->has_filter && regexec(&l->filter, entry->name, 0, NULL, 0) != 0)
		return false;

	bool runs = has_sorted(&l->running, entry->name);
	struct bv_rundir rd = { .fd = -1 };
	if (runs && bv_rundir_open(&rd, l->lxcpath, entry->name, NULL) == 0) {
		struct bv_run_state st;
		if (bv_run_state_read(&rd, &st) == 0) {
			bv_info_collect(&l->source, &rd, &st, o->what, &entry->info);
			bv_run_state_clear(&st);
		}
		bv_rundir_close(&rd);
	}
	bool stopped = entry->info.state == BV_STOPPED;
	if ((o->states && !(o->states & (1U << entry->info.state))) || (o->active_only && stopped))
		return false;

	struct stat st;
	autofree char *config = bv_asprintf("%s/%s/config", l->lxcpath, entry->name);
	autofree char *partial = bv_asprintf("%s/%s/partial", l->lxcpath, entry->name);
	entry->defined = config && partial && stat(config, &st) == 0 && access(partial, F_OK) < 0;
	if (!entry->defined && (stopped || o->defined_only))
		return false;
	if (entry->defined && (o->config || l->groups.n) && !read_config(l, entry))
		return false;
	if (o->what & BV_INFO_LINKS)
		join_links(entry);
	return entry->defined || !l->groups.n;
}

/* ---- instances in instances ---- */

/*
 * What an instance has in its own lxcpath is looked at through its root: /proc/PID/root of a running one, the rootfs
 * directory of one that is stopped. No process enters it. Of a nested instance there are its name and its state; pids
 * and addresses would be those of other namespaces.
 */
static const char nested_lxcpath[] = "var/lib/lxc";

static int nested_root(const struct listing *l, const char *name, pid_t init)
{
	if (init > 0) {
		char path[32];
		snprintf(path, sizeof(path), "/proc/%d/root", (int)init);
		return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	autofree char *path = bv_asprintf("%s/%s/config", l->lxcpath, name);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	struct bv_storage storage = { 0 };
	if (!path || !cfg || bv_config_load(cfg, AT_FDCWD, path, NULL) < 0 || bv_storage_open(&storage, cfg, NULL) < 0)
		return -1;
	autofree char *rootfs = storage.ops->host_path(&storage);
	bv_storage_clear(&storage);
	return rootfs ? open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
}

/* The state that a nested instance's own run directory tells; the lock is the same whoever asks. */
static enum bv_state nested_state(int root, int lxcpath, const char *name)
{
	struct stat st;
	struct bv_rundir rd = { .fd = -1 };
	struct bv_run_state state;
	if (fstat(lxcpath, &st) < 0)
		return BV_STOPPED;
	autofree char *path = bv_asprintf("run/bivalve/%jx-%jx/%s", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, name);
	rd.fd = path ? bv_rootat_open(root, path, O_PATH | O_DIRECTORY, 0) : -1;
	enum bv_state found = BV_STOPPED;
	if (rd.fd >= 0 && bv_run_state_read(&rd, &state) == 0) {
		found = bv_rundir_is_locked(&rd) == 1 ? state.state : BV_STOPPED;
		bv_run_state_clear(&state);
	}
	bv_rundir_close(&rd);
	return found;
}

static void list_below(struct listing *l, const char *parent, int root, int depth)
{
	autoclose int lxcpath = bv_rootat_open(root, nested_lxcpath, O_RDONLY | O_DIRECTORY, 0);
	autoclean(bv_strv_clear) struct bv_strv names = { 0 };
	char own[48];
	snprintf(own, sizeof(own), "/proc/self/fd/%d", lxcpath);
	if (lxcpath < 0 || read_names(own, &names, NULL) < 0)
		return;

	for (size_t i = 0; i < names.n; i++) {
		autofree char *config = bv_asprintf("%s/config", names.v[i]);
		autofree char *name = bv_asprintf("%s/%s", parent, names.v[i]);
		autofree char *rootfs = bv_asprintf("%s/%s/rootfs", nested_lxcpath, names.v[i]);
		if (!config || !name || !rootfs || faccessat(lxcpath, config, F_OK, 0) < 0)
			continue;
		enum bv_state state = nested_state(root, lxcpath, names.v[i]);
		if (l->options->states && !(l->options->states & (1U << state)))
			continue;
		struct bv_list_entry *entry = add_entry(l, name);
		if (!entry)
			return;
		entry->nesting = depth;
		entry->defined = true;
		entry->info.state = state;
		autoclose int below =
			depth < l->options->nesting ? bv_rootat_open(root, rootfs, O_PATH | O_DIRECTORY, 0) : -1;
		if (below >= 0)
			list_below(l, name, below, depth + 1);
	}
}

/* The process whose root is the instance's; 0: none on this kernel. */
static pid_t root_holder(const struct bv_info *info)
{
	return info->init_pid && !bv_engine_described(info->engine)->own_kernel ? info->init_pid : 0;
}

static void list_nested(struct listing *l, const char *name, pid_t init)
{
	autoclose int root = nested_root(l, name, init);
	if (root >= 0)
		list_below(l, name, root, 1);
}

/* ---- all ---- */

static int collect(struct listing *l, struct bv_error *err)
{
	/* Volatile instances run without being defined: the two lists are merged. */
	for (size_t i = 0; i < l->running.n; i++)
		if (!has_sorted(&l->names, l->running.v[i]) && bv_strv_add(&l->names, l->running.v[i]) < 0)
			return bv_fail(err, ENOMEM, "out of memory");
	sort(&l->names);

	for (size_t i = 0; i < l->names.n; i++) {
		struct bv_list_entry *entry = add_entry(l, l->names.v[i]);
		if (!entry)
			return bv_fail(err, ENOMEM, "out of memory");
		if (!look(l, entry)) {
			bv_list_free_entry(entry);
			l->n--;
		} else if (l->options->nesting > 0 && entry->defined) {
			list_nested(l, l->names.v[i], root_holder(&entry->info));
		}
	}
	return 0;
}

void bv_list_free_entry(struct bv_list_entry *entry)
{
	bv_info_clear(&entry->info);
	free(entry->name);
	free(entry->groups);
	free(entry->interfaces);
	free(entry->problem);
	*entry = (struct bv_list_entry){ 0 };
}

void bv_list_free(struct bv_list_entry *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bv_list_free_entry(&entries[i]);
	free(entries);
}

static int prepare(struct listing *l, struct bv_error *err)
{
	if (l->options->filter) {
		if (regcomp(&l->filter, l->options->filter, REG_EXTENDED | REG_NOSUB) != 0)
			return bv_fail(err, EINVAL, "\"%s\" is not a regular expression", l->options->filter);
		l->has_filter = true;
	}
	if (l->options->groups && bv_strv_split(&l->groups, l->options->groups, ",") < 0)
		return bv_fail(err, ENOMEM, "out of memory");

	char parent[BV_RUN_PATH_MAX];
	int r = bv_rundir_parent(l->lxcpath, parent, sizeof(parent), err);
	if (r == 0)
		r = read_names(l->lxcpath, &l->names, err);
	if (r == 0)
		r = read_names(parent, &l->running, err);
	return r;
}

int bv_list(const char *lxcpath, const struct bv_list_options *options, struct bv_list_entry **ret, size_t *n,
	    struct bv_error *err)
{
	struct listing l = { .options = options, .source = { .own_netns = -1 } };
	autofree char *own_path = NULL;
	int r = 0;
	if (!lxcpath) {
		r = bv_default_lxcpath(&own_path, err);
		lxcpath = own_path;
	}
	l.lxcpath = lxcpath;
	if (r == 0)
		r = prepare(&l, err);
	if (r == 0)
		r = collect(&l, err);
	if (l.has_filter)
		regfree(&l.filter);
	bv_strv_clear(&l.groups);
	bv_strv_clear(&l.names);
	bv_strv_clear(&l.running);
	bv_info_source_close(&l.source);
	if (r < 0) {
		bv_list_free(l.entries, l.n);
		return r;
	}
	*ret = l.entries;
	*n = l.n;
	return 0;
}
