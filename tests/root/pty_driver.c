/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pty_driver COMMAND [ARGUMENT]... <SCRIPT: run COMMAND on a terminal of its own and act as its user. One word a line:
 *   send TEXT       type it; \r \n \t \e \\ \xHH; no newline is added
 *   paste N         type N bytes of "a", 63 to a line (the last line may be shorter), as fast as they are taken
 *   expect TEXT     read until TEXT appears in the output after the last expect; fails after the timeout
 *   refuse TEXT     TEXT has not appeared in any output so far
 *   timeout SECONDS of expect, raw, end (60)
 *   size ROWS COLS  of the window; the command hears of it
 *   signal NUMBER   to the command
 *   raw, cooked     wait until the terminal is that
 *   restored        the settings are those of the beginning
 *   close           hang the terminal up
 *   sleep MS        without reading
 *   run TEXT        a shell command; fails if it does
 *   end STATUS      read all output until the command ends, with this status (128 + signal)
 *   echo            print all output so far
 * Exit: 0; 1 when a line failed, which is said on stderr with the output; 2.
 * pty_driver --vhangup: hang the terminal on stdin up, as a getty does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static struct {
	int master;
	pid_t pid;
	int status; /* -1: runs */
	char *out;  /* all output, NUL-terminated */
	size_t len, seen, cap;
	int timeout_ms;
	struct termios before;
} d = { .master = -1, .status = -1, .timeout_ms = 60000 };

static long now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail_usage(const char *what)
{
	fprintf(stderr, "pty_driver: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* What there is to read within `ms`: false at a time-out or the end. */
static bool read_some(int ms)
{
	struct pollfd p = { .fd = d.master, .events = POLLIN };
	if (d.master < 0 || poll(&p, 1, ms) <= 0 || !(p.revents & POLLIN))
		return false;
	if (d.cap - d.len < 8192) {
		d.cap = d.cap ? d.cap * 2 : 65536;
		d.out = realloc(d.out, d.cap);
		if (!d.out)
			fail_usage("realloc");
	}
	ssize_t n = read(d.master, d.out + d.len, 4096);
	for (ssize_t i = 0; i < n; i++)
		if (d.out[d.len + (size_t)i] == '\0')
			d.out[d.len + (size_t)i] = '@';
	d.len += n > 0 ? (size_t)n : 0;
	d.out[d.len] = '\0';
	return n > 0;
}

static bool has_ended(void)
{
	int status;
	if (d.status < 0 && waitpid(d.pid, &status, WNOHANG) == d.pid)
		d.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return d.status >= 0;
}

static size_t unescape(char *text)
{
	static const char names[] = "rnte\\", values[] = "\r\n\t\033\\";
	char *to = text;
	for (const char *from = text; *from; from++) {
		const char *name = *from == '\\' && from[1] ? strchr(names, from[1]) : NULL;
		unsigned int byte;
		if (name) {
			*to++ = values[name - names];
			from++;
		} else if (*from == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1) {
			*to++ = (char)byte;
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - text);
}

static bool type(const char *data, size_t len)
{
	long deadline = now_ms() + d.timeout_ms;
	while (len > 0 && now_ms() < deadline) {
		ssize_t n = write(d.master, data, len);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n <= 0) {
			read_some(20);
			continue;
		}
		data += n;
		len -= (size_t)n;
		read_some(0);
	}
	return len == 0;
}

/* ---- the words ---- */

static bool do_send(char *arg)
{
	size_t len = unescape(arg);
	return type(arg, len);
}

static bool do_paste(char *arg)
{
	size_t n = strtoul(arg, NULL, 10);
	char *data = malloc(n + 1);
	if (!data)
		return false;
	for (size_t i = 0; i < n; i++)
		data[i] = i % 64 == 63 ? '\r' : 'a';
	bool ok = type(data, n);
	free(data);
	return ok;
}

static bool do_expect(char *arg)
{
	unescape(arg);
	for (long deadline = now_ms() + d.timeout_ms;;) {
		char *found = d.out ? strstr(d.out + d.seen, arg) : NULL;
		if (found) {
			d.seen = (size_t)(found - d.out) + strlen(arg);
			return true;
		}
		if (now_ms() >= deadline || (!read_some(50) && has_ended() && !read_some(0)))
			return false;
	}
}

static bool do_refuse(char *arg)
{
	unescape(arg);
	while (read_some(50))
		;
	return !d.out || !strstr(d.out, arg);
}

static bool do_timeout(char *arg)
{
	d.timeout_ms = atoi(arg) * 1000;
	return true;
}

static bool do_size(char *arg)
{
	struct winsize size = { 0 };
	return sscanf(arg, "%hu %hu", &size.ws_row, &size.ws_col) == 2 && ioctl(d.master, TIOCSWINSZ, &size) == 0;
}

static bool do_signal(char *arg)
{
	return kill(d.pid, atoi(arg)) == 0;
}

static bool await_mode(bool raw)
{
	for (long deadline = now_ms() + d.timeout_ms; now_ms() < deadline; read_some(20)) {
		struct termios t;
		if (tcgetattr(d.master, &t) == 0 && raw == !(t.c_lflag & ICANON))
			return true;
	}
	return false;
}

static bool do_raw(char *arg)
{
	(void)arg;
	return await_mode(true);
}

static bool do_cooked(char *arg)
{
	(void)arg;
	return await_mode(false);
}

static bool do_restored(char *arg)
{
	struct termios t;
	(void)arg;
	return tcgetattr(d.master, &t) == 0 && t.c_lflag == d.before.c_lflag && t.c_iflag == d.before.c_iflag &&
	       t.c_oflag == d.before.c_oflag && t.c_cflag == d.before.c_cflag &&
	       memcmp(t.c_cc, d.before.c_cc, sizeof(t.c_cc)) == 0;
}

static bool do_close(char *arg)
{
	(void)arg;
	close(d.master);
	d.master = -1;
	return true;
}

static bool do_sleep(char *arg)
{
	return usleep((useconds_t)atoi(arg) * 1000) == 0;
}

static bool do_run(char *arg)
{
	return system(arg) == 0;
}

static bool do_end(char *arg)
{
	for (long deadline = now_ms() + d.timeout_ms; !has_ended() && now_ms() < deadline;)
		if (!read_some(20))
			usleep(5000);
	while (read_some(0))
		;
	if (d.status >= 0 && d.status != atoi(arg))
		fprintf(stderr, "status %d\n", d.status);
	return d.status == atoi(arg);
}

static bool do_echo(char *arg)
{
	(void)arg;
	fwrite(d.out, 1, d.len, stdout);
	return true;
}

static const struct {
	const char *name;
	bool (*fn)(char *arg);
} words[] = {
	{ "send", do_send },     { "paste", do_paste },     { "expect", do_expect }, { "refuse", do_refuse },
	{ "timeout", do_timeout }, { "size", do_size },     { "signal", do_signal }, { "raw", do_raw },
	{ "cooked", do_cooked }, { "restored", do_restored }, { "close", do_close }, { "sleep", do_sleep },
	{ "run", do_run },       { "end", do_end },         { "echo", do_echo },
};

static bool obey(char *line)
{
	char *arg = strchr(line, ' ');
	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(words[i].name, line) == 0)
			return words[i].fn(arg ? arg : line + strlen(line));
	fprintf(stderr, "pty_driver: no word \"%s\"\n", line);
	exit(2);
}

static void start(char **argv)
{
	struct winsize size = { .ws_row = 24, .ws_col = 80 };
	d.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (d.master < 0 || grantpt(d.master) < 0 || unlockpt(d.master) < 0)
		fail_usage("a pty");
	int slave = open(ptsname(d.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || ioctl(d.master, TIOCSWINSZ, &size) < 0 || tcgetattr(slave, &d.before) < 0)
		fail_usage("the pty's slave");
	d.pid = fork();
	if (d.pid < 0)
		fail_usage("fork");
	if (d.pid == 0) {
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
		for (int i = 0; i < 3; i++)
			dup2(slave, i);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(slave);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--vhangup") == 0)
		return ioctl(STDIN_FILENO, TIOCVHANGUP) < 0;
	if (argc < 2) {
		fprintf(stderr, "usage: pty_driver COMMAND [ARGUMENT]... <SCRIPT\n");
		return 2;
	}
	start(argv + 1);

	char line[4096], shown[4096];
	bool ok = true;
	for (int n = 1; ok && fgets(line, sizeof(line), stdin); n++) {
		line[strcspn(line, "\n")] = '\0';
		char *first = line + strspn(line, " \t");
		if (!*first || *first == '#')
			continue;
		strcpy(shown, first);
		ok = obey(first);
		size_t skip = d.len < 3000 ? 0 : d.len - 3000;
		if (!ok)
			fprintf(stderr, "line %d failed: %s\n--- output:\n%s\n---\n", n, shown,
			        d.out ? d.out + skip : "");
	}
	if (!has_ended()) {
		kill(d.pid, SIGKILL);
		waitpid(d.pid, NULL, 0);
	}
	return !ok;
}
