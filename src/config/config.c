/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/internal.h"
#include "util/cleanup.h"
#include "util/log.h"

/* Making a config, and setting, clearing and reading single keys. */

static void clear_all(struct bv_config *cfg)
{
	struct bv_key_ref r = { .cfg = cfg };
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		r.key = &bv_config_keys[i];
		r.key->type->clear(&r);
	}
}

struct bv_config *bv_config_new(void)
{
	struct bv_config *cfg = calloc(1, sizeof(*cfg));
	if (!cfg)
		return NULL;
	cfg->text = bv_text_new();
	clear_all(cfg);
	if (!cfg->text || !cfg->rootfs_mount) {
		bv_config_free(cfg);
		return NULL;
	}
	return cfg;
}

void bv_config_free(struct bv_config *cfg)
{
	if (!cfg)
		return;
	clear_all(cfg);
	free(cfg->rootfs_mount); /* the one string that has a default */
	bv_text_free(cfg->text);
	free(cfg);
}

void bv_config_freep(struct bv_config **cfg)
{
	bv_config_free(*cfg);
	*cfg = NULL;
}

/* ---- legacy names ---- */

/* The nic that an lxc.network.X without index belongs to. */
static int64_t current_nic(const struct bv_config *cfg)
{
	if (cfg->text->legacy_nic >= 0)
		return cfg->text->legacy_nic;
	return cfg->n_nics > 0 ? (int64_t)cfg->nics[cfg->n_nics - 1].index : -1;
}

static int set_backend(struct bv_config *cfg, const char *value, struct bv_error *err)
{
	struct bv_key_path path;
	char *copy = *value ? strdup(value) : NULL;
	if (*value && !copy)
		return bv_no_memory(err);
	for (const char *s = value; *s; s++) {
		if (!islower((unsigned char)*s)) {
			free(copy);
			return bv_fail(err, EINVAL, "\"%s\" is not a kind of storage", value);
		}
	}
	free(cfg->text->backend);
	cfg->text->backend = copy;
	if (!copy || !cfg->rootfs_path)
		return 0;
	/* The two lines come in either order. */
	autofree char *rootfs = strdup(cfg->rootfs_path);
	return rootfs ? bv_config_apply(cfg, NULL, "lxc.rootfs.path", rootfs, &path, NULL, err) : bv_no_memory(err);
}

/* Remember which nic a line of the file belongs to, for when the text is edited. */
static int note_legacy_nic(struct bv_config_text *text, int64_t nic, struct bv_error *err)
{
	if (bv_array_grow(&text->legacy_nics, text->n_legacy_nics, sizeof(text->legacy_nics[0])) < 0)
		return bv_no_memory(err);
	text->legacy_nics[text->n_legacy_nics++] = (uint32_t)nic;
	return 0;
}

/* 1: `name` has the canonical name; 0: the line is done with; negative: error. */
static int translate(struct bv_config *cfg, const struct bv_parse *parse, const char *key, const char *value,
		     char *name, struct bv_error *err)
{
	struct bv_config_text *text = cfg->text;
	bool unindexed;

	if (bv_legacy_begins_nic(key) && *value) {
		int64_t next = cfg->n_nics > 0 ? (int64_t)cfg->nics[cfg->n_nics - 1].index + 1 : 0;
		if (next > INT_MAX)
			return bv_fail(err, E2BIG, "there is no free index for another network");
		text->legacy_nic = next;
	}
	switch (bv_legacy_translate(key, current_nic(cfg), name, BV_KEY_NAME_MAX, &unindexed)) {
	case BV_LEGACY_RENAMED:
		if (unindexed && parse && parse->depth == 0) {
			int r = note_legacy_nic(text, current_nic(cfg), err);
			return r < 0 ? r : 1;
		}
		return 1;
	case BV_LEGACY_IGNORED:
		bv_info("config", "%s has no effect any more", key);
		return 0;
	case BV_LEGACY_BACKEND:
		return set_backend(cfg, value, err);
	case BV_LEGACY_NO_NIC:
		bv_fail(err, EINVAL, "there is no network that it could belong to");
		bv_hint(err, "put lxc.network.type before it");
		return -EINVAL;
	case BV_LEGACY_NO:
		break;
	}
	return bv_key_unknown(key, EINVAL, err);
}

/* ---- setting ---- */

static int check_link_type(const struct bv_key *key, const struct bv_nic *nic, struct bv_error *err)
{
	if (!key->link_type || key->link_type == nic->type)
		return 0;
	const char *wanted = bv_net_type_name(key->link_type);
	int r = nic->has_type ? bv_fail(err, EINVAL, "it is for %s, but the type of this network is %s", wanted,
					bv_net_type_name(nic->type))
			      : bv_fail(err, EINVAL, "it is for %s, but this network has no type yet", wanted);
	bv_hint(err, "put lxc.net.%u.type = %s before it", nic->index, wanted);
	return r;
}

static int set_nic_key(struct bv_config *cfg, const struct bv_key_path *path, const char *value, struct bv_error *err)
{
	bool made;
	if (!path->key) {
		int r = bv_fail(err, EINVAL, "it takes no value, but \"%.80s\" was given", value);
		bv_hint(err, "name what to set: lxc.net.%u.type = veth", path->index);
		return r;
	}
	struct bv_nic *nic = bv_nic_obtain(cfg, path->index, &made);
	if (!nic)
		return bv_fail(err, ENOMEM, "there are too many networks");

	struct bv_key_ref ref = { .key = path->key, .cfg = cfg, .nic = nic };
	int r = check_link_type(path->key, nic, err);
	if (r == 0)
		r = path->key->type->set(&ref, value, err);
	if (r < 0 && made)
		bv_nic_remove(cfg, path->index);
	return r;
}

static int clear_path(struct bv_config *cfg, const struct bv_key_path *path)
{
	struct bv_key_ref ref = { .key = path->key, .cfg = cfg, .sub = path->sub };
	if (path->is_nic && !path->key) {
		bv_nic_remove(cfg, path->index);
		return 0;
	}
	if (path->is_nic && !(ref.nic = bv_config_nic(cfg, path->index)))
		return 0;
	ref.key->type->clear(&ref);
	return 0;
}

static int set_path(struct bv_config *cfg, struct bv_parse *parse, const struct bv_key_path *path, const char *value,
		    struct bv_error *err)
{
	if (!*value)
		return clear_path(cfg, path);
	if (path->is_nic)
		return set_nic_key(cfg, path, value, err);
	struct bv_key_ref ref = { .key = path->key, .cfg = cfg, .sub = path->sub, .parse = parse };
	return path->key->type->set(&ref, value, err);
}

int bv_config_apply(struct bv_config *cfg, struct bv_parse *parse, const char *key, const char *value,
		    struct bv_key_path *path, char *name, struct bv_error *err)
{
	char renamed[BV_KEY_NAME_MAX];
	const char *canonical = key;

	if (strlen(key) >= sizeof(renamed))
		return bv_fail(err, EINVAL, "\"%.40s...\": the name of a key has at most %zu bytes", key,
			       sizeof(renamed) - 1);
	if (!bv_key_find(path, key)) {
		int r = translate(cfg, parse, key, value, renamed, err);
		if (r <= 0) {
			*path = (struct bv_key_path){ 0 };
			return r;
		}
		canonical = renamed;
		if (!bv_key_find(path, renamed))
			return bv_key_unknown(key, EINVAL, err);
	}
	if (name)
		snprintf(name, BV_KEY_NAME_MAX, "%s", canonical);
	int r = set_path(cfg, parse, path, value, err);
	path->sub = NULL; /* it pointed into `renamed` */
	/* What went wrong in an included file has its own place in the sentence. */
	if (r < 0 && !(parse && parse->reported))
		bv_error_prefix(err, "%s", key);
	return r;
}

static int check_text(const char *what, const char *text, struct bv_error *err)
{
	if (strlen(text) > BV_LINE_MAX - BV_KEY_NAME_MAX - 8)
		return bv_fail(err, E2BIG, "the %s has more than %d bytes", what, BV_LINE_MAX - BV_KEY_NAME_MAX - 8);
	for (const char *s = text; *s; s++)
		if ((iscntrl((unsigned char)*s) && *s != '\t'))
			return bv_fail(err, EINVAL, "the %s \"%.80s\" has a line break or another control character",
				       what, text);
	return 0;
}

/* A key that was set by hand goes into the kept text as well. */
static int keep_in_text(struct bv_config *cfg, const struct bv_key_path *path, const char *name, const char *value,
			struct bv_error *err)
{
	const int ordered = BV_KEY_LIST | BV_KEY_FAMILY;
	int r;
	if (!path->key && !path->is_nic)
		return 0; /* a legacy key without meaning */
	if (path->key && path->key->type == &bv_type_include && !*value)
		return 0;
	if (path->is_nic && path->key && bv_streq(path->key->name, "hwaddr") && *value)
		value = bv_config_nic(cfg, path->index)->hwaddr;
	if (*value)
		r = bv_text_set(cfg->text, name, value, path->key->flags & BV_KEY_LIST,
				(path->key->flags & ordered) == ordered ? path->key->name : NULL);
	else
		r = bv_text_clear(cfg->text, name);
	return r < 0 ? bv_no_memory(err) : 0;
}

int bv_config_set(struct bv_config *cfg, const char *key, const char *value, struct bv_error *err)
{
	char name[BV_KEY_NAME_MAX] = "";
	struct bv_key_path path;
	int64_t nic_before = cfg->text->legacy_nic;

	int r = check_text("key", key, err);
	if (r == 0)
		r = check_text("value", value, err);
	if (r < 0)
		return r;
	if (strpbrk(key, "= \t"))
		return bv_fail(err, EINVAL, "\"%s\" cannot be the name of a key", key);
	if (bv_streq(key, "lxc.rootfs.backend")) {
		r = bv_fail(err, EINVAL, "%s can only be read, not set", key);
		bv_hint(err, "set lxc.rootfs.path = %s:PATH", *value ? value : "TYPE");
		return r;
	}
	if (bv_streq(key, "lxc.rootfs.path") || bv_streq(key, "lxc.rootfs")) {
		free(cfg->text->backend);
		cfg->text->backend = NULL;
	}
	r = bv_config_apply(cfg, NULL, key, value, &path, name, err);
	if (r < 0) {
		cfg->text->legacy_nic = nic_before;
		return r;
	}
	return keep_in_text(cfg, &path, name, value, err);
}

int bv_config_set_line(struct bv_config *cfg, const char *line, struct bv_error *err)
{
	struct bv_line parts;
	bv_parse_split(&parts, line, strlen(line));
	if (!parts.value || parts.key_len == 0) {
		int r = bv_fail(err, EINVAL, "\"%.80s\" is not of the form KEY=VALUE", line);
		bv_hint(err, "for instance lxc.uts.name=host1");
		return r;
	}
	autofree char *key = strndup(parts.key, parts.key_len), *value = strndup(parts.value, parts.value_len);
	return key && value ? bv_config_set(cfg, key, value, err) : bv_no_memory(err);
}

int bv_config_clear(struct bv_config *cfg, const char *key, struct bv_error *err)
{
	return bv_config_set(cfg, key, "", err);
}

/* ---- reading ---- */

/* Is it the beginning of the names of several keys ("lxc.cap", "lxc.net.0.veth")? Then all their lines. */
static bool get_prefix(struct bv_config *cfg, const char *key, struct bv_buf *out)
{
	const char *rest;
	unsigned int index;
	size_t n = strlen(key);

	if (bv_key_nic(key, &index, &rest)) {
		struct bv_nic *nic = bv_config_nic(cfg, index);
		bool known = !*rest;
		for (size_t i = 0; i < bv_n_nic_keys && !known; i++)
			known = bv_after(bv_nic_keys[i].name, rest) && bv_nic_keys[i].name[strlen(rest)] == '.';
		if (nic && known)
			bv_nic_dump(cfg, nic, rest, out);
		return nic && known;
	}
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		if (bv_after(bv_config_keys[i].name, key) && bv_config_keys[i].name[n] == '.') {
			bv_dump_below(cfg, key, out);
			return true;
		}
	}
	return false;
}

static int get_key(struct bv_config *cfg, const char *key, struct bv_buf *out, struct bv_error *err)
{
	struct bv_key_path path;
	if (!bv_key_find(&path, key) || (path.is_nic && !path.key))
		return get_prefix(cfg, key, out) ? 0 : bv_key_unknown(key, ENOENT, err);

	struct bv_key_ref ref = { .key = path.key, .cfg = cfg, .sub = path.sub };
	if (path.is_nic) {
		ref.nic = bv_config_nic(cfg, path.index);
		if (!ref.nic)
			return bv_fail(err, ENOENT, "there is no network lxc.net.%u", path.index);
		if (path.key->link_type && path.key->link_type != ref.nic->type)
			return bv_fail(err, ENOENT, "%s is for %s, but the type of this network is %s", key,
				       bv_net_type_name(path.key->link_type), bv_net_type_name(ref.nic->type));
	}
	if (!path.key->type->get)
		return bv_fail(err, ENOENT, "%s has no value to read", key);
	if (path.sub && path.key->type->has && !path.key->type->has(path.sub))
		return bv_key_unknown(key, ENOENT, err);
	path.key->type->get(&ref, out);
	return 0;
}

int bv_config_get(const struct bv_config *cfg, const char *key, char **ret, struct bv_error *err)
{
	/* The handlers that read take a struct bv_key_ref as those that write do. */
	struct bv_config *c = (struct bv_config *)cfg;
	char renamed[BV_KEY_NAME_MAX];
	autoclean(bv_buf_clear) struct bv_buf out = { 0 };
	bool unindexed;
	int r = 0;

	*ret = NULL;
	switch (bv_legacy_translate(key, current_nic(cfg), renamed, sizeof(renamed), &unindexed)) {
	case BV_LEGACY_RENAMED:
		r = get_key(c, renamed, &out, err);
		break;
	case BV_LEGACY_IGNORED:
		break;
	case BV_LEGACY_BACKEND:
		if (cfg->rootfs_path && cfg->rootfs_path[0] != '/' && strchr(cfg->rootfs_path, ':'))
			bv_buf_add(&out, cfg->rootfs_path, strcspn(cfg->rootfs_path, ":"));
		break;
	case BV_LEGACY_NO_NIC:
		r = bv_fail(err, ENOENT, "there is no network that %s could belong to", key);
		break;
	case BV_LEGACY_NO:
		r = get_key(c, key, &out, err);
		break;
	}
	if (r < 0)
		return r;
	*ret = bv_buf_take(&out);
	return *ret ? 0 : bv_no_memory(err);
}
