/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* A growing list of owned strings; `v` is NULL-terminated as soon as one was added, NULL while empty. */
struct bv_strv {
	char **v;
	size_t n;
};

/* All return 0 or -ENOMEM. */
int bv_strv_add(struct bv_strv *l, const char *s);                 /* copies */
int bv_strv_addn(struct bv_strv *l, const char *s, size_t len);    /* copies len bytes */
int bv_strv_addf(struct bv_strv *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int bv_strv_take(struct bv_strv *l, char *s);                      /* takes ownership; s is freed on failure */
int bv_strv_copy(struct bv_strv *to, const struct bv_strv *from);  /* appends copies */
bool bv_strv_has(const struct bv_strv *l, const char *s);
void bv_strv_clear(struct bv_strv *l);                             /* frees all; good as autoclean() */

/*
 * Split `text` into words as a shell would, with '..', ".." and \ and nothing else (no variables, no globs).
 * -EINVAL: a quote is not closed.
 */
int bv_strv_split_quoted(struct bv_strv *l, const char *text);

/* Split at any run of characters of `seps`; empty parts are dropped. */
int bv_strv_split(struct bv_strv *l, const char *text, const char *seps);

/*
 * Environments are lists of K=V in which each K stands once. Put K=V in, in the place of an earlier value of K; what
 * has no '=' is passed over. 0 or -ENOMEM.
 */
int bv_env_put(struct bv_strv *env, const char *assignment);
int bv_env_put_all(struct bv_strv *env, const struct bv_strv *assignments);

/* A growing byte buffer, always NUL-terminated behind `len` once something was added. Out of memory sticks in `bad`. */
struct bv_buf {
	char *p;
	size_t len, cap;
	bool bad;
};

void bv_buf_add(struct bv_buf *b, const void *data, size_t len);
void bv_buf_puts(struct bv_buf *b, const char *s);
void bv_buf_putc(struct bv_buf *b, char c);
void bv_buf_printf(struct bv_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void bv_buf_clear(struct bv_buf *b);                               /* frees; good as autoclean() */
/* The owned string, "" when empty; NULL when out of memory. The buffer is empty afterwards. */
char *bv_buf_take(struct bv_buf *b);

/* malloc'ed printf, NULL when out of memory. */
char *bv_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* `s` without blanks, tabs, CR and LF at both ends; writes into s. */
char *bv_strip(char *s);

static inline bool bv_streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* The rest of s behind prefix, or NULL. */
static inline const char *bv_after(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);
	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Of the `n` words the one that is nearest to `word` by edit distance, or NULL when none is near enough to suggest. */
const char *bv_nearest(const char *word, const char *const *words, size_t n);
