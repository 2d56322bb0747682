# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# System calls, forks and execs of the commands: they don't vary from run to run, so that a growth shows. The limits are
# those of the design; times are left to the bench.
. "${BV_SRC:-.}/tests/lib.sh"

command -v strace >/dev/null || skip_all "there is no strace"
command -v busybox >/dev/null || skip_all "there is no busybox"
[ -z "${BV_SANITIZED:-}" ] || skip_all "sanitizers make system calls of their own"

path=$TMPDIR/lxc
[ -x "$BV_BUILD/tests/root/nothing" ] || skip_all "tests/root/nothing is not built"
busybox_rootfs "$TMPDIR/rootfs"
cp "$BV_BUILD/tests/root/nothing" "$TMPDIR/rootfs/bin/nothing"
ip link add bvsc0 type bridge
ip link set bvsc0 up
instance "$path" none "$TMPDIR/rootfs" "lxc.net.0.type = empty"
instance "$path" once "$TMPDIR/rootfs" "lxc.net.0.type = empty" "lxc.init.cmd = /bin/nothing"
instance "$path" veth "$TMPDIR/rootfs" "lxc.net.0.type = veth" "lxc.net.0.link = bvsc0" "lxc.net.0.flags = up" \
	"lxc.init.cmd = /bin/nothing"

# trace COMMAND...: sets calls, forks, execs of the whole tree of processes, and what the command returned
trace() {
	strace -f -qq -e signal=none -o "$TMPDIR/trace" "$@" >"$TMPDIR/trace.out" 2>&1
	traced=$?
	calls=$(grep -cE '^[0-9]+ +[a-z]' "$TMPDIR/trace")
	# Resumed lines are the second half of a call that was counted. Threads would count as forks; there are none.
	forks=$(grep -cE '^[0-9]+ +(fork|vfork|clone|clone3)\(' "$TMPDIR/trace")
	execs=$(grep -cE '^[0-9]+ +execve\(.*(= 0|unfinished)' "$TMPDIR/trace")
	connects=$(grep -cE '^[0-9]+ +connect\(' "$TMPDIR/trace")
	echo "# $calls system calls, $forks forks, $execs execs, $connects connects: $*"
}

# at_most NUMBER LIMIT, under check
at_most() {
	[ "$1" -le "$2" ] && return 0
	echo "$1 is more than $2; what was called:"
	sed -nE 's/^[0-9]+ +([a-z0-9_]+)\(.*/\1/p' "$TMPDIR/trace" | sort | uniq -c | sort -rn | head -n 25
	return 1
}

trace lxc-start -P "$path" -F -n once
check "start -F without network works" is "$traced" 0
check "start -F without network: at most 300 system calls" at_most "$calls" 300
check "start -F execs itself and the init alone" is "$execs" 2
check "start -F forks once or twice" at_most "$forks" 2
trace lxc-start -P "$path" -F -n veth
check "start -F with veth works" is "$traced" 0
check "start -F with veth: at most 350 system calls" at_most "$calls" 350

check "an instance starts" lxc-start -P "$path" -n none
trace lxc-attach -P "$path" -n none -- /bin/nothing
check "attach works" is "$traced" 0
# Two starts of a static program, and nine v1 hierarchies to be entered, are 70 of them.
check "attach: at most 145 system calls" at_most "$calls" 145
trace lxc-info -P "$path" -n none
check "info works" is "$traced" 0
check "info forks nothing" is "$forks" 0
check "info connects to nobody" is "$connects" 0
check "info: at most 80 system calls" at_most "$calls" 80
trace lxc-ls -P "$path" -f
check "ls -f works" is "$traced" 0
check "ls -f forks nothing" is "$forks" 0
check "ls -f connects to nobody" is "$connects" 0
check "the instance is killed" lxc-stop -P "$path" -n none -k

# What an instance more costs a listing.
lxc_ls_calls() {
	trace lxc-ls -P "$path" -f >/dev/null
	echo "$calls"
}
few=$(lxc_ls_calls)
for i in 1 2 3 4 5 6 7 8 9 10; do instance "$path" "more$i" "$TMPDIR/rootfs" "lxc.net.0.type = empty"; done
more=$(lxc_ls_calls)
check "a stopped instance more: at most 10 system calls in ls -f" at_most $(((more - few) / 10)) 10

ip link del bvsc0
rm -rf "$path" "$TMPDIR/rootfs" "$TMPDIR"/trace*
done_testing
