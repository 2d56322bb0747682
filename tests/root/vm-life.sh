# SPDX-License-Identifier: LGPL-2.1-or-later
# An instance's life as a VM: start, attach, console, freeze, reboot, stop, and back to a container with its files.
# timeout: 1200
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/pty.inc
. "$BV_SRC/tests/pty.inc"
# shellcheck source=tests/vm.inc
. "$BV_SRC/tests/vm.inc"
# shellcheck source=tests/vm/jail.inc
. "$BV_SRC/tests/vm/jail.inc"

L=$TMPDIR/lxc
N=vm$$
export L N
busybox_rootfs "$TMPDIR/rootfs"
mkdir -p "$TMPDIR/shared"
echo from the host >"$TMPDIR/shared/file"
ip link add vmbr0 type bridge
ip addr add 10.77.0.1/24 dev vmbr0
ip link set vmbr0 up
instance "$L" $N "$TMPDIR/rootfs" "lxc.tty.max = 1" "lxc.console.logfile = $TMPDIR/console.log" \
	"lxc.net.0.type = veth" "lxc.net.0.link = vmbr0" "lxc.net.0.flags = up" "lxc.net.0.hwaddr = 10:66:6a:00:00:07" \
	"lxc.net.0.ipv4.address = 10.77.0.7/24" "lxc.net.0.ipv4.gateway = auto" \
	"lxc.mount.entry = $TMPDIR/shared mnt/shared none bind,ro,create=dir 0 0" \
	"lxc.mount.entry = tmpfs mnt/scratch tmpfs size=1M,create=dir 0 0" \
	"lxc.sysctl.net.ipv4.ip_forward = 1" "lxc.prlimit.nofile = 1234" "lxc.environment = COLOUR=blue" \
	"lxc.cap.drop = sys_time" "vm.kernel = $(kernel -cloud-amd64)" "vm.memory = 192M"

state() { lxc-info -P "$L" -n $N -sH; }
in_state() { [ "$(state)" = "$1" ]; }
inside() { lxc-attach -P "$L" -n $N -- "$@"; }
supervisor() { lxc-info -P "$L" -n $N -pH; }
children() { cat "/proc/$(supervisor)/task/$(supervisor)/children"; }
child_called() {
	for pid in $(children); do
		case $(readlink "/proc/$pid/exe" 2>/dev/null) in *"$1"*) echo "$pid" ;; esac
	done
}

# ---- before ----
check "the command line can be looked at" lxc-start -P "$L" -n $N --vm --print-command
check "it is QEMU's" like "$(lxc-start -P "$L" -n $N --vm --print-command)" '^-device virtio-net-pci.*mac=10:66:6a:00:00:07'
check_not "a container has none" lxc-start -P "$L" -n $N --print-command

# ---- as a container ----
check "it starts as a container" lxc-start -P "$L" -n $N
check "the engine is container" like "$(lxc-info -P "$L" -n $N)" '^Engine: +container$'
check "it writes a file" inside sh -c 'echo written by a container >/root/a; chown 7:8 /root/a; chmod 640 /root/a'
check "it has its address" like "$(lxc-info -P "$L" -n $N -iH)" '^10\.77\.0\.7$'
check_not "a start as a VM does not take it for one" lxc-start -P "$L" -n $N --vm
check "and says what it is" like "$(lxc-start -P "$L" -n $N --vm 2>&1)" "$N already runs, as a container"
check "it stops" lxc-stop -P "$L" -n $N -k

# ---- as a VM ----
check "it starts as a VM" lxc-start -P "$L" -n $N --vm -l trace -o "$TMPDIR/log"
check "it is RUNNING" is "$(state)" RUNNING
check "lxc-info tells the engine" like "$(lxc-info -P "$L" -n $N)" '^Engine: +vm \(qemu, tcg\)$'
check "so does lxc-ls" like "$(lxc-ls -P "$L" -f -F NAME,ENGINE)" "^$N +vm \(qemu, tcg\)"
check "attach works as soon as start returned" inside true
check "it has a kernel of its own" fails is "$(inside uname -r)" "$(uname -r)"
check "the file is there" is "$(inside cat /root/a)" "written by a container"
check "with its owner and mode" is "$(inside stat -c '%u:%g %a' /root/a)" "7:8 640"
check "it writes one too" inside sh -c 'echo written by a VM >/root/b; chown 9:10 /root/b'
check "its host name" is "$(inside hostname)" $N
check "pid 1 is the instance's init" like "$(inside cat /proc/1/cmdline | tr '\0' ' ')" init
check "a bind mount of the host is there" is "$(inside cat /mnt/shared/file)" "from the host"
check_not "and read-only" inside touch /mnt/shared/x
check "a tmpfs too" inside touch /mnt/scratch/x
check "sysctl" is "$(inside cat /proc/sys/net/ipv4/ip_forward)" 1
check "limits of init" like "$(inside grep 'open files' /proc/1/limits)" ' 1234 +1234 '
check "environment of init" like "$(inside cat /proc/1/environ | tr '\0' '\n')" '^COLOUR=blue$'
check "dropped capabilities of init" is "$((0x$(inside awk '/^CapBnd/ { print $2 }' /proc/1/status) >> 25 & 1))" 0

# ---- network ----
has_address() { [ "$(lxc-info -P "$L" -n $N -iH)" = 10.77.0.7 ]; }
check "lxc-info shows the same address" eventually 60 has_address
check "lxc-ls -f as well" like "$(lxc-ls -P "$L" -f)" "^$N +RUNNING .* 10\.77\.0\.7"
check "the host reaches it" busybox ping -c 1 -W 30 10.77.0.7
check "it reaches the host" inside ping -c 1 -W 30 10.77.0.1
check "the same MAC inside" is "$(inside cat /sys/class/net/eth0/address)" 10:66:6a:00:00:07
check "the default route" like "$(inside ip route)" '^default via 10\.77\.0\.1 dev eth0'
check "traffic is counted" like "$(lxc-info -P "$L" -n $N -S)" 'TX bytes: +[1-9]'
check "CPU and memory are told" like "$(lxc-info -P "$L" -n $N -S | tr '\n' ' ')" 'CPU use:.*Memory use: +[0-9.]+ MiB'

# ---- attach ----
inside sh -c 'exit 7'
check "the command's code" is $? 7
inside sh -c 'kill -TERM $$'
check "128 + signal" is $? 143
inside /nowhere 2>/dev/null
check "not found is 127" is $? 127
inside /etc/passwd 2>/dev/null
check "not executable is 126" is $? 126
check "the error says what" like "$(inside /nowhere 2>&1)" 'cannot execute /nowhere: No such file'
check "standard input goes in" is "$(echo hello | inside cat)" hello
check "stderr stays apart" is "$(inside sh -c 'echo a; echo b >&2' 2>/dev/null)" a
check "-v sets" is "$(lxc-attach -P "$L" -n $N -v A=b=c -- sh -c 'echo $A')" b=c
check "-u takes a user" is "$(lxc-attach -P "$L" -n $N -u 12 -g 13 -- sh -c 'id -u; id -g' | tr '\n' ' ')" "12 13 "
check "a megabyte comes out whole" is "$(inside dd if=/dev/zero bs=64k count=16 2>/dev/null | wc -c)" 1048576
check "and goes in" is "$(head -c 1000000 /dev/zero | inside wc -c)" 1000000
# shellcheck disable=SC2016
check "ten at once" sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do
	lxc-attach -P "$1" -n "$2" -- sh -c "sleep 0.2; exit $i" & pids="$pids $!"; done
	i=1; for pid in $pids; do wait $pid; [ $? = $i ] || exit 1; i=$((i + 1)); done' sh "$L" $N
check_not "namespaces are refused" lxc-attach -P "$L" -n $N -s NETWORK -- true

# ---- terminals ----
# size TERMINAL ROWS COLUMNS: it has that size inside, or gets it. Nobody there has it open.
cat >"$TMPDIR/size" <<-'END'
	for i in 1 2 3 4 5 6 7 8 9 10; do
		is=$(lxc-attach -P "$L" -n "$N" -- stty -F "$1" size)
		[ "$is" != "$2 $3" ] || exit 0
		sleep 0.1
	done
	echo "$1 has $is"
	exit 1
END
drive "a tty follows the size of the window" lxc-console -P "$L" -n $N -t 1 <<-END
	size 33 101
	expect Type
	run sh $TMPDIR/size /dev/tty1 33 101
	size 34 102
	run sh $TMPDIR/size /dev/tty1 34 102
	send \x01q
	end 0
END
check "it keeps it afterwards" sh "$TMPDIR/size" /dev/tty1 34 102
drive "until the next user comes" lxc-console -P "$L" -n $N -t 1 <<-END
	expect Type
	run sh $TMPDIR/size /dev/tty1 24 80
	send \x01q
	end 0
END
drive "the console has its own" lxc-console -P "$L" -n $N -t 0 <<-END
	size 35 103
	expect Type
	run sh $TMPDIR/size /dev/console 35 103
	run sh $TMPDIR/size /dev/tty1 24 80
	send \x01q
	end 0
END

# ---- the machine's monitor ----
check "QMP" like "$(lxc-vm-monitor -P "$L" -n $N '{"execute":"query-kvm"}')" '"enabled": false'
check "a bare command" like "$(lxc-vm-monitor -P "$L" -n $N query-status)" '"status": "running"'
check "HMP" like "$(lxc-vm-monitor -P "$L" --hmp -n $N info registers)" 'RFL='
check "HMP's help" like "$(lxc-vm-monitor -P "$L" --hmp -n $N help)" 'info '
check "an unknown command is explained" like "$(lxc-vm-monitor -P "$L" -n $N no-such-thing 2>&1)" 'no-such-thing'
check_not "and is a failure" lxc-vm-monitor -P "$L" -n $N no-such-thing

# ---- the jail ----
check "the socket is closed to others" is "$(stat -c %a "$BIVALVE_RUN"/*/$N/vm)" 600
check "its processes are jailed" check_jail "$(child_called qemu-system)" "$(child_called virtiofsd | head -n 1)"
check "its supervisor leads to nothing of the host" check_supervisor "$(supervisor)"
check_not "the checker finds fault with the test itself" check_supervisor $$

# ---- freeze ----
check "freeze" lxc-freeze -P "$L" -n $N
check "it is FROZEN" is "$(state)" FROZEN
check_not "attach to a frozen one fails and does not wait" timeout 30 lxc-attach -P "$L" -n $N -- true
drive "a window that changes meanwhile holds nobody up" lxc-console -P "$L" -n $N -t 1 <<-END
	expect Type
	size 36 104
	timeout 2
	send \x01q
	end 0
END
check "unfreeze" lxc-unfreeze -P "$L" -n $N
check "it is RUNNING again" is "$(state)" RUNNING
check "and does what it is told" inside true
check "the tty has the size that it was given" sh "$TMPDIR/size" /dev/tty1 36 104
before=$(date +%s) there=$(inside date +%s) after=$(date +%s)
check "its clock is right" test "$there" -ge $((before - 2)) -a "$there" -le $((after + 2))

# ---- one rootfs, one engine ----
instance "$L" other$$ "$TMPDIR/rootfs"
check_not "another instance cannot use its rootfs" lxc-start -P "$L" -n other$$
check "it is told who does" like "$(lxc-start -P "$L" -n other$$ 2>&1)" 'in use by an instance that runs as a VM'
check "a second start finds it running" like "$(lxc-start -P "$L" -n $N --vm 2>&1)" 'already running'
check "as one without an engine does" lxc-start -P "$L" -n $N
check_not "a start as a container does not take it for one" lxc-start -P "$L" -n $N --container
check "and says what it is" like "$(lxc-start -P "$L" -n $N --container 2>&1)" "$N already runs, as a VM"

# ---- reboot ----
boot_id=$(inside cat /proc/sys/kernel/random/boot_id)
rebooted() {
	id=$(inside cat /proc/sys/kernel/random/boot_id 2>/dev/null) && [ "$id" != "$boot_id" ]
}
check "lxc-stop -r" lxc-stop -P "$L" -n $N -r
check "it has booted anew" eventually 180 rebooted
boot_id=$(inside cat /proc/sys/kernel/random/boot_id)
inside reboot
check "so it does after reboot inside" eventually 180 rebooted
check "it is RUNNING" is "$(state)" RUNNING
check "the console was logged" grep -q . "$TMPDIR/console.log"

# ---- stop ----
check "lxc-stop" lxc-stop -P "$L" -n $N -t 120 --nokill
check "it is STOPPED" is "$(state)" STOPPED
check "QEMU is gone" fails pgrep -f "guest=$N"
check "the tap is gone" is "$(ip -o link show master vmbr0)" ""

# ---- a container again ----
check "it is a container again" lxc-start -P "$L" -n $N --container
check "the VM's file is there, as its owner's" is "$(inside sh -c 'cat /root/b; stat -c %u:%g /root/b' | tr '\n' ' ')" \
	"written by a VM 9:10 "
check "the same address" like "$(lxc-info -P "$L" -n $N -iH)" '^10\.77\.0\.7$'
check_not "a VM cannot take its rootfs" lxc-start -P "$L" -n other$$ --vm -s vm.kernel="$(kernel -cloud-amd64)"
check "it stops" lxc-stop -P "$L" -n $N -k

# ---- execute ----
lxc-execute -P "$L" -n $N --vm -- sh -c 'exit 9' >"$TMPDIR/out" 2>&1
check "lxc-execute: the command's code" is $? 9
# What is printed last comes out, however fast its end: not a line is lost between the guest's console and ours.
lines() {
	for _ in 1 2 3; do
		lxc-execute -P "$L" -n $N --vm -- seq 300 >"$TMPDIR/out" 2>/dev/null || return 1
		is "$(tr -d '\r' <"$TMPDIR/out" | grep -cE '^[0-9]+$')" 300 || return 1
	done
}
check "lxc-execute: all of its output" lines
check_not "lxc-execute: what is not there" lxc-execute -P "$L" -n $N --vm -- /nowhere
check "is named in the first line" like "$(lxc-execute -P "$L" -n $N --vm -- /nowhere 2>&1 | grep -m 1 lxc-execute)" \
	'cannot execute /nowhere: No such file'

# ---- a guest that does not boot ----
check "too little memory is told" like "$(lxc-start -P "$L" -n $N --vm -s vm.memory=32M 2>&1)" 'vm.memory = 96M is enough'
check "a panic's own words are told" \
	like "$(lxc-start -P "$L" -n $N --vm -s vm.cmdline=rdinit=/nowhere 2>&1)" 'Kernel panic - not syncing'

# ---- a monitor that cannot end yet, as its terminal takes no more ----
mkfifo "$TMPDIR/stuck"
exec 3<>"$TMPDIR/stuck"
dd if=/dev/zero of="$TMPDIR/stuck" bs=4096 count=64 oflag=nonblock 2>/dev/null
lxc-execute -P "$L" -n $N --vm -- sh -c 'sleep 1; echo unseen' >"$TMPDIR/stuck" 2>/dev/null &
stuck=$!
lxc-wait -P "$L" -n $N -s RUNNING -t 60
check "its VM is STOPPED" lxc-wait -P "$L" -n $N -s STOPPED -t 60
check "it still is there" kill -0 $stuck
check "the rootfs is not held any more" lxc-start -P "$L" -n $N --container
kill $stuck
wait $stuck
exec 3>&-
rm "$TMPDIR/stuck"
check "it stops" lxc-stop -P "$L" -n $N -k

# ---- ephemeral ----
mkdir -p "$TMPDIR/eph"
cp -a "$TMPDIR/rootfs" "$TMPDIR/eph/rootfs"
instance "$L" eph$$ "$TMPDIR/eph/rootfs" "lxc.ephemeral = 1" "lxc.rootfs.managed = 0" \
	"vm.kernel = $(kernel -cloud-amd64)" "vm.memory = 192M"
check "an ephemeral one starts" lxc-start -P "$L" -n eph$$ --vm
# Init ends all processes, and poweroff may not be through by then.
check "its power-off from inside" lxc-attach -P "$L" -n eph$$ -- sh -c 'trap "" TERM; exec poweroff'
gone() { ! lxc-info -P "$L" -n eph$$ >/dev/null 2>&1; }
check "ends and destroys it" eventually 120 gone

ip link del vmbr0
rm -rf --one-file-system "$L" "$TMPDIR"/rootfs "$TMPDIR"/eph "$TMPDIR"/shared "$TMPDIR"/log "$TMPDIR"/out "$TMPDIR"/console.log \
	"$TMPDIR"/script "$TMPDIR"/size "$D"
done_testing
