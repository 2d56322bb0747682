/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/selfexec.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

static int read_only_mount(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	autoclose int mnt = bv_open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (mnt < 0)
		return mnt;
	int r = bv_mount_setattr(mnt, "", AT_EMPTY_PATH, &attr, sizeof(attr));
	return r < 0 ? r : take_fd(&mnt);
}

static int sealed_copy(int exe)
{
	struct stat st;
	if (fstat(exe, &st) < 0)
		return -errno;
	autoclose int copy = memfd_create("bivalve", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("bivalve", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(copy, exe, NULL, (size_t)left);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(&copy);
}

int bv_selfexec_protected(char *const *argv)
{
	if (!bv_is_root())
		return 0;
	autoclose int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct statfs fs;
	if (exe < 0 || fstatfs(exe, &fs) < 0)
		return -errno;
	/* A memfd has no read-only flag, but is known by its seals. */
	if ((fs.f_flags & ST_RDONLY) || fcntl(exe, F_GET_SEALS) > F_SEAL_SEAL)
		return 0;

	autoclose int program = read_only_mount();
	if (program < 0)
		program = sealed_copy(exe);
	if (program < 0)
		return program;
	syscall(SYS_execveat, program, "", argv, environ, AT_EMPTY_PATH);
	return -errno;
}
