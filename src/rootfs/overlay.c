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

/* Layers at once, lower ones in one option (17 of them go into 255 bytes by fd), the kernel's bytes for an option. */
enum { LAYERS_MAX = 64, LOWERDIR_MAX = 17, OPTION_MAX = 255 };

/* Bytes that have a meaning in an option list or in lowerdir. */
static bool is_plain(const char *path)
{
	return !strpbrk(path, ",\\");
}

/*
 * One layer's path into an option that already has `used` bytes. Where it does not fit in, or has a byte with a meaning
 * of its own, it goes by fd, as /proc/self/fd/N; `fd` keeps it open until the mount is made.
 */
static int add_layer(struct bv_buf *out, const char *path, bool fits, int *fd, struct bv_error *err)
{
	if (fits && is_plain(path)) {
		bv_buf_puts(out, path);
		return 0;
	}
	*fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return bv_fail_errno(err, "cannot open %s", path);
	bv_buf_printf(out, "/proc/self/fd/%d", *fd);
	return 0;
}

/* lowerdir=A:B:C, or for many layers lowerdir+=A,lowerdir+=B (Linux 6.7). */
static int add_lower(struct bv_buf *out, const struct layers *l, size_t n, int *fds, struct bv_error *err)
{
	bool many = n > LOWERDIR_MAX;
	size_t len = n;
	for (size_t i = 0; i < n; i++)
		len += strlen(l->paths.v[i]);
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		bv_buf_puts(out, many ? ",lowerdir+=" : i == 0 ? ",lowerdir=" : ":");
		bool fits = many ? strlen(l->paths.v[i]) <= OPTION_MAX : len <= OPTION_MAX;
		r = add_layer(out, l->paths.v[i], fits, &fds[i], err);
	}
	return r;
}

static int mount_layers(const struct bv_storage *s, const struct layers *l, int *fds, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf options = { 0 };
	size_t upper = l->paths.n - 2;
	int r = add_lower(&options, l, upper, fds, err);
	for (size_t i = upper; r == 0 && i < upper + 2; i++) {
		bv_buf_puts(&options, i == upper ? ",upperdir=" : ",workdir=");
		r = add_layer(&options, l->paths.v[i], strlen(l->paths.v[i]) <= OPTION_MAX, &fds[i], err);
	}
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
