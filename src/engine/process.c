/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"

/* ---- signals ---- */

/* The mask of ignored signals, all of them when /proc cannot say. */
static uint64_t ignored_signals(void)
{
	char status[4096];
	if (bv_read_small(AT_FDCWD, "/proc/self/status", status, sizeof(status)) <= 0)
		return UINT64_MAX;
	const char *s = strstr(status, "\nSigIgn:");
	return s ? strtoull(s + strlen("\nSigIgn:"), NULL, 16) : UINT64_MAX;
}

int bv_process_reset_signals(struct bv_error *err)
{
	uint64_t ignored = ignored_signals();
	for (int sig = 1; sig < NSIG && sig <= 64; sig++)
		if (ignored & (UINT64_C(1) << (sig - 1)))
			signal(sig, SIG_DFL);

	sigset_t none;
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return bv_fail_errno(err, "cannot unblock the signals");
	return 0;
}

/* ---- ids ---- */

int bv_process_groups(const struct bv_config *cfg, gid_t **ret, size_t *n, struct bv_error *err)
{
	*ret = NULL;
	*n = 0;
	if (cfg->init_groups.n == 0)
		return 0;
	autofree gid_t *groups = calloc(cfg->init_groups.n, sizeof(*groups));
	if (!groups)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < cfg->init_groups.n; i++) {
		uint32_t gid;
		if (bv_parse_u32(cfg->init_groups.v[i], &gid) < 0 || gid == UINT32_MAX)
			return bv_fail(err, EINVAL, "lxc.init.groups: \"%s\" is no group id", cfg->init_groups.v[i]);
		groups[i] = gid;
	}
	*ret = take_ptr(groups);
	*n = cfg->init_groups.n;
	return 0;
}

static int fail_id(const char *what, unsigned int id, struct bv_error *err)
{
	int code = errno;
	bv_fail_errno(err, "cannot become %s %u", what, id);
	return code == EINVAL ? bv_hint(err, "lxc.idmap has to map it") : -code;
}

int bv_process_set_groups(const gid_t *groups, size_t n, struct bv_error *err)
{
	/* A namespace whose setgroups says "deny" forbids it for good (Linux 3.19): to drop one may widen access. */
	if (setgroups(n, n > 0 ? groups : NULL) < 0) {
		if (errno != EPERM || n > 0)
			return bv_fail_errno(err, "cannot set the supplementary groups");
		if (getgroups(0, NULL) > 0)
			bv_warn("process", "the user namespace does not let the supplementary groups be dropped");
	}
	return 0;
}

int bv_process_set_ids(uid_t uid, gid_t gid, const gid_t *groups, size_t n, struct bv_error *err)
{
	int r = bv_process_set_groups(groups, n, err);
	if (r < 0)
		return r;
	if (setresgid(gid, gid, gid) < 0)
		return fail_id("group", gid, err);
	if (setresuid(uid, uid, uid) < 0)
		return fail_id("user", uid, err);
	return 0;
}

/* ---- limits ---- */

static const char *rlimit_name(int resource)
{
	static const char *const names[] = {
		[RLIMIT_CPU] = "cpu",		[RLIMIT_FSIZE] = "fsize",
		[RLIMIT_DATA] = "data",		[RLIMIT_STACK] = "stack",
		[RLIMIT_CORE] = "core",		[RLIMIT_RSS] = "rss",
		[RLIMIT_NPROC] = "nproc",	[RLIMIT_NOFILE] = "nofile",
		[RLIMIT_MEMLOCK] = "memlock",	[RLIMIT_AS] = "as",
		[RLIMIT_LOCKS] = "locks",	[RLIMIT_SIGPENDING] = "sigpending",
		[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
		[RLIMIT_RTPRIO] = "rtprio",	[RLIMIT_RTTIME] = "rttime",
	};
	return resource >= 0 && (size_t)resource < ARRAY_SIZE(names) ? names[resource] : "?";
}

static void format_limit(uint64_t value, char *buf, size_t size)
{
	if (value == UINT64_MAX)
		snprintf(buf, size, "unlimited");
	else
		snprintf(buf, size, "%llu", (unsigned long long)value);
}

/*
 * Without CAP_SYS_RESOURCE the hard limit cannot be raised: what is below it is set, the rest is said in the log. On
 * the other hand lxc.prlimit must not keep an instance from starting that started where root has the capability.
 */
static int set_within_hard_limit(pid_t pid, const struct bv_rlimit *wanted)
{
	struct rlimit64 now;
	char hard[24], kept[24];
	if (prlimit64(pid, (enum __rlimit_resource)wanted->resource, NULL, &now) < 0 || wanted->hard <= now.rlim_max)
		return -EPERM;
	struct rlimit64 limit = { .rlim_cur = wanted->soft < now.rlim_max ? wanted->soft : now.rlim_max,
				  .rlim_max = now.rlim_max };
	if (prlimit64(pid, (enum __rlimit_resource)wanted->resource, &limit, NULL) < 0)
		return -errno;
	format_limit(wanted->hard, hard, sizeof(hard));
	format_limit(now.rlim_max, kept, sizeof(kept));
	bv_warn("process", "lxc.prlimit.%s: without CAP_SYS_RESOURCE the hard limit stays %s, it is not raised to %s",
		rlimit_name(wanted->resource), kept, hard);
	return 0;
}

int bv_process_prlimits(const struct bv_config *cfg, pid_t pid, struct bv_error *err)
{
	for (size_t i = 0; i < cfg->n_rlimits; i++) {
		const struct bv_rlimit *l = &cfg->rlimits[i];
		/* The kernel's 64-bit interface has UINT64_MAX for unlimited, as RLIM64_INFINITY. */
		struct rlimit64 limit = { .rlim_cur = l->soft, .rlim_max = l->hard };
		if (prlimit64(pid, (enum __rlimit_resource)l->resource, &limit, NULL) == 0)
			continue;
		char soft[24], hard[24];
		int code = errno;
		if (code == EPERM && set_within_hard_limit(pid, l) == 0)
			continue;
		format_limit(l->soft, soft, sizeof(soft));
		format_limit(l->hard, hard, sizeof(hard));
		errno = code;
		bv_fail_errno(err, "cannot set lxc.prlimit.%s to %s:%s", rlimit_name(l->resource), soft, hard);
		return code == EPERM ? bv_hint(err, "a hard limit is raised with CAP_SYS_RESOURCE only") : -code;
	}
	return 0;
}

/* ---- the account ---- */

static void parse_passwd(struct bv_account *a, uid_t uid)
{
	enum { NAME, PASSWORD, UID, GID, GECOS, HOME, SHELL, FIELDS };
	char *rest = a->text, *line;
	while ((line = strsep(&rest, "\n"))) {
		char *field[FIELDS] = { NULL }, *part = line;
		for (int i = 0; i < FIELDS && part; i++)
			field[i] = strsep(&part, ":");
		uint32_t number;
		if (!field[SHELL] || bv_parse_u32(field[UID], &number) < 0 || number != uid)
			continue;
		a->home = field[HOME][0] == '/' ? field[HOME] : NULL;
		a->shell = field[SHELL][0] == '/' ? field[SHELL] : NULL;
		return;
	}
}

void bv_account_find(struct bv_account *ret, int passwd, uid_t uid)
{
	enum { PASSWD_MAX = 1024 * 1024 };
	struct stat st;
	*ret = (struct bv_account){ 0 };
	if (passwd < 0 || fstat(passwd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > PASSWD_MAX)
		return;
	ret->text = malloc((size_t)st.st_size + 1);
	ssize_t n = ret->text ? read(passwd, ret->text, (size_t)st.st_size) : -1;
	if (n >= 0) {
		ret->text[n] = '\0';
		parse_passwd(ret, uid);
	}
}

void bv_account_clear(struct bv_account *a)
{
	free(a->text);
	*a = (struct bv_account){ 0 };
}

const char *bv_account_shell(const struct bv_account *a)
{
	return a->shell && access(a->shell, X_OK) == 0 ? a->shell : "/bin/sh";
}

/* ---- sysctls ---- */

int bv_process_sysctls(const struct bv_config *cfg, int proc_fd, struct bv_error *err)
{
	const struct bv_pair_list *keys = &cfg->sysctl;
	for (size_t i = 0; i < keys->n; i++) {
		autofree char *path = bv_asprintf("sys/%s", keys->v[i].name);
		if (!path)
			return bv_fail(err, ENOMEM, "out of memory");
		for (char *s = path; *s; s++)
			if (*s == '.')
				*s = '/';
		int r = strstr(path, "//") ? -EINVAL : bv_write_small(proc_fd, path, keys->v[i].value);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot set lxc.sysctl.%s to \"%s\"", keys->v[i].name,
			                     keys->v[i].value);
		}
	}
	return 0;
}

/* ---- exec ---- */

static int fail_exec(const char *command, int code, struct bv_error *err)
{
	bv_fail(err, code, "cannot execute %s: %s", command, strerror(code));
	switch (code) {
	case ENOENT:
		return strchr(command, '/') ? bv_hint(err, "it, its interpreter or its loader is not there") : -code;
	case EACCES:
		return bv_hint(err, "is it executable, and its file system not mounted noexec?");
	case ENOEXEC:
		return bv_hint(err, "it is a program of another architecture, or a script without #!");
	default:
		return -code;
	}
}

int bv_process_exec(char *const *argv, char *const *env, struct bv_error *err)
{
	const char *command = argv[0];
	if (!command || !*command)
		return bv_fail(err, ENOENT, "there is no command to execute");
	if (strchr(command, '/')) {
		execve(command, argv, env);
		return fail_exec(command, errno, err);
	}

	/* As a shell does it: what is found but may not be executed counts when nothing else is found. */
	const char *path = bv_process_env_get(env, "PATH");
	int code = ENOENT;
	for (const char *dir = path ? path : BV_PROCESS_PATH;;) {
		size_t n = strcspn(dir, ":");
		autofree char *file = bv_asprintf("%.*s/%s", n ? (int)n : 1, n ? dir : ".", command);
		if (!file)
			return bv_fail(err, ENOMEM, "out of memory");
		execve(file, argv, env);
		if (errno == EACCES)
			code = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return fail_exec(file, errno, err);
		if (!dir[n])
			break;
		dir += n + 1;
	}
	bv_fail(err, code, "cannot execute %s: %s", command, strerror(code));
	return code == ENOENT ? bv_hint(err, "PATH is %s", path ? path : BV_PROCESS_PATH) : -code;
}

int bv_process_exit_code(const struct bv_error *err)
{
	enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };
	return err->code == ENOENT || err->code == ENOTDIR ? NOT_FOUND : NOT_EXECUTABLE;
}
