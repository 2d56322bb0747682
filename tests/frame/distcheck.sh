# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=sh
# The tarball is complete: it builds in a directory of its own, passes `make check`, installs and uninstalls.
. "${BV_SRC:-.}/tests/lib.sh"

[ "${CI:-}" = true ] || skip_all "takes minutes: CI=true runs it"
jobs=$(nproc)
mkdir "$TMPDIR/build"
cd "$TMPDIR/build" || exit 1
check "configure" "$BV_SRC/configure" --quiet
check "distcheck" env BV_BUILD= BV_STAGE= make -s -j "$jobs" distcheck
cd / && rm -rf "$TMPDIR/build"
done_testing
