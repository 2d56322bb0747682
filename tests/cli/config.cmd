lxc-config
lxc-config -l
lxc-config --list
lxc-config lxc.lxcpath
lxc-config lxc.default_config
lxc-config lxc.bdev.lvm.vg
lxc-config lxc.cgroup.use
lxc-config lxc.cgroup.pattern
lxc-config lxc
lxc-config lxc.nosuch
lxc-config -Z
