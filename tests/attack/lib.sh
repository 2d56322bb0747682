# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh disable=SC2034  # variables for those who read this
# For the tests of this folder, behind tests/lib.sh: an instance "prey" in $L with the rootfs $R, and attackers.
BIVALVE_RUN=$TMPDIR/run
export BIVALVE_RUN
L=$TMPDIR/lxc R=$TMPDIR/rootfs
trap 'cd /; lxc-stop -P "$L" -n prey -k >/dev/null 2>&1; rm -rf --one-file-system "$TMPDIR"/*' EXIT
busybox_rootfs "$R"
instance "$L" prey "$R" "lxc.net.0.type = empty"

t() { timeout -k 1 20 "$@"; }
start() { t lxc-start -P "$L" -n prey "$@"; }
stop() { t lxc-stop -P "$L" -n prey -k; }
attach() { t lxc-attach -P "$L" -n prey "$@"; }
init() { t lxc-info -P "$L" -n prey -pH; }

# attacker NAME: compiled, static, into the rootfs as /attack-NAME and here as $TMPDIR/attack-NAME
attacker() {
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O1 -static -o "$TMPDIR/attack-$1" "$BV_SRC/tests/attack/$1.c" &&
		cp "$TMPDIR/attack-$1" "$R/attack-$1"
}

# refused WHAT [OPTION...]: the start fails, and the first line says WHAT
refused() {
	what=$1
	shift
	if start "$@" 2>"$TMPDIR/err"; then
		echo "it started"
		stop
		return 1
	fi
	like "$(head -n 1 "$TMPDIR/err")" "$what"
}
