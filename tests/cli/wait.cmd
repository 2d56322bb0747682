lxc-wait web1 -s STOPPED
lxc-wait web1 -s STOPPED -t 0
lxc-wait web1 -s RUNNING -t 0
lxc-wait web1 -s 'RUNNING|STOPPED'
lxc-wait web1 -s 'running|stopped' -t 0
lxc-wait nosuch -s STOPPED -t 0
lxc-wait nosuch -s RUNNING -t 0
lxc-wait web1 -s RUNNING -t 1
lxc-wait -q web1 -s FROZEN -t 1
