/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * Ownership at the declaration. A variable with one of these is initialised where it is declared (NULL or -1), and
 * given away with take_ptr() or take_fd(). A function that uses them has no goto.
 */
static inline void bv_cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void bv_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void bv_cleanup_fclose(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void bv_cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}

#define autofree __attribute__((cleanup(bv_cleanup_free)))
#define autoclose __attribute__((cleanup(bv_cleanup_close)))
#define autofclose __attribute__((cleanup(bv_cleanup_fclose)))
#define autodir __attribute__((cleanup(bv_cleanup_closedir)))
/* autoclean(fn): fn takes a pointer to the variable. */
#define autoclean(fn) __attribute__((cleanup(fn)))

#define take_ptr(p)                   \
	({                            \
		typeof(p) taken_ = (p); \
		(p) = NULL;           \
		taken_;               \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

/* Close and forget. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
