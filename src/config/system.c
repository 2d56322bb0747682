/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/system.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fcntl.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

static const char *const names[] = {
	"lxc.default_config",	  "lxc.lxcpath",       "lxc.bdev.lvm.vg",
	"lxc.bdev.lvm.thin_pool", "lxc.bdev.zfs.root", "lxc.bdev.rbd.rbdpool",
	"lxc.bdev.rbd.rbduser",	  "lxc.cgroup.use",    "lxc.cgroup.pattern",
};

/* In the order of `names`. `fallback` for root and others, but for the two paths that depend on HOME. */
static const struct {
	size_t offset;
	const char *fallback, *home_fallback;
} fields[ARRAY_SIZE(names)] = {
	{ offsetof(struct bv_system_config, default_config), BV_SYSCONFDIR "/lxc/default.conf",
	  ".config/lxc/default.conf" },
	{ offsetof(struct bv_system_config, lxcpath), BV_LXCPATH, ".local/share/lxc" },
	{ offsetof(struct bv_system_config, lvm_vg), "lxc", NULL },
	{ offsetof(struct bv_system_config, lvm_thin_pool), "lxc", NULL },
	{ offsetof(struct bv_system_config, zfs_root), "lxc", NULL },
	{ offsetof(struct bv_system_config, rbd_pool), "lxc", NULL },
	{ offsetof(struct bv_system_config, rbd_user), "admin", NULL },
	{ offsetof(struct bv_system_config, cgroup_use), NULL, NULL },
	{ offsetof(struct bv_system_config, cgroup_pattern), NULL, NULL },
};

static char **field_of(const struct bv_system_config *sys, size_t i)
{
	return (char **)((char *)sys + fields[i].offset);
}

static int find_name(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bv_streq(key, names[i]))
			return (int)i;
	return -1;
}

/* `#` in the first column, unknown keys and lines without a value are passed over. */
static int read_line(struct bv_system_config *sys, char *line)
{
	char *value = line[0] == '#' ? NULL : strchr(line, '=');
	if (!value)
		return 0;
	*value++ = '\0';
	int i = find_name(bv_strip(line));
	value = bv_strip(value);
	if (i < 0 || !*value)
		return 0;
	char *copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*field_of(sys, (size_t)i));
	*field_of(sys, (size_t)i) = copy;
	return 0;
}

static int set_fallbacks(struct bv_system_config *sys, const char *home)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char **field = field_of(sys, i);
		if (*field || !fields[i].fallback)
			continue;
		*field = home && fields[i].home_fallback ? bv_asprintf("%s/%s", home, fields[i].home_fallback)
							 : strdup(fields[i].fallback);
		if (!*field)
			return -ENOMEM;
	}
	/* "/var/lib/lxc/" and "/var/lib/lxc" are one place. */
	size_t n = strlen(sys->lxcpath);
	while (n > 1 && sys->lxcpath[n - 1] == '/')
		sys->lxcpath[--n] = '\0';
	return 0;
}

static int read_file(struct bv_system_config *sys, const char *home, struct bv_error *err)
{
	const char *forced = secure_getenv("BIVALVE_LXC_CONF");
	autofree char *path = forced ? strdup(forced)
			      : home ? bv_asprintf("%s/.config/lxc/lxc.conf", home)
				     : strdup(BV_SYSCONFDIR "/lxc/lxc.conf");
	autofree char *text = NULL;

	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_read_file(AT_FDCWD, path, 1 << 20, &text, NULL);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return bv_fail(err, r, "cannot read %s: %s", path, strerror(-r));
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		r = read_line(sys, line);
		if (r < 0)
			return bv_fail(err, r, "out of memory");
	}
	return 0;
}

int bv_system_config_load(struct bv_system_config *sys, struct bv_error *err)
{
	/* Without a HOME a user has the system's paths. */
	const char *home = bv_is_root() ? NULL : getenv("HOME");
	if (home && !*home)
		home = NULL;

	*sys = (struct bv_system_config){ 0 };
	int r = read_file(sys, home, err);
	if (r == 0 && set_fallbacks(sys, home) < 0)
		r = bv_fail(err, ENOMEM, "out of memory");
	if (r < 0)
		bv_system_config_clear(sys);
	return r;
}

void bv_system_config_clear(struct bv_system_config *sys)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		free(*field_of(sys, i));
	*sys = (struct bv_system_config){ 0 };
}

const char *const *bv_system_config_keys(size_t *n)
{
	*n = ARRAY_SIZE(names);
	return names;
}

const char *bv_system_config_get(const struct bv_system_config *sys, const char *key, int *known)
{
	int i = find_name(key);
	*known = i >= 0;
	return i < 0 ? NULL : *field_of(sys, (size_t)i);
}
