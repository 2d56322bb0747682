/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In QEMU's place in its jail, for vm_jail.sh: a QEMU that the guest has taken over, before its own seccomp filter.
 * Tries what would be a way out, one line each: "held WHAT" or "OPEN WHAT".
 * It begins with what harms nobody; where that finds something open it goes no further.
 *   vm_escape SECRET ABSTRACT KEY   a file of the host, an abstract socket and a key of the session that are there
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum { SHM_KEY = 0x6276 }; /* vm_jail_driver makes a segment with this key */

static bool found;

static void tried(const char *what, bool open)
{
	printf("%s %s\n", open ? "OPEN" : "held", what);
	found |= open;
}

static void reading(const char *secret)
{
	static const char *const hidden[] = { "/root", "/home", "/var/lib", "/run", "/sys", "/etc/passwd",
					      "/etc/shadow", "/proc/1/root/etc/passwd", "/proc/sys", "/proc/kcore",
					      "/dev/mem", "/dev/vda", "/dev/net/tun", "/dev/pts", "/dev/ptmx",
					      "/dev/shm", "/dev/tty", "/top", "/mnt", "/proc/1/environ" };
	for (size_t i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
		tried(hidden[i], open(hidden[i], O_RDONLY) >= 0);
	char up[4096] = "";
	for (int i = 0; i < 30; i++)
		strcat(up, "../");
	strncat(up, secret + 1, sizeof(up) - strlen(up) - 1);
	tried("the secret", open(secret, O_RDONLY) >= 0);
	tried("the secret by ..", open(up, O_RDONLY) >= 0);
}

static void writing(void)
{
	tried("a new file in /", open("/new", O_CREAT | O_WRONLY, 0600) >= 0);
	tried("a new file in /dev", open("/dev/new", O_CREAT | O_WRONLY, 0600) >= 0);
	tried("a new file in /etc", open("/etc/new", O_CREAT | O_WRONLY, 0600) >= 0);
	tried("a new file in /usr", open("/usr/new", O_CREAT | O_WRONLY, 0600) >= 0);
	tried("a file of /usr to write", open("/usr/bin/env", O_WRONLY) >= 0);
	tried("a nameless file in /", open("/", O_TMPFILE | O_WRONLY, 0600) >= 0);
	tried("the kernel to write", open("/kernel", O_WRONLY) >= 0);
	tried("the initrd is gone", unlink("/initrd") == 0);
	struct {
		struct file_handle h;
		uint32_t data[8];
	} f = { .h = { .handle_bytes = 8, .handle_type = 1 }, .data = { 2, 0 } };
	int usr = open("/usr", O_RDONLY | O_DIRECTORY);
	tried("open_by_handle_at", usr < 0 || open_by_handle_at(usr, &f.h, O_RDONLY) >= 0 || errno != EPERM);
}

static void mounts(void)
{
	tried("a device node in /", mknod("/mem", S_IFCHR | 0600, makedev(1, 1)) == 0);
	tried("a device node in /dev", mknod("/dev/mem", S_IFCHR | 0600, makedev(1, 1)) == 0);
	tried("a mount", mount("none", "/usr", "tmpfs", 0, NULL) == 0);
	tried("a bind mount", mount("/usr", "/etc", NULL, MS_BIND, NULL) == 0);
	tried("a remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	tried("a remount of /usr", mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
	tried("umount /usr", umount2("/usr", MNT_DETACH) == 0);
	tried("umount /", umount2("/", MNT_DETACH) == 0);
	tried("chroot", chroot("/usr") == 0);
	tried("fsopen", syscall(SYS_fsopen, "tmpfs", 0) >= 0);
	tried("open_tree clone", syscall(SYS_open_tree, AT_FDCWD, "/usr", 1) >= 0);
	tried("a user namespace", unshare(CLONE_NEWUSER) == 0);
	tried("a mount namespace", unshare(CLONE_NEWNS) == 0);
	tried("a network namespace", unshare(CLONE_NEWNET) == 0);
	tried("a pid namespace", unshare(CLONE_NEWPID) == 0);
}

static void rights(void)
{
	bool root = geteuid() == 0;
	if (!root) {
		tried("uid 0", setresuid(0, 0, 0) == 0 || seteuid(0) == 0);
		tried("gid 0", setresgid(0, 0, 0) == 0);
		tried("groups", setgroups(0, NULL) == 0);
		tried("a signal to the supervisor", kill(1, 0) == 0);
	}
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct all[_LINUX_CAPABILITY_U32S_3] = {
		{ .effective = UINT32_MAX, .permitted = UINT32_MAX }, { .effective = 0x1ff, .permitted = 0x1ff }
	};
	tried("all capabilities", syscall(SYS_capset, &header, all) == 0);
	tried("a higher limit", setrlimit(RLIMIT_CORE, &(struct rlimit){ 1 << 20, 1 << 20 }) == 0);
	tried("a higher priority", setpriority(PRIO_PROCESS, 0, -5) == 0);
	tried("the host's name", sethostname("x", 1) == 0);
	tried("the kernel's log", syscall(SYS_syslog, 3, (char[64]){ 0 }, 64) >= 0);
	tried("ptrace of the supervisor", ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0);
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };
	tried("memory of the supervisor", process_vm_readv(1, &here, 1, &there, 1, 0) >= 0 || errno != EPERM);
	kill(1, SIGKILL);
	int ended = 0;
	for (int pid = 2; pid < 30; pid++)
		ended += pid != getpid() && kill(pid, 0) == 0;
	tried("signals to others", ended > 0);
}

static void sockets(const char *abstract)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%s", abstract);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract));
	tried("an abstract socket", connect(fd, (struct sockaddr *)&a, len) == 0);
	tried("a raw socket", socket(AF_INET, SOCK_RAW, 1) >= 0);
	tried("a packet socket", socket(AF_PACKET, SOCK_RAW, 0) >= 0);
}

static void others(const char *key)
{
	tried("System V shared memory", shmget(SHM_KEY, 0, 0) >= 0);
	tried("the session's keys", syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", key, 0) >= 0);
	for (int fd = 3; fd < 1024; fd++)
		if (fcntl(fd, F_GETFD) >= 0) {
			tried("a file of the supervisor", true);
			return;
		}
	tried("a file of the supervisor", false);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	others(argv[3]); /* first: the rest opens files */
	reading(argv[1]);
	sockets(argv[2]);
	if (!found) { /* else this may be no jail at all, and what comes would do harm */
		writing();
		mounts();
		rights();
	}
	printf("done\n");
	return 0;
}
