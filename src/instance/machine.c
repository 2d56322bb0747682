/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/internal.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "instance/handle.h"
#include "util/cleanup.h"
#include "util/str.h"

/* The monitor of an instance that runs as a VM: commands for QEMU, and what it answers. */

static void json_clear(json_t **o)
{
	json_decref(*o);
}

static int fail_memory(struct bv_error *err)
{
	return bv_fail(err, ENOMEM, "out of memory");
}

/* ---- QMP ---- */

static int fail_no_command(const char *name, struct bv_error *err)
{
	bv_fail(err, EINVAL, "a QMP command is one word, or a JSON object with a member \"execute\"");
	return bv_hint(err, "lxc-vm-monitor %s query-status; with --hmp what people type: --hmp %s info status", name,
		       name);
}

/* What the user wrote as the JSON that QEMU takes; *word is the command's name, for a refusal. Both malloc'ed. */
static int make_request(const char *name, const char *text, char **request, char **word, struct bv_error *err)
{
	autoclean(json_clear) json_t *o = NULL;
	if (text[0] == '{') {
		json_error_t e;
		o = json_loads(text, 0, &e);
		if (!o)
			return bv_fail(err, EINVAL, "the command is no JSON: %s (character %d)", e.text, e.position);
	} else if (text[0] && !strpbrk(text, " \t\n")) {
		o = json_pack("{s:s}", "execute", text);
		/* The only thing that jansson refuses here. */
		if (!o)
			return bv_fail(err, EINVAL, "the command is no UTF-8 text");
	}
	const char *execute = json_string_value(json_object_get(o, "execute"));
	if (!execute)
		return fail_no_command(name, err);
	*word = strdup(execute);
	*request = json_dumps(o, JSON_COMPACT);
	return *word && *request ? 0 : fail_memory(err);
}

static int refuse(const char *name, const char *word, const json_t *error, struct bv_error *err)
{
	const char *class = json_string_value(json_object_get(error, "class"));
	const char *desc = json_string_value(json_object_get(error, "desc"));
	bv_fail(err, EINVAL, "QEMU refused %s: %s (%s)", word, desc ? desc : "it does not say why",
		class ? class : "no class");
	if (class && bv_streq(class, "CommandNotFound"))
		return bv_hint(err, "lxc-vm-monitor %s query-commands lists them", name);
	return -EINVAL;
}

static int format_reply(const char *name, const char *word, const char *reply, char **ret, struct bv_error *err)
{
	autoclean(json_clear) json_t *o = json_loads(reply, JSON_ALLOW_NUL, NULL);
	if (!o)
		return bv_fail(err, EPROTO, "QEMU's answer to %s is no JSON", word);
	const json_t *error = json_object_get(o, "error");
	if (error)
		return refuse(name, word, error, err);
	autofree char *text = json_dumps(o, JSON_INDENT(2));
	*ret = text ? bv_asprintf("%s\n", text) : NULL;
	return *ret ? 0 : fail_memory(err);
}

static int ask_qmp(const struct bv_handle *h, const char *request, const char *word, char **ret, struct bv_error *err)
{
	autofree char *reply = NULL;
	int r = h->engine->machine_command(&h->run, request, false, &reply, err);
	return r < 0 ? r : format_reply(h->run.name, word, reply, ret, err);
}

/* ---- HMP ---- */

/* QEMU ends lines as a terminal wants them; and a guest has a say in some of what it shows. */
static void clean_text(char *text)
{
	char *to = text;
	for (const char *s = text; *s; s++)
		if (*s != '\r')
			*to++ = ((unsigned char)*s < ' ' && *s != '\n' && *s != '\t') || *s == 0x7f ? '?' : *s;
	*to = '\0';
}

static int ask_hmp(const struct bv_handle *h, const char *command, char **ret, struct bv_error *err)
{
	autofree char *text = NULL;
	int r = h->engine->machine_command(&h->run, command, true, &text, err);
	if (r < 0)
		return r;
	clean_text(text);
	bool unknown = bv_after(text, "unknown command: ") != NULL;
	if (unknown || bv_after(text, "Error: ")) {
		bv_fail(err, EINVAL, "QEMU refused %s: %s", command, bv_strip(text));
		return unknown ? bv_hint(err, "lxc-vm-monitor --hmp %s help lists the commands", h->run.name) : -EINVAL;
	}
	*ret = take_ptr(text);
	return 0;
}

/* ---- both ---- */

int bv_instance_vm_monitor(struct bv_instance *inst, const char *command, bool human, char **ret, struct bv_error *err)
{
	struct bv_handle h;
	autofree char *request = NULL, *word = NULL;
	int r = human ? 0 : make_request(inst->name, command, &request, &word, err);
	if (r < 0)
		return r;
	r = bv_handle_open(&h, inst, err);
	if (r == -ESRCH)
		bv_hint(err, "lxc-start -n %s --vm", inst->name);
	if (r < 0)
		return r;
	if (!h.engine->machine_command) {
		bv_fail(err, ENOTSUP, "%s runs as a %s, which has no machine monitor", inst->name, h.engine->name);
		r = bv_hint(err, "lxc-info -n %s tells about it, lxc-attach -n %s runs a command inside", inst->name,
			    inst->name);
	} else {
		r = human ? ask_hmp(&h, command, ret, err) : ask_qmp(&h, request, word, ret, err);
	}
	bv_handle_close(&h);
	return r;
}
