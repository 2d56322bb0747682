/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/file.h"
#include "util/log.h"
#include "util/num.h"

enum {
	OPTIONS_MAX = 48,
	/* What getopt_long returns for option i of the parser; above every letter. */
	OPTION_BASE = 256,
};

struct parser {
	const struct cmd *cmd;
	struct cmd_common *args;
	const struct cmd_option *options[OPTIONS_MAX];
	size_t n;
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 + 3 * OPTIONS_MAX + 1];
	bool help;
};

static void write_fd(int fd, struct bv_buf *b)
{
	if (b->p)
		(void)bv_write_all(fd, b->p, b->len);
	bv_buf_clear(b);
}

/* Does the message need the instance in front: is there one, and does the sentence not begin with it? */
static bool names_instance(const struct cmd_common *args, const char *what)
{
	if (!args->name || !bv_name_valid(args->name))
		return false;
	const char *rest = bv_after(what, args->name);
	return !rest || *rest != ' ';
}

static void report(const struct cmd_common *args, const struct bv_error *err)
{
	struct bv_buf b = { 0 };

	bv_buf_printf(&b, "%s: ", args->program);
	if (names_instance(args, err->what))
		bv_buf_printf(&b, "%s: ", args->name);
	bv_buf_printf(&b, "%s\n", err->what[0] ? err->what : strerror(err->code));
	if (err->hint[0])
		bv_buf_printf(&b, "hint: %s\n", err->hint);
	write_fd(STDERR_FILENO, &b);
}

int cmd_fail(const struct cmd_common *args, const struct bv_error *err)
{
	if (!args->quiet)
		report(args, err);
	return EXIT_FAILURE;
}

static _Noreturn void mistake(const struct cmd_common *args, const struct bv_error *err)
{
	report(args, err);
	exit(EXIT_FAILURE);
}

void cmd_mistake(const struct cmd_common *args, const char *fmt, ...)
{
	struct bv_error err = { 0 };
	va_list ap;

	va_start(ap, fmt);
	bv_failv(&err, EINVAL, fmt, ap);
	va_end(ap);
	bv_hint(&err, "%s --help lists the options", args->program);
	mistake(args, &err);
}

static void add_option(struct parser *p, const struct cmd_option *o)
{
	if (p->n == OPTIONS_MAX)
		abort();

	int has_arg = !o->argument ? no_argument : o->argument[0] == '[' ? optional_argument : required_argument;

	p->longs[p->n] = (struct option){ o->name, has_arg, NULL, OPTION_BASE + (int)p->n };
	if (o->letter) {
		char *s = p->shorts + strlen(p->shorts);
		*s++ = o->letter;
		for (int i = 0; i < has_arg; i++)
			*s++ = ':';
		*s = '\0';
	}
	p->options[p->n++] = o;
}

static const struct cmd_option *find_option(const struct parser *p, int code)
{
	if (code >= OPTION_BASE)
		return p->options[code - OPTION_BASE];
	for (size_t i = 0; i < p->n; i++)
		if (p->options[i]->letter == code)
			return p->options[i];
	return NULL;
}

static _Noreturn void print_and_exit(struct bv_buf *b, int fd, int code)
{
	write_fd(fd, b);
	exit(code);
}

/* LXC prints help to stderr; a plain command (lxc-config) to stdout. */
static _Noreturn void print_help(const struct parser *p, int code)
{
	struct bv_buf b = { 0 };

	cmd_help(p->cmd, &b);
	write_fd(p->cmd->takes == CMD_TAKES_PLAIN ? STDOUT_FILENO : STDERR_FILENO, &b);
	if (p->cmd->more_help)
		p->cmd->more_help(p->args);
	exit(code);
}

static void store_string(const struct parser *p, const struct cmd_option *o, const char *value)
{
	void *field = (char *)p->args + o->offset;
	int64_t number = 0;

	switch (o->kind) {
	case CMD_STRING:
	case CMD_ONCE:
		if (o->kind == CMD_ONCE && *(const char **)field)
			cmd_mistake(p->args, "--%s can be given once only", o->name);
		*(const char **)field = value;
		break;
	case CMD_INT:
		if (bv_parse_int(value, field) < 0)
			cmd_mistake(p->args, "--%s wants a number, not \"%s\"", o->name, value);
		break;
	case CMD_ID:
		/* The id -1 means "leave it alone" to the kernel. */
		if (bv_parse_i64(value, &number) < 0 || number < 0 || number >= UINT32_MAX)
			cmd_mistake(p->args, "--%s wants a numeric id, not \"%s\"", o->name, value);
		*(int64_t *)field = number;
		break;
	case CMD_LIST:
		if (bv_strv_add(field, value) < 0)
			cmd_mistake(p->args, "out of memory");
		break;
	default:
		abort();
	}
}

static void store(struct parser *p, const struct cmd_option *o, const char *value)
{
	struct bv_buf b = { 0 };

	switch (o->kind) {
	case CMD_FLAG:
	case CMD_UNFLAG:
		*(bool *)((char *)p->args + o->offset) = o->kind == CMD_FLAG;
		break;
	case CMD_HELP:
		/* What comes behind may say more to the help, as in lxc-create -h -t TEMPLATE. */
		p->help = true;
		break;
	case CMD_USAGE:
		cmd_usage(p->cmd, &b);
		print_and_exit(&b, STDERR_FILENO, EXIT_SUCCESS);
	case CMD_VERSION:
		bv_buf_printf(&b, "%s\n", bv_version());
		print_and_exit(&b, STDOUT_FILENO, EXIT_SUCCESS);
	default:
		store_string(p, o, value ? value : "");
	}
}

/* A long option that getopt_long does not take: it is ambiguous or there is none. */
static _Noreturn void unknown_long(const struct parser *p, const char *word)
{
	const char *names[OPTIONS_MAX], *start = word + strspn(word, "-");
	char name[64];
	struct bv_error err = { 0 };
	size_t n = 0, matches = 0;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(start, "="), start);
	for (size_t i = 0; i < p->n; i++) {
		if (!p->options[i]->help)
			continue;
		names[n++] = p->options[i]->name;
		matches += bv_after(p->options[i]->name, name) != NULL;
	}
	const char *near = bv_nearest(name, names, n);

	bv_fail(&err, EINVAL, matches > 1 ? "option \"%s\" is ambiguous" : "there is no option \"%s\"", word);
	if (near && matches < 2)
		bv_hint(&err, "did you mean --%s? %s --help lists the options", near, p->cmd->name);
	else if (p->cmd->bad_option_hint && matches < 2)
		bv_hint(&err, "%s", p->cmd->bad_option_hint);
	else
		bv_hint(&err, "%s --help lists the options", p->cmd->name);
	mistake(p->args, &err);
}

/* getopt_long returned '?' or ':' for the word in front of argv[optind]. */
static _Noreturn void bad_option(const struct parser *p, int code, char **argv)
{
	const struct cmd_option *o = optopt ? find_option(p, optopt) : NULL;
	struct bv_error err = { 0 };

	if (p->help)
		print_help(p, EXIT_SUCCESS);
	if (optopt == '?')
		print_help(p, EXIT_FAILURE);
	if (!optopt)
		unknown_long(p, argv[optind - 1]);
	if (!o)
		bv_fail(&err, EINVAL, "there is no option \"-%c\"", optopt);
	else if (code == '?')
		bv_fail(&err, EINVAL, "--%s takes no argument", o->name);
	else if (optopt >= OPTION_BASE)
		bv_fail(&err, EINVAL, "--%s wants an argument: --%s=%s", o->name, o->name, o->argument);
	else
		bv_fail(&err, EINVAL, "-%c wants an argument: -%c %s", o->letter, o->letter, o->argument);
	if (!o && p->cmd->bad_option_hint)
		bv_hint(&err, "%s", p->cmd->bad_option_hint);
	else
		bv_hint(&err, "%s --help lists the options", p->cmd->name);
	mistake(p->args, &err);
}

static void need_name(struct cmd_common *args)
{
	struct bv_error err = { 0 };

	if (!args->name && args->n_rest > 0) {
		args->name = *args->rest++;
		args->n_rest--;
	}
	if (args->name)
		return;
	bv_fail(&err, EINVAL, "no name of an instance was given");
	bv_hint(&err, "%s -n NAME; lxc-ls lists the instances", args->program);
	mistake(args, &err);
}

static void check_lxcpath(struct cmd_common *args)
{
	if (args->lxcpath && args->lxcpath[0] == '\0')
		cmd_mistake(args, "--lxcpath wants a directory, not an empty word");
	if (args->logpriority && bv_log_level_parse(args->logpriority) < 0)
		cmd_mistake(args,
			    "\"%s\" is no log level; they are TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRIT, "
			    "ALERT and FATAL",
			    args->logpriority);
}

/* The hidden switch of the build, --print-options=WHAT. */
static void describe_for_build(const struct cmd *cmd, const char *what)
{
	struct bv_buf b = { 0 };

	if (cmd_describe(cmd, what, &b))
		print_and_exit(&b, STDOUT_FILENO, EXIT_SUCCESS);
}

/*
 * A caller may have closed 0, 1 or 2: what is opened next must not take their place (a lock that becomes a terminal).
 */
static void fill_standard_files(void)
{
	struct pollfd p[] = { { .fd = STDIN_FILENO }, { .fd = STDOUT_FILENO }, { .fd = STDERR_FILENO } };
	if (poll(p, ARRAY_SIZE(p), 0) <= 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		if ((p[i].revents & POLLNVAL) && open("/dev/null", O_RDWR) < 0)
			_exit(EXIT_FAILURE); /* there is nowhere to say why */
}

void cmd_parse(const struct cmd *cmd, int argc, char **argv, struct cmd_common *args)
{
	struct parser p = { .cmd = cmd, .args = args, .shorts = ":" };
	const char *what = argc == 2 ? bv_after(argv[1], "--print-options=") : NULL;
	int c;

	args->program = cmd->name;
	fill_standard_files();
	if (what)
		describe_for_build(cmd, what);
	for (const struct cmd_option *o = cmd->options; o->name; o++)
		add_option(&p, o);
	for (const struct cmd_option *o = cmd_common_options(cmd->takes); o->name; o++)
		if (!cmd_is_shadowed(cmd, o))
			add_option(&p, o);

	opterr = 0;
	while ((c = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			bad_option(&p, c, argv);
		store(&p, find_option(&p, c), optarg);
	}
	if (p.help)
		print_help(&p, EXIT_SUCCESS);

	args->rest = argv + optind;
	args->n_rest = argc - optind;
	if (cmd->takes == CMD_TAKES_NAME)
		need_name(args);
	if (!cmd->rest && args->n_rest > 0)
		cmd_mistake(args, "there is nothing to do with \"%s\"", args->rest[0]);
	check_lxcpath(args);
}

/* LXCPATH/NAME/NAME.log, or NULL when the directory is not there. */
static char *log_beside_instance(const struct cmd_common *args, const char *lxcpath)
{
	autofree char *dir = bv_asprintf("%s/%s", lxcpath, args->name);

	if (!dir || access(dir, F_OK) < 0)
		return NULL;
	return bv_asprintf("%s/%s.log", dir, args->name);
}

/* Where -l without -o writes: LXC's choice. A directory is never made for an instance that does not exist. */
static char *default_logfile(const struct cmd_common *args, struct bv_error *err)
{
	autofree char *lxcpath = NULL;

	if (!args->name || !bv_name_valid(args->name))
		return NULL;
	if (args->lxcpath)
		return log_beside_instance(args, args->lxcpath);
	if (geteuid() == 0)
		return bv_asprintf("%s/lxc/%s.log", BV_LOGDIR, args->name);
	if (bv_system_get("lxc.lxcpath", &lxcpath, err) < 0 || !lxcpath)
		return NULL;
	return log_beside_instance(args, lxcpath);
}

void cmd_open_log(const struct cmd_common *args)
{
	int level = args->logpriority ? bv_log_level_parse(args->logpriority) : -1;
	struct bv_error err = { 0 };
	autofree char *made = NULL;
	const char *file = args->logfile;

	if (!args->logfile && args->logpriority)
		file = made = default_logfile(args, &err);
	if (!err.code)
		bv_log_open(args->program, args->name, file, level, args->quiet, &err);
	if (err.code)
		exit(cmd_fail(args, &err));
}

struct bv_instance *cmd_open(const struct cmd_common *args)
{
	struct bv_instance *inst = NULL;
	struct bv_error err = { 0 };

	cmd_open_log(args);
	if (bv_instance_open(&inst, args->lxcpath, args->name, &err) < 0)
		exit(cmd_fail(args, &err));
	if (args->rcfile && bv_instance_load_config(inst, args->rcfile, &err) < 0)
		exit(cmd_fail(args, &err));
	return inst;
}

bool cmd_exists(const struct cmd_common *args, struct bv_instance *inst)
{
	enum bv_state state = BV_STOPPED;
	struct bv_error err = { 0 };

	if (bv_instance_is_defined(inst))
		return true;
	if (bv_instance_state(inst, &state, &err) == 0 && state != BV_STOPPED)
		return true;
	bv_fail(&err, ENOENT, "%s doesn't exist in %s", args->name, bv_instance_lxcpath(inst));
	bv_hint(&err, "lxc-ls lists the instances, lxc-create -n %s -t TEMPLATE makes it", args->name);
	cmd_fail(args, &err);
	return false;
}

int cmd_configure(const struct cmd_common *args, struct bv_instance *inst, const struct bv_strv *defines,
		  struct bv_error *err)
{
	int r = 0;

	if (!args->rcfile && (defines->n == 0 || bv_instance_is_defined(inst)))
		r = bv_instance_load_config(inst, NULL, err);
	for (size_t i = 0; r == 0 && i < defines->n; i++)
		r = bv_instance_set_line(inst, defines->v[i], err);
	return r;
}

int cmd_engine(const struct cmd_common *args, bool vm, bool container)
{
	if (vm && container)
		cmd_mistake(args, "--vm and --container exclude each other");
	return vm ? BV_START_AS_VM : container ? BV_START_AS_CONTAINER : BV_START_AS_CONFIGURED;
}

int cmd_print(const struct cmd_common *args, struct bv_buf *out)
{
	struct bv_error err = { 0 };
	int r = out->bad ? -ENOMEM : out->p ? bv_write_all(STDOUT_FILENO, out->p, out->len) : 0;

	bv_buf_clear(out);
	if (r == 0)
		return EXIT_SUCCESS;
	bv_fail(&err, r, "cannot write to the standard output: %s", strerror(-r));
	return cmd_fail(args, &err);
}
