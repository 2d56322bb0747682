/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "util/error.h"
#include "util/str.h"

/*
 * The configuration of one instance: what the keys of lxc.container.conf(5) mean, in one struct.
 *
 * The one list of keys is the table in config/keys.c. Parser, getter, clearing, writer, legacy names, the man page and
 * the completion all come from it; the structs here are what the rest of the library reads. A field holds its default
 * until a key sets it. Strings are owned by the config and NULL where unset.
 *
 * The text of the file is kept as it was (comments, blank lines, lines that don't start with a key of ours), so that
 * saving changes only the lines whose keys were changed; included files are never written into it.
 */

enum bv_net_type {
	BV_NET_EMPTY, /* new namespace, lo only */
	BV_NET_NONE,  /* the host's network */
	BV_NET_VETH,
	BV_NET_MACVLAN,
	BV_NET_IPVLAN,
	BV_NET_VLAN,
	BV_NET_PHYS,
};

enum bv_veth_mode { BV_VETH_BRIDGE, BV_VETH_ROUTER };
/* Values as the kernel's IFLA_MACVLAN_MODE. */
enum bv_macvlan_mode { BV_MACVLAN_PRIVATE = 1, BV_MACVLAN_VEPA = 2, BV_MACVLAN_BRIDGE = 4, BV_MACVLAN_PASSTHRU = 8 };
/* Values as the kernel's IFLA_IPVLAN_MODE and IFLA_IPVLAN_FLAGS. */
enum bv_ipvlan_mode { BV_IPVLAN_L2, BV_IPVLAN_L3, BV_IPVLAN_L3S };
enum bv_ipvlan_isolation { BV_IPVLAN_SHARED = 0, BV_IPVLAN_ISOLATED_PRIVATE = 1, BV_IPVLAN_ISOLATED_VEPA = 2 };

enum bv_gateway { BV_GATEWAY_UNSET, BV_GATEWAY_ADDRESS, BV_GATEWAY_AUTO, BV_GATEWAY_DEVICE };

/* An address with its prefix; `family` is AF_INET or AF_INET6, bytes in network order. */
struct bv_address {
	int family;
	uint8_t bytes[16];
	uint8_t prefix;
	bool has_broadcast; /* AF_INET: `broadcast` is valid (computed or given) */
	uint8_t broadcast[4];
};

struct bv_address_list {
	struct bv_address *v;
	size_t n;
};

/* lxc.net.N.* */
struct bv_nic {
	unsigned int index; /* N */
	bool has_type;
	enum bv_net_type type;
	bool up; /* flags */
	char *link, *name, *hwaddr, *script_up, *script_down;
	uint32_t mtu;       /* 0: inherit */
	bool l2proxy;
	struct bv_address_list ipv4, ipv6;
	enum bv_gateway ipv4_gateway_kind, ipv6_gateway_kind;
	struct bv_address ipv4_gateway, ipv6_gateway;
	/* veth */
	char *veth_pair;
	enum bv_veth_mode veth_mode;
	uint32_t veth_rxqueues, veth_txqueues; /* 0: the kernel's default */
	struct bv_address_list veth_ipv4_routes, veth_ipv6_routes;
	int veth_vlan_id;                      /* -1 unset, -2 "none" */
	struct bv_strv veth_vlan_tagged;
	/* the others */
	enum bv_macvlan_mode macvlan_mode;
	enum bv_ipvlan_mode ipvlan_mode;
	enum bv_ipvlan_isolation ipvlan_isolation;
	int vlan_id; /* -1 unset */
};

/* One `lxc.X.NAME = VALUE` of a family, in the order of the file: cgroup files, sysctls, proc files. */
struct bv_pair {
	char *name, *value;
};

struct bv_pair_list {
	struct bv_pair *v;
	size_t n;
};

/* lxc.prlimit.NAME; `resource` is RLIMIT_*, UINT64_MAX is unlimited. */
struct bv_rlimit {
	int resource;
	uint64_t soft, hard;
};

/* lxc.idmap */
struct bv_idmap {
	char kind; /* 'u' or 'g' */
	uint32_t ns_id, host_id, range;
};

enum bv_hook {
	BV_HOOK_PRE_START,
	BV_HOOK_PRE_MOUNT,
	BV_HOOK_MOUNT,
	BV_HOOK_AUTODEV,
	BV_HOOK_START_HOST,
	BV_HOOK_START,
	BV_HOOK_STOP,
	BV_HOOK_POST_STOP,
	BV_HOOK_CLONE,
	BV_HOOK_DESTROY,
	BV_HOOK_COUNT,
};

/* Namespaces, in the order in which attach enters them. The bits are 1 << BV_NS_*. */
enum bv_ns { BV_NS_USER, BV_NS_MNT, BV_NS_PID, BV_NS_UTS, BV_NS_IPC, BV_NS_NET, BV_NS_CGROUP, BV_NS_TIME, BV_NS_COUNT };

/* "user", "mnt", ...; and the CLONE_NEW* flag. */
const char *bv_ns_name(enum bv_ns ns);
int bv_ns_clone_flag(enum bv_ns ns);
/* Also accepts lxc-attach's names (MOUNT, UTSNAME, NETWORK, any case); -EINVAL else. */
int bv_ns_parse(const char *name);

/* lxc.mount.auto: one choice of each family. */
enum bv_automount { BV_AUTO_NONE, BV_AUTO_RO, BV_AUTO_MIXED, BV_AUTO_RW, BV_AUTO_UNSPECIFIED /* bare "cgroup" */ };

struct bv_mount_auto {
	enum bv_automount proc, sys, cgroup;
	bool cgroup_full, cgroup_force, cgroup2; /* cgroup2: only the v2 hierarchy */
	char *shmounts_host, *shmounts_container;
};

enum bv_engine_kind { BV_ENGINE_CONTAINER, BV_ENGINE_VM };

struct bv_config {
	/* identity, init, process */
	char *uts_name;
	char *arch;              /* as written; NULL: unchanged */
	unsigned long personality; /* PER_LINUX, PER_LINUX32, or ULONG_MAX when unset */
	bool ephemeral;
	char *execute_cmd, *init_cmd, *init_cwd;
	uint32_t init_uid, init_gid;
	struct bv_strv init_groups; /* decimal gids */
	bool init_groups_set;
	struct bv_strv environment, environment_runtime, environment_hooks; /* K=V; "K" alone was resolved at parse */
	bool no_new_privs;
	int keyring_disable; /* lxc.keyring.session as stored: 1 disables (facts 2.2), -1 unset */
	struct bv_pair_list proc, sysctl;
	struct bv_rlimit *rlimits;
	size_t n_rlimits;
	bool sched_core;
	int signal_halt, signal_reboot, signal_stop; /* 0: unset (SIGPWR or found out, SIGINT, SIGKILL) */
	int64_t time_boot_ns, time_monotonic_ns;
	bool time_boot_set, time_monotonic_set;
	bool monitor_unshare;
	int monitor_signal_pdeath; /* -1 unset (SIGKILL), 0 survive */
	bool start_auto;
	uint32_t start_delay;
	int start_order;
	struct bv_strv groups;

	/* network, by index */
	struct bv_nic *nics;
	size_t n_nics;

	/* console and /dev */
	char *console_path, *console_logfile;
	uint64_t console_buffer_size, console_size; /* bytes, 0: off / no limit */
	bool console_rotate;
	uint32_t tty_max, pty_max;
	char *tty_dir;
	bool autodev;             /* default true */
	uint64_t autodev_tmpfs_size; /* bytes, default 500000 */

	/* mounts and rootfs */
	char *mount_fstab;
	struct bv_strv mount_entries; /* fstab lines */
	struct bv_mount_auto mount_auto;
	char *rootfs_path, *rootfs_mount, *rootfs_options; /* rootfs_path as written, [TYPE:]PATH */
	bool rootfs_managed;      /* default true */

	/* cgroups: name is "memory.max", without the prefix of the key */
	struct bv_pair_list cgroup1, cgroup2;
	char *cgroup_dir, *cgroup_dir_container, *cgroup_dir_monitor, *cgroup_dir_monitor_pivot, *cgroup_dir_inner;
	bool cgroup_relative;

	/* security */
	struct bv_strv cap_drop, cap_keep; /* names as written */
	bool cap_keep_set;                 /* keep was given ("none" makes it empty) */
	unsigned int ns_clone, ns_keep;    /* bits 1 << BV_NS_*; valid with the flags below */
	bool ns_clone_set, ns_keep_set;
	char *ns_share[BV_NS_COUNT];
	struct bv_idmap *idmaps;
	size_t n_idmaps;
	char *apparmor_profile;
	bool apparmor_allow_incomplete, apparmor_allow_nesting;
	struct bv_strv apparmor_raw;
	char *selinux_context, *selinux_context_keyring;
	char *seccomp_profile, *seccomp_notify_proxy, *seccomp_notify_cookie;
	bool seccomp_allow_nesting;

	/* hooks */
	struct bv_strv hooks[BV_HOOK_COUNT];
	int hook_version;

	/* logging */
	int log_level; /* BV_LOG_*, -1 unset */
	char *log_file, *log_syslog;

	/* ours */
	enum bv_engine_kind engine;
	char *vm_backend, *vm_accel, *vm_kernel, *vm_modules, *vm_cmdline, *vm_root, *vm_root_cache, *vm_machine;
	uint64_t vm_memory; /* bytes, 0: from the limits */
	uint32_t vm_cpus;   /* 0: from the limits */
	bool vm_balloon;    /* default true */

	/* the file */
	struct bv_config_text *text;
};

/* A config with every default; NULL when out of memory. bv_config_free(NULL) is fine, bv_config_freep for autoclean. */
struct bv_config *bv_config_new(void);
void bv_config_free(struct bv_config *cfg);
void bv_config_freep(struct bv_config **cfg);

/*
 * Read `path` (relative to `dirfd`) with its includes; a relative include starts at the directory of the file that has
 * it. A second file that is loaded into the same config comes behind the first, in the kept text as well. The error
 * names file, line and, for an unknown key, the nearest known one. Nothing is half-applied: a config whose load failed
 * is to be freed.
 * Limits: 8 MiB a file, 64 KiB a line, 16 include levels; a NUL byte is an error.
 */
int bv_config_load(struct bv_config *cfg, int dirfd, const char *path, struct bv_error *err);

/* The same from memory, `name` stands for the file in messages. */
int bv_config_parse(struct bv_config *cfg, const char *text, size_t len, const char *name, struct bv_error *err);

/*
 * Set a key as a line `key = value` would (lists append, an empty value clears), legacy names included, and note it for
 * the next save. -EINVAL with the reason: unknown key, bad value, a newline or other control character in the value.
 */
int bv_config_set(struct bv_config *cfg, const char *key, const char *value, struct bv_error *err);

/* "KEY=VALUE" or "KEY = VALUE", as lxc-start -s gives it. */
int bv_config_set_line(struct bv_config *cfg, const char *line, struct bv_error *err);

/* Back to the default; key families and "lxc.net.N" too. */
int bv_config_clear(struct bv_config *cfg, const char *key, struct bv_error *err);

/*
 * The value of `key` (a legacy name too) as LXC's getter prints it: lists one a line, each with its newline (but for
 * lxc.idmap and the lists of a nic, which have none behind the last). The beginning of several names ("lxc.cap",
 * "lxc.net.0") gives their lines `key = value`. *ret is malloc'ed, "" when unset. -ENOENT: there is no such key, or no
 * such nic, or the key is for another type of link.
 */
int bv_config_get(const struct bv_config *cfg, const char *key, char **ret, struct bv_error *err);

/* The file's text with the edits applied, for the instance's `config`. malloc'ed, NULL when out of memory. */
char *bv_config_save_text(const struct bv_config *cfg);

/*
 * Every key that differs from its default, includes resolved, in an order that parses back into an equal config: the
 * snapshot that the run directory keeps. malloc'ed, NULL when out of memory.
 */
char *bv_config_dump(const struct bv_config *cfg);

/* The nic with that index, or NULL. */
struct bv_nic *bv_config_nic(const struct bv_config *cfg, unsigned int index);

const char *bv_net_type_name(enum bv_net_type type);
const char *bv_hook_name(enum bv_hook hook); /* "pre-start" */

/*
 * Replace every x or X of a MAC template by a random hex digit (the second digit even, so that the address is unicast).
 * `mac` has 17 characters. Every hwaddr that is set goes through it; in the kept text of the file itself (not of one
 * that it includes) the result takes the template's place, so that the next save keeps it.
 */
void bv_mac_expand(char *mac);

/* Address text "10.0.3.5/24 [10.0.3.255]" or "fd00::1/64". -EINVAL with the reason. */
int bv_address_parse(int family, const char *text, struct bv_address *ret, struct bv_error *err);
/* "10.0.3.5/24", or without "/24" when with_prefix is false. `buf` has at least 64 bytes. */
char *bv_address_format(const struct bv_address *a, bool with_prefix, char *buf, size_t size);

/* A capability by name (with or without CAP_, any case) or number below 64; -EINVAL else. */
int bv_cap_parse(const char *name);
const char *bv_cap_name(int cap); /* "net_admin"; NULL when unknown */
/* The name that is nearest to a misspelt one, or NULL. */
const char *bv_cap_nearest(const char *word);

/* A signal by name (SIGHUP, HUP, SIGRTMIN+3, SIGRTMAX-1) or number; -EINVAL else. */
int bv_signal_parse(const char *text);
/* "SIGTERM", "SIGRTMIN+3"; never NULL (static buffer per call site is not used: `buf` is filled). */
const char *bv_signal_name(int sig, char *buf, size_t size);

/*
 * Print the key table for the man page generator and for the completion: `what` is "man" (mdoc text of all keys),
 * "names" (one key a line), "legacy" (mdoc text of the renamed keys). Used by a build-time tool and by lxc-config.
 */
int bv_config_print_keys(FILE *out, const char *what);
