/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "template/recipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "template/apt.h"
#include "template/job.h"
#include "template/subst.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

#define HEAD                                                                                                           \
	"image: {distribution: debian, release: bookworm, architecture: x86_64}\nsource: {downloader: debootstrap}\n"

static int decode(struct bv_recipe **ret, struct bv_yaml **tree, const char *text, struct bv_error *err)
{
	struct bv_recipe_values values = { .instance = "c1", .password = "pw" };
	int r = bv_yaml_parse(tree, text, strlen(text), "r.yaml", err);
	return r < 0 ? r : bv_recipe_decode(ret, *tree, "r.yaml", &values, err);
}

static void check_refused(const char *text, const char *what)
{
	autoclean(bv_yaml_freep) struct bv_yaml *tree = NULL;
	autoclean(bv_recipe_freep) struct bv_recipe *r = NULL;
	struct bv_error err = { 0 };
	CHECK(decode(&r, &tree, text, &err) < 0);
	CHECK_STR(err.what, what);
}

TEST(defaults)
{
	autoclean(bv_yaml_freep) struct bv_yaml *tree = NULL;
	autoclean(bv_recipe_freep) struct bv_recipe *r = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(decode(&r, &tree, HEAD, &err), 0);
	CHECK_STR(err.what, "");
	CHECK_STR(r->image.mapped, "amd64");
	CHECK_STR(r->image.variant, "default");
	CHECK_STR(r->source.suite, "bookworm");
	CHECK_STR(r->login.user, "root");
	CHECK_STR(r->source.components.v[0], "main");
	CHECK_INT(r->files.n, 0);
}

TEST(sections)
{
	autoclean(bv_yaml_freep) struct bv_yaml *tree = NULL;
	autoclean(bv_recipe_freep) struct bv_recipe *r = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(
		decode(&r, &tree,
	               HEAD
	               "mappings:\n  architectures: {x86_64: x64}\n"
	               "packages:\n  manager: apt\n  update: true\n  sets:\n"
	               "  - {packages: [a, b], action: install, early: true}\n"
	               "  - {packages: [c], action: remove, releases: [sid]}\n"
	               "files:\n"
	               "- {generator: dump, path: '/etc/{{ image.release }}', content: '{{ x }}', mode: 0600, uid: 5}\n"
	               "- {generator: dump, path: /b, content: '{{image.distribution}} {{ image.architecture_mapped "
	               "}}', templated: true}\n"
	               "- {generator: template, path: /c, content: 'I am {{ instance.name }}'}\n"
	               "actions:\n- {trigger: post-files, action: 'echo {{ no }}', types: [vm]}\n"
	               "environment:\n  clear_defaults: true\n  variables: [{key: A, value: '{{ image.release }}'}]\n"
	               "targets:\n  lxc:\n    create_message: '{{ login.user }} {{ login.password }}'\n"
	               "    config: [{type: system, content: 'lxc.arch = {{ image.architecture_mapped }}'}]\n",
	               &err),
		0);
	CHECK_STR(err.what, "");
	CHECK_STR(r->image.mapped, "x64");
	const struct bv_recipe_set *sets = r->packages.sets.v;
	CHECK_INT(r->packages.sets.n, 2);
	CHECK(sets[0].early && bv_recipe_applies(r, &sets[0].filter));
	CHECK(!bv_recipe_applies(r, &sets[1].filter));
	CHECK_INT(sets[1].action, BV_SET_REMOVE);
	const struct bv_recipe_file *files = r->files.v;
	CHECK_STR(files[0].path, "/etc/bookworm");
	CHECK_STR(files[0].content, "{{ x }}");
	CHECK_INT(files[0].mode, 0600);
	CHECK_INT(files[0].uid, 5);
	CHECK_STR(files[1].content, "debian x64");
	CHECK_INT(files[1].mode, (mode_t)-1);
	CHECK_STR(files[2].content, "I am c1");
	const struct bv_recipe_action *actions = r->actions.v;
	CHECK_STR(actions[0].action, "echo {{ no }}");
	CHECK(!bv_recipe_applies(r, &actions[0].filter));
	CHECK_STR(((struct bv_recipe_variable *)r->environment.variables.v)->value, "bookworm");
	CHECK_STR(r->targets.lxc.create_message, "root pw");
	CHECK_STR(((struct bv_recipe_config *)r->targets.lxc.config.v)->content, "lxc.arch = x64");
}

TEST(what_is_refused)
{
	check_refused("image: {distribution: d}\nsource: {downloader: debootstrap}\n",
	              "r.yaml:1:1: \"release\" is missing here");
	check_refused("image: {distribution: d, release: r}\n", "r.yaml:1:1: \"source\" is missing here");
	check_refused(HEAD "packges: {}\n", "r.yaml:3:1: unknown key \"packges\"; did you mean \"packages\"?");
	check_refused(HEAD "files:\n- {generator: dmp, path: /a}\n",
	              "r.yaml:4:4: \"generator\" cannot be \"dmp\"; it is one of: dump, copy, remove, hostname, hosts, "
	              "fstab, template");
	check_refused(HEAD "files:\n- {generator: dump, path: /a, mode: 999}\n",
		      "r.yaml:4:31: \"mode\" must be an octal mode like 0644");
	check_refused(HEAD "files:\n- {generator: dump, path: /a, uid: -1}\n", "r.yaml:4:31: \"uid\" must be a number");
	check_refused(HEAD "files: x\n", "r.yaml:3:1: \"files\" must be a list");
	check_refused(HEAD "files: [x]\n", "r.yaml:3:9: this item must be a map of keys");
	check_refused(HEAD "packages: {manager: apt, update: yes}\n", "r.yaml:3:26: \"update\" must be true or false");
	check_refused(HEAD "packages: {manager: [apt]}\n", "r.yaml:3:12: \"manager\" must be a single value");
	check_refused(HEAD "files: [{generator: dump, path: /a, templated: true, content: '{% if %}'}]\n",
		      "r.yaml:3:54: \"{%\": a recipe knows look-ups like {{ image.release }}, and no logic");
	check_refused(HEAD "files: [{generator: dump, path: '/{{ image.relase }}'}]\n",
		      "r.yaml:3:27: {{ image.relase }} is not a key of this recipe");
	check_refused(HEAD "files: [{generator: dump, path: '/{{ instance.name }}'}]\n",
	              "r.yaml:3:27: {{ instance.name }} belongs to one instance: use it in a file of generator "
	              "\"template\" or in targets");
	check_refused(HEAD "files: [{generator: dump, path: '/{{ x'}]\n", "r.yaml:3:27: \"{{\" is not closed");
	check_refused("image: {distribution: d, release: --help}\nsource: {downloader: debootstrap}\n",
		      "r.yaml:1:26: image.release cannot be \"--help\"");
	check_refused("image: {distribution: ../x, release: r}\nsource: {downloader: debootstrap}\n",
		      "r.yaml:1:9: image.distribution cannot be \"../x\"");
	check_refused("[a]\n", "r.yaml:1:1: this item must be a map of keys");
	check_refused(HEAD "login: {user: [a]}\n", "r.yaml:3:9: \"user\" must be a single value");
}

TEST(optional_repository)
{
	autoclean(bv_yaml_freep) struct bv_yaml *tree = NULL;
	autoclean(bv_recipe_freep) struct bv_recipe *r = NULL;
	struct bv_error err = { 0 };
	CHECK_INT(decode(&r, &tree,
			 HEAD "packages:\n  manager: apt\n  repositories:\n"
			      "  - {name: security, url: 'deb {{ source.security_url }} x main'}\n"
			      "  - {name: other, url: 'deb file:/x {{ image.release }} main'}\n", &err), 0);
	CHECK_STR(err.what, "");
	CHECK_INT(r->packages.repositories.n, 1);
	CHECK_STR(((struct bv_recipe_repository *)r->packages.repositories.v)->url, "deb file:/x bookworm main");
}

TEST(known_keys)
{
	autofree char *near = NULL, *far = NULL;
	CHECK(bv_recipe_key_known("image.release", &near));
	CHECK(bv_recipe_key_known("targets.lxc.create_message", &near));
	CHECK(!bv_recipe_key_known("image.relase", &near));
	CHECK_STR(near, "image.release");
	CHECK(!bv_recipe_key_known("files", &far));
}

TEST(expiry)
{
	int64_t s = 0;
	CHECK_INT(bv_recipe_expiry("30d", &s), 0);
	CHECK_INT(s, 30 * 86400);
	CHECK_INT(bv_recipe_expiry("1w2h3m4s", &s), 0);
	CHECK_INT(s, 604800 + 7200 + 180 + 4);
	CHECK_INT(bv_recipe_expiry("", &s), -EINVAL);
	CHECK_INT(bv_recipe_expiry("3", &s), -EINVAL);
	CHECK_INT(bv_recipe_expiry("-3d", &s), -EINVAL);
	CHECK_INT(bv_recipe_expiry("99999999999999999999d", &s), -EINVAL);
	CHECK_INT(bv_recipe_expiry("9223372036854775807w", &s), -EINVAL);
}

TEST(arguments)
{
	struct bv_recipe_args a = { 0 };
	struct bv_error err = { 0 };
	char *const args[] = { "-r", "trixie", "-aarm64", "--mirror=file:/m", "--packages", "x,y", "--packages=z", "-F",
			       "-o", "image.variant=v", NULL };
	CHECK_INT(bv_recipe_args_parse(&a, args, &err), 0);
	CHECK_STR(err.what, "");
	CHECK_INT(a.overrides.n, 3);
	CHECK_STR(a.overrides.v[0], "image.release=trixie");
	CHECK_STR(a.overrides.v[1], "image.architecture=arm64");
	CHECK_STR(a.mirror, "file:/m");
	CHECK_INT(a.packages.n, 3);
	CHECK(a.flush_cache && !a.clean);
	bv_recipe_args_clear(&a);

	char *const unknown[] = { "--relase=x", NULL };
	CHECK_INT(bv_recipe_args_parse(&a, unknown, &err), -EINVAL);
	CHECK_STR(err.what, "the template does not know \"--relase=x\"");
	bv_error_clear(&err);
	char *const missing[] = { "-r", NULL };
	CHECK_INT(bv_recipe_args_parse(&a, missing, &err), -EINVAL);
	CHECK_STR(err.what, "-r needs a value");
	bv_error_clear(&err);
	char *const extra[] = { "--flush-cache=1", NULL };
	CHECK_INT(bv_recipe_args_parse(&a, extra, &err), -EINVAL);
	bv_recipe_args_clear(&a);
}

static char apt_dir[] = "/tmp/bivalve-apt-XXXXXX";

static void write_apt(const char *name, const char *text)
{
	autofree char *path = bv_asprintf("%s/%s", apt_dir, name);
	CHECK_INT(bv_replace_file(AT_FDCWD, path, text, strlen(text), 0644, false), 0);
}

TEST(mirrors_of_the_host)
{
	struct bv_apt_mirror m = { 0 };
	struct bv_error err = { 0 };
	CHECK(mkdtemp(apt_dir) != NULL);
	autofree char *parts = bv_asprintf("%s/sources.list.d", apt_dir);
	mkdir(parts, 0755);
	setenv("BIVALVE_APT", apt_dir, 1);
	write_apt("sources.list",
		  "# deb http://no/debian x main\n"
		  "deb-src http://src/debian bookworm main\n"
		  "deb [arch=amd64 signed-by=/k/ubuntu.gpg] http://u/pub/ubuntu/ noble main # y\n"
		  "deb http://u/pub/ubuntu/ noble-security main\n");
	write_apt("sources.list.d/a.list", "deb http://other/tools stable main\n");
	write_apt("sources.list.d/b.sources",
	          "# comment\nTypes: deb deb-src\nURIs: http://d/debian\n  http://e/debian\nSuites: bookworm\n "
	          "bookworm-updates\n"
	          "Signed-By: /k/debian.gpg\n\n"
	          "Types: deb\nURIs: http://s/debian-security\nSuites: bookworm-security\n\n"
	          "Enabled: no\nTypes: deb\nURIs: http://x/fedora\nSuites: f\n");
	CHECK_INT(bv_apt_find_mirror("debian", "trixie", &m, &err), 0);
	CHECK_STR(m.url, "http://d/debian");
	CHECK_STR(m.security_url, "http://s/debian-security");
	CHECK_STR(m.keyring, "/k/debian.gpg");
	bv_apt_mirror_clear(&m);
	CHECK_INT(bv_apt_find_mirror("ubuntu", "noble", &m, &err), 0);
	CHECK_STR(m.url, "http://u/pub/ubuntu/");
	CHECK_STR(m.security_url, "http://u/pub/ubuntu/");
	CHECK_STR(m.keyring, "/k/ubuntu.gpg");
	bv_apt_mirror_clear(&m);
	CHECK_INT(bv_apt_find_mirror("fedora", "f", &m, &err), 0);
	CHECK(!m.url && !m.security_url && !m.keyring);
	bv_apt_mirror_clear(&m);
	unsetenv("BIVALVE_APT");
	CHECK_INT(bv_remove_tree(AT_FDCWD, apt_dir), 0);
}

/* A tree that is deeper than there may be open files. */
TEST(remove_deep_tree)
{
	char top[] = "/tmp/bivalve-deep-XXXXXX";
	CHECK(mkdtemp(top) != NULL);
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000 && fd >= 0; i++) {
		mkdirat(fd, "d", 0755);
		close(openat(fd, "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
		int below = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = below;
	}
	close(fd);
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
	CHECK(access(top, F_OK) < 0);
}

TEST_MAIN()
