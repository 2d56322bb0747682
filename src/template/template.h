/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "util/error.h"
#include "util/str.h"

/*
 * Templates: what fills the rootfs of a new instance. There are three kinds behind one interface:
 *   script   an executable with LXC's protocol (facts 3.1); Debian's and users' own work unchanged
 *   recipe   a YAML file, "one file = one distribution" (recipe.h)
 *   builtin  written in C, works offline ("busybox")
 * instance/create.c finds the template before it makes anything, prepares it (arguments are checked, nothing is made),
 * then runs it in the place that the instance is built in.
 */
enum bv_template_kind { BV_TEMPLATE_NONE, BV_TEMPLATE_SCRIPT, BV_TEMPLATE_RECIPE, BV_TEMPLATE_BUILTIN };

struct bv_recipe_job;

struct bv_template {
	enum bv_template_kind kind;
	char *name;                    /* "debian" */
	char *path;                    /* script or recipe; NULL for the others */
	const struct bv_builtin *builtin;
	struct bv_recipe_job *job;     /* of a prepared recipe */
};

/*
 * Progress, one line a call; `fraction` below 0 when unknown, BV_PROGRESS_KEEP for what the user is to have in front of
 * him at the end (who can log in). `fn` may be NULL. The value is that of bivalve.h.
 */
#define BV_PROGRESS_KEEP 2.0

struct bv_progress {
	void (*fn)(void *data, double fraction, const char *text);
	void *data;
};

void bv_progress_say(const struct bv_progress *p, double fraction, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The place that a template fills. */
struct bv_build {
	const char *name;              /* of the instance */
	const char *path;              /* LXCPATH/NAME as templates and the config are to see it */
	int dir;                       /* fd of the directory that becomes LXCPATH/NAME; holds `config` */
	int rootfs;                    /* fd of the rootfs' top */
	const char *rootfs_path;       /* the path of the rootfs in the mount namespace of the caller */
	const struct bv_config *config;
	char *const *args;             /* NULL-terminated or NULL */
	bool quiet;                    /* the output of a script goes to /dev/null */
	struct bv_progress progress;
};

/*
 * Find a template (find.c): "none"; a path of a script; a path or name that ends in .yaml; a name: a recipe in
 * DATADIR/lxc/recipes, a builtin, a script DATADIR/lxc/templates/lxc-NAME, one of Debian's in /usr/share/lxc/templates.
 * BIVALVE_TEMPLATES, directories separated by colons, takes the place of these directories (tests).
 * -ENOENT with the nearest name and the list.
 */
int bv_template_find(struct bv_template *ret, const char *name, struct bv_error *err);
void bv_template_clear(struct bv_template *t);

/* The help of a template on stdout. */
int bv_template_print_help(const char *name, struct bv_error *err);
/* Names of all templates, sorted. */
int bv_template_names(struct bv_strv *ret, struct bv_error *err);

/* What stands in "# Template used to create this container:"; never NULL. */
const char *bv_template_origin(const struct bv_template *t);

/*
 * Check the arguments for the instance `name`. 1: they only asked for something to read (-h, --print, --validate),
 * which went to `progress`, and nothing is to be created. A script gets its arguments unchecked.
 */
int bv_template_prepare(struct bv_template *t, const char *name, char *const *args, const struct bv_progress *progress,
			struct bv_error *err);

/*
 * Fill build->rootfs and append to the `config` in build->dir. A script or recipe runs other programs; the caller is a
 * process and in a mount namespace of its own then, where build->path and build->rootfs_path are what they say. A
 * script may give that process a pid namespace for its children.
 */
int bv_template_run(struct bv_template *t, const struct bv_build *build, struct bv_error *err);

/* Append text to the `config` in build->dir. */
int bv_build_append_config(const struct bv_build *build, const char *text, struct bv_error *err);

/* ---- between the files of template/ ---- */

/* A template in C. */
struct bv_builtin {
	const char *name;
	const char *help; /* options, behind the common head */
	int (*check)(char *const *args, struct bv_error *err);
	int (*run)(const struct bv_build *build, struct bv_error *err);
};

extern const struct bv_builtin bv_builtin_busybox;

int bv_script_run(const char *path, const struct bv_build *build, struct bv_error *err);
int bv_script_help(const char *path, struct bv_error *err);

int bv_recipe_prepare(struct bv_recipe_job **ret, const char *path, const char *name, char *const *args,
		      const struct bv_progress *progress, struct bv_error *err);
int bv_recipe_run(struct bv_recipe_job *job, const struct bv_build *build, struct bv_error *err);
void bv_recipe_job_free(struct bv_recipe_job *job);
/* The help of a recipe; malloc'ed. */
int bv_recipe_help(const char *path, char **ret, struct bv_error *err);
