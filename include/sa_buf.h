/* A growing buffer that cannot outgrow its limit. */
#ifndef SA_BUF_H
#define SA_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include <apr_pools.h>

#include "sa_error.h"

typedef struct sa_buf_t {
    char *data;         /* NULL while empty; always NUL-terminated otherwise */
    size_t length;
    size_t capacity;    /* of DATA, the NUL's place not counted */
    size_t limit;
    bool overflowed;    /* something did not fit and was refused */
    bool secret;        /* the owner's to set before the first byte: memory is wiped before it
                         * is given back, that of smaller sizes on the way included */
} sa_buf_t;

/* Freed with POOL.  BUF itself must live as long as POOL. */
void sa_buf_init(sa_buf_t *buf, size_t limit, apr_pool_t *pool);
/* Append all of DATA or nothing.  false: over the limit. */
bool sa_buf_append(sa_buf_t *buf, const void *data, size_t length);
bool sa_buf_append_text(sa_buf_t *buf, const char *text);
bool sa_buf_printf(sa_buf_t *buf, const char *format, ...) SA_PRINTF(2, 3);
/* Make room for LENGTH more bytes and return where they go; the caller then
 * adds what it wrote to BUF->length.  NULL: over the limit. */
char *sa_buf_reserve(sa_buf_t *buf, size_t length);
/* Empty it and keep the memory. */
void sa_buf_clear(sa_buf_t *buf);
/* Give the memory back. */
void sa_buf_free(sa_buf_t *buf);

#endif
