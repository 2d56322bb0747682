/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>

struct monitor_args {
	struct cmd_common common;
	bool human;
};

#define ARG(member) offsetof(struct monitor_args, member)

static const struct cmd_option options[] = {
	{ 0, "hmp", NULL, CMD_FLAG, ARG(human), "COMMAND is for the human monitor: words as people type them" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-vm-monitor",
	.synopsis = "--name=NAME [OPTION...] [--] COMMAND...",
	.summary = "Have the machine monitor (QMP) of an instance that runs as a VM execute COMMAND",
	.options = options,
	.rest = "COMMAND",
	.bad_option_hint = "options of the command go behind --, as in lxc-vm-monitor --hmp -n NAME -- info mtree -f",
	.notes = "COMMAND is a name, as query-status, or a JSON object with \"execute\";\n"
		 "query-commands lists the names.\n",
};

int main(int argc, char **argv)
{
	struct monitor_args a = { .human = false };
	cmd_parse(&command, argc, argv, &a.common);
	struct bv_error err = { 0 };
	if (a.common.n_rest == 0) {
		bv_fail(&err, EINVAL, "no command for the monitor was given");
		bv_hint(&err, a.human ? "lxc-vm-monitor --hmp %s help lists them" :
					"lxc-vm-monitor %s query-commands lists them", a.common.name);
		return cmd_fail(&a.common, &err);
	}

	struct bv_buf words = { 0 }, out = { 0 };
	for (int i = 0; i < a.common.n_rest; i++)
		bv_buf_printf(&words, "%s%s", i > 0 ? " " : "", a.common.rest[i]);
	autofree char *text = bv_buf_take(&words), *answer = NULL;
	if (!text)
		cmd_mistake(&a.common, "out of memory");

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	if (bv_instance_vm_monitor(inst, text, a.human, &answer, &err) < 0)
		return cmd_fail(&a.common, &err);
	bv_buf_puts(&out, answer);
	if (out.len > 0 && out.p[out.len - 1] != '\n')
		bv_buf_putc(&out, '\n');
	return cmd_print(&a.common, &out);
}
