/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/num.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

/* True when BIVALVE_NO_SYSCALL lists `name`. */
static bool forced_away(const char *name)
{
	static const char *list;
	if (!list) {
		list = getenv("BIVALVE_NO_SYSCALL");
		if (!list)
			list = "";
	}

	size_t n = strlen(name);
	for (const char *s = list; *s;) {
		size_t len = strcspn(s, ",");
		if (len == n && memcmp(s, name, n) == 0)
			return true;
		s += len + (s[len] == ',');
	}
	return false;
}

#define CALL(name, ...)                                       \
	({                                                    \
		long r_ = -ENOSYS;                            \
		if (!forced_away(#name)) {                    \
			r_ = syscall(SYS_##name, __VA_ARGS__); \
			if (r_ < 0)                           \
				r_ = -errno;                  \
		}                                             \
		r_;                                           \
	})

pid_t bv_clone3(struct clone_args *args, size_t size)
{
	return (pid_t)CALL(clone3, args, size);
}

int bv_openat2(int dirfd, const char *path, const struct open_how *how)
{
	return (int)CALL(openat2, dirfd, path, how, sizeof(*how));
}

int bv_open_tree(int dirfd, const char *path, unsigned int flags)
{
	return (int)CALL(open_tree, dirfd, path, flags);
}

int bv_move_mount(int from_fd, const char *from, int to_fd, const char *to, unsigned int flags)
{
	return (int)CALL(move_mount, from_fd, from, to_fd, to, flags);
}

int bv_fsopen(const char *fstype, unsigned int flags)
{
	return (int)CALL(fsopen, fstype, flags);
}

int bv_fsconfig(int fs_fd, unsigned int cmd, const char *key, const void *value, int aux)
{
	return (int)CALL(fsconfig, fs_fd, cmd, key, value, aux);
}

int bv_fsmount(int fs_fd, unsigned int flags, unsigned int attributes)
{
	return (int)CALL(fsmount, fs_fd, flags, attributes);
}

int bv_mount_setattr(int dirfd, const char *path, unsigned int flags, struct mount_attr *attr, size_t size)
{
	return (int)CALL(mount_setattr, dirfd, path, flags, attr, size);
}

int bv_pidfd_open(pid_t pid, unsigned int flags)
{
	return (int)CALL(pidfd_open, pid, flags);
}

int bv_pidfd_send_signal(int pidfd, int sig)
{
	return (int)CALL(pidfd_send_signal, pidfd, sig, NULL, 0);
}

int bv_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	return (int)CALL(close_range, first, last, flags);
}

int bv_pivot_root(const char *new_root, const char *put_old)
{
	return (int)CALL(pivot_root, new_root, put_old);
}

int bv_seccomp(unsigned int operation, unsigned int flags, void *args)
{
	return (int)CALL(seccomp, operation, flags, args);
}

/* The kernel queues "e message" lines on the fs fd; keep the last one. */
static void read_fs_message(int fs_fd, char *message, size_t size)
{
	if (!message || size == 0)
		return;
	message[0] = '\0';

	char line[512];
	ssize_t n;
	while ((n = read(fs_fd, line, sizeof(line) - 1)) > 0) {
		line[n] = '\0';
		line[strcspn(line, "\n")] = '\0';
		snprintf(message, size, "%s", n > 2 && line[1] == ' ' ? line + 2 : line);
	}
}

static int configure_fs(int fs_fd, const char *source, const char *options)
{
	int r = source ? bv_fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", source, 0) : 0;
	autofree char *copy = strdup(options ? options : "");
	if (!copy)
		return -ENOMEM;

	char *rest = copy, *option;
	while (r >= 0 && (option = strsep(&rest, ","))) {
		if (!*option)
			continue;
		char *value = strchr(option, '=');
		if (value)
			*value++ = '\0';
		r = value ? bv_fsconfig(fs_fd, FSCONFIG_SET_STRING, option, value, 0) :
			    bv_fsconfig(fs_fd, FSCONFIG_SET_FLAG, option, NULL, 0);
	}
	return r < 0 ? r : bv_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
}

int bv_fs_mount(const char *fstype, const char *source, const char *options, unsigned int attributes, char *message,
		size_t message_size)
{
	if (message && message_size)
		message[0] = '\0';
	autoclose int fs_fd = bv_fsopen(fstype, FSOPEN_CLOEXEC);
	if (fs_fd < 0)
		return fs_fd;

	int r = configure_fs(fs_fd, source, options);
	if (r < 0) {
		read_fs_message(fs_fd, message, message_size);
		return r;
	}
	return bv_fsmount(fs_fd, FSMOUNT_CLOEXEC, attributes);
}

int bv_cloexec_from(int first)
{
	if (bv_close_range((unsigned int)first, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;

	autodir DIR *dir = opendir("/proc/self/fd");
	if (!dir)
		return -errno;
	struct dirent *e;
	while ((e = readdir(dir))) {
		int fd;
		if (bv_parse_int(e->d_name, &fd) == 0 && fd >= first)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void bv_close_many(int *fds, size_t n)
{
	qsort(fds, n, sizeof(*fds), by_number);
	for (size_t first = 0; first < n;) {
		size_t last = first;
		while (last + 1 < n && fds[last + 1] == fds[last] + 1)
			last++;
		if (last == first ||
		    bv_close_range((unsigned int)fds[first], (unsigned int)fds[last], 0) < 0)
			for (size_t i = first; i <= last; i++)
				close_fd(&fds[i]);
		first = last + 1;
	}
	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
}

bool bv_is_root(void)
{
	return getauxval(AT_EUID) == 0;
}

int bv_process_start_time(pid_t pid, uint64_t *ret)
{
	enum { START_TIME_FIELD = 22, FIRST_AFTER_NAME = 3 };
	char path[32], stat[1024];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (bv_read_small(AT_FDCWD, path, stat, sizeof(stat)) <= 0)
		return -ESRCH;

	/* The name, field 2, is in parentheses and may hold anything: count from the last one. */
	char *s = strrchr(stat, ')');
	if (!s)
		return -ESRCH;
	s++;
	for (int field = FIRST_AFTER_NAME - 1; field < START_TIME_FIELD && s; field++)
		s = strchr(s + 1, ' ') ? strchr(s, ' ') + 1 : NULL;
	return s ? (*ret = strtoull(s, NULL, 10), 0) : -ESRCH;
}

int bv_pidfd_open_checked(pid_t pid, uint64_t start_time)
{
	if (pid <= 0)
		return -ESRCH;
	autoclose int pidfd = bv_pidfd_open(pid, 0);
	if (pidfd < 0)
		return pidfd == -EINVAL ? -ESRCH : pidfd;

	/* Open first, then compare: what the fd names cannot be recycled any more. */
	uint64_t now;
	if (bv_process_start_time(pid, &now) < 0 || now != start_time)
		return -ESRCH;
	return take_fd(&pidfd);
}

int bv_pidfd_wait(int pidfd, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? 0 : bv_now_ms() + timeout_ms;
	for (;;) {
		struct pollfd p = { .fd = pidfd, .events = POLLIN };
		int r = poll(&p, 1, timeout_ms);
		if (r > 0)
			return 0;
		if (r == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
		if (timeout_ms >= 0) {
			int64_t left = deadline - bv_now_ms();
			timeout_ms = left > 0 ? (int)left : 0;
		}
	}
}

int64_t bv_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
