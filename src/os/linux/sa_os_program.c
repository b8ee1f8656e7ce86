/* os: opening what is to be run.  Any thread; no state.
 *
 * Every directory on the way is opened from the one before and judged by its descriptor,
 * and so is the program.  Who can replace none of them, and write none of them, cannot
 * choose what we run; and what is done to the names afterwards does not matter.
 *
 * A script keeps its descriptor: the kernel gives the interpreter /dev/fd/3 to read,
 * which leads to the very file that was judged, and from which readlink(1) gets the
 * script's place. */
#include "sa_os_exec_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <apr_strings.h>

#define LINKS_MAX 40            /* as path_resolution(7) */
#define FIRST_LINE_MAX 256      /* as the kernel's BINPRM_BUF_SIZE */

typedef struct walk_t {
    const char *path;           /* what was asked for */
    bool script;
    const char *rest;           /* of the way */
    const char *at;             /* the place of DIRECTORY, "" for the root */
    int directory;
    struct stat directory_info;
    int found;                  /* what lies at the end of the way, not touched yet; or -1 */
    struct stat found_info;
    int links;
    apr_pool_t *pool;
} walk_t;

static sa_error_t *cannot(int number, const char *what, const char *path)
{
    return sa_error(number, sa_error(number, NULL, NULL), "cannot %s %s", what, path);
}

static apr_status_t close_descriptor(void *baton)
{
    close(*(int *)baton);
    return APR_SUCCESS;
}

/* Root could do everything anyway, and so could we ourselves. */
static sa_error_t *check_owner(const struct stat *info, const char *kind, const char *path)
{
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s %s belongs to user %lu, who can change it; chown root %s", kind, path,
                        (unsigned long)info->st_uid, path);
    }
    return SA_OK;
}

static sa_error_t *check_mode(const struct stat *info, const char *kind, const char *path)
{
    if (info->st_mode & (S_IWGRP | S_IWOTH)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s %s has mode %04o, so others can change it; chmod go-w %s", kind, path,
                        (unsigned)(info->st_mode & 07777), path);
    }
    return SA_OK;
}

/* In a sticky directory like /tmp others can add names, but not touch what is ours: it
 * may lie on the way (its entry is judged next), but not hold the program itself. */
static sa_error_t *check_directory(const struct stat *info, const char *path)
{
    SA_TRY(check_owner(info, "the directory", path));
    if (!(info->st_mode & S_ISVTX)) {
        SA_TRY(check_mode(info, "the directory", path));
    }
    return SA_OK;
}

static const char *shown(const char *path)
{
    return path[0] ? path : "/";
}

/* Make FD, which INFO is of, at the place AT, the directory where the walk is. */
static sa_error_t *enter(walk_t *walk, int fd, const struct stat *info, const char *at)
{
    if (walk->directory >= 0) {
        close(walk->directory);
    }
    walk->directory = fd;
    walk->directory_info = *info;
    walk->at = at;
    return check_directory(info, shown(at));
}

static sa_error_t *enter_opened(walk_t *walk, int fd, const char *at)
{
    struct stat info;

    if (fd < 0) {
        return cannot(errno, "open the directory", shown(at));
    }
    if (fstat(fd, &info) != 0) {
        sa_error_t *err = cannot(errno, "examine the directory", shown(at));

        close(fd);
        return err;
    }
    return enter(walk, fd, &info, at);
}

static sa_error_t *enter_root(walk_t *walk)
{
    return enter_opened(walk, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), "");
}

static sa_error_t *enter_parent(walk_t *walk)
{
    const char *slash = strrchr(walk->at, '/');
    const char *at = slash ? apr_pstrmemdup(walk->pool, walk->at, (apr_size_t)(slash - walk->at))
                           : "";

    return enter_opened(walk, openat(walk->directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC),
                        at);
}

/* The link FD, in the directory where the walk is: go on where it leads. */
static sa_error_t *follow(walk_t *walk, int fd, const struct stat *info, const char *place)
{
    char target[PATH_MAX];
    ssize_t length;

    if (walk->script) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "%s is a symbolic link; name the place it points to instead", place);
    }
    SA_TRY(check_owner(info, "the link", place));
    walk->links++;
    if (walk->links > LINKS_MAX) {
        return cannot(ELOOP, "open", walk->path);
    }
    length = readlinkat(fd, "", target, sizeof(target) - 1);
    if (length <= 0) {
        return cannot(length < 0 ? errno : ENOENT, "follow", place);
    }
    if (strlen(walk->rest) + (size_t)length > PATH_MAX) {
        return cannot(ENAMETOOLONG, "follow", place);
    }
    target[length] = '\0';
    walk->rest = apr_pstrcat(walk->pool, target, "/", walk->rest, NULL);
    return target[0] == '/' ? enter_root(walk) : SA_OK;
}

/* Take the next NAME of the way; false: there is none. */
static bool next_name(const char **name, walk_t *walk)
{
    size_t length;

    walk->rest += strspn(walk->rest, "/");
    length = strcspn(walk->rest, "/");
    *name = apr_pstrmemdup(walk->pool, walk->rest, length);
    walk->rest += length;
    walk->rest += strspn(walk->rest, "/");
    return length > 0;
}

/* One step. */
static sa_error_t *step(walk_t *walk, const char *name)
{
    const char *place = apr_pstrcat(walk->pool, walk->at, "/", name, NULL);
    struct stat info;
    sa_error_t *err;
    int fd;

    if (strcmp(name, ".") == 0) {
        return SA_OK;
    }
    if (strcmp(name, "..") == 0) {
        return enter_parent(walk);
    }
    fd = openat(walk->directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return cannot(errno, "open", place);
    }
    if (fstat(fd, &info) != 0) {
        err = cannot(errno, "examine", place);
    } else if (S_ISLNK(info.st_mode)) {
        err = follow(walk, fd, &info, place);
    } else if (S_ISDIR(info.st_mode)) {
        return enter(walk, fd, &info, place);
    } else if (walk->rest[0]) {
        err = cannot(ENOTDIR, "open", place);
    } else {
        walk->found = fd;
        walk->found_info = info;
        return SA_OK;
    }
    close(fd);
    return err;
}

/* Go to the directory that holds the program; *NAME is its name there. */
static sa_error_t *find(const char **name, walk_t *walk)
{
    SA_TRY(enter_root(walk));
    while (walk->found < 0) {
        if (!next_name(name, walk)) {
            return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is a directory, not a program",
                            walk->path);
        }
        SA_TRY(step(walk, *name));
    }
    return check_mode(&walk->directory_info, "the directory", shown(walk->at));
}

static sa_error_t *check_script(const struct stat *info, int fd, const char *path)
{
    struct statvfs system;

    if (info->st_nlink != 1) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the script %s has %lu names (hard links), one of which may be others'; "
                        "replace it by a copy", path, (unsigned long)info->st_nlink);
    }
    if (info->st_mode & (S_ISUID | S_ISGID)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the script %s is setuid or setgid; chmod ug-s %s", path, path);
    }
    if (info->st_size == 0) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the script %s is empty", path);
    }
    if (fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOEXEC)) {
        return sa_error(SA_ERR_FILE_UNSAFE, NULL,
                        "the script %s is on a file system that is mounted noexec; move it", path);
    }
    return SA_OK;
}

static sa_error_t *check_file(const struct stat *info, int fd, const walk_t *walk)
{
    const char *kind = walk->script ? "the script" : "the program";

    if (!S_ISREG(info->st_mode)) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s is not a regular file", walk->path);
    }
    SA_TRY(check_owner(info, kind, walk->path));
    SA_TRY(check_mode(info, kind, walk->path));
    if (!(info->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "%s %s is not executable; chmod +x %s", kind,
                        walk->path, walk->path);
    }
    return walk->script ? check_script(info, fd, walk->path) : SA_OK;
}

/* Open NAME where the walk has ended, and is found without having been touched: the opening
 * of a device can do things, that of a FIFO waits. */
static sa_error_t *open_found(int *descriptor, walk_t *walk, const char *name)
{
    const struct stat *judged = &walk->found_info;
    struct stat info;
    sa_error_t *err = SA_OK;
    int readable;

    SA_TRY(check_file(judged, walk->found, walk));
    readable = openat(walk->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (readable < 0 && !walk->script) {
        *descriptor = walk->found;      /* some setuid programs can be run, but not read */
        walk->found = -1;
        return SA_OK;
    }
    if (readable < 0 || fstat(readable, &info) != 0) {
        err = cannot(errno, "open", walk->path);
    } else if (info.st_dev != judged->st_dev || info.st_ino != judged->st_ino) {
        err = sa_error(SA_ERR_FILE_UNSAFE, NULL, "%s was replaced while it was opened",
                       walk->path);
    }
    if (err && readable >= 0) {
        close(readable);
    }
    *descriptor = readable;
    return err;
}

/* The interpreter that LINE, the first of the script PATH, names. */
static sa_error_t *parse_first_line(const char **interpreter, char *line, const char *path,
                                    apr_pool_t *pool)
{
    size_t length = strcspn(line, "\n");
    const char *at;

    if (strncmp(line, "#!", 2) != 0) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL,
                        "the script %s does not begin with #! and an interpreter", path);
    }
    if (line[length] != '\n' && length == FIRST_LINE_MAX) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL, "the first line of the script %s is too long",
                        path);
    }
    line[length] = '\0';
    if (strchr(line, '\r')) {
        return sa_error(SA_ERR_FILE_CONTENT, NULL,
                        "the lines of the script %s end with CR LF, which its interpreter does not "
                        "take; sed -i 's/\\r$//' %s", path, path);
    }
    at = line + 2 + strspn(line + 2, " \t");
    *interpreter = apr_pstrmemdup(pool, at, strcspn(at, " \t"));
    if (**interpreter != '/') {
        return sa_error(SA_ERR_FILE_CONTENT, NULL,
                        "the script %s does not name its interpreter after #! with its whole path",
                        path);
    }
    return SA_OK;
}

static sa_error_t *read_first_line(sa_os_program_t *program, bool script, apr_pool_t *pool)
{
    char line[FIRST_LINE_MAX + 1];
    const char *interpreter = NULL;
    ssize_t got = pread(program->descriptor, line, FIRST_LINE_MAX, 0);

    if (got < 0) {
        return script ? cannot(errno, "read", program->path) : SA_OK;
    }
    line[got] = '\0';
    program->has_interpreter = strncmp(line, "#!", 2) == 0;
    if (!script) {
        return SA_OK;
    }
    SA_TRY(parse_first_line(&interpreter, line, program->path, pool));
    SA_TRY_MSG(sa_os_program_open(&program->interpreter, interpreter, false, pool),
               "cannot use the interpreter of the script %s", program->path);
    return SA_OK;
}

sa_error_t *sa_os_program_open(sa_os_program_t **program, const char *path, bool script,
                               apr_pool_t *pool)
{
    walk_t walk = {.path = path, .script = script, .rest = path, .at = "", .directory = -1,
                   .found = -1, .pool = pool};
    sa_os_program_t *opened = apr_pcalloc(pool, sizeof(*opened));
    const char *name = NULL;
    sa_error_t *err;

    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        return sa_error(SA_ERR_CONFIG, NULL, "%.64s is not an absolute path", path);
    }
    err = find(&name, &walk);
    if (!err) {
        err = open_found(&opened->descriptor, &walk, name);
    }
    if (walk.directory >= 0) {
        close(walk.directory);
    }
    if (walk.found >= 0) {
        close(walk.found);
    }
    SA_TRY(err);
    apr_pool_cleanup_register(pool, &opened->descriptor, close_descriptor,
                              apr_pool_cleanup_null);
    opened->path = apr_pstrdup(pool, path);
    SA_TRY(read_first_line(opened, script, pool));
    *program = opened;
    return SA_OK;
}
