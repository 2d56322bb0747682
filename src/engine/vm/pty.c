/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/pty.h"

#include <termios.h>

#include "sys/pty.h"

int bv_vm_pty_open(int *master, int *slave, struct bv_error *err)
{
	struct termios raw;
	int r = bv_pty_open(master, slave, err);
	if (r < 0)
		return r;
	if (tcgetattr(*slave, &raw) < 0)
		return bv_fail_errno(err, "cannot set up the pty");
	cfmakeraw(&raw);
	return tcsetattr(*slave, TCSANOW, &raw) < 0 ? bv_fail_errno(err, "cannot set up the pty") : 0;
}
