/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <ctype.h>
#include <string.h>

/* Column of the text and right margin of --help; lines of a manual page. */
enum { HELP_COLUMN = 32, HELP_WIDTH = 79, USAGE_PER_LINE = 4, MDOC_WIDTH = 75 };

#define COMMON(member) offsetof(struct cmd_common, member)

/* The first two are of commands that take a name, the last three of all. */
static const struct cmd_option common_options[] = {
	{ 'n', "name", "NAME", CMD_STRING, COMMON(name), "name of the instance; may be given without -n" },
	{ 0, "rcfile", "FILE", CMD_STRING, COMMON(rcfile), "read FILE in place of the instance's configuration" },
	{ 'o', "logfile", "FILE", CMD_STRING, COMMON(logfile),
	  "write the log to FILE; \"none\" sends errors to the standard error output only" },
	{ 'l', "logpriority", "LEVEL", CMD_STRING, COMMON(logpriority),
	  "log events of LEVEL and above; without -o to the log file of the instance" },
	{ 'q', "quiet", NULL, CMD_FLAG, COMMON(quiet), "print no messages" },
	{ 'P', "lxcpath", "DIR", CMD_ONCE, COMMON(lxcpath), "directory of the instances" },
	{ 'h', "help", NULL, CMD_HELP, 0, "print this help" },
	{ 0, "usage", NULL, CMD_USAGE, 0, "print the options in short" },
	{ 0, "version", NULL, CMD_VERSION, 0, "print the version" },
	{ 0 },
};

const struct cmd_option *cmd_common_options(enum cmd_takes takes)
{
	const struct cmd_option *o = common_options;

	if (takes == CMD_TAKES_NO_NAME)
		o += 2;
	if (takes == CMD_TAKES_PLAIN)
		while (o->kind != CMD_HELP)
			o++;
	return o;
}

bool cmd_is_shadowed(const struct cmd *cmd, const struct cmd_option *common)
{
	for (const struct cmd_option *o = cmd->options; o->name; o++)
		if (bv_streq(o->name, common->name))
			return true;
	return false;
}

/* "=FILE", "[=NUM]" or "" */
static void add_long_argument(const struct cmd_option *o, struct bv_buf *out)
{
	if (!o->argument)
		return;
	if (o->argument[0] == '[')
		bv_buf_printf(out, "[=%s", o->argument + 1);
	else
		bv_buf_printf(out, "=%s", o->argument);
}

static void pad(struct bv_buf *out, size_t from, size_t to)
{
	for (; from < to; from++)
		bv_buf_putc(out, ' ');
}

/* `text` from HELP_COLUMN on, broken at blanks; the cursor is in column `at` and the line is ended. */
static void add_wrapped(struct bv_buf *out, size_t at, const char *text)
{
	if (at + 2 > HELP_COLUMN) {
		bv_buf_putc(out, '\n');
		at = 0;
	}
	while (*text) {
		size_t room = HELP_WIDTH - HELP_COLUMN, n = strlen(text);
		if (n > room) {
			n = room;
			while (n > 0 && text[n] != ' ')
				n--;
			if (n == 0)
				n = strcspn(text, " ");
		}
		pad(out, at, HELP_COLUMN);
		bv_buf_printf(out, "%.*s\n", (int)n, text);
		text += n;
		text += strspn(text, " ");
		at = 0;
	}
}

static void add_help_line(const struct cmd_option *o, struct bv_buf *out)
{
	size_t start = out->len;

	if (!o->help)
		return;
	if (o->letter)
		bv_buf_printf(out, "  -%c, --%s", o->letter, o->name);
	else
		bv_buf_printf(out, "      --%s", o->name);
	add_long_argument(o, out);
	add_wrapped(out, out->len - start, o->help);
}

void cmd_help(const struct cmd *cmd, struct bv_buf *out)
{
	const struct cmd_option *common = cmd_common_options(cmd->takes);

	bv_buf_printf(out, "Usage: %s %s\n\n%s.\n\n", cmd->name, cmd->synopsis, cmd->summary);
	if (cmd->options->name || cmd->takes == CMD_TAKES_NAME)
		bv_buf_puts(out, "Options :\n");
	if (cmd->takes == CMD_TAKES_NAME)
		add_help_line(common, out);
	for (const struct cmd_option *o = cmd->options; o->name; o++)
		add_help_line(o, out);
	if (cmd->options->name || cmd->takes == CMD_TAKES_NAME)
		bv_buf_putc(out, '\n');
	if (cmd->notes)
		bv_buf_printf(out, "%s\n", cmd->notes);

	bv_buf_puts(out, "Common options :\n");
	for (const struct cmd_option *o = common; o->name; o++)
		if (!(cmd->takes == CMD_TAKES_NAME && o == common) && !cmd_is_shadowed(cmd, o))
			add_help_line(o, out);
	bv_buf_printf(out, "\nMore is in the manual: man %s\n", cmd->name);
}

static void add_usage_item(const struct cmd_option *o, struct bv_buf *out, size_t *n)
{
	if (!o->help)
		return;
	if (*n > 0 && *n % USAGE_PER_LINE == 0)
		bv_buf_puts(out, "\n\t");
	bv_buf_putc(out, '[');
	if (o->letter)
		bv_buf_printf(out, "-%c|", o->letter);
	bv_buf_printf(out, "--%s", o->name);
	add_long_argument(o, out);
	bv_buf_puts(out, "] ");
	(*n)++;
}

void cmd_usage(const struct cmd *cmd, struct bv_buf *out)
{
	size_t n = 0;

	bv_buf_printf(out, "Usage: %s ", cmd->name);
	for (const struct cmd_option *o = cmd->options; o->name; o++)
		add_usage_item(o, out, &n);
	for (const struct cmd_option *o = cmd_common_options(cmd->takes); o->name; o++)
		if (!cmd_is_shadowed(cmd, o))
			add_usage_item(o, out, &n);
	bv_buf_putc(out, '\n');
}

/* A sentence of mdoc: short lines, no escapes, no hyphens where minus signs are meant. */
static void add_mdoc_text(struct bv_buf *out, const char *text)
{
	size_t line = out->len;

	for (const char *s = text; *s; s++) {
		if (s == text)
			bv_buf_putc(out, (char)toupper((unsigned char)*s));
		else if (*s == '\\')
			bv_buf_puts(out, "\\e");
		else if (*s == '-' && (s[-1] == ' ' || s[-1] == '-'))
			bv_buf_puts(out, "\\-");
		else if (*s == ' ' && out->len - line + strcspn(s + 1, " ") > MDOC_WIDTH) {
			/* A line that begins with a dot or quote would be a macro. */
			bv_buf_puts(out, s[1] == '.' || s[1] == '\'' ? "\n\\&" : "\n");
			line = out->len;
		} else
			bv_buf_putc(out, *s);
	}
	bv_buf_puts(out, ".\n");
}

static void add_mdoc_item(const struct cmd_option *o, struct bv_buf *out)
{
	if (!o->help)
		return;
	bv_buf_puts(out, ".It ");
	if (o->letter)
		bv_buf_printf(out, "Fl %c , ", o->letter);
	bv_buf_printf(out, "Fl \\-%s", o->name);
	if (o->argument && o->argument[0] == '[')
		bv_buf_printf(out, " Ns Op = Ns Ar %.*s", (int)strlen(o->argument) - 2, o->argument + 1);
	else if (o->argument)
		bv_buf_printf(out, " Ns = Ns Ar %s", o->argument);
	bv_buf_putc(out, '\n');
	add_mdoc_text(out, o->help);
}

static void add_completion(const struct cmd_option *o, struct bv_buf *out)
{
	if (!o->help)
		return;
	for (int is_long = o->letter ? 0 : 1; is_long < 2; is_long++) {
		if (is_long)
			bv_buf_printf(out, " --%s", o->name);
		else
			bv_buf_printf(out, " -%c", o->letter);
		if (o->argument && o->argument[0] != '[')
			bv_buf_printf(out, ":%s", o->argument);
	}
}

bool cmd_describe(const struct cmd *cmd, const char *what, struct bv_buf *out)
{
	const struct cmd_option *common = cmd_common_options(cmd->takes);
	bool man = bv_streq(what, "man");
	void (*add)(const struct cmd_option *o, struct bv_buf *out) = man ? add_mdoc_item : add_completion;

	if (!man && !bv_streq(what, "completion"))
		return false;
	if (!man)
		bv_buf_printf(out, "_lxc_options[%s]='%s:%s", cmd->name, cmd->takes == CMD_TAKES_NAME ? "NAME" : "",
			      cmd->rest ? cmd->rest : "");
	if (cmd->takes == CMD_TAKES_NAME)
		add(common, out);
	for (const struct cmd_option *o = cmd->options; o->name; o++)
		add(o, out);
	for (const struct cmd_option *o = common; o->name; o++)
		if (!cmd_is_shadowed(cmd, o) && !(cmd->takes == CMD_TAKES_NAME && o == common))
			add(o, out);
	if (!man)
		bv_buf_puts(out, "'\n");
	return true;
}
