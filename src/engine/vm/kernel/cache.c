/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/vm/kernel/image.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

#define CACHE_DIR BV_CACHEDIR "/vm"

enum { KEEP_SECONDS = 30 * 24 * 60 * 60, KEEP_BYTES = 1 << 30 };

/* Below a directory of somebody else, or one that others can write, anybody could have put a file. */
static int open_dir(void)
{
	struct stat st;
	int r = bv_mkdir_p(AT_FDCWD, BV_CACHEDIR, 0755);
	if (r < 0)
		return r;
	if (mkdir(CACHE_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	autoclose int dir = open(CACHE_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || fstat(dir, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return -EPERM;
	return take_fd(&dir);
}

void bv_vm_cache_open(struct bv_vm_cache *c)
{
	c->dir = open_dir();
	if (c->dir < 0)
		bv_info("vm", "%s cannot be used as a cache: %s", CACHE_DIR, strerror(-c->dir));
}

void bv_vm_cache_close(struct bv_vm_cache *c)
{
	close_fd(&c->dir);
}

int bv_vm_cache_get(const struct bv_vm_cache *c, const char *name, size_t *size)
{
	struct stat st;
	if (c->dir < 0)
		return -1;
	autoclose int fd = openat(c->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return -1;
	futimens(fd, NULL);
	*size = (size_t)st.st_size;
	return take_fd(&fd);
}

/* What nobody used for long goes. True when of the rest the oldest had to go, and there may be more of these. */
static bool evict_one(int cache)
{
	char oldest[NAME_MAX + 1] = "";
	time_t now = time(NULL), since = now;
	off_t total = 0;
	autoclose int copy = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	if (!d)
		return false;
	copy = -1;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (fstatat(cache, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		if (now - st.st_mtime > KEEP_SECONDS) {
			unlinkat(cache, e->d_name, 0);
			continue;
		}
		total += st.st_size;
		if (!*oldest || st.st_mtime < since) {
			since = st.st_mtime;
			snprintf(oldest, sizeof(oldest), "%s", e->d_name);
		}
	}
	return total > KEEP_BYTES && unlinkat(cache, oldest, 0) == 0;
}

static void evict(int cache)
{
	while (evict_one(cache))
		;
}

static int write_new(const struct bv_vm_cache *c, const char *name, int from, size_t size)
{
	char temporary[32];
	snprintf(temporary, sizeof(temporary), ".new-%d", (int)getpid());
	unlinkat(c->dir, temporary, 0);
	autoclose int fd = openat(c->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = bv_copy_bytes(from, fd, size);
	/* A name that says what is in it must not be on the disk before that is. */
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(c->dir, temporary, c->dir, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(c->dir, temporary, 0);
	return r;
}

void bv_vm_cache_put(const struct bv_vm_cache *c, const char *name, int from, size_t size)
{
	if (c->dir < 0)
		return;
	evict(c->dir);
	int r = write_new(c, name, from, size);
	if (r < 0)
		bv_info("vm", "%s/%s cannot be written: %s", CACHE_DIR, name, strerror(-r));
}
