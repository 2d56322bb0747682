/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bivalve.h>

#include "util/cleanup.h"
#include "util/str.h"

/*
 * What the commands share. A command is one file: the table of its options, and a main() that parses, calls the
 * library and prints. From the table come the parser, --help, --usage, the OPTIONS of the man page and the bash
 * completion, so an option is written down once.
 *
 * A command's arguments are a struct that begins with struct cmd_common; an option names the member it is stored in
 * by its offset.
 */
enum cmd_kind {
	CMD_FLAG,    /* bool: true */
	CMD_UNFLAG,  /* bool: false; the later of two such options wins */
	CMD_STRING,  /* const char *: the last one given */
	CMD_ONCE,    /* const char *: an error when given twice */
	CMD_INT,     /* int */
	CMD_ID,      /* int64_t: a uid or gid */
	CMD_LIST,    /* struct bv_strv: all that were given */
	CMD_HELP,    /* these print and exit */
	CMD_USAGE,
	CMD_VERSION,
};

struct cmd_option {
	char letter;          /* 0: there is only the long name */
	const char *name;
	const char *argument; /* its name in --help, which the completion knows; "[NUM]": optional, "" when left out */
	enum cmd_kind kind;
	size_t offset;
	const char *help;     /* without a full stop; NULL: accepted, but not shown anywhere */
};

/* Set by options that all commands have. */
struct cmd_common {
	const char *program;  /* "lxc-start" */
	const char *name, *lxcpath, *logfile, *logpriority, *rcfile;
	bool quiet;
	char **rest;          /* what is left behind options and name; NULL-terminated */
	int n_rest;
};

enum cmd_takes {
	CMD_TAKES_NAME,  /* of an instance: -n or the first argument */
	CMD_TAKES_NO_NAME,
	CMD_TAKES_PLAIN, /* no name, and of the common options only --help, --usage and --version */
};

struct cmd {
	const char *name;                 /* "lxc-start" */
	const char *synopsis;             /* behind the name in the usage line */
	const char *summary;              /* one sentence */
	const struct cmd_option *options; /* the end has no name */
	enum cmd_takes takes;
	const char *rest;                 /* what the further arguments are ("COMMAND"), NULL: there are none */
	const char *bad_option_hint;      /* when an option is unknown; NULL: see --help */
	const char *notes;                /* lines for --help behind the options, or NULL */
	void (*more_help)(const struct cmd_common *args); /* runs behind --help; or NULL */
};

/*
 * Fill `args` (initialised by the caller with what holds when an option is not given). Comes back only when there is
 * something to run: help, version and mistakes end the process.
 */
void cmd_parse(const struct cmd *cmd, int argc, char **argv, struct cmd_common *args);

/* A mistake on the command line: print it with the hint to --help and exit 1. */
_Noreturn void cmd_mistake(const struct cmd_common *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Print "program: instance: sentence" and the hint to stderr unless -q was given; a sentence that begins with the
 * instance's name stands alone. Returns 1, the usual exit code.
 */
int cmd_fail(const struct cmd_common *args, const struct bv_error *err);

/*
 * Open the log and the instance as the common options say, and load --rcfile if it was given. Exits 1 when that fails.
 */
struct bv_instance *cmd_open(const struct cmd_common *args);

/* Does the instance have a config or run? Prints that it does not exist otherwise. */
bool cmd_exists(const struct cmd_common *args, struct bv_instance *inst);

/* The log alone, for commands without an instance. Exits 1 when that fails. */
void cmd_open_log(const struct cmd_common *args);

/*
 * Load the configuration unless --rcfile did, and apply -s KEY=VAL. With -s an instance that has no configuration may
 * run as well. 0 or -errno.
 */
int cmd_configure(const struct cmd_common *args, struct bv_instance *inst, const struct bv_strv *defines,
		  struct bv_error *err);

/* bv_start_options.engine by --vm and --container; both together are a mistake. */
int cmd_engine(const struct cmd_common *args, bool vm, bool container);

/* Write the buffer to stdout with one write and clear it: 0, or 1 with a message when it cannot be written. */
int cmd_print(const struct cmd_common *args, struct bv_buf *out);

/* ---- cmd-help.c: the table as text ---- */

/* The options common to all, ending as struct cmd's do. */
const struct cmd_option *cmd_common_options(enum cmd_takes takes);
/* Is the common option `o` replaced by one of the command's own? */
bool cmd_is_shadowed(const struct cmd *cmd, const struct cmd_option *o);

void cmd_help(const struct cmd *cmd, struct bv_buf *out);
void cmd_usage(const struct cmd *cmd, struct bv_buf *out);
/* For the build: `what` is "man" (mdoc list items) or "completion" (a line of shell). False: no such thing. */
bool cmd_describe(const struct cmd *cmd, const char *what, struct bv_buf *out);
