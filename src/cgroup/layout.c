/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/internal.h"
#include "util/cleanup.h"
#include "util/str.h"

void cgroup_layout_clear(struct cgroup_layout *l)
{
	free(l->prefix);
	free(l->payload);
	free(l->monitor);
	free(l->inner);
	free(l->pivot);
	*l = (struct cgroup_layout){ 0 };
}

static int check_dir(const char *key, const char *dir, bool single, struct bv_error *err)
{
	if (!dir || (cgroup_path_valid(dir) && !(single && strchr(dir, '/'))))
		return 0;
	bv_fail(err, EINVAL, "%s = %s: not a %s below the cgroup root", key, dir, single ? "single directory" : "path");
	return bv_hint(err, "write it without a leading or trailing '/' and without '..'");
}

static int check_dirs(const struct bv_config *cfg, struct bv_error *err)
{
	int r = check_dir("lxc.cgroup.dir", cfg->cgroup_dir, false, err);
	if (r == 0)
		r = check_dir("lxc.cgroup.dir.container", cfg->cgroup_dir_container, false, err);
	if (r == 0)
		r = check_dir("lxc.cgroup.dir.monitor", cfg->cgroup_dir_monitor, false, err);
	if (r == 0)
		r = check_dir("lxc.cgroup.dir.container.inner", cfg->cgroup_dir_inner, true, err);
	if (r == 0)
		r = check_dir("lxc.cgroup.dir.monitor.pivot", cfg->cgroup_dir_monitor_pivot, false, err);
	if (r < 0)
		return r;

	bool container = cfg->cgroup_dir_container, monitor = cfg->cgroup_dir_monitor;
	if (container != monitor)
		return bv_fail(err, EINVAL,
			       "lxc.cgroup.dir.container and lxc.cgroup.dir.monitor go together: %s is missing",
			       container ? "lxc.cgroup.dir.monitor" : "lxc.cgroup.dir.container");
	if (container && cfg->cgroup_dir)
		return bv_fail(err, EINVAL,
			       "lxc.cgroup.dir excludes lxc.cgroup.dir.container and lxc.cgroup.dir.monitor");
	if (container && bv_streq(cfg->cgroup_dir_container, cfg->cgroup_dir_monitor))
		return bv_fail(err, EINVAL, "lxc.cgroup.dir.container and lxc.cgroup.dir.monitor are the same: %s",
			       cfg->cgroup_dir_container);
	if (cfg->cgroup_dir_inner && !container)
		return bv_fail(err, EINVAL, "lxc.cgroup.dir.container.inner needs lxc.cgroup.dir.container");
	return 0;
}

static char *replace_name(const char *pattern, const char *name)
{
	struct bv_buf buf = { 0 };
	for (const char *p; (p = strstr(pattern, "%n")); pattern = p + 2) {
		bv_buf_add(&buf, pattern, (size_t)(p - pattern));
		bv_buf_puts(&buf, name);
	}
	bv_buf_puts(&buf, pattern);
	return bv_buf_take(&buf);
}

int cgroup_layout_read(struct cgroup_layout *ret, const struct bv_cgroup_spec *spec, struct bv_error *err)
{
	const struct bv_config *cfg = spec->config;
	int r = check_dirs(cfg, err);
	if (r < 0)
		return r;
	if (!cgroup_path_valid(spec->name) || strchr(spec->name, '/'))
		return bv_fail(err, EINVAL, "\"%s\" cannot be part of a cgroup's name", spec->name);

	autoclean(cgroup_layout_clear) struct cgroup_layout l = { 0 };
	if (cfg->cgroup_dir_monitor_pivot && !(l.pivot = strdup(cfg->cgroup_dir_monitor_pivot)))
		return bv_fail(err, ENOMEM, "out of memory");
	if (cfg->cgroup_dir_container) {
		l.fixed = true;
		l.prefix = strdup("");
		l.payload = strdup(cfg->cgroup_dir_container);
		l.monitor = strdup(cfg->cgroup_dir_monitor);
		if (cfg->cgroup_dir_inner && !(l.inner = strdup(cfg->cgroup_dir_inner)))
			return bv_fail(err, ENOMEM, "out of memory");
	} else if (!cfg->cgroup_dir && spec->pattern && *spec->pattern) {
		l.prefix = replace_name(spec->pattern, spec->name);
		l.payload = strdup("payload");
		l.monitor = strdup("monitor");
		if (l.prefix) {
			r = check_dir("lxc.cgroup.pattern", l.prefix, false, err);
			if (r < 0)
				return r;
		}
	} else {
		l.prefix = strdup(cfg->cgroup_dir ? cfg->cgroup_dir : "");
		l.payload = bv_asprintf("lxc.payload.%s", spec->name);
		l.monitor = bv_asprintf("lxc.monitor.%s", spec->name);
	}
	if (!l.prefix || !l.payload || !l.monitor)
		return bv_fail(err, ENOMEM, "out of memory");

	*ret = l;
	l = (struct cgroup_layout){ 0 };
	return 0;
}
