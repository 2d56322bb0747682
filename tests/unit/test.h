/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A unit test program: TEST(name) { CHECK(...); } as often as wanted, then TEST_MAIN(). Prints TAP; a failed CHECK
 * says where and goes on. tests/run counts the "ok" and "not ok" lines of all programs.
 */
struct test_case {
	const char *name;
	void (*fn)(void);
	struct test_case *next;
};

static struct test_case *test_first, **test_last = &test_first;
static int test_failures; /* of the case that runs now */
static const char *test_skip_reason;

#define TEST(id)                                                                     \
	static void test_##id(void);                                                 \
	__attribute__((constructor)) static void test_register_##id(void)            \
	{                                                                            \
		static struct test_case c = { .name = #id, .fn = test_##id };        \
		*test_last = &c;                                                     \
		test_last = &c.next;                                                 \
	}                                                                            \
	static void test_##id(void)

#define CHECK(cond)                                                                  \
	do {                                                                         \
		if (!(cond)) {                                                       \
			printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);          \
			test_failures++;                                             \
		}                                                                    \
	} while (0)

#define CHECK_STR(a, b)                                                              \
	do {                                                                         \
		const char *a_ = (a), *b_ = (b);                                     \
		if (!a_ || !b_ || strcmp(a_, b_) != 0) {                             \
			printf("# %s:%d: got \"%s\", want \"%s\"\n", __FILE__, __LINE__, a_ ? a_ : "(null)", \
			       b_ ? b_ : "(null)");                                  \
			test_failures++;                                             \
		}                                                                    \
	} while (0)

#define CHECK_INT(a, b)                                                              \
	do {                                                                         \
		long long a_ = (long long)(a), b_ = (long long)(b);                  \
		if (a_ != b_) {                                                      \
			printf("# %s:%d: %s is %lld, want %lld\n", __FILE__, __LINE__, #a, a_, b_); \
			test_failures++;                                             \
		}                                                                    \
	} while (0)

/* Leave the case: it is counted as skipped, with the reason. */
#define SKIP(reason)                       \
	do {                               \
		test_skip_reason = reason; \
		return;                    \
	} while (0)

#define TEST_MAIN()                                                                  \
	int main(void)                                                               \
	{                                                                            \
		int n = 0, failed = 0;                                               \
		for (struct test_case *c = test_first; c; c = c->next) {             \
			test_failures = 0;                                           \
			test_skip_reason = NULL;                                     \
			c->fn();                                                     \
			n++;                                                         \
			failed += test_failures > 0;                                 \
			printf("%s %d - %s", test_failures ? "not ok" : "ok", n, c->name); \
			if (test_skip_reason)                                        \
				printf(" # SKIP %s", test_skip_reason);              \
			putchar('\n');                                               \
			fflush(stdout);                                              \
		}                                                                    \
		printf("1..%d\n", n);                                                \
		return failed > 0;                                                   \
	}
