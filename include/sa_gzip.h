/* gzip in memory, on zlib. */
#ifndef SA_GZIP_H
#define SA_GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

/* Compress DATA[0..LENGTH) into *PACKED, in POOL.  false: it would not have
 * become smaller, and nothing is in *PACKED. */
bool sa_gzip(const char **packed, size_t *packed_length, const char *data, size_t length,
             apr_pool_t *pool);

#endif
