# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Inside the test bed: Debian's own kernel, cgroup v2 alone, systemd, AppArmor. A busybox instance with limits, and a
# Debian one with systemd, on the bridge of lxc-net.
. "${BV_SRC:-.}/tests/lib.sh"
cg=/sys/fs/cgroup

state() { lxc-info -n "$1" -sH; }
in_state() { [ "$(state "$1")" = "$2" ]; }
inside() { lxc-attach -n "$@"; }
has_address() { lxc-info -n "$1" -iH | grep -q '^10\.0\.3\.'; }

check "the kernel has cgroup v2 alone" is "$(grep -c ' - cgroup ' /proc/self/mountinfo)" 0
check "AppArmor is on" is "$(cat /sys/module/apparmor/parameters/enabled)" Y
check "the commands are ours" is "$(command -v lxc-start)" "$BV_STAGE/bin/lxc-start"
check "lxc-checkconfig finds nothing missing that is needed" lxc-checkconfig
check "lxc-net starts" "$BV_STAGE/libexec/lxc/lxc-net" start
check "there is the bridge" test -d /sys/class/net/lxcbr0

# ---- busybox, with limits ----
check "create -t busybox" lxc-create -n bb -t busybox
config=$(lxc-config lxc.lxcpath)/bb/config
cat >>"$config" <<'END'
lxc.cgroup2.memory.max = 67108864
lxc.cgroup2.memory.swap.max = 0
lxc.cgroup2.pids.max = 40
lxc.cgroup2.cpu.max = 20000 100000
lxc.cgroup2.devices.deny = a
lxc.cgroup2.devices.allow = c *:* m
lxc.cgroup2.devices.allow = b *:* m
lxc.cgroup2.devices.allow = c 1:3 rwm
lxc.cgroup2.devices.allow = c 1:5 rwm
lxc.cgroup2.devices.allow = c 1:7 rwm
lxc.cgroup2.devices.allow = c 1:8 rwm
lxc.cgroup2.devices.allow = c 1:9 rwm
lxc.cgroup2.devices.allow = c 5:0 rwm
lxc.cgroup2.devices.allow = c 5:2 rwm
lxc.cgroup2.devices.allow = c 136:* rwm
END
grep -q '^lxc.apparmor.profile' "$config" || echo "lxc.apparmor.profile = generated" >>"$config"
check "it starts" lxc-start -n bb -l trace -o "$TMPDIR/bb.log"
check "it is RUNNING" is "$(state bb)" RUNNING
pid=$(lxc-info -n bb -pH)
payload=$cg$(sed -n 's/^0:://p' "/proc/$pid/cgroup")
echo "# payload cgroup: $payload"
check "its cgroup is lxc.payload.bb" like "$payload" 'lxc\.payload\.bb'
check "memory.max is set" is "$(cat "$payload/memory.max")" 67108864
check "pids.max is set" is "$(cat "$payload/pids.max")" 40
check "cpu.max is set" is "$(cat "$payload/cpu.max")" "20000 100000"
check "inside, its own cgroup is the root" is "$(inside bb -- cat /proc/self/cgroup)" "0::/"

# Looked at from the host: inside a policy namespace of its own a process sees only what is stacked there.
inside bb -- sleep 77 &
attached_label() { cat "/proc/$(pgrep -xf 'sleep 77')/attr/current"; }
has_label() { attached_label >/dev/null 2>&1; }
check "a command is attached" eventually 10 has_label
check "its label is a profile's" like "$(attached_label)" '^lxc-bb.*enforce'
kill "$(pgrep -xf 'sleep 77')"
check "init has the same" like "$(cat "/proc/$pid/attr/current")" '^lxc-bb.*enforce'

before=$(cat "$payload/pids.current")
inside bb -- sh -c 'for i in $(seq 60); do sleep 30 & done' >"$TMPDIR/forks" 2>&1
check "the fork past pids.max is refused" like "$(cat "$TMPDIR/forks")" 'fork'
check "pids.current stays within" test "$(cat "$payload/pids.current")" -le 40
# They count until init has reaped them, which has but a part of a slow CPU.
few_left() { [ "$(cat "$payload/pids.current")" -le $((before + 2)) ]; }
inside bb -- killall sleep >/dev/null 2>&1
check "they are gone" eventually 60 few_left
inside bb -- dd if=/dev/zero of=/dev/shm/big bs=1M count=100 >/dev/null 2>&1
check "memory past the limit is not had: killed" is $? 137
check "the kernel says why" test "$(awk '/^oom_kill /{print $2}' "$payload/memory.events")" -ge 1
inside bb -- rm -f /dev/shm/big
inside bb -- timeout 2 sh -c 'while :; do :; done'
check "the CPU is throttled" test "$(awk '/^nr_throttled/{print $2}' "$payload/cpu.stat")" -ge 1
# The disk that the VM lives on: a node may be made, but not opened.
disk=$(awk '/ vda$/{print $1, $2}' /proc/partitions)
check_not "a disk's node cannot be opened" inside bb -- sh -c "mknod /tmp/disk b $disk && dd if=/tmp/disk of=/dev/null count=1"
check "/dev/null can" inside bb -- sh -c 'echo x >/dev/null'
check_not "/proc/sys is not writable" inside bb -- sh -c 'echo 1 >/proc/sys/kernel/panic'
check_not "sysrq is not to be had" inside bb -- sh -c 'echo h >/proc/sysrq-trigger'

info=$(lxc-info -n bb)
check "info tells CPU use" like "$info" '^CPU use:'
check "info tells memory use" like "$info" '^Memory use:'
check "info tells the link" like "$info" '^Link:'
check "ls -f lists it" like "$(lxc-ls -f)" '^bb +RUNNING'

check "freeze" lxc-freeze -n bb
check "it is FROZEN" is "$(state bb)" FROZEN
check "the kernel agrees" is "$(cat "$payload/cgroup.freeze")" 1
check "unfreeze" lxc-unfreeze -n bb
check "it is RUNNING again" is "$(state bb)" RUNNING
inside bb -- sh -c 'exit 7'
check "attach passes the exit status on" is $? 7
check "stop" lxc-stop -n bb -t 20
check "it is STOPPED" is "$(state bb)" STOPPED
check "its cgroup is gone" test ! -e "$payload"
check "no profile is left loaded" test "$(grep -c '^lxc-bb' /sys/kernel/security/apparmor/profiles)" = 0
check "destroy" lxc-destroy -n bb

# ---- Debian with systemd ----
lxcpath=$(lxc-config lxc.lxcpath)
mkdir -p "$lxcpath/deb"
cat >"$lxcpath/deb/config" <<'END'
lxc.rootfs.path = dir:/srv/debian
lxc.uts.name = deb
lxc.net.0.type = veth
lxc.net.0.link = lxcbr0
lxc.net.0.flags = up
lxc.apparmor.profile = generated
lxc.apparmor.allow_nesting = 1
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.tty.max = 2
lxc.pty.max = 1024
lxc.cap.drop = mac_admin mac_override sys_time sys_module sys_rawio
END
lxc-start -n deb -l trace -o "$TMPDIR/deb.log" || {
	check "Debian starts" false
	tail -n 40 "$TMPDIR/deb.log" | sed 's/^/# /'
	done_testing
}
settled() { inside deb -- systemctl is-system-running 2>/dev/null | grep -qE '^(running|degraded)'; }
check "systemd settles" eventually 120 settled
running=$(inside deb -- systemctl is-system-running)
[ "$running" = running ] || inside deb -- systemctl --failed --no-legend --plain | sed 's/^/# failed unit: /'
check "no unit failed" is "$running" running
check "it has an address by DHCP" eventually 30 has_address deb
lxc-info -n deb | sed 's/^/# /'
check "systemd has the cgroup tree" like "$(inside deb -- cat /proc/1/cgroup)" '^0::/(init\.scope)?$'
check "a service may be started" inside deb -- systemd-run --wait --quiet true
check "reboot" lxc-stop -n deb -r
check "systemd settles again" eventually 120 settled
check "stop, by SIGRTMIN+3" lxc-stop -n deb -t 60 --nokill
check "it is STOPPED" is "$(state deb)" STOPPED
check "nothing is left of its cgroup" is "$(find $cg -maxdepth 2 -name 'lxc.*deb*')" ""

"$BV_STAGE/libexec/lxc/lxc-net" stop
check "the bridge goes" test ! -d /sys/class/net/lxcbr0
for f in "$TMPDIR/bb.log" "$TMPDIR/deb.log"; do
	[ "${tests_failed:-0}" = 0 ] || tail -n 40 "$f" | sed "s|^|# ${f##*/}: |"
done
done_testing
