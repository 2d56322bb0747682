/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "util/error.h"

/*
 * What a file is that claims to be a kernel, and how to get at what is packed. Private to kernel.c, modules.c and
 * initramfs.c.
 */
enum bv_image_kind {
	BV_IMAGE_UNKNOWN,
	BV_IMAGE_BZ,    /* x86's bzImage */
	BV_IMAGE_ELF,   /* vmlinux of x86-64 */
	BV_IMAGE_ARM64, /* Image */
	BV_IMAGE_GZIP,  /* anything in gzip: arm64's Image.gz as a rule */
	BV_IMAGE_ZBOOT, /* arm64's vmlinuz.efi: an EFI program with a packed Image in it */
};

/* Looks at the file's first bytes; `arch` becomes "x86_64", "i686", "aarch64", or "" where the bytes do not tell. */
enum bv_image_kind bv_image_kind(int image, const char **arch);

/*
 * Replace `*image`, a BV_IMAGE_GZIP or BV_IMAGE_ZBOOT, by what is packed in it. `path` is for messages.
 */
int bv_image_unpack(int *image, enum bv_image_kind kind, const char *path, struct bv_error *err);

/* The version behind "Linux version " somewhere in an unpacked image, or NULL. malloc'ed. */
char *bv_image_text_version(int image);

/* Could `version` be one? It becomes part of paths. */
bool bv_kernel_version_ok(const char *version);

/*
 * Less than, equal to or greater than 0, as strcmp(): number by number, a release candidate before its release, and of
 * two flavours of the same version the one that is made for VMs last.
 */
int bv_kernel_version_compare(const char *a, const char *b);

/* ---- unpack.c ---- */

enum bv_packing { BV_PACKED_NOT, BV_PACKED_GZIP, BV_PACKED_XZ, BV_PACKED_ZSTD };

/* By the end of a file's name: ".gz", ".xz", ".zst". */
enum bv_packing bv_packing_of(const char *name);

/*
 * Unpack what `fd` holds from its position on, by the program for it (gzip, xz, zstd), into a memfd that is read from
 * its start. At most `max` bytes. The program is not trusted with more than the bytes: they may come from a rootfs.
 */
int bv_unpack(int fd, enum bv_packing packing, size_t max, const char *path, struct bv_error *err);

/* Append `len` bytes of `from`, from its start, to `to`. 0 or -errno; -EIO when there are fewer. */
int bv_copy_bytes(int from, int to, size_t len);
