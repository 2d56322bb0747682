/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "template/run.h"
#include "template/template.h"
#include "util/cleanup.h"

/*
 * The id inside onto which the caller's own host id is mapped, so that a template can give files back to it. When the
 * maps leave the host id out, a map of its own is added behind the highest id inside (*added).
 */
static int64_t mapped_id(const struct bv_config *cfg, char kind, uint32_t host, bool *added)
{
	uint64_t free_id = 0;
	*added = false;
	for (size_t i = 0; i < cfg->n_idmaps; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		if (m->kind != kind)
			continue;
		if (host >= m->host_id && host - m->host_id < m->range)
			return (int64_t)m->ns_id + (host - m->host_id);
		if ((uint64_t)m->ns_id + m->range > free_id)
			free_id = (uint64_t)m->ns_id + m->range;
	}
	*added = true;
	return (int64_t)free_id;
}

/* lxc-usernsexec -m u:NS:HOST:RANGE ... -- */
static int add_userns(struct bv_strv *argv, const struct bv_config *cfg, int64_t uid, int64_t gid, bool add_u,
		      bool add_g)
{
	int r = bv_strv_add(argv, "lxc-usernsexec");
	for (size_t i = 0; i < cfg->n_idmaps && r == 0; i++) {
		const struct bv_idmap *m = &cfg->idmaps[i];
		r = bv_strv_add(argv, "-m");
		if (r == 0)
			r = bv_strv_addf(argv, "%c:%u:%u:%u", m->kind, m->ns_id, m->host_id, m->range);
	}
	if (r == 0 && add_u)
		r = bv_strv_add(argv, "-m");
	if (r == 0 && add_u)
		r = bv_strv_addf(argv, "u:%lld:%u:1", (long long)uid, geteuid());
	if (r == 0 && add_g)
		r = bv_strv_add(argv, "-m");
	if (r == 0 && add_g)
		r = bv_strv_addf(argv, "g:%lld:%u:1", (long long)gid, getegid());
	return r < 0 ? r : bv_strv_add(argv, "--");
}

/* The order of the words is LXC's: internal ones, the user's, then the mapped ids. */
static int script_argv(const char *path, const struct bv_build *b, struct bv_strv *argv)
{
	bool mapped = b->config->n_idmaps > 0, add_u = false, add_g = false;
	int64_t uid = mapped ? mapped_id(b->config, 'u', geteuid(), &add_u) : 0;
	int64_t gid = mapped ? mapped_id(b->config, 'g', getegid(), &add_g) : 0;

	int r = mapped ? add_userns(argv, b->config, uid, gid, add_u, add_g) : 0;
	if (r == 0)
		r = bv_strv_add(argv, path);
	if (r == 0)
		r = bv_strv_addf(argv, "--path=%s", b->path);
	if (r == 0)
		r = bv_strv_addf(argv, "--name=%s", b->name);
	if (r == 0)
		r = bv_strv_addf(argv, "--rootfs=%s", b->rootfs_path);
	for (size_t i = 0; b->args && b->args[i] && r == 0; i++)
		r = bv_strv_add(argv, b->args[i]);
	if (!mapped || r < 0)
		return r;
	r = bv_strv_add(argv, "--mapped-uid");
	if (r == 0)
		r = bv_strv_addf(argv, "%lld", (long long)uid);
	if (r == 0)
		r = bv_strv_add(argv, "--mapped-gid");
	return r < 0 ? r : bv_strv_addf(argv, "%lld", (long long)gid);
}

__attribute__((noreturn))
static void exec_script(char *const *argv, bool quiet, bool own_pids)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (own_pids && mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		_exit(126);
	umask(022);
	if (quiet) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int fd = 0; null >= 0 && fd < 3; fd++)
			dup2(null, fd);
	}
	bv_cloexec_from(3);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

static int spawn(char *const *argv, bool quiet, bool own_pids, int *status, struct bv_error *err)
{
	pid_t pid = fork();
	if (pid < 0)
		return bv_fail_errno(err, "cannot fork to run %s", argv[0]);
	if (pid == 0)
		exec_script(argv, quiet, own_pids);
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for %s", argv[0]);
	return 0;
}

static int judge(const char *path, int status, struct bv_error *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		return bv_fail(err, EIO, "the template %s was ended by signal %d", path, WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return bv_fail(err, ENOENT, "the template %s, or the interpreter in its first line, cannot be run",
			       path);
	return bv_fail(err, EIO, "the template %s failed with exit code %d", path, WEXITSTATUS(status));
}

static int give_to_mapped_root(const struct bv_build *b, struct bv_error *err)
{
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	for (size_t i = 0; i < b->config->n_idmaps; i++) {
		const struct bv_idmap *m = &b->config->idmaps[i];
		if (m->ns_id != 0)
			continue;
		if (m->kind == 'u')
			uid = m->host_id;
		else
			gid = m->host_id;
	}
	if (geteuid() == 0 && fchown(b->rootfs, uid, gid) < 0)
		return bv_fail_errno(err, "cannot give %s to the instance's root", b->rootfs_path);
	return 0;
}

int bv_script_run(const char *path, const struct bv_build *build, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	if (build->config->n_idmaps > 0) {
		if (!bv_program_exists("lxc-usernsexec")) {
			bv_fail(err, ENOENT,
				"lxc.idmap is set, and lxc-usernsexec, which runs a template with it, is missing");
			return bv_hint(err, "install it, or use a recipe in place of the script %s", path);
		}
		int r = give_to_mapped_root(build, err);
		if (r < 0)
			return r;
	}
	if (script_argv(path, build, &argv) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	/* What it starts ends with it, and with us, whoever is killed. Without the right to do so it is as with LXC. */
	bool own_pids = unshare(CLONE_NEWPID) == 0;
	int status;
	int r = spawn(argv.v, build->quiet, own_pids, &status, err);
	return r < 0 ? r : judge(path, status, err);
}

int bv_script_help(const char *path, struct bv_error *err)
{
	char *const argv[] = { (char *)path, (char *)"-h", NULL };
	int status;
	int r = spawn(argv, false, false, &status, err);
	return r < 0 ? r : judge(path, status, err);
}
