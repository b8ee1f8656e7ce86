/* Retry delays: exponential with full jitter.
 *
 * The n-th delay is uniform in [0, min(max, first * 2^n)]: "full jitter"
 * spreads a crowd that failed at the same moment better than a fixed part
 * plus a random one.  One thread. */
#ifndef SA_BACKOFF_H
#define SA_BACKOFF_H

#include <apr_time.h>

#include "sa_random.h"

typedef struct sa_backoff_t {
    apr_interval_time_t first;
    apr_interval_time_t max;
    unsigned int attempt;
    sa_random_t random;
} sa_backoff_t;

void sa_backoff_init(sa_backoff_t *backoff, apr_interval_time_t first, apr_interval_time_t max);
/* The delay before the next try; each call counts as one failure. */
apr_interval_time_t sa_backoff_next(sa_backoff_t *backoff);
/* It worked: start small again. */
void sa_backoff_reset(sa_backoff_t *backoff);

#endif
