lxc-attach --help
lxc-checkconfig --help
lxc-config --help
lxc-console --help
lxc-create --help
lxc-destroy --help
lxc-execute --help
lxc-freeze --help
lxc-info --help
lxc-ls --help
lxc-shutdown --help
lxc-start --help
lxc-stop --help
lxc-unfreeze --help
lxc-vm-monitor --help
lxc-wait --help
# -? is help too, but a failure, as in LXC
lxc-freeze '-?'
lxc-freeze -h
lxc-freeze -n web1 -h
