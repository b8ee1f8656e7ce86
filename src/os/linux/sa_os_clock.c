/* os: the clocks of Linux.  Floor: knows nothing of ours. */
#include "sa_os_clock.h"

#include <stdlib.h>
#include <time.h>

static apr_interval_time_t read_clock(clockid_t id)
{
    struct timespec now;

    if (clock_gettime(id, &now) != 0) {
        abort();        /* only a kernel older than 2.6.39 can */
    }
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

apr_interval_time_t sa_os_clock_mono(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

apr_interval_time_t sa_os_clock_boot(void)
{
    return read_clock(CLOCK_BOOTTIME);
}
