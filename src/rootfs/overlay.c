/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * LOWER[:LOWER2...]:UPPER, the first lower layer on top. The work directory is beside the upper one, as LXC has it, so
 * that both are on one file system.
 */
struct layers {
	struct bv_strv paths; /* the lower ones, then upper, then work */
};

static void layers_clear(struct layers *l)
{
	bv_strv_clear(&l->paths);
}

static int layers_parse(struct layers *ret, const char *path, struct bv_error *err)
{
	int r = bv_strv_split(&ret->paths, path, ":");
	if (r < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	if (ret->paths.n < 2) {
		bv_fail(err, EINVAL, "lxc.rootfs.path = overlay:%s names no upper directory", path);
		return bv_hint(err, "write it as overlay:/LOWER:/UPPER");
	}
	for (size_t i = 0; i < ret->paths.n; i++)
		if (ret->paths.v[i][0] != '/')
			return bv_fail(err, EINVAL, "lxc.rootfs.path = overlay:%s: \"%s\" is not an absolute path",
				       path, ret->paths.v[i]);
	const char *upper = ret->paths.v[ret->paths.n - 1];
	const char *slash = strrchr(upper, '/');
	r = bv_strv_addf(&ret->paths, "%.*s/work", (int)(slash - upper), upper);
	return r < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

static const char *upper_of(const struct layers *l)
{
	return l->paths.v[l->paths.n - 2];
}

static const char *work_of(const struct layers *l)
{
	return l->paths.v[l->paths.n - 1];
}

/*
 * The option that names layers `from` up to `to`. The kernel takes 255 bytes an option, and "," and "\" have a meaning
 * in it: where a path does not fit in, it goes by fd, as /proc/self/fd/N; `fds` keeps these open until the mount is made.
 */
static int add_layers(struct bv_buf *out, const struct layers *l, size_t from, size_t to, int *fds,
		      struct bv_error *err)
{
	size_t len = 0;
	bool plain = true;
	for (size_t i = from; i < to; i++) {
		len += strlen(l->paths.v[i]) + 1;
		plain = plain && !strpbrk(l->paths.v[i], ",\\");
	}
	for (size_t i = from; i < to; i++) {
		if (i > from)
			bv_buf_putc(out, ':');
		if (plain && len < 256) {
			bv_buf_puts(out, l->paths.v[i]);
			continue;
		}
		fds[i] = open(l->paths.v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fds[i] < 0)
			return bv_fail_errno(err, "cannot open %s", l->paths.v[i]);
		bv_buf_printf(out, "/proc/self/fd/%d", fds[i]);
	}
	return 0;
}

enum { LAYERS_MAX = 64 };

static int mount_layers(const struct bv_storage *s, const struct layers *l, int *fds, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf options = { 0 };
	size_t upper = l->paths.n - 2;

	bv_buf_puts(&options, "lowerdir=");
	int r = add_layers(&options, l, 0, upper, fds, err);
	bv_buf_puts(&options, ",upperdir=");
	if (r == 0)
		r = add_layers(&options, l, upper, upper + 1, fds, err);
	bv_buf_puts(&options, ",workdir=");
	if (r == 0)
		r = add_layers(&options, l, upper + 1, upper + 2, fds, err);
	if (r < 0)
		return r;
	autofree char *extra = bv_storage_fs_options(s->options);
	if (extra && *extra)
		bv_buf_printf(&options, ",%s", extra);
	autofree char *text = bv_buf_take(&options);
	if (!extra || !text)
		return bv_fail(err, ENOMEM, "out of memory");

	char message[256];
	int fd = bv_mount_new("overlay", NULL, text, 0, message, sizeof(message));
	if (fd >= 0)
		return fd;
	bv_fail(err, -fd, "cannot mount overlay:%s: %s", s->path, *message ? message : strerror(-fd));
	return fd == -ENODEV ? bv_hint(err, "the kernel has no overlay file system: modprobe overlay") : fd;
}

static int overlay_detect(const char *path)
{
	(void)path;
	return 0;
}

static int overlay_mount(const struct bv_storage *s, struct bv_error *err)
{
	autoclean(layers_clear) struct layers l = { 0 };
	int r = layers_parse(&l, s->path, err);
	if (r < 0)
		return r;
	if (l.paths.n > LAYERS_MAX)
		return bv_fail(err, E2BIG, "overlay:%s has more than %d layers", s->path, LAYERS_MAX - 2);
	r = bv_storage_make_dir(upper_of(&l), err);
	if (r == 0)
		r = bv_storage_make_dir(work_of(&l), err);
	if (r < 0)
		return r;

	int fds[LAYERS_MAX];
	memset(fds, -1, sizeof(fds));
	int fd = mount_layers(s, &l, fds, err);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(&fds[i]);
	return fd;
}

static int overlay_create(const char *instance_dir, const struct bv_storage_spec *spec, char **ret_path,
			  struct bv_error *err)
{
	autofree char *lower = spec->directory ? strdup(spec->directory) : bv_asprintf("%s/rootfs", instance_dir);
	autofree char *upper = bv_asprintf("%s/overlay/delta", instance_dir);
	autofree char *layers = lower && upper ? bv_asprintf("%s:%s", lower, upper) : NULL;
	if (!layers)
		return bv_fail(err, ENOMEM, "out of memory");
	if (strchr(lower, ':') || strchr(upper, ':'))
		return bv_fail(err, EINVAL, "a path of an overlay must not contain \":\": %s", layers);
	int r = bv_storage_make_dir(lower, err);
	if (r == 0)
		r = bv_storage_make_dir(upper, err);
	return r < 0 ? r : bv_storage_name(ret_path, "overlay", layers, err);
}

/* The lower layers stay: they may belong to another instance. The instance's directory goes with all that is in it. */
static int overlay_destroy(const struct bv_storage *s, struct bv_error *err)
{
	autoclean(layers_clear) struct layers l = { 0 };
	int r = layers_parse(&l, s->path, err);
	if (r < 0)
		return r;
	const char *const gone[] = { upper_of(&l), work_of(&l) };
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		r = bv_remove_tree(AT_FDCWD, gone[i]);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot remove %s", gone[i]);
		}
	}
	return 0;
}

static char *overlay_host_path(const struct bv_storage *s)
{
	(void)s;
	return NULL;
}

const struct bv_storage_ops bv_storage_overlay = {
	.name = "overlay",
	.detect = overlay_detect,
	.create = overlay_create,
	.mount = overlay_mount,
	.destroy = overlay_destroy,
	.host_path = overlay_host_path,
};
