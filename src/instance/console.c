/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/console.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "instance/terminal.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

static_assert((int)BV_CONSOLE_FRAME_MAX <= (int)BV_CONSOLE_TYPED_MAX, "what a client sends fits");

enum { DRAIN_READS = 64 };

void bv_console_init(struct bv_console *c)
{
	*c = (struct bv_console){ .master = -1, .slave = -1, .log = -1, .client = -1, .in = -1, .out = -1,
				  .mirror = -1, .own_out = -1 };
}

static int open_log(struct bv_console *c, const char *path)
{
	/* O_NONBLOCK: the monitor must not wait for the reader of a pipe. */
	c->log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0640);
	struct stat st;
	if (c->log < 0 || fstat(c->log, &st) < 0)
		return -errno;
	c->log_size = (uint64_t)st.st_size;
	return 0;
}

/*
 * LXC's way with lxc.console.path: what is not there becomes a file. It must not hold the monitor up, so what a device
 * does not take at once is lost to it.
 */
static int open_mirror(struct bv_console *c, const char *path)
{
	c->mirror = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	struct stat st;
	if (c->mirror < 0 || fstat(c->mirror, &st) < 0)
		return -errno;
	c->out = c->mirror;
	/* From a pipe would come back what was written to it; a file is for the output alone. */
	c->in = S_ISCHR(st.st_mode) ? c->mirror : -1;
	return 0;
}

/*
 * Held open, the slave keeps the master from being at its end between two users of the console. A hang-up inside
 * (vhangup, as by a getty) takes it from all who have it; what is opened after that is good again.
 */
static int hold_slave(struct bv_console *c)
{
	close_fd(&c->slave);
	c->slave = ioctl(c->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	return c->slave < 0 ? -EIO : 0;
}

void bv_console_use_terminal(struct bv_console *c, int in, int out)
{
	c->in = in;
	c->own_out = out >= 0 ? bv_terminal_own_output(out) : -1;
	c->out = c->own_out >= 0 ? c->own_out : out;
}

int bv_console_open(struct bv_console *c, int master, const struct bv_config *cfg, struct bv_error *err)
{
	c->master = master;
	if (master >= 0) {
		fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
		hold_slave(c);
		if (c->size.ws_row)
			ioctl(master, TIOCSWINSZ, &c->size);
	}
	if (cfg->console_logfile && c->log < 0) {
		int r = open_log(c, cfg->console_logfile);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot open %s (lxc.console.logfile)", cfg->console_logfile);
		}
		c->log_max = cfg->console_size;
		c->rotate = cfg->console_rotate;
		c->log_path = cfg->console_size ? strdup(cfg->console_logfile) : NULL;
	}
	if (cfg->console_path && c->mirror < 0 && master >= 0) {
		int r = open_mirror(c, cfg->console_path);
		if (r < 0) {
			errno = -r;
			return bv_fail_errno(err, "cannot open %s (lxc.console.path)", cfg->console_path);
		}
	}
	if (cfg->console_buffer_size && !c->ring) {
		void *p = mmap(NULL, cfg->console_buffer_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		if (p == MAP_FAILED)
			return bv_fail_errno(err, "cannot make the console's buffer (lxc.console.buffer.size)");
		c->ring = p;
		c->ring_size = cfg->console_buffer_size;
	}
	return 0;
}

/* At its limit the log is set aside as FILE.1 or begun again, as lxc.console.rotate says. */
static void limit_log(struct bv_console *c, size_t coming)
{
	if (!c->log_max || c->log_size + coming <= c->log_max)
		return;
	if (c->rotate && c->log_path) {
		autofree char *old = bv_asprintf("%s.1", c->log_path);
		if (old && rename(c->log_path, old) == 0) {
			close_fd(&c->log);
			open_log(c, c->log_path);
			return;
		}
	}
	if (ftruncate(c->log, 0) == 0)
		c->log_size = 0;
}

static void keep(struct bv_console *c, const char *data, size_t len)
{
	for (size_t i = 0; c->ring && i < len; i++)
		c->ring[c->ring_total++ % c->ring_size] = data[i];
	if (c->log >= 0) {
		limit_log(c, len);
		/* What a full disk took of it counts as well. */
		int r = c->log >= 0 ? bv_write_all(c->log, data, len) : -EBADF;
		off_t end = r < 0 && c->log >= 0 ? lseek(c->log, 0, SEEK_END) : -1;
		c->log_size = end >= 0 ? (uint64_t)end : c->log_size + len;
	}
}

/* With its panic a kernel has said why; what it adds, of its place in memory say, is of no use to anybody. */
static bool tells_of_panic(const struct bv_console *c)
{
	static const char word[] = "Kernel panic - not syncing";
	return memmem(c->line, c->line_len, word, sizeof(word) - 1) != NULL;
}

static void keep_line(struct bv_console *c, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n') {
			c->line_ended = true;
		} else if ((unsigned char)data[i] >= ' ' && data[i] != 127) {
			if (c->line_ended && tells_of_panic(c))
				return;
			if (c->line_ended)
				c->line_len = 0;
			c->line_ended = false;
			if (c->line_len < sizeof(c->line))
				c->line[c->line_len++] = data[i];
		}
	}
}

void bv_console_last_line(const struct bv_console *c, char *buf, size_t size)
{
	snprintf(buf, size, "%.*s", (int)c->line_len, c->line);
}

void bv_console_forget_line(struct bv_console *c)
{
	c->line_len = 0;
	c->line_ended = false;
}

/* ---- output ---- */

/* A terminal that is gone is not written to again; what it did not take is nobody's. */
static void lose_terminal(struct bv_console *c)
{
	bv_buf_clear(&c->unseen);
	close_fd(&c->own_out);
	c->out = -1;
}

/* How much the terminal took. */
static size_t write_terminal(struct bv_console *c, const char *data, size_t len)
{
	ssize_t n = write(c->out, data, len);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	lose_terminal(c);
	return len;
}

void bv_console_show(struct bv_console *c)
{
	size_t n = c->unseen.len ? write_terminal(c, c->unseen.p, c->unseen.len) : 0;
	if (n >= c->unseen.len) {
		bv_buf_clear(&c->unseen);
		return;
	}
	c->unseen.len -= n;
	memmove(c->unseen.p, c->unseen.p + n, c->unseen.len);
}

static void show(struct bv_console *c, const char *data, size_t len)
{
	if (c->mirror >= 0) {
		if (write(c->mirror, data, len) < (ssize_t)len)
			c->dropped += len;
	} else if (c->out >= 0) {
		size_t n = c->unseen.len ? 0 : write_terminal(c, data, len);
		if (n < len)
			bv_buf_add(&c->unseen, data + n, len - n);
	}
}

int bv_console_output(struct bv_console *c)
{
	char frame[BV_CONSOLE_FRAME_MAX];
	ssize_t n = read(c->master, frame + 1, sizeof(frame) - 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0)
		return hold_slave(c);

	size_t len = (size_t)n;
	keep(c, frame + 1, len);
	keep_line(c, frame + 1, len);
	show(c, frame + 1, len);
	if (c->client >= 0) {
		frame[0] = BV_CONSOLE_FRAME_DATA;
		if (send(c->client, frame, len + 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			c->dropped += len;
	}
	return (int)len;
}

void bv_console_drain(struct bv_console *c)
{
	/* More than a pty holds; with a shared pid namespace somebody may go on writing. */
	for (int i = 0; i < DRAIN_READS && c->master >= 0 && bv_console_output(c) > 0; i++)
		;
	c->typed_len = 0;
	if (c->master >= 0)
		ioctl(c->master, TIOCGWINSZ, &c->size);
	close_fd(&c->slave);
	close_fd(&c->master);
}

void bv_console_close(struct bv_console *c)
{
	bv_console_drain(c);
	lose_terminal(c);
	close_fd(&c->log);
	close_fd(&c->client);
	close_fd(&c->mirror);
	if (c->ring)
		munmap(c->ring, c->ring_size);
	free(c->log_path);
	bv_console_init(c);
}

/* ---- input ---- */

void bv_console_type(struct bv_console *c)
{
	ssize_t n = c->typed_len ? write(c->master, c->typed + c->typed_start, c->typed_len) : 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A hang-up just now: what was typed before it is gone, as on any terminal. */
	if (n < 0)
		n = (ssize_t)c->typed_len;
	c->typed_start += (size_t)n;
	c->typed_len -= (size_t)n;
}

static void type(struct bv_console *c, const char *data, size_t len)
{
	if (c->master < 0)
		return;
	c->typed_start = 0;
	c->typed_len = len;
	memcpy(c->typed, data, len);
	bv_console_type(c);
}

int bv_console_client_input(struct bv_console *c)
{
	char frame[BV_CONSOLE_FRAME_MAX];
	ssize_t n = recv(c->client, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
	if (n == 0 || n > (ssize_t)sizeof(frame))
		return -EPIPE;

	struct winsize size;
	if (frame[0] == BV_CONSOLE_FRAME_DATA && n > 1) {
		type(c, frame + 1, (size_t)n - 1);
	} else if (frame[0] == BV_CONSOLE_FRAME_SIZE && n == 1 + (ssize_t)sizeof(size) && c->master >= 0) {
		memcpy(&size, frame + 1, sizeof(size));
		ioctl(c->master, TIOCSWINSZ, &size);
	}
	return 0;
}

int bv_console_terminal_input(struct bv_console *c)
{
	char buf[BV_CONSOLE_FRAME_MAX];
	ssize_t n = read(c->in, buf, sizeof(buf));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : 0;
	type(c, buf, (size_t)n);
	return n > 0;
}
