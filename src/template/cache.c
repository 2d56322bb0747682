/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "template/job.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/*
 * Built images are kept as tar files, CACHEDIR/recipes/DISTRIBUTION/HASH.tar, where HASH is of all that went into the
 * image. BIVALVE_CACHE overrides CACHEDIR. A file appears there whole (O_TMPFILE and linkat) or not at all.
 */

/* FNV-1a, 128 bits: a name for the administrator's own cache, not a defence. */
static void hash_text(unsigned __int128 *h, const char *text)
{
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
	do {
		*h ^= (unsigned char)*text;
		*h *= prime;
	} while (*text++);
}

int bv_recipe_cache_name(struct bv_recipe_job *job, struct bv_error *err)
{
	const char *top = getenv("BIVALVE_CACHE");
	autoclean(bv_buf_clear) struct bv_buf tree = { 0 };
	bv_yaml_print(job->tree, &tree);
	if (tree.bad)
		return bv_fail(err, ENOMEM, "out of memory");

	unsigned __int128 h = ((unsigned __int128)0x6c62272e07bb0142 << 64) + 0x62b821756295c58d;
	hash_text(&h, BV_VERSION);
	hash_text(&h, job->recipe->type);
	hash_text(&h, tree.p);
	for (size_t i = 0; i < job->args.packages.n; i++)
		hash_text(&h, job->args.packages.v[i]);

	job->cache_dir = bv_asprintf("%s/recipes/%s", top && *top ? top : BV_CACHEDIR, job->recipe->image.distribution);
	job->cache_file = bv_asprintf("%016llx%016llx.tar", (unsigned long long)(h >> 64), (unsigned long long)h);
	return job->cache_dir && job->cache_file ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int tar(const struct bv_recipe_build *b, bool extract, int fd, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv env = { 0 };
	if (bv_run_host_env(&env) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	char *const argv[] = {
		(char *)"tar",
		(char *)(extract ? "--extract" : "--create"),
		(char *)"--file=-",
		(char *)"--directory",
		(char *)b->build->rootfs_path,
		(char *)"--numeric-owner",
		(char *)"--xattrs",
		(char *)"--xattrs-include=*",
		(char *)"--acls",
		(char *)(extract ? "--preserve-permissions" : "--one-file-system"),
		(char *)(extract ? "--same-owner" : "."),
		NULL,
	};
	struct bv_run run = {
		.what = "tar",
		.argv = argv,
		.env = env.v,
		.in = extract ? fd : -1,
		.out = extract ? -1 : fd,
	};
	return bv_run(&run, err);
}

int bv_recipe_cache_get(const struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe_job *job = b->job;
	int64_t lifetime;
	if (bv_recipe_expiry(job->recipe->image.expiry, &lifetime) < 0)
		return 0;
	autoclose int dir = open(job->cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = dir < 0 ? -1 : openat(dir, job->cache_file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
		return 0;
	int64_t age = (int64_t)time(NULL) - st.st_mtime;
	if (age < 0 || age > lifetime)
		return 0;

	bv_progress_say(&b->build->progress, 0.1, "Unpacking %s %s from the cache", job->recipe->image.distribution,
			job->recipe->image.release);
	int r = tar(b, true, fd, err);
	if (r < 0) {
		bv_hint(err, "build it anew: lxc-create ... -- --flush-cache");
		return r;
	}
	return 1;
}

static int put(const struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe_job *job = b->job;
	int r = bv_mkdir_p(AT_FDCWD, job->cache_dir, 0700);
	if (r < 0)
		return bv_fail(err, r, "cannot make %s: %s", job->cache_dir, strerror(-r));
	autoclose int dir = open(job->cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd = open(job->cache_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (dir < 0 || fd < 0)
		return bv_fail_errno(err, "cannot make a file in %s", job->cache_dir);
	r = tar(b, false, fd, err);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return bv_fail_errno(err, "cannot write to %s", job->cache_dir);
	char self[64];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (unlinkat(dir, job->cache_file, 0) < 0 && errno != ENOENT)
		return bv_fail_errno(err, "cannot replace %s/%s", job->cache_dir, job->cache_file);
	if (linkat(AT_FDCWD, self, dir, job->cache_file, AT_SYMLINK_FOLLOW) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "cannot name %s/%s", job->cache_dir, job->cache_file);
	return 0;
}

void bv_recipe_cache_put(const struct bv_recipe_build *b)
{
	struct bv_error err = { 0 };
	if (put(b, &err) < 0)
		bv_warn("template", "the image is not cached: %s", err.what);
}

int bv_recipe_cache_flush(const struct bv_recipe_job *job, bool all, struct bv_error *err)
{
	int r = 0;
	if (all) {
		r = bv_remove_tree(AT_FDCWD, job->cache_dir);
	} else {
		autoclose int dir = open(job->cache_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0 && unlinkat(dir, job->cache_file, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r < 0 ? bv_fail(err, r, "cannot empty the cache %s: %s", job->cache_dir, strerror(-r)) : 0;
}
