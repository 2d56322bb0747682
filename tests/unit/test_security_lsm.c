/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "security/security.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "security/lsm_internal.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/str.h"

static char warned[256];

static void remember(void *data, enum bv_log_level level, const char *module, const char *message)
{
	(void)data;
	(void)level;
	(void)module;
	snprintf(warned, sizeof(warned), "%s", message);
}

/* The label for these facts, "(null)" for none, "(error)" for a refusal; `generated` says whether a profile is made. */
static bool generated;

static const char *label(struct bv_lsm_facts facts, struct bv_config cfg)
{
	static char buf[256];
	autofree char *ret = NULL;
	struct bv_error err = { 0 };
	warned[0] = '\0';
	bv_log_set_sink(remember, NULL, BV_LOG_WARN);
	int r = bv_lsm_decide(&facts, &cfg, "c1", "/var/lib/lxc", &ret, &generated, &err);
	bv_log_set_sink(NULL, NULL, BV_LOG_FATAL);
	snprintf(buf, sizeof(buf), "%s", r < 0 ? "(error)" : ret ? ret : "(null)");
	if (r < 0 && !strstr(err.hint, "allow_incomplete"))
		printf("# hint \"%s\"\n", err.hint);
	return buf;
}

static const struct bv_lsm_facts none = { .lsm = BV_LSM_NONE };
static const struct bv_lsm_facts selinux = { .lsm = BV_LSM_SELINUX };
static const struct bv_lsm_facts full = {
	.lsm = BV_LSM_APPARMOR, .mount_rules = true, .stacking = true, .unconfined = true, .has_default = true
};
static const struct bv_lsm_facts without_default = {
	.lsm = BV_LSM_APPARMOR, .mount_rules = true, .stacking = true, .unconfined = true, .has_parser = true
};
static const struct bv_lsm_facts confined = { .lsm = BV_LSM_APPARMOR, .mount_rules = true };
static const struct bv_lsm_facts incomplete = { .lsm = BV_LSM_APPARMOR, .unconfined = true, .has_default = true };

#define PROFILE(text) ((struct bv_config){ .apparmor_profile = (char *)(text) })

TEST(without_a_module)
{
	CHECK_STR(label(none, PROFILE(NULL)), "(null)");
	CHECK_STR(warned, "");
	CHECK_STR(label(none, PROFILE("unconfined")), "(null)");
	CHECK_STR(warned, "");
	CHECK_STR(label(none, PROFILE("generated")), "(null)");
	CHECK(!generated && strstr(warned, "lxc.apparmor.profile = generated"));
	CHECK_STR(label(none, (struct bv_config){ .selinux_context = (char *)"a:b:c" }), "(null)");
	CHECK(strstr(warned, "SELinux"));
}

TEST(apparmor)
{
	CHECK_STR(label(full, PROFILE(NULL)), "lxc-container-default-cgns");
	CHECK_STR(label(without_default, PROFILE(NULL)), "lxc-c1_<-var-lib-lxc>");
	CHECK(generated);
	CHECK_STR(label(confined, PROFILE(NULL)), "(null)");
	CHECK(strstr(warned, "apparmor_parser"));
	CHECK_STR(label(full, PROFILE("mine")), "mine");
	CHECK_STR(label(full, PROFILE("unchanged")), "(null)");
	CHECK_STR(label(full, PROFILE("unconfined")), "(null)");
	CHECK_STR(label(confined, PROFILE("unconfined")), "unconfined");
	CHECK(!generated);
	CHECK_STR(label(full, PROFILE("generated")), "lxc-c1_<-var-lib-lxc>");
	CHECK(generated);

	struct bv_config nesting = PROFILE("generated");
	nesting.apparmor_allow_nesting = true;
	CHECK_STR(label(full, nesting), "lxc-c1_<-var-lib-lxc>//&:lxc-c1_<-var-lib-lxc>:");
	CHECK_STR(label(confined, nesting), "lxc-c1_<-var-lib-lxc>");
}

TEST(incomplete_apparmor_is_refused)
{
	CHECK_STR(label(incomplete, PROFILE(NULL)), "(error)");
	CHECK_STR(label(incomplete, PROFILE("generated")), "(error)");
	CHECK_STR(label(incomplete, PROFILE("unconfined")), "(null)");
	struct bv_config allowed = PROFILE("mine");
	allowed.apparmor_allow_incomplete = true;
	CHECK_STR(label(incomplete, allowed), "mine");
}

TEST(selinux_contexts)
{
	CHECK_STR(label(selinux, PROFILE(NULL)), "(null)");
	CHECK_STR(label(selinux, (struct bv_config){ .selinux_context = (char *)"system_u:system_r:c_t:s0" }),
		  "system_u:system_r:c_t:s0");
	CHECK_STR(label(selinux, (struct bv_config){ .selinux_context = (char *)"unchanged" }), "(null)");
	CHECK_STR(label(selinux, PROFILE("generated")), "(null)");
	CHECK(!generated);
}

TEST(profile_names)
{
	autofree char *plain = bv_apparmor_profile_name("c1", "/var/lib/lxc");
	CHECK_STR(plain, "lxc-c1_<-var-lib-lxc>");
	autofree char *odd = bv_apparmor_profile_name("c1", "/srv/a \"b\"\n*");
	CHECK_STR(odd, "lxc-c1_<-srv-a__b___>");

	char deep[600] = "/";
	memset(deep + 1, 'x', sizeof(deep) - 2);
	autofree char *a = bv_apparmor_profile_name("c1", deep);
	deep[sizeof(deep) - 2] = 'y';
	autofree char *b = bv_apparmor_profile_name("c1", deep);
	CHECK(a && b && strlen(a) < 100 && strcmp(a, b) != 0);
}

/* The real parser takes the text, without a kernel that would have to load it. */
static int parser_accepts(const char *text)
{
	char path[] = "/tmp/bv-profile-XXXXXX";
	int fd = mkstemp(path);
	bv_write_all(fd, text, strlen(text));
	close(fd);
	char *argv[] = { (char *)"apparmor_parser",	    (char *)"-QTK", (char *)"-M",
			 (char *)"/etc/apparmor.d/abi/3.0", path,	    NULL };
	char *env[] = { NULL };
	pid_t pid;
	int status = -1;
	if (posix_spawn(&pid, "/sbin/apparmor_parser", NULL, NULL, argv, env) == 0)
		waitpid(pid, &status, 0);
	unlink(path);
	return status;
}

TEST(profile_text)
{
	struct bv_config cfg = { 0 };
	bv_strv_add(&cfg.apparmor_raw, "deny /secret rw,");
	autofree char *plain = bv_apparmor_profile_text(&full, &cfg, "lxc-c1_<-var-lib-lxc>");
	CHECK(strstr(plain, "profile \"lxc-c1_<-var-lib-lxc>\" flags=(attach_disconnected,mediate_deleted) {\n"));
	CHECK(strstr(plain, "\tdeny /secret rw,\n}\n"));
	CHECK(strstr(plain, "deny @{PROC}/sysrq-trigger rwklx,"));
	CHECK(strstr(plain, "mount fstype=tmpfs,"));
	CHECK(!strstr(plain, "\tmount,\n"));
	CHECK(!strstr(plain, "pivot_root"));
	CHECK(!strstr(plain, "mount fstype=proc"));

	cfg.apparmor_allow_nesting = true;
	autofree char *nesting = bv_apparmor_profile_text(&full, &cfg, "lxc-c1_<-var-lib-lxc>");
	CHECK(strstr(nesting, "pivot_root,") && strstr(nesting, "mount fstype=proc,"));
	CHECK(strstr(nesting, "change_profile -> \":lxc-c1_<-var-lib-lxc>:*\","));

	struct bv_idmap map = { 'u', 0, 100000, 65536 };
	cfg.idmaps = &map;
	cfg.n_idmaps = 1;
	cfg.apparmor_allow_nesting = false;
	autofree char *mapped = bv_apparmor_profile_text(&confined, &cfg, "x");
	CHECK(strstr(mapped, "\tmount,\n"));
	bv_strv_clear(&cfg.apparmor_raw);

	if (access("/sbin/apparmor_parser", X_OK) < 0 || access("/etc/apparmor.d/abi/3.0", R_OK) < 0)
		SKIP("no apparmor_parser here, the texts were not parsed");
	CHECK(parser_accepts("profile x {\n	no such rule,\n}\n") != 0);
	CHECK_INT(parser_accepts(plain), 0);
	CHECK_INT(parser_accepts(nesting), 0);
	CHECK_INT(parser_accepts(mapped), 0);
}

TEST(labels_are_written_to_a_procfs_only)
{
	struct bv_error err = { 0 };
	char dir[] = "/tmp/bv-proc-XXXXXX";
	CHECK(mkdtemp(dir) != NULL);
	autofree char *attr = bv_asprintf("%s/self/attr", dir);
	autofree char *file = bv_asprintf("%s/exec", attr);
	CHECK_INT(bv_mkdir_p(AT_FDCWD, attr, 0755), 0);
	CHECK_INT(bv_replace_file(AT_FDCWD, file, "", 0, 0644, false), 0);
	autoclose int fake = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CHECK_INT(bv_lsm_apply("label", fake, &err), -EPERM);
	CHECK(strstr(err.what, "no procfs"));
	struct stat st;
	CHECK(stat(file, &st) == 0 && st.st_size == 0);
	CHECK_INT(bv_remove_tree(AT_FDCWD, dir), 0);

	/* On the real one it is the kernel that answers. */
	bv_error_clear(&err);
	autoclose int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (bv_lsm_host() != BV_LSM_NONE)
		SKIP("a security module is active here: a label would be set");
	CHECK(bv_lsm_apply("no_such_label", proc, &err) < 0);
	CHECK(strstr(err.what, "no_such_label"));
}

TEST_MAIN()
