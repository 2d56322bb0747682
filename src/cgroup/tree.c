/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "util/cleanup.h"
#include "util/str.h"

/*
 * A walk holds one directory fd however deep the tree is: an instance that nests cgroups by the thousand exhausts
 * neither our fds nor our stack, and no path grows beyond PATH_MAX. It goes back up by "..", which in a cgroup file
 * system is always the parent (a cgroup cannot be moved to another parent).
 */
struct level {
	struct bv_strv children;
	size_t next;
};

struct walk {
	struct level *levels;
	size_t depth, cap;
};

static void walk_clear(struct walk *w)
{
	for (size_t i = 0; i < w->depth; i++)
		bv_strv_clear(&w->levels[i].children);
	free(w->levels);
}

static int list_children(int fd, struct bv_strv *children)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (copy < 0)
		return -errno;
	autodir DIR *dir = fdopendir(copy);
	if (!dir) {
		int r = -errno;
		close(copy);
		return r;
	}
	struct dirent *e;
	while ((e = readdir(dir))) {
		if (e->d_type != DT_DIR || bv_streq(e->d_name, ".") || bv_streq(e->d_name, ".."))
			continue;
		int r = bv_strv_add(children, e->d_name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int walk_down(struct walk *w, int fd, cgroup_visit_fn visit, void *data)
{
	int r = visit ? visit(fd, data) : 0;
	if (r != 0)
		return r;
	if (w->depth == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 8;
		struct level *levels = reallocarray(w->levels, cap, sizeof(*levels));
		if (!levels)
			return -ENOMEM;
		w->levels = levels;
		w->cap = cap;
	}
	struct level *l = &w->levels[w->depth++];
	*l = (struct level){ 0 };
	r = list_children(fd, &l->children);
	return r == -ENOENT ? 0 : r;
}

static int walk(const char *path, const struct cgroup_place *remover, cgroup_visit_fn visit, void *data)
{
	autoclose int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;

	autoclean(walk_clear) struct walk w = { 0 };
	int r = walk_down(&w, fd, visit, data);
	while (r == 0 && w.depth > 0) {
		struct level *l = &w.levels[w.depth - 1];
		int next;
		if (l->next < l->children.n) {
			next = openat(fd, l->children.v[l->next++], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next < 0) {
				r = errno == ENOENT ? 0 : -errno;
				continue;
			}
			close_fd(&fd);
			fd = next;
			r = walk_down(&w, fd, visit, data);
			continue;
		}
		bv_strv_clear(&l->children);
		if (--w.depth == 0)
			break;
		next = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return -errno;
		close_fd(&fd);
		fd = next;
		if (remover) {
			l = &w.levels[w.depth - 1];
			r = remover->remove_dir(fd, l->children.v[l->next - 1]);
			if (r == -ENOENT)
				r = 0;
		}
	}
	return r;
}

int cgroup_tree_visit(const char *path, cgroup_visit_fn visit, void *data)
{
	return walk(path, NULL, visit, data);
}

int cgroup_tree_remove(const struct cgroup_place *place, const char *path)
{
	int r = place->remove_dir(AT_FDCWD, path);
	if (r == 0 || r == -ENOENT)
		return 0;
	if (r != -EBUSY && r != -ENOTEMPTY)
		return r;
	r = walk(path, place, NULL, NULL);
	if (r < 0)
		return r;
	r = place->remove_dir(AT_FDCWD, path);
	return r == -ENOENT ? 0 : r;
}
