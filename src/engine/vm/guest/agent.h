/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "engine/vm/protocol.h"
#include "util/error.h"

/*
 * The agent: the process that lives in the guest beside process 1 and speaks PROTOCOL.md with the supervisor. The
 * guest's init opens the port, tells by it how far it came, forks the agent after the switch to the instance's root,
 * and executes the instance's init. The agent needs nothing of the rootfs, and so works before that init does, and when
 * it does not.
 */

/* The name of the port, as QEMU's virtserialport has it. */
#define BV_GUEST_PORT "lxc.agent.0"

/*
 * Find the port by its name in /sys/class/virtio-ports and open /dev/vportNpM; /sys and /dev have to be there (where
 * the node is not, one is made in passing). The fd, -EAGAIN when the driver does not show it yet, or -errno. `data` is
 * not used.
 */
int bv_guest_agent_open(void *data);

/*
 * Send one frame and wait until it is out. A host that does not take it within 10 seconds is done without: what is
 * sent this way is news, and no reason for a guest not to boot. A negative `port` sends nothing.
 */
void bv_guest_send(int port, uint16_t type, uint16_t flags, uint32_t channel, const void *data, size_t len);

/* The payload of BV_FRAME_HELLO, sent by bv_guest_send. The agent itself sends it only to a host that connects anew. */
void bv_guest_send_hello(int port);

/*
 * The agent's life, in a process that init forked for it: it takes `port`, leaves init's session and terminal, closes
 * every other fd, and serves until process 1 sends it SIGTERM: lxc-execute's does so to have the port, an instance's
 * init to everybody before it halts. That the port is closed then tells the host to look whether the machine stands.
 * What waits is sent first, for less than half a second. `cfg` says what a command is limited to.
 */
void bv_guest_agent_run(int port, const struct bv_config *cfg) __attribute__((noreturn));
