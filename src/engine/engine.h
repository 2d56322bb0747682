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
	int64_t exec_uid, exec_gid;      /* execute: -1 unset */
	int run_dir;                 /* O_PATH fd of the run directory */
	struct bv_cgroup *cgroup;    /* made already */
	int share_ns[BV_NS_COUNT];   /* fds of namespaces to share, -1 */
	bool foreground;             /* the caller's terminal is the console's peer, or (execute) init's own */
	int lock;                    /* the instance's lock: the engine's processes must not keep it; -1 */
	int rootfs_lock;             /* what keeps the rootfs ours alone (bv_engine.exclusive): they keep it; -1 */
	/*
	 * For a step that takes seconds (a guest boots): wait until `fd` is readable or hung up, at most `timeout_ms`,
	 * and serve the console meanwhile (run->console and ttys are set by then). 1, 0 at the end of the time, or
	 * -errno with the reason; -ECANCELED: the start is to be given up. `last_line` gets the last line that the
	 * console showed, "" none.
	 */
	int (*serve)(void *data, int fd, int timeout_ms, char *last_line, size_t size, struct bv_error *err);
	/* In a forked process of the engine that stays: closes what is the monitor's own. */
	void (*forked)(void *data);
	void *monitor;               /* `data` of both */

	/* ---- what the engine hands back ---- */
	pid_t pid;                   /* of init on the host (VM: of its supervisor); 0 before */
	int pidfd;
	/*
	 * A process that has to live as `pid` does (VM: QEMU), by pidfd; -1 there is none. `pid` sees to it, but for
	 * when both are frozen: then it is the monitor that thaws what has lost it.
	 */
	int vital;
	int console;                 /* master of /dev/console's pty, or -1 (console none) */
	int ttys[BV_TTYS_MAX];       /* masters of tty1.. */
	unsigned int n_ttys;
	struct bv_net net;           /* links that were made */
	char label[256];             /* LSM label of init, "" none: attach wants it */
	char description[48];        /* "container", "vm (qemu, tcg)"; its first word is the engine's name */
	void *engine_data;           /* private, freed by `release` */
};

enum { BV_ENTER_NO_CGROUP = 1, BV_ENTER_KEEP_CAPS = 2, BV_ENTER_NO_LSM = 4 }; /* the bits of BV_ATTACH_*, bivalve.h */

/*
 * A command to be run inside, by bv_engine.attach. With pty_fds a pty of the instance takes the place of those of
 * fds[]; `relay` is then called in the caller's process, as soon as the command was executed, with the pty's master and
 * the command's pidfd: it copies until the pidfd is readable and the master has no more output (the pty has the
 * size of the terminal that fds[] has). It closes neither. Without pty_fds it is not called.
 */
struct bv_engine_attach {
	char *const *command;           /* argv; NULL: the shell that the instance's /etc/passwd has for `uid` */
	unsigned int namespaces;        /* bits 1 << BV_NS_*; 0: all that the instance has */
	unsigned int elevated;          /* BV_ENTER_* */
	bool remount_sys_proc;          /* fresh /proc and /sys, where the mount namespace is not entered */
	bool clear_env;                 /* else the caller's environment is kept */
	char *const *keep_vars;         /* names, with clear_env; NULL-terminated or NULL */
	char *const *set_vars;          /* K=V; NULL-terminated or NULL */
	unsigned long personality;      /* ULONG_MAX: that of lxc.arch */
	const char *context;            /* LSM label in place of the instance's, or NULL */
	int64_t uid, gid;               /* inside; -1: 0 */
	int fds[3];                     /* become 0, 1, 2 */
	unsigned int pty_fds;           /* bits 1 << 0..2; 0: no pty */
	int (*relay)(void *data, int master, int pidfd);
	void *relay_data;
};

struct bv_engine {
	const char *name;   /* "container", "vm" */
	bool exclusive;     /* while it runs nobody else may use the rootfs, not even another instance that shares it */
	/*
	 * What runs inside has a kernel of its own: files cannot be handed to it, the namespaces and the root of its
	 * first process on the host are not the instance's, and the devices that the cgroup allows are not for it.
	 */
	bool own_kernel;

	/* Can this host run it, with this config? One sentence if not; keys that cannot hold are named. */
	int (*check)(const struct bv_run *run, struct bv_error *err);

	/* The steps from "cgroup is made" to "init was executed", ctx is the struct bv_run. */
	const struct bv_step *steps;
	size_t n_steps;

	/* Would init hear that it is to halt, or reboot? One that has just begun does not. NULL: the engine waits. */
	bool (*listens)(const struct bv_run *run, bool reboot);

	/* Ask init to halt or to reboot (lxc.signal.*), or end it (kill). Works from pid, pidfd and config alone. */
	int (*halt)(struct bv_run *run, struct bv_error *err);
	int (*reboot)(struct bv_run *run, struct bv_error *err);
	int (*kill)(struct bv_run *run, struct bv_error *err);

	/*
	 * Run a command inside and wait for it; `run` was rebuilt from the run directory (pid, pidfd, config, cgroup
	 * and label are set). *exit_status: its code, or 128 + signal. A command that cannot be executed is an error
	 * with *exit_status 127 (not found) or 126; any other error has 1. NULL: this engine cannot.
	 */
	int (*attach)(const struct bv_run *run, const struct bv_engine_attach *how, int *exit_status,
		      struct bv_error *err);

	/*
	 * Called before the instance's cgroup is frozen, and after it was thawed: what else there is to stop. NULL:
	 * nothing is.
	 */
	int (*pause)(const struct bv_run *run, bool pause, struct bv_error *err);

	/*
	 * The size of a tty of it was changed from outside: tell the inside. It waits for nobody; an instance that is
	 * frozen hears of it when it is thawed. Works from pid and pidfd alone. NULL: the kernel tells.
	 */
	int (*resized)(const struct bv_run *run, struct bv_error *err);

	/*
	 * The addresses inside, without asking a process: `own_netns` is an fd of the caller's network namespace.
	 * *ret is malloc'ed.
	 */
	int (*addresses)(int run_dir, pid_t pid, int own_netns, struct bv_net_address **ret, size_t *n);

	/* What it would execute, one argument a line, malloc'ed. NULL: it executes nothing but the instance's init. */
	int (*command_line)(struct bv_run *run, char **ret, struct bv_error *err);

	/* A command for the machine's monitor (QMP, or with `human` HMP); *ret is its answer. NULL: it has none. */
	int (*machine_command)(const struct bv_run *run, const char *command, bool human, char **ret,
			       struct bv_error *err);

	/* What init's wait status says. */
	enum bv_ending (*ending)(int wait_status);

	/* Free what the engine keeps in `run` (fds, engine_data). Kills nothing. */
	void (*release)(struct bv_run *run);
};

extern const struct bv_engine bv_engine_container, bv_engine_vm;

/* By the config's word. */
const struct bv_engine *bv_engine_of(enum bv_engine_kind kind);
/* By the description that a run left (bv_run.description). */
const struct bv_engine *bv_engine_described(const char *description);

/*
 * clone3(2) with `flags` into the instance's v2 cgroup (clone(2) where the kernel, before 5.3, or a filter does not
 * know it): fills run->pidfd in the parent. *born_inside: the child is in that cgroup. The pid, 0 in the child, or
 * -errno.
 */
pid_t bv_engine_clone(struct bv_run *run, uint64_t flags, bool *born_inside);

/* A zeroed run with every fd at -1. */
void bv_run_init(struct bv_run *run);
/* Closes and frees what every engine hands back alike, for `release`: pidfd, console, ttys and links. */
void bv_run_close(struct bv_run *run);
/* A signal to the process of run->pidfd; `whom` is its name in the error. */
int bv_run_signal(const struct bv_run *run, int sig, const char *whom, struct bv_error *err);
