/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/cleanup.h"
#include "util/num.h"

/* Types of keys about capabilities, namespaces, id maps, seccomp and hooks. */

/* ---- lxc.cap.drop (`arg` 0) and lxc.cap.keep (`arg` 1) ---- */

static int check_capability(const char *word, struct bv_error *err)
{
	if (bv_cap_parse(word) >= 0)
		return 0;
	int r = bv_fail(err, EINVAL, "\"%s\" is not a capability", word);
	const char *near = bv_cap_nearest(word);
	if (near)
		bv_hint(err, "did you mean %s?", near);
	return r;
}

static int caps_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_config *cfg = r->cfg;
	bool keep = r->key->arg;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 }, names = { 0 };

	if (keep ? cfg->cap_drop.n > 0 : cfg->cap_keep_set) {
		int ret = bv_fail(err, EINVAL, "lxc.cap.drop and lxc.cap.keep exclude each other");
		bv_hint(err, "clear the other one first: %s =", keep ? "lxc.cap.drop" : "lxc.cap.keep");
		return ret;
	}
	if (bv_strv_split(&words, value, " \t") < 0)
		return bv_no_memory(err);
	bool emptied = false;
	for (size_t i = 0; i < words.n; i++) {
		/* "none" empties what is kept so far. */
		if (keep && bv_streq(words.v[i], "none")) {
			bv_strv_clear(&names);
			emptied = true;
			continue;
		}
		int ret = check_capability(words.v[i], err);
		if (ret < 0)
			return ret;
		if (bv_strv_add(&names, words.v[i]) < 0)
			return bv_no_memory(err);
	}
	if (emptied)
		bv_strv_clear(&cfg->cap_keep);
	if (bv_strv_copy(bv_key_field(r), &names) < 0)
		return bv_no_memory(err);
	cfg->cap_keep_set |= keep;
	return 0;
}

static void caps_clear(const struct bv_key_ref *r)
{
	bv_lines_clear(r);
	if (r->key->arg)
		r->cfg->cap_keep_set = false;
}

static void caps_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	if (r->key->arg && r->cfg->cap_keep_set && r->cfg->cap_keep.n == 0)
		bv_dump_line(out, name, "none");
	bv_lines_dump(r, name, out);
}

const struct bv_key_type bv_type_caps = { caps_set, bv_lines_get, caps_clear, caps_dump, 0, NULL };

/* ---- lxc.namespace.clone (`arg` 0) and lxc.namespace.keep (`arg` 1); offset2 is the flag ---- */

/* The kernel's names only: lxc-attach's are for the command line. */
static int parse_namespace(const char *name)
{
	int ns = bv_ns_parse(name);
	return ns >= 0 && bv_streq(name, bv_ns_name(ns)) ? ns : -EINVAL;
}

static int bad_namespace(const char *name, struct bv_error *err)
{
	return bv_fail(err, EINVAL, "\"%s\" is none of user, mnt, pid, uts, ipc, net, cgroup, time", name);
}

static int namespaces_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_config *cfg = r->cfg;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	unsigned int bits = 0;

	if (r->key->arg ? cfg->ns_clone_set : cfg->ns_keep_set)
		return bv_fail(err, EINVAL, "lxc.namespace.clone and lxc.namespace.keep exclude each other");
	if (bv_strv_split(&words, value, " \t") < 0)
		return bv_no_memory(err);
	for (size_t i = 0; i < words.n; i++) {
		int ns = parse_namespace(words.v[i]);
		if (ns < 0)
			return bad_namespace(words.v[i], err);
		bits |= 1U << ns;
	}
	*(unsigned int *)bv_key_field(r) |= bits;
	*(bool *)((char *)cfg + r->key->offset2) = true;
	return 0;
}

static void namespaces_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	unsigned int bits = *(unsigned int *)bv_key_field(r);
	for (int ns = 0; ns < BV_NS_COUNT; ns++)
		if (bits & (1U << ns))
			bv_buf_printf(out, "%s\n", bv_ns_name(ns));
}

static void namespaces_clear(const struct bv_key_ref *r)
{
	*(unsigned int *)bv_key_field(r) = 0;
	*(bool *)((char *)r->cfg + r->key->offset2) = false;
}

static void namespaces_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	unsigned int bits = *(unsigned int *)bv_key_field(r);
	for (int ns = 0; ns < BV_NS_COUNT; ns++)
		if (bits & (1U << ns))
			bv_dump_line(out, name, bv_ns_name(ns));
}

const struct bv_key_type bv_type_namespaces = {
	namespaces_set, namespaces_get, namespaces_clear, namespaces_dump, 0, NULL,
};

/* ---- lxc.namespace.share.NS ---- */

static bool share_has(const char *sub)
{
	return parse_namespace(sub) >= 0;
}

static int share_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	int ns = r->sub ? parse_namespace(r->sub) : -EINVAL;
	if (ns < 0)
		return bad_namespace(r->sub ? r->sub : "", err);
	char *copy = strdup(value);
	if (!copy)
		return bv_no_memory(err);
	free(r->cfg->ns_share[ns]);
	r->cfg->ns_share[ns] = copy;
	return 0;
}

static void share_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char whole[64];
	for (int ns = 0; ns < BV_NS_COUNT; ns++) {
		if (!r->cfg->ns_share[ns])
			continue;
		snprintf(whole, sizeof(whole), "%s.%s", name, bv_ns_name(ns));
		bv_dump_line(out, whole, r->cfg->ns_share[ns]);
	}
}

static void share_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	int ns = r->sub ? parse_namespace(r->sub) : -EINVAL;
	if (!r->sub)
		share_dump(r, r->key->name, out);
	else if (ns >= 0 && r->cfg->ns_share[ns])
		bv_buf_puts(out, r->cfg->ns_share[ns]);
}

static void share_clear(const struct bv_key_ref *r)
{
	for (int ns = 0; ns < BV_NS_COUNT; ns++) {
		if (r->sub && !bv_streq(r->sub, bv_ns_name(ns)))
			continue;
		free(r->cfg->ns_share[ns]);
		r->cfg->ns_share[ns] = NULL;
	}
}

const struct bv_key_type bv_type_namespace_share = { share_set, share_get, share_clear, share_dump, 0, share_has };

/* ---- lxc.idmap ---- */

static int idmap_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_config *cfg = r->cfg;
	struct bv_idmap map;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };

	if (bv_strv_split(&words, value, " \t") < 0)
		return bv_no_memory(err);
	if (words.n != 4 || (!bv_streq(words.v[0], "u") && !bv_streq(words.v[0], "g")))
		return bv_fail(err, EINVAL, "\"%s\" is not of the form \"u|g NSID HOSTID RANGE\"", value);
	map.kind = words.v[0][0];
	if (bv_parse_u32(words.v[1], &map.ns_id) < 0 || bv_parse_u32(words.v[2], &map.host_id) < 0 ||
	    bv_parse_u32(words.v[3], &map.range) < 0)
		return bv_fail(err, EINVAL, "\"%s\" has something else than a number up to %" PRIu32, value,
			       UINT32_MAX);
	if (bv_array_grow(&cfg->idmaps, cfg->n_idmaps, sizeof(map)) < 0)
		return bv_no_memory(err);
	cfg->idmaps[cfg->n_idmaps++] = map;
	return 0;
}

static void idmap_format(const struct bv_idmap *m, char *buf, size_t size)
{
	snprintf(buf, size, "%c %" PRIu32 " %" PRIu32 " %" PRIu32, m->kind, m->ns_id, m->host_id, m->range);
}

static void idmap_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	char line[64];
	size_t start = out->len;
	for (size_t i = 0; i < r->cfg->n_idmaps; i++) {
		idmap_format(&r->cfg->idmaps[i], line, sizeof(line));
		bv_buf_separate(out, start, '\n');
		bv_buf_puts(out, line);
	}
}

static void idmap_clear(const struct bv_key_ref *r)
{
	free(r->cfg->idmaps);
	r->cfg->idmaps = NULL;
	r->cfg->n_idmaps = 0;
}

static void idmap_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char line[64];
	for (size_t i = 0; i < r->cfg->n_idmaps; i++) {
		idmap_format(&r->cfg->idmaps[i], line, sizeof(line));
		bv_dump_line(out, name, line);
	}
}

const struct bv_key_type bv_type_idmap = { idmap_set, idmap_get, idmap_clear, idmap_dump, 0, NULL };

/* ---- lxc.seccomp.notify.proxy: kept as written, read back without "unix:" and "@" as in LXC ---- */

static int proxy_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	const char *address = bv_after(value, "unix:");
	if (!address || (address[0] != '/' && address[0] != '@') || !address[1])
		return bv_fail(err, EINVAL, "\"%s\" is neither unix:/PATH nor unix:@NAME", value);
	/* sun_path has 108 bytes, the NUL included */
	if (strlen(address) > 107)
		return bv_fail(err, EINVAL, "\"%.60s...\" is too long for a socket address", value);
	return bv_string_replace(r, value, err);
}

static void proxy_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const char *address = r->cfg->seccomp_notify_proxy ? bv_after(r->cfg->seccomp_notify_proxy, "unix:") : NULL;
	if (address)
		bv_buf_puts(out, address[0] == '@' ? address + 1 : address);
}

const struct bv_key_type bv_type_notify_proxy = { proxy_set, proxy_get, bv_string_clear, bv_string_dump, 0, NULL };

/* ---- lxc.hook: all hooks at once ---- */

static int hooks_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	(void)r;
	int ret = bv_fail(err, EINVAL, "it takes no value, but \"%.80s\" was given", value);
	bv_hint(err, "name the hook: lxc.hook.pre-start = %.80s", value);
	return ret;
}

static void hooks_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_dump_below(r->cfg, r->key->name, out);
}

static void hooks_clear(const struct bv_key_ref *r)
{
	for (int i = 0; i < BV_HOOK_COUNT; i++)
		bv_strv_clear(&r->cfg->hooks[i]);
}

static void hooks_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	(void)r, (void)name, (void)out; /* each hook has a row of its own */
}

const struct bv_key_type bv_type_hooks = { hooks_set, hooks_get, hooks_clear, hooks_dump, 0, NULL };
