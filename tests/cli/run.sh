#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Golden tests: every command line in tests/cli/*.cmd is run, and what it prints is compared with the block of the same
# number in *.out:
#	$ COMMAND LINE
#	its standard output
#	! its standard error output
#	= its exit code
# Commands come from BV_BIN (the staged ones otherwise). They run in a directory of their own that holds a copy of
# tests/cli/lxcpath; its path is printed as WORK, the version as VERSION.
# "run.sh --update [NAME]..." writes the .out files anew: read the difference before you commit it.
set -u
src=$(cd "$(dirname "$0")" && pwd)
bin=${BV_BIN:-${BV_STAGE:+$BV_STAGE/bin}}
if [ ! -x "$bin/lxc-ls" ]; then
	echo "1..0 # SKIP no commands: set BV_BIN to their directory"
	exit 0
fi
bin=$(cd "$bin" && pwd)

update=
if [ "${1:-}" = --update ]; then
	update=1
	shift
fi

tmp=$(mktemp -d) || exit 1
trap 'rm -rf --one-file-system "$tmp"' EXIT
WORK=$tmp/work
PATH=$bin:$PATH LC_ALL=C BIVALVE_RUN=$tmp/run BIVALVE_LXC_CONF=$tmp/lxc.conf HOME=$tmp/home
export PATH LC_ALL BIVALVE_RUN BIVALVE_LXC_CONF HOME WORK
unset CONFIG XDG_RUNTIME_DIR COLUMNS
mkdir "$tmp/home" "$tmp/run"
version=$("$bin/lxc-ls" --version | sed 's/\./\\./g')

prepare() {
	rm -rf "$WORK"
	mkdir "$WORK" && cp -R "$src/lxcpath" "$WORK/lxc" && mkdir "$WORK/lxc/empty"
	printf '# for tests\nlxc.lxcpath = %s/lxc\nlxc.default_config = %s/default.conf\nsome.other = 1\n' \
		"$WORK" "$WORK" >"$BIVALVE_LXC_CONF"
	echo 'lxc.net.0.type = empty' >"$WORK/default.conf"
}

# What one command line does, as a block.
block() {
	printf '$ %s\n' "$1"
	(cd "$WORK" && sh -c "$1") >"$tmp/stdout" 2>"$tmp/stderr" </dev/null
	status=$?
	cat "$tmp/stdout"
	[ ! -s "$tmp/stdout" ] || [ -z "$(tail -c 1 "$tmp/stdout")" ] || echo '\ no newline'
	sed 's/^/! /' "$tmp/stderr"
	echo "= $status"
}

n=0 failed=0
check() {
	name=$1 line=$2 number=$3
	n=$((n + 1))
	block "$line" | sed "s|$WORK|WORK|g; s|$version|VERSION|g" >"$tmp/got"
	if [ -n "$update" ]; then
		cat "$tmp/got" >>"$src/$name.out"
		return
	fi
	awk -v want="$number" '/^\$ / { i++ } i == want' "$src/$name.out" >"$tmp/want"
	if cmp -s "$tmp/want" "$tmp/got"; then
		printf 'ok %d - %s: %s\n' "$n" "$name" "$line"
	else
		failed=$((failed + 1))
		printf 'not ok %d - %s: %s\n' "$n" "$name" "$line"
		diff -u "$tmp/want" "$tmp/got" | sed '1,2d; s/^/#   /'
	fi
}

wanted() {
	[ $# -gt 1 ] || return 0
	name=$1
	shift
	case " $* " in *" $name "*) return 0 ;; esac
	return 1
}

for file in "$src"/*.cmd; do
	topic=${file##*/} topic=${topic%.cmd}
	wanted "$topic" "$@" || continue
	[ -z "$update" ] || : >"$src/$topic.out"
	prepare
	i=0
	while IFS= read -r line <&3; do
		case $line in '' | '#'*) continue ;; esac
		i=$((i + 1))
		check "$topic" "$line" "$i"
	done 3<"$file"
	if [ -z "$update" ]; then
		n=$((n + 1))
		if [ "$(grep -c '^\$ ' "$src/$topic.out")" = "$i" ]; then
			echo "ok $n - $topic: as many results as commands"
		else
			echo "not ok $n - $topic: as many results as commands"
			failed=$((failed + 1))
		fi
	fi
done
[ -n "$update" ] || echo "1..$n"
[ "$failed" = 0 ]
