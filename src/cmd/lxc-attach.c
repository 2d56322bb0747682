/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

struct attach_args {
	struct cmd_common common;
	const char *elevated, *arch, *namespaces, *pty_log, *context;
	bool remount_sys_proc, clear_env;
	struct bv_strv set_vars, keep_vars;
	int64_t uid, gid;
};

#define ARG(member) offsetof(struct attach_args, member)

static const struct cmd_option options[] = {
	{ 'e', "elevated-privileges", "[PRIVILEGES]", CMD_STRING, ARG(elevated),
	  "keep privileges that the instance does not have: CAP (capabilities), CGROUP (stay outside of its limits), "
	  "LSM (no confinement), joined by |, or all of them if none is named; what runs can harm the host" },
	{ 'a', "arch", "ARCH", CMD_STRING, ARG(arch), "the architecture that the program shall see" },
	{ 's', "namespaces", "NAMESPACES", CMD_STRING, ARG(namespaces),
	  "enter these only: MOUNT, PID, UTSNAME, IPC, USER, NETWORK, joined by |; implies -e with all privileges" },
	{ 'R', "remount-sys-proc", NULL, CMD_FLAG, ARG(remount_sys_proc),
	  "with -s and without MOUNT: mount /proc and /sys anew, so that they show the entered namespaces" },
	{ 0, "clear-env", NULL, CMD_FLAG, ARG(clear_env),
	  "start with an empty environment but for container=lxc and PATH" },
	{ 0, "keep-env", NULL, CMD_UNFLAG, ARG(clear_env), "keep the environment (this is the default)" },
	{ 'L', "pty-log", "FILE", CMD_STRING, ARG(pty_log), "append what the terminal shows to FILE" },
	{ 'v', "set-var", "VAR=VAL", CMD_LIST, ARG(set_vars), "set an environment variable; may be repeated" },
	{ 0, "keep-var", "VAR", CMD_LIST, ARG(keep_vars), "with --clear-env: keep this variable; may be repeated" },
	{ 'f', "rcfile", "FILE", CMD_STRING, ARG(common.rcfile), "read FILE in place of the instance's configuration" },
	{ 'u', "uid", "UID", CMD_ID, ARG(uid), "run as this user id of the instance" },
	{ 'g', "gid", "GID", CMD_ID, ARG(gid), "run as this group id of the instance" },
	{ 'c', "context", "CONTEXT", CMD_STRING, ARG(context), "the SELinux context to run in" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-attach",
	.synopsis = "--name=NAME [OPTION...] [-- COMMAND...]",
	.summary = "Run COMMAND, or a login shell, in a running instance",
	.options = options,
	.rest = "COMMAND",
	.bad_option_hint = "options of the command go behind --, as in lxc-attach -n NAME -- ls -l",
};

static const struct {
	const char *name;
	unsigned int bit;
} privileges[] = {
	{ "CGROUP", BV_ATTACH_NO_CGROUP },
	{ "CAP", BV_ATTACH_KEEP_CAPS },
	{ "LSM", BV_ATTACH_NO_LSM },
};

static unsigned int parse_privilege(const struct attach_args *a, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(privileges); i++)
		if (strcasecmp(word, privileges[i].name) == 0)
			return privileges[i].bit;
	cmd_mistake(&a->common, "\"%s\" is no privilege; they are CAP, CGROUP and LSM", word);
}

static unsigned int parse_elevated(const struct attach_args *a)
{
	struct bv_strv words = { 0 };
	unsigned int bits = 0;

	/* Some namespaces only: the limits and confinement of the instance cannot be had in full. */
	if (a->namespaces)
		return BV_ATTACH_ELEVATED;
	if (!a->elevated)
		return 0;
	/* "-e=CAP" comes with its '='. */
	if (bv_strv_split(&words, a->elevated, "|=") < 0)
		cmd_mistake(&a->common, "out of memory");
	for (size_t i = 0; i < words.n; i++)
		bits |= parse_privilege(a, words.v[i]);
	bv_strv_clear(&words);
	return bits ? bits : BV_ATTACH_ELEVATED;
}

int main(int argc, char **argv)
{
	struct attach_args a = { .uid = -1, .gid = -1 };
	cmd_parse(&command, argc, argv, &a.common);
	unsigned int elevated = parse_elevated(&a);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct bv_attach_options attach = {
		.command = a.common.n_rest ? a.common.rest : NULL,
		.elevated = elevated,
		.namespaces = a.namespaces,
		.remount_sys_proc = a.remount_sys_proc,
		.clear_env = a.clear_env,
		.keep_vars = a.keep_vars.v,
		.set_vars = a.set_vars.v,
		.arch = a.arch,
		.pty_log = a.pty_log,
		.context = a.context,
		.argv = argv,
		.uid = a.uid,
		.gid = a.gid,
		.in = STDIN_FILENO,
		.out = STDOUT_FILENO,
		.error = STDERR_FILENO,
	};
	struct bv_error err = { 0 };
	int status = EXIT_SUCCESS;
	int r = bv_instance_attach(inst, &attach, &status, &err);

	bv_strv_clear(&a.set_vars);
	bv_strv_clear(&a.keep_vars);
	/* 126 and 127 for a command that could not be executed come with an error, too. */
	if (r < 0)
		cmd_fail(&a.common, &err);
	return r < 0 && status == EXIT_SUCCESS ? EXIT_FAILURE : status;
}
