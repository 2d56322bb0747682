/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "engine/vm/kernel/kernel.h"
#include "engine/vm/probe.h"
#include "engine/vm/qemu/command.h"
#include "engine/vm/spec.h"
#include "util/error.h"

/*
 * The supervisor: the VM's first process on the host, what bv_run.pid names. It is the first of a pid namespace; QEMU
 * and the file servers are its children, and end with it, however it ends. It holds
 *   - QMP (the only client QEMU ever has): tells a reboot from a power-off, drives the balloon, freezes;
 *   - the agent's port: boot progress, addresses, signals for process 1, and the channels of attached commands;
 *   - the control socket RUN/NAME/vm: attached commands and QMP commands of users.
 * It writes RUN/NAME/guest/addresses (0600): the guest's addresses as the agent told them, for lxc-info and lxc-ls to
 * read without asking anybody. That directory is all that it can write of the host: what else is in the run directory
 * is believed by others, who are root.
 *
 * To the monitor it looks like an init:
 *   it ends by SIGHUP (reboot(2) in a pid namespace)  the guest rebooted: it is to be started again
 *   it exits with 0, or execute's exit code           the guest powered off
 *   it exits with BV_SUPERVISOR_FAILED                QEMU, a file server or the guest's kernel died; the log has why
 * and it takes signals as an init does: SIGPWR halt, SIGINT reboot, others are passed to the guest's process 1.
 * SIGWINCH: a terminal may have a new size, which goes to the guest. For the console's pty, its controlling terminal,
 * the kernel sends it; a process can have but one of these, so for a tty who changes the size does (bv_engine.resized).
 */
enum { BV_SUPERVISOR_FAILED = 125 };

/* What the monitor's steps prepare, in the parent; bv_run.engine_data. */
struct bv_vm {
	struct bv_vm_host host;
	struct bv_vm_spec spec;
	struct bv_kernel kernel;
	int initrd;                    /* sealed memfd */
	char *qemu;                    /* path of the program */
	int sync;                      /* our end of the pair, -1 */
	struct bv_qemu_files files;    /* console, ttys, taps, vhosts, disk; the rest is made by the supervisor */
	int guest_dir;                 /* RUN/NAME/guest as a detached mount */
	int rootfs;                    /* the rootfs as one, -1: a disk */
	bool mapped;                   /* its owners are those of lxc.idmap: the file server needs the maps */
	int *binds;                    /* detached mounts of what bind entries share, in the order of "share:N" */
	size_t n_binds;
};

/*
 * On the pair (SOCK_SEQPACKET) to the monitor: one message, when the guest's init is about to run, with QEMU's pidfd
 * (bv_run.vital); or when nothing will come of it.
 */
struct bv_supervisor_report {
	struct bv_error err; /* code 0: READY */
};

/* The life of the supervisor, after the clone (CLONE_NEWPID | NEWNS | NEWIPC). `sync` is its end of the pair. */
void bv_supervisor(struct bv_run *run, struct bv_vm *vm, int sync, bool born_inside) __attribute__((noreturn));
