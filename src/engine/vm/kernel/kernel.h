/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "config/config.h"
#include "util/error.h"
#include "util/str.h"

/*
 * The guest's kernel and its modules. Searched in this order, the first place that has a kernel which can do what is
 * needed wins:
 *   1. vm.kernel (with vm.modules, a directory that has modules.dep; else lib/modules/VERSION beside it, in the rootfs,
 *      on the host)
 *   2. the rootfs: boot/vmlinuz-* with lib/modules/VERSION
 *   3. the host: /boot and /lib/modules
 *   4. BV_DATADIR/lxc/kernel, then lxc/kernel-ARCH: boot and lib/modules of a kernel that was put there for VMs
 *      (./dev setup does)
 * 2 and 3 and 4 only for kernels of the guest's architecture. In one place the highest version wins, and of two
 * flavours of one version the one that is made for VMs ("-cloud-").
 *
 * What a kernel must have: a driver, as a module or built in, for each of the names in `needed` (modules.builtin and
 * modules.dep tell). Paths in the rootfs are opened below its fd (rootfs/rootat.h) and never followed out of it.
 */
struct bv_kernel {
	int image;               /* open fd of the bzImage (arm64: Image or its gzip) */
	char *image_path;        /* for messages; of the rootfs: as seen inside */
	char *version;           /* "6.1.0-56-cloud-amd64"; "" when the image does not tell (no modules then) */
	int modules;             /* O_PATH fd of lib/modules/VERSION, -1: everything is built in */
	const char *where;       /* "vm.kernel", "rootfs", "host", "lxc/kernel": for the log */
};

struct bv_kernel_wish {
	const char *arch;                /* "x86_64", "aarch64" */
	const char *kernel, *modules;    /* vm.kernel and vm.modules, or NULL */
	int rootfs;                      /* fd of the rootfs' top directory, -1 none */
	const char *const *needed;       /* NULL-terminated: "virtio_net", "virtiofs" (names with '_') */
};

/*
 * -ENOENT: no kernel was found; the sentence says where was looked and what was missing ("/boot/vmlinuz-6.1.0-56-cloud-
 * amd64 has no 9p"), the hint which package to install (apt install linux-image-cloud-amd64).
 */
int bv_kernel_find(struct bv_kernel *ret, const struct bv_kernel_wish *wish, struct bv_error *err);
void bv_kernel_clear(struct bv_kernel *k);

/* The version in a bzImage's header (boot protocol 2.00, offset 0x20e); -ENOENT when it is not one. malloc'ed. */
int bv_kernel_image_version(int image, char **ret);

/*
 * The module files to load for `wishes`, dependencies first, each once: paths relative to the modules directory.
 * Built-in ones are passed over; one that is neither is left out unless it is `required` (-ENOENT, *missing names it,
 * borrowed). -E2BIG: they would be more than BV_MODULES_MAX. However hostile the directory's files are, it takes
 * seconds at most.
 */
enum { BV_MODULES_MAX = 999 }; /* the archive numbers them with three digits */
struct bv_module_wish {
	const char *name;
	bool required;
};
int bv_modules_resolve(int modules_dir, const struct bv_module_wish *wishes, size_t n, struct bv_strv *files,
		       const char **missing, struct bv_error *err);
