/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/str.h"

/* As the kernel's MAXSYMLINKS; and how deep a path may lead (each level keeps an fd open). */
enum { LINKS_MAX = 40, DEPTH_MAX = 256 };

/* The directories from the root down to where the walk is; dirs[0] is the root. All reached by going down only. */
struct walk {
	int dirs[DEPTH_MAX];
	unsigned int depth;
	unsigned int n_links;
	bool links;
	char *rest; /* what is still to be walked, malloc'ed */
};

static void walk_clear(struct walk *w)
{
	while (w->depth > 0)
		close(w->dirs[w->depth--]);
	free(w->rest);
}

static int here(const struct walk *w)
{
	return w->dirs[w->depth];
}

static int enter(struct walk *w, int fd)
{
	if (w->depth + 1 >= DEPTH_MAX) {
		close(fd);
		return -ENAMETOOLONG;
	}
	w->dirs[++w->depth] = fd;
	return 0;
}

/* Links of procfs other than these jump to an object: the text that readlink gives is not where they lead. */
static bool is_magic(int dir, int link, const char *name)
{
	static const char *const plain[] = { "self", "thread-self", "mounts", "net" };
	struct statfs st;
	struct stat top;
	if (fstatfs(link, &st) < 0 || st.f_type != PROC_SUPER_MAGIC)
		return false;
	/* 1 is the inode of a procfs' top directory (PROC_ROOT_INO, all versions). */
	if (fstat(dir, &top) < 0 || top.st_ino != 1)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (bv_streq(name, plain[i]))
			return false;
	return true;
}

/* Put the text of a link in front of what is left to walk. */
static int follow(struct walk *w, int link, const char *name)
{
	char text[PATH_MAX];
	if (!w->links || ++w->n_links > LINKS_MAX || is_magic(here(w), link, name))
		return -ELOOP;
	ssize_t n = readlinkat(link, "", text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	if (n == 0)
		return -ENOENT;
	if (text[0] == '/')
		while (w->depth > 0)
			close(w->dirs[w->depth--]);
	char *joined = bv_asprintf("%s%s", text, w->rest);
	if (!joined)
		return -ENOMEM;
	free(w->rest);
	w->rest = joined;
	return strlen(joined) >= 2 * PATH_MAX ? -ENAMETOOLONG : 0;
}

/*
 * The last component, `name` in the directory here. 0: it was a link, to be walked on. `slash`: a "/" was behind it.
 */
static int open_last(struct walk *w, const char *name, int flags, mode_t mode, bool slash)
{
	if (slash)
		flags |= O_DIRECTORY;
	if (!(flags & O_NOFOLLOW) || slash) {
		autoclose int at = openat(here(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		if (at < 0 && (errno != ENOENT || !(flags & O_CREAT)))
			return -errno;
		if (at >= 0 && fstat(at, &st) < 0)
			return -errno;
		if (at >= 0 && S_ISLNK(st.st_mode)) {
			if ((flags & O_CREAT) && (flags & O_EXCL))
				return -EEXIST;
			return follow(w, at, name);
		}
	}
	int fd = openat(here(w), name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return errno == ELOOP && !(flags & O_NOFOLLOW) ? -EAGAIN : -errno;
	struct stat st;
	if ((flags & O_PATH) && !(flags & O_NOFOLLOW) && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
		close(fd);
		return -EAGAIN;
	}
	return fd;
}

/* A component that is not the last: a directory to enter, or a link. */
static int step(struct walk *w, const char *name)
{
	int at = openat(here(w), name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (at < 0)
		return -errno;
	int r = fstat(at, &st) < 0 ? -errno : 0;
	if (r == 0 && S_ISDIR(st.st_mode))
		return enter(w, at);
	if (r == 0)
		r = S_ISLNK(st.st_mode) ? follow(w, at, name) : -ENOTDIR;
	close(at);
	return r;
}

/* One component. An fd: the end; 0: walk on. */
static int advance(struct walk *w, int flags, mode_t mode)
{
	char name[NAME_MAX + 1];
	char *s = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(s, "/");
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, s, len);
	name[len] = '\0';
	bool slash = s[len] == '/';
	bool last = s[len + strspn(s + len, "/")] == '\0';
	memmove(w->rest, s + len, strlen(s + len) + 1);

	if (len == 0 || bv_streq(name, ".") || bv_streq(name, "..")) {
		if (bv_streq(name, "..") && w->depth > 0)
			close(w->dirs[w->depth--]);
		if (!last)
			return 0;
		int fd = openat(here(w), ".", flags | O_CLOEXEC, mode);
		return fd < 0 ? -errno : fd;
	}
	return last ? open_last(w, name, flags, mode, slash) : step(w, name);
}

int bv_walk_open(int root, const char *path, int flags, mode_t mode, bool links)
{
	autoclean(walk_clear) struct walk w = { .dirs = { root }, .links = links, .rest = strdup(path) };
	if (!w.rest)
		return -ENOMEM;
	int r;
	do {
		r = advance(&w, flags, mode);
	} while (r == 0);
	return r;
}
