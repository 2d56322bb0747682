/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

enum {
	IDMAP_EXTENTS_MAX = 340,   /* UID_GID_MAP_MAX_EXTENTS, Linux 4.15 */
	IDMAP_TEXT_MAX = 4096 - 1, /* one write below the size of a page */
};

static bool ranges_overlap(uint32_t a, uint32_t a_n, uint32_t b, uint32_t b_n)
{
	return (uint64_t)a < (uint64_t)b + b_n && (uint64_t)b < (uint64_t)a + a_n;
}

static int check_range(const struct bv_idmap *m, struct bv_error *err)
{
	if (m->range == 0)
		return bv_fail(err, EINVAL, "lxc.idmap = %c %u %u 0 maps nothing: the range must be at least 1",
			       m->kind, m->ns_id, m->host_id);

	/* 4294967295 is "no id" to the kernel and cannot be mapped. */
	if ((uint64_t)m->ns_id + m->range > UINT32_MAX || (uint64_t)m->host_id + m->range > UINT32_MAX)
		return bv_fail(err, ERANGE, "lxc.idmap = %c %u %u %u goes beyond the last id, 4294967294", m->kind,
			       m->ns_id, m->host_id, m->range);
	return 0;
}

static int check_overlap(const struct bv_idmap *a, const struct bv_idmap *b, struct bv_error *err)
{
	if (a->kind != b->kind)
		return 0;
	const char *side = ranges_overlap(a->ns_id, a->range, b->ns_id, b->range)	? "inside"
			   : ranges_overlap(a->host_id, a->range, b->host_id, b->range) ? "on the host"
											: NULL;
	if (!side)
		return 0;
	return bv_fail(err, EINVAL, "lxc.idmap = %c %u %u %u and lxc.idmap = %c %u %u %u overlap %s", a->kind, a->ns_id,
		       a->host_id, a->range, b->kind, b->ns_id, b->host_id, b->range, side);
}

static int check_mapped(const struct bv_config *cfg, char kind, uint32_t id, const char *who, struct bv_error *err)
{
	if (bv_idmap_to_host(cfg, kind, id) != UINT32_MAX)
		return 0;
	bv_fail(err, EINVAL, "lxc.idmap has no mapping for %s %u, %s", kind == 'u' ? "user" : "group", id, who);
	return bv_hint(err, "add a line such as lxc.idmap = %c 0 100000 65536", kind);
}

int bv_idmap_check(const struct bv_config *cfg, struct bv_error *err)
{
	unsigned int extents[2] = { 0, 0 };
	for (size_t i = 0; i < cfg->n_idmaps; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		int r = check_range(m, err);
		for (size_t j = 0; r == 0 && j < i; j++)
			r = check_overlap(&cfg->idmaps[j], m, err);
		if (r < 0)
			return r;
		if (++extents[m->kind == 'g'] > IDMAP_EXTENTS_MAX)
			return bv_fail(err, E2BIG, "lxc.idmap has more than %d lines for %s", IDMAP_EXTENTS_MAX,
				       m->kind == 'g' ? "groups" : "users");
	}
	if (cfg->n_idmaps == 0)
		return 0;

	int r = check_mapped(cfg, 'u', 0, "root inside", err);
	if (r == 0)
		r = check_mapped(cfg, 'g', 0, "root inside", err);
	if (r == 0)
		r = check_mapped(cfg, 'u', cfg->init_uid, "lxc.init.uid", err);
	if (r == 0)
		r = check_mapped(cfg, 'g', cfg->init_gid, "lxc.init.gid", err);
	return r;
}

uint32_t bv_idmap_to_host(const struct bv_config *cfg, char kind, uint32_t ns_id)
{
	if (cfg->n_idmaps == 0)
		return ns_id;
	for (size_t i = 0; i < cfg->n_idmaps; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		if (m->kind == kind && ns_id >= m->ns_id && ns_id - m->ns_id < m->range)
			return m->host_id + (ns_id - m->ns_id);
	}
	return UINT32_MAX;
}

static int write_map(const struct bv_config *cfg, pid_t pid, char kind, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf text = { 0 };
	for (size_t i = 0; i < cfg->n_idmaps; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		if (m->kind == kind)
			bv_buf_printf(&text, "%u %u %u\n", m->ns_id, m->host_id, m->range);
	}
	if (text.bad)
		return bv_fail(err, ENOMEM, "out of memory");
	if (text.len == 0)
		return 0;
	if (text.len > IDMAP_TEXT_MAX)
		return bv_fail(err, E2BIG, "lxc.idmap: the %cid map is %zu bytes long, the kernel takes %d", kind,
			       text.len, IDMAP_TEXT_MAX);

	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/%cid_map", (int)pid, kind);
	int r = bv_write_small(AT_FDCWD, path, text.p);
	if (r == 0)
		return 0;
	errno = -r;
	bv_fail_errno(err, "cannot write lxc.idmap to %s", path);
	if (r == -EPERM || r == -EINVAL)
		bv_hint(err, "the host ids must be the caller's: see lxc.idmap and /etc/sub%cid", kind);
	return r;
}

/* An ordinary user's map goes through the setuid helpers of shadow, which check /etc/subuid and /etc/subgid. */
static int run_map_helper(const struct bv_config *cfg, pid_t pid, char kind, struct bv_error *err)
{
	const char *helper = kind == 'u' ? "newuidmap" : "newgidmap";
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	int r = bv_strv_add(&argv, helper);
	if (r == 0)
		r = bv_strv_addf(&argv, "%d", (int)pid);
	for (size_t i = 0; r == 0 && i < cfg->n_idmaps; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		if (m->kind != kind)
			continue;
		r = bv_strv_addf(&argv, "%u", m->ns_id);
		if (r == 0)
			r = bv_strv_addf(&argv, "%u", m->host_id);
		if (r == 0)
			r = bv_strv_addf(&argv, "%u", m->range);
	}
	if (r < 0)
		return bv_fail(err, ENOMEM, "out of memory");

	pid_t child;
	r = posix_spawnp(&child, helper, NULL, NULL, argv.v, environ);
	if (r != 0) {
		bv_fail(err, r, "cannot run %s: %s", helper, strerror(r));
		return bv_hint(err, "install it: apt-get install uidmap");
	}
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for %s", helper);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	bv_fail(err, EPERM, "%s refused lxc.idmap for user %u", helper, (unsigned int)getuid());
	return bv_hint(err, "the ranges must be the user's own: see /etc/sub%cid", kind);
}

int bv_idmap_write(const struct bv_config *cfg, pid_t pid, struct bv_error *err)
{
	int (*map)(const struct bv_config *, pid_t, char, struct bv_error *) =
		geteuid() == 0 ? write_map : run_map_helper;
	int r = map(cfg, pid, 'u', err);
	return r < 0 ? r : map(cfg, pid, 'g', err);
}

/* Does nothing but to hold the namespace; it must not outlive the one who made it. */
static void __attribute__((noreturn)) hold_namespace(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		pause();
}

/*
 * A child in a new user namespace. exit_signal 0: its end is nobody's SIGCHLD, and it is reaped with __WALL. Where
 * clone3 is missing, the old call does as well; s390 alone has its arguments the other way round.
 */
static pid_t clone_into_userns(void)
{
	struct clone_args args = { .flags = CLONE_NEWUSER };
	pid_t pid = bv_clone3(&args, sizeof(args));
	if (pid != -ENOSYS)
		return pid;
#ifdef __s390x__
	long r = syscall(SYS_clone, NULL, (unsigned long)CLONE_NEWUSER, NULL, NULL, 0UL);
#else
	long r = syscall(SYS_clone, (unsigned long)CLONE_NEWUSER, NULL, NULL, NULL, 0UL);
#endif
	return r < 0 ? -errno : (pid_t)r;
}

static int open_userns(const struct bv_config *cfg, pid_t pid, struct bv_error *err)
{
	int r = bv_idmap_write(cfg, pid, err);
	if (r < 0)
		return r;
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? bv_fail_errno(err, "cannot open %s", path) : fd;
}

int bv_idmap_userns_fd(const struct bv_config *cfg, struct bv_error *err)
{
	pid_t pid = clone_into_userns();
	if (pid == 0)
		hold_namespace();
	if (pid < 0) {
		errno = -pid;
		bv_fail_errno(err, "cannot make a user namespace for the id map");
		return pid == -ENOSPC ? bv_hint(err, "sysctl user.max_user_namespaces is the limit") : pid;
	}

	int fd = open_userns(cfg, pid, err);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	return fd;
}
