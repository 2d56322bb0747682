# SPDX-License-Identifier: LGPL-2.1-or-later
# Create and destroy: templates of all kinds, what a crash leaves, and what is asked before anything is removed.
# timeout: 600
. "${BV_SRC:-.}/tests/lib.sh"

PATH=${BV_BIN:+$BV_BIN:}$PATH
L=$TMPDIR/lxc T=$TMPDIR/templates
BIVALVE_TEMPLATES=$T:$BV_SRC/templates/recipes
BIVALVE_CACHE=$TMPDIR/cache
BIVALVE_LXC_CONF=$TMPDIR/lxc.conf
export BIVALVE_TEMPLATES BIVALVE_CACHE BIVALVE_LXC_CONF
mkdir -p "$T"
printf 'lxc.net.0.type = empty\n' >"$TMPDIR/default.conf"
printf 'lxc.default_config = %s\n' "$TMPDIR/default.conf" >"$BIVALVE_LXC_CONF"

create() { lxc-create -P "$L" "$@"; }
destroy() { lxc-destroy -P "$L" "$@"; }
# All that is in the lxcpath, hidden things too.
left() { ls -A "$L" 2>/dev/null | tr '\n' ' '; }
without_lines() { ! grep -qE "$1" "$2"; }

# ---- none ----
check "-t none" create -n none -t none
check "makes a config alone" is "$(ls -A "$L/none")" config
check "that begins as the default one" is "$(head -n 1 "$L/none/config")" "lxc.net.0.type = empty"
check "and has the name" grep -qx 'lxc.uts.name = none' "$L/none/config"
check "0640 in a directory of 0770" is "$(stat -c %a "$L/none" "$L/none/config" | tr '\n' ' ')" "770 640 "
check_not "a second one of that name fails" create -n none -t none
check "and says so" like "$(create -n none -t none 2>&1)" 'none exists already'
check "destroy" destroy -n none
check "leaves nothing" is "$(left)" ""
check_not "destroy of nothing fails" destroy -n none

# ---- busybox ----
check "-t busybox" create -n bb -t busybox
check "init is there" test -x "$L/bb/rootfs/sbin/init"
check "applets are links" is "$(readlink "$L/bb/rootfs/bin/ls")" busybox
check "the header names the template" is "$(head -n 1 "$L/bb/config")" "# Template used to create this container: busybox"
check "the path is the final one" grep -qx "lxc.rootfs.path = dir:$L/bb/rootfs" "$L/bb/config"
check "/tmp is 1777 under any umask" sh -c "umask 077; lxc-create -P $L -n um -t busybox >/dev/null && [ \$(stat -c %a $L/um/rootfs/tmp) = 1777 ] && [ \$(stat -c %a $L/um/rootfs/bin) = 755 ]"
check "it starts" lxc-start -P "$L" -n bb
check "it runs" is "$(lxc-attach -P "$L" -n bb -- cat /etc/hostname)" bb
check_not "it is not destroyed while it runs" destroy -n bb
check "destroy -f kills it first" destroy -f -n bb
check_not "an option that it does not know" create -n bad -t busybox -- --nonsense
if command -v strace >/dev/null; then
	strace -f -o "$TMPDIR/trace" -e trace=execve,fork,vfork,clone,clone3 lxc-create -P "$L" -n ex -t busybox >/dev/null
	check "at most 5 execs" test "$(grep -c 'execve(.*= 0' "$TMPDIR/trace")" -le 5
	destroy -n ex
else
	skip "at most 5 execs" "no strace here"
fi
destroy -n um
check "nothing is left" is "$(left)" ""

# ---- a template that is not there ----
check "an unknown template is named" like "$(create -n x -t busbox 2>&1)" 'no template "busbox"'
check "with the nearest one" like "$(create -n x -t busbox 2>&1)" 'did you mean busybox'
check "a path that is not there" like "$(create -n x -t /nowhere/t 2>&1)" '/nowhere/t'
check "nothing is left of them" is "$(left)" ""

# ---- scripts: LXC's protocol ----
cat >"$T/lxc-args" <<'END'
#!/bin/sh
for a in "$@"; do case $a in --path=*) path=${a#*=} ;; --rootfs=*) rootfs=${a#*=} ;; esac; done
printf '%s\n' "$@" >"$path/args"
umask >"$path/umask"
ls -A "${path%/*}" >"$path/seen"
mkdir -p "$rootfs/etc"
cat "$path/config" >"$path/config.seen"
{
	echo "lxc.net.0.type = veth"
	echo "lxc.net.0.hwaddr = 00:16:3e:xx:xx:xx"
	echo "lxc.mount.fstab = $path/fstab"
} >>"$path/config"
END
chmod +x "$T/lxc-args"
check "a script" create -n sc -t args -- -r "a b" --other
check "its arguments, in LXC's order" is "$(tr '\n' '|' <"$L/sc/args")" "--path=$L/sc|--name=sc|--rootfs=$L/sc/rootfs|-r|a b|--other|"
check "umask 022" is "$(cat "$L/sc/umask")" 0022
check "it saw the final rootfs path" grep -qx "lxc.rootfs.path = dir:$L/sc/rootfs" "$L/sc/config.seen"
check "the MAC is filled in" grep -qE '^lxc.net.0.hwaddr = 00:16:3e(:[0-9a-f]{2}){3}$' "$L/sc/config"
check "what it appended is kept" grep -qx "lxc.mount.fstab = $L/sc/fstab" "$L/sc/config"
check "the name is added" grep -qx 'lxc.uts.name = sc' "$L/sc/config"
check "parameters are noted" grep -qx '# Parameters passed to the template: -r a b --other' "$L/sc/config"
check "no mount is left" is "$(grep -c "$L" /proc/self/mountinfo)" 0
destroy -n sc
nl=$(printf 'x\nlxc.hook.start = /evil')
create -n nl -t args -- "$nl" >/dev/null
check "a line break in a parameter makes no line" without_lines '^lxc.hook' "$L/nl/config"
destroy -n nl

printf '#!/bin/sh\necho broken >&2\nexit 3\n' >"$T/lxc-fails"
chmod +x "$T/lxc-fails"
check "a failing script fails with its code" like "$(create -n f -t fails 2>&1)" 'failed with exit code 3'
check "and leaves nothing" is "$(left)" ""
printf '#!/bin/sh\nfor a; do case $a in --path=*) echo lxc.nonsense = 1 >>"${a#*=}/config" ;; esac; done\n' >"$T/lxc-badconf"
chmod +x "$T/lxc-badconf"
check_not "a config that does not load is refused" create -n f -t badconf
check "and leaves nothing" is "$(left)" ""
check "-h is the template's" like "$(printf '#!/bin/sh\necho my own help\n' >"$T/lxc-help"; chmod +x "$T/lxc-help"; lxc-create -t help -h 2>&1)" 'my own help'

printf 'lxc.net.0.type = empty\nlxc.idmap = u 0 100000 65536\nlxc.idmap = g 0 100000 65536\n' >"$TMPDIR/mapped.conf"
check "busybox under lxc.idmap" create -n bbm -t busybox -f "$TMPDIR/mapped.conf"
check "its ids are mapped by the mount" grep -qx 'lxc.rootfs.options = idmap=container' "$L/bbm/config"
chmod o+x "$TMPDIR" "$L" "$L/bbm"
check "it starts" lxc-start -P "$L" -n bbm
check "its root owns its files" is "$(lxc-attach -P "$L" -n bbm -- stat -c %u /bin/busybox)" 0
check "and is nobody on the host" is "$(stat -c %u "/proc/$(lxc-info -P "$L" -n bbm -pH)")" 100000
destroy -f -n bbm
if command -v lxc-usernsexec >/dev/null; then
	cat >"$T/lxc-mapped" <<-'END'
	#!/bin/sh
	for a in "$@"; do case $a in --path=*) path=${a#*=} ;; --rootfs=*) rootfs=${a#*=} ;; esac; done
	echo "$(id -u) $*" >"$path/who"
	mkdir "$rootfs/own"
	END
	chmod +x "$T/lxc-mapped"
	chmod 755 "$TMPDIR"
	check "a script under lxc.idmap" create -n map -t mapped -f "$TMPDIR/mapped.conf" -- -z
	check "is root inside and is told the caller's ids" is "$(cut -d' ' -f1,5- "$L/map/who")" "0 -z --mapped-uid 65536 --mapped-gid 65536"
	check "what it makes is of the instance's root" is "$(stat -c %u "$L/map/rootfs/own")" 100000
	destroy -n map
else
	skip "a script under lxc.idmap" "no lxc-usernsexec here"
fi

# ---- unseen before it is complete, and after a kill ----
cat >"$T/lxc-slow" <<'END'
#!/bin/sh
for a; do case $a in --path=*) path=${a#*=} ;; esac; done
echo lxc.tty.max = 1 >>"$path/config"
: >"$path/began"
sleep 61
END
chmod +x "$T/lxc-slow"
lxc-create -P "$L" -n slow -t slow >/dev/null 2>&1 &
job=$!
check "a slow creation is under way" eventually 30 test -e "$L/.slow.new/began"
check "lxc-ls does not see it" is "$(lxc-ls -P "$L" -1)" ""
check_not "a second creation of that name fails" create -n slow -t none
check "and says why" like "$(create -n slow -t none 2>&1)" 'being created'
check_not "nor can it be started" lxc-start -P "$L" -n slow
kill -9 "$job"
wait "$job" 2>/dev/null
check "what is left is hidden" is "$(lxc-ls -P "$L" -1)" ""
template_gone() { ! pgrep -f 'lxc-slow|-t slow|sleep 61'; }
check "what the template started is gone too" eventually 30 template_gone
check "the next creation of that name" create -n slow -t none
check "removes it" is "$(left)" "slow "
destroy -n slow
lxc-create -P "$L" -n slow -t slow >/dev/null 2>&1 &
job=$!
eventually 30 test -e "$L/.slow.new/began"
kill -9 "$job"
wait "$job" 2>/dev/null
# What the template runs in has the directory locked until it is gone.
check "what the template started is gone again" eventually 30 template_gone
check "destroy removes it as well" destroy -n slow
check "nothing is left" is "$(left)" ""

for step in create-claim create-config create-storage create-template create-finish create-publish; do
	BIVALVE_FAIL_STEP=$step lxc-create -P "$L" -n fault -t busybox >/dev/null 2>&1
	check "a fault at $step fails" is $? 1
	check "... and leaves nothing" is "$(left)" ""
done

# ---- one of many ----
i=0
while [ $i -lt 32 ]; do
	(create -n many -t busybox >/dev/null 2>&1 && echo won >>"$TMPDIR/won") &
	i=$((i + 1))
done
wait
check "of 32 at once exactly one wins" is "$(wc -l <"$TMPDIR/won")" 1
check "and it is whole" test -x "$L/many/rootfs/sbin/init"
check "nothing else is left" is "$(left)" "many "
rm -f "$TMPDIR/won"

# ---- a directory that holds a log already ----
mkdir "$L/logged"
echo old >"$L/logged/logged.log"
check "a directory with a log in it" create -n logged -t busybox
check "keeps the log" is "$(cat "$L/logged/logged.log")" old
check "nothing hidden is left" is "$(left)" "logged many "
destroy -n logged

# ---- recipes: with a bootstrap that needs no network ----
cat >"$TMPDIR/mmdebstrap" <<'END'
#!/bin/sh
for a; do case $a in --*) ;; /*) target=$a ;; esac; done
echo "I: $*" >&2
echo x >>BOOTSTRAPS
mkdir -p "$target/bin" "$target/sbin" "$target/etc" "$target/proc" "$target/dev" "$target/root" "$target/usr/bin"
cp "$(command -v busybox)" "$target/bin/busybox"
for applet in $("$target/bin/busybox" --list); do [ -e "$target/bin/$applet" ] || ln -s busybox "$target/bin/$applet"; done
ln -s ../bin/busybox "$target/sbin/init"
echo 'root:x:0:0:root:/root:/bin/sh' >"$target/etc/passwd"
echo 'root:*:1:0:99999:7:::' >"$target/etc/shadow"
ln -s OUTSIDE "$target/etc/hosts"
printf '#!/bin/sh\nIFS=: read -r user password\nprintf "%%s:\\$x\\$%%s:1:0:99999:7:::\\n" "$user" "$password" >/etc/shadow\n' >"$target/sbin/chpasswd"
chmod +x "$target/sbin/chpasswd"
END
chmod +x "$TMPDIR/mmdebstrap"
# Others may run this test at the same time: in no directory that they have too.
sed -i "s|BOOTSTRAPS|$TMPDIR/bootstraps|; s|OUTSIDE|$TMPDIR/outside|" "$TMPDIR/mmdebstrap"
cat >"$T/mini.yaml" <<'END'
image: {distribution: debian, release: test}
source: {downloader: mmdebstrap, url: "file:/mirror"}
packages:
  manager: apt
  sets:
  - {packages: [one, two], action: install}
  - {packages: [no], action: install, releases: [other]}
files:
- {generator: hostname, path: /etc/hostname}
- {generator: hosts, path: /etc/hosts}
- {generator: dump, path: /a/b/c, content: "text\n", mode: "0600"}
- {generator: dump, path: /gone, content: x}
- {generator: remove, path: /gone}
- {generator: template, path: /me, content: "{{ instance.name }}"}
actions:
- trigger: post-files
  action: |
    #!/bin/sh
    echo "$(ls /proc | grep -c '^[0-9]') $$" >/pids
    mount -t tmpfs none /root 2>/dev/null && echo mounted >/bad
    mknod /disk b 8 0 2>/dev/null && echo mknod >/bad
    chroot /proc/1/root /bin/true; ls /work >/dev/null 2>&1 && echo host >/bad
    grep -q host-secret /proc/1/environ && echo env >/bad
    hostname changed 2>/dev/null && echo hostname >/bad
    exit 0
targets:
  lxc:
    create_message: "ready: {{ instance.name }}"
    config:
    - {type: all, content: "lxc.arch = {{ image.architecture_mapped }}"}
END
rm -f "$TMPDIR/bootstraps"
if [ -e /usr/bin/mmdebstrap ] && mount --bind "$TMPDIR/mmdebstrap" /usr/bin/mmdebstrap 2>/dev/null; then
	out=$(SECRET=host-secret lxc-create -P "$L" -n re -t mini -- --packages=three 2>&1)
	check "a recipe" test -e "$L/re/config"
	[ -e "$L/re/config" ] || printf '%s\n' "$out" | sed 's/^/# /'
	check "the packages go to the bootstrap" like "$out" '--include=one,two,three'
	check "and the source" like "$out" 'deb file:/mirror test main'
	check "who can log in is told" like "$out" 'Log in as root; the password.*[a-z2-9]{14}'
	check "and has a password" like "$(grep ^root: "$L/re/rootfs/etc/shadow")" '^root:\$'
	check "the create message" like "$out" 'ready: re'
	check "dump" is "$(cat "$L/re/rootfs/a/b/c")" text
	check "its mode" is "$(stat -c %a "$L/re/rootfs/a/b/c")" 600
	check "remove" test ! -e "$L/re/rootfs/gone"
	check "template" is "$(cat "$L/re/rootfs/me")" re
	check "hostname" is "$(cat "$L/re/rootfs/etc/hostname")" re
	check "a link in the rootfs leads nowhere" test ! -e "$TMPDIR/outside"
	check "it is replaced" test -f "$L/re/rootfs/etc/hosts" -a ! -L "$L/re/rootfs/etc/hosts"
	check "the config of the recipe" like "$(cat "$L/re/config")" '^lxc.arch = [a-z0-9]+$'
	check "an action sees its own processes" like "$(cat "$L/re/rootfs/pids")" '^[1-6] 1$'
	check "and cannot mount, make devices, or see the host" test ! -e "$L/re/rootfs/bad"
	check "a second one" create -n re2 -t mini -- --packages three --password=seen
	check "comes from the cache" is "$(wc -l <"$TMPDIR/bootstraps")" 1
	check "with its own name" is "$(cat "$L/re2/rootfs/me") $(cat "$L/re2/rootfs/etc/hostname")" "re2 re2"
	check "a password is not written down" without_lines seen "$L/re2/config"
	check "-F builds anew" create -n re3 -t mini -- --packages three -F
	check "and did" is "$(wc -l <"$TMPDIR/bootstraps")" 2
	check "--clean empties the cache" create -n re4 -t mini -- --clean
	check "of this distribution" test ! -e "$BIVALVE_CACHE/recipes/debian"
	check "and creates nothing" test ! -e "$L/re4"
	check "a recipe in an overlay" create -n reo -t mini -B overlay
	check "no mount is left" is "$(grep -c "$L" /proc/self/mountinfo)" 0
	printf 'lxc.net.0.type = empty\n' >"$TMPDIR/plain.conf"
	cat >"$T/fails.yaml" <<-'END'
	image: {distribution: debian, release: test}
	source: {downloader: mmdebstrap, url: "file:/mirror"}
	actions:
	- {trigger: post-files, action: "echo E: the cause; exit 4"}
	END
	check "a failing action is named with its cause" like "$(create -n ref -t fails 2>&1)" 'action 1 \(post-files\).*exit code 4.*the cause'
	for n in re re2 re3 reo; do destroy -n $n; done
	umount /usr/bin/mmdebstrap
else
	skip "a recipe" "mmdebstrap is not installed or cannot be covered by a mount"
fi
rm -f "$TMPDIR/bootstraps"

# ---- a recipe for another architecture: what is missing to emulate it ----
other=arm64 emulator=aarch64
[ "$(uname -m)" != aarch64 ] || other=amd64 emulator=x86_64
# Stands in for programs that are installed or not: the first directory in which they are looked for.
mount -t tmpfs bv-test /usr/local/sbin
: >"$TMPDIR/no-program"
hidden=
# hide PATH...: it is no program now
hide() {
	for path; do
		[ -e "$path" ] || continue
		mount --bind "$TMPDIR/no-program" "$path" && hidden="$hidden $path"
	done
}
# stub NAME COMMAND
stub() {
	printf '#!/bin/sh\n%s\n' "$2" >"/usr/local/sbin/$1"
	chmod +x "/usr/local/sbin/$1"
}
# foreign WORDS HINT, under check: what lxc-create says, and that nothing was made
foreign() {
	said=$(create -n x -t mini -- -a $other 2>&1) && { echo "it succeeded"; return 1; }
	like "$said" "$1" && like "$said" "$2" && is "$(left)" "many "
}
cannot="host cannot run programs of $other"
install='hint: apt-get install qemu-user-static arch-test binfmt-support'
hide /usr/sbin/arch-test /usr/bin/arch-test
check "without arch-test" foreign "programs of $other, arch-test tells, which is not installed" "$install"
stub arch-test "echo \"\$1: not supported on this machine/kernel\"; exit 1"
hide /usr/bin/qemu-$emulator /usr/bin/qemu-$emulator-static
check "without an emulator" foreign "$cannot: there is no qemu-$emulator-static" "$install"
stub qemu-$emulator-static false
if misc=/proc/sys/fs/binfmt_misc && [ -d $misc ]; then
	check "without binfmt_misc" foreign "$cannot: binfmt_misc is not mounted at $misc" \
		"hint: mount -t binfmt_misc binfmt_misc $misc"
	mount -t tmpfs bv-test $misc
	: >$misc/status
	check "without a handler" foreign "$cannot: there is no handler $misc/qemu-$emulator" \
		"hint: cat /usr/lib/binfmt.d/qemu-$emulator.conf >$misc/register"
	echo disabled >$misc/qemu-$emulator
	check "with one that is disabled" foreign "$cannot: the handler $misc/qemu-$emulator is disabled" \
		"hint: echo 1 >$misc/qemu-$emulator"
	echo enabled >$misc/qemu-$emulator
	check "with one that is of no use" foreign "$cannot, though there is the handler" "hint: arch-test $other"
	umount $misc
else
	skip "binfmt_misc" "this kernel has none"
fi
stub arch-test "echo \"I don't know how to detect arch '\$1', sorry.\"; exit 2"
check "an architecture that nobody knows" foreign "arch-test failed with exit code 2: I don't know how to detect" "$other"
stub arch-test "echo \"\$1: ok\""
stub mmdebstrap 'echo "E: built with $*"; exit 1'
check "with all of it" foreign "built with .*--architectures=$other" "mmdebstrap failed"
for path in $hidden /usr/local/sbin; do umount "$path"; done
rm "$TMPDIR/no-program"

check "--print resolves" like "$(create -n x -t mini -- -r other --print 2>&1)" 'release: other'
check "--validate" like "$(create -n x -t mini -- --validate 2>&1)" 'mini.yaml is valid: debian test'
check "an unknown option of a recipe" like "$(create -n x -t mini -- --relase=x 2>&1)" 'did you mean --release'
check "an unknown key to set" like "$(create -n x -t mini -- -o image.relase=x 2>&1)" 'did you mean image.release'
printf 'image: {distribution: d, relase: r}\n' >"$T/typo.yaml"
check "a wrong key, with its place" like "$(create -n x -t typo 2>&1)" 'typo.yaml:1:26: unknown key "relase"; did you mean "release"'
check "a distribution without a mirror" like "$(BIVALVE_APT=/nonexistent lxc-create -P "$L" -n x -t ubuntu 2>&1)" '--mirror URL'
check "nothing is left of them" is "$(left)" "many "

# ---- what destroy asks ----
destroy -n many
create -n d -t busybox >/dev/null
mkdir -p "$L/d/snaps/snap0"
check_not "with snapshots it is refused" destroy -n d
check "with the next thing to type" like "$(destroy -n d 2>&1)" 'lxc-destroy -s'
rm -r "$L/d/snaps"
create -n clone -t none >/dev/null
printf '%s\nclone\n' "$L" >"$L/d/lxc_snapshots"
printf '%s\nd\n' "$L" >"$L/clone/lxc_rdepends"
check_not "with clones it is refused" destroy -n d
check "a clone can be destroyed" destroy -n clone
check "and is taken off its parent's list" test ! -e "$L/d/lxc_snapshots"
create -n clone -t none >/dev/null
printf '%s\nclone\n' "$L" >"$L/d/lxc_snapshots"
mkdir "$TMPDIR/mnt" && mount -t tmpfs bv-test "$L/d/rootfs/mnt" && : >"$L/d/rootfs/mnt/precious"
check_not "with a mount in it it is refused" destroy -s -n d
check "which is named" like "$(destroy -n d -s 2>&1)" "$L/d/rootfs/mnt is mounted"
check "and not emptied" test -e "$L/d/rootfs/mnt/precious"
umount "$L/d/rootfs/mnt"
rmdir "$TMPDIR/mnt"
echo "lxc.hook.destroy = /bin/sh -c 'echo \$LXC_NAME >$TMPDIR/hooked'" >>"$L/d/config"
check "-s destroys its clones too" destroy -s -n d
check "the destroy hook ran" is "$(cat "$TMPDIR/hooked")" d
check "nothing is left" is "$(left)" ""
rm -f "$TMPDIR/hooked"

create -n broken -t busybox >/dev/null
echo "lxc.nonsense = 1" >>"$L/broken/config"
check "one whose config does not load can be destroyed" destroy -n broken
create -n kept -t busybox >/dev/null
echo "lxc.rootfs.managed = 0" >>"$L/kept/config"
check "lxc.rootfs.managed = 0" destroy -n kept
check "keeps the rootfs and nothing else" is "$(ls -A "$L/kept")" rootfs
rm -r "$L/kept"
check "--dir" create -n far -t busybox --dir "$TMPDIR/far"
check "puts the rootfs there" test -x "$TMPDIR/far/sbin/init"
check "destroy" destroy -n far
check "removes it there" test ! -e "$TMPDIR/far"
mkdir "$TMPDIR/own" && : >"$TMPDIR/own/precious"
check_not "--dir with a failing template" create -n far -t fails --dir "$TMPDIR/own"
check "does not touch what was there" test -e "$TMPDIR/own/precious"
check "loop" create -n lo -t busybox -B loop --fssize 64M
check "has a file" test -e "$L/lo/rootdev"
check "no loop device is left" is "$(losetup -a | grep -c "$L")" 0
destroy -n lo

# LXC's own sign of a creation that died
mkdir "$L/lxcs" && echo "lxc.uts.name = lxcs" >"$L/lxcs/config" && : >"$L/lxcs/partial"
check_not "a half-made one of LXC's does not start" lxc-start -P "$L" -n lxcs
destroy -n lxcs >/dev/null 2>&1
check "and is removed" is "$(left)" ""

rm -rf "$L" "$T" "$BIVALVE_CACHE" "$TMPDIR/own" "$TMPDIR/trace" "$TMPDIR/mmdebstrap" "$TMPDIR"/*.conf
done_testing
