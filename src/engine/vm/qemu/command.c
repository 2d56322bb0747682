/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/qemu/command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/limits.h"
#include "util/cleanup.h"

#define MIB (UINT64_C(1) << 20)

/* A line in the making. The first failure sticks, so that the parts need no checks between them. */
struct line {
	struct bv_strv *argv;
	const struct bv_vm_spec *spec;
	const struct bv_qemu_files *files;
	bool print;
	const char *bus;      /* what the names of virtio devices end in: "pci", "device" */
	unsigned int fdsets;  /* that were added so far */
	int r;
	struct bv_error *err;
};

void bv_qemu_files_init(struct bv_qemu_files *files)
{
	*files = (struct bv_qemu_files){
		.console = -1, .qmp = -1, .agent = -1, .share_root = -1, .share_mounts = -1, .disk = -1,
	};
	for (size_t i = 0; i < BV_VM_TTYS_MAX; i++)
		files->ttys[i] = -1;
	for (size_t i = 0; i < BV_VM_NICS_MAX; i++)
		for (size_t q = 0; q < BV_VM_QUEUES_MAX; q++)
			files->taps[i][q] = files->vhosts[i][q] = -1;
}

/* ---- the program ---- */

int bv_qemu_find(const char *arch, char **ret, struct bv_error *err)
{
	static const char *const places[] = { "/usr/local/bin", "/usr/bin", "/bin" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		autofree char *path = bv_asprintf("%s/qemu-system-%s", places[i], arch);
		if (!path)
			return bv_fail(err, ENOMEM, "out of memory");
		if (access(path, X_OK) == 0) {
			*ret = take_ptr(path);
			return 0;
		}
	}
	bv_fail(err, ENOENT, "there is no qemu-system-%s in /usr/bin or /usr/local/bin, and a VM needs it", arch);
	return bv_hint(err, "apt install %s", bv_streq(arch, "aarch64") ? "qemu-system-arm" : "qemu-system-x86");
}

/* ---- writing ---- */

static void out_of_memory(struct line *l)
{
	if (l->r == 0)
		l->r = bv_fail(l->err, ENOMEM, "out of memory");
}

/* One argument, or an option and its argument. */
static __attribute__((format(printf, 3, 4))) void add(struct line *l, const char *option, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;
	if (l->r < 0)
		return;
	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0 || bv_strv_add(l->argv, option) < 0) {
		if (n >= 0)
			free(text);
		out_of_memory(l);
		return;
	}
	if (bv_strv_take(l->argv, text) < 0)
		out_of_memory(l);
}

static void add_flag(struct line *l, const char *flag)
{
	if (l->r == 0 && bv_strv_add(l->argv, flag) < 0)
		out_of_memory(l);
}

/* An fd's number, or what stands for it. Static storage, good until the next call. */
static __attribute__((format(printf, 3, 4))) const char *fd_text(struct line *l, int fd, const char *fmt, ...)
{
	static char text[24];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	if (!l->print && fd < 0 && l->r == 0)
		l->r = bv_fail(l->err, EBADF, "QEMU's %s was not opened", text);
	if (!l->print)
		snprintf(text, sizeof(text), "%d", fd);
	return text;
}

/* An fd that QEMU opens by path, as some of its devices do: the set's number is for "/dev/fdset/N". */
static unsigned int add_fdset(struct line *l, const char *fd)
{
	add(l, "-add-fd", "fd=%s,set=%u", fd, ++l->fdsets);
	return l->fdsets;
}

/* In QEMU's lists of options a comma in a value is written twice. */
static char *escape(const char *value)
{
	struct bv_buf b = { 0 };
	for (const char *s = value; *s; s++) {
		bv_buf_putc(&b, *s);
		if (*s == ',')
			bv_buf_putc(&b, ',');
	}
	return bv_buf_take(&b);
}

/* ---- the machine ---- */

static bool needs_shared_memory(const struct bv_vm_spec *spec)
{
	return spec->root == BV_VM_VIRTIOFS || (spec->shares && spec->root == BV_VM_BLK);
}

static void add_accel(struct line *l)
{
	const struct bv_vm_spec *s = l->spec;
	bool arm = bv_streq(s->arch, "aarch64");
	if (s->accel == BV_VM_KVM) {
		add(l, "-accel", "kvm");
		add(l, "-cpu", "host");
		return;
	}
	/* A thread for each CPU is TCG's default where the host's memory order allows it. */
	add(l, "-accel", "tcg,tb-size=%u", bv_vm_code_buffer(s->memory));
	/* The plain models: what a newer one has more costs time in translation. */
	add(l, "-cpu", "%s", arm ? "cortex-a57" : "qemu64");
}

static void add_machine(struct line *l)
{
	const struct bv_vm_spec *s = l->spec;
	const char *more = "";
	if (bv_vm_spec_is_mmio(s))
		more = ",rtc=on";
	else if (bv_streq(s->machine, "q35") || bv_streq(s->machine, "pc"))
		more = ",vmport=off"; /* VMware's back door is a way for nobody */
	else if (bv_streq(s->machine, "virt"))
		more = ",gic-version=max";
	add(l, "-machine", "%s%s,dump-guest-core=off%s", s->machine, more,
	    needs_shared_memory(s) ? ",memory-backend=ram" : "");
	add_accel(l);
	add(l, "-smp", "%" PRIu32, s->cpus);
	add(l, "-m", "%" PRIu64 "M", s->memory / MIB);
	if (needs_shared_memory(s)) /* with the file server */
		add(l, "-object", "memory-backend-memfd,id=ram,size=%" PRIu64 "M,share=on", s->memory / MIB);
	add(l, "-rtc", "base=utc");
}

static void add_kernel(struct line *l)
{
	const struct bv_qemu_files *f = l->files;
	add(l, "-kernel", "%s", f->kernel ? f->kernel : "/kernel");
	add(l, "-initrd", "%s", f->initrd ? f->initrd : "/initrd");
	add(l, "-append", "%s", l->spec->cmdline);
}

/* ---- devices ---- */

/* A terminal: QEMU opens it by the path of its fd set, and sets it to raw. */
static void add_terminal(struct line *l, const char *id, const char *fd)
{
	unsigned int set = add_fdset(l, fd);
	add(l, "-chardev", "serial,id=%s,path=/dev/fdset/%u", id, set);
}

static void add_console(struct line *l)
{
	if (!l->spec->console) {
		add(l, "-serial", "none");
		return;
	}
	add_terminal(l, "console", fd_text(l, l->files->console, "CONSOLE"));
	add(l, "-serial", "chardev:console");
}

/* hvc0 and on are the ttys, in this order; the agent's port is found by its name. */
static void add_ports(struct line *l)
{
	char id[16];
	add(l, "-device", "virtio-serial-%s,id=ports", l->bus);
	for (uint32_t i = 0; i < l->spec->ttys; i++) {
		snprintf(id, sizeof(id), "tty%" PRIu32, i + 1);
		add_terminal(l, id, fd_text(l, l->files->ttys[i], "TTY%" PRIu32, i + 1));
		add(l, "-device", "virtconsole,bus=ports.0,chardev=%s", id);
	}
	add(l, "-chardev", "socket,id=agent,fd=%s", fd_text(l, l->files->agent, "AGENT"));
	add(l, "-device", "virtserialport,id=agent,bus=ports.0,chardev=agent,name=lxc.agent.0");
}

static void add_qmp(struct line *l)
{
	add(l, "-chardev", "socket,id=qmp,fd=%s", fd_text(l, l->files->qmp, "QMP"));
	add(l, "-mon", "chardev=qmp,mode=control");
}

static void add_virtiofs(struct line *l, const char *tag, const char *fd)
{
	add(l, "-chardev", "socket,id=%s,fd=%s", tag, fd);
	add(l, "-device", "vhost-user-fs-%s,chardev=%s,tag=%s", l->bus, tag, tag);
}

static void add_9p(struct line *l, const char *tag, const char *path, bool readonly)
{
	autofree char *escaped = escape(path);
	if (!escaped) {
		out_of_memory(l);
		return;
	}
	add(l, "-fsdev", "local,id=%s,path=%s,security_model=passthrough,multidevs=remap%s", tag, escaped,
	    readonly ? ",readonly=on" : "");
	add(l, "-device", "virtio-9p-%s,fsdev=%s,mount_tag=%s", l->bus, tag, tag);
}

/* /dev/vda. Of an fd set QEMU takes the fd that was opened as it wants it, so that its own mode has the word. */
static void add_disk(struct line *l)
{
	const struct bv_vm_spec *s = l->spec;
	int fd = l->files->disk;
	struct stat st;
	int mode = l->print ? 0 : fcntl(fd, F_GETFL);
	bool is_device = !l->print && fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
	bool fd_readonly = l->print ? s->root_readonly : mode >= 0 && (mode & O_ACCMODE) == O_RDONLY;
	unsigned int set = add_fdset(l, fd_text(l, fd, "DISK"));
	add(l, "-blockdev", "driver=%s,node-name=image,filename=/dev/fdset/%u,read-only=%s,discard=unmap",
	    is_device ? "host_device" : "file", set, fd_readonly ? "on" : "off");
	add(l, "-blockdev", "driver=raw,node-name=disk,file=image,read-only=%s,discard=unmap",
	    fd_readonly || s->root_readonly ? "on" : "off");
	add(l, "-device", "virtio-blk-%s,drive=disk,serial=root", l->bus);
}

static void add_storage(struct line *l)
{
	const struct bv_vm_spec *s = l->spec;
	const struct bv_qemu_files *f = l->files;
	if (s->root == BV_VM_BLK)
		add_disk(l);
	else if (s->root == BV_VM_9P)
		add_9p(l, "root", f->root_9p ? f->root_9p : "/share/root", s->root_readonly);
	else
		add_virtiofs(l, "root", fd_text(l, f->share_root, "ROOT"));
	if (s->shares && s->root == BV_VM_9P)
		add_9p(l, "mounts", f->mounts_9p ? f->mounts_9p : "/share/mounts", false);
	else if (s->shares)
		add_virtiofs(l, "mounts", fd_text(l, f->share_mounts, "MOUNTS"));
}

/* "fd=12", or with several queues "fds=12:13"; `key` is "fd" or "vhostfd". */
static void put_queue_fds(struct line *l, struct bv_buf *b, const char *key, const char *name, size_t nic,
			  const int *fds)
{
	const struct bv_vm_nic *n = &l->spec->nics[nic];
	bv_buf_printf(b, ",%s%s=", key, n->queues > 1 ? "s" : "");
	for (unsigned int q = 0; q < n->queues; q++) {
		if (n->queues > 1)
			bv_buf_printf(b, "%s%s", q ? ":" : "", fd_text(l, fds[q], "%s%u.%u", name, n->index, q));
		else
			bv_buf_puts(b, fd_text(l, fds[q], "%s%u", name, n->index));
	}
}

static void add_nic(struct line *l, size_t i)
{
	const struct bv_vm_nic *n = &l->spec->nics[i];
	const uint8_t *m = n->mac;
	bool pci = !bv_vm_spec_is_mmio(l->spec);
	autoclean(bv_buf_clear) struct bv_buf b = { 0 };

	put_queue_fds(l, &b, "fd", "TAP", i, l->files->taps[i]);
	if (n->vhost) {
		bv_buf_puts(&b, ",vhost=on");
		put_queue_fds(l, &b, "vhostfd", "VHOST", i, l->files->vhosts[i]);
	}
	if (b.bad) {
		out_of_memory(l);
		return;
	}
	add(l, "-netdev", "tap,id=net%u%s", n->index, b.p);

	bv_buf_clear(&b);
	bv_buf_printf(&b, "virtio-net-%s,netdev=net%u,mac=%02x:%02x:%02x:%02x:%02x:%02x", l->bus, n->index, m[0], m[1],
		      m[2], m[3], m[4], m[5]);
	if (n->mtu)
		bv_buf_printf(&b, ",host_mtu=%" PRIu32, n->mtu);
	if (n->queues > 1)
		bv_buf_puts(&b, ",mq=on");
	if (n->queues > 1 && pci) /* one each way and queue, one for the configuration, one for its changes */
		bv_buf_printf(&b, ",vectors=%u", 2 * n->queues + 2);
	if (pci)
		bv_buf_puts(&b, ",romfile="); /* nothing boots from it */
	if (b.bad)
		out_of_memory(l);
	else
		add(l, "-device", "%s", b.p);
}

static void add_rest(struct line *l)
{
	if (l->spec->has_balloon)
		add(l, "-device", "virtio-balloon-%s,id=balloon,free-page-reporting=on,deflate-on-oom=on", l->bus);
	add(l, "-device", "virtio-rng-%s", l->bus);
	/* A panic would look like a reboot: the guest's driver for this tells QMP first (GUEST_PANICKED). */
	add(l, "-device", "%s", bv_vm_spec_is_mmio(l->spec) ? "pvpanic" : "pvpanic-pci");
}

/* ---- all of it ---- */

int bv_qemu_command(struct bv_strv *argv, const char *program, const struct bv_vm_spec *spec,
		    const struct bv_qemu_files *files, bool print, struct bv_error *err)
{
	bool mmio = bv_vm_spec_is_mmio(spec);
	struct line l = { .argv = argv, .spec = spec, .files = files, .print = print,
			  .bus = mmio ? "device" : "pci", .err = err };
	autofree char *name = escape(spec->name);
	if (!name)
		return bv_fail(err, ENOMEM, "out of memory");

	add_flag(&l, program);
	add(&l, "-name", "guest=%s,debug-threads=on", name);
	add_flag(&l, "-nodefaults");
	add_flag(&l, "-no-user-config");
	add_flag(&l, "-no-reboot");
	add(&l, "-display", "none");
	add(&l, "-msg", "timestamp=off");
	add(&l, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_machine(&l);
	if (mmio) /* the file server's protocol wants the devices of virtio 1 */
		add(&l, "-global", "virtio-mmio.force-legacy=false");
	add_kernel(&l);
	add_console(&l);
	add_qmp(&l);
	add_ports(&l);
	add_storage(&l);
	for (size_t i = 0; i < spec->n_nics; i++)
		add_nic(&l, i);
	add_rest(&l);
	return l.r;
}
