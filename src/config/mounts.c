/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/num.h"

/* Types of keys about the rootfs, mounts, cgroup paths and the console's buffers. */

/* ---- lxc.rootfs.path ---- */

/* The path behind "TYPE:", which the getter leaves out as LXC does. */
static const char *without_type(const char *path)
{
	size_t n = strcspn(path, ":/");
	return n > 0 && path[n] == ':' ? path + n + 1 : path;
}

static int rootfs_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	const char *backend = r->cfg->text->backend;
	if (!*without_type(value))
		return bv_fail(err, EINVAL, "\"%s\" has a storage type but no path", value);
	if (!backend || without_type(value) != value)
		return bv_string_replace(r, value, err);

	autofree char *whole = bv_asprintf("%s:%s", backend, value);
	return whole ? bv_string_replace(r, whole, err) : bv_no_memory(err);
}

static void rootfs_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	if (r->cfg->rootfs_path)
		bv_buf_puts(out, without_type(r->cfg->rootfs_path));
}

const struct bv_key_type bv_type_rootfs_path = { rootfs_set, rootfs_get, bv_string_clear, bv_string_dump, 0, NULL };

/* ---- lxc.rootfs.options: mount options, without those that only a mount entry can have ---- */

static int options_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv options = { 0 };
	if (bv_strv_split(&options, value, ",") < 0)
		return bv_no_memory(err);
	for (size_t i = 0; i < options.n; i++) {
		const char *o = bv_strip(options.v[i]), *idmap = bv_after(o, "idmap=");
		if (bv_streq(o, "optional") || bv_streq(o, "relative") || bv_after(o, "create="))
			return bv_fail(err, EINVAL, "\"%s\" is for lxc.mount.entry, not for the rootfs", o);
		if (idmap && !bv_streq(idmap, "container") && idmap[0] != '/')
			return bv_fail(err, EINVAL, "\"%s\": idmap is \"container\" or the path of a user namespace",
				       o);
	}
	return bv_string_replace(r, value, err);
}

const struct bv_key_type bv_type_rootfs_options = {
	options_set, bv_string_get, bv_string_clear, bv_string_dump, 0, NULL,
};

/* ---- lxc.cgroup.dir*: a path below the cgroup root, written without doubled slashes; `arg` 1: one component ---- */

static int relative_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv parts = { 0 };
	autoclean(bv_buf_clear) struct bv_buf path = { 0 };

	if (value[0] == '/')
		return bv_fail(err, EINVAL, "\"%s\" begins with a slash, but must be relative", value);
	if (bv_strv_split(&parts, value, "/") < 0)
		return bv_no_memory(err);
	for (size_t i = 0; i < parts.n; i++) {
		if (bv_streq(parts.v[i], ".."))
			return bv_fail(err, EINVAL, "\"%s\" must not contain \"..\"", value);
		if (bv_streq(parts.v[i], "."))
			continue;
		if (path.len > 0 && r->key->arg)
			return bv_fail(err, EINVAL, "\"%s\" must be one name without slashes", value);
		bv_buf_separate(&path, 0, '/');
		bv_buf_puts(&path, parts.v[i]);
	}
	if (path.bad)
		return bv_no_memory(err);
	if (path.len == 0)
		return bv_fail(err, EINVAL, "\"%s\" names no directory", value);
	return bv_string_replace(r, path.p, err);
}

const struct bv_key_type bv_type_relative_path = {
	relative_set, bv_string_get, bv_string_clear, bv_string_dump, 0, NULL,
};

/* ---- lxc.console.buffer.size, lxc.console.size ---- */

/* Limits of LXC: `auto` is 128 KiB; 1 TiB is beyond any use and keeps the rounding from overflowing. */
enum { CONSOLE_AUTO = 128 * 1024, CONSOLE_LEAST = 4096 };
static const uint64_t console_most = UINT64_C(1) << 40;

static int console_size_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	uint64_t size, rounded = CONSOLE_LEAST;
	if (bv_streq(value, "auto"))
		size = CONSOLE_AUTO;
	else if (bv_parse_size(value, 1, &size) < 0 || size > console_most)
		return bv_fail(err, EINVAL, "\"%s\" is neither \"auto\" nor a size up to 1024G", value);
	while (rounded < size)
		rounded *= 2;
	if (size == 0)
		rounded = 0;
	else if (rounded != size)
		bv_notice("config", "%s: %" PRIu64 " bytes are rounded up to %" PRIu64, r->key->name, size, rounded);
	*(uint64_t *)bv_key_field(r) = rounded;
	return 0;
}

static void console_size_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_type_size.get(r, out);
}

static void console_size_clear(const struct bv_key_ref *r)
{
	*(uint64_t *)bv_key_field(r) = 0;
}

const struct bv_key_type bv_type_console_size = {
	console_size_set, console_size_get, console_size_clear, NULL, sizeof(uint64_t), NULL,
};

/* ---- lxc.mount.auto ---- */

static const char *const automount_words[] = {
	[BV_AUTO_RO] = "ro",
	[BV_AUTO_MIXED] = "mixed",
	[BV_AUTO_RW] = "rw",
};

/* What stands behind a word: "" or ":mode", and for cgroups ":force". False: neither. */
static bool parse_mode(const char *rest, enum bv_automount *mode, bool *force)
{
	if (*rest && *rest != ':')
		return false;
	for (int i = BV_AUTO_RO; *rest && i <= BV_AUTO_RW; i++) {
		const char *after = bv_after(rest + 1, automount_words[i]);
		if (after && (*after == '\0' || *after == ':')) {
			*mode = i;
			rest = after;
			break;
		}
	}
	if (force && bv_streq(rest, ":force")) {
		*force = true;
		rest = "";
	}
	return *rest == '\0';
}

static bool parse_cgroup(struct bv_mount_auto *m, const char *word)
{
	enum bv_automount mode = BV_AUTO_UNSPECIFIED;
	bool force = false, full = false, v2 = false;
	const char *rest = bv_after(word, "cgroup-full");
	if (rest) {
		full = true;
	} else if ((rest = bv_after(word, "cgroup2"))) {
		v2 = true;
	} else {
		rest = bv_after(word, "cgroup");
	}
	if (!rest || !parse_mode(rest, &mode, &force))
		return false;
	m->cgroup = mode;
	m->cgroup_full = full;
	m->cgroup2 = v2;
	m->cgroup_force = force;
	return true;
}

static int parse_shmounts(struct bv_mount_auto *m, const char *paths, struct bv_error *err)
{
	const char *colon = strchrnul(paths, ':'), *inside = *colon && colon[1] ? colon + 1 : "/dev/.lxc-mounts";
	if (colon == paths)
		return bv_fail(err, EINVAL, "shmounts needs a path: shmounts:/HOST/PATH[:/CONTAINER/PATH]");
	autofree char *host = strndup(paths, (size_t)(colon - paths)), *container = strdup(inside);
	if (!host || !container)
		return bv_no_memory(err);
	free(m->shmounts_host);
	free(m->shmounts_container);
	m->shmounts_host = take_ptr(host);
	m->shmounts_container = take_ptr(container);
	return 0;
}

static int parse_automount(struct bv_mount_auto *m, const char *word, struct bv_error *err)
{
	const char *rest;
	enum bv_automount mode = BV_AUTO_MIXED;

	if ((rest = bv_after(word, "shmounts")) && (*rest == ':' || !*rest))
		return parse_shmounts(m, *rest ? rest + 1 : rest, err);
	if ((rest = bv_after(word, "proc")) && parse_mode(rest, &mode, NULL) && mode != BV_AUTO_RO) {
		m->proc = mode;
		return 0;
	}
	if ((rest = bv_after(word, "sys")) && parse_mode(rest, &mode, NULL)) {
		m->sys = mode;
		return 0;
	}
	if (parse_cgroup(m, word))
		return 0;
	return bv_fail(
		err, EINVAL,
		"\"%s\" is none of proc[:mixed|rw], sys[:mixed|ro|rw], cgroup[:mixed|ro|rw][:force], cgroup-full, "
		"cgroup2, shmounts:PATH",
		word);
}

static void mount_auto_free(struct bv_mount_auto *m)
{
	free(m->shmounts_host);
	free(m->shmounts_container);
	*m = (struct bv_mount_auto){ 0 };
}

static int mount_auto_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_mount_auto *m = &r->cfg->mount_auto;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	if (bv_strv_split(&words, value, " \t") < 0)
		return bv_no_memory(err);

	/* Work on a copy whose paths are its own, so that a bad word leaves the old value whole. */
	autoclean(mount_auto_free) struct bv_mount_auto copy = *m;
	copy.shmounts_host = copy.shmounts_container = NULL;
	int ret = 0;
	for (size_t i = 0; i < words.n && ret == 0; i++)
		ret = parse_automount(&copy, words.v[i], err);
	if (ret < 0)
		return ret;
	if (!copy.shmounts_host) {
		copy.shmounts_host = take_ptr(m->shmounts_host);
		copy.shmounts_container = take_ptr(m->shmounts_container);
	}
	mount_auto_free(m);
	*m = copy;
	copy = (struct bv_mount_auto){ 0 };
	return 0;
}

static void put_automount(struct bv_buf *out, const char *word, enum bv_automount mode, bool force)
{
	bv_buf_separate(out, 0, ' ');
	bv_buf_puts(out, word);
	if (mode != BV_AUTO_UNSPECIFIED)
		bv_buf_printf(out, ":%s", automount_words[mode]);
	if (force)
		bv_buf_puts(out, ":force");
}

static void mount_auto_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const struct bv_mount_auto *m = &r->cfg->mount_auto;
	autoclean(bv_buf_clear) struct bv_buf line = { 0 };
	if (m->proc)
		put_automount(&line, "proc", m->proc, false);
	if (m->sys)
		put_automount(&line, "sys", m->sys, false);
	if (m->cgroup)
		put_automount(&line,
			      m->cgroup2       ? "cgroup2"
			      : m->cgroup_full ? "cgroup-full"
					       : "cgroup",
			      m->cgroup, m->cgroup_force);
	if (m->shmounts_host) {
		bv_buf_separate(&line, 0, ' ');
		bv_buf_printf(&line, "shmounts:%s:%s", m->shmounts_host, m->shmounts_container);
	}
	out->bad |= line.bad;
	if (line.len > 0)
		bv_buf_add(out, line.p, line.len);
}

static void mount_auto_clear(const struct bv_key_ref *r)
{
	mount_auto_free(&r->cfg->mount_auto);
}

static void mount_auto_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	autoclean(bv_buf_clear) struct bv_buf value = { 0 };
	mount_auto_get(r, &value);
	out->bad |= value.bad;
	if (value.len > 0)
		bv_dump_line(out, name, value.p);
}

const struct bv_key_type bv_type_mount_auto = {
	mount_auto_set, mount_auto_get, mount_auto_clear, mount_auto_dump, 0, NULL,
};
