/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/environ.h"
#include "engine/process.h"
#include "engine/vm/guest/agent.h"
#include "engine/vm/guest/guest.h"
#include "engine/vm/guest/process.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/* ---- the agent ---- */

/*
 * The pipe from process 1 ends when the exec closes it: only then is the instance's init there. An error comes through
 * it when there will be no exec; then nobody but us has the right to switch off, whatever process 1 has become.
 */
static void __attribute__((noreturn)) be_agent(const struct guest *g, int pipe)
{
	struct bv_error err = { 0 };
	ssize_t n;
	while ((n = read(pipe, &err, sizeof(err))) < 0 && errno == EINTR)
		;
	if (n == (ssize_t)sizeof(err)) {
		guest_tell_failure(g, &err);
		guest_power_off();
	}
	close(pipe);
	bv_guest_send(g->port, BV_FRAME_READY, 0, 0, NULL, 0);
	/* The agent has the port under another number: under this one there will be somebody's pipe. */
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	bv_guest_agent_run(g->port, g->cfg);
}

/* The pid; *pipe is the end that is to be written to. */
static pid_t fork_agent(const struct guest *g, int *pipe, struct bv_error *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "the guest cannot make a pipe");
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[1]);
		be_agent(g, ends[0]);
	}
	close(ends[0]);
	*pipe = ends[1];
	if (pid < 0) {
		bv_fail_errno(err, "the guest cannot fork its agent");
		close_fd(pipe);
		return -err->code;
	}
	return pid;
}

/* ---- what init may do ---- */

/* lxc.proc.* */
static int write_proc(const struct bv_config *cfg, struct bv_error *err)
{
	for (size_t i = 0; i < cfg->proc.n; i++) {
		const struct bv_pair *p = &cfg->proc.v[i];
		autofree char *path = bv_asprintf("/proc/self/%s", p->name);
		int r = path ? bv_write_small(AT_FDCWD, path, p->value) : -ENOMEM;
		if (r < 0)
			return bv_fail(err, -r, "cannot set lxc.proc.%s to \"%s\": %s", p->name, p->value,
				       strerror(-r));
	}
	return 0;
}

int guest_restrict(const struct guest *g, struct bv_error *err)
{
	const struct bv_config *cfg = g->cfg;
	autofree gid_t *groups = NULL;
	size_t n_groups = 0;
	uint64_t keep = 0;

	int r = bv_caps_resolve(cfg, &keep, err);
	/* Without it an init could not switch the VM off, where a container ends with its init. */
	if (!g->boot.execute)
		keep |= UINT64_C(1) << CAP_SYS_BOOT;
	if (r == 0)
		r = bv_process_groups(cfg, &groups, &n_groups, err);
	if (r == 0)
		r = write_proc(cfg, err);
	if (r == 0)
		r = bv_process_prlimits(cfg, 0, err);
	if (r < 0)
		return r;
	if (cfg->personality != (unsigned long)-1 && personality(cfg->personality) < 0)
		return bv_fail_errno(err, "cannot set the personality for lxc.arch = %s", cfg->arch);
	if (cfg->init_uid && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot keep the capabilities over the change of the user");
	r = bv_process_set_ids(cfg->init_uid, cfg->init_gid, groups, n_groups, err);
	if (r == 0 && cfg->init_uid)
		r = bv_caps_raise_permitted(err);
	if (r == 0)
		r = bv_caps_apply(keep, err);
	if (r < 0)
		return r;
	if (cfg->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return bv_fail_errno(err, "cannot set no_new_privs");
	return 0;
}

/* ---- init ---- */

/* As for a container, but for container=: this is a machine, and systemd is to see it as one. */
static int build_environment(const struct guest *g, struct bv_strv *env, struct bv_error *err)
{
	int r = bv_env_put_all(env, &g->cfg->environment);
	if (r == 0)
		r = bv_env_put_all(env, &g->cfg->environment_runtime);
	if (r == 0 && g->boot.execute)
		r = bv_env_put(env, "PATH=" BV_PROCESS_PATH);
	/* An empty list is no list, and exec wants one. */
	if (r == 0 && env->n == 0)
		r = bv_strv_add(env, "TERM=linux");
	return r < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

static int enter_cwd(const struct guest *g, struct bv_error *err)
{
	const char *cwd = g->cfg->init_cwd;
	if (!cwd)
		return 0;
	int r = bv_mkdir_p(AT_FDCWD, cwd, 0755);
	if (r < 0 || chdir(cwd) < 0)
		return bv_fail(err, r < 0 ? -r : errno, "cannot enter %s (lxc.init.cwd): %s", cwd,
			       strerror(r < 0 ? -r : errno));
	return 0;
}

/* The console is left to a getty as controlling terminal, unless a command is run in init's place. */
static int take_session(const struct guest *g, struct bv_error *err)
{
	setsid();
	if (g->boot.command.n > 0 && isatty(STDIN_FILENO) && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		return bv_fail_errno(err, "cannot make the console the controlling terminal");
	return 0;
}

static int execute_init(const struct guest *g, struct bv_strv *env, struct bv_error *err)
{
	int r = take_session(g, err);
	if (r == 0)
		r = guest_restrict(g, err);
	if (r < 0)
		return r;
	r = bv_cloexec_from(STDERR_FILENO + 1);
	if (r < 0)
		return bv_fail(err, -r, "cannot close inherited files: %s", strerror(-r));
	return bv_process_exec(g->argv.v, env->v, err);
}

int guest_become_init(struct guest *g, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv env = { 0 };
	int pipe = -1;
	umask(022);
	int r = build_environment(g, &env, err);
	if (r == 0)
		r = enter_cwd(g, err);
	if (r < 0)
		return r;
	guest_stage(g, "executing %s", g->argv.v[0]);
	pid_t agent = fork_agent(g, &pipe, err);
	if (agent < 0)
		return agent;

	if (g->boot.execute)
		guest_execute(g, env.v, agent, pipe);
	execute_init(g, &env, err);
	/* From here on the port is the agent's, who tells it and switches off. */
	bv_write_all(pipe, err, sizeof(*err));
	waitpid(agent, NULL, 0);
	guest_power_off();
}
