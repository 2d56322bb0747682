/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

/*
 * A config file from anywhere: it is refused with a reason, or it loads; then every key can be read, the dump and the
 * saved text load again, and the dump of that is the same.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what, const struct bv_error *err)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_config: %s: %s\n", what, err->what);
	abort();
}

static char *key_names(void)
{
	static char *names;
	size_t size;
	if (names)
		return names;
	FILE *f = open_memstream(&names, &size);
	if (!f || bv_config_print_keys(f, "names") < 0)
		abort();
	fclose(f);
	return names;
}

static void read_all_keys(const struct bv_config *cfg)
{
	static const char *const more[] = {
		"lxc",
		"lxc.net.0",
		"lxc.net.0.veth",
		"lxc.net.00.type",
		"lxc.network.type",
		"lxc.network.ipv4",
		"lxc.rootfs",
		"lxc.rootfs.backend",
		"lxc.cap",
		"vm",
		"lxc.limit.core",
		"lxc.kmsg",
		"lxc.cgroup2.a",
		"lxc.prlimit.nofile",
		"lxc.sysctl.a",
		"lxc.proc.a",
		"lxc.",
		"",
		"lxc.net.",
		"lxc.net.4294967297",
		"lxc.namespace.share.net",
	};
	for (const char *name = key_names(), *end; *name; name = end + 1) {
		char key[128], *value = NULL;
		struct bv_error err = { 0 };
		end = strchr(name, '\n');
		snprintf(key, sizeof(key), "%.*s", (int)(end - name), name);
		int r = bv_config_get(cfg, key, &value, &err);
		require((r == 0) == (value != NULL) && (r == 0) == (err.code == 0), key, &err);
		free(value);
	}
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		char *value = NULL;
		bv_config_get(cfg, more[i], &value, NULL);
		free(value);
	}
}

static char *reload_and_dump(const char *text, const char *what)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = bv_config_new();
	require(cfg && bv_config_parse(cfg, text, strlen(text), what, &err) == 0, what, &err);
	char *dump = bv_config_dump(cfg);
	require(dump != NULL, what, &err);
	bv_config_free(cfg);
	return dump;
}

/* Edits by hand leave a text that still loads, with the same meaning. */
static void edit(struct bv_config *cfg)
{
	static const struct {
		const char *key, *value;
	} edits[] = {
		{ "lxc.uts.name", "edited" },	 { "lxc.mount.entry", "a b none bind 0 0" },
		{ "lxc.tty.max", "" },		 { "lxc.net.0", "" },
		{ "lxc.net.0.type", "macvlan" }, { "lxc.net.0.link", "eth0" },
		{ "lxc.cap.drop", "" },		 { "lxc.rootfs.path", "dir:/edited" },
	};
	struct bv_error err = { 0 };
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++)
		require(bv_config_set(cfg, edits[i].key, edits[i].value, &err) == 0, edits[i].key, &err);
	char *text = bv_config_save_text(cfg), *dump = bv_config_dump(cfg);
	require(text && dump, "out of memory", &err);
	/* Templates of MACs, and what an included directory has, may come out differently: there must be no error. */
	char *again = reload_and_dump(text, "saved text");
	if (!strstr(text, "include") && !strpbrk(text, "xX"))
		require(strcmp(dump, again) == 0, "the saved text means something else", &err);
	free(again);
	free(dump);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = bv_config_new();
	if (!cfg)
		return 0;

	setenv("FUZZ", "value", 1);
	int r = bv_config_parse(cfg, (const char *)data, size, "fuzz", &err);
	require((r == 0) == (err.code == 0) && (r == 0 || err.what[0]), "no reason", &err);
	if (r == 0) {
		read_all_keys(cfg);
		char *dump = bv_config_dump(cfg);
		require(dump != NULL, "no dump", &err);
		char *again = reload_and_dump(dump, "dump");
		require(strcmp(dump, again) == 0, "the dump means something else", &err);
		free(again);
		free(dump);
		edit(cfg);
	}
	bv_config_free(cfg);
	return 0;
}
