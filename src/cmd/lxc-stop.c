/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum {
	DEFAULT_TIMEOUT_S = 60,
	TIMEOUT_UNSET = INT_MIN,
	EXIT_NOT_RUNNING = 2,
};

struct stop_args {
	struct cmd_common common;
	bool reboot, nowait, kill, nolock, nokill;
	int timeout_s;
};

#define ARG(member) offsetof(struct stop_args, member)

static const struct cmd_option options[] = {
	{ 'r', "reboot", NULL, CMD_FLAG, ARG(reboot), "reboot the instance" },
	{ 'W', "nowait", NULL, CMD_FLAG, ARG(nowait), "don't wait for the end of the shutdown or reboot" },
	{ 't', "timeout", "SECONDS", CMD_INT, ARG(timeout_s),
	  "how long to wait for a clean end before the instance is killed: 60 if not given, -1 waits for ever" },
	{ 'k', "kill", NULL, CMD_FLAG, ARG(kill), "kill it now, without a clean shutdown" },
	{ 0, "nolock", NULL, CMD_FLAG, ARG(nolock),
	  "with --kill: don't wait for another command that works on the instance" },
	{ 0, "nokill", NULL, CMD_FLAG, ARG(nokill), "fail at the end of the timeout instead of killing" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-stop",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Stop a running instance: cleanly, and by force after a timeout",
	.options = options,
};

static void check_conflicts(const struct stop_args *a)
{
	if (a->kill && a->nokill)
		cmd_mistake(&a->common, "--kill and --nokill exclude each other");
	if (a->kill && a->reboot)
		cmd_mistake(&a->common, "--kill and --reboot exclude each other");
	if (a->kill && a->timeout_s != TIMEOUT_UNSET)
		cmd_mistake(&a->common, "--kill does not wait: it takes no --timeout");
	if (a->nolock && !a->kill)
		cmd_mistake(&a->common, "--nolock goes with --kill only");
	if (a->timeout_s < -1 && a->timeout_s != TIMEOUT_UNSET)
		cmd_mistake(&a->common, "--timeout is a number of seconds, or -1");
}

int main(int argc, char **argv)
{
	struct stop_args a = { .timeout_s = TIMEOUT_UNSET };
	cmd_parse(&command, argc, argv, &a.common);
	check_conflicts(&a);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_stop_options stop = {
		.reboot = a.reboot,
		.kill = a.kill,
		.nokill = a.nokill,
		.nolock = a.nolock,
		.timeout_s = a.timeout_s == TIMEOUT_UNSET ? DEFAULT_TIMEOUT_S : a.timeout_s,
	};
	if (a.nowait || a.kill)
		stop.timeout_s = 0;

	struct bv_error err = { 0 };
	int r = bv_instance_stop(inst, &stop, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	cmd_fail(&a.common, &err);
	return r == -ESRCH ? EXIT_NOT_RUNNING : EXIT_FAILURE;
}
