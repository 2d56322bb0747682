/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that does nothing: the init of instances whose start is measured. Linked statically. */
int main(void)
{
	return 0;
}
