/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * In place of libFuzzer: runs the target over the files that are given as arguments, a TAP case for each. What is
 * wrong ends the program by a signal or a sanitizer, so that the plan at the end is missing; an input that takes long
 * is "not ok".
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_input(const char *path, uint8_t **data, size_t *size)
{
	FILE *f = fopen(path, "rbe");
	size_t cap = 4096;
	*size = 0;
	*data = f ? malloc(cap) : NULL;
	while (*data) {
		size_t n = fread(*data + *size, 1, cap - *size, f);
		*size += n;
		if (n == 0 || *size < cap)
			break;
		cap *= 2;
		uint8_t *bigger = realloc(*data, cap);
		if (!bigger)
			free(*data);
		*data = bigger;
	}
	int bad = !f || !*data || ferror(f);
	if (f)
		fclose(f);
	return bad ? -1 : 0;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	/* Far more than any input of a corpus needs, with sanitizers and on a busy machine. */
	const double limit = 20;
	int failed = 0;

	for (int i = 1; i < argc; i++) {
		uint8_t *data = NULL;
		size_t size;
		const char *name = strrchr(argv[i], '/');
		name = name ? name + 1 : argv[i];
		if (read_input(argv[i], &data, &size) < 0) {
			printf("not ok %d - %s: cannot be read: %s\n", i, name, strerror(errno));
			free(data);
			failed = 1;
			continue;
		}
		double start = seconds();
		LLVMFuzzerTestOneInput(data, size);
		double took = seconds() - start;
		free(data);
		if (took > limit) {
			printf("not ok %d - %s: took %.1f s\n", i, name, took);
			failed = 1;
		} else {
			printf("ok %d - %s\n", i, name);
		}
		fflush(stdout);
	}
	printf("1..%d\n", argc - 1);
	return failed;
}
