/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "template/inside.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

static const char search_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool bv_program_exists(const char *name)
{
	autoclean(bv_strv_clear) struct bv_strv dirs = { 0 };
	if (bv_strv_split(&dirs, search_path, ":") < 0)
		return false;
	for (size_t i = 0; i < dirs.n; i++) {
		autofree char *path = bv_asprintf("%s/%s", dirs.v[i], name);
		if (path && access(path, X_OK) == 0)
			return true;
	}
	return false;
}

int bv_run_host_env(struct bv_strv *env)
{
	static const char *const passed[] = { "http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "HTTP_PROXY",
					      "HTTPS_PROXY", "NO_PROXY", "TMPDIR" };
	int r = bv_strv_addf(env, "PATH=%s", search_path);
	if (r == 0)
		r = bv_strv_add(env, "HOME=/root");
	if (r == 0)
		r = bv_strv_add(env, "LC_ALL=C.UTF-8");
	if (r == 0)
		r = bv_strv_add(env, "DEBIAN_FRONTEND=noninteractive");
	for (size_t i = 0; i < ARRAY_SIZE(passed) && r == 0; i++) {
		const char *value = getenv(passed[i]);
		if (value)
			r = bv_strv_addf(env, "%s=%s", passed[i], value);
	}
	return r;
}

static int own_namespaces(struct bv_error *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return bv_fail_errno(err, "cannot make the mounts private");
	/* Programs look at /proc/self: it must be that of the new pid namespace. */
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return bv_fail_errno(err, "cannot mount /proc");
	return 0;
}

static int take_stdio(const struct bv_run *run, int in, int out, struct bv_error *err)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return bv_fail_errno(err, "cannot open /dev/null");
	if (dup2(in >= 0 ? in : null, 0) < 0 || dup2(run->out >= 0 ? run->out : out, 1) < 0 || dup2(out, 2) < 0)
		return bv_fail_errno(err, "cannot set up stdin, stdout and stderr");
	return 0;
}

static int child_setup(const struct bv_run *run, int in, int out, struct bv_error *err)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	umask(022);

	int r = take_stdio(run, in, out, err);
	if (r == 0)
		r = run->root ? bv_inside_enter(run->root, run->script, err) : own_namespaces(err);
	if (r == 0 && bv_cloexec_from(3) < 0)
		r = bv_fail_errno(err, "cannot close file descriptors");
	return r;
}

__attribute__((noreturn))
static void child(const struct bv_run *run, int in, int out, int error_pipe)
{
	struct bv_error err = { 0 };
	char *const script_argv[] = { (char *)BV_INSIDE_SCRIPT, NULL };
	char *const shell_argv[] = { (char *)"/bin/sh", (char *)BV_INSIDE_SCRIPT, NULL };

	if (child_setup(run, in, out, &err) == 0) {
		char *const *argv = run->argv;
		if (run->script)
			argv = strncmp(run->script, "#!", 2) == 0 ? script_argv : shell_argv;
		/* execvp looks into the PATH of the environment that is passed on. */
		setenv("PATH", search_path, 1);
		execvpe(argv[0], argv, run->env);
		bv_fail_errno(&err, "cannot run %s", argv[0]);
		if (errno == ENOENT && !run->root)
			bv_hint(&err, "install the program %s", argv[0]);
	}
	if (write(error_pipe, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static pid_t clone_namespaces(void)
{
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = bv_clone3(&args, sizeof(args));
	if (pid != -ENOSYS)
		return pid;
#if defined(__s390__)
	pid = (pid_t)syscall(SYS_clone, 0, args.flags | SIGCHLD, 0, 0, 0);
#else
	pid = (pid_t)syscall(SYS_clone, args.flags | SIGCHLD, 0, 0, 0, 0);
#endif
	return pid < 0 ? -errno : pid;
}

/* What a program said, line by line. */
struct listener {
	const struct bv_run *run;
	char last[400];  /* the last line */
	char cause[400]; /* the first that looks like an error */
};

static void hear(struct listener *l, const char *line)
{
	bv_debug("template", "%s: %s", l->run->what, line);
	if (!*line)
		return;
	bool error = bv_after(line, "E: ") || strstr(line, "rror:");
	char *at = error && !l->cause[0] ? l->cause : l->last;
	snprintf(at, sizeof(l->last), "%s", line);
	const char *text = bv_after(line, "I: ");
	if (text && l->run->progress)
		bv_progress_say(l->run->progress, -1, "%s", text);
}

static void listen_to(int fd, struct listener *l)
{
	char line[4096];
	size_t used = 0;
	for (;;) {
		ssize_t n = read(fd, line + used, sizeof(line) - 1 - used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		line[used] = '\0';
		char *begin = line, *end;
		while ((end = strpbrk(begin, "\r\n"))) {
			*end = '\0';
			hear(l, begin);
			begin = end + 1;
		}
		used -= (size_t)(begin - line);
		if (used == sizeof(line) - 1)
			used = 0; /* no line is that long: drop it */
		memmove(line, begin, used);
	}
	line[used] = '\0';
	hear(l, line);
}

static int feed_fd(const struct bv_run *run, int *ret, struct bv_error *err)
{
	if (!run->input)
		return 0;
	autoclose int fd = (int)syscall(SYS_memfd_create, "input", 1u /* MFD_CLOEXEC */);
	if (fd < 0 || bv_write_all(fd, run->input, strlen(run->input)) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return bv_fail_errno(err, "cannot hold the input of %s", run->what);
	*ret = take_fd(&fd);
	return 0;
}

static int report(const struct bv_run *run, const struct listener *l, int status, struct bv_error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	const char *line = l->cause[0] ? l->cause : l->last;
	if (WIFSIGNALED(status))
		return bv_fail(err, EIO, "%s was ended by signal %d%s%s", run->what, WTERMSIG(status),
			       *line ? ": " : "", line);
	return bv_fail(err, EIO, "%s failed with exit code %d%s%s", run->what, WEXITSTATUS(status), *line ? ": " : "",
		       line);
}

int bv_run(const struct bv_run *run, struct bv_error *err)
{
	int out[2], error[2];
	if (pipe2(out, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	autoclose int out_read = out[0], out_write = out[1];
	if (pipe2(error, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	autoclose int error_read = error[0], error_write = error[1];
	autoclose int input = -1;
	int r = feed_fd(run, &input, err);
	if (r < 0)
		return r;

	pid_t pid = clone_namespaces();
	if (pid < 0) {
		bv_fail(err, pid, "cannot make namespaces to run %s: %s", run->what, strerror(-pid));
		return bv_hint(err, "building a rootfs needs root");
	}
	if (pid == 0)
		child(run, input >= 0 ? input : run->in, out_write, error_write);
	close_fd(&out_write);
	close_fd(&error_write);

	struct listener l = { .run = run };
	listen_to(out_read, &l);
	struct bv_error inner;
	bool failed_early = read(error_read, &inner, sizeof(inner)) == sizeof(inner);
	int status = 0;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for %s", run->what);
	if (failed_early) {
		if (err && !err->code)
			*err = inner;
		return bv_error_prefix(err, "%s", run->what);
	}
	return report(run, &l, status, err);
}
