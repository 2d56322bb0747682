/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * In the guest, for vm_jail.sh: what busybox has no applet for.
 *   vm_guest euid             the effective user
 *   vm_guest caps             the effective capabilities, in hex
 *   vm_guest setcap FILE      cap_net_raw+ep on the file
 *   vm_guest acl DIR          a default ACL that lets user 1234 read and write
 *   vm_guest getacl FILE      does user 1234 have an entry? 0 yes
 *   vm_guest files DIR N      make N files and hold all of them open; tells how many that were
 *   vm_guest handle DIR       open_by_handle_at of a handle that leads out of DIR (inode 2); 0: it did
 *   vm_guest as UID COMMAND...   the command as that user, with no other group
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int done(int r, const char *what)
{
	if (r >= 0)
		return 0;
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	return 1;
}

static int caps(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	if (syscall(SYS_capget, &header, data) < 0)
		return done(-1, "capget");
	printf("%llx\n", (unsigned long long)data[1].effective << 32 | data[0].effective);
	return 0;
}

static int set_cap(const char *path)
{
	struct vfs_cap_data cap = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
				    .data = { { .permitted = 1u << CAP_NET_RAW } } };
	return done(setxattr(path, "security.capability", &cap, sizeof(cap), 0), "setxattr security.capability");
}

/* The kernel's form, linux/posix_acl_xattr.h. */
struct acl {
	uint32_t version;
	struct {
		uint16_t tag, perm;
		uint32_t id;
	} e[5];
};

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, MASK = 16, OTHER = 32, WHO = 1234 };

static int set_acl(const char *path)
{
	struct acl acl = { 2,
			   { { USER_OBJ, 7, UINT32_MAX },
			     { USER, 6, WHO },
			     { GROUP_OBJ, 5, UINT32_MAX },
			     { MASK, 7, UINT32_MAX },
			     { OTHER, 0, UINT32_MAX } } };
	return done(setxattr(path, "system.posix_acl_default", &acl, sizeof(acl), 0), "setxattr default ACL");
}

static int get_acl(const char *path)
{
	struct acl acl;
	ssize_t n = getxattr(path, "system.posix_acl_access", &acl, sizeof(acl));
	if (n < 0)
		return done(-1, "getxattr ACL");
	for (size_t i = 0; i < (size_t)(n - 4) / 8; i++)
		if (acl.e[i].tag == USER && acl.e[i].id == WHO)
			return 0;
	return 1;
}

static int files(const char *dir, int wanted)
{
	struct rlimit l = { (rlim_t)wanted + 64, (rlim_t)wanted + 64 };
	if (setrlimit(RLIMIT_NOFILE, &l) < 0 || chdir(dir) < 0)
		return done(-1, dir);
	int n = 0, code = 0;
	for (; n < wanted && code == 0; n++) {
		char name[16];
		snprintf(name, sizeof(name), "f%d", n);
		if (open(name, O_CREAT | O_RDWR, 0600) < 0)
			code = errno;
	}
	printf("%d files open: %s\n", n - (code != 0), strerror(code));
	return 0;
}

static int handle(const char *dir)
{
	struct {
		struct file_handle h;
		uint32_t data[8];
	} f = { .h = { .handle_bytes = 8, .handle_type = 1 }, .data = { 2, 0 } };
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	int r = fd < 0 ? -1 : open_by_handle_at(fd, &f.h, O_RDONLY);
	return done(r, "open_by_handle_at");
}

static int as(uid_t uid, char **argv)
{
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return done(-1, "setresuid");
	execv(argv[0], argv);
	return done(-1, argv[0]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
	if (!strcmp(what, "euid"))
		return printf("%d\n", (int)geteuid()) < 0;
	if (!strcmp(what, "caps"))
		return caps();
	if (!strcmp(what, "setcap"))
		return set_cap(path);
	if (!strcmp(what, "acl"))
		return set_acl(path);
	if (!strcmp(what, "getacl"))
		return get_acl(path);
	if (!strcmp(what, "files") && argc == 4)
		return files(path, (int)strtol(argv[3], NULL, 10));
	if (!strcmp(what, "handle"))
		return handle(path);
	if (!strcmp(what, "as") && argc > 3)
		return as((uid_t)strtoul(path, NULL, 10), argv + 3);
	fprintf(stderr, "see the source\n");
	return 2;
}
