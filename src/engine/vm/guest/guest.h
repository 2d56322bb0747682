/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "config/config.h"
#include "engine/vm/boot.h"
#include "util/error.h"

/*
 * Process 1 of a VM, until it becomes the instance's init: /init of the initramfs, a static program that needs nothing
 * of the rootfs. It does what the container engine's child does for a container: mounts, ttys, network, limits; and
 * what a kernel of one's own wants in addition: modules, the root file system, /dev.
 *
 * A failure goes to the host as BV_FRAME_FAILED, to the console as a line "bivalve: ...", and ends the VM.
 */
struct guest {
	struct bv_boot boot;
	struct bv_config *cfg;
	int port;            /* of the agent, -1 before it is open */
	int share;           /* O_PATH fd of the share's top; -1: nothing is shared */
	bool systemd;        /* what will be executed is systemd */
	struct bv_strv argv; /* what will be executed */
};

/* ---- root.c ---- */

/* /proc, /sys and /dev, in the initramfs. */
int guest_mount_kernel(struct guest *g, struct bv_error *err);
/* /modules/NNN-*.ko, in order. */
int guest_load_modules(struct guest *g, struct bv_error *err);
/* The instance's root on /newroot; what is shared on /share. */
int guest_mount_root(struct guest *g, struct bv_error *err);
/* /newroot becomes "/", with /proc, /sys and /dev; the initramfs' files are given back. */
int guest_switch_root(struct guest *g, struct bv_error *err);

/* ---- mounts.c ---- */

/* /run, what a container's /dev has and the kernel's has not, then lxc.mount.entry and lxc.mount.fstab. */
int guest_mount_all(struct guest *g, struct bv_error *err);

/* ---- fstab.c ---- */

/* Lines of the rootfs' /etc/fstab that name disks: there are none here, and an init would wait for them. */
int guest_hide_fstab_disks(struct guest *g, struct bv_error *err);

/* ---- ttys.c ---- */

/* /dev/hvc0 and on become /dev/tty1 and on. */
int guest_make_ttys(struct guest *g, struct bv_error *err);
/* stdin, stdout and stderr: the console, or /dev/null. */
int guest_take_console(struct bv_error *err);

/* ---- network.c ---- */

/* The links get the names and MTUs that the config has for their MACs, then addresses and routes. */
int guest_configure_network(struct guest *g, struct bv_error *err);

/* ---- units.c ---- */

/* Does `command` lead to systemd in this root? */
bool guest_is_systemd(const char *command);
/* What systemd has to know, below /run/systemd/system. */
int guest_write_units(struct guest *g, struct bv_error *err);

/* ---- process.c ---- */

/* Fork the agent, restrict the process, execute the instance's init (or lxc-execute's command below one of ours). It
 * returns only when there was nobody else to tell the failure. */
int guest_become_init(struct guest *g, struct bv_error *err);

/* ---- init.c ---- */

/* For the host's log: what is done now. */
void guest_stage(const struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Tell host and console. */
void guest_tell_failure(const struct guest *g, const struct bv_error *err);
/* Write all back and switch the machine off. */
void guest_power_off(void) __attribute__((noreturn));

/*
 * Wait for something that a driver is still making: call `there` every 10 ms until it is not -EAGAIN, for 5 seconds at
 * most. What it returned; -ETIMEDOUT.
 */
int guest_wait(int (*there)(void *data), void *data);
