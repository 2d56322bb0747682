printf 'CONFIG_NAMESPACES=y\nCONFIG_IPC_NS=y\nCONFIG_PID_NS=y\nCONFIG_CGROUPS=y\nCONFIG_VETH=m\nCONFIG_USER_NSX=y\n' >config; CONFIG=config lxc-checkconfig
echo '# CONFIG_NAMESPACES is not set' >config; CONFIG=config lxc-checkconfig | grep required; CONFIG=config lxc-checkconfig >/dev/null
CONFIG=nosuch lxc-checkconfig
echo nothing >config; CONFIG=config lxc-checkconfig
printf '\037\213\010' >config; CONFIG=config lxc-checkconfig
lxc-checkconfig | head -n 1
