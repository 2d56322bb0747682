/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "template/job.h"
#include "util/cleanup.h"

int bv_recipe_run_inside(const struct bv_recipe_build *b, const char *what, char *const *argv, const char *script,
			 const char *input, struct bv_error *err)
{
	struct bv_run run = {
		.what = what,
		.argv = argv,
		.script = script,
		.root = b->build->rootfs_path,
		.env = b->job->env.v,
		.input = input,
		.in = -1,
		.out = -1,
		.progress = &b->build->progress,
	};
	return bv_run(&run, err);
}

static int run_actions(const struct bv_recipe_build *b, int trigger, struct bv_error *err)
{
	static const char *const names[] = { "post-unpack", "post-update", "post-packages", "post-files" };
	const struct bv_recipe *recipe = b->job->recipe;
	const struct bv_recipe_action *actions = recipe->actions.v;

	for (size_t i = 0; i < recipe->actions.n; i++) {
		if (actions[i].trigger != trigger || !bv_recipe_applies(recipe, &actions[i].filter))
			continue;
		autofree char *what = bv_asprintf("action %zu (%s) of %s", i + 1, names[trigger], b->job->path);
		if (!what)
			return bv_fail(err, ENOMEM, "out of memory");
		int r = bv_recipe_run_inside(b, what, NULL, actions[i].action, NULL, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int apt(const struct bv_recipe_build *b, const char *verb, const struct bv_strv *words,
	       const struct bv_strv *flags, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	int r = bv_strv_add(&argv, "apt-get");
	if (r == 0)
		r = bv_strv_add(&argv, "-qq");
	if (r == 0)
		r = bv_strv_add(&argv, "-y");
	if (r == 0)
		r = bv_strv_add(&argv, "--no-install-recommends");
	if (r == 0 && flags)
		r = bv_strv_copy(&argv, flags);
	if (r == 0)
		r = bv_strv_add(&argv, verb);
	if (r == 0 && words)
		r = bv_strv_add(&argv, "--");
	if (r == 0 && words)
		r = bv_strv_copy(&argv, words);
	if (r < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	autofree char *what = bv_asprintf("apt-get %s", verb);
	return bv_recipe_run_inside(b, what ? what : "apt-get", argv.v, NULL, NULL, err);
}

static int run_sets(const struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe *recipe = b->job->recipe;
	const struct bv_recipe_set *sets = recipe->packages.sets.v;

	for (size_t i = 0; i < recipe->packages.sets.n; i++) {
		const struct bv_recipe_set *s = &sets[i];
		bool install = s->action == BV_SET_INSTALL;
		bool done = install && (b->folded || s->early);
		if (done || s->packages.n == 0 || !bv_recipe_applies(recipe, &s->filter))
			continue;
		int r = apt(b, install ? "install" : "purge", &s->packages, &s->flags, err);
		if (r < 0)
			return r;
	}
	if (b->folded || b->job->args.packages.n == 0)
		return 0;
	return apt(b, "install", &b->job->args.packages, NULL, err);
}

int bv_recipe_image(struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe *recipe = b->job->recipe;
	int r = bv_recipe_bootstrap(b, err);
	if (r == 0)
		r = run_actions(b, BV_TRIGGER_UNPACK, err);
	/* What was installed a moment ago from all suites is up to date. */
	if (r == 0 && !b->folded) {
		r = apt(b, "update", NULL, NULL, err);
		if (r == 0 && recipe->packages.update)
			r = apt(b, "dist-upgrade", NULL, NULL, err);
	}
	if (r == 0)
		r = run_actions(b, BV_TRIGGER_UPDATE, err);
	if (r == 0)
		bv_progress_say(&b->build->progress, 0.7, "Setting up packages");
	if (r == 0)
		r = run_sets(b, err);
	if (r == 0 && recipe->packages.cleanup)
		r = apt(b, "clean", NULL, NULL, err);
	if (r == 0)
		r = run_actions(b, BV_TRIGGER_PACKAGES, err);
	if (r == 0)
		r = bv_recipe_files(b, false, err);
	if (r == 0)
		r = run_actions(b, BV_TRIGGER_FILES, err);
	return r;
}
