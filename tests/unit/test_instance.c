/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/test.h"

#include <bivalve.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "instance/command.h"
#include "instance/console.h"
#include "instance/rundir.h"
#include "instance/terminal.h"
#include "sys/pty.h"
#include "util/cleanup.h"

/* ---- names and states ---- */

TEST(names)
{
	static const char *const good[] = { "a", "web-1", "Debian_12.old", "0", "a.b" };
	static const char *const bad[] = { "", ".", "..", "a/b", "../x", ".hidden", "a b", "a\nb", "\x1b[2J" };
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!bv_name_valid(good[i]))
			CHECK_STR("refused", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (bv_name_valid(bad[i]))
			CHECK_STR("taken", bad[i]);
	char longest[300];
	memset(longest, 'a', sizeof(longest));
	longest[299] = '\0';
	CHECK(!bv_name_valid(longest));
}

TEST(states)
{
	for (int i = 0; i < BV_STATE_COUNT; i++)
		CHECK_INT(bv_state_parse(bv_state_name((enum bv_state)i)), i);
	CHECK_INT(bv_state_parse("running"), BV_RUNNING);
	CHECK_INT(bv_state_parse("Stopped"), BV_STOPPED);
	CHECK(bv_state_parse("") < 0);
	CHECK(bv_state_parse("RUNNING ") < 0);
	CHECK(bv_state_parse("RUN") < 0);
}

/* ---- the escape ---- */

/* What of `reads`, one read each, goes on; "!" follows at the end of the relay. */
static const char *filter(const char *const *reads, int escape)
{
	static char out[256];
	bool pending = false;
	size_t used = 0;
	for (; *reads; reads++) {
		char data[64];
		size_t len = strlen(*reads);
		memcpy(data, *reads, len);
		bool end = bv_terminal_filter(data, &len, escape, &pending);
		memcpy(out + used, data, len);
		used += len;
		if (end) {
			out[used++] = '!';
			break;
		}
	}
	out[used] = '\0';
	return out;
}

TEST(escape)
{
	static const struct {
		const char *reads[5], *want;
		int escape;
	} cases[] = {
		{ { "ls\r" }, "ls\r", 1 },
		{ { "\001q" }, "!", 1 },
		{ { "\001", "q" }, "!", 1 },
		{ { "ab\001qcd" }, "ab!", 1 },
		{ { "\001\001" }, "\001", 1 },
		{ { "\001", "\001", "q" }, "\001q", 1 },
		{ { "\001\001\001q" }, "\001!", 1 },
		{ { "\001x" }, "x", 1 },
		{ { "\001Q\001q" }, "Q!", 1 },
		{ { "\001" }, "", 1 },
		{ { "q\002q" }, "q!", 2 },
		{ { "\001q" }, "\001q", 2 },
		{ { "\001q" }, "\001q", 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_STR(filter(cases[i].reads, cases[i].escape), cases[i].want);
}

TEST(escape_keeps_bytes_above_127)
{
	char data[] = "\xc3\xa4\xff\x80";
	size_t len = 4;
	bool pending = false;
	CHECK(!bv_terminal_filter(data, &len, 1, &pending));
	CHECK_INT(len, 4);
	CHECK(!pending);
}

/* ---- the relay, on a pty that is the user's and a socket or pty that is the instance's ---- */

/* For what comes at once on a machine that has nothing else to do. */
enum { WAIT_MS = 30000 };

struct relay_test {
	int user;    /* master of the user's terminal */
	int in;      /* its slave */
	int far;     /* the instance's end */
	pid_t pid;   /* of the relay */
	struct termios before;
};

static int open_pair(int *slave)
{
	int master;
	CHECK_INT(bv_pty_open(&master, slave, NULL), 0);
	return master;
}

/* Start a relay in a child: exit 0 when it ended well, 1 else. */
static void start_relay(struct relay_test *t, bool framed, int watch)
{
	int near, pair[2];
	t->user = open_pair(&t->in);
	tcgetattr(t->in, &t->before);
	if (framed) {
		CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		near = pair[0];
		t->far = pair[1];
	} else {
		near = open_pair(&t->far);
	}
	t->pid = fork();
	if (t->pid == 0) {
		close(t->far);
		close(t->user);
		struct bv_relay r = {
			.in = t->in, .out = t->in, .peer = near, .framed = framed, .watch = watch, .escape = 1,
			.log = -1,
		};
		_exit(bv_terminal_relay(&r, NULL) < 0);
	}
	close(near);
	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		struct termios now;
		tcgetattr(t->in, &now);
		if (!(now.c_lflag & ICANON))
			return;
		usleep(10000);
	}
	CHECK(!"the terminal became raw");
}

static bool is_restored(const struct relay_test *t)
{
	struct termios now;
	return tcgetattr(t->in, &now) == 0 && now.c_lflag == t->before.c_lflag && now.c_oflag == t->before.c_oflag;
}

/* Wait status, or -1: it did not end. */
static int end_relay(struct relay_test *t)
{
	int status = -1;
	for (int ms = 0; ms < WAIT_MS && waitpid(t->pid, &status, WNOHANG) != t->pid; ms += 10, status = -1)
		usleep(10000);
	if (status == -1) {
		kill(t->pid, SIGKILL);
		waitpid(t->pid, NULL, 0);
	}
	return status;
}

static void clear_relay(struct relay_test *t)
{
	close_fd(&t->user);
	close_fd(&t->in);
	close_fd(&t->far);
}

static ssize_t read_within(int fd, char *buf, size_t size, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) > 0 ? read(fd, buf, size) : -1;
}

TEST(relay_frames)
{
	autoclean(clear_relay) struct relay_test t;
	start_relay(&t, true, -1);
	char buf[BV_CONSOLE_FRAME_MAX];
	/* First of all the size. */
	ssize_t n = read_within(t.far, buf, sizeof(buf), WAIT_MS);
	CHECK_INT(n, 1 + sizeof(struct winsize));
	CHECK_INT(buf[0], BV_CONSOLE_FRAME_SIZE);
	CHECK_INT(write(t.user, "abc", 3), 3);
	n = read_within(t.far, buf, sizeof(buf), WAIT_MS);
	CHECK_INT(n, 4);
	CHECK_INT(buf[0], BV_CONSOLE_FRAME_DATA);
	CHECK(n == 4 && memcmp(buf + 1, "abc", 3) == 0);
	CHECK_INT(write(t.far, "dhello", 6), 6);
	n = read_within(t.user, buf, sizeof(buf), WAIT_MS);
	CHECK(n == 5 && memcmp(buf, "hello", 5) == 0);
	CHECK_INT(write(t.user, "\001q", 2), 2);
	CHECK_INT(end_relay(&t), 0);
	CHECK(is_restored(&t));
}

TEST(relay_ends_with_its_peer)
{
	autoclean(clear_relay) struct relay_test t;
	start_relay(&t, true, -1);
	CHECK_INT(write(t.far, "dlast", 5), 5);
	close_fd(&t.far);
	CHECK_INT(end_relay(&t), 0);
	char buf[64];
	CHECK(read_within(t.user, buf, sizeof(buf), WAIT_MS) == 4 && memcmp(buf, "last", 4) == 0);
	CHECK(is_restored(&t));
}

TEST(relay_restores_at_signals)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		autoclean(clear_relay) struct relay_test t;
		start_relay(&t, true, -1);
		kill(t.pid, signals[i]);
		int status = end_relay(&t);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
		CHECK(is_restored(&t));
	}
}

TEST(relay_hears_signals_with_full_ends)
{
	autoclean(clear_relay) struct relay_test t;
	start_relay(&t, true, -1);
	char frame[BV_CONSOLE_FRAME_MAX] = "d";
	/* Nobody reads the user's terminal: the relay has to stop, and its peer's queue fills up. */
	fcntl(t.far, F_SETFL, O_NONBLOCK);
	int sent = 0;
	for (int quiet = 0; quiet < 5 && sent < 1000; usleep(20000))
		if (write(t.far, frame, sizeof(frame)) > 0)
			sent++, quiet = 0;
		else
			quiet++;
	CHECK(sent < 1000);
	kill(t.pid, SIGTERM);
	int status = end_relay(&t);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	CHECK(is_restored(&t));
}

TEST(relay_shows_the_rest_when_told_the_end)
{
	autoclean(clear_relay) struct relay_test t;
	int watch[2];
	CHECK_INT(pipe(watch), 0);
	start_relay(&t, false, watch[0]);

	CHECK_INT(write(t.far, "one\n", 4), 4);
	char buf[4096];
	CHECK_INT(read_within(t.user, buf, sizeof(buf), WAIT_MS), 5);
	CHECK_INT(write(t.far, "two\n", 4), 4);
	close_fd(&t.far);
	CHECK_INT(write(watch[1], "", 1), 1);
	CHECK_INT(end_relay(&t), 0);
	ssize_t n = read_within(t.user, buf, sizeof(buf), WAIT_MS);
	CHECK(n == 5 && memcmp(buf, "two\r\n", 5) == 0);
	CHECK(is_restored(&t));
	close(watch[0]);
	close(watch[1]);
}

TEST(relay_ends_with_its_terminal)
{
	autoclean(clear_relay) struct relay_test t;
	start_relay(&t, true, -1);
	close_fd(&t.user);
	CHECK_INT(end_relay(&t), 0);
}

/* ---- the console ---- */

static void open_console(struct bv_console *c, int *user)
{
	int slave;
	int master = open_pair(&slave);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	bv_console_init(c);
	struct bv_error err = { 0 };
	CHECK_INT(bv_console_open(c, master, cfg, &err), 0);
	*user = slave;
}

TEST(console_with_nobody)
{
	struct bv_console c;
	autoclose int user = -1;
	open_console(&c, &user);
	CHECK_INT(write(user, "abc", 3), 3);
	CHECK_INT(bv_console_output(&c), 3);
	CHECK_INT(bv_console_output(&c), 0);
	bv_console_close(&c);
}

static void say(struct bv_console *c, int user, const char *text)
{
	CHECK_INT(write(user, text, strlen(text)), strlen(text));
	while (bv_console_output(c) > 0)
		;
}

TEST(console_last_line)
{
	struct bv_console c;
	autoclose int user = -1;
	char line[64];
	open_console(&c, &user);
	say(&c, user, "one\r\ntwo\r\n\r\n");
	bv_console_last_line(&c, line, sizeof(line));
	CHECK_STR(line, "two");
	/* What comes behind a panic says no more. */
	say(&c, user, "[ 1.0] Kernel panic - not syncing: no init\r\n[ 1.1] Kernel Offset: 0x1\r\n");
	bv_console_last_line(&c, line, sizeof(line));
	CHECK_STR(line, "[ 1.0] Kernel panic - not syncing: no init");
	bv_console_forget_line(&c);
	say(&c, user, "again\n");
	bv_console_last_line(&c, line, sizeof(line));
	CHECK_STR(line, "again");
	bv_console_close(&c);
}

TEST(console_client_that_reads_nothing)
{
	struct bv_console c;
	autoclose int user = -1;
	int pair[2];
	open_console(&c, &user);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	c.client = pair[0];
	char line[128];
	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 20000; i++) {
		CHECK_INT(write(user, line, sizeof(line)), sizeof(line));
		if (bv_console_output(&c) < 0)
			break;
	}
	CHECK(c.dropped > 0);
	CHECK_INT(c.unseen.len, 0);
	close(pair[1]);
	CHECK(bv_console_client_input(&c) < 0);
	bv_console_close(&c);
}

TEST(console_frames_that_are_none)
{
	struct bv_console c;
	autoclose int user = -1;
	int pair[2];
	open_console(&c, &user);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	c.client = pair[0];
	static const char *const junk[] = { "d", "w", "wsize", "?", "xyz" };
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		CHECK(send(pair[1], junk[i], strlen(junk[i]), 0) > 0);
		CHECK_INT(bv_console_client_input(&c), 0);
	}
	CHECK_INT(c.typed_len, 0);
	CHECK_INT(bv_console_client_input(&c), 0); /* nothing there */
	char large[BV_CONSOLE_FRAME_MAX + 1] = "d";
	CHECK(send(pair[1], large, sizeof(large), 0) > 0);
	CHECK_INT(bv_console_client_input(&c), -EPIPE);
	close(pair[1]);
	bv_console_close(&c);
}

TEST(console_terminal_that_has_to_catch_up)
{
	struct bv_console c;
	autoclose int user = -1;
	int ends[2];
	open_console(&c, &user);
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	bv_console_use_terminal(&c, -1, ends[1]);
	size_t put = 0, got = 0;
	char line[1000], buf[65536];
	memset(line, 'y', sizeof(line));
	while (c.unseen.len == 0 && put < 1000000) {
		put += (size_t)write(user, line, sizeof(line));
		bv_console_output(&c);
	}
	CHECK(c.unseen.len > 0);
	/* What comes at the very end is kept as well. */
	put += (size_t)write(user, line, sizeof(line));
	bv_console_drain(&c);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100 && got < put; i++) {
		ssize_t n = read(ends[0], buf, sizeof(buf));
		got += n > 0 ? (size_t)n : 0;
		bv_console_show(&c);
	}
	CHECK_INT(got, put);
	CHECK_INT(c.unseen.len, 0);
	bv_console_close(&c);
	close(ends[0]);
	close(ends[1]);
}

/* ---- the run directory ---- */

static char run_root[64];

static void use_run_root(void)
{
	strcpy(run_root, "/tmp/bv-test-run.XXXXXX");
	CHECK(mkdtemp(run_root) != NULL);
	setenv("BIVALVE_RUN", run_root, 1);
}

static void remove_run_root(void)
{
	char parent[BV_RUN_PATH_MAX];
	if (bv_rundir_parent("/", parent, sizeof(parent), NULL) == 0)
		rmdir(parent);
	CHECK_INT(rmdir(run_root), 0);
	unsetenv("BIVALVE_RUN");
}

TEST(state_round_trip)
{
	use_run_root();
	struct bv_rundir rd;
	int lock = -1;
	CHECK_INT(bv_rundir_lock(&rd, "/", "one", &lock, NULL), 0);
	struct bv_run_state none;
	CHECK_INT(bv_run_state_read(&rd, &none), -ENOENT);

	char cgroup[] = "v1 memory /a/b\nv2 - /c", net[] = "veth 0 x";
	struct bv_run_state st = {
		.state = BV_RUNNING, .monitor_pid = 12, .init_pid = 34, .init_start = UINT64_MAX,
		.survives_monitor = true, .ephemeral = true, .ttys = 4, .exit_status = 137 << 8,
		.engine = "container", .label = "a label with blanks", .cgroup = cgroup, .net = net,
	};
	CHECK_INT(bv_run_state_write(&rd, &st, NULL), 0);
	struct bv_run_state got;
	CHECK_INT(bv_run_state_read(&rd, &got), 0);
	CHECK_INT(got.state, BV_RUNNING);
	CHECK_INT(got.monitor_pid, 12);
	CHECK_INT(got.init_pid, 34);
	CHECK(got.init_start == UINT64_MAX);
	CHECK(got.survives_monitor && got.ephemeral);
	CHECK_INT(got.ttys, 4);
	CHECK_INT(got.exit_status, 137 << 8);
	CHECK_STR(got.engine, "container");
	CHECK_STR(got.label, "a label with blanks");
	CHECK_STR(got.cgroup, "v1 memory /a/b\nv2 - /c\n");
	CHECK_STR(got.net, "veth 0 x\n");
	bv_run_state_clear(&got);

	struct stat st_file;
	CHECK_INT(fstatat(rd.fd, "state", &st_file, 0), 0);
	CHECK_INT(st_file.st_mode & 0777, 0600);
	CHECK_INT(bv_rundir_remove(&rd), 0);
	bv_rundir_close(&rd);
	close_fd(&lock);
	remove_run_root();
}

TEST(state_of_garbage)
{
	use_run_root();
	struct bv_rundir rd;
	int lock = -1;
	CHECK_INT(bv_rundir_lock(&rd, "/", "one", &lock, NULL), 0);
	static const char *const texts[] = {
		"", "\n\n\n", "state", "state \n", "state NONSENSE\nmonitor x\ninit\ninit a b\n",
		"unknown 1\nstate RUNNING",
		"engine 0123456789012345678901234567890123456789012345678901234567890123456789\n", "cgroup \nnet \n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct bv_run_state st;
		CHECK_INT(bv_rundir_write(&rd, "state", texts[i], strlen(texts[i]), NULL), 0);
		CHECK_INT(bv_run_state_read(&rd, &st), 0);
		CHECK(st.init_pid == 0 && st.monitor_pid == 0);
		CHECK_INT(st.state, i == 5 ? BV_RUNNING : BV_STOPPED);
		bv_run_state_clear(&st);
	}
	CHECK_INT(bv_rundir_remove(&rd), 0);
	bv_rundir_close(&rd);
	close_fd(&lock);
	remove_run_root();
}

TEST(locks)
{
	use_run_root();
	struct bv_rundir a, b;
	int lock = -1, second = -1;
	CHECK_INT(bv_rundir_open(&a, "/", "one", NULL), 0);
	CHECK_INT(a.fd, -1);
	CHECK_INT(bv_rundir_is_locked(&a), 0);

	CHECK_INT(bv_rundir_lock(&a, "/", "one", &lock, NULL), 0);
	CHECK(lock >= 0);
	struct bv_error err = { 0 };
	CHECK_INT(bv_rundir_lock(&b, "/", "one", &second, &err), -EBUSY);
	CHECK(strstr(err.what, "one") != NULL);
	CHECK_INT(second, -1);
	bv_rundir_close(&b);
	/* Another spelling of the lxcpath is the same one, another name is not. */
	CHECK_INT(bv_rundir_lock(&b, "/./", "one", &second, NULL), -EBUSY);
	bv_rundir_close(&b);
	CHECK_INT(bv_rundir_lock(&b, "/", "two", &second, NULL), 0);
	CHECK_INT(bv_rundir_remove(&b), 0);
	bv_rundir_close(&b);
	close_fd(&second);

	CHECK_INT(bv_rundir_open(&b, "/", "one", NULL), 0);
	CHECK_INT(bv_rundir_is_locked(&b), 1);
	close_fd(&lock);
	CHECK_INT(bv_rundir_is_locked(&b), 0);

	/* Removed and made anew, the old lock is nobody's. */
	CHECK_INT(bv_rundir_remove(&a), 0);
	bv_rundir_close(&a);
	CHECK_INT(bv_rundir_lock(&a, "/", "one", &lock, NULL), 0);
	CHECK_INT(bv_rundir_is_locked(&a), 1);
	CHECK_INT(bv_rundir_is_locked(&b), 0);
	bv_rundir_close(&b);
	CHECK_INT(bv_rundir_remove(&a), 0);
	bv_rundir_close(&a);
	close_fd(&lock);
	remove_run_root();
}

/* ---- the command socket ---- */

struct server {
	struct bv_rundir rd;
	int lock, listener;
};

static void start_server(struct server *s)
{
	use_run_root();
	s->lock = s->listener = -1;
	CHECK_INT(bv_rundir_lock(&s->rd, "/", "one", &s->lock, NULL), 0);
	s->listener = bv_command_listen(&s->rd, NULL);
	CHECK(s->listener >= 0);
}

static void stop_server(struct server *s)
{
	close_fd(&s->listener);
	CHECK_INT(bv_rundir_remove(&s->rd), 0);
	bv_rundir_close(&s->rd);
	close_fd(&s->lock);
	remove_run_root();
}

static int connect_raw(const struct server *s)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/command", s->rd.fd);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	CHECK_INT(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

TEST(socket_mode_and_reuse)
{
	struct server s;
	start_server(&s);
	struct stat st;
	CHECK_INT(fstatat(s.rd.fd, "command", &st, 0), 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 0777, 0600);
	/* What a killed monitor left does not stand in the way. */
	close_fd(&s.listener);
	s.listener = bv_command_listen(&s.rd, NULL);
	CHECK(s.listener >= 0);
	stop_server(&s);
}

TEST(socket_garbage)
{
	struct server s;
	start_server(&s);
	struct bv_command good = { .magic = BV_COMMAND_MAGIC, .op = BV_COMMAND_CONSOLE, .arg = 3 };
	struct bv_command bad = { .magic = 0x12345678, .op = BV_COMMAND_CONSOLE };
	static char large[60000];
	struct {
		const void *data;
		size_t len;
		int want;
	} cases[] = {
		{ &good, sizeof(good), 0 },
		{ &bad, sizeof(bad), -EPROTO },
		{ &good, sizeof(good) - 1, -EPROTO },
		{ &good, 1, -EPROTO },
		{ large, sizeof(large), -EPROTO },
		{ NULL, 0, -EAGAIN },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		autoclose int client = connect_raw(&s);
		autoclose int fd = bv_command_accept(s.listener);
		CHECK(fd >= 0);
		if (cases[i].data)
			CHECK_INT(send(client, cases[i].data, cases[i].len, 0), cases[i].len);
		struct bv_command got = { 0 };
		CHECK_INT(bv_command_receive(fd, &got), cases[i].want);
		if (cases[i].want == 0)
			CHECK_INT(got.arg, 3);
		close_fd(&client);
		CHECK_INT(bv_command_receive(fd, &got), -EPIPE);
	}
	CHECK_INT(bv_command_accept(s.listener), -EAGAIN);
	stop_server(&s);
}

/* A child answers one request with these bytes and, if >= 0, this fd. */
static pid_t answer(const struct server *s, const void *data, size_t len, int code, int pass)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct pollfd p = { .fd = s->listener, .events = POLLIN };
	poll(&p, 1, WAIT_MS);
	int fd = bv_command_accept(s->listener);
	struct bv_command c;
	p.fd = fd;
	poll(&p, 1, WAIT_MS);
	bv_command_receive(fd, &c);
	if (data)
		send(fd, data, len, MSG_NOSIGNAL);
	else if (len)
		bv_command_reply(fd, code, c.arg + 1, pass);
	_exit(0);
}

TEST(socket_ask)
{
	struct server s;
	start_server(&s);
	int arg = 0, fd = -1;
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	pid_t pid = answer(&s, NULL, 1, 0, null);
	autoclose int connection = bv_command_ask(&s.rd, BV_COMMAND_CONSOLE, 6, &arg, &fd, NULL);
	CHECK(connection >= 0);
	CHECK_INT(arg, 7);
	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	close_fd(&fd);
	waitpid(pid, NULL, 0);

	/* A refusal keeps no fd that came along. */
	pid = answer(&s, NULL, 1, -EBUSY, null);
	CHECK_INT(bv_command_ask(&s.rd, BV_COMMAND_CONSOLE, 1, &arg, &fd, NULL), -EBUSY);
	CHECK_INT(fd, -1);
	waitpid(pid, NULL, 0);
	stop_server(&s);
}

TEST(socket_ask_of_a_liar)
{
	struct server s;
	start_server(&s);
	char junk[64] = "junk";
	static const size_t sizes[] = { 0, 1, sizeof(struct bv_reply), sizeof(junk) };
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int arg = 0, fd = -1;
		pid_t pid = answer(&s, sizes[i] ? junk : NULL, sizes[i], 0, -1);
		CHECK_INT(bv_command_ask(&s.rd, BV_COMMAND_CONSOLE, 1, &arg, &fd, NULL), -EPROTO);
		CHECK_INT(fd, -1);
		waitpid(pid, NULL, 0);
	}
	close_fd(&s.listener);
	int arg = 0, fd = -1;
	CHECK_INT(bv_command_ask(&s.rd, BV_COMMAND_CONSOLE, 1, &arg, &fd, NULL), -ECONNREFUSED);
	stop_server(&s);
}

TEST_MAIN()
