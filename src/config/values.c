/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/cleanup.h"
#include "util/num.h"

/* The types that most keys have. A row's `arg` and `data` are explained at the type. */

int bv_array_grow(void *array, size_t n, size_t size)
{
	if ((n & (n - 1)) != 0)
		return 0;
	void *old, *bigger;
	memcpy(&old, array, sizeof(old));
	bigger = reallocarray(old, n ? 2 * n : 1, size);
	if (!bigger)
		return -ENOMEM;
	memcpy(array, &bigger, sizeof(bigger));
	return 0;
}

int bv_no_memory(struct bv_error *err)
{
	return bv_fail(err, ENOMEM, "out of memory");
}

void bv_buf_separate(struct bv_buf *out, size_t start, char separator)
{
	if (out->len > start)
		bv_buf_putc(out, separator);
}

/* ---- strings: `arg` is the longest that is allowed (0: no limit), `data` the default ---- */

void bv_string_clear(const struct bv_key_ref *r)
{
	char **field = bv_key_field(r);
	free(*field);
	*field = r->key->data ? strdup(r->key->data) : NULL;
}

int bv_string_replace(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	char **field = bv_key_field(r), *copy = strdup(value);
	if (!copy)
		return bv_no_memory(err);
	free(*field);
	*field = copy;
	return 0;
}

static int string_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	if (r->key->arg && strlen(value) > (size_t)r->key->arg)
		return bv_fail(err, EINVAL, "\"%.80s\" is longer than %d characters", value, r->key->arg);
	return bv_string_replace(r, value, err);
}

void bv_string_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	char *const *field = bv_key_field(r);
	if (*field)
		bv_buf_puts(out, *field);
}

void bv_string_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char *const *field = bv_key_field(r);
	if (*field && (!r->key->data || !bv_streq(*field, r->key->data)))
		bv_dump_line(out, name, *field);
}

const struct bv_key_type bv_type_string = { string_set,	    bv_string_get,  bv_string_clear,
					    bv_string_dump, sizeof(char *), NULL };

/* ---- one of the words in `data` (a NULL-terminated array), kept as a string ---- */

static int choice_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	for (const char *const *w = r->key->data; *w; w++)
		if (bv_streq(value, *w))
			return bv_string_replace(r, value, err);
	return bv_fail(err, EINVAL, "\"%s\" is none of %s", value, r->key->grammar);
}

static void choice_clear(const struct bv_key_ref *r)
{
	char **field = bv_key_field(r);
	free(*field);
	*field = NULL;
}

static void choice_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char *const *field = bv_key_field(r);
	if (*field)
		bv_dump_line(out, name, *field);
}

const struct bv_key_type bv_type_choice = {
	choice_set, bv_string_get, choice_clear, choice_dump, sizeof(char *), NULL
};

/* ---- 0 or 1; `arg` is the default ---- */

static int bool_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint32_t v; /* as LXC: 01 and 0x1 are numbers too */
	if (bv_parse_u32(value, &v) < 0 || v > 1)
		return bv_fail(err, EINVAL, "\"%s\" is neither 0 nor 1", value);
	*(bool *)bv_key_field(r) = v == 1;
	return 0;
}

static void bool_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_putc(out, *(bool *)bv_key_field(r) ? '1' : '0');
}

static void bool_clear(const struct bv_key_ref *r)
{
	*(bool *)bv_key_field(r) = r->key->arg != 0;
}

const struct bv_key_type bv_type_bool = { bool_set, bool_get, bool_clear, NULL, sizeof(bool), NULL };

/* ---- unsigned numbers; `arg` is the least that is allowed ---- */

static int u32_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint32_t v;
	if (bv_parse_u32(value, &v) < 0 || v < (uint32_t)r->key->arg)
		return bv_fail(err, EINVAL, "\"%s\" is not a number from %d to %" PRIu32, value, r->key->arg,
			       UINT32_MAX);
	*(uint32_t *)bv_key_field(r) = v;
	return 0;
}

static void u32_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_printf(out, "%" PRIu32, *(uint32_t *)bv_key_field(r));
}

static void u32_clear(const struct bv_key_ref *r)
{
	*(uint32_t *)bv_key_field(r) = 0;
}

const struct bv_key_type bv_type_u32 = { u32_set, u32_get, u32_clear, NULL, sizeof(uint32_t), NULL };

/* ---- user and group ids: UINT32_MAX is the kernel's "no id" ---- */

static int id_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint32_t v;
	if (bv_parse_u32(value, &v) < 0 || v == UINT32_MAX)
		return bv_fail(err, EINVAL, "\"%s\" is not an id from 0 to %" PRIu32, value, UINT32_MAX - 1);
	*(uint32_t *)bv_key_field(r) = v;
	return 0;
}

const struct bv_key_type bv_type_id = { id_set, u32_get, u32_clear, NULL, sizeof(uint32_t), NULL };

/* ---- signed numbers ---- */

static int int_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	if (bv_parse_int(value, bv_key_field(r)) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is not a whole number", value);
	return 0;
}

static void int_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_printf(out, "%d", *(int *)bv_key_field(r));
}

static void int_clear(const struct bv_key_ref *r)
{
	*(int *)bv_key_field(r) = 0;
}

const struct bv_key_type bv_type_int = { int_set, int_get, int_clear, NULL, sizeof(int), NULL };

/* ---- an enum by the words of `data`, an array of struct bv_word; `arg` is the default ---- */

static int word_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	for (const struct bv_word *w = r->key->data; w->word; w++) {
		if (bv_streq(value, w->word)) {
			*(int *)bv_key_field(r) = w->value;
			return 0;
		}
	}
	return bv_fail(err, EINVAL, "\"%s\" is none of %s", value, r->key->grammar);
}

static void word_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	for (const struct bv_word *w = r->key->data; w->word; w++) {
		if (w->value == *(int *)bv_key_field(r)) {
			bv_buf_puts(out, w->word);
			return;
		}
	}
}

static void word_clear(const struct bv_key_ref *r)
{
	*(int *)bv_key_field(r) = r->key->arg;
}

const struct bv_key_type bv_type_word = { word_set, word_get, word_clear, NULL, sizeof(int), NULL };

/* ---- sizes in bytes; `arg` is the default in units of 100 bytes, `offset2` the least in KiB ---- */

static int size_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint64_t v, least = (uint64_t)r->key->offset2 << 10;
	if (bv_parse_size(value, 1, &v) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is not a size such as 512M", value);
	if (v < least)
		return bv_fail(err, EINVAL, "%s is %" PRIu64 " bytes, less than the %" PRIu64 "M that are needed",
			       value, v, least >> 20);
	*(uint64_t *)bv_key_field(r) = v;
	return 0;
}

static void size_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_printf(out, "%" PRIu64, *(uint64_t *)bv_key_field(r));
}

static void size_clear(const struct bv_key_ref *r)
{
	*(uint64_t *)bv_key_field(r) = (uint64_t)r->key->arg * 100;
}

const struct bv_key_type bv_type_size = { size_set, size_get, size_clear, NULL, sizeof(uint64_t), NULL };

/* ---- lists of whole lines, and of words ---- */

static int lines_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	return bv_strv_add(bv_key_field(r), value) < 0 ? bv_no_memory(err) : 0;
}

static int words_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	return bv_strv_split(bv_key_field(r), value, " \t") < 0 ? bv_no_memory(err) : 0;
}

void bv_lines_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const struct bv_strv *l = bv_key_field(r);
	for (size_t i = 0; i < l->n; i++) {
		bv_buf_puts(out, l->v[i]);
		bv_buf_putc(out, '\n');
	}
}

void bv_lines_clear(const struct bv_key_ref *r)
{
	bv_strv_clear(bv_key_field(r));
}

void bv_lines_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	const struct bv_strv *l = bv_key_field(r);
	for (size_t i = 0; i < l->n; i++)
		bv_dump_line(out, name, l->v[i]);
}

const struct bv_key_type bv_type_lines = { lines_set, bv_lines_get, bv_lines_clear, bv_lines_dump, 0, NULL };
const struct bv_key_type bv_type_words = { words_set, bv_lines_get, bv_lines_clear, bv_lines_dump, 0, NULL };

/*
 * ---- families of pairs ----
 * With BV_KEY_LIST a repeated name appends (cgroup files are written in order), else the last value wins.
 */

/* Far beyond any real config, and few enough that the search for the same name stays cheap. */
enum { PAIRS_MAX = 4096 };

static void pair_remove(struct bv_pair_list *l, size_t i)
{
	free(l->v[i].name);
	free(l->v[i].value);
	memmove(&l->v[i], &l->v[i + 1], (l->n - i - 1) * sizeof(l->v[0]));
	l->n--;
}

static int pair_append(struct bv_pair_list *l, const char *name, const char *value, struct bv_error *err)
{
	if (l->n >= PAIRS_MAX)
		return bv_fail(err, E2BIG, "there are more than %d of these keys", PAIRS_MAX);
	autofree char *name_copy = strdup(name), *value_copy = strdup(value);
	if (!name_copy || !value_copy || bv_array_grow(&l->v, l->n, sizeof(l->v[0])) < 0)
		return bv_no_memory(err);
	l->v[l->n++] = (struct bv_pair){ .name = take_ptr(name_copy), .value = take_ptr(value_copy) };
	return 0;
}

static int pairs_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_pair_list *l = bv_key_field(r);
	if (!r->sub || !r->sub[0])
		return bv_fail(err, EINVAL, "a name is missing: %s.NAME", r->key->name);

	for (size_t i = 0; !(r->key->flags & BV_KEY_LIST) && i < l->n; i++) {
		if (!bv_streq(l->v[i].name, r->sub))
			continue;
		char *copy = strdup(value);
		if (!copy)
			return bv_no_memory(err);
		free(l->v[i].value);
		l->v[i].value = copy;
		return 0;
	}
	return pair_append(l, r->sub, value, err);
}

/* The family as lines `key = value`; a single name of a list one value a line, of a map the bare value. */
static void pairs_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const struct bv_pair_list *l = bv_key_field(r);
	for (size_t i = 0; i < l->n; i++) {
		const struct bv_pair *p = &l->v[i];
		if (!r->sub)
			bv_buf_printf(out, "%s.%s = %s\n", r->key->name, p->name, p->value);
		else if (bv_streq(p->name, r->sub))
			bv_buf_printf(out, r->key->flags & BV_KEY_LIST ? "%s\n" : "%s", p->value);
	}
}

static void pairs_clear(const struct bv_key_ref *r)
{
	struct bv_pair_list *l = bv_key_field(r);
	for (size_t i = l->n; i-- > 0;)
		if (!r->sub || bv_streq(l->v[i].name, r->sub))
			pair_remove(l, i);
	if (l->n == 0) {
		free(l->v);
		l->v = NULL;
	}
}

static void pairs_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	const struct bv_pair_list *l = bv_key_field(r);
	for (size_t i = 0; i < l->n; i++) {
		autofree char *whole = bv_asprintf("%s.%s", name, l->v[i].name);
		if (whole)
			bv_dump_line(out, whole, l->v[i].value);
		else
			out->bad = true;
	}
}

const struct bv_key_type bv_type_pairs = { pairs_set, pairs_get, pairs_clear, pairs_dump, 0, NULL };
