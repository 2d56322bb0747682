/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <stdlib.h>

#include "template/recipe.h"
#include "template/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What parses, prints and parses back to the same text; what is a recipe, decodes without harm. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bv_yaml *root = NULL, *again = NULL;
	struct bv_recipe *recipe = NULL;
	struct bv_error err = { 0 };
	struct bv_buf once = { 0 }, twice = { 0 };
	struct bv_recipe_values values = { .instance = "c1", .password = "secret" };

	if (bv_yaml_parse(&root, (const char *)data, size, "fuzz", &err) < 0) {
		if (root || !err.what[0])
			abort();
		return 0;
	}
	bv_yaml_print(root, &once);
	bv_error_clear(&err);
	if (bv_yaml_parse(&again, once.p, once.len, "printed", &err) < 0)
		abort();
	bv_yaml_print(again, &twice);
	if (once.len != twice.len || !bv_streq(once.p, twice.p))
		abort();

	bv_error_clear(&err);
	if (bv_recipe_decode(&recipe, root, "fuzz", &values, &err) < 0 && (recipe || !err.what[0]))
		abort();
	bv_recipe_free(recipe);
	bv_yaml_free(root);
	bv_yaml_free(again);
	bv_buf_clear(&once);
	bv_buf_clear(&twice);
	return 0;
}
