/* CPU, memory and disks as plain numbers.
 *
 * Linux: /proc.  FreeBSD: sysctl, getmntinfo, devstat.  Windows:
 * GetSystemTimes, GlobalMemoryStatusEx, GetDiskFreeSpaceEx, IOCTL_DISK_PERFORMANCE. */
#ifndef SA_OS_METRICS_H
#define SA_OS_METRICS_H

#include <stdbool.h>

#include <apr.h>
#include <apr_pools.h>
#include <apr_tables.h>

#include "sa_error.h"

/* Time all processors spent since boot, in any one unit.  Guest time is
 * already part of user time and not counted twice. */
typedef struct sa_os_cpu_t {
    apr_uint64_t total;
    apr_uint64_t idle;      /* waiting for disks included */
} sa_os_cpu_t;
sa_error_t *sa_os_cpu_read(sa_os_cpu_t *cpu, apr_pool_t *scratch_pool) SA_MUST_CHECK;

typedef struct sa_os_memory_t {
    apr_uint64_t total_bytes;
    apr_uint64_t available_bytes;   /* Linux: MemAvailable */
} sa_os_memory_t;
sa_error_t *sa_os_memory_read(sa_os_memory_t *memory, apr_pool_t *scratch_pool) SA_MUST_CHECK;

/* One mounted local file system of at least 1 GiB. */
typedef struct sa_os_disk_t {
    const char *drive;          /* mount point, or "C:" */
    apr_uint64_t total_bytes;
    apr_uint64_t free_bytes;    /* for users, without the reserve for root */
    bool has_io;                /* the two below are known */
    apr_uint64_t read_bytes;    /* since boot */
    apr_uint64_t written_bytes;
} sa_os_disk_t;

/* *DISKS: array of sa_os_disk_t in POOL, at most SA_OS_DISKS_MAX, each device
 * once, never a network file system (one that hangs would hang us). */
#define SA_OS_DISKS_MAX 256
sa_error_t *sa_os_disks_read(apr_array_header_t **disks, apr_pool_t *pool) SA_MUST_CHECK;

#endif
