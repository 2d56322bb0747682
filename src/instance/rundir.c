/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/num.h"
#include "util/str.h"

static int run_root(char *buf, size_t size, struct bv_error *err)
{
	const char *forced = getenv("BIVALVE_RUN"), *user = getenv("XDG_RUNTIME_DIR");
	int n;

	if (forced && *forced)
		n = snprintf(buf, size, "%s", forced);
	else if (bv_is_root())
		n = snprintf(buf, size, "%s/bivalve", BV_RUNDIR);
	else if (user && *user)
		n = snprintf(buf, size, "%s/bivalve", user);
	else
		return bv_fail(err, ENOENT,
		               "XDG_RUNTIME_DIR is not set, so there is no place for the state of running instances");
	return n < (int)size ? 0 : bv_fail(err, ENAMETOOLONG, "the path of the run directory is too long");
}

/* FNV-1a, 64 bits: of a lxcpath that does not exist (yet), where there is no inode to go by. */
static uint64_t hash_text(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

int bv_rundir_parent(const char *lxcpath, char *buf, size_t size, struct bv_error *err)
{
	int r = run_root(buf, size, err);
	if (r < 0)
		return r;

	size_t used = strlen(buf);
	struct stat st;
	int n = stat(lxcpath, &st) == 0 ? snprintf(buf + used, size - used, "/%" PRIx64 "-%" PRIx64,
	                                           (uint64_t)st.st_dev, (uint64_t)st.st_ino)
	                                : snprintf(buf + used, size - used, "/t%" PRIx64, hash_text(lxcpath));
	return n < (int)(size - used) ? 0 : bv_fail(err, ENAMETOOLONG, "the path of the run directory is too long");
}

int bv_rundir_make_parent(const char *path, struct bv_error *err)
{
	int r = bv_mkdir_p(AT_FDCWD, path, 0700);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot make the run directory %s", path);
	}
	return 0;
}

static int rundir_path(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err)
{
	int r = bv_rundir_parent(lxcpath, rd->path, sizeof(rd->path), err);
	if (r < 0)
		return r;
	size_t used = strlen(rd->path);
	if (snprintf(rd->path + used, sizeof(rd->path) - used, "/%s", name) >= (int)(sizeof(rd->path) - used))
		return bv_fail(err, ENAMETOOLONG, "the path of the run directory is too long");
	return 0;
}

int bv_rundir_open(struct bv_rundir *rd, const char *lxcpath, const char *name, struct bv_error *err)
{
	rd->fd = -1;
	int r = rundir_path(rd, lxcpath, name, err);
	if (r < 0)
		return r;
	rd->fd = open(rd->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (rd->fd < 0 && errno != ENOENT)
		return bv_fail_errno(err, "cannot open the run directory %s", rd->path);
	return 0;
}

static int make_rundir(struct bv_rundir *rd, struct bv_error *err)
{
	int r = mkdir(rd->path, 0700) < 0 ? -errno : 0;
	if (r == -ENOENT) {
		char *slash = strrchr(rd->path, '/');
		*slash = '\0';
		r = bv_rundir_make_parent(rd->path, err);
		*slash = '/';
		if (r < 0)
			return r;
		r = mkdir(rd->path, 0700) < 0 ? -errno : 0;
	}
	rd->found = r == -EEXIST;
	if (r < 0 && !rd->found) {
		errno = -r;
		return bv_fail_errno(err, "cannot make the run directory %s", rd->path);
	}
	rd->fd = open(rd->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (rd->fd >= 0 || errno == ENOENT)
		return 0;
	r = bv_fail_errno(err, "cannot open the run directory %s", rd->path);
	rmdir(rd->path); /* if it is empty, as ours is */
	return r;
}

/*
 * The holder before us may have removed the directory between our open and its unlock: then the lock has no name any
 * more, or (it was killed on the way) is in a directory that has another.
 */
static bool is_current(const struct bv_rundir *rd, int lock)
{
	struct stat st, named;
	if (fstat(lock, &st) < 0 || st.st_nlink == 0)
		return false;
	return !rd->found || (stat(rd->path, &named) == 0 && fstat(rd->fd, &st) == 0 && named.st_ino == st.st_ino);
}

int bv_rundir_lock(struct bv_rundir *rd, const char *lxcpath, const char *name, int *lock_fd, struct bv_error *err)
{
	enum { TRIES = 20 };
	rd->fd = -1;
	int r = rundir_path(rd, lxcpath, name, err);
	if (r < 0)
		return r;

	for (int i = 0; i < TRIES; i++) {
		r = make_rundir(rd, err);
		if (r < 0)
			return r;
		if (rd->fd < 0)
			continue; /* removed by whoever just finished: make it anew */

		autoclose int fd = openat(rd->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0) {
			if (errno != ENOENT) {
				r = bv_fail_errno(err, "cannot open %s/lock", rd->path);
				rmdir(rd->path); /* if it is empty, as ours is */
				return r;
			}
			bv_rundir_close(rd);
			continue;
		}
		struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			if (errno == EAGAIN || errno == EACCES) {
				r = bv_fail(err, EBUSY, "%s is in use by another command or by its monitor", name);
				bv_hint(err, "see what it does, then try again: lxc-info -n %s", name);
				return r;
			}
			return bv_fail_errno(err, "cannot lock %s/lock", rd->path);
		}
		if (is_current(rd, fd)) {
			*lock_fd = take_fd(&fd);
			return 0;
		}
		bv_rundir_close(rd);
	}
	return bv_fail(err, EBUSY, "%s is being started and stopped by others all the time", name);
}

int bv_rundir_is_locked(const struct bv_rundir *rd)
{
	if (rd->fd < 0)
		return 0;
	autoclose int fd = openat(rd->fd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_GETLK, &lock) < 0)
		return -errno;
	return lock.l_type != F_UNLCK;
}

static const char *const own_files[] = { "state", "command", "config", "lock" };
/* A VM's: its control socket, and the directory with what its guest told. */
static const char *const engine_files[] = { "vm", "guest" };

void bv_rundir_clear(const struct bv_rundir *rd)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_files) - 1; i++)
		unlinkat(rd->fd, own_files[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(engine_files); i++)
		bv_remove_tree(rd->fd, engine_files[i]);
}

int bv_rundir_remove(struct bv_rundir *rd)
{
	enum { TRIES = 20 };
	if (rd->fd < 0)
		return 0;

	/*
	 * One rename makes the instance stopped and its name free: whoever starts it next makes a directory and a lock
	 * of its own, however long we take with the rest. A name with a dot is no instance's. What is under it belongs
	 * to a removal that was killed, or that is not through yet and does not mind our help.
	 */
	char gone[BV_RUN_PATH_MAX + 1];
	char *slash = strrchr(rd->path, '/');
	snprintf(gone, sizeof(gone), "%.*s/.%s", (int)(slash - rd->path), rd->path, slash + 1);
	for (int i = 0; rename(rd->path, gone) < 0; i++) {
		if (errno == ENOENT)
			return 0;
		if ((errno != ENOTEMPTY && errno != EEXIST) || i == TRIES)
			return -errno;
		bv_remove_tree(AT_FDCWD, gone);
	}
	/* An engine's files are rare: the slow way takes them. */
	for (size_t i = 0; i < ARRAY_SIZE(own_files); i++)
		unlinkat(rd->fd, own_files[i], 0);
	int r = rmdir(gone) < 0 ? -errno : 0;
	if (r == -ENOTEMPTY || r == -EEXIST)
		r = bv_remove_tree(AT_FDCWD, gone);
	return r == -ENOENT ? 0 : r;
}

int bv_rundir_write(const struct bv_rundir *rd, const char *file, const void *data, size_t len, struct bv_error *err)
{
	autoclose int fd = openat(rd->fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : bv_write_all(fd, data, len);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot write %s/%s", rd->path, file);
	}
	return 0;
}

void bv_rundir_close(struct bv_rundir *rd)
{
	close_fd(&rd->fd);
}

/* ---- the state file ---- */

void bv_run_state_clear(struct bv_run_state *st)
{
	free(st->cgroup);
	free(st->net);
	*st = (struct bv_run_state){ 0 };
}

/* Append "line\n" to an owned string. */
static void add_line(char **to, const char *line)
{
	char *longer = bv_asprintf("%s%s\n", *to ? *to : "", line);
	free(*to);
	*to = longer;
}

static void read_state_line(struct bv_run_state *st, char *line)
{
	char *value = strchr(line, ' ');
	if (!value)
		return;
	*value++ = '\0';

	uint64_t n = strtoull(value, NULL, 10);
	if (bv_streq(line, "state")) {
		int s = bv_state_parse(value);
		st->state = s < 0 ? BV_STOPPED : (enum bv_state)s;
	} else if (bv_streq(line, "monitor"))
		st->monitor_pid = (pid_t)n;
	else if (bv_streq(line, "init"))
		sscanf(value, "%d %" SCNu64, &st->init_pid, &st->init_start);
	else if (bv_streq(line, "survives"))
		st->survives_monitor = n != 0;
	else if (bv_streq(line, "ephemeral"))
		st->ephemeral = n != 0;
	else if (bv_streq(line, "ttys"))
		st->ttys = (unsigned int)n;
	else if (bv_streq(line, "exit"))
		st->exit_status = (int)n;
	else if (bv_streq(line, "engine"))
		snprintf(st->engine, sizeof(st->engine), "%s", value);
	else if (bv_streq(line, "label"))
		snprintf(st->label, sizeof(st->label), "%s", value);
	else if (bv_streq(line, "cgroup"))
		add_line(&st->cgroup, value);
	else if (bv_streq(line, "net"))
		add_line(&st->net, value);
}

enum { STATE_SIZE = 4096 };

int bv_run_state_read(const struct bv_rundir *rd, struct bv_run_state *ret)
{
	*ret = (struct bv_run_state){ 0 };
	if (rd->fd < 0)
		return -ENOENT;
	/* One read for all but instances with a very long list of links or hierarchies. */
	char small[STATE_SIZE];
	autofree char *large = NULL;
	char *text = small;
	ssize_t n = bv_read_small(rd->fd, "state", small, sizeof(small));
	if (n == sizeof(small) - 1) {
		n = bv_read_file(rd->fd, "state", 0, &large, NULL);
		text = large;
	}
	if (n < 0)
		return (int)n;

	char *rest = text, *line;
	while ((line = strsep(&rest, "\n")))
		read_state_line(ret, line);
	return 0;
}

static void put_lines(struct bv_buf *b, const char *key, const char *text)
{
	while (text && *text) {
		size_t n = strcspn(text, "\n");
		bv_buf_printf(b, "%s %.*s\n", key, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

int bv_run_state_write(const struct bv_rundir *rd, const struct bv_run_state *st, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_buf_printf(&b, "state %s\n", bv_state_name(st->state));
	bv_buf_printf(&b, "monitor %d\n", (int)st->monitor_pid);
	if (st->init_pid)
		bv_buf_printf(&b, "init %d %" PRIu64 "\n", (int)st->init_pid, st->init_start);
	bv_buf_printf(&b, "survives %d\nephemeral %d\nttys %u\nexit %d\nengine %s\n", st->survives_monitor,
		      st->ephemeral, st->ttys, st->exit_status, st->engine);
	if (st->label[0])
		bv_buf_printf(&b, "label %s\n", st->label);
	put_lines(&b, "cgroup", st->cgroup);
	put_lines(&b, "net", st->net);
	if (b.bad)
		return bv_fail(err, ENOMEM, "out of memory");

	/* The writer holds the lock: one name will do for what is renamed into place. */
	int r = bv_rundir_write(rd, "state~", b.p, b.len, err);
	if (r == 0 && renameat(rd->fd, "state~", rd->fd, "state") < 0)
		r = bv_fail_errno(err, "cannot write %s/state", rd->path);
	return r;
}

static bool process_lives(pid_t pid, uint64_t start)
{
	uint64_t now;
	return pid > 0 && bv_process_start_time(pid, &now) == 0 && now == start;
}

enum bv_state bv_run_state_effective(const struct bv_rundir *rd, const struct bv_run_state *st)
{
	if (st->state == BV_STOPPED)
		return BV_STOPPED;
	/* Without its monitor an instance may run on: as configured, or because a security module cut the tie. */
	if (bv_rundir_is_locked(rd) <= 0 && !process_lives(st->init_pid, st->init_start))
		return BV_STOPPED;
	if (st->state != BV_RUNNING || !st->cgroup)
		return st->state;

	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	if (bv_cgroup_open(&cg, st->cgroup, NULL) == 0 && bv_cgroup_is_frozen(cg) == 1)
		return BV_FROZEN;
	return BV_RUNNING;
}
