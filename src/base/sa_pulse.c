/* base: which thread has been at work for how long. */
#include "sa_pulse.h"

#include <apr_atomic.h>

#include "sa_error.h"
#include "sa_time.h"

#define PULSES_MAX 16

struct sa_pulse_t {
    const char *volatile name;          /* NULL: the place is free */
    volatile apr_uint64_t busy_since;   /* 0: waiting */
};

static sa_pulse_t pulses[PULSES_MAX];

static apr_status_t drop_pulse(void *baton)
{
    sa_pulse_t *pulse = baton;

    apr_atomic_set64(&pulse->busy_since, 0);
    pulse->name = NULL;
    return APR_SUCCESS;
}

sa_pulse_t *sa_pulse_create(const char *name, apr_pool_t *pool)
{
    /* rooms are started one after the other, by one thread */
    for (int i = 0; i < PULSES_MAX; i++) {
        if (!pulses[i].name) {
            pulses[i].name = name;
            apr_pool_cleanup_register(pool, &pulses[i], drop_pulse, apr_pool_cleanup_null);
            return &pulses[i];
        }
    }
    sa_assert_failed(__FILE__, __LINE__, "too many pulses");
}

void sa_pulse_busy(sa_pulse_t *pulse)
{
    apr_atomic_set64(&pulse->busy_since, (apr_uint64_t)sa_time_mono());
}

void sa_pulse_idle(sa_pulse_t *pulse)
{
    apr_atomic_set64(&pulse->busy_since, 0);
}

const char *sa_pulse_stuck(apr_interval_time_t limit)
{
    apr_interval_time_t now = sa_time_mono();

    for (int i = 0; i < PULSES_MAX; i++) {
        apr_interval_time_t since = (apr_interval_time_t)apr_atomic_read64(&pulses[i].busy_since);

        if (since != 0 && now - since > limit) {
            return pulses[i].name ? pulses[i].name : "a thread";
        }
    }
    return NULL;
}
