/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/hold.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/rundir.h"
#include "rootfs/storage.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/str.h"

/* What stands for the rootfs: its directory on the host, or its image. NULL: it has none that could be looked at. */
static char *place_of(const struct bv_config *cfg)
{
	struct bv_storage storage = { 0 };
	if (!cfg->rootfs_path || bv_storage_open(&storage, cfg, NULL) < 0)
		return NULL;
	char *directory = storage.ops->host_path(&storage);
	char *place = directory ? directory : take_ptr(storage.path);
	bv_storage_clear(&storage);
	return place;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Does the run whose run directory this is use `rootfs`? */
static bool uses(int dirfd, const char *name, const struct stat *rootfs)
{
	struct bv_rundir rd = { .fd = openat(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
	struct bv_run_state state;
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	bool found = false;
	if (rd.fd >= 0 && cfg && bv_run_state_read(&rd, &state) == 0) {
		struct stat st;
		bool runs = bv_run_state_effective(&rd, &state) != BV_STOPPED;
		autofree char *place = runs && bv_config_load(cfg, rd.fd, "config", NULL) == 0 ? place_of(cfg) : NULL;
		found = place && stat(place, &st) == 0 && is_same(&st, rootfs);
		bv_run_state_clear(&state);
	}
	bv_rundir_close(&rd);
	return found;
}

/* Among the runs of one lxcpath, ROOT/ID: is there one that uses the rootfs? `self`: ours, NULL elsewhere. */
static int look_at_runs(int root, const char *id, const char *self, const struct stat *rootfs, struct bv_error *err)
{
	autoclose int fd = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	autodir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	if (dir)
		take_fd(&fd);
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || (self && bv_streq(e->d_name, self)) || !uses(dirfd(dir), e->d_name, rootfs))
			continue;
		bv_fail(err, EBUSY, "%s%s runs from the same rootfs, and a VM must have it alone", e->d_name,
			self ? "" : ", an instance of another lxcpath,");
		return bv_hint(err, "lxc-stop -n %s%s", e->d_name, self ? "" : " -P LXCPATH");
	}
	return 0;
}

/* Another run than `own` that uses the rootfs, of whatever lxcpath. ROOT/ID/NAME is the path of a run directory. */
static int find_user(const struct bv_rundir *own, const struct stat *rootfs, struct bv_error *err)
{
	autofree char *root = strdup(own->path);
	char *name = root ? strrchr(root, '/') : NULL;
	if (!name)
		return bv_fail(err, ENOMEM, "out of memory");
	*name++ = '\0';
	char *id = strrchr(root, '/');
	*id++ = '\0';
	autodir DIR *dir = opendir(root);
	const struct dirent *e;
	int r = 0;
	while (dir && r == 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			r = look_at_runs(dirfd(dir), e->d_name, bv_streq(e->d_name, id) ? name : NULL, rootfs, err);
	return r;
}

/*
 * Who keeps the lock for long has nothing else of the host's files (a VM's supervisor): through a mount of its own the
 * directory leads nowhere but below itself.
 */
static int open_to_keep(const char *place)
{
	autoclose int mnt = bv_mount_detaches() ? bv_mount_clone(AT_FDCWD, place, false) : -1;
	return mnt >= 0 ? openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

int bv_hold_rootfs(const struct bv_rundir *own, const struct bv_config *cfg, bool exclusive, int *lock,
		   struct bv_error *err)
{
	autofree char *place = place_of(cfg);
	autoclose int fd = place && exclusive ? open_to_keep(place) : -1;
	*lock = -1;
	if (fd < 0 && place)
		fd = open(place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	/* What is wrong with a rootfs that is not there is said by whoever mounts it. */
	if (fd < 0)
		return 0;
	if (flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return 0; /* a file system without locks */
		bv_fail(err, EBUSY, "the rootfs %s is in use by an instance that runs as a VM", place);
		return bv_hint(err, "stop that one first: lxc-ls -F NAME,STATE,ENGINE --running shows it");
	}
	if (!exclusive)
		return 0;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return bv_fail_errno(err, "cannot look at %s", place);
	int r = find_user(own, &st, err);
	if (r == 0)
		*lock = take_fd(&fd);
	return r;
}
