# SPDX-License-Identifier: LGPL-2.1-or-later
# Many at once, and often: nothing hangs, nothing is lost, nothing grows.
# timeout: 600
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"

BIVALVE_RUN=$TMPDIR/run
export BIVALVE_RUN
L=$TMPDIR/lxc R=$TMPDIR/rootfs BR=bvstress0
trap 'cd /; ip link del $BR 2>/dev/null; rm -rf --one-file-system "$TMPDIR"/*' EXIT
ip link add $BR type bridge && ip link set $BR up
busybox_rootfs "$R"
veth="lxc.net.0.type = veth
lxc.net.0.link = $BR
lxc.net.0.flags = up"
instance "$L" one "$R" "lxc.net.0.type = empty"
instance "$L" wired "$R" "$veth"

# No command may hang: that is 124, which no test expects.
t() { timeout -k 1 60 "$@"; }
state() { t lxc-info -P "$L" -n "$1" -sH; }
in_state() { [ "$(state "$1")" = "$2" ]; }

# ---- the host, as it can be seen ----
host() {
	echo "mounts $(wc -l </proc/self/mountinfo)"
	echo "links $(ip -o link | wc -l)"
	echo "cgroups $(find /sys/fs/cgroup -type d -name 'lxc.*' | wc -l)"
	echo "run $(find "$BIVALVE_RUN" -mindepth 2 2>/dev/null | wc -l)"
	echo "hidden $(find "$L" -maxdepth 1 -name '.?*' | wc -l)"
	echo "processes $(pgrep -c 'init|lxc|sleep')"
}
before=$(host)
as_before() { [ "$(host)" = "$before" ]; }
host_as_before() { eventually 30 as_before || is "$(host)" "$before"; }

# ---- one after the other ----
# cycle NAME N STOP-OPTION...: N rounds; how many went wrong
cycle() {
	name=$1 left=$2 bad=0
	shift 2
	while [ "$left" -gt 0 ]; do
		t lxc-start -P "$L" -n "$name" && t lxc-stop -P "$L" -n "$name" "$@" || bad=$((bad + 1))
		left=$((left - 1))
	done
	is "$bad" 0
}
check "150 rounds of start and stop -k" cycle one 150 -k
check "40 with a veth on a bridge" cycle wired 40 -k
check "10 with a clean stop" cycle one 10 -t 30
check "the host is as before" host_as_before

# A service that starts and stops for a long time: its own fds stay as they are.
# They are listed without a pipe: the shell would still hold ends of it, or not, as ls looks.
long_lived() {
	ls "/proc/$$/fd" >"$TMPDIR/fds"
	for i in 1 2 3; do
		t lxc-start -P "$L" -n one && t lxc-attach -P "$L" -n one -- true && t lxc-stop -P "$L" -n one -k || return 1
	done
	ls "/proc/$$/fd" >"$TMPDIR/fds.after"
	cmp "$TMPDIR/fds" "$TMPDIR/fds.after"
}
check "the caller's fds are as before" long_lived
reboots() {
	t lxc-start -P "$L" -n wired || return 1
	monitor=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/wired/state)
	# A client leaves, and an old pair goes with its namespace, a moment after the reboot.
	things() {
		ls "/proc/$monitor/fd" | wc -l
		ip -o link | wc -l
	}
	memory() { awk '/^VmData/ { print $2 }' "/proc/$monitor/status"; }
	t lxc-stop -P "$L" -n wired -r -t 30 || return 1
	once=$(steady things) memory_once=$(memory)
	for i in $(seq 20); do
		t lxc-stop -P "$L" -n wired -r -t 30 || return 1
	done
	is "$(steady things)" "$once" || return 1
	# What the allocator keeps differs from one reboot to the next.
	grown=$(($(memory) - memory_once))
	[ "$grown" -lt 256 ] || { echo "the monitor's memory grew by $grown KiB"; return 1; }
}
check "reboots change neither the monitor's fds nor its memory" reboots
t lxc-stop -P "$L" -n wired -k
check "the host is as before the reboots" host_as_before

# ---- many at once ----
names=$(seq -f 'many%03g' 100)
for name in $names; do instance "$L" "$name" "$R" "$veth"; done
many() { printf '%s\n' $names | xargs -P 8 -I NAME timeout -k 1 60 "$@"; }
check "100 instances start, 8 at a time" many lxc-start -P "$L" -n NAME
check "100 are listed as RUNNING" is "$(t lxc-ls -P "$L" -1 --running | wc -l)" 100
check "with their state" is "$(t lxc-ls -P "$L" -f | grep -c RUNNING)" 100
check "100 stop, 8 at a time" many lxc-stop -P "$L" -n NAME -k
check "none is listed" is "$(t lxc-ls -P "$L" -1 --running)" ""
check "the host is as before the hundred" host_as_before
for name in $names; do rm -r "${L:?}/$name"; done

# ---- the same one ----
herd() {
	for i in $(seq 32); do
		(
			t lxc-start -P "$L" -n one >"$TMPDIR/herd.$i" 2>&1
			echo "status $?" >>"$TMPDIR/herd.$i"
		) &
	done
	wait
	silent=0 told=0 bad=0
	for i in $(seq 32); do
		case $(tr '\n' ' ' <"$TMPDIR/herd.$i") in
		"status 0 ") silent=$((silent + 1)) ;;
		*"already running"*"status 0 ") told=$((told + 1)) ;;
		*"in use"*"status 1 ") told=$((told + 1)) ;;
		*) bad=$((bad + 1)); cat "$TMPDIR/herd.$i" ;;
		esac
	done
	rm -f "$TMPDIR"/herd.*
	is "$silent started, $told told, $bad bad" "1 started, 31 told, 0 bad" && in_state one RUNNING
}
check "32 starts of one instance: one starts it, the others are told" herd
check "it stops" t lxc-stop -P "$L" -n one -k
check "the host is as before the herd" host_as_before

# ---- everything against everything, for 10 seconds ----
# racer COMMAND...: again and again until the time is over; a hang (124), a signal or a crash is written down.
racer() {
	while [ ! -e "$TMPDIR/over" ]; do
		t "$@" >/dev/null 2>"$TMPDIR/race.err.$1" </dev/null
		status=$?
		[ $status -lt 3 ] || { [ "$1" = lxc-attach ] && [ $status -gt 128 ]; } || echo "$*: $status" >>"$TMPDIR/race"
	done
	echo "$*" >>"$TMPDIR/raced"
}
racer lxc-start -P "$L" -n one &
racer lxc-start -P "$L" -n one -F &
racer lxc-stop -P "$L" -n one -k &
racer lxc-stop -P "$L" -n one -t 1 &
racer lxc-info -P "$L" -n one &
racer lxc-ls -P "$L" -f &
racer lxc-attach -P "$L" -n one -- true &
racer lxc-freeze -P "$L" -n one &
racer lxc-unfreeze -P "$L" -n one &
racer lxc-wait -P "$L" -n one -s 'RUNNING|STOPPED' -t 1 &
sleep 10
touch "$TMPDIR/over"
# The one in the foreground ends with its instance, which it may be starting only now.
raced() {
	t lxc-stop -P "$L" -n one -k >/dev/null 2>&1
	[ "$(wc -l <"$TMPDIR/raced")" = 10 ]
}
: >>"$TMPDIR/raced"
eventually 120 raced
wait
check "10 s of races: no hang, no crash" is "$(sort "$TMPDIR/race" 2>/dev/null | uniq -c)" ""
t lxc-stop -P "$L" -n one -k >/dev/null 2>&1
check "it is STOPPED in the end" eventually 30 in_state one STOPPED
check "the host is as before the races" host_as_before
check "it still starts" t lxc-start -P "$L" -n one
check "and stops" t lxc-stop -P "$L" -n one -k

done_testing
