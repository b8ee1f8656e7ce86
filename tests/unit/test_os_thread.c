/* Threads, mutexes, conditions and clocks of the machine. */
#include "sa_os_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/syscall.h>

#include <apr_strings.h>

#include "sa_os_clock.h"
#include "sa_test.h"

#define MANY 20000

typedef struct seen_t {
    char comm[64];
    char listed[64];    /* of /proc/self/task */
    sigset_t mask;
    size_t stack_bytes;
} seen_t;

static void read_line(char *text, size_t size, const char *path)
{
    FILE *file = fopen(path, "r");

    text[0] = '\0';
    if (file) {
        if (!fgets(text, (int)size, file)) {
            text[0] = '\0';
        }
        fclose(file);
    }
    text[strcspn(text, "\n")] = '\0';
}

static void look_around(void *baton)
{
    seen_t *seen = baton;
    pthread_attr_t attributes;
    char path[64];
    void *stack;

    snprintf(path, sizeof(path), "/proc/self/task/%ld/comm", (long)syscall(SYS_gettid));
    read_line(seen->listed, sizeof(seen->listed), path);
    pthread_getname_np(pthread_self(), seen->comm, sizeof(seen->comm));
    pthread_sigmask(SIG_SETMASK, NULL, &seen->mask);
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &stack, &seen->stack_bytes);
    pthread_attr_destroy(&attributes);
}

static seen_t look_from(const char *name, apr_pool_t *pool)
{
    sa_os_thread_t *thread;
    seen_t seen;

    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(sa_os_thread_start(&thread, name, look_around, &seen, pool), APR_SUCCESS);
    sa_os_thread_join(thread);
    return seen;
}

SA_TEST(a_thread_has_its_name_in_proc)
{
    seen_t seen = look_from("outbox", pool);

    ck_assert_str_eq(seen.comm, "outbox");
    ck_assert_str_eq(seen.listed, "outbox");
}

SA_TEST(a_long_name_is_cut)
{
    ck_assert_str_eq(look_from("a-name-of-more-than-fifteen", pool).listed, "a-name-of-more-");
}

SA_TEST(a_thread_can_rename_itself)
{
    char before[16];
    char after[16];

    (void)pool;
    pthread_getname_np(pthread_self(), before, sizeof(before));
    sa_os_thread_set_name("other");
    pthread_getname_np(pthread_self(), after, sizeof(after));
    sa_os_thread_set_name(before);
    ck_assert_str_eq(after, "other");
}

SA_TEST(a_thread_takes_no_signal_and_the_starter_keeps_its_mask)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD, SIGALRM};
    sigset_t before;
    sigset_t after;
    seen_t seen;

    pthread_sigmask(SIG_SETMASK, NULL, &before);
    seen = look_from("masked", pool);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ck_assert_int_eq(sigismember(&seen.mask, numbers[i]), 1);
        ck_assert_int_eq(sigismember(&after, numbers[i]), sigismember(&before, numbers[i]));
    }
}

SA_TEST(a_thread_has_a_small_stack)
{
    size_t bytes = look_from("stack", pool).stack_bytes;

    ck_assert_uint_ge(bytes, 128 * 1024);
    ck_assert_uint_le(bytes, 512 * 1024);
}

typedef struct shared_t {
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    int waiting;
    int released;
    int counter;
    bool go;
} shared_t;

static shared_t *make_shared(apr_pool_t *pool)
{
    shared_t *shared = apr_pcalloc(pool, sizeof(*shared));

    shared->mutex = sa_os_mutex_create(pool);
    shared->cond = sa_os_cond_create(pool);
    return shared;
}

static void count_up(void *baton)
{
    shared_t *shared = baton;

    for (int i = 0; i < MANY; i++) {
        sa_os_mutex_lock(shared->mutex);
        shared->counter++;
        sa_os_mutex_unlock(shared->mutex);
    }
}

SA_TEST(a_mutex_keeps_others_out)
{
    shared_t *shared = make_shared(pool);
    sa_os_thread_t *threads[3];

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "count", count_up, shared, pool),
                         APR_SUCCESS);
    }
    for (int i = 0; i < 3; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert_int_eq(shared->counter, 3 * MANY);
}

static void wait_for_go(void *baton)
{
    shared_t *shared = baton;

    sa_os_mutex_lock(shared->mutex);
    shared->waiting++;
    sa_os_cond_broadcast(shared->cond);
    while (!shared->go) {
        ck_assert(sa_os_cond_wait(shared->cond, shared->mutex, SA_OS_NEVER));
    }
    shared->released++;
    sa_os_mutex_unlock(shared->mutex);
}

SA_TEST(a_broadcast_wakes_all_who_wait_for_ever)
{
    shared_t *shared = make_shared(pool);
    sa_os_thread_t *threads[3];
    apr_interval_time_t deadline = sa_os_clock_mono() + apr_time_from_sec(60);

    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(sa_os_thread_start(&threads[i], "wait", wait_for_go, shared, pool),
                         APR_SUCCESS);
    }
    sa_os_mutex_lock(shared->mutex);
    while (shared->waiting < 3) {
        ck_assert(sa_os_cond_wait(shared->cond, shared->mutex, deadline));
    }
    shared->go = true;
    sa_os_cond_broadcast(shared->cond);
    sa_os_mutex_unlock(shared->mutex);
    for (int i = 0; i < 3; i++) {
        sa_os_thread_join(threads[i]);
    }
    ck_assert_int_eq(shared->released, 3);
}

static void signal_once(void *baton)
{
    shared_t *shared = baton;

    sa_os_mutex_lock(shared->mutex);
    shared->go = true;
    sa_os_cond_signal(shared->cond);
    sa_os_mutex_unlock(shared->mutex);
}

SA_TEST(a_signal_wakes_a_waiter_before_its_deadline)
{
    shared_t *shared = make_shared(pool);
    sa_os_thread_t *thread;
    apr_interval_time_t deadline = sa_os_clock_mono() + apr_time_from_sec(60);

    sa_os_mutex_lock(shared->mutex);
    ck_assert_int_eq(sa_os_thread_start(&thread, "signal", signal_once, shared, pool),
                     APR_SUCCESS);
    while (!shared->go) {
        ck_assert(sa_os_cond_wait(shared->cond, shared->mutex, deadline));
    }
    sa_os_mutex_unlock(shared->mutex);
    sa_os_thread_join(thread);
}

/* On any other clock a time of the monotonic one is decades ago, or ahead. */
SA_TEST(a_wait_ends_at_its_deadline_of_the_monotonic_clock)
{
    shared_t *shared = make_shared(pool);
    apr_interval_time_t deadline = sa_os_clock_mono() + apr_time_from_msec(30);

    sa_os_mutex_lock(shared->mutex);
    while (sa_os_cond_wait(shared->cond, shared->mutex, deadline)) {
        ck_assert_int_lt(sa_os_clock_mono(), deadline + apr_time_from_sec(10));
    }
    sa_os_mutex_unlock(shared->mutex);
    ck_assert_int_ge(sa_os_clock_mono(), deadline);
    ck_assert_int_lt(sa_os_clock_mono(), deadline + apr_time_from_sec(10));
}

SA_TEST(a_deadline_that_has_passed_does_not_wait)
{
    static const apr_interval_time_t deadlines[] = {APR_INT64_MIN, -1, 0, 1};
    shared_t *shared = make_shared(pool);

    sa_os_mutex_lock(shared->mutex);
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        ck_assert(!sa_os_cond_wait(shared->cond, shared->mutex, deadlines[i]));
    }
    sa_os_mutex_unlock(shared->mutex);
}

SA_TEST(the_clocks_go_forward_and_boot_counts_at_least_as_much)
{
    apr_interval_time_t before = sa_os_clock_mono();
    apr_interval_time_t boot = sa_os_clock_boot();

    (void)pool;
    ck_assert_int_gt(before, 0);
    ck_assert_int_ge(boot, before);
    ck_assert_int_ge(sa_os_clock_mono(), before);
    ck_assert_int_ge(sa_os_clock_boot(), boot);
}

SA_TEST_MAIN("os_thread", a_thread_has_its_name_in_proc, a_long_name_is_cut,
             a_thread_can_rename_itself, a_thread_takes_no_signal_and_the_starter_keeps_its_mask,
             a_thread_has_a_small_stack, a_mutex_keeps_others_out,
             a_broadcast_wakes_all_who_wait_for_ever,
             a_signal_wakes_a_waiter_before_its_deadline,
             a_wait_ends_at_its_deadline_of_the_monotonic_clock,
             a_deadline_that_has_passed_does_not_wait,
             the_clocks_go_forward_and_boot_counts_at_least_as_much)
