/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/spec.h"

#include <fcntl.h>
#include <sys/utsname.h>

#include "config/fstab.h"
#include "config/internal.h"
#include "engine/vm/kernel/kernel.h"
#include "engine/vm/limits.h"
#include "engine/vm/probe.h"
#include "engine/vm/vm.h"
#include "test.h"
#include "util/cleanup.h"

#define MIB (UINT64_C(1) << 20)

static struct bv_config *config_of(const char *text)
{
	struct bv_config *cfg = bv_config_new();
	struct bv_error err = { 0 };
	if (!cfg || bv_config_parse(cfg, text, strlen(text), "test", &err) < 0) {
		printf("# %s\n", err.what);
		abort();
	}
	return cfg;
}

/* ---- keys ---- */

/* The ignored keys in one line, or the refusal. Static storage. */
static const char *check(const char *text)
{
	static char answer[1024];
	autoclean(bv_config_freep) struct bv_config *cfg = config_of(text);
	autoclean(bv_strv_clear) struct bv_strv ignored = { 0 };
	struct bv_error err = { 0 };
	int r = bv_vm_check_keys(cfg, &ignored, &err);
	if (r < 0) {
		snprintf(answer, sizeof(answer), "%s|%s", err.what, err.hint);
		return answer;
	}
	answer[0] = '\0';
	for (size_t i = 0; i < ignored.n; i++)
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s%s", i ? " " : "", ignored.v[i]);
	return answer;
}

TEST(every_key_has_a_verdict)
{
	for (size_t i = 0; i < bv_config_n_keys; i++) {
		if (!bv_vm_key_verdict(bv_config_keys[i].name))
			printf("# %s\n", bv_config_keys[i].name);
		CHECK(bv_vm_key_verdict(bv_config_keys[i].name) != NULL);
	}
	for (size_t i = 0; i < bv_n_nic_keys; i++) {
		char name[64];
		snprintf(name, sizeof(name), "lxc.net.12.%s", bv_nic_keys[i].name);
		CHECK(bv_vm_key_verdict(name) != NULL);
	}
	CHECK(bv_vm_key_verdict("lxc.nonsense") == NULL);
	CHECK(bv_vm_key_verdict("lxcnonsense") == NULL);
}

TEST(verdicts)
{
	CHECK_STR(bv_vm_key_verdict("lxc.cgroup2.memory.max"), "holds");
	CHECK_STR(bv_vm_key_verdict("lxc.cgroup2.devices.allow"), "ignored");
	CHECK_STR(bv_vm_key_verdict("lxc.cgroup.devices.deny"), "ignored");
	CHECK_STR(bv_vm_key_verdict("lxc.cgroup2.devicesX"), "holds");
	CHECK_STR(bv_vm_key_verdict("lxc.hook.mount"), "refused");
	CHECK_STR(bv_vm_key_verdict("lxc.hook.start"), "holds");
	CHECK_STR(bv_vm_key_verdict("lxc.namespace.share.net"), "refused");
	CHECK_STR(bv_vm_key_verdict("lxc.net.3.type"), "depends");
	CHECK_STR(bv_vm_key_verdict("lxc.net.3.link"), "holds");
	CHECK_STR(bv_vm_key_verdict("vm.memory"), "holds");
}

TEST(defaults_are_not_mentioned)
{
	CHECK_STR(check(""), "");
	CHECK_STR(check("engine = vm\nlxc.autodev = 1\nlxc.tty.max = 0\nlxc.pty.max = 0\n"), "");
}

TEST(ignored_keys_are_listed_once_and_in_order)
{
	CHECK_STR(check("lxc.tty.dir = lxc\nlxc.seccomp.profile = /x\nlxc.cgroup2.devices.deny = a\n"
			"lxc.cgroup2.devices.allow = c 1:3 rwm\nlxc.apparmor.profile = generated\n"
			"lxc.apparmor.allow_nesting = 1\nlxc.mount.auto = proc:mixed sys:mixed cgroup:mixed\n"
			"lxc.pty.max = 1024\nlxc.autodev = 0\nlxc.time.offset.boot = 3s\n"),
		  "lxc.apparmor lxc.autodev lxc.cgroup2.devices lxc.mount.auto lxc.seccomp.profile "
		  "lxc.time.offset.boot lxc.tty.dir");
	CHECK_STR(check("lxc.namespace.clone = net pid\nlxc.sched.core = 1\nlxc.keyring.session = 1\n"
			"lxc.selinux.context = x\n"),
		  "lxc.keyring.session lxc.namespace.clone lxc.sched.core lxc.selinux.context");
	CHECK_STR(check("lxc.net.0.type = veth\nlxc.net.0.veth.n_rxqueues = 4\n"), "lxc.net.0.veth.n_rxqueues");
}

TEST(what_holds_is_not_mentioned)
{
	CHECK_STR(check("lxc.uts.name = a\nlxc.init.cmd = /bin/init\nlxc.init.uid = 3\nlxc.environment = A=b\n"
			"lxc.cap.drop = sys_time\nlxc.no_new_privs = 1\nlxc.prlimit.nofile = 10:20\n"
			"lxc.sysctl.net.ipv4.ip_forward = 1\nlxc.proc.oom_score_adj = 3\nlxc.hook.start = /x\n"
			"lxc.hook.pre-start = /x\nlxc.hook.post-stop = /x\nlxc.hook.stop = /x\nlxc.hook.clone = /x\n"
			"lxc.mount.entry = /a b none bind 0 0\nlxc.mount.fstab = /f\nlxc.tty.max = 30\n"
			"lxc.signal.halt = SIGTERM\nlxc.start.auto = 1\nlxc.log.level = INFO\nlxc.ephemeral = 1\n"
			"lxc.idmap = u 0 100000 65536\nlxc.group = x\nlxc.cgroup2.memory.max = 1G\nlxc.arch = amd64\n"
			"lxc.console.logfile = /l\nlxc.rootfs.options = ro\nlxc.apparmor.profile = unconfined\n"),
		  "");
	CHECK_STR(check("lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\n"
			"lxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.net.1.type = macvlan\nlxc.net.2.type = empty\n"),
		  "");
}

TEST(refused_links)
{
	CHECK_STR(check("lxc.net.0.type = none\n"),
		  "lxc.net.0.type = none cannot hold in a VM: it cannot use the network of the host|set lxc.net.0.type "
		  "= veth and lxc.net.0.link to a bridge, or start it as a container");
	CHECK_STR(check("lxc.net.7.type = phys\nlxc.net.7.link = eth1\n"),
		  "lxc.net.7.type = phys cannot hold in a VM: the links of a VM are of the type veth, macvlan, or empty"
		  "|set lxc.net.7.type = veth and lxc.net.7.link to a bridge, or start it as a container");
	CHECK(strstr(check("lxc.net.0.type = ipvlan\n"), "lxc.net.0.type = ipvlan") != NULL);
	CHECK(strstr(check("lxc.net.0.type = vlan\n"), "lxc.net.0.type = vlan") != NULL);
}

TEST(refused_keys)
{
	CHECK_STR(check("lxc.namespace.share.net = other\n"),
		  "lxc.namespace.share.net = other cannot hold in a VM: a VM has its own kernel, and no namespaces in "
		  "common with the host or another instance|remove the key, or start the instance as a container");
	CHECK(strstr(check("lxc.namespace.keep = net\n"), "lxc.namespace.keep = net cannot hold") != NULL);
	CHECK(strstr(check("lxc.namespace.keep = ipc\n"), "lxc.namespace.keep = ipc cannot hold") != NULL);
	CHECK(strstr(check("lxc.hook.pre-mount = /x\n"), "lxc.hook.pre-mount = /x cannot hold") != NULL);
	CHECK(strstr(check("lxc.hook.mount = /x\n"), "lxc.hook.mount = /x cannot hold") != NULL);
	CHECK(strstr(check("lxc.hook.autodev = /x\n"), "lxc.hook.autodev = /x cannot hold") != NULL);
	CHECK(strstr(check("lxc.seccomp.notify.proxy = unix:/x\n"), "lxc.seccomp.notify.proxy") != NULL);
	CHECK(strstr(check("lxc.tty.max = 31\n"), "lxc.tty.max = 31 cannot hold") != NULL);
	CHECK(strstr(check("lxc.mount.auto = shmounts:/a:/b\n"), "cannot hold") != NULL);
}

/* ---- limits ---- */

static struct bv_vm_limits limits_of(const char *text)
{
	autoclean(bv_config_freep) struct bv_config *cfg = config_of(text);
	struct bv_vm_limits l;
	struct bv_error err = { 0 };
	CHECK_INT(bv_vm_limits_read(&l, cfg, &err), 0);
	CHECK_STR(err.what, "");
	return l;
}

TEST(memory_limits)
{
	CHECK_INT(limits_of("").memory_max, 0);
	CHECK_INT(limits_of("lxc.cgroup2.memory.max = max\n").memory_max, 0);
	CHECK_INT(limits_of("lxc.cgroup2.memory.max = 1G\n").memory_max, 1024 * MIB);
	CHECK_INT(limits_of("lxc.cgroup.memory.limit_in_bytes = 700M\n").memory_max, 700 * MIB);
	CHECK_INT(limits_of("lxc.cgroup.memory.limit_in_bytes = -1\n").memory_max, 0);
	CHECK_INT(limits_of("lxc.cgroup.memory.limit_in_bytes = 9223372036854771712\n").memory_max, 0);
	CHECK_INT(limits_of("lxc.cgroup2.memory.max = 1G\nlxc.cgroup2.memory.max = 2G\n").memory_max, 2048 * MIB);
	CHECK_INT(limits_of("lxc.cgroup.memory.limit_in_bytes = 700M\nlxc.cgroup2.memory.max = 1G\n").memory_max,
		  1024 * MIB);
	CHECK_INT(limits_of("lxc.cgroup2.memory.high = 600M\n").memory_high, 600 * MIB);
	CHECK_STR(limits_of("lxc.cgroup.memory.limit_in_bytes = 1\n").memory_key, "lxc.cgroup.memory.limit_in_bytes");
}

TEST(cpu_limits)
{
	CHECK_INT(limits_of("lxc.cgroup2.cpuset.cpus = 0-2,5\n").cpus, 4);
	CHECK_INT(limits_of("lxc.cgroup.cpuset.cpus = 1\n").cpus, 1);
	CHECK_INT(limits_of("lxc.cgroup2.cpu.max = max 100000\n").cpus, 0);
	CHECK_INT(limits_of("lxc.cgroup2.cpu.max = 150000 100000\n").cpus, 2);
	CHECK_INT(limits_of("lxc.cgroup2.cpu.max = 50000\n").cpus, 1);
	CHECK_INT(limits_of("lxc.cgroup2.cpu.max = 100000 50000\nlxc.cgroup2.cpuset.cpus = 0-7\n").cpus, 2);
	CHECK_INT(limits_of("lxc.cgroup.cpu.cfs_quota_us = 250000\n").cpus, 3);
	CHECK_INT(limits_of("lxc.cgroup.cpu.cfs_quota_us = 10000\nlxc.cgroup.cpu.cfs_period_us = 5000\n").cpus, 2);
	CHECK_INT(limits_of("lxc.cgroup.cpu.cfs_quota_us = -1\n").cpus, 0);
}

TEST(limits_that_cannot_be_read)
{
	static const char *const texts[] = {
		"lxc.cgroup2.memory.max = lots\n",	     "lxc.cgroup2.cpu.max = 1 0\n",
		"lxc.cgroup2.cpuset.cpus = 3-1\n",	     "lxc.cgroup2.cpuset.cpus = 0-99999999\n",
		"lxc.cgroup.cpu.cfs_quota_us = x\n",	     "lxc.cgroup2.cpu.max = 1 2 3\n",
		"lxc.cgroup.cpu.cfs_quota_us = 5\nlxc.cgroup.cpu.cfs_period_us = 0\n",
	};
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		autoclean(bv_config_freep) struct bv_config *cfg = config_of(texts[i]);
		struct bv_vm_limits l;
		struct bv_error err = { 0 };
		CHECK_INT(bv_vm_limits_read(&l, cfg, &err), -EINVAL);
		CHECK(strncmp(err.what, "lxc.cgroup", 10) == 0);
	}
}

/* RAM, code buffer and what QEMU needs fit into the limit, and a higher limit never gives the guest less. */
TEST(memory_adds_up)
{
	uint64_t before = 0;
	for (uint64_t max = 256; max < 2048; max++) {
		uint64_t ram = max * MIB - bv_vm_overhead(max * MIB, false);
		ram -= ram % MIB;
		CHECK(ram >= before);
		CHECK(ram / MIB + bv_vm_code_buffer(ram) + 128 <= max);
		before = ram;
	}
	CHECK_INT(bv_vm_overhead(512 * MIB, false), 192 * MIB);
	CHECK_INT(bv_vm_code_buffer(320 * MIB), 64);
	CHECK_INT(bv_vm_code_buffer(512 * MIB), 128);
}

/* ---- spec ---- */

static const struct bv_vm_host tcg_host = {
	.kvm_reason = "/dev/kvm is slow here: 482 ns an instruction",
	.cpus = 4,
	.tsc_khz = 2596128,
	.virtiofsd = "/usr/lib/qemu/virtiofsd",
};
static const struct bv_vm_host kvm_host = {
	.kvm = true,
	.kvm_reason = "/dev/kvm takes 0.4 ns an instruction",
	.cpus = 4,
	.tsc_khz = 2596128,
	.vhost_net = true,
	.virtiofsd = "/usr/libexec/virtiofsd",
	.virtiofsd_is_rust = true,
};
static const struct bv_vm_rootfs x86_dir = { .arch = "x86_64" }, image = { .is_image = true, .fs = "ext4" };
static const struct bv_vm_rootfs arm_dir = { .arch = "aarch64" };

static bool is_x86(void)
{
	struct utsname u;
	return uname(&u) == 0 && strcmp(u.machine, "x86_64") == 0;
}

/* The config outlives the spec, which borrows from it: it is kept until the next call. */
static struct bv_config *kept;

static struct bv_vm_spec spec_of(const char *text, const struct bv_vm_host *host, const struct bv_vm_rootfs *rootfs)
{
	struct bv_vm_spec s;
	struct bv_error err = { 0 };
	bv_config_free(kept);
	kept = config_of(text);
	CHECK_INT(bv_vm_spec_make(&s, "web", kept, host, rootfs, &err), 0);
	CHECK_STR(err.what, "");
	return s;
}

static const char *spec_error(const char *text, const struct bv_vm_host *host, const struct bv_vm_rootfs *rootfs)
{
	static struct bv_error err;
	autoclean(bv_config_freep) struct bv_config *cfg = config_of(text);
	struct bv_vm_spec s;
	bv_error_clear(&err);
	CHECK(bv_vm_spec_make(&s, "web", cfg, host, rootfs, &err) < 0);
	CHECK(err.hint[0] || err.code == EINVAL || err.code == E2BIG);
	bv_vm_spec_clear(&s);
	return err.what;
}

static uint64_t memory_of(const char *text, const struct bv_vm_host *host)
{
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of(text, host, &x86_dir);
	return s.memory / MIB;
}

static uint32_t cpus_of(const char *text, const struct bv_vm_host *host)
{
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of(text, host, &x86_dir);
	return s.cpus;
}

TEST(spec_of_an_empty_config)
{
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of("", &tcg_host, &x86_dir);
	if (!is_x86())
		SKIP("the host is no x86_64");
	CHECK_STR(s.name, "web");
	CHECK_STR(s.arch, "x86_64");
	CHECK_INT(s.accel, BV_VM_TCG);
	CHECK_STR(s.accel_reason, "TCG, because /dev/kvm is slow here: 482 ns an instruction");
	CHECK_STR(s.machine, "q35");
	CHECK_INT(s.memory, 512 * MIB);
	CHECK_INT(s.cpus, 2);
	CHECK_INT(s.root, BV_VM_VIRTIOFS);
	CHECK_STR(s.cache, "always");
	CHECK(s.has_balloon && s.balloon == 0 && s.console && !s.shares && !s.root_readonly);
	CHECK_INT(s.ttys, 0);
	CHECK_INT(s.n_nics, 0);
	CHECK_STR(s.cmdline, "console=ttyS0 loglevel=4 panic=-1 net.ifnames=0 mitigations=off");
}

TEST(spec_with_kvm)
{
	if (!is_x86())
		SKIP("the host is no x86_64");
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of("lxc.net.0.type = veth\n", &kvm_host, &x86_dir);
	CHECK_INT(s.accel, BV_VM_KVM);
	CHECK_STR(s.accel_reason, "KVM: /dev/kvm takes 0.4 ns an instruction");
	CHECK_STR(s.machine, "microvm");
	CHECK_INT(s.cpus, 1);
	CHECK(s.nics[0].vhost);
	CHECK_STR(s.cmdline, "console=ttyS0 loglevel=4 panic=-1 net.ifnames=0");
}

TEST(memory_of_a_guest)
{
	if (!is_x86())
		SKIP("the host is no x86_64");
	CHECK_INT(memory_of("vm.memory = 1G\n", &tcg_host), 1024);
	CHECK_INT(memory_of("vm.memory = 100000001\n", &tcg_host), 95);
	CHECK_INT(memory_of("lxc.cgroup2.memory.max = 512M\n", &tcg_host), 320);
	CHECK_INT(memory_of("lxc.cgroup2.memory.max = 2G\n", &tcg_host), 2048 - 256);
	CHECK_INT(memory_of("lxc.cgroup2.memory.max = 512M\n", &kvm_host), 416);
	CHECK_INT(memory_of("lxc.cgroup.memory.limit_in_bytes = 512M\n", &tcg_host), 320);
	CHECK_INT(memory_of("lxc.cgroup2.memory.max = 512M\nvm.memory = 256M\n", &tcg_host), 256);
	CHECK_STR(spec_error("lxc.cgroup2.memory.max = 200M\n", &tcg_host, &x86_dir),
		  "lxc.cgroup2.memory.max is 200 MiB: QEMU itself needs up to 192 of it, and that leaves too little "
		  "for a VM");
	/* What is left is enough to boot with. */
	CHECK_STR(spec_error("lxc.cgroup2.memory.max = 256M\n", &tcg_host, &x86_dir),
		  "lxc.cgroup2.memory.max is 256 MiB: QEMU itself needs up to 192 of it, and that leaves too little "
		  "for a VM");
	CHECK_INT(memory_of("lxc.cgroup2.memory.max = 288M\n", &tcg_host), 96);
}

TEST(balloon)
{
	if (!is_x86())
		SKIP("the host is no x86_64");
	struct bv_vm_spec s = spec_of("vm.memory = 1G\nlxc.cgroup2.memory.high = 512M\n", &tcg_host, &x86_dir);
	CHECK_INT(s.balloon, 320 * MIB);
	bv_vm_spec_clear(&s);
	s = spec_of("vm.memory = 1G\nlxc.cgroup2.memory.high = 100M\n", &tcg_host, &x86_dir);
	CHECK_INT(s.balloon, 64 * MIB);
	bv_vm_spec_clear(&s);
	s = spec_of("vm.memory = 256M\nlxc.cgroup2.memory.high = 2G\n", &tcg_host, &x86_dir);
	CHECK_INT(s.balloon, 0);
	bv_vm_spec_clear(&s);
	s = spec_of("vm.balloon = 0\nvm.memory = 1G\nlxc.cgroup2.memory.high = 512M\n", &tcg_host, &x86_dir);
	CHECK(!s.has_balloon && s.balloon == 0);
	bv_vm_spec_clear(&s);
}

TEST(cpus_of_a_guest)
{
	if (!is_x86())
		SKIP("the host is no x86_64");
	CHECK_INT(cpus_of("vm.cpus = 3\n", &tcg_host), 3);
	CHECK_INT(cpus_of("vm.cpus = 64\n", &tcg_host), 4);
	CHECK_INT(cpus_of("lxc.cgroup2.cpu.max = 150000 100000\n", &kvm_host), 2);
	CHECK_INT(cpus_of("lxc.cgroup2.cpuset.cpus = 0-15\n", &kvm_host), 4);
	CHECK_INT(cpus_of("vm.cpus = 1\nlxc.cgroup2.cpuset.cpus = 0-2\n", &tcg_host), 1);
}

TEST(root)
{
	static const struct bv_vm_host without = { .cpus = 1 };
	struct bv_vm_spec s = spec_of("", &tcg_host, &image);
	CHECK_INT(s.root, BV_VM_BLK);
	CHECK_STR(s.root_fs, "ext4");
	bv_vm_spec_clear(&s);
	s = spec_of("vm.root = blk\nlxc.rootfs.options = noatime,ro\n", &tcg_host, &image);
	CHECK(s.root == BV_VM_BLK && s.root_readonly);
	bv_vm_spec_clear(&s);
	s = spec_of("lxc.rootfs.options = errors=remount-ro\n", &without, &x86_dir);
	CHECK(s.root == BV_VM_9P && !s.root_readonly);
	bv_vm_spec_clear(&s);
	s = spec_of("vm.root = 9p\nvm.root.cache = none\n", &tcg_host, &x86_dir);
	CHECK_INT(s.root, BV_VM_9P);
	CHECK_STR(s.cache, "none");
	bv_vm_spec_clear(&s);
	CHECK(strstr(spec_error("vm.root = virtiofs\n", &without, &x86_dir), "no virtiofsd") != NULL);
	CHECK(strstr(spec_error("vm.root = blk\n", &tcg_host, &x86_dir), "needs a disk image") != NULL);
	CHECK(strstr(spec_error("vm.root = virtiofs\n", &tcg_host, &image), "the rootfs is an image") != NULL);
	CHECK(strstr(spec_error("vm.root = 9p\n", &tcg_host, &image), "the rootfs is an image") != NULL);
}

static bool shares(const char *entry)
{
	autoclean(bv_mount_line_clear) struct bv_mount_line m = { 0 };
	CHECK_INT(bv_mount_line_parse(&m, entry, NULL), 1);
	return bv_vm_entry_is_shared(&m);
}

TEST(shares)
{
	CHECK(shares("/srv/data srv none bind,create=dir 0 0"));
	CHECK(shares("/development srv none rbind 0 0"));
	CHECK(!shares("/sys/fs/fuse/connections sys/fs/fuse/connections none bind,optional 0 0"));
	CHECK(!shares("/dev dev none bind 0 0"));
	CHECK(!shares("/srv srv none bind,remount,ro 0 0"));
	CHECK(!shares("/inside srv none bind,relative 0 0"));
	CHECK(!shares("tmpfs tmp tmpfs size=1M 0 0"));
}

TEST(accelerators)
{
	static const struct bv_vm_host no_kvm = { .kvm_reason = "cannot open /dev/kvm: No such file or directory" };
	if (!is_x86())
		SKIP("the host is no x86_64");
	CHECK_STR(spec_error("vm.accel = kvm\n", &no_kvm, &x86_dir),
		  "vm.accel = kvm: cannot open /dev/kvm: No such file or directory");
	CHECK_STR(spec_error("vm.accel = kvm\n", &tcg_host, &x86_dir),
		  "vm.accel = kvm: /dev/kvm is slow here: 482 ns an instruction");
	CHECK_STR(spec_error("vm.accel = kvm\n", &kvm_host, &arm_dir),
		  "vm.accel = kvm: KVM of this host runs x86_64, and the rootfs is for aarch64");
	struct bv_vm_spec s = spec_of("vm.accel = tcg\n", &kvm_host, &x86_dir);
	CHECK_INT(s.accel, BV_VM_TCG);
	CHECK_STR(s.accel_reason, "TCG, because vm.accel says so");
	bv_vm_spec_clear(&s);
	s = spec_of("", &kvm_host, &arm_dir);
	CHECK_INT(s.accel, BV_VM_TCG);
	CHECK_STR(s.accel_reason, "TCG, because this host is no aarch64");
	CHECK_STR(s.machine, "virt");
	CHECK_STR(s.cmdline, "console=ttyAMA0 loglevel=4 panic=-1 net.ifnames=0 mitigations=off");
	bv_vm_spec_clear(&s);
}

TEST(architectures)
{
	static const struct bv_vm_rootfs unknown = { 0 }, i686 = { .arch = "i686" }, ppc = { .arch = "ppc64le" };
	struct bv_vm_spec s = spec_of("lxc.arch = arm64\n", &tcg_host, &unknown);
	CHECK_STR(s.arch, "aarch64");
	bv_vm_spec_clear(&s);
	s = spec_of("lxc.arch = arm64\n", &tcg_host, &i686);
	CHECK_STR(s.arch, "x86_64");
	bv_vm_spec_clear(&s);
	CHECK(strstr(spec_error("", &tcg_host, &ppc), "ppc64le") != NULL);
	CHECK(strstr(spec_error("lxc.arch = s390x\n", &tcg_host, &unknown), "lxc.arch = s390x") != NULL);
}

TEST(machines)
{
	struct bv_vm_spec s = spec_of("vm.machine = microvm\nvm.accel = tcg\n", &tcg_host, &x86_dir);
	CHECK(bv_vm_spec_is_mmio(&s));
	CHECK_STR(s.cmdline, "console=ttyS0 loglevel=4 panic=-1 net.ifnames=0 mitigations=off tsc_early_khz=2596128 "
			     "lpj=10384512");
	bv_vm_spec_clear(&s);
	CHECK(strstr(spec_error("vm.machine = virt\n", &tcg_host, &x86_dir), "a machine of aarch64") != NULL);
	CHECK(strstr(spec_error("vm.machine = pc-q35-7.2\n", &tcg_host, &arm_dir), "a machine of x86_64") != NULL);
	CHECK(strstr(spec_error("vm.machine = q35,usb=on\n", &tcg_host, &x86_dir), "has no ','") != NULL);
	CHECK(strstr(spec_error("vm.backend = kvm\n", &tcg_host, &x86_dir), "not there yet") != NULL);
}

TEST(links)
{
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s =
		spec_of("lxc.net.0.type = veth\nlxc.net.0.hwaddr = 10:66:6a:01:02:fe\nlxc.net.0.mtu = 1400\n"
			"lxc.net.1.type = empty\nlxc.net.5.type = macvlan\n",
			&tcg_host, &x86_dir);
	CHECK_INT(s.n_nics, 2);
	CHECK(memcmp(s.nics[0].mac, "\x10\x66\x6a\x01\x02\xfe", 6) == 0);
	CHECK_INT(s.nics[0].mtu, 1400);
	CHECK_INT(s.nics[0].queues, 1);
	CHECK(!s.nics[0].vhost);
	CHECK_INT(s.nics[1].index, 5);
	CHECK(memcmp(s.nics[1].mac, "\x10\x66\x6a", 3) == 0);

	char text[1024] = "";
	for (int i = 0; i <= BV_VM_NICS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "lxc.net.%d.type = veth\n", i);
	CHECK(strstr(spec_error(text, &tcg_host, &x86_dir), "at most 16 network links") != NULL);
}

TEST(kernel_command_line)
{
	char text[4096] = "vm.cmdline = ";
	struct bv_vm_spec s = spec_of("vm.cmdline = debug mitigations=auto\nvm.accel = tcg\n", &tcg_host, &x86_dir);
	CHECK_STR(s.cmdline, "console=ttyS0 loglevel=4 panic=-1 net.ifnames=0 mitigations=off debug mitigations=auto");
	bv_vm_spec_clear(&s);
	s = spec_of("lxc.console.path = none\n", &tcg_host, &x86_dir);
	CHECK(!s.console);
	CHECK(strstr(s.cmdline, "console=") == NULL);
	bv_vm_spec_clear(&s);
	memset(text + strlen(text), 'x', 2040);
	CHECK(strstr(spec_error(text, &tcg_host, &x86_dir), "vm.cmdline is too long") != NULL);
}

/* ---- drivers ---- */

static const char *needed_of(const char *text, const struct bv_vm_host *host, const struct bv_vm_rootfs *rootfs)
{
	static char answer[512];
	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of(text, host, rootfs);
	s.shares = strstr(text, "lxc.mount.entry");
	const char *const *names = bv_vm_spec_needed(&s);
	answer[0] = '\0';
	for (; *names; names++)
		snprintf(answer + strlen(answer), sizeof(answer) - strlen(answer), "%s ", *names);
	return answer;
}

TEST(drivers)
{
	CHECK_STR(needed_of("vm.machine = q35\n", &tcg_host, &x86_dir), "virtio_pci virtio_console virtiofs ");
	CHECK_STR(needed_of("vm.machine = microvm\nvm.root = 9p\nlxc.net.0.type = veth\n", &tcg_host, &x86_dir),
		  "virtio_mmio virtio_console 9pnet_virtio 9p virtio_net ");
	CHECK_STR(needed_of("vm.machine = pc\n", &tcg_host, &image), "virtio_pci virtio_console virtio_blk ext4 ");
	CHECK_STR(needed_of("vm.machine = pc\nlxc.mount.entry = /srv srv none bind 0 0\n", &tcg_host, &image),
		  "virtio_pci virtio_console virtio_blk ext4 virtiofs ");

	autoclean(bv_vm_spec_clear) struct bv_vm_spec s = spec_of("vm.machine = q35\n", &tcg_host, &x86_dir);
	const struct bv_module_wish *w;
	size_t n = bv_vm_spec_modules(&s, &w);
	CHECK_INT(n, 8);
	CHECK_STR(w[0].name, "pvpanic_pci");
	CHECK(!w[0].required && w[1].required);
	CHECK_STR(w[n - 1].name, "autofs4");
}

/* ---- probe ---- */

TEST(probe_answers)
{
	struct bv_vm_host h;
	setenv("BIVALVE_KVM", "no", 1);
	bv_vm_probe(&h);
	CHECK(!h.kvm && h.cpus > 0);
	CHECK_STR(h.kvm_reason, "BIVALVE_KVM=no says so");
	setenv("BIVALVE_KVM", "yes", 1);
	bv_vm_probe(&h);
	CHECK(h.kvm);
	unsetenv("BIVALVE_KVM");
	bv_vm_probe(&h);
	CHECK(h.kvm_reason[0] != '\0');
	printf("# %s; %llu kHz\n", h.kvm_reason, (unsigned long long)h.tsc_khz);
}

TEST_MAIN()
