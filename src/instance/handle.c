/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sys/kernel.h"
#include "util/cleanup.h"

static int load_config(struct bv_handle *h, struct bv_error *err)
{
	h->config = bv_config_new();
	if (h->config && bv_config_load(h->config, h->rd.fd, "config", &h->lost) < 0) {
		bv_error_prefix(&h->lost, "%s", h->rd.path);
		bv_config_free(h->config);
		h->config = bv_config_new();
	}
	return h->config ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

static int fill(struct bv_handle *h, const struct bv_instance *inst, struct bv_error *err)
{
	int r = bv_rundir_open(&h->rd, inst->lxcpath, inst->name, err);
	if (r < 0)
		return r;
	if (bv_run_state_read(&h->rd, &h->state) < 0 || h->state.state == BV_STOPPED || !h->state.init_pid)
		return bv_fail(err, ESRCH, "%s is not running", inst->name);
	h->run.pidfd = bv_pidfd_open_checked(h->state.init_pid, h->state.init_start);
	if (h->run.pidfd == -ESRCH)
		return bv_fail(err, ESRCH, "%s is not running", inst->name);
	if (h->run.pidfd < 0)
		return bv_fail(err, h->run.pidfd, "cannot take hold of the init of %s, pid %d: %s", inst->name,
			       (int)h->state.init_pid, strerror(-h->run.pidfd));

	r = load_config(h, err);
	h->engine = bv_engine_described(h->state.engine);
	if (r == 0 && h->state.cgroup)
		r = bv_cgroup_open(&h->cgroup, h->state.cgroup, err);
	if (r < 0)
		return r;
	h->run.name = inst->name;
	h->run.lxcpath = inst->lxcpath;
	h->run.config_file = inst->config_file;
	h->run.config = h->config;
	h->run.run_dir = h->rd.fd;
	h->run.cgroup = h->cgroup;
	h->run.pid = h->state.init_pid;
	snprintf(h->run.label, sizeof(h->run.label), "%s", h->state.label);
	return 0;
}

int bv_handle_open(struct bv_handle *h, const struct bv_instance *inst, struct bv_error *err)
{
	*h = (struct bv_handle){ .rd.fd = -1 };
	bv_run_init(&h->run);
	int r = fill(h, inst, err);
	if (r < 0)
		bv_handle_close(h);
	return r;
}

void bv_handle_close(struct bv_handle *h)
{
	close_fd(&h->run.pidfd);
	bv_cgroup_free(h->cgroup);
	bv_config_free(h->config);
	bv_run_state_clear(&h->state);
	bv_rundir_close(&h->rd);
	h->cgroup = NULL;
	h->config = NULL;
}
