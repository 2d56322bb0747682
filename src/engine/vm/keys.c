/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/num.h"

/*
 * What becomes of each key in a VM. The table has every key there is (a test compares it with that of config/keys.c),
 * or the beginning that keys have in common: the row with the longest name counts. What is looked at is the config as
 * it dumps itself, so that a key at its default never comes up, and the order is that of the key table.
 *
 *   holds    the guest's init does it (limits of init, capabilities, sysctls, links, mounts), or it is the host's
 *            business (cgroup, hooks, log, console), whichever engine runs
 *   ignored  a guest has a kernel of its own: what keeps a container from that of the host is needless, and what a
 *            container borrows from the host (its clocks, its LSM, its /dev) is the guest's own
 *   refused  it asks for something of the host to be shared that a VM has no part in
 */
enum verdict { HOLDS, IGNORED, REFUSED };

struct row {
	const char *key;
	enum verdict verdict;
	/* Decides by the value, in place of `verdict`; NULL: for every value the same. */
	enum verdict (*look)(const char *value);
	const char *because; /* REFUSED: behind "KEY = VALUE cannot hold in a VM: " */
	const char *hint;
	const char *listed;  /* IGNORED: the name to list for all that begin so; NULL: the key */
};

/* Nothing is confined by it, and nothing is in the guest. */
static enum verdict look_profile(const char *value)
{
	return bv_streq(value, "unconfined") || bv_streq(value, "unchanged") ? HOLDS : IGNORED;
}

static enum verdict look_automount(const char *value)
{
	return strstr(value, "shmounts") ? REFUSED : IGNORED;
}

static enum verdict look_ttys(const char *value)
{
	uint32_t n;
	return bv_parse_u32(value, &n) < 0 || n > BV_VM_TTYS_MAX ? REFUSED : HOLDS;
}

/* The types of link that are a tap on the host and a card in the guest, and that which is none. */
static enum verdict look_link(const char *value)
{
	return bv_streq(value, "veth") || bv_streq(value, "macvlan") || bv_streq(value, "empty") ? HOLDS : REFUSED;
}

#define NO_NAMESPACE "a VM has its own kernel, and no namespaces in common with the host or another instance"
#define NO_MOUNTS "there is no mount namespace on the host for it to run in"
#define NO_LINK "the links of a VM are of the type veth, macvlan, or empty"
#define AS_CONTAINER "remove the key, or start the instance as a container"

/* Sorted as the key table is; refused are those that say why. */
static const struct row rows[] = {
	{ "engine", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.apparmor.allow_incomplete", IGNORED, NULL, NULL, NULL, "lxc.apparmor" },
	{ "lxc.apparmor.allow_nesting", IGNORED, NULL, NULL, NULL, "lxc.apparmor" },
	{ "lxc.apparmor.profile", IGNORED, look_profile, NULL, NULL, "lxc.apparmor" },
	{ "lxc.apparmor.raw", IGNORED, NULL, NULL, NULL, "lxc.apparmor" },
	{ "lxc.arch", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.autodev", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.autodev.tmpfs.size", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.cap.drop", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.cap.keep", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.cgroup", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.cgroup.devices", IGNORED, NULL, NULL, NULL, "lxc.cgroup.devices" },
	{ "lxc.cgroup2", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.cgroup2.devices", IGNORED, NULL, NULL, NULL, "lxc.cgroup2.devices" },
	{ "lxc.console.buffer.size", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.console.logfile", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.console.path", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.console.rotate", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.console.size", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.environment", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.environment.hooks", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.environment.runtime", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.ephemeral", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.execute.cmd", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.group", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.autodev", REFUSED, NULL, NO_MOUNTS, "lxc.hook.start runs inside, right before init", NULL },
	{ "lxc.hook.clone", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.destroy", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.mount", REFUSED, NULL, NO_MOUNTS, "lxc.hook.start runs inside, right before init", NULL },
	{ "lxc.hook.post-stop", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.pre-mount", REFUSED, NULL, NO_MOUNTS, "lxc.hook.pre-start runs on the host before that", NULL },
	{ "lxc.hook.pre-start", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.start", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.start-host", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.stop", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.hook.version", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.idmap", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.include", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.init.cmd", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.init.cwd", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.init.gid", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.init.groups", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.init.uid", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.keyring.session", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.log.file", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.log.level", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.log.syslog", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.monitor.signal.pdeath", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.monitor.unshare", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.mount.auto", IGNORED, look_automount, "a VM does not share mounts with the host while it runs",
	  "bind the directory with lxc.mount.entry", NULL },
	{ "lxc.mount.entry", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.mount.fstab", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.namespace.clone", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.namespace.keep", REFUSED, NULL, NO_NAMESPACE, AS_CONTAINER, NULL },
	{ "lxc.namespace.share", REFUSED, NULL, NO_NAMESPACE, AS_CONTAINER, NULL },
	{ "lxc.net", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.net.N.type", HOLDS, look_link, NO_LINK, AS_CONTAINER, NULL },
	{ "lxc.net.N.veth.n_rxqueues", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.net.N.veth.n_txqueues", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.no_new_privs", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.prlimit", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.proc", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.pty.max", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.rootfs.managed", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.rootfs.mount", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.rootfs.options", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.rootfs.path", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.sched.core", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.seccomp.allow_nesting", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.seccomp.notify.cookie", REFUSED, NULL, "its system calls are the guest's kernel's", AS_CONTAINER, NULL },
	{ "lxc.seccomp.notify.proxy", REFUSED, NULL, "its system calls are the guest's kernel's", AS_CONTAINER, NULL },
	{ "lxc.seccomp.profile", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.selinux.context", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.selinux.context.keyring", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.signal.halt", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.signal.reboot", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.signal.stop", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.start.auto", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.start.delay", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.start.order", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.sysctl", HOLDS, NULL, NULL, NULL, NULL },
	{ "lxc.time.offset.boot", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.time.offset.monotonic", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.tty.dir", IGNORED, NULL, NULL, NULL, NULL },
	{ "lxc.tty.max", HOLDS, look_ttys, "it has room for 30 ttys", "set lxc.tty.max to 30 or less", NULL },
	{ "lxc.uts.name", HOLDS, NULL, NULL, NULL, NULL },
	{ "vm", HOLDS, NULL, NULL, NULL, NULL },
};
_Static_assert(BV_VM_TTYS_MAX == 30, "the row of lxc.tty.max says so");

/* The length of a row's name when the key is it or lies below it; "N" in a row is any number. 0: it is neither. */
static size_t match(const char *row, const char *key)
{
	const char *s = row;
	while (*s) {
		if (*s == 'N' && key[0] >= '0' && key[0] <= '9') {
			key += strspn(key, "0123456789");
			s++;
		} else if (*s++ != *key++) {
			return 0;
		}
	}
	return *key == '\0' || *key == '.' ? (size_t)(s - row) : 0;
}

static const struct row *find_row(const char *key)
{
	const struct row *best = NULL;
	size_t longest = 0;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = match(rows[i].key, key);
		if (n > longest) {
			longest = n;
			best = &rows[i];
		}
	}
	return best;
}

const char *bv_vm_key_verdict(const char *key)
{
	static const char *const names[] = { [HOLDS] = "holds", [IGNORED] = "ignored", [REFUSED] = "refused" };
	const struct row *row = find_row(key);
	if (!row)
		return NULL;
	return row->look ? "depends" : names[row->verdict];
}

/* "lxc.cap.drop = sys_time": two strings in one. false: no such line. */
static bool split_line(char *line, char **value)
{
	char *equals = strchr(line, '=');
	if (!equals)
		return false;
	*equals = '\0';
	*value = bv_strip(equals + 1);
	bv_strip(line);
	return true;
}

static int refuse(const struct row *row, const char *key, const char *value, struct bv_error *err)
{
	bool is_link = match("lxc.net.N.type", key) > 0;
	if (is_link && bv_streq(value, "none"))
		bv_fail(err, ENOTSUP, "%s = none cannot hold in a VM: it cannot use the network of the host", key);
	else
		bv_fail(err, ENOTSUP, "%s = %s cannot hold in a VM: %s", key, value, row->because);
	if (is_link)
		return bv_hint(err, "set %s = veth and %.*slink to a bridge, or start it as a container", key,
			       (int)(strlen(key) - strlen("type")), key);
	return bv_hint(err, "%s", row->hint);
}

static int check_line(char *line, struct bv_strv *ignored, struct bv_error *err)
{
	char *value;
	if (!split_line(line, &value))
		return 0;
	const struct row *row = find_row(line);
	if (!row) {
		bv_fail(err, ENOTSUP, "it is not known what %s means in a VM", line);
		return bv_hint(err, AS_CONTAINER);
	}
	enum verdict v = row->look ? row->look(value) : row->verdict;
	if (v == REFUSED)
		return refuse(row, line, value, err);
	const char *listed = row->listed ? row->listed : line;
	if (v == HOLDS || bv_strv_has(ignored, listed))
		return 0;
	return bv_strv_add(ignored, listed) < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

int bv_vm_check_keys(const struct bv_config *cfg, struct bv_strv *ignored, struct bv_error *err)
{
	autofree char *text = bv_config_dump(cfg);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	char *rest = text, *line;
	while ((line = strsep(&rest, "\n"))) {
		int r = check_line(line, ignored, err);
		if (r < 0)
			return r;
	}
	return 0;
}
