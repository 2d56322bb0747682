/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"

/* Reading files: lines, includes, limits. */

static const char *skip_blanks(const char *s, const char *end)
{
	while (s < end && (*s == ' ' || *s == '\t' || *s == '\r'))
		s++;
	return s;
}

static const char *cut_blanks(const char *s, const char *end)
{
	while (end > s && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	return end;
}

void bv_parse_split(struct bv_line *ret, const char *line, size_t len)
{
	const char *end = line + len, *key = skip_blanks(line, end);
	const char *equals = memchr(key, '=', (size_t)(end - key));

	*ret = (struct bv_line){ .key = key, .key_len = (size_t)(cut_blanks(key, equals ? equals : end) - key) };
	if (!equals)
		return;
	const char *value = skip_blanks(equals + 1, end);
	end = cut_blanks(value, end);
	if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
		value++;
		end--;
	}
	ret->value = value;
	ret->value_len = (size_t)(end - value);
}

static bool begins(const struct bv_line *line, const char *word)
{
	size_t n = strlen(word);
	return line->key_len >= n && memcmp(line->key, word, n) == 0;
}

bool bv_parse_is_ours(const struct bv_line *line)
{
	return begins(line, "lxc.") || begins(line, "vm.") || begins(line, "engine.") ||
	       (line->key_len == strlen("engine") && begins(line, "engine"));
}

/* A MAC that was a template is put into the text, so that the next save keeps it. Both have 17 characters. */
static void keep_mac(struct bv_config *cfg, const struct bv_key_path *path, char *value, size_t len)
{
	struct bv_nic *nic = path->is_nic && path->key ? bv_config_nic(cfg, path->index) : NULL;
	if (nic && nic->hwaddr && bv_streq(path->key->name, "hwaddr") && strlen(nic->hwaddr) == len)
		memcpy(value, nic->hwaddr, len);
}

/* `line` is writable and has one byte behind it; it is left as it was, but for a MAC. */
static int parse_line(struct bv_config *cfg, struct bv_parse *p, char *line, size_t len, struct bv_error *err)
{
	struct bv_line parts;
	const char *first = skip_blanks(line, line + len);
	if (len > BV_LINE_MAX)
		return bv_fail(err, E2BIG, "the line has %zu bytes, more than %d", len, BV_LINE_MAX);
	if (first == line + len || *first == '#')
		return 0;
	bv_parse_split(&parts, line, len);
	if (!bv_parse_is_ours(&parts))
		return 0;
	if (!parts.value) {
		int r = bv_fail(err, EINVAL, "\"%.*s\" has no '='", (int)(parts.key_len < 80 ? parts.key_len : 80),
				parts.key);
		bv_hint(err, "a line is KEY = VALUE");
		return r;
	}

	/* Both end before the line does, hence within the buffer. */
	char *key = line + (parts.key - line), *value = line + (parts.value - line);
	char key_end = key[parts.key_len], value_end = value[parts.value_len];
	struct bv_key_path path;
	key[parts.key_len] = '\0';
	value[parts.value_len] = '\0';
	int r = bv_config_apply(cfg, p, key, value, &path, NULL, err);
	key[parts.key_len] = key_end;
	value[parts.value_len] = value_end;
	if (r == 0 && p->depth == 0)
		keep_mac(cfg, &path, value, parts.value_len);
	return r;
}

/* "FILE:LINE: " in front of the sentence. A file that was opened relative to a directory is named with it. */
static void report(struct bv_parse *p, unsigned long line, struct bv_error *err)
{
	char link[64], dir[512];
	ssize_t n = -1;

	if (p->reported || !err)
		return;
	p->reported = true;
	if (p->dirfd != AT_FDCWD && p->name[0] != '/') {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", p->dirfd);
		n = readlink(link, dir, sizeof(dir) - 1);
	}
	if (n > 0) {
		dir[n] = '\0';
		bv_error_prefix(err, "%.250s/%.250s:%lu", dir, p->name, line);
	} else {
		bv_error_prefix(err, "%.500s:%lu", p->name, line);
	}
}

/* `text` is writable and has one byte behind it. */
static int parse_text(struct bv_config *cfg, struct bv_parse *p, char *text, size_t len, struct bv_error *err)
{
	const char *nul = memchr(text, '\0', len);
	unsigned long number = 1;
	int r = 0;

	if (nul) {
		for (const char *s = text; s < nul; s++)
			number += *s == '\n';
		r = bv_fail(err, EINVAL, "the file has a NUL byte");
		report(p, number, err);
		return r;
	}
	for (char *line = text, *end = text + len; line < end && r == 0; number++) {
		char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t n = (size_t)((newline ? newline : end) - line);
		r = parse_line(cfg, p, line, n, err);
		if (r < 0)
			report(p, number, err);
		line += n + 1;
	}
	return r;
}

/*
 * All of a file. A regular file has been read when a read comes back short, so that it costs one call. The buffer has
 * one byte more than *len.
 */
static int read_all(int fd, const struct stat *st, char **ret, size_t *len)
{
	/* Files of /proc say 0. */
	bool sized = S_ISREG(st->st_mode) && st->st_size > 0;
	size_t size = sized ? (size_t)st->st_size : 4096, used = 0;
	if (sized && st->st_size > BV_FILE_MAX)
		return -EFBIG;
	autofree char *buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, buf + used, size + 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		used += (size_t)n;
		if (used > BV_FILE_MAX)
			return -EFBIG;
		if (n == 0 || (sized && used <= size))
			break;
		if (used <= size)
			continue;
		size *= 2;
		char *bigger = realloc(buf, size + 1);
		if (!bigger)
			return -ENOMEM;
		buf = bigger;
	}
	*ret = take_ptr(buf);
	*len = used;
	return 0;
}

static int count_file(struct bv_parse *p, const struct stat *st, size_t len, struct bv_error *err)
{
	p->n_bytes += len;
	if (++p->n_files > BV_INCLUDE_FILES || p->n_bytes > BV_INCLUDE_BYTES)
		return bv_fail(err, E2BIG, "more than %d files or %d MiB are included", BV_INCLUDE_FILES,
			       BV_INCLUDE_BYTES >> 20);
	for (unsigned int i = 0; i < p->depth; i++)
		if (p->open[i].dev == st->st_dev && p->open[i].ino == st->st_ino)
			return bv_fail(err, ELOOP, "%s includes itself", p->name);
	p->open[p->depth].dev = st->st_dev;
	p->open[p->depth].ino = st->st_ino;
	return 0;
}

/* Read and parse the included file that is open as `fd`. */
static int include_file(struct bv_config *cfg, struct bv_parse *p, int fd, const struct stat *st, struct bv_error *err)
{
	autofree char *text = NULL;
	size_t len;

	/* /dev/null is how one says "nothing"; the rest of the devices, and fifos, could block or do harm. */
	if (S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3))
		return 0;
	if (!S_ISREG(st->st_mode))
		return bv_fail(err, EINVAL, "%s is not a regular file", p->name);
	int r = read_all(fd, st, &text, &len);
	if (r == -EFBIG)
		return bv_fail(err, EFBIG, "%s is larger than %d MiB", p->name, BV_FILE_MAX >> 20);
	if (r < 0)
		return bv_fail(err, r, "cannot read %s: %s", p->name, strerror(-r));
	r = count_file(p, st, len, err);
	return r < 0 ? r : parse_text(cfg, p, text, len, err);
}

static int include_path(struct bv_config *cfg, struct bv_parse *p, const char *path, struct bv_error *err);

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every "x.conf" of the directory, in the order of the names. */
static int include_directory(struct bv_config *cfg, struct bv_parse *p, int *fd, const char *path, struct bv_error *err)
{
	autodir DIR *d = fdopendir(*fd);
	if (!d)
		return bv_fail_errno(err, "cannot read the directory %s", path);
	take_fd(fd);

	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	const struct dirent *e;
	while ((e = readdir(d))) {
		size_t n = strlen(e->d_name);
		if (n < 6 || !bv_streq(e->d_name + n - 5, ".conf"))
			continue;
		if (bv_strv_addf(&files, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", e->d_name) < 0)
			return bv_no_memory(err);
	}
	if (files.n > 1)
		qsort(files.v, files.n, sizeof(files.v[0]), by_name);
	int r = 0;
	for (size_t i = 0; i < files.n && r == 0; i++)
		r = include_path(cfg, p, files.v[i], err);
	return r;
}

static int include_path(struct bv_config *cfg, struct bv_parse *p, const char *path, struct bv_error *err)
{
	if (p->depth >= BV_INCLUDE_DEPTH)
		return bv_fail(err, ELOOP, "%s is included more than %d levels deep", path, BV_INCLUDE_DEPTH);

	/* O_NONBLOCK: the open of a fifo must not wait for its writer. */
	autoclose int fd = openat(p->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	if (fd < 0 && errno == ENOENT && path[strlen(path) - 1] == '/')
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return bv_fail_errno(err, "cannot open %s", path);

	const char *outer = p->name;
	p->depth++;
	p->name = path;
	int r;
	if (S_ISDIR(st.st_mode)) {
		p->open[p->depth].dev = st.st_dev;
		p->open[p->depth].ino = st.st_ino;
		r = include_directory(cfg, p, &fd, path, err);
	} else {
		r = include_file(cfg, p, fd, &st, err);
	}
	p->depth--;
	p->name = outer;
	return r;
}

/* ---- lxc.include ---- */

static int include_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_parse fresh = { .dirfd = AT_FDCWD, .name = "" };
	struct bv_parse *p = r->parse ? r->parse : &fresh;
	const char *slash = strrchr(p->name, '/');

	/* Relative to the file, not to where the caller happens to be: that could be anybody's directory. */
	if (value[0] == '/' || !slash)
		return include_path(r->cfg, p, value, err);
	autofree char *path = bv_asprintf("%.*s%s", (int)(slash + 1 - p->name), p->name, value);
	return path ? include_path(r->cfg, p, path, err) : bv_no_memory(err);
}

static void include_clear(const struct bv_key_ref *r)
{
	(void)r; /* what was read stays; an empty lxc.include is accepted as LXC does */
}

static void include_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	(void)r, (void)name, (void)out; /* a dump has the keys themselves */
}

const struct bv_key_type bv_type_include = { include_set, NULL, include_clear, include_dump, 0, NULL };

/* ---- the file itself ---- */

/* Take `text` (malloc'ed, with room for one byte behind `len`) into the kept text, and parse it there. */
static int parse_kept(struct bv_config *cfg, struct bv_parse *p, char *text, size_t len, struct bv_error *err)
{
	struct bv_buf *kept = &cfg->text->buf;
	size_t start = 0;

	if (kept->len == 0) {
		bv_buf_clear(kept);
		*kept = (struct bv_buf){ .p = text, .len = len, .cap = len + 1 };
		text[len] = '\0';
	} else {
		if (kept->p[kept->len - 1] != '\n')
			bv_buf_putc(kept, '\n');
		start = kept->len;
		bv_buf_add(kept, text, len);
		free(text);
		if (kept->bad)
			return bv_no_memory(err);
	}
	return parse_text(cfg, p, kept->p + start, len, err);
}

int bv_config_load(struct bv_config *cfg, int dirfd, const char *path, struct bv_error *err)
{
	struct bv_parse p = { .dirfd = dirfd, .name = path };
	autofree char *text = NULL;
	size_t len;
	struct stat st;

	/* A pipe of the shell's has its writer already; a fifo without one must not hold up lxc-ls, and is empty. */
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return bv_fail_errno(err, "cannot open the config %s", path);
	if (!S_ISREG(st.st_mode) && fcntl(fd, F_SETFL, O_RDONLY) < 0)
		return bv_fail_errno(err, "cannot read the config %s", path);
	int r = S_ISDIR(st.st_mode) ? -EISDIR : read_all(fd, &st, &text, &len);
	if (r == -EFBIG)
		return bv_fail(err, EFBIG, "the config %s is larger than %d MiB", path, BV_FILE_MAX >> 20);
	if (r < 0)
		return bv_fail(err, r, "cannot read the config %s: %s", path, strerror(-r));
	close_fd(&fd);
	p.open[0].dev = st.st_dev;
	p.open[0].ino = st.st_ino;
	return parse_kept(cfg, &p, take_ptr(text), len, err);
}

int bv_config_parse(struct bv_config *cfg, const char *text, size_t len, const char *name, struct bv_error *err)
{
	struct bv_parse p = { .dirfd = AT_FDCWD, .name = name };
	if (len > BV_FILE_MAX)
		return bv_fail(err, EFBIG, "the config %s is larger than %d MiB", name, BV_FILE_MAX >> 20);
	char *copy = malloc(len + 1);
	if (!copy)
		return bv_no_memory(err);
	memcpy(copy, text, len);
	return parse_kept(cfg, &p, copy, len, err);
}
