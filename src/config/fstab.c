/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/fstab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/* Words of fstab's fourth field that are neither flags of a mount nor the file system's. */
static const struct {
	const char *word;
	size_t offset, offset2; /* of bools in struct bv_mount_line; 0: ignored */
	bool rootfs;		/* good in lxc.rootfs.options too */
} extras[] = {
#define AT(field) offsetof(struct bv_mount_line, field)
	{ "bind", AT(bind), 0, false },
	{ "rbind", AT(bind), AT(recursive), false },
	{ "move", AT(move), 0, false },
	{ "remount", AT(remount), 0, false },
	{ "optional", AT(optional), 0, false },
	{ "nofail", AT(optional), 0, false },
	{ "relative", AT(relative), 0, false },
	{ "create=dir", AT(create_dir), 0, false },
	{ "create=file", AT(create_file), 0, false },
	{ "auto", 0, 0, true },
	{ "_netdev", 0, 0, true },
#undef AT
};

static void set_bool(struct bv_mount_line *m, size_t offset)
{
	if (offset)
		*(bool *)((char *)m + offset) = true;
}

/* 1: the word was one of LXC's or fstab's own; 0: it is not. */
static int take_extra(struct bv_mount_line *m, const char *word, bool rootfs, struct bv_error *err)
{
	const char *idmap = bv_after(word, "idmap=");
	if (idmap) {
		if (!bv_streq(idmap, "container") && *idmap != '/')
			return bv_fail(err, EINVAL,
				       "idmap=%s: it must be \"container\" or the path of a user namespace", idmap);
		free(m->idmap);
		m->idmap = strdup(idmap);
		return m->idmap ? 1 : bv_fail(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < ARRAY_SIZE(extras); i++) {
		if (!bv_streq(word, extras[i].word))
			continue;
		if (rootfs && !extras[i].rootfs)
			return bv_fail(err, EINVAL, "the option \"%s\" has no meaning for the rootfs", word);
		set_bool(m, extras[i].offset);
		set_bool(m, extras[i].offset2);
		return 1;
	}
	if (bv_after(word, "create="))
		return bv_fail(err, EINVAL, "%s: only create=dir and create=file exist", word);
	return bv_after(word, "x-") != NULL;
}

static int parse_options(struct bv_mount_line *m, const char *options, bool rootfs, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	autoclean(bv_buf_clear) struct bv_buf data = { 0 };
	if (bv_strv_split(&words, options, ",") < 0)
		return bv_fail(err, ENOMEM, "out of memory");

	for (size_t i = 0; i < words.n; i++) {
		int r = take_extra(m, words.v[i], rootfs, err);
		if (r < 0)
			return r;
		if (r == 0 && !bv_mount_word(&m->flags, words.v[i]))
			bv_buf_printf(&data, "%s%s", data.len ? "," : "", words.v[i]);
	}
	m->data = bv_buf_take(&data);
	return m->data ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* fstab writes a blank, a tab, a newline, "\" and "#" as "\" and three octal digits. In place. */
static int decode(char *s, struct bv_error *err)
{
	char *out = s;
	for (; *s; s++) {
		if (*s != '\\' || !is_octal(s[1]) || !is_octal(s[2]) || !is_octal(s[3])) {
			*out++ = *s;
			continue;
		}
		int c = (s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0');
		if (c == 0 || c > 255)
			return bv_fail(err, EINVAL, "\"\\%.3s\" stands for no character of a path", s + 1);
		*out++ = (char)c;
		s += 3;
	}
	*out = '\0';
	return 0;
}

static int check(const struct bv_mount_line *m, struct bv_error *err)
{
	if (!*m->target)
		return bv_fail(err, EINVAL, "the mount has no target");
	if (m->bind + m->move > 1 || (m->move && m->remount))
		return bv_fail(err, EINVAL, "only one of bind, move and remount can be done by one entry");
	if (m->create_dir && m->create_file)
		return bv_fail(err, EINVAL, "only one of create=dir and create=file can be given");
	if (m->bind || m->move || m->remount)
		return 0;
	if (bv_streq(m->type, "none")) {
		bv_fail(err, EINVAL, "a mount of type \"none\" needs one of the options bind, rbind, move, remount");
		return bv_hint(err, "%s %s none bind 0 0", m->source, m->target);
	}
	if (bv_streq(m->type, "auto")) {
		bv_fail(err, EINVAL, "the type \"auto\" is not supported for %s", m->source);
		return bv_hint(err, "name the file system: ext4, xfs, ...");
	}
	return 0;
}

int bv_mount_line_parse(struct bv_mount_line *ret, const char *line, struct bv_error *err)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m = { 0 };
	autoclean(bv_strv_clear) struct bv_strv fields = { 0 };
	memset(ret, 0, sizeof(*ret));

	if (bv_strv_split(&fields, line, " \t\r\n") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	if (fields.n == 0 || fields.v[0][0] == '#')
		return 0;
	if (fields.n < 3)
		return bv_fail(err, EINVAL, "a mount needs at least: SOURCE TARGET TYPE [OPTIONS]");
	if (fields.n > 6) {
		bv_fail(err, EINVAL, "there are %zu fields, a mount has at most 6", fields.n);
		return bv_hint(err, "a blank in a path is written as \\040");
	}
	char **const to[] = { &m.source, &m.target, &m.type };
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		int r = decode(fields.v[i], err);
		if (r < 0)
			return r;
		*to[i] = take_ptr(fields.v[i]);
	}
	/* The list frees what it still holds: it must have no hole. */
	fields.n -= ARRAY_SIZE(to);
	memmove(fields.v, fields.v + ARRAY_SIZE(to), (fields.n + 1) * sizeof(*fields.v));

	int r = fields.n ? decode(fields.v[0], err) : 0;
	m.options = strdup(fields.n ? fields.v[0] : "");
	if (!m.options)
		return bv_fail(err, ENOMEM, "out of memory");
	if (r == 0)
		r = parse_options(&m, fields.n ? fields.v[0] : "", false, err);
	if (r == 0)
		r = check(&m, err);
	if (r < 0)
		return r;
	*ret = m;
	memset(&m, 0, sizeof(m));
	return 1;
}

int bv_mount_options_parse(struct bv_mount_line *ret, const char *options, struct bv_error *err)
{
	memset(ret, 0, sizeof(*ret));
	int r = parse_options(ret, options, true, err);
	if (r < 0)
		bv_mount_line_clear(ret);
	return r;
}

void bv_mount_line_clear(struct bv_mount_line *m)
{
	free(m->source);
	free(m->target);
	free(m->type);
	free(m->data);
	free(m->options);
	free(m->idmap);
	memset(m, 0, sizeof(*m));
}

int bv_mount_overlay_dirs(const char *data, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	if (bv_strv_split(&words, data, ",") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < words.n; i++) {
		const char *dir = bv_after(words.v[i], "upperdir=");
		if (!dir)
			dir = bv_after(words.v[i], "workdir=");
		int r = dir ? bv_mkdir_p(AT_FDCWD, dir, 0755) : 0;
		if (r < 0)
			return bv_fail(err, -r, "cannot make the directory %s: %s", dir, strerror(-r));
	}
	return 0;
}

/* ---- all lines of a config ---- */

static int with_line(const char *line, const char *where, bv_mount_line_fn fn, void *ctx, struct bv_error *err)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m = { 0 };
	struct bv_error own = { 0 };
	int r = bv_mount_line_parse(&m, line, &own);
	if (r > 0)
		r = fn(ctx, &m, where, &own);
	if (r >= 0)
		return 0;
	if (m.optional) {
		bv_info("mounts", "%s: %s (optional)", where, own.what);
		return 0;
	}
	bv_error_prefix(&own, "%s", where);
	if (err && !err->code)
		*err = own;
	return r;
}

static int each_fstab_line(const char *path, bv_mount_line_fn fn, void *ctx, struct bv_error *err)
{
	autofree char *text = NULL;
	int r = bv_read_file(AT_FDCWD, path, 0, &text, NULL);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot read lxc.mount.fstab %s", path);
	}
	char *rest = text, *line;
	for (unsigned int n = 1; r == 0 && (line = strsep(&rest, "\n")); n++) {
		autofree char *where = bv_asprintf("%s, line %u", path, n);
		r = where ? with_line(line, where, fn, ctx, err) : bv_fail(err, ENOMEM, "out of memory");
	}
	return r;
}

int bv_mount_lines_each(const struct bv_config *cfg, bv_mount_line_fn fn, void *ctx, struct bv_error *err)
{
	int r = cfg->mount_fstab ? each_fstab_line(cfg->mount_fstab, fn, ctx, err) : 0;
	for (size_t i = 0; r == 0 && i < cfg->mount_entries.n; i++) {
		autofree char *where = bv_asprintf("lxc.mount.entry = %s", cfg->mount_entries.v[i]);
		r = where ? with_line(cfg->mount_entries.v[i], where, fn, ctx, err)
			  : bv_fail(err, ENOMEM, "out of memory");
	}
	return r;
}

/* What follows the directory `prefix` in `path`, or NULL when it does not begin with it. */
static const char *below(const char *path, const char *prefix)
{
	size_t len = strlen(prefix);
	while (len > 0 && prefix[len - 1] == '/')
		len--;
	if (len == 0 || strncmp(path, prefix, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return path + len;
}

const char *bv_mount_target_inside(const struct bv_config *cfg, const char *lxcpath, const char *name,
				   const char *target)
{
	if (*target != '/')
		return target;
	autofree char *standard = bv_asprintf("%s/%s/rootfs", lxcpath, name);
	const char *path = cfg->rootfs_path ? cfg->rootfs_path : "";
	const char *const prefixes[] = {
		standard ? standard : "",
		bv_after(path, "dir:") ? bv_after(path, "dir:") : path,
		cfg->rootfs_mount ? cfg->rootfs_mount : BV_ROOTFSMOUNT,
	};
	const char *inside = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && !inside; i++)
		inside = below(target, prefixes[i]);
	return inside;
}
