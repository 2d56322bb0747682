# SPDX-License-Identifier: LGPL-2.1-or-later
# The ways in which a VM gets its root and other machines: 9p with the standard kernel, a disk image, pc and microvm,
# owners mapped by lxc.idmap, limits that make the machine's size; and another architecture.
# timeout: 1200
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/vm.inc
. "$BV_SRC/tests/vm.inc"

L=$TMPDIR/lxc
busybox_rootfs "$TMPDIR/rootfs"
mkdir -p "$TMPDIR/shared"
echo from the host >"$TMPDIR/shared/file"

inside() {
	name=$1
	shift
	lxc-attach -P "$L" -n "$name" -- "$@"
}

# vm NAME ROOTFS [LINE]...
vm() {
	instance "$L" "$@" "vm.memory = 192M" "vm.cpus = 1" "lxc.net.0.type = empty" \
		"lxc.mount.entry = $TMPDIR/shared mnt/shared none bind,create=dir 0 0"
}

# lives NAME TEXT: it starts, and is what it should be; it stays running
lives() {
	check "$2: it starts" lxc-start -P "$L" -n "$1" --vm -l debug -o "$TMPDIR/log"
	check "$2: it answers" is "$(inside "$1" hostname)" "$1"
	check "$2: its root can be written to" inside "$1" sh -c 'echo x >/root/new && chown 5:6 /root/new'
	check "$2: what the host shares is there" is "$(inside "$1" cat /mnt/shared/file)" "from the host"
}

ends() { check "$2: it stops" lxc-stop -P "$L" -n "$1" -t 120 --nokill; }

# ---- 9p ----
vm n9p "$TMPDIR/rootfs" "vm.root = 9p" "vm.kernel = $(kernel -cloud-amd64)"
check "and it is said" like "$(lxc-start -P "$L" -n n9p --vm 2>&1)" 'has no .*9p'
vm n9p "$TMPDIR/rootfs" "vm.root = 9p" "vm.kernel = $(kernel -amd64)"
lives n9p "9p"
check "9p: the owner on the host" is "$(stat -c %u:%g "$TMPDIR/rootfs/root/new")" 5:6
ends n9p "9p"

# ---- a disk ----
truncate -s 64M "$TMPDIR/disk"
mkfs.ext4 -q -F -d "$TMPDIR/rootfs" "$TMPDIR/disk"
vm blk "$TMPDIR/rootfs" "vm.kernel = $(kernel -cloud-amd64)"
sed -i "s|^lxc.rootfs.path.*|lxc.rootfs.path = loop:$TMPDIR/disk|" "$L/blk/config"
lives blk "disk"
check "disk: it is one" like "$(inside blk cat /proc/mounts)" '^/dev/(vda|root) / ext4 rw'
ends blk "disk"
check "disk: as a container it has the file" lxc-start -P "$L" -n blk
check "disk: of its owner" is "$(inside blk stat -c %u:%g /root/new)" 5:6
check "disk: it stops" lxc-stop -P "$L" -n blk -k
check "a directory is no disk" like "$(lxc-start -P "$L" -n n9p --vm -s vm.root=blk 2>&1)" 'vm.root = blk'

# ---- machines ----
for machine in pc microvm; do
	vm m$machine "$TMPDIR/rootfs" "vm.machine = $machine" "vm.kernel = $(kernel -cloud-amd64)" "lxc.tty.max = 2"
	lives m$machine $machine
	check "$machine: its ttys" inside m$machine sh -c 'test -c /dev/tty1 && test -c /dev/tty2'
	ends m$machine $machine
done

# ---- owners ----
cp -a "$TMPDIR/rootfs" "$TMPDIR/mapped"
chown -hR 100000:100000 "$TMPDIR/mapped"
chmod 755 "$TMPDIR"
vm mapped "$TMPDIR/mapped" "lxc.idmap = u 0 100000 65536" "lxc.idmap = g 0 100000 65536" \
	"vm.kernel = $(kernel -cloud-amd64)"
lives mapped "mapped owners"
check "mapped owners: its root owns its files" is "$(inside mapped stat -c %u:%g /bin/busybox)" 0:0
check "mapped owners: on the host they are the mapped ones" is "$(stat -c %u:%g "$TMPDIR/mapped/root/new")" 100005:100006
ends mapped "mapped owners"

# ---- the machine's size ----
vm size "$TMPDIR/rootfs" "vm.kernel = $(kernel -cloud-amd64)" "lxc.cgroup2.memory.max = 448M" "lxc.cgroup2.cpuset.cpus = 0"
sed -i '/^vm.memory/d; /^vm.cpus/d' "$L/size/config"
lives size "limits"
memory=$(inside size awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
check "limits: RAM is less than memory.max ($memory MiB)" test "$memory" -lt 448 -a "$memory" -gt 128
check "limits: one CPU" is "$(inside size nproc)" 1
# A guest's root may make a device, and it is one on the host too: what is only looked at must not be opened.
check "limits: a guest makes a device, and a fifo in place of init" inside size sh -c \
	'mknod /root/device c 10 130 && rm /sbin/init && mkfifo /sbin/init'
check "limits: it is one on the host" test -c "$TMPDIR/rootfs/root/device"
ends size "limits"
check "a fifo in place of init holds nobody up" timeout 20 lxc-start -P "$L" -n size --vm --print-command
rm "$TMPDIR/rootfs/root/device"
ln -sf /bin/busybox "$TMPDIR/rootfs/sbin/init"

# ---- another architecture ----
arm=${BV_KERNEL_CACHE_ARM64:-/var/cache/bivalve-kernel-arm64}
image=$(find "$arm/boot" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
if [ -z "$image" ] || ! command -v qemu-system-aarch64 >/dev/null; then
	[ "${CI:-}" != true ] || check "this must run in the CI" false
	skip "arm64" "there is no kernel in $arm or no qemu-system-aarch64; ./dev setup; ./dev setup arm64"
else
	cp -a "$TMPDIR/rootfs" "$TMPDIR/arm"
	cp "$arm/busybox" "$TMPDIR/arm/bin/busybox"
	vm arm "$TMPDIR/arm" "vm.kernel = $image" "lxc.console.logfile = $TMPDIR/console"
	lives arm "arm64"
	check "arm64: it is one" is "$(inside arm uname -m)" aarch64
	check "arm64: codes" fails inside arm false
	ends arm "arm64"
	check "arm64: its console spoke" grep -q 'Power down' "$TMPDIR/console"
fi

rm -rf --one-file-system "$L" "$TMPDIR"/rootfs "$TMPDIR"/mapped "$TMPDIR"/arm "$TMPDIR"/disk "$TMPDIR"/shared \
	"$TMPDIR"/log "$TMPDIR"/console
done_testing
