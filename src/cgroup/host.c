/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/str.h"

static int make_dir(const char *path)
{
	return mkdir(path, 0755) < 0 ? -errno : 0;
}

static int remove_dir(int dirfd, const char *path)
{
	return unlinkat(dirfd, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

const struct cgroup_place *cgroup_place_here(void)
{
	static const struct cgroup_place places[2] = {
		{ "/sys/fs/cgroup", "/proc/self/mountinfo", "/proc/self/cgroup", false, make_dir, remove_dir },
		{ "/sys/fs/cgroup", "/proc/self/mountinfo", "/proc/self/cgroup", true, make_dir, remove_dir },
	};
	return &places[bv_is_root()];
}

bool cgroup_list_has(const char *list, const char *word)
{
	size_t len = strlen(word);
	for (const char *p = list; *p; p += strspn(p, ",")) {
		size_t n = strcspn(p, ",");
		if (n == len && strncmp(p, word, n) == 0)
			return true;
		p += n;
	}
	return false;
}

/* Undo mountinfo's \040 for blanks, tabs, newlines and backslashes, in place. */
static void unescape(char *s)
{
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Of a v1 mount's options those that name a controller or the hierarchy; malloc'ed. */
static char *pick_controllers(char *options)
{
	/* All that Linux ever had on v1 (include/linux/cgroup_subsys.h). */
	static const char known[] = "cpuset,cpu,cpuacct,blkio,memory,devices,freezer,net_cls,perf_event,net_prio,"
				    "hugetlb,pids,rdma,misc,debug";
	struct bv_buf buf = { 0 };
	for (char *save, *o = strtok_r(options, ",", &save); o; o = strtok_r(NULL, ",", &save)) {
		if (!bv_after(o, "name=") && !cgroup_list_has(known, o))
			continue;
		if (buf.len > 0)
			bv_buf_putc(&buf, ',');
		bv_buf_puts(&buf, o);
	}
	return bv_buf_take(&buf);
}

static struct cgroup_hier *find_same(const struct bv_cgroup *cg, bool v2, const char *controllers)
{
	for (size_t i = 0; i < cg->n; i++) {
		if (cg->hiers[i].backend->v2 == v2 && bv_streq(cg->hiers[i].controllers, controllers))
			return &cg->hiers[i];
	}
	return NULL;
}

static int add_mount(struct bv_cgroup *cg, bool v2, const char *root, const char *mount, const char *controllers)
{
	/* A hierarchy may be mounted more than once (inside a container's rootfs, say): the usual place wins. */
	struct cgroup_hier *h = find_same(cg, v2, controllers);
	if (h) {
		if (strstr(h->mount, "/sys/fs/cgroup") || !strstr(mount, "/sys/fs/cgroup"))
			return 0;
		free(h->mount);
		free(h->root);
		free(h->name);
	} else {
		h = cgroup_add_hier(cg, v2);
		if (!h || !(h->controllers = strdup(controllers)))
			return -ENOMEM;
	}
	const char *last = strrchr(mount, '/');
	h->mount = strdup(mount);
	h->root = strdup(root);
	h->name = strdup(v2 ? "unified" : last ? last + 1 : mount);
	return h->mount && h->root && h->name ? 0 : -ENOMEM;
}

/* ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [FIELDS..] - TYPE SOURCE SUPEROPTIONS */
static int parse_mount(struct bv_cgroup *cg, char *line)
{
	char *tail = strstr(line, " - cgroup");
	if (!tail)
		return 0;
	*tail = '\0';
	tail += strlen(" - cgroup");
	bool v2 = tail[0] == '2';
	if (tail[v2] != ' ')
		return 0;
	char *options = strchr(tail + v2 + 1, ' ');

	char *field[5] = { 0 };
	char *save;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++) {
		field[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!field[i])
			return 0;
	}
	unescape(field[3]);
	unescape(field[4]);
	if (v2)
		return add_mount(cg, true, field[3], field[4], "");
	if (!options)
		return 0;
	autofree char *controllers = pick_controllers(options + 1);
	if (!controllers)
		return -ENOMEM;
	return *controllers ? add_mount(cg, false, field[3], field[4], controllers) : 0;
}

static int read_mounts(struct bv_cgroup *cg, struct bv_error *err)
{
	autofree char *text = NULL;
	int r = bv_read_file(AT_FDCWD, cg->place->mountinfo, (size_t)64 << 20, &text, NULL);
	for (char *save, *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save))
		r = parse_mount(cg, line);
	if (r < 0)
		return bv_fail(err, r, "cannot read %s: %s", cg->place->mountinfo, strerror(-r));
	return 0;
}

/* Is the line's list ("" for v2) this hierarchy's? The kernel may name co-mounted controllers in another order. */
static bool list_is_of(const char *list, const struct cgroup_hier *h)
{
	if (h->backend->v2 || !*list)
		return h->backend->v2 && !*list;
	size_t n = strcspn(h->controllers, ",");
	autofree char *first = strndup(h->controllers, n);
	return first && cgroup_list_has(list, first);
}

static int set_base(struct cgroup_hier *h, const char *path)
{
	/*
	 * `root` is what is mounted; a path outside of it ("/..", another subtree) cannot be reached. A hierarchy that
	 * was mounted in a cgroup namespace may show "/.." as its root and begin at the namespace all the same: look.
	 */
	bool whole = bv_streq(h->root, "/");
	if (!whole && bv_after(h->root, "/..")) {
		char procs[PATH_MAX];
		whole = cgroup_path(procs, h, path + strspn(path, "/"), "cgroup.procs") == 0 &&
		        access(procs, F_OK) == 0;
	}
	const char *below = whole ? path : bv_after(path, h->root);
	if (!below || (*below && *below != '/') || bv_after(path, "/.."))
		below = "";
	while (*below == '/')
		below++;
	free(h->base);
	h->base = strdup(below);
	return h->base ? 0 : -ENOMEM;
}

/* "ID:CONTROLLERS:PATH" lines */
static int read_own(struct bv_cgroup *cg, struct bv_error *err)
{
	autofree char *text = NULL;
	int r = bv_read_file(AT_FDCWD, cg->place->own, 0, &text, NULL);
	for (char *save, *line = r < 0 ? NULL : strtok_r(text, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;
		if (!path)
			continue;
		list++;
		*path++ = '\0';
		for (size_t i = 0; i < cg->n && r == 0; i++) {
			if (list_is_of(list, &cg->hiers[i]))
				r = set_base(&cg->hiers[i], path);
		}
	}
	if (r < 0)
		return bv_fail(err, r, "cannot read %s: %s", cg->place->own, strerror(-r));
	return 0;
}

int cgroup_read_host(struct bv_cgroup *cg, bool relative, struct bv_error *err)
{
	struct statfs st;
	const char *unified = cg->place->unified;
	int r;
	if (unified && statfs(unified, &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC && !relative) {
		r = add_mount(cg, true, "/", unified, "");
		if (r < 0)
			return bv_fail(err, r, "out of memory");
	} else {
		r = read_mounts(cg, err);
		if (r < 0)
			return r;
	}
	if (cg->n == 0) {
		bv_fail(err, ENOENT, "no cgroup hierarchy is mounted on this host");
		return bv_hint(err, "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	}
	r = relative ? read_own(cg, err) : 0;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		if (!cg->hiers[i].base && !(cg->hiers[i].base = strdup("")))
			r = bv_fail(err, ENOMEM, "out of memory");
	}
	return r;
}
