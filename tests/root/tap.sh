# SPDX-License-Identifier: LGPL-2.1-or-later
# src/net/tap.c, macvtap.c against the kernel: the links of a VM. net_driver stands in for the engine and for QEMU.
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
[ -e /dev/net/tun ] || skip_all "there is no /dev/net/tun"
# shellcheck source=tests/net.inc
. "$BV_SRC/tests/net.inc"

# tap COMMAND...: on the host, while the taps of $config exist
tap() {
	"$driver" tap "$config" "$@"
}

# refused WHAT [HINT]: the start fails with this error and hint, and leaves no link
refused() {
	before=$(links)
	tap true >"$work/out" 2>&1 && { echo "it started"; return 1; }
	like "$(cat "$work/out")" "^error: $1" || return 1
	[ -z "${2:-}" ] || like "$(cat "$work/out")" "^hint: $2" || return 1
	is "$(links)" "$before"
}

# ---- a bridge with a neighbour, whom a guest can ask for his MAC ----
ip link add bvbr0 type bridge
ip link set bvbr0 mtu 1400
ip link set bvbr0 address 02:bb:bb:bb:bb:bb
ip link set bvbr0 up
unshare -n sleep 600 &
neighbour=$!
ip link add bvport type veth peer name bvpeer
ip link set bvport master bvbr0 up
in_neighbour() {
	nsenter -t "$neighbour" -n "$@"
}
moved() {
	[ "$(readlink "/proc/$neighbour/ns/net")" != "$(readlink /proc/self/ns/net)" ] && ip link set bvpeer netns "$neighbour"
}
eventually 30 moved
in_neighbour ip link set bvpeer address 02:00:00:00:00:99 up
in_neighbour ip addr add 10.117.0.99/24 dev bvpeer
all_links=$(links)

# ---- a tap ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.hwaddr = 02:11:22:33:44:55' '0.ipv4.address = 10.117.0.5/24'
# shellcheck disable=SC2016
NET_DESCRIPTION=$work/description tap sh -c '
	host=$(sed -n "s/^0 veth \([^ ]*\) .*/\1/p" "$1/description")
	"$2" arp 0 02:11:22:33:44:55 10.117.0.5 10.117.0.99
	echo "mac $(cat /sys/class/net/bvbr0/address)"
	"$2" counters "$host"
	ip -d link show "$host"; ip addr show "$host"' sh "$work" "$driver" >"$work/out" 2>&1
out=$(tr '\n' ' ' <"$work/out")
check "frames pass: the neighbour at the bridge answers" is "$(head -n 1 "$work/out")" "02:00:00:00:00:99"
check "the description is that of a veth" like "$(cat "$work/description")" '^0 veth veth[a-zA-Z0-9]{6} eth0 bvbr0 0 0 -$'
check "it is up in its bridge, with the bridge's MTU" like "$out" 'UP.* mtu 1400 .*master bvbr0'
check "it is a tap that goes with its last fd" like "$out" 'tun type tap pi off vnet_hdr on persist off'
check "with one queue" fails like "$out" 'multi_queue'
check "its MAC is a high one" like "$out" 'link/ether fe:'
check "the bridge keeps its own" like "$out" 'mac 02:bb:bb:bb:bb:bb'
check "it has no IPv6 address of its own" like "$out" 'addrgenmode none'
check "none at all" fails like "$out" inet6
check "counters: what the guest sent was received here" like "$out" 'rx [1-9][0-9]* [1-9][0-9]* tx [1-9]'
check "nothing is left" is "$(links)" "$all_links"

config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.mtu = 1280' '0.veth.pair = bvtap' '1.type = empty' \
	'2.type = veth' '2.veth.pair = bvalone'
NET_QUEUES=3 NET_DESCRIPTION=$work/description tap sh -c 'echo "fds $NET_TAPS"; ip -d link show bvtap; ls /sys/class/net/bvtap/queues; ip link show bvalone' \
	>"$work/out" 2>&1
out=$(tr '\n' ' ' <"$work/out")
check "three queues are three fds" like "$out" '^fds [0-9]+ [0-9]+ [0-9]+ '
check "of one link" like "$out" 'multi_queue numqueues 3'
check "with its own name and MTU" like "$out" 'bvtap: .* mtu 1280'
check "a link without a bridge" like "$out" 'bvalone: .*UP'
check "empty has none" like "$(tr '\n' ' ' <"$work/description")" '^0 veth bvtap eth0 bvbr0 0 0 - 1 empty - - - 0 0 - 2 veth bvalone eth1 - 0 0 - $'
NET_QUEUES=3 tap sh -c 'for q in 0 1 2; do "$1" arp $q 02:11:22:33:44:55 10.117.0.5 10.117.0.99; done' sh "$driver" >"$work/out" 2>&1
check "frames pass through each" is "$(tr '\n' ' ' <"$work/out")" "02:00:00:00:00:99 02:00:00:00:00:99 02:00:00:00:00:99 "
check "nothing is left of them" is "$(links)" "$all_links"
NET_DETACH=none tap true
check "nor of a VM that was killed" is "$(links)" "$all_links"

# ---- a fixed name ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.veth.pair = bvtap'
again() {
	for _ in 1 2 3 4 5; do
		tap true || return 1
	done
}
check "a fixed name starts again at once" again
taken='network link "bvtap" \(lxc.net.0.veth.pair\) exists already'
ip link add bvtap type bridge
check "the name of another link is refused" refused "$taken" 'choose another name, or remove it: ip link delete bvtap'
check "a name that becomes free is waited for" waited_for bvtap "ip link add bvtap type bridge" tap true
ip tuntap add bvtap mode tap
check "somebody's tap is not taken" refused "$taken"
check "it is waited for too" waited_for bvtap "ip tuntap add bvtap mode tap" tap true
config '0.type = veth' '0.link = bvbr0' '1.type = veth' '1.link = bvbr0' '1.veth.pair = bvport'
check "a failed start removes the taps that it made" refused 'network link "bvport" \(lxc.net.1.veth.pair\) exists already'

# ---- refusals ----
ip link add bvlan type veth peer name bvlan_out
ip link set bvlan_out up
ip link set bvlan up
config '0.type = veth' '0.link = bvlan'
check "what is no bridge is called so" refused '"bvlan" \(lxc.net.0.link\) is no bridge' 'use a bridge, or lxc.net.0.type = macvlan'
config '0.type = veth' '0.link = bvbr0' '0.veth.vlan.id = 7'
check "a bridge that does not filter VLANs is refused" refused 'bridge "bvbr0" does not filter VLANs' 'ip link set bvbr0 type bridge vlan_filtering 1'
config '0.type = veth' '0.link = bvbr0' '2.type = phys' '2.link = bvlan'
check "phys is refused" refused 'lxc.net.2.type = phys cannot be had in a VM' 'use lxc.net.2.type = macvlan, or run it as a container'
config '0.type = ipvlan' '0.link = bvlan'
check "ipvlan too" refused 'lxc.net.0.type = ipvlan cannot be had in a VM'
config '0.type = vlan' '0.link = bvlan' '0.vlan.id = 5'
check "and vlan" refused 'lxc.net.0.type = vlan cannot be had in a VM' 'use lxc.net.0.type = veth'
if ip link add bvvlan type bridge vlan_filtering 1 2>/dev/null; then
	config '0.type = veth' '0.flags = up' '0.link = bvvlan' '0.veth.vlan.id = 7' '0.veth.vlan.tagged.id = 9'
	tap bridge vlan >"$work/out" 2>&1
	check "VLANs of the port" like "$(tr -s ' \n\t' ' ' <"$work/out")" '7 PVID Egress Untagged .* 9'
	ip link del bvvlan
else
	skip "VLANs of the port" "this kernel's bridges do not filter VLANs"
fi

# ---- router mode ----
ip addr add 10.119.0.1/24 dev bvlan
ip route add default via 10.119.0.9
config '0.type = veth' '0.flags = up' '0.veth.mode = router' '0.veth.pair = bvrouter' '0.ipv4.address = 10.120.0.5/32' \
	'0.ipv4.gateway = 169.254.9.1' '0.ipv6.address = fd5d::5/128' '0.ipv6.gateway = fe80::9' \
	'0.veth.ipv4.route = 10.121.0.0/16' '0.veth.ipv6.route = fd5e::/64'
# shellcheck disable=SC2016
tap sh -c 'sleep 1.5; ip route; ip -6 route; ip neigh show proxy; ip -6 neigh show proxy
	"$1" arp 0 02:11:22:33:44:55 10.120.0.5 169.254.9.1; cat /sys/class/net/bvrouter/address' sh "$driver" >"$work/out" 2>&1
out=$(tr '\n' ' ' <"$work/out")
check "the host has routes to the addresses" like "$out" '10.120.0.5 dev bvrouter scope link.* fd5d::5 dev bvrouter'
check "and the configured routes" like "$out" '10.121.0.0/16 dev bvrouter .*fd5e::/64 dev bvrouter'
check "it answers for the gateways, a second later still" like "$out" '169.254.9.1 dev bvrouter +proxy .*fe80::9 dev bvrouter +proxy'
check "asked by a guest" is "$(tail -n 2 "$work/out" | sort -u | grep -c '^fe:')" 1
check "the routes are gone" is "$(ip route | grep -c -e 10.120 -e 10.121)" 0
ip route add 10.120.0.5/32 dev bvlan
check "a route that another link has is refused" refused 'lxc.net.0 \(veth\): cannot add the host.s route to 10.120.0.5 through "bvrouter": File exists'
ip route del 10.120.0.5/32 dev bvlan
ip route del default

# ---- l2proxy ----
config '0.type = veth' '0.veth.mode = router' '0.link = bvlan' '0.l2proxy = 1' '0.flags = up' '0.ipv4.address = 10.119.0.50/32'
echo 1 >/proc/sys/net/ipv4/conf/bvlan/forwarding
check "the parent answers for the address" like "$(tap ip neigh show proxy)" '10.119.0.50 dev bvlan +proxy'
check "until the end" is "$(ip neigh show proxy)" ""
ip link del bvlan

# ---- scripts ----
cat >"$work/script" <<'END'
#!/bin/sh
echo "args: $*" >>"${0%/*}/said"
END
chmod +x "$work/script"
config '0.type = veth' '0.link = bvbr0' '0.veth.pair = bvtap' "0.script.up = $work/script" "0.script.down = $work/script"
tap true
check "scripts get what they get of a container" is "$(cat "$work/said")" "args: c1 net up veth bvbr0 bvtap
args: c1 net down veth bvbr0 bvtap"

# ---- macvtap ----
# Its parent is one end of a pair, the neighbour has the other.
ip link add bvmac type veth peer name bvmacpeer
ip link set bvmacpeer netns "$neighbour"
in_neighbour ip link set bvmacpeer address 02:00:00:00:00:98 up
in_neighbour ip addr add 10.118.0.98/24 dev bvmacpeer
ip link set bvmac up
all_links=$(links)
ask='ip -d link show type macvtap; "$1" arp 0 02:11:22:33:44:66 10.118.0.5 10.118.0.98'
config '0.type = macvlan' '0.flags = up' '0.link = bvmac' '0.macvlan.mode = bridge' '0.hwaddr = 02:11:22:33:44:66' '0.mtu = 1300'
if ip link add link bvmac name bvprobe type macvtap 2>/dev/null; then
	ip link del bvprobe
	NET_DESCRIPTION=$work/description tap sh -c "$ask" sh "$driver" >"$work/out" 2>&1
	out=$(tr '\n' ' ' <"$work/out")
	check "a macvtap with the nic's mode, MTU and MAC" like "$out" 'mtap[a-zA-Z0-9]{6}@bvmac: .*UP.* mtu 1300 .*02:11:22:33:44:66.*macvtap mode bridge'
	check "frames pass" is "$(tail -n 1 "$work/out")" "02:00:00:00:00:98"
	check "its name and index are in the description" like "$(cat "$work/description")" '^0 macvlan mtap[a-zA-Z0-9]{6} eth0 bvmac 0 [1-9][0-9]* -$'
	check "it is removed" is "$(links)" "$all_links"
	NET_QUEUES=2 tap sh -c 'for q in 0 1; do "$1" arp $q 02:11:22:33:44:66 10.118.0.5 10.118.0.98; done' sh "$driver" >"$work/out" 2>&1
	check "two queues" is "$(tr '\n' ' ' <"$work/out")" "02:00:00:00:00:98 02:00:00:00:00:98 "
	# shellcheck disable=SC2016
	unshare -m sh -c 'mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"' sh \
		"$driver" tap "$config" sh -c "$ask" sh "$driver" >"$work/out" 2>&1
	check "without a node in /dev" is "$(tail -n 1 "$work/out")" "02:00:00:00:00:98"
	parent=$(cat /sys/class/net/bvmac/address)
	config '0.type = macvlan' '0.flags = up' '0.link = bvmac' '0.macvlan.mode = passthru' '0.hwaddr = 02:11:22:33:44:66'
	tap sh -c "$ask" sh "$driver" >"$work/out" 2>&1
	check "passthru has the nic's MAC too" like "$(tr '\n' ' ' <"$work/out")" '02:11:22:33:44:66.*macvtap mode passthru.* 02:00:00:00:00:98 $'
	check "and its parent gets its own back" is "$(cat /sys/class/net/bvmac/address)" "$parent"
	config '0.type = macvlan' '0.link = bvmac'
	check "without hwaddr a MAC is made" like "$(tap ip link show type macvtap)" 'link/ether .[26ae]:'

	NET_DETACH=none NET_DESCRIPTION=$work/description tap true
	check "a crash leaves it" fails is "$(links)" "$all_links"
	check "and the clean-up" "$driver" detach "$config" "$work/description"
	check "removes it" is "$(links)" "$all_links"
	host=$(cut -d' ' -f3 "$work/description")
	ip link add "$host" type bridge
	check "once more" "$driver" detach "$config" "$work/description"
	check "and never another link of that name" ip link del "$host"
	config '0.type = macvlan' '0.link = bvmac' '1.type = veth' '1.link = bvbr0' '1.veth.pair = bvport'
	check "a failed start removes it too" refused 'network link "bvport" \(lxc.net.1.veth.pair\) exists already'
else
	check "a kernel without macvtap is told of" refused 'this kernel has no macvtap links \(CONFIG_MACVTAP\), which lxc.net.0.type asks for' 'try: modprobe macvtap'
fi

kill "$neighbour"
wait "$neighbour" 2>/dev/null
ip link del bvmac 2>/dev/null
ip link del bvport 2>/dev/null
ip link del bvbr0
check "no link is left" is "$(links)" "lo "
rm -rf "$work"
done_testing
