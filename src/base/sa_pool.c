/* base: pools.  Roots for threads and messages; out of memory aborts. */
#include "sa_pool.h"

#include <stdio.h>
#include <stdlib.h>

#include <apr_allocator.h>

#include "sa_error.h"

static int out_of_memory(int status)
{
    (void)status;
    fputs("stone-age-agent: out of memory\n", stderr);
    abort();
}

apr_pool_t *sa_pool_create(apr_pool_t *parent)
{
    apr_pool_t *pool;

    if (apr_pool_create_ex(&pool, parent, out_of_memory, NULL) != APR_SUCCESS) {
        out_of_memory(APR_ENOMEM);
    }
    return pool;
}

apr_pool_t *sa_pool_create_root(void)
{
    apr_allocator_t *allocator;
    apr_pool_t *pool;

    if (apr_allocator_create(&allocator) != APR_SUCCESS) {
        out_of_memory(APR_ENOMEM);
    }
    apr_allocator_max_free_set(allocator, SA_POOL_KEEP);
    /* Unmanaged: a root hanging below APR's global pool would need its lock and
     * would die before the thread that uses it at apr_terminate(). */
    if (apr_pool_create_unmanaged_ex(&pool, out_of_memory, allocator) != APR_SUCCESS) {
        out_of_memory(APR_ENOMEM);
    }
    apr_allocator_owner_set(allocator, pool);
    return pool;
}

/* Through volatile: a memset() before a free() would be left out. */
void sa_wipe(void *data, size_t length)
{
    volatile char *bytes = data;

    for (size_t i = 0; i < length; i++) {
        bytes[i] = 0;
    }
}

typedef struct held_t {
    void *data;
    size_t length;
} held_t;

static apr_status_t wipe_held(void *baton)
{
    const held_t *held = baton;

    sa_wipe(held->data, held->length);
    return APR_SUCCESS;
}

void sa_pool_wipe_later(void *data, size_t length, apr_pool_t *pool)
{
    held_t *held = apr_palloc(pool, sizeof(*held));

    *held = (held_t){data, length};
    apr_pool_cleanup_register(pool, held, wipe_held, apr_pool_cleanup_null);
}
