/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/cgroup.h"
#include "config/config.h"
#include "net/net.h"
#include "util/error.h"
#include "util/stepper.h"

/*
 * How an instance runs: as a container or as a VM.
 *
 * A start is one table of named steps with undo. instance/start.c runs its own steps (lock, hooks, cgroup), then the
 * engine's, then its own again; the engine's steps come from struct bv_engine and work on the struct bv_run that they
 * are handed. An engine knows nothing of instance/, of its lock or its run directory beyond the fd it is given, and
 * returns fds and facts in the same struct. The monitor then watches `pidfd`, relays the console, and calls `stop`,
 * `freeze` and so on through the engine; another process that finds the instance in the run directory does the same
 * with a struct bv_run that was rebuilt from the state file.
 */

enum { BV_TTYS_MAX = 64 };

/* How a run ended. */
enum bv_ending { BV_END_HALT, BV_END_REBOOT, BV_END_FAILED };

struct bv_run {
	/* ---- what the engine is handed; borrowed ---- */
	const char *name, *lxcpath;
	const char *config_file;     /* for hooks' LXC_CONFIG_FILE */
	const struct bv_config *config;
	char *const *command;        /* overrides lxc.init.cmd; NULL */
	bool execute;                /* our own small init as pid 1 */
	int exec_uid, exec_gid;      /* execute: -1 unset */
	int run_dir;                 /* O_PATH fd of the run directory */
	struct bv_cgroup *cgroup;    /* made already */
	int share_ns[BV_NS_COUNT];   /* fds of namespaces to share, -1 */
	bool foreground;             /* the console's peer is the caller's terminal */

	/* ---- what the engine hands back ---- */
	pid_t pid;                   /* of init on the host (VM: of the VMM); 0 before */
	int pidfd;
	int console;                 /* master of /dev/console's pty, or -1 (console none) */
	int ttys[BV_TTYS_MAX];       /* masters of tty1.. */
	unsigned int n_ttys;
	struct bv_net net;           /* links that were made */
	char halt_signal_auto;       /* init was seen to be systemd */
	char label[256];             /* LSM label of init, "" none: attach wants it */
	void *engine_data;           /* private, freed by `release` */
};

struct bv_engine {
	const char *name; /* "container", "qemu" */

	/* Can this host run it, with this config? One sentence if not; keys that cannot hold are named. */
	int (*check)(const struct bv_run *run, struct bv_error *err);

	/* The steps from "cgroup is made" to "init was executed", ctx is the struct bv_run. */
	const struct bv_step *steps;
	size_t n_steps;

	/* Ask init to halt or to reboot (lxc.signal.*), or end it (kill). Works from facts alone: pid, pidfd, config. */
	int (*halt)(struct bv_run *run, struct bv_error *err);
	int (*reboot)(struct bv_run *run, struct bv_error *err);
	int (*kill)(struct bv_run *run, struct bv_error *err);

	/* What init's wait status says. */
	enum bv_ending (*ending)(int wait_status);

	/* Free what the engine keeps in `run` (fds, engine_data). Kills nothing. */
	void (*release)(struct bv_run *run);
};

extern const struct bv_engine bv_engine_container;

/* By the config's word; -ENOTSUP with the reason when this build does not have it. */
int bv_engine_find(const struct bv_engine **ret, enum bv_engine_kind kind, struct bv_error *err);

/* A zeroed run with every fd at -1. */
void bv_run_init(struct bv_run *run);
