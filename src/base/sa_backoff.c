/* base: retry delays, exponential with full jitter. */
#include "sa_backoff.h"

#include "sa_error.h"

void sa_backoff_init(sa_backoff_t *backoff, apr_interval_time_t first, apr_interval_time_t max)
{
    SA_ASSERT(first > 0);
    backoff->first = first;
    backoff->max = max < first ? first : max;
    backoff->attempt = 0;
    sa_random_init(&backoff->random);
}

apr_interval_time_t sa_backoff_next(sa_backoff_t *backoff)
{
    apr_interval_time_t ceiling = backoff->first;

    for (unsigned int i = 0; i < backoff->attempt && ceiling < backoff->max; i++) {
        ceiling *= 2;
    }
    if (ceiling > backoff->max) {
        ceiling = backoff->max;
    }
    if (backoff->attempt < 62) {
        backoff->attempt++;
    }
    return (apr_interval_time_t)sa_random_below(&backoff->random, (apr_uint64_t)ceiling + 1);
}

void sa_backoff_reset(sa_backoff_t *backoff)
{
    backoff->attempt = 0;
}
