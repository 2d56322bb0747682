/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <stdlib.h>

static const struct cmd_option options[] = { { 0 } };

static const struct cmd command = {
	.name = "lxc-unfreeze",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Let the processes of a frozen instance go on",
	.options = options,
};

int main(int argc, char **argv)
{
	struct cmd_common a = { 0 };
	cmd_parse(&command, argc, argv, &a);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a);
	struct bv_error err = { 0 };
	return bv_instance_freeze(inst, false, &err) < 0 ? cmd_fail(&a, &err) : EXIT_SUCCESS;
}
