/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Close every fd beyond stderr but the log's own: what a caller let us inherit would live as long as the monitor. */
void bv_log_close_others(void);
