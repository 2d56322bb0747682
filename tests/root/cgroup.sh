# SPDX-License-Identifier: LGPL-2.1-or-later
# cgroups on this host's real hierarchies, whichever they are.
. "${BV_SRC:-.}/tests/lib.sh"

driver=${BV_CGROUP_DRIVER:-$BV_BUILD/tests/root/cgroup_driver}
[ -x "$driver" ] || skip_all "there is no $driver: make check"
note=$TMPDIR/note
out=$TMPDIR/out
name=bvcg$$
pids=

mounts() {
	awk '{ for (i = 7; $i != "-"; i++) ; if ($(i + 1) ~ /^cgroup2?$/) print $5 }' /proc/self/mountinfo | sort -u
}
own() { # how many directories of ours there are
	for m in $(mounts); do find "$m" -name "*$name*"; done | grep -c .
}
spawn() { # a sleeper in the cgroup of $note; its pid in $pid
	"$driver" spawn "$note" sleep 1000 >"$out" </dev/null 2>&1 || return 1
	pid=$(cat "$out")
	pids="$pids $pid"
	# It has entered all hierarchies when it is another program.
	eventually 30 grep -q sleep "/proc/$pid/comm"
}
gone() {
	! grep -qs '^State:.[^ZX]' "/proc/$1/status"
}
everywhere() { # every hierarchy of process $1 is in $2
	! grep -v ":/$2\$" "/proc/$1/cgroup" | grep -vE ':(net_cls|perf_event|net_prio|hugetlb|rdma|misc)[^/]*:/$'
}
on_v1() { # has this host a v1 hierarchy with controller $1?
	awk -v c="$1" '{ for (i = 7; $i != "-"; i++) ; if ($(i + 1) != "cgroup") next
		n = split($(i + 3), o, ","); for (k = 1; k <= n; k++) if (o[k] == c) { print $5; exit } }' /proc/self/mountinfo
}
unified() {
	awk '{ for (i = 7; $i != "-"; i++) ; if ($(i + 1) == "cgroup2") { print $5; exit } }' /proc/self/mountinfo
}
either() { # directory of the v1 controller $1, else v2's
	at=$(on_v1 "$1")
	echo "${at:-$(unified)}"
}
cleanup() {
	for p in $pids; do kill -9 "$p" 2>/dev/null; done
}

mem=$(either memory) pid_at=$(either pids) cpu=$(either cpu)
if [ -n "$(on_v1 memory)" ]; then mem_file=memory.limit_in_bytes; else mem_file=memory.max; fi
if [ -n "$(on_v1 cpu)" ]; then cpu_file=cpu.shares cpu_want=512; else cpu_file=cpu.weight cpu_want=50; fi
echo "# memory at $mem, pids at $pid_at, cpu at $cpu"

# ---- create, enter, limits ----
created() {
	"$driver" create "$name" with_monitor=1 lxc.cgroup2.memory.max=64M lxc.cgroup.cpu.shares=512 \
		lxc.cgroup2.pids.max=20 lxc.cgroup2.devices.deny=a "lxc.cgroup2.devices.allow=c 1:3 rwm" >"$note"
}
check "create" created
check "payload and monitor are in every hierarchy" is "$(own)" $(($(mounts | grep -c .) * 2))
check "a limit of v2 holds" is "$(cat "$mem/lxc.payload.$name/$mem_file")" 67108864
check "a limit of v1 holds" is "$(cat "$cpu/lxc.payload.$name/$cpu_file")" "$cpu_want"
check "pids.max holds" is "$(cat "$pid_at/lxc.payload.$name/pids.max")" 20
check "get by v1's name" is "$("$driver" get "$note" memory.limit_in_bytes)" 67108864
check "get by v2's name" is "$("$driver" get "$note" memory.max)" 67108864
check "set by v2's name" "$driver" set "$note" memory.max 128M
check "it is set" is "$(cat "$mem/lxc.payload.$name/$mem_file")" 134217728
check "set cpu.max" "$driver" set "$note" cpu.max "50000 100000"
check_not "a file that is not there" "$driver" get "$note" memory.nonsense
check_not "a name that is a path" "$driver" get "$note" ../lxc.payload.x/tasks
check "enter" spawn
check "the process is in every hierarchy" everywhere "$pid" "lxc.payload.$name"
check "hierarchies are told" like "$("$driver" hierarchies "$note")" "lxc.payload.$name"

# ---- devices ----
reads() { # does a process inside read a byte of device $1? $2 is head's exit status
	"$driver" spawn "$note" sh -c "head -c 1 $1 >$TMPDIR/byte 2>&1; echo \$? >$TMPDIR/status" >"$out" 2>&1 || return 1
	eventually 30 test -s "$TMPDIR/status"
	result=$(cat "$TMPDIR/status")
	rm -f "$TMPDIR/status" "$TMPDIR/byte"
	[ "$result" = "$2" ]
}
check "an allowed device opens" reads /dev/null 0
check "another device does not" reads /dev/zero 1
check "allow one more" "$driver" set "$note" devices.allow "c 1:5 r"
check "it is in the list" like "$("$driver" get "$note" devices.list)" '^c 1:5 r$'
check "it opens now" reads /dev/zero 0
check "take it back" "$driver" set "$note" devices.deny "c 1:5 r"
check "it does not open any more" reads /dev/zero 1

# ---- statistics ----
stats=$("$driver" stats "$note")
stat() { printf '%s\n' "$stats" | sed -n "s/^$1=//p"; }
check "cpu time is counted" test "$(stat cpu)" -gt 0
check "memory is counted" test "$(stat memory)" -gt 0
check "the limits are told" is "$(stat memory_limit) $(stat pids_limit)" "134217728 20"
check "pids are counted" test "$(stat pids)" -ge 1
check "kernel memory is counted" test "$(stat kernel)" -gt 0

# ---- freeze, kill, remove ----
check "not frozen" is "$("$driver" frozen "$note")" 0
check "freeze" "$driver" freeze "$note"
check "frozen" is "$("$driver" frozen "$note")" 1
check "thaw" "$driver" thaw "$note"
check "thawed" is "$("$driver" frozen "$note")" 0
check_not "an occupied cgroup is not removed" "$driver" remove "$note"
check "the error names the cgroup" like "$("$driver" remove "$note" 2>&1)" "lxc.payload.$name: there are processes"
nested() { # as a guest's init would: cgroups below, one of them with a process
	for m in $(mounts); do mkdir -p "$m/lxc.payload.$name/a/b/c" "$m/lxc.payload.$name/d" || return 1; done
	first=$pid
	spawn && echo "$pid" >"$(unified)/lxc.payload.$name/a/b/c/cgroup.procs"
}
if [ -n "$(unified)" ]; then
	check "nested cgroups, one with a process" nested
else
	skip "nested cgroups, one with a process" "no v2 hierarchy"
	first=$pid
fi
check "freeze again" "$driver" freeze "$note"
check "kill ends what is frozen" "$driver" kill "$note"
check "the process is gone" eventually 30 gone "$first"
check "the nested process is gone" eventually 30 gone "$pid"
check "remove" "$driver" remove "$note"
check "nothing is left" is "$(own)" 0
check "remove once more" "$driver" remove "$note"
check "kill of what is gone" "$driver" kill "$note"
check_not "enter what is gone" "$driver" spawn "$note" true

# ---- names ----
check "create for a clash" created
check "occupy it" spawn
mv "$note" "$note.1"
check "a second of the same name" created
check "it has a suffix" like "$(cat "$note")" " lxc.payload.$name-1 lxc.monitor.$name-1 "
check "remove the second" "$driver" remove "$note"
mv "$note.1" "$note"
check "end the first" "$driver" kill "$note"
check "an empty left-over is used again" created
check "under its own name" like "$(cat "$note")" " lxc.payload.$name lxc.monitor.$name "
check "remove it" "$driver" remove "$note"
check "lxc.cgroup.dir" eval '"$driver" create "$name" "lxc.cgroup.dir=x$name/y" with_monitor=1 >"$note"'
check "is the directory above" test -d "$(unified)/x$name/y/lxc.payload.$name"
check "a process enters there" spawn
check "end it" "$driver" kill "$note"
check "remove it with the directories that were made" "$driver" remove "$note"
check "they are gone" is "$(own)" 0
check "lxc.cgroup.pattern" eval '"$driver" create "$name" "pattern=p/%n" >"$note"'
check "pattern with the name" test -d "$(unified)/p/$name/payload"
check "remove the pattern's" "$driver" remove "$note"
check "the pattern's directories are gone" test ! -e "$(unified)/p"
check "payload, inner and monitor by name" eval '"$driver" create "$name" "lxc.cgroup.dir.container=c$name" \
	"lxc.cgroup.dir.monitor=m$name" "lxc.cgroup.dir.container.inner=in" lxc.cgroup2.pids.max=9 with_monitor=1 >"$note"'
check "the process goes to the inner one" spawn
check "everywhere" everywhere "$pid" "c$name/in"
check "the limit is on the outer one" is "$(cat "$pid_at/c$name/pids.max")" 9
check "end it there" "$driver" kill "$note"
check "remove these" "$driver" remove "$note"

# ---- failure leaves nothing ----
check_not "a value the kernel refuses" "$driver" create "$name" lxc.cgroup2.pids.max=nonsense
check_not "a key without a counterpart or file" "$driver" create "$name" lxc.cgroup2.memory.nonsense=1
check_not "a directory outside" "$driver" create "$name" lxc.cgroup.dir=../x
check "all or nothing" is "$(own)" 0
check "an error names key and file" like "$("$driver" create "$name" lxc.cgroup2.pids.max=nonsense 2>&1)" \
	"lxc.cgroup2.pids.max: the kernel refuses \"nonsense\""

# ---- the rest of a life ----
check "renew for a reboot" "$driver" renew "$name" with_monitor=1 lxc.cgroup2.pids.max=30
check "nothing is left of it" is "$(own)" 0
monitor=$("$driver" monitor "$name" 2>&1)
check "the monitor enters, leaves and removes its own" is "$(printf '%s\n' "$monitor" |
	grep -cv ":/lxc.monitor.$name\$")" "$(printf '%s\n' "$monitor" | grep -cE ':(net_cls|perf_event|net_prio|hugetlb)[^/]*:/$')"
check "a command from start to end" "$driver" create "$name" -- sh -c 'exit 0'
check "delegated to the root of an id map" eval '"$driver" create "$name" idmap=100000 >"$note"'
check "it owns the directory" is "$(stat_owner() { ls -nd "$1" | awk '{ print $3 }'; }
	stat_owner "$(unified)/lxc.payload.$name"; stat_owner "$(unified)/lxc.payload.$name/cgroup.procs")" "100000
100000"
check "it does not own the limits" is "$(ls -n "$mem/lxc.payload.$name/$mem_file" | awk '{ print $3 }')" 0
check "remove the delegated" "$driver" remove "$note"

for f in "$cpu/cpu.stat" "$(unified)/cgroup.procs"; do [ -e "$f" ] || echo "# no $f"; done
if command -v strace >/dev/null && strace -o "$out" true 2>/dev/null; then
	strace -f -o "$out" "$driver" create "$name" -- true
	# Without those of the program's own start and end, and of the command.
	calls=$(sed -n '/mountinfo\|statfs(/,$p' "$out" | grep -cE 'cgroup|mountinfo|write\([0-9]+, "0"|flock|close\(')
	echo "# system calls of create, enter, seal and remove: $calls"
	check "they are about 100 (10 hierarchies)" test "$calls" -le 110
else
	skip "system calls" "no strace, or it may not trace"
fi
if [ -n "$(on_v1 cpu)" ]; then
	check "time" eval '"$driver" time "$name" >"$out"'
	sed 's/^/# /' "$out"
fi
check "nothing is left at the end" is "$(own)" 0
cleanup
rm -f "$note" "$out"
done_testing
