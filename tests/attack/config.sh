# SPDX-License-Identifier: LGPL-2.1-or-later
# Hostile names, values, includes and hooks: refused with a sentence, at once, and nothing is run or written outside.
# timeout: 300
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/prey.inc"

said() { # said WHAT COMMAND...: it fails, not by a signal or a time-out, and the first line has WHAT
	what=$1
	shift
	"$@" >"$TMPDIR/out" 2>"$TMPDIR/err" </dev/null && { echo "it works"; return 1; }
	status=$?
	[ $status -lt 124 ] || { echo "status $status"; return 1; }
	like "$(head -n 1 "$TMPDIR/err")" "$what"
}

# ---- names ----
long=$(printf 'a%.0s' $(seq 65))
for name in ../x . .. /etc a/b -n .hidden 'a b' 'a
b' ä "$long" 'a;b' '*' '%s%n'; do
	for command in start stop info destroy attach; do
		t lxc-$command -P "$L" --name="$name" >/dev/null 2>"$TMPDIR/err" </dev/null && echo "lxc-$command $name"
		grep -q . "$TMPDIR/err" || echo "lxc-$command $name: no word"
	done
done >"$TMPDIR/names"
check "no command takes a name that is a path, an option or worse" is "$(cat "$TMPDIR/names")" ""
check "an empty name is refused" said 'name' t lxc-start -P "$L" --name=
check "64 letters are a name" said 'there is no instance' t lxc-start -P "$L" -n "${long%a}"
check "create refuses them too" said 'not a valid name' t lxc-create -P "$L" -n ../x -t none
check "and has made nothing" is "$(find "$TMPDIR" -maxdepth 1 -name x)" ""

# ---- values ----
newline='a
lxc.hook.pre-start = /bin/false'
check "a newline in a value is refused" said . t lxc-start -P "$L" -n prey -s "lxc.uts.name=$newline"
check "a carriage return in the host name is refused" said . \
	t lxc-start -P "$L" -n prey -s "$(printf 'lxc.uts.name=a\rb')"
one_variable() {
	start -s "lxc.environment=X=1 LXC_Y=2" || return 1
	is "$(tr '\0' '\n' <"/proc/$(init)/environ" | grep -c '^LXC_Y=2')" 0
	bad=$?
	stop && [ $bad = 0 ]
}
check "a variable's value is one variable" one_variable
check "escapes in an unknown key are not printed" said 'lxc\.\?\[31m|lxc\..*\?' \
	t lxc-start -P "$L" -n prey -s "$(printf 'lxc.\033[31mred=1')"

# ---- includes ----
included() { # included WHAT: an include of $TMPDIR/inc
	printf 'lxc.include = %s\n' "$TMPDIR/inc" >"$TMPDIR/config"
	said "$1" t lxc-start -P "$L" -n prey -f "$TMPDIR/config"
}
printf 'lxc.include = %s\n' "$TMPDIR/inc" >"$TMPDIR/inc"
check "a file that includes itself" included 'inc'
rm "$TMPDIR/inc"
mkfifo "$TMPDIR/inc"
check "an include of a fifo does not block" included 'inc'
rm "$TMPDIR/inc"
ln -s /dev/zero "$TMPDIR/inc"
check "an include of /dev/zero ends" included 'inc|zero'
rm "$TMPDIR/inc"
ln -s inc "$TMPDIR/inc"
check "an include of a link to itself" included 'inc'
rm "$TMPDIR/inc"
check "an include that is not there" included "$TMPDIR/inc"
head -c 3000000 /dev/urandom >"$TMPDIR/inc"
check "an include of 3 MB of noise" included 'inc'
{ printf 'lxc.uts.name = '; head -c 10000000 /dev/zero | tr '\0' a; echo; } >"$TMPDIR/inc"
check "a line of 10 MB" included .
rm "$TMPDIR/inc"
mkfifo "$L/prey/config2"
check "a config that is a fifo does not block" said . t lxc-start -P "$L" -n prey -f "$L/prey/config2"
check "nor one that is a directory" said . t lxc-start -P "$L" -n prey -f "$L"

# ---- numbers, paths ----
for setting in lxc.tty.max=-1 lxc.tty.max=1e3 lxc.tty.max=99999999999999999999 lxc.pty.max=0x10z \
	"lxc.init.uid=-1" "lxc.init.uid=4294967295" "lxc.init.uid=4294967296" "lxc.init.gid=abc" \
	"lxc.idmap=u 0 0 4294967296" "lxc.idmap=u 0 100000" "lxc.cgroup.dir=../../x" "lxc.cgroup.dir=/x" \
	"lxc.prlimit.nofile=ten" "lxc.cap.drop=everything" "lxc.cap.keep=sys_admin no_such" \
	"lxc.hook.pre-start=relative/hook" "lxc.rootfs.path=dir:relative" "lxc.signal.halt=SIGNOTHING" "lxc.net.0.type=magic" \
	"lxc.mount.auto=proc:anything" "lxc.log.level=very"; do
	check "$setting is refused" said '[a-z]' t lxc-start -P "$L" -n prey -s "$setting"
	stop >/dev/null 2>&1
done
for id in -1 00x abc 4294967295 4294967296 1:1 '' ' 1' 1e3; do
	start
	check "lxc-attach -u '$id' is refused, not root" said . attach -u "$id" -- id
	stop
done
leftovers() { find "$BIVALVE_RUN" -mindepth 2; find /sys/fs/cgroup -name 'lxc.*.prey'; }
# What a stopped one had is removed a moment later.
nothing_left() { [ -z "$(leftovers 2>/dev/null)" ]; }
check "nothing of a start is left" eventually 30 nothing_left

done_testing
