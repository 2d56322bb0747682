lxc-info web1 -c lxc.uts.name
lxc-info web1 -c lxc.uts.name -c lxc.rootfs.path
# the book's session: key names of LXC 1.0, for a config of today
lxc-info -n web1 -c lxc.utsname -c lxc.rootfs
# and today's names for a config of LXC 1.0
lxc-info -n old -c lxc.uts.name -c lxc.rootfs.path -c lxc.tty.max
lxc-info -n old -c lxc.network.0.type -c lxc.net.0.link
lxc-info web1 -H -c lxc.uts.name
lxc-info web1 -H -c lxc.cap.drop
lxc-info web1 -c lxc.cap.drop -c lxc.mount.entry
lxc-info web1 -s -c lxc.uts.name
lxc-info web1 -H -s -c lxc.uts.name
lxc-info web1 -c lxc.tty.dir
lxc-info web1 -c lxc.net.0.type -c lxc.net.0.hwaddr -c lxc.net.0.mtu
lxc-info web1 -c lxc.no.such.key
lxc-info web1 -c lxc.uts.name -c lxc.no.such.key -c lxc.tty.max
lxc-info -q web1 -c lxc.no.such.key
lxc-info db -c lxc.idmap -c lxc.group -c lxc.start.auto
lxc-info broken -c lxc.uts.name
lxc-info web1 --rcfile lxc/db/config -c lxc.uts.name
