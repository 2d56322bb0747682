#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# man/gen.sh BINDIR GENKEYS <PAGE.in: put into a manual page what comes from tables. A line "@OPTIONS lxc-start@"
# becomes the options of that command, asked of BINDIR/lxc-start; "@KEYS man@" the configuration keys and "@KEYS legacy@"
# their old names, asked of GENKEYS.
set -eu
[ $# -eq 2 ] || { echo "usage: gen.sh BINDIR GENKEYS <PAGE.in" >&2; exit 2; }
exec awk -v bindir="$1" -v genkeys="$2" '
	# Text as mdoc wants it: a sentence begins a line, lines are short, and none begins like a macro.
	function reflow(line,    n, words, i, out) {
		if (line ~ /^\./ || (length(line) < 78 && line !~ /[A-Za-z0-9)]\. [A-Z]/)) {
			print line
			return
		}
		n = split(line, words, " ")
		for (i = 1; i <= n; i++) {
			if (out != "" && (length(out) + length(words[i]) > 76 || (out ~ /[A-Za-z0-9)]\.$/ && words[i] ~ /^[A-Z]/))) {
				print out
				out = ""
			}
			out = out (out == "" ? (words[i] ~ /^[.\047]/ ? "\\&" : "") : " ") words[i]
		}
		print out
	}
	function insert(command,    line, n) {
		while ((command | getline line) > 0) {
			reflow(line)
			n++
		}
		close(command)
		if (!n) {
			print "gen.sh: nothing came from: " command >"/dev/stderr"
			exit 1
		}
	}
	/^@OPTIONS [a-z-]*@$/ { gsub("@", "", $2); insert(bindir "/" $2 " --print-options=man"); next }
	/^@KEYS [a-z]*@$/ { gsub("@", "", $2); insert(genkeys " " $2); next }
	{ print }'
