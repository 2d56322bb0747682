/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/initramfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/kernel/cache.h"
#include "engine/vm/kernel/digest.h"
#include "engine/vm/kernel/image.h"
#include "engine/vm/kernel/kernel.h"
#include "rootfs/rootat.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

enum {
	BLOCK = 512,
	BYTES_MAX = 256 << 20, /* of all files, unpacked: they may come from a rootfs, and become memory of the host */
};

/* A file of the fixed part. */
struct input {
	int fd;
	size_t size;
	char *path;       /* in the archive */
	const char *from; /* for messages */
	unsigned int mode;
	enum bv_packing packing;
};

struct fixed {
	struct bv_strv modules; /* paths below the modules directory */
	struct input *v;
	size_t n;
	size_t bytes; /* of all of them */
	bool packed;  /* one of them is */
};

static void fixed_clear(struct fixed *f)
{
	for (size_t i = 0; i < f->n; i++) {
		close_fd(&f->v[i].fd);
		free(f->v[i].path);
	}
	free(f->v);
	bv_strv_clear(&f->modules);
	*f = (struct fixed){ 0 };
}

/* ---- what is in it ---- */

/* The file's size is known, or another one than before. */
static int set_size(struct fixed *f, struct input *in, struct bv_error *err)
{
	struct stat st;
	if (fstat(in->fd, &st) < 0)
		return bv_fail_errno(err, "cannot read %s", in->from);
	f->bytes -= in->size;
	if (st.st_size > (off_t)(BYTES_MAX - f->bytes))
		return bv_fail(err, EFBIG, "with %s the initramfs becomes larger than %d MiB", in->from,
			       BYTES_MAX >> 20);
	in->size = (size_t)st.st_size;
	f->bytes += in->size;
	return 0;
}

static int add_input(struct fixed *f, int fd, char *path, const char *from, unsigned int mode, struct bv_error *err)
{
	struct input *in = &f->v[f->n++];
	*in = (struct input){
		.fd = fd, .path = path, .from = from, .mode = S_IFREG | mode, .packing = bv_packing_of(from)
	};
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	f->packed = f->packed || in->packing != BV_PACKED_NOT;
	return set_size(f, in, err);
}

static int add_program(struct fixed *f, const char *arch, struct bv_error *err)
{
	const char *dir = getenv("BIVALVE_GUEST");
	autofree char *path = bv_asprintf("%s/bivalve-guest-%s", dir && *dir ? dir : BV_LIBEXECDIR "/lxc", arch);
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT) {
		bv_fail(err, ENOENT, "this build has no guest program for %s: %s is not there", arch, path);
		if (bv_streq(arch, "aarch64"))
			return bv_hint(err, "apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross, then build and "
					    "install bivalve again");
		return bv_hint(err, "build and install bivalve again, on a machine of that architecture");
	}
	if (fd < 0)
		return bv_fail_errno(err, "cannot open the guest program %s", path);
	return add_input(f, fd, strdup("init"), "the guest program", 0755, err);
}

/* modules/007-virtio_net.ko of kernel/drivers/net/virtio_net.ko.xz */
static char *module_path(size_t number, const char *from)
{
	const char *slash = strrchr(from, '/');
	const char *base = slash ? slash + 1 : from;
	const char *end = strstr(base, ".ko");
	return bv_asprintf("modules/%03zu-%.*s.ko", number, end ? (int)(end - base) : (int)strlen(base), base);
}

static int add_modules(struct fixed *f, const struct bv_kernel *kernel, struct bv_error *err)
{
	for (size_t i = 0; i < f->modules.n; i++) {
		const char *from = f->modules.v[i];
		int fd = bv_rootat_open_file(kernel->modules, from);
		if (fd < 0)
			return bv_fail(err, -fd, "cannot open the module %s of kernel %s: %s", from, kernel->version,
				       strerror(-fd));
		int r = add_input(f, fd, module_path(i, from), from, 0644, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect(struct fixed *f, const struct bv_initramfs *what, struct bv_error *err)
{
	int r = bv_modules_resolve(what->kernel->modules, what->modules, what->n_modules, &f->modules, NULL, err);
	if (r < 0)
		return r;
	f->v = calloc(f->modules.n + 1, sizeof(*f->v));
	if (!f->v)
		return bv_fail(err, ENOMEM, "out of memory");
	r = add_program(f, what->arch, err);
	return r < 0 ? r : add_modules(f, what->kernel, err);
}

/*
 * The files as they are now, in memory of our own: what is hashed has to be what is kept under that hash, and a rootfs
 * may have somebody who changes a module between the two.
 */
static int copy_all(struct fixed *f, struct bv_error *err)
{
	for (size_t i = 0; i < f->n; i++) {
		struct input *in = &f->v[i];
		autoclose int copy = memfd_create("module", MFD_CLOEXEC);
		int r = copy < 0 ? -errno : bv_copy_bytes(in->fd, copy, in->size);
		if (r == 0 && lseek(copy, 0, SEEK_SET) < 0)
			r = -errno;
		if (r < 0)
			return bv_fail(err, -r, "cannot read %s: %s", in->from, strerror(-r));
		close(in->fd);
		in->fd = take_fd(&copy);
	}
	return 0;
}

static int unpack_all(struct fixed *f, struct bv_error *err)
{
	for (size_t i = 0; i < f->n; i++) {
		struct input *in = &f->v[i];
		if (in->packing == BV_PACKED_NOT)
			continue;
		size_t room = BYTES_MAX - f->bytes + in->size;
		int fd = bv_unpack(in->fd, in->packing, room, in->from, err);
		if (fd < 0)
			return fd;
		close(in->fd);
		in->fd = fd;
		int r = set_size(f, in, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- the fixed part ---- */

/* The name in the cache, by the content of all files: as they are, packed or not, which is less to read. */
static int name_of(const struct fixed *f, const char *version, char **ret, struct bv_error *err)
{
	enum { CHUNK = 1 << 16 };
	struct bv_digest digest;
	char hex[BV_DIGEST_HEX];
	autofree char *chunk = malloc(CHUNK);
	if (!chunk)
		return bv_fail(err, ENOMEM, "out of memory");
	bv_digest_begin(&digest);
	for (size_t i = 0; i < f->n; i++) {
		const struct input *in = &f->v[i];
		uint64_t size = in->size;
		bv_digest_add(&digest, in->path, strlen(in->path) + 1);
		bv_digest_add(&digest, &in->packing, sizeof(in->packing));
		bv_digest_add(&digest, &size, sizeof(size));
		for (size_t done = 0; done < in->size;) {
			size_t rest = in->size - done;
			ssize_t n = pread(in->fd, chunk, rest < CHUNK ? rest : CHUNK, (off_t)done);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return bv_fail(err, n < 0 ? errno : EIO, "cannot read %s", in->from);
			bv_digest_add(&digest, chunk, (size_t)n);
			done += (size_t)n;
		}
	}
	bv_digest_end(&digest, hex);
	*ret = bv_asprintf("%s-%s.cpio", *version ? version : "unknown", hex);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int write_out(int out, struct bv_buf *b, struct bv_error *err)
{
	if (b->bad)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = b->len ? bv_write_all(out, b->p, b->len) : 0;
	b->len = 0;
	return r < 0 ? bv_fail(err, -r, "cannot write the initramfs: %s", strerror(-r)) : 0;
}

/* A whole number of blocks, as an archive has. */
static int pad_out(int out, struct bv_error *err)
{
	off_t at = lseek(out, 0, SEEK_END);
	if (at < 0 || ftruncate(out, (at + BLOCK - 1) / BLOCK * BLOCK) < 0 || lseek(out, 0, SEEK_END) < 0)
		return bv_fail_errno(err, "cannot write the initramfs");
	return 0;
}

static int write_file(const struct input *in, int out, struct bv_buf *b, struct bv_error *err)
{
	static const char zeros[4];
	bv_cpio_head(b, in->path, in->mode, in->size, 0, 0);
	int r = write_out(out, b, err);
	if (r < 0)
		return r;
	r = bv_copy_bytes(in->fd, out, in->size);
	if (r < 0)
		return bv_fail(err, -r, "cannot copy %s into the initramfs: %s", in->from, strerror(-r));
	/* Not left in the buffer: what is in it has to begin at a multiple of 4. */
	bv_buf_add(b, zeros, (4 - in->size % 4) % 4);
	return write_out(out, b, err);
}

static int write_fixed(const struct fixed *f, int out, struct bv_error *err)
{
	/* A kernel without its own /dev/console in the initramfs would start init with no stdio. */
	static const char *const dirs[] = { "dev", "proc", "sys", "newroot", "share", "modules" };
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		bv_cpio_add(&b, dirs[i], S_IFDIR | 0755, NULL, 0);
	bv_cpio_head(&b, "dev/console", S_IFCHR | 0600, 0, 5, 1);
	for (size_t i = 0; i < f->n; i++) {
		int r = write_file(&f->v[i], out, &b, err);
		if (r < 0)
			return r;
	}
	bv_cpio_end(&b);
	int r = write_out(out, &b, err);
	return r < 0 ? r : pad_out(out, err);
}

/*
 * To read and hash what is in it takes longer than to write it anew, so only what had to be unpacked is kept: programs
 * would have to be run for each module.
 */
static int make_fixed(struct fixed *f, const char *version, int out, struct bv_error *err)
{
	autoclean(bv_vm_cache_close) struct bv_vm_cache cache = { .dir = -1 };
	autofree char *name = NULL;
	size_t size = 0;
	if (!f->packed)
		return write_fixed(f, out, err);
	bv_vm_cache_open(&cache);
	int r = copy_all(f, err);
	if (r == 0)
		r = name_of(f, version, &name, err);
	if (r < 0)
		return r;
	autoclose int kept = bv_vm_cache_get(&cache, name, &size);
	if (kept >= 0) {
		r = bv_copy_bytes(kept, out, size);
		return r < 0 ? bv_fail(err, -r, "cannot read %s/vm/%s: %s", BV_CACHEDIR, name, strerror(-r)) : 0;
	}
	r = unpack_all(f, err);
	if (r == 0)
		r = write_fixed(f, out, err);
	if (r < 0)
		return r;
	bv_vm_cache_put(&cache, name, out, (size_t)lseek(out, 0, SEEK_CUR));
	return 0;
}

/* ---- all of it ---- */

static int write_start(const struct bv_initramfs *what, int out, struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	bv_cpio_add(&b, "config", S_IFREG | 0600, what->config, strlen(what->config));
	bv_cpio_add(&b, "boot", S_IFREG | 0600, what->boot, strlen(what->boot));
	bv_cpio_end(&b);
	return write_out(out, &b, err);
}

int bv_initramfs_make(const struct bv_initramfs *what, struct bv_error *err)
{
	autoclean(fixed_clear) struct fixed f = { 0 };
	int r = collect(&f, what, err);
	if (r < 0)
		return r;
	autoclose int out = memfd_create("initramfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (out < 0)
		return bv_fail_errno(err, "cannot make room for the initramfs");
	r = make_fixed(&f, what->kernel->version, out, err);
	if (r == 0)
		r = write_start(what, out, err);
	if (r < 0)
		return r;
	bv_debug("vm", "initramfs: %zu modules, %lld bytes", f.modules.n, (long long)lseek(out, 0, SEEK_CUR));
	const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	if (lseek(out, 0, SEEK_SET) < 0 || fcntl(out, F_ADD_SEALS, seals) < 0)
		return bv_fail_errno(err, "cannot seal the initramfs");
	return take_fd(&out);
}
