# SPDX-License-Identifier: LGPL-2.1-or-later
# From inside a VM's walls. First a QEMU that the guest has taken over: a program in its place, that tries what would
# be a way out before QEMU's own seccomp filter is there. Then the guest's root against the file server: with virtiofs,
# with virtiofs and id maps, and with 9p.
# timeout: 400
# shellcheck disable=SC2154,SC2317  # names of vm-guest.inc; functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/vm-guest.inc"
[ -x "$driver" ] || skip_all "there is no $driver: make check"
[ "$(id -u)" = 0 ] || skip_all "not root"
command -v busybox >/dev/null || skip_all "there is no busybox"
command -v "${CC:-cc}" >/dev/null || skip_all "no C compiler"
trap 'umount -l "$TMPDIR/shared" 2>/dev/null; rm -rf --one-file-system "$TMPDIR"/*' EXIT
mkdir "$TMPDIR/program" "$TMPDIR/shared"
for name in vm_escape vm_guest; do
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O1 -static -o "$TMPDIR/$name" "$BV_SRC/tests/attack/$name.c" ||
		skip_all "cannot compile $name.c statically"
done
mv "$TMPDIR/vm_escape" "$TMPDIR/program/"
echo "the host's secret" >"$TMPDIR/secret"

# ---- in QEMU's place ----
# escape [OPTION]...: what it found open; everything that it looks for is there, outside
escape() {
	timeout -k 1 60 "$driver" enter leak program="$TMPDIR/program/vm_escape" kernel="$TMPDIR/secret" \
		initrd="$TMPDIR/secret" "$@" -- "$TMPDIR/program/vm_escape" "$TMPDIR/secret" bv-vm-jail bv-vm-key \
		>"$TMPDIR/found" 2>&1 </dev/null
	cat "$TMPDIR/found"
	grep -q '^done' "$TMPDIR/found" && ! grep -v '^held\|^done' "$TMPDIR/found"
}
check "out of QEMU's jail" escape
check "out of QEMU's jail when it serves the rootfs" escape 9p uid=0 gid=0 dir="$TMPDIR/shared" mount="$TMPDIR/shared"
# ---- in the guest ----
# shared [OWNER]: a small disk with what the guest needs
shared() {
	umount -l "$TMPDIR/shared" 2>/dev/null
	mount -t tmpfs -o size=24m,nr_inodes=100k,mode=755 tmpfs "$TMPDIR/shared" || return 1
	cp "$(command -v busybox)" "$TMPDIR/shared/busybox"
	ln -s "$TMPDIR/secret" "$TMPDIR/shared/hostlink"
	[ $# = 0 ] || chown -h -R "$1" "$TMPDIR/shared"
}
# attacked FS DEVICES [OPTION]...: what the guest found; its output is in guest.out
attacked() {
	many=2000
	[ "$1" = virtiofs ] || many=200
	guest_initrd "$TMPDIR/guest.cpio" "$1" "secret=$TMPDIR/secret" "devices=$2" many=$many hold=no
	shift 2
	timeout -k 1 120 "$driver" vm dir="$TMPDIR/shared" kernel="$kernel" initrd="$TMPDIR/guest.cpio" \
		server="$server" $rust "$@" >"$TMPDIR/guest.out" 2>&1 </dev/null
	tr -d '\r' <"$TMPDIR/guest.out" >"$TMPDIR/found"
	cat "$TMPDIR/found"
	grep -q '^t end' "$TMPDIR/found" && ! grep '^BAD' "$TMPDIR/found"
}
owners() { find "$TMPDIR/shared" -printf '%U\n' | sort -un | head -n 1; }
opened() { # on the host what the guest made is a node without effect, through the mount that was served
	mkdir -p "$TMPDIR/served" && mount --bind -o nodev "$TMPDIR/shared" "$TMPDIR/served" || return 1
	mount -o remount,bind,nodev,nosuid "$TMPDIR/served"
	head -c 1 "$TMPDIR/served/mem" 2>"$TMPDIR/err"
	status=$?
	umount "$TMPDIR/served"
	rmdir "$TMPDIR/served"
	[ "$status" != 0 ] && grep -q 'Permission denied' "$TMPDIR/err"
}
if ! command -v qemu-system-x86_64 >/dev/null; then
	skip "a guest" "no QEMU for x86-64"
	done_testing
fi
if [ -x "$server" ] && guest_kernel virtiofs; then
	shared
	check "a guest against virtiofsd" attacked virtiofs yes
	check "it did open 2000 files at once" grep -q '^many: 2000 files open' "$TMPDIR/found"
	check "its devices are none on a mount as the one served" opened
	shared 100000:200000
	printf 'lxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 200000 65536\n' >"$TMPDIR/mapped"
	check "a guest against virtiofsd with id maps" attacked virtiofs no config="$TMPDIR/mapped"
	check "all that it made belongs to mapped ids" is "$(owners)" 100000
else
	skip "a guest against virtiofsd" "no virtiofsd, or no kernel with virtiofs"
fi
if guest_kernel 9p; then
	shared
	check "a guest against QEMU's 9p server" attacked 9p unknown 9p uid=0 gid=0
else
	skip "a guest against QEMU's 9p server" "no kernel with 9p"
fi
check "the secret is as it was" is "$(cat "$TMPDIR/secret")" "the host's secret"
done_testing
