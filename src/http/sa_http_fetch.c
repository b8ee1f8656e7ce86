/* http: one transfer, waited for. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_time.h"

/* How long nobody looks whether to stop. */
#define SLICE apr_time_from_msec(200)

typedef struct fetch_t {
    sa_http_response_t *response;
    sa_error_t *err;
    bool ended;
    apr_pool_t *pool;
} fetch_t;

/* The transfer's own copies go with its engine. */
static void keep(void *baton, const sa_http_response_t *response, sa_error_t *err)
{
    fetch_t *fetch = baton;
    char *data = apr_palloc(fetch->pool, response->length + 1);

    memcpy(data, response->data, response->length);
    data[response->length] = '\0';
    sa_pool_wipe_later(data, response->length, fetch->pool);
    *fetch->response = *response;
    fetch->response->data = data;
    fetch->response->content_type = apr_pstrdup(fetch->pool, response->content_type);
    fetch->err = err;
    fetch->ended = true;
}

static bool is_stopped(const volatile apr_uint32_t *stop)
{
    return stop && apr_atomic_read32((volatile apr_uint32_t *)stop) != 0;
}

static sa_error_t *wait_for(fetch_t *fetch, sa_http_t *http, const volatile apr_uint32_t *stop)
{
    while (!fetch->ended) {
        if (is_stopped(stop)) {
            return sa_error(SA_ERR_CANCELLED, NULL, "a request was given up: the agent stops");
        }
        sa_http_poll(http, sa_time_mono() + SLICE);
    }
    return fetch->err;
}

sa_error_t *sa_http_fetch(sa_http_response_t *response, const sa_http_request_t *request,
                          const volatile apr_uint32_t *stop, apr_pool_t *pool)
{
    apr_pool_t *engine_pool = sa_pool_create(pool);
    fetch_t fetch = {.response = response, .pool = pool};
    sa_http_t *http;
    sa_error_t *err;

    *response = (sa_http_response_t){.content_type = "", .data = ""};
    err = sa_http_create(&http, engine_pool);
    if (!err) {
        err = sa_http_start(http, request, keep, &fetch);
    }
    if (!err) {
        err = wait_for(&fetch, http, stop);
    }
    apr_pool_destroy(engine_pool);
    return err;
}
