/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/vm/guest/guest.h"
#include "net/net.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

#define NET_DIR "/sys/class/net"

/* A link that the config knows. All links are down here, so that they can be renamed. */
struct link {
	const struct bv_nic *nic;
	char now[IFNAMSIZ]; /* its name */
};

static bool has_link(const struct bv_nic *nic)
{
	return nic->type != BV_NET_EMPTY && nic->type != BV_NET_NONE;
}

/* ---- finding ---- */

static bool has_mac(const char *name, const char *mac)
{
	char path[sizeof(NET_DIR "//address") + NAME_MAX], text[32];
	snprintf(path, sizeof(path), NET_DIR "/%s/address", name);
	return bv_read_small(AT_FDCWD, path, text, sizeof(text)) > 0 && strcasecmp(text, mac) == 0;
}

static int find_link(void *data)
{
	struct link *l = data;
	autodir DIR *dir = opendir(NET_DIR);
	if (!dir)
		return -errno;
	for (struct dirent *d = readdir(dir); d; d = readdir(dir)) {
		if (d->d_name[0] == '.' || strlen(d->d_name) >= IFNAMSIZ || !has_mac(d->d_name, l->nic->hwaddr))
			continue;
		snprintf(l->now, sizeof(l->now), "%.*s", IFNAMSIZ - 1, d->d_name);
		return 0;
	}
	return -EAGAIN;
}

static int find_all(struct link *links, size_t n, struct bv_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct bv_nic *nic = links[i].nic;
		if (!nic->hwaddr || !nic->name || strlen(nic->name) >= IFNAMSIZ)
			return bv_fail(err, EINVAL, "the host did not tell the guest MAC and name of lxc.net.%u",
				       nic->index);
		if (guest_wait(find_link, &links[i]) < 0)
			return bv_fail(err, ENODEV, "the guest has no network card with the MAC %s (lxc.net.%u)",
				       nic->hwaddr, nic->index);
	}
	return 0;
}

/* ---- renaming ---- */

static int rename_link(int sock, char now[IFNAMSIZ], const char *to, struct bv_error *err)
{
	struct ifreq req = { 0 };
	if (bv_streq(now, to))
		return 0;
	memcpy(req.ifr_name, now, IFNAMSIZ);
	snprintf(req.ifr_newname, sizeof(req.ifr_newname), "%s", to);
	if (ioctl(sock, SIOCSIFNAME, &req) < 0)
		return bv_fail_errno(err, "the guest cannot rename the link %s to %s", now, to);
	snprintf(now, IFNAMSIZ, "%s", to);
	return 0;
}

/* Somebody else's link that has a name of ours: one of a card that QEMU was given beside the config. */
static int push_aside(int sock, const char *name, struct bv_error *err)
{
	char now[IFNAMSIZ];
	if (if_nametoindex(name) == 0)
		return 0;
	snprintf(now, sizeof(now), "%s", name);
	/* The kernel finds the number. */
	return rename_link(sock, now, "unused%d", err);
}

/* Names may go round in a circle (eth0 is to be eth1 and the other way), so that all are taken off first. */
static int rename_all(int sock, struct link *links, size_t n, struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++) {
		char name[IFNAMSIZ];
		snprintf(name, sizeof(name), "lxcnet%zu", i % 1000);
		if (!bv_streq(links[i].now, links[i].nic->name))
			r = rename_link(sock, links[i].now, name, err);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (bv_streq(links[i].now, links[i].nic->name))
			continue;
		r = push_aside(sock, links[i].nic->name, err);
		if (r == 0)
			r = rename_link(sock, links[i].now, links[i].nic->name, err);
	}
	return r;
}

static int set_mtu(int sock, const struct bv_nic *nic, struct bv_error *err)
{
	struct ifreq req = { .ifr_mtu = (int)nic->mtu };
	if (!nic->mtu)
		return 0;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", nic->name);
	if (ioctl(sock, SIOCSIFMTU, &req) < 0)
		return bv_fail_errno(err, "the guest cannot set the MTU of %s to %u (lxc.net.%u.mtu)", nic->name,
				     nic->mtu, nic->index);
	return 0;
}

static int prepare_links(struct link *links, size_t n, struct bv_error *err)
{
	autoclose int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return bv_fail_errno(err, "the guest cannot make a socket for its network");
	int r = find_all(links, n, err);
	if (r == 0)
		r = rename_all(sock, links, n, err);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = set_mtu(sock, links[i].nic, err);
	return r;
}

int guest_configure_network(struct guest *g, struct bv_error *err)
{
	const struct bv_config *cfg = g->cfg;
	if (cfg->n_nics == 0)
		return 0;
	autofree struct link *links = calloc(cfg->n_nics, sizeof(*links));
	if (!links)
		return bv_fail(err, ENOMEM, "out of memory");
	size_t n = 0;
	for (size_t i = 0; i < cfg->n_nics; i++)
		if (has_link(&cfg->nics[i]))
			links[n++].nic = &cfg->nics[i];

	int r = n ? prepare_links(links, n, err) : 0;
	if (r < 0)
		return r;
	autoclean(bv_net_clear) struct bv_net net = { .netlink = -1 };
	return bv_net_configure(&net, cfg, err);
}
