/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/str.h"

int bv_read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	if (max == 0)
		max = (size_t)16 << 20;

	autoclean(bv_buf_clear) struct bv_buf buf = { 0 };
	for (;;) {
		char chunk[8192];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		if (buf.len + (size_t)n > max)
			return -EFBIG;
		bv_buf_add(&buf, chunk, (size_t)n);
	}

	size_t len = buf.len;
	*ret = bv_buf_take(&buf);
	if (!*ret)
		return -ENOMEM;
	if (ret_len)
		*ret_len = len;
	return 0;
}

ssize_t bv_read_small(int dirfd, const char *path, char *buf, size_t size)
{
	autoclose int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, buf, size - 1);
	if (n < 0)
		return -errno;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return n;
}

int bv_write_small(int dirfd, const char *path, const char *text)
{
	autoclose int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int bv_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int bv_replace_file(int dirfd, const char *path, const void *data, size_t len, mode_t mode, bool sync)
{
	char tmp[PATH_MAX];
	if (snprintf(tmp, sizeof(tmp), "%s.%d~", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;

	autoclose int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	int r = fchmod(fd, mode) < 0 ? -errno : bv_write_all(fd, data, len);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	return r;
}

int bv_mkdir_p(int dirfd, const char *path, mode_t mode)
{
	if (mkdirat(dirfd, path, mode) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;

	autofree char *copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	for (char *s = strchr(copy + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdirat(dirfd, copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	return mkdirat(dirfd, path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * A tree can be deeper than a process may have open files. What lies deeper than this below the top is moved up to it
 * and removed from there, so that never more fds than this are open.
 */
enum { REMOVE_DEPTH_MAX = 128 };

struct removal {
	dev_t dev;
	int top;            /* fd of the tree's top directory, or -1 as long as it is not open */
	unsigned int moved; /* how many were moved up to it */
};

static int remove_below(struct removal *t, int dirfd, const char *name, int depth);

static int move_up(struct removal *t, int dirfd, const char *name)
{
	char up[32];
	for (;;) {
		snprintf(up, sizeof(up), ".removed.%u", t->moved++);
		if (renameat2(dirfd, name, t->top, up, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return -errno;
	}
}

static int remove_children(struct removal *t, int *fd, int depth)
{
	autodir DIR *dir = fdopendir(*fd);
	if (!dir)
		return -errno;
	int below = take_fd(fd);
	if (depth == 0)
		t->top = below;

	struct dirent *e;
	for (unsigned int moved = 0;; moved = t->moved) {
		while ((e = readdir(dir))) {
			if (bv_streq(e->d_name, ".") || bv_streq(e->d_name, ".."))
				continue;
			int r = remove_below(t, below, e->d_name, depth + 1);
			if (r < 0)
				return r;
		}
		/* readdir need not show what came in meanwhile. */
		if (depth > 0 || t->moved == moved)
			return 0;
		rewinddir(dir);
	}
}

static int remove_below(struct removal *t, int dirfd, const char *name, int depth)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	/* Where it cannot be moved (an overlay's lower directory, EXDEV), the number of open files is the limit. */
	if (depth >= REMOVE_DEPTH_MAX && move_up(t, dirfd, name) == 0)
		return 0;

	autoclose int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (depth == 0)
		t->dev = st.st_dev;
	else if (st.st_dev != t->dev)
		return -EBUSY;
	int r = remove_children(t, &fd, depth);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int bv_remove_tree(int dirfd, const char *path)
{
	struct removal t = { .top = -1 };
	return remove_below(&t, dirfd, path, 0);
}
