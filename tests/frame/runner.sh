# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The runner counts right, and fails for what is wrong.
. "${BV_SRC:-.}/tests/lib.sh"

# A source tree and a build with one test program of our making.
fake=$TMPDIR/fake
mkdir -p "$fake/tests/root" "$fake/tests/cli" "$fake/build/tests/unit" "$fake/build/stage/bin"
cp "$BV_SRC/tests/run" "$BV_SRC/tests/sandbox" "$BV_SRC/tests/lib.sh" "$fake/tests/"

# verdict BODY: what the runner's last line says about a test of that body; sets status
verdict() {
	printf '#!/bin/sh\n%s\n' "$1" >"$fake/build/tests/unit/test_x"
	chmod +x "$fake/build/tests/unit/test_x"
	env -u BV_SRC -u BV_ASAN BV_BUILD="$fake/build" "$fake/tests/run" unit >"$TMPDIR/verdict" 2>&1
	status=$?
	tail -n 1 "$TMPDIR/verdict"
	return $status
}

failing() {
	is "$(verdict "$1")" "$2" && ! verdict "$1" >/dev/null
}

check "passes are counted" is "$(verdict 'echo "ok 1 - a"; echo "ok 2 - b"; echo 1..2')" "2 passed, 0 failed, 0 skipped"
check "skips are counted" is "$(verdict 'echo "ok 1 - a"; echo "ok 2 - b # SKIP why"; echo 1..2')" \
	"1 passed, 0 failed, 1 skipped"
check "a skip's reason is told" grep -q 'unit/x: why' "$TMPDIR/verdict"
check "a whole file may be skipped" is "$(verdict 'echo "1..0 # SKIP no such thing"')" "0 passed, 0 failed, 1 skipped"
check "a failure fails" failing 'echo "not ok 1 - a"; echo 1..1; exit 1' "0 passed, 1 failed, 0 skipped"
check "its output is shown" grep -q '| not ok 1 - a' "$TMPDIR/verdict"
check "no plan is a failure" failing 'echo "ok 1 - a"' "1 passed, 1 failed, 0 skipped"
check "a short plan is a failure" failing 'echo "ok 1 - a"; echo 1..2' "1 passed, 1 failed, 0 skipped"
check "a crash is a failure" failing 'echo "ok 1 - a"; echo 1..1; kill -SEGV $$' "1 passed, 1 failed, 0 skipped"
check "a bad exit status is a failure" failing 'echo "ok 1 - a"; echo 1..1; exit 1' "1 passed, 1 failed, 0 skipped"
check "status 0 with a failed test is one more" failing 'echo "not ok 1 - a"; echo 1..1' "0 passed, 2 failed, 0 skipped"
check "nothing at all is a failure" failing 'exit 0' "0 passed, 1 failed, 0 skipped"
rm "$fake/build/tests/unit/test_x"
check "no test at all is a failure" sh -c "! env -u BV_SRC BV_BUILD='$fake/build' '$fake/tests/run' unit"
rm -rf "$fake" "$TMPDIR/verdict"
done_testing
