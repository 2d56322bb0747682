/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/hook.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/environ.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

static struct bv_buf logged;

static void remember(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	(void)level;
	bv_buf_printf(&logged, "%s|%s\n", module, message);
}

/* Run one hook; what was logged is in `logged`. */
static int run(struct bv_config *cfg, enum bv_hook kind, const char *value, const struct bv_hook_env *env,
	       struct bv_error *err)
{
	bv_buf_clear(&logged);
	bv_error_clear(err);
	bv_strv_clear(&cfg->hooks[kind]);
	bv_strv_add(&cfg->hooks[kind], value);
	bv_log_set_sink(remember, NULL, BV_LOG_DEBUG);
	int r = bv_hooks_run(cfg, kind, env, err);
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	bv_strv_clear(&cfg->hooks[kind]);
	return r;
}

/* The hook's stdout as it was logged. */
static bool says(const char *text)
{
	bool found = logged.p && strstr(logged.p, text);
	if (!found)
		printf("# no \"%s\" in:\n# %s\n", text, logged.p ? logged.p : "");
	return found;
}

TEST(none_is_fine)
{
	struct bv_config cfg = { .log_level = -1 };
	struct bv_hook_env env = { .name = "c1" };
	CHECK_INT(bv_hooks_run(&cfg, BV_HOOK_STOP, &env, NULL), 0);
}

TEST(arguments_of_version_0)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = -1 };
	struct bv_strv extra = { 0 };
	bv_strv_add(&extra, "mnt:/proc/1/fd/5");
	bv_strv_add(&extra, "it's");
	struct bv_hook_env env = { .name = "c1", .extra_args = &extra };
	CHECK_INT(run(&cfg, BV_HOOK_STOP, "printf '<%s>\\n' own", &env, &err), 0);
	CHECK(says("hook|stop: <own>\nhook|stop: <c1>\nhook|stop: <lxc>\nhook|stop: <stop>\n"
		   "hook|stop: <mnt:/proc/1/fd/5>\nhook|stop: <it's>\n"));
	bv_strv_clear(&extra);
}

TEST(environment)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = BV_LOG_DEBUG, .hook_version = 1 };
	bv_strv_add(&cfg.environment, "A=one");
	bv_strv_add(&cfg.environment, "LXC_NAME=forged");
	bv_strv_add(&cfg.environment_hooks, "A=two words");
	struct bv_strv extra = { 0 };
	bv_strv_add(&extra, "LXC_MNT_NS=/proc/1/fd/5");
	struct bv_hook_env env = { .name = "c1",
				   .config_file = "/x/config",
				   .rootfs_path = "dir:/x/rootfs",
				   .rootfs_mount = "/mnt",
				   .console_path = "/dev/pts/3",
				   .console_log = "/log",
				   .target = "reboot",
				   .source = "c0",
				   .pid = 4711,
				   .extra_args = &extra };
	setenv("BV_TEST_LEAK", "secret", 1);
	CHECK_INT(run(&cfg, BV_HOOK_PRE_START, "sh -c 'env | sort; echo \"$#\"'", &env, &err), 0);
	static const char *const want[] = {
		"A=two words",
		"LXC_NAME=c1",
		"LXC_CONFIG_FILE=/x/config",
		"LXC_ROOTFS_PATH=dir:/x/rootfs",
		"LXC_ROOTFS_MOUNT=/mnt",
		"LXC_CONSOLE=/dev/pts/3",
		"LXC_CONSOLE_LOGPATH=/log",
		"LXC_CGNS_AWARE=1",
		"LXC_LOG_LEVEL=DEBUG",
		"LXC_HOOK_VERSION=1",
		"LXC_HOOK_TYPE=pre-start",
		"LXC_HOOK_SECTION=lxc",
		"LXC_TARGET=reboot",
		"LXC_SRC_NAME=c0",
		"LXC_PID=4711",
		"LXC_MNT_NS=/proc/1/fd/5",
		"PATH=",
		"0",
	};
	for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
		autofree char *line = bv_asprintf("pre-start: %s", want[i]);
		CHECK(says(line));
	}
	CHECK(!strstr(logged.p, "BV_TEST_LEAK"));
	CHECK(!strstr(logged.p, "forged"));
	CHECK(!strstr(logged.p, "A=one"));

	/* Nothing that was not said is invented. */
	struct bv_hook_env bare = { .name = "c1" };
	cfg.hook_version = 0;
	CHECK_INT(run(&cfg, BV_HOOK_PRE_START, "sh -c 'env'", &bare, &err), 0);
	CHECK(!strstr(logged.p, "LXC_PID") && !strstr(logged.p, "LXC_TARGET") && !strstr(logged.p, "LXC_HOOK_TYPE"));
	bv_strv_clear(&cfg.environment);
	bv_strv_clear(&cfg.environment_hooks);
	bv_strv_clear(&extra);
}

TEST(failures_name_the_hook)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = -1 };
	struct bv_hook_env env = { .name = "c1" };
	CHECK(run(&cfg, BV_HOOK_MOUNT, "sh -c 'exit 3'", &env, &err) < 0);
	CHECK_STR(err.what, "the mount hook \"sh -c 'exit 3'\" failed with exit status 3");
	CHECK(run(&cfg, BV_HOOK_MOUNT, "sh -c 'kill -9 $$'", &env, &err) < 0);
	CHECK(strstr(err.what, "killed by signal 9"));
	CHECK(run(&cfg, BV_HOOK_MOUNT, "/nowhere/hook 2>/dev/null", &env, &err) < 0);
	CHECK(strstr(err.what, "status 127"));

	/* The first failure ends it. */
	bv_error_clear(&err);
	bv_strv_add(&cfg.hooks[BV_HOOK_MOUNT], "true");
	bv_strv_add(&cfg.hooks[BV_HOOK_MOUNT], "false");
	bv_strv_add(&cfg.hooks[BV_HOOK_MOUNT], "touch /tmp/bv-hook-must-not-run");
	CHECK(bv_hooks_run(&cfg, BV_HOOK_MOUNT, &env, &err) < 0);
	CHECK(strstr(err.what, "\"false\""));
	CHECK(access("/tmp/bv-hook-must-not-run", F_OK) < 0);
	bv_strv_clear(&cfg.hooks[BV_HOOK_MOUNT]);
}

/* Fds, signals, process group, stdin: what a hook inherits. */
TEST(what_a_hook_inherits)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = -1 };
	struct bv_hook_env env = { .name = "c1" };
	int leak = open("/dev/null", O_RDONLY);
	int high = fcntl(leak, F_DUPFD, 77);
	sigset_t all, old;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	signal(SIGPIPE, SIG_IGN);
	/* Version 1, so that the arguments are the test's alone; no shell stands between, which would block signals. */
	cfg.hook_version = 1;
	CHECK_INT(run(&cfg, BV_HOOK_START, "grep '^Sig[BI].*:' /proc/self/status", &env, &err), 0);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK(says("SigBlk:\t0000000000000000"));
	/* Under make the C library's own two signals come ignored, and it lets nobody change that. */
	CHECK(says("SigIgn:\t0000000000000000") || says("SigIgn:\t0000000180000000"));
	CHECK_INT(run(&cfg, BV_HOOK_START,
		      "sh -c 'for f in /proc/$$/fd/*; do test -e $f && echo fd ${f##*/}; done; cat; echo end'", &env,
		      &err),
		  0);
	CHECK(says("start: fd 0\nhook|start: fd 1\nhook|start: fd 2\nhook|start: end\n"));
	close(leak);
	close(high);

	autofree char *group = bv_asprintf("sh -c 'test $(cut -d\" \" -f5 /proc/$$/stat) != %d'", (int)getpgrp());
	CHECK_INT(run(&cfg, BV_HOOK_START, group, &env, &err), 0);
}

TEST(closed_standard_fds)
{
	struct bv_config cfg = { .log_level = -1 };
	bv_strv_add(&cfg.hooks[BV_HOOK_START], "sh -c 'cat; echo x'");
	struct bv_hook_env env = { .name = "c1" };
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		close(0);
		close(1);
		_exit(bv_hooks_run(&cfg, BV_HOOK_START, &env, NULL) < 0);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	bv_strv_clear(&cfg.hooks[BV_HOOK_START]);
}

TEST(output_is_logged_by_lines)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = -1 };
	struct bv_hook_env env = { .name = "c1" };
	CHECK_INT(run(&cfg, BV_HOOK_START,
		      "sh -c 'echo one; printf \"two\\nthr\"; printf \"ee\"; printf \"\\n\\n\\033[1mx\"'", &env, &err),
		  0);
	CHECK(says("start: one\nhook|start: two\nhook|start: three\n"));
	CHECK(says("start: ?[1mx\n"));

	/* More than a pipe holds, and a line that is longer than the buffer. */
	CHECK_INT(run(&cfg, BV_HOOK_START, "sh -c 'seq 1 30000; printf %03000d 7'", &env, &err), 0);
	CHECK(says("start: 30000\n"));
	CHECK(says("0007\n"));
}

TEST(a_daemon_of_a_hook_is_not_waited_for)
{
	struct bv_error err;
	struct bv_config cfg = { .log_level = -1 };
	struct bv_hook_env env = { .name = "c1" };
	char path[] = "/tmp/bv-hook-XXXXXX";
	close(mkstemp(path));
	autofree char *value = bv_asprintf("sh -c 'sleep 60 & echo $! >%s; echo done'", path);
	time_t before = time(NULL);
	CHECK_INT(run(&cfg, BV_HOOK_START, value, &env, &err), 0);
	CHECK(time(NULL) - before < 30);
	CHECK(says("start: done\n"));
	char text[32] = "";
	CHECK(bv_read_small(AT_FDCWD, path, text, sizeof(text)) > 0);
	if (atoi(text) > 1)
		kill(atoi(text), SIGKILL);
	unlink(path);
}

TEST(env_lists)
{
	struct bv_strv env = { 0 };
	CHECK_INT(bv_env_put(&env, "A=1"), 0);
	CHECK_INT(bv_env_put(&env, "AB=2"), 0);
	CHECK_INT(bv_env_put(&env, "A=3=4"), 0);
	CHECK_INT(bv_env_put(&env, "nothing"), 0);
	CHECK_INT(bv_env_put(&env, "=x"), 0);
	CHECK_INT(env.n, 2);
	CHECK_STR(bv_process_env_get(env.v, "A"), "3=4");
	CHECK_STR(bv_process_env_get(env.v, "AB"), "2");
	CHECK(!bv_process_env_get(env.v, "B"));
	bv_strv_clear(&env);

	struct bv_config cfg = { .log_level = -1 };
	bv_strv_add(&cfg.environment, "PATH=/only");
	bv_strv_add(&cfg.environment_runtime, "R=run");
	char *keep[] = { (char *)"BV_KEEP", (char *)"BV_NOT_SET", NULL };
	char *set[] = { (char *)"S=set", (char *)"R=changed", NULL };
	setenv("BV_KEEP", "kept", 1);
	setenv("BV_DROP", "dropped", 1);
	CHECK_INT(bv_process_environ_attach(&cfg, true, keep, set, &env, NULL), 0);
	CHECK_INT(env.n, 5);
	CHECK_STR(bv_process_env_get(env.v, "BV_KEEP"), "kept");
	CHECK_STR(bv_process_env_get(env.v, "PATH"), "/only");
	CHECK_STR(bv_process_env_get(env.v, "R"), "changed");
	CHECK_STR(bv_process_env_get(env.v, "S"), "set");
	CHECK_STR(bv_process_env_get(env.v, "container"), "lxc");
	bv_strv_clear(&env);
	CHECK_INT(bv_process_environ_attach(&cfg, false, NULL, NULL, &env, NULL), 0);
	CHECK_STR(bv_process_env_get(env.v, "BV_DROP"), "dropped");
	CHECK_STR(bv_process_env_get(env.v, "container"), "lxc");
	bv_strv_clear(&env);
	bv_strv_clear(&cfg.environment);
	CHECK_INT(bv_process_environ_attach(&cfg, true, NULL, NULL, &env, NULL), 0);
	CHECK_STR(bv_process_env_get(env.v, "PATH"), BV_PROCESS_PATH);
	bv_strv_clear(&env);
	CHECK_INT(bv_process_environ(&cfg, NULL, &env, NULL), 0);
	CHECK_INT(env.n, 2);
	bv_strv_clear(&env);
	bv_strv_clear(&cfg.environment_runtime);
}

TEST_MAIN()
