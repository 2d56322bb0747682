/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

enum { OUTPUT_MAX = 65536 };

static const char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* What one script is told. */
struct script {
	const struct bv_config *cfg;
	const struct bv_net_link *link;
	const char *instance, *command; /* lxc.net.N.script.*: a command line, with arguments if it has any */
	bool up;
};

static const char *hook_type(const struct script *s)
{
	return s->up ? "up" : "down";
}

static const char *peer_of(const struct script *s)
{
	return s->link->type == BV_NET_VETH ? s->link->host_name : "";
}

static int env_setf(struct bv_strv *env, const char *key, const char *value)
{
	autofree char *entry = bv_asprintf("%s=%s", key, value ? value : "");

	return entry ? bv_env_put(env, entry) : -ENOMEM;
}

static int env_make(const struct script *s, struct bv_strv *env)
{
	const struct bv_config *c = s->cfg;
	char version[16];
	int rc = bv_strv_add(env, default_path);

	snprintf(version, sizeof(version), "%d", c->hook_version);
	rc |= bv_strv_add(env, "HOME=/root");
	rc |= bv_env_put_all(env, &c->environment);
	rc |= bv_env_put_all(env, &c->environment_hooks);
	rc |= env_setf(env, "LXC_NAME", s->instance);
	rc |= env_setf(env, "LXC_HOOK_VERSION", version);
	rc |= bv_env_put(env, "LXC_CGNS_AWARE=1");
	if (c->rootfs_path)
		rc |= env_setf(env, "LXC_ROOTFS_PATH", c->rootfs_path);
	if (c->rootfs_mount)
		rc |= env_setf(env, "LXC_ROOTFS_MOUNT", c->rootfs_mount);
	if (c->hook_version == 0)
		return rc;

	rc |= env_setf(env, "LXC_HOOK_TYPE", hook_type(s));
	rc |= bv_env_put(env, "LXC_HOOK_SECTION=net");
	rc |= env_setf(env, "LXC_NET_TYPE", bv_net_type_name(s->link->type));
	if (s->link->parent[0])
		rc |= env_setf(env, "LXC_NET_PARENT", s->link->parent);
	if (peer_of(s)[0])
		rc |= env_setf(env, "LXC_NET_PEER", peer_of(s));
	return rc;
}

/* The shell gets the words as "$@", so that no name is read as shell text; the value itself is meant to be. */
static int argv_make(const struct script *s, struct bv_strv *argv)
{
	int rc = bv_strv_add(argv, "/bin/sh");

	rc |= bv_strv_add(argv, "-c");
	rc |= bv_strv_addf(argv, "exec %s \"$@\"", s->command);
	rc |= bv_strv_add(argv, "sh");
	if (s->cfg->hook_version != 0)
		return rc;
	rc |= bv_strv_add(argv, s->instance);
	rc |= bv_strv_add(argv, "net");
	rc |= bv_strv_add(argv, hook_type(s));
	rc |= bv_strv_add(argv, bv_net_type_name(s->link->type));
	if (s->link->parent[0])
		rc |= bv_strv_add(argv, s->link->parent);
	if (peer_of(s)[0])
		rc |= bv_strv_add(argv, peer_of(s));
	return rc;
}

/* Start it with stdin empty, stdout in `out` (-1: nowhere), stderr ours, nothing else open, no signal blocked. */
static int script_spawn(struct bv_strv *argv, struct bv_strv *env, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attr);
	if (rc) {
		posix_spawn_file_actions_destroy(&files);
		return rc;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0 && out >= 0)
		rc = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (rc == 0 && out < 0)
		rc = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (rc == 0)
		rc = posix_spawn(pid, argv->v[0], &files, &attr, argv->v, env->v);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* A file and not a pipe: a script may leave a daemon behind that keeps its stdout open. */
static void log_output(int out)
{
	autofree char *text = malloc(OUTPUT_MAX + 1);
	ssize_t n = text ? pread(out, text, OUTPUT_MAX, 0) : 0;
	char *save = NULL;

	if (n <= 0)
		return;
	text[n] = '\0';
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		bv_debug("net", "script: %s", line);
}

static int script_wait(const struct script *s, pid_t pid, struct bv_error *err)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot learn how lxc.net.%u.script.%s ended", s->link->index,
					     hook_type(s));
	}
	if (WIFSIGNALED(status))
		return bv_fail(err, EIO, "lxc.net.%u.script.%s (%s) was ended by signal %d", s->link->index,
			       hook_type(s), s->command, WTERMSIG(status));
	if (WEXITSTATUS(status) == 0)
		return 0;
	bv_fail(err, EIO, "lxc.net.%u.script.%s (%s) failed with exit status %d", s->link->index, hook_type(s),
		s->command, WEXITSTATUS(status));
	if (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127)
		return bv_hint(err, "is it there and executable?");
	return -EIO;
}

static int script_run(const struct script *s, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 }, env = { 0 };
	autoclose int out = -1;
	pid_t pid;

	if (argv_make(s, &argv) || env_make(s, &env))
		return bv_fail(err, ENOMEM, "out of memory");
	if (bv_log_enabled(BV_LOG_DEBUG)) {
		out = memfd_create("script", MFD_CLOEXEC);
		if (out < 0)
			return bv_fail_errno(err, "cannot keep the output of a script");
	}
	int code = script_spawn(&argv, &env, out, &pid);
	if (code)
		return bv_fail(err, code, "cannot run lxc.net.%u.script.%s (%s): %s", s->link->index, hook_type(s),
			       s->command, strerror(code));
	int rc = script_wait(s, pid, err);
	if (out >= 0)
		log_output(out);
	return rc;
}

int bv_net_run_scripts(const struct bv_net *net, const struct bv_config *cfg, const char *instance, bool up,
		       struct bv_error *err)
{
	for (size_t i = 0; i < net->n; i++) {
		const struct bv_nic *nic = bv_config_nic(cfg, net->links[i].index);
		struct script s = { .cfg = cfg, .link = &net->links[i], .instance = instance, .up = up };
		struct bv_error failure = { 0 };

		if (nic)
			s.command = up ? nic->script_up : nic->script_down;
		if (!s.command || !*s.command)
			continue;
		int rc = script_run(&s, &failure);
		if (rc == 0)
			continue;
		if (up) {
			if (err)
				*err = failure;
			return rc;
		}
		bv_warn("net", "%s", failure.what);
	}
	return 0;
}
