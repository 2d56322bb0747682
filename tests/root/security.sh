# SPDX-License-Identifier: LGPL-2.1-or-later
# Entering a running instance: what a command gets, what it cannot reach. The instances are made by security_driver,
# of a busybox rootfs, one with and one without id maps.
# shellcheck disable=SC2016 # what is in single quotes is for the shell inside
. "${BV_SRC:-.}/tests/lib.sh"

driver=${BV_SECURITY_DRIVER:-$BV_BUILD/tests/root/security_driver}
[ -x "$driver" ] || skip_all "there is no $driver: make check"
busybox=$(command -v busybox) || skip_all "there is no busybox"
[ "$(id -u)" = 0 ] || skip_all "not root"

rootfs=$TMPDIR/rootfs
pids=
cleanup() {
	for p in $pids; do kill -9 "$p" 2>/dev/null; done
	rm -rf "$rootfs" "$TMPDIR"/*.conf "$TMPDIR"/out "$TMPDIR"/err "$TMPDIR"/policy "$TMPDIR"/sub
}
trap cleanup EXIT

chmod 755 "$TMPDIR" 2>/dev/null
mkdir -p "$rootfs/bin" "$rootfs/dev" "$rootfs/proc" "$rootfs/sys" "$rootfs/etc" "$rootfs/home" "$rootfs/tmp"
chmod 755 "$rootfs" "$rootfs/bin" "$rootfs/etc"
cp "$busybox" "$rootfs/bin/busybox"
for name in sh sleep cat ls id env grep tty echo stty readlink true kill mount umount hostname sort test touch; do
	ln -sf busybox "$rootfs/bin/$name"
done
echo 'not a program' >"$rootfs/bin/text"
chmod 755 "$rootfs/bin/text"
touch "$rootfs/bin/plain"
cat >"$rootfs/etc/passwd" <<END
root:x:0:0:root:/root:/bin/sh
none:x:1000:1000::/home:/no/such/shell
user:x:1001:1001::/home:/bin/busybox
END
echo 'lxc.net.0.type = none' >"$TMPDIR/plain.conf"
cat "$TMPDIR/plain.conf" - >"$TMPDIR/mapped.conf" <<END
lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 200000 65536
END
cat >"$TMPDIR/policy" <<END
2
denylist
reject_force_umount
[all]
setpriority errno 77
END
cat "$TMPDIR/plain.conf" - >"$TMPDIR/strict.conf" <<END
lxc.cap.keep = chown kill
lxc.no_new_privs = 1
lxc.seccomp.profile = $TMPDIR/policy
lxc.environment = FROM=config
END
sed -e '/no_new_privs/d' "$TMPDIR/strict.conf" >"$TMPDIR/filter.conf"

hold() { # CONFIG: a new instance, its pid in $pid
	pid=$("$driver" hold "$TMPDIR/$1.conf" "$rootfs") || return 1
	pids="$pids $pid"
	eventually 30 grep -q sleep "/proc/$pid/comm"
}
at() { # CONFIG [OPTION]... -- COMMAND...
	config=$1
	shift
	"$driver" attach "$TMPDIR/$config.conf" "$pid" "$@" </dev/null
}
out() { # the output, without carriage returns
	at "$@" 2>"$TMPDIR/err" | tr -d '\r'
}
status() { # WANT CONFIG...: the exit status
	want=$1
	shift
	at "$@" >"$TMPDIR/out" 2>"$TMPDIR/err"
	got=$?
	[ "$got" = "$want" ] || { echo "got $got, want $want"; cat "$TMPDIR/err"; return 1; }
}
field() { # NAME: of the status in $seen
	printf '%s\n' "$seen" | sed -n "s/^$1:[[:blank:]]*//p"
}

# ---- an instance without id maps ----
check "an instance runs" hold plain

check "the status is the command's" status 7 plain -- sh -c 'exit 7'
check "128 and the signal" status 143 plain -- sh -c 'kill -TERM $$'
check "127: not found" status 127 plain -- no-such-command
check "the reason names it" like "$(cat "$TMPDIR/err")" 'cannot execute no-such-command: No such file'
check "127: not found by its path" status 127 plain -- /bin/no-such-command
check "126: not executable" status 126 plain -- /bin/plain
check "126: not executable, found in PATH" status 126 plain clear -- plain
check "126: no program" status 126 plain -- /bin/text
check "126: a directory" status 126 plain -- /bin
check "no command: the shell of root" is "$(echo 'echo $0' | "$driver" attach "$TMPDIR/plain.conf" "$pid")" /bin/sh
check "a shell that is not there: /bin/sh" is \
	"$(echo 'echo $0' | "$driver" attach "$TMPDIR/plain.conf" "$pid" uid=1000 gid=1000)" /bin/sh
check "a user's own shell" like "$(out plain uid=1001)" BusyBox

check "pid namespace" like "$(out plain -- sh -c 'echo $$')" '^[0-9]{1,2}$'
check "hostname, so uts namespace" is "$(out plain -- hostname)" inside
check "twice in a row, from the same process" is "$(out plain twice -- hostname)" "inside
inside"
check "all namespaces are init's" is \
	"$(out plain -- sh -c 'for n in mnt pid uts ipc net cgroup; do readlink /proc/self/ns/$n; done')" \
	"$(for n in mnt pid uts ipc net cgroup; do readlink "/proc/$pid/ns/$n"; done)"
check "only those that were asked for" is "$(out plain ns=net -- sh -c 'readlink /proc/self/ns/net; readlink /proc/self/ns/mnt')" \
	"$(readlink "/proc/$pid/ns/net" /proc/self/ns/mnt)"
check "a fresh /proc without the mount namespace" like "$(out plain ns=pid sysproc -- cat /proc/1/comm)" '^sleep$'
check ".. and /sys with it" is "$(out plain ns=pid,net sysproc -- ls /sys/class/net)" lo
check "the host's /proc is as it was" test -e "/proc/$pid/comm"

# fds, signals, session: what leaks from the caller
check "no fds but 0, 1, 2" is "$(out plain -- sh -c 'for f in /proc/$$/fd/*; do test -e $f && echo ${f##*/}; done' 3</dev/null 9</dev/null)" "0
1
2"
seen=$(trap '' PIPE HUP; out plain -- grep Sig /proc/self/status)
check "no signal is ignored or blocked" is "$(field SigIgn) $(field SigBlk)" "0000000000000000 0000000000000000"
check "a session of its own" is "$(out plain -- sh -c 'sixth() { echo $6; }; sixth $(cat /proc/$$/stat); echo $$' | sort -u | grep -c .)" 1
check "no controlling terminal" is "$(out plain -- sh -c 'cat </dev/tty 2>/dev/null || echo none')" none

# environment
check "the caller's environment is kept" like "$(BV_X=y out plain -- env)" '^BV_X=y$'
check "a clear one" is "$(BV_X=y out plain clear -- sh -c 'env -u SHLVL -u PWD env | sort')" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
container=lxc"
check "kept and set variables" is "$(BV_X=y BV_Z=n out plain clear keep=BV_X set=A=b -- env | grep -E '^(BV_|A=)' | sort)" "A=b
BV_X=y"

# directory
check "the caller's directory inside" is "$(cd /home && out plain -- readlink /proc/self/cwd)" /home
check "else the root" is "$(cd "$TMPDIR" && out plain -- readlink /proc/self/cwd)" /
mkdir "$TMPDIR/sub"
mkdir -p "$rootfs$TMPDIR"
ln -s /proc/self/fd/3 "$rootfs$TMPDIR/sub"
check "a link to a leaked fd is not followed" is "$(cd "$TMPDIR/sub" && out plain -- sh -c 'readlink /proc/self/cwd' 3</)" /

# ids and capabilities
check "root, no groups" is "$(out plain -- sh -c 'id -u; id -g; grep Groups: /proc/self/status | tr -d "[:blank:]"')" "0
0
Groups:"
seen=$(out plain uid=1001 gid=1002 -- grep -E '^(Uid|Gid|Cap)' /proc/self/status)
check "another user" is "$(field Uid | tr '\t' ' ')/$(field Gid | tr '\t' ' ')" "1001 1001 1001 1001/1002 1002 1002 1002"
check ".. without capabilities" is "$(field CapInh) $(field CapPrm) $(field CapEff) $(field CapAmb)" \
	"0000000000000000 0000000000000000 0000000000000000 0000000000000000"

seen=$(out strict -- grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status)
# chown and kill, bits 0 and 5, are all there is, in the three sets that have any
check "all five sets" is \
	"$(out strict -- grep -E '^Cap' /proc/self/status | tr '\t\n' '  ')" \
	"CapInh: 0000000000000000 CapPrm: 0000000000000021 CapEff: 0000000000000021 CapBnd: 0000000000000021 CapAmb: 0000000000000000 "
check "no_new_privs and seccomp" is "$(field NoNewPrivs)/$(field Seccomp)" 1/2
check "lxc.environment" like "$(out strict -- env)" '^FROM=config$'
seen=$(out filter -- grep -E '^(Cap|NoNewPrivs|Seccomp):?' /proc/self/status)
check "seccomp without no_new_privs and sys_admin" is "$(field NoNewPrivs)/$(field Seccomp)" 0/2
check ".. and sys_admin does not outlive the exec" is \
	"$(out filter -- grep -E '^CapEff' /proc/self/status | tr '\t' ' ')" "CapEff: 0000000000000021"
seen=$(out filter uid=1001 gid=1001 -- grep -E '^(Cap...|NoNewPrivs|Seccomp|Uid):' /proc/self/status)
check "a user under seccomp" is "$(field Seccomp)/$(field CapPrm)/$(field CapBnd)" "2/0000000000000000/0000000000000021"
seen=$(out strict elevated=7 -- grep -E '^(CapEff|CapInh|Seccomp):' /proc/self/status)
check "elevated: no filter, all capabilities" is "$(field Seccomp)/$(field CapInh)/$(field CapEff)" \
	"0/0000000000000000/$(sed -n 's/^CapEff:[[:blank:]]*//p' /proc/self/status)"

# terminals
check "a pty of the instance" like "$(out plain pty=7 -- tty)" '^/dev/pts/0$'
check "it is the controlling terminal" like "$(out plain pty=7 -- sh -c 'echo tty >/dev/tty')" '^tty$'
check "only where it was asked for" is "$(out plain pty=2 -- sh -c 'test -t 0 || echo in; test -t 2 || echo err; test -t 1 && echo out')" "in
err
out"
check "the status through a pty" status 5 plain pty=7 -- sh -c 'exit 5'
check "much output, to the end" is "$(out plain pty=7 -- sh -c 'i=0; while test $i -lt 3000; do echo line $i; i=$((i+1)); done' | tail -n 1)" "line 2999"
check "the pty belongs to the user" is "$(out plain pty=7 uid=1001 gid=1001 -- sh -c 'ls -n /dev/pts/0' | awk '{ print $3 }')" 1001

# What an attached process may be to its instance.
"$driver" attach "$TMPDIR/plain.conf" "$pid" -- sleep 987 >"$TMPDIR/out" 2>&1 </dev/null &
attacher=$!
asleep() { # does the command run, seen from inside?
	[ "$(out plain -- sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null' | tr '\0' ' ' | grep -c 'sleep 98[7]')" = 1 ]
}
not_asleep() { ! asleep; }
check "a command runs" eventually 30 asleep
check "the attacher is not in the instance's pid namespace" is "$(out plain -- sh -c 'cat /proc/[0-9]*/comm' | grep -c driver)" 0
kill -9 $attacher
wait $attacher 2>/dev/null
check "a killed attacher takes its command along" eventually 30 not_asleep

# older kernels
for missing in clone3 openat2 close_range; do
	check "without $missing" is "$(BIVALVE_NO_SYSCALL=$missing out plain -- hostname)" inside
done
check "without openat2: the directory" is "$(cd /home && BIVALVE_NO_SYSCALL=openat2 out plain -- readlink /proc/self/cwd)" /home
check "without openat2: a link to a leaked fd" is "$(cd "$TMPDIR/sub" && BIVALVE_NO_SYSCALL=openat2 out plain -- readlink /proc/self/cwd 3</)" /
check "without openat2: a pty" like "$(BIVALVE_NO_SYSCALL=openat2 out plain pty=7 -- tty)" '^/dev/pts/0$'

# ---- no devpts inside ----
touch "$rootfs/no-devpts"
check "an instance without devpts" hold plain
check "a pty of the host's" is "$(out plain pty=7 -- sh -c 'test -t 0 && test -t 1 && test -t 2 && echo yes')" yes
rm "$rootfs/no-devpts"

# ---- an instance with id maps ----
check "an instance with id maps" hold mapped
check "root inside" is "$(out mapped -- sh -c 'id -u; id -g')" "0
0"
at mapped -- sleep 986 >/dev/null 2>&1 &
attacher=$!
owners() { ps -eo uid,gid,args | awk '$3 == "sleep" && $4 == "986" { print $1, $2; exit }'; }
is_owned() { [ -n "$(owners)" ]; }
eventually 30 is_owned
check "is another on the host" is "$(owners)" "100000 200000"
pkill -xf "sleep 986"
wait $attacher
check "user namespace" is "$(out mapped -- readlink /proc/self/ns/user)" "$(readlink "/proc/$pid/ns/user")"
check "a pty" like "$(out mapped pty=7 -- tty)" '^/dev/pts/0$'
check "its capabilities are over its own namespace only" is "$(out mapped -- sh -c 'echo x 2>/dev/null >/proc/sys/vm/swappiness && echo written')" ""
check "a user that is not mapped" status 1 mapped uid=70000 -- true
check ".. is told so" like "$(cat "$TMPDIR/err")" 'lxc.idmap has to map it'
check "one namespace after the other" is "$(out mapped ns=user,uts -- hostname)" inside

# ---- an ordinary user, who may enter nothing before the user namespace ----
as_user() {
	setpriv --reuid=1500 --regid=1500 --clear-groups "$@"
}
printf 'lxc.net.0.type = none\nlxc.idmap = u 0 1500 1\nlxc.idmap = g 0 1500 1\n' >"$TMPDIR/user.conf"
chmod 644 "$TMPDIR/user.conf"
if as_user test -x "$driver" && as_user test -r "$TMPDIR/user.conf"; then
	mapped=$pid
	setpriv --reuid=1500 --regid=1500 --clear-groups unshare --map-root-user --mount --pid --fork --uts --mount-proc sleep 1000 </dev/null >/dev/null 2>&1 &
	unshared=$!
	pids="$pids $unshared"
	users_sleep() { pid=$(ps -o pid= --ppid "$unshared" | tr -d ' ') && grep -q sleep "/proc/$pid/comm"; }
	check "an instance of a user" eventually 30 users_sleep
	pids="$pids $pid"
	check "the user's own attach" is "$(cd / && as_user "$driver" attach "$TMPDIR/user.conf" "$pid" ns=user,mnt,pid,uts -- \
		sh -c 'id -u; cat /proc/1/comm; exit 9' </dev/null; echo $?)" "0
sleep
9"
	check "its pid is the command's, not the one between" is "$(cd / && as_user "$driver" attach "$TMPDIR/user.conf" "$pid" \
		ns=user,mnt,pid,uts -- sh -c 'kill -9 $$' </dev/null; echo $?)" 137
	pid=$mapped
else
	skip "an ordinary user" "$driver or $TMPDIR cannot be reached by one"
fi

# ---- an instance that has ended ----
dead=$pid
kill -9 "$dead"
eventually 30 sh -c "! test -d /proc/$dead"
check "an instance that is gone is an error" status 100 mapped -- true

done_testing
