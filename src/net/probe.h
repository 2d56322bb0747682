/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Which of the `n` rtnetlink kinds ("veth", "vlan", ...) does this kernel have? Each is asked for in a network
 * namespace of a child process, so that nothing is seen on the host; a kind that lives in a module is loaded by that,
 * as a start would. *there[i] is set. 0 or -errno (no right to make a network namespace).
 */
int bv_net_probe_kinds(const char *const *kinds, bool *there, size_t n);
