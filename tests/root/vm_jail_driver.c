/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For vm-jail.sh and tests/attack/vm_jail.sh: the walls around a VM's processes, without the rest of the engine. It
 * makes what the supervisor is, the first process of a pid, mount and ipc namespace, and in it
 *   vm_jail_driver enter [OPTION]... -- COMMAND...   the command in QEMU's place
 *   vm_jail_driver serve dir=DIR [OPTION]...         a file server, until stdin ends
 *   vm_jail_driver vm dir=DIR kernel=FILE initrd=FILE [OPTION]...   a VM whose console is stdout
 * Options:
 *   uid=N gid=N kvm program=FILE   struct bv_jail_qemu; QEMU's program by default
 *   kernel=FILE initrd=FILE        copied; the initrd goes through a memfd
 *   dir=DIR                        the staging's "root"; `9p`: QEMU serves it; `readonly`
 *   mount=DIR                      the staging's "mounts/0", `9p` as well
 *   server=FILE rust cache=MODE config=FILE   struct bv_share_how
 *   pid=FILE                       gets the supervisor's pid
 *   append=TEXT                    to the kernel's command line
 *   leak                           an fd of the host's root is open when the jail is entered; and outside there are
 *                                  an abstract socket "bv-vm-jail" that listens, a System V segment 0x6276 and, in
 *                                  the session's keyring, a key "bv-vm-key"
 * It exits as the command does; 100 when something of ours failed, which is told on stderr.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "engine/process.h"
#include "engine/vm/jail/jail.h"
#include "engine/vm/jail/share.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/num.h"
#include "util/str.h"

enum { FAILED = 100 };

struct options {
	struct bv_jail_qemu jail;
	const char *dir, *mount, *kernel, *initrd, *config, *pid, *append;
	bool nine_p, readonly, leak;
	struct bv_share_how how;
	char **command;
};

static void __attribute__((noreturn)) die(const struct bv_error *err)
{
	fprintf(stderr, "%s\n", err->what);
	if (*err->hint)
		fprintf(stderr, "hint: %s\n", err->hint);
	exit(FAILED);
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(FAILED);
}

static bool text_option(const char *arg, const char *name, const char **ret)
{
	const char *value = bv_after(arg, name);
	if (value)
		*ret = value;
	return value != NULL;
}

static bool flag_option(const char *arg, const char *name, bool *ret)
{
	if (!bv_streq(arg, name))
		return false;
	*ret = true;
	return true;
}

static void parse_option(struct options *o, const char *arg)
{
	const char *number;
	if (text_option(arg, "uid=", &number))
		must(bv_parse_u32(number, &o->jail.uid) == 0, arg);
	else if (text_option(arg, "gid=", &number))
		must(bv_parse_u32(number, &o->jail.gid) == 0, arg);
	else if (!flag_option(arg, "kvm", &o->jail.kvm) && !flag_option(arg, "9p", &o->nine_p) &&
		 !flag_option(arg, "readonly", &o->readonly) && !flag_option(arg, "leak", &o->leak) &&
		 !flag_option(arg, "rust", &o->how.is_rust) && !text_option(arg, "program=", &o->jail.program) &&
		 !text_option(arg, "dir=", &o->dir) && !text_option(arg, "mount=", &o->mount) &&
		 !text_option(arg, "kernel=", &o->kernel) && !text_option(arg, "initrd=", &o->initrd) &&
		 !text_option(arg, "server=", &o->how.program) && !text_option(arg, "cache=", &o->how.cache) &&
		 !text_option(arg, "config=", &o->config) && !text_option(arg, "pid=", &o->pid) &&
		 !text_option(arg, "append=", &o->append)) {
		fprintf(stderr, "unknown option %s\n", arg);
		exit(FAILED);
	}
}

/* ---- what the monitor would do ---- */

static int open_mount(const char *dir)
{
	int mnt = bv_mount_clone(AT_FDCWD, dir, true);
	errno = mnt < 0 ? -mnt : 0;
	must(mnt >= 0, dir);
	return mnt;
}

static int open_initrd(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	must(from >= 0, path);
	int fd = memfd_create("initrd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(fd >= 0, "memfd_create");
	ssize_t n;
	while ((n = sendfile(fd, from, NULL, 1 << 30)) > 0)
		;
	must(n == 0, path);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0, "seal");
	close(from);
	return fd;
}

/* What a program in the jail is not to reach. The segment's id, which is to be removed. */
static int make_bait(void)
{
	enum { KEY = 0x6276, JOIN_SESSION_KEYRING = 1, SESSION_KEYRING = -3 };
	static const char name[] = "bv-vm-jail";
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	memcpy(a.sun_path + 1, name, sizeof(name) - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + sizeof(name)) == 0 &&
		     listen(fd, 1) == 0, "bait: socket");
	int segment = shmget(KEY, 1, IPC_CREAT | 0666);
	must(segment >= 0, "bait: shmget");
	/* A kernel without keyrings has none to be reached. */
	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) >= 0)
		must(syscall(SYS_add_key, "user", "bv-vm-key", "x", 1, SESSION_KEYRING) >= 0, "bait: key");
	return segment;
}

/* ---- in the supervisor ---- */

static void stage(struct options *o, int dir, int mount)
{
	struct bv_error err = { 0 };
	if (bv_jail_stage(&err) < 0 || (dir >= 0 && bv_jail_put_mount("root", dir, o->readonly, &err) < 0) ||
	    (mount >= 0 && bv_jail_put_mount("mounts/0", mount, o->readonly, &err) < 0))
		die(&err);
	o->jail.root_9p = o->nine_p && dir >= 0;
	o->jail.mounts_9p = o->nine_p && mount >= 0;
}

static void share(struct options *o, struct bv_share *ret)
{
	struct bv_error err = { 0 };
	autofree char *directory = bv_asprintf("%s/root", bv_jail_staging());
	struct bv_config *cfg = bv_config_new();
	must(directory && cfg, "memory");
	if (o->config && bv_config_load(cfg, AT_FDCWD, o->config, &err) < 0)
		die(&err);
	o->how.config = cfg;
	o->how.directory = directory;
	if (bv_share_start(ret, &o->how, &err) < 0)
		die(&err);
	bv_config_free(cfg);
}

static pid_t run(struct options *o, const int *keep, size_t n_keep, char *const *argv)
{
	struct bv_error err = { 0 };
	char *const env[] = { (char *)"PATH=/usr/bin:/bin", NULL };
	if (bv_jail_make_qemu_root(&o->jail, &err) < 0)
		die(&err);
	if (o->leak)
		must(open("/", O_RDONLY) >= 0, "/");
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		if (bv_jail_enter_qemu(&o->jail, keep, n_keep, &err) == 0)
			bv_process_exec(argv, env, &err);
		die(&err);
	}
	return pid;
}

static int status_of(pid_t pid)
{
	int status;
	must(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What engine/vm/qemu makes of a spec is not the matter here: the smallest line that boots. */
static pid_t run_qemu(struct options *o, int connection)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	autofree char *append = bv_asprintf("console=ttyS0 quiet panic=-1 %s", o->append ? o->append : "");
	const char *const words[] = { o->jail.program, "-M", "q35,accel=tcg", "-cpu", "qemu64", "-smp", "2", "-m",
		"256", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", "/kernel", "-initrd", "/initrd", "-append", append, "-object",
		"memory-backend-memfd,id=mem,size=256M,share=on", "-numa", "node,memdev=mem", "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny" };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		must(bv_strv_add(&argv, words[i]) == 0, "memory");
	if (o->nine_p) {
		bv_strv_add(&argv, "-fsdev");
		bv_strv_add(&argv, "local,id=root,path=/share/root,security_model=passthrough,multidevs=remap");
		bv_strv_add(&argv, "-device");
		bv_strv_add(&argv, "virtio-9p-pci,fsdev=root,mount_tag=root");
	} else {
		bv_strv_add(&argv, "-chardev");
		bv_strv_addf(&argv, "socket,id=fs,fd=%d", connection);
		bv_strv_add(&argv, "-device");
		bv_strv_add(&argv, "vhost-user-fs-pci,chardev=fs,tag=root");
	}
	return run(o, &connection, 1, argv.v);
}

static int vm(struct options *o)
{
	struct bv_share server = { 0, -1, -1 };
	if (!o->nine_p)
		share(o, &server);
	pid_t qemu = run_qemu(o, server.connection);
	close_fd(&server.connection);
	int status = status_of(qemu);
	if (server.pid > 0)
		status_of(server.pid);
	char text[2000];
	ssize_t n = server.log >= 0 ? read(server.log, text, sizeof(text)) : 0;
	if (n > 0)
		fprintf(stderr, "the file server said: %.*s", (int)n, text);
	return status;
}

static int serve(struct options *o)
{
	struct bv_share server;
	share(o, &server);
	printf("serving\n");
	fflush(stdout);
	char byte;
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	close(server.connection);
	return status_of(server.pid);
}

static int supervise(const char *what, struct options *o, int dir, int mount)
{
	stage(o, dir, mount);
	if (bv_streq(what, "vm"))
		return vm(o);
	if (bv_streq(what, "serve"))
		return serve(o);
	return status_of(run(o, NULL, 0, o->command));
}

int main(int argc, char **argv)
{
	struct options o = { .jail = { .kernel = -1, .initrd = -1, .program = "/usr/bin/qemu-system-x86_64",
				       .uid = bv_jail_uid("/lxc", "test") },
			     .how = { .program = "/usr/lib/qemu/virtiofsd", .cache = "always" } };
	o.jail.gid = o.jail.uid;
	int i = 2;
	for (; i < argc && !bv_streq(argv[i], "--"); i++)
		parse_option(&o, argv[i]);
	o.command = argv + (i < argc ? i + 1 : argc);
	must(argc > 1 && (!bv_streq(argv[1], "enter") || *o.command), "usage");

	int dir = o.dir ? open_mount(o.dir) : -1, mount = o.mount ? open_mount(o.mount) : -1;
	o.jail.kernel = o.kernel ? open(o.kernel, O_RDONLY | O_CLOEXEC) : -1;
	o.jail.initrd = o.initrd ? open_initrd(o.initrd) : -1;
	must(!o.kernel || o.jail.kernel >= 0, o.kernel);
	int bait = o.leak ? make_bait() : -1;
	/* Back to where the segment is, to remove it. */
	int ipc = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
	must(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC) == 0, "unshare");
	pid_t pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0)
		exit(supervise(argv[1], &o, dir, mount));
	FILE *f = o.pid ? fopen(o.pid, "w") : NULL;
	must(!o.pid || f, o.pid);
	if (f) {
		fprintf(f, "%d\n", (int)pid);
		fclose(f);
	}
	int status = status_of(pid);
	if (bait >= 0)
		must(setns(ipc, CLONE_NEWIPC) == 0 && shmctl(bait, IPC_RMID, NULL) == 0, "bait: remove the segment");
	return status;
}
