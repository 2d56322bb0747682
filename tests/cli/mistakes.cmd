lxc-start
lxc-info -P lxc
lxc-start -Z
lxc-start --dameon
lxc-start --no-such-thing
lxc-start --s web1
lxc-start --daemon=3 web1
lxc-start -n
lxc-start --name
lxc-start --lxcpath=a -P b web1
lxc-info -P '' web1
lxc-info web1 db
lxc-info -n ../web1
lxc-info -n "$(printf 'a\033b')"
lxc-info web1 -l loud
lxc-info web1 --format=xml
lxc-attach web1 ls -Z
lxc-attach web1 -u root
lxc-attach web1 -u -1
lxc-attach web1 -u 4294967295
lxc-attach web1 -eCAP,LSM
lxc-attach web1 -s NOSUCH -- true
lxc-start web1 --vm --container
lxc-start web1 --vm=kvm
lxc-execute web1 --container --vm -- true
lxc-vm-monitor
lxc-vm-monitor web1
lxc-vm-monitor --hmp -n web1
lxc-vm-monitor --hmp web1 info mtree -f
lxc-vm-monitor web1 info status
lxc-vm-monitor web1 ''
lxc-vm-monitor web1 '{"execute":'
lxc-vm-monitor web1 '{"command": "quit"}'
# the hint lists what this host has
lxc-create -n new 2>&1 | sed 's/templates: .*none/templates: ... none/'
lxc-create -n new -t busybox --vgname vg0
lxc-create -n new -t busybox --fssize 1G
lxc-create -n new -t busybox -B loop --fssize 10Q
lxc-create -n new -t busybox --dir relative
lxc-create -n new -t debian -r bookworm
lxc-console web1 -e ^1
lxc-console web1 -e ab
lxc-console web1 -t -5
lxc-stop web1 -k -r
lxc-stop web1 -k -t 3
lxc-stop web1 -k --nokill
lxc-stop web1 --nolock
lxc-stop web1 -t soon
lxc-stop web1 -t -2
lxc-wait web1
lxc-wait web1 -s ''
lxc-wait web1 -s 'STOPPED|ASLEEP'
lxc-wait web1 -s STOPPED -t 1s
lxc-ls a b
lxc-ls -F NAME,BOGUS
lxc-ls -F ,
lxc-ls --nesting=many
lxc-checkconfig now
