/* Are our threads alive?
 *
 * A thread says when it begins to work and when it goes to wait; who watches
 * asks whether one has worked for too long without coming back.  A waiting
 * thread costs nothing: no timer wakes it to say that it lives. */
#ifndef SA_PULSE_H
#define SA_PULSE_H

#include <apr_pools.h>
#include <apr_time.h>

typedef struct sa_pulse_t sa_pulse_t;

/* NAME must live as long as POOL; the pulse is watched until POOL goes. */
sa_pulse_t *sa_pulse_create(const char *name, apr_pool_t *pool);
/* By the thread itself. */
void sa_pulse_busy(sa_pulse_t *pulse);
void sa_pulse_idle(sa_pulse_t *pulse);
/* The name of a thread that has been busy for longer than LIMIT, or NULL. */
const char *sa_pulse_stuck(apr_interval_time_t limit);

#endif
