/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/personality.h>
#include <sys/resource.h>

#include "util/cleanup.h"
#include "util/log.h"
#include "util/num.h"

/* Types of keys about init, its environment and its limits. */

/* ---- lxc.arch: offset is the name, offset2 the personality ---- */

static const struct {
	const char *name;
	bool is_32bit;
} arches[] = {
	{ "aarch64", false }, { "amd64", false },	{ "arm", true },	{ "arm64", false },
	{ "armel", true },    { "armhf", true },	{ "armv7l", true },	{ "athlon", true },
	{ "i386", true },     { "i486", true },		{ "i586", true },	{ "i686", true },
	{ "linux32", true },  { "linux64", false },	{ "loong64", false },	{ "mips", true },
	{ "mips64", false },  { "loongarch64", false }, { "mips64el", false },	{ "mipsel", true },
	{ "powerpc", true },  { "ppc", true },		{ "powerpc64", false }, { "ppc64", false },
	{ "ppc64el", false }, { "ppc64le", false },	{ "riscv64", false },	{ "s390x", false },
	{ "x32", true },      { "x86", true },		{ "x86_64", false },
};

static int arch_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	const char *names[ARRAY_SIZE(arches)];
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++) {
		names[i] = arches[i].name;
		if (!bv_streq(value, arches[i].name))
			continue;
		int ret = bv_string_replace(r, value, err);
		if (ret == 0)
			r->cfg->personality = arches[i].is_32bit ? PER_LINUX32 : PER_LINUX;
		return ret;
	}
	int ret = bv_fail(err, EINVAL, "\"%s\" is not an architecture that is known here", value);
	const char *near = bv_nearest(value, names, ARRAY_SIZE(names));
	if (near)
		bv_hint(err, "did you mean %s?", near);
	return ret;
}

static void arch_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	if (r->cfg->arch)
		bv_buf_puts(out, r->cfg->personality == PER_LINUX32 ? "i686" : "x86_64");
}

static void arch_clear(const struct bv_key_ref *r)
{
	free(r->cfg->arch);
	r->cfg->arch = NULL;
	r->cfg->personality = ULONG_MAX;
}

static void arch_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	if (r->cfg->arch)
		bv_dump_line(out, name, r->cfg->arch);
}

const struct bv_key_type bv_type_arch = { arch_set, arch_get, arch_clear, arch_dump, 0, NULL };

/* ---- signals; `arg` is the value when unset: 0, or -1 for one that means SIGKILL then ---- */

static int signal_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	int sig = bv_signal_parse(value);
	if (sig < 0)
		return bv_fail(err, EINVAL, "\"%s\" is neither the name nor the number of a signal", value);
	*(int *)bv_key_field(r) = sig;
	return 0;
}

static void signal_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	int sig = *(int *)bv_key_field(r);
	bv_buf_printf(out, "%d", sig < 0 ? SIGKILL : sig);
}

static void signal_clear(const struct bv_key_ref *r)
{
	*(int *)bv_key_field(r) = r->key->arg;
}

static void signal_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char buf[16];
	int sig = *(int *)bv_key_field(r);
	if (sig == r->key->arg)
		return;
	snprintf(buf, sizeof(buf), "%d", sig);
	bv_dump_line(out, name, buf);
}

const struct bv_key_type bv_type_signal = { signal_set, signal_get, signal_clear, signal_dump, sizeof(int), NULL };

/* ---- clock offsets; offset2 is the flag, `data` what LXC prints between number and unit ---- */

static const struct {
	const char *unit;
	int64_t ns;
} time_units[] = {
	{ "h", INT64_C(3600000000000) },
	{ "m", INT64_C(60000000000) },
	{ "s", 1000000000 },
	{ "ms", 1000000 },
	{ "us", 1000 },
	{ "ns", 1 },
};

static bool *time_flag(const struct bv_key_ref *r)
{
	return (bool *)((char *)r->cfg + r->key->offset2);
}

static int time_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	char digits[32];
	size_t n = strspn(value, "-0123456789");
	const char *unit = value + n + strspn(value + n, " \t");
	int64_t number, ns;

	memcpy(digits, value, n < sizeof(digits) ? n : 0);
	digits[n < sizeof(digits) ? n : 0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(time_units); i++) {
		if (!bv_streq(unit, time_units[i].unit))
			continue;
		if (bv_parse_i64(digits, &number) < 0 || __builtin_mul_overflow(number, time_units[i].ns, &ns))
			break;
		*(int64_t *)bv_key_field(r) = ns;
		*time_flag(r) = true;
		return 0;
	}
	return bv_fail(err, EINVAL, "\"%s\" is not a time with a unit of h, m, s, ms, us or ns", value);
}

static void time_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	int64_t ns = *(int64_t *)bv_key_field(r);
	const char *gap = r->key->data;
	if (ns != 0 && ns % 1000000000 == 0)
		bv_buf_printf(out, "%" PRId64 "%ss\n", ns / 1000000000, gap);
	else
		bv_buf_printf(out, "%" PRId64 "%sns\n", ns, gap);
}

static void time_clear(const struct bv_key_ref *r)
{
	*(int64_t *)bv_key_field(r) = 0;
	*time_flag(r) = false;
}

static void time_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	char buf[32];
	if (!*time_flag(r))
		return;
	snprintf(buf, sizeof(buf), "%" PRId64 "ns", *(int64_t *)bv_key_field(r));
	bv_dump_line(out, name, buf);
}

const struct bv_key_type bv_type_time_offset = { time_set, time_get, time_clear, time_dump, 0, NULL };

/* ---- lxc.init.groups ---- */

static int groups_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv parts = { 0 }, gids = { 0 };
	if (bv_strv_split(&parts, value, ",") < 0)
		return bv_no_memory(err);
	for (size_t i = 0; i < parts.n; i++) {
		uint32_t gid;
		char *part = bv_strip(parts.v[i]);
		if (!*part)
			continue;
		if (bv_parse_u32(part, &gid) < 0 || gid == UINT32_MAX)
			return bv_fail(err, EINVAL, "\"%s\" is not a group id", part);
		if (bv_strv_addf(&gids, "%" PRIu32, gid) < 0)
			return bv_no_memory(err);
	}
	if (bv_strv_copy(&r->cfg->init_groups, &gids) < 0)
		return bv_no_memory(err);
	r->cfg->init_groups_set = r->cfg->init_groups.n > 0;
	return 0;
}

static void groups_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	size_t start = out->len;
	for (size_t i = 0; i < r->cfg->init_groups.n; i++) {
		bv_buf_separate(out, start, ',');
		bv_buf_puts(out, r->cfg->init_groups.v[i]);
	}
}

static void groups_clear(const struct bv_key_ref *r)
{
	bv_strv_clear(&r->cfg->init_groups);
	r->cfg->init_groups_set = false;
}

static void groups_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	for (size_t i = 0; i < r->cfg->init_groups.n; i++)
		bv_dump_line(out, name, r->cfg->init_groups.v[i]);
}

const struct bv_key_type bv_type_init_groups = { groups_set, groups_get, groups_clear, groups_dump, 0, NULL };

/* ---- lxc.environment*: "K=V", or "K" with the caller's value ---- */

/* What is inherited must fit into one line of the snapshot that bv_config_dump makes. */
enum { INHERITED_MAX = 60 * 1024 };

static int environment_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	const char *equals = strchr(value, '=');
	if (equals == value)
		return bv_fail(err, EINVAL, "the variable in \"%s\" has no name", value);
	if (equals)
		return bv_strv_add(bv_key_field(r), value) < 0 ? bv_no_memory(err) : 0;

	const char *inherited = getenv(value);
	if (!inherited) {
		int ret = bv_fail(err, EINVAL, "there is no variable %s in the environment to inherit", value);
		bv_hint(err, "give it a value: %s = %s=VALUE", r->key->name, value);
		return ret;
	}
	if (strpbrk(inherited, "\r\n") || strlen(inherited) > INHERITED_MAX)
		return bv_fail(err, EINVAL, "the inherited value of %s has a line break or is longer than 60 KiB",
			       value);
	return bv_strv_addf(bv_key_field(r), "%s=%s", value, inherited) < 0 ? bv_no_memory(err) : 0;
}

const struct bv_key_type bv_type_environment = {
	environment_set, bv_lines_get, bv_lines_clear, bv_lines_dump, 0, NULL,
};

/* ---- lxc.prlimit.NAME ---- */

static const struct {
	const char *name;
	int resource;
} resources[] = {
	{ "as", RLIMIT_AS },	       { "core", RLIMIT_CORE },		{ "cpu", RLIMIT_CPU },
	{ "data", RLIMIT_DATA },       { "fsize", RLIMIT_FSIZE },	{ "locks", RLIMIT_LOCKS },
	{ "memlock", RLIMIT_MEMLOCK }, { "msgqueue", RLIMIT_MSGQUEUE }, { "nice", RLIMIT_NICE },
	{ "nofile", RLIMIT_NOFILE },   { "nproc", RLIMIT_NPROC },	{ "rss", RLIMIT_RSS },
	{ "rtprio", RLIMIT_RTPRIO },   { "rttime", RLIMIT_RTTIME },	{ "sigpending", RLIMIT_SIGPENDING },
	{ "stack", RLIMIT_STACK },
};

static const char *resource_name(int resource)
{
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
		if (resources[i].resource == resource)
			return resources[i].name;
	return "";
}

static bool rlimit_has(const char *sub)
{
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++)
		if (bv_streq(sub, resources[i].name))
			return true;
	return false;
}

static int resource_parse(const char *name, struct bv_error *err)
{
	const char *names[ARRAY_SIZE(resources)];
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		names[i] = resources[i].name;
		if (bv_streq(name, resources[i].name))
			return resources[i].resource;
	}
	int r = bv_fail(err, EINVAL, "\"%s\" is not a resource limit", name);
	const char *near = bv_nearest(name, names, ARRAY_SIZE(names));
	if (near)
		bv_hint(err, "did you mean lxc.prlimit.%s?", near);
	return r;
}

/* Decimal, as LXC reads these. */
static int limit_parse(char *text, uint64_t *ret, struct bv_error *err)
{
	text = bv_strip(text);
	if (bv_streq(text, "unlimited")) {
		*ret = UINT64_MAX;
		return 0;
	}
	const char *digits = text + strspn(text, "0");
	if (*text && !*digits)
		digits--; /* only zeros: keep one */
	if (strspn(text, "0123456789") != strlen(text) || bv_parse_u64(digits, ret) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is neither a number nor \"unlimited\"", text);
	return 0;
}

static int rlimit_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	struct bv_config *cfg = r->cfg;
	if (!r->sub)
		return bv_fail(err, EINVAL, "a name is missing: lxc.prlimit.NAME");
	struct bv_rlimit limit = { .resource = resource_parse(r->sub, err) };
	if (limit.resource < 0)
		return limit.resource;

	autofree char *copy = strdup(value);
	if (!copy)
		return bv_no_memory(err);
	char *hard = strchr(copy, ':');
	if (hard)
		*hard++ = '\0';
	int ret = limit_parse(copy, &limit.soft, err);
	limit.hard = limit.soft;
	if (ret == 0 && hard)
		ret = limit_parse(hard, &limit.hard, err);
	if (ret < 0)
		return ret;
	if (limit.soft > limit.hard)
		return bv_fail(err, EINVAL, "the soft limit in \"%s\" is above the hard limit", value);

	for (size_t i = 0; i < cfg->n_rlimits; i++) {
		if (cfg->rlimits[i].resource == limit.resource) {
			cfg->rlimits[i] = limit;
			return 0;
		}
	}
	if (bv_array_grow(&cfg->rlimits, cfg->n_rlimits, sizeof(limit)) < 0)
		return bv_no_memory(err);
	cfg->rlimits[cfg->n_rlimits++] = limit;
	return 0;
}

static const char *limit_format(uint64_t limit, char *buf, size_t size)
{
	if (limit == UINT64_MAX)
		return "unlimited";
	snprintf(buf, size, "%" PRIu64, limit);
	return buf;
}

static void rlimit_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	char soft[24], hard[24];
	for (size_t i = 0; i < r->cfg->n_rlimits; i++) {
		const struct bv_rlimit *l = &r->cfg->rlimits[i];
		const char *name = resource_name(l->resource);
		if (r->sub && !bv_streq(r->sub, name))
			continue;
		if (!r->sub)
			bv_buf_printf(out, "%s.%s = ", r->key->name, name);
		bv_buf_puts(out, limit_format(l->soft, soft, sizeof(soft)));
		if (l->hard != l->soft)
			bv_buf_printf(out, ":%s", limit_format(l->hard, hard, sizeof(hard)));
		if (!r->sub)
			bv_buf_putc(out, '\n');
	}
}

static void rlimit_clear(const struct bv_key_ref *r)
{
	struct bv_config *cfg = r->cfg;
	size_t kept = 0;
	for (size_t i = 0; r->sub && i < cfg->n_rlimits; i++)
		if (!bv_streq(r->sub, resource_name(cfg->rlimits[i].resource)))
			cfg->rlimits[kept++] = cfg->rlimits[i];
	cfg->n_rlimits = kept;
	if (kept == 0) {
		free(cfg->rlimits);
		cfg->rlimits = NULL;
	}
}

static void rlimit_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	(void)name;
	rlimit_get(r, out);
}

const struct bv_key_type bv_type_rlimit = { rlimit_set, rlimit_get, rlimit_clear, rlimit_dump, 0, rlimit_has };

/* ---- lxc.log.level, lxc.log.syslog, lxc.keyring.session: -1 is unset ---- */

static int log_level_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	int level = bv_log_level_parse(value);
	if (level < 0)
		return bv_fail(err, EINVAL, "\"%s\" is not a log level: TRACE to FATAL, or 0 to 8", value);
	*(int *)bv_key_field(r) = level;
	return 0;
}

static void log_level_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	const char *name = bv_log_level_name(*(int *)bv_key_field(r));
	bv_buf_puts(out, name ? name : "NOTSET");
}

static void minus_one(const struct bv_key_ref *r)
{
	*(int *)bv_key_field(r) = -1;
}

const struct bv_key_type bv_type_log_level = { log_level_set, log_level_get, minus_one, NULL, sizeof(int), NULL };

static int keyring_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	if (bv_parse_bool(value, bv_key_field(r)) < 0)
		return bv_fail(err, EINVAL, "\"%s\" is neither 0 nor 1", value);
	return 0;
}

static void keyring_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	bv_buf_putc(out, *(int *)bv_key_field(r) == 1 ? '1' : '0');
}

const struct bv_key_type bv_type_keyring = { keyring_set, keyring_get, minus_one, NULL, sizeof(int), NULL };

static int syslog_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	bool local = strncasecmp(value, "local", 5) == 0 && value[5] >= '0' && value[5] <= '7' && !value[6];
	if (!local && strcasecmp(value, "daemon") != 0)
		return bv_fail(err, EINVAL, "\"%s\" is neither daemon nor local0 to local7", value);
	return bv_string_replace(r, value, err);
}

const struct bv_key_type bv_type_syslog = { syslog_set, bv_string_get, bv_string_clear, bv_string_dump, 0, NULL };
