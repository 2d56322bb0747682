/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "cmd/cmd.h"

/* What --format=json prints. What is not known is null. */

/* NULL or "" is null; bytes that are no UTF-8 become '?'. */
json_t *cmd_json_text(const char *s);
/* UINT64_MAX is null. */
json_t *cmd_json_count(uint64_t n);
/* The object of one instance, the same for lxc-info and lxc-ls. */
json_t *cmd_json_instance(const char *name, const struct bv_info *info);
/* The words of a comma-separated list. */
json_t *cmd_json_words(const char *list);

/* Is it a known --format? "json" is; NULL is the usual text. A mistake ends the command. */
bool cmd_json_wanted(const struct cmd_common *args, const char *format);

/* Print and release it. The exit code. */
int cmd_json_print(const struct cmd_common *args, json_t *value);
