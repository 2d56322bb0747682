/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/jail/share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/process.h"
#include "engine/vm/jail/jail.h"
#include "engine/vm/jail/internal.h"
#include "security/security.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

#define SOCKET_NAME "socket"
#define CAP(c) (UINT64_C(1) << (c))
/*
 * To act on files for the users of the guest. Not CAP_DAC_READ_SEARCH: with open_by_handle_at(2) it is every file of
 * the file system that the directory lies on.
 */
#define CAPS_FILES                                                                                                   \
	(CAP(CAP_CHOWN) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_FOWNER) | CAP(CAP_FSETID) | CAP(CAP_SETGID) |              \
	 CAP(CAP_SETUID) | CAP(CAP_MKNOD) | CAP(CAP_SETFCAP))
/* To shut itself up in the directory, which the server does at its start; it drops them then. */
#define CAPS_SANDBOX (CAP(CAP_SYS_ADMIN) | CAP(CAP_SYS_CHROOT) | CAP(CAP_SETPCAP))

enum {
	START_TIMEOUT_MS = 10000, /* until the server answers */
	END_TIMEOUT_MS = 1000,    /* until one that hung up has ended */
	FILES_MAX = 1 << 20,
};

/* ---- the command ---- */

static int add_c(struct bv_strv *argv, const struct bv_share_how *how)
{
	static const char *const options[] = { "log_level=err", "sandbox=namespace", "announce_submounts", "xattr",
					       "posix_acl" };
	int r = bv_strv_add(argv, "-o");
	if (r == 0)
		r = bv_strv_addf(argv, "source=%s", how->directory);
	if (r == 0)
		r = bv_strv_add(argv, "-o");
	if (r == 0)
		r = bv_strv_addf(argv, "cache=%s", how->cache);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++) {
		r = bv_strv_add(argv, "-o");
		if (r == 0)
			r = bv_strv_add(argv, options[i]);
	}
	return r;
}

static int add_rust(struct bv_strv *argv, const struct bv_share_how *how)
{
	static const char *const options[] = { "--log-level=error", "--sandbox=namespace", "--announce-submounts",
					       "--xattr", "--posix-acl" };
	int r = bv_strv_addf(argv, "--shared-dir=%s", how->directory);
	if (r == 0)
		r = bv_strv_addf(argv, "--cache=%s", bv_streq(how->cache, "none") ? "never" : how->cache);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		r = bv_strv_add(argv, options[i]);
	return r;
}

int bv_share_command(struct bv_strv *argv, const struct bv_share_how *how, int fd)
{
	int r = bv_strv_add(argv, how->program);
	if (r == 0)
		r = bv_strv_addf(argv, "--fd=%d", fd);
	/* Its own idea of the limit is an error where it may not raise it; it has been set (child_limits). */
	if (r == 0)
		r = bv_strv_add(argv, "--rlimit-nofile=0");
	if (r == 0)
		r = how->is_rust ? add_rust(argv, how) : add_c(argv, how);
	return r;
}

/* ---- the sockets ---- */

struct ends {
	int listener, connection, log_read, log_write;
	int report[2]; /* the child's error; closed by its exec */
	int go[2];     /* id maps: the child has its namespace, the parent has written the maps */
};

static void close_ends(struct ends *e)
{
	int *const fds[] = { &e->listener,  &e->connection, &e->log_read, &e->log_write,
			     &e->report[0], &e->report[1],  &e->go[0],	  &e->go[1] };
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
}

static int fail(struct bv_error *err, const char *what)
{
	return bv_fail_errno(err, "cannot %s the file server", what);
}

/* Bound in the staging under a name that is gone at the end: by its fd, as the path may be longer than a socket's. */
static int make_sockets(struct ends *e, struct bv_error *err)
{
	autoclose int staging = bv_jail_open_staging(err);
	if (staging < 0)
		return staging;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, staging);
	const struct sockaddr *a = (const struct sockaddr *)&address;
	e->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	e->connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (e->listener < 0 || e->connection < 0)
		return fail(err, "make a socket for");
	if (bind(e->listener, a, sizeof(address)) < 0)
		return fail(err, "bind the socket of");
	int r = 0;
	if (listen(e->listener, 1) < 0 || connect(e->connection, a, sizeof(address)) < 0)
		r = fail(err, "connect to");
	unlinkat(staging, SOCKET_NAME, 0);
	return r;
}

static int make_ends(struct ends *e, struct bv_error *err)
{
	int r = make_sockets(e, err);
	if (r < 0)
		return r;
	int log[2];
	if (pipe2(log, O_CLOEXEC) < 0)
		return fail(err, "make a pipe for");
	e->log_read = log[0];
	e->log_write = log[1];
	if (pipe2(e->report, O_CLOEXEC) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->go) < 0 ||
	    fcntl(e->log_read, F_SETFL, O_NONBLOCK) < 0)
		return fail(err, "make a pipe for");
	return 0;
}

/* ---- in the child ---- */

/* Root of a user namespace with the instance's maps: what it makes belongs to the ids that the guest's ids are. */
static int child_ids(const struct bv_share_how *how, struct ends *e, struct bv_error *err)
{
	char byte = 0;
	if (how->config->n_idmaps == 0)
		return bv_process_set_ids(0, 0, NULL, 0, err);
	if (unshare(CLONE_NEWUSER) < 0)
		return fail(err, "make a user namespace for");
	close_fd(&e->go[0]);
	if (write(e->go[1], &byte, 1) != 1 || read(e->go[1], &byte, 1) != 1)
		return bv_fail(err, EPIPE, "the file server was given no id maps");
	return bv_process_set_ids(0, 0, NULL, 0, err);
}

/*
 * The server has every file open that the guest's kernel knows of, so as many as can be had. What the guest writes
 * makes no core file of the server on the host.
 */
static int child_limits(struct bv_error *err)
{
	struct rlimit files = { FILES_MAX, FILES_MAX }, core = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &core) < 0)
		return fail(err, "limit core dumps of");
	if (setrlimit(RLIMIT_NOFILE, &files) == 0)
		return 0;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return fail(err, "read the limits of");
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files) < 0 ? fail(err, "limit the open files of") : 0;
}

static int child_fds(const struct ends *e, struct bv_error *err)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return bv_fail_errno(err, "cannot open /dev/null");
	if (dup2(null, STDIN_FILENO) < 0 || dup2(e->log_write, STDOUT_FILENO) < 0 ||
	    dup2(e->log_write, STDERR_FILENO) < 0)
		return fail(err, "set the standard streams of");
	int r = bv_cloexec_from(STDERR_FILENO + 1);
	if (r < 0) {
		errno = -r;
		return fail(err, "mark the files that must not stay open in");
	}
	return fcntl(e->listener, F_SETFD, 0) < 0 ? fail(err, "hand its socket to") : 0;
}

static int child_exec(const struct bv_share_how *how, struct ends *e, char *const *argv, struct bv_error *err)
{
	enum { JOIN_SESSION_KEYRING = 1 };
	char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	int r = bv_process_reset_signals(err);
	if (r == 0)
		r = child_fds(e, err);
	if (r == 0)
		r = child_limits(err);
	if (r == 0)
		r = child_ids(how, e, err);
	if (r < 0)
		return r;
	(void)syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL);
	if (chdir("/") < 0)
		return bv_fail_errno(err, "cannot change to /");
	umask(0); /* the guest's kernel has taken the umask of its process into account */
	r = bv_caps_apply(CAPS_FILES | CAPS_SANDBOX, err);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = fail(err, "set no_new_privs for");
	return r < 0 ? r : bv_process_exec(argv, env, err);
}

static void __attribute__((noreturn)) child(const struct bv_share_how *how, struct ends *e, char *const *argv)
{
	struct bv_error err = { 0 };
	int out = e->report[1];
	child_exec(how, e, argv, &err);
	(void)!write(out, &err, sizeof(err));
	_exit(1);
}

/* ---- in the parent ---- */

/* The last line that the server wrote, without the marks that its log puts before it. "" none. */
static void last_words(int log, char *buf, size_t size)
{
	char text[4096];
	size_t len = 0;
	buf[0] = '\0';
	for (;;) {
		/* Of more than fits the end counts. */
		if (len == sizeof(text) - 1) {
			memmove(text, text + sizeof(text) / 2, len - sizeof(text) / 2);
			len -= sizeof(text) / 2;
		}
		ssize_t n = read(log, text + len, sizeof(text) - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	char *all = bv_strip(text);
	char *line = strrchr(all, '\n');
	snprintf(buf, size, "%s", line ? line + 1 : all);
}

/* It has hung up, said what it must not, or nothing at all: end it, and tell what is known of it. */
static int fail_start(struct bv_share *s, const struct bv_share_how *how, const char *why, struct bv_error *err)
{
	int status = 0, waited = 0;
	for (int ms = 0; waited == 0 && ms < END_TIMEOUT_MS; ms += 10) {
		waited = waitpid(s->pid, &status, WNOHANG);
		if (waited == 0)
			poll(NULL, 0, 10);
	}
	if (waited == 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, &status, 0);
	}
	char words[400];
	last_words(s->log, words, sizeof(words));
	if (*words)
		return bv_fail(err, EIO, "the file server %s %s: %s", how->program, why, words);
	if (WIFSIGNALED(status) && waited > 0)
		return bv_fail(err, EIO, "the file server %s was killed by signal %d at its start", how->program,
			       WTERMSIG(status));
	return bv_fail(err, EIO, "the file server %s %s, and said nothing", how->program, why);
}

/* vhost-user: header and, in the answer, one number. All of one machine, hence in its byte order. */
struct message {
	uint32_t request, flags, size;
	uint64_t features;
} __attribute__((packed));

/* `size` bytes, which may come in parts. 1, 0 when the server hung up, -ETIMEDOUT. */
static int receive(int fd, void *buf, size_t size)
{
	int64_t deadline = bv_now_ms() + START_TIMEOUT_MS;
	for (size_t have = 0; have < size;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - bv_now_ms();
		int r = left > 0 ? poll(&p, 1, (int)left) : 0;
		if (r == 0)
			return -ETIMEDOUT;
		ssize_t n = r < 0 ? -1 : recv(fd, (char *)buf + have, size - have, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return 0;
		have += (size_t)n;
	}
	return 1;
}

/*
 * The first thing that QEMU asks as well, and may ask again: what the device can do. A server answers once it has shut
 * itself up in its directory, so with the answer it is known to work.
 */
static int wait_for_answer(struct bv_share *s, const struct bv_share_how *how, struct bv_error *err)
{
	enum { GET_FEATURES = 1, HEADER_VERSION = 1, REPLY = 4 };
	struct message m = { .request = GET_FEATURES, .flags = HEADER_VERSION };
	const size_t header = offsetof(struct message, features);
	if (send(s->connection, &m, header, MSG_NOSIGNAL) != (ssize_t)header)
		return fail_start(s, how, "ended at its start", err);
	memset(&m, 0, sizeof(m));
	int r = receive(s->connection, &m, sizeof(m));
	if (r <= 0)
		return fail_start(s, how, r == 0 ? "ended at its start" : "does not answer", err);
	if (m.request != GET_FEATURES || !(m.flags & REPLY) || m.size != sizeof(m.features))
		return fail_start(s, how, "does not speak vhost-user", err);
	return 0;
}

static int give_maps(const struct bv_share_how *how, pid_t pid, struct ends *e, struct bv_error *err)
{
	char byte;
	if (how->config->n_idmaps == 0)
		return 0;
	if (read(e->go[0], &byte, 1) != 1)
		return 0; /* the child tells why it gave up */
	int r = bv_idmap_write(how->config, pid, err);
	if (r == 0 && send(e->go[0], &byte, 1, MSG_NOSIGNAL) != 1)
		r = fail(err, "hand the id maps to");
	return r;
}

static int start(struct bv_share *ret, const struct bv_share_how *how, struct ends *e, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	int r = make_ends(e, err);
	if (r < 0)
		return r;
	if (bv_share_command(&argv, how, e->listener) < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	pid_t pid = fork();
	if (pid == 0)
		child(how, e, argv.v);
	if (pid < 0)
		return fail(err, "make a process for");
	close_fd(&e->report[1]);
	close_fd(&e->go[1]);
	close_fd(&e->log_write);
	close_fd(&e->listener);
	r = give_maps(how, pid, e, err);
	close_fd(&e->go[0]);
	if (r == 0)
		r = bv_jail_wait_for_exec(e->report[0], err);
	if (r < 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return r;
	}
	*ret = (struct bv_share){ .pid = pid, .connection = e->connection, .log = e->log_read };
	return wait_for_answer(ret, how, err);
}

int bv_share_start(struct bv_share *ret, const struct bv_share_how *how, struct bv_error *err)
{
	struct ends e = { -1, -1, -1, -1, { -1, -1 }, { -1, -1 } };
	int r = start(ret, how, &e, err);
	if (r == 0) {
		e.connection = -1;
		e.log_read = -1;
	} else {
		*ret = (struct bv_share){ .pid = 0, .connection = -1, .log = -1 };
	}
	close_ends(&e);
	return r;
}
