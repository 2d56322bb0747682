/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>

#include "util/error.h"

/*
 * Directories in a lxcpath that are no instances (yet, or any more): their names begin with a dot, which no listing
 * shows and no instance has.
 *   .NAME.new            being built; renamed to NAME when it is complete
 *   .NAME.gone.XXXXXXXX  being removed
 * Whoever works on one holds a flock(2) on the directory itself, so the lock goes with it through the rename and ends
 * with the process. One whose lock is free belongs to nobody and is removed by the next who comes.
 */
struct bv_hidden {
	int lxcpath;   /* borrowed fd of the lxcpath */
	int dir;       /* fd of the directory, locked */
	char name[80]; /* ".NAME.new" */
};

/* Make an empty .NAME.new and lock it. -EBUSY: somebody builds that instance now. */
int bv_hidden_claim(struct bv_hidden *ret, int lxcpath, const char *name, struct bv_error *err);
/* Remove it with all in it. */
void bv_hidden_drop(struct bv_hidden *h);

/* Remove what dead creations and removals left in the lxcpath. True: one of them created `name` (may be NULL). */
bool bv_hidden_sweep(int lxcpath, const char *name);

/*
 * Take the instance's directory out of sight by one rename, then remove it. 0 as soon as it is out of sight: what could
 * not be removed is left to a sweep and logged. -EBUSY: something is mounted on it.
 */
int bv_hidden_retire(int lxcpath, const char *name, struct bv_error *err);
