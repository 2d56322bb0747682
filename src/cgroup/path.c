/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cgroup/internal.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

int cgroup_path(char buf[PATH_MAX], const struct cgroup_hier *h, const char *rel, const char *file)
{
	int n = snprintf(buf, PATH_MAX, "%s%s%s%s%s", h->mount, *rel ? "/" : "", rel, *file ? "/" : "", file);
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

char *cgroup_join(const char *a, const char *b)
{
	return bv_asprintf("%s%s%s", a, *a && *b ? "/" : "", b);
}

int cgroup_open_file(const struct cgroup_hier *h, const char *rel, const char *file, int flags)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, file);
	if (r < 0)
		return r;
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

ssize_t cgroup_read(const struct cgroup_hier *h, const char *rel, const char *file, char *buf, size_t size)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, file);
	return r < 0 ? r : bv_read_small(AT_FDCWD, path, buf, size);
}

int cgroup_write(const struct cgroup_hier *h, const char *rel, const char *file, const char *value)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, rel, file);
	return r < 0 ? r : bv_write_small(AT_FDCWD, path, value);
}

static bool part_valid(const char *part, size_t len)
{
	if (len == 0 || len > NAME_MAX || (len == 1 && part[0] == '.') ||
	    (len == 2 && part[0] == '.' && part[1] == '.'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)part[i] < ' ' || part[i] == 0x7f)
			return false;
	}
	return true;
}

bool cgroup_path_valid(const char *rel)
{
	if (strlen(rel) >= PATH_MAX / 2)
		return false;
	for (;;) {
		size_t len = strcspn(rel, "/");
		if (!part_valid(rel, len))
			return false;
		if (!rel[len])
			return true;
		rel += len + 1;
	}
}

bool cgroup_file_valid(const char *file)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strlen(file);
	return len > 0 && len < 128 && file[0] != '.' && strspn(file, letters) == len;
}
