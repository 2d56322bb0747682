# SPDX-License-Identifier: LGPL-2.1-or-later
# Every key of lxc.container.conf: its effect in a running instance, or the sentence that refuses it. lxc.net.* has more
# in net.sh, lxc.cgroup*.* in cgroup.sh, storage in rootfs.sh.
# timeout: 600
# shellcheck disable=SC2317,SC2016  # functions that check calls; $ for the shell inside
. "${BV_SRC:-.}/tests/lib.sh"

driver=${KEYS_DRIVER:-$BV_BUILD/tests/root/keys_driver}
[ -x "$driver" ] || skip_all "keys_driver is not built"
L=$TMPDIR/lxc
R=$TMPDIR/rootfs
busybox_rootfs "$R"
cp "$driver" "$R/bin/driver"

# with LINE...: a new instance `k` with these config lines; its init sleeps
with() {
	instance "$L" k "$R" "lxc.init.cmd = /bin/sleep 1000000" "$@"
}

start() { lxc-start -P "$L" -n k "$@"; }
stop() { lxc-stop -P "$L" -n k -k; }
inside() { lxc-attach -P "$L" -n k -- "$@"; }
init() { lxc-info -P "$L" -n k -pH; }
state() { lxc-info -P "$L" -n k -sH; }
stopped() { [ "$(state)" = STOPPED ]; }
monitor() { sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/k/state; }
status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$(init)/status"; }
environ() { tr '\0' '\n' <"/proc/$(init)/environ" | sed -n "s/^$1=//p"; }

# started TEXT LINE...: begin a run with these lines
started() {
	text=$1
	shift
	[ "$(state)" = STOPPED ] || stop
	with "$@"
	check "start with $text" start
}

# refused PATTERN LINE...: the start fails and its first line matches
refused() {
	pattern=$1
	shift
	[ "$(state)" = STOPPED ] || stop
	with "$@"
	if start 2>"$TMPDIR/err"; then
		stop
		echo "it started"
		return 1
	fi
	like "$(head -n 1 "$TMPDIR/err")" "$pattern" && stopped
}

# ---- identity, init, process ----
with
export FROM_CALLER=called
started "the keys of init" \
	"lxc.arch = i686" "lxc.init.uid = 1000" "lxc.init.gid = 1001" "lxc.init.groups = 20,30" "lxc.init.groups = 40" \
	"lxc.init.cwd = /made/here" "lxc.environment = A=1" "lxc.environment = FROM_CALLER" \
	"lxc.environment.runtime = B=2" "lxc.environment.hooks = C=3" "lxc.no_new_privs = 1" \
	"lxc.proc.oom_score_adj = 321" "lxc.prlimit.nofile = 111:222" "lxc.prlimit.core = 0" \
	"lxc.sysctl.net.ipv4.ip_forward = 1" "lxc.sysctl.kernel.msgmax = 4321" \
	"lxc.time.offset.boot = 100h" "lxc.time.offset.monotonic = -10s" "lxc.keyring.session = 0"
check "lxc.uts.name" is "$(inside hostname)" k
check "lxc.arch: attached commands" is "$(inside uname -m)" i686
check "lxc.arch: init" is "$(cat "/proc/$(init)/personality")" 00000008
check "lxc.init.cmd" is "$(tr '\0' ' ' <"/proc/$(init)/cmdline")" "/bin/sleep 1000000 "
check "lxc.init.uid" is "$(status Uid)" "1000	1000	1000	1000"
check "lxc.init.gid" is "$(status Gid)" "1001	1001	1001	1001"
check "lxc.init.groups" is "$(status Groups)" "20 30 40 "
check "lxc.init.cwd" is "$(readlink "/proc/$(init)/cwd")" /made/here
check "lxc.init.cwd was made 0755" is "$(stat -c %a "$R/made/here")" 755
check "lxc.environment" is "$(environ A)" 1
check "lxc.environment of the caller" is "$(environ FROM_CALLER)" called
check "lxc.environment.runtime" is "$(environ B)" 2
check "lxc.environment.hooks is not init's" is "$(environ C)" ""
check "container=lxc" is "$(environ container)" lxc
check "lxc.environment: attached commands" is "$(inside sh -c 'echo $A$B$C')" 12
check "lxc.no_new_privs" is "$(status NoNewPrivs)" 1
check "lxc.proc" is "$(cat "/proc/$(init)/oom_score_adj")" 321
check "lxc.prlimit with two values" like "$(cat "/proc/$(init)/limits")" '^Max open files +111 +222 '
check "lxc.prlimit with one" like "$(cat "/proc/$(init)/limits")" '^Max core file size +0 +0 '
check "lxc.sysctl of the network" is "$(inside cat /proc/sys/net/ipv4/ip_forward)" 1
check "lxc.sysctl of IPC" is "$(inside cat /proc/sys/kernel/msgmax)" 4321
check "lxc.sysctl is not the host's" test "$(cat /proc/sys/kernel/msgmax)" != 4321
hours() { echo $(($(cut -d. -f1 /proc/uptime) / 3600)); }
check "lxc.time.offset.boot" test "$(inside cut -d. -f1 /proc/uptime)" -ge $(($(hours) * 3600 + 360000))
first=$("$driver" monotonic) there=$(inside /bin/driver monotonic) last=$("$driver" monotonic)
check "lxc.time.offset.monotonic" test $((there + 10)) -ge "$first" -a $((there + 10)) -le "$last"
rm -rf "$R/made"

check "lxc.proc: a wrong value names the key" refused 'lxc\.proc\.oom_score_adj' "lxc.proc.oom_score_adj = many"
check "lxc.sysctl: an unknown one is named" refused 'lxc\.sysctl\.kernel\.nothing' "lxc.sysctl.kernel.nothing = 1"
check "lxc.environment: what the caller has not" refused 'NOT_THERE' "lxc.environment = NOT_THERE"
check "lxc.init.cmd: what is not there" refused '/bin/nothing' "lxc.init.cmd = /bin/nothing"

hard=$(awk '/^Max open files/ { print $5 }' /proc/self/limits)
started "a hard limit above the own one" "lxc.prlimit.nofile = 64:$((hard + 1))" \
	"lxc.log.level = WARN" "lxc.log.file = $TMPDIR/limit.log"
check "lxc.prlimit: the soft limit holds" like "$(cat "/proc/$(init)/limits")" '^Max open files +64 '
if [ $((0x$(sed -n 's/^CapEff:\t//p' /proc/self/status) >> 24 & 1)) = 0 ]; then
	check "lxc.prlimit: without CAP_SYS_RESOURCE a warning names it" \
		like "$(cat "$TMPDIR/limit.log")" 'WARN .*lxc\.prlimit\.nofile'
else
	skip "lxc.prlimit: without CAP_SYS_RESOURCE a warning names it" "the capability is there"
fi

if [ -e /proc/keys ] || [ "$("$driver" keyring)" != ENOSYS ]; then
	started "lxc.keyring.session = 1" "lxc.keyring.session = 1" "lxc.init.cmd = /bin/sh -c '/bin/driver keyring >/keyring; exec sleep 1000000'"
	eventually 30 test -s "$R/keyring"
	check "lxc.keyring.session = 1 keeps the caller's" is "$(cat "$R/keyring")" "$("$driver" keyring)"
	started "a keyring of its own" "lxc.init.cmd = /bin/sh -c '/bin/driver keyring >/keyring.own; exec sleep 1000000'"
	eventually 30 test -s "$R/keyring.own"
	check "without it there is another" test "$(cat "$R/keyring.own")" != "$("$driver" keyring)"
else
	skip "lxc.keyring.session" "this kernel has no keyrings"
fi

with "lxc.sched.core = 1"
if start 2>"$TMPDIR/err"; then
	check "lxc.sched.core" is "$(state)" RUNNING
	stop
else
	check "lxc.sched.core is named where the kernel has it not" like "$(head -n 1 "$TMPDIR/err")" 'lxc\.sched\.core'
fi

with "lxc.execute.cmd = /bin/sh -c 'echo \"an  argument\"; exit 9'"
lxc-execute -P "$L" -n k >"$TMPDIR/out"
check "lxc.execute.cmd: its code" is $? 9
check "lxc.execute.cmd: quoted words" is "$(cat "$TMPDIR/out")" "an  argument"

# ---- signals ----
trap_cmd="lxc.init.cmd = /bin/sh -c 'for s in USR1 USR2 TERM HUP; do trap \"echo \$s >>/signals; exit\" \$s; done; >/ready; while :; do sleep 0.1; done'"
signalled() {
	rm -f "$R/ready" "$R/signals"
	started "$1" "$trap_cmd" "$1"
	shift
	eventually 30 test -e "$R/ready"
	"$@" >/dev/null 2>&1
	eventually 30 stopped
}
signalled "lxc.signal.halt = SIGUSR2" lxc-stop -P "$L" -n k -t 30
check "lxc.signal.halt" is "$(cat "$R/signals")" USR2
signalled "lxc.signal.stop = TERM" lxc-stop -P "$L" -n k -k
check "lxc.signal.stop" is "$(cat "$R/signals")" TERM
signalled "lxc.signal.reboot = 10" lxc-stop -P "$L" -n k -r -t 30
check "lxc.signal.reboot by number" is "$(cat "$R/signals")" USR1

# ---- the monitor ----
started "lxc.monitor.signal.pdeath = 0" "lxc.monitor.signal.pdeath = 0"
pid=$(init)
kill -9 "$(monitor)"
sleep 0.2
check "lxc.monitor.signal.pdeath = 0: init goes on" test -d "/proc/$pid"
check "and can be stopped" stop
check "and is gone" eventually 30 test ! -d "/proc/$pid"
rm -f "$R/ready" "$R/signals"
started "lxc.monitor.signal.pdeath = SIGUSR1" "lxc.monitor.signal.pdeath = SIGUSR1" \
	"lxc.init.cmd = /bin/sh -c 'trap \"\" HUP; trap \"echo USR1 >/signals; exit\" USR1; >/ready; while :; do sleep 0.1; done'"
eventually 30 test -e "$R/ready"
kill -9 "$(monitor)"
eventually 30 test -s "$R/signals"
check "lxc.monitor.signal.pdeath: a signal" is "$(cat "$R/signals")" USR1
mkdir -p "$TMPDIR/hooked" "$TMPDIR/shared"
mount --bind "$TMPDIR/shared" "$TMPDIR/shared" && mount --make-shared "$TMPDIR/shared"
started "lxc.monitor.unshare" "lxc.monitor.unshare = 1" "lxc.hook.pre-start = mount -t tmpfs bvkeys $TMPDIR/hooked #"
check "lxc.monitor.unshare: a namespace of its own" \
	test "$(readlink "/proc/$(monitor)/ns/mnt")" != "$(readlink /proc/self/ns/mnt)"
check "lxc.monitor.unshare: a hook's mount is the monitor's" grep -q bvkeys "/proc/$(monitor)/mountinfo"
check_not "lxc.monitor.unshare: and not the host's" grep -q bvkeys /proc/self/mountinfo
mkdir "$TMPDIR/shared/later" && mount -t tmpfs bvlater "$TMPDIR/shared/later"
check "lxc.monitor.unshare: the host's mounts come in" grep -q bvlater "/proc/$(monitor)/mountinfo"
umount "$TMPDIR/shared/later"
stop
umount "$TMPDIR/shared"

# ---- the log ----
started "lxc.log.file" "lxc.log.level = DEBUG" "lxc.log.file = $TMPDIR/new/k.log" "lxc.hook.pre-start = echo said-by-a-hook #"
check "lxc.log.file is made with its directory" test -s "$TMPDIR/new/k.log"
check "lxc.log.level" grep -q 'DEBUG .*said-by-a-hook' "$TMPDIR/new/k.log"
check "the hook's LXC_LOG_LEVEL" is "$(lxc-info -P "$L" -n k -c lxc.log.level -H)" DEBUG
stop
rm -r "$TMPDIR/new"
start -l ERROR -o "$TMPDIR/other.log"
check "-o has the last word" test -e "$TMPDIR/other.log" -a ! -e "$TMPDIR/new"
check "-l has the last word" test ! -s "$TMPDIR/other.log"
stop
start -o none
check "-o none is no file" test ! -e "$TMPDIR/new"
check "lxc.log.file: what cannot be made is named" refused '/proc/nothing/log' "lxc.log.file = /proc/nothing/log"
if [ ! -e /dev/log ] && command -v busybox >/dev/null; then
	busybox syslogd -n -O "$TMPDIR/syslog" &
	syslogd=$!
	eventually 30 test -S /dev/log
	started "lxc.log.syslog" "lxc.log.level = DEBUG" "lxc.log.syslog = local3" "lxc.hook.pre-start = echo told-to-syslog #"
	check "lxc.log.syslog" eventually 30 grep -q 'local3.debug lxc-start\[[0-9]*\]: k hook .*told-to-syslog' "$TMPDIR/syslog"
	stop
	kill "$syslogd"
	wait "$syslogd" 2>/dev/null
	rm -f /dev/log
else
	skip "lxc.log.syslog" "somebody has /dev/log already"
fi

# ---- console ----
echo_cmd="lxc.init.cmd = /bin/sh -c 'echo up; while read -r line; do echo got \$line; done; exec sleep 1000000'"
started "lxc.console.path, a file" "lxc.console.path = $TMPDIR/console" "lxc.init.cmd = /bin/sh -c 'echo up; exec sleep 1000000'"
check "lxc.console.path: what init prints is in the file" eventually 30 grep -q '^up' "$TMPDIR/console"
check "lxc.console.path: the file is 0600" is "$(stat -c %a "$TMPDIR/console")" 600
mkfifo "$TMPDIR/keyboard"
"$driver" terminal "$TMPDIR/screen" <"$TMPDIR/keyboard" >"$TMPDIR/terminal" &
terminal=$!
exec 9>"$TMPDIR/keyboard"
eventually 30 test -s "$TMPDIR/terminal"
started "lxc.console.path, a terminal" "lxc.console.path = $(cat "$TMPDIR/terminal")" "$echo_cmd"
check "lxc.console.path: the terminal shows the console" eventually 30 grep -q '^up' "$TMPDIR/screen"
echo typed >&9
check "lxc.console.path: what is typed goes in" eventually 30 grep -q '^got typed' "$TMPDIR/screen"
check "lxc.console.path: hooks are told" is "$(lxc-info -P "$L" -n k -c lxc.console.path -H)" "$(cat "$TMPDIR/terminal")"
stop
with "lxc.hook.pre-start = sh -c 'echo \$LXC_CONSOLE >$TMPDIR/hook'"
start -c "$TMPDIR/console.c"
check "lxc-start -c is the same key" is "$(cat "$TMPDIR/hook")" "$TMPDIR/console.c"
exec 9>&-
wait "$terminal"
check "lxc.console.path: what cannot be opened is named" refused '/nowhere/at/all.*lxc\.console\.path' \
	"lxc.console.path = /nowhere/at/all"
started "lxc.console.path = none" "lxc.console.path = none"
check "lxc.console.path = none: init has /dev/null" is "$(readlink "/proc/$(init)/fd/0")" /dev/null
check "lxc.console.path = none: no console" test "$(inside sh -c 'ls /dev/console 2>/dev/null')" = ""

lines="lxc.init.cmd = /bin/sh -c 'echo first; i=0; while [ \$i -lt 500 ]; do echo line-\$i; i=\$((i + 1)); done; >/ready; exec sleep 1000000'"
rm -f "$R/ready"
started "lxc.console.logfile" "lxc.console.logfile = $TMPDIR/cons.log" "lxc.console.buffer.size = auto" "$lines"
check "lxc.console.logfile" eventually 30 grep -q line-499 "$TMPDIR/cons.log"
check "lxc.console.logfile is 0640" is "$(stat -c %a "$TMPDIR/cons.log")" 640
check "lxc.console.buffer.size = auto" is "$(lxc-info -P "$L" -n k -c lxc.console.buffer.size -H)" 131072
check "the monitor has that much" sh -c "awk '/^[0-9a-f]+-/ { a = \$1 } /^Size:/ && \$2 >= 128 && \$2 < 256 { ok = 1 } END { exit !ok }' /proc/$(monitor)/smaps"
started "lxc.console.size" "lxc.console.logfile = $TMPDIR/small.log" "lxc.console.size = 4KB" "$lines"
check "lxc.console.size: the end is there" eventually 30 grep -q line-499 "$TMPDIR/small.log"
check "lxc.console.size: the beginning is not" test "$(stat -c %s "$TMPDIR/small.log")" -le 4096 -a ! -e "$TMPDIR/small.log.1"
started "lxc.console.rotate" "lxc.console.logfile = $TMPDIR/rot.log" "lxc.console.size = 4KB" "lxc.console.rotate = 1" "$lines"
check "lxc.console.rotate" eventually 30 grep -q line- "$TMPDIR/rot.log.1"

# ---- terminals and /dev ----
started "ttys" "lxc.tty.max = 3" "lxc.tty.dir = here" "lxc.pty.max = 40" "lxc.autodev.tmpfs.size = 65536"
check "lxc.tty.max" is "$(inside sh -c 'ls -d /dev/tty[0-9]* | wc -l')" 3
check "lxc.tty.dir: links" is "$(inside readlink /dev/tty2)" here/tty2
check "lxc.tty.dir: terminals" inside test -c /dev/here/tty3 -a -c /dev/here/console
check "init is told of them" is "$(environ container_ttys | wc -w)" 3
check "lxc.pty.max" like "$(inside grep ' /dev/pts ' /proc/mounts)" 'max=43'
check "lxc.autodev.tmpfs.size" like "$(inside grep ' /dev tmpfs ' /proc/mounts)" 'size=64k'
started "none of them"
check "without lxc.pty.max there is no devpts" is "$(inside grep -c ' /dev/pts ' /proc/mounts)" 0
check "without lxc.tty.max there is no tty1" inside test ! -e /dev/tty1
mkdir -p "$R/dev" && : >"$R/dev/own"
started "lxc.autodev = 0" "lxc.autodev = 0" "lxc.hook.autodev = touch $TMPDIR/autodev-ran #"
check "lxc.autodev = 0: the rootfs' own /dev" inside test -e /dev/own
check "lxc.autodev = 0: no autodev hook" test ! -e "$TMPDIR/autodev-ran"
rm -f "$R/dev/own"

# ---- mounts and rootfs ----
mkdir -p "$TMPDIR/src/sub" "$TMPDIR/tunnel"
echo in-source >"$TMPDIR/src/file"
echo "$TMPDIR/src mnt/fstab none bind,create=dir 0 0" >"$TMPDIR/fstab"
started "mounts" "lxc.mount.fstab = $TMPDIR/fstab" \
	"lxc.mount.entry = $TMPDIR/src mnt/entry none bind,ro,create=dir" \
	"lxc.mount.entry = $TMPDIR/src/file mnt/a\\040file none bind,create=file 0 0" \
	"lxc.mount.entry = /no/such/thing mnt/optional none bind,optional,create=dir 0 0" \
	"lxc.mount.entry = etc mnt/relative none bind,relative,create=dir 0 0" \
	"lxc.mount.entry = bvtmp $R/mnt/tmp tmpfs size=64k,mode=700,create=dir 0 0" \
	"lxc.mount.auto = shmounts:$TMPDIR/tunnel"
check "lxc.mount.fstab" is "$(inside cat /mnt/fstab/file)" in-source
check "lxc.mount.entry" is "$(inside cat /mnt/entry/file)" in-source
check "lxc.mount.entry: ro" inside sh -c '! touch /mnt/entry/new 2>/dev/null'
check "lxc.mount.entry: escapes, create=file" is "$(inside cat '/mnt/a file')" in-source
check "lxc.mount.entry: relative" inside test -e /mnt/relative/passwd
check "lxc.mount.entry: options of the file system" like "$(inside grep ' /mnt/tmp ' /proc/mounts)" 'size=64k,mode=700'
check "lxc.mount.auto: shmounts" like "$(inside cat /proc/self/mountinfo)" ' /dev/.lxc-mounts .*(master|shared):'
check "lxc.mount.auto: proc:mixed" inside sh -c '! echo 1 >/proc/sys/kernel/msgmax' 2>/dev/null
stop
umount -R "$TMPDIR/tunnel" 2>/dev/null
started "lxc.mount.auto with nothing" "lxc.mount.auto ="
check "lxc.mount.auto cleared: no /proc" is "$(inside ls /proc)" ""
started "lxc.mount.auto = proc:rw" "lxc.mount.auto =" "lxc.mount.auto = proc:rw sys:rw"
check "lxc.mount.auto: proc:rw" inside sh -c 'echo 4000 >/proc/sys/kernel/msgmax'
check "lxc.mount.auto: sys:rw" like "$(inside grep ' /sys sysfs ' /proc/mounts)" ' rw,'
check "lxc.mount.entry: what is not there is named" refused 'no/such/thing' "lxc.mount.entry = /no/such/thing mnt none bind 0 0"
check "lxc.mount.fstab: what is not there is named" refused 'no/fstab' "lxc.mount.fstab = /no/fstab"
rm -rf "${R:?}/mnt"

mkdir -p "$TMPDIR/stage" "$R/made" && rmdir "$R/made"
started "lxc.rootfs.options, lxc.rootfs.mount" "lxc.rootfs.options = ro" "lxc.rootfs.mount = $TMPDIR/stage" \
	"lxc.hook.mount = sh -c 'ls \$LXC_ROOTFS_MOUNT/bin/busybox >$TMPDIR/stage.out; echo \$LXC_ROOTFS_MOUNT >>$TMPDIR/stage.out' #"
check "lxc.rootfs.options = ro" inside sh -c '! touch /new 2>/dev/null'
check "lxc.rootfs.mount" is "$(tail -n 1 "$TMPDIR/stage.out")" "$TMPDIR/stage"
check "lxc.rootfs.mount: the rootfs is there" is "$(head -n 1 "$TMPDIR/stage.out")" "$TMPDIR/stage/bin/busybox"
stop
check "lxc.rootfs.path: an unknown type is refused" refused 'nonsense' "lxc.rootfs.path = nonsense:/x"
mkdir -p "$L/m/rootfs"
instance "$L" m "$L/m/rootfs" "lxc.rootfs.managed = 0"
echo kept >"$L/m/rootfs/kept"
lxc-destroy -P "$L" -n m >/dev/null 2>&1
check "lxc.rootfs.managed = 0: the storage is kept" test -e "$L/m/rootfs/kept"
rm -rf "$L/m"

# ---- cgroups: the payload in the hierarchy of the pids controller, whichever version has it ----
of_init() { sed -nE 's/^[0-9]+:([^:]*,)?pids(,[^:]*)?://p' "/proc/$1/cgroup" | grep . || sed -n 's/^0:://p' "/proc/$1/cgroup"; }
pids() { find /sys/fs/cgroup -path "*$1" -type d -exec cat {}/pids.max \; 2>/dev/null | head -n 1; }
started "cgroups" "lxc.cgroup2.pids.max = 77"
check "the payload's name" like "$(of_init "$(init)")" '/lxc\.payload\.k$'
check "the monitor's name" like "$(of_init "$(monitor)")" '/lxc\.monitor\.k$'
check "lxc.cgroup2" is "$(pids /lxc.payload.k)" 77
started "lxc.cgroup.dir" "lxc.cgroup.dir = bvkeys/sub" "lxc.cgroup.pids.max = 66"
check "lxc.cgroup.dir" like "$(of_init "$(init)")" '/bvkeys/sub/lxc\.payload\.k$'
check "lxc.cgroup" is "$(pids /bvkeys/sub/lxc.payload.k)" 66
stop
# What was made for the test itself: a process may be in it for a moment more.
removed() {
	find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} \; 2>/dev/null
	gone "$1"
}
gone() { [ -z "$(find /sys/fs/cgroup -type d -name "$1")" ]; }
check "lxc.cgroup.dir is removed" eventually 30 gone bvkeys
started "lxc.cgroup.dir.container and the others" "lxc.cgroup.dir.container = bvc" "lxc.cgroup.dir.monitor = bvm" \
	"lxc.cgroup.dir.container.inner = in" "lxc.cgroup.dir.monitor.pivot = bvp/leaf" "lxc.cgroup2.pids.max = 55"
check "lxc.cgroup.dir.container.inner" like "$(of_init "$(init)")" '/bvc/in$'
check "lxc.cgroup.dir.container has the limit" is "$(pids /bvc)" 55
check "lxc.cgroup.dir.monitor" like "$(of_init "$(monitor)")" '/bvm$'
stop
check "lxc.cgroup.dir.container is removed" eventually 30 gone bvc
check "lxc.cgroup.dir.monitor is removed" eventually 30 gone bvm
check "lxc.cgroup.dir.monitor.pivot was used" test -n "$(find /sys/fs/cgroup -type d -path '*/bvp/leaf')"
eventually 30 removed bvp
mkdir_all() { for c in /sys/fs/cgroup/*/cgroup.procs; do mkdir -p "${c%/*}/$1"; [ ! -e "${c%/*}/cpuset.cpus" ] || { cat "${c%/*}/cpuset.cpus" >"${c%/*}/$1/cpuset.cpus"; cat "${c%/*}/cpuset.mems" >"${c%/*}/$1/cpuset.mems"; }; done; }
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
	mkdir -p /sys/fs/cgroup/bvbelow
else
	mkdir_all bvbelow
fi
with "lxc.cgroup.relative = 1"
check "start with lxc.cgroup.relative" sh -c 'for c in $(find /sys/fs/cgroup -maxdepth 2 -type d -name bvbelow); do echo $$ >$c/cgroup.procs; done; lxc-start -P "$1" -n k' sh "$L"
check "lxc.cgroup.relative" like "$(of_init "$(init)")" '/bvbelow/lxc\.payload\.k$'
stop
check "lxc.cgroup.relative: removed" eventually 30 gone lxc.monitor.k
eventually 30 removed bvbelow
check "lxc.cgroup2: an unknown file is named" refused 'pids\.nothing' "lxc.cgroup2.pids.nothing = 1"
check "lxc.cgroup.dir.container alone is refused" refused 'lxc\.cgroup\.dir\.monitor' "lxc.cgroup.dir.container = bvc"

# ---- namespaces and id maps ----
ns() { readlink "/proc/$1/ns/$2"; }
started "lxc.namespace.keep" "lxc.namespace.keep = uts ipc" "lxc.uts.name ="
check "lxc.namespace.keep: kept" is "$(ns "$(init)" uts) $(ns "$(init)" ipc)" "$(ns self uts) $(ns self ipc)"
check "lxc.namespace.keep: the others are new" test "$(ns "$(init)" net)" != "$(ns self net)" -a "$(ns "$(init)" pid)" != "$(ns self pid)"
started "lxc.namespace.clone" "lxc.namespace.clone = pid mnt uts" "lxc.mount.auto =" "lxc.mount.auto = proc"
check "lxc.namespace.clone: new" test "$(ns "$(init)" pid)" != "$(ns self pid)" -a "$(ns "$(init)" uts)" != "$(ns self uts)"
check "lxc.namespace.clone: the others are kept" is "$(ns "$(init)" net) $(ns "$(init)" ipc)" "$(ns self net) $(ns self ipc)"
unshare --uts --ipc sleep 1000000 &
other=$!
eventually 30 test "$(ns $other uts)" != "$(ns self uts)"
instance "$L" peer "$R" "lxc.init.cmd = /bin/sleep 1000000"
lxc-start -P "$L" -n peer
peer=$(lxc-info -P "$L" -n peer -pH)
started "lxc.namespace.share" "lxc.namespace.share.uts = $other" "lxc.namespace.share.ipc = $L/peer" "lxc.namespace.share.net = peer" "lxc.uts.name ="
check "lxc.namespace.share with a pid" is "$(ns "$(init)" uts)" "$(ns $other uts)"
check "lxc.namespace.share with a path" is "$(ns "$(init)" ipc)" "$(ns "$peer" ipc)"
check "lxc.namespace.share with a name" is "$(ns "$(init)" net)" "$(ns "$peer" net)"
started "lxc.namespace.share.pid" "lxc.namespace.share.pid = peer"
check "lxc.namespace.share.pid" is "$(ns "$(init)" pid)" "$(ns "$peer" pid)"
stop
lxc-stop -P "$L" -n peer -k
kill "$other"
wait "$other" 2>/dev/null
check "lxc.namespace.share: one that does not run is named" refused 'peer' "lxc.namespace.share.net = peer"
check "lxc.namespace.keep = mnt is refused" refused 'lxc\.namespace\.keep = mnt' "lxc.namespace.keep = mnt net"
check "lxc.namespace.share.mnt is refused" refused 'lxc\.namespace\.share\.mnt' "lxc.namespace.share.mnt = $$"
started "lxc.namespace.clone without mnt" "lxc.namespace.clone = pid" "lxc.log.level = WARN" "lxc.log.file = $TMPDIR/clone.log" \
	"lxc.mount.auto =" "lxc.mount.auto = proc"
check "a mount namespace is made all the same, and said" grep -q 'lxc.namespace.clone has no mnt' "$TMPDIR/clone.log"
started "lxc.idmap" "lxc.idmap = u 0 200000 65536" "lxc.idmap = g 0 300000 65536" "lxc.mount.auto =" "lxc.mount.auto = proc:mixed sys:ro"
check "lxc.idmap: users" like "$(cat "/proc/$(init)/uid_map")" '^ *0 +200000 +65536$'
check "lxc.idmap: groups" like "$(cat "/proc/$(init)/gid_map")" '^ *0 +300000 +65536$'
check "lxc.idmap: init" is "$(status Uid)" "200000	200000	200000	200000"
stop

# ---- capabilities, seccomp, LSM ----
caps() { printf '%d' "0x$(status CapBnd)"; }
started "lxc.cap.drop" "lxc.cap.drop = sys_module 25" "lxc.cap.drop = mknod"
check "lxc.cap.drop: names, numbers, several" is $(($(caps) >> 16 & 1))$(($(caps) >> 25 & 1))$(($(caps) >> 27 & 1)) 000
check "lxc.cap.drop: the others are there" is $(($(caps) >> 0 & 1))$(($(caps) >> 21 & 1)) 11
check "lxc.cap.drop: attached commands" is "$(inside sed -n 's/^CapBnd:\t//p' /proc/self/status)" "$(status CapBnd)"
started "lxc.cap.keep" "lxc.cap.keep = kill chown"
check "lxc.cap.keep" is "$(status CapBnd) $(status CapEff)" "0000000000000021 0000000000000021"
started "lxc.cap.keep = none" "lxc.cap.keep = none" "lxc.mount.auto ="
check "lxc.cap.keep = none" is "$(status CapBnd)" 0000000000000000
check "lxc.cap.drop: an unknown one is named" refused 'sys_nothing' "lxc.cap.drop = sys_nothing"
check "both are refused" refused 'lxc\.cap\.(keep|drop)' "lxc.cap.drop = kill" "lxc.cap.keep = chown"

printf '2\ndenylist\n[all]\nmkdir errno 17\nmkdirat errno 17\n' >"$TMPDIR/policy"
started "lxc.seccomp.profile" "lxc.seccomp.profile = $TMPDIR/policy"
check "lxc.seccomp.profile: init" is "$(status Seccomp)" 2
check "lxc.seccomp.profile: attached commands" like "$(inside mkdir /tmp/dir 2>&1)" 'File exists'
stop
under_filter() { "$driver" filtered "$(command -v lxc-start)" -P "$L" -n k; }
filters() { status Seccomp_filters; }
own=$(sed -n 's/^Seccomp_filters:\t//p' /proc/self/status)
with "lxc.seccomp.profile = $TMPDIR/policy" "lxc.log.level = NOTICE" "lxc.log.file = $TMPDIR/nesting.log"
check "start below a filter" under_filter
check "lxc.seccomp.allow_nesting = 0: no second filter" is "$(filters)" $((own + 1))
check "and the log says so" grep -q 'lxc.seccomp.allow_nesting = 0' "$TMPDIR/nesting.log"
stop
with "lxc.seccomp.profile = $TMPDIR/policy" "lxc.seccomp.allow_nesting = 1"
check "start below a filter with lxc.seccomp.allow_nesting" under_filter
check "lxc.seccomp.allow_nesting = 1" is "$(filters)" $((own + 2))
stop
check "lxc.seccomp.profile: what is not there is named" refused '/no/policy' "lxc.seccomp.profile = /no/policy"

if [ ! -e /sys/module/apparmor/parameters/enabled ] && [ ! -e /sys/fs/selinux/enforce ]; then
	started "LSM keys without an LSM" "lxc.apparmor.profile = generated" "lxc.apparmor.raw = allow mount," \
		"lxc.apparmor.allow_nesting = 1" "lxc.apparmor.allow_incomplete = 1" "lxc.selinux.context = a_t" \
		"lxc.selinux.context.keyring = b_t" "lxc.log.level = WARN" "lxc.log.file = $TMPDIR/lsm.log"
	check "lxc.apparmor.profile warns once" is "$(grep -c 'lxc.apparmor.profile = generated has no effect' "$TMPDIR/lsm.log")" 1
	check "lxc.selinux.context warns once" is "$(grep -c 'lxc.selinux.context = a_t has no effect' "$TMPDIR/lsm.log")" 1
	check "lxc.selinux.context.keyring warns once" is "$(grep -c 'lxc.selinux.context.keyring = b_t has no effect' "$TMPDIR/lsm.log")" 1
	check "lxc.apparmor.allow_nesting warns once" is "$(grep -c 'lxc.apparmor.allow_nesting = 1 has no effect' "$TMPDIR/lsm.log")" 1
	stop
else
	skip "LSM keys without an LSM" "this host has one"
fi

# ---- hooks ----
cat >"$TMPDIR/hook" <<'END'
#!/bin/sh
printf '%s|%s|' "$LXC_HOOK_TYPE$4" "$*"
printf '%s ' "$LXC_NAME" "$LXC_HOOK_SECTION" "$LXC_HOOK_VERSION" "$LXC_TARGET" "$A" "$B" "$C"
printf '|%s %s %s|' "${LXC_CONFIG_FILE##*/}" "${LXC_ROOTFS_PATH%%:*}" "$LXC_CGNS_AWARE"
env | sed -n 's/^\(LXC_[A-Z]*_NS\)=.*/\1/p' | sort | tr '\n' ' '
[ -z "$LXC_PID" ] || printf 'pid-%s' "$(tr '\0' ' ' <"/proc/$LXC_PID/comm")"
echo
END
chmod +x "$TMPDIR/hook"
printf '#!/bin/sh\nprintf "%%s|%%s|\\n" "$LXC_HOOK_TYPE$4" "$*" >>/hooks\n' >"$R/bin/hook"
chmod +x "$R/bin/hook"
hooks() {
	for kind in start pre-start mount pre-mount autodev start-host stop post-stop; do
		case $kind in
		start) echo "lxc.hook.start = /bin/hook one" ;;
		*) echo "lxc.hook.$kind = sh -c '$TMPDIR/hook \"\$@\" >>$TMPDIR/hooks' hook one" ;;
		esac
	done
	echo "lxc.hook.pre-start = sh -c 'echo second >>$TMPDIR/hooks'"
}
hooked() {
	rm -f "$TMPDIR/hooks" "$R/hooks"
	started "$1" "$(hooks)" "lxc.hook.version = ${1##* }" "lxc.environment = A=1" "lxc.environment.hooks = B=2" "lxc.environment.runtime = C=3"
	stop
}
hooked "lxc.hook.version = 0"
check "hooks: the order" is "$(cut -d'|' -f1 "$TMPDIR/hooks" | tr '\n' ' ')" "pre-start second pre-mount mount autodev start-host stop post-stop "
check "hooks: arguments, own ones first" is "$(sed -n 1p "$TMPDIR/hooks" | cut -d'|' -f2)" "one k lxc pre-start"
check "hooks: the environment" is "$(sed -n 1p "$TMPDIR/hooks" | cut -d'|' -f3)" "k  0  1 2  "
check "hooks: more of the environment" is "$(sed -n 1p "$TMPDIR/hooks" | cut -d'|' -f4)" "config dir 1"
check "lxc.hook.start: inside, with its arguments" is "$(cat "$R/hooks")" "start|one k lxc start|"
check "lxc.hook.start-host: LXC_PID" like "$(grep '^start-host' "$TMPDIR/hooks")" 'pid-'
check "lxc.hook.stop: LXC_TARGET" is "$(sed -n '/^stop/p' "$TMPDIR/hooks" | cut -d'|' -f3)" "k  0 stop 1 2  "
check "lxc.hook.stop: namespaces as arguments" like "$(grep '^stop' "$TMPDIR/hooks")" 'one k lxc stop .*mnt:/proc/[0-9]+/fd/[0-9]+ .*net:/proc/'
check "lxc.hook.post-stop: LXC_TARGET" is "$(sed -n '/^post-stop/p' "$TMPDIR/hooks" | cut -d'|' -f2,3)" "one k lxc post-stop|k  0 stop 1 2  "
hooked "lxc.hook.version = 1"
check "version 1: no arguments but the own ones" is "$(sed -n 1p "$TMPDIR/hooks" | cut -d'|' -f1,2)" "pre-start|one"
check "version 1: LXC_HOOK_SECTION" is "$(sed -n 1p "$TMPDIR/hooks" | cut -d'|' -f3)" "k lxc 1  1 2  "
check "version 1: the order" is "$(cut -d'|' -f1 "$TMPDIR/hooks" | tr '\n' ' ')" "pre-start second pre-mount mount autodev start-host stop post-stop "
check "version 1: lxc.hook.stop has variables" like "$(grep '^stop' "$TMPDIR/hooks")" 'LXC_CGROUP_NS .*LXC_MNT_NS LXC_NET_NS LXC_PID_NS .*LXC_UTS_NS'
for kind in pre-start pre-mount mount autodev start-host; do
	check "a $kind hook that fails ends the start" refused "the $kind hook \"sh -c 'exit 3'\" failed with exit status 3" "lxc.hook.$kind = sh -c 'exit 3'"
done
check "a start hook that fails ends the start" refused 'the start hook' "lxc.hook.start = /bin/false"
started "a stop hook that fails" "lxc.hook.stop = false" "lxc.hook.post-stop = false"
check "does not keep it from stopping" stop
check "and it is STOPPED" stopped
started "lxc.hook cleared" "lxc.hook.pre-start = false" "lxc.hook ="
stop
mkdir -p "$L/d/rootfs"
instance "$L" d "$L/d/rootfs" "lxc.hook.destroy = sh -c 'echo \"\$@\" >$TMPDIR/destroyed' hook"
lxc-destroy -P "$L" -n d >/dev/null
check "lxc.hook.destroy" is "$(cat "$TMPDIR/destroyed")" "d lxc destroy"

# ---- ephemeral ----
ephemeral() {
	mkdir -p "$L/e/rootfs"
	cp -a "$R/." "$L/e/rootfs/"
	instance "$L" e "$L/e/rootfs" "lxc.ephemeral = 1"
	lxc-start -P "$L" -n e
}
is_gone() { [ ! -e "$L/e" ]; }
ephemeral
lxc-stop -P "$L" -n e -r -t 30
check "lxc.ephemeral: kept over a reboot" test -d "$L/e/rootfs/bin"
check "lxc.ephemeral: and runs" is "$(lxc-info -P "$L" -n e -sH)" RUNNING
lxc-stop -P "$L" -n e -k
check "lxc.ephemeral: destroyed after the stop" eventually 30 is_gone
ephemeral
pid=$(lxc-info -P "$L" -n e -pH)
kill -9 "$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/e/state)"
eventually 30 test ! -d "/proc/$pid"
lxc-ls -P "$L" >/dev/null
lxc-info -P "$L" -n e >/dev/null 2>&1
lxc-stop -P "$L" -n e -k >/dev/null 2>&1
check "lxc.ephemeral: destroyed after a killed monitor" eventually 30 is_gone
rm -rf "$L/e"

# ---- start.*, group ----
with "lxc.start.auto = 1" "lxc.start.delay = 7" "lxc.start.order = -3" "lxc.group = web,onboot db"
check "lxc.start.auto, lxc.group: lxc-ls -f" like "$(lxc-ls -P "$L" -f)" '^k +STOPPED +1 +.*db'
check "lxc-ls -g finds it" is "$(lxc-ls -P "$L" -1 -g db)" k
check "lxc-ls -g finds it not" is "$(lxc-ls -P "$L" -1 -g mail)" ""
check "lxc.start.delay, lxc.start.order" is "$(lxc-info -P "$L" -n k -H -c lxc.start.delay) $(lxc-info -P "$L" -n k -H -c lxc.start.order)" "7 -3"

# ---- network ----
vlans=yes
ip link add bvkeys0 type bridge vlan_filtering 1 2>/dev/null || { vlans=; ip link add bvkeys0 type bridge; }
ip addr add 10.118.0.1/24 dev bvkeys0
ip link set bvkeys0 mtu 1400 up
started "no network" "lxc.mount.auto =" "lxc.mount.auto = proc sys:ro"
check "without lxc.net there is lo alone, and down" is "$(inside ip -o link | grep -c UP) $(inside ls /sys/class/net)" "0 lo"
started "lxc.net.0.type = empty" "lxc.net.0.type = empty" "lxc.net.0.flags = up"
check "lxc.net.0.flags brings lo up" like "$(inside ip link show lo)" 'LOOPBACK,UP'
started "lxc.net.0.type = none" "lxc.net.0.type = none"
check "lxc.net.0.type = none" is "$(ns "$(init)" net)" "$(ns self net)"
printf '#!/bin/sh\necho "$*" >>%s/net\n' "$TMPDIR" >"$TMPDIR/script"
chmod +x "$TMPDIR/script"
started "veth" "lxc.net.0.type = veth" "lxc.net.0.link = bvkeys0" "lxc.net.0.flags = up" "lxc.net.0.name = in0" \
	"lxc.net.0.hwaddr = 02:aa:bb:cc:dd:xx" "lxc.net.0.mtu = 1300" "lxc.net.0.ipv4.address = 10.118.0.9/24" \
	"lxc.net.0.ipv4.gateway = auto" "lxc.net.0.ipv6.address = fd5d::9/64" "lxc.net.0.ipv6.gateway = fd5d::1" \
	"lxc.net.0.veth.pair = bvpair" "lxc.net.0.veth.n_rxqueues = 2" "lxc.net.0.veth.n_txqueues = 3" \
	${vlans:+"lxc.net.0.veth.vlan.id = 7" "lxc.net.0.veth.vlan.tagged.id = 8" "lxc.net.0.veth.vlan.tagged.id = 9"} \
	"lxc.net.0.veth.ipv4.route = 10.119.0.0/24" "lxc.net.0.veth.ipv6.route = fd5e::/64" \
	"lxc.net.0.script.up = $TMPDIR/script" "lxc.net.0.script.down = $TMPDIR/script" "lxc.net.4.type = veth"
check "lxc.net.0.name, .flags" like "$(inside ip link show in0)" '[<,]UP[,>]'
check "lxc.net.4 has the first free name, and without .flags is down" like "$(inside ip link show eth0)" '<BROADCAST,MULTICAST'
check "lxc.net.0.hwaddr" like "$(inside cat /sys/class/net/in0/address)" '^02:aa:bb:cc:dd:[0-9a-f]{2}$'
check "lxc.net.0.mtu" is "$(inside cat /sys/class/net/in0/mtu)" 1300
check "lxc.net.0.ipv4.address" like "$(inside ip -4 addr show in0)" '10\.118\.0\.9/24 brd 10\.118\.0\.255'
check "lxc.net.0.ipv4.gateway = auto" like "$(inside ip route)" 'default via 10\.118\.0\.1 dev in0'
check "lxc.net.0.ipv6.address" like "$(inside ip -6 addr show in0)" 'fd5d::9/64'
check "lxc.net.0.ipv6.gateway" like "$(inside ip -6 route)" 'default via fd5d::1 dev in0'
check "lxc.net.0.link" like "$(ip -o link show bvpair)" 'master bvkeys0'
check "lxc.net.0.veth.n_rxqueues, n_txqueues" like "$(ip -d link show bvpair)" 'numtxqueues 3 numrxqueues 2'
if [ -n "$vlans" ]; then
	check "lxc.net.0.veth.vlan.id" like "$(bridge vlan show dev bvpair)" '(^| )7 PVID Egress Untagged'
	check "lxc.net.0.veth.vlan.tagged.id" is "$(bridge vlan show dev bvpair | grep -cE ' [89] *$')" 2
else
	skip "lxc.net.0.veth.vlan.id" "this kernel's bridges have no VLAN filter"
	skip "lxc.net.0.veth.vlan.tagged.id" "this kernel's bridges have no VLAN filter"
fi
check "lxc.net.0.veth.ipv4.route" like "$(ip route)" '10\.119\.0\.0/24 dev bvpair'
check "lxc.net.0.veth.ipv6.route" like "$(ip -6 route)" 'fd5e::/64 dev bvpair'
check "lxc.net.0.script.up" is "$(cat "$TMPDIR/net")" "k net up veth bvkeys0 bvpair"
stop
check "lxc.net.0.script.down" is "$(tail -n 1 "$TMPDIR/net")" "k net down veth bvkeys0 bvpair"
check "the pair is gone" eventually 30 sh -c '! ip link show bvpair 2>/dev/null'
echo 1 >/proc/sys/net/ipv4/conf/bvkeys0/forwarding
echo 1 >/proc/sys/net/ipv4/conf/bvkeys0/proxy_arp 2>/dev/null
started "router and l2proxy" "lxc.net.0.type = veth" "lxc.net.0.veth.mode = router" "lxc.net.0.link = bvkeys0" "lxc.net.0.l2proxy = 1" \
	"lxc.net.0.flags = up" "lxc.net.0.veth.pair = bvrouter" "lxc.net.0.ipv4.address = 10.118.0.77/32" "lxc.net.0.ipv4.gateway = 169.254.0.1"
check "lxc.net.0.veth.mode = router" like "$(ip route)" '10\.118\.0\.77 dev bvrouter'
check "lxc.net.0.l2proxy" like "$(ip neigh show proxy)" '10\.118\.0\.77 dev bvkeys0 +proxy'
stop
check "lxc.net.0.l2proxy is taken back" is "$(ip neigh show proxy | grep -c 10.118.0.77)" 0
check "lxc.net.0.link: a missing bridge is named" refused 'bvnothing.*lxc\.net\.0\.link' "lxc.net.0.type = veth" "lxc.net.0.link = bvnothing"
if [ -z "$vlans" ]; then
	check "lxc.net.0.veth.vlan.id: a bridge without a VLAN filter is named" refused 'bvkeys0.*lxc\.net\.0\.veth\.vlan|lxc\.net\.0\.veth\.vlan.*bvkeys0' \
		"lxc.net.0.type = veth" "lxc.net.0.link = bvkeys0" "lxc.net.0.veth.vlan.id = 7"
	check "lxc.net.0.veth.vlan.tagged.id: the same" refused 'bvkeys0.*lxc\.net\.0\.veth\.vlan|lxc\.net\.0\.veth\.vlan.*bvkeys0' \
		"lxc.net.0.type = veth" "lxc.net.0.link = bvkeys0" "lxc.net.0.veth.vlan.tagged.id = 8"
fi
check "lxc.net.0.veth.pair is refused for another type" refused 'veth\.pair' "lxc.net.0.type = empty" "lxc.net.0.veth.pair = x"
started "lxc.net cleared" "lxc.net.0.type = veth" "lxc.net.0.link = bvnothing" "lxc.net ="
stop
ip link del bvkeys0

# ---- the shipped common.conf ----
mkdir -p "$TMPDIR/config/common.conf.d"
cp "$BV_SRC/config/common.seccomp" "$TMPDIR/config/"
sed "s|@lxcconfigdir@|$TMPDIR/config|" "$BV_SRC/config/common.conf.in" >"$TMPDIR/config/common.conf"
echo "lxc.environment = FROM_DIRECTORY=1" >"$TMPDIR/config/common.conf.d/10-more.conf"
echo "lxc.environment = NOT=1" >"$TMPDIR/config/common.conf.d/ignored.txt"
with
sed -i "1i lxc.include = $TMPDIR/config/common.conf" "$L/k/config"
check "start with lxc.include of common.conf" start
check "common.conf: a directory's *.conf are read" is "$(environ FROM_DIRECTORY)$(environ NOT)" 1
check "common.conf: ttys" is "$(inside readlink /dev/tty4)" lxc/tty4
check "common.conf: devpts" like "$(inside grep ' /dev/pts ' /proc/mounts)" 'max=1028'
check "common.conf: capabilities" is "$(printf %x $((0x$(status CapBnd) & 0x302030000)))" 0
check "common.conf: seccomp denies open_by_handle_at" is "$(inside /bin/driver handle)" EPERM
check "common.conf: seccomp denies umount2 with MNT_FORCE" is "$(inside /bin/driver force)" EACCES
check "common.conf: devices that are allowed" inside sh -c 'echo x >/dev/null && head -c 1 /dev/zero >/dev/null'
check "common.conf: devices that are not" inside sh -c 'mknod /dev/own c 1 11 && ! head -c 1 /dev/own' 2>/dev/null
check "common.conf: proc and sys are read-only in part" inside sh -c '! echo 1 >/proc/sys/kernel/msgmax && ! mkdir /sys/kernel/x' 2>/dev/null
check "common.conf: lxc-console gets a tty" sh -c "echo | timeout 30 lxc-console -P $L -n k -t 1 2>&1 | grep -q Connected"
stop
with "lxc.seccomp.profile ="
sed -i "1i lxc.include = $TMPDIR/config/common.conf" "$L/k/config"
start
check "an empty value undoes what was included" is "$(status Seccomp)" 0
check "without the policy the call reaches the kernel" test "$(inside /bin/driver handle)" != EPERM
stop
check "lxc.include: what is not there is named" refused '/no/such\.conf' "lxc.include = /no/such.conf"

# ---- VMs, and what is refused ----
started "vm.* in a container" "engine = container" "vm.memory = 512M" "vm.cpus = 2" "vm.kernel = /no/kernel" "vm.accel = tcg" \
	"vm.backend = qemu" "vm.balloon = 0" "vm.cmdline = quiet" "vm.machine = q35" "vm.modules = /no" "vm.root = 9p" "vm.root.cache = none"
check "vm.* do nothing there" is "$(state)" RUNNING
stop
check "engine = vm says what it cannot" refused 'vm\.backend = kvm' "engine = vm" "vm.backend = kvm"
check "and which keys cannot hold there" refused 'lxc\.namespace\.share\.ipc' "engine = vm" "lxc.namespace.share.ipc = 1"
check "engine = something is refused" refused 'engine' "engine = jail"
check "an unknown vm. key is refused" refused 'vm\.memroy' "vm.memroy = 512M"
check "an unknown lxc. key is refused" refused 'lxc\.nothing' "lxc.nothing = 1"
check "lxc.seccomp.notify.proxy is refused" refused 'lxc\.seccomp\.notify\.proxy' "lxc.seccomp.notify.proxy = unix:/run/proxy"
check "lxc.seccomp.notify.cookie is refused" refused 'lxc\.seccomp\.notify\.cookie' "lxc.seccomp.notify.cookie = abc"

# All that was made here, but for the run directory, which has to be empty by itself.
find "$TMPDIR" -mindepth 1 -maxdepth 1 ! -path "$BIVALVE_RUN" ! -name check.out -exec rm -rf --one-file-system {} +
done_testing
