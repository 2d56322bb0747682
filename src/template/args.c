/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "template/job.h"
#include "util/cleanup.h"

const char bv_recipe_args_help[] =
	"Options:\n"
	"  -r, --release=RELEASE     the release to install\n"
	"  -a, --arch=ARCH           its architecture (this host's)\n"
	"      --variant=VARIANT     a variant that the recipe knows\n"
	"      --type=TYPE           take the items of the recipe for \"container\" (default) or \"vm\"\n"
	"      --mirror=URL          where packages come from (what this host's apt uses)\n"
	"      --security-mirror=URL where security updates come from; none: nowhere\n"
	"      --keyring=FILE        the keys that sign them\n"
	"      --packages=A,B        more packages to install\n"
	"      --password=PASSWORD   of the user who can log in (a random one, told at the end)\n"
	"  -S, --auth-key=FILE       a public key for ssh to let in\n"
	"  -F, --flush-cache         build anew, not from the cache\n"
	"  -c, --clean               empty the cache of this distribution and create nothing\n"
	"  -o KEY=VALUE              set a key of the recipe, like image.release=trixie\n"
	"      --print               print the recipe as it would be built and create nothing\n"
	"      --validate            check it and create nothing\n"
	"  -h, --help                print this help and create nothing\n";

enum kind { VALUE, WORD_LIST, FLAG, OVERRIDE, KEY };

/* The table of options. `key` is what a KEY option sets. */
static const struct option {
	const char *name;
	char letter;
	enum kind kind;
	size_t offset;
	const char *key;
} options[] = {
	{ "release", 'r', KEY, 0, "image.release" },
	{ "arch", 'a', KEY, 0, "image.architecture" },
	{ "variant", 0, KEY, 0, "image.variant" },
	{ "type", 0, VALUE, offsetof(struct bv_recipe_args, type), NULL },
	{ "mirror", 0, VALUE, offsetof(struct bv_recipe_args, mirror), NULL },
	{ "security-mirror", 0, VALUE, offsetof(struct bv_recipe_args, security_mirror), NULL },
	{ "keyring", 0, VALUE, offsetof(struct bv_recipe_args, keyring), NULL },
	{ "packages", 0, WORD_LIST, offsetof(struct bv_recipe_args, packages), NULL },
	{ "password", 0, VALUE, offsetof(struct bv_recipe_args, password), NULL },
	{ "auth-key", 'S', VALUE, offsetof(struct bv_recipe_args, auth_key), NULL },
	{ "flush-cache", 'F', FLAG, offsetof(struct bv_recipe_args, flush_cache), NULL },
	{ "clean", 'c', FLAG, offsetof(struct bv_recipe_args, clean), NULL },
	{ "option", 'o', OVERRIDE, 0, NULL },
	{ "print", 0, FLAG, offsetof(struct bv_recipe_args, print), NULL },
	{ "validate", 0, FLAG, offsetof(struct bv_recipe_args, validate), NULL },
	{ "help", 'h', FLAG, offsetof(struct bv_recipe_args, help), NULL },
};

void bv_recipe_args_clear(struct bv_recipe_args *a)
{
	free(a->mirror);
	free(a->security_mirror);
	free(a->keyring);
	free(a->auth_key);
	free(a->password);
	free(a->type);
	bv_strv_clear(&a->packages);
	bv_strv_clear(&a->overrides);
	*a = (struct bv_recipe_args){ 0 };
}

/* The option that `arg` names; *value is what stands in the same word. */
static const struct option *find_option(const char *arg, const char **value)
{
	*value = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *o = &options[i];
		if (arg[1] != '-') {
			if (!o->letter || arg[1] != o->letter)
				continue;
			if (arg[2])
				*value = arg + 2;
			return o;
		}
		const char *rest = bv_after(arg + 2, o->name);
		if (rest && (*rest == '\0' || *rest == '=')) {
			if (*rest)
				*value = rest + 1;
			return o;
		}
	}
	return NULL;
}

static int unknown(const char *arg, struct bv_error *err)
{
	const char *names[ARRAY_SIZE(options)];
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		names[i] = options[i].name;
	const char *near = arg[0] == '-' && arg[1] == '-' ? bv_nearest(arg + 2, names, ARRAY_SIZE(options)) : NULL;
	bv_fail(err, EINVAL, "the template does not know \"%s\"", arg);
	return near ? bv_hint(err, "did you mean --%s?", near) :
		      bv_hint(err, "lxc-create -t TEMPLATE -h lists its options");
}

static int take(struct bv_recipe_args *a, const struct option *o, const char *value)
{
	void *at = (char *)a + o->offset;
	switch (o->kind) {
	case FLAG:
		*(bool *)at = true;
		return 0;
	case VALUE:
		free(*(char **)at);
		*(char **)at = strdup(value);
		return *(char **)at ? 0 : -ENOMEM;
	case WORD_LIST:
		return bv_strv_split(at, value, ", ");
	case KEY:
		return bv_strv_addf(&a->overrides, "%s=%s", o->key, value);
	case OVERRIDE:
		return bv_strv_add(&a->overrides, value);
	}
	return 0;
}

int bv_recipe_args_parse(struct bv_recipe_args *a, char *const *args, struct bv_error *err)
{
	for (size_t i = 0; args && args[i]; i++) {
		const char *value, *arg = args[i];
		const struct option *o = arg[0] == '-' && arg[1] ? find_option(arg, &value) : NULL;
		if (!o)
			return unknown(arg, err);
		if (o->kind == FLAG) {
			if (value)
				return bv_fail(err, EINVAL, "--%s takes no value", o->name);
		} else if (!value) {
			value = args[++i];
			if (!value)
				return bv_fail(err, EINVAL, "%s needs a value", arg);
		}
		if (take(a, o, value) < 0)
			return bv_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}
