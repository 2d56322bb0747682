# SPDX-License-Identifier: LGPL-2.1-or-later
# A VM dies in every way: its processes killed, a guest that panics or halts, a kernel that does not boot, a QMP that
# answers nonsense. The state is true within two seconds, nothing is left, and the next start works.
# timeout: 1200
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/vm.inc
. "$BV_SRC/tests/vm.inc"

L=$TMPDIR/lxc
N=vmdeath$$
busybox_rootfs "$TMPDIR/rootfs"
ip link add vmbr0 type bridge
ip link set vmbr0 up
instance "$L" $N "$TMPDIR/rootfs" "lxc.net.0.type = veth" "lxc.net.0.link = vmbr0" "lxc.net.0.flags = up" \
	"lxc.console.logfile = $TMPDIR/console" "engine = vm" "vm.kernel = $(kernel -cloud-amd64)" "vm.memory = 192M" "vm.cpus = 1"

state() { lxc-info -P "$L" -n $N -sH; }
in_state() { [ "$(state)" = "$1" ]; }
inside() { lxc-attach -P "$L" -n $N -- "$@"; }
supervisor() { lxc-info -P "$L" -n $N -pH; }
child_called() {
	for pid in $(cat "/proc/$(supervisor)/task/$(supervisor)/children"); do
		case $(readlink "/proc/$pid/exe" 2>/dev/null) in *"$1"*) echo "$pid" ;; esac
	done | head -n 1
}
monitor() { sed -n 's/^monitor //p' "$BIVALVE_RUN"/*/$N/state; }
links() { ip -o link show master vmbr0; }
no_links() { [ -z "$(links)" ]; }
no_processes() { ! pgrep -f "guest=$N" >/dev/null && ! pgrep virtiofsd >/dev/null; }
no_cgroups() { [ -z "$(find /sys/fs/cgroup -type d -name "lxc.payload.$N")" ]; }

remove_all() { for dir; do [ ! -d "$dir" ] || rmdir "$dir" 2>/dev/null || return 1; done; }

# gone WHAT: two seconds after it, nothing is there
gone() {
	check "$1: STOPPED within two seconds" eventually 2 in_state STOPPED
	check "$1: the processes are gone" eventually 2 no_processes
	check "$1: the tap is gone" eventually 2 no_links
}

start() { check "$1: it starts" lxc-start -P "$L" -n $N; }

start "QEMU killed"
kill -9 "$(child_called qemu-system)"
gone "QEMU killed"
check "QEMU killed: its cgroups are gone" eventually 2 no_cgroups

start "file server killed"
kill -9 "$(child_called virtiofsd)"
gone "file server killed"

start "supervisor killed"
kill -9 "$(supervisor)"
gone "supervisor killed"

start "monitor killed"
kill -9 "$(monitor)"
gone "monitor killed"

start "guest panic"
inside sh -c 'echo 1 >/proc/sys/kernel/sysrq; (sleep 0.3; echo c >/proc/sysrq-trigger) & exit 0'
# It is from the panic on that the time counts.
panicked() { grep -q 'Kernel panic' "$TMPDIR/console" || in_state STOPPED; }
eventually 60 panicked
gone "guest panic"

start "QEMU stopped"
qemu=$(child_called qemu-system)
kill -STOP "$qemu"
check_not "QMP that hangs: a sentence, no hanging" timeout 60 lxc-vm-monitor -P "$L" -n $N query-status
check "QMP that hangs: lxc-stop -k ends it" lxc-stop -P "$L" -n $N -k
gone "QMP that hangs"

# What the v1 freezer holds dies when it is thawed; by v2 it dies at once, while its supervisor is frozen. Where the host
# has both, the instance is made to be without the first.
start "QEMU killed while frozen"
v1=$(sed -n 's|^cgroup freezer freezer \([^ ]*\) \([^ ]*\) \([^ ]*\) .*|\1/\2 \1/\3|p' "$BIVALVE_RUN"/*/$N/state)
sed -i '/^cgroup freezer /d' "$BIVALVE_RUN"/*/$N/state
if grep -q '^cgroup [^ ]* unified ' "$BIVALVE_RUN"/*/$N/state; then
	qemu=$(child_called qemu-system)
	check "QEMU killed while frozen: FROZEN before" lxc-freeze -P "$L" -n $N
	check "QEMU killed while frozen: FROZEN before" in_state FROZEN
	kill -9 "$qemu"
else
	skip "QEMU killed while frozen" "there is no cgroup v2"
	lxc-stop -P "$L" -n $N -k
fi
gone "QEMU killed while frozen"
# shellcheck disable=SC2086
check "QEMU killed while frozen: what it was made to be without is empty" eventually 2 remove_all $v1

start "halt"
inside halt
check "a guest that halts without power-off is STOPPED" eventually 60 in_state STOPPED

# ---- while it boots ----
has_processes() { grep -q '^init ' "$BIVALVE_RUN"/*/$N/state 2>/dev/null; }
boots() {
	lxc-start -P "$L" -n $N 2>"$TMPDIR/err" &
	starting=$!
	check "$1: its state names its processes" eventually 30 has_processes
}
boots "stopped while it boots"
check "stopped while it boots: at once" timeout 2 lxc-stop -P "$L" -n $N -k
check_not "stopped while it boots: the start fails" wait $starting
gone "stopped while it boots"
boots "monitor killed while it boots"
kill -9 "$(monitor)"
check_not "monitor killed while it boots: the start fails" wait $starting
gone "monitor killed while it boots"

# ---- starts that fail: one sentence, and nothing is left ----
fails_with() {
	what=$1 pattern=$2
	shift 2
	lxc-start -P "$L" -n $N "$@" 2>"$TMPDIR/err"
	check "$what fails" test $? -ne 0
	check "$what: the first line says why" like "$(head -n 1 "$TMPDIR/err")" "$pattern"
	check "$what: STOPPED" in_state STOPPED
	check "$what: nothing is left" eventually 2 no_processes
	check "$what: no link is left" eventually 2 no_links
}
head -c 100000 /dev/urandom >"$TMPDIR/noise"
fails_with "a kernel that is none" 'noise' -s "vm.kernel = $TMPDIR/noise"
fails_with "a kernel that is not there" '/nowhere' -s "vm.kernel = /nowhere/vmlinuz"
fails_with "an init that is not there" '/no/such/init' -s "lxc.init.cmd = /no/such/init"
fails_with "a mount that cannot be" 'nosuchfs' -s "lxc.mount.entry = none mnt nosuchfs defaults 0 0"
fails_with "KVM where there is none" 'kvm' -s "vm.accel = kvm"
fails_with "a QEMU that refuses" 'nosuchmachine' -s "vm.machine = nosuchmachine"
fails_with "a namespace to share" 'lxc.namespace.share' -s "lxc.namespace.share.net = 1"
fails_with "a bridge that is not there" 'nosuchbr' -s "lxc.net.0.link = nosuchbr"

# ---- a fault in each of the engine's steps ----
for step in prepare terminals network spawn start-host boot facts running; do
	BIVALVE_FAIL_STEP=$step lxc-start -P "$L" -n $N 2>/dev/null
	check "fault in step $step: it fails" test $? -ne 0
	check "fault in step $step: STOPPED" eventually 2 in_state STOPPED
	check "fault in step $step: nothing is left" eventually 2 no_processes
	check "fault in step $step: no link is left" eventually 2 no_links
done
start "after all that"
check "it stops" lxc-stop -P "$L" -n $N -k
gone "after all that"

ip link del vmbr0
rm -rf --one-file-system "$L" "$TMPDIR/rootfs" "$TMPDIR/noise" "$TMPDIR/err" "$TMPDIR/console"
done_testing
