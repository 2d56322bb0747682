/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup/cgroup.h"
#include "cgroup/devices.h"

/* What the files of src/cgroup share. Nobody else includes this, but for the unit test. */

struct cgroup_backend;

/*
 * Where the host is looked at and how a directory is made and removed: the kernel's places, or a tree that a test has
 * built (whose directories must get their files by hand).
 */
struct cgroup_place {
	const char *unified;   /* cgroup2 when the host has nothing else; NULL: ask mountinfo at once */
	const char *mountinfo;
	const char *own;       /* the own place in every hierarchy */
	bool root;             /* root leaves its own cgroup for the hierarchy's root, others stay below it */
	int (*make_dir)(const char *path);               /* 0 or -errno */
	int (*remove_dir)(int dirfd, const char *path);  /* 0 or -errno */
};

/* One hierarchy. Paths are relative to the mount, without a leading slash; "" is the mount itself. */
struct cgroup_hier {
	const struct cgroup_backend *backend;
	char *name;        /* "unified", or the last part of the v1 mount point */
	char *mount;
	char *controllers; /* v1: "cpu,cpuacct" or "name=systemd"; v2: "" */
	char *root;        /* what of the hierarchy is mounted ("/", or a subtree in a container) */
	char *base;        /* below what the instance's cgroups are made; NULL in one that was opened */
	char *payload;     /* NULL: the instance has no place here */
	char *inner;       /* where the processes go, when that is a directory below `payload`; or NULL */
	char *monitor;     /* or NULL */
	char *pivot;       /* where the monitor goes when it leaves; NULL: the parent of `monitor` */
	char *made;        /* topmost directory above them that was made for them; or NULL */
	int payload_fd, monitor_fd; /* what backend->enter works on, or -1 */
};

struct bv_cgroup {
	const struct cgroup_place *place;
	struct cgroup_hier *hiers; /* v2, if there is one, is the first */
	size_t n;
	struct bv_cgroup_hierarchy *view; /* for bv_cgroup_hierarchies */
	bool without_devices;
	int lock; /* the directory whose flock guards the name until processes do, where it is not payload_fd; or -1 */
};

struct cgroup_backend {
	bool v2;
	const char *procs; /* file that lists and takes whole processes */
	/* A directory was made: let processes enter it (v1: cpuset wants CPUs and memory nodes first). */
	int (*prepare)(const struct cgroup_hier *h, const char *rel, struct bv_error *err);
	int (*open_entry)(const struct cgroup_hier *h, const char *rel); /* fd or -errno */
	int (*enter)(int entry, bool born_inside);                       /* async-signal-safe */
	/* The caller goes to the parent of rel. */
	int (*leave)(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel);
	int (*populated)(const struct cgroup_hier *h, const char *rel);  /* 1, 0, -errno; nested ones count */
	int (*write_frozen)(const struct cgroup_hier *h, bool freeze);
	int (*is_frozen)(const struct cgroup_hier *h);                   /* 1, 0, -errno */
	int (*apply_devices)(const struct cgroup_hier *h, const struct cgroup_devices *list, struct bv_error *err);
	/* Fill what this hierarchy knows of `what`; returns the bits that need no other hierarchy. */
	unsigned int (*stats)(const struct cgroup_hier *h, unsigned int what, struct bv_cgroup_stats *ret);
	const char *const *delegated; /* files that a delegated cgroup's owner may write, NULL-terminated */
};

extern const struct cgroup_backend cgroup_v1, cgroup_v2;

/* host.c */
/* The kernel's own, for the calling user. */
const struct cgroup_place *cgroup_place_here(void);
/* Fill cg->hiers. `relative`: stay below the own cgroup, root too. */
int cgroup_read_host(struct bv_cgroup *cg, bool relative, struct bv_error *err);

/* cgroup.c */
int cgroup_create_at(struct bv_cgroup **ret, const struct bv_cgroup_spec *spec, const struct cgroup_place *place,
		     struct bv_error *err);
struct bv_cgroup *cgroup_new(const struct cgroup_place *place);
/* A further hierarchy, zeroed; NULL when out of memory. v2 goes to the front. */
struct cgroup_hier *cgroup_add_hier(struct bv_cgroup *cg, bool v2);
/* The v1 hierarchy of a controller, or NULL. */
struct cgroup_hier *cgroup_find_v1(const struct bv_cgroup *cg, const char *controller);
/* The v2 hierarchy, or NULL. */
struct cgroup_hier *cgroup_find_v2(const struct bv_cgroup *cg);
bool cgroup_list_has(const char *list, const char *word); /* "a,b,c" */

/* path.c */
/* "MOUNT/REL/FILE" (rel and file may be empty) in `buf`; -ENAMETOOLONG. */
int cgroup_path(char buf[PATH_MAX], const struct cgroup_hier *h, const char *rel, const char *file);
char *cgroup_join(const char *a, const char *b); /* "a/b"; without the slash when one is empty; malloc'ed */
int cgroup_open_file(const struct cgroup_hier *h, const char *rel, const char *file, int flags);
/* bv_read_small and bv_write_small on a file of a cgroup. */
ssize_t cgroup_read(const struct cgroup_hier *h, const char *rel, const char *file, char *buf, size_t size);
int cgroup_write(const struct cgroup_hier *h, const char *rel, const char *file, const char *value);
/* A relative path without "..", empty parts or control characters. */
bool cgroup_path_valid(const char *rel);
bool cgroup_file_valid(const char *file);

/* tree.c */
typedef int (*cgroup_visit_fn)(int dirfd, void *data);
/* Call `visit` for the cgroup and all below, parents first. 0, what visit returned, or -errno. */
int cgroup_tree_visit(const char *path, cgroup_visit_fn visit, void *data);
/* Remove a cgroup and all below. What is gone is fine. -EBUSY: processes are left. */
int cgroup_tree_remove(const struct cgroup_place *place, const char *path);

/* layout.c */
struct cgroup_layout {
	char *prefix;            /* directories between the base and the cgroups, "" none */
	char *payload, *monitor; /* last parts */
	char *inner;             /* or NULL */
	char *pivot;             /* below the base; or NULL */
	bool fixed;              /* lxc.cgroup.dir.container: this place and no other */
};
int cgroup_layout_read(struct cgroup_layout *ret, const struct bv_cgroup_spec *spec, struct bv_error *err);
void cgroup_layout_clear(struct cgroup_layout *l);

/* limits.c */
/* The v2 controllers that the config's keys need and that no v1 hierarchy has, each once, " +name"; malloc'ed. */
char *cgroup_limits_controllers(const struct bv_cgroup *cg, const struct bv_config *cfg);
int cgroup_limits_apply(struct bv_cgroup *cg, const struct bv_config *cfg, struct bv_error *err);

/* v2.c */
/*
 * Enable controllers for the children of every directory from h->base to the parent of rel. `wanted` is " +a +b"; with
 * `all` whatever the hierarchy offers is enabled too, as far as it can be.
 */
int cgroup_v2_enable(const struct bv_cgroup *cg, const struct cgroup_hier *h, const char *rel, const char *wanted,
		     bool all, struct bv_error *err);

/* freeze.c */
/* The hierarchy that freezes: v1's freezer where it is mounted (what LXC's users look at there), else v2; or NULL. */
struct cgroup_hier *cgroup_find_freezer(const struct bv_cgroup *cg);

/* Sleep for the next of 1, 2, 4 .. 16 ms, but not beyond `deadline` (bv_now_ms; -1: none). false: it has passed. */
bool cgroup_nap(int *step_ms, int64_t deadline);
int64_t cgroup_deadline(int timeout_ms);
