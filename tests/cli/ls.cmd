lxc-ls
lxc-ls -1
lxc-ls -P lxc
lxc-ls -P "$WORK/lxc/"
lxc-ls -P nosuch
lxc-ls -f
lxc-ls -F NAME,STATE
lxc-ls -fF name,state,pid,ram,swap,interface,ipv4
lxc-ls --fancy --fancy-format UNPRIVILEGED,GROUPS,AUTOSTART,NAME
lxc-ls -F NAME,engine
lxc-ls -f '^w'
lxc-ls -f --filter 'd|w'
lxc-ls -f nothing
lxc-ls --filter '['
lxc-ls '[' 2>/dev/null
lxc-ls --running
lxc-ls --active
lxc-ls --frozen -f
lxc-ls --stopped -1
lxc-ls --defined -1
lxc-ls --running --stopped -1
lxc-ls -g data -1
lxc-ls -g onboot,data -1
lxc-ls -g onboot,nosuch -1
lxc-ls --nesting -1
lxc-ls --nesting=0 -1 web
lxc-ls -q -f broken
lxc-ls --format=json db
lxc-ls --format=json nothing
lxc-ls -f >/dev/full
