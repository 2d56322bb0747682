/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Mounts by fd: made detached, changed while nobody sees them, attached last.
 *
 * Where the kernel lacks fsopen, open_tree (5.2) or mount_setattr (5.12), a mount is made by mount(2) on a place of the
 * caller's own mount namespace that nothing else uses (see mountfd.c), changed there, and moved to its target. To the
 * users of these functions both look the same, but the fallback needs a private mount namespace with a procfs on
 * /proc. All fds are O_CLOEXEC; all functions return 0 (or an fd) or a negative errno.
 */

struct bv_mount_flags {
	uint64_t set, clear;         /* MOUNT_ATTR_* */
	unsigned long propagation;   /* MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE; 0: as it is */
	bool propagation_recursive;
};

/*
 * Take one word of a mount option list ("nosuid", "strictatime", "rslave"). False: it is no flag of a mount, so it is
 * for the file system. "ro" and "rw" are flags here; bv_mount_options_ro() tells the file system too.
 */
bool bv_mount_word(struct bv_mount_flags *f, const char *word);

/*
 * True when mounts are made detached: Linux 5.12. Where they are not, and for options that fsconfig(2) does not take
 * (more than 255 bytes), the fallback would show them in the caller's mount namespace.
 */
bool bv_mount_detaches(void);

/*
 * A new mount of a file system, detached. `options` are the file system's ("size=64k,mode=755"), with the words of
 * mount(2) that belong to the superblock (ro, sync, dirsync, lazytime, mand) among them. The kernel's own sentence
 * about a failure, if it left one, is in `message`.
 */
int bv_mount_new(const char *fstype, const char *source, const char *options, uint64_t attributes, char *message,
		 size_t message_size);

/* A detached copy of what is mounted at `path` ("": dirfd itself), with all mounts below it when `recursive`. */
int bv_mount_clone(int dirfd, const char *path, bool recursive);

/* Put the mount on `path` below `target`, or on `target` itself with "". The last component is not followed. */
int bv_mount_attach(int mnt, int target, const char *path);

/* Change flags and propagation of a mount. The fallback changes flags of the top mount only, recursive or not. */
int bv_mount_change(int mnt, const struct bv_mount_flags *f, bool recursive);

/* Map the ids of a detached mount by a user namespace. -EINVAL: its file system cannot; -ENOSYS before Linux 5.12. */
int bv_mount_idmap(int mnt, int userns_fd, bool recursive);

/* mount(2) with MS_REMOUNT of the superblock mounted at `target`; flags that are not named stay as they are. */
int bv_mount_remount(int target, const struct bv_mount_flags *f, const char *options);

/* The name of the file system that fd is on, for messages: "ext4", or its magic number in hex. `buf` is filled. */
const char *bv_mount_fs_name(int fd, char *buf, size_t size);
