/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "engine/process.h"
#include "engine/vm/guest/agent_internal.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"

enum { EXIT_FAILED = 1, UMASK = 022 };

/* As init left it to the agent, which wants more fds than a command. */
static struct rlimit files_limit;
static char oom_score[16];

void agent_command_remember(void)
{
	if (getrlimit(RLIMIT_NOFILE, &files_limit) < 0)
		files_limit = (struct rlimit){ 0 };
	if (bv_read_small(AT_FDCWD, "/proc/self/oom_score_adj", oom_score, sizeof(oom_score)) <= 0)
		oom_score[0] = '\0';
}

/* ---- the child ---- */

/* What the command gets, one end; the agent has the other. */
struct ends {
	int fd[3], pty, report;
};

static void close_ends(struct ends *e)
{
	for (int i = 0; i < 3; i++)
		close_fd(&e->fd[i]);
	close_fd(&e->pty);
	close_fd(&e->report);
}

static int take_terminal(const struct ends *ends, const struct bv_exec *e, struct bv_error *err)
{
	setsid();
	if (ends->pty < 0)
		return 0;
	if (ioctl(ends->pty, TIOCSCTTY, 0) < 0)
		return bv_fail_errno(err, "cannot make the pty the controlling terminal");
	if (e->uid > 0 && fchown(ends->pty, e->uid, (gid_t)-1) < 0)
		return bv_fail_errno(err, "cannot give the pty to user %u", e->uid);
	return 0;
}

/* All of them are above 2: the agent has /dev/null there. */
static int place_fds(const struct ends *ends, struct bv_error *err)
{
	for (int i = 0; i < 3; i++)
		if (dup2(ends->fd[i] >= 0 ? ends->fd[i] : ends->pty, i) < 0)
			return bv_fail_errno(err, "cannot set up file descriptor %d", i);
	int r = bv_cloexec_from(STDERR_FILENO + 1);
	return r < 0 ? bv_fail(err, r, "cannot close the file descriptors above 2: %s", strerror(-r)) : 0;
}

static void enter_directory(const struct bv_exec *e, const struct bv_account *account)
{
	const char *dir = e->cwd ? e->cwd : account->home;
	/* A directory that is not there is no reason not to run the command. */
	if ((!dir || chdir(dir) < 0) && chdir("/") < 0)
		return;
}

static int set_limits(const struct bv_config *cfg, struct bv_error *err)
{
	if (files_limit.rlim_max > 0)
		setrlimit(RLIMIT_NOFILE, &files_limit);
	if (oom_score[0])
		bv_write_small(AT_FDCWD, "/proc/self/oom_score_adj", oom_score);
	if (cfg->personality != ULONG_MAX && personality(cfg->personality) < 0)
		return bv_fail_errno(err, "cannot set the personality %lx", cfg->personality);
	return bv_process_prlimits(cfg, 0, err);
}

/* The user, then the bounding set, in the order that a container's command has them. */
static int restrict_self(const struct bv_exec *e, const struct bv_config *cfg, struct bv_error *err)
{
	bool set_caps = !(e->flags & BV_EXEC_KEEP_CAPS);
	uint64_t keep = 0;
	/* To the kernel this one means "as it is", which is root. */
	if (e->uid == UINT32_MAX || e->gid == UINT32_MAX)
		return bv_fail(err, EINVAL, "cannot become user %u of group %u: there is no such id", e->uid, e->gid);
	int r = set_caps ? bv_caps_resolve(cfg, &keep, err) : 0;
	if (r < 0)
		return r;
	if (set_caps && e->uid != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot keep the capabilities over the change of the user");
	r = bv_process_set_ids(e->uid, e->gid, NULL, 0, err);
	if (r == 0 && set_caps && e->uid != 0)
		r = bv_caps_raise_permitted(err);
	if (r == 0 && set_caps)
		r = bv_caps_apply(keep, err);
	if (r == 0 && cfg->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot set no_new_privs");
	return r;
}

static int become_command(const struct ends *ends, const struct bv_exec *e, const struct bv_config *cfg, int *code,
			  struct bv_error *err)
{
	int r = bv_process_reset_signals(err);
	if (r == 0)
		r = take_terminal(ends, e, err);
	if (r == 0)
		r = place_fds(ends, err);
	if (r == 0)
		r = set_limits(cfg, err);
	if (r < 0)
		return r;

	umask(UMASK);
	autoclose int passwd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	autoclean(bv_account_clear) struct bv_account account;
	bv_account_find(&account, passwd, e->uid);
	enter_directory(e, &account);
	char *shell[] = { strdup(bv_account_shell(&account)), NULL };
	r = restrict_self(e, cfg, err);
	if (r < 0)
		return r;
	char *none[] = { NULL };
	r = bv_process_exec(e->argv.n > 0 ? e->argv.v : shell, e->env.v ? e->env.v : none, err);
	*code = bv_process_exit_code(err);
	return r;
}

static void __attribute__((noreturn)) run_child(const struct ends *ends, const struct bv_exec *e,
						const struct bv_config *cfg)
{
	struct agent_report report = { .code = EXIT_FAILED };
	become_command(ends, e, cfg, &report.code, &report.err);
	(void)!write(ends->report, &report, sizeof(report));
	_exit(report.code);
}

/* ---- the agent's side ---- */

static int make_pipe(int *ours, int *theirs, bool to_command, struct bv_error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "the agent in the guest cannot make a pipe");
	*ours = ends[to_command];
	*theirs = ends[!to_command];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
		return bv_fail_errno(err, "the agent in the guest cannot make a pipe");
	return 0;
}

static int make_pty(struct agent_channel *ch, struct ends *ends, const struct bv_exec *e, struct bv_error *err)
{
	int *master = &ch->out[AGENT_OUTPUT_PTY].fd, unlocked = 0;
	struct winsize size = { .ws_row = e->rows, .ws_col = e->columns };
	*master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (*master < 0)
		*master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (*master < 0)
		return bv_fail_errno(err, "the agent in the guest cannot open /dev/ptmx");
	if (ioctl(*master, TIOCSPTLCK, &unlocked) < 0 ||
	    (ends->pty = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0 ||
	    (ch->in[AGENT_INPUT_PTY].fd = fcntl(*master, F_DUPFD_CLOEXEC, 0)) < 0)
		return bv_fail_errno(err, "the agent in the guest cannot make a pty");
	ioctl(*master, TIOCSWINSZ, &size);
	return 0;
}

/* fds of `ch`, and those of the command: what is not the pty is a pipe. */
static int make_streams(struct agent_channel *ch, struct ends *ends, const struct bv_exec *e, struct bv_error *err)
{
	bool pty = e->flags & BV_EXEC_PTY;
	int r = make_pipe(&ch->report, &ends->report, false, err);
	if (r == 0 && pty)
		r = make_pty(ch, ends, e, err);
	if (r == 0 && !(pty && (e->flags & BV_EXEC_PTY_STDIN)))
		r = make_pipe(&ch->in[AGENT_INPUT_STDIN].fd, &ends->fd[0], true, err);
	if (r == 0 && !(pty && (e->flags & BV_EXEC_PTY_STDOUT)))
		r = make_pipe(&ch->out[AGENT_OUTPUT_STDOUT].fd, &ends->fd[1], false, err);
	if (r == 0 && !(pty && (e->flags & BV_EXEC_PTY_STDERR)))
		r = make_pipe(&ch->out[AGENT_OUTPUT_STDERR].fd, &ends->fd[2], false, err);
	ch->out[AGENT_OUTPUT_STDOUT].stream = BV_STREAM_OUT;
	ch->out[AGENT_OUTPUT_STDERR].stream = BV_STREAM_ERR;
	ch->out[AGENT_OUTPUT_PTY].stream = e->flags & BV_EXEC_PTY_STDOUT ? BV_STREAM_OUT : BV_STREAM_PTY;
	return r;
}

int agent_command_start(struct agent_channel *ch, const struct bv_exec *e, const struct bv_config *cfg,
			struct bv_error *err)
{
	autoclean(close_ends) struct ends ends = { .fd = { -1, -1, -1 }, .pty = -1, .report = -1 };
	int r = make_streams(ch, &ends, e, err);
	if (r < 0)
		return r;
	ch->pid = fork();
	if (ch->pid == 0)
		run_child(&ends, e, cfg);
	return ch->pid < 0 ? bv_fail_errno(err, "the agent in the guest cannot fork") : 0;
}

void agent_command_signal(pid_t pid, int sig)
{
	/* A child that was not scheduled yet has no group of its own. */
	if (kill(-pid, sig) < 0)
		kill(pid, sig);
}
