#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The manual pages that the build made: mandoc has nothing to say, and each command's page has what a reader looks for.
set -u
man=${BV_MAN:-${BV_BUILD:+$BV_BUILD/man}}
[ -e "$man/lxc.7" ] || { echo "1..0 # SKIP no manual pages: set BV_MAN to their directory"; exit 0; }

n=0 failed=0
check() {
	n=$((n + 1))
	if [ -z "$2" ]; then
		echo "ok $n - $1"
	else
		failed=$((failed + 1))
		echo "not ok $n - $1"
		printf '%s\n' "$2" | sed 's/^/#   /'
	fi
}

if command -v mandoc >/dev/null; then
	for page in "$man"/*.[157]; do
		# Whether the other pages are installed is not for mandoc to say here.
		check "lint ${page##*/}" "$(mandoc -Tlint -Wall "$page" 2>/dev/null | grep -v 'referenced manual not found')"
	done
else
	n=$((n + 1))
	echo "ok $n - lint # SKIP mandoc is not installed"
fi
for page in "$man"/lxc-*.1; do
	missing=
	for section in NAME SYNOPSIS DESCRIPTION 'EXIT STATUS' EXAMPLES 'SEE ALSO'; do
		grep -q "^\\.Sh $section\$" "$page" || missing="$missing$section
"
	done
	grep -q '^\.It Fl ' "$page" || missing="${missing}options"
	check "sections of ${page##*/}" "$missing"
	command=${page##*/} command=${command%.1}
	check "lxc(7) names $command" "$(grep -q "^\\.Xr $command 1" "$man/lxc.7" || echo "lxc.7 does not refer to it")"
done
check "lxc.container.conf(5) has the keys" \
	"$(for k in lxc.uts.name lxc.rootfs.path lxc.net.N.type lxc.cgroup2.NAME lxc.utsname; do
		grep -q "^\\.It Sy $k\$" "$man/lxc.container.conf.5" || echo "no $k"
	done)"
echo "1..$n"
[ "$failed" = 0 ]
