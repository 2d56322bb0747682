/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/kernel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/vm/kernel/image.h"
#include "engine/vm/kernel/modules.h"
#include "rootfs/rootat.h"
#include "util/cleanup.h"
#include "util/log.h"

enum { CANDIDATES_MAX = 64 };

/* A directory with boot/ and lib/modules/. */
struct place {
	const char *where;  /* bv_kernel.where */
	const char *prefix; /* of paths in messages: "the rootfs's ", "", "/usr/share/lxc/kernel" */
	int root;
};

struct search {
	const struct bv_kernel_wish *wish;
	struct bv_buf reasons; /* why not this one, nor that one */
};

/* An image, and what it is. */
struct candidate {
	int image;
	enum bv_image_kind kind;
	char *path; /* for messages */
	char *version;
	dev_t dev;
	ino_t ino;
};

struct candidates {
	struct candidate v[CANDIDATES_MAX];
	size_t n;
};

static void candidate_clear(struct candidate *c)
{
	close_fd(&c->image);
	free(c->path);
	free(c->version);
	*c = (struct candidate){ .image = -1 };
}

void bv_kernel_clear(struct bv_kernel *k)
{
	/* Of a struct that is all zero, 0 is no fd of ours. */
	if (k->image_path) {
		close_fd(&k->image);
		close_fd(&k->modules);
	}
	free(k->image_path);
	free(k->version);
	*k = (struct bv_kernel){ .image = -1, .modules = -1 };
}

static void reason(struct search *s, const struct candidate *c, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void reason(struct search *s, const struct candidate *c, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bv_debug("vm", "kernel: %s %s", c->path, text);
	/* An error has room for so much; a /boot may be full of such files. */
	if (s->reasons.len < BV_ERROR_WHAT)
		bv_buf_printf(&s->reasons, "%s%s %s", s->reasons.len ? "; " : "", c->path, text);
}

/* ---- one image ---- */

/* A packed one cannot be told before it is unpacked, which takes a while: see unpack(). */
static bool right_arch(struct search *s, const struct candidate *c, const char *arch)
{
	if (c->kind == BV_IMAGE_UNKNOWN) {
		reason(s, c, "is no kernel");
		return false;
	}
	bool packed = c->kind == BV_IMAGE_GZIP || c->kind == BV_IMAGE_ZBOOT;
	if (bv_streq(arch, s->wish->arch) || (packed && !*arch && bv_streq(s->wish->arch, "aarch64")))
		return true;
	reason(s, c, "is no kernel for %s", s->wish->arch);
	return false;
}

/* The version by the image's header, or by the file's name: "vmlinuz-6.1.0". NULL: not known. */
static char *version_of(int image, enum bv_image_kind kind, const char *name)
{
	char *version = NULL;
	if (kind == BV_IMAGE_BZ && bv_kernel_image_version(image, &version) == 0)
		return version;
	const char *base = strrchr(name, '/');
	base = base ? base + 1 : name;
	const char *rest = bv_after(base, "vmlinuz-") ?: bv_after(base, "vmlinux-") ?: bv_after(base, "Image-");
	if (rest && bv_kernel_version_ok(rest))
		return strdup(rest);
	if (kind == BV_IMAGE_ARM64 || kind == BV_IMAGE_ELF)
		return bv_image_text_version(image);
	return NULL;
}

static int unpack(struct search *s, struct candidate *c, struct bv_error *err)
{
	const char *arch;
	if (c->kind != BV_IMAGE_ZBOOT && c->kind != BV_IMAGE_GZIP)
		return 0;
	int r = bv_image_unpack(&c->image, c->kind, c->path, err);
	if (r < 0)
		return r;
	c->kind = bv_image_kind(c->image, &arch);
	if (!right_arch(s, c, arch))
		return bv_fail(err, ENOEXEC, "%s is no kernel for %s", c->path, s->wish->arch);
	if (!c->version)
		c->version = bv_image_text_version(c->image);
	return 0;
}

/* Takes `fd`. True: it may do. */
static bool look_at(struct search *s, struct candidate *c, int fd, char *path)
{
	const char *arch;
	struct stat st;
	*c = (struct candidate){ .image = fd, .path = path };
	if (!path)
		return false;
	if (fd < 0) {
		reason(s, c, "cannot be read (%s)", strerror(-fd));
		return false;
	}
	if (fstat(fd, &st) == 0) {
		c->dev = st.st_dev;
		c->ino = st.st_ino;
	}
	c->kind = bv_image_kind(fd, &arch);
	if (!right_arch(s, c, arch))
		return false;
	c->version = version_of(fd, c->kind, path);
	return true;
}

/* Has the kernel with these modules all that is needed? What it lacks becomes a reason. */
static bool has_needed(struct search *s, const struct candidate *c, int dir, struct bv_error *err)
{
	autoclean(bv_modules_clear) struct bv_modules m = { 0 };
	autoclean(bv_buf_clear) struct bv_buf lacks = { 0 };
	struct bv_error why = { 0 };
	int r = bv_modules_read(&m, dir, &why);
	if (r == -ENOENT) {
		reason(s, c, "has modules without a modules.dep (depmod %s makes it)", c->version ?: "VERSION");
		return false;
	}
	if (r < 0) {
		reason(s, c, "has modules that cannot be read (%s)", why.what);
		return false;
	}
	for (const char *const *name = s->wish->needed; name && *name; name++)
		if (!bv_modules_find(&m, *name))
			bv_buf_printf(&lacks, "%s%s", lacks.len ? ", " : "", *name);
	if (lacks.bad)
		bv_fail(err, ENOMEM, "out of memory");
	if (lacks.len)
		reason(s, c, "has no %s", lacks.p);
	return lacks.len == 0 && !lacks.bad;
}

static int finish(struct bv_kernel *ret, struct candidate *c, const char *where, int modules, struct bv_error *err)
{
	/* Without "the rootfs's ". */
	const char *path = strchr(c->path, '/');
	ret->image = take_fd(&c->image);
	ret->modules = modules;
	ret->image_path = strdup(path ? path : c->path);
	ret->version = strdup(c->version ? c->version : "");
	ret->where = where;
	if (!ret->image_path || !ret->version) {
		close_fd(&ret->image);
		close_fd(&ret->modules);
		bv_kernel_clear(ret);
		return bv_fail(err, ENOMEM, "out of memory");
	}
	return 1;
}

/* ---- one place ---- */

static int open_modules(int root, const char *version)
{
	static const char *const dirs[] = { "lib/modules", "usr/lib/modules" };
	int fd = -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(dirs) && fd == -ENOENT; i++) {
		autofree char *path = bv_asprintf("%s/%s", dirs[i], version);
		fd = path ? bv_rootat_open(root, path, O_PATH | O_DIRECTORY, 0) : -ENOMEM;
	}
	return fd;
}

/* By version, the highest first. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *c = a, *d = b;
	if (!c->version || !d->version)
		return !c->version - !d->version;
	return -bv_kernel_version_compare(c->version, d->version);
}

static bool known_already(const struct candidates *l, const struct candidate *c)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].dev == c->dev && l->v[i].ino == c->ino)
			return true;
	return false;
}

/* /boot may be full of links to one and the same kernel. */
static void list_place(struct search *s, const struct place *p, struct candidates *l)
{
	autoclose int boot = bv_rootat_open(p->root, "boot", O_RDONLY | O_DIRECTORY, 0);
	autodir DIR *d = boot >= 0 ? fdopendir(boot) : NULL;
	if (!d)
		return;
	boot = -1;
	for (struct dirent *e; l->n < CANDIDATES_MAX && (e = readdir(d)) != NULL;) {
		const char *rest = bv_after(e->d_name, "vmlinuz");
		if (!rest || (*rest && *rest != '-'))
			continue;
		autoclean(candidate_clear) struct candidate c = { .image = -1 };
		autofree char *name = bv_asprintf("boot/%s", e->d_name);
		int fd = name ? bv_rootat_open_file(p->root, name) : -ENOMEM;
		/* A link to nowhere. */
		if (fd == -ENOENT)
			continue;
		if (!look_at(s, &c, fd, bv_asprintf("%s/boot/%s", p->prefix, e->d_name)) || known_already(l, &c))
			continue;
		l->v[l->n++] = c;
		c = (struct candidate){ .image = -1 };
	}
	qsort(l->v, l->n, sizeof(l->v[0]), compare_candidates);
}

/* 1: it is in *ret. 0: it will not do. */
static int try_candidate(struct search *s, const struct place *p, struct candidate *c, struct bv_kernel *ret,
			 struct bv_error *err)
{
	struct bv_error why = { 0 };
	if (unpack(s, c, &why) < 0) {
		if (c->kind == BV_IMAGE_GZIP || c->kind == BV_IMAGE_ZBOOT)
			reason(s, c, "cannot be used (%s)", why.what);
		return 0;
	}
	if (!c->version) {
		reason(s, c, "does not tell its version");
		return 0;
	}
	autoclose int modules = open_modules(p->root, c->version);
	if (modules < 0) {
		reason(s, c, "has no modules, there is no lib/modules/%s", c->version);
		return 0;
	}
	if (has_needed(s, c, modules, err))
		return finish(ret, c, p->where, take_fd(&modules), err);
	/* 0, unless memory ran out. */
	return -err->code;
}

/* 1: it is in *ret. 0: nothing there will do. */
static int search_place(struct search *s, const struct place *p, struct bv_kernel *ret, struct bv_error *err)
{
	autofree struct candidates *l = calloc(1, sizeof(*l));
	if (!l)
		return bv_fail(err, ENOMEM, "out of memory");
	list_place(s, p, l);
	int r = 0;
	for (size_t i = 0; i < l->n; i++) {
		if (r == 0)
			r = try_candidate(s, p, &l->v[i], ret, err);
		/* At once: unpacked it is memory. */
		candidate_clear(&l->v[i]);
	}
	return r;
}

/* ---- vm.kernel ---- */

static int open_modules_of_user(const struct search *s, const struct candidate *c, struct bv_error *err)
{
	const struct bv_kernel_wish *w = s->wish;
	static const char *const beside[] = { "lib/modules", "../lib/modules" };
	if (w->modules) {
		int fd = open(w->modules, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return fd < 0 ? bv_fail_errno(err, "vm.modules: cannot open %s", w->modules) : fd;
	}
	if (!c->version)
		return -1;
	const char *slash = strrchr(w->kernel, '/');
	int fd = -1;
	for (size_t i = 0; i < ARRAY_SIZE(beside) && fd < 0; i++) {
		autofree char *path = bv_asprintf("%.*s/%s/%s", slash ? (int)(slash - w->kernel) : 1,
						  slash ? w->kernel : ".", beside[i], c->version);
		fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	}
	if (fd < 0 && w->rootfs >= 0)
		fd = open_modules(w->rootfs, c->version);
	autoclose int host = fd < 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (host >= 0)
		fd = open_modules(host, c->version);
	return fd < 0 ? -1 : fd;
}

static int find_given(struct search *s, struct bv_kernel *ret, struct bv_error *err)
{
	autoclean(candidate_clear) struct candidate c = { .image = -1 };
	const char *path = s->wish->kernel;
	autoclose int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return bv_fail_errno(err, "vm.kernel: cannot open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return bv_fail(err, EINVAL, "vm.kernel: %s is no file", path);
	if (!look_at(s, &c, take_fd(&fd), strdup(path)))
		return bv_fail(err, ENOEXEC, "vm.kernel: %s", s->reasons.p ?: "out of memory");
	int r = unpack(s, &c, err);
	if (r < 0)
		return bv_error_prefix(err, "vm.kernel");
	struct bv_error why = { 0 };
	autoclose int modules = open_modules_of_user(s, &c, &why);
	if (why.code) {
		*err = why;
		return -why.code;
	}
	if (modules < 0)
		bv_info("vm", "kernel: there are no modules of %s: it has to have all built in", path);
	else if (!has_needed(s, &c, modules, err)) {
		bv_fail(err, ENOENT, "vm.kernel: %s", s->reasons.p ?: "out of memory");
		return bv_hint(err, "name another kernel, or none: then one that will do is searched for");
	}
	return finish(ret, &c, "vm.kernel", take_fd(&modules), err);
}

/* ---- all places ---- */

static int fail_none(const struct search *s, struct bv_error *err)
{
	const struct bv_kernel_wish *w = s->wish;
	bool wants_9p = false;
	for (const char *const *name = w->needed; name && *name; name++)
		wants_9p = wants_9p || strncmp(*name, "9p", 2) == 0;
	if (s->reasons.len)
		bv_fail(err, ENOENT, "no kernel will do for a VM of %s: %s", w->arch, s->reasons.p ?: "");
	else
		bv_fail(err, ENOENT, "there is no kernel for a VM of %s in the rootfs's /boot, in /boot and in %s/boot",
			w->arch, BV_DATADIR "/lxc/kernel");
	const char *arch = bv_streq(w->arch, "aarch64") ? "arm64" : "amd64";
	/* Debian's kernel for clouds has no 9p. */
	return bv_hint(err,
		       "apt install linux-image-%s%s, in the instance or (of the same architecture) on the host; "
		       "or name one: vm.kernel = /path/to/vmlinuz",
		       wants_9p ? "" : "cloud-", arch);
}

static int search_places(struct search *s, struct bv_kernel *ret, struct bv_error *err)
{
	autofree char *foreign = bv_asprintf("%s-%s", BV_DATADIR "/lxc/kernel", s->wish->arch);
	const struct {
		const char *where, *prefix, *root;
	} places[] = {
		{ "rootfs", "the rootfs's ", NULL },
		{ "host", "", "/" },
		{ "lxc/kernel", BV_DATADIR "/lxc/kernel", BV_DATADIR "/lxc/kernel" },
		{ "lxc/kernel", foreign, foreign },
	};
	if (!foreign)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = 0;
	for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++) {
		autoclose int own = places[i].root ? open(places[i].root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
		struct place p = { .where = places[i].where,
				   .prefix = places[i].prefix,
				   .root = places[i].root ? own : s->wish->rootfs };
		if (p.root >= 0)
			r = search_place(s, &p, ret, err);
	}
	return r;
}

int bv_kernel_find(struct bv_kernel *ret, const struct bv_kernel_wish *wish, struct bv_error *err)
{
	struct search s = { .wish = wish };
	struct bv_error own = { 0 };
	if (!err)
		err = &own;
	*ret = (struct bv_kernel){ .image = -1, .modules = -1 };
	int r = wish->kernel ? find_given(&s, ret, err) : search_places(&s, ret, err);
	if (r == 0)
		r = fail_none(&s, err);
	bv_buf_clear(&s.reasons);
	return r < 0 ? r : 0;
}
