/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>

struct wait_args {
	struct cmd_common common;
	const char *states;
	int timeout_s;
};

#define ARG(member) offsetof(struct wait_args, member)

static const struct cmd_option options[] = {
	{ 's', "state", "STATES", CMD_STRING, ARG(states),
	  "what to wait for: STOPPED, STARTING, RUNNING, STOPPING, ABORTING, FREEZING, FROZEN, THAWED, or several "
	  "joined by |" },
	{ 't', "timeout", "SECONDS", CMD_INT, ARG(timeout_s),
	  "how long to wait: for ever if not given or -1; 0 looks once" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-wait",
	.synopsis = "--name=NAME --state=STATE[|STATE...] [OPTION...]",
	.summary = "Wait until an instance is in one of some states",
	.options = options,
};

static unsigned int parse_states(const struct wait_args *a)
{
	struct bv_strv words = { 0 };
	unsigned int bits = 0;

	if (!a->states)
		cmd_mistake(&a->common, "no state to wait for: --state=RUNNING, say");
	if (bv_strv_split(&words, a->states, "|") < 0)
		cmd_mistake(&a->common, "out of memory");
	for (size_t i = 0; i < words.n; i++) {
		int state = bv_state_parse(words.v[i]);
		if (state >= 0)
			bits |= 1U << state;
		else
			cmd_mistake(&a->common, "\"%s\" is no state of an instance", words.v[i]);
	}
	if (!bits)
		cmd_mistake(&a->common, "no state to wait for: --state=RUNNING, say");
	bv_strv_clear(&words);
	return bits;
}

int main(int argc, char **argv)
{
	struct wait_args a = { .timeout_s = -1 };
	cmd_parse(&command, argc, argv, &a.common);
	unsigned int states = parse_states(&a);
	if (a.timeout_s < -1)
		cmd_mistake(&a.common, "--timeout is a number of seconds, or -1");

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_error err = { 0 };
	int r = bv_instance_wait(inst, states, a.timeout_s, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	/* A look is a question, and its answer the exit code. */
	return r == -ETIMEDOUT && a.timeout_s == 0 ? EXIT_FAILURE : cmd_fail(&a.common, &err);
}
