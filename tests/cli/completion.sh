#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The bash completion that the build made: what is offered for some beginnings of command lines.
set -u
src=$(cd "$(dirname "$0")" && pwd)
bin=${BV_BIN:-${BV_STAGE:+$BV_STAGE/bin}}
file=${BV_COMPLETION:-${BV_BUILD:+$BV_BUILD/completion/lxc}}
skip() {
	echo "1..0 # SKIP $1"
	exit 0
}
command -v bash >/dev/null || skip "bash is not installed"
[ -x "$bin/lxc-ls" ] || skip "no commands: set BV_BIN to their directory"
[ -e "$file" ] || skip "no completion: set BV_COMPLETION to its file"

tmp=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$tmp"' EXIT
cp -R "$src/lxcpath" "$tmp/lxc"
echo "lxc.lxcpath = $tmp/lxc" >"$tmp/lxc.conf"
mkdir "$tmp/other" "$tmp/other/far" && echo 'lxc.uts.name = far' >"$tmp/other/far/config"
cd "$tmp" || exit 1
PATH=$bin:$PATH BIVALVE_LXC_CONF=$tmp/lxc.conf BIVALVE_RUN=$tmp/run bash -s -- "$file" <<'BASH'
# shellcheck disable=SC1090
. "$1" || exit 1
n=0 failed=0
# offers WANTED WORD...: the words as readline splits them, the last is being typed
offers() {
	local wanted=$1
	shift
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_lxc 2>/dev/null
	n=$((n + 1))
	if [[ "${COMPREPLY[*]}" == "$wanted" ]]; then
		echo "ok $n - $*"
	else
		echo "not ok $n - $*"
		printf '#   got:  %s\n#   want: %s\n' "${COMPREPLY[*]}" "$wanted"
		failed=$((failed + 1))
	fi
}
offers 'broken db old web1' lxc-start ''
offers 'web1' lxc-start -n w
offers 'web1' lxc-start --name = w
offers 'web1' lxc-destroy -f w
offers '' lxc-stop w
offers 'far' lxc-info -P other ''
offers 'far' lxc-info --lxcpath = other -n f
offers '--foreground' lxc-start --fo
offers '--foreground' lxc-start web1 --fo
offers 'RUNNING' lxc-wait -n web1 -s RU
offers 'NAME,STATE' lxc-ls -F NAME,STA
offers 'lxc.uts.name' lxc-info -n web1 -c lxc.uts.n
offers 'lxc.uts.name=' lxc-start web1 -s lxc.uts.n
offers 'none' lxc-create -n x -t non
offers 'lxc.lxcpath' lxc-config lxc.lx
offers 'TRACE' lxc-start -l TR
offers 'json' lxc-ls --format = j
offers 'MOUNT' lxc-attach -s MO
offers 'other' lxc-ls -P oth
offers '--hmp' lxc-vm-monitor --hm
offers '--vm' lxc-start --vm
offers 'NAME,ENGINE' lxc-ls -F NAME,EN
offers '0 1 2' lxc-console -n old -t ''
echo "1..$n"
[[ $failed == 0 ]]
BASH
