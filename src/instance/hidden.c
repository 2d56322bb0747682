/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/hidden.h"

#include <bivalve.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

/*
 * Open and lock the directory `name`. The fd; -ENOENT: it went away; -EBUSY: locked by somebody. File systems that have
 * no locks (ENOLCK, EBADF of an NFS) count as locked unless we have just `made` the directory.
 */
static int open_locked(int lxcpath, const char *name, bool made)
{
	autoclose int fd = openat(lxcpath, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && !(made && errno != EWOULDBLOCK))
		return -EBUSY;
	/* Between open and lock its last owner may have removed or renamed it. */
	struct stat ours, there;
	if (fstat(fd, &ours) < 0)
		return -errno;
	if (fstatat(lxcpath, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
		return -ENOENT;
	return take_fd(&fd);
}

int bv_hidden_claim(struct bv_hidden *ret, int lxcpath, const char *name, struct bv_error *err)
{
	enum { TRIES = 20 };
	*ret = (struct bv_hidden){ .lxcpath = lxcpath, .dir = -1 };
	snprintf(ret->name, sizeof(ret->name), ".%s.new", name);

	for (int i = 0; i < TRIES; i++) {
		bool made = mkdirat(lxcpath, ret->name, 0770) == 0;
		if (!made && errno != EEXIST)
			return bv_fail_errno(err, "cannot make the directory of %s", name);
		autoclose int fd = open_locked(lxcpath, ret->name, made);
		if (fd == -ENOENT)
			continue;
		if (fd == -EBUSY) {
			bv_fail(err, EBUSY, "%s is being created by somebody else", name);
			return bv_hint(err, "wait until that creation has ended");
		}
		if (fd < 0)
			return bv_fail(err, fd, "cannot open the directory of %s: %s", name, strerror(-fd));
		if (made) {
			if (fchmod(fd, 0770) < 0)
				return bv_fail_errno(err, "cannot set the mode of the directory of %s", name);
			ret->dir = take_fd(&fd);
			return 0;
		}
		/* Left by a creation that died: begin with an empty one. */
		int r = bv_remove_tree(lxcpath, ret->name);
		if (r < 0)
			return bv_fail(err, r, "cannot remove %s, left by a creation of %s that died: %s", ret->name,
				       name, strerror(-r));
	}
	return bv_fail(err, EBUSY, "%s is created and removed by others all the time", name);
}

void bv_hidden_drop(struct bv_hidden *h)
{
	if (h->dir < 0)
		return;
	int r = bv_remove_tree(h->lxcpath, h->name);
	if (r < 0)
		bv_warn("create", "cannot remove %s: %s", h->name, strerror(-r));
	close_fd(&h->dir);
}

/* The NAME in .NAME.new or .NAME.gone.XXXXXXXX into `buf`; false: no name of ours. */
static bool parse_name(const char *entry, char *buf, size_t size, bool *is_new)
{
	size_t len = strlen(entry), tail;
	static const char hex[] = "0123456789abcdef";

	*is_new = len > 4 && bv_streq(entry + len - 4, ".new");
	if (*is_new)
		tail = 4;
	else if (len > 14 && strncmp(entry + len - 14, ".gone.", 6) == 0 && strspn(entry + len - 8, hex) == 8)
		tail = 14;
	else
		return false;
	if (entry[0] != '.' || len - tail - 1 >= size)
		return false;
	memcpy(buf, entry + 1, len - tail - 1);
	buf[len - tail - 1] = '\0';
	return bv_name_valid(buf);
}

bool bv_hidden_sweep(int lxcpath, const char *name)
{
	bool found = false;
	int fd = openat(lxcpath, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autodir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		close_fd(&fd);
		return false;
	}
	const struct dirent *e;
	while ((e = readdir(dir))) {
		char owner[80];
		bool is_new;
		if (e->d_name[0] != '.' || !parse_name(e->d_name, owner, sizeof(owner), &is_new))
			continue;
		autoclose int lock = open_locked(lxcpath, e->d_name, false);
		if (lock < 0)
			continue;
		int r = bv_remove_tree(lxcpath, e->d_name);
		if (r < 0) {
			bv_warn("create", "cannot remove the leftover %s: %s", e->d_name, strerror(-r));
			continue;
		}
		bv_info("create", "removed the leftover %s", e->d_name);
		if (!is_new)
			continue;
		/* The empty place that a template saw as its directory. */
		unlinkat(lxcpath, owner, AT_REMOVEDIR);
		found = found || (name && bv_streq(owner, name));
	}
	return found;
}

int bv_hidden_retire(int lxcpath, const char *name, struct bv_error *err)
{
	char gone[96];
	uint32_t random;
	autoclose int lock = openat(lxcpath, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0)
		return bv_fail_errno(err, "cannot open the directory of %s", name);
	if (flock(lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return bv_fail(err, EBUSY, "%s is being removed by somebody else", name);
	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return bv_fail_errno(err, "cannot get random bytes");
	snprintf(gone, sizeof(gone), ".%s.gone.%08x", name, random);
	if (renameat(lxcpath, name, lxcpath, gone) < 0)
		return bv_fail_errno(err, "cannot remove the directory of %s", name);
	int r = bv_remove_tree(lxcpath, gone);
	if (r < 0)
		bv_warn("destroy", "cannot remove %s: %s", gone, strerror(-r));
	return 0;
}
