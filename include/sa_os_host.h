/* What this machine is, and what our process costs it. */
#ifndef SA_OS_HOST_H
#define SA_OS_HOST_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>

#include "sa_error.h"

/* Strings live in the pool given; "" when unknown. */
typedef struct sa_os_host_t {
    const char *platform;   /* "linux", "freebsd", "windows" */
    const char *name;       /* Linux: NAME of os-release(5) */
    const char *version;    /* Linux: VERSION, else VERSION_ID */
    const char *build;      /* uname(2) release; Windows: the build number */
    const char *hostname;
} sa_os_host_t;
sa_error_t *sa_os_host_read(sa_os_host_t *host, apr_pool_t *pool) SA_MUST_CHECK;

typedef struct sa_os_self_t {
    apr_uint64_t resident_bytes;
    apr_uint64_t threads;
    apr_uint64_t cpu_us;        /* user and system time so far */
    apr_uint64_t descriptors;   /* open ones; 0 where it cannot be told */
} sa_os_self_t;
/* Linux: /proc/self.  FreeBSD: kinfo_proc.  Windows: GetProcessMemoryInfo. */
sa_error_t *sa_os_self_read(sa_os_self_t *self, apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* Our number among the processes. */
apr_int64_t sa_os_process_id(void);
/* When process PID began, in the system's own unit since its boot: with the number it names one
 * process for as long as the machine is up.  false: there is none.
 * Linux: starttime of /proc/PID/stat, proc(5).  FreeBSD: ki_start.  Windows: GetProcessTimes. */
bool sa_os_process_begin(apr_uint64_t *begin, apr_int64_t pid, apr_pool_t *scratch_pool);

#endif
