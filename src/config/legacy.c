/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "util/cleanup.h"

/*
 * Names of LXC 1.0 to 2.0. A row with a dot at the end of both names is a family; `now` NULL means that the key is
 * read and has no effect any more.
 */
static const struct {
	const char *was, *now;
} renamed[] = {
	{ "lxc.aa_allow_incomplete", "lxc.apparmor.allow_incomplete" },
	{ "lxc.aa_profile", "lxc.apparmor.profile" },
	{ "lxc.console", "lxc.console.path" },
	{ "lxc.devttydir", "lxc.tty.dir" },
	{ "lxc.haltsignal", "lxc.signal.halt" },
	{ "lxc.id_map", "lxc.idmap" },
	{ "lxc.init_cmd", "lxc.init.cmd" },
	{ "lxc.init_gid", "lxc.init.gid" },
	{ "lxc.init_uid", "lxc.init.uid" },
	{ "lxc.kmsg", NULL },
	{ "lxc.limit.", "lxc.prlimit." },
	{ "lxc.logfile", "lxc.log.file" },
	{ "lxc.loglevel", "lxc.log.level" },
	{ "lxc.mount", "lxc.mount.fstab" },
	{ "lxc.pivotdir", NULL },
	{ "lxc.pts", "lxc.pty.max" },
	{ "lxc.rebootsignal", "lxc.signal.reboot" },
	{ "lxc.rootfs", "lxc.rootfs.path" },
	{ "lxc.se_context", "lxc.selinux.context" },
	{ "lxc.seccomp", "lxc.seccomp.profile" },
	{ "lxc.stopsignal", "lxc.signal.stop" },
	{ "lxc.syslog", "lxc.log.syslog" },
	{ "lxc.tty", "lxc.tty.max" },
	{ "lxc.utsname", "lxc.uts.name" },
};

/* Keys below lxc.network[.N] whose name below lxc.net.N is another one. */
static const struct {
	const char *was, *now;
} network[] = {
	{ "ipv4", "ipv4.address" },
	{ "ipv6", "ipv6.address" },
};

static enum bv_legacy translate_network(const char *rest, int64_t nic, char *name, size_t size, bool *unindexed)
{
	size_t digits = strspn(rest, "0123456789");
	int prefix;

	if (digits > 0 && (rest[digits] == '.' || !rest[digits])) {
		prefix = snprintf(name, size, "lxc.net.%.*s", (int)(digits < 12 ? digits : 12), rest);
		rest += digits + (rest[digits] == '.');
	} else if (nic < 0) {
		*unindexed = true;
		return BV_LEGACY_NO_NIC;
	} else {
		*unindexed = true;
		prefix = snprintf(name, size, "lxc.net.%u", (unsigned int)nic);
	}

	for (size_t i = 0; i < ARRAY_SIZE(network); i++)
		if (bv_streq(rest, network[i].was))
			rest = network[i].now;
	if (*rest)
		snprintf(name + prefix, size - (size_t)prefix, ".%s", rest);
	return BV_LEGACY_RENAMED;
}

enum bv_legacy bv_legacy_translate(const char *key, int64_t nic, char *name, size_t size, bool *unindexed)
{
	const char *rest = bv_after(key, "lxc.network");
	*unindexed = false;
	if (rest && *rest == '\0') {
		snprintf(name, size, "lxc.net");
		return BV_LEGACY_RENAMED;
	}
	if (rest && rest[0] == '.' && rest[1])
		return translate_network(rest + 1, nic, name, size, unindexed);
	if (bv_streq(key, "lxc.rootfs.backend"))
		return BV_LEGACY_BACKEND;

	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++) {
		const char *was = renamed[i].was;
		rest = bv_after(key, was);
		if (!rest || (was[strlen(was) - 1] == '.' ? !*rest : *rest))
			continue;
		if (!renamed[i].now)
			return BV_LEGACY_IGNORED;
		snprintf(name, size, "%s%s", renamed[i].now, rest);
		return BV_LEGACY_RENAMED;
	}
	return BV_LEGACY_NO;
}

void bv_legacy_print(FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++) {
		const char *more = renamed[i].was[strlen(renamed[i].was) - 1] == '.' ? "NAME" : "";
		if (renamed[i].now)
			fprintf(out, ".It Sy %s%s\nNow %s%s.\n", renamed[i].was, more, renamed[i].now, more);
		else
			fprintf(out, ".It Sy %s\nRead, but without effect.\n", renamed[i].was);
	}
	fputs(".It Sy lxc.network.KEY\nNow lxc.net.N.KEY: each lxc.network.type begins a new network, to which the "
	      "keys that follow belong.\n",
	      out);
	for (size_t i = 0; i < ARRAY_SIZE(network); i++)
		fprintf(out, ".It Sy lxc.network.%s\nNow lxc.net.N.%s.\n", network[i].was, network[i].now);
	fputs(".It Sy lxc.rootfs.backend\nNow the word before the colon in lxc.rootfs.path.\n.El\n", out);
}
