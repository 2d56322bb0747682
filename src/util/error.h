/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdarg.h>

/*
 * The one error object of the library.
 *
 * The site that fails first fills it: `code` is a positive errno value, `what` is one sentence that names the cause
 * and the path, `hint` is the next thing to do or to type (may be empty). It holds no pointers, so that it travels by
 * value through a pipe from a child to the caller (sizeof(struct bv_error) < PIPE_BUF, hence one atomic write).
 *
 * Every function that can fail returns 0 (or a positive result) on success and a negative errno on failure, and takes
 * a `struct bv_error *err` as its last argument. `err` may be NULL where the caller does not care.
 */
enum {
	BV_ERROR_WHAT = 640,
	BV_ERROR_HINT = 320,
};

struct bv_error {
	int code;                /* positive errno, 0: no error */
	char what[BV_ERROR_WHAT];
	char hint[BV_ERROR_HINT];
};

/* Forget what is in `err`. */
void bv_error_clear(struct bv_error *err);

/*
 * Fill `err` and return -code. The first failure wins: an `err` that already holds a code keeps its sentence, so that
 * a caller may add its own view without hiding the cause. `code` may be given negative or positive; 0 becomes EIO.
 * Control characters that got into the sentence through an argument are written as '?'.
 */
int bv_fail(struct bv_error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int bv_failv(struct bv_error *err, int code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* As bv_fail, with ": strerror(errno)" behind the sentence; the code is errno. */
int bv_fail_errno(struct bv_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Set the hint (the next thing to type) of an error that was just filled. Always returns -err->code. */
int bv_hint(struct bv_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Put "prefix: " in front of the sentence, at a border between modules (file and line of a config, say). */
int bv_error_prefix(struct bv_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
