/* killat: kill -9 between two steps, at a step that a story chooses.
 *
 *     cc -shared -fPIC -o killat.so killat.c
 *     KILL_AT=N KILL_UNDER=DIRECTORY LD_PRELOAD=killat.so COMMAND
 *
 * A step is a call that changes a file below DIRECTORY (made, written, flushed, renamed,
 * removed), or a connection that is made.  Before the N-th one the process kills itself, as
 * kill -9 would; the calls before it have been done, that one has not.  KILL_LOG, if it is set,
 * is a file that the number of steps is written to at an ordinary end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_long steps;
static long kill_at;
static char under[PATH_MAX];

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("KILL_AT");
    const char *directory = getenv("KILL_UNDER");

    kill_at = at ? strtol(at, NULL, 10) : 0;
    if (directory && !realpath(directory, under)) {
        under[0] = '\0';
    }
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("KILL_LOG");
    FILE *file = path ? fopen(path, "w") : NULL;

    if (file) {
        fprintf(file, "%ld\n", atomic_load(&steps));
        fclose(file);
    }
}

static void step(void)
{
    if (atomic_fetch_add(&steps, 1) + 1 == kill_at) {
        kill(getpid(), SIGKILL);
    }
}

static bool is_under(const char *path)
{
    size_t length = strlen(under);

    return length > 0 && strncmp(path, under, length) == 0;
}

/* What DESCRIPTOR is open on, or below for a directory. */
static bool is_descriptor_under(int descriptor)
{
    char link[64];
    char path[PATH_MAX];
    ssize_t length;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof(path) - 1);
    if (length <= 0) {
        return false;
    }
    path[length] = '\0';
    return is_under(path);
}

static bool is_place_under(int directory, const char *path)
{
    return path[0] == '/' || directory == AT_FDCWD ? is_under(path)
                                                   : is_descriptor_under(directory);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static mode_t mode_of(int flags, va_list arguments)
{
    bool made = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;

    return made ? va_arg(arguments, mode_t) : 0;
}

#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...)                      \
    {                                                               \
        va_list arguments;                                          \
        mode_t mode;                                                \
                                                                    \
        va_start(arguments, flags);                                 \
        mode = mode_of(flags, arguments);                           \
        va_end(arguments);                                          \
        if ((flags & O_CREAT) && is_under(path)) {                  \
            step();                                                 \
        }                                                           \
        return REAL(name)(path, flags, mode);                       \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                \
    int name(int directory, const char *path, int flags, ...)       \
    {                                                               \
        va_list arguments;                                          \
        mode_t mode;                                                \
                                                                    \
        va_start(arguments, flags);                                 \
        mode = mode_of(flags, arguments);                           \
        va_end(arguments);                                          \
        if ((flags & O_CREAT) && is_place_under(directory, path)) { \
            step();                                                 \
        }                                                           \
        return REAL(name)(directory, path, flags, mode);            \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *data, size_t length)
{
    if (is_descriptor_under(descriptor)) {
        step();
    }
    return REAL(write)(descriptor, data, length);
}

int fsync(int descriptor)
{
    if (is_descriptor_under(descriptor)) {
        step();
    }
    return REAL(fsync)(descriptor);
}

int fdatasync(int descriptor)
{
    if (is_descriptor_under(descriptor)) {
        step();
    }
    return REAL(fdatasync)(descriptor);
}

int rename(const char *from, const char *to)
{
    if (is_under(to)) {
        step();
    }
    return REAL(rename)(from, to);
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    if (is_place_under(to_directory, to)) {
        step();
    }
    return REAL(renameat)(from_directory, from, to_directory, to);
}

int unlink(const char *path)
{
    if (is_under(path)) {
        step();
    }
    return REAL(unlink)(path);
}

int unlinkat(int directory, const char *path, int flags)
{
    if (is_place_under(directory, path)) {
        step();
    }
    return REAL(unlinkat)(directory, path, flags);
}

int connect(int descriptor, const struct sockaddr *address, socklen_t length)
{
    if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
        step();
    }
    return REAL(connect)(descriptor, address, length);
}
