# SPDX-License-Identifier: LGPL-2.1-or-later
# kill -9 of everything at any moment, a fault in every step, and places that are damaged, full or gone: what is said
# is true, the next command works, and nothing stays behind.
# timeout: 600
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"

BIVALVE_RUN=$TMPDIR/run
BIVALVE_LXC_CONF=$TMPDIR/lxc.conf
export BIVALVE_RUN BIVALVE_LXC_CONF
L=$TMPDIR/lxc R=$TMPDIR/rootfs BR=bvkill0
trap 'cd /; ip link del $BR 2>/dev/null; rm -rf --one-file-system "$TMPDIR"/*' EXIT
ip link add $BR type bridge && ip link set $BR up
printf 'lxc.net.0.type = empty\n' >"$TMPDIR/default.conf"
printf 'lxc.default_config = %s\n' "$TMPDIR/default.conf" >"$BIVALVE_LXC_CONF"
busybox_rootfs "$R"
define() {
	instance "$L" one "$R" "lxc.rootfs.managed = 0" "lxc.net.0.type = veth" "lxc.net.0.link = $BR" \
		"lxc.net.0.flags = up"
}
define

# No command may hang: 124 is an answer that no test expects.
t() { timeout -k 1 60 "$@"; }
state() { t lxc-info -P "$L" -n one -sH; }
in_state() { [ "$(state)" = "$1" ]; }
settled() { case $(state) in RUNNING | STOPPED) ;; *) return 1 ;; esac; }
monitor() { sed -n 's/^monitor \([0-9]*\)/\1/p' "$BIVALVE_RUN"/*/one/state; }
init() { t lxc-info -P "$L" -n one -pH; }

# ---- what may stay behind ----
mounts() { awk '{ print $5 }' /proc/self/mountinfo | sort | uniq -c; }
processes() {
	for p in /proc/[0-9]*; do
		{ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null | grep -E '^\[lxc|^(/sbin/)?init|sleep 1000000|^lxc-' && echo "$p"
	done
}
leftovers() {
	find /sys/fs/cgroup -name 'lxc.*.one*' 2>/dev/null
	find "$BIVALVE_RUN" -mindepth 2 -maxdepth 2 2>/dev/null
	ls -A "$L" | grep '^\.'
	ip -o link show type veth
	processes
	[ "$(mounts)" = "$mounts_before" ] || echo "mounts changed"
}
mounts_before=$(mounts)
clean() { [ -z "$(leftovers)" ]; }
nothing_left() { eventually 30 clean || { leftovers | head -n 12; wipe; return 1; }; }
# By hand, so that one failure is not the next one's as well.
wipe() {
	for p in $(processes | sed -n 's|^/proc/||p'); do kill -9 "$p" 2>/dev/null; done
	sleep 0.2
	find /sys/fs/cgroup -depth -type d -name 'lxc.*.one*' -exec rmdir {} + 2>/dev/null
	rm -rf "$BIVALVE_RUN"/*/* "$BIVALVE_RUN"/*/.[!.]* "$L/one" "$L"/.[!.]*
	define
}
# check, and begin anew when it failed
survives() {
	failed_before=$tests_failed
	check "$@"
	[ "$failed_before" = "$tests_failed" ] || wipe
}

# ---- after a kill: a true state, a working command, nothing left ----
is_true() { ! in_state RUNNING || [ -d "/proc/$(init)" ]; }
# after NEXT: 1 prints what is wrong
after() {
	# A destroy that was killed may be through.
	[ -e "$L/one/config" ] || define
	eventually 30 settled || { echo "state is $(state)"; return 1; }
	# Who was killed may have ended init: then it is RUNNING for a moment more.
	eventually 5 is_true || { echo "RUNNING, but there is no process $(init)"; return 1; }
	case $1 in
	start) t lxc-start -P "$L" -n one || return 1
		in_state RUNNING || { echo "not RUNNING: $(state)"; return 1; } ;;
	destroy) t lxc-destroy -P "$L" -n one -f || return 1
		[ ! -e "$L/one" ] || { echo "it is there"; return 1; }
		define ;;
	esac
	t lxc-stop -P "$L" -n one -k
	status=$?
	case $1-$status in
	start-0 | stop-[02] | destroy-2) ;;
	*) echo "after $1 lxc-stop -k says $status"; return 1 ;;
	esac
	in_state STOPPED || { echo "not STOPPED: $(state)"; return 1; }
	nothing_left
}

# kill_after MS COMMAND...: start it, kill it
kill_after() {
	ms=$1
	shift
	"$@" >/dev/null 2>&1 </dev/null &
	victim=$!
	sleep "0.$(printf %03d "$ms")"
	kill -9 $victim 2>/dev/null
	wait $victim 2>/dev/null
	return 0
}

seed=${BV_SEED:-$(date +%s)}
echo "# seed $seed (BV_SEED=$seed repeats the moments)"
# Lines "MS NEXT"
moments() {
	awk -v seed="$seed" -v salt="$1" -v n="$2" 'BEGIN {
		srand(seed + salt); split("start stop destroy", next_one)
		for (i = 0; i < n; i++) print int(rand() * 16), next_one[i % 3 + 1]
	}'
}

kill_start() { kill_after "$1" lxc-start -P "$L" -n one; }
kill_foreground() { kill_after "$1" lxc-start -P "$L" -n one -F; }
kill_monitor() {
	lxc-start -P "$L" -n one >/dev/null 2>&1 &
	sleep "0.$(printf %03d "$1")"
	# In whatever phase it is: found by its title, or as the child of lxc-start before it has one.
	for p in /proc/[0-9]*; do
		case $({ tr '\0' ' ' <"$p/cmdline"; } 2>/dev/null) in
		"[lxc monitor] $L one"*) kill -9 "${p#/proc/}" ;;
		esac
	done
	wait $!
	return 0
}
kill_init() {
	t lxc-start -P "$L" -n one || return 1
	( sleep "0.$(printf %03d "$1")"; kill -9 "$(init)" 2>/dev/null ) &
	t lxc-attach -P "$L" -n one -- true
	wait $!
	# The monitor hears of it a moment later.
	eventually 30 in_state STOPPED
}
kill_stop() {
	t lxc-start -P "$L" -n one || return 1
	kill_after "$1" lxc-stop -P "$L" -n one -k
}
kill_attach() {
	t lxc-start -P "$L" -n one || return 1
	kill_after "$1" lxc-attach -P "$L" -n one -- sleep 1000000
}
kill_destroy() { kill_after "$1" lxc-destroy -P "$L" -n one; }

# rounds VICTIM SALT N
rounds() {
	moments "$2" "$3" >"$TMPDIR/moments"
	bad=0
	while read -r ms next <&3; do
		[ -e "$L/one/config" ] || define
		if ! "kill_$1" "$ms" || ! after "$next"; then
			echo "killed $1 after $ms ms, then $next"
			bad=$((bad + 1))
			lxc-stop -P "$L" -n one -k
		fi
	done 3<"$TMPDIR/moments"
	rm -f "$TMPDIR/moments"
	[ "$bad" = 0 ]
}
survives "kill -9 of lxc-start" rounds start 1 12
survives "kill -9 of lxc-start -F" rounds foreground 2 6
survives "kill -9 of the monitor" rounds monitor 3 9
survives "kill -9 of init, with an attach going on" rounds init 4 6
survives "kill -9 of lxc-stop" rounds stop 5 6
survives "kill -9 of lxc-attach" rounds attach 6 6
survives "kill -9 of lxc-destroy" rounds destroy 7 6

# The command of a killed lxc-attach hangs up with it.
define
t lxc-start -P "$L" -n one
attached() { lxc-attach -P "$L" -n one -- pidof sleep | grep -q ' '; }
alone() { ! grep -qs 1234567 /proc/[0-9]*/cmdline; }
lxc-attach -P "$L" -n one -- sleep 1234567 >/dev/null 2>&1 </dev/null &
victim=$!
# Another than the one that init started.
eventually 30 attached
kill -9 $victim
wait $victim 2>/dev/null
survives "what a killed lxc-attach ran ends" eventually 30 alone
t lxc-stop -P "$L" -n one -k

# create: nothing is there, or an instance that starts; a second creation and a destroy work in both cases.
create_rounds() {
	moments 8 9 >"$TMPDIR/moments"
	bad=0
	while read -r ms next <&3; do
		kill_after "$ms" lxc-create -P "$L" -n new -t busybox -q
		if [ -e "$L/new/config" ]; then
			t lxc-start -P "$L" -n new && t lxc-stop -P "$L" -n new -k || bad=1
		else
			if [ "$next" = start ]; then
				t lxc-start -P "$L" -n new && { echo "half an instance starts"; bad=1; }
			fi
			t lxc-create -P "$L" -n new -t busybox -q || bad=1
		fi
		t lxc-destroy -P "$L" -n new || bad=1
		left=$(find "$L" -mindepth 1 -maxdepth 1 -name '*new*')
		[ -z "$left" ] || { echo "left: $left"; bad=1; }
		[ $bad = 0 ] || { echo "killed lxc-create after $ms ms, then $next"; break; }
	done 3<"$TMPDIR/moments"
	rm -f "$TMPDIR/moments"
	[ $bad = 0 ] && nothing_left
}
survives "kill -9 of lxc-create -t busybox" create_rounds

# ---- a fault in every step ----
steps_of() { sed -n 's/^\t{ "\([a-z -]*\)", [a-z_]*, [a-zA-Z_]* },$/\1/p' "$BV_SRC/$1"; }
fault() {
	BIVALVE_FAIL_STEP=$1 t lxc-start -P "$L" -n one 2>"$TMPDIR/err" && { echo "it started"; return 1; }
	like "$(head -n 1 "$TMPDIR/err")" "step $1 was made to fail" && in_state STOPPED && nothing_left
}
for file in src/instance/start.c src/engine/container/container.c src/engine/container/child.c; do
	steps_of $file >"$TMPDIR/steps"
	check "$file has steps" test -s "$TMPDIR/steps"
	while read -r step <&3; do
		survives "step $step fails cleanly" fault "$step"
	done 3<"$TMPDIR/steps"
done
create_fault() {
	BIVALVE_FAIL_STEP=$1 t lxc-create -P "$L" -n new -t busybox 2>"$TMPDIR/err" && { echo "made"; return 1; }
	like "$(head -n 1 "$TMPDIR/err")" "step $1 was made to fail" && [ ! -e "$L/new" ] && nothing_left
}
steps_of src/instance/create.c >"$TMPDIR/steps"
while read -r step <&3; do
	survives "step $step fails cleanly" create_fault "$step"
done 3<"$TMPDIR/steps"

# ---- a damaged run directory ----
# damaged COMMAND...: start, kill the monitor if the first word is "dead", damage, and see that all goes on
id() { set -- "$BIVALVE_RUN"/*/; echo "${1%/}"; }
damage() {
	t lxc-start -P "$L" -n one || return 1
	ending=$(init)
	kill -9 "$(monitor)"
	eventually 30 test ! -d "/proc/$ending" || { echo "init goes on"; return 1; }
	"$@" || return 1
	in_state STOPPED || { echo "state: $(state)"; return 1; }
	after start
}
D=$(id)/one
survives "state truncated" damage truncate -s 20 "$D/state"
survives "state empty" damage truncate -s 0 "$D/state"
garbage() { head -c 3000 /dev/urandom >"$D/state"; }
survives "state of garbage" damage garbage
survives "no state" damage rm "$D/state"
survives "no lock" damage rm "$D/lock"
survives "no config" damage rm "$D/config"
survives "config of garbage" damage sh -c "head -c 300 /dev/urandom >$D/config"
lock_only() { rm "$D/state" "$D/config" "$D/command"; }
survives "a lock alone" damage lock_only
empty_dir() { rm "$D"/*; }
survives "an empty run directory" damage empty_dir
recycled() { sed -i "s/^init .*/init $$ 12345/; s/^monitor .*/monitor $$/" "$D/state"; }
survives "a recycled pid is not signalled" damage recycled
mkdir -p "$(id)/one"
survives "an empty run directory that nobody made" after start
mkdir -p "$(id)/one"
survives "and lxc-destroy of it" after destroy

# While it runs: what reads the run directory fails with a sentence, lxc-stop -k ends it.
running_damage() {
	t lxc-start -P "$L" -n one || return 1
	"$@" || return 1
	t lxc-info -P "$L" -n one >/dev/null || return 1
	t lxc-attach -P "$L" -n one -- true 2>"$TMPDIR/err" || [ -s "$TMPDIR/err" ] ||
		{ echo "attach says nothing"; return 1; }
	t lxc-stop -P "$L" -n one -k || return 1
	in_state STOPPED && nothing_left
}
survives "running: no config snapshot" running_damage rm "$D/config"
survives "running: config snapshot of garbage" running_damage sh -c "echo 'lxc.what = 1' >$D/config"
survives "running: the socket is gone" running_damage rm "$D/command"

# ---- directories that go away under a running one ----
moved_away() {
	t lxc-start -P "$L" -n one || return 1
	mv "$L/one" "$TMPDIR/elsewhere"
	in_state RUNNING || return 1
	t lxc-stop -P "$L" -n one -k
	status=$?
	mv "$TMPDIR/elsewhere" "$L/one"
	[ $status = 0 ] && nothing_left
}
survives "its directory is removed while it runs" moved_away
no_lxcpath() {
	L2=$TMPDIR/gone
	instance "$L2" two "$R" "lxc.net.0.type = empty"
	t lxc-start -P "$L2" -n two || return 1
	pid=$(t lxc-info -P "$L2" -n two -pH)
	rm -rf "$L2"
	t lxc-ls -P "$L2" >/dev/null
	t lxc-info -P "$L2" -n two >/dev/null 2>&1
	kill -9 "$pid"
	no_two() { [ -z "$(find /sys/fs/cgroup -name 'lxc.*.two*')$(find "$BIVALVE_RUN" -name two)" ]; }
	eventually 30 no_two
}
survives "the lxcpath is removed while it runs: its end cleans up" no_lxcpath
no_rootfs() {
	cp -a "$R" "$TMPDIR/rootfs2"
	instance "$L" one "$TMPDIR/rootfs2"
	t lxc-start -P "$L" -n one || return 1
	rm -rf "$TMPDIR/rootfs2"
	t lxc-attach -P "$L" -n one -- true 2>"$TMPDIR/err" && { echo "attach works"; return 1; }
	like "$(head -n 1 "$TMPDIR/err")" 'true' || return 1
	t lxc-stop -P "$L" -n one -k || return 1
	t lxc-start -P "$L" -n one 2>"$TMPDIR/err" && return 1
	like "$(head -n 1 "$TMPDIR/err")" "$TMPDIR/rootfs2" && nothing_left
}
survives "the rootfs is removed while it runs" no_rootfs
rm -rf "$L/one"
define

# ---- no room for the state ----
small=$TMPDIR/small
mkdir "$small"
# The monitor that had it for its run directory may be about to end.
emptied() { [ -z "$(find "$small" -mindepth 3)" ]; }
full() { # full BLOCKS INODES
	mount -t tmpfs -o "size=${1}k,nr_inodes=$2,mode=700" small "$small" || return 1
	mkdir "$small/x"
	said=1
	if BIVALVE_RUN=$small/x t lxc-start -P "$L" -n one 2>"$TMPDIR/err"; then
		BIVALVE_RUN=$small/x t lxc-stop -P "$L" -n one -k || said=0
	else
		like "$(head -n 1 "$TMPDIR/err")" "$small.*No space left" || said=0
	fi
	eventually 30 emptied || { echo "left with $1 KiB, $2 inodes"; find "$small" -mindepth 3; said=0; }
	eventually 30 umount "$small" || said=0
	[ $said = 1 ] && nothing_left
}
for inodes in 2 3 4 5 6 7 8; do
	survives "$inodes inodes for the run directory" full 64 $inodes
done
nearly() {
	mount -t tmpfs -o size=16k,mode=700 small "$small" || return 1
	mkdir "$small/x"
	head -c "$1" /dev/zero >"$small/x/ballast" 2>/dev/null
	good=1
	if BIVALVE_RUN=$small/x t lxc-start -P "$L" -n one 2>"$TMPDIR/err"; then
		[ "$(BIVALVE_RUN=$small/x state)" = RUNNING ] || good=0
		BIVALVE_RUN=$small/x t lxc-stop -P "$L" -n one -k || good=0
	else
		like "$(head -n 1 "$TMPDIR/err")" "$small.*No space left" || good=0
	fi
	eventually 30 emptied || { find "$small" -mindepth 3; good=0; }
	eventually 30 umount "$small" || good=0
	[ $good = 1 ] && nothing_left
}
for bytes in 16384 12288 8192 4096; do
	survives "$bytes of 16384 bytes are taken" nearly $bytes
done

# ---- odd callers ----
works() { # works COMMAND-PREFIX...: start, info, attach, stop under it
	"$@" lxc-start -P "$L" -n one || { echo "start"; return 1; }
	[ "$("$@" lxc-info -P "$L" -n one -sH)" = RUNNING ] || { echo "info"; return 1; }
	"$@" lxc-attach -P "$L" -n one -- true || { echo "attach"; return 1; }
	[ "$(umask 022; stat -c %a "$D" "$D/command" "$D/state" "$D/config" "$D/lock" | tr '\n' ' ')" = \
		"700 600 600 600 600 " ] || { stat -c '%a %n' "$D" "$D"/*; return 1; }
	[ "$(awk '/^SigIgn/ { print $2 }' "/proc/$(init)/status")" != x ] || return 1
	"$@" lxc-stop -P "$L" -n one -k || { echo "stop"; return 1; }
	nothing_left
}
survives "umask 000" works sh -c 'umask 000; exec timeout 60 "$@"' x
survives "umask 077" works sh -c 'umask 077; exec timeout 60 "$@"' x
survives "HOME unset" works env -u HOME timeout 60
survives "an empty environment" works env -i PATH="$PATH" BIVALVE_RUN="$BIVALVE_RUN" timeout 60
survives "SIGCHLD and SIGPIPE ignored" works env --ignore-signal=CHLD,PIPE,HUP timeout 60
survives "signals blocked" works env --block-signal=CHLD,TERM,INT,USR1,WINCH timeout 60
has_three() { [ "$(ls "/proc/$(init)/fd" | tr '\n' ' ')" = "0 1 2 " ]; }
closed_info() {
	"$@" lxc-start -P "$L" -n one || return 1
	in_state RUNNING || return 1
	# At its start busybox's init reads a file of its own.
	eventually 30 has_three || { ls -l "/proc/$(init)/fd"; return 1; }
	is "$(ls -l "/proc/$(monitor)/fd" | awk 'NF > 8 && $9 < 3 && !/null/')" "" || return 1
	"$@" lxc-attach -P "$L" -n one -- true || return 1
	"$@" lxc-ls -P "$L"
	"$@" lxc-stop -P "$L" -n one -k || return 1
	in_state STOPPED && nothing_left
}
survives "stdin, stdout and stderr closed" closed_info sh -c 'exec timeout 60 "$@" <&- >&- 2>&-' x
survives "stdin alone closed" closed_info sh -c 'exec timeout 60 "$@" <&-' x
survives "stderr alone closed" closed_info sh -c 'exec timeout 60 "$@" 2>&-' x
few() {
	sh -c 'ulimit -n 10; exec timeout 60 "$@"' x lxc-start -P "$L" -n one 2>"$TMPDIR/err"
	status=$?
	if [ $status = 0 ]; then
		in_state RUNNING || return 1
		t lxc-stop -P "$L" -n one -k || return 1
	else
		[ $status -lt 124 ] && like "$(head -n 1 "$TMPDIR/err")" 'Too many open files' || return 1
	fi
	nothing_left
}
survives "ten file descriptors" few
for n in 4 5 6 7 8 16 24; do
	few_n() {
		sh -c "ulimit -n $n; exec timeout 60 \"\$@\"" x lxc-start -P "$L" -n one 2>"$TMPDIR/err"
		[ $? -lt 124 ] || return 1
		if in_state RUNNING; then t lxc-stop -P "$L" -n one -k || return 1; else
			[ -s "$TMPDIR/err" ] || { echo "it fails without a word"; return 1; }
		fi
		nothing_left
	}
	survives "$n file descriptors: started, or said why not" few_n
done

# ---- one lxcpath under several names is one instance ----
ln -s "$L" "$TMPDIR/link"
mkdir "$TMPDIR/bound"
mount --bind "$L" "$TMPDIR/bound"
spelled() {
	t lxc-start -P "$L" -n one || return 1
	for path in "$L/" "$L///" "$TMPDIR/link" "$TMPDIR/link/" "$TMPDIR/bound" "$TMPDIR/../${TMPDIR##*/}/lxc"; do
		is "$(t lxc-info -P "$path" -n one -sH)" RUNNING || { echo "by $path"; return 1; }
		like "$(t lxc-start -P "$path" -n one 2>&1)" 'already running' || { echo "by $path"; return 1; }
	done
	is "$(cd "$TMPDIR" && t lxc-info -P lxc -n one -sH)" RUNNING || return 1
	t lxc-stop -P "$TMPDIR/bound" -n one -k && in_state STOPPED
}
survives "a link, a slash more, a bind mount: the same instance" spelled
umount "$TMPDIR/bound"

# ---- without newer system calls ----
old_kernel() {
	export BIVALVE_NO_SYSCALL="$1"
	good=1
	t lxc-start -P "$L" -n one && in_state RUNNING || good=0
	is "$(t lxc-attach -P "$L" -n one -- cat /etc/passwd | cut -c 1-4)" root || good=0
	t lxc-stop -P "$L" -n one -k || good=0
	unset BIVALVE_NO_SYSCALL
	[ $good = 1 ] && in_state STOPPED && nothing_left
}
# There is no way around pidfds: who needs one says so.
no_pidfd() {
	t lxc-start -P "$L" -n one || return 1
	for command in "attach -P $L -n one -- true" "stop -P $L -n one -k" "freeze -P $L -n one"; do
		# shellcheck disable=SC2086
		BIVALVE_NO_SYSCALL=$1 t lxc-$command 2>"$TMPDIR/err" && { echo "lxc-$command works"; return 1; }
		like "$(head -n 1 "$TMPDIR/err")" 'init of one.*Function not implemented' || return 1
	done
	t lxc-stop -P "$L" -n one -k && nothing_left
}
for call in openat2 clone3 mount_setattr open_tree fsopen move_mount close_range; do
	survives "without $call" old_kernel $call
done
survives "without pidfd_open" no_pidfd pidfd_open
survives "without the new mount calls" old_kernel open_tree,fsopen,fsconfig,fsmount,move_mount,mount_setattr
survives "without any of them" old_kernel \
	openat2,clone3,mount_setattr,open_tree,fsopen,fsconfig,fsmount,move_mount,close_range

done_testing
