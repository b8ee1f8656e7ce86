/* http: libcurl wrapped.  Limits, deadlines, TLS, one mapping of errors.
 *
 * No threads of its own: a curl multi handle driven in the caller's.  It knows
 * nothing of what is fetched or why.
 *
 * HTTP/1.1 only: libcurl 7.88.1 can crash in nghttp2, and a page or an answer
 * of an API gains nothing from HTTP/2.  Only gzip and deflate are decoded: a
 * zstd frame may ask for a window of 128 MiB before its first byte of output,
 * where no limit on the body can see it. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_cstr.h>
#include <apr_lib.h>
#include <openssl/crypto.h>

#include "sa_pool.h"
#include "sa_time.h"

#define CONNECTIONS_KEPT 4L
#define WAIT_MAX apr_time_from_sec(60)
#define RETRY_AFTER_MAX (24 * 60 * 60)      /* s */

struct sa_http_t {
    apr_pool_t *pool;
    CURLM *multi;
    sa_http__transfer_t *first;
    int running;
    apr_uint32_t woken;             /* atomic */
};

/* ---- library ----------------------------------------------------------------- */

sa_error_t *sa_http_library_open(void)
{
    CURLcode code = sa_http__init_library();
    const curl_version_info_data *info;

    if (code != CURLE_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "libcurl cannot start: %s", curl_easy_strerror(code));
    }
    sa_http__tls_open();
    info = curl_version_info(CURLVERSION_NOW);
    if ((info->features & CURL_VERSION_SSL) == 0) {
        curl_global_cleanup();
        return sa_error(SA_ERR_HTTP, NULL, "this libcurl (%s) has no TLS", curl_version());
    }
    return SA_OK;
}

void sa_http_library_close(void)
{
    curl_global_cleanup();
}

const char *sa_http_library_version(void)
{
    return curl_version();
}

/* ---- engine -------------------------------------------------------------------- */

static void drop_headers(sa_http__transfer_t *transfer)
{
    for (struct curl_slist *line = transfer->headers; line; line = line->next) {
        OPENSSL_cleanse(line->data, strlen(line->data));
    }
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->proxy_headers);
    transfer->headers = NULL;
}

/* Take TRANSFER out of the engine and free it. */
static void drop(sa_http__transfer_t *transfer)
{
    sa_http_t *http = transfer->http;
    sa_http__transfer_t **place = &http->first;

    while (*place && *place != transfer) {
        place = &(*place)->next;
    }
    if (*place) {
        *place = transfer->next;
        http->running--;
        curl_multi_remove_handle(http->multi, transfer->easy);
    }
    curl_easy_cleanup(transfer->easy);
    drop_headers(transfer);
    apr_pool_destroy(transfer->pool);
}

static apr_status_t drop_engine(void *baton)
{
    sa_http_t *http = baton;

    while (http->first) {
        drop(http->first);
    }
    curl_multi_cleanup(http->multi);
    return APR_SUCCESS;
}

sa_error_t *sa_http_create(sa_http_t **http, apr_pool_t *pool)
{
    sa_http_t *made = apr_pcalloc(pool, sizeof(*made));

    made->multi = curl_multi_init();
    SA_ASSERT(made->multi != NULL);
    /* Before the pools of the transfers go: they are needed to let go. */
    apr_pool_pre_cleanup_register(pool, made, drop_engine);
    made->pool = pool;
    if (curl_multi_setopt(made->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT) != CURLM_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "libcurl refuses a limit on kept connections");
    }
    *http = made;
    return SA_OK;
}

void sa_http_wake(sa_http_t *http)
{
    apr_atomic_set32(&http->woken, 1);
    curl_multi_wakeup(http->multi);
}

int sa_http_running(const sa_http_t *http)
{
    return http->running;
}

/* ---- what comes in ---------------------------------------------------------------- */

size_t sa_http__take_body(char *data, size_t size, size_t count, void *baton)
{
    sa_http__transfer_t *transfer = baton;

    if (!sa_buf_append(&transfer->body, data, size * count)) {
        transfer->too_large = true;
        return 0;
    }
    return size * count;
}

/* The value of the header LINE if it is NAME ("x:"), its length in *LENGTH. */
static const char *header_value(size_t *length, const char *line, const char *name)
{
    size_t from = strlen(name);

    if (*length < from || apr_cstr_casecmpn(line, name, from) != 0) {
        return NULL;
    }
    while (*length > from && apr_isspace(line[*length - 1])) {
        (*length)--;
    }
    while (from < *length && apr_isspace(line[from])) {
        from++;
    }
    *length -= from;
    return line + from;
}

/* libcurl decodes what the server says, asked for or not. */
static bool is_unknown_coding(const char *line, size_t length)
{
    static const struct {
        const char *header;
        const char *coding;
    } known[] = {
        {"content-encoding:", "gzip"},     {"content-encoding:", "x-gzip"},
        {"content-encoding:", "deflate"},  {"content-encoding:", "identity"},
        {"transfer-encoding:", "chunked"}, {"transfer-encoding:", "identity"}
    };
    bool is_coding = false;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t value_length = length;
        const char *value = header_value(&value_length, line, known[i].header);

        if (value && value_length == strlen(known[i].coding) &&
            apr_cstr_casecmpn(value, known[i].coding, value_length) == 0) {
            return false;
        }
        is_coding = is_coding || (value && value_length > 0);
    }
    return is_coding;
}

static bool is_status_line(const char *line, size_t length)
{
    return length > 5 && memcmp(line, "HTTP/", 5) == 0;
}

static bool is_blank_line(const char *line, size_t length)
{
    return length > 0 && (line[0] == '\r' || line[0] == '\n');
}

/* Seconds; a date needs a clock that is right, and is left out. */
static void take_retry_after(sa_http__transfer_t *transfer, const char *line, size_t length)
{
    const char *value = header_value(&length, line, "retry-after:");
    apr_int64_t seconds = 0;

    for (size_t i = 0; value && i < length; i++) {
        if (!apr_isdigit(value[i])) {
            return;
        }
        seconds = seconds * 10 + (value[i] - '0');
        if (seconds > RETRY_AFTER_MAX) {
            seconds = RETRY_AFTER_MAX;
        }
    }
    if (value && length > 0) {
        transfer->retry_after = apr_time_from_sec(seconds);
    }
}

/* One line of a proxy's answer to CONNECT: nothing in it is for us, but its end is. */
static void take_proxy_header(sa_http__transfer_t *transfer, const char *line, size_t length)
{
    if (sa_http__opens_tunnel(transfer->easy, line, length)) {
        transfer->asks_proxy = false;
        transfer->header_bytes = 0;     /* of the server's answers, from here on */
    }
}

static void take_date(sa_http__transfer_t *transfer, const char *line, size_t length)
{
    const char *value = header_value(&length, line, "date:");
    char text[64];
    time_t date;

    if (value && length < sizeof(text)) {
        memcpy(text, value, length);
        text[length] = '\0';
        date = curl_getdate(text, NULL);
        transfer->date = date > 0 ? apr_time_from_sec((apr_time_t)date) : 0;
    }
}

/* Every header line of every answer, "100 Continue" included. */
size_t sa_http__take_header(char *data, size_t size, size_t count, void *baton)
{
    sa_http__transfer_t *transfer = baton;
    size_t length = size * count;

    transfer->header_bytes += length;
    if (transfer->header_bytes > SA_HTTP__HEADER_BYTES) {
        transfer->headers_too_large = true;
        return 0;
    }
    if (transfer->asks_proxy) {
        take_proxy_header(transfer, data, length);
        return length;
    }
    if (is_unknown_coding(data, length)) {
        transfer->unknown_coding = true;
        return 0;
    }
    take_retry_after(transfer, data, length);
    take_date(transfer, data, length);
    if (is_status_line(data, length)) {
        transfer->in_head = true;
        transfer->retry_after = 0;      /* of the last answer only */
    } else if (is_blank_line(data, length)) {
        transfer->in_head = false;
    }
    return length;
}

sa_error_t *sa_http_start(sa_http_t *http, const sa_http_request_t *request,
                          sa_http_done_fn_t done, void *baton)
{
    apr_pool_t *pool;
    sa_http__transfer_t *transfer;
    sa_error_t *err;

    SA_TRY(sa_http__check_request(request));
    pool = sa_pool_create(http->pool);
    transfer = apr_pcalloc(pool, sizeof(*transfer));
    transfer->pool = pool;
    transfer->http = http;
    transfer->done = done;
    transfer->baton = baton;
    sa_buf_init(&transfer->body, request->limit_bytes, pool);
    transfer->body.secret = sa_http__is_secret(request);
    transfer->easy = curl_easy_init();
    SA_ASSERT(transfer->easy != NULL);
    err = sa_http__prepare(transfer, request);
    if (!err && curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
        err = sa_error(SA_ERR_HTTP, NULL, "libcurl refuses a request to %s", transfer->place);
    }
    if (err) {
        drop(transfer);     /* its texts are in the error's own pool by now */
        return err;
    }
    transfer->next = http->first;
    http->first = transfer;
    http->running++;
    return SA_OK;
}

/* ---- poll -------------------------------------------------------------------------------- */

static void finish(sa_http__transfer_t *transfer, CURLcode code)
{
    sa_http_response_t response = {.content_type = "", .data = ""};
    const char *type = NULL;
    curl_off_t duration = 0;
    sa_error_t *err;

    if (code == CURLE_OK) {
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &response.status);
    }
    curl_easy_getinfo(transfer->easy, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &duration);
    response.retry_after = transfer->retry_after;
    response.date = transfer->date;
    response.untrusted = sa_http__is_untrusted(transfer, code);
    response.duration = (apr_interval_time_t)duration;
    if (type) {
        response.content_type = type;
    }
    if (transfer->body.data) {
        response.data = transfer->body.data;
        response.length = transfer->body.length;
    }
    err = code == CURLE_OK ? sa_http__map_status(transfer, response.status)
                           : sa_http__map_failure(transfer, code);
    transfer->done(transfer->baton, &response, err);
    drop(transfer);
}

/* Call back for what has ended.  How many. */
static int finish_ended(sa_http_t *http)
{
    CURLMsg *message;
    int left;
    int count = 0;

    for (message = curl_multi_info_read(http->multi, &left); message;
         message = curl_multi_info_read(http->multi, &left)) {
        char *transfer = NULL;

        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        finish((sa_http__transfer_t *)(void *)transfer, message->data.result);
        count++;
    }
    return count;
}

void sa_http_poll(sa_http_t *http, apr_interval_time_t deadline)
{
    for (;;) {
        CURLMcode code;
        apr_interval_time_t wait;
        int running;

        code = curl_multi_perform(http->multi, &running);
        SA_ASSERT(code == CURLM_OK);
        if (finish_ended(http) > 0 || apr_atomic_xchg32(&http->woken, 0) != 0) {
            return;
        }
        wait = deadline - sa_time_mono();
        if (wait <= 0) {
            return;
        }
        if (wait > WAIT_MAX) {
            wait = WAIT_MAX;
        }
        code = curl_multi_poll(http->multi, NULL, 0, (int)sa_http__milliseconds(wait), NULL);
        SA_ASSERT(code == CURLM_OK);
    }
}
