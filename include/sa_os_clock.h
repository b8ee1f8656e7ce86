/* The machine's clocks.  A floor face: base stands on it, so it knows nothing
 * of ours.
 *
 * Linux and FreeBSD: clock_gettime(2) with CLOCK_MONOTONIC; on Linux
 * CLOCK_BOOTTIME for the one that counts sleep.  Windows:
 * QueryUnbiasedInterruptTime and QueryInterruptTime. */
#ifndef SA_OS_CLOCK_H
#define SA_OS_CLOCK_H

#include <apr_time.h>

/* Microseconds since some fixed moment; never steps, stands still while the
 * machine sleeps.  Any thread. */
apr_interval_time_t sa_os_clock_mono(void);

/* As above, but goes on while the machine sleeps: the time since boot. */
apr_interval_time_t sa_os_clock_boot(void);

#endif
