/* os: files that must be private, whole, or locked.  Any thread; no state.
 *
 * Every check is made on an open descriptor, not on a name, so that nobody can
 * swap the file between the check and the use. */
#include "sa_os_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <apr_strings.h>

#include "sa_random.h"

/* Not waiting for the writer of a FIFO or the carrier of a modem; not making a
 * terminal ours. */
#define OPEN_SAFELY (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
#define FIRST_READ 4096
#define RANDOM_LENGTH 16

/* "cannot DO PATH: reason of NUMBER" */
static sa_error_t *cannot(int number, const char *what, const char *path)
{
    apr_status_t code = number == ENOSPC || number == EDQUOT ? SA_ERR_DISK_FULL : number;

    return sa_error(code, sa_error(number, NULL, NULL), "cannot %s %s", what, path);
}

/* Open an existing regular file for reading. */
static sa_error_t *open_regular(int *descriptor, struct stat *info, const char *path, int flags)
{
    int fd = open(path, O_RDONLY | OPEN_SAFELY | flags);
    int number = errno;

    /* FreeBSD says EMLINK for what POSIX calls ELOOP. */
    if (fd < 0 && (flags & O_NOFOLLOW) && (number == ELOOP || number == EMLINK)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s is a symbolic link; name the file it points to instead", path);
    }
    if (fd < 0) {
        return cannot(number, "open", path);
    }
    if (fstat(fd, info) != 0) {
        number = errno;
        close(fd);
        return cannot(number, "examine", path);
    }
    if (!S_ISREG(info->st_mode)) {
        close(fd);
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is not a regular file", path);
    }
    *descriptor = fd;
    return SA_OK;
}

static sa_error_t *too_large(const char *path, size_t limit)
{
    return sa_error(SA_ERR_LIMIT, NULL, "%s is larger than %" APR_SIZE_T_FMT " bytes", path,
                    limit);
}

/* Read up to SIZE bytes, or to the end of the file. */
static sa_error_t *read_some(size_t *count, int fd, char *data, size_t size, const char *path)
{
    *count = 0;
    while (*count < size) {
        ssize_t got = read(fd, data + *count, size - *count);

        if (got == 0) {
            break;
        }
        if (got > 0) {
            *count += (size_t)got;
        } else if (errno != EINTR) {
            return cannot(errno, "read", path);
        }
    }
    return SA_OK;
}

/* The size that fstat(2) tells is only where to begin: it is 0 in /proc, and a
 * file may grow meanwhile. */
static sa_error_t *read_all(const char **data, size_t *length, int fd, const struct stat *info,
                            const char *path, size_t limit, apr_pool_t *pool)
{
    size_t size = info->st_size > 0 ? (size_t)info->st_size : FIRST_READ;
    size_t used = 0;
    char *buffer;

    if (info->st_size > 0 && (apr_uint64_t)info->st_size > limit) {
        return too_large(path, limit);
    }
    size = size > limit ? limit : size;
    buffer = apr_palloc(pool, size + 1);
    for (;;) {
        size_t got;
        char *larger;

        /* One more than SIZE, to see the end without a turn of its own. */
        SA_TRY(read_some(&got, fd, buffer + used, size + 1 - used, path));
        used += got;
        if (used <= size) {
            break;
        }
        if (size == limit) {
            return too_large(path, limit);
        }
        size = size > limit / 2 ? limit : size * 2;
        larger = apr_palloc(pool, size + 1);
        memcpy(larger, buffer, used);
        buffer = larger;
    }
    buffer[used] = '\0';
    *data = buffer;
    *length = used;
    return SA_OK;
}

sa_error_t *sa_os_file_read(const char **data, size_t *length, const char *path, size_t limit,
                            apr_pool_t *pool)
{
    struct stat info;
    sa_error_t *err;
    int fd = -1;

    SA_TRY(open_regular(&fd, &info, path, 0));
    err = read_all(data, length, fd, &info, path, limit, pool);
    close(fd);
    return err;
}

/* Beside root and ourselves; root: nobody. */
static uid_t trusted_owner;

void sa_os_file_trust_owner(const char *path)
{
    struct stat info;

    if (geteuid() == 0 && stat(path, &info) == 0) {
        trusted_owner = info.st_uid;
    }
}

static sa_error_t *check_secret(const struct stat *info, const char *path)
{
    unsigned mode = (unsigned)(info->st_mode & 07777);

    if (info->st_uid != 0 && info->st_uid != geteuid() && info->st_uid != trusted_owner) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s belongs to user %lu, who can change it; chown it to root or to the "
                        "agent's user (%lu)",
                        path, (unsigned long)info->st_uid, (unsigned long)geteuid());
    }
    if (mode & (S_IWGRP | S_IRWXO)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s has mode %04o, so others can read or change it; chmod 600 %s", path,
                        mode, path);
    }
    return SA_OK;
}

sa_error_t *sa_os_file_read_secret(const char **data, size_t *length, const char *path,
                                   size_t limit, apr_pool_t *pool)
{
    struct stat info;
    sa_error_t *err;
    int fd = -1;

    SA_TRY(open_regular(&fd, &info, path, O_NOFOLLOW));
    err = check_secret(&info, path);
    if (!err) {
        err = read_all(data, length, fd, &info, path, limit, pool);
    }
    close(fd);
    return err;
}

/* Split PATH into the directory ("." for none) and the name within. */
static void split(const char **directory, const char **name, const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');

    if (!slash) {
        *directory = ".";
        *name = path;
    } else {
        *directory = slash == path ? "/" : apr_pstrndup(pool, path, (apr_size_t)(slash - path));
        *name = slash + 1;
    }
}

/* Open the directory of a private file, if only root and we can put names
 * there or, as in /tmp, nobody can rename ours. */
static sa_error_t *open_private_directory(int *descriptor, const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int number = errno;
    struct stat info;

    if (fd < 0) {
        if (lstat(directory, &info) == 0 && S_ISLNK(info.st_mode)) {
            return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                            "the directory %s is a symbolic link; name the place it points to "
                            "instead", directory);
        }
        return cannot(number, "open the directory", directory);
    }
    if (fstat(fd, &info) != 0) {
        number = errno;
        close(fd);
        return cannot(number, "examine the directory", directory);
    }
    if ((info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX)) {
        close(fd);
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the directory %s has mode %04o, so anybody can replace its files; "
                        "chmod o-w %s",
                        directory, (unsigned)(info.st_mode & 07777), directory);
    }
    *descriptor = fd;
    return SA_OK;
}

/* rename(2) would replace a link, not follow it; but who put a link there
 * expects something else, or means us harm. */
static sa_error_t *check_target(int directory, const char *name, const char *path)
{
    struct stat info;

    if (fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? SA_OK : cannot(errno, "examine", path);
    }
    if (S_ISLNK(info.st_mode)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s is a symbolic link; remove it", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s is not a regular file; remove it", path);
    }
    return SA_OK;
}

static sa_error_t *write_all(int fd, const char *data, size_t length, const char *path)
{
    while (length > 0) {
        ssize_t put = write(fd, data, length);

        if (put >= 0) {
            data += put;
            length -= (size_t)put;
        } else if (errno != EINTR) {
            return cannot(errno, "write", path);
        }
    }
    return SA_OK;
}

/* Of a file that is put in the place of another. */
typedef struct replacement_t {
    const char *path;
    const void *data;
    size_t length;
    mode_t mode;
    bool durable;               /* on the disk before it takes the place */
} replacement_t;

/* Make the file NAME in DIRECTORY. */
static sa_error_t *write_new(int directory, const char *name, const replacement_t *new)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    S_IRUSR | S_IWUSR);
    sa_error_t *err;

    if (fd < 0) {
        return cannot(errno, "create a file to replace", new->path);
    }
    err = write_all(fd, new->data, new->length, new->path);
    if (!err && new->mode != (S_IRUSR | S_IWUSR) && fchmod(fd, new->mode) != 0) {
        err = cannot(errno, "set the mode of", new->path);
    }
    if (!err && new->durable && fsync(fd) != 0) {
        err = cannot(errno, "flush", new->path);
    }
    if (close(fd) != 0 && !err) {
        err = cannot(errno, "close", new->path);    /* NFS and quotas say it only here */
    }
    return err;
}

static sa_error_t *replace(int directory, const char *name, const replacement_t *new)
{
    char random[RANDOM_LENGTH + 1];
    char temporary[RANDOM_LENGTH + 32];
    sa_error_t *err;

    sa_random_text(random, RANDOM_LENGTH);
    snprintf(temporary, sizeof(temporary), ".stone-age-%s.tmp", random);
    err = write_new(directory, temporary, new);
    if (!err && renameat(directory, temporary, directory, name) != 0) {
        err = cannot(errno, "replace", new->path);
    }
    if (err) {
        unlinkat(directory, temporary, 0);
        return err;
    }
    /* Some file systems cannot do this, and say EINVAL. */
    if (new->durable && fsync(directory) != 0 && errno != EINVAL) {
        return cannot(errno, "flush the directory of", new->path);
    }
    return SA_OK;
}

static sa_error_t *write_file(const replacement_t *new, apr_pool_t *scratch_pool)
{
    const char *directory;
    const char *name;
    sa_error_t *err;
    int fd = -1;

    split(&directory, &name, new->path, scratch_pool);
    SA_TRY(open_private_directory(&fd, directory));
    err = check_target(fd, name, new->path);
    if (!err) {
        err = replace(fd, name, new);
    }
    close(fd);
    return err;
}

sa_error_t *sa_os_file_write_private(const char *path, const void *data, size_t length,
                                     apr_pool_t *scratch_pool)
{
    const replacement_t new = {path, data, length, S_IRUSR | S_IWUSR, true};

    return write_file(&new, scratch_pool);
}

sa_error_t *sa_os_file_write_public(const char *path, const void *data, size_t length,
                                    apr_pool_t *scratch_pool)
{
    const replacement_t new = {path, data, length, S_IRUSR | S_IWUSR | S_IRGRP, false};

    return write_file(&new, scratch_pool);
}

static sa_error_t *make_directory(const char *path, mode_t mode)
{
    struct stat info;
    int number;

    if (mkdir(path, mode) == 0) {
        return SA_OK;
    }
    number = errno;
    /* Not only EEXIST: one that exists on a read-only disk is EROFS. */
    if (stat(path, &info) != 0) {
        return cannot(number, "make the directory", path);
    }
    if (!S_ISDIR(info.st_mode)) {
        return sa_error(ENOTDIR, NULL, "%s is not a directory", path);
    }
    return SA_OK;
}

sa_error_t *sa_os_dir_create_private(const char *path, apr_pool_t *scratch_pool)
{
    char *partial = apr_pstrdup(scratch_pool, path);
    size_t length = strlen(partial);

    while (length > 1 && partial[length - 1] == '/') {
        partial[--length] = '\0';
    }
    for (char *slash = strchr(partial + (length > 0), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        SA_TRY(make_directory(partial, 0755));
        *slash = '/';
    }
    return make_directory(partial, 0700);
}

bool sa_os_file_exists(const char *path, apr_pool_t *scratch_pool)
{
    struct stat info;

    (void)scratch_pool;
    return stat(path, &info) == 0;
}

sa_error_t *sa_os_file_space(apr_uint64_t *free_bytes, const char *path,
                             apr_pool_t *scratch_pool)
{
    struct statvfs space;

    (void)scratch_pool;
    if (statvfs(path, &space) != 0) {
        return cannot(errno, "ask for the free space of", path);
    }
    *free_bytes = (apr_uint64_t)space.f_bavail * space.f_frsize;
    return SA_OK;
}

static apr_status_t close_lock(void *baton)
{
    const int *fd = baton;

    /* Closing releases it.  The file stays: removing it would let two agents
     * lock two files of one name. */
    close(*fd);
    return APR_SUCCESS;
}

static sa_error_t *held(int fd, const char *path, apr_pool_t *pool)
{
    const char *directory;
    const char *name;
    char text[32];
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    long pid;

    text[length > 0 ? length : 0] = '\0';
    pid = strtol(text, NULL, 10);
    split(&directory, &name, path, pool);
    if (pid <= 0) {
        return sa_error(SA_ERR_ALREADY_RUNNING, NULL, "another agent uses %s", directory);
    }
    return sa_error(SA_ERR_ALREADY_RUNNING, NULL, "another agent (PID %ld) uses %s", pid,
                    directory);
}

/* The PID is for people: a full disk must not keep the agent from starting,
 * which may be what frees it.  Never the PID of an earlier holder, though. */
static void write_pid(int fd)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length) {
        return;
    }
}

static sa_error_t *take_lock(int fd, const char *path, apr_pool_t *pool)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return cannot(errno, "examine", path);
    }
    if (!S_ISREG(info.st_mode) || (info.st_uid != 0 && info.st_uid != geteuid())) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the lock file %s is not a regular file of root or of the agent's user; "
                        "remove it", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? held(fd, path, pool) : cannot(errno, "lock", path);
    }
    write_pid(fd);
    return SA_OK;
}

/* On a disk that has become read-only the lock file of an earlier life can be
 * locked all the same, though it keeps the PID of that life. */
static int open_lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | OPEN_SAFELY, S_IRUSR | S_IWUSR);

    if (fd < 0 && errno == EROFS) {
        fd = open(path, O_RDONLY | O_NOFOLLOW | OPEN_SAFELY);
        errno = fd < 0 ? EROFS : 0;
    }
    return fd;
}

sa_error_t *sa_os_file_lock(const char *path, apr_pool_t *pool)
{
    int fd = open_lock(path);
    sa_error_t *err;
    int *kept;

    if (fd < 0 && (errno == ELOOP || errno == EMLINK)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "the lock file %s is a symbolic link; remove it",
                        path);
    }
    if (fd < 0) {
        return cannot(errno, "open the lock file", path);
    }
    err = take_lock(fd, path, pool);
    if (err) {
        close(fd);
        return err;
    }
    kept = apr_palloc(pool, sizeof(*kept));
    *kept = fd;
    apr_pool_cleanup_register(pool, kept, close_lock, apr_pool_cleanup_null);
    return SA_OK;
}

sa_error_t *sa_os_file_real_path(const char **real_path, const char *path, apr_pool_t *pool)
{
    char real[PATH_MAX];

    if (!realpath(path, real)) {
        return cannot(errno, "resolve", path);
    }
    *real_path = apr_pstrdup(pool, real);
    return SA_OK;
}

/* ---- files that only grow ----------------------------------------------------- */

struct sa_os_append_t {
    int directory;
    int descriptor;
    const char *name;           /* in the directory */
    const char *path;           /* for messages */
};

static apr_status_t close_append(void *baton)
{
    const sa_os_append_t *file = baton;

    if (file->descriptor >= 0) {
        close(file->descriptor);
    }
    close(file->directory);
    return APR_SUCCESS;
}

static sa_error_t *check_append(const struct stat *info, const char *path)
{
    unsigned mode = (unsigned)(info->st_mode & 07777);

    if (!S_ISREG(info->st_mode)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s is not a regular file; remove it", path);
    }
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s belongs to user %lu, who can change it; chown it to the agent's "
                        "user (%lu)", path, (unsigned long)info->st_uid,
                        (unsigned long)geteuid());
    }
    if (mode & (S_IWGRP | S_IRWXO)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s has mode %04o, so others can read or change it; chmod 600 %s", path,
                        mode, path);
    }
    if (info->st_nlink != 1) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s has another name elsewhere (a hard link); "
                        "remove it", path);
    }
    return SA_OK;
}

/* What a power cut has left of a line is not to run into the next one. */
static sa_error_t *end_last_line(const sa_os_append_t *file, apr_int64_t *bytes)
{
    char last = '\n';

    if (*bytes > 0 && pread(file->descriptor, &last, 1, *bytes - 1) != 1) {
        return cannot(errno, "read", file->path);
    }
    if (last != '\n') {
        SA_TRY(write_all(file->descriptor, "\n", 1, file->path));
        *bytes += 1;
    }
    return SA_OK;
}

sa_error_t *sa_os_append_open(sa_os_append_t **file, apr_int64_t *bytes, const char *path,
                              apr_pool_t *pool)
{
    sa_os_append_t *made = apr_pcalloc(pool, sizeof(*made));
    const char *directory;
    struct stat info;

    made->descriptor = -1;
    made->path = apr_pstrdup(pool, path);
    split(&directory, &made->name, made->path, pool);
    SA_TRY(open_private_directory(&made->directory, directory));
    apr_pool_cleanup_register(pool, made, close_append, apr_pool_cleanup_null);
    made->descriptor = openat(made->directory, made->name,
                              O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | OPEN_SAFELY,
                              S_IRUSR | S_IWUSR);
    if (made->descriptor < 0 && (errno == ELOOP || errno == EMLINK)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s is a symbolic link; remove it", path);
    }
    if (made->descriptor < 0 || fstat(made->descriptor, &info) != 0) {
        return cannot(errno, "open", path);
    }
    SA_TRY(check_append(&info, path));
    *bytes = (apr_int64_t)info.st_size;
    SA_TRY(end_last_line(made, bytes));
    /* The name of a new file is to stay; some file systems cannot do this, and say EINVAL. */
    if (fsync(made->directory) != 0 && errno != EINVAL) {
        return cannot(errno, "flush the directory of", path);
    }
    *file = made;
    return SA_OK;
}

sa_error_t *sa_os_append_write(sa_os_append_t *file, const void *data, size_t length)
{
    struct stat info;
    ssize_t put;
    int number;

    if (fstat(file->descriptor, &info) != 0) {
        return cannot(errno, "examine", file->path);
    }
    do {
        put = write(file->descriptor, data, length);
    } while (put < 0 && errno == EINTR);
    if (put >= 0 && (size_t)put == length) {
        return SA_OK;
    }
    /* A full disk takes a part of it first. */
    number = put < 0 ? errno : ENOSPC;
    if (put > 0 && ftruncate(file->descriptor, info.st_size) != 0) {
        return cannot(errno, "take back half a line of", file->path);
    }
    return cannot(number, "write", file->path);
}

sa_error_t *sa_os_append_sync(sa_os_append_t *file)
{
    return fdatasync(file->descriptor) == 0 ? SA_OK : cannot(errno, "flush", file->path);
}

bool sa_os_append_is_there(const sa_os_append_t *file)
{
    struct stat named;
    struct stat opened;

    return fstatat(file->directory, file->name, &named, AT_SYMLINK_NOFOLLOW) == 0
           && fstat(file->descriptor, &opened) == 0 && named.st_dev == opened.st_dev
           && named.st_ino == opened.st_ino;
}

sa_error_t *sa_os_append_rotate(sa_os_append_t *file, int backups)
{
    char from[NAME_MAX + 1];
    char to[NAME_MAX + 1];

    for (int i = backups; i > 0; i--) {
        snprintf(from, sizeof(from), i == 1 ? "%s" : "%s.%d", file->name, i - 1);
        snprintf(to, sizeof(to), "%s.%d", file->name, i);
        /* A missing one is no error: there are fewer yet.  Any other stops here, so that
         * nothing that was not moved is replaced. */
        if (renameat(file->directory, from, file->directory, to) != 0 && errno != ENOENT) {
            return cannot(errno, "begin a new file after", file->path);
        }
    }
    return SA_OK;
}
