/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>

struct config_args {
	struct cmd_common common;
	bool list;
};

static const struct cmd_option options[] = {
	{ 'l', "list", NULL, CMD_FLAG, offsetof(struct config_args, list), "list all keys" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-config",
	.synopsis = "-l | KEY",
	.summary = "Print a value of the system configuration, lxc.conf(5)",
	.options = options,
	.takes = CMD_TAKES_PLAIN,
	.rest = "SYSTEM_KEY",
};

static void list(struct bv_buf *out)
{
	size_t n = 0;
	const char *const *keys = bv_system_keys(&n);

	for (size_t i = 0; i < n; i++)
		bv_buf_printf(out, "%s\n", keys[i]);
}

int main(int argc, char **argv)
{
	struct config_args a = { .list = false };
	cmd_parse(&command, argc, argv, &a.common);

	struct bv_error err = { 0 };
	struct bv_buf out = { 0 };
	autofree char *value = NULL;
	const char *key = a.common.rest[0];

	if (a.list) {
		list(&out);
		return cmd_print(&a.common, &out);
	}
	if (!key) {
		cmd_help(&command, &out);
		return cmd_print(&a.common, &out);
	}
	int r = bv_system_get(key, &value, &err);
	if (r == -ENOENT) {
		/* LXC says so on the standard output. */
		bv_buf_printf(&out, "Unknown configuration item: %s\n", key);
		cmd_print(&a.common, &out);
		return EXIT_FAILURE;
	}
	if (r < 0)
		return cmd_fail(&a.common, &err);
	bv_buf_printf(&out, value ? "%s\n" : "%s is not set.\n", value ? value : key);
	return cmd_print(&a.common, &out);
}
