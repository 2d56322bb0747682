/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/config.h"
#include "util/error.h"
#include "util/str.h"

/*
 * What the files of src/config share.
 *
 * A row of a key table names a key, its type and where its value is (an offset into struct bv_config, or into struct
 * bv_nic for the rows below lxc.net.N). The type is a set of handlers: most rows need no code of their own. Both
 * tables are sorted by name.
 */

struct bv_key;
struct bv_parse;

/* A key together with the object that holds its value. */
struct bv_key_ref {
	const struct bv_key *key;
	struct bv_config *cfg;
	struct bv_nic *nic;     /* rows below lxc.net.N */
	const char *sub;        /* families: what follows "FAMILY."; NULL for the family itself */
	struct bv_parse *parse; /* the file that is being read; NULL for a single key */
};

struct bv_key_type {
	/* Set or append. `value` is never empty. On failure nothing has changed. */
	int (*set)(const struct bv_key_ref *r, const char *value, struct bv_error *err);
	/* Append the value as LXC's getter prints it; nothing when unset. */
	void (*get)(const struct bv_key_ref *r, struct bv_buf *out);
	/* Back to the default: serves to initialise a zeroed field, and to free what it owns. */
	void (*clear)(const struct bv_key_ref *r);
	/* Lines that set what differs from the default. NULL: by `size` and `get`. */
	void (*dump)(const struct bv_key_ref *r, const char *name, struct bv_buf *out);
	/* Scalars: bytes of the field. */
	size_t size;
	/* Families whose names are known: is `sub` one? NULL: any is. */
	bool (*has)(const char *sub);
};

enum {
	BV_KEY_LIST = 1,   /* a repeated line appends */
	BV_KEY_FAMILY = 2, /* NAME.anything belongs to it */
};

struct bv_key {
	const char *name; /* whole, or what follows "lxc.net.N." */
	const struct bv_key_type *type;
	uint16_t offset, offset2;
	uint8_t flags;
	uint8_t link_type;       /* nic rows: enum bv_net_type that the key needs; 0: any */
	int16_t arg;             /* a number that the type wants: limit, address family, hook, ... */
	const void *data;        /* a table that the type wants, or a string default */
	const char *grammar;     /* for the man page: what may stand behind '=' */
	const char *text;        /* for the man page: one or two sentences, safe in mdoc */
};

extern const struct bv_key bv_config_keys[];
extern const size_t bv_config_n_keys;
extern const struct bv_key bv_nic_keys[];
extern const size_t bv_n_nic_keys;

static inline void *bv_key_field(const struct bv_key_ref *r)
{
	char *base = r->nic ? (char *)r->nic : (char *)r->cfg;
	return base + r->key->offset;
}

/* ---- types: values.c ---- */

extern const struct bv_key_type bv_type_string, bv_type_choice, bv_type_bool, bv_type_u32, bv_type_id, bv_type_int;
extern const struct bv_key_type bv_type_word, bv_type_size, bv_type_lines, bv_type_words, bv_type_pairs;

/* Handlers of bv_type_string and bv_type_lines, for types that differ in `set` alone. */
void bv_string_get(const struct bv_key_ref *r, struct bv_buf *out);
void bv_string_clear(const struct bv_key_ref *r);
void bv_string_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out);
void bv_lines_get(const struct bv_key_ref *r, struct bv_buf *out);
void bv_lines_clear(const struct bv_key_ref *r);
void bv_lines_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out);

/* A row of the table of bv_type_word: an enum's value by its word. Ends with a NULL. */
struct bv_word {
	const char *word;
	int value;
};

/* ---- types: process.c, isolation.c, mounts.c ---- */

extern const struct bv_key_type bv_type_arch, bv_type_signal, bv_type_time_offset, bv_type_init_groups;
extern const struct bv_key_type bv_type_environment;
extern const struct bv_key_type bv_type_rlimit, bv_type_console_size, bv_type_mount_auto, bv_type_rootfs_path;
extern const struct bv_key_type bv_type_rootfs_options, bv_type_relative_path, bv_type_caps, bv_type_namespaces;
extern const struct bv_key_type bv_type_namespace_share, bv_type_idmap, bv_type_log_level, bv_type_syslog;
extern const struct bv_key_type bv_type_notify_proxy, bv_type_keyring, bv_type_hooks;

/* ---- nics: nics.c (the rows' types are private to net_keys.c) ---- */

extern const struct bv_key_type bv_type_net;

/* The nic with that index, made when it is not there; *made says so. NULL: out of memory or too many. */
struct bv_nic *bv_nic_obtain(struct bv_config *cfg, unsigned int index, bool *made);
void bv_nic_remove(struct bv_config *cfg, unsigned int index);
/* Lines for the keys of `nic` that differ from the default, and begin with `below` and a dot ("": all). */
void bv_nic_dump(struct bv_config *cfg, struct bv_nic *nic, const char *below, struct bv_buf *out);
/* Clear every key of `nic` that belongs to another link type than the one it has. */
void bv_nic_clear_foreign(struct bv_config *cfg, struct bv_nic *nic);

/* ---- finding: find.c ---- */

/* A key's name taken apart. */
struct bv_key_path {
	const struct bv_key *key; /* NULL: the nic itself ("lxc.net.0") */
	bool is_nic;
	unsigned int index;       /* of the nic */
	const char *sub;          /* of a family */
};

/* True when there is such a key (no legacy names). `name` must live as long as `path->sub` is used. */
bool bv_key_find(struct bv_key_path *path, const char *name);
/* Error `code` for an unknown key, with the nearest one as hint. */
int bv_key_unknown(const char *name, int code, struct bv_error *err);
/* The nic index of "lxc.net.N" or "lxc.net.N.rest" (*rest is "" or behind the dot); false when it is neither. */
bool bv_key_nic(const char *name, unsigned int *index, const char **rest);

/* Limits of a config; config.h has them as well. */
enum {
	BV_KEY_NAME_MAX = 512,
	BV_LINE_MAX = 64 << 10,
	BV_FILE_MAX = 8 << 20,
	BV_INCLUDE_DEPTH = 16,
	BV_INCLUDE_FILES = 4096,
	BV_INCLUDE_BYTES = 64 << 20,
};

/* ---- setting: config.c ---- */


/*
 * One line `key = value`; `parse` as in struct bv_key_ref. The path of the key is left in *path (with no key and no
 * nic for a legacy name without meaning), its canonical name in `name` if that is not NULL.
 */
int bv_config_apply(struct bv_config *cfg, struct bv_parse *parse, const char *key, const char *value,
		    struct bv_key_path *path, char *name, struct bv_error *err);

/* ---- legacy.c ---- */

enum bv_legacy {
	BV_LEGACY_NO,      /* not a legacy name */
	BV_LEGACY_RENAMED, /* `name` holds the new one */
	BV_LEGACY_IGNORED, /* it has no meaning any more */
	BV_LEGACY_BACKEND, /* lxc.rootfs.backend */
	BV_LEGACY_NO_NIC,  /* lxc.network.X before any lxc.network.type */
};

/*
 * Translate a name of LXC 1.0 to 2.0. An lxc.network.X without index belongs to `*nic`; *unindexed says that it was
 * one; the caller begins a new nic for "lxc.network.type" before it asks.
 */
enum bv_legacy bv_legacy_translate(const char *key, int64_t nic, char *name, size_t size, bool *unindexed);
/* Is it the line that begins a new nic? */
static inline bool bv_legacy_begins_nic(const char *key)
{
	return bv_streq(key, "lxc.network.type");
}
/* mdoc text of all renamed keys. */
void bv_legacy_print(FILE *out);

/* ---- parse.c ---- */

extern const struct bv_key_type bv_type_include;

/* The file that is being read and those that include it. */
struct bv_parse {
	int dirfd;              /* relative paths of files start here */
	const char *name;       /* of the file now, as in messages */
	unsigned int depth;     /* 0: the file itself; in a file that it includes 1, and so on */
	bool reported;          /* the error has its file and line */
	unsigned int n_files;   /* read so far */
	size_t n_bytes;
	struct {
		dev_t dev;
		ino_t ino;
	} open[BV_INCLUDE_DEPTH + 1];
};

/* The parts of a line: pointers into it. `value` is NULL without a '='. */
struct bv_line {
	const char *key, *value;
	size_t key_len, value_len;
};
/* Take off the blanks around key and value, and one pair of quotes around the whole value. */
void bv_parse_split(struct bv_line *ret, const char *line, size_t len);
/* Is it a line for us: lxc.*, engine, engine.*, vm.*? */
bool bv_parse_is_ours(const struct bv_line *line);

/* ---- text.c ---- */

struct bv_config_text {
	struct bv_buf buf;
	uint32_t *legacy_nics;  /* index of the nic of each line with an unindexed lxc.network.X, in order */
	size_t n_legacy_nics;
	int64_t legacy_nic;     /* the nic that the next one applies to, -1 none */
	char *backend;          /* lxc.rootfs.backend */
};

struct bv_config_text *bv_text_new(void);
void bv_text_free(struct bv_config_text *text);
/*
 * `name` is canonical. With `append` its other lines stay; `after` is the family of keys behind whose last line a new
 * one has to be, or NULL. 0 or -ENOMEM.
 */
int bv_text_set(struct bv_config_text *text, const char *name, const char *value, bool append, const char *after);
int bv_text_clear(struct bv_config_text *text, const char *name);

/* ---- dump.c ---- */

/* "NAME = VALUE\n", in quotes where blanks or quotes at the ends of the value would be lost. */
void bv_dump_line(struct bv_buf *out, const char *name, const char *value);
/* The lines of one key; `d` is the same key of an object that has every default. */
void bv_dump_key(const struct bv_key_ref *r, const struct bv_key_ref *d, const char *name, struct bv_buf *out);
/* All keys below `prefix` ("lxc.hook"; "": all there are). */
void bv_dump_below(struct bv_config *cfg, const char *prefix, struct bv_buf *out);

/* ---- small help ---- */

int bv_no_memory(struct bv_error *err);
/* Store a copy of `value` in the row's string. */
int bv_string_replace(const struct bv_key_ref *r, const char *value, struct bv_error *err);
/* Put a separator before all but the first of a list that is being written from `start` on. */
void bv_buf_separate(struct bv_buf *out, size_t start, char separator);
/* Room for one more of `n` elements of `size` bytes; `array` points to the pointer. Doubles at powers of two. */
int bv_array_grow(void *array, size_t n, size_t size);
