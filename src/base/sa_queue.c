/* base: the bounded mailbox.  A ring, one mutex, two conditions. */
#include "sa_queue.h"

#include "sa_error.h"
#include "sa_os_thread.h"

struct sa_queue_t {
    sa_os_mutex_t *mutex;       /* guards everything below */
    sa_os_cond_t *not_empty;
    sa_os_cond_t *not_full;
    void **ring;
    size_t limit;
    size_t first;
    size_t length;
    bool woken;
    bool closed;
};

sa_queue_t *sa_queue_create(size_t limit, apr_pool_t *pool)
{
    sa_queue_t *queue = apr_pcalloc(pool, sizeof(*queue));

    SA_ASSERT(limit > 0);
    queue->mutex = sa_os_mutex_create(pool);
    queue->not_empty = sa_os_cond_create(pool);
    queue->not_full = sa_os_cond_create(pool);
    queue->ring = apr_pcalloc(pool, limit * sizeof(*queue->ring));
    queue->limit = limit;
    return queue;
}

bool sa_queue_give_(sa_queue_t *queue, void **item)
{
    return sa_queue_give_wait_(queue, item, 0);
}

bool sa_queue_give_wait_(sa_queue_t *queue, void **item, apr_interval_time_t deadline)
{
    bool given = false;

    SA_ASSERT(*item != NULL);
    sa_os_mutex_lock(queue->mutex);
    while (!queue->closed && queue->length == queue->limit && deadline != 0) {
        if (!sa_os_cond_wait(queue->not_full, queue->mutex, deadline)) {
            break;
        }
    }
    if (!queue->closed && queue->length < queue->limit) {
        queue->ring[(queue->first + queue->length) % queue->limit] = *item;
        queue->length++;
        *item = NULL;
        given = true;
    }
    sa_os_mutex_unlock(queue->mutex);
    if (given) {
        /* not under the lock: the taker would wake only to wait for it */
        sa_os_cond_signal(queue->not_empty);
    }
    return given;
}

/* The oldest item, or NULL; the lock is held. */
static void *shift(sa_queue_t *queue)
{
    void *item;

    if (queue->length == 0) {
        return NULL;
    }
    item = queue->ring[queue->first];
    queue->first = (queue->first + 1) % queue->limit;
    queue->length--;
    sa_os_cond_signal(queue->not_full);
    return item;
}

void *sa_queue_take(sa_queue_t *queue, apr_interval_time_t deadline)
{
    void *item;

    sa_os_mutex_lock(queue->mutex);
    while (queue->length == 0 && !queue->closed && !queue->woken) {
        if (!sa_os_cond_wait(queue->not_empty, queue->mutex, deadline)) {
            break;
        }
    }
    queue->woken = false;
    item = shift(queue);
    sa_os_mutex_unlock(queue->mutex);
    return item;
}

void *sa_queue_try_take(sa_queue_t *queue)
{
    void *item;

    sa_os_mutex_lock(queue->mutex);
    item = shift(queue);
    sa_os_mutex_unlock(queue->mutex);
    return item;
}

void sa_queue_wake(sa_queue_t *queue)
{
    sa_os_mutex_lock(queue->mutex);
    queue->woken = true;
    sa_os_mutex_unlock(queue->mutex);
    sa_os_cond_signal(queue->not_empty);
}

void sa_queue_close(sa_queue_t *queue)
{
    sa_os_mutex_lock(queue->mutex);
    queue->closed = true;
    sa_os_cond_broadcast(queue->not_empty);
    sa_os_cond_broadcast(queue->not_full);
    sa_os_mutex_unlock(queue->mutex);
}

bool sa_queue_is_closed(sa_queue_t *queue)
{
    bool closed;

    sa_os_mutex_lock(queue->mutex);
    closed = queue->closed;
    sa_os_mutex_unlock(queue->mutex);
    return closed;
}

size_t sa_queue_length(sa_queue_t *queue)
{
    size_t length;

    sa_os_mutex_lock(queue->mutex);
    length = queue->length;
    sa_os_mutex_unlock(queue->mutex);
    return length;
}
