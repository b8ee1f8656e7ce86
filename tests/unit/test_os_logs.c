/* Log files as hostile people would leave them, and the journal.  The numbers are those of
 * the list of hostile inputs. */
#include "sa_os_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>

#include "../../src/os/linux/sa_os_linux.h"
#include "sa_test.h"
#include "sa_time.h"

#define NOBODY 65534
#define FINE "fine\n"
#define SECRET "canary\n"

static const sa_os_log_policy_t links = { .links = true };
static const sa_os_log_policy_t no_links = { .links = false };

/* ---- helpers ---------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static apr_status_t remove_tree(void *baton)
{
    return nftw(baton, remove_entry, 8, FTW_DEPTH | FTW_PHYS) == 0 ? APR_SUCCESS : APR_EGENERAL;
}

static const char *make_directory(apr_pool_t *pool)
{
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char *directory = apr_pstrcat(pool, base, "/sa-test-logs-XXXXXX", NULL);
    char *real;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    apr_pool_cleanup_register(pool, directory, remove_tree, apr_pool_cleanup_null);
    real = realpath(directory, NULL);
    ck_assert_ptr_nonnull(real);
    directory = apr_pstrdup(pool, real);
    free(real);
    return directory;
}

static const char *in(const char *directory, const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, directory, "/", name, NULL);
}

static const char *put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static const char *make(const char *directory)
{
    ck_assert_int_eq(mkdir(directory, 0755), 0);
    return directory;
}

static const char *content(const sa_os_log_file_t *log, apr_pool_t *pool)
{
    char *text = apr_pcalloc(pool, 64);
    apr_size_t length = 63;

    ck_assert_int_eq(apr_file_read(log->file, text, &length), APR_SUCCESS);
    return text;
}

static void assert_error(sa_error_t *err, apr_status_t code, const char *words)
{
    char text[1024];

    ck_assert_ptr_nonnull(err);
    sa_error_text(err, text, sizeof(text));
    ck_assert_msg(sa_error_has(err, code), "not the code: %s", text);
    ck_assert_msg(strstr(text, words) != NULL, "not \"%s\": %s", words, text);
    sa_error_clear(err);
}

static void assert_refused(const char *path, const sa_os_log_policy_t *policy, const char *words,
                           apr_pool_t *pool)
{
    sa_os_log_file_t log;

    assert_error(sa_os_log_open(&log, path, policy, pool), SA_ERR_REFUSED, words);
}

static const sa_os_log_policy_t *with_own(const char *path, apr_pool_t *pool)
{
    sa_os_log_policy_t *policy = apr_pcalloc(pool, sizeof(*policy));
    apr_array_header_t *own = apr_array_make(pool, 1, sizeof(const char *));

    APR_ARRAY_PUSH(own, const char *) = path;
    policy->links = true;
    policy->own = own;
    return policy;
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

/* Our own mounts, in a process of our own; without root's rights as the root of a
 * namespace where we are the only user. */
static void enter_namespace(void)
{
    bool root = geteuid() == 0;
    char users[64];
    char groups[64];

    apr_snprintf(users, sizeof(users), "0 %ld 1\n", (long)geteuid());
    apr_snprintf(groups, sizeof(groups), "0 %ld 1\n", (long)getegid());
    ck_assert_msg(unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) == 0,
                  "cannot have mounts of our own: %s", strerror(errno));
    if (!root) {
        put("/proc/self/setgroups", "deny");
        put("/proc/self/uid_map", users);
        put("/proc/self/gid_map", groups);
    }
    ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

/* ---- opening ----------------------------------------------------------------- */

SA_TEST(a_regular_file_is_opened_and_says_what_it_is)
{
    const char *directory = make_directory(pool);
    const char *path = put(in(directory, "x.log", pool), FINE);
    apr_pool_t *life = sa_pool_create(pool);
    int before = open_descriptors();
    sa_os_log_file_t log;

    SA_ASSERT_OK(sa_os_log_open(&log, path, &no_links, life));
    ck_assert_str_eq(log.real_path, path);
    ck_assert_int_eq(log.size, 5);
    ck_assert(log.modified > sa_time_now() - 60 * APR_USEC_PER_SEC);
    ck_assert_str_eq(content(&log, pool), FINE);
    ck_assert_int_eq(open_descriptors(), before + 1);
    apr_pool_destroy(life);
    ck_assert_int_eq(open_descriptors(), before);
}

SA_TEST(a_missing_or_unreachable_file_is_no_refusal_and_names_the_path)
{
    const char *directory = make_directory(pool);
    const char *path = put(in(directory, "x.log", pool), FINE);
    int before = open_descriptors();
    sa_os_log_file_t log;

    assert_error(sa_os_log_open(&log, in(directory, "none", pool), &links, pool), ENOENT,
                 "/none: No such file");
    assert_error(sa_os_log_open(&log, in(path, "below", pool), &links, pool), ENOTDIR,
                 "Not a directory");
    assert_error(sa_os_log_open(&log, in(path, "", pool), &links, pool), ENOTDIR,
                 "Not a directory");
    assert_refused("x.log", &links, "is not an absolute path", pool);
    assert_refused("", &links, "is not an absolute path", pool);
    assert_refused(directory, &links, "is not a regular file", pool);
    assert_refused("/", &links, "is not a regular file", pool);
    ck_assert_int_eq(open_descriptors(), before);
}

SA_TEST(hostile_41_a_link_is_followed_only_when_links_are_and_says_where_it_led)
{
    const char *directory = make_directory(pool);
    const char *secret = put(in(directory, "secret", pool), SECRET);
    const char *absolute = in(directory, "absolute.log", pool);
    const char *relative = in(directory, "relative.log", pool);
    const char *chain = in(directory, "chain.log", pool);
    const char *rows[] = { absolute, relative, chain };
    sa_os_log_file_t log;

    make(in(directory, "sub", pool));
    ck_assert_int_eq(symlink(secret, absolute), 0);
    ck_assert_int_eq(symlink("sub/../sub/./../secret", relative), 0);
    ck_assert_int_eq(symlink("absolute.log", chain), 0);
    for (int i = 0; i < 3; i++) {
        SA_ASSERT_OK(sa_os_log_open(&log, rows[i], &links, pool));
        ck_assert_str_eq(log.real_path, secret);
        assert_refused(rows[i], &no_links, "links are not followed", pool);
    }
}

SA_TEST(a_directory_that_is_a_link_is_a_link_too)
{
    const char *directory = make_directory(pool);
    const char *real = make(in(directory, "real", pool));
    const char *path = in(directory, "link/x.log", pool);
    sa_os_log_file_t log;

    put(in(real, "x.log", pool), FINE);
    ck_assert_int_eq(symlink("real", in(directory, "link", pool)), 0);
    SA_ASSERT_OK(sa_os_log_open(&log, path, &links, pool));
    ck_assert_str_eq(log.real_path, in(real, "x.log", pool));
    assert_refused(path, &no_links, "links are not followed", pool);
}

SA_TEST(links_in_a_ring_end)
{
    const char *directory = make_directory(pool);
    sa_os_log_file_t log;

    ck_assert_int_eq(symlink("b", in(directory, "a", pool)), 0);
    ck_assert_int_eq(symlink("a", in(directory, "b", pool)), 0);
    assert_error(sa_os_log_open(&log, in(directory, "a", pool), &links, pool), ELOOP,
                 "Too many levels");
}

SA_TEST(a_message_never_says_where_a_link_led)
{
    const char *directory = make_directory(pool);
    const char *link = in(directory, "x.log", pool);
    sa_os_log_file_t log;
    char text[512];
    sa_error_t *err;

    ck_assert_int_eq(symlink("/dev/null", link), 0);
    err = sa_os_log_open(&log, link, &links, pool);
    ck_assert_ptr_nonnull(err);
    sa_error_text(err, text, sizeof(text));
    ck_assert_msg(strstr(text, "null") == NULL, "%s", text);
    sa_error_clear(err);
}

/* A process that swaps A and B for ever; *SWAPS counts in memory of both. */
static pid_t start_swapping(volatile apr_uint32_t **swaps, const char *a, const char *b,
                            apr_pool_t *pool)
{
    apr_shm_t *shared;
    pid_t child;

    ck_assert_int_eq(apr_shm_create(&shared, sizeof(**swaps), NULL, pool), APR_SUCCESS);
    *swaps = apr_shm_baseaddr_get(shared);
    apr_atomic_set32(*swaps, 0);
    child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(120);
        for (;;) {
            if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0) {
                apr_atomic_inc32(*swaps);
            }
        }
    }
    return child;
}

static void end(pid_t child)
{
    int status;

    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}

static apr_interval_time_t race_time(void)
{
    const char *seconds = getenv("SA_RACE_SECONDS");

    return (seconds ? strtol(seconds, NULL, 10) : 3) * APR_INT64_C(1000000);
}

/* The directory "logs" and a link to where the secret is change places all the time.  *SEEN:
 * how often the secret was opened, each time with its own real path. */
static void race(int *seen, int *fine, const sa_os_log_policy_t *policy, apr_pool_t *pool)
{
    const char *directory = make_directory(pool);
    const char *path = in(directory, "logs/x.log", pool);
    const char *secret = in(directory, "secret/x.log", pool);
    apr_pool_t *turn = sa_pool_create(pool);
    apr_interval_time_t until = sa_time_mono() + race_time();
    volatile apr_uint32_t *swaps;
    int refused = 0;
    pid_t child;

    make(in(directory, "logs", pool));
    make(in(directory, "secret", pool));
    put(path, FINE);
    put(secret, SECRET);
    ck_assert_int_eq(symlink("secret", in(directory, "link", pool)), 0);
    child = start_swapping(&swaps, in(directory, "logs", pool), in(directory, "link", pool), pool);
    *seen = 0;
    *fine = 0;
    while (sa_time_mono() < until) {
        sa_os_log_file_t log;
        sa_error_t *err = sa_os_log_open(&log, path, policy, turn);

        if (!err && strcmp(content(&log, turn), FINE) == 0) {
            (*fine)++;
        } else if (!err) {
            (*seen)++;
            ck_assert_str_eq(log.real_path, secret);
        } else {
            refused++;
        }
        sa_error_clear(err);
        apr_pool_clear(turn);
    }
    end(child);
    fprintf(stderr, "# %d good, %d refused, %d through the link, %u exchanges\n", *fine, refused,
            *seen, (unsigned)*swaps);
    ck_assert_int_gt(*swaps, 100);
}

SA_TEST(hostile_42_a_directory_swapped_for_a_link_is_never_entered_when_links_are_refused)
{
    int seen;
    int fine;

    race(&seen, &fine, &no_links, pool);
    ck_assert_int_eq(seen, 0);
    ck_assert_int_gt(fine, 0);
}

SA_TEST(hostile_42_a_directory_swapped_for_a_link_is_told_by_the_real_path)
{
    int seen;
    int fine;

    race(&seen, &fine, &links, pool);
    /* or the swapping did not meet us, and nothing was tried */
    ck_assert_int_gt(seen, 0);
    ck_assert_int_gt(fine, 0);
}

SA_TEST(hostile_43_a_hard_link_in_a_directory_of_others_is_refused)
{
    const char *directory = make_directory(pool);
    const char *secret = put(in(directory, "secret", pool), SECRET);
    const char *logs = make(in(directory, "logs", pool));
    const char *path = in(logs, "x.log", pool);
    sa_os_log_file_t log;

    ck_assert_int_eq(link(secret, path), 0);
    /* of one owner, where nobody else may write: the owner's own business */
    SA_ASSERT_OK(sa_os_log_open(&log, path, &links, pool));
    ck_assert_int_eq(chmod(logs, 0775), 0);
    assert_refused(path, &links, "is a hard link", pool);
    ck_assert_int_eq(chmod(logs, 0757), 0);
    assert_refused(path, &links, "is a hard link", pool);
    ck_assert_int_eq(chmod(logs, 0755), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(logs, NOBODY, NOBODY), 0);
        assert_refused(path, &links, "is a hard link", pool);
    }
    ck_assert_int_eq(unlink(secret), 0);
    SA_ASSERT_OK(sa_os_log_open(&log, path, &links, pool));
}

SA_TEST(hostile_44_the_files_of_the_system_are_not_logs)
{
    static const char *const paths[] = {
        "/proc/self/environ", "/proc/1/root/etc/passwd", "/proc/self/fd/0", "/proc/cmdline",
        "/proc/self/root/etc/passwd", "/proc/self/cwd/x", "/dev/fd/3", "/dev/stdin", "/dev/null",
        "/dev/zero", "/dev/tty", "/dev/mem", "/sys/kernel/notes", "/sys/kernel/uevent_helper"};
    const char *directory = make_directory(pool);
    int before = open_descriptors();
    sa_os_log_file_t log;

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *link = in(directory, apr_psprintf(pool, "%d.log", (int)i), pool);
        sa_error_t *err = sa_os_log_open(&log, paths[i], &links, pool);

        ck_assert_msg(err != NULL, "%s was opened", paths[i]);
        sa_error_clear(err);
        ck_assert_int_eq(symlink(paths[i], link), 0);
        err = sa_os_log_open(&log, link, &links, pool);
        ck_assert_msg(err != NULL, "a link to %s was opened", paths[i]);
        sa_error_clear(err);
    }
    ck_assert_int_eq(open_descriptors(), before);
    assert_refused("/proc/self/environ", &links, "of type proc", pool);
}

SA_TEST(hostile_44_a_regular_file_of_the_systems_directories_is_no_log_either)
{
    const char *directory = make_directory(pool);

    ck_assert_int_eq(symlink("/dev/x.log", in(directory, "x.log", pool)), 0);
    enter_namespace();
    ck_assert_int_eq(mount("none", "/dev", "tmpfs", 0, NULL), 0);
    put("/dev/x.log", SECRET);
    assert_refused("/dev/x.log", &links, "not a log file but part of the system", pool);
    assert_refused(in(directory, "x.log", pool), &links, "part of the system", pool);
    ck_assert_int_eq(umount2("/dev", MNT_DETACH), 0);
}

SA_TEST(hostile_45_what_is_no_file_is_refused_without_opening_it)
{
    const char *directory = make_directory(pool);
    const char *fifo = in(directory, "fifo.log", pool);
    const char *device = in(directory, "device.log", pool);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    apr_cpystrn(address.sun_path, in(directory, "socket.log", pool), sizeof(address.sun_path));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    assert_refused(fifo, &links, "is not a regular file", pool);
    /* a reader of the FIFO would have let this writer in */
    ck_assert_int_eq(open(fifo, O_WRONLY | O_NONBLOCK), -1);
    ck_assert_int_eq(errno, ENXIO);
    assert_refused(address.sun_path, &links, "is not a regular file", pool);
    close(fd);
    if (geteuid() == 0 && mknod(device, S_IFCHR | 0600, 0x105) == 0) {
        assert_refused(device, &links, "is not a regular file", pool);
    }
}

static const char mountinfo[] =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "23 22 0:21 / /proc rw shared:2 - proc proc rw\n"
    "24 22 8:2 / /var/log rw shared:3 - xfs /dev/sda2 rw\n"
    "25 22 0:30 / /srv/auto rw - autofs systemd-1 rw\n"
    "26 25 0:31 / /srv/auto rw - nfs4 server:/x rw\n"
    "27 22 0:32 / /srv/with\\040blank rw - fuse.sshfs x rw\n"
    "28 22 0:33 / /srv/plain rw optional:1 other:2 - tmpfs tmpfs rw\n";

SA_TEST(hostile_45_a_file_system_that_may_hang_is_known_before_it_is_touched)
{
    static const struct {
        const char *point;
        const char *type;       /* NULL: nothing is mounted there */
        bool good;
    } rows[] = {{"/", "ext4", true}, {"/proc", "proc", false}, {"/var/log", "xfs", true},
                {"/srv/auto", "nfs4", false}, {"/srv/with blank", "fuse.sshfs", false},
                {"/srv/plain", "tmpfs", true}, {"/srv/plain/x", NULL, false},
                {"/srv", NULL, false}, {"", NULL, false}};
    static const char *const never[] = {"autofs", "cifs", "nfs", "sysfs", "devtmpfs", "fuse",
                                        "fuseblk", "ceph", "9p", "cgroup2", "tracefs"};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *type = sa_os__mount_type(mountinfo, rows[i].point, pool);

        ck_assert_msg(!type == !rows[i].type, "%s", rows[i].point);
        if (type) {
            ck_assert_str_eq(type, rows[i].type);
            ck_assert_int_eq(sa_os__is_log_mount(type), rows[i].good);
        }
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        ck_assert_msg(!sa_os__is_log_mount(never[i]), "%s", never[i]);
    }
    ck_assert_ptr_null(sa_os__mount_type("", "/", pool));
    ck_assert_ptr_null(sa_os__mount_type("1 2 3\n\n - \n", "/", pool));
}

SA_TEST(hostile_51_a_file_mounted_in_the_allowed_tree_is_refused)
{
    const char *directory = make_directory(pool);
    const char *secret = put(in(directory, "secret", pool), SECRET);
    const char *path = put(in(directory, "x.log", pool), FINE);
    const char *sub = make(in(directory, "sub", pool));
    sa_os_log_file_t log;

    enter_namespace();
    ck_assert_int_eq(mount(secret, path, NULL, MS_BIND, NULL), 0);
    assert_refused(path, &links, "is a mount of its own", pool);
    ck_assert_int_eq(umount(path), 0);
    SA_ASSERT_OK(sa_os_log_open(&log, path, &links, pool));
    /* a whole disk for logs is how many machines are built */
    ck_assert_int_eq(mount("none", sub, "tmpfs", 0, NULL), 0);
    put(in(sub, "x.log", pool), FINE);
    SA_ASSERT_OK(sa_os_log_open(&log, in(sub, "x.log", pool), &links, pool));
    ck_assert_int_eq(umount2(sub, MNT_DETACH), 0);
}

static const sa_os_log_policy_t *with_folders(const char *one, const char *other,
                                              apr_pool_t *pool)
{
    sa_os_log_policy_t *policy = apr_pcalloc(pool, sizeof(*policy));
    apr_array_header_t *folders = apr_array_make(pool, 2, sizeof(const char *));

    APR_ARRAY_PUSH(folders, const char *) = one;
    APR_ARRAY_PUSH(folders, const char *) = other;
    policy->links = true;
    policy->folders = folders;
    return policy;
}

SA_TEST(hostile_51_a_mount_below_the_directory_of_the_pattern_is_not_gone_into)
{
    const char *directory = make_directory(pool);
    const char *logs = make(in(directory, "logs", pool));
    const char *beside = make(in(directory, "logs2", pool));
    const char *sub = make(in(logs, "sub", pool));
    const char *here = put(in(logs, "x.log", pool), FINE);
    const char *below = in(sub, "x.log", pool);
    const char *secrets = make(in(directory, "secrets", pool));
    const char *not_on = "commands.log_mounts is off";
    sa_os_log_file_t log;

    put(in(secrets, "x.log", pool), SECRET);
    put(below, FINE);
    enter_namespace();
    ck_assert_int_eq(mount(directory, directory, NULL, MS_BIND, NULL), 0);
    ck_assert_int_eq(mount(logs, logs, NULL, MS_BIND, NULL), 0);
    /* the way to the directory may lead over mounts, and it may be one */
    SA_ASSERT_OK(sa_os_log_open(&log, here, with_folders(logs, "/none", pool), pool));
    SA_ASSERT_OK(sa_os_log_open(&log, below, with_folders("/none", logs, pool), pool));
    ck_assert_int_eq(mount(secrets, sub, NULL, MS_BIND, NULL), 0);
    assert_refused(below, with_folders(logs, "/none", pool), not_on, pool);
    assert_refused(below, with_folders(directory, beside, pool), not_on, pool);
    assert_refused(here, with_folders("/none", beside, pool), not_on, pool);
    SA_ASSERT_OK(sa_os_log_open(&log, here, with_folders(logs, "/none", pool), pool));
    /* allowed as a directory of its own, or all mounts are */
    SA_ASSERT_OK(sa_os_log_open(&log, below, with_folders(logs, sub, pool), pool));
    SA_ASSERT_OK(sa_os_log_open(&log, below, &links, pool));
    ck_assert_str_eq(content(&log, pool), SECRET);
    ck_assert_int_eq(umount2(directory, MNT_DETACH), 0);
}

SA_TEST(hostile_53_our_own_files_are_refused_by_name)
{
    const char *directory = make_directory(pool);
    const char *state = make(in(directory, "state", pool));
    const char *beside = put(in(directory, "state.log", pool), FINE);
    const char *log_path = put(in(directory, "agent.log", pool), FINE);
    static const char *const others[] = {"agent.log.1", "agent.log-20260101"};
    sa_os_log_file_t log;

    put(in(state, "spool.db", pool), SECRET);
    put(in(state, "x.log", pool), SECRET);
    assert_refused(in(state, "spool.db", pool), with_own(state, pool), "is the agent's own", pool);
    assert_refused(in(state, "x.log", pool), with_own(state, pool), "is the agent's own", pool);
    SA_ASSERT_OK(sa_os_log_open(&log, beside, with_own(state, pool), pool));
    assert_refused(log_path, with_own(log_path, pool), "is the agent's own", pool);
    for (int i = 0; i < 2; i++) {
        const char *path = put(in(directory, others[i], pool), FINE);

        assert_refused(path, with_own(log_path, pool), "is the agent's own", pool);
        /* also while the file itself is not there */
        ck_assert_int_eq(rename(log_path, in(directory, "away", pool)), 0);
        assert_refused(path, with_own(log_path, pool), "is the agent's own", pool);
        ck_assert_int_eq(rename(in(directory, "away", pool), log_path), 0);
    }
    SA_ASSERT_OK(sa_os_log_open(&log, put(in(directory, "agent.logs", pool), FINE),
                                with_own(log_path, pool), pool));
}

SA_TEST(hostile_53_our_own_files_are_refused_by_what_they_are)
{
    const char *directory = make_directory(pool);
    const char *state = make(in(directory, "state", pool));
    const char *creds = put(in(state, "device.creds", pool), SECRET);
    const char *moved = make(in(directory, "moved", pool));

    ck_assert_int_eq(link(creds, in(directory, "x.log", pool)), 0);
    assert_refused(in(directory, "x.log", pool), with_own(creds, pool), "is the agent's own", pool);
    ck_assert_int_eq(symlink(creds, in(directory, "y.log", pool)), 0);
    assert_refused(in(directory, "y.log", pool), with_own(creds, pool), "is the agent's own", pool);
    /* the settings name it by a link */
    ck_assert_int_eq(symlink(state, in(directory, "link", pool)), 0);
    assert_refused(creds, with_own(in(directory, "link", pool), pool), "is the agent's own", pool);
    assert_refused(in(state, "new.log", pool), with_own(in(directory, "link/new", pool), pool),
                   put(in(state, "new.log", pool), FINE) ? "is the agent's own" : "", pool);
    enter_namespace();
    ck_assert_int_eq(mount(state, moved, NULL, MS_BIND, NULL), 0);
    assert_refused(in(moved, "device.creds", pool), with_own(state, pool), "is the agent's own",
                   pool);
    ck_assert_int_eq(umount2(moved, MNT_DETACH), 0);
}

/* ---- the journal -------------------------------------------------------------- */

static sa_error_t *never_called(void *baton, const char *line, size_t length)
{
    (void)baton;
    ck_abort_msg("an entry: %.*s", (int)length, line);
    return SA_OK;
}

SA_TEST(an_empty_journal_has_no_entries)
{
    sa_os_journal_query_t query = {
        .unit = "nginx", .count = 10, .deadline = sa_time_mono() + 10 * APR_INT64_C(1000000)
    };

    SA_ASSERT_OK(sa_os__journal_read(make_directory(pool), &query, never_called, NULL, pool));
    query.newest_first = true;
    SA_ASSERT_OK(sa_os__journal_read(make_directory(pool), &query, never_called, NULL, pool));
}

SA_TEST(a_journal_that_is_not_there_is_an_error)
{
    sa_os_journal_query_t query = {
        .unit = "nginx", .count = 10, .deadline = sa_time_mono() + 10 * APR_INT64_C(1000000)
    };
    const char *none = in(make_directory(pool), "none", pool);

    assert_error(sa_os__journal_read(none, &query, never_called, NULL, pool), ENOENT,
                 "cannot open the journal");
}

SA_TEST(what_is_no_name_of_a_unit_is_refused)
{
    static const char *const names[] = {"", "*", "a b", "x/../y", "foo@$(id)", "-H evil", "@",
                                        "nginx; reboot", "a=b", "x@.service"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        sa_os_journal_query_t query = { .unit = names[i], .count = 10 };

        SA_ASSERT_ERR(sa_os__journal_read(make_directory(pool), &query, never_called, NULL, pool),
                      SA_ERR_REFUSED);
    }
}

SA_TEST_MAIN("os_logs", a_regular_file_is_opened_and_says_what_it_is,
             a_missing_or_unreachable_file_is_no_refusal_and_names_the_path,
             hostile_41_a_link_is_followed_only_when_links_are_and_says_where_it_led,
             a_directory_that_is_a_link_is_a_link_too, links_in_a_ring_end,
             a_message_never_says_where_a_link_led,
             hostile_42_a_directory_swapped_for_a_link_is_never_entered_when_links_are_refused,
             hostile_42_a_directory_swapped_for_a_link_is_told_by_the_real_path,
             hostile_43_a_hard_link_in_a_directory_of_others_is_refused,
             hostile_44_the_files_of_the_system_are_not_logs,
             hostile_44_a_regular_file_of_the_systems_directories_is_no_log_either,
             hostile_45_what_is_no_file_is_refused_without_opening_it,
             hostile_45_a_file_system_that_may_hang_is_known_before_it_is_touched,
             hostile_51_a_file_mounted_in_the_allowed_tree_is_refused,
             hostile_51_a_mount_below_the_directory_of_the_pattern_is_not_gone_into,
             hostile_53_our_own_files_are_refused_by_name,
             hostile_53_our_own_files_are_refused_by_what_they_are, an_empty_journal_has_no_entries,
             a_journal_that_is_not_there_is_an_error, what_is_no_name_of_a_unit_is_refused)
