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
