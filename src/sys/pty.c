/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

int bv_pty_slave(int master)
{
	int unlock = 0;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return slave < 0 ? -errno : slave;
}

int bv_pty_open(int *master, int *slave, struct bv_error *err)
{
	*slave = -1;
	*master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0)
		return bv_fail_errno(err, "cannot open a pty by /dev/ptmx");
	*slave = bv_pty_slave(*master);
	if (*slave >= 0)
		return 0;
	errno = -*slave;
	return bv_fail_errno(err, "cannot open the pty's slave");
}
