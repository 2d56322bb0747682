/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "template/recipe.h"
#include "template/run.h"
#include "template/template.h"

/* Arguments of a recipe (lxc-create -t RECIPE -- ARGUMENTS), args.c. */
struct bv_recipe_args {
	char *mirror, *security_mirror, *keyring, *auth_key, *password, *type;
	struct bv_strv packages;  /* more packages */
	struct bv_strv overrides; /* "image.release=trixie" */
	bool flush_cache, clean, print, validate, help;
};

int bv_recipe_args_parse(struct bv_recipe_args *ret, char *const *args, struct bv_error *err);
void bv_recipe_args_clear(struct bv_recipe_args *args);
/* The options as help text. */
extern const char bv_recipe_args_help[];

/* A recipe with its arguments, ready to be built. */
struct bv_recipe_job {
	char *path, *instance, *password;
	struct bv_yaml *tree;
	struct bv_recipe *recipe;
	struct bv_recipe_args args;
	char *cache_dir, *cache_file;
	struct bv_strv env;          /* for programs inside the rootfs */
	bool password_is_random;
};

/* The state of one build. */
struct bv_recipe_build {
	struct bv_recipe_job *job;
	const struct bv_build *build;
	bool folded;                 /* the bootstrap installed all sets: there is nothing to do between them */
};

/* files.c: the `files` of the image (dump, copy, remove, fstab), or of one instance (hostname, hosts, template). */
int bv_recipe_files(const struct bv_recipe_build *b, bool of_instance, struct bv_error *err);
/* files.c: write a file below `root`, parents made. `mode` (mode_t)-1: 0644. */
int bv_rootfs_write(int root, const char *path, const char *text, mode_t mode, uint32_t uid, uint32_t gid,
		    struct bv_error *err);

/* foreign.c: can this host run programs of the recipe's architecture? */
int bv_recipe_check_foreign(const struct bv_recipe_job *job, struct bv_error *err);

/* bootstrap.c: the first rootfs, by mmdebstrap or debootstrap. */
int bv_recipe_bootstrap(struct bv_recipe_build *b, struct bv_error *err);

/* image.c: the part of the build that is the same for every instance: bootstrap, packages, actions, files. */
int bv_recipe_image(struct bv_recipe_build *b, struct bv_error *err);

/* cache.c: 1: the rootfs was filled from the cache, 0: there is nothing fresh. */
int bv_recipe_cache_get(const struct bv_recipe_build *b, struct bv_error *err);
/* Keep the rootfs; a failure is only logged. */
void bv_recipe_cache_put(const struct bv_recipe_build *b);
/* Forget what is cached for this recipe (`all`: for this distribution). */
int bv_recipe_cache_flush(const struct bv_recipe_job *job, bool all, struct bv_error *err);
int bv_recipe_cache_name(struct bv_recipe_job *job, struct bv_error *err);

/* login.c: the user who can log in. */
int bv_recipe_login(const struct bv_recipe_build *b, struct bv_error *err);
int bv_random_password(char **ret, struct bv_error *err);

/* Run argv (or a script) inside the rootfs. */
int bv_recipe_run_inside(const struct bv_recipe_build *b, const char *what, char *const *argv, const char *script,
			 const char *input, struct bv_error *err);
