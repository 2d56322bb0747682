/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/stepper.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "util/log.h"
#include "util/str.h"

static long now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

int bv_steps_run(const char *module, const struct bv_step *steps, size_t n, void *ctx, struct bv_error *err)
{
	const char *fault = getenv("BIVALVE_FAIL_STEP");

	for (size_t i = 0; i < n; i++) {
		long begin = bv_log_enabled(BV_LOG_TRACE) ? now_us() : 0;
		int r = steps[i].run(ctx, err);
		if (begin)
			bv_trace(module, "step %s: %s, %ld us", steps[i].name, r < 0 ? "failed" : "done",
				 now_us() - begin);

		bool injected = r >= 0 && fault && bv_streq(fault, steps[i].name);
		if (r >= 0 && !injected)
			continue;
		if (injected)
			r = bv_fail(err, ECANCELED, "step %s was made to fail by BIVALVE_FAIL_STEP", steps[i].name);

		for (size_t done = injected ? i + 1 : i; done-- > 0;)
			if (steps[done].undo)
				steps[done].undo(ctx);
		return r;
	}
	return 0;
}
