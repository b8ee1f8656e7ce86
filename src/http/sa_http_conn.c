/* http: a connected stream of bytes.
 *
 * libcurl makes the connection and speaks no HTTP on it (CURLOPT_CONNECT_ONLY).  Each has a multi
 * handle of its own, because only that way the waiting can be broken off; the easy handle stays
 * in it, where curl_easy_send() and curl_easy_recv() find the connection again.  No session, no
 * name and no authority is kept for the next one.
 *
 * Sockets are made and closed here: libcurl does not set close-on-exec, and one that is taken
 * out must outlive libcurl's handles. */
#include "sa_http_private.h"

#include <string.h>

#include <apr_strings.h>

#include "sa_pool.h"
#include "sa_time.h"

/* How long nobody asks whether to break off. */
#define SLICE apr_time_from_msec(40)

typedef struct entry_t entry_t;
struct entry_t {
    entry_t *next;
    apr_pool_t *pool;               /* the socket's, and this one's */
    apr_socket_t *socket;
    apr_os_sock_t number;
};

struct sa_http_conn_t {
    apr_pool_t *pool;
    CURLM *multi;
    CURL *easy;
    const sa_http_proxy_t *proxy;   /* NULL: none in the way */
    const char *place;
    const char *host;
    bool has_tls;
    entry_t *sockets;
    apr_os_sock_t number;           /* of the one that won */
    size_t header_bytes;            /* of the proxy's answer */
    bool header_too_large;
    bool is_tunnel;                 /* the proxy has opened it */
    sa_http_tls_judge_t judge;
    sa_http_tls_judge_t proxy_judge;
    const char *peer;
    bool has_received;
    bool is_broken;
    char words[CURL_ERROR_SIZE];
};

/* ---- sockets -------------------------------------------------------------------------- */

static curl_socket_t open_socket(void *baton, curlsocktype purpose, struct curl_sockaddr *address)
{
    sa_http_conn_t *conn = baton;
    apr_pool_t *pool = sa_pool_create(conn->pool);
    entry_t *entry = apr_pcalloc(pool, sizeof(*entry));

    (void)purpose;
    entry->pool = pool;
    if (apr_socket_create(&entry->socket, address->family, address->socktype, address->protocol,
                          pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return CURL_SOCKET_BAD;
    }
    apr_os_sock_get(&entry->number, entry->socket);
    entry->next = conn->sockets;
    conn->sockets = entry;
    return entry->number;
}

/* The entry of NUMBER, taken out of the list; NULL: it is not ours. */
static entry_t *take_entry(sa_http_conn_t *conn, apr_os_sock_t number)
{
    entry_t **place = &conn->sockets;
    entry_t *found;

    while (*place && (*place)->number != number) {
        place = &(*place)->next;
    }
    found = *place;
    if (found) {
        *place = found->next;
    }
    return found;
}

static int close_socket(void *baton, curl_socket_t number)
{
    entry_t *entry = take_entry(baton, number);

    if (entry) {
        apr_pool_destroy(entry->pool);
    }
    return 0;
}

/* ---- set up ---------------------------------------------------------------------------- */

/* Only a proxy's answer to CONNECT has headers here. */
static size_t take_header(char *data, size_t size, size_t count, void *baton)
{
    sa_http_conn_t *conn = baton;

    conn->header_bytes += size * count;
    conn->is_tunnel = sa_http__opens_tunnel(conn->easy, data, size * count);
    conn->header_too_large = conn->header_bytes > SA_HTTP__HEADER_BYTES;
    return conn->header_too_large ? 0 : size * count;
}

static size_t take_body(char *data, size_t size, size_t count, void *baton)
{
    (void)data;
    (void)baton;
    return size * count;
}

/* A SOCKS proxy has done its part when TLS begins. */
static CURLcode judge_context(CURL *easy, void *context, void *baton)
{
    sa_http_conn_t *conn = baton;
    bool is_proxy = sa_http__is_tls_proxy(conn->proxy) && !conn->is_tunnel;

    (void)easy;
    conn->is_tunnel = conn->is_tunnel || sa_http__is_socks_proxy(conn->proxy);
    return sa_http__tls_apply(context, is_proxy ? &conn->proxy_judge : &conn->judge)
        ? CURLE_OK : CURLE_SSL_CONNECT_ERROR;
}

#define SET(option, value)                                                      \
    do {                                                                        \
        if (code == CURLE_OK) {                                                 \
            code = curl_easy_setopt(conn->easy, (option), (value));             \
        }                                                                       \
    } while (0)

static CURLcode set_connection(sa_http_conn_t *conn, const sa_http_request_t *request)
{
    CURLcode code = sa_http__set_protocol(conn->easy);
    long wait = sa_http__milliseconds(request->timeout);

    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_TIMEOUT_MS, wait);
    SET(CURLOPT_CONNECTTIMEOUT_MS, wait);   /* what the addresses share */
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    SET(CURLOPT_TCP_NODELAY, 1L);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, conn);
    SET(CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    SET(CURLOPT_CLOSESOCKETDATA, conn);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, conn);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_ERRORBUFFER, conn->words);
    return code;
}

static CURLcode set_up(sa_http_conn_t *conn, const sa_http_request_t *request)
{
    CURLcode code = set_connection(conn, request);

    code = code != CURLE_OK ? code : sa_http__set_proxy(conn->easy, conn->proxy,
                                                            request->proxy
                                                                ? request->proxy->password : NULL);
    if (conn->has_tls) {
        code = code != CURLE_OK ? code : sa_http__set_tls(conn->easy, request);
        SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);   /* one that is taken up again is not verified */
    }
    if (conn->has_tls || sa_http__is_tls_proxy(conn->proxy)) {
        SET(CURLOPT_SSL_CTX_FUNCTION, judge_context);
        SET(CURLOPT_SSL_CTX_DATA, conn);
    }
    return code;
}

#undef SET

/* "host" of the proxy's URL, for the certificate. */
static sa_error_t *set_judges(sa_http_conn_t *conn, const sa_http_request_t *request)
{
    const char *place;

    conn->judge = (sa_http_tls_judge_t){
        .host = conn->host, .insecure = request->insecure, .least = request->tls_least,
        .pins = request->pin_sha256 ? apr_pstrdup(conn->pool, request->pin_sha256) : NULL
    };
    if (sa_http__is_tls_proxy(conn->proxy)) {
        SA_TRY(sa_http__read_place(&place, &conn->proxy_judge.host, conn->proxy->url,
                                   conn->pool));
    }
    return SA_OK;
}

static sa_error_t *prepare(sa_http_conn_t *conn, const sa_http_request_t *request)
{
    CURLcode code;

    SA_TRY(sa_http__read_place(&conn->place, &conn->host, request->url, conn->pool));
    conn->has_tls = strncmp(request->url, "https:", 6) == 0;
    conn->proxy = sa_http__proxy_for(request, conn->host, conn->pool);
    SA_TRY(set_judges(conn, request));
    code = set_up(conn, request);
    if (code != CURLE_OK) {
        return sa_error(SA_ERR_HTTP, NULL, "cannot prepare a connection to %s: libcurl %d, %s",
                        conn->place, (int)code, curl_easy_strerror(code));
    }
    return SA_OK;
}

/* ---- life -------------------------------------------------------------------------------- */

static apr_status_t drop(void *baton)
{
    sa_http_conn_t *conn = baton;

    curl_multi_remove_handle(conn->multi, conn->easy);
    curl_easy_cleanup(conn->easy);
    curl_multi_cleanup(conn->multi);
    return APR_SUCCESS;
}

static sa_http_conn_t *create(apr_pool_t *parent)
{
    apr_pool_t *pool = sa_pool_create(parent);
    sa_http_conn_t *conn = apr_pcalloc(pool, sizeof(*conn));

    conn->pool = pool;
    conn->peer = "";
    conn->multi = curl_multi_init();
    conn->easy = curl_easy_init();
    SA_ASSERT(conn->multi != NULL && conn->easy != NULL);
    /* before the pools of the sockets go */
    apr_pool_pre_cleanup_register(pool, conn, drop);
    return conn;
}

void sa_http_conn_close(sa_http_conn_t *conn)
{
    apr_pool_destroy(conn->pool);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* Has it ended?  *CODE says how. */
static bool has_ended(CURLcode *code, sa_http_conn_t *conn)
{
    CURLMsg *message;
    int left;

    for (message = curl_multi_info_read(conn->multi, &left); message;
         message = curl_multi_info_read(conn->multi, &left)) {
        if (message->msg == CURLMSG_DONE) {
            *code = message->data.result;
            return true;
        }
    }
    return false;
}

/* false: interrupted. */
static bool run(CURLcode *code, sa_http_conn_t *conn, apr_interval_time_t timeout,
                bool (*interrupted)(void *baton), void *baton)
{
    apr_interval_time_t deadline = sa_time_mono() + timeout;

    for (;;) {
        apr_interval_time_t wait;
        CURLMcode status;
        int running;

        status = curl_multi_perform(conn->multi, &running);
        SA_ASSERT(status == CURLM_OK);
        if (has_ended(code, conn)) {
            return true;
        }
        if (interrupted && interrupted(baton)) {
            return false;
        }
        wait = deadline - sa_time_mono();
        if (wait <= 0) {
            *code = CURLE_OPERATION_TIMEDOUT;
            return true;
        }
        status = curl_multi_poll(conn->multi, NULL, 0,
                                 (int)sa_http__milliseconds(wait < SLICE ? wait : SLICE), NULL);
        SA_ASSERT(status == CURLM_OK);
    }
}

static bool fail(sa_http_conn_report_t *report, sa_http_conn_t *conn, sa_http_trouble_t trouble,
                 const char *words)
{
    *report = (sa_http_conn_report_t){.trouble = trouble};
    apr_cpystrn(report->words, words, sizeof(report->words));
    sa_http_conn_close(conn);
    return false;
}

static bool fail_code(sa_http_conn_report_t *report, sa_http_conn_t *conn,
                      const sa_http_request_t *request, CURLcode code)
{
    const sa_http__attempt_t attempt = {
        .easy = conn->easy, .code = code, .words = conn->words, .place = conn->place,
        .host = conn->host, .proxy = conn->proxy, .has_tls = conn->has_tls,
        .ca_file = request->ca_file, .is_tunnel = conn->is_tunnel,
        .header_too_large = conn->header_too_large, .judge = &conn->judge,
        .proxy_judge = &conn->proxy_judge
    };

    sa_http__find_trouble(report, &attempt);
    sa_http_conn_close(conn);
    return false;
}

/* What is known of a connection that stands.  false: it was not judged, or has no socket. */
static bool take_facts(sa_http_conn_t *conn)
{
    curl_socket_t number = CURL_SOCKET_BAD;
    char *address = NULL;
    long port = 0;

    if (curl_easy_getinfo(conn->easy, CURLINFO_ACTIVESOCKET, &number) != CURLE_OK
        || number == CURL_SOCKET_BAD || (conn->has_tls && !conn->judge.judged)) {
        return false;
    }
    curl_easy_getinfo(conn->easy, CURLINFO_PRIMARY_IP, &address);
    curl_easy_getinfo(conn->easy, CURLINFO_PRIMARY_PORT, &port);
    conn->number = number;
    conn->peer = apr_psprintf(conn->pool, strchr(address ? address : "", ':') ? "[%s]:%ld"
                                                                              : "%s:%ld",
                              address ? address : "", port);
    return true;
}

bool sa_http_conn_open(sa_http_conn_t **conn, sa_http_conn_report_t *report,
                       const sa_http_request_t *request, bool (*interrupted)(void *baton),
                       void *baton, apr_pool_t *pool)
{
    sa_http_conn_t *made = create(pool);
    sa_error_t *err = prepare(made, request);
    CURLcode code = CURLE_OK;
    char text[256];

    if (err) {
        sa_error_text(err, text, sizeof(text));
        sa_error_clear(err);
        return fail(report, made, SA_HTTP_TROUBLE_OTHER, text);
    }
    if (curl_multi_add_handle(made->multi, made->easy) != CURLM_OK) {
        return fail(report, made, SA_HTTP_TROUBLE_OTHER, "libcurl refuses a connection");
    }
    if (!run(&code, made, request->timeout, interrupted, baton)) {
        return fail(report, made, SA_HTTP_TROUBLE_INTERRUPTED, "broken off");
    }
    if (code != CURLE_OK) {
        return fail_code(report, made, request, code);
    }
    if (!take_facts(made)) {
        return fail(report, made, SA_HTTP_TROUBLE_OTHER, "libcurl made no proper connection");
    }
    *conn = made;
    return true;
}

/* ---- using it -------------------------------------------------------------------------------- */

bool sa_http_conn_is_bare(const sa_http_conn_t *conn)
{
    return !conn->has_tls && !sa_http__is_tls_proxy(conn->proxy);
}

apr_os_sock_t sa_http_conn_socket(const sa_http_conn_t *conn)
{
    return conn->number;
}

apr_os_sock_t sa_http_conn_take(sa_http_conn_t *conn)
{
    entry_t *entry = take_entry(conn, conn->number);
    apr_os_sock_t none = (apr_os_sock_t)CURL_SOCKET_BAD;

    SA_ASSERT(sa_http_conn_is_bare(conn) && entry != NULL);
    /* APR has no way to let go of a socket; this one closes nothing when its pool goes */
    apr_os_sock_put(&entry->socket, &none, entry->pool);
    apr_pool_destroy(entry->pool);
    return conn->number;
}

static apr_status_t status_of(sa_http_conn_t *conn, CURLcode code)
{
    long error = 0;

    if (code == CURLE_AGAIN) {
        return APR_EAGAIN;
    }
    conn->is_broken = true;
    curl_easy_getinfo(conn->easy, CURLINFO_OS_ERRNO, &error);
    return error != 0 ? APR_FROM_OS_ERROR((int)error) : APR_EGENERAL;
}

apr_status_t sa_http_conn_receive(sa_http_conn_t *conn, char *data, size_t *length)
{
    size_t wanted = *length;
    CURLcode code;

    *length = 0;
    code = curl_easy_recv(conn->easy, data, wanted, length);
    if (code != CURLE_OK) {
        *length = 0;
        return status_of(conn, code);
    }
    conn->has_received = true;
    return *length > 0 ? APR_SUCCESS : APR_EOF;
}

apr_status_t sa_http_conn_send(sa_http_conn_t *conn, const char *data, size_t *length)
{
    size_t wanted = *length;
    CURLcode code;

    *length = 0;
    code = curl_easy_send(conn->easy, data, wanted, length);
    if (code != CURLE_OK) {
        *length = 0;
        return status_of(conn, code);
    }
    return APR_SUCCESS;
}

/* A server that closes after its alert may have bytes of ours unread: then the system resets the
 * connection, and the alert is lost. */
void sa_http_conn_verdict(const sa_http_conn_t *conn, sa_http_tls_verdict_t *verdict)
{
    *verdict = (sa_http_tls_verdict_t){.fault = SA_HTTP_TLS_NONE};
    if (!conn->has_tls || !conn->is_broken) {
        return;
    }
    if (sa_http_tls_fault_of_words(conn->words) != SA_HTTP_TLS_NONE) {
        sa_http__alert_verdict(verdict, conn->words);
    } else if (!conn->has_received) {
        verdict->fault = SA_HTTP_TLS_OTHER;
        apr_cpystrn(verdict->words, "the connection broke after the TLS handshake, as it does "
                    "where a client certificate is missing or not trusted",
                    sizeof(verdict->words));
    }
}

const char *sa_http_conn_tls_version(const sa_http_conn_t *conn)
{
    return conn->has_tls ? conn->judge.version : "";
}

const char *sa_http_conn_peer(const sa_http_conn_t *conn)
{
    return conn->peer;
}
