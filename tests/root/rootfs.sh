# SPDX-License-Identifier: LGPL-2.1-or-later
# The rootfs, /dev, automatic mounts and mount entries of a container, without the rest of a start.
. "${BV_SRC:-.}/tests/lib.sh"

driver=$BV_BUILD/tests/root/setup_driver
[ -x "$driver" ] || skip_all "tests/root/setup_driver is not built"
[ "$(id -u)" = 0 ] || skip_all "needs root"
[ -x "$(command -v busybox)" ] || skip_all "needs busybox"

root=$TMPDIR/rootfs outside=$TMPDIR/outside
mkdir -p "$TMPDIR/mnt" "$outside"
chmod 755 "$TMPDIR" "$outside"
echo secret >"$outside/file"
busybox_rootfs "$root"

# config LINE...: on a fresh copy of the defaults
config() {
	{
		echo "lxc.rootfs.path = dir:$root"
		echo "lxc.rootfs.mount = $TMPDIR/mnt"
		printf '%s\n' "$@"
	} >"$TMPDIR/config"
}

# inside SCRIPT: run it in the container; what it prints is in $out, what the driver and it complain about in $err
inside() {
	opts=
	while [ "${1#-}" != "$1" ]; do
		opts="$opts $1"
		shift
	done
	# shellcheck disable=SC2086
	out=$("$driver" "$TMPDIR/config" $opts /bin/sh -c "$1" 2>"$TMPDIR/err")
	status=$?
	err=$(cat "$TMPDIR/err")
	return $status
}

# flags POINT: of the mountinfo that `inside` printed, the flags and the type of the topmost mount on POINT
flags() {
	printf '%s\n' "$out" | awk -v p="$1" '$5 == p { for (i = 7; $i != "-"; i++); print $6, $(i + 1) }' | tail -n 1
}

all='lxc.mount.auto = proc:mixed sys:mixed'
ttys='lxc.pty.max = 8
lxc.tty.max = 2
lxc.tty.dir = lxc'

# ---- what is there ----
config "$all" "$ttys" 'lxc.mount.entry = shm dev/shm tmpfs size=64k,nosuid,create=dir 0 0'
inside 'cat /proc/self/mountinfo'
check "the driver ran" is "$status" 0
check "proc" is "$(flags /proc)" "rw,nosuid,nodev,noexec,relatime proc"
check "/proc/sys is read-only" is "$(flags /proc/sys)" "ro,nosuid,nodev,noexec,relatime proc"
check "/proc/sys/net is not" is "$(flags /proc/sys/net)" "rw,nosuid,nodev,noexec,relatime proc"
check "sys" is "$(flags /sys)" "ro,nosuid,nodev,noexec,relatime sysfs"
check "devpts" is "$(flags /dev/pts)" "rw,nosuid,noexec,relatime devpts"
check "an entry's own flags" is "$(flags /dev/shm)" "rw,nosuid,relatime tmpfs"
check "the boot id" is "$(flags /proc/sys/kernel/random/boot_id)" "ro,nosuid,nodev,noexec,relatime tmpfs"
check "nothing of the host is left" is "$(printf '%s\n' "$out" | grep -c "$TMPDIR/mnt")" 0

inside 'cd /dev; stat -c "%n %A %t:%T" full null random tty urandom zero; cat .lxc-boot-id; readlink fd; readlink tty1; [ -c lxc/tty1 ] && [ -c console ] && [ -c lxc/console ] && tty1=$(cat /proc/sys/kernel/random/boot_id) && echo "$tty1"'
check "nodes" is "$(printf '%s\n' "$out" | head -n 6)" "full crw-rw-rw- 1:7
null crw-rw-rw- 1:3
random crw-rw-rw- 1:8
tty crw-rw-rw- 5:0
urandom crw-rw-rw- 1:9
zero crw-rw-rw- 1:5"
check "the boot id is the one in proc" is "$(printf '%s\n' "$out" | sed -n 7p)" "$(printf '%s\n' "$out" | sed -n 10p)"
check "it is not the host's" is "$(printf '%s\n' "$out" | grep -c "$(cat /proc/sys/kernel/random/boot_id)")" 0
check "links" is "$(printf '%s\n' "$out" | sed -n 8,9p)" "/proc/self/fd
lxc/tty1"
inside -s 'true'
check "the console's slave is its master's" like "$err" 'console says: to the console'
check "container_ttys" like "$err" '^container_ttys=pts/1 pts/2$'

# ---- modes ----
config 'lxc.mount.auto = proc:rw sys:rw'
inside 'cat /proc/self/mountinfo'
check "proc:rw" is "$(flags /proc/sys)" ""
check "sys:rw" is "$(flags /sys)" "rw,relatime sysfs"
config "$all" 'lxc.cap.drop = net_admin'
inside 'cat /proc/self/mountinfo'
check "without CAP_NET_ADMIN /proc/sys/net is covered too" is "$(flags /proc/sys/net)" ""
config "$all" 'lxc.console.path = none'
inside -s 'ls /dev'
check "no console, no devpts" is "$(printf '%s\n' "$out" | grep -cx 'console\|pts\|ptmx')" 0
config "$all" 'lxc.autodev = 0' "$ttys"
before=$(find "$root/dev" | sort)
inside -s 'ls /dev/null; [ -c /dev/console ] && echo yes'
check "autodev 0 uses the rootfs' /dev" is "$out" yes
rm -rf "${root:?}/dev" && mkdir "$root/dev"

# ---- cgroups ----
hierarchies=$(awk '/ - cgroup2? / { print $3 }' /proc/self/mountinfo | sort -u | wc -l)
config "$all cgroup:mixed"
inside 'cat /proc/self/mountinfo'
check "cgroup:mixed leaves it to init, which has a namespace and CAP_SYS_ADMIN" is \
	"$(grep -q 'cgroup2 /sys/fs/cgroup ' /proc/mounts || flags /sys/fs/cgroup)" ""
for mode in cgroup:mixed:force,rw cgroup:ro:force,ro; do
	config "$all ${mode%,*}"
	inside 'cat /proc/self/mountinfo'
	check "${mode%,*}: each hierarchy" is \
		"$(printf '%s\n' "$out" | awk '$5 ~ "^/sys/fs/cgroup" && / - cgroup2? / { print $4, substr($6, 1, 2) }' | sort | uniq -c)" \
		"$(printf '%7d / %s' "$hierarchies" "${mode#*,}")"
done
config "$all cgroup:mixed" 'lxc.namespace.keep = user cgroup'
inside 'for d in /sys/fs/cgroup/*/lxc.payload.setup-driver /sys/fs/cgroup/lxc.payload.setup-driver; do [ -d $d ] && mkdir $d/own && rmdir $d/own && echo own; mkdir ${d%/*}/other 2>/dev/null && echo other; done'
check "without a namespace its own cgroups are writable, no others" is "$(printf '%s\n' "$out" | sort -u)" own

# ---- the tunnel ----
config "$all shmounts:$outside:/tunnel"
check "shmounts" inside 'cat /tunnel/file'

# ---- a shared root ----
before=$(ls -la /dev)
printf '%s\n' 'lxc.mount.auto = proc:mixed' "$ttys" >"$TMPDIR/config"
check "no rootfs" inside 'grep -q "devpts.*max=" /proc/self/mountinfo'
check "the host's /dev is as before" is "$(ls -la /dev)" "$before"

# ---- mount entries ----
config "$all" "lxc.mount.entry = $outside mnt/a none bind,ro,create=dir 0 0" \
	"lxc.mount.entry = $outside/file mnt/deep/f none bind,create=file 0 0" \
	"lxc.mount.entry = $outside $root/abs none rbind,create=dir,rslave" \
	"lxc.mount.entry = $outside /elsewhere none bind,create=dir" \
	"lxc.mount.entry = $outside/nonexistent mnt/b none bind,create=dir,optional" \
	"lxc.mount.entry = tmp mnt/c none bind,relative,create=dir" \
	"lxc.mount.entry = none mnt/t tmpfs ro,size=4k,create=dir" \
	"lxc.mount.entry = $outside with\\040blank none bind,create=dir"
inside 'cat /proc/self/mountinfo; cat /mnt/deep/f "/with blank/file"; touch /mnt/a/x; ls -d /elsewhere; touch /mnt/c/made'
check "bind, ro" is "$(flags /mnt/a | cut -d, -f1)" ro
check "bind of a file, a blank in a path" is "$(printf '%s\n' "$out" | grep -cx secret)" 2
check "an absolute target below the rootfs" like "$out" ' /abs '
check "an absolute target elsewhere is ignored" is "$([ -e /elsewhere ] || printf '%s\n' "$out" | grep -c '^/elsewhere')" 0
check "and said" like "$err" 'ignored, because /elsewhere is not inside'
check "an optional one is skipped" like "$err" 'nonexistent.*optional'
check "a source inside the rootfs" test -e "$root/tmp/made"
check "a read-only tmpfs" is "$(flags /mnt/t | cut -d, -f1)" ro
check_not "nothing was written through the bind" test -e "$outside/x"

printf '# comment\n\nnone mnt/fstab tmpfs size=4k,create=dir 0 0\n' >"$TMPDIR/fstab"
config "$all" "lxc.mount.fstab = $TMPDIR/fstab" 'lxc.mount.entry = none mnt/fstab none bind,remount,ro'
inside 'cat /proc/self/mountinfo'
check "fstab, then a remount" is "$(flags /mnt/fstab | cut -d, -f1)" ro
echo 'none mnt/x nosuchfs create=dir' >>"$TMPDIR/fstab"
check_not "an unknown file system fails the start" inside true
check "the line is named" like "$err" "fstab, line 4: .*nosuchfs"
config "lxc.mount.entry = none mnt/x tmpfs size=oops,create=dir"
check_not "a bad option fails" inside true
check "with the kernel's words" like "$err" "tmpfs: .*size"
config "lxc.mount.entry = $outside mnt/not/there none bind"
check_not "a missing target fails" inside true
check "the hint names create=" like "$err" "hint: .*create=dir"

# ---- storage ----
printf '%s\n' "lxc.rootfs.path = overlay:$root:$TMPDIR/ov/delta" "lxc.rootfs.mount = $TMPDIR/mnt" "$all" >"$TMPDIR/config"
inside 'touch /tmp/upper; cat /proc/self/mountinfo'
check "overlay" is "$(flags / | cut -d' ' -f2)" overlay
check "writes go to the upper directory" test -e "$TMPDIR/ov/delta/tmp/upper" -a ! -e "$root/tmp/upper"
check "the work directory is beside it" test -d "$TMPDIR/ov/work"
odd="$TMPDIR/a,b$(printf 'x%.0s' $(seq 200))"
mkdir "$odd"
printf '%s\n' "lxc.rootfs.path = overlay:$odd:$root:$TMPDIR/ov/delta" "lxc.rootfs.mount = $TMPDIR/mnt" >"$TMPDIR/config"
check "overlay with long paths and commas" inside 'test -e /tmp/upper'
layers=$root
i=0
while [ $i -lt 30 ]; do
	i=$((i + 1))
	mkdir -p "$TMPDIR/layer/$i"
	layers=$TMPDIR/layer/$i:$layers
done
echo top >"$TMPDIR/layer/30/top"
printf '%s\n' "lxc.rootfs.path = overlay:$layers:$TMPDIR/ov/delta" "lxc.rootfs.mount = $TMPDIR/mnt" >"$TMPDIR/config"
check "overlay with 31 lower layers" inside 'test -e /tmp/upper -a -e /top'
rm -rf "$TMPDIR/layer"
if command -v mkfs.ext4 >/dev/null && [ -e /dev/loop-control ]; then
	truncate -s 16M "$TMPDIR/rootdev"
	check "an image" mkfs.ext4 -q -F -d "$root" "$TMPDIR/rootdev"
	printf '%s\n' "lxc.rootfs.path = loop:$TMPDIR/rootdev" "lxc.rootfs.mount = $TMPDIR/mnt" "$all" >"$TMPDIR/config"
	inside 'touch /tmp/kept; cat /proc/self/mountinfo'
	check "loop" is "$(flags / | cut -d' ' -f2)" ext4
	check "it is kept" inside 'test -e /tmp/kept'
	echo 'lxc.rootfs.options = ro' >>"$TMPDIR/config"
	check "ro" inside '! touch /tmp/not 2>/dev/null'
	check "no loop device stays" eventually 30 sh -c "! grep -qs $TMPDIR/rootdev /sys/block/loop*/loop/backing_file"
else
	skip "loop" "no mkfs.ext4 or no loop devices"
fi
config 'lxc.rootfs.options = ro'
check "lxc.rootfs.options = ro" inside '! touch /tmp/not 2>/dev/null'
check_not "the directory itself stays clean" test -e "$root/tmp/not"

# ---- a user namespace ----
maps='lxc.idmap = u 0 100000 65536
lxc.idmap = g 0 100000 65536'
config "$all" "$ttys" "$maps" "lxc.mount.entry = $outside mnt/id none bind,idmap=container,create=dir" \
	"lxc.mount.entry = $outside mnt/plain none bind,create=dir"
if "$driver" "$TMPDIR/config" -u /bin/true 2>"$TMPDIR/err"; then
	inside -u 'stat -c "%n %u" / /mnt/id/file /mnt/plain/file; touch /mnt/id/new; stat -c "%A %t:%T" /dev/null; [ -c /dev/console ] && echo console; cat /proc/sys/kernel/random/boot_id >/dev/null && echo booted'
	check "a rootfs of the host's root gets an id map, an entry too" is "$out" "/ 0
/mnt/id/file 0
/mnt/plain/file 65534
crw-rw-rw- 1:3
console
booted"
	check "what is written belongs to root outside" is "$(stat -c %u "$outside/new")" 0
	rm -f "$outside/new"
	chown -R 100000:100000 "$root"
	inside -u 'stat -c %u /; touch /tmp/shifted'
	check "a rootfs that is shifted already gets none" is "$out" 0
	check "and is written with shifted ids" is "$(stat -c %u "$root/tmp/shifted")" 100000
	config "$all" "$ttys" "$maps"
	export BIVALVE_NO_SYSCALL=move_mount,open_tree,fsopen,mount_setattr,openat2
	inside -u 'stat -c %u / /dev/console; touch /tmp/old'
	unset BIVALVE_NO_SYSCALL
	check "an old kernel" is "$out" "0
0"
	check_not "nothing is mounted outside for it" grep -q ' /proc/driver \| /proc/version ' /proc/mounts
	chown -R 0:0 "$root"
else
	sed 's/^/# /' "$TMPDIR/err"
	skip "user namespace" "the driver cannot make one here"
fi

# ---- attacks: a rootfs whose owner wants to get at the host ----
for name in dev proc sys; do
	for target in "$outside" ../outside nowhere; do
		rmdir "$root/$name" && ln -s "$target" "$root/$name"
		config "$all" "$ttys"
		check_not "/$name -> ${target##*/} is refused" inside true
		check "and said" like "$err" "^/$name of the rootfs is not a directory"
		rm "$root/$name" && mkdir "$root/$name"
	done
done
ln -s "$outside" "$root/out"
ln -s ../../../.."$outside" "$root/up"
config "$all" "lxc.mount.entry = none out tmpfs create=dir"
check_not "a target that links outside" inside true
config "$all" "lxc.mount.entry = none up/x/y tmpfs create=dir"
check_not "directories are not made through it" inside true
config "$all" "lxc.mount.entry = /etc/hostname ../../../../..$outside/made none bind,create=file"
inside true
config "$all" "lxc.mount.entry = /etc/hostname out none bind,create=file"
check_not "files are not made through it" inside true
check "outside is as it was" is "$(ls "$outside")" file
config "$all" "lxc.mount.entry = $outside proc/self/root/mnt none bind,create=dir"
check_not "magic links are refused" inside true
mkfifo "$root/fifo"
config "$all" "lxc.mount.entry = $outside/file fifo none bind"
check "a fifo does not block" timeout 10 "$driver" "$TMPDIR/config" /bin/cat /fifo
config "$all" "lxc.mount.entry = $outside/file dev/null none bind,create=file"
check_not "a false /dev/null is refused" inside true
check "by its number" like "$err" "/dev/null was made by .* not the device 1:3"
ln -s "$outside" "$root/dev/lxc"
config "$all" 'lxc.autodev = 0' "$ttys"
check_not "lxc.tty.dir is not followed outside" inside true
check "outside is still as it was" is "$(ls "$outside")" file
rm -rf "${root:?}/dev" && mkdir "$root/dev"

# Somebody exchanges a directory and a link while we mount.
mkdir -p "$root/swap" && ln -s "$outside" "$root/swap2"
cat >"$TMPDIR/swap.sh" <<'END'
while :; do
	mv -T "$1/swap" "$1/swap3" && mv -T "$1/swap2" "$1/swap"
	mv -T "$1/swap" "$1/swap2" && mv -T "$1/swap3" "$1/swap"
done 2>/dev/null
END
sh "$TMPDIR/swap.sh" "$root" &
racer=$!
config "$all" "lxc.mount.entry = none swap/t tmpfs size=4k,create=dir" \
	"lxc.mount.entry = /etc/hostname swap/f none bind,create=file,optional"
i=0
while [ $i -lt 40 ]; do
	inside true
	i=$((i + 1))
done
kill "$racer"
wait "$racer" 2>/dev/null
check "a race leaves nothing outside" is "$(ls "$outside")" file

# ---- old kernels ----
config "$all" "$ttys" 'lxc.mount.entry = shm dev/shm tmpfs size=64k,nosuid,create=dir 0 0' \
	"lxc.mount.entry = $outside mnt/a none bind,ro,nodev,create=dir 0 0" \
	"lxc.mount.entry = $outside/file mnt/f none bind,ro,create=file,rslave 0 0"
view='cut -d" " -f 4-6 /proc/self/mountinfo | sort; ls /dev'
inside "$view"
want=$out
for missing in openat2 mount_setattr fsopen open_tree move_mount,open_tree,fsopen,mount_setattr,openat2; do
	export BIVALVE_NO_SYSCALL=$missing
	inside "$view"
	unset BIVALVE_NO_SYSCALL
	check "the same without $missing" is "$out" "$want"
done

# ---- few system calls ----
if command -v strace >/dev/null; then
	config 'lxc.mount.auto = proc:mixed sys:ro cgroup:mixed' 'lxc.pty.max = 1024' \
		'lxc.mount.entry = shm dev/shm tmpfs defaults,create=dir 0 0' \
		'lxc.mount.entry = mqueue dev/mqueue mqueue defaults,optional,create=dir 0 0'
	strace -f -o "$TMPDIR/trace" "$driver" "$TMPDIR/config" /bin/true
	calls=$(awk '/MS_REC\|MS_SLAVE/ { on = 1 } on { n++ } /MS_REC\|MS_SHARED/ { print n; exit }' "$TMPDIR/trace")
	echo "# $calls system calls from the first mount to the last"
	check "at most 115 of them" test "$calls" -le 115
	rm -f "$TMPDIR/trace"
else
	skip "few system calls" "no strace"
fi

rm -rf --one-file-system "$root" "$outside" "$odd" "${TMPDIR:?}/mnt" "${TMPDIR:?}/ov"
rm -f "$TMPDIR/config" "$TMPDIR/err" "$TMPDIR/fstab" "$TMPDIR/rootdev" "$TMPDIR/swap.sh"
done_testing
