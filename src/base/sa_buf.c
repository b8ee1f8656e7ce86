/* base: the growing buffer with a limit. */
#include "sa_buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sa_pool.h"

#define FIRST_CAPACITY 256

static apr_status_t drop_buf(void *baton)
{
    sa_buf_free(baton);
    return APR_SUCCESS;
}

void sa_buf_init(sa_buf_t *buf, size_t limit, apr_pool_t *pool)
{
    memset(buf, 0, sizeof(*buf));
    buf->limit = limit;
    apr_pool_cleanup_register(pool, buf, drop_buf, apr_pool_cleanup_null);
}

/* Room for SIZE bytes, in which what is there stays.  realloc() would leave a copy behind. */
static char *resize(const sa_buf_t *buf, size_t size)
{
    char *data = buf->secret ? malloc(size) : realloc(buf->data, size);

    SA_ASSERT(data != NULL);
    if (buf->secret && buf->data) {
        memcpy(data, buf->data, buf->length + 1);
        sa_wipe(buf->data, buf->capacity + 1);
        free(buf->data);
    }
    return data;
}

char *sa_buf_reserve(sa_buf_t *buf, size_t length)
{
    size_t wanted;
    size_t capacity;
    char *data;

    if (length > buf->limit || buf->length > buf->limit - length) {
        buf->overflowed = true;
        return NULL;
    }
    wanted = buf->length + length;
    if (buf->data && wanted <= buf->capacity) {
        return buf->data + buf->length;
    }
    capacity = buf->capacity ? buf->capacity : FIRST_CAPACITY;
    while (capacity < wanted) {
        capacity *= 2;
    }
    if (capacity > buf->limit) {
        capacity = buf->limit;
    }
    data = resize(buf, capacity + 1);
    buf->data = data;
    buf->capacity = capacity;
    return data + buf->length;
}

bool sa_buf_append(sa_buf_t *buf, const void *data, size_t length)
{
    char *place = sa_buf_reserve(buf, length);

    if (!place) {
        return false;
    }
    if (length > 0) {
        memcpy(place, data, length);
    }
    buf->length += length;
    buf->data[buf->length] = '\0';
    return true;
}

bool sa_buf_append_text(sa_buf_t *buf, const char *text)
{
    return sa_buf_append(buf, text, strlen(text));
}

bool sa_buf_printf(sa_buf_t *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    int length;
    char *place;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    place = length < 0 ? NULL : sa_buf_reserve(buf, (size_t)length);
    if (place) {
        vsnprintf(place, (size_t)length + 1, format, again);
        buf->length += (size_t)length;
    }
    va_end(again);
    return place != NULL;
}

void sa_buf_clear(sa_buf_t *buf)
{
    buf->length = 0;
    buf->overflowed = false;
    if (buf->data && buf->secret) {
        sa_wipe(buf->data, buf->capacity + 1);
    }
    if (buf->data) {
        buf->data[0] = '\0';
    }
}

void sa_buf_free(sa_buf_t *buf)
{
    if (buf->data && buf->secret) {
        sa_wipe(buf->data, buf->capacity + 1);
    }
    free(buf->data);
    buf->data = NULL;
    buf->length = 0;
    buf->capacity = 0;
}
