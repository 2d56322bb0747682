/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/pty.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

int bv_vm_pty_open(int *master, int *slave, struct bv_error *err)
{
	int unlock = 0;
	struct termios raw;
	*master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*master < 0 || ioctl(*master, TIOCSPTLCK, &unlock) < 0)
		return bv_fail_errno(err, "cannot open a pty by /dev/ptmx");
	*slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0 || tcgetattr(*slave, &raw) < 0)
		return bv_fail_errno(err, "cannot open the pty's slave");
	cfmakeraw(&raw);
	return tcsetattr(*slave, TCSANOW, &raw) < 0 ? bv_fail_errno(err, "cannot set up the pty") : 0;
}
