#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Standard output and exit code of our commands and of an installed LXC 5, for the same command lines on the same
# stopped instances: they must be equal. What differs on purpose is in tests/cli/*.out and in lxc(7).
set -u
src=$(cd "$(dirname "$0")" && pwd)
bin=${BV_BIN:-${BV_STAGE:+$BV_STAGE/bin}}
lxc=/usr/bin
if [ ! -x "$bin/lxc-ls" ]; then
	echo "1..0 # SKIP no commands: set BV_BIN to their directory"
	exit 0
fi
case $("$lxc/lxc-ls" --version 2>/dev/null) in
5.*) ;;
*)
	echo "1..0 # SKIP LXC 5 is not installed"
	exit 0
	;;
esac
bin=$(cd "$bin" && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$tmp"' EXIT
BIVALVE_RUN=$tmp/run LC_ALL=C
export BIVALVE_RUN LC_ALL
mkdir "$tmp/run"
# LXC reads no names of 1.0 and stops at a broken configuration.
cp -R "$src/lxcpath" "$tmp/lxc" && rm -r "$tmp/lxc/old" "$tmp/lxc/broken"

# one DIRECTORY COMMAND ARGUMENT...
one() {
	dir=$1 command=$2
	shift 2
	"$dir/$command" "$@" 2>/dev/null </dev/null
	echo "= $?"
}

n=0 failed=0
same() {
	n=$((n + 1))
	one "$lxc" "$@" >"$tmp/theirs"
	one "$bin" "$@" >"$tmp/ours"
	if cmp -s "$tmp/theirs" "$tmp/ours"; then
		echo "ok $n - $*"
	else
		failed=$((failed + 1))
		echo "not ok $n - $*"
		diff "$tmp/theirs" "$tmp/ours" | sed 's/^/#   /'
	fi
}

P=$tmp/lxc
for name in web1 db nosuch; do
	same lxc-info -P "$P" "$name"
	same lxc-info -P "$P//" -n "$name" -H
	for selector in -s -p -i -S -sH -pH -iH -SH -sp -spH -siH; do
		same lxc-info -P "$P" -n "$name" "$selector"
	done
	same lxc-stop -P "$P" "$name"
	same lxc-stop -P "$P" "$name" -k
	same lxc-wait -P "$P" "$name" -s STOPPED -t 0
	same lxc-wait -P "$P" "$name" -s 'STOPPED|RUNNING'
	same lxc-wait -P "$P" "$name" -s RUNNING -t 1
	same lxc-freeze -P "$P" "$name"
	same lxc-console -P "$P" "$name"
	same lxc-attach -P "$P" "$name" -- true
done
for key in lxc.uts.name lxc.rootfs.path lxc.cap.drop lxc.mount.entry lxc.tty.max lxc.tty.dir lxc.pty.max lxc.idmap \
	lxc.group lxc.start.auto lxc.start.order lxc.net.0.type lxc.net.0.link lxc.net.0.flags lxc.net.0.hwaddr \
	lxc.signal.halt lxc.signal.stop lxc.autodev lxc.mount.auto lxc.hook.start lxc.init.cmd lxc.environment \
	lxc.console.buffer.size lxc.ephemeral lxc.no.such; do
	same lxc-info -P "$P" web1 -c "$key"
	same lxc-info -P "$P" db -H -c "$key"
done
same lxc-info -P "$P" web1 -c lxc.uts.name -c lxc.cap.drop -c lxc.no.such -c lxc.tty.max
same lxc-info -P "$P" web1 -s -c lxc.uts.name
for selector in -sH -pH -SH -spH -siH; do
	same lxc-info -P "$P" web1 "$selector" -c lxc.uts.name
	same lxc-info -P "$P" web1 "$selector" -c lxc.uts.name -c lxc.tty.max
done
same lxc-ls -P "$P" -1
same lxc-ls -P "$P" -f
same lxc-ls -P "$P" -f db
same lxc-ls -P "$P" -f --filter '^w'
same lxc-ls -P "$P" -f nothing
same lxc-ls -P "$P/nosuch"
same lxc-ls -P "$P" -f -F name,state,pid,ram,swap,interface,ipv4,ipv6
same lxc-ls -P "$P" -f -F NAME,AUTOSTART,GROUPS,UNPRIVILEGED
same lxc-ls -P "$P" -1 --stopped
same lxc-ls -P "$P" -1 --running
same lxc-ls -P "$P" -1 --frozen
same lxc-ls -P "$P" -1 --active
same lxc-ls -P "$P" -1 --defined
same lxc-ls -P "$P" -1 -g onboot
same lxc-ls -P "$P" -1 -g onboot,data
same lxc-ls -P "$P" -1 -g onboot,nosuch
same lxc-info
same lxc-start
same lxc-start -P "$P" nosuch
same lxc-start -Z
same lxc-start --help
same lxc-start '-?'
same lxc-start --usage
same lxc-stop -P "$P" web1 -k -t 3
same lxc-wait -P "$P" web1
same lxc-create -P "$P" web1 -t none
same lxc-create -P "$P" new
same lxc-create -P "$P" new -t no-such-template
same lxc-destroy -P "$P" nosuch
for key in $("$lxc/lxc-config" -l); do
	# Where things are is the build's own matter.
	case $key in
	lxc.default_config | lxc.lxcpath) ;;
	*) same lxc-config "$key" ;;
	esac
done
same lxc-config lxc.nosuch
echo "1..$n"
[ "$failed" = 0 ]
