/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "template/yaml.h"
#include "util/str.h"

/*
 * A recipe: one YAML file = one distribution, with the key names of distrobuilder. The schema is one table in recipe.c.
 * Substitution is a look-up of "{{ dotted.key }}" in the recipe itself (image.*, source.*), with
 * image.architecture_mapped, and where something belongs to one instance (generator "template", targets) in
 * instance.name, login.user and login.password. There is no other logic.
 */
struct bv_recipe_filter {
	struct bv_strv releases, architectures, variants, types;
};

struct bv_recipe_set {
	struct bv_recipe_filter filter;
	struct bv_strv packages, flags;
	int action; /* BV_SET_* */
	bool early; /* with the bootstrap */
};
enum { BV_SET_INSTALL, BV_SET_REMOVE };

struct bv_recipe_repository {
	struct bv_recipe_filter filter;
	char *name, *url; /* lines of sources.list; one whose look-up is empty is left out */
};

struct bv_recipe_file {
	struct bv_recipe_filter filter;
	char *path, *content, *source;
	int generator; /* BV_FILE_* */
	mode_t mode;   /* (mode_t)-1: not given */
	uint32_t uid, gid;
	bool templated, pongo;
};
enum { BV_FILE_DUMP, BV_FILE_COPY, BV_FILE_REMOVE, BV_FILE_HOSTNAME, BV_FILE_HOSTS, BV_FILE_FSTAB, BV_FILE_TEMPLATE };

struct bv_recipe_action {
	struct bv_recipe_filter filter;
	char *action;
	int trigger; /* BV_TRIGGER_*, in the order in which they come */
	bool templated, pongo;
};
enum { BV_TRIGGER_UNPACK, BV_TRIGGER_UPDATE, BV_TRIGGER_PACKAGES, BV_TRIGGER_FILES };

struct bv_recipe_variable {
	struct bv_recipe_filter filter;
	char *key, *value;
};

struct bv_recipe_config {
	struct bv_recipe_filter filter;
	char *content;
	int type; /* BV_CONFIG_* */
};
enum { BV_CONFIG_ALL, BV_CONFIG_SYSTEM, BV_CONFIG_USER };

/* A list of items of one section; `v` is an array of its struct. */
struct bv_recipe_list {
	void *v;
	size_t n;
};

struct bv_recipe {
	struct {
		char *distribution, *release, *architecture, *variant, *description, *name, *serial, *expiry;
		char *mapped;        /* the distribution's name of the architecture */
	} image;
	struct {
		int downloader;      /* both of BV_SOURCE_* mean: mmdebstrap if it is there, else debootstrap */
		char *url, *security_url, *keyring, *variant, *suite, *same_as;
		struct bv_strv components;
	} source;
	struct {
		int manager;
		bool update, cleanup;
		struct bv_recipe_list sets, repositories;
	} packages;
	struct {
		char *user, *shell;
		struct bv_strv groups;
	} login;
	struct {
		bool clear_defaults;
		struct bv_recipe_list variables;
	} environment;
	struct {
		struct {
			char *create_message;
			struct bv_recipe_list config;
		} lxc;
	} targets;
	struct {
		int architecture_map;
		struct bv_recipe_list architectures;
	} mappings;
	struct bv_recipe_list files, actions;
	const char *type;            /* what `types` filters ask for: "container" or "vm" */
};
enum { BV_SOURCE_DEBOOTSTRAP, BV_SOURCE_MMDEBSTRAP };

/* Values that are not in the file. */
struct bv_recipe_values {
	const char *instance, *password;
	const char *type;            /* NULL: "container" */
};

/* The recipe of a tree, whose overrides are in place. `name` stands for the file in messages. */
int bv_recipe_decode(struct bv_recipe **ret, struct bv_yaml *root, const char *name,
		     const struct bv_recipe_values *values, struct bv_error *err);
void bv_recipe_free(struct bv_recipe *recipe);
void bv_recipe_freep(struct bv_recipe **recipe);

/* Is the dotted path a scalar of the schema? Else the nearest that is, or NULL, in *nearest. */
bool bv_recipe_key_known(const char *path, char **nearest);

bool bv_recipe_applies(const struct bv_recipe *recipe, const struct bv_recipe_filter *filter);

/* Seconds of "30d" (units s m h d w, summed). -EINVAL. */
int bv_recipe_expiry(const char *text, int64_t *ret);

/* The machine's name of an architecture ("amd64" is x86_64); itself when it is not known. */
const char *bv_arch_machine(const char *arch);
/* Debian's name ("x86_64" is amd64). */
const char *bv_arch_debian(const char *arch);
