/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <string.h>

#include "util/cleanup.h"

/* Writing a config as text that parses back into the same config. */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

void bv_dump_line(struct bv_buf *out, const char *name, const char *value)
{
	size_t n = strlen(value);
	bool in_quotes = n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0];
	const char *quote = n > 0 && (in_quotes || is_blank(value[0]) || is_blank(value[n - 1])) ? "\"" : "";

	bv_buf_puts(out, name);
	bv_buf_puts(out, n > 0 ? " = " : " =");
	bv_buf_puts(out, quote);
	bv_buf_add(out, value, n);
	bv_buf_puts(out, quote);
	bv_buf_putc(out, '\n');
}

void bv_dump_key(const struct bv_key_ref *r, const struct bv_key_ref *d, const char *name, struct bv_buf *out)
{
	const struct bv_key_type *type = r->key->type;
	if (type->dump) {
		type->dump(r, name, out);
	} else if (memcmp(bv_key_field(r), bv_key_field(d), type->size) != 0) {
		autoclean(bv_buf_clear) struct bv_buf value = { 0 };
		type->get(r, &value);
		out->bad |= value.bad;
		if (value.len > 0)
			bv_dump_line(out, name, value.p);
	}
}

void bv_dump_below(struct bv_config *cfg, const char *prefix, struct bv_buf *out)
{
	autoclean(bv_config_freep) struct bv_config *fresh = bv_config_new();
	size_t n = strlen(prefix);

	if (!fresh) {
		out->bad = true;
		return;
	}
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		const struct bv_key *key = &bv_config_keys[i];
		if (n > 0 && (strncmp(key->name, prefix, n) != 0 || key->name[n] != '.'))
			continue;
		struct bv_key_ref r = { .key = key, .cfg = cfg }, d = { .key = key, .cfg = fresh };
		bv_dump_key(&r, &d, key->name, out);
	}
}

char *bv_config_dump(const struct bv_config *cfg)
{
	struct bv_buf out = { 0 };
	bv_dump_below((struct bv_config *)cfg, "", &out);
	return bv_buf_take(&out);
}
