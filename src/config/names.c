/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/config.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "util/cleanup.h"
#include "util/num.h"

/* Linux 5.6; not in glibc 2.36's sched.h under every feature macro. */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

static const struct {
	const char *name, *attach_name; /* attach_name: lxc-attach's and lxc-unshare's word, NULL when it is the same */
	int clone_flag;
} namespaces[BV_NS_COUNT] = {
	[BV_NS_USER] = { "user", NULL, CLONE_NEWUSER },       [BV_NS_MNT] = { "mnt", "mount", CLONE_NEWNS },
	[BV_NS_PID] = { "pid", NULL, CLONE_NEWPID },          [BV_NS_UTS] = { "uts", "utsname", CLONE_NEWUTS },
	[BV_NS_IPC] = { "ipc", NULL, CLONE_NEWIPC },          [BV_NS_NET] = { "net", "network", CLONE_NEWNET },
	[BV_NS_CGROUP] = { "cgroup", NULL, CLONE_NEWCGROUP }, [BV_NS_TIME] = { "time", NULL, CLONE_NEWTIME },
};

const char *bv_ns_name(enum bv_ns ns)
{
	return (unsigned int)ns < BV_NS_COUNT ? namespaces[ns].name : NULL;
}

int bv_ns_clone_flag(enum bv_ns ns)
{
	return (unsigned int)ns < BV_NS_COUNT ? namespaces[ns].clone_flag : 0;
}

int bv_ns_parse(const char *name)
{
	for (int ns = 0; ns < BV_NS_COUNT; ns++) {
		const char *other = namespaces[ns].attach_name;
		if (strcasecmp(name, namespaces[ns].name) == 0 || (other && strcasecmp(name, other) == 0))
			return ns;
	}
	return -EINVAL;
}

const char *bv_net_type_name(enum bv_net_type type)
{
	static const char *const names[] = {
		[BV_NET_EMPTY] = "empty",     [BV_NET_NONE] = "none",     [BV_NET_VETH] = "veth",
		[BV_NET_MACVLAN] = "macvlan", [BV_NET_IPVLAN] = "ipvlan", [BV_NET_VLAN] = "vlan",
		[BV_NET_PHYS] = "phys",
	};
	return (unsigned int)type < ARRAY_SIZE(names) ? names[type] : NULL;
}

const char *bv_hook_name(enum bv_hook hook)
{
	static const char *const names[BV_HOOK_COUNT] = {
		[BV_HOOK_PRE_START] = "pre-start", [BV_HOOK_PRE_MOUNT] = "pre-mount",   [BV_HOOK_MOUNT] = "mount",
		[BV_HOOK_AUTODEV] = "autodev",     [BV_HOOK_START_HOST] = "start-host", [BV_HOOK_START] = "start",
		[BV_HOOK_STOP] = "stop",           [BV_HOOK_POST_STOP] = "post-stop",   [BV_HOOK_CLONE] = "clone",
		[BV_HOOK_DESTROY] = "destroy",
	};
	return (unsigned int)hook < BV_HOOK_COUNT ? names[hook] : NULL;
}

void bv_mac_expand(char *mac)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char random[17];

	if (!strpbrk(mac, "xX"))
		return;
	/* Up to 256 bytes never come short once the pool is up (getrandom(2)); before that, an address is all zeros. */
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, 0, sizeof(random));
	for (size_t i = 0; i < sizeof(random) && mac[i]; i++)
		if (mac[i] == 'x' || mac[i] == 'X')
			mac[i] = digits[random[i] & (i == 1 ? 0xe : 0xf)];
}

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "HUP", SIGHUP },
	{ "INT", SIGINT },
	{ "QUIT", SIGQUIT },
	{ "ILL", SIGILL },
	{ "TRAP", SIGTRAP },
	{ "ABRT", SIGABRT },
	{ "BUS", SIGBUS },
	{ "FPE", SIGFPE },
	{ "KILL", SIGKILL },
	{ "USR1", SIGUSR1 },
	{ "SEGV", SIGSEGV },
	{ "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE },
	{ "ALRM", SIGALRM },
	{ "TERM", SIGTERM },
	{ "CHLD", SIGCHLD },
	{ "CONT", SIGCONT },
	{ "STOP", SIGSTOP },
	{ "TSTP", SIGTSTP },
	{ "TTIN", SIGTTIN },
	{ "TTOU", SIGTTOU },
	{ "URG", SIGURG },
	{ "XCPU", SIGXCPU },
	{ "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM },
	{ "PROF", SIGPROF },
	{ "WINCH", SIGWINCH },
	{ "IO", SIGIO },
	{ "PWR", SIGPWR },
	{ "SYS", SIGSYS },
#ifdef SIGSTKFLT
	{ "STKFLT", SIGSTKFLT },
#endif
	/* Second names, found by parsing only. */
	{ "IOT", SIGABRT },
	{ "CLD", SIGCHLD },
	{ "POLL", SIGIO },
	{ "UNUSED", SIGSYS },
};

static int realtime_parse(const char *text)
{
	const char *rest = bv_after(text, "RTMIN");
	int base = SIGRTMIN, sign = 1;
	if (!rest) {
		rest = bv_after(text, "RTMAX");
		base = SIGRTMAX;
		sign = -1;
	}
	if (!rest)
		return -EINVAL;

	uint32_t offset = 0;
	if (*rest && (*rest != (sign > 0 ? '+' : '-') || bv_parse_u32(rest + 1, &offset) < 0))
		return -EINVAL;
	return offset <= (uint32_t)(SIGRTMAX - SIGRTMIN) ? base + sign * (int)offset : -EINVAL;
}

int bv_signal_parse(const char *text)
{
	uint32_t number;
	if (bv_parse_u32(text, &number) == 0)
		return number <= (uint32_t)SIGRTMAX ? (int)number : -EINVAL;

	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (strcasecmp(name, signals[i].name) == 0)
			return signals[i].number;

	char upper[16];
	size_t n = strlen(name);
	if (n >= sizeof(upper))
		return -EINVAL;
	for (size_t i = 0; i <= n; i++)
		upper[i] = (char)(name[i] >= 'a' && name[i] <= 'z' ? name[i] - 'a' + 'A' : name[i]);
	return realtime_parse(upper);
}

const char *bv_signal_name(int sig, char *buf, size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (signals[i].number == sig) {
			snprintf(buf, size, "SIG%s", signals[i].name);
			return buf;
		}
	}
	if (sig == SIGRTMIN)
		snprintf(buf, size, "SIGRTMIN");
	else if (sig > SIGRTMIN && sig <= SIGRTMAX)
		snprintf(buf, size, "SIGRTMIN+%d", sig - SIGRTMIN);
	else
		snprintf(buf, size, "%d", sig);
	return buf;
}

/* ---- capabilities ---- */

/*
 * The capabilities by number, as linux/capability.h names them (Linux 5.9; none came since). libcap is not used: its
 * constructor makes six system calls in every process that links it, and a mask of 64 bits is all that is needed.
 */
static const char *const cap_names[] = {
	"chown",
	"dac_override",
	"dac_read_search",
	"fowner",
	"fsetid",
	"kill",
	"setgid",
	"setuid",
	"setpcap",
	"linux_immutable",
	"net_bind_service",
	"net_broadcast",
	"net_admin",
	"net_raw",
	"ipc_lock",
	"ipc_owner",
	"sys_module",
	"sys_rawio",
	"sys_chroot",
	"sys_ptrace",
	"sys_pacct",
	"sys_admin",
	"sys_boot",
	"sys_nice",
	"sys_resource",
	"sys_time",
	"sys_tty_config",
	"mknod",
	"lease",
	"audit_write",
	"audit_control",
	"setfcap",
	"mac_override",
	"mac_admin",
	"syslog",
	"wake_alarm",
	"block_suspend",
	"audit_read",
	"perfmon",
	"bpf",
	"checkpoint_restore",
};

enum { CAP_BITS = 64 };

int bv_cap_parse(const char *name)
{
	uint32_t number;
	if (isdigit((unsigned char)name[0]))
		return bv_parse_u32(name, &number) == 0 && number < CAP_BITS ? (int)number : -EINVAL;

	if (strncasecmp(name, "cap_", strlen("cap_")) == 0)
		name += strlen("cap_");
	for (size_t i = 0; i < ARRAY_SIZE(cap_names); i++)
		if (strcasecmp(name, cap_names[i]) == 0)
			return (int)i;
	return -EINVAL;
}

const char *bv_cap_name(int cap)
{
	return cap >= 0 && (size_t)cap < ARRAY_SIZE(cap_names) ? cap_names[cap] : NULL;
}

const char *bv_cap_nearest(const char *word)
{
	if (strncasecmp(word, "cap_", strlen("cap_")) == 0)
		word += strlen("cap_");
	return bv_nearest(word, cap_names, ARRAY_SIZE(cap_names));
}
