/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/container/internal_mounts.h"
#include "rootfs/rootat.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* lxc.mount.fstab and lxc.mount.entry */

/* ---- the target ---- */

/* The path of the target inside the rootfs; NULL: it leads elsewhere. */
static const char *target_inside(const struct bv_setup *s, const char *target)
{
	return s->has_rootfs ? bv_mount_target_inside(s->config, s->run->lxcpath, s->run->name, target) : target;
}

/* O_PATH fd of the target, made if the entry says so. */
static int open_target(const struct bv_setup *s, const struct bv_mount_line *m, const char *inside,
		       struct bv_error *err)
{
	int fd = m->create_dir	  ? bv_rootat_mkdir_p(s->root, inside, 0755)
		 : m->create_file ? bv_rootat_touch(s->root, inside, 0644)
				  : bv_rootat_open(s->root, inside, O_PATH, 0);
	if (fd >= 0)
		return fd;
	errno = -fd;
	bv_fail_errno(err, "cannot open the mount's target %s in the rootfs", m->target);
	if (fd == -ENOENT)
		return bv_hint(err, "make it, or add the option create=dir or create=file");
	return fd;
}

/* ---- what is mounted ---- */

/* O_PATH fd of a source that `relative` makes one inside the rootfs. */
static int open_relative(int root, const struct bv_mount_line *m, struct bv_error *err)
{
	int fd = bv_rootat_open(root, m->source, O_PATH, 0);
	if (fd < 0) {
		errno = -fd;
		return bv_fail_errno(err, "cannot open the mount's source %s in the rootfs", m->source);
	}
	return fd;
}

/* `root`: of the rootfs, for a relative source. */
static int clone_source(int root, const struct bv_mount_line *m, struct bv_error *err)
{
	autoclose int source = -1;
	if (m->relative) {
		source = open_relative(root, m, err);
		if (source < 0)
			return source;
	}
	int fd = m->relative ? bv_mount_clone(source, "", m->recursive)
			     : bv_mount_clone(AT_FDCWD, m->source, m->recursive);
	if (fd >= 0)
		return fd;
	errno = -fd;
	bv_fail_errno(err, "cannot bind %s", m->source);
	if (fd == -EINVAL && !m->recursive)
		return bv_hint(err, "in a user namespace the mounts below it cannot be left out: use rbind");
	return fd;
}

static int mount_type(const struct bv_mount_line *m, struct bv_error *err)
{
	int r = bv_streq(m->type, "overlay") ? bv_mount_overlay_dirs(m->data, err) : 0;
	if (r < 0)
		return r;
	/* As mount(2): a read-only mount of a new file system makes it read-only as a whole. */
	bool ro = m->flags.set & MOUNT_ATTR_RDONLY;
	autofree char *options = bv_asprintf("%s%s", ro ? "ro," : "", m->data);
	if (!options)
		return bv_fail(err, ENOMEM, "out of memory");
	char message[256];
	int fd = bv_mount_new(m->type, m->source, options, m->flags.set, message, sizeof(message));
	if (fd >= 0)
		return fd;
	if (fd == -ENODEV)
		return bv_fail(err, ENODEV, "the kernel knows no file system \"%s\"", m->type);
	return bv_fail(err, -fd, "cannot mount %s of type %s: %s", m->source, m->type,
		       *message ? message : strerror(-fd));
}

/* The detached mount of an entry with all its options. */
static int make_mount(struct bv_setup *s, const struct bv_mount_line *m, struct bv_error *err)
{
	if (m->idmap && s->mapped_entries) {
		size_t i = s->next_mapped_entry - 1;
		int fd = i < s->n_mapped_entries ? s->mapped_entries[i] : -1;
		return fd < 0 ? bv_fail(err, ENOENT, "the id mapped mount of %s was not made", m->source) : fd;
	}
	autoclose int fd = m->bind ? clone_source(s->root, m, err) : mount_type(m, err);
	int r = fd;
	if (r >= 0 && m->idmap)
		r = bv_setup_idmap(fd, m->idmap, s->userns_fd, m->source, err);
	/* A new mount got its flags with its birth; a recursive change of an entry is one of rbind. */
	struct bv_mount_line rest = *m;
	if (!m->bind)
		rest.flags.set = rest.flags.clear = 0;
	if (r >= 0)
		r = bv_setup_apply(fd, &rest, m->recursive, m->source, err);
	return r < 0 ? r : take_fd(&fd);
}

/* ---- entries ---- */

static int remount(const struct bv_mount_line *m, int target, struct bv_error *err)
{
	int r = m->bind ? bv_mount_change(target, &m->flags, m->recursive)
			: bv_mount_remount(target, &m->flags, m->data);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot change the mount on %s", m->target);
	}
	return 0;
}

static int move(const struct bv_setup *s, const struct bv_mount_line *m, int target, struct bv_error *err)
{
	autoclose int source = m->relative ? open_relative(s->root, m, err) : open(m->source, O_PATH | O_CLOEXEC);
	if (source < 0)
		return m->relative ? source : bv_fail_errno(err, "cannot open the mount's source %s", m->source);
	int r = bv_mount_attach(source, target, "");
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot move the mount %s to %s", m->source, m->target);
	}
	return 0;
}

/*
 * A directory right below the /dev that we made ourselves (dev/shm, dev/mqueue), which every system wants: it is made
 * and mounted on by its name, with nothing to be resolved. 1 done, 0 not such a one, -errno.
 */
static int mount_in_own_dev(const struct bv_setup *s, const struct bv_mount_line *m, const char *inside, int mnt)
{
	const char *name = bv_after(inside, "dev/");
	if (!s->config->autodev || s->dev < 0 || s->dev_covered || !m->create_dir || !name || !*name ||
	    strchr(name, '/') || bv_streq(name, ".") || bv_streq(name, ".."))
		return 0;
	if (mkdirat(s->dev, name, 0755) < 0)
		return 0;
	int r = bv_mount_attach(mnt, s->dev, name);
	return r < 0 ? r : 1;
}

static int mount_entry(void *ctx, const struct bv_mount_line *m, const char *where, struct bv_error *err)
{
	struct bv_setup *s = ctx;
	/* The monitor counted every line with idmap=, whatever became of it. */
	s->next_mapped_entry += m->idmap != NULL;
	const char *inside = target_inside(s, m->target);
	if (!inside) {
		bv_warn("mounts", "%s: ignored, because %s is not inside the rootfs", where, m->target);
		return 0;
	}

	autoclose int mnt = m->remount || m->move ? -1 : make_mount(s, m, err);
	if (mnt < 0 && !m->remount && !m->move)
		return mnt;
	int done = mnt >= 0 ? mount_in_own_dev(s, m, inside, mnt) : 0;
	if (done < 0) {
		errno = -done;
		return bv_fail_errno(err, "cannot mount %s on %s", m->source, m->target);
	}
	if (done)
		return 0;
	autoclose int target = open_target(s, m, inside, err);
	if (target < 0)
		return target;
	if (m->remount)
		return remount(m, target, err);
	if (m->move)
		return move(s, m, target, err);
	s->dev_covered |= strncmp(inside, "dev", 3) == 0 && !inside[3 + strspn(inside + 3, "/")];
	int r = bv_rootat_attach(mnt, target);
	if (r < 0) {
		errno = -r;
		bv_fail_errno(err, "cannot mount %s on %s", m->source, m->target);
		return r == -ENOTDIR ? bv_hint(err, "a directory goes on a directory, a file on a file") : r;
	}
	return 0;
}

int bv_setup_mount_entries(struct bv_setup *s, struct bv_error *err)
{
	return bv_mount_lines_each(s->config, mount_entry, s, err);
}

/* ---- in the monitor ---- */

struct mapped {
	const struct bv_config *cfg;
	int userns_fd, own_userns;
	int *fds;
	size_t n;
};

static int map_entry(void *ctx, const struct bv_mount_line *m, const char *where, struct bv_error *err)
{
	struct mapped *all = ctx;
	(void)where;
	if (!m->idmap)
		return 0;
	int *fds = reallocarray(all->fds, all->n + 1, sizeof(*fds));
	if (!fds)
		return bv_fail(err, ENOMEM, "out of memory");
	all->fds = fds;
	fds[all->n++] = -1;
	if (!bv_mount_detaches())
		return bv_fail(err, ENOSYS, "idmap= needs Linux 5.12");
	if (m->relative || !m->bind)
		return bv_fail(err, ENOTSUP, "idmap= works for binds of the host's files only");

	if (all->userns_fd < 0 && bv_streq(m->idmap, "container") && all->cfg->n_idmaps > 0) {
		all->userns_fd = all->own_userns = bv_idmap_userns_fd(all->cfg, err);
		if (all->userns_fd < 0)
			return all->userns_fd;
	}
	autoclose int fd = clone_source(-1, m, err);
	int r = fd < 0 ? fd : bv_setup_idmap(fd, m->idmap, all->userns_fd, m->source, err);
	if (r == 0)
		r = bv_setup_apply(fd, m, m->recursive, m->source, err);
	if (r == 0)
		fds[all->n - 1] = take_fd(&fd);
	return r;
}

int bv_setup_mapped_entries(const struct bv_config *cfg, int userns_fd, int **ret, struct bv_error *err)
{
	struct mapped all = { .cfg = cfg, .userns_fd = userns_fd, .own_userns = -1 };
	*ret = NULL;
	int r = bv_mount_lines_each(cfg, map_entry, &all, err);
	close_fd(&all.own_userns);
	if (r == 0 && all.n > 0) {
		*ret = all.fds;
		return (int)all.n;
	}
	for (size_t i = 0; i < all.n; i++)
		close_fd(&all.fds[i]);
	free(all.fds);
	return r;
}
