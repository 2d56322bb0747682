/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rootfs/rootat.h"
#include "template/job.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/num.h"

int bv_random_password(char **ret, struct bv_error *err)
{
	/* 32 signs that are not mistaken for each other: 14 of them are 70 bits. */
	static const char signs[33] = "abcdefghijkmnpqrstuvwxyz23456789";
	unsigned char bytes[14];
	char text[sizeof(bytes) + 1];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return bv_fail_errno(err, "cannot get random bytes");
	for (size_t i = 0; i < sizeof(bytes); i++)
		text[i] = signs[bytes[i] % 32];
	text[sizeof(bytes)] = '\0';
	*ret = strdup(text);
	return *ret ? 0 : bv_fail(err, ENOMEM, "out of memory");
}

struct account {
	uint32_t uid, gid;
	char *home;
};

/* 1: found in the rootfs' passwd. */
static int find_account(int root, const char *user, struct account *ret)
{
	autoclose int fd = bv_rootat_open(root, "/etc/passwd", O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	char self[64];
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	autofree char *text = NULL;
	int r = bv_read_file(AT_FDCWD, self, 1 << 20, &text, NULL);
	for (char *line = r < 0 ? NULL : text, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		char *field[7], *rest = line;
		size_t n = 0;
		while (n < ARRAY_SIZE(field) && (field[n] = strsep(&rest, ":")))
			n++;
		if (n < 7 || !bv_streq(field[0], user))
			continue;
		if (bv_parse_u32(field[2], &ret->uid) < 0 || bv_parse_u32(field[3], &ret->gid) < 0)
			return -EINVAL;
		ret->home = strdup(field[5]);
		return ret->home ? 1 : -ENOMEM;
	}
	return r < 0 ? r : 0;
}

static int add_user(const struct bv_recipe_build *b, struct bv_error *err)
{
	const struct bv_recipe *r = b->job->recipe;
	autoclean(bv_buf_clear) struct bv_buf groups = { 0 };
	for (size_t i = 0; i < r->login.groups.n; i++)
		bv_buf_printf(&groups, "%s%s", i ? "," : "", r->login.groups.v[i]);
	autofree char *list = bv_buf_take(&groups);
	if (!list)
		return bv_fail(err, ENOMEM, "out of memory");
	char *const argv[] = { (char *)"useradd", (char *)"--create-home", (char *)"--shell", r->login.shell,
			       (char *)"--groups", list, (char *)"--", r->login.user, NULL };
	return bv_recipe_run_inside(b, "useradd", argv, NULL, NULL, err);
}

static int add_key(const struct bv_recipe_build *b, const struct account *who, struct bv_error *err)
{
	const char *file = b->job->args.auth_key;
	autofree char *key = NULL, *dir = bv_asprintf("%s/.ssh", who->home);
	autofree char *path = bv_asprintf("%s/.ssh/authorized_keys", who->home);
	if (!dir || !path)
		return bv_fail(err, ENOMEM, "out of memory");
	int r = bv_read_file(AT_FDCWD, file, 1 << 16, &key, NULL);
	if (r < 0)
		return bv_fail(err, r, "cannot read the key %s: %s", file, strerror(-r));
	r = bv_rootfs_write(b->build->rootfs, path, key, 0600, who->uid, who->gid, err);
	if (r < 0)
		return r;
	autoclose int fd = bv_rootat_open(b->build->rootfs, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0 || fchown(fd, who->uid, who->gid) < 0 || fchmod(fd, 0700) < 0)
		return bv_fail_errno(err, "cannot set the owner of %s in the rootfs", dir);
	return 0;
}

int bv_recipe_login(const struct bv_recipe_build *b, struct bv_error *err)
{
	const char *user = b->job->recipe->login.user;
	struct account who = { 0 };
	int r = find_account(b->build->rootfs, user, &who);
	if (r == 0) {
		r = add_user(b, err);
		if (r < 0)
			return r;
		r = find_account(b->build->rootfs, user, &who);
	}
	autofree char *home = who.home;
	if (r <= 0)
		return bv_fail(err, r ? r : ENOENT, "the rootfs has no user %s", user);

	autofree char *line = bv_asprintf("%s:%s\n", user, b->job->password);
	char *const argv[] = { (char *)"chpasswd", NULL };
	if (!line)
		return bv_fail(err, ENOMEM, "out of memory");
	r = bv_recipe_run_inside(b, "chpasswd", argv, NULL, line, err);
	if (r == 0 && b->job->args.auth_key)
		r = add_key(b, &(struct account){ who.uid, who.gid, home }, err);
	return r;
}
