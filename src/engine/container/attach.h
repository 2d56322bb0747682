/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "engine/engine.h"
#include "util/error.h"

/*
 * bv_engine.attach of the container engine; struct bv_engine_attach says what is wanted.
 *
 * The caller's thread enters the pid namespace for its children only, makes one child that is born in the instance's
 * cgroup, and goes back; the child enters the other namespaces by one setns on the pidfd. The child is never dumpable
 * and shares no memory with the caller. The pty, if one is asked for, comes from the instance's own devpts (from the
 * host's when it has none).
 */
int bv_container_attach(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status,
			struct bv_error *err);
