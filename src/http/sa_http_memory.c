/* http: libcurl's memory, overwritten before it goes back.
 *
 * libcurl copies requests and answers into buffers of its own, and frees them as they are.
 * So it gets an allocator that remembers how much it gave. */
#include "sa_http_private.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

/* Stands before what libcurl gets, and leaves that aligned for anything. */
typedef union head_t {
    size_t size;
    max_align_t align;
} head_t;

static void *take(size_t size)
{
    head_t *head;

    if (size > SIZE_MAX - sizeof(*head)) {
        return NULL;
    }
    head = malloc(sizeof(*head) + size);
    if (!head) {
        return NULL;
    }
    head->size = size;
    return head + 1;
}

static void give_back(void *data)
{
    head_t *head = data;

    if (!data) {
        return;
    }
    head--;
    OPENSSL_cleanse(data, head->size);
    free(head);
}

static void *resize(void *data, size_t size)
{
    void *made = take(size);
    size_t old_size = data ? ((head_t *)data)[-1].size : 0;

    if (!made || !data) {
        return made;
    }
    memcpy(made, data, old_size < size ? old_size : size);
    give_back(data);
    return made;
}

static char *duplicate(const char *text)
{
    size_t size = strlen(text) + 1;
    char *made = take(size);

    if (made) {
        memcpy(made, text, size);
    }
    return made;
}

static void *take_zeros(size_t count, size_t size)
{
    void *made = size > 0 && count > SIZE_MAX / size ? NULL : take(count * size);

    if (made) {
        memset(made, 0, count * size);
    }
    return made;
}

CURLcode sa_http__init_library(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, give_back, resize, duplicate,
                                take_zeros);
}
