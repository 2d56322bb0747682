/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vm_agent_driver CASE: run the guest's agent on one end of a pair of sockets, beside a process 1 of its own (pid,
 * mount and network namespace), and be its host. Exit: 0; 1 when something is not as it should, which stderr says.
 * vm_agent_driver --list: the cases, "NAME TEXT".
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "config/config.h"
#include "engine/vm/guest/agent.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"

enum { TIMEOUT_MS = 60000, CHANNELS = 300, PTY_ALL = BV_EXEC_PTY | 4 | 8 | 16 };

#define PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define FAIL(...)                                                          \
	do {                                                               \
		fprintf(stderr, "%s:%d: ", __func__, __LINE__);            \
		fprintf(stderr, __VA_ARGS__);                              \
		fputc('\n', stderr);                                       \
		stop_guest();                                              \
		_exit(1);                                                  \
	} while (0)
#define WANT(cond)                         \
	do {                               \
		if (!(cond))               \
			FAIL("%s", #cond); \
	} while (0)

/* ---- the guest ---- */

static int host = -1;       /* our end of the port */
static int told = -1;       /* process 1 tells the signals that it gets, a byte each */
static int console = -1;    /* master of what is /dev/console there */
static int tty = -1;        /* of /dev/hvc1 */
static pid_t guest;
static const char *config_text = "";

static void stop_guest(void)
{
	if (guest > 0) {
		kill(guest, SIGKILL);
		waitpid(guest, NULL, 0);
	}
	guest = 0;
}

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "guest: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void run_agent(int port)
{
	struct bv_error err = { 0 };
	struct bv_config *cfg = bv_config_new();
	if (!cfg || bv_config_parse(cfg, config_text, strlen(config_text), "test", &err) < 0)
		die(err.what);
	/* CLOCK must not reach the clock of the machine that runs the test. */
	if (bv_caps_apply(~(UINT64_C(1) << CAP_SYS_TIME), &err) < 0)
		die(err.what);
	bv_guest_agent_run(port, cfg);
}

/* As process 1: "systemd", "sysvinit", "late" (hears of nothing at first), "execute", "busybox", "halting". */
static void __attribute__((noreturn)) be_init(const char *kind, int report)
{
	sigset_t set;
	sigemptyset(&set);
	if (bv_streq(kind, "busybox")) {
		char script[300];
		snprintf(script, sizeof(script),
			 "for s in USR1 USR2 TERM INT PWR; do trap \"echo $s >&%d\" $s; done; "
			 "while :; do sleep 0.05; done",
			 report);
		fcntl(report, F_SETFD, 0);
		execlp("busybox", "busybox", "sh", "-c", script, NULL);
		die("busybox");
	}
	for (int sig = 1; sig <= 64; sig++) {
		bool blocks = bv_streq(kind, "execute");
		if (bv_streq(kind, "systemd"))
			blocks = sig == SIGTERM || sig == SIGINT || sig == SIGPWR || sig == SIGUSR1 || sig >= SIGRTMIN;
		if (bv_streq(kind, "sysvinit") || bv_streq(kind, "late") || bv_streq(kind, "halting"))
			blocks = sig == SIGPWR || sig == SIGINT || sig == SIGUSR1;
		if (blocks)
			sigaddset(&set, sig);
	}
	if (bv_streq(kind, "late"))
		nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
	sigprocmask(SIG_SETMASK, &set, NULL);
	int fd = bv_streq(kind, "execute") ? -1 : signalfd(-1, &set, SFD_CLOEXEC);
	for (;;) {
		struct signalfd_siginfo info = { 0 };
		int sig = 0;
		if (fd < 0)
			sig = sigwaitinfo(&set, NULL);
		else if (read(fd, &info, sizeof(info)) > 0)
			sig = (int)info.ssi_signo;
		if (sig == SIGPWR && bv_streq(kind, "halting"))
			kill(-1, SIGTERM);
		uint8_t byte = (uint8_t)sig;
		if (sig > 0 && sig != SIGCHLD && write(report, &byte, 1) < 0)
			die("report");
	}
}

/* `from` as it is, below a /dev of our own. */
static void put_node(const char *dev, const char *name, const char *from, bool directory)
{
	char to[128];
	snprintf(to, sizeof(to), "%s/%s", dev, name);
	if (directory ? mkdir(to, 0755) < 0 : mknod(to, S_IFREG | 0600, 0) < 0)
		die(to);
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		die(to);
}

/* The slave of a new pty. */
static int put_terminal(const char *dev, const char *name)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;
	char slave[64];
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlocked) < 0 || ptsname_r(master, slave, sizeof(slave)) != 0)
		die(name);
	put_node(dev, name, slave, false);
	return master;
}

/* A /dev with the terminals of a guest. It comes over the host's, which has no hvc1. */
static void make_dev(void)
{
	static const char dev[] = "/tmp";
	static const char *const same[] = { "null", "zero", "full", "random", "urandom", "tty", "pts" };
	if (mount("dev", dev, "tmpfs", 0, "mode=755") < 0)
		die("/dev");
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		char from[32];
		snprintf(from, sizeof(from), "/dev/%s", same[i]);
		put_node(dev, same[i], from, bv_streq(same[i], "pts"));
	}
	if (symlink("pts/ptmx", "/tmp/ptmx") < 0 || symlink("/proc/self/fd", "/tmp/fd") < 0)
		die("/dev/ptmx");
	console = put_terminal(dev, "console");
	tty = put_terminal(dev, "hvc1");
	if (mount(dev, "/dev", NULL, MS_MOVE, NULL) < 0)
		die("/dev");
}

/* `port` is the agent's; it is closed here. */
static void start_guest(const char *kind, int port)
{
	int report[2];
	WANT(pipe2(report, O_CLOEXEC) == 0);
	WANT(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET) == 0);
	WANT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	make_dev();
	guest = fork();
	if (guest == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (mount("proc", "/proc", "proc", 0, NULL) < 0)
			die("/proc");
		pid_t agent = fork();
		if (agent == 0)
			run_agent(port);
		close(port);
		close(host);
		be_init(kind, report[1]);
	}
	WANT(guest > 0);
	close(port);
	close(report[1]);
	told = report[0];
}

static void start_on_socket(const char *kind)
{
	int pair[2];
	WANT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	host = pair[0];
	start_guest(kind, pair[1]);
}

/* ---- the host ---- */

static struct bv_buf in;

/* What the channels have come to. */
static struct seen {
	bool started, refused, exited, eof[4];
	uint32_t pid;
	int code;
	struct bv_error err;
	struct bv_buf out[4];
	uint32_t credit;    /* that we have */
	size_t unread;      /* that came, and for which we gave no credit back */
	bool slow;          /* credit is not given back by itself */
} seen[CHANNELS];
static char addresses[4096];
static unsigned int hellos;

static void send_raw(const void *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(host, p, len);
		if (n < 0)
			FAIL("write: %s", strerror(errno));
		p = (const char *)p + n;
		len -= (size_t)n;
	}
}

static void send_frame(uint16_t type, uint16_t flags, uint32_t ch, const void *data, size_t len)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_frame_put(&b, type, flags, ch, data, len);
	send_raw(b.p, b.len);
}

static void send_u32s(uint16_t type, uint32_t ch, int n, uint32_t one, uint32_t two)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, one);
	if (n > 1)
		bv_put_u32(&b, two);
	send_frame(type, 0, ch, b.p, b.len);
}

static void send_size(uint16_t type, uint32_t ch, uint16_t rows, uint16_t columns)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u16(&b, rows);
	bv_put_u16(&b, columns);
	send_frame(type, 0, ch, b.p, b.len);
}

static void type_text(uint32_t ch, uint16_t stream, const char *s)
{
	send_frame(BV_FRAME_DATA, stream, ch, s, strlen(s));
}

static void exec_as(uint32_t ch, const struct bv_exec *how, const char *const *argv)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_exec e = *how;
	char *env[] = { PATH, "A=b c", NULL };
	e.argv = (struct bv_strv){ .v = (char **)(uintptr_t)argv };
	if (!e.env.v)
		e.env.v = env;
	bv_put_exec(&b, &e);
	seen[ch].credit = BV_FRAME_WINDOW;
	send_frame(BV_FRAME_EXEC, 0, ch, b.p, b.len);
}

#define EXEC(ch, ...) exec_as(ch, &(struct bv_exec){ 0 }, (const char *const[]){ __VA_ARGS__, NULL })
#define SH(ch, script) EXEC(ch, "sh", "-c", script)
#define PTY(ch, script)                                                                                      \
	exec_as(ch, &(struct bv_exec){ .flags = PTY_ALL, .rows = 33, .columns = 99 },                        \
		(const char *const[]){ "sh", "-c", script, NULL })

static void give_back(uint32_t ch, uint32_t n)
{
	seen[ch].unread -= n;
	send_u32s(BV_FRAME_CREDIT, ch, 1, n, 0);
}

static void take_data(struct seen *s, const struct bv_frame *f)
{
	WANT(s->started && !s->exited && f->flags >= 1 && f->flags <= 3 && !s->eof[f->flags]);
	bv_buf_add(&s->out[f->flags], f->data, f->len);
	s->unread += f->len;
	WANT(s->unread <= BV_FRAME_WINDOW);
	if (!s->slow)
		give_back(f->channel, f->len);
}

static void take_frame(const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	struct seen *s = &seen[f->channel];
	WANT(f->channel < CHANNELS);
	switch (f->type) {
	case BV_FRAME_HELLO:
		WANT(f->channel == 0 && bv_get_u32(&c) == BV_PROTOCOL_VERSION);
		hellos++;
		return;
	case BV_FRAME_ADDRESSES: {
		autofree char *text = bv_get_string(&c, sizeof(addresses) - 1);
		WANT(text && bv_cursor_end(&c) == 0);
		snprintf(addresses, sizeof(addresses), "%s", text);
		return;
	}
	case BV_FRAME_STARTED:
		WANT(!s->started);
		s->started = true;
		s->pid = bv_get_u32(&c);
		break;
	case BV_FRAME_REFUSED:
		WANT(!s->refused && !s->exited);
		s->refused = true;
		bv_get_error(&c, &s->err);
		s->code = (int)bv_get_u32(&c);
		break;
	case BV_FRAME_EXIT:
		WANT(s->started && !s->exited && !s->refused);
		s->exited = true;
		s->code = (int)bv_get_u32(&c);
		break;
	case BV_FRAME_DATA:
		take_data(s, f);
		return;
	case BV_FRAME_EOF:
		WANT(f->flags < 4 && !s->eof[f->flags] && f->len == 0);
		s->eof[f->flags] = true;
		return;
	case BV_FRAME_CREDIT:
		s->credit += bv_get_u32(&c);
		WANT(s->credit <= BV_FRAME_WINDOW);
		break;
	default:
		FAIL("a frame of type %u", f->type);
	}
	WANT(bv_cursor_end(&c) == 0);
}

/* Read what comes within `ms`; false when nothing did. */
static bool hear(int ms)
{
	char bytes[65536];
	struct pollfd p = { .fd = host, .events = POLLIN };
	if (poll(&p, 1, ms) <= 0)
		return false;
	ssize_t n = read(host, bytes, sizeof(bytes));
	if (n <= 0)
		FAIL("the agent has gone: %s", n < 0 ? strerror(errno) : "end of file");
	bv_buf_add(&in, bytes, (size_t)n);
	size_t used = 0;
	for (;;) {
		struct bv_frame f;
		int took = bv_frame_parse(&f, in.p + used, in.len - used);
		WANT(took >= 0);
		if (took == 0)
			break;
		take_frame(&f);
		used += (size_t)took;
	}
	memmove(in.p, in.p + used, in.len - used);
	in.len -= used;
	return true;
}

#define UNTIL(cond)                                                 \
	for (int64_t end_ = bv_now_ms() + TIMEOUT_MS; !(cond);) {   \
		hear(50);                                           \
		if (bv_now_ms() > end_)                             \
			FAIL("in vain: %s%s", #cond, in_vain());    \
	}

static const char *in_vain(void);

static const char *text_of(uint32_t ch, int stream)
{
	return seen[ch].out[stream].p ? seen[ch].out[stream].p : "";
}

/* What is still at it, and what it said. */
static const char *in_vain(void)
{
	static char text[2000];
	size_t n = 0;
	for (uint32_t ch = 1; ch < CHANNELS && n < sizeof(text) - 300; ch++)
		if (seen[ch].started && !seen[ch].exited && !seen[ch].refused)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "; %u: \"%.100s\"", ch, text_of(ch, 1));
	return text;
}

static void want_text(uint32_t ch, int stream, const char *want)
{
	if (!bv_streq(text_of(ch, stream), want))
		FAIL("channel %u, stream %d: \"%s\" in place of \"%s\"", ch, stream, text_of(ch, stream), want);
}

static void want_exit(uint32_t ch, int code)
{
	UNTIL(seen[ch].exited || seen[ch].refused);
	if (seen[ch].refused)
		FAIL("channel %u was refused: %s", ch, seen[ch].err.what);
	if (seen[ch].code != code)
		FAIL("channel %u ended with %d in place of %d: %s%s", ch, seen[ch].code, code, text_of(ch, 1),
		     text_of(ch, 2));
}

static void want_refused(uint32_t ch, int code, int error, const char *words)
{
	UNTIL(seen[ch].exited || seen[ch].refused);
	WANT(seen[ch].refused);
	if (seen[ch].code != code || seen[ch].err.code != error || !strstr(seen[ch].err.what, words))
		FAIL("channel %u: refused with %d, %d, \"%s\"", ch, seen[ch].code, seen[ch].err.code,
		     seen[ch].err.what);
}

/* One that does its work on a new channel says that the agent is well. */
static void want_health(uint32_t ch)
{
	SH(ch, "echo well");
	want_exit(ch, 0);
	want_text(ch, 1, "well\n");
}

/* ---- cases ---- */

static void case_exec(void)
{
	SH(1, "echo out; echo err >&2; exit 3");
	want_exit(1, 3);
	WANT(seen[1].started && seen[1].pid > 1 && seen[1].eof[1] && seen[1].eof[2]);
	want_text(1, 1, "out\n");
	want_text(1, 2, "err\n");
	SH(2, "kill -KILL $$");
	want_exit(2, 128 + SIGKILL);
	/* The number is free again. */
	memset(&seen[1], 0, sizeof(seen[1]));
	SH(1, "exit 4");
	want_exit(1, 4);
}

static void case_process(void)
{
	SH(1, "echo \"$A\"; umask; pwd; cat /proc/self/oom_score_adj; ulimit -n; ps -o pid= -o pgid= -o sid= -p $$");
	want_exit(1, 0);
	char want[64];
	snprintf(want, sizeof(want), "b c\n0022\n");
	if (!bv_after(text_of(1, 1), want))
		FAIL("%s", text_of(1, 1));
	uint32_t pid, pgid, sid;
	char dir[64], rest[8];
	int oom, files;
	WANT(sscanf(text_of(1, 1) + strlen(want), "%63s %d %d %u %u %u %1s", dir, &oom, &files, &pid, &pgid, &sid,
		    rest) == 6);
	WANT(pid == seen[1].pid && pgid == pid && sid == pid && oom != -1000 && files == 64);
	/* Nothing of the agent's is open: 0, 1, 2 and ls's own. */
	SH(2, "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status");
	want_exit(2, 0);
	want_text(2, 1, "0\n1\n2\n3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void case_user(void)
{
	exec_as(1, &(struct bv_exec){ .uid = 4711, .gid = 4712, .cwd = "/usr" },
		(const char *const[]){ "sh", "-c", "id -u; id -g; id -G; pwd; grep -E 'Cap(Eff|Bnd)' /proc/self/status",
				       NULL });
	want_exit(1, 0);
	WANT(bv_after(text_of(1, 1), "4711\n4712\n4712\n/usr\nCapEff:\t0000000000000000\n"));
	/* A shell as /etc/passwd has it; its directory is the account's. */
	exec_as(2, &(struct bv_exec){ .cwd = "/nowhere/at/all" }, (const char *const[]){ NULL });
	type_text(2, 0, "pwd; echo $0\n");
	send_frame(BV_FRAME_EOF, 0, 2, NULL, 0);
	want_exit(2, 0);
	WANT(bv_after(text_of(2, 1), "/\n/") && strstr(text_of(2, 1), "sh\n"));
}

static uint64_t bounding(uint32_t ch, uint32_t flags)
{
	exec_as(ch, &(struct bv_exec){ .flags = flags },
		(const char *const[]){ "sed", "-n", "s/^CapBnd:.//p", "/proc/self/status", NULL });
	want_exit(ch, 0);
	return strtoull(text_of(ch, 1), NULL, 16);
}

static void case_caps(void)
{
	uint64_t all = bounding(1, BV_EXEC_KEEP_CAPS), less = bounding(2, 0);
	WANT(all & (UINT64_C(1) << CAP_MKNOD));
	WANT(less == (all & ~(UINT64_C(1) << CAP_MKNOD)));
	SH(3, "grep NoNewPrivs /proc/self/status");
	want_exit(3, 0);
	want_text(3, 1, "NoNewPrivs:\t1\n");
}

static void case_refused(void)
{
	EXEC(1, "no-such-command");
	want_refused(1, 127, ENOENT, "cannot execute no-such-command: ");
	WANT(strstr(seen[1].err.hint, "PATH is"));
	EXEC(2, "/etc/passwd");
	want_refused(2, 126, EACCES, "cannot execute /etc/passwd: ");
	EXEC(3, "");
	want_refused(3, 127, ENOENT, "no command");
	exec_as(4, &(struct bv_exec){ .uid = UINT32_MAX }, (const char *const[]){ "true", NULL });
	want_refused(4, 1, EINVAL, "cannot become user");
	send_frame(BV_FRAME_EXEC, 0, 5, "rubbish", 7);
	want_refused(5, 1, EPROTO, "cannot read");
	want_health(6);
}

static void case_stdin(void)
{
	EXEC(1, "cat");
	type_text(1, 0, "one ");
	UNTIL(bv_streq(text_of(1, 1), "one "));
	type_text(1, 0, "two");
	send_frame(BV_FRAME_EOF, 0, 1, NULL, 0);
	want_exit(1, 0);
	want_text(1, 1, "one two");
	/* Who does not read gets no error, and the host is not kept waiting. */
	SH(2, "exec <&-; sleep 0.3; echo done");
	for (size_t sent = 0; sent < 200000;) {
		static const char zeros[10000];
		UNTIL(seen[2].credit >= sizeof(zeros) || seen[2].exited);
		if (seen[2].exited)
			break;
		send_frame(BV_FRAME_DATA, 0, 2, zeros, sizeof(zeros));
		seen[2].credit -= sizeof(zeros);
		sent += sizeof(zeros);
	}
	want_exit(2, 0);
}

static void case_signal(void)
{
	SH(1, "sleep 1000 & trap 'echo term; exit 5' TERM; echo ready; wait");
	UNTIL(bv_streq(text_of(1, 1), "ready\n"));
	send_u32s(BV_FRAME_SIGNAL, 1, 1, SIGTERM, 0);
	want_exit(1, 5);
	want_text(1, 1, "ready\nterm\n");
	EXEC(2, "sleep", "1000");
	send_u32s(BV_FRAME_SIGNAL, 2, 1, SIGINT, 0);
	want_exit(2, 128 + SIGINT);
	EXEC(3, "sleep", "1000");
	UNTIL(seen[3].started);
	send_u32s(BV_FRAME_SIGNAL, 3, 1, 0, 0);
	want_refused(3, 1, EPROTO, "a signal that there is not");
}

static void case_pty(void)
{
	PTY(1, "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo three");
	want_exit(1, 0);
	WANT(bv_after(text_of(1, 1), "/dev/pts/") && strstr(text_of(1, 1), "\r\n33 99\r\nthree\r\n"));
	WANT(seen[1].eof[1] && !seen[1].eof[2] && !seen[1].out[2].p);
	PTY(2, "trap 'stty size; told=1' WINCH; echo ready; while [ -z \"$told\" ]; do sleep 0.1; done; cat");
	UNTIL(strstr(text_of(2, 1), "ready"));
	send_size(BV_FRAME_SIZE, 2, 50, 120);
	UNTIL(strstr(text_of(2, 1), "50 120"));
	send_frame(BV_FRAME_EOF, 0, 2, NULL, 0);
	want_exit(2, 0);
	/* A shell that is about to fork would swallow it. */
	PTY(3, "echo ready; exec sleep 1000");
	UNTIL(strstr(text_of(3, 1), "ready"));
	type_text(3, 0, "\003");
	want_exit(3, 128 + SIGINT);
	/* All output is there when the end is. */
	PTY(4, "seq 1 20000");
	want_exit(4, 0);
	WANT(seen[4].out[1].len > 100000 && strstr(text_of(4, 1), "\r\n20000\r\n"));
}

static void case_split_pty(void)
{
	static const char script[] = "read x; echo out $x; echo err >&2; read y </dev/tty; echo $y";
	static const char *const argv[] = { "sh", "-c", script, NULL };
	exec_as(1, &(struct bv_exec){ .flags = BV_EXEC_PTY | BV_EXEC_PTY_STDERR }, argv);
	type_text(1, BV_STREAM_IN, "one\n");
	UNTIL(strstr(text_of(1, BV_STREAM_PTY), "err\r\n"));
	type_text(1, BV_STREAM_PTY, "two\n");
	want_exit(1, 0);
	want_text(1, BV_STREAM_OUT, "out one\ntwo\n");
	want_text(1, BV_STREAM_PTY, "err\r\ntwo\r\n");
	exec_as(2, &(struct bv_exec){ .flags = BV_EXEC_PTY | BV_EXEC_PTY_STDIN }, argv);
	type_text(2, BV_STREAM_IN, "one\ntwo\n");
	want_exit(2, 0);
	want_text(2, BV_STREAM_OUT, "out one\ntwo\n");
	want_text(2, BV_STREAM_ERR, "err\n");
}

/* What has closed its terminal is not hung up, and takes what is typed then as little as anything else. */
static void case_pty_left(void)
{
	PTY(1, "echo ready; exec <&- >&- 2>&-; sleep 0.5; exit 7");
	UNTIL(seen[1].eof[1]);
	type_text(1, BV_STREAM_IN, "in vain\n");
	send_frame(BV_FRAME_EOF, BV_STREAM_IN, 1, NULL, 0);
	want_exit(1, 7);
	want_text(1, BV_STREAM_OUT, "ready\r\n");
	static const char *const argv[] = { "sh", "-c", "exec >&- 2>&-; sleep 0.5; read x; exit $x", NULL };
	exec_as(2, &(struct bv_exec){ .flags = BV_EXEC_PTY | BV_EXEC_PTY_STDOUT | BV_EXEC_PTY_STDERR }, argv);
	UNTIL(seen[2].eof[BV_STREAM_OUT]);
	type_text(2, BV_STREAM_IN, "8\n");
	want_exit(2, 8);
}

/* 10 MB there and back, all of it the same, and never more than the window on the way. */
static void case_flow(void)
{
	const size_t whole = 10 << 20;
	size_t sent = 0, got = 0;
	uint32_t pending = 0;
	seen[1].slow = true;
	EXEC(1, "cat");
	while (got < whole) {
		char chunk[5000];
		size_t n = whole - sent < sizeof(chunk) ? whole - sent : sizeof(chunk);
		if (n > 0 && seen[1].credit >= n && sent - got < 3 * (size_t)BV_FRAME_WINDOW) {
			for (size_t i = 0; i < n; i++)
				chunk[i] = (char)((sent + i) * 31 >> 3);
			send_frame(BV_FRAME_DATA, 0, 1, chunk, n);
			seen[1].credit -= (uint32_t)n;
			sent += n;
			if (sent == whole)
				send_frame(BV_FRAME_EOF, 0, 1, NULL, 0);
		} else if (!hear(20) && seen[1].unread > 0) {
			/* The slow reader: it takes a part only once all has come to a stand. */
			pending = (uint32_t)seen[1].unread;
			give_back(1, got < (1 << 20) ? (pending + 1) / 2 : pending);
		}
		for (size_t i = 0; i < seen[1].out[1].len; i++)
			WANT(seen[1].out[1].p[i] == (char)((got + i) * 31 >> 3));
		got += seen[1].out[1].len;
		seen[1].out[1].len = 0;
	}
	seen[1].slow = false;
	give_back(1, (uint32_t)seen[1].unread);
	want_exit(1, 0);
	WANT(sent == whole && got == whole);
}

/* A host that takes nothing for a while loses nothing, though the command has ended long since. */
static void case_stalled(void)
{
	seen[1].slow = seen[2].slow = true;
	SH(1, "head -c 120000 /dev/zero; echo end >&2");
	PTY(2, "seq 1 12000");
	UNTIL(seen[1].unread == BV_FRAME_WINDOW && seen[2].unread == BV_FRAME_WINDOW);
	for (int64_t end = bv_now_ms() + 2500; bv_now_ms() < end;)
		hear(100);
	WANT(seen[1].unread == BV_FRAME_WINDOW && !seen[1].exited);
	WANT(seen[2].unread == BV_FRAME_WINDOW && !seen[2].exited);
	seen[1].slow = seen[2].slow = false;
	give_back(1, (uint32_t)seen[1].unread);
	give_back(2, (uint32_t)seen[2].unread);
	want_exit(1, 0);
	want_exit(2, 0);
	WANT(seen[1].out[1].len == 120000);
	want_text(1, 2, "end\n");
	WANT(strstr(text_of(2, 1), "\r\n12000\r\n"));
}

static void case_background(void)
{
	int64_t begin = bv_now_ms();
	SH(1, "sleep 1000 & echo left");
	want_exit(1, 0);
	want_text(1, 1, "left\n");
	PTY(2, "(trap '' HUP; exec sleep 1000) & echo left");
	want_exit(2, 0);
	want_text(2, 1, "left\r\n");
	WANT(bv_now_ms() - begin < 3000);
	SH(3, "(while :; do echo more; sleep 0.02; done) & exit 6");
	want_exit(3, 6);
	SH(4, "yes & exit 7");
	want_exit(4, 7);
	WANT(bv_now_ms() - begin < 12000);
}

static void case_many(void)
{
	for (uint32_t ch = 1; ch <= 20; ch++)
		SH(ch, "read x; echo $x; sleep 0.2; exit $x");
	for (uint32_t ch = 20; ch >= 1; ch--) {
		char text[8];
		snprintf(text, sizeof(text), "%u\n", ch);
		type_text(ch, 0, text);
	}
	for (uint32_t ch = 1; ch <= 20; ch++) {
		char text[8];
		snprintf(text, sizeof(text), "%u\n", ch);
		want_exit(ch, (int)ch);
		want_text(ch, 1, text);
	}
}

static void case_limit(void)
{
	for (uint32_t ch = 1; ch <= 257; ch++) {
		EXEC(ch, "sleep", "1000");
		UNTIL(seen[ch].started || seen[ch].refused);
	}
	want_refused(257, 1, EAGAIN, "256 commands");
	for (uint32_t ch = 1; ch <= 256; ch++)
		WANT(seen[ch].started);
	for (uint32_t ch = 1; ch <= 256; ch++)
		send_frame(BV_FRAME_CLOSE, 0, ch, NULL, 0);
	want_health(258);
	SH(259, "i=0; while pgrep -x sleep >/dev/null; do sleep 0.1 2>/dev/null; i=$((i+1)); [ $i -lt 400 ] || exit 1; "
		"[ \"$(pgrep -cx sleep)\" -gt 0 ] || exit 0; done");
	want_exit(259, 0);
}

static void case_close(void)
{
	char script[200];
	SH(1, "trap 'exit 0' HUP; sleep 1000 & wait");
	PTY(2, "trap '' HUP; sleep 1000");
	SH(3, "kill -STOP $$");
	UNTIL(seen[1].started && seen[2].started && seen[3].started);
	hear(300);
	for (uint32_t ch = 1; ch <= 3; ch++)
		send_frame(BV_FRAME_CLOSE, 0, ch, NULL, 0);
	snprintf(script, sizeof(script),
		 "for i in $(seq 200); do [ -e /proc/%u ] || [ -e /proc/%u ] || break; sleep 0.2; done; "
		 "ls -d /proc/%u /proc/%u 2>/dev/null; kill -KILL -%u",
		 seen[1].pid, seen[3].pid, seen[1].pid, seen[3].pid, seen[2].pid);
	SH(4, script);
	want_exit(4, 0);
	want_text(4, 1, "");
	WANT(!seen[1].exited && !seen[2].exited && !seen[3].exited);
	/* What was on its way when the channel closed. */
	type_text(1, 0, "late");
	send_u32s(BV_FRAME_SIGNAL, 1, 1, SIGTERM, 0);
	send_frame(BV_FRAME_CLOSE, 0, 77, NULL, 0);
	want_health(5);
}

static void case_misuse(void)
{
	static const char much[BV_FRAME_WINDOW];
	EXEC(1, "sleep", "1000");
	EXEC(2, "sleep", "1000");
	EXEC(3, "sleep", "1000");
	EXEC(4, "sleep", "1000");
	EXEC(5, "sleep", "1000");
	EXEC(6, "cat");
	UNTIL(seen[6].started);
	send_u32s(BV_FRAME_CREDIT, 1, 1, 1, 0);
	want_refused(1, 1, EPROTO, "credit for more than the window");
	/* The first goes into the pipe, the second waits. */
	for (int i = 0; i < 2; i++, seen[2].credit -= BV_FRAME_WINDOW) {
		UNTIL(seen[2].credit == BV_FRAME_WINDOW);
		send_frame(BV_FRAME_DATA, 0, 2, much, sizeof(much));
	}
	send_frame(BV_FRAME_DATA, 0, 2, "x", 1);
	want_refused(2, 1, EPROTO, "more data than it gave credit for");
	send_frame(BV_FRAME_DATA, 1, 3, "x", 1);
	want_refused(3, 1, EPROTO, "a stream that is not open");
	EXEC(4, "true");
	want_refused(4, 1, EPROTO, "a second command");
	send_frame(999, 0, 5, NULL, 0);
	want_refused(5, 1, EPROTO, "a type that it does not know");
	/* The others do not notice. */
	type_text(6, 0, "hello");
	send_frame(BV_FRAME_EOF, 0, 6, NULL, 0);
	want_exit(6, 0);
	want_text(6, 1, "hello");
}

/* Frames come in whatever pieces they come. */
static void case_pieces(void)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	autoclean(bv_buf_clear) struct bv_buf payload = { 0 };
	char *argv[] = { "cat", NULL }, *env[] = { PATH, NULL };
	struct bv_exec e = { .argv.v = argv, .env.v = env };
	bv_put_exec(&payload, &e);
	bv_frame_put(&b, BV_FRAME_EXEC, 0, 1, payload.p, payload.len);
	bv_frame_put(&b, BV_FRAME_DATA, 0, 1, "abc", 3);
	bv_frame_put(&b, BV_FRAME_EOF, 0, 1, NULL, 0);
	seen[1].credit = BV_FRAME_WINDOW;
	for (size_t i = 0; i < b.len; i++) {
		send_raw(b.p + i, 1);
		if (i % 8 == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	want_exit(1, 0);
	want_text(1, 1, "abc");
}

/* ---- channel 0 ---- */

static int next_signal(int ms)
{
	uint8_t byte = 0;
	struct pollfd p = { .fd = told, .events = POLLIN };
	return poll(&p, 1, ms) > 0 && read(told, &byte, 1) == 1 ? byte : 0;
}

static void want_init(uint32_t what, uint32_t sig, int want)
{
	send_u32s(BV_FRAME_INIT, 0, 2, what, sig);
	int got = next_signal(TIMEOUT_MS);
	if (got != want)
		FAIL("init %u with signal %u: %d in place of %d", what, sig, got, want);
}

static void case_init_systemd(void)
{
	hear(500);
	want_init(BV_INIT_HALT, 0, SIGRTMIN + 4);
	want_init(BV_INIT_HALT, SIGPWR, SIGRTMIN + 4);
	want_init(BV_INIT_HALT, (uint32_t)SIGRTMIN + 3, SIGRTMIN + 4);
	want_init(BV_INIT_SIGNAL, (uint32_t)SIGRTMIN + 3, SIGRTMIN + 4);
	want_init(BV_INIT_SIGNAL, SIGPWR, SIGPWR);
	want_init(BV_INIT_SIGNAL, SIGUSR1, SIGUSR1);
	want_init(BV_INIT_REBOOT, 0, SIGINT);
	want_init(BV_INIT_REBOOT, SIGTERM, SIGTERM);
}

static void case_init_sysvinit(void)
{
	want_init(BV_INIT_HALT, 0, SIGPWR);
	want_init(BV_INIT_HALT, SIGUSR1, SIGUSR1);
	want_init(BV_INIT_REBOOT, 0, SIGINT);
}

static void case_init_late(void)
{
	send_u32s(BV_FRAME_INIT, 0, 2, BV_INIT_HALT, 0);
	WANT(next_signal(300) == 0);
	WANT(next_signal(TIMEOUT_MS) == SIGPWR);
}

static void case_init_execute(void)
{
	want_init(BV_INIT_HALT, 0, SIGPWR);
	want_init(BV_INIT_SIGNAL, (uint32_t)SIGRTMIN + 3, SIGRTMIN + 3);
}

/* Its traps answer with words. */
static void want_word(uint32_t what, uint32_t sig, const char *want)
{
	char word[16];
	struct pollfd p = { .fd = told, .events = POLLIN };
	send_u32s(BV_FRAME_INIT, 0, 2, what, sig);
	ssize_t n = poll(&p, 1, TIMEOUT_MS) > 0 ? read(told, word, sizeof(word) - 1) : 0;
	word[n > 0 ? n : 0] = '\0';
	if (!bv_streq(word, want))
		FAIL("init %u with signal %u: \"%s\"", what, sig, word);
}

static void case_init_busybox(void)
{
	want_word(BV_INIT_HALT, 0, "USR2\n");
	want_word(BV_INIT_HALT, SIGUSR1, "USR2\n");
	want_word(BV_INIT_SIGNAL, SIGUSR1, "USR2\n");
	want_word(BV_INIT_REBOOT, 0, "TERM\n");
}

static void send_terminal_size(uint16_t number, uint16_t rows, uint16_t columns)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u16(&b, number);
	bv_put_u16(&b, rows);
	bv_put_u16(&b, columns);
	send_frame(BV_FRAME_TERMINAL, 0, 0, b.p, b.len);
}

static bool has_size(int master, unsigned int rows, unsigned int columns)
{
	struct winsize size = { 0 };
	return ioctl(master, TIOCGWINSZ, &size) == 0 && size.ws_row == rows && size.ws_col == columns;
}

static void case_machine(void)
{
	send_terminal_size(0, 41, 123);
	send_terminal_size(2, 42, 312);
	/* There is no hvc0. */
	send_terminal_size(1, 43, 100);
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	time_t before = time(NULL);
	bv_put_u64(&b, UINT64_C(1000000000) * 1000000000);
	send_frame(BV_FRAME_CLOCK, 0, 0, b.p, b.len);
	want_health(1);
	WANT(has_size(console, 41, 123));
	WANT(has_size(tty, 42, 312));
	send_terminal_size(2, 12, 34);
	want_health(2);
	WANT(has_size(console, 41, 123));
	WANT(has_size(tty, 12, 34));
	/* It has no right to set it here. */
	WANT(time(NULL) - before < 60);
}

static void case_addresses(void)
{
	SH(1, "ip addr add 10.9.8.7/24 dev lo; ip addr add fd00::7/64 dev lo; ip link set lo up");
	want_exit(1, 0);
	UNTIL(strstr(addresses, "lo 10.9.8.7/24\n") && strstr(addresses, "lo fd00::7/64\n"));
	WANT(!strstr(addresses, "127.0.0.1"));
	SH(2, "ip addr flush dev lo scope global");
	want_exit(2, 0);
	UNTIL(!addresses[0]);
}

/* Of all but process 1. */
static void case_survives(void)
{
	SH(1, "echo $PPID; tr '\\0' '\\n' </proc/$PPID/cmdline; "
	      "here=$(cat /proc/$PPID/oom_score_adj); echo -1000 2>/dev/null >/proc/self/oom_score_adj; "
	      "[ \"$here\" = \"$(cat /proc/$$/oom_score_adj)\" ] && echo as low as can be; "
	      "for s in HUP INT QUIT TERM USR1 USR2 PIPE ALRM PWR; do kill -$s $PPID; done");
	want_exit(1, 0);
	if (!strstr(text_of(1, 1), "\nbivalve-agent\n") || !strstr(text_of(1, 1), "\nas low as can be\n"))
		FAIL("%s", text_of(1, 1));
	want_health(2);
	SH(3, "ls -l /proc/$PPID/fd | grep -c '/dev/null'; readlink /proc/$PPID/cwd");
	want_exit(3, 0);
	want_text(3, 1, "3\n/\n");
}

/* What an init does before it halts, and the agent's last words. */
static void case_leaves(void)
{
	char byte;
	SH(1, "trap '' TERM; echo ready; sleep 1000");
	EXEC(2, "sleep", "1000");
	UNTIL(seen[1].out[1].len > 0 && seen[2].started);
	int64_t before = bv_now_ms();
	want_init(BV_INIT_HALT, SIGPWR, SIGPWR);
	want_exit(2, 128 + SIGTERM);
	struct pollfd p = { .fd = host, .events = POLLIN };
	WANT(poll(&p, 1, 5000) == 1 && read(host, &byte, 1) == 0 && bv_now_ms() - before < 1000);
}

static void garbage(const void *p, size_t len)
{
	EXEC(1, "sleep", "1000");
	UNTIL(seen[1].started);
	send_raw(p, len);
	/* It hears nothing more, and goes on living. */
	EXEC(2, "true");
	hear(500);
	WANT(!seen[2].started && !seen[2].refused && !seen[1].exited);
	WANT(kill(guest, 0) == 0);
}

static void case_oversized(void)
{
	static const uint8_t beyond[] = { 1, 0, 1, 0, 64, 0, 0, 0, 1, 0, 0, 0 };
	garbage(beyond, sizeof(beyond));
}

/* There is an hvc1, but no tty2. */
static void case_terminal(void)
{
	static const uint8_t second[] = { 6, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 2, 0, 24, 0, 80, 0 };
	garbage(second, sizeof(second));
	WANT(has_size(tty, 0, 0));
}

static void case_unknown(void)
{
	static const uint8_t unknown[] = { 0, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0 };
	garbage(unknown, sizeof(unknown));
}

/* A pty's master notices, as a virtio port does, when the other side is closed, and when it is opened again. */
static void case_reconnect(void)
{
	static const uint8_t beyond[] = { 1, 0, 1, 0 };
	struct termios raw;
	char name[64];
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), unlocked = 0;
	WANT(master >= 0 && ioctl(master, TIOCSPTLCK, &unlocked) == 0 && ptsname_r(master, name, sizeof(name)) == 0);
	int port = dup(master);
	close(master);
	host = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	WANT(host >= 0 && tcgetattr(host, &raw) == 0);
	cfmakeraw(&raw);
	WANT(tcsetattr(host, TCSANOW, &raw) == 0);
	start_guest("sysvinit", port);
	want_health(1);
	EXEC(2, "sleep", "1000");
	UNTIL(seen[2].started);
	for (unsigned int round = 1; round <= 2; round++) {
		/* The second time it is one that talked rubbish. */
		if (round == 2)
			send_raw(beyond, sizeof(beyond));
		close(host);
		nanosleep(&(struct timespec){ .tv_sec = 2 }, NULL);
		in.len = 0;
		host = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		WANT(host >= 0 && tcsetattr(host, TCSANOW, &raw) == 0);
		UNTIL(hellos == round);
		want_health(2 + round);
	}
	/* What the host that went had asked for has ended. */
	SH(9, "i=0; while pgrep -x sleep >/dev/null; do i=$((i+1)); [ $i -lt 1000 ] || exit 1; done");
	want_exit(9, 0);
}

static const struct test_case {
	const char *name, *init, *config;
	void (*fn)(void);
	const char *text;
} cases[] = {
	{ "exec", "sysvinit", "", case_exec, "exit codes, output, and the channel's number again" },
	{ "process", "sysvinit", "lxc.prlimit.nofile = 64\n", case_process, "what a command's process is like" },
	{ "user", "sysvinit", "", case_user, "user, directory, shell" },
	{ "caps", "sysvinit", "lxc.cap.drop = mknod\nlxc.no_new_privs = 1\n", case_caps, "lxc.cap.drop" },
	{ "refused", "sysvinit", "", case_refused, "commands that cannot be executed" },
	{ "stdin", "sysvinit", "", case_stdin, "input and its end" },
	{ "signal", "sysvinit", "", case_signal, "signals" },
	{ "pty", "sysvinit", "", case_pty, "a pty: size, keys, end of file, all of its output" },
	{ "split-pty", "sysvinit", "", case_split_pty, "a pty that is not all of the streams" },
	{ "pty-left", "sysvinit", "", case_pty_left, "a pty that the command has closed" },
	{ "flow", "sysvinit", "", case_flow, "10 MB there and back to a slow reader" },
	{ "stalled", "sysvinit", "", case_stalled, "a reader that stands still loses nothing" },
	{ "background", "sysvinit", "", case_background, "what a command leaves behind does not delay its exit" },
	{ "many", "sysvinit", "", case_many, "20 commands at once" },
	{ "limit", "sysvinit", "", case_limit, "256 commands at once and no more" },
	{ "close", "sysvinit", "", case_close, "a channel that the host closes" },
	{ "misuse", "sysvinit", "", case_misuse, "a channel that is misused ends alone" },
	{ "pieces", "sysvinit", "", case_pieces, "frames that come in pieces" },
	{ "oversized", "sysvinit", "", case_oversized, "a frame that is too long ends all" },
	{ "unknown", "sysvinit", "", case_unknown, "an unknown frame for the machine ends all" },
	{ "reconnect", NULL, "", case_reconnect, "a host that comes anew" },
	{ "init-systemd", "systemd", "", case_init_systemd, "systemd is asked to power off" },
	{ "init-sysvinit", "sysvinit", "", case_init_sysvinit, "so is sysvinit" },
	{ "init-execute", "execute", "", case_init_execute, "so is lxc-execute's init" },
	{ "init-busybox", "busybox", "", case_init_busybox, "so is busybox" },
	{ "init-late", "late", "", case_init_late, "an init that still begins is asked once it listens" },
	{ "machine", "sysvinit", "lxc.tty.max = 2\n", case_machine, "terminals and clock" },
	{ "terminal", "sysvinit", "lxc.tty.max = 1\n", case_terminal, "a terminal that there cannot be ends all" },
	{ "addresses", "sysvinit", "", case_addresses, "addresses that come and go" },
	{ "survives", "sysvinit", "", case_survives, "signals of others spare the agent" },
	{ "leaves", "halting", "", case_leaves, "process 1 ends it by SIGTERM" },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		if (argc == 2 && bv_streq(argv[1], "--list"))
			printf("%s %s\n", cases[i].name, cases[i].text);
		if (argc != 2 || !bv_streq(argv[1], cases[i].name))
			continue;
		signal(SIGPIPE, SIG_IGN);
		config_text = cases[i].config;
		if (cases[i].init)
			start_on_socket(cases[i].init);
		cases[i].fn();
		stop_guest();
		/* A leak checker would want a thread, and there is none without a first process in the namespace. */
		_exit(0);
	}
	return argc == 2 && bv_streq(argv[1], "--list") ? 0 : 2;
}
