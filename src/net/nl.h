/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "util/error.h"

/*
 * One rtnetlink socket and the requests that wait to be sent on it.
 *
 * Requests are queued and go out in one sendto(); only the last asks for an acknowledgement, since the kernel answers
 * every request that failed anyway. A batch that succeeds costs two system calls, whatever its length. The kernel does
 * not stop at a failed request: what must not run after a failure goes into a batch of its own.
 */
enum {
	BV_NL_OUT = 8192,   /* bytes of one batch */
	BV_NL_BATCH = 48,   /* requests of one batch */
	BV_NL_IN = 8192,    /* one reply that is not part of a dump */
	BV_NL_DUMP = 32768, /* the kernel never puts more into one message of a dump (netlink_recvmsg) */
};

enum {
	BV_NL_TOLERATE_NONE = 0,
	BV_NL_TOLERATE_ALL = -1, /* a wish, not a must */
};

/*
 * What a request is for, so that its failure makes a sentence: `cannot` [`address`] [`preposition` "`link`"], as in
 * cannot "add the address" 10.0.3.5/24 "to" "eth0". All is borrowed until the flush.
 */
struct bv_nl_note {
	const char *cannot;
	const struct bv_address *address;
	const char *preposition;
	const char *link;
	bool bare;    /* the address without its prefix */
	int tolerate; /* an errno that is no failure, or BV_NL_TOLERATE_* */
};

struct bv_nl {
	int fd;
	uint32_t seq;          /* of the last queued request */
	size_t start, len;     /* of the last queued request; bytes queued */
	unsigned int n;        /* requests queued */
	bool overflow;         /* a request did not fit */
	struct bv_nl_note notes[BV_NL_BATCH];
	_Alignas(NLMSG_ALIGNTO) char out[BV_NL_OUT];
};

int bv_nl_open(struct bv_nl *nl, struct bv_error *err);
/* With an fd that is open already, or -1 to build requests only. */
void bv_nl_init(struct bv_nl *nl, int fd);
void bv_nl_close(struct bv_nl *nl); /* good as autoclean() */

/*
 * Queue a request; the attributes that follow belong to it. Returns its zeroed header of `size` bytes (struct
 * ifinfomsg and so on). What does not fit is noticed by the flush; loops of unknown length call bv_nl_room() first.
 */
void *bv_nl_begin(struct bv_nl *nl, uint16_t type, uint16_t flags, size_t size, struct bv_nl_note note);
void bv_nl_put(struct bv_nl *nl, uint16_t type, const void *data, size_t len);
void bv_nl_put_u8(struct bv_nl *nl, uint16_t type, uint8_t value);
void bv_nl_put_u16(struct bv_nl *nl, uint16_t type, uint16_t value);
void bv_nl_put_u32(struct bv_nl *nl, uint16_t type, uint32_t value);
void bv_nl_put_str(struct bv_nl *nl, uint16_t type, const char *value);
/* A nested attribute; end with what was returned. */
size_t bv_nl_nest(struct bv_nl *nl, uint16_t type);
void bv_nl_nest_end(struct bv_nl *nl, size_t nest);
/* `size` zeroed bytes without a header of their own (struct ifinfomsg in VETH_INFO_PEER). NULL when full. */
void *bv_nl_put_header(struct bv_nl *nl, size_t size);

/* Make sure that four requests of 1 KiB together fit: flushes when they would not. */
int bv_nl_room(struct bv_nl *nl, struct bv_error *err);

/* Send what is queued and wait for the outcome: 0, or the first failure that its note does not tolerate. */
int bv_nl_flush(struct bv_nl *nl, struct bv_error *err);

/* Called with each message of a reply; a negative return ends it with that. */
typedef int (*bv_nl_reply_fn)(const struct nlmsghdr *reply, void *data);

/* Send the one queued request; it answers with one message. */
int bv_nl_get(struct bv_nl *nl, bv_nl_reply_fn fn, void *data, struct bv_error *err);
/* Send the one queued request, a dump. */
int bv_nl_dump(struct bv_nl *nl, bv_nl_reply_fn fn, void *data, struct bv_error *err);

/* Forget what is queued. */
void bv_nl_reset(struct bv_nl *nl);

/* The index of a link by its name, by ioctl on the same socket: one system call. 0 when there is none. */
int bv_nl_link_index(const struct bv_nl *nl, const char *name);

/* The bytes of an address of AF_INET or AF_INET6. */
size_t bv_nl_address_size(int family);
/* The link's own address in a message with a struct ifaddrmsg, of its family's size; NULL when it has none such. */
const void *bv_nl_own_address(const struct nlmsghdr *h);
