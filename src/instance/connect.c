/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/command.h"
#include "instance/handle.h"
#include "instance/terminal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/str.h"

/* Connecting a user's terminal to an instance: its console and ttys, and commands attached to it. */

static int explain_refusal(int code, const char *name, int tty, struct bv_error *err)
{
	switch (-code) {
	case EBUSY:
		if (tty < 0)
			return bv_fail(err, EBUSY, "all ttys of %s are in use", name);
		bv_fail(err, EBUSY, "tty %d of %s is in use", tty, name);
		return bv_hint(err, "lxc-console -n %s without -t takes a free one", name);
	case ERANGE:
		bv_fail(err, ERANGE, "%s has no tty %d", name, tty);
		return bv_hint(err, "lxc.tty.max says how many there are; -t 0 is the console");
	case ENODEV:
		bv_fail(err, ENODEV, tty == 0 ? "%s has no console" : "%s has no ttys", name);
		return bv_hint(err, tty == 0 ? "lxc.console.path = none turned it off" :
					       "set lxc.tty.max, or connect to the console: -t 0");
	default:
		return bv_fail(err, -code, "the monitor of %s refused tty %d", name, tty);
	}
}

/*
 * A tty has a new size. What cannot be told is no harm; and it is looked up each time, since who connects while the
 * instance boots is still there when it has.
 */
static void tell_size(void *data)
{
	const struct bv_instance *inst = data;
	struct bv_rundir rd;
	struct bv_run run;
	autoclean(bv_run_state_clear) struct bv_run_state state = { 0 };
	if (bv_rundir_open(&rd, inst->lxcpath, inst->name, NULL) < 0)
		return;
	bv_run_init(&run);
	const struct bv_engine *engine = bv_run_state_read(&rd, &state) < 0 ? NULL : bv_engine_described(state.engine);
	bv_rundir_close(&rd);
	if (!engine || !engine->resized || !state.init_pid)
		return;
	run.name = inst->name;
	run.lxcpath = inst->lxcpath;
	run.pid = state.init_pid;
	run.pidfd = bv_pidfd_open_checked(state.init_pid, state.init_start);
	if (run.pidfd >= 0)
		engine->resized(&run, NULL);
	close_fd(&run.pidfd);
}

int bv_instance_console(struct bv_instance *inst, const struct bv_console_options *o, struct bv_error *err)
{
	struct bv_rundir rd;
	int r = bv_rundir_open(&rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	if (bv_rundir_is_locked(&rd) <= 0) {
		bv_rundir_close(&rd);
		bv_fail(err, ESRCH, "%s is not running", inst->name);
		return bv_hint(err, "lxc-start -n %s", inst->name);
	}

	int tty = o->tty;
	autoclose int master = -1;
	autoclose int connection = bv_command_ask(&rd, BV_COMMAND_CONSOLE, o->tty, &tty, &master, err);
	bv_rundir_close(&rd);
	if (connection < 0)
		return explain_refusal(connection, inst->name, o->tty, err);
	if (o->connected)
		o->connected(o->data, tty);

	struct bv_relay relay = {
		.in = o->in,
		.out = o->out,
		.peer = master >= 0 ? master : connection,
		.framed = master < 0,
		.watch = master >= 0 ? connection : -1,
		.escape = o->escape,
		.log = -1,
		.resized = tell_size,
		.data = inst,
	};
	return bv_terminal_relay(&relay, err);
}

/* ---- attach ---- */

struct attach_terminal {
	int in, out, log;
	struct bv_error *err;
};

static int relay_attached(void *data, int master, int pidfd)
{
	const struct attach_terminal *t = data;
	struct bv_relay relay = {
		.in = t->in, .out = t->out, .peer = master, .watch = pidfd, .log = t->log,
	};
	return bv_terminal_relay(&relay, t->err);
}

static int parse_namespaces(const char *text, unsigned int *ret, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv names = { 0 };
	if (bv_strv_split(&names, text, "| ") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < names.n; i++) {
		int ns = bv_ns_parse(names.v[i]);
		if (ns < 0) {
			bv_fail(err, EINVAL, "\"%s\" is not a namespace", names.v[i]);
			return bv_hint(err, "use some of MOUNT|PID|UTSNAME|IPC|USER|NETWORK|CGROUP|TIME");
		}
		*ret |= 1U << ns;
	}
	return 0;
}

/* A user who gave no terminal wants no pty: redirected files are left as they are. */
static unsigned int terminal_fds(const int fds[3])
{
	unsigned int bits = 0;
	for (unsigned int i = 0; i < 3; i++)
		if (isatty(fds[i]))
			bits |= 1U << i;
	return bits;
}

static int fill_attach(struct bv_engine_attach *how, const struct bv_attach_options *o, struct attach_terminal *t,
		       struct bv_error *err)
{
	*how = (struct bv_engine_attach){
		.command = o->command,
		.elevated = o->elevated,
		.remount_sys_proc = o->remount_sys_proc,
		.clear_env = o->clear_env,
		.keep_vars = o->keep_vars,
		.set_vars = o->set_vars,
		.personality = (unsigned long)-1,
		.context = o->context,
		.uid = o->uid,
		.gid = o->gid,
		.fds = { o->in, o->out, o->error },
		.relay = relay_attached,
		.relay_data = t,
	};
	if (o->namespaces) {
		int r = parse_namespaces(o->namespaces, &how->namespaces, err);
		if (r < 0)
			return r;
		how->elevated = BV_ATTACH_ELEVATED;
	}
	if (o->arch) {
		autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
		int r = cfg ? bv_config_set(cfg, "lxc.arch", o->arch, err) : bv_fail(err, ENOMEM, "out of memory");
		if (r < 0)
			return r;
		how->personality = cfg->personality;
	}

	how->pty_fds = terminal_fds(how->fds);
	t->in = how->pty_fds & 1 ? o->in : -1;
	t->out = how->pty_fds & 2 ? o->out : o->error;
	if (o->pty_log && how->pty_fds) {
		t->log = open(o->pty_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
		if (t->log < 0)
			return bv_fail_errno(err, "cannot open %s", o->pty_log);
	}
	return 0;
}

static int can_enter(const struct bv_handle *h, const struct bv_attach_options *o, struct bv_error *err)
{
	/* Without its config nobody knows what the instance may not do. */
	if (h->lost.code) {
		if (err)
			*err = h->lost;
		return -h->lost.code;
	}
	if (!h->engine->attach)
		return bv_fail(err, ENOTSUP, "the %s engine cannot attach", h->engine->name);
	/* What enters a frozen cgroup stops there, and the caller would wait for it. */
	if (h->cgroup && !(o->elevated & BV_ATTACH_NO_CGROUP) && bv_cgroup_is_frozen(h->cgroup) == 1) {
		bv_fail(err, EBUSY, "%s is frozen", h->run.name);
		return bv_hint(err, "lxc-unfreeze -n %s", h->run.name);
	}
	return 0;
}

int bv_instance_attach(struct bv_instance *inst, const struct bv_attach_options *options, int *exit_status,
		       struct bv_error *err)
{
	struct bv_handle h;
	struct bv_engine_attach how;
	struct attach_terminal terminal = { .in = -1, .out = -1, .log = -1, .err = err };

	*exit_status = EXIT_FAILURE;
	int r = bv_handle_open(&h, inst, err);
	if (r == -ESRCH)
		bv_hint(err, "lxc-start -n %s", inst->name);
	if (r < 0)
		return r;
	r = can_enter(&h, options, err);
	if (r == 0 && !h.config->n_idmaps)
		r = bv_instance_protect(options->argv, err);
	if (r == 0)
		r = fill_attach(&how, options, &terminal, err);
	if (r == 0)
		r = h.engine->attach(&h.run, &how, exit_status, err);
	close_fd(&terminal.log);
	bv_handle_close(&h);
	return r;
}
