/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgroup/devices.h"
#include "util/cleanup.h"
#include "util/log.h"

/* By this name a program is known as ours (BPF_OBJ_NAME_LEN is 16). */
static const char program_name[] = "bivalve_dev";
/* trusted.*: only CAP_SYS_ADMIN of the first user namespace reads and writes it. */
static const char xattr_name[] = "trusted.bivalve.devices";

static int sys_bpf(int cmd, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, cmd, attr, sizeof(*attr));
	return r < 0 ? -errno : (int)r;
}

/* ---- the program ---- */

enum { TYPE = BPF_REG_2, ACCESS = BPF_REG_3, MAJOR = BPF_REG_4, MINOR = BPF_REG_5, SCRATCH = BPF_REG_1 };

/* Per rule: three comparisons, at most two instructions for the access, and a verdict of two; plus one spare. */
enum { INSNS_HEAD = 6, INSNS_PER_RULE = 8, INSNS_TAIL = 2 };

static struct bpf_insn load(int reg, size_t offset)
{
	return (struct bpf_insn){ .code = BPF_LDX | BPF_MEM | BPF_W,
				  .dst_reg = (unsigned char)reg & 0xf,
				  .src_reg = BPF_REG_1,
				  .off = (short)offset };
}

static struct bpf_insn alu(int op, int reg, int imm)
{
	return (struct bpf_insn){ .code = (unsigned char)(BPF_ALU | op | BPF_K),
				  .dst_reg = (unsigned char)reg & 0xf,
				  .imm = imm };
}

static struct bpf_insn jump(int op, int reg, int imm, int off)
{
	return (struct bpf_insn){ .code = (unsigned char)(BPF_JMP | op | BPF_K),
				  .dst_reg = (unsigned char)reg & 0xf,
				  .off = (short)off,
				  .imm = imm };
}

static size_t put_verdict(struct bpf_insn *p, bool allow)
{
	p[0] = alu(BPF_MOV, BPF_REG_0, allow);
	p[1] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return 2;
}

/*
 * One rule. ACCESS holds the bits that no later rule has decided: a deny that has one of them ends in "no", an allow
 * takes its bits out and, when none is left, ends in "yes". *sure: nothing gets past this rule.
 */
static size_t put_rule(struct bpf_insn *p, const struct cgroup_device *d, bool *sure)
{
	size_t n = 0, tests;
	if (d->type != 'a')
		p[n++] = jump(BPF_JNE, TYPE, d->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0);
	if (d->major >= 0)
		p[n++] = jump(BPF_JNE, MAJOR, (int)d->major, 0);
	if (d->minor >= 0)
		p[n++] = jump(BPF_JNE, MINOR, (int)d->minor, 0);
	tests = n;
	*sure = tests == 0 && d->access == CGROUP_DEV_ALL;

	if (d->access != CGROUP_DEV_ALL && d->allow) {
		p[n++] = alu(BPF_AND, ACCESS, ~(int)d->access);
		p[n++] = jump(BPF_JNE, ACCESS, 0, 2);
	} else if (d->access != CGROUP_DEV_ALL) {
		p[n++] = alu(BPF_MOV, SCRATCH, d->access);
		p[n++] = (struct bpf_insn){ .code = BPF_ALU | BPF_AND | BPF_X, .dst_reg = SCRATCH, .src_reg = ACCESS };
		p[n++] = jump(BPF_JEQ, SCRATCH, 0, 2);
	}
	n += put_verdict(p + n, d->allow);
	for (size_t i = 0; i < tests; i++)
		p[i].off = (short)(n - i - 1);
	return n;
}

int cgroup_bpf_generate(const struct cgroup_devices *list, struct bpf_insn **ret, size_t *ret_n)
{
	struct bpf_insn *p = calloc(INSNS_HEAD + INSNS_PER_RULE * list->n + INSNS_TAIL, sizeof(*p));
	if (!p)
		return -ENOMEM;

	/* access_type is access << 16 | type */
	size_t n = 0;
	p[n++] = load(TYPE, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	p[n++] = load(ACCESS, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	p[n++] = load(MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	p[n++] = load(MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	p[n++] = alu(BPF_AND, TYPE, 0xffff);
	p[n++] = alu(BPF_RSH, ACCESS, 16);

	/* The last rule that matches decides: it is asked first. The verifier refuses what cannot be reached. */
	bool sure = false;
	for (size_t i = list->n; i-- > 0 && !sure;)
		n += put_rule(p + n, &list->v[i], &sure);
	if (!sure)
		n += put_verdict(p + n, !list->allowlist);
	*ret = p;
	*ret_n = n;
	return 0;
}

/* ---- the kernel ---- */

static int load_program(const struct bpf_insn *insns, size_t n)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uintptr_t)insns;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uintptr_t) "LGPL"; /* no helper is called, so none is refused */
	memcpy(attr.prog_name, program_name, sizeof(program_name));
	return sys_bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int cmd, int dirfd, int program)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)dirfd;
	attr.attach_bpf_fd = (uint32_t)program;
	attr.attach_type = BPF_CGROUP_DEVICE;
	/* Programs of the instance's own cgroups are asked too, and all must say yes. */
	attr.attach_flags = cmd == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
	return sys_bpf(cmd, &attr);
}

static bool is_ours(int program)
{
	struct bpf_prog_info info;
	memset(&info, 0, sizeof(info));
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)program;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uintptr_t)&info;
	return sys_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) == 0 && strcmp(info.name, program_name) == 0;
}

/* Take those of the programs `ids` that are ours off the cgroup. */
static int detach_older(int dirfd, const uint32_t *ids, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		union bpf_attr attr;
		memset(&attr, 0, sizeof(attr));
		attr.prog_id = ids[i];
		autoclose int program = sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr);
		if (program == -ENOENT)
			continue;
		if (program < 0)
			return program;
		int r = is_ours(program) ? attach(BPF_PROG_DETACH, dirfd, program) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* The programs on this very cgroup; how many, or -errno. */
static int query(int dirfd, uint32_t *ids, uint32_t max)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)dirfd;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_ids = (uintptr_t)ids;
	attr.query.prog_cnt = max;
	int r = sys_bpf(BPF_PROG_QUERY, &attr);
	return r < 0 ? r : (int)attr.query.prog_cnt;
}

static int fail_bpf(int r, const char *path, const char *what, struct bv_error *err)
{
	bv_fail(err, r, "cannot %s the device program of %s: %s", what, path, strerror(-r));
	if (r == -EPERM || r == -EACCES)
		return bv_hint(err, "lxc.cgroup2.devices.* needs root of the host (CAP_BPF and CAP_NET_ADMIN): start "
				    "as root, or remove the keys");
	if (r == -EINVAL || r == -ENOSYS)
		return bv_hint(err, "the kernel needs CONFIG_CGROUP_BPF=y (Linux 4.15 or later): lxc-checkconfig");
	return r;
}

static int store_text(int dirfd, const char *path, const struct cgroup_devices *list, struct bv_error *err)
{
	autofree char *text = cgroup_devices_text(list);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	if (fsetxattr(dirfd, xattr_name, text, strlen(text), 0) < 0)
		return bv_fail_errno(err, "cannot note the device rules at %s", path);
	return 0;
}

int cgroup_bpf_apply(int dirfd, const char *path, const struct cgroup_devices *list, struct bv_error *err)
{
	uint32_t ids[64];
	autofree struct bpf_insn *insns = NULL;
	size_t n;
	autoclose int program = -1;
	int older = query(dirfd, ids, 64);
	if (older < 0)
		return fail_bpf(older, path, "look for", err);

	if (cgroup_devices_enforces(list)) {
		int r = cgroup_bpf_generate(list, &insns, &n);
		if (r < 0)
			return bv_fail(err, r, "out of memory");
		program = load_program(insns, n);
		if (program < 0)
			return fail_bpf(program, path, "load", err);
		r = attach(BPF_PROG_ATTACH, dirfd, program);
		if (r < 0)
			return fail_bpf(r, path, "attach", err);
	}
	/* The new one is in force before an old one goes: at no moment is more allowed than by one of them. */
	int r = detach_older(dirfd, ids, (uint32_t)older);
	if (r < 0)
		return fail_bpf(r, path, "replace", err);
	return store_text(dirfd, path, list, err);
}

int cgroup_bpf_read(int dirfd, const char *path, struct cgroup_devices *list, struct bv_error *err)
{
	enum { TEXT_MAX = 64 * 1024 }; /* XATTR_SIZE_MAX */
	autofree char *text = calloc(1, TEXT_MAX + 1);
	if (!text)
		return bv_fail(err, ENOMEM, "out of memory");
	ssize_t n = fgetxattr(dirfd, xattr_name, text, TEXT_MAX);
	if (n < 0 && errno == ENODATA)
		return 0;
	if (n < 0)
		return bv_fail_errno(err, "cannot read the device rules of %s", path);
	return cgroup_devices_parse(list, text, err);
}
