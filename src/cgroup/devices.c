/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cgroup/devices.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

void cgroup_devices_clear(struct cgroup_devices *list)
{
	free(list->v);
	*list = (struct cgroup_devices){ 0 };
}

bool cgroup_devices_enforces(const struct cgroup_devices *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (!list->v[i].allow)
			return true;
	}
	return list->allowlist;
}

/* A decimal number or '*'; *end is behind it. */
static int parse_number(const char *text, int64_t *ret, const char **end)
{
	if (*text == '*') {
		*ret = -1;
		*end = text + 1;
		return 0;
	}
	char digits[16];
	size_t n = strspn(text, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, n);
	digits[n] = '\0';
	unsigned long v = strtoul(digits, NULL, 10);
	if (v > INT32_MAX)
		return -ERANGE;
	*ret = (int64_t)v;
	*end = text + n;
	return 0;
}

static int parse_access(const char *text, uint8_t *ret)
{
	uint8_t access = 0;
	for (; *text; text++) {
		if (*text == 'r')
			access |= CGROUP_DEV_READ;
		else if (*text == 'w')
			access |= CGROUP_DEV_WRITE;
		else if (*text == 'm')
			access |= CGROUP_DEV_MKNOD;
		else
			return -EINVAL;
	}
	*ret = access;
	return access ? 0 : -EINVAL;
}

/* "TYPE MAJ:MIN ACCESS"; a lone "a" stands for "a *:* rwm". */
static int parse_rule(struct cgroup_device *d, const char *text)
{
	if (*text != 'a' && *text != 'b' && *text != 'c')
		return -EINVAL;
	*d = (struct cgroup_device){ .type = *text, .access = CGROUP_DEV_ALL, .major = -1, .minor = -1 };
	text++;
	if (!*text)
		return d->type == 'a' ? 0 : -EINVAL;
	if (*text != ' ' && *text != '\t')
		return -EINVAL;
	text += strspn(text, " \t");
	if (parse_number(text, &d->major, &text) < 0 || *text++ != ':' || parse_number(text, &d->minor, &text) < 0 ||
	    (*text != ' ' && *text != '\t') || parse_access(text + strspn(text, " \t"), &d->access) < 0)
		return -EINVAL;
	return 0;
}

/* The bits that a later rule for the same device decides are no longer the earlier one's. */
static void take_over(struct cgroup_devices *list, const struct cgroup_device *d)
{
	size_t kept = 0;
	for (size_t i = 0; i < list->n; i++) {
		struct cgroup_device *old = &list->v[i];
		if (old->type == d->type && old->major == d->major && old->minor == d->minor)
			old->access &= (uint8_t)~d->access;
		if (old->access)
			list->v[kept++] = *old;
	}
	list->n = kept;
}

int cgroup_devices_add(struct cgroup_devices *list, bool allow, const char *text, struct bv_error *err)
{
	const char *key = allow ? "devices.allow" : "devices.deny";
	char rule[64];
	if (strlen(text) >= sizeof(rule))
		return bv_fail(err, EINVAL, "%s = %s: too long for a device rule", key, text);
	snprintf(rule, sizeof(rule), "%s", text);

	struct cgroup_device d;
	if (parse_rule(&d, bv_strip(rule)) < 0) {
		bv_fail(err, EINVAL, "%s = %s: not a device rule", key, text);
		return bv_hint(err,
			       "write TYPE MAJOR:MINOR ACCESS, as in \"c 1:3 rwm\" or \"b *:* m\", or \"a\" for all");
	}
	d.allow = allow;
	if (d.type == 'a') {
		if (d.major >= 0 || d.minor >= 0 || d.access != CGROUP_DEV_ALL) {
			bv_fail(err, EINVAL, "%s = %s: type a stands for every device and every access", key, text);
			return bv_hint(err, "write \"a\" alone, or one rule of type b and one of type c");
		}
		list->n = 0;
		list->reset = true;
		list->allowlist = !allow;
		return 0;
	}
	if (list->n >= CGROUP_DEVICES_MAX)
		return bv_fail(err, E2BIG, "more than %d device rules", CGROUP_DEVICES_MAX);

	struct cgroup_device *v = reallocarray(list->v, list->n + 1, sizeof(*v));
	if (!v)
		return bv_fail(err, ENOMEM, "out of memory");
	list->v = v;
	take_over(list, &d);
	list->v[list->n++] = d;
	return 0;
}

static const char *direction(const struct bv_pair *pair)
{
	return bv_streq(pair->name, "devices.allow") || bv_streq(pair->name, "devices.deny") ? pair->name + 8 : NULL;
}

static bool resets(const struct bv_pair_list *pairs)
{
	for (size_t i = 0; i < pairs->n; i++) {
		if (direction(&pairs->v[i]) && pairs->v[i].value[strspn(pairs->v[i].value, " \t")] == 'a')
			return true;
	}
	return false;
}

static int add_pairs(struct cgroup_devices *list, const struct bv_pair_list *pairs, const char *prefix,
		     struct bv_error *err)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const char *dir = direction(&pairs->v[i]);
		int r = dir ? cgroup_devices_add(list, bv_streq(dir, "allow"), pairs->v[i].value, err) : 0;
		if (r < 0)
			return bv_error_prefix(err, "%s", prefix);
	}
	return 0;
}

/*
 * Without an `a` rule the mode is the version's: v1 starts with all devices allowed; for v2, LXC takes a list that
 * begins with an allow as the list of what is allowed. (It does so for one that begins with a deny too, which then
 * forbids every device; here that forbids what it names.)
 */
static void imply_mode(struct cgroup_devices *list, const struct bv_pair_list *pairs2)
{
	for (size_t i = 0; !list->reset && i < pairs2->n; i++) {
		const char *dir = direction(&pairs2->v[i]);
		if (!dir)
			continue;
		list->allowlist = bv_streq(dir, "allow");
		return;
	}
}

int cgroup_devices_from_config(struct cgroup_devices *list, const struct bv_config *cfg, bool host_is_v1,
			       struct bv_error *err)
{
	bool first_is_v1 = host_is_v1, both = true;
	bool reset1 = resets(&cfg->cgroup1), reset2 = resets(&cfg->cgroup2);
	if (reset1 && reset2)
		both = false;
	else if (reset1 != reset2)
		first_is_v1 = reset1;

	int r = 0;
	for (int turn = 0; turn < (both ? 2 : 1) && r == 0; turn++) {
		bool v1 = first_is_v1 == (turn == 0);
		r = v1 ? add_pairs(list, &cfg->cgroup1, "lxc.cgroup", err)
		       : add_pairs(list, &cfg->cgroup2, "lxc.cgroup2", err);
	}
	if (r == 0)
		imply_mode(list, &cfg->cgroup2);
	return r;
}

void cgroup_device_format(const struct cgroup_device *d, char buf[64])
{
	char major[24] = "*", minor[24] = "*";
	if (d->major >= 0)
		snprintf(major, sizeof(major), "%" PRId64, d->major);
	if (d->minor >= 0)
		snprintf(minor, sizeof(minor), "%" PRId64, d->minor);
	snprintf(buf, 64, "%c %s:%s %s%s%s", d->type, major, minor, d->access & CGROUP_DEV_READ ? "r" : "",
		 d->access & CGROUP_DEV_WRITE ? "w" : "", d->access & CGROUP_DEV_MKNOD ? "m" : "");
}

char *cgroup_devices_text(const struct cgroup_devices *list)
{
	struct bv_buf buf = { 0 };
	bv_buf_puts(&buf, list->allowlist ? "deny a\n" : "allow a\n");
	for (size_t i = 0; i < list->n; i++) {
		char rule[64];
		cgroup_device_format(&list->v[i], rule);
		bv_buf_printf(&buf, "%s %s\n", list->v[i].allow ? "allow" : "deny", rule);
	}
	return bv_buf_take(&buf);
}

int cgroup_devices_parse(struct cgroup_devices *list, const char *text, struct bv_error *err)
{
	autofree char *copy = strdup(text);
	if (!copy)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = 0;
	for (char *save, *line = strtok_r(copy, "\n", &save); line && r == 0; line = strtok_r(NULL, "\n", &save)) {
		const char *rule = bv_after(line, "allow ");
		bool allow = rule;
		if (!rule)
			rule = bv_after(line, "deny ");
		r = rule ? cgroup_devices_add(list, allow, rule, err)
			 : bv_fail(err, EINVAL, "\"%s\" is not a device rule", line);
	}
	return r;
}
