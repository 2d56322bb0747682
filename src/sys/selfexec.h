/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Execute this program again from a file that nobody can write through: a process of ours that is inside an instance
 * shows its program as /proc/PID/exe there, and root inside could open that for writing once it runs no more
 * (CVE-2019-5736). The program is executed from a private read-only mount of itself (mount_setattr, Linux 5.12), or
 * from a sealed memfd where that cannot be had. Returns 0 at once when that was done already, or when we are not root
 * (then the file's owner protects it); does not return when it executes; -errno when neither way works.
 */
int bv_selfexec_protected(char *const *argv);
