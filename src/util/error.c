/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bv_error_clear(struct bv_error *err)
{
	if (err) {
		err->code = 0;
		err->what[0] = '\0';
		err->hint[0] = '\0';
	}
}

/* What comes from a config or a rootfs must not steer the terminal that shows the error. */
static void defuse(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

int bv_failv(struct bv_error *err, int code, const char *fmt, va_list ap)
{
	code = code ? abs(code) : EIO;
	if (!err)
		return -code;
	if (err->code)
		return -err->code;
	err->code = code;
	err->hint[0] = '\0';
	vsnprintf(err->what, sizeof(err->what), fmt, ap);
	defuse(err->what);
	return -code;
}

int bv_fail(struct bv_error *err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int r = bv_failv(err, code, fmt, ap);
	va_end(ap);
	return r;
}

int bv_fail_errno(struct bv_error *err, const char *fmt, ...)
{
	int code = errno ? errno : EIO;
	if (!err)
		return -code;
	if (err->code)
		return -err->code;

	va_list ap;
	va_start(ap, fmt);
	bv_failv(err, code, fmt, ap);
	va_end(ap);

	size_t used = strlen(err->what);
	snprintf(err->what + used, sizeof(err->what) - used, ": %s", strerror(code));
	return -code;
}

int bv_hint(struct bv_error *err, const char *fmt, ...)
{
	if (!err)
		return -EIO;
	if (!err->hint[0]) {
		va_list ap;
		va_start(ap, fmt);
		vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
		va_end(ap);
		defuse(err->hint);
	}
	return err->code ? -err->code : -EIO;
}

int bv_error_prefix(struct bv_error *err, const char *fmt, ...)
{
	if (!err)
		return -EIO;

	char prefix[BV_ERROR_WHAT], whole[BV_ERROR_WHAT * 2 + 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	defuse(prefix);
	snprintf(whole, sizeof(whole), "%s: %s", prefix, err->what);
	whole[sizeof(err->what) - 1] = '\0';
	memcpy(err->what, whole, sizeof(err->what));
	return err->code ? -err->code : -EIO;
}
