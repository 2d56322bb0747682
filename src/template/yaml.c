/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "util/cleanup.h"

/* libyaml reads keys of up to 1024 characters; written with escapes, one must still be a key. */
enum { KEY_LENGTH_MAX = 128 };

struct reader {
	yaml_parser_t parser;
	const char *name;
	size_t nodes;
	struct bv_error *err;
};

void bv_yaml_free(struct bv_yaml *node)
{
	while (node) {
		struct bv_yaml *next = node->next;
		bv_yaml_free(node->child); /* at most BV_YAML_DEPTH_MAX levels */
		free(node->key);
		free(node->text);
		free(node);
		node = next;
	}
}

void bv_yaml_freep(struct bv_yaml **node)
{
	bv_yaml_free(*node);
	*node = NULL;
}

struct bv_yaml *bv_yaml_get(const struct bv_yaml *map, const char *key)
{
	if (!map || map->kind != BV_YAML_MAP)
		return NULL;
	for (struct bv_yaml *c = map->child; c; c = c->next)
		if (bv_streq(c->key, key))
			return c;
	return NULL;
}

__attribute__((format(printf, 5, 6)))
static int fail_at(const char *name, size_t line, size_t column, struct bv_error *err, const char *fmt, ...)
{
	struct bv_error inner = { 0 };
	va_list ap;
	va_start(ap, fmt);
	bv_failv(&inner, EINVAL, fmt, ap);
	va_end(ap);
	return bv_fail(err, EINVAL, "%s:%zu:%zu: %s", name, line, column, inner.what);
}

int bv_yaml_fail(const char *name, const struct bv_yaml *at, struct bv_error *err, const char *fmt, ...)
{
	struct bv_error inner = { 0 };
	va_list ap;
	va_start(ap, fmt);
	bv_failv(&inner, EINVAL, fmt, ap);
	va_end(ap);
	return bv_fail(err, EINVAL, "%s:%u:%u: %s", name, at->line, at->column, inner.what);
}

static int fail_mark(const struct reader *r, const yaml_mark_t *mark, const char *what)
{
	return fail_at(r->name, mark->line + 1, mark->column + 1, r->err, "%s", what);
}

/* Length of the UTF-8 sequence at p (Unicode 15, table 3-7), 0 when it is not one. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t length;
	} forms[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		size_t n = forms[i].length;
		if (n > left || (n > 1 && (p[1] < forms[i].low || p[1] > forms[i].high)))
			return 0;
		for (size_t k = 2; k < n; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return n;
	}
	return 0;
}

static int check_text(const char *text, size_t len, const char *name, struct bv_error *err)
{
	if (len > BV_YAML_SIZE_MAX)
		return bv_fail(err, EFBIG, "%s: larger than 1 MiB", name);

	size_t line = 1, column = 1;
	const unsigned char *p = (const unsigned char *)text;
	for (size_t i = 0, n; i < len; i += n, column++) {
		n = utf8_length(p + i, len - i);
		if (n == 0)
			return fail_at(name, line, column, err, "not UTF-8");
		if (n == 3 && memcmp(p + i, "\xef\xbb\xbf", 3) == 0)
			return fail_at(name, line, column, err, "a byte order mark does not belong here");
		if (p[i] == 0x7f || (p[i] < ' ' && p[i] != '\n' && p[i] != '\t' && p[i] != '\r'))
			return fail_at(name, line, column, err, "a control character");
		if (p[i] == '\n') {
			line++;
			column = 0;
		}
	}
	return 0;
}

static int next_event(struct reader *r, yaml_event_t *event)
{
	if (yaml_parser_parse(&r->parser, event))
		return 0;
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return bv_fail(r->err, ENOMEM, "%s: out of memory", r->name);
	return fail_mark(r, &p->problem_mark, p->problem ? p->problem : "not YAML");
}

static int new_node(struct reader *r, const yaml_event_t *e, enum bv_yaml_kind kind, struct bv_yaml **ret)
{
	if (++r->nodes > BV_YAML_NODES_MAX)
		return fail_mark(r, &e->start_mark, "more than 20000 values");
	struct bv_yaml *n = calloc(1, sizeof(*n));
	if (!n)
		return bv_fail(r->err, ENOMEM, "%s: out of memory", r->name);
	n->kind = kind;
	n->line = (unsigned int)e->start_mark.line + 1;
	n->column = (unsigned int)e->start_mark.column + 1;
	*ret = n;
	return 0;
}

static int read_scalar(struct reader *r, const yaml_event_t *e, struct bv_yaml **ret)
{
	const char *text = (const char *)e->data.scalar.value;
	if (strlen(text) != e->data.scalar.length)
		return fail_mark(r, &e->start_mark, "a NUL character");

	autoclean(bv_yaml_freep) struct bv_yaml *n = NULL;
	int rc = new_node(r, e, BV_YAML_SCALAR, &n);
	if (rc < 0)
		return rc;
	n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	bool null = !n->quoted && (bv_streq(text, "~") || bv_streq(text, "null"));
	n->text = strdup(null ? "" : text);
	if (!n->text)
		return bv_fail(r->err, ENOMEM, "%s: out of memory", r->name);
	*ret = take_ptr(n);
	return 0;
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct bv_yaml **ret);

/* The key of a map in `e`; its value follows. */
static int read_pair(struct reader *r, const yaml_event_t *e, const struct bv_yaml *map, int depth,
		     struct bv_yaml **ret)
{
	if (e->type == YAML_ALIAS_EVENT)
		return fail_mark(r, &e->start_mark, "aliases are not allowed in a recipe");
	if (e->type != YAML_SCALAR_EVENT)
		return fail_mark(r, &e->start_mark, "a key must be a plain word");
	if (e->data.scalar.anchor || e->data.scalar.tag)
		return fail_mark(r, &e->start_mark, "anchors and tags are not allowed in a recipe");
	const char *key = (const char *)e->data.scalar.value;
	if (strlen(key) != e->data.scalar.length || !*key)
		return fail_mark(r, &e->start_mark, "an empty key");
	if (e->data.scalar.length > KEY_LENGTH_MAX)
		return fail_mark(r, &e->start_mark, "a key longer than 128 bytes");

	const struct bv_yaml *before = bv_yaml_get(map, key);
	if (before)
		return fail_at(r->name, e->start_mark.line + 1, e->start_mark.column + 1, r->err,
			       "\"%s\" is there already, in line %u", key, before->line);

	yaml_event_t value;
	int rc = next_event(r, &value);
	if (rc < 0)
		return rc;
	autoclean(bv_yaml_freep) struct bv_yaml *n = NULL;
	rc = read_node(r, &value, depth, &n);
	yaml_event_delete(&value);
	if (rc < 0)
		return rc;
	n->key = strdup(key);
	if (!n->key)
		return bv_fail(r->err, ENOMEM, "%s: out of memory", r->name);
	n->line = (unsigned int)e->start_mark.line + 1;
	n->column = (unsigned int)e->start_mark.column + 1;
	*ret = take_ptr(n);
	return 0;
}

static int read_children(struct reader *r, struct bv_yaml *node, int depth)
{
	bool map = node->kind == BV_YAML_MAP;
	yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct bv_yaml **tail = &node->child;

	for (;;) {
		yaml_event_t e;
		int rc = next_event(r, &e);
		if (rc < 0)
			return rc;
		bool at_end = e.type == end;
		if (!at_end)
			rc = map ? read_pair(r, &e, node, depth, tail) : read_node(r, &e, depth, tail);
		yaml_event_delete(&e);
		if (at_end || rc < 0)
			return rc;
		tail = &(*tail)->next;
	}
}

static int read_node(struct reader *r, const yaml_event_t *e, int depth, struct bv_yaml **ret)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	enum bv_yaml_kind kind;

	switch (e->type) {
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		tag = e->data.scalar.tag;
		kind = BV_YAML_SCALAR;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		kind = BV_YAML_LIST;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		kind = BV_YAML_MAP;
		break;
	default:
		return fail_mark(r, &e->start_mark, "aliases are not allowed in a recipe");
	}
	if (anchor || tag)
		return fail_mark(r, &e->start_mark,
				 anchor ? "anchors are not allowed in a recipe" : "tags are not allowed in a recipe");
	if (kind == BV_YAML_SCALAR)
		return read_scalar(r, e, ret);
	if (depth >= BV_YAML_DEPTH_MAX)
		return fail_mark(r, &e->start_mark, "nested more than 16 levels deep");

	autoclean(bv_yaml_freep) struct bv_yaml *n = NULL;
	int rc = new_node(r, e, kind, &n);
	if (rc == 0)
		rc = read_children(r, n, depth + 1);
	if (rc == 0)
		*ret = take_ptr(n);
	return rc;
}

/* What may stand around the one document. The event is deleted here. */
static int expect(struct reader *r, yaml_event_type_t type, const char *otherwise)
{
	yaml_event_t e;
	int rc = next_event(r, &e);
	if (rc < 0)
		return rc;
	if (e.type != type)
		rc = fail_mark(r, &e.start_mark, otherwise);
	else if (type == YAML_DOCUMENT_START_EVENT &&
		 (e.data.document_start.version_directive ||
		  e.data.document_start.tag_directives.start != e.data.document_start.tag_directives.end))
		rc = fail_mark(r, &e.start_mark, "directives are not allowed in a recipe");
	yaml_event_delete(&e);
	return rc;
}

static int read_document(struct reader *r, struct bv_yaml **ret)
{
	int rc = expect(r, YAML_STREAM_START_EVENT, "not YAML");
	if (rc == 0)
		rc = expect(r, YAML_DOCUMENT_START_EVENT, "the file is empty");
	if (rc < 0)
		return rc;

	yaml_event_t e;
	rc = next_event(r, &e);
	if (rc < 0)
		return rc;
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL;
	rc = read_node(r, &e, 0, &root);
	yaml_event_delete(&e);
	if (rc == 0)
		rc = expect(r, YAML_DOCUMENT_END_EVENT, "not YAML");
	if (rc == 0)
		rc = expect(r, YAML_STREAM_END_EVENT, "a second document is not allowed");
	if (rc == 0)
		*ret = take_ptr(root);
	return rc;
}

int bv_yaml_parse(struct bv_yaml **ret, const char *text, size_t len, const char *name, struct bv_error *err)
{
	int rc = check_text(text, len, name, err);
	if (rc < 0)
		return rc;

	struct reader r = { .name = name, .err = err };
	if (!yaml_parser_initialize(&r.parser))
		return bv_fail(err, ENOMEM, "%s: out of memory", name);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	rc = read_document(&r, ret);
	yaml_parser_delete(&r.parser);
	return rc;
}

static struct bv_yaml *add_child(struct bv_yaml *map, const char *key, size_t len)
{
	autoclean(bv_yaml_freep) struct bv_yaml *n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->kind = BV_YAML_MAP;
	n->key = strndup(key, len);
	if (!n->key)
		return NULL;
	n->line = map->line;
	n->column = map->column;
	struct bv_yaml **tail = &map->child;
	while (*tail)
		tail = &(*tail)->next;
	return *tail = take_ptr(n);
}

int bv_yaml_set(struct bv_yaml *root, const char *path, const char *value, struct bv_error *err)
{
	struct bv_yaml *at = root;
	for (const char *p = path;; p++) {
		size_t len = strcspn(p, ".");
		autofree char *key = strndup(p, len);
		if (!key)
			return bv_fail(err, ENOMEM, "out of memory");
		if (!*key || at->kind != BV_YAML_MAP)
			return bv_fail(err, EINVAL, "\"%s\" is not a key of a recipe", path);
		struct bv_yaml *c = bv_yaml_get(at, key);
		if (!c)
			c = add_child(at, key, len);
		if (!c)
			return bv_fail(err, ENOMEM, "out of memory");
		at = c;
		p += len;
		if (!*p)
			break;
	}
	if (at->kind != BV_YAML_SCALAR && at->child)
		return bv_fail(err, EINVAL, "\"%s\" of a recipe is not a single value", path);
	char *text = strdup(value);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	free(at->text);
	at->text = text;
	at->kind = BV_YAML_SCALAR;
	at->quoted = true;
	return 0;
}

/* The character at `p`, which is `n` bytes of valid UTF-8. */
static unsigned int utf8_decode(const unsigned char *p, size_t n)
{
	static const unsigned char first_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	unsigned int c = p[0] & first_bits[n];
	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

/* What a YAML stream may hold as it is (1.1, 5.1), without the line breaks and the byte order mark. */
static bool is_printable(unsigned int c)
{
	return (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xfffd && c != 0x2028 && c != 0x2029 && c != 0xfeff) ||
	       c >= 0x10000;
}

/* In double quotes every string can be written. */
static void print_scalar(const char *text, struct bv_buf *out)
{
	bool plain = *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") ==
				      strlen(text) && *text != '-' && !bv_streq(text, "null");
	if (plain) {
		bv_buf_puts(out, text);
		return;
	}
	bv_buf_putc(out, '"');
	size_t left = strlen(text);
	for (const unsigned char *p = (const unsigned char *)text; left > 0;) {
		size_t n = utf8_length(p, left);
		if (n == 0)
			n = 1; /* not from a file: bytes of an argument */
		unsigned int c = utf8_decode(p, n);
		if (c == '\n')
			bv_buf_puts(out, "\\n");
		else if (c == '"' || c == '\\')
			bv_buf_printf(out, "\\%c", (char)c);
		else if (is_printable(c))
			bv_buf_add(out, p, n);
		else
			bv_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
		p += n;
		left -= n;
	}
	bv_buf_putc(out, '"');
}

/* `inlined`: the first line continues a "- " that is already there. */
static void print_node(const struct bv_yaml *node, int indent, bool inlined, struct bv_buf *out)
{
	for (const struct bv_yaml *c = node->child; c; c = c->next) {
		bv_buf_printf(out, "%*s", inlined ? 0 : indent, "");
		inlined = false;
		if (node->kind == BV_YAML_MAP) {
			print_scalar(c->key, out);
			bv_buf_puts(out, ":");
		} else {
			bv_buf_puts(out, "-");
		}
		if (c->kind == BV_YAML_SCALAR) {
			bv_buf_putc(out, ' ');
			print_scalar(c->text, out);
			bv_buf_putc(out, '\n');
		} else if (!c->child) {
			bv_buf_puts(out, c->kind == BV_YAML_MAP ? " {}\n" : " []\n");
		} else if (node->kind == BV_YAML_MAP) {
			bv_buf_putc(out, '\n');
			print_node(c, indent + 2, false, out);
		} else {
			bv_buf_putc(out, ' ');
			print_node(c, indent + 2, true, out);
		}
	}
}

void bv_yaml_print(const struct bv_yaml *node, struct bv_buf *out)
{
	if (node->kind != BV_YAML_SCALAR && node->child) {
		print_node(node, 0, false, out);
		return;
	}
	if (node->kind == BV_YAML_SCALAR)
		print_scalar(node->text, out);
	else
		bv_buf_puts(out, node->kind == BV_YAML_MAP ? "{}" : "[]");
	bv_buf_putc(out, '\n');
}
