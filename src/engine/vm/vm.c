/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/vm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/hook.h"
#include "engine/vm/client/control.h"
#include "engine/vm/limits.h"
#include "engine/vm/pty.h"
#include "net/tap.h"
#include "rootfs/rootat.h"
#include "sys/fdpass.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/num.h"

/*
 * The VM engine, the monitor's side: what a VM is made of is decided in prepare.c; here are the terminals, the links
 * and the supervisor (supervisor.h), which is waited for until the guest's init runs.
 */

/* A guest that has not come to its init by then never will: by translation, on a busy machine, it takes ten seconds. */
enum { BOOT_TIMEOUT_MS = 120000 };

static struct bv_vm *vm_of(const struct bv_run *run)
{
	return run->engine_data;
}

/* ---- prepare ---- */

static void release(struct bv_run *run)
{
	struct bv_vm *vm = vm_of(run);
	if (vm) {
		bv_vm_clear(vm);
		free(vm);
	}
	run->engine_data = NULL;
	bv_run_close(run);
}

static int prepare(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_vm *vm = malloc(sizeof(*vm));
	if (!vm)
		return bv_fail(err, ENOMEM, "out of memory");
	bv_vm_init(vm);
	run->engine_data = vm;
	int r = bv_vm_prepare(run, vm, err);
	if (r < 0)
		release(run);
	else
		snprintf(run->description, sizeof(run->description), "%s (qemu, %s)", bv_engine_vm.name,
			 vm->spec.accel == BV_VM_KVM ? "kvm" : "tcg");
	return r;
}

static void undo_prepare(void *ctx)
{
	release(ctx);
}

/* ---- terminals ---- */

static int make_terminals(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_vm *vm = vm_of(run);
	int r = vm->spec.console ? bv_vm_pty_open(&run->console, &vm->files.console, err) : 0;
	for (; r == 0 && run->n_ttys < vm->spec.ttys; run->n_ttys++)
		r = bv_vm_pty_open(&run->ttys[run->n_ttys], &vm->files.ttys[run->n_ttys], err);
	return r;
}

/* ---- links ---- */

/* Of the spec, the card behind a link; NULL: it has none. */
static const struct bv_vm_nic *nic_of(const struct bv_vm *vm, const struct bv_net_link *l)
{
	for (size_t k = 0; k < vm->spec.n_nics; k++)
		if (vm->spec.nics[k].index == l->index)
			return &vm->spec.nics[k];
	return NULL;
}

static int open_vhosts(struct bv_vm *vm, struct bv_error *err)
{
	for (size_t k = 0; k < vm->spec.n_nics; k++) {
		for (unsigned int q = 0; vm->spec.nics[k].vhost && q < vm->spec.nics[k].queues; q++) {
			vm->files.vhosts[k][q] = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
			if (vm->files.vhosts[k][q] < 0)
				return bv_fail_errno(err, "cannot open /dev/vhost-net");
		}
	}
	return 0;
}

static int make_taps(struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	struct bv_net_tap taps[BV_VM_NICS_MAX] = { 0 };
	unsigned int queues[BV_VM_NICS_MAX] = { 0 };
	for (size_t i = 0; i < run->net.n; i++) {
		const struct bv_vm_nic *nic = nic_of(vm, &run->net.links[i]);
		if (!nic)
			continue;
		queues[i] = nic->queues;
		memcpy(taps[i].mac, nic->mac, sizeof(nic->mac));
	}
	int r = bv_net_attach_taps(&run->net, run->config, queues, taps, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < run->net.n; i++) {
		const struct bv_vm_nic *nic = nic_of(vm, &run->net.links[i]);
		for (unsigned int q = 0; nic && q < taps[i].queues && q < BV_VM_QUEUES_MAX; q++)
			vm->files.taps[nic - vm->spec.nics][q] = take_fd(&taps[i].fds[q]);
	}
	bv_net_taps_close(taps, run->net.n);
	return 0;
}

static int make_links(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_vm *vm = vm_of(run);
	if (run->net.n == 0)
		return 0;
	if (run->net.n > BV_VM_NICS_MAX)
		return bv_fail(err, E2BIG, "a VM has at most %d network links", BV_VM_NICS_MAX);
	int r = make_taps(run, vm, err);
	if (r < 0)
		return r;
	r = open_vhosts(vm, err);
	if (r == 0)
		r = bv_net_run_scripts(&run->net, run->config, run->name, true, err);
	/* A step that failed is not undone. */
	if (r < 0)
		bv_net_detach(&run->net, run->config, -1, NULL);
	return r;
}

static void undo_links(void *ctx)
{
	struct bv_run *run = ctx;
	if (run->net.n == 0)
		return;
	bv_net_run_scripts(&run->net, run->config, run->name, false, NULL);
	bv_net_detach(&run->net, run->config, -1, NULL);
}

/* ---- the supervisor ---- */

static void supervise(struct bv_run *run, int sync, bool born_inside)
{
	run->forked(run->monitor);
	close_fd(&run->console);
	for (unsigned int i = 0; i < run->n_ttys; i++)
		close_fd(&run->ttys[i]);
	bv_supervisor(run, vm_of(run), sync, born_inside);
}

static int spawn(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_vm *vm = vm_of(run);
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_fail_errno(err, "cannot make a socket pair");
	bool born_inside;
	pid_t pid = bv_engine_clone(run, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC, &born_inside);
	if (pid == 0) {
		close(pair[0]);
		supervise(run, pair[1], born_inside);
	}
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		errno = -pid;
		return bv_fail_errno(err, "cannot make the namespaces of the VM's processes");
	}
	run->pid = pid;
	/* What was handed down is the supervisor's alone: a tap must go with QEMU. */
	bv_vm_clear(vm);
	vm->sync = pair[0];
	return 0;
}

static void undo_spawn(void *ctx)
{
	struct bv_run *run = ctx;
	bv_pidfd_send_signal(run->pidfd, SIGKILL);
	waitpid(run->pid, NULL, __WALL);
	bv_cgroup_kill(run->cgroup, 2000, NULL);
	run->pid = 0;
}

static int host_hooks(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_hook_env env;
	bv_hook_env_init(&env, run->name, run->config_file, run->config);
	env.pid = run->pid;
	return bv_hooks_run(run->config, BV_HOOK_START_HOST, &env, err);
}

/* The guest's own kernel gave up, and only the console can tell why. */
static int fail_guest(const struct bv_run *run, const char *what, const char *last_line, struct bv_error *err)
{
	int r = bv_fail(err, ESHUTDOWN, "%s%s%s", what, *last_line ? "; the last line of its console: " : "",
			last_line);
	uint64_t memory = run->config->vm_memory;
	if (memory && memory < (uint64_t)BV_VM_BOOT_LEAST_MIB << 20)
		bv_hint(err, "it may be for want of memory: vm.memory = %dM is enough for Debian's kernels",
			BV_VM_BOOT_LEAST_MIB);
	else
		bv_hint(err, "lxc-start -n %s --vm -F -s vm.cmdline=loglevel=7 shows its console", run->name);
	return r;
}

/* What the supervisor says at last, or that it ended without a word. */
static int take_report(struct bv_run *run, const char *last_line, struct bv_error *err)
{
	struct bv_supervisor_report report;
	size_t n_fds = 1;
	ssize_t n = bv_fds_receive(vm_of(run)->sync, &report, sizeof(report), &run->vital, &n_fds);
	if (n != (ssize_t)sizeof(report)) {
		int r = bv_fail(err, ECHILD, "the VM's supervisor ended before the instance's init ran");
		bv_hint(err, "if nobody stopped it, see the kernel's log (dmesg): it may have been out of memory");
		return r;
	}
	if (report.err.code == 0)
		return 0;
	report.err.what[sizeof(report.err.what) - 1] = report.err.hint[sizeof(report.err.hint) - 1] = '\0';
	if (report.err.code == ESHUTDOWN)
		return fail_guest(run, report.err.what, last_line, err);
	int r = bv_fail(err, report.err.code, "%s", report.err.what);
	if (report.err.hint[0])
		bv_hint(err, "%s", report.err.hint);
	return r;
}

static int boot(void *ctx, struct bv_error *err)
{
	struct bv_run *run = ctx;
	struct bv_vm *vm = vm_of(run);
	char line[160];
	int r = run->serve(run->monitor, vm->sync, BOOT_TIMEOUT_MS, line, sizeof(line), err);
	if (r == 0) {
		bv_fail(err, ETIMEDOUT, "the guest did not come to its init in %d s%s%s", BOOT_TIMEOUT_MS / 1000,
			*line ? "; the last line of its console: " : "", line);
		return bv_hint(err, "lxc-start -n %s -F --vm shows its console", run->name);
	}
	if (r < 0)
		return r;
	r = take_report(run, line, err);
	if (r == 0)
		close_fd(&vm->sync);
	return r;
}

static const struct bv_step steps[] = {
	{ "prepare", prepare, undo_prepare },
	{ "terminals", make_terminals, NULL },
	{ "network", make_links, undo_links },
	{ "spawn", spawn, undo_spawn },
	{ "start-host", host_hooks, NULL },
	{ "boot", boot, NULL },
};

/* ---- a running one ---- */

static int halt(struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, SIGPWR, "the VM's supervisor", err);
}

static int reboot(struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, SIGINT, "the VM's supervisor", err);
}

static int kill_vm(struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, SIGKILL, "the VM's supervisor", err);
}

static int resized(const struct bv_run *run, struct bv_error *err)
{
	return bv_run_signal(run, SIGWINCH, "the VM's supervisor", err);
}

static enum bv_ending ending(int wait_status)
{
	if (WIFSIGNALED(wait_status))
		return WTERMSIG(wait_status) == SIGHUP ? BV_END_REBOOT : BV_END_FAILED;
	return WEXITSTATUS(wait_status) == BV_SUPERVISOR_FAILED ? BV_END_FAILED : BV_END_HALT;
}

static int pause_vm(const struct bv_run *run, bool pause, struct bv_error *err)
{
	return bv_control_ask(run, pause ? BV_ASK_PAUSE : BV_ASK_RESUME, "", NULL, err);
}

static int machine_command(const struct bv_run *run, const char *command, bool human, char **ret, struct bv_error *err)
{
	return bv_control_ask(run, human ? BV_ASK_HMP : BV_ASK_QMP, command, ret, err);
}

/* "eth0 10.0.3.5/24" */
static bool parse_address(char *line, struct bv_net_address *ret)
{
	char *text = strchr(line, ' '), *slash = text ? strchr(text, '/') : NULL;
	int prefix = 0;
	if (!slash)
		return false;
	*text++ = *slash = '\0';
	ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	snprintf(ret->interface, sizeof(ret->interface), "%s", line);
	if (bv_parse_int(slash + 1, &prefix) < 0 || prefix < 0 || prefix > 128)
		return false;
	ret->prefix = (uint8_t)prefix;
	return inet_pton(ret->family, text, ret->bytes) == 1;
}

/* The supervisor wrote them down as the guest told them; should that have taken it over, anything may be there. */
static int addresses(int run_dir, pid_t pid, int own_netns, struct bv_net_address **ret, size_t *n)
{
	enum { TEXT_MAX = 65536, MAX = 256 };
	(void)pid;
	(void)own_netns;
	*ret = NULL;
	*n = 0;
	autoclose int fd = bv_rootat_open_file(run_dir, "guest/addresses");
	if (fd < 0)
		return fd;
	autofree char *text = calloc(1, TEXT_MAX + 1);
	*ret = calloc(MAX, sizeof(**ret));
	if (!text || !*ret)
		return -ENOMEM;
	if (read(fd, text, TEXT_MAX) < 0)
		return -errno;
	char *rest = text, *line;
	while (*n < MAX && (line = strsep(&rest, "\n")))
		*n += parse_address(line, &(*ret)[*n]);
	return 0;
}

/* ---- before a start ---- */

static int check(const struct bv_run *run, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv ignored = { 0 };
	return bv_vm_check_keys(run->config, &ignored, err);
}

/* An option and its value on one line. */
static char *format_command(const struct bv_strv *argv)
{
	struct bv_buf b = { 0 };
	for (size_t i = 0; i < argv->n; i++) {
		bool is_value = i > 0 && argv->v[i][0] != '-' && argv->v[i - 1][0] == '-';
		bv_buf_printf(&b, "%s%s", i == 0 ? "" : is_value ? " " : "\n", argv->v[i]);
	}
	bv_buf_putc(&b, '\n');
	return bv_buf_take(&b);
}

static int command_line(struct bv_run *run, char **ret, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 }, lines = { 0 };
	struct bv_qemu_files none;
	struct bv_vm vm;
	bv_vm_init(&vm);
	bv_qemu_files_init(&none);
	none.kernel = "/kernel";
	none.initrd = "/initrd";
	none.root_9p = "/share/root";
	none.mounts_9p = "/share/mounts";
	int r = bv_vm_describe(run, &vm, err);
	if (r == 0)
		r = bv_vm_entries(run, &vm, &lines, err);
	if (r == 0)
		r = bv_qemu_command(&argv, vm.qemu, &vm.spec, &none, true, err);
	bv_vm_clear(&vm);
	if (r < 0)
		return r;
	*ret = format_command(&argv);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

const struct bv_engine bv_engine_vm = {
	.name = "vm",
	.exclusive = true,
	.own_kernel = true,
	.check = check,
	.steps = steps,
	.n_steps = ARRAY_SIZE(steps),
	.halt = halt,
	.reboot = reboot,
	.kill = kill_vm,
	.attach = bv_vm_attach,
	.pause = pause_vm,
	.resized = resized,
	.addresses = addresses,
	.command_line = command_line,
	.machine_command = machine_command,
	.ending = ending,
	.release = release,
};
