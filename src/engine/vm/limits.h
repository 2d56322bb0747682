/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "util/error.h"

/*
 * What lxc.cgroup2.* and lxc.cgroup.* say about memory and CPUs, in either version's names. They are applied to the
 * VMM and its helpers on the host as they are to a container; here they are the measure of what the guest is given.
 */
struct bv_vm_limits {
	uint64_t memory_max, memory_high; /* bytes; 0: no limit */
	uint32_t cpus;                    /* 0: no limit */
	const char *memory_key;           /* the key that memory_max is from: "lxc.cgroup2.memory.max"; NULL */
};

/* -EINVAL names the key whose value cannot be read. */
int bv_vm_limits_read(struct bv_vm_limits *ret, const struct bv_config *cfg, struct bv_error *err);

/*
 * How much the VMM and its helpers need beside the guest's RAM when all of it has to fit into `limit` bytes: code that
 * TCG generated, buffers, page tables.
 */
uint64_t bv_vm_overhead(uint64_t limit, bool kvm);

/*
 * Of `memory` bytes of RAM, how many a guest is to have when lxc.cgroup*.memory.high is `high`, which counts what the
 * VMM needs as well. Never so few that it would not live.
 */
uint64_t bv_vm_balloon_target(uint64_t memory, uint64_t high, bool kvm);

/*
 * In MiB: the RAM that a guest is to have at least to boot, and what the balloon leaves to one that runs. Debian's 6.1
 * with our initramfs panics in less than 72 (cloud) or 88 (standard).
 */
enum { BV_VM_BOOT_LEAST_MIB = 96, BV_VM_MEMORY_LEAST_MIB = 64 };

/* TCG's buffer for generated code, in MiB, for a guest with `memory` bytes: agrees with bv_vm_overhead. */
unsigned int bv_vm_code_buffer(uint64_t memory);
