/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"

/* The list of nics, sorted by index; the keys of one nic are in net_keys.c. */

/* Beyond any real config; keeps a hostile one from costing much. */
enum { NICS_MAX = 1024 };

static size_t nic_position(const struct bv_config *cfg, unsigned int index)
{
	size_t low = 0, high = cfg->n_nics;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (cfg->nics[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct bv_nic *bv_config_nic(const struct bv_config *cfg, unsigned int index)
{
	size_t i = nic_position(cfg, index);
	return i < cfg->n_nics && cfg->nics[i].index == index ? &cfg->nics[i] : NULL;
}

static void nic_clear(struct bv_config *cfg, struct bv_nic *nic)
{
	struct bv_key_ref r = { .cfg = cfg, .nic = nic };
	for (size_t i = 0; i < bv_n_nic_keys; i++) {
		r.key = &bv_nic_keys[i];
		r.key->type->clear(&r);
	}
}

struct bv_nic *bv_nic_obtain(struct bv_config *cfg, unsigned int index, bool *made)
{
	size_t i = nic_position(cfg, index);
	*made = false;
	if (i < cfg->n_nics && cfg->nics[i].index == index)
		return &cfg->nics[i];
	if (cfg->n_nics >= NICS_MAX || bv_array_grow(&cfg->nics, cfg->n_nics, sizeof(cfg->nics[0])) < 0)
		return NULL;

	memmove(&cfg->nics[i + 1], &cfg->nics[i], (cfg->n_nics - i) * sizeof(cfg->nics[0]));
	cfg->n_nics++;
	cfg->nics[i] = (struct bv_nic){ .index = index };
	nic_clear(cfg, &cfg->nics[i]);
	*made = true;
	return &cfg->nics[i];
}

void bv_nic_remove(struct bv_config *cfg, unsigned int index)
{
	struct bv_nic *nic = bv_config_nic(cfg, index);
	if (!nic)
		return;
	nic_clear(cfg, nic);
	cfg->n_nics--;
	memmove(nic, nic + 1, (size_t)(cfg->nics + cfg->n_nics - nic) * sizeof(*nic));
	if (cfg->n_nics == 0) {
		free(cfg->nics);
		cfg->nics = NULL;
	}
}

void bv_nic_clear_foreign(struct bv_config *cfg, struct bv_nic *nic)
{
	struct bv_key_ref r = { .cfg = cfg, .nic = nic };
	for (size_t i = 0; i < bv_n_nic_keys; i++) {
		r.key = &bv_nic_keys[i];
		if (r.key->link_type && r.key->link_type != nic->type)
			r.key->type->clear(&r);
	}
}

/* The type comes first, since other keys are checked by it. */
void bv_nic_dump(struct bv_config *cfg, struct bv_nic *nic, const char *below, struct bv_buf *out)
{
	struct bv_nic fresh = { .index = nic->index };
	size_t n = strlen(below);
	char name[64];

	nic_clear(cfg, &fresh);
	if (n == 0 && nic->has_type)
		bv_buf_printf(out, "lxc.net.%u.type = %s\n", nic->index, bv_net_type_name(nic->type));
	for (size_t i = 0; i < bv_n_nic_keys; i++) {
		const struct bv_key *key = &bv_nic_keys[i];
		if (bv_streq(key->name, "type") || (key->link_type && key->link_type != nic->type))
			continue;
		if (n > 0 && (strncmp(key->name, below, n) != 0 || key->name[n] != '.'))
			continue;
		struct bv_key_ref r = { .key = key, .cfg = cfg, .nic = nic };
		struct bv_key_ref d = { .key = key, .cfg = cfg, .nic = &fresh };
		snprintf(name, sizeof(name), "lxc.net.%u.%s", nic->index, key->name);
		bv_dump_key(&r, &d, name, out);
	}
}

/* ---- lxc.net: all nics at once ---- */

static int net_set(const struct bv_key_ref *r, const char *value, struct bv_error *err)
{
	(void)r;
	int ret = bv_fail(err, EINVAL, "it takes no value, but \"%.80s\" was given", value);
	bv_hint(err, "name the network: lxc.net.0.type = veth");
	return ret;
}

static void net_get(const struct bv_key_ref *r, struct bv_buf *out)
{
	for (size_t i = 0; i < r->cfg->n_nics; i++)
		bv_buf_printf(out, "%s\n", bv_net_type_name(r->cfg->nics[i].type));
}

static void net_clear(const struct bv_key_ref *r)
{
	struct bv_config *cfg = r->cfg;
	while (cfg->n_nics > 0)
		bv_nic_remove(cfg, cfg->nics[cfg->n_nics - 1].index);
}

static void net_dump(const struct bv_key_ref *r, const char *name, struct bv_buf *out)
{
	(void)name;
	for (size_t i = 0; i < r->cfg->n_nics; i++) {
		size_t start = out->len;
		bv_nic_dump(r->cfg, &r->cfg->nics[i], "", out);
		/* A nic whose keys were all cleared is still there: a line that sets a default makes it. */
		if (out->len == start)
			bv_buf_printf(out, "lxc.net.%u.l2proxy = 0\n", r->cfg->nics[i].index);
	}
}

const struct bv_key_type bv_type_net = { net_set, net_get, net_clear, net_dump, 0, NULL };
