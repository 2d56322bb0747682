# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# What `make install` puts where, and that `make uninstall` takes it all away.
. "${BV_SRC:-.}/tests/lib.sh"

quietly_make() { make -C "$BV_BUILD" --no-print-directory -s "$@"; }
dest=$TMPDIR/dest
# The directories that it was configured for.
eval "$("$BV_BUILD/config.status" --file=- <<'END'
prefix='@prefix@' exec_prefix='@exec_prefix@' bindir='@bindir@' datarootdir='@datarootdir@' datadir='@datadir@'
libexecdir='@libexecdir@' sysconfdir='@sysconfdir@' localstatedir='@localstatedir@' mandir='@mandir@' unitdir='@unitdir@'
END
)"
# The value of a text with variables, which hold variables.
expand() {
	value=$1
	while :; do
		case $value in
		*\$*) eval "value=\"$value\"" ;;
		*) break ;;
		esac
	done
	echo "$value"
}

check "install" quietly_make install "DESTDIR=$dest"
# shellcheck disable=SC2016
for place in '$bindir/lxc-start' '$bindir/lxc-ls' '$libexecdir/lxc/lxc-net' '$libexecdir/lxc/lxc-containers' \
	'$datadir/lxc/config/common.conf' '$sysconfdir/lxc/default.conf' '$localstatedir/lib/lxc' '$mandir/man1/lxc-start.1' \
	'$mandir/man7/lxc.7' '$unitdir/lxc.service' '$datadir/bash-completion/completions/lxc-start'; do
	check "there is $place" test -e "$dest$(expand "$place")"
done
check "the helpers are executable" is "$(find "$dest" -path '*/libexec/*' -type f ! -perm -100)" ""
check "no @name@ is left in a script or unit" sh -c "! grep -rInE '@[a-z]+@' '$dest' --include='lxc*' --exclude-dir=man"
check "commands are not linked to missing libraries" sh -c "! ldd '$dest$(expand "\$bindir")'/lxc-start 2>&1 | grep 'not found'"
check "uninstall" quietly_make uninstall "DESTDIR=$dest"
check "no file is left" is "$(find "$dest" ! -type d)" ""
check "no directory of ours is left" is "$(find "$dest" -type d -name '*lxc*')" ""
rm -rf "$dest"
done_testing
