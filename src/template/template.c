/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/template.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"

void bv_progress_say(const struct bv_progress *p, double fraction, const char *fmt, ...)
{
	if (!p || !p->fn)
		return;
	autofree char *text = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;
	else
		p->fn(p->data, fraction, text);
}

void bv_template_clear(struct bv_template *t)
{
	free(t->name);
	free(t->path);
	bv_recipe_job_free(t->job);
	*t = (struct bv_template){ 0 };
}

const char *bv_template_origin(const struct bv_template *t)
{
	return t->path ? t->path : t->name;
}

int bv_template_prepare(struct bv_template *t, const char *name, char *const *args, const struct bv_progress *progress,
			struct bv_error *err)
{
	switch (t->kind) {
	case BV_TEMPLATE_RECIPE:
		return bv_recipe_prepare(&t->job, t->path, name, args, progress, err);
	case BV_TEMPLATE_BUILTIN:
		return t->builtin->check(args, err);
	case BV_TEMPLATE_NONE:
	case BV_TEMPLATE_SCRIPT:
		break;
	}
	return 0;
}

int bv_template_run(struct bv_template *t, const struct bv_build *build, struct bv_error *err)
{
	switch (t->kind) {
	case BV_TEMPLATE_RECIPE:
		return bv_recipe_run(t->job, build, err);
	case BV_TEMPLATE_BUILTIN:
		return t->builtin->run(build, err);
	case BV_TEMPLATE_SCRIPT:
		return bv_script_run(t->path, build, err);
	case BV_TEMPLATE_NONE:
		break;
	}
	return 0;
}

int bv_build_append_config(const struct bv_build *build, const char *text, struct bv_error *err)
{
	autoclose int fd = openat(build->dir, "config", O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return bv_fail_errno(err, "cannot open %s/config", build->path);
	size_t len = strlen(text);
	int r = bv_write_all(fd, text, len);
	if (r == 0 && len > 0 && text[len - 1] != '\n')
		r = bv_write_all(fd, "\n", 1);
	return r < 0 ? bv_fail(err, r, "cannot write %s/config: %s", build->path, strerror(-r)) : 0;
}

int bv_template_print_help(const char *name, struct bv_error *err)
{
	autoclean(bv_template_clear) struct bv_template t = { 0 };
	int r = bv_template_find(&t, name, err);
	if (r < 0)
		return r;
	autofree char *text = NULL;
	if (t.kind == BV_TEMPLATE_SCRIPT)
		return bv_script_help(t.path, err);
	if (t.kind == BV_TEMPLATE_RECIPE)
		r = bv_recipe_help(t.path, &text, err);
	else if (t.kind == BV_TEMPLATE_BUILTIN)
		text = strdup(t.builtin->help);
	else
		text = strdup("The template \"none\" makes a configuration and no rootfs; it has no options.\n");
	if (r == 0 && !text)
		r = bv_fail(err, ENOMEM, "out of memory");
	if (r == 0)
		r = bv_write_all(STDOUT_FILENO, text, strlen(text));
	return r;
}
