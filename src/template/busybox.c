/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "template/template.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * The smallest system there is: the host's busybox and a link for each of its applets. Works without a network and
 * costs one exec. The rootfs is new and empty here, so plain *at calls below its fd are safe.
 */

static const struct {
	const char *path;
	mode_t mode;
} directories[] = {
	{ "bin", 0755 },      { "sbin", 0755 },    { "etc", 0755 },        { "etc/init.d", 0755 },
	{ "etc/udhcpc", 0755 },{ "dev", 0755 },    { "dev/pts", 0755 },    { "proc", 0555 },
	{ "sys", 0555 },      { "run", 0755 },     { "tmp", 01777 },       { "home", 0755 },
	{ "root", 0700 },     { "mnt", 0755 },     { "lib", 0755 },        { "lib64", 0755 },
	{ "usr", 0755 },      { "usr/bin", 0755 }, { "usr/sbin", 0755 },   { "usr/lib", 0755 },
	{ "usr/lib64", 0755 },{ "var", 0755 },     { "var/log", 0755 },    { "var/tmp", 01777 },
};

static const struct {
	const char *path, *text;
	mode_t mode;
} files[] = {
	{ "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0644 },
	/* No password: whoever reaches a console has the host's word for it, and nothing listens on the network. */
	{ "etc/shadow", "root::19000:0:99999:7:::\n", 0600 },
	{ "etc/group", "root:x:0:\ntty:x:5:\n", 0644 },
	{ "etc/fstab", "", 0644 },
	{ "etc/inittab",
	  "::sysinit:/etc/init.d/rcS\n"
	  "tty1::respawn:/bin/getty -L tty1 115200 vt100\n"
	  "console::askfirst:-/bin/sh\n",
	  0644 },
	{ "etc/init.d/rcS",
	  "#!/bin/sh\n"
	  "PATH=/bin:/sbin\n"
	  "syslogd\n"
	  "mount -a\n"
	  "ip link set lo up 2>/dev/null\n"
	  "# A fixed address in the configuration is there before us: then nobody is asked for one.\n"
	  "if [ -e /sys/class/net/eth0 ] && ! ip -4 addr show dev eth0 | grep -q inet; then\n"
	  "	ip link set eth0 up\n"
	  "	udhcpc -b -i eth0 -s /etc/udhcpc/default.script -x hostname:\"$(hostname)\" >/dev/null 2>&1 &\n"
	  "fi\n",
	  0755 },
	{ "etc/udhcpc/default.script",
	  "#!/bin/sh\n"
	  "PATH=/bin:/sbin\n"
	  "case $1 in\n"
	  "deconfig)\n"
	  "	ip addr flush dev \"$interface\"\n"
	  "	;;\n"
	  "bound | renew)\n"
	  "	ip addr flush dev \"$interface\"\n"
	  "	ip addr add \"$ip/${mask:-24}\" ${broadcast:+broadcast \"$broadcast\"} dev \"$interface\"\n"
	  "	for gateway in $router; do\n"
	  "		ip route add default via \"$gateway\" dev \"$interface\" && break\n"
	  "	done\n"
	  "	{\n"
	  "		[ -z \"$domain\" ] || echo \"search $domain\"\n"
	  "		for server in $dns; do\n"
	  "			echo \"nameserver $server\"\n"
	  "		done\n"
	  "	} >/etc/resolv.conf\n"
	  "	;;\n"
	  "esac\n",
	  0755 },
};

static const char config_text[] =
	"lxc.signal.halt = SIGUSR1\n"
	"lxc.signal.reboot = SIGTERM\n"
	"lxc.autodev = 1\n"
	"lxc.tty.max = 5\n"
	"lxc.pty.max = 1024\n"
	"lxc.cap.drop = sys_module mac_admin mac_override sys_time\n"
	"lxc.mount.auto = cgroup:mixed proc:mixed sys:ro\n"
	"lxc.mount.entry = shm dev/shm tmpfs defaults,create=dir 0 0\n"
	"lxc.mount.entry = mqueue dev/mqueue mqueue defaults,optional,create=dir 0 0\n"
	"lxc.mount.entry = /sys/kernel/security sys/kernel/security none ro,bind,optional 0 0\n";

/* A busybox with shared libraries uses the host's. */
static const char *const library_dirs[] = { "/lib", "/usr/lib", "/lib64", "/usr/lib64" };

static int check(char *const *args, struct bv_error *err)
{
	for (size_t i = 0; args && args[i]; i++) {
		if (bv_after(args[i], "--busybox-path="))
			continue;
		if (!bv_streq(args[i], "--busybox-path")) {
			bv_fail(err, EINVAL, "the busybox template does not know \"%s\"", args[i]);
			return bv_hint(err, "its only option is --busybox-path=PATH");
		}
		if (!args[++i])
			return bv_fail(err, EINVAL, "--busybox-path needs a path");
	}
	return 0;
}

static const char *given_path(char *const *args)
{
	const char *path = NULL;
	for (size_t i = 0; args && args[i]; i++) {
		const char *value = bv_after(args[i], "--busybox-path=");
		path = value ? value : args[++i];
	}
	return path;
}

/* Debian's busybox-static and busybox have the same place; a static one under another name is taken first. */
static int open_busybox(char *const *args, const char **path, struct bv_error *err)
{
	static const char *const places[] = { "/bin/busybox.static", "/bin/busybox-static", "/usr/bin/busybox",
					      "/bin/busybox", "/sbin/busybox", "/usr/sbin/busybox",
					      "/usr/local/bin/busybox" };
	*path = given_path(args);
	if (*path) {
		int fd = open(*path, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? bv_fail_errno(err, "cannot read %s", *path) : fd;
	}
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int fd = open(places[i], O_RDONLY | O_CLOEXEC);
		*path = places[i];
		if (fd >= 0)
			return fd;
	}
	bv_fail(err, ENOENT, "this host has no busybox");
	return bv_hint(err, "apt install busybox-static, or pass -- --busybox-path PATH");
}

/* 1: it names a program interpreter, so it uses shared libraries. */
static int is_dynamic(int fd, const char *path, struct bv_error *err)
{
	union {
		unsigned char ident[EI_NIDENT];
		Elf32_Ehdr e32;
		Elf64_Ehdr e64;
	} h;
	memset(&h, 0, sizeof(h));
	if (pread(fd, &h, sizeof(h), 0) < (ssize_t)sizeof(h.e32) || memcmp(h.ident, ELFMAG, SELFMAG) != 0)
		return bv_fail(err, ENOEXEC, "%s is not a program", path);
	bool wide = h.ident[EI_CLASS] == ELFCLASS64;
	uint64_t at = wide ? h.e64.e_phoff : h.e32.e_phoff;
	uint64_t size = wide ? h.e64.e_phentsize : h.e32.e_phentsize, n = wide ? h.e64.e_phnum : h.e32.e_phnum;
	for (uint64_t i = 0; i < n; i++) {
		Elf32_Word type; /* the first field of both forms */
		if (pread(fd, &type, sizeof(type), (off_t)(at + i * size)) != (ssize_t)sizeof(type))
			break;
		if (type == PT_INTERP)
			return 1;
	}
	return 0;
}

static int copy_busybox(int from, int root, struct bv_error *err)
{
	autoclose int to = openat(root, "bin/busybox", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (to < 0)
		return bv_fail_errno(err, "cannot make /bin/busybox in the rootfs");
	if (lseek(from, 0, SEEK_SET) < 0)
		return bv_fail_errno(err, "cannot read busybox");
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, (size_t)1 << 30, 0);
		if (n == 0)
			break;
		if (n > 0)
			continue;
		/* EXDEV before Linux 5.3, EINVAL and ENOSYS by file system. */
		char chunk[65536];
		n = read(from, chunk, sizeof(chunk));
		if (n < 0)
			return bv_fail_errno(err, "cannot read busybox");
		if (n == 0)
			break;
		int r = bv_write_all(to, chunk, (size_t)n);
		if (r < 0)
			return bv_fail(err, r, "cannot write /bin/busybox in the rootfs: %s", strerror(-r));
	}
	if (fchmod(to, 0755) < 0)
		return bv_fail_errno(err, "cannot set the mode of /bin/busybox in the rootfs");
	return 0;
}

/* What "busybox --list" prints. */
static int list_applets(const char *path, char **ret, struct bv_error *err)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	autoclose int in = pair[0], out = pair[1];
	posix_spawn_file_actions_t actions;
	if (posix_spawn_file_actions_init(&actions) != 0)
		return bv_fail(err, ENOMEM, "out of memory");
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	char *const argv[] = { (char *)"busybox", (char *)"--list", NULL };
	char *const env[] = { NULL };
	pid_t pid;
	int r = posix_spawn(&pid, path, &actions, NULL, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	close_fd(&out);
	if (r != 0)
		return bv_fail(err, r, "cannot run %s --list: %s", path, strerror(r));

	autoclean(bv_buf_clear) struct bv_buf text = { 0 };
	char chunk[4096];
	ssize_t n;
	while ((n = read(in, chunk, sizeof(chunk))) > 0 && text.len < (1 << 16))
		bv_buf_add(&text, chunk, (size_t)n);
	close_fd(&in);
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || text.len == 0)
		return bv_fail(err, EIO, "%s --list did not print its applets", path);
	*ret = bv_buf_take(&text);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int link_applets(char *list, int root, struct bv_error *err)
{
	autoclose int bin = openat(root, "bin", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (bin < 0)
		return bv_fail_errno(err, "cannot open /bin of the rootfs");
	char *save = NULL;
	for (char *name = strtok_r(list, "\n", &save); name; name = strtok_r(NULL, "\n", &save)) {
		if (strchr(name, '/') || bv_streq(name, "busybox"))
			continue;
		if (symlinkat("busybox", bin, name) < 0 && errno != EEXIST)
			return bv_fail_errno(err, "cannot make /bin/%s in the rootfs", name);
	}
	/* Hard: init is started before anything could be mounted over /bin. */
	if (linkat(bin, "busybox", root, "sbin/init", 0) < 0)
		return bv_fail_errno(err, "cannot make /sbin/init in the rootfs");
	return 0;
}

static int make_tree(const struct bv_build *b, struct bv_error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *path = directories[i].path;
		if ((mkdirat(b->rootfs, path, 0755) < 0 && errno != EEXIST) ||
		    (directories[i].mode != 0755 && fchmodat(b->rootfs, path, directories[i].mode, 0) < 0))
			return bv_fail_errno(err, "cannot make /%s in the rootfs", path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		const char *path = files[i].path, *text = files[i].text;
		autoclose int fd = openat(b->rootfs, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, files[i].mode);
		if (fd < 0)
			return bv_fail_errno(err, "cannot make /%s in the rootfs", path);
		int r = bv_write_all(fd, text, strlen(text));
		if (r < 0)
			return bv_fail(err, r, "cannot write /%s in the rootfs: %s", path, strerror(-r));
	}
	autofree char *hostname = bv_asprintf("%s\n", b->name);
	autofree char *hosts = bv_asprintf("127.0.0.1 localhost %s\n", b->name);
	if (!hostname || !hosts)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_replace_file(b->rootfs, "etc/hostname", hostname, strlen(hostname), 0644, false);
	if (r == 0)
		r = bv_replace_file(b->rootfs, "etc/hosts", hosts, strlen(hosts), 0644, false);
	return r < 0 ? bv_fail(err, r, "cannot write /etc/hosts in the rootfs: %s", strerror(-r)) : 0;
}

static int append_config(const struct bv_build *b, bool dynamic, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf text = { 0 };
	bv_buf_puts(&text, config_text);
	for (size_t i = 0; dynamic && i < ARRAY_SIZE(library_dirs); i++)
		if (access(library_dirs[i], F_OK) == 0)
			bv_buf_printf(&text, "lxc.mount.entry = %s %s none ro,bind 0 0\n", library_dirs[i],
				      library_dirs[i] + 1);
	if (text.bad)
		return bv_fail(err, ENOMEM, "out of memory");
	return bv_build_append_config(b, text.p, err);
}

static int run(const struct bv_build *b, struct bv_error *err)
{
	const char *path;
	autoclose int busybox = open_busybox(b->args, &path, err);
	if (busybox < 0)
		return busybox;
	int dynamic = is_dynamic(busybox, path, err);
	if (dynamic < 0)
		return dynamic;
	autofree char *applets = NULL;
	mode_t mask = umask(022);
	int r = list_applets(path, &applets, err);
	if (r == 0)
		r = make_tree(b, err);
	if (r == 0)
		r = copy_busybox(busybox, b->rootfs, err);
	if (r == 0)
		r = link_applets(applets, b->rootfs, err);
	umask(mask);
	if (r == 0)
		r = append_config(b, dynamic > 0, err);
	if (r == 0)
		bv_progress_say(&b->progress, BV_PROGRESS_KEEP, "Log in as root on a console; there is no password");
	return r;
}

const struct bv_builtin bv_builtin_busybox = {
	.name = "busybox",
	.help = "busybox: this host's busybox and nothing else\n"
		"\n"
		"Options:\n"
		"      --busybox-path=PATH   take this one\n",
	.check = check,
	.run = run,
};
