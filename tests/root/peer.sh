# SPDX-License-Identifier: LGPL-2.1-or-later
# An instance made by Debian's own lxc starts here with config and rootfs untouched, and ours is understood by it.
# timeout: 120
. "${BV_SRC:-.}/tests/lib.sh"

peer=/usr/bin
[ "$(readlink -f "$peer/lxc-start")" != "$(readlink -f "$(command -v lxc-start)")" ] && "$peer/lxc-start" --version >/dev/null 2>&1 ||
	skip_all "no other LXC in $peer to compare with"
L=$TMPDIR/lxc
mkdir -p "$L"
printf 'lxc.net.0.type = empty\n' >"$TMPDIR/default"

# ---- made by the peer ----
check "the peer makes an instance" "$peer/lxc-create" -P "$L" -n theirs -t busybox -f "$TMPDIR/default"
sum() { (cd "$1" && find . -type f -exec sha256sum {} + && find . -printf '%p %y %m %U %G %l\n') | sort | sha256sum; }
config=$(sha256sum <"$L/theirs/config")
before=$(sum "$L/theirs/rootfs")
check "ours lists it" is "$(lxc-ls -P "$L" -1)" theirs
check "ours runs a program in it" lxc-start -P "$L" -n theirs -- /bin/sleep 1000
check "and ends it" lxc-stop -P "$L" -n theirs -k
check "its config is as it was" is "$(sha256sum <"$L/theirs/config")" "$config"
check "its files are as they were" is "$(sum "$L/theirs/rootfs")" "$before"
check "ours starts it" lxc-start -P "$L" -n theirs
check "it is RUNNING" is "$(lxc-info -P "$L" -n theirs -sH)" RUNNING
check "attach" is "$(lxc-attach -P "$L" -n theirs -- hostname)" theirs
check "its ttys are there" lxc-attach -P "$L" -n theirs -- test -c /dev/tty1
check "clean stop" lxc-stop -P "$L" -n theirs -t 20
check "the peer starts it again" "$peer/lxc-start" -P "$L" -n theirs
check "the peer sees it run" is "$("$peer/lxc-info" -P "$L" -n theirs -sH)" RUNNING
"$peer/lxc-stop" -P "$L" -n theirs -k

# ---- made by us ----
check "ours makes an instance" lxc-create -P "$L" -n ours -t busybox -f "$TMPDIR/default"
for key in lxc.uts.name lxc.rootfs.path lxc.tty.max lxc.signal.halt lxc.mount.auto; do
	check "the peer reads $key as we do" is "$("$peer/lxc-info" -P "$L" -n ours -H -c "$key")" \
		"$(lxc-info -P "$L" -n ours -H -c "$key")"
done
check "the peer starts ours" "$peer/lxc-start" -P "$L" -n ours
check "the peer sees it run" is "$("$peer/lxc-info" -P "$L" -n ours -sH)" RUNNING
check "the peer attaches" is "$("$peer/lxc-attach" -P "$L" -n ours -- hostname)" ours
"$peer/lxc-stop" -P "$L" -n ours -k
printf 'engine = container\nvm.memory = 512M\n' >>"$L/ours/config"
check "our own keys do not disturb the peer" is "$("$peer/lxc-info" -P "$L" -n ours -H -c lxc.uts.name)" ours
check "the peer destroys ours" "$peer/lxc-destroy" -P "$L" -n ours
check "ours destroys theirs" lxc-destroy -P "$L" -n theirs
check "nothing is left" is "$(ls -A "$L")" ""
rm -rf "$TMPDIR/default" "$L"
# The peer leaves its pivot cgroup, as it always does.
find /sys/fs/cgroup -maxdepth 3 -depth -name lxc.pivot -exec rmdir {} + 2>/dev/null
done_testing
