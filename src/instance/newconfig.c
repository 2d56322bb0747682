/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "instance/newconfig.h"

#include <string.h>

#include "config/config.h"

char *bv_text_replaced(const char *text, const char *from, const char *to)
{
	struct bv_buf out = { 0 };
	for (const char *at; (at = strstr(text, from)); text = at + strlen(from)) {
		bv_buf_add(&out, text, (size_t)(at - text));
		bv_buf_puts(&out, to);
	}
	bv_buf_puts(&out, text);
	return bv_buf_take(&out);
}

/* What was given to the template, on one line; a password is nobody else's business. */
static void add_parameters(struct bv_buf *out, char *const *args)
{
	for (size_t i = 0; args && args[i]; i++) {
		bool secret_follows = bv_streq(args[i], "--password");
		const char *arg = bv_after(args[i], "--password=") ? "--password=***" : args[i];
		bv_buf_putc(out, ' ');
		for (; *arg; arg++)
			bv_buf_putc(out, (unsigned char)*arg < ' ' || *arg == 0x7f ? '?' : *arg);
		if (secret_follows && args[i + 1]) {
			bv_buf_puts(out, " ***");
			i++;
		}
	}
}

void bv_newconfig_header(struct bv_buf *out, const char *origin, char *const *args)
{
	bv_buf_printf(out, "# Template used to create this container: %s\n", origin);
	bv_buf_puts(out, "# Parameters passed to the template:");
	add_parameters(out, args);
	bv_buf_puts(out, "\n# The keys are described in lxc.container.conf(5).\n\n"
			 "# Containers inside this one need the next line, at the price of weaker walls:\n"
			 "#lxc.include = " BV_DATADIR "/lxc/config/nesting.conf\n\n");
}

void bv_newconfig_expand_macs(char *text)
{
	for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		char *p = line + strspn(line, " \t");
		size_t key = strcspn(p, " \t=\n");
		if (strncmp(p, "lxc.net", 7) != 0 || key < 7 || strncmp(p + key - 7, ".hwaddr", 7) != 0)
			continue;
		p += key;
		p += strspn(p, " \t=\"");
		size_t len = strspn(p, "0123456789abcdefABCDEFxX:");
		if (len != 17 || (!memchr(p, 'x', len) && !memchr(p, 'X', len)))
			continue;
		char after = p[17];
		p[17] = '\0';
		bv_mac_expand(p);
		p[17] = after;
	}
}
