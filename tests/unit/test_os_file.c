/* Files that must be private, whole or locked, and what others may have put in
 * their place.
 *
 * A full disk and a failing one are made by this program's own write(), fsync()
 * and renameat(), which the linker prefers to the C library's: they work
 * without any rights. */
#include "sa_os_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <apr_strings.h>

#include "sa_buf.h"
#include "sa_test.h"

#define NOBODY 65534
#define LIMIT 1000

/* ---- failing calls ------------------------------------------------------- */

typedef enum { NOTHING, WRITE, WRITE_LATE, FSYNC, FSYNC_DIRECTORY, RENAME, INTERRUPT } failure_t;
static failure_t failing;
static int failing_with;
static int calls;
static uid_t pretended_user;    /* 0: the real one */

uid_t geteuid(void)
{
    return pretended_user ? pretended_user : (uid_t)syscall(SYS_geteuid);
}

ssize_t write(int fd, const void *data, size_t length)
{
    if (failing == INTERRUPT) {
        calls++;
        if (calls % 2) {
            errno = EINTR;
            return -1;
        }
        length = length > 3 ? 3 : length;
    }
    if (failing == WRITE || (failing == WRITE_LATE && calls++ > 0)) {
        errno = failing_with;
        return -1;
    }
    if (failing == WRITE_LATE) {
        length = 1;
    }
    return syscall(SYS_write, fd, data, length);
}

int fsync(int fd)
{
    struct stat info;

    if (fstat(fd, &info) == 0 &&
        ((failing == FSYNC && S_ISREG(info.st_mode)) ||
         (failing == FSYNC_DIRECTORY && S_ISDIR(info.st_mode)))) {
        errno = failing_with;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    struct stat info;

    /* What becomes the new file is private before it has its name. */
    ck_assert_int_eq(fstatat(from_fd, from, &info, AT_SYMLINK_NOFOLLOW), 0);
    ck_assert_uint_eq(info.st_mode & 07777, 0600);
    if (failing == RENAME) {
        errno = failing_with;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

/* ---- a directory of our own ---------------------------------------------- */

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
    char *directory = apr_pstrcat(pool, base, "/sa-test-os-XXXXXX", NULL);

    ck_assert_ptr_nonnull(mkdtemp(directory));
    apr_pool_cleanup_register(pool, directory, remove_tree, apr_pool_cleanup_null);
    return directory;
}

static const char *in(const char *directory, const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, directory, "/", name, NULL);
}

static void put(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static void assert_holds(const char *path, const char *text, apr_pool_t *pool)
{
    const char *data;
    size_t length;

    SA_ASSERT_OK(sa_os_file_read(&data, &length, path, LIMIT, pool));
    ck_assert_str_eq(data, text);
}

static int count_entries(const char *directory)
{
    DIR *list = opendir(directory);
    int count = 0;

    ck_assert_ptr_nonnull(list);
    for (const struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    }
    closedir(list);
    return count;
}

/* Run FN in a process without root's rights, to which DIRECTORY belongs. */
static void without_rights(void (*fn)(const char *directory, apr_pool_t *pool),
                           const char *directory, apr_pool_t *pool)
{
    pid_t child;
    int status = -1;

    if (geteuid() == 0) {
        ck_assert_int_eq(chown(directory, NOBODY, NOBODY), 0);
    }
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (geteuid() == 0 &&
            (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) {
            _exit(2);
        }
        fn(directory, pool);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
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

/* ---- reading ------------------------------------------------------------- */

SA_TEST(a_file_is_read_whole_up_to_the_limit)
{
    const char *path = in(make_directory(pool), "f", pool);
    static const struct {
        int size;
        bool good;
    } rows[] = {{0, true}, {1, true}, {LIMIT - 1, true}, {LIMIT, true}, {LIMIT + 1, false},
                {LIMIT * 20, false}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = apr_pcalloc(pool, (apr_size_t)rows[i].size + 1);
        const char *data = NULL;
        size_t length = 0;
        sa_error_t *err;

        memset(text, 'x', (size_t)rows[i].size);
        put(path, text, 0600);
        err = sa_os_file_read(&data, &length, path, LIMIT, pool);
        if (rows[i].good) {
            SA_ASSERT_OK(err);
            ck_assert_uint_eq(length, rows[i].size);
            ck_assert_str_eq(data, text);
        } else {
            assert_error(err, SA_ERR_LIMIT, "/f is larger than 1000 bytes");
        }
    }
}

/* Those of /proc say 0. */
SA_TEST(a_file_that_does_not_know_its_size_is_read_all_the_same)
{
    const char *data;
    size_t length;

    SA_ASSERT_OK(sa_os_file_read(&data, &length, "/proc/self/status", 100000, pool));
    ck_assert_ptr_nonnull(strstr(data, "\nThreads:"));
    SA_ASSERT_ERR(sa_os_file_read(&data, &length, "/proc/self/status", 100, pool), SA_ERR_LIMIT);
    SA_ASSERT_OK(sa_os_file_read(&data, &length, "/proc/self/maps", 1024 * 1024, pool));
    ck_assert_uint_gt(length, 4096);
    ck_assert_uint_eq(strlen(data), length);
}

SA_TEST(what_is_no_regular_file_is_refused_without_waiting)
{
    const char *directory = make_directory(pool);
    const char *fifo = in(directory, "fifo", pool);
    const char *const paths[] = {fifo, directory, "/dev/zero", "/dev/tty", "/dev/null"};

    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *data;
        size_t length;
        sa_error_t *err = sa_os_file_read(&data, &length, paths[i], LIMIT, pool);

        ck_assert_ptr_nonnull(err);
        /* There may be no terminal to open. */
        ck_assert(strcmp(paths[i], "/dev/tty") == 0 || sa_error_has(err, SA_ERR_FILE_CONTENT));
        sa_error_clear(err);
        err = sa_os_file_read_secret(&data, &length, paths[i], LIMIT, pool);
        ck_assert_ptr_nonnull(err);
        sa_error_clear(err);
    }
}

SA_TEST(a_missing_file_is_named)
{
    const char *path = in(make_directory(pool), "none", pool);
    const char *data;
    size_t length;

    assert_error(sa_os_file_read(&data, &length, path, LIMIT, pool), APR_ENOENT,
                 "/none: No such file");
    ck_assert(!sa_os_file_exists(path, pool));
}

SA_TEST(a_secret_that_others_can_touch_is_refused_with_the_mend)
{
    const char *path = in(make_directory(pool), "token", pool);

    for (mode_t mode = 0; mode <= 0777; mode++) {
        bool bad = (mode & 0027) != 0;
        const char *data;
        size_t length;
        sa_error_t *err;

        put(path, "secret", 0600);
        ck_assert_int_eq(chmod(path, mode), 0);
        err = sa_os_file_read_secret(&data, &length, path, LIMIT, pool);
        ck_assert_int_eq(chmod(path, 0600), 0);
        if (!(mode & 0400)) {
            sa_error_clear(err);    /* root can read it, others cannot */
        } else if (bad) {
            assert_error(err, SA_ERR_FILE_UNSAFE,
                         apr_psprintf(pool, "has mode %04o, so others can read or change it; "
                                            "chmod 600 %s", (unsigned)mode, path));
        } else {
            SA_ASSERT_OK(err);
            ck_assert_str_eq(data, "secret");
        }
    }
}

SA_TEST(a_secret_behind_a_link_is_refused)
{
    const char *directory = make_directory(pool);
    const char *path = in(directory, "token", pool);
    const char *link = in(directory, "link", pool);
    const char *data;
    size_t length;

    put(path, "secret", 0600);
    ck_assert_int_eq(symlink(path, link), 0);
    assert_error(sa_os_file_read_secret(&data, &length, link, LIMIT, pool), SA_ERR_FILE_UNSAFE,
                 "symbolic link");
    SA_ASSERT_OK(sa_os_file_read(&data, &length, link, LIMIT, pool));
}

SA_TEST(a_secret_of_another_user_is_refused)
{
    const char *path = in(make_directory(pool), "token", pool);
    const char *data;
    size_t length;

    put(path, "secret", 0600);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, NOBODY, NOBODY), 0);
    } else {
        pretended_user = geteuid() + 1;
    }
    assert_error(sa_os_file_read_secret(&data, &length, path, LIMIT, pool), SA_ERR_FILE_UNSAFE,
                 "belongs to user");
    pretended_user = 0;
}

/* ---- writing ------------------------------------------------------------- */

SA_TEST(a_private_file_is_private_whatever_the_umask)
{
    static const mode_t umasks[] = {0, 022, 077, 0177};
    const char *directory = make_directory(pool);

    for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
        const char *path = in(directory, apr_itoa(pool, (int)i), pool);
        mode_t before = umask(umasks[i]);
        struct stat info;

        SA_ASSERT_OK(sa_os_file_write_private(path, "data", 4, pool));
        umask(before);
        ck_assert_int_eq(stat(path, &info), 0);
        ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
        assert_holds(path, "data", pool);
    }
}

SA_TEST(an_open_file_is_replaced_by_a_private_one)
{
    const char *directory = make_directory(pool);
    const char *path = in(directory, "f", pool);
    struct stat info;

    put(path, "old", 0666);
    SA_ASSERT_OK(sa_os_file_write_private(path, "new", 3, pool));
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
    assert_holds(path, "new", pool);
    SA_ASSERT_OK(sa_os_file_write_private(path, "", 0, pool));
    assert_holds(path, "", pool);
    ck_assert_int_eq(count_entries(directory), 1);
}

SA_TEST(a_file_without_a_directory_is_written_here)
{
    char *here = getcwd(NULL, 0);

    ck_assert_int_eq(chdir(make_directory(pool)), 0);
    SA_ASSERT_OK(sa_os_file_write_private("f", "data", 4, pool));
    assert_holds("f", "data", pool);
    ck_assert_int_eq(chdir(here), 0);
    free(here);
}

SA_TEST(a_target_that_is_a_link_is_refused_and_what_it_points_to_stays)
{
    const char *directory = make_directory(pool);
    const char *victim = in(directory, "victim", pool);
    const char *link = in(directory, "creds", pool);
    const char *dangling = in(directory, "dangling", pool);

    put(victim, "old", 0600);
    ck_assert_int_eq(symlink(victim, link), 0);
    ck_assert_int_eq(symlink(in(directory, "none", pool), dangling), 0);
    assert_error(sa_os_file_write_private(link, "new", 3, pool), SA_ERR_FILE_UNSAFE, "/creds is");
    assert_error(sa_os_file_write_private(dangling, "new", 3, pool), SA_ERR_FILE_UNSAFE,
                 "symbolic link");
    assert_holds(victim, "old", pool);
    ck_assert_int_eq(count_entries(directory), 3);
}

SA_TEST(a_target_that_is_no_file_is_refused)
{
    const char *directory = make_directory(pool);
    const char *fifo = in(directory, "fifo", pool);

    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    assert_error(sa_os_file_write_private(fifo, "new", 3, pool), SA_ERR_FILE_UNSAFE, "/fifo is");
    ck_assert_int_eq(mkdir(in(directory, "d", pool), 0700), 0);
    assert_error(sa_os_file_write_private(in(directory, "d", pool), "new", 3, pool),
                 SA_ERR_FILE_UNSAFE, "/d is not");
    ck_assert_int_eq(count_entries(directory), 2);
}

SA_TEST(a_directory_that_is_a_link_or_anybodys_is_refused)
{
    const char *directory = make_directory(pool);
    const char *open_one = in(directory, "open", pool);
    const char *link = in(directory, "link", pool);
    const char *file = in(directory, "file", pool);

    ck_assert_int_eq(mkdir(open_one, 0700), 0);
    ck_assert_int_eq(symlink(open_one, link), 0);
    put(file, "", 0600);
    assert_error(sa_os_file_write_private(in(link, "f", pool), "x", 1, pool), SA_ERR_FILE_UNSAFE,
                 "symbolic link");
    ck_assert_int_eq(chmod(open_one, 0777), 0);
    assert_error(sa_os_file_write_private(in(open_one, "f", pool), "x", 1, pool),
                 SA_ERR_FILE_UNSAFE, "mode 0777");
    ck_assert_int_eq(count_entries(open_one), 0);
    ck_assert_int_eq(chmod(open_one, 01777), 0);
    SA_ASSERT_OK(sa_os_file_write_private(in(open_one, "f", pool), "x", 1, pool));
    SA_ASSERT_ERR(sa_os_file_write_private(in(file, "f", pool), "x", 1, pool), ENOTDIR);
    SA_ASSERT_ERR(sa_os_file_write_private(in(directory, "none/f", pool), "x", 1, pool),
                  APR_ENOENT);
}

static void write_into_read_only(const char *directory, apr_pool_t *pool)
{
    const char *path = in(directory, "creds", pool);

    put(path, "old", 0600);
    ck_assert_int_eq(chmod(directory, 0500), 0);
    assert_error(sa_os_file_write_private(path, "new", 3, pool), EACCES, "cannot create");
    assert_holds(path, "old", pool);
    ck_assert_int_eq(chmod(directory, 0700), 0);
    ck_assert_int_eq(count_entries(directory), 1);
}

SA_TEST(a_read_only_directory_leaves_the_old_file)
{
    without_rights(write_into_read_only, make_directory(pool), pool);
}

SA_TEST(a_disk_that_fails_at_any_step_leaves_the_old_file_and_no_other)
{
    static const struct {
        failure_t where;
        int number;
        apr_status_t code;
    } rows[] = {
        {WRITE, ENOSPC, SA_ERR_DISK_FULL},      {WRITE_LATE, ENOSPC, SA_ERR_DISK_FULL},
        {WRITE, EDQUOT, SA_ERR_DISK_FULL},      {FSYNC, ENOSPC, SA_ERR_DISK_FULL},
        {WRITE, EIO, EIO},                      {FSYNC, EIO, EIO},
        {RENAME, ENOSPC, SA_ERR_DISK_FULL},     {RENAME, EROFS, EROFS},
    };
    const char *directory = make_directory(pool);
    const char *path = in(directory, "creds", pool);

    put(path, "old", 0600);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sa_error_t *err;

        failing_with = rows[i].number;
        calls = 0;
        failing = rows[i].where;
        err = sa_os_file_write_private(path, "new", 3, pool);
        failing = NOTHING;
        assert_error(err, rows[i].code, path);
        assert_holds(path, "old", pool);
        ck_assert_int_eq(count_entries(directory), 1);
    }
}

SA_TEST(a_directory_that_cannot_be_flushed_is_reported_unless_it_never_can)
{
    const char *path = in(make_directory(pool), "creds", pool);
    sa_error_t *err;

    failing = FSYNC_DIRECTORY;
    failing_with = EIO;
    err = sa_os_file_write_private(path, "new", 3, pool);
    failing = NOTHING;
    assert_error(err, EIO, "flush the directory");
    failing = FSYNC_DIRECTORY;
    failing_with = EINVAL;
    err = sa_os_file_write_private(path, "new", 3, pool);
    failing = NOTHING;
    SA_ASSERT_OK(err);
}

SA_TEST(short_and_interrupted_writes_go_on)
{
    const char *path = in(make_directory(pool), "f", pool);
    sa_error_t *err;

    calls = 0;
    failing = INTERRUPT;
    err = sa_os_file_write_private(path, "0123456789abcdef", 16, pool);
    failing = NOTHING;
    SA_ASSERT_OK(err);
    assert_holds(path, "0123456789abcdef", pool);
}

static void write_past_limit(const char *directory, apr_pool_t *pool)
{
    const char *path = in(directory, "creds", pool);
    const struct rlimit limit = {8, 8};

    put(path, "old", 0600);
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    SA_ASSERT_ERR(sa_os_file_write_private(path, "longer than eight", 17, pool), EFBIG);
    assert_holds(path, "old", pool);
    ck_assert_int_eq(count_entries(directory), 1);
}

SA_TEST(a_write_that_the_kernel_cuts_short_leaves_the_old_file)
{
    without_rights(write_past_limit, make_directory(pool), pool);
}

/* ---- directories and space ----------------------------------------------- */

SA_TEST(directories_are_made_with_their_parents_and_kept_if_they_exist)
{
    const char *directory = make_directory(pool);
    const char *deep = in(directory, "a/b//c/", pool);
    const char *link = in(directory, "link", pool);
    struct stat info;

    SA_ASSERT_OK(sa_os_dir_create_private(deep, pool));
    ck_assert_int_eq(stat(deep, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFDIR | 0700);
    ck_assert_int_eq(chmod(deep, 0750), 0);
    SA_ASSERT_OK(sa_os_dir_create_private(deep, pool));
    ck_assert_int_eq(stat(deep, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFDIR | 0750);
    put(in(directory, "file", pool), "", 0600);
    SA_ASSERT_ERR(sa_os_dir_create_private(in(directory, "file", pool), pool), ENOTDIR);
    SA_ASSERT_ERR(sa_os_dir_create_private(in(directory, "file/x", pool), pool), ENOTDIR);
    ck_assert_int_eq(symlink("nowhere", link), 0);
    SA_ASSERT_ERR(sa_os_dir_create_private(link, pool), APR_EEXIST);
    SA_ASSERT_OK(sa_os_dir_create_private("/", pool));
    SA_ASSERT_ERR(sa_os_dir_create_private("", pool), APR_ENOENT);
}

SA_TEST(a_dangling_link_does_not_exist)
{
    const char *directory = make_directory(pool);

    ck_assert(sa_os_file_exists(directory, pool));
    ck_assert_int_eq(symlink("nowhere", in(directory, "link", pool)), 0);
    ck_assert(!sa_os_file_exists(in(directory, "link", pool), pool));
}

SA_TEST(the_space_of_a_missing_place_is_an_error)
{
    const char *directory = make_directory(pool);
    apr_uint64_t bytes = 0;

    SA_ASSERT_OK(sa_os_file_space(&bytes, directory, pool));
    ck_assert_uint_gt(bytes, 0);
    SA_ASSERT_ERR(sa_os_file_space(&bytes, in(directory, "none", pool), pool), APR_ENOENT);
}

/* ---- the lock ------------------------------------------------------------ */

/* A process that holds the lock PATH until it is killed. */
static pid_t start_holder(const char *path, apr_pool_t *pool)
{
    int ready[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        sa_error_t *err = sa_os_file_lock(path, pool);

        if (err || write(ready[1], "x", 1) != 1) {
            _exit(1);
        }
        alarm(60);
        for (;;) {
            pause();
        }
    }
    close(ready[1]);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

SA_TEST(a_lock_held_by_another_process_names_it_and_ends_with_it)
{
    const char *directory = make_directory(pool);
    const char *path = in(directory, "lock", pool);
    pid_t holder = start_holder(path, pool);
    struct stat info;
    int status;

    assert_error(sa_os_file_lock(path, pool), SA_ERR_ALREADY_RUNNING,
                 apr_psprintf(pool, "another agent (PID %ld) uses %s", (long)holder, directory));
    ck_assert_int_eq(kill(holder, SIGKILL), 0);
    ck_assert_int_eq(waitpid(holder, &status, 0), holder);
    SA_ASSERT_OK(sa_os_file_lock(path, pool));
    assert_holds(path, apr_psprintf(pool, "%ld\n", (long)getpid()), pool);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode & 0777, 0600);
}

SA_TEST(a_lock_goes_with_its_pool_and_its_file_stays)
{
    const char *path = in(make_directory(pool), "lock", pool);
    apr_pool_t *life = sa_pool_create(pool);

    SA_ASSERT_OK(sa_os_file_lock(path, life));
    SA_ASSERT_ERR(sa_os_file_lock(path, pool), SA_ERR_ALREADY_RUNNING);
    apr_pool_destroy(life);
    ck_assert(sa_os_file_exists(path, pool));
    SA_ASSERT_OK(sa_os_file_lock(path, pool));
}

SA_TEST(the_pid_of_an_earlier_holder_goes)
{
    const char *path = in(make_directory(pool), "lock", pool);

    put(path, "123456789\nmore\n", 0600);
    SA_ASSERT_OK(sa_os_file_lock(path, pool));
    assert_holds(path, apr_psprintf(pool, "%ld\n", (long)getpid()), pool);
}

SA_TEST(a_holder_that_left_no_pid_is_still_a_holder)
{
    const char *directory = make_directory(pool);
    const char *path = in(directory, "lock", pool);
    static const char *const texts[] = {"", "no number", "-5\n", "0\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int fd;

        put(path, texts[i], 0600);
        fd = open(path, O_RDWR | O_CLOEXEC);
        ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
        assert_error(sa_os_file_lock(path, pool), SA_ERR_ALREADY_RUNNING,
                     apr_psprintf(pool, "another agent uses %s", directory));
        close(fd);
    }
}

SA_TEST(a_lock_file_that_others_prepared_is_refused)
{
    const char *directory = make_directory(pool);
    const char *victim = in(directory, "victim", pool);
    const char *link = in(directory, "link", pool);
    const char *fifo = in(directory, "fifo", pool);
    const char *foreign = in(directory, "foreign", pool);

    put(victim, "precious", 0600);
    ck_assert_int_eq(symlink(victim, link), 0);
    assert_error(sa_os_file_lock(link, pool), SA_ERR_FILE_UNSAFE, "symbolic link");
    assert_holds(victim, "precious", pool);
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    assert_error(sa_os_file_lock(fifo, pool), SA_ERR_FILE_UNSAFE, "/fifo is not");
    put(foreign, "1\n", 0600);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(foreign, NOBODY, NOBODY), 0);
    } else {
        pretended_user = geteuid() + 1;
    }
    assert_error(sa_os_file_lock(foreign, pool), SA_ERR_FILE_UNSAFE, "/foreign is not");
    pretended_user = 0;
    assert_holds(foreign, "1\n", pool);
}

SA_TEST_MAIN("os_file", a_file_is_read_whole_up_to_the_limit,
             a_file_that_does_not_know_its_size_is_read_all_the_same,
             what_is_no_regular_file_is_refused_without_waiting, a_missing_file_is_named,
             a_secret_that_others_can_touch_is_refused_with_the_mend,
             a_secret_behind_a_link_is_refused, a_secret_of_another_user_is_refused,
             a_private_file_is_private_whatever_the_umask,
             an_open_file_is_replaced_by_a_private_one,
             a_file_without_a_directory_is_written_here,
             a_target_that_is_a_link_is_refused_and_what_it_points_to_stays,
             a_target_that_is_no_file_is_refused,
             a_directory_that_is_a_link_or_anybodys_is_refused,
             a_read_only_directory_leaves_the_old_file,
             a_disk_that_fails_at_any_step_leaves_the_old_file_and_no_other,
             a_directory_that_cannot_be_flushed_is_reported_unless_it_never_can,
             short_and_interrupted_writes_go_on,
             a_write_that_the_kernel_cuts_short_leaves_the_old_file,
             directories_are_made_with_their_parents_and_kept_if_they_exist,
             a_dangling_link_does_not_exist, the_space_of_a_missing_place_is_an_error,
             a_lock_held_by_another_process_names_it_and_ends_with_it,
             a_lock_goes_with_its_pool_and_its_file_stays,
             the_pid_of_an_earlier_holder_goes, a_holder_that_left_no_pid_is_still_a_holder,
             a_lock_file_that_others_prepared_is_refused)
