/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "template/template.h"
#include "util/cleanup.h"

static const struct bv_builtin *const builtins[] = { &bv_builtin_busybox };

/* Where recipes (NAME.yaml) and scripts (lxc-NAME) lie, in the order of the search. */
static int directories(struct bv_strv *ret)
{
	const char *forced = getenv("BIVALVE_TEMPLATES");
	if (forced && *forced)
		return bv_strv_split(ret, forced, ":");
	int r = bv_strv_add(ret, BV_DATADIR "/lxc/recipes");
	if (r == 0)
		r = bv_strv_add(ret, BV_DATADIR "/lxc/templates");
	/* Script templates of the distribution's own packages work as they are. */
	if (r == 0 && !bv_streq(BV_DATADIR, "/usr/share"))
		r = bv_strv_add(ret, "/usr/share/lxc/templates");
	return r;
}

static bool ends_in(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);
	return n > m && bv_streq(s + n - m, tail);
}

static bool is_file(const char *path, int access_mode)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, access_mode) == 0;
}

static int found(struct bv_template *ret, enum bv_template_kind kind, const char *name, const char *path,
		 struct bv_error *err)
{
	ret->kind = kind;
	ret->name = strdup(name);
	ret->path = path ? strdup(path) : NULL;
	return ret->name && (ret->path || !path) ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int by_path(struct bv_template *ret, const char *path, struct bv_error *err)
{
	bool recipe = ends_in(path, ".yaml") || ends_in(path, ".yml");
	if (is_file(path, recipe ? R_OK : X_OK))
		return found(ret, recipe ? BV_TEMPLATE_RECIPE : BV_TEMPLATE_SCRIPT, path, path, err);
	if (access(path, F_OK) < 0)
		return bv_fail_errno(err, "cannot find the template %s", path);
	if (recipe)
		return bv_fail(err, EACCES, "the recipe %s cannot be read", path);
	bv_fail(err, EACCES, "the template %s is not an executable file", path);
	return bv_hint(err, "chmod +x %s", path);
}

/* 1: found */
static int by_name(struct bv_template *ret, const char *name, const char *format, enum bv_template_kind kind,
		   struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv dirs = { 0 };
	if (directories(&dirs) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < dirs.n; i++) {
		autofree char *path = kind == BV_TEMPLATE_RECIPE ? bv_asprintf("%s/%s%s", dirs.v[i], name, format) :
								   bv_asprintf("%s/%s%s", dirs.v[i], format, name);
		if (!path)
			return bv_fail(err, ENOMEM, "out of memory");
		if (is_file(path, kind == BV_TEMPLATE_RECIPE ? R_OK : X_OK)) {
			int r = found(ret, kind, name, path, err);
			return r < 0 ? r : 1;
		}
	}
	return 0;
}

static int not_found(const char *name, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv names = { 0 };
	autoclean(bv_buf_clear) struct bv_buf all = { 0 };
	bv_fail(err, ENOENT, "there is no template \"%s\"", name);
	if (bv_template_names(&names, NULL) < 0)
		return -ENOENT;
	for (size_t i = 0; i < names.n; i++)
		bv_buf_printf(&all, " %s", names.v[i]);
	const char *near = bv_nearest(name, (const char *const *)names.v, names.n);
	if (near)
		bv_hint(err, "did you mean %s? Templates:%s none", near, all.p ? all.p : "");
	else
		bv_hint(err, "templates:%s none", all.p ? all.p : "");
	return -ENOENT;
}

int bv_template_find(struct bv_template *ret, const char *name, struct bv_error *err)
{
	if (!name || !*name) {
		bv_fail(err, EINVAL, "a template must be given");
		return bv_hint(err, "\"none\" makes an instance without one");
	}
	if (bv_streq(name, "none"))
		return found(ret, BV_TEMPLATE_NONE, name, NULL, err);
	if (strchr(name, '/'))
		return by_path(ret, name, err);
	if ((ends_in(name, ".yaml") || ends_in(name, ".yml")) && is_file(name, R_OK))
		return found(ret, BV_TEMPLATE_RECIPE, name, name, err);
	int r = by_name(ret, name, ends_in(name, ".yaml") ? "" : ".yaml", BV_TEMPLATE_RECIPE, err);
	if (r != 0)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++) {
		if (bv_streq(name, builtins[i]->name)) {
			ret->builtin = builtins[i];
			return found(ret, BV_TEMPLATE_BUILTIN, name, NULL, err);
		}
	}
	r = by_name(ret, name, "lxc-", BV_TEMPLATE_SCRIPT, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return not_found(name, err);
}

static int add_once(struct bv_strv *list, const char *name, size_t len)
{
	autofree char *copy = strndup(name, len);
	if (!copy)
		return -ENOMEM;
	return bv_strv_has(list, copy) ? 0 : bv_strv_take(list, take_ptr(copy));
}

static int list_directory(struct bv_strv *list, const char *path)
{
	autodir DIR *dir = opendir(path);
	if (!dir)
		return 0;
	const struct dirent *e;
	int r = 0;
	while (r == 0 && (e = readdir(dir))) {
		const char *script = bv_after(e->d_name, "lxc-");
		if (ends_in(e->d_name, ".yaml"))
			r = add_once(list, e->d_name, strlen(e->d_name) - strlen(".yaml"));
		else if (script && *script && faccessat(dirfd(dir), e->d_name, X_OK, 0) == 0)
			r = add_once(list, script, strlen(script));
	}
	return r;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int bv_template_names(struct bv_strv *ret, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv dirs = { 0 };
	int r = directories(&dirs);
	for (size_t i = 0; i < ARRAY_SIZE(builtins) && r == 0; i++)
		r = bv_strv_add(ret, builtins[i]->name);
	for (size_t i = 0; i < dirs.n && r == 0; i++)
		r = list_directory(ret, dirs.v[i]);
	if (r < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	qsort(ret->v, ret->n, sizeof(*ret->v), compare);
	return 0;
}
