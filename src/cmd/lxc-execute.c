/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <stdlib.h>

struct execute_args {
	struct cmd_common common;
	bool daemon, vm, container;
	struct bv_strv defines;
	int64_t uid, gid;
	const char *share[4];
};

#define ARG(member) offsetof(struct execute_args, member)

static const struct cmd_option options[] = {
	{ 'd', "daemon", NULL, CMD_FLAG, ARG(daemon), "run in the background" },
	{ 'f', "rcfile", "FILE", CMD_STRING, ARG(common.rcfile), "read FILE in place of the instance's configuration" },
	{ 's', "define", "KEY=VAL", CMD_LIST, ARG(defines), "set a configuration key for this run" },
	{ 'u', "uid", "UID", CMD_ID, ARG(uid), "run COMMAND as this user id of the instance" },
	{ 'g', "gid", "GID", CMD_ID, ARG(gid), "run COMMAND as this group id of the instance" },
	{ 0, "share-net", "NAME", CMD_STRING, ARG(share[0]), "share the network of the instance or process NAME" },
	{ 0, "share-ipc", "NAME", CMD_STRING, ARG(share[1]), "share the IPC objects of the instance or process NAME" },
	{ 0, "share-uts", "NAME", CMD_STRING, ARG(share[2]), "share the host name of the instance or process NAME" },
	{ 0, "share-pid", "NAME", CMD_STRING, ARG(share[3]), "share the processes of the instance or process NAME" },
	{ 0, "vm", NULL, CMD_FLAG, ARG(vm), "run it as a virtual machine this time" },
	{ 0, "container", NULL, CMD_FLAG, ARG(container), "run it as a container this time" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-execute",
	.synopsis = "--name=NAME [OPTION...] [-- COMMAND...]",
	.summary = "Run COMMAND alone in an instance, under a small init, and exit as it does",
	.options = options,
	.rest = "COMMAND",
	.bad_option_hint = "options of the command go behind --, as in lxc-execute -n NAME -- ls -l",
};

int main(int argc, char **argv)
{
	struct execute_args a = { .uid = -1, .gid = -1 };
	cmd_parse(&command, argc, argv, &a.common);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_start_options start = {
		.foreground = !a.daemon,
		.execute = true,
		.command = a.common.n_rest ? a.common.rest : NULL,
		.close_fds = a.daemon,
		.uid = a.uid,
		.gid = a.gid,
		.argv = argv,
		.share = { a.share[0], a.share[1], a.share[2], a.share[3] },
		.engine = cmd_engine(&a.common, a.vm, a.container),
	};
	struct bv_error err = { 0 };
	int status = EXIT_SUCCESS;
	int r = cmd_configure(&a.common, inst, &a.defines, &err);

	if (r == 0)
		r = bv_instance_start(inst, &start, &status, &err);
	bv_strv_clear(&a.defines);
	return r == 0 ? status : cmd_fail(&a.common, &err);
}
