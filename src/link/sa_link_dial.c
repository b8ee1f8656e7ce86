/* From a URL to a socket on which a NATS server has said its first line.
 *
 * Ours and not nats.c's, because nats.c says "No server available" for every
 * reason alike, cannot be interrupted, and makes sockets that children
 * inherit.  The first line is looked at and left unread: it decides about TLS,
 * and a server that accepts and says nothing is given up from here, where a
 * stop is noticed.
 *
 * A name is looked up in a thread of its own, because getaddrinfo(3) knows no
 * deadline; a numeric address needs none.  A lookup that does not come back is
 * left behind, one at most: the next attempt waits for it, and the end of the
 * link, which waits but shortly, leaves its memory alone. */
#include "sa_link_private.h"

#include <errno.h>
#include <string.h>

#include <apr_poll.h>
#include <apr_strings.h>

#include "sa_json.h"
#include "sa_pool.h"
#include "sa_time.h"

/* How soon a stop is noticed while connecting. */
#define SLICE apr_time_from_msec(50)
/* For a lookup under way at the end of the link. */
#define LOOKUP_GRACE apr_time_from_msec(500)
#define ADDRESSES 8
/* nats.c reads no longer line. */
#define INFO_LIMIT (32 * 1024)

typedef struct sa_link__lookup_t {
    apr_pool_t *pool;
    sa_os_mutex_t *mutex;
    sa_os_cond_t *cond;
    sa_os_thread_t *thread;
    const char *host;
    int port;
    bool done;
    apr_status_t status;
    apr_sockaddr_t *addresses;
} lookup_t;

static void look_up(void *baton)
{
    lookup_t *lookup = baton;
    apr_sockaddr_t *addresses = NULL;
    apr_status_t status = apr_sockaddr_info_get(&addresses, lookup->host, APR_UNSPEC,
                                                (apr_port_t)lookup->port, 0, lookup->pool);

    sa_os_mutex_lock(lookup->mutex);
    lookup->addresses = addresses;
    lookup->status = status;
    lookup->done = true;
    sa_os_cond_signal(lookup->cond);
    sa_os_mutex_unlock(lookup->mutex);
}

static lookup_t *lookup_start(const sa_link__url_t *url)
{
    apr_pool_t *pool = sa_pool_create_root();
    lookup_t *lookup = apr_pcalloc(pool, sizeof(*lookup));

    lookup->pool = pool;
    lookup->mutex = sa_os_mutex_create(pool);
    lookup->cond = sa_os_cond_create(pool);
    lookup->host = apr_pstrdup(pool, url->host);
    lookup->port = url->port;
    if (sa_os_thread_start(&lookup->thread, "lookup", look_up, lookup, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    return lookup;
}

/* Wait for LOOKUP until DEADLINE. */
static bool lookup_wait(lookup_t *lookup, apr_interval_time_t deadline)
{
    bool done;

    sa_os_mutex_lock(lookup->mutex);
    while (!lookup->done && sa_time_mono() < deadline) {
        sa_os_cond_wait(lookup->cond, lookup->mutex, deadline);
    }
    done = lookup->done;
    sa_os_mutex_unlock(lookup->mutex);
    return done;
}

/* The same, and no longer than until an interruption. */
static bool lookup_watch(sa_link_t *link, lookup_t *lookup, apr_interval_time_t deadline)
{
    bool done = false;

    while (!done && !sa_link__is_interrupted(link) && sa_time_mono() < deadline) {
        apr_interval_time_t slice = sa_time_mono() + SLICE;

        done = lookup_wait(lookup, slice < deadline ? slice : deadline);
    }
    return done;
}

static void lookup_destroy(lookup_t *lookup)
{
    sa_os_thread_join(lookup->thread);
    apr_pool_destroy(lookup->pool);
}

void sa_link__dial_close(sa_link_t *link)
{
    if (link->lookup && lookup_wait(link->lookup, sa_time_mono() + LOOKUP_GRACE)) {
        lookup_destroy(link->lookup);
    }
    link->lookup = NULL;
}

/* Is HOST an address in numbers, of which no name server is asked?  Asked for
 * as a network of 32 bits, because without a width APR takes half addresses. */
static bool is_numeric(const char *host, apr_pool_t *pool)
{
    apr_ipsubnet_t *unused;

    return apr_ipsubnet_create(&unused, host, "32", pool) == APR_SUCCESS;
}

/* Ask in a thread.  APR_TIMEUP: there is no answer in time. */
static apr_status_t ask(apr_sockaddr_t **addresses, sa_link_t *link, const sa_link__url_t *url,
                        apr_interval_time_t deadline, apr_pool_t *pool)
{
    lookup_t *lookup;
    apr_status_t status;

    if (link->lookup) {
        if (!lookup_watch(link, link->lookup, deadline)) {
            return APR_TIMEUP;
        }
        lookup_destroy(link->lookup);
    }
    lookup = lookup_start(url);
    link->lookup = lookup;
    if (!lookup || !lookup_watch(link, lookup, deadline)) {
        return APR_TIMEUP;
    }
    status = lookup->status;
    if (status == APR_SUCCESS) {
        status = apr_sockaddr_info_copy(addresses, lookup->addresses, pool);
    }
    lookup_destroy(lookup);
    link->lookup = NULL;
    return status;
}

/* The addresses of URL's host, in POOL. */
static bool resolve(apr_sockaddr_t **addresses, sa_link__failure_t *failure, sa_link_t *link,
                    const sa_link__url_t *url, apr_interval_time_t deadline, apr_pool_t *pool)
{
    apr_status_t status;
    char words[128];

    *addresses = NULL;
    if (is_numeric(url->host, pool)) {
        status = apr_sockaddr_info_get(addresses, url->host, APR_UNSPEC, (apr_port_t)url->port, 0,
                                       pool);
    } else {
        status = ask(addresses, link, url, deadline, pool);
    }
    if (status == APR_SUCCESS && *addresses) {
        return true;
    }
    sa_link__fail(failure, SA_EVENT_link_name_unknown, "%s",
                  APR_STATUS_IS_TIMEUP(status) ? "the name server does not answer"
                                               : apr_strerror(status, words, sizeof(words)));
    return false;
}

static void fail_connect(sa_link__failure_t *failure, apr_status_t status)
{
    char words[128];

    apr_strerror(status, words, sizeof(words));
    if (APR_STATUS_IS_ECONNREFUSED(status)) {
        sa_link__fail(failure, SA_EVENT_link_refused, "%s", words);
    } else if (APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_ETIMEDOUT(status)) {
        sa_link__fail(failure, SA_EVENT_link_timeout, "the server's address does not answer");
    } else {
        sa_link__fail(failure, SA_EVENT_link_unreachable, "%s", words);
    }
}

/* Connect, looking up every now and then.  Asking again tells how a connection
 * under way stands. */
static apr_status_t connect_socket(sa_link_t *link, apr_socket_t *socket,
                                   apr_sockaddr_t *address, apr_interval_time_t deadline)
{
    apr_status_t status;

    do {
        status = apr_socket_connect(socket, address);
        if (status == EISCONN) {
            return APR_SUCCESS;
        }
    } while (APR_STATUS_IS_TIMEUP(status) && !sa_link__is_interrupted(link)
             && sa_time_mono() < deadline);
    return status;
}

static apr_status_t connect_address(apr_socket_t **socket, sa_link_t *link,
                                    apr_sockaddr_t *address, apr_interval_time_t deadline,
                                    apr_pool_t *pool)
{
    apr_status_t status = apr_socket_create(socket, address->family, SOCK_STREAM, APR_PROTO_TCP,
                                            pool);

    if (status != APR_SUCCESS) {
        return status;
    }
    apr_socket_timeout_set(*socket, SLICE);
    status = connect_socket(link, *socket, address, deadline);
    if (status != APR_SUCCESS) {
        apr_socket_close(*socket);
        *socket = NULL;
    }
    return status;
}

/* Try the addresses in turn, each with its share of the time that is left. */
static bool connect_any(apr_socket_t **socket, sa_link__failure_t *failure, sa_link_t *link,
                        apr_sockaddr_t *addresses, apr_interval_time_t deadline,
                        apr_pool_t *pool)
{
    apr_status_t status = APR_TIMEUP;
    int left = 0;

    for (apr_sockaddr_t *each = addresses; each && left < ADDRESSES; each = each->next) {
        left++;
    }
    for (apr_sockaddr_t *each = addresses; each && left > 0; each = each->next) {
        apr_interval_time_t now = sa_time_mono();

        if (now >= deadline || sa_link__is_interrupted(link)) {
            break;
        }
        status = connect_address(socket, link, each, now + (deadline - now) / left--, pool);
        if (status == APR_SUCCESS) {
            return true;
        }
    }
    fail_connect(failure, status);
    return false;
}

static bool read_flag(const cJSON *json, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, name));
}

sa_error_t *sa_link__info_parse(sa_link__info_t *info, const char *text, size_t length,
                                apr_pool_t *pool)
{
    const cJSON *number;
    cJSON *json;

    memset(info, 0, sizeof(*info));
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'
                          || text[length - 1] == ' ')) {
        length--;
    }
    if (length < 5 || memcmp(text, "INFO ", 5) != 0) {
        return sa_error(SA_ERR_PARSE, NULL, "the server's first line is not INFO");
    }
    SA_TRY_MSG(sa_json_parse(&json, text + 5, length - 5, pool),
               "the server's INFO cannot be read");
    info->tls_required = read_flag(json, "tls_required");
    info->tls_available = read_flag(json, "tls_available");
    info->tls_verify = read_flag(json, "tls_verify");
    number = cJSON_GetObjectItemCaseSensitive(json, "max_payload");
    if (!cJSON_IsNumber(number) || !(number->valuedouble >= 1)) {
        return sa_error(SA_ERR_PARSE, NULL, "the server's INFO has no max_payload above zero");
    }
    info->max_payload = number->valuedouble > SA_LINK_PAYLOAD_CAP
        ? SA_LINK_PAYLOAD_CAP : (apr_int64_t)number->valuedouble;
    return SA_OK;
}

/* What a server that is none said first, as far as it is printable. */
static void fail_foreign(sa_link__failure_t *failure, const char *text, size_t length,
                         const sa_error_t *err)
{
    char words[SA_LINK_REASON];
    char start[41];
    size_t used = 0;

    while (used < length && used < sizeof(start) - 1 && text[used] >= ' ' && text[used] < 0x7f) {
        start[used] = text[used];
        used++;
    }
    start[used] = '\0';
    sa_link__fail(failure, SA_EVENT_link_protocol, "%s; it begins with \"%s\"",
                  sa_error_text(err, words, sizeof(words)), start);
}

/* Look at what has come, without taking it. */
static apr_status_t peek(apr_socket_t *socket, char *buffer, size_t *length)
{
    apr_sockaddr_t from;

    memset(&from, 0, sizeof(from));
    *length = INFO_LIMIT;
    return apr_socket_recvfrom(&from, socket, MSG_PEEK, buffer, length);
}

/* Wait for a whole first line in BUFFER. */
static bool wait_line(char *buffer, size_t *length, sa_link__failure_t *failure, sa_link_t *link,
                      apr_socket_t *socket, apr_interval_time_t deadline)
{
    size_t seen = 0;

    while (sa_time_mono() < deadline && !sa_link__is_interrupted(link)) {
        apr_status_t status = peek(socket, buffer, length);

        if (APR_STATUS_IS_TIMEUP(status) || APR_STATUS_IS_EAGAIN(status)) {
            continue;
        }
        if (status != APR_SUCCESS || *length == 0) {
            sa_link__fail(failure, SA_EVENT_link_lost,
                          "the server closed the connection before saying anything");
            return false;
        }
        if (memchr(buffer, '\n', *length) || *length >= INFO_LIMIT || *length < seen) {
            return true;
        }
        if (*length == seen) {
            apr_sleep(apr_time_from_msec(10));  /* half a line: poll would not wait */
        }
        seen = *length;
    }
    sa_link__fail(failure, SA_EVENT_link_silent, "connected, but the server says nothing");
    return false;
}

static bool wait_info(sa_link__info_t *info, sa_link__failure_t *failure, sa_link_t *link,
                      apr_socket_t *socket, apr_interval_time_t deadline, apr_pool_t *pool)
{
    char *buffer = apr_palloc(pool, INFO_LIMIT);
    const char *end;
    sa_error_t *err;
    size_t length;

    if (!wait_line(buffer, &length, failure, link, socket, deadline)) {
        return false;
    }
    end = memchr(buffer, '\n', length);
    if (!end && length >= INFO_LIMIT) {
        sa_link__fail(failure, SA_EVENT_link_protocol, "the server's INFO is longer than %d bytes",
                      INFO_LIMIT);
        return false;
    }
    err = sa_link__info_parse(info, buffer, end ? (size_t)(end - buffer) : length, pool);
    if (err) {
        fail_foreign(failure, buffer, length, err);
        sa_error_clear(err);
        return false;
    }
    return true;
}

bool sa_link__dial(apr_socket_t **socket, sa_link__info_t *info, sa_link__failure_t *failure,
                   sa_link_t *link, const sa_link__url_t *url, apr_interval_time_t deadline,
                   apr_pool_t *pool)
{
    apr_sockaddr_t *addresses;
    bool ok;

    *socket = NULL;
    if (!resolve(&addresses, failure, link, url, deadline, pool)) {
        return false;
    }
    ok = connect_any(socket, failure, link, addresses, deadline, pool)
        && wait_info(info, failure, link, *socket, deadline, pool);
    if (!ok && *socket) {
        apr_socket_close(*socket);
        *socket = NULL;
    }
    return ok;
}
