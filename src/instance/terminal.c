/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"

/* A pty says it is writable when it takes at least this much. */
enum { INPUT_CHUNK = 256 };

int bv_terminal_raw(int fd, struct termios *saved)
{
	if (tcgetattr(fd, saved) < 0)
		return errno == ENOTTY || errno == EINVAL ? 0 : -errno;
	struct termios raw = *saved;
	cfmakeraw(&raw);
	return tcsetattr(fd, TCSAFLUSH, &raw) < 0 ? -errno : 1;
}

void bv_terminal_restore(int fd, const struct termios *saved)
{
	tcsetattr(fd, TCSAFLUSH, saved);
}

void bv_terminal_copy_size(int from, int to)
{
	struct winsize size;
	if (ioctl(from, TIOCGWINSZ, &size) == 0)
		ioctl(to, TIOCSWINSZ, &size);
}

static void send_size(const struct bv_relay *r)
{
	if (!r->framed) {
		bv_terminal_copy_size(r->in, r->peer);
		return;
	}
	char frame[1 + sizeof(struct winsize)] = { BV_FRAME_SIZE };
	struct winsize size;
	if (ioctl(r->in, TIOCGWINSZ, &size) < 0)
		return;
	memcpy(frame + 1, &size, sizeof(size));
	send(r->peer, frame, sizeof(frame), MSG_NOSIGNAL);
}

static int to_peer(const struct bv_relay *r, const char *data, size_t len)
{
	if (len == 0)
		return 0;
	if (!r->framed)
		return bv_write_all(r->peer, data, len);
	char frame[BV_FRAME_MAX];
	frame[0] = BV_FRAME_DATA;
	memcpy(frame + 1, data, len);
	return send(r->peer, frame, len + 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * Take the escape sequence out of what was typed: escape q ends, escape escape is one escape, escape with anything else
 * is that alone. *pending carries a lone escape over to the next read. Returns true at the end.
 */
static bool filter_escape(char *data, size_t *len, int escape, bool *pending)
{
	size_t kept = 0;
	for (size_t i = 0; i < *len; i++) {
		char c = data[i];
		if (*pending) {
			*pending = false;
			if (c == 'q') {
				*len = kept;
				return true;
			}
			data[kept++] = c;
		} else if (escape && c == escape) {
			*pending = true;
		} else {
			data[kept++] = c;
		}
	}
	*len = kept;
	return false;
}

/* 1: go on, 0: the peer is at its end, -errno. */
static int from_peer(const struct bv_relay *r)
{
	char buf[BV_FRAME_MAX];
	ssize_t n = r->framed ? recv(r->peer, buf, sizeof(buf), 0) : read(r->peer, buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : errno == EIO || errno == ECONNRESET ? 0 : -errno;
	size_t skip = r->framed ? 1 : 0;
	if (n <= (ssize_t)skip)
		return 0;
	int w = bv_write_all(r->out, buf + skip, (size_t)n - skip);
	if (w == 0 && r->log >= 0)
		w = bv_write_all(r->log, buf + skip, (size_t)n - skip);
	return w < 0 ? w : 1;
}

/* 1: go on, 0: end of input, 2: the escape, -errno. */
static int from_user(const struct bv_relay *r, bool *pending)
{
	char buf[INPUT_CHUNK];
	ssize_t n = read(r->in, buf, sizeof(buf));
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? 1 : -errno;
	if (n == 0)
		return 0;
	size_t len = (size_t)n;
	bool end = filter_escape(buf, &len, r->escape, pending);
	int w = to_peer(r, buf, len);
	if (w < 0)
		return w == -EIO || w == -EPIPE ? 2 : w;
	return end ? 2 : 1;
}

static int drain_peer(const struct bv_relay *r)
{
	struct pollfd p = { .fd = r->peer, .events = POLLIN };
	while (poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
		if (from_peer(r) <= 0)
			break;
	return 0;
}

static bool is_writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	return poll(&p, 1, 0) > 0 && (p.revents & POLLOUT);
}

static int relay_loop(const struct bv_relay *r, int signals)
{
	enum { IN, PEER, WATCH, SIGNALS, FDS };
	bool pending = false;
	struct pollfd p[FDS] = {
		[IN] = { .fd = r->in, .events = POLLIN },
		[PEER] = { .fd = r->peer, .events = POLLIN },
		[WATCH] = { .fd = r->watch, .events = POLLIN },
		[SIGNALS] = { .fd = signals, .events = POLLIN },
	};

	for (;;) {
		if (poll(p, FDS, -1) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (p[SIGNALS].revents) {
			struct signalfd_siginfo info;
			if (read(signals, &info, sizeof(info)) > 0)
				send_size(r);
		}
		if (p[PEER].revents & POLLOUT) {
			p[PEER].events = POLLIN;
			p[IN].fd = r->in;
		}
		if (p[PEER].revents & ~POLLOUT) {
			int n = from_peer(r);
			if (n <= 0)
				return n;
		}
		if (p[WATCH].revents)
			return drain_peer(r);
		/* A write that blocked here would also stop the output that the other side waits to get rid of. */
		if (p[IN].revents && !is_writable(r->peer)) {
			p[PEER].events = POLLIN | POLLOUT;
			p[IN].fd = -1;
		} else if (p[IN].revents) {
			int n = from_user(r, &pending);
			if (n < 0 || n == 2)
				return n < 0 ? n : 0;
			if (n == 0) {
				p[IN].fd = -1;
				struct termios t;
				if (!r->framed && tcgetattr(r->peer, &t) == 0)
					to_peer(r, (const char *)&t.c_cc[VEOF], 1);
			}
		}
	}
}

int bv_terminal_relay(const struct bv_relay *r, struct bv_error *err)
{
	sigset_t winch, old;
	sigemptyset(&winch);
	sigaddset(&winch, SIGWINCH);
	sigprocmask(SIG_BLOCK, &winch, &old);
	autoclose int signals = signalfd(-1, &winch, SFD_CLOEXEC | SFD_NONBLOCK);

	struct termios saved;
	int raw = bv_terminal_raw(r->in, &saved);
	send_size(r);
	int n = relay_loop(r, signals);
	if (raw > 0)
		bv_terminal_restore(r->in, &saved);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (n < 0) {
		errno = -n;
		return bv_fail_errno(err, "the connection to the terminal broke");
	}
	return 0;
}
