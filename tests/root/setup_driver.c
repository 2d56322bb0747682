/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * setup_driver CONFIG [-u] [-s] PROGRAM [ARG]...: the parts of a container's start that build its file system, in new
 * namespaces and in the order of a start, then PROGRAM inside. -u: a user namespace with the config's id maps. -s: the
 * masters of the console and the ttys are copied to stderr. Exit status: PROGRAM's; 100 when a part failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "engine/container/setup.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"

enum { FAILED = 100 };

static void die(const struct bv_error *err)
{
	fprintf(stderr, "%s\n", err->what);
	if (*err->hint)
		fprintf(stderr, "hint: %s\n", err->hint);
	_exit(FAILED);
}

static void log_line(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	fprintf(stderr, "%s %s: %s\n", bv_log_level_name((int)level), module, message);
}

static void build(struct bv_setup *s)
{
	static int (*const parts[])(struct bv_setup *, struct bv_error *) = {
		bv_setup_rootfs,	bv_setup_dev,	    bv_setup_automounts,
		bv_setup_mount_entries, bv_setup_dev_nodes, bv_setup_ptys,
	};
	struct bv_error err = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i](s, &err) < 0)
			die(&err);
	if (s->has_rootfs && bv_setup_pivot(s, &err) < 0)
		die(&err);
}

/* What init would print arrives at the console's master. */
static void show_terminals(const struct bv_setup *s)
{
	char buf[256];
	fprintf(stderr, "container_ttys=%s\n", s->container_ttys);
	if (s->console < 0)
		return;
	if (write(s->console_slave, "to the console", 14) != 14)
		perror("console");
	ssize_t n = read(s->console, buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = '\0';
	fprintf(stderr, "console says: %s\n", buf);
}

/* The first process: `go` closes when the id maps are written. */
static void child(struct bv_setup *s, int go, bool user, bool terminals, char **argv)
{
	char c;
	umask(022);
	if (s->run->cgroup && bv_cgroup_enter_self(s->run->cgroup, bv_cgroup_clone_fd(s->run->cgroup) >= 0) < 0)
		_exit(FAILED);
	if (read(go, &c, 1) < 0 || (user && (setgid(0) < 0 || setuid(0) < 0)))
		_exit(FAILED);
	bool keep_cgroup = s->config->ns_keep_set && (s->config->ns_keep & (1U << BV_NS_CGROUP));
	if (s->run->cgroup && !keep_cgroup && unshare(CLONE_NEWCGROUP) < 0)
		_exit(FAILED);
	build(s);
	if (terminals)
		show_terminals(s);
	/* The masters stay open as long as PROGRAM runs, as in a monitor. */
	pid_t pid = fork();
	if (pid == 0) {
		execv(argv[0], argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
		_exit(FAILED);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(FAILED);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : FAILED);
}

static void open_cgroup(struct bv_run *run)
{
	const struct bv_cgroup_spec spec = { .config = run->config, .name = run->name };
	struct bv_error err = { 0 };
	if (run->config->mount_auto.cgroup != BV_AUTO_NONE && bv_cgroup_create(&run->cgroup, &spec, &err) < 0)
		die(&err);
}

static void close_cgroup(struct bv_run *run)
{
	struct bv_error err = { 0 };
	if (run->cgroup && bv_cgroup_remove_payload(run->cgroup, &err) < 0)
		die(&err);
	bv_cgroup_free(run->cgroup);
}

static pid_t new_process(const struct bv_run *run, bool user)
{
	int cgroup = run->cgroup ? bv_cgroup_clone_fd(run->cgroup) : -1;
	struct clone_args args = {
		.cgroup = cgroup < 0 ? 0 : (unsigned int)cgroup,
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
			 (user ? CLONE_NEWUSER : 0) | (cgroup < 0 ? 0 : CLONE_INTO_CGROUP),
		.exit_signal = SIGCHLD,
	};
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

int main(int argc, char **argv)
{
	struct bv_error err = { 0 };
	bool user = false, terminals = false;
	int i = 2;
	for (; i < argc && argv[i][0] == '-'; i++) {
		user |= argv[i][1] == 'u';
		terminals |= argv[i][1] == 's';
	}
	if (i >= argc)
		return 2;

	bv_log_set_sink(log_line, NULL, BV_LOG_INFO);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	struct bv_run run = { .name = "setup-driver", .lxcpath = "/nonexistent", .config = cfg };
	struct bv_setup s = { .run = &run, .config = cfg, .userns_fd = -1, .root = -1, .host_proc = -1 };
	memset(run.share_ns, -1, sizeof(run.share_ns));
	if (!cfg || bv_config_load(cfg, AT_FDCWD, argv[1], &err) < 0 || bv_caps_resolve(cfg, &s.caps_keep, &err) < 0)
		die(&err);
	s.has_rootfs = cfg->rootfs_path != NULL;
	open_cgroup(&run);

	int *mapped = NULL;
	if (user) {
		autoclose int userns = bv_idmap_userns_fd(cfg, &err);
		int n = userns < 0 ? userns : bv_setup_mapped_entries(cfg, -1, &mapped, &err);
		s.root = n < 0 ? n : bv_setup_mapped_rootfs(cfg, userns, &err);
		if (s.root < 0 && s.root != -ENOENT)
			die(&err);
		s.mapped_entries = mapped;
		s.n_mapped_entries = (size_t)n;
	}
	int go[2];
	if (pipe2(go, O_CLOEXEC) < 0)
		return 2;
	pid_t pid = new_process(&run, user);
	if (pid == 0) {
		close(go[1]);
		child(&s, go[0], user, terminals, argv + i);
	}
	if (pid > 0 && user && bv_idmap_write(cfg, pid, &err) < 0)
		die(&err);
	close(go[1]);
	int status;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 2;
	close_cgroup(&run);
	free(mapped);
	return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}
