/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* The command of LXC 0.9 that the older books use; lxc-stop does all it does. */
enum { TIMEOUT_UNSET = INT_MIN, EXIT_NOT_RUNNING = 2 };

struct shutdown_args {
	struct cmd_common common;
	bool wait, reboot;
	int timeout_s;
};

#define ARG(member) offsetof(struct shutdown_args, member)

static const struct cmd_option options[] = {
	{ 'w', "wait", NULL, CMD_FLAG, ARG(wait), "wait until the instance has ended" },
	{ 'r', "reboot", NULL, CMD_FLAG, ARG(reboot), "reboot the instance" },
	{ 't', "timeout", "SECONDS", CMD_INT, ARG(timeout_s), "wait that long, then kill the instance" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-shutdown",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Ask an instance to shut down cleanly",
	.options = options,
};

int main(int argc, char **argv)
{
	struct shutdown_args a = { .timeout_s = TIMEOUT_UNSET };
	cmd_parse(&command, argc, argv, &a.common);
	bool has_timeout = a.timeout_s != TIMEOUT_UNSET;
	if (has_timeout && a.timeout_s < 0)
		cmd_mistake(&a.common, "--timeout is a number of seconds");

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	/* -1 waits for ever, 0 does not wait. */
	struct bv_stop_options stop = {
		.reboot = a.reboot,
		.nokill = !has_timeout,
		.timeout_s = has_timeout ? a.timeout_s : -(int)a.wait,
	};
	struct bv_error err = { 0 };
	int r = bv_instance_stop(inst, &stop, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	cmd_fail(&a.common, &err);
	return r == -ESRCH ? EXIT_NOT_RUNNING : EXIT_FAILURE;
}
