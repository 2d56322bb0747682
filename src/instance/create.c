/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <bivalve.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/system.h"
#include "instance/hidden.h"
#include "instance/internal.h"
#include "instance/newconfig.h"
#include "rootfs/storage.h"
#include "sys/mountfd.h"
#include "template/template.h"
#include "util/cleanup.h"
#include "util/file.h"
#include "util/log.h"
#include "util/stepper.h"
#include "util/str.h"

/*
 * A creation builds in LXCPATH/.NAME.new and publishes by one rename to LXCPATH/NAME, so nothing that looks like an
 * instance is there before it is complete (hidden.h). A script template, whose protocol names LXCPATH/NAME, sees the
 * hidden directory there by a bind mount in a mount namespace of its own. Where there is no right to make one, it gets
 * the hidden path, which is replaced in what it wrote. The config on disk names LXCPATH/NAME from the beginning.
 */
struct creation {
	struct bv_instance *inst;
	const struct bv_create_options *options;
	struct bv_template template;
	struct bv_progress progress;
	int lxcpath;            /* fd */
	struct bv_hidden hidden;
	char *final, *building; /* LXCPATH/NAME and LXCPATH/.NAME.new, absolute */
	struct bv_config *config;
	bool dir_was_there;     /* --dir: not ours to remove */
	bool place_made;        /* the empty LXCPATH/NAME of a script */
};

static void creation_clear(struct creation *c)
{
	bv_template_clear(&c->template);
	bv_config_free(c->config);
	free(c->final);
	free(c->building);
	close_fd(&c->lxcpath);
	close_fd(&c->hidden.dir);
}

static int no_memory(struct bv_error *err)
{
	return bv_fail(err, ENOMEM, "out of memory");
}

/* ---- the place ---- */

static int already_there(const struct creation *c, struct bv_error *err)
{
	bv_fail(err, EEXIST, "%s exists already", c->inst->name);
	return bv_hint(err, "lxc-destroy -n %s removes it", c->inst->name);
}

static int step_claim(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	int r = bv_hidden_claim(&c->hidden, c->lxcpath, c->inst->name, err);
	if (r < 0)
		return r;
	/* Only now: whoever created it meanwhile had the lock before us. */
	r = bv_create_check_partial(c->inst, err);
	if (r == 0 && bv_instance_is_defined(c->inst))
		r = already_there(c, err);
	else if (r > 0)
		r = bv_fail(err, EBUSY, "%s is being created by somebody else", c->inst->name);
	if (r == 0) {
		int parent = (int)(strrchr(c->final, '/') - c->final);
		c->building = bv_asprintf("%.*s/%s", parent, c->final, c->hidden.name);
		r = c->building ? 0 : no_memory(err);
	}
	if (r < 0)
		bv_hidden_drop(&c->hidden);
	return r;
}

static void undo_claim(void *ctx)
{
	struct creation *c = ctx;
	bv_hidden_drop(&c->hidden);
	if (c->place_made)
		unlinkat(c->lxcpath, c->inst->name, AT_REMOVEDIR);
}

/* ---- the configuration ---- */

static int load_base(struct creation *c, struct bv_error *err)
{
	if (c->inst->config && !c->options->config_file) {
		c->config = take_ptr(c->inst->config);
		return 0;
	}
	c->config = bv_config_new();
	if (!c->config)
		return no_memory(err);
	if (c->options->config_file)
		return bv_config_load(c->config, AT_FDCWD, c->options->config_file, err);

	struct bv_system_config sys = { 0 };
	int r = bv_system_config_load(&sys, err);
	/* A host without a default.conf has no defaults. */
	if (r == 0 && sys.default_config && access(sys.default_config, F_OK) == 0)
		r = bv_config_load(c->config, AT_FDCWD, sys.default_config, err);
	bv_system_config_clear(&sys);
	return r;
}

static int step_config(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	int r = load_base(c, err);
	/* A script writes lxc.uts.name itself. */
	if (r == 0 && c->template.kind != BV_TEMPLATE_SCRIPT)
		r = bv_config_set(c->config, "lxc.uts.name", c->inst->name, err);
	return r;
}

static int write_config(const struct creation *c, struct bv_error *err)
{
	autofree char *text = bv_config_save_text(c->config);
	autofree char *final = text ? bv_text_replaced(text, c->building, c->final) : NULL;
	if (!final)
		return no_memory(err);
	int r = bv_replace_file(c->hidden.dir, "config", final, strlen(final), 0640, false);
	return r < 0 ? bv_fail(err, r, "cannot write %s/config: %s", c->building, strerror(-r)) : 0;
}

/* ---- the storage ---- */

/*
 * A script runs with the maps and makes files of the mapped ids. Recipes and builtins make files of the ids inside;
 * the kernel maps these when the rootfs is mounted (Linux 5.12).
 */
static int map_rootfs(const struct creation *c, const char *type, struct bv_error *err)
{
	if (c->config->n_idmaps == 0 || c->template.kind == BV_TEMPLATE_SCRIPT)
		return 0;
	if (bv_streq(type, "overlay")) {
		bv_fail(err, ENOTSUP, "lxc.idmap is set, and the kernel maps no ids of an overlay");
		return bv_hint(err, "leave -B overlay out, and copy the instance with lxc-copy -s");
	}
	return bv_config_set(c->config, "lxc.rootfs.options", "idmap=container", err);
}

static int step_storage(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	const struct bv_create_options *o = c->options;
	if (c->template.kind == BV_TEMPLATE_NONE)
		return write_config(c, err);

	const char *known = NULL;
	const char *type = o->bdev ? o->bdev : "dir";
	const struct bv_storage_ops *ops = bv_storage_find(bv_streq(type, "best") ? "dir" : type, &known);
	if (!ops) {
		bv_fail(err, EINVAL, "there is no storage type \"%s\"", type);
		return bv_hint(err, "types: %s", known ? known : "dir");
	}
	int r = map_rootfs(c, ops->name, err);
	if (r < 0)
		return r;
	c->dir_was_there = o->dir && access(o->dir, F_OK) == 0;
	struct bv_storage_spec spec = { .type = ops->name, .directory = o->dir, .fstype = o->fstype,
					.size = o->fssize ? o->fssize : UINT64_C(1) << 30 };
	autofree char *path = NULL;
	r = ops->create(c->building, &spec, &path, err);
	if (r == 0)
		r = bv_config_set(c->config, "lxc.rootfs.path", path, err);
	return r < 0 ? r : write_config(c, err);
}

static void undo_storage(void *ctx)
{
	struct creation *c = ctx;
	autoclean(bv_storage_clear) struct bv_storage s = { 0 };
	if (c->template.kind == BV_TEMPLATE_NONE || c->dir_was_there || bv_storage_open(&s, c->config, NULL) < 0)
		return;
	struct bv_error err = { 0 };
	if (s.ops->destroy(&s, &err) < 0)
		bv_warn("create", "%s", err.what);
}

/* ---- the template ---- */

/* What the builder process tells: lines of progress, then one end. */
struct message {
	enum { MESSAGE_PROGRESS, MESSAGE_END } kind;
	double fraction;
	char text[512];
	struct bv_error err;
};

static void send_progress(void *data, double fraction, const char *text)
{
	struct message m = { .kind = MESSAGE_PROGRESS, .fraction = fraction };
	snprintf(m.text, sizeof(m.text), "%s", text);
	bv_write_all(*(int *)data, &m, sizeof(m));
}

static struct bv_build build_of(const struct creation *c)
{
	return (struct bv_build){
		.name = c->inst->name,
		.path = c->building,
		.dir = c->hidden.dir,
		.rootfs = -1,
		.config = c->config,
		.args = c->options->template_args,
		.quiet = c->options->quiet,
		.progress = c->progress,
	};
}

/* A directory and a template in C: nothing to mount, nobody to fork. */
static int build_here(struct creation *c, const struct bv_storage *s, struct bv_error *err)
{
	autofree char *path = s->ops->host_path(s);
	if (!path)
		return no_memory(err);
	autoclose int rootfs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfs < 0)
		return bv_fail_errno(err, "cannot open the rootfs %s", path);
	struct bv_build b = build_of(c);
	b.rootfs = rootfs;
	b.rootfs_path = path;
	return bv_template_run(&c->template, &b, err);
}

/* In the builder: the hidden directory appears as LXCPATH/NAME. */
static int show_as_final(const struct creation *c, struct bv_error *err)
{
	if (mount(c->building, c->final, NULL, MS_BIND, NULL) < 0)
		return bv_fail_errno(err, "cannot show %s as %s to the template", c->building, c->final);
	return 0;
}

/* In the builder: the path of the rootfs, mounted if it is more than a directory. */
static int rootfs_path(const struct creation *c, const struct bv_storage *s, bool shown, char **ret,
		       struct bv_error *err)
{
	if (bv_streq(s->ops->name, "dir")) {
		autofree char *path = s->ops->host_path(s);
		*ret = path ? bv_text_replaced(path, shown ? c->building : c->final, c->final) : NULL;
		return *ret ? 0 : no_memory(err);
	}
	*ret = strdup(c->config->rootfs_mount ? c->config->rootfs_mount : BV_ROOTFSMOUNT);
	if (!*ret)
		return no_memory(err);
	int r = bv_mkdir_p(AT_FDCWD, *ret, 0755);
	if (r < 0)
		return bv_fail(err, r, "cannot make %s: %s", *ret, strerror(-r));
	autoclose int mnt = s->ops->mount(s, err);
	if (mnt < 0)
		return mnt;
	r = bv_mount_attach(mnt, AT_FDCWD, *ret);
	return r < 0 ? bv_fail(err, r, "cannot mount the rootfs at %s: %s", *ret, strerror(-r)) : 0;
}

static int build_apart(struct creation *c, const struct bv_storage *s, int pipe_fd, struct bv_error *err)
{
	bool script = c->template.kind == BV_TEMPLATE_SCRIPT, own_mounts = unshare(CLONE_NEWNS) == 0;
	if (!own_mounts && (errno != EPERM || !script)) {
		bv_fail_errno(err, "cannot make a mount namespace to build in");
		return bv_hint(err, "building from a recipe, or on -B other than dir, needs root");
	}
	if (own_mounts && mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return bv_fail_errno(err, "cannot make the mounts private");
	int r = script && own_mounts ? show_as_final(c, err) : 0;
	autofree char *path = NULL;
	if (r == 0)
		r = rootfs_path(c, s, script && own_mounts, &path, err);
	if (r < 0)
		return r;
	autoclose int rootfs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rootfs < 0)
		return bv_fail_errno(err, "cannot open the rootfs %s", path);
	struct bv_build b = build_of(c);
	b.path = script && own_mounts ? c->final : c->building;
	b.rootfs = rootfs;
	b.rootfs_path = path;
	b.progress = (struct bv_progress){ c->progress.fn ? send_progress : NULL, &pipe_fd };
	return bv_template_run(&c->template, &b, err);
}

__attribute__((noreturn))
static void builder(struct creation *c, const struct bv_storage *s, int pipe_fd, pid_t parent)
{
	struct message end = { .kind = MESSAGE_END };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_DFL);
	if (getppid() == parent)
		build_apart(c, s, pipe_fd, &end.err);
	bv_write_all(pipe_fd, &end, sizeof(end));
	_exit(end.err.code != 0);
}

/* Relay progress until the builder is done; its error is ours. */
static int follow(struct creation *c, int fd, struct bv_error *err)
{
	struct message m;
	for (;;) {
		size_t got = 0;
		while (got < sizeof(m)) {
			ssize_t n = read(fd, (char *)&m + got, sizeof(m) - got);
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return bv_fail(err, EIO, "the process that builds %s was killed", c->inst->name);
			got += (size_t)n;
		}
		if (m.kind == MESSAGE_END)
			break;
		c->progress.fn(c->progress.data, m.fraction, m.text);
	}
	if (m.err.code && err && !err->code)
		*err = m.err;
	return -m.err.code;
}

static int build_in_child(struct creation *c, const struct bv_storage *s, struct bv_error *err)
{
	int pair[2];
	if (c->template.kind == BV_TEMPLATE_SCRIPT && mkdirat(c->lxcpath, c->inst->name, 0770) == 0)
		c->place_made = true;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return bv_fail_errno(err, "cannot make a pipe");
	autoclose int in = pair[0], out = pair[1];
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return bv_fail_errno(err, "cannot fork");
	if (pid == 0)
		builder(c, s, out, parent);
	close_fd(&out);
	int r = follow(c, in, err);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int step_template(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	if (c->template.kind == BV_TEMPLATE_NONE)
		return 0;
	autoclean(bv_storage_clear) struct bv_storage s = { 0 };
	int r = bv_storage_open(&s, c->config, err);
	if (r < 0)
		return r;
	bool here = c->template.kind == BV_TEMPLATE_BUILTIN && bv_streq(s.ops->name, "dir");
	return here ? build_here(c, &s, err) : build_in_child(c, &s, err);
}

/* ---- the finished configuration ---- */

static int check_result(const struct creation *c, struct bv_buf *text, struct bv_error *err)
{
	autoclean(bv_config_freep) struct bv_config *cfg = bv_config_new();
	autofree char *name = bv_asprintf("%s/config", c->final);
	if (!cfg || !name)
		return no_memory(err);
	int r = bv_config_parse(cfg, text->p, text->len, name, err);
	if (r < 0)
		return bv_error_prefix(err, "what the template %s wrote cannot be used",
				       bv_template_origin(&c->template));
	if (!cfg->uts_name)
		bv_buf_printf(text, "lxc.uts.name = %s\n", c->inst->name);
	return 0;
}

static int fix_fstab(const struct creation *c, struct bv_error *err)
{
	autofree char *text = NULL;
	if (bv_read_file(c->hidden.dir, "fstab", 1 << 20, &text, NULL) < 0 || !strstr(text, c->building))
		return 0;
	autofree char *final = bv_text_replaced(text, c->building, c->final);
	int r = final ? bv_replace_file(c->hidden.dir, "fstab", final, strlen(final), 0644, false) : -ENOMEM;
	return r < 0 ? bv_fail(err, r, "cannot write %s/fstab: %s", c->building, strerror(-r)) : 0;
}

static int step_finish(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	autofree char *text = NULL;
	int r = bv_read_file(c->hidden.dir, "config", 8 << 20, &text, NULL);
	if (r < 0)
		return bv_fail(err, r, "cannot read %s/config: %s", c->building, strerror(-r));
	autofree char *final = bv_text_replaced(text, c->building, c->final);
	if (!final)
		return no_memory(err);
	bv_newconfig_expand_macs(final);

	autoclean(bv_buf_clear) struct bv_buf out = { 0 };
	if (c->template.kind != BV_TEMPLATE_NONE)
		bv_newconfig_header(&out, bv_template_origin(&c->template), c->options->template_args);
	bv_buf_puts(&out, final);
	if (out.bad)
		return no_memory(err);
	if (c->template.kind == BV_TEMPLATE_SCRIPT || c->template.kind == BV_TEMPLATE_RECIPE)
		r = check_result(c, &out, err);
	if (r == 0 && c->template.kind == BV_TEMPLATE_SCRIPT)
		r = fix_fstab(c, err);
	if (r < 0)
		return r;
	if (out.bad)
		return no_memory(err);
	r = bv_replace_file(c->hidden.dir, "config", out.p, out.len, 0640, false);
	return r < 0 ? bv_fail(err, r, "cannot write %s/config: %s", c->building, strerror(-r)) : 0;
}

/* ---- the rename ---- */

/* LXCPATH/NAME is there without being an instance (a log was opened in it, say): what is in it comes along. */
static int publish_over(struct creation *c, struct bv_error *err)
{
	if (bv_instance_is_defined(c->inst))
		return already_there(c, err);
	if (renameat2(c->lxcpath, c->hidden.name, c->lxcpath, c->inst->name, RENAME_EXCHANGE) < 0)
		return bv_fail_errno(err, "cannot publish %s", c->final);
	static const char suffix[] = ".log";
	autofree char *log = bv_asprintf("%s%s", c->inst->name, suffix);
	autoclose int old = openat(c->lxcpath, c->hidden.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (log && old >= 0 && renameat2(old, log, c->hidden.dir, log, RENAME_NOREPLACE) < 0)
		bv_debug("create", "no %s is taken along: %s", log, strerror(errno));
	int r = bv_remove_tree(c->lxcpath, c->hidden.name);
	if (r < 0)
		bv_warn("create", "cannot remove %s: %s", c->hidden.name, strerror(-r));
	return 0;
}

static int step_publish(void *ctx, struct bv_error *err)
{
	struct creation *c = ctx;
	/* A build that took minutes is worth the wait for the disk. */
	bool slow = c->template.kind == BV_TEMPLATE_SCRIPT || c->template.kind == BV_TEMPLATE_RECIPE;
	if (slow && syncfs(c->hidden.dir) < 0)
		return bv_fail_errno(err, "cannot write %s to the disk", c->building);
	if (renameat(c->lxcpath, c->hidden.name, c->lxcpath, c->inst->name) < 0) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return bv_fail_errno(err, "cannot publish %s", c->final);
		int r = publish_over(c, err);
		if (r < 0)
			return r;
	}
	if (slow)
		fsync(c->lxcpath);
	close_fd(&c->hidden.dir);
	return 0;
}

static void undo_publish(void *ctx)
{
	struct creation *c = ctx;
	bv_hidden_retire(c->lxcpath, c->inst->name, NULL);
}

static const struct bv_step steps[] = {
	{ "create-claim", step_claim, undo_claim },
	{ "create-config", step_config, NULL },
	{ "create-storage", step_storage, undo_storage },
	{ "create-template", step_template, NULL },
	{ "create-finish", step_finish, NULL },
	{ "create-publish", step_publish, undo_publish },
};

static int open_lxcpath(struct creation *c, struct bv_error *err)
{
	const char *path = c->inst->lxcpath;
	int r = bv_mkdir_p(AT_FDCWD, path, 0755);
	if (r < 0)
		return bv_fail(err, r, "cannot make the directory %s: %s", path, strerror(-r));
	c->lxcpath = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->lxcpath < 0)
		return bv_fail_errno(err, "cannot open %s", path);
	autofree char *absolute = *path == '/' ? strdup(path) : realpath(path, NULL);
	c->final = absolute ? bv_asprintf("%s/%s", bv_streq(absolute, "/") ? "" : absolute, c->inst->name) : NULL;
	return c->final ? 0 : no_memory(err);
}

int bv_instance_create(struct bv_instance *inst, const struct bv_create_options *options, struct bv_error *err)
{
	autoclean(creation_clear) struct creation c = {
		.inst = inst,
		.options = options,
		.progress = { options->quiet ? NULL : options->progress, options->data },
		.lxcpath = -1,
		.hidden = { .dir = -1 },
	};
	int r = bv_template_find(&c.template, options->template, err);
	if (r == 0 && options->dir && *options->dir != '/')
		r = bv_fail(err, EINVAL, "the directory of a rootfs must be an absolute path, not \"%s\"",
			    options->dir);
	if (r == 0 && bv_instance_is_defined(inst))
		r = already_there(&c, err);
	if (r == 0)
		r = bv_template_prepare(&c.template, inst->name, options->template_args, &c.progress, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = open_lxcpath(&c, err);
	if (r < 0)
		return r;
	bv_hidden_sweep(c.lxcpath, NULL);
	r = bv_steps_run("create", steps, ARRAY_SIZE(steps), &c, err);
	if (r < 0)
		return r;
	bv_config_free(inst->config);
	free(inst->config_file);
	inst->config = NULL;
	inst->config_file = NULL;
	return 0;
}

int bv_template_help(const char *template, struct bv_error *err)
{
	return bv_template_print_help(template, err);
}

int bv_template_list(char ***ret, size_t *n, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv names = { 0 };
	int r = bv_template_names(&names, err);
	if (r < 0)
		return r;
	*n = names.n;
	*ret = take_ptr(names.v);
	names.n = 0;
	return 0;
}

/* LXC's own sign of a creation that goes on, for instances that it makes in the same lxcpath. */
int bv_create_check_partial(const struct bv_instance *inst, struct bv_error *err)
{
	autofree char *path = bv_instance_path(inst, "partial");
	if (!path)
		return no_memory(err);
	autoclose int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : bv_fail_errno(err, "cannot open %s", path);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EAGAIN || errno == EACCES ? 1 : bv_fail_errno(err, "cannot lock %s", path);
	autoclose int lxcpath = open(inst->lxcpath, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lxcpath < 0)
		return bv_fail_errno(err, "cannot open %s", inst->lxcpath);
	bv_notice("create", "the creation of %s died: removing what it left", inst->name);
	return bv_hidden_retire(lxcpath, inst->name, err);
}
