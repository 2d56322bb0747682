/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "util/file.h"

static const struct cmd_option options[] = { { 0 } };

static const struct cmd command = {
	.name = "lxc-checkconfig",
	.synopsis = "",
	.summary = "Say what this host offers to instances, or with CONFIG=FILE what a kernel's configuration does",
	.options = options,
	.takes = CMD_TAKES_PLAIN,
};

/* ---- CONFIG=FILE: a kernel that may not run yet ---- */

static const struct {
	const char *section, *name, *symbol;
	bool needed;
} symbols[] = {
	{ "Namespaces", "Namespaces", "CONFIG_NAMESPACES", true },
	{ "Namespaces", "Utsname namespace", "CONFIG_UTS_NS", false },
	{ "Namespaces", "Ipc namespace", "CONFIG_IPC_NS", true },
	{ "Namespaces", "Pid namespace", "CONFIG_PID_NS", true },
	{ "Namespaces", "User namespace", "CONFIG_USER_NS", false },
	{ "Namespaces", "Network namespace", "CONFIG_NET_NS", false },
	{ "Namespaces", "Time namespace", "CONFIG_TIME_NS", false },
	{ "Control groups", "Cgroups", "CONFIG_CGROUPS", true },
	{ "Control groups", "Cgroup device (v1)", "CONFIG_CGROUP_DEVICE", false },
	{ "Control groups", "Cgroup device (v2)", "CONFIG_CGROUP_BPF", false },
	{ "Control groups", "Cgroup sched", "CONFIG_CGROUP_SCHED", false },
	{ "Control groups", "Cgroup cpu account", "CONFIG_CGROUP_CPUACCT", false },
	{ "Control groups", "Cgroup memory controller", "CONFIG_MEMCG", false },
	{ "Control groups", "Cgroup cpuset", "CONFIG_CPUSETS", false },
	{ "Control groups", "Cgroup pids", "CONFIG_CGROUP_PIDS", false },
	{ "Control groups", "Cgroup freezer (v1)", "CONFIG_CGROUP_FREEZER", false },
	{ "Misc", "Veth pair device", "CONFIG_VETH", false },
	{ "Misc", "Macvlan", "CONFIG_MACVLAN", false },
	{ "Misc", "Ipvlan", "CONFIG_IPVLAN", false },
	{ "Misc", "Vlan", "CONFIG_VLAN_8021Q", false },
	{ "Misc", "Bridges", "CONFIG_BRIDGE", false },
	{ "Misc", "Netfilter tables", "CONFIG_NF_TABLES", false },
	{ "Misc", "Overlay file system", "CONFIG_OVERLAY_FS", false },
	{ "Misc", "Loop device", "CONFIG_BLK_DEV_LOOP", false },
	{ "Misc", "Seccomp filter", "CONFIG_SECCOMP_FILTER", false },
	{ "Misc", "FUSE (for use with lxcfs)", "CONFIG_FUSE_FS", false },
	{ "Checkpoint/Restore", "checkpoint restore", "CONFIG_CHECKPOINT_RESTORE", false },
	{ "Checkpoint/Restore", "CONFIG_UNIX_DIAG", "CONFIG_UNIX_DIAG", false },
	{ "Checkpoint/Restore", "CONFIG_INET_DIAG", "CONFIG_INET_DIAG", false },
	{ "Checkpoint/Restore", "CONFIG_PACKET_DIAG", "CONFIG_PACKET_DIAG", false },
	{ "Checkpoint/Restore", "CONFIG_NETLINK_DIAG", "CONFIG_NETLINK_DIAG", false },
};

/* "SYMBOL=y" or "SYMBOL=m" at the beginning of a line */
static char symbol_value(const char *text, const char *symbol)
{
	size_t n = strlen(symbol);

	for (const char *s = text; s; s = strchr(s, '\n')) {
		s += *s == '\n';
		if (strncmp(s, symbol, n) == 0 && s[n] == '=' && (s[n + 1] == 'y' || s[n + 1] == 'm'))
			return s[n + 1];
	}
	return 0;
}

static int check_file(const char *path, struct bv_check **ret, size_t *n, struct bv_error *err)
{
	static const char gzip_magic[] = { 0x1f, (char)0x8b };
	autofree char *text = NULL;
	size_t len = 0;
	int r = bv_read_file(AT_FDCWD, path, 0, &text, &len);

	if (r < 0)
		return bv_fail(err, r, "cannot read the kernel configuration %s: %s", path, strerror(-r));
	if (len >= sizeof(gzip_magic) && memcmp(text, gzip_magic, sizeof(gzip_magic)) == 0) {
		bv_fail(err, EINVAL, "the kernel configuration %s is compressed", path);
		return bv_hint(err, "zcat %s >/tmp/config && CONFIG=/tmp/config lxc-checkconfig", path);
	}
	if (!strstr(text, "CONFIG_"))
		return bv_fail(err, EINVAL, "%s is no kernel configuration", path);

	struct bv_check *checks = calloc(ARRAY_SIZE(symbols), sizeof(*checks));
	if (!checks)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		char value = symbol_value(text, symbols[i].symbol);
		checks[i].section = symbols[i].section;
		checks[i].name = symbols[i].name;
		checks[i].state = value ? 1 : symbols[i].needed ? -1 : 0;
		if (value == 'm')
			memcpy(checks[i].detail, "module", sizeof("module"));
	}
	*ret = checks;
	*n = ARRAY_SIZE(symbols);
	return 0;
}

/* ---- printing ---- */

static void add_check(struct bv_buf *out, const struct bv_check *c, bool colours)
{
	const char *word = c->state > 0 ? "enabled" : c->state < 0 ? "required" : "missing";
	const char *colour = c->state > 0 ? "\033[1;32m" : c->state < 0 ? "\033[1;31m" : "\033[1;33m";

	bv_buf_printf(out, "%s: %s%s%s", c->name, colours ? colour : "", word, colours ? "\033[0;39m" : "");
	if (c->detail[0])
		bv_buf_printf(out, ", %s", c->detail);
	bv_buf_putc(out, '\n');
}

int main(int argc, char **argv)
{
	struct cmd_common a = { 0 };
	cmd_parse(&command, argc, argv, &a);

	const char *file = getenv("CONFIG");
	autofree struct bv_check *checks = NULL;
	struct bv_error err = { 0 };
	struct bv_buf out = { 0 };
	size_t n = 0;
	bool needed_missing = false, colours = isatty(STDOUT_FILENO);

	if ((file && *file ? check_file(file, &checks, &n, &err) : bv_check_host(&checks, &n, &err)) < 0)
		return cmd_fail(&a, &err);
	bv_buf_printf(&out, "LXC version %s (Bivalve)\n", bv_version());
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || !bv_streq(checks[i].section, checks[i - 1].section))
			bv_buf_printf(&out, "\n--- %s ---\n", checks[i].section);
		add_check(&out, &checks[i], colours);
		needed_missing |= checks[i].state < 0;
	}
	bv_buf_puts(&out, "\nNote : Before booting a new kernel, you can check its configuration\n"
			  "usage : CONFIG=/path/to/config lxc-checkconfig\n\n");
	int r = cmd_print(&a, &out);
	return needed_missing ? EXIT_FAILURE : r;
}
