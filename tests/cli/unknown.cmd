# an instance that does not exist, or does not run
lxc-info nosuch
lxc-info -q nosuch
lxc-info nosuch -c lxc.uts.name
lxc-start nosuch
lxc-start nosuch -F
lxc-execute nosuch -- true
lxc-start -f nofile web1
lxc-start broken
lxc-start web1 -s lxc.no.such=1
lxc-start web1 -s lxc.tty.max
lxc-stop nosuch
lxc-stop web1
lxc-stop -q web1
lxc-shutdown -n web1
lxc-shutdown -n web1 -w -t 1
lxc-attach web1 -- true
lxc-attach nosuch -- true
lxc-console web1
lxc-freeze web1
lxc-freeze nosuch
lxc-unfreeze web1
lxc-vm-monitor web1 query-status
lxc-vm-monitor nosuch --hmp -- info mtree -f
lxc-start web1 --print-command
lxc-start web1 --container --print-command
lxc-start nosuch --vm --print-command
lxc-destroy nosuch
lxc-create web1 -t none
lxc-create new -t nosuch 2>&1 | grep -v ^hint
lxc-info web1 -l debug -o "$WORK/no/such/dir/file" >/dev/null; ls "$WORK/no/such/dir"
lxc-info nosuch -P lxc -l debug; ls lxc
