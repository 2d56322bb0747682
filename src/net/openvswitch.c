/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "net/link.h"
#include "util/cleanup.h"

extern char **environ;

/* Open vSwitch keeps its ports in a database of its own, so that its tool has to be run: IFLA_MASTER is refused. */
static int run_ovs_vsctl(struct bv_strv *argv, const struct bv_net_link *l, struct bv_error *err)
{
	pid_t pid;
	int status;
	int code = argv->v ? posix_spawnp(&pid, argv->v[0], NULL, NULL, argv->v, environ) : ENOMEM;

	if (code) {
		bv_fail(err, code, "cannot run %s for the Open vSwitch bridge \"%s\": %s", "ovs-vsctl", l->parent,
			strerror(code));
		return bv_hint(err, "install the package openvswitch-switch");
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return bv_fail_errno(err, "cannot wait for ovs-vsctl");
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return bv_fail(err, EIO, "ovs-vsctl could not change the ports of the Open vSwitch bridge \"%s\" for "
			       "\"%s\"", l->parent, l->host_name);
	return 0;
}

int bv_openvswitch_add(const struct bv_nic *nic, const struct bv_net_link *l, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	autoclean(bv_buf_clear) struct bv_buf trunks = { 0 };
	int rc = 0;

	for (size_t i = 0; i < nic->veth_vlan_tagged.n; i++)
		bv_buf_printf(&trunks, "%s%s", i ? "," : "trunks=", nic->veth_vlan_tagged.v[i]);
	if (trunks.bad)
		return bv_fail(err, ENOMEM, "out of memory");

	rc |= bv_strv_add(&argv, "ovs-vsctl");
	rc |= bv_strv_add(&argv, "--may-exist");
	rc |= bv_strv_add(&argv, "add-port");
	rc |= bv_strv_add(&argv, l->parent);
	rc |= bv_strv_add(&argv, l->host_name);
	if (nic->veth_vlan_id >= 0)
		rc |= bv_strv_addf(&argv, "tag=%d", nic->veth_vlan_id);
	if (trunks.len) {
		/* Untagged traffic goes to `tag`; without one the port carries tagged frames only. */
		rc |= bv_strv_add(&argv, nic->veth_vlan_id >= 0 ? "vlan_mode=native-untagged" : "vlan_mode=trunk");
		rc |= bv_strv_add(&argv, trunks.p);
	}
	if (rc)
		return bv_fail(err, ENOMEM, "out of memory");
	return run_ovs_vsctl(&argv, l, err);
}

int bv_openvswitch_remove(const struct bv_net_link *l, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv argv = { 0 };
	int rc = 0;

	rc |= bv_strv_add(&argv, "ovs-vsctl");
	rc |= bv_strv_add(&argv, "--if-exists");
	rc |= bv_strv_add(&argv, "del-port");
	rc |= bv_strv_add(&argv, l->parent);
	rc |= bv_strv_add(&argv, l->host_name);
	if (rc)
		return bv_fail(err, ENOMEM, "out of memory");
	return run_ovs_vsctl(&argv, l, err);
}
