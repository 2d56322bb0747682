# SPDX-License-Identifier: LGPL-2.1-or-later
# Hostile processes inside, of root in a privileged instance: what they see of the commands that come in, and what
# they can do to them, to the host's programs, terminals and groups.
# timeout: 600
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/prey.inc"
command -v "${CC:-cc}" >/dev/null || skip_all "no C compiler"
for name in exe_overwrite tiocsti peek; do attacker $name || skip_all "cannot compile $name.c statically"; done

# ---- the host's programs (CVE-2019-5736) ----
# Copies are attacked: were it to work, nobody else has the damage.
B=$TMPDIR/bin
mkdir "$B"
for program in lxc-attach lxc-start lxc-execute lxc-stop; do
	cp "$(readlink -f "$(command -v $program)")" "$B/$program"
done
hashes() { sha256sum "$B"/*; }
before=$(hashes)
unharmed() {
	cat "$TMPDIR/attack.out"
	like "$(cat "$TMPDIR/attack.out")" '^tried' && ! grep -q 'wrote over' "$TMPDIR/attack.out" && is "$(hashes)" "$before"
}
exe_of_attach() {
	start || return 1
	attach -- /attack-exe_overwrite 3 >"$TMPDIR/attack.out" &
	for _ in $(seq 60); do
		t "$B/lxc-attach" -P "$L" -n prey -- /bin/true
		# What CVE-2019-5736 did: the command itself is /proc/self/exe.
		t "$B/lxc-attach" -P "$L" -n prey -- /proc/self/exe --version >/dev/null 2>&1
	done
	wait $!
	stop && unharmed
}
check "the program of lxc-attach stays as it is" exe_of_attach
exe_of_start() {
	# The attacker looks in from a shared pid namespace at every start.
	start || return 1
	attach -- /attack-exe_overwrite 3 >"$TMPDIR/attack.out" &
	instance "$L" guest "$R" "lxc.net.0.type = empty" "lxc.namespace.share.pid = prey"
	for _ in $(seq 20); do
		t "$B/lxc-start" -P "$L" -n guest -F -- /bin/true >/dev/null 2>&1
	done
	wait $!
	rm -r "$L/guest"
	stop && unharmed
}
check "the program of lxc-start, seen from a shared pid namespace, stays as it is" exe_of_start
exe_of_execute() {
	t "$B/lxc-execute" -P "$L" -n prey -- /attack-exe_overwrite 1 >"$TMPDIR/attack.out"
	unharmed
}
check "the program of lxc-execute, whose pid 1 is ours, stays as it is" exe_of_execute
check "pid 1 of lxc-execute was attacked at all" like "$(cat "$TMPDIR/attack.out")" '(tried|denied) [1-9]'

# ---- what comes in cannot be looked into ----
# peeked LINE...: with these lines in the config. Who has CAP_SYS_PTRACE over the host's own user namespace may trace
# all that it sees, whatever we do, so an instance that is to be a wall has none: by its id map, or by lxc.cap.drop.
peeked() {
	instance "$L" prey "$R" "lxc.net.0.type = empty" "$@"
	start || return 1
	attach -- /attack-peek 3 >"$TMPDIR/peek.out" &
	for _ in $(seq 60); do attach -- /bin/true; done
	wait $!
	stop
	instance "$L" prey "$R" "lxc.net.0.type = empty"
	is "$(sort "$TMPDIR/peek.out" | uniq -c | head -n 5 | sed 's/^ *//')" "1 done"
}
check "no memory and no file of what attaches can be opened: without sys_ptrace" peeked "lxc.cap.drop = sys_ptrace"
chmod 755 "$TMPDIR"
check "no memory and no file of what attaches can be opened: with an id map" peeked \
	"lxc.idmap = u 0 100000 65536" "lxc.idmap = g 0 100000 65536" "lxc.rootfs.options = idmap=container"
# The first is init's.
two_sleep() { attach -- pidof sleep | grep -q ' '; }
is_traceable() {
	start || return 1
	bad=0
	attach -- sleep 50 &
	# What comes in has our name until it is another program.
	eventually 30 two_sleep || bad=1
	monitor=$(sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/prey/state)
	attach -- test -d "/proc/$monitor" && { echo "the monitor is seen"; bad=1; }
	is "$(attach -- sh -c 'for p in /proc/[0-9]*; do tr "\0" " " <$p/cmdline; done' | grep -c lxc)" 0 || bad=1
	stop
	wait
	[ $bad = 0 ]
}
check "neither the monitor nor lxc-attach is among the processes inside" is_traceable

# ---- file descriptors ----
listing='cd /proc/self/fd && for f in *; do echo $f; done; true'
holding() { # holding COMMAND...: with descriptors 3 to 9 open
	"$@" 3</dev/null 4</etc/passwd 5</ 6</proc 7>/dev/null 8</dev/zero 9</etc
}
only_three() { [ -z "$(printf '%s\n' "$1" | grep -vE '^[0-3]$')" ] || { echo "$1"; return 1; }; }
start
check "attach: 0, 1, 2 (and the directory that is read)" only_three "$(holding attach -- sh -c "$listing")"
check "attach: nothing of the host behind them" is \
	"$(holding attach -- sh -c 'ls -l /proc/self/fd 2>/dev/null' | grep -cE 'bivalve|/run/|ns|lock')" 0
stop
check "execute: 0, 1, 2" only_three "$(holding t lxc-execute -P "$L" -n prey -- sh -c "$listing")"
check "start in the foreground: 0, 1, 2" only_three \
	"$(holding t lxc-start -P "$L" -n prey -F -- /bin/sh -c "$listing" | tr -d '\r')"
start_holding() {
	holding start || return 1
	# At its start busybox's init reads a file of its own.
	eventually 30 only_init_three
	bad=$?
	stop && [ $bad = 0 ]
}
only_init_three() { is "$(ls "/proc/$(init)/fd" | tr '\n' ' ')" "0 1 2 "; }
check "start in the background: init has 0, 1, 2" start_holding
printf '#!/bin/sh\nls -l /proc/self/fd >%s/hook.fds\nenv >%s/hook.env\n' "$TMPDIR" "$TMPDIR" >"$TMPDIR/hook"
chmod 755 "$TMPDIR/hook"
hook_fds() {
	SECRET=1 holding start -s "lxc.hook.pre-start=$TMPDIR/hook" || return 1
	stop
	only_three "$(awk 'NF > 8 { print $9 }' "$TMPDIR/hook.fds")" && ! grep ^SECRET "$TMPDIR/hook.env"
}
check "a hook of the host: 0, 1, 2, and no variable of the caller" hook_fds

# ---- environment ----
start
check "clear-env: nothing of the caller" is \
	"$(SECRET=1 SUDO_USER=x LXC_X=1 BIVALVE_X=1 attach --clear-env -- env | grep -cE '^(SECRET|SUDO|LXC|BIVALVE)')" 0
check "init has no variable of the caller's" is "$(tr '\0' '\n' <"/proc/$(init)/environ" |
	grep -cvE '^(container|PATH|HOME|TERM|container_ttys|LXC_NAME|USER|SHELL)=')" 0
stop

# ---- credentials ----
status() { sed -n "s/^$1:[[:space:]]*//p"; }
confined() {
	instance "$L" prey "$R" "lxc.net.0.type = empty" "lxc.cap.keep = chown kill net_bind_service" "lxc.no_new_privs = 1"
	start || return 1
	bad=0
	of_init=$(cat "/proc/$(init)/status")
	of_attach=$(attach -- cat /proc/self/status)
	want=0000000000000421
	for set in CapPrm CapEff CapBnd; do
		is "$set $(printf '%s\n' "$of_init" | status $set)" "$set $want" || bad=1
		is "$set $(printf '%s\n' "$of_attach" | status $set)" "$set $want" || bad=1
	done
	for set in CapInh CapAmb; do
		is "$set $(printf '%s\n' "$of_init" | status $set)" "$set 0000000000000000" || bad=1
		is "$set $(printf '%s\n' "$of_attach" | status $set)" "$set 0000000000000000" || bad=1
	done
	for key in NoNewPrivs Seccomp Groups; do
		is "$key $(printf '%s\n' "$of_attach" | status $key)" "$key $(printf '%s\n' "$of_init" | status $key)" || bad=1
	done
	is "$(printf '%s\n' "$of_attach" | status NoNewPrivs)" 1 || bad=1
	stop
	instance "$L" prey "$R" "lxc.net.0.type = empty"
	[ $bad = 0 ]
}
check "all five capability sets and no_new_privs, of init and of attach" confined
groups_dropped() {
	start || return 1
	is "$(setpriv --groups 4,5,6 timeout 60 lxc-attach -P "$L" -n prey -- cat /proc/self/status |
		status Groups | tr -d ' ')" ""
	bad=$?
	stop && [ $bad = 0 ]
}
if command -v setpriv >/dev/null; then
	check "the caller's supplementary groups do not come in" groups_dropped
	init_groups() {
		setpriv --groups 4,5,6 timeout 60 lxc-start -P "$L" -n prey || return 1
		is "$(status Groups <"/proc/$(init)/status" | tr -d ' ')" ""
		bad=$?
		stop && [ $bad = 0 ]
	}
	check "nor those of who starts it" init_groups
else
	skip "supplementary groups" "no setpriv(1)"
fi

# ---- signals and groups ----
signals() {
	start || return 1
	# A group of ours on the host that must not get a signal from inside.
	sleep 100 &
	witness=$!
	attach -- sh -c 'kill -9 0; kill -TERM 0' 2>/dev/null
	t lxc-execute -P "$L" -n prey2 -s "lxc.rootfs.path=dir:$R" -- sh -c 'kill -9 0' 2>/dev/null
	kill -0 $witness
	bad=$?
	kill $witness
	stop && [ $bad = 0 ]
}
check "kill 0 inside does not reach the caller's group" signals
stops_itself() {
	start || return 1
	attach -- sh -c 'kill -STOP $$' &
	sleep 0.3
	stop
	wait $!
	[ $? -lt 255 ]
}
check "a command that stops itself does not outlive the instance, nor block its stop" stops_itself
stops_others() {
	start || return 1
	attach -- sh -c 'i=0; while [ $i -lt 2000 ]; do kill -STOP -1 2>/dev/null; i=$((i + 1)); done' &
	for _ in $(seq 20); do t lxc-attach -P "$L" -n prey -- true & done
	sleep 0.5
	t lxc-info -P "$L" -n prey >/dev/null || return 1
	stop || return 1
	wait
}
check "SIGSTOP to all that attaches does not block lxc-info or lxc-stop" stops_others
zombies() {
	# They take a moment to end, all the same.
	timeout -k 1 200 lxc-execute -P "$L" -n prey -- sh -c 'i=0; while [ $i -lt 3000 ]; do (sleep 0 &) ; i=$((i + 1)); done
		left() { ls -d /proc/[0-9]* | wc -l; }
		i=0; while [ $i -lt 300 ] && [ "$(left)" -ge 100 ]; do sleep 0.1; i=$((i + 1)); done; left' >"$TMPDIR/left"
	[ "$(cat "$TMPDIR/left")" -lt 100 ]
}
check "3000 orphans are reaped by our pid 1" zombies

# ---- recycled pids ----
recycled() {
	start || return 1
	state=$(echo "$BIVALVE_RUN"/*/prey/state)
	sleep 100 &
	witness=$!
	cp "$state" "$TMPDIR/state"
	sed "s/^init .*/init $witness 1/" "$TMPDIR/state" >"$state"
	t lxc-stop -P "$L" -n prey -k
	t lxc-attach -P "$L" -n prey -- true 2>/dev/null && echo "attached to $witness"
	kill -0 $witness
	bad=$?
	kill $witness
	cp "$TMPDIR/state" "$state"
	stop && [ $bad = 0 ]
}
check "a recycled pid in the state is neither signalled nor entered" recycled

# ---- terminals ----
typed() {
	command -v script >/dev/null || return 0
	start || return 1
	rm -f /typed-by-the-instance "$TMPDIR/typescript"
	# The shell that script(1) runs has a terminal: what is typed into it by TIOCSTI would be run by it.
	cat >"$TMPDIR/commands" <<-END
	lxc-attach -P $L -n prey -- /attack-tiocsti
	lxc-attach -P $L -n prey -- /attack-tiocsti </dev/null >/dev/null 2>&1
	exit
	END
	t script -qec "sh -i" /dev/null <"$TMPDIR/commands" >"$TMPDIR/typescript" 2>&1
	grep -q typed "$TMPDIR/typescript" || { cat "$TMPDIR/typescript"; stop; return 1; }
	stop
	[ ! -e /typed-by-the-instance ] || { rm -f /typed-by-the-instance; return 1; }
}
check "TIOCSTI does not type into the caller's terminal" typed
session() {
	start || return 1
	# Group and session are its own, and there is no terminal (fields 5, 6, 7 of proc_pid_stat(5)).
	is "$(attach -- awk '{ print ($5 > 0 && $5 == $6 && $5 == $1), $7 }' /proc/self/stat)" "1 0"
	bad=$?
	# With no pty and no session of the caller's: nothing to be typed into.
	attach -- sh -c 'echo x >/dev/tty' 2>/dev/null && { echo "there is a /dev/tty"; bad=1; }
	stop && [ $bad = 0 ]
}
check "without a terminal there is no controlling one" session

done_testing
