/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/modules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/vm/kernel/kernel.h"
#include "rootfs/rootat.h"
#include "util/cleanup.h"
#include "util/log.h"

enum {
	TEXT_MAX = 16 << 20,   /* of one of the files */
	SOFTDEP_MAX = 1 << 20, /* of modules.softdep, which is searched for each module */
	DEPTH_MAX = 64,        /* of modules that need modules */
	WORDS_MAX = 200,       /* of soft dependencies: for each modules.alias may be searched */
};

static int read_text(int dir, const char *name, off_t max, char **ret)
{
	struct stat st;
	*ret = NULL;
	autoclose int fd = bv_rootat_open_file(dir, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > max)
		return -EFBIG;
	size_t size = (size_t)st.st_size, done = 0;
	autofree char *text = malloc(size + 1);
	if (!text)
		return -ENOMEM;
	while (done < size) {
		ssize_t n = read(fd, text + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	text[done] = '\0';
	*ret = take_ptr(text);
	return 0;
}

/* ---- the table ---- */

static int fold(char c)
{
	return c == '-' ? '_' : (unsigned char)c;
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
	for (size_t i = 0; i < a_len && i < b_len; i++)
		if (fold(a[i]) != fold(b[i]))
			return fold(a[i]) - fold(b[i]);
	return (a_len > b_len) - (a_len < b_len);
}

static int compare_modules(const void *a, const void *b)
{
	const struct bv_module *m = a, *n = b;
	return compare_names(m->name, m->len, n->name, n->len);
}

/* The module's name in a path such as kernel/fs/9p/9p.ko.xz. */
static void name_of(const char *path, const char **name, size_t *len)
{
	const char *slash = strrchr(path, '/');
	*name = slash ? slash + 1 : path;
	const char *end = strstr(*name, ".ko");
	*len = end ? (size_t)(end - *name) : strlen(*name);
}

static size_t count_lines(const char *text)
{
	size_t n = 1;
	while (text && (text = strchr(text, '\n')) != NULL) {
		text++;
		n++;
	}
	return n;
}

/* Cuts `text` into lines, and lines of modules.dep at their colon. */
static void add_lines(struct bv_modules *m, char *text, bool builtin)
{
	char *save = NULL;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct bv_module *e = &m->v[m->n];
		char *colon = builtin ? NULL : strchr(line, ':');
		if (!builtin && !colon)
			continue;
		if (colon)
			*colon = '\0';
		*e = (struct bv_module){ .path = line, .deps = colon ? colon + 1 : NULL };
		name_of(line, &e->name, &e->len);
		if (e->len > 0)
			m->n++;
	}
}

int bv_modules_read(struct bv_modules *ret, int dir, struct bv_error *err)
{
	*ret = (struct bv_modules){ 0 };
	autoclean(bv_modules_clear) struct bv_modules m = { 0 };
	int r = read_text(dir, "modules.dep", TEXT_MAX, &m.dep);
	if (r == -ENOENT)
		return r;
	if (r == 0) {
		r = read_text(dir, "modules.builtin", TEXT_MAX, &m.builtin);
		r = r == -ENOENT ? 0 : r;
	}
	if (r < 0)
		return bv_fail(err, -r, "cannot read modules.dep or modules.builtin: %s", strerror(-r));
	m.v = calloc(count_lines(m.dep) + count_lines(m.builtin), sizeof(*m.v));
	if (!m.v)
		return bv_fail(err, ENOMEM, "out of memory");
	add_lines(&m, m.dep, false);
	if (m.builtin)
		add_lines(&m, m.builtin, true);
	qsort(m.v, m.n, sizeof(*m.v), compare_modules);
	*ret = m;
	m = (struct bv_modules){ 0 };
	return 0;
}

void bv_modules_clear(struct bv_modules *m)
{
	free(m->dep);
	free(m->builtin);
	free(m->v);
	*m = (struct bv_modules){ 0 };
}

static struct bv_module *find(const struct bv_modules *m, const char *name, size_t len)
{
	struct bv_module key = { .name = name, .len = len };
	return m->n ? bsearch(&key, m->v, m->n, sizeof(*m->v), compare_modules) : NULL;
}

struct bv_module *bv_modules_find(const struct bv_modules *m, const char *name)
{
	return find(m, name, strlen(name));
}

/* ---- what to load ---- */

struct resolver {
	struct bv_modules modules;
	int dir;
	char *softdeps, *aliases; /* the files' texts; NULL: not read yet or not there */
	bool asked;
	unsigned int words; /* of soft dependencies that were looked for */
	struct bv_strv *files;
};

static void resolver_clear(struct resolver *r)
{
	bv_modules_clear(&r->modules);
	free(r->softdeps);
	free(r->aliases);
}

static int take(struct resolver *r, struct bv_module *m, unsigned int depth);

/* The rest of the line of `text` that begins with `word` and a blank, and *next behind that line; NULL. */
static const char *line_of(const char *text, const char *word, const char **next)
{
	size_t len = strlen(word);
	for (const char *line = text; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
		if (strncmp(line, word, len) == 0 && line[len] == ' ') {
			*next = line + strcspn(line, "\n");
			return line + len + 1;
		}
	}
	return NULL;
}

/*
 * A soft dependency may be the name of a module or of what several modules provide ("crypto-crc32c"). Of those the
 * generic one is loaded, which every CPU can run.
 */
static struct bv_module *provider(const struct resolver *r, const char *word)
{
	struct bv_module *best = bv_modules_find(&r->modules, word);
	if (best || !r->aliases)
		return best;
	autofree char *want = bv_asprintf("alias %s", word);
	const char *next = r->aliases;
	for (const char *p; want && (p = line_of(next, want, &next)) != NULL;) {
		size_t len = strcspn(p, "\n");
		struct bv_module *m = find(&r->modules, p, len);
		bool generic = len > 8 && strncmp(p + len - 8, "_generic", 8) == 0;
		if (m && (!best || generic))
			best = m;
	}
	return best;
}

/* Those of modules.softdep that are to be loaded before: "softdep ext4 pre: crypto-crc32c post: x". */
static int take_soft(struct resolver *r, const struct bv_module *m, unsigned int depth)
{
	if (!r->asked) {
		r->asked = true;
		if (read_text(r->dir, "modules.softdep", SOFTDEP_MAX, &r->softdeps) == 0)
			read_text(r->dir, "modules.alias", TEXT_MAX, &r->aliases);
	}
	autofree char *want = bv_asprintf("softdep %.*s", (int)m->len, m->name);
	for (char *p = want; p && *p; p++)
		*p = *p == '-' ? '_' : *p;
	const char *next, *rest = want ? line_of(r->softdeps, want, &next) : NULL;
	if (!rest)
		return 0;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	autofree char *line = strndup(rest, strcspn(rest, "\n"));
	if (!line || bv_strv_split(&words, line, " \t") < 0)
		return -ENOMEM;
	bool before = false;
	for (size_t i = 0; i < words.n; i++) {
		struct bv_module *soft = NULL;
		if (bv_streq(words.v[i], "pre:") || bv_streq(words.v[i], "post:"))
			before = bv_streq(words.v[i], "pre:");
		else if (before && r->words++ < WORDS_MAX)
			soft = provider(r, words.v[i]);
		int rc = soft ? take(r, soft, depth + 1) : 0;
		if (rc == -ENOMEM || rc == -E2BIG)
			return rc;
	}
	return 0;
}

/* modules.dep has what is to be loaded first at the end. */
static int take_deps(struct resolver *r, const struct bv_module *m, unsigned int depth)
{
	autoclean(bv_strv_clear) struct bv_strv deps = { 0 };
	if (bv_strv_split(&deps, m->deps, " \t") < 0)
		return -ENOMEM;
	for (size_t i = deps.n; i-- > 0;) {
		const char *name;
		size_t len;
		name_of(deps.v[i], &name, &len);
		struct bv_module *dep = find(&r->modules, name, len);
		int rc = dep ? take(r, dep, depth + 1) : -ENOENT;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* 0, -ENOENT: something that it needs is missing, -ELOOP: too long a chain, -E2BIG: too many, -ENOMEM. */
static int take(struct resolver *r, struct bv_module *m, unsigned int depth)
{
	if (m->taken || !m->deps)
		return m->result;
	if (depth > DEPTH_MAX)
		return -ELOOP;
	m->taken = true;
	int rc = take_deps(r, m, depth);
	if (rc == 0)
		rc = take_soft(r, m, depth);
	if (rc == 0 && r->files->n >= BV_MODULES_MAX)
		rc = -E2BIG;
	if (rc == 0)
		rc = bv_strv_add(r->files, m->path);
	m->result = rc;
	return rc;
}

static int resolve_one(struct resolver *r, const struct bv_module_wish *wish, const char **missing,
		       struct bv_error *err)
{
	struct bv_module *m = bv_modules_find(&r->modules, wish->name);
	int rc = m ? take(r, m, 0) : -ENOENT;
	if (rc == 0)
		return 0;
	if (rc == -ENOMEM)
		return bv_fail(err, ENOMEM, "out of memory");
	if (rc == -E2BIG)
		return bv_fail(err, E2BIG, "the guest would have to load more than %d modules", BV_MODULES_MAX);
	if (!wish->required) {
		bv_debug("vm", "the kernel has no module %s", wish->name);
		return 0;
	}
	if (missing)
		*missing = wish->name;
	if (rc == -ELOOP)
		return bv_fail(err, ELOOP, "the module %s needs one that needs one, and so on for more than %d",
			       wish->name, DEPTH_MAX);
	if (m)
		return bv_fail(err, -rc, "the module %s needs others that modules.dep does not have", wish->name);
	return bv_fail(err, ENOENT, "the kernel has no module %s, nor is it built in", wish->name);
}

int bv_modules_resolve(int modules_dir, const struct bv_module_wish *wishes, size_t n, struct bv_strv *files,
		       const char **missing, struct bv_error *err)
{
	autoclean(resolver_clear) struct resolver r = { .dir = modules_dir, .files = files };
	if (missing)
		*missing = NULL;
	if (modules_dir < 0)
		return 0;
	int rc = bv_modules_read(&r.modules, modules_dir, err);
	if (rc < 0)
		return bv_fail(err, -rc, "the kernel's modules directory has no modules.dep");
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = resolve_one(&r, &wishes[i], missing, err);
	return rc;
}
