/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "config/fstab.h"
#include "engine/engine.h"
#include "engine/vm/boot.h"
#include "engine/vm/supervisor/supervisor.h"
#include "util/error.h"

/*
 * The VM engine's rooms:
 *   vm.c, prepare.c    the monitor's side: the steps of a start, and what a VM is made of
 *   spec, keys, ...    a VM as the config and the host (probe.h) make it
 *   kernel/            the guest's kernel, its modules, the initramfs
 *   jail/              the walls around QEMU and the file servers (share.h)
 *   supervisor/        the process that a VM is on the host
 *   qemu/              QEMU's command line, and QMP
 *   guest/             what runs inside: init, and the agent
 *   client/            a command's side: attach, questions to the machine
 *   protocol, boot     what host and guest have in common
 */

/*
 * Everything that can be decided before a process is made: spec, QEMU, kernel, what is mounted, the network's plan
 * (run->net), the initramfs. Fills `vm`, which is zeroed with its fds at -1; nothing on the host is changed.
 */
int bv_vm_prepare(struct bv_run *run, struct bv_vm *vm, struct bv_error *err);

/* The first part of that alone, for a command line to look at: host, rootfs, spec, QEMU. */
int bv_vm_describe(const struct bv_run *run, struct bv_vm *vm, struct bv_error *err);

void bv_vm_init(struct bv_vm *vm);
void bv_vm_clear(struct bv_vm *vm);

/* ---- entries.c: lxc.mount.entry and lxc.mount.fstab ---- */

/*
 * The lines for the guest (bv_boot.mounts), and for each that binds something of the host a detached mount in
 * vm->binds; then vm->spec.shares is true.
 */
int bv_vm_entries(const struct bv_run *run, struct bv_vm *vm, struct bv_strv *lines, struct bv_error *err);
/*
 * Does it bind something of the host? What lies below /proc, /sys or /dev there is the guest's own inside, and so it is
 * bound by the guest alone.
 */
bool bv_vm_entry_is_shared(const struct bv_mount_line *m);
