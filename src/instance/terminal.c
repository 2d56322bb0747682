/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"

enum {
	/* A pty says it is writable when it takes at least this much. */
	INPUT_CHUNK = 256,
	/* After the end no more than this is taken: a pty holds less, but somebody may go on writing to it. */
	DRAIN_MAX = 256 * 1024,
};

int bv_terminal_raw(int fd, struct termios *saved)
{
	struct termios now;
	if (tcgetattr(fd, &now) < 0)
		return errno == ENOTTY || errno == EINVAL || errno == EBADF ? 0 : -errno;
	if (saved)
		*saved = now;
	cfmakeraw(&now);
	/* What was typed ahead is kept, and nothing is waited for: output may be stopped. */
	return tcsetattr(fd, TCSANOW, &now) < 0 ? -errno : 1;
}

void bv_terminal_restore(int fd, const struct termios *saved)
{
	tcsetattr(fd, TCSANOW, saved);
}

void bv_terminal_copy_size(int from, int to)
{
	struct winsize size;
	if (ioctl(from, TIOCGWINSZ, &size) == 0)
		ioctl(to, TIOCSWINSZ, &size);
}

int bv_terminal_own_output(int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -1;
	/* To open a pty's master once more is to make another pty. */
	bool is_tty = S_ISCHR(st.st_mode) && st.st_rdev != makedev(5, 2) && isatty(fd);
	if (!is_tty && !S_ISFIFO(st.st_mode))
		return -1;
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

bool bv_terminal_filter(char *data, size_t *len, int escape, bool *pending)
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

/* ---- the relay ---- */

/* One direction: nothing is read before all that was read has been written. */
struct flow {
	char data[BV_CONSOLE_FRAME_MAX];
	size_t start, len;
};

struct relay {
	const struct bv_relay *r;
	struct flow to_out, to_peer;
	int out;      /* of our own where possible, so that a write never blocks; else r->out */
	int hold;     /* the peer's other end: between two users of a tty the master would be at its end; -1 */
	int size_fd;  /* the terminal whose size counts, -1 */
	int signals;
	bool raw, pending, in_ended;
	bool ending;  /* only what the peer still has is to be shown */
	size_t drained;
	int signal;   /* that ended the relay, 0 none */
	struct termios saved;
};

/* All steps return one of these, or -errno. */
enum { GO_ON = 0, END = 1, NOTHING = 2 };

static void send_size(const struct relay *y)
{
	struct winsize size;
	if (y->size_fd < 0 || ioctl(y->size_fd, TIOCGWINSZ, &size) < 0)
		return;
	if (!y->r->framed) {
		if (ioctl(y->r->peer, TIOCSWINSZ, &size) == 0 && y->r->resized)
			y->r->resized(y->r->data);
		return;
	}
	char frame[1 + sizeof(size)] = { BV_CONSOLE_FRAME_SIZE };
	memcpy(frame + 1, &size, sizeof(size));
	send(y->r->peer, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/*
 * Hold the slave of the peer. A hang-up inside (vhangup, as by a getty) takes it away from all who have it, and what
 * is opened after it is a new one. Only where `watch` will tell the end.
 */
static int hold_peer(struct relay *y)
{
	close_fd(&y->hold);
	if (y->r->framed || y->r->watch < 0)
		return -ENOTTY;
	y->hold = ioctl(y->r->peer, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return y->hold < 0 ? -errno : 0;
}

static int read_peer(struct relay *y)
{
	struct flow *f = &y->to_out;
	ssize_t n = y->r->framed ? recv(y->r->peer, f->data, sizeof(f->data), MSG_DONTWAIT)
				 : read(y->r->peer, f->data, sizeof(f->data));
	/* A peer that has gone without reading all is told once, before what it has sent. */
	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ECONNRESET))
		return NOTHING;
	if (n < 0 && errno != EIO)
		return -errno;
	if (n <= 0)
		return !y->ending && hold_peer(y) == 0 ? NOTHING : END;

	f->start = y->r->framed ? 1 : 0;
	f->len = (size_t)n - f->start;
	y->drained += y->ending ? f->len : 0;
	return y->r->log >= 0 ? bv_write_all(y->r->log, f->data + f->start, f->len) : GO_ON;
}

static int write_out(struct relay *y)
{
	struct flow *f = &y->to_out;
	ssize_t n = f->len ? write(y->out, f->data + f->start, f->len) : 0;
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? GO_ON : errno == EIO || errno == EPIPE ? END : -errno;
	f->start += (size_t)n;
	f->len -= (size_t)n;
	return GO_ON;
}

/* to_peer has a byte of room before its data, for the frame's. */
static int write_peer(struct relay *y)
{
	struct flow *f = &y->to_peer;
	if (f->len == 0)
		return GO_ON;
	ssize_t n;
	if (y->r->framed) {
		f->data[f->start - 1] = BV_CONSOLE_FRAME_DATA;
		n = send(y->r->peer, f->data + f->start - 1, f->len + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		n = n > 0 ? (ssize_t)f->len : n;
	} else {
		n = write(y->r->peer, f->data + f->start, f->len);
	}
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return GO_ON;
	/* Nobody has the other end open just now: what was typed is lost; reading finds out what it means. */
	if (n < 0 && errno == EIO)
		n = (ssize_t)f->len;
	/* A monitor that has gone has perhaps left something to show: reading finds the end. */
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		n = (ssize_t)f->len;
	if (n < 0)
		return -errno;
	f->start += (size_t)n;
	f->len -= (size_t)n;
	return GO_ON;
}

/* The end of what is no terminal goes on as the end-of-file character; a terminal that is at its end was hung up. */
static int end_input(struct relay *y)
{
	y->in_ended = true;
	if (y->raw)
		return END;
	struct termios t;
	if (!y->r->framed && tcgetattr(y->r->peer, &t) == 0) {
		y->to_peer.data[1] = (char)t.c_cc[VEOF];
		y->to_peer.len = 1;
	}
	return write_peer(y);
}

static int read_user(struct relay *y)
{
	struct flow *f = &y->to_peer;
	f->start = 1;
	ssize_t n = read(y->r->in, f->data + 1, INPUT_CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return GO_ON;
	if (n < 0 && errno != EIO)
		return -errno;
	if (n <= 0)
		return end_input(y);
	f->len = (size_t)n;
	bool end = bv_terminal_filter(f->data + 1, &f->len, y->r->escape, &y->pending);
	int r = write_peer(y);
	return end && r >= 0 ? END : r;
}

static int take_signal(struct relay *y)
{
	struct signalfd_siginfo info;
	if (read(y->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return GO_ON;
	switch (info.ssi_signo) {
	case SIGCONT:
		/* Whoever stopped us has set the terminal as it likes. */
		if (y->raw)
			bv_terminal_raw(y->r->in, NULL);
		__attribute__((fallthrough));
	case SIGWINCH:
		send_size(y);
		return GO_ON;
	default:
		y->signal = (int)info.ssi_signo;
		return END;
	}
}

enum { IN, PEER, OUT, WATCH, SIGNALS, FDS };

static void choose_events(const struct relay *y, struct pollfd *p)
{
	/* An fd that is asked for nothing would still tell of a hang-up, again and again. */
	short peer = (short)((y->to_out.len ? 0 : POLLIN) | (y->to_peer.len ? POLLOUT : 0));
	p[IN] = (struct pollfd){ .fd = y->in_ended || y->ending || y->to_peer.len ? -1 : y->r->in, .events = POLLIN };
	p[PEER] = (struct pollfd){ .fd = peer && !y->ending ? y->r->peer : -1, .events = peer };
	p[OUT] = (struct pollfd){ .fd = y->to_out.len ? y->out : -1, .events = POLLOUT };
	p[WATCH] = (struct pollfd){ .fd = y->ending ? -1 : y->r->watch, .events = POLLIN };
	p[SIGNALS] = (struct pollfd){ .fd = y->signals, .events = POLLIN };
}

static int relay_once(struct relay *y)
{
	struct pollfd p[FDS];
	choose_events(y, p);
	if (poll(p, FDS, -1) < 0)
		return errno == EINTR ? GO_ON : -errno;

	int r = p[SIGNALS].revents ? take_signal(y) : GO_ON;
	if (r == GO_ON && p[OUT].revents)
		r = write_out(y);
	if (r == GO_ON && (p[PEER].revents & POLLOUT))
		r = write_peer(y);
	if (r == GO_ON && (p[PEER].revents & ~POLLOUT) && y->to_out.len == 0) {
		r = read_peer(y);
		if (r == NOTHING)
			r = GO_ON;
	}
	if (r == GO_ON && p[IN].revents)
		r = read_user(y);
	if (r == GO_ON && p[WATCH].revents)
		y->ending = true;
	return r;
}

static int relay_loop(struct relay *y)
{
	for (;;) {
		int r = GO_ON;
		if (y->ending && y->to_out.len == 0)
			r = y->drained < DRAIN_MAX ? read_peer(y) : END;
		if (r == GO_ON)
			r = relay_once(y);
		if (r != GO_ON)
			return r < 0 ? r : 0;
	}
}

/* ---- around it ---- */

/*
 * The signals that would leave the terminal raw if they killed us, unless the caller ignores them: once the terminal
 * is as before they are raised again. Blocked signals reach a signalfd even where they are ignored.
 */
static int open_signals(sigset_t *old)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGCONT);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		struct sigaction action;
		if (sigaction(ends[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	}
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, old);
	return fd;
}

int bv_terminal_relay(const struct bv_relay *r, struct bv_error *err)
{
	sigset_t old;
	struct relay y = { .r = r, .hold = -1, .in_ended = r->in < 0 };
	y.signals = open_signals(&old);
	if (y.signals < 0)
		return bv_fail(err, -y.signals, "cannot make a signalfd: %s", strerror(-y.signals));
	y.size_fd = isatty(r->in) ? r->in : isatty(r->out) ? r->out : -1;
	autoclose int own = bv_terminal_own_output(r->out);
	y.out = own >= 0 ? own : r->out;
	if (!r->framed)
		fcntl(r->peer, F_SETFL, O_RDWR | O_NONBLOCK);

	hold_peer(&y);
	y.raw = bv_terminal_raw(r->in, &y.saved) > 0;
	send_size(&y);
	int n = relay_loop(&y);
	if (y.raw)
		bv_terminal_restore(r->in, &y.saved);
	close_fd(&y.hold);
	close_fd(&y.signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (y.signal)
		raise(y.signal);
	return n < 0 ? bv_fail(err, -n, "the connection to the terminal broke: %s", strerror(-n)) : 0;
}
