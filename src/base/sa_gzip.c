/* base: gzip.  One call, one result; zlib's state lives as long as the call. */
#include "sa_gzip.h"

#include <limits.h>
#include <string.h>

#include <zlib.h>

#include "sa_error.h"

/* 15 bits of window, and 16 for a gzip header instead of zlib's.  Level 6 and
 * memory 8 are zlib's own defaults: 256 KB while it works. */
#define WINDOW_BITS (15 + 16)
#define MEMORY_LEVEL 8

bool sa_gzip(const char **packed, size_t *packed_length, const char *data, size_t length,
             apr_pool_t *pool)
{
    z_stream stream;
    char *out;
    int code;

    if (length < 2 || length > UINT_MAX) {
        return false;
    }
    memset(&stream, 0, sizeof(stream));
    code = deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL,
                        Z_DEFAULT_STRATEGY);
    SA_ASSERT(code == Z_OK);            /* else there is no memory */
    out = apr_palloc(pool, length);
    stream.next_in = (unsigned char *)data;
    stream.avail_in = (unsigned int)length;
    stream.next_out = (unsigned char *)out;
    stream.avail_out = (unsigned int)length - 1;
    code = deflate(&stream, Z_FINISH);
    *packed = out;
    *packed_length = stream.total_out;
    deflateEnd(&stream);
    return code == Z_STREAM_END;
}
