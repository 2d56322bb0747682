/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "cgroup/translate.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/*
 * lxc.cgroup.* and lxc.cgroup2.*: to which hierarchy a key goes, in its own words or translated. A key whose own
 * version has its controller here is native and wins over a translated one that means the same file, so that a config
 * that names both versions gets what it says for this host.
 */
struct limit {
	const struct cgroup_hier *h;
	bool from_v1, native;
	const char *key;
	struct cgroup_write write;
};

struct limits {
	const struct bv_cgroup *cg;
	const struct bv_config *cfg; /* NULL: a running instance, other values are the kernel's */
	const struct cgroup_hier *h; /* whose kernel files a translation looks at */
	bool from_v1;
	struct limit *v;
	size_t n;
	char text[256]; /* of the last lookup */
};

static void limits_clear(struct limits *l)
{
	free(l->v);
}

static const char *family(bool from_v1)
{
	return from_v1 ? "lxc.cgroup" : "lxc.cgroup2";
}

static struct cgroup_hier *v1_of(const struct bv_cgroup *cg, const char *key)
{
	char controller[128];
	struct cgroup_hier *h = cgroup_find_v1(cg, cgroup_v1_controller(key, controller, sizeof(controller)));
	return h && h->payload ? h : NULL;
}

static struct cgroup_hier *v2_of(const struct bv_cgroup *cg)
{
	struct cgroup_hier *h = cgroup_find_v2(cg);
	return h && h->payload ? h : NULL;
}

static bool is_devices(const char *key)
{
	return bv_after(key, "devices.") != NULL;
}

/* A controller is either v1's or v2's: what no v1 hierarchy has is v2's, if it is anywhere. */
static bool is_native(const struct bv_cgroup *cg, bool from_v1, const char *key)
{
	if (from_v1)
		return v1_of(cg, key);
	return v2_of(cg) && (bv_after(key, "cgroup.") || !v1_of(cg, key));
}

/* The value of another key: the config's, else what the kernel has in the counterpart's hierarchy. */
static const char *lookup(void *data, const char *key)
{
	struct limits *l = data;
	const struct bv_pair_list *pairs = !l->cfg ? NULL : l->from_v1 ? &l->cfg->cgroup1 : &l->cfg->cgroup2;
	const char *found = NULL;
	for (size_t i = 0; pairs && i < pairs->n; i++) {
		if (bv_streq(pairs->v[i].name, key))
			found = pairs->v[i].value;
	}
	if (found || l->cfg)
		return found;

	char name[128];
	const char *file = cgroup_translate_name(l->from_v1, key, name, sizeof(name));
	if (bv_after(key, "cpu.cfs_"))
		file = "cpu.max";
	if (!file || cgroup_read(l->h, l->h->payload, file, l->text, sizeof(l->text)) < 0)
		return NULL;
	if (bv_after(key, "cpu.cfs_")) {
		char *period = strchr(l->text, ' ');
		if (period)
			*period++ = '\0';
		if (bv_streq(key, "cpu.cfs_period_us"))
			return period;
	}
	return bv_streq(l->text, "max") ? "-1" : l->text;
}

static int add(struct limits *l, const struct limit *limit, struct bv_error *err)
{
	struct limit *v = reallocarray(l->v, l->n + 1, sizeof(*v));
	if (!v)
		return bv_fail(err, ENOMEM, "out of memory");
	l->v = v;
	l->v[l->n++] = *limit;
	return 0;
}

static int resolve_native(struct limits *l, bool from_v1, const char *key, const char *value, struct bv_error *err)
{
	struct limit limit = {
		.h = from_v1 ? v1_of(l->cg, key) : v2_of(l->cg), .from_v1 = from_v1, .native = true, .key = key
	};
	if (strlen(value) >= sizeof(limit.write.value))
		return bv_fail(err, EINVAL, "%s.%s: the value is too long", family(from_v1), key);
	snprintf(limit.write.file, sizeof(limit.write.file), "%s", key);
	snprintf(limit.write.value, sizeof(limit.write.value), "%s", value);
	limit.write.late = bv_streq(key, "memory.memsw.limit_in_bytes");
	if (from_v1 && bv_streq(key, "blkio.weight")) {
		/* The CFQ scheduler and its file went with Linux 5.0; BFQ's has a scale of its own, which v2 shares. */
		const struct cgroup_context context = { lookup, l };
		struct cgroup_write v2[CGROUP_WRITES_MAX];
		if (cgroup_translate(v2, true, key, value, &context, NULL) == 1) {
			snprintf(limit.write.alt_file, sizeof(limit.write.alt_file), "blkio.bfq.weight");
			snprintf(limit.write.alt_value, sizeof(limit.write.alt_value), "%s", v2[0].alt_value);
		}
	}
	return add(l, &limit, err);
}

static int resolve_foreign(struct limits *l, bool from_v1, const char *key, const char *value, struct bv_error *err)
{
	const struct cgroup_hier *h = from_v1 ? v2_of(l->cg) : v1_of(l->cg, key);
	if (!h) {
		bv_fail(err, ENOENT, "%s.%s: no hierarchy of this host has the controller \"%.*s\"", family(from_v1),
			key, (int)strcspn(key, "."), key);
		return bv_hint(err, "cat /proc/cgroups shows what the kernel has; else remove the key from the config");
	}
	l->h = h;
	l->from_v1 = from_v1;
	const struct cgroup_context context = { lookup, l };
	struct cgroup_write writes[CGROUP_WRITES_MAX];
	int n = cgroup_translate(writes, from_v1, key, value, &context, err);
	for (int i = 0; i < n; i++) {
		struct limit limit = { .h = h, .from_v1 = from_v1, .key = key, .write = writes[i] };
		int r = add(l, &limit, err);
		if (r < 0)
			return r;
	}
	return n < 0 ? n : 0;
}

static int resolve(struct limits *l, bool from_v1, const char *key, const char *value, struct bv_error *err)
{
	if (!cgroup_file_valid(key))
		return bv_fail(err, EINVAL, "%s.%s: not the name of a cgroup file", family(from_v1), key);
	return is_native(l->cg, from_v1, key) ? resolve_native(l, from_v1, key, value, err)
					      : resolve_foreign(l, from_v1, key, value, err);
}

/* Does a native key set the same file? (Lines of io.max for different devices or directions go together.) */
static bool overruled(const struct limits *l, const struct limit *foreign)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct limit *other = &l->v[i];
		if (other->native && other->h == foreign->h && bv_streq(other->write.file, foreign->write.file))
			return true;
	}
	return false;
}

static int fail_write(const struct limit *l, const char *file, const char *value, int r, struct bv_error *err)
{
	const char *as = bv_streq(l->key, file) ? "" : " as ", *as_file = *as ? file : "";
	if (r == -ENOENT) {
		bv_fail(err, r, "%s.%s%s%s: there is no such file in %s/%s", family(l->from_v1), l->key, as, as_file,
			l->h->mount, l->h->payload);
		const char *other = cgroup_translate_hint(l->from_v1, l->key);
		if (l->h->backend->v2)
			return bv_hint(err,
				       "is its controller in %s/cgroup.controllers? See: cat %s/%s/cgroup.controllers",
				       l->h->mount, l->h->mount, l->h->payload);
		return bv_hint(err, "this kernel does not have it: remove the key from the config%s%s%s",
			       other ? " (the other version's is " : "", other ? other : "", other ? ")" : "");
	}
	bv_fail(err, r, "%s.%s%s%s: the kernel refuses \"%s\" for %s/%s/%s: %s", family(l->from_v1), l->key, as,
		as_file, value, l->h->mount, l->h->payload, file, strerror(-r));
	if (r == -EBUSY)
		return bv_hint(err, "more is in use than that allows");
	if (r == -EACCES || r == -EPERM)
		return bv_hint(err, "a cgroup above it allows less, or is not yours");
	return r;
}

static int write_limit(const struct limit *l, struct bv_error *err)
{
	int r = cgroup_write(l->h, l->h->payload, l->write.file, l->write.value);
	if (r == 0)
		return 0;
	if (r == -ENOENT && *l->write.alt_file) {
		int alt = cgroup_write(l->h, l->h->payload, l->write.alt_file, l->write.alt_value);
		if (alt == 0)
			return 0;
		if (alt != -ENOENT)
			return fail_write(l, l->write.alt_file, l->write.alt_value, alt, err);
	}
	return fail_write(l, l->write.file, l->write.value, r, err);
}

static int write_limits(const struct limits *l, struct bv_error *err)
{
	for (int late = 0; late < 2; late++) {
		for (size_t i = 0; i < l->n; i++) {
			if (l->v[i].write.late != (bool)late || (!l->v[i].native && overruled(l, &l->v[i])))
				continue;
			int r = write_limit(&l->v[i], err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Would a key of the other version that means the same already be there, natively? Then this one is left aside. */
static bool native_counterpart(const struct bv_cgroup *cg, const struct bv_config *cfg, bool from_v1, const char *key)
{
	const struct bv_pair_list *others = from_v1 ? &cfg->cgroup2 : &cfg->cgroup1;
	const char *counterpart = cgroup_translate_hint(from_v1, key);
	for (size_t i = 0; counterpart && i < others->n; i++) {
		if (bv_streq(others->v[i].name, counterpart) && is_native(cg, !from_v1, counterpart))
			return true;
	}
	return false;
}

static int resolve_pairs(struct limits *l, bool from_v1, const struct bv_pair_list *pairs, struct bv_error *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const char *key = pairs->v[i].name;
		if (is_devices(key))
			continue;
		/* A config written for both kinds of host may hold keys of the other kind without a counterpart. */
		if (!is_native(l->cg, from_v1, key) && native_counterpart(l->cg, l->cfg, from_v1, key)) {
			bv_debug("cgroup", "%s.%s is left to its counterpart %s", family(from_v1), key,
				 cgroup_translate_hint(from_v1, key));
			continue;
		}
		int r = resolve(l, from_v1, key, pairs->v[i].value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroup_limits_apply(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err)
{
	autoclean(limits_clear) struct limits l = { .cg = cg, .cfg = cfg };
	int r = resolve_pairs(&l, true, &cfg->cgroup1, err);
	if (r == 0)
		r = resolve_pairs(&l, false, &cfg->cgroup2, err);
	return r < 0 ? r : write_limits(&l, err);
}

static void want(struct bv_buf *buf, const char *controller)
{
	char word[160];
	snprintf(word, sizeof(word), " +%s ", controller);
	autofree char *padded = bv_asprintf("%s ", buf->p ? buf->p : "");
	if (padded && !strstr(padded, word))
		bv_buf_printf(buf, " +%s", controller);
}

/* The v2 controller of a key: of v1's blkio.* it is io, and so on; NULL: none. */
static const char *v2_controller(bool from_v1, const char *key, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)strcspn(key, "."), key);
	if (bv_streq(buf, "cgroup") || bv_streq(buf, "freezer") || bv_streq(buf, "devices") || bv_streq(buf, "tasks"))
		return NULL;
	if (from_v1 && bv_streq(buf, "blkio"))
		return "io";
	if (from_v1 && !cgroup_translate_hint(true, key) && !bv_streq(buf, "hugetlb"))
		return NULL;
	return bv_streq(buf, "cpuacct") ? "cpu" : buf;
}

char *cgroup_limits_controllers(const struct bv_cgroup *cg, const struct bv_config *cfg)
{
	struct bv_buf buf = { 0 };
	for (int version = 1; version <= 2; version++) {
		const struct bv_pair_list *pairs = version == 1 ? &cfg->cgroup1 : &cfg->cgroup2;
		for (size_t i = 0; i < pairs->n; i++) {
			const char *key = pairs->v[i].name;
			char name[128];
			const char *controller = v2_controller(version == 1, key, name, sizeof(name));
			if (cgroup_file_valid(key) && controller && !v1_of(cg, key))
				want(&buf, controller);
		}
	}
	return bv_buf_take(&buf);
}

/* ---- a running instance: lxc-cgroup, lxc-device ---- */

static int fail_file(const struct bv_cgroup *cg, const char *file, struct bv_error *err)
{
	const char *other = cgroup_translate_hint(true, file);
	if (!other)
		other = cgroup_translate_hint(false, file);
	bv_fail(err, ENOENT, "no cgroup of the instance has a file %s", file);
	if (other && !bv_streq(other, file))
		return bv_hint(err, "on this host it may be %s", other);
	const struct cgroup_hier *h = v1_of(cg, file);
	if (!h)
		h = v2_of(cg);
	return h ? bv_hint(err, "ls %s/%s", h->mount, h->payload) : bv_hint(err, "no hierarchy has its controller");
}

/* Open the file under its own name, where it is: v1 by the controller, else v2. */
static int open_by_name(const struct bv_cgroup *cg, const char *file, int flags)
{
	const struct cgroup_hier *h = v1_of(cg, file);
	int fd = h ? cgroup_open_file(h, h->payload, file, flags) : -ENOENT;
	if (fd != -ENOENT)
		return fd;
	h = v2_of(cg);
	fd = h ? cgroup_open_file(h, h->payload, file, flags) : -ENOENT;
	if (fd != -ENOENT || strchr(file, '.') != NULL)
		return fd;
	/* "tasks", "notify_on_release": of any v1 hierarchy. */
	for (size_t i = 0; i < cg->n && fd == -ENOENT; i++)
		fd = cg->hiers[i].payload ? cgroup_open_file(&cg->hiers[i], cg->hiers[i].payload, file, flags)
					  : -ENOENT;
	return fd;
}

static int read_whole(int fd, char **ret)
{
	struct bv_buf buf = { 0 };
	char chunk[8192];
	ssize_t n;
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		bv_buf_add(&buf, chunk, (size_t)n);
	int r = n < 0 ? -errno : 0;
	*ret = bv_buf_take(&buf);
	if (r < 0) {
		free(*ret);
		*ret = NULL;
	}
	return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

/* The v2 hierarchy when it is the one that restricts devices. */
static const struct cgroup_hier *device_program_hier(const struct bv_cgroup *cg)
{
	return cgroup_find_v1(cg, "devices") ? NULL : v2_of(cg);
}

static int open_devices(const struct cgroup_hier *h, char path[PATH_MAX], struct cgroup_devices *list,
			struct bv_error *err)
{
	int dirfd = cgroup_path(path, h, h->payload, "");
	if (dirfd == 0)
		dirfd = cgroup_v2.open_entry(h, h->payload);
	if (dirfd < 0)
		return bv_fail(err, dirfd, "cannot open the cgroup %s: %s", path, strerror(-dirfd));
	int r = cgroup_bpf_read(dirfd, path, list, err);
	if (r < 0) {
		close(dirfd);
		return r;
	}
	return dirfd;
}

static int get_devices(const struct cgroup_hier *h, char **ret, struct bv_error *err)
{
	char path[PATH_MAX];
	autoclean(cgroup_devices_clear) struct cgroup_devices list = { 0 };
	autoclose int dirfd = open_devices(h, path, &list, err);
	if (dirfd < 0)
		return dirfd;
	struct bv_buf buf = { 0 };
	if (!cgroup_devices_enforces(&list))
		bv_buf_puts(&buf, "a *:* rwm\n");
	for (size_t i = 0; i < list.n; i++) {
		char rule[64];
		cgroup_device_format(&list.v[i], rule);
		bv_buf_printf(&buf, "%s%s\n",
			      list.v[i].allow == list.allowlist ? ""
			      : list.v[i].allow			? "allow "
								: "deny ",
			      rule);
	}
	*ret = bv_buf_take(&buf);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int set_devices(const struct cgroup_hier *h, const char *file, const char *value, struct bv_error *err)
{
	char path[PATH_MAX];
	autoclean(cgroup_devices_clear) struct cgroup_devices list = { 0 };
	autoclose int dirfd = open_devices(h, path, &list, err);
	if (dirfd < 0)
		return dirfd;
	int r = cgroup_devices_add(&list, bv_streq(file, "devices.allow"), value, err);
	return r < 0 ? r : cgroup_bpf_apply(dirfd, path, &list, err);
}

int bv_cgroup_get(struct bv_cgroup *cg, const char *file, char **ret, struct bv_error *err)
{
	if (!cgroup_file_valid(file))
		return bv_fail(err, EINVAL, "\"%s\" is not the name of a cgroup file", file);
	const struct cgroup_hier *devices = device_program_hier(cg);
	if (devices && bv_streq(file, "devices.list"))
		return get_devices(devices, ret, err);

	autoclose int fd = open_by_name(cg, file, O_RDONLY);
	for (int from_v1 = 1; fd == -ENOENT && from_v1 >= 0; from_v1--) {
		char name[128];
		const char *other = cgroup_translate_name(from_v1, file, name, sizeof(name));
		if (other)
			fd = open_by_name(cg, other, O_RDONLY);
	}
	if (fd == -ENOENT)
		return fail_file(cg, file, err);
	int r = fd < 0 ? fd : read_whole(fd, ret);
	return r < 0 ? bv_fail(err, r, "cannot read the instance's %s: %s", file, strerror(-r)) : 0;
}

/* Write by translation: as a key of a config would be, with the kernel's values for what else it depends on. */
static int set_translated(struct bv_cgroup *cg, const char *file, const char *value, struct bv_error *err)
{
	for (int from_v1 = 1; from_v1 >= 0; from_v1--) {
		if (is_native(cg, from_v1, file) || !(from_v1 ? v2_of(cg) : v1_of(cg, file)) ||
		    (!cgroup_translate_hint(from_v1, file) && !bv_after(file, "hugetlb.")))
			continue;
		autoclean(limits_clear) struct limits l = { .cg = cg };
		int r = resolve_foreign(&l, from_v1, file, value, err);
		return r < 0 ? r : write_limits(&l, err);
	}
	return fail_file(cg, file, err);
}

int bv_cgroup_set(struct bv_cgroup *cg, const char *file, const char *value, struct bv_error *err)
{
	if (!cgroup_file_valid(file))
		return bv_fail(err, EINVAL, "\"%s\" is not the name of a cgroup file", file);
	const struct cgroup_hier *devices = device_program_hier(cg);
	if (devices && (bv_streq(file, "devices.allow") || bv_streq(file, "devices.deny")))
		return set_devices(devices, file, value, err);

	autoclose int fd = open_by_name(cg, file, O_WRONLY);
	if (fd == -ENOENT)
		return set_translated(cg, file, value, err);
	int r = fd < 0 ? fd : write(fd, value, strlen(value)) < 0 ? -errno : 0;
	if (r == 0)
		return 0;
	bv_fail(err, r, "the kernel refuses \"%s\" for the instance's %s: %s", value, file, strerror(-r));
	if (r == -EBUSY)
		return bv_hint(err, "more is in use than that allows");
	return r;
}
