/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * For keys.sh: small probes that no busybox has. It runs on the host and, being static, in the instance too.
 *   keyring            the id of the session keyring
 *   monotonic          the monotonic clock in seconds
 *   handle             open_by_handle_at with nothing: the name of the error
 *   force              umount2 with MNT_FORCE of nothing
 *   filtered CMD...    CMD below a seccomp filter that lets everything pass
 *   terminal OUT       a new terminal: its name on stdout; stdin is typed on it, what it shows goes to the file OUT
 */

static int print_errno(long ret)
{
	puts(ret < 0 ? strerrorname_np(errno) : "0");
	return EXIT_SUCCESS;
}

static int filtered(char **argv)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { 1, &allow };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return EXIT_FAILURE;
	execvp(argv[0], argv);
	return EXIT_FAILURE;
}

static int copy(int from, int to)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf));
	return n > 0 && write(to, buf, (size_t)n) == n ? 0 : -1;
}

static int terminal(const char *path)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (master < 0 || out < 0 || unlockpt(master) < 0)
		return EXIT_FAILURE;
	/* Held open, so that there is no hang-up before somebody opens it. */
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	printf("%s\n", ptsname(master));
	fflush(stdout);
	for (;;) {
		struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = master, .events = POLLIN } };
		if (slave < 0 || poll(p, 2, -1) < 0)
			return EXIT_FAILURE;
		if (p[1].revents && copy(master, out) < 0)
			return EXIT_FAILURE;
		if (p[0].revents && copy(STDIN_FILENO, master) < 0)
			return EXIT_SUCCESS;
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	if (strcmp(what, "keyring") == 0) {
		/* KEYCTL_GET_KEYRING_ID is 0, KEY_SPEC_SESSION_KEYRING -3. */
		long id = syscall(SYS_keyctl, 0, -3, 0);
		return id < 0 ? print_errno(id) : printf("%ld\n", id) < 0;
	}
	if (strcmp(what, "monotonic") == 0) {
		struct timespec now;
		clock_gettime(CLOCK_MONOTONIC, &now);
		return printf("%" PRId64 "\n", (int64_t)now.tv_sec) < 0;
	}
	if (strcmp(what, "handle") == 0)
		return print_errno(syscall(SYS_open_by_handle_at, -1, NULL, 0));
	if (strcmp(what, "force") == 0)
		return print_errno(umount2("/nothing/here", MNT_FORCE));
	if (strcmp(what, "filtered") == 0 && argc > 2)
		return filtered(argv + 2);
	if (strcmp(what, "terminal") == 0 && argc > 2)
		return terminal(argv[2]);
	return 2;
}
