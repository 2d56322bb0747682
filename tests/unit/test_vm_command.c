/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/qemu/command.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * QEMU's command lines, compared with tests/unit/golden/qemu/NAME.txt: the form for people, one argument a line. With
 * BV_UPDATE=1 the files are written: look at the difference before it is kept.
 */

/* What a host with everything has, and one that can only translate. */
static const struct bv_vm_host kvm_host = {
	.kvm = true,
	.kvm_reason = "/dev/kvm takes 0.4 ns an instruction",
	.cpus = 4,
	.tsc_khz = 2596128,
	.vhost_net = true,
	.virtiofsd = "/usr/libexec/virtiofsd",
	.virtiofsd_is_rust = true,
};
static const struct bv_vm_host tcg_host = {
	.kvm_reason = "/dev/kvm is slow here: 482 ns an instruction",
	.cpus = 4,
	.tsc_khz = 2596128,
	.virtiofsd = "/usr/lib/qemu/virtiofsd",
};
static const struct bv_vm_rootfs x86 = { .arch = "x86_64" }, arm = { .arch = "aarch64" };
static const struct bv_vm_rootfs disk = { .arch = "x86_64", .is_image = true, .fs = "ext4" };

#define VETH0 "lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.hwaddr = 10:66:6a:00:00:01\n"

static const struct row {
	const char *name, *config;
	const struct bv_vm_host *host;
	const struct bv_vm_rootfs *rootfs;
} rows[] = {
	{ "default", VETH0, &tcg_host, &x86 },
	{ "no-network", "", &tcg_host, &x86 },
	{ "veth-twice",
	  VETH0 "lxc.net.4.type = veth\nlxc.net.4.hwaddr = 10:66:6a:00:00:02\nlxc.net.4.mtu = 1400\n", &tcg_host,
	  &x86 },
	{ "macvlan",
	  "lxc.net.0.type = macvlan\nlxc.net.0.link = eth0\nlxc.net.0.hwaddr = 10:66:6a:00:00:03\n"
	  "lxc.net.1.type = empty\n",
	  &tcg_host, &x86 },
	{ "9p", "vm.root = 9p\nlxc.rootfs.options = ro\n", &tcg_host, &x86 },
	{ "blk", "vm.memory = 1G\n", &tcg_host, &disk },
	{ "blk-readonly", "lxc.rootfs.options = ro\n", &tcg_host, &disk },
	{ "blk-shares", "lxc.mount.entry = /srv srv none bind 0 0\n", &tcg_host, &disk },
	{ "microvm-kvm", VETH0, &kvm_host, &x86 },
	{ "microvm-tcg", "vm.machine = microvm\n" VETH0, &tcg_host, &x86 },
	{ "pc", "vm.machine = pc\n", &tcg_host, &x86 },
	{ "q35-kvm", "vm.machine = q35\nvm.cpus = 2\n", &kvm_host, &x86 },
	{ "aarch64", "vm.cpus = 4\nlxc.tty.max = 1\n" VETH0, &tcg_host, &arm },
	{ "ttys", "lxc.tty.max = 4\n", &tcg_host, &x86 },
	{ "shares", "lxc.mount.entry = /srv srv none bind 0 0\n", &tcg_host, &x86 },
	{ "shares-9p", "vm.root = 9p\nlxc.mount.entry = /srv srv none bind 0 0\n", &tcg_host, &x86 },
	{ "memory-high", "vm.memory = 1G\nlxc.cgroup2.memory.high = 512M\n", &tcg_host, &x86 },
	{ "memory-max", "lxc.cgroup2.memory.max = 512M\n", &tcg_host, &x86 },
	{ "no-balloon", "vm.balloon = 0\n", &tcg_host, &x86 },
	{ "multiqueue", "vm.cpus = 3\nvm.machine = q35\n" VETH0, &kvm_host, &x86 },
	{ "multiqueue-microvm", "vm.cpus = 2\n" VETH0, &kvm_host, &x86 },
	{ "cmdline", "vm.cmdline = debug systemd.unit=rescue.target\n", &tcg_host, &x86 },
	{ "no-console", "lxc.console.path = none\n", &tcg_host, &x86 },
	{ "other-machine", "vm.machine = pc-q35-7.2\n", &tcg_host, &x86 },
};

/* ---- making a line ---- */

struct made {
	struct bv_config *cfg;
	struct bv_vm_spec spec;
	struct bv_strv argv;
	struct bv_error err;
};

static void made_clear(struct made *m)
{
	bv_strv_clear(&m->argv);
	bv_vm_spec_clear(&m->spec);
	bv_config_free(m->cfg);
}

static int make(struct made *m, const struct row *row, const char *name, const struct bv_qemu_files *files, bool print)
{
	const char *program = row->rootfs == &arm ? "/usr/bin/qemu-system-aarch64" : "/usr/bin/qemu-system-x86_64";
	m->cfg = bv_config_new();
	int r = bv_config_parse(m->cfg, row->config, strlen(row->config), "test", &m->err);
	if (r == 0)
		r = bv_vm_spec_make(&m->spec, name, m->cfg, row->host, row->rootfs, &m->err);
	/* As bv_vm_entries would find: all that the rows have are binds. */
	m->spec.shares = m->cfg->mount_entries.n > 0;
	if (r == 0)
		r = bv_qemu_command(&m->argv, program, &m->spec, files, print, &m->err);
	return r;
}

static const struct row *row_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	abort();
}

/* The argument behind the first `option` whose argument begins with `begin`, or "". */
static const char *argument(const struct made *m, const char *option, const char *begin)
{
	for (size_t i = 0; i + 1 < m->argv.n; i++)
		if (strcmp(m->argv.v[i], option) == 0 && strncmp(m->argv.v[i + 1], begin, strlen(begin)) == 0)
			return m->argv.v[i + 1];
	return "";
}

/* ---- golden lines ---- */

static char *golden_path(const char *name)
{
	const char *src = getenv("BV_SRC");
	return bv_asprintf("%s/tests/unit/golden/qemu/%s.txt", src ? src : BV_TEST_SRC, name);
}

static void compare(const struct row *row)
{
	autoclean(made_clear) struct made m = { 0 };
	autoclean(bv_buf_clear) struct bv_buf got = { 0 };
	autofree char *path = golden_path(row->name), *want = NULL;
	struct bv_qemu_files files;
	bv_qemu_files_init(&files);
	CHECK_INT(make(&m, row, "web", &files, true), 0);
	CHECK_STR(m.err.what, "");
	for (size_t i = 0; i < m.argv.n; i++)
		bv_buf_printf(&got, "%s\n", m.argv.v[i]);
	if (getenv("BV_UPDATE"))
		CHECK_INT(bv_replace_file(AT_FDCWD, path, got.p, got.len, 0644, false), 0);
	if (bv_read_file(AT_FDCWD, path, 0, &want, NULL) < 0)
		printf("# cannot read %s\n", path);
	if (!want || !got.p || strcmp(got.p, want) != 0)
		printf("# %s differs\n", row->name);
	CHECK_STR(got.p, want ? want : "");
}

TEST(golden_lines)
{
	struct utsname u;
	if (uname(&u) < 0 || strcmp(u.machine, "x86_64") != 0)
		SKIP("the lines are those of an x86_64 host");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		compare(&rows[i]);
}

/* ---- what the goldens do not show ---- */

TEST(missing_fds_are_an_error)
{
	autoclean(made_clear) struct made m = { 0 };
	struct bv_qemu_files files;
	bv_qemu_files_init(&files);
	CHECK_INT(make(&m, row_of("default"), "web", &files, false), -EBADF);
	CHECK_STR(m.err.what, "QEMU's CONSOLE was not opened");
}

TEST(numbers_of_fds)
{
	autoclean(made_clear) struct made m = { 0 };
	struct bv_qemu_files files;
	bv_qemu_files_init(&files);
	files.console = 10;
	files.qmp = 11;
	files.agent = 12;
	files.share_root = 13;
	for (int i = 0; i < 3; i++) {
		files.taps[0][i] = 20 + i;
		files.vhosts[0][i] = 30 + i;
	}
	CHECK_INT(make(&m, row_of("multiqueue"), "web", &files, false), 0);
	CHECK_STR(argument(&m, "-add-fd", ""), "fd=10,set=1");
	CHECK_STR(argument(&m, "-chardev", "serial"), "serial,id=console,path=/dev/fdset/1");
	CHECK_STR(argument(&m, "-chardev", "socket,id=agent"), "socket,id=agent,fd=12");
	CHECK_STR(argument(&m, "-chardev", "socket,id=qmp"), "socket,id=qmp,fd=11");
	CHECK_STR(argument(&m, "-chardev", "socket,id=root"), "socket,id=root,fd=13");
	CHECK_STR(argument(&m, "-netdev", ""), "tap,id=net0,fds=20:21:22,vhost=on,vhostfds=30:31:32");
}

/* A disk that could only be opened to be read is a read-only one, whatever lxc.rootfs.options says. */
TEST(the_mode_of_the_disk)
{
	char path[] = "/tmp/bv-disk.XXXXXX";
	autoclose int rw = mkstemp(path);
	autoclose int ro = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	static const struct {
		const char *row;
		bool readonly;
		const char *image, *disk;
	} cases[] = {
		{ "blk", false, "off", "off" },
		{ "blk", true, "on", "on" },
		{ "blk-readonly", false, "off", "on" },
		{ "blk-readonly", true, "on", "on" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		autoclean(made_clear) struct made m = { 0 };
		struct bv_qemu_files files;
		char want[128];
		bv_qemu_files_init(&files);
		files.console = files.qmp = files.agent = 3;
		files.disk = cases[i].readonly ? ro : rw;
		CHECK_INT(make(&m, row_of(cases[i].row), "web", &files, false), 0);
		snprintf(want, sizeof(want),
			 "driver=file,node-name=image,filename=/dev/fdset/2,read-only=%s,discard=unmap",
			 cases[i].image);
		CHECK_STR(argument(&m, "-blockdev", "driver=file"), want);
		snprintf(want, sizeof(want), "driver=raw,node-name=disk,file=image,read-only=%s,discard=unmap",
			 cases[i].disk);
		CHECK_STR(argument(&m, "-blockdev", "driver=raw"), want);
	}
}

TEST(commas_are_doubled)
{
	autoclean(made_clear) struct made m = { 0 };
	struct bv_qemu_files files;
	bv_qemu_files_init(&files);
	files.root_9p = "/share,ro=on";
	CHECK_INT(make(&m, row_of("9p"), "a,process=b", &files, true), 0);
	CHECK_STR(argument(&m, "-name", ""), "guest=a,,process=b,debug-threads=on");
	CHECK_STR(argument(&m, "-fsdev", ""),
		  "local,id=root,path=/share,,ro=on,security_model=passthrough,multidevs=remap,readonly=on");
}

TEST(the_same_spec_gives_the_same_line)
{
	autoclean(made_clear) struct made a = { 0 }, b = { 0 };
	struct bv_qemu_files files;
	bv_qemu_files_init(&files);
	CHECK_INT(make(&a, row_of("ttys"), "web", &files, true), 0);
	CHECK_INT(make(&b, row_of("ttys"), "web", &files, true), 0);
	CHECK_INT(a.argv.n, b.argv.n);
	for (size_t i = 0; i < a.argv.n && i < b.argv.n; i++)
		CHECK_STR(a.argv.v[i], b.argv.v[i]);
}

TEST(programs)
{
	char *path = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(bv_qemu_find("pdp11", &path, &err), -ENOENT);
	CHECK(strstr(err.what, "qemu-system-pdp11") != NULL);
	CHECK(strstr(err.hint, "apt install") != NULL);
}

TEST_MAIN()
