/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/rootat.h"
#include "template/job.h"
#include "util/cleanup.h"
#include "util/file.h"

/* The directory that holds `path`, made if need be, and the last part of the path. */
static int open_parent(int root, const char *path, bool make, const char **name, struct bv_error *err)
{
	const char *slash = strrchr(path, '/');
	*name = slash ? slash + 1 : path;
	if (!**name || bv_streq(*name, ".") || bv_streq(*name, ".."))
		return bv_fail(err, EINVAL, "\"%s\" is not the path of a file", path);
	autofree char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("/");
	if (!dir)
		return bv_fail(err, ENOMEM, "out of memory");
	int fd = make ? bv_rootat_mkdir_p(root, dir, 0755) : bv_rootat_open(root, dir, O_PATH | O_DIRECTORY, 0);
	return fd < 0 ? bv_fail(err, fd, "cannot open %s in the rootfs: %s", dir, strerror(-fd)) : fd;
}

/* A new regular file in place of whatever has that name; a link there is replaced, not followed. */
static int create_file(int root, const char *path, struct bv_error *err)
{
	const char *name;
	autoclose int dir = open_parent(root, path, true, &name, err);
	if (dir < 0)
		return dir;
	if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return bv_fail_errno(err, "cannot replace %s in the rootfs", path);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? bv_fail_errno(err, "cannot make %s in the rootfs", path) : fd;
}

static int finish_file(int fd, const char *path, mode_t mode, uint32_t uid, uint32_t gid, struct bv_error *err)
{
	if (fchown(fd, uid, gid) < 0 || fchmod(fd, mode == (mode_t)-1 ? 0644 : mode) < 0)
		return bv_fail_errno(err, "cannot set owner and mode of %s in the rootfs", path);
	return 0;
}

int bv_rootfs_write(int root, const char *path, const char *text, mode_t mode, uint32_t uid, uint32_t gid,
		    struct bv_error *err)
{
	autoclose int fd = create_file(root, path, err);
	if (fd < 0)
		return fd;
	int r = bv_write_all(fd, text, strlen(text));
	if (r < 0)
		return bv_fail(err, r, "cannot write %s in the rootfs: %s", path, strerror(-r));
	return finish_file(fd, path, mode, uid, gid, err);
}

static int remove_path(int root, const char *path, struct bv_error *err)
{
	struct bv_error inner = { 0 };
	const char *name;
	autoclose int dir = open_parent(root, path, false, &name, &inner);
	if (dir == -ENOENT)
		return 0;
	int r = dir < 0 ? dir : bv_remove_tree(dir, name);
	return r < 0 ? bv_fail(err, r, "cannot remove %s in the rootfs: %s", path, strerror(-r)) : 0;
}

static int copy_data(int from, int to)
{
	char chunk[65536];
	for (;;) {
		ssize_t n = read(from, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		int r = bv_write_all(to, chunk, (size_t)n);
		if (r < 0)
			return r;
	}
}

static int copy_one(int root, const char *source, const struct bv_recipe_file *f, struct bv_error *err)
{
	autoclose int from = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (from < 0 || fstat(from, &st) < 0)
		return bv_fail_errno(err, "cannot read %s", source);
	if (!S_ISREG(st.st_mode))
		return bv_fail(err, EINVAL, "%s is not a file", source);
	autoclose int to = create_file(root, f->path, err);
	if (to < 0)
		return to;
	int r = copy_data(from, to);
	if (r < 0)
		return bv_fail(err, r, "cannot copy %s to %s in the rootfs: %s", source, f->path, strerror(-r));
	return finish_file(to, f->path, f->mode == (mode_t)-1 ? st.st_mode & 0777 : f->mode, f->uid, f->gid, err);
}

/* A source is a path on the host, relative ones to where the recipe lies. */
static int copy_file(const struct bv_recipe_build *b, const struct bv_recipe_file *f, struct bv_error *err)
{
	if (!f->source || !*f->source)
		return bv_fail(err, EINVAL, "%s: the file %s of generator copy needs a source", b->job->path, f->path);
	if (*f->source == '/')
		return copy_one(b->build->rootfs, f->source, f, err);
	const char *slash = strrchr(b->job->path, '/');
	autofree char *source = bv_asprintf("%.*s/%s", slash ? (int)(slash - b->job->path) : 1,
					    slash ? b->job->path : ".", f->source);
	if (!source)
		return bv_fail(err, ENOMEM, "out of memory");
	return copy_one(b->build->rootfs, source, f, err);
}

static int write_hosts(const struct bv_recipe_build *b, const struct bv_recipe_file *f, struct bv_error *err)
{
	autofree char *text = bv_asprintf("127.0.0.1\tlocalhost\n"
					  "127.0.1.1\t%s\n"
					  "\n"
					  "::1\tlocalhost ip6-localhost ip6-loopback\n"
					  "ff02::1\tip6-allnodes\n"
					  "ff02::2\tip6-allrouters\n",
					  b->build->name);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	return bv_rootfs_write(b->build->rootfs, f->path, text, f->mode, f->uid, f->gid, err);
}

static int make_file(const struct bv_recipe_build *b, const struct bv_recipe_file *f, struct bv_error *err)
{
	int root = b->build->rootfs;
	const char *text = f->content ? f->content : "";
	autofree char *hostname = NULL;

	switch (f->generator) {
	case BV_FILE_COPY:
		return copy_file(b, f, err);
	case BV_FILE_REMOVE:
		return remove_path(root, f->path, err);
	case BV_FILE_HOSTS:
		return write_hosts(b, f, err);
	case BV_FILE_HOSTNAME:
		hostname = bv_asprintf("%s\n", b->build->name);
		if (!hostname)
			return bv_fail(err, ENOMEM, "out of memory");
		text = hostname;
		break;
	case BV_FILE_FSTAB:
		if (!*text)
			text = "# The root file system is mounted before this file is read.\n";
		break;
	default: /* dump and template: the text as it is */
		break;
	}
	return bv_rootfs_write(root, f->path, text, f->mode, f->uid, f->gid, err);
}

int bv_recipe_files(const struct bv_recipe_build *b, bool of_instance, struct bv_error *err)
{
	const struct bv_recipe *recipe = b->job->recipe;
	const struct bv_recipe_file *files = recipe->files.v;

	for (size_t i = 0; i < recipe->files.n; i++) {
		int g = files[i].generator;
		bool instance = g == BV_FILE_HOSTNAME || g == BV_FILE_HOSTS || g == BV_FILE_TEMPLATE;
		if (instance != of_instance || !bv_recipe_applies(recipe, &files[i].filter))
			continue;
		int r = make_file(b, &files[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}
