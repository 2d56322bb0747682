/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/yaml.h"

#include <errno.h>

#include "test.h"
#include "util/cleanup.h"

static int parse(struct bv_yaml **ret, const char *text, struct bv_error *err)
{
	return bv_yaml_parse(ret, text, strlen(text), "t.yaml", err);
}

/* The message of a text that must be refused. */
static void check_refused(const char *text, const char *what)
{
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	CHECK(parse(&root, text, &err) < 0);
	CHECK(root == NULL);
	CHECK_STR(err.what, what);
}

TEST(tree)
{
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(parse(&root, "a: 1\nb:\n  - x\n  - {c: ~, d: \"~\"}\ne: |\n  two\n  lines\n", &err), 0);
	CHECK_STR(err.what, "");
	CHECK_STR(bv_yaml_get(root, "a")->text, "1");
	const struct bv_yaml *b = bv_yaml_get(root, "b");
	CHECK_INT(b->kind, BV_YAML_LIST);
	CHECK_STR(b->child->text, "x");
	CHECK_STR(bv_yaml_get(b->child->next, "c")->text, "");
	CHECK_STR(bv_yaml_get(b->child->next, "d")->text, "~");
	CHECK_STR(bv_yaml_get(root, "e")->text, "two\nlines\n");
	CHECK_INT(bv_yaml_get(root, "e")->line, 5);
	CHECK_INT(bv_yaml_get(b->child->next, "d")->column, 12);
	CHECK(!bv_yaml_get(root, "z"));
}

TEST(what_is_refused)
{
	check_refused("", "t.yaml:1:1: the file is empty");
	check_refused("a: 1\na: 2\n", "t.yaml:2:1: \"a\" is there already, in line 1");
	check_refused("a: &x 1\nb: *x\n", "t.yaml:1:4: anchors are not allowed in a recipe");
	check_refused("a: *x\n", "t.yaml:1:4: aliases are not allowed in a recipe");
	check_refused("a: !!python/object 1\n", "t.yaml:1:4: tags are not allowed in a recipe");
	check_refused("!!map {a: 1}\n", "t.yaml:1:1: tags are not allowed in a recipe");
	check_refused("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document is not allowed");
	check_refused("%YAML 1.1\n---\na: 1\n", "t.yaml:1:1: directives are not allowed in a recipe");
	check_refused("? [a]\n: 1\n", "t.yaml:1:3: a key must be a plain word");
	check_refused("\xef\xbb\xbf" "a: 1\n", "t.yaml:1:1: a byte order mark does not belong here");
	check_refused("a: 1\nb: \xff\n", "t.yaml:2:4: not UTF-8");
	check_refused("a: \xc0\xaf\n", "t.yaml:1:4: not UTF-8");
	check_refused("a: \xed\xa0\x80\n", "t.yaml:1:4: not UTF-8");
	check_refused("a: \x1b[31m\n", "t.yaml:1:4: a control character");
	check_refused("\"\": 1\n", "t.yaml:1:1: an empty key");
	check_refused("a: \"\\0\"\n", "t.yaml:1:4: a NUL character");
	check_refused("<<: {a: 1}\n<<: {b: 1}\n", "t.yaml:2:1: \"<<\" is there already, in line 1");
}

TEST(nul_byte)
{
	struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	CHECK(bv_yaml_parse(&root, "a: b\0c\n", 7, "t.yaml", &err) < 0);
	CHECK_STR(err.what, "t.yaml:1:5: a control character");
}

TEST(tab_says_where)
{
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	CHECK(parse(&root, "a:\n\tb: 1\n", &err) < 0);
	CHECK(strncmp(err.what, "t.yaml:2:1: ", 12) == 0);
}

TEST(depth)
{
	char text[64];
	memset(text, '[', 16);
	memset(text + 16, ']', 16);
	text[32] = '\0';
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL, *deep = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(parse(&root, text, &err), 0);
	memset(text, '[', 17);
	memset(text + 17, ']', 17);
	text[34] = '\0';
	CHECK(parse(&deep, text, &err) < 0);
	CHECK_STR(err.what, "t.yaml:1:17: nested more than 16 levels deep");
}

TEST(size_and_number)
{
	struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	autofree char *big = calloc(1, BV_YAML_SIZE_MAX + 2);
	memset(big, '\n', BV_YAML_SIZE_MAX + 1);
	CHECK_INT(bv_yaml_parse(&root, big, BV_YAML_SIZE_MAX + 1, "t.yaml", &err), -EFBIG);
	bv_error_clear(&err);
	for (size_t i = 0; i < 20001; i++)
		memcpy(big + 4 * i, "- a\n", 4);
	CHECK(bv_yaml_parse(&root, big, 4 * 20001, "t.yaml", &err) < 0);
	CHECK_STR(err.what, "t.yaml:20000:3: more than 20000 values");
}

static void check_same(const struct bv_yaml *a, const struct bv_yaml *b)
{
	for (; a && b; a = a->next, b = b->next) {
		CHECK_INT(a->kind, b->kind);
		CHECK_STR(a->key ? a->key : "-", b->key ? b->key : "-");
		CHECK_STR(a->text ? a->text : "-", b->text ? b->text : "-");
		check_same(a->child, b->child);
	}
	CHECK(!a && !b);
}

TEST(print_parses_back)
{
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL, *again = NULL;
	autoclean(bv_buf_clear) struct bv_buf out = { 0 };
	struct bv_error err = { 0 };
	CHECK_INT(parse(&root, "a: {b: [1, [2, {c: d}], {}, []]}\n\"k: #\": \"x\\ty\\\"z\\\\ \\n# no\"\n"
			       "n: \"null\"\nm: 'a: b'\n\"- x\": \"-\"\nu: \"\xc3\xa9\"\n", &err), 0);
	CHECK_STR(err.what, "");
	bv_yaml_print(root, &out);
	CHECK_INT(parse(&again, out.p, &err), 0);
	CHECK_STR(err.what, "");
	check_same(root, again);
}

TEST(set)
{
	autoclean(bv_yaml_freep) struct bv_yaml *root = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(parse(&root, "image: {release: a}\nlist: [1]\n", &err), 0);
	CHECK_INT(bv_yaml_set(root, "image.release", "b", &err), 0);
	CHECK_INT(bv_yaml_set(root, "source.url", "c", &err), 0);
	CHECK_STR(bv_yaml_get(bv_yaml_get(root, "image"), "release")->text, "b");
	CHECK_STR(bv_yaml_get(bv_yaml_get(root, "source"), "url")->text, "c");
	CHECK(bv_yaml_set(root, "list", "d", &err) < 0);
	bv_error_clear(&err);
	CHECK(bv_yaml_set(root, "image.release.x", "d", &err) < 0);
	bv_error_clear(&err);
	CHECK(bv_yaml_set(root, "image.", "d", &err) < 0);
}

TEST_MAIN()
