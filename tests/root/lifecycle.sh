# SPDX-License-Identifier: LGPL-2.1-or-later
# An instance's life: start, states, exec, freeze, reboot, stop, and what is left behind (nothing).
# timeout: 400
. "${BV_SRC:-.}/tests/lib.sh"

L=$TMPDIR/lxc
# A name of our own: others may run this test at the same time.
N=life$$
busybox_rootfs "$TMPDIR/rootfs"
instance "$L" $N "$TMPDIR/rootfs" "lxc.tty.max = 2" "lxc.pty.max = 64"

state() { lxc-info -P "$L" -n "${1:-$N}" -sH; }
in_state() { [ "$(state "$2")" = "$1" ]; }

# ---- before the first start ----
check "a defined instance is STOPPED" is "$(state)" STOPPED
lxc-stop -P "$L" -n $N >/dev/null 2>&1
check "stopping a stopped one is 2" is $? 2
check_not "attach to a stopped one fails" lxc-attach -P "$L" -n $N -- true
check "wait finds STOPPED at once" lxc-wait -P "$L" -n $N -s STOPPED -t 0
check_not "wait -t 0 looks once" lxc-wait -P "$L" -n $N -s RUNNING -t 0

# ---- running ----
check "start" lxc-start -P "$L" -n $N
check "it is RUNNING" is "$(state)" RUNNING
check "a second start succeeds with a message" lxc-start -P "$L" -n $N
check "the message says so" like "$(lxc-start -P "$L" -n $N 2>&1)" 'already running'
pid=$(lxc-info -P "$L" -n $N -pH)
check "init is alive" test -d "/proc/$pid"
check "its host name is its own" is "$(lxc-attach -P "$L" -n $N -- hostname)" $N
check "pid 1 inside is init" like "$(lxc-attach -P "$L" -n $N -- cat /proc/1/cmdline | tr '\0' ' ')" init
check "it sees its own processes only" test "$(lxc-attach -P "$L" -n $N -- ls /proc | grep -c '^[0-9]')" -lt 8
# At its start busybox's init reads a file of its own.
fds_are() { [ "$(ls "/proc/$1/fd" | tr '\n' ' ')" = "$2" ]; }
check "no fd of the host is left in init" eventually 30 fds_are "$pid" "0 1 2 "
check "lxc-ls lists it" is "$(lxc-ls -P "$L" -1)" $N
check "lxc-ls -f shows its state" like "$(lxc-ls -P "$L" -f)" "^$N +RUNNING"
check "the run directory is closed to others" is "$(stat -c %a "$BIVALVE_RUN"/*/$N)" 700
check "the socket is closed to others" is "$(stat -c %a "$BIVALVE_RUN"/*/$N/command)" 600

# ---- attach ----
lxc-attach -P "$L" -n $N -- sh -c 'exit 7'
check "attach: the command's code" is $? 7
lxc-attach -P "$L" -n $N -- sh -c 'kill -TERM $$'
check "attach: 128 + signal" is $? 143
lxc-attach -P "$L" -n $N -- /nowhere 2>/dev/null
check "attach: not found is 127" is $? 127
lxc-attach -P "$L" -n $N -- /etc/passwd 2>/dev/null
check "attach: not executable is 126" is $? 126
check "attach: standard input goes in" is "$(echo hello | lxc-attach -P "$L" -n $N -- cat)" hello
check "attach: stderr stays apart" is "$(lxc-attach -P "$L" -n $N -- sh -c 'echo a; echo b >&2' 2>/dev/null)" a
check "attach: container=lxc" is "$(lxc-attach -P "$L" -n $N --clear-env -- sh -c 'echo $container')" lxc
check "attach: -v sets" is "$(lxc-attach -P "$L" -n $N -v A=b=c -- sh -c 'echo $A')" b=c
check "attach: fds are 0 1 2 (and ls's own)" is "$(lxc-attach -P "$L" -n $N -- ls /proc/self/fd | tr '\n' ' ')" "0 1 2 3 "
check "attach: caller's fds stay out" is "$(lxc-attach -P "$L" -n $N -- ls /proc/self/fd 7</dev/null | tr '\n' ' ')" "0 1 2 3 "
check "attach: it is in the instance's cgroups" like "$(lxc-attach -P "$L" -n $N -s PID -R -- grep -c lxc.payload.$N /proc/self/cgroup 2>&1; lxc-attach -P "$L" -n $N -- cat /proc/self/cgroup)" ':/$'

# ---- freeze ----
check "freeze" lxc-freeze -P "$L" -n $N
check "it is FROZEN" is "$(state)" FROZEN
check_not "attach to a frozen one fails and does not wait" timeout 60 lxc-attach -P "$L" -n $N -- true
check "wait sees FROZEN" lxc-wait -P "$L" -n $N -s FROZEN -t 1
check "unfreeze" lxc-unfreeze -P "$L" -n $N
check "it is RUNNING again" is "$(state)" RUNNING

# ---- reboot ----
monitor=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/$N/state)
check "lxc-stop -r reboots" lxc-stop -P "$L" -n $N -r -t 30
check "it is RUNNING after the reboot" is "$(state)" RUNNING
again=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/$N/state)
check "with the same monitor" is "$again" "$monitor"
check "and another init" test "$(lxc-info -P "$L" -n $N -pH)" != "$pid"
pid=$(lxc-info -P "$L" -n $N -pH)
check "reboot from inside" sh -c "lxc-attach -P $L -n $N -- reboot -f; true"
changed() { p=$(lxc-info -P "$L" -n $N -pH) && [ -n "$p" ] && [ "$p" != "$pid" ]; }
check "has another init soon" eventually 30 changed

# ---- a frozen one can be stopped ----
lxc-freeze -P "$L" -n $N
check "stop -k of a frozen one" lxc-stop -P "$L" -n $N -k
check "it is STOPPED" is "$(state)" STOPPED
check "no run directory is left" is "$(ls "$BIVALVE_RUN"/*/ 2>/dev/null)" ""
check "no cgroup is left" is "$(find /sys/fs/cgroup -maxdepth 3 -name 'lxc.*.'$N 2>/dev/null)" ""

# ---- clean stop, and power off from inside ----
lxc-start -P "$L" -n $N
check "clean stop" lxc-stop -P "$L" -n $N -t 30
check "it is STOPPED" is "$(state)" STOPPED
lxc-start -P "$L" -n $N
lxc-attach -P "$L" -n $N -- poweroff -f
check "power off from inside" eventually 30 in_state STOPPED $N

# ---- an init that has just begun hears no signal: it is asked when it does ----
lxc-start -P "$L" -n $N -- /bin/sh -c 'sleep 2; exec /sbin/init'
check "a reboot of an init that is slow to begin" timeout 60 lxc-stop -P "$L" -n $N -r -t 30
check "its clean stop" timeout 60 lxc-stop -P "$L" -n $N --nokill -t 30
lxc-start -P "$L" -n $N -- /bin/sleep 1000
check_not "an init that hears nothing does not stop" timeout 30 lxc-stop -P "$L" -n $N --nokill -t 1
check "it is killed at the end of the time" timeout 30 lxc-stop -P "$L" -n $N -t 1
check "it is STOPPED" is "$(state)" STOPPED

# ---- foreground, execute ----
check "lxc-start -F ends with its init" timeout 60 lxc-start -P "$L" -n $N -F -- /bin/true
lxc-start -P "$L" -n $N -F -- /bin/sh -c 'exit 3' >/dev/null 2>&1
check "and is 0 whatever init said" is $? 0
lxc-execute -P "$L" -n $N -- sh -c 'exit 5'
check "lxc-execute: the command's code" is $? 5
lxc-execute -P "$L" -n $N -- sh -c 'kill -KILL $$'
check "lxc-execute: 128 + signal" is $? 137
check "lxc-execute: redirections hold" is "$(echo in | lxc-execute -P "$L" -n $N -- cat)" in
check "lxc-execute: the command is pid 2" is "$(lxc-execute -P "$L" -n $N -- sh -c 'echo $$')" 2
lxc-execute -P "$L" -n $N -- /nowhere 2>"$TMPDIR/err"
check "lxc-execute: not found fails" test $? -ne 0
check "and the first line says what" like "$(head -n 1 "$TMPDIR/err")" '/nowhere'

# ---- a start that fails says why ----
lxc-start -P "$L" -n $N -s lxc.init.cmd=/sbin/nothing 2>"$TMPDIR/err"
check "a start without its init fails" test $? -ne 0
check "the first line names it" like "$(head -n 1 "$TMPDIR/err")" '/sbin/nothing'
check "it is STOPPED" is "$(state)" STOPPED
lxc-start -P "$L" -n $N -s lxc.rootfs.path=/no/where 2>"$TMPDIR/err"
check "a start without its rootfs names it" like "$(head -n 1 "$TMPDIR/err")" '/no/where'
lxc-start -P "$L" -n nobody 2>"$TMPDIR/err"
check "an unknown instance is named" like "$(head -n 1 "$TMPDIR/err")" 'nobody'
check "no cgroup is left by failures" is "$(find /sys/fs/cgroup -maxdepth 3 -name 'lxc.*.'$N 2>/dev/null)" ""

# ---- paths on the command line are the caller's ----
(cd "$TMPDIR" && lxc-start -P "$L" -n $N -p pid.file -L console.log)
check "a relative pid file is where the caller is" is "$(cat "$TMPDIR/pid.file")" \
	"$(sed -n 's/^monitor //p' "$BIVALVE_RUN"/*/$N/state)"
check "and so is the console's log" test -f "$TMPDIR/console.log"
lxc-stop -P "$L" -n $N -k
check "the pid file goes with the monitor" eventually 30 test ! -e "$TMPDIR/pid.file"

# What -p names may be a device: it is written to, and not replaced nor removed.
mknod "$TMPDIR/full" c 1 7
mknod "$TMPDIR/null" c 1 3
check_not "a pid file that cannot be written" lxc-start -P "$L" -n $N -p "$TMPDIR/full"
check "a pid file for nobody" lxc-start -P "$L" -n $N -p "$TMPDIR/null"
lxc-stop -P "$L" -n $N -k
check "devices stay what they are" is "$(stat -c %F "$TMPDIR/full" "$TMPDIR/null" | sort -u)" "character special file"
check "/dev/stdout as well" is "$(lxc-start -P "$L" -n $N -p /dev/stdout)" \
	"$(sed -n 's/^monitor //p' "$BIVALVE_RUN"/*/$N/state)"
lxc-stop -P "$L" -n $N -k
rm "$TMPDIR/full" "$TMPDIR/null"

# ---- init has ended, and the monitor has not done with it ----
monitor_of() { sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/$N/state; }
# late COMMAND...: its status, when it comes while the monitor is held up for a second
late() {
	lxc-start -P "$L" -n $N || return 1
	monitor=$(monitor_of)
	kill -STOP "$monitor"
	pid=$(lxc-info -P "$L" -n $N -pH)
	kill -9 "$pid"
	# It dies in its own time, and runs until then.
	eventually 30 grep -q '^State:.Z' "/proc/$pid/status" || return 1
	(sleep 1; kill -CONT "$monitor") &
	timeout 60 "$@" >"$TMPDIR/err" 2>&1
	late=$?
	wait $!
	return $late
}
check "a start waits for the end of the last run" late lxc-start -P "$L" -n $N
check "and is one" is "$(cat "$TMPDIR/err")$(state)" RUNNING
lxc-stop -P "$L" -n $N -k
late lxc-stop -P "$L" -n $N -k
check "after lxc-stop -k it is STOPPED" is "$(state)" STOPPED

# ---- kill -9 ----
lxc-start -P "$L" -n $N
monitor=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/$N/state)
pid=$(lxc-info -P "$L" -n $N -pH)
kill -9 "$monitor"
check "a killed monitor takes init along" eventually 30 test ! -d "/proc/$pid"
check "lxc-info says STOPPED" is "$(state)" STOPPED
check "it starts again" lxc-start -P "$L" -n $N
check "it is RUNNING" is "$(state)" RUNNING
kill -9 "$(lxc-info -P "$L" -n $N -pH)"
check "a killed init stops the instance" eventually 30 in_state STOPPED $N
no_cgroups() { [ -z "$(find /sys/fs/cgroup -maxdepth 3 -name 'lxc.*.'$N 2>/dev/null)" ]; }
check "no cgroup is left by kills" eventually 30 no_cgroups

# ---- a start that hangs ----
printf '#!/bin/sh\necho $$ >%s\nexec sleep 1000\n' "$TMPDIR/hook.pid" >"$TMPDIR/hook"
chmod +x "$TMPDIR/hook"
timeout 120 lxc-start -P "$L" -n $N -s "lxc.hook.pre-start=$TMPDIR/hook" 2>/dev/null &
check "a start in its hook is STARTING" eventually 30 in_state STARTING $N
eventually 30 test -s "$TMPDIR/hook.pid"
check "stop -k ends it" timeout 60 lxc-stop -P "$L" -n $N -k
wait $!
check "the start failed" test $? -ne 0
check "it is STOPPED" is "$(state)" STOPPED
check "nothing is left of it" is "$(ls "$BIVALVE_RUN"/*/ 2>/dev/null)$(find /sys/fs/cgroup -maxdepth 3 -name 'lxc.*.'$N 2>/dev/null)" ""
check "the hook ended with it" eventually 30 test ! -e "/proc/$(cat "$TMPDIR/hook.pid")/exe"
rm -f "$TMPDIR/hook" "$TMPDIR/hook.pid"

# ---- every step of a start can fail, and nothing stays ----
for step in state pre-start prepare spawn idmap network setup start-host exec engine facts namespaces pidfile running; do
	if BIVALVE_FAIL_STEP=$step lxc-start -P "$L" -n $N 2>"$TMPDIR/err"; then
		check "step $step was made to fail" false
		lxc-stop -P "$L" -n $N -k
	else
		check "step $step fails cleanly" is "$(state) $(ls "$BIVALVE_RUN"/*/ 2>/dev/null)$(find /sys/fs/cgroup -maxdepth 3 -name 'lxc.*.'$N 2>/dev/null)" "STOPPED "
	fi
done

rm -rf "$L" "$TMPDIR/rootfs" "$TMPDIR/err" "$TMPDIR/console.log"
done_testing
