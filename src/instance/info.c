/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/info.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup/cgroup.h"
#include "engine/engine.h"
#include "instance/internal.h"
#include "net/net.h"
#include "util/cleanup.h"

void bv_info_init(struct bv_info *info)
{
	*info = (struct bv_info){
		.cpu_ns = UINT64_MAX,
		.blkio_bytes = UINT64_MAX,
		.memory_bytes = UINT64_MAX,
		.swap_bytes = UINT64_MAX,
		.kmem_bytes = UINT64_MAX,
		.pids = UINT64_MAX,
	};
}

void bv_info_clear(struct bv_info *info)
{
	free(info->ips);
	free(info->links);
	bv_info_init(info);
}

void bv_info_source_close(struct bv_info_source *src)
{
	close_fd(&src->own_netns);
}

static void collect_ips(struct bv_info_source *src, const struct bv_rundir *rd, const struct bv_run_state *st,
			struct bv_info *ret)
{
	if (src->own_netns < 0)
		src->own_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (src->own_netns < 0)
		return;

	autofree struct bv_net_address *found = NULL;
	size_t n = 0;
	const struct bv_engine *engine = bv_engine_described(st->engine);
	if (engine->addresses(rd->fd, st->init_pid, src->own_netns, &found, &n) < 0 || n == 0)
		return;
	ret->ips = calloc(n, sizeof(*ret->ips));
	for (size_t i = 0; ret->ips && i < n; i++) {
		if (found[i].link_local_or_loopback)
			continue;
		struct bv_ip *ip = &ret->ips[ret->n_ips++];
		ip->family = found[i].family;
		memcpy(ip->interface, found[i].interface, sizeof(ip->interface));
		inet_ntop(found[i].family, found[i].bytes, ip->text, sizeof(ip->text));
	}
}

static void collect_stats(const struct bv_run_state *st, struct bv_info *ret)
{
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = NULL;
	struct bv_cgroup_stats stats;
	if (!st->cgroup || bv_cgroup_open(&cg, st->cgroup, NULL) < 0 || bv_cgroup_stats(cg, BV_STATS_ALL, &stats) < 0)
		return;
	ret->cpu_ns = stats.cpu_ns;
	ret->blkio_bytes = stats.blkio_total;
	ret->memory_bytes = stats.memory;
	ret->swap_bytes = stats.swap;
	ret->kmem_bytes = stats.kernel_memory;
	ret->pids = stats.pids;
}

static void collect_links(const struct bv_run_state *st, struct bv_info *ret)
{
	struct bv_net net = { 0 };
	if (!st->net || bv_net_open(&net, st->net, NULL) < 0)
		return;
	ret->links = calloc(net.n ? net.n : 1, sizeof(*ret->links));
	for (size_t i = 0; ret->links && i < net.n; i++) {
		const struct bv_net_link *l = &net.links[i];
		bool veth = l->type == BV_NET_VETH;
		const char *name = veth ? l->host_name : l->parent;
		if (!name[0])
			continue;
		struct bv_link_info *out = &ret->links[ret->n_links++];
		snprintf(out->name, sizeof(out->name), "%s", name);
		struct bv_net_counters counters;
		if (veth && bv_net_counters(l->host_name, &counters) == 0) {
			out->has_counters = true;
			out->tx_bytes = counters.rx_bytes;
			out->rx_bytes = counters.tx_bytes;
		}
	}
	bv_net_clear(&net);
}

void bv_info_collect(struct bv_info_source *src, const struct bv_rundir *rd, const struct bv_run_state *st,
		     unsigned int what, struct bv_info *ret)
{
	ret->state = bv_run_state_effective(rd, st);
	if (ret->state == BV_STOPPED)
		return;
	ret->monitor_pid = st->monitor_pid;
	ret->init_pid = st->init_pid;
	snprintf(ret->engine, sizeof(ret->engine), "%s", st->engine);
	if (!st->init_pid)
		return;
	if (what & BV_INFO_IPS)
		collect_ips(src, rd, st, ret);
	if (what & BV_INFO_STATS)
		collect_stats(st, ret);
	if (what & BV_INFO_LINKS)
		collect_links(st, ret);
}

int bv_instance_info(struct bv_instance *inst, unsigned int what, struct bv_info *ret, struct bv_error *err)
{
	struct bv_rundir rd;
	struct bv_run_state st = { 0 };
	struct bv_info_source src = { .own_netns = -1 };

	bv_info_init(ret);
	int r = bv_rundir_open(&rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	if (bv_run_state_read(&rd, &st) == 0)
		bv_info_collect(&src, &rd, &st, what, ret);
	if (ret->state == BV_STOPPED && !inst->config && !bv_instance_is_defined(inst))
		r = bv_fail(err, ENOENT, "%s doesn't exist", inst->name);
	bv_run_state_clear(&st);
	bv_rundir_close(&rd);
	bv_info_source_close(&src);
	return r;
}
