/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/container/internal_mounts.h"
#include "rootfs/rootat.h"
#include "sys/kernel.h"
#include "util/cleanup.h"

/* devpts, /dev/console and the ttys: masters and slaves by fd, never by a path that a container could have changed. */

static bool has_console(const struct bv_config *cfg)
{
	return !cfg->console_path || !bv_streq(cfg->console_path, "none");
}

static bool has_devpts(const struct bv_config *cfg)
{
	return cfg->pty_max > 0 || cfg->tty_max > 0;
}

/* /dev as it is now: the tmpfs, or what the rootfs has. */
static int open_dev(struct bv_setup *s, struct bv_error *err)
{
	if (s->dev >= 0)
		return 0;
	s->dev = bv_setup_open_top(s, "dev", err);
	if (s->dev < 0)
		return s->dev;
	struct stat ours, hosts;
	if (fstat(s->dev, &ours) < 0)
		return bv_fail_errno(err, "cannot look at /dev of the rootfs");
	/* A rootfs that shares the file system of the host's /dev directory has another inode there. */
	s->dev_is_hosts = stat("/dev", &hosts) == 0 && ours.st_dev == hosts.st_dev && ours.st_ino == hosts.st_ino;
	return 0;
}

/* lxc.tty.dir, or NULL. */
static const char *tty_dir(const struct bv_setup *s)
{
	const char *dir = s->config->tty_dir;
	return dir && *dir && !s->dev_is_hosts ? dir : NULL;
}

static int new_devpts(const struct bv_setup *s, char *message, size_t size)
{
	uint64_t max = (uint64_t)s->config->pty_max + s->config->tty_max;
	uint64_t used = (uint64_t)s->config->tty_max + has_console(s->config);
	char options[96];
	/* Every devpts is an instance of its own since Linux 4.7. */
	snprintf(options, sizeof(options), "ptmxmode=666,mode=620,max=%llu,gid=5",
		 (unsigned long long)(max > used ? max : used));
	unsigned int attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	int fd = bv_mount_new("devpts", "devpts", options, attributes, message, size);
	if (fd != -EINVAL)
		return fd;
	/* A user namespace without a group tty. */
	options[strlen(options) - strlen(",gid=5")] = '\0';
	return bv_mount_new("devpts", "devpts", options, attributes, message, size);
}

/* /dev/ptmx leads to the instance's own devpts: a link, unless the rootfs has the device, which finds it too. */
static int make_ptmx(const struct bv_setup *s, struct bv_error *err)
{
	if (s->dev_is_hosts || symlinkat("pts/ptmx", s->dev, "ptmx") == 0)
		return 0;
	struct stat st;
	if (errno == EEXIST && fstatat(s->dev, "ptmx", &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2))
			return 0;
		if (unlinkat(s->dev, "ptmx", 0) == 0 && symlinkat("pts/ptmx", s->dev, "ptmx") == 0)
			return 0;
	}
	return bv_fail_errno(err, "cannot make the link /dev/ptmx");
}

/* The devpts' fd, mounted on /dev/pts. */
static int mount_devpts(struct bv_setup *s, struct bv_error *err)
{
	if (!s->dev_is_hosts && mkdirat(s->dev, "pts", 0755) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "cannot make the directory /dev/pts");
	char message[256];
	autoclose int pts = new_devpts(s, message, sizeof(message));
	if (pts < 0)
		return bv_fail(err, -pts, "cannot mount a devpts: %s", *message ? message : strerror(-pts));
	int r = bv_mount_attach(pts, s->dev, "pts");
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot mount a devpts on /dev/pts");
	}
	r = make_ptmx(s, err);
	return r < 0 ? r : take_fd(&pts);
}

/* A new pty, unlocked; the master. `pts` is a devpts, or -1: the host's. */
static int open_pty(int pts, struct bv_error *err)
{
	autoclose int master = pts >= 0 ? openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
					: open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0) {
		bv_fail_errno(err, "cannot make a terminal");
		return err->code == ENOSPC ? bv_hint(err, "raise lxc.pty.max") : -err->code;
	}
	int unlock = 0;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return bv_fail_errno(err, "cannot unlock a terminal");
	return take_fd(&master);
}

/* Show the mount `mnt` of a slave as `name` in /dev, on an empty file. */
static int show(const struct bv_setup *s, int mnt, const char *name, struct bv_error *err)
{
	int r = mnt;
	if (r >= 0 && bv_setup_makes_dev(s)) {
		/* A tmpfs of our own: no name in it leads elsewhere. */
		r = mknodat(s->dev, name, S_IFREG | 0644, 0) < 0 && errno != EEXIST ? -errno : 0;
		if (r == 0)
			r = bv_mount_attach(mnt, s->dev, name);
	} else if (r >= 0) {
		autoclose int target = s->dev_is_hosts ? bv_rootat_open_nolinks(s->dev, name, O_PATH, 0)
						       : bv_rootat_touch(s->dev, name, 0644);
		if (target == -ENOENT && s->dev_is_hosts)
			return 0;
		r = target < 0 ? target : bv_rootat_attach(mnt, target);
	}
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot bind a terminal on /dev/%s", name);
	}
	return 0;
}

static int show_console(const struct bv_setup *s, const char *name, struct bv_error *err)
{
	autoclose int mnt = bv_mount_clone(s->console_slave, "", false);
	return show(s, mnt, name, err);
}

static int make_console(struct bv_setup *s, int pts, struct bv_error *err)
{
	s->console = open_pty(pts, err);
	if (s->console < 0)
		return s->console;
	s->console_slave = ioctl(s->console, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (s->console_slave < 0)
		return bv_fail_errno(err, "cannot open the console's terminal");
	uid_t uid = s->config->init_uid;
	if (uid != 0 && fchown(s->console_slave, uid, (gid_t)-1) < 0)
		return bv_fail_errno(err, "cannot give the console to the user %u", uid);

	const char *dir = tty_dir(s);
	if (dir) {
		char name[NAME_MAX];
		snprintf(name, sizeof(name), "%s/console", dir);
		int r = show_console(s, name, err);
		if (r < 0)
			return r;
	}
	return show_console(s, "console", err);
}

/* With lxc.tty.dir the terminal is DIR/ttyN, and ttyN a link to it. */
static int show_tty(const struct bv_setup *s, int mnt, unsigned int n, struct bv_error *err)
{
	char name[16], below[NAME_MAX];
	const char *dir = tty_dir(s);
	snprintf(name, sizeof(name), "tty%u", n);
	if (!dir)
		return show(s, mnt, name, err);

	snprintf(below, sizeof(below), "%s/%s", dir, name);
	if (symlinkat(below, s->dev, name) < 0 &&
	    (errno != EEXIST || unlinkat(s->dev, name, 0) < 0 || symlinkat(below, s->dev, name) < 0))
		return bv_fail_errno(err, "cannot make the link /dev/%s", name);
	return show(s, mnt, below, err);
}

static int make_tty(struct bv_setup *s, int pts, unsigned int n, struct bv_error *err)
{
	autoclose int master = open_pty(pts, err);
	if (master < 0)
		return master;
	unsigned int index;
	if (ioctl(master, TIOCGPTN, &index) < 0)
		return bv_fail_errno(err, "cannot find the number of a terminal");
	char name[16];
	snprintf(name, sizeof(name), "%u", index);
	uid_t uid = s->config->init_uid;
	if (uid != 0 && fchownat(pts, name, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
		return bv_fail_errno(err, "cannot give a terminal to the user %u", uid);

	autoclose int mnt = bv_mount_clone(pts, name, false);
	int r = show_tty(s, mnt, n, err);
	if (r < 0)
		return r;
	size_t used = strlen(s->container_ttys);
	snprintf(s->container_ttys + used, sizeof(s->container_ttys) - used, "%spts/%s", used ? " " : "", name);
	s->ttys[s->n_ttys++] = take_fd(&master);
	return 0;
}

static int check_limits(const struct bv_config *cfg, struct bv_error *err)
{
	if (cfg->tty_max > BV_TTYS_MAX)
		return bv_fail(err, EINVAL, "lxc.tty.max = %u is more than the %d that are possible", cfg->tty_max,
			       BV_TTYS_MAX);
	if (cfg->tty_dir && strlen(cfg->tty_dir) > NAME_MAX - 16)
		return bv_fail(err, ENAMETOOLONG, "lxc.tty.dir is too long");
	return 0;
}

int bv_setup_ptys(struct bv_setup *s, struct bv_error *err)
{
	const struct bv_config *cfg = s->config;
	s->container_ttys[0] = '\0';
	s->n_ttys = 0;
	s->console = s->console_slave = -1;
	if (!has_console(cfg) && !has_devpts(cfg))
		return 0;

	struct bv_error own = { 0 };
	if (!err)
		err = &own;
	int r = check_limits(cfg, err);
	if (r == 0)
		r = open_dev(s, err);
	autoclose int pts = r == 0 && has_devpts(cfg) ? mount_devpts(s, err) : -1;
	if (r < 0 || (has_devpts(cfg) && pts < 0))
		return r < 0 ? r : pts;

	if (tty_dir(s)) {
		autoclose int dir = bv_rootat_mkdir_p(s->dev, cfg->tty_dir, 0755);
		if (dir < 0) {
			errno = -dir;
			return bv_fail_errno(err, "cannot make the directory /dev/%s (lxc.tty.dir)", cfg->tty_dir);
		}
	}
	r = has_console(cfg) ? make_console(s, pts, err) : 0;
	for (unsigned int n = 1; r == 0 && n <= cfg->tty_max; n++)
		r = make_tty(s, pts, n, err);
	return r;
}
