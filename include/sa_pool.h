/* Pools: who lives how long.
 *
 * Callers own lifetime: a function takes pools, it does not make them, except
 * thread roots, messages that travel between threads, errors, and the pool
 * that a loop clears each turn.  One thread uses a pool at a time.  Running
 * out of memory aborts, so allocations are not checked; input is bounded
 * before it is allocated. */
#ifndef SA_POOL_H
#define SA_POOL_H

#include <stddef.h>

#include <apr_pools.h>

/* A child of PARENT, which must belong to this thread. */
apr_pool_t *sa_pool_create(apr_pool_t *parent);

/* A root of its own with its own allocator: for a thread, or for a message
 * that moves between threads.  Freed memory goes back to the system beyond
 * SA_POOL_KEEP bytes.  The caller destroys it. */
#define SA_POOL_KEEP (64 * 1024)
apr_pool_t *sa_pool_create_root(void);

/* Overwrite LENGTH bytes of what was secret, in a way that no compiler leaves out. */
void sa_wipe(void *data, size_t length);
/* The same when POOL is cleared or destroyed.  DATA lies in POOL, or in one that lives
 * longer. */
void sa_pool_wipe_later(void *data, size_t length, apr_pool_t *pool);

#endif
