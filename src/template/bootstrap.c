/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "template/job.h"
#include "util/cleanup.h"

/* Is there work inside the rootfs that must come between the bootstrap and the package sets? */
static bool must_come_between(const struct bv_recipe *r)
{
	const struct bv_recipe_action *actions = r->actions.v;
	for (size_t i = 0; i < r->actions.n; i++)
		if (actions[i].trigger <= BV_TRIGGER_UPDATE && bv_recipe_applies(r, &actions[i].filter))
			return true;
	return false;
}

/* Packages that the bootstrap installs: early sets, and all of them when nothing must come between. */
static int included(const struct bv_recipe_build *b, bool all, char **ret)
{
	const struct bv_recipe *r = b->job->recipe;
	const struct bv_recipe_set *sets = r->packages.sets.v;
	autoclean(bv_buf_clear) struct bv_buf list = { 0 };

	for (size_t i = 0; i < r->packages.sets.n; i++) {
		const struct bv_recipe_set *s = &sets[i];
		if (s->action != BV_SET_INSTALL || !(all || s->early) || !bv_recipe_applies(r, &s->filter))
			continue;
		for (size_t k = 0; k < s->packages.n; k++)
			bv_buf_printf(&list, "%s%s", list.len ? "," : "", s->packages.v[k]);
	}
	for (size_t k = 0; all && k < b->job->args.packages.n; k++)
		bv_buf_printf(&list, "%s%s", list.len ? "," : "", b->job->args.packages.v[k]);
	*ret = bv_buf_take(&list);
	return *ret ? 0 : -ENOMEM;
}

static char *joined(const struct bv_strv *words, const char *separator)
{
	struct bv_buf out = { 0 };
	for (size_t i = 0; i < words->n; i++)
		bv_buf_printf(&out, "%s%s", i ? separator : "", words->v[i]);
	return bv_buf_take(&out);
}

/* The lines of sources.list: the recipe's source, then its repositories. */
static int source_lines(const struct bv_recipe *r, struct bv_strv *lines)
{
	const struct bv_recipe_repository *repositories = r->packages.repositories.v;
	autofree char *components = joined(&r->source.components, " ");
	if (!components ||
	    bv_strv_addf(lines, "deb %s %s %s", r->source.url, r->source.suite, components) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < r->packages.repositories.n; i++) {
		if (!bv_recipe_applies(r, &repositories[i].filter))
			continue;
		if (bv_strv_split(lines, repositories[i].url, "\n") < 0)
			return -ENOMEM;
	}
	return 0;
}

static int check_source(const struct bv_recipe_job *job, struct bv_error *err)
{
	const struct bv_recipe *r = job->recipe;
	if (!r->source.url || !*r->source.url) {
		bv_fail(err, ENOENT, "no mirror of %s is known: the recipe names none and this host's apt uses none",
			r->image.distribution);
		return bv_hint(err, "pass one: lxc-create ... -- --mirror URL");
	}
	if (r->source.keyring && *r->source.keyring && access(r->source.keyring, R_OK) < 0) {
		bv_fail_errno(err, "cannot read the keys of %s, %s", r->image.distribution, r->source.keyring);
		return bv_hint(err, "install %s's keyring package, or pass --keyring FILE", r->image.distribution);
	}
	return 0;
}

/* The arguments that both programs take alike, up to the rootfs; what follows it differs. */
static int add_what_and_where(const struct bv_recipe_build *b, const char *packages, struct bv_strv *argv)
{
	const struct bv_recipe *r = b->job->recipe;
	int rc = 0;
	if (r->source.keyring && *r->source.keyring)
		rc = bv_strv_addf(argv, "--keyring=%s", r->source.keyring);
	if (rc == 0 && *packages)
		rc = bv_strv_addf(argv, "--include=%s", packages);
	if (rc == 0)
		rc = bv_strv_add(argv, r->source.suite);
	return rc < 0 ? rc : bv_strv_add(argv, b->build->rootfs_path);
}

static int mmdebstrap_argv(const struct bv_recipe_build *b, const char *packages, struct bv_strv *argv)
{
	const struct bv_recipe *r = b->job->recipe;
	int rc = bv_strv_add(argv, "mmdebstrap");
	if (rc == 0)
		rc = bv_strv_add(argv, "--mode=root");
	if (rc == 0)
		rc = bv_strv_add(argv, "--format=directory");
	if (rc == 0)
		rc = bv_strv_addf(argv, "--variant=%s", r->source.variant);
	if (rc == 0)
		rc = bv_strv_addf(argv, "--architectures=%s", r->image.mapped);
	if (rc == 0)
		rc = add_what_and_where(b, packages, argv);
	return rc < 0 ? rc : source_lines(r, argv);
}

static int debootstrap_argv(const struct bv_recipe_build *b, const char *packages, struct bv_strv *argv)
{
	const struct bv_recipe *r = b->job->recipe;
	autofree char *components = joined(&r->source.components, ",");
	int rc = components ? bv_strv_add(argv, "debootstrap") : -ENOMEM;
	if (rc == 0)
		rc = bv_strv_addf(argv, "--variant=%s", r->source.variant);
	if (rc == 0)
		rc = bv_strv_addf(argv, "--arch=%s", r->image.mapped);
	if (rc == 0)
		rc = bv_strv_addf(argv, "--components=%s", components);
	if (rc == 0)
		rc = add_what_and_where(b, packages, argv);
	if (rc == 0)
		rc = bv_strv_add(argv, r->source.url);
	if (rc == 0 && r->source.same_as && *r->source.same_as)
		rc = bv_strv_addf(argv, "/usr/share/debootstrap/scripts/%s", r->source.same_as);
	return rc;
}

static int write_sources(const struct bv_recipe_build *b, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv lines = { 0 };
	autofree char *text = source_lines(b->job->recipe, &lines) < 0 ? NULL : joined(&lines, "\n");
	autofree char *whole = text ? bv_asprintf("%s\n", text) : NULL;
	if (!whole)
		return bv_fail(err, ENOMEM, "out of memory");
	return bv_rootfs_write(b->build->rootfs, "/etc/apt/sources.list", whole, 0644, 0, 0, err);
}

int bv_recipe_bootstrap(struct bv_recipe_build *b, struct bv_error *err)
{
	int r = check_source(b->job, err);
	if (r < 0)
		return r;
	bool mmdebstrap = bv_program_exists("mmdebstrap");
	if (!mmdebstrap && !bv_program_exists("debootstrap")) {
		bv_fail(err, ENOENT, "neither mmdebstrap nor debootstrap is installed");
		return bv_hint(err, "apt install mmdebstrap");
	}
	/* debootstrap takes one suite: what comes from the others is installed afterwards. */
	b->folded = mmdebstrap && !must_come_between(b->job->recipe);

	autofree char *packages = NULL;
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 }, env = { 0 };
	if (included(b, b->folded, &packages) < 0 || bv_run_host_env(&env) < 0 ||
	    (mmdebstrap ? mmdebstrap_argv(b, packages, &argv) : debootstrap_argv(b, packages, &argv)) < 0)
		return bv_fail(err, ENOMEM, "out of memory");

	bv_progress_say(&b->build->progress, 0.05, "Installing %s %s (%s) with %s", b->job->recipe->image.distribution,
			b->job->recipe->image.release, b->job->recipe->image.mapped, argv.v[0]);
	struct bv_run run = {
		.what = argv.v[0],
		.argv = argv.v,
		.env = env.v,
		.in = -1,
		.out = -1,
		.progress = &b->build->progress,
	};
	r = bv_run(&run, err);
	return r < 0 || mmdebstrap ? r : write_sources(b, err);
}
