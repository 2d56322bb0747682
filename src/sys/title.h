/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Show `title` as this process's command line in ps. The room is that of the arguments and the environment the process
 * was started with, so these are gone afterwards: of the environment only variables that begin with `keep` are copied
 * to the heap first, for getenv(). A title that does not fit is cut. Failure is of no consequence and not reported.
 */
void bv_set_process_title(const char *title, const char *keep);
