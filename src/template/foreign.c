/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "template/job.h"
#include "util/cleanup.h"
#include "util/file.h"

/*
 * A rootfs of another architecture is built, and runs as a container, by emulation: the kernel hands its programs to
 * QEMU, by a handler of binfmt_misc. What is missing for that is told before anything is made.
 */
#define BINFMT_MISC "/proc/sys/fs/binfmt_misc"

static const char to_install[] = "apt-get install qemu-user-static arch-test binfmt-support";

/* QEMU's name of an architecture of Debian's. */
static const char *emulator_of(const char *arch)
{
	static const char *const names[][2] = {
		{ "armhf", "arm" }, { "armel", "arm" }, { "i386", "i386" }, { "mips64el", "mips64el" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (bv_streq(arch, names[i][0]))
			return names[i][1];
	return bv_arch_machine(arch);
}

static bool emulator_exists(const char *name)
{
	autofree char *own = bv_asprintf("qemu-%s", name), *linked = bv_asprintf("qemu-%s-static", name);
	return (own && bv_program_exists(own)) || (linked && bv_program_exists(linked));
}

static int hint_register(const char *name, struct bv_error *err)
{
	if (access("/run/systemd/system", F_OK) == 0)
		return bv_hint(err, "systemctl restart systemd-binfmt");
	return bv_hint(err, "cat /usr/lib/binfmt.d/qemu-%s.conf >" BINFMT_MISC "/register", name);
}

/* Why do no programs of `arch` run here? */
static int why_not(const char *arch, const char *host, struct bv_error *err)
{
	const char *name = emulator_of(arch);
	if (!emulator_exists(name)) {
		bv_fail(err, ENOENT, "this %s host cannot run programs of %s: there is no qemu-%s-static", host, arch,
			name);
		return bv_hint(err, "%s", to_install);
	}
	if (access(BINFMT_MISC "/status", F_OK) < 0) {
		bv_fail(err, ENOENT, "this %s host cannot run programs of %s: binfmt_misc is not mounted at %s", host,
			arch, BINFMT_MISC);
		return bv_hint(err, "mount -t binfmt_misc binfmt_misc " BINFMT_MISC);
	}
	char state[32] = "";
	autofree char *handler = bv_asprintf(BINFMT_MISC "/qemu-%s", name);
	if (!handler)
		return bv_fail(err, ENOMEM, "out of memory");
	if (access(handler, F_OK) < 0) {
		bv_fail(err, ENOENT, "this %s host cannot run programs of %s: there is no handler %s", host, arch,
			handler);
		return hint_register(name, err);
	}
	bv_read_small(AT_FDCWD, handler, state, sizeof(state));
	if (bv_after(state, "disabled")) {
		bv_fail(err, EINVAL, "this %s host cannot run programs of %s: the handler %s is disabled", host, arch,
			handler);
		return bv_hint(err, "echo 1 >%s", handler);
	}
	bv_fail(err, EIO, "this %s host cannot run programs of %s, though there is the handler %s: so says arch-test",
		host, arch, handler);
	return bv_hint(err, "arch-test %s; apt-get install --reinstall qemu-user-static", arch);
}

int bv_recipe_check_foreign(const struct bv_recipe_job *job, struct bv_error *err)
{
	char *const arch = job->recipe->image.mapped;
	struct utsname host;
	if (uname(&host) < 0)
		return bv_fail_errno(err, "cannot read this host's architecture");
	if (bv_streq(bv_arch_debian(host.machine), arch))
		return 0;
	/* mmdebstrap asks it as well, and does without it as little. */
	if (!bv_program_exists("arch-test")) {
		bv_fail(err, ENOENT,
			"whether this %s host runs programs of %s, arch-test tells, which is not installed",
			host.machine, arch);
		return bv_hint(err, "%s", to_install);
	}
	autoclean(bv_strv_clear) struct bv_strv env = { 0 };
	if (bv_run_host_env(&env) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	char *const argv[] = { (char *)"arch-test", arch, NULL };
	struct bv_run run = { .what = "arch-test", .argv = argv, .env = env.v, .in = -1, .out = -1 };
	struct bv_error said = { 0 };
	int r = bv_run(&run, &said);
	/* "arm64: not supported on this machine/kernel"; anything else is that arch-test could not tell. */
	if (r < 0 && strstr(said.what, "not supported"))
		return why_not(arch, host.machine, err);
	if (r < 0 && err && !err->code)
		*err = said;
	return r;
}
