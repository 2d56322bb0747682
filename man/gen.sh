#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# man/gen.sh BINDIR GENKEYS <PAGE.in: put into a manual page what comes from tables. A line "@OPTIONS lxc-start@"
# becomes the options of that command, asked of BINDIR/lxc-start; "@KEYS@" the configuration keys, asked of GENKEYS.
set -eu
[ $# -eq 2 ] || { echo "usage: gen.sh BINDIR GENKEYS <PAGE.in" >&2; exit 2; }
exec awk -v bindir="$1" -v genkeys="$2" '
	function insert(command,    line, n) {
		while ((command | getline line) > 0) {
			print line
			n++
		}
		close(command)
		if (!n) {
			print "gen.sh: nothing came from: " command >"/dev/stderr"
			exit 1
		}
	}
	/^@OPTIONS [a-z-]*@$/ { gsub("@", "", $2); insert(bindir "/" $2 " --print-options=man"); next }
	/^@KEYS@$/ { insert(genkeys " man"); next }
	{ print }'
