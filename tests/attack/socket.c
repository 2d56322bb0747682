/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * socket SOCKET HOW: torment a monitor's command socket. `garbage`: 2000 messages of random sizes and bytes; `fds`: a
 * message with 253 descriptors; `hang N`: N clients that say nothing for as long as we live (2 s); `user UID`: what
 * another user gets (prints "refused" or "served"); `slow`: clients that connect and leave at once, 500 times.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = { .sun_family = AF_UNIX };

static int dial(void)
{
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s >= 0 && connect(s, (struct sockaddr *)&address, sizeof(address)) == 0)
		return s;
	close(s);
	return -1;
}

static void send_fds(int s)
{
	enum { MANY = 253 };
	int fds[MANY], null = open("/dev/null", O_RDWR);
	for (int i = 0; i < MANY; i++)
		fds[i] = null;
	char control[CMSG_SPACE(sizeof(fds))] = { 0 }, data[12] = "10vb\1";
	struct iovec iov = { data, sizeof(data) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	sendmsg(s, &msg, MSG_NOSIGNAL);
}

int main(int argc, char **argv)
{
	if (argc < 3 || strlen(argv[1]) >= sizeof(address.sun_path))
		return 2;
	strcpy(address.sun_path, argv[1]);
	int arg = argc > 3 ? atoi(argv[3]) : 0;
	if (strcmp(argv[2], "garbage") == 0) {
		char bytes[4096];
		srand(1);
		for (int i = 0; i < 2000; i++) {
			int s = dial();
			size_t n = (size_t)rand() % (i % 2 ? 16 : sizeof(bytes));
			for (size_t k = 0; k < n; k++)
				bytes[k] = (char)rand();
			if (n >= 4 && i % 3 == 0)
				memcpy(bytes, "10vb", 4);
			if (s >= 0) {
				send(s, bytes, n, MSG_NOSIGNAL);
				close(s);
			}
		}
	} else if (strcmp(argv[2], "fds") == 0) {
		for (int i = 0; i < 20; i++) {
			int s = dial();
			if (s >= 0) {
				send_fds(s);
				close(s);
			}
		}
	} else if (strcmp(argv[2], "hang") == 0) {
		for (int i = 0; i < arg; i++)
			dial();
		sleep(2);
	} else if (strcmp(argv[2], "slow") == 0) {
		for (int i = 0; i < 500; i++)
			close(dial());
	} else if (strcmp(argv[2], "user") == 0) {
		if (setuid((uid_t)arg) < 0)
			return 2;
		int s = dial();
		char request[12] = "10vb\1", reply[64];
		if (s >= 0)
			fcntl(s, F_SETFL, 0);
		bool sent = s >= 0 && send(s, request, sizeof(request), MSG_NOSIGNAL) > 0;
		puts(sent && recv(s, reply, sizeof(reply), 0) > 0 ? "served" : "refused");
	}
	return 0;
}
