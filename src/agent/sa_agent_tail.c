/* agent: looking on at what is published (sa_status.h says how).
 *
 * Whoever publishes looks at most once a second whether somebody wants to look on, and only
 * when there is something to publish: nobody is woken for it.  Then messages are copied into a
 * bounded mailbox, and a thread ("tail") writes them; what finds no room is counted and left
 * out: publishing never waits for somebody who looks on. */
#include "sa_agent_tools.h"

#include <string.h>

#include <apr_atomic.h>
#include <apr_encode.h>
#include <apr_file_info.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "sa_log.h"
#include "sa_os_daemon.h"
#include "sa_os_file.h"
#include "sa_os_thread.h"
#include "sa_pool.h"
#include "sa_queue.h"
#include "sa_status.h"
#include "sa_text.h"
#include "sa_time.h"

#define MAILBOX 256
#define LOOK_PAUSE apr_time_from_sec(1)

typedef struct seen_t {
    apr_pool_t *pool;
    apr_time_t at;
    const char *subject;
    const char *headers;
    const char *data;
    size_t length;              /* of it all */
    size_t kept;
} seen_t;

struct sa_agent__tail_t {
    const char *wanted_path;
    const char *path;
    sa_queue_t *mailbox;                    /* of seen_t */
    volatile apr_uint32_t on;
    volatile apr_uint32_t done;             /* the thread is about to end */
    volatile apr_uint32_t stop;
    volatile apr_uint32_t lost;
    volatile apr_uint64_t looked_at;        /* monotonic */
    sa_os_thread_t *thread;                 /* main thread */
    apr_pool_t *pool;                       /* of it, main thread */
};

/* Is the mark there, and young? */
static bool is_wanted(const sa_agent__tail_t *tail)
{
    apr_pool_t *pool = sa_pool_create_root();
    apr_finfo_t info;
    apr_status_t status = apr_stat(&info, tail->wanted_path, APR_FINFO_MTIME | APR_FINFO_LINK,
                                   pool);
    apr_interval_time_t age = sa_time_now() - info.mtime;
    bool wanted = status == APR_SUCCESS && age < SA_TAIL_AGE && age > -SA_TAIL_AGE;

    apr_pool_destroy(pool);
    return wanted;
}

/* One of those that publish looks, once in a while. */
static bool look(sa_agent__tail_t *tail)
{
    apr_uint64_t now = (apr_uint64_t)sa_time_mono();
    apr_uint64_t before = apr_atomic_read64(&tail->looked_at);

    if (now - before < (apr_uint64_t)LOOK_PAUSE
        || apr_atomic_cas64(&tail->looked_at, now, before) != before || !is_wanted(tail)) {
        return false;
    }
    apr_atomic_set32(&tail->on, 1);
    sa_os_daemon_wake();
    return true;
}

void sa_agent__tail_take(void *baton, const char *subject, const char *headers, const void *data,
                         size_t length)
{
    sa_agent__tail_t *tail = baton;
    size_t kept = length < SA_TAIL_PAYLOAD ? length : SA_TAIL_PAYLOAD;
    apr_pool_t *pool;
    seen_t *seen;

    if (apr_atomic_read32(&tail->on) == 0 && !look(tail)) {
        return;
    }
    if (sa_queue_length(tail->mailbox) >= MAILBOX) {
        apr_atomic_inc32(&tail->lost);
        return;
    }
    pool = sa_pool_create_root();
    seen = apr_palloc(pool, sizeof(*seen));
    *seen = (seen_t){pool, sa_time_now(), apr_pstrdup(pool, subject),
                     headers ? apr_pstrdup(pool, headers) : "",
                     kept > 0 ? apr_pmemdup(pool, data, kept) : "", length, kept};
    if (!sa_queue_give(tail->mailbox, &seen)) {
        apr_atomic_inc32(&tail->lost);
        apr_pool_destroy(pool);
    }
}

/* ---- the thread ------------------------------------------------------------------------- */

/* How much of TEXT is UTF-8 without a NUL. */
static size_t readable(const char *text, size_t length)
{
    size_t at = 0;

    while (at < length) {
        uint32_t point = 0;
        int bytes = sa_text_decode(&point, text + at, length - at);

        if (bytes == 0 || point == 0) {
            break;
        }
        at += (size_t)bytes;
    }
    return at;
}

static void add_data(cJSON *json, const seen_t *seen)
{
    size_t length = readable(seen->data, seen->kept);
    /* a cut may have gone through a character */
    bool text = length == seen->kept
                || (seen->kept < seen->length
                    && sa_text_is_beginning(seen->data + length, seen->kept - length));

    if (text) {
        cJSON_AddStringToObject(json, "data", apr_pstrmemdup(seen->pool, seen->data, length));
    } else {
        const unsigned char *bytes = (const unsigned char *)seen->data;

        cJSON_AddStringToObject(json, "data_base64",
                                apr_pencode_base64_binary(seen->pool, bytes,
                                                          (apr_ssize_t)seen->kept,
                                                          APR_ENCODE_NONE, NULL));
    }
}

static sa_error_t *write_seen(sa_agent__tail_t *tail, sa_os_append_t *file, apr_int64_t *bytes,
                              const seen_t *seen)
{
    cJSON *json = sa_json_object(seen->pool);
    apr_uint32_t lost = apr_atomic_xchg32(&tail->lost, 0);
    char time[SA_TIME_TEXT];
    const char *text;
    size_t length;

    cJSON_AddStringToObject(json, "ts", sa_time_format_ms(time, seen->at));
    cJSON_AddStringToObject(json, "subject", seen->subject);
    sa_json_add_count(json, "bytes", seen->length);
    if (*seen->headers) {
        cJSON_AddStringToObject(json, "headers", seen->headers);
    }
    if (lost > 0) {
        sa_json_add_count(json, "lost_before", lost);
    }
    if (seen->kept < seen->length) {
        cJSON_AddTrueToObject(json, "cut");
    }
    add_data(json, seen);
    text = apr_pstrcat(seen->pool, sa_json_print(json, NULL, seen->pool), "\n", NULL);
    length = strlen(text);
    if (*bytes + (apr_int64_t)length > SA_TAIL_BYTES) {
        SA_TRY(sa_os_append_rotate(file, 1));
        *bytes = -1;                    /* begin a new one, with this */
        return sa_os_append_write(file, text, length);
    }
    *bytes += (apr_int64_t)length;
    return sa_os_append_write(file, text, length);
}

/* One file's worth of messages; false: an end. */
static bool write_file(sa_agent__tail_t *tail, apr_pool_t *pool)
{
    sa_os_append_t *file;
    apr_int64_t bytes = 0;
    apr_interval_time_t look_at = sa_time_mono() + LOOK_PAUSE;
    sa_error_t *err = sa_os_append_open(&file, &bytes, tail->path, pool);

    while (!err && bytes >= 0 && apr_atomic_read32(&tail->stop) == 0) {
        seen_t *seen = sa_queue_take(tail->mailbox, look_at);

        if (seen) {
            err = write_seen(tail, file, &bytes, seen);
            apr_pool_destroy(seen->pool);
        }
        if (sa_time_mono() >= look_at) {
            look_at = sa_time_mono() + LOOK_PAUSE;
            if (!is_wanted(tail)) {
                return false;
            }
        }
    }
    if (err) {
        SA_LOG(tail_failed, SA_S("file", tail->path), SA_E(err));
        sa_error_clear(err);
        return false;
    }
    return bytes < 0;
}

static void drain(sa_agent__tail_t *tail)
{
    seen_t *seen = sa_queue_try_take(tail->mailbox);

    while (seen) {
        apr_pool_destroy(seen->pool);
        seen = sa_queue_try_take(tail->mailbox);
    }
}

static void run(void *baton)
{
    sa_agent__tail_t *tail = baton;
    apr_pool_t *pool = sa_pool_create_root();

    while (write_file(tail, pool)) {
        apr_pool_clear(pool);
    }
    apr_atomic_set32(&tail->on, 0);
    drain(tail);
    /* those that are not there are no trouble */
    (void)apr_file_remove(tail->path, pool);
    (void)apr_file_remove(apr_pstrcat(pool, tail->path, ".1", NULL), pool);
    apr_pool_destroy(pool);
    apr_atomic_set32(&tail->done, 1);
    sa_os_daemon_wake();
}

/* ---- main thread ------------------------------------------------------------------------ */

static void join(sa_agent__tail_t *tail)
{
    sa_os_thread_join(tail->thread);
    apr_pool_destroy(tail->pool);
    tail->thread = NULL;
    apr_atomic_set32(&tail->done, 0);
}

void sa_agent__tail_look(sa_agent__tail_t *tail)
{
    if (tail->thread && apr_atomic_read32(&tail->done) != 0) {
        join(tail);
        SA_LOG(tail_ended, SA_S("file", tail->path));
    }
    if (!tail->thread && apr_atomic_read32(&tail->on) != 0) {
        SA_LOG(tail_begun, SA_S("file", tail->path));
        tail->pool = sa_pool_create_root();
        if (sa_os_thread_start(&tail->thread, "tail", run, tail, tail->pool) != APR_SUCCESS) {
            tail->thread = NULL;
            apr_pool_destroy(tail->pool);
            apr_atomic_set32(&tail->on, 0);     /* the next look tries again */
            drain(tail);
        }
    }
}

void sa_agent__tail_create(sa_agent__tail_t **result, const sa_config_t *config, apr_pool_t *pool)
{
    sa_agent__tail_t *tail = apr_pcalloc(pool, sizeof(*tail));

    tail->wanted_path = apr_pstrcat(pool, config->paths_runtime, "/" SA_TAIL_WANTED, NULL);
    tail->path = apr_pstrcat(pool, config->paths_runtime, "/" SA_TAIL_FILE, NULL);
    tail->mailbox = sa_queue_create(MAILBOX, pool);
    *result = tail;
}

void sa_agent__tail_stop(sa_agent__tail_t *tail)
{
    apr_atomic_set32(&tail->stop, 1);
    sa_queue_wake(tail->mailbox);
    if (tail->thread) {
        join(tail);
    }
    drain(tail);
}
