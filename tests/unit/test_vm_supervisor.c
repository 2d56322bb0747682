/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/vm/supervisor/internal.h"
#include "sys/kernel.h"
#include "sys/pty.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * The supervisor's loop in a process of its own, between a fake QEMU (QMP, and a process that ends when it is told to),
 * a fake agent, a fake monitor, and real clients of its control socket: the test is all of these.
 */
enum { WAIT_MS = 30000, REBOOTED = 200 };
/* A file server that ends is given a second, here a tenth of it: what has to happen in that time has a little less. */
enum { GRACE_MS = 80 };

static struct {
	pid_t pid;
	int qmp, sync, qemu, server; /* the last two: a byte is the exit code of that process */
	struct sv_stream agent;
	int dir;
	char path[64];
} vm;

static void child_that_waits(int fd)
{
	unsigned char code = 0;
	dup2(fd, STDIN_FILENO);
	bv_close_range(STDERR_FILENO + 1, ~0U, 0);
	if (read(STDIN_FILENO, &code, 1) != 1)
		_exit(99);
	_exit(code);
}

/* stderr of the fake QEMU is the test's to write. */
static int vm_stderr = -1;
/* The slave of tty2, as that of the console. */
static int vm_tty = -1;

static void run_supervisor(int qmp, int agent, int sync, int qemu, int server, int log, int console)
{
	static struct supervisor s;
	static struct bv_config config = { .signal_halt = 37 };
	sigset_t set;
	sigfillset(&set);
	sigdelset(&set, SIGABRT);
	sigdelset(&set, SIGSEGV);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sv_init(&s);
	s.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s.qemu = fork();
	if (s.qemu == 0)
		child_that_waits(qemu);
	s.servers[0] = fork();
	if (s.servers[0] == 0)
		child_that_waits(server);
	s.config = &config;
	s.run_dir = s.guest_dir = vm.dir;
	s.sync = sync;
	s.agent.fd = agent;
	s.execute = true;
	s.hurry = 10;
	s.memory = 512 << 20;
	s.balloon = 256 << 20;
	s.terminals[0].fd = console;
	s.terminals[2].fd = vm_tty;
	snprintf(s.arch, sizeof(s.arch), "x86_64");
	s.logs[0] = (struct sv_log){ .fd = log, .name = "qemu" };
	if (sv_machine_open(&s, qmp, NULL) < 0 || sv_control_listen(&s, NULL) < 0)
		_exit(98);
	int r = sv_run(&s);
	sv_clear(&s);
	_exit(r == SV_REBOOT ? REBOOTED : r);
}

static void make_pair(int type, int pair[2])
{
	CHECK_INT(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
}

static void start(int console)
{
	int qmp[2], agent[2], sync[2], qemu[2], server[2], log[2];
	snprintf(vm.path, sizeof(vm.path), "/tmp/test_vm_supervisor.XXXXXX");
	CHECK(mkdtemp(vm.path) != NULL);
	vm.dir = open(vm.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	make_pair(SOCK_STREAM, qmp);
	make_pair(SOCK_STREAM, agent);
	make_pair(SOCK_SEQPACKET, sync);
	make_pair(SOCK_STREAM, qemu);
	make_pair(SOCK_STREAM, server);
	CHECK(pipe2(log, O_CLOEXEC | O_NONBLOCK) == 0);
	fflush(stdout);
	vm.pid = fork();
	if (vm.pid == 0) {
		close(qmp[1]);
		close(agent[1]);
		close(sync[1]);
		close(qemu[1]);
		close(server[1]);
		close(log[1]);
		fcntl(qmp[0], F_SETFL, O_NONBLOCK);
		run_supervisor(qmp[0], agent[0], sync[0], qemu[0], server[0], log[0], console);
	}
	close(qmp[0]);
	close(agent[0]);
	close(sync[0]);
	close(qemu[0]);
	close(server[0]);
	close(log[0]);
	vm.qmp = qmp[1];
	vm.agent = (struct sv_stream){ .fd = agent[1] };
	vm.sync = sync[1];
	vm.qemu = qemu[1];
	vm.server = server[1];
	vm_stderr = log[1];
}

static bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

/* Wait for its end: exit code, or 256 + signal. */
static int finish(void)
{
	int status = -1;
	for (int64_t end = bv_now_ms() + 2 * WAIT_MS; waitpid(vm.pid, &status, WNOHANG) == 0;) {
		if (bv_now_ms() > end) {
			kill(vm.pid, SIGKILL);
			waitpid(vm.pid, &status, 0);
			status = 0x7f00;
			break;
		}
		usleep(2000);
	}
	int *fds[] = { &vm.qmp, &vm.sync, &vm.qemu, &vm.server, &vm_stderr, &vm.dir };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	sv_stream_close(&vm.agent);
	bv_remove_tree(AT_FDCWD, vm.path);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- the fake QEMU ---- */

static void qmp_say(const char *text)
{
	CHECK_INT(send(vm.qmp, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One line, without its end. */
static const char *qmp_hear(void)
{
	static char line[8192];
	size_t n = 0;
	while (n < sizeof(line) - 1 && readable(vm.qmp, WAIT_MS) && read(vm.qmp, line + n, 1) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

static void qemu_exits(int code)
{
	unsigned char c = (unsigned char)code;
	CHECK_INT(write(vm.qemu, &c, 1), 1);
}

static void shut_down(const char *reason)
{
	char event[160];
	snprintf(event, sizeof(event), "{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"%s\"}}\n",
		 reason);
	qmp_say(event);
	qemu_exits(0);
}

static void greet(void)
{
	qmp_say("{\"QMP\": {}}\n");
	CHECK_STR(qmp_hear(), "{\"execute\":\"qmp_capabilities\"}");
	qmp_say("{\"return\": {}}\n");
}

/* ---- frames ---- */

static void put(struct sv_stream *st, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	bv_frame_put(&st->out, type, flags, channel, data, len);
	for (size_t off = 0; off < st->out.len;) {
		ssize_t n = send(st->fd, st->out.p + off, st->out.len - off, MSG_NOSIGNAL);
		if (n < 0)
			break;
		off += (size_t)n;
	}
	bv_buf_clear(&st->out);
}

static void put_u32(struct sv_stream *st, uint16_t type, uint32_t channel, uint32_t v)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, v);
	put(st, type, 0, channel, b.p, b.len);
}

/* The next frame within a time; type 0: none. */
static struct bv_frame hear_within(struct sv_stream *st, int ms)
{
	struct bv_frame f = { 0 };
	int r;
	while ((r = sv_stream_next(st, &f)) == 0)
		if (!readable(st->fd, ms) || sv_stream_read(st) < 0)
			break;
	return r == 1 ? f : (struct bv_frame){ 0 };
}

static struct bv_frame hear(struct sv_stream *st)
{
	return hear_within(st, WAIT_MS);
}

static void agent_hello(void)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_u32(&b, BV_PROTOCOL_VERSION);
	bv_put_string(&b, "6.1.0");
	bv_put_string(&b, "x86_64");
	put(&vm.agent, BV_FRAME_HELLO, 0, 0, b.p, b.len);
}

static struct bv_error get_report(void)
{
	struct bv_supervisor_report r = { .err.code = -1 };
	if (!readable(vm.sync, WAIT_MS) || recv(vm.sync, &r, sizeof(r), 0) != (ssize_t)sizeof(r))
		r.err.code = -2;
	return r.err;
}

/* Everything up to READY; the balloon's command is left unanswered. */
static void boot(void)
{
	start(-1);
	greet();
	agent_hello();
	put(&vm.agent, BV_FRAME_STAGE, 0, 0, "\3\0\0\0abc", 7);
	put(&vm.agent, BV_FRAME_READY, 0, 0, NULL, 0);
	CHECK_INT(get_report().code, 0);
	CHECK_STR(qmp_hear(), "{\"execute\":\"balloon\",\"arguments\":{\"value\":268435456},\"id\":\"bv-0\"}");
	qmp_say("{\"return\": {}, \"id\": \"bv-0\"}\n");
}

static struct sv_stream client_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/vm", vm.path);
	struct sv_stream st = { .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	CHECK_INT(connect(st.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return st;
}

static void put_exec(struct sv_stream *st, uint32_t channel)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	struct bv_exec e = { .flags = BV_EXEC_KEEP_CAPS };
	bv_strv_add(&e.argv, "true");
	bv_put_exec(&b, &e);
	put(st, BV_FRAME_EXEC, 0, channel, b.p, b.len);
	bv_exec_clear(&e);
}

/* A client with an open channel, which the guest knows by *channel. */
static struct sv_stream client_exec(uint32_t own, uint32_t *channel)
{
	struct sv_stream st = client_connect();
	put_exec(&st, own);
	struct bv_frame f = hear(&vm.agent);
	CHECK_INT(f.type, BV_FRAME_EXEC);
	*channel = f.channel;
	put_u32(&vm.agent, BV_FRAME_STARTED, f.channel, 77);
	f = hear(&st);
	CHECK(f.type == BV_FRAME_STARTED && f.channel == own);
	return st;
}

static bool is_closed(struct sv_stream *st)
{
	char c;
	return readable(st->fd, WAIT_MS) && recv(st->fd, &c, 1, MSG_PEEK) <= 0;
}

static void put_ask(struct sv_stream *st, enum bv_ask what, const char *text)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_string(&b, text);
	put(st, BV_FRAME_ASK, what, 0, b.p, b.len);
}

static bool is_text(const struct bv_frame *f, uint16_t type, const char *text)
{
	return f->type == type && f->len == strlen(text) && memcmp(f->data, text, f->len) == 0;
}

static struct bv_error error_of(const struct bv_frame *f)
{
	struct bv_cursor c = bv_cursor_of(f);
	struct bv_error err = { 0 };
	bv_get_error(&c, &err);
	return err;
}

/* ---- before READY ---- */

TEST(guest_fails)
{
	start(-1);
	greet();
	agent_hello();
	struct bv_error err = { 0 };
	bv_fail(&err, ENOENT, "cannot mount /dev/vda");
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_error(&b, &err);
	put(&vm.agent, BV_FRAME_FAILED, 0, 0, b.p, b.len);
	err = get_report();
	CHECK_INT(err.code, ENOENT);
	CHECK_STR(err.what, "cannot mount /dev/vda");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(qemu_ends_early)
{
	start(-1);
	CHECK_INT(write(vm_stderr, "one\nqemu: no such \x1b machine\n", 28), 28);
	qemu_exits(1);
	struct bv_error err = get_report();
	CHECK_STR(err.what, "QEMU ended before the instance's init ran: qemu: no such ? machine");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	/* Its first error is the reason: neither a warning before it nor advice behind it. */
	static const char refusal[] = "qemu-system-x86_64: warning: old\nqemu-system-x86_64: -machine x: unsupported\n"
				      "Use -machine help to list supported machines\n";
	start(-1);
	CHECK_INT(write(vm_stderr, refusal, sizeof(refusal) - 1), sizeof(refusal) - 1);
	qemu_exits(1);
	err = get_report();
	CHECK_STR(err.what, "QEMU ended before the instance's init ran: -machine x: unsupported");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	start(-1);
	greet();
	shut_down("guest-reset");
	err = get_report();
	CHECK_INT(err.code, ESHUTDOWN);
	CHECK_STR(err.what, "the guest's kernel stopped before the instance's init ran");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	start(-1);
	greet();
	shut_down("guest-shutdown");
	err = get_report();
	CHECK_STR(err.what, "the guest powered off before the instance's init ran");
	finish();
}

TEST(file_server_dies_early)
{
	start(-1);
	greet();
	CHECK_INT(write(vm.server, "\1", 1), 1);
	struct bv_error err = get_report();
	CHECK_STR(err.what, "the file server ended");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	/* It ended because QEMU did, which is seen a moment later; were we too slow for it, it is tried anew. */
	int64_t began, took = GRACE_MS;
	for (int i = 0; i < 50 && took >= GRACE_MS; i++) {
		start(-1);
		greet();
		CHECK_INT(write(vm_stderr, "no memory\n", 10), 10);
		began = bv_now_ms();
		CHECK_INT(write(vm.server, "\1", 1), 1);
		usleep(20000);
		qemu_exits(1);
		took = bv_now_ms() - began;
		err = get_report();
		CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
	}
	CHECK_STR(err.what, "QEMU ended before the instance's init ran: no memory");
}

TEST(garbage_of_the_guest_early)
{
	start(-1);
	greet();
	/* Something else than HELLO first. */
	put(&vm.agent, BV_FRAME_READY, 0, 0, NULL, 0);
	struct bv_error err = get_report();
	CHECK_INT(err.code, EPROTO);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	start(-1);
	CHECK_INT(send(vm.agent.fd, "\xff\xff\xff\xff junk junk", 14, 0), 14);
	err = get_report();
	CHECK_INT(err.code, EPROTO);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(garbage_of_qemu)
{
	start(-1);
	qmp_say("hello\n");
	CHECK_INT(get_report().code, EPROTO);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	boot();
	qmp_say("hello\n");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	/* It hangs up, and lives on. */
	boot();
	shutdown(vm.qmp, SHUT_RDWR);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(signal_ends_the_boot)
{
	start(-1);
	greet();
	kill(vm.pid, SIGUSR1); /* of no consequence */
	kill(vm.pid, SIGTERM);
	struct bv_error err = get_report();
	CHECK_INT(err.code, ECANCELED);
	CHECK(strstr(err.what, "signal 15"));
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

/* ---- the ends ---- */

TEST(power_off_and_reset)
{
	boot();
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
	boot();
	shut_down("guest-reset");
	CHECK_INT(finish(), REBOOTED);
	boot();
	shut_down("host-qmp-quit");
	CHECK_INT(finish(), 0);
	boot();
	shut_down("host-signal");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(panic)
{
	boot();
	qmp_say("{\"event\": \"GUEST_PANICKED\", \"data\": {\"action\": \"poweroff\"}}\n");
	shut_down("guest-reset");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(qemu_crashes_or_lingers)
{
	boot();
	qemu_exits(3);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);

	/* SHUTDOWN, but it stays: it is killed after 5 s (here a tenth of it). */
	boot();
	int64_t start_ms = bv_now_ms();
	qmp_say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\n");
	CHECK_INT(finish(), 0);
	CHECK(bv_now_ms() - start_ms >= 490);
}

TEST(execute_ends)
{
	boot();
	put_u32(&vm.agent, BV_FRAME_ENDED, 0, 42);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 42);
}

TEST(guest_fails_after_ready)
{
	boot();
	struct bv_error err = { 0 };
	bv_fail(&err, ENOENT, "cannot execute /sbin/init");
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_error(&b, &err);
	put(&vm.agent, BV_FRAME_FAILED, 0, 0, b.p, b.len);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

TEST(file_server_dies)
{
	boot();
	CHECK_INT(write(vm.server, "\1", 1), 1);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
	/* When QEMU ends, so does its server: that is no failure. */
	boot();
	qmp_say("{\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\n");
	CHECK_INT(write(vm.server, "\1", 1), 1);
	usleep(50000);
	qemu_exits(0);
	CHECK_INT(finish(), REBOOTED);
}

/* ---- signals ---- */

static void check_init(uint32_t what, uint32_t sig)
{
	struct bv_frame f = hear(&vm.agent);
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK_INT(f.type, BV_FRAME_INIT);
	CHECK_INT(bv_get_u32(&c), what);
	CHECK_INT(bv_get_u32(&c), sig);
	CHECK_INT(bv_cursor_end(&c), 0);
}

TEST(signals)
{
	boot();
	kill(vm.pid, SIGPWR);
	check_init(BV_INIT_HALT, 37);
	kill(vm.pid, SIGINT);
	check_init(BV_INIT_REBOOT, 0);
	kill(vm.pid, SIGTERM);
	check_init(BV_INIT_SIGNAL, SIGTERM);
	kill(vm.pid, SIGRTMIN + 3);
	check_init(BV_INIT_SIGNAL, (uint32_t)SIGRTMIN + 3);
	kill(vm.pid, SIGHUP);
	check_init(BV_INIT_SIGNAL, SIGHUP);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

/* SIGPWR while it boots is kept until somebody can hear it. */
TEST(halt_before_ready)
{
	start(-1);
	greet();
	kill(vm.pid, SIGPWR);
	agent_hello();
	CHECK_INT(hear_within(&vm.agent, 100).type, 0);
	put(&vm.agent, BV_FRAME_READY, 0, 0, NULL, 0);
	CHECK_INT(get_report().code, 0);
	check_init(BV_INIT_HALT, 37);
	qmp_hear();
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

static bool make_pty(int *master, int *slave)
{
	return bv_pty_open(master, slave, NULL) == 0;
}

static void set_size(int master, uint16_t rows, uint16_t columns)
{
	struct winsize size = { .ws_row = rows, .ws_col = columns };
	CHECK_INT(ioctl(master, TIOCSWINSZ, &size), 0);
}

static void check_size(uint16_t number, uint16_t rows, uint16_t columns)
{
	struct bv_frame f = hear(&vm.agent);
	struct bv_cursor c = bv_cursor_of(&f);
	CHECK_INT(f.type, BV_FRAME_TERMINAL);
	CHECK_INT(bv_get_u16(&c), number);
	CHECK_INT(bv_get_u16(&c), rows);
	CHECK_INT(bv_get_u16(&c), columns);
	CHECK_INT(bv_cursor_end(&c), 0);
}

/* Nothing was sent, as the answer to a later signal shows. */
static void check_no_size(void)
{
	kill(vm.pid, SIGRTMIN + 3);
	check_init(BV_INIT_SIGNAL, (uint32_t)SIGRTMIN + 3);
}

TEST(sizes)
{
	int console, console_slave, tty;
	if (!make_pty(&console, &console_slave) || !make_pty(&tty, &vm_tty))
		SKIP("no pty");
	set_size(console, 30, 100);
	start(console_slave);
	greet();
	agent_hello();
	/* While it boots nobody hears of it. */
	set_size(tty, 40, 300);
	kill(vm.pid, SIGWINCH);
	put(&vm.agent, BV_FRAME_READY, 0, 0, NULL, 0);
	check_size(0, 30, 100);
	check_size(2, 40, 300);
	set_size(console, 31, 100);
	kill(vm.pid, SIGWINCH);
	check_size(0, 31, 100);
	set_size(tty, 40, 299);
	kill(vm.pid, SIGWINCH);
	check_size(2, 40, 299);
	/* That nothing changed, or that nothing is known any more, is not told. */
	kill(vm.pid, SIGWINCH);
	check_no_size();
	set_size(tty, 0, 0);
	kill(vm.pid, SIGWINCH);
	check_no_size();
	set_size(console, 50, 99);
	set_size(tty, 51, 98);
	kill(vm.pid, SIGWINCH);
	check_size(0, 50, 99);
	check_size(2, 51, 98);
	qmp_hear();
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
	int *fds[] = { &console, &console_slave, &tty, &vm_tty };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
}

/* ---- the guest's own words ---- */

static void put_addresses(const char *text)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_string(&b, text);
	put(&vm.agent, BV_FRAME_ADDRESSES, 0, 0, b.p, b.len);
}

TEST(addresses)
{
	boot();
	put_addresses("eth0 10.0.3.5/24\neth0 fe80::1/64\n");
	autofree char *text = NULL;
	for (int i = 0; i < WAIT_MS / 2 && bv_read_file(vm.dir, "addresses", 0, &text, NULL) < 0; i++)
		usleep(2000);
	CHECK_STR(text, "eth0 10.0.3.5/24\neth0 fe80::1/64\n");
	struct stat st;
	CHECK(fstatat(vm.dir, "addresses", &st, 0) == 0 && (st.st_mode & 0777) == 0600);

	/* What is none ends the agent's link; the VM runs on. */
	put_addresses("eth0 \x1b[2J/24\n");
	CHECK(is_closed(&vm.agent));
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

TEST(agent_that_is_gone)
{
	boot();
	uint32_t channel;
	struct sv_stream client = client_exec(5, &channel);
	qmp_say("{\"event\": \"VSERPORT_CHANGE\", \"data\": {\"open\": false, \"id\": \"agent\"}}\n");
	struct bv_frame f = hear(&client);
	CHECK_INT(f.type, BV_FRAME_ERROR);
	CHECK_STR(error_of(&f).what, "the guest's agent ended");
	CHECK_INT(error_of(&f).code, ECONNRESET);
	CHECK(is_closed(&client));
	sv_stream_close(&client);
	client = client_connect();
	put_exec(&client, 1);
	f = hear(&client);
	CHECK(f.type == BV_FRAME_REFUSED && f.channel == 1);
	CHECK(strstr(error_of(&f).what, "has ended"));
	sv_stream_close(&client);

	kill(vm.pid, SIGPWR);
	CHECK_STR(qmp_hear(), "{\"execute\":\"system_powerdown\",\"id\":\"bv-1\"}");
	qmp_say("{\"return\": {}, \"id\": \"bv-1\"}\n");
	/* Now its CPUs are looked at: running, then halted. */
	static const char *const says[] = {
		"CPU#0\\r\\nRIP=1 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\\r\\n",
		"CPU#0\\r\\nRIP=1 RFL=00000046 HLT=1\\r\\nCPU#1\\r\\nRFL=00000002 HLT=1\\r\\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		char answer[256];
		CHECK(strstr(qmp_hear(), "info registers -a"));
		snprintf(answer, sizeof(answer), "{\"return\": \"%s\", \"id\": \"bv-%zu\"}\n", says[i], i + 2);
		qmp_say(answer);
	}
	CHECK_STR(qmp_hear(), "{\"execute\":\"quit\",\"id\":\"bv-4\"}");
	qmp_say("{\"return\": {}, \"id\": \"bv-4\"}\n");
	shut_down("host-qmp-quit");
	CHECK_INT(finish(), 0);
}

TEST(halted_registers)
{
	CHECK(!sv_all_halted(""));
	CHECK(!sv_all_halted("CPU#0\nRFL=00000202 HLT=1\n"));
	CHECK(!sv_all_halted("CPU#0\nRFL=00000002 HLT=0\n"));
	CHECK(!sv_all_halted("CPU#0\nRFL=00000002 HLT=1\nCPU#1\nRFL=00000202 HLT=1\n"));
	CHECK(!sv_all_halted("CPU#0\nRFL=00000002 HLT=1\nCPU#1\n"));
	CHECK(sv_all_halted("\nCPU#0\nRFL=00000002 HLT=1\n\nCPU#1\nEFL=00000046 HLT=1\n"));
	CHECK(sv_all_halted("CPU#0\n PC=1 X00=2\nPSTATE=600003c5 -ZC- EL1h\n"));
	CHECK(!sv_all_halted("CPU#0\n PC=1\nPSTATE=60000345 -ZC- EL1h\n"));
}

/* ---- commands of users ---- */

TEST(questions)
{
	boot();
	struct sv_stream a = client_connect(), b = client_connect();
	put_ask(&a, BV_ASK_QMP, "{\"execute\": \"query-kvm\"}");
	CHECK_STR(qmp_hear(), "{\"execute\":\"query-kvm\",\"id\":\"bv-1\"}");
	put_ask(&b, BV_ASK_HMP, "info \"x\"");
	CHECK_STR(qmp_hear(), "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info "
			      "\\\"x\\\"\"},\"id\":\"bv-2\"}");
	qmp_say("{\"return\": \"text\", \"id\": \"bv-2\"}\n{\"return\": {\"enabled\": false}, \"id\": \"bv-1\"}\n");
	struct bv_frame f = hear(&b);
	CHECK(is_text(&f, BV_FRAME_ANSWER, "text") && f.flags == 1);
	f = hear(&a);
	CHECK(is_text(&f, BV_FRAME_ANSWER, "{\"return\": {\"enabled\": false}}"));

	/* The same connection asks again; errors of QMP are answers, of the rest errors. */
	put_ask(&a, BV_ASK_QMP, "{\"execute\": \"x\"}");
	qmp_hear();
	qmp_say("{\"id\": \"bv-3\", \"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no x\"}}\n");
	f = hear(&a);
	CHECK(is_text(&f, BV_FRAME_ANSWER, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no x\"}}"));
	put_ask(&a, BV_ASK_QMP, "nonsense");
	f = hear(&a);
	CHECK(f.type == BV_FRAME_ERROR && error_of(&f).code == EINVAL);
	put_ask(&a, (enum bv_ask)9, "");
	f = hear(&a);
	CHECK(f.type == BV_FRAME_ERROR && error_of(&f).code == EOPNOTSUPP);

	put_ask(&b, BV_ASK_PAUSE, "");
	CHECK_STR(qmp_hear(), "{\"execute\":\"stop\",\"id\":\"bv-4\"}");
	qmp_say("{\"event\": \"STOP\"}\n{\"return\": {}, \"id\": \"bv-4\"}\n");
	f = hear(&b);
	CHECK(is_text(&f, BV_FRAME_ANSWER, "") && f.flags == 1);
	put_ask(&b, BV_ASK_RESUME, "");
	CHECK_STR(qmp_hear(), "{\"execute\":\"cont\",\"id\":\"bv-5\"}");
	qmp_say("{\"return\": {}, \"id\": \"bv-5\"}\n");
	CHECK_INT(hear(&b).type, BV_FRAME_ANSWER);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_CLOCK && f.len == 8);

	/* One that goes away before the answer comes. */
	put_ask(&b, BV_ASK_QMP, "{\"execute\": \"y\"}");
	qmp_hear();
	sv_stream_close(&b);
	usleep(20000);
	qmp_say("{\"return\": {}, \"id\": \"bv-6\"}\n");
	put_ask(&a, BV_ASK_HMP, "z");
	qmp_hear();
	qmp_say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no z\"}, \"id\": \"bv-7\"}\n");
	f = hear(&a);
	CHECK_STR(error_of(&f).what, "GenericError: no z");
	sv_stream_close(&a);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

TEST(long_answer)
{
	boot();
	struct sv_stream a = client_connect();
	put_ask(&a, BV_ASK_HMP, "info mtree");
	qmp_hear();
	const size_t len = 3 * BV_FRAME_MAX + 5;
	autofree char *line = malloc(len + 64);
	int n = sprintf(line, "{\"return\": \"");
	memset(line + n, 'x', len);
	sprintf(line + n + len, "\", \"id\": \"bv-1\"}\n");
	qmp_say(line);
	size_t got = 0;
	struct bv_frame f;
	do {
		f = hear(&a);
		CHECK_INT(f.type, BV_FRAME_ANSWER);
		got += f.len;
	} while (f.type == BV_FRAME_ANSWER && !(f.flags & 1));
	CHECK_INT(got, len);
	sv_stream_close(&a);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

/* ---- channels ---- */

TEST(channel)
{
	boot();
	uint32_t one, two;
	struct sv_stream a = client_exec(5, &one), b = client_exec(5, &two);
	CHECK(one != two && one != 0 && two != 0);

	put(&a, BV_FRAME_DATA, BV_STREAM_IN, 5, "in", 2);
	struct bv_frame f = hear(&vm.agent);
	CHECK(is_text(&f, BV_FRAME_DATA, "in") && f.channel == one);
	put_u32(&vm.agent, BV_FRAME_CREDIT, one, 2);
	CHECK_INT(hear(&a).type, BV_FRAME_CREDIT);
	put(&b, BV_FRAME_SIZE, 0, 5, "\x18\0\x50\0", 4);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_SIZE && f.channel == two);

	put(&vm.agent, BV_FRAME_DATA, BV_STREAM_ERR, two, "err", 3);
	f = hear(&b);
	CHECK(is_text(&f, BV_FRAME_DATA, "err") && f.channel == 5 && f.flags == BV_STREAM_ERR);
	put_u32(&b, BV_FRAME_CREDIT, 5, 3);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_CREDIT && f.channel == two);
	put(&vm.agent, BV_FRAME_EOF, BV_STREAM_OUT, two, NULL, 0);
	CHECK_INT(hear(&b).type, BV_FRAME_EOF);
	put_u32(&vm.agent, BV_FRAME_EXIT, two, 3);
	f = hear(&b);
	CHECK(f.type == BV_FRAME_EXIT && f.data[0] == 3);
	/* Late words of either side are for nobody. */
	put(&b, BV_FRAME_DATA, 0, 5, "late", 4);
	put(&vm.agent, BV_FRAME_DATA, 0, two, "late", 4);
	sv_stream_close(&b);

	/* A client that goes away. */
	sv_stream_close(&a);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_CLOSE && f.channel == one);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

/* A whole window each way, to a client that does not read: others go on; and one byte more is the end. */
TEST(windows)
{
	boot();
	uint32_t slow, other, greedy;
	struct sv_stream a = client_exec(1, &slow), b = client_exec(2, &other), c = client_exec(3, &greedy);
	static char block[BV_FRAME_WINDOW];
	for (size_t i = 0; i < BV_FRAME_WINDOW; i += 16)
		put(&vm.agent, BV_FRAME_DATA, 1, slow, block, 16);
	put(&vm.agent, BV_FRAME_DATA, 1, other, "hi", 2);
	struct bv_frame f = hear(&b);
	CHECK(is_text(&f, BV_FRAME_DATA, "hi"));
	put(&vm.agent, BV_FRAME_DATA, 1, slow, "x", 1);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_CLOSE && f.channel == slow);
	size_t got = 0;
	while ((f = hear(&a)).type == BV_FRAME_DATA)
		got += f.len;
	CHECK_INT(got, BV_FRAME_WINDOW);
	CHECK(f.type == BV_FRAME_ERROR && error_of(&f).code == EPROTO);
	CHECK(is_closed(&a));

	put(&c, BV_FRAME_DATA, 0, 3, block, sizeof(block));
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_DATA && f.len == BV_FRAME_WINDOW && f.channel == greedy);
	put_u32(&vm.agent, BV_FRAME_CREDIT, greedy, 10);
	CHECK_INT(hear(&c).type, BV_FRAME_CREDIT);
	put(&c, BV_FRAME_DATA, 0, 3, block, 11);
	f = hear(&vm.agent);
	CHECK(f.type == BV_FRAME_CLOSE && f.channel == greedy);
	CHECK(is_closed(&c));

	/* Credit for what was never sent. */
	put_u32(&vm.agent, BV_FRAME_CREDIT, other, 1);
	f = hear(&b);
	CHECK_INT(f.type, BV_FRAME_ERROR);
	sv_stream_close(&a);
	sv_stream_close(&b);
	sv_stream_close(&c);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

TEST(bad_clients)
{
	static const struct {
		uint16_t type;
		uint32_t channel;
		const char *data;
		size_t len;
	} bad[] = {
		{ BV_FRAME_DATA, 1, "x", 1 },   /* before EXEC */
		{ BV_FRAME_EXEC, 1, "x", 1 },
		{ BV_FRAME_EXEC, 0, "x", 1 },
		{ BV_FRAME_INIT, 0, "x", 1 },
		{ BV_FRAME_ASK, 0, "\x9\0\0\0x", 5 },
		{ 4711, 9, NULL, 0 },
	};
	boot();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sv_stream a = client_connect();
		put(&a, bad[i].type, 0, bad[i].channel, bad[i].data, bad[i].len);
		CHECK(is_closed(&a));
		sv_stream_close(&a);
	}
	struct sv_stream a = client_connect();
	CHECK_INT(send(a.fd, "\xff\xff\xff\xff", 4, 0), 4);
	CHECK(is_closed(&a));
	sv_stream_close(&a);
	CHECK_INT(hear_within(&vm.agent, 50).type, 0);

	/* More of them than there are places: each takes the place of one that wants nothing. */
	struct sv_stream many[BV_SV_CLIENTS + 8];
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = client_connect();
	put_ask(&many[ARRAY_SIZE(many) - 1], BV_ASK_QMP, "x");
	CHECK_INT(hear(&many[ARRAY_SIZE(many) - 1]).type, BV_FRAME_ERROR);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		sv_stream_close(&many[i]);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

TEST(exec_before_ready)
{
	start(-1);
	greet();
	struct sv_stream a = client_connect();
	put_exec(&a, 4);
	struct bv_frame f = hear(&a);
	CHECK(f.type == BV_FRAME_REFUSED && f.channel == 4);
	struct bv_error err = error_of(&f);
	CHECK_STR(err.what, "the guest still boots");
	CHECK_INT(err.code, EINPROGRESS); /* the client's cue for a hint */
	sv_stream_close(&a);
	qemu_exits(1);
	CHECK_INT(finish(), BV_SUPERVISOR_FAILED);
}

/* A guest that does not read its port: what clients send is bounded, and questions are answered all the same. */
TEST(agent_that_does_not_read)
{
	boot();
	struct sv_stream a = client_connect();
	put_exec(&a, 1);
	for (int i = 0; i < 20000; i++)
		put(&a, BV_FRAME_SIZE, 0, 1, "\x18\0\x50\0", 4);
	struct sv_stream b = client_connect();
	put_ask(&b, BV_ASK_PAUSE, "");
	CHECK_STR(qmp_hear(), "{\"execute\":\"stop\",\"id\":\"bv-1\"}");
	qmp_say("{\"return\": {}, \"id\": \"bv-1\"}\n");
	CHECK_INT(hear(&b).type, BV_FRAME_ANSWER);
	sv_stream_close(&a);
	sv_stream_close(&b);
	shut_down("guest-shutdown");
	CHECK_INT(finish(), 0);
}

TEST_MAIN()
