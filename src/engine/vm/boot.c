/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/boot.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/num.h"

/* The one list of keys, for both directions. A list's key stands once for each of its members. */
enum kind { TEXT, LIST, FLAG, NUMBER, ID };

static const struct key {
	const char *name;
	enum kind kind;
	size_t offset;
} keys[] = {
	{ "root.type", TEXT, offsetof(struct bv_boot, root_type) },
	{ "root.source", TEXT, offsetof(struct bv_boot, root_source) },
	{ "root.options", TEXT, offsetof(struct bv_boot, root_options) },
	{ "root.readonly", FLAG, offsetof(struct bv_boot, root_readonly) },
	{ "console", TEXT, offsetof(struct bv_boot, console) },
	{ "ttys", NUMBER, offsetof(struct bv_boot, ttys) },
	{ "execute", FLAG, offsetof(struct bv_boot, execute) },
	{ "uid", ID, offsetof(struct bv_boot, uid) },
	{ "gid", ID, offsetof(struct bv_boot, gid) },
	{ "command", LIST, offsetof(struct bv_boot, command) },
	{ "mount", LIST, offsetof(struct bv_boot, mounts) },
	{ "share.type", TEXT, offsetof(struct bv_boot, share_type) },
	{ "share.source", TEXT, offsetof(struct bv_boot, share_source) },
	{ "share.options", TEXT, offsetof(struct bv_boot, share_options) },
};

/* ---- written ---- */

static void put_value(struct bv_buf *b, const char *name, const char *value)
{
	bv_buf_puts(b, name);
	bv_buf_putc(b, ' ');
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;
		if (c < ' ' || c == 0x7f || c == '\\')
			bv_buf_printf(b, "\\%03o", c);
		else
			bv_buf_putc(b, *value);
	}
	bv_buf_putc(b, '\n');
}

static void put_key(struct bv_buf *b, const struct key *k, const void *field)
{
	switch (k->kind) {
	case TEXT:
		if (*(char *const *)field)
			put_value(b, k->name, *(char *const *)field);
		return;
	case LIST: {
		const struct bv_strv *list = field;
		for (size_t i = 0; i < list->n; i++)
			put_value(b, k->name, list->v[i]);
		return;
	}
	case FLAG:
		bv_buf_printf(b, "%s %d\n", k->name, *(const bool *)field);
		return;
	case NUMBER:
		bv_buf_printf(b, "%s %u\n", k->name, *(const uint32_t *)field);
		return;
	case ID:
		bv_buf_printf(b, "%s %lld\n", k->name, (long long)*(const int64_t *)field);
		return;
	}
}

char *bv_boot_format(const struct bv_boot *boot)
{
	struct bv_buf b = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		put_key(&b, &keys[i], (const char *)boot + keys[i].offset);
	return bv_buf_take(&b);
}

/* ---- read ---- */

/* \ooo back to the byte, in place; false when a backslash stands for nothing. */
static bool decode(char *s)
{
	char *to = s;
	while (*s) {
		if (*s != '\\') {
			*to++ = *s++;
			continue;
		}
		unsigned int value = 0;
		for (int i = 1; i <= 3; i++) {
			if (s[i] < '0' || s[i] > '7')
				return false;
			value = value * 8 + (unsigned int)(s[i] - '0');
		}
		if (value == 0 || value > UINT8_MAX)
			return false;
		*to++ = (char)value;
		s += 4;
	}
	*to = '\0';
	return true;
}

static int take_text(char **field, char *value)
{
	if (*field)
		return -EEXIST;
	if (!decode(value))
		return -EINVAL;
	*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int take_flag(bool *field, const char *value)
{
	int flag;
	int r = bv_parse_bool(value, &flag);
	if (r == 0)
		*field = flag;
	return r;
}

static int take_id(int64_t *field, const char *value)
{
	int64_t id;
	int r = bv_parse_i64(value, &id);
	if (r < 0)
		return r;
	/* -1 is "unset"; the kernel has no id of 32 ones. */
	if (id < -1 || id >= UINT32_MAX)
		return -ERANGE;
	*field = id;
	return 0;
}

static int take_value(const struct key *k, void *field, char *value)
{
	switch (k->kind) {
	case TEXT:
		return take_text(field, value);
	case LIST:
		return decode(value) ? bv_strv_add(field, value) : -EINVAL;
	case FLAG:
		return take_flag(field, value);
	case NUMBER:
		return bv_parse_u32(value, field);
	case ID:
		return take_id(field, value);
	}
	return -EINVAL;
}

static int take_line(struct bv_boot *boot, char *line, unsigned int number, struct bv_error *err)
{
	char *value = line;
	const char *name = strsep(&value, " ");
	if (!value)
		return bv_fail(err, EINVAL, "/boot:%u: \"%s\" is not \"key value\"", number, line);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!bv_streq(keys[i].name, name))
			continue;
		int r = take_value(&keys[i], (char *)boot + keys[i].offset, value);
		if (r == -ENOMEM)
			return bv_fail(err, r, "out of memory");
		if (r == -EEXIST)
			return bv_fail(err, EINVAL, "/boot:%u: %s is there twice", number, name);
		return r < 0 ? bv_fail(err, EINVAL, "/boot:%u: \"%s\" is no value for %s", number, value, name) : 0;
	}
	bv_fail(err, EINVAL, "/boot:%u: there is no key \"%s\"", number, name);
	return bv_hint(err, "the guest's program and the commands on the host are not of the same build");
}

int bv_boot_parse(struct bv_boot *ret, const char *text, struct bv_error *err)
{
	*ret = (struct bv_boot){ .uid = -1, .gid = -1 };
	autofree char *copy = strdup(text);
	if (!copy)
		return bv_fail(err, ENOMEM, "out of memory");
	char *rest = copy, *line;
	unsigned int number = 0;
	int r = 0;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		number++;
		if (*line)
			r = take_line(ret, line, number, err);
	}
	if (r == 0 && (!ret->root_type || !ret->root_source))
		r = bv_fail(err, EINVAL, "/boot: it does not say what the root file system is");
	if (r < 0)
		bv_boot_clear(ret);
	return r;
}

void bv_boot_clear(struct bv_boot *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		void *field = (char *)b + keys[i].offset;
		if (keys[i].kind == TEXT)
			free(*(char **)field);
		if (keys[i].kind == LIST)
			bv_strv_clear(field);
	}
	*b = (struct bv_boot){ .uid = -1, .gid = -1 };
}
