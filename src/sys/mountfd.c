/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sys/mountfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "sys/kernel.h"
#include "util/cleanup.h"
#include "util/str.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000 /* Linux 5.14, linux/mount.h */
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10, linux/mount.h */
#endif
#ifndef ST_NOSYMFOLLOW
#define ST_NOSYMFOLLOW 0x2000 /* Linux 5.10, linux/statfs.h */
#endif

/*
 * Where the fallback makes a mount before it is moved to its target: a directory and a file that every procfs has and
 * that no other code here reads. Only the caller's own mount namespace ever sees them covered.
 */
#define STAGE_DIR  "/proc/driver"
#define STAGE_FILE "/proc/version"

/* fsconfig(2) takes strings of at most this length, with the NUL (Linux 5.2 to 6.18, fs/fsopen.c). */
enum { FSCONFIG_STRING_MAX = 256 };

enum { PROC_PATH = 32 };

static const struct {
	const char *word;
	uint64_t set, clear;
} flag_words[] = {
	{ "ro", MOUNT_ATTR_RDONLY, 0 },
	{ "rw", 0, MOUNT_ATTR_RDONLY },
	{ "nosuid", MOUNT_ATTR_NOSUID, 0 },
	{ "suid", 0, MOUNT_ATTR_NOSUID },
	{ "nodev", MOUNT_ATTR_NODEV, 0 },
	{ "dev", 0, MOUNT_ATTR_NODEV },
	{ "noexec", MOUNT_ATTR_NOEXEC, 0 },
	{ "exec", 0, MOUNT_ATTR_NOEXEC },
	{ "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0 },
	{ "symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW },
	{ "nodiratime", MOUNT_ATTR_NODIRATIME, 0 },
	{ "diratime", 0, MOUNT_ATTR_NODIRATIME },
	/* The access time modes are one field: a mode is set by clearing the field first. MOUNT_ATTR_RELATIME is 0. */
	{ "relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME },
	{ "nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME },
	{ "noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME },
	{ "defaults", 0, 0 },
};

static const struct {
	const char *word;
	unsigned long propagation;
} propagation_words[] = {
	{ "private", MS_PRIVATE },
	{ "shared", MS_SHARED },
	{ "slave", MS_SLAVE },
	{ "unbindable", MS_UNBINDABLE },
};

/* Words of mount(2) for a superblock: fsconfig knows them by name, mount(2) by number. */
static const struct {
	const char *word;
	unsigned long set, clear;
} super_words[] = {
	{ "ro", MS_RDONLY, 0 },
	{ "rw", 0, MS_RDONLY },
	{ "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 },
	{ "lazytime", MS_LAZYTIME, 0 },
	{ "nolazytime", 0, MS_LAZYTIME },
	{ "mand", MS_MANDLOCK, 0 },
	{ "nomand", 0, MS_MANDLOCK },
};

/* The same flag in the three numberings. */
static const struct {
	uint64_t attribute;
	unsigned long ms, st;
} numbers[] = {
	{ MOUNT_ATTR_RDONLY, MS_RDONLY, ST_RDONLY },
	{ MOUNT_ATTR_NOSUID, MS_NOSUID, ST_NOSUID },
	{ MOUNT_ATTR_NODEV, MS_NODEV, ST_NODEV },
	{ MOUNT_ATTR_NOEXEC, MS_NOEXEC, ST_NOEXEC },
	{ MOUNT_ATTR_NODIRATIME, MS_NODIRATIME, ST_NODIRATIME },
	{ MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW, ST_NOSYMFOLLOW },
};

bool bv_mount_word(struct bv_mount_flags *f, const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_words); i++) {
		if (!bv_streq(word, flag_words[i].word))
			continue;
		f->set = (f->set & ~flag_words[i].clear) | flag_words[i].set;
		f->clear = (f->clear & ~flag_words[i].set) | flag_words[i].clear;
		return true;
	}
	bool recursive = *word == 'r';
	for (size_t i = 0; i < ARRAY_SIZE(propagation_words); i++) {
		if (!bv_streq(word + recursive, propagation_words[i].word))
			continue;
		f->propagation = propagation_words[i].propagation;
		f->propagation_recursive = recursive;
		return true;
	}
	return false;
}

/* mount_setattr(2) came last: without it a detached mount could not be changed, so none is made. */
bool bv_mount_detaches(void)
{
	static int known; /* 1 yes, -1 no */
	if (!known)
		known = bv_mount_setattr(-1, "", 0, NULL, 0) == -ENOSYS ? -1 : 1;
	return known > 0;
}

/* ---- mount(2) ---- */

static void proc_path(char buf[PROC_PATH], int fd)
{
	snprintf(buf, PROC_PATH, "/proc/self/fd/%d", fd);
}

static int mount2(const char *source, const char *target, const char *fstype, unsigned long flags, const char *data)
{
	return mount(source, target, fstype, flags, data) < 0 ? -errno : 0;
}

static int open_stage(const char *stage)
{
	int fd = open(stage, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Flags of mount(2) for MOUNT_ATTR_*. */
static unsigned long ms_flags(uint64_t attributes)
{
	unsigned long ms = 0;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (attributes & numbers[i].attribute)
			ms |= numbers[i].ms;
	switch (attributes & MOUNT_ATTR__ATIME) {
	case MOUNT_ATTR_NOATIME:
		return ms | MS_NOATIME;
	case MOUNT_ATTR_STRICTATIME:
		return ms | MS_STRICTATIME;
	default:
		return ms | MS_RELATIME;
	}
}

/* MOUNT_ATTR_* of the mount that fd is on. */
static int current_attributes(int fd, uint64_t *ret)
{
	struct statvfs st;
	if (fstatvfs(fd, &st) < 0)
		return -errno;
	uint64_t attributes = 0;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (st.f_flag & numbers[i].st)
			attributes |= numbers[i].attribute;
	if (st.f_flag & ST_NOATIME)
		attributes |= MOUNT_ATTR_NOATIME;
	else if (!(st.f_flag & ST_RELATIME))
		attributes |= MOUNT_ATTR_STRICTATIME;
	*ret = attributes;
	return 0;
}

/* Take the superblock's words out of `options` into flags of mount(2); the rest, malloc'ed, is for the file system. */
static char *split_super_words(const char *options, unsigned long *flags)
{
	autoclean(bv_buf_clear) struct bv_buf rest = { 0 };
	for (const char *s = options ? options : ""; *s;) {
		size_t len = strcspn(s, ",");
		size_t i = 0;
		while (i < ARRAY_SIZE(super_words) &&
		       (strlen(super_words[i].word) != len || memcmp(super_words[i].word, s, len) != 0))
			i++;
		if (i < ARRAY_SIZE(super_words)) {
			*flags = (*flags & ~super_words[i].clear) | super_words[i].set;
		} else if (len) {
			if (rest.len)
				bv_buf_putc(&rest, ',');
			bv_buf_add(&rest, s, len);
		}
		s += len + (s[len] == ',');
	}
	return bv_buf_take(&rest);
}

static int new_by_mount2(const char *fstype, const char *source, const char *options, uint64_t attributes)
{
	unsigned long flags = ms_flags(attributes);
	autofree char *data = split_super_words(options, &flags);
	if (!data)
		return -ENOMEM;
	int r = mount2(source ? source : "none", STAGE_DIR, fstype, flags, data);
	return r < 0 ? r : open_stage(STAGE_DIR);
}

static int clone_by_mount2(int dirfd, const char *path, bool recursive)
{
	autoclose int from = *path ? openat(dirfd, path, O_PATH | O_CLOEXEC) : fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	struct stat st;
	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	const char *stage = S_ISDIR(st.st_mode) ? STAGE_DIR : STAGE_FILE;
	char source[PROC_PATH];
	proc_path(source, from);
	int r = mount2(source, stage, NULL, MS_BIND | (recursive ? MS_REC : 0), NULL);
	return r < 0 ? r : open_stage(stage);
}

static int change_by_mount2(int mnt, const struct bv_mount_flags *f, bool recursive)
{
	char path[PROC_PATH];
	proc_path(path, mnt);
	int r = 0;
	if (f->set || f->clear) {
		uint64_t attributes;
		r = current_attributes(mnt, &attributes);
		if (r < 0)
			return r;
		attributes = (attributes & ~f->clear) | f->set;
		r = mount2(NULL, path, NULL, MS_REMOUNT | MS_BIND | ms_flags(attributes), NULL);
	}
	if (r == 0 && f->propagation) {
		bool all = recursive || f->propagation_recursive;
		r = mount2(NULL, path, NULL, f->propagation | (all ? MS_REC : 0), NULL);
	}
	return r;
}

/* ---- the public functions ---- */

/* True when one "key=value" of the list is longer than fsconfig(2) takes. */
static bool too_long_for_fsconfig(const char *options)
{
	for (const char *s = options ? options : ""; *s;) {
		size_t len = strcspn(s, ",");
		const char *value = memchr(s, '=', len);
		if (value && len - (size_t)(value + 1 - s) >= FSCONFIG_STRING_MAX)
			return true;
		s += len + (s[len] == ',');
	}
	return false;
}

int bv_mount_new(const char *fstype, const char *source, const char *options, uint64_t attributes, char *message,
		 size_t message_size)
{
	if (message && message_size)
		message[0] = '\0';
	int r = -ENOSYS;
	if (bv_mount_detaches() && !too_long_for_fsconfig(options))
		r = bv_fs_mount(fstype, source, options, (unsigned int)attributes, message, message_size);
	return r == -ENOSYS ? new_by_mount2(fstype, source, options, attributes) : r;
}

int bv_mount_clone(int dirfd, const char *path, bool recursive)
{
	int r = -ENOSYS;
	if (bv_mount_detaches())
		r = bv_open_tree(dirfd, path,
				 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0u) |
					 (*path ? 0 : AT_EMPTY_PATH));
	return r == -ENOSYS ? clone_by_mount2(dirfd, path, recursive) : r;
}

int bv_mount_attach(int mnt, int target, const char *path)
{
	int r = bv_move_mount(mnt, "", target, path, MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0 : MOVE_MOUNT_T_EMPTY_PATH));
	if (r != -ENOSYS)
		return r;

	autoclose int place =
		*path ? openat(target, path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : fcntl(target, F_DUPFD_CLOEXEC, 3);
	if (place < 0)
		return -errno;
	char from[PROC_PATH], to[PROC_PATH];
	proc_path(from, mnt);
	proc_path(to, place);
	return mount2(from, to, NULL, MS_MOVE, NULL);
}

int bv_mount_change(int mnt, const struct bv_mount_flags *f, bool recursive)
{
	if (!f->set && !f->clear && !f->propagation)
		return 0;

	struct mount_attr attr = { .attr_set = f->set, .attr_clr = f->clear, .propagation = f->propagation };
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
	/* mount_setattr(2) is recursive or not for all that it changes. */
	if (f->propagation && f->propagation_recursive && !recursive) {
		struct mount_attr below = { .propagation = f->propagation };
		attr.propagation = 0;
		int r = bv_mount_setattr(mnt, "", flags | AT_RECURSIVE, &below, sizeof(below));
		if (r < 0 && r != -ENOSYS)
			return r;
	}
	int r = bv_mount_setattr(mnt, "", flags, &attr, sizeof(attr));
	return r == -ENOSYS ? change_by_mount2(mnt, f, recursive) : r;
}

int bv_mount_idmap(int mnt, int userns_fd, bool recursive)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns_fd };
	return bv_mount_setattr(mnt, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof(attr));
}

int bv_mount_remount(int target, const struct bv_mount_flags *f, const char *options)
{
	uint64_t attributes;
	int r = current_attributes(target, &attributes);
	if (r < 0)
		return r;
	unsigned long flags = ms_flags((attributes & ~f->clear) | f->set);
	autofree char *data = split_super_words(options, &flags);
	if (!data)
		return -ENOMEM;
	char path[PROC_PATH];
	proc_path(path, target);
	return mount2(NULL, path, NULL, MS_REMOUNT | flags, data);
}

const char *bv_mount_fs_name(int fd, char *buf, size_t size)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} names[] = {
		{ EXT4_SUPER_MAGIC, "ext4" },
		{ BTRFS_SUPER_MAGIC, "btrfs" },
		{ 0x58465342, "xfs" },
		{ TMPFS_MAGIC, "tmpfs" },
		{ OVERLAYFS_SUPER_MAGIC, "overlay" },
		{ NFS_SUPER_MAGIC, "nfs" },
		{ V9FS_MAGIC, "9p" },
		{ FUSE_SUPER_MAGIC, "fuse" },
		{ 0x2fc12fc1, "zfs" },
		{ 0xff534d42, "cifs" },
		{ SQUASHFS_MAGIC, "squashfs" },
		{ MSDOS_SUPER_MAGIC, "vfat" },
		{ PROC_SUPER_MAGIC, "proc" },
		{ SYSFS_MAGIC, "sysfs" },
	};
	struct statfs st;
	if (fstatfs(fd, &st) < 0) {
		snprintf(buf, size, "unknown");
		return buf;
	}
	unsigned long magic = (unsigned long)st.f_type & 0xffffffff;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].magic == magic)
			return names[i].name;
	snprintf(buf, size, "0x%lx", magic);
	return buf;
}
