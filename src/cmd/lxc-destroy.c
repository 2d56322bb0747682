/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <stdlib.h>

struct destroy_args {
	struct cmd_common common;
	bool force, snapshots;
};

#define ARG(member) offsetof(struct destroy_args, member)

static const struct cmd_option options[] = {
	{ 's', "snapshots", NULL, CMD_FLAG, ARG(snapshots), "destroy its snapshots and clones as well" },
	{ 'f', "force", NULL, CMD_FLAG, ARG(force), "kill it first when it runs" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-destroy",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Remove an instance with its root file system and configuration for good",
	.options = options,
};

int main(int argc, char **argv)
{
	struct destroy_args a = { .force = false };
	cmd_parse(&command, argc, argv, &a.common);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_error err = { 0 };
	return bv_instance_destroy(inst, a.force, a.snapshots, &err) < 0 ? cmd_fail(&a.common, &err) : EXIT_SUCCESS;
}
