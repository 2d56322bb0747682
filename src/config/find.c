/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "util/cleanup.h"

/* Finding keys by name, and printing the key tables. */

/* The row whose name is the first `len` bytes of `name`. */
static const struct bv_key *find_row(const struct bv_key *keys, size_t n, const char *name, size_t len)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strncmp(name, keys[middle].name, len);
		if (order == 0 && keys[middle].name[len] != '\0')
			order = -1;
		if (order == 0)
			return &keys[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool bv_key_nic(const char *name, unsigned int *index, const char **rest)
{
	const char *s = bv_after(name, "lxc.net.");
	unsigned long v = 0;
	if (!s || !isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s); s++) {
		v = v * 10 + (unsigned long)(*s - '0');
		if (v > INT_MAX)
			return false;
	}
	if (*s && (*s != '.' || !s[1]))
		return false;
	*index = (unsigned int)v;
	*rest = *s ? s + 1 : s;
	return true;
}

bool bv_key_find(struct bv_key_path *path, const char *name)
{
	const char *rest;
	*path = (struct bv_key_path){ 0 };
	if (bv_key_nic(name, &path->index, &rest)) {
		path->is_nic = true;
		path->key = *rest ? find_row(bv_nic_keys, bv_n_nic_keys, rest, strlen(rest)) : NULL;
		return !*rest || path->key;
	}

	path->key = find_row(bv_config_keys, bv_config_n_keys, name, strlen(name));
	if (path->key)
		return true;
	/* No family has more than three words in its name. */
	const char *dot = strchr(name, '.');
	for (int words = 1; dot && words <= 3; words++, dot = strchr(dot + 1, '.')) {
		path->key = find_row(bv_config_keys, bv_config_n_keys, name, (size_t)(dot - name));
		if (path->key && (path->key->flags & BV_KEY_FAMILY)) {
			path->sub = dot + 1;
			return dot[1] != '\0';
		}
	}
	path->key = NULL;
	return false;
}

int bv_key_unknown(const char *name, int code, struct bv_error *err)
{
	const char *names[256], *near, *rest;
	unsigned int index;
	size_t n = 0;
	int r;

	if (bv_key_nic(name, &index, &rest)) {
		r = bv_fail(err, code, "there is no key \"%s\"", name);
		for (size_t i = 0; i < bv_n_nic_keys && n < ARRAY_SIZE(names); i++)
			names[n++] = bv_nic_keys[i].name;
		near = bv_nearest(rest, names, n);
		if (near)
			bv_hint(err, "did you mean lxc.net.%u.%s?", index, near);
	} else {
		r = bv_fail(err, code, "there is no key \"%s\"", name);
		for (size_t i = 0; i < bv_config_n_keys && n < ARRAY_SIZE(names); i++)
			names[n++] = bv_config_keys[i].name;
		near = bv_nearest(name, names, n);
		if (near)
			bv_hint(err, "did you mean %s?", near);
	}
	bv_hint(err, "lxc.container.conf(5) has all keys");
	return r;
}

/* Text for mdoc: a new line for each sentence and before column 78, none that begins with what mdoc would read. */
static void print_text(FILE *out, const char *text)
{
	size_t column = 0;
	bool ended = false;
	while (*text) {
		size_t n = strcspn(text, " ");
		if (column > 0 && (column + n > 78 || (ended && isupper((unsigned char)*text)))) {
			putc('\n', out);
			column = 0;
		}
		const char *before = column > 0 ? " " : *text == '.' || *text == '\'' ? "\\&" : "";
		column += (size_t)fprintf(out, "%s%.*s", before, (int)n, text);
		ended = n > 0 && text[n - 1] == '.';
		text += n + (text[n] == ' ');
	}
	putc('\n', out);
}

static void print_row(FILE *out, const char *prefix, const struct bv_key *key)
{
	fprintf(out, ".It Sy %s%s%s\n", prefix, key->name, key->flags & BV_KEY_FAMILY ? ".NAME" : "");
	if (key->grammar && key->grammar[0])
		fprintf(out, "Value: %s\n.br\n", key->grammar);
	print_text(out, key->text);
}

static void print_man(FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		print_row(out, "", &bv_config_keys[i]);
		for (size_t j = 0; bv_config_keys[i].type == &bv_type_net && j < bv_n_nic_keys; j++)
			print_row(out, "lxc.net.N.", &bv_nic_keys[j]);
	}
	fputs(".El\n", out);
}

static void print_names(FILE *out)
{
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		fprintf(out, "%s\n", bv_config_keys[i].name);
		for (size_t j = 0; bv_config_keys[i].type == &bv_type_net && j < bv_n_nic_keys; j++)
			fprintf(out, "lxc.net.0.%s\n", bv_nic_keys[j].name);
	}
}

int bv_config_print_keys(FILE *out, const char *what)
{
	if (bv_streq(what, "man"))
		print_man(out);
	else if (bv_streq(what, "names"))
		print_names(out);
	else if (bv_streq(what, "legacy"))
		bv_legacy_print(out);
	else
		return -EINVAL;
	return ferror(out) ? -EIO : 0;
}
