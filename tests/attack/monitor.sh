# SPDX-License-Identifier: LGPL-2.1-or-later
# The monitor's command socket, and the run directory, against other users, garbage and clients that say nothing.
# timeout: 300
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/prey.inc"
command -v "${CC:-cc}" >/dev/null || skip_all "no C compiler"
attacker socket || skip_all "cannot compile socket.c statically"

chmod 755 "$TMPDIR"
start -s lxc.tty.max=2 || exit 1
monitor=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/prey/state)
# A socket's address has room for 107 bytes.
cd "$BIVALVE_RUN"/*/prey || exit 1
fds() { find "/proc/$monitor/fd" -mindepth 1 | wc -l; }
before=$(steady fds)
memory=$(awk '/^VmData/ { print $2 }' "/proc/$monitor/status")
as_before() { [ "$(fds)" = "$before" ]; }
torment() { "$TMPDIR/attack-socket" command "$@"; }
serves() {
	[ -d "/proc/$monitor" ] && eventually 30 as_before && is "$(t lxc-info -P "$L" -n prey -sH)" RUNNING || return 1
	# The console answers: the escape at once.
	printf '\001q' | t lxc-console -P "$L" -n prey -t 1 >/dev/null 2>&1
	[ $? -lt 124 ] && eventually 30 as_before
}
check "it serves at first" serves
check "2000 messages of garbage" torment garbage
check "it serves after them" serves
check "messages with 253 file descriptors" torment fds
check "it serves, and has none of them" serves
check "500 clients that leave at once" torment slow
check "it serves after those" serves
torment hang 300 &
sleep 0.5
check "300 silent clients: lxc-info answers" is "$(t lxc-info -P "$L" -n prey -sH)" RUNNING
check "300 silent clients: lxc-attach works" attach -- true
check "300 silent clients: it holds few of them" test "$(fds)" -lt 100
wait
check "it serves after they have left" serves
now=$(awk '/^VmData/ { print $2 }' "/proc/$monitor/status")
check "its memory did not grow by a megabyte" test "$now" -lt $((memory + 1024))

# ---- other users ----
check "another user cannot reach the socket" is "$(torment user 65534)" refused
chmod 711 "$BIVALVE_RUN" "$BIVALVE_RUN"/* "$BIVALVE_RUN"/*/prey
chmod 666 command
check "nor is one served who can" is "$(torment user 65534)" refused
check "root is" is "$(torment user 0)" served
chmod 700 "$BIVALVE_RUN"/*/prey
chmod 600 command
check "nothing in the run directory can be read by others" is "$(find "$BIVALVE_RUN"/*/prey -mindepth 1 -perm /077)" ""
cd /
stop

# ---- what lies where the run directory will be ----
parent=$(echo "$BIVALVE_RUN"/*)
elsewhere=$TMPDIR/elsewhere
planted() {
	mkdir -p "$elsewhere"
	echo keep >"$elsewhere/state"
	ln -s "$elsewhere" "$parent/prey"
	start 2>"$TMPDIR/err" && { stop; echo "it started"; return 1; }
	rm "$parent/prey"
	[ -s "$TMPDIR/err" ] && is "$(cat "$elsewhere/state")" keep && is "$(ls "$elsewhere")" state
}
check "a symlink in its place is not followed" planted
planted_file() { # planted_file FILE
	mkdir -m 700 "$parent/prey"
	echo keep >"$elsewhere/$1"
	ln -s "$elsewhere/$1" "$parent/prey/$1"
	start 2>"$TMPDIR/err" && stop
	rm -rf "$parent/prey"
	is "$(cat "$elsewhere/$1")" keep
}
for file in state config lock command state~; do
	check "a symlink for $file in it is not written through" planted_file $file
done
check "it starts in the end" start
check "and stops" stop

done_testing
