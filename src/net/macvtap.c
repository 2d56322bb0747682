/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "net/link.h"
#include "net/tap.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

enum { MACVTAP_TRIES = 8 }; /* with random names */

/* ---- the link ---- */

/* The guest sends and is sent to by this address, so that the host's end must have the same. */
static int choose_mac(const struct bv_nic *nic, uint8_t mac[6], struct bv_error *err)
{
	static const uint8_t none[6];
	int rc = memcmp(mac, none, sizeof(none)) != 0 ? 1 : bv_link_mac(nic, mac, err);

	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (getrandom(mac, 6, 0) != 6)
		return bv_fail(err, EIO, "cannot get random bytes");
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 2); /* unicast, of nobody's range */
	return 0;
}

static int make_link(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		     const uint8_t mac[6], struct bv_error *err)
{
	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "make a macvtap", .preposition = "on",
							       .link = l->parent });
	m->ifi_flags = m->ifi_change = IFF_UP;
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	bv_nl_put_u32(&h->nl, IFLA_LINK, (uint32_t)l->parent_facts.index);
	bv_nl_put(&h->nl, IFLA_ADDRESS, mac, 6);
	if (nic->mtu)
		bv_nl_put_u32(&h->nl, IFLA_MTU, nic->mtu);
	size_t info = bv_nl_nest(&h->nl, IFLA_LINKINFO);
	bv_nl_put_str(&h->nl, IFLA_INFO_KIND, "macvtap");
	size_t data = bv_nl_nest(&h->nl, IFLA_INFO_DATA);
	bv_nl_put_u32(&h->nl, IFLA_MACVLAN_MODE, nic->macvlan_mode);
	bv_nl_nest_end(&h->nl, data);
	bv_nl_nest_end(&h->nl, info);
	return bv_link_commit(h, l, "macvtap", "CONFIG_MACVTAP", err);
}

static int make_link_retrying(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l,
			      const uint8_t mac[6], struct bv_error *err)
{
	for (int tries = 1;; tries++) {
		struct bv_error failure = { 0 };
		int rc = bv_hostend_random_name(l->host_name, "mtap", &failure);

		if (rc == 0)
			rc = make_link(h, nic, l, mac, &failure);
		if (rc == 0)
			break;
		if (rc != -EEXIST || tries == MACVTAP_TRIES) {
			l->host_name[0] = '\0';
			if (err)
				*err = failure;
			return rc;
		}
	}
	l->ifindex = bv_nl_link_index(&h->nl, l->host_name);
	if (nic->macvlan_mode != BV_MACVLAN_PASSTHRU)
		return 0;
	/* It came with its parent's address; the kernel gives that back to the parent in the end. */
	bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "set the MAC of the macvtap", .link = l->host_name });
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	bv_nl_put(&h->nl, IFLA_ADDRESS, mac, 6);
	return bv_nl_flush(&h->nl, err);
}

/* Its name and its index have to be what they were: the clean-up after a crash may come after another's link. */
int bv_macvtap_remove(struct bv_net_host *h, const struct bv_net_link *l, struct bv_error *err)
{
	if (!l->host_name[0] || !l->ifindex || bv_nl_link_index(&h->nl, l->host_name) != l->ifindex)
		return 0;
	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_DELLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "remove the macvtap", .link = l->host_name,
							       .tolerate = ENODEV });
	m->ifi_index = l->ifindex;
	return bv_nl_flush(&h->nl, err);
}

/* ---- its device ---- */

/* "246:1" of the link's device; 0: there is no such file, as in the sysfs of another network namespace. */
static dev_t device_number(const struct bv_net_link *l)
{
	char path[64], text[32];
	unsigned int major, minor;

	snprintf(path, sizeof(path), "/sys/class/macvtap/tap%d/dev", l->ifindex);
	if (bv_read_small(AT_FDCWD, path, text, sizeof(text)) < 0 || sscanf(text, "%u:%u", &major, &minor) != 2)
		return 0;
	return makedev(major, minor);
}

/* A node that nobody else sees: in a file system of its own, mounted nowhere, which goes when the fd is closed. */
static int open_private(dev_t number)
{
	autoclose int room = bv_fs_mount("tmpfs", "tmpfs", "size=4k,mode=700", 0, NULL, 0);

	if (room < 0)
		return room;
	if (mknodat(room, "tap", S_IFCHR | 0600, number) < 0)
		return -errno;
	int fd = openat(room, "tap", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/*
 * /dev/tapINDEX as a rule. It is not there where /dev is no devtmpfs, and as indices are counted by network namespace
 * it may be the device of a link in another one.
 */
static int open_device(const struct bv_net_link *l, dev_t number)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/dev/tap%d", l->ifindex);
	bool usable = stat(path, &st) == 0 && S_ISCHR(st.st_mode) && (!number || st.st_rdev == number);
	int fd = usable ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;

	if (fd >= 0)
		return fd;
	return number ? open_private(number) : -ENOENT;
}

static int open_queue(const struct bv_net_link *l, unsigned int queues, dev_t number, struct bv_error *err)
{
	autoclose int fd = open_device(l, number);
	struct ifreq req = { 0 };

	if (fd < 0) {
		bv_fail(err, fd, "lxc.net.%u (macvlan): cannot open /dev/tap%d, the device of the macvtap \"%s\": %s",
			l->index, l->ifindex, l->host_name, strerror(-fd));
		return number ? fd : bv_hint(err, "is sysfs of this network namespace mounted on /sys?");
	}
	if (ioctl(fd, TUNGETIFF, &req) < 0 || !bv_streq(req.ifr_name, l->host_name))
		return bv_fail(err, ENODEV, "lxc.net.%u (macvlan): /dev/tap%d is not the device of the macvtap \"%s\"",
			       l->index, l->ifindex, l->host_name);
	int rc = bv_tap_set(fd, NULL, queues, 0);
	if (rc < 0)
		return bv_fail(err, rc, "lxc.net.%u (macvlan): cannot set up the device of the macvtap \"%s\": %s",
			       l->index, l->host_name, strerror(-rc));
	return take_fd(&fd);
}

int bv_macvtap_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_net_tap *tap,
		      struct bv_error *err)
{
	int rc = choose_mac(nic, tap->mac, err);

	if (rc == 0)
		rc = make_link_retrying(h, nic, l, tap->mac, err);
	if (rc == 0) {
		dev_t number = device_number(l);

		for (unsigned int i = 0; i < tap->queues && rc == 0; i++) {
			tap->fds[i] = open_queue(l, tap->queues, number, err);
			rc = tap->fds[i] < 0 ? tap->fds[i] : 0;
		}
	}
	if (rc < 0)
		bv_macvtap_remove(h, l, NULL);
	return rc;
}
