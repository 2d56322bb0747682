/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/image.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

enum { UNPACK_CPU_SECONDS = 60, NOBODY = 65534, EXIT_NO_PROGRAM = 127 };

static const struct {
	enum bv_packing packing;
	const char *ending, *program, *package;
} packings[] = {
	{ BV_PACKED_GZIP, ".gz", "gzip", "gzip" },
	{ BV_PACKED_XZ, ".xz", "xz", "xz-utils" },
	{ BV_PACKED_ZSTD, ".zst", "zstd", "zstd" },
};

enum bv_packing bv_packing_of(const char *name)
{
	size_t len = strlen(name);
	for (size_t i = 0; i < ARRAY_SIZE(packings); i++) {
		size_t n = strlen(packings[i].ending);
		if (len > n && bv_streq(name + len - n, packings[i].ending))
			return packings[i].packing;
	}
	return BV_PACKED_NOT;
}

int bv_copy_bytes(int from, int to, size_t len)
{
	off_t at = 0;
	while (len > 0) {
		ssize_t n = sendfile(to, from, &at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EINVAL || errno == ENOSYS))
			break;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		len -= (size_t)n;
	}
	/* A file system that cannot splice. */
	while (len > 0) {
		char chunk[65536];
		ssize_t n = pread(from, chunk, len < sizeof(chunk) ? len : sizeof(chunk), at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		int r = bv_write_all(to, chunk, (size_t)n);
		if (r < 0)
			return r;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A limit on the bytes written keeps a small file from becoming a huge one. */
static void restrict_child(size_t max)
{
	struct rlimit size = { .rlim_cur = max, .rlim_max = max };
	struct rlimit cpu = { .rlim_cur = UNPACK_CPU_SECONDS, .rlim_max = UNPACK_CPU_SECONDS };
	struct rlimit none = { 0 };
	if (setrlimit(RLIMIT_FSIZE, &size) < 0 || setrlimit(RLIMIT_CPU, &cpu) < 0 || setrlimit(RLIMIT_CORE, &none) < 0)
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			       setresuid(NOBODY, NOBODY, NOBODY) < 0)) {
		/* In a user namespace without such an id: there root is nobody to the host already. */
		if (errno != EINVAL && errno != EPERM)
			_exit(126);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(126);
}

static void __attribute__((noreturn)) run_program(const char *program, int in, int out, size_t max)
{
	static const char *const dirs[] = { "/usr/bin", "/bin", "/usr/local/bin" };
	char path_var[] = "PATH=/usr/bin:/bin", locale_var[] = "LC_ALL=C", option[] = "-dc", name[16], path[40];
	char *argv[] = { name, option, NULL }, *env[] = { path_var, locale_var, NULL };

	int null = open("/dev/null", O_WRONLY);
	/* Above the three, so that no dup2 overwrites what another one needs. */
	in = fcntl(in, F_DUPFD, 3);
	out = fcntl(out, F_DUPFD, 3);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || (null >= 0 && dup2(null, 2) < 0))
		_exit(126);
	bv_close_range(3, ~0U, 0);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGXFSZ, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
	restrict_child(max);
	snprintf(name, sizeof(name), "%s", program);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], program);
		execve(path, argv, env);
	}
	_exit(EXIT_NO_PROGRAM);
}

static int judge(int status, const char *program, const char *package, const char *path, struct bv_error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PROGRAM) {
		bv_fail(err, ENOENT, "%s is packed, and there is no %s to unpack it", path, program);
		return bv_hint(err, "apt install %s", package);
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		return bv_fail(err, EFBIG, "%s becomes too large when it is unpacked", path);
	return bv_fail(err, EIO, "%s cannot be unpacked: %s failed", path, program);
}

int bv_unpack(int fd, enum bv_packing packing, size_t max, const char *path, struct bv_error *err)
{
	size_t i = 0;
	while (i < ARRAY_SIZE(packings) && packings[i].packing != packing)
		i++;
	if (i == ARRAY_SIZE(packings))
		return bv_fail(err, EINVAL, "%s is packed in no way that is known", path);
	autoclose int out = memfd_create("unpacked", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (out < 0)
		return bv_fail_errno(err, "cannot make room to unpack %s", path);

	pid_t pid = fork();
	if (pid < 0)
		return bv_fail_errno(err, "cannot fork to unpack %s", path);
	if (pid == 0)
		run_program(packings[i].program, fd, out, max);
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot learn how %s ended", packings[i].program);
	int r = judge(status, packings[i].program, packings[i].package, path, err);
	if (r < 0)
		return r;
	if (lseek(out, 0, SEEK_SET) < 0)
		return bv_fail_errno(err, "cannot read what %s unpacks to", path);
	return take_fd(&out);
}
