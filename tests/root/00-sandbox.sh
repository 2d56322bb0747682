# SPDX-License-Identifier: LGPL-2.1-or-later
# The sandbox of the root tests: it is one, and it sees what a test leaves behind.
. "${BV_SRC:-.}/tests/lib.sh"

links() {
	ls /sys/class/net
}

# What remains in the sandbox's report for a command that leaks.
leak() {
	BV_SANDBOX_TRIES=2 "$BV_SRC/tests/sandbox" sh -c "$1" >"$TMPDIR/leak.out" 2>&1
	status=$?
	rm -f "$TMPDIR/leak.file"
	cat "$TMPDIR/leak.out"
	is "$status" 97 && like "$(cat "$TMPDIR/leak.out")" "left behind: $2"
	result=$?
	rm -f "$TMPDIR/leak.out"
	return $result
}

check "only lo is there" is "$(links)" lo
check "pid 1 is the sandbox" like "$(tr '\0' ' ' </proc/1/cmdline)" 'sandbox --inside'
check "our cgroup is the root" is "$(sed -n 's/^0::\(\/init.scope\)\?/0::/p' /proc/self/cgroup | tr -d /)" 0::
check "/run is empty" is "$(find /run -type f ! -name .before)" ""
check "a link is seen" leak 'ip link add bvx0 type veth peer name bvx1' 'link bvx0'
check "a mount is seen" leak 'mount -t tmpfs none /mnt' 'mount /mnt'
check "a process is seen" leak 'sleep 1000 &' 'process sleep 1000'
check "a cgroup is seen" leak "mkdir \$(awk '/ - cgroup2? /{print \$5; exit}' /proc/self/mountinfo)/left" 'cgroup .*/left'
check "a file is seen" leak "touch $TMPDIR/leak.file" 'file .*leak.file'
check "who cleans up passes" "$BV_SRC/tests/sandbox" sh -c 'mount -t tmpfs none /mnt; umount /mnt'
"$BV_SRC/tests/sandbox" sh -c 'exit 3' >/dev/null
status=$?
check "the exit status comes through" is "$status" 3
done_testing
