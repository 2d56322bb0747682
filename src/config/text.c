/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/*
 * The text of the config file as it was read, and the edits that bv_config_set makes in it. A line is known by the
 * canonical name of its key, so that a new value replaces a line that has a legacy name.
 */

struct bv_config_text *bv_text_new(void)
{
	struct bv_config_text *text = calloc(1, sizeof(*text));
	if (text)
		text->legacy_nic = -1;
	return text;
}

void bv_text_free(struct bv_config_text *text)
{
	if (!text)
		return;
	bv_buf_clear(&text->buf);
	free(text->legacy_nics);
	free(text->backend);
	free(text);
}

char *bv_config_save_text(const struct bv_config *cfg)
{
	const struct bv_buf *buf = &cfg->text->buf;
	return buf->bad ? NULL : strndup(buf->len ? buf->p : "", buf->len);
}

/* Walks the lines of a text. */
struct cursor {
	const char *line, *end;	    /* the line, and the end of the text */
	size_t len;		    /* of the line, its newline included */
	size_t unindexed;	    /* lines with lxc.network.X seen so far */
	bool is_key, is_empty;	    /* a line of ours; with an empty value */
	char name[BV_KEY_NAME_MAX]; /* its canonical name */
	const struct bv_config_text *text;
};

static void cursor_begin(struct cursor *c, const struct bv_config_text *text)
{
	const char *start = text->buf.len ? text->buf.p : "";
	*c = (struct cursor){ .text = text, .line = start, .end = start + text->buf.len };
}

static void cursor_read_key(struct cursor *c)
{
	struct bv_line parts;
	struct bv_key_path path;
	bool unindexed;
	char key[BV_KEY_NAME_MAX];
	size_t n = c->len - (c->line[c->len - 1] == '\n');

	c->is_key = false;
	bv_parse_split(&parts, c->line, n);
	if (!bv_parse_is_ours(&parts) || !parts.value || parts.key_len >= sizeof(key))
		return;
	memcpy(key, parts.key, parts.key_len);
	key[parts.key_len] = '\0';
	c->is_key = true;
	c->is_empty = parts.value_len == 0;
	snprintf(c->name, sizeof(c->name), "%s", key);
	if (bv_key_find(&path, key))
		return;
	int64_t nic = c->unindexed < c->text->n_legacy_nics ? (int64_t)c->text->legacy_nics[c->unindexed] : -1;
	if (bv_legacy_translate(key, nic, c->name, sizeof(c->name), &unindexed) == BV_LEGACY_BACKEND)
		snprintf(c->name, sizeof(c->name), "lxc.rootfs.path");
	c->unindexed += unindexed;
}

static bool cursor_next(struct cursor *c)
{
	c->line += c->len;
	if (c->line >= c->end)
		return false;
	const char *newline = memchr(c->line, '\n', (size_t)(c->end - c->line));
	c->len = (size_t)((newline ? newline + 1 : c->end) - c->line);
	cursor_read_key(c);
	return true;
}

static bool is_below(const char *name, const char *parent)
{
	const char *rest = bv_after(name, parent);
	return rest && (*rest == '\0' || *rest == '.');
}

/* A key whose lines go when `name` is set: itself, and after a new link type the keys of the other types. */
static bool is_replaced(const char *line, const char *name, const char *value)
{
	unsigned int index, line_index;
	const char *rest, *line_rest;
	if (bv_streq(line, name))
		return true;
	if (!bv_key_nic(name, &index, &rest) || !bv_streq(rest, "type") || !bv_key_nic(line, &line_index, &line_rest) ||
	    index != line_index)
		return false;
	for (size_t i = 0; i < bv_n_nic_keys; i++)
		if (bv_nic_keys[i].link_type && bv_streq(bv_nic_keys[i].name, line_rest))
			return !bv_streq(bv_net_type_name(bv_nic_keys[i].link_type), value);
	return false;
}

/*
 * Lines with lxc.network.X belong to the nic before them: as soon as one of them is edited the others would belong to
 * another one. So all of them get their index first.
 */
static int index_legacy_lines(struct bv_config_text *text)
{
	struct cursor c;
	struct bv_buf out = { 0 };

	if (text->n_legacy_nics == 0)
		return 0;
	cursor_begin(&c, text);
	for (size_t before = 0; cursor_next(&c); before = c.unindexed) {
		const char *equals = memchr(c.line, '=', c.len);
		if (c.unindexed == before || !equals) {
			bv_buf_add(&out, c.line, c.len);
			continue;
		}
		bv_buf_puts(&out, c.name);
		bv_buf_putc(&out, ' ');
		bv_buf_add(&out, equals, (size_t)(c.line + c.len - equals));
	}
	if (out.bad) {
		bv_buf_clear(&out);
		return -ENOMEM;
	}
	bv_buf_clear(&text->buf);
	text->buf = out;
	free(text->legacy_nics);
	text->legacy_nics = NULL;
	text->n_legacy_nics = 0;
	return 0;
}

static int replace_text(struct bv_config_text *text, struct bv_buf *out)
{
	if (out->bad) {
		bv_buf_clear(out);
		return -ENOMEM;
	}
	bv_buf_clear(&text->buf);
	text->buf = *out;
	return 0;
}

/*
 * The number of the line at which a new value has its place: the last one with that key (or of the family `after`, in
 * which the order counts), as long as nothing behind it could undo it: an include, an empty line of a key above.
 * SIZE_MAX: it has to go to the end.
 */
static size_t find_place(const struct bv_config_text *text, const char *name, const char *after)
{
	struct cursor c;
	size_t place = SIZE_MAX;
	cursor_begin(&c, text);
	for (size_t i = 0; cursor_next(&c); i++) {
		if (!c.is_key)
			continue;
		if (bv_streq(c.name, name) || (after && is_below(c.name, after)))
			place = i;
		else if (bv_streq(c.name, "lxc.include") || (c.is_empty && is_below(name, c.name)))
			place = SIZE_MAX;
	}
	return place;
}

static void end_line(struct bv_buf *out)
{
	if (out->len > 0 && out->p[out->len - 1] != '\n')
		bv_buf_putc(out, '\n');
}

int bv_text_set(struct bv_config_text *text, const char *name, const char *value, bool append, const char *after)
{
	struct cursor c;
	struct bv_buf out = { 0 };
	if (is_below(name, "lxc.net") && index_legacy_lines(text) < 0)
		return -ENOMEM;

	/* A file that is included again does its work again: no line of it can be replaced. */
	size_t place = bv_streq(name, "lxc.include") ? SIZE_MAX : find_place(text, name, after);
	cursor_begin(&c, text);
	for (size_t i = 0; cursor_next(&c); i++) {
		if (append || !c.is_key || !is_replaced(c.name, name, value))
			bv_buf_add(&out, c.line, c.len);
		if (i == place) {
			end_line(&out);
			bv_dump_line(&out, name, value);
		}
	}
	if (place == SIZE_MAX) {
		end_line(&out);
		bv_dump_line(&out, name, value);
	}
	return replace_text(text, &out);
}

int bv_text_clear(struct bv_config_text *text, const char *name)
{
	struct cursor c;
	struct bv_buf out = { 0 };
	bool includes = false;
	if (is_below(name, "lxc.net") && index_legacy_lines(text) < 0)
		return -ENOMEM;

	cursor_begin(&c, text);
	while (cursor_next(&c)) {
		includes |= c.is_key && bv_streq(c.name, "lxc.include");
		if (!c.is_key || !is_below(c.name, name))
			bv_buf_add(&out, c.line, c.len);
	}
	/* What an included file sets has to be undone behind it. */
	if (includes) {
		end_line(&out);
		bv_dump_line(&out, name, "");
	}
	return replace_text(text, &out);
}
