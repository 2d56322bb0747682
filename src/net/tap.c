/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net/link.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

static const char tun_device[] = "/dev/net/tun";

int bv_tap_reserve(struct bv_net_tap *tap, unsigned int queues, struct bv_error *err)
{
	tap->fds = calloc(queues, sizeof(*tap->fds));
	if (!tap->fds)
		return bv_fail(err, ENOMEM, "out of memory");
	tap->queues = queues;
	for (unsigned int i = 0; i < queues; i++)
		tap->fds[i] = -1;
	return 0;
}

int bv_tap_set(int fd, const char *name, unsigned int queues, int flags)
{
	struct ifreq req = { 0 };

	flags |= IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
	req.ifr_flags = (short)flags;
	if (name)
		memcpy(req.ifr_name, name, strlen(name));
	return ioctl(fd, TUNSETIFF, &req) < 0 ? -errno : 0;
}

static void close_queues(struct bv_net_tap *tap)
{
	for (unsigned int i = 0; i < tap->queues; i++)
		close_fd(&tap->fds[i]);
}

static int open_queue(struct bv_error *err)
{
	int fd = open(tun_device, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return fd;
	bv_fail_errno(err, "cannot open %s, which makes the links of VMs", tun_device);
	if (err && (err->code == ENOENT || err->code == ENODEV || err->code == ENXIO))
		return bv_hint(err, "try: modprobe tun");
	return err ? -err->code : -EIO;
}

/* The first queue makes the link: a link of that name, whosever and of whatever kind, is -EEXIST. */
static int create_link(struct bv_net_host *h, const struct bv_net_link *l, struct bv_net_tap *tap,
		       struct bv_error *err)
{
	int rc = bv_tap_set(tap->fds[0], l->host_name, tap->queues, IFF_TUN_EXCL);
	bool taken = bv_nl_link_index(&h->nl, l->host_name) != 0;

	/* -EINVAL: a link that is no tap, and that may have gone between the two calls. */
	if (rc == -EINVAL && !taken)
		rc = bv_tap_set(tap->fds[0], l->host_name, tap->queues, IFF_TUN_EXCL);
	if (rc == -EBUSY || (rc == -EINVAL && taken))
		rc = -EEXIST;
	for (unsigned int i = 1; i < tap->queues && rc == 0; i++)
		rc = bv_tap_set(tap->fds[i], l->host_name, tap->queues, 0);
	return rc < 0 ? bv_fail(err, rc, "cannot make the tap \"%s\" with %u queue%s: %s", l->host_name, tap->queues,
				tap->queues == 1 ? "" : "s", strerror(-rc)) : 0;
}

/* MTU, MAC, bridge, up. A tap has its carrier from the start, so that its IPv6 address has to be forbidden before. */
static int set_up_link(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		       const uint8_t mac[6], struct bv_error *err)
{
	if (bv_hostend_is_bridged(nic, l))
		bv_hostend_queue_no_ipv6(h, l);

	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "set up the tap", .link = l->host_name });
	m->ifi_flags = m->ifi_change = IFF_UP;
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	bv_nl_put(&h->nl, IFLA_ADDRESS, mac, 6);
	if (bv_hostend_mtu(nic, l))
		bv_nl_put_u32(&h->nl, IFLA_MTU, bv_hostend_mtu(nic, l));
	bv_hostend_put_master(h, nic, l);
	return bv_nl_flush(&h->nl, err);
}

static int make_tap(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, const uint8_t mac[6],
		    void *data, struct bv_error *err)
{
	struct bv_net_tap *tap = data;
	int rc = 0;

	for (unsigned int i = 0; i < tap->queues && rc == 0; i++) {
		tap->fds[i] = open_queue(err);
		rc = tap->fds[i] < 0 ? tap->fds[i] : 0;
	}
	if (rc == 0)
		rc = create_link(h, l, tap, err);
	if (rc == 0)
		rc = set_up_link(h, nic, l, mac, err);
	if (rc < 0)
		close_queues(tap);
	return rc;
}

static int tap_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_net_tap *tap,
		      struct bv_error *err)
{
	int rc = bv_hostend_make(h, nic, l, make_tap, tap, err);

	if (rc == 0)
		rc = bv_hostend_finish(h, nic, l, err);
	if (rc < 0 && l->openvswitch)
		bv_openvswitch_remove(l, NULL);
	return rc;
}

/* ---- all links ---- */

static int check_types(const struct bv_config *cfg, struct bv_error *err)
{
	for (size_t i = 0; i < cfg->n_nics; i++) {
		enum bv_net_type type = cfg->nics[i].type;

		if (type != BV_NET_IPVLAN && type != BV_NET_VLAN && type != BV_NET_PHYS)
			continue;
		bv_fail(err, ENOTSUP, "lxc.net.%u.type = %s cannot be had in a VM", cfg->nics[i].index,
			bv_net_type_name(type));
		return bv_hint(err, "use lxc.net.%u.type = %s, or run it as a container", cfg->nics[i].index,
			       type == BV_NET_VLAN ? "veth" : "macvlan");
	}
	return 0;
}

static int attach_link(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, unsigned int queues,
		       struct bv_net_tap *tap, struct bv_error *err)
{
	if (l->type != BV_NET_VETH && l->type != BV_NET_MACVLAN)
		return 0;
	int rc = bv_tap_reserve(tap, queues ? queues : 1, err);

	if (rc == 0)
		rc = l->type == BV_NET_VETH ? tap_attach(h, nic, l, tap, err) : bv_macvtap_attach(h, nic, l, tap, err);
	if (rc < 0)
		return rc;
	l->attached = true;
	return nic->l2proxy ? bv_hostside_set_l2proxy(h, nic, l, true, err) : 0;
}

/* What goes with the fds is left to those who close them. */
static void take_back(struct bv_net *net, const struct bv_config *cfg, struct bv_net_host *h)
{
	struct bv_error ignored = { 0 };

	for (size_t i = net->n; i-- > 0;) {
		struct bv_net_link *l = &net->links[i];

		if (!l->attached)
			continue;
		if (cfg->nics[i].l2proxy)
			bv_hostside_set_l2proxy(h, &cfg->nics[i], l, false, &ignored);
		if (l->openvswitch)
			bv_openvswitch_remove(l, &ignored);
		if (l->type == BV_NET_MACVLAN)
			bv_macvtap_remove(h, l, &ignored);
	}
	if (ignored.code)
		bv_warn("net", "%s", ignored.what);
}

int bv_net_attach_taps(struct bv_net *net, const struct bv_config *cfg, const unsigned int *queues,
		       struct bv_net_tap *taps, struct bv_error *err)
{
	struct bv_net_host h = { .netns_fd = -1 };
	int rc = check_types(cfg, err);

	for (size_t i = 0; i < cfg->n_nics; i++) {
		taps[i].fds = NULL;
		taps[i].queues = 0;
	}
	if (rc == 0 && net->n == 0)
		rc = bv_net_plan(net, cfg, err);
	if (rc == 0 && net->n > 0)
		rc = bv_link_host_open(&h, net, err);
	for (size_t i = 0; i < net->n && rc == 0; i++)
		rc = attach_link(&h, &cfg->nics[i], &net->links[i], queues[i], &taps[i], err);
	if (rc < 0) {
		take_back(net, cfg, &h);
		bv_net_taps_close(taps, cfg->n_nics);
		bv_net_clear(net);
	}
	return rc;
}

void bv_net_taps_close(struct bv_net_tap *taps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		close_queues(&taps[i]);
		free(taps[i].fds);
		taps[i].fds = NULL;
		taps[i].queues = 0;
	}
}
