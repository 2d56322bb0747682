/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/vm/kernel/kernel.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vm/kernel/image.h"
#include "sys/kernel.h"
#include "test.h"
#include "util/cleanup.h"
#include "util/file.h"

static char top[256];
static int root = -1; /* of a made rootfs */

static void put(const char *path, const void *data, size_t len)
{
	autofree char *dir = strdup(path);
	char *slash = strrchr(dir, '/');
	if (slash) {
		*slash = '\0';
		CHECK_INT(bv_mkdir_p(root, dir, 0755), 0);
	}
	CHECK_INT(bv_replace_file(root, path, data, len, 0644, false), 0);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static void put_bzimage(const char *path, const char *version, bool is_64)
{
	unsigned char image[0x1000] = { 0 };
	image[0x1fe] = 0x55;
	image[0x1ff] = 0xaa;
	memcpy(image + 0x202, "HdrS\x0f\x02", 6);
	image[0x236] = is_64;
	image[0x20e] = 0x00;
	image[0x20f] = 0x08;
	snprintf((char *)image + 0xa00, 200, "%s (somebody@somewhere) #1 SMP", version);
	put(path, image, sizeof(image));
}

static void put_arm64(const char *path, const char *version)
{
	unsigned char image[0x2000] = "MZ";
	memcpy(image + 0x38, "ARM\x64", 4);
	snprintf((char *)image + 0x1000, 100, "Linux version %%s (%%s)");
	snprintf((char *)image + 0x1800, 200, "Linux version %s (somebody@somewhere)", version);
	put(path, image, sizeof(image));
}

static void fresh(void)
{
	if (!*top)
		snprintf(top, sizeof(top), "%s/test_vm_kernel.%d", getenv("TMPDIR") ?: "/tmp", (int)getpid());
	close_fd(&root);
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
	CHECK_INT(mkdir(top, 0755), 0);
	root = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static const char *const some[] = { "virtio_net", "virtiofs", NULL };

static int search(struct bv_kernel *k, const char *arch, const char *const *needed, struct bv_error *err)
{
	struct bv_kernel_wish wish = { .arch = arch, .rootfs = root, .needed = needed };
	*err = (struct bv_error){ 0 };
	return bv_kernel_find(k, &wish, err);
}

TEST(versions_number_by_number)
{
	static const char *const rising[] = {
		"5.15.0-91-generic",
		"6.1.0-6-cloud-amd64",
		"6.1.0-56-amd64",
		"6.1.0-56-cloud-amd64",
		"6.1.10",
		"6.12.0-rc3",
		"6.12.0-rc10",
		"6.12.0",
		"6.12.9",
		"6.12.9-0-lts",
		"6.12.9-0-virt",
		"6.12.10",
		"10.0",
	};
	for (size_t i = 0; i + 1 < ARRAY_SIZE(rising); i++) {
		CHECK(bv_kernel_version_compare(rising[i], rising[i + 1]) < 0);
		CHECK(bv_kernel_version_compare(rising[i + 1], rising[i]) > 0);
		CHECK_INT(bv_kernel_version_compare(rising[i], rising[i]), 0);
	}
}

TEST(versions_that_are_none)
{
	CHECK(bv_kernel_version_ok("6.1.0-56-cloud-amd64"));
	CHECK(bv_kernel_version_ok("6.12.9+bpo~1_x"));
	CHECK(!bv_kernel_version_ok(""));
	CHECK(!bv_kernel_version_ok("virt"));
	CHECK(!bv_kernel_version_ok("../../etc"));
	CHECK(!bv_kernel_version_ok("6.1/../../etc"));
	CHECK(!bv_kernel_version_ok("6.1 x"));
}

TEST(highest_of_the_rootfs)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	struct bv_error err;
	fresh();
	static const char *const versions[] = { "6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-10-cloud-amd64" };
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		char path[128];
		snprintf(path, sizeof(path), "boot/vmlinuz-%s", versions[i]);
		put_bzimage(path, versions[i], true);
		snprintf(path, sizeof(path), "usr/lib/modules/%s/modules.dep", versions[i]);
		put_text(path, "kernel/drivers/net/virtio_net.ko: \nkernel/fs/fuse/virtiofs.ko:\n");
	}
	CHECK_INT(symlinkat("usr/lib", root, "lib"), 0);
	CHECK_INT(symlinkat("vmlinuz-6.1.0-9-amd64", root, "boot/vmlinuz"), 0);
	put_bzimage("boot/initrd.img", "9.9", true);
	CHECK_INT(search(&k, "x86_64", some, &err), 0);
	CHECK_STR(k.version, "6.1.0-10-cloud-amd64");
	CHECK_STR(k.image_path, "/boot/vmlinuz-6.1.0-10-cloud-amd64");
	CHECK_STR(k.where, "rootfs");
	CHECK(k.image >= 0 && k.modules >= 0);
}

TEST(one_that_has_what_is_needed)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	struct bv_error err;
	static const char *const needed[] = { "9p", "9pnet_virtio", NULL };
	fresh();
	put_bzimage("boot/vmlinuz-6.1.0-56-cloud-amd64", "6.1.0-56-cloud-amd64", true);
	put_bzimage("boot/vmlinuz-6.1.0-56-amd64", "6.1.0-56-amd64", true);
	put_bzimage("boot/vmlinuz-7.0.0", "7.0.0", true);
	put_text("lib/modules/6.1.0-56-cloud-amd64/modules.dep", "kernel/fs/fuse/virtiofs.ko:\n");
	put_text("lib/modules/6.1.0-56-amd64/modules.dep", "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz\n");
	/* Built in, and with another dash. */
	put_text("lib/modules/6.1.0-56-amd64/modules.builtin", "kernel/net/9p/9pnet-virtio.ko\n");
	CHECK_INT(search(&k, "x86_64", needed, &err), 0);
	CHECK_STR(k.version, "6.1.0-56-amd64");

	bv_kernel_clear(&k);
	static const char *const nobody[] = { "virtiofs", "no_such_driver", NULL };
	CHECK_INT(search(&k, "x86_64", nobody, &err), -ENOENT);
	CHECK(strstr(err.what, "/boot/vmlinuz-6.1.0-56-cloud-amd64 has no no_such_driver") != NULL);
	CHECK(strstr(err.what, "/boot/vmlinuz-6.1.0-56-amd64 has no virtiofs, no_such_driver") != NULL);
	CHECK(strstr(err.what, "/boot/vmlinuz-7.0.0 has no modules, there is no lib/modules/7.0.0") != NULL);
	CHECK(strstr(err.hint, "apt install linux-image-cloud-amd64") != NULL);
	static const char *const plan9[] = { "9p", "no_such_driver", NULL };
	CHECK_INT(search(&k, "x86_64", plan9, &err), -ENOENT);
	CHECK(strstr(err.hint, "apt install linux-image-amd64") != NULL);
}

TEST(links_stay_inside)
{
	struct bv_kernel k = { 0 };
	struct bv_error err;
	static const char *const nobody[] = { "no_such_driver", NULL };
	fresh();
	put_text("boot/x", "");
	put_text("outside", "");
	CHECK_INT(symlinkat("/proc/self/exe", root, "boot/vmlinuz-1.0"), 0);
	CHECK_INT(symlinkat("../../../../../../../../../../etc/passwd", root, "boot/vmlinuz-2.0"), 0);
	CHECK_INT(mkfifoat(root, "boot/vmlinuz-3.0", 0600), 0);
	put_bzimage("boot/vmlinuz-4.0", "../../4.0", true);
	put_text("lib/modules/4.0/x", "");
	CHECK_INT(search(&k, "x86_64", nobody, &err), -ENOENT);
	CHECK(strstr(err.what, "vmlinuz-1.0") == NULL && strstr(err.what, "vmlinuz-2.0") == NULL);
	CHECK(strstr(err.what, "vmlinuz-3.0 cannot be read") != NULL);
	CHECK(strstr(err.what, "vmlinuz-4.0 has modules without a modules.dep (depmod 4.0 makes it)") != NULL);
	bv_kernel_clear(&k);
}

TEST(architectures)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	struct bv_error err;
	fresh();
	put_bzimage("boot/vmlinuz-6.9", "6.9", true);
	put_bzimage("boot/vmlinuz-6.8-686", "6.8-686", false);
	put_arm64("boot/vmlinuz-6.1.0-56-cloud-arm64", "something else");
	put_arm64("boot/vmlinuz", "6.0.0-virt");
	put_text("lib/modules/6.1.0-56-cloud-arm64/modules.dep", "a/virtio_net.ko:\na/virtiofs.ko:\n");
	put_text("lib/modules/6.0.0-virt/modules.dep", "a/virtio_net.ko:\na/virtiofs.ko:\na/only_here.ko:\n");
	CHECK_INT(search(&k, "aarch64", some, &err), 0);
	CHECK_STR(k.version, "6.1.0-56-cloud-arm64");

	/* Its name does not tell the version, its text does. */
	bv_kernel_clear(&k);
	static const char *const only[] = { "only_here", NULL };
	CHECK_INT(search(&k, "aarch64", only, &err), 0);
	CHECK_STR(k.version, "6.0.0-virt");

	bv_kernel_clear(&k);
	static const char *const nobody[] = { "no_such_driver", NULL };
	CHECK_INT(search(&k, "x86_64", nobody, &err), -ENOENT);
	CHECK(strstr(err.what, "vmlinuz-6.8-686 is no kernel for x86_64") != NULL);
	CHECK(strstr(err.what, "arm64 is no kernel for x86_64") != NULL);
	CHECK_INT(search(&k, "aarch64", nobody, &err), -ENOENT);
	CHECK(strstr(err.what, "vmlinuz-6.9 is no kernel for aarch64") != NULL);
	CHECK(strstr(err.hint, "linux-image-cloud-arm64") != NULL);
}

/* Holes cost who made them nothing, and whoever reads them hours. */
TEST(a_huge_image_is_not_read_to_its_end)
{
	struct bv_kernel k = { 0 };
	struct bv_error err;
	static const char *const nobody[] = { "no_such_driver", NULL };
	fresh();
	put_arm64("boot/vmlinuz", "not a version");
	autoclose int image = openat(root, "boot/vmlinuz", O_WRONLY | O_CLOEXEC);
	if (ftruncate(image, (off_t)1 << 40) < 0)
		SKIP("the file system has no files of a TiB");
	int64_t begin = bv_now_ms();
	CHECK_INT(search(&k, "aarch64", nobody, &err), -ENOENT);
	CHECK(strstr(err.what, "/boot/vmlinuz does not tell its version") != NULL);
	CHECK(bv_now_ms() - begin < 20000);
	bv_kernel_clear(&k);
}

TEST(arm64_in_gzip)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	struct bv_error err;
	char command[600];
	const char *arch;
	fresh();
	put_arm64("boot/vmlinuz-6.2", "6.2");
	put_text("boot/vmlinuz-6.3", "\x1f\x8b"
				     "no gzip, but long enough for somebody to take it for one of a kernel");
	put_text("lib/modules/6.2/modules.dep", "a/virtio_net.ko:\na/virtiofs.ko:\n");
	snprintf(command, sizeof(command), "cd '%s/boot' && gzip vmlinuz-6.2 && mv vmlinuz-6.2.gz vmlinuz", top);
	if (system(command) != 0)
		SKIP("there is no gzip");
	CHECK_INT(search(&k, "aarch64", some, &err), 0);
	CHECK_STR(k.version, "6.2");
	CHECK_INT(bv_image_kind(k.image, &arch), BV_IMAGE_ARM64);
}

/* As the kernel's build makes one: a program for EFI that has an Image in it, from byte 0x300 on. */
TEST(arm64_in_an_efi_program)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	autofree char *packed = NULL;
	struct bv_error err;
	char command[600];
	const char *arch;
	size_t len;
	unsigned char program[0x2000] = "MZ";
	/* Which no kernel of this machine has. */
	static const char *const only[] = { "only_here", NULL };
	fresh();
	put_arm64("boot/x", "6.2");
	snprintf(command, sizeof(command), "cd '%s/boot' && gzip x", top);
	if (system(command) != 0)
		SKIP("there is no gzip");
	CHECK_INT(bv_read_file(root, "boot/x.gz", 4096, &packed, &len), 0);
	memcpy(program + 4, "zimg", 4);
	program[0x09] = 0x03;
	program[0x0c] = len & 0xff;
	program[0x0d] = (unsigned char)(len >> 8);
	memcpy(program + 0x18, "gzip", 5);
	program[0x3c] = 0x40;
	memcpy(program + 0x40, "PE\0\0\x64\xaa", 6);
	memcpy(program + 0x300, packed, len);
	put("boot/vmlinuz-6.2", program, sizeof(program));
	put_text("lib/modules/6.2/modules.dep", "a/only_here.ko:\n");
	CHECK_INT(search(&k, "aarch64", only, &err), 0);
	CHECK_STR(k.version, "6.2");
	CHECK_INT(bv_image_kind(k.image, &arch), BV_IMAGE_ARM64);

	/* One that claims to be longer than it is. */
	bv_kernel_clear(&k);
	program[0x0e] = 0x7f;
	put("boot/vmlinuz-6.2", program, sizeof(program));
	CHECK_INT(search(&k, "aarch64", only, &err), -ENOENT);
	CHECK(strstr(err.what, "packed part cannot be read") != NULL);
}

TEST(the_one_that_the_user_names)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	struct bv_error err = { 0 };
	char image[300], modules[300];
	fresh();
	put_bzimage("kernels/boot/bzImage", "6.5.1-mine", true);
	put_text("kernels/lib/modules/6.5.1-mine/modules.dep", "virtio_net.ko:\nvirtiofs.ko:\n");
	put_text("other/modules.dep", "x.ko:\n");
	snprintf(image, sizeof(image), "%s/kernels/boot/bzImage", top);
	snprintf(modules, sizeof(modules), "%s/other", top);
	struct bv_kernel_wish wish = { .arch = "x86_64", .kernel = image, .rootfs = -1, .needed = some };
	CHECK_INT(bv_kernel_find(&k, &wish, &err), 0);
	CHECK_STR(k.version, "6.5.1-mine");
	CHECK_STR(k.where, "vm.kernel");
	CHECK_STR(k.image_path, image);
	CHECK(k.modules >= 0);
	bv_kernel_clear(&k);

	wish.modules = modules;
	CHECK_INT(bv_kernel_find(&k, &wish, &err), -ENOENT);
	CHECK(strstr(err.what, "bzImage has no virtio_net, virtiofs") != NULL);
	bv_kernel_clear(&k);

	/* Without modules it is taken for one that has all built in. */
	put_bzimage("alone/bzImage", "6.5.1-mine2", true);
	snprintf(image, sizeof(image), "%s/alone/bzImage", top);
	wish.modules = NULL;
	err = (struct bv_error){ 0 };
	CHECK_INT(bv_kernel_find(&k, &wish, &err), 0);
	CHECK_INT(k.modules, -1);
	bv_kernel_clear(&k);

	wish.arch = "aarch64";
	CHECK_INT(bv_kernel_find(&k, &wish, &err), -ENOEXEC);
	CHECK(strstr(err.what, "is no kernel for aarch64") != NULL);
	wish.kernel = "/nonexistent/vmlinuz";
	err = (struct bv_error){ 0 };
	CHECK_INT(bv_kernel_find(&k, &wish, &err), -ENOENT);
	CHECK(strstr(err.what, "vm.kernel: cannot open /nonexistent/vmlinuz") != NULL);
}

/* ---- modules ---- */

static int resolve(const char *names, bool required, struct bv_strv *files, const char **missing, struct bv_error *err)
{
	autoclean(bv_strv_clear) struct bv_strv words = { 0 };
	struct bv_module_wish wishes[16];
	CHECK_INT(bv_strv_split(&words, names, " "), 0);
	for (size_t i = 0; i < words.n; i++)
		wishes[i] = (struct bv_module_wish){ .name = words.v[i], .required = required };
	bv_strv_clear(files);
	*err = (struct bv_error){ 0 };
	int r = bv_modules_resolve(root, wishes, words.n, files, missing, err);
	if (missing && *missing)
		*missing = NULL; /* it was one of ours */
	return r;
}

static const char *join(const struct bv_strv *l)
{
	static char text[2000];
	*text = '\0';
	for (size_t i = 0; i < l->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "", l->v[i]);
	return text;
}

TEST(dependencies_come_first)
{
	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	struct bv_error err;
	const char *missing = NULL;
	fresh();
	put_text("modules.dep", "k/virtio_net.ko: k/net_failover.ko k/failover.ko k/virtio.ko k/virtio_ring.ko\n"
				"k/net_failover.ko: k/failover.ko\nk/failover.ko:\n"
				"k/virtio.ko: k/virtio_ring.ko\nk/virtio_ring.ko:\n"
				"k/virtio-rng.ko.zst: k/virtio.ko k/virtio_ring.ko\n"
				"k/ext4.ko.gz: k/jbd2.ko\nk/jbd2.ko:\nk/crc32c_intel.ko:\nk/crc32c_generic.ko:\n"
				"k/a.ko: k/b.ko\nk/b.ko: k/a.ko\nk/broken.ko: k/absent.ko\n");
	put_text("modules.builtin", "k/unix.ko\n");
	put_text("modules.softdep", "# text\nsoftdep ext4 pre: crypto-crc32c post: a\n");
	put_text("modules.alias", "alias crypto-crc32c crc32c_intel\nalias crypto-crc32c-x a\n"
				  "alias crypto-crc32c crc32c_generic\n");
	CHECK_INT(resolve("virtio-net virtio_rng unix", true, &files, &missing, &err), 0);
	CHECK_STR(join(&files), "k/virtio_ring.ko k/virtio.ko k/failover.ko k/net_failover.ko k/virtio_net.ko "
				"k/virtio-rng.ko.zst");
	CHECK_INT(resolve("ext4", true, &files, &missing, &err), 0);
	CHECK_STR(join(&files), "k/jbd2.ko k/crc32c_generic.ko k/ext4.ko.gz");
	/* A circle ends. */
	CHECK_INT(resolve("a", true, &files, &missing, &err), 0);
	CHECK_STR(join(&files), "k/b.ko k/a.ko");
	CHECK_INT(resolve("zfs broken unix", false, &files, &missing, &err), 0);
	CHECK_INT(files.n, 0);
	CHECK_INT(resolve("zfs", true, &files, &missing, &err), -ENOENT);
	CHECK(strstr(err.what, "no module zfs") != NULL);
	CHECK_INT(resolve("broken", true, &files, &missing, &err), -ENOENT);
	CHECK(strstr(err.what, "broken") != NULL);

	struct bv_module_wish wish = { .name = "zfs", .required = true };
	CHECK_INT(bv_modules_resolve(root, &wish, 1, &files, &missing, NULL), -ENOENT);
	CHECK_STR(missing, "zfs");
}

TEST(chains_have_an_end)
{
	autoclean(bv_buf_clear) struct bv_buf dep = { 0 };
	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	struct bv_error err;
	fresh();
	for (int i = 0; i < 100000; i++)
		bv_buf_printf(&dep, "m%d.ko: m%d.ko\n", i, i + 1);
	put("modules.dep", dep.p, dep.len);
	CHECK_INT(resolve("m0", true, &files, NULL, &err), -ELOOP);
	CHECK_INT(bv_modules_resolve(-1, NULL, 0, &files, NULL, &err), 0);
}

TEST(many_modules_are_too_many)
{
	autoclean(bv_buf_clear) struct bv_buf dep = { 0 };
	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	struct bv_error err;
	fresh();
	for (int i = 0; i < BV_MODULES_MAX; i++)
		bv_buf_printf(&dep, "m%d.ko:\n", i);
	bv_buf_puts(&dep, "all.ko:");
	for (int i = 0; i < BV_MODULES_MAX; i++)
		bv_buf_printf(&dep, " m%d.ko", i);
	put("modules.dep", dep.p, dep.len);
	CHECK_INT(resolve("all", false, &files, NULL, &err), -E2BIG);
	CHECK(strstr(err.what, "more than 999 modules") != NULL);
	CHECK_INT(resolve("m0 m1", true, &files, NULL, &err), 0);
	CHECK_INT(files.n, 2);
}

/* Each part is no longer than it may be; together they must not keep the host's root busy for hours. */
TEST(hostile_tables_take_seconds)
{
	enum { WORDS = 100000, ALIASES = 100000 };
	autoclean(bv_buf_clear) struct bv_buf dep = { 0 }, soft = { 0 }, alias = { 0 };
	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	struct bv_error err;
	fresh();
	/* One that is asked for again and again, and fails only after a long way. */
	for (int i = 0; i < 60; i++)
		bv_buf_printf(&dep, "f%d.ko: f%d.ko\n", i, i + 1);
	bv_buf_puts(&dep, "x.ko:\ny.ko:\n");
	put("modules.dep", dep.p, dep.len);
	bv_buf_puts(&soft, "softdep y pre:");
	for (int i = 0; i < WORDS; i++)
		bv_buf_printf(&soft, " f0");
	bv_buf_puts(&soft, "\nsoftdep x pre:");
	for (int i = 0; i < WORDS; i++)
		bv_buf_printf(&soft, " nobody%d", i % 10);
	bv_buf_putc(&soft, '\n');
	put("modules.softdep", soft.p, soft.len);
	for (int i = 0; i < ALIASES; i++)
		bv_buf_printf(&alias, "alias a%d x\n", i);
	put("modules.alias", alias.p, alias.len);
	int64_t begin = bv_now_ms();
	CHECK_INT(resolve("y x", true, &files, NULL, &err), 0);
	CHECK_STR(join(&files), "y.ko x.ko");
	CHECK(bv_now_ms() - begin < 20000);
}

TEST(real_kernels_if_there_are_any)
{
	autoclean(bv_kernel_clear) struct bv_kernel k = { 0 };
	autoclean(bv_strv_clear) struct bv_strv files = { 0 };
	struct bv_error err;
	close_fd(&root);
	const char *cache = getenv("BV_KERNEL_CACHE") ?: "/var/cache/bivalve-kernel";
	root = open(cache, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		SKIP("no kernel was fetched; ./dev setup kernel");
	CHECK_INT(search(&k, "x86_64", some, &err), 0);
	CHECK(k.version && strstr(k.version, "-cloud-") != NULL);
	close_fd(&root);
	root = dup(k.modules);
	CHECK_INT(resolve("virtio_pci virtiofs virtio_net", true, &files, NULL, &err), 0);
	CHECK(files.n > 3);
	close_fd(&root);
}

TEST(clean_up)
{
	close_fd(&root);
	CHECK_INT(bv_remove_tree(AT_FDCWD, top), 0);
}

TEST_MAIN()
