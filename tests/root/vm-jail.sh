# SPDX-License-Identifier: LGPL-2.1-or-later
# The walls around the processes that serve a guest, without the rest of the VM engine: QEMU's root, what it keeps and
# what it loses, file servers and their errors, and a VM looked at from outside. What can be done from inside is in
# tests/attack/vm_jail.sh.
# timeout: 900
# shellcheck disable=SC2016,SC2154,SC2317  # what is in single quotes is for the shell inside; names of vm-guest.inc
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/vm-guest.inc"
. "$BV_SRC/tests/vm/jail.inc"
[ -x "$driver" ] || skip_all "there is no $driver: make check"
busybox=$(command -v busybox) || skip_all "there is no busybox"
[ "$(id -u)" = 0 ] || skip_all "not root"

supervisor=
cleanup() {
	[ -z "$supervisor" ] || kill -9 "$supervisor" 2>/dev/null
	rm -rf "$TMPDIR"/*
}
trap cleanup EXIT
mkdir "$TMPDIR/rootfs" "$TMPDIR/data" "$TMPDIR/prefix" "$TMPDIR/prefix/bin" "$TMPDIR/prefix/share"
echo in the rootfs >"$TMPDIR/rootfs/file"
echo in the data >"$TMPDIR/data/file"
chmod 777 "$TMPDIR/data"
echo a kernel >"$TMPDIR/kernel"
echo an initrd >"$TMPDIR/initrd"
chmod 600 "$TMPDIR/kernel" "$TMPDIR/initrd"

# jailed [OPTION]... -- COMMAND...
jailed() { timeout -k 1 60 "$driver" enter program="$busybox" "$@" 2>"$TMPDIR/err" </dev/null; }
# sh_in [OPTION]... SCRIPT: the script's output
sh_in() {
	options=
	while [ $# -gt 1 ]; do options="$options $1"; shift; done
	# shellcheck disable=SC2086
	jailed $options -- "$busybox" sh -c "$1"
}
said() { # PATTERN COMMAND...: it fails, and tells why
	pattern=$1
	shift
	if "$@"; then echo "it worked"; return 1; fi
	like "$(cat "$TMPDIR/err")" "$pattern"
}

# ---- QEMU's root ----
plain=$(sh_in 'ls -a / /dev; ls /etc')
check "the jail starts a program" like "$plain" '^usr$'
only() { # WORD...: every name in $plain is one of these
	for name in $(printf '%s\n' "$plain" | grep -v ':$'); do
		case " $* . .. " in *" $name "*) ;; *) echo "$name is there"; return 1 ;; esac
	done
}
check "there is nothing in it but what a program needs" \
	only bin dev etc lib lib32 lib64 libx32 sbin usr null zero random urandom ld.so.cache alternatives
check "a dynamic program of the host runs in it" jailed -- /usr/bin/env true
uid=$(sh_in 'id -u')
check "its user is of the range that nobody else has" test "$uid" -ge 1879048192 -a "$uid" -le 1879113727
check "uid and gid are as they were told" is "$(sh_in uid=1234 gid=5678 'id -u; id -g; id -G' | tr '\n' ' ')" \
	"1234 5678 5678 "
images="kernel=$TMPDIR/kernel initrd=$TMPDIR/initrd"
check "the kernel and the initrd are readable" is "$(sh_in "$images" 'cat /kernel /initrd')" \
	"a kernel
an initrd"
write_all='for f in /x /dev/x /etc/x /usr/x /kernel; do (: >$f) 2>/dev/null && echo $f; done'
check "all is read-only" is "$(sh_in "$images" "$write_all")" ""
check "devices work" is "$(sh_in 'echo x >/dev/null && head -c 8 /dev/zero | wc -c; head -c 9 /dev/urandom | wc -c')" "8
9"
if [ -c /dev/kvm ]; then
	check "/dev/kvm is its own user's" is "$(sh_in kvm 'stat -c %u:%a /dev/kvm')" "$uid:600"
else
	skip "/dev/kvm is its own user's" "there is none"
fi
check "the limits are lowered" is "$(sh_in 'ulimit -c; ulimit -n; ulimit -Hc' | tr '\n' ' ')" "0 4096 0 "
check "its umask" is "$(sh_in umask)" 0077
check "no file is left open" is "$(sh_in leak 'for fd in 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo $fd; done')" ""
check "nothing of the environment is left" is "$(sh_in 'export -p' | grep -cE 'TMPDIR|BV_|HOME')" 0
links() { sh_in 'ip link show 2>/dev/null || cat /sys/class/net/*/address' | sed -n 's/^[0-9]*: \([^:]*\):.*/\1/p'; }
check "the only link is lo" is "$(links)" lo
mounts_before=$(wc -l </proc/self/mountinfo)
sh_in true
check "nothing of it is seen outside" is "$(wc -l </proc/self/mountinfo)" "$mounts_before"

# ---- QEMU elsewhere ----
cp "$busybox" "$TMPDIR/prefix/bin/busybox"
echo data >"$TMPDIR/prefix/share/data"
ln -s "$TMPDIR/prefix/bin/busybox" "$TMPDIR/data/busybox"
elsewhere() { timeout 60 "$driver" enter program="$1" -- "$1" sh -c "$2" 2>"$TMPDIR/err"; }
there=$(elsewhere "$TMPDIR/prefix/bin/busybox" "ls $TMPDIR $TMPDIR/prefix" | tr '\n' ' ')
check "a program outside of /usr" is "$there" "$TMPDIR: prefix  $TMPDIR/prefix: bin share "
check "with its data" is "$(elsewhere "$TMPDIR/prefix/bin/busybox" "cat $TMPDIR/prefix/share/data")" data
check "through a link" is "$(elsewhere "$TMPDIR/data/busybox" "echo works")" works
check "one that is not there" said "cannot find /no/such" elsewhere /no/such/qemu true

# ---- with 9p ----
nine_p="9p uid=0 gid=0 dir=$TMPDIR/rootfs mount=$TMPDIR/data"
# shellcheck disable=SC2086
check "what is shared is there" is "$(sh_in $nine_p 'cat /share/root/file /share/mounts/0/file')" "in the rootfs
in the data"
# shellcheck disable=SC2086
check "and writable" sh_in $nine_p 'echo new >/share/root/new && echo new >/share/mounts/0/new'
# shellcheck disable=SC2086
rights=$(sh_in $nine_p 'chown 1000:1000 /share/root/new && stat -c %u /share/root/new; grep CapEff /proc/self/status')
check "with the rights of a file server" is "$rights" "1000
CapEff:	00000000080000db"
# shellcheck disable=SC2086
check "read-only where it is" said "Read-only" sh_in $nine_p readonly 'echo new >/share/root/new2'
# shellcheck disable=SC2086
seen=$(sh_in $nine_p 'ls -d /proc/1 2>&1; ls /proc | grep -v "[0-9]"')
check "no other process is seen" is "$seen" "ls: /proc/1: No such file or directory
self
thread-self"

# ---- file servers ----
serve() { timeout -k 1 60 "$driver" serve dir="$TMPDIR/rootfs" "$@" 2>"$TMPDIR/err" </dev/null; }
printf '#!/bin/sh\necho first >&2\necho "the last words" >&2\nexit 3\n' >"$TMPDIR/dies"
printf '#!/bin/sh\nexit 0\n' >"$TMPDIR/silent"
printf '#!/bin/sh\nkill -SEGV $$\n' >"$TMPDIR/killed"
printf '#!/bin/sh\nwhile read -r k v; do case $k in CapPrm:|NoNewPrivs:) seen="$seen $v"; esac; done </proc/self/status
echo "$seen $(ulimit -c) $(env | cut -d= -f1 | sort | tr "\\n" " ")" >&2; exit 1\n' >"$TMPDIR/tells"
chmod 755 "$TMPDIR/dies" "$TMPDIR/silent" "$TMPDIR/killed" "$TMPDIR/tells"
check "a server that dies is quoted" said "dies ended at its start: the last words" serve server="$TMPDIR/dies"
check "one that says nothing" said "silent ended at its start, and said nothing" serve server="$TMPDIR/silent"
check "one that is killed" said "was killed by signal 11" serve server="$TMPDIR/killed"
check "one that is not there" said "cannot execute /no/server" serve server=/no/server
check "it gets little" said ": 00000000882401db 1 0 (PATH|PWD)( PWD)?$" serve server="$TMPDIR/tells"
if [ -x "$server" ]; then
	check "the server answers" is "$(serve server="$server" $rust)" serving
	check "options it does not know are its last words" said "virtiofsd ended at its start: " \
		serve server="$server" $rust cache=nonsense
	printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n' >"$TMPDIR/mapped"
	check "with id maps" is "$(serve server="$server" $rust config="$TMPDIR/mapped")" serving
	printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = u 10 100000 65536\n' >"$TMPDIR/mapped"
	check "with impossible id maps" said "lxc.idmap" serve server="$server" $rust config="$TMPDIR/mapped"
else
	skip "file servers" "there is no virtiofsd"
fi

# ---- a VM, from outside ----
vm() { # [OPTION]...: in the background; its supervisor in $supervisor
	rm -f "$TMPDIR/pid" "$TMPDIR/console" # else the last VM's would be taken for this one's
	timeout -k 1 400 "$driver" vm dir="$TMPDIR/rootfs" kernel="$kernel" initrd="$TMPDIR/guest.cpio" \
		pid="$TMPDIR/pid" server="$server" $rust "$@" >"$TMPDIR/console" 2>&1 </dev/null &
	vm=$!
	eventually 180 grep -q '^holding' "$TMPDIR/console" || { cat "$TMPDIR/console"; return 1; }
	supervisor=$(cat "$TMPDIR/pid")
	qemu='' servers=''
	for pid in $(cat "/proc/$supervisor/task/$supervisor/children"); do
		case $(cat "/proc/$pid/comm") in qemu*) qemu=$pid ;; *) servers="$servers $pid" ;; esac
	done
}
gone() { # with the supervisor all of them end
	kill -9 "$supervisor" || return 1
	supervisor=
	wait "$vm"
	for pid in $qemu $servers; do
		! kill -0 "$pid" 2>/dev/null || { echo "$pid is still there"; return 1; }
	done
}
if ! command -v qemu-system-x86_64 >/dev/null || [ ! -x "$server" ] || ! guest_kernel virtiofs; then
	skip "a VM" "no QEMU for x86-64, no virtiofsd or no kernel with virtiofs"
	done_testing
fi
export jail_files="^$TMPDIR/console$"
guest_initrd "$TMPDIR/guest.cpio" virtiofs hold=yes
check "a VM starts" vm
check "its processes are jailed" check_jail "$qemu" $servers
check "the checker finds fault with the test itself" fails check_jail $$ $$
check "the VM's processes end with the supervisor" gone
printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n' >"$TMPDIR/mapped"
chown -R 100000:200000 "$TMPDIR/rootfs"
check "a VM with id maps starts" vm config="$TMPDIR/mapped"
check "its processes are jailed as well" check_jail "$qemu" $servers
uids() { for pid in $servers; do sed -n 's/^Uid:[[:blank:]]*\([0-9]*\).*/\1/p' "/proc/$pid/status"; done; }
check "the server is the mapped root" is "$(uids)" 100000
check "and ends with it, too" gone
done_testing
