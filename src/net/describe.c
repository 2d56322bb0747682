/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

static const char *or_dash(const char *s)
{
	return *s ? s : "-";
}

char *bv_net_describe(const struct bv_net *net)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };

	for (size_t i = 0; i < net->n; i++) {
		const struct bv_net_link *l = &net->links[i];
		bv_buf_printf(&b, "%u %s %s %s %s %u %d %s\n", l->index, bv_net_type_name(l->type),
			      or_dash(l->host_name), or_dash(l->name), or_dash(l->parent), l->host_mtu, l->ifindex,
			      l->openvswitch ? "ovs" : "-");
	}
	return bv_buf_take(&b);
}

static int type_parse(const char *word, enum bv_net_type *ret)
{
	for (int t = BV_NET_EMPTY; t <= BV_NET_PHYS; t++) {
		if (bv_streq(word, bv_net_type_name((enum bv_net_type)t))) {
			*ret = (enum bv_net_type)t;
			return 0;
		}
	}
	return -EINVAL;
}

static int name_parse(const char *word, char dest[16])
{
	if (bv_streq(word, "-"))
		return 0;
	size_t len = strlen(word);
	if (len > 15 || strchr(word, '/'))
		return -EINVAL;
	memcpy(dest, word, len + 1);
	return 0;
}

static int link_parse(const char *line, struct bv_net_link *l)
{
	autoclean(bv_strv_clear) struct bv_strv w = { 0 };
	uint32_t index;

	if (bv_strv_split(&w, line, " ") < 0)
		return -ENOMEM;
	if (w.n != 8 || bv_parse_u32(w.v[0], &index) < 0 || type_parse(w.v[1], &l->type) < 0 ||
	    name_parse(w.v[2], l->host_name) < 0 || name_parse(w.v[3], l->name) < 0 ||
	    name_parse(w.v[4], l->parent) < 0 || bv_parse_u32(w.v[5], &l->host_mtu) < 0 ||
	    bv_parse_int(w.v[6], &l->ifindex) < 0)
		return -EINVAL;
	if (!bv_streq(w.v[7], "-") && !bv_streq(w.v[7], "ovs"))
		return -EINVAL;
	l->openvswitch = bv_streq(w.v[7], "ovs");
	l->index = index;
	return 0;
}

static int lines_parse(struct bv_net *made, const struct bv_strv *lines, struct bv_error *err)
{
	if (lines->n == 0)
		return 0;
	made->links = calloc(lines->n, sizeof(*made->links));
	if (!made->links)
		return bv_fail(err, ENOMEM, "out of memory");
	for (; made->n < lines->n; made->n++) {
		int rc = link_parse(lines->v[made->n], &made->links[made->n]);
		if (rc < 0)
			return bv_fail(err, rc, "\"%s\" does not describe a network link", lines->v[made->n]);
	}
	return 0;
}

int bv_net_open(struct bv_net *net, const char *description, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv lines = { 0 };
	autoclean(bv_net_clear) struct bv_net made = { .netlink = -1 };
	int rc;

	if (bv_strv_split(&lines, description, "\n") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	rc = lines_parse(&made, &lines, err);
	if (rc < 0)
		return rc;
	bv_net_clear(net);
	*net = made;
	made = (struct bv_net){ .netlink = -1 };
	return 0;
}

void bv_net_clear(struct bv_net *net)
{
	if (net->netlink > 0)
		close(net->netlink);
	free(net->links);
	*net = (struct bv_net){ .netlink = -1 };
}
