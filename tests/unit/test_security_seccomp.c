/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "security/seccomp_policy.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

static int parse(struct bv_seccomp_policy *p, const char *text, struct bv_error *err)
{
	*p = (struct bv_seccomp_policy){ 0 };
	bv_error_clear(err);
	return bv_seccomp_policy_parse(p, text, strlen(text), "test", err);
}

/* The text must be refused with a message that begins with "test:LINE: " and contains `what`. */
static void refused(const char *text, unsigned int line, const char *what)
{
	struct bv_error err;
	struct bv_seccomp_policy p;
	char prefix[32];
	CHECK_INT(parse(&p, text, &err), -EINVAL);
	snprintf(prefix, sizeof(prefix), "test:%u: ", line);
	bool good = strncmp(err.what, prefix, strlen(prefix)) == 0 && strstr(err.what, what);
	if (!good)
		printf("# said \"%s\"\n", err.what);
	CHECK(good);
	bv_seccomp_policy_clear(&p);
}

TEST(policy_grammar)
{
	struct bv_error err;
	struct bv_seccomp_policy p;
	CHECK_INT(parse(&p,
			"2\n"
			"denylist\n"
			"reject_force_umount  # a comment\n"
			"# whole line\n"
			"\n"
			"[all]\n"
			"kexec_load errno 1\n"
			"init_module\t# default action\n"
			"[X86]\n"
			"ioctl errno 25 [1,0x5412,SCMP_CMP_MASKED_EQ,0xffffffff]\n"
			"[arm64]\n"
			"mount trap[0,1,==][3, 2 ,!=]\n"
			"personality notify [0,8,>=],[1,7,<]",
			&err),
		  0);
	CHECK_INT(p.version, 2);
	CHECK(p.default_action == SCMP_ACT_ALLOW);
	CHECK_INT(p.n, 6);
	CHECK_STR(p.rules[0].syscall, "umount2");
	CHECK(p.rules[0].action == SCMP_ACT_ERRNO(EACCES) && p.rules[0].args[0].mask == MNT_FORCE);
	CHECK_STR(p.rules[1].syscall, "kexec_load");
	CHECK(p.rules[1].action == SCMP_ACT_ERRNO(1) && p.rules[1].arch == BV_SECCOMP_ALL_ARCHES);
	CHECK_INT(p.rules[1].line, 7);
	CHECK(p.rules[2].action == SCMP_ACT_KILL_PROCESS);
	CHECK(p.rules[3].arch == SCMP_ARCH_X86 && p.rules[3].n_args == 1);
	CHECK(p.rules[3].args[0].index == 1 && p.rules[3].args[0].value == 0x5412);
	CHECK(p.rules[3].args[0].op == SCMP_CMP_MASKED_EQ && p.rules[3].args[0].mask == 0xffffffff);
	CHECK_STR(p.rules[4].syscall, "mount");
	CHECK(p.rules[4].arch == SCMP_ARCH_AARCH64 && p.rules[4].action == SCMP_ACT_TRAP && p.rules[4].n_args == 2);
	CHECK(p.rules[4].args[1].index == 3 && p.rules[4].args[1].value == 2 && p.rules[4].args[1].op == SCMP_CMP_NE);
	CHECK(p.rules[5].action == SCMP_ACT_NOTIFY && p.rules[5].n_args == 2 && p.rules[5].args[1].op == SCMP_CMP_LT);
	bv_seccomp_policy_clear(&p);
}

TEST(policy_words)
{
	static const struct {
		const char *line;
		uint32_t unlisted, listed;
	} words[] = {
		{ "denylist", SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS },
		{ "blacklist", SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS },
		{ "allowlist", SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW },
		{ "whitelist", SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW },
		{ "allowlist errno 38", SCMP_ACT_ERRNO(38), SCMP_ACT_ALLOW },
		{ "allowlist trap", SCMP_ACT_TRAP, SCMP_ACT_ALLOW },
		{ "denylist kill", SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_PROCESS },
	};
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct bv_error err;
		struct bv_seccomp_policy p;
		autofree char *text = bv_asprintf("2\n%s\nread\n", words[i].line);
		CHECK_INT(parse(&p, text, &err), 0);
		CHECK(p.default_action == words[i].unlisted);
		CHECK(p.n == 1 && p.rules[0].action == words[i].listed);
		bv_seccomp_policy_clear(&p);
	}

	struct bv_error err;
	struct bv_seccomp_policy p;
	CHECK_INT(parse(&p, "1\nallowlist\n0\n1\n231\n", &err), 0);
	CHECK(p.version == 1 && p.n == 3 && p.rules[2].number == 231 && !p.rules[2].syscall);
	CHECK(p.default_action == SCMP_ACT_KILL_PROCESS);
	bv_seccomp_policy_clear(&p);
}

TEST(policy_errors)
{
	refused("3\nallowlist\n", 1, "\"3\"");
	refused("x\n", 1, "\"x\"");
	refused("2\nallow\n", 2, "\"allow\"");
	refused("2\nallowlist debug\n", 2, "debug");
	refused("2\ndenylist explode\n", 2, "\"explode\"");
	refused("2\ndenylist kill now\n", 2, "\"now\"");
	refused("1\nwhitelist\n1\n", 2, "\"whitelist\"");
	refused("1\nallowlist\nread\n", 3, "\"read\"");
	refused("1\nallowlist\n99999999999\n", 3, "system call number");
	refused("2\ndenylist\n[nowhere]\n", 3, "[nowhere]");
	refused("2\ndenylist\n[All]\n", 3, "[All]");
	refused("2\ndenylist\n[\n", 3, "section");
	refused("2\ndenylist\nread errno\n", 3, "errno");
	refused("2\ndenylist\nread errno x\n", 3, "errno");
	refused("2\ndenylist\nread errno 4096\n", 3, "errno");
	refused("2\ndenylist\n\nread smash\n", 4, "\"smash\"");
	refused("2\ndenylist\nread kill extra\n", 3, "\"extra\"");
	refused("2\ndenylist\nread [6,1,==]\n", 3, "\"6\"");
	refused("2\ndenylist\nread [0,x,==]\n", 3, "\"x\"");
	refused("2\ndenylist\nread [0,1,=]\n", 3, "\"=\"");
	refused("2\ndenylist\nread [0,1]\n", 3, "three");
	refused("2\ndenylist\nread [0,1,==,1,1]\n", 3, "four");
	refused("2\ndenylist\nread [0,1,&=]\n", 3, "mask");
	refused("2\ndenylist\nread [0,1,==\n", 3, "]");
	refused("2\ndenylist\nread [0,1,==][1,1,==][2,1,==][3,1,==][4,1,==][5,1,==][0,1,==]\n", 3, "at most 6");

	struct bv_error err = { 0 };
	struct bv_seccomp_policy p = { 0 };
	CHECK_INT(bv_seccomp_policy_parse(&p, NULL, 0, "test", &err), -EINVAL);
	bv_error_clear(&err);
	CHECK_INT(bv_seccomp_policy_parse(&p, "2\ndeny\0list\n", 12, "test", &err), -EINVAL);
	CHECK(strstr(err.what, "test:2: ") && strstr(err.what, "NUL"));
	bv_seccomp_policy_clear(&p);
}

/* ---- what a compiled policy does to a process ---- */

static int compile(struct bv_seccomp *sc, const char *text)
{
	struct bv_error err = { 0 };
	int r = bv_seccomp_parse(sc, text, strlen(text), "test", &err);
	if (r < 0)
		printf("# %s\n", err.what);
	return r;
}

/* The errno of fn() under the policy, 0 when it succeeds, 1000 + signal when it is killed. */
static int under(const char *text, long (*fn)(void))
{
	struct bv_seccomp sc;
	if (compile(&sc, text) < 0)
		return -1;
	int fds[2], result = -2, status = 0;
	if (pipe(fds) < 0)
		return -3;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (bv_seccomp_apply(&sc, NULL, NULL) < 0)
			_exit(1);
		errno = 0;
		result = fn() < 0 ? errno : 0;
		/* Only what the allowlists of these tests have: a sanitizer's _exit makes other calls. */
		long n = syscall(SYS_write, fds[1], &result, sizeof(result));
		syscall(SYS_exit_group, n != sizeof(result));
	}
	close(fds[1]);
	if (read(fds[0], &result, sizeof(result)) < 0)
		result = -4;
	close(fds[0]);
	waitpid(pid, &status, 0);
	bv_seccomp_clear(&sc);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : result;
}

static long call_getppid(void)
{
	return syscall(SYS_getppid);
}

static long call_kexec_load(void)
{
	return syscall(SYS_kexec_load, 0UL, 0UL, NULL, ~0UL);
}

static long call_umount_force(void)
{
	return umount2("/nowhere", MNT_FORCE);
}

static long call_umount_force_expire(void)
{
	return umount2("/nowhere", MNT_FORCE | MNT_DETACH);
}

static long call_umount(void)
{
	return umount2("/nowhere", MNT_DETACH);
}

static long call_getpriority_high(void)
{
	/* The upper half differs: a comparison with a mask of 32 bits must not be fooled. */
	return syscall(SYS_getpriority, 0x100000001UL, 0);
}

static const char common[] = "2\n"
			     "denylist\n"
			     "reject_force_umount\n"
			     "[all]\n"
			     "kexec_load errno 1\n"
			     "open_by_handle_at errno 1\n"
			     "no_such_call_at_all errno 1\n"
			     "init_module errno 1\n"
			     "finit_module errno 1\n"
			     "delete_module errno 1\n";

TEST(denylist_works)
{
	CHECK_INT(under(common, call_getppid), 0);
	CHECK_INT(under(common, call_kexec_load), EPERM);
	CHECK_INT(under(common, call_umount_force), EACCES);
	CHECK_INT(under(common, call_umount_force_expire), EACCES);
	CHECK_INT(under(common, call_umount), geteuid() == 0 ? ENOENT : EPERM);
	CHECK_INT(under("2\nblacklist\ngetppid\n", call_getppid), 1000 + SIGSYS);
	CHECK_INT(under("2\nblacklist\ngetppid trap\n", call_getppid), 1000 + SIGSYS);
	CHECK_INT(under("2\nblacklist\ngetppid errno 77\n", call_getppid), 77);
	/* notify without a listener */
	CHECK_INT(under("2\nblacklist\ngetppid notify\n", call_getppid), ENOSYS);
	CHECK_INT(under("2\ndenylist\ngetpriority errno 5 [0,1,&=,0xffffffff]\n", call_getpriority_high), 5);
	CHECK_INT(under("2\ndenylist\ngetpriority errno 5 [0,1,==]\n", call_getpriority_high) == 5, 0);
}

TEST(duplicates_and_default_actions_are_fine)
{
	CHECK_INT(under("2\ndenylist\ngetppid errno 7\ngetppid errno 7\n", call_getppid), 7);
	CHECK_INT(under("2\ndenylist\ngetppid allow\n", call_getppid), 0);
	CHECK_INT(under("2\ndenylist\nreject_force_umount\nreject_force_umount\n", call_umount_force), EACCES);
}

TEST(allowlist_works)
{
	static const char few[] = "2\nallowlist errno 38\nwrite\nexit_group\nread\n";
	CHECK_INT(under(few, call_getppid), ENOSYS);
	CHECK_INT(under("2\nallowlist\nwrite\nexit_group\ngetppid\n", call_getppid), 0);
	CHECK_INT(under("2\nallowlist\nwrite\nexit_group\n", call_getppid), 1000 + SIGSYS);
	autofree char *v1 = bv_asprintf("1\nallowlist\n%d\n%d\n%d\n", SYS_write, SYS_exit_group, SYS_getppid);
	CHECK_INT(under(v1, call_getppid), 0);
	CHECK_INT(under(v1, call_umount), 1000 + SIGSYS);
}

#ifdef __x86_64__
enum { X32_BIT = 0x40000000, I386_UMOUNT2 = 52, I386_GETPPID = 64 };

static long call_x32_umount(void)
{
	return syscall(X32_BIT + SYS_umount2, "/nowhere", MNT_FORCE);
}

static long call_i386(long number, long a, long b)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
	if (r < 0)
		errno = (int)-r;
	return r < 0 ? -1 : r;
}

static long call_i386_umount(void)
{
	return call_i386(I386_UMOUNT2, 0, MNT_FORCE);
}

static long call_i386_getppid(void)
{
	return call_i386(I386_GETPPID, 0, 0);
}

TEST(compat_abis_are_covered)
{
	CHECK_INT(under(common, call_x32_umount), EACCES);
	CHECK_INT(under(common, call_i386_umount), EACCES);
}

TEST(sections_choose_the_architecture)
{
	static const char native[] = "2\ndenylist\n[x86_64]\ngetppid errno 7\n[arm]\ngetppid errno 8\n";
	static const char i386[] = "2\ndenylist\nreject_force_umount\n[x86]\ngetppid errno 9\n";
	CHECK_INT(under(native, call_getppid), 7);
	CHECK_INT(under(native, call_i386_getppid), 0);
	CHECK_INT(under(i386, call_getppid), 0);
	CHECK_INT(under(i386, call_i386_getppid), 9);
	CHECK_INT(under(i386, call_i386_umount), EACCES);
	CHECK_INT(under(i386, call_umount_force), EACCES);
	CHECK_INT(under("2\ndenylist\n[arm]\ngetppid errno 8\n", call_getppid), 0);
}
#endif

TEST(notify_gives_a_listener)
{
	struct bv_seccomp sc;
	CHECK_INT(compile(&sc, "2\ndenylist\ngetppid notify\n"), 0);
	CHECK(sc.wants_notify);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = -5;
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (bv_seccomp_apply(&sc, &fd, NULL) < 0)
			_exit(1);
		_exit(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC ? 0 : 2);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	bv_seccomp_clear(&sc);
}

static char last_message[256];

static void remember(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	(void)level;
	snprintf(last_message, sizeof(last_message), "%s: %s", module, message);
}

TEST(unknown_calls_are_told)
{
	struct bv_seccomp sc;
	bv_log_set_sink(remember, NULL, BV_LOG_INFO);
	CHECK_INT(compile(&sc, common), 0);
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	CHECK(strstr(last_message, "test:7:") && strstr(last_message, "no_such_call_at_all"));
	bv_seccomp_clear(&sc);
}

TEST(load_and_prepare)
{
	struct bv_error err = { 0 };
	struct bv_seccomp sc;
	struct bv_config cfg = { 0 };
	CHECK_INT(bv_seccomp_load(&sc, "/nowhere/policy", &err), -ENOENT);
	CHECK(strstr(err.what, "/nowhere/policy"));
	bv_error_clear(&err);
	CHECK_INT(bv_seccomp_prepare(&sc, &cfg, &err), 0);
	CHECK_INT(sc.n, 0);
	CHECK_INT(bv_seccomp_apply(&sc, NULL, &err), 0);

	char path[] = "/tmp/bv-seccomp-XXXXXX";
	int fd = mkstemp(path);
	CHECK(write(fd, common, strlen(common)) == (ssize_t)strlen(common));
	close(fd);
	cfg.seccomp_profile = path;
	CHECK_INT(bv_seccomp_prepare(&sc, &cfg, &err), 0);
	CHECK(sc.n > 10);
	bv_seccomp_clear(&sc);

	/* Under a filter no second one is stacked, unless that is allowed. */
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		bv_seccomp_prepare(&sc, &cfg, NULL);
		if (bv_seccomp_apply(&sc, NULL, NULL) < 0)
			_exit(1);
		struct bv_seccomp again;
		if (bv_seccomp_prepare(&again, &cfg, NULL) < 0 || again.n != 0)
			_exit(2);
		cfg.seccomp_allow_nesting = true;
		_exit(bv_seccomp_prepare(&again, &cfg, NULL) == 0 && again.n > 10 ? 0 : 3);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	unlink(path);
}

TEST_MAIN()
