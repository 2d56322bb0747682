/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/client/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"

enum {
	/* Two of the largest frames: one that is complete, and the beginning of the next. */
	IN_SIZE = 2 * (BV_FRAME_HEADER + BV_FRAME_MAX),
	/* No answer is longer, or somebody wants our memory. */
	ANSWER_MAX = 32 << 20,
	/* A connection can be seen to end a moment before the process does that had it. */
	END_GRACE_MS = 1000,
};

/* ---- frames ---- */

void bv_control_in_clear(struct bv_control_in *in)
{
	free(in->data);
	*in = (struct bv_control_in){ 0 };
}

int bv_control_fill(int fd, struct bv_control_in *in)
{
	if (!in->data && !(in->data = malloc(IN_SIZE)))
		return -ENOMEM;
	if (in->start > 0 && in->len > 0)
		memmove(in->data, in->data + in->start, in->len);
	in->start = 0;
	if (in->len == IN_SIZE)
		return 1;
	ssize_t n = recv(fd, in->data + in->len, IN_SIZE - in->len, MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	in->len += (size_t)n;
	return n > 0;
}

int bv_control_next(struct bv_control_in *in, struct bv_frame *f)
{
	int n = in->len > 0 ? bv_frame_parse(f, in->data + in->start, in->len) : 0;
	if (n <= 0)
		return n;
	in->start += (size_t)n;
	in->len -= (size_t)n;
	return 1;
}

/* 0: `fd` can do something, or a look at it is worth while. */
static int wait_for(int fd, short events, int64_t deadline)
{
	int64_t left = deadline < 0 ? -1 : deadline - bv_now_ms();
	if (deadline >= 0 && left <= 0)
		return -ETIMEDOUT;
	struct pollfd p = { .fd = fd, .events = events };
	return poll(&p, 1, (int)left) < 0 && errno != EINTR ? -errno : 0;
}

int bv_control_receive(int fd, struct bv_control_in *in, struct bv_frame *f, int64_t deadline)
{
	for (;;) {
		int r = bv_control_next(in, f);
		if (r != 0)
			return r;
		r = bv_control_fill(fd, in);
		if (r == 0)
			return 0;
		if (r == -EAGAIN)
			r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

int bv_control_send(int fd, const struct bv_buf *frames, int64_t deadline)
{
	if (frames->bad)
		return -ENOMEM;
	for (size_t sent = 0; sent < frames->len;) {
		ssize_t n = send(fd, frames->p + sent, frames->len - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		int r = errno == EINTR ? 0 : errno == EAGAIN ? wait_for(fd, POLLOUT, deadline) : -errno;
		if (r < 0)
			return r;
	}
	return 0;
}

int bv_control_explain(const struct bv_run *run, int r, struct bv_error *err)
{
	bool ended = run->pidfd >= 0 && r != -ETIMEDOUT && r != -EPROTO && r != -ENOMEM &&
		     bv_pidfd_wait(run->pidfd, END_GRACE_MS) == 0;
	if (ended) {
		bv_fail(err, ECONNRESET, "the VM ended");
		return bv_hint(err, "lxc-info -n %s tells whether it was started again", run->name);
	}
	switch (r) {
	case 0:
	case -EPIPE:
	case -ECONNRESET:
		return bv_fail(err, ECONNRESET, "the VM's supervisor ended the connection");
	case -ETIMEDOUT:
		bv_fail(err, ETIMEDOUT, "the VM's supervisor did not answer within %d s", BV_CONTROL_TIMEOUT_MS / 1000);
		return bv_hint(err, "the host may be short of CPU time; lxc-stop -n %s -k ends the VM", run->name);
	case -EPROTO:
		return bv_fail(err, EPROTO, "the VM's supervisor sent what the protocol does not have");
	case -ENOMEM:
		return bv_fail(err, ENOMEM, "out of memory");
	default:
		return bv_fail(err, r, "the connection to the VM's supervisor broke: %s", strerror(-r));
	}
}

int bv_control_error_of(struct bv_cursor *c, struct bv_error *err)
{
	struct bv_error got = { 0 };
	bv_get_error(c, &got);
	if (c->bad)
		return bv_fail(err, EPROTO, "the VM's supervisor sent what the protocol does not have");
	int r = bv_fail(err, got.code, "%s", got.what[0] ? got.what : "the VM gives no reason");
	return got.hint[0] ? bv_hint(err, "%s", got.hint) : r;
}

/* ---- the connection ---- */

static int fail_connect(const struct bv_run *run, int code, struct bv_error *err)
{
	switch (code) {
	case EAGAIN: /* how a unix socket says that its timeout is over */
		return bv_control_explain(run, -ETIMEDOUT, err);
	case ENOENT:
	case ECONNREFUSED:
		if (run->pidfd >= 0 && bv_pidfd_wait(run->pidfd, END_GRACE_MS) == 0)
			return bv_control_explain(run, 0, err);
		bv_fail(err, code, "the VM's supervisor cannot be reached: nobody listens at the run directory's vm");
		return bv_hint(err, "lxc-info -n %s", run->name);
	default:
		return bv_fail(err, code, "the VM's supervisor cannot be reached: %s", strerror(code));
	}
}

int bv_control_connect(const struct bv_run *run, struct bv_error *err)
{
	if (run->cgroup && bv_cgroup_is_frozen(run->cgroup) == 1) {
		bv_fail(err, EBUSY, "%s is frozen", run->name);
		return bv_hint(err, "lxc-unfreeze -n %s", run->name);
	}
	autoclose int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return bv_fail_errno(err, "cannot make a socket");

	/* By the directory's fd: a socket's address has room for 107 bytes. */
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/vm", run->run_dir);
	struct timeval timeout = { .tv_sec = BV_CONTROL_TIMEOUT_MS / 1000 }, none = { 0 };
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		return fail_connect(run, errno, err);
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return take_fd(&s);
}

/* ---- one question ---- */

/* Up to the last part of the answer. */
static int collect(int fd, struct bv_control_in *in, struct bv_buf *answer, const struct bv_run *run, int64_t deadline,
		   struct bv_error *err)
{
	for (;;) {
		struct bv_frame f;
		int r = bv_control_receive(fd, in, &f, deadline);
		if (r > 0 && f.type == BV_FRAME_ERROR) {
			struct bv_cursor c = bv_cursor_of(&f);
			return bv_control_error_of(&c, err);
		}
		if (r > 0 && f.type != BV_FRAME_ANSWER)
			r = -EPROTO;
		if (r <= 0)
			return bv_control_explain(run, r, err);
		bv_buf_add(answer, f.data, f.len);
		if (answer->bad)
			return bv_control_explain(run, -ENOMEM, err);
		if (answer->len > ANSWER_MAX)
			return bv_fail(err, EFBIG, "the answer is longer than %d MiB", ANSWER_MAX >> 20);
		if (f.flags & 1)
			return 0;
	}
}

int bv_control_ask(const struct bv_run *run, enum bv_ask what, const char *text, char **ret, struct bv_error *err)
{
	text = text ? text : "";
	if (strlen(text) > BV_FRAME_MAX - sizeof(uint32_t))
		return bv_fail(err, E2BIG, "the command is longer than %zu bytes", BV_FRAME_MAX - sizeof(uint32_t));
	autoclose int fd = bv_control_connect(run, err);
	if (fd < 0)
		return fd;

	autoclean(bv_control_in_clear) struct bv_control_in in = { 0 };
	autoclean(bv_buf_clear) struct bv_buf payload = { 0 }, frame = { 0 }, answer = { 0 };
	bv_put_string(&payload, text);
	bv_frame_put(&frame, BV_FRAME_ASK, (uint16_t)what, 0, payload.p, payload.len);
	frame.bad |= payload.bad;

	int64_t deadline = bv_now_ms() + BV_CONTROL_TIMEOUT_MS;
	int r = bv_control_send(fd, &frame, deadline);
	/* A supervisor that hangs up at once may have said why. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET)
		return bv_control_explain(run, r, err);
	r = collect(fd, &in, &answer, run, deadline, err);
	if (r == 0 && ret && !(*ret = bv_buf_take(&answer)))
		r = bv_control_explain(run, -ENOMEM, err);
	return r;
}
