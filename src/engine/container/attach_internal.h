/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "security/security.h"
#include "util/error.h"
#include "util/str.h"

/* One attach: made ready by the caller's process (attach.c), carried out by its child (attach_child.c). */
struct bv_attach {
	const struct bv_run *run;
	const struct bv_engine_attach *how;
	unsigned int namespaces; /* bits 1 << BV_NS_* that are entered */
	bool pid_entered;	 /* the child was born in the pid namespace */
	bool joined;		 /* .. and in all the others */
	bool into_cgroup;	 /* the child moves itself */
	bool born_inside;	 /* .. but on v2 it was born there */
	struct bv_strv env;
	struct bv_seccomp seccomp;
	uint64_t caps_keep;
	const char *label; /* NULL none */
	int proc_fd;	   /* of the host's /proc, -1 without a label */
	char cwd[PATH_MAX];
	int parent_end, child_end; /* of the socket between the two */
};

/*
 * Between the two, over a SOCK_SEQPACKET: the child says what it needs or what failed, and the end of the stream says
 * that the command was executed. Whole structs, fds beside them.
 */
enum bv_attach_word {
	BV_ATTACH_FAILED,   /* child: `err`, the end */
	BV_ATTACH_PTY,	    /* child: with the master of a pty of the instance */
	BV_ATTACH_WANT_PTY, /* child: the instance has no devpts. Parent's answer: with the slave of a host pty */
	BV_ATTACH_PID,	    /* the one between (see below): `pid` of the child, who is the parent's child too */
};

struct bv_attach_message {
	enum bv_attach_word word;
	pid_t pid;
	struct bv_error err;
};

/* 0 or -errno; `fd` -1 for none. */
int bv_attach_send(int sock, const struct bv_attach_message *m, int fd);
/* 1 received (*fd is one or -1), 0 at the end, or -errno. */
int bv_attach_receive(int sock, struct bv_attach_message *m, int *fd);

/* A clone of the caller that is not dumpable: the child's pid, 0 in the child; -errno. */
pid_t bv_attach_clone(unsigned long flags, int cgroup_fd, int *pidfd);

/* Body of the child. */
void bv_attach_child(struct bv_attach *a) __attribute__((noreturn));

/*
 * Body of a process in between, for a caller that may not enter the pid namespace before the user namespace (which
 * could not be left again): it enters all, makes the child as its own sibling, and ends.
 */
void bv_attach_between(struct bv_attach *a) __attribute__((noreturn));
