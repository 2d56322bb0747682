/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct console_args {
	struct cmd_common common;
	int tty;
	const char *escape;
};

#define ARG(member) offsetof(struct console_args, member)

static const struct cmd_option options[] = {
	{ 't', "tty", "NUMBER", CMD_INT, ARG(tty),
	  "which terminal: 1 and up, 0 is /dev/console; the first free one if not given" },
	{ 'e', "escape", "LETTER", CMD_STRING, ARG(escape), "the Ctrl key that begins an escape, as in ^a or a" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-console",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Connect this terminal to a terminal of a running instance",
	.options = options,
};

/* "a", "A", "^a" and "^A" are Ctrl+a. */
static int parse_escape(const struct console_args *a)
{
	const char *s = a->escape;

	if (*s == '^')
		s++;
	char letter = (char)(*s | 0x20);
	if (letter < 'a' || letter > 'z' || s[1])
		cmd_mistake(&a->common, "--escape wants a letter, as in ^a, not \"%s\"", a->escape);
	return letter & 0x1f;
}

/* `data` is the escape's control character. */
static void connected(void *data, int tty)
{
	char letter = (char)('a' + *(int *)data - 1);

	dprintf(STDERR_FILENO,
		"\nConnected to tty %d\n"
		"Type <Ctrl+%c q> to exit the console, <Ctrl+%c Ctrl+%c> to enter Ctrl+%c itself\n",
		tty, letter, letter, letter, letter);
}

int main(int argc, char **argv)
{
	struct console_args a = { .tty = -1, .escape = "a" };
	cmd_parse(&command, argc, argv, &a.common);
	int escape = parse_escape(&a);
	if (a.tty < -1)
		cmd_mistake(&a.common, "--tty wants the number of a terminal, not %d", a.tty);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_console_options console = {
		.tty = a.tty,
		.escape = escape,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.connected = a.common.quiet ? NULL : connected,
		.data = &escape,
	};
	struct bv_error err = { 0 };
	return bv_instance_console(inst, &console, &err) < 0 ? cmd_fail(&a.common, &err) : EXIT_SUCCESS;
}
