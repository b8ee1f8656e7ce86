/* os: threads, mutexes and conditions on pthreads.  Floor: knows nothing of
 * ours. */
#include "sa_os_thread.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <apr_strings.h>

#include "sa_os_posix.h"

/* Our threads keep large things in pools; the default would be 8 MiB of address
 * space each. */
#define STACK_BYTES (256 * 1024)

struct sa_os_thread_t {
    pthread_t handle;
    const char *name;
    sa_os_thread_fn_t fn;
    void *baton;
};

struct sa_os_mutex_t {
    pthread_mutex_t handle;
};

struct sa_os_cond_t {
    pthread_cond_t handle;
};

/* A pthread call that can fail only through a mistake of ours or for want of
 * memory.  Going on without a lock would be worse than ending. */
static void must(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "stone-age-agent: %s failed (%d)\n", what, status);
        abort();
    }
}

static void *run(void *baton)
{
    sa_os_thread_t *thread = baton;

    sa_os__thread_name(thread->name);
    thread->fn(thread->baton);
    return NULL;
}

static size_t stack_size(void)
{
    size_t least = (size_t)PTHREAD_STACK_MIN;   /* not always a constant */

    return least > STACK_BYTES ? least : STACK_BYTES;
}

apr_status_t sa_os_thread_start(sa_os_thread_t **thread, const char *name,
                                sa_os_thread_fn_t fn, void *baton, apr_pool_t *pool)
{
    sa_os_thread_t *made = apr_pcalloc(pool, sizeof(*made));
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    int status;

    made->name = apr_pstrdup(pool, name);
    made->fn = fn;
    made->baton = baton;
    status = pthread_attr_init(&attributes);
    if (status != 0) {
        return status;
    }
    must(pthread_attr_setstacksize(&attributes, stack_size()), "pthread_attr_setstacksize");
    /* The new thread inherits the mask: set it here, so that there is no moment
     * in which it could take a signal meant for the main thread. */
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before), "pthread_sigmask");
    status = pthread_create(&made->handle, &attributes, run, made);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL), "pthread_sigmask");
    pthread_attr_destroy(&attributes);
    if (status == 0) {
        *thread = made;
    }
    return status;
}

void sa_os_thread_join(sa_os_thread_t *thread)
{
    must(pthread_join(thread->handle, NULL), "pthread_join");
}

void sa_os__thread_abandon(sa_os_thread_t *thread)
{
    must(pthread_detach(thread->handle), "pthread_detach");
}

void sa_os_thread_set_name(const char *name)
{
    sa_os__thread_name(name);
}

static apr_status_t destroy_mutex(void *baton)
{
    sa_os_mutex_t *mutex = baton;

    return pthread_mutex_destroy(&mutex->handle);
}

sa_os_mutex_t *sa_os_mutex_create(apr_pool_t *pool)
{
    sa_os_mutex_t *mutex = apr_pcalloc(pool, sizeof(*mutex));

    must(pthread_mutex_init(&mutex->handle, NULL), "pthread_mutex_init");
    apr_pool_cleanup_register(pool, mutex, destroy_mutex, apr_pool_cleanup_null);
    return mutex;
}

void sa_os_mutex_lock(sa_os_mutex_t *mutex)
{
    must(pthread_mutex_lock(&mutex->handle), "pthread_mutex_lock");
}

void sa_os_mutex_unlock(sa_os_mutex_t *mutex)
{
    must(pthread_mutex_unlock(&mutex->handle), "pthread_mutex_unlock");
}

static apr_status_t destroy_cond(void *baton)
{
    sa_os_cond_t *cond = baton;

    return pthread_cond_destroy(&cond->handle);
}

sa_os_cond_t *sa_os_cond_create(apr_pool_t *pool)
{
    sa_os_cond_t *cond = apr_pcalloc(pool, sizeof(*cond));
    pthread_condattr_t attributes;

    must(pthread_condattr_init(&attributes), "pthread_condattr_init");
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), "pthread_condattr_setclock");
    must(pthread_cond_init(&cond->handle, &attributes), "pthread_cond_init");
    pthread_condattr_destroy(&attributes);
    apr_pool_cleanup_register(pool, cond, destroy_cond, apr_pool_cleanup_null);
    return cond;
}

bool sa_os_cond_wait(sa_os_cond_t *cond, sa_os_mutex_t *mutex, apr_interval_time_t deadline)
{
    struct timespec until;
    int status;

    if (deadline == SA_OS_NEVER) {
        must(pthread_cond_wait(&cond->handle, &mutex->handle), "pthread_cond_wait");
        return true;
    }
    if (deadline < 0) {
        deadline = 0;       /* long past; a negative timespec is EINVAL */
    }
    until.tv_sec = (time_t)(deadline / APR_USEC_PER_SEC);
    until.tv_nsec = (long)(deadline % APR_USEC_PER_SEC) * 1000;
    status = pthread_cond_timedwait(&cond->handle, &mutex->handle, &until);
    if (status == ETIMEDOUT) {
        return false;
    }
    must(status, "pthread_cond_timedwait");
    return true;
}

void sa_os_cond_signal(sa_os_cond_t *cond)
{
    must(pthread_cond_signal(&cond->handle), "pthread_cond_signal");
}

void sa_os_cond_broadcast(sa_os_cond_t *cond)
{
    must(pthread_cond_broadcast(&cond->handle), "pthread_cond_broadcast");
}
