#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# completion/gen.sh BINDIR GENKEYS COMMAND... <lxc.in: put the tables into the bash completion. The line "@OPTIONS@"
# becomes the options of every COMMAND, asked of BINDIR/COMMAND; "@KEYS@" the configuration keys, asked of GENKEYS.
set -eu
[ $# -ge 3 ] || { echo "usage: gen.sh BINDIR GENKEYS COMMAND... <lxc.in" >&2; exit 2; }
bindir=$1 genkeys=$2
shift 2
while IFS= read -r line; do
	case $line in
	@OPTIONS@)
		for command in "$@"; do
			"$bindir/$command" --print-options=completion
		done
		;;
	@KEYS@)
		names=$("$genkeys" names)
		printf "_lxc_keys='%s'\n" "$names"
		;;
	*) printf '%s\n' "$line" ;;
	esac
done
