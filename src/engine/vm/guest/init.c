/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <time.h>
#include <unistd.h>

#include "engine/hook.h"
#include "engine/process.h"
#include "engine/vm/guest/agent.h"
#include "engine/vm/guest/guest.h"
#include "engine/vm/protocol.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/stepper.h"

enum { RETRY_MS = 10, WAIT_MS = 5000, DRAIN_MS = 2000 };

static void sleep_ms(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	nanosleep(&t, NULL);
}

int guest_wait(int (*there)(void *data), void *data)
{
	int64_t end = bv_now_ms() + WAIT_MS;
	for (;;) {
		int r = there(data);
		if (r != -EAGAIN)
			return r;
		if (bv_now_ms() >= end)
			return -ETIMEDOUT;
		sleep_ms(RETRY_MS);
	}
}

/* ---- telling ---- */

void guest_stage(const struct guest *g, const char *fmt, ...)
{
	char text[BV_STRING_MAX + 1];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_put_string(&b, text);
	if (!b.bad)
		bv_guest_send(g->port, BV_FRAME_STAGE, 0, 0, b.p, b.len);
}

/* What the library has to say: the host's log is where somebody reads it. */
static void log_to_host(void *data, enum bv_log_level level, const char *module, const char *message)
{
	guest_stage(data, "%s%s: %s", level >= BV_LOG_WARN ? "warning: " : "", module, message);
	if (level >= BV_LOG_WARN)
		dprintf(STDERR_FILENO, "bivalve: %s: %s\n", module, message);
}

void guest_tell_failure(const struct guest *g, const struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	dprintf(STDERR_FILENO, "bivalve: %s\n", err->what);
	if (*err->hint)
		dprintf(STDERR_FILENO, "bivalve: %s\n", err->hint);
	bv_put_error(&b, err);
	if (!b.bad)
		bv_guest_send(g->port, BV_FRAME_FAILED, 0, 0, b.p, b.len);
}

void guest_power_off(void)
{
	/* A serial line is slow, and what it has not sent is lost; a host that does not read must not keep us. */
	int left = 0;
	for (int ms = 0; ms < DRAIN_MS && ioctl(STDERR_FILENO, TIOCOUTQ, &left) == 0 && left > 0; ms += RETRY_MS)
		sleep_ms(RETRY_MS);
	sync();
	reboot(RB_POWER_OFF);
	/* A machine that cannot: at least it stands still. */
	reboot(RB_HALT_SYSTEM);
	for (;;)
		pause();
}

/* ---- steps ---- */

static int step_kernel(void *ctx, struct bv_error *err)
{
	return guest_mount_kernel(ctx, err);
}

static int step_modules(void *ctx, struct bv_error *err)
{
	return guest_load_modules(ctx, err);
}

static int step_port(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	int port = guest_wait(bv_guest_agent_open, NULL);
	if (port == -ETIMEDOUT) {
		bv_fail(err, ENODEV, "the guest's kernel shows no virtio port named %s", BV_GUEST_PORT);
		return bv_hint(err, "does it have virtio_console, and the bus that the machine has?");
	}
	if (port < 0)
		return bv_fail(err, -port, "the guest cannot open the agent's port %s: %s", BV_GUEST_PORT,
			       strerror(-port));
	g->port = port;
	bv_guest_send_hello(port);
	bv_log_set_sink(log_to_host, g, BV_LOG_INFO);
	return 0;
}

static int step_read(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	autofree char *text = NULL;
	guest_stage(g, "reading the configuration");
	int r = bv_read_file(AT_FDCWD, "/boot", 0, &text, NULL);
	if (r < 0)
		return bv_fail(err, -r, "the guest cannot read /boot of the initramfs: %s", strerror(-r));
	r = bv_boot_parse(&g->boot, text, err);
	if (r < 0)
		return r;
	g->cfg = bv_config_new();
	return g->cfg ? bv_config_load(g->cfg, AT_FDCWD, "/config", err) : bv_fail(err, ENOMEM, "out of memory");
}

static int step_root(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	guest_stage(g, "mounting the root (%s)", g->boot.root_type ? g->boot.root_type : "?");
	return guest_mount_root(g, err);
}

static int step_switch(void *ctx, struct bv_error *err)
{
	return guest_switch_root(ctx, err);
}

/* What will be executed. Who it is decides how the system is laid out for it. */
static int step_command(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	const struct bv_config *cfg = g->cfg;
	const char *key = "lxc.init.cmd", *line = cfg->init_cmd ? cfg->init_cmd : "/sbin/init";
	if (g->boot.execute) {
		key = "lxc.execute.cmd";
		line = cfg->execute_cmd;
	}
	int r = 0;
	if (g->boot.command.n > 0)
		r = bv_strv_copy(&g->argv, &g->boot.command);
	else if (line)
		r = bv_strv_split_quoted(&g->argv, line);
	if (r < 0 || g->argv.n == 0)
		return bv_fail(err, r ? -r : EINVAL, "%s = %s is not a command line", key, line ? line : "");
	g->systemd = !g->boot.execute && guest_is_systemd(g->argv.v[0]);
	return 0;
}

static int step_mounts(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	guest_stage(g, "mounting");
	int r = guest_mount_all(g, err);
	return r < 0 ? r : guest_hide_fstab_disks(g, err);
}

static int step_ttys(void *ctx, struct bv_error *err)
{
	return guest_make_ttys(ctx, err);
}

static int step_network(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	const char *host = g->cfg->uts_name;
	guest_stage(g, "configuring the network");
	if (host && sethostname(host, strlen(host)) < 0)
		return bv_fail_errno(err, "cannot set the host name to \"%s\" (lxc.uts.name)", host);
	return guest_configure_network(g, err);
}

static int step_sysctls(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	if (g->cfg->sysctl.n == 0)
		return 0;
	/* A procfs of our own: what is mounted on the instance's /proc may be anything. */
	autoclose int proc = bv_fs_mount("proc", "proc", NULL, 0, NULL, 0);
	if (proc == -ENOSYS)
		proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return bv_fail(err, -proc, "the guest cannot mount a proc file system for lxc.sysctl");
	return bv_process_sysctls(g->cfg, proc, err);
}

static int step_units(void *ctx, struct bv_error *err)
{
	return guest_write_units(ctx, err);
}

static int step_hooks(void *ctx, struct bv_error *err)
{
	struct guest *g = ctx;
	const struct bv_config *cfg = g->cfg;
	/* Paths as a container's hooks get them: of the host. */
	const struct bv_hook_env env = {
		.name = cfg->uts_name,
		.rootfs_path = cfg->rootfs_path,
		.rootfs_mount = cfg->rootfs_mount,
		.console_path = cfg->console_path,
		.console_log = cfg->console_logfile,
	};
	if (cfg->hooks[BV_HOOK_START].n > 0)
		guest_stage(g, "running lxc.hook.start");
	return bv_hooks_run(cfg, BV_HOOK_START, &env, err);
}

static int step_init(void *ctx, struct bv_error *err)
{
	return guest_become_init(ctx, err);
}

static const struct bv_step steps[] = {
	{ "guest kernel", step_kernel, NULL },
	{ "guest modules", step_modules, NULL },
	{ "guest port", step_port, NULL },
	{ "guest configuration", step_read, NULL },
	{ "guest root", step_root, NULL },
	{ "guest switch", step_switch, NULL },
	{ "guest command", step_command, NULL },
	{ "guest mounts", step_mounts, NULL },
	{ "guest ttys", step_ttys, NULL },
	{ "guest network", step_network, NULL },
	{ "guest sysctls", step_sysctls, NULL },
	{ "guest units", step_units, NULL },
	{ "guest hooks", step_hooks, NULL },
	{ "guest init", step_init, NULL },
};

int main(void)
{
	struct guest g = { .port = -1, .share = -1 };
	struct bv_error err = { 0 };
	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "bivalve-guest is the first process of a VM; lxc-start --vm puts it there\n");
		return 1;
	}
	bv_steps_run("guest", steps, ARRAY_SIZE(steps), &g, &err);
	guest_tell_failure(&g, &err);
	guest_power_off();
}
