/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd-json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/num.h"

enum {
	NESTING_DEFAULT = 5,
	COLUMNS_MAX = 32,
};

struct ls_args {
	struct cmd_common common;
	bool line, fancy, active, running, frozen, stopped, defined;
	const char *columns, *nesting, *filter, *groups, *format;
};

#define ARG(member) offsetof(struct ls_args, member)

static const struct cmd_option options[] = {
	{ '1', "line", NULL, CMD_FLAG, ARG(line), "print one name a line" },
	{ 'f', "fancy", NULL, CMD_FLAG, ARG(fancy), "print a table" },
	{ 'F', "fancy-format", "COLUMNS", CMD_STRING, ARG(columns),
	  "print a table of these columns, joined by commas: NAME, STATE, PID, RAM, SWAP, AUTOSTART, GROUPS, "
	  "INTERFACE, "
	  "IPV4, IPV6, UNPRIVILEGED, ENGINE" },
	{ 0, "active", NULL, CMD_FLAG, ARG(active), "only what has a living monitor" },
	{ 0, "running", NULL, CMD_FLAG, ARG(running), "only what is not stopped" },
	{ 0, "frozen", NULL, CMD_FLAG, ARG(frozen), "only what is frozen" },
	{ 0, "stopped", NULL, CMD_FLAG, ARG(stopped), "only what is stopped" },
	{ 0, "defined", NULL, CMD_FLAG, ARG(defined), "only what has a configuration" },
	{ 0, "nesting", "[NUM]", CMD_STRING, ARG(nesting),
	  "list instances inside of instances too, NUM levels deep: 5 if not given" },
	{ 0, "filter", "REGEX", CMD_STRING, ARG(filter), "only names that match the extended regular expression" },
	{ 'g', "groups", "GROUPS", CMD_STRING, ARG(groups), "only what is in all of these groups, joined by commas" },
	{ 0, "format", "FORMAT", CMD_STRING, ARG(format), "json: print all as a JSON array" },
	{ 0 },
};

static const struct cmd command = {
	.name = "lxc-ls",
	.synopsis = "[OPTION...] [REGEX]",
	.summary = "List instances, sorted by name",
	.options = options,
	.takes = CMD_TAKES_NO_NAME,
	.rest = "REGEX",
};

/* ---- columns: each adds its text, or nothing when there is none ("-" is shown then) ---- */

static void add_name(const struct bv_list_entry *e, struct bv_buf *out)
{
	const char *last = e->nesting > 0 ? strrchr(e->name, '/') : NULL;

	if (e->nesting > 0)
		bv_buf_printf(out, "%*s", e->nesting, "\\");
	bv_buf_puts(out, last ? last + 1 : e->name);
}

static void add_state(const struct bv_list_entry *e, struct bv_buf *out)
{
	bv_buf_puts(out, bv_state_name(e->info.state));
}

static void add_pid(const struct bv_list_entry *e, struct bv_buf *out)
{
	if (e->info.init_pid > 0)
		bv_buf_printf(out, "%d", (int)e->info.init_pid);
}

static void add_megabytes(const struct bv_list_entry *e, uint64_t bytes, struct bv_buf *out)
{
	if (e->info.state != BV_STOPPED && bytes != UINT64_MAX)
		bv_buf_printf(out, "%.2fMB", (double)bytes / (1 << 20));
}

static void add_ram(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_megabytes(e, e->info.memory_bytes, out);
}

static void add_swap(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_megabytes(e, e->info.swap_bytes, out);
}

static void add_autostart(const struct bv_list_entry *e, struct bv_buf *out)
{
	if (!e->broken)
		bv_buf_putc(out, e->autostart ? '1' : '0');
}

/* "a,b" as "a, b" */
static void add_list(const char *list, struct bv_buf *out)
{
	for (const char *s = list; s && *s; s++) {
		bv_buf_putc(out, *s);
		if (*s == ',')
			bv_buf_putc(out, ' ');
	}
}

static void add_groups(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_list(e->groups, out);
}

static void add_interfaces(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_list(e->interfaces, out);
}

static void add_ips(const struct bv_list_entry *e, int family, struct bv_buf *out)
{
	bool first = true;

	for (size_t i = 0; i < e->info.n_ips; i++) {
		if (e->info.ips[i].family != family)
			continue;
		bv_buf_printf(out, first ? "%s" : ", %s", e->info.ips[i].text);
		first = false;
	}
}

static void add_ipv4(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_ips(e, AF_INET, out);
}

static void add_ipv6(const struct bv_list_entry *e, struct bv_buf *out)
{
	add_ips(e, AF_INET6, out);
}

static void add_unprivileged(const struct bv_list_entry *e, struct bv_buf *out)
{
	if (!e->broken)
		bv_buf_puts(out, e->unprivileged ? "true" : "false");
}

static void add_engine(const struct bv_list_entry *e, struct bv_buf *out)
{
	bv_buf_puts(out, e->info.engine);
}

struct column {
	const char *name;
	void (*add)(const struct bv_list_entry *e, struct bv_buf *out);
	unsigned int what; /* BV_INFO_* that it needs */
	bool config;
	size_t number_width; /* not 0: a number, to the right, with at least this width */
};

static const struct column columns[] = {
	{ "NAME", add_name, 0, false, 0 },
	{ "STATE", add_state, BV_INFO_STATE, false, 0 },
	{ "PID", add_pid, BV_INFO_PID, false, 0 },
	{ "RAM", add_ram, BV_INFO_STATS, false, sizeof("0.00MB") - 1 },
	{ "SWAP", add_swap, BV_INFO_STATS, false, sizeof("0.00MB") - 1 },
	{ "AUTOSTART", add_autostart, 0, true, 0 },
	{ "GROUPS", add_groups, 0, true, 0 },
	{ "INTERFACE", add_interfaces, BV_INFO_LINKS, false, 0 },
	{ "IPV4", add_ipv4, BV_INFO_IPS, false, 0 },
	{ "IPV6", add_ipv6, BV_INFO_IPS, false, 0 },
	{ "UNPRIVILEGED", add_unprivileged, 0, true, 0 },
	{ "ENGINE", add_engine, BV_INFO_STATE, false, 0 },
};

static const char default_columns[] = "NAME,STATE,AUTOSTART,GROUPS,IPV4,IPV6,UNPRIVILEGED";

struct table {
	const struct column *columns[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	size_t n_columns;
	struct bv_buf text; /* of all cells, row by row, each ended by a NUL */
};

static const struct column *find_column(const struct ls_args *a, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (strcasecmp(name, columns[i].name) == 0)
			return &columns[i];
	cmd_mistake(&a->common, "\"%s\" is no column", name);
}

static void choose_columns(const struct ls_args *a, struct table *t)
{
	struct bv_strv names = { 0 };

	if (bv_strv_split(&names, a->columns ? a->columns : default_columns, ", ") < 0)
		cmd_mistake(&a->common, "out of memory");
	if (names.n == 0 || names.n > COLUMNS_MAX)
		cmd_mistake(&a->common, "a table has 1 to %d columns", COLUMNS_MAX);
	for (size_t i = 0; i < names.n; i++) {
		const struct column *c = find_column(a, names.v[i]);
		size_t width = strlen(c->name);
		t->columns[i] = c;
		t->width[i] = width > c->number_width ? width : c->number_width;
	}
	t->n_columns = names.n;
	bv_strv_clear(&names);
}

static void fill_cells(struct table *t, const struct bv_list_entry *entries, size_t n)
{
	for (size_t row = 0; row < n; row++)
		for (size_t i = 0; i < t->n_columns; i++) {
			size_t start = t->text.len;
			t->columns[i]->add(&entries[row], &t->text);
			if (t->text.len == start)
				bv_buf_putc(&t->text, '-');
			size_t width = t->text.len - start;
			if (width > t->width[i])
				t->width[i] = width;
			bv_buf_putc(&t->text, '\0');
		}
}

/* Cells are padded, the last one too, and each has a blank behind it: LXC's layout. */
static void print_table(struct table *t, size_t rows, struct bv_buf *out)
{
	const char *cell = t->text.p;

	for (size_t i = 0; i < t->n_columns; i++)
		bv_buf_printf(out, "%-*s ", (int)t->width[i], t->columns[i]->name);
	bv_buf_putc(out, '\n');
	for (size_t row = 0; row < rows && !t->text.bad; row++) {
		for (size_t i = 0; i < t->n_columns; i++, cell += strlen(cell) + 1) {
			bool number = t->columns[i]->number_width && !bv_streq(cell, "-");
			bv_buf_printf(out, number ? "%*s " : "%-*s ", (int)t->width[i], cell);
		}
		bv_buf_putc(out, '\n');
	}
	out->bad |= t->text.bad;
	bv_buf_clear(&t->text);
}

/* ---- names ---- */

static size_t names_per_line(const struct ls_args *a, size_t longest)
{
	struct winsize ws = { 0 };

	if (a->line || ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col <= longest)
		return 1;
	return ws.ws_col / (longest + 1);
}

static void print_names(const struct ls_args *a, const struct bv_list_entry *entries, size_t n, struct bv_buf *out)
{
	size_t longest = 0;

	for (size_t i = 0; i < n; i++)
		if (strlen(entries[i].name) > longest)
			longest = strlen(entries[i].name);
	size_t per_line = names_per_line(a, longest);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || (i + 1) % per_line == 0)
			bv_buf_printf(out, "%s\n", entries[i].name);
		else
			bv_buf_printf(out, "%-*s ", (int)longest, entries[i].name);
}

/* ---- JSON ---- */

static json_t *json_entry(const struct bv_list_entry *e)
{
	json_t *o = cmd_json_instance(e->name, &e->info);

	json_object_set_new(o, "nesting", json_integer(e->nesting));
	json_object_set_new(o, "defined", json_boolean(e->defined));
	json_object_set_new(o, "autostart", e->broken ? json_null() : json_boolean(e->autostart));
	json_object_set_new(o, "groups", cmd_json_words(e->groups));
	json_object_set_new(o, "interfaces", cmd_json_words(e->interfaces));
	json_object_set_new(o, "unprivileged", e->broken ? json_null() : json_boolean(e->unprivileged));
	json_object_set_new(o, "problem", cmd_json_text(e->problem));
	return o;
}

static int print_json(const struct ls_args *a, const struct bv_list_entry *entries, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_entry(&entries[i]));
	return cmd_json_print(&a->common, array);
}

/* ---- the command ---- */

static void tell_problems(const struct ls_args *a, const struct bv_list_entry *entries, size_t n)
{
	for (size_t i = 0; i < n && !a->common.quiet; i++)
		if (entries[i].broken && entries[i].problem)
			fprintf(stderr, "%s: %s: %s\n", a->common.program, entries[i].name, entries[i].problem);
}

static unsigned int wanted_states(const struct ls_args *a)
{
	unsigned int all = (1U << BV_STATE_COUNT) - 1, bits = 0;

	if (a->running)
		bits |= all & ~(1U << BV_STOPPED);
	if (a->frozen)
		bits |= 1U << BV_FROZEN;
	if (a->stopped)
		bits |= 1U << BV_STOPPED;
	return bits;
}

static int nesting_depth(const struct ls_args *a)
{
	int depth = NESTING_DEFAULT;

	if (!a->nesting)
		return 0;
	if (*a->nesting && (bv_parse_int(a->nesting, &depth) < 0 || depth < 0))
		cmd_mistake(&a->common, "--nesting wants a number of levels, not \"%s\"", a->nesting);
	return depth;
}

static void choose_facts(struct bv_list_options *list, const struct ls_args *a, const struct table *t, bool json)
{
	list->what = list->states ? BV_INFO_STATE : 0U;
	if (json) {
		list->what = BV_INFO_ALL;
		list->config = true;
	}
	for (size_t i = 0; i < t->n_columns; i++) {
		list->what |= t->columns[i]->what;
		list->config |= t->columns[i]->config;
	}
	/* RAM and the like are shown of what runs only. */
	if (list->what)
		list->what |= BV_INFO_STATE;
	if (a->groups)
		list->config = true;
}

int main(int argc, char **argv)
{
	struct ls_args a = { .line = false };
	cmd_parse(&command, argc, argv, &a.common);
	bool json = cmd_json_wanted(&a.common, a.format);
	bool fancy = !json && (a.fancy || a.columns);
	if (a.common.n_rest > 1)
		cmd_mistake(&a.common, "one regular expression is enough: \"%s\"", a.common.rest[1]);

	struct table t = { .n_columns = 0 };
	if (fancy)
		choose_columns(&a, &t);
	struct bv_list_options list = {
		.states = wanted_states(&a),
		.active_only = a.active,
		.defined_only = a.defined,
		.filter = a.common.n_rest ? a.common.rest[0] : a.filter,
		.groups = a.groups,
		.nesting = nesting_depth(&a),
	};
	choose_facts(&list, &a, &t, json);
	cmd_open_log(&a.common);

	struct bv_list_entry *entries = NULL;
	struct bv_error err = { 0 };
	struct bv_buf out = { 0 };
	size_t n = 0;
	if (bv_list(a.common.lxcpath, &list, &entries, &n, &err) < 0)
		return cmd_fail(&a.common, &err);
	tell_problems(&a, entries, n);
	int r = EXIT_SUCCESS;
	if (json)
		r = print_json(&a, entries, n);
	else if (fancy && n > 0) {
		fill_cells(&t, entries, n);
		print_table(&t, n, &out);
	} else
		print_names(&a, entries, n, &out);
	if (!json)
		r = cmd_print(&a.common, &out);
	bv_list_free(entries, n);
	return r;
}
