# SPDX-License-Identifier: LGPL-2.1-or-later
# lxc-net: a bridge with DHCP, names and a way out, what it says when something is in the way, and that stop leaves
# nothing. The instances here are network namespaces with a DHCP client.
# shellcheck disable=SC2016,SC2317  # text for scripts; functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"

for tool in dnsmasq nft ip busybox; do
	command -v "$tool" >/dev/null || PATH=$PATH:/usr/sbin:/sbin
	command -v "$tool" >/dev/null || skip_all "$tool is not installed"
done
work=$(mktemp -d "$TMPDIR/lxc-net.XXXXXX")
export LXC_NET_CONFIG="$work/config" LXC_RUN="$work/run" LXC_NET_LEASES="$work/leases"
net=$BV_STAGE/libexec/lxc/lxc-net
if [ ! -x "$net" ]; then
	net=$work/script
	sed -e 's|@sysconfdir@|/etc|g; s|@localstatedir@|/var|g' "$BV_SRC/config/init/lxc-net.in" >"$net"
	chmod +x "$net"
fi
# A bridge of our own, so that nothing is mistaken for the host's.
cat >"$LXC_NET_CONFIG" <<'END'
LXC_BRIDGE=bvnet0
LXC_ADDR=10.113.3.1
LXC_NETWORK=10.113.3.0/24
LXC_DHCP_RANGE=10.113.3.2,10.113.3.254
LXC_DHCP_PING=false
LXC_IPV6_PREFIX=fd5b:1:2
END
cp "$LXC_NET_CONFIG" "$work/config.good"
pids=

# with SETTING...: start from the good settings plus these
with() {
	cp "$work/config.good" "$LXC_NET_CONFIG"
	printf '%s\n' "$@" >>"$LXC_NET_CONFIG"
}

# The state that stop has to restore.
state() {
	ip -o link | cut -d: -f2 | cut -d@ -f1 | sort
	nft list ruleset
	ip route
	pgrep -f -- "--pid-file=$LXC_RUN" || true
}

# namespace NAME: a network namespace whose pid is in $ns
namespace() {
	unshare --net sleep 1000 &
	ns=$!
	pids="$pids $ns"
	eventually 30 sh -c "[ \$(readlink /proc/$ns/ns/net) != $(readlink /proc/self/ns/net) ]"
	eval "pid_$1=$ns"
}

inside() {
	where=$1
	shift
	eval "nsenter --target \$pid_$where --net -- \"\$@\""
}

cat >"$work/udhcpc" <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
ip route replace default via "$router"
{ echo "search $domain"; for d in $dns; do echo "nameserver $d"; done; } >"$RESOLV"
END
chmod +x "$work/udhcpc"

# client NAME: an instance on the bridge that gets an address by DHCP under its name
client() {
	namespace "$1"
	ip link add "bvh_$1" type veth peer name eth0 netns "$ns"
	ip link set "bvh_$1" master bvnet0 up
	inside "$1" ip link set lo up
	inside "$1" ip link set eth0 up
	RESOLV=$work/resolv.$1 inside "$1" busybox udhcpc -f -q -n -t 20 -T 1 -i eth0 -x "hostname:$1" -s "$work/udhcpc"
}

# as NAME COMMAND...: inside, with the resolv.conf that DHCP gave
as() {
	name=$1
	shift
	eval "nsenter --target \$pid_$name --net -- unshare --mount -- sh -c 'mount --bind \"\$0\" /etc/resolv.conf && exec \"\$@\"' \
		$work/resolv.$name \"\$@\""
}

address_of() {
	inside "$1" ip -4 -o addr show eth0 | sed -n 's/.* inet \([0-9.]*\).*/\1/p'
}

before=$(state)
as_before() { [ "$(state)" = "$before" ]; }
# dnsmasq that was told to end does so a moment later.
nothing_left() { eventually 30 as_before || is "$(state)" "$before"; }
forward_before=$(cat /proc/sys/net/ipv4/ip_forward)

# ---- the normal life ----
check "start" "$net" start
check "the bridge has its address" like "$(ip -4 addr show bvnet0)" 'inet 10\.113\.3\.1/24 brd 10\.113\.3\.255'
check "and IPv6" like "$(ip -6 addr show bvnet0)" 'inet6 fd5b:1:2::1/64'
check "the bridge has the configured MAC" like "$(ip link show bvnet0)" 'link/ether 10:66:6a:00:00:00'
check "packets are forwarded" is "$(cat /proc/sys/net/ipv4/ip_forward)" 1
check "the tables are there" is "$(nft list tables | sort | tr '\n' ' ')" "table inet lxc table ip lxc table ip6 lxc "
pid=$(cat "$LXC_RUN/dnsmasq.pid")
check "dnsmasq runs" kill -0 "$pid"
check "start again says so" is "$("$net" start)" "lxc-net is already running"
check "and keeps dnsmasq" is "$(cat "$LXC_RUN/dnsmasq.pid")" "$pid"
check "status" "$net" status

check "an instance gets an address" client c1
check "another one too" client c2
check "it is in the range" like "$(address_of c1)" '^10\.113\.3\.[0-9]+$'
check "the lease is written" like "$(cat "$LXC_NET_LEASES"/dnsmasq.bvnet0.leases)" ' c1 '
check "c1 finds c2 by name" is "$(as c1 getent ahostsv4 c2 | awk '{print $1; exit}')" "$(address_of c2)"
check "and c2 finds c1 with the domain" is "$(as c2 getent ahostsv4 c1.lxc | awk '{print $1; exit}')" "$(address_of c1)"
check "c1 reaches c2 by name" as c1 busybox ping -c 1 -W 20 c2
check "c1 finds the host by name" is "$(as c1 getent ahostsv4 "$(hostname)" | awk '{print $1}' | sort -u)" 10.113.3.1
check "the host reaches c1" busybox ping -c 1 -W 20 "$(address_of c1)"
check "the host may ask for c1" like "$(busybox nslookup c1.lxc 10.113.3.1 2>&1)" "$(address_of c1)"
check "an instance cannot be called localhost" client localhost
check "which stays out of the names" like "$(busybox nslookup localhost.lxc 10.113.3.1 2>&1)" "NXDOMAIN|can't find"

# ---- the way out ----
namespace out
ip link add bvout type veth peer name eth0 netns "$ns"
ip addr add 192.0.2.1/24 dev bvout
ip link set bvout up
inside out ip addr add 192.0.2.2/24 dev eth0
inside out ip link set eth0 up
check "an instance reaches the outside, which has no route to it" inside c1 busybox ping -c 1 -W 20 192.0.2.2
ip link del bvout

# ---- restart keeps instances, stop with instances keeps the bridge ----
check "restart" "$net" restart
check "the instance is still attached" like "$(ip -o link show master bvnet0)" bvh_c1
check "and reaches the host" inside c1 busybox ping -c 1 -W 20 10.113.3.1
kill "$(cat "$LXC_RUN/dnsmasq.pid")"
eventually 30 sh -c "! kill -0 $(cat "$LXC_RUN/dnsmasq.pid") 2>/dev/null"
check "status sees that dnsmasq died" is "$("$net" status >/dev/null 2>&1; echo $?)" 3
check "start brings it back" "$net" start
check "all is well again" "$net" status
"$net" stop >"$work/out" 2>&1
check "stop with instances says that the bridge stays" like "$(cat "$work/out")" 'bvnet0 still has 3 instances attached'
check "and leaves the bridge" ip link show bvnet0
for p in $pids; do kill "$p"; wait "$p" 2>/dev/null; done
pids=
eventually 30 sh -c '! ip -o link | grep -q bvh_'
check "start takes the old bridge" "$net" start
check "stop" "$net" stop
check "stop again is no error" "$net" stop
echo "$forward_before" >/proc/sys/net/ipv4/ip_forward
check "nothing is left" nothing_left
check "status says that it is down" is "$("$net" status >/dev/null; echo $?)" 3

# ---- what may be in the way: one line, exit status 1, nothing left ----
# refuses PATTERN
refuses() {
	"$net" start >"$work/out" 2>&1
	status=$?
	is "$status" 1 && is "$(wc -l <"$work/out")" 1 && like "$(cat "$work/out")" "$1"
}

ip link add bvother type bridge
ip addr add 10.113.3.77/24 dev bvother
ip link set bvother up
check "a network in use is refused" refuses 'lxc-net: the network 10\.113\.3\.0/24 is in use already: .* on bvother; set in .*LXC_ADDR=10\.0\.'
ip link del bvother
check "nothing is left" nothing_left

dnsmasq --conf-file=/dev/null --port=53 --no-resolv --listen-address=127.0.0.1 --bind-dynamic --pid-file="$work/other.pid" \
	--interface='bv*' 2>/dev/null || dnsmasq --conf-file=/dev/null --no-resolv --pid-file="$work/other.pid"
check "a name server on all addresses is named" refuses 'port 53 of 10\.113\.3\.1 is taken by dnsmasq \(pid [0-9]+\)'
kill "$(cat "$work/other.pid")"
eventually 30 sh -c "! kill -0 $(cat "$work/other.pid") 2>/dev/null"
check "nothing is left" nothing_left

with LXC_ADDR=10.114.0.1
check "an address of another network is refused" refuses '10\.114\.0\.1 is not in LXC_NETWORK=10\.113\.3\.0/24'
with LXC_NETMASK=255.0.255.0
check "a netmask with holes is refused" refuses 'LXC_NETMASK=255\.0\.255\.0 is no netmask'
with LXC_DHCP_CONFILE="$work/no-such-file"
check "a missing dnsmasq file is named" refuses 'dnsmasq does not start: .*no-such-file'
check "nothing is left" nothing_left
with

mkdir "$work/bin"
for tool in sh cat cut id ip sed awk head grep tr hostname getent mkdir rm wc sha256sum iptables dnsmasq ss sleep; do
	path=$(command -v "$tool") && ln -s "$path" "$work/bin/$tool"
done
# Only what is in this directory is found.
sed 's|^PATH=.*|PATH=$TEST_PATH|' "$net" >"$work/script.path"
without() {
	rm -f "$work/bin/$1"
	TEST_PATH=$work/bin sh "$work/script.path" start >"$work/out" 2>&1
	status=$?
	is "$status" 1 && is "$(wc -l <"$work/out")" 1 && like "$(cat "$work/out")" "$2"
}
rm -f "$work/bin/iptables"
check "a missing nft is named with its package" without nft 'nft is not installed.*apt install nftables'
check "a missing dnsmasq is named with its package" without dnsmasq 'dnsmasq is not installed.*apt install dnsmasq-base'

# ---- another firewall ----
nft -f - <<'END'
table ip filter {
	chain FORWARD { type filter hook forward priority filter; policy drop; }
	chain INPUT { type filter hook input priority filter; policy drop; }
}
END
check "start with another firewall works" sh -c "'$net' start 2>'$work/out'"
check "and warns of what it forwards" like "$(cat "$work/out")" 'chain FORWARD of table ip filter\): instances will not reach the outside; run: .*bvnet0'
check "and of what it lets in" like "$(cat "$work/out")" 'chain INPUT of table ip filter\): instances will not get addresses'
if ! command -v iptables >/dev/null; then
	remedy=$(sed -n 's/.*FORWARD.*; run: //p' "$work/out")
	check "the command that it gives works" sh -c "$remedy"
	check "and is seen" is "$("$net" status 2>&1 >/dev/null | grep -o 'chain [A-Z]*')" "chain INPUT"
fi
check "stop" "$net" stop
nft delete table ip filter
nft add table inet firewalld
mkdir "$work/firewalld"
printf '#!/bin/sh\necho public\n' >"$work/firewalld/firewall-cmd"
chmod +x "$work/firewalld/firewall-cmd"
check "firewalld is told of" like "$(PATH=$work/firewalld:$PATH "$net" start 2>&1)" '^lxc-net: firewalld rejects .* run: firewall-cmd --permanent --zone=trusted --change-interface=bvnet0'
check "stop" "$net" stop
nft delete table inet firewalld
check "our tables are gone" is "$(nft list tables)" ""

# ---- names on the host: which tool is called with what (the tools stand in for the real ones) ----
mkdir -p "$work/tools" /run/resolvconf
printf '#!/bin/sh\n{ echo "resolvconf $*"; [ "$1" != -a ] || cat; } >>%s\n' "$work/calls" >"$work/tools/resolvconf"
printf '#!/bin/sh\necho "resolvectl $*" >>%s\n' "$work/calls" >"$work/tools/resolvectl"
chmod +x "$work/tools/resolvconf" "$work/tools/resolvectl"
# calls COMMAND: what lxc-net COMMAND calls, one line
calls() {
	: >"$work/calls"
	PATH=$work/tools:$PATH "$net" "$1" >/dev/null
	tr '\n' ';' <"$work/calls"
}
with
check "resolvconf gets the name server" is "$(calls start)" \
	"resolvconf -a bvnet0.lxc;nameserver 10.113.3.1;search lxc;"
check "and loses it" is "$(calls stop)" "resolvconf -d bvnet0.lxc;"
mkdir -p /run/systemd/resolve
check "systemd-resolved is told of the bridge" is "$(calls start)" \
	"resolvectl status;resolvectl dns bvnet0 10.113.3.1;resolvectl domain bvnet0 lxc;resolvectl default-route bvnet0 false;"
check "and told to forget it" is "$(calls stop)" "resolvectl status;resolvectl revert bvnet0;"
with LXC_HOST_DNS=false
check "neither with LXC_HOST_DNS=false" is "$(calls start; calls stop)" ""
rm -rf /run/systemd/resolve /run/resolvconf

with USE_LXC_BRIDGE=false
check "switched off, start does nothing" "$net" start
check "no bridge was made" is "$(ip -o link | grep -c bvnet0)" 0
check "an unknown word shows the usage" is "$("$net" nonsense 2>/dev/null; echo $?)" 2
echo "$forward_before" >/proc/sys/net/ipv4/ip_forward
rm -rf "$work"
done_testing
