/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "security/lsm_internal.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

#define APPARMOR_FS	"/sys/kernel/security/apparmor"
#define APPARMOR_PARSER "/sbin/apparmor_parser"
#define APPARMOR_CACHE	BV_CACHEDIR "/apparmor"

enum { LABEL_PART_MAX = 200 }; /* twice that and the separators fit into bv_run.label */

/* ---- names ---- */

/* FNV-1a: only to tell long names apart. */
static uint64_t hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/* The parser takes these characters in a quoted name; a rest of others becomes '_'. */
static char *path_part(const char *lxcpath)
{
	char *part = strdup(lxcpath);
	for (char *c = part; c && *c; c++)
		if (*c == '/')
			*c = '-';
		else if (*c <= ' ' || strchr("\"\\<>:&*?[]{}^,@", *c))
			*c = '_';
	return part;
}

char *bv_apparmor_profile_name(const char *name, const char *lxcpath)
{
	autofree char *part = path_part(lxcpath);
	if (!part)
		return NULL;
	autofree char *whole = bv_asprintf("lxc-%s_<%s>", name, part);
	if (!whole || strlen(whole) <= LABEL_PART_MAX / 2)
		return take_ptr(whole);
	return bv_asprintf("lxc-%.64s_<%016llx>", name, (unsigned long long)hash(lxcpath));
}

/* ---- the profile ---- */

/* What every generated profile allows: namespaces, capabilities and cgroups are what limits a container there. */
static const char base_rules[] =
	"	capability,\n"
	"	dbus,\n"
	"	file,\n"
	"	network,\n"
	"	unix,\n"
	"	umount,\n"
	"	signal (receive) peer=unconfined,\n"
	"	ptrace (readby, tracedby) peer=unconfined,\n"
	"\n"
	"	# What is the kernel's and not the container's: its memory, its keys, its firmware.\n"
	"	deny @{PROC}/sysrq-trigger rwklx,\n"
	"	deny @{PROC}/kcore rwklx,\n"
	"	deny @{PROC}/kmem rwklx,\n"
	"	deny @{PROC}/mem rwklx,\n"
	"	deny @{PROC}/acpi/** rwklx,\n"
	"	deny @{PROC}/fs/** wklx,\n"
	"	deny @{PROC}/irq/** wklx,\n"
	"	deny @{PROC}/bus/** wklx,\n"
	"	deny @{PROC}/sys/fs/** wklx,\n"
	"	deny @{PROC}/sys/vm/** wklx,\n"
	"	deny @{PROC}/sys/dev/** wklx,\n"
	"	deny @{PROC}/sys/debug/** wklx,\n"
	"	# Of kernel.* only what belongs to a namespace: uts, ipc, pid.\n"
	"	deny @{PROC}/sys/kernel/[^dhmns]** wklx,\n"
	"	deny @{PROC}/sys/kernel/d[^o]** wklx,\n"
	"	deny @{PROC}/sys/kernel/h[^o]** wklx,\n"
	"	deny @{PROC}/sys/kernel/ho[^s]** wklx,\n"
	"	deny @{PROC}/sys/kernel/m[^s]** wklx,\n"
	"	deny @{PROC}/sys/kernel/n[^s]** wklx,\n"
	"	deny @{PROC}/sys/kernel/s[^eh]** wklx,\n"
	"	deny @{PROC}/sys/kernel/se[^m]** wklx,\n"
	"	deny /sys/kernel/** wklx,\n"
	"	deny /sys/firmware/** rwklx,\n"
	"	deny /sys/module/** wklx,\n"
	"	deny /sys/power/** wklx,\n"
	"	deny /sys/bus/** wklx,\n"
	"	deny /sys/block/** wklx,\n"
	"	deny /sys/dev/** wklx,\n"
	"	deny /sys/devices/[^v]** wklx,\n"
	"	deny /sys/devices/v[^i]** wklx,\n"
	"	deny /sys/devices/virtual/[^n]** wklx,\n"
	"	deny /sys/[^fdckmpb]** wklx,\n"
	"	deny /sys/c[^l]** wklx,\n"
	"	deny /sys/fs/[^c]** wklx,\n"
	"	deny mount fstype=debugfs -> /**,\n"
	"	deny mount fstype=securityfs -> /**,\n"
	"	deny mount fstype=efivarfs -> /**,\n"
	"	deny mount fstype=pstore -> /**,\n";

/* Root of the host's own user namespace must be held back from mounting what opens the host. */
static const char privileged_mounts[] =
	"\n"
	"	mount fstype=tmpfs,\n"
	"	mount fstype=ramfs,\n"
	"	mount fstype=hugetlbfs,\n"
	"	mount fstype=mqueue,\n"
	"	mount fstype=devpts,\n"
	"	mount fstype=overlay,\n"
	"	mount fstype=fuse,\n"
	"	mount fstype=fuse.*,\n"
	"	mount fstype=binfmt_misc -> @{PROC}/sys/fs/binfmt_misc/,\n"
	"	mount fstype=cgroup -> /sys/fs/cgroup/**,\n"
	"	mount fstype=cgroup2 -> /sys/fs/cgroup/**,\n"
	"	mount options=(rw, bind),\n"
	"	mount options=(rw, rbind),\n"
	"	mount options in (ro, nosuid, nodev, noexec, remount, bind, relatime, noatime, strictatime),\n"
	"	mount options=(rw, move),\n"
	"	mount options=(rw, make-slave),\n"
	"	mount options=(rw, make-rslave),\n"
	"	mount options=(rw, make-shared),\n"
	"	mount options=(rw, make-rshared),\n"
	"	mount options=(rw, make-private),\n"
	"	mount options=(rw, make-rprivate),\n"
	"	mount options=(rw, make-unbindable),\n"
	"	mount options=(rw, make-runbindable),\n";

static const char nesting_rules[] = "\n"
				    "	# Containers inside: their own root, their own /proc and /sys.\n"
				    "	pivot_root,\n"
				    "	mount fstype=proc,\n"
				    "	mount fstype=sysfs,\n"
				    "	signal,\n"
				    "	ptrace,\n";

static void add_identity_rules(struct bv_buf *b, const char *profile)
{
	bv_buf_printf(b, "	signal peer=\"%s\",\n	ptrace peer=\"%s\",\n", profile, profile);
	bv_buf_printf(b, "	signal peer=\"%s//&:%s:unconfined\",\n", profile, profile);
}

char *bv_apparmor_profile_text(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *profile)
{
	struct bv_buf b = { 0 };
	bv_buf_puts(&b, "# Written at every start; lxc.apparmor.raw adds lines.\n@{PROC}=/proc/\n");
	bv_buf_printf(&b, "profile \"%s\" flags=(attach_disconnected,mediate_deleted) {\n", profile);
	bv_buf_puts(&b, base_rules);
	add_identity_rules(&b, profile);
	/* With id maps the kernel lets a mount be made only where it cannot harm the host. */
	bv_buf_puts(&b, cfg->n_idmaps > 0 ? "\n	mount,\n	pivot_root,\n" : privileged_mounts);
	if (cfg->apparmor_allow_nesting) {
		bv_buf_puts(&b, nesting_rules);
		if (facts->stacking)
			bv_buf_printf(&b, "\tchange_profile -> \":%s:*\",\n\tchange_profile -> \":%s://*\",\n",
				      profile, profile);
		else
			bv_buf_printf(&b, "	change_profile -> \"%s\",\n", profile);
	}
	if (cfg->apparmor_raw.n > 0)
		bv_buf_putc(&b, '\n');
	for (size_t i = 0; i < cfg->apparmor_raw.n; i++)
		bv_buf_printf(&b, "	%s\n", cfg->apparmor_raw.v[i]);
	bv_buf_puts(&b, "}\n");
	return bv_buf_take(&b);
}

/* ---- the host ---- */

static bool feature(const char *file, const char *word)
{
	autofree char *path = bv_asprintf(APPARMOR_FS "/features/%s", file);
	char text[512];
	return path && bv_read_small(AT_FDCWD, path, text, sizeof(text)) > 0 && strstr(text, word);
}

void bv_apparmor_facts(struct bv_lsm_facts *facts)
{
	char own[256];
	facts->mount_rules = feature("mount/mask", "mount");
	facts->stacking = feature("domain/stack", "yes");
	ssize_t n = bv_read_small(AT_FDCWD, "/proc/self/attr/current", own, sizeof(own));
	facts->unconfined = n <= 0 || bv_streq(own, "unconfined");
	autofree char *loaded = NULL;
	facts->has_default = bv_read_file(AT_FDCWD, APPARMOR_FS "/profiles", 0, &loaded, NULL) == 0 &&
			     strstr(loaded, BV_APPARMOR_DEFAULT " (");
	facts->has_parser = access(APPARMOR_PARSER, X_OK) == 0;
}

/* The profile of an instance lies in its directory, the compiled form in the cache. */
static char *profile_file(const char *name, const char *lxcpath)
{
	return bv_asprintf("%s/%s/apparmor/lxc-%s", lxcpath, name, name);
}

/* What the parser says of a profile's text is for the user; that there is nothing to unload is not (`quiet`). */
static int run_parser(const char *const argv[], bool quiet, struct bv_error *err)
{
	pid_t pid;
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	if (quiet)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	int status, r = posix_spawn(&pid, APPARMOR_PARSER, &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0) {
		bv_fail(err, r, "cannot run " APPARMOR_PARSER ": %s", strerror(r));
		return bv_hint(err, "apt-get install apparmor, or set lxc.apparmor.profile = unconfined");
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for " APPARMOR_PARSER);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	bv_fail(err, EINVAL, APPARMOR_PARSER " could not work on the generated profile");
	return bv_hint(err,
		       "see the lines of lxc.apparmor.raw, and: " APPARMOR_PARSER " -Q LXCPATH/NAME/apparmor/lxc-NAME");
}

static char *namespace_dir(const char *profile)
{
	return bv_asprintf(APPARMOR_FS "/policy/namespaces/%s", profile);
}

/* The same text is not written again, so that the cache's compiled form stays good. */
static int write_profile(const char *path, const char *text, struct bv_error *err)
{
	autofree char *old = NULL;
	if (bv_read_file(AT_FDCWD, path, 0, &old, NULL) == 0 && bv_streq(old, text))
		return 0;

	autofree char *dir = strdup(path);
	if (!dir)
		return bv_fail(err, ENOMEM, "out of memory");
	*strrchr(dir, '/') = '\0';
	int r = bv_mkdir_p(AT_FDCWD, dir, 0755);
	if (r == 0)
		r = bv_replace_file(AT_FDCWD, path, text, strlen(text), 0600, false);
	return r < 0 ? bv_fail(err, r, "cannot write the AppArmor profile %s: %s", path, strerror(-r)) : 0;
}

int bv_apparmor_load(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *name,
		     const char *lxcpath, struct bv_error *err)
{
	autofree char *profile = bv_apparmor_profile_name(name, lxcpath);
	autofree char *path = profile_file(name, lxcpath);
	autofree char *text = profile ? bv_apparmor_profile_text(facts, cfg, profile) : NULL;
	if (!path || !text)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = write_profile(path, text, err);
	if (r < 0)
		return r;

	/* Without the cache it takes longer, that is all. */
	bool cache = bv_mkdir_p(AT_FDCWD, APPARMOR_CACHE, 0755) == 0;
	const char *const with_cache[] = { "apparmor_parser", "-rWL", APPARMOR_CACHE, path, NULL };
	const char *const without[] = { "apparmor_parser", "-rK", path, NULL };
	r = run_parser(cache ? with_cache : without, false, err);
	if (r < 0 || !cfg->apparmor_allow_nesting || !facts->stacking)
		return r;

	autofree char *dir = namespace_dir(profile);
	if (!dir)
		return bv_fail(err, ENOMEM, "out of memory");
	if (mkdir(dir, 0755) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "cannot make the AppArmor namespace %s", dir);
	return 0;
}

void bv_apparmor_unload(const struct bv_config *cfg, const char *name, const char *lxcpath)
{
	autofree char *profile = bv_apparmor_profile_name(name, lxcpath);
	autofree char *path = profile_file(name, lxcpath);
	autofree char *dir = profile ? namespace_dir(profile) : NULL;
	if (!path || !dir)
		return;
	if (cfg->apparmor_allow_nesting && rmdir(dir) < 0 && errno != ENOENT)
		bv_info("security", "the AppArmor namespace %s stays: %s", dir, strerror(errno));
	const char *const argv[] = { "apparmor_parser", "-RK", path, NULL };
	struct bv_error err = { 0 };
	if (access(path, F_OK) == 0 && run_parser(argv, true, &err) < 0)
		bv_info("security", "%s", err.what);
}
