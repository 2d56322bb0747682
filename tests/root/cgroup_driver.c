/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* For tests/root/cgroup.sh: the calls of cgroup/cgroup.h as commands. */
#include "cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

static int report(const struct bv_error *err)
{
	fprintf(stderr, "%s\n%s\n", err->what, err->hint);
	return 1;
}

static void add_pair(struct bv_pair_list *list, char *name, char *value)
{
	list->v = realloc(list->v, (list->n + 1) * sizeof(*list->v));
	if (!list->v)
		abort();
	list->v[list->n++] = (struct bv_pair){ name, value };
}

/* "lxc.cgroup2.memory.max=64M", "lxc.cgroup.dir=x", "with_monitor=1", .. */
static void apply(struct bv_config *cfg, struct bv_cgroup_spec *spec, char *word)
{
	char *value = strchr(word, '=');
	if (!value)
		exit(2);
	*value++ = '\0';
	static struct bv_idmap maps[2];
	if (bv_streq(word, "with_monitor"))
		spec->with_monitor = true;
	else if (bv_streq(word, "without_devices"))
		spec->without_devices = true;
	else if (bv_streq(word, "pattern"))
		spec->pattern = value;
	else if (bv_streq(word, "idmap")) {
		maps[0] = (struct bv_idmap){ 'u', 0, (uint32_t)atoi(value), 1000 };
		maps[1] = (struct bv_idmap){ 'g', 0, (uint32_t)atoi(value), 1000 };
		cfg->idmaps = maps;
		cfg->n_idmaps = 2;
	} else if (bv_streq(word, "lxc.cgroup.relative"))
		cfg->cgroup_relative = true;
	else if (bv_streq(word, "lxc.cgroup.dir"))
		cfg->cgroup_dir = value;
	else if (bv_streq(word, "lxc.cgroup.dir.container"))
		cfg->cgroup_dir_container = value;
	else if (bv_streq(word, "lxc.cgroup.dir.monitor"))
		cfg->cgroup_dir_monitor = value;
	else if (bv_streq(word, "lxc.cgroup.dir.container.inner"))
		cfg->cgroup_dir_inner = value;
	else if (bv_after(word, "lxc.cgroup."))
		add_pair(&cfg->cgroup1, word + strlen("lxc.cgroup."), value);
	else if (bv_after(word, "lxc.cgroup2."))
		add_pair(&cfg->cgroup2, word + strlen("lxc.cgroup2."), value);
	else
		exit(2);
}

/* Run `command` inside, from clone3 to exec as an engine does; its pid. */
static pid_t spawn(struct bv_cgroup *cg, char **command)
{
	int fd = bv_cgroup_clone_fd(cg);
	struct clone_args args = { .exit_signal = SIGCHLD, .flags = CLONE_INTO_CGROUP, .cgroup = (uint64_t)fd };
	pid_t pid = fd >= 0 ? bv_clone3(&args, sizeof(args)) : fork();
	if (pid)
		return pid;
	int r = bv_cgroup_enter_self(cg, fd >= 0);
	if (r < 0) {
		fprintf(stderr, "enter: %s\n", strerror(-r));
		_exit(1);
	}
	execvp(command[0], command);
	_exit(127);
}

/* create NAME KEY=VALUE.. [-- COMMAND..]: prints the description; with a command runs it inside and waits. */
static int do_create(int argc, char **argv)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = calloc(1, sizeof(*cfg));
	struct bv_cgroup_spec spec = { .config = cfg, .name = argv[0] };
	int i = 1;
	for (; i < argc && !bv_streq(argv[i], "--"); i++)
		apply(cfg, &spec, argv[i]);
	struct bv_cgroup *cg;
	if (bv_cgroup_create(&cg, &spec, &err) < 0)
		return report(&err);
	int status = 0;
	if (i < argc) {
		pid_t pid = spawn(cg, argv + i + 1);
		bv_cgroup_seal(cg);
		waitpid(pid, &status, 0);
		if (bv_cgroup_remove_payload(cg, &err) < 0 || bv_cgroup_remove_monitor(cg, &err) < 0)
			return report(&err);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	char *text = bv_cgroup_describe(cg);
	fputs(text, stdout);
	free(text);
	bv_cgroup_free(cg);
	return 0;
}

/* renew NAME KEY=VALUE..: make, put a process in, make anew, run `true` in it, remove. */
static int do_renew(int argc, char **argv)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = calloc(1, sizeof(*cfg));
	struct bv_cgroup_spec spec = { .config = cfg, .name = argv[0] };
	for (int i = 1; i < argc; i++)
		apply(cfg, &spec, argv[i]);
	struct bv_cgroup *cg;
	if (bv_cgroup_create(&cg, &spec, &err) < 0)
		return report(&err);
	char *sleeper[] = { "sleep", "1000", NULL }, *yes[] = { "true", NULL };
	int status;
	pid_t pid = spawn(cg, sleeper);
	bv_cgroup_seal(cg);
	if (bv_cgroup_renew(cg, cfg, false, &err) < 0)
		return report(&err);
	waitpid(pid, &status, 0);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return 3;
	pid = spawn(cg, yes);
	waitpid(pid, &status, 0);
	if (bv_cgroup_remove_payload(cg, &err) < 0 || bv_cgroup_remove_monitor(cg, &err) < 0)
		return report(&err);
	return status != 0;
}

/* monitor NAME: enter the monitor's cgroups, print our place, leave, remove. */
static int do_monitor(char **argv)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = calloc(1, sizeof(*cfg));
	struct bv_cgroup_spec spec = { .config = cfg, .name = argv[0], .with_monitor = true };
	struct bv_cgroup *cg;
	if (bv_cgroup_create(&cg, &spec, &err) < 0)
		return report(&err);
	int r = bv_cgroup_enter_self_monitor(cg, false);
	char *text;
	if (r == 0 && bv_read_file(AT_FDCWD, "/proc/self/cgroup", 0, &text, NULL) == 0) {
		fputs(text, stdout);
		free(text);
	}
	bv_cgroup_seal(cg);
	if (r == 0)
		r = bv_cgroup_leave_monitor(cg);
	if (r < 0)
		fprintf(stderr, "monitor: %s\n", strerror(-r));
	if (bv_cgroup_remove_payload(cg, &err) < 0 || bv_cgroup_remove_monitor(cg, &err) < 0)
		return report(&err);
	return r < 0;
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A child's way into the cgroups after a pause: by tasks, or (`pid`) by our writing its pid to cgroup.procs. */
static double measure(struct bv_cgroup *cg, bool by_pid)
{
	int ready[2], done[2];
	if (pipe(ready) < 0 || pipe(done) < 0)
		exit(2);
	struct timespec pause = { .tv_nsec = 300000000 };
	nanosleep(&pause, NULL);
	double begin = now_ms();
	int fd = bv_cgroup_clone_fd(cg);
	struct clone_args args = { .exit_signal = SIGCHLD,
				   .flags = by_pid ? 0 : CLONE_INTO_CGROUP,
				   .cgroup = by_pid ? 0 : (uint64_t)fd };
	pid_t pid = bv_clone3(&args, sizeof(args));
	if (pid == 0) {
		char c = 0;
		if (by_pid)
			c = read(ready[0], &c, 1) == 1 ? 0 : 1;
		else
			c = bv_cgroup_enter_self(cg, true) == 0 ? 0 : 1;
		_exit(write(done[1], &c, 1) == 1 ? c : 1);
	}
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_cgroup_hierarchies(cg, &h);
	char text[32];
	snprintf(text, sizeof(text), "%d", (int)pid);
	for (size_t i = 0; by_pid && i < n; i++) {
		autofree char *path = bv_asprintf("%s/%s/cgroup.procs", h[i].mountpoint, h[i].payload);
		if (bv_write_small(AT_FDCWD, path, text) < 0)
			exit(2);
	}
	if (by_pid && write(ready[1], "", 1) != 1)
		exit(2);
	char c = 1;
	if (read(done[0], &c, 1) != 1 || c)
		exit(3);
	double took = now_ms() - begin;
	waitpid(pid, NULL, 0);
	return took;
}

static int do_time(char **argv)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = calloc(1, sizeof(*cfg));
	struct bv_cgroup_spec spec = { .config = cfg, .name = argv[0] };
	struct bv_cgroup *cg;
	double begin = now_ms();
	if (bv_cgroup_create(&cg, &spec, &err) < 0)
		return report(&err);
	double made = now_ms() - begin;
	double own = measure(cg, false), other = measure(cg, true);
	begin = now_ms();
	if (bv_cgroup_remove_payload(cg, &err) < 0)
		return report(&err);
	printf("create %.2f ms, enter by tasks %.2f ms, by a pid to cgroup.procs %.2f ms, remove %.2f ms\n", made, own,
	       other, now_ms() - begin);
	bv_cgroup_free(cg);
	return 0;
}

static int print_stats(struct bv_cgroup *cg)
{
	struct bv_cgroup_stats s;
	if (bv_cgroup_stats(cg, BV_STATS_ALL, &s) < 0)
		return 1;
	const struct {
		const char *name;
		uint64_t v;
	} all[] = { { "cpu", s.cpu_ns },
		    { "user", s.cpu_user_ns },
		    { "system", s.cpu_system_ns },
		    { "memory", s.memory },
		    { "memory_limit", s.memory_limit },
		    { "swap", s.swap },
		    { "kernel", s.kernel_memory },
		    { "read", s.blkio_read },
		    { "write", s.blkio_write },
		    { "total", s.blkio_total },
		    { "ops", s.blkio_ops },
		    { "pids", s.pids },
		    { "pids_limit", s.pids_limit } };
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (all[i].v == UINT64_MAX)
			printf("%s=-\n", all[i].name);
		else
			printf("%s=%llu\n", all[i].name, (unsigned long long)all[i].v);
	}
	return 0;
}

static int on_open(struct bv_cgroup *cg, const char *verb, int argc, char **argv, struct bv_error *err)
{
	int r = 0;
	if (bv_streq(verb, "spawn") && argc > 0) {
		r = bv_cgroup_prepare_enter(cg, err);
		pid_t pid = r < 0 ? r : spawn(cg, argv);
		if (pid > 0)
			printf("%d\n", (int)pid);
		return r < 0 ? r : pid < 0 ? bv_fail(err, pid, "clone: %s", strerror(-pid)) : 0;
	}
	if (bv_streq(verb, "freeze") || bv_streq(verb, "thaw"))
		return bv_cgroup_freeze(cg, bv_streq(verb, "freeze"), 2000, err);
	if (bv_streq(verb, "frozen"))
		return printf("%d\n", bv_cgroup_is_frozen(cg)) < 0;
	if (bv_streq(verb, "kill"))
		return bv_cgroup_kill(cg, 5000, err);
	if (bv_streq(verb, "remove"))
		return (r = bv_cgroup_remove_payload(cg, err)) < 0 ? r : bv_cgroup_remove_monitor(cg, err);
	if (bv_streq(verb, "stats"))
		return print_stats(cg);
	if (bv_streq(verb, "set") && argc == 2)
		return bv_cgroup_set(cg, argv[0], argv[1], err);
	if (bv_streq(verb, "get") && argc == 1) {
		autofree char *text = NULL;
		r = bv_cgroup_get(cg, argv[0], &text, err);
		if (text)
			fputs(text, stdout);
		return r;
	}
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_streq(verb, "hierarchies") ? bv_cgroup_hierarchies(cg, &h) : 0;
	for (size_t i = 0; i < n; i++)
		printf("%s %s %s %s %d\n", h[i].name, h[i].mountpoint, h[i].controllers,
		       h[i].payload ? h[i].payload : "-", h[i].v2);
	return n > 0 ? 0 : bv_fail(err, EINVAL, "no such command: %s", verb);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (bv_streq(argv[1], "create"))
		return do_create(argc - 2, argv + 2);
	if (bv_streq(argv[1], "renew"))
		return do_renew(argc - 2, argv + 2);
	if (bv_streq(argv[1], "monitor"))
		return do_monitor(argv + 2);
	if (bv_streq(argv[1], "time"))
		return do_time(argv + 2);

	/* VERB DESCRIPTION-FILE ARGUMENT.. */
	struct bv_error err = { 0 };
	autofree char *text = NULL;
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	if (bv_read_file(AT_FDCWD, argv[2], 0, &text, NULL) < 0)
		return 2;
	if (bv_cgroup_open(&cg, text, &err) < 0 || on_open(cg, argv[1], argc - 3, argv + 3, &err) < 0)
		return report(&err);
	return 0;
}
