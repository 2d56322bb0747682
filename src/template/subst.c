/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/subst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

static int of_instance(const struct bv_subst *s, const char *key, bool ok, const char **ret, struct bv_error *err)
{
	const struct {
		const char *key, *value;
	} values[] = {
		{ "instance.name", s->instance },
		{ "login.user", s->user },
		{ "login.password", s->password },
	};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		if (!bv_streq(values[i].key, key))
			continue;
		if (!ok)
			return bv_fail(err, EINVAL,
				       "{{ %s }} belongs to one instance: use it in a file of generator "
				       "\"template\" or in targets", key);
		*ret = values[i].value;
		return 1;
	}
	return 0;
}

/* A value of the recipe. A list stands for its words with blanks between. */
static int of_recipe(const struct bv_subst *s, const char *key, struct bv_buf *out)
{
	const char *dot = strchr(key, '.');
	if (!dot)
		return -ENOENT;
	autofree char *section = strndup(key, (size_t)(dot - key));
	if (!section)
		return -ENOMEM;
	if (!bv_streq(section, "image") && !bv_streq(section, "source"))
		return -ENOENT;
	const struct bv_yaml *node = bv_yaml_get(bv_yaml_get(s->root, section), dot + 1);
	static const char *const known[] = { "variant", "description", "name",	  "serial", "expiry",  "url",
					     "security_url", "keyring", "suite", "same_as", "architecture" };
	if (!node) {
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			if (bv_streq(known[i], dot + 1))
				return -ENODATA;
		return -ENOENT;
	}
	if (node->kind == BV_YAML_SCALAR) {
		if (!*node->text)
			return -ENODATA;
		bv_buf_puts(out, node->text);
		return 0;
	}
	for (const struct bv_yaml *c = node->kind == BV_YAML_LIST ? node->child : NULL; c; c = c->next)
		if (c->kind == BV_YAML_SCALAR)
			bv_buf_printf(out, "%s%s", c == node->child ? "" : " ", c->text);
	return 0;
}

static int look_up(const struct bv_subst *s, const char *key, bool instance_ok, struct bv_buf *out,
		   struct bv_error *err)
{
	const char *value = NULL;
	int r = of_instance(s, key, instance_ok, &value, err);
	if (r < 0)
		return r;
	if (r == 0 && bv_streq(key, "image.architecture_mapped")) {
		value = s->mapped;
		r = 1;
	}
	if (r > 0) {
		if (!value || !*value)
			return bv_fail(err, ENODATA, "{{ %s }} has no value", key);
		bv_buf_puts(out, value);
		return 0;
	}
	r = of_recipe(s, key, out);
	if (r == -ENODATA)
		return bv_fail(err, ENODATA, "{{ %s }} has no value", key);
	if (r < 0)
		return bv_fail(err, r, "{{ %s }} is not a key of this recipe", key);
	return 0;
}

int bv_subst_expand(const struct bv_subst *s, const char *text, bool instance_ok, char **ret, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf out = { 0 };

	if (strstr(text, "{%"))
		return bv_fail(err, EINVAL, "\"{%%\": a recipe knows look-ups like {{ image.release }}, and no logic");
	for (;;) {
		const char *open = strstr(text, "{{");
		if (!open)
			break;
		const char *close = strstr(open, "}}");
		if (!close)
			return bv_fail(err, EINVAL, "\"{{\" is not closed");
		autofree char *copy = strndup(open + 2, (size_t)(close - open) - 2);
		if (!copy)
			return bv_fail(err, ENOMEM, "out of memory");
		bv_buf_add(&out, text, (size_t)(open - text));
		int r = look_up(s, bv_strip(copy), instance_ok, &out, err);
		if (r < 0)
			return r;
		text = close + 2;
	}
	bv_buf_puts(&out, text);
	*ret = bv_buf_take(&out);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}
