/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

enum {
	KVM_WAIT_MS = 1000, /* for the child that measures */
	KVM_REAP_MS = 500,  /* for its end, once killed */
	SLOW_NS = 100,      /* an instruction: real hardware takes less than 1, nested virtualisation in TCG about 40 */
	GUEST_SIZE = 64 << 10,
	CODE_AT = 0x1000,
	LOOPS_FIRST = 1000,
	LOOPS_MOST = 100000,
	ROUNDS = 4,
	LOOP_INSTRUCTIONS = 2,
};

/* What the child tells, in one write. */
struct verdict {
	bool fast;
	uint64_t tsc_khz;
	char reason[sizeof(((struct bv_vm_host *)NULL)->kvm_reason)];
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool give_up(struct verdict *v, const char *what)
{
	snprintf(v->reason, sizeof(v->reason), "/dev/kvm does not work here: %s: %s", what, strerror(errno));
	return false;
}

#ifdef __x86_64__

/* A machine of 64 KiB and one CPU. The fds are closed by the child's end. */
struct machine {
	int vm, vcpu;
	struct kvm_run *run;
};

/*
 * A loop in 32-bit code of the highest privilege, flat and without paging: every KVM that runs kernels runs this, and
 * one that cannot run kernel code by itself has to emulate it.
 */
static const uint8_t payload[] = {
	0x49,       /* again: dec %ecx */
	0x75, 0xfd, /* jnz again */
	0xf4,       /* hlt */
};

static struct kvm_segment flat_segment(uint8_t type, uint16_t selector)
{
	return (struct kvm_segment){ .limit = UINT32_MAX, .selector = selector, .type = type, .present = 1, .db = 1,
				     .s = 1, .g = 1 };
}

static bool make_memory(const struct machine *m, struct verdict *v)
{
	uint8_t *ram = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (ram == MAP_FAILED)
		return give_up(v, "memory for a guest");
	memcpy(ram + CODE_AT, payload, sizeof(payload));
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_SIZE,
						      .userspace_addr = (uint64_t)(uintptr_t)ram };
	if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return give_up(v, "KVM_SET_USER_MEMORY_REGION");
	return true;
}

static bool make_cpu(struct machine *m, int kvm, struct verdict *v)
{
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	if (m->vcpu < 0 || size < (int)sizeof(struct kvm_run))
		return give_up(v, "KVM_CREATE_VCPU");
	m->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (m->run == MAP_FAILED)
		return give_up(v, "mapping a virtual CPU");

	struct kvm_sregs s;
	if (ioctl(m->vcpu, KVM_GET_SREGS, &s) < 0)
		return give_up(v, "KVM_GET_SREGS");
	s.cs = flat_segment(0xb, 0x8);
	s.ds = s.es = s.ss = s.fs = s.gs = flat_segment(0x3, 0x10);
	s.cr0 |= 1; /* protected mode */
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) < 0)
		return give_up(v, "KVM_SET_SREGS");
	return true;
}

/* Nanoseconds for `loops` times round, or 0 with the reason. */
static uint64_t run_loops(const struct machine *m, uint64_t loops, struct verdict *v)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rcx = loops, .rflags = 2 };
	if (ioctl(m->vcpu, KVM_SET_REGS, &regs) < 0)
		return give_up(v, "KVM_SET_REGS");
	uint64_t begin = now_ns();
	int r;
	do
		r = ioctl(m->vcpu, KVM_RUN, 0);
	while (r < 0 && (errno == EINTR || errno == EAGAIN));
	uint64_t took = now_ns() - begin;
	if (r < 0)
		return give_up(v, "KVM_RUN");
	if (m->run->exit_reason != KVM_EXIT_HLT) {
		snprintf(v->reason, sizeof(v->reason), "/dev/kvm does not work here: a guest stopped for reason %u",
			 m->run->exit_reason);
		return 0;
	}
	return took > 0 ? took : 1;
}

/* The first run makes the mappings (and in a nested VM much more) and does not count; of the others the best does. */
static void measure(const struct machine *m, struct verdict *v)
{
	double best = 1e12;
	uint64_t loops = LOOPS_FIRST;
	if (run_loops(m, loops, v) == 0)
		return;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t took = run_loops(m, loops, v);
		if (took == 0)
			return;
		double each = (double)took / (double)(loops * LOOP_INSTRUCTIONS);
		best = each < best ? each : best;
		if (took < 1000000 && loops < LOOPS_MOST)
			loops *= 10;
	}
	v->fast = best <= SLOW_NS;
	if (v->fast)
		snprintf(v->reason, sizeof(v->reason), "/dev/kvm takes %.1f ns an instruction", best);
	else
		snprintf(v->reason, sizeof(v->reason), "/dev/kvm is slow here: %.0f ns an instruction", best);
}

static void try_guest(int kvm, struct verdict *v)
{
	struct machine m = { .vm = ioctl(kvm, KVM_CREATE_VM, 0), .vcpu = -1 };
	if (m.vm < 0) {
		give_up(v, "KVM_CREATE_VM");
		return;
	}
	/* Intel's without "unrestricted guest" want three pages for code without paging; others don't mind. */
	ioctl(m.vm, KVM_SET_TSS_ADDR, 0xfffbd000UL);
	if (!make_memory(&m, v) || !make_cpu(&m, kvm, v))
		return;
	int khz = ioctl(m.vcpu, KVM_GET_TSC_KHZ, 0);
	v->tsc_khz = khz > 0 ? (uint64_t)khz : 0;
	measure(&m, v);
}

#else

/* No payload for this CPU: where KVM makes a virtual CPU it is taken to be what its name says. */
static void try_guest(int kvm, struct verdict *v)
{
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || ioctl(vm, KVM_CREATE_VCPU, 0) < 0) {
		give_up(v, vm < 0 ? "KVM_CREATE_VM" : "KVM_CREATE_VCPU");
		return;
	}
	v->fast = true;
	snprintf(v->reason, sizeof(v->reason), "/dev/kvm makes virtual CPUs");
}

#endif

static __attribute__((noreturn)) void child(int kvm, int out)
{
	struct verdict v = { 0 };
	int version = ioctl(kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		snprintf(v.reason, sizeof(v.reason), "/dev/kvm has API version %d, not %d", version, KVM_API_VERSION);
	else
		try_guest(kvm, &v);
	_exit(bv_write_all(out, &v, sizeof(v)) < 0);
}

/* A process that hangs in the kernel is not waited for. */
static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int waited = 0; waited < KVM_REAP_MS; waited++) {
		pid_t got = waitpid(pid, NULL, WNOHANG);
		if (got == pid || (got < 0 && errno != EINTR))
			return;
		usleep(1000);
	}
}

static int wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t end = now_ns() + KVM_WAIT_MS * UINT64_C(1000000);
	for (;;) {
		uint64_t now = now_ns();
		int r = poll(&p, 1, now < end ? (int)((end - now) / 1000000) + 1 : 0);
		if (r >= 0 || errno != EINTR)
			return r;
	}
}

static void probe_kvm(struct bv_vm_host *h)
{
	int ends[2];
	autoclose int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) {
		snprintf(h->kvm_reason, sizeof(h->kvm_reason), "cannot open /dev/kvm: %s", strerror(errno));
		return;
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		snprintf(h->kvm_reason, sizeof(h->kvm_reason), "cannot make a pipe: %s", strerror(errno));
		return;
	}
	autoclose int in = ends[0];
	pid_t pid = fork();
	if (pid == 0)
		child(kvm, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		snprintf(h->kvm_reason, sizeof(h->kvm_reason), "cannot fork: %s", strerror(errno));
		return;
	}

	struct verdict v;
	bool answered = wait_readable(in) > 0;
	bool whole = answered && read(in, &v, sizeof(v)) == sizeof(v);
	end_child(pid);
	if (whole) {
		h->kvm = v.fast;
		h->tsc_khz = v.tsc_khz;
		snprintf(h->kvm_reason, sizeof(h->kvm_reason), "%s", v.reason);
	} else {
		snprintf(h->kvm_reason, sizeof(h->kvm_reason), "/dev/kvm %s",
			 answered ? "does not work here: the process that tried it died"
				  : "is slow here: a tiny guest did not end within a second");
	}
}

/* "cpu MHz : 2596.128" */
static uint64_t cpuinfo_khz(void)
{
	autofree char *text = NULL;
	if (bv_read_file(AT_FDCWD, "/proc/cpuinfo", 0, &text, NULL) < 0)
		return 0;
	const char *s = strstr(text, "\ncpu MHz");
	s = s ? strchr(s + 1, ':') : NULL;
	if (!s)
		return 0;
	char *rest;
	uint64_t khz = strtoull(s + 1, &rest, 10) * 1000;
	if (*rest == '.')
		for (uint64_t unit = 100; unit > 0 && *++rest >= '0' && *rest <= '9'; unit /= 10)
			khz += (uint64_t)(*rest - '0') * unit;
	return khz;
}

static uint32_t usable_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		return (uint32_t)CPU_COUNT(&set);
	long n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than the set has room for */
	return n > 0 ? (uint32_t)n : 1;
}

static void find_virtiofsd(struct bv_vm_host *h)
{
	static const struct {
		const char *path;
		bool is_rust;
	} places[] = {
		{ "/usr/libexec/virtiofsd", true },
		{ "/usr/lib/virtiofsd", true },
		{ "/usr/lib/qemu/virtiofsd", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (access(places[i].path, X_OK) < 0)
			continue;
		snprintf(h->virtiofsd, sizeof(h->virtiofsd), "%s", places[i].path);
		h->virtiofsd_is_rust = places[i].is_rust;
		return;
	}
}

void bv_vm_probe(struct bv_vm_host *ret)
{
	*ret = (struct bv_vm_host){ .cpus = usable_cpus() };
	const char *told = getenv("BIVALVE_KVM");
	if (told && (bv_streq(told, "no") || bv_streq(told, "yes"))) {
		ret->kvm = bv_streq(told, "yes");
		snprintf(ret->kvm_reason, sizeof(ret->kvm_reason), "BIVALVE_KVM=%s says so", told);
	} else {
		probe_kvm(ret);
	}
	if (ret->tsc_khz == 0)
		ret->tsc_khz = cpuinfo_khz();
	autoclose int vhost = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);
	ret->vhost_net = vhost >= 0;
	find_virtiofsd(ret);
}
