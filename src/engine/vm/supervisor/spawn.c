/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/vm/jail/jail.h"
#include "engine/vm/jail/share.h"
#include "engine/vm/supervisor/internal.h"
#include "engine/vm/vm.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/stepper.h"

/*
 * What the supervisor makes before its loop: the walls (jail.h), the file servers (share.h), QEMU. A table of steps
 * without undo: when one fails the supervisor ends, and its namespaces with all that is in them.
 */

struct spawn {
	struct supervisor *s;
	struct bv_run *run;
	struct bv_vm *vm;
	struct bv_jail_qemu jail;
	struct bv_strv argv;
};

/* ---- files ---- */

static int stage(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	struct bv_vm *vm = sp->vm;
	int r = bv_jail_stage(err);
	if (r == 0)
		r = bv_jail_put_mount(BV_JAIL_GUEST, vm->guest_dir, false, err);
	close_fd(&vm->guest_dir);
	if (r == 0 && vm->rootfs >= 0) {
		r = bv_jail_put_mount("root", vm->rootfs, vm->spec.root_readonly, err);
		close_fd(&vm->rootfs);
	}
	for (size_t i = 0; r == 0 && i < vm->n_binds; i++) {
		char name[32];
		snprintf(name, sizeof(name), "mounts/%zu", i);
		r = bv_jail_put_mount(name, vm->binds[i], false, err);
		close_fd(&vm->binds[i]);
	}
	return r;
}

/* `mapped`: the owners of the files are ids of the host that lxc.idmap maps. */
static int serve(struct spawn *sp, size_t i, const char *directory, bool readonly, bool mapped, int *connection,
		 struct bv_error *err)
{
	static const struct bv_config no_maps;
	const struct bv_vm *vm = sp->vm;
	struct bv_share share = { .connection = -1, .log = -1 };
	autofree char *path = bv_asprintf("%s/%s", bv_jail_staging(), directory);
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	const struct bv_share_how how = {
		.program = vm->host.virtiofsd,
		.is_rust = vm->host.virtiofsd_is_rust,
		.directory = path,
		.cache = vm->spec.cache,
		.readonly = readonly,
		.config = mapped ? sp->run->config : &no_maps,
	};
	int r = bv_share_start(&share, &how, err);
	if (r < 0)
		return r;
	sp->s->servers[i] = share.pid;
	sp->s->logs[1 + i] = (struct sv_log){ .fd = share.log, .name = "virtiofsd" };
	*connection = share.connection;
	return 0;
}

static int start_servers(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	struct bv_vm *vm = sp->vm;
	int r = 0;
	if (vm->spec.root == BV_VM_VIRTIOFS)
		r = serve(sp, 0, "root", vm->spec.root_readonly, vm->mapped, &vm->files.share_root, err);
	/* What is bound is shown as a container shows it: by the maps, if there are some. */
	if (r == 0 && vm->spec.shares && vm->spec.root != BV_VM_9P)
		r = serve(sp, 1, "mounts", false, true, &vm->files.share_mounts, err);
	return r;
}

/* ---- QEMU ---- */

static int build_jail(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	struct bv_vm *vm = sp->vm;
	bool serves = vm->spec.root == BV_VM_9P;
	uid_t uid = serves ? 0 : bv_jail_uid(sp->run->lxcpath, sp->run->name);
	sp->jail = (struct bv_jail_qemu){
		.uid = uid,
		.gid = uid,
		.kernel = vm->kernel.image,
		.initrd = vm->initrd,
		.kvm = vm->spec.accel == BV_VM_KVM,
		.root_9p = serves,
		.mounts_9p = serves && vm->spec.shares,
		.program = vm->qemu,
	};
	vm->files.kernel = "/kernel";
	vm->files.initrd = "/initrd";
	vm->files.root_9p = sp->jail.root_9p ? "/share/root" : NULL;
	vm->files.mounts_9p = sp->jail.mounts_9p ? "/share/mounts" : NULL;
	return bv_jail_make_qemu_root(&sp->jail, err);
}

/* Both ends: ours does not block, and neither of them is kept over an exec by itself. */
static int open_pair(int *ours, int *theirs, struct bv_error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return bv_fail_errno(err, "cannot make a socket pair");
	*ours = pair[0];
	*theirs = pair[1];
	return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? bv_fail_errno(err, "cannot set up a socket pair") : 0;
}

static int open_sockets(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	int qmp = -1;
	int r = open_pair(&qmp, &sp->vm->files.qmp, err);
	if (r == 0)
		r = open_pair(&sp->s->agent.fd, &sp->vm->files.agent, err);
	if (r == 0)
		r = sv_machine_open(sp->s, qmp, err);
	return r < 0 ? r : sv_control_listen(sp->s, err);
}

enum { KEEP_MAX = BV_VM_TTYS_MAX + 2 * BV_VM_NICS_MAX * BV_VM_QUEUES_MAX + 6 };

static size_t list_kept(const struct bv_qemu_files *f, int *keep)
{
	const int single[] = { f->console, f->qmp, f->agent, f->share_root, f->share_mounts, f->disk };
	size_t n = 0;
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		if (single[i] >= 0)
			keep[n++] = single[i];
	for (size_t i = 0; i < BV_VM_TTYS_MAX; i++)
		if (f->ttys[i] >= 0)
			keep[n++] = f->ttys[i];
	for (size_t i = 0; i < BV_VM_NICS_MAX; i++)
		for (size_t q = 0; q < BV_VM_QUEUES_MAX; q++) {
			if (f->taps[i][q] >= 0)
				keep[n++] = f->taps[i][q];
			if (f->vhosts[i][q] >= 0)
				keep[n++] = f->vhosts[i][q];
		}
	return n;
}

/* In the child. `failure` is closed by the exec, or has the reason why there was none. */
static void __attribute__((noreturn)) become_qemu(struct spawn *sp, int log, int failure)
{
	enum { NOT_EXECUTED = 127 };
	static char *env[] = { "PATH=/usr/bin:/bin", "HOME=/", "LC_ALL=C", NULL };
	struct bv_error err = { 0 };
	int keep[KEEP_MAX], null = open("/dev/null", O_RDWR | O_CLOEXEC), r = 0;
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		r = bv_fail_errno(&err, "cannot set up QEMU's standard files");
	if (r == 0)
		r = bv_jail_enter_qemu(&sp->jail, keep, list_kept(&sp->vm->files, keep), &err);
	if (r == 0) {
		execve(sp->argv.v[0], sp->argv.v, env);
		bv_fail_errno(&err, "cannot execute %s in its jail", sp->argv.v[0]);
	}
	if (write(failure, &err, sizeof(err)) < 0)
		_exit(NOT_EXECUTED);
	_exit(NOT_EXECUTED);
}

static int start_qemu(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	int r = bv_qemu_command(&sp->argv, sp->vm->qemu, &sp->vm->spec, &sp->vm->files, false, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sp->argv.n; i++)
		bv_trace("vm", "qemu: %s", sp->argv.v[i]);

	int log[2] = { -1, -1 }, failure[2] = { -1, -1 };
	if (pipe2(log, O_CLOEXEC) < 0 || pipe2(failure, O_CLOEXEC) < 0 || fcntl(log[0], F_SETFL, O_NONBLOCK) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	pid_t pid = fork();
	if (pid < 0)
		return bv_fail_errno(err, "cannot fork for QEMU");
	if (pid == 0)
		become_qemu(sp, log[1], failure[1]);
	close(log[1]);
	close(failure[1]);
	sp->s->qemu = pid;
	sp->s->logs[0] = (struct sv_log){ .fd = log[0], .name = "qemu" };
	r = bv_jail_wait_for_exec(failure[0], err);
	close(failure[0]);
	return r;
}

/* ---- afterwards ---- */

/* lxc-cgroup may change memory.high while the VM runs: the balloon follows. v1 has no such file. */
static void watch_high(struct supervisor *s, const struct bv_cgroup *cg)
{
	const struct bv_cgroup_hierarchy *h;
	size_t n = bv_cgroup_hierarchies(cg, &h);
	for (size_t i = 0; i < n; i++) {
		if (!h[i].v2 || !h[i].payload)
			continue;
		autofree char *path = bv_asprintf("%s/%s/memory.high", h[i].mountpoint, h[i].payload);
		autoclose int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
		autoclose int watch = file >= 0 ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
		if (watch < 0 || inotify_add_watch(watch, path, IN_MODIFY) < 0)
			continue;
		s->high = take_fd(&file);
		s->high_watch = take_fd(&watch);
		return;
	}
}

static int settle(void *ctx, struct bv_error *err)
{
	struct spawn *sp = ctx;
	const struct bv_vm_spec *spec = &sp->vm->spec;
	struct supervisor *s = sp->s;
	struct bv_qemu_files *f = &sp->vm->files;
	int *ends[] = { &f->qmp, &f->agent, &f->share_root, &f->share_mounts };
	(void)err;
	snprintf(s->arch, sizeof(s->arch), "%s", spec->arch);
	s->memory = spec->memory;
	s->balloon = spec->balloon;
	s->kvm = spec->accel == BV_VM_KVM;
	s->execute = sp->run->execute;
	s->jailed = true;
	s->terminals[0].fd = take_fd(&f->console);
	for (size_t i = 0; i < BV_VM_TTYS_MAX; i++)
		s->terminals[1 + i].fd = take_fd(&f->ttys[i]);
	if (spec->has_balloon)
		watch_high(s, sp->run->cgroup);
	/* These, and taps, kernel and initramfs are QEMU's now: with it they end. */
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		close_fd(ends[i]);
	bv_vm_clear(sp->vm);
	return 0;
}

int sv_set_up(struct supervisor *s, struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	static const struct bv_step steps[] = {
		{ "vm-stage", stage, NULL },
		{ "vm-servers", start_servers, NULL },
		{ "vm-jail", build_jail, NULL },
		{ "vm-sockets", open_sockets, NULL },
		{ "vm-qemu", start_qemu, NULL },
		{ "vm-settle", settle, NULL },
	};
	struct spawn sp = { .s = s, .run = run, .vm = vm };
	int r = bv_steps_run("vm", steps, ARRAY_SIZE(steps), &sp, err);
	bv_strv_clear(&sp.argv);
	return r;
}
