lxc-info web1
lxc-info -n web1
lxc-info --name=web1
lxc-info --name web1 -P "$WORK/lxc/"
lxc-info -P lxc web1
lxc-info -P "$WORK/lxc///" web1
lxc-info web1 -s
lxc-info web1 -sH
lxc-info web1 -p
lxc-info web1 -pH
lxc-info web1 -i
lxc-info web1 -S
lxc-info web1 -H
lxc-info web1 -sp -H
lxc-info broken
lxc-info web1 --format=json
lxc-info old --format=json -c lxc.utsname -c lxc.rootfs -c no.such
