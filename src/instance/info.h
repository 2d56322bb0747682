/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <bivalve.h>

#include "instance/rundir.h"

/* Finding out about many instances, one after the other: what is opened once. */
struct bv_info_source {
	int own_netns; /* of the calling thread, opened at the first need; -1 */
};

/*
 * What the bits of `what` ask for, of the instance whose run directory is open and whose state was read. Asks no
 * process and forks none. A part that cannot be found out is left at "not known".
 */
void bv_info_collect(struct bv_info_source *src, const struct bv_rundir *rd, const struct bv_run_state *st,
		     unsigned int what, struct bv_info *ret);
void bv_info_init(struct bv_info *info);
void bv_info_source_close(struct bv_info_source *src);
