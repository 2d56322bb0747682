lxc-start --usage
lxc-attach --usage
lxc-ls --usage
lxc-config --usage
lxc-start --version
lxc-info --version
lxc-config --version
lxc-ls --vers
