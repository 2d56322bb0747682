/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "engine/vm/limits.h"
#include "engine/vm/supervisor/internal.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/num.h"

/* QEMU by its QMP: how the guest ended, its balloon, and whether its CPUs are halted. */

enum {
	LINGER_MS = 5000,          /* for QEMU to end, once the guest has */
	LOOK_FIRST_MS = 500,       /* between looks at the CPUs, */
	LOOKS_OFTEN = 30,          /* for so many looks; then twice as long each time, up to */
	LOOK_LAST_MS = 16000,
	LOOKS_SURE = 5,            /* in a row, where the registers don't tell a halted CPU from a busy one */
};

/* ---- events ---- */

static enum sv_shutdown shutdown_of(const char *reason)
{
	static const struct {
		const char *reason;
		enum sv_shutdown means;
	} table[] = {
		{ "guest-shutdown", SV_POWER_OFF },
		{ "host-qmp-quit", SV_POWER_OFF },
		{ "host-ui", SV_POWER_OFF },
		{ "guest-reset", SV_RESET },
		{ "host-qmp-system-reset", SV_RESET },
		{ "subsystem-reset", SV_RESET },
		{ "guest-panic", SV_PANIC },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (bv_streq(reason, table[i].reason))
			return table[i].means;
	return SV_HOST_ERROR; /* host-signal, host-error */
}

static void on_shutdown(struct supervisor *s, const char *reason)
{
	enum sv_shutdown means = shutdown_of(reason);
	bv_info("vm", "the guest's machine stops: %s", reason);
	/* With panic=-1 the reset that follows a panic comes too. */
	if (s->shutdown == SV_RUNS)
		s->shutdown = means;
	snprintf(s->shutdown_reason, sizeof(s->shutdown_reason), "%s", reason);
	sv_set_timer(s, SV_TIMER_LINGER, LINGER_MS);
}

static void on_event(void *data, const char *name, const char *reason, const char *json)
{
	struct supervisor *s = data;
	if (bv_streq(name, "SHUTDOWN")) {
		on_shutdown(s, reason);
	} else if (bv_streq(name, "GUEST_PANICKED")) {
		s->shutdown = SV_PANIC;
		sv_set_timer(s, SV_TIMER_LINGER, LINGER_MS);
	} else if (bv_streq(name, "VSERPORT_CHANGE")) {
		json_t *j = json_loads(json, 0, NULL);
		json_t *open = json_object_get(json_object_get(j, "data"), "open");
		bool is_open = json_is_true(open), known = json_is_boolean(open);
		json_decref(j);
		if (known)
			sv_agent_port(s, is_open);
	} else if (sv_guest_may_log(s)) {
		bv_debug("vm", "QEMU: %s", name);
	}
}

int sv_machine_open(struct supervisor *s, int qmp_fd, struct bv_error *err)
{
	s->qmp = bv_qmp_new(qmp_fd, on_event, s);
	return s->qmp ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

void sv_machine_serve(struct supervisor *s, bool readable, bool writable)
{
	if (bv_qmp_failed(s->qmp))
		return;
	bv_qmp_serve(s->qmp, readable, writable);
	const struct bv_error *failure = bv_qmp_failed(s->qmp);
	if (!failure)
		return;
	/* It hangs up when it ends; then how it ends says more. */
	if (failure->code == EPIPE)
		sv_set_timer(s, SV_TIMER_BROKEN, BV_SV_BROKEN_MS);
	else
		sv_fail(s, failure);
}

static void nothing_wanted(void *data, const char *json, const struct bv_error *failure)
{
	struct bv_error err = { 0 };
	if (json && bv_qmp_explain(json, &err) < 0 && err.code)
		failure = &err;
	if (failure && failure->code != ECANCELED)
		bv_warn("vm", "QEMU does not do its %s: %s", (const char *)data, failure->what);
}

static void command(struct supervisor *s, const char *name, const char *arguments, const char *what)
{
	struct bv_error err = { 0 };
	if (bv_qmp_execute(s->qmp, name, arguments, nothing_wanted, (void *)(uintptr_t)what, &err) < 0)
		bv_warn("vm", "QEMU does not do its %s: %s", what, err.what);
}

void sv_machine_powerdown(struct supervisor *s)
{
	command(s, "system_powerdown", NULL, "power button");
}

/* ---- the balloon ---- */

static void set_balloon(struct supervisor *s, uint64_t bytes)
{
	char arguments[64];
	snprintf(arguments, sizeof(arguments), "{\"value\":%" PRIu64 "}", bytes);
	bv_info("vm", "the guest is to have %" PRIu64 " MiB of its %" PRIu64, bytes >> 20, s->memory >> 20);
	command(s, "balloon", arguments, "balloon");
}

void sv_machine_ready(struct supervisor *s)
{
	if (s->balloon)
		set_balloon(s, s->balloon);
}

void sv_machine_high_changed(struct supervisor *s)
{
	char events[sizeof(struct inotify_event) + 256], high[32];
	bool gone = false;
	ssize_t n;
	while ((n = read(s->high_watch, events, sizeof(events))) > 0)
		gone |= (((const struct inotify_event *)events)->mask & IN_IGNORED) != 0;
	n = pread(s->high, high, sizeof(high) - 1, 0);
	if (gone || n <= 0) {
		close_fd(&s->high_watch);
		return;
	}
	high[n] = '\0';
	uint64_t limit, wanted = s->memory; /* "max" is no number */
	if (bv_parse_u64(bv_strip(high), &limit) == 0)
		wanted = bv_vm_balloon_target(s->memory, limit, s->kvm);
	if (s->ready && wanted != s->balloon)
		set_balloon(s, wanted);
	s->balloon = wanted;
}

/* ---- a guest that is halted, but not powered off ---- */

/* "HLT=1" and such: the value behind the last mark before `end`, in `base`. */
static bool value_of(const char *from, const char *end, const char *mark, int base, unsigned long *ret)
{
	const char *p = memmem(from, (size_t)(end - from), mark, strlen(mark));
	if (!p)
		return false;
	*ret = strtoul(p + strlen(mark), NULL, base);
	return true;
}

/*
 * x86: a CPU in HLT with interrupts off is waiting for nothing (CPUs that were never started are like it). aarch64:
 * QEMU shows the processor's state alone, in which bit 7 keeps interrupts off.
 */
static bool cpu_is_halted(const char *from, const char *end)
{
	enum { X86_IF = 1 << 9, ARM_I = 1 << 7 };
	unsigned long flags, halted;
	if (value_of(from, end, "PSTATE=", 16, &flags))
		return flags & ARM_I;
	if (!value_of(from, end, "RFL=", 16, &flags) && !value_of(from, end, "EFL=", 16, &flags))
		return false;
	return value_of(from, end, "HLT=", 10, &halted) && halted == 1 && !(flags & X86_IF);
}

bool sv_all_halted(const char *registers)
{
	size_t n = 0;
	const char *cpu = strstr(registers, "CPU#");
	while (cpu) {
		const char *next = strstr(cpu + 1, "CPU#");
		if (!cpu_is_halted(cpu, next ? next : cpu + strlen(cpu)))
			return false;
		n++;
		cpu = next;
	}
	return n > 0;
}

static void look_again(struct supervisor *s)
{
	sv_set_timer(s, SV_TIMER_HALTED, s->look_interval);
	if (s->halted_looks == 0 && ++s->looks > LOOKS_OFTEN)
		s->look_interval = s->look_interval * 2 < LOOK_LAST_MS ? s->look_interval * 2 : LOOK_LAST_MS;
}

static void on_registers(void *data, const char *json, const struct bv_error *failure)
{
	struct supervisor *s = data;
	autofree char *text = json ? bv_qmp_returned_text(json) : NULL;
	s->looking = false;
	if (failure && failure->code != ETIMEDOUT)
		return;
	bool halted = text && sv_all_halted(text);
	s->halted_looks = halted ? s->halted_looks + 1 : 0;
	if (halted && s->halted_looks >= (bv_streq(s->arch, "x86_64") ? 1 : LOOKS_SURE)) {
		bv_info("vm", "the guest's kernel is halted: this is taken as a power-off");
		s->shutdown = s->shutdown == SV_RUNS ? SV_POWER_OFF : s->shutdown;
		command(s, "quit", NULL, "end");
		sv_set_timer(s, SV_TIMER_LINGER, LINGER_MS);
		return;
	}
	/* Nobody waits for its end any longer, when its agent is back. */
	if (!s->agent_open || s->halt_asked)
		look_again(s);
}

void sv_machine_watch_halt(struct supervisor *s)
{
	s->look_interval = LOOK_FIRST_MS;
	s->looks = s->halted_looks = 0;
	if (!s->looking)
		sv_set_timer(s, SV_TIMER_HALTED, LOOK_FIRST_MS);
}

void sv_machine_look(struct supervisor *s)
{
	if (s->looking || s->shutdown != SV_RUNS)
		return;
	s->looking = bv_qmp_execute(s->qmp, "human-monitor-command", "{\"command-line\":\"info registers -a\"}",
				    on_registers, s, NULL) == 0;
}
