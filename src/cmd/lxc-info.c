/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd-json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct info_args {
	struct cmd_common common;
	struct bv_strv keys;
	bool state, pid, engine, ips, stats, raw;
	const char *format;
};

#define ARG(member) offsetof(struct info_args, member)

static const struct cmd_option options[] = {
	{ 'c', "config", "KEY", CMD_LIST, ARG(keys), "print the configuration key KEY; may be repeated" },
	{ 'i', "ips", NULL, CMD_FLAG, ARG(ips), "print the IP addresses" },
	{ 'p', "pid", NULL, CMD_FLAG, ARG(pid), "print the process id of its init" },
	{ 'S', "stats", NULL, CMD_FLAG, ARG(stats), "print what it uses" },
	{ 'H', "no-humanize", NULL, CMD_FLAG, ARG(raw),
	  "print plain numbers; with one of -i, -p, -s or one -c the value alone" },
	{ 's', "state", NULL, CMD_FLAG, ARG(state), "print the state" },
	{ 0, "format", "FORMAT", CMD_STRING, ARG(format), "json: print all as a JSON object" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-info",
	.synopsis = "--name=NAME [OPTION...]",
	.summary = "Print the state of an instance and what it uses; without -c, -i, -p, -s, -S all there is",
	.options = options,
};

/* LXC's columns: scripts cut at them. */
static void add_line(struct bv_buf *out, bool bare, const char *label, const char *value)
{
	if (bare)
		bv_buf_printf(out, "%s\n", value);
	else
		bv_buf_printf(out, "%-15s %s\n", label, value);
}

static void add_size(struct bv_buf *out, const struct info_args *a, const char *label, uint64_t n)
{
	static const char units[] = "KMG";
	char text[32];
	int unit = n > 1ULL << 30 ? 2 : n > 1ULL << 20 ? 1 : 0;

	if (n == UINT64_MAX)
		return;
	if (a->raw)
		snprintf(text, sizeof(text), "%" PRIu64, n);
	else if (n > 1ULL << 10)
		snprintf(text, sizeof(text), "%.2f %ciB", (double)n / (double)(1ULL << 10 * (unit + 1)), units[unit]);
	else
		snprintf(text, sizeof(text), "%" PRIu64 " bytes", n);
	add_line(out, false, label, text);
}

static void add_stats(struct bv_buf *out, const struct info_args *a, const struct bv_info *info)
{
	if (info->cpu_ns != UINT64_MAX && a->raw)
		bv_buf_printf(out, "%-15s %" PRIu64 "\n", "CPU use:", info->cpu_ns);
	else if (info->cpu_ns != UINT64_MAX)
		bv_buf_printf(out, "%-15s %.2f seconds\n", "CPU use:", (double)info->cpu_ns / 1e9);
	add_size(out, a, "BlkIO use:", info->blkio_bytes);
	add_size(out, a, "Memory use:", info->memory_bytes);
	add_size(out, a, "KMem use:", info->kmem_bytes);
	for (size_t i = 0; i < info->n_links; i++) {
		const struct bv_link_info *l = &info->links[i];
		add_line(out, false, "Link:", l->name);
		if (!l->has_counters)
			continue;
		add_size(out, a, " TX bytes:", l->tx_bytes);
		add_size(out, a, " RX bytes:", l->rx_bytes);
		add_size(out, a, " Total bytes:", l->tx_bytes + l->rx_bytes);
	}
}

static void add_info(struct bv_buf *out, const struct info_args *a, const struct bv_info *info)
{
	/* LXC drops the label of a single selector; --stats counts as several. A single -c loses its own (add_key). */
	bool bare = a->raw && a->state + a->pid + a->ips == 1 && !a->stats;
	char pid[16];

	if (a->state)
		add_line(out, bare, "State:", bv_state_name(info->state));
	if (info->state == BV_STOPPED)
		return;
	snprintf(pid, sizeof(pid), "%d", (int)info->init_pid);
	if (a->pid && info->init_pid > 0)
		add_line(out, bare, "PID:", pid);
	if (a->engine && info->engine[0])
		add_line(out, false, "Engine:", info->engine);
	for (size_t i = 0; a->ips && i < info->n_ips; i++)
		add_line(out, bare, "IP:", info->ips[i].text);
	if (a->stats)
		add_stats(out, a, info);
}

/* The configuration is loaded. An unknown key is only spoken of, as in LXC: scripts probe keys. */
static int add_key(struct bv_buf *out, const struct info_args *a, struct bv_instance *inst, const char *key)
{
	struct bv_error err = { 0 };
	autofree char *value = NULL;
	int r = bv_instance_get(inst, key, &value, &err);

	if (r == -ENOENT) {
		if (!a->common.quiet)
			fprintf(stderr, "%s invalid\n", key);
		return 0;
	}
	if (r < 0)
		return cmd_fail(&a->common, &err);
	if (a->raw && a->keys.n == 1)
		bv_buf_printf(out, "%s\n", value);
	else if (*value)
		bv_buf_printf(out, "%s = %s\n", key, value);
	else
		bv_buf_printf(out, "%s =\n", key);
	return 0;
}

static int print_json(const struct info_args *a, struct bv_instance *inst, const struct bv_info *info)
{
	json_t *o = cmd_json_instance(a->common.name, info);
	json_t *config = json_object();

	for (size_t i = 0; i < a->keys.n; i++) {
		autofree char *value = NULL;
		struct bv_error err = { 0 };
		if (bv_instance_get(inst, a->keys.v[i], &value, &err) < 0)
			cmd_fail(&a->common, &err);
		else
			json_object_set_new(config, a->keys.v[i], cmd_json_text(value));
	}
	json_object_set_new(o, "config", config);
	return cmd_json_print(&a->common, o);
}

static int print_text(const struct info_args *a, struct bv_instance *inst, const struct bv_info *info, bool all)
{
	struct bv_buf out = { 0 };
	int r = EXIT_SUCCESS;

	if (all)
		add_line(&out, false, "Name:", a->common.name);
	add_info(&out, a, info);
	for (size_t i = 0; r == 0 && i < a->keys.n; i++)
		r = add_key(&out, a, inst, a->keys.v[i]);
	int printed = cmd_print(&a->common, &out);
	return r ? r : printed;
}

static int run(const struct info_args *a, bool all, bool json)
{
	autoclean(bv_instance_freep) struct bv_instance *inst = cmd_open(&a->common);
	autoclean(bv_info_clear) struct bv_info info = { .state = BV_STOPPED };
	unsigned int what = (a->state ? BV_INFO_STATE : 0U) | (a->pid ? BV_INFO_PID : 0U) |
			    (a->ips ? BV_INFO_IPS : 0U) | (a->stats ? BV_INFO_STATS | BV_INFO_LINKS : 0U);
	struct bv_error err = { 0 };

	if (!cmd_exists(&a->common, inst))
		return EXIT_FAILURE;
	if (a->keys.n > 0 && !a->common.rcfile && bv_instance_load_config(inst, NULL, &err) < 0)
		return cmd_fail(&a->common, &err);
	if (what && bv_instance_info(inst, what, &info, &err) < 0)
		return cmd_fail(&a->common, &err);
	return json ? print_json(a, inst, &info) : print_text(a, inst, &info, all);
}

int main(int argc, char **argv)
{
	struct info_args a = { .raw = false };
	cmd_parse(&command, argc, argv, &a.common);

	bool json = cmd_json_wanted(&a.common, a.format);
	bool all = json || (!a.state && !a.pid && !a.ips && !a.stats && a.keys.n == 0);
	if (all)
		a.state = a.pid = a.engine = a.ips = a.stats = true;
	int r = run(&a, all, json);
	bv_strv_clear(&a.keys);
	return r;
}
