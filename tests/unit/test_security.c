/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "util/cleanup.h"

#define BIT(n) (UINT64_C(1) << (n))

static struct bv_strv list(const char *a, const char *b)
{
	struct bv_strv l = { 0 };
	if (a)
		bv_strv_add(&l, a);
	if (b)
		bv_strv_add(&l, b);
	return l;
}

TEST(cap_names)
{
	CHECK_INT(bv_cap_parse("chown"), 0);
	CHECK_INT(bv_cap_parse("sys_admin"), CAP_SYS_ADMIN);
	CHECK_INT(bv_cap_parse("CAP_SYS_ADMIN"), CAP_SYS_ADMIN);
	CHECK_INT(bv_cap_parse("cap_Net_Raw"), CAP_NET_RAW);
	CHECK_INT(bv_cap_parse("checkpoint_restore"), CAP_LAST_CAP);
	CHECK_INT(bv_cap_parse("12"), 12);
	CHECK_INT(bv_cap_parse("63"), 63);
	CHECK_INT(bv_cap_parse("64"), -EINVAL);
	CHECK_INT(bv_cap_parse("-1"), -EINVAL);
	CHECK_INT(bv_cap_parse(""), -EINVAL);
	CHECK_INT(bv_cap_parse("sys_admi"), -EINVAL);
	CHECK_INT(bv_cap_parse("4294967317"), -EINVAL);
	for (int i = 0; i <= CAP_LAST_CAP; i++)
		CHECK(bv_cap_name(i) && bv_cap_parse(bv_cap_name(i)) == i);
	CHECK(!bv_cap_name(CAP_LAST_CAP + 1));
	CHECK(!bv_cap_name(-1));
	CHECK_STR(bv_cap_name(CAP_NET_ADMIN), "net_admin");
}

TEST(caps_resolve)
{
	struct bv_error err = { 0 };
	struct bv_config cfg = { 0 };
	uint64_t keep = 0;

	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), 0);
	CHECK(keep == UINT64_MAX);

	cfg.cap_drop = list("sys_module mac_admin", "40");
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), 0);
	CHECK(keep == ~(BIT(CAP_SYS_MODULE) | BIT(CAP_MAC_ADMIN) | BIT(40)));

	cfg.cap_keep = list("chown", NULL);
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), -EINVAL);
	CHECK(strstr(err.what, "both"));
	bv_strv_clear(&cfg.cap_drop);
	bv_error_clear(&err);

	cfg.cap_keep_set = true;
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), 0);
	CHECK(keep == BIT(CAP_CHOWN));
	bv_strv_clear(&cfg.cap_keep);
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), 0);
	CHECK(keep == 0);
	cfg.cap_keep = list("chown none", "kill");
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), 0);
	CHECK(keep == BIT(CAP_KILL));
	bv_strv_clear(&cfg.cap_keep);
	cfg.cap_keep_set = false;

	cfg.cap_drop = list("none", NULL);
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), -EINVAL);
	bv_strv_clear(&cfg.cap_drop);
	bv_error_clear(&err);
	cfg.cap_drop = list("sys_admim", NULL);
	CHECK_INT(bv_caps_resolve(&cfg, &keep, &err), -EINVAL);
	CHECK(strstr(err.what, "sys_admim"));
	CHECK(strstr(err.hint, "sys_admin"));
	bv_strv_clear(&cfg.cap_drop);
}

/* In a child: all five sets after bv_caps_apply. The exit status says which of them is wrong. */
static int caps_child(uint64_t keep)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct before[2], after[2];
	struct bv_error err = { 0 };
	syscall(SYS_capget, &header, before);
	/* Something in the ambient set, to see it go. */
	before[0].inheritable = before[0].permitted;
	syscall(SYS_capset, &header, before);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0);

	if (bv_caps_apply(keep, &err) < 0)
		return 1;
	syscall(SYS_capget, &header, after);
	for (int i = 0; i < 2; i++) {
		if (after[i].inheritable)
			return 2;
		if (after[i].permitted != (before[i].permitted & (uint32_t)(keep >> (32 * i))))
			return 3;
		if (after[i].effective != after[i].permitted)
			return 4;
	}
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) != 0)
			return 5;
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && !(keep & BIT(cap)))
			return 6;
	}
	return 0;
}

static int in_child(int (*fn)(uint64_t), uint64_t arg)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		_exit(fn(arg));
	int status = -1;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(caps_apply_sets_all_five)
{
	if (geteuid() != 0)
		SKIP("not root");
	CHECK_INT(in_child(caps_child, BIT(CAP_CHOWN) | BIT(CAP_SYS_ADMIN)), 0);
	CHECK_INT(in_child(caps_child, ~BIT(CAP_SYS_MODULE)), 0);
	CHECK_INT(in_child(caps_child, 0), 0);
}

static int until_exec_child(uint64_t until)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct after[2];
	if (bv_caps_apply_until_exec(BIT(CAP_CHOWN), until, NULL) < 0)
		return 1;
	syscall(SYS_capget, &header, after);
	if (after[0].effective != (uint32_t)(BIT(CAP_CHOWN) | until) || after[0].inheritable)
		return 2;
	if (prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) != 0)
		return 3;
	execl("/bin/sh", "sh", "-c", "grep -q '^CapPrm:.0000000000000001$' /proc/self/status", (char *)NULL);
	return 4;
}

TEST(caps_until_exec_end_with_the_exec)
{
	if (geteuid() != 0)
		SKIP("not root");
	CHECK_INT(in_child(until_exec_child, BIT(CAP_SYS_ADMIN)), 0);
}

static int check_maps(const struct bv_idmap *maps, size_t n, struct bv_error *err)
{
	struct bv_config cfg = { .idmaps = (struct bv_idmap *)maps, .n_idmaps = n };
	bv_error_clear(err);
	return bv_idmap_check(&cfg, err);
}

#define CHECK_MAPS(want, text, ...)                                                                                    \
	do {                                                                                                           \
		const struct bv_idmap maps_[] = { __VA_ARGS__ };                                                       \
		CHECK_INT(check_maps(maps_, ARRAY_SIZE(maps_), &err), want);                                           \
		if (!strstr(err.what, text))                                                                           \
			printf("# said \"%s\"\n", err.what);                                                           \
		CHECK(strstr(err.what, text));                                                                         \
	} while (0)

TEST(idmap_check)
{
	struct bv_error err = { 0 };
	CHECK_INT(check_maps(NULL, 0, &err), 0);
	CHECK_MAPS(0, "", { 'u', 0, 100000, 65536 }, { 'g', 0, 100000, 65536 });
	CHECK_MAPS(0, "", { 'u', 0, 1000, 1 }, { 'u', 1, 100000, 10 }, { 'g', 0, 1000, 1 });
	CHECK_MAPS(-EINVAL, "group 0", { 'u', 0, 100000, 65536 });
	CHECK_MAPS(-EINVAL, "user 0", { 'g', 0, 100000, 65536 });
	CHECK_MAPS(-EINVAL, "user 0", { 'u', 1, 100000, 65536 }, { 'g', 0, 100000, 65536 });
	CHECK_MAPS(-EINVAL, "overlap inside", { 'u', 0, 100000, 10 }, { 'u', 9, 200000, 10 });
	CHECK_MAPS(-EINVAL, "overlap on the host", { 'u', 0, 100000, 10 }, { 'u', 10, 100009, 10 });
	CHECK_MAPS(-EINVAL, "maps nothing", { 'u', 0, 100000, 0 });
	CHECK_MAPS(-ERANGE, "beyond", { 'u', 1, 0, UINT32_MAX });
	CHECK_MAPS(-ERANGE, "beyond", { 'u', 0, 4294967290U, 10 });
	CHECK_MAPS(0, "", { 'u', 0, 0, UINT32_MAX }, { 'g', 0, 0, UINT32_MAX });

	const struct bv_idmap maps[] = { { 'u', 0, 100000, 10 }, { 'g', 0, 100000, 10 } };
	struct bv_config cfg = { .idmaps = (struct bv_idmap *)maps, .n_idmaps = 2, .init_uid = 10 };
	bv_error_clear(&err);
	CHECK_INT(bv_idmap_check(&cfg, &err), -EINVAL);
	CHECK(strstr(err.what, "lxc.init.uid"));
}

TEST(idmap_too_many_lines)
{
	struct bv_idmap maps[342];
	for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++)
		maps[i] = (struct bv_idmap){ 'u', i, 100000 + i, 1 };
	maps[341].kind = 'g';
	maps[341].ns_id = 0;
	struct bv_error err = { 0 };
	CHECK_INT(check_maps(maps, ARRAY_SIZE(maps), &err), -E2BIG);
	maps[340] = maps[341];
	CHECK_INT(check_maps(maps, 341, &err), 0);
}

TEST(idmap_to_host)
{
	struct bv_idmap maps[] = { { 'u', 0, 100000, 10 }, { 'u', 1000, 1000, 1 }, { 'g', 0, 200000, 10 } };
	struct bv_config cfg = { .idmaps = maps, .n_idmaps = ARRAY_SIZE(maps) };
	CHECK_INT(bv_idmap_to_host(&cfg, 'u', 0), 100000);
	CHECK_INT(bv_idmap_to_host(&cfg, 'u', 9), 100009);
	CHECK(bv_idmap_to_host(&cfg, 'u', 10) == UINT32_MAX);
	CHECK_INT(bv_idmap_to_host(&cfg, 'u', 1000), 1000);
	CHECK_INT(bv_idmap_to_host(&cfg, 'g', 3), 200003);
	cfg.n_idmaps = 0;
	CHECK_INT(bv_idmap_to_host(&cfg, 'u', 77), 77);
}

static void check_userns(void)
{
	struct bv_idmap maps[] = { { 'u', 0, 100000, 10 }, { 'g', 0, 200000, 10 } };
	struct bv_config cfg = { .idmaps = maps, .n_idmaps = ARRAY_SIZE(maps) };
	struct bv_error err = { 0 };
	int fd = bv_idmap_userns_fd(&cfg, &err);
	CHECK(fd >= 0);
	if (fd < 0)
		printf("# %s\n", err.what);
	CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
	/* The helper is gone and reaped. */
	CHECK_INT(waitpid(-1, NULL, __WALL | WNOHANG), -1);

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		char text[64] = "";
		if (setns(fd, CLONE_NEWUSER) < 0)
			_exit(1);
		int map = open("/proc/self/uid_map", O_RDONLY);
		ssize_t n = read(map, text, sizeof(text) - 1);
		unsigned int a, b, c;
		_exit(n > 0 && sscanf(text, "%u %u %u", &a, &b, &c) == 3 && a == 0 && b == 100000 && c == 10 ? 0 : 2);
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
	close(fd);
}

TEST(idmap_userns_fd)
{
	if (geteuid() != 0)
		SKIP("not root");
	check_userns();
}

TEST(idmap_write_says_where)
{
	if (geteuid() != 0)
		SKIP("not root");
	struct bv_idmap maps[] = { { 'u', 0, 100000, 10 }, { 'g', 0, 200000, 10 } };
	struct bv_config cfg = { .idmaps = maps, .n_idmaps = ARRAY_SIZE(maps) };
	struct bv_error err = { 0 };
	/* Our own namespace has its maps already. */
	CHECK_INT(bv_idmap_write(&cfg, getpid(), &err), -EPERM);
	CHECK(strstr(err.what, "/uid_map"));
	CHECK(strstr(err.hint, "/etc/subuid"));
}

TEST_MAIN()
