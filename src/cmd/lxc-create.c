/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/num.h"

struct create_args {
	struct cmd_common common;
	const char *config, *template, *bdev, *dir, *fstype, *fssize;
	const char *lvname, *vgname, *thinpool, *rbdname, *rbdpool, *rbduser, *zfsroot;
};

#define ARG(member) offsetof(struct create_args, member)

/* Those without help: LXC's other word for --config, and storage that is not built in, so that the error can say it. */
static const struct cmd_option options[] = {
	{ 'f', "config", "FILE", CMD_STRING, ARG(config), "begin with the configuration FILE, not lxc.default_config" },
	{ 0, "rcfile", "FILE", CMD_STRING, ARG(config), NULL },
	{ 't', "template", "TEMPLATE", CMD_STRING, ARG(template),
	  "what to make it from: a template by name, the path of a script or of a .yaml recipe, or none" },
	{ 'B', "bdev", "TYPE", CMD_STRING, ARG(bdev),
	  "where the root file system lives: dir (if not given), overlay, loop, or best" },
	{ 0, "dir", "DIR", CMD_STRING, ARG(dir), "put the root file system into the directory DIR" },
	{ 0, "fstype", "FSTYPE", CMD_STRING, ARG(fstype), "with -B loop: the file system, ext4 if not given" },
	{ 0, "fssize", "SIZE", CMD_STRING, ARG(fssize),
	  "with -B loop: its size with a unit B, K, M, G or T, MiB without one; 1G if not given" },
	{ 0, "lvname", "NAME", CMD_STRING, ARG(lvname), NULL },
	{ 0, "vgname", "NAME", CMD_STRING, ARG(vgname), NULL },
	{ 0, "thinpool", "NAME", CMD_STRING, ARG(thinpool), NULL },
	{ 0, "rbdname", "NAME", CMD_STRING, ARG(rbdname), NULL },
	{ 0, "rbdpool", "NAME", CMD_STRING, ARG(rbdpool), NULL },
	{ 0, "rbduser", "NAME", CMD_STRING, ARG(rbduser), NULL },
	{ 0, "zfsroot", "PATH", CMD_STRING, ARG(zfsroot), NULL },
	{ 0 },
};

static void template_help(const struct cmd_common *args);

static const struct cmd command = {
	.name = "lxc-create",
	.synopsis = "--name=NAME --template=TEMPLATE [OPTION...] [-- TEMPLATE-OPTION...]",
	.summary = "Create an instance from a template",
	.options = options,
	.rest = "TEMPLATE-OPTION",
	.notes = "What comes behind -- goes to the template; lxc-create -t TEMPLATE -h prints\nits help as well.\n",
	.bad_option_hint = "options of the template go behind --, as in lxc-create -n NAME -t debian -- -r bookworm",
	.more_help = template_help,
};

static void template_help(const struct cmd_common *args)
{
	const struct create_args *a = (const struct create_args *)args;
	struct bv_error err = { 0 };

	if (a->template && !bv_streq(a->template, "none") && bv_template_help(a->template, &err) < 0)
		exit(cmd_fail(args, &err));
}

/* ---- checks ---- */

/* Options that only some storage types know. */
static const struct {
	size_t offset;
	const char *option, *types[4];
} type_options[] = {
	{ ARG(fstype), "fstype", { "loop", "lvm", "rbd" } },
	{ ARG(fssize), "fssize", { "loop", "lvm", "rbd" } },
	{ ARG(lvname), "lvname", { "lvm" } },
	{ ARG(vgname), "vgname", { "lvm" } },
	{ ARG(thinpool), "thinpool", { "lvm" } },
	{ ARG(rbdname), "rbdname", { "rbd" } },
	{ ARG(rbdpool), "rbdpool", { "rbd" } },
	{ ARG(rbduser), "rbduser", { "rbd" } },
	{ ARG(zfsroot), "zfsroot", { "zfs" } },
};

static void check_type_options(const struct create_args *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_options); i++) {
		bool fits = false;
		if (!*(const char *const *)((const char *)a + type_options[i].offset))
			continue;
		for (const char *const *type = type_options[i].types; *type; type++)
			fits |= a->bdev && bv_streq(a->bdev, *type);
		if (!fits)
			cmd_mistake(&a->common, "--%s goes with -B %s only", type_options[i].option,
				    type_options[i].types[0]);
	}
	if (a->dir && a->dir[0] != '/')
		cmd_mistake(&a->common, "--dir wants an absolute path, not \"%s\"", a->dir);
}

static int need_template(const struct create_args *a)
{
	struct bv_error err = { 0 };
	struct bv_buf names = { 0 };
	char **list = NULL;
	size_t n = 0;

	if (bv_template_list(&list, &n, NULL) < 0)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		bv_buf_printf(&names, "%s ", list[i]);
		free(list[i]);
	}
	free(list);
	bv_fail(&err, EINVAL, "a template must be given with -t");
	bv_hint(&err, "templates: %snone", names.p ? names.p : "");
	bv_buf_clear(&names);
	return cmd_fail(&a->common, &err);
}

static uint64_t parse_fssize(const struct create_args *a)
{
	uint64_t size = 0;

	if (a->fssize && (bv_parse_size(a->fssize, 1 << 20, &size) < 0 || size == 0))
		cmd_mistake(&a->common, "--fssize wants a size such as 512M or 10G, not \"%s\"", a->fssize);
	return size;
}

/* ---- progress: one line that is written over on a terminal, plain lines elsewhere ---- */

enum { PROGRESS_WIDTH = 70 };

struct progress {
	bool terminal, shown;
	char last[256];
};

static void erase_progress(struct progress *p)
{
	if (p->terminal && p->shown)
		dprintf(STDOUT_FILENO, "\r\033[K");
	p->shown = false;
}

static void show_progress(void *data, double fraction, const char *text)
{
	struct progress *p = data;
	char line[sizeof(p->last)];

	snprintf(line, sizeof(line), "%s", text);
	for (char *s = line; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
	if (fraction >= BV_PROGRESS_KEEP) {
		erase_progress(p);
		dprintf(STDOUT_FILENO, "%s\n", line);
		return;
	}
	if (!p->terminal) {
		if (!bv_streq(line, p->last))
			dprintf(STDOUT_FILENO, "%s\n", line);
	} else if (fraction >= 0)
		dprintf(STDOUT_FILENO, "\r\033[K%3.0f%% %.*s", fraction * 100, PROGRESS_WIDTH, line);
	else
		dprintf(STDOUT_FILENO, "\r\033[K%.*s", PROGRESS_WIDTH, line);
	memcpy(p->last, line, sizeof(line));
	p->shown = true;
}

int main(int argc, char **argv)
{
	struct create_args a = { .template = NULL };
	cmd_parse(&command, argc, argv, &a.common);
	check_type_options(&a);
	uint64_t fssize = parse_fssize(&a);
	if (!a.template)
		return need_template(&a);

	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a.common);
	struct progress progress = { .terminal = isatty(STDOUT_FILENO) };
	struct bv_create_options create = {
		.template = a.template,
		.config_file = a.config,
		.bdev = a.bdev,
		.dir = a.dir,
		.fstype = a.fstype,
		.fssize = fssize,
		.template_args = a.common.n_rest ? a.common.rest : NULL,
		.quiet = a.common.quiet,
		.progress = a.common.quiet ? NULL : show_progress,
		.data = &progress,
	};
	struct bv_error err = { 0 };
	int r = bv_instance_create(inst, &create, &err);
	erase_progress(&progress);
	return r < 0 ? cmd_fail(&a.common, &err) : EXIT_SUCCESS;
}
