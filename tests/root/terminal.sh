# SPDX-License-Identifier: LGPL-2.1-or-later
# Terminals: lxc-console, lxc-attach, lxc-start -F and lxc-execute on a pty, the console's log. See pty_driver.c.
# timeout: 600
. "${BV_SRC:-.}/tests/lib.sh"
# shellcheck source=tests/pty.inc
. "$BV_SRC/tests/pty.inc"

L=$TMPDIR/lxc
R=$TMPDIR/rootfs
export L R

busybox_rootfs "$R"
cp "$D" "$R/bin/pty_driver"
cat >"$R/etc/inittab" <<-'END'
::sysinit:/bin/sh /etc/boot
tty1::respawn:/bin/getty -n -l /bin/login1 -L 38400 tty1 vt100
tty2::respawn:/bin/sh /etc/prompt
END
cat >"$R/bin/login1" <<-'END'
#!/bin/sh
printf 'welcome on %s\n' "$(tty)"
PS1='inside# ' exec /bin/sh
END
chmod 755 "$R/bin/login1"
# A getty that hangs its terminal up first.
cat >"$R/etc/prompt" <<-'END'
trap '' HUP
pty_driver --vhangup
exec </dev/tty2 >/dev/tty2 2>&1
printf 'name please: '
read -r name && echo "hello $name"
END
echo 'echo "boot is here"; echo "size $(stty size)"' >"$R/etc/boot"
instance "$L" one "$R" "lxc.tty.max = 4" "lxc.pty.max = 64"

run_dir() { echo "$BIVALVE_RUN"/*/"$1"; }
monitor_of() { sed -n 's/^monitor \([0-9]*\)/\1/p' "$(run_dir "$1")/state"; }
stopped() { [ "$(lxc-info -P "$L" -n "$1" -sH)" = STOPPED ]; }
not_inside() { ! lxc-attach -P "$L" -n one -- pidof "$1" >/dev/null; }

# What is typed at a program has to find it in the foreground: it says so itself, by a word that its command line, which
# is echoed, has not. A new size takes its way, too, and is waited for.

# ---- lxc-console ----
check "start" lxc-start -P "$L" -n one
drive "console: a login, a command, its output, and ^a q" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Connected to tty 1\r\n
expect Type <Ctrl+a q> to exit the console, <Ctrl+a Ctrl+a> to enter Ctrl+a itself
raw
send \r
expect welcome on /dev/tty1
expect inside#\x20
send echo a$((1+1))c\r
expect a2c
expect inside#\x20
send \x01q
end 0
restored
END
drive "console: connecting again finds the session" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
send echo again$((2+3))\r
expect again5
send \x01
sleep 50
send q
end 0
restored
END
drive "console: ^a ^a is one ^a, ^a x is x" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
send sh -c 'echo g$((1+1))o; exec cat -v'\r
expect g2o
send \x01\x01b\x01y\r
expect ^Aby
expect ^Aby
send \x03
expect inside#\x20
send \x01q
end 0
END
drive "console: another escape" lxc-console -P "$L" -n one -t 1 -e b <<-'END'
expect Type <Ctrl+b q> to exit the console, <Ctrl+b Ctrl+b> to enter Ctrl+b itself
raw
send echo e$((4+4))\r
expect e8
send \x02q
end 0
END
drive "console: the window size at the start and when it changes" lxc-console -P "$L" -n one -t 1 <<-'END'
size 40 111
expect Type
raw
send until [ "$(stty size)" = "$((39+1)) $((110+1))" ]; do sleep 0.1; done; stty size\r
expect 40 111
size 41 112
send until [ "$(stty size)" = "$((40+1)) $((111+1))" ]; do sleep 0.1; done; stty size\r
expect 41 112
send \x01q
end 0
END
drive "console: ^C goes in" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
send sh -c 'echo g$((1+1))o; exec sleep 1000'\r
expect g2o
send \x03
expect inside#\x20
send \x01q
end 0
END
drive "console: a second client is refused, without -t another tty is found" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
run ! lxc-console -P $L -n one -t 1 2>$TMPDIR/busy </dev/null
run grep -q 'tty 1 of one is in use' $TMPDIR/busy
run ! lxc-console -P $L -n one -t 5 2>$TMPDIR/busy </dev/null
run grep -q 'one has no tty 5' $TMPDIR/busy
send \x01q
end 0
END
drive "console: it survives the end of a session" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
send exit\r
sleep 300
send \r
expect welcome on
expect inside#\x20
send echo s$((5+5))\r
expect s10
send \x01q
end 0
END
drive "console: it survives a hang-up by the next getty" lxc-console -P "$L" -n one -t 2 <<-'END'
expect Type
raw
send one\r
expect hello one
expect name please
send two\r
expect hello two
expect name please
send \x01q
end 0
END
drive "console: a tty that nobody uses" lxc-console -P "$L" -n one -t 4 <<-'END'
expect Type
raw
run lxc-attach -P $L -n one -- sh -c 'echo one >/dev/tty4; sleep 0.1; echo two >/dev/tty4'
expect one
expect two
send \x01q
end 0
END
for sig in 1 2 15; do
	drive "console: signal $sig restores the terminal" lxc-console -P "$L" -n one -t 1 <<-END
	expect Type
	raw
	signal $sig
	end $((128 + sig))
	restored
	END
done
drive "console: it hangs up with its terminal" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
close
end 129
END
drive "console: signals reach it while its terminal takes nothing" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
raw
send yes | head -c 200000\r
sleep 500
signal 15
end 143
restored
END
drive "console: it ends with the instance" lxc-console -P "$L" -n one -t 3 <<-'END'
expect Type
raw
run lxc-stop -P $L -n one -k
end 0
restored
END
lxc-console -P "$L" -n one 2>"$TMPDIR/err" </dev/null
check "console: 1 when it is not running" is $? 1
check "and says so" like "$(head -n 1 "$TMPDIR/err")" 'one is not running'

# ---- the console's own tty, log, ring ----
instance "$L" log "$R" "lxc.tty.max = 1" "lxc.console.logfile = $TMPDIR/console.log" "lxc.console.buffer.size = 4096"
cat >"$R/etc/inittab" <<-'END'
::sysinit:/bin/sh /etc/boot
::respawn:-/bin/sh /etc/console
END
cat >"$R/etc/console" <<-'END'
PS1='console# '; export PS1; exec /bin/sh -i
END
lxc-start -P "$L" -n log
check "log: what boots is in the log" eventually 30 grep -q 'boot is here' "$TMPDIR/console.log"
check "log: its mode" is "$(stat -c %a "$TMPDIR/console.log")" 640
drive "console: -t 0 is /dev/console" lxc-console -P "$L" -n log -t 0 <<-'END'
expect Connected to tty 0
raw
send \r
expect console#\x20
size 33 99
send until [ "$(stty size)" = "$((32+1)) $((98+1))" ]; do sleep 0.1; done; stty size\r
expect 33 99
run ! lxc-console -P $L -n log -t 0 2>$TMPDIR/busy </dev/null
run grep -q 'tty 0 of log is in use' $TMPDIR/busy
send echo l$((6+6))g\r
expect l12g
send \x01q
end 0
restored
END
check "log: what a client saw is in the log" grep -q l12g "$TMPDIR/console.log"
drive "console: a hang-up of /dev/console leaves it usable" lxc-console -P "$L" -n log -t 0 <<-'END'
expect Type
raw
send trap '' HUP; sh -c 'pty_driver --vhangup; : >/hung'\r
run until [ -e $R/hung ]; do sleep 0.1; done
run lxc-attach -P $L -n log -- sh -c 'echo after the hang-up >/dev/console'
expect after the hang-up
send \x01q
end 0
END
drive "console: -t 0 goes on over a reboot" lxc-console -P "$L" -n log -t 0 <<-'END'
expect Type
raw
size 37 97
# A shell may not be there to ask, after that hang-up.
sleep 2000
run lxc-stop -P $L -n log -r -t 60
expect boot is here
expect size 37 97
expect console#\x20
send echo r$((7+7))\r
expect r14
send \x01q
end 0
END
drive "console: a client that reads nothing does not hold the console up" lxc-console -P "$L" -n log -t 0 <<-'END'
expect Type
raw
run timeout 60 lxc-attach -P $L -n log -- sh -c 'yes "a long line that nobody reads" | head -c 3000000 >/dev/console'
signal 19
run timeout 60 lxc-attach -P $L -n log -- sh -c 'yes "a long line that nobody reads" | head -c 3000000 >/dev/console'
signal 18
send \x01q
end 0
restored
END
check "stop" lxc-stop -P "$L" -n log -k
check "log: nothing is lost that nobody read" test "$(grep -c 'a long line that nobody reads' "$TMPDIR/console.log")" -ge 190000

cat >"$R/etc/flood" <<-'END'
yes "a line that nobody reads" | head -c 1048576
echo
echo flooded
END
instance "$L" flood "$R" "lxc.console.logfile = $TMPDIR/flood.log" "lxc.console.size = 64KB" "lxc.console.rotate = 1"
check "log: 1 MB from init with nobody at the console" timeout 120 \
	sh -c 'lxc-start -P "$L" -n flood -- /bin/sh /etc/flood && lxc-wait -P "$L" -n flood -s STOPPED -t 60'
check "log: its end is there" is "$(tail -n 1 "$TMPDIR/flood.log" | tr -d '\r')" flooded
check "log: the limit holds" test "$(stat -c %s "$TMPDIR/flood.log")" -le 65536
check "log: one older file is kept, within the limit" test "$(stat -c %s "$TMPDIR/flood.log.1")" -le 65536
check "log: and no other" is "$(echo "$TMPDIR"/flood.log*)" "$TMPDIR/flood.log $TMPDIR/flood.log.1"
instance "$L" cut "$R" "lxc.console.logfile = $TMPDIR/cut.log" "lxc.console.size = 64KB"
lxc-start -P "$L" -n cut -- /bin/sh /etc/flood && lxc-wait -P "$L" -n cut -s STOPPED -t 60
check "log: without rotate it begins again" test "$(stat -c %s "$TMPDIR/cut.log")" -le 65536
check "log: and keeps no other" test ! -e "$TMPDIR/cut.log.1"

# ---- the command socket ----
lxc-start -P "$L" -n one
monitor=$(monitor_of one)
count_fds() { ls "/proc/$monitor/fd" | wc -l; }
fds=$(steady count_fds)
cat >"$TMPDIR/flood.c" <<-'END'
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char junk[70000] = "half";
	if (argc < 2 || chdir(argv[1]) < 0)
		return 2;
	strcpy(a.sun_path, "command");
	for (int i = 0; i < 1000; i++) {
		int s = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
			return 1;
		if (i % 4)
			send(s, junk, i % 4 == 1 ? 4 : i % 4 == 2 ? 12 : sizeof(junk), MSG_NOSIGNAL);
		if (i % 3 == 0)
			close(s);
	}
	puts("sent");
	fflush(stdout);
	pause();
}
END
${CC:-cc} -D_GNU_SOURCE -o "$TMPDIR/flood" "$TMPDIR/flood.c"
sh -c 'ulimit -n 4096; exec "$0" "$1"' "$TMPDIR/flood" "$(run_dir one)" >"$TMPDIR/flood.out" &
flood=$!
check "socket: 1000 connections, half requests, garbage" eventually 30 grep -q sent "$TMPDIR/flood.out"
drive "socket: a console can be had all the same" lxc-console -P "$L" -n one -t 1 <<-'END'
expect Type
send \x01q
end 0
END
kill "$flood"
wait "$flood" 2>/dev/null
same_fds() { [ "$(count_fds)" = "$fds" ]; }
check "socket: the monitor has no more fds than before" eventually 30 same_fds
check "socket: it is the same monitor, and well" is "$(monitor_of one) $(lxc-info -P "$L" -n one -sH)" "$monitor RUNNING"

# ---- lxc-attach ----
drive "attach: a pty of the instance" lxc-attach -P "$L" -n one -- sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo all' <<-'END'
expect /dev/pts/
expect all
end 0
restored
END
drive "attach: the exit code comes through" lxc-attach -P "$L" -n one -- sh -c 'echo last words; exit 42' <<-'END'
expect last words
end 42
restored
END
drive "attach: all output comes, to its end" lxc-attach -P "$L" -n one -- sh -c 'seq 1 20000; exit 6' <<-'END'
expect 19999\r\n20000\r\n
end 6
END
drive "attach: the window size, and its change" lxc-attach -P "$L" -n one -- sh -c 'stty size; trap "stty size; exit 0" WINCH; echo go; while :; do sleep 0.1; done' <<-'END'
expect 24 80
expect go
size 50 132
expect 50 132
end 0
END
drive "attach: ^C reaches the command" lxc-attach -P "$L" -n one -- sh -c 'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep 0.1; done' <<-'END'
expect ready
send \x03
expect interrupted
end 9
restored
END
drive "attach: a shell with job control" lxc-attach -P "$L" -n one --clear-env -- sh -i <<-'END'
expect #\x20
send sh -c 'echo g$((1+1))o; exec sleep 1000'\r
expect g2o
send \x1a
expect Stopped
send jobs; kill %1; fg\r
expect sleep 1000
send exit 5\r
end 5
refuse can't access tty
restored
END
drive "attach: a paste of 100 KB is all there" lxc-attach -P "$L" -n one -- sh -c 'stty -echo; echo ready; head -c 102400 | md5sum' <<-END
expect ready
paste 102400
expect $(awk 'BEGIN { for (i = 0; i < 102400; i++) printf i % 64 == 63 ? "\n" : "a" }' | md5sum | cut -d' ' -f1)
end 0
END
drive "attach: stderr apart while the rest is a terminal" sh -c 'exec lxc-attach -P "$L" -n one -- sh -c "tty; echo to stderr >&2; test -t 2 || echo apart" 2>"$TMPDIR/stderr"' <<-'END'
expect /dev/pts/
expect apart
end 0
refuse to stderr
END
check "and it is in the file" is "$(cat "$TMPDIR/stderr")" "to stderr"
drive "attach: stdin apart, with the terminal's size" sh -c 'exec lxc-attach -P "$L" -n one -- sh -c "cat; stty size <&1" </etc/hostname' <<-END
expect $(cat /etc/hostname)
expect 24 80
end 0
END
drive "attach: stdout into a pipe that closes" sh -c 'lxc-attach -P "$L" -n one -- yes | head -n 1; echo over' <<-'END'
expect y
expect over
end 0
restored
END
for sig in 1 2 15; do
	drive "attach: signal $sig ends it and restores the terminal" lxc-attach -P "$L" -n one -- sleep 31337 <<-END
	raw
	signal $sig
	end $((128 + sig))
	restored
	END
	check "and the command is gone" eventually 30 not_inside sleep
done
drive "attach: a hang-up leaves no process" lxc-attach -P "$L" -n one -- sh -c 'echo up; sleep 31337; true' <<-'END'
expect up
close
end 129
END
check "none" eventually 30 not_inside sleep
drive "attach: a hang-up that it does not get a signal of" sh -c 'trap "" HUP; lxc-attach -P "$L" -n one -- sh -c "trap - HUP; echo up; sleep 31337; true"; echo $? >"$TMPDIR/hup"' <<-'END'
expect up
close
end 0
END
check "none" eventually 30 not_inside sleep
drive "attach: a process in the background does not keep it" lxc-attach -P "$L" -n one -- sh -c 'trap "" HUP; sleep 1000 & echo done; exit 4' <<-'END'
expect done
end 4
END
check "which goes on" lxc-attach -P "$L" -n one -- killall sleep
drive "attach: -L logs the terminal" lxc-attach -P "$L" -n one -L "$TMPDIR/pty.log" -- echo logged <<-'END'
expect logged
end 0
END
check "the log has it" is "$(tr -d '\r' <"$TMPDIR/pty.log")" logged
check "and its mode" is "$(stat -c %a "$TMPDIR/pty.log")" 640
check "attach: none of it holds a pty" eventually 30 sh -c '[ "$(lxc-attach -P "$L" -n one -- sh -c "ls /dev/pts | wc -l")" = "$1" ]' - 6
lxc-stop -P "$L" -n one -k

# ---- lxc-start -F ----
drive "start -F: the boot is seen, typing goes in, poweroff ends it" lxc-start -P "$L" -n log -F <<-'END'
size 30 90
expect boot is here
expect console#\x20
send stty size\r
expect 30 90
size 31 91
send until [ "$(stty size)" = "$((30+1)) $((90+1))" ]; do sleep 0.1; done; stty size\r
expect 31 91
send sh -c 'echo g$((1+1))o; exec sleep 1000'\r
expect g2o
send \x03
expect console#\x20
run ! lxc-console -P $L -n log -t 0 2>$TMPDIR/busy </dev/null
run grep -q 'tty 0 of log is in use' $TMPDIR/busy
refuse can't access tty
send poweroff -f\r
end 0
restored
END
drive "start -F: a shell in place of init has job control" lxc-start -P "$L" -n log -F -- sh -i <<-'END'
expect #\x20
send sh -c 'echo g$((1+1))o; exec sleep 1000'\r
expect g2o
send \x03
expect #\x20
refuse can't access tty
send exit\r
end 0
restored
END
drive "start -F: a reboot" lxc-start -P "$L" -n log -F <<-'END'
expect size 24 80
expect console#\x20
send reboot -f\r
expect size 24 80
expect console#\x20
send poweroff -f\r
end 0
restored
END
drive "start -F: its terminal takes nothing for a while, and all is there" lxc-start -P "$L" -n log -F -- sh -c 'seq 1 60000; echo the end' <<-'END'
sleep 1500
expect 59999\r\n60000\r\nthe end
end 0
restored
END
drive "start -F: stopped while its terminal takes nothing" lxc-start -P "$L" -n log -F -- sh -c 'yes' <<-'END'
sleep 500
run timeout 60 lxc-stop -P $L -n log -k
end 0
restored
END
drive "start -F: output into a pipe that closes" sh -c 'lxc-start -P "$L" -n log -F -- sh -c "seq 1 20000; exit 0" | head -n 1; echo over' <<-'END'
expect 1\r\n
expect over
end 0
restored
END
drive "start -F: SIGKILL to init restores the terminal" lxc-start -P "$L" -n log -F <<-'END'
expect console#\x20
run kill -9 $(lxc-info -P $L -n log -pH)
end 0
restored
END
drive "start -F: the terminal hangs up" lxc-start -P "$L" -n log -F -- sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done' <<-'END'
expect up
close
end 0
END
check "and it is STOPPED" eventually 30 stopped log
check "start -F: without a terminal, input and output are the console's" like \
	"$(echo 'echo x$((1+2))y; poweroff -f' | timeout 60 lxc-start -P "$L" -n log -F 2>&1)" x3y

# ---- lxc-execute ----
drive "execute: an interactive shell" lxc-execute -P "$L" -n log -- sh -i <<-'END'
size 30 90
expect #\x20
send tty; stty size\r
expect /dev/
expect 30 90
send sh -c 'echo g$((1+1))o; exec sleep 1000'\r
expect g2o
send \x03
expect #\x20
send echo x$((3+4))\r
expect x7
send exit 12\r
end 12
refuse can't access tty
restored
END
drive "execute: ^C reaches the command, once" lxc-execute -P "$L" -n log -- sh -c 'trap "n=\$((n+1)); echo got \$n" INT; echo ready; sleep 30; sleep 1; echo bye $n; exit 3' <<-'END'
expect ready
sleep 200
send \x03
expect got 1
end 3
refuse got 2
restored
END
drive "execute: the window size from the first moment" lxc-execute -P "$L" -n log -- stty size <<-'END'
expect 24 80
end 0
END
drive "execute: a paste of 100 KB is all there" lxc-execute -P "$L" -n log -- sh -c 'stty -echo; echo ready; sleep 0.5; head -c 102400 | md5sum' <<-END
expect ready
paste 102400
expect $(awk 'BEGIN { for (i = 0; i < 102400; i++) printf i % 64 == 63 ? "\n" : "a" }' | md5sum | cut -d' ' -f1)
end 0
END
drive "execute: all output comes, to its end" lxc-execute -P "$L" -n log -- sh -c 'seq 1 20000; exit 6' <<-'END'
expect 19999\r\n20000\r\n
end 6
END
drive "execute: SIGTERM ends it and restores the terminal" lxc-execute -P "$L" -n log -- sh -c 'echo up; exec sleep 1000' <<-'END'
raw
expect up
signal 15
end 143
restored
END
drive "execute: the terminal hangs up" lxc-execute -P "$L" -n log -- sh -c 'echo up; sleep 1000; true' <<-'END'
expect up
close
end 143
END
check "and it is STOPPED" eventually 30 stopped log
for name in one log flood cut; do stopped "$name" || lxc-stop -P "$L" -n "$name" -k; done
rm -rf --one-file-system "$L" "$R" "$TMPDIR"/*.log* "$TMPDIR"/flood* "$D" "$TMPDIR"/err "$TMPDIR"/busy "$TMPDIR"/script \
	"$TMPDIR"/stderr "$TMPDIR"/hup
done_testing
