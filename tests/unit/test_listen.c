/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/listen.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

/* SIGINT and SIGTERM. */
static const uint64_t two = UINT64_C(1) << (SIGINT - 1) | UINT64_C(1) << (SIGTERM - 1);

static struct bv_listen look(const char *pids, uint64_t blocked, uint64_t caught, const char *call)
{
	char status[256];
	snprintf(status, sizeof(status),
		 "Name:\tinit\nPid:\t4711\nNSpid:\t%s\nSigPnd:\t0000000000000000\nSigBlk:\t%016llx\n"
		 "SigIgn:\t0000000000000000\nSigCgt:\t%016llx\n",
		 pids, (unsigned long long)blocked, (unsigned long long)caught);
	return bv_listen_parse(status, call);
}

TEST(hears)
{
	struct bv_listen l = look("4711\t1", 0, 0, "0 0x0");
	CHECK(!bv_listen_hears(&l, SIGTERM) && !bv_listen_hears(&l, SIGPWR) && !bv_listen_hears(&l, SIGRTMAX));
	CHECK(bv_listen_hears(&l, SIGKILL) && bv_listen_hears(&l, SIGSTOP));
	l = look("4711\t1", 0, two, "0 0x0");
	CHECK(bv_listen_hears(&l, SIGINT) && bv_listen_hears(&l, SIGTERM) && !bv_listen_hears(&l, SIGPWR));
	l = look("4711\t1", two, 0, "running");
	CHECK(bv_listen_hears(&l, SIGINT) && bv_listen_hears(&l, SIGTERM) && !bv_listen_hears(&l, SIGPWR));
	/* SIGRTMAX is bit 63. */
	l = look("1", UINT64_C(1) << 63, 0, "running");
	CHECK(bv_listen_hears(&l, SIGRTMAX) && !bv_listen_hears(&l, SIGTERM));
}

TEST(waits)
{
	char call[32];
	snprintf(call, sizeof(call), "%d 0x7ffe 0x0", SYS_rt_sigtimedwait);
	static const char *const waiting[] = { "177 0x1 0x2", "421 0x1", "" };
	static const char *const not_waiting[] = { "running", "-1 0x7ff 0x7ff", "7 0x1", "17 0x1" };
	struct bv_listen l = look("4711\t1", 0, 0, call);
	CHECK(bv_listen_hears(&l, SIGPWR));
	for (size_t i = 0; i < sizeof(waiting) / sizeof(*waiting); i++) {
		l = look("4711\t1", 0, 0, waiting[i]);
		CHECK(bv_listen_hears(&l, SIGPWR));
	}
	for (size_t i = 0; i < sizeof(not_waiting) / sizeof(*not_waiting); i++) {
		l = look("4711\t1", 0, 0, not_waiting[i]);
		CHECK(!bv_listen_hears(&l, SIGPWR));
	}
}

/* Only process 1 is spared what it has not asked for. */
TEST(process_1)
{
	static const char *const others[] = { "4711", "4711\t11", "4711\t21", "11" };
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		struct bv_listen l = look(others[i], 0, 0, "0 0x0");
		CHECK(bv_listen_hears(&l, SIGPWR));
	}
	struct bv_listen l = look("4711\t12\t1", 0, 0, "0 0x0");
	CHECK(!bv_listen_hears(&l, SIGPWR));
	l = bv_listen_parse("", "");
	CHECK(bv_listen_hears(&l, SIGPWR) && !l.systemd);
	l = bv_listen_look(getpid());
	CHECK(bv_listen_hears(&l, SIGPWR));
}

TEST(systemd)
{
	uint64_t halt = UINT64_C(1) << (SIGRTMIN + 3 - 1);
	CHECK(look("4711\t1", halt, 0, "232 0x4").systemd);
	CHECK(look("4711\t1", halt | two, 0, "232 0x4").systemd);
	CHECK(!look("4711\t1", two, 0, "232 0x4").systemd);
	CHECK(!look("4711\t1", 0, halt, "232 0x4").systemd);
	CHECK(!look("4711\t1", UINT64_MAX, 0, "61 0x4").systemd);
}

TEST_MAIN()
