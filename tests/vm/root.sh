# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# Root tests once more, inside the test bed: another kernel, and cgroup v2 alone. A case for each file, whose output is
# shown when it failed. Those that measure or wait long are left to the host.
. "${BV_SRC:-.}/tests/lib.sh"

for name in lifecycle cgroup security; do
	[ -e "$BV_SRC/tests/root/$name.sh" ] || continue
	"$BV_SRC/tests/run" "root/$name" >"$TMPDIR/run.out" 2>&1
	status=$?
	summary=$(tail -n 1 "$TMPDIR/run.out")
	if [ "$status" != 0 ]; then
		grep -vE '^ +\| ok ' "$TMPDIR/run.out" | sed 's/^/# /'
	fi
	check "root/$name: $summary" test "$status" = 0
done
rm -f "$TMPDIR/run.out"
done_testing
