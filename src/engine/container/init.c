/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/container/container.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/container/process.h"
#include "sys/kernel.h"

/* How long the processes have between SIGTERM and SIGKILL. */
enum { TERM_GRACE_MS = 1000 };
/* Before Linux 5.9 fds are closed one by one; a start has no more. */
enum { FDS_MAX = 1024 };

static void run_command(const struct bv_run *run, char *const *argv, char *const *env, int sync)
{
	struct child_message m = { .kind = CHILD_FAILED };
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	/* A session of its own: what the terminal sends is for the command alone. */
	setsid();
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (ioctl(fd, TIOCSCTTY, 0) == 0)
			break;

	int r = 0;
	if (run->exec_gid >= 0 || run->exec_uid >= 0)
		r = bv_process_set_ids(run->exec_uid >= 0 ? (uid_t)run->exec_uid : getuid(),
				       run->exec_gid >= 0 ? (gid_t)run->exec_gid : getgid(), NULL, 0, &m.err);
	if (r == 0)
		bv_process_exec(argv, env, &m.err);
	send(sync, &m, sizeof(m), MSG_NOSIGNAL);
	_exit(bv_process_exit_code(&m.err));
}

/* Reap all that has ended; *status is the command's, once it did. False when no child is left. */
static bool reap(pid_t command, int *status)
{
	for (;;) {
		int st;
		pid_t pid = waitpid(-1, &st, WNOHANG | __WALL);
		if (pid == command)
			*status = st;
		if (pid < 0)
			return errno != ECHILD;
		if (pid == 0)
			return true;
	}
}

void bv_container_init(const struct bv_run *run, char *const *argv, char *const *env, int sync)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "init", 0, 0, 0);

	pid_t command = fork();
	if (command == 0)
		run_command(run, argv, env, sync);
	if (command < 0) {
		struct child_message m = { .kind = CHILD_FAILED };
		bv_fail_errno(&m.err, "cannot fork for the command");
		send(sync, &m, sizeof(m), MSG_NOSIGNAL);
		_exit(EXIT_FAILURE);
	}
	/* Nothing of the host stays open in a process that the instance's root can look into; `sync` is among it. */
	if (bv_close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
		for (int fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
			close(fd);

	int status = 0;
	int64_t deadline = 0;
	while (reap(command, &status)) {
		struct timespec wait = { .tv_sec = TERM_GRACE_MS / 1000 };
		siginfo_t info;
		int sig = deadline ? sigtimedwait(&all, &info, &wait) : sigwaitinfo(&all, &info);
		if (sig == SIGTERM || sig == SIGPWR) {
			kill(-1, SIGTERM);
			deadline = deadline ? deadline : bv_now_ms() + TERM_GRACE_MS;
		} else if (sig > 0 && sig != SIGCHLD) {
			kill(command, sig);
		}
		if (deadline && bv_now_ms() >= deadline)
			kill(-1, SIGKILL);
	}
	_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
