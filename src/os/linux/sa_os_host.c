/* os: what this machine is, and what our process costs it. */
#include "sa_os_host.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/utsname.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "sa_os_file.h"
#include "sa_os_linux.h"

#define OS_RELEASE_LIMIT (64 * 1024)
#define DESCRIPTORS_MAX 65536

/* Undo the quoting of a shell word: LENGTH bytes at TEXT. */
static const char *unquote(const char *text, size_t length, apr_pool_t *pool)
{
    char *result = apr_palloc(pool, length + 1);
    char *put = result;
    char quote = '\0';

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
        } else if (c == '\\' && quote != '\'' && i + 1 < length) {
            *put++ = text[++i];
        } else {
            *put++ = c;
        }
    }
    *put = '\0';
    return result;
}

const char *sa_os__os_release_value(const char *text, const char *key, apr_pool_t *pool)
{
    size_t key_length = strlen(key);
    const char *value = NULL;

    while (*text) {
        size_t length = strcspn(text, "\r\n");

        /* The last one counts, as in a shell. */
        if (length > key_length && strncmp(text, key, key_length) == 0 &&
            text[key_length] == '=') {
            value = unquote(text + key_length + 1, length - key_length - 1, pool);
        }
        text += length;
        text += strspn(text, "\r\n");
    }
    return value;
}

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static void read_os_release(sa_os_host_t *host, apr_pool_t *pool)
{
    static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};

    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *text;
        size_t length;
        sa_error_t *err = sa_os_file_read(&text, &length, paths[i], OS_RELEASE_LIMIT, pool);

        if (!err) {
            const char *version = sa_os__os_release_value(text, "VERSION", pool);

            if (!version) {
                version = sa_os__os_release_value(text, "VERSION_ID", pool);
            }
            host->name = or_empty(sa_os__os_release_value(text, "NAME", pool));
            host->version = or_empty(version);
            return;
        }
        sa_error_clear(err);    /* "" is the answer where there is none */
    }
}

sa_error_t *sa_os_host_read(sa_os_host_t *host, apr_pool_t *pool)
{
    struct utsname names;

    host->platform = "linux";
    host->name = "";
    host->version = "";
    read_os_release(host, pool);
    if (uname(&names) < 0) {
        return sa_error(SA_ERR_INTERNAL, NULL, "cannot ask for the name of the system");
    }
    host->build = apr_pstrdup(pool, names.release);
    host->hostname = apr_pstrdup(pool, names.nodename);
    return SA_OK;
}

void sa_os__parse_self(sa_os_self_t *self, const char *statm, const char *status,
                       apr_uint64_t page_bytes)
{
    const char *line = strstr(status, "\nThreads:");
    apr_uint64_t size;
    apr_uint64_t resident;
    apr_uint64_t threads;

    if (sa_os__number(&size, &statm) && sa_os__number(&resident, &statm)) {
        self->resident_bytes = resident * page_bytes;
    }
    line = line ? line + strlen("\nThreads:") : "";
    if (sa_os__number(&threads, &line)) {
        self->threads = threads;
    }
}

static apr_uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    apr_uint64_t count = 0;

    if (!directory) {
        return 0;
    }
    for (const struct dirent *entry = readdir(directory); entry && count < DESCRIPTORS_MAX;
         entry = readdir(directory)) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count > 0 ? count - 1 : 0;   /* without the one we just counted with */
}

static apr_uint64_t microseconds(const struct timeval *time)
{
    return (apr_uint64_t)time->tv_sec * APR_USEC_PER_SEC + (apr_uint64_t)time->tv_usec;
}

sa_error_t *sa_os_self_read(sa_os_self_t *self, apr_pool_t *scratch_pool)
{
    struct rusage usage;
    const char *statm;
    const char *status;

    memset(self, 0, sizeof(*self));
    SA_TRY(sa_os__proc_read(&statm, "/proc/self/statm", SA_OS_PROC_LIMIT, scratch_pool));
    SA_TRY(sa_os__proc_read(&status, "/proc/self/status", SA_OS_PROC_LIMIT, scratch_pool));
    sa_os__parse_self(self, statm, status, (apr_uint64_t)sysconf(_SC_PAGESIZE));
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        self->cpu_us = microseconds(&usage.ru_utime) + microseconds(&usage.ru_stime);
    }
    self->descriptors = count_descriptors();
    return SA_OK;
}

apr_int64_t sa_os_process_id(void)
{
    return (apr_int64_t)getpid();
}

/* The fields behind the name, which may hold blanks and brackets, begin with the third; begin is
 * the 22nd.  A process that has ended and was not waited for (Z) is none. */
bool sa_os__parse_begin(apr_uint64_t *begin, const char *stat)
{
    const char *at = strrchr(stat, ')');

    if (!at || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X') {
        return false;
    }
    at += 2;
    for (int field = 3; field < 22; field++) {
        at += strcspn(at, " ");
        if (*at != ' ') {
            return false;
        }
        at++;
    }
    return sa_os__number(begin, &at);
}

bool sa_os_process_begin(apr_uint64_t *begin, apr_int64_t pid, apr_pool_t *scratch_pool)
{
    const char *stat;
    sa_error_t *err;

    if (pid <= 0) {
        return false;
    }
    err = sa_os__proc_read(&stat, apr_psprintf(scratch_pool, "/proc/%" APR_INT64_T_FMT "/stat",
                                               pid), SA_OS_PROC_LIMIT, scratch_pool);
    if (err) {
        sa_error_clear(err);        /* there is none, or /proc hides it: the same to us */
        return false;
    }
    return sa_os__parse_begin(begin, stat);
}
