# SPDX-License-Identifier: LGPL-2.1-or-later
# The guest's agent (src/engine/vm/guest) without a VM: vm_agent_driver is its host, its port and its process 1.
# shellcheck disable=SC2317  # functions that check calls
. "${BV_SRC:-.}/tests/lib.sh"

driver=${VM_AGENT_DRIVER:-$BV_BUILD/tests/root/vm_agent_driver}
[ -x "$driver" ] || skip_all "vm_agent_driver is not built"
"$driver" --list >"$TMPDIR/cases"
while read -r name text; do
	case $name in
	init-busybox) command -v busybox >/dev/null || { skip "$text" "there is no busybox"; continue; } ;;
	esac
	check "$name: $text" timeout -k 5 250 "$driver" "$name" </dev/null
done <"$TMPDIR/cases"
rm -f "$TMPDIR/cases"
done_testing
