/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cleanup.h"

/* An unknown kind is EOPNOTSUPP; a known one succeeds, or complains of what it lacks (a vlan: its parent). */
static bool kind_is_there(int fd, const char *kind)
{
	char buf[512] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	h->nlmsg_type = RTM_NEWLINK;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	struct nlattr *info = mnl_attr_nest_start_check(h, sizeof(buf), IFLA_LINKINFO);
	if (!info || !mnl_attr_put_strz_check(h, sizeof(buf), IFLA_INFO_KIND, kind))
		return false;
	mnl_attr_nest_end(h, info);

	char reply[1024] __attribute__((aligned(8)));
	if (send(fd, h, h->nlmsg_len, 0) < 0)
		return false;
	ssize_t n = recv(fd, reply, sizeof(reply), 0);
	const struct nlmsghdr *r = (const void *)reply;
	if (n < (ssize_t)(sizeof(*r) + sizeof(struct nlmsgerr)) || r->nlmsg_type != NLMSG_ERROR)
		return false;
	return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(r))->error != -EOPNOTSUPP;
}

int bv_net_probe_kinds(const char *const *kinds, bool *there, size_t n)
{
	enum { KINDS_MAX = 30 };
	int pair[2];
	if (n > KINDS_MAX)
		return -E2BIG;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		unsigned int bits = 0;
		int fd = unshare(CLONE_NEWNET) < 0 ? -1 : socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		for (size_t i = 0; fd >= 0 && i < n; i++)
			bits |= kind_is_there(fd, kinds[i]) ? 1U << i : 0;
		_exit(fd < 0 || write(pair[1], &bits, sizeof(bits)) != sizeof(bits));
	}
	close(pair[1]);
	unsigned int bits = 0;
	int r = pid < 0 ? -errno : read(pair[0], &bits, sizeof(bits)) == sizeof(bits) ? 0 : -EPERM;
	close(pair[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	for (size_t i = 0; i < n; i++)
		there[i] = bits & (1U << i);
	return r;
}
