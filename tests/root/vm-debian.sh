# SPDX-License-Identifier: LGPL-2.1-or-later
# Debian as its template makes it: as a container, as a VM, and as a container again. systemd is content, the address
# that the bridge's DHCP gave is the same, and files keep their owners.
# shellcheck disable=SC2016  # text for shells inside
# timeout: 1200
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/vm.inc
. "$BV_SRC/tests/vm.inc"

debian=${BV_ROOTFS_CACHE:-/var/cache/bivalve-rootfs}/debian
[ -d "$debian/rootfs" ] || missing "there is no Debian rootfs in $debian; ./dev test makes it"
command -v dnsmasq >/dev/null || PATH=$PATH:/usr/sbin:/sbin
command -v dnsmasq >/dev/null || missing "dnsmasq is not installed"

L=$TMPDIR/lxc
N=deb$$
export LXC_NET_CONFIG="$TMPDIR/lxc-net" LXC_RUN="$TMPDIR/lxc-net.run" LXC_NET_LEASES="$TMPDIR/leases"
net=$BV_STAGE/libexec/lxc/lxc-net
cat >"$LXC_NET_CONFIG" <<'END'
LXC_BRIDGE=bvvm0
LXC_ADDR=10.113.4.1
LXC_NETWORK=10.113.4.0/24
LXC_DHCP_RANGE=10.113.4.2,10.113.4.200
END
check "a bridge with DHCP" "$net" start

mkdir -p "$L/$N"
cp -a "$debian/rootfs" "$L/$N/"
sed "s|^lxc.rootfs.path.*|lxc.rootfs.path = dir:$L/$N/rootfs|; s|^lxc.net.*||" "$debian/config" >"$L/$N/config"
cat >>"$L/$N/config" <<END
lxc.net.0.type = veth
lxc.net.0.link = bvvm0
lxc.net.0.flags = up
lxc.net.0.hwaddr = 10:66:6a:01:02:03
lxc.console.logfile = $TMPDIR/console.log
lxc.tty.max = 2
vm.kernel = $(kernel -cloud-amd64)
vm.memory = 512M
END
busybox_rootfs "$TMPDIR/busybox"
instance "$L" peer$$ "$TMPDIR/busybox" "lxc.net.0.type = veth" "lxc.net.0.link = bvvm0" "lxc.net.0.flags = up" \
	"lxc.net.0.ipv4.address = 10.113.4.250/24"
check "a second container on the bridge" lxc-start -P "$L" -n peer$$

inside() { lxc-attach -P "$L" -n $N -- "$@"; }
is_up() {
	state=$(inside systemctl is-system-running 2>/dev/null)
	[ "$state" = running ] || [ "$state" = degraded ]
}
address() { lxc-info -P "$L" -n $N -iH | grep '^10\.'; }
has_address() { [ -n "$(address)" ]; }
prompts() { grep -q 'login:' "$TMPDIR/console.log"; }

# content TEXT: systemd is
content() {
	check "$1: it comes up" eventually 300 is_up
	check "$1: it is running" is "$(inside systemctl is-system-running)" running
	check "$1: no unit has failed" is "$(inside systemctl --failed --no-legend --plain)" ""
	check "$1: it has an address" eventually 120 has_address
}

check "it starts as a container" lxc-start -P "$L" -n $N
content "container"
container_address=$(address)
check "a user's file" inside sh -c 'echo container >/srv/a; chown 1000:1000 /srv/a'
check "it stops" lxc-stop -P "$L" -n $N --nokill -t 180

: >"$TMPDIR/console.log"
check "it starts as a VM" lxc-start -P "$L" -n $N --vm -o "$TMPDIR/log" -l debug
check "attach works long before systemd is up" inside true
content "VM"
check "VM: the same address" is "$(address)" "$container_address"
check "VM: the second container reaches it" lxc-attach -P "$L" -n peer$$ -- ping -c 1 -W 60 "$container_address"
check "VM: systemd knows that it is one" is "$(inside systemd-detect-virt)" qemu
check "VM: the container's file, and its owner" is "$(inside sh -c 'cat /srv/a; stat -c %u:%g /srv/a' | tr '\n' ' ')" \
	"container 1000:1000 "
check "VM: a file of its own" inside sh -c 'echo vm >/srv/b; chown 1001:1002 /srv/b; chmod 600 /srv/b'
check "VM: a login prompt on the console" eventually 120 prompts
check "VM: a getty on each tty" eventually 120 inside sh -c 'systemctl list-units --plain --no-legend | grep -c "^lxc-tty@tty[12].*running" | grep -qx 2'
check "VM: it stops" lxc-stop -P "$L" -n $N --nokill -t 180

check "it starts as a container again" lxc-start -P "$L" -n $N --container
check "the VM's file, and its owner" is "$(inside sh -c 'cat /srv/b; stat -c "%u:%g %a" /srv/b' | tr '\n' ' ')" \
	"vm 1001:1002 600 "
content "container again"
check "the same address" is "$(address)" "$container_address"
lxc-stop -P "$L" -n $N -k
lxc-stop -P "$L" -n peer$$ -k
check "the bridge goes" "$net" stop

rm -rf --one-file-system "$L" "$TMPDIR"/busybox "$TMPDIR"/console.log "$TMPDIR"/log "$LXC_NET_CONFIG" "$LXC_RUN" \
	"$LXC_NET_LEASES"
done_testing
