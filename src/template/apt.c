/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/apt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/* One source, whichever way it is written. */
struct source {
	bool is_deb, disabled;
	struct bv_strv uris, suites;
	char *signed_by;
};

static void source_clear(struct source *s)
{
	bv_strv_clear(&s->uris);
	bv_strv_clear(&s->suites);
	free(s->signed_by);
	*s = (struct source){ 0 };
}

struct search {
	const char *distribution, *release;
	struct bv_apt_mirror *ret;
};

void bv_apt_mirror_clear(struct bv_apt_mirror *m)
{
	free(m->url);
	free(m->security_url);
	free(m->keyring);
	*m = (struct bv_apt_mirror){ 0 };
}

/* Does the path of `uri` end with "/NAME", "/NAME-SUFFIX"? */
static bool ends_with(const char *uri, const char *name, const char *suffix)
{
	size_t len = strlen(uri);
	while (len > 0 && uri[len - 1] == '/')
		len--;
	size_t begin = len;
	while (begin > 0 && uri[begin - 1] != '/')
		begin--;
	size_t n = strlen(name), m = strlen(suffix);
	return len - begin == n + m && strncmp(uri + begin, name, n) == 0 && strncmp(uri + begin + n, suffix, m) == 0;
}

static bool has_security_suite(const struct source *s)
{
	for (size_t i = 0; i < s->suites.n; i++) {
		const char *dash = strrchr(s->suites.v[i], '-');
		if ((dash && bv_streq(dash, "-security")) || strstr(s->suites.v[i], "/updates"))
			return true;
	}
	return false;
}

static int keep_first(char **at, const char *value)
{
	if (*at || !value)
		return 0;
	*at = strdup(value);
	return *at ? 0 : -ENOMEM;
}

static int consider(const struct search *search, const struct source *s)
{
	if (!s->is_deb || s->disabled)
		return 0;
	for (size_t i = 0; i < s->uris.n; i++) {
		const char *uri = s->uris.v[i];
		bool main = ends_with(uri, search->distribution, "") || ends_with(uri, search->distribution, "-ports");
		bool security = ends_with(uri, search->distribution, "-security");
		int r = 0;
		if (security || (main && has_security_suite(s)))
			r = keep_first(&search->ret->security_url, uri);
		if (r == 0 && !security && (main || bv_strv_has(&s->suites, search->release)))
			r = keep_first(&search->ret->url, uri);
		if (r == 0 && (main || security))
			r = keep_first(&search->ret->keyring, s->signed_by);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "deb [option=value ...] URI SUITE COMPONENT..." */
static int consider_line(const struct search *search, const char *line)
{
	autoclean(source_clear) struct source s = { 0 };
	autoclean(bv_strv_clear) struct bv_strv words = { 0 }, options = { 0 };
	const char *rest = bv_after(line, "deb");
	if (!rest || (*rest != ' ' && *rest != '\t' && *rest != '['))
		return 0;
	s.is_deb = true;
	rest += strspn(rest, " \t");
	if (*rest == '[') {
		const char *end = strchr(rest, ']');
		if (!end)
			return 0;
		autofree char *text = strndup(rest + 1, (size_t)(end - rest) - 1);
		if (!text || bv_strv_split(&options, text, " \t") < 0)
			return -ENOMEM;
		rest = end + 1;
	}
	for (size_t i = 0; i < options.n; i++) {
		const char *path = bv_after(options.v[i], "signed-by=/");
		if (path && keep_first(&s.signed_by, path - 1) < 0)
			return -ENOMEM;
	}
	if (bv_strv_split(&words, rest, " \t") < 0)
		return -ENOMEM;
	if (words.n < 2)
		return 0;
	if (bv_strv_add(&s.uris, words.v[0]) < 0 || bv_strv_add(&s.suites, words.v[1]) < 0)
		return -ENOMEM;
	return consider(search, &s);
}

static int set_field(struct source *s, const char *name, const char *value)
{
	if (strcasecmp(name, "Types") == 0) {
		autoclean(bv_strv_clear) struct bv_strv types = { 0 };
		if (bv_strv_split(&types, value, " \t") < 0)
			return -ENOMEM;
		s->is_deb = bv_strv_has(&types, "deb");
	} else if (strcasecmp(name, "Enabled") == 0) {
		s->disabled = strcasecmp(value, "no") == 0 || strcasecmp(value, "false") == 0;
	} else if (strcasecmp(name, "URIs") == 0) {
		return bv_strv_split(&s->uris, value, " \t");
	} else if (strcasecmp(name, "Suites") == 0) {
		return bv_strv_split(&s->suites, value, " \t");
	} else if (strcasecmp(name, "Signed-By") == 0 && *value == '/') {
		return keep_first(&s->signed_by, value);
	}
	return 0;
}

/* Stanzas of "Field: value", a field goes on in lines that begin with a blank. */
static int consider_deb822(const struct search *search, char *text)
{
	autoclean(source_clear) struct source s = { 0 };
	autofree char *field = NULL;
	int r = 0;

	for (char *line = text, *next; line && r == 0; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (*line == '#')
			continue;
		bool folded = *line == ' ' || *line == '\t';
		char *value = bv_strip(line);
		if (!*value) {
			r = consider(search, &s);
			source_clear(&s);
			continue;
		}
		char *colon = folded ? NULL : strchr(value, ':');
		if (colon) {
			*colon = '\0';
			free(field);
			field = strdup(value);
			if (!field)
				return -ENOMEM;
			value = bv_strip(colon + 1);
		}
		if (field)
			r = set_field(&s, field, value);
	}
	return r < 0 ? r : consider(search, &s);
}

static int consider_list(const struct search *search, char *text)
{
	int r = 0;
	for (char *line = text, *next; line && r == 0; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		char *comment = strchr(line, '#');
		if (comment)
			*comment = '\0';
		r = consider_line(search, bv_strip(line));
	}
	return r;
}

static int consider_file(const struct search *search, int dir, const char *name)
{
	const char *dot = strrchr(name, '.');
	bool deb822 = dot && bv_streq(dot, ".sources");
	if (!deb822 && !(dot && bv_streq(dot, ".list")))
		return 0;
	autofree char *text = NULL;
	int r = bv_read_file(dir, name, 1 << 20, &text, NULL);
	if (r < 0) {
		if (r != -ENOENT)
			bv_debug("template", "apt's %s is not read: %s", name, strerror(-r));
		return 0;
	}
	return deb822 ? consider_deb822(search, text) : consider_list(search, text);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int bv_apt_find_mirror(const char *distribution, const char *release, struct bv_apt_mirror *ret, struct bv_error *err)
{
	const char *top = getenv("BIVALVE_APT");
	struct search search = { distribution, release, ret };
	autoclose int dir = open(top && *top ? top : "/etc/apt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0; /* not a host with apt */

	int r = consider_file(&search, dir, "sources.list");
	struct dirent **entries = NULL;
	int n = scandirat(dir, "sources.list.d", &entries, NULL, by_name);
	autoclose int parts = n > 0 ? openat(dir, "sources.list.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	for (int i = 0; i < n; i++) {
		if (r == 0 && parts >= 0)
			r = consider_file(&search, parts, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return r < 0 ? bv_fail(err, r, "out of memory") : 0;
}
