/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/log.h"

struct entries {
	const struct bv_run *run;
	struct bv_vm *vm;
	struct bv_strv *lines;
};

/* A field of fstab: blanks, and what else would end it, as "\" and three octal digits. */
static void put_field(struct bv_buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r' || *text == '\\' || *text == '#')
			bv_buf_printf(b, "\\%03o", (unsigned int)(unsigned char)*text);
		else
			bv_buf_putc(b, *text);
	}
}

static int add_line(struct entries *e, const struct bv_mount_line *m, const char *source, const char *target,
		    struct bv_error *err)
{
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };
	const char *const fields[] = { source, target, m->type, *m->options ? m->options : "defaults" };
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		put_field(&b, fields[i]);
		bv_buf_putc(&b, ' ');
	}
	bv_buf_puts(&b, "0 0");
	return b.bad || bv_strv_add(e->lines, b.p) < 0 ? bv_fail(err, ENOMEM, "out of memory") : 0;
}

/* In one of the kernel's own file systems, of which the guest has its own? */
static bool is_kernels(const char *path)
{
	static const char *const tops[] = { "/proc", "/sys", "/dev" };
	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		const char *rest = bv_after(path, tops[i]);
		if (rest && (*rest == '/' || *rest == '\0'))
			return true;
	}
	return false;
}

bool bv_vm_entry_is_shared(const struct bv_mount_line *m)
{
	return m->bind && !m->remount && !m->relative && !is_kernels(m->source);
}

/* A detached mount of what is bound, read-only as seen from the host too when the entry says so. */
static int share(struct entries *e, const struct bv_mount_line *m, struct bv_error *err)
{
	autoclose int fd = bv_mount_clone(AT_FDCWD, m->source, m->recursive);
	struct bv_mount_flags ro = { .set = m->flags.set & MOUNT_ATTR_RDONLY };
	int r = fd;
	if (r >= 0 && ro.set)
		r = bv_mount_change(fd, &ro, m->recursive);
	if (r < 0) {
		errno = -r;
		return bv_fail_errno(err, "cannot bind %s", m->source);
	}
	int *more = reallocarray(e->vm->binds, e->vm->n_binds + 1, sizeof(*more));
	if (!more)
		return bv_fail(err, ENOMEM, "out of memory");
	e->vm->binds = more;
	more[e->vm->n_binds++] = take_fd(&fd);
	return 0;
}

static int take(void *ctx, const struct bv_mount_line *m, const char *where, struct bv_error *err)
{
	struct entries *e = ctx;
	const char *target = bv_mount_target_inside(e->run->config, e->run->lxcpath, e->run->name, m->target);
	if (!target) {
		bv_warn("mounts", "%s: ignored, because %s is not inside the rootfs", where, m->target);
		return 0;
	}
	if (m->move && !m->relative)
		return bv_fail(err, ENOTSUP, "a mount of the host cannot be moved into a VM");
	if (m->idmap)
		return bv_fail(err, ENOTSUP, "idmap= is not there for a VM: its kernel sees the owners as they are");
	if (!bv_vm_entry_is_shared(m))
		return add_line(e, m, m->source, target, err);

	int r = share(e, m, err);
	char source[32];
	snprintf(source, sizeof(source), "share:%zu", e->vm->n_binds - 1);
	return r < 0 ? r : add_line(e, m, source, target, err);
}

int bv_vm_entries(const struct bv_run *run, struct bv_vm *vm, struct bv_strv *lines, struct bv_error *err)
{
	struct entries e = { .run = run, .vm = vm, .lines = lines };
	int r = bv_mount_lines_each(run->config, take, &e, err);
	vm->spec.shares = vm->n_binds > 0;
	return r;
}
