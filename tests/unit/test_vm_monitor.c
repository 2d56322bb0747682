/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/test.h"

#include <bivalve.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/vm/client/control.h"
#include "instance/rundir.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"

/* bv_instance_vm_monitor on a run directory whose supervisor is a child of the test, which knows a few questions. */

static const struct {
	enum bv_ask what;
	const char *question, *answer;
} known[] = {
	{ BV_ASK_QMP, "{\"execute\":\"query-status\"}", "{\"return\": {\"status\": \"running\", \"x\": [1, true]}}" },
	{ BV_ASK_QMP, "{\"execute\":\"balloon\",\"arguments\":{\"value\":1}}", "{\"return\": {}}" },
	{ BV_ASK_QMP, "{\"execute\":\"nosuch\"}",
	  "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"The command nosuch has not been found\"}}" },
	{ BV_ASK_QMP, "{\"execute\":\"migrate\"}",
	  "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'uri' is missing\"}}" },
	{ BV_ASK_QMP, "{\"execute\":\"odd\"}", "what?" },
	{ BV_ASK_HMP, "info status", "VM status: running\r\nsecond\tline\x1b[2J\r\n" },
	{ BV_ASK_HMP, "foo", "unknown command: 'foo'\r\n" },
	{ BV_ASK_HMP, "drive_del x", "Error: Device 'x' not found\r\n" },
	{ BV_ASK_HMP, "quiet", "" },
};

static void answer(int fd)
{
	struct bv_control_in in = { 0 };
	struct bv_frame f;
	struct bv_buf b = { 0 };
	if (bv_control_receive(fd, &in, &f, bv_now_ms() + 60000) <= 0 || f.type != BV_FRAME_ASK)
		return;
	struct bv_cursor c = bv_cursor_of(&f);
	autofree char *text = bv_get_string(&c, BV_FRAME_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (f.flags == known[i].what && strcmp(text, known[i].question) == 0)
			bv_frame_put(&b, BV_FRAME_ANSWER, 1, 0, known[i].answer, strlen(known[i].answer));
	if (b.len == 0)
		fprintf(stderr, "# nobody knows %s\n", text);
	bv_write_all(fd, b.p, b.len);
	bv_buf_clear(&b);
	bv_control_in_clear(&in);
}

static char top[64];
static struct bv_rundir rd;
static int lock = -1;
static pid_t supervisor;

static void set_up(const char *engine)
{
	struct bv_run_state st = { .state = BV_RUNNING, .monitor_pid = getpid() };
	struct bv_error err = { 0 };
	snprintf(top, sizeof(top), "/tmp/test_vm_monitor.XXXXXX");
	CHECK(mkdtemp(top) != NULL);
	setenv("BIVALVE_RUN", top, 1);
	CHECK_INT(bv_rundir_lock(&rd, top, "web", &lock, &err), 0);
	CHECK_STR(err.what, "");

	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/vm", rd.fd);
	CHECK(bind(s, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(s, 4) == 0);
	fflush(stdout);
	supervisor = fork();
	if (supervisor == 0)
		for (alarm(120);;) {
			int fd = accept(s, NULL, NULL);
			answer(fd);
			close(fd);
		}
	close(s);

	st.init_pid = supervisor;
	bv_process_start_time(supervisor, &st.init_start);
	snprintf(st.engine, sizeof(st.engine), "%s", engine);
	CHECK_INT(bv_rundir_write(&rd, "config", "", 0, NULL), 0);
	CHECK_INT(bv_run_state_write(&rd, &st, NULL), 0);
}

static void tear_down(void)
{
	kill(supervisor, SIGKILL);
	waitpid(supervisor, NULL, 0);
	bv_rundir_remove(&rd);
	bv_rundir_close(&rd);
	close_fd(&lock);
	bv_remove_tree(AT_FDCWD, top);
}

/* What the monitor of "web" says: the answer, or sentence and hint. */
static const char *ask(const char *command, bool human)
{
	static char text[1024];
	struct bv_instance *inst = NULL;
	struct bv_error err = { 0 };
	autofree char *got = NULL;
	CHECK_INT(bv_instance_open(&inst, top, "web", &err), 0);
	int r = bv_instance_vm_monitor(inst, command, human, &got, &err);
	CHECK((r == 0) == (got != NULL));
	CHECK_INT(r, -err.code);
	snprintf(text, sizeof(text), "%s%s%s%s", got ? got : "", err.what, err.hint[0] ? " | " : "", err.hint);
	bv_instance_free(inst);
	return text;
}

TEST(qmp)
{
	set_up("vm (qemu, tcg)");
	CHECK_STR(ask("query-status", false),
	          "{\n  \"return\": {\n    \"status\": \"running\",\n    \"x\": [\n      1,\n"
	          "      true\n    ]\n  }\n}\n");
	CHECK_STR(ask("{ \"execute\" : \"balloon\", \"arguments\": { \"value\": 1 } }", false),
	          "{\n  \"return\": {}\n}\n");
	CHECK_STR(ask("nosuch", false),
	          "QEMU refused nosuch: The command nosuch has not been found (CommandNotFound) | "
	          "lxc-vm-monitor web query-commands lists them");
	CHECK_STR(ask("migrate", false),
	          "QEMU refused migrate: Parameter 'uri' is missing (GenericError)");
	CHECK_STR(ask("odd", false), "QEMU's answer to odd is no JSON");
	CHECK(strstr(ask("info status", false), "--hmp") != NULL);
	CHECK(strstr(ask("{\"execute\": 1}", false), "a QMP command is one word") != NULL);
	CHECK(strstr(ask("{\"execute\": ", false), "the command is no JSON") != NULL);
	CHECK_STR(ask("qu\xff", false), "the command is no UTF-8 text");
	tear_down();
}

TEST(hmp)
{
	set_up("vm (qemu, kvm)");
	CHECK_STR(ask("info status", true), "VM status: running\nsecond\tline?[2J\n");
	CHECK_STR(ask("foo", true),
	          "QEMU refused foo: unknown command: 'foo' | lxc-vm-monitor --hmp web help lists the commands");
	CHECK_STR(ask("drive_del x", true), "QEMU refused drive_del x: Error: Device 'x' not found");
	CHECK_STR(ask("quiet", true), "");
	tear_down();
}

TEST(a_container_has_none)
{
	set_up("container");
	CHECK_STR(ask("query-status", false),
	          "web runs as a container, which has no machine monitor | "
	          "lxc-info -n web tells about it, lxc-attach -n web runs a command inside");
	tear_down();
}

TEST_MAIN()
