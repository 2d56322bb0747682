/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/lsm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

enum bv_lsm bv_lsm_host(void)
{
	static int known = -1;
	if (known >= 0)
		return (enum bv_lsm)known;

	char enabled[8];
	struct statfs fs;
	if (bv_read_small(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", enabled, sizeof(enabled)) > 0 &&
	    enabled[0] == 'Y')
		known = BV_LSM_APPARMOR;
	else if (statfs("/sys/fs/selinux", &fs) == 0 && (unsigned long)fs.f_type == SELINUX_MAGIC)
		known = BV_LSM_SELINUX;
	else
		known = BV_LSM_NONE;
	return (enum bv_lsm)known;
}

static bool is_word(const char *value, const char *word)
{
	return value && bv_streq(value, word);
}

/* What asks for a module that this host does not have is said once a start; the instance runs without. */
static void warn_unused(const struct bv_lsm_facts *facts, const struct bv_config *cfg)
{
	const char *profile = cfg->apparmor_profile;
	if (facts->lsm != BV_LSM_APPARMOR && profile && !is_word(profile, "unconfined") &&
	    !is_word(profile, "unchanged"))
		bv_warn("security", "AppArmor is not active here: lxc.apparmor.profile = %s has no effect", profile);
	if (facts->lsm != BV_LSM_APPARMOR && cfg->apparmor_allow_nesting)
		bv_warn("security", "AppArmor is not active here: lxc.apparmor.allow_nesting = 1 has no effect");
	if (facts->lsm != BV_LSM_SELINUX && cfg->selinux_context)
		bv_warn("security", "SELinux is not active here: lxc.selinux.context = %s has no effect",
			cfg->selinux_context);
	if (facts->lsm != BV_LSM_SELINUX && cfg->selinux_context_keyring)
		bv_warn("security", "SELinux is not active here: lxc.selinux.context.keyring = %s has no effect",
			cfg->selinux_context_keyring);
}

/* lxc.apparmor.profile; unset: what LXC has for that where it is there, the next best where it is not. */
static const char *effective_profile(const struct bv_lsm_facts *facts, const struct bv_config *cfg)
{
	if (cfg->apparmor_profile)
		return cfg->apparmor_profile;
	if (facts->has_default)
		return BV_APPARMOR_DEFAULT;
	if (facts->has_parser)
		return "generated";
	bv_warn("security", "AppArmor has no profile for the instance: neither " BV_APPARMOR_DEFAULT
			    " nor apparmor_parser is there");
	return "unchanged";
}

static int decide_apparmor(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *name,
			   const char *lxcpath, char **ret, bool *generate, struct bv_error *err)
{
	const char *profile = effective_profile(facts, cfg);
	if (is_word(profile, "unchanged"))
		return 0;
	if (is_word(profile, "unconfined")) {
		/* A starter that is confined itself has to be left by name. */
		*ret = facts->unconfined ? NULL : strdup(profile);
		return facts->unconfined || *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
	}
	if (!facts->mount_rules && !cfg->apparmor_allow_incomplete) {
		bv_fail(err, ENOTSUP, "the kernel's AppArmor does not mediate mounts, so that %s would not hold",
			profile);
		return bv_hint(err, "lxc.apparmor.allow_incomplete = 1 starts it all the same");
	}

	if (!is_word(profile, "generated")) {
		*ret = strdup(profile);
		return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
	}
	*generate = true;
	autofree char *own = bv_apparmor_profile_name(name, lxcpath);
	bool nested = cfg->apparmor_allow_nesting && facts->stacking;
	if (own)
		*ret = nested ? bv_asprintf("%s//&:%s:", own, own) : take_ptr(own);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

int bv_lsm_decide(const struct bv_lsm_facts *facts, const struct bv_config *cfg, const char *name, const char *lxcpath,
		  char **ret, bool *generate, struct bv_error *err)
{
	*ret = NULL;
	*generate = false;
	warn_unused(facts, cfg);
	if (facts->lsm == BV_LSM_APPARMOR)
		return decide_apparmor(facts, cfg, name, lxcpath, ret, generate, err);
	if (facts->lsm == BV_LSM_SELINUX && cfg->selinux_context && !is_word(cfg->selinux_context, "unchanged")) {
		*ret = strdup(cfg->selinux_context);
		return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
	}
	return 0;
}

int bv_lsm_prepare(const struct bv_config *cfg, const char *name, const char *lxcpath, char **ret, struct bv_error *err)
{
	struct bv_lsm_facts facts = { .lsm = bv_lsm_host() };
	if (facts.lsm == BV_LSM_APPARMOR)
		bv_apparmor_facts(&facts);

	autofree char *label = NULL;
	bool generate;
	*ret = NULL;
	int r = bv_lsm_decide(&facts, cfg, name, lxcpath, &label, &generate, err);
	if (r == 0 && generate)
		r = bv_apparmor_load(&facts, cfg, name, lxcpath, err);
	if (r == 0)
		*ret = take_ptr(label);
	return r;
}

void bv_lsm_release(const struct bv_config *cfg, const char *name, const char *lxcpath)
{
	if (bv_lsm_host() != BV_LSM_APPARMOR)
		return;
	struct bv_lsm_facts facts = { .lsm = BV_LSM_APPARMOR };
	bv_apparmor_facts(&facts);
	if (is_word(effective_profile(&facts, cfg), "generated"))
		bv_apparmor_unload(cfg, name, lxcpath);
}

/* ---- setting the label ---- */

/* An attribute of the calling process on this very procfs: nothing that is mounted over a part of it is entered. */
static int open_attribute(int proc_fd, const char *path)
{
	struct open_how how = { .flags = O_WRONLY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS };
	int fd = bv_openat2(proc_fd, path, &how);
	if (fd != -ENOSYS)
		return fd;
	fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int check_procfs(int fd, struct bv_error *err)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return bv_fail_errno(err, "cannot look at /proc");
	if (fs.f_type != PROC_SUPER_MAGIC)
		return bv_fail(err, EPERM, "what is given as /proc is no procfs; the label is not written there");
	return 0;
}

static int fail_label(const char *label, int code, struct bv_error *err)
{
	bv_fail(err, code, "cannot set the security label %s: %s", label, strerror(abs(code)));
	if (code == -ENOENT && bv_lsm_host() == BV_LSM_APPARMOR)
		return bv_hint(err, "the profile is not loaded: apparmor_parser -r /etc/apparmor.d/lxc-containers");
	return code;
}

static int write_attribute(int fd, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);
	return n < 0 ? -errno : (size_t)n == len ? 0 : -EIO;
}

int bv_lsm_apply(const char *label, int proc_fd, struct bv_error *err)
{
	bool apparmor = bv_lsm_host() == BV_LSM_APPARMOR;
	int r = check_procfs(proc_fd, err);
	if (r < 0)
		return r;

	/*
	 * AppArmor's label changes now: a change at the exec would clear the signal that ties us to our parent
	 * (apparmor_bprm_committing_creds). Linux 5.8 gave it a directory of its own; self/attr/current and exec belong
	 * to whichever module is the first.
	 */
	autoclose int fd = apparmor ? open_attribute(proc_fd, "self/attr/apparmor/current") : -ENOENT;
	if (fd == -ENOENT)
		fd = open_attribute(proc_fd, apparmor ? "self/attr/current" : "self/attr/exec");
	if (fd < 0)
		return fail_label(label, fd, err);
	if ((r = check_procfs(fd, err)) < 0)
		return r;

	autofree char *text = apparmor ? bv_asprintf("changeprofile %s", label) : strdup(label);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	r = write_attribute(fd, text);
	return r < 0 ? fail_label(label, r, err) : 0;
}

int bv_lsm_apply_keyring(const struct bv_config *cfg, int proc_fd, struct bv_error *err)
{
	const char *context = cfg->selinux_context_keyring;
	if (!context || bv_lsm_host() != BV_LSM_SELINUX)
		return 0;
	int r = check_procfs(proc_fd, err);
	if (r < 0)
		return r;
	autoclose int fd = open_attribute(proc_fd, "self/attr/keycreate");
	r = fd < 0 ? fd : write_attribute(fd, context);
	if (r < 0)
		return bv_fail(err, r, "cannot set lxc.selinux.context.keyring = %s: %s", context, strerror(-r));
	return 0;
}
