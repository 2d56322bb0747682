/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What this host offers to a VM, measured rather than read. A /dev/kvm can exist and be far too slow: where the
 * vendor's module is replaced by kvm_pvm, every instruction of a guest kernel is emulated, at about 1000 ns
 * instead of 0.3.
 */
struct bv_vm_host {
	bool kvm;                  /* there, works, and is fast */
	char kvm_reason[160];      /* why not: "/dev/kvm is slow here: 1270 ns an instruction", or how fast it is */
	uint32_t cpus;             /* that the caller may use (sched_getaffinity) */
	uint64_t tsc_khz;          /* of the host's TSC, 0 unknown: from KVM, else /proc/cpuinfo's "cpu MHz" */
	bool vhost_net;            /* /dev/vhost-net can be opened */
	char virtiofsd[128];       /* path of the file server, "" none */
	bool virtiofsd_is_rust;    /* its options differ: "--shared-dir" rather than "-o source=" */
};

/*
 * Look and measure; takes at most about a second (the KVM part runs in a child that is killed then), 20 ms as a rule.
 * The environment variable BIVALVE_KVM=no pretends that there is none, BIVALVE_KVM=yes that it is fast.
 */
void bv_vm_probe(struct bv_vm_host *ret);
