/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "engine/environ.h"
#include "engine/vm/client/control.h"
#include "sys/kernel.h"
#include "sys/pty.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * The control socket's client against a supervisor of the test's own: a child that listens in a run directory and does
 * what the case's function says with the one connection that it gets.
 */

enum { CHANNEL = 1 };

/* ---- the supervisor ---- */

struct server {
	int fd;
	struct bv_control_in in;
	struct bv_exec exec;
	size_t credit; /* what may be sent to the client */
};

static void send_frame(struct server *v, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len)
{
	struct bv_buf b = { 0 };
	bv_frame_put(&b, type, flags, channel, data, len);
	bv_write_all(v->fd, b.p, b.len);
	bv_buf_clear(&b);
}

static void send_number(struct server *v, uint16_t type, uint32_t n)
{
	struct bv_buf b = { 0 };
	bv_put_u32(&b, n);
	send_frame(v, type, 0, CHANNEL, b.p, b.len);
	bv_buf_clear(&b);
}

/* The next frame; what it is not to be ends the supervisor with a code that says so. */
static struct bv_frame receive(struct server *v)
{
	struct bv_frame f = { 0 };
	if (bv_control_receive(v->fd, &v->in, &f, bv_now_ms() + 10000) <= 0)
		_exit(99);
	return f;
}

static struct bv_frame expect(struct server *v, uint16_t type)
{
	struct bv_frame f = receive(v);
	if (f.type != type) {
		fprintf(stderr, "# got frame %u where %u was wanted\n", f.type, type);
		_exit(98);
	}
	return f;
}

static void start(struct server *v)
{
	struct bv_frame f = expect(v, BV_FRAME_EXEC);
	if (f.channel != CHANNEL || bv_get_exec(&f, &v->exec) < 0)
		_exit(97);
	send_number(v, BV_FRAME_STARTED, 7);
	v->credit = BV_FRAME_WINDOW;
}

static void say(struct server *v, unsigned int stream, const char *text)
{
	send_frame(v, BV_FRAME_DATA, (uint16_t)stream, CHANNEL, text, strlen(text));
}

typedef void (*serve_fn)(struct server *v);

static char run_path[64];

static int listen_here(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/vm", run_path);
	unlink(a.sun_path);
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s, 4) == 0);
	return s;
}

struct fake {
	pid_t pid;
	struct bv_run run;
	struct bv_config *config;
};

static void fake_start(struct fake *k, serve_fn serve)
{
	snprintf(run_path, sizeof(run_path), "/tmp/test_vm_attach.XXXXXX");
	CHECK(mkdtemp(run_path) != NULL);
	int s = listen_here();
	bv_run_init(&k->run);
	k->run.name = "web";
	k->run.config = k->config = bv_config_new();
	k->run.run_dir = open(run_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fflush(stdout);
	k->pid = fork();
	if (k->pid == 0) {
		signal(SIGALRM, SIG_DFL);
		alarm(120);
		struct server v = { .fd = accept(s, NULL, NULL) };
		close(s);
		serve(&v);
		_exit(0);
	}
	close(s);
	k->run.pidfd = bv_pidfd_open(k->pid, 0);
}

/* The supervisor's exit code. */
static int fake_stop(struct fake *k)
{
	int status = -1;
	char path[80];
	waitpid(k->pid, &status, 0);
	snprintf(path, sizeof(path), "%s/vm", run_path);
	unlink(path);
	rmdir(run_path);
	close(k->run.run_dir);
	close(k->run.pidfd);
	bv_config_free(k->config);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the caller ---- */

/* A file that holds `text`, at its beginning. */
static int file_of(const void *data, size_t len)
{
	char path[] = "/tmp/test_vm_attach_file.XXXXXX";
	int fd = mkstemp(path);
	unlink(path);
	bv_write_all(fd, data, len);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static char *text_of(int fd)
{
	static char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static struct bv_engine_attach plain(int in, int out, int error)
{
	return (struct bv_engine_attach){ .personality = ULONG_MAX, .uid = -1, .gid = -1, .fds = { in, out, error } };
}

/* Attach by `how` to a supervisor that does what `serve` says, and nothing that it should not. */
static int attach_to(serve_fn serve, const struct bv_engine_attach *how, int *status, struct bv_error *err)
{
	struct fake k;
	*status = -1;
	fake_start(&k, serve);
	int r = bv_vm_attach(&k.run, how, status, err);
	CHECK_INT(fake_stop(&k), 0);
	return r;
}

/* ---- exit codes and refusals ---- */

static void serve_exit(struct server *v)
{
	start(v);
	say(v, 1, "out\n");
	say(v, 2, "err\n");
	say(v, 1, "put\n");
	send_number(v, BV_FRAME_EXIT, 42);
}

TEST(exit_code_and_output)
{
	struct bv_error err = { 0 };
	int status;
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0), error = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, error);
	CHECK_INT(attach_to(serve_exit, &how, &status, &err), 0);
	CHECK_INT(status, 42);
	CHECK_STR(err.what, "");
	CHECK_STR(text_of(out), "out\nput\n");
	CHECK_STR(text_of(error), "err\n");
}

static void serve_request(struct server *v)
{
	start(v);
	char cwd[PATH_MAX];
	if (v->exec.flags != BV_EXEC_KEEP_CAPS || v->exec.uid != 5 || v->exec.gid != 6)
		send_number(v, BV_FRAME_EXIT, 1);
	else if (v->exec.argv.n != 2 || strcmp(v->exec.argv.v[0], "ls") != 0 || strcmp(v->exec.argv.v[1], "") != 0)
		send_number(v, BV_FRAME_EXIT, 2);
	else if (!bv_strv_has(&v->exec.env, "A=b") || !bv_strv_has(&v->exec.env, "FROM=caller") ||
	         bv_process_env_get(v->exec.env.v, "container"))
		send_number(v, BV_FRAME_EXIT, 3);
	else if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, v->exec.cwd) != 0)
		send_number(v, BV_FRAME_EXIT, 4);
	else
		send_number(v, BV_FRAME_EXIT, 0);
}

TEST(what_is_asked_for)
{
	struct bv_error err = { 0 };
	int status;
	char *command[] = { "ls", "", NULL }, *set[] = { "A=b", NULL };
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	how.command = command;
	how.set_vars = set;
	how.uid = 5;
	how.gid = 6;
	how.elevated = BV_ENTER_KEEP_CAPS | BV_ENTER_NO_CGROUP | BV_ENTER_NO_LSM;
	setenv("FROM", "caller", 1);
	setenv("container", "lxc", 1);
	CHECK_INT(attach_to(serve_request, &how, &status, &err), 0);
	CHECK_INT(status, 0);
	unsetenv("container");
}

static void serve_container_set(struct server *v)
{
	start(v);
	const char *c = bv_process_env_get(v->exec.env.v, "container");
	send_number(v, BV_FRAME_EXIT, c && strcmp(c, "mine") == 0 && v->exec.argv.n == 0 ? 0 : 1);
}

TEST(a_variable_that_is_set_is_kept)
{
	int status;
	char *set[] = { "container=mine", NULL };
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	how.set_vars = set;
	how.clear_env = true;
	CHECK_INT(attach_to(serve_container_set, &how, &status, NULL), 0);
	CHECK_INT(status, 0);
}

static void serve_refused(struct server *v)
{
	struct bv_error err = { 0 };
	struct bv_buf b = { 0 };
	expect(v, BV_FRAME_EXEC);
	bv_fail(&err, ENOENT, "cannot execute nosuch: No such file or directory");
	bv_hint(&err, "PATH is /bin");
	bv_put_error(&b, &err);
	bv_put_u32(&b, 127);
	send_frame(v, BV_FRAME_REFUSED, 0, CHANNEL, b.p, b.len);
	bv_buf_clear(&b);
}

TEST(command_not_found)
{
	struct bv_error err = { 0 };
	int status;
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	CHECK_INT(attach_to(serve_refused, &how, &status, &err), -ENOENT);
	CHECK_INT(status, 127);
	CHECK_STR(err.what, "cannot execute nosuch: No such file or directory");
	CHECK_STR(err.hint, "PATH is /bin");
}

static void send_error(struct server *v, int code, const char *what)
{
	struct bv_error err = { 0 };
	struct bv_buf b = { 0 };
	bv_fail(&err, code, "%s", what);
	bv_put_error(&b, &err);
	send_frame(v, BV_FRAME_ERROR, 0, 0, b.p, b.len);
	bv_buf_clear(&b);
}

static void serve_error(struct server *v)
{
	expect(v, BV_FRAME_EXEC);
	send_error(v, EAGAIN, "the guest boots");
}

TEST(the_supervisors_own_error)
{
	struct bv_error err = { 0 };
	int status;
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	CHECK_INT(attach_to(serve_error, &how, &status, &err), -EAGAIN);
	CHECK_INT(status, 1);
	CHECK_STR(err.what, "the guest boots");
}

TEST(options_that_a_vm_cannot_honour)
{
	struct bv_run run;
	bv_run_init(&run);
	run.name = "web";
	const char *const words[] = { "--namespaces", "--remount-sys-proc", "--context", "--arch" };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct bv_engine_attach how = plain(0, 1, 2);
		struct bv_error err = { 0 };
		int status = -1;
		how.namespaces = i == 0;
		how.remount_sys_proc = i == 1;
		how.context = i == 2 ? "a:b" : NULL;
		how.personality = i == 3 ? 0 : ULONG_MAX;
		CHECK_INT(bv_vm_attach(&run, &how, &status, &err), -ENOTSUP);
		CHECK_INT(status, 1);
		CHECK(strstr(err.what, words[i]) == err.what);
	}
}

TEST(too_much_to_pass)
{
	struct fake k;
	struct bv_error err = { 0 };
	int status = -1;
	autofree char *most = malloc(40001);
	memset(most, 'x', 40000);
	most[40000] = '\0';
	char *command[] = { "echo", most, NULL };
	struct bv_engine_attach how = plain(0, 1, 2);
	struct bv_run run;
	bv_run_init(&run);
	run.config = k.config = bv_config_new();
	how.command = command;
	CHECK_INT(bv_vm_attach(&run, &how, &status, &err), -E2BIG);
	most[30000] = '\0';
	char *three[] = { most, most, most, NULL };
	how.command = three;
	bv_error_clear(&err);
	CHECK_INT(bv_vm_attach(&run, &how, &status, &err), -E2BIG);
	CHECK(strstr(err.hint, "--clear-env") != NULL);
	bv_config_free(k.config);
}

/* ---- much of it, both ways ---- */

/* cat: gives back what it gets, with both windows at their ends. */
static void serve_cat(struct server *v)
{
	struct bv_buf held = { 0 };
	size_t start_at = 0;
	bool eof = false;
	start(v);
	for (;;) {
		size_t n = held.len - start_at;
		n = n < v->credit ? n : v->credit;
		n = n < 5000 ? n : 5000;
		if (n > 0) {
			send_frame(v, BV_FRAME_DATA, 1, CHANNEL, held.p + start_at, n);
			send_number(v, BV_FRAME_CREDIT, (uint32_t)n);
			start_at += n;
			v->credit -= n;
			continue;
		}
		if (eof && start_at == held.len)
			break;
		struct bv_frame f = receive(v);
		struct bv_cursor c = bv_cursor_of(&f);
		if (f.type == BV_FRAME_CREDIT)
			v->credit += bv_get_u32(&c);
		else if (f.type == BV_FRAME_EOF && f.flags == 0)
			eof = true;
		else if (f.type != BV_FRAME_DATA)
			_exit(96);
		else if (held.len - start_at + f.len > BV_FRAME_WINDOW)
			_exit(95);
		else
			bv_buf_add(&held, f.data, f.len);
	}
	bv_buf_clear(&held);
	send_number(v, BV_FRAME_EXIT, 0);
}

TEST(much_both_ways)
{
	enum { SIZE = 3000000 };
	struct bv_error err = { 0 };
	int status, pipes[2];
	autofree char *data = malloc(SIZE), *got = malloc(SIZE);
	for (int i = 0; i < SIZE; i++)
		data[i] = (char)(i * 7 + i / 251);
	autoclose int in = file_of(data, SIZE), back = file_of("", 0);
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	/* A slow reader behind a pipe. */
	pid_t reader = fork();
	if (reader == 0) {
		char buf[3000];
		ssize_t n;
		close(pipes[1]);
		while ((n = read(pipes[0], buf, sizeof(buf))) > 0)
			bv_write_all(back, buf, (size_t)n);
		_exit(0);
	}
	close(pipes[0]);
	struct bv_engine_attach how = plain(in, pipes[1], pipes[1]);
	CHECK_INT(attach_to(serve_cat, &how, &status, &err), 0);
	CHECK_INT(status, 0);
	close(pipes[1]);
	waitpid(reader, NULL, 0);
	CHECK_INT(pread(back, got, SIZE, 0), SIZE);
	CHECK(memcmp(data, got, SIZE) == 0);
}

/* No credit is given back: exactly a window may come, and then the end of the test, not of input. */
static void serve_no_credit(struct server *v)
{
	start(v);
	size_t got = 0;
	while (got < BV_FRAME_WINDOW)
		got += expect(v, BV_FRAME_DATA).len;
	struct pollfd p = { .fd = v->fd, .events = POLLIN };
	bool more = got > BV_FRAME_WINDOW || v->in.len > 0 || poll(&p, 1, 200) > 0;
	send_number(v, BV_FRAME_EXIT, more ? 1 : 0);
}

TEST(the_window_is_kept)
{
	int status;
	autoclose int in = open("/dev/zero", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	CHECK_INT(attach_to(serve_no_credit, &how, &status, NULL), 0);
	CHECK_INT(status, 0);
}

/* ---- ends ---- */

static void serve_broken_pipe(struct server *v)
{
	start(v);
	send_error(v, EPIPE, "the agent is gone");
}

/* Of the same code as an output that nobody reads, which is no error. */
TEST(the_agent_ends)
{
	struct bv_error err = { 0 };
	int status;
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	CHECK_INT(attach_to(serve_broken_pipe, &how, &status, &err), -EPIPE);
	CHECK_INT(status, 1);
	CHECK_STR(err.what, "the agent is gone");
}

static void serve_end(struct server *v)
{
	start(v);
	say(v, 1, "half a li");
}

TEST(the_vm_ends)
{
	struct bv_error err = { 0 };
	int status;
	autoclose int in = open("/dev/null", O_RDONLY), out = file_of("", 0);
	struct bv_engine_attach how = plain(in, out, out);
	CHECK_INT(attach_to(serve_end, &how, &status, &err), -ECONNRESET);
	CHECK_INT(status, 1);
	CHECK_STR(err.what, "the VM ended");
	CHECK_STR(text_of(out), "half a li");
}

static void serve_garbage(struct server *v)
{
	start(v);
	bv_write_all(v->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	expect(v, BV_FRAME_CLOSE);
}

static void serve_wrong_stream(struct server *v)
{
	start(v);
	say(v, 3, "there is no pty");
	expect(v, BV_FRAME_CLOSE);
}

static void serve_flood(struct server *v)
{
	static char much[BV_FRAME_WINDOW];
	start(v);
	send_frame(v, BV_FRAME_DATA, 1, CHANNEL, much, sizeof(much));
	send_frame(v, BV_FRAME_DATA, 1, CHANNEL, much, 1);
	while (receive(v).type != BV_FRAME_CLOSE)
		;
}

static void serve_other_channel(struct server *v)
{
	start(v);
	send_frame(v, BV_FRAME_DATA, 1, CHANNEL + 1, "x", 1);
	expect(v, BV_FRAME_CLOSE);
}

static void serve_strange_start(struct server *v)
{
	expect(v, BV_FRAME_EXEC);
	send_frame(v, 200, 0, CHANNEL, "x", 1);
}

static void serve_short_exit(struct server *v)
{
	start(v);
	send_frame(v, BV_FRAME_EXIT, 0, CHANNEL, "x", 1);
	expect(v, BV_FRAME_CLOSE);
}

TEST(garbage)
{
	static const serve_fn cases[] = { serve_garbage,       serve_wrong_stream,  serve_flood,
					  serve_other_channel, serve_strange_start, serve_short_exit };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bv_error err = { 0 };
		int status, held[2];
		/* A pipe that nobody empties: the flood has no credit. */
		CHECK(pipe2(held, O_CLOEXEC) == 0);
		char fill[4096] = { 0 };
		fcntl(held[1], F_SETFL, O_NONBLOCK);
		while (write(held[1], fill, sizeof(fill)) > 0)
			;
		fcntl(held[1], F_SETFL, 0);
		int in[2];
		CHECK(pipe2(in, O_CLOEXEC) == 0);
		struct bv_engine_attach how = plain(in[0], held[1], held[1]);
		CHECK_INT(attach_to(cases[i], &how, &status, &err), -EPROTO);
		CHECK_INT(status, 1);
		CHECK_STR(err.what, "the VM's supervisor sent what the protocol does not have");
		bv_close_many((int[]){ held[0], held[1], in[0], in[1] }, 4);
	}
}

static void serve_yes(struct server *v)
{
	start(v);
	for (;;) {
		if (v->credit >= 1000) {
			static char y[1000];
			send_frame(v, BV_FRAME_DATA, 1, CHANNEL, y, sizeof(y));
			v->credit -= 1000;
			continue;
		}
		struct bv_frame f = receive(v);
		struct bv_cursor c = bv_cursor_of(&f);
		if (f.type == BV_FRAME_CLOSE)
			return;
		if (f.type == BV_FRAME_CREDIT)
			v->credit += bv_get_u32(&c);
	}
}

TEST(the_reader_is_gone)
{
	struct bv_error err = { 0 };
	int status, pipes[2];
	CHECK(pipe2(pipes, O_CLOEXEC) == 0);
	close(pipes[0]);
	autoclose int in = open("/dev/null", O_RDONLY);
	struct bv_engine_attach how = plain(in, pipes[1], pipes[1]);
	CHECK_INT(attach_to(serve_yes, &how, &status, &err), 0);
	CHECK_INT(status, 128 + SIGPIPE);
	CHECK_STR(err.what, "");
	sigset_t pending;
	sigpending(&pending);
	CHECK(!sigismember(&pending, SIGPIPE));
	close(pipes[1]);
}

TEST(nobody_listens)
{
	struct fake k;
	struct bv_error err = { 0 };
	int status = -1;
	autoclose int in = open("/dev/null", O_RDONLY);
	struct bv_engine_attach how = plain(in, 1, 2);
	fake_start(&k, serve_end);
	char path[80];
	snprintf(path, sizeof(path), "%s/vm", run_path);
	unlink(path);
	CHECK_INT(bv_vm_attach(&k.run, &how, &status, &err), -ENOENT);
	kill(k.pid, SIGKILL);
	CHECK_INT(fake_stop(&k), -1);
}

/* ---- signals ---- */

static void serve_signals(struct server *v)
{
	start(v);
	kill(getppid(), SIGUSR1);
	struct bv_frame f;
	do {
		f = receive(v);
	} while (f.type != BV_FRAME_SIGNAL);
	struct bv_cursor c = bv_cursor_of(&f);
	if (bv_get_u32(&c) != SIGUSR1)
		send_number(v, BV_FRAME_EXIT, 1);
	kill(getppid(), SIGTERM);
	f = expect(v, BV_FRAME_SIGNAL);
	c = bv_cursor_of(&f);
	send_number(v, BV_FRAME_EXIT, 128 + bv_get_u32(&c));
}

TEST(signals_are_passed_on)
{
	int status, in[2];
	sigset_t before, after;
	CHECK(pipe2(in, O_CLOEXEC) == 0);
	sigprocmask(SIG_SETMASK, NULL, &before);
	struct bv_engine_attach how = plain(in[0], STDERR_FILENO, STDERR_FILENO);
	/* Until the streams are copied such a signal would end this program. */
	sigset_t early;
	sigemptyset(&early);
	sigaddset(&early, SIGUSR1);
	sigprocmask(SIG_BLOCK, &early, NULL);
	CHECK_INT(attach_to(serve_signals, &how, &status, NULL), 0);
	CHECK_INT(status, 128 + SIGTERM);
	sigprocmask(SIG_UNBLOCK, &early, NULL);
	sigprocmask(SIG_SETMASK, NULL, &after);
	for (int sig = 1; sig <= 64; sig++)
		CHECK_INT(sigismember(&before, sig), sigismember(&after, sig));
	close(in[0]);
	close(in[1]);
}

static void serve_deaf(struct server *v)
{
	start(v);
	for (int i = 0; i < 3; i++) {
		kill(getppid(), SIGTERM);
		while (receive(v).type != BV_FRAME_SIGNAL)
			;
	}
	expect(v, BV_FRAME_CLOSE);
}

TEST(the_third_interrupt_ends_us)
{
	struct fake k;
	int status = -1, in[2];
	CHECK(pipe2(in, O_CLOEXEC) == 0);
	struct bv_engine_attach how = plain(in[0], STDERR_FILENO, STDERR_FILENO);
	/* Our handler is as good as the default: it is not ignored. */
	fake_start(&k, serve_deaf);
	signal(SIGTERM, SIG_DFL);
	sigset_t early, old;
	sigemptyset(&early);
	sigaddset(&early, SIGTERM);
	sigprocmask(SIG_BLOCK, &early, &old);
	CHECK_INT(bv_vm_attach(&k.run, &how, &status, NULL), 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	CHECK_INT(status, 128 + SIGTERM);
	CHECK_INT(fake_stop(&k), 0);
	close(in[0]);
	close(in[1]);
}

/* ---- with a pty ---- */

struct user {
	struct winsize resize; /* to be set after the first output; 0 rows: none */
	const char *types;     /* then typed */
	bool hangs_up;
	char seen[8192];
	size_t n;
};

/* What the relay of instance/ does, without a terminal. */
static int relay(void *data, int master, int pidfd)
{
	struct user *u = data;
	for (bool first = true, ended = false;;) {
		struct pollfd p[] = { { .fd = master, .events = POLLIN },
				      { .fd = ended ? -1 : pidfd, .events = POLLIN } };
		if (poll(p, 2, ended ? 0 : 10000) < 0 || (!p[0].revents && !p[1].revents))
			return 0;
		if (p[0].revents & POLLIN) {
			ssize_t n = read(master, u->seen + u->n, sizeof(u->seen) - 1 - u->n);
			u->n += n > 0 ? (size_t)n : 0;
			if (first && u->hangs_up)
				return 0;
			if (first && u->resize.ws_row)
				ioctl(master, TIOCSWINSZ, &u->resize);
			if (first && u->types)
				bv_write_all(master, u->types, strlen(u->types));
			first = false;
		} else if (p[0].revents) {
			return 0;
		}
		if (p[1].revents)
			ended = true;
	}
}

/* A pty that stands for the user's terminal, of 30 rows and 100 columns. */
static int terminal(int *slave)
{
	int master;
	struct winsize w = { .ws_row = 30, .ws_col = 100 };
	CHECK_INT(bv_pty_open(&master, slave, NULL), 0);
	ioctl(*slave, TIOCSWINSZ, &w);
	return master;
}

/* In, out and error are the terminal, where `u` sits. */
static struct bv_engine_attach at_terminal(int slave, struct user *u)
{
	struct bv_engine_attach how = plain(slave, slave, slave);
	how.pty_fds = 7;
	how.relay = relay;
	how.relay_data = u;
	return how;
}

static void serve_pty(struct server *v)
{
	start(v);
	if (v->exec.flags != (BV_EXEC_PTY | BV_EXEC_PTY_STDIN | BV_EXEC_PTY_STDOUT | BV_EXEC_PTY_STDERR) ||
	    v->exec.rows != 30 || v->exec.columns != 100)
		send_number(v, BV_FRAME_EXIT, 1);
	say(v, 1, "prompt\r\n# ");
	struct bv_frame f = expect(v, BV_FRAME_SIZE);
	struct bv_cursor c = bv_cursor_of(&f);
	uint16_t rows = bv_get_u16(&c), columns = bv_get_u16(&c);
	/* ^C and the like come as they are typed, and nothing is echoed here. */
	char typed[16] = "";
	while (strlen(typed) < 6) {
		f = expect(v, BV_FRAME_DATA);
		size_t len = strlen(typed);
		snprintf(typed + len, sizeof(typed) - len, "%.*s", (int)f.len, (const char *)f.data);
	}
	char answer[64];
	bool good = strcmp(typed, "\003\004l\r\n\032") == 0;
	snprintf(answer, sizeof(answer), "%u %u %s", rows, columns, good ? "good" : "bad");
	say(v, 1, answer);
	send_number(v, BV_FRAME_EXIT, 5);
}

TEST(pty)
{
	struct bv_error err = { 0 };
	int status, slave;
	struct user u = { .resize = { .ws_row = 40, .ws_col = 120 }, .types = "\003\004l\r\n\032" };
	autoclose int master = terminal(&slave);
	(void)master; /* held open */
	struct bv_engine_attach how = at_terminal(slave, &u);
	CHECK_INT(attach_to(serve_pty, &how, &status, &err), 0);
	CHECK_STR(err.what, "");
	CHECK_INT(status, 5);
	CHECK_STR(u.seen, "prompt\r\n# 40 120 good");
	close(slave);
}

static void serve_mixed(struct server *v)
{
	start(v);
	if (v->exec.flags != (BV_EXEC_PTY | BV_EXEC_PTY_STDERR))
		send_number(v, BV_FRAME_EXIT, 1);
	say(v, 1, "to the file\n");
	say(v, 3, "tty ");
	say(v, 2, "error ");
	struct bv_frame f;
	do {
		f = receive(v);
		if (f.type == BV_FRAME_DATA)
			send_frame(v, BV_FRAME_DATA, 1, CHANNEL, f.data, f.len);
	} while (f.type != BV_FRAME_EOF);
	send_number(v, BV_FRAME_EXIT, 0);
}

TEST(pty_beside_files)
{
	int status, slave;
	struct user u = { .types = NULL };
	autoclose int master = terminal(&slave), in = file_of("from a file\n", 12), out = file_of("", 0);
	(void)master; /* held open */
	struct bv_engine_attach how = plain(in, out, slave);
	how.pty_fds = 4;
	how.relay = relay;
	how.relay_data = &u;
	CHECK_INT(attach_to(serve_mixed, &how, &status, NULL), 0);
	CHECK_INT(status, 0);
	CHECK_STR(u.seen, "tty error ");
	CHECK_STR(text_of(out), "to the file\nfrom a file\n");
	close(slave);
}

static void serve_until_close(struct server *v)
{
	start(v);
	say(v, 1, "x");
	struct bv_frame f;
	int r;
	do {
		r = bv_control_receive(v->fd, &v->in, &f, bv_now_ms() + 10000);
	} while (r > 0 && f.type != BV_FRAME_CLOSE);
	_exit(r >= 0 ? 0 : 1);
}

TEST(the_terminal_hangs_up)
{
	struct bv_error err = { 0 };
	int status, slave;
	struct user u = { .hangs_up = true };
	autoclose int master = terminal(&slave);
	(void)master; /* held open */
	struct bv_engine_attach how = at_terminal(slave, &u);
	CHECK_INT(attach_to(serve_until_close, &how, &status, &err), 0);
	CHECK_INT(status, 128 + SIGHUP);
	close(slave);
}

static void serve_end_pty(struct server *v)
{
	start(v);
	say(v, 1, "x");
}

TEST(the_vm_ends_under_a_pty)
{
	struct bv_error err = { 0 };
	int status, slave;
	struct user u = { .types = NULL };
	autoclose int master = terminal(&slave);
	(void)master; /* held open */
	struct bv_engine_attach how = at_terminal(slave, &u);
	CHECK_INT(attach_to(serve_end_pty, &how, &status, &err), -ECONNRESET);
	CHECK_INT(status, 1);
	CHECK_STR(err.what, "the VM ended");
	CHECK_STR(u.seen, "x");
	close(slave);
}

/* More than the pty and the socket hold. */
static void serve_long_pty(struct server *v)
{
	start(v);
	for (int i = 0; i < 7000; i += 100) {
		static char line[100];
		memset(line, 'a' + i / 100 % 26, sizeof(line));
		send_frame(v, BV_FRAME_DATA, 1, CHANNEL, line, sizeof(line));
	}
	send_number(v, BV_FRAME_EXIT, 0);
}

TEST(pty_output_is_complete)
{
	for (int i = 0; i < 20; i++) {
		int status, slave;
		struct user u = { .types = NULL };
		autoclose int master = terminal(&slave);
		(void)master; /* held open */
		struct bv_engine_attach how = at_terminal(slave, &u);
		CHECK_INT(attach_to(serve_long_pty, &how, &status, NULL), 0);
		CHECK_INT(status, 0);
		CHECK_INT(u.n, 7000);
		close(slave);
	}
}

/* ---- questions ---- */

static void serve_question(struct server *v)
{
	struct bv_frame f = expect(v, BV_FRAME_ASK);
	struct bv_cursor c = bv_cursor_of(&f);
	autofree char *text = bv_get_string(&c, 100);
	if (f.channel != 0 || f.flags != BV_ASK_HMP || !text || strcmp(text, "info status") != 0)
		_exit(1);
	send_frame(v, BV_FRAME_ANSWER, 0, 0, "VM status: ", 11);
	send_frame(v, BV_FRAME_ANSWER, 1, 0, "running\r\n", 9);
}

TEST(a_question)
{
	struct fake k;
	struct bv_error err = { 0 };
	autofree char *answer = NULL;
	fake_start(&k, serve_question);
	CHECK_INT(bv_control_ask(&k.run, BV_ASK_HMP, "info status", &answer, &err), 0);
	CHECK_STR(answer, "VM status: running\r\n");
	CHECK_INT(fake_stop(&k), 0);
}

static void serve_no(struct server *v)
{
	expect(v, BV_FRAME_ASK);
	send_error(v, ENOTCONN, "QEMU is gone");
}

TEST(a_question_refused)
{
	struct fake k;
	struct bv_error err = { 0 };
	fake_start(&k, serve_no);
	CHECK_INT(bv_control_ask(&k.run, BV_ASK_PAUSE, NULL, NULL, &err), -ENOTCONN);
	CHECK_STR(err.what, "QEMU is gone");
	CHECK_INT(fake_stop(&k), 0);
}

TEST_MAIN()
