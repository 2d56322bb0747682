/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"
#include "util/str.h"

/*
 * The strict YAML reader: maps with scalar keys, lists and scalars, nothing else. Aliases, anchors, tags, directives,
 * duplicate keys, a second document, more than 16 levels, 1 MiB, 20000 nodes or 128 bytes a key, and text that is not
 * UTF-8 are errors, always "FILE:LINE:COLUMN: ...".
 */
enum bv_yaml_kind { BV_YAML_SCALAR, BV_YAML_MAP, BV_YAML_LIST };

struct bv_yaml {
	enum bv_yaml_kind kind;
	unsigned int line, column; /* of the key when it has one, else of the value; from 1 */
	char *key;                 /* in a map; NULL else */
	char *text;                /* scalar; "" for null */
	bool quoted;               /* scalar: written in quotes or as a block, so never a null */
	struct bv_yaml *child;     /* first one of a map or list */
	struct bv_yaml *next;      /* in the parent */
};

enum { BV_YAML_SIZE_MAX = 1 << 20, BV_YAML_DEPTH_MAX = 16, BV_YAML_NODES_MAX = 20000 };

/* `name` stands for the file in messages. */
int bv_yaml_parse(struct bv_yaml **ret, const char *text, size_t len, const char *name, struct bv_error *err);
void bv_yaml_free(struct bv_yaml *node);
void bv_yaml_freep(struct bv_yaml **node);

/* The child of a map, or NULL. */
struct bv_yaml *bv_yaml_get(const struct bv_yaml *map, const char *key);

/* Set the scalar at the dotted path, making maps on the way. -EINVAL: something on the way is not a map. */
int bv_yaml_set(struct bv_yaml *root, const char *path, const char *value, struct bv_error *err);

/* The tree as YAML text that parses back to the same tree. */
void bv_yaml_print(const struct bv_yaml *node, struct bv_buf *out);

/* bv_fail with "NAME:LINE:COLUMN: " in front. */
int bv_yaml_fail(const char *name, const struct bv_yaml *at, struct bv_error *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
