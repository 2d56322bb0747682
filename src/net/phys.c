/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "net/link.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/str.h"

/*
 * A link of the host that is lent to the instance. It is known by its index: names may change inside, and what the
 * kernel gives back when the namespace dies can be called "dev5". (phys nics are moved in before anything else is made
 * inside, so that the index is free there.)
 */
enum { RETURN_WAIT_MS = 1000 }; /* the kernel empties a dead namespace in its own time */

struct prefix_match {
	const char *prefix;
	size_t len;
	char name[16];
};

/* The last match is taken, as in LXC. */
static int match_prefix(const struct nlmsghdr *h, void *to)
{
	struct prefix_match *m = to;
	const struct nlattr *a;

	mnl_attr_for_each(a, h, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(a) != IFLA_IFNAME || mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0)
			continue;
		if (strncmp(mnl_attr_get_str(a), m->prefix, m->len) == 0)
			snprintf(m->name, sizeof(m->name), "%s", mnl_attr_get_str(a));
	}
	return 0;
}

static int find_by_prefix(struct bv_nl *nl, const struct bv_nic *nic, char name[16], struct bv_error *err)
{
	struct prefix_match m = { .prefix = nic->link, .len = strlen(nic->link) - 1 };

	bv_nl_begin(nl, RTM_GETLINK, 0, sizeof(struct ifinfomsg),
		    (struct bv_nl_note){ .cannot = "list the network links" });
	int rc = bv_nl_dump(nl, match_prefix, &m, err);
	if (rc < 0)
		return rc;
	if (!m.name[0])
		return bv_fail(err, ENODEV, "no network link begins with \"%.*s\" (lxc.net.%u.link = %s)", (int)m.len,
			       m.prefix, nic->index, nic->link);
	memcpy(name, m.name, 16);
	return 0;
}

static int phys_plan(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	bool by_prefix = nic->link[strlen(nic->link) - 1] == '+';
	struct bv_error cause = { 0 };
	int rc;

	if (by_prefix && !h)
		return bv_fail(err, EINVAL, "lxc.net.%u.link = %s was not looked up before the instance's namespace "
			       "was entered", nic->index, nic->link);
	if (by_prefix)
		rc = find_by_prefix(&h->nl, nic, l->host_name, err);
	else
		rc = bv_link_name_set(l->host_name, nic->link, nic->index, "link", err);
	if (rc < 0)
		return rc;
	memcpy(l->parent, l->host_name, sizeof(l->parent));
	if (!h)
		return 0;

	rc = bv_link_parent_find(&h->nl, l->host_name, &l->parent_facts, &cause);
	if (rc == -ENODEV) {
		bv_fail(err, ENODEV, "network link \"%s\" (lxc.net.%u.link) does not exist", l->host_name, nic->index);
		return bv_hint(err, "see: ip link; another instance may have it");
	}
	if (rc < 0) {
		if (err)
			*err = cause;
		return rc;
	}
	l->ifindex = l->parent_facts.index;
	l->host_mtu = l->parent_facts.mtu;
	return 0;
}

static int phys_attach(struct bv_net_host *h, const struct bv_nic *nic, struct bv_net_link *l, struct bv_error *err)
{
	struct bv_error cause = { 0 };
	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "move into the instance the network link",
							       .link = l->host_name });

	(void)nic;
	m->ifi_index = l->ifindex;
	bv_nl_put_str(&h->nl, IFLA_IFNAME, l->name);
	bv_link_put_target(h);
	int rc = bv_nl_flush(&h->nl, &cause);
	if (rc < 0)
		return bv_fail(err, rc, "lxc.net.%u (phys): %s", l->index, cause.what);
	return 0;
}

/* ---- the way back ---- */

/* The name of the link `index` in the namespace of the socket; -ENODEV when there is none. */
static int name_of(const struct bv_nl *nl, int index, char name[16])
{
	struct ifreq req = { .ifr_ifindex = index };

	if (ioctl(nl->fd, SIOCGIFNAME, &req) < 0)
		return -errno;
	snprintf(name, 16, "%.15s", req.ifr_name);
	return 0;
}

/* The calling thread is in the instance's namespace: send the link to the namespace `home`. */
static int send_home(const struct bv_net_link *l, int home, struct bv_error *err)
{
	struct bv_nl nl;
	char name[16];
	int rc = bv_nl_open(&nl, err);

	if (rc < 0)
		return rc;
	int index = name_of(&nl, l->ifindex, name) == 0 ? l->ifindex : bv_nl_link_index(&nl, l->name);
	if (index == 0) {
		bv_nl_close(&nl);
		return bv_fail(err, ENODEV, "the network link \"%s\" (lxc.net.%u) is not in the instance any more",
			       l->host_name, l->index);
	}
	struct ifinfomsg *m = bv_nl_begin(&nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "move back to the host the network link",
							       .link = l->host_name });
	m->ifi_index = index;
	bv_nl_put_str(&nl, IFLA_IFNAME, l->host_name);
	bv_nl_put_u32(&nl, IFLA_NET_NS_FD, (uint32_t)home);
	rc = bv_nl_flush(&nl, err);
	bv_nl_close(&nl);
	return rc;
}

static int move_out(int netns_fd, const struct bv_net_link *l, struct bv_error *err)
{
	autoclose int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int rc;

	if (home < 0)
		return bv_fail_errno(err, "cannot open /proc/self/ns/net");
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return bv_fail_errno(err, "cannot enter the instance's network namespace");
	rc = send_home(l, home, err);
	if (setns(home, CLONE_NEWNET) < 0)
		return bv_fail_errno(err, "cannot return to the host's network namespace");
	return rc;
}

/* Wait until the kernel has given the link back. */
static int wait_return(const struct bv_nl *nl, const struct bv_net_link *l, char name[16])
{
	int64_t deadline = bv_now_ms() + RETURN_WAIT_MS;
	int rc;

	while ((rc = name_of(nl, l->ifindex, name)) == -ENODEV && bv_now_ms() < deadline)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
	return rc;
}

static int phys_detach(struct bv_net_host *h, const struct bv_nic *nic, const struct bv_net_link *l,
		       struct bv_error *err)
{
	char name[16];
	int rc = h->netns_fd >= 0 ? move_out(h->netns_fd, l, err) : 0;

	(void)nic;
	if (rc < 0)
		return rc;
	if (wait_return(&h->nl, l, name) < 0) {
		bv_fail(err, ENODEV, "network link \"%s\" (lxc.net.%u) did not come back from the instance",
			l->host_name, l->index);
		return bv_hint(err, "a virtual link dies with the instance's network namespace; see: ip link");
	}

	struct ifinfomsg *m = bv_nl_begin(&h->nl, RTM_NEWLINK, 0, sizeof(*m),
					  (struct bv_nl_note){ .cannot = "restore name and MTU of the network link",
							       .link = l->host_name });
	m->ifi_index = l->ifindex;
	if (!bv_streq(name, l->host_name))
		bv_nl_put_str(&h->nl, IFLA_IFNAME, l->host_name);
	if (l->host_mtu)
		bv_nl_put_u32(&h->nl, IFLA_MTU, l->host_mtu);
	return bv_nl_flush(&h->nl, err);
}

/* The namespace lives: take the link out of it. */
static void phys_undo(struct bv_net_host *h, const struct bv_net_link *l)
{
	char path[64];
	struct bv_error ignored = { 0 };

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)h->pid);
	autoclose int opened = h->netns_fd >= 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	int given = h->netns_fd;
	h->netns_fd = given >= 0 ? given : opened;
	if (phys_detach(h, NULL, l, &ignored) < 0)
		bv_warn("net", "%s", ignored.what);
	h->netns_fd = given;
}

const struct bv_link_ops bv_link_phys = {
	.parent = BV_PARENT_MUST,
	.has_link = true,
	.plan = phys_plan,
	.attach = phys_attach,
	.undo = phys_undo,
	.detach = phys_detach,
};
