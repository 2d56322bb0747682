/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <sys/types.h>

#include "engine/vm/guest/guest.h"

/* Between process.c and execute.c. */

/* Limits, ids, capabilities and what else the config takes from init, for the calling process. */
int guest_restrict(const struct guest *g, struct bv_error *err);

/*
 * lxc-execute: process 1 stays what it is, the command runs in a pid namespace under the same small init that a
 * container's has, and its end is the machine's. `pipe` leads to the agent: its end says that the command was executed,
 * an error that it was not.
 */
void guest_execute(struct guest *g, char *const *env, pid_t agent, int pipe) __attribute__((noreturn));
