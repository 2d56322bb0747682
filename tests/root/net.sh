# SPDX-License-Identifier: LGPL-2.1-or-later
# src/net against the kernel: links of every type that it has, addresses, routes, scripts, and what is said when
# something is missing. "The host" is the sandbox's network namespace; net_driver is the instance.
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/net.inc
. "$BV_SRC/tests/net.inc"

# run COMMAND...: inside a new instance with $config
run() {
	"$driver" run "$config" "$@"
}

# refused WHAT [HINT]: the start fails with this error and hint, and leaves no link
refused() {
	eventually 30 settled
	before=$(links)
	run true >"$work/out" 2>&1 && { echo "it started"; return 1; }
	like "$(cat "$work/out")" "^error: $1" || return 1
	[ -z "${2:-}" ] || like "$(cat "$work/out")" "^hint: $2" || return 1
	eventually 30 settled
	is "$(links)" "$before"
}

# The links of earlier instances are gone.
settled() {
	! ip -o link show type veth | grep -qv bvlan
}

# ---- without a bridge ----
config '0.type = veth' '0.flags = up' '0.link = lxcbr0'
check "the missing lxcbr0 is named" refused 'bridge "lxcbr0" \(lxc.net.0.link\) does not exist' 'start it with: .*/lxc-net start'
check "bv_net_check says the same" like "$("$driver" check "$config" 2>&1)" 'bridge "lxcbr0" .* does not exist'
config '3.type = veth' '3.link = bvnone'
check "another one too" refused 'bridge "bvnone" \(lxc.net.3.link\) does not exist' 'make it with: ip link add bvnone type bridge'

ip link add bvbr0 type bridge
ip link set bvbr0 mtu 1400
ip addr add 10.117.0.1/24 dev bvbr0
ip addr add 10.117.0.2/24 dev bvbr0
ip -6 addr add fd5c::1/64 dev bvbr0 nodad
ip link set bvbr0 up
# A link of hardware is not to be had: the end of a pair stands in.
ip link add bvlan type veth peer name bvlan_out
ip link set bvlan_out up
ip link set bvlan up

# ---- veth ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.hwaddr = 02:11:22:33:44:55' '0.ipv4.address = 10.117.0.5/24' \
	'0.ipv4.gateway = auto' '0.ipv6.address = fd5c::5/64' '0.ipv6.gateway = auto'
NET_DESCRIPTION=$work/description run sh -c 'ip addr; ip route; ip -6 route; busybox ping -c 1 -W 30 10.117.0.1' >"$work/out" 2>&1
status=$?
check "a veth works: the bridge answers" is "$status" 0
inside=$(cat "$work/out")
check "the MAC" like "$inside" 'link/ether 02:11:22:33:44:55'
check "the MTU is the bridge's" like "$inside" 'eth0@.* mtu 1400'
check "lo is up" like "$inside" 'lo: <LOOPBACK,UP'
check "the IPv4 address has its broadcast" like "$inside" 'inet 10.117.0.5/24 brd 10.117.0.255 scope global eth0'
check "the IPv6 address" like "$inside" 'inet6 fd5c::5/64 scope global'
check "gateway auto is the bridge's primary address" like "$inside" '^default via 10.117.0.1 dev eth0'
check "gateway auto for IPv6" like "$inside" '^default via fd5c::1 dev eth0'
check "the description" like "$(cat "$work/description")" '^0 veth veth[a-zA-Z0-9]{6} eth0 bvbr0 0 0 -$'
check "the pair goes with the namespace" eventually 30 settled

cat >"$work/hostside" <<'END'
host=$(ip -o link show master bvbr0 | sed 's/^[0-9]*: \([^:@]*\).*/\1/')
ip -d link show "$host"
ip -6 addr show "$host"
END
config '0.type = veth' '0.flags = up' '0.link = bvbr0' "0.script.up = sh $work/hostside"
NET_DEBUG=1 run true >"$work/out" 2>&1
out=$(cat "$work/out")
check "the host end is up in its bridge" like "$out" 'UP.* mtu 1400 .*master bvbr0'
check "its MAC is a high one" like "$out" 'link/ether fe:'
check "it has no IPv6 address of its own" like "$out" 'addrgenmode none'
check "none at all" fails like "$out" inet6

config '0.type = veth' '0.link = bvbr0' '0.ipv4.address = 10.117.0.5/24'
run ip addr >"$work/out" 2>&1
check "without flags the link stays down" fails grep -q 'eth0.*[<,]UP' "$work/out"
check "and lo too" fails grep -q 'lo.*[<,]UP' "$work/out"

config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.mtu = 1280' '0.veth.n_rxqueues = 3' '0.veth.n_txqueues = 2' \
	'1.type = veth' '1.link = bvbr0' '1.name = eth0' '2.type = empty' '3.type = veth' '3.name = lan0'
run ip -d link >"$work/out" 2>&1
check "named nics come first, the others take what is free" \
	is "$(sed -n 's/^[0-9]*: \([^:@]*\)@.*/\1/p' "$work/out" | sort | tr '\n' ' ')" "eth0 eth1 lan0 "
check "MTU and queues as configured" like "$(tr '\n' ' ' <"$work/out")" 'eth1@[^@]* mtu 1280 [^@]*numtxqueues 2 numrxqueues 3'
check "and without a plan handed to it" sh -c "NET_NOPLAN=1 '$driver' run '$config' ip link | grep -q eth1"

# ---- a fixed pair ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.veth.pair = bvpair' '0.ipv4.address = 10.117.0.5/24'
again() {
	for _ in 1 2 3 4 5; do
		run true || return 1
	done
}
check "a fixed pair starts again at once" again
check "and is gone in the end" eventually 30 sh -c '! ip link show bvpair 2>/dev/null'
ip link add bvpair type bridge
start=$(date +%s%N)
check "a name that is taken is refused" refused 'network link "bvpair" \(lxc.net.0.veth.pair\) exists already' \
	'choose another name, or remove it: ip link delete bvpair'
waited=$((($(date +%s%N) - start) / 1000000))
check "after a second of patience ($waited ms)" [ "$waited" -ge 950 ]
check "and is not changed" fails grep -q none "/proc/sys/net/ipv6/conf/bvpair/addr_gen_mode"
check "a name that becomes free is waited for" waited_for bvpair "ip link add bvpair type bridge" run true

# ---- not a bridge, VLANs ----
config '0.type = veth' '0.flags = up' '0.link = bvlan'
check "what is no bridge is called so" refused '"bvlan" \(lxc.net.0.link\) is no bridge' 'use a bridge, or lxc.net.0.type = macvlan'
if ip link add bvvlan type bridge vlan_filtering 1 2>/dev/null; then
	config '0.type = veth' '0.flags = up' '0.link = bvvlan' '0.veth.vlan.id = 7' '0.veth.vlan.tagged.id = 9' \
		'0.script.up = bridge vlan'
	NET_DEBUG=1 run true >"$work/out" 2>&1
	check "VLANs of the port" like "$(tr -s ' \n\t' ' ' <"$work/out")" '7 PVID Egress Untagged .* 9'
	ip link del bvvlan
else
	skip "VLANs of the port" "this kernel's bridges do not filter VLANs"
fi
config '0.type = veth' '0.link = bvbr0' '0.veth.vlan.id = 7'
check "a bridge that does not filter VLANs is refused" refused 'bridge "bvbr0" does not filter VLANs' 'ip link set bvbr0 type bridge vlan_filtering 1'

# ---- routes inside ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.ipv4.address = 10.117.0.5/32' '0.ipv4.gateway = 169.254.9.1' \
	'0.ipv6.address = fd5c::5/128' '0.ipv6.gateway = fe80::1'
run sh -c 'ip route; ip -6 route' >"$work/out" 2>&1
check "a gateway off the subnet gets a route first" like "$(tr '\n' ' ' <"$work/out")" \
	'default via 169.254.9.1 dev eth0 .*169.254.9.1 dev eth0 scope link'
check "a link-local gateway does not" like "$(cat "$work/out")" 'default via fe80::1 dev eth0'
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.ipv4.address = 10.117.0.5/32' '0.ipv4.gateway = dev' \
	'0.ipv6.address = fd5c::5/128' '0.ipv6.gateway = dev'
run sh -c 'ip route; ip -6 route' >"$work/out" 2>&1
check "gateway dev" like "$(cat "$work/out")" '^default dev eth0 scope link'
check "gateway dev for IPv6" like "$(cat "$work/out")" '^default dev eth0 metric'
ip link add bvbare type bridge
config '0.type = veth' '0.flags = up' '0.link = bvbare' '0.ipv4.address = 10.117.0.5/24' '0.ipv4.gateway = auto'
check "gateway auto of a bridge without address" refused '"bvbare" has no IPv4 address that lxc.net.0.ipv4.gateway = auto could take'
ip link del bvbare

{
	echo 'lxc.net.0.type = veth'
	echo 'lxc.net.0.flags = up'
	echo 'lxc.net.0.link = bvbr0'
	for i in 1 2 3 4 5 6 7 8; do
		for k in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
			echo "lxc.net.0.ipv4.address = 10.118.$i.$k/16"
		done
	done
} >"$config"
check "160 addresses" is "$(run ip -4 -o addr show eth0 | wc -l)" 160
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.ipv4.address = 10.117.0.5/24' '0.ipv4.address = 10.117.0.5/24'
check "an address twice" refused 'cannot add the address 10.117.0.5/24 to "eth0": File exists'

# ---- router mode ----
# The kernel answers for the gateway only while it has a route to it by another link.
ip addr add 10.119.0.1/24 dev bvlan
ip route add default via 10.119.0.9
config '0.type = veth' '0.flags = up' '0.veth.mode = router' '0.veth.pair = bvrouter' '0.ipv4.address = 10.120.0.5/32' \
	'0.ipv4.gateway = 169.254.9.1' '0.ipv6.address = fd5d::5/128' '0.ipv6.gateway = fe80::9' \
	'0.veth.ipv4.route = 10.121.0.0/16' '0.veth.ipv6.route = fd5e::/64' \
	"0.script.up = sh -c 'ip route; ip -6 route; ip neigh show proxy; ip -6 neigh show proxy'"
NET_DEBUG=1 run sh -c 'busybox ping -c 1 -W 30 10.119.0.1' >"$work/out" 2>&1
status=$?
check "router mode: the host answers through the gateway" is "$status" 0
out=$(cat "$work/out")
check "the host has a route to the address" like "$out" 'script: 10.120.0.5 dev bvrouter scope link'
check "and to the IPv6 address" like "$out" 'script: fd5d::5 dev bvrouter'
check "and the configured routes" like "$(echo "$out" | tr '\n' ' ')" '10.121.0.0/16 dev bvrouter .*fd5e::/64 dev bvrouter'
check "it answers for the gateways" like "$(echo "$out" | tr '\n' ' ')" '169.254.9.1 dev bvrouter +proxy .*fe80::9 dev bvrouter +proxy'
check "the routes are gone" is "$(ip route | grep -c -e 10.120 -e 10.121)" 0
ip route add 10.120.0.5/32 dev bvlan
check "a route that another link has is refused" refused 'lxc.net.0 \(veth\): cannot add the host.s route to 10.120.0.5 through "bvrouter": File exists' \
	'another link has that route already'
ip route del 10.120.0.5/32 dev bvlan
ip route del default

# ---- macvlan, ipvlan, vlan ----
config '0.type = macvlan' '0.flags = up' '0.link = bvlan' '0.macvlan.mode = bridge' '0.hwaddr = 02:11:22:33:44:66' \
	'0.ipv4.address = 10.119.0.5/24' '1.type = macvlan' '1.flags = up' '1.link = bvlan' '1.name = two'
run ip -d addr >"$work/out" 2>&1
check "a macvlan" like "$(tr '\n' ' ' <"$work/out")" 'eth0@[^@]*02:11:22:33:44:66[^@]*macvlan mode bridge[^@]*inet 10.119.0.5/24'
check "two macvlans" like "$(tr '\n' ' ' <"$work/out")" 'two@[^@]*macvlan mode private'
config '0.type = macvlan' '0.link = bvnone'
check "a missing parent" refused 'network link "bvnone" \(lxc.net.0.link\) does not exist'
# kind CONFIG_OPTION KIND [ARGUMENT]...: works, or the sentence of a kernel without it
kind() {
	option=$1
	shift
	if ip link add link bvlan name bvprobe type "$@" 2>/dev/null; then
		ip link del bvprobe
		check "$1" like "$(run ip -d link 2>&1)" "$1 "
	else
		check "a kernel without $1 is told of" refused "this kernel has no $1 links \($option\), which lxc.net.0.type asks for" 'try: modprobe'
	fi
}
config '0.type = ipvlan' '0.flags = up' '0.link = bvlan' '0.ipvlan.mode = l2'
kind CONFIG_IPVLAN ipvlan
config '0.type = vlan' '0.flags = up' '0.link = bvlan' '0.vlan.id = 5'
kind CONFIG_VLAN_8021Q vlan id 5

# ---- phys ----
ip link set bvlan down
ip link set bvlan mtu 1300
index=$(cat /sys/class/net/bvlan/ifindex)
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '1.type = phys' '1.flags = up' '1.link = bvlan' '1.name = wan' '1.mtu = 1200' \
	'1.ipv4.address = 10.119.0.5/24' '1.hwaddr = 02:11:22:33:44:77'
NET_DESCRIPTION=$work/description run ip addr >"$work/out" 2>&1
check "phys is moved, renamed and set" like "$(tr '\n' ' ' <"$work/out")" 'wan@[^@]*UP[^@]*mtu 1200[^@]*02:11:22:33:44:77[^@]*inet 10.119.0.5/24'
check "the description has what is to be restored" like "$(cat "$work/description")" "^1 phys bvlan wan bvlan 1300 $index -"
check "it is back with its name, index and MTU" like "$(ip link show bvlan)" "^$index: bvlan@.* mtu 1300"
config '0.type = phys' '0.flags = up' '0.link = bvlan'
run ip -o link >"$work/out" 2>&1
check "without a name it keeps its own" like "$(cat "$work/out")" 'bvlan@.*UP'
check "renamed inside it comes back all the same" run ip link set bvlan down name other
run sh -c 'ip link set bvlan down; ip link set bvlan name other' 2>/dev/null
check "under its name" ip link show bvlan
config '0.type = phys' '0.link = bvla+' '0.name = eth0'
ip link set bvlan_out name zz_out
check "a prefix finds it" sh -c "'$driver' run '$config' ip link show eth0"
ip link set zz_out name bvlan_out up
config '0.type = phys' '0.link = bvnone+'
check "a prefix that nothing has" refused 'no network link begins with "bvnone"'
config '0.type = phys' '0.link = bvlan' '1.type = veth' '1.link = bvbr0' '1.veth.pair = bvbr0'
check "a failed start gives phys back" refused 'network link "bvbr0" \(lxc.net.1.veth.pair\) exists already'
config '0.type = veth' '0.link = bvbr0' '1.type = veth' '1.link = bvbr0' '1.veth.pair = bvlan'
check "and removes the pairs that it made" refused 'network link "bvlan" \(lxc.net.1.veth.pair\) exists already'

ip link add bvdies type veth peer name bvdies_out
config '0.type = phys' '0.link = bvdies'
check "a virtual phys that died with the namespace is told of" like "$(NET_DETACH=gone run true 2>&1)" \
	'error: network link "bvdies" \(lxc.net.0\) did not come back from the instance'

# ---- l2proxy ----
ip link set bvlan up
config '0.type = veth' '0.veth.mode = router' '0.link = bvlan' '0.l2proxy = 1' '0.flags = up' '0.ipv4.address = 10.119.0.50/32' \
	"0.script.up = sh -c 'ip neigh show proxy'"
echo 0 >/proc/sys/net/ipv4/conf/bvlan/forwarding
check "l2proxy wants forwarding" refused 'lxc.net.0.l2proxy needs /proc/sys/net/ipv4/conf/bvlan/forwarding to be 1' 'echo 1 >'
echo 1 >/proc/sys/net/ipv4/conf/bvlan/forwarding
NET_DEBUG=1 run true >"$work/out" 2>&1
check "the parent answers for the address" like "$(cat "$work/out")" '10.119.0.50 dev bvlan +proxy'
check "until the end" is "$(ip neigh show proxy)" ""

# ---- scripts ----
cat >"$work/script" <<'END'
#!/bin/sh
echo "args: $*"
env | sort | sed 's/^/env: /'
ls /proc/self/fd | tr '\n' ' '
END
chmod +x "$work/script"
config '0.type = veth' '0.link = bvbr0' '0.veth.pair = bvpair' "0.script.up = $work/script 'my word'" "0.script.down = $work/script" \
	'1.type = empty' "1.script.up = $work/script"
SECRET=1 NET_DEBUG=1 run true >"$work/out" 2>&1
out=$(cat "$work/out")
check "script arguments" like "$out" 'script: args: my word c1 net up veth bvbr0 bvpair$'
check "and at the end" like "$out" 'script: args: c1 net down veth bvbr0 bvpair$'
check "type empty has a script too" like "$out" 'script: args: c1 net up empty$'
check "the environment is clean" fails like "$out" 'env: (SECRET|NET_DEBUG)'
check "and says whose it is" like "$out" 'env: LXC_NAME=c1'
check "no fd is left open" like "$out" 'script: 0 1 2 3 $'
config 'lxc.hook.version = 1' '0.type = veth' '0.link = bvbr0' '0.veth.pair = bvpair' "0.script.up = $work/script"
NET_DEBUG=1 run true >"$work/out" 2>&1
out=$(grep script: "$work/out" | sed 's/.*script: //' | tr '\n' ' ')
check "hook version 1: no arguments" like "$out" '^args:  '
check "but an environment" like "$out" \
	'LXC_HOOK_SECTION=net env: LXC_HOOK_TYPE=up env: LXC_HOOK_VERSION=1 env: LXC_NAME=c1 env: LXC_NET_PARENT=bvbr0 env: LXC_NET_PEER=bvpair env: LXC_NET_TYPE=veth'
config '0.type = veth' '0.link = bvbr0' "0.script.up = sh -c 'exit 3'"
run true >"$work/out" 2>&1
check "a failing script is named" like "$(cat "$work/out")" '^error: lxc.net.0.script.up \(sh -c .exit 3.\) failed with exit status 3'
config '0.type = veth' '0.link = bvbr0' "0.script.up = $work/nothing"
run true >"$work/out" 2>&1
check "a missing one too" like "$(cat "$work/out")" "^error: lxc.net.0.script.up \($work/nothing\) failed with exit status 127"
config '0.type = veth' '0.link = bvbr0' '0.script.down = false'
check "a failing down script is only logged" like "$(run true 2>&1; echo "status $?")" 'log: WARN net: lxc.net.0.script.down \(false\) failed'
config '0.type = veth' '0.link = bvbr0' "0.script.up = sh -c 'sleep 300 & echo \$! >$work/daemon'"
start=$(date +%s%N)
run true
took=$((($(date +%s%N) - start) / 1000000))
check "a daemon that a script leaves is not waited for ($took ms)" [ "$took" -lt 60000 ]
kill "$(cat "$work/daemon")"

# ---- what lxc-info asks ----
config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.veth.pair = bvpair' '0.ipv4.address = 10.117.0.5/24' '0.ipv6.address = fd5c::5/64' \
	'1.type = veth' '1.flags = up' '1.link = bvbr0' '1.ipv4.address = 10.117.0.6/24'
mkfifo "$work/fifo"
run sh -c "echo \$\$ >'$work/pid'; read x <'$work/fifo'" &
eventually 30 [ -s "$work/pid" ]
"$driver" addresses "$(cat "$work/pid")" | grep -v fe80 >"$work/out"
check "addresses" is "$(tr '\n' ' ' <"$work/out")" \
	"lo 127.0.0.1/8 local eth0 10.117.0.5/24 eth1 10.117.0.6/24 lo ::1/128 local eth0 fd5c::5/64 "
busybox ping -c 2 -W 30 10.117.0.5 >/dev/null
check "counters" like "$("$driver" counters bvpair)" '^rx [1-9][0-9]* [1-9][0-9]* tx [1-9]'
echo x >"$work/fifo"
wait
check "counters of a link that is not there" is "$("$driver" counters bvnone)" "No such device"

# ---- how many system calls ----
if command -v strace >/dev/null; then
	config '0.type = veth' '0.flags = up' '0.link = bvbr0' '0.hwaddr = 02:11:22:33:44:55' '0.ipv4.address = 10.117.0.5/24' \
		'0.ipv4.gateway = 10.117.0.1'
	strace -f -o "$work/trace" -e trace='%network,ioctl,getrandom' "$driver" run "$config" true
	# libc's own getrandom has a flag.
	calls=$(grep -v -e GRND_NONBLOCK -e exited -e '---' -e TCGETS "$work/trace" | grep -v resumed | cut -d'(' -f1 | awk '{print $2}' | sort | uniq -c | awk '{print $1, $2}' | tr '\n' ' ')
	check "a veth needs six requests and five replies of the kernel" is "$calls" \
		"1 getrandom 1 ioctl 3 recvmsg 3 sendto 2 setsockopt 2 socket "
else
	skip "system calls of a veth" "strace is not installed"
fi

eventually 30 settled
ip link del bvlan
ip link del bvbr0
ip link del bvdies 2>/dev/null
check "no link is left" is "$(links)" "lo "
rm -rf "$work"
done_testing
