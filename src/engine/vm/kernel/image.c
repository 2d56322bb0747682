/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/image.h"

#include <ctype.h>
#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/vm/kernel/kernel.h"
#include "util/cleanup.h"

enum {
	HEAD = 0x400, /* what is looked at of an image */
	VERSION_MAX = 120,
	IMAGE_MAX = 512 << 20, /* of an unpacked image, and of what is looked at for its version */
	ARCH_X86_64 = 0x3e,    /* ELF's numbers */
};

/* Where things are, by Documentation/arch/x86/boot.rst and arch/arm64/booting.rst of the kernel. */
enum {
	X86_BOOT_FLAG = 0x1fe,
	X86_MAGIC = 0x202,
	X86_PROTOCOL = 0x206,
	X86_VERSION = 0x20e,    /* less 0x200 */
	X86_XLOADFLAGS = 0x236, /* since protocol 2.12 */
	ARM64_MAGIC = 0x38,
	PE_OFFSET = 0x3c,
	ZBOOT_MAGIC = 0x04,
	ZBOOT_START = 0x08,
	ZBOOT_SIZE = 0x0c,
	ZBOOT_PACKING = 0x18,
};

static uint16_t le16(const unsigned char *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const unsigned char *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static bool is_bzimage(const unsigned char *head)
{
	return le16(head + X86_BOOT_FLAG) == 0xaa55 && memcmp(head + X86_MAGIC, "HdrS", 4) == 0 &&
	       le16(head + X86_PROTOCOL) >= 0x200;
}

/* Before protocol 2.12 (Linux 3.8) the header does not say; such a kernel has no virtio-fs, and is given a chance. */
static const char *bzimage_arch(const unsigned char *head)
{
	bool says = le16(head + X86_PROTOCOL) >= 0x20c;
	return says && !(le16(head + X86_XLOADFLAGS) & 1) ? "i686" : "x86_64";
}

static size_t read_head(int image, unsigned char head[HEAD])
{
	memset(head, 0, HEAD);
	ssize_t n = pread(image, head, HEAD, 0);
	return n < 0 ? 0 : (size_t)n;
}

enum bv_image_kind bv_image_kind(int image, const char **arch)
{
	unsigned char head[HEAD];
	*arch = "";
	if (read_head(image, head) < 64)
		return BV_IMAGE_UNKNOWN;
	if (is_bzimage(head)) {
		*arch = bzimage_arch(head);
		return BV_IMAGE_BZ;
	}
	if (memcmp(head + ARM64_MAGIC, "ARM\x64", 4) == 0) {
		*arch = "aarch64";
		return BV_IMAGE_ARM64;
	}
	if (memcmp(head, ELFMAG, SELFMAG) == 0 && head[EI_CLASS] == ELFCLASS64 && le16(head + 18) == ARCH_X86_64) {
		*arch = "x86_64";
		return BV_IMAGE_ELF;
	}
	if (head[0] == 0x1f && head[1] == 0x8b)
		return BV_IMAGE_GZIP;
	if (memcmp(head, "MZ", 2) == 0 && memcmp(head + ZBOOT_MAGIC, "zimg", 4) == 0) {
		uint32_t pe = le32(head + PE_OFFSET);
		*arch = pe <= HEAD - 6 && le16(head + pe + 4) == 0xaa64 ? "aarch64" : "";
		return BV_IMAGE_ZBOOT;
	}
	return BV_IMAGE_UNKNOWN;
}

int bv_kernel_image_version(int image, char **ret)
{
	unsigned char head[HEAD];
	char text[VERSION_MAX + 1] = "";
	*ret = NULL;
	if (read_head(image, head) < HEAD || !is_bzimage(head) || le16(head + X86_VERSION) == 0)
		return -ENOENT;
	if (pread(image, text, VERSION_MAX, 0x200 + (off_t)le16(head + X86_VERSION)) <= 0)
		return -ENOENT;
	text[strcspn(text, " ")] = '\0';
	if (!bv_kernel_version_ok(text))
		return -ENOENT;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* The packed part of an EFI program: from `start` on, `size` bytes, in a file of its own. */
static int zboot_payload(int image, enum bv_packing *packing)
{
	unsigned char head[HEAD];
	if (read_head(image, head) < HEAD)
		return -EINVAL;
	size_t size = le32(head + ZBOOT_SIZE);
	off_t at = le32(head + ZBOOT_START);
	const char *name = (const char *)head + ZBOOT_PACKING;
	*packing = strncmp(name, "gzip", 5) == 0   ? BV_PACKED_GZIP
		   : strncmp(name, "zstd", 5) == 0 ? BV_PACKED_ZSTD
		   : strncmp(name, "xz", 3) == 0   ? BV_PACKED_XZ
						   : BV_PACKED_NOT;
	if (*packing == BV_PACKED_NOT || size == 0 || size > IMAGE_MAX)
		return -EINVAL;
	autoclose int out = memfd_create("payload", MFD_CLOEXEC);
	if (out < 0 || ftruncate(out, (off_t)size) < 0)
		return -errno;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
	if (p == MAP_FAILED)
		return -errno;
	size_t done = 0;
	for (ssize_t n; done < size; done += (size_t)n)
		if ((n = pread(image, p + done, size - done, at + (off_t)done)) <= 0)
			break;
	munmap(p, size);
	return done == size ? take_fd(&out) : -EINVAL;
}

int bv_image_unpack(int *image, enum bv_image_kind kind, const char *path, struct bv_error *err)
{
	autoclose int payload = -1;
	enum bv_packing packing = BV_PACKED_GZIP;
	int from = *image;
	if (kind == BV_IMAGE_ZBOOT) {
		payload = zboot_payload(*image, &packing);
		if (payload < 0)
			return bv_fail(err, -payload, "%s is an EFI program whose packed part cannot be read", path);
		from = payload;
	}
	if (lseek(from, 0, SEEK_SET) < 0)
		return bv_fail_errno(err, "cannot read %s", path);
	int plain = bv_unpack(from, packing, IMAGE_MAX, path, err);
	if (plain < 0)
		return plain;
	close_fd(image);
	*image = plain;
	return 0;
}

/* ---- versions ---- */

bool bv_kernel_version_ok(const char *version)
{
	if (!isdigit((unsigned char)*version) || strlen(version) >= VERSION_MAX)
		return false;
	for (const char *p = version; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._+~-", *p))
			return false;
	return true;
}

char *bv_image_text_version(int image)
{
	enum { CHUNK = 1 << 20 };
	static const char mark[] = "Linux version ";
	/* A version that a border cuts is whole in the next chunk, which begins with the end of this one. */
	size_t overlap = sizeof(mark) + VERSION_MAX;
	autofree char *chunk = malloc(CHUNK + 1);
	if (!chunk)
		return NULL;
	for (off_t at = 0; at < IMAGE_MAX; at += (off_t)(CHUNK - overlap)) {
		ssize_t n = pread(image, chunk, CHUNK, at);
		if (n <= 0)
			return NULL;
		chunk[n] = '\0';
		for (char *p = chunk; (p = memmem(p, (size_t)(chunk + n - p), mark, sizeof(mark) - 1)) != NULL;) {
			p += sizeof(mark) - 1;
			size_t len = strcspn(p, " \n");
			char after = p[len];
			p[len] = '\0';
			/* There is a "Linux version %s" as well. */
			if (after == ' ' && bv_kernel_version_ok(p))
				return strdup(p);
			p[len] = after;
		}
		if ((size_t)n < CHUNK)
			return NULL;
	}
	return NULL;
}

/* The next number of *s behind at most one separator; -1 when there is none, and *s stays. */
static long long next_number(const char **s)
{
	const char *p = *s;
	if (*p && strchr(".-+~_", *p))
		p++;
	if (!isdigit((unsigned char)*p))
		return -1;
	long long n = 0;
	for (; isdigit((unsigned char)*p); p++)
		if (n < (1LL << 50))
			n = n * 10 + (*p - '0');
	*s = p;
	return n;
}

/* What comes behind the numbers, as an order. */
static int flavour_rank(const char *rest)
{
	if (strncmp(rest, "-rc", 3) == 0 || strncmp(rest, "~rc", 3) == 0)
		return 0;
	if (strstr(rest, "-cloud") || strstr(rest, "-virt") || strstr(rest, "-kvm"))
		return 2;
	return 1;
}

int bv_kernel_version_compare(const char *a, const char *b)
{
	long long m, n;
	do {
		m = next_number(&a);
		n = next_number(&b);
		/* "6.13-rc2" is not yet "6.13", nor "6.13.1": the number that one has and the other has not decides. */
		if (m != n)
			return m < n ? -1 : 1;
	} while (m >= 0);
	int by_flavour = flavour_rank(a) - flavour_rank(b);
	return by_flavour ? by_flavour : strverscmp(a, b);
}
