/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/fdpass.h"
#include "util/cleanup.h"

/* Nobody waits longer than this for a monitor to answer. */
enum { REPLY_TIMEOUT_S = 5, BACKLOG = 16 };

/* By the directory's fd: a socket's address has room for 107 bytes, the run directory's path may be longer. */
static void socket_address(const struct bv_rundir *rd, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/command", rd->fd);
}

int bv_command_ask(const struct bv_rundir *rd, enum bv_command_op op, int arg, int *ret_arg, int *fd,
                   struct bv_error *err)
{
	autoclose int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s < 0)
		return bv_fail_errno(err, "cannot make a socket");
	struct sockaddr_un address;
	socket_address(rd, &address);
	struct timeval timeout = { .tv_sec = REPLY_TIMEOUT_S };
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(s, (struct sockaddr *)&address, sizeof(address)) < 0)
		return bv_fail_errno(err, "cannot reach the monitor at %s/command", rd->path);

	struct bv_command command = { .magic = BV_COMMAND_MAGIC, .op = op, .arg = arg };
	struct bv_reply reply = { 0 };
	size_t n_fds = 1;
	*fd = -1;
	ssize_t n = send(s, &command, sizeof(command), MSG_NOSIGNAL);
	if (n >= 0)
		n = bv_fds_receive(s, &reply, sizeof(reply), fd, &n_fds);
	if (n != (ssize_t)sizeof(reply) || reply.magic != BV_COMMAND_MAGIC) {
		close_fd(fd);
		return bv_fail(err, EPROTO, "the monitor did not answer");
	}
	*ret_arg = reply.arg;
	if (reply.code < 0) {
		close_fd(fd);
		return reply.code;
	}
	timeout = (struct timeval){ 0 };
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	return take_fd(&s);
}

int bv_command_listen(const struct bv_rundir *rd, struct bv_error *err)
{
	autoclose int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return bv_fail_errno(err, "cannot make a socket");
	struct sockaddr_un address;
	socket_address(rd, &address);

	int r = bind(s, (struct sockaddr *)&address, sizeof(address));
	if (r < 0 && errno == EADDRINUSE) {
		unlinkat(rd->fd, "command", 0);
		r = bind(s, (struct sockaddr *)&address, sizeof(address));
	}
	/* The directory is 0700, so nobody was faster. */
	if (r < 0 || fchmodat(rd->fd, "command", 0600, 0) < 0 || listen(s, BACKLOG) < 0)
		return bv_fail_errno(err, "cannot listen on %s/command", rd->path);
	return take_fd(&s);
}

int bv_command_accept(int listener)
{
	autoclose int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (s < 0)
		return -errno;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (peer.uid != 0 && peer.uid != geteuid())
		return -EPERM;
	return take_fd(&s);
}

int bv_command_receive(int fd, struct bv_command *ret)
{
	ssize_t n = recv(fd, ret, sizeof(*ret), MSG_TRUNC);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	return n == (ssize_t)sizeof(*ret) && ret->magic == BV_COMMAND_MAGIC ? 0 : -EPROTO;
}

int bv_command_reply(int fd, int code, int arg, int pass_fd)
{
	struct bv_reply reply = { .magic = BV_COMMAND_MAGIC, .code = code, .arg = arg };
	return bv_fds_send(fd, &reply, sizeof(reply), &pass_fd, pass_fd >= 0, MSG_DONTWAIT);
}
