/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/seccomp_policy.h"

#include <ctype.h>
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

enum {
	POLICY_LINE_MAX = 4096,
	POLICY_RULES_MAX = 8192,
	ERRNO_MAX = 4095, /* the kernel caps SECCOMP_RET_DATA of an errno there */
};

struct parser {
	struct bv_seccomp_policy *policy;
	uint32_t section;     /* SCMP_ARCH_*, or BV_SECCOMP_ALL_ARCHES */
	uint32_t rule_action; /* of a rule that names none */
	unsigned int line;
};

static const struct {
	const char *name;
	uint32_t arch;
} sections[] = {
	{ "all", BV_SECCOMP_ALL_ARCHES },
	{ "x86", SCMP_ARCH_X86 },
	{ "x86_64", SCMP_ARCH_X86_64 },
	{ "x32", SCMP_ARCH_X32 },
	{ "arm", SCMP_ARCH_ARM },
	{ "arm64", SCMP_ARCH_AARCH64 },
	{ "mips", SCMP_ARCH_MIPS },
	{ "mips64", SCMP_ARCH_MIPS64 },
	{ "mips64n32", SCMP_ARCH_MIPS64N32 },
	{ "mipsel", SCMP_ARCH_MIPSEL },
	{ "mipsel64", SCMP_ARCH_MIPSEL64 },
	{ "mipsel64n32", SCMP_ARCH_MIPSEL64N32 },
	{ "ppc", SCMP_ARCH_PPC },
	{ "ppc64", SCMP_ARCH_PPC64 },
	{ "ppc64le", SCMP_ARCH_PPC64LE },
	{ "s390", SCMP_ARCH_S390 },
	{ "s390x", SCMP_ARCH_S390X },
	{ "riscv64", SCMP_ARCH_RISCV64 },
#ifdef SCMP_ARCH_LOONGARCH64 /* libseccomp 2.6 */
	{ "loongarch64", SCMP_ARCH_LOONGARCH64 },
#else
	{ "loongarch64", UINT32_MAX },
#endif
};

static const struct {
	const char *name;
	int op;
} comparators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "!=", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "<", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "<=", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "==", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ ">=", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ ">", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
	{ "&=", SCMP_CMP_MASKED_EQ },
};

/* Kill means the process: a multi-threaded program that loses one thread only is left hanging. */
static const struct {
	const char *name;
	uint32_t action;
} actions[] = {
	{ "kill", SCMP_ACT_KILL_PROCESS },
	{ "allow", SCMP_ACT_ALLOW },
	{ "trap", SCMP_ACT_TRAP },
	{ "notify", SCMP_ACT_NOTIFY },
};

void bv_seccomp_policy_clear(struct bv_seccomp_policy *policy)
{
	for (size_t i = 0; i < policy->n; i++)
		free(policy->rules[i].syscall);
	free(policy->rules);
	*policy = (struct bv_seccomp_policy){ 0 };
}

static int add_rule(struct parser *p, const struct bv_seccomp_rule *rule, struct bv_error *err)
{
	struct bv_seccomp_policy *policy = p->policy;
	if (policy->n >= POLICY_RULES_MAX)
		return bv_fail(err, E2BIG, "more than %d rules", POLICY_RULES_MAX);
	if (policy->n == policy->cap) {
		size_t cap = policy->cap ? policy->cap * 2 : 16;
		void *rules = reallocarray(policy->rules, cap, sizeof(*policy->rules));
		if (!rules)
			return bv_fail(err, ENOMEM, "out of memory");
		policy->rules = rules;
		policy->cap = cap;
	}
	policy->rules[policy->n] = *rule;
	policy->rules[policy->n].line = p->line;
	policy->rules[policy->n].arch = p->section;
	policy->n++;
	return 0;
}

/* The next word of *s, or NULL at the end; a '[' ends a word. *s moves behind it. */
static char *next_word(char **s)
{
	*s += strspn(*s, " \t");
	if (!**s || **s == '[')
		return NULL;
	char *word = *s;
	*s += strcspn(*s, " \t[");
	if (**s == ' ' || **s == '\t')
		*(*s)++ = '\0';
	return word;
}

/* `word` may run into a '[' without a blank, which is still needed: compare by length. */
static bool word_is(const char *word, const char *end, const char *name)
{
	size_t n = strcspn(word, " \t[");
	if (end && (size_t)(end - word) < n)
		n = (size_t)(end - word);
	return strlen(name) == n && strncmp(word, name, n) == 0;
}

/* [ACTION]: 1 found, 0 there is none. "errno" takes the number that follows. */
static int parse_action(char **s, uint32_t *ret, struct bv_error *err)
{
	char *word = next_word(s);
	if (!word)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (word_is(word, *s, actions[i].name)) {
			*ret = actions[i].action;
			return 1;
		}
	if (!word_is(word, *s, "errno")) {
		bv_fail(err, EINVAL, "\"%.*s\" is no action", (int)strcspn(word, " \t["), word);
		return bv_hint(err, "kill, allow, trap, notify or errno NUMBER");
	}

	char digits[16] = "";
	uint32_t number;
	char *value = next_word(s);
	size_t n = value ? strcspn(value, " \t[") : 0;
	if (n > 0 && n < sizeof(digits))
		memcpy(digits, value, n);
	if (bv_parse_u32(digits, &number) < 0 || number > ERRNO_MAX)
		return bv_fail(err, EINVAL, "errno wants a number from 0 to %d behind it", ERRNO_MAX);
	*ret = SCMP_ACT_ERRNO(number);
	return 1;
}

static int parse_comparator(const char *text, struct bv_seccomp_arg *arg, bool has_mask, struct bv_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(comparators); i++) {
		if (!bv_streq(text, comparators[i].name))
			continue;
		arg->op = comparators[i].op;
		if (arg->op == SCMP_CMP_MASKED_EQ && !has_mask)
			return bv_fail(err, EINVAL, "%s wants a mask: [INDEX,VALUE,%s,MASK]", text, text);
		return 0;
	}
	bv_fail(err, EINVAL, "\"%s\" is no comparison", text);
	return bv_hint(err, "one of != < <= == >= > &= or their SCMP_CMP_ names");
}

/* One "INDEX,VALUE,OP[,MASK]", without the brackets. */
static int parse_arg(char *text, struct bv_seccomp_arg *arg, struct bv_error *err)
{
	char *field[4] = { NULL };
	size_t n = 0;
	char *rest = text, *part;
	while ((part = strsep(&rest, ","))) {
		if (n == ARRAY_SIZE(field))
			return bv_fail(err, EINVAL, "an argument has at most four parts: [INDEX,VALUE,OP,MASK]");
		field[n++] = bv_strip(part);
	}
	if (n < 3)
		return bv_fail(err, EINVAL, "an argument has at least three parts: [INDEX,VALUE,OP]");
	if (bv_parse_u32(field[0], &arg->index) < 0 || arg->index >= BV_SECCOMP_ARGS)
		return bv_fail(err, EINVAL, "\"%s\" is no argument index: 0 to %d", field[0], BV_SECCOMP_ARGS - 1);
	if (bv_parse_u64(field[1], &arg->value) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is no number", field[1]);
	if (field[3] && bv_parse_u64(field[3], &arg->mask) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is no mask", field[3]);
	return parse_comparator(field[2], arg, field[3] != NULL, err);
}

static int parse_args(char *s, struct bv_seccomp_rule *rule, struct bv_error *err)
{
	for (;;) {
		s += strspn(s, " \t,");
		if (!*s)
			return 0;
		if (*s != '[')
			return bv_fail(err, EINVAL, "\"%s\" is not expected here", s);
		char *end = strchr(s, ']');
		if (!end)
			return bv_fail(err, EINVAL, "\"[\" has no \"]\"");
		if (rule->n_args == BV_SECCOMP_ARGS)
			return bv_fail(err, EINVAL, "a rule has at most %d arguments", BV_SECCOMP_ARGS);
		*end = '\0';
		int r = parse_arg(s + 1, &rule->args[rule->n_args], err);
		if (r < 0)
			return r;
		rule->n_args++;
		s = end + 1;
	}
}

/* umount2 with MNT_FORCE is refused: it can take a network or FUSE file system away from the host. */
static int add_reject_force_umount(struct parser *p, struct bv_error *err)
{
	struct bv_seccomp_rule rule = {
		.action = SCMP_ACT_ERRNO(EACCES),
		.n_args = 1,
		.args = { { .index = 1, .op = SCMP_CMP_MASKED_EQ, .value = MNT_FORCE, .mask = MNT_FORCE } },
	};
	rule.syscall = strdup("umount2");
	if (!rule.syscall)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = add_rule(p, &rule, err);
	if (r < 0)
		free(rule.syscall);
	return r;
}

static int parse_section(struct parser *p, char *s, struct bv_error *err)
{
	size_t len = strlen(s);
	if (s[len - 1] != ']')
		return bv_fail(err, EINVAL, "\"%s\": a section is [NAME]", s);
	s[len - 1] = '\0';
	s++;

	bool lower = true, upper = true;
	for (const char *c = s; *c; c++) {
		lower = lower && !isupper((unsigned char)*c);
		upper = upper && !islower((unsigned char)*c);
	}
	for (size_t i = 0; (lower || upper) && i < ARRAY_SIZE(sections); i++)
		if (strcasecmp(s, sections[i].name) == 0) {
			p->section = sections[i].arch;
			return 0;
		}

	const char *names[ARRAY_SIZE(sections)];
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
		names[i] = sections[i].name;
	bv_fail(err, EINVAL, "[%s] is no architecture", s);
	const char *near = bv_nearest(s, names, ARRAY_SIZE(names));
	return near ? bv_hint(err, "did you mean [%s]?", near) : bv_hint(err, "[all], [x86_64], [x86], [arm64], ...");
}

static int parse_v2_line(struct parser *p, char *s, struct bv_error *err)
{
	if (*s == '[')
		return parse_section(p, s, err);
	if (word_is(s, NULL, "reject_force_umount"))
		return add_reject_force_umount(p, err);

	struct bv_seccomp_rule rule = { .action = p->rule_action };
	char *name = s;
	size_t n = strcspn(s, " \t[");
	s += n;
	int r = parse_action(&s, &rule.action, err);
	if (r >= 0)
		r = parse_args(s, &rule, err);
	if (r < 0)
		return r;
	rule.syscall = strndup(name, n);
	if (!rule.syscall)
		return bv_fail(err, ENOMEM, "out of memory");
	r = add_rule(p, &rule, err);
	if (r < 0)
		free(rule.syscall);
	return r;
}

static int parse_v1_line(struct parser *p, const char *s, struct bv_error *err)
{
	struct bv_seccomp_rule rule = { .action = SCMP_ACT_ALLOW };
	uint32_t number;
	if (bv_parse_u32(s, &number) < 0 || number > INT32_MAX)
		return bv_fail(err, EINVAL, "\"%s\" is no system call number", s);
	rule.number = (int)number;
	return add_rule(p, &rule, err);
}

static int parse_version(struct parser *p, char *s, struct bv_error *err)
{
	if (bv_parse_int(s, &p->policy->version) == 0 && (p->policy->version == 1 || p->policy->version == 2))
		return 0;
	bv_fail(err, EINVAL, "\"%s\" is no version of a seccomp policy", s);
	return bv_hint(err, "the first line is 1 or 2");
}

static int parse_policy_v1(struct parser *p, const char *s, struct bv_error *err)
{
	if (!strstr(s, "allowlist")) {
		bv_fail(err, EINVAL, "\"%s\" is no policy of version 1", s);
		return bv_hint(err, "the second line is allowlist");
	}
	p->policy->default_action = SCMP_ACT_KILL_PROCESS;
	return 0;
}

/* allowlist|denylist (or the words of before) [ACTION], the action for all that is not listed. */
static int parse_policy_v2(struct parser *p, char *s, struct bv_error *err)
{
	static const struct {
		const char *name;
		uint32_t unlisted, listed;
	} words[] = {
		{ "allowlist", SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW },
		{ "whitelist", SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW },
		{ "denylist", SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS },
		{ "blacklist", SCMP_ACT_ALLOW, SCMP_ACT_KILL_PROCESS },
	};
	if (strstr(s, "debug"))
		return bv_fail(err, EINVAL, "the policy word \"debug\" is not supported");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!word_is(s, NULL, words[i].name))
			continue;
		p->policy->default_action = words[i].unlisted;
		p->rule_action = words[i].listed;
		s += strlen(words[i].name);
		int r = parse_action(&s, &p->policy->default_action, err);
		if (r < 0)
			return r;
		s += strspn(s, " \t");
		return *s ? bv_fail(err, EINVAL, "\"%s\" is not expected behind the policy", s) : 0;
	}
	bv_fail(err, EINVAL, "\"%s\" is no policy", s);
	return bv_hint(err, "the second line is allowlist or denylist");
}

static int parse_line(struct parser *p, char *s, struct bv_error *err)
{
	if (p->line == 1)
		return parse_version(p, bv_strip(s), err);
	if (p->line == 2) {
		s = bv_strip(s);
		return p->policy->version == 1 ? parse_policy_v1(p, s, err) : parse_policy_v2(p, s, err);
	}

	s[strcspn(s, "#")] = '\0';
	s = bv_strip(s);
	if (!*s)
		return 0;
	return p->policy->version == 1 ? parse_v1_line(p, s, err) : parse_v2_line(p, s, err);
}

int bv_seccomp_policy_parse(struct bv_seccomp_policy *ret, const char *text, size_t len, const char *name,
			    struct bv_error *err)
{
	struct parser p = { .policy = ret, .section = BV_SECCOMP_ALL_ARCHES };
	const char *end = len > 0 ? text + len : text;

	while (text < end) {
		p.line++;
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);
		char line[POLICY_LINE_MAX];
		int r;
		if (n >= sizeof(line) || memchr(text, '\0', n)) {
			r = bv_fail(err, EINVAL, "the line is too long or has a NUL byte");
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			r = parse_line(&p, line, err);
		}
		if (r < 0) {
			bv_error_prefix(err, "%s:%u", name, p.line);
			return r;
		}
		text = nl ? nl + 1 : end;
	}
	if (p.line < 2)
		return bv_fail(err, EINVAL, "%s: a seccomp policy has at least a version and a policy line", name);
	return 0;
}
