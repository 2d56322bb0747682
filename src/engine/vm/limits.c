/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/limits.h"

#include <errno.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

#define MIB (UINT64_C(1) << 20)

/*
 * Measured with QEMU 7.2: QEMU itself, with its maps of guest pages, takes 100 to 120 MiB under TCG beside the code
 * buffer, 50 to 60 MiB under KVM; a file server 5 to 20 MiB.
 */
enum {
	OVERHEAD_TCG_MIB = 128,
	OVERHEAD_KVM_MIB = 96,
	CODE_LEAST_MIB = 64,
	CODE_MOST_MIB = 128,
	CODE_GROWS_FROM_MIB = 320, /* of RAM: below, a smaller buffer leaves the guest more */
	PERIOD_US = 100000,        /* the kernel's default of both versions */
};

/* ---- looking up ---- */

struct found {
	const char *value; /* NULL: not set */
	const char *name;  /* of the file */
	bool v1;           /* by lxc.cgroup.*, whatever the file's name */
};

static const char *last_value(const struct bv_pair_list *l, const char *name)
{
	for (size_t i = l->n; i > 0; i--)
		if (bv_streq(l->v[i - 1].name, name))
			return l->v[i - 1].value;
	return NULL;
}

/* By either version's name, in either family. The v2 family and the v2 name go first: they are what is native today. */
static struct found look_up(const struct bv_config *cfg, const char *v2_name, const char *v1_name)
{
	const struct bv_pair_list *const families[] = { &cfg->cgroup2, &cfg->cgroup1 };
	const char *const names[] = { v2_name, v1_name };
	for (size_t f = 0; f < ARRAY_SIZE(families); f++)
		for (size_t n = 0; n < ARRAY_SIZE(names); n++) {
			const char *value = names[n] ? last_value(families[f], names[n]) : NULL;
			if (value)
				return (struct found){ .value = value, .name = names[n], .v1 = f == 1 };
		}
	return (struct found){ 0 };
}

static int fail_value(const struct found *f, const char *what, struct bv_error *err)
{
	return bv_fail(err, EINVAL, "lxc.%s.%s = %s: that is not %s", f->v1 ? "cgroup" : "cgroup2", f->name, f->value,
		       what);
}

/* ---- memory ---- */

/* v2 says "max" for no limit, v1 says -1; a number that no machine has means none either. */
static int read_memory(const struct found *f, uint64_t *ret, struct bv_error *err)
{
	*ret = 0;
	if (!f->value || bv_streq(f->value, "max") || bv_streq(f->value, "-1"))
		return 0;
	if (bv_parse_size(f->value, 1, ret) < 0)
		return fail_value(f, "a size such as 512M", err);
	if (*ret >= UINT64_C(1) << 50)
		*ret = 0;
	return 0;
}

static const char *memory_key(const struct found *f)
{
	static const char *const keys[2][2] = {
		{ "lxc.cgroup2.memory.max", "lxc.cgroup2.memory.limit_in_bytes" },
		{ "lxc.cgroup.memory.max", "lxc.cgroup.memory.limit_in_bytes" },
	};
	return f->value ? keys[f->v1][!bv_streq(f->name, "memory.max")] : NULL;
}

unsigned int bv_vm_code_buffer(uint64_t memory)
{
	uint64_t mib = memory / MIB, grown = CODE_LEAST_MIB;
	if (mib > CODE_GROWS_FROM_MIB)
		grown += mib - CODE_GROWS_FROM_MIB;
	return (unsigned int)(grown < CODE_MOST_MIB ? grown : CODE_MOST_MIB);
}

uint64_t bv_vm_overhead(uint64_t limit, bool kvm)
{
	if (kvm)
		return OVERHEAD_KVM_MIB * MIB;
	/* Above the smallest buffer each MiB of the limit is shared by RAM and buffer, up to the largest. */
	uint64_t smallest = (OVERHEAD_TCG_MIB + CODE_LEAST_MIB) * MIB;
	uint64_t grows_from = smallest + CODE_GROWS_FROM_MIB * MIB;
	uint64_t growth = limit > grows_from ? (limit - grows_from) / 2 : 0;
	uint64_t most = (CODE_MOST_MIB - CODE_LEAST_MIB) * MIB;
	return smallest + (growth < most ? growth : most);
}

/* ---- CPUs ---- */

/* "0-3,8": how many; 0 for "" */
static int count_cpuset(const struct found *f, uint32_t *ret, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv ranges = { 0 };
	if (bv_strv_split(&ranges, f->value, ", \t\n") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < ranges.n; i++) {
		char *dash = strchr(ranges.v[i], '-');
		if (dash)
			*dash = '\0';
		uint32_t first, last;
		if (bv_parse_u32(ranges.v[i], &first) < 0 || bv_parse_u32(dash ? dash + 1 : ranges.v[i], &last) < 0 ||
		    last < first || last > 1 << 16)
			return fail_value(f, "a list of CPUs such as 0-3,8", err);
		*ret += last - first + 1;
	}
	return 0;
}

static uint32_t quota_cpus(uint64_t quota, uint64_t period)
{
	uint64_t n = quota / period + (quota % period > 0);
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/* "max", "150000", "150000 100000" */
static int read_cpu_max(const struct found *f, uint32_t *ret, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	uint64_t quota, period = PERIOD_US;
	if (bv_strv_split(&words, f->value, " \t\n") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	if (words.n > 0 && bv_streq(words.v[0], "max"))
		return 0;
	if (words.n < 1 || words.n > 2 || bv_parse_u64(words.v[0], &quota) < 0 ||
	    (words.n == 2 && bv_parse_u64(words.v[1], &period) < 0) || period == 0)
		return fail_value(f, "a quota and a period such as 150000 100000", err);
	*ret = quota_cpus(quota, period);
	return 0;
}

static int read_cfs_quota(const struct bv_config *cfg, const struct found *f, uint32_t *ret, struct bv_error *err)
{
	struct found p = look_up(cfg, NULL, "cpu.cfs_period_us");
	int64_t quota;
	uint64_t period = PERIOD_US;
	if (bv_parse_i64(f->value, &quota) < 0)
		return fail_value(f, "a number", err);
	if (p.value && (bv_parse_u64(p.value, &period) < 0 || period == 0))
		return fail_value(&p, "a number", err);
	if (quota > 0)
		*ret = quota_cpus((uint64_t)quota, period);
	return 0;
}

static int read_cpus(const struct bv_config *cfg, uint32_t *ret, struct bv_error *err)
{
	struct found set = look_up(cfg, "cpuset.cpus", NULL);
	struct found quota = look_up(cfg, "cpu.max", "cpu.cfs_quota_us");
	uint32_t by_set = 0, by_quota = 0;
	int r = set.value ? count_cpuset(&set, &by_set, err) : 0;
	if (r == 0 && quota.value)
		r = bv_streq(quota.name, "cpu.max") ? read_cpu_max(&quota, &by_quota, err)
						    : read_cfs_quota(cfg, &quota, &by_quota, err);
	if (r < 0)
		return r;
	*ret = by_set == 0 || (by_quota > 0 && by_quota < by_set) ? by_quota : by_set;
	return 0;
}

int bv_vm_limits_read(struct bv_vm_limits *ret, const struct bv_config *cfg, struct bv_error *err)
{
	struct found max = look_up(cfg, "memory.max", "memory.limit_in_bytes");
	struct found high = look_up(cfg, "memory.high", NULL);
	*ret = (struct bv_vm_limits){ .memory_key = memory_key(&max) };
	int r = read_memory(&max, &ret->memory_max, err);
	if (r == 0)
		r = read_memory(&high, &ret->memory_high, err);
	if (r == 0)
		r = read_cpus(cfg, &ret->cpus, err);
	return r;
}

uint64_t bv_vm_balloon_target(uint64_t memory, uint64_t high, bool kvm)
{
	uint64_t overhead = bv_vm_overhead(high, kvm), least = BV_VM_MEMORY_LEAST_MIB * MIB;
	uint64_t target = high > overhead + least ? high - overhead : least;
	return target < memory ? target - target % MIB : memory;
}
