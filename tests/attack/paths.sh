# SPDX-License-Identifier: LGPL-2.1-or-later
# A hostile rootfs: symlinks, fifos and fakes where the start mounts, writes and looks. Nothing outside is touched.
# timeout: 300
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"
. "$BV_SRC/tests/attack/prey.inc"

# What must not change: a directory of the "host" with a file in it.
H=$TMPDIR/host
mkdir -p "$H/dev" "$H/proc" "$H/sys" "$H/etc"
echo secret >"$H/etc/secret"
host() { find "$H" -printf '%p %y %m %U %s %T@\n' | sort; awk '{ print $5 }' /proc/self/mountinfo | sort; }
before=$(host)
untouched() { is "$(host)" "$before"; }

# with PATH KIND TARGET COMMAND...: the rootfs has something else at PATH, and then its own again
with() {
	path=$1 kind=$2 target=$3
	shift 3
	mv "$R/$path" "$TMPDIR/saved" 2>/dev/null
	case $kind in
	link) ln -s "$target" "$R/$path" ;;
	fifo) mkfifo "$R/$path" ;;
	file) : >"$R/$path" ;;
	dir) mkdir "$R/$path" ;;
	esac
	"$@"
	result=$?
	rm -rf "${R:?}/$path"
	[ ! -e "$TMPDIR/saved" ] && [ ! -L "$TMPDIR/saved" ] || mv "$TMPDIR/saved" "$R/$path"
	return $result
}

# harmless: the start is refused with a sentence, or what it mounted is inside
harmless() {
	if start 2>"$TMPDIR/err"; then
		bad=0
		attach -- /bin/busybox true 2>/dev/null || :
		untouched || bad=1
		stop || bad=1
		return $bad
	fi
	[ -s "$TMPDIR/err" ] && untouched
}
for dir in dev proc sys; do
	check "/$dir is a symlink to a directory of the host: nothing outside is mounted on" with $dir link "$H/$dir" harmless
	check "/$dir is a symlink with .. in it: nothing outside is mounted on" with $dir link "../../host/$dir" harmless
	check "/$dir is a fifo: the start does not block" with $dir fifo - harmless
	check "/$dir is a file: no harm" with $dir file - harmless
	check "/$dir is a symlink to /proc/self/root: no harm" with $dir link "/proc/self/root$H" harmless
done
check "/dev/pts leads out: no harm" with dev/pts link "$H/dev" harmless
check "/etc is a symlink to the host's: no harm" with etc link "$H/etc" harmless

# ---- mount entries ----
entry() { # entry TARGET: bind $TMPDIR/src there; refused, or inside
	mkdir -p "$TMPDIR/src"
	echo bound >"$TMPDIR/src/file"
	if start -s "lxc.mount.entry=$TMPDIR/src $1 none bind,create=dir 0 0" 2>"$TMPDIR/err"; then
		untouched
		bad=$?
		stop || bad=1
		return $bad
	fi
	[ -s "$TMPDIR/err" ] && untouched
}
check "the target of an entry is a fifo: refused or inside" with mnt fifo - entry mnt
check "the target is a symlink to the host" with mnt link "$H/etc" entry mnt
check "its parent is a symlink to the host" with mnt link "$H" entry mnt/etc
check "its parent is a link to /proc/self/root" with mnt link /proc/self/root entry "mnt$H/etc"
check "its parent is a link to /proc/self/fd/3" with mnt link /proc/self/fd/3 entry mnt/x
check "the target climbs with .." entry "../../../../../../../..$H/etc"
check "the target climbs in the middle" entry "tmp/../../../../../..$H/etc"
check "nothing was bound over the host's file" is "$(cat "$H/etc/secret")" secret

# ---- the rootfs itself ----
ln -s "$R" "$TMPDIR/rootfs-link"
through_link() {
	start -s "lxc.rootfs.path=dir:$TMPDIR/rootfs-link" 2>"$TMPDIR/err" || { [ -s "$TMPDIR/err" ]; return; }
	attach -- test -e /bin/busybox && stop && untouched
}
check "the rootfs is a symlink: it is what it names, or refused with a sentence" through_link

# ---- a parent that is swapped while it starts ----
swap() {
	mkdir -p "$R/swap/etc" "$TMPDIR/src"
	(
		while [ ! -e "$TMPDIR/over" ]; do
			mv -T "$R/swap" "$R/swap.dir" && ln -s "$H" "$R/swap"
			rm "$R/swap" && mv -T "$R/swap.dir" "$R/swap"
		done
	) 2>/dev/null &
	bad=0
	for _ in $(seq 40); do
		start -s "lxc.mount.entry=$TMPDIR/src swap/etc none bind,create=dir 0 0" 2>/dev/null && stop
		is "$(cat "$H/etc/secret")" secret || bad=1
	done
	touch "$TMPDIR/over"
	wait $!
	rm -rf "$TMPDIR/over" "$R/swap" "$R/swap.dir"
	[ $bad = 0 ] && untouched
}
check "a parent of the target is swapped for a symlink, 40 starts" swap

# ---- init ----
# init_is KIND [TARGET] SENTENCE
check "init is missing: said so" with sbin/init none - refused '/sbin/init: No such file'
check "init is a symlink to nothing inside" with sbin/init link "$H/etc/secret" refused '/sbin/init: No such file'
check "init is a fifo: said so, no hang" with sbin/init fifo - refused '/sbin/init: Permission denied'
check "init is a directory: said so" with sbin/init dir - refused '/sbin/init: Permission denied'
check "init is not executable: said so" with sbin/init file - refused '/sbin/init: Permission denied'
wrong_arch() {
	# An ELF header of another machine.
	head -c 4096 "$R/bin/busybox" >"$R/sbin/init"
	printf '\377\377' | dd of="$R/sbin/init" bs=1 seek=18 conv=notrunc 2>/dev/null
	chmod 755 "$R/sbin/init"
	refused '/sbin/init: Exec format error'
}
check "init is of another architecture: said so" with sbin/init none - wrong_arch
interpreter() {
	printf '#!%s\n' "$H/etc/secret" >"$R/sbin/init"
	chmod 755 "$R/sbin/init"
	refused '/sbin/init: No such file'
}
check "init is a script whose interpreter is on the host: not found" with sbin/init none - interpreter
check "init is a link to itself: said so" with sbin/init link /sbin/init refused '/sbin/init: Too many levels'

# ---- what is inside when somebody attaches ----
fake_proc() {
	start || return 1
	attach -- sh -c 'mount -t tmpfs t /proc && mkdir -p /proc/self/attr /proc/1 /proc/self/fd &&
		: >/proc/self/attr/current'
	is "$(attach -- echo in)" in || return 1
	is "$(attach --clear-env -- sh -c 'ls /proc/self/attr/current; cat /proc/self/attr/current')" /proc/self/attr/current
	bad=$?
	stop && [ $bad = 0 ]
}
check "a tmpfs over /proc with attr/current: nothing is written to it, attach works" fake_proc
cwd() {
	mkdir -p "$TMPDIR/there"
	ln -sfn "/proc/self/fd/9" "$R/there"
	mkdir -p "$R$TMPDIR"
	ln -sfn /proc/self/fd/3 "$R$TMPDIR/there"
	start || return 1
	bad=0
	for i in 3 4 5 6 7 8 9; do
		ln -sfn "/proc/self/fd/$i" "$R$TMPDIR/there"
		here=$(cd "$TMPDIR/there" && attach -- /bin/busybox readlink /proc/self/cwd)
		case $here in / | "") ;; *) echo "fd $i: $here"; bad=1 ;; esac
	done
	stop && [ $bad = 0 ]
}
check "the caller's directory is a link to /proc/self/fd/N inside: attach is in /" cwd
fake_pts() {
	start || return 1
	attach -- sh -c 'umount -l /dev/pts; rm -f /dev/ptmx; mkdir -p /dev/pts; : >/dev/pts/ptmx; : >/dev/pts/0'
	# script gives lxc-attach a terminal.
	said=$(t script -qec "lxc-attach -P $L -n prey -- sh -c 'test -t 0 && echo a-terminal'" /dev/null </dev/null)
	is "$(attach -- cat /dev/pts/0 /dev/pts/ptmx)" "" && like "$said" a-terminal
	bad=$?
	stop && [ $bad = 0 ]
}
if command -v script >/dev/null; then
	check "a faked /dev/pts is not opened: the pty is the host's" fake_pts
else
	skip "a faked /dev/pts" "no script(1)"
fi
fake_passwd() {
	start || return 1
	attach -- sh -c 'mv /etc/passwd /etc/passwd.old; mkfifo /etc/passwd'
	is "$(echo 'echo sh' | attach)" sh
	bad=$?
	attach -- mv -f /etc/passwd.old /etc/passwd
	stop && [ $bad = 0 ]
}
check "/etc/passwd inside is a fifo: attach does not block" fake_passwd
fake_null() {
	mkdir -p "$R/dev"
	rm -f "$R/dev/null"
	ln -s "$H/etc/secret" "$R/dev/null"
	start || return 1
	is "$(attach -- stat -c '%F %t:%T' /dev/null)" "character special file 1:3" && is "$(cat "$H/etc/secret")" secret
	bad=$?
	stop
	rm -f "$R/dev/null"
	[ $bad = 0 ]
}
check "/dev/null in the rootfs is a symlink: the instance has the true one" fake_null
check "the host is untouched in the end" untouched

done_testing
