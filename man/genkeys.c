/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* genkeys man|names|legacy: the table of configuration keys, for the manual page and the completion. Runs at build time. */
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"

int main(int argc, char **argv)
{
	if (argc != 2 || bv_config_print_keys(stdout, argv[1]) < 0 || fflush(stdout) != 0) {
		fprintf(stderr, "usage: genkeys man|names|legacy\n");
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
