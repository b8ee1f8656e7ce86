/* os: log files, opened for somebody who may only have some of them.
 *
 * A path is walked part by part, each with openat2(2) below the directory that is
 * held open: a link is seen before it is followed, and a mount before it is entered,
 * so that neither a swapped directory nor a network file system that does not answer
 * is ever gone into by accident.  The descriptors are O_PATH until a regular file
 * has been found: a FIFO or a device is never opened.  What the name means later on
 * does not matter: the file is read by its descriptor, and the real path is what the
 * kernel says of it. */
#include "sa_os_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <apr_portable.h>
#include <apr_strings.h>

#include "sa_os_linux.h"

/* Walks begun anew: for links and for "..", as many as the kernel follows. */
#define WALKS_MAX 40
#define STEP_FLAGS (O_PATH | O_NOFOLLOW | O_CLOEXEC)

/* One of our own, as it is at this moment. */
typedef struct own_t {
    const char *path;           /* without links, as far as it is there */
    bool there;
    bool directory;
    dev_t device;
    ino_t inode;
} own_t;

typedef struct walk_t {
    const char *asked;
    const sa_os_log_policy_t *policy;
    apr_array_header_t *own;    /* of own_t */
    const char *mounts;         /* mountinfo; NULL: not needed so far */
    int directory;              /* where we are, or -1 */
    struct stat directory_info;
    int file;                   /* what was found, or -1 */
    struct stat file_info;
    apr_pool_t *pool;
} walk_t;

/* Never where a link led: that is not the requester's to know. */
static sa_error_t *refuse(const walk_t *walk, const char *why)
{
    return sa_error(SA_ERR_REFUSED, NULL, "%s %s", walk->asked, why);
}

static sa_error_t *cannot_open(const walk_t *walk, int number)
{
    return sa_error(number, sa_error(number, NULL, NULL), "cannot open %s", walk->asked);
}

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* ---- our own -------------------------------------------------------------- */

/* PATH without links; of a file that is not there at least its directory. */
static const char *without_links(const char *path, apr_pool_t *pool)
{
    const char *slash = strrchr(path, '/');
    char real[PATH_MAX];

    if (realpath(path, real)) {
        return apr_pstrdup(pool, real);
    }
    if (slash && slash > path
        && realpath(apr_pstrmemdup(pool, path, (apr_size_t)(slash - path)), real)) {
        return apr_pstrcat(pool, real, slash, NULL);
    }
    return path;
}

static void find_own(walk_t *walk)
{
    const apr_array_header_t *paths = walk->policy->own;

    walk->own = apr_array_make(walk->pool, 8, sizeof(own_t));
    for (int i = 0; paths && i < paths->nelts; i++) {
        const char *path = APR_ARRAY_IDX(paths, i, const char *);
        own_t own = { .path = without_links(path, walk->pool) };
        struct stat info;

        if (stat(path, &info) == 0) {
            own.there = true;
            own.directory = S_ISDIR(info.st_mode);
            own.device = info.st_dev;
            own.inode = info.st_ino;
        }
        APR_ARRAY_PUSH(walk->own, own_t) = own;
    }
}

/* By what it is: also over a bind mount, a hard link, or another name. */
static bool is_own(const walk_t *walk, const struct stat *info)
{
    for (int i = 0; i < walk->own->nelts; i++) {
        const own_t *own = &APR_ARRAY_IDX(walk->own, i, own_t);

        if (own->there && own->inode == info->st_ino && own->device == info->st_dev) {
            return true;
        }
    }
    return false;
}

/* By its name: below a directory of ours, or beside a file of ours with something
 * behind its name ("agent.log.1", "spool.db-wal"). */
static bool is_named_like_own(const walk_t *walk, const char *path)
{
    for (int i = 0; i < walk->own->nelts; i++) {
        const own_t *own = &APR_ARRAY_IDX(walk->own, i, own_t);
        size_t length = strlen(own->path);
        char next;

        if (strncmp(path, own->path, length) != 0) {
            continue;
        }
        next = path[length];
        if (next == '\0' || next == '/' || (!own->directory && (next == '.' || next == '-'))) {
            return true;
        }
    }
    return false;
}

/* ---- mounts --------------------------------------------------------------- */

/* Is the word at TEXT, mountinfo's octal escapes undone, the same as PATH? */
static bool is_word(const char *text, const char *path)
{
    while (*text != ' ' && *text != '\n' && *text) {
        char c = *text++;

        if (c == '\\' && strspn(text, "01234567") >= 3) {
            c = (char)((text[0] - '0') * 64 + (text[1] - '0') * 8 + (text[2] - '0'));
            text += 3;
        }
        if (c != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* 36 35 98:0 /root /point rw,noatime shared:1 - ext3 /dev/root rw */
const char *sa_os__mount_type(const char *mountinfo, const char *point, apr_pool_t *pool)
{
    const char *type = NULL;

    for (const char *line = mountinfo; *line; line = sa_os__next_line(line)) {
        const char *end = line + strcspn(line, "\n");
        const char *word = line;
        const char *dash;

        for (int i = 0; i < 4 && word < end; i++) {
            word += strcspn(word, " \n");
            word += *word == ' ';
        }
        dash = strstr(word, " - ");
        /* the last one at a place is the one on top */
        if (dash && dash < end && is_word(word, point)) {
            dash += 3;
            type = apr_pstrmemdup(pool, dash, strcspn(dash, " \n"));
        }
    }
    return type;
}

bool sa_os__is_log_mount(const char *type)
{
    static const char *const never[] = {
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts",
        "devtmpfs", "efivarfs", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "resctrl",
        "rpc_pipefs", "securityfs", "selinuxfs", "smackfs", "sysfs", "tracefs"};

    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strcmp(type, never[i]) == 0) {
            return false;
        }
    }
    return !sa_os__is_remote(type);
}

/* Is PATH at PLACE, or below it? */
static bool is_below(const char *path, const char *place)
{
    size_t length = strlen(place);

    return strncmp(path, place, length) == 0 && (!path[length] || path[length] == '/');
}

/* Does what is mounted at PLACE lie on the way to one of the policy's folders? */
static bool leads_to_folder(const walk_t *walk, const char *place)
{
    const apr_array_header_t *folders = walk->policy->folders;

    for (int i = 0; folders && i < folders->nelts; i++) {
        if (is_below(APR_ARRAY_IDX(folders, i, const char *), place)) {
            return true;
        }
    }
    return !folders;
}

static sa_error_t *read_mounts(walk_t *walk)
{
    if (walk->mounts) {
        return SA_OK;
    }
    return sa_os__proc_read(&walk->mounts, "/proc/self/mountinfo", SA_OS_PROC_LIMIT, walk->pool);
}

/* PLACE is where another file system begins: one to go into? */
static sa_error_t *check_mount(walk_t *walk, const char *place)
{
    const char *type;

    if (!leads_to_folder(walk, place)) {
        return refuse(walk, "is on another mount than the directory of its pattern, and "
                      "commands.log_mounts is off");
    }
    SA_TRY(read_mounts(walk));
    type = sa_os__mount_type(walk->mounts, place, walk->pool);
    if (!type) {
        return refuse(walk, "is on a file system that the system does not tell of");
    }
    if (!sa_os__is_log_mount(type)) {
        return sa_error(SA_ERR_REFUSED, NULL, "%s is on a file system of type %s, which may hang "
                        "or holds no logs", walk->asked, type);
    }
    return SA_OK;
}

/* ---- without openat2 --------------------------------------------------------- */

/* On which mount is the file of FD?  0: not known. */
static int mount_of(int fd)
{
    char path[64];
    char text[512];
    const char *found;
    int info;
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0) {
        return 0;
    }
    length = read(info, text, sizeof(text) - 1);
    close(info);
    text[length > 0 ? length : 0] = '\0';
    found = strstr(text, "mnt_id:");
    return found ? (int)strtol(found + strlen("mnt_id:"), NULL, 10) : 0;
}

/* A kernel before 5.6, or a unit with RestrictSUIDSGID=yes, which takes openat2(2) away.  A
 * name of one part opened by O_PATH and O_NOFOLLOW follows no link of any kind.  Mounts are
 * looked for in the list, so that none is entered that may hang, and once more by what was
 * opened, should somebody have moved the directory meanwhile. */
static sa_error_t *plain_step(int *fd, walk_t *walk, const char *name, const char *place)
{
    int here = mount_of(walk->directory);
    bool may_cross = false;

    SA_TRY(read_mounts(walk));
    if (sa_os__mount_type(walk->mounts, place, walk->pool)) {
        SA_TRY(check_mount(walk, place));
        may_cross = true;
    }
    *fd = openat(walk->directory, name, STEP_FLAGS);
    if (*fd >= 0 && !may_cross && (here == 0 || mount_of(*fd) != here)) {
        close_one(fd);
        return refuse(walk, "is on a file system that the system does not tell of");
    }
    return SA_OK;
}

/* ---- the walk ------------------------------------------------------------- */

static int step(int directory, const char *name, bool into_mounts)
{
    struct open_how how = {
        .flags = STEP_FLAGS,
        .resolve = RESOLVE_NO_MAGICLINKS | (into_mounts ? 0 : RESOLVE_NO_XDEV)
    };

    return (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
}

/* Open NAME in the directory where we are, which is at PLACE/.. in names. */
static sa_error_t *take_step(int *fd, struct stat *info, walk_t *walk, const char *name,
                             const char *place)
{
    bool crossed = false;

    *fd = step(walk->directory, name, false);
    if (*fd < 0 && errno == EXDEV) {
        SA_TRY(check_mount(walk, place));
        crossed = true;
        *fd = step(walk->directory, name, true);
    }
    if (*fd < 0 && errno == ENOSYS) {
        SA_TRY(plain_step(fd, walk, name, place));
        crossed = *fd >= 0 && mount_of(*fd) != mount_of(walk->directory);
    }
    if (*fd < 0 || fstat(*fd, info) != 0) {
        return cannot_open(walk, errno);
    }
    if (crossed && !S_ISDIR(info->st_mode)) {
        return refuse(walk, "is a mount of its own");
    }
    if (is_own(walk, info)) {
        return refuse(walk, "is the agent's own");
    }
    return SA_OK;
}

/* Where to walk instead: FD is a link in the directory HERE, REST comes behind it, its slash
 * first. */
static sa_error_t *follow(const char **again, const walk_t *walk, int fd, const char *here,
                          const char *rest)
{
    char target[PATH_MAX];
    ssize_t length;

    if (!walk->policy->links) {
        return refuse(walk, "is or leads through a link, and links are not followed");
    }
    length = readlinkat(fd, "", target, sizeof(target) - 1);
    if (length < 0) {
        return cannot_open(walk, errno);
    }
    target[length] = '\0';
    if (target[0] == '/') {
        here = "";
    }
    *again = apr_pstrcat(walk->pool, here, "/", target, rest, NULL);
    return SA_OK;
}

static const char *parent_of(const char *here, const walk_t *walk)
{
    const char *slash = strrchr(here, '/');

    return slash ? apr_pstrmemdup(walk->pool, here, (apr_size_t)(slash - here)) : "";
}

static sa_error_t *begin(walk_t *walk)
{
    close_one(&walk->directory);
    walk->directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (walk->directory < 0 || fstat(walk->directory, &walk->directory_info) != 0) {
        return cannot_open(walk, errno);
    }
    return SA_OK;
}

/* What FD is decides how it goes on: into a directory (*HERE moves on), elsewhere
 * (*AGAIN), or no further (walk->file). */
static sa_error_t *take_in(const char **again, const char **here, walk_t *walk, int *fd,
                           const struct stat *info, const char *place, const char *rest)
{
    if (S_ISLNK(info->st_mode)) {
        return follow(again, walk, *fd, *here, rest);
    }
    if (S_ISDIR(info->st_mode)) {
        close_one(&walk->directory);
        walk->directory = *fd;
        walk->directory_info = *info;
        *here = place;
    } else if (*rest) {
        return cannot_open(walk, ENOTDIR);
    } else {
        walk->file = *fd;
        walk->file_info = *info;
    }
    *fd = -1;
    return SA_OK;
}

/* Walk PATH from the root until its end or until it must be begun anew (*AGAIN). */
static sa_error_t *walk_path(const char **again, walk_t *walk, const char *path)
{
    const char *here = "";

    *again = NULL;
    SA_TRY(begin(walk));
    while (walk->file < 0 && !*again) {
        const char *from = path + strspn(path, "/");
        size_t length = strcspn(from, "/");
        const char *name = apr_pstrmemdup(walk->pool, from, length);
        const char *place = apr_pstrcat(walk->pool, here, "/", name, NULL);
        struct stat info;
        sa_error_t *err;
        int fd = -1;

        path = from + length;
        if (!*name) {
            return refuse(walk, "is not a regular file");
        }
        if (strcmp(name, ".") == 0) {
            continue;
        }
        if (strcmp(name, "..") == 0) {
            *again = apr_pstrcat(walk->pool, parent_of(here, walk), path, NULL);
            return SA_OK;
        }
        err = take_step(&fd, &info, walk, name, place);
        if (!err) {
            err = take_in(again, &here, walk, &fd, &info, place, path);
        }
        close_one(&fd);
        SA_TRY(err);
    }
    return SA_OK;
}

static sa_error_t *find(walk_t *walk)
{
    const char *path = walk->asked;

    for (int i = 0; i < WALKS_MAX && strlen(path) < PATH_MAX; i++) {
        const char *again;

        SA_TRY(walk_path(&again, walk, path));
        if (!again) {
            return SA_OK;
        }
        path = again;
    }
    return cannot_open(walk, ELOOP);
}

/* ---- what was found ------------------------------------------------------- */

static sa_error_t *check_found(const walk_t *walk)
{
    const struct stat *file = &walk->file_info;
    const struct stat *directory = &walk->directory_info;

    if (!S_ISREG(file->st_mode)) {
        return refuse(walk, "is not a regular file");
    }
    if (file->st_nlink == 0) {
        return cannot_open(walk, ENOENT);
    }
    /* Whoever may write in the directory can put a name of another's file there. */
    if (file->st_nlink > 1 && (file->st_uid != directory->st_uid
                               || (directory->st_mode & (S_IWGRP | S_IWOTH)))) {
        return refuse(walk, "is a hard link, perhaps to the file of somebody else");
    }
    return SA_OK;
}

static sa_error_t *check_real_path(const walk_t *walk, const char *path)
{
    static const char *const never[] = {"/proc/", "/sys/", "/dev/"};

    if (path[0] != '/') {
        return refuse(walk, "is on no file system that can be reached");
    }
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (strncmp(path, never[i], strlen(never[i])) == 0) {
            return refuse(walk, "is not a log file but part of the system");
        }
    }
    if (is_named_like_own(walk, path)) {
        return refuse(walk, "is the agent's own");
    }
    return SA_OK;
}

static apr_status_t close_fd(void *baton)
{
    close((int)(intptr_t)baton);
    return APR_SUCCESS;
}

/* Open for reading what the O_PATH descriptor stands for, not its name. */
static sa_error_t *open_found(sa_os_log_file_t *log, const walk_t *walk, apr_pool_t *pool)
{
    const char *link = apr_psprintf(pool, "/proc/self/fd/%d", walk->file);
    char real[PATH_MAX];
    ssize_t length = readlink(link, real, sizeof(real) - 1);
    struct stat info;
    int fd;

    if (length < 0) {
        return cannot_open(walk, errno);
    }
    real[length] = '\0';
    SA_TRY(check_real_path(walk, real));
    fd = open(link, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return cannot_open(walk, errno);
    }
    apr_pool_cleanup_register(pool, (void *)(intptr_t)fd, close_fd, apr_pool_cleanup_null);
    if (fstat(fd, &info) != 0) {
        return cannot_open(walk, errno);
    }
    SA_TRY_APR(apr_os_file_put(&log->file, &fd, APR_FOPEN_READ, pool), "cannot read %s",
               walk->asked);
    log->real_path = apr_pstrdup(pool, real);
    log->size = info.st_size;
    log->modified = apr_time_from_sec(info.st_mtime);
    return SA_OK;
}

sa_error_t *sa_os_log_open(sa_os_log_file_t *log, const char *path,
                           const sa_os_log_policy_t *policy, apr_pool_t *pool)
{
    walk_t walk = { .asked = path, .policy = policy, .directory = -1, .file = -1, .pool = pool };
    sa_error_t *err;

    memset(log, 0, sizeof(*log));
    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        return refuse(&walk, "is not an absolute path");
    }
    find_own(&walk);
    err = find(&walk);
    if (!err) {
        err = check_found(&walk);
    }
    if (!err) {
        err = open_found(log, &walk, pool);
    }
    close_one(&walk.directory);
    close_one(&walk.file);
    return err;
}
