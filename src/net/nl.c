/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/nl.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/str.h"

void bv_nl_init(struct bv_nl *nl, int fd)
{
	nl->fd = fd;
	nl->seq = 0;
	bv_nl_reset(nl);
}

void bv_nl_reset(struct bv_nl *nl)
{
	nl->start = nl->len = 0;
	nl->n = 0;
	nl->overflow = false;
}

int bv_nl_open(struct bv_nl *nl, struct bv_error *err)
{
	bv_nl_init(nl, socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	if (nl->fd < 0)
		return bv_fail_errno(err, "cannot open a netlink socket");

	/* Linux 4.12. Without it there is no text beside the number, which is no reason to fail. */
	(void)setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &(int){ 1 }, sizeof(int));
	return 0;
}

void bv_nl_close(struct bv_nl *nl)
{
	if (nl->fd >= 0)
		close(nl->fd);
	nl->fd = -1;
}

static struct nlmsghdr *current(struct bv_nl *nl)
{
	return (struct nlmsghdr *)(void *)(nl->out + nl->start);
}

/* The rest of the buffer, counted from the start of the current request: what libmnl's checks want. */
static size_t room(const struct bv_nl *nl)
{
	return sizeof(nl->out) - nl->start;
}

static void grown(struct bv_nl *nl, bool fits)
{
	if (!fits)
		nl->overflow = true;
	else
		nl->len = nl->start + current(nl)->nlmsg_len;
}

void *bv_nl_begin(struct bv_nl *nl, uint16_t type, uint16_t flags, size_t size, struct bv_nl_note note)
{
	size_t start = NLMSG_ALIGN(nl->len), len = NLMSG_HDRLEN + NLMSG_ALIGN(size);

	if (nl->n == BV_NL_BATCH || start + len > sizeof(nl->out)) {
		/* Never sent: the flush sees the overflow. The caller gets something to write to. */
		nl->overflow = true;
		start = 0;
	} else {
		nl->notes[nl->n++] = note;
		nl->seq++;
	}

	nl->start = start;
	nl->len = start + len;
	memset(nl->out + start, 0, len);
	struct nlmsghdr *h = current(nl);
	h->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(size));
	h->nlmsg_type = type;
	h->nlmsg_flags = NLM_F_REQUEST | flags;
	h->nlmsg_seq = nl->seq;
	return mnl_nlmsg_get_payload(h);
}

void bv_nl_put(struct bv_nl *nl, uint16_t type, const void *data, size_t len)
{
	grown(nl, len <= UINT16_MAX - NLA_HDRLEN && mnl_attr_put_check(current(nl), room(nl), type, len, data));
}

void bv_nl_put_u8(struct bv_nl *nl, uint16_t type, uint8_t value)
{
	grown(nl, mnl_attr_put_u8_check(current(nl), room(nl), type, value));
}

void bv_nl_put_u16(struct bv_nl *nl, uint16_t type, uint16_t value)
{
	grown(nl, mnl_attr_put_u16_check(current(nl), room(nl), type, value));
}

void bv_nl_put_u32(struct bv_nl *nl, uint16_t type, uint32_t value)
{
	grown(nl, mnl_attr_put_u32_check(current(nl), room(nl), type, value));
}

void bv_nl_put_str(struct bv_nl *nl, uint16_t type, const char *value)
{
	grown(nl, mnl_attr_put_strz_check(current(nl), room(nl), type, value));
}

size_t bv_nl_nest(struct bv_nl *nl, uint16_t type)
{
	size_t at = nl->len;
	struct nlattr *nest = mnl_attr_nest_start_check(current(nl), room(nl), type);

	grown(nl, nest != NULL);
	return at;
}

void bv_nl_nest_end(struct bv_nl *nl, size_t nest)
{
	if (!nl->overflow)
		mnl_attr_nest_end(current(nl), (struct nlattr *)(void *)(nl->out + nest));
}

void *bv_nl_put_header(struct bv_nl *nl, size_t size)
{
	if (nl->overflow || nl->len + NLMSG_ALIGN(size) > sizeof(nl->out)) {
		nl->overflow = true;
		return NULL;
	}
	return mnl_nlmsg_put_extra_header(current(nl), size);
}

int bv_nl_room(struct bv_nl *nl, struct bv_error *err)
{
	if (nl->n + 4 <= BV_NL_BATCH && nl->len + 1024 <= sizeof(nl->out))
		return 0;
	return bv_nl_flush(nl, err);
}

/* Send the batch. *first and *last are its sequence numbers. */
static int batch_send(struct bv_nl *nl, uint32_t *first, uint32_t *last, struct bv_error *err)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	*last = nl->seq;
	*first = nl->seq - nl->n + 1;
	if (nl->overflow)
		return bv_fail(err, EMSGSIZE, "the netlink request is too long (more than %d bytes)", BV_NL_OUT);

	ssize_t n = sendto(nl->fd, nl->out, nl->len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	if (n < 0)
		return bv_fail_errno(err, "cannot send a netlink request");
	return 0;
}

/* One datagram from the kernel into `buf`; its length or -errno. */
static ssize_t receive(struct bv_nl *nl, void *buf, size_t size, struct bv_error *err)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	do {
		n = recvmsg(nl->fd, &msg, 0);
	} while ((n < 0 && errno == EINTR) || (n >= 0 && from.nl_pid != 0));

	if (n < 0)
		return bv_fail_errno(err, "cannot receive a netlink reply");
	if (msg.msg_flags & MSG_TRUNC)
		return bv_fail(err, EMSGSIZE, "a netlink reply is longer than %zu bytes", size);
	return n;
}

/* NLMSGERR_ATTR_MSG behind an error, or NULL. The kernel ends the text with a NUL. */
static const char *extended_text(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
	size_t skip = sizeof(*e);
	const struct nlattr *a;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		skip += MNL_ALIGN(e->msg.nlmsg_len) - sizeof(e->msg);
	if (skip >= mnl_nlmsg_get_payload_len(h))
		return NULL;

	mnl_attr_for_each(a, h, (unsigned int)skip)
	{
		if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(a);
	}
	return NULL;
}

static bool tolerated(const struct bv_nl_note *note, int code)
{
	return note->tolerate == BV_NL_TOLERATE_ALL || (note->tolerate != 0 && note->tolerate == code);
}

/* The sentence of a failed request. */
static int request_fail(const struct bv_nl_note *note, int code, const char *text, struct bv_error *err)
{
	char address[64] = "";

	if (note->address)
		bv_address_format(note->address, !note->bare, address, sizeof(address));
	return bv_fail(err, code, "cannot %s%s%s%s%s%s%s%s: %s%s%s%s", note->cannot, note->address ? " " : "", address,
		       note->preposition ? " " : "", note->preposition ? note->preposition : "",
		       note->link ? " \"" : "", note->link ? note->link : "", note->link ? "\"" : "", strerror(code),
		       text ? " (kernel: " : "", text ? text : "", text ? ")" : "");
}

/* What an NLMSG_ERROR says: 0 for an acknowledgement, else a positive errno. */
static int error_code(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	if (mnl_nlmsg_get_payload_len(h) < sizeof(*e))
		return EBADMSG;
	return e->error < 0 ? -e->error : e->error;
}

int bv_nl_flush(struct bv_nl *nl, struct bv_error *err)
{
	_Alignas(NLMSG_ALIGNTO) char in[BV_NL_IN];
	uint32_t first, last;
	int rc, failed = 0;
	bool done = false;

	if (nl->n == 0 && !nl->overflow)
		return 0;
	current(nl)->nlmsg_flags |= NLM_F_ACK;
	rc = batch_send(nl, &first, &last, err);

	while (rc == 0 && !done) {
		ssize_t got = receive(nl, in, sizeof(in), err);
		int left = (int)got;

		if (got < 0)
			rc = (int)got;
		for (struct nlmsghdr *h = (void *)in; rc == 0 && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			uint32_t i = h->nlmsg_seq - first;
			if (h->nlmsg_type != NLMSG_ERROR || i > last - first)
				continue;
			done = h->nlmsg_seq == last;
			int code = error_code(h);
			if (code && !failed && !tolerated(&nl->notes[i], code))
				failed = request_fail(&nl->notes[i], code, extended_text(h), err);
		}
	}

	bv_nl_reset(nl);
	return rc ? rc : failed;
}

/* Replies to the request `seq`: 1 when it is finished, 0 when more is to come. */
static int reply_handle(const struct nlmsghdr *h, const struct bv_nl_note *note, bv_nl_reply_fn fn, void *data,
			struct bv_error *err)
{
	if (h->nlmsg_type == NLMSG_ERROR) {
		int code = error_code(h);
		return code ? request_fail(note, code, extended_text(h), err) : 1;
	}
	if (h->nlmsg_type == NLMSG_DONE)
		return 1;

	int rc = fn(h, data);
	if (rc < 0)
		return request_fail(note, -rc, NULL, err);
	return h->nlmsg_flags & NLM_F_MULTI ? 0 : 1;
}

static int ask(struct bv_nl *nl, char *in, size_t size, bv_nl_reply_fn fn, void *data, struct bv_error *err)
{
	uint32_t first, seq;
	struct bv_nl_note note = nl->notes[0];
	int rc = batch_send(nl, &first, &seq, err);

	bv_nl_reset(nl);
	while (rc == 0) {
		ssize_t got = receive(nl, in, size, err);
		int left = (int)got;

		if (got < 0)
			return (int)got;
		for (struct nlmsghdr *h = (void *)in; rc == 0 && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq == seq)
				rc = reply_handle(h, &note, fn, data, err);
		}
	}
	return rc < 0 ? rc : 0;
}

int bv_nl_get(struct bv_nl *nl, bv_nl_reply_fn fn, void *data, struct bv_error *err)
{
	_Alignas(NLMSG_ALIGNTO) char in[BV_NL_IN];

	return ask(nl, in, sizeof(in), fn, data, err);
}

int bv_nl_dump(struct bv_nl *nl, bv_nl_reply_fn fn, void *data, struct bv_error *err)
{
	_Alignas(NLMSG_ALIGNTO) char in[BV_NL_DUMP];

	current(nl)->nlmsg_flags |= NLM_F_DUMP;
	return ask(nl, in, sizeof(in), fn, data, err);
}

int bv_nl_link_index(const struct bv_nl *nl, const char *name)
{
	struct ifreq req = { 0 };

	if (strlen(name) >= sizeof(req.ifr_name))
		return 0;
	memcpy(req.ifr_name, name, strlen(name));
	return ioctl(nl->fd, SIOCGIFINDEX, &req) < 0 ? 0 : req.ifr_ifindex;
}

size_t bv_nl_address_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

const void *bv_nl_own_address(const struct nlmsghdr *h)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(h);
	const struct nlattr *a, *address = NULL, *local = NULL;

	mnl_attr_for_each(a, h, sizeof(*info))
	{
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			local = a;
		if (mnl_attr_get_type(a) == IFA_ADDRESS)
			address = a;
	}
	/* IFA_ADDRESS is the peer of a point-to-point link, IFA_LOCAL the own end. */
	if (local)
		address = local;
	if (!address || mnl_attr_get_payload_len(address) != bv_nl_address_size(info->ifa_family))
		return NULL;
	return mnl_attr_get_payload(address);
}
