/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engine/vm/guest/guest.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * What systemd of a container's rootfs has to know to feel at home in a VM. It is told below /run/systemd/system, which
 * goes before the distribution's units and behind the administrator's in /etc; the rootfs itself is not touched.
 */

#define UNITS "/run/systemd/system"

/* ---- is it systemd? ---- */

bool guest_is_systemd(const char *command)
{
	autofree char *path = realpath(command, NULL);
	const char *name = path ? strrchr(path, '/') : NULL;
	return name && bv_streq(name, "/systemd");
}

/* ---- files ---- */

static int put(const char *dir, const char *name, const char *text, struct bv_error *err)
{
	autofree char *path = bv_asprintf(UNITS "/%s%s%s", dir, *dir ? "/" : "", name);
	autofree char *parent = bv_asprintf(UNITS "/%s", dir);
	if (!path || !parent)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_mkdir_p(AT_FDCWD, parent, 0755);
	if (r == 0)
		r = bv_replace_file(AT_FDCWD, path, text, strlen(text), 0644, false);
	return r < 0 ? bv_fail(err, -r, "the guest cannot write %s: %s", path, strerror(-r)) : 0;
}

static int make_link(const char *text, const char *name, struct bv_error *err)
{
	autofree char *path = bv_asprintf(UNITS "/%s", name);
	if (!path)
		return bv_fail(err, ENOMEM, "out of memory");
	if (symlink(text, path) < 0 && errno != EEXIST)
		return bv_fail_errno(err, "the guest cannot make the link %s", path);
	return 0;
}

static int mask(const char *unit, struct bv_error *err)
{
	return make_link("/dev/null", unit, err);
}

static int mask_number(const char *format_head, unsigned int n, const char *tail, struct bv_error *err)
{
	char unit[64];
	snprintf(unit, sizeof(unit), "%s%u%s", format_head, n, tail);
	return mask(unit, err);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- what is left out ---- */

/*
 * - the root is mounted as it should be, and what fstab says of it is of another machine
 * - there is no screen and no keyboard
 */
static const char *const never[] = {
	"systemd-remount-fs.service", "getty-static.service",   "systemd-vconsole-setup.service",
	"keyboard-setup.service",     "console-setup.service",  "setvtrgb.service",
	"plymouth-start.service",     "plymouth-quit.service",  "plymouth-quit-wait.service",
};

/*
 * serial-getty@ and getty@ wait for a device that udev, which a container's rootfs has not, would announce, or would
 * sit on a terminal of ours a second time.
 */
static int mask_gettys(const struct guest *g, struct bv_error *err)
{
	enum { VIRTUAL_TERMINALS = 6 };
	static const char *const serial[] = { "ttyS0", "ttyAMA0", "hvc0" };
	char unit[64];
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(serial); i++) {
		snprintf(unit, sizeof(unit), "serial-getty@%s.service", serial[i]);
		r = mask(unit, err);
	}
	if (r == 0 && g->boot.console) {
		snprintf(unit, sizeof(unit), "serial-getty@%.32s.service", g->boot.console);
		r = mask(unit, err);
	}
	for (unsigned int n = 1; r == 0 && n <= VIRTUAL_TERMINALS; n++)
		r = mask_number("getty@tty", n, ".service", err);
	for (unsigned int n = 1; r == 0 && n <= g->boot.ttys; n++) {
		r = mask_number("serial-getty@hvc", n - 1, ".service", err);
		if (r == 0 && n > VIRTUAL_TERMINALS)
			r = mask_number("getty@tty", n, ".service", err);
	}
	return r;
}

static bool has_autofs(void)
{
	autofree char *types = NULL;
	return bv_read_file(AT_FDCWD, "/proc/filesystems", 0, &types, NULL) == 0 && strstr(types, "\tautofs\n");
}

static int mask_all(const struct guest *g, struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(never); i++)
		r = mask(never[i], err);
	if (r < 0)
		return r;

	/* Modules of the kernel that runs: only a rootfs with a kernel of its own has them. */
	struct utsname uts;
	char modules[sizeof("/lib/modules/") + sizeof(uts.release)];
	uname(&uts);
	snprintf(modules, sizeof(modules), "/lib/modules/%s", uts.release);
	if (!exists(modules)) {
		r = mask("systemd-modules-load.service", err);
		/* A kernel without autofs: systemd would say so on the console. */
		if (r == 0 && !has_autofs())
			r = mask("proc-sys-fs-binfmt_misc.automount", err);
	}
	return r < 0 ? r : mask_gettys(g, err);
}

/* ---- terminals ---- */

static const char tty_unit[] =
	"[Unit]\n"
	"Description=Getty on %I (lxc-console)\n"
	"Documentation=man:agetty(8) man:lxc-console(1)\n"
	"ConditionPathExists=/dev/%I\n"
	"ConditionPathExists=/sbin/agetty\n"
	"After=systemd-user-sessions.service getty-pre.target\n"
	"Before=getty.target\n"
	"Conflicts=rescue.service\n"
	"Before=rescue.service\n"
	"IgnoreOnIsolate=yes\n"
	"\n"
	"[Service]\n"
	"ExecStart=-/sbin/agetty --noclear --keep-baud - 115200,38400,9600 $TERM\n"
	"Environment=TERM=vt220\n"
	"Type=idle\n"
	"Restart=always\n"
	"RestartSec=0\n"
	"UtmpIdentifier=%I\n"
	"StandardInput=tty\n"
	"StandardOutput=tty\n"
	"TTYPath=/dev/%I\n"
	"TTYReset=yes\n"
	"TTYVHangup=yes\n"
	"IgnoreSIGPIPE=no\n"
	"SendSIGHUP=yes\n";

/* A systemd without console-getty.service (before 217, or a distribution that leaves it out). */
static const char console_unit[] =
	"[Unit]\n"
	"Description=Getty on the console\n"
	"ConditionPathExists=/dev/console\n"
	"After=systemd-user-sessions.service getty-pre.target\n"
	"Before=getty.target\n"
	"\n"
	"[Service]\n"
	"ExecStart=-/sbin/agetty --noclear --keep-baud console 115200,38400,9600 vt220\n"
	"Type=idle\n"
	"Restart=always\n"
	"UtmpIdentifier=cons\n"
	"TTYPath=/dev/console\n"
	"TTYReset=yes\n"
	"TTYVHangup=yes\n"
	"KillMode=process\n"
	"IgnoreSIGPIPE=no\n"
	"SendSIGHUP=yes\n";

static int add_console_getty(struct bv_error *err)
{
	static const char console[] = "console-getty.service";
	const char *found = exists("/lib/systemd/system/console-getty.service")
				  ? "/lib/systemd/system/console-getty.service"
			  : exists("/usr/lib/systemd/system/console-getty.service")
				  ? "/usr/lib/systemd/system/console-getty.service"
				  : NULL;
	int r = found ? 0 : put("", console, console_unit, err);
	return r < 0 ? r : make_link(found ? found : UNITS "/console-getty.service",
				     "getty.target.wants/console-getty.service", err);
}

static int add_gettys(const struct guest *g, struct bv_error *err)
{
	int r = bv_mkdir_p(AT_FDCWD, UNITS "/getty.target.wants", 0755);
	if (r < 0)
		return bv_fail(err, -r, "the guest cannot make " UNITS "/getty.target.wants: %s", strerror(-r));
	/* With lxc.console.path = none there is a /dev/console, but nobody at it. */
	if (g->boot.console)
		r = add_console_getty(err);
	if (r == 0 && g->boot.ttys > 0)
		r = put("", "lxc-tty@.service", tty_unit, err);
	for (unsigned int n = 1; r == 0 && n <= g->boot.ttys; n++) {
		char name[64];
		snprintf(name, sizeof(name), "getty.target.wants/lxc-tty@tty%u.service", n);
		r = make_link(UNITS "/lxc-tty@.service", name, err);
	}
	return r;
}

/* ---- all ---- */

/* Without udev nobody ever says that a link is ready; networkd asks for that where /sys can be written to. */
static int help_networkd(struct bv_error *err)
{
	static const char *const udevs[] = { "/lib/systemd/systemd-udevd", "/usr/lib/systemd/systemd-udevd",
					     "/sbin/udevd" };
	for (size_t i = 0; i < ARRAY_SIZE(udevs); i++)
		if (exists(udevs[i]))
			return 0;
	return put("systemd-networkd.service.d", "10-lxc-no-udev.conf", "[Service]\nReadOnlyPaths=/sys\n", err);
}

int guest_write_units(struct guest *g, struct bv_error *err)
{
	if (!g->systemd)
		return 0;
	int r = bv_mkdir_p(AT_FDCWD, UNITS, 0755);
	if (r < 0)
		return bv_fail(err, -r, "the guest cannot make " UNITS ": %s", strerror(-r));
	r = mask_all(g, err);
	if (r == 0)
		r = add_gettys(g, err);
	return r < 0 ? r : help_networkd(err);
}
