/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/guest/guest.h"
#include "rootfs/rootat.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"

int guest_take_console(struct bv_error *err)
{
	/* Never as the controlling terminal: who wants one takes it. */
	autoclose int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return bv_fail_errno(err, "the guest has no /dev/console and no /dev/null");
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
		/* The kernel may have started us with none of them: then `fd` is one itself. */
		if (fd == i ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, i) < 0)
			return bv_fail_errno(err, "the guest cannot redirect its standard files to the console");
	}
	if (fd <= STDERR_FILENO)
		fd = -1;
	return 0;
}

static int look_for(void *data)
{
	struct stat st;
	if (stat(data, &st) == 0)
		return S_ISCHR(st.st_mode) ? 0 : -ENODEV;
	return errno == ENOENT ? -EAGAIN : -errno;
}

static int make_tty(const struct guest *g, unsigned int n, struct bv_error *err)
{
	char from[24], to[24];
	snprintf(from, sizeof(from), "/dev/hvc%u", n - 1);
	snprintf(to, sizeof(to), "/dev/tty%u", n);
	int r = guest_wait(look_for, from);
	if (r < 0)
		return bv_fail(err, ENODEV, "the guest has no terminal %s for lxc.tty.max = %u", from, g->boot.ttys);

	/* A kernel without virtual terminals has no ttyN. */
	autoclose int dev = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autoclose int target = dev < 0 ? -errno : bv_rootat_touch(dev, to + strlen("/dev/"), 0620);
	autoclose int mnt = bv_mount_clone(AT_FDCWD, from, false);
	r = target < 0 ? target : mnt < 0 ? mnt : bv_rootat_attach(mnt, target);
	if (r < 0)
		return bv_fail(err, -r, "the guest cannot make %s out of %s: %s", to, from, strerror(-r));
	return 0;
}

int guest_make_ttys(struct guest *g, struct bv_error *err)
{
	int r = 0;
	for (unsigned int n = 1; r == 0 && n <= g->boot.ttys; n++)
		r = make_tty(g, n, err);
	return r;
}
