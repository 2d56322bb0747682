# what needs no template and no root
lxc-create -n new -t none
lxc-ls -1 new
lxc-info new -c lxc.net.0.type -c lxc.rootfs.path
lxc-create -n new -t none
lxc-create -n new2 -t none -f lxc/web1/config
lxc-info new2 -H -c lxc.net.0.type
lxc-create -n new3 -t none -f nofile; echo $?; ls lxc
lxc-create -n new4 -t none -f lxc/broken/config; echo $?; ls -A lxc
lxc-create -n .bad -t none
lxc-destroy -n new
lxc-ls -1 new
lxc-destroy new2 -f; ls -A lxc
