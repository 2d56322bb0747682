/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/guest/guest.h"
#include "rootfs/rootat.h"
#include "sys/mountfd.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"

/*
 * A rootfs that was a machine's once has lines like "UUID=... /boot ext4" in its fstab. In a container nobody minds
 * them: systemd passes over devices where /sys is read-only. Here it would wait 90 seconds for a disk that is not
 * there, and then boot into a rescue shell. So /etc/fstab shows a copy without them, from /run; without such lines, or
 * without the file, nothing is done.
 */

#define COPY "/run/lxc-fstab"

static bool names_disk(const char *line)
{
	static const char *const beginnings[] = { "/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "ID=", "\"" };
	line += strspn(line, " \t");
	if (bv_after(line, "/dev/shm") || bv_after(line, "/dev/pts") || bv_after(line, "/dev/mqueue"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (bv_after(line, beginnings[i]))
			return true;
	return false;
}

/* The text with such lines made comments; false: there are none. */
static bool without_disks(char *text, struct bv_buf *b)
{
	bool found = false;
	char *rest = text, *line;
	bv_buf_puts(b, "# /etc/fstab of the rootfs, but for the disks, which this VM has not\n");
	while ((line = strsep(&rest, "\n"))) {
		bool disk = names_disk(line);
		found |= disk;
		if (*line || rest)
			bv_buf_printf(b, "%s%s\n", disk ? "# " : "", line);
	}
	return found;
}

int guest_hide_fstab_disks(struct guest *g, struct bv_error *err)
{
	static const struct bv_mount_flags readonly = { .set = MOUNT_ATTR_RDONLY };
	autoclean(bv_buf_clear) struct bv_buf copy = { 0 };
	autofree char *text = NULL;
	struct stat st;
	(void)g;
	/* Not a file, or one that is too long to be one: it is left to the init. */
	if (stat("/etc/fstab", &st) < 0 || !S_ISREG(st.st_mode) ||
	    bv_read_file(AT_FDCWD, "/etc/fstab", 0, &text, NULL) < 0)
		return 0;
	if (!without_disks(text, &copy))
		return 0;
	if (copy.bad)
		return bv_fail(err, ENOMEM, "out of memory");

	int r = bv_replace_file(AT_FDCWD, COPY, copy.p, copy.len, 0644, false);
	autoclose int mnt = r < 0 ? r : bv_mount_clone(AT_FDCWD, COPY, false);
	if (r == 0)
		r = mnt < 0 ? mnt : bv_mount_change(mnt, &readonly, false);
	autoclose int target = r < 0 ? r : open("/etc/fstab", O_PATH | O_CLOEXEC);
	if (r == 0 && target < 0)
		r = -errno;
	if (r == 0)
		r = bv_rootat_attach(mnt, target);
	unlink(COPY);
	if (r < 0)
		return bv_fail(err, -r, "the guest cannot hide the disks of /etc/fstab: %s", strerror(-r));
	bv_info("guest", "disks in /etc/fstab are passed over");
	return 0;
}
