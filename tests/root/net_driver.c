/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Drives src/net for tests/root/net.sh, in the network namespace of the caller as "the host":
 *
 *   net_driver check CONFIG
 *   net_driver run CONFIG COMMAND...     plan, clone, attach, up scripts, configure, run COMMAND inside, detach
 *   net_driver tap CONFIG COMMAND...     as for a VM: attach taps, up scripts, run COMMAND here, detach, close
 *   net_driver arp QUEUE MAC SENDER TARGET
 *                                        by a COMMAND of tap: ask for TARGET's MAC through a queue of its first link
 *   net_driver detach CONFIG DESCRIPTION as the clean-up after a crash, from the file DESCRIPTION
 *   net_driver addresses PID
 *   net_driver counters LINK
 *
 * `run` writes the description to the file $NET_DESCRIPTION if set. $NET_DETACH: "fd" (default) detaches while the
 * namespace lives, "gone" after it, "none" not at all. $NET_NOPLAN: the process inside gets no plan. $NET_QUEUES: of a
 * tap; $NET_TAPS holds the fds of the first link for the COMMAND.
 * Failures print "error: ..." and "hint: ..." and exit with 1.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <netinet/if_ether.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/config.h"
#include "net/net.h"
#include "net/tap.h"
#include "util/cleanup.h"
#include "util/log.h"

static int complain(const struct bv_error *err)
{
	fprintf(stderr, "error: %s\n", err->what);
	if (err->hint[0])
		fprintf(stderr, "hint: %s\n", err->hint);
	return 1;
}

static void print_log(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	fprintf(stderr, "log: %s %s: %s\n", bv_log_level_name(level), module, message);
}

static int child(struct bv_net *net, const struct bv_config *cfg, int go, char **command)
{
	struct bv_error err = { 0 };
	char token;

	if (getenv("NET_NOPLAN"))
		bv_net_clear(net);
	if (read(go, &token, 1) != 1)
		return 1;
	if (bv_net_configure(net, cfg, &err) < 0)
		return complain(&err);
	execvp(command[0], command);
	perror(command[0]);
	return 127;
}

static int save_description(const struct bv_net *net)
{
	const char *path = getenv("NET_DESCRIPTION");
	autofree char *text = bv_net_describe(net);
	autofclose FILE *f = path ? fopen(path, "w") : NULL;

	if (f && text)
		fputs(text, f);
	return text ? 0 : -1;
}

struct run {
	struct bv_net net;
	const struct bv_config *cfg;
	pid_t pid;
	int go, netns;
};

/* Clone the process inside; it has its namespace when this returns. */
static int clone_inside(struct run *r, char **command)
{
	int go[2], ready[2];
	char path[64], token;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0) {
		close(go[1]);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "1", 1) != 1)
			_exit(1);
		_exit(child(&r->net, r->cfg, go[0], command));
	}
	close(go[0]);
	close(ready[1]);
	r->go = go[1];
	if (read(ready[0], &token, 1) != 1)
		return -1;
	close(ready[0]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", r->pid);
	r->netns = open(path, O_RDONLY | O_CLOEXEC);
	return r->netns < 0 ? -1 : 0;
}

static int finish(struct run *r)
{
	const char *how = getenv("NET_DETACH") ? getenv("NET_DETACH") : "fd";
	struct bv_error err = { 0 };
	int status = 0, rc = 0;

	close(r->go);
	waitpid(r->pid, &status, 0);
	bv_net_run_scripts(&r->net, r->cfg, "c1", false, &err);
	if (strcmp(how, "gone") == 0)
		close_fd(&r->netns);
	if (strcmp(how, "none") != 0)
		rc = bv_net_detach(&r->net, r->cfg, r->netns, &err);
	close_fd(&r->netns);
	bv_net_clear(&r->net);
	if (rc < 0)
		return complain(&err);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int run(const struct bv_config *cfg, char **command)
{
	struct run r = { .cfg = cfg, .netns = -1 };
	struct bv_error err = { 0 };

	if (bv_net_plan(&r.net, cfg, &err) < 0)
		return complain(&err);
	if (clone_inside(&r, command) < 0) {
		perror("clone");
		return 1;
	}
	int rc = bv_net_attach(&r.net, cfg, r.pid, r.netns, &err);
	if (rc == 0)
		rc = bv_net_run_scripts(&r.net, cfg, "c1", true, &err);
	if (rc == 0)
		rc = save_description(&r.net);
	if (rc < 0)
		complain(&err);
	else if (write(r.go, "1", 1) != 1)
		perror("write");
	int ended = finish(&r);
	return rc < 0 ? 1 : ended;
}

/* ---- taps ---- */

enum { TAP_LINKS = 16 };

/* The fds of the first link stay open in the command, and are told to it. */
static int tap_command(const struct bv_net_tap *tap, char **command)
{
	char fds[256] = "";
	int status = 0;
	pid_t pid = fork();

	if (pid != 0) {
		waitpid(pid, &status, 0);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
	}
	for (unsigned int i = 0; i < tap->queues; i++) {
		snprintf(fds + strlen(fds), sizeof(fds) - strlen(fds), "%d ", tap->fds[i]);
		fcntl(tap->fds[i], F_SETFD, 0);
	}
	setenv("NET_TAPS", fds, 1);
	execvp(command[0], command);
	_exit(127);
}

static int tap(const struct bv_config *cfg, char **command)
{
	const char *queues_wanted = getenv("NET_QUEUES"), *how = getenv("NET_DETACH") ? getenv("NET_DETACH") : "fd";
	struct bv_net_tap taps[TAP_LINKS] = { 0 };
	unsigned int queues[TAP_LINKS];
	struct bv_net net = { 0 };
	struct bv_error err = { 0 };
	int status = 1;

	for (int i = 0; i < TAP_LINKS; i++)
		queues[i] = queues_wanted ? (unsigned int)atoi(queues_wanted) : 1;
	if (cfg->n_nics > TAP_LINKS || bv_net_plan(&net, cfg, &err) < 0 ||
	    bv_net_attach_taps(&net, cfg, queues, taps, &err) < 0)
		return complain(&err);
	int rc = bv_net_run_scripts(&net, cfg, "c1", true, &err);
	if (rc < 0)
		complain(&err);
	else if (save_description(&net) == 0)
		status = tap_command(&taps[0], command);
	if (strcmp(how, "none") != 0) {
		bv_net_run_scripts(&net, cfg, "c1", false, &err);
		if (bv_net_detach(&net, cfg, -1, &err) < 0)
			status = complain(&err);
	}
	bv_net_taps_close(taps, net.n);
	bv_net_clear(&net);
	return status;
}

/* As a guest's NIC writes it: the header of virtio-net, a frame. */
struct question {
	uint8_t header[10];
	struct ether_header ether;
	struct ether_arp arp;
} __attribute__((packed));

/* Is it the answer? Other frames (IPv6's, say) come as well. */
static int arp_answer(int fd, const uint8_t target[4])
{
	union {
		struct question q;
		char bytes[4096];
	} in;

	while (read(fd, &in, sizeof(in)) >= (ssize_t)sizeof(in.q)) {
		const uint8_t *m = in.q.arp.arp_sha;
		if (in.q.ether.ether_type != htons(ETHERTYPE_ARP) || in.q.arp.ea_hdr.ar_op != htons(ARPOP_REPLY) ||
		    memcmp(in.q.arp.arp_spa, target, 4) != 0)
			continue;
		printf("%02x:%02x:%02x:%02x:%02x:%02x\n", m[0], m[1], m[2], m[3], m[4], m[5]);
		return 1;
	}
	return 0;
}

static int arp(unsigned int queue, const char *mac, const char *sender, const char *target)
{
	struct question q = { .ether.ether_type = htons(ETHERTYPE_ARP) };
	char *at = getenv("NET_TAPS");
	struct pollfd fds[64];
	nfds_t n = 0;
	int m[6];

	while (at && n < 64 && *at)
		fds[n++] = (struct pollfd){ .fd = (int)strtol(at, &at, 10), .events = POLLIN }, at++;
	if (queue >= n || sscanf(mac, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
		return 2;
	q.arp.ea_hdr = (struct arphdr){ htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(ARPOP_REQUEST) };
	memset(q.ether.ether_dhost, 0xff, 6);
	for (int i = 0; i < 6; i++)
		q.ether.ether_shost[i] = q.arp.arp_sha[i] = (uint8_t)m[i];
	inet_pton(AF_INET, sender, q.arp.arp_spa);
	inet_pton(AF_INET, target, q.arp.arp_tpa);
	/* A port may not forward yet: asked again, as anybody does. */
	for (int tries = 0; tries < 10; tries++) {
		if (write(fds[queue].fd, &q, sizeof(q)) != sizeof(q)) {
			perror("write");
			return 1;
		}
		if (poll(fds, n, 300) <= 0)
			continue;
		for (nfds_t i = 0; i < n; i++)
			if (arp_answer(fds[i].fd, q.arp.arp_tpa))
				return 0;
	}
	printf("no answer\n");
	return 1;
}

static int detach(const struct bv_config *cfg, const char *path)
{
	autoclean(bv_net_clear) struct bv_net net = { 0 };
	struct bv_error err = { 0 };
	char text[4096] = "";
	autofclose FILE *f = fopen(path, "r");

	if (!f || fread(text, 1, sizeof(text) - 1, f) == 0)
		return 2;
	if (bv_net_open(&net, text, &err) < 0 || bv_net_detach(&net, cfg, -1, &err) < 0)
		return complain(&err);
	return 0;
}

static int addresses(pid_t pid)
{
	struct bv_error err = { 0 };
	autofree struct bv_net_address *list = NULL;
	char path[64], text[INET6_ADDRSTRLEN];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	autoclose int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (bv_net_addresses(fd, own, &list, &n, &err) < 0)
		return complain(&err);
	for (size_t i = 0; i < n; i++)
		printf("%s %s/%u%s\n", list[i].interface, inet_ntop(list[i].family, list[i].bytes, text, sizeof(text)),
		       list[i].prefix, list[i].link_local_or_loopback ? " local" : "");
	return 0;
}

static int counters(const char *link)
{
	struct bv_net_counters c;
	int rc = bv_net_counters(link, &c);

	if (rc < 0) {
		printf("%s\n", strerror(-rc));
		return 1;
	}
	printf("rx %llu %llu tx %llu %llu\n", (unsigned long long)c.rx_bytes, (unsigned long long)c.rx_packets,
	       (unsigned long long)c.tx_bytes, (unsigned long long)c.tx_packets);
	return 0;
}

int main(int argc, char **argv)
{
	struct bv_error err = { 0 };

	if (argc == 3 && strcmp(argv[1], "addresses") == 0)
		return addresses(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "counters") == 0)
		return counters(argv[2]);
	if (argc == 6 && strcmp(argv[1], "arp") == 0)
		return arp((unsigned int)atoi(argv[2]), argv[3], argv[4], argv[5]);
	if (argc < 3 || (strcmp(argv[1], "check") != 0 && argc < 4)) {
		fprintf(stderr, "usage: net_driver check|run|tap|arp|detach|addresses|counters ...\n");
		return 2;
	}

	bv_log_set_sink(print_log, NULL, getenv("NET_DEBUG") ? BV_LOG_DEBUG : BV_LOG_WARN);
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	if (!cfg || bv_config_load(cfg, AT_FDCWD, argv[2], &err) < 0)
		return complain(&err);
	if (strcmp(argv[1], "check") == 0)
		return bv_net_check(cfg, &err) < 0 ? complain(&err) : 0;
	if (strcmp(argv[1], "detach") == 0)
		return detach(cfg, argv[3]);
	return strcmp(argv[1], "tap") == 0 ? tap(cfg, argv + 3) : run(cfg, argv + 3);
}
