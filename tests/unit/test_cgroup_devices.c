/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cgroup/devices.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

/* A config without the config module's parser. */
static struct bv_pair pairs1[4], pairs2[4];
static struct bv_config cfg;

static void config_start(void)
{
	cfg = (struct bv_config){ .cgroup1 = { .v = pairs1 }, .cgroup2 = { .v = pairs2 } };
}

static void key(int version, const char *name, const char *value)
{
	struct bv_pair_list *list = version == 1 ? &cfg.cgroup1 : &cfg.cgroup2;
	list->v[list->n++] = (struct bv_pair){ (char *)(uintptr_t)name, (char *)(uintptr_t)value };
}

static void rules_of(struct cgroup_devices *list, const char *text)
{
	struct bv_error err = { 0 };
	*list = (struct cgroup_devices){ 0 };
	CHECK_INT(cgroup_devices_parse(list, text, &err), 0);
}

TEST(device_rules)
{
	static const char *const bad[] = {
		"",	  "x",	       "c",	      "c 1:3",	  "c 1 rwm",	       "c 1:3 x", "c 1:3 ", "d 1:3 r",
		"c :3 r", "a 1:3 rwm", "c 1:3 rwm x", "c -1:3 r", "c 99999999999:1 r", "c1:3 r",  "a *:* r"
	};
	struct cgroup_devices list = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct bv_error err = { 0 };
		CHECK_INT(cgroup_devices_add(&list, true, bad[i], &err), -EINVAL);
		CHECK_INT(err.code, EINVAL);
	}
	CHECK_INT(list.n, 0);
	rules_of(&list,
		 "allow c 5:1 rwm\ndeny a *:* rwm\nallow c 1:3 r\nallow c 1:3 mw\nallow  b *:* m \ndeny c 1:3 w\n");
	autofree char *text = cgroup_devices_text(&list);
	CHECK_STR(text, "deny a\nallow c 1:3 r\nallow c 1:3 m\nallow b *:* m\ndeny c 1:3 w\n");
	CHECK(cgroup_devices_enforces(&list));
	cgroup_devices_clear(&list);
	rules_of(&list, "deny a\nallow c 1:3 r\nallow a\n");
	CHECK(!cgroup_devices_enforces(&list));
	cgroup_devices_clear(&list);
}

TEST(device_config)
{
	static const struct {
		const char *v1[3], *v2[3]; /* a leading '-' is deny */
		bool host_is_v1;
		const char *want;
	} all[] = {
		{ { "-a", "c 1:3 r" }, { "-a", "c 1:5 r" }, true, "deny a\nallow c 1:3 r\n" },
		{ { "-a", "c 1:3 r" }, { "-a", "c 1:5 r" }, false, "deny a\nallow c 1:5 r\n" },
		{ { "-a", "c 1:3 r" }, { "c 1:5 r" }, false, "deny a\nallow c 1:3 r\nallow c 1:5 r\n" },
		{ { "c 1:3 r" }, { "-a", "c 1:5 r" }, true, "deny a\nallow c 1:5 r\nallow c 1:3 r\n" },
		{ { "-c 1:3 r" }, { NULL }, false, "allow a\ndeny c 1:3 r\n" },
		{ { "c 1:3 r" }, { NULL }, false, "allow a\nallow c 1:3 r\n" },
		{ { NULL }, { "c 1:3 r" }, true, "deny a\nallow c 1:3 r\n" },
		{ { NULL }, { "-c 1:3 r" }, false, "allow a\ndeny c 1:3 r\n" },
		{ { NULL }, { NULL }, false, "allow a\n" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		config_start();
		for (int version = 1; version <= 2; version++) {
			const char *const *rule = version == 1 ? all[i].v1 : all[i].v2;
			for (; *rule && rule < (version == 1 ? all[i].v1 : all[i].v2) + 3; rule++)
				key(version, **rule == '-' ? "devices.deny" : "devices.allow", *rule + (**rule == '-'));
		}
		struct cgroup_devices list = { 0 };
		CHECK_INT(cgroup_devices_from_config(&list, &cfg, all[i].host_is_v1, NULL), 0);
		autofree char *text = cgroup_devices_text(&list);
		CHECK_STR(text, all[i].want);
		cgroup_devices_clear(&list);
	}
}

/* What the list means, said another way: the last rule that names device and access bit decides about that bit. */
static bool reference(const struct cgroup_devices *list, char type, int major, int minor, int access)
{
	for (int bit = 1; bit <= 4; bit <<= 1) {
		if (!(access & bit))
			continue;
		bool allowed = !list->allowlist;
		for (size_t i = 0; i < list->n; i++) {
			const struct cgroup_device *d = &list->v[i];
			if ((d->type == type || d->type == 'a') && (d->major < 0 || d->major == major) &&
			    (d->minor < 0 || d->minor == minor) && (d->access & bit))
				allowed = d->allow;
		}
		if (!allowed)
			return false;
	}
	return true;
}

/* The instructions that such a program may have, and nothing else: -1 for what a verifier would refuse. */
static int interpret(const struct bpf_insn *insns, size_t n, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = { 0 };
	unsigned int set = 1u << 1; /* r1 is the context */
	for (size_t pc = 0; pc < n; pc++) {
		const struct bpf_insn *i = &insns[pc];
		uint64_t operand = (i->code & 0x08) == BPF_X ? reg[i->src_reg] : (uint64_t)(int64_t)i->imm;
		bool taken;
		switch (i->code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			if (i->src_reg != 1 || i->off < 0 || i->off > 8 || i->off % 4 || !(set & 2))
				return -1;
			uint32_t word;
			memcpy(&word, (const char *)ctx + i->off, 4);
			reg[i->dst_reg] = word;
			set |= 1u << i->dst_reg;
			continue;
		case BPF_ALU | BPF_MOV | BPF_K:
			reg[i->dst_reg] = (uint32_t)operand;
			set |= 1u << i->dst_reg;
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
		case BPF_ALU | BPF_AND | BPF_X:
			reg[i->dst_reg] = (uint32_t)(reg[i->dst_reg] & operand);
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			reg[i->dst_reg] = (uint32_t)reg[i->dst_reg] >> operand;
			break;
		case BPF_JMP | BPF_JNE | BPF_K:
		case BPF_JMP | BPF_JEQ | BPF_K:
			taken = (reg[i->dst_reg] == operand) == ((i->code & 0xf0) == BPF_JEQ);
			if (i->off < 0)
				return -1;
			pc += taken ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return set & 1 ? (int)reg[0] : -1;
		default:
			return -1;
		}
		if (!(set & 1u << i->dst_reg))
			return -1;
	}
	return -1;
}

static bool agrees(const struct cgroup_devices *list, const struct bpf_insn *insns, size_t n, char type, int major,
		   int minor)
{
	for (int access = 1; access <= 7; access++) {
		struct bpf_cgroup_dev_ctx ctx = {
			.access_type =
				(uint32_t)access << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
			.major = (uint32_t)major,
			.minor = (uint32_t)minor,
		};
		int want = reference(list, type, major, minor, access), is = interpret(insns, n, &ctx);
		if (is != want) {
			printf("# %c %d:%d access %d: is %d, want %d\n", type, major, minor, access, is, want);
			return false;
		}
	}
	return true;
}

TEST(device_program)
{
	/* Reproducible: a small generator of numbers, not rand(). */
	uint32_t seed = 1;
	for (int round = 0; round < 3000 && test_failures == 0; round++) {
		struct cgroup_devices list = { .allowlist = round & 1 };
		seed = seed * 1664525u + 1013904223u;
		for (unsigned int k = (seed >> 24) % 7; k > 0; k--) {
			seed = seed * 1664525u + 1013904223u;
			int major = (int)(seed >> 8) % 3 - 1, minor = (int)(seed >> 12) % 3 - 1,
			    access = (int)(seed >> 16) % 7 + 1;
			char maj[8] = "*", min[8] = "*", rule[64];
			if (major >= 0)
				snprintf(maj, sizeof(maj), "%d", major);
			if (minor >= 0)
				snprintf(min, sizeof(min), "%d", minor);
			snprintf(rule, sizeof(rule), "%c %s:%s %s%s%s", seed & 0x80000 ? 'b' : 'c', maj, min,
				 access & 1 ? "r" : "", access & 2 ? "w" : "", access & 4 ? "m" : "");
			CHECK_INT(cgroup_devices_add(&list, seed & 0x800000, rule, NULL), 0);
		}
		autofree struct bpf_insn *insns = NULL;
		size_t n;
		CHECK_INT(cgroup_bpf_generate(&list, &insns, &n), 0);
		for (int major = 0; major < 3; major++)
			for (int minor = 0; minor < 3; minor++)
				CHECK(agrees(&list, insns, n, 'c', major, minor) &&
				      agrees(&list, insns, n, 'b', major, minor));
		if (test_failures) {
			autofree char *text = cgroup_devices_text(&list);
			printf("# round %d: %s\n", round, text);
		}
		cgroup_devices_clear(&list);
	}
}

/* Each program is loaded by the kernel's verifier, attached, and asked by opening devices. */
static int opens(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int child_in(const char *dir, int (*fn)(void))
{
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_exit(bv_write_small(fd, "cgroup.procs", "0") < 0 ? 99 : fn());
	}
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int only_null(void)
{
	return opens("/dev/null", O_RDWR) != 0 ? 1 : opens("/dev/zero", O_RDONLY) != EPERM ? 2 : 0;
}

static int null_and_zero_read(void)
{
	return opens("/dev/null", O_RDWR)	     ? 1
	       : opens("/dev/zero", O_RDONLY)	     ? 2
	       : opens("/dev/zero", O_RDWR) != EPERM ? 3
						     : 0;
}

static int all_open(void)
{
	return opens("/dev/null", O_RDWR) ? 1 : opens("/dev/zero", O_RDWR) ? 2 : 0;
}

TEST(device_program_in_the_kernel)
{
	struct bv_cgroup *host = NULL;
	if (geteuid() != 0 || bv_cgroup_open(&host, "", NULL) < 0 || !cgroup_find_v2(host)) {
		bv_cgroup_free(host);
		SKIP("needs root and a v2 hierarchy");
	}
	char dir[PATH_MAX];
	snprintf(dir, sizeof(dir), "%s/bv-unit-%d", cgroup_find_v2(host)->mount, (int)getpid());
	bv_cgroup_free(host);
	if (mkdir(dir, 0755) < 0)
		SKIP("no cgroup can be made");
	autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	struct cgroup_devices list;
	struct bv_error err = { 0 };
	rules_of(&list, "deny a\nallow c 1:3 rwm\n");
	int r = cgroup_bpf_apply(fd, dir, &list, &err);
	cgroup_devices_clear(&list);
	if (r == -EPERM || r == -ENOSYS || r == -EINVAL) {
		rmdir(dir);
		SKIP("the kernel or the sandbox does not load device programs");
	}
	CHECK_INT(r, 0);
	CHECK_INT(child_in(dir, only_null), 0);

	/* Another process adds to what it reads back. */
	CHECK_INT(cgroup_bpf_read(fd, dir, &list, &err), 0);
	CHECK_INT(cgroup_devices_add(&list, true, "c 1:5 r", &err), 0);
	CHECK_INT(cgroup_bpf_apply(fd, dir, &list, &err), 0);
	cgroup_devices_clear(&list);
	CHECK_INT(child_in(dir, null_and_zero_read), 0);

	/* Every shape of program passes the verifier; at the end nothing is forbidden, and there is no program. */
	static const char *const shapes[] = {
		"deny a\n",
		"allow a\ndeny c 1:3 r\n",
		"deny a\nallow c *:* rwm\nallow b *:* rwm\n",
		"deny a\nallow b 8:* rm\nallow c *:1 w\n",
		"allow a\ndeny c *:* rwm\nallow c 1:3 rw\n",
		"allow a\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		rules_of(&list, shapes[i]);
		CHECK_INT(cgroup_bpf_apply(fd, dir, &list, &err), 0);
		cgroup_devices_clear(&list);
	}
	CHECK_STR(err.what, "");
	CHECK_INT(child_in(dir, all_open), 0);
	for (int i = 0; rmdir(dir) < 0 && errno == EBUSY && i < 6000; i++)
		usleep(5000);
	CHECK(access(dir, F_OK) < 0);
}

TEST_MAIN()
