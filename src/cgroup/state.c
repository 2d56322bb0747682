/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup/internal.h"
#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/str.h"

/* A cgroup that was made: entering it, writing it down, reading it back, looking at it. */

/* ---- entering and leaving ---- */

int bv_cgroup_clone_fd(const struct bv_cgroup *cg)
{
	const struct cgroup_hier *h = cgroup_find_v2(cg);
	return h ? h->payload_fd : -1;
}

int bv_cgroup_monitor_clone_fd(const struct bv_cgroup *cg)
{
	const struct cgroup_hier *h = cgroup_find_v2(cg);
	return h ? h->monitor_fd : -1;
}

static int enter_self(const struct bv_cgroup *cg, bool monitor, bool born_inside)
{
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_hier *h = &cg->hiers[i];
		int entry = monitor ? h->monitor_fd : h->payload_fd;
		int r = entry < 0 ? 0 : h->backend->enter(entry, born_inside);
		if (r < 0)
			return r;
	}
	return 0;
}

int bv_cgroup_enter_self(const struct bv_cgroup *cg, bool born_inside)
{
	return enter_self(cg, false, born_inside);
}

int bv_cgroup_enter_self_monitor(const struct bv_cgroup *cg, bool born_inside)
{
	return enter_self(cg, true, born_inside);
}

/* What is removed with the monitor's cgroup: that itself, or the directories that were made for it. */
static const char *top_of_monitor(const struct cgroup_hier *h)
{
	return h->made ? h->made : h->monitor;
}

/* The pivot is made when it is needed, with its parents, and stays: who leaves for it cannot remove it. */
static int open_pivot(const struct bv_cgroup *cg, const struct cgroup_hier *h)
{
	char path[PATH_MAX];
	int r = cgroup_path(path, h, h->pivot, "");
	if (r < 0)
		return r;
	const char *rel = path + strlen(h->mount) + 1;
	for (char *s = strchr(rel, '/'); r == 0; s = strchr(s + 1, '/')) {
		if (s)
			*s = '\0';
		r = cg->place->make_dir(path);
		if (r == 0)
			r = h->backend->prepare(h, rel, NULL);
		else if (r == -EEXIST)
			r = 0;
		if (!s)
			break;
		*s = '/';
	}
	return r < 0 ? r : h->backend->open_entry(h, h->pivot);
}

static int leave(const struct bv_cgroup *cg, const struct cgroup_hier *h)
{
	if (!h->monitor)
		return 0;
	if (!h->pivot)
		return h->backend->leave(cg, h, top_of_monitor(h));
	autoclose int entry = open_pivot(cg, h);
	return entry < 0 ? entry : h->backend->enter(entry, false);
}

int bv_cgroup_leave_monitor(struct bv_cgroup *cg)
{
	int first = 0;
	for (size_t i = 0; i < cg->n; i++) {
		int r = leave(cg, &cg->hiers[i]);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

static int open_parent_of_monitor(const struct cgroup_hier *h)
{
	const char *top = top_of_monitor(h), *slash = strrchr(top, '/');
	autofree char *parent = slash ? strndup(top, (size_t)(slash - top)) : strdup("");
	return parent ? h->backend->open_entry(h, parent) : -ENOMEM;
}

pid_t bv_cgroup_fork_outside(struct bv_cgroup *cg)
{
	const struct cgroup_hier *v2 = cgroup_find_v2(cg);
	if (!v2 || !v2->monitor)
		return -ENOTSUP;
	autoclose int parent = v2->pivot ? open_pivot(cg, v2) : open_parent_of_monitor(v2);
	if (parent < 0)
		return parent;

	struct clone_args args = { .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)parent };
	pid_t pid = bv_clone3(&args, sizeof(args));
	for (size_t i = 0; pid == 0 && i < cg->n; i++) {
		const struct cgroup_hier *h = &cg->hiers[i];
		if (!h->backend->v2)
			leave(cg, h);
	}
	return pid;
}

static int delegate_one(const struct cgroup_hier *h, uid_t uid, gid_t gid, struct bv_error *err)
{
	autofree char *rel = cgroup_join(h->payload, h->inner ? h->inner : "");
	char path[PATH_MAX];
	if (!rel || cgroup_path(path, h, rel, "") < 0)
		return bv_fail(err, ENOMEM, "out of memory");
	autoclose int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int r = dir < 0 || fchown(dir, uid, gid) < 0 ? -errno : 0;
	for (const char *const *file = h->backend->delegated; r == 0 && *file; file++) {
		if (fchownat(dir, *file, uid, gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
			r = -errno;
	}
	return r < 0 ? bv_fail(err, r, "cannot give the cgroup %s to user %u: %s", path, uid, strerror(-r)) : 0;
}

int bv_cgroup_delegate(struct bv_cgroup *cg, uid_t uid, gid_t gid, struct bv_error *err)
{
	int r = 0;
	for (size_t i = 0; i < cg->n && r == 0; i++) {
		if (cg->hiers[i].payload)
			r = delegate_one(&cg->hiers[i], uid, gid, err);
	}
	return r;
}

/* ---- as text ---- */

/* Blanks, newlines and backslashes as \ooo, nothing as "-". */
static void put_word(struct bv_buf *buf, const char *word, char end)
{
	if (!word || !*word)
		bv_buf_putc(buf, '-');
	for (; word && *word; word++) {
		unsigned char c = (unsigned char)*word;
		if (c <= ' ' || c == '\\' || c == 0x7f || (c == '-' && !word[1]))
			bv_buf_printf(buf, "\\%03o", c);
		else
			bv_buf_putc(buf, *word);
	}
	bv_buf_putc(buf, end);
}

enum { WORD_NAME, WORD_CONTROLLERS, WORD_MOUNT, WORD_PAYLOAD, WORD_MONITOR, WORD_INNER, WORD_MADE, WORD_PIVOT, WORDS };

char *bv_cgroup_describe(const struct bv_cgroup *cg)
{
	struct bv_buf buf = { 0 };
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_hier *h = &cg->hiers[i];
		const char *words[WORDS] = { h->name,	 h->backend->v2 ? "unified" : h->controllers,
					     h->mount,	 h->payload,
					     h->monitor, h->inner,
					     h->made,	 h->pivot };
		for (size_t j = 0; j < WORDS; j++)
			put_word(&buf, words[j], j + 1 < WORDS ? ' ' : '\n');
	}
	return bv_buf_take(&buf);
}

/* *ret is NULL for "-". */
static int get_word(char *word, char **ret)
{
	if (bv_streq(word, "-"))
		return 0;
	char *to = *ret = strdup(word);
	if (!to)
		return -ENOMEM;
	for (const char *s = word; *s; s++) {
		if (s[0] != '\\') {
			*to++ = *s;
			continue;
		}
		char digits[4] = { s[1], s[1] ? s[2] : '\0', s[1] && s[2] ? s[3] : '\0', '\0' };
		char *end;
		unsigned long c = strtoul(digits, &end, 8);
		if (end != digits + 3 || c == 0 || c > 0xff)
			return -EINVAL;
		*to++ = (char)c;
		s += 3;
	}
	*to = '\0';
	return 0;
}

static int parse_line(struct bv_cgroup *cg, char *line)
{
	char *word[WORDS], *save;
	for (size_t i = 0; i < WORDS; i++) {
		word[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (!word[i])
			return -EINVAL;
	}
	if (strtok_r(NULL, " ", &save))
		return -EINVAL;

	bool v2 = bv_streq(word[WORD_CONTROLLERS], "unified");
	if (v2 && cgroup_find_v2(cg))
		return -EINVAL;
	struct cgroup_hier *h = cgroup_add_hier(cg, v2);
	if (!h)
		return -ENOMEM;
	char **const field[WORDS] = { &h->name,	   &h->controllers, &h->mount, &h->payload,
				      &h->monitor, &h->inner,	    &h->made,  &h->pivot };
	for (size_t i = 0; i < WORDS; i++) {
		int r = get_word(word[i], field[i]);
		if (r < 0)
			return r;
	}
	if (v2)
		*h->controllers = '\0';

	/* These are paths that get removed. */
	if (!h->name || !h->controllers || !h->mount || h->mount[0] != '/' || strstr(h->mount, "/.."))
		return -EINVAL;
	for (size_t i = WORD_PAYLOAD; i < WORDS; i++) {
		if (*field[i] && !cgroup_path_valid(*field[i]))
			return -EINVAL;
	}
	const char *top = h->made ? h->made : h->payload ? h->payload : "";
	const char *slash = strrchr(top, '/');
	h->base = strndup(top, slash ? (size_t)(slash - top) : 0);
	return h->base ? 0 : -ENOMEM;
}

/* Without an instance: the host's hierarchies, and which controllers v2 has. */
static int open_host(struct bv_cgroup *cg, struct bv_error *err)
{
	int r = cgroup_read_host(cg, false, err);
	struct cgroup_hier *h = r < 0 ? NULL : cgroup_find_v2(cg);
	char controllers[512];
	if (!h || cgroup_read(h, "", "cgroup.controllers", controllers, sizeof(controllers)) <= 0)
		return r;
	char *copy = strdup(controllers);
	if (!copy)
		return bv_fail(err, ENOMEM, "out of memory");
	free(h->controllers);
	h->controllers = copy;
	return 0;
}

int bv_cgroup_open(struct bv_cgroup **ret, const char *description, struct bv_error *err)
{
	autoclean(bv_cgroup_freep) struct bv_cgroup *cg = cgroup_new(cgroup_place_here());
	autofree char *copy = strdup(description);
	if (!cg || !copy)
		return bv_fail(err, ENOMEM, "out of memory");
	if (!*copy) {
		int r = open_host(cg, err);
		if (r < 0)
			return r;
	}
	for (char *save, *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int r = parse_line(cg, line);
		if (r < 0)
			return bv_fail(err, r, "the note of the instance's cgroups is damaged: \"%.100s\"", line);
	}
	*ret = take_ptr(cg);
	return 0;
}

/* ---- looking ---- */

size_t bv_cgroup_hierarchies(const struct bv_cgroup *cg, const struct bv_cgroup_hierarchy **ret)
{
	/* The view is a cache; the object is as const as before to its caller. */
	struct bv_cgroup *owner = (struct bv_cgroup *)(uintptr_t)cg;
	*ret = NULL;
	if (!owner->view)
		owner->view = calloc(cg->n ? cg->n : 1, sizeof(*owner->view));
	if (!owner->view)
		return 0;
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_hier *h = &cg->hiers[i];
		owner->view[i] = (struct bv_cgroup_hierarchy){
			.name = h->name,
			.mountpoint = h->mount,
			.controllers = h->controllers,
			.payload = h->payload,
			.v2 = h->backend->v2,
		};
	}
	*ret = owner->view;
	return cg->n;
}

bool bv_cgroup_host_is_v2_only(const struct bv_cgroup *cg)
{
	static const char usual[] = "/sys/fs/cgroup";
	if (cg->n != 1 || !cg->hiers[0].backend->v2)
		return false;
	size_t len = strlen(cg->hiers[0].mount);
	return len >= strlen(usual) && bv_streq(cg->hiers[0].mount + len - strlen(usual), usual);
}

int bv_cgroup_stats(struct bv_cgroup *cg, unsigned int what, struct bv_cgroup_stats *ret)
{
	memset(ret, 0xff, sizeof(*ret)); /* every field UINT64_MAX */
	bool any = false;
	unsigned int left = what;
	/* v2 is the first: it is asked last, for what no v1 hierarchy keeps. */
	for (size_t i = cg->n; i-- > 0;) {
		const struct cgroup_hier *h = &cg->hiers[i];
		if (!h->payload)
			continue;
		any = true;
		if (!h->backend->v2)
			left &= ~h->backend->stats(h, what, ret);
		else if (left)
			h->backend->stats(h, left, ret);
	}
	return any ? 0 : -ENOENT;
}
