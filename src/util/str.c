/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/str.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "util/cleanup.h"

int bv_strv_take(struct bv_strv *l, char *s)
{
	if (!s)
		return -ENOMEM;
	/* Room is doubled whenever n is a power of two: no capacity to keep. */
	if ((l->n & (l->n + 1)) == 0) {
		char **v = reallocarray(l->v, 2 * (l->n + 1), sizeof(*v));
		if (!v) {
			free(s);
			return -ENOMEM;
		}
		l->v = v;
	}
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
	return 0;
}

int bv_strv_add(struct bv_strv *l, const char *s)
{
	return bv_strv_take(l, strdup(s));
}

int bv_strv_addn(struct bv_strv *l, const char *s, size_t len)
{
	return bv_strv_take(l, strndup(s, len));
}

int bv_strv_addf(struct bv_strv *l, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? -ENOMEM : bv_strv_take(l, s);
}

int bv_strv_copy(struct bv_strv *to, const struct bv_strv *from)
{
	for (size_t i = 0; i < from->n; i++) {
		int r = bv_strv_add(to, from->v[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

bool bv_strv_has(const struct bv_strv *l, const char *s)
{
	for (size_t i = 0; i < l->n; i++)
		if (bv_streq(l->v[i], s))
			return true;
	return false;
}

void bv_strv_clear(struct bv_strv *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct bv_strv){ 0 };
}

int bv_env_put(struct bv_strv *env, const char *assignment)
{
	const char *eq = strchr(assignment, '=');
	if (!eq || eq == assignment)
		return 0;
	size_t key = (size_t)(eq - assignment) + 1;
	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], assignment, key) != 0)
			continue;
		char *copy = strdup(assignment);
		if (!copy)
			return -ENOMEM;
		free(env->v[i]);
		env->v[i] = copy;
		return 0;
	}
	return bv_strv_add(env, assignment);
}

int bv_env_put_all(struct bv_strv *env, const struct bv_strv *assignments)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < assignments->n; i++)
		r = bv_env_put(env, assignments->v[i]);
	return r;
}

int bv_strv_split(struct bv_strv *l, const char *text, const char *seps)
{
	for (;;) {
		text += strspn(text, seps);
		size_t len = strcspn(text, seps);
		if (len == 0)
			return 0;
		int r = bv_strv_addn(l, text, len);
		if (r < 0)
			return r;
		text += len;
	}
}

int bv_strv_split_quoted(struct bv_strv *l, const char *text)
{
	autoclean(bv_buf_clear) struct bv_buf word = { 0 };
	bool in_word = false;
	char quote = 0;

	for (;; text++) {
		char c = *text;
		if (quote) {
			if (c == '\0')
				return -EINVAL;
			if (c == quote)
				quote = 0;
			else if (c == '\\' && quote == '"' && (text[1] == '"' || text[1] == '\\'))
				bv_buf_putc(&word, *++text);
			else
				bv_buf_putc(&word, c);
		} else if (c == '\0' || c == ' ' || c == '\t' || c == '\n') {
			if (in_word) {
				int r = bv_strv_take(l, bv_buf_take(&word));
				if (r < 0)
					return r;
			}
			in_word = false;
			if (c == '\0')
				return 0;
		} else {
			in_word = true;
			if (c == '\'' || c == '"')
				quote = c;
			else if (c == '\\' && text[1])
				bv_buf_putc(&word, *++text);
			else
				bv_buf_putc(&word, c);
		}
	}
}

void bv_buf_add(struct bv_buf *b, const void *data, size_t len)
{
	if (b->bad)
		return;
	if (len >= b->cap - b->len) {
		size_t cap = b->cap ? b->cap : 128;
		while (cap - b->len <= len && cap < SIZE_MAX / 2)
			cap *= 2;
		char *p = cap - b->len > len ? realloc(b->p, cap) : NULL;
		if (!p) {
			b->bad = true;
			return;
		}
		b->p = p;
		b->cap = cap;
	}
	if (len > 0)
		memcpy(b->p + b->len, data, len);
	b->len += len;
	b->p[b->len] = '\0';
}

void bv_buf_puts(struct bv_buf *b, const char *s)
{
	bv_buf_add(b, s, strlen(s));
}

void bv_buf_putc(struct bv_buf *b, char c)
{
	bv_buf_add(b, &c, 1);
}

void bv_buf_printf(struct bv_buf *b, const char *fmt, ...)
{
	autofree char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0) {
		s = NULL;
		b->bad = true;
		return;
	}
	bv_buf_add(b, s, (size_t)n);
}

void bv_buf_clear(struct bv_buf *b)
{
	free(b->p);
	*b = (struct bv_buf){ 0 };
}

char *bv_buf_take(struct bv_buf *b)
{
	if (!b->bad && !b->p)
		bv_buf_add(b, "", 0);
	if (b->bad) {
		bv_buf_clear(b);
		return NULL;
	}
	char *p = b->p;
	*b = (struct bv_buf){ 0 };
	return p;
}

char *bv_asprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	va_start(ap, fmt);
	int n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

char *bv_strip(char *s)
{
	static const char blanks[] = " \t\r\n";
	s += strspn(s, blanks);
	size_t n = strlen(s);
	while (n > 0 && strchr(blanks, s[n - 1]))
		n--;
	s[n] = '\0';
	return s;
}

enum { NEAREST_MAX = 64 };

/* Levenshtein distance, two rows; words longer than NEAREST_MAX are never near. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[NEAREST_MAX + 1];
	if (la > NEAREST_MAX || lb > NEAREST_MAX)
		return SIZE_MAX;

	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

const char *bv_nearest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t best_distance = strlen(word) / 3 + 2;

	for (size_t i = 0; i < n; i++) {
		size_t d = edit_distance(word, words[i]);
		if (d < best_distance) {
			best_distance = d;
			best = words[i];
		}
	}
	return best;
}
