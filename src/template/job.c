/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "template/apt.h"
#include "util/cleanup.h"
#include "util/file.h"

void bv_recipe_job_free(struct bv_recipe_job *job)
{
	if (!job)
		return;
	free(job->path);
	free(job->instance);
	free(job->password);
	free(job->cache_dir);
	free(job->cache_file);
	bv_yaml_free(job->tree);
	bv_recipe_free(job->recipe);
	bv_recipe_args_clear(&job->args);
	bv_strv_clear(&job->env);
	free(job);
}

static void job_freep(struct bv_recipe_job **job)
{
	bv_recipe_job_free(*job);
}

static int load_tree(struct bv_recipe_job *job, struct bv_error *err)
{
	autofree char *text = NULL;
	size_t len = 0;
	int r = bv_read_file(AT_FDCWD, job->path, BV_YAML_SIZE_MAX, &text, &len);
	if (r == -EFBIG)
		return bv_fail(err, r, "%s: larger than 1 MiB", job->path);
	if (r < 0)
		return bv_fail(err, r, "cannot read the recipe %s: %s", job->path, strerror(-r));
	return bv_yaml_parse(&job->tree, text, len, job->path, err);
}

static int override(struct bv_recipe_job *job, const char *line, struct bv_error *err)
{
	const char *equals = strchr(line, '=');
	if (!equals || equals == line)
		return bv_fail(err, EINVAL, "\"%s\" is not KEY=VALUE", line);
	autofree char *key = strndup(line, (size_t)(equals - line)), *near = NULL;
	if (!key)
		return bv_fail(err, ENOMEM, "out of memory");
	if (!bv_recipe_key_known(key, &near)) {
		bv_fail(err, EINVAL, "\"%s\" is not a key of a recipe that can be set", key);
		return near ? bv_hint(err, "did you mean %s?", near) : -EINVAL;
	}
	return bv_yaml_set(job->tree, key, equals + 1, err);
}

static const char *scalar(const struct bv_yaml *tree, const char *section, const char *key)
{
	const struct bv_yaml *node = bv_yaml_get(bv_yaml_get(tree, section), key);
	return node && node->kind == BV_YAML_SCALAR ? node->text : "";
}

/* An address stands in a line of sources.list and in an argument. */
static int set_url(struct bv_recipe_job *job, const char *key, const char *url, struct bv_error *err)
{
	if (*url == '-' || !strchr(url, ':'))
		return bv_fail(err, EINVAL, "\"%s\" is not the URL of a mirror", url);
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '[')
			return bv_fail(err, EINVAL, "\"%s\" is not the URL of a mirror", url);
	return bv_yaml_set(job->tree, key, url, err);
}

/* What the user says wins, then the recipe, then what this host's apt does. */
static int set_sources(struct bv_recipe_job *job, struct bv_error *err)
{
	autoclean(bv_apt_mirror_clear) struct bv_apt_mirror host = { 0 };
	const struct bv_recipe_args *a = &job->args;
	const struct bv_yaml *tree = job->tree;
	int r = bv_apt_find_mirror(scalar(tree, "image", "distribution"), scalar(tree, "image", "release"), &host, err);
	if (r < 0)
		return r;

	const char *url = a->mirror ? a->mirror : *scalar(tree, "source", "url") ? NULL : host.url;
	const char *security = a->security_mirror ? a->security_mirror
			       : *scalar(tree, "source", "security_url") ? NULL : host.security_url;
	if (url)
		r = set_url(job, "source.url", url, err);
	if (r == 0 && security && !bv_streq(security, "none"))
		r = set_url(job, "source.security_url", security, err);
	const char *keyring = a->keyring;
	if (!keyring && host.keyring && access(scalar(tree, "source", "keyring"), R_OK) < 0)
		keyring = host.keyring;
	if (r == 0 && keyring)
		r = bv_yaml_set(job->tree, "source.keyring", keyring, err);
	return r;
}

static int set_architecture(struct bv_recipe_job *job, struct bv_error *err)
{
	if (*scalar(job->tree, "image", "architecture"))
		return 0;
	struct utsname host;
	if (uname(&host) < 0)
		return bv_fail_errno(err, "cannot read this host's architecture");
	return bv_yaml_set(job->tree, "image.architecture", host.machine, err);
}

static int resolve(struct bv_recipe_job *job, struct bv_error *err)
{
	if (job->tree->kind != BV_YAML_MAP)
		return bv_yaml_fail(job->path, job->tree, err, "a recipe is a map of keys");
	int r = 0;
	for (size_t i = 0; i < job->args.overrides.n && r == 0; i++)
		r = override(job, job->args.overrides.v[i], err);
	if (r == 0)
		r = set_architecture(job, err);
	if (r == 0)
		r = set_sources(job, err);
	return r;
}

static int check_list(const struct bv_recipe_job *job, const struct bv_strv *words, const char *what,
		      struct bv_error *err)
{
	for (size_t i = 0; i < words->n; i++) {
		const char *w = words->v[i];
		if (!*w || *w == '-' || strpbrk(w, " \t\n,;'\""))
			return bv_fail(err, EINVAL, "%s: \"%s\" is not %s", job->path, w, what);
	}
	return 0;
}

/* What goes into arguments of programs and into config lines is looked at once, here. */
static int check(const struct bv_recipe_job *job, struct bv_error *err)
{
	const struct bv_recipe *recipe = job->recipe;
	const struct bv_recipe_set *sets = recipe->packages.sets.v;
	const struct bv_recipe_repository *repositories = recipe->packages.repositories.v;
	int r = check_list(job, &job->args.packages, "a package", err);
	if (r == 0)
		r = check_list(job, &recipe->source.components, "a component", err);
	for (size_t i = 0; i < recipe->packages.sets.n && r == 0; i++)
		r = check_list(job, &sets[i].packages, "a package", err);
	for (size_t i = 0; i < recipe->packages.repositories.n && r == 0; i++)
		if (!bv_after(repositories[i].url, "deb "))
			r = bv_fail(err, EINVAL, "%s: the repository %s must be lines \"deb URL SUITE COMPONENT\"",
				    job->path, repositories[i].name);
	if (r == 0 && strpbrk(job->password, "\n\r"))
		r = bv_fail(err, EINVAL, "a password cannot have a line break");
	if (r == 0 && job->args.auth_key && access(job->args.auth_key, R_OK) < 0)
		r = bv_fail_errno(err, "cannot read the key %s", job->args.auth_key);
	const char *type = job->args.type;
	if (r == 0 && type && !bv_streq(type, "container") && !bv_streq(type, "vm"))
		r = bv_fail(err, EINVAL, "the type cannot be \"%s\"; it is container or vm", type);
	return r;
}

static int set_environment(struct bv_recipe_job *job, struct bv_error *err)
{
	const struct bv_recipe *recipe = job->recipe;
	const struct bv_recipe_variable *v = recipe->environment.variables.v;
	int r = recipe->environment.clear_defaults ? 0 : bv_run_host_env(&job->env);
	for (size_t i = 0; i < recipe->environment.variables.n && r == 0; i++)
		if (bv_recipe_applies(recipe, &v[i].filter))
			r = bv_strv_addf(&job->env, "%s=%s", v[i].key, v[i].value ? v[i].value : "");
	return r < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

static void say_lines(const struct bv_progress *p, double fraction, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");
		bv_progress_say(p, fraction, "%.*s", (int)len, text);
		text += len + (text[len] == '\n');
	}
}

static int only_asked(struct bv_recipe_job *job, const struct bv_progress *p, struct bv_error *err)
{
	const struct bv_recipe *recipe = job->recipe;
	if (job->args.clean) {
		int r = bv_recipe_cache_flush(job, true, err);
		if (r < 0)
			return r;
		bv_progress_say(p, BV_PROGRESS_KEEP, "The cache of %s is empty", recipe->image.distribution);
		return 1;
	}
	if (job->args.print) {
		autoclean(bv_buf_clear) struct bv_buf text = { 0 };
		bv_yaml_print(job->tree, &text);
		say_lines(p, BV_PROGRESS_KEEP, text.p ? text.p : "");
		return 1;
	}
	if (!job->args.validate)
		return 0;
	bv_progress_say(p, BV_PROGRESS_KEEP, "%s is valid: %s %s, %s, variant %s, from %s", job->path,
			recipe->image.distribution, recipe->image.release, recipe->image.mapped, recipe->image.variant,
			recipe->source.url && *recipe->source.url ? recipe->source.url : "no mirror known yet");
	return 1;
}

int bv_recipe_prepare(struct bv_recipe_job **ret, const char *path, const char *name, char *const *args,
		      const struct bv_progress *progress, struct bv_error *err)
{
	autoclean(job_freep) struct bv_recipe_job *job = calloc(1, sizeof(*job));
	if (!job)
		return bv_fail(err, ENOMEM, "out of memory");
	job->path = strdup(path);
	job->instance = strdup(name);
	if (!job->path || !job->instance)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_recipe_args_parse(&job->args, args, err);
	if (r < 0)
		return r;
	if (job->args.help) {
		autofree char *help = NULL;
		r = bv_recipe_help(path, &help, err);
		if (r == 0)
			say_lines(progress, BV_PROGRESS_KEEP, help);
		return r < 0 ? r : 1;
	}

	job->password_is_random = !job->args.password;
	if (job->args.password)
		job->password = strdup(job->args.password);
	else
		bv_random_password(&job->password, err);
	if (!job->password)
		return bv_fail(err, ENOMEM, "out of memory");
	r = load_tree(job, err);
	if (r == 0)
		r = resolve(job, err);
	if (r < 0)
		return r;
	struct bv_recipe_values values = { .instance = name, .password = job->password, .type = job->args.type };
	r = bv_recipe_decode(&job->recipe, job->tree, job->path, &values, err);
	if (r == 0)
		r = check(job, err);
	if (r == 0)
		r = bv_recipe_cache_name(job, err);
	if (r == 0)
		r = set_environment(job, err);
	if (r == 0)
		r = only_asked(job, progress, err);
	if (r == 0)
		r = bv_recipe_check_foreign(job, err);
	if (r == 0 && job->args.flush_cache)
		r = bv_recipe_cache_flush(job, false, err);
	if (r == 0)
		*ret = take_ptr(job);
	return r;
}

/* LXC's token for the directory of common.conf and its likes. */
static char *with_config_dir(const char *text)
{
	static const char token[] = "LXC_TEMPLATE_CONFIG";
	const char *dir = BV_DATADIR "/lxc/config";
	struct bv_buf out = { 0 };
	for (const char *at; (at = strstr(text, token)); text = at + strlen(token)) {
		bv_buf_add(&out, text, (size_t)(at - text));
		bv_buf_puts(&out, dir);
	}
	bv_buf_puts(&out, text);
	return bv_buf_take(&out);
}

static int append_config(const struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe *recipe = b->job->recipe;
	const struct bv_recipe_config *config = recipe->targets.lxc.config.v;
	bool mapped = b->build->config->n_idmaps > 0;

	for (size_t i = 0; i < recipe->targets.lxc.config.n; i++) {
		if (!bv_recipe_applies(recipe, &config[i].filter) ||
		    (config[i].type == BV_CONFIG_SYSTEM && mapped) || (config[i].type == BV_CONFIG_USER && !mapped))
			continue;
		autofree char *text = with_config_dir(config[i].content);
		int r = text ? bv_build_append_config(b->build, text, err) : bv_fail(err, ENOMEM, "out of memory");
		if (r < 0)
			return r;
	}
	return 0;
}

int bv_recipe_run(struct bv_recipe_job *job, const struct bv_build *build, struct bv_error *err)
{
	struct bv_recipe_build b = { .job = job, .build = build };
	int r = bv_recipe_cache_get(&b, err);
	if (r == 0) {
		r = bv_recipe_image(&b, err);
		if (r == 0) {
			bv_progress_say(&build->progress, 0.9, "Keeping the image for the next time");
			bv_recipe_cache_put(&b);
		}
	}
	if (r >= 0)
		r = bv_recipe_files(&b, true, err);
	if (r == 0)
		r = bv_recipe_login(&b, err);
	if (r == 0)
		r = append_config(&b, err);
	if (r < 0)
		return r;
	const char *message = job->recipe->targets.lxc.create_message;
	if (message)
		say_lines(&build->progress, BV_PROGRESS_KEEP, message);
	bv_progress_say(&build->progress, BV_PROGRESS_KEEP, "Log in as %s; %s %s", job->recipe->login.user,
			job->password_is_random ? "the password, told only now, is" : "the password is",
			job->password_is_random ? job->password : "the one you gave");
	return 0;
}

int bv_recipe_help(const char *path, char **ret, struct bv_error *err)
{
	autoclean(job_freep) struct bv_recipe_job *job = calloc(1, sizeof(*job));
	if (!job || !(job->path = strdup(path)))
		return bv_fail(err, ENOMEM, "out of memory");
	int r = load_tree(job, err);
	if (r < 0)
		return r;
	const char *distribution = scalar(job->tree, "image", "distribution");
	const char *release = scalar(job->tree, "image", "release");
	*ret = bv_asprintf("%s: %s, release %s unless told otherwise\n\n%s", path, *distribution ? distribution : "?",
			   *release ? release : "?", bv_recipe_args_help);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}
