/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cmd/cmd-json.h"

#include <stdlib.h>
#include <sys/socket.h>

json_t *cmd_json_text(const char *s)
{
	if (!s || !*s)
		return json_null();

	json_t *text = json_string(s);
	if (text)
		return text;
	struct bv_buf b = { 0 };
	for (; *s; s++)
		bv_buf_putc(&b, (unsigned char)*s < 0x80 ? *s : '?');
	text = json_string(b.p);
	bv_buf_clear(&b);
	return text;
}

json_t *cmd_json_count(uint64_t n)
{
	return n > INT64_MAX ? json_null() : json_integer((json_int_t)n);
}

json_t *cmd_json_words(const char *list)
{
	struct bv_strv words = { 0 };
	json_t *array = json_array();

	if (list)
		bv_strv_split(&words, list, ", ");
	for (size_t i = 0; i < words.n; i++)
		json_array_append_new(array, cmd_json_text(words.v[i]));
	bv_strv_clear(&words);
	return array;
}

static json_t *pid_or_null(pid_t pid)
{
	return pid > 0 ? json_integer(pid) : json_null();
}

static json_t *addresses(const struct bv_info *info)
{
	json_t *array = json_array();

	for (size_t i = 0; i < info->n_ips; i++)
		json_array_append_new(array,
				      json_pack("{s:o, s:s, s:o}", "interface", cmd_json_text(info->ips[i].interface),
						"family", info->ips[i].family == AF_INET6 ? "inet6" : "inet", "address",
						cmd_json_text(info->ips[i].text)));
	return array;
}

static json_t *links(const struct bv_info *info)
{
	json_t *array = json_array();

	for (size_t i = 0; i < info->n_links; i++) {
		const struct bv_link_info *l = &info->links[i];
		uint64_t unknown = l->has_counters ? 0 : UINT64_MAX;
		json_array_append_new(array, json_pack("{s:o, s:o, s:o}", "name", cmd_json_text(l->name), "tx_bytes",
						       cmd_json_count(l->tx_bytes | unknown), "rx_bytes",
						       cmd_json_count(l->rx_bytes | unknown)));
	}
	return array;
}

json_t *cmd_json_instance(const char *name, const struct bv_info *info)
{
	json_t *o = json_object();

	json_object_set_new(o, "name", cmd_json_text(name));
	json_object_set_new(o, "state", cmd_json_text(bv_state_name(info->state)));
	json_object_set_new(o, "engine", cmd_json_text(info->engine));
	json_object_set_new(o, "pid", pid_or_null(info->init_pid));
	json_object_set_new(o, "monitor_pid", pid_or_null(info->monitor_pid));
	json_object_set_new(o, "addresses", addresses(info));
	json_object_set_new(o, "cpu_ns", cmd_json_count(info->cpu_ns));
	json_object_set_new(o, "blkio_bytes", cmd_json_count(info->blkio_bytes));
	json_object_set_new(o, "memory_bytes", cmd_json_count(info->memory_bytes));
	json_object_set_new(o, "swap_bytes", cmd_json_count(info->swap_bytes));
	json_object_set_new(o, "kmem_bytes", cmd_json_count(info->kmem_bytes));
	json_object_set_new(o, "processes", cmd_json_count(info->pids));
	json_object_set_new(o, "links", links(info));
	return o;
}

bool cmd_json_wanted(const struct cmd_common *args, const char *format)
{
	if (format && !bv_streq(format, "json"))
		cmd_mistake(args, "\"%s\" is no format; there is json", format);
	return format != NULL;
}

int cmd_json_print(const struct cmd_common *args, json_t *value)
{
	struct bv_buf out = { 0 };
	autofree char *text = json_dumps(value, JSON_INDENT(2));

	json_decref(value);
	if (text)
		bv_buf_printf(&out, "%s\n", text);
	out.bad |= !text;
	return cmd_print(args, &out);
}
