/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/recipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "template/subst.h"
#include "util/cleanup.h"
#include "util/num.h"

enum field_kind {
	TEXT,    /* char * */
	FLAG,    /* bool */
	MODE,    /* mode_t, octal */
	ID,      /* uint32_t */
	CHOICE,  /* int, index in `choices` */
	WORDS,   /* struct bv_strv from a list of scalars */
	SECTION, /* a struct in place */
	ITEMS,   /* struct bv_recipe_list from a list of maps */
	PAIRS,   /* struct bv_recipe_list of bv_recipe_variable from a map of scalars */
};

enum {
	REQUIRED = 1,
	EXPAND = 2,      /* look-ups are replaced */
	EXPAND_IF = 4,   /* ... where the item says "templated" or "pongo" */
	INSTANCE = 8,    /* look-ups of one instance are allowed */
	OPTIONAL = 16,   /* an item with an unknown look-up in this field is left out */
	IGNORED = 32,    /* known, of no use here */
};

struct section;

struct field {
	const char *key;
	enum field_kind kind;
	unsigned int flags;
	size_t offset;
	const struct section *section;
	const char *const *choices;
};

struct section {
	const struct field *fields; /* ends with a NULL key */
	size_t size;                /* of an item */
};

#define AT(type, member) offsetof(struct type, member)
#define FILTERS(type)                                                             \
	{ "releases", WORDS, 0, AT(type, filter.releases), NULL, NULL },          \
	{ "architectures", WORDS, 0, AT(type, filter.architectures), NULL, NULL },\
	{ "variants", WORDS, 0, AT(type, filter.variants), NULL, NULL },          \
	{ "types", WORDS, 0, AT(type, filter.types), NULL, NULL }
#define END { NULL, TEXT, 0, 0, NULL, NULL }

static const char *const downloaders[] = { "debootstrap", "mmdebstrap", NULL };
static const char *const managers[] = { "apt", NULL };
static const char *const set_actions[] = { "install", "remove", NULL };
static const char *const generators[] = { "dump", "copy", "remove", "hostname", "hosts", "fstab", "template", NULL };
static const char *const triggers[] = { "post-unpack", "post-update", "post-packages", "post-files", NULL };
static const char *const config_types[] = { "all", "system", "user", NULL };
static const char *const architecture_maps[] = { "debian", NULL };

/* The schema. */
static const struct section set_section = {
	.size = sizeof(struct bv_recipe_set),
	.fields = (const struct field[]){
		{ "packages", WORDS, REQUIRED, AT(bv_recipe_set, packages), NULL, NULL },
		{ "action", CHOICE, REQUIRED, AT(bv_recipe_set, action), NULL, set_actions },
		{ "early", FLAG, 0, AT(bv_recipe_set, early), NULL, NULL },
		{ "flags", WORDS, 0, AT(bv_recipe_set, flags), NULL, NULL },
		FILTERS(bv_recipe_set),
		END,
	},
};

static const struct section repository_section = {
	.size = sizeof(struct bv_recipe_repository),
	.fields = (const struct field[]){
		{ "name", TEXT, REQUIRED, AT(bv_recipe_repository, name), NULL, NULL },
		{ "url", TEXT, REQUIRED | EXPAND | OPTIONAL, AT(bv_recipe_repository, url), NULL, NULL },
		FILTERS(bv_recipe_repository),
		END,
	},
};

static const struct section file_section = {
	.size = sizeof(struct bv_recipe_file),
	.fields = (const struct field[]){
		{ "generator", CHOICE, REQUIRED, AT(bv_recipe_file, generator), NULL, generators },
		{ "path", TEXT, REQUIRED | EXPAND, AT(bv_recipe_file, path), NULL, NULL },
		{ "content", TEXT, EXPAND_IF, AT(bv_recipe_file, content), NULL, NULL },
		{ "source", TEXT, EXPAND, AT(bv_recipe_file, source), NULL, NULL },
		{ "name", TEXT, IGNORED, 0, NULL, NULL },
		{ "mode", MODE, 0, AT(bv_recipe_file, mode), NULL, NULL },
		{ "uid", ID, 0, AT(bv_recipe_file, uid), NULL, NULL },
		{ "gid", ID, 0, AT(bv_recipe_file, gid), NULL, NULL },
		{ "templated", FLAG, 0, AT(bv_recipe_file, templated), NULL, NULL },
		{ "pongo", FLAG, 0, AT(bv_recipe_file, pongo), NULL, NULL },
		FILTERS(bv_recipe_file),
		END,
	},
};

static const struct section action_section = {
	.size = sizeof(struct bv_recipe_action),
	.fields = (const struct field[]){
		{ "trigger", CHOICE, REQUIRED, AT(bv_recipe_action, trigger), NULL, triggers },
		{ "action", TEXT, REQUIRED | EXPAND_IF, AT(bv_recipe_action, action), NULL, NULL },
		{ "templated", FLAG, 0, AT(bv_recipe_action, templated), NULL, NULL },
		{ "pongo", FLAG, 0, AT(bv_recipe_action, pongo), NULL, NULL },
		FILTERS(bv_recipe_action),
		END,
	},
};

static const struct section variable_section = {
	.size = sizeof(struct bv_recipe_variable),
	.fields = (const struct field[]){
		{ "key", TEXT, REQUIRED, AT(bv_recipe_variable, key), NULL, NULL },
		{ "value", TEXT, EXPAND, AT(bv_recipe_variable, value), NULL, NULL },
		FILTERS(bv_recipe_variable),
		END,
	},
};

static const struct section config_section = {
	.size = sizeof(struct bv_recipe_config),
	.fields = (const struct field[]){
		{ "type", CHOICE, 0, AT(bv_recipe_config, type), NULL, config_types },
		{ "content", TEXT, REQUIRED | EXPAND | INSTANCE, AT(bv_recipe_config, content), NULL, NULL },
		FILTERS(bv_recipe_config),
		END,
	},
};

static const struct section image_section = {
	.fields = (const struct field[]){
		{ "distribution", TEXT, REQUIRED, AT(bv_recipe, image.distribution), NULL, NULL },
		{ "release", TEXT, REQUIRED, AT(bv_recipe, image.release), NULL, NULL },
		{ "architecture", TEXT, 0, AT(bv_recipe, image.architecture), NULL, NULL },
		{ "variant", TEXT, 0, AT(bv_recipe, image.variant), NULL, NULL },
		{ "description", TEXT, EXPAND, AT(bv_recipe, image.description), NULL, NULL },
		{ "name", TEXT, EXPAND, AT(bv_recipe, image.name), NULL, NULL },
		{ "serial", TEXT, 0, AT(bv_recipe, image.serial), NULL, NULL },
		{ "expiry", TEXT, 0, AT(bv_recipe, image.expiry), NULL, NULL },
		END,
	},
};

static const struct section source_section = {
	.fields = (const struct field[]){
		{ "downloader", CHOICE, REQUIRED, AT(bv_recipe, source.downloader), NULL, downloaders },
		{ "url", TEXT, EXPAND, AT(bv_recipe, source.url), NULL, NULL },
		{ "security_url", TEXT, EXPAND, AT(bv_recipe, source.security_url), NULL, NULL },
		{ "keyring", TEXT, EXPAND, AT(bv_recipe, source.keyring), NULL, NULL },
		{ "variant", TEXT, 0, AT(bv_recipe, source.variant), NULL, NULL },
		{ "suite", TEXT, EXPAND, AT(bv_recipe, source.suite), NULL, NULL },
		{ "same_as", TEXT, EXPAND, AT(bv_recipe, source.same_as), NULL, NULL },
		{ "components", WORDS, 0, AT(bv_recipe, source.components), NULL, NULL },
		END,
	},
};

static const struct section packages_section = {
	.fields = (const struct field[]){
		{ "manager", CHOICE, REQUIRED, AT(bv_recipe, packages.manager), NULL, managers },
		{ "update", FLAG, 0, AT(bv_recipe, packages.update), NULL, NULL },
		{ "cleanup", FLAG, 0, AT(bv_recipe, packages.cleanup), NULL, NULL },
		{ "sets", ITEMS, 0, AT(bv_recipe, packages.sets), &set_section, NULL },
		{ "repositories", ITEMS, 0, AT(bv_recipe, packages.repositories), &repository_section, NULL },
		END,
	},
};

static const struct section login_section = {
	.fields = (const struct field[]){
		{ "user", TEXT, 0, AT(bv_recipe, login.user), NULL, NULL },
		{ "shell", TEXT, 0, AT(bv_recipe, login.shell), NULL, NULL },
		{ "groups", WORDS, 0, AT(bv_recipe, login.groups), NULL, NULL },
		END,
	},
};

static const struct section mappings_section = {
	.fields = (const struct field[]){
		{ "architectures", PAIRS, 0, AT(bv_recipe, mappings.architectures), &variable_section, NULL },
		{ "architecture_map", CHOICE, 0, AT(bv_recipe, mappings.architecture_map), NULL, architecture_maps },
		END,
	},
};

static const struct section environment_section = {
	.fields = (const struct field[]){
		{ "clear_defaults", FLAG, 0, AT(bv_recipe, environment.clear_defaults), NULL, NULL },
		{ "variables", ITEMS, 0, AT(bv_recipe, environment.variables), &variable_section, NULL },
		END,
	},
};

static const struct section lxc_section = {
	.fields = (const struct field[]){
		{ "create_message", TEXT, EXPAND | INSTANCE, AT(bv_recipe, targets.lxc.create_message), NULL, NULL },
		{ "config", ITEMS, 0, AT(bv_recipe, targets.lxc.config), &config_section, NULL },
		END,
	},
};

static const struct section targets_section = {
	.fields = (const struct field[]){
		{ "lxc", SECTION, 0, 0, &lxc_section, NULL },
		END,
	},
};

static const struct section top_section = {
	.fields = (const struct field[]){
		{ "image", SECTION, REQUIRED, 0, &image_section, NULL },
		{ "source", SECTION, REQUIRED, 0, &source_section, NULL },
		{ "packages", SECTION, 0, 0, &packages_section, NULL },
		{ "files", ITEMS, 0, AT(bv_recipe, files), &file_section, NULL },
		{ "actions", ITEMS, 0, AT(bv_recipe, actions), &action_section, NULL },
		{ "login", SECTION, 0, 0, &login_section, NULL },
		{ "mappings", SECTION, 0, 0, &mappings_section, NULL },
		{ "environment", SECTION, 0, 0, &environment_section, NULL },
		{ "targets", SECTION, 0, 0, &targets_section, NULL },
		END,
	},
};

struct decoder {
	const char *name;
	const struct bv_subst *subst;
	struct bv_error *err;
};

static int no_memory(const struct decoder *d)
{
	return bv_fail(d->err, ENOMEM, "%s: out of memory", d->name);
}

static const struct field *find_field(const struct section *s, const char *key)
{
	for (const struct field *f = s->fields; f->key; f++)
		if (bv_streq(f->key, key))
			return f;
	return NULL;
}

static const char *nearest_key(const struct section *s, const char *key)
{
	const char *keys[32];
	size_t n = 0;
	for (const struct field *f = s->fields; f->key && n < ARRAY_SIZE(keys); f++)
		keys[n++] = f->key;
	return bv_nearest(key, keys, n);
}

static int unknown_key(const struct decoder *d, const struct section *s, const struct bv_yaml *node)
{
	const char *near = nearest_key(s, node->key);
	if (near)
		return bv_yaml_fail(d->name, node, d->err, "unknown key \"%s\"; did you mean \"%s\"?", node->key, near);

	autoclean(bv_buf_clear) struct bv_buf known = { 0 };
	for (const struct field *f = s->fields; f->key; f++)
		bv_buf_printf(&known, "%s%s", known.len ? " " : "", f->key);
	return bv_yaml_fail(d->name, node, d->err, "unknown key \"%s\"; known here: %s", node->key,
			    known.p ? known.p : "");
}

static int decode_flag(const struct decoder *d, const struct bv_yaml *node, bool *ret)
{
	*ret = bv_streq(node->text, "true");
	if (!*ret && !bv_streq(node->text, "false"))
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be true or false", node->key);
	return 0;
}

static int decode_mode(const struct decoder *d, const struct bv_yaml *node, mode_t *ret)
{
	size_t len = strlen(node->text);
	if (len < 3 || len > 5 || strspn(node->text, "01234567") != len || strtoul(node->text, NULL, 8) > 07777)
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be an octal mode like 0644", node->key);
	*ret = (mode_t)strtoul(node->text, NULL, 8);
	return 0;
}

static int decode_choice(const struct decoder *d, const struct bv_yaml *node, const struct field *f, int *ret)
{
	size_t n = 0;
	for (; f->choices[n]; n++) {
		if (bv_streq(node->text, f->choices[n])) {
			*ret = (int)n;
			return 0;
		}
	}
	autoclean(bv_buf_clear) struct bv_buf known = { 0 };
	for (size_t i = 0; i < n; i++)
		bv_buf_printf(&known, "%s%s", i ? ", " : "", f->choices[i]);
	return bv_yaml_fail(d->name, node, d->err, "\"%s\" cannot be \"%s\"; it is one of: %s", node->key, node->text,
			    known.p ? known.p : "");
}

static bool says(const struct bv_yaml *item, const char *key, const char *word)
{
	const struct bv_yaml *node = bv_yaml_get(item, key);
	return node && node->kind == BV_YAML_SCALAR && bv_streq(node->text, word);
}

/* `item` is the map that holds the text. 1: a look-up of an OPTIONAL field is empty. */
static int decode_text(const struct decoder *d, const struct bv_yaml *item, const struct bv_yaml *node,
		       const struct field *f, char **ret)
{
	bool per_instance = says(item, "generator", "template");
	bool expand = (f->flags & EXPAND) || per_instance;
	if (f->flags & EXPAND_IF)
		expand = expand || says(item, "templated", "true") || says(item, "pongo", "true");
	free(*ret);
	*ret = NULL;
	if (!expand) {
		*ret = strdup(node->text);
		return *ret ? 0 : no_memory(d);
	}

	struct bv_error inner = { 0 };
	bool instance_ok = (f->flags & INSTANCE) || (per_instance && (f->flags & EXPAND_IF));
	int r = bv_subst_expand(d->subst, node->text, instance_ok, ret, &inner);
	if (r == -ENODATA && (f->flags & OPTIONAL))
		return 1;
	if (r < 0)
		return bv_yaml_fail(d->name, node, d->err, "%s", inner.what);
	return 0;
}

static int decode_words(const struct decoder *d, const struct bv_yaml *node, struct bv_strv *ret)
{
	if (node->kind != BV_YAML_LIST)
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be a list", node->key);
	for (const struct bv_yaml *c = node->child; c; c = c->next) {
		if (c->kind != BV_YAML_SCALAR)
			return bv_yaml_fail(d->name, c, d->err, "\"%s\" must be a list of words", node->key);
		if (bv_strv_add(ret, c->text) < 0)
			return no_memory(d);
	}
	return 0;
}

static int decode_section(const struct decoder *d, const struct bv_yaml *node, const struct section *s, void *base);
static void clear_section(const struct section *s, void *base);

static int decode_items(const struct decoder *d, const struct bv_yaml *node, const struct section *s,
			struct bv_recipe_list *list)
{
	if (node->kind == BV_YAML_SCALAR && !*node->text && !node->quoted)
		return 0;
	if (node->kind != BV_YAML_LIST)
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be a list", node->key);
	size_t n = 0;
	for (const struct bv_yaml *c = node->child; c; c = c->next)
		n++;
	list->v = calloc(n ? n : 1, s->size);
	if (!list->v)
		return no_memory(d);
	for (const struct bv_yaml *c = node->child; c; c = c->next) {
		void *item = (char *)list->v + list->n++ * s->size;
		int r = decode_section(d, c, s, item);
		if (r < 0)
			return r;
		if (r > 0) {
			clear_section(s, item);
			memset(item, 0, s->size);
			list->n--;
		}
	}
	return 0;
}

static int decode_pairs(const struct decoder *d, const struct bv_yaml *node, struct bv_recipe_list *list)
{
	if (node->kind != BV_YAML_MAP)
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be a map", node->key);
	size_t n = 0;
	for (const struct bv_yaml *c = node->child; c; c = c->next)
		n++;
	struct bv_recipe_variable *v = calloc(n ? n : 1, sizeof(*v));
	if (!v)
		return no_memory(d);
	list->v = v;
	for (const struct bv_yaml *c = node->child; c; c = c->next) {
		if (c->kind != BV_YAML_SCALAR)
			return bv_yaml_fail(d->name, c, d->err, "\"%s\" must be a word", c->key);
		struct bv_recipe_variable *pair = &v[list->n++];
		pair->key = strdup(c->key);
		pair->value = strdup(c->text);
		if (!pair->key || !pair->value)
			return no_memory(d);
	}
	return 0;
}

static int decode_field(const struct decoder *d, const struct bv_yaml *item, const struct bv_yaml *node,
			const struct field *f, void *base)
{
	void *at = (char *)base + f->offset;
	bool scalar = f->kind <= CHOICE;
	if (scalar && node->kind != BV_YAML_SCALAR)
		return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be a single value", node->key);
	if (f->flags & IGNORED)
		return 0;
	switch (f->kind) {
	case TEXT:
		return decode_text(d, item, node, f, at);
	case FLAG:
		return decode_flag(d, node, at);
	case MODE:
		return decode_mode(d, node, at);
	case ID:
		if (bv_parse_u32(node->text, at) < 0)
			return bv_yaml_fail(d->name, node, d->err, "\"%s\" must be a number", node->key);
		return 0;
	case CHOICE:
		return decode_choice(d, node, f, at);
	case WORDS:
		return decode_words(d, node, at);
	case SECTION:
		return decode_section(d, node, f->section, base);
	case ITEMS:
		return decode_items(d, node, f->section, at);
	case PAIRS:
		return decode_pairs(d, node, at);
	}
	return 0;
}

/* 1: the item is to be left out. */
static int decode_section(const struct decoder *d, const struct bv_yaml *node, const struct section *s, void *base)
{
	if (node->kind == BV_YAML_SCALAR && !*node->text && !node->quoted && node->key)
		return 0;
	if (node->kind != BV_YAML_MAP)
		return bv_yaml_fail(d->name, node, d->err, "%s%s%s must be a map of keys", node->key ? "\"" : "",
				    node->key ? node->key : "this item", node->key ? "\"" : "");
	for (const struct field *f = s->fields; f->key; f++)
		if (f->kind == MODE)
			*(mode_t *)((char *)base + f->offset) = (mode_t)-1;

	bool leave_out = false;
	for (const struct bv_yaml *c = node->child; c; c = c->next) {
		const struct field *f = find_field(s, c->key);
		if (!f)
			return unknown_key(d, s, c);
		int r = decode_field(d, node, c, f, base);
		if (r < 0)
			return r;
		leave_out = leave_out || r > 0;
	}
	for (const struct field *f = s->fields; f->key; f++)
		if ((f->flags & REQUIRED) && !bv_yaml_get(node, f->key))
			return bv_yaml_fail(d->name, node, d->err, "\"%s\" is missing here", f->key);
	return leave_out;
}

static void clear_list(const struct section *s, struct bv_recipe_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		clear_section(s, (char *)list->v + i * s->size);
	free(list->v);
	*list = (struct bv_recipe_list){ 0 };
}

static void clear_section(const struct section *s, void *base)
{
	for (const struct field *f = s->fields; f->key; f++) {
		void *at = (char *)base + f->offset;
		if (f->flags & IGNORED)
			continue;
		if (f->kind == TEXT)
			free(*(char **)at);
		else if (f->kind == WORDS)
			bv_strv_clear(at);
		else if (f->kind == SECTION)
			clear_section(f->section, base);
		else if (f->kind == ITEMS || f->kind == PAIRS)
			clear_list(f->section, at);
	}
}

void bv_recipe_free(struct bv_recipe *recipe)
{
	if (!recipe)
		return;
	clear_section(&top_section, recipe);
	free(recipe->image.mapped);
	free(recipe);
}

void bv_recipe_freep(struct bv_recipe **recipe)
{
	bv_recipe_free(*recipe);
	*recipe = NULL;
}

/* Words that become arguments of programs and names in the cache. */
static int check_word(const struct decoder *d, const struct bv_yaml *root, const char *section, const char *key)
{
	const struct bv_yaml *node = bv_yaml_get(bv_yaml_get(root, section), key);
	if (!node || !*node->text)
		return 0;
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-";
	if (*node->text == '-' || *node->text == '.' || strspn(node->text, allowed) != strlen(node->text))
		return bv_yaml_fail(d->name, node, d->err, "%s.%s cannot be \"%s\"", section, key, node->text);
	return 0;
}

static int check_words(const struct decoder *d, const struct bv_yaml *root)
{
	static const char *const words[][2] = {
		{ "image", "distribution" }, { "image", "release" }, { "image", "architecture" },
		{ "image", "variant" },      { "source", "variant" }, { "login", "user" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		int r = check_word(d, root, words[i][0], words[i][1]);
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *mapped_architecture(const struct bv_yaml *root, const char *arch)
{
	const struct bv_yaml *map = bv_yaml_get(bv_yaml_get(root, "mappings"), "architectures");
	const struct bv_yaml *own = bv_yaml_get(map, arch);
	if (!own)
		own = bv_yaml_get(map, bv_arch_machine(arch));
	return own && own->text ? own->text : bv_arch_debian(arch);
}

static int set_default(char **field, const char *value)
{
	if (*field && **field)
		return 0;
	free(*field);
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int fill_defaults(const struct decoder *d, struct bv_recipe *r, const char *mapped)
{
	r->image.mapped = strdup(mapped);
	if (!r->image.mapped || set_default(&r->image.variant, "default") < 0 ||
	    set_default(&r->image.expiry, "30d") < 0 || set_default(&r->source.variant, "minbase") < 0 ||
	    set_default(&r->source.suite, r->image.release) < 0 || set_default(&r->login.user, "root") < 0 ||
	    set_default(&r->login.shell, "/bin/bash") < 0 ||
	    (r->source.components.n == 0 && bv_strv_add(&r->source.components, "main") < 0))
		return no_memory(d);
	int64_t seconds;
	if (bv_recipe_expiry(r->image.expiry, &seconds) < 0)
		return bv_fail(d->err, EINVAL, "%s: image.expiry cannot be \"%s\"; it is a time like 30d or 12h",
			       d->name, r->image.expiry);
	return 0;
}

int bv_recipe_decode(struct bv_recipe **ret, struct bv_yaml *root, const char *name,
		     const struct bv_recipe_values *values, struct bv_error *err)
{
	const struct bv_yaml *image = bv_yaml_get(root, "image"), *login = bv_yaml_get(root, "login");
	const struct bv_yaml *arch = bv_yaml_get(image, "architecture"), *user = bv_yaml_get(login, "user");
	struct bv_subst subst = {
		.root = root,
		.mapped = mapped_architecture(root, arch && arch->text ? arch->text : ""),
		.instance = values->instance,
		.user = user && user->text && *user->text ? user->text : "root",
		.password = values->password,
	};
	struct decoder d = { .name = name, .subst = &subst, .err = err };

	autoclean(bv_recipe_freep) struct bv_recipe *recipe = calloc(1, sizeof(*recipe));
	if (!recipe)
		return no_memory(&d);
	recipe->type = values->type ? values->type : "container";
	int r = decode_section(&d, root, &top_section, recipe);
	if (r >= 0)
		r = check_words(&d, root);
	if (r >= 0)
		r = fill_defaults(&d, recipe, subst.mapped);
	if (r < 0)
		return r;
	*ret = take_ptr(recipe);
	return 0;
}

/* Call `fn` with the dotted path of every scalar outside of lists. */
static void each_scalar(const struct section *s, const char *prefix, void (*fn)(void *, const char *), void *data)
{
	for (const struct field *f = s->fields; f->key; f++) {
		autofree char *path = bv_asprintf("%s%s%s", prefix, *prefix ? "." : "", f->key);
		if (!path)
			return;
		if (f->kind == SECTION)
			each_scalar(f->section, path, fn, data);
		else if (f->kind <= CHOICE)
			fn(data, path);
	}
}

static void collect(void *data, const char *path)
{
	bv_strv_add(data, path);
}

bool bv_recipe_key_known(const char *path, char **nearest)
{
	autoclean(bv_strv_clear) struct bv_strv all = { 0 };
	each_scalar(&top_section, "", collect, &all);
	if (bv_strv_has(&all, path))
		return true;
	const char *near = bv_nearest(path, (const char *const *)all.v, all.n);
	*nearest = near ? strdup(near) : NULL;
	return false;
}
