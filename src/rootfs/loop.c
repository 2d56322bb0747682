/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rootfs/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/mountfd.h"
#include "util/cleanup.h"

/* A file with a file system in it, on a loop device that the kernel frees with the last user. */

enum { LOOP_TRIES = 32 };
enum { DEFAULT_SIZE_MIB = 1024 }; /* LXC's */

/* File systems by the magic number in their superblock. `force`: mkfs's option to overwrite; NULL: never made here. */
static const struct {
	const char *fstype;
	off_t offset;
	const char *magic;
	size_t len;
	const char *force;
} known[] = {
	{ "ext4", 0x438, "\x53\xef", 2, "-F" },
	{ "ext3", 0x438, "\x53\xef", 2, "-F" },
	{ "ext2", 0x438, "\x53\xef", 2, "-F" },
	{ "xfs", 0, "XFSB", 4, "-f" },
	{ "btrfs", 0x10040, "_BHRfS_M", 8, "-f" },
	{ "squashfs", 0, "hsqs", 4, NULL },
	{ "erofs", 1024, "\xe2\xe1\xf5\xe0", 4, NULL },
};

static int loop_detect(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

const char *bv_storage_image_fs(int image)
{
	char found[8];
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (pread(image, found, known[i].len, known[i].offset) == (ssize_t)known[i].len &&
		    memcmp(found, known[i].magic, known[i].len) == 0)
			return known[i].fstype;
	return NULL;
}

/* Before LOOP_CONFIGURE (Linux 5.8) the image and the flags were set one after the other. */
static int bind_image_old(int device, int image, const struct loop_info64 *info)
{
	if (ioctl(device, LOOP_SET_FD, image) < 0)
		return -errno;
	if (ioctl(device, LOOP_SET_STATUS64, info) == 0)
		return 0;
	int r = -errno;
	ioctl(device, LOOP_CLR_FD, 0);
	return r;
}

static int bind_image(int device, int image, bool ro)
{
	struct loop_config config = {
		.fd = (unsigned int)image,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | (ro ? LO_FLAGS_READ_ONLY : 0),
	};
	if (ioctl(device, LOOP_CONFIGURE, &config) == 0)
		return 0;
	return errno == EINVAL || errno == ENOTTY ? bind_image_old(device, image, &config.info) : -errno;
}

/* A free loop device with the image, or -errno; its name is in `name`. Another process may take the free one first. */
static int attach_image(int image, bool ro, char *name, size_t size)
{
	autoclose int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -errno;
	int r = -EBUSY;
	for (int i = 0; i < LOOP_TRIES && r == -EBUSY; i++) {
		int n = ioctl(control, LOOP_CTL_GET_FREE);
		if (n < 0)
			return -errno;
		snprintf(name, size, "/dev/loop%d", n);
		autoclose int device = open(name, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		if (device < 0)
			return -errno;
		r = bind_image(device, image, ro);
		if (r == 0)
			return take_fd(&device);
	}
	return r;
}

static int loop_mount(const struct bv_storage *s, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	autofree char *options = bv_storage_fs_options(s->options);
	if (!options || bv_strv_split(&words, s->options ? s->options : "", ",") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	bool ro = bv_strv_has(&words, "ro");

	autoclose int image = open(s->path, (ro ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	struct stat st;
	if (image < 0 || fstat(image, &st) < 0)
		return bv_fail_errno(err, "cannot open the image %s", s->path);
	const char *fstype = bv_storage_image_fs(image);
	if (!fstype)
		return bv_fail(err, EINVAL, "%s holds no file system that is known (ext4, xfs, btrfs, squashfs, erofs)",
			       s->path);

	char name[32];
	autoclose int device = -1;
	if (S_ISREG(st.st_mode)) {
		device = attach_image(image, ro, name, sizeof(name));
		if (device < 0) {
			errno = -device;
			bv_fail_errno(err, "cannot put %s on a loop device", s->path);
			return device == -ENOENT ? bv_hint(err, "modprobe loop") : device;
		}
	}
	char message[256];
	int fd = bv_mount_new(fstype, device >= 0 ? name : s->path, options, 0, message, sizeof(message));
	if (fd < 0)
		return bv_fail(err, -fd, "cannot mount %s as %s: %s", s->path, fstype,
			       *message ? message : strerror(-fd));
	return fd;
}

/* mkfs.TYPE by its absolute path: an administrator's PATH may lack the sbin directories. */
static int run_mkfs(const char *fstype, const char *force, const char *path, struct bv_error *err)
{
	static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin" };
	autofree char *tool = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		free(tool);
		tool = bv_asprintf("%s/mkfs.%s", dirs[i], fstype);
		if (!tool)
			return bv_fail(err, ENOMEM, "out of memory");
		if (access(tool, X_OK) == 0)
			break;
	}

	const char *argv[] = { tool, "-q", force, path, NULL };
	if (bv_streq(fstype, "xfs"))
		argv[1] = force;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	pid_t pid;
	int r = posix_spawn(&pid, tool, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		const char *package = *fstype == 'x' ? "xfsprogs" : *fstype == 'b' ? "btrfs-progs" : "e2fsprogs";
		bv_fail(err, r, "cannot run mkfs.%s: %s", fstype, strerror(r));
		return r == ENOENT ? bv_hint(err, "apt install %s", package) : -r;
	}
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for %s", tool);
	if (status != 0)
		return bv_fail(err, EIO, "%s %s failed", tool, path);
	return 0;
}

static int make_image(const char *path, uint64_t size, struct bv_error *err)
{
	if (size > INT64_MAX)
		return bv_fail(err, EFBIG, "an image cannot have %llu bytes", (unsigned long long)size);
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return bv_fail_errno(err, "cannot make the image %s", path);
	if (ftruncate(fd, (off_t)size) == 0)
		return 0;
	bv_fail_errno(err, "cannot give %s a size of %llu bytes", path, (unsigned long long)size);
	unlink(path);
	return -err->code;
}

static int loop_create(const char *instance_dir, const struct bv_storage_spec *spec, char **ret_path,
		       struct bv_error *err)
{
	struct bv_error own = { 0 };
	if (!err)
		err = &own;
	const char *fstype = spec->fstype ? spec->fstype : "ext4", *force = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known) && !force; i++)
		if (bv_streq(fstype, known[i].fstype))
			force = known[i].force;
	if (!force) {
		bv_fail(err, EINVAL, "a loop image cannot be made with the file system \"%s\"", fstype);
		return bv_hint(err, "--fstype ext4, ext3, ext2, xfs or btrfs");
	}

	autofree char *path = bv_asprintf("%s/rootdev", spec->directory ? spec->directory : instance_dir);
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = make_image(path, spec->size ? spec->size : (uint64_t)DEFAULT_SIZE_MIB << 20, err);
	if (r < 0)
		return r;
	r = run_mkfs(fstype, force, path, err);
	if (r == 0)
		r = bv_storage_name(ret_path, "loop", path, err);
	if (r < 0)
		unlink(path);
	return r;
}

static int loop_destroy(const struct bv_storage *s, struct bv_error *err)
{
	if (unlink(s->path) < 0 && errno != ENOENT)
		return bv_fail_errno(err, "cannot remove the image %s", s->path);
	return 0;
}

static char *loop_host_path(const struct bv_storage *s)
{
	(void)s;
	return NULL;
}

const struct bv_storage_ops bv_storage_loop = {
	.name = "loop",
	.detect = loop_detect,
	.create = loop_create,
	.mount = loop_mount,
	.destroy = loop_destroy,
	.host_path = loop_host_path,
};
