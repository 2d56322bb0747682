# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# For tests in shell: . "${BV_SRC:-.}/tests/lib.sh". TAP on stdout; `done_testing` at the end.

BV_SRC=${BV_SRC:-$(cd "$(dirname "$0")/../.." && pwd)}
BV_BUILD=${BV_BUILD:-$BV_SRC/build}
BV_STAGE=${BV_STAGE:-$BV_BUILD/stage}
PATH=$BV_STAGE/bin:$PATH
tests_run=0 tests_failed=0

# check TEXT COMMAND...: ok when the command succeeds
check() {
	text=$1
	shift
	tests_run=$((tests_run + 1))
	if "$@" >"$TMPDIR/check.out" 2>&1; then
		echo "ok $tests_run - $text"
	else
		echo "# status $?: $*"
		sed 's/^/# /' "$TMPDIR/check.out"
		echo "not ok $tests_run - $text"
		tests_failed=$((tests_failed + 1))
	fi
}

# check_not TEXT COMMAND...: ok when the command fails, by itself and not by a signal or a missing program
check_not() {
	text=$1
	shift
	check "$text" fails "$@"
}

fails() {
	"$@" && return 1
	status=$?
	# 124 is timeout's: it was no failure of its own either.
	[ "$status" -lt 124 ] || return "$status"
}

# is GOT WANT, under check: compares, and shows both when they differ
is() {
	[ "$1" = "$2" ] && return 0
	printf 'got:  %s\nwant: %s\n' "$1" "$2"
	return 1
}

# like TEXT PATTERN, under check: an extended regular expression finds something in the text
like() {
	printf '%s\n' "$1" | grep -qE -- "$2" && return 0
	printf 'got:  %s\nwant: something like %s\n' "$1" "$2"
	return 1
}

# skip TEXT REASON
skip() {
	tests_run=$((tests_run + 1))
	echo "ok $tests_run - $1 # SKIP $2"
}

# skip_all REASON: nothing of this file can run here
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}

# A run directory that an instance has left goes a moment after it has stopped.
no_run_directory() {
	[ ! -d "$BIVALVE_RUN" ] || find "$BIVALVE_RUN" -depth -type d -empty -delete 2>/dev/null
	[ ! -e "$BIVALVE_RUN" ]
}

done_testing() {
	rm -f "$TMPDIR/check.out"
	eventually 5 no_run_directory
	echo "1..$tests_run"
	[ "$tests_failed" = 0 ]
	exit
}

# eventually SECONDS COMMAND...: until it succeeds, looked at every 50 ms. The time is given in full: the last look, if
# it comes to that, begins after it. Where the time itself is no promise of ours it is ample: 30 and more.
eventually() {
	eventually_end=$(($(date +%s%3N) + $1 * 1000))
	shift
	while :; do
		eventually_now=$(date +%s%3N)
		"$@" && return 0
		[ "$eventually_now" -lt "$eventually_end" ] || return 1
		sleep 0.05
	done
}

# steady COMMAND...: what it prints, once that was the same for half a second: a measure to compare others with, of what
# comes to rest a moment after the command that set it going
steady() {
	steady_now=$("$@")
	for _ in $(seq 100); do
		steady_before=$steady_now
		sleep 0.5
		steady_now=$("$@")
		[ "$steady_now" != "$steady_before" ] || break
	done
	printf '%s\n' "$steady_now"
}

# Outside tests/run a directory of our own stands in.
if [ -z "${TMPDIR:-}" ]; then
	TMPDIR=$(mktemp -d /var/tmp/bv-test.XXXXXX)
	chmod 755 "$TMPDIR"
	export TMPDIR
	trap 'rm -rf --one-file-system "$TMPDIR"' EXIT
fi

# A run directory of the test's own: nothing is seen of instances that others run.
BIVALVE_RUN=${BIVALVE_RUN:-$TMPDIR/run}
export BIVALVE_RUN

# ---- instances for tests ----
# A busybox rootfs: made once a test, shared by its instances unless they want their own. $busybox_applets: only these,
# one a line.
# busybox_rootfs DIR
busybox_rootfs() {
	mkdir -p "$1/bin" "$1/sbin" "$1/etc" "$1/dev" "$1/proc" "$1/sys" "$1/tmp" "$1/run" "$1/root" "$1/var" "$1/usr"
	cp "$(command -v busybox)" "$1/bin/busybox" || return 1
	printf '%s\n' "${busybox_applets:-$("$1/bin/busybox" --list)}" | while read -r applet; do
		[ "$applet" = busybox ] || ln -sf /bin/busybox "$1/bin/$applet"
	done
	ln -sf /bin/busybox "$1/sbin/init"
	printf 'root:x:0:0:root:/root:/bin/sh\n' >"$1/etc/passwd"
	printf 'root:x:0:\n' >"$1/etc/group"
	printf '::sysinit:/bin/true\n::respawn:/bin/sleep 1000000\n' >"$1/etc/inittab"
}

# instance LXCPATH NAME ROOTFS [LINE]...: a definition written by hand, with more config lines
instance() {
	mkdir -p "$1/$2"
	{
		cat <<-END
		lxc.rootfs.path = dir:$3
		lxc.uts.name = $2
		lxc.signal.halt = SIGUSR1
		lxc.signal.reboot = SIGTERM
		lxc.mount.auto = cgroup:mixed proc:mixed sys:ro
		END
		shift 3
		printf '%s\n' "$@"
	} >"$1/$2/config"
}
