/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/spec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "engine/vm/limits.h"
#include "util/cleanup.h"
#include "util/log.h"

#define MIB (UINT64_C(1) << 20)

enum {
	MEMORY_DEFAULT_MIB = 512,
	CMDLINE_MAX = 2047,    /* COMMAND_LINE_SIZE of x86 and of arm64, less the NUL */
	LPJ_PER_KHZ = 4,       /* loops per jiffy with HZ=250, when a loop takes one tick of the TSC */
};

static bool is_auto(const char *word)
{
	return !word || bv_streq(word, "auto");
}

/* ---- architecture and accelerator ---- */

/* The architecture of the machine on which programs of `word`'s run, or NULL. */
static const char *machine_arch(const char *word)
{
	static const char *const x86[] = { "x86_64", "amd64", "i386", "i486", "i586", "i686", "x86", "athlon", "x32" };
	static const char *const arm[] = { "aarch64", "arm64", "arm", "armel", "armhf", "armv7l" };
	for (size_t i = 0; i < ARRAY_SIZE(x86); i++)
		if (bv_streq(word, x86[i]))
			return "x86_64";
	for (size_t i = 0; i < ARRAY_SIZE(arm); i++)
		if (bv_streq(word, arm[i]))
			return "aarch64";
	return NULL;
}

static const char *host_arch(void)
{
	static struct utsname u;
	const char *known = uname(&u) == 0 ? machine_arch(u.machine) : NULL;
	return known ? known : u.machine;
}

/* What the rootfs has decides; a rootfs that does not tell is believed to be what lxc.arch says. */
static int choose_arch(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_rootfs *rootfs,
		       struct bv_error *err)
{
	const char *word = rootfs->arch[0] ? rootfs->arch : cfg->arch;
	bool neutral = !word || bv_streq(word, "linux32") || bv_streq(word, "linux64");
	const char *arch = neutral ? host_arch() : machine_arch(word);
	if (neutral && !machine_arch(arch))
		return bv_fail(err, ENOTSUP, "a VM of this host's architecture, %s, is not possible yet", arch);
	if (!arch) {
		bv_fail(err, ENOTSUP, "%s %s: there is no VM for that architecture",
			rootfs->arch[0] ? "the programs of the rootfs are for" : "lxc.arch =", word);
		return bv_hint(err, "VMs are x86_64 or aarch64");
	}
	snprintf(spec->arch, sizeof(spec->arch), "%.15s", arch);
	return 0;
}

static int refuse_kvm(const struct bv_vm_spec *spec, const struct bv_vm_host *host, bool native, struct bv_error *err)
{
	if (!native)
		bv_fail(err, ENOTSUP, "vm.accel = kvm: KVM of this host runs %s, and the rootfs is for %s",
			host_arch(), spec->arch);
	else
		bv_fail(err, ENOTSUP, "vm.accel = kvm: %s", host->kvm_reason);
	return bv_hint(err, "vm.accel = auto translates the guest's instructions instead");
}

static int choose_accel(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_host *host,
			struct bv_error *err)
{
	bool native = bv_streq(spec->arch, host_arch());
	if (cfg->vm_accel && bv_streq(cfg->vm_accel, "kvm") && (!native || !host->kvm))
		return refuse_kvm(spec, host, native, err);
	bool wants_tcg = cfg->vm_accel && bv_streq(cfg->vm_accel, "tcg");
	spec->accel = native && host->kvm && !wants_tcg ? BV_VM_KVM : BV_VM_TCG;

	if (spec->accel == BV_VM_KVM)
		snprintf(spec->accel_reason, sizeof(spec->accel_reason), "KVM: %s", host->kvm_reason);
	else if (wants_tcg)
		snprintf(spec->accel_reason, sizeof(spec->accel_reason), "TCG, because vm.accel says so");
	else if (!native)
		snprintf(spec->accel_reason, sizeof(spec->accel_reason), "TCG, because this host is no %s", spec->arch);
	else
		snprintf(spec->accel_reason, sizeof(spec->accel_reason), "TCG, because %s", host->kvm_reason);
	return 0;
}

/* ---- machine ---- */

/* Names of QEMU's machines; one that is not known here goes to QEMU, which knows. */
static int check_machine(const char *name, const char *arch, struct bv_error *err)
{
	static const struct {
		const char *begin, *arch;
	} known[] = {
		{ "microvm", "x86_64" }, { "q35", "x86_64" }, { "pc", "x86_64" }, { "virt", "aarch64" },
	};
	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return bv_fail(err, EINVAL, "vm.machine = %s: the name of a machine has no '%c'", name, *s);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *rest = bv_after(name, known[i].begin);
		if (!rest || (*rest && *rest != '-') || bv_streq(known[i].arch, arch))
			continue;
		bv_fail(err, ENOTSUP, "vm.machine = %s is a machine of %s, and the instance is for %s", name,
			known[i].arch, arch);
		return bv_hint(err, "vm.machine = auto takes one that fits");
	}
	return 0;
}

static int choose_machine(struct bv_vm_spec *spec, const struct bv_config *cfg, struct bv_error *err)
{
	if (cfg->vm_backend && bv_streq(cfg->vm_backend, "kvm")) {
		bv_fail(err, ENOTSUP, "vm.backend = kvm: a back-end of our own is not there yet");
		return bv_hint(err, "set vm.backend = qemu");
	}
	spec->machine = cfg->vm_machine;
	if (!is_auto(cfg->vm_machine))
		return check_machine(cfg->vm_machine, spec->arch, err);
	if (bv_streq(spec->arch, "aarch64"))
		spec->machine = "virt";
	else
		spec->machine = spec->accel == BV_VM_KVM ? "microvm" : "q35";
	return 0;
}

bool bv_vm_spec_is_mmio(const struct bv_vm_spec *spec)
{
	return bv_streq(spec->machine, "microvm");
}

/* ---- memory and CPUs ---- */

static int fail_memory(const struct bv_vm_limits *l, uint64_t overhead, struct bv_error *err)
{
	bv_fail(err, ENOMEM,
		"%s is %" PRIu64 " MiB: QEMU itself needs up to %" PRIu64 " of it, and that leaves too little for a VM",
		l->memory_key, l->memory_max / MIB, overhead / MIB);
	return bv_hint(err, "raise it to %" PRIu64 "M or more, or say with vm.memory how much the guest is to have",
		       overhead / MIB + BV_VM_BOOT_LEAST_MIB);
}

static int choose_memory(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_limits *l,
			 struct bv_error *err)
{
	uint64_t overhead = bv_vm_overhead(l->memory_max, spec->accel == BV_VM_KVM);
	if (cfg->vm_memory) {
		spec->memory = cfg->vm_memory;
		if (l->memory_max && l->memory_max < cfg->vm_memory + overhead)
			bv_warn("vm", "%s is %" PRIu64 " MiB, less than vm.memory and what QEMU needs, %" PRIu64
				" MiB: the kernel may kill it", l->memory_key, l->memory_max / MIB,
				(cfg->vm_memory + overhead) / MIB);
	} else if (l->memory_max == 0) {
		spec->memory = MEMORY_DEFAULT_MIB * MIB;
	} else if (l->memory_max < overhead + BV_VM_BOOT_LEAST_MIB * MIB) {
		return fail_memory(l, overhead, err);
	} else {
		spec->memory = l->memory_max - overhead;
	}
	spec->memory -= spec->memory % MIB;
	return 0;
}

static void choose_balloon(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_limits *l)
{
	spec->has_balloon = cfg->vm_balloon;
	if (!cfg->vm_balloon || l->memory_high == 0)
		return;
	uint64_t target = bv_vm_balloon_target(spec->memory, l->memory_high, spec->accel == BV_VM_KVM);
	spec->balloon = target < spec->memory ? target : 0;
}

static void choose_cpus(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_limits *l,
			const struct bv_vm_host *host)
{
	uint32_t wanted = cfg->vm_cpus ? cfg->vm_cpus : l->cpus;
	if (wanted == 0)
		wanted = spec->accel == BV_VM_KVM ? 1 : 2;
	spec->cpus = host->cpus && wanted > host->cpus ? host->cpus : wanted;
	if (spec->cpus < cfg->vm_cpus)
		bv_notice("vm", "vm.cpus = %" PRIu32 ": the host has %" PRIu32, cfg->vm_cpus, host->cpus);
}

/* ---- root ---- */

static int check_root_of_image(const char *word, struct bv_error *err)
{
	if (is_auto(word) || bv_streq(word, "blk"))
		return 0;
	bv_fail(err, ENOTSUP, "vm.root = %s shares a directory, and the rootfs is an image", word);
	return bv_hint(err, "set vm.root = blk or auto");
}

static int choose_root(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_host *host,
		       const struct bv_vm_rootfs *rootfs, struct bv_error *err)
{
	const char *word = cfg->vm_root;
	spec->root = BV_VM_BLK;
	memcpy(spec->root_fs, rootfs->fs, sizeof(spec->root_fs));
	if (rootfs->is_image)
		return check_root_of_image(word, err);
	if (word && bv_streq(word, "blk")) {
		bv_fail(err, ENOTSUP, "vm.root = blk needs a disk image, and the rootfs is a directory");
		return bv_hint(err, "lxc.rootfs.path = loop:/PATH/TO/IMAGE names one");
	}
	spec->root = (is_auto(word) && !host->virtiofsd[0]) || (word && bv_streq(word, "9p")) ? BV_VM_9P
											      : BV_VM_VIRTIOFS;
	if (spec->root == BV_VM_VIRTIOFS && !host->virtiofsd[0]) {
		bv_fail(err, ENOENT, "vm.root = virtiofs: there is no virtiofsd on this host");
		return bv_hint(err, "apt install virtiofsd (Debian 12: qemu-system-common), or set vm.root = 9p");
	}
	return 0;
}

static bool has_option(const char *options, const char *option)
{
	size_t n = strlen(option);
	for (const char *s = options; s && *s; s += strcspn(s, ","), s += *s == ',')
		if (strcspn(s, ",") == n && strncmp(s, option, n) == 0)
			return true;
	return false;
}

/* ---- network ---- */

static int read_mac(const char *text, uint8_t mac[6])
{
	unsigned int b[6];
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
		return -EINVAL;
	for (size_t i = 0; i < 6; i++)
		mac[i] = (uint8_t)b[i];
	return 0;
}

/* In the range that default.conf has for instances. */
static int random_mac(uint8_t mac[6], struct bv_error *err)
{
	mac[0] = 0x10;
	mac[1] = 0x66;
	mac[2] = 0x6a;
	return getrandom(mac + 3, 3, 0) == 3 ? 0 : bv_fail_errno(err, "cannot get random bytes");
}

static int add_nic(struct bv_vm_spec *spec, const struct bv_nic *nic, bool vhost, struct bv_error *err)
{
	if (spec->n_nics == BV_VM_NICS_MAX)
		return bv_fail(err, E2BIG, "lxc.net.%u: a VM has at most %d network links", nic->index, BV_VM_NICS_MAX);
	struct bv_vm_nic *to = &spec->nics[spec->n_nics++];
	*to = (struct bv_vm_nic){ .index = nic->index, .mtu = nic->mtu, .queues = 1, .vhost = vhost };
	/* Several queues pay where the kernel moves the packets; QEMU has one thread for all of them. */
	if (vhost)
		to->queues = spec->cpus < BV_VM_QUEUES_MAX ? spec->cpus : BV_VM_QUEUES_MAX;
	if (!nic->hwaddr)
		return random_mac(to->mac, err);
	return read_mac(nic->hwaddr, to->mac) < 0
		       ? bv_fail(err, EINVAL, "lxc.net.%u.hwaddr = %s is no MAC address", nic->index, nic->hwaddr)
		       : 0;
}

static int choose_nics(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_host *host,
		       struct bv_error *err)
{
	for (size_t i = 0; i < cfg->n_nics; i++) {
		const struct bv_nic *nic = &cfg->nics[i];
		if (nic->type != BV_NET_VETH && nic->type != BV_NET_MACVLAN)
			continue;
		int r = add_nic(spec, nic, host->vhost_net, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the kernel's command line ---- */

/*
 * What the kernel itself has to know. Everything of the instance travels in the initramfs: the guest's users can read
 * this.
 *   loglevel=4         what the word quiet asks of the kernel; but systemd in the guest would take that one as
 *                      well, and show nothing of its boot, which as a container it does
 *   panic=-1           a panic ends the VM at once (-no-reboot; pvpanic tells it from a reboot)
 *   net.ifnames=0      links keep the names that the config gives them
 *   mitigations=off    under TCG only: there is no speculation in it, and the work-arounds cost time
 *   tsc_early_khz, lpj microvm has no other clock to measure the TSC with; KVM tells it, TCG does not, and without
 *                      it the guest hangs now and then
 */
static int make_cmdline(struct bv_vm_spec *spec, const struct bv_config *cfg, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	if (spec->console)
		bv_buf_printf(&b, "console=%s ", bv_streq(spec->arch, "aarch64") ? "ttyAMA0" : "ttyS0");
	bv_buf_puts(&b, "loglevel=4 panic=-1 net.ifnames=0");
	if (spec->accel == BV_VM_TCG)
		bv_buf_puts(&b, " mitigations=off");
	if (spec->accel == BV_VM_TCG && bv_vm_spec_is_mmio(spec) && spec->tsc_khz)
		bv_buf_printf(&b, " tsc_early_khz=%" PRIu64 " lpj=%" PRIu64, spec->tsc_khz,
			      spec->tsc_khz * LPJ_PER_KHZ);
	if (cfg->vm_cmdline && cfg->vm_cmdline[0])
		bv_buf_printf(&b, " %s", cfg->vm_cmdline);
	if (b.len > CMDLINE_MAX)
		return bv_fail(err, E2BIG, "vm.cmdline is too long: the kernel takes %d characters, this makes %zu",
			       CMDLINE_MAX, b.len);
	spec->cmdline = bv_buf_take(&b);
	return spec->cmdline ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

/* ---- all of it ---- */

static int choose_size(struct bv_vm_spec *spec, const struct bv_config *cfg, const struct bv_vm_host *host,
		       struct bv_error *err)
{
	struct bv_vm_limits limits;
	int r = bv_vm_limits_read(&limits, cfg, err);
	if (r == 0)
		r = choose_memory(spec, cfg, &limits, err);
	if (r < 0)
		return r;
	choose_balloon(spec, cfg, &limits);
	choose_cpus(spec, cfg, &limits, host);
	return 0;
}

int bv_vm_spec_make(struct bv_vm_spec *ret, const char *name, const struct bv_config *cfg,
		    const struct bv_vm_host *host, const struct bv_vm_rootfs *rootfs, struct bv_error *err)
{
	*ret = (struct bv_vm_spec){
		.name = name,
		.cache = is_auto(cfg->vm_root_cache) ? "always" : cfg->vm_root_cache,
		.root_readonly = has_option(cfg->rootfs_options, "ro"),
		.ttys = cfg->tty_max < BV_VM_TTYS_MAX ? cfg->tty_max : BV_VM_TTYS_MAX,
		.console = !cfg->console_path || !bv_streq(cfg->console_path, "none"),
		.tsc_khz = host->tsc_khz,
	};
	int r = choose_arch(ret, cfg, rootfs, err);
	if (r == 0)
		r = choose_accel(ret, cfg, host, err);
	if (r == 0)
		r = choose_machine(ret, cfg, err);
	if (r == 0)
		r = choose_size(ret, cfg, host, err);
	if (r == 0)
		r = choose_root(ret, cfg, host, rootfs, err);
	if (r == 0)
		r = choose_nics(ret, cfg, host, err);
	if (r == 0)
		r = make_cmdline(ret, cfg, err);
	return r;
}

void bv_vm_spec_clear(struct bv_vm_spec *spec)
{
	free(spec->cmdline);
	spec->cmdline = NULL;
}
