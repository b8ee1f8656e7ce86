/* Threads, mutexes and waits on the monotonic clock.  A floor face: base
 * stands on it, so it knows nothing of ours.
 *
 * Not APR's: apr_thread_cond_timedwait(3) waits on the wall clock, so a clock
 * that is stepped back an hour stretches every wait by an hour, and an APR
 * thread has no name.
 * Linux, FreeBSD: pthreads, CLOCK_MONOTONIC condition variables.  Windows:
 * SRW locks, condition variables, SetThreadDescription. */
#ifndef SA_OS_THREAD_H
#define SA_OS_THREAD_H

#include <stdbool.h>

#include <apr_pools.h>
#include <apr_time.h>

typedef struct sa_os_thread_t sa_os_thread_t;
typedef struct sa_os_mutex_t sa_os_mutex_t;
typedef struct sa_os_cond_t sa_os_cond_t;
typedef void (*sa_os_thread_fn_t)(void *baton);

/* Start FN(BATON) in a thread called NAME (at most 15 bytes are shown) with a
 * small stack and every signal blocked.  *THREAD lives in POOL; join it before
 * POOL goes. */
apr_status_t sa_os_thread_start(sa_os_thread_t **thread, const char *name,
                                sa_os_thread_fn_t fn, void *baton, apr_pool_t *pool);
/* Wait for the end of THREAD. */
void sa_os_thread_join(sa_os_thread_t *thread);
/* Name the calling thread. */
void sa_os_thread_set_name(const char *name);

/* Destroyed with POOL.  A failure to make one is out of memory: it aborts. */
sa_os_mutex_t *sa_os_mutex_create(apr_pool_t *pool);
void sa_os_mutex_lock(sa_os_mutex_t *mutex);
void sa_os_mutex_unlock(sa_os_mutex_t *mutex);

/* A condition; the waiter holds MUTEX.  DEADLINE is a time of
 * sa_os_clock_mono(), or SA_OS_NEVER.  Returns false when it has passed;
 * a true may be spurious. */
#define SA_OS_NEVER APR_INT64_MAX
sa_os_cond_t *sa_os_cond_create(apr_pool_t *pool);
bool sa_os_cond_wait(sa_os_cond_t *cond, sa_os_mutex_t *mutex, apr_interval_time_t deadline);
void sa_os_cond_signal(sa_os_cond_t *cond);
void sa_os_cond_broadcast(sa_os_cond_t *cond);

#endif
