/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>

struct start_args {
	struct cmd_common common;
	bool foreground, close_fds, vm, container, print_command;
	const char *pidfile, *console, *console_log;
	struct bv_strv defines;
	const char *share[4];
};

#define ARG(member) offsetof(struct start_args, member)

static const struct cmd_option options[] = {
	{ 'd', "daemon", NULL, CMD_UNFLAG, ARG(foreground), "run in the background (this is the default)" },
	{ 'F', "foreground", NULL, CMD_FLAG, ARG(foreground), "stay, with this terminal as the instance's console" },
	{ 'p', "pidfile", "FILE", CMD_STRING, ARG(pidfile), "write the process id of the monitor to FILE" },
	{ 'f', "rcfile", "FILE", CMD_STRING, ARG(common.rcfile), "read FILE in place of the instance's configuration" },
	{ 'c', "console", "FILE", CMD_STRING, ARG(console), "use FILE as the console (lxc.console.path)" },
	{ 'L', "console-log", "FILE", CMD_STRING, ARG(console_log),
	  "log what the console prints to FILE (lxc.console.logfile)" },
	{ 'C', "close-all-fds", NULL, CMD_FLAG, ARG(close_fds),
	  "close inherited file descriptors; in the background that is always done" },
	{ 's', "define", "KEY=VAL", CMD_LIST, ARG(defines), "set a configuration key for this run" },
	{ 0, "share-net", "NAME", CMD_STRING, ARG(share[0]), "share the network of the instance or process NAME" },
	{ 0, "share-ipc", "NAME", CMD_STRING, ARG(share[1]), "share the IPC objects of the instance or process NAME" },
	{ 0, "share-uts", "NAME", CMD_STRING, ARG(share[2]), "share the host name of the instance or process NAME" },
	{ 0, "share-pid", "NAME", CMD_STRING, ARG(share[3]), "share the processes of the instance or process NAME" },
	{ 0, "vm", NULL, CMD_FLAG, ARG(vm), "run it as a virtual machine this time" },
	{ 0, "container", NULL, CMD_FLAG, ARG(container), "run it as a container this time" },
	{ 0, "print-command", NULL, CMD_FLAG, ARG(print_command),
	  "print the command line of QEMU that this start would execute, and start nothing" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-start",
	.synopsis = "--name=NAME [OPTION...] [-- COMMAND...]",
	.summary = "Start an instance; COMMAND is run in place of its init",
	.options = options,
	.rest = "COMMAND",
	.bad_option_hint = "options of the command go behind --, as in lxc-start -n NAME -- ls -l",
};

static int configure(struct bv_instance *inst, const struct start_args *a, struct bv_error *err)
{
	int r = cmd_configure(&a->common, inst, &a->defines, err);

	if (r == 0 && a->console)
		r = bv_instance_set(inst, "lxc.console.path", a->console, err);
	if (r == 0 && a->console_log)
		r = bv_instance_set(inst, "lxc.console.logfile", a->console_log, err);
	return r;
}

static int print_command_line(const struct start_args *a, struct bv_instance *inst,
			      const struct bv_start_options *start, struct bv_error *err)
{
	struct bv_buf out = { 0 };
	autofree char *text = NULL;
	int r = bv_instance_command_line(inst, start, &text, err);

	if (r < 0)
		return r;
	bv_buf_puts(&out, text);
	if (cmd_print(&a->common, &out) != 0)
		exit(EXIT_FAILURE);
	return 0;
}

int main(int argc, char **argv)
{
	struct start_args a = { .foreground = false };
	cmd_parse(&command, argc, argv, &a.common);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_start_options start = {
		.foreground = a.foreground,
		.command = a.common.n_rest ? a.common.rest : NULL,
		.pidfile = a.pidfile,
		.close_fds = a.close_fds || !a.foreground,
		.argv = argv,
		.uid = -1,
		.gid = -1,
		.share = { a.share[0], a.share[1], a.share[2], a.share[3] },
		.engine = cmd_engine(&a.common, a.vm, a.container),
	};
	struct bv_error err = { 0 };
	int r = configure(inst, &a, &err);

	if (r == 0)
		r = a.print_command ? print_command_line(&a, inst, &start, &err) :
				      bv_instance_start(inst, &start, NULL, &err);
	bv_strv_clear(&a.defines);
	if (r == 0)
		return EXIT_SUCCESS;
	cmd_fail(&a.common, &err);
	/* Scripts start what may run already: LXC says so and exits 0. */
	return r == -EALREADY ? EXIT_SUCCESS : EXIT_FAILURE;
}
