/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/kernel.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test.h"
#include "util/cleanup.h"

/* A child that sleeps until it is killed. */
static pid_t sleeper(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(start_time_names_a_process)
{
	uint64_t mine = 0, again = 0, child_time = 0;
	CHECK_INT(bv_process_start_time(getpid(), &mine), 0);
	CHECK_INT(bv_process_start_time(getpid(), &again), 0);
	CHECK(mine > 0 && mine == again);
	pid_t child = sleeper();
	CHECK_INT(bv_process_start_time(child, &child_time), 0);
	CHECK(child_time >= mine);
	end(child);
	CHECK_INT(bv_process_start_time(child, &child_time), -ESRCH);
}

TEST(start_time_copes_with_odd_names)
{
	int ready[2];
	CHECK_INT(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		int fd = open("/proc/self/comm", O_WRONLY);
		if (fd < 0 || write(fd, "a) S 1 (b 2", 11) < 0 || write(ready[1], "x", 1) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	char c;
	CHECK_INT(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	uint64_t mine = 0, odd = 0;
	CHECK_INT(bv_process_start_time(getpid(), &mine), 0);
	CHECK_INT(bv_process_start_time(pid, &odd), 0);
	CHECK(odd >= mine && odd < mine + 1000000);
	end(pid);
}

TEST(pidfd_open_checked_refuses_another_process)
{
	pid_t child = sleeper();
	uint64_t began = 0;
	CHECK_INT(bv_process_start_time(child, &began), 0);
	autoclose int fd = bv_pidfd_open_checked(child, began);
	CHECK(fd >= 0);
	CHECK_INT(bv_pidfd_open_checked(child, began + 1), -ESRCH);
	CHECK_INT(bv_pidfd_open_checked(0, 0), -ESRCH);
	CHECK_INT(bv_pidfd_open_checked(-5, 0), -ESRCH);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	end(child);
	CHECK_INT(bv_pidfd_open_checked(child, began), -ESRCH);
}

TEST(pidfd_wait_times_out_and_sees_the_end)
{
	pid_t child = sleeper();
	autoclose int fd = bv_pidfd_open(child, 0);
	CHECK(fd >= 0);
	int64_t before = bv_now_ms();
	CHECK_INT(bv_pidfd_wait(fd, 50), -ETIMEDOUT);
	CHECK(bv_now_ms() - before >= 50);
	CHECK_INT(bv_pidfd_send_signal(fd, SIGKILL), 0);
	CHECK_INT(bv_pidfd_wait(fd, -1), 0);
	waitpid(child, NULL, 0);
	CHECK_INT(bv_pidfd_send_signal(fd, 0), -ESRCH);
}

static void check_cloexec_from(void)
{
	int low = dup(0), high = fcntl(low, F_DUPFD, 200);
	fcntl(low, F_SETFD, 0);
	fcntl(high, F_SETFD, 0);
	CHECK_INT(bv_cloexec_from(low + 1), 0);
	CHECK_INT(fcntl(low, F_GETFD), 0);
	CHECK_INT(fcntl(high, F_GETFD), FD_CLOEXEC);
	close(low);
	close(high);
}

TEST(cloexec_from_marks_only_what_is_above)
{
	check_cloexec_from();
}

TEST(fs_mount_makes_a_detached_tmpfs)
{
	if (geteuid() != 0)
		SKIP("needs root: a file system is mounted (nowhere)");
	char message[256];
	autoclose int fd = bv_fs_mount("tmpfs", "none", "size=65536,mode=0750", 0, message, sizeof(message));
	if (fd == -EPERM)
		SKIP("mounting is not permitted here");
	CHECK(fd >= 0);
	autoclose int file = openat(fd, "x", O_CREAT | O_RDWR, 0600);
	CHECK(file >= 0);
	CHECK_INT(faccessat(fd, "x", F_OK, 0), 0);
}

TEST(fs_mount_passes_the_kernels_message_on)
{
	if (geteuid() != 0)
		SKIP("needs root: a file system is mounted (nowhere)");
	char message[256] = "";
	int r = bv_fs_mount("tmpfs", "none", "no_such_option=1", 0, message, sizeof(message));
	if (r == -EPERM)
		SKIP("mounting is not permitted here");
	CHECK(r < 0);
	CHECK(strstr(message, "no_such_option") != NULL);
	CHECK_INT(bv_fs_mount("no_such_fs", NULL, NULL, 0, message, sizeof(message)), -ENODEV);
}

TEST(no_syscall_answers_enosys)
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		/* In this process the variable has been read already; exec makes a fresh one. */
		setenv("BIVALVE_NO_SYSCALL", "clone3,pidfd_open,mount_setattr,close_range", 1);
		setenv("BV_TEST_NO_SYSCALL", "1", 1);
		execl("/proc/self/exe", "test_sys", (char *)NULL);
		_exit(99);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	CHECK_INT(status, 0);
}

/* In the process that no_syscall_answers_enosys started: no tests, an exit status. */
__attribute__((constructor)) static void child_without_syscalls(void)
{
	if (!getenv("BV_TEST_NO_SYSCALL"))
		return;
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
	int fd = bv_openat2(AT_FDCWD, "/", &how);
	bool right = bv_pidfd_open(getpid(), 0) == -ENOSYS && bv_clone3(NULL, 0) == -ENOSYS &&
		     bv_mount_setattr(-1, "", 0, NULL, 0) == -ENOSYS && fd >= 0;
	check_cloexec_from(); /* now by /proc */
	_exit(right && test_failures == 0 ? 0 : 1);
}

TEST_MAIN()
