/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "security/seccomp_policy.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

enum {
	POLICY_FILE_MAX = 1024 * 1024,
	LIBSECCOMP_API_NOTIFY = 5, /* the level that knows SCMP_ACT_NOTIFY, libseccomp 2.5 */
	ARCHES_MAX = 3,
};

/* The other architectures whose programs run on a kernel of the first. */
static const uint32_t compat[][ARCHES_MAX] = {
	{ SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32 },
	{ SCMP_ARCH_AARCH64, SCMP_ARCH_ARM },
	{ SCMP_ARCH_PPC64, SCMP_ARCH_PPC },
	{ SCMP_ARCH_S390X, SCMP_ARCH_S390 },
	{ SCMP_ARCH_MIPS64, SCMP_ARCH_MIPS, SCMP_ARCH_MIPS64N32 },
	{ SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64N32 },
};

/* A policy on its way to a program: one filter for all architectures, or one each when a section asks for it. */
struct compiler {
	const char *name; /* of the file */
	uint32_t default_action;
	uint32_t arches[ARCHES_MAX];
	size_t n_arches;
	scmp_filter_ctx ctx[ARCHES_MAX];
	size_t n_ctx;
};

static void compiler_clear(struct compiler *c)
{
	for (size_t i = 0; i < c->n_ctx; i++)
		seccomp_release(c->ctx[i]);
}

static void find_arches(struct compiler *c)
{
	c->arches[0] = seccomp_arch_native();
	c->n_arches = 1;
	for (size_t i = 0; i < ARRAY_SIZE(compat); i++) {
		if (compat[i][0] != c->arches[0])
			continue;
		for (size_t j = 1; j < ARCHES_MAX && compat[i][j]; j++)
			c->arches[c->n_arches++] = compat[i][j];
	}
}

/*
 * A context for `n` architectures from arches[first] on. What comes through another ABI than those is answered with
 * ENOSYS: let through, it would be a way around the list.
 */
static int add_context(struct compiler *c, size_t first, size_t n, struct bv_error *err)
{
	scmp_filter_ctx ctx = seccomp_init(c->default_action);
	if (!ctx)
		return bv_fail(err, ENOMEM, "%s: libseccomp cannot make a filter with this default action", c->name);
	c->ctx[c->n_ctx++] = ctx;

	int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	for (size_t i = first; r == 0 && i < first + n; i++)
		if (c->arches[i] != c->arches[0])
			r = seccomp_arch_add(ctx, c->arches[i]);
	if (r == 0 && first > 0)
		r = seccomp_arch_remove(ctx, c->arches[0]);
	return r < 0 ? bv_fail(err, r, "%s: libseccomp cannot set up a filter: %s", c->name, strerror(-r)) : 0;
}

static bool has_arch(const struct compiler *c, uint32_t arch)
{
	for (size_t i = 0; i < c->n_arches; i++)
		if (c->arches[i] == arch)
			return true;
	return false;
}

static int make_contexts(struct compiler *c, const struct bv_seccomp_policy *policy, struct bv_error *err)
{
	bool per_arch = false;
	for (size_t i = 0; i < policy->n && !per_arch; i++)
		per_arch = policy->rules[i].arch != BV_SECCOMP_ALL_ARCHES && has_arch(c, policy->rules[i].arch);

	if (!per_arch)
		return add_context(c, 0, c->n_arches, err);
	int r = 0;
	for (size_t i = 0; r == 0 && i < c->n_arches; i++)
		r = add_context(c, i, 1, err);
	return r;
}

/* The number for libseccomp, which translates it for each architecture; __NR_SCMP_ERROR when the name is unknown. */
static int resolve(const struct compiler *c, const struct bv_seccomp_rule *rule)
{
	if (!rule->syscall)
		return rule->number;
	int number = seccomp_syscall_resolve_name(rule->syscall);
	if (number == __NR_SCMP_ERROR)
		bv_info("seccomp", "%s:%u: there is no system call %s here, the rule is skipped", c->name, rule->line,
			rule->syscall);
	return number;
}

static int add_rule(struct compiler *c, const struct bv_seccomp_rule *rule, struct bv_error *err)
{
	/* libseccomp refuses a rule whose action is the default one; it would change nothing. */
	int number = resolve(c, rule);
	if (number == __NR_SCMP_ERROR || rule->action == c->default_action)
		return 0;

	struct scmp_arg_cmp args[BV_SECCOMP_ARGS];
	for (unsigned int i = 0; i < rule->n_args; i++) {
		const struct bv_seccomp_arg *a = &rule->args[i];
		bool masked = a->op == SCMP_CMP_MASKED_EQ;
		args[i] = (struct scmp_arg_cmp){ .arg = a->index,
						 .op = (enum scmp_compare)a->op,
						 .datum_a = masked ? a->mask : a->value,
						 .datum_b = masked ? a->value : 0 };
	}
	for (size_t i = 0; i < c->n_ctx; i++) {
		if (rule->arch != BV_SECCOMP_ALL_ARCHES && rule->arch != c->arches[i])
			continue;
		int r = seccomp_rule_add_array(c->ctx[i], rule->action, number, rule->n_args, args);
		if (r < 0 && r != -EEXIST)
			return bv_fail(err, r, "%s:%u: libseccomp refuses the rule: %s", c->name, rule->line,
				       strerror(-r));
	}
	return 0;
}

static int merge_contexts(struct compiler *c, struct bv_error *err)
{
	while (c->n_ctx > 1) {
		/* The source belongs to the destination afterwards. */
		int r = seccomp_merge(c->ctx[0], c->ctx[c->n_ctx - 1]);
		if (r < 0)
			return bv_fail(err, r, "%s: libseccomp cannot merge the architectures: %s", c->name,
				       strerror(-r));
		c->n_ctx--;
	}
	return 0;
}

/* libseccomp 2.5 writes its program to an fd only. */
static int export_program(const struct compiler *c, struct bv_seccomp *ret, struct bv_error *err)
{
	autoclose int fd = memfd_create("seccomp", MFD_CLOEXEC);
	if (fd < 0)
		return bv_fail_errno(err, "cannot make a memory file for the seccomp filter");
	int r = seccomp_export_bpf(c->ctx[0], fd);
	if (r < 0)
		return bv_fail(err, r, "%s: libseccomp cannot make the filter: %s", c->name, strerror(-r));

	off_t size = lseek(fd, 0, SEEK_CUR);
	if (size <= 0 || (size_t)size % sizeof(*ret->filter) != 0 || (size_t)size > BPF_MAXINSNS * sizeof(*ret->filter))
		return bv_fail(err, E2BIG, "%s: the filter has %zd instructions, the kernel takes %d", c->name,
			       (ssize_t)size / (ssize_t)sizeof(*ret->filter), BPF_MAXINSNS);
	autofree struct sock_filter *filter = malloc((size_t)size);
	if (!filter)
		return bv_fail(err, ENOMEM, "out of memory");
	if (pread(fd, filter, (size_t)size, 0) != size)
		return bv_fail_errno(err, "cannot read the seccomp filter back");
	ret->filter = take_ptr(filter);
	ret->n = (unsigned short)((size_t)size / sizeof(*ret->filter));
	return 0;
}

static int compile(struct bv_seccomp *ret, const struct bv_seccomp_policy *policy, const char *name,
		   struct bv_error *err)
{
	/* Told the level, libseccomp does not ask the kernel for it, which takes nine calls; it is asked at apply. */
	seccomp_api_set(LIBSECCOMP_API_NOTIFY);

	autoclean(compiler_clear) struct compiler c = { .name = name, .default_action = policy->default_action };
	find_arches(&c);
	int r = make_contexts(&c, policy, err);
	for (size_t i = 0; r == 0 && i < policy->n; i++) {
		r = add_rule(&c, &policy->rules[i], err);
		ret->wants_notify |= policy->rules[i].action == SCMP_ACT_NOTIFY;
	}
	ret->wants_notify |= policy->default_action == SCMP_ACT_NOTIFY;
	if (r == 0)
		r = merge_contexts(&c, err);
	return r < 0 ? r : export_program(&c, ret, err);
}

int bv_seccomp_parse(struct bv_seccomp *ret, const char *text, size_t len, const char *name, struct bv_error *err)
{
	*ret = (struct bv_seccomp){ 0 };
	autoclean(bv_seccomp_policy_clear) struct bv_seccomp_policy policy = { 0 };
	int r = bv_seccomp_policy_parse(&policy, text, len, name, err);
	return r < 0 ? r : compile(ret, &policy, name, err);
}

int bv_seccomp_load(struct bv_seccomp *ret, const char *path, struct bv_error *err)
{
	*ret = (struct bv_seccomp){ 0 };
	autofree char *text = NULL;
	size_t len;
	int r = bv_read_file(AT_FDCWD, path, POLICY_FILE_MAX, &text, &len);
	if (r < 0) {
		bv_fail(err, r, "cannot read the seccomp policy %s: %s", path, strerror(-r));
		return bv_hint(err, "lxc.seccomp.profile names it");
	}
	return bv_seccomp_parse(ret, text, len, path, err);
}

int bv_seccomp_prepare(struct bv_seccomp *ret, const struct bv_config *cfg, struct bv_error *err)
{
	*ret = (struct bv_seccomp){ 0 };
	if (!cfg->seccomp_profile)
		return 0;
	if (!cfg->seccomp_allow_nesting && prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER) {
		bv_notice("seccomp", "a filter is active already, %s is not loaded (lxc.seccomp.allow_nesting = 0)",
			  cfg->seccomp_profile);
		return 0;
	}
	return bv_seccomp_load(ret, cfg->seccomp_profile, err);
}

int bv_seccomp_apply(const struct bv_seccomp *sc, int *notify_fd, struct bv_error *err)
{
	if (notify_fd)
		*notify_fd = -1;
	if (sc->n == 0)
		return 0;

	struct sock_fprog prog = { .len = sc->n, .filter = sc->filter };
	bool listen = sc->wants_notify && notify_fd;
	int r = bv_seccomp(SECCOMP_SET_MODE_FILTER, listen ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0, &prog);
	if (r < 0) {
		bv_fail(err, r, "cannot install the seccomp filter: %s", strerror(-r));
		return r == -EBUSY ? bv_hint(err, "only one filter of a process can have notify rules") : r;
	}
	if (listen)
		*notify_fd = r; /* the kernel opens it with O_CLOEXEC */
	return 0;
}

void bv_seccomp_clear(struct bv_seccomp *sc)
{
	free(sc->filter);
	*sc = (struct bv_seccomp){ 0 };
}
