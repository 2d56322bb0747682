/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/init.h"
#include "engine/vm/guest/agent.h"
#include "engine/vm/guest/process.h"
#include "sys/title.h"
#include "util/cleanup.h"
#include "util/file.h"

/* How long the agent has for what is still to be sent. */
enum { AGENT_GRACE_MS = 500 };
/* And the console, which its reader on the host may hold up. */
enum { CONSOLE_GRACE_MS = 2000 };

/* What the processes of a run share. */
struct run {
	struct guest *g;
	char *const *env;
	int pipe;
	volatile int *failed; /* in shared memory */
};

static void tell_failure(void *data, const struct bv_error *err)
{
	const struct run *run = data;
	*run->failed = 1;
	bv_write_all(run->pipe, err, sizeof(*err));
}

/* The first process of the command's namespace. */
static void __attribute__((noreturn)) be_init(struct run *run)
{
	const struct guest *g = run->g;
	struct bv_error err = { 0 };
	struct bv_init how = {
		.argv = g->argv.v,
		.env = run->env,
		.uid = g->boot.uid,
		.gid = g->boot.gid,
		.keep_session = true,
		.failed = tell_failure,
		.data = run,
	};
	int r = 0;
	bv_set_process_title("init", "");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		r = bv_fail_errno(&err, "the guest cannot mount a proc file system for the command");
	if (r == 0)
		r = guest_restrict(g, &err);
	if (r < 0) {
		tell_failure(run, &err);
		_exit(EXIT_FAILURE);
	}
	_exit(bv_init_run(&how));
}

/* Pass signals on and reap until `init` has ended; its wait status. */
static int wait_for(pid_t init)
{
	sigset_t all;
	sigfillset(&all);
	for (;;) {
		int status, sig;
		for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0;)
			if (pid == init)
				return status;
		sig = sigwaitinfo(&all, NULL);
		if (sig > 0 && sig != SIGCHLD)
			kill(init, sig);
	}
}

/* The port is one: the agent has to be gone before we send on it. */
static void end_agent(pid_t agent)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	kill(agent, SIGTERM);
	for (int ms = 0; ms < AGENT_GRACE_MS; ms += 10) {
		if (waitpid(agent, NULL, WNOHANG) != 0)
			return;
		nanosleep(&pause, NULL);
	}
	kill(agent, SIGKILL);
	waitpid(agent, NULL, 0);
}

/* A serial line sends in its own time what was written to it, and the power goes at once. */
static void drain_console(void)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	int left = 1;
	for (int ms = 0; ms < CONSOLE_GRACE_MS && left > 0; ms += 10) {
		if (ioctl(STDOUT_FILENO, TIOCOUTQ, &left) < 0)
			return;
		/* Also once it is empty: the last bytes are in the device. */
		nanosleep(&pause, NULL);
	}
}

static void __attribute__((noreturn)) end_with(const struct guest *g, int status)
{
	uint32_t code = (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, code);
	bv_guest_send(g->port, BV_FRAME_ENDED, 0, 0, b.p, b.len);
	/* The console has the command's output: "reboot: Power down", which the kernel shows at any level, is none. */
	bv_write_small(AT_FDCWD, "/proc/sys/kernel/printk", "0 4 0 7");
	drain_console();
	guest_power_off();
}

void guest_execute(struct guest *g, char *const *env, pid_t agent, int pipe)
{
	struct bv_error err = { 0 };
	sigset_t all;
	struct run run = {
		.g = g,
		.env = env,
		.pipe = pipe,
		.failed = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	};
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* This process outlives the command: it leads the console's session. */
	setsid();
	ioctl(STDIN_FILENO, TIOCSCTTY, 0);

	pid_t init = -1;
	if (run.failed == MAP_FAILED || unshare(CLONE_NEWPID) < 0 || (init = fork()) < 0) {
		bv_fail_errno(&err, "the guest cannot make a process for the command");
		bv_write_all(pipe, &err, sizeof(err));
		waitpid(agent, NULL, 0);
		guest_power_off();
	}
	if (init == 0)
		be_init(&run);
	close(pipe);

	int status = wait_for(init);
	if (*run.failed) {
		waitpid(agent, NULL, 0);
		guest_power_off();
	}
	end_agent(agent);
	end_with(g, status);
}
