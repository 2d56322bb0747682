/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "engine/vm/probe.h"
#include "util/error.h"
#include "util/str.h"

/*
 * A VM as the instance's ordinary keys, and vm.* where the user wants to say more, describe it. Nothing in it is about
 * QEMU: another back-end reads the same.
 */
enum bv_vm_accel { BV_VM_TCG, BV_VM_KVM };
enum bv_vm_root { BV_VM_VIRTIOFS, BV_VM_9P, BV_VM_BLK };
enum { BV_VM_QUEUES_MAX = 8, BV_VM_NICS_MAX = 16, BV_VM_TTYS_MAX = 30 };

struct bv_vm_nic {
	unsigned int index;    /* lxc.net.N */
	uint8_t mac[6];        /* lxc.net.N.hwaddr, or a random one that is made here */
	uint32_t mtu;          /* 0: the default */
	unsigned int queues;   /* 1, or with vhost-net one for each CPU */
	bool vhost;
};

struct bv_vm_spec {
	const char *name;      /* of the instance; borrowed */
	char arch[16];         /* "x86_64", "aarch64" */
	enum bv_vm_accel accel;
	char accel_reason[200];/* for the log: "TCG, because ..." */
	const char *machine;   /* "q35", "pc", "microvm", "virt", or what vm.machine says; borrowed from the config */
	uint64_t memory;       /* bytes of RAM, a multiple of 1 MiB */
	uint64_t balloon;      /* bytes that the guest is to have at most by lxc.cgroup*.memory.high; 0: all of it */
	bool has_balloon;      /* vm.balloon */
	uint32_t cpus;
	enum bv_vm_root root;
	const char *cache;     /* of a file server: "always", "auto", "none" */
	bool root_readonly;    /* lxc.rootfs.options has ro */
	char root_fs[16];      /* of a disk; "" unknown: drivers for several are loaded */
	bool shares;           /* a second share, for bind mounts of the host; set by bv_vm_entries
				* opened. It is 9p when the root is, else virtiofs */
	uint32_t ttys;         /* lxc.tty.max, at most BV_VM_TTYS_MAX */
	bool console;          /* false with lxc.console.path = none */
	uint64_t tsc_khz;
	struct bv_vm_nic nics[BV_VM_NICS_MAX];
	size_t n_nics;
	char *cmdline;         /* of the kernel, vm.cmdline at its end; owned */
};

/* What the caller found out about the instance's rootfs. */
struct bv_vm_rootfs {
	char arch[16];         /* of the programs in it; "" unknown */
	bool is_image;         /* a disk image or a block device: it can only be a disk */
	char fs[16];           /* of an image: "ext4"; "" unknown */
};

/*
 * Is there a lxc.* key that cannot hold in a VM? Those without which the instance would not be what its owner asked for
 * are refused (-ENOTSUP, the sentence names key and value, the hint what to do): lxc.namespace.share.*, keep, a
 * phys link, ... Those that only the wall of a VM makes needless, or that a guest's own kernel decides, are put into
 * `ignored`, by name, in the order of the key table; they are warned about once a start. A key that is at its default
 * is never mentioned.
 */
int bv_vm_check_keys(const struct bv_config *cfg, struct bv_strv *ignored, struct bv_error *err);

/* "holds", "ignored", "refused", or "depends" (on the value); NULL: nothing is known of this key. For tests. */
const char *bv_vm_key_verdict(const char *key);

/*
 * `cgroup_memory_max` and the like are read from the config's lxc.cgroup2.* or lxc.cgroup.* lines (either version's
 * names). RAM is vm.memory, else memory.max less what the VMM needs for itself, else 512 MiB; CPUs are vm.cpus, else
 * the cpuset's number or cpu.max rounded up, else 1 with KVM and 2 with TCG, and never more than the host has.
 */
int bv_vm_spec_make(struct bv_vm_spec *ret, const char *name, const struct bv_config *cfg,
		    const struct bv_vm_host *host, const struct bv_vm_rootfs *rootfs, struct bv_error *err);
void bv_vm_spec_clear(struct bv_vm_spec *spec);

/* Do its devices sit on virtio-mmio (microvm), rather than on PCI? */
bool bv_vm_spec_is_mmio(const struct bv_vm_spec *spec);

/* The modules that the guest has to load, as kernel.h takes them; static storage, NULL-terminated name list too. */
struct bv_module_wish;
size_t bv_vm_spec_modules(const struct bv_vm_spec *spec, const struct bv_module_wish **ret);
const char *const *bv_vm_spec_needed(const struct bv_vm_spec *spec);
