/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"
#include "util/str.h"

/*
 * What the guest's init is told, beside the instance's config: two files at the top of the initramfs.
 *   /config  the effective configuration of the run, as bv_config_dump() writes it, with what only the host could know
 *            put in: every lxc.net.N has its hwaddr and its name, gateways are addresses
 *   /boot    this struct, as lines "key value"; values have their control characters and '\' as \ooo
 * It travels in the initramfs and not on the kernel's command line, which everybody in the guest could read and which
 * is short.
 */
struct bv_boot {
	char *root_type;      /* "virtiofs", "9p", or a disk's file system ("ext4"; "auto": tried in turn) */
	char *root_source;    /* tag, or device: "root", "/dev/vda" */
	char *root_options;   /* for the file system: "trans=virtio,version=9p2000.L,msize=512000"; "" */
	bool root_readonly;
	char *console;        /* the kernel's console: "ttyS0", "ttyAMA0"; NULL: lxc.console.path = none */
	uint32_t ttys;        /* of lxc.tty.max: /dev/hvc0 and on, which become /dev/tty1 and on */
	bool execute;         /* run `command` as lxc-execute does, then end */
	int64_t uid, gid;     /* execute's, -1 unset */
	struct bv_strv command;   /* argv in place of lxc.init.cmd; empty: what the config says */
	/*
	 * The mounts that lxc.mount.entry and lxc.mount.fstab ask for, as fstab lines in their order. A bind of
	 * something of the host has the source "share:N": that is N below the file system with the tag `share_source`.
	 */
	struct bv_strv mounts;
	char *share_type, *share_source, *share_options; /* as of the root; NULL: nothing is shared */
};

/* The text, malloc'ed; NULL when out of memory. */
char *bv_boot_format(const struct bv_boot *b);
/* `ret` is zeroed; an unknown key is an error, as both sides are of one build. */
int bv_boot_parse(struct bv_boot *ret, const char *text, struct bv_error *err);
void bv_boot_clear(struct bv_boot *b);
