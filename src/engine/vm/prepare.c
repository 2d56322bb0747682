/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/vm.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/kernel/initramfs.h"
#include "rootfs/rootat.h"
#include "rootfs/storage.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/log.h"

void bv_vm_init(struct bv_vm *vm)
{
	*vm = (struct bv_vm){ .initrd = -1, .sync = -1, .guest_dir = -1, .rootfs = -1,
			     .kernel = { .image = -1, .modules = -1 } };
	bv_qemu_files_init(&vm->files);
}

static void close_files(struct bv_qemu_files *f)
{
	close_fd(&f->console);
	close_fd(&f->disk);
	for (size_t i = 0; i < ARRAY_SIZE(f->ttys); i++)
		close_fd(&f->ttys[i]);
	for (size_t i = 0; i < BV_VM_NICS_MAX; i++) {
		for (size_t q = 0; q < BV_VM_QUEUES_MAX; q++) {
			close_fd(&f->taps[i][q]);
			close_fd(&f->vhosts[i][q]);
		}
	}
}

void bv_vm_clear(struct bv_vm *vm)
{
	bv_vm_spec_clear(&vm->spec);
	bv_kernel_clear(&vm->kernel);
	close_files(&vm->files);
	close_fd(&vm->initrd);
	close_fd(&vm->sync);
	close_fd(&vm->guest_dir);
	close_fd(&vm->rootfs);
	for (size_t i = 0; i < vm->n_binds; i++)
		close_fd(&vm->binds[i]);
	free(vm->binds);
	free(vm->qemu);
	bv_vm_init(vm);
}

/* ---- the rootfs ---- */

/* The machine of an ELF program's header, as uname(2) calls it; NULL: it is none, or one that we don't know. */
static const char *elf_machine(int fd)
{
	static const struct {
		uint16_t machine;
		const char *name;
	} machines[] = {
		{ EM_X86_64, "x86_64" }, { EM_386, "x86_64" }, { EM_AARCH64, "aarch64" }, { EM_ARM, "aarch64" },
	};
	Elf64_Ehdr header; /* both classes have e_machine at the same place */
	if (fd < 0 || pread(fd, &header, sizeof(header), 0) < (ssize_t)(EI_NIDENT + 4) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(machines); i++)
		if (machines[i].machine == header.e_machine)
			return machines[i].name;
	return NULL;
}

static void find_arch(int root, struct bv_vm_rootfs *facts)
{
	static const char *const programs[] = { "sbin/init", "bin/sh", "usr/bin/env", "bin/busybox" };
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		autoclose int fd = bv_rootat_open_file(root, programs[i]);
		const char *machine = elf_machine(fd);
		if (machine) {
			snprintf(facts->arch, sizeof(facts->arch), "%s", machine);
			return;
		}
	}
}

/*
 * With lxc.idmap the files of the rootfs belong to the ids of the host that are mapped, or, as a container mounts it
 * with its ids mapped, to those of the inside. The owner of its top tells.
 */
static bool is_shifted(const struct bv_config *cfg, int root)
{
	struct stat st;
	return cfg->n_idmaps && fstat(root, &st) == 0 && st.st_uid != 0;
}

static int open_disk(const struct bv_storage *storage, struct bv_vm *vm, struct bv_vm_rootfs *facts,
		     struct bv_error *err)
{
	facts->is_image = true;
	vm->files.disk = open(storage->path, O_RDWR | O_CLOEXEC);
	if (vm->files.disk < 0 && (errno == EROFS || errno == EACCES))
		vm->files.disk = open(storage->path, O_RDONLY | O_CLOEXEC);
	if (vm->files.disk < 0)
		return bv_fail_errno(err, "cannot open %s (lxc.rootfs.path)", storage->path);
	const char *fs = bv_storage_image_fs(vm->files.disk);
	snprintf(facts->fs, sizeof(facts->fs), "%s", fs ? fs : "");
	return 0;
}

static int open_rootfs(const struct bv_run *run, struct bv_vm *vm, struct bv_vm_rootfs *facts, struct bv_error *err)
{
	autoclean(bv_storage_clear) struct bv_storage storage = { 0 };
	int r = bv_storage_open(&storage, run->config, err);
	struct stat st;
	if (r == -ENOENT && !run->config->rootfs_path) {
		bv_error_clear(err);
		bv_fail(err, EINVAL, "%s has no lxc.rootfs.path, and a VM cannot share the host's root", run->name);
		return bv_hint(err, "set lxc.rootfs.path, or start it as a container: lxc-start -n %s --container",
			       run->name);
	}
	if (r < 0)
		return r;
	if (bv_streq(storage.ops->name, "loop") ||
	    (stat(storage.path, &st) == 0 && (S_ISBLK(st.st_mode) || S_ISREG(st.st_mode))))
		return open_disk(&storage, vm, facts, err);
	vm->rootfs = storage.ops->mount(&storage, err);
	if (vm->rootfs < 0)
		return vm->rootfs;
	find_arch(vm->rootfs, facts);
	vm->mapped = is_shifted(run->config, vm->rootfs);
	return 0;
}

/* ---- what it is made of ---- */

int bv_vm_describe(const struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	struct bv_vm_rootfs facts = { 0 };
	bv_vm_probe(&vm->host);
	int r = open_rootfs(run, vm, &facts, err);
	if (r == 0)
		r = bv_vm_spec_make(&vm->spec, run->name, run->config, &vm->host, &facts, err);
	if (r == 0 && vm->spec.root == BV_VM_9P && vm->mapped) {
		bv_fail(err, ENOTSUP, "vm.root = 9p does not go with lxc.idmap: QEMU would show the ids of the host");
		r = bv_hint(err, "set vm.root = virtiofs");
	}
	return r < 0 ? r : bv_qemu_find(vm->spec.arch, &vm->qemu, err);
}

static int warn_ignored(const struct bv_run *run, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv ignored = { 0 };
	autoclean(bv_buf_clear) struct bv_buf list = { 0 };
	int r = bv_vm_check_keys(run->config, &ignored, err);
	for (size_t i = 0; i < ignored.n; i++)
		bv_buf_printf(&list, "%s%s", i ? ", " : "", ignored.v[i]);
	if (r == 0 && list.p)
		bv_warn("vm", "%s runs as a VM, where these have no effect: %s", run->name, list.p);
	return r;
}

static int find_kernel(const struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	struct bv_kernel_wish wish = {
		.arch = vm->spec.arch,
		.kernel = run->config->vm_kernel,
		.modules = run->config->vm_modules,
		.rootfs = vm->rootfs,
		.needed = bv_vm_spec_needed(&vm->spec),
	};
	const struct bv_kernel *k = &vm->kernel;
	int r = bv_kernel_find(&vm->kernel, &wish, err);
	if (r == 0)
		bv_info("vm", "kernel: %s, version %s (%s)", k->image_path, *k->version ? k->version : "unknown",
			k->where);
	return r;
}

/* ---- what the guest is told ---- */

static int set_key(struct bv_config *cfg, unsigned int index, const char *key, const char *value, struct bv_error *err)
{
	char name[64];
	snprintf(name, sizeof(name), "lxc.net.%u.%s", index, key);
	return bv_config_set(cfg, name, value, err);
}

static int set_gateway(struct bv_config *cfg, unsigned int index, enum bv_gateway kind, const struct bv_address *found,
		       const char *key, struct bv_error *err)
{
	char text[64];
	if (kind != BV_GATEWAY_AUTO || !found->family)
		return 0;
	return set_key(cfg, index, key, bv_address_format(found, false, text, sizeof(text)), err);
}

/* What only the host knows is put into the links of the guest's copy: address, name, gateways. */
static int complete_links(const struct bv_run *run, const struct bv_vm_spec *spec, struct bv_config *cfg,
			  struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < spec->n_nics; i++) {
		const uint8_t *m = spec->nics[i].mac;
		char mac[18];
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
		r = set_key(cfg, spec->nics[i].index, "hwaddr", mac, err);
	}
	for (size_t i = 0; r == 0 && i < run->net.n; i++) {
		const struct bv_net_link *l = &run->net.links[i];
		const struct bv_nic *nic = bv_config_nic(run->config, l->index);
		if (!nic || !l->name[0])
			continue;
		r = set_key(cfg, l->index, "name", l->name, err);
		/* As the end of a veth pair inside has it: that of the bridge. */
		char mtu[16];
		snprintf(mtu, sizeof(mtu), "%u", l->parent_facts.mtu);
		if (r == 0 && !nic->mtu && l->parent_facts.mtu)
			r = set_key(cfg, l->index, "mtu", mtu, err);
		if (r == 0)
			r = set_gateway(cfg, l->index, nic->ipv4_gateway_kind, &l->ipv4_gateway, "ipv4.gateway", err);
		if (r == 0)
			r = set_gateway(cfg, l->index, nic->ipv6_gateway_kind, &l->ipv6_gateway, "ipv6.gateway", err);
	}
	return r;
}

/* The configuration as the guest's init gets it; malloc'ed. */
static int guest_config(const struct bv_run *run, const struct bv_vm_spec *spec, char **ret, struct bv_error *err)
{
	autofree char *text = bv_config_dump(run->config);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	if (!text || !cfg)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_config_parse(cfg, text, strlen(text), "the configuration of the run", err);
	if (r == 0)
		r = complete_links(run, spec, cfg, err);
	if (r == 0 && !cfg->uts_name)
		r = bv_config_set(cfg, "lxc.uts.name", run->name, err);
	if (r < 0)
		return r;
	*ret = bv_config_dump(cfg);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

/* "virtiofs" or "9p", its tag and its options. */
static void describe_share(bool is_9p, const char *cache, const char *tag, char **type, char **source, char **options)
{
	*type = strdup(is_9p ? "9p" : "virtiofs");
	*source = strdup(tag);
	*options = is_9p ? bv_asprintf("trans=virtio,version=9p2000.L,msize=512000,posixacl,cache=%s",
				       bv_streq(cache, "none") ? "none" : "mmap")
			 : strdup("");
}

static int guest_boot(const struct bv_run *run, const struct bv_vm *vm, struct bv_boot *b, struct bv_error *err)
{
	const struct bv_vm_spec *spec = &vm->spec;
	if (spec->root == BV_VM_BLK) {
		b->root_type = strdup("auto");
		b->root_source = strdup("/dev/vda");
		b->root_options = strdup("");
	} else {
		describe_share(spec->root == BV_VM_9P, spec->cache, "root", &b->root_type, &b->root_source,
			       &b->root_options);
	}
	if (spec->shares)
		describe_share(spec->root == BV_VM_9P, spec->cache, "mounts", &b->share_type, &b->share_source,
			       &b->share_options);
	if (spec->console)
		b->console = strdup(bv_streq(spec->arch, "aarch64") ? "ttyAMA0" : "ttyS0");
	b->root_readonly = spec->root_readonly;
	b->ttys = spec->ttys;
	b->execute = run->execute;
	b->uid = run->exec_uid;
	b->gid = run->exec_gid;
	bool good = b->root_type && b->root_source && b->root_options && (b->console || !spec->console) &&
		    (!spec->shares || (b->share_type && b->share_source && b->share_options));
	for (char *const *a = run->command; good && a && *a; a++)
		good = bv_strv_add(&b->command, *a) == 0;
	return good ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int make_initramfs(struct bv_run *run, struct bv_vm *vm, struct bv_boot *boot, struct bv_error *err)
{
	autofree char *config = NULL, *text = NULL;
	int r = guest_boot(run, vm, boot, err);
	if (r == 0)
		r = guest_config(run, &vm->spec, &config, err);
	text = r == 0 ? bv_boot_format(boot) : NULL;
	if (r == 0 && !text)
		r = bv_fail(err, ENOMEM, "out of memory");
	if (r < 0)
		return r;
	struct bv_initramfs what = { .arch = vm->spec.arch, .kernel = &vm->kernel, .config = config, .boot = text };
	what.n_modules = bv_vm_spec_modules(&vm->spec, &what.modules);
	vm->initrd = bv_initramfs_make(&what, err);
	return vm->initrd < 0 ? vm->initrd : 0;
}

/* At a reboot it is there, with what the last guest said. */
static int make_guest_dir(const struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	if (mkdirat(run->run_dir, "guest", 0700) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "cannot make the directory guest in the run directory of %s", run->name);
	unlinkat(run->run_dir, "guest/addresses", 0);
	int r = vm->guest_dir = bv_mount_clone(run->run_dir, "guest", false);
	return r < 0 ? bv_fail(err, r, "cannot bind the directory guest in the run directory of %s: %s", run->name,
			       strerror(-r))
		     : 0;
}

int bv_vm_prepare(struct bv_run *run, struct bv_vm *vm, struct bv_error *err)
{
	autoclean(bv_boot_clear) struct bv_boot boot = { 0 };
	int r = warn_ignored(run, err);
	if (r == 0)
		r = bv_vm_describe(run, vm, err);
	if (r == 0)
		r = bv_vm_entries(run, vm, &boot.mounts, err);
	if (r < 0)
		return r;
	bv_notice("vm", "%s", vm->spec.accel_reason);
	r = bv_net_plan(&run->net, run->config, err);
	if (r == 0)
		r = find_kernel(run, vm, err);
	if (r == 0)
		r = make_initramfs(run, vm, &boot, err);
	return r < 0 ? r : make_guest_dir(run, vm, err);
}
