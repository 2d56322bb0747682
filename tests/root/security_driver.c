/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For security.sh.
 *   security_driver hold CONFIG ROOTFS      an instance that sleeps: its pid on stdout; id maps of CONFIG are used.
 *   security_driver attach CONFIG PID [OPTION]... [-- COMMAND [ARG]...]   bv_container_attach; its exit status.
 *       ns=A,B  elevated=N  clear  keep=NAME  set=K=V  uid=N  gid=N  pty=BITS  sysproc  twice  cgroup=FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup/cgroup.h"
#include "engine/container/attach.h"
#include "engine/process.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/num.h"
#include "util/str.h"

enum { FAILED = 100 };

static void die(const struct bv_error *err)
{
	fprintf(stderr, "%s\n", err->what);
	if (*err->hint)
		fprintf(stderr, "hint: %s\n", err->hint);
	exit(FAILED);
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(FAILED);
}

/* ---- hold ---- */

static void bind(const char *from, const char *to)
{
	int fd = open(to, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
	must(fd >= 0, to);
	close(fd);
	must(mount(from, to, NULL, MS_BIND, NULL) == 0, to);
}

static void build_rootfs(const char *rootfs)
{
	must(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0, "make / private");
	must(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) == 0, "bind the rootfs");
	must(chdir(rootfs) == 0, rootfs);
	must(mount("proc", "proc", "proc", 0, NULL) == 0, "proc");
	must(mount("tmpfs", "dev", "tmpfs", 0, "mode=755,size=64k") == 0, "dev");
	must(mkdir("dev/pts", 0755) == 0, "dev/pts");
	if (access("no-devpts", F_OK) < 0)
		must(mount("devpts", "dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620") == 0, "devpts");
	bind("/dev/null", "dev/null");
	bind("/dev/tty", "dev/tty");
	must(bv_pivot_root(".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot_root");
}

static int hold(const struct bv_config *cfg, const char *rootfs)
{
	int sync[2];
	char byte = 0;
	must(pipe2(sync, O_CLOEXEC) == 0, "pipe");
	unsigned long long flags =
		CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP;
	struct clone_args args = { .flags = flags | (cfg->n_idmaps > 0 ? CLONE_NEWUSER : 0), .exit_signal = SIGCHLD };
	pid_t pid = bv_clone3(&args, sizeof(args));
	must(pid >= 0, "clone3");
	if (pid == 0) {
		struct bv_error err = { 0 };
		close(sync[1]);
		must(read(sync[0], &byte, 1) == 1, "wait for the id map");
		if (bv_process_set_ids(0, 0, NULL, 0, &err) < 0)
			die(&err);
		build_rootfs(rootfs);
		must(sethostname("inside", strlen("inside")) == 0, "hostname");
		setsid();
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		must(null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2, "/dev/null");
		char *argv[] = { (char *)"sleep", (char *)"1000", NULL };
		execv("/bin/sleep", argv);
		_exit(FAILED);
	}
	struct bv_error err = { 0 };
	if (cfg->n_idmaps > 0 && bv_idmap_write(cfg, pid, &err) < 0)
		die(&err);
	must(write(sync[1], &byte, 1) == 1, "go on");
	printf("%d\n", (int)pid);
	fflush(stdout);
	return 0;
}

/* ---- attach ---- */

/* Everything that comes out of the pty, and nothing into it. */
static int relay(void *data, int master, int pidfd)
{
	(void)data;
	for (;;) {
		struct pollfd p[] = { { .fd = master, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
		char buf[4096];
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			return -errno;
		ssize_t n = p[0].revents ? read(master, buf, sizeof(buf)) : 0;
		if (n > 0 && bv_write_all(STDOUT_FILENO, buf, (size_t)n) < 0)
			return -EIO;
		if (n <= 0 && p[1].revents)
			return 0;
		if (n < 0)
			poll(p + 1, 1, -1);
	}
}

static unsigned int parse_namespaces(const char *text)
{
	unsigned int mask = 0;
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	must(bv_strv_split(&words, text, ",") == 0, text);
	for (size_t i = 0; i < words.n; i++) {
		int ns = bv_ns_parse(words.v[i]);
		must(ns >= 0, words.v[i]);
		mask |= 1U << ns;
	}
	return mask;
}

struct options {
	struct bv_engine_attach how;
	struct bv_strv keep, set;
	int times;
	const char *cgroup_file;
};

static void parse_option(struct options *o, const char *word)
{
	const char *value = strchr(word, '=') ? strchr(word, '=') + 1 : "";
	int64_t number = strtoll(value, NULL, 0);
	if (bv_after(word, "ns="))
		o->how.namespaces = parse_namespaces(value);
	else if (bv_after(word, "elevated="))
		o->how.elevated = (unsigned int)number;
	else if (bv_streq(word, "clear"))
		o->how.clear_env = true;
	else if (bv_after(word, "keep="))
		bv_strv_add(&o->keep, value);
	else if (bv_after(word, "set="))
		bv_strv_add(&o->set, value);
	else if (bv_after(word, "uid="))
		o->how.uid = number;
	else if (bv_after(word, "gid="))
		o->how.gid = number;
	else if (bv_after(word, "pty="))
		o->how.pty_fds = (unsigned int)number;
	else if (bv_streq(word, "sysproc"))
		o->how.remount_sys_proc = true;
	else if (bv_streq(word, "twice"))
		o->times = 2;
	else if (bv_after(word, "cgroup="))
		o->cgroup_file = value;
	else
		must(0, word);
}

static int attach(const struct bv_config *cfg, pid_t pid, char **words)
{
	struct bv_error err = { 0 };
	struct options o = {
		.how = { .personality = ULONG_MAX, .uid = -1, .gid = -1, .fds = { 0, 1, 2 }, .relay = relay },
		.times = 1
	};
	for (; *words && !bv_streq(*words, "--"); words++)
		parse_option(&o, *words);
	if (*words)
		o.how.command = words + 1;
	o.how.keep_vars = o.keep.v;
	o.how.set_vars = o.set.v;

	struct bv_run run = { .name = "test", .config = cfg, .pid = pid, .pidfd = bv_pidfd_open(pid, 0) };
	must(run.pidfd >= 0, "pidfd_open");
	if (o.cgroup_file) {
		autofree char *text = NULL;
		must(bv_read_file(AT_FDCWD, o.cgroup_file, 0, &text, NULL) == 0, o.cgroup_file);
		if (bv_cgroup_open(&run.cgroup, text, &err) < 0)
			die(&err);
	}
	int status = 0, r = 0;
	for (int i = 0; r == 0 && i < o.times; i++)
		r = bv_container_attach(&run, &o.how, &status, &err);
	if (r < 0) {
		fprintf(stderr, "%s\n", err.what);
		if (*err.hint)
			fprintf(stderr, "hint: %s\n", err.hint);
	}
	bv_strv_clear(&o.keep);
	bv_strv_clear(&o.set);
	bv_cgroup_free(run.cgroup);
	close(run.pidfd);
	/* What the caller has to have back: its own pid namespace for children, and being dumpable. */
	must(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1, "dumpable");
	return status;
}

int main(int argc, char **argv)
{
	struct bv_error err = { 0 };
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	if (argc < 4 || !cfg)
		return FAILED;
	if (bv_config_load(cfg, AT_FDCWD, argv[2], &err) < 0)
		die(&err);
	if (bv_streq(argv[1], "hold"))
		return hold(cfg, argv[3]);
	return attach(cfg, (pid_t)atoi(argv[3]), argv + 4);
}
