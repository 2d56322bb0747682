/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/spec.h"

#include "engine/vm/kernel/kernel.h"
#include "util/cleanup.h"

/* The drivers that the guest's kernel needs for the devices that a spec has. */

enum { DRIVERS_MAX = 24 };

struct drivers {
	struct bv_module_wish v[DRIVERS_MAX + 1];
	size_t n;
};

static void want(struct drivers *d, const char *name, bool required)
{
	if (d->n < DRIVERS_MAX)
		d->v[d->n++] = (struct bv_module_wish){ .name = name, .required = required };
}

static void want_share(struct drivers *d, bool is_9p)
{
	if (is_9p) {
		want(d, "9pnet_virtio", true);
		want(d, "9p", true);
	} else {
		want(d, "virtiofs", true);
	}
}

/* In the order in which they are to be loaded. pvpanic first: a panic that comes later is known for one. */
static void list_drivers(struct drivers *d, const struct bv_vm_spec *spec)
{
	bool mmio = bv_vm_spec_is_mmio(spec);
	want(d, mmio ? "pvpanic_mmio" : "pvpanic_pci", false);
	want(d, mmio ? "virtio_mmio" : "virtio_pci", true);
	want(d, "virtio_console", true);
	if (spec->root == BV_VM_BLK) {
		want(d, "virtio_blk", true);
		if (spec->root_fs[0]) {
			want(d, spec->root_fs, true);
		} else {
			want(d, "ext4", false);
			want(d, "xfs", false);
			want(d, "btrfs", false);
		}
	} else {
		want_share(d, spec->root == BV_VM_9P);
	}
	if (spec->shares && spec->root == BV_VM_BLK)
		want_share(d, false);
	if (spec->n_nics > 0)
		want(d, "virtio_net", true);
	if (spec->has_balloon)
		want(d, "virtio_balloon", false);
	want(d, "virtio_rng", false);
	want(d, "overlay", false);
	/* systemd asks for it by name and complains, as a container's rootfs has nothing to load it with. */
	want(d, "autofs4", false);
}

size_t bv_vm_spec_modules(const struct bv_vm_spec *spec, const struct bv_module_wish **ret)
{
	static struct drivers d;
	d = (struct drivers){ 0 };
	list_drivers(&d, spec);
	*ret = d.v;
	return d.n;
}

const char *const *bv_vm_spec_needed(const struct bv_vm_spec *spec)
{
	static const char *names[DRIVERS_MAX + 1];
	struct drivers d = { 0 };
	size_t n = 0;
	list_drivers(&d, spec);
	for (size_t i = 0; i < d.n; i++)
		if (d.v[i].required)
			names[n++] = d.v[i].name;
	names[n] = NULL;
	return names;
}
