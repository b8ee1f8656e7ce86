/* os: reading /proc. */
#include "sa_os_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST_READ 8192

const char *sa_os__next_line(const char *text)
{
    text += strcspn(text, "\n");
    return *text ? text + 1 : text;
}

bool sa_os__number(apr_uint64_t *number, const char **text)
{
    const char *at = *text + strspn(*text, " \t");
    apr_uint64_t value = 0;

    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned)(*at - '0');

        if (value > (APR_UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *number = value;
    *text = at;
    return true;
}

/* Fill BUFFER as far as the file goes; -1 with errno on failure. */
static ssize_t read_full(int fd, char *buffer, size_t size)
{
    size_t used = 0;

    while (used < size) {
        ssize_t got = read(fd, buffer + used, size - used);

        if (got == 0) {
            break;
        }
        if (got > 0) {
            used += (size_t)got;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return (ssize_t)used;
}

/* The same into POOL, at most LIMIT bytes; errno as the result. */
static int read_growing(char **data, size_t *length, int fd, size_t limit, apr_pool_t *pool)
{
    size_t size = limit < FIRST_READ ? limit : FIRST_READ;
    char *buffer = apr_palloc(pool, size + 1);
    size_t used = 0;

    for (;;) {
        ssize_t got = read_full(fd, buffer + used, size - used);
        char *larger;

        if (got < 0) {
            return errno;
        }
        used += (size_t)got;
        if (used < size || size == limit) {
            break;
        }
        size = size > limit / 2 ? limit : size * 2;
        larger = apr_palloc(pool, size + 1);
        memcpy(larger, buffer, used);
        buffer = larger;
    }
    *data = buffer;
    *length = used;
    return 0;
}

sa_error_t *sa_os__proc_read(const char **text, const char *path, size_t limit,
                             apr_pool_t *pool)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *data = NULL;
    size_t length = 0;
    int number;

    if (fd < 0) {
        return sa_error_apr(errno, "cannot open %s", path);
    }
    number = read_growing(&data, &length, fd, limit, pool);
    close(fd);
    if (number != 0) {
        return sa_error_apr(number, "cannot read %s", path);
    }
    if (length == limit) {
        while (length > 0 && data[length - 1] != '\n') {
            length--;
        }
    }
    data[length] = '\0';
    *text = data;
    return SA_OK;
}
