/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "util/str.h"

/* The text of a new instance's config (create.c). */

/* `text` with every `from` replaced, malloc'ed; NULL when out of memory. */
char *bv_text_replaced(const char *text, const char *from, const char *to);

/* What stands above the keys: the template and its arguments, on lines that tools look for; no passwords. */
void bv_newconfig_header(struct bv_buf *out, const char *origin, char *const *args);

/* Fill in the random digits of MAC templates once, so that an address is the same at every start. */
void bv_newconfig_expand_macs(char *text);
