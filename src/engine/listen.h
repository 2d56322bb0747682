/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Which signals an instance's init listens to. The kernel drops what process 1 of a pid namespace neither catches nor
 * waits for, even what the host's root sends: an init that has just begun hears nothing, and who asks it to halt has
 * to ask it later.
 */
struct bv_listen {
	uint64_t signals; /* bit n - 1: signal n is caught or waited for, or acts all the same */
	bool systemd;     /* halts at SIGRTMIN+3 */
};

/* From the texts of /proc/PID/status and /proc/PID/syscall. What they do not tell is taken to be heard. */
struct bv_listen bv_listen_parse(const char *status, const char *call);
/* Of process `pid`, by its /proc/PID as the caller sees it. A process that is gone hears all. */
struct bv_listen bv_listen_look(pid_t pid);

bool bv_listen_hears(const struct bv_listen *l, int sig);
