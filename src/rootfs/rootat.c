/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/rootat.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/walk.h"
#include "sys/kernel.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"

/* openat2(2) says EAGAIN when something was renamed during a lookup with "..": an attacker must not keep us here. */
enum { RACE_RETRIES = 64 };

static int open_below(int root, const char *path, int flags, mode_t mode, bool links)
{
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!*path)
		path = "/";
	/* openat2(2) refuses what open(2) ignores: other flags beside O_PATH, a mode for a file that is not made. */
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
	bool makes = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));
	struct open_how how = {
		.flags = (unsigned int)flags | O_CLOEXEC,
		.mode = makes ? mode & 07777 : 0,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (links ? 0 : RESOLVE_NO_SYMLINKS),
	};

	int fd = -EAGAIN;
	for (int i = 0; i < RACE_RETRIES && fd == -EAGAIN; i++)
		fd = bv_openat2(root, path, &how);
	for (int i = 0; i < RACE_RETRIES && (fd == -ENOSYS || (i > 0 && fd == -EAGAIN)); i++)
		fd = bv_walk_open(root, path, flags, mode, links);
	return fd;
}

int bv_rootat_open(int root, const char *path, int flags, mode_t mode)
{
	return open_below(root, path, flags, mode, true);
}

int bv_rootat_open_nolinks(int root, const char *path, int flags, mode_t mode)
{
	return open_below(root, path, flags, mode, false);
}

int bv_rootat_open_file(int root, const char *path)
{
	struct stat st;
	char found[32];
	autoclose int place = bv_rootat_open(root, path, O_PATH, 0);
	if (place < 0)
		return place;
	if (fstat(place, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(found, sizeof(found), "/proc/self/fd/%d", place);
	/* O_NONBLOCK: whoever holds a lease on it must not keep us. */
	int fd = open(found, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The next component of *path, copied to `name` and cut off; its length, 0 at the end. -ENAMETOOLONG. */
static int next_component(const char **path, char name[NAME_MAX + 1])
{
	const char *s = *path + strspn(*path, "/");
	size_t len = strcspn(s, "/");
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, s, len);
	name[len] = '\0';
	*path = s + len;
	return (int)len;
}

/* Make the directories of `rest` below `dir`, which is the caller's; nothing of `rest` existed a moment ago. */
static int make_dirs(int dir, const char *rest, mode_t mode)
{
	autoclose int at = dir;
	char name[NAME_MAX + 1];
	int len;

	while ((len = next_component(&rest, name)) > 0) {
		if (strcmp(name, ".") == 0)
			continue;
		/* Behind a directory that did not exist, ".." has no meaning that could be relied on. */
		if (strcmp(name, "..") == 0)
			return -ENOENT;
		if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
			return -errno;
		int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close(at);
		at = next;
	}
	return len < 0 ? len : take_fd(&at);
}

int bv_rootat_mkdir_p(int root, const char *path, mode_t mode)
{
	char prefix[PATH_MAX];
	size_t len = strlen(path);
	if (len >= sizeof(prefix))
		return -ENAMETOOLONG;
	memcpy(prefix, path, len + 1);

	/* The longest part that exists, links followed; the rest is made below it. */
	for (;;) {
		int fd = bv_rootat_open(root, prefix, O_PATH | O_DIRECTORY, 0);
		if (fd >= 0)
			return make_dirs(fd, path + len, mode);
		if (fd != -ENOENT || len == 0)
			return fd;
		while (len > 0 && prefix[len - 1] == '/')
			len--;
		while (len > 0 && prefix[len - 1] != '/')
			len--;
		prefix[len] = '\0';
	}
}

int bv_rootat_touch(int root, const char *path, mode_t mode)
{
	autoclose int fd = bv_rootat_open(root, path, O_PATH, 0);
	if (fd >= 0) {
		struct stat st;
		if (fstat(fd, &st) < 0)
			return -errno;
		return S_ISDIR(st.st_mode) ? -EISDIR : take_fd(&fd);
	}
	if (fd != -ENOENT)
		return fd;

	size_t len = strlen(path);
	const char *name = path + len;
	while (name > path && name[-1] != '/')
		name--;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EISDIR;
	char parent[PATH_MAX];
	memcpy(parent, path, (size_t)(name - path));
	parent[name - path] = '\0';

	autoclose int dir = bv_rootat_mkdir_p(root, parent, 0755);
	if (dir < 0)
		return dir;
	if (mknodat(dir, name, S_IFREG | mode, 0) < 0 && errno != EEXIST)
		return -errno;
	/* What appeared meanwhile, or dangles, must not be followed: this open is outside of the rootfs' rules. */
	int made = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (made < 0 || fstat(made, &st) < 0 || S_ISLNK(st.st_mode)) {
		int r = made < 0 ? -errno : -ELOOP;
		close_fd(&made);
		return r;
	}
	return made;
}

int bv_rootat_attach(int mnt, int target)
{
	return bv_mount_attach(mnt, target, "");
}
