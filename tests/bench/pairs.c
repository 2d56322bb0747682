/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pairs: time two commands run by run in turn, so that whatever else the machine does hits both.
 *
 *   pairs [-n RUNS] [-i IDLE_MS] [-b BEFORE_OLD -B BEFORE_NEW] [-a AFTER_OLD -A AFTER_NEW] OLD NEW
 *
 * OLD and NEW are split at blanks and run without a shell; the commands before and after are for the shell and are not
 * timed. Every other round the new one goes first. %i in any of them becomes the number of the run. Prints
 * "OLD_MS NEW_MS RATIO FAILED_OLD FAILED_NEW": medians, and the median of the rounds' ratios.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIDES = 2, WARM_UP = 1, WORDS_MAX = 64, TEXT_MAX = 4096 };

struct side {
	const char *command, *before, *after;
	double *ms;
	int failed;
};

extern char **environ;

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* `template` with every %i as the number. */
static void fill_in(char *buf, size_t size, const char *template, int run)
{
	size_t n = 0;
	for (const char *s = template; *s && n + 16 < size; s++) {
		if (s[0] == '%' && s[1] == 'i') {
			n += (size_t)snprintf(buf + n, size - n, "%d", run);
			s++;
		} else {
			buf[n++] = *s;
		}
	}
	buf[n] = '\0';
}

static void in_shell(const char *template, int run)
{
	char text[TEXT_MAX];
	if (!template)
		return;
	fill_in(text, sizeof(text), template, run);
	if (system(text) != 0 && getenv("PAIRS_VERBOSE"))
		fprintf(stderr, "pairs: failed: %s\n", text);
}

static double run_once(struct side *s, int run, const posix_spawn_file_actions_t *quiet)
{
	char text[TEXT_MAX], *words[WORDS_MAX + 1];
	int n = 0, status = 0;
	fill_in(text, sizeof(text), s->command, run);
	for (char *w = strtok(text, " "); w && n < WORDS_MAX; w = strtok(NULL, " "))
		words[n++] = w;
	words[n] = NULL;

	pid_t pid;
	double begin = now_ms();
	int r = posix_spawnp(&pid, words[0], quiet, NULL, words, environ);
	if (r != 0) {
		fprintf(stderr, "pairs: cannot run %s: %s\n", words[0], strerror(r));
		exit(2);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	double took = now_ms() - begin;
	if (status != 0)
		s->failed++;
	return took;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(const double *values, int n)
{
	double *sorted = malloc((size_t)n * sizeof(*sorted));
	if (!sorted)
		exit(2);
	memcpy(sorted, values, (size_t)n * sizeof(*sorted));
	qsort(sorted, (size_t)n, sizeof(*sorted), compare);
	double m = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
	free(sorted);
	return m;
}

int main(int argc, char **argv)
{
	struct side side[SIDES] = { 0 };
	int runs = 20, idle_ms = 0, o;
	while ((o = getopt(argc, argv, "n:i:b:B:a:A:")) != -1) {
		switch (o) {
		case 'n': runs = atoi(optarg); break;
		case 'i': idle_ms = atoi(optarg); break;
		case 'b': side[0].before = optarg; break;
		case 'B': side[1].before = optarg; break;
		case 'a': side[0].after = optarg; break;
		case 'A': side[1].after = optarg; break;
		default: return 2;
		}
	}
	if (argc - optind != SIDES || runs < 1) {
		fprintf(stderr, "usage: pairs [-n RUNS] [-i IDLE_MS] [-bBaA COMMAND] OLD NEW\n");
		return 2;
	}

	posix_spawn_file_actions_t quiet;
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
	if (!getenv("PAIRS_VERBOSE"))
		posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);

	double *ratio = calloc((size_t)runs, sizeof(*ratio));
	for (int k = 0; k < SIDES; k++) {
		side[k].command = argv[optind + k];
		side[k].ms = calloc((size_t)runs, sizeof(double));
		if (!side[k].ms || !ratio)
			return 2;
	}

	struct timespec idle = { .tv_sec = idle_ms / 1000, .tv_nsec = idle_ms % 1000 * 1000000L };
	for (int run = -WARM_UP; run < runs; run++) {
		for (int turn = 0; turn < SIDES; turn++) {
			struct side *s = &side[(turn + run + WARM_UP) % SIDES];
			int failed = s->failed;
			in_shell(s->before, run + WARM_UP);
			if (idle_ms)
				nanosleep(&idle, NULL);
			double took = run_once(s, run + WARM_UP, &quiet);
			in_shell(s->after, run + WARM_UP);
			if (run >= 0)
				s->ms[run] = took;
			else
				s->failed = failed;
		}
		if (run >= 0)
			ratio[run] = side[1].ms[run] / side[0].ms[run];
	}
	printf("%.2f %.2f %.3f %d %d\n", median(side[0].ms, runs), median(side[1].ms, runs), median(ratio, runs),
	       side[0].failed, side[1].failed);
	return 0;
}
