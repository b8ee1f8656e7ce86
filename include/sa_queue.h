/* A bounded mailbox: the only way between threads.
 *
 * Items are pointers; giving one moves its ownership, and the giver's pointer
 * becomes NULL.  Any number of threads may give and take.  Order is kept. */
#ifndef SA_QUEUE_H
#define SA_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>
#include <apr_time.h>

typedef struct sa_queue_t sa_queue_t;

/* A queue of at most LIMIT items, living in POOL.  Items still inside when the
 * pool goes are not freed: drain it first.  Whoever gives or wakes must have
 * come back from it before the pool goes; that an item was taken, or a taker
 * woken, does not prove it. */
sa_queue_t *sa_queue_create(size_t limit, apr_pool_t *pool);

/* Give *ITEM and set it to NULL.  false, and *ITEM stays, when the queue is
 * full or closed: refuse, do not wait. */
bool sa_queue_give_(sa_queue_t *queue, void **item);
/* The same, but wait until DEADLINE (monotonic) for room. */
bool sa_queue_give_wait_(sa_queue_t *queue, void **item, apr_interval_time_t deadline);
#define sa_queue_give(queue, item) sa_queue_give_((queue), (void **)(item))
#define sa_queue_give_wait(queue, item, deadline) \
    sa_queue_give_wait_((queue), (void **)(item), (deadline))

/* Take the oldest item, waiting until DEADLINE (SA_OS_NEVER: for ever).  NULL:
 * the time has passed, somebody called sa_queue_wake(), or the queue is closed
 * and empty. */
void *sa_queue_take(sa_queue_t *queue, apr_interval_time_t deadline);
/* Take without waiting; NULL when empty. */
void *sa_queue_try_take(sa_queue_t *queue);

/* Make one waiting taker (or the next one) return at once. */
void sa_queue_wake(sa_queue_t *queue);
/* Refuse further items and let takers run dry. */
void sa_queue_close(sa_queue_t *queue);
bool sa_queue_is_closed(sa_queue_t *queue);
size_t sa_queue_length(sa_queue_t *queue);

#endif
