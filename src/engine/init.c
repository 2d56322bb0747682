/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/init.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/process.h"
#include "sys/kernel.h"

/* How long the processes have between SIGTERM and SIGKILL. */
enum { TERM_GRACE_MS = 1000 };
/* Before Linux 5.9 fds are closed one by one; a start has no more. */
enum { FDS_MAX = 1024 };

/* What the terminal sends is for the command alone. */
static void take_terminal(const struct bv_init *how)
{
	if (how->keep_session)
		setpgid(0, 0);
	else
		setsid();
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (how->keep_session ? tcsetpgrp(fd, getpid()) == 0 : ioctl(fd, TIOCSCTTY, 0) == 0)
			break;
}

static void run_command(const struct bv_init *how)
{
	struct bv_error err = { 0 };
	sigset_t none;
	/* Signals are blocked until then: SIGTTOU is what a background process gets that takes the terminal. */
	take_terminal(how);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	int r = 0;
	if (how->gid >= 0 || how->uid >= 0)
		r = bv_process_set_ids(how->uid >= 0 ? (uid_t)how->uid : getuid(),
				       how->gid >= 0 ? (gid_t)how->gid : getgid(), NULL, 0, &err);
	if (r == 0)
		bv_process_exec(how->argv, how->env, &err);
	how->failed(how->data, &err);
	_exit(bv_process_exit_code(&err));
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

int bv_init_run(const struct bv_init *how)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "init", 0, 0, 0);

	pid_t command = fork();
	if (command == 0)
		run_command(how);
	if (command < 0) {
		struct bv_error err = { 0 };
		bv_fail_errno(&err, "cannot fork for the command");
		how->failed(how->data, &err);
		return EXIT_FAILURE;
	}
	/* A parent in its session could be waited for to continue it: ^Z would stop the command for good. */
	if (how->keep_session)
		setsid();
	/* Nothing of the host stays open in a process that the instance's root can look into. */
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
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
