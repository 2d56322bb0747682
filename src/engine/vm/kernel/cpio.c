/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/initramfs.h"

#include <string.h>
#include <sys/stat.h>

enum { ALIGN = 4, BLOCK = 512 };

static void pad(struct bv_buf *b, size_t align)
{
	static const char zeros[BLOCK];
	size_t over = b->len % align;
	if (over)
		bv_buf_add(b, zeros, align - over);
}

/*
 * 13 numbers of 8 hexadecimal digits behind "070701". The inode number says nothing, as no entry has a second link: it
 * is where the entry begins in its buffer.
 */
void bv_cpio_head(struct bv_buf *b, const char *path, unsigned int mode, size_t len, unsigned int major,
		  unsigned int minor)
{
	pad(b, ALIGN);
	unsigned int inode = (unsigned int)b->len, links = S_ISDIR(mode) ? 2 : 1;
	bv_buf_printf(b, "070701%08X%08X%08X%08X%08X%08X%08X", inode, mode, 0, 0, links, 0, (unsigned int)len);
	bv_buf_printf(b, "%08X%08X%08X%08X%08X%08X", 0, 0, major, minor, (unsigned int)strlen(path) + 1, 0);
	bv_buf_add(b, path, strlen(path) + 1);
	pad(b, ALIGN);
}

void bv_cpio_add(struct bv_buf *b, const char *path, unsigned int mode, const void *data, size_t len)
{
	bv_cpio_head(b, path, mode, len, 0, 0);
	if (len > 0)
		bv_buf_add(b, data, len);
	pad(b, ALIGN);
}

void bv_cpio_end(struct bv_buf *b)
{
	bv_cpio_head(b, "TRAILER!!!", 0, 0, 0, 0);
	pad(b, BLOCK);
}
