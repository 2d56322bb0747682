/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/listen.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "util/file.h"

enum { STATUS_MAX = 4096, CALL_MAX = 256 };

/* rt_sigtimedwait and its 64-bit twin as 32-bit programs have them: i386, arm and others (asm/unistd.h). */
enum { COMPAT_RT_SIGTIMEDWAIT = 177, COMPAT_RT_SIGTIMEDWAIT_TIME64 = 421 };

static uint64_t bit(int sig)
{
	return UINT64_C(1) << (sig - 1);
}

static uint64_t mask_of(const char *status, const char *key)
{
	const char *s = strstr(status, key);
	return s ? strtoull(s + strlen(key), NULL, 16) : 0;
}

/* "NSpid:	4711	1": its number in each namespace, the innermost last (Linux 4.1). */
static bool is_process_1(const char *status)
{
	const char *s = strstr(status, "\nNSpid:");
	size_t len = s ? strcspn(s + 1, "\n") : 0;
	return len > 2 && s[len] == '1' && (s[len - 1] == '\t' || s[len - 1] == ' ');
}

/* What sigwait waits for, as busybox's init and our own do, is not blocked in that time, and heard none the less. */
static bool waits_for_signals(const char *call)
{
	char *rest;
	long number = strtol(call, &rest, 10);
	return rest == call ? !*call
			    : number == SYS_rt_sigtimedwait || number == COMPAT_RT_SIGTIMEDWAIT ||
				      number == COMPAT_RT_SIGTIMEDWAIT_TIME64;
}

struct bv_listen bv_listen_parse(const char *status, const char *call)
{
	uint64_t blocked = mask_of(status, "\nSigBlk:");
	/* systemd reads its signals from a signalfd. lxc-execute's init blocks them all; SIGALRM tells them apart. */
	struct bv_listen l = { .systemd = (blocked & bit(SIGRTMIN + 3)) && !(blocked & bit(SIGALRM)) };
	if (waits_for_signals(call) || !is_process_1(status))
		l.signals = UINT64_MAX;
	else
		l.signals = blocked | mask_of(status, "\nSigCgt:");
	return l;
}

/* "" where it cannot be read: "running" and a number are all that it says else. */
static void read_text(pid_t pid, const char *name, char *text, size_t size)
{
	char path[48];
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	if (bv_read_small(AT_FDCWD, path, text, size) <= 0)
		text[0] = '\0';
}

struct bv_listen bv_listen_look(pid_t pid)
{
	char status[STATUS_MAX], call[CALL_MAX];
	read_text(pid, "status", status, sizeof(status));
	read_text(pid, "syscall", call, sizeof(call));
	return bv_listen_parse(status, call);
}

bool bv_listen_hears(const struct bv_listen *l, int sig)
{
	/* These two reach process 1 from the host whatever it wants. */
	return sig == SIGKILL || sig == SIGSTOP || (l->signals & bit(sig));
}
