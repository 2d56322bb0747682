/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cgroup/translate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/num.h"
#include "util/str.h"

struct rule;

/* Fill ret[0..]; how many, or a negative errno: the value has no counterpart (-ENOTSUP) or is wrong (-EINVAL). */
typedef int (*convert_fn)(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
			  const struct cgroup_context *context);

struct rule {
	const char *v1, *v2; /* NULL: that version has nothing like it */
	convert_fn convert;
	const char *arg;   /* for `convert`; without one: why there is no counterpart */
	const char *use;   /* the key to use in its place, or NULL */
	bool same_reading; /* both files read alike (but for "max") */
};

static void put(struct cgroup_write *w, const char *file, const char *value)
{
	*w = (struct cgroup_write){ 0 };
	snprintf(w->file, sizeof(w->file), "%s", file);
	snprintf(w->value, sizeof(w->value), "%s", value);
}

static const char *target(const struct rule *rule, bool from_v1)
{
	return from_v1 ? rule->v2 : rule->v1;
}

static int same(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		const struct cgroup_context *context)
{
	(void)context;
	put(ret, target(rule, from_v1), value);
	return 1;
}

/* v1 says "-1" for no limit, v2 "max". */
static int limit(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		 const struct cgroup_context *context)
{
	if (bv_streq(value, from_v1 ? "-1" : "max"))
		value = from_v1 ? "max" : "-1";
	return same(ret, rule, from_v1, value, context);
}

/*
 * Under pressure v1 takes from what is above its soft limit first, v2 spares what is below memory.low: the same line.
 * v1's default, no soft limit, spares nothing more than others: that is 0.
 */
static int soft_limit(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		      const struct cgroup_context *context)
{
	if (from_v1 && bv_streq(value, "-1"))
		value = "0";
	else if (!from_v1 && bv_streq(value, "0"))
		value = "-1";
	else if (!from_v1 && bv_streq(value, "max"))
		return -ENOTSUP;
	return same(ret, rule, from_v1, value, context);
}

/* The kernel's own relation: weight 100 is 1024 shares (kernel/sched/core.c, cpu_weight_write_u64). */
static int shares(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		  const struct cgroup_context *context)
{
	uint64_t v;
	if (bv_parse_u64(value, &v) < 0 || v > UINT32_MAX)
		return -EINVAL;
	v = from_v1 ? (v * 100 + 512) / 1024 : (v * 1024 + 50) / 100;
	if (from_v1)
		v = v < 1 ? 1 : v > 10000 ? 10000 : v;
	char text[32];
	snprintf(text, sizeof(text), "%" PRIu64, v);
	return same(ret, rule, from_v1, text, context);
}

/*
 * blkio.weight is 10 to 1000 with 500 as default, io.weight 1 to 10000 with 100 as default; BFQ's files (1 to 1000, 100
 * as default) stand in where they are all the kernel has.
 */
static int io_weight(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		     const struct cgroup_context *context)
{
	uint64_t v;
	const char *plain = from_v1 ? NULL : bv_after(value, "default ");
	if (bv_parse_u64(plain ? plain : value, &v) < 0 || v < 1 || v > 10000)
		return strchr(value, ':') ? -ENOTSUP : -EINVAL;
	uint64_t bfq = from_v1 ? v / 5 : v;
	bfq = bfq < 1 ? 1 : bfq > 1000 ? 1000 : bfq;
	v = from_v1 ? v / 5 : v * 5;
	v = from_v1 ? (v < 1 ? 1 : v) : v < 10 ? 10 : v > 1000 ? 1000 : v;

	char text[32];
	snprintf(text, sizeof(text), "%" PRIu64, v);
	int n = same(ret, rule, from_v1, text, context);
	snprintf(ret->alt_file, sizeof(ret->alt_file), "%s", from_v1 ? "io.bfq.weight" : "blkio.bfq.weight");
	snprintf(ret->alt_value, sizeof(ret->alt_value), "%" PRIu64, bfq);
	return n;
}

/* "8:0 1048576" in one of four files is "8:0 rbps=1048576" in io.max; 0 is no limit. `arg` is the word in io.max. */
static int throttle_to_v2(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
			  const struct cgroup_context *context)
{
	(void)context;
	unsigned int major, minor;
	uint64_t v;
	int end = -1;
	if (!from_v1 || sscanf(value, "%u:%u %" SCNu64 "%n", &major, &minor, &v, &end) != 3 || value[end])
		return -EINVAL;
	char text[96];
	if (v == 0)
		snprintf(text, sizeof(text), "%u:%u %s=max", major, minor, rule->arg);
	else
		snprintf(text, sizeof(text), "%u:%u %s=%" PRIu64, major, minor, rule->arg, v);
	put(ret, rule->v2, text);
	return 1;
}

static int throttle_to_v1(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
			  const struct cgroup_context *context)
{
	static const char *const words[][2] = {
		{ "rbps=", "blkio.throttle.read_bps_device" },
		{ "wbps=", "blkio.throttle.write_bps_device" },
		{ "riops=", "blkio.throttle.read_iops_device" },
		{ "wiops=", "blkio.throttle.write_iops_device" },
	};
	(void)rule;
	(void)from_v1;
	(void)context;
	char copy[192];
	if (strlen(value) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, value, strlen(value) + 1);
	char *save, *device = strtok_r(copy, " ", &save);
	unsigned int major, minor;
	int n = 0, end = -1;
	if (!device || sscanf(device, "%u:%u%n", &major, &minor, &end) != 2 || device[end])
		return -EINVAL;
	for (char *word; (word = strtok_r(NULL, " ", &save)); n++) {
		size_t i = 0;
		while (i < 4 && !bv_after(word, words[i][0]))
			i++;
		if (i == 4 || n == CGROUP_WRITES_MAX)
			return -EINVAL;
		const char *number = bv_after(word, words[i][0]);
		char text[96];
		snprintf(text, sizeof(text), "%u:%u %.40s", major, minor, bv_streq(number, "max") ? "0" : number);
		put(&ret[n], words[i][1], text);
	}
	return n > 0 ? n : -EINVAL;
}

/* cpu.cfs_quota_us and cpu.cfs_period_us are the two words of cpu.max; a quota alone keeps the period. */
static int quota_to_v2(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		       const struct cgroup_context *context)
{
	(void)from_v1;
	bool is_period = bv_streq(rule->v1, "cpu.cfs_period_us");
	char quota[64], period[64] = "";
	const char *other = context->lookup(context->data, is_period ? "cpu.cfs_quota_us" : "cpu.cfs_period_us");
	if (strlen(value) >= sizeof(quota) || (other && strlen(other) >= sizeof(period)))
		return -EINVAL;
	snprintf(quota, sizeof(quota), "%.40s", is_period ? (other ? other : "-1") : value);
	snprintf(period, sizeof(period), "%.40s", is_period ? value : (other ? other : ""));
	char text[160];
	snprintf(text, sizeof(text), "%s%s%s", bv_streq(quota, "-1") ? "max" : quota, *period ? " " : "", period);
	put(ret, rule->v2, text);
	return 1;
}

static int quota_to_v1(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		       const struct cgroup_context *context)
{
	(void)rule;
	(void)from_v1;
	(void)context;
	char quota[64], period[64] = "", rest;
	int words = sscanf(value, "%63s %63s %c", quota, period, &rest);
	if (words < 1 || words > 2)
		return -EINVAL;
	int n = 0;
	if (*period)
		put(&ret[n++], "cpu.cfs_period_us", period);
	put(&ret[n++], "cpu.cfs_quota_us", bv_streq(quota, "max") ? "-1" : quota);
	return n;
}

/* A size as the kernel's memparse reads it; UINT64_MAX for `unlimited`. */
static int memory_size(const char *text, const char *unlimited, uint64_t *ret)
{
	if (!text)
		return -ENOTSUP;
	if (bv_streq(text, unlimited)) {
		*ret = UINT64_MAX;
		return 0;
	}
	return bv_parse_size(text, 1, ret) < 0 ? -EINVAL : 0;
}

/* v1 limits memory and swap together, v2 swap alone. */
static int swap_limit(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		      const struct cgroup_context *context)
{
	uint64_t swap, memory;
	const char *unlimited = from_v1 ? "-1" : "max";
	if (memory_size(value, unlimited, &swap) < 0)
		return -EINVAL;
	char text[32];
	if (swap == UINT64_MAX) {
		snprintf(text, sizeof(text), "%s", from_v1 ? "max" : "-1");
	} else {
		int r = memory_size(context->lookup(context->data, from_v1 ? "memory.limit_in_bytes" : "memory.max"),
				    unlimited, &memory);
		/* Beyond 2^62 is v1's way to read "no limit" back. */
		if (r < 0 || memory >= UINT64_C(1) << 62)
			return r < 0 ? r : -ENOTSUP;
		if (from_v1 && swap < memory)
			return -EINVAL;
		swap = from_v1 ? swap - memory : swap + memory;
		snprintf(text, sizeof(text), "%" PRIu64, swap);
	}
	same(ret, rule, from_v1, text, context);
	ret->late = true;
	return 1;
}

static int freezer(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		   const struct cgroup_context *context)
{
	static const char *const words[2][2] = { { "THAWED", "FROZEN" }, { "0", "1" } };
	for (int i = 0; i < 2; i++) {
		if (bv_streq(value, words[!from_v1][i]))
			return same(ret, rule, from_v1, words[from_v1][i], context);
	}
	return -EINVAL;
}

/* What v1 can switch on is how v2 always is. */
static int always(struct cgroup_write *ret, const struct rule *rule, bool from_v1, const char *value,
		  const struct cgroup_context *context)
{
	(void)ret;
	(void)rule;
	(void)from_v1;
	(void)context;
	return bv_streq(value, "1") ? 0 : -ENOTSUP;
}

static const char kmem_reason[] = "v2 counts the kernel's memory in memory.max";
static const char rt_reason[] = "v2 has no real-time budget of a cgroup";

static const struct rule rules[] = {
	{ "memory.limit_in_bytes", "memory.max", limit, NULL, NULL, true },
	{ "memory.soft_limit_in_bytes", "memory.low", soft_limit, NULL, NULL, false },
	{ "memory.memsw.limit_in_bytes", "memory.swap.max", swap_limit,
	  "the one limits memory and swap together, the other swap alone: a limit of memory must be set too", NULL,
	  false },
	{ "memory.usage_in_bytes", "memory.current", NULL, "it is for reading", NULL, true },
	{ "memory.max_usage_in_bytes", "memory.peak", NULL, "it is for reading", NULL, true },
	{ "memory.use_hierarchy", NULL, always, "v2 always counts what is nested", NULL, false },
	{ "memory.swappiness", NULL, NULL, "v2 has the host's vm.swappiness alone", "memory.swap.max", false },
	{ "memory.kmem.limit_in_bytes", NULL, NULL, kmem_reason, "memory.max", false },
	{ "memory.kmem.tcp.limit_in_bytes", NULL, NULL, kmem_reason, "memory.max", false },
	{ "memory.oom_control", NULL, NULL, "v2 cannot switch the OOM killer off", "memory.high", false },
	{ NULL, "memory.high", NULL, "v1 cannot slow down by memory", "memory.limit_in_bytes", false },
	{ NULL, "memory.min", NULL, "v1 has no hard protection of memory", "memory.soft_limit_in_bytes", false },
	{ NULL, "memory.swap.high", NULL, "v1 cannot slow down by swap", "memory.memsw.limit_in_bytes", false },
	{ NULL, "memory.oom.group", NULL, "v1 always ends one process", NULL, false },
	{ NULL, "memory.zswap.max", NULL, "v1 does not limit zswap", NULL, false },
	{ "cpu.shares", "cpu.weight", shares, NULL, NULL, false },
	{ "cpu.cfs_quota_us", "cpu.max", quota_to_v2, NULL, NULL, false },
	{ "cpu.cfs_period_us", "cpu.max", quota_to_v2, NULL, NULL, false },
	{ NULL, "cpu.max", quota_to_v1, NULL, "cpu.cfs_quota_us", false },
	{ "cpu.cfs_burst_us", "cpu.max.burst", same, NULL, NULL, true },
	{ "cpu.idle", "cpu.idle", same, NULL, NULL, true },
	{ "cpu.uclamp.min", "cpu.uclamp.min", same, NULL, NULL, true },
	{ "cpu.uclamp.max", "cpu.uclamp.max", same, NULL, NULL, true },
	{ "cpu.rt_runtime_us", NULL, NULL, rt_reason, "cpu.max", false },
	{ "cpu.rt_period_us", NULL, NULL, rt_reason, "cpu.max", false },
	{ NULL, "cpu.weight.nice", NULL, "v1 has shares alone", "cpu.shares", false },
	{ "cpuacct.usage", NULL, NULL, "it is for reading", "cpu.stat", false },
	{ NULL, "cpu.stat", NULL, "it is for reading", "cpuacct.usage", false },
	{ "cpuset.cpus", "cpuset.cpus", same, NULL, NULL, true },
	{ "cpuset.mems", "cpuset.mems", same, NULL, NULL, true },
	{ "cpuset.memory_migrate", NULL, always, "v2 always moves the memory along", NULL, false },
	{ "cpuset.cpu_exclusive", NULL, NULL, "v2 has partitions", "cpuset.cpus.partition", false },
	{ NULL, "cpuset.cpus.partition", NULL, "v1 has no partitions", "cpuset.cpu_exclusive", false },
	{ "pids.max", "pids.max", same, NULL, NULL, true },
	{ "pids.current", "pids.current", NULL, "it is for reading", NULL, true },
	{ "rdma.max", "rdma.max", same, NULL, NULL, true },
	{ "misc.max", "misc.max", same, NULL, NULL, true },
	{ "blkio.weight", "io.weight", io_weight, "the weight of a single device is not carried over", NULL, false },
	{ "blkio.bfq.weight", "io.bfq.weight", same, NULL, NULL, true },
	{ "blkio.weight_device", NULL, NULL, "its scale differs", "io.weight", false },
	{ "blkio.throttle.read_bps_device", "io.max", throttle_to_v2, "rbps", NULL, false },
	{ "blkio.throttle.write_bps_device", "io.max", throttle_to_v2, "wbps", NULL, false },
	{ "blkio.throttle.read_iops_device", "io.max", throttle_to_v2, "riops", NULL, false },
	{ "blkio.throttle.write_iops_device", "io.max", throttle_to_v2, "wiops", NULL, false },
	{ NULL, "io.max", throttle_to_v1, NULL, "blkio.throttle.read_bps_device", false },
	{ NULL, "io.latency", NULL, "v1 has no target for latency", "blkio.throttle.read_bps_device", false },
	{ NULL, "io.stat", NULL, "it is for reading", "blkio.throttle.io_service_bytes", false },
	{ "freezer.state", "cgroup.freeze", freezer, NULL, NULL, false },
	{ "net_cls.classid", NULL, NULL, "on v2 packets are told apart by the cgroup's path (nft: socket cgroupv2)",
	  NULL, false },
	{ "net_prio.ifpriomap", NULL, NULL, "on v2 packets are told apart by the cgroup's path (nft: socket cgroupv2)",
	  NULL, false },
};

/* hugetlb.2MB.limit_in_bytes is hugetlb.2MB.max, for every page size. */
static const char *hugetlb_name(bool from_v1, const char *key, char *buf, size_t size)
{
	const char *from = from_v1 ? ".limit_in_bytes" : ".max";
	size_t len = strlen(key), tail = strlen(from);
	if (!bv_after(key, "hugetlb.") || len <= tail + 8 || !bv_streq(key + len - tail, from) || len >= size - 16)
		return NULL;
	snprintf(buf, size, "%.*s%s", (int)(len - tail), key, from_v1 ? ".max" : ".limit_in_bytes");
	return buf;
}

/* The row that has `key` on its side; of two the one that can be converted from there. */
static const struct rule *find_rule(bool from_v1, const char *key)
{
	const struct rule *found = NULL;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const char *name = from_v1 ? rules[i].v1 : rules[i].v2;
		if (!name || !bv_streq(name, key))
			continue;
		if (!target(&rules[i], from_v1) || !found)
			found = &rules[i];
	}
	return found;
}

int cgroup_translate(struct cgroup_write ret[CGROUP_WRITES_MAX], bool from_v1, const char *key, const char *value,
		     const struct cgroup_context *context, struct bv_error *err)
{
	const char *other = from_v1 ? "v2" : "v1", *family = from_v1 ? "lxc.cgroup" : "lxc.cgroup2";
	char name[128];
	const struct rule hugetlb = { from_v1 ? key : hugetlb_name(false, key, name, sizeof(name)),
				      from_v1 ? hugetlb_name(true, key, name, sizeof(name)) : key,
				      limit,
				      NULL,
				      NULL,
				      true };
	const struct rule *rule = hugetlb.v1 && hugetlb.v2 ? &hugetlb : find_rule(from_v1, key);
	if (!rule) {
		bv_fail(err, ENOTSUP, "%s.%s: this host keeps that in cgroup %s, which has no counterpart of it",
			family, key, other);
		return bv_hint(err, "remove the key from the config");
	}
	int r = rule->convert ? rule->convert(ret, rule, from_v1, value, context) : -ENOTSUP;
	if (r == -EINVAL)
		return bv_fail(err, r, "%s.%s = %s: not a value that key takes", family, key, value);
	if (r >= 0)
		return r;
	bv_fail(err, ENOTSUP, "%s.%s = %s cannot be said in cgroup %s, which this host has%s%s", family, key, value,
		other, rule->arg ? ": " : "", rule->arg ? rule->arg : "");
	if (rule->use)
		return bv_hint(err, "use lxc.%s.%s, or remove the key", from_v1 ? "cgroup2" : "cgroup", rule->use);
	return bv_hint(err, "remove the key from the config");
}

const char *cgroup_translate_name(bool from_v1, const char *key, char *buf, size_t size)
{
	const struct rule *rule = find_rule(from_v1, key);
	if (rule)
		return rule->same_reading ? target(rule, from_v1) : NULL;
	return hugetlb_name(from_v1, key, buf, size);
}

const char *cgroup_translate_hint(bool from_v1, const char *key)
{
	const struct rule *rule = find_rule(from_v1, key);
	if (!rule)
		return NULL;
	return rule->use ? rule->use : target(rule, from_v1);
}

const char *cgroup_v1_controller(const char *key, char *buf, size_t size)
{
	static const char *const files[][2] = { { "cpu.stat", "cpuacct" }, { "cgroup.freeze", "freezer" } };
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (bv_streq(key, files[i][0]))
			return files[i][1];
	}
	size_t n = strcspn(key, ".");
	snprintf(buf, size, "%.*s", (int)n, key);
	return bv_streq(buf, "io") ? "blkio" : buf;
}
