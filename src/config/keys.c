/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config/internal.h"

#include "util/cleanup.h"

/*
 * The key table: parser, getter, dump, man page and completion come from it. The keys below lxc.net.N are in
 * net_keys.c, the names of LXC 1.0 to 2.0 in legacy.c.
 */

static const struct bv_word engines[] = { { "container", BV_ENGINE_CONTAINER }, { "vm", BV_ENGINE_VM }, { NULL, 0 } };
static const struct bv_word hook_versions[] = { { "0", 0 }, { "1", 1 }, { NULL, 0 } };
static const char *const vm_accels[] = { "auto", "kvm", "tcg", NULL };
static const char *const vm_backends[] = { "auto", "qemu", "kvm", NULL };
static const char *const vm_caches[] = { "auto", "always", "none", NULL };
static const char *const vm_roots[] = { "auto", "virtiofs", "9p", "blk", NULL };

#define AT(field) .offset = offsetof(struct bv_config, field)

/* Sorted by name. */
const struct bv_key bv_config_keys[] = {
	{ "engine", &bv_type_word, AT(engine), .arg = BV_ENGINE_CONTAINER, .data = engines,
	  .grammar = "container or vm",
	  .text = "How the instance runs: as a container that shares the kernel of the host, or as a virtual "
		  "machine. The default is container." },
	{ "lxc.apparmor.allow_incomplete", &bv_type_bool, AT(apparmor_allow_incomplete), .grammar = "0 or 1",
	  .text = "Start even where the kernel has AppArmor without all of its mediation." },
	{ "lxc.apparmor.allow_nesting", &bv_type_bool, AT(apparmor_allow_nesting), .grammar = "0 or 1",
	  .text = "Let the generated profile allow containers inside the container." },
	{ "lxc.apparmor.profile", &bv_type_string, AT(apparmor_profile),
	  .grammar = "PROFILE, generated, unconfined, or unchanged",
	  .text = "The AppArmor profile of init. With generated one is made for this container." },
	{ "lxc.apparmor.raw", &bv_type_lines, AT(apparmor_raw), .flags = BV_KEY_LIST, .grammar = "RULE",
	  .text = "A line for the generated AppArmor profile. May be given more than once." },
	{ "lxc.arch", &bv_type_arch, AT(arch), .grammar = "ARCHITECTURE",
	  .text = "The architecture that programs inside see, such as x86_64 or i686. It does not choose an image." },
	{ "lxc.autodev", &bv_type_bool, AT(autodev), .arg = 1, .grammar = "0 or 1",
	  .text = "Mount a tmpfs on /dev and fill it. The default is 1; with 0 the /dev of the rootfs is used as it "
		  "is." },
	{ "lxc.autodev.tmpfs.size", &bv_type_size, AT(autodev_tmpfs_size), .arg = 5000, .grammar = "BYTES",
	  .text = "The size of the tmpfs on /dev. The default is 500000." },
	{ "lxc.cap.drop", &bv_type_caps, AT(cap_drop), .flags = BV_KEY_LIST, .grammar = "CAPABILITY ...",
	  .text = "Capabilities that the instance loses, in lower case and without CAP_, or by number. Excludes "
		  "lxc.cap.keep." },
	{ "lxc.cap.keep", &bv_type_caps, AT(cap_keep), .flags = BV_KEY_LIST, .arg = 1,
	  .grammar = "CAPABILITY ..., or none",
	  .text = "The only capabilities that the instance keeps. The word none empties what was kept so far." },
	{ "lxc.cgroup", &bv_type_pairs, AT(cgroup1), .flags = BV_KEY_LIST | BV_KEY_FAMILY, .grammar = "what to write",
	  .text = "A cgroup v1 file and its value: lxc.cgroup.memory.limit_in_bytes = 512M. On a host with cgroup "
		  "v2 it is translated where there is a counterpart." },
	{ "lxc.cgroup.dir", &bv_type_relative_path, AT(cgroup_dir), .grammar = "PATH",
	  .text = "The directory, relative to the cgroup root, in which the cgroups of the instance are made." },
	{ "lxc.cgroup.dir.container", &bv_type_relative_path, AT(cgroup_dir_container), .grammar = "PATH",
	  .text = "The cgroup of the instance itself. Goes together with lxc.cgroup.dir.monitor." },
	{ "lxc.cgroup.dir.container.inner", &bv_type_relative_path, AT(cgroup_dir_inner), .arg = 1, .grammar = "NAME",
	  .text = "A further cgroup below that of the instance, in which init starts, so that the limits are out of "
		  "its reach." },
	{ "lxc.cgroup.dir.monitor", &bv_type_relative_path, AT(cgroup_dir_monitor), .grammar = "PATH",
	  .text = "The cgroup of the monitor process." },
	{ "lxc.cgroup.dir.monitor.pivot", &bv_type_relative_path, AT(cgroup_dir_monitor_pivot), .grammar = "PATH",
	  .text = "The cgroup to which the monitor moves when it has to remove its own." },
	{ "lxc.cgroup.relative", &bv_type_bool, AT(cgroup_relative), .grammar = "0 or 1",
	  .text = "Make the cgroups below that of the caller, not below the root." },
	{ "lxc.cgroup2", &bv_type_pairs, AT(cgroup2), .flags = BV_KEY_LIST | BV_KEY_FAMILY, .grammar = "what to write",
	  .text = "A cgroup v2 file and its value: lxc.cgroup2.memory.max = 512M. The devices.allow and "
		  "devices.deny of v1 are understood here as well." },
	{ "lxc.console.buffer.size", &bv_type_console_size, AT(console_buffer_size), .grammar = "SIZE or auto",
	  .text = "How much of the console's output is kept in memory, rounded up to a power of two. The default is "
		  "none; auto means 128KB." },
	{ "lxc.console.logfile", &bv_type_string, AT(console_logfile), .grammar = "FILE",
	  .text = "Append what the console prints to this file." },
	{ "lxc.console.path", &bv_type_string, AT(console_path), .grammar = "PATH or none",
	  .text = "A terminal or file that mirrors the console; with none there is no console at all." },
	{ "lxc.console.rotate", &bv_type_bool, AT(console_rotate), .grammar = "0 or 1",
	  .text = "Rename a full log file of the console to FILE.1 and begin a new one." },
	{ "lxc.console.size", &bv_type_console_size, AT(console_size), .grammar = "SIZE or auto",
	  .text = "The greatest size of the log file of the console, rounded up to a power of two. The default is "
		  "no limit." },
	{ "lxc.environment", &bv_type_environment, AT(environment), .flags = BV_KEY_LIST, .grammar = "NAME[=VALUE]",
	  .text = "A variable for init, for attached commands and for hooks. A name alone takes the value that the "
		  "caller has. May be given more than once." },
	{ "lxc.environment.hooks", &bv_type_environment, AT(environment_hooks), .flags = BV_KEY_LIST,
	  .grammar = "NAME[=VALUE]", .text = "The same for hooks only." },
	{ "lxc.environment.runtime", &bv_type_environment, AT(environment_runtime), .flags = BV_KEY_LIST,
	  .grammar = "NAME[=VALUE]", .text = "The same for init and attached commands only." },
	{ "lxc.ephemeral", &bv_type_bool, AT(ephemeral), .grammar = "0 or 1",
	  .text = "Destroy the instance when it has stopped." },
	{ "lxc.execute.cmd", &bv_type_string, AT(execute_cmd), .grammar = "COMMAND",
	  .text = "What lxc-execute runs when it is given no command. Words may be quoted as in a shell." },
	{ "lxc.group", &bv_type_words, AT(groups), .flags = BV_KEY_LIST, .grammar = "GROUP ...",
	  .text = "Groups for lxc-autostart and lxc-ls. May be given more than once." },
	{ "lxc.hook", &bv_type_hooks, .text = "Takes no value: an empty one clears all hooks." },
	{ "lxc.hook.autodev", &bv_type_lines, AT(hooks[BV_HOOK_AUTODEV]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run in the mount namespace of the instance when its /dev is mounted, before the device nodes are "
		  "made. Only with lxc.autodev." },
	{ "lxc.hook.clone", &bv_type_lines, AT(hooks[BV_HOOK_CLONE]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run when the instance was copied, for the copy." },
	{ "lxc.hook.destroy", &bv_type_lines, AT(hooks[BV_HOOK_DESTROY]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run before the instance is destroyed." },
	{ "lxc.hook.mount", &bv_type_lines, AT(hooks[BV_HOOK_MOUNT]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run in the mount namespace of the instance when its mounts are done, before the root is changed." },
	{ "lxc.hook.post-stop", &bv_type_lines, AT(hooks[BV_HOOK_POST_STOP]), .flags = BV_KEY_LIST,
	  .grammar = "COMMAND", .text = "Run on the host when the instance has stopped." },
	{ "lxc.hook.pre-mount", &bv_type_lines, AT(hooks[BV_HOOK_PRE_MOUNT]), .flags = BV_KEY_LIST,
	  .grammar = "COMMAND", .text = "Run in the mount namespace of the instance before its rootfs is mounted." },
	{ "lxc.hook.pre-start", &bv_type_lines, AT(hooks[BV_HOOK_PRE_START]), .flags = BV_KEY_LIST,
	  .grammar = "COMMAND", .text = "Run on the host before anything of the instance is made." },
	{ "lxc.hook.start", &bv_type_lines, AT(hooks[BV_HOOK_START]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run inside, right before init. The program must be in the rootfs." },
	{ "lxc.hook.start-host", &bv_type_lines, AT(hooks[BV_HOOK_START_HOST]), .flags = BV_KEY_LIST,
	  .grammar = "COMMAND",
	  .text = "Run on the host when the instance is set up and init is about to run; LXC_PID is its pid." },
	{ "lxc.hook.stop", &bv_type_lines, AT(hooks[BV_HOOK_STOP]), .flags = BV_KEY_LIST, .grammar = "COMMAND",
	  .text = "Run on the host after the instance stopped, while its namespaces can still be reached." },
	{ "lxc.hook.version", &bv_type_word, AT(hook_version), .data = hook_versions, .grammar = "0 or 1",
	  .text = "How hooks are told what happens: 0 by arguments, 1 by variables of the environment." },
	{ "lxc.idmap", &bv_type_idmap, AT(idmaps), .flags = BV_KEY_LIST, .grammar = "u|g ID HOSTID RANGE",
	  .text = "A range of user or group ids inside, and the ids on the host that they stand for. May be given "
		  "more than once." },
	{ "lxc.include", &bv_type_include, .flags = BV_KEY_LIST, .grammar = "FILE or DIRECTORY",
	  .text = "Read another file here; of a directory all files whose name ends in .conf, in the order of their "
		  "names. A relative path starts at the directory of the file that has the line." },
	{ "lxc.init.cmd", &bv_type_string, AT(init_cmd), .grammar = "COMMAND",
	  .text = "The program to start as init. The default is /sbin/init. Words may be quoted as in a shell." },
	{ "lxc.init.cwd", &bv_type_string, AT(init_cwd), .grammar = "PATH",
	  .text = "The working directory of init. The default is the root directory." },
	{ "lxc.init.gid", &bv_type_id, AT(init_gid), .grammar = "GID",
	  .text = "The group id of init, as seen inside." },
	{ "lxc.init.groups", &bv_type_init_groups, AT(init_groups), .flags = BV_KEY_LIST, .grammar = "GID, ...",
	  .text = "Supplementary groups of init. May be given more than once. The default is none." },
	{ "lxc.init.uid", &bv_type_id, AT(init_uid), .grammar = "UID", .text = "The user id of init, as seen inside." },
	{ "lxc.keyring.session", &bv_type_keyring, AT(keyring_disable), .grammar = "0 or 1",
	  .text = "With 1 no new session keyring is made for the instance. This is what LXC does, though its manual "
		  "has it the other way round." },
	{ "lxc.log.file", &bv_type_string, AT(log_file), .grammar = "FILE",
	  .text = "Where to log. The option -o overrides it." },
	{ "lxc.log.level", &bv_type_log_level, AT(log_level), .grammar = "TRACE to FATAL, or 0 to 8",
	  .text = "How much to log. The option -l overrides it. The default is ERROR." },
	{ "lxc.log.syslog", &bv_type_syslog, AT(log_syslog), .grammar = "daemon or local0 to local7",
	  .text = "Log to syslog with this facility as well." },
	{ "lxc.monitor.signal.pdeath", &bv_type_signal, AT(monitor_signal_pdeath), .arg = -1, .grammar = "SIGNAL or 0",
	  .text = "What init receives when its monitor dies. The default is SIGKILL; with 0 it goes on." },
	{ "lxc.monitor.unshare", &bv_type_bool, AT(monitor_unshare), .grammar = "0 or 1",
	  .text = "Give the monitor a mount namespace of its own before the first hook runs." },
	{ "lxc.mount.auto", &bv_type_mount_auto, AT(mount_auto), .flags = BV_KEY_LIST, .grammar = "WORD ...",
	  .text = "File systems of the kernel to mount: proc[:mixed|rw], sys[:mixed|ro|rw], "
		  "cgroup[:mixed|ro|rw][:force], cgroup-full and cgroup2 in the same forms, "
		  "shmounts:HOSTPATH[:PATH]." },
	{ "lxc.mount.entry", &bv_type_lines, AT(mount_entries), .flags = BV_KEY_LIST, .grammar = "FSTAB LINE",
	  .text = "A mount, as a line of fstab(5). A relative target is below the rootfs. Options of ours are "
		  "create=dir, create=file, optional, relative, and idmap=container. May be given more than once." },
	{ "lxc.mount.fstab", &bv_type_string, AT(mount_fstab), .grammar = "FILE",
	  .text = "A file with mounts in the format of fstab(5)." },
	{ "lxc.namespace.clone", &bv_type_namespaces, AT(ns_clone), .offset2 = offsetof(struct bv_config, ns_clone_set),
	  .flags = BV_KEY_LIST, .grammar = "NAMESPACE ...",
	  .text = "The namespaces to make: user, mnt, pid, uts, ipc, net, cgroup, time. The default is all that are "
		  "needed. Excludes lxc.namespace.keep." },
	{ "lxc.namespace.keep", &bv_type_namespaces, AT(ns_keep), .offset2 = offsetof(struct bv_config, ns_keep_set),
	  .flags = BV_KEY_LIST, .arg = 1, .grammar = "NAMESPACE ...",
	  .text = "The namespaces to share with the caller; all others are made." },
	{ "lxc.namespace.share", &bv_type_namespace_share, AT(ns_share), .flags = BV_KEY_FAMILY,
	  .grammar = "PID, NAME, or PATH",
	  .text = "Join a namespace of a process or of another instance: lxc.namespace.share.net = NAME." },
	{ "lxc.net", &bv_type_net,
	  .text = "Takes no value: an empty one removes all networks. Without any network there is a new, empty "
		  "one." },
	{ "lxc.no_new_privs", &bv_type_bool, AT(no_new_privs), .grammar = "0 or 1",
	  .text = "Let no program inside gain privileges by its file mode or file capabilities." },
	{ "lxc.prlimit", &bv_type_rlimit, AT(rlimits), .flags = BV_KEY_FAMILY, .grammar = "SOFT[:HARD], or unlimited",
	  .text = "A resource limit of init, by the name that prlimit(1) has for it: lxc.prlimit.nofile = "
		  "1024:4096." },
	{ "lxc.proc", &bv_type_pairs, AT(proc), .flags = BV_KEY_FAMILY, .grammar = "what to write",
	  .text = "A file below /proc/PID of init and what to write to it: lxc.proc.oom_score_adj = 10. A dot in "
		  "the name stands for a slash." },
	{ "lxc.pty.max", &bv_type_u32, AT(pty_max), .grammar = "NUMBER",
	  .text = "How many pseudo terminals there may be inside; with 0, and without ttys, there is no devpts of "
		  "its own." },
	{ "lxc.rootfs.managed", &bv_type_bool, AT(rootfs_managed), .arg = 1, .grammar = "0 or 1",
	  .text = "With 0 the storage of the rootfs is never changed or removed. The default is 1." },
	{ "lxc.rootfs.mount", &bv_type_string, AT(rootfs_mount), .data = BV_ROOTFSMOUNT, .grammar = "PATH",
	  .text = "Where on the host the rootfs is mounted while the instance is set up." },
	{ "lxc.rootfs.options", &bv_type_rootfs_options, AT(rootfs_options), .grammar = "OPTION,...",
	  .text = "Mount options for the rootfs; idmap=container maps its ids as lxc.idmap says." },
	{ "lxc.rootfs.path", &bv_type_rootfs_path, AT(rootfs_path), .grammar = "[TYPE:]PATH",
	  .text = "The rootfs and, where it cannot be told from the path, its kind of storage: dir, overlay, btrfs, "
		  "loop, lvm, zfs, nbd, rbd. Without a rootfs that of the host is shared." },
	{ "lxc.sched.core", &bv_type_bool, AT(sched_core), .grammar = "0 or 1",
	  .text = "Let only tasks of this instance run on the same core at the same time." },
	{ "lxc.seccomp.allow_nesting", &bv_type_bool, AT(seccomp_allow_nesting), .grammar = "0 or 1",
	  .text = "Add the filter even where another one is active already." },
	{ "lxc.seccomp.notify.cookie", &bv_type_string, AT(seccomp_notify_cookie), .grammar = "STRING",
	  .text = "Sent along with each message to the proxy." },
	{ "lxc.seccomp.notify.proxy", &bv_type_notify_proxy, AT(seccomp_notify_proxy),
	  .grammar = "unix:/PATH or unix:@NAME",
	  .text = "The socket of the process that decides about system calls with the action notify." },
	{ "lxc.seccomp.profile", &bv_type_string, AT(seccomp_profile), .grammar = "FILE",
	  .text = "The seccomp policy of the instance." },
	{ "lxc.selinux.context", &bv_type_string, AT(selinux_context), .grammar = "CONTEXT",
	  .text = "The SELinux context of init." },
	{ "lxc.selinux.context.keyring", &bv_type_string, AT(selinux_context_keyring), .grammar = "CONTEXT",
	  .text = "The SELinux context of the session keyring." },
	{ "lxc.signal.halt", &bv_type_signal, AT(signal_halt), .grammar = "SIGNAL",
	  .text = "What asks init to halt. The default is SIGPWR, or SIGRTMIN+3 where init is seen to be systemd." },
	{ "lxc.signal.reboot", &bv_type_signal, AT(signal_reboot), .grammar = "SIGNAL",
	  .text = "What asks init to reboot. The default is SIGINT." },
	{ "lxc.signal.stop", &bv_type_signal, AT(signal_stop), .grammar = "SIGNAL",
	  .text = "What lxc-stop -k sends. The default is SIGKILL." },
	{ "lxc.start.auto", &bv_type_bool, AT(start_auto), .grammar = "0 or 1",
	  .text = "Start the instance when the host boots." },
	{ "lxc.start.delay", &bv_type_u32, AT(start_delay), .grammar = "SECONDS",
	  .text = "How long lxc-autostart waits before it starts the next one." },
	{ "lxc.start.order", &bv_type_int, AT(start_order), .grammar = "NUMBER",
	  .text = "The place in the order of lxc-autostart; low numbers start first." },
	{ "lxc.sysctl", &bv_type_pairs, AT(sysctl), .flags = BV_KEY_FAMILY, .grammar = "what to write",
	  .text = "A sysctl of the instance and its value: lxc.sysctl.net.ipv4.ip_forward = 1." },
	{ "lxc.time.offset.boot", &bv_type_time_offset, AT(time_boot_ns),
	  .offset2 = offsetof(struct bv_config, time_boot_set), .data = " ",
	  .grammar = "NUMBER with h, m, s, ms, us, or ns",
	  .text = "By how much the boot clock inside differs from that of the host." },
	{ "lxc.time.offset.monotonic", &bv_type_time_offset, AT(time_monotonic_ns),
	  .offset2 = offsetof(struct bv_config, time_monotonic_set), .data = "",
	  .grammar = "NUMBER with h, m, s, ms, us, or ns",
	  .text = "By how much the monotonic clock inside differs from that of the host." },
	{ "lxc.tty.dir", &bv_type_string, AT(tty_dir), .grammar = "NAME",
	  .text = "A directory below /dev for the console and the ttys, which then are links to it." },
	{ "lxc.tty.max", &bv_type_u32, AT(tty_max), .grammar = "NUMBER",
	  .text = "How many ttys lxc-console can connect to. The default is 0." },
	{ "lxc.uts.name", &bv_type_string, AT(uts_name), .arg = 64, .grammar = "NAME",
	  .text = "The host name inside." },
	{ "vm.accel", &bv_type_choice, AT(vm_accel), .data = vm_accels, .grammar = "auto, kvm, or tcg",
	  .text = "How a virtual machine runs its instructions. The default is auto: KVM where it is there and "
		  "fast." },
	{ "vm.backend", &bv_type_choice, AT(vm_backend), .data = vm_backends, .grammar = "auto, qemu, or kvm",
	  .text = "Which program runs a virtual machine. The default is auto, which is qemu; kvm stands for a "
		  "program of our own that is not there yet." },
	{ "vm.balloon", &bv_type_bool, AT(vm_balloon), .arg = 1, .grammar = "0 or 1",
	  .text = "Give memory that the virtual machine does not use back to the host. The default is 1." },
	{ "vm.cmdline", &bv_type_string, AT(vm_cmdline), .grammar = "WORDS",
	  .text = "Words to add to the command line of the guest kernel." },
	{ "vm.cpus", &bv_type_u32, AT(vm_cpus), .arg = 1, .grammar = "NUMBER",
	  .text = "The number of virtual CPUs, at most those of the host. The default comes from the limits of the "
		  "instance (cpuset.cpus, cpu.max); without any it is 1 with KVM, else 2." },
	{ "vm.kernel", &bv_type_string, AT(vm_kernel), .grammar = "FILE",
	  .text = "The kernel of the virtual machine. The default is the one in the rootfs, else the one of the "
		  "host." },
	{ "vm.machine", &bv_type_string, AT(vm_machine), .grammar = "MACHINE or auto",
	  .text = "The machine that QEMU makes, such as microvm or pc. The default is auto: microvm with KVM, q35 "
		  "without, virt for aarch64." },
	{ "vm.memory", &bv_type_size, AT(vm_memory), .offset2 = 16 << 10, .grammar = "SIZE",
	  .text = "The memory of the virtual machine, such as 512M. The default is the instance's memory.max less what "
		  "QEMU needs, 96M with KVM, else up to 256M; without a limit it is 512M." },
	{ "vm.modules", &bv_type_string, AT(vm_modules), .grammar = "DIRECTORY",
	  .text = "The modules that belong to vm.kernel." },
	{ "vm.root", &bv_type_choice, AT(vm_root), .data = vm_roots, .grammar = "auto, virtiofs, 9p, or blk",
	  .text = "How a virtual machine gets at its rootfs. The default is auto: blk for a disk image, virtiofs for a "
		  "directory, or 9p where there is no virtiofsd." },
	{ "vm.root.cache", &bv_type_choice, AT(vm_root_cache), .data = vm_caches, .grammar = "auto, always, or none",
	  .text = "How a virtual machine caches its rootfs. With always, which auto stands for, it takes nobody else "
		  "to change files while it runs; with none it asks the host each time, which is slow." },
};

const size_t bv_config_n_keys = ARRAY_SIZE(bv_config_keys);
