/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "engine/vm/guest/agent.h"
#include "engine/vm/guest/agent_internal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/num.h"

enum { SEND_EVERY_MS = 10, SEND_TIMEOUT_MS = 10000 };

#define PORTS "/sys/class/virtio-ports"

/* ---- opening ---- */

/* devtmpfs makes the node; a /dev without it (or one that is late) gets one with the number that sysfs has. */
static int open_node(const char *port)
{
	char node[64], path[96], text[32];
	snprintf(node, sizeof(node), "/dev/%.32s", port);
	int fd = open(node, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;

	snprintf(path, sizeof(path), PORTS "/%.32s/dev", port);
	ssize_t n = bv_read_small(AT_FDCWD, path, text, sizeof(text));
	char *minor_text = text;
	const char *major_text = n > 0 ? strsep(&minor_text, ":") : NULL;
	uint32_t number[2];
	if (!major_text || !minor_text || bv_parse_u32(major_text, &number[0]) < 0 ||
	    bv_parse_u32(minor_text, &number[1]) < 0)
		return -ENOENT;
	snprintf(node, sizeof(node), "/dev/.%.32s", port);
	if (mknod(node, S_IFCHR | 0600, makedev(number[0], number[1])) < 0)
		return -errno;
	fd = open(node, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int code = errno;
	unlink(node);
	return fd < 0 ? -code : fd;
}

int bv_guest_agent_open(void *data)
{
	(void)data;
	autodir DIR *dir = opendir(PORTS);
	const struct dirent *d;
	while (dir && (d = readdir(dir))) {
		char path[300], name[64];
		if (d->d_name[0] == '.' || strlen(d->d_name) > 32)
			continue;
		snprintf(path, sizeof(path), PORTS "/%.32s/name", d->d_name);
		if (bv_read_small(AT_FDCWD, path, name, sizeof(name)) <= 0 || !bv_streq(name, BV_GUEST_PORT))
			continue;
		int fd = open_node(d->d_name);
		return fd == -ENOENT || fd == -ENXIO || fd == -ENODEV ? -EAGAIN : fd;
	}
	return -EAGAIN;
}

/* ---- frames before there is an agent ---- */

void bv_guest_send(int port, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	if (port < 0 || len > BV_FRAME_MAX)
		return;
	bv_frame_put(&b, type, flags, channel, data, len);
	const int64_t deadline = bv_now_ms() + SEND_TIMEOUT_MS;
	for (size_t done = 0; !b.bad && done < b.len;) {
		ssize_t n = write(port, b.p + done, b.len - done);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return;
		int64_t left = deadline - bv_now_ms();
		struct pollfd p = { .fd = port, .events = POLLOUT };
		if (left <= 0 || (poll(&p, 1, (int)left) < 0 && errno != EINTR))
			return;
		/* Hung up, poll does not wait: the host may yet come. */
		if (p.revents & (POLLHUP | POLLERR))
			nanosleep(&(struct timespec){ .tv_nsec = SEND_EVERY_MS * 1000000L }, NULL);
	}
}

void agent_put_hello(struct bv_buf *b)
{
	struct utsname u;
	bool known = uname(&u) == 0;
	bv_put_u32(b, BV_PROTOCOL_VERSION);
	bv_put_string(b, known ? u.release : "");
	bv_put_string(b, known ? u.machine : "");
}

void bv_guest_send_hello(int port)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	agent_put_hello(&b);
	if (!b.bad)
		bv_guest_send(port, BV_FRAME_HELLO, 0, 0, b.p, b.len);
}
