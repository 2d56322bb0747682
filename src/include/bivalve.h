/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/error.h"

/*
 * The library as commands see it. It prints nothing, never exits, and keeps no state but its log sink and the feature
 * cache. Functions return 0 (or what they say) on success and a negative errno with `err` filled on failure.
 * Strings that come out by `char **` are the caller's to free.
 */

/* ---- an instance ---- */

struct bv_instance;

/* Valid names: 1 to 64 of letters, digits, '_', '+', '.', '-', not beginning with '.' or '-'. */
bool bv_name_valid(const char *name);

/*
 * A handle on the instance `name` in `lxcpath` (NULL: lxc.lxcpath of the system configuration). Nothing is read and
 * the instance need not exist. -EINVAL: the name is not valid.
 */
int bv_instance_open(struct bv_instance **ret, const char *lxcpath, const char *name, struct bv_error *err);
void bv_instance_free(struct bv_instance *inst);
void bv_instance_freep(struct bv_instance **inst);

const char *bv_instance_name(const struct bv_instance *inst);
const char *bv_instance_lxcpath(const struct bv_instance *inst);
/* Is there a config file (an interrupted creation does not count)? */
bool bv_instance_is_defined(const struct bv_instance *inst);

/*
 * Read the instance's own config, or with `rcfile` that file in its place. Must come before the calls below that look
 * at the configuration; those that need it and have none read the instance's own.
 */
int bv_instance_load_config(struct bv_instance *inst, const char *rcfile, struct bv_error *err);
/* lxc.container.conf(5) keys; see config/config.h for formats. */
int bv_instance_set(struct bv_instance *inst, const char *key, const char *value, struct bv_error *err);
int bv_instance_set_line(struct bv_instance *inst, const char *line, struct bv_error *err);
/* -ENOENT: no such key. */
int bv_instance_get(struct bv_instance *inst, const char *key, char **ret, struct bv_error *err);
int bv_instance_save_config(struct bv_instance *inst, struct bv_error *err);

/* ---- state ---- */

enum bv_state {
	BV_STOPPED,
	BV_STARTING,
	BV_RUNNING,
	BV_STOPPING,
	BV_ABORTING,
	BV_FREEZING,
	BV_FROZEN,
	BV_THAWED,
	BV_STATE_COUNT,
};

const char *bv_state_name(enum bv_state state); /* "STOPPED" */
int bv_state_parse(const char *name);           /* any case; -EINVAL */

/* The state now, from the run directory: no process is asked. An instance that does not exist is STOPPED. */
int bv_instance_state(struct bv_instance *inst, enum bv_state *ret, struct bv_error *err);

/*
 * Wait until the state is one of the bits 1 << BV_*. `timeout_s` -1: for ever; 0: look once. -ETIMEDOUT.
 * By inotify on the run directory; works before the first start as well.
 */
int bv_instance_wait(struct bv_instance *inst, unsigned int states, int timeout_s, struct bv_error *err);

struct bv_ip {
	char interface[16];
	char text[64]; /* "10.0.3.5" */
	int family;    /* AF_INET, AF_INET6 */
};

struct bv_link_info {
	char name[16]; /* host end of a veth, else lxc.net.N.link */
	bool has_counters;
	uint64_t tx_bytes, rx_bytes; /* as the instance sees it: what the host end received is tx */
};

/* UINT64_MAX: not known. */
struct bv_info {
	enum bv_state state;
	pid_t init_pid, monitor_pid; /* 0 when stopped */
	char engine[48];             /* "container", "vm (qemu, tcg)"; "" when stopped and not configured */
	uint64_t cpu_ns, blkio_bytes, memory_bytes, swap_bytes, kmem_bytes, pids;
	struct bv_ip *ips;
	size_t n_ips;
	struct bv_link_info *links;
	size_t n_links;
};

enum { BV_INFO_STATE = 1, BV_INFO_PID = 2, BV_INFO_IPS = 4, BV_INFO_STATS = 8, BV_INFO_LINKS = 16, BV_INFO_ALL = 31 };

/* Only what the bits of `what` ask for is found out. The caller clears `ret`. */
int bv_instance_info(struct bv_instance *inst, unsigned int what, struct bv_info *ret, struct bv_error *err);
void bv_info_clear(struct bv_info *info);

/* ---- start and stop ---- */

struct bv_start_options {
	bool foreground;          /* the caller becomes the monitor; its terminal is the console */
	bool execute;             /* lxc-execute: a small init of ours is pid 1 and runs `command` */
	char *const *command;     /* NULL: from the config */
	const char *pidfile;      /* the monitor's pid, 0600, removed at the end */
	bool close_fds;           /* close what the caller inherited */
	int64_t uid, gid;         /* execute: run the command as; -1 unset */
	const char *share[4];     /* of net, ipc, uts, pid: NAME or PID, NULL */
	enum { BV_START_AS_CONFIGURED, BV_START_AS_CONTAINER, BV_START_AS_VM } engine;
	char *const *argv;        /* of the calling program, see BV_ARGV below */
};

/*
 * BV_ARGV: a process of ours inside an instance shows its program there as /proc/PID/exe, and root of an instance
 * without id maps could write to the host's file through it (CVE-2019-5736). Where that can happen, start and attach
 * execute the program again, with this `argv`, from a read-only view of it, before they change anything. NULL: the
 * caller has seen to it, or is no program of its own.
 */

/*
 * Start. In the background it returns when the instance runs; in the foreground when it has ended, with *exit_status
 * (may be NULL) as lxc-execute reports it: the code, or 128 + signal. -EALREADY: it runs. The error is the cause, from
 * the process where it happened.
 */
int bv_instance_start(struct bv_instance *inst, const struct bv_start_options *options, int *exit_status,
		      struct bv_error *err);

/*
 * What a start with these options would execute on the host, one option a line, malloc'ed: QEMU's command line, for an
 * instance that is to run as a VM. Nothing is started. -ENOTSUP: as a container there is no such thing.
 */
int bv_instance_command_line(struct bv_instance *inst, const struct bv_start_options *options, char **ret,
			     struct bv_error *err);

struct bv_stop_options {
	bool reboot, kill, nokill, nolock;
	int timeout_s; /* -1: for ever; 0: signal and don't wait */
};

/* -ENOENT-like answers: -ESRCH when it is not running. -ETIMEDOUT with nokill. */
int bv_instance_stop(struct bv_instance *inst, const struct bv_stop_options *options, struct bv_error *err);
int bv_instance_freeze(struct bv_instance *inst, bool freeze, struct bv_error *err);

/* ---- console and attach ---- */

struct bv_console_options {
	int tty;     /* -1: the first free one, 0: /dev/console, n: /dev/ttyn */
	int escape;  /* the control character that begins an escape (1 is ^A), 0: none */
	int in, out; /* fds of the caller's terminal (or pipe) */
	/* Called once the tty is ours, to tell the user; may be NULL. */
	void (*connected)(void *data, int tty);
	void *data;
};

/* Relay until the escape, end of input, or the end of the instance. Restores the terminal. -EBUSY, -ERANGE, -ESRCH. */
int bv_instance_console(struct bv_instance *inst, const struct bv_console_options *options, struct bv_error *err);

enum { BV_ATTACH_NO_CGROUP = 1, BV_ATTACH_KEEP_CAPS = 2, BV_ATTACH_NO_LSM = 4, BV_ATTACH_ELEVATED = 7 };

struct bv_attach_options {
	char *const *command;     /* NULL: login shell of the target user */
	unsigned int elevated;    /* BV_ATTACH_* */
	const char *namespaces;   /* "MOUNT|PID|..." or NULL: all that the instance has */
	bool remount_sys_proc, clear_env;
	char *const *keep_vars;   /* with clear_env; NULL-terminated or NULL */
	char *const *set_vars;    /* "K=V"; NULL-terminated or NULL */
	const char *arch, *pty_log, *context;
	int64_t uid, gid;         /* -1: 0 */
	int in, out, error;       /* fds 0, 1, 2 usually */
	char *const *argv;        /* see BV_ARGV above */
};

/* Run a command inside and wait: *exit_status is its code, 128 + signal, 126 not executable, 127 not found. */
int bv_instance_attach(struct bv_instance *inst, const struct bv_attach_options *options, int *exit_status,
		       struct bv_error *err);

/* ---- the machine ---- */

/*
 * A command for the machine monitor of an instance that runs as a VM, and its answer. With `human` a line for QEMU's
 * human monitor, *ret is its text; else a QMP command, its name or a JSON object with "execute", and *ret is the reply
 * as indented JSON. What QEMU refuses is an error (-EINVAL). -ENOTSUP: it runs as a container.
 */
int bv_instance_vm_monitor(struct bv_instance *inst, const char *command, bool human, char **ret, struct bv_error *err);

/* ---- create and destroy ---- */

#define BV_PROGRESS_KEEP 2.0

struct bv_create_options {
	const char *template;        /* name, path of a script, path of a .yaml, or "none" */
	const char *config_file;     /* base config; NULL: lxc.default_config */
	const char *bdev, *dir, *fstype;
	uint64_t fssize;             /* bytes, 0: 1 GiB */
	char *const *template_args;  /* NULL-terminated or NULL */
	bool quiet;
	/*
	 * Progress, one line a call; `fraction` 0..1, below 0 when unknown, BV_PROGRESS_KEEP for a line that the user
	 * is to have in front of them at the end. May be NULL.
	 */
	void (*progress)(void *data, double fraction, const char *text);
	void *data;
};

/* -EEXIST: defined already. Nothing that looks like an instance is left by a failure or a kill. */
int bv_instance_create(struct bv_instance *inst, const struct bv_create_options *options, struct bv_error *err);
/* The help of a template on stdout (lxc-create -t T -h). */
int bv_template_help(const char *template, struct bv_error *err);
/* Names of the templates that are there, one list of script and recipe templates. */
int bv_template_list(char ***ret, size_t *n, struct bv_error *err);

/* -EBUSY: running (use force), has snapshots or clones. */
int bv_instance_destroy(struct bv_instance *inst, bool force, bool snapshots, struct bv_error *err);

/* ---- listing ---- */

struct bv_list_entry {
	char *name;       /* "parent/child" for nested ones */
	int nesting;      /* depth, 0 for our own */
	bool defined;     /* has a config; false for a volatile one that runs */
	struct bv_info info;
	/* from the config, when asked for */
	bool autostart, unprivileged;
	char *groups;     /* comma-separated, "" */
	char *interfaces; /* host ends, comma-separated */
	bool broken;      /* the config does not load: `problem` says why */
	char *problem;
};

struct bv_list_options {
	unsigned int what;      /* BV_INFO_* */
	bool config;            /* autostart, groups, unprivileged are wanted */
	unsigned int states;    /* bits of states to list, 0: all */
	bool active_only, defined_only;
	const char *filter;     /* extended regular expression, or NULL */
	const char *groups;     /* "a,b": in all of them; or NULL */
	int nesting;            /* depth, 0: none */
};

/* Sorted by name. No fork, no connect. A missing lxcpath is an empty list. */
int bv_list(const char *lxcpath, const struct bv_list_options *options, struct bv_list_entry **ret, size_t *n,
	    struct bv_error *err);
void bv_list_free(struct bv_list_entry *entries, size_t n);

/* ---- the host ---- */

/* lxc.conf(5): the value of a key, malloc'ed; NULL in *ret: known but not set. -ENOENT: no such key. */
int bv_system_get(const char *key, char **ret, struct bv_error *err);
/* All keys, in the order of lxc-config -l. */
const char *const *bv_system_keys(size_t *n);

/* For lxc-checkconfig: one found fact. `state` 1 there, 0 missing, -1 missing and needed. */
struct bv_check {
	const char *section, *name;
	int state;
	char detail[128];
};
/* What this host offers, looked at (not read from a kernel config alone). malloc'ed. */
int bv_check_host(struct bv_check **ret, size_t *n, struct bv_error *err);

/* ---- log ---- */

/*
 * Send events of `level` and above to the file (LXC's line format, 0640, created with its directory), to stderr what
 * is ERROR and above unless `quiet`. What the user did not give (`file` NULL, `level` -1) is taken from lxc.log.* when
 * an instance is started, and is no file and ERROR else. `file` "none": no file at all.
 */
int bv_log_open(const char *program, const char *instance, const char *file, int level, bool quiet,
		struct bv_error *err);

/* The version, "0.1.0". */
const char *bv_version(void);
